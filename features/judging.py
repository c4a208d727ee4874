"""Kernels that judge who made an event: rows brought together by lead, their evidence added up.

Each lead is judged from its own rows alone, so that leads can be shared out among threads in any way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from features.columns import UNKNOWN_INSTANT

# What an event of a kind is to the evidence.
OTHER, OPEN, CLICK, VISIT = 0, 1, 2, 3
NEVER_OPENED = int(np.iinfo(np.int64).max)
_FEW = 48


@njit(cache=True, nogil=True)
def by_kind(
    lead: Any, happened: Any, recorded: Any, kind: Any, agent: Any, roles: Any, levels: Any, cut: int,
    found: Any, counts: Any,
) -> bool:  # fmt: skip
    """Level of each event by kind and agent alone; counts what the other evidence needs, at the place after a lead's.

    Whether there is any opening or click to look into.
    """
    agents, n, any_mail = levels.shape[1], len(counts) - 1, False
    for i in range(len(lead)):
        of = agent[i] if agent[i] < agents else 0
        found[i] = levels[kind[i], of]
        role = roles[kind[i]]
        if role != OTHER:
            row = lead[i]
            if 0 <= row < n and happened[i] <= cut and recorded[i] <= cut and happened[i] != UNKNOWN_INSTANT:
                counts[row + 1] += 1
                any_mail |= role != VISIT
    return any_mail


@njit(cache=True, nogil=True)
def sum_up(counts: Any) -> int:
    """Counts at the place after each lead's become starts; the total."""
    for row in range(1, len(counts)):
        counts[row] += counts[row - 1]
    return counts[-1]  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def collect(
    lead: Any, happened: Any, recorded: Any, kind: Any, agent: Any, message: Any, roles: Any, cut: int, starts: Any,
    rows: Any, at: Any, which: Any, what: Any,
) -> None:  # fmt: skip
    """Bring together by lead what the evidence needs: row, instant, message, and kind with agent."""
    n = len(starts) - 1
    places = starts[:n].copy()
    for i in range(len(lead)):
        if roles[kind[i]] != OTHER:
            row = lead[i]
            if 0 <= row < n and happened[i] <= cut and recorded[i] <= cut and happened[i] != UNKNOWN_INSTANT:
                place = places[row]
                rows[place], at[place], which[place] = i, happened[i], message[i]
                what[place, 0], what[place, 1] = kind[i], agent[i]
                places[row] += 1


@njit(cache=True, nogil=True)
def count_sent(lead: Any, sent: Any, recorded: Any, message: Any, cut: int, counts: Any) -> None:
    """Count the messages sent by the cut, at the place after each lead's."""
    for i in range(len(lead)):
        if message[i] >= 0 and 0 <= lead[i] < len(counts) - 1 and UNKNOWN_INSTANT < sent[i] <= cut >= recorded[i]:
            counts[lead[i] + 1] += 1


@njit(cache=True, nogil=True)
def collect_sent(
    lead: Any, sent: Any, recorded: Any, message: Any, cut: int, starts: Any, sent_at: Any, which: Any
) -> None:
    """Bring together by lead when each message was sent."""
    n = len(starts) - 1
    places = starts[:n].copy()
    for i in range(len(lead)):
        if message[i] >= 0 and 0 <= lead[i] < n and UNKNOWN_INSTANT < sent[i] <= cut >= recorded[i]:
            sent_at[places[lead[i]]] = sent[i]
            which[places[lead[i]]] = message[i]
            places[lead[i]] += 1


@njit(cache=True, nogil=True)
def since_sent(
    lead: Any, happened: Any, message: Any, starts: Any, sent_at: Any, sent_message: Any, delay: Any
) -> None:
    """Microseconds since the last sending of each row's message before it, unchanged where there was none."""
    for i in range(len(lead)):
        for at in range(starts[lead[i]], starts[lead[i] + 1]):
            since = happened[i] - sent_at[at]
            if sent_message[at] == message[i] and since >= 0 and (delay[i] < 0 or since < delay[i]):
                delay[i] = since


@njit(cache=True, nogil=True)
def judge(
    first: int, stop: int, starts: Any, rows: Any, at: Any, which: Any, what: Any, sent_starts: Any, sent_at: Any,
    sent_message: Any, roles: Any, odds: Any, delays: Any, delay_odds: Any, numbers: Any, evidence: Any, domain: Any,
    cuts: Any, found: Any,
) -> None:  # fmt: skip
    """Levels of openings and clicks, lead by lead, from everything known of them."""
    burst, reach, visit_reach, agents = numbers[0], numbers[1], numbers[2], odds.shape[1]
    most, most_sent = 0, 0
    for lead in range(first, stop):
        most = max(most, starts[lead + 1] - starts[lead])
        most_sent = max(most_sent, sent_starts[lead + 1] - sent_starts[lead])
    orders, sends = np.empty((3, most), dtype=np.int64), np.empty(most_sent, dtype=np.int64)
    instants, flags = np.empty((2, most), dtype=np.int64), np.empty((2, most), dtype=np.bool_)
    for lead in range(first, stop):
        a, b, c, d = starts[lead], starts[lead + 1], sent_starts[lead], sent_starts[lead + 1]
        size, mail = b - a, False
        for j in range(a, b):
            mail |= roles[what[j, 0]] != VISIT
        if not mail:
            continue
        own, kinds, messages = at[a:b], what[a:b, 0], which[a:b]
        by_time, by_message, by_sent = orders[0, :size], orders[1, :size], sends[: d - c]
        crowded, opened = flags[0, :size], flags[1, :size]
        visited, sent = instants[0, :size], instants[1, :size]
        # INVARIANT: ties cannot matter, since all that follows compares times and counts.
        _sort(own, by_time)
        _sort(messages, by_message)
        _sort(sent_message[c:d], by_sent)
        _in_burst(by_time, own, kinds, roles, burst, reach, orders[2], crowded)
        _next_visit(by_time, own, kinds, roles, visited)
        _message_times(by_message, own, kinds, messages, roles, by_sent, sent_at[c:d], sent_message[c:d], sent, opened)
        for j in range(size):
            kind, agent = kinds[j], what[a + j, 1]
            if roles[kind] == VISIT:
                continue
            total = odds[kind, agent if agent < agents else 0]
            if sent[j] == UNKNOWN_INSTANT:
                # How soon it came is not known: what usually happens behind this mail domain stands in for it.
                total += domain[lead] if len(domain) else 0.0
            else:
                for step in range(len(delays)):
                    if own[j] - sent[j] <= delays[step]:
                        total += delay_odds[step]
                        break
            if roles[kind] == CLICK:
                if crowded[j]:
                    total += evidence[0]
                if not opened[j] and (visited[j] == UNKNOWN_INSTANT or visited[j] - own[j] > visit_reach):
                    total += evidence[1]
            level = 0
            while level < len(cuts) and total >= cuts[level]:
                level += 1
            found[rows[a + j]] = level


@njit(cache=True, nogil=True)
def _sort(values: Any, order: Any) -> None:
    """Places of values from the smallest on; by insertion where they are few, as for nearly every lead."""
    size = len(values)
    if size > _FEW:
        order[:] = np.argsort(values)
        return
    for j in range(size):
        place = j
        while place > 0 and values[order[place - 1]] > values[j]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = j


@njit(cache=True, nogil=True)
def _in_burst(by_time: Any, at: Any, kinds: Any, roles: Any, burst: int, reach: int, clicks: Any, found: Any) -> None:
    """For each row whether it is a click that some stretch of `reach` holds among at least `burst` clicks."""
    found[:] = False
    count = 0
    for j in by_time:
        if roles[kinds[j]] == CLICK:
            clicks[count] = j
            count += 1
    last, marked = 0, 0
    for c in range(count):
        while last < count and at[clicks[last]] - at[clicks[c]] <= reach:
            last += 1
        if last - c >= burst:
            for other in range(max(c, marked), last):
                found[clicks[other]] = True
            marked = last


@njit(cache=True, nogil=True)
def _next_visit(by_time: Any, at: Any, kinds: Any, roles: Any, found: Any) -> None:
    """For each row the first visit at its instant or after it."""
    visit = UNKNOWN_INSTANT
    end = len(by_time) - 1
    while end >= 0:  # rows of one instant are told the same, in whatever order they lie
        start = end
        while start > 0 and at[by_time[start - 1]] == at[by_time[end]]:
            start -= 1
        for place in range(start, end + 1):
            if roles[kinds[by_time[place]]] == VISIT:
                visit = at[by_time[place]]
        for place in range(start, end + 1):
            found[by_time[place]] = visit
        end = start - 1


@njit(cache=True, nogil=True)
def _message_times(
    by_message: Any, at: Any, kinds: Any, messages: Any, roles: Any, by_sent: Any, sent_at: Any, sent_message: Any,
    sent: Any, opened: Any,
) -> None:  # fmt: skip
    """For each row when its message last went out before it, and whether the message was opened by then."""
    size, many = len(at), len(sent_at)
    sent[:] = UNKNOWN_INSTANT
    opened[:] = False
    touch, j = 0, 0
    while j < size:
        of = messages[by_message[j]]
        end = j
        while end < size and messages[by_message[end]] == of:
            end += 1
        if of >= 0:
            while touch < many and sent_message[by_sent[touch]] < of:
                touch += 1
            last = touch
            while last < many and sent_message[by_sent[last]] == of:
                last += 1
            first_open = NEVER_OPENED
            for place in range(j, end):
                row = by_message[place]
                if roles[kinds[row]] == OPEN:
                    first_open = min(first_open, at[row])
            for place in range(j, end):
                row = by_message[place]
                opened[row] = first_open <= at[row]
                for t in range(touch, last):  # one message is sent to one lead once, or a few times again
                    when = sent_at[by_sent[t]]
                    if when <= at[row]:
                        sent[row] = max(sent[row], when)
            touch = last
        j = end
