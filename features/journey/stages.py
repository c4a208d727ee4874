"""Stage, evidence, next decision and lifecycle of every lead, in one pass over its events.

INVARIANT: an event about another product than the lead's changes no stage, evidence or decision. Everything is a sum,
a least or a largest of whole numbers, so the order of events never matters, and one lead gives the same as a million.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.columns import CERTAIN, MICROSECONDS_A_DAY, UNKNOWN_INSTANT, Columns, available_threads, exact, in_ranges
from features.engagement import SUSPECT_BELOW
from features.fields import ACCOUNT_FIELDS, LEAD_FIELDS
from features.journey.plan import (
    ACTIVE,
    ESTABLISHED,
    ESTABLISHES,
    FAIR,
    FAIR_PERCENT,
    FOLLOW_UP,
    JOURNEY_FACTS,
    LIVES,
    NEW,
    QUIET,
    RECENT,
    RETURNING,
    SPEAKS,
    STRONG,
    STRONG_PERCENT,
    SUPPORT,
    SUPPORTS,
    UNNAMED,
    WINDOW,
    JourneyPlan,
)
from features.tables import Known

WEAK, FAIRLY, STRONGLY = 1, 2, 3
# A lead that never did something, or whose first or last such day is not known.
NOT_SEEN = 1 << 20
_WORTH_LEADS = 20_000
_NO_CODE = 255


def journey_codes(
    known: Known,
    plan: JourneyPlan,
    lead: NDArray[np.uint8],
    account: NDArray[np.uint8],
    days_since_meeting: NDArray[np.int32],
    *,
    threads: int | None = None,
) -> NDArray[np.uint8]:
    """Codes of `JOURNEY_FACTS` by lead, 0 where unknown; writes the lifecycle into `lead` where its source says none.

    Args:
        known: what is known and may be used.
        plan: the journeys.
        lead: codes of `LEAD_FIELDS` by lead, which are the facts.
        account: codes of `ACCOUNT_FIELDS` by lead.
        days_since_meeting: days since each lead's last meeting ended, -1 where unknown.
        threads: as many as there are processors when absent.
    """
    n = len(known.lead_ids)
    found = np.zeros((len(JOURNEY_FACTS), n), dtype=np.uint8)
    _walk_all(known, plan, lead, account, days_since_meeting, found, np.empty(0, dtype=np.uint64), threads)
    return found


def signals_held(
    known: Known, plan: JourneyPlan, columns: Columns, asked: NDArray[np.bool_], *, threads: int | None = None
) -> NDArray[np.uint64]:
    """By lead the signals of its journey that hold, as bits in the order of the journey; none of who is not asked.

    Args:
        known: what is known and may be used.
        plan: the journeys.
        columns: facts of these leads, among them `plan.fields`.
        asked: by lead.
        threads: as many as there are processors when absent.
    """
    n = len(known.lead_ids)
    lead, account = blocks_of(columns, plan, n)
    # A product that is none has no journey, and a lifecycle that is some is derived of nobody: nothing is read of them.
    lead[plan.rows[0], ~asked] = lead[plan.rows[2]] = _NO_CODE
    meeting, found = np.full(n, -1, dtype=np.int32), np.zeros((len(JOURNEY_FACTS), n), dtype=np.uint8)
    held = np.zeros(n, dtype=np.uint64)
    _walk_all(known, plan, lead, account, meeting, found, held, threads)
    return held


def blocks_of(columns: Columns, plan: JourneyPlan, n: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Codes of `LEAD_FIELDS` and `ACCOUNT_FIELDS` by lead, of those fields that journeys look at, from facts."""
    lead = np.zeros((len(LEAD_FIELDS), n), dtype=np.uint8)
    account = np.zeros((len(ACCOUNT_FIELDS), n), dtype=np.uint8)
    for block, names in ((lead, LEAD_FIELDS), (account, ACCOUNT_FIELDS)):
        for row, name in enumerate(names):
            if name in plan.fields and name in columns:
                block[row] = columns[name].reshape(-1)
    return lead, account


def _walk_all(
    known: Known, plan: JourneyPlan, lead: NDArray[np.uint8], account: NDArray[np.uint8], meeting: NDArray[np.int32],
    found: NDArray[np.uint8], held: NDArray[np.uint64], threads: int | None,
) -> None:  # fmt: skip
    n = len(known.lead_ids)
    given = (
        known.event_starts, known.event_words, bool(known.events), lead, account,
        exact(known.leads, "created_at", np.int64, n), meeting, known.as_of_day,
        plan.rows, plan.journey_of, plan.fits, plan.of_stage, plan.terms, plan.alive, plan.gates, plan.allowed,
        plan.moments, plan.kinds, plan.valid, plan.numbers, plan.words,
    )  # fmt: skip
    if n < _WORTH_LEADS:
        _walk(*given, 0, n, found, held)
    else:
        in_ranges(lambda _, a, b: _walk(*given, a, b, found, held), n, threads or available_threads(), worth=2)


@njit(cache=True, nogil=True)
def field_of(lead: Any, account: Any, row: int, i: int) -> Any:
    """The code of a field of the lead or, after those, of its account."""
    return lead[row, i] if row < len(lead) else account[row - len(lead), i]


@njit(cache=True, nogil=True)
def open_signals(lead: Any, account: Any, i: int, j: int, gates: Any, allowed: Any) -> Any:
    """Bits of the signals of journey j that fields of lead i do not close."""
    bits = ~np.uint64(0)
    for g in range(len(gates)):
        if gates[g, 0] == j and not allowed[g, field_of(lead, account, gates[g, 2], i)]:
            bits &= ~(np.uint64(1) << np.uint64(gates[g, 1]))
    return bits


@njit(cache=True, nogil=True)
def fitting(word: Any, j: int, fits: Any) -> Any:
    """Bits of the signals of journey j that an event fits, whatever its age and product."""
    byte = np.uint64(255)
    return (
        fits[j, 0, (word >> np.uint64(16)) & byte]
        & fits[j, 1, (word >> np.uint64(24)) & byte]
        & fits[j, 2, (word >> np.uint64(32)) & np.uint64(31)]
        & fits[j, 3, (word >> np.uint64(42)) & np.uint64(63)]
    )


@njit(cache=True, nogil=True)
def _walk(
    starts: Any, words: Any, supplied: bool, lead: Any, account: Any, created: Any, meeting: Any, today: int, rows: Any,
    journey_of: Any, fits: Any, of_stage: Any, terms: Any, alive: Any, gates: Any, allowed: Any, moments: Any,
    kinds: Any, valid: Any, numbers: Any, derived: Any, first: int, stop: int, found: Any, held: Any,
) -> None:  # fmt: skip
    stages, one, byte = of_stage.shape[1], np.uint64(1), np.uint64(255)
    sums, supporting = np.zeros(terms.shape[1], dtype=np.int64), np.zeros(stages, dtype=np.int64)
    for i in range(first, stop):
        product = np.uint64(lead[rows[0], i])
        j = journey_of[product]
        lives = numbers[LIVES] == 1 and lead[rows[2], i] == 0
        sums[:] = 0
        supporting[:] = 0
        tracked, every, bits, holds = np.int64(0), np.int64(0), np.uint64(0), np.uint64(0)
        if j >= 0:
            bits = open_signals(lead, account, i, j, gates, allowed)
        newest, oldest = np.int64(NOT_SEEN), np.int64(-1)
        between, support, established = False, False, False
        if j >= 0 or lives:
            for at in range(starts[i], starts[i + 1]):
                word = words[at]
                kind = (word >> np.uint64(16)) & byte
                age = np.int64(word & np.uint64(16383))
                if age > valid[kind]:
                    continue
                level = np.int64((word >> np.uint64(37)) & np.uint64(31))
                if lives and level >= SUSPECT_BELOW:
                    newest = age if age < newest else newest
                    oldest = age if age > oldest else oldest
                    between |= numbers[RETURNING] < age <= numbers[RETURNING] + numbers[QUIET]
                    support |= kinds[SUPPORTS, kind] and age <= numbers[SUPPORT]
                    established |= kinds[ESTABLISHES, kind] and age <= numbers[ESTABLISHED]
                named = (word >> np.uint64(48)) & byte
                if j < 0 or (named != product and (named != np.uint64(0) or numbers[UNNAMED] == 0)):
                    continue
                if age <= numbers[WINDOW]:
                    every += CERTAIN
                    about = (word >> np.uint64(24)) & np.uint64(0x1FFF)  # its topic and its depth
                    if named == product and (about != np.uint64(0) or kinds[SPEAKS, kind]):
                        tracked += level
                young = min(age, alive.shape[2] - 1)
                hit = fitting(word, j, fits) & bits & alive[j, 0, young]
                if hit == np.uint64(0):
                    continue
                for g in range(1, stages):
                    if hit & of_stage[j, g]:
                        supporting[g] += level
                if level >= SUSPECT_BELOW:  # half an event is as much as one event takes
                    holds |= hit & alive[j, 1, young]
                    hit &= ~alive[j, 1, young]
                s = 0
                while hit != np.uint64(0):
                    if hit & one:
                        sums[s] += level
                    hit >>= one
                    s += 1
        if j >= 0:
            for s in range(len(sums)):
                if sums[s] > 0 and sums[s] >= terms[j, s, 1]:
                    holds |= one << np.uint64(s)
            if len(held):
                held[i] = holds
            for g in range(stages - 1, 0, -1):
                if holds & of_stage[j, g]:
                    found[0, i] = g
                    found[1, i] = _evidence(supporting[g], tracked, every, numbers)
                    found[2, i] = moments[j, g]
                    break
        own = field_of(lead, account, rows[1], i)
        if own > 0:  # what the account itself stands before wins
            found[2, i] = own
        if lives:
            age = np.int64(NOT_SEEN)
            if created[i] != UNKNOWN_INSTANT:
                age = today - created[i] // MICROSECONDS_A_DAY
            place = _life(meeting[i], supplied, newest, oldest, between, support, established, age, numbers)
            if place >= 0:
                lead[rows[2], i] = derived[place]


@njit(cache=True, nogil=True)
def _evidence(supporting: int, tracked: int, every: int, numbers: Any) -> int:
    if supporting >= numbers[STRONG] and 100 * tracked >= numbers[STRONG_PERCENT] * every and every > 0:
        return STRONGLY
    if supporting >= numbers[FAIR] and 100 * tracked >= numbers[FAIR_PERCENT] * every and every > 0:
        return FAIRLY
    return WEAK


@njit(cache=True, nogil=True)
def _life(
    meeting: int, supplied: bool, newest: int, oldest: int, between: bool, support: bool, established: bool, age: int,
    numbers: Any,
) -> int:  # fmt: skip
    """The place in `DERIVED` of the first that holds, -1 where none does."""
    if 0 <= meeting <= numbers[RECENT]:
        return 0
    if 0 <= meeting <= numbers[FOLLOW_UP]:
        return 1
    if support:
        return 2
    if established:
        return 3
    if newest <= numbers[RETURNING] and not between and oldest > numbers[RETURNING] + numbers[QUIET]:
        return 4
    # Whoever did something before we had a record is not new because the record is.
    known_for = max(age, oldest) if age < NOT_SEEN else (oldest if oldest >= 0 else NOT_SEEN)
    if 0 <= known_for <= numbers[NEW]:
        return 5
    if newest <= numbers[ACTIVE]:
        return 6
    return 7 if supplied and oldest >= 0 else -1
