"""Only the facts that somebody asks for: segments look at some twenty of two hundred, and need no asset matched.

The parts are those of `features/facts.py`; what is left out here is work whose result nobody looks at.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from configs.measures import FeatureSettings, Shares
from configs.settings import Settings
from features import consent, standing
from features.account import NEEDED, ROLL_UP
from features.blocks import FactColumns, places_in
from features.columns import SortedEvents, available_threads, exact, in_ranges
from features.engagement import EngagementPlan
from features.facts import _DAYS, FactBuilder, Facts, _account_codes, _fill_days, _lead_codes
from features.fields import ACCOUNT_FIELDS, LEAD_FIELDS, either
from features.fill import fill_whole
from features.journey.plan import JOURNEY_FACTS, LIFECYCLE, MEETING
from features.journey.stages import journey_codes
from features.pipeline import signals_of
from features.register import DATED, REGISTERED, registered
from features.tables import YES, Known, Tables
from features.view import view_at

FIELD_TOUCH = "days_since_last_field_touch"
TOUCHES = tuple(f"touches_{days}d" for days in standing.TOUCH_WINDOWS_DAYS)
# Which lead facts rest on which table besides leads and accounts.
_OF_CASES = frozenset((*standing.CASES, "days_since_meeting"))
_OF_STOPS = frozenset((*standing.LEAD_STOPS, "open_case", "email_opt_out"))
_OBJECTION = "profiling_objection"
_JOURNEY = frozenset((*JOURNEY_FACTS, LIFECYCLE))


@dataclass(frozen=True, slots=True)
class AskedFacts:
    """The facts of leads that are asked for, and what building them needs: `events` and so on say which tables."""

    names: frozenset[str]
    builder: FactBuilder
    events: bool
    touches: bool
    cases: bool
    stops: bool

    @classmethod
    def of(cls, settings: Settings, names: Collection[str], *, events: bool = False) -> AskedFacts:
        """Resolve what these facts need; raises ValueError for one that is not per lead.

        A name that no builder builds (readiness, and facts that only some configuration declares) stays unknown.

        Args:
            settings: the configuration.
            names: the facts.
            events: whether the caller looks at events itself.
        """
        asked = frozenset(names)
        for name in sorted(asked):
            if name in settings.facts and settings.facts[name].per != "lead":
                raise ValueError(f"{name}: expected a fact per lead")
        whole = FactBuilder.of(settings)
        journey = not asked.isdisjoint(_JOURNEY)
        if journey:  # what a journey looks at grows old as what is asked does
            asked |= (whole.journeys.fields & settings.facts.keys()) | {MEETING}
        counted = (*whole.counts, "days_since_last_event", FIELD_TOUCH, *ROLL_UP)
        events = events or journey or not asked.isdisjoint(counted)
        plan = EngagementPlan.of(_measures(settings.features, asked), settings.vocabularies)
        counts = tuple(name for name in plan.names if "_count_" in name)
        rows = np.array([plan.row[name] for name in counts], dtype=np.int64)
        return cls(
            names=asked,
            builder=replace(whole, plan=plan, counts=counts, count_rows=rows),
            events=events,
            # Who made an event, and whether it answered medical information, is told by what was sent.
            touches=events or not asked.isdisjoint(TOUCHES),
            cases=journey or not asked.isdisjoint(_OF_CASES),
            stops=not asked.isdisjoint(_OF_STOPS),
        )

    def tables(self, tables: Tables) -> Tables:
        """The tables without those that no asked fact rests on.

        Consents and suppressions stay: they say what may be used of a lead's own fields too.
        """
        return replace(
            tables,
            events=tables.events if self.events else {},
            touches=tables.touches if self.touches else {},
            cases=tables.cases if self.cases else {},
            outcomes={},
            attributes={},
            declared={},
        )

    def view(self, tables: Tables, as_of: datetime, *, threads: int | None = None) -> Known:
        """What was known at `as_of` and may be used, of the tables that matter here."""
        return view_at(self.tables(tables), as_of, self.builder.view, threads=threads)

    def facts(self, known: Known, *, threads: int | None = None) -> Facts:
        """The asked facts of every lead; any other is absent, which conditions read as unknown.

        INVARIANT: the same codes as `features.facts.facts_of` gives for the same tables.
        """
        builder, n = self.builder, len(known.lead_ids)
        lead, account = _lead_codes(known, builder), _account_codes(known, builder)
        cases, since_meeting = np.zeros((len(standing.CASES), 0), np.uint8), np.zeros(n, np.int32)
        if self.cases:
            cases, since_meeting = standing.cases(known, builder.standing)
        stops = np.zeros((len(standing.LEAD_STOPS), 0), np.uint8)
        on_channels = np.broadcast_to(np.uint8(0), (1, n, builder.standing.channels))
        if self.stops:
            topics = standing.only_topics(known, builder.standing)
            on_channels, stops = standing.stops(known, builder.standing, builder.feed_max_age_days, topics)
            if _OBJECTION in self.names:
                _withdrawn_from_profiling(known, builder.consent, stops[1])
            if self.cases:
                either(cases[3], stops[3])
        touches = np.zeros((len(TOUCHES), n), np.int32)
        if not self.names.isdisjoint(TOUCHES):
            no_assets, none = np.empty(0, dtype=np.int64), np.zeros((n, 1), dtype=np.uint8)
            touches, _ = standing.touches(known, builder.standing, no_assets, none)
        if not any(name.startswith("distinct_asset_") for name in self.names) and known.events:
            # Counting different resources goes through every event as it was given: not for a number nobody asks for.
            given = known.events.unsorted if isinstance(known.events, SortedEvents) else known.events
            known = replace(known, events={name: column for name, column in given.items() if name != "asset"})
        stages = np.zeros((len(JOURNEY_FACTS), 0), np.uint8)
        if not self.names.isdisjoint(_JOURNEY):
            stages = journey_codes(known, builder.journeys, lead, account, since_meeting, threads=threads)
        signals = signals_of(known, builder.plan, builder.decision_maker, threads=threads)
        days = np.empty((len(_DAYS), n), dtype=np.int32)
        _fill_days(known, signals, since_meeting, touches, days)
        # In their place: the sums of weights are ours, and a copy of them would be the largest thing here.
        counts, plan = signals.measures.counts, builder.plan
        rows = np.arange(len(counts))
        in_ranges(
            lambda _, a, b: fill_whole(counts, rows[a:b], plan.weighted, counts[a:b]),
            len(counts),
            threads or available_threads(),
            worth=2,
        )
        counted = tuple(name if name in builder.counts else "" for name in plan.names)
        told = standing.told(known, builder.standing, on_channels)
        named = (tuple(LEAD_FIELDS), tuple(ACCOUNT_FIELDS), counted, _DAYS, ROLL_UP, JOURNEY_FACTS, standing.CASES,
                 standing.LEAD_STOPS, standing.TOLD, REGISTERED, DATED)  # fmt: skip
        codes, dated = np.zeros((len(REGISTERED), 0), np.uint8), np.zeros((len(DATED), 0), np.int32)
        if not self.names.isdisjoint((*REGISTERED, *DATED)):
            codes, dated = registered(known, builder.register)
        blocks = (lead, account, counts, days, signals.roll_up, stages, cases, stops, told, codes, dated)
        places = {name: place for name, place in places_in(named).items() if name in self.names}
        return Facts(n, (), FactColumns(places, tuple(_per_lead(block) for block in blocks), {}))


def _withdrawn_from_profiling(known: Known, codes: consent.ConsentCodes, objection: NDArray[np.uint8]) -> None:
    """Mark, in place, those who withdrew their consent to profiling; of consents only these rows are resolved."""
    if not known.consents or not len(known.consents["lead"]):
        return
    purpose = exact(known.consents, "purpose", np.uint8, len(known.consents["lead"]))
    holder = known.consents["lead" if known.merged is None else "holder"]
    rows = np.flatnonzero((codes.slot_of[purpose] == consent.PROFILING) & (holder >= 0) & (holder < len(objection)))
    holders, place = np.unique(holder[rows], return_inverse=True)
    own = {name: column[rows] for name, column in known.consents.items() if name != "holder"}
    part = replace(known, lead_ids=known.lead_ids[holders], consents={**own, "lead": place}, merged=None)
    found = np.zeros(len(holders), dtype=np.uint8)
    consent.resolve(part, codes, found)
    objectors = holders[found == YES]
    objection[objectors] = YES
    if known.merged is not None:
        objection[known.merged.survivor[objectors]] = YES


def _per_lead(block: NDArray[np.generic]) -> NDArray[np.generic]:
    """Rows of codes by lead as arrays that broadcast to (lead, asset, channel)."""
    return block[:, :, None, None]


def _measures(settings: FeatureSettings, asked: frozenset[str]) -> FeatureSettings:
    """The declared measures without those that no asked fact is made of."""
    window = settings.topic_window_days
    names = asked | frozenset(NEEDED) if asked & frozenset(ROLL_UP) else asked

    def counted(values: tuple[str, ...], name: str, *sums: str) -> tuple[str, ...]:
        """Values with an asked count of their own; all of them where an asked sum runs over them."""
        if not names.isdisjoint(f"{one}_count_{window}d" for one in sums):
            return values
        return tuple(value for value in values if name.format(value) in names)

    windows = tuple(days for days in settings.windows_days if any(name.endswith(f"_count_{days}d") for name in names))
    kinds = tuple(k for k in settings.kinds if not names.isdisjoint(f"{k}_count_{days}d" for days in windows))
    return settings.model_copy(
        update={
            "windows_days": windows,
            "kinds": kinds,
            "topics": counted(
                settings.topics, f"topic_{{}}_count_{window}d", "topic_event", "repeated_theme", "most_asked_theme"
            ),
            "depths": counted(settings.depths, f"depth_{{}}_count_{window}d"),
            "channels": counted(settings.channels, f"channel_{{}}_count_{window}d", "channel_event"),
            "decays": (),
            "shares": Shares(),
            "role_signals": {},
            "touch_windows_days": settings.touch_windows_days if FIELD_TOUCH in asked else (),
        }
    )
