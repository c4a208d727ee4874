"""The hand-written points scorecard: fit and engagement points, caps per signal group, decay, grades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from configs.section import Section

GRID_BANDS = ("hot", "warm", "warming", "cold")
CELL_WITHOUT_BAND = "cold"
Worth = Annotated[int, Field(ge=-100, le=100)]


class PointRule(Section):
    """Points given where a condition over lead facts is surely true.

    `by_segment` says what the same is worth for leads whose primary segment it names: a segment decides which signals
    matter most.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    says: str = Field(min_length=3)
    when: str
    points: Worth
    group: str
    by_segment: Mapping[str, Worth] = Field(default_factory=dict)


class DecayStep(Section):
    """After more than so many quiet days, engagement keeps this share of its points."""

    over_days: int = Field(ge=0)
    keep_percent: int = Field(ge=0, le=100)


class ScorecardSettings(Section):
    """Fit rules, engagement rules, caps per group, decay, and the lowest points of each grade, best grade first.

    `bands` says for a band which cells of the grid, such as A1, stand for it while there is no model to say more.
    """

    fit: tuple[PointRule, ...]
    engagement: tuple[PointRule, ...]
    caps: dict[str, int]
    fit_grades: dict[str, int]
    engagement_grades: dict[int, int]
    decay: tuple[DecayStep, ...] = ()
    bands: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)

    def band(self, fit_grade: str, engagement_grade: int) -> str:
        """The band that a cell of the grid, such as A1, stands for while there is no model; cold where none is said."""
        cell = f"{fit_grade}{engagement_grade}"
        return next((band for band, cells in self.bands.items() if cell in cells), CELL_WITHOUT_BAND)

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
        cells = [f"{fit}{engagement}" for fit in self.fit_grades for engagement in self.engagement_grades]
        named = [cell for inside in self.bands.values() for cell in inside]
        odd = sorted({*self.bands} - {*GRID_BANDS}) + sorted({*named} - {*cells})
        if odd or len(named) != len(set(named)):
            raise ValueError(f"bands: expected each cell of the grid once, under {', '.join(GRID_BANDS)}: {odd}")
        ranks = {band: -rank for rank, band in enumerate(GRID_BANDS)}
        grid = [[ranks[self.band(fit, number)] for number in self.engagement_grades] for fit in self.fit_grades]
        columns = [list(column) for column in zip(*grid, strict=True)]
        if any(row != sorted(row, reverse=True) for row in (*grid, *columns)):
            raise ValueError("bands: a better grade never has a lower band")
        steps = [(step.over_days, -step.keep_percent) for step in self.decay]
        if steps != sorted(set(steps)):
            raise ValueError("decay: expected rising days and falling shares")
        return self
