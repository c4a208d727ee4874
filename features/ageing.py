"""Facts that are older than they may be become unknown.

A fact that is a field of the lead rests on the lead's record; a field of its account rests on two records, what the
account is and that the lead works there, and is as old as the older one; a field of the parent account on three. A
record is as old as whoever recorded or verified it last, in whole UTC days: its maximum age counts, one more does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.cards import FactDeclaration
from features.columns import MICROSECONDS_A_DAY, exact
from features.law import SKEW_US
from features.tables import Known


@dataclass(frozen=True, slots=True)
class Ages:
    """Rows of a block of facts whose age is limited, and for how many days each may be used."""

    rows: NDArray[np.int64]
    days: NDArray[np.int64]
    limited: bool

    @classmethod
    def of(cls, facts: Mapping[str, FactDeclaration], names: Sequence[str]) -> Ages:
        """The declared maximum ages of a block's facts; that of the jurisdiction is the law's own matter."""
        declared = [(row, facts[name].max_age_days) for row, name in enumerate(names) if name in facts]
        limited = [(row, days) for row, days in declared if days is not None and names[row] != "jurisdiction"]
        return cls(
            np.array([row for row, _ in limited], dtype=np.int64),
            np.array([days for _, days in limited], dtype=np.int64),
            bool(limited),
        )


def forget_old(block: NDArray[np.uint8], ages: Ages, known: Known) -> None:
    """Make codes of lead facts unknown, in place, where the lead's record is too old, of no age, or from the future."""
    if ages.limited:
        n = block.shape[1]
        recorded = exact(known.leads, "recorded_at", np.int64, n)
        _forget(block, ages.rows, ages.days, recorded, exact(known.leads, "verified_at", np.int64, n), known.as_of_us)


def forget_old_accounts(block: NDArray[np.uint8], ages: Ages, known: Known, parent_row: int) -> None:
    """The same for account facts, by the older of the two records; `parent_row` is the row of a parent's fact."""
    size = len(known.account_ids)
    if not (ages.limited and known.accounts and size):
        return
    n = block.shape[1]
    _forget_accounts(
        block,
        ages.rows,
        ages.days,
        exact(known.leads, "recorded_at", np.int64, n),
        exact(known.leads, "verified_at", np.int64, n),
        exact(known.leads, "account", np.int32, n),
        exact(known.accounts, "recorded_at", np.int64, size),
        exact(known.accounts, "verified_at", np.int64, size),
        exact(known.accounts, "parent", np.int32, size),
        parent_row,
        known.as_of_us,
    )


@njit(cache=True, nogil=True)
def _age(recorded: Any, verified: Any, cut: Any) -> Any:
    """Whole days since a record was recorded or verified last, a very long time where that cannot be said."""
    newest = max(recorded, verified)
    if newest <= 0 or newest > cut + SKEW_US:
        return np.int64(1 << 40)
    return cut // MICROSECONDS_A_DAY - newest // MICROSECONDS_A_DAY


@njit(cache=True, nogil=True)
def _forget(block: Any, rows: Any, days: Any, recorded: Any, verified: Any, cut: Any) -> None:
    for i in range(block.shape[1]):
        age = _age(recorded[i], verified[i], cut)
        for k in range(len(rows)):
            if age > days[k]:
                block[rows[k], i] = 0


@njit(cache=True, nogil=True)
def _forget_accounts(
    block: Any,
    rows: Any,
    days: Any,
    recorded: Any,
    verified: Any,
    account: Any,
    account_recorded: Any,
    account_verified: Any,
    parent: Any,
    parent_row: int,
    cut: Any,
) -> None:
    for i in range(block.shape[1]):
        a = account[i]
        if a < 0 or a >= len(parent):
            continue
        age = max(_age(recorded[i], verified[i], cut), _age(account_recorded[a], account_verified[a], cut))
        above = parent[a]
        for k in range(len(rows)):
            oldest = age
            if rows[k] == parent_row and 0 <= above < len(parent):
                oldest = max(age, _age(account_recorded[above], account_verified[above], cut))
            if oldest > days[k]:
                block[rows[k], i] = 0
