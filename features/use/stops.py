"""Which rules of data use a suppression in force ends, for each lead; one of an account ends them for its leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.columns import Columns, exact
from features.tables import SKEW_US, UNKNOWN_INSTANT, Tables, latest

if TYPE_CHECKING:
    from features.use.bases import BasisRules

# Column of `BasisRules.rules` with the channel that a rule is about.
CHANNEL = 4


def stops_of(tables: Tables, leads: Columns, n: int, cut: int, rules: BasisRules) -> NDArray[np.uint32]:
    """Rules that a suppression in force ends for each lead, as bits; one of an account ends them for its leads."""
    found = np.zeros(n, dtype=np.uint32)
    rows = tables.suppressions
    size = len(rows["lead"]) if rows else 0
    if not size:
        return found
    reason = exact(rows, "reason", np.uint8, size)
    if not _any_bits(reason, rules.stopped):
        return found
    of_accounts = np.zeros(len(tables.account_ids), dtype=np.uint32)
    if _stop(
        exact(rows, "lead", np.int32, size),
        exact(rows, "account", np.int32, size),
        exact(rows, "channel", np.uint8, size),
        reason,
        exact(rows, "since_at", np.int64, size),
        exact(rows, "recorded_at", np.int64, size),
        exact(rows, "until_at", np.int64, size),
        rules.stopped,
        rules.rules,
        rules.consent.channels,
        cut,
        cut + SKEW_US,
        found,
        of_accounts,
    ):
        accounts, _ = latest(tables.accounts, "account", len(of_accounts), cut)
        parent = exact(accounts, "parent", np.int32, len(of_accounts))
        own = exact(leads, "account", np.int32, n)
        both = np.append(of_accounts | np.append(of_accounts, np.uint32(0))[parent], np.uint32(0))
        found |= both[own]
    return found


@njit(cache=True, nogil=True)
def _any_bits(codes: Any, bits: Any) -> bool:
    for i in range(len(codes)):  # noqa: SIM110 - numba compiles loops
        if bits[codes[i]] != 0:
            return True
    return False


@njit(cache=True, nogil=True)
def _stop(
    lead: Any, account: Any, channel: Any, reason: Any, since: Any, recorded: Any, until: Any, stopped: Any, rules: Any,
    channels: int, cut: int, begun: int, found: Any, of_accounts: Any,
) -> bool:  # fmt: skip
    """Adds the bits; whether an account has any."""
    some = False
    for i in range(len(lead)):
        bits = stopped[reason[i]]
        if bits == 0 or since[i] > begun or recorded[i] > begun or (until[i] != UNKNOWN_INSTANT and until[i] <= cut):
            continue
        for r in range(len(rules)):
            bit = np.uint32(1) << np.uint32(r)
            on = rules[r, CHANNEL]
            if bits & bit and on != 0 and 0 < channel[i] <= channels and channel[i] != on:
                bits &= ~bit
        if 0 <= lead[i] < len(found):
            found[lead[i]] |= bits
        elif 0 <= account[i] < len(of_accounts):
            of_accounts[account[i]] |= bits
            some = some or bits != 0
    return some
