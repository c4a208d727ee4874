"""Controlled tests within a segment: what one test varies, who draws its arms, what is counted, and how it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Literal

from pydantic import Field, model_validator

from configs.errors import Problem
from configs.section import Section

FILE = "controlled_tests.yaml"
Varies = Literal["subject", "call_to_action", "depth", "channel_mix"]


class TestArm(Section):
    """One variation: its share of the units and what carries it out, by which deliveries are recognised."""

    __test__ = False

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    says: str = Field(min_length=3)
    share: float = Field(gt=0, lt=1)
    campaign_id: str | None = Field(default=None, min_length=1, max_length=64)
    asset_id: str | None = Field(default=None, min_length=1, max_length=64)


class TestMetric(Section):
    """What counts as a success of a lead: an outcome or an event of these kinds within some days of its assignment."""

    __test__ = False

    outcomes: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    within_days: int = Field(ge=1, le=365)

    @model_validator(mode="after")
    def _one_of_both(self) -> TestMetric:
        if bool(self.outcomes) == bool(self.events):
            raise ValueError("expected either outcomes or events: engagement and outcomes are not one number")
        return self


class ControlledTest(Section):
    """A test as it is declared before it begins; the first arm is the control.

    `baseline` is the success rate expected of the control and `smallest_effect` the difference worth acting on, both
    parts of one. A fixed test is read once, when every arm is full and followed; a sequential one at any time. With
    accounts as units `leads_per_account` and `likeness`, the intraclass correlation, say what clustering costs.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    says: str = Field(min_length=3)
    goal: str = Field(min_length=3)
    segment: str
    varies: Varies
    arms: tuple[TestArm, ...] = Field(min_length=2, max_length=6)
    unit: Literal["lead", "account"] = "account"
    salt: str = Field(min_length=4, max_length=64)
    metric: TestMetric
    baseline: float = Field(gt=0, lt=1)
    smallest_effect: float = Field(gt=-1, lt=1)
    power: float = Field(default=0.8, ge=0.5, lt=1)
    level: float = Field(default=0.05, gt=0, le=0.2)
    analysis: Literal["fixed", "sequential"] = "fixed"
    leads_per_account: float = Field(default=1.0, ge=1, le=10_000)
    likeness: float = Field(default=0.0, ge=0, le=1)
    starts_on: date
    ends_on: date
    owner: str = Field(min_length=2)

    @model_validator(mode="after")
    def _whole(self) -> ControlledTest:
        if abs(sum(arm.share for arm in self.arms) - 1.0) > 1e-9:
            raise ValueError("expected shares of the arms that make 1 together")
        if len({arm.name for arm in self.arms}) < len(self.arms):
            raise ValueError("expected a name of its own for each arm")
        if self.smallest_effect == 0 or not 0 < self.baseline + self.smallest_effect < 1:
            raise ValueError("expected a smallest effect that is not 0 and leaves baseline plus effect between 0 and 1")
        if self.ends_on <= self.starts_on:
            raise ValueError("expected ends_on after starts_on")
        if self.unit == "lead" and (self.leads_per_account != 1.0 or self.likeness != 0.0):
            raise ValueError("expected leads_per_account and likeness with unit: account only")
        return self


def controlled_test_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the tests: names used twice, segments and kinds that do not exist."""
    segments = {definition.id for definition in found["segments"]}
    words = found["vocabularies"]
    seen: set[str] = set()
    for test in found["controlled_tests"]:
        if test.id in seen:
            yield Problem(FILE, test.id, "is declared twice")
        seen.add(test.id)
        if test.segment not in segments:
            yield Problem(FILE, f"{test.id}.segment", f"no segment is named {test.segment}")
        for key, vocabulary in (("outcomes", "outcome_kind"), ("events", "event_kind")):
            for kind in getattr(test.metric, key):
                if kind not in words[vocabulary].values:
                    yield Problem(FILE, f"{test.id}.metric.{key}", f"{vocabulary} has no value {kind!r}")
        engaging = found["measurement"].engaging
        for kind in test.metric.events:
            # Opens are made by machines most of the time; off-label questions never measure marketing.
            if kind not in engaging:
                yield Problem(FILE, f"{test.id}.metric.events", f"measurement.yaml does not count {kind} as engagement")
