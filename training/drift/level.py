"""The level of the outcome as it moves: a local level model on the log-odds (Harvey 1989), followed block by block.

The true shift of the level is a random walk, and each block of rows shows it with a shock of its own: a week may be
odd without the level having moved. How fast the level walks and how large shocks are is not declared but weighed: a
filter runs for every pair on a grid, and each counts by how well it foretold the blocks so far. So a few odd blocks
move little (pooling toward the line as trained) and a change that stays is followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Variances, in squared log-odds a block: of the walk of the level, and of the shock of a single block.
WALKS = np.geomspace(0.0003, 0.6, 9)
SHOCKS = np.geomspace(0.001, 1.0, 8)
# Before any block is seen a level that walks slowly and shakes a little is expected, within a factor of about twenty.
USUAL_WALK, USUAL_SHOCK, FACTOR = 0.02, 0.1, 1.5
START_VARIANCE = 0.05
MAX_STEPS = 30


@dataclass(slots=True)
class Level:
    """How far the level has moved since training. Every array has an entry for each pair of walk and shock."""

    walk: Floats = field(default_factory=lambda: np.repeat(WALKS, len(SHOCKS)))
    shock: Floats = field(default_factory=lambda: np.tile(SHOCKS, len(WALKS)))
    mean: Floats = field(default_factory=lambda: np.zeros(len(WALKS) * len(SHOCKS)))
    spread: Floats = field(default_factory=lambda: np.full(len(WALKS) * len(SHOCKS), START_VARIANCE))
    support: Floats = field(
        default_factory=lambda: (
            -0.5
            * (
                (np.log(np.repeat(WALKS, len(SHOCKS)) / USUAL_WALK) / FACTOR) ** 2
                + (np.log(np.tile(SHOCKS, len(WALKS)) / USUAL_SHOCK) / FACTOR) ** 2
            )
        )
    )
    blocks: int = 0

    @property
    def weights(self) -> Floats:
        """How much each pair counts; they sum to one."""
        found = np.exp(self.support - self.support.max())
        weights: Floats = found / found.sum()
        return weights

    @property
    def shift(self) -> float:
        """What is added to the log-odds now."""
        return float(self.weights @ self.mean)

    @property
    def variance(self) -> float:
        """How uncertain the level of the next block is: of the level, of its next step and of the block's shock."""
        ahead = self.spread + self.walk + self.shock + (self.mean - self.shift) ** 2
        return float(self.weights @ ahead)

    def observe(self, z: Floats, y: NDArray[Any]) -> None:
        """Learn from one block: calibrated log-odds of its rows and their outcomes, 0 or 1."""
        outcome = np.asarray(y, dtype=np.float64)
        before = self.spread + self.walk
        total = before + self.shock
        own = self.mean.copy()
        curvature = 1.0 / total
        # The block's own level at its most probable, by Newton's method; with one row it is hardly more than the prior.
        for _ in range(MAX_STEPS):
            p = 1.0 / (1.0 + np.exp(-np.clip(z[None, :] + own[:, None], -30.0, 30.0)))
            curvature = (p * (1.0 - p)).sum(axis=1) + 1.0 / total
            step = ((p - outcome).sum(axis=1) + (own - self.mean) / total) / curvature
            own = own - np.clip(step, -1.0, 1.0)
            if float(np.abs(step).max()) < 1e-9:
                break
        moved = z[None, :] + own[:, None]
        fit = (outcome * moved - np.logaddexp(0.0, moved)).sum(axis=1)
        # Laplace's approximation of how probable the block was.
        self.support = self.support + fit - 0.5 * (np.log(total * curvature) + (own - self.mean) ** 2 / total)
        gain = before / total
        self.mean = self.mean + gain * (own - self.mean)
        self.spread = np.maximum(before - gain**2 * (total - 1.0 / curvature), 1e-8)
        self.blocks += 1
