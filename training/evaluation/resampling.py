"""Bootstrap by account: how often each account is drawn, and what ranks and sums become under those draws.

Leads of one account are not independent, so accounts are drawn and not rows (Field and Welsh 2007). One set of draws
serves every model and every metric of the same rows: differences are paired, and each draw is made once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REPLICATES = 1000
MIN_REPLICATES = 200
# Resamples of fewer accounts than this are nearly all alike: their interval would be a point, and a verdict luck.
MIN_GROUPS = 5
LEVEL = 0.95
SEED = 7
_ROW_DRAWS = 40_000_000
_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval; the ends are None where they cannot be told, all where nothing can."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, draws: Floats | None = None) -> Estimate:
        """The value with the middle 95 % of its resamples; without draws it has no interval."""
        if np.isnan(value):
            return cls(None)
        found = np.empty(0) if draws is None else draws[~np.isnan(draws)]
        if not len(found):
            return cls(float(value))
        low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(float(value), float(low), float(high))

    @property
    def leaves_out_zero(self) -> bool:
        """Whether the interval lies on one side of zero; False without an interval."""
        return self.low is not None and self.high is not None and (self.low > 0.0 or self.high < 0.0)


def bounded(rows: int, most: int = REPLICATES) -> int:
    """How many resamples are worth their time on so many rows: fewer on many, where each tells more alike."""
    return min(most, max(MIN_REPLICATES, _ROW_DRAWS // max(rows, 1)))


def group_of(rows: int, cluster: NDArray[Any] | None) -> tuple[Ints, int]:
    """The number of each row's group in order of the cluster's ids, and how many there are; each row alone without."""
    if cluster is None:
        return np.arange(rows, dtype=np.int64), rows
    names, inverse = np.unique(cluster, return_inverse=True)
    return inverse.ravel().astype(np.int64), len(names)


def draws_of(groups: int, replicates: int, seed: int = SEED) -> Iterator[Floats]:
    """How often each group is drawn in each resample, in blocks of shape (resamples, groups)."""
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_CELLS // max(groups, 1))
    for start in range(0, replicates if groups else 0, block):
        size = min(block, replicates - start)
        drawn = rng.integers(0, groups, size=(size, groups)) + np.arange(size)[:, None] * groups
        yield np.bincount(drawn.ravel(), minlength=size * groups).reshape(size, groups).astype(np.float64)


def group_sums(values: Floats, group: Ints, groups: int) -> Floats:
    """Sum of each column of `values` (rows, columns) over the rows of each group; shape (groups, columns)."""
    columns = [np.bincount(group, weights=values[:, j], minlength=groups) for j in range(values.shape[1])]
    return np.stack(columns, axis=1) if columns else np.empty((groups, 0))


def resampled_sums(values: Floats, group: Ints, groups: int, replicates: int, seed: int = SEED) -> Floats:
    """Sum of each column under each resample of groups; shape (resamples, columns)."""
    sums = group_sums(values, group, groups)
    found = [weights @ sums for weights in draws_of(groups, replicates, seed)]
    return np.concatenate(found) if found else np.empty((0, values.shape[1]))


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows from the highest prediction down; `last` marks the end of a run of equal predictions."""

    order: NDArray[np.intp]
    last: NDArray[np.bool_]
    positive: NDArray[np.bool_]

    @classmethod
    def of(cls, y: NDArray[Any], probability: Floats) -> Ranking:
        """Rank rows by prediction; ties stay one run."""
        order = np.argsort(-probability, kind="stable")
        ordered = probability[order]
        last = np.ones(len(order), dtype=np.bool_)
        last[:-1] = ordered[1:] != ordered[:-1]
        return cls(order, last, np.asarray(y)[order] > 0)

    def under(self, group: Ints, weights: Floats, shares: Sequence[float] = ()) -> Floats:
        """AUC, average precision, then capture at each rising share; one row for each row of weights.

        `weights` has the shape (resamples, groups). NaN where a class has no weight.
        """
        asked = np.asarray(shares, dtype=np.float64)
        out = np.empty((len(weights), 2 + len(asked)))
        _rank(group[self.order], self.last, self.positive, np.ascontiguousarray(weights), asked, out)
        return out


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _rank(group, last, positive, weights, shares, out):  # type: ignore[no-untyped-def]
    """One pass over the ranking for every resample; rows of equal prediction count as one run."""
    for b in range(weights.shape[0]):
        total, positives = 0.0, 0.0
        for i in range(len(group)):
            w = weights[b, group[i]]
            total += w
            if positive[i]:
                positives += w
        negatives = total - positives
        if positives <= 0.0 or negatives < 0.0 or total <= 0.0:
            out[b, :] = np.nan
            continue
        seen, hits, run, run_hits = 0.0, 0.0, 0.0, 0.0
        pairs, precision, share = 0.0, 0.0, 0
        for i in range(len(group)):
            w = weights[b, group[i]]
            run += w
            if positive[i]:
                run_hits += w
            if not last[i]:
                continue
            if run > 0.0:
                # A negative below counts one, one of the same prediction a half.
                below = negatives - (seen - hits) - (run - run_hits)
                pairs += run_hits * (below + 0.5 * (run - run_hits))
                # A run that the cut goes through gives its positives in proportion.
                while share < len(shares):
                    wanted = np.ceil(shares[share] * total - 1e-9)
                    if wanted > seen + run:
                        break
                    out[b, 2 + share] = (hits + run_hits * (wanted - seen) / run) / positives
                    share += 1
                seen += run
                hits += run_hits
                precision += run_hits * hits / seen
                run, run_hits = 0.0, 0.0
        while share < len(shares):
            out[b, 2 + share] = 1.0
            share += 1
        out[b, 0] = pairs / (positives * negatives) if negatives > 0.0 else np.nan
        out[b, 1] = precision / positives
