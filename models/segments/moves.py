"""What changed between yesterday's memberships and today's: one move for each change, with old, new, when and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.tables import UNKNOWN_INSTANT, Columns
from models.segments.membership import FIRST

Kind = Literal["entered", "left", "status", "version", "primary"]
KINDS: tuple[str, ...] = get_args(Kind)
STATUSES = ("active", "paused", "follow_up")
INSTANT = pa.timestamp("us", "UTC")
# [fact, known or unknown, value], as the answers of the service word it.
BECAUSE = pa.struct([("fact", pa.string()), ("known", pa.string()), ("value", pa.string())])
SCHEMA = pa.schema(
    [
        ("unit", pa.string()),
        ("id", pa.string()),
        ("segment_id", pa.string()),
        ("version", pa.int32()),
        ("kind", pa.string()),
        ("old", pa.string()),
        ("new", pa.string()),
        ("at", INSTANT),
        ("entered_at", INSTANT),
        ("entry", pa.int32()),
        ("primary", pa.bool_()),
        ("why", pa.list_(BECAUSE)),
        ("triggers", pa.list_(pa.string())),
        ("segment_map", pa.string()),
    ]
)
Triple = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class Held:
    """Memberships as rows, at most one for each unit and segment, in order of both: what is open and what has ended.

    `unit` and `segment` are places in lists that the caller has; `left_at` is UNKNOWN_INSTANT while it is open,
    `status` a place in STATUSES.
    """

    unit: NDArray[np.int64]
    segment: NDArray[np.int32]
    version: NDArray[np.int32]
    entered_at: NDArray[np.int64]
    left_at: NDArray[np.int64]
    status: NDArray[np.int8]
    entry: NDArray[np.int32]
    primary: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.unit)

    @classmethod
    def of(cls, memberships: Columns, segment_of: NDArray[np.int32], now: int) -> Held:
        """From the encoded table as known at an instant; `segment_of` gives the place of each of its segments.

        Repeated pairs count once, as `once` says.
        """
        rows = memberships["lead"].astype(np.int64) if memberships else np.empty(0, dtype=np.int64)
        n = len(rows)

        def column(name: str, absent: int) -> NDArray[Any]:
            return memberships.get(name, np.full(n, absent))

        found = cls(
            unit=rows,
            segment=segment_of[column("segment", -1)].astype(np.int32) if n else np.empty(0, dtype=np.int32),
            version=column("version", 1).astype(np.int32),
            entered_at=column("entered_at", UNKNOWN_INSTANT).astype(np.int64),
            left_at=np.array(column("left_at", UNKNOWN_INSTANT), dtype=np.int64),
            status=np.maximum(column("status", 0).astype(np.int8) - 1, 0).astype(np.int8),
            entry=np.maximum(column("entry", FIRST), FIRST).astype(np.int32),
            primary=column("primary", 0) == 2,
        )
        np.putmask(found.left_at, found.left_at > now, UNKNOWN_INSTANT)
        kept = (found.unit >= 0) & (found.segment >= 0) & (found.entered_at != UNKNOWN_INSTANT)
        kept &= found.entered_at <= now
        return found.rows(np.flatnonzero(kept)).once()

    def once(self) -> Held:
        """In order, and of several rows of a pair the one that is open, else the one that entered last."""
        is_open = self.left_at == UNKNOWN_INSTANT
        order = np.lexsort((self.left_at, self.entered_at, is_open, self.segment, self.unit))
        unit, segment = self.unit[order], self.segment[order]
        last = np.append((unit[1:] != unit[:-1]) | (segment[1:] != segment[:-1]), True)[: len(order)]
        return self.rows(order[last])

    def rows(self, chosen: NDArray[Any]) -> Held:
        """Some of the rows."""
        return Held(**{one.name: getattr(self, one.name)[chosen] for one in fields(self)})

    def with_left(self, at: int) -> Held:
        """The same rows, ended at an instant, active and primary no more."""
        n = len(self)
        left = {"left_at": np.full(n, at, dtype=np.int64), "primary": np.zeros(n, dtype=np.bool_)}
        return Held(**{one.name: left.get(one.name, getattr(self, one.name)) for one in fields(self)})

    def joined(self, *others: Held) -> Held:
        """All rows, in order."""
        parts = (self, *others)
        found = Held(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(self)})
        return found.rows(np.lexsort((found.segment, found.unit)))

    @property
    def open(self) -> NDArray[np.bool_]:
        """Which rows are memberships now."""
        found: NDArray[np.bool_] = self.left_at == UNKNOWN_INSTANT
        return found

    def keys(self, segments: int) -> NDArray[np.int64]:
        """One number for each pair of unit and segment, rising."""
        found: NDArray[np.int64] = self.unit * segments + self.segment
        return found


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows of two sets of memberships that differ: places in `before` and `after`, -1 where there is none; by kind.

    `kind` is a place in KINDS. A change of the primary segment is a change of the row that is primary now.
    """

    kind: NDArray[np.int8]
    before: NDArray[np.int64]
    after: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kind)

    def of(self, name: str, before: Held, after: Held) -> NDArray[Any]:
        """A column of each change's row: as it is now, or as it was where nothing is left."""
        now = self.after >= 0
        return np.where(now, _at(getattr(after, name), self.after), _at(getattr(before, name), self.before))


def changes_between(before: Held, after: Held, segments: int) -> Changes:
    """Every change from one set of memberships to another, ordered by unit, segment and kind.

    Args:
        before: at most one row for each pair, in order.
        after: the same.
        segments: how many there are.

    INVARIANT: the memberships before with every change made are the memberships after; nothing changed is no change.
    A primary segment that nobody had before is told by its entry.
    """
    opened, now = np.flatnonzero(before.open), np.flatnonzero(after.open)
    old_keys, new_keys = before.keys(segments)[opened], after.keys(segments)[now]
    spot = np.searchsorted(old_keys, new_keys)
    inside = spot < len(old_keys)
    same = np.zeros(len(new_keys), dtype=np.bool_)
    same[inside] = old_keys[spot[inside]] == new_keys[inside]
    stayed_before, stayed_after = opened[spot[same]], now[same]
    # A membership that ended and began again at one instant is two changes; it has another entry.
    again = before.entry[stayed_before] != after.entry[stayed_after]
    gone = np.ones(len(opened), dtype=np.bool_)
    gone[spot[same]] = again
    entered = np.concatenate((now[~same], stayed_after[again]))
    parts: list[tuple[int, NDArray[Any], NDArray[Any]]] = [
        (KINDS.index("entered"), np.full(len(entered), -1), entered),
        (KINDS.index("left"), opened[gone], np.full(int(gone.sum()), -1)),
    ]
    b, a = stayed_before[~again], stayed_after[~again]
    for name in ("status", "version"):
        differs = getattr(before, name)[b] != getattr(after, name)[a]
        parts.append((KINDS.index(name), b[differs], a[differs]))
    parts.append((KINDS.index("primary"), *_primaries(before, after, opened, now)))
    kind = np.concatenate([np.full(len(rows), code, dtype=np.int8) for code, _, rows in parts])
    was = np.concatenate([rows for _, rows, _ in parts]).astype(np.int64)
    is_ = np.concatenate([rows for _, _, rows in parts]).astype(np.int64)
    unit = np.where(is_ >= 0, _at(after.unit, is_), _at(before.unit, was))
    segment = np.where(is_ >= 0, _at(after.segment, is_), _at(before.segment, was))
    order = np.lexsort((kind, segment, unit))
    return Changes(kind[order], was[order], is_[order])


def _primaries(before: Held, after: Held, opened: NDArray[Any], now: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows that were primary and rows that are, of the units that had another primary segment before."""
    old, new = opened[before.primary[opened]], now[after.primary[now]]
    _, first, second = np.intersect1d(before.unit[old], after.unit[new], assume_unique=True, return_indices=True)
    old, new = old[first], new[second]
    differs = before.segment[old] != after.segment[new]
    return old[differs], new[differs]


def _at(column: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    return column[np.maximum(rows, 0)] if len(column) else np.zeros(len(rows), dtype=column.dtype)


class Because:
    """Reasons of moves, each distinct one made once: lists of [fact, known or unknown, value]."""

    def __init__(self, size: int) -> None:
        self._words: list[list[dict[str, str | None]]] = [[]]
        self.place: NDArray[np.int64] = np.zeros(size, dtype=np.int64)

    def says(self, rows: NDArray[Any], triples: Sequence[Triple]) -> None:
        """The same reason for all of some moves."""
        self._words.append([_worded(triple) for triple in triples])
        self.place[rows] = len(self._words) - 1

    def looks_at(
        self,
        rows: NDArray[Any],
        units: NDArray[Any],
        columns: Mapping[str, NDArray[Any]],
        words: Callable[[Mapping[str, int]], Sequence[Triple]],
    ) -> None:
        """A reason made of the codes that each move's unit has; `words` makes it, once for each set of codes."""
        if not len(rows):
            return
        own = {
            name: column[units] if len(column) > 1 else np.repeat(column, len(units))
            for name, column in columns.items()
        }
        group = np.zeros(len(rows), dtype=np.int64)
        for column in own.values():
            values, place = np.unique(column, return_inverse=True)
            _, group = np.unique(group * len(values) + place.reshape(-1), return_inverse=True)
        _, first, group = np.unique(group, return_index=True, return_inverse=True)
        start = len(self._words)
        for at in first.tolist():
            codes = {name: int(column[at]) for name, column in own.items()}
            self._words.append([_worded(triple) for triple in words(codes)])
        self.place[rows] = start + group.reshape(-1)

    def column(self) -> pa.Array:
        """The reasons, move by move."""
        return pa.array(self._words, pa.list_(BECAUSE)).take(pa.array(self.place))


def _worded(triple: Triple) -> dict[str, str | None]:
    fact, known, *value = triple
    return {"fact": str(fact), "known": str(known), "value": str(value[0]) if value else None}


def _old_and_new(
    changes: Changes,
    before: Held,
    after: Held,
    version: NDArray[np.int32],
    segments: NDArray[np.int32],
    segment_ids: Sequence[str],
) -> tuple[pa.Array, pa.Array]:
    """What each change was and is, in words: statuses, versions, or primary segments."""
    was_version = _at(before.version, changes.before)
    versions = np.unique(np.concatenate((version, was_version)))
    words = pa.array([*STATUSES, *segment_ids, *(str(number) for number in versions.tolist())], pa.string())
    of_segments, of_versions = len(STATUSES), len(STATUSES) + len(segment_ids)
    places = {
        "status": (_at(before.status, changes.before), _at(after.status, changes.after)),
        "version": tuple(of_versions + np.searchsorted(versions, column) for column in (was_version, version)),
        "primary": (of_segments + _at(before.segment, changes.before), of_segments + segments),
    }
    old, new = (np.full(len(changes), -1, dtype=np.int64) for _ in range(2))
    for code, word in enumerate(KINDS):
        rows = np.flatnonzero(changes.kind == code)
        first, second = places.get(word, places["status"])
        if word != "entered":
            old[rows] = first[rows]
        if word != "left":
            new[rows] = second[rows]
    return tuple(words.take(pa.array(np.maximum(place, 0), mask=place < 0)) for place in (old, new))


def moves_table(
    changes: Changes,
    before: Held,
    after: Held,
    *,
    unit: str,
    ids: pa.Array,
    segment_ids: Sequence[str],
    at: int,
    why: Because,
    triggers: NDArray[np.uint64],
    trigger_ids: Sequence[str],
    segment_map: str,
) -> pa.Table:
    """Changes as rows of the event stream, with the columns of SCHEMA.

    Args:
        changes: from `changes_between`.
        before: the memberships that they start from.
        after: the memberships that they lead to.
        unit: `lead` or `account`.
        ids: of the units.
        segment_ids: of the segments.
        at: the instant of all of them, microseconds since 1970 UTC.
        why: the reason of each.
        triggers: for each change a mask of the triggers that made it due.
        trigger_ids: of the bits of the masks.
        segment_map: hash of the map that decided.
    """
    n, kind = len(changes), changes.kind
    now = changes.after >= 0

    units, segments, version = (changes.of(name, before, after) for name in ("unit", "segment", "version"))
    names = pa.array(list(segment_ids), pa.string())
    old, new = _old_and_new(changes, before, after, version, segments, segment_ids)
    masks, place = np.unique(triggers, return_inverse=True)
    fired = [[name for bit, name in enumerate(trigger_ids) if mask >> bit & 1] for mask in masks.tolist()]
    columns = {
        "unit": pa.repeat(pa.scalar(unit), n),
        "id": ids.take(pa.array(units)),
        "segment_id": names.take(pa.array(segments)),
        "version": pa.array(version, pa.int32()),
        "kind": pa.array(KINDS).take(pa.array(kind)),
        "old": old,
        "new": new,
        "at": pa.array(np.full(n, at), INSTANT),
        "entered_at": pa.array(changes.of("entered_at", before, after), INSTANT),
        "entry": pa.array(changes.of("entry", before, after), pa.int32()),
        "primary": pa.array(np.where(now, _at(after.primary, changes.after), False)),
        "why": why.column(),
        "triggers": pa.array(fired, pa.list_(pa.string())).take(pa.array(place.reshape(-1))),
        "segment_map": pa.repeat(pa.scalar(segment_map), n),
    }
    return pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)
