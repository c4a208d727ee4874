"""`leadwell segments apply`: who is in which segment now, and what moved since the last run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import clock_of, moment
from cli.screen import line, next_step, step, table
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from configs.settings import Settings
    from serving.memberships.apply import Applied


def apply(
    data: Annotated[Path, typer.Option("--data", help="folder with one file for each table")],
    out: Annotated[Path, typer.Option("--out", help="folder of the memberships; every run goes on from the last")],
    as_of: Annotated[str | None, typer.Option("--as-of", help="place everybody as known then, e.g. 2026-06-30")] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="result of rescore for the same instant, for overlay segments")
    ] = None,
    suppressions_complete_as_of: Annotated[
        str | None, typer.Option(help="until when the suppression feed is complete, where its file does not say")
    ] = None,
    configs: Annotated[
        Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")
    ] = None,
) -> None:
    """Place every lead, and write the memberships and one move for each change since the last run.

    The folder is the state: its memberships.parquet is what the next run and `rescore --memberships` go on from, its
    moves are a stream that only grows. The same data and instant again change nothing.

    Example: leadwell segments apply --data artifacts/demo/world --out artifacts/demo/memberships
    """
    from configs.settings import load_settings
    from features.intake.sources import find_files
    from features.layout import LAYOUTS
    from serving.memberships.apply import apply as apply_segments

    if out.name in LAYOUTS and out.resolve().parent == data.resolve():
        raise InputInvalid(str(out), f"expected another folder: below --data it would be read as the table {out.name}")
    settings = load_settings(configs)
    instant = clock_of(data).settle(as_of)
    complete = moment(suppressions_complete_as_of) if suppressions_complete_as_of else None
    with step("Placing leads") as report:
        done = apply_segments(
            find_files(data), settings, out, instant,
            scores=scores, suppressions_complete_as_of=complete, progress=report,
        )  # fmt: skip
    _show(done, settings, data, f" --as-of {as_of}" if as_of else "")


def _show(done: Applied, settings: Settings, data: Path, when: str) -> None:
    ordered = [d.id for d in sorted(settings.segments, key=lambda d: (d.priority, d.id))]
    names = [name for name in ordered if name in done.after] + sorted(set(done.after) - set(ordered))
    kinds = ("entered", "left", "paused", "follow_up", "active")
    rows = [
        (
            name,
            f"{done.before[name]:,}",
            f"{done.after[name]:,}",
            *(f"{count:,}" if (count := done.moves.get((name, kind), 0)) else "" for kind in kinds),
        )
        for name in names
        if done.after[name] or done.before[name] or any(done.moves.get((name, kind)) for kind in kinds)
    ]
    since = "first run" if done.since is None else f"since {done.since:%Y-%m-%d %H:%M} UTC"
    if done.since is not None:
        why = f", because {done.everybody}" if done.everybody else ""
        since += f", {done.placed:,} placed again{why}"
    columns = ("segment", "before", "now", "entered", "left", "paused", "follow-up", "active again")
    table(f"{done.leads:,} leads, {since}", columns, rows, right=range(1, 8))
    total = sum(done.moves.values())
    if done.fired:
        titles = {trigger.id: (trigger.title, trigger.owner) for trigger in settings.triggers}
        fired = [(name, f"{count:,}", *titles[name]) for name, count in done.fired.items()]
        table("Triggers that fired", ("trigger", "leads", "what", "owner"), fired, right=(1,))
    _show_stages(done, settings)
    if done.below_hygiene:
        line(f"[yellow]below the hygiene minimum, so nobody is in them: {', '.join(done.below_hygiene)}[/yellow]")
    if done.waiting:
        line(f"[yellow]waiting for readiness (--scores FOLDER of rescore): {', '.join(done.waiting)}[/yellow]")
    if done.forbidden:
        line(f"{done.forbidden:,} leads may not be profiled: they are in no segment")
    if done.unsure:
        line(f"[yellow]{done.unsure:,} leads stay as they were: nothing says yet that they may be profiled[/yellow]")
        if 2 * done.unsure > done.leads:
            line("[yellow]the feed of stops is not fresh: for an older instant, --suppressions-complete-as-of[/yellow]")
    if done.rejected:
        line(f"[yellow]{done.rejected:,} rows were rejected: leadwell data check says why[/yellow]")
    if not done.changed:
        line(f"Nothing changed: {done.state} is that of this instant and these data")
    else:
        accounts = f" and {done.account_moves:,} of accounts" if done.account_moves else ""
        line(f"{total:,} moves of leads{accounts}: {done.state / 'moves'}")
        line(f"memberships: {done.state / 'memberships.parquet'}")
        if done.stage_moves:
            line(f"moves of stage and lifecycle: leadwell stages moves {done.state} --last")
    next_step(f"leadwell rescore --data {data} --memberships {done.state / 'memberships.parquet'}{when} --out scores/")


def _show_stages(done: Applied, settings: Settings) -> None:
    """Who came to which stage, from before it, from after it, or for the first time."""
    order = settings.vocabularies["stage"].values
    place = {word: at for at, word in enumerate(order)}
    rows = []
    for word in (*order, ""):
        counts = {old: count for (kind, old, new), count in done.stage_moves.items() if kind == "stage" and new == word}
        first = counts.pop("", 0)
        here = place.get(word, -1)
        up, down = (sum(c for old, c in counts.items() if (place[old] < here) == deeper and place[old] != here)
                    for deeper in (True, False))  # fmt: skip
        other = counts.get(word, 0)
        if first or up or down or other:
            shown = (f"{count:,}" if count else "" for count in (first, up, down, other))
            rows.append((word or "none shown", *shown))
    if rows:
        columns = ("stage", "first known", "came up", "fell back", "another product")
        table("Moves of stage", columns, rows, right=range(1, 5))


def register(segments: typer.Typer) -> None:
    """Add the command of this room."""
    segments.command()(apply)
