"""Journeys: by which tracked events a lead shows how far it has come with a product, and what decision comes next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from configs.errors import Problem
from configs.section import Section

FILE = "journeys.yaml"
# A set of signals of one journey is kept in a word of this many bits.
MAX_SIGNALS = 64
_ABOUT = ("kinds", "topics", "depths", "channels")
_VOCABULARY = {"kinds": "event_kind", "topics": "topic", "depths": "depth", "channels": "event_channel"}


class Signal(Section):
    """Events that show a stage: all that is named must fit, and so many of them within so many days.

    Each event counts as much as it is likely that a person made it; the sum is rounded, halves up. `only_if` names
    fields of the lead or its account and the values they must surely have.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    stage: str
    says: str = Field(min_length=3)
    kinds: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    depths: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    only_if: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    within_days: int = Field(ge=1, le=3650)
    at_least: int = Field(default=1, ge=1, le=1000)

    @model_validator(mode="after")
    def _says_something(self) -> Signal:
        if not any(getattr(self, name) for name in _ABOUT):
            raise ValueError(f"expected at least one of {', '.join(_ABOUT)}")
        return self


class ProductJourney(Section):
    """The journey of some products; without any, that of leads whose product nobody knows, over unbranded events."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    title: str = Field(min_length=3)
    products: tuple[str, ...] = ()
    signals: tuple[Signal, ...] = Field(min_length=1, max_length=MAX_SIGNALS)
    next_moment: Mapping[str, str]


class EvidenceLevel(Section):
    """What it takes for a level: events that show the stage, and the tracked part of all events in percent."""

    supporting: int = Field(ge=1)
    tracked_percent: int = Field(ge=0, le=100)


class EvidenceRules(Section):
    """How well events support a stage. An event is tracked as far as a person made it and it says what it is about.

    It says so where it names its product and a topic or a depth, or is of a kind that speaks for itself.
    """

    window_days: int = Field(ge=1, le=3650)
    speaking_kinds: tuple[str, ...] = ()
    fair: EvidenceLevel
    strong: EvidenceLevel

    @model_validator(mode="after")
    def _in_order(self) -> EvidenceRules:
        fair, strong = self.fair, self.strong
        if fair.supporting > strong.supporting or fair.tracked_percent > strong.tracked_percent:
            raise ValueError("expected strong to ask for at least as much as fair")
        return self


class LifecycleRules(Section):
    """Where a lead stands with us where its source does not say: days, and kinds of event; the first that holds.

    A meeting lately, then its follow-up; support, then known by an appointment; returning after a quiet time; new;
    active; dormant.
    """

    recent_meeting_days: int = Field(ge=1)
    follow_up_days: int = Field(ge=1)
    support_kinds: tuple[str, ...] = ()
    support_days: int = Field(ge=1)
    established_kinds: tuple[str, ...] = ()
    established_days: int = Field(ge=1)
    returning_days: int = Field(ge=1)
    quiet_days: int = Field(ge=1)
    new_days: int = Field(ge=1)
    active_days: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> LifecycleRules:
        if self.follow_up_days < self.recent_meeting_days:
            raise ValueError("follow_up_days: expected at least recent_meeting_days")
        return self


class JourneySettings(Section):
    """Every declared journey, how evidence is judged, and how a lifecycle is derived.

    `unnamed_product`: whether an event that names no product, and of whose asset none is known, counts for the lead's.
    `kind_sets` are kinds of event by a name that signals may write instead; signals are resolved when they are read.
    """

    unnamed_product: bool = True
    kind_sets: Mapping[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    evidence: EvidenceRules = EvidenceRules(
        window_days=90,
        fair=EvidenceLevel(supporting=1, tracked_percent=30),
        strong=EvidenceLevel(supporting=2, tracked_percent=60),
    )
    lifecycle: LifecycleRules | None = None
    journeys: tuple[ProductJourney, ...] = ()

    @model_validator(mode="after")
    def _resolved(self) -> JourneySettings:
        def kinds(signal: Signal) -> tuple[str, ...]:
            return tuple(dict.fromkeys(kind for name in signal.kinds for kind in self.kind_sets.get(name, (name,))))

        resolved = tuple(
            journey.model_copy(
                update={"signals": tuple(one.model_copy(update={"kinds": kinds(one)}) for one in journey.signals)}
            )
            for journey in self.journeys
        )
        object.__setattr__(self, "journeys", resolved)
        return self

    def of(self, product: str | None) -> ProductJourney | None:
        """The journey of a product, that of nobody's product for None; None where there is none."""
        if product is None:
            return next((one for one in self.journeys if not one.products), None)
        return next((one for one in self.journeys if product in one.products), None)


def journey_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What the journeys name that nobody declared, and what they name twice or leave out."""
    settings: JourneySettings | None = found["journeys"]
    if settings is None:
        return
    words = {name: vocabulary.values for name, vocabulary in found["vocabularies"].items()}
    for product in words["product"]:
        count = sum(product in journey.products for journey in settings.journeys)
        if settings.journeys and count != 1:
            yield Problem(FILE, f"journeys ({product})", f"expected exactly one journey of each product, found {count}")
    if sum(not journey.products for journey in settings.journeys) > 1:
        yield Problem(FILE, "journeys", "expected at most one journey without products")
    for twice in _twice([journey.id for journey in settings.journeys]):
        yield Problem(FILE, f"journeys.{twice}", "expected each id once")
    for name, kinds in settings.kind_sets.items():
        yield from _unknown(f"kind_sets.{name}", kinds, words["event_kind"])
    yield from _unknown("evidence.speaking_kinds", settings.evidence.speaking_kinds, words["event_kind"])
    if settings.lifecycle is not None:
        for name in ("support_kinds", "established_kinds"):
            yield from _unknown(f"lifecycle.{name}", getattr(settings.lifecycle, name), words["event_kind"])
    for journey in settings.journeys:
        at = f"journeys.{journey.id}"
        yield from _unknown(f"{at}.products", journey.products, words["product"])
        yield from _unknown(f"{at}.next_moment", tuple(journey.next_moment.values()), words["decision_moment"])
        for stage in sorted({*words["stage"]} ^ {*journey.next_moment}):
            expected = "a decision for every stage" if stage in words["stage"] else "only stages of the vocabulary"
            yield Problem(FILE, f"{at}.next_moment.{stage}", f"expected {expected}")
        for twice in _twice([signal.id for signal in journey.signals]):
            yield Problem(FILE, f"{at}.signals.{twice}", "expected each id once")
        for signal in journey.signals:
            yield from _signal_problems(f"{at}.signals.{signal.id}", signal, words, found)


def _signal_problems(
    at: str, signal: Signal, words: Mapping[str, tuple[str, ...]], found: Mapping[str, Any]
) -> Iterator[Problem]:
    yield from _unknown(f"{at}.stage", (signal.stage,), words["stage"])
    for name in _ABOUT:
        yield from _unknown(f"{at}.{name}", getattr(signal, name), words[_VOCABULARY[name]])
    for field, values in signal.only_if.items():
        fact = found["facts"].get(field)
        told = fact is not None and fact.type != "int" and fact.per == "lead"
        if not told or not fact.source.startswith(("leads.", "accounts.")) or field in ("jurisdiction", "us_state"):
            yield Problem(FILE, f"{at}.only_if.{field}", "expected a field of the lead or of its account")
            continue
        if not values:
            yield Problem(FILE, f"{at}.only_if.{field}", "expected at least one value: else it never holds")
        yield from _unknown(f"{at}.only_if.{field}", values, fact.values)
    valid = found["features"].valid_days
    ends = [valid[kind] for kind in signal.kinds if kind in valid]
    if signal.kinds and len(ends) == len(signal.kinds) and max(ends) < signal.within_days:
        expected = f"expected at most {max(ends)}: older events of these kinds count nowhere (features.yaml)"
        yield Problem(FILE, f"{at}.within_days", expected)


def _unknown(key: str, given: tuple[str, ...], allowed: tuple[str, ...]) -> Iterator[Problem]:
    for value in given:
        if value not in allowed:
            yield Problem(FILE, key, f"expected one of {', '.join(allowed)}, found {value!r}")


def _twice(ids: list[str]) -> list[str]:
    return sorted({one for one in ids if ids.count(one) > 1})
