"""Leads and assets to try the engine on: drawn codes, unknown and stray ones among them, and the edges by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import Compare, leaves
from policy.book import Book, Rule
from policy.proofs.kleene import constant
from policy.proofs.terms import STRAY

_FAVORABLE = (0.0, 0.5, 0.8, 0.95)


@dataclass(frozen=True)
class Population:
    """Some leads and assets, as the engine takes them; `one` has the codes of one lead as plain numbers too."""

    n: int
    assets: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]
    one: Mapping[str, Any] | None = None


def drawn_of(book: Book, leads: int, assets: int, seed: int) -> list[Population]:
    """Populations of every kind that the engine treats apart, the usual many-to-many one first."""
    found = [population(book, leads, assets, seed + k, share) for k, share in enumerate(_FAVORABLE)]
    found.append(population(book, leads, assets, seed, 0.5, absent=0.3))
    # One lead, one asset: where an axis of one cell is easily taken for another.
    found += [population(book, 1, assets, seed, 0.8), population(book, leads, 1, seed, 0.8)]
    found += [plain(book, population(book, 1, assets, seed + 1, 0.8)), plain(book, population(book, 1, 1, seed, 0.9))]
    found += [shrunk(population(book, leads, assets, seed + 2, 0.8)), wide(population(book, leads, assets, seed, 0.7))]
    return found


def few_of(book: Book, seed: int) -> list[Population]:
    """Less of the same, for small books of which there are many."""
    return [
        population(book, 12, 4, seed, 0.0),
        population(book, 5, 3, seed, 0.0, absent=0.5),
        wide(population(book, 3, 2, seed, 0.0)),
        shrunk(population(book, 3, 2, seed, 0.0)),
        population(book, 2, 1, seed, 0.0),
        odd(population(book, 9, 2, seed, 0.0)),
        odd(population(book, 2, 2, seed, 0.0)),
        *(plain(book, population(book, 1, 1 + k, seed + k, 0.0)) for k in range(3)),
    ]


def population(book: Book, leads: int, assets: int, seed: int, favorable: float, *, absent: float = 0.0) -> Population:
    """Random codes, stray and unknown ones among them; a share speaks for contact, some columns may be absent."""
    draw = np.random.default_rng(seed)
    sizes = {"lead": (leads, 1, 1), "channel": (leads, 1, len(book.channels)), "asset": (1, assets, 1),
             "lead_asset": (leads, assets, 1), "asset_channel": (1, assets, len(book.channels))}  # fmt: skip
    columns = {}
    around = _around(book)
    for fact, per, _ in book.inputs:
        declared = book.domain.facts[fact]
        if declared.type == "int":
            choice: Sequence[int] = sorted(around.get(fact, set()) | {-1, 0})
            codes = draw.choice(np.array(choice), sizes[per]).astype(np.int32)
        else:
            stray = draw.random(sizes[per]) < 0.02
            codes = np.where(stray, STRAY, draw.integers(0, len(declared.values) + 2, sizes[per])).astype(np.uint8)
            good = _good(book, fact)
            if good is not None:
                codes = np.where(draw.random(sizes[per]) < favorable, good, codes).astype(np.uint8)
        if draw.random() >= absent:
            columns[fact] = codes
    return Population(leads, tuple(str(place) for place in range(assets)), columns)


def plain(book: Book, drawn: Population) -> Population:
    """One lead with its codes as plain numbers beside the arrays, as the fact builder gives them."""
    one: dict[str, Any] = {}
    for fact, per, _ in book.inputs:
        codes = drawn.columns[fact].tolist()
        match per:
            case "lead":
                one[fact] = codes[0][0][0]
            case "channel":
                one[fact] = codes[0][0]
            case "asset_channel":
                one[fact] = codes[0]
            case _:
                one[fact] = [codes[0][asset][0] for asset in range(len(drawn.assets))]
    return Population(1, drawn.assets, drawn.columns, one)


def shrunk(drawn: Population) -> Population:
    """The same with axes of one cell wherever an array broadcasts: every other fact says one thing of everybody."""
    columns = {
        fact: column if index % 3 == 0 else column[:1] if index % 3 == 1 else column[:1, :1, :1]
        for index, (fact, column) in enumerate(drawn.columns.items())
    }
    return Population(drawn.n, drawn.assets, columns)


def wide(drawn: Population) -> Population:
    """The same in wider numbers: a code beyond a byte, which no value has, a number beyond 32 bits, one below -1."""
    columns = {
        fact: column.astype(np.uint16 if column.dtype.kind == "u" else np.int64)
        for fact, column in drawn.columns.items()
    }
    for column in columns.values():
        column.reshape(-1)[0] = 256 if column.dtype.kind == "u" else 2**40
        column.reshape(-1)[-1] = STRAY if column.dtype.kind == "u" else -7
    return Population(drawn.n, drawn.assets, columns)


def odd(drawn: Population) -> Population:
    """The same in types nobody asked for: numbers of two bytes, foreign byte orders, a code far beyond a byte."""
    columns = {}
    for index, (fact, column) in enumerate(drawn.columns.items()):
        if column.dtype.kind == "u":
            columns[fact] = column.astype(np.uint64 if index % 2 else ">u2")
            columns[fact].reshape(-1)[0] = 2**62 if index % 2 else STRAY
        else:
            columns[fact] = np.clip(column, -1, 2**15 - 1).astype(np.int16) if index % 2 else column.astype(">i4")
    return Population(drawn.n, drawn.assets, columns)


def unsigned(drawn: Population) -> Population:
    """The same with numbers that cannot be below 0, and so are all known."""
    columns = {
        fact: column if column.dtype.kind == "u" else np.where(column < 0, 0, column).astype(np.uint64)
        for fact, column in drawn.columns.items()
    }
    return Population(drawn.n, drawn.assets, columns)


def wrong(book: Book, drawn: Population) -> Iterator[tuple[str, Population, frozenset[str]]]:
    """(what is wrong, facts, the columns that say nothing then): another type, another shape, a fact of each scope."""
    # The axes on which a fact of a scope may have one cell only.
    single = {"lead": (1, 2), "channel": (1,), "asset": (0, 2), "lead_asset": (2,), "asset_channel": (0,)}
    for per, name in {per: fact for fact, per, _ in book.inputs if fact in drawn.columns}.items():
        column = drawn.columns[name]
        others = [("numbers with a point", column.astype(np.float64)), ("two axes", column[0])]
        others += [("too many leads", np.concatenate([column] * (drawn.n + 1)))]
        others += [(f"varies along axis {axis}", np.repeat(column, 2, axis=axis)) for axis in single[per]]
        if column.dtype.kind == "u":
            others.append(("a code with a sign", column.astype(np.int16)))
        for what, other in others:
            columns = {**drawn.columns, name: other}
            yield f"{name}: {what}", Population(drawn.n, drawn.assets, columns), frozenset({name})


def _good(book: Book, fact: str) -> int | None:
    """A code that no stop minds: of a yes/no the one that rules ask for in `unless_surely`, else `no`."""
    wanted = {"audience": "hcp", "jurisdiction": "US", "consent": "granted", "consent_kind": "express_written",
              "asset_status": "approved", "licence_status": "active", "asset_intent": "promotional"}  # fmt: skip
    if fact in wanted:
        return book.domain.code(fact, wanted[fact])
    if book.domain.facts[fact].type != "yesno":
        return None
    lasting = ("_match", "_proven", "_signed", "_footer", "_authorised", "_filed", "_fresh", "_approved", "_permitted",
               "_registered", "_given", "verified_hcp", "adult")  # fmt: skip
    return book.domain.code(fact, "yes" if fact.endswith(lasting) else "no")


def _around(book: Book) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for rule in every_rule(book):
        for leaf in leaves(rule.condition):
            if isinstance(leaf, Compare) and book.domain.is_number(leaf.fact):
                number = int(constant(leaf.value, book.domain, book.on))
                near = {n for n in (number - 1, number, number + 1) if n >= 0}
                found.setdefault(leaf.fact, set()).update(near)
    return found


def every_rule(book: Book) -> Iterator[Rule]:
    """Everything that a book compiles: rules, permits, who may not be scored, and what the feature gate says."""
    yield from (*book.rules, *book.permits, *book.score_rules, *book.feature_rules)
