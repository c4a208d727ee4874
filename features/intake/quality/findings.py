"""What a look at data can find: the shapes that a check fills, a table shows and a report draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from features.intake.settle import Counts


@dataclass(frozen=True, slots=True)
class ColumnQuality:
    """One column: how complete it is, how many values it has, and how many of them a vocabulary knows.

    `known_share` counts values that mean something to us; `given_share` those that the file has, None where the files
    were not read; `mapped_share` is how many of the given values a vocabulary knows, None for a column without one.
    `top_unmapped` are frequent values that no vocabulary knows, never those of a personal field.
    """

    table: str
    column: str
    rows: int
    known_share: float
    distinct: int
    constant: bool
    same_as: str | None = None
    unmapped: int = 0
    given_share: float | None = None
    mapped_share: float | None = None
    top_unmapped: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Suspect:
    """A column that may be known only after the outcome, the strength of the suspicion, and why."""

    column: str
    strength: float
    auc: float
    evidence: tuple[str, ...]
    declared: str


@dataclass(frozen=True, slots=True)
class Sentinel:
    """A value that probably stands for "not known" or "never". It is reported and never converted."""

    table: str
    column: str
    value: str
    rows: int
    share: float
    why: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Rows that contradict each other or themselves, in words."""

    table: str
    rows: int
    of: int
    says: str


@dataclass(frozen=True, slots=True)
class Staleness:
    """How long ago records were verified: `ages` are the 10 %, 50 % and 90 % quantiles of whole days."""

    table: str
    field: str
    max_age_days: int | None
    rows: int
    verified_share: float
    within_share: float
    ages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceTracking:
    """How well one source reports what leads do.

    `per_lead_day` are events per lead and day with an event; `silent_days` and `longest_gap_days` are days without any
    event between the source's first event and `as_of`; `weekly` are its events week by week up to `as_of`.
    """

    source: str
    events: int
    leads: int
    per_lead_day: float
    first_day: str
    last_day: str
    silent_days: int
    longest_gap_days: int
    days_since_last: int
    stopped: bool
    topic_share: float
    asset_share: float
    depth_share: float
    late_share: float
    delay_days: float
    repeated_id_share: float
    strength: float
    weekly: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """How many rows of a table name a lead that the lead table has."""

    table: str
    rows: int
    unmatched: int

    @property
    def share(self) -> float:
        """Matched rows over all rows; 1 for none."""
        return 1.0 if self.rows == 0 else 1.0 - self.unmatched / self.rows


@dataclass(frozen=True, slots=True)
class ConsentCover:
    """Leads with any statement, a yes or a no, about one channel."""

    channel: str
    leads: int
    share: float


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The inventory of an intake and everything odd about it; leakage suspects come the strongest first."""

    counts: Mapping[str, Counts]
    columns: tuple[ColumnQuality, ...]
    extras: Mapping[str, tuple[str, ...]]
    flagged: Mapping[str, int]
    suspects: tuple[Suspect, ...] = ()
    undeclared: tuple[str, ...] = ()
    as_of: str = ""
    equal_without_ids: Mapping[str, int] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    staleness: tuple[Staleness, ...] = ()
    age_months: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    tracking: tuple[SourceTracking, ...] = ()
    other_sources: int = 0
    match: tuple[Match, ...] = ()
    consents: tuple[ConsentCover, ...] = ()
    sentinels: tuple[Sentinel, ...] = ()
    id_like: tuple[str, ...] = ()

    def of(self, table: str, column: str) -> ColumnQuality | None:
        """The inventory of one column, None where the table has no such column."""
        return next((c for c in self.columns if (c.table, c.column) == (table, column)), None)
