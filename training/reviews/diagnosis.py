"""Where to look when a segment's results are weak: first whether its definition fits how people really evaluate.

A segment that selects the wrong people makes every message, offer and channel look bad, so content, stages and routing
are asked only after it. Each step gives its number, whether it speaks or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from configs.learning import LearningRules
from models.shares import Share, newcombe, z_for

if TYPE_CHECKING:
    from training.reviews.evidence import SegmentReview

Step = Literal["definition", "content", "stages", "threshold", "routing", "data"]
ORDER: Sequence[Step] = ("definition", "content", "stages", "threshold", "routing", "data")
_OF_DEFINITION = ("definition", "roles")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How members evaluate beside all others, as of now.

    `evaluating` and `others` are shares of leads whose events show evaluation or more; `elsewhere` is the share of
    members' events with a known product that are about another product than the segment's, None where it has none.
    """

    evaluating: Share
    others: Share
    elsewhere: Share | None


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that was asked, in the order in which to look: its number in words, and whether it speaks."""

    step: Step
    says: str
    speaks: bool


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A segment whose members surely convert less than all others, and where to look, in order."""

    own: Share
    others: Share
    low: float
    high: float
    points: tuple[Point, ...]

    @property
    def first(self) -> Point:
        """Where to look first: what speaks, in order; the definition where nothing does."""
        return next((point for point in self.points if point.speaks), self.points[0])


def diagnosis_of(
    found: SegmentReview, own: Share, others: Share, behaviour: Behaviour, rules: LearningRules, questions: int
) -> Diagnosis | None:
    """Where to look because a segment's results are weak; None where they are not, or too few leads tell.

    Weak: surely below the others' rate after all questions, and below it by the factor of `learning.yaml`.

    Args:
        found: the review of the segment.
        own: conversion of the members of the last cohort whose horizon is over.
        others: of everybody else, by the same outcomes.
        behaviour: how members evaluate, beside all others.
        rules: what counts as weak.
        questions: how many segments were asked.

    INVARIANT: the definition comes first, whatever else speaks.
    """
    if found.definition.residual or min(own.of, others.of) < rules.min_leads:
        return None
    if newcombe(own, others, z_for(questions))[1] >= 0 or own.rate > rules.weak_ratio * others.rate:
        return None
    points = sorted(_points(found, behaviour, rules), key=lambda point: ORDER.index(point.step))
    return Diagnosis(own, others, *newcombe(own, others), tuple(points))


def _points(found: SegmentReview, behaviour: Behaviour, rules: LearningRules) -> Iterator[Point]:
    yield from _of_definition(found, behaviour, rules)
    sent = [asset for asset, times in found.reading.untouched if times]
    offered = found.definition.offers
    says = f"sent and touched by nobody: {', '.join(sent)}" if sent else "members touched what they were sent"
    yield Point("content", says, bool(sent))
    if not any(offered.values()):
        yield Point("content", "it offers nothing at any stage", True)
    for reason in found.feedback.reasons if found.feedback is not None else ():
        step: Step = "definition" if reason.points_at in _OF_DEFINITION else reason.points_at  # type: ignore[assignment]
        if reason.points_at != "nothing":
            share = f"{reason.inside.hits:,} of {reason.inside.of:,} rejections"
            yield Point(step, f"{share} say {reason.id.replace('_', ' ')}: {reason.says}", reason.speaks)


def _of_definition(found: SegmentReview, behaviour: Behaviour, rules: LearningRules) -> Iterator[Point]:
    """The definition against how members really evaluate."""
    own, others = behaviour.evaluating, behaviour.others
    if min(own.of, others.of) >= rules.min_leads:
        fewer = newcombe(own, others)[1] < 0
        says = (
            f"{own.rate:.0%} of members show that they evaluate ({own.hits:,} of {own.of:,}), of all others "
            f"{others.rate:.0%} ({others.hits:,} of {others.of:,})"
        )
        yield Point("definition", says, fewer)
    if behaviour.elsewhere is not None and behaviour.elsewhere.of >= rules.min_leads:
        away = behaviour.elsewhere
        says = f"{away.rate:.0%} of what members did is about another product than {found.definition.product}"
        yield Point("definition", says, away.interval[0] > 0.5)
    reading = found.reading
    if reading.match is not None:
        named = ", ".join(f"{topic.replace('_', ' ')} {share:.0%}" for topic, share in reading.missing)
        more = f"; they read {named}, which nothing offered is about" if named else ""
        yield Point("definition", f"{reading.offered:.0%} of what they read is about what it offers{more}", bool(named))
    like = found.like_for_like
    if like is not None:
        says = f"its share went from {like.before.rate:.1%} to {like.now.rate:.1%} where every field is known"
        yield Point("definition", says, like.drifted)
    for split in found.splits:
        says = f"{split.fact.replace('_', ' ')} {split.value.replace('_', ' ')} differs from the rest of it"
        yield Point("definition", f"{says}: {split.inside.rate:.1%} against {split.others.rate:.1%}", True)
    if not found.splits:
        yield Point("definition", "no single fact tells its members apart", False)
