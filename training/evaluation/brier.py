"""The Brier score taken apart, and the bins of a reliability diagram.

Murphy (1973): a score of forecasts in bins is reliability minus resolution plus uncertainty. Forecasts that differ
inside a bin leave two more terms, the variance within bins and the covariance with the outcome (Stephenson, Coelho and
Jolliffe 2008, Weather and Forecasting 23). With them the parts sum to the Brier score exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.shares import wilson
from training.evaluation.resampling import group_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 10


@dataclass(frozen=True, slots=True)
class BrierParts:
    """`brier` = reliability - resolution + uncertainty + within_variance - within_covariance.

    Reliability is what calibration costs (0 is best), resolution what telling leads apart earns, uncertainty the score
    of always saying the base rate. The two terms within bins are small where bins are narrow.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_variance: float
    within_covariance: float

    @property
    def skill(self) -> float:
        """Share of the base rate's Brier score that is saved; 0 is no better than always saying the base rate."""
        return 1.0 - self.brier / self.uncertainty if self.uncertainty > 0 else 0.0


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bin: mean prediction, observed rate with its 95 % interval, and how many rows and positives carry it."""

    predicted: float
    observed: float
    low: float
    high: float
    rows: int
    positives: int


def bins_of(probability: Floats, bins: int = BINS) -> Ints:
    """Equal-mass bin of each row, from the lowest predictions up.

    INVARIANT: rows of equal prediction share a bin, so that row order never changes it; a bin may stay empty.
    """
    values, inverse, counts = np.unique(probability, return_inverse=True, return_counts=True)
    if not len(values):
        return np.empty(0, dtype=np.int64)
    middle = np.cumsum(counts) - counts / 2
    place: Ints = np.minimum(bins * middle // counts.sum(), bins - 1).astype(np.int64)
    return place[inverse.ravel()]


def decompose(y: NDArray[Any], probability: Floats, bins: int = BINS) -> BrierParts | None:
    """The parts of the Brier score over equal-mass bins; None without rows."""
    outcome = np.asarray(y, dtype=np.float64)
    if not len(outcome):
        return None
    place = np.unique(bins_of(probability, bins), return_inverse=True)[1].ravel()
    rows = np.bincount(place).astype(np.float64)
    forecast = np.bincount(place, weights=probability) / rows
    observed = np.bincount(place, weights=outcome) / rows
    share, rate = rows / len(outcome), float(outcome.mean())
    off, away = probability - forecast[place], outcome - observed[place]
    return BrierParts(
        brier=float(np.square(probability - outcome).mean()),
        reliability=float((share * np.square(forecast - observed)).sum()),
        resolution=float((share * np.square(observed - rate)).sum()),
        uncertainty=rate * (1.0 - rate),
        within_variance=float(np.square(off).mean()),
        within_covariance=float(2.0 * (off * away).mean()),
    )


def reliability_bins(
    y: NDArray[Any], probability: Floats, cluster: NDArray[Any] | None = None, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """Predicted beside observed, bin by bin; intervals are Wilson's over as many rows as are worth an independent one.

    Leads of one account behave alike: the rows of a bin are divided by their design effect (Kish 1965), at least 1.
    """
    outcome = np.asarray(y, dtype=np.float64)
    place = bins_of(probability, bins)
    group, _ = group_of(len(outcome), cluster)
    found = []
    for index in np.unique(place):
        here = np.flatnonzero(place == index)
        rows, positives = len(here), int(outcome[here].sum())
        worth = rows / design_effect(outcome[here], group[here])
        low, high = wilson(positives / rows * worth, worth)
        found.append(
            ReliabilityBin(float(probability[here].mean()), positives / rows, low, high, rows, positives),
        )
    return tuple(found)


def design_effect(values: Floats, group: Ints) -> float:
    """How many times wider than among independent rows the variance of the mean is; at least 1."""
    spread = float(np.square(values - values.mean()).sum()) if len(values) else 0.0
    if spread <= 0.0:
        return 1.0
    place = np.unique(group, return_inverse=True)[1].ravel()
    sums = np.bincount(place, weights=values - values.mean())
    return max(1.0, float(np.square(sums).sum()) / spread)
