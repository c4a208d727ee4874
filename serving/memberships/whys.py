"""Why each move was made: the facts that decided, or what ended a membership from outside the lead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import facts_used
from configs.settings import Settings
from features.facts import Facts
from models.segments.map import FALLBACK, SegmentMap, told
from models.segments.moves import KINDS, STATUSES, Because, Changes, Held, Triple
from models.segments.statuses import StatusRules

REASON = "reason"
# What ends a membership besides its exit condition; the first that holds is told.
LEAD_GONE, MERGED, OBJECTED = "lead gone", "merged into another lead", "may not be profiled"
RETIRED, EXPIRED, UNAPPROVED, BELOW, ANOTHER = (
    "retired",
    "approval expired",
    "not approved",
    "below hygiene",
    "another segment holds the lead",
)


@dataclass(frozen=True, slots=True)
class Endings:
    """What ends memberships whatever conditions say: by unit and by segment, "" where nothing does."""

    units: NDArray[np.object_]
    segments: tuple[str, ...]


def endings_of_segments(
    segment_ids: Sequence[str], segment_map: SegmentMap, settings: Settings, below: Sequence[str], on: date
) -> tuple[str, ...]:
    """Why nobody is in a segment any more, in words; "" for one that is active."""
    active = dict(zip(segment_map.segment_ids, segment_map.active(on).tolist(), strict=True))
    statuses = {definition.id: definition.status for definition in settings.segments}
    residual = segment_map.segment_ids[segment_map.residual]

    def why(segment_id: str) -> str:
        if segment_id == residual:
            return ANOTHER
        if active.get(segment_id):
            return ""
        if segment_id in below:
            return BELOW
        if segment_id in active:
            return EXPIRED
        return UNAPPROVED if statuses.get(segment_id) in ("draft", "proposed") else RETIRED

    return tuple(why(segment_id) for segment_id in segment_ids)


def whys(
    changes: Changes,
    before: Held,
    after: Held,
    facts: Facts,
    segment_map: SegmentMap,
    endings: Endings,
    statuses: StatusRules,
    as_of: datetime,
) -> Because:
    """The reason of every change, as [fact, known or unknown, value]; each distinct one is made once."""
    found = Because(len(changes))
    now, was = changes.after, changes.before
    for code, word in enumerate(KINDS):
        rows = np.flatnonzero(changes.kind == code)
        if not len(rows):
            continue
        if word == "left":
            _left(found, rows, before.rows(was[rows]), facts, segment_map, endings)
        elif word == "entered":
            _entered(found, rows, after.rows(now[rows]), facts, segment_map, as_of.astimezone(UTC).date())
        elif word == "status":
            _status(found, rows, before.rows(was[rows]), after.rows(now[rows]), facts, statuses)
        elif word == "version":
            for version in np.unique(after.version[now[rows]]).tolist():
                found.says(rows[after.version[now[rows]] == version], [("definition", "known", f"version {version}")])
        else:
            for place in np.unique(after.segment[now[rows]]).tolist():
                # A row that waits may be of a segment outside the map, and no such row becomes primary.
                priority = segment_map.definitions[place].priority
                found.says(rows[after.segment[now[rows]] == place], [("priority", "known", priority)])
    return found


def _left(
    found: Because, rows: NDArray[np.intp], left: Held, facts: Facts, segment_map: SegmentMap, endings: Endings
) -> None:
    reasons = endings.units[left.unit]
    for reason in sorted(set(reasons.tolist()) - {""}):
        found.says(rows[reasons == reason], [(REASON, "known", reason)])
    for place in np.unique(left.segment).tolist():
        chosen = (left.segment == place) & (reasons == "")
        if endings.segments[place]:
            found.says(rows[chosen], [(REASON, "known", endings.segments[place])])
            continue
        leave = segment_map.activations[place].exit
        names = tuple(facts_used(leave)) if leave is not None else ()
        _looks_at(found, rows[chosen], left.unit[chosen], names, facts, segment_map)


def _entered(
    found: Because, rows: NDArray[np.intp], entered: Held, facts: Facts, segment_map: SegmentMap, on: date
) -> None:
    for place in np.unique(entered.segment).tolist():
        chosen = entered.segment == place
        enter = segment_map.activations[place].enter
        names = tuple(facts_used(enter)) if enter is not None else ()
        if not names:
            found.says(rows[chosen], [(REASON, "known", "no other segment holds the lead")])
            continue
        _looks_at(found, rows[chosen], entered.unit[chosen], names, facts, segment_map, fallback_of=(place, on))


def _status(found: Because, rows: NDArray[np.intp], was: Held, is_: Held, facts: Facts, statuses: StatusRules) -> None:
    pair = was.status.astype(np.int64) * len(STATUSES) + is_.status
    for one in np.unique(pair).tolist():
        old, new = divmod(one, len(STATUSES))
        chosen = pair == one
        names = statuses.facts_behind(STATUSES[old], STATUSES[new])
        words = _Words(statuses.surely.domain.value, names)
        found.looks_at(rows[chosen], was.unit[chosen], _columns(facts, names), words)


def _looks_at(
    found: Because,
    rows: NDArray[np.intp],
    units: NDArray[np.int64],
    names: tuple[str, ...],
    facts: Facts,
    segment_map: SegmentMap,
    *,
    fallback_of: tuple[int, date] | None = None,
) -> None:
    plain = _Words(segment_map.domain.value, names)

    def words(codes: Mapping[str, int]) -> list[Triple]:
        step = None if fallback_of is None else segment_map.fallback_of(fallback_of[0], codes, fallback_of[1])
        return plain(codes) if step is None else [*plain(codes), (FALLBACK, "known", step)]

    found.looks_at(rows, units, _columns(facts, names), words)


class _Words:
    """Codes of facts in words; a fact that nobody built is unknown."""

    def __init__(self, value: Callable[[str, int], str | int | None], names: tuple[str, ...]) -> None:
        self.value, self.names = value, names

    def __call__(self, codes: Mapping[str, int]) -> list[Triple]:
        return [told(name, self.value(name, codes[name]) if name in codes else None) for name in self.names]


def _columns(facts: Facts, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    return {name: facts.columns[name].reshape(-1) for name in names if name in facts.columns}
