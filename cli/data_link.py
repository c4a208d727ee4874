"""`leadwell data link`: find duplicates among leads, list what a person must decide, and take those decisions in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, step, table
from configs.errors import InputInvalid

SHOWN = 10


def link(
    folder: Annotated[Path, typer.Option("--data", help="folder with one file for each table")],
    out: Annotated[Path | None, typer.Option("--out", help="Parquet file to append to; DATA/links.parquet")] = None,
    review: Annotated[Path | None, typer.Option("--review", help="where pairs to decide go (CSV)")] = None,
    decided: Annotated[Path | None, typer.Option("--decided", help="a review list with kind and by filled in")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="what was known when, e.g. 2026-06-30")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be linked and write nothing")] = False,
    configs: Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped one")] = None,
) -> None:
    """Find leads that are one person, by exact keys and by likelihood; every link can be taken back.

    Links are appended; a pair of which anybody has said anything is left alone. Pairs that are likely but not sure go
    to a review list: fill in its columns kind (same or different) and by, and give it back with --decided.

    Example: leadwell data link --data artifacts/world --review review.csv

    Example: leadwell data link --data artifacts/world --decided review.csv
    """
    from configs.settings import load_settings
    from features.intake.link_files import append_links, decided_links, target_of
    from features.intake.linkage import find_links
    from features.intake.sources import find_files
    from serving.files import write_csv

    settings, files = load_settings(configs), find_files(folder)
    target, instant = target_of(files, folder, out), chosen(as_of, folder)
    if decided is not None:
        said = decided_links(decided, settings, instant)
        if not dry_run:
            append_links(target, said)
        line(f"{said.num_rows:,} decisions of people {'read' if dry_run else f'appended to {target}'}")
        next_step(f"leadwell data check --data {folder}")
        return
    asked = review or target.with_name("links_review.csv")
    if not dry_run and asked.exists() and decided_links(asked, settings, instant).num_rows:
        raise InputInvalid(str(asked), "holds decisions: give it to --decided and name another file for --review")
    with step("Comparing leads"):
        found = find_links(files, settings, instant)
    rows = [(evidence, f"{count:,}") for evidence, count in found.by_evidence.items()]
    rows += [("to be decided by a person", f"{found.review.num_rows:,}"), ("refused", f"{found.refused.num_rows:,}")]
    table(f"Pairs among {found.leads:,} leads", ("evidence", "pairs"), rows, right=(1,))
    line(f"The largest person has {found.largest or 1:,} leads.")
    for key, count in found.shared.items():
        if count:
            limit = settings.identity.linkage.keys[key].max_leads  # type: ignore[index]
            line(f"[yellow]no evidence[/yellow] {count:,} values of {key} that more than {limit} leads share")
    for refused in found.refused.to_pylist()[:SHOWN]:
        ids = ", ".join(refused["lead_ids"][:5]) + (", ..." if refused["leads"] > 5 else "")
        line(f"[red]refused[/red] {refused['leads']:,} leads ({ids}): {refused['why']}")
    if found.refused.num_rows > SHOWN:
        line(f"[dim]{found.refused.num_rows - SHOWN:,} more people refused[/dim]")
    if dry_run:
        line("[yellow]nothing written[/yellow] (--dry-run)")
        return
    append_links(target, found.links)
    line(f"{found.links.num_rows:,} links appended to {target}")
    if found.review.num_rows:
        write_csv(found.review, asked)
        line(f"{found.review.num_rows:,} pairs for a person to decide: {asked} (fill in kind and by)")
        next_step(f"leadwell data link --data {folder} --decided {asked}")
    else:
        next_step(f"leadwell data check --data {folder}")


def register(data: typer.Typer) -> None:
    """Add the command of this room."""
    data.command()(link)
