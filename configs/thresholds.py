"""Where bands are cut: how many leads sales can take in a month, or what a contact costs and a next step is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from configs.errors import Problem
from configs.section import Section

FILE = "thresholds.yaml"


class Capacity(Section):
    """Leads a month that can be taken: `hot` by sales, `warm` and `warming` by whoever takes those; each its own."""

    hot: float = Field(gt=0)
    warm: float | None = Field(default=None, gt=0)
    warming: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _number(cls, given: Any) -> Any:
        return {"hot": given} if isinstance(given, int | float) and not isinstance(given, bool) else given

    @model_validator(mode="after")
    def _in_order(self) -> Capacity:
        if self.warming is not None and self.warm is None:
            raise ValueError("expected warm where warming is given: leads are taken from the most ready down")
        return self

    @property
    def named(self) -> Mapping[str, float]:
        """Capacity of each band that has one, hottest first."""
        found = {"hot": self.hot, "warm": self.warm, "warming": self.warming}
        return {band: leads for band, leads in found.items() if leads is not None}


class ThresholdRule(Section):
    """How leads are cut: by capacity, by cost (hot where p * value is at least the cost), or by the higher of both.

    `value` is what a next step reached is worth and `cost` what working on one lead costs, both in one currency.
    """

    capacity: Capacity | None = None
    value: float | None = Field(default=None, gt=0)
    cost: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _whole(self) -> ThresholdRule:
        if (self.value is None) != (self.cost is None):
            raise ValueError("expected value and cost together")
        if self.value is not None and self.cost is not None and self.cost >= self.value:
            raise ValueError("expected a cost below the value: else no lead is ever worth a contact")
        return self

    @property
    def declared(self) -> bool:
        """Whether anything is said; if not, the cuts of `training.yaml` stand."""
        return self.capacity is not None or self.value is not None

    @property
    def says(self) -> str:
        """The rule in words."""
        parts = []
        if self.capacity is not None:
            named = ", ".join(f"{leads:g} {band}" for band, leads in self.capacity.named.items())
            parts.append(f"capacity of {named} a month")
        if self.value is not None and self.cost is not None:
            parts.append(f"a contact costs {self.cost:g}, a next step is worth {self.value:g}")
        return "; ".join(parts) or "default cuts"


class ThresholdSettings(Section):
    """The rule of everybody and those of segments of their own.

    The capacity of `all` is shared by everybody whose segment has no rule of its own. `leads_a_month` says how many
    leads are looked at in a month where the data cannot: a flat export. A segment with fewer than `min_rows` held-out
    leads, or a capacity of fewer than `min_above` of them, is cut like all.
    """

    leads_a_month: float | None = Field(default=None, gt=0)
    min_rows: int = Field(ge=1, default=200)
    min_above: int = Field(ge=1, default=5)
    all: ThresholdRule = ThresholdRule()
    segments: Mapping[str, ThresholdRule] = Field(default_factory=dict)

    @property
    def declared(self) -> bool:
        """Whether any cut is chosen; if not, answers are those of the default cuts."""
        return self.all.declared or any(rule.declared for rule in self.segments.values())


def threshold_problems(found: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the file: segments that nobody defined, rules that say nothing."""
    settings: ThresholdSettings = found["thresholds"]
    known = {definition.id for definition in found["segments"]}
    return [
        Problem(FILE, f"segments.{name}", f"no segment is named {name!r}")
        if name not in known
        else Problem(FILE, f"segments.{name}", "expected capacity, or value and cost: leave the segment out otherwise")
        for name, rule in settings.segments.items()
        if name not in known or not rule.declared
    ]
