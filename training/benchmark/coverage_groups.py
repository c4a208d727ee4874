"""How often the 80 % interval of a group of leads holds the share of them that had the outcome, on a real export.

Nobody knows the true probability of a real lead, so the promise is about groups. Definition: the model learns from the
first part of the export in its declared order and is asked about the next tenth; then from a longer part, and so on. A
group is the leads of that tenth with one value of a column (thirds of a number) in one fifth of the predicted
probability, of at least `MIN_LEADS`. Its interval (`models.alike.group_interval`) is of the share of its leads with
the outcome: the model's error on leads that look alike, and the drawing of so many outcomes. Nominal is met when that
share lies inside for 80 % of the groups, each origin counting alike. A lead is in many groups, so groups do not count
as independent: the spread over the origins says how sure the result is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from models.alike import cells, group_interval
from models.calibration import Z_80
from models.intervals import Hidden
from models.scores import Readiness, Scores
from training.dataset.dataset import Dataset
from training.train import Progress, fit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ORIGINS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
AHEAD = 0.1
MIN_LEADS = 30
FACTORS = (0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class OriginCoverage:
    """One origin: rows before it, leads after it, groups, and the share of groups covered at each of `FACTORS`."""

    origin: float
    trained_rows: int
    leads: int
    groups: int
    shares: tuple[float, ...]
    without_model_error: float
    hidden: Hidden


@dataclass(frozen=True, slots=True)
class GroupCoverage:
    """Coverage by groups over all origins, its standard error over them, and that of deliberately wrong widths."""

    share: float
    error: float
    narrow: float
    wide: float
    without_model_error: float
    origins: tuple[OriginCoverage, ...]


def measure_groups(
    dataset: Dataset, settings: Settings, progress: Progress, origins: Sequence[float] = ORIGINS
) -> GroupCoverage:
    """Coverage by groups on later rows of a flat export; raises ValueError where no origin has a group."""
    rank = np.argsort(np.argsort(dataset.order, kind="stable"), kind="stable") / len(dataset.y)
    found = []
    for number, origin in enumerate(origins):
        progress(f"learning from the first {origin:.0%}", number / len(origins))
        later = (rank >= origin) & (rank < origin + AHEAD)
        before = (rank < origin) & ~np.isin(dataset.root, np.unique(dataset.root[later]))
        readiness = fit(dataset, settings, before)
        one = _at_origin(dataset, readiness, origin, later, int(before.sum()))
        if one.groups:
            found.append(one)
    if not found:
        raise ValueError("no group of leads is large enough to be judged")
    shares = np.array([one.shares for one in found])
    narrow, as_given, wide = shares.mean(axis=0).tolist()
    return GroupCoverage(
        share=as_given,
        error=float(shares[:, 1].std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else float("nan"),
        narrow=narrow,
        wide=wide,
        without_model_error=float(np.mean([one.without_model_error for one in found])),
        origins=tuple(found),
    )


def _at_origin(dataset: Dataset, readiness: Readiness, origin: float, later: Bools, rows: int) -> OriginCoverage:
    X, y = dataset.X[later], dataset.y[later]
    scores = readiness.predict(X, dataset.segment[later])
    inside: list[list[bool]] = []
    alone: list[bool] = []
    for chosen in _groups(X, dataset.spec.categorical, scores):
        mean, low, high = group_interval(scores, readiness, chosen)
        share = float(y[chosen].mean())
        inside.append([mean - (mean - low) * f <= share <= mean + (high - mean) * f for f in FACTORS])
        p = scores.probability[chosen]
        alone.append(abs(share - mean) <= Z_80 * np.sqrt((p * (1 - p)).sum()) / len(p))
    shares = tuple(np.mean(inside, axis=0).tolist()) if inside else (0.0,) * len(FACTORS)
    return OriginCoverage(
        origin,
        rows,
        int(later.sum()),
        len(inside),
        shares,
        float(np.mean(alone)) if alone else 0.0,
        replace(readiness.hidden),
    )


def _groups(X: Floats, categorical: Sequence[int], scores: Scores) -> Iterator[Bools]:
    for column in range(X.shape[1]):
        cell = cells(X[:, column], column in categorical, scores.probability)
        if cell is not None:
            sizes = np.bincount(cell)
            for one in np.flatnonzero(sizes >= MIN_LEADS):
                yield cell == one
