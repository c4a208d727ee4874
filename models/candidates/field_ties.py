"""Which fields say something about the others: each gets votes by its ties, and a field tied to nothing gets none.

Every field becomes a block of indicator columns: one column for each common category, three or so for a number cut at
its own quantiles. Unknown is a block of its own: where it only means that nobody asked, it is tied to nothing and
counts for nothing; where a field does not apply to everybody, that it is unknown is as telling as its values.

The tie of two fields is their mutual information over the leads that have both, corrected for chance (Miller 1955) and
divided by the geometric mean of their entropies (Strehl and Ghosh 2002). Feature selection for clustering by
dependence among features alone goes back to Talavera (1999).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Indices = NDArray[np.intp]

STRONGEST = 3
NO_TIE = 0.05
RARE = 0.005
HEAPED = 0.3
MIN_BOTH = 50
TIED_ON = 20_000


@dataclass(frozen=True, slots=True)
class MixedColumns:
    """What is clustered: numbers with NaN for unknown, and category codes with 0 for unknown, one row per lead.

    `numbers_share` is the part of all votes that numbers get together at most, as long as any category has votes.
    """

    number_names: tuple[str, ...]
    numbers: Floats
    category_names: tuple[str, ...]
    categories: NDArray[np.integer[Any]]
    numbers_share: float = 0.1

    @property
    def n(self) -> int:
        """Number of leads."""
        return len(self.numbers)


@dataclass(frozen=True, slots=True)
class Indicators:
    """The blocks that have a vote: 0 or 1 per lead and column, the block of each column, and the votes of each block.

    A lead that lacks a field has 0 in all columns of its block. `names` says which field a block is about; a name
    starting with `?` says whether that field is unknown.
    """

    hot: Singles
    block: Indices
    names: tuple[str, ...]
    votes: Floats
    centered: Singles = field(repr=False)

    @property
    def starts(self) -> Indices:
        """First column of each block."""
        return np.flatnonzero(np.r_[True, self.block[1:] != self.block[:-1]]).astype(np.intp)


@dataclass(frozen=True, slots=True)
class _Block:
    name: str
    source: str
    kind: str
    values: NDArray[np.int64]
    numeric: bool


def indicators(columns: MixedColumns) -> Indicators | None:
    """The voting blocks of mixed columns, or None where no field is tied to any other.

    INVARIANT: monotone rescaling of a number and renaming of category codes leave distances as they were.
    INVARIANT: a field tied to nothing changes nothing.
    """
    blocks = _blocks(columns)
    votes = _votes(blocks, ties(columns, blocks), columns.numbers_share)
    voting = [(block, own) for block, own in zip(blocks, votes, strict=True) if own > 0.0]
    if not voting:
        return None
    parts = [_hot(block.values) for block, _ in voting]
    hot = np.concatenate(parts, axis=1)
    block = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts]).astype(np.intp)
    weights = np.array([own for _, own in voting])
    # An unknown value is in the middle of its block: it is neither near to nor far from anybody for it.
    known = np.stack([part.any(axis=1) for part in parts], axis=1)[:, block]
    mean = hot.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centered = np.where(known, hot - mean, 0.0) * np.sqrt(weights[block])
    return Indicators(hot, block, tuple(b.name for b, _ in voting), weights, centered.astype(np.float32))


def votes_of(columns: MixedColumns) -> Mapping[str, float]:
    """Votes of every block by name, 0 for one that says nothing of the others; the strongest has 1."""
    blocks = _blocks(columns)
    votes = _votes(blocks, ties(columns, blocks), columns.numbers_share)
    return {block.name: float(own) for block, own in zip(blocks, votes, strict=True)}


def ties(columns: MixedColumns, blocks: list[_Block]) -> Floats:
    """Tie of every pair of blocks in [0, 1]; blocks of one field, and two unknowns, have none.

    That two fields are unknown together says that a record is poor, not who the lead is.
    """
    found = np.zeros((len(blocks), len(blocks)))
    if not blocks:
        return found
    step = max(1, -(-columns.n // TIED_ON))
    parts = [_hot(block.values[::step]) for block in blocks]
    hot = np.concatenate(parts, axis=1)
    counts = np.asarray(hot.T @ hot, dtype=np.float64)
    edges = np.cumsum([0, *(part.shape[1] for part in parts)])
    for i, one in enumerate(blocks):
        for j in range(i):
            other = blocks[j]
            if one.source == other.source or one.kind == other.kind == "unknown":
                continue
            found[i, j] = found[j, i] = _tie(counts[edges[i] : edges[i + 1], edges[j] : edges[j + 1]])
    return found


def _tie(table: Floats) -> float:
    """Normalised mutual information of a table of counts, 0 where chance could as well have made it."""
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n = table.sum()
    if n < MIN_BOTH or min(table.shape) < 2:
        return 0.0
    both, one, other = table / n, table.sum(axis=1) / n, table.sum(axis=0) / n
    seen = both > 0
    shared = float((both[seen] * np.log((both / np.outer(one, other))[seen])).sum())
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    if 2 * n * shared < freedom + 4 * np.sqrt(2 * freedom):  # the G statistic against four sigma of its own chance
        return 0.0
    entropies = -float((one * np.log(one)).sum()) * -float((other * np.log(other)).sum())
    tie = max(shared - freedom / (2 * n), 0.0) / np.sqrt(entropies)
    # Colleagues share their account's fields, so that even noise about accounts shows a little tie.
    return float(tie) if tie >= NO_TIE else 0.0


def _votes(blocks: list[_Block], tied: Floats, numbers_share: float) -> Floats:
    """The mean of a block's strongest ties; all that are tied as much as the middle one of them have the same vote."""
    if not blocks:
        return np.zeros(0)
    strongest = -np.sort(-tied, axis=1)[:, :STRONGEST]
    votes = strongest.mean(axis=1)
    numeric = np.array([block.numeric for block in blocks])
    telling = votes[(votes > 0) & np.array([block.kind == "category" for block in blocks])]
    middle = float(np.median(telling)) if len(telling) else float(votes.max())
    votes = np.minimum(votes / max(middle, 1e-9), 1.0)
    of_numbers, of_categories = votes[numeric].sum(), votes[~numeric].sum()
    most = numbers_share / (1.0 - numbers_share) * of_categories
    if of_categories > 0 and of_numbers > most:
        # Twenty counts that rise together must not outvote what a lead is.
        votes = np.where(numeric, votes * most / of_numbers, votes)
    return np.asarray(votes / max(votes.max(), 1e-9))


def _blocks(columns: MixedColumns) -> list[_Block]:
    """Every field as small codes from 0 with -1 for unknown, and whether it is unknown where that varies."""
    found: list[_Block] = []
    fields = [
        *((name, "number", _binned(columns.numbers[:, j])) for j, name in enumerate(columns.number_names)),
        *((name, "category", _common(columns.categories[:, j])) for j, name in enumerate(columns.category_names)),
    ]
    gaps: list[NDArray[np.bool_]] = []
    for name, kind, values in fields:
        numeric = kind == "number"
        if len(np.unique(values[values >= 0])) > 1:
            found.append(_Block(name, name, kind, values, numeric))
        unknown = values < 0
        # Shares of one total are unknown together: that is one thing to know, not one for each of them.
        if 0.01 < float(unknown.mean()) < 0.99 and not any(np.array_equal(unknown, gap) for gap in gaps):
            gaps.append(unknown)
            found.append(_Block(f"?{name}", name, "unknown", unknown.astype(np.int64), numeric))
    return found


def _binned(values: Floats) -> NDArray[np.int64]:
    """A number as its lowest value where many leads have just that, and equal parts of the rest; -1 for unknown."""
    found = np.full(len(values), -1, dtype=np.int64)
    known = np.isfinite(values)
    own = values[known]
    if not len(own):
        return found
    lowest = own == own.min()
    if lowest.mean() >= HEAPED and not lowest.all():
        found[known] = np.where(lowest, 0, 1 + (own > _quantile(own[~lowest], 1, 2)))
    else:
        found[known] = (own > _quantile(own, 1, 3)).astype(np.int64) + (own > _quantile(own, 2, 3))
    present = np.unique(found[found >= 0])
    found[found >= 0] = np.searchsorted(present, found[found >= 0])
    return found


def _quantile(values: Floats, part: int, of: int) -> float:
    """The value that this part of the values do not exceed: one that occurs, so that any rescaling keeps the cut."""
    return float(np.partition(values, (len(values) * part - 1) // of)[(len(values) * part - 1) // of])


def _common(codes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Codes from 0 by size, rare ones as unknown: a value that one lead in two hundred has divides nobody."""
    present, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    wanted = (present > 0) & (counts >= RARE * len(codes))
    numbered = np.full(len(present), -1, dtype=np.int64)
    numbered[wanted] = np.arange(int(wanted.sum()))
    return numbered[inverse]


def _hot(values: NDArray[np.int64]) -> Singles:
    return np.asarray(values[:, None] == np.arange(values.max(initial=0) + 1)[None, :], dtype=np.float32)
