"""Which of some conditions surely hold, on a day: over columns for many leads, as one function for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import Condition, facts_used, parameters_used, parse
from features.evaluate import Domain, Normal, define, normal_form, reading, source
from features.facts import Facts

# Days whose parameters are kept compiled.
_DAYS = 64


@dataclass(frozen=True)
class Surely:
    """Conditions over facts of the lead, compiled once, or for each day where a dated parameter is in one of them.

    An empty text holds for everybody. INVARIANT: one lead and many are told the same; unknown never holds.
    """

    conditions: tuple[Condition | None, ...]
    domain: Domain
    dated: bool
    compiled: dict[date | None, _Compiled] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, texts: Sequence[str], domain: Domain) -> Surely:
        """Parse texts that the settings have checked; raises ConditionInvalid."""
        found = tuple(parse(text, domain.facts, domain.parameters) if text else None for text in texts)
        return cls(found, domain, any(parameters_used(one) for one in found if one is not None))

    def facts_behind(self, place: int) -> tuple[str, ...]:
        """The facts that a condition looks at, each once."""
        condition = self.conditions[place]
        return () if condition is None else tuple(dict.fromkeys(facts_used(condition)))

    def of_one(self, facts: Facts, on: date) -> tuple[bool, ...] | None:
        """Which hold for the one lead of these facts; None where they are columns."""
        compiled, one = self._on(on), facts.one
        if one is None or not one.keys() >= compiled.names:
            return None
        return compiled.scalar(*[one[name] for name in compiled.facts])

    def holds(self, facts: Facts, on: date) -> NDArray[np.bool_]:
        """Lead by condition: whether it surely holds."""
        alone = self.of_one(facts, on)
        if alone is not None:
            return np.array([alone], dtype=np.bool_)
        compiled = self._on(on)
        columns = {name: facts.columns[name].reshape(-1) for name in compiled.facts if name in facts.columns}
        found = np.ones((facts.n, len(self.conditions)), dtype=np.bool_, order="F")
        seen: dict[Any, Any] = {}
        for place, normal in enumerate(compiled.normal):
            if normal is not None:
                found[:, place] = reading(normal, columns, seen, must=True).reshape(-1)
        return found

    def _on(self, day: date) -> _Compiled:
        key = day if self.dated else None
        found = self.compiled.get(key)
        if found is None:
            if len(self.compiled) > _DAYS:
                self.compiled.clear()
            found = self.compiled[key] = _Compiled.of(self, day)
        return found


@dataclass(frozen=True, slots=True)
class _Compiled:
    facts: tuple[str, ...]
    names: frozenset[str]
    normal: tuple[Normal | None, ...]
    scalar: Callable[..., tuple[bool, ...]]

    @classmethod
    def of(cls, surely: Surely, on: date) -> _Compiled:
        given = range(len(surely.conditions))
        facts = tuple(dict.fromkeys(fact for place in given for fact in surely.facts_behind(place)))
        normal = tuple(None if one is None else normal_form(one, surely.domain, on) for one in surely.conditions)
        names = {fact: f"f{place}" for place, fact in enumerate(facts)}
        ways = ["True" if one is None else f"({source(one, names, must=True)})" for one in normal]
        text = f"def holds({', '.join(names.values())}):\n    return ({''.join(way + ', ' for way in ways)})"
        return cls(facts, frozenset(facts), normal, define("holds", text))
