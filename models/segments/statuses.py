"""What a lead is in for a while, such as a booked meeting: it pauses or marks memberships and never changes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from configs.conditions import Condition
from configs.definitions import LeadStatus, SegmentDefinition
from configs.settings import Settings
from features.evaluate import Domain
from features.facts import Facts
from features.surely import Surely

PURPOSES = ("medical_education", "promotional")
ACTIVE = "active"
NONE = -1

Deciding = NDArray[np.int8]


@dataclass(frozen=True)
class StatusRules:
    """The declared statuses, compiled: for a lead and a purpose the first declared one that surely holds decides.

    A membership's status is that of its segment's purpose; where none holds it is active.
    INVARIANT: a status changes no membership, no primary segment and no model.
    """

    statuses: tuple[LeadStatus, ...]
    surely: Surely

    @classmethod
    def of(cls, settings: Settings, domain: Domain | None = None) -> StatusRules:
        """The statuses of loaded settings."""
        texts = [status.when for status in settings.statuses]
        return cls(settings.statuses, Surely.of(texts, domain or Domain.of(settings)))

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """When each status holds."""
        return tuple(condition for condition in self.surely.conditions if condition is not None)

    def deciding(self, facts: Facts, on: date) -> Deciding:
        """Lead by purpose (as in PURPOSES): the place of the status that decides, NONE where none surely holds."""
        alone = self.surely.of_one(facts, on)
        if alone is not None:
            first = [
                next((at for at, status in enumerate(self.statuses) if alone[at] and purpose in status.purposes), NONE)
                for purpose in PURPOSES
            ]
            return np.array([first], dtype=np.int8)
        holds = self.surely.holds(facts, on)
        found = np.full((facts.n, len(PURPOSES)), NONE, dtype=np.int8)
        for place in reversed(range(len(self.statuses))):
            for purpose in self.statuses[place].purposes:
                found[holds[:, place], PURPOSES.index(purpose)] = place
        return found

    def membership(self, place: int) -> str:
        """The status of memberships where a status decides, active where none does."""
        return ACTIVE if place == NONE else self.statuses[place].membership

    def facts_behind(self, *memberships: str) -> tuple[str, ...]:
        """Facts of every status that gives memberships one of these words."""
        used = [
            fact
            for place, status in enumerate(self.statuses)
            if status.membership in memberships
            for fact in self.surely.facts_behind(place)
        ]
        return tuple(dict.fromkeys(used))


def purposes_of(definitions: Sequence[SegmentDefinition]) -> tuple[int, ...]:
    """For each segment the place of its purpose in PURPOSES."""
    return tuple(PURPOSES.index(definition.purpose) for definition in definitions)
