"""Consent as of an instant: per lead and channel, the one record that counts.

The latest capture wins within a channel and purpose. Of records captured at one instant the most restrictive wins:
withdrawn, then a status that cannot be read, then none, implied, granted; then the one that runs out first, the one
without proof, and the one whose kind comes first. A withdrawal whose channel or purpose cannot be read counts for every
channel and for promotion; a grant of that kind counts for nothing, and neither does one that is limited to a product,
which no rule can match yet. A record whose time cannot be read counts as the latest. No record is unknown: never "no"
and never "yes".

A withdrawal stands until it is undone by a later grant for the same channel and purpose that has not run out. One from
medical education counts as one from promotion, and one from profiling is an objection to it.

A person whose records were merged (`features/links.py`) is allowed no more than each record that says anything allows:
every record is resolved by itself, and of what they say the worst counts, field by field. So a grant on one record
never undoes a withdrawal on another, and a record without a statement says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.vocabulary import Vocabulary
from features.columns import exact, within
from features.tables import MICROSECONDS_A_DAY, NO, SKEW_US, UNKNOWN_INSTANT, YES, Known, Merged

# Rows of the block of codes.
CODES = ("consent", "consent_kind", "consent_proven", "consent_expired", "consent_withdrawn", "service_consent")
# Older than anything can be; what the fact dictionary allows at most.
MAX_DAYS = 36_500
# The purposes that are followed, and a row each of the latest withdrawal, unreadable status and fresh grant.
_PURPOSES = ("promotion", "service", "medical_education", "profiling")
PROFILING = _PURPOSES.index("profiling")
_LATEST = int(np.iinfo(np.int64).max)
_ORDER = ("granted", "implied", "none", "", "withdrawn")


@dataclass(frozen=True, slots=True)
class ConsentCodes:
    """Codes of the words the resolution needs, and how restrictive each status is."""

    channels: int
    slot_of: NDArray[np.int64]
    granted: int
    implied: int
    withdrawn: int
    restrictive: NDArray[np.int64]
    statuses: int
    kinds: int

    @classmethod
    def of(cls, vocabularies: Mapping[str, Vocabulary]) -> ConsentCodes:
        """Look the words up in the vocabularies."""
        status, purpose = vocabularies["consent_status"], vocabularies["purpose"]
        restrictive = np.full(256, _ORDER.index(""), dtype=np.int64)
        for rank, value in enumerate(_ORDER):
            restrictive[status.code(value)] = rank
        slot_of = np.full(256, -1, dtype=np.int64)
        for slot, value in enumerate(_PURPOSES):
            slot_of[purpose.code(value)] = slot
        return cls(
            channels=len(vocabularies["channel"].values),
            slot_of=slot_of,
            granted=status.code("granted"),
            implied=status.code("implied"),
            withdrawn=status.code("withdrawn"),
            restrictive=restrictive,
            statuses=len(status.values),
            kinds=len(vocabularies["consent_kind"].values),
        )


def resolve(
    known: Known, codes: ConsentCodes, objection: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Codes of shape (len(CODES), n, channels), and the age of the promotional consent in days, -1 where unknown.

    `objection` is yes/no per lead and becomes yes, in place, for those who withdrew their consent to profiling.

    INVARIANT: the order of records never matters, and an absent record is unknown.
    """
    n = len(known.lead_ids)
    block = np.zeros((len(CODES), n, codes.channels), dtype=np.uint8)
    days = np.full((n, codes.channels), -1, dtype=np.int32)
    rows = known.consents
    if not rows:
        return block, days
    size = len(rows["lead"])
    block[4] = NO
    if size == 0:
        return block, days
    merged = known.merged if "holder" in rows else None
    winner = np.full((2, n, codes.channels), -1, dtype=np.int64)
    _resolve(
        exact(rows, "lead" if merged is None else "holder", np.int32, size),
        exact(rows, "channel", np.uint8, size),
        exact(rows, "purpose", np.uint8, size),
        exact(rows, "product", np.uint8, size),
        within(rows, "status", size, codes.statuses),
        within(rows, "kind", size, codes.kinds),
        within(rows, "proven", size, YES),
        exact(rows, "captured_at", np.int64, size),
        exact(rows, "recorded_at", np.int64, size),
        exact(rows, "expires_at", np.int64, size),
        codes.restrictive,
        codes.slot_of,
        codes.granted,
        codes.implied,
        codes.withdrawn,
        known.as_of_us,
        known.as_of_us + SKEW_US,
        winner,
        np.full((3, len(_PURPOSES), n, codes.channels), UNKNOWN_INSTANT, dtype=np.int64),
        block,
        days,
        objection,
    )
    if merged is not None:
        _pool(merged, winner, codes.restrictive, block, days, objection)
    return block, days


def _pool(merged: Merged, winner: Any, rank: Any, block: Any, days: Any, objection: Any) -> None:
    """Fold what each record says into who speaks for the person; what was merged away says nothing of its own.

    INVARIANT: a fold allows no more than either side, and the order of folding does not matter: the worse status, the
    older consent, one that has run out, one without proof; kinds of one status that differ are unknown.
    """
    away = np.flatnonzero(merged.away)
    order = away[np.argsort(merged.survivor[away], kind="stable")]
    into = merged.survivor[order]
    # The first record of every person, then the second of those who have one: no person is met twice at once.
    turn = np.arange(len(order)) - np.searchsorted(into, into, "left")
    for k in range(int(turn.max(initial=-1)) + 1):
        i, s = order[turn == k], into[turn == k]
        mine, theirs = block[:, s], block[:, i]
        said, says = winner[:, s] >= 0, winner[:, i] >= 0
        both, only = said & says, says & ~said
        ranks = rank[mine[0]], rank[theirs[0]]
        worse = (ranks[1] > ranks[0]) | ((ranks[1] == ranks[0]) & (theirs[0] < mine[0]))
        alike = np.where(theirs[1] == mine[1], mine[1], 0)
        pooled = (
            np.where(worse, theirs[0], mine[0]),
            np.where(theirs[0] == mine[0], alike, np.where(worse, theirs[1], mine[1])),
            np.minimum(mine[2], theirs[2]),
            np.maximum(mine[3], theirs[3]),
        )
        for row, value in enumerate(pooled):
            block[row, s] = np.where(both[0], value, np.where(only[0], theirs[row], mine[row]))
        older = np.where((days[s] < 0) | (days[i] < 0), -1, np.maximum(days[s], days[i]))
        days[s] = np.where(both[0], older, np.where(only[0], days[i], days[s]))
        surely, maybe = (mine[4] == YES) | (theirs[4] == YES), (mine[4] == 0) | (theirs[4] == 0)
        block[4, s] = np.where(surely, YES, np.where(maybe, 0, NO))
        service = np.where(rank[theirs[5]] > rank[mine[5]], theirs[5], mine[5])
        block[5, s] = np.where(both[1], service, np.where(only[1], theirs[5], mine[5]))
        winner[:, s] = np.maximum(winner[:, s], winner[:, i])
        objection[s] = np.where(objection[i] == YES, YES, objection[s])
    block[:, away], days[away] = 0, -1
    block[4, away] = NO


@njit(cache=True, nogil=True)
def _outranks(i: int, j: int, status: Any, kind: Any, proven: Any, captured: Any, expires: Any, rank: Any) -> Any:
    """Whether record i counts rather than record j."""
    if captured[i] != captured[j]:  # unknown is the smallest instant, but it may be the latest
        return captured[i] == UNKNOWN_INSTANT or (captured[j] != UNKNOWN_INSTANT and captured[i] > captured[j])
    if rank[status[i]] != rank[status[j]]:
        return rank[status[i]] > rank[status[j]]
    if expires[i] != expires[j]:  # unknown is the smallest instant, but it means: does not run out
        return expires[j] == UNKNOWN_INSTANT or (expires[i] != UNKNOWN_INSTANT and expires[i] < expires[j])
    if proven[i] != proven[j]:
        return proven[i] < proven[j]
    if kind[i] != kind[j]:
        return kind[i] < kind[j]
    return status[i] < status[j]


@njit(cache=True, nogil=True)
def _resolve(
    lead: Any, channel: Any, purpose: Any, product: Any, status: Any, kind: Any, proven: Any, captured: Any,
    recorded: Any, expires: Any, rank: Any, slot_of: Any, granted: int, implied: int, withdrawn: int, cut: int,
    begun: int, winner: Any, last: Any, block: Any, days: Any, objection: Any,
) -> None:  # fmt: skip
    n, channels = days.shape
    for i in range(len(lead)):
        if lead[i] < 0 or lead[i] >= n:
            continue
        stops = status[i] == withdrawn
        allows = status[i] == granted or status[i] == implied
        if max(captured[i], recorded[i]) > (begun if stops else cut) or (allows and product[i] != 0):
            continue
        start, stop = int(channel[i]) - 1, int(channel[i])
        if channel[i] == 0 or channel[i] > channels:
            if not stops:
                continue
            start, stop = 0, channels
        slot = 0 if purpose[i] == 0 and stops else slot_of[purpose[i]]
        if slot < 0:
            continue
        fresh = expires[i] == UNKNOWN_INSTANT or expires[i] > cut
        moment = _LATEST if captured[i] == UNKNOWN_INSTANT else captured[i]
        for c in range(start, stop):
            if slot < 2:
                best = winner[slot, lead[i], c]
                if best < 0 or _outranks(i, best, status, kind, proven, captured, expires, rank):
                    winner[slot, lead[i], c] = i
            if stops:
                last[0, slot, lead[i], c] = max(last[0, slot, lead[i], c], moment)
            elif status[i] == 0:
                last[1, slot, lead[i], c] = max(last[1, slot, lead[i], c], moment)
            elif status[i] == granted and fresh and captured[i] != UNKNOWN_INSTANT:
                last[2, slot, lead[i], c] = max(last[2, slot, lead[i], c], moment)
    for row in range(n):
        for c in range(channels):
            i = winner[0, row, c]
            if i >= 0:
                block[0, row, c] = status[i]
                block[1, row, c] = kind[i]
                block[2, row, c] = proven[i]
                runs_out = expires[i] != UNKNOWN_INSTANT and expires[i] <= cut
                block[3, row, c] = YES if runs_out else NO
                age = max(cut // MICROSECONDS_A_DAY - captured[i] // MICROSECONDS_A_DAY, 0)
                days[row, c] = -1 if captured[i] == UNKNOWN_INSTANT else min(age, MAX_DAYS)
            promotion, education = _withdrawn(last, 0, row, c), _withdrawn(last, 2, row, c)
            if promotion == YES or education == YES:
                block[4, row, c] = YES
            elif promotion == 0 or education == 0:
                block[4, row, c] = 0
            i = winner[1, row, c]
            if i >= 0:
                allows = status[i] == granted or status[i] == implied
                runs_out = expires[i] != UNKNOWN_INSTANT and expires[i] <= cut
                block[5, row, c] = 0 if allows and runs_out else status[i]
                if _withdrawn(last, 1, row, c) == YES:
                    block[5, row, c] = withdrawn
            if _withdrawn(last, 3, row, c) == YES:
                objection[row] = YES


@njit(cache=True, nogil=True)
def _withdrawn(last: Any, slot: int, row: int, c: int) -> int:
    """Whether a withdrawal stands: no fresh grant came after it. Unknown where an unreadable status may be one."""
    grant = last[2, slot, row, c]
    if last[0, slot, row, c] != UNKNOWN_INSTANT and grant <= last[0, slot, row, c]:
        return YES
    return 0 if last[1, slot, row, c] != UNKNOWN_INSTANT and grant <= last[1, slot, row, c] else NO
