"""Which values of facts some conditions can tell apart, and every combination of them: a small world to search.

Two values that no comparison tells apart behave the same, so one of each kind, with unknown, stands for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import Compare, Condition, In, ParameterName, facts_used, leaves
from features.evaluate import Domain, as_columns

MAX_TRIED = 100_000
Bools = NDArray[np.bool_]


def tellable(fact: str, conditions: Sequence[Condition], domain: Domain, on: date | None = None) -> list[int]:
    """Codes of a fact that these conditions can tell apart, with unknown and one that none of them names.

    Dated parameters count with their value of the day `on`; without a day they are left out.
    """
    own = [leaf for condition in conditions for leaf in leaves(condition) if leaf.fact == fact]
    declared = domain.facts[fact]
    if declared.type == "int":
        cuts = [_number(leaf.value, domain, on) for leaf in own if isinstance(leaf, Compare)]
        near = {cut + step for cut in cuts if cut is not None for step in (-1, 0, 1)}
        return sorted({-1, *(value for value in near if declared.min <= value <= declared.max)})
    named = {str(leaf.value) for leaf in own if isinstance(leaf, Compare)}
    named |= {value for leaf in own if isinstance(leaf, In) for value in leaf.values}
    if any(isinstance(leaf, Compare) and isinstance(leaf.value, ParameterName) for leaf in own):
        named |= set(declared.values)  # a switch: yes or no
    codes = [domain.code(fact, value) for value in declared.values if value in named]
    other = [domain.code(fact, value) for value in declared.values if value not in named][:1]
    return [0, *codes, *other]


def _number(value: str | int | ParameterName, domain: Domain, on: date | None) -> int | None:
    if isinstance(value, ParameterName):
        return int(domain.parameter(value.name, on)) if on is not None else None
    return value if isinstance(value, int) else None


@dataclass(frozen=True)
class Tried:
    """Made-up leads, one for each combination of values that some conditions can tell apart.

    `complete` says whether every combination is there; where there are too many, some are drawn by lot.
    """

    columns: Mapping[str, NDArray[Any]]
    n: int
    complete: bool
    domain: Domain
    on: date

    @classmethod
    def of(
        cls, conditions: Sequence[Condition], domain: Domain, on: date, *, only: Sequence[str] | None = None
    ) -> Tried:
        """The leads that these conditions can tell apart.

        Args:
            conditions: what tells them apart.
            domain: the facts and parameters.
            on: the day whose parameters count.
            only: the facts to vary; the others are unknown. All that the conditions use when absent.

        Raises:
            ConditionInvalid: a parameter has no value on that day.
        """
        used = tuple(dict.fromkeys(fact for condition in conditions for fact in facts_used(condition)))
        facts = used if only is None else tuple(fact for fact in used if fact in only)
        values = [np.array(tellable(fact, conditions, domain, on), dtype=np.int32) for fact in facts]
        total = prod(len(codes) for codes in values)
        if total <= MAX_TRIED:
            grid = np.indices([len(codes) for codes in values]).reshape(len(values), -1)
        else:
            random = np.random.default_rng(0)
            grid = np.stack([random.integers(len(codes), size=MAX_TRIED) for codes in values])
        columns = {fact: codes[place] for fact, codes, place in zip(facts, values, grid, strict=True)}
        return cls(columns, min(total, MAX_TRIED), total <= MAX_TRIED, domain, on)

    def surely(self, condition: Condition) -> Bools:
        """For each lead whether a condition is surely true."""
        return self._whole(as_columns(condition, self.domain, self.on)(self.columns)[0])

    def maybe(self, condition: Condition) -> Bools:
        """For each lead whether a condition is not surely false."""
        return self._whole(as_columns(condition, self.domain, self.on)(self.columns)[1])

    def example(self, holds: Bools) -> str | None:
        """The first lead that `holds` marks, in words; None where it marks none. What it leaves open is not said."""
        if not holds.any():
            return None
        first = int(holds.argmax())
        values = {fact: self.domain.value(fact, int(codes[first])) for fact, codes in self.columns.items()}
        known = [f"{fact} {said(value)}" for fact, value in values.items() if value is not None]
        unknown = [fact for fact, value in values.items() if value is None]
        return ", ".join([*known, *([f"{' and '.join(unknown)} unknown"] if unknown else [])])

    def _whole(self, found: Bools) -> Bools:
        return np.broadcast_to(found.reshape(-1), (self.n,))


def said(value: str | int) -> str:
    """A value as people write it."""
    return str(value).replace("_", " ")
