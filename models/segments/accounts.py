"""Which accounts are in which account segment, folded from the memberships of their people.

An account is in an account segment while at least one of its present people is: what the account is, is the same for
all of them; what is a person's own, such as the product they ask about, is met by somebody there. It entered when the
first of them did and leaves when none is left; who comes and goes in between changes neither. A segment whose condition
looks at the system above an account is shown for that system too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.definitions import SegmentDefinition
from configs.identity import Governed
from features.tables import UNKNOWN_INSTANT
from models.segments.map import Activation
from models.segments.membership import FIRST, Memberships
from models.segments.moves import STATUSES, Held

Bools = NDArray[np.bool_]
NOBODY = -1
_OF_THE_SYSTEM = "parent_organization_type"
# An account's membership is as far on as that of the furthest of its people: paused only while all of them are.
_FURTHEST = ("active", "follow_up", "paused")


@dataclass(frozen=True, slots=True)
class AccountHeld:
    """Memberships of accounts as rows, their `unit` an account, never primary; what has ended is among them.

    For each row `people` is how many of its people hold it there now, and `first` the lead among them who entered
    first, whose facts say why it is a member (NOBODY where it has ended).
    """

    held: Held
    people: NDArray[np.int32]
    first: NDArray[np.int64]

    def member(self, accounts: int, segments: int) -> Bools:
        """Account by segment: who is a member now."""
        found = np.zeros((accounts, segments), dtype=np.bool_)
        found[self.held.unit[self.held.open], self.held.segment[self.held.open]] = True
        return found


def of_accounts(definitions: Sequence[SegmentDefinition]) -> Bools:
    """For each definition whether it is an account segment; the residual one is of leads only."""
    return np.array([d.unit == "account" and not d.residual for d in definitions], dtype=np.bool_)


def shown_for_systems(activations: Sequence[Activation], governs: Mapping[str, Governed]) -> Bools:
    """For each activation whether a system shows it: it looks at the system, or at a field that the system governs."""
    above = {field for field, one in governs.items() if one.level == "system"} | {_OF_THE_SYSTEM}
    return np.array([not above.isdisjoint(activation.facts) for activation in activations], dtype=np.bool_)


def held_of_members(members: Memberships, present: Bools, status: NDArray[np.int8] | None = None) -> Held:
    """Memberships of leads as rows; `status` is lead by segment, a place in STATUSES, active without it."""
    lead, segment = np.nonzero(members.member & present[:, None])
    n = len(lead)
    return Held(
        unit=lead.astype(np.int64),
        segment=segment.astype(np.int32),
        version=np.array(members.versions, dtype=np.int32)[segment],
        entered_at=members.entered_at[lead, segment],
        left_at=np.full(n, UNKNOWN_INSTANT),
        status=np.zeros(n, dtype=np.int8) if status is None else status[lead, segment].astype(np.int8),
        entry=members.entry[lead, segment],
        primary=members.primary[lead] == segment,
    )


def held_by_accounts(
    leads: Held,
    account: NDArray[np.int32],
    of_account: Bools,
    *,
    now: int,
    before: Held | None = None,
    above: NDArray[np.int32] | None = None,
    systems: Bools | None = None,
) -> AccountHeld:
    """Memberships of accounts from those of their people.

    Args:
        leads: memberships of leads that speak for a person now; rows that have ended count for nothing.
        account: for each lead its account, NOBODY where it has none.
        of_account: for each segment that rows refer to whether it is an account segment.
        now: microseconds since 1970 UTC.
        before: memberships of accounts before, of the same accounts and segments; None at a first run, when an account
            entered when the first of its people did.
        above: for each account the topmost one above it, itself where there is none.
        systems: for each segment whether that one shows it too (`shown_for_systems`).

    INVARIANT: neither the order of rows nor which accounts are folded together changes an account's answer, and
    folding again at the same instant changes nothing.
    """
    width = len(of_account)
    rows = np.flatnonzero(leads.open & of_account[leads.segment] & (account[leads.unit] >= 0))
    unit = account[leads.unit[rows]].astype(np.int64)
    if above is not None and systems is not None:
        higher = systems[leads.segment[rows]] & (above[unit] != unit)
        rows, unit = np.concatenate((rows, rows[higher])), np.concatenate((unit, above[unit[higher]].astype(np.int64)))
    key = unit * width + leads.segment[rows]
    # Of those who entered at one instant the first lead, whatever the order of rows.
    order = np.lexsort((leads.unit[rows], leads.entered_at[rows], key))
    rows, key = rows[order], key[order]
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else np.empty(0, dtype=np.intp)
    rank = np.array([_FURTHEST.index(word) for word in STATUSES], dtype=np.int8)
    place = np.array([STATUSES.index(word) for word in _FURTHEST], dtype=np.int8)
    found = AccountHeld(
        held=Held(
            unit=key[starts] // width,
            segment=(key[starts] % width).astype(np.int32),
            version=_reduced(np.maximum, leads.version[rows], starts),
            entered_at=leads.entered_at[rows[starts]],
            left_at=np.full(len(starts), UNKNOWN_INSTANT),
            status=place[_reduced(np.minimum, rank[leads.status[rows]], starts)],
            entry=np.full(len(starts), FIRST, dtype=np.int32),
            primary=np.zeros(len(starts), dtype=np.bool_),
        ),
        people=np.diff(np.append(starts, len(rows))).astype(np.int32),
        first=leads.unit[rows[starts]],
    )
    return found if before is None else _after(found, before, width, now)


def _after(found: AccountHeld, before: Held, width: int, now: int) -> AccountHeld:
    """What is held now, with the times and numbers of what was held before, and what has ended."""
    is_in, was = found.held.keys(width), before.keys(width)
    at = np.minimum(np.searchsorted(was, is_in), max(len(was) - 1, 0))
    known = was[at] == is_in if len(was) else np.zeros(len(is_in), dtype=np.bool_)
    stayed = np.zeros(len(is_in), dtype=np.bool_)
    stayed[known] = before.open[at[known]]
    entry = np.where(known, before.entry[at] if len(was) else 0, 0)
    # It has been a member since then, even if whoever was the first has left; and it enters now where somebody brings
    # an older membership along from another account.
    held = Held(
        unit=found.held.unit,
        segment=found.held.segment,
        version=found.held.version,
        entered_at=np.where(stayed, before.entered_at[at], now) if len(was) else np.full(len(is_in), now),
        left_at=found.held.left_at,
        status=found.held.status,
        entry=(entry + ~stayed).astype(np.int32),
        primary=found.held.primary,
    )
    over = ~np.isin(was, is_in)
    ended = before.rows(np.flatnonzero(over & before.open)).with_left(now)
    ended = ended.joined(before.rows(np.flatnonzero(over & ~before.open)))
    whole = held.joined(ended)
    # INVARIANT: a pair is in one of the two, so the order of keys tells where each row came from.
    open_rows = np.flatnonzero(whole.open)
    people, first = np.zeros(len(whole), dtype=np.int32), np.full(len(whole), NOBODY, dtype=np.int64)
    people[open_rows], first[open_rows] = found.people, found.first
    return AccountHeld(whole, people, first)


def _reduced(ufunc: np.ufunc, values: NDArray[Any], starts: NDArray[np.intp]) -> NDArray[Any]:
    found: NDArray[Any] = ufunc.reduceat(values, starts) if len(starts) else values[:0]
    return found
