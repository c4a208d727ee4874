"""The declared journeys as tables that one pass over a lead's events reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.journeys import JourneySettings, Signal
from configs.settings import Settings
from configs.vocabulary import Vocabularies
from features.columns import CERTAIN
from features.engagement import EngagementPlan
from features.fields import ACCOUNT_FIELDS, LEAD_FIELDS

STAGE, EVIDENCE, MOMENT = "buying_stage", "stage_evidence", "journey_moment"
JOURNEY_FACTS = (STAGE, EVIDENCE, MOMENT)
LIFECYCLE, MEETING = "lifecycle", "days_since_meeting"
# What moves are kept of, and what they show besides.
MOVING, SHOWN = (STAGE, LIFECYCLE), (EVIDENCE, MOMENT)
# Fields of the lead and the account that every journey looks at.
_FIELDS = ("product_interest", "decision_moment", LIFECYCLE)
# What of an event a signal may name, and the vocabulary of its codes; the order of `JourneyPlan.fits`.
_ABOUT = (("kinds", "event_kind"), ("topics", "topic"), ("depths", "depth"), ("channels", "event_channel"))
# Places in `JourneyPlan.numbers`; those of days after the first five are of the lifecycle.
(UNNAMED, WINDOW, FAIR, STRONG, FAIR_PERCENT, STRONG_PERCENT, LIVES, RECENT, FOLLOW_UP, SUPPORT, ESTABLISHED, RETURNING,
 QUIET, NEW, ACTIVE) = range(15)  # fmt: skip
# What a lifecycle may be derived as, in the order of `JourneyPlan.words`.
DERIVED = ("recent_meeting", "follow_up", "ongoing_support", "established", "returning", "new_prospect", "active",
           "dormant")  # fmt: skip
_LIFECYCLE_DAYS = ("recent_meeting_days", "follow_up_days", "support_days", "established_days", "returning_days",
                   "quiet_days", "new_days", "active_days")  # fmt: skip
# What kinds of event say by themselves: that they need no topic, support, an established patient or customer.
SPEAKS, SUPPORTS, ESTABLISHES = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class JourneyPlan:
    """Journeys resolved to codes.

    `journey_of` has the journey of each product's code, that of no product first, -1 where there is none. Signals of a
    journey are bits: `fits[j, d, c]` has those that code c of what `_ABOUT[d]` names fits, `of_stage[j, g]` those of
    the stage of code g, `terms[j, s]` the days and the least weight in sixteenths of signal s; `alive[j, 0, d]` has
    those for which an event of d days is young enough, `alive[j, 1, d]` of these that take one event. `gates` are rows
    of journey, signal and field (the account's after the lead's), which closes the signal unless `allowed` has its
    code. `moments[j, g]` is the decision after a stage. `kinds[k, c]` says what a kind of event says by itself, `valid`
    until which age it counts, `numbers` and `words` what the names above say. `fields` are all fields that are looked
    at; `lifecycle_ages` is whether what a source said of the lifecycle is forgotten one day.
    """

    settings: JourneySettings
    vocabularies: Vocabularies
    journey_of: NDArray[np.int16]
    fits: NDArray[np.uint64]
    of_stage: NDArray[np.uint64]
    terms: NDArray[np.int64]
    alive: NDArray[np.uint64]
    gates: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    moments: NDArray[np.uint8]
    kinds: NDArray[np.bool_]
    valid: NDArray[np.int64]
    numbers: NDArray[np.int64]
    words: NDArray[np.uint8]
    rows: NDArray[np.int64]
    fields: frozenset[str]
    lifecycle_ages: bool

    @classmethod
    def of(cls, settings: Settings) -> JourneyPlan:
        """Resolve the settings."""
        declared, words = settings.journeys, settings.vocabularies
        count, stages = len(declared.journeys), len(words["stage"].values)
        journey_of = np.full(256, -1, dtype=np.int16)
        fits = np.zeros((max(count, 1), len(_ABOUT), 256), dtype=np.uint64)
        of_stage = np.zeros((max(count, 1), stages + 1), dtype=np.uint64)
        most = max((len(journey.signals) for journey in declared.journeys), default=0)
        terms = np.zeros((max(count, 1), most, 2), dtype=np.int64)
        moments = np.zeros((max(count, 1), stages + 1), dtype=np.uint8)
        gates: list[tuple[int, int, int]] = []
        allowed: list[NDArray[np.bool_]] = []
        columns = (*LEAD_FIELDS, *ACCOUNT_FIELDS)
        for j, journey in enumerate(declared.journeys):
            journey_of[[words["product"].code(product) for product in journey.products] or [0]] = j
            for stage, moment in journey.next_moment.items():
                moments[j, words["stage"].code(stage)] = words["decision_moment"].code(moment)
            for s, signal in enumerate(journey.signals):
                fits[j] |= _fits(signal, words) * np.uint64(1 << s)
                of_stage[j, words["stage"].code(signal.stage)] |= np.uint64(1 << s)
                terms[j, s] = signal.within_days, _least(signal.at_least)
                for name, values in signal.only_if.items():
                    gates.append((j, s, columns.index(name)))
                    allowed.append(_codes(values, settings.facts[name].values))
        return cls(
            settings=declared,
            vocabularies=words,
            journey_of=journey_of,
            fits=fits,
            of_stage=of_stage,
            terms=terms,
            alive=_alive(terms),
            gates=np.array(gates, dtype=np.int64).reshape(-1, 3),
            allowed=np.array(allowed, dtype=np.bool_).reshape(-1, 256),
            moments=moments,
            kinds=_kinds(declared, words),
            valid=EngagementPlan.of(settings.features, words).valid_days,
            numbers=_numbers(declared),
            words=np.array([words[LIFECYCLE].code(word) for word in DERIVED], dtype=np.uint8),
            rows=np.array([columns.index(name) for name in _FIELDS], dtype=np.int64),
            fields=frozenset((*_FIELDS, *(name for j in declared.journeys for s in j.signals for name in s.only_if))),
            lifecycle_ages=LIFECYCLE in settings.facts and settings.facts[LIFECYCLE].max_age_days is not None,
        )


def _alive(terms: NDArray[np.int64]) -> NDArray[np.uint64]:
    """By journey and age of an event the signals that it is young enough for, and of these that take one event."""
    journeys, signals, _ = terms.shape
    longest = int(terms[:, :, 0].max(initial=0))
    found = np.zeros((journeys, 2, longest + 2), dtype=np.uint64)
    for j in range(journeys):
        for s in range(signals):
            within, least = terms[j, s]
            if within > 0:
                found[j, 0, : within + 1] |= np.uint64(1 << s)
                found[j, 1, : within + 1] |= np.uint64((least <= _least(1)) << s)
    return found


def _least(events: int) -> int:
    """The least sum of sixteenths that is rounded to so many whole events, halves up."""
    return events * CERTAIN - CERTAIN // 2


def _codes(values: Sequence[str], all_: Sequence[str]) -> NDArray[np.bool_]:
    """By code whether it is of one of these values."""
    found = np.zeros(256, dtype=np.bool_)
    found[[all_.index(value) + 1 for value in values]] = True
    return found


def _fits(signal: Signal, words: Vocabularies) -> NDArray[np.uint64]:
    """By what an event is about and its code, whether the signal fits: every code where it names none."""
    rows: list[NDArray[Any]] = []
    for name, vocabulary in _ABOUT:
        named = getattr(signal, name)
        rows.append(_codes(named, words[vocabulary].values) if named else np.ones(256, dtype=np.bool_))
    return np.array(rows, dtype=np.uint64)


def _kinds(declared: JourneySettings, words: Vocabularies) -> NDArray[np.bool_]:
    values, rules = words["event_kind"].values, declared.lifecycle
    named = (
        declared.evidence.speaking_kinds,
        () if rules is None else rules.support_kinds,
        () if rules is None else rules.established_kinds,
    )
    return np.array([_codes(kinds, values) for kinds in named])


def _numbers(declared: JourneySettings) -> NDArray[np.int64]:
    evidence, rules = declared.evidence, declared.lifecycle
    days = [0] * len(_LIFECYCLE_DAYS) if rules is None else [getattr(rules, name) for name in _LIFECYCLE_DAYS]
    found = [
        declared.unnamed_product,
        evidence.window_days,
        _least(evidence.fair.supporting),
        _least(evidence.strong.supporting),
        evidence.fair.tracked_percent,
        evidence.strong.tracked_percent,
        rules is not None,
        *days,
    ]
    return np.array(found, dtype=np.int64)
