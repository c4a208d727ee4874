"""Consent as of an instant: per lead and channel, the one record that counts.

The latest capture wins within a channel and purpose. Of records captured at one instant the most restrictive wins:
withdrawn, then a status that cannot be read, then none, implied, granted; then the one that runs out first, the one
without proof, and the one whose kind comes first. A withdrawal whose channel or purpose cannot be read counts for every
channel and for promotion; a grant of that kind counts for nothing. No record is unknown: never "no" and never "yes".
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
from features.tables import MICROSECONDS_A_DAY, NO, UNKNOWN_INSTANT, YES, Known

# Rows of the block of codes.
CODES = ("consent", "consent_kind", "consent_proven", "consent_expired", "consent_withdrawn", "service_consent")
# Older than anything can be; what the fact dictionary allows at most.
MAX_DAYS = 36_500
_ORDER = ("granted", "implied", "none", "", "withdrawn")


@dataclass(frozen=True, slots=True)
class ConsentCodes:
    """Codes of the words the resolution needs, and how restrictive each status is."""

    channels: int
    promotion: int
    service: int
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
        return cls(
            channels=len(vocabularies["channel"].values),
            promotion=purpose.code("promotion"),
            service=purpose.code("service"),
            withdrawn=status.code("withdrawn"),
            restrictive=restrictive,
            statuses=len(status.values),
            kinds=len(vocabularies["consent_kind"].values),
        )


def resolve(known: Known, codes: ConsentCodes) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Codes of shape (len(CODES), n, channels), and the age of the promotional consent in days, -1 where unknown.

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
    _resolve(
        exact(rows, "lead", np.int32, size),
        exact(rows, "channel", np.uint8, size),
        exact(rows, "purpose", np.uint8, size),
        within(rows, "status", size, codes.statuses),
        within(rows, "kind", size, codes.kinds),
        within(rows, "proven", size, YES),
        exact(rows, "captured_at", np.int64, size),
        exact(rows, "expires_at", np.int64, size),
        codes.restrictive,
        codes.promotion,
        codes.service,
        codes.withdrawn,
        known.as_of_us,
        np.full((2, n, codes.channels), -1, dtype=np.int64),
        block,
        days,
    )
    return block, days


@njit(cache=True, nogil=True)
def _outranks(i: int, j: int, status: Any, kind: Any, proven: Any, captured: Any, expires: Any, rank: Any) -> Any:
    """Whether record i counts rather than record j."""
    if captured[i] != captured[j]:
        return captured[i] > captured[j]
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
    lead: Any, channel: Any, purpose: Any, status: Any, kind: Any, proven: Any, captured: Any, expires: Any,
    rank: Any, promotion: int, service: int, withdrawn: int, cut: int, winner: Any, block: Any, days: Any,
) -> None:  # fmt: skip
    n, channels = days.shape
    for i in range(len(lead)):
        if lead[i] < 0 or lead[i] >= n:
            continue
        stops = status[i] == withdrawn
        first, last = int(channel[i]), int(channel[i]) + 1
        if channel[i] == 0 or channel[i] > channels:
            if not stops:
                continue
            first, last = 1, channels + 1
        if purpose[i] == promotion or (purpose[i] == 0 and stops):
            slot = 0
        elif purpose[i] == service:
            slot = 1
        else:
            continue
        for c in range(first - 1, last - 1):
            best = winner[slot, lead[i], c]
            if best < 0 or _outranks(i, best, status, kind, proven, captured, expires, rank):
                winner[slot, lead[i], c] = i
    for row in range(n):
        for c in range(channels):
            i = winner[0, row, c]
            if i >= 0:
                block[0, row, c] = status[i]
                block[1, row, c] = kind[i]
                block[2, row, c] = proven[i]
                runs_out = expires[i] != UNKNOWN_INSTANT and expires[i] <= cut
                block[3, row, c] = YES if runs_out else NO
                block[4, row, c] = 0 if status[i] == 0 else (YES if status[i] == withdrawn else NO)
                age = cut // MICROSECONDS_A_DAY - captured[i] // MICROSECONDS_A_DAY
                days[row, c] = -1 if captured[i] == UNKNOWN_INSTANT else min(age, MAX_DAYS)
            i = winner[1, row, c]
            if i >= 0:
                block[5, row, c] = status[i]
