"""Who a track is for: its conditions, compiled for one lead and for columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import Condition, facts_used, parameters_used, parse
from configs.nurture import Track
from features.evaluate import Domain, Normal, define, normal_form, reading, source
from features.facts import Facts


@dataclass(frozen=True)
class TrackRules:
    """The conditions of tracks; one without a condition is for everybody."""

    tracks: tuple[Track, ...]
    conditions: tuple[Condition | None, ...]
    domain: Domain
    dated: bool
    # By track the facts that its condition looks at.
    behind: tuple[tuple[str, ...], ...]
    compiled: dict[date | None, _Compiled] = field(default_factory=dict)

    @classmethod
    def of(cls, tracks: tuple[Track, ...], domain: Domain) -> TrackRules:
        """The conditions of declared tracks."""
        found = tuple(parse(t.when, domain.facts, domain.parameters) if t.when else None for t in tracks)
        dated = any(parameters_used(one) for one in found if one is not None)
        behind = tuple(() if one is None else tuple(dict.fromkeys(facts_used(one))) for one in found)
        return cls(tracks, found, domain, dated, behind)

    def holds(self, facts: Facts, on: date) -> NDArray[np.bool_]:
        """Lead by track: whether the condition surely holds."""
        compiled = self._for(on)
        one = facts.one
        if one is not None and one.keys() >= compiled.names:
            return np.array([compiled.scalar(*[one[name] for name in compiled.facts])], dtype=np.bool_)
        columns = {name: facts.columns[name].reshape(-1) for name in compiled.facts if name in facts.columns}
        found = np.ones((facts.n, len(self.tracks)), dtype=np.bool_)
        seen: dict[Any, Any] = {}
        for place, normal in enumerate(compiled.normal):
            if normal is not None:
                found[:, place] = reading(normal, columns, seen, must=True).reshape(-1)
        return found

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
    normal: tuple[Normal | None, ...]
    scalar: Callable[..., tuple[bool, ...]]

    @classmethod
    def of(cls, rules: TrackRules, on: date) -> _Compiled:
        given = [condition for condition in rules.conditions if condition is not None]
        facts = tuple(dict.fromkeys(fact for condition in given for fact in facts_used(condition)))
        normal = tuple(None if one is None else normal_form(one, rules.domain, on) for one in rules.conditions)
        names = {fact: f"f{place}" for place, fact in enumerate(facts)}
        ways = ["True" if one is None else f"({source(one, names, must=True)})" for one in normal]
        text = f"def holds({', '.join(names.values())}):\n    return ({''.join(way + ', ' for way in ways)})"
        return cls(facts, frozenset(facts), normal, define("holds", text))
