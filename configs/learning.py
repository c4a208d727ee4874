"""When a lead or segment counts as stalled, and when results are weak: `learning.yaml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from configs.errors import Problem
from configs.section import Section

FILE = "learning.yaml"


class LearningRules(Section):
    """Days in a stage after which a lead has stalled, by stage and, where a product differs, by product and stage.

    A stage without days never stalls. `window_days` is how far back moves, touches and answers are looked at;
    `min_leads` the fewest that are judged, and `min_share` the share of a segment's stalled leads from which a reason
    is named for the segment. Results are weak where a rate is surely below the others' by the factor `weak_ratio`.
    """

    stall_days: Mapping[str, int] = Field(default_factory=dict)
    by_product: Mapping[str, Mapping[str, int]] = Field(default_factory=dict)
    window_days: int = Field(default=90, ge=7, le=730)
    answer_days: int = Field(default=14, ge=1, le=180)
    min_leads: int = Field(default=30, ge=2)
    min_share: float = Field(default=0.2, gt=0, lt=1)
    weak_ratio: float = Field(default=0.67, gt=0, lt=1)

    def days(self, stage: str, product: str | None) -> int | None:
        """Days in a stage after which a lead that is interested in a product has stalled; None: never."""
        own = self.by_product.get(product or "", {})
        return own.get(stage, self.stall_days.get(stage))


def learning_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the file: stages and products nobody has, days below one."""
    rules: LearningRules = found["learning"]
    if found["actions"] is None:
        return
    stages, products = found["actions"].stages, found["vocabularies"]["product"].values
    for product in rules.by_product:
        if product not in products:
            yield Problem(FILE, f"by_product.{product}", f"expected one of {', '.join(products)}")
    for key, days in (("stall_days", rules.stall_days), *((f"by_product.{p}", d) for p, d in rules.by_product.items())):
        for stage, count in days.items():
            if stage not in stages:
                yield Problem(FILE, f"{key}.{stage}", f"expected one of {', '.join(stages)}")
            if count < 1:
                yield Problem(FILE, f"{key}.{stage}", f"expected at least one day, found {count}")
