"""Facts of accounts as codes: their own fields, and what their people add up to. Stages are conditions over these."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.cards import FactDeclaration
from features.columns import exact
from features.facts import Facts
from features.tables import MICROSECONDS_A_DAY, SKEW_US, YES, Known

Bools = NDArray[np.bool_]
Numbers = NDArray[np.int32]
_MOST = np.iinfo(np.int32).max
_NO_AGE = 1 << 40
_LAST_EVENT, _MEETING = "days_since_last_event", "meeting_booked"


@dataclass(frozen=True, slots=True)
class Roster:
    """Which leads are people of which unit, an account or a whole system, and what is known of each of them.

    `unit` is the row of a lead's unit, -1 where it belongs to no buying group. `told` is false where no events were
    supplied: who is engaged or silent is then unknown of everybody.
    """

    unit: Numbers
    units: int
    engaged: Bools
    silent: Bools
    signs: Bools
    told: bool

    def count(self, chosen: Bools | None = None) -> Numbers:
        """How many people each unit has, or how many of the chosen leads."""
        counts = self.unit >= 0 if chosen is None else chosen & (self.unit >= 0)
        return np.bincount(self.unit[counts], minlength=self.units).astype(np.int32)


def account_columns(
    known: Known, facts: Facts, roster: Roster, declared: Mapping[str, FactDeclaration], names: Collection[str]
) -> dict[str, NDArray[Any]]:
    """Codes of some account facts, one for each unit; the rows of units are those of the accounts.

    A count is the sum over the unit's people of whom it is known, and unknown where it is known of nobody.
    """

    def of_people(name: str) -> NDArray[Any] | None:
        column = facts.columns.get(name)
        return None if column is None else column.reshape(-1)

    found: dict[str, NDArray[Any]] = {}
    for name in names:
        if declared[name].source.startswith("accounts."):
            found[name] = _field(known, name, declared[name], roster.units)
        elif name == _LAST_EVENT:
            found[name] = _newest(of_people(name), roster)
        elif name == "open_meeting_count":
            found[name] = _meetings(of_people(_MEETING), roster)
        elif name == "people_count":
            found[name] = roster.count()
        elif name == "signer_count":
            found[name] = roster.count(roster.signs)
        elif name in ("engaged_count", "silent_count", "engaged_signer_count"):
            who = {"engaged_count": roster.engaged, "silent_count": roster.silent}.get(
                name, roster.engaged & roster.signs
            )
            found[name] = roster.count(who) if roster.told else np.full(roster.units, -1, dtype=np.int32)
        else:
            found[name] = _summed(of_people(name), roster)
    return found


def _field(known: Known, name: str, declared: FactDeclaration, units: int) -> NDArray[np.uint8]:
    """A field of the account itself, unknown where its record is older than the fact may be."""
    size = len(known.account_ids)
    field = declared.source.removeprefix("accounts.").split()[0]
    if not known.accounts or not size:
        return np.zeros(units, dtype=np.uint8)
    parent = exact(known.accounts, "parent", np.int32, size)
    above = (parent >= 0) & (parent < size)
    newest = np.maximum(
        exact(known.accounts, "recorded_at", np.int64, size), exact(known.accounts, "verified_at", np.int64, size)
    )
    age = np.where(
        (newest <= 0) | (newest > known.as_of_us + SKEW_US),
        _NO_AGE,
        known.as_of_us // MICROSECONDS_A_DAY - newest // MICROSECONDS_A_DAY,
    )
    if field == "parent_account_id":
        codes = exact(known.accounts, "organization_type", np.uint8, size)
        codes = np.where(above, codes[np.where(above, parent, 0)], 0).astype(np.uint8)
        age = np.where(above, np.maximum(age, age[np.where(above, parent, 0)]), age)
    else:
        codes = exact(known.accounts, field, np.uint8, size)
    usable = codes <= len(declared.values)
    if declared.max_age_days is not None:
        usable &= age <= declared.max_age_days
    return np.where(usable, codes, 0).astype(np.uint8)


def _summed(column: NDArray[Any] | None, roster: Roster) -> Numbers:
    """The sum over those of whom it is known."""
    if column is None:
        return np.full(roster.units, -1, dtype=np.int32)
    tells = (column >= 0) & (roster.unit >= 0)
    rows = roster.unit[tells]
    total = np.bincount(rows, weights=column[tells], minlength=roster.units)
    # INVARIANT: whole numbers below 2^53 add up exactly in any order.
    asked = np.bincount(rows, minlength=roster.units) > 0
    return np.where(asked, np.minimum(total, _MOST), -1).astype(np.int32)


def _meetings(column: NDArray[Any] | None, roster: Roster) -> Numbers:
    if column is None:
        return np.full(roster.units, -1, dtype=np.int32)
    return np.where(roster.count(column > 0) > 0, roster.count(column == YES), -1).astype(np.int32)


def _newest(column: NDArray[Any] | None, roster: Roster) -> Numbers:
    """The fewest days of anybody."""
    least = np.full(roster.units, _MOST, dtype=np.int32)
    if column is not None:
        tells = (column >= 0) & (roster.unit >= 0)
        np.minimum.at(least, roster.unit[tells], column[tells].astype(np.int32))
    return np.where(least == _MOST, -1, least).astype(np.int32)
