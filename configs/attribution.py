"""Which touch points lead to a conversion, and the weights by which the position-based model splits its credit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, model_validator

from configs.errors import Problem
from configs.section import Section

FILE = "attribution.yaml"


class PositionWeights(Section):
    """Weights of the first and of the last touch point, in whole hundredths; the rest goes to those in between."""

    first: float = Field(default=0.4, ge=0.0, le=1.0)
    last: float = Field(default=0.4, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _whole(self) -> PositionWeights:
        for name in ("first", "last"):
            if abs(getattr(self, name) * 100 - round(getattr(self, name) * 100)) > 1e-9:
                raise ValueError(f"{name}: expected at most two decimals, so that credits are exact")
        if self.hundredths[0] + self.hundredths[1] > 100:
            raise ValueError("expected first and last to be at most 1 together")
        return self

    @property
    def hundredths(self) -> tuple[int, int]:
        """Both weights in whole hundredths."""
        return round(self.first * 100), round(self.last * 100)


class TouchPoint(Section):
    """A name of touch points: our touches on some channels, the leads' events of some kinds, or both.

    `channel` is asked of the measurement plan where an event does not say its own; without it that is not known.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    sent: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    channel: str | None = None
    once_a_day: bool = False

    @model_validator(mode="after")
    def _something(self) -> TouchPoint:
        if not self.sent and not self.events:
            raise ValueError("expected channels under sent, kinds under events, or both")
        return self


class AttributionPlan(Section):
    """The plan of attribution; without the file nothing is a touch point and every conversion is unattributed."""

    conversions: tuple[str, ...] = ()
    lookback_days: int = Field(default=90, ge=0, le=3_650)
    position_based: PositionWeights = PositionWeights()
    touch_points: tuple[TouchPoint, ...] = ()
    machines: tuple[str, ...] = ()


def attribution_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the plan: values no vocabulary knows, and a channel or kind that has two names."""
    plan: AttributionPlan = found["attribution"]
    words = found["vocabularies"]
    for kind in plan.conversions:
        if kind not in words["outcome_kind"].values:
            yield Problem(FILE, "conversions", f"expected kinds of outcome, found {kind!r}")
    for agent in plan.machines:
        if agent not in words["agent"].values:
            yield Problem(FILE, "machines", f"expected agents, found {agent!r}")
    names: set[str] = set()
    taken: dict[tuple[str, str], str] = {}
    for point in plan.touch_points:
        if point.name in names:
            yield Problem(FILE, "touch_points", f"{point.name} is declared twice")
        names.add(point.name)
        if point.channel not in (None, *words["channel"].values, *words["event_channel"].values):
            yield Problem(FILE, f"touch_points.{point.name}.channel", f"expected a channel, found {point.channel!r}")
        for key, vocabulary in (("sent", "channel"), ("events", "event_kind")):
            for value in getattr(point, key):
                if value not in words[vocabulary].values:
                    yield Problem(FILE, f"touch_points.{point.name}.{key}", f"{vocabulary} has no value {value!r}")
                elif (key, value) in taken:
                    taker = taken[key, value]
                    yield Problem(FILE, f"touch_points.{point.name}.{key}", f"{value} is counted as {taker} already")
                else:
                    taken[key, value] = point.name
