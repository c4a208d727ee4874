"""Records of a request become encoded columns: numpy from the start, no data frame on the way.

A table that was not given (None) becomes an empty mapping, which means unknown; an empty list becomes columns of length
zero, which means that there is none. The columns and their meaning are those of `features/layout.py`, so a file read by
`features/intake` and the same rows sent online encode to the same arrays.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.vocabulary import Vocabularies, Vocabulary
from features.intake.titles import Titles
from features.layout import COLLEAGUES, LAYOUTS, Column, Layout
from features.records import Account, Case, Colleague, Consent, Event, Lead, PriorMembership, Record, Suppression, Touch
from features.tables import UNKNOWN_INSTANT, Columns, Tables, microseconds

EARLIEST = microseconds(datetime(1990, 1, 1, tzinfo=UTC))
LATEST = microseconds(datetime(2200, 1, 1, tzinfo=UTC))
PLAUSIBLE = "expected an instant between 1990 and 2200"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_YES_NO_CODES: dict[Any, int] = {False: 1, True: 2}
_ZEROS, _ABSENT = repeat(0), repeat(-1)
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

    Raises:
        InputInvalid: a row refers to a lead that was not given, or its own time is implausible.
    """
    ids = _Ids(asset_ids)
    for row in leads:
        ids.lead.setdefault(row.lead_id, len(ids.lead))
        if row.account_id is not None:
            ids.account.setdefault(row.account_id, len(ids.account))
    for account in accounts or ():
        ids.account.setdefault(account.account_id, len(ids.account))
        if account.parent_account_id is not None:
            ids.account.setdefault(account.parent_account_id, len(ids.account))
    encode = _Encoder(vocabularies, ids)
    lead_columns = encode.table("leads", leads)
    if titles is not None:
        titles.complete(lead_columns)
    colleague_columns: Columns = {}
    if colleagues is not None:
        colleague_columns = encode.rows(COLLEAGUES, colleagues)
        places = colleague_of if colleague_of is not None else [0] * len(colleagues)
        colleague_columns["lead"] = np.array(places, dtype=np.int32)
    complete = suppressions_complete_as_of
    return Tables(
        lead_ids=_objects(list(ids.lead)),
        account_ids=_objects(list(ids.account)),
        asset_ids=_objects(list(asset_ids)),
        leads=lead_columns,
        accounts=encode.table("accounts", accounts),
        events=encode.table("events", events),
        touches=encode.table("touches", touches),
        consents=encode.table("consents", consents),
        suppressions=encode.table("suppressions", suppressions),
        cases=encode.table("cases", cases),
        memberships=encode.table("memberships", memberships),
        outcomes={},
        colleagues=colleague_columns,
        suppressions_complete_as_of=UNKNOWN_INSTANT if complete is None else microseconds(complete),
        segment_ids=_objects(list(ids.segment)),
    )


class _Ids:
    """Row of every id met so far; leads, accounts and assets are closed, segments and cases grow."""

    __slots__ = ("account", "asset", "case", "lead", "segment")

    def __init__(self, asset_ids: Sequence[str]) -> None:
        self.lead: dict[str, int] = {}
        self.account: dict[str, int] = {}
        self.asset = {asset_id: row for row, asset_id in enumerate(asset_ids)}
        self.segment: dict[str, int] = {}
        self.case: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class _Plan:
    """A layout sorted by the kind of array its columns become; a number is a place among the fetched fields."""

    layout: Layout
    codes: tuple[tuple[int, str, str], ...]
    code_names: tuple[str, ...]
    instants: tuple[int, ...]
    instant_names: tuple[str, ...]
    texts: tuple[int, ...]
    text_names: tuple[str, ...]
    numbers: tuple[tuple[int, str], ...]
    references: tuple[tuple[int, Column], ...]
    counts: tuple[int, ...]
    word_names: tuple[str, ...]
    identity: int
    own_time: int
    recorded_at: int
    checked: bool


@cache
def _plan(table: str) -> _Plan:
    layout = COLLEAGUES if table == "colleagues" else LAYOUTS[table]
    place = {column.field: index for index, column in enumerate(layout.columns)}
    codes, instants = layout.of_kind("code", "yesno", "present"), layout.of_kind("instant")
    texts, references, counts = layout.of_kind("text"), layout.of_kind("reference"), layout.of_kind("count")
    identity = [column.field for column in layout.of_kind("identity")]
    names = [column.name for column in instants]
    return _Plan(
        layout,
        tuple((place[c.field], c.name, c.vocabulary or c.kind) for c in codes),
        tuple(c.name for c in codes),
        tuple(place[c.field] for c in instants),
        tuple(names),
        tuple(place[c.field] for c in texts),
        tuple(c.name for c in texts),
        tuple((place[c.field], c.name) for c in layout.of_kind("number")),
        tuple((place[c.field], c) for c in references),
        tuple(place[c.field] for c in counts),
        tuple(c.name for c in (*references, *counts)),
        place[identity[0]] if identity else -1,
        names.index(layout.own_time) if layout.own_time else -1,
        names.index("recorded_at") if "recorded_at" in names else -1,
        table != "leads",
    )


@cache
def _none(table: str) -> Mapping[str, NDArray[Any]]:
    return empty_columns(COLLEAGUES if table == "colleagues" else LAYOUTS[table])


def empty_columns(layout: Layout) -> dict[str, NDArray[Any]]:
    """Columns of length zero: the table was given and has no row."""
    return {column.name: np.empty(0, dtype=DTYPES[column.kind]) for column in layout.encoded}


class _Encoder:
    """Encodes one table at a time; one buffer per kind of value, so that a single row costs few allocations."""

    __slots__ = ("ids", "vocabularies")

    def __init__(self, vocabularies: Vocabularies, ids: _Ids) -> None:
        self.vocabularies, self.ids = vocabularies, ids

    def table(self, table: str, rows: Sequence[Record] | None) -> dict[str, NDArray[Any]]:
        """Columns of a table; {} when it was not given."""
        return {} if rows is None else self.rows(LAYOUTS[table], rows)

    def rows(self, layout: Layout, rows: Sequence[Record]) -> dict[str, NDArray[Any]]:
        """Columns of rows, duplicates of one identity counted once."""
        n = len(rows)
        if n == 0:
            return dict(_none(layout.table))
        plan = _plan(layout.table)
        fields = list(zip(*map(astuple, rows), strict=True))
        columns: dict[str, NDArray[Any]] = {}
        codes = bytearray(n * len(plan.codes))
        start = 0
        for place, _, vocabulary in plan.codes:
            values = fields[place]
            absent = values.count(None)
            if absent < n or vocabulary == "present":
                codes[start : start + n] = self._codes(vocabulary, values, absent)
            start += n
        _spread(columns, plan.code_names, np.frombuffer(codes, dtype=np.uint8), n)
        _spread(columns, plan.instant_names, self._instants(plan, fields), n)
        words = array("i")
        for place, column in plan.references:
            words.extend(self._references(layout.table, column, fields[place]))
        for place in plan.counts:
            words.extend([-1 if value is None else value for value in fields[place]])
        _spread(columns, plan.word_names, np.frombuffer(words, dtype=np.int32), n)
        for place, name in plan.numbers:
            columns[name] = np.array([np.nan if v is None else v for v in fields[place]], dtype=np.float64)
        if plan.texts:
            flat = [value for place in plan.texts for value in fields[place]]
            _spread(columns, plan.text_names, _objects(flat), n)
        if n > 1 and plan.identity >= 0 and len(set(fields[plan.identity])) < n:
            columns = _once(layout, columns, fields[plan.identity])
        return columns

    def _codes(self, vocabulary: str, values: tuple[Any, ...], absent: int) -> bytes:
        if vocabulary == "yesno":
            return bytes(map(_YES_NO_CODES.get, values, _ZEROS))
        if vocabulary == "present":
            return bytes([1 if value is None or not value.strip() else 2 for value in values])
        known: Vocabulary = self.vocabularies[vocabulary]
        codes = bytes(map(known.codes.get, values, _ZEROS))
        if codes.count(0) > absent:  # a spelling that is not literally in the vocabulary: normalise it
            return bytes([code or known.code(value) for code, value in zip(codes, values, strict=True)])
        return codes

    def _instants(self, plan: _Plan, fields: list[tuple[Any, ...]]) -> NDArray[np.int64]:
        micros: list[list[int]] = []
        for place in plan.instants:
            values = fields[place]
            if None in values:
                micros.append([UNKNOWN_INSTANT if v is None else (v - _EPOCH) // _MICROSECOND for v in values])
            else:
                micros.append([(v - _EPOCH) // _MICROSECOND for v in values])
        own = micros[plan.own_time] if plan.own_time >= 0 else None
        if plan.checked and own and not (min(own) >= EARLIEST and max(own) < LATEST):
            raise InputInvalid(plan.layout.table, PLAUSIBLE, field=plan.layout.own_time)
        if plan.recorded_at >= 0 and UNKNOWN_INSTANT in micros[plan.recorded_at]:
            # When we learned of a row without saying so is its own time; without either it was always known.
            fallback = own or [0] * len(micros[plan.recorded_at])
            micros[plan.recorded_at] = [
                (0 if fallback[i] == UNKNOWN_INSTANT else fallback[i]) if value == UNKNOWN_INSTANT else value
                for i, value in enumerate(micros[plan.recorded_at])
            ]
        flat = array("q")
        for column in micros:
            flat.extend(column)
        return np.frombuffer(flat, dtype=np.int64)

    def _references(self, table: str, column: Column, values: tuple[Any, ...]) -> list[int]:
        if column.to in ("segment", "case"):
            grown: dict[str, int] = getattr(self.ids, column.to)
            return [grown.setdefault(value, len(grown)) for value in values]
        if table == "colleagues":
            return [0] * len(values)
        rows: dict[str, int] = getattr(self.ids, column.to)
        found = list(map(rows.get, values, _ABSENT))
        if column.to == "lead" and -1 in found and (column.required or values[found.index(-1)] is not None):
            for index, (row, value) in enumerate(zip(found, values, strict=True)):
                if row < 0 and (value is not None or column.required):
                    raise InputInvalid(table, "reference to a lead that was not given", row=index, field="lead_id")
        return found


def _spread(columns: dict[str, NDArray[Any]], names: Sequence[str], flat: NDArray[Any], n: int) -> None:
    for index, name in enumerate(names):
        columns[name] = flat[index * n : (index + 1) * n]


def _objects(values: Sequence[Any]) -> NDArray[np.object_]:
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def _once(layout: Layout, columns: dict[str, NDArray[Any]], identity: tuple[Any, ...]) -> dict[str, NDArray[Any]]:
    numbers: dict[Any, int] = {}
    named = np.array([numbers.setdefault(value, len(numbers)) for value in identity], dtype=np.int64)
    key = [columns.get(part, named) for part in layout.identity]
    first, _, _ = first_of_each(key, columns)
    return {name: column[first] for name, column in columns.items()}


def first_of_each(key: Sequence[NDArray[Any]], columns: Columns) -> tuple[NDArray[np.bool_], ...]:
    """Which rows to keep, which repeat a kept row exactly, and which share its key with other content.

    INVARIANT: the choice depends on content only, never on row order: of rows with one key the earliest recorded wins,
    then the smallest by content.
    """
    n = len(key[0])
    content = [_sortable(columns[name]) for name in sorted(columns)]
    recorded = columns.get("recorded_at")
    tail = [*content, *([recorded] if recorded is not None else []), *reversed(key)]
    order = np.lexsort(tail)
    same_key = np.ones(n - 1, dtype=np.bool_)
    for part in key:
        same_key &= part[order[1:]] == part[order[:-1]]
    starts = np.concatenate(([True], ~same_key))
    winner = order[np.maximum.accumulate(np.where(starts, np.arange(n), 0))]
    equal = np.ones(n, dtype=np.bool_)
    for part in content:
        equal &= part[order] == part[winner]
    keep, duplicate, conflict = (np.zeros(n, dtype=np.bool_) for _ in range(3))
    keep[order[starts]] = True
    duplicate[order[~starts & equal]] = True
    conflict[order[~starts & ~equal]] = True
    return keep, duplicate, conflict


def _sortable(column: NDArray[Any]) -> NDArray[Any]:
    if column.dtype == object:
        return np.unique(["" if value is None else f"={value}" for value in column], return_inverse=True)[1]
    return np.nan_to_num(column, nan=-np.inf) if column.dtype.kind == "f" else column
