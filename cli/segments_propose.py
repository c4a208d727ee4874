"""`leadwell segments propose`: groups that the data hold, as drafts for a person, with a report for marketers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cli.clock import chosen
from cli.screen import line, next_step, step, table
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from configs.settings import Settings
    from models.candidates.lineage import Lineage
    from training.proposals.proposal import Proposal, ProposalReport

Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]


def propose(
    data: Annotated[Path, typer.Option("--data", help="folder with one file for each table; with --source one file")],
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export")] = None,
    out: Annotated[Path, typer.Option("--out", help="where drafts and the report go")] = Path("artifacts/proposals"),
    as_of: Annotated[str | None, typer.Option("--as-of", help="what was known when, e.g. 2026-06-30")] = None,
    artifacts: Annotated[Path, typer.Option("--artifacts", help="where the MLflow store lives")] = Path("artifacts"),
    track: Annotated[bool, typer.Option("--track/--no-track", help="log it to MLflow")] = True,
    configs: Configs = None,
) -> None:
    """Cluster leads, keep what is stable, and write each group down as a rule that a person can edit.

    Nothing proposed here is in use: a person finishes a draft, and another person approves it. A second run in the same
    folder says what became of each group; drafts that somebody has edited are left alone.

    Example: leadwell segments propose --data artifacts/demo/world --out artifacts/proposals

    Example: leadwell segments propose --source xeducation --data leads.csv --out artifacts/proposals
    """
    from configs.settings import load_settings
    from training.proposals.log import log_proposal

    settings = load_settings(configs)
    if source is None:
        found = _from_tables(data, settings, as_of, out)
    elif as_of is not None:
        raise InputInvalid("--as-of", "expected none with --source: its mapping says when the export was taken")
    else:
        found = _from_export(source, data, settings, out)
    if track:
        with step("Logging to MLflow"):
            log_proposal(found, artifacts, data.name)
    _show(found, out, source)


def _from_tables(data: Path, settings: Settings, as_of: str | None, out: Path) -> ProposalReport:
    from features.intake.quality.check import check
    from features.intake.sources import find_files, read_tables
    from training.proposals.folder import open_folder
    from training.proposals.propose import propose as propose_segments

    if data.is_file():
        raise InputInvalid(str(data), "expected a folder with one file for each table; a flat export needs --source")
    instant, files = chosen(as_of, data), find_files(data)
    open_folder(out)  # said before everything is read, not after
    with step("Reading tables"):
        intake = read_tables(files, settings, assets=settings.assets, as_of=instant)
    with step("Checking the data"):
        quality = check(intake, settings, as_of=instant, files=files)
    with step("Proposing segments") as report:
        return propose_segments(intake.tables, settings, instant, out, quality=quality, progress=report)


def _from_export(source: Path, data: Path, settings: Settings, out: Path) -> ProposalReport:
    from configs.settings import load_source
    from features.intake.flat import read_flat
    from training.proposals.propose import propose_flat

    mapping = load_source(source)
    with step("Reading the export"):
        intake = read_flat(mapping, data, settings, training=False)
    rejected, twice = intake.rejects.num_rows, intake.counts["leads"].duplicate
    if rejected or twice:
        line(f"[yellow]{rejected:,} rows rejected, {twice:,} counted once[/yellow]")
    with step("Proposing segments") as report:
        return propose_flat(intake, settings, mapping, out, progress=report)


def _show(found: ProposalReport, out: Path, source: Path | None) -> None:
    left = sum(found.left_out.values())
    line(f"{found.leads:,} leads as of {found.as_of:%Y-%m-%d}, {left:,} left out; {len(found.proposals)} groups")
    for note in found.notes:
        line(f"[yellow]{escape(note)}[/yellow]")
    drafts = found.proposed
    if drafts:
        columns = ("draft", "leads", "prec.", "recall", "conversion", "education", "promotion")
        table("Proposed segments", columns, [_row(p) for p in drafts], right=(1, 2, 3, 4, 5, 6))
        line(
            "[dim]conversion: times that of all leads, with its 95 % interval; education, promotion: how many may[/dim]"
        )
        line("[dim]be contacted for it, on any channel, under today's rules[/dim]")
        for p in drafts:
            line(f"[bold]{p.name}[/bold]: {escape(p.says)}")
    else:
        line("No group is worth a segment of its own: the reasons follow.")
    refused = [p for p in found.proposals if p.rejected is not None]
    if refused:
        rows = [(p.name, f"{p.candidate.size:,}", " ".join((p.why, p.remap)).strip()) for p in refused]
        table("Not proposed", ("group", "leads", "why, and what instead"), rows, right=(1,))
    for against, lineage in found.lineage.items():
        line(f"[dim]{'approved segments' if against == 'approved' else 'the run before'}:[/dim] {_descent(lineage)}")
    line(f"report: {out / 'report.html'}")
    if drafts and source is None:
        next_step(f"finish {drafts[0].segment_id}.yaml, move it to configs/segments/, then: leadwell segments lint")
    else:
        next_step(f"read {out / 'report.html'}")


def _row(proposal: Proposal) -> tuple[str, ...]:
    conversion, reach, distilled = proposal.conversion, proposal.reach, proposal.distilled
    lift = "-"
    if conversion is not None and conversion.leads and conversion.base_rate:
        lift = f"{conversion.lift:.1f}x ({conversion.lift_low:.1f}-{conversion.lift_high:.1f})"
    anyhow = [f"{count:,}" for count in reach.anyhow.values()] if reach is not None else ["-", "-"]
    return (
        proposal.name,
        f"{proposal.members:,}",
        f"{distilled.fidelity.precision:.2f}" if distilled else "-",
        f"{distilled.fidelity.recall:.2f}" if distilled else "-",
        lift,
        *anyhow,
    )


def _descent(lineage: Lineage) -> str:
    counts = [(kind, len(lineage.of(kind))) for kind in ("same", "split", "merged", "new", "gone")]
    return ", ".join(f"{count} {kind}" for kind, count in counts if count)


def register(segments: typer.Typer) -> None:
    """Add the command."""
    segments.command()(propose)
