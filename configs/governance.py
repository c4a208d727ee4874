"""What `governance.yaml` holds: how long an approval lasts, and what a review of a segment looks for."""

from __future__ import annotations

from pydantic import Field

from configs.section import Section


class ApprovalRules(Section):
    """Limits of a decision about a segment."""

    max_days: int = Field(default=1_096, ge=1, description="longest time from an approval to its last day")


class ReviewRules(Section):
    """When a segment is due, and from which difference on the evidence speaks.

    Shares are between 0 and 1. Differences count only where their interval leaves zero out.
    """

    within_days: int = Field(default=30, ge=0, description="a date so many days ahead is due already")
    back_days: int = Field(default=90, ge=1, description="how far back size, overlap and reading are compared")
    points: int = Field(default=7, ge=2, le=24, description="instants of the pictures over time")
    every_days: int = Field(default=30, ge=1, description="days between two of them")
    min_leads: int = Field(default=50, ge=2, description="fewer leads are not judged")
    size_ratio: float = Field(default=1.25, gt=1, description="a share that grew or shrank by this factor has drifted")
    conversion_ratio: float = Field(default=1.5, gt=1, description="the same for the conversion rate")
    split_ratio: float = Field(default=2.0, gt=1, description="two rates inside one segment that far apart split it")
    need_gap: float = Field(default=0.3, gt=0, lt=1, description="difference in what is read that splits a segment")
    min_match: float = Field(default=0.5, gt=0, lt=1, description="reading on offered topics, of what is possible")
    overlap: float = Field(default=0.8, gt=0, le=1, description="Jaccard index from which two segments are one")
    inside: float = Field(default=0.9, gt=0, le=1, description="share of members in another segment that merges it")
    overlap_growth: float = Field(default=0.15, gt=0, lt=1, description="growth of a Jaccard index that is told")


class GovernanceSettings(Section):
    """How segments are decided on and looked at again."""

    approval: ApprovalRules = ApprovalRules()
    review: ReviewRules = ReviewRules()
