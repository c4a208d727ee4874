"""Facts to rule on: drawn around codes that let most pass, so that permits and refusals of every kind occur."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.blocks import unpacked
from features.evaluate import All, AnyOf, Normal, NumberIs
from features.facts import Facts
from policy.book import Book
from policy.rulings import Rulings, rule

FIXED = {
    "jurisdiction": "US",
    "audience": "hcp",
    "consent": "granted",
    "asset_intent": "promotional",
    "asset_status": "approved",
}


def kinds(book: Book) -> Mapping[str, type[Any]]:
    """The type of the codes of every fact that the book looks at."""
    return {name: np.int32 if book.domain.is_number(name) else np.uint8 for name, _, _ in book.inputs}


def shape(book: Book, fact: str, n: int, assets: int) -> tuple[int, int, int]:
    """The shape of a fact of n leads."""
    per = book.domain.facts[fact].per
    return (
        1 if per in ("asset", "asset_channel") else n,
        assets if per in ("asset", "lead_asset", "asset_channel") else 1,
        len(book.channels) if per in ("channel", "asset_channel") else 1,
    )


def codes_of(book: Book, *, stray: bool, unknown: bool = True) -> Mapping[str, NDArray[Any]]:
    """Codes to draw for each fact: every value, unknown; for numbers the edges of every card; `stray` ones besides."""
    edges: dict[str, set[int]] = {}
    for one in (*book.rules, *book.permits, *book.score_rules):
        for leaf in _numbers_of(one.normal):
            edges.setdefault(leaf.fact, set()).update((leaf.number - 1, leaf.number, leaf.number + 1))
    found: dict[str, NDArray[Any]] = {}
    for name, kind in kinds(book).items():
        if kind is np.int32:
            codes = {-1, 0, 1, 36_500} | edges.get(name, set()) | ({-(2**31), -2, 2**31 - 1} if stray else set())
            chosen = sorted(codes) if unknown else sorted(code for code in codes if code >= 0)
        else:
            values = [*range(0 if unknown else 1, len(book.domain.facts[name].values) + 1)]
            chosen = [*values, *values, len(values) + 1, 255] if stray else values
        found[name] = np.array(chosen, dtype=kind)
    return found


def favorable_codes(book: Book, *, unknown: bool = True) -> dict[str, int]:
    """Codes that let as much pass as can be found by changing one fact after the other.

    The start is promotion to a professional in the United States of whom every question is answered with no and every
    count is 0; what `FIXED` names stays, or a service message that hardly any rule stops would be found.
    """
    drawn = codes_of(book, stray=False, unknown=unknown)
    best = {
        name: book.domain.code(name, FIXED[name]) if name in FIXED else 0 if book.domain.is_number(name) else 1
        for name in drawn
    }
    for _ in range(3):
        for name, codes in drawn.items():
            if name in FIXED:
                continue
            stops = [_stopped(book, {**best, name: int(code)}) for code in codes]
            if min(stops) < _stopped(book, best):
                best[name] = int(codes[int(np.argmin(stops))])
    return best


def _stopped(book: Book, codes: Mapping[str, int]) -> int:
    """How much stands against a lead on all channels; a missing permit weighs more than a rule."""
    columns = {name: np.full(shape(book, name, 1, 1), code, dtype=kinds(book)[name]) for name, code in codes.items()}
    ruled: Rulings = rule(book, Facts(1, ("none",), columns))
    against, support = (int(np.bitwise_count(masks[0, 0]).sum()) for masks in (ruled.blocks, ruled.permits))
    return against - 5 * support - 20 * int(ruled.permitted[0].sum())


def made_facts(
    book: Book,
    favorable: Mapping[str, int],
    n: int,
    assets: int,
    *,
    chance: float,
    seed: int = 1,
    stray: bool = False,
    unknown: bool = True,
) -> Facts:
    """Facts of n leads over some assets; each has its favorable code with the given chance, else any."""
    draw, columns = np.random.default_rng(seed), {}
    for name, codes in codes_of(book, stray=stray, unknown=unknown).items():
        size = shape(book, name, n, assets)
        drawn = codes[draw.integers(0, len(codes), size)]
        columns[name] = np.where(draw.random(size) < chance, codes.dtype.type(favorable[name]), drawn)
    return Facts(n, (*(f"asset_{a}" for a in range(assets - 1)), "none"), columns)


def rows(facts: Facts, start: int, stop: int) -> Facts:
    """Facts of some of the leads."""
    columns = {name: c[start:stop] if c.shape[0] == facts.n else c for name, c in facts.columns.items()}
    return Facts(stop - start, facts.assets, columns)


def plain_numbers(book: Book, facts: Facts) -> list[dict[str, Any]]:
    """The facts of each lead as plain numbers, as the fact builder tells those of one lead."""
    per = {name: book.domain.facts[name].per for name in facts.columns}
    shared = {name: unpacked(c, per[name]) for name, c in facts.columns.items() if per[name].startswith("asset")}
    found = []
    for row in range(facts.n):
        own = rows(facts, row, row + 1).columns
        found.append(shared | {name: unpacked(c, per[name]) for name, c in own.items() if name not in shared})
    return found


def _numbers_of(normal: Normal) -> Iterator[NumberIs]:
    if isinstance(normal, All | AnyOf):
        for part in normal.parts:
            yield from _numbers_of(part)
    elif isinstance(normal, NumberIs):
        yield normal
