"""Which of many differences between two nights are beyond noise, said about all of them at once.

Two nights hold mostly the same leads, so they are not two samples: a share that moved by what a few leads did is known
far better than two samples of that size would tell. Without drift the two nights of an account could be exchanged. So
accounts are put into groups, old and new are exchanged in each group by the toss of a coin, and the largest of all
standardized differences is noted each time: the level that it rarely exceeds is that of noise (Westfall and Young
1993, single-step maxT; the exchange is a sign flip of each group's part, as in Pitman's test for pairs). Leads that
came or went are in it: theirs is a night without them. What only a handful of groups did can never exceed the level.

INVARIANT: without drift anything at all is called beyond noise in at most the declared share of comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SEED = 20_260_630
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Panel:
    """Counts by group of accounts on two nights: how many rows, and how many of them have each of some things.

    `of` is float64[groups], `hits` is float64[groups, things], each for (earlier, later).
    """

    of: tuple[Floats, Floats]
    hits: tuple[Floats, Floats]

    @property
    def rates(self) -> tuple[Floats, Floats]:
        """The share of each thing on both nights; 0 of nobody."""
        first, second = (h.sum(axis=0) / max(float(n.sum()), 1.0) for h, n in zip(self.hits, self.of, strict=True))
        return first, second


@dataclass(frozen=True, slots=True)
class Difference:
    """Later minus earlier share of each thing, with limits that hold for all things of all panels together.

    `beyond` is where the limits leave out zero; each is float64[things] or bool[things].
    """

    value: Floats
    low: Floats
    high: Floats
    beyond: NDArray[np.bool_]


def differences(panels: Sequence[Panel], *, flips: int, level: float) -> tuple[Difference, ...]:
    """One difference for each panel, judged jointly: the groups of all panels must be the same groups.

    Args:
        panels: at least one, each with the same number of groups.
        flips: how often old and new are exchanged.
        level: chance that anything at all is called beyond noise where nothing drifts.
    """
    parts = [_parts(panel) for panel in panels]
    norms = [np.sqrt((part**2).sum(axis=0)) for part in parts]
    signs = coins(flips, len(panels[0].of[0]))
    largest = np.zeros(flips)
    for part, norm in zip(parts, norms, strict=True):
        moved = norm > 0
        if moved.any():
            scaled = (part[:, moved] / norm[moved]).astype(np.float32)
            np.maximum(largest, np.abs(signs @ scaled).max(axis=1), out=largest)
    limit = critical(largest, level)
    found = []
    for panel, norm in zip(panels, norms, strict=True):
        first, second = panel.rates
        value = second - first
        reach = _reach(value, norm, limit, int(((panel.of[0] + panel.of[1]) > 0).sum()))
        # Exchanges are counted in single precision: a difference on the limit is noise.
        beyond = (norm > 0) & (np.abs(value) > reach * (1 + 1e-5))
        low, high = np.maximum(value - reach, -1.0), np.minimum(value + reach, 1.0)
        low, high = np.where(beyond, low, np.minimum(low, 0.0)), np.where(beyond, high, np.maximum(high, 0.0))
        found.append(Difference(value, low, high, beyond))
    return tuple(found)


def _reach(value: Floats, norm: Floats, limit: float, groups: int) -> Floats:
    """Half the width of the limits, from the spread of the groups around their mean.

    The exchange judges value / norm, whose norm holds the drift itself: norm**2 = spread**2 + value**2 / groups. Solved
    for the spread, as a t from a correlation: |value| > reach exactly where |value| > limit * norm.
    """
    room = 1.0 - limit**2 / max(groups, 1)
    if room <= 1e-9:  # so few groups that no exchange of them can ever be rare
        return np.where(norm > 0, np.inf, 0.0)
    spread = np.sqrt(np.maximum(norm**2 - value**2 / groups, 0.0))
    found: Floats = limit * spread / np.sqrt(room)
    return found


@cache
def coins(flips: int, groups: int) -> NDArray[np.float32]:
    """The same tosses every time: +1 or -1 as float32[flips, groups]."""
    rng = np.random.default_rng(SEED)
    return (rng.integers(0, 2, (flips, groups), dtype=np.int8) * 2 - 1).astype(np.float32)


@cache
def weights(draws: int, groups: int) -> NDArray[np.float32]:
    """How often each group is in each of so many samples of the groups: float32[draws, groups], Poisson of mean 1."""
    return np.random.default_rng(SEED).poisson(1.0, (draws, groups)).astype(np.float32)


def critical(largest: Floats, level: float) -> float:
    """The level of noise: so rarely exceeded by chance, the observed night counting as one of the exchanges."""
    # Phipson and Smyth (2010): (exceeding + 1) / (flips + 1) <= level decides which value is the last one of noise.
    allowed = int(np.floor(level * (len(largest) + 1))) - 1
    return float(np.sort(largest)[len(largest) - 1 - max(allowed, 0)])


def indices(bins: tuple[Floats, Floats]) -> float:
    """Population stability index (Siddiqi 2006) of two counts over the same bins, half a row added to each."""
    return float(_indices(bins[0][None, :], bins[1][None, :])[0])


def index_limits(
    pairs: Sequence[tuple[Floats, Floats]], *, flips: int, level: float
) -> list[tuple[float, float, float]]:
    """Of each pair a PSI's 95 % limits by drawing groups anew, and what it stays below without drift.

    Args:
        pairs: rows by group and bin of the earlier and the later night, float64[groups, bins] each.
        flips: how often groups are drawn, and how often old and new are exchanged.
        level: share of exchanges that may be above what is called noise.
    """
    if not pairs:
        return []
    earlier, later = (np.concatenate([pair[at] for pair in pairs], axis=1) for at in (0, 1))
    drawn, tossed = weights(flips, len(earlier)), coins(flips, len(earlier))
    # Counts of leads are whole numbers far below 2**24, so single precision holds them.
    sides = [(drawn @ side.astype(np.float32)).astype(np.float64) for side in (earlier, later)]
    gap = (tossed @ (later - earlier).astype(np.float32)).astype(np.float64)
    together = earlier.sum(axis=0) + later.sum(axis=0)
    ends = np.cumsum([pair[0].shape[1] for pair in pairs])
    found = []
    for pair, end in zip(pairs, ends.tolist(), strict=True):
        own = slice(end - pair[0].shape[1], end)
        low, high = np.quantile(_indices(sides[0][:, own], sides[1][:, own]), [0.025, 0.975])
        by_chance = _indices((together[own] - gap[:, own]) / 2, (together[own] + gap[:, own]) / 2)
        found.append((float(low), float(high), float(np.quantile(by_chance, 1 - level))))
    return found


def _indices(first: Floats, second: Floats) -> Floats:
    """PSI of each row of two arrays [draws, bins]; bins that both leave empty everywhere do not count."""
    used = (first + second).max(axis=0) > 0
    a, b = first[:, used] + HALF, second[:, used] + HALF
    p, q = a / a.sum(axis=1, keepdims=True), b / b.sum(axis=1, keepdims=True)
    found: Floats = ((q - p) * np.log(q / p)).sum(axis=1)
    return found


def _parts(panel: Panel) -> Floats:
    """What each group adds to the difference of shares, linearized at the share of both nights together."""
    (n0, n1), (h0, h1) = panel.of, panel.hits
    all0, all1 = max(float(n0.sum()), 1.0), max(float(n1.sum()), 1.0)
    share = (h0.sum(axis=0) + h1.sum(axis=0)) / (all0 + all1)
    found: Floats = (h1 - n1[:, None] * share) / all1 - (h0 - n0[:, None] * share) / all0
    return found
