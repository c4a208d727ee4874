"""Bands: readiness cut into words, and the reasons for not saying one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# INVARIANT: a band is a code of this order, 0 is unknown, and a higher probability never has a lower band.
BANDS = ("unknown", "cold", "warming", "warm", "hot")
CUT_BANDS = BANDS[1:]
# Why a band is unknown; 0 means that it is known.
REASONS = ("", "SEGMENT_UNKNOWN", "TOO_FEW_KNOWN_FEATURES", "INTERVAL_TOO_WIDE", "OUT_OF_RANGE", "COLD_START")


def cut_points(bands: Mapping[str, float]) -> NDArray[np.float64]:
    """Lowest probability of each band above cold, in order; raises ValueError where they are not rising."""
    if tuple(bands) != CUT_BANDS:
        raise ValueError(f"expected cut points for {', '.join(CUT_BANDS)} in this order")
    cuts = [bands[name] for name in CUT_BANDS]
    if cuts[0] != 0.0 or any(low >= high for low, high in pairwise(cuts)) or cuts[-1] >= 1.0:
        raise ValueError("expected cut points that start at 0, rise, and stay below 1")
    return np.array(cuts[1:], dtype=np.float64)


def bands_of(probability: NDArray[np.float64], cuts: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Band code of each probability."""
    return (1 + np.searchsorted(cuts, probability, side="right")).astype(np.uint8)
