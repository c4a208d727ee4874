"""`leadwell registry history`, `correct`, `verify`: what served on a day, as we know it or as we knew it then."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen, moment
from cli.screen import line, table, write_out

if TYPE_CHECKING:
    from training.registry.history import Entry
    from training.registry.timeline import Span

ARTIFACTS = Path("artifacts")
Artifacts = Annotated[Path, typer.Option("--artifacts", help="where champion.json and its history live")]


def history(
    on: Annotated[str | None, typer.Option("--on", help="a day or an instant: what did we serve then?")] = None,
    known: Annotated[
        str | None, typer.Option("--known", help="leave out what was written after this day or instant")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="every entry: judged, approved, withdrawn, served")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="write JSON for another program")] = False,
    artifacts: Artifacts = ARTIFACTS,
) -> None:
    """Say which bundle served when, who asked, who approved and what its gates found. A day means all of it, in UTC.

    Example: leadwell registry history --on 2026-07-14

    Example: leadwell registry history --on 2026-07-14 --known 2026-07-31 --json
    """
    from training.registry.history import read_history
    from training.registry.timeline import timeline

    found = read_history(artifacts)
    until = _last(known) if known else None
    spans = timeline(found, until)
    if on is not None:
        start, stop = moment(on), _last(on)
        spans = tuple(span for span in spans if span.served_from <= stop and (span.until is None or start < span.until))
    if everything:
        _show_entries([e for e in found.entries if until is None or e.recorded_at <= until], as_json)
    elif as_json:
        write_out(json.dumps([span.record() for span in spans], indent=2))
    elif on is not None:
        _show_answers(spans, on)
    else:
        rows = [_row(span) for span in spans]
        columns = ("from", "until", "bundle", "how", "asked by", "approved by", "written")
        table("What served when (UTC)", columns, rows)
    if found.torn or found.unfinished:
        line("[yellow]a run was killed in the middle, or is at it: the next promote or rollback settles it[/yellow]")


def correct(
    served_from: Annotated[str, typer.Option("--from", help="first instant of the span")],
    served_until: Annotated[str, typer.Option("--until", help="end of the span; not after now")],
    by: Annotated[str, typer.Option("--by", help="who says so")],
    reason: Annotated[str, typer.Option("--reason", help="how it is known")],
    bundle_id: Annotated[
        str | None,
        typer.Option("--bundle-id", help="what served in truth; nothing did when absent"),
    ] = None,
    artifacts: Artifacts = ARTIFACTS,
) -> None:
    """Write down what served in truth in a span of the past; nothing that was written before is changed.

    For what the history could not know: a service started with LEADWELL_BUNDLE, an outage, a folder served by hand.

    Example: leadwell registry correct --from 2026-07-03 --until 2026-07-05 --by "Ada Example" --reason "outage, INC-12"
    """
    from training.registry.timeline import correct as write_correction

    entry = write_correction(
        artifacts,
        bundle_id=bundle_id,
        served_from=moment(served_from),
        served_until=moment(served_until),
        by=by,
        reason=reason,
        as_of=chosen(None),
    )
    line(f"entry {entry.number}: {(entry.bundle_id or 'nothing')[:12]} served in that span")


def verify(artifacts: Artifacts = ARTIFACTS) -> None:
    """Check the history: every seal, its length, and that champion.json is the one it names. Ends with 2 where not.

    Example: leadwell registry verify
    """
    from training.registry.history import read_history

    found = read_history(artifacts)
    serving = found.champion
    named = f"champion {(serving.bundle_id or '')[:12]} by entry {serving.number}" if serving else "no champion yet"
    seal = found.entries[-1].seal if found.entries else "none"
    line(f"{len(found.entries)} entries hold; {named}")
    line(f"last seal {seal}")
    for entry in found.unfinished:
        line(f"[yellow]entry {entry.number} never took effect: its run was killed before the switch[/yellow]")
    if found.torn:
        line(f"[yellow]{found.torn} bytes of a line that was never finished; the next write removes them[/yellow]")


def _show_answers(spans: tuple[Span, ...], on: str) -> None:
    """One block for each bundle that served in the time asked for."""
    if not spans:
        line(f"nothing served on {on}, as far as the history knows")
    for span in spans:
        said = span.record()
        rows = [
            ("bundle", said["bundle_id"] or "nothing served"),
            ("served", f"{said['served_from']} until {said['served_until'] or 'now'}"),
            ("how", f"{said['how']}, entry {said['entry']}, written {said['recorded_at']}"),
            ("asked by", _plain(said["asked_by"])),
            ("approved by", _plain(", ".join(said["approved_by"])) or "-"),
            *((f"gate {gate['name']}", _plain(_gate(gate))) for gate in said["gates"]),
            *((name.replace("_", " "), version) for name, version in said["versions"].items()),
            *((("reason", _plain(said["reason"])),) if said["reason"] else ()),
        ]
        table(f"On {on}", ("", ""), rows)


def _gate(gate: dict[str, str]) -> str:
    says = gate["says"].replace("\n", "; ")
    return says if gate["passed"] else f"{says}; let pass: {gate['despite']}"


def _row(span: Span) -> tuple[str, ...]:
    said = span.record()
    return (
        _said_at(span.served_from),
        _said_at(span.until) if span.until else "now",
        (said["bundle_id"] or "nothing")[:12],
        said["how"],
        _plain(said["asked_by"]),
        _plain(", ".join(said["approved_by"])) or "-",
        _said_at(span.entry.recorded_at),
    )


def _show_entries(entries: list[Entry], as_json: bool) -> None:
    if as_json:
        write_out(json.dumps([entry.model_dump(mode="json") for entry in entries], indent=2))
        return
    rows = [
        (
            e.number,
            f"{e.recorded_at:%Y-%m-%d %H:%M:%S}",
            e.kind,
            (e.bundle_id or "-")[:12],
            _plain(e.by),
            _plain(_says(e)),
        )
        for e in entries
    ]
    table("Everything that was written", ("entry", "written (UTC)", "what", "bundle", "by", "says"), rows, right=(0,))


def _says(entry: Entry) -> str:
    """The one thing of an entry that a list shows."""
    from training.registry.gates import told

    said = entry.says
    if entry.kind == "judged":
        return told(said)
    if entry.kind == "approved":
        return "; ".join([f"until {said['expires_on']}", *([said["note"]] if said["note"] else [])])
    if entry.kind == "served":
        return f"{said['how']}, approved by {', '.join(said['approved_by'])}"
    if entry.kind == "corrected":
        return f"{said['served_from']} to {said['served_until']}: {said['reason']}"
    return f"entry {said['of']}: {said['reason']}" if entry.kind == "void" else str(said["reason"])


def _last(text: str) -> datetime:
    """The last moment of a day, or the instant itself."""
    whole_day = len(text) == len("2026-06-30")
    return moment(text) + (timedelta(days=1, microseconds=-1) if whole_day else timedelta())


def _said_at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}"


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def register(group: typer.Typer) -> None:
    """Add the commands of this file to `leadwell registry`."""
    for command in (history, correct, verify):
        group.command()(command)
