"""Which arm of the standing experiment a lead is in: drawn by a keyed hash, so the same wherever and whenever asked.

BLAKE2b (RFC 7693), keyed with the salt, of the unit's id and the period gives a number in [0, 1). Below the holdout's
share it is held out, below that and the exploration's share it explores, else it is routed as usual. No state, no
generator, no clock: a rerun, another machine and another order of rows draw the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import facts_used, parameters_used, parse
from configs.exploration import ExplorationSettings
from configs.settings import Settings
from features.evaluate import Domain, define, normal_form, reading, source
from features.facts import Facts

# Their places are the codes. Outside: nothing was drawn, because nothing could be withheld or tried out.
ARMS = ("outside", "routed", "exploration", "holdout")
OUTSIDE, ROUTED, EXPLORATION, HOLDOUT = range(4)
_UNIT = 2.0**-53

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Exempt:
    """For whom nothing is withheld or tried out: the condition `never`, an unknown fact read as a yes."""

    facts: tuple[str, ...]
    normal: Any
    scalar: Callable[..., bool]

    @classmethod
    def of(cls, condition: str, domain: Domain, on: date) -> Exempt:
        """Compile the condition for a day; raises ConditionInvalid where it does not parse."""
        parsed = parse(condition, domain.facts, domain.parameters)
        facts, normal = facts_used(parsed), normal_form(parsed, domain, on)
        names = {fact: f"f{place}" for place, fact in enumerate(facts)}
        text = f"def exempt({', '.join(names.values())}):\n    return bool({source(normal, names, must=False)})"
        return cls(facts, normal, define("exempt", text))

    def holds(self, facts: Facts) -> NDArray[np.bool_]:
        """For each lead whether the condition holds or may hold."""
        one = facts.one
        if one is not None and all(name in one for name in self.facts):
            return np.array([self.scalar(*[one[name] for name in self.facts])])
        columns = {name: facts.columns[name].reshape(-1) for name in self.facts if name in facts.columns}
        found = reading(self.normal, columns, {}, must=False).reshape(-1)
        return np.ascontiguousarray(np.broadcast_to(found, (facts.n,)))


@dataclass(frozen=True)
class Lottery:
    """The drawing of arms under one configuration."""

    settings: ExplorationSettings
    domain: Domain
    compiled: dict[date | None, Exempt]
    dated: bool

    @classmethod
    def of(cls, settings: Settings, domain: Domain | None = None) -> Lottery:
        """The lottery of loaded settings."""
        domain, found = domain or Domain.of(settings), settings.exploration
        dated = found.never is not None and bool(parameters_used(parse(found.never, domain.facts, domain.parameters)))
        return cls(found, domain, {}, dated)

    def exempt(self, facts: Facts, on: date) -> NDArray[np.bool_]:
        """For each lead whether it is never held out; everybody where no condition says who is not."""
        if self.settings.never is None:
            return np.ones(facts.n, dtype=np.bool_)
        key = on if self.dated else None
        found = self.compiled.get(key)
        if found is None:
            if len(self.compiled) > 64:
                self.compiled.clear()
            found = self.compiled[key] = Exempt.of(self.settings.never, self.domain, on)
        return found.holds(facts)

    def uniforms(self, units: Sequence[str], period: str) -> Floats:
        """A number in [0, 1) for each unit in a period; the same unit has the same number on every machine."""
        return np.array([self.digest(unit, period) >> 11 for unit in units], dtype=np.float64) * _UNIT

    def digest(self, unit: str, period: str) -> int:
        """A whole number in [0, 2**64) of a unit and a period."""
        # A zero byte cannot be in an id, so that no two pairs are spelled alike.
        text = f"{unit}\0{period}".encode()
        key = self.settings.salt.encode()[:64]
        return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=key).digest(), "big")
