"""Account roll-up: what the other leads of the same account have done, never counting the lead itself.

In batch it is added up from the leads present; online from the summaries of colleagues that the request carries.
Both give the same whole numbers; -1 where it cannot be known.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.columns import Columns, exact
from features.engagement import Measures
from features.tables import Known

ROLL_UP = (
    "colleague_count",
    "colleague_event_count_90d",
    "colleague_demo_request_count_90d",
    "active_colleague_count_90d",
    "decision_maker_colleague_count",
    "days_since_last_colleague_event",
)
SAYS = (
    "How many other leads are known at the same account",
    "Events of other leads at the same account in the last 90 days",
    "Demo requests of other leads at the same account in the last 90 days",
    "Other leads at the same account with an event in the last 90 days",
    "Other leads at the same account who decide on purchases",
    "Days since another lead at the same account last did something",
)


def roll_up(known: Known, measures: Measures, decision_maker: int) -> NDArray[np.int32]:
    """One row per name of `ROLL_UP`, one column per lead. `decision_maker` is that influence's code.

    INVARIANT: colleagues' summaries give the same numbers as the colleagues' own rows.
    """
    n = len(known.lead_ids)
    found = np.full((len(ROLL_UP), n), -1, dtype=np.int32)
    account = exact(known.leads, "account", np.int32, n)
    if known.colleagues is not None:
        return _from_summaries(known.colleagues, account, decision_maker, found)
    row = measures.plan.row
    needed = ("event_count_90d", "demo_request_count_90d", "days_since_last_event")
    if not measures.supplied or not all(name in row for name in needed) or len(known.account_ids) == 0:
        return found
    counts = measures.counts
    _from_rows(
        account,
        known.present,
        exact(known.leads, "influence", np.uint8, n),
        decision_maker,
        counts[row[needed[0]]],
        counts[row[needed[1]]],
        counts[row[needed[2]]],
        np.zeros((5, len(known.account_ids)), dtype=np.int64),
        np.full((2, len(known.account_ids)), -1, dtype=np.int32),
        found,
    )
    return found


def _from_summaries(
    colleagues: Columns, account: NDArray[np.int32], decision_maker: int, found: NDArray[np.int32]
) -> NDArray[np.int32]:
    if "lead" not in colleagues:
        return found
    size, n = len(colleagues["lead"]), len(account)
    supplied = colleagues.get("supplied")
    known = account >= 0 if supplied is None else (account >= 0) & supplied
    _add_summaries(
        exact(colleagues, "lead", np.int32, size),
        exact(colleagues, "influence", np.uint8, size),
        decision_maker,
        exact(colleagues, "event_count_90d", np.int32, size),
        exact(colleagues, "demo_request_count_90d", np.int32, size),
        exact(colleagues, "days_since_last_event", np.int32, size),
        known,
        n,
        found,
    )
    return found


@njit(cache=True, nogil=True)
def _add_summaries(
    lead: Any, influence: Any, decision_maker: int, events: Any, demos: Any, last: Any, known: Any, n: int, found: Any
) -> None:
    for i in range(n):
        if known[i]:
            found[0:5, i] = 0
    for j in range(len(lead)):
        i = lead[j]
        if i < 0 or i >= n or not known[i]:
            continue
        found[0, i] += 1
        found[1, i] += max(events[j], 0)
        found[2, i] += max(demos[j], 0)
        found[3, i] += events[j] > 0
        found[4, i] += influence[j] == decision_maker
        if last[j] >= 0 and (found[5, i] < 0 or last[j] < found[5, i]):
            found[5, i] = last[j]


@njit(cache=True, nogil=True)
def _from_rows(
    account: Any, present: Any, influence: Any, decision_maker: int, events: Any, demos: Any, last: Any,
    sums: Any, newest: Any, found: Any,
) -> None:  # fmt: skip
    """Add up each account once, then take each lead's own part away; the two newest make excluding oneself possible."""
    for i in range(len(account)):
        a = account[i]
        if a < 0 or a >= sums.shape[1] or not present[i]:
            continue
        sums[0, a] += 1
        sums[1, a] += events[i]
        sums[2, a] += demos[i]
        sums[3, a] += events[i] > 0
        sums[4, a] += influence[i] == decision_maker
        if last[i] >= 0:
            if newest[0, a] < 0 or last[i] < newest[0, a]:
                newest[1, a] = newest[0, a]
                newest[0, a] = last[i]
            elif newest[1, a] < 0 or last[i] < newest[1, a]:
                newest[1, a] = last[i]
    for i in range(len(account)):
        a = account[i]
        if a < 0 or a >= sums.shape[1] or not present[i]:
            continue
        found[0, i] = sums[0, a] - 1
        found[1, i] = sums[1, a] - events[i]
        found[2, i] = sums[2, a] - demos[i]
        found[3, i] = sums[3, a] - (events[i] > 0)
        found[4, i] = sums[4, a] - (influence[i] == decision_maker)
        found[5, i] = newest[1, a] if last[i] >= 0 and last[i] == newest[0, a] else newest[0, a]
