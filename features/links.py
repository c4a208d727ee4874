"""Two ids of one person become one lead, as of an instant and reversibly: links are edges, nothing is overwritten.

The latest word on a pair counts (by `linked_at`, then `recorded_at`); of two at one instant `different` wins, and a
kind that cannot be read says nothing. Leads joined by pairs that are `same` are one person, and one of their rows
speaks for all: one that has a version, then the one created first, then the one of the smallest id.

Every row of the others then points at the survivor, in whose fields conflicts become unknown or "no" as configured.
The person's consents keep their holder, so that the least permissive of them decides (`features/consent.py`). Stops of
any of the accounts hold. An event that two records share to the microsecond and in every code happened once; a touch
never is taken for another, for caps count the stricter way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.settings import Settings
from features.columns import Columns, available_threads, exact, in_ranges, unknown_like
from features.stricter import INSTANTS, DoubtRules, conflicting, disagreeing, sources_of, strictest, unresolved
from features.tables import NO, UNKNOWN_INSTANT, YES, Merged, Tables, latest, microseconds

Rows = NDArray[np.int64]
_POOLED = ("events", "touches", "suppressions", "cases", "memberships", "outcomes", "assignments")
# What may differ between two copies of one event: whose row it is, and when which system learned of it.
_NOT_CONTENT = frozenset({"lead", "account", "recorded_at"})
# From one record each: how fresh the country is must not be told by a record that knows no country.
_WITH_COUNTRY = ("country", "recorded_at", "verified_at")
_LAST = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True)
class LinkRules:
    """Codes of the two kinds and of a CRM's own merge, and what lead fields become on which records disagree."""

    same: int
    different: int
    merged_by_crm: int
    otherwise: Mapping[str, int]
    doubts: DoubtRules

    @classmethod
    def of(cls, settings: Settings) -> LinkRules:
        """Resolve the settings."""
        kind, conflicts = settings.vocabularies["link_kind"], settings.identity.conflicts
        merged = settings.vocabularies["link_evidence"].code("crm_merge")
        named = ((conflicts.unknown, 0), (conflicts.yes, YES), (conflicts.no, NO))
        otherwise = {str(name): code for names, code in named for name in names}
        return cls(kind.code("same"), kind.code("different"), merged, otherwise, DoubtRules.of(settings))


@dataclass(frozen=True, slots=True)
class Words:
    """The latest word on each pair of lead rows, the smaller row first: together or apart, and bits of evidence."""

    low: Rows
    high: Rows
    together: NDArray[np.bool_]
    evidence: NDArray[np.uint64]


def latest_words(links: Columns, cut: int, rules: LinkRules) -> Words:
    """What links say by the cut; the evidence is that of every row that said `same`.

    INVARIANT: neither the order of rows nor their repetition matters.
    """
    size = len(links["lead"])
    lead, other = exact(links, "lead", np.int32, size), exact(links, "other", np.int32, size)
    linked, recorded = exact(links, "linked_at", np.int64, size), exact(links, "recorded_at", np.int64, size)
    kind = exact(links, "kind", np.uint8, size)
    readable = (kind == rules.same) | (kind == rules.different)
    known = (linked <= cut) & (recorded <= cut) & (lead >= 0) & (other >= 0) & (lead != other)
    rows = np.flatnonzero(readable & known)
    low, high = np.minimum(lead, other)[rows].astype(np.int64), np.maximum(lead, other)[rows].astype(np.int64)
    apart = kind[rows] == rules.different
    order = np.lexsort((apart, recorded[rows], linked[rows], high, low))
    low, high, apart = low[order], high[order], apart[order]
    starts = np.ones(len(order), dtype=np.bool_)
    starts[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    first = np.flatnonzero(starts)
    if not len(first):
        return Words(low, high, apart, np.zeros(0, dtype=np.uint64))
    last = np.append(first[1:], len(order)) - 1
    evidence = np.uint64(1) << (exact(links, "evidence", np.uint8, size)[rows][order] & 63).astype(np.uint64)
    bits = np.bitwise_or.reduceat(np.where(apart, np.uint64(0), evidence), first)
    return Words(low[last], high[last], ~apart[last], bits)


def same_pairs(links: Columns, cut: int, rules: LinkRules) -> tuple[Rows, Rows, NDArray[np.uint64]]:
    """Pairs of lead rows whose latest word by the cut is `same`, the smaller row first, and bits of their evidence."""
    said = latest_words(links, cut, rules)
    return said.low[said.together], said.high[said.together], said.evidence[said.together]


def given_up(links: Columns, cut: int, rules: LinkRules, together: tuple[Rows, Rows], n: int) -> NDArray[np.bool_]:
    """Of `n` lead rows those that the CRM merged into another, by a link in force (`together`, low and high)."""
    size = len(links["lead"])
    lead, other = exact(links, "lead", np.int32, size), exact(links, "other", np.int32, size)
    linked, recorded = exact(links, "linked_at", np.int64, size), exact(links, "recorded_at", np.int64, size)
    by_crm = exact(links, "evidence", np.uint8, size) == rules.merged_by_crm
    said = by_crm & (exact(links, "kind", np.uint8, size) == rules.same) & (linked <= cut) & (recorded <= cut)
    rows = np.flatnonzero(said & (lead >= 0) & (other >= 0))
    pairs = np.minimum(lead, other)[rows].astype(np.int64) * n + np.maximum(lead, other)[rows]
    found = np.zeros(n, dtype=np.bool_)
    found[lead[rows[np.isin(pairs, together[0] * n + together[1])]]] = True
    return found


def components(low: Rows, high: Rows, n: int) -> Rows:
    """For each of `n` nodes the smallest node that edges connect it with."""
    root = np.arange(n, dtype=np.int64)
    while True:
        before = root.copy()
        smallest = np.minimum(root[low], root[high])
        for ends in (low, high):
            np.minimum.at(root, root[ends], smallest)
            np.minimum.at(root, ends, smallest)
        while not np.array_equal(root[root], root):
            root = root[root]
        if np.array_equal(root, before):
            return root


def follow_links(tables: Tables, as_of: datetime, rules: LinkRules) -> Tables:
    """Tables in which linked leads are one; the same object where no link is in force at `as_of`.

    Lead ids keep their rows, so what is known before and after a merge can be compared; `merged` says who speaks for
    whom, and a lead that was merged away has no version any more.

    INVARIANT: a link changes nothing as of before it was known, and one that was taken back changes nothing at all.
    """
    if not tables.links or not len(tables.links["lead"]):
        return tables
    cut = microseconds(as_of)
    low, high, bits = same_pairs(tables.links, cut, rules)
    n = len(tables.lead_ids)
    doubted = unresolved(tables.links, cut, rules.doubts, n)
    if not len(low):
        return replace(tables, doubted=doubted) if doubted.any() else tables
    members, ends = np.unique(np.concatenate((low, high)), return_inverse=True)
    group = components(ends[: len(low)], ends[len(low) :], len(members))
    gone = given_up(tables.links, cut, rules, (low, high), n)[members]
    people = _People.of(tables, members, group, gone, cut)
    survivor = np.arange(n, dtype=np.int32)
    survivor[people.rows] = people.survivors[people.person]
    evidence = np.zeros(n, dtype=np.uint64)
    np.bitwise_or.at(evidence, survivor[low], bits)
    found: dict[str, Any] = {name: _moved(getattr(tables, name), survivor) for name in _POOLED}
    inside = np.zeros(n, dtype=np.bool_)
    inside[members] = True
    found["events"] = _once(found["events"], tables.events, inside)
    found["leads"], account = people.one_version_each(tables.leads, inside, rules)
    found["suppressions"] = _with_stops_of_accounts(tables, found["suppressions"], people, account, cut)
    found["consents"] = _moved(tables.consents, survivor)
    if tables.consents:
        found["consents"] = {**found["consents"], "holder": tables.consents["lead"]}
    if tables.colleagues:
        found["colleagues"] = _moved(tables.colleagues, survivor)
    found["attributes"] = {name: people.filled(column) for name, column in tables.attributes.items()}
    found["doubted"] = np.zeros(n, dtype=np.bool_)
    found["doubted"][survivor[doubted]] = True
    found["doubted"][people.survivors[conflicting(people.own, people.place, people.starts, rules.doubts)]] = True
    sources = np.zeros(n, dtype=np.uint64)
    sources[people.survivors] = sources_of(people.own, people.present, people.place, people.starts)
    return replace(tables, **found, links={}, merged=Merged(survivor, evidence, sources))


@dataclass(frozen=True, slots=True)
class _People:
    """Leads that are linked, person by person and in each the one that survives first.

    `rows` are lead rows, `place` their places among the members, `person` numbers the people from 0, `starts` is where
    each begins and `survivors` the lead row of each. `own` has the latest version of each member by the cut.
    """

    rows: Rows
    place: Rows
    person: Rows
    starts: Rows
    survivors: NDArray[np.int32]
    own: Columns
    present: NDArray[np.bool_]
    versions: Rows

    @classmethod
    def of(cls, tables: Tables, members: Rows, group: Rows, gone: NDArray[np.bool_], cut: int) -> _People:
        """Read the members' latest versions and order them; who is `gone` speaks only where nobody else can."""
        leads, size = tables.leads, len(tables.leads["lead"])
        place_of = np.full(len(tables.lead_ids) + 1, -1, dtype=np.int32)
        place_of[members] = np.arange(len(members), dtype=np.int32)
        place = place_of[exact(leads, "lead", np.int32, size)]
        versions = np.flatnonzero(place >= 0)
        theirs = {name: column[versions] for name, column in leads.items()} | {"lead": place[versions]}
        own, present = latest(theirs, "lead", len(members), cut)
        created = exact(own, "created_at", np.int64, len(members))
        created = np.where(created == UNKNOWN_INSTANT, _LAST, created)
        ids = tables.lead_ids[members].tolist()
        by_id = np.empty(len(ids), dtype=np.int64)
        by_id[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
        order = np.lexsort((by_id, created, gone, ~present, group))
        starts = np.flatnonzero(np.append(True, group[order][1:] != group[order][:-1]))
        sizes = np.diff(np.append(starts, len(order)))
        rows = members[order]
        person = np.repeat(np.arange(len(starts)), sizes)
        return cls(rows, order, person, starts, rows[starts].astype(np.int32), own, present, versions)

    def first_known(self, values: NDArray[Any]) -> tuple[Rows, NDArray[Any]]:
        """Of values in the order of `rows`: who of each person knows one first (-1: nobody), and that value."""
        places = np.where(_known(values), np.arange(len(values)), len(values))
        first = np.minimum.reduceat(places, self.starts)
        found = np.append(values, np.array([unknown_like(values.dtype)], dtype=values.dtype))[first]
        return np.where(first < len(values), first, -1), found

    def one_version_each(
        self, leads: Columns, inside: NDArray[np.bool_], rules: LinkRules
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.int32]]:
        """Lead versions with one for each person, and each person's account."""
        # The person's version takes the place of one of their own; the others belong to nobody.
        owner = exact(leads, "lead", np.int32, len(leads["lead"]))[self.versions]
        person_of = np.empty(len(inside), dtype=np.int64)
        person_of[self.rows] = self.person
        has = np.maximum.reduceat(self.present[self.place], self.starts)
        spot = np.full(len(self.starts), -1, dtype=np.int64)
        spot[person_of[owner]] = self.versions
        spot = spot[has]
        country, _ = self.first_known(self.own["country"][self.place]) if "country" in self.own else (self.starts, None)
        teller = np.where(country >= 0, country, self.starts)
        found: dict[str, NDArray[Any]] = {}
        account = np.full(len(self.starts), -1, dtype=np.int32)
        for name, column in leads.items():
            values = self.own[name][self.place]
            if name in _WITH_COUNTRY:
                chosen = values[teller]
            else:
                _, chosen = self.first_known(values)
            if name in INSTANTS:
                chosen = strictest(name, self.own, self.present, self.place, self.starts)
            elif values.dtype == object and name in rules.otherwise:
                chosen = np.where(disagreeing(values, self.starts), None, chosen)  # type: ignore[call-overload]
            elif name in rules.otherwise:
                chosen = self._settled(values, chosen, rules.otherwise[name])
            if name == "account":
                account = chosen
            found[name] = column.copy()
            found[name][spot] = chosen[has]
        found["lead"] = np.array(leads["lead"], dtype=np.int32)
        found["lead"][self.versions] = -1
        found["lead"][spot] = self.survivors[has]
        return found, account

    def _settled(self, codes: NDArray[Any], chosen: NDArray[Any], otherwise: int) -> NDArray[Any]:
        """Codes on which a person's records agree, else `otherwise`."""
        most = np.maximum.reduceat(codes, self.starts)
        least = np.minimum.reduceat(np.where(codes == 0, 255, codes), self.starts)
        return np.where((most > 0) & (least < most), otherwise, chosen).astype(codes.dtype)

    def filled(self, column: NDArray[Any]) -> NDArray[Any]:
        """A column of one value a lead id, the survivors' filled from the others and theirs taken away."""
        _, chosen = self.first_known(column[self.rows])
        found = column.copy()
        found[self.rows] = unknown_like(column.dtype)
        found[self.survivors] = chosen
        return found


def _known(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype == object:
        return np.array([value is not None for value in values.tolist()], dtype=np.bool_)
    found: NDArray[np.bool_] = values != unknown_like(values.dtype)
    return ~np.isnan(values) if values.dtype.kind == "f" else found


def _moved(columns: Columns, survivor: NDArray[np.int32]) -> Columns:
    """Rows of a lead that was merged away point at who speaks for it; those of nobody stay so."""
    if not columns or not len(columns["lead"]):
        return columns
    lead = exact(columns, "lead", np.int32, len(columns["lead"]))
    moved = np.empty(len(lead), dtype=np.int32)
    in_ranges(lambda _, a, b: _point(lead, survivor, a, b, moved), len(lead), available_threads())
    return {**columns, "lead": moved}


@njit(cache=True, nogil=True)
def _point(lead: Any, survivor: Any, start: int, stop: int, moved: Any) -> None:
    for i in range(start, stop):
        moved[i] = survivor[lead[i]] if 0 <= lead[i] < len(survivor) else -1


@njit(cache=True, nogil=True)
def _rows_inside(lead: Any, inside: Any) -> Any:
    """Rows of leads that are inside, as `flatnonzero` gives them, without an array as long as all rows."""
    count = 0
    for i in range(len(lead)):
        count += 0 <= lead[i] < len(inside) and inside[lead[i]]
    rows, count = np.empty(count, dtype=np.int64), 0
    for i in range(len(lead)):
        if 0 <= lead[i] < len(inside) and inside[lead[i]]:
            rows[count] = i
            count += 1
    return rows


def _once(events: Columns, before: Columns, inside: NDArray[np.bool_]) -> Columns:
    """Events of people with several records, each as often as the record that has it most often.

    Rows that repeat another record's lose their lead; within one record nothing is dropped.
    """
    if not events or not len(events["lead"]):
        return events
    holder = exact(before, "lead", np.int32, len(before["lead"]))
    rows = _rows_inside(holder, inside)
    # A first look by person and instant, which hardly two events share; those that do are compared exactly.
    mixed = events["lead"][rows].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= events["occurred_at"][rows].view(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    ordered = np.sort(mixed)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(repeated):
        return events
    at = np.minimum(np.searchsorted(repeated, mixed), len(repeated) - 1)
    rows = rows[repeated[at] == mixed]
    recorded = exact(events, "recorded_at", np.int64, len(holder))[rows]
    content = [events[name] for name in sorted(events) if name not in _NOT_CONTENT and events[name].dtype != object]
    keys = [column[rows] for column in (*content, events["lead"])]
    # How many equal events of its own record come before each: the k-th of one record is the k-th of another.
    order = np.lexsort((recorded, holder[rows], *keys))
    starts = _changes([key[order] for key in keys])
    within = starts | _changes([holder[rows][order]])
    begins = np.maximum.accumulate(np.where(within, np.arange(len(order)), 0))
    turn = np.empty(len(order), dtype=np.int64)
    turn[order] = np.arange(len(order)) - begins
    order = np.lexsort((holder[rows], recorded, turn, *keys))
    extra = ~_changes([key[order] for key in (*keys, turn)])
    lead = events["lead"].copy()
    lead[rows[order[extra]]] = -1
    return {**events, "lead": lead}


def _changes(keys: list[NDArray[Any]]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.ones(len(keys[0]), dtype=np.bool_)
    found[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return found


def _with_stops_of_accounts(
    tables: Tables, suppressions: Columns, people: _People, account: NDArray[np.int32], cut: int
) -> Columns:
    """A stop of the account of any of a person's records, or of its parent, is a stop of the person."""
    if not suppressions or "account" not in suppressions or "account" not in people.own:
        return suppressions
    lead, stopped = suppressions["lead"], suppressions["account"]
    of_accounts = np.flatnonzero((lead < 0) & (stopped >= 0))
    if not len(of_accounts):
        return suppressions
    theirs = people.own["account"][people.place]
    moved = np.flatnonzero((theirs >= 0) & (theirs != account[people.person]))
    size = len(tables.account_ids)
    accounts, _ = latest(tables.accounts, "account", size, cut)
    parent = exact(accounts, "parent", np.int32, size)[theirs[moved]]
    owner = np.concatenate((people.survivors[people.person[moved]],) * 2)
    named = np.concatenate((theirs[moved], parent))
    order = of_accounts[np.argsort(stopped[of_accounts], kind="stable")]
    first = np.searchsorted(stopped[order], named, "left")
    counts = np.where(named >= 0, np.searchsorted(stopped[order], named, "right") - first, 0)
    total = int(counts.sum())
    if not total:
        return suppressions
    offsets = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    copied = order[np.repeat(first, counts) + offsets]
    more: Mapping[str, NDArray[Any]] = {
        **{name: column[copied] for name, column in suppressions.items()},
        "lead": np.repeat(owner, counts).astype(np.int32),
        "account": np.full(total, -1, dtype=np.int32),
    }
    return {name: np.concatenate((column, more[name])) for name, column in suppressions.items()}
