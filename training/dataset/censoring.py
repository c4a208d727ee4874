"""What the records cannot tell: leads too young for a label, history that starts late, and what is recorded late.

Nothing here is a failure of a lead. Every row that is left out is counted by its reason, and the counts add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.columns import Columns
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT, Known, Tables, microseconds

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

WEEK = 7 * MICROSECONDS_A_DAY
# A week belongs to the history when it holds this share of what a typical week holds: a stray date does not.
TYPICAL_SHARE = 0.01
# An empty stretch that chance explains once in a hundred times is no missing history.
CHANCE = 0.01
RATE_DAYS = 90
# Nothing recorded for so long is a holiday at most; for longer, the records may have been taken before `as_of`.
HOLIDAY_DAYS = 7
# Later than this is back-filled, not late: it says nothing of how long the next outcome takes to be recorded.
LATEST_DAYS = 90
DELAYS_TOLD = (1, 7, 30)
MIN_DELAYS = 30
LEAST_RECORDED = 0.05


@dataclass(frozen=True, slots=True)
class Delay:
    """How long outcomes take to be recorded: shares by days, and the share of the latest ones that is still to come.

    `later` has for each of DELAYS_TOLD the estimated share recorded later than so many days. `backfilled` outcomes were
    recorded more than LATEST_DAYS later and are not in the estimate.
    """

    outcomes: int
    backfilled: int
    later: tuple[float, ...]
    unrecorded: float


@dataclass(frozen=True, slots=True)
class SnapshotLine:
    """What became of every lead at one snapshot; `rows` and the reasons add up to `leads`.

    `truncated` rows are among `rows`: their longest event window begins before events were recorded.
    """

    day: date
    leads: int
    rows: int
    not_known_yet: int
    not_learned_from: int
    outcomes_not_recorded: int
    events_too_short: int
    truncated: int


@dataclass(frozen=True, slots=True)
class History:
    """What the records could carry for one training run, in counts.

    `too_young` leads are known now and were not at the latest snapshot: their horizon is not over, so they have no
    label yet. `window_days` is the longest event window of any feature. `silent_since` is the day after which no
    outcome was recorded, where chance does not explain that: the end of every label is then missing.
    """

    horizon_days: int
    outcomes_from: date | None
    events_from: date | None
    declared: tuple[str, ...]
    leads: int
    too_young: int
    window_days: int
    snapshots: tuple[SnapshotLine, ...]
    delay: Delay | None
    max_unrecorded: float
    silent_since: date | None = None

    @property
    def late(self) -> bool:
        """Whether more of the latest outcomes than is tolerated are estimated to be still unrecorded."""
        return self.delay is not None and self.delay.unrecorded > self.max_unrecorded

    def warnings(self) -> list[str]:
        """What a person should know before they trust the labels, worst first; empty where nothing is amiss."""
        found = []
        if self.silent_since is not None:
            found.append(
                f"no outcome was recorded after {self.silent_since}, which chance does not explain: leads of the "
                "latest snapshot count as without outcome and may not be; give --as-of the day the data were taken on"
            )
        unusable = [line for line in self.snapshots if line.outcomes_not_recorded]
        if unusable:
            found.append(
                f"outcomes are recorded from {self.outcomes_from} on: {len(unusable)} of {len(self.snapshots)} "
                f"snapshots lie before that and are left out, {sum(x.outcomes_not_recorded for x in unusable):,} rows"
            )
        short = sum(line.events_too_short for line in self.snapshots)
        if short:
            found.append(
                f"events are recorded from {self.events_from} on: {short:,} rows of leads older than that had too "
                "few days of events behind them and are left out"
            )
        cut = sum(line.truncated for line in self.snapshots)
        if cut:
            found.append(
                f"events are recorded from {self.events_from} on: {cut:,} rows kept see less than their "
                f"{self.window_days} days of events, so their counts are low"
            )
        if self.late and self.delay is not None:
            found.append(
                f"about {self.delay.unrecorded:.0%} of the outcomes after the latest snapshot are still to be "
                "recorded: some of its leads count as without outcome and are not; raise history.settle_days in "
                "targets.yaml"
            )
        return found

    def words(self) -> list[str]:
        """The whole account, a sentence each."""
        with_label = self.leads - self.too_young
        found = [
            f"Of {self.leads:,} leads known today {with_label:,} were known at the latest snapshot; {self.too_young:,} "
            f"are too young for a label of {self.horizon_days} days and are not counted as without outcome."
        ]
        for what, start in (("Outcomes", self.outcomes_from), ("Events", self.events_from)):
            if start is not None:
                how = "as declared" if what.lower() in self.declared else "as found in the data"
                found.append(f"{what} are recorded from {start} on, {how}.")
        if self.delay is not None:
            told = ", ".join(
                f"{share:.1%} more than {days} day{'s' if days > 1 else ''}"
                for days, share in zip(DELAYS_TOLD, self.delay.later, strict=True)
            )
            found.append(
                f"Recorded after they happened: an estimated {told} of the outcomes. Of those within "
                f"{self.horizon_days} days of the latest snapshot an estimated {self.delay.unrecorded:.1%} are to come."
            )
        return found + [f"{text[0].upper()}{text[1:]}." for text in self.warnings()]

    def record(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {
            "leads": self.leads,
            "too_young": self.too_young,
            "outcomes_from": None if self.outcomes_from is None else self.outcomes_from.isoformat(),
            "events_from": None if self.events_from is None else self.events_from.isoformat(),
            "recorded_late": None if self.delay is None else round(self.delay.unrecorded, 4),
            "silent_since": None if self.silent_since is None else self.silent_since.isoformat(),
            "warnings": self.warnings(),
        }


@dataclass(frozen=True, slots=True)
class Starts:
    """Since when events were recorded, in microseconds, and which starts a person declared. None: never."""

    events: int | None
    declared_outcomes: int | None
    declared: tuple[str, ...]

    @classmethod
    def of(cls, tables: Tables, settings: Settings, as_of: datetime) -> Starts:
        """The declared starts, else what the data say as known at `as_of`."""
        history = settings.targets.history
        named = (("outcomes", history.outcomes_from), ("events", history.events_from))
        outcomes, events = (None if day is None else _midnight(day) for _, day in named)
        if events is None:
            events = history_start(_known_instants(tables.events, as_of), microseconds(as_of))
        return cls(events, outcomes, tuple(name for name, day in named if day is not None))

    def of_outcomes(self, tables: Tables, kinds: Sequence[int], as_of: datetime) -> int | None:
        """Since when outcomes of these kinds were recorded; None where there never was one."""
        at = _known_instants(tables.outcomes, as_of, kinds)
        if not len(at):
            return None
        return self.declared_outcomes if "outcomes" in self.declared else history_start(at, microseconds(as_of))


def history_start(at: NDArray[np.int64], as_of: int) -> int | None:
    """Since when instants were recorded, in microseconds; None where there is none.

    The first week that holds a hundredth of what the typical record's week holds begins the history, and as much
    earlier as chance alone explains: a rare outcome is not missing because none came in its first days.
    """
    if not len(at):
        return None
    weeks = (as_of - at) // WEEK
    counts = np.bincount(np.maximum(weeks, 0))
    descending = np.sort(counts)[::-1]
    typical = int(descending[np.searchsorted(np.cumsum(descending), len(at) / 2)])
    oldest = int(np.flatnonzero(counts >= max(1.0, TYPICAL_SHARE * typical)).max())
    first = int(at[weeks <= oldest].min())
    days = min(RATE_DAYS, (as_of - first) / MICROSECONDS_A_DAY)
    early = int(((at >= first) & (at <= first + RATE_DAYS * MICROSECONDS_A_DAY)).sum())
    return first - int(-np.log(CHANCE) * days / early * MICROSECONDS_A_DAY)


def event_truncation(known: Known, starts: Starts, window_days: int, min_days: int) -> tuple[Bools, Bools]:
    """Leads whose event window begins before events were recorded: too short to be used, and merely truncated.

    INVARIANT: a lead created since events are recorded is neither, however young: nothing of it is missing.
    """
    n = len(known.lead_ids)
    if starts.events is None:
        return np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    created = known.leads.get("created_at", np.full(n, UNKNOWN_INSTANT, dtype=np.int64))
    older = known.present & (created < starts.events)
    seen_days = (known.as_of_us - starts.events) / MICROSECONDS_A_DAY
    short = older & (seen_days < min(min_days, window_days))
    return short, older & ~short & (seen_days < window_days)


def window_days(settings: Settings) -> int:
    """The longest window of days that any feature counts events in."""
    return max((*settings.features.windows_days, settings.features.topic_window_days))


def recording_delay(
    outcomes: Columns, kinds: Sequence[int], snapshot: datetime, stop: datetime, as_of: datetime
) -> Delay | None:
    """How late outcomes of these kinds are recorded, and how many of (snapshot, stop] are still to come.

    Delays are right-truncated: what is recorded after `as_of` is not seen. So their distribution is the reverse-time
    product limit of Lagakos, Barraj and De Gruttola (1988). None below MIN_DELAYS outcomes.
    """
    if not outcomes:
        return None
    now = microseconds(as_of)
    at, recorded = outcomes["occurred_at"], outcomes["recorded_at"]
    mine = (outcomes["lead"] >= 0) & np.isin(outcomes["kind"], kinds) & (recorded <= now) & (at <= now)
    days = np.maximum(recorded[mine] - at[mine], 0) / MICROSECONDS_A_DAY
    age = (now - at[mine]) / MICROSECONDS_A_DAY
    prompt = days <= LATEST_DAYS
    if int(prompt.sum()) < MIN_DELAYS:
        return None
    values, cdf = reverse_product_limit(days[prompt], age[prompt])
    inside = (at[mine] > microseconds(snapshot)) & (at[mine] <= microseconds(stop))
    seen = _at(values, cdf, age[inside & prompt])
    expected = float((1.0 / np.maximum(seen, LEAST_RECORDED)).sum())
    return Delay(
        outcomes=int(prompt.sum()),
        backfilled=int((~prompt).sum()),
        later=tuple(1.0 - float(_at(values, cdf, np.array([float(k)]))[0]) for k in DELAYS_TOLD),
        unrecorded=0.0 if expected == 0 else 1.0 - len(seen) / expected,
    )


def silent_since(outcomes: Columns, kinds: Sequence[int], as_of: datetime) -> date | None:
    """The day after which no outcome of these kinds was recorded, where that is no holiday and not left to chance.

    The chance is that of a Poisson process at the rate of the last RATE_DAYS before that day.
    """
    if not outcomes:
        return None
    now = microseconds(as_of)
    recorded = outcomes["recorded_at"][(outcomes["lead"] >= 0) & np.isin(outcomes["kind"], kinds)]
    recorded = recorded[recorded <= now]
    if not len(recorded):
        return None
    newest = int(recorded.max())
    silent_days = (now - newest) / MICROSECONDS_A_DAY
    rate = int((recorded > newest - RATE_DAYS * MICROSECONDS_A_DAY).sum()) / RATE_DAYS
    beyond = silent_days > HOLIDAY_DAYS and rate * silent_days > -np.log(CHANCE)
    return day_of_instant(newest) if beyond else None


def reverse_product_limit(days: Floats, bound: Floats) -> tuple[Floats, Floats]:
    """Distinct delays in rising order with the share of delays up to each; `bound` is the most that could be seen."""
    values, deaths = np.unique(days, return_counts=True)
    # At risk at s in reversed time: seen with a delay of at most s, and old enough to have been seen with s.
    begun = np.searchsorted(np.sort(days), values, side="right")
    ended = np.searchsorted(np.sort(bound), values, side="left")
    at_risk = np.maximum(begun - ended, deaths)
    factors = 1.0 - deaths / at_risk
    # The share up to a delay is what survives every later one; the largest one has all.
    return values, np.append(np.cumprod(factors[::-1])[::-1][1:], 1.0)


def _at(values: Floats, cdf: Floats, days: Floats) -> Floats:
    place = np.searchsorted(values, days, side="right")
    found: Floats = np.concatenate(([0.0], cdf))[place]
    return found


def _known_instants(columns: Columns, as_of: datetime, kinds: Sequence[int] | None = None) -> NDArray[np.int64]:
    if not columns:
        return np.empty(0, dtype=np.int64)
    now = microseconds(as_of)
    at: NDArray[np.int64] = columns["occurred_at"]
    kept = (columns["lead"] >= 0) & (columns["recorded_at"] <= now) & (at <= now)
    return at[kept & np.isin(columns["kind"], kinds)] if kinds is not None else at[kept]


def _midnight(day: date) -> int:
    return microseconds(datetime.combine(day, time(), tzinfo=UTC))


def day_of_instant(micros: int | None) -> date | None:
    """The UTC day of an instant in microseconds."""
    return None if micros is None else (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).date()


def snapshot_counts(lines: Sequence[SnapshotLine]) -> Mapping[str, int]:
    """The totals over snapshots that training counts rows by."""
    return {
        "outcomes not recorded yet at the snapshot": sum(line.outcomes_not_recorded for line in lines),
        "events recorded for too short a time": sum(line.events_too_short for line in lines),
        "fewer events recorded than the longest window": sum(line.truncated for line in lines),
    }
