"""What sales says of leads is counted beside their segment, and a reason that stands out points at what to change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.feedback import feedback_problems
from configs.settings import load_settings
from features.tables import microseconds
from training.reviews.advice import accepted_in_words
from training.reviews.feedback import UNLISTED, Answers, answers_of, feedback_of

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
SETTINGS = load_settings()
RULES, KINDS = SETTINGS.feedback, SETTINGS.vocabularies["outcome_kind"]
DAYS = 90
Row = tuple[int, str, float, str | None]


def outcomes(rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """Columns of outcomes: lead, kind, days before `as_of` at which it was recorded, reason."""
    return {
        "lead": np.array([row[0] for row in rows], dtype=np.int32),
        "kind": np.array([KINDS.code(row[1]) for row in rows], dtype=np.uint8),
        "recorded_at": np.array([microseconds(AS_OF - timedelta(days=row[2])) for row in rows], dtype=np.int64),
        "reason": np.array([row[3] for row in rows], dtype=object),
        "feedback": np.array(["said something"] + [None] * (len(rows) - 1), dtype=object),
    }


def asked(rows: Sequence[Row]) -> Answers:
    return answers_of(outcomes(rows), KINDS, RULES, AS_OF, DAYS)


def said(leads: range, kind: str, reason: str | None) -> list[Row]:
    return [(lead, kind, 10.0, reason) for lead in leads]


# Thirty of forty members were turned down because of the framing; of sixty others six were.
FRAMED = [
    *said(range(30), "rejected", "Wrong framing"),
    *said(range(30, 40), "sal", None),
    *said(range(40, 46), "rejected", "wrong_framing"),
    *said(range(46, 100), "rejected", "budget"),
]
MEMBER = np.arange(100) < 40


def test_thirty_rejections_for_the_framing_point_at_the_content() -> None:
    found = feedback_of(asked(FRAMED), MEMBER, RULES, questions=9)
    assert found is not None
    assert (found.accepted.hits, found.accepted.of) == (10, 40)
    (reason,) = found.reasons
    assert (reason.id, reason.points_at, reason.speaks) == ("wrong_framing", "content", True)
    assert (reason.inside.hits, reason.inside.of, reason.others.hits, reason.others.of) == (30, 30, 6, 60)
    assert found.comments == 1
    assert accepted_in_words(found, DAYS) == "sales answered 40 times in 90 days and took 25%"


def test_a_reason_that_is_as_frequent_elsewhere_points_at_nothing() -> None:
    rows: list[Row] = [(i, "rejected", 10.0, "wrong framing" if i % 2 else "budget") for i in range(100)]
    found = feedback_of(asked(rows), MEMBER, RULES, questions=9)
    assert found is not None
    assert [reason.speaks for reason in found.reasons] == [False, False]


def test_few_answers_are_not_judged() -> None:
    assert feedback_of(asked(FRAMED[: RULES.min_answers - 1]), MEMBER, RULES, questions=9) is None


def test_a_fall_of_what_sales_takes_is_told_when_it_is_sure() -> None:
    before: list[Row] = [(i, "sal" if i < 80 else "rejected", 120.0, None) for i in range(100)]
    now: list[Row] = [(i, "sal" if i < 40 else "rejected", 10.0, None) for i in range(100)]
    everybody = np.ones(100, dtype=np.bool_)
    found = feedback_of(asked(before + now), everybody, RULES, questions=1)
    assert found is not None
    # 40 of 100 against 80 of 100: Newcombe's interval of the difference is -0.51 to -0.27.
    assert found.fell
    assert (round(found.low, 2), round(found.high, 2)) == (-0.51, -0.27)
    same = feedback_of(asked(before + [(i, k, 10.0, r) for i, k, _, r in before]), everybody, RULES, questions=1)
    assert same is not None and not same.fell


def test_what_is_recorded_after_the_instant_or_before_both_windows_changes_nothing() -> None:
    late: list[Row] = [
        (5, "rejected", -0.001, "too early"),
        (6, "sal", 2 * DAYS + 0.001, None),
        (7, "meeting", 5.0, None),
    ]
    assert feedback_of(asked(FRAMED + late), MEMBER, RULES, 9) == feedback_of(asked(FRAMED), MEMBER, RULES, 9)


def test_a_reason_that_nobody_listed_is_counted_as_such_and_never_shown() -> None:
    rows = [*FRAMED[:30], *said(range(30, 40), "rejected", "Ms Example was rude")]
    found = feedback_of(asked(rows), MEMBER, RULES, questions=9)
    assert found is not None
    assert [reason.id for reason in found.reasons] == ["wrong_framing", UNLISTED]
    assert not found.reasons[1].speaks
    assert "rude" not in repr(found)


def test_a_spelling_that_means_two_reasons_is_refused() -> None:
    twice = RULES.reasons[0].model_copy(update={"id": "other", "spelled": ("Wrong  FRAMING",)})
    settings = RULES.model_copy(update={"reasons": (*RULES.reasons, twice), "accepted": ("sal", "rejected", "soup")})
    problems = feedback_problems({"feedback": settings, "vocabularies": SETTINGS.vocabularies})
    assert [str(problem) for problem in problems] == [
        "feedback.yaml: accepted: expected kinds of outcome, found 'soup'",
        "feedback.yaml: rejected: rejected is among the accepted already",
        "feedback.yaml: reasons.other: 'wrong framing' means wrong_framing already",
    ]
