"""Why a lead is at its stage: every signal of its journey with what was counted, read event by event in plain Python.

It is a second, independent reading of the declared rules: what it finds is what `features/journey/stages.py` finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from configs.journeys import ProductJourney, Signal
from configs.settings import Settings
from features.columns import CERTAIN
from features.facts import Facts
from features.journey.plan import EVIDENCE, LIFECYCLE, MOMENT, STAGE, JourneyPlan
from features.tables import Known

_PRODUCT, _OWN_MOMENT = "product_interest", "decision_moment"


@dataclass(frozen=True, slots=True)
class SignalSeen:
    """A signal and what was counted for it: whole events, halves up, and the days since the last of them.

    `closed_by` names the field that does not have the value it must surely have, "" where none closes the signal.
    """

    signal: Signal
    counted: int
    days_since_last: int | None
    closed_by: str = ""

    @property
    def holds(self) -> bool:
        """Whether it shows its stage."""
        return not self.closed_by and self.counted >= self.signal.at_least


@dataclass(frozen=True, slots=True)
class Explained:
    """Where one lead stands and why; words of the vocabularies, None where unknown.

    `supporting` are whole events that show the stage; `tracked_percent` is the tracked part of what it did lately about
    its product or none, None where it did nothing; `about_others` are events about other products, which count nowhere
    here.
    """

    lead_id: str
    product: str | None
    journey: ProductJourney | None
    stage: str | None
    evidence: str | None
    moment: str | None
    account_moment: str | None
    lifecycle: str | None
    lifecycle_from: str
    signals: tuple[SignalSeen, ...]
    supporting: int
    tracked_percent: int | None
    events: int
    about_others: int

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "lead_id": self.lead_id,
            "product": self.product,
            "journey": None if self.journey is None else self.journey.id,
            "stage": self.stage,
            "evidence": self.evidence,
            "supporting_events": self.supporting,
            "tracked_percent": self.tracked_percent,
            "next_moment": self.moment,
            "next_moment_from": "account" if self.account_moment else "journey" if self.moment else None,
            "lifecycle": self.lifecycle,
            "lifecycle_from": self.lifecycle_from,
            "events": self.events,
            "events_about_other_products": self.about_others,
            "signals": [
                {
                    "id": one.signal.id,
                    "stage": one.signal.stage,
                    "says": one.signal.says,
                    "counted": one.counted,
                    "needed": one.signal.at_least,
                    "within_days": one.signal.within_days,
                    "days_since_last": one.days_since_last,
                    "holds": one.holds,
                    "closed_by": one.closed_by or None,
                }
                for one in self.signals
            ],
        }


@dataclass(frozen=True, slots=True)
class _Seen:
    """One event as words: None where unknown; `level` is how likely a person made it, in sixteenths."""

    kind: str | None
    topic: str | None
    depth: str | None
    channel: str | None
    product: str | None
    age: int
    level: int


def explain(known: Known, facts: Facts, plan: JourneyPlan, settings: Settings, row: int) -> Explained:
    """Where one lead stands by its facts, and every signal of its journey with what was counted.

    Args:
        known: what is known and may be used.
        facts: the facts of these leads.
        plan: the journeys, resolved.
        settings: the configuration that the plan was made of.
        row: of the lead.
    """
    told = {name: _word(facts, settings, name, row) for name in (STAGE, EVIDENCE, MOMENT, LIFECYCLE, _PRODUCT)}
    product = told[_PRODUCT]
    journey = settings.journeys.of(product)
    every = _events(known, plan, row)
    unnamed = settings.journeys.unnamed_product
    own = [one for one in every if one.product == product or (one.product is None and unnamed)]
    signals = () if journey is None else tuple(_signal(one, own, facts, settings, row) for one in journey.signals)
    shown = [one.signal for one in signals if one.signal.stage == told[STAGE] and not one.closed_by]
    showing = [one for one in own if any(_fits(signal, one) and one.age <= signal.within_days for signal in shown)]
    source = known.leads.get(LIFECYCLE)
    said = source is not None and 0 < int(source[row]) <= len(settings.vocabularies[LIFECYCLE].values)
    return Explained(
        lead_id=str(known.lead_ids[row]),
        product=product,
        journey=journey,
        stage=told[STAGE],
        evidence=told[EVIDENCE],
        moment=told[MOMENT],
        account_moment=_word(facts, settings, _OWN_MOMENT, row),
        lifecycle=told[LIFECYCLE],
        lifecycle_from="source" if said else "derived" if told[LIFECYCLE] else "unknown",
        signals=signals,
        supporting=_whole(showing),
        tracked_percent=_tracked(own, product, settings),
        events=len(own),
        about_others=len(every) - len(own),
    )


def _tracked(own: list[_Seen], product: str | None, settings: Settings) -> int | None:
    """The tracked part of what was done lately, in whole percent rounding down."""
    rules = settings.journeys.evidence
    lately = [one for one in own if one.age <= rules.window_days]
    if not lately:
        return None
    tracked = [
        one for one in lately
        if one.product == product and (one.topic or one.depth or one.kind in rules.speaking_kinds)
    ]  # fmt: skip
    return 100 * sum(one.level for one in tracked) // (CERTAIN * len(lately))


def _signal(signal: Signal, own: list[_Seen], facts: Facts, settings: Settings, row: int) -> SignalSeen:
    fits = [one for one in own if _fits(signal, one) and one.age <= signal.within_days]
    closed = next(
        (name for name, values in signal.only_if.items() if _word(facts, settings, name, row) not in values), ""
    )
    return SignalSeen(signal, _whole(fits), min((one.age for one in fits), default=None), closed)


def _fits(signal: Signal, one: _Seen) -> bool:
    asked = ((signal.kinds, one.kind), (signal.topics, one.topic), (signal.depths, one.depth))
    return all(not named or value in named for named, value in (*asked, (signal.channels, one.channel)))


def _whole(events: list[_Seen]) -> int:
    return (sum(one.level for one in events) + CERTAIN // 2) // CERTAIN


def _word(facts: Facts, settings: Settings, name: str, row: int) -> str | None:
    if name not in facts.columns or name not in settings.facts:
        return None
    column = facts.columns[name].reshape(-1)
    code = int(column[row if len(column) > 1 else 0])
    return settings.facts[name].values[code - 1] if code else None


def _events(known: Known, plan: JourneyPlan, row: int) -> list[_Seen]:
    """The events of a lead that still count, from their words (features/columns.py says which bits are what)."""
    names = {"kind": (16, 255, "event_kind"), "topic": (24, 255, "topic"), "depth": (32, 31, "depth"),
             "channel": (42, 63, "event_channel"), "product": (48, 255, "product")}  # fmt: skip
    found = []
    start, stop = int(known.event_starts[row]), int(known.event_starts[row + 1])
    for word in known.event_words[start:stop].tolist():
        age = word & 16383
        if age > int(plan.valid[word >> 16 & 255]):
            continue
        read: Mapping[str, str | None] = {
            name: _value(plan.vocabularies[vocabulary].values, word >> shift & mask)
            for name, (shift, mask, vocabulary) in names.items()
        }
        found.append(_Seen(**read, age=age, level=word >> 37 & 31))
    return found


def _value(values: tuple[str, ...], code: int) -> str | None:
    return values[code - 1] if 0 < code <= len(values) else None
