"""What sales and the field said of a segment's members: how many they took, why they turned others down.

An answer counts when it was recorded in the window. Whose answer it is, is asked of the segment's members at the
beginning of the window and at its end. What a comment says in free text is counted and never shown: it may name people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.feedback import FeedbackSettings, Target, folded
from configs.vocabulary import Vocabulary
from features.tables import microseconds
from models.shares import Share, newcombe, z_for

Bools = NDArray[np.bool_]
UNLISTED = "another_reason"
POINTS_AT: Mapping[Target, str] = {
    "content": "look at message goal, themes and offers",
    "roles": "look at the mapping of titles to roles, and at the roles of the entry condition",
    "definition": "look at the entry condition",
    "threshold": "hand over later: `leadwell thresholds` shows what another cut would bring",
    "stages": "look at the stages of its offers and at the stage rules",
    "routing": "look at territories, languages and capacity",
    "data": "look at the quality of its fields: `leadwell data check`",
    "nothing": "nothing of ours to change",
}


@dataclass(frozen=True, slots=True)
class ReasonGiven:
    """A reason among a segment's rejections and among all others', and the 95 % interval of the difference."""

    id: str
    says: str
    points_at: Target
    inside: Share
    others: Share
    low: float
    high: float
    speaks: bool


@dataclass(frozen=True, slots=True)
class Feedback:
    """What sales said of a segment: share accepted now and in the window before, reasons, comments.

    `low` and `high` bound the change of the share accepted; `fell` where they leave zero out, after all questions.
    """

    accepted: Share
    before: Share
    low: float
    high: float
    fell: bool
    reasons: tuple[ReasonGiven, ...]
    comments: int


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of sales in two windows of equal length: lead, accepted or not, place of the reason (-1: none named)."""

    lead: NDArray[np.int64]
    taken: Bools
    reason: NDArray[np.int64]
    comment: Bools
    late: Bools


def answers_of(
    outcomes: Mapping[str, NDArray[Any]],
    kinds: Vocabulary,
    settings: FeedbackSettings,
    as_of: datetime,
    back_days: int,
) -> Answers:
    """Every answer recorded in the two windows before `as_of`; of an unlisted reason the place is one past the last.

    INVARIANT: what was recorded after `as_of` changes nothing.
    """
    end = microseconds(as_of)
    start, middle = (microseconds(as_of - timedelta(days=k * back_days)) for k in (2, 1))
    if not outcomes:
        none = np.zeros(0, dtype=np.bool_)
        return Answers(np.zeros(0, np.int64), none, np.zeros(0, np.int64), none, none)
    recorded = outcomes["recorded_at"]
    accepted, rejected = ([kinds.code(kind) for kind in part] for part in (settings.accepted, settings.rejected))
    kept = np.isin(outcomes["kind"], accepted + rejected) & (outcomes["lead"] >= 0)
    kept &= (recorded > start) & (recorded <= end)
    taken = np.isin(outcomes["kind"][kept], accepted)
    words = outcomes["reason"][kept] if "reason" in outcomes else np.full(int(kept.sum()), None)
    comments = outcomes["feedback"][kept] if "feedback" in outcomes else np.full(int(kept.sum()), None)
    return Answers(
        lead=outcomes["lead"][kept].astype(np.int64),
        taken=taken,
        reason=np.array([_place(word, settings) for word in words.tolist()], dtype=np.int64),
        comment=np.array([bool(text) for text in comments.tolist()], dtype=np.bool_),
        late=recorded[kept] > middle,
    )


def feedback_of(answers: Answers, member: Bools, settings: FeedbackSettings, questions: int) -> Feedback | None:
    """What sales said of the leads of `member`; None where they said too little to judge."""
    inside, late = member[answers.lead], answers.late
    now, before = (
        Share(int((answers.taken & inside & when).sum()), int((inside & when).sum())) for when in (late, ~late)
    )
    if now.of < settings.min_answers:
        return None
    told = before.of >= settings.min_answers
    low, high = newcombe(now, before) if told else (0.0, 0.0)
    sure = newcombe(now, before, z_for(questions)) if told else (0.0, 0.0)
    reasons = tuple(_reasons(answers, inside & late, settings, questions))
    return Feedback(now, before, low, high, sure[1] < 0, reasons, int((answers.comment & inside & late).sum()))


def _reasons(answers: Answers, inside: Bools, settings: FeedbackSettings, questions: int) -> Iterator[ReasonGiven]:
    """Reasons among rejections, the most frequent first; one speaks when it is large and surely more than elsewhere.

    Where no other segment was turned down there is no elsewhere, and its own share must be surely above the least.
    """
    named = (*((one.id, one.says, one.points_at) for one in settings.reasons),)
    rejected, elsewhere = inside & ~answers.taken, answers.late & ~inside & ~answers.taken
    counts = np.bincount(answers.reason[rejected & (answers.reason >= 0)], minlength=len(named) + 1)
    others = np.bincount(answers.reason[elsewhere & (answers.reason >= 0)], minlength=len(named) + 1)
    asked = z_for(questions * len(named))
    nothing: Target = "nothing"
    for place in np.argsort(-counts, kind="stable").tolist():
        if not counts[place]:
            continue
        reason, says, target = named[place] if place < len(named) else (UNLISTED, "a reason nobody listed", nothing)
        own = Share(int(counts[place]), int(rejected.sum()))
        rest = Share(int(others[place]), int(elsewhere.sum()))
        low, high = newcombe(own, rest) if rest.of else (0.0, 1.0)
        large = own.of >= settings.min_answers and own.rate >= settings.min_share
        sure = newcombe(own, rest, asked)[0] > 0 if rest.of else own.interval[0] >= settings.min_share
        yield ReasonGiven(reason, says, target, own, rest, low, high, large and sure and target != "nothing")


def _place(word: object, settings: FeedbackSettings) -> int:
    if not isinstance(word, str) or not word.strip():
        return -1
    return settings.by_spelling.get(folded(word), len(settings.reasons))
