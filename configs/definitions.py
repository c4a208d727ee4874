"""What people approve: a segment, its entry and exit, its plan and its owner; and what a lead is in for a while."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from configs.content import Approval, ChannelName
from configs.section import Section

NEVER = "never"
# Resolved at load from the ledger of approvals: no part of what a person wrote.
_RESOLVED = {"status", "approval", "covered_from", "next_review_on", "replaced_by"}


class SizeGuardrail(Section):
    """Smallest number and largest share of leads this segment may hold before it is flagged."""

    min_leads: int = Field(ge=0)
    max_share: float = Field(gt=0, le=1)


class FallbackStep(Section):
    """Where leads go while facts are missing: with every fact of `missing` unknown, `use` lets them in as well.

    A step without `use` only says what happens then, and comes last.
    """

    missing: tuple[str, ...] = ()
    use: str = ""
    says: str = Field(min_length=3)

    @model_validator(mode="after")
    def _missing_and_use_go_together(self) -> FallbackStep:
        if bool(self.missing) != bool(self.use.strip()):
            raise ValueError("missing, use: expected both, or neither where the step only says what happens")
        return self


class MatrixRow(Section):
    """What the segmentation matrix says of a segment besides its plan, its owner and its KPI."""

    clinical_dimension: str
    care_setting: str
    roles: tuple[str, ...] = Field(min_length=1)
    content_need: str
    content_types: tuple[str, ...] = Field(min_length=1)


class SegmentDefinition(Section):
    """An approved, named group. `enter` and `exit` are conditions over lead facts; lower `priority` wins as primary.

    The residual segment has neither: it holds every lead that no other segment holds. `exit: never` loads, and lints.
    `status`, `approval` and `replaced_by` are never written here: they come from `approvals.yaml`, whose steps name the
    `content_hash` of what somebody approved. So do `covered_from`, the first day of unbroken approval where the last
    one renewed another, and `next_review_on`, which the last review set.
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
    fallback: tuple[FallbackStep, ...] = ()
    hypothesis: str
    message_goal: str = ""
    themes: tuple[str, ...]
    proof_points: Mapping[str, str] = Field(default_factory=dict)
    key_contacts: tuple[str, ...] = ()
    offers: dict[str, tuple[str, ...]]
    calls_to_action: Mapping[str, str] = Field(default_factory=dict)
    channel_plan: tuple[ChannelName, ...]
    next_best_action: str
    matrix: MatrixRow | None = None
    author: str = Field(min_length=3)
    owner: str
    size: SizeGuardrail
    primary_kpi: str
    secondary_kpis: tuple[str, ...] = ()
    conversion_event: str
    data_sources: tuple[str, ...]
    needs: tuple[str, ...] = ()
    residual: bool = False
    review_on: date
    status: Literal["draft", "proposed", "approved", "retired"] = "draft"
    approval: Approval | None = None
    covered_from: date | None = None
    next_review_on: date | None = None
    replaced_by: str | None = None

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
        given |= {f"fallback.{place}.use": step.use for place, step in enumerate(self.fallback) if step.use}
        return {key: text for key, text in given.items() if not (key == "exit" and text.strip() == NEVER)}

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything a person wrote: a step of approval is bound to it, so any edit voids the approval."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    @property
    def content(self) -> str:
        """Everything a person wrote, as the JSON text whose SHA-256 is `content_hash`."""
        # Without defaults: a key that a later release adds leaves what was approved before as it was.
        written = self.model_dump(mode="json", exclude_defaults=True, exclude=_RESOLVED)
        return json.dumps(written, sort_keys=True, ensure_ascii=False)

    @property
    def due_on(self) -> date:
        """When the segment is to be reviewed next: as its last review said, else as its definition says."""
        return self.next_review_on or self.review_on

    def is_active(self, on: date) -> bool:
        """Whether a named person's approval covers this day; the last day of an approval still counts."""
        approval = self.approval
        return approval is not None and (self.covered_from or approval.on) <= on <= approval.expires_on


class LeadStatus(Section):
    """What a lead is in for a while, such as a booked meeting: never a segment, never primary, never picks a model.

    While `when` is surely true, memberships of segments of these `purposes` have the status `membership`. Of several
    statuses that hold at once the first declared decides that.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")
    title: str
    when: str
    membership: Literal["active", "paused", "follow_up"]
    purposes: tuple[Literal["medical_education", "promotional"], ...] = ("medical_education", "promotional")
    says: str
    owner: str
