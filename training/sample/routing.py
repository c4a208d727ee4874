"""A routing policy over made leads: who is worked on by score, who by chance, and who is not, so that nothing is known.

The true chance of every lead is known in the sample world, so that what learning from routed leads alone gets wrong can
be measured on all leads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Routing:
    """How leads were chosen for sales: the share worked on by score, and that tried and held out at random.

    `hunch` says how much a person's own impression of the lead, which no column holds, moves the score; with `hunch` 0
    the choice follows from what is on record.
    """

    worked_share: float = 0.25
    exploration_share: float = 0.05
    holdout_share: float = 0.05
    hunch: float = 0.0


@dataclass(frozen=True, slots=True)
class Routed:
    """For each lead whether sales worked on it, so that its outcome is seen, and how likely that was beforehand."""

    worked: NDArray[np.bool_]
    propensity: Floats


def route(rng: Generator, score: Floats, impression: Floats, routing: Routing) -> Routed:
    """Choose whom sales works on; `impression` is a person's own reading of each lead, standardized like the score."""
    ranked = _standard(score) + routing.hunch * _standard(impression)
    cut = np.quantile(ranked, 1 - routing.worked_share)
    high = ranked > cut
    propensity = np.where(high, 1 - routing.holdout_share, routing.exploration_share)
    return Routed(rng.random(len(score)) < propensity, propensity)


def _standard(values: Floats) -> Floats:
    spread = float(values.std())
    return np.asarray((values - values.mean()) / (spread if spread > 0 else 1.0))
