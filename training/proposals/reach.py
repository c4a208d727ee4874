"""Who of a group may be contacted, by purpose and channel, as the rules say it of each lead: never an estimate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from configs.content import Asset
from configs.settings import Settings
from features.facts import Facts
from policy.book import Book
from policy.reach import reach_of
from training.proposals.proposal import Reach

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Reachable:
    """For each purpose, lead and channel whether some approved asset of that purpose passes every rule."""

    purposes: tuple[str, ...]
    channels: tuple[str, ...]
    may: Bools
    on: str

    def of(self, member: Bools) -> Reach:
        """The reach of some of the leads."""
        own = self.may[:, member]
        counts = own.sum(axis=1)
        anyhow = own.any(axis=2).sum(axis=1)
        return Reach(
            int(member.sum()),
            {
                purpose: {channel: int(counts[p, c]) for c, channel in enumerate(self.channels)}
                for p, purpose in enumerate(self.purposes)
            },
            {purpose: int(anyhow[p]) for p, purpose in enumerate(self.purposes)},
        )


def reachable(facts: Facts, assets: tuple[Asset, ...], settings: Settings, as_of: datetime) -> Reachable:
    """Rule on every lead with every asset and channel, a bounded number of leads at a time.

    The facts are those of an inventory of the same assets. The message without an asset counts for nothing here.

    INVARIANT: a lead counts on a channel only where serving would permit some asset of that purpose there.
    """
    found = reach_of(facts, assets, Book.load(settings, as_of.astimezone(UTC).date()))
    return Reachable(found.purposes, found.channels, found.may, as_of.date().isoformat())
