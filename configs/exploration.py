"""The arms of the standing experiment: who is held out, where actions are explored, for how long, and who never is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pydantic import Field, model_validator

from configs.conditions import facts_used, parse
from configs.dictionary import AFTER_READINESS
from configs.errors import ConditionInvalid, Problem
from configs.section import Section

FILE = "exploration.yaml"


class ExplorationSettings(Section):
    """Shares of the holdout and of exploration, what draws them, and for whom neither is ever drawn.

    Without the file both shares are 0: nobody is held out because a configuration is silent.
    """

    salt: str = Field(default="", max_length=64)
    unit: Literal["account", "person"] = "account"
    period: Literal["month", "quarter", "year"] = "quarter"
    starts_on: date | None = None
    holdout_share: float = Field(default=0.0, ge=0.0, le=0.5)
    exploration_share: float = Field(default=0.0, ge=0.0, le=0.5)
    purposes: tuple[Literal["promotional", "medical_education"], ...] = ("promotional",)
    never: str | None = None
    labels: Literal["everybody", "handed_over"] = "everybody"
    clip_quantile: float = Field(default=0.99, gt=0.5, le=1.0)
    weight_power: float = Field(default=1.0, ge=0.0, le=1.0)
    min_propensity: float = Field(default=0.005, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _guarded(self) -> ExplorationSettings:
        drawn = self.holdout_share > 0 or self.exploration_share > 0
        if drawn and not self.salt:
            raise ValueError("expected a salt where a share is above 0: it is what draws the arms")
        if drawn and not self.never:
            raise ValueError("expected never where a share is above 0: a condition for whom nothing is withheld")
        return self

    def is_on(self, day: date) -> bool:
        """Whether anybody is drawn into an arm on a day."""
        drawn = self.holdout_share > 0 or self.exploration_share > 0
        return drawn and (self.starts_on is None or day >= self.starts_on)

    def period_of(self, day: date) -> str:
        """Name of the period a day is in: `2026`, `2026-Q2` or `2026-06`."""
        if self.period == "year":
            return f"{day:%Y}"
        return f"{day:%Y}-Q{(day.month + 2) // 3}" if self.period == "quarter" else f"{day:%Y-%m}"


def exploration_problems(found: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with `never`: it must be a condition over facts that a lead has once."""
    settings: ExplorationSettings = found["exploration"]
    if settings.never is None:
        return []
    try:
        used = facts_used(parse(settings.never, found["facts"], found["parameters"]))
    except ConditionInvalid as error:
        return [Problem(FILE, "never", str(error))]
    # Who is never held out must not follow from a score: a hot lead would then leave the experiment for being hot.
    others = [fact for fact in used if found["facts"][fact].per != "lead" or fact in AFTER_READINESS]
    return [
        Problem(FILE, "never", f"expected facts that a lead has once and without a score, and {fact} is not one")
        for fact in others
    ]
