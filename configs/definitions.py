"""What people approve: a segment, its entry and exit, its plan and its owner."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from configs.content import Approval, ChannelName
from configs.section import Section

NEVER = "never"


class SizeGuardrail(Section):
    """Smallest number and largest share of leads this segment may hold before it is flagged."""

    min_leads: int = Field(ge=0)
    max_share: float = Field(gt=0, le=1)


class SegmentDefinition(Section):
    """An approved, named group. `enter` and `exit` are conditions over lead facts; lower `priority` wins as primary.

    The residual segment has neither: it holds every lead that no other segment holds. `exit: never` loads, and lints.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")
    version: int = Field(ge=1)
    title: str
    unit: Literal["lead", "account"]
    purpose: Literal["medical_education", "promotional"]
    audience: tuple[str, ...]
    product: str | None = None
    priority: int = Field(ge=1, le=9999)
    enter: str = ""
    exit: str = ""
    min_dwell_days: int = Field(ge=0, default=0)
    reentry: Literal["allowed", "after_dwell", "never"] = "allowed"
    fallback: str
    hypothesis: str
    themes: tuple[str, ...]
    key_contacts: tuple[str, ...] = ()
    offers: dict[str, tuple[str, ...]]
    channel_plan: tuple[ChannelName, ...]
    next_best_action: str
    owner: str
    size: SizeGuardrail
    primary_kpi: str
    conversion_event: str
    data_sources: tuple[str, ...]
    residual: bool = False
    approval: Approval | None = None
    review_on: date

    @model_validator(mode="after")
    def _entry_and_exit_are_given(self) -> SegmentDefinition:
        if self.residual and (self.enter or self.exit):
            raise ValueError("enter, exit: expected neither, the residual segment is what no other segment holds")
        if not self.residual and not (self.enter.strip() and self.exit.strip()):
            raise ValueError("enter, exit: expected a condition for each, or exit: never")
        return self

    def conditions(self) -> dict[str, str]:
        """The conditions to be parsed, by key: none for the residual segment, no exit where that is never."""
        given = {} if self.residual else {"enter": self.enter, "exit": self.exit}
        return {key: text for key, text in given.items() if not (key == "exit" and text.strip() == NEVER)}

    def is_active(self, on: date) -> bool:
        """Whether a named person's approval covers this day; the last day of an approval still counts."""
        return self.approval is not None and self.approval.on <= on <= self.approval.expires_on
