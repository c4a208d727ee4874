"""What we served on a day, as we know it or as we knew it then: the history read along both of its times.

Served time says when something was true, recorded time when we learned it (Snodgrass, Developing Time-Oriented Database
Applications in SQL, 1999, chapter 10). An entry speaks for its own span of served time; where several do, the one
written last does. "As known on a day" leaves out what was written later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from configs.errors import InputInvalid, NotReady
from training.registry.history import Entry, History, moment, person, writing


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when a bundle served, and the entry that says so; `until` None means that it still does.

    `bundle_id` None says that nothing served.
    """

    served_from: datetime
    until: datetime | None
    entry: Entry

    @property
    def bundle_id(self) -> str | None:
        """Which bundle it was."""
        return self.entry.bundle_id

    def record(self) -> dict[str, Any]:
        """The answer to "what did we serve?", as plain values."""
        said = self.entry.says
        return {
            "bundle_id": self.bundle_id,
            "served_from": moment(self.served_from),
            "served_until": moment(self.until) if self.until else None,
            "recorded_at": moment(self.entry.recorded_at),
            "entry": self.entry.number,
            "how": said.get("how", self.entry.kind),
            "asked_by": self.entry.by,
            "approved_by": said.get("approved_by", []),
            "gates": said.get("gates", []),
            "versions": said.get("versions", {}),
            "path": said.get("path"),
            "reason": said.get("reason"),
        }


def timeline(history: History, known: datetime | None = None) -> tuple[Span, ...]:
    """Every span of served time, oldest first and without gaps, as known at an instant; now when absent."""
    claims = _claims(history, known)
    marks = sorted({edge for start, stop, _ in claims for edge in (start, stop) if edge is not None})
    spans: list[Span] = []
    for place, start in enumerate(marks):
        stop = marks[place + 1] if place + 1 < len(marks) else None
        spoken = [entry for first, last, entry in claims if first <= start and (last is None or start < last)]
        if not spoken:
            continue
        chosen = max(spoken, key=lambda entry: entry.number)
        if spans and spans[-1].entry.number == chosen.number and spans[-1].until == start:
            spans[-1] = Span(spans[-1].served_from, stop, chosen)
        else:
            spans.append(Span(start, stop, chosen))
    return tuple(spans)


def served_on(history: History, on: datetime, known: datetime | None = None) -> Span | None:
    """What served at an instant, as known at another one; None before the first champion."""
    spans = timeline(history, known)
    return next((span for span in spans if span.served_from <= on and (span.until is None or on < span.until)), None)


def correct(
    artifacts: Path,
    *,
    bundle_id: str | None,
    served_from: datetime,
    served_until: datetime,
    by: str,
    reason: str,
    as_of: datetime,
) -> Entry:
    """Say what served in truth in a span of the past, such as a folder that was served by hand; nothing is erased.

    `bundle_id` None says that nothing served. Raises InputInvalid on a span that is empty or not over yet.
    """
    name, why = person(by), " ".join(reason.split())
    if not why:
        raise InputInvalid("--reason", "expected how it is known what served")
    if not served_from < served_until <= as_of:
        expected = "expected a span that is over: --from before --until, and --until not after now"
        raise InputInvalid("registry correct", expected)
    with writing(artifacts, as_of) as ledger:
        known = {entry.bundle_id for entry in ledger.history.entries}
        matching = [i for i in known if i and bundle_id and i.startswith(bundle_id)]
        if len(matching) > 1:
            raise InputInvalid("registry correct", "--bundle-id: expected more digits; several bundles begin like this")
        if not ledger.history.entries:
            raise NotReady(f"{artifacts}: no history to correct; `leadwell promote` begins one")
        says = {"served_from": moment(served_from), "served_until": moment(served_until), "reason": why}
        named = matching[0] if matching else bundle_id
        return ledger.append("corrected", by=name, bundle_id=named, as_of=as_of, says=says)


def entries_about(history: History, bundle_id: str, kind: str) -> Iterator[Entry]:
    """The entries of one kind about a bundle, oldest first."""
    return (entry for entry in history.entries if entry.kind == kind and entry.bundle_id == bundle_id)


def _claims(history: History, known: datetime | None) -> list[tuple[datetime, datetime | None, Entry]]:
    """What each entry says of served time that was written by then and not found void by then."""
    entries: Sequence[Entry] = [e for e in history.entries if known is None or e.recorded_at <= known]
    void = {entry.says["of"] for entry in entries if entry.kind == "void"}
    # A killed run that nobody has followed yet left an entry about a switch that never was.
    void |= {entry.number for entry in history.unfinished}
    return [(*_span(e.says), e) for e in entries if e.kind in ("served", "corrected") and e.number not in void]


def _span(says: Mapping[str, Any]) -> tuple[datetime, datetime | None]:
    stop = says.get("served_until")
    return datetime.fromisoformat(says["served_from"]), datetime.fromisoformat(stop) if stop else None
