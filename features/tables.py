"""Encoded tables, column by column, and the one place that drops the future.

Encoding: a code is uint8, 0 = unknown, 1..n = position in its vocabulary. Yes/no is the vocabulary (no, yes): 1 = no,
2 = yes. An instant is int64 microseconds since 1970 UTC, `UNKNOWN_INSTANT` where absent. A number is float64 with NaN.
A reference to a lead, account or asset is an int32 row of `lead_ids`, `account_ids` or `asset_ids`, -1 where absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.columns import (
    MICROSECONDS_A_DAY,
    UNKNOWN_INSTANT,
    Columns,
    SortedEvents,
    all_by,
    available_threads,
    each_once_in_order,
    exact,
    last_version_of_each,
    packed,
    unknown_like,
)
from features.use.withheld import Withheld

__all__ = [
    "MICROSECONDS_A_DAY",
    "NO",
    "SKEW_US",
    "UNKNOWN_INSTANT",
    "YES",
    "Columns",
    "Known",
    "Merged",
    "Tables",
    "day_of",
    "known_at",
    "latest",
    "microseconds",
]

NO, YES = 1, 2
# By how much clocks may differ: a stop that far ahead is in force, and nothing else is.
SKEW_US = 5 * 60 * 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 UTC of an instant that carries a zone."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a zone")
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def day_of(micros: NDArray[np.int64]) -> NDArray[np.int32]:
    """Whole UTC days since 1970, rounding down."""
    return np.floor_divide(micros, MICROSECONDS_A_DAY).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Merged:
    """Which lead ids are one person as of an instant: for each the row that speaks for all of them, its own if alone.

    `evidence` has bit c set for a person's row where evidence of code c links its leads (`features/links.py`);
    `sources` has bit c set where one of their records came from the source of code c, none for who is alone.
    """

    survivor: NDArray[np.int32]
    evidence: NDArray[np.uint64]
    sources: NDArray[np.uint64]

    @property
    def away(self) -> NDArray[np.bool_]:
        """Whether each lead id was merged into another one."""
        found: NDArray[np.bool_] = self.survivor != np.arange(len(self.survivor), dtype=np.int32)
        return found


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything known about a set of leads, encoded, in any row order, with every version and the future still in.

    `leads` and `accounts` may hold several versions of a row, told apart by `recorded_at`; their `lead` and `account`
    columns point into `lead_ids` and `account_ids`. Every other table points at leads the same way.
    `attributes` are the custom columns a source mapping declares, one value per lead id: float64, or object with None.
    `declared` names those of them that are `health`, `prescriber` or `protected` data; `withheld` is what lawful use
    took away (`features/use/permitted.py`). `doubted` says of whom it is in doubt who they are, None where nobody is
    (`features/stricter.py`).
    `colleagues` is None when all leads of every account are present, so that the roll-up is computed from them.
    """

    lead_ids: NDArray[np.object_]
    account_ids: NDArray[np.object_]
    asset_ids: NDArray[np.object_]
    leads: Columns
    accounts: Columns
    events: Columns
    touches: Columns
    consents: Columns
    suppressions: Columns
    cases: Columns
    memberships: Columns
    outcomes: Columns
    assignments: Columns = field(default_factory=dict)
    links: Columns = field(default_factory=dict)
    colleagues: Columns | None = None
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    suppressions_complete_as_of: int = UNKNOWN_INSTANT
    segment_ids: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, dtype=object))
    merged: Merged | None = None
    declared: Mapping[str, str] = field(default_factory=dict)
    withheld: Withheld | None = None
    doubted: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What was known at `as_of`: the latest version of every lead and account, and nothing later in any table.

    `leads` and `accounts` have one row per id; `present` says which leads had a version recorded by then.
    Event rows of lead `i` are `event_words[event_starts[i]:event_starts[i + 1]]`: one word packs an event's age in
    days and its codes. `events` gives the same rows column by column, gathered when asked for.
    An empty mapping stays empty: the table was not supplied, so what it would say is unknown.

    Suppressions and consents may be ahead by `SKEW_US`, and suppressions recorded by then may begin later: who reads
    them decides what is in force (`features/standing.py`, `features/consent.py`).
    """

    as_of: datetime
    as_of_us: int
    as_of_day: int
    lead_ids: NDArray[np.object_]
    account_ids: NDArray[np.object_]
    asset_ids: NDArray[np.object_]
    segment_ids: NDArray[np.object_]
    present: NDArray[np.bool_]
    leads: Columns
    accounts: Columns
    events: Columns
    event_starts: NDArray[np.int64]
    event_words: NDArray[np.uint64]
    newest_event_at: NDArray[np.int64]
    touches: Columns
    consents: Columns
    suppressions: Columns
    cases: Columns
    memberships: Columns
    colleagues: Columns | None
    attributes: Mapping[str, NDArray[Any]]
    suppressions_complete_as_of: int
    merged: Merged | None = None
    withheld: Withheld | None = None
    doubted: NDArray[np.bool_] | None = None


def known_at(tables: Tables, as_of: datetime, *, threads: int | None = None) -> Known:
    """Drop everything recorded or happening after `as_of`; the only place that filters time.

    INVARIANT: rows recorded after `as_of` change nothing, stops within the skew of clocks excepted, and neither does
    the order of rows.
    """
    cut = microseconds(as_of)
    n = len(tables.lead_ids)
    leads, present = latest(tables.leads, "lead", n, cut)
    accounts, _ = latest(tables.accounts, "account", len(tables.account_ids), cut)
    events = SortedEvents(tables.events, n, cut)
    starts, words, newest = packed(tables.events, n, cut, threads or available_threads())
    complete = tables.suppressions_complete_as_of
    return Known(
        as_of=as_of,
        as_of_us=cut,
        as_of_day=cut // MICROSECONDS_A_DAY,
        lead_ids=tables.lead_ids,
        account_ids=tables.account_ids,
        asset_ids=tables.asset_ids,
        segment_ids=tables.segment_ids,
        present=present,
        leads=leads,
        accounts=accounts,
        events=events if tables.events else {},
        event_starts=starts,
        event_words=words,
        newest_event_at=newest,
        touches=_until(tables.touches, "sent_at", cut),
        consents=_until(tables.consents, "captured_at", cut + SKEW_US),
        suppressions=_until(tables.suppressions, "recorded_at", cut + SKEW_US),
        cases=_closed_later_is_open(_until(tables.cases, "opened_at", cut), cut),
        memberships=_until(tables.memberships, "entered_at", cut),
        colleagues=tables.colleagues,
        attributes=tables.attributes,
        suppressions_complete_as_of=complete,
        merged=tables.merged,
        withheld=tables.withheld,
        doubted=tables.doubted,
    )


def _until(columns: Columns, own: str, cut: int) -> Columns:
    """Rows whose own time and record time are not after the cut; the same object where that is all of them."""
    size = len(columns[own]) if own in columns else 0
    if size == 0:
        return columns
    happened = exact(columns, own, np.int64, size)
    recorded = exact(columns, "recorded_at", np.int64, size)
    if all_by(happened, recorded, cut):
        return columns
    kept = np.flatnonzero((happened <= cut) & (recorded <= cut))
    return {name: column[kept] for name, column in columns.items()}


def _closed_later_is_open(cases: Columns, cut: int) -> Columns:
    """The latest version of every case, open again where it closed only after the cut."""
    numbers, recorded = cases.get("case"), cases.get("recorded_at")
    if numbers is not None and recorded is not None and len(numbers) > 1 and len(np.unique(numbers)) < len(numbers):
        keys = _content_keys(cases, np.arange(len(numbers)))
        order = np.lexsort((*keys, recorded, numbers))
        last = np.append(numbers[order][1:] != numbers[order][:-1], True)
        cases = {name: column[order[last]] for name, column in cases.items()}
    closed = cases.get("closed_at")
    if closed is None or len(closed) == 0 or int(closed.max()) <= cut:
        return cases
    return {**cases, "closed_at": np.where(closed > cut, UNKNOWN_INSTANT, closed)}


def latest(columns: Columns, key: str, n: int, cut: int) -> tuple[Columns, NDArray[np.bool_]]:
    """One row per id: its latest version by the cut, unknown in every column where it has none."""
    if not columns:
        return columns, np.zeros(n, dtype=np.bool_)
    size = len(columns[key])
    rows = exact(columns, key, np.int32, size)
    recorded = exact(columns, "recorded_at", np.int64, size)
    created = exact(columns, "created_at", np.int64, size)
    if size == n and each_once_in_order(rows) and all_by(created, recorded, cut):
        return columns, np.ones(n, dtype=np.bool_)
    chosen = np.full(n, -1, dtype=np.int64)
    if last_version_of_each(rows, recorded, created, cut, chosen):
        kept = np.flatnonzero((recorded <= cut) & (created <= cut) & (rows >= 0) & (rows < n))
        order = kept[np.lexsort((*_content_keys(columns, kept), recorded[kept], rows[kept]))]
        chosen[rows[order]] = order  # the last assignment of an id wins, which is its latest version
    present = chosen >= 0
    absent = np.flatnonzero(~present)
    found: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        values = column[chosen] if size else np.empty(n, dtype=column.dtype)
        values[absent] = unknown_like(column.dtype)
        found[name] = values
    found[key] = np.arange(n, dtype=np.int32)
    return found, present


def _content_keys(columns: Columns, kept: NDArray[Any]) -> list[NDArray[Any]]:
    """Sort keys from the content itself: versions recorded at one instant are told apart whatever their order."""
    keys = []
    for name in sorted(columns):
        column = columns[name][kept]
        if column.dtype == object:
            column = np.unique([repr(value) for value in column], return_inverse=True)[1]
        keys.append(column)
    return keys
