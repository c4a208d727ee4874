"""`leadwell segments show`: the map at a glance, and one definition as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen
from cli.screen import line, next_step, table
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from datetime import date

    from configs.definitions import SegmentDefinition
    from configs.settings import Settings
    from features.evaluate import Domain
    from models.segments.map import Activation

SegmentId = Annotated[str | None, typer.Argument(help="one segment; all of them when absent")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="the day that approvals are judged on")]
Configs = Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")]


def show(segment_id: SegmentId = None, as_of: AsOf = None, configs: Configs = None) -> None:
    """Show the segment map, or one segment: who is in it, what they are told, and what a draft still needs.

    Example: leadwell segments show onc_community_center
    """
    from configs.settings import load_settings
    from features.evaluate import Domain
    from models.segments.map import SegmentMap

    settings = load_settings(configs)
    on = chosen(as_of, None).date()
    if segment_id is None:
        _show_all(settings, on)
        return
    domain = Domain.of(settings)
    found = {a.definition.id: a for a in SegmentMap(settings.segments, domain).activations}
    if segment_id not in found:
        near = get_close_matches(segment_id, found, n=3, cutoff=0.5)
        meant = f"did you mean {', '.join(near)}?" if near else "leadwell segments show lists them"
        raise InputInvalid("segments", f"no segment {segment_id!r}; {meant}")
    one = found[segment_id]
    d = one.definition
    line(f"[bold]{segment_id}[/bold] version {d.version}: {d.title}")
    line(f"{_standing(d, on)} [dim]{settings.files.get(('segments', segment_id), '')}[/dim]\n")
    table("Who is in it", ("", ""), _membership(one, domain, on))
    table("What it is for", ("", ""), _purpose(d))
    stages = [stage for stage in settings.actions.stages if stage in d.offers or stage in d.calls_to_action]
    rows = [(stage, ", ".join(d.offers.get(stage, ())) or "-", d.calls_to_action.get(stage, "-")) for stage in stages]
    table("By stage", ("stage", "offers", "call to action"), rows)
    if d.proof_points:
        table("By role", ("role", "proof point"), [(_words(role), says) for role, says in d.proof_points.items()])
    table("Who answers for it", ("", ""), _answers(d))
    for needed in d.needs:
        line(f"[yellow]still needs[/yellow] {needed}")
    next_step("leadwell segments lint" if d.status == "draft" else "leadwell segments matrix")


def _show_all(settings: Settings, on: date) -> None:
    ordered = sorted(settings.segments, key=lambda d: (d.status != "approved", d.priority))
    rows = [
        (d.priority, d.id, d.version, _standing(d, on, short=True), d.unit, _words(d.purpose), d.title) for d in ordered
    ]
    table("Segment map", ("priority", "id", "version", "status", "unit", "purpose", "title"), rows, right=(0, 2))
    approved = sum(d.status == "approved" for d in ordered)
    line(f"{approved} approved, {len(ordered) - approved} that hold nobody")
    next_step("leadwell segments show ID, or leadwell segments matrix --out artifacts/matrix.html")


def _standing(d: SegmentDefinition, on: date, *, short: bool = False) -> str:
    """What a definition's status means on a day."""
    if d.status != "approved" or d.approval is None:
        shown = f"[yellow]{d.status}[/yellow]"
        return (
            shown if short else f"{shown}: it holds nobody" + (f", {d.replaced_by} took over" if d.replaced_by else "")
        )
    if not d.residual and not d.is_active(on):
        return "[red]approval ran out[/red]" if short else f"[red]approval ran out on {d.approval.expires_on}[/red]"
    if short:
        return "[green]approved[/green]"
    signed = d.approval
    until = f"until {signed.expires_on} ({signed.reference})"
    return f"[green]approved[/green] by {signed.by} on {signed.on}, {until}; next review {d.due_on}"


def _membership(one: Activation, domain: Domain, on: date) -> Iterator[tuple[str, object]]:
    from configs.conditions import parse
    from features.evaluate import as_english

    d = one.definition
    yield "enters when", as_english(one.direct, domain, on) if one.direct else "no other segment holds it"
    for place, step in enumerate(d.fallback, start=1):
        if step.use:
            missing = " and ".join(_words(fact) for fact in step.missing)
            instead = as_english(parse(step.use, domain.facts, domain.parameters), domain, on)
            yield f"fallback {place}", f"{step.says}\n[dim]{missing} unknown, and {instead}[/dim]"
        else:
            yield "else", step.says
    yield "leaves when", as_english(one.exit, domain, on) if one.exit else "another segment holds it"
    dwell = f"stays at least {d.min_dwell_days} days" if d.min_dwell_days else "may leave at once"
    again = {"allowed": "may come back", "after_dwell": "may come back after as long away", "never": "never comes back"}
    yield "membership", f"{d.unit}, priority {d.priority}; {dwell}; {again[d.reentry]}"
    if one.overlay:
        yield "overlay", "looks at the readiness band: evaluated after readiness, never primary, picks no model"
    yield "size", f"at least {d.size.min_leads} leads, at most {d.size.max_share:.0%} of all"


def _purpose(d: SegmentDefinition) -> Iterator[tuple[str, object]]:
    product = f", about {_words(d.product)}" if d.product else ""
    yield "purpose", f"{_words(d.purpose)} for {', '.join(d.audience)}{product}"
    yield "hypothesis", d.hypothesis.strip()
    yield "message goal", d.message_goal.strip() or "not said"
    yield "themes", "; ".join(d.themes)
    if d.matrix:
        yield "content", f"{d.matrix.content_need} ({', '.join(_words(kind) for kind in d.matrix.content_types)})"
        yield "clinical dimension", d.matrix.clinical_dimension
        yield "care setting", d.matrix.care_setting
    yield "channels", ", ".join(_words(channel) for channel in d.channel_plan) or "none"
    yield "next best action", d.next_best_action


def _answers(d: SegmentDefinition) -> Iterator[tuple[str, object]]:
    yield "owner", d.owner
    yield "written by", d.author
    if d.key_contacts:
        yield "key contacts", ", ".join(d.key_contacts)
    yield "primary KPI", d.primary_kpi
    yield "also watched", "; ".join(d.secondary_kpis) or "nothing else"
    yield "conversion event", d.conversion_event
    yield "data sources", ", ".join(d.data_sources)


def _words(name: str) -> str:
    return name.replace("_", " ")


def register(segments: typer.Typer) -> None:
    """Add the command."""
    segments.command()(show)
