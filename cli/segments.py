"""`leadwell segments`: propose candidates, check definitions, show what is approved."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, step, table
from configs.errors import InputInvalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from configs.settings import Settings
    from models.segment_lint import Finding
    from models.segment_map import SegmentMap

segments = typer.Typer(help="Propose, check and show segments.", no_args_is_help=True)

Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]


@segments.command()
def propose(
    data: Annotated[Path, typer.Option("--data", help="folder with one file for each table")],
    out: Annotated[Path, typer.Option("--out", help="where drafts and the report go")] = Path("artifacts/proposals"),
    as_of: Annotated[str | None, typer.Option("--as-of", help="what was known when, e.g. 2026-06-30")] = None,
    configs: Configs = None,
) -> None:
    """Cluster leads, keep what is stable, and write each cluster down as a condition a person can edit.

    Nothing proposed here is served: a person edits a draft, names it, and approves it.

    Example: leadwell segments propose --data artifacts/demo/world --out artifacts/proposals
    """
    from configs.settings import load_settings
    from features.intake.sources import find_files, read_tables
    from training.propose import propose as propose_segments

    settings = load_settings(configs)
    instant = chosen(as_of, data)
    with step("Reading tables"):
        intake = read_tables(find_files(data), settings, assets=settings.assets, as_of=instant)
    with step("Proposing segments") as report:
        found = propose_segments(intake.tables, settings, instant, out, progress=report)
    rows = [
        (
            p.segment_id,
            f"{p.members:,}",
            f"{p.distilled.fidelity.precision:.2f}",
            f"{p.distilled.fidelity.recall:.2f}",
            f"{p.conversion.lift:.1f}x" if p.conversion else "",
            p.distilled.enter,
        )
        for p in found.proposed
        if p.distilled is not None
    ]
    columns = ("draft", "leads", "precision", "recall", "conversion", "enters when")
    table("Proposed segments", columns, rows, right=(1, 2, 3, 4))
    for refused in (p for p in found.proposals if p.rejected):
        line(f"[dim]not proposed, {refused.members:,} leads: {refused.rejected}[/dim]")
    line(f"report: {out / 'report.html'}")
    next_step("edit a draft, have it approved, move it to configs/segments/, then: leadwell segments lint")


@segments.command()
def lint(
    data: Annotated[Path | None, typer.Option("--data", help="also judge sizes and overlap on this data")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="the day approvals are judged on")] = None,
    configs: Configs = None,
) -> None:
    """Check the approved definitions for the field's known mistakes; exits 1 when one is an error.

    Example: leadwell segments lint --data artifacts/world
    """
    from configs.settings import load_settings
    from models.segment_lint import lint as lint_segments
    from models.segment_map import SegmentMap

    settings = load_settings(configs)
    instant = chosen(as_of, data)
    segment_map = SegmentMap.load(settings)
    member: NDArray[np.bool_] | None = None
    below: list[Finding] = []
    if data is not None:
        with step("Finding members"):
            member, below = _members(data, settings, segment_map, instant)
    found = below + lint_segments(
        segment_map,
        on=instant.date(),
        assets=settings.assets,
        label_kinds=settings.training.target_kinds,
        counts=None if member is None else dict(zip(segment_map.segment_ids, member.sum(axis=0).tolist(), strict=True)),
        member=member,
        files=settings.files,
    )
    if found:
        rows = [(f.level, f"{f.file}: {f.segment_id}.{f.key}", f.code, f.reason, f.mend) for f in found]
        table("Findings", ("level", "where", "code", "what is wrong", "how to mend it"), rows)
    if member is not None:
        sizes = [(s, f"{n:,}", f"{n / max(len(member), 1):.1%}") for s, n in _sizes(segment_map, member)]
        table("Sizes", ("segment", "leads", "share"), sizes, right=(1, 2))
    failed = sum(f.level == "error" for f in found)
    line(f"{len(settings.segments)} definitions, {failed} errors, {len(found) - failed} warnings")
    if failed:
        raise typer.Exit(1)


def _members(
    data: Path, settings: Settings, segment_map: SegmentMap, as_of: datetime
) -> tuple[NDArray[np.bool_], list[Finding]]:
    """Lead by segment, as known at an instant, and an error for every segment below its hygiene minimum."""
    from features.facts import FactBuilder, facts_of
    from features.intake.quality.check import check
    from features.intake.sources import find_files, read_tables
    from features.inventory import Inventory
    from features.view import view_at
    from models.hygiene import judge
    from models.segment_lint import Finding

    intake = read_tables(find_files(data), settings, assets=settings.assets, as_of=as_of)
    tables = intake.tables
    inventory = Inventory.of(settings.assets, settings.vocabularies)
    builder = FactBuilder.of(settings)
    facts = facts_of(view_at(tables, as_of, builder.view), builder, inventory)
    failed = judge(tables, settings, segment_map, as_of, check(intake, settings, as_of=as_of)).failed
    mend = "complete the field, or have the data steward lower the limit in quality.yaml"
    below = [
        Finding(
            settings.files.get(("segments", gate.name), "segments"), gate.name, gate.field or "enter", "error",
            "BELOW_HYGIENE", gate.says.removeprefix(f"{gate.name}: "), mend,
        )
        for gate in failed
        if gate.kind == "segment"
    ]  # fmt: skip
    return segment_map.members(facts, as_of=as_of).member, below


def _sizes(segment_map: SegmentMap, member: NDArray[np.bool_]) -> list[tuple[str, int]]:
    return list(zip(segment_map.segment_ids, member.sum(axis=0).tolist(), strict=True))


@segments.command()
def show(
    segment_id: Annotated[str | None, typer.Argument(help="one segment; all of them when absent")] = None,
    configs: Configs = None,
) -> None:
    """Show the segment map, or one segment with its rules, themes and next action.

    Example: leadwell segments show onc_community_center
    """
    from configs.settings import load_settings
    from features.evaluate import Domain, as_english
    from models.segment_map import SegmentMap

    settings = load_settings(configs)
    known = {definition.id: definition for definition in settings.segments}
    if segment_id is None:
        ordered = sorted(known.values(), key=lambda d: d.priority)
        rows = [(d.priority, d.id, d.version, d.status, d.purpose, d.title, d.next_best_action) for d in ordered]
        table(
            "Segment map",
            ("priority", "id", "version", "status", "purpose", "title", "next best action"),
            rows,
            right=(0, 2),
        )
        next_step("leadwell segments show ID")
        return
    if segment_id not in known:
        raise InputInvalid("segments", f"no segment {segment_id!r}; expected one of {', '.join(sorted(known))}")
    d = known[segment_id]
    domain = Domain.of(settings)
    (activation,) = (a for a in SegmentMap.load(settings).activations if a.definition.id == segment_id)
    day = d.approval.on if d.approval else d.review_on
    signed = d.approval
    approved = f"{signed.by} on {signed.on}, until {signed.expires_on}" if signed else "[red]not yet[/red]"
    facts: list[tuple[str, object]] = [
        ("title", d.title),
        ("version", d.version),
        ("purpose", d.purpose.replace("_", " ")),
        ("audience", ", ".join(d.audience)),
        ("enters when", as_english(activation.enter, domain, day) if activation.enter else "no other segment holds it"),
        ("leaves when", as_english(activation.exit, domain, day) if activation.exit else "another segment holds it"),
        ("if data is missing", " ".join(step.says for step in d.fallback)),
        ("hypothesis", d.hypothesis),
        ("themes", "; ".join(d.themes)),
        *((f"offers, {stage}", ", ".join(offers)) for stage, offers in d.offers.items()),
        ("channels", ", ".join(d.channel_plan)),
        ("next best action", d.next_best_action),
        ("owner", d.owner),
        ("primary KPI", d.primary_kpi),
        ("conversion event", d.conversion_event),
        ("approved by", approved),
        ("review on", d.review_on),
    ]
    table(segment_id, ("", ""), facts)


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.add_typer(segments, name="segments", rich_help_panel="Data scientists")
