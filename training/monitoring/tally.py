"""Counts of a whole result by groups of accounts, in one pass over its parts and in memory that does not grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.drift.drift import BINS
from training.monitoring.results import Result
from training.monitoring.things import ABSENT, COLUMNS, PERMITTED, RULES, Column, Kind

Floats = NDArray[np.float64]
MICROSECONDS_A_DAY = 86_400_000_000
Key = tuple[Kind, str]


@dataclass(slots=True)
class Tally:
    """Counts by group: all leads, leads with each thing, and leads in each bin of a number or level of a word.

    The first bin of a number is that it is missing; the others lie between `edges`.
    """

    groups: int
    of: Floats
    edges: Mapping[str, Floats]
    shares: dict[Key, Floats] = field(default_factory=dict)
    levels: dict[Key, dict[str, Floats]] = field(default_factory=dict)
    numbers: dict[Key, Floats] = field(default_factory=dict)

    def add_words(self, column: Column, group: NDArray[np.int64], values: Any) -> None:
        """Count the words of a column, text or lists of text; a list counts each of its words once a lead."""
        words, cells = _cells(values, group)
        for word, counts in zip(words, _by_group(cells, len(words), self.groups), strict=True):
            name = word if word is not None else ABSENT.get(column.name)
            if name is None and column.shape == "shares":
                continue
            if column.shape == "shares":
                key = (column.kind, f"{column.prefix}{name}")
                self.shares[key] = self.shares.get(key, 0.0) + counts
            else:
                own = self.levels.setdefault((column.kind, column.name), {})
                own[name or "not known"] = own.get(name or "not known", 0.0) + counts

    def add_number(self, column: Column, group: NDArray[np.int64], values: Floats) -> None:
        """Count a number by the bins of its edges; NaN is missing."""
        edges = self.edges[column.name]
        place = np.where(np.isnan(values), 0, np.searchsorted(edges, values, side="right") + 1)
        counts = np.bincount(group * (len(edges) + 2) + place, minlength=self.groups * (len(edges) + 2))
        key = (column.kind, column.name)
        found = counts.reshape(self.groups, -1).astype(np.float64)
        self.numbers[key] = self.numbers.get(key, 0.0) + found

    def add_channel(self, channel: str, group: NDArray[np.int64], table: pa.Table) -> None:
        """Count who is permitted on a channel, and whom each rule stops there."""
        permitted = table[PERMITTED.format(channel=channel)].to_numpy().astype(bool)
        key: Key = ("permit", channel)
        self.shares[key] = self.shares.get(key, 0.0) + _count(group[permitted], self.groups)
        name = RULES.format(channel=channel)
        if name in table.column_names:
            self.add_words(Column(name, "rule", "shares", "rule", f"{channel} "), group, table[name])


def tally(
    result: Result,
    groups: int,
    edges: Mapping[str, Floats],
    columns: Sequence[Column],
    channels: Sequence[str],
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Tally:
    """Count the given columns and channels of a result, which must have them; a hash of accounts draws the groups."""
    found = Tally(groups, np.zeros(groups), edges)
    wanted = [column.name for column in columns]
    wanted += [text.format(channel=channel) for channel in channels for text in (PERMITTED, RULES)]
    for done, (table, units) in enumerate(result.tables(wanted), start=1):
        group = (units % np.uint64(groups)).astype(np.int64)
        found.of += _count(group, groups)
        for column in columns:
            if column.shape in ("number", "age"):
                found.add_number(column, group, _numbers(column, table[column.name], result))
            else:
                found.add_words(column, group, table[column.name])
        for channel in channels:
            found.add_channel(channel, group, table)
        told(done, len(result.parts))
    return found


def edges_of(result: Result, columns: Sequence[Column]) -> dict[str, Floats]:
    """Bins of equal mass of each number of a result: the edges between them, fewer where many leads have one value."""
    numbers = [column for column in columns if column.shape in ("number", "age")]
    values: dict[str, list[Floats]] = {column.name: [] for column in numbers}
    for table, _ in result.tables([column.name for column in numbers]):
        for column in numbers:
            values[column.name].append(_numbers(column, table[column.name], result))
    return {name: inner_edges(np.concatenate(found)) for name, found in values.items()}


def inner_edges(values: Floats) -> Floats:
    """Edges between bins of equal mass of the known values, none of them below all."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.empty(0)
    found = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    # An edge at the smallest value would make a bin that no value is in.
    edges: Floats = found[found > known.min()]
    return edges


def watched_columns(result: Result) -> list[Column]:
    """The columns of a result that are counted."""
    return [column for column in COLUMNS if column.name in result.columns]


def _numbers(column: Column, values: pa.ChunkedArray, result: Result) -> Floats:
    if column.shape == "age":
        instants = pc.cast(values, pa.timestamp("us", "UTC"))
        now = pa.scalar(result.as_of, pa.timestamp("us", "UTC"))
        micros = pc.cast(pc.subtract(now, instants), pa.int64())
        return np.asarray(pc.cast(micros, pa.float64()).to_numpy() / MICROSECONDS_A_DAY, dtype=np.float64)
    return np.asarray(pc.cast(values, pa.float64()).to_numpy(), dtype=np.float64)


def _cells(values: pa.ChunkedArray, group: NDArray[np.int64]) -> tuple[list[str | None], NDArray[np.int64]]:
    """The distinct words, and for each lead and word once: group * words + word."""
    flat = values.combine_chunks()
    if pa.types.is_list(flat.type) or pa.types.is_large_list(flat.type):
        rows = pc.list_parent_indices(flat).to_numpy()
        encoded = pc.cast(flat.flatten(), pa.string()).dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        words = list(encoded.dictionary.to_pylist())
        width = max(len(words), 1)
        # A table of leads by words counts a word once a lead; sorting the pairs would take ten times as long.
        has = np.zeros(len(flat) * width, dtype=np.bool_)
        has[rows * width + codes] = True
        pairs = np.flatnonzero(has)
        return words, group[pairs // width] * len(words) + pairs % width
    if pa.types.is_dictionary(flat.type):
        flat = pc.cast(flat, flat.type.value_type)
    encoded = pc.cast(flat, pa.string()).dictionary_encode(null_encoding="encode")
    words = list(encoded.dictionary.to_pylist())
    return words, group * len(words) + encoded.indices.to_numpy(zero_copy_only=False)


def _count(group: NDArray[np.int64], groups: int) -> Floats:
    found: Floats = np.bincount(group, minlength=groups).astype(np.float64)
    return found


def _by_group(cells: NDArray[np.int64], words: int, groups: int) -> Floats:
    """Counts as float64[words, groups]."""
    found: Floats = np.bincount(cells, minlength=groups * words).reshape(groups, words).T.astype(np.float64)
    return found
