"""The hand-written points scorecard: fit and engagement points, caps per signal group, decay, grades."""

from __future__ import annotations

from configs.section import Section


class PointRule(Section):
    """Points given where a condition over lead facts is surely true."""

    id: str
    says: str
    when: str
    points: int
    group: str


class ScorecardSettings(Section):
    """Fit rules, engagement rules, caps per group, and the cuts of the grades."""

    fit: tuple[PointRule, ...]
    engagement: tuple[PointRule, ...]
    caps: dict[str, int]
    fit_grades: dict[str, int]
    engagement_grades: dict[int, int]
