"""What tells leads that sales turned down for a reason from those it took, surely and after every question asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.shares import Share, newcombe, z_for

Bools = NDArray[np.bool_]
# Fewer leads on either side tell nothing apart.
MIN_GROUP = 10


@dataclass(frozen=True, slots=True)
class Answered:
    """What is known of the leads sales answered about, among all leads, in the window of the review.

    Attributes:
        turned: for each reason by its id, who was turned down for it.
        taken: whom sales took.
        member: who is in the segment now.
        codes: codes of facts by name, 0 unknown, one a lead.
        read: how much each lead read about each topic, unknown topic first.
        did: for each kind of event, who did it.
        told: facts that a change may name.
        on: the day of the review.
        back_days: how many days back answers count.
    """

    turned: Mapping[str, Bools]
    taken: Bools
    member: Bools
    codes: Mapping[str, NDArray[Any]]
    read: NDArray[np.float64]
    did: Mapping[str, Bools]
    told: tuple[str, ...]
    on: date
    back_days: int


@dataclass(frozen=True, slots=True)
class Telling:
    """A value that those who were turned down have more often than those who were taken, surely."""

    fact: str
    value: str
    turned: Share
    taken: Share

    @property
    def words(self) -> str:
        """The two shares in words."""
        named = f"{self.fact} {self.value}".replace("_", " ")
        taken = f"{self.taken.hits:,} of {self.taken.of:,}"
        return f"{self.turned.hits:,} of {self.turned.of:,} turned down have {named}, of those taken {taken}"


def telling(
    seen: Answered, reason: str, facts: Sequence[str], values: Mapping[str, Sequence[str]], unknown: bool = False
) -> list[Telling]:
    """Values that tell those turned down for a reason from those taken, the largest difference first.

    With `unknown` the question is who has no known value, not which one. Every question is counted.
    """
    turned, taken = seen.turned[reason], seen.taken
    asked: list[Telling] = []
    for fact in facts:
        if fact not in seen.codes:
            continue
        left, right = (seen.codes[fact][who] for who in (turned, taken))
        if unknown:
            pair = Share(int((left == 0).sum()), len(left)), Share(int((right == 0).sum()), len(right))
            asked.append(Telling(fact, "unknown", *pair))
            continue
        known = int((left > 0).sum()), int((right > 0).sum())
        for code, value in enumerate(values[fact], start=1):
            hits = int((left == code).sum()), int((right == code).sum())
            asked.append(Telling(fact, value, Share(hits[0], known[0]), Share(hits[1], known[1])))
    asked = [one for one in asked if min(one.turned.of, one.taken.of) >= MIN_GROUP]
    z = z_for(max(len(asked), 1))
    sure = [one for one in asked if newcombe(one.turned, one.taken, z)[0] > 0]
    return sorted(sure, key=lambda one: (one.taken.rate - one.turned.rate, one.fact, one.value))
