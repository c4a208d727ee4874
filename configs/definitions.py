"""What people approve: a segment, its entry and exit, its plan and its owner."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from configs.content import Approval, ChannelName
from configs.section import Section


class SizeGuardrail(Section):
    """Smallest and largest share of leads this segment may hold before it is flagged."""

    min_leads: int = Field(ge=0)
    max_share: float = Field(gt=0, le=1)


class SegmentDefinition(Section):
    """An approved, named group. `enter` and `exit` are conditions over lead facts; lower `priority` wins as primary."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")
    version: int = Field(ge=1)
    title: str
    unit: Literal["lead", "account"]
    purpose: Literal["medical_education", "promotional"]
    audience: tuple[str, ...]
    product: str | None = None
    priority: int = Field(ge=1, le=9999)
    enter: str
    exit: str
    min_dwell_days: int = Field(ge=0, default=0)
    reentry: Literal["allowed", "after_dwell", "never"] = "allowed"
    fallback: str
    hypothesis: str
    themes: tuple[str, ...]
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
