"""Facts of some of the leads, and what of them the choice of an action needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.facts import FactBuilder, Facts
from features.standing import CASES, cases
from features.tables import YES, Known
from serving.kernels import COMPLAINT_OPEN, REVIEW_OPEN


def rows_of(facts: Facts, start: int, stop: int) -> Facts:
    """Facts of some of the leads."""
    columns: Mapping[str, NDArray[Any]] = {
        name: column[start:stop] if column.shape[0] == facts.n else column for name, column in facts.columns.items()
    }
    return Facts(stop - start, facts.assets, columns)


def open_cases_of(known: Known, facts: Facts, builder: FactBuilder) -> NDArray[np.uint8]:
    """For each lead whether a complaint is open, only something to review is, or neither is known of."""
    matters = per_lead(facts, "open_case") == YES
    found = np.zeros(facts.n, dtype=np.uint8)
    if matters.any():
        # The fact is of a complaint or a legal hold: which one, only the cases tell.
        complaint = cases(known, builder.standing)[0][CASES.index("open_case")] == YES
        found[matters] = np.where(complaint[matters], COMPLAINT_OPEN, REVIEW_OPEN)
    return found


def per_lead(facts: Facts, name: str) -> NDArray[Any]:
    """A fact of the leads, one code a lead."""
    column = facts.columns[name].reshape(-1)
    return column if len(column) == facts.n else np.repeat(column[:1], facts.n)


def joined(parts: list[Any]) -> Any:
    """One of what several parts say, field by field; all are of one class."""
    names = parts[0].__dataclass_fields__
    return type(parts[0])(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
