"""Records of a request become encoded columns: numpy from the start, no data frame on the way.

A table that was not given (None) becomes an empty mapping, which means unknown; an empty list becomes columns of length
zero, which means that there is none. The columns and their meaning are those of `features/layout.py`, so a file read by
`features/intake` and the same rows sent online encode to the same arrays.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import chain, repeat
from operator import getitem
from typing import Any

import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.vocabulary import Vocabularies, normalize
from features.columns import first_of_each
from features.intake.titles import Titles
from features.layout import COLLEAGUES, LAYOUTS, Column, Fields, Layout, Plan, plans
from features.records import (
    Account,
    Case,
    Colleague,
    Consent,
    Event,
    Lead,
    Link,
    PriorMembership,
    Record,
    Suppression,
    Touch,
)
from features.tables import UNKNOWN_INSTANT, Tables, microseconds

EARLIEST = microseconds(datetime(1990, 1, 1, tzinfo=UTC))
LATEST = microseconds(datetime(2200, 1, 1, tzinfo=UTC))
PLAUSIBLE = "expected an instant between 1990 and 2200"
# Tables whose rows stop somebody: what cannot be read of them is read the stricter way and not refused.
STRICTER = frozenset({"suppressions", "consents", "cases"})
# The statuses of a consent that allow something.
ALLOWING = ("granted", "implied")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ABSENT = repeat(-1)
DTYPES: Mapping[str, type[np.generic]] = {
    "code": np.uint8,
    "yesno": np.uint8,
    "present": np.uint8,
    "instant": np.int64,
    "number": np.float64,
    "count": np.int32,
    "reference": np.int32,
    "text": np.object_,
}


def encode_records(
    leads: Sequence[Lead],
    accounts: Sequence[Account] | None = None,
    events: Sequence[Event] | None = None,
    touches: Sequence[Touch] | None = None,
    consents: Sequence[Consent] | None = None,
    suppressions: Sequence[Suppression] | None = None,
    cases: Sequence[Case] | None = None,
    memberships: Sequence[PriorMembership] | None = None,
    colleagues: Sequence[Colleague] | None = None,
    *,
    vocabularies: Vocabularies,
    asset_ids: Sequence[str] = (),
    suppressions_complete_as_of: datetime | None = None,
    colleague_of: Sequence[int] | None = None,
    titles: Titles | None = None,
    attributes: Mapping[str, bool] | None = None,
    links: Sequence[Link] | None = None,
) -> Tables:
    """Encode the records of one or a few leads.

    Args:
        leads: at least one; several versions of a lead may be given.
        accounts: versions of the leads' accounts and their parents.
        events: what the leads did.
        touches: what we did.
        consents: permissions given and withdrawn.
        suppressions: hard stops.
        cases: open and closed matters.
        memberships: what was true before.
        colleagues: summaries of other leads at the same account; None means unknown.
        vocabularies: value spellings and their codes.
        asset_ids: the inventory that references point into; an asset outside it is unknown.
        suppressions_complete_as_of: until when the suppression feed is complete.
        colleague_of: for each colleague the lead (position in the order of first appearance); all lead 0 when absent.
        titles: reads role and specialty from a title where they are absent.
        attributes: the custom columns to take, and whether each holds categories, else numbers; none are read when
            absent.
        links: which lead ids are one person; an id that only they know may be referred to.

    Raises:
        InputInvalid: a row refers to a lead that was not given, its own time is implausible, or an attribute is not
            declared or of another type.
    """
    asset_rows, asset_array = _assets(tuple(asset_ids))
    ids = _Ids(asset_rows)
    for row in leads:
        ids.lead.setdefault(row.lead_id, len(ids.lead))
        if row.account_id is not None:
            ids.account.setdefault(row.account_id, len(ids.account))
    for link in links or ():
        ids.lead.setdefault(link.lead_id, len(ids.lead))
        ids.lead.setdefault(link.other_lead_id, len(ids.lead))
    for account in accounts or ():
        ids.account.setdefault(account.account_id, len(ids.account))
        if account.parent_account_id is not None:
            ids.account.setdefault(account.parent_account_id, len(ids.account))
    encode = _Encoder(vocabularies, ids)
    tables: dict[str, Any] = {
        "leads": encode.table("leads", leads),
        "accounts": encode.table("accounts", accounts),
        "events": encode.table("events", events),
        "touches": encode.table("touches", touches),
        "consents": encode.table("consents", consents),
        "suppressions": encode.table("suppressions", suppressions),
        "cases": encode.table("cases", cases),
        "memberships": encode.table("memberships", memberships),
        "colleagues": encode.table("colleagues", colleagues),
    }
    if links:
        tables["links"] = encode.table("links", links)
    encode.finish()
    if titles is not None:
        titles.complete(tables["leads"])
    if colleagues is not None:
        places = colleague_of if colleague_of is not None else [0] * len(colleagues)
        tables["colleagues"]["lead"] = np.array(places, dtype=np.int32)
    complete = suppressions_complete_as_of
    return Tables(
        lead_ids=_objects(list(ids.lead)),
        account_ids=_objects(list(ids.account)),
        asset_ids=asset_array,
        outcomes={},
        **tables,
        attributes={} if attributes is None else _attributes(leads, ids.lead, attributes),
        suppressions_complete_as_of=UNKNOWN_INSTANT if complete is None else microseconds(complete),
        segment_ids=_objects(list(ids.segment)),
    )


def _attributes(
    leads: Sequence[Lead], rows: Mapping[str, int], declared: Mapping[str, bool]
) -> dict[str, NDArray[Any]]:
    """One value a lead of every declared attribute, as `features/intake/flat.py` makes them of an export's texts."""
    found: dict[str, NDArray[Any]] = {
        name: _objects([None] * len(rows)) if category else np.full(len(rows), np.nan)
        for name, category in declared.items()
    }
    for lead in leads:
        for name, value in (lead.attributes or {}).items():
            category = declared.get(name)
            if category is None:
                raise InputInvalid("lead.attributes", "no such attribute in the bundle", field=name)
            if value is None:
                continue
            if category != isinstance(value, str):
                expected = "expected a text" if category else "expected a number, or true or false"
                raise InputInvalid("lead.attributes", expected, field=name)
            if isinstance(value, str):
                text = value.strip()
                found[name][rows[lead.lead_id]] = normalize(text) or text or None
            else:
                found[name][rows[lead.lead_id]] = value
    return found


class _Ids:
    """Row of every id met so far; leads, accounts and assets are closed, the others grow."""

    __slots__ = ("account", "asset", "case", "lead", "message", "segment")

    def __init__(self, asset: dict[str, int]) -> None:
        self.lead: dict[str, int] = {}
        self.account: dict[str, int] = {}
        self.asset = asset
        self.segment: dict[str, int] = {}
        self.case: dict[str, int] = {}
        self.message: dict[str, int] = {}


@cache
def _none(table: str) -> Mapping[str, NDArray[Any]]:
    return empty_columns(COLLEAGUES if table == "colleagues" else LAYOUTS[table])


@lru_cache(maxsize=16)
def _assets(asset_ids: tuple[str, ...]) -> tuple[dict[str, int], NDArray[np.object_]]:
    return {asset_id: row for row, asset_id in enumerate(asset_ids)}, _objects(asset_ids)


def empty_columns(layout: Layout) -> dict[str, NDArray[Any]]:
    """Columns of length zero: the table was given and has no row."""
    return {column.name: np.empty(0, dtype=dtype_of(column)) for column in layout.encoded}


def dtype_of(column: Column) -> type[np.generic]:
    """Type of an encoded column; messages are too many for the numbers that other references have."""
    return np.int64 if column.to == "message" else DTYPES[column.kind]


@dataclass(slots=True)
class _Pending:
    """A table whose values are in the encoder's buffers: where they start, and the fetched fields."""

    plan: Plan
    fields: Fields
    n: int
    codes: int
    instants: int
    words: int
    columns: dict[str, NDArray[Any]]


class _Encoder:
    """Reads tables into one buffer for each kind of value, so that a request costs few allocations whatever it holds.

    The columns of a table are filled by `finish`; until then its mapping is empty.
    """

    __slots__ = ("codes", "ids", "instants", "pending", "plans", "words")

    def __init__(self, vocabularies: Vocabularies, ids: _Ids) -> None:
        self.plans, self.ids = plans(vocabularies), ids
        self.codes, self.words = bytearray(), array("i")
        self.instants: list[datetime | None] = []
        self.pending: list[_Pending] = []

    def table(self, table: str, rows: Sequence[Record] | None) -> dict[str, NDArray[Any]]:
        """Columns of a table, duplicates of one identity counted once; {} when it was not given."""
        if rows is None:
            return {}
        n = len(rows)
        if n == 0:
            return dict(_none(table))
        plan = self.plans[table]
        fields = list(zip(*map(astuple, rows), strict=True))
        columns: dict[str, NDArray[Any]] = {}
        places = len(self.codes), len(self.instants), len(self.words)
        self.pending.append(_Pending(plan, fields, n, *places, columns))
        codes = self.codes
        if n == 1:
            codes += bytes(map(getitem, plan.lookups, chain.from_iterable(plan.codes(fields))))
        else:
            for lookup, values in zip(plan.lookups, plan.codes(fields), strict=True):
                codes += bytes(map(lookup.__getitem__, values))
        self._own_times(plan, fields, n)
        self.instants.extend(chain.from_iterable(plan.instants(fields)))
        words = self.words
        for place, column in plan.references:
            words.extend(self._references(table, column, fields[place]))
        for values in plan.counts(fields):
            words.extend([-1 if value is None else value for value in values])
        return columns

    def _own_times(self, plan: Plan, fields: Fields, n: int) -> None:
        own: Sequence[datetime | None] | None = fields[plan.own] if plan.own >= 0 else None
        if own is not None:
            self.instants.extend(own)
        if plan.recorded_at >= 0:
            recorded: Sequence[datetime | None] = fields[plan.recorded_at]
            if not all(recorded):
                # When we learned of a row without saying so is its own time; without either it was always known.
                fallback = own or [None] * n
                recorded = [at or before or _EPOCH for at, before in zip(recorded, fallback, strict=True)]
            self.instants.extend(recorded)

    def _references(self, table: str, column: Column, values: tuple[Any, ...]) -> Iterable[int]:
        if column.to in ("segment", "case"):
            grown: dict[str, int] = getattr(self.ids, column.to)
            return [grown.setdefault(value, len(grown)) for value in values]
        if column.to == "message":
            messages = self.ids.message
            return [-1 if value is None else messages.setdefault(value, len(messages)) for value in values]
        if table == "colleagues":
            return [0] * len(values)
        rows: dict[str, int] = getattr(self.ids, column.to)
        if column.to != "lead":
            return map(rows.get, values, _ABSENT)
        found = list(map(rows.get, values, _ABSENT))
        if -1 in found and (column.required or values[found.index(-1)] is not None):
            for index, (row, value) in enumerate(zip(found, values, strict=True)):
                if row < 0 and (value is not None or column.required):
                    raise InputInvalid(table, "reference to a lead that was not given", row=index, field="lead_id")
        return found

    def finish(self) -> None:
        """Turn the buffers into arrays and give every table its columns; raises InputInvalid."""
        moments = _microseconds(self.instants)
        instants = np.array(moments, dtype=np.int64)
        codes, words = np.frombuffer(self.codes, dtype=np.uint8), np.frombuffer(self.words, dtype=np.int32)
        for table in self.pending:
            plan, n, columns = table.plan, table.n, table.columns
            if plan.checked:
                stops = plan.layout.table in STRICTER
                own = moments[table.instants : table.instants + (2 * n if stops else n)]
                if not (min(own) >= EARLIEST and max(own) < LATEST):
                    if not stops:
                        raise InputInvalid(plan.layout.table, PLAUSIBLE, field=plan.layout.own_time)
                    self._since_always(table, instants)
            of_codes, of_words, of_instants = plan.sizes
            rows: Iterable[NDArray[Any]] = chain(
                codes[table.codes : table.codes + of_codes * n].reshape(of_codes, n),
                words[table.words : table.words + of_words * n].reshape(of_words, n),
                instants[table.instants : table.instants + of_instants * n].reshape(of_instants, n),
            )
            columns.update(zip(plan.names, rows, strict=True))
            if "message" in columns:
                columns["message"] = columns["message"].astype(np.int64)
            for place, name in plan.numbers:
                columns[name] = np.array([np.nan if v is None else v for v in table.fields[place]], dtype=np.float64)
            if plan.text_names:
                flat = _objects(list(chain.from_iterable(plan.texts(table.fields))))
                columns.update(zip(plan.text_names, flat.reshape(-1, n), strict=True))
            if n > 1 and plan.identity >= 0:
                identity = table.fields[plan.identity]
                if len(set(identity)) < n:
                    columns.update(_once(plan, columns, table.fields))

    def _since_always(self, table: _Pending, instants: NDArray[np.int64]) -> None:
        """A stop of an implausible time is in force since always; a consent of one allows nothing."""
        own = instants[table.instants : table.instants + table.n]
        recorded = instants[table.instants + table.n : table.instants + 2 * table.n]
        bad_own, bad_recorded = ((column < EARLIEST) | (column >= LATEST) for column in (own, recorded))
        recorded[bad_recorded] = np.where(bad_own, 0, own)[bad_recorded]
        own[bad_own] = UNKNOWN_INSTANT
        if table.plan.layout.table == "consents":
            codes = np.frombuffer(self.codes, dtype=np.uint8)
            names, values = table.plan.names, table.plan.lookups
            place = names.index("status")
            status = codes[table.codes + place * table.n : table.codes + (place + 1) * table.n]
            allows = [values[place][value] for value in ALLOWING]
            status[(bad_own | bad_recorded) & np.isin(status, allows)] = 0


def _microseconds(instants: Sequence[datetime | None]) -> list[int]:
    """Whole microseconds since 1970; part by part, because dividing timedeltas costs more."""
    return [
        UNKNOWN_INSTANT
        if instant is None
        else ((since := instant - _EPOCH).days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        for instant in instants
    ]


def _objects(values: Sequence[Any]) -> NDArray[np.object_]:
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def _once(plan: Plan, columns: dict[str, NDArray[Any]], fields: Fields) -> dict[str, NDArray[Any]]:
    numbers: dict[Any, int] = {}
    named = np.array([numbers.setdefault(value, len(numbers)) for value in fields[plan.identity]], dtype=np.int64)
    key = [columns.get(part, named) for part in plan.layout.identity]
    content = dict(columns)
    for place, column in plan.references:
        if column.to == "message":  # numbered as they come, which must not decide
            content[column.name] = np.unique([value or "" for value in fields[place]], return_inverse=True)[1]
    first, _, _ = first_of_each(key, content)
    return {name: column[first] for name, column in columns.items()}
