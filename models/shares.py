"""Shares of leads with what they leave open: the interval of a share, of a difference of two, and of many at once.

Intervals of a share are Wilson's (1927); those of a difference of two shares Newcombe's hybrid score ones (1998, method
10). Both stay inside what is possible and are wide where little is known. Where many questions are asked at once the
level is divided by their number (Bonferroni), so that a page full of segments does not cry wolf.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

LEVEL = 0.05
# The normal quantile of a two-sided level of 5 %.
Z = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many, with a 95 % interval."""

    hits: int
    of: int

    @property
    def rate(self) -> float:
        """The share; 0 of nobody."""
        return self.hits / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        return wilson(self.hits, self.of)


def wilson(hits: float, n: float, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a share; (0, 1) for nobody."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = hits / n, z * z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(later: Share, earlier: Share, z: float = Z) -> tuple[float, float]:
    """Newcombe's interval of `later.rate - earlier.rate`, taken as independent: wider where leads are in both."""
    (low1, high1), (low0, high0) = wilson(later.hits, later.of, z), wilson(earlier.hits, earlier.of, z)
    difference = later.rate - earlier.rate
    down = sqrt((later.rate - low1) ** 2 + (high0 - earlier.rate) ** 2)
    up = sqrt((high1 - later.rate) ** 2 + (earlier.rate - low0) ** 2)
    return max(-1.0, difference - down), min(1.0, difference + up)


def z_for(questions: int) -> float:
    """The normal quantile of a two-sided level of 5 % shared by so many questions."""
    return NormalDist().inv_cdf(1 - LEVEL / (2 * max(questions, 1)))
