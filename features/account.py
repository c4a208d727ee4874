"""Account roll-up: what the other leads of the same account have done, never counting the lead itself.

In batch it is added up from the leads present; online from the summaries of colleagues that the request carries.
Both give the same whole numbers; -1 where it cannot be known. Colleagues weigh by role and influence as declared, and
those who were quiet for the declared time are counted as silent: silence of a large account says something too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.columns import Columns, exact
from features.engagement import EngagementPlan, Measures
from features.tables import Known

ROLL_UP = (
    "colleague_count",
    "colleague_event_count_90d",
    "colleague_demo_request_count_90d",
    "active_colleague_count_90d",
    "decision_maker_colleague_count",
    "silent_colleague_count",
    "weighted_colleague_event_count_90d",
    "colleague_weight",
    "active_colleague_weight_90d",
    "days_since_last_colleague_event",
)
# Numbers that only make up a share: no features of their own.
PARTS = ("colleague_weight", "active_colleague_weight_90d")
SAYS = (
    "How many other leads are known at the same account",
    "Events of other leads at the same account in the last 90 days",
    "Demo requests of other leads at the same account in the last 90 days",
    "Other leads at the same account with an event in the last 90 days",
    "Other leads at the same account who decide on purchases",
    "Other leads at the same account without an event for {silent_days} days",
    "Events of other leads at the same account in the last 90 days, each times the weight of their role",
    "Sum of the weights of the roles of other leads at the same account",
    "Sum of the weights of the roles of other leads at the same account with an event in the last 90 days",
    "Days since another lead at the same account last did something",
)
NEEDED = ("event_count_90d", "demo_request_count_90d", "days_since_last_event")
_SUMS = len(ROLL_UP) - 1


@dataclass(frozen=True, slots=True)
class AccountRules:
    """How colleagues count, resolved to codes: weight by role and influence, and after how many days one is silent."""

    role_weight: NDArray[np.int64]
    influence_weight: NDArray[np.int64]
    silent_days: int

    @classmethod
    def of(cls, plan: EngagementPlan) -> AccountRules:
        """Resolve the settings of a plan; a weight for a word that no vocabulary has counts for nobody."""
        settings = plan.settings.account

        def weights(name: str, declared: Mapping[str, int]) -> NDArray[np.int64]:
            found = np.full(256, -1, dtype=np.int64)
            for code, value in enumerate(plan.values.get(name, ()), start=1):
                found[code] = declared.get(value, -1)
            return found

        return cls(
            weights("role", settings.role_weights),
            weights("influence", settings.influence_weights),
            settings.silent_days,
        )


def roll_up(known: Known, measures: Measures, decision_maker: int, rules: AccountRules) -> NDArray[np.int32]:
    """One row per name of `ROLL_UP`, one column per lead. `decision_maker` is that influence's code.

    INVARIANT: colleagues' summaries give the same numbers as the colleagues' own rows.
    """
    n = len(known.lead_ids)
    found = np.full((len(ROLL_UP), n), -1, dtype=np.int32)
    account = exact(known.leads, "account", np.int32, n)
    if known.colleagues is not None:
        return _from_summaries(known.colleagues, account, decision_maker, rules, found)
    row, accounts = measures.plan.row, len(known.account_ids)
    if not measures.supplied or not all(name in row for name in NEEDED) or accounts == 0:
        return found
    _from_rows(
        account,
        known.present,
        exact(known.leads, "role", np.uint8, n),
        exact(known.leads, "influence", np.uint8, n),
        decision_maker,
        *(measures.of(name) for name in NEEDED),
        rules.role_weight,
        rules.influence_weight,
        rules.silent_days,
        # Each account's sums beside each other: a lead then reaches into one place in memory.
        np.zeros((accounts, _SUMS), dtype=np.int64).T,
        np.full((2, accounts), -1, dtype=np.int32),
        found,
    )
    return found


def _from_summaries(
    colleagues: Columns,
    account: NDArray[np.int32],
    decision_maker: int,
    rules: AccountRules,
    found: NDArray[np.int32],
) -> NDArray[np.int32]:
    if "lead" not in colleagues:
        return found
    size, n = len(colleagues["lead"]), len(account)
    supplied = colleagues.get("supplied")
    known = account >= 0 if supplied is None else (account >= 0) & supplied
    _add_summaries(
        exact(colleagues, "lead", np.int32, size),
        exact(colleagues, "role", np.uint8, size),
        exact(colleagues, "influence", np.uint8, size),
        decision_maker,
        *(exact(colleagues, name, np.int32, size) for name in NEEDED),
        rules.role_weight,
        rules.influence_weight,
        rules.silent_days,
        known,
        n,
        np.zeros((_SUMS, n), dtype=np.int64),
        found,
    )
    return found


@njit(cache=True, nogil=True)
def _add_one(
    role: Any, influence: Any, decision_maker: int, events: Any, demos: Any, last: Any, role_weight: Any,
    influence_weight: Any, silent_days: int, sums: Any,
) -> None:  # fmt: skip
    """Add one lead to sums. A role and influence without a weight weigh 1."""
    weight = max(role_weight[role], influence_weight[influence])
    if weight < 0:
        weight = 1
    seen = max(events, 0)
    sums[0] += 1
    sums[1] += seen
    sums[2] += max(demos, 0)
    sums[3] += seen > 0
    sums[4] += influence == decision_maker
    sums[5] += last < 0 or last > silent_days
    sums[6] += weight * seen
    sums[7] += weight
    sums[8] += weight * (seen > 0)


@njit(cache=True, nogil=True)
def _add_summaries(
    lead: Any, role: Any, influence: Any, decision_maker: int, events: Any, demos: Any, last: Any, role_weight: Any,
    influence_weight: Any, silent_days: int, known: Any, n: int, sums: Any, found: Any,
) -> None:  # fmt: skip
    newest, most = len(sums), np.iinfo(np.int32).max
    for j in range(len(lead)):
        i = lead[j]
        if i < 0 or i >= n or not known[i]:
            continue
        _add_one(
            role[j], influence[j], decision_maker, events[j], demos[j], last[j], role_weight, influence_weight,
            silent_days, sums[:, i],
        )  # fmt: skip
        if last[j] >= 0 and (found[newest, i] < 0 or last[j] < found[newest, i]):
            found[newest, i] = last[j]
    for i in range(n):
        if known[i]:
            for row in range(newest):
                found[row, i] = min(sums[row, i], most)


@njit(cache=True, nogil=True)
def _from_rows(
    account: Any, present: Any, role: Any, influence: Any, decision_maker: int, events: Any, demos: Any, last: Any,
    role_weight: Any, influence_weight: Any, silent_days: int, sums: Any, newest: Any, found: Any,
) -> None:  # fmt: skip
    """Add up each account once, then take each lead's own part away; the two newest make excluding oneself possible."""
    own, most = np.empty(len(sums), dtype=np.int64), np.iinfo(np.int32).max
    for i in range(len(account)):
        a = account[i]
        if a < 0 or a >= sums.shape[1] or not present[i]:
            continue
        _add_one(
            role[i], influence[i], decision_maker, events[i], demos[i], last[i], role_weight, influence_weight,
            silent_days, sums[:, a],
        )  # fmt: skip
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
        own[:] = 0
        _add_one(
            role[i], influence[i], decision_maker, events[i], demos[i], last[i], role_weight, influence_weight,
            silent_days, own,
        )  # fmt: skip
        for row in range(len(sums)):
            found[row, i] = min(sums[row, a] - own[row], most)
        found[len(sums), i] = newest[1, a] if last[i] >= 0 and last[i] == newest[0, a] else newest[0, a]
