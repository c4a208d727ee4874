"""Conditions grown term by term: a beam search over conjunctions, each chosen for its F1 on what is still to be said.

A tree splits the rows for everybody at once and must follow both sides; a rule may look at one side only, and where a
value is unknown it simply does not hold. Rules are grown one after the other, each for the members the earlier ones
left (separate and conquer: Fuernkranz 1999; beam search over conjunctions: Clark and Niblett 1989, CN2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

WIDTH = 3
THRESHOLDS = 12
LEARNED_ON = 4_000
WORTH = 0.005


@dataclass(frozen=True, slots=True)
class Conjunction:
    """One rule: allowed codes per enumeration, and lowest and highest number per count; all of them must hold."""

    codes: Mapping[str, frozenset[int]] = field(default_factory=dict)
    low: Mapping[str, int] = field(default_factory=dict)
    high: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """The facts it looks at."""
        return frozenset(self.codes) | frozenset(self.low) | frozenset(self.high)


def conjunctions(
    member: Bools, columns: Mapping[str, NDArray[Any]], is_number: Callable[[str], bool], *, terms: int, rules: int
) -> list[Conjunction]:
    """Rules for the members, the most telling first, and shorter forms of them; none asks for an unknown value."""
    step = max(1, -(-len(member) // LEARNED_ON))
    member = member[::step]
    columns = {name: values[::step] for name, values in columns.items()}
    left = member.copy()
    open_rows = np.ones(len(member), dtype=np.bool_)
    found: list[Conjunction] = []
    for _ in range(rules):
        if not np.any(left):
            break
        best = _grown(left, open_rows, columns, is_number, terms)
        if not best:
            break
        found += [rule for rule, _ in best if rule not in found]
        taken = best[0][1]
        if not np.any(taken & left):
            break
        left, open_rows = left & ~taken, open_rows & ~(taken & member)
    return found


def _grown(
    left: Bools, open_rows: Bools, columns: Mapping[str, NDArray[Any]], is_number: Callable[[str], bool], terms: int
) -> list[tuple[Conjunction, Bools]]:
    """The best rule of every length up to `terms` as long as a term is worth it, the best of all first."""
    total = int(left.sum())
    beam: list[tuple[float, Conjunction, Bools]] = [(0.0, Conjunction(), open_rows)]
    best: list[tuple[float, Conjunction, Bools]] = []
    for _ in range(terms):
        wider: dict[str, tuple[float, Conjunction, Bools]] = {}
        for _, rule, rows in beam:
            for name, values in columns.items():
                if name in rule.names:
                    continue
                for f1, longer, inside in _terms(rule, name, values, rows, left, total, is_number(name)):
                    # Two orders of the same terms are one rule.
                    wider.setdefault(f"{sorted(longer.names)} {f1:.9f}", (f1, longer, inside))
        if not wider:
            break
        beam = sorted(wider.values(), key=lambda one: (-one[0], str(one[1])))[:WIDTH]
        if best and beam[0][0] < best[-1][0] + WORTH:
            break
        best.append(beam[0])
    return [(rule, inside) for _, rule, inside in sorted(best, key=lambda one: -one[0])]


def _terms(
    rule: Conjunction, name: str, values: NDArray[Any], rows: Bools, left: Bools, total: int, number: bool
) -> list[tuple[float, Conjunction, Bools]]:
    """The rule with its best term about one fact: a set of codes, or a lowest and a highest number."""
    own, wanted = values[rows].astype(np.int64), left[rows]
    found = []
    if number:
        known = np.unique(own[own >= 0])
        if len(known) < 2:
            return []
        steps = known[np.unique(np.linspace(0, len(known) - 1, THRESHOLDS).astype(int))]
        least = max((_f1(own >= step, wanted, total), -int(step)) for step in steps[1:])
        most = max((_f1((own >= 0) & (own <= step), wanted, total), int(step)) for step in steps[:-1])
        low, high = -least[1], most[1]
        found.append((least[0], Conjunction(rule.codes, {**rule.low, name: low}, rule.high), rows & (values >= low)))
        inside = rows & (values >= 0) & (values <= high)
        found.append((most[0], Conjunction(rule.codes, rule.low, {**rule.high, name: high}), inside))
        return found
    sizes = np.bincount(own, minlength=1)[1:]
    hits = np.bincount(own[wanted], minlength=len(sizes) + 1)[1:]
    present = np.flatnonzero(hits > 0)
    if not len(present):
        return []
    order = present[np.lexsort((present, -hits[present] / sizes[present]))]
    f1 = 2 * np.cumsum(hits[order]) / (np.cumsum(sizes[order]) + total)
    last = int(np.argmax(f1))
    chosen = order[: last + 1] + 1
    longer = Conjunction({**rule.codes, name: frozenset(int(code) for code in chosen)}, rule.low, rule.high)
    return [(float(f1[last]), longer, rows & np.isin(values, chosen))]


def _f1(found: Bools, wanted: Bools, total: int) -> float:
    return 2.0 * int(np.sum(found & wanted)) / max(int(found.sum()) + total, 1)
