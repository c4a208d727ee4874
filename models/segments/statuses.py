"""What a lead is in for a while, such as a booked meeting: it pauses or marks memberships and never changes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import Condition, facts_used, parameters_used, parse
from configs.definitions import LeadStatus, SegmentDefinition
from configs.settings import Settings
from features.evaluate import Domain, Normal, define, normal_form, reading, source
from features.facts import Facts

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
    conditions: tuple[Condition, ...]
    domain: Domain
    dated: bool
    compiled: dict[date | None, _Compiled] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, domain: Domain | None = None) -> StatusRules:
        """The statuses of loaded settings."""
        domain = domain or Domain.of(settings)
        found = tuple(parse(status.when, domain.facts, domain.parameters) for status in settings.statuses)
        return cls(settings.statuses, found, domain, any(parameters_used(condition) for condition in found))

    def deciding(self, facts: Facts, on: date) -> Deciding:
        """Lead by purpose (as in PURPOSES): the place of the status that decides, NONE where none surely holds."""
        compiled = self._for(on)
        one = facts.one
        if one is not None and one.keys() >= compiled.names:
            return np.array([compiled.scalar(*[one[name] for name in compiled.facts])], dtype=np.int8)
        found = np.full((facts.n, len(PURPOSES)), NONE, dtype=np.int8)
        columns = {name: facts.columns[name].reshape(-1) for name in compiled.facts if name in facts.columns}
        seen: dict[Any, Any] = {}
        for place in reversed(range(len(self.statuses))):
            holds = np.broadcast_to(reading(compiled.normal[place], columns, seen, must=True).reshape(-1), (facts.n,))
            for purpose in self.statuses[place].purposes:
                found[holds, PURPOSES.index(purpose)] = place
        return found

    def membership(self, place: int) -> str:
        """The status of memberships where a status decides, active where none does."""
        return ACTIVE if place == NONE else self.statuses[place].membership

    def facts_behind(self, *memberships: str) -> tuple[str, ...]:
        """Facts of every status that gives memberships one of these words."""
        used = [
            fact
            for status, condition in zip(self.statuses, self.conditions, strict=True)
            if status.membership in memberships
            for fact in facts_used(condition)
        ]
        return tuple(dict.fromkeys(used))

    def _for(self, on: date) -> _Compiled:
        key = on if self.dated else None
        found = self.compiled.get(key)
        if found is None:
            if len(self.compiled) > 64:
                self.compiled.clear()
            found = self.compiled[key] = _Compiled.of(self, on)
        return found


@dataclass(frozen=True, slots=True)
class _Compiled:
    facts: tuple[str, ...]
    names: frozenset[str]
    normal: tuple[Normal, ...]
    scalar: Callable[..., tuple[int, ...]]

    @classmethod
    def of(cls, rules: StatusRules, on: date) -> _Compiled:
        facts = tuple(dict.fromkeys(fact for condition in rules.conditions for fact in facts_used(condition)))
        normal = tuple(normal_form(condition, rules.domain, on) for condition in rules.conditions)
        names = {fact: f"f{place}" for place, fact in enumerate(facts)}
        ways = ["".join(_way(rules.statuses, normal, names, purpose)) + str(NONE) for purpose in PURPOSES]
        text = f"def deciding({', '.join(names.values())}):\n    return ({', '.join(ways)},)"
        scalar: Callable[..., tuple[int, ...]] = define("deciding", text)
        return cls(facts, frozenset(facts), normal, scalar)


def _way(statuses: Sequence[LeadStatus], normal: Sequence[Normal], names: dict[str, str], purpose: str) -> list[str]:
    return [
        f"{place} if {source(normal[place], names, must=True)} else "
        for place, status in enumerate(statuses)
        if purpose in status.purposes
    ]


def purposes_of(definitions: Sequence[SegmentDefinition]) -> tuple[int, ...]:
    """For each segment the place of its purpose in PURPOSES."""
    return tuple(PURPOSES.index(definition.purpose) for definition in definitions)
