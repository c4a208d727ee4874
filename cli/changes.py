"""`leadwell changes`: what would still change one lead's readiness."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import clock_of
from cli.scoring import bundle_folder
from cli.screen import aside, line, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from serving.changes import Changed, WhatWouldChange

_WHO = {"lead": "the lead", "us": "we", "nobody": "nobody"}


def changes(
    lead: Annotated[Path, typer.Argument(help="a request body as for POST /v1/score", exists=True, dir_okay=False)],
    bundle: Annotated[Path | None, typer.Option("--bundle", help="bundle folder; the champion's when absent")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="made world the request is from: its clock holds")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="decide with what was known then")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Annotated[Path | None, typer.Option("--configs", help="folder of another configuration")] = None,
) -> None:
    """What would change the readiness of each lead of a request, limited to what the lead or we can honestly change.

    Each line is the whole answer made again with one more thing recorded; configs/changes.yaml declares which. Nothing
    is stored, nothing is permitted by it, and it says what would be answered, not what would happen.

    Example: leadwell changes artifacts/demo/request.json --data artifacts/demo/world --bundle artifacts/demo/bundle
    """
    from configs.settings import load_settings
    from serving.api import parse
    from serving.changes import what_would_change
    from serving.decide import Decider

    settings = load_settings(configs)
    clock = clock_of(data)
    request = parse(lead.read_bytes(), max_leads=settings.serving.max_leads)
    if request.rejected:
        first = request.rejected[0]
        raise InputInvalid(str(lead), f"{first.path}: expected {first.expected}")
    instant = clock.settle(as_of or request.as_of, aside) or clock.now
    decider = Decider.load(bundle_folder(bundle), settings, on=instant.date())
    if request.assets is not None:
        decider = decider.with_assets(request.assets, requested=True)
    found = [what_would_change(item, decider, instant) for item in request.leads]
    if as_json:
        write_out(json.dumps([_plain(one) for one in found], indent=2))
        return
    for one in found:
        _show(one)


def _plain(one: WhatWouldChange) -> dict[str, object]:
    listed = [{**asdict(change), "change": change.change.id, "by": change.change.by} for change in one.changes]
    return {"lead_id": one.answer["lead_id"], "changes": listed, "unmoved": one.unmoved}


def _show(one: WhatWouldChange) -> None:
    readiness, lead_id = one.answer["readiness"], one.answer["lead_id"]
    if readiness.get("reason") == "NO_SCORE":
        line(f"[red]{lead_id} may not be scored[/red], so nothing is said of what would change it")
        return
    chance = "no probability" if readiness["probability"] is None else f"{readiness['probability']:.1%}"
    grades = f"{one.answer['fit']['grade']}{one.answer['engagement']['grade']}"
    rows = [
        (
            f"{_WHO[changed.change.by]}: {changed.change.says}",
            "" if changed.probability is None else f"{changed.probability:.1%}",
            "" if changed.gain is None else f"{changed.gain:+.2f}",
            _moved(readiness["band"], changed.band),
            _moved(grades, changed.grades),
            _besides(changed),
        )
        for changed in one.changes
    ]
    columns = ("what", "then", "log-odds", "band", "grades", "besides")
    table(f"{lead_id}: now {chance}, {readiness['band']}, {grades}", columns, rows, right=(1, 2))
    if one.unmoved:
        line(f"[dim]would change nothing: {', '.join(one.unmoved)}[/dim]")
    line("[dim]what would be answered, not what would happen; it permits nothing[/dim]")


def _moved(before: str, after: str) -> str:
    return f"[dim]{after}[/dim]" if before == after else f"{before} → [bold]{after}[/bold]"


def _besides(changed: Changed) -> str:
    parts = [f"enters {segment}" for segment in changed.entered] + [f"leaves {segment}" for segment in changed.left]
    if changed.through is not None:
        named = ", ".join(changed.through)
        parts.append(f"may be invited by {named}" if named else "may not be invited: of its own accord only")
    return "; ".join(parts)


def register(app: typer.Typer) -> None:
    """Add the command of this room."""
    app.command(rich_help_panel="CRM and jobs")(changes)
