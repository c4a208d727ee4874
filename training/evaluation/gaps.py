"""How far predictions are from what came of it in a group of leads, and how many such gaps chance alone would make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from training.evaluation.resampling import LEVEL, MIN_GROUPS, Estimate, group_of

Floats = NDArray[np.float64]

# Of the groups that are flagged, at most this share is expected to be there by chance.
FALSE_DISCOVERY_RATE = 0.10
ALPHA = 1.0 - LEVEL
# Smaller than this is how sums are rounded, and no difference of rates.
ROUNDING = 1e-9


def calibration_gap(
    y: NDArray[Any], probability: Floats, cluster: NDArray[Any] | None = None
) -> tuple[Estimate, float | None]:
    """Mean predicted minus observed rate with its 95 % interval, and the chance of such a gap where there is none.

    The variance is that of a mean over accounts (Liang and Zeger 1986) with their number less one as degrees of
    freedom. The chance is None where too few accounts vary.
    """
    off = np.asarray(probability, dtype=np.float64) - np.asarray(y, dtype=np.float64)
    if not len(off):
        return Estimate(None), None
    gap = float(off.mean())
    group, groups = group_of(len(off), cluster)
    if groups < MIN_GROUPS:
        return Estimate(gap), None
    sums = np.bincount(group, weights=off - gap, minlength=groups)
    error = float(np.sqrt(groups / (groups - 1) * np.square(sums).sum())) / len(off)
    if error == 0.0:
        return Estimate(gap, gap, gap), 1.0 if gap == 0.0 else 0.0
    half = float(student.ppf((1 + LEVEL) / 2, groups - 1)) * error
    return Estimate(gap, gap - half, gap + half), float(2 * student.sf(abs(gap) / error, groups - 1))


def beyond_chance(chances: Sequence[float | None]) -> list[bool]:
    """Which of many questions asked at once stand out, with at most a tenth of them expected to do so by chance.

    The control is that of Benjamini and Hochberg (1995). Where most stand out it would let through some whose own
    interval holds zero, which nobody would understand: each has to be beyond 5 % alone too. A question without an
    answer never stands out.
    """
    asked = {index: chance for index, chance in enumerate(chances) if chance is not None}
    found = [False] * len(chances)
    if asked:
        # Import here: statsmodels takes a second that nobody should wait for who does not evaluate.
        from statsmodels.stats.multitest import multipletests

        for index, flag in zip(
            asked, multipletests(list(asked.values()), FALSE_DISCOVERY_RATE, method="fdr_bh")[0], strict=True
        ):
            found[index] = bool(flag) and asked[index] < ALPHA
    return found


def two_sided(estimate: Estimate, draws: Floats) -> float | None:
    """Chance of a value this far from zero where there is none, by the spread of its resamples taken as normal."""
    from scipy.stats import norm

    spread = float(np.nanstd(draws)) if len(draws) and not np.isnan(draws).all() else 0.0
    if estimate.value is None or estimate.low is None:
        return None
    # Sums in another order differ in their last bits: where nothing varies, such dust is no gap.
    if abs(estimate.value) < ROUNDING:
        return 1.0
    if spread < ROUNDING:
        return 0.0
    return float(2 * norm.sf(abs(estimate.value) / spread))
