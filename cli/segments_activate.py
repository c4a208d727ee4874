"""`leadwell segments activate`: tags of leads and accounts for a CRM; what is stale or not approved is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import clock_of, moment
from cli.screen import line, next_step, step, table

if TYPE_CHECKING:
    from serving.tags.activate import Activated


def activate(
    data: Annotated[Path, typer.Option("--data", help="folder with one file for each table")],
    state: Annotated[Path, typer.Option("--state", help="folder of `leadwell segments apply`")],
    out: Annotated[Path, typer.Option("--out", help="folder for the tags; an older one is replaced whole")],
    as_of: Annotated[str | None, typer.Option("--as-of", help="the instant of the tags, e.g. 2026-06-30")] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="result of rescore for the same instant, for readiness bands")
    ] = None,
    suppressions_complete_as_of: Annotated[
        str | None, typer.Option(help="until when the suppression feed is complete, where its file does not say")
    ] = None,
    configs: Annotated[
        Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")
    ] = None,
) -> None:
    """Write the tags of leads and accounts as Parquet, CSV, and import files for Salesforce and HubSpot.

    Memberships older than activation.yaml allows are refused. Segments that no approval covers today, people who may
    not be profiled and whatever tells of a patient's health are withheld, each with a reason and a count. Who lost
    their tags since the last run is listed, with files that clear them.

    Example: leadwell segments activate --data artifacts/demo/world --state artifacts/demo/memberships --out tags/
    """
    from configs.settings import load_settings
    from features.intake.sources import find_files
    from serving.tags.activate import activate as activate_segments

    settings = load_settings(configs)
    instant = clock_of(data).settle(as_of)
    complete = moment(suppressions_complete_as_of) if suppressions_complete_as_of else None
    with step("Making tags") as report:
        done = activate_segments(
            find_files(data), settings, state, out, instant,
            scores=scores, suppressions_complete_as_of=complete, progress=report,
        )  # fmt: skip
    _show(done)


def _show(done: Activated) -> None:
    units = [
        (unit, f"{count:,}", f"{sum(n for (u, _), n in done.withheld.items() if u == unit):,}")
        for unit, count in done.written.items()
    ]
    table("Tags", ("", "written", "withheld"), [(f"{unit}s", *counts) for unit, *counts in units], right=(1, 2))
    if done.withheld:
        rows = [(f"{unit}s", _said(reason), f"{n:,}") for (unit, reason), n in sorted(done.withheld.items())]
        table("Withheld", ("", "why", "how many"), rows, right=(2,))
    if done.segments:
        told = [(segment, _said(reason), f"{n:,}") for (segment, reason), n in sorted(done.segments.items())]
        table("Memberships not told", ("segment", "why", "leads"), told, right=(2,))
    files = [(name, f"{n:,}") for name, n in done.rows.items() if n or not name.endswith(("_clear.csv", "removed.csv"))]
    table("Files", ("file", "rows"), files, right=(1,))
    if not any(name.endswith("/audience.csv") for name in done.rows):
        line("no audience for advertising: only a rescoring says who may be on one; give it with --scores")
    if done.removed:
        line(f"{done.removed:,} lost their tags: removed.csv, and one _clear.csv for each import")
    if done.rejected:
        line(f"{done.rejected:,} rows of the input could not be used; `leadwell data check` names them")
    line(f"{done.out}: {'written' if done.changed else 'the same as before'}")
    next_step(f"import {done.out}/salesforce or {done.out}/hubspot, first the _clear files; docs/accounts.md says how")


def _said(reason: str) -> str:
    return reason.replace("_", " ").lower()


def register(segments: typer.Typer) -> None:
    """Add the command of this room."""
    segments.command()(activate)
