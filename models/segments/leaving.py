"""When events leave the windows in which they count: kernels of `models/segments/due.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from features.engagement import FOREVER, SUSPECT_BELOW
from features.tables import MICROSECONDS_A_DAY

NEVER = int(np.iinfo(np.int32).max)
# What of an event a count is about: nothing in particular, or its kind, topic, depth or channel.
ANY, KIND, TOPIC, DEPTH, CHANNEL = range(5)


@njit(cache=True, nogil=True)
def _is(word: Any, of: int, code: int) -> bool:
    if of == KIND:
        return (word >> np.uint64(16)) & np.uint64(255) == code  # type: ignore[no-any-return]
    if of == TOPIC:
        return (word >> np.uint64(24)) & np.uint64(255) == code  # type: ignore[no-any-return]
    if of == DEPTH:
        return (word >> np.uint64(32)) & np.uint64(31) == code  # type: ignore[no-any-return]
    if of == CHANNEL:
        return (word >> np.uint64(42)) & np.uint64(63) == code  # type: ignore[no-any-return]
    return True


@njit(cache=True, nogil=True)
def records_end(rows: Any, recorded: Any, verified: Any, ages: Any, today: int, due: Any) -> None:
    """The day after the last one on which a record may still be used."""
    for i in range(len(rows)):
        for age in ages:
            over = max(recorded[i], verified[i]) // MICROSECONDS_A_DAY + age + 1
            if rows[i] >= 0 and today < over < NEVER:
                due[rows[i]] = min(np.int64(due[rows[i]]), over)


@njit(cache=True, nogil=True)
def count_falls(
    starts: Any, words: Any, valid: Any, kind: int, code: int, span: int, values: Any, turns: Any, today: int,
    first: int, stop: int, due: Any,
) -> None:  # fmt: skip
    """When as many events of a kind have left the window as it takes to turn a condition."""
    days = np.empty(16, dtype=np.int64)
    for lead in range(first, stop):
        value, needed = np.int64(values[lead]), np.int64(0)
        for turn in turns:
            if turn <= value:  # in order, so that the last one is the highest
                needed = value - turn + 1
        if needed == 0:
            continue
        if len(days) < starts[lead + 1] - starts[lead]:
            days = np.empty(2 * (starts[lead + 1] - starts[lead]), dtype=np.int64)
        size = 0
        for at in range(starts[lead], starts[lead + 1]):
            word = words[at]
            age, of = np.int64(word & np.uint64(16383)), np.int64((word >> np.uint64(16)) & np.uint64(255))
            last = min(span, valid[of])
            if age <= last and _is(word, kind, code):
                days[size] = last - age + 1
                size += 1
        if needed <= size:
            own = days[:size]
            own.sort()
            due[lead] = min(np.int64(due[lead]), today + own[needed - 1])


@njit(cache=True, nogil=True)
def last_ends(starts: Any, words: Any, valid: Any, values: Any, today: int, due: Any) -> None:
    """When the newest event stops counting, and with it an older one becomes the last."""
    for lead in range(len(values)):
        longest = np.int64(-1)
        for at in range(starts[lead], starts[lead + 1]):
            word = words[at]
            age, of = np.int64(word & np.uint64(16383)), np.int64((word >> np.uint64(16)) & np.uint64(255))
            likely = (word >> np.uint64(37)) & np.uint64(31) >= SUSPECT_BELOW
            if likely and age == values[lead] and age <= valid[of]:
                longest = max(longest, valid[of] - age + 1)
        if 0 <= longest < FOREVER // 2:
            due[lead] = min(np.int64(due[lead]), today + longest)


@njit(cache=True, nogil=True)
def count_leaving(starts: Any, words: Any, valid: Any, place: Any, span: int, leaving: Any) -> None:
    """By account that anybody asks of, and days from now, how many events leave the window."""
    for lead in range(len(place)):
        a = place[lead]
        if a < 0:
            continue
        for at in range(starts[lead], starts[lead + 1]):
            age = np.int64(words[at] & np.uint64(16383))
            last = min(np.int64(span), valid[np.int64((words[at] >> np.uint64(16)) & np.uint64(255))])
            if age <= last:
                leaving[a, last - age + 1] += 1


@njit(cache=True, nogil=True)
def enough_left(leaving: Any, few: Any) -> Any:
    """In how many days as many events have left as it takes; NEVER where as many there are not."""
    found = np.full(len(few), np.int64(NEVER))
    for a in range(len(few)):
        gone = np.int64(0)
        for day in range(leaving.shape[1]):
            gone += leaving[a, day]
            if gone >= few[a]:
                found[a] = day
                break
    return found
