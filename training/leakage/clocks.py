"""What the times in the tables give away: events made from outcomes, outcomes known beforehand, rows written over.

Leadwell hides what was recorded after a snapshot. That is worth what the record times are worth: a system that writes
an event back and dates its record to match hides nothing. Such rows are found by how they lie to the outcomes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.intake.quality.leaks import ALMOST_ALWAYS, MIN_ROWS
from features.tables import MICROSECONDS_A_DAY, SKEW_US, UNKNOWN_INSTANT, Tables, latest, microseconds
from training.dataset.dataset import Dataset, snapshot_days
from training.leakage.columns import GAP_FAILS, TELLS_ANYTHING
from training.leakage.findings import FAILS, WARNS, Leak, Level
from training.leakage.telling import Judging

LOOKED = ("EVENT_OF_OUTCOME", "EVENT_BEFORE_OUTCOME", "OUTCOME_KNOWN_BEFORE", "RECORD_OVERWRITTEN", "RECORDED_EARLY")
# A lead and a second in one number: leads below 2**30, seconds below 2**33.
_SECONDS_BITS = 33
HALF = 0.5
# One distance to the outcome this many times commoner than another one is no coincidence of minutes and seconds.
PILED = 20.0
MIN_LEADS = 50
MOSTLY = 0.9
KNOWN_FAILS, KNOWN_WARNS = 0.05, 0.01
EARLY_SHARE = 0.05
# What no vocabulary has: no system of its own.
_UNREADABLE = 255
# 95 % two-sided, for shares of leads.
_Z = 1.96

Rows = NDArray[np.int64]


def clock_leaks(dataset: Dataset, tables: Tables, settings: Settings, as_of: datetime) -> list[Leak]:
    """Everything about times, in tables with events and outcomes."""
    found = [*_overwritten(dataset, tables, settings, as_of), *_recorded_early(tables, settings)]
    if tables.outcomes:
        found += _known_before(tables, settings, as_of)
        if tables.events:
            found += _events_to_outcomes(tables, settings, as_of)
    return found


def _targets(tables: Tables, settings: Settings, as_of: datetime) -> NDArray[np.bool_]:
    kinds = settings.vocabularies["outcome_kind"]
    codes = [kinds.code(kind) for kind in settings.targets.served.kinds]
    outcomes = tables.outcomes
    known = (outcomes["recorded_at"] <= microseconds(as_of)) & (outcomes["lead"] >= 0)
    return np.asarray(known & np.isin(outcomes["kind"], codes))


def _events_to_outcomes(tables: Tables, settings: Settings, as_of: datetime) -> Iterator[Leak]:
    events, outcomes = tables.events, tables.outcomes
    rows = _targets(tables, settings, as_of)
    lead, at = outcomes["lead"][rows].astype(np.int64), outcomes["occurred_at"][rows]
    known = (events["occurred_at"] != UNKNOWN_INSTANT) & (events["lead"] >= 0)
    known &= events["occurred_at"] <= microseconds(as_of)
    whose, when = events["lead"][known].astype(np.int64), events["occurred_at"][known]
    kinds, sources = events["kind"][known].astype(np.int64), np.zeros(len(when), dtype=np.int64)
    if "source" in events:
        sources = np.where(events["source"][known] < _UNREADABLE, events["source"][known], 0).astype(np.int64)
    gap = _until_next(lead, at, whose, when)
    horizon = timedelta(days=settings.targets.served.horizon_days)
    complete = when <= microseconds(as_of - horizon)
    days = horizon.days
    within = (gap > 0) & (gap <= int(horizon.total_seconds()) * 1_000_000)
    names, systems = (("", *settings.vocabularies[name].values) for name in ("event_kind", "event_source"))
    caught: set[int] = set()
    # One sort of all events, so that each kind, and each system's part of it, is a stretch of rows.
    both = kinds * 256 + sources
    order = np.argsort(both.astype(np.uint16), kind="stable")
    both, whose, when, gap = both[order], whose[order], when[order], gap[order]
    complete, within = complete[order], within[order]
    # What one system writes back is found among what another one records honestly, so each is looked at alone too.
    stretches = [(code, 0) for code in np.unique(both >> 8).tolist() if code]
    stretches += [divmod(code, 256) for code in np.unique(both).tolist() if code >> 8 and code % 256]
    for kind, source in stretches:
        if kind in caught:
            continue
        first, last = (kind * 256 + source, kind * 256 + (source or 255))
        own = slice(*np.searchsorted(both, (first, last + 1)).tolist())
        name = names[kind] + (f" from {systems[source]}" if source else "")
        one = _made_of(gap[own], when[own], name)
        one = one or _followed(whose[own][complete[own]], within[own][complete[own]], name, days)
        if one is not None:
            caught.add(kind)
            yield one


def _until_next(lead: Rows, at: Rows, whose: Rows, when: Rows) -> Rows:
    """Microseconds from each event to its lead's next target outcome, -1 where none follows."""
    found = np.full(len(whose), -1, dtype=np.int64)
    # Most leads never have one: their events need no search.
    reaches = np.zeros(max(lead.max(initial=-1), whose.max(initial=-1)) + 1, dtype=np.bool_)
    reaches[lead] = True
    some = np.flatnonzero(reaches[whose])
    if len(some):
        found[some] = _to_next(lead, at, whose[some], when[some])
    return found


def _to_next(lead: Rows, at: Rows, whose: Rows, when: Rows) -> Rows:
    first = min(at.min(initial=0), when.min(initial=0))
    order = np.lexsort((at, lead))
    lead, at = lead[order], at[order]
    keys = (lead << _SECONDS_BITS) + (at - first) // 1_000_000
    wanted = (whose << _SECONDS_BITS) + (when - first) // 1_000_000
    place = np.searchsorted(keys, wanted)
    found = np.full(len(whose), -1, dtype=np.int64)
    # An outcome in the very second of the event may lie before it: then the next one counts.
    for step in (1, 0):
        here = np.minimum(place + step, max(len(keys) - 1, 0))
        if len(keys):
            good = (place + step < len(keys)) & (lead[here] == whose) & (at[here] >= when)
            found = np.where(good, at[here] - when, found)
    return found


def _made_of(gap: Rows, when: Rows, name: str) -> Leak | None:
    """One exact distance to the outcome that half the events have, or that is piled up among odd ones."""
    given = gap[gap > 0]
    if len(given) < MIN_ROWS:
        return None
    distances, counts = np.unique(given, return_counts=True)
    most = int(counts.max())
    if most < MIN_ROWS:
        return None
    dates_only = float((when % MICROSECONDS_A_DAY == 0).mean()) >= MOSTLY
    piled = not dates_only and most >= PILED * float(np.median(counts))
    if not (most >= HALF * len(gap) or piled):
        return None
    days = int(distances[int(counts.argmax())]) / MICROSECONDS_A_DAY
    evidence = f"{most:,} of {len(gap):,} such events lie exactly {days:.4g} days before an outcome of the same lead"
    do = "they were made from the outcome: import the time at which they were really recorded, or leave them out"
    numbers = {"events": float(most), "of": float(len(gap)), "days_before": days}
    return Leak("EVENT_OF_OUTCOME", FAILS, "events", name, evidence, do, numbers)


def _followed(whose: Rows, within: NDArray[np.bool_], name: str, horizon_days: int) -> Leak | None:
    """Whether an outcome nearly always follows, each lead counted once by the share of its events."""
    events = np.bincount(whose)
    there = events > 0
    n = int(there.sum())
    if n < MIN_LEADS:
        return None
    share = float((np.bincount(whose, weights=within)[there] / events[there]).mean())
    # The score interval stays inside 0 and 1 (Wilson, Probable Inference, 1927).
    middle, half = (share + _Z**2 / (2 * n)), _Z * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    low = float((middle - half) / (1 + _Z**2 / n))
    if low < MOSTLY:
        return None
    evidence = f"in {share:.1%} of {n:,} leads with such events an outcome follows within {horizon_days} days"
    do = "see whether it is written once the outcome is arranged; if so it is part of the outcome and no feature of it"
    level: Level = FAILS if share >= ALMOST_ALWAYS else WARNS
    return Leak("EVENT_BEFORE_OUTCOME", level, "events", name, evidence, do, {"share": share, "leads": float(n)})


def _known_before(tables: Tables, settings: Settings, as_of: datetime) -> Iterator[Leak]:
    outcomes, rows = tables.outcomes, _targets(tables, settings, as_of)
    at, recorded = outcomes["occurred_at"][rows], outcomes["recorded_at"][rows]
    ends = timedelta(days=settings.targets.served.horizon_days)
    counted = known = 0
    for day in snapshot_days(settings, as_of):
        cut = microseconds(day)
        inside = (at > cut) & (at <= microseconds(day + ends))
        counted, known = counted + int(inside.sum()), known + int((inside & (recorded <= cut)).sum())
    if known < MIN_ROWS or known < KNOWN_WARNS * counted:
        return
    evidence = f"{known:,} of {counted:,} outcomes to predict were on record at their snapshot, dated later"
    do = "an appointment is an outcome when it is made: date it then, or count another outcome"
    level: Level = FAILS if known >= KNOWN_FAILS * counted else WARNS
    yield Leak("OUTCOME_KNOWN_BEFORE", level, "outcomes", "occurred_at", evidence, do, {"share": known / counted})


def _overwritten(dataset: Dataset, tables: Tables, settings: Settings, as_of: datetime) -> Iterator[Leak]:
    """Rows that were known at the snapshot and tell of a later time: what else in them is from later nobody can say."""
    days = snapshot_days(settings, as_of)
    tells = np.zeros(len(dataset.y), dtype=np.bool_)
    for number, day in enumerate(days):
        own = dataset.order == number
        cut = microseconds(day)
        known, _ = latest(tables.leads, "lead", len(tables.lead_ids), cut)
        tells[own] = (known["verified_at"] > cut)[dataset.lead[own]] if "verified_at" in known else False
    if not tells.any() or tells.all():
        return
    told = Judging.of(dataset.y, dataset.fold, dataset.root).told(tells.astype(np.int64))
    if told.low < TELLS_ANYTHING:
        return
    there, other = float(dataset.y[tells].mean()), float(dataset.y[~tells].mean())
    evidence = (
        f"{int(tells.sum()):,} of {len(tells):,} rows say they were recorded by their snapshot and that they were "
        f"verified after it: {there:.1%} of them reach the outcome and {other:.1%} of the others"
    )
    do = "the source writes over its rows: export every version with its own recorded_at, or leave the field out"
    numbers = {"told": told.share, "error": told.error, "rows": float(tells.sum())}
    level: Level = FAILS if told.low >= GAP_FAILS else WARNS
    yield Leak("RECORD_OVERWRITTEN", level, "leads", "verified_at", evidence, do, numbers)


def _recorded_early(tables: Tables, settings: Settings) -> Iterator[Leak]:
    events = tables.events
    if not events:
        return
    early = events["occurred_at"] - events["recorded_at"] > SKEW_US
    names = ("", *settings.vocabularies["event_kind"].values)
    count = np.bincount(events["kind"], minlength=256)
    before = np.bincount(events["kind"], weights=early, minlength=256)
    for kind in np.flatnonzero((before >= MIN_ROWS) & (before >= EARLY_SHARE * count)).tolist():
        evidence = f"{before[kind]:,.0f} of {count[kind]:,} were recorded before they happened"
        do = "they are plans and not events, or their clock is wrong: they count from the later of the two times on"
        yield Leak("RECORDED_EARLY", WARNS, "events", names[kind] or "unknown", evidence, do, {"rows": before[kind]})
