"""The hand-written points scorecard: fit and engagement points, caps per signal group, decay, grades."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from configs.section import Section


class PointRule(Section):
    """Points given where a condition over lead facts is surely true."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    says: str = Field(min_length=3)
    when: str
    points: int = Field(ge=-100, le=100)
    group: str


class DecayStep(Section):
    """After more than so many quiet days, engagement keeps this share of its points."""

    over_days: int = Field(ge=0)
    keep_percent: int = Field(ge=0, le=100)


class ScorecardSettings(Section):
    """Fit rules, engagement rules, caps per group, decay, and the lowest points of each grade, best grade first."""

    fit: tuple[PointRule, ...]
    engagement: tuple[PointRule, ...]
    caps: dict[str, int]
    fit_grades: dict[str, int]
    engagement_grades: dict[int, int]
    decay: tuple[DecayStep, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        ids = [rule.id for rule in (*self.fit, *self.engagement)]
        twice = sorted({rule for rule in ids if ids.count(rule) > 1})
        groups = {rule.group for rule in (*self.fit, *self.engagement)}
        if twice:
            raise ValueError(f"point rules used twice: {', '.join(twice)}")
        if groups != set(self.caps):
            raise ValueError(f"expected one cap for each group: {', '.join(sorted(groups))}")
        if {rule.group for rule in self.fit} & {rule.group for rule in self.engagement}:
            raise ValueError("a group belongs either to fit or to engagement")
        for name, grades in (("fit_grades", self.fit_grades), ("engagement_grades", self.engagement_grades)):
            cuts = list(grades.values())
            if cuts and (cuts != sorted(set(cuts), reverse=True) or cuts[-1] != 0):
                raise ValueError(f"{name}: expected falling points, the last 0")
        steps = [(step.over_days, -step.keep_percent) for step in self.decay]
        if steps != sorted(set(steps)):
            raise ValueError("decay: expected rising days and falling shares")
        return self
