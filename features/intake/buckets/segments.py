"""Segments of the bucket store: encoded rows of one table, those of a lead side by side, written once, never changed.

Rows refer to leads, accounts and assets by the segment's own lists of ids, because who is known, and which account a
lead is at, is another matter every night. Leads are listed by home, which is the bucket of their root account on the
night the segment was written: so the rows of a part of tonight are one slice, and those of leads that moved since are
picked out one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from features.intake.settle import BUCKETS, parts_of

ROWS_A_CHUNK = 2_000_000
REFERENCES = ("account", "asset")


@dataclass(frozen=True, slots=True)
class Segment:
    """An open segment. `starts` has the first row of each lead, then of the rows no lead has, then the end."""

    path: Path
    ids: Mapping[str, pa.Array]
    homes: NDArray[np.int32]
    starts: NDArray[np.int64]

    @classmethod
    def open(cls, path: Path) -> Segment:
        """Open a segment that `write` made."""
        with pa.memory_map(str(ids_of(path))) as file:
            row = pa.ipc.open_file(file).read_all()
        lists = {name: row[name].chunk(0).values for name in row.column_names}
        homes, starts = lists.pop("home").to_numpy(), lists.pop("start").to_numpy()
        return cls(path, lists, homes, starts)

    @property
    def row_count(self) -> int:
        """Rows, those that cannot be used included."""
        return int(self.starts[-1])

    def homes_in(self, count: int) -> NDArray[np.int32]:
        """The part of `count` that each lead's home falls into; what no lead has is in part 0."""
        return np.append(parts_of(self.homes, count), np.int32(0))

    def pick(
        self, parts: NDArray[np.int32], homes: NDArray[np.int32], index: int
    ) -> tuple[pa.Table, NDArray[np.int32]]:
        """Rows of the leads whose part is `index`, and the lead (a row of `ids`) of each.

        Args:
            parts: the part of every lead, then of what no lead has.
            homes: the same where nobody moved, from `homes_in`.
            index: the part that is asked for.
        """
        n = len(self.homes)
        first, last = np.searchsorted(homes[:n], (index, index + 1)).tolist()
        mine = parts == index
        staying, arriving = mine.copy(), mine
        staying[:first] = staying[last:] = False
        arriving[first:last] = False
        with pa.memory_map(str(self.path)) as file:
            rows = pa.ipc.open_file(file).read_all()
            found = rows.slice(int(self.starts[first]), int(self.starts[last] - self.starts[first]))
            leads = np.flatnonzero(staying)
            if len(leads) < last - first:
                found = found.take(pa.array(_ranges(self.starts[leads], self.starts[leads + 1]) - self.starts[first]))
            moved = np.flatnonzero(arriving)
            if len(moved):
                found = pa.concat_tables(
                    [found, rows.take(pa.array(_ranges(self.starts[moved], self.starts[moved + 1])))]
                )
        leads = np.concatenate((leads, moved))
        return found, np.repeat(leads, self.starts[leads + 1] - self.starts[leads]).astype(np.int32)


def ids_of(path: Path) -> Path:
    """The file with the ids of a segment, beside its rows."""
    return path.with_suffix(".ids")


def write(
    path: Path,
    ids: Mapping[str, pa.Array],
    homes: NDArray[np.int32],
    chunks: Iterable[tuple[pa.Table, NDArray[np.int32]]],
) -> None:
    """Write a segment; leads are listed by rising home, and every lead's rows are within one chunk.

    Args:
        path: of its rows; the ids go beside it.
        ids: `lead`, `account` and `asset` ids, which the rows' references point into.
        homes: the bucket of each lead, rising.
        chunks: rows and the lead of each, `len(homes)` where a row cannot be used; leads rise from chunk to chunk.
    """
    sizes = np.zeros(len(homes) + 1, dtype=np.int64)
    writer: pa.ipc.RecordBatchFileWriter | None = None
    try:
        for rows, lead in chunks:
            order = in_order(lead, len(homes) + 1, sizes)
            sorted_ = rows.take(pa.array(order)).combine_chunks()
            if writer is None:
                writer = pa.ipc.new_file(str(path), rows.schema)
            writer.write_table(sorted_)
    finally:
        if writer is not None:
            writer.close()
    starts = np.concatenate(([0], np.cumsum(sizes)))
    lists = {**ids, "home": pa.array(homes, pa.int32()), "start": pa.array(starts, pa.int64())}
    row = pa.table({name: pa.ListArray.from_arrays([0, len(values)], values) for name, values in lists.items()})
    with pa.ipc.new_file(str(ids_of(path)), row.schema) as out:
        out.write_table(row)


@njit(cache=True, nogil=True)
def in_order(lead: Any, n: int, sizes: Any) -> Any:
    """Where the rows of lead 0, 1, 2, ... are, in the order they came in; adds how many there are to `sizes`."""
    places = np.zeros(n + 1, dtype=np.int64)
    for row in lead:
        places[row + 1] += 1
    for i in range(n):
        sizes[i] += places[i + 1]
        places[i + 1] += places[i]
    order = np.empty(len(lead), dtype=np.int64)
    for i in range(len(lead)):
        order[places[lead[i]]] = i
        places[lead[i]] += 1
    return order


def _ranges(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """All numbers of these ranges, one range after the other."""
    sizes = ends - starts
    firsts = np.repeat(starts - np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes)
    return np.asarray(firsts + np.arange(len(firsts), dtype=np.int64))


def merge(
    path: Path,
    segments: Iterable[Segment],
    home_of: Callable[[pa.Array], NDArray[np.int32]],
    alive: Callable[[pa.Table], NDArray[np.bool_]],
) -> None:
    """Write the rows of several segments as one, without those of files that are gone, at the homes of tonight."""
    old = list(segments)
    ids = {name: pc.unique(pa.concat_arrays([segment.ids[name] for segment in old])) for name in old[0].ids}
    ids["lead"], homes = by_home(ids["lead"], home_of)
    count = min(1 + sum(segment.row_count for segment in old) // ROWS_A_CHUNK, BUCKETS)
    places = [
        {name: pc.index_in(segment.ids[name], ids[name]).to_numpy().astype(np.int32) for name in ids} for segment in old
    ]
    write(path, ids, homes, (_merged(old, places, homes, count, index, alive) for index in range(count)))


def _merged(
    old: list[Segment],
    places: list[dict[str, NDArray[np.int32]]],
    homes: NDArray[np.int32],
    count: int,
    index: int,
    alive: Callable[[pa.Table], NDArray[np.bool_]],
) -> tuple[pa.Table, NDArray[np.int32]]:
    nobody = np.int32(len(homes))
    chunk_of = np.append(parts_of(homes, count), np.int32(count - 1))
    tables, leads = [], []
    for segment, place in zip(old, places, strict=True):
        lead_place = np.append(place["lead"], nobody)
        rows, lead = segment.pick(chunk_of[lead_place], segment.homes_in(count), index)
        for name in REFERENCES:
            if name in rows.column_names:
                rows = replaced(rows, name, moved(rows[name].to_numpy(), place[name]))
        kept = alive(rows)
        tables.append(rows if kept.all() else rows.filter(pa.array(kept)))
        leads.append(lead_place[lead][kept])
    return pa.concat_tables(tables, promote_options="default"), np.concatenate(leads)


def moved(references: NDArray[np.int32], places: NDArray[np.int32]) -> NDArray[np.int32]:
    """References into another list: -1 stays -1."""
    found: NDArray[np.int32] = np.append(places, np.int32(-1))[references]  # -1 reads the last place
    return found


def replaced(rows: pa.Table, name: str, values: NDArray[Any]) -> pa.Table:
    """The rows with other values in one column."""
    return rows.set_column(rows.column_names.index(name), name, pa.array(values))


def by_home(leads: pa.Array, home_of: Callable[[pa.Array], NDArray[np.int32]]) -> tuple[pa.Array, NDArray[np.int32]]:
    """Lead ids by rising home, and by id within it."""
    homes = home_of(leads)
    by_id = np.asarray(pc.sort_indices(leads))
    order = by_id[np.argsort(homes[by_id], kind="stable")]
    return leads.take(pa.array(order)), homes[order]
