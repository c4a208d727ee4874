"""Which segments a person has to look at, and why: dates, campaigns that ended, launches, edits without an approval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from configs.approvals import ApprovalStep, steps_by_segment
from configs.definitions import SegmentDefinition
from configs.settings import Settings
from configs.triggers import reviews_due
from features.intake.campaigns import Campaign

DueCode = Literal[
    "REVIEW_DUE",
    "REVIEW_SOON",
    "APPROVAL_EXPIRED",
    "APPROVAL_ENDS",
    "CAMPAIGN_ENDED",
    "LAUNCH",
    "EDITED",
    "WAITS",
    "HYPOTHESIS_CHANGED",
    "HYPOTHESIS_DROPPED",
]


@dataclass(frozen=True, slots=True)
class Due:
    """One reason to look at a segment; `urgent` where it holds nobody, or a date has passed."""

    code: DueCode
    says: str
    urgent: bool = False


def due_of(settings: Settings, on: date, campaigns: Sequence[Campaign] = ()) -> Mapping[str, tuple[Due, ...]]:
    """For each segment that somebody proposed or approved, the reasons to look at it on a day; maybe none.

    Retired segments and drafts that nobody proposed since are not in it.
    """
    by_segment = steps_by_segment([step for step in settings.approvals if step.on <= on])
    found: dict[str, tuple[Due, ...]] = {}
    for definition in sorted(settings.segments, key=lambda d: (d.priority, d.id)):
        steps = by_segment.get(definition.id, [])
        begun = definition.status == "draft" and steps and steps[-1].step == "retired"
        if definition.status != "retired" and steps and not begun:
            found[definition.id] = tuple(_reasons(definition, steps, settings, on, campaigns))
    return found


def last_looked_on(steps: Sequence[ApprovalStep]) -> date | None:
    """The day somebody last approved or reviewed a segment."""
    return next((step.on for step in reversed(steps) if step.step in ("approved", "reviewed")), None)


def _reasons(
    d: SegmentDefinition, steps: Sequence[ApprovalStep], settings: Settings, on: date, campaigns: Sequence[Campaign]
) -> Iterator[Due]:
    soon = on + timedelta(days=settings.governance.review.within_days)
    if d.status == "draft":
        last = steps[-1]
        yield Due("EDITED", f"edited since it was {last.step} on {last.on.isoformat()}: it holds nobody", urgent=True)
    if d.status == "proposed":
        asked = [step.on for step in steps if step.step == "proposed"][-1]
        yield Due("WAITS", f"proposed on {asked.isoformat()}, waits for a decision")
    if d.approval is not None:
        ends = d.approval.expires_on
        if ends < on:
            yield Due("APPROVAL_EXPIRED", f"the approval ended on {ends.isoformat()}: it holds nobody", urgent=True)
        elif ends <= soon:
            yield Due("APPROVAL_ENDS", f"the approval ends on {ends.isoformat()}, in {(ends - on).days} days")
    if d.due_on <= on:
        yield Due("REVIEW_DUE", f"the review was due on {d.due_on.isoformat()}", urgent=d.due_on < on)
    elif d.due_on <= soon:
        yield Due("REVIEW_SOON", f"the review is due on {d.due_on.isoformat()}, in {(d.due_on - on).days} days")
    looked = last_looked_on(steps)
    if looked is not None:
        yield from _since(d, settings, looked, on, campaigns)
    reviewed = steps[-1] if steps[-1].step == "reviewed" and steps[-1].definition == d.content_hash else None
    if reviewed is not None and reviewed.outcome == "changed":
        yield Due("HYPOTHESIS_CHANGED", f"on {reviewed.on.isoformat()} its hypothesis changed: write a new version")
    if reviewed is not None and reviewed.outcome == "dropped":
        yield Due("HYPOTHESIS_DROPPED", f"on {reviewed.on.isoformat()} its hypothesis was dropped: retire it")


def _since(
    d: SegmentDefinition, settings: Settings, looked: date, on: date, campaigns: Sequence[Campaign]
) -> Iterator[Due]:
    """What happened after somebody last looked."""
    ended = [
        (c.ended_on, c.campaign_id)
        for c in campaigns
        if d.id in c.segment_ids and c.ended_on is not None and looked < c.ended_on <= on
    ]
    if ended:
        last, campaign_id = max(ended)
        more = f" and {len(ended) - 1} before it" if len(ended) > 1 else ""
        yield Due("CAMPAIGN_ENDED", f"campaign {campaign_id} ended on {last.isoformat()}{more}")
    for said in reviews_due(settings.triggers, looked, on).get(d.id, ()):
        yield Due("LAUNCH", said)
