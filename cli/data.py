"""`leadwell sample` and `leadwell data`: make a world of leads; see what a CRM's export is worth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.clock import chosen, moment
from cli.screen import counted, line, next_step, step, table, write_out
from configs.errors import InputInvalid
from features.intake.quality import QualityReport
from features.intake.settle import Counts

data = typer.Typer(help="Look at data before anything is learned from it.", no_args_is_help=True)

MOST_COLUMNS = 60


def sample(
    out: Annotated[Path, typer.Option("--out", help="folder to write")] = Path("artifacts/world"),
    leads: Annotated[int, typer.Option("--leads", help="how many leads", min=1)] = 20_000,
    seed: Annotated[int, typer.Option("--seed", help="same seed, same world", min=0)] = 7,
    events_per_lead: Annotated[float, typer.Option("--events-per-lead", help="on average", min=0)] = 50.0,
    as_of: Annotated[str, typer.Option("--as-of", help="the day the world ends")] = "2026-06-30",
) -> None:
    """Make a world of leads with a known truth, to try everything on.

    Example: leadwell sample --leads 20000 --seed 7 --out artifacts/world
    """
    from training.sample import make_sample

    with step(f"Making a world of {leads:,} leads") as report:
        day = moment(as_of).date()
        made = make_sample(leads, seed, out, day, counted(report, "leads"), events_per_lead=events_per_lead)
    table("Made", ("table", "rows"), [(name, f"{rows:,}") for name, rows in made.counts.items()], right=(1,))
    next_step(f"leadwell data check --data {out}")


@data.command()
def check(
    folder: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export")] = None,
    leads: Annotated[Path | None, typer.Option("--leads", help="the flat export")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="what was known when, e.g. 2026-06-30")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    rejects: Annotated[Path | None, typer.Option("--rejects", help="write every rejected row here as CSV")] = None,
    configs: Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped one")] = None,
) -> None:
    """Count what can be used, list what cannot and why, and point at columns that know the outcome.

    Example: leadwell data check --data artifacts/world

    Example: leadwell data check --source xeducation --leads leads.csv
    """
    from configs.settings import load_settings, load_source
    from features.intake.flat import read_flat
    from features.intake.quality import check as check_tables
    from features.intake.quality import check_flat
    from features.intake.sources import find_files, read_tables
    from serving.files import write_csv

    settings = load_settings(configs)
    if source is not None and leads is not None:
        mapping = load_source(source)
        intake = read_flat(mapping, leads, settings, training=False)
        found = check_flat(mapping, leads, intake)
    elif folder is not None and source is None and leads is None:
        intake = read_tables(find_files(folder), settings, assets=settings.assets, as_of=chosen(as_of, folder))
        found = check_tables(intake, settings)
    else:
        raise InputInvalid("data check", "expected either --data FOLDER, or --source MAPPING with --leads FILE")
    if rejects is not None:
        write_csv(intake.rejects, rejects)
    if as_json:
        write_out(json.dumps(asdict(found), indent=2, default=str))
        return
    _show(found)
    why = intake.rejects.group_by(["file", "column", "reason"], use_threads=False).aggregate([([], "count_all")])
    for reason in why.to_pylist():
        place = f"{reason['file']}: column {reason['column']}" if reason["column"] else reason["file"]
        line(f"[yellow]rejected[/yellow] {reason['count_all']:,} rows of {place}: {reason['reason']}")
    next_step("leadwell train --data FOLDER --bundle artifacts/bundle")


def show_counts(counts: Mapping[str, Counts]) -> None:
    """The law of intake, table by table: used + rejected + duplicate = read."""
    rows = [(n, *(f"{x:,}" for x in (c.read, c.used, c.rejected, c.duplicate))) for n, c in counts.items()]
    table("Rows", ("table", "read", "used", "rejected", "duplicate"), rows, right=(1, 2, 3, 4))


def _show(found: QualityReport) -> None:
    show_counts(found.counts)
    rows = [
        (
            c.table,
            c.column,
            f"{c.known_share:.0%}",
            f"{c.distinct:,}",
            "; ".join(
                note
                for note in (
                    "constant" if c.constant else "",
                    f"same as {c.same_as}" if c.same_as else "",
                    f"{c.unmapped:,} values in no vocabulary" if c.unmapped else "",
                )
                if note
            ),
        )
        for c in found.columns[:MOST_COLUMNS]
    ]
    table("Columns", ("table", "column", "known", "distinct", "note"), rows, right=(2, 3))
    if len(found.columns) > MOST_COLUMNS:
        line(f"[dim]{len(found.columns) - MOST_COLUMNS} more columns: --json shows all[/dim]")
    for name, columns in found.extras.items():
        if columns:
            line(f"[yellow]not read[/yellow] {name}: {', '.join(columns)} (no table has such a column)")
    for what, count in found.flagged.items():
        if count:
            line(f"[yellow]odd[/yellow] {what}: {count:,} rows, used all the same")
    if found.undeclared:
        line(f"[red]undeclared[/red] {', '.join(found.undeclared)}: training refuses them until the mapping has them")
    if found.suspects:
        shown = [
            (s.column, f"{s.strength:.2f}", f"{s.auc:.3f}", s.declared, "; ".join(s.evidence[:2]))
            for s in found.suspects
        ]
        table("May know the outcome", ("column", "strength", "AUC alone", "declared", "evidence"), shown, right=(1, 2))


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.command(rich_help_panel="Start here")(sample)
    app.add_typer(data, name="data", rich_help_panel="Data scientists")
