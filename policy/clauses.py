"""Rules as clauses, and clauses as tables: what a byte of packed codes says about all rules at once.

A rule's normal form is multiplied out to *every clause, and in each some fact among given codes*. One clause of each
rule makes a level: a word with a bit for each of up to 64 rules, joined by `|` from one look-up for each byte of codes;
levels are joined by `&`. Cards are written as *applies, and not unless*, which is such a form nearly as it stands, so
the levels are few. What does not come out small is left to `features.evaluate.reading`, rule by rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.evaluate import All, AnyOf, CodeIs, Domain, Known, Normal, NumberIs, facts_of_normal
from policy.masks import Masks

MAX_CLAUSES = 32
MAX_NUMBER = 2**31 - 2
BYTE = 8
# Which scopes a clause looks at, and so over what its level is joined.
LAYERS: Mapping[str, frozenset[str]] = {
    "lead": frozenset({"lead"}),
    "channel": frozenset({"lead", "channel"}),
    "asset": frozenset({"asset", "asset_channel"}),
    "fit": frozenset({"lead", "asset", "lead_asset"}),
    "all": frozenset({"lead", "channel", "asset", "lead_asset", "asset_channel"}),
}
Clause = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Field:
    """Where a fact's places are packed: byte `row` of its scope from bit `shift` on.

    Place 0 is unknown. A value's place is its code; a number's is how many of `edges` it reaches, 0 being the first.
    """

    per: str
    row: int
    shift: int
    top: int
    edges: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """Look-ups of one layer in the bytes of one scope: table p is asked by byte `rows[p]` and goes to `levels[p]`."""

    rows: NDArray[np.int64]
    levels: NDArray[np.int64]
    tables: Masks


@dataclass(frozen=True, slots=True)
class Layer:
    """Levels of the clauses that look at the same scopes; `base` has the bits of rules without a clause in a level."""

    base: Masks
    looked: Mapping[str, Looked]


@dataclass(frozen=True, slots=True)
class Group:
    """Rules of one word, one bit each: layers, which speak on a channel, and (bit, form) of those left to `reading`."""

    layers: Mapping[str, Layer]
    cover: Masks
    wide: tuple[tuple[int, Normal, tuple[int, ...]], ...]
    must: bool


Asked = Sequence[tuple[Normal, tuple[int, ...]]]


def compile_groups(
    asked: Sequence[tuple[Asked, bool]], domain: Domain, channels: int
) -> tuple[tuple[Group, ...], Mapping[str, Field], Mapping[str, int]]:
    """Groups of up to 64 (normal form, channels), read as must or as may: tables, fields, and bytes by scope."""
    edges = _edges([normal for rules, _ in asked for normal, _ in rules])
    tops = {fact: _top(fact, edges, domain) for rules, _ in asked for one, _ in rules for fact in facts_of_normal(one)}
    found: list[tuple[dict[int, list[Clause]], list[tuple[int, Normal, tuple[int, ...]]]]] = []
    for rules, must in asked:
        clauses: dict[int, list[Clause]] = {}
        wide: list[tuple[int, Normal, tuple[int, ...]]] = []
        for bit, (normal, covered) in enumerate(rules):
            try:
                clauses[bit] = clauses_of(normal, must, tops, edges)
            except OverflowError:
                wide.append((bit, normal, covered))
        found.append((clauses, wide))
    fields, rows = _packed([c for clauses, _ in found for own in clauses.values() for c in own], tops, edges, domain)
    groups = []
    for (rules, must), (clauses, wide) in zip(asked, found, strict=True):
        cover = [sum(1 << bit for bit in clauses if channel in rules[bit][1]) for channel in range(channels)]
        groups.append(Group(_layers(clauses, fields), np.array(cover, dtype=np.uint64), tuple(wide), must))
    return tuple(groups), fields, rows


def clauses_of(
    normal: Normal, must: bool, tops: Mapping[str, int], edges: Mapping[str, tuple[int, ...]]
) -> list[Clause]:
    """A normal form multiplied out: in each clause the places of a fact that suffice, one bit each.

    Raises OverflowError where there are more than MAX_CLAUSES, or a fact has too many places for a byte.
    """
    match normal:
        case All(parts):
            found = [clause for part in parts for clause in clauses_of(part, must, tops, edges)]
        case AnyOf(parts):
            found = [{}]
            for part in parts:
                others = clauses_of(part, must, tops, edges)
                if len(found) * len(others) > MAX_CLAUSES * MAX_CLAUSES:
                    raise OverflowError
                found = _reduced([_either(one, other) for one in found for other in others], tops)
        case _:
            if tops[normal.fact] >= 1 << BYTE:
                raise OverflowError
            places = _places(normal, must, tops[normal.fact], edges)
            found = [{normal.fact: places} if places else {}]
    found = _reduced(found, tops)
    if len(found) > MAX_CLAUSES:
        raise OverflowError
    return found


def _either(one: Clause, other: Clause) -> Clause:
    return {fact: one.get(fact, 0) | other.get(fact, 0) for fact in (*one, *other)}


def _reduced(clauses: list[Clause], tops: Mapping[str, int]) -> list[Clause]:
    """Without clauses that always hold or that another one implies; what is asked of one fact alone is asked once."""
    alone: dict[str, int] = {}
    others: list[Clause] = []
    for clause in clauses:
        if any(places == _every(tops[fact]) for fact, places in clause.items()):
            continue
        if len(clause) == 1:
            [(fact, places)] = clause.items()
            alone[fact] = alone.get(fact, _every(tops[fact])) & places
        elif clause not in others:
            others.append(clause)
    if not all(alone.values()):
        return [{}]
    found: list[Clause] = [{fact: places} for fact, places in alone.items()]
    return found + [
        clause for clause in others if not any(one is not clause and _implies(one, clause) for one in (*found, *others))
    ]


def _implies(one: Clause, other: Clause) -> bool:
    return all(not places & ~other.get(fact, 0) for fact, places in one.items())


def _every(top: int) -> int:
    return (1 << top + 1) - 1


def _top(fact: str, edges: Mapping[str, tuple[int, ...]], domain: Domain) -> int:
    """The greatest place of a fact; one that fits no byte where a number is compared beyond what columns hold."""
    if not domain.is_number(fact):
        return len(domain.facts[fact].values)
    own = edges.get(fact, (0,))
    return len(own) if own[-1] <= MAX_NUMBER else 1 << BYTE


def _edges(normals: Sequence[Normal]) -> dict[str, tuple[int, ...]]:
    """The numbers at which an answer may change, for each fact that is a number; the first is 0."""
    found: dict[str, set[int]] = {}
    for leaf in (leaf for normal in normals for leaf in _leaves(normal)):
        if isinstance(leaf, NumberIs):
            found.setdefault(leaf.fact, {0}).update(n for n in (leaf.number, leaf.number + 1) if n > 0)
    return {fact: tuple(sorted(numbers)) for fact, numbers in found.items()}


def _leaves(normal: Normal) -> Iterator[CodeIs | NumberIs | Known]:
    if isinstance(normal, All | AnyOf):
        for part in normal.parts:
            yield from _leaves(part)
    else:
        yield normal


def _places(leaf: CodeIs | NumberIs | Known, must: bool, top: int, edges: Mapping[str, tuple[int, ...]]) -> int:
    match leaf:
        case CodeIs(_, codes, others):
            return codes if must else _every(top) & ~others
        case NumberIs(fact, operator, number):
            holds = {
                "=": number.__eq__, "<>": number.__ne__, "<": number.__gt__, "<=": number.__ge__, ">": number.__lt__,
                ">=": number.__le__,
            }[operator]  # fmt: skip
            return sum(1 << place for place, edge in enumerate(edges[fact], 1) if holds(edge)) | (not must)
        case Known(_, known, _, _):
            return _every(top) & ~1 if known else 1


def _packed(
    clauses: Sequence[Clause], tops: Mapping[str, int], edges: Mapping[str, tuple[int, ...]], domain: Domain
) -> tuple[dict[str, Field], dict[str, int]]:
    """Facts to bytes, in the order in which clauses ask them, so that what is asked together lies together."""
    used: dict[str, list[int]] = {}
    fields: dict[str, Field] = {}
    for fact in dict.fromkeys(fact for clause in clauses for fact in clause):
        per, bits = domain.facts[fact].per, tops[fact].bit_length()
        rows = used.setdefault(per, [])
        row = next((row for row, taken in enumerate(rows) if taken + bits <= BYTE), len(rows))
        if row == len(rows):
            rows.append(0)
        number = edges.get(fact, (0,)) if domain.is_number(fact) else ()
        fields[fact] = Field(per, row, rows[row], tops[fact], number)
        rows[row] += bits
    return fields, {per: len(rows) for per, rows in used.items()}


def _layers(clauses: Mapping[int, Sequence[Clause]], fields: Mapping[str, Field]) -> dict[str, Layer]:
    """Levels, filled so that clauses which ask the same bytes share a look-up."""
    levels: dict[str, list[dict[int, Clause]]] = {name: [] for name in LAYERS}
    asked: dict[str, list[set[tuple[str, int]]]] = {name: [] for name in LAYERS}
    for bit in sorted(clauses, key=lambda bit: -len(clauses[bit])):
        for clause in sorted(clauses[bit], key=len, reverse=True):
            scopes = {fields[fact].per for fact in clause}
            name = next(name for name, within in LAYERS.items() if scopes <= within)
            needed = {(fields[fact].per, fields[fact].row) for fact in clause}
            free = [place for place, level in enumerate(levels[name]) if bit not in level]
            if not free:
                levels[name].append({})
                asked[name].append(set())
                free = [len(levels[name]) - 1]
            place = min(free, key=lambda place: len(needed - asked[name][place]))
            levels[name][place][bit] = clause
            asked[name][place] |= needed
    every = sum(1 << bit for bit in clauses)
    return {name: _layer(own, every, fields) for name, own in levels.items() if own}


def _layer(levels: Sequence[Mapping[int, Clause]], every: int, fields: Mapping[str, Field]) -> Layer:
    tables: dict[tuple[str, int, int], Masks] = {}
    codes = np.arange(1 << BYTE)
    for place, level in enumerate(levels):
        for bit, clause in level.items():
            for fact, places in clause.items():
                field = fields[fact]
                table = tables.setdefault((field.per, place, field.row), np.zeros(len(codes), dtype=np.uint64))
                own = codes >> field.shift & (1 << field.top.bit_length()) - 1
                holds = np.array([places >> at & 1 for at in range(int(own.max()) + 1)], dtype=np.uint64)
                table |= holds[own] << np.uint64(bit)
    looked = {}
    for scope in dict.fromkeys(scope for scope, _, _ in tables):
        own_tables = {(level, row): table for (per, level, row), table in tables.items() if per == scope}
        order = sorted(own_tables)
        looked[scope] = Looked(
            np.array([row for _, row in order], dtype=np.int64),
            np.array([level for level, _ in order], dtype=np.int64),
            np.stack([own_tables[key] for key in order]),
        )
    base = [every & ~sum(1 << bit for bit in level) for level in levels]
    return Layer(np.array(base, dtype=np.uint64), looked)
