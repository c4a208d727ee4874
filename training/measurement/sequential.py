"""Intervals that stay valid however often one looks: the normal mixture confidence sequence.

For a sum S of increments with variance V so far, |S| <= sqrt((V + r) log((V + r) / (r a^2))) holds at all times
together with chance 1 - a (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, eq. 14). It is the mixture
sequential ratio test of Johari, Koomen, Pekelis and Walsh (2022) turned into an interval. A difference of means with
standard error s is such a sum with V = 1 / s^2 and S = difference * V. The variance is estimated, so that the promise
holds in the limit of many leads (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024); `too few` keeps the beginning
out.
"""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import lambertw


def always_valid(difference: Any, error: Any, planned_error: float, level: float) -> tuple[Any, Any]:
    """The interval of a difference at any look; tightest when the standard error is the planned one.

    INVARIANT: with no difference, the chance that any look ever leaves out zero is at most `level`, in the limit.
    """
    information = 1 / np.square(error)
    tuned = _tuning(level) / planned_error**2
    half = np.sqrt((information + tuned) * np.log((information + tuned) / (tuned * level**2))) / information
    return difference - half, difference + half


def worst_case_factor(level: float, power: float) -> float:
    """How many times as many leads a sequential test needs at most, for the same power at its last look."""
    ratio = _tuning(level)
    boundary = sqrt((1 + ratio) * log((1 + 1 / ratio) / level**2))
    power_z = float(stats.norm.ppf(power))
    fixed = float(stats.norm.ppf(1 - level / 2))
    return ((boundary + power_z) / (fixed + power_z)) ** 2


def _tuning(level: float) -> float:
    """The mixture's precision over the planned information that makes the interval tightest there (Howard et al.)."""
    branch = float(np.real(lambertw(-(level**2) / np.e, -1)))
    return 1 / (-branch - 1)
