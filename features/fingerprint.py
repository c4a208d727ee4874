"""One number for everything that a lead's facts rest on: while its rows stay what they are, so does the number.

It sums the hashes of rows, so that their order says nothing, and names other leads, accounts and assets by their ids,
so that it means the same in tomorrow's tables. Every version of a row counts and so do rows of the future: what time
alone changes is told by `models/segments/due.py`. A row that was mended, taken back or delivered late changes the
number, which an instant of recording would not tell.

What a lead's facts rest on: its own rows and those of whoever is linked with it or was handed a case of it, the
accounts it ever pointed at and the accounts above these; and, where facts count colleagues, the rows of everybody at
these accounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.columns import Columns, available_threads, exact, in_ranges
from features.ids import hashes_of
from features.links import _rows_inside, components
from features.tables import Tables

Prints = NDArray[np.uint64]
# Tables whose rows are a lead's own. What was decided (memberships) and what came of it (outcomes) make no fact.
OWN = ("leads", "events", "touches", "consents", "suppressions", "cases")
# Columns that point at rows of an id list, which are numbered anew whenever somebody is added.
_REFERENCES = {"account": "account_ids", "parent": "account_ids", "asset": "asset_ids", "other": "lead_ids"}
_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class People:
    """Who is looked at together: `person` numbers leads that links or a case connect, `lead` and `account` are pairs.

    The pairs are those of any version, so that they do not depend on an instant; `colleagues` is whether the leads of
    an account look at each other.
    """

    person: NDArray[np.int64]
    lead: NDArray[np.int32]
    account: NDArray[np.int32]
    accounts: int
    colleagues: bool

    @classmethod
    def of(cls, tables: Tables, *, colleagues: bool) -> People:
        """Read links and accounts."""
        n = len(tables.lead_ids)
        low, high = (np.concatenate(ends) for ends in zip(_linked(tables), _of_one_case(tables), strict=True))
        person = components(low, high, n) if len(low) else np.arange(n, dtype=np.int64)
        size = len(tables.leads["lead"]) if tables.leads else 0
        lead = exact(tables.leads, "lead", np.int32, size)
        account = exact(tables.leads, "account", np.int32, size)
        placed = np.flatnonzero((lead >= 0) & (account >= 0))
        return cls(person, lead[placed], account[placed], len(tables.account_ids), colleagues)

    def earliest(self, of_lead: NDArray[np.int32]) -> NDArray[np.int32]:
        """The smallest number of everybody who is one person with a lead."""
        found = np.full(len(of_lead), np.iinfo(np.int32).max, dtype=np.int32)
        np.minimum.at(found, self.person, of_lead)
        return found[self.person]

    def beside(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The chosen leads with everybody whose rows their facts are made of."""
        persons = np.zeros(len(chosen), dtype=np.bool_)
        persons[self.person[chosen]] = True
        found: NDArray[np.bool_] = persons[self.person]
        if self.colleagues:
            at = np.zeros(self.accounts, dtype=np.bool_)
            at[self.account[found[self.lead]]] = True
            persons[self.person[self.lead[at[self.account]]]] = True
            found = persons[self.person]
        return found


def _linked(tables: Tables) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of leads that any link names, whatever it says of them and whenever."""
    size = len(tables.links["lead"]) if tables.links else 0
    low, high = exact(tables.links, "lead", np.int32, size), exact(tables.links, "other", np.int32, size)
    some = (low >= 0) & (high >= 0)
    return low[some].astype(np.int64), high[some].astype(np.int64)


def _of_one_case(tables: Tables) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of leads whose rows are versions of one case: it was handed from one to the other."""
    size = len(tables.cases["lead"]) if "case" in tables.cases else 0
    lead = exact(tables.cases, "lead", np.int32, size).astype(np.int64)
    kept = np.flatnonzero(lead >= 0)
    if not len(kept):
        return kept, kept
    order = kept[np.argsort(tables.cases["case"][kept], kind="stable")]
    case, lead = tables.cases["case"][order], lead[order]
    handed = (case[1:] == case[:-1]) & (lead[1:] != lead[:-1])
    return lead[:-1][handed], lead[1:][handed]


def fingerprints(tables: Tables, people: People, *, threads: int | None = None) -> Prints:
    """One number for each lead id; see the top of this file.

    INVARIANT: neither the order of rows nor the numbers of ids matter, nor what else is in the tables.
    """
    ids = {name: hashes_of(getattr(tables, name)) for name in ("lead_ids", "account_ids", "asset_ids")}
    n, size = len(tables.lead_ids), len(tables.account_ids)
    threads = threads or available_threads()
    own, sites = np.zeros(n, dtype=np.uint64), np.zeros(size, dtype=np.uint64)
    for number, name in enumerate((*OWN, "links", "accounts")):
        columns = getattr(tables, name)
        rows = len(next(iter(columns.values()))) if columns else 0
        if not rows:
            continue
        hashed = _rows_of(columns, ids, rows, number, threads)
        if name == "accounts":
            _add(exact(columns, "account", np.int32, rows), hashed, sites)
            continue
        _add(exact(columns, "lead", np.int32, rows), hashed, own)
        if name == "links":
            _add(exact(columns, "other", np.int32, rows), hashed, own)
        if name == "suppressions":
            _add(exact(columns, "account", np.int32, rows), hashed, sites)
    own = _mixed(own ^ ids["lead_ids"])
    own = _summed(people.person, own, n)[people.person]
    below = _mixed(sites ^ ids["account_ids"])
    if tables.accounts and size:
        rows = len(tables.accounts["account"])
        child, parent = (exact(tables.accounts, name, np.int32, rows) for name in ("account", "parent"))
        above = below.copy()
        known = np.flatnonzero((parent >= 0) & (parent < size))
        _add(child[known], _mixed(above[parent[known]]), below)
    if people.colleagues:
        _add(people.account, _mixed(own[people.lead]), below)
    found = own.copy()
    _add(people.lead, _mixed(below[people.account]), found)
    return _mixed(_summed(people.person, found, n)[people.person])


def only(tables: Tables, chosen: NDArray[np.bool_]) -> Tables:
    """The tables of some leads; accounts stay as they are, so that references to them keep their meaning."""
    rows = np.flatnonzero(chosen)
    place = np.full(len(chosen) + 1, -1, dtype=np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    changed: dict[str, Any] = {}
    for name in (field.name for field in fields(Tables)):
        columns = getattr(tables, name)
        if not isinstance(columns, Mapping) or "lead" not in columns:
            continue
        own = _of_leads(columns, chosen, keep_others=name == "suppressions")
        own["lead"] = place[own["lead"]]
        if name == "links":
            own["other"] = place[own["other"]]
        changed[name] = own
    attributes = {name: column[rows] for name, column in tables.attributes.items()}
    return replace(tables, lead_ids=tables.lead_ids[rows], attributes=attributes, **changed)


def _of_leads(columns: Columns, chosen: NDArray[np.bool_], *, keep_others: bool) -> dict[str, NDArray[Any]]:
    """Rows of chosen leads; those of nobody too where they may be an account's."""
    lead = exact(columns, "lead", np.int32, len(columns["lead"]))
    kept = np.flatnonzero((lead < 0) | chosen[lead]) if keep_others else _rows_inside(lead, chosen)
    return {name: column[kept] for name, column in columns.items()}


def _rows_of(columns: Columns, ids: Mapping[str, Prints], rows: int, number: int, threads: int) -> Prints:
    """A hash of each row: which table, and every column by its place among the names in order."""
    found = np.empty(rows, dtype=np.uint64)
    given: list[tuple[NDArray[Any], Prints]] = []
    none = np.empty(0, dtype=np.uint64)
    for name in sorted(columns):
        column = columns[name]
        if name == "lead":
            continue
        if column.dtype == object:
            given.append((hashes_of(column).view(np.int64), none))
        elif name in _REFERENCES:
            given.append((exact(columns, name, np.int32, rows), np.append(ids[_REFERENCES[name]], np.uint64(1))))
        else:
            given.append((column.view(np.int64) if column.dtype.itemsize == 8 else column, none))

    def stir(_: int, start: int, stop: int) -> None:
        for first in range(start, stop, _BLOCK):
            part = found[first : min(first + _BLOCK, stop)]
            part[:] = number + 1
            for column, named in given:
                _stir(column[first : first + len(part)], named, part)

    in_ranges(stir, rows, threads)
    return found


def _mixed(numbers: Prints) -> Prints:
    """Each number stirred, so that sums of them tell who is in them."""
    found = np.zeros(len(numbers), dtype=np.uint64)
    _stir(numbers.view(np.int64), np.empty(0, dtype=np.uint64), found)
    return found


def _summed(group: NDArray[np.int64], numbers: Prints, n: int) -> Prints:
    found = np.zeros(n, dtype=np.uint64)
    _add(group, numbers, found)
    return found


@njit(cache=True, nogil=True)
def _stir(column: Any, named: Any, found: Any) -> None:
    """Mix each value into its row's hash (the finalizer of SplitMix64, Steele, Lea and Flood 2014)."""
    for i in range(len(found)):
        value = np.uint64(column[i])
        if len(named):
            value = named[column[i]]  # a reference to nobody is -1, the last place
        value += found[i] * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found[i] = value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def _add(rows: Any, numbers: Any, found: Any) -> None:
    """Sum numbers up by row; what points at nobody is nobody's."""
    for i in range(len(rows)):
        if 0 <= rows[i] < len(found):
            found[rows[i]] += numbers[i]
