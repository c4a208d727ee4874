"""What further targets say of a lead, in the answer and in batch columns: the same numbers, rounded the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from models.bands import REASONS
from models.further import FurtherAnswers

if TYPE_CHECKING:
    from serving.decide import Decisions

DIGITS = 6
WEAK = "NOT_BETTER_THAN_BASE_RATE"


def further_entries(decisions: Decisions, row: int) -> list[dict[str, Any]]:
    """One entry for each further target of the bundle; a probability without the evidence for it says why.

    `asked_of` tells a target that is only asked of leads that have not got there yet; nobody here knows who has.
    """
    found = []
    for answers in decisions.further:
        scores, declaration = answers.scores, answers.target.declaration
        entry = {
            "target": declaration.id,
            "says": declaration.says,
            "horizon_days": int(answers.horizon_days[row]),
            "probability": round(scores.probability.item(row), DIGITS),
            "interval": [round(scores.lower.item(row), DIGITS), round(scores.upper.item(row), DIGITS)],
        }
        reason = _reasons(answers)[scores.reason.item(row)]
        if declaration.first:
            entry["asked_of"] = "not_reached_yet"
        if reason:
            entry["reason"] = reason
        found.append(entry)
    return found


def further_columns(decisions: Decisions) -> dict[str, Any]:
    """Probability, interval, days and reason of each further target, one row a lead; none where there are none."""
    hidden = decisions.rulings.no_score
    columns: dict[str, Any] = {}
    for answers in decisions.further:
        scores, name = answers.scores, answers.target.id
        for part, values in (("probability", scores.probability), ("lower", scores.lower), ("upper", scores.upper)):
            columns[f"further_{name}_{part}"] = pa.array(np.round(values, DIGITS), mask=hidden)
        columns[f"further_{name}_horizon_days"] = pa.array(answers.horizon_days, pa.int32(), mask=hidden)
        reasons = pa.array([reason or None for reason in _reasons(answers)], pa.string())
        columns[f"further_{name}_reason"] = reasons.take(pa.array(scores.reason.astype(np.int64), mask=hidden))
    return columns


def _reasons(answers: FurtherAnswers) -> tuple[str, ...]:
    """The word for each reason code; a weak target has one for every lead."""
    return (WEAK if answers.target.declaration.weak else REASONS[0], *REASONS[1:])
