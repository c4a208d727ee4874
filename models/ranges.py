"""What values training has seen of each feature: an answer that rests on others is a guess and is not given a band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A few rows of training may hold junk themselves; the range is that of the others.
IGNORED_SHARE = 1e-4
IGNORED_ROWS = 3
# Later values may lie this much of the range beyond it: counts grow, and trees answer there as at the edge.
MARGIN = 0.5


@dataclass(frozen=True, slots=True)
class Ranges:
    """Lowest and highest believable value of each feature, shape (columns, 2); infinite where anything goes."""

    table: Floats

    @classmethod
    def everything(cls, columns: int) -> Ranges:
        """Ranges that no value is outside of."""
        return cls(np.tile([-np.inf, np.inf], (columns, 1)))

    @classmethod
    def of(cls, X: Floats, categorical: Sequence[int]) -> Ranges:
        """Ranges of the columns of training rows, with a margin; a category is never outside.

        INVARIANT: no margin crosses zero. What was never negative in training is outside its range below zero.
        """
        table = cls.everything(X.shape[1]).table
        for column in sorted(set(range(X.shape[1])) - set(categorical)):
            values = X[:, column][np.isfinite(X[:, column])]
            skipped = max(IGNORED_ROWS, int(len(values) * IGNORED_SHARE))
            if len(values) <= 4 * skipped:
                continue
            parted = np.partition(values, (skipped, len(values) - 1 - skipped))
            low, high = float(parted[skipped]), float(parted[len(values) - 1 - skipped])
            if low == high:
                # One value nearly always: the rare others are all that training knows beyond it.
                low, high = float(values.min()), float(values.max())
            room = MARGIN * (high - low)
            table[column] = (
                (max(low - room, 0.0) if low >= 0 else low - room),
                (min(high + room, 0.0) if high <= 0 else high + room),
            )
        return cls(table)

    def to_json(self) -> list[list[float | None]]:
        """Rows of (lowest, highest), null where there is no limit."""
        return [[value if np.isfinite(value) else None for value in row] for row in self.table.tolist()]

    @classmethod
    def from_json(cls, rows: Sequence[Sequence[float | None]]) -> Ranges:
        """Read back what `to_json` wrote; raises ValueError on rows of another shape."""
        table = np.array(rows, dtype=np.float64).reshape(-1, 2)
        return cls(np.where(np.isnan(table), [-np.inf, np.inf], table))
