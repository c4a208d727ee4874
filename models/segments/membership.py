"""Membership over time: `fold(prior, what conditions surely say)`, the same for one lead and for millions.

A segment is entered when its entry condition is surely TRUE. A member stays until its exit condition is surely TRUE
and the minimum dwell has passed; after that the re-entry policy says whether and when it may come back. Without prior
memberships entry decides alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.definitions import SegmentDefinition
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT, Columns

Bools = NDArray[np.bool_]
Instants = NDArray[np.int64]
Numbers = NDArray[np.int32]
# How an entry that nobody numbered counts.
FIRST = 1


@dataclass(frozen=True, slots=True)
class Prior:
    """What was true before, lead by segment: when a lead last entered, when it last left, and its how manieth entry.

    `entry` is None where nobody told it: then every known membership counts as the first.
    """

    entered_at: Instants
    left_at: Instants
    entry: Numbers | None = None

    @classmethod
    def of(cls, memberships: Columns, segment_ids: Sequence[str], names: Sequence[str], n: int) -> Prior | None:
        """Lead by segment from rows; None where the table was not supplied.

        Args:
            memberships: the table, whose `segment` points into `names`.
            segment_ids: the segments asked about, in the order of the answer; rows of others are not looked at.
            names: the ids that the table's rows refer to.
            n: the number of leads.

        Of several rows of a pair one that is open wins, then the latest: the records of one person may have entered
        apart. The highest entry number of a pair counts.
        """
        if not memberships:
            return None
        shape = (n, len(segment_ids))
        entered, left = np.full(shape, UNKNOWN_INSTANT), np.full(shape, UNKNOWN_INSTANT)
        number = np.zeros(shape, dtype=np.int32)
        place = {segment_id: s for s, segment_id in enumerate(segment_ids)}
        own = np.array([place.get(name, -1) for name in names] + [-1], dtype=np.int32)
        rows, since = memberships["lead"], memberships["entered_at"]
        until = memberships.get("left_at", np.full(len(rows), UNKNOWN_INSTANT))
        entry = np.maximum(memberships.get("entry", np.full(len(rows), FIRST, dtype=np.int32)), FIRST)
        columns = own[memberships["segment"]]
        pairs = rows.astype(np.int64) * len(segment_ids) + columns
        order: NDArray[np.intp] = np.arange(len(rows))
        if not (pairs[1:] > pairs[:-1]).all():
            order = np.lexsort((until, since, until == UNKNOWN_INSTANT, columns, rows))
        order = order[(rows[order] >= 0) & (columns[order] >= 0) & (since[order] != UNKNOWN_INSTANT)]
        entered[rows[order], columns[order]] = since[order]
        left[rows[order], columns[order]] = until[order]
        np.maximum.at(number, (rows[order], columns[order]), entry[order])
        return cls(entered, left, number)

    def member(self, now: int) -> Bools:
        """Who was a member when the fold starts; what happens after `now` is not known yet."""
        entered = (self.entered_at != UNKNOWN_INSTANT) & (self.entered_at <= now)
        member: Bools = entered & ((self.left_at == UNKNOWN_INSTANT) | (self.left_at > now))
        return member

    def former(self, now: int) -> Bools:
        """Who was a member once and has left."""
        former: Bools = (self.left_at != UNKNOWN_INSTANT) & (self.left_at <= now)
        return former

    def entries(self, now: int) -> Numbers:
        """How many times each lead has entered by `now`."""
        known = (self.entered_at != UNKNOWN_INSTANT) & (self.entered_at <= now)
        number = np.full(known.shape, FIRST, dtype=np.int32) if self.entry is None else np.maximum(self.entry, FIRST)
        return np.where(known, number, 0).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Memberships:
    """Lead by segment: membership, since when and the how manieth; the primary segment of each; who came and went."""

    segment_ids: tuple[str, ...]
    versions: tuple[int, ...]
    member: Bools
    primary: NDArray[np.int32]
    entered_at: Instants
    entry: Numbers
    entered: Bools
    left: Bools

    def segments_of(self, lead: int) -> list[int]:
        """Segments a lead is in, the primary first, then by priority."""
        primary = int(self.primary[lead])
        return [primary, *(int(s) for s in np.flatnonzero(self.member[lead]) if s != primary)]

    def joined(self, overlays: Memberships) -> Memberships:
        """These memberships with those of overlays besides: they take no part in who is primary."""
        return replace(
            self,
            member=self.member | overlays.member,
            entered_at=np.where(overlays.member, overlays.entered_at, self.entered_at),
            entry=np.where(overlays.member, overlays.entry, self.entry),
            entered=self.entered | overlays.entered,
            left=self.left | overlays.left,
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """What definitions say about time: which are active and judged now, which may be primary, dwell and re-entry.

    `judged` are the segments this fold speaks about; of the others it says nothing, neither member nor left.
    `primaries` are the places of those that may be primary, the first of them first; `residual` is -1 where the fold
    does not speak about it.
    """

    segment_ids: tuple[str, ...]
    versions: tuple[int, ...]
    active: Bools
    judged: Bools
    primaries: NDArray[np.intp]
    residual: int
    dwell: Instants
    never: Bools
    after_dwell: Bools

    @classmethod
    def of(cls, definitions: Sequence[SegmentDefinition], active: Bools, judged: Bools, overlay: Bools) -> Terms:
        """The terms of definitions in order of priority; which may be primary is those judged that are no overlay."""
        residual = next((s for s, d in enumerate(definitions) if d.residual and judged[s]), -1)
        counted = active & judged & ~overlay
        if residual >= 0:
            counted[residual] = False
        return cls(
            segment_ids=tuple(d.id for d in definitions),
            versions=tuple(d.version for d in definitions),
            active=active,
            judged=judged,
            primaries=np.flatnonzero(counted),
            residual=residual,
            dwell=np.array([d.min_dwell_days for d in definitions], dtype=np.int64) * MICROSECONDS_A_DAY,
            never=np.array([d.reentry == "never" for d in definitions], dtype=np.bool_),
            after_dwell=np.array([d.reentry == "after_dwell" for d in definitions], dtype=np.bool_),
        )


def fold(prior: Prior | None, enter: Bools, leave: Bools, terms: Terms, now: int) -> Memberships:
    """Memberships at an instant, from those before and from what conditions surely say.

    Args:
        prior: what was true before; None where nobody said.
        enter: (lead, segment), whether the entry condition, with its fallback, is surely true.
        leave: the same for the exit condition.
        terms: of the segments.
        now: microseconds since 1970 UTC.

    INVARIANT: every lead has exactly one primary segment, a lead's answer depends on no other lead, and folding the
    answer again at the same instant changes nothing: one change of a membership in an instant, at most.
    """
    shape = enter.shape
    member, came, went = (np.zeros(shape, dtype=np.bool_) for _ in range(3))
    entered_at, entry = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int32)
    primary = np.empty(len(enter), dtype=np.int32)
    if prior is None:
        prior = Prior(np.full(shape, UNKNOWN_INSTANT), np.full(shape, UNKNOWN_INSTANT))
    number = np.full(shape, FIRST, dtype=np.int32) if prior.entry is None else prior.entry
    _fold(
        *(np.ascontiguousarray(part) for part in (prior.entered_at, prior.left_at, number, enter, leave)),
        terms.active & terms.judged, terms.judged, terms.dwell, terms.never, terms.after_dwell, terms.primaries,
        terms.residual, now, member, primary, entered_at, entry, came, went,
    )  # fmt: skip
    return Memberships(
        terms.segment_ids, terms.versions, member, primary, entered_at=entered_at, entry=entry, entered=came, left=went
    )


@njit(cache=True, nogil=True)
def _fold(
    entered: Any, left: Any, number: Any, enter: Any, leave: Any, held: Any, judged: Any, dwell: Any, never: Any,
    after_dwell: Any, primaries: Any, residual: int, now: int, member: Any, primary: Any, entered_at: Any, entry: Any,
    came: Any, went: Any,
) -> None:  # fmt: skip
    """Lead by lead and segment by segment; one pass, because a dozen arrays of all leads and segments fill a cache."""
    for i in range(len(member)):
        for s in range(member.shape[1]):
            known = entered[i, s] != UNKNOWN_INSTANT and entered[i, s] <= now
            was = judged[s] and known and (left[i, s] == UNKNOWN_INSTANT or left[i, s] > now)
            if was:
                stayed = now - entered[i, s]
                member[i, s] = held[s] and not (leave[i, s] and stayed >= dwell[s] and stayed > 0)
            elif held[s] and enter[i, s]:
                former = left[i, s] != UNKNOWN_INSTANT and left[i, s] <= now
                asked = max(dwell[s], 1) if after_dwell[s] else 1
                member[i, s] = not former or (not never[s] and now - left[i, s] >= asked)
        primary[i] = residual
        for place in range(len(primaries)):
            if residual >= 0 and member[i, primaries[place]]:
                primary[i] = primaries[place]
                break
        if residual >= 0:
            member[i, residual] = primary[i] == residual
        for s in range(member.shape[1]):
            known = entered[i, s] != UNKNOWN_INSTANT and entered[i, s] <= now
            was = judged[s] and known and (left[i, s] == UNKNOWN_INSTANT or left[i, s] > now)
            came[i, s], went[i, s] = member[i, s] and not was, was and not member[i, s]
            entered_at[i, s], entry[i, s] = UNKNOWN_INSTANT, 0
            if member[i, s]:
                entered_at[i, s] = entered[i, s] if was else now
                entry[i, s] = (max(number[i, s], FIRST) if known else 0) + (0 if was else 1)
