"""How much of the outcome one thing tells about accounts it was not measured on, and how sure that is.

The measure is the share of the outcome's log-loss that goes away when each row is given the rate of its bin instead of
the overall rate: McFadden's R-squared (Frontiers in Econometrics, 1974) out of fold. 0 is nothing, 1 is everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

BINS = 32
# Rows that a bin's rate starts with at the overall rate: a rare value alone proves little.
PRIOR_ROWS = 5.0
# Bounds are so many standard errors off: among a thousand honest columns none is beyond by chance.
SURE = 4.0


@dataclass(frozen=True, slots=True)
class Told:
    """The share of the outcome told, its standard error over accounts, and the lower bound."""

    share: float
    error: float

    @property
    def low(self) -> float:
        """The share that it tells at least."""
        return self.share - SURE * self.error


@dataclass(frozen=True, slots=True)
class Judging:
    """What a column is held against: outcome, fold and account of each row, and the loss without any column.

    `part` is the fold and `cluster` the account, both numbered from 0; `base` is the rate of the other folds.
    """

    y: Floats
    part: Rows
    parts: int
    cluster: Rows
    base: Floats
    loss: Floats

    @classmethod
    def of(cls, y: Floats, fold: Rows, root: Rows) -> Judging:
        """Prepare the rows; accounts stay whole in a fold as the data set made them."""
        part = np.unique(fold, return_inverse=True)[1].ravel().astype(np.int64)
        cluster = np.unique(root, return_inverse=True)[1].ravel().astype(np.int64)
        parts = int(part.max(initial=-1)) + 1
        rows, hits = np.bincount(part, minlength=parts), np.bincount(part, weights=y, minlength=parts)
        # Half a row of each kind, so that no fold without the outcome makes a loss infinite.
        base = ((hits.sum() - hits + 0.5) / (rows.sum() - rows + 1.0))[part]
        return cls(y, part, parts, cluster, base, loss_of(base, y))

    def told(self, bins: Rows) -> Told:
        """What a column says whose value in each row is in one of these bins, numbered from 0."""
        size = int(bins.max(initial=0)) + 1
        place = self.part * size + bins
        shape = (self.parts, size)
        rows = np.bincount(place, minlength=self.parts * size).reshape(shape)
        hits = np.bincount(place, weights=self.y, minlength=self.parts * size).reshape(shape)
        elsewhere, won = (rows.sum(axis=0) - rows)[self.part, bins], (hits.sum(axis=0) - hits)[self.part, bins]
        rate = (won + PRIOR_ROWS * self.base) / (elsewhere + PRIOR_ROWS)
        gain = self.loss - loss_of(rate, self.y)
        return self.share_of(gain)

    def share_of(self, gain: Floats) -> Told:
        """Share of the loss that gains of rows make up; its error counts an account once, however many rows it has."""
        whole, total = float(self.loss.sum()), float(gain.sum())
        if len(gain) < 2 or whole <= 0.0:
            return Told(0.0, np.inf)
        share = total / whole
        spread = np.bincount(self.cluster, weights=gain - share * self.loss)
        return Told(share, float(np.sqrt((spread**2).sum())) / whole)

    def only(self, rows: NDArray[np.bool_]) -> Judging:
        """The same for some of the rows."""
        return Judging.of(self.y[rows], self.part[rows], self.cluster[rows])


def loss_of(rate: Floats, y: Floats) -> Floats:
    """Log-loss of each row."""
    return np.asarray(-np.log(np.where(y > 0, rate, 1.0 - rate)))


def bins_of(column: Floats, categorical: bool) -> Rows:
    """The bin of each row's value, 0 where it is missing: the category itself, or one of 32 of equal size."""
    known = ~np.isnan(column)
    found = np.zeros(len(column), dtype=np.int64)
    if not known.any():
        return found
    values = column[known]
    if categorical:
        found[known] = 1 + np.unique(values, return_inverse=True)[1].ravel()
        return found
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, BINS + 1)[1:-1], method="higher"))
    # A value that many rows have is a bin of its own: zero is often a state and not an amount.
    found[known] = 1 + np.searchsorted(edges, values, side="left") + np.searchsorted(edges, values, side="right")
    return found


def sample_of(root: Rows, most: int) -> NDArray[np.bool_]:
    """Whole accounts, evenly over their numbers, with about `most` rows in all; every row where there are no more."""
    if len(root) <= most:
        return np.ones(len(root), dtype=np.bool_)
    ids = np.unique(root)
    kept = ids[np.linspace(0, len(ids) - 1, max(2, len(ids) * most // len(root))).astype(np.int64)]
    return np.asarray(np.isin(root, kept))


def named(columns: Sequence[str], most: int = 3) -> str:
    """Names as a sentence lists them, the first few."""
    more = len(columns) - most
    return ", ".join(columns[:most]) + (f" and {more} more" if more > 0 else "")
