"""When time alone may turn a lead's stage, evidence, next decision or lifecycle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.columns import MICROSECONDS_A_DAY, UNKNOWN_INSTANT, Columns, available_threads, exact, in_ranges
from features.engagement import SUSPECT_BELOW
from features.journey.plan import (
    ACTIVE,
    ESTABLISHED,
    ESTABLISHES,
    FOLLOW_UP,
    LIFECYCLE,
    LIVES,
    MEETING,
    NEW,
    QUIET,
    RECENT,
    RETURNING,
    STAGE,
    SUPPORT,
    SUPPORTS,
    UNNAMED,
    WINDOW,
    JourneyPlan,
)
from features.journey.stages import blocks_of, fitting, open_signals
from features.tables import Known

_NEVER = np.int64(np.iinfo(np.int32).max)


def days_of_turning(
    known: Known,
    plan: JourneyPlan,
    columns: Columns,
    due: NDArray[np.int32],
    *,
    evidence: bool,
    threads: int | None = None,
) -> None:
    """Lower each lead's day in `due` to the first UTC day on which something of its journey may be another.

    Args:
        known: what is known and may be used.
        plan: the journeys.
        columns: facts of these leads, among them the stage, its days since a meeting, and `plan.fields`.
        due: days since 1970 by lead, lowered in place.
        evidence: whether a change of the evidence matters.
        threads: as many as there are processors when absent.

    INVARIANT: before its day nothing of a lead's journey turns while its rows and fields stay as they are.
    """
    n = len(known.lead_ids)
    lead, account = blocks_of(columns, plan, n)
    stage, meeting = (np.ascontiguousarray(columns[name].reshape(-1)) for name in (STAGE, MEETING))
    # Of what its source says nothing becomes another; a word that no vocabulary has says nothing.
    source = exact(known.leads, LIFECYCLE, np.uint8, n)
    derived = (source == 0) | (source > len(plan.vocabularies[LIFECYCLE].values)) | plan.lifecycle_ages
    given = (
        known.event_starts, known.event_words, lead, account, stage, meeting,
        exact(known.leads, "created_at", np.int64, n), known.as_of_day, plan.rows, plan.journey_of, plan.fits,
        plan.of_stage, plan.terms, plan.alive, plan.gates, plan.allowed, plan.kinds, plan.valid, plan.numbers, evidence,
        derived,
    )  # fmt: skip
    in_ranges(lambda _, a, b: _lower(*given, a, b, due), n, threads or available_threads())


@njit(cache=True, nogil=True)
def _lower(
    starts: Any, words: Any, lead: Any, account: Any, stage: Any, meeting: Any, created: Any, today: int, rows: Any,
    journey_of: Any, fits: Any, of_stage: Any, terms: Any, alive: Any, gates: Any, allowed: Any, kinds: Any,
    valid: Any, numbers: Any, evidence: bool, lifecycle: Any, first: int, stop: int, due: Any,
) -> None:  # fmt: skip
    lasts, soonest = np.empty(terms.shape[1], dtype=np.int64), np.empty(terms.shape[1], dtype=np.int64)
    for i in range(first, stop):
        days = _NEVER
        if stage[i] > 0:
            product = np.uint64(lead[rows[0], i])
            j = journey_of[product]
            bits = open_signals(lead, account, i, j, gates, allowed) & of_stage[j, stage[i]]
            days = _falls(
                starts[i], starts[i + 1], words, product, j, bits, fits, terms, alive, valid, numbers, evidence,
                lasts, soonest,
            )  # fmt: skip
        if numbers[LIVES] == 1 and lifecycle[i]:
            days = min(days, _lives_on(starts[i], starts[i + 1], words, kinds, valid, numbers))
            for limit in (numbers[RECENT], numbers[FOLLOW_UP]):
                if 0 <= meeting[i] <= limit:
                    days = min(days, limit - meeting[i] + 1)
            if created[i] != UNKNOWN_INSTANT:
                age = today - created[i] // MICROSECONDS_A_DAY
                if age <= numbers[NEW]:
                    days = min(days, numbers[NEW] - age + 1)
        if days < _NEVER:
            due[i] = min(np.int64(due[i]), today + days)


@njit(cache=True, nogil=True)
def _falls(
    start: int, stop: int, words: Any, product: Any, j: int, bits: Any, fits: Any, terms: Any, alive: Any, valid: Any,
    numbers: Any, evidence: bool, lasts: Any, soonest: Any,
) -> Any:  # fmt: skip
    """In how many days the stage may fall at the soonest, or the evidence for it change where that matters.

    A signal of one event holds as long as its youngest likely event; one of several at least until the first leaves.
    The stage stands while any of its signals does.
    """
    one, byte = np.uint64(1), np.uint64(255)
    size = terms.shape[1]
    lasts[:] = 0
    soonest[:] = _NEVER
    changes = _NEVER
    for at in range(start, stop):
        word = words[at]
        kind = (word >> np.uint64(16)) & byte
        age = np.int64(word & np.uint64(16383))
        named = (word >> np.uint64(48)) & byte
        if age > valid[kind] or (named != product and (named != np.uint64(0) or numbers[UNNAMED] == 0)):
            continue
        level = (word >> np.uint64(37)) & np.uint64(31)
        if evidence and age <= numbers[WINDOW]:
            changes = min(changes, min(numbers[WINDOW], valid[kind]) - age + 1)
        hit, s = fitting(word, j, fits) & bits & alive[j, 0, min(age, alive.shape[2] - 1)], 0
        while hit != np.uint64(0):
            if hit & one:
                left = min(terms[j, s, 0], valid[kind]) - age + 1
                soonest[s] = min(soonest[s], left)
                if level >= SUSPECT_BELOW:
                    lasts[s] = max(lasts[s], left)
            hit >>= one
            s += 1
    stands = np.int64(0)
    for s in range(size):
        if soonest[s] < _NEVER:
            if evidence:
                changes = min(changes, soonest[s])
            # Half an event is the least that one event takes.
            alone = terms[j, s, 1] <= SUSPECT_BELOW and lasts[s] > 0
            stands = max(stands, lasts[s] if alone else soonest[s])
    return min(changes, stands) if stands > 0 else changes


@njit(cache=True, nogil=True)
def _lives_on(start: int, stop: int, words: Any, kinds: Any, valid: Any, numbers: Any) -> Any:
    """In how many days what is asked of all events of a lead may be another, at the soonest."""
    returning, quiet = numbers[RETURNING], numbers[RETURNING] + numbers[QUIET]
    newest, oldest, recent, empty = _NEVER, np.int64(-1), np.int64(-1), np.int64(0)
    support, established, last_left, first_left = np.int64(0), np.int64(0), _NEVER, _NEVER
    for at in range(start, stop):
        kind, age, left = _likely(words[at], valid)
        if age < 0:
            continue
        # The first and the last may be others once these count nowhere any more.
        if age <= newest:
            last_left = min(last_left, left) if age == newest else left
            newest = age
        if age >= oldest:
            first_left = min(first_left, left) if age == oldest else left
            oldest = age
        if age <= returning:
            recent = max(recent, age)
        elif age <= quiet:
            empty = max(empty, min(quiet - age + 1, left))
        if kinds[SUPPORTS, kind]:
            support = max(support, min(numbers[SUPPORT] - age + 1, left))
        if kinds[ESTABLISHES, kind]:
            established = max(established, min(numbers[ESTABLISHED] - age + 1, left))
    found = _NEVER
    for days in (support, established, numbers[ACTIVE] - newest + 1):
        if days > 0:
            found = min(found, days)
    if 0 <= oldest <= numbers[NEW]:
        found = min(found, numbers[NEW] - oldest + 1)
    if empty > 0:
        # The quiet time before what it did lately is over only after all of these are gone.
        if newest + empty <= returning:
            found = min(found, empty)
    elif recent >= 0:
        found = min(found, returning - recent + 1)
    return min(found, min(last_left, first_left))


@njit(cache=True, nogil=True)
def _likely(word: Any, valid: Any) -> Any:
    """Kind and age of an event that likely a person made, and for how many days it still counts; else an age of -1."""
    kind = (word >> np.uint64(16)) & np.uint64(255)
    age = np.int64(word & np.uint64(16383))
    if age > valid[kind] or (word >> np.uint64(37)) & np.uint64(31) < SUSPECT_BELOW:
        return kind, np.int64(-1), np.int64(0)
    return kind, age, valid[kind] - age + 1
