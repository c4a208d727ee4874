"""Numbers that a review rests on: what changed, what is read, and what splits a segment.

Intervals are those of `models/shares.py`; where many questions are asked at once, their number is told to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from configs.definitions import SegmentDefinition
from configs.governance import ReviewRules
from models.segments.review_due import Due
from models.shares import Share, newcombe, z_for
from training.reviews.amendments import Amendment
from training.reviews.diagnosis import Diagnosis
from training.reviews.feedback import Feedback

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """Two shares, earlier and later, and the interval of their difference (later minus earlier)."""

    before: Share
    now: Share
    low: float
    high: float
    drifted: bool

    @property
    def ratio(self) -> float:
        """Later over earlier; infinite where it was nothing."""
        if not self.before.rate:
            return float("inf") if self.now.rate else 1.0
        return self.now.rate / self.before.rate


@dataclass(frozen=True, slots=True)
class Split:
    """A value of one fact inside a segment whose members differ from the other members.

    `about` is `conversion`, or the topic that the two read differently.
    """

    fact: str
    value: str
    about: str
    inside: Share
    others: Share
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Point:
    """A segment at one instant: its size, and what came of its members where the horizon is over."""

    on: date
    size: Share
    converted: Share | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What members read in the window: on offered topics, on which others, and which offers nobody touched.

    `offered` and `of_all` are shares of reading on offered topics, by members and by all leads; `best` is what as many
    topics could cover at most, and `match` the one in terms of the other: None where a segment offers nothing with a
    topic, or too few members read. `missing` are topics that nothing offered is about, with their share of the reading.
    `untouched` are assets with how often each was sent to members.
    """

    members: int
    offered: float
    of_all: float
    best: float
    match: float | None
    topics: tuple[str, ...]
    missing: tuple[tuple[str, float], ...]
    untouched: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Another segment that shares members: Jaccard index now and then, and which part of this one is in it now."""

    other: str
    jaccard: float
    before: float
    inside: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a person may want to do, and why."""

    kind: Literal["keep", "split", "merge", "retire", "adjust"]
    says: str
    other: str | None = None


@dataclass(frozen=True, slots=True)
class SegmentReview:
    """Everything about one segment: why it is due, the signs in the data, and what may be done.

    `like_for_like` is the change of size among leads of whom every field of the entry condition is known. `amendments`
    are changes that feedback of sales speaks for, `diagnosis` where to look where results are weak.
    """

    definition: SegmentDefinition
    due: tuple[Due, ...]
    points: tuple[Point, ...]
    size: Change | None
    like_for_like: Change | None
    conversion: Change | None
    converts_by: tuple[str, ...]
    reading: Reading
    overlaps: tuple[Overlap, ...]
    splits: tuple[Split, ...]
    feedback: Feedback | None = None
    signs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    amendments: tuple[Amendment, ...] = ()
    diagnosis: Diagnosis | None = None

    @property
    def members(self) -> int:
        """Members now."""
        return self.points[-1].size.hits

    @property
    def leads(self) -> int:
        """Leads known now."""
        return self.points[-1].size.of


@dataclass(frozen=True, slots=True)
class Review:
    """The review of the whole map as of an instant; without data there are only reasons to look.

    `feedback` is what sales said of all leads: where it took fewer than before, the model is to be trained again.
    """

    as_of: datetime
    leads: int
    horizon_days: int
    back_days: int
    due: Mapping[str, tuple[Due, ...]]
    segments: tuple[SegmentReview, ...]
    feedback: Feedback | None = None


def change_of(before: Share, now: Share, ratio: float, min_of: int, questions: int) -> Change | None:
    """What became of a share; None where either is of fewer than `min_of`. Drifted: by the ratio, and surely."""
    if min(before.of, now.of) < min_of:
        return None
    low, high = newcombe(now, before, z_for(questions))
    found = Change(before, now, low, high, drifted=False)
    moved = found.ratio >= ratio or found.ratio <= 1 / ratio
    shown = newcombe(now, before)
    return Change(before, now, *shown, drifted=moved and (low > 0 or high < 0))


def splits_by_rate(
    member: Bools,
    reached: Bools,
    earlier: tuple[Bools, Bools, Mapping[str, NDArray[Any]]],
    facts: Mapping[str, NDArray[Any]],
    values: Mapping[str, Sequence[str]],
    rules: ReviewRules,
) -> Split | None:
    """The value of a fact whose members convert at least `split_ratio` times as often, or as rarely, as the others.

    It must be sure after all questions, and be seen again in the cohort one horizon earlier.

    Args:
        member: who was in the segment when the cohort began.
        reached: who converted within the horizon.
        earlier: the same two of the cohort before, and its facts.
        facts: codes by fact, 0 unknown, one a lead.
        values: the values of each fact, that of code 1 first.
        rules: what counts as a difference.
    """
    pairs = list(_pairs(member, reached, facts, values, rules.min_leads))
    before = {(f, v): (i, o) for f, v, i, o in _pairs(earlier[0], earlier[1], earlier[2], values, rules.min_leads)}
    found = []
    for fact, value, inside, others in pairs:
        low, high = newcombe(inside, others, z_for(len(pairs)))
        if not (low > 0 or high < 0) or not _apart(inside, others, rules.split_ratio):
            continue
        then = newcombe(*before[fact, value]) if (fact, value) in before else (0.0, 0.0)
        if (then[0] > 0 and low > 0) or (then[1] < 0 and high < 0):
            found.append(Split(fact, value, "conversion", inside, others, *newcombe(inside, others)))
    return max(found, key=lambda split: (abs(_middle(split)), split.fact, split.value), default=None)


def splits_by_need(
    member: Bools,
    read: NDArray[np.int64],
    topics: Sequence[str],
    facts: Mapping[str, NDArray[Any]],
    values: Mapping[str, Sequence[str]],
    rules: ReviewRules,
) -> Split | None:
    """The value of a fact whose members read most about another topic than the others do.

    `read` is the topic each lead read most about, 0 where it read too little to tell.
    """
    telling = member & (read > 0)
    most = np.bincount(read[telling], minlength=len(topics) + 1).argsort(kind="stable")[::-1][:3]
    asked = [
        (topic, *pair)
        for topic in most.tolist()
        if topic > 0
        for pair in _pairs(telling, read == topic, facts, values, rules.min_leads)
    ]
    found = []
    for topic, fact, value, inside, others in asked:
        low, high = newcombe(inside, others, z_for(len(asked)))
        if (low > 0 or high < 0) and abs(inside.rate - others.rate) >= rules.need_gap:
            found.append(Split(fact, value, topics[topic - 1], inside, others, *newcombe(inside, others)))
    return max(found, key=lambda split: (abs(_middle(split)), split.fact, split.value), default=None)


def _pairs(
    member: Bools,
    reached: Bools,
    facts: Mapping[str, NDArray[Any]],
    values: Mapping[str, Sequence[str]],
    min_leads: int,
) -> Iterator[tuple[str, str, Share, Share]]:
    """(fact, value, those who have it, the others whose value is known), both large enough."""
    rows = np.flatnonzero(member)
    hit = reached[rows]
    for fact, column in facts.items():
        codes = column[rows]
        own = np.bincount(codes, minlength=len(values[fact]) + 1)
        hits = np.bincount(codes[hit], minlength=len(values[fact]) + 1)
        known, known_hits = int(own[1:].sum()), int(hits[1:].sum())
        for code in range(1, len(own)):
            inside, others = int(own[code]), known - int(own[code])
            if min(inside, others) >= min_leads:
                yield (
                    fact,
                    values[fact][code - 1],
                    Share(int(hits[code]), inside),
                    Share(known_hits - int(hits[code]), others),
                )


def _apart(left: Share, right: Share, ratio: float) -> bool:
    return left.rate >= ratio * right.rate or right.rate >= ratio * left.rate


def _middle(split: Split) -> float:
    return split.inside.rate - split.others.rate
