"""Rows of one table set right against each other: rejected with a reason, counted once, made local to a part."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.columns import first_of_each
from features.encode import DTYPES, dtype_of
from features.intake.repeats import repeated_rows
from features.intake.scan import FILE_BITS, Source
from features.layout import Column, Layout
from features.tables import SKEW_US, UNKNOWN_INSTANT, Columns

REJECTS = pa.schema([("file", pa.string()), ("row", pa.int64()), ("column", pa.string()), ("reason", pa.string())])
UNKNOWN_LEAD, UNKNOWN_ACCOUNT = 254, 253
# Every id falls into one of so many buckets; a part is a range of them, whatever the number of parts.
BUCKETS = 1024


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of one table. INVARIANT: used + rejected + duplicate = read."""

    read: int
    used: int
    rejected: int
    duplicate: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A table after its rows were split into used, rejected and duplicate."""

    columns: dict[str, NDArray[Any]]
    counts: Counts
    rejects: pa.Table
    flagged: dict[str, int]


def finish(source: Source, rows: pa.Table, *, first: bool) -> Finished:
    """Split rows into used, rejected and duplicate; `first` counts what no part owns."""
    layout = source.layout
    bad, at = rows["_bad"].to_numpy(), rows["_at"].to_numpy()
    good = bad == 0
    columns = {column.name: _array(rows, column, layout) for column in layout.encoded}
    identity = (
        rows["event_id" if layout.table == "events" else "touch_id"].to_numpy() if layout.of_kind("identity") else None
    )
    if not good.all():
        columns = {name: column[good] for name, column in columns.items()}
        identity = identity[good] if identity is not None else None
    keep, conflict = _without_duplicates(layout, columns, identity)
    n = len(keep)
    rejected = [(int(at_), *_reason(source, int(code))) for at_, code in zip(at[~good], bad[~good], strict=True)]
    if not keep.all():
        name = next((c.field for c in layout.of_kind("identity")), "recorded_at")
        rejected += [(int(a), name, "another row with the same key has other content") for a in at[good][conflict]]
        columns = {key: column[keep] for key, column in columns.items()}
    mask = (1 << FILE_BITS) - 1
    listed = [(source.files[a >> FILE_BITS], a & mask, field_, reason) for a, field_, reason in sorted(rejected)]
    if first:
        listed += [(source.files[place], row, "", reason) for place, row, reason in source.unreadable]
    extra = len(source.unreadable) if first else 0
    counts = Counts(len(bad) + extra, int(keep.sum()), len(listed), n - int(keep.sum()) - int(conflict.sum()))
    rejects = pa.Table.from_pylist([dict(zip(REJECTS.names, row, strict=True)) for row in listed], schema=REJECTS)
    flagged = {}
    if "_odd" in rows.column_names:
        odd = rows["_odd"].to_numpy()[good][keep]
        flagged[f"{layout.table}: something unreadable, read the stricter way"] = int((odd > 0).sum())
    if layout.table == "events":
        late = columns["occurred_at"] - columns["recorded_at"] > SKEW_US
        flagged["events: occurred more than 5 minutes after they were recorded"] = int(late.sum())
    return Finished(columns, counts, rejects, flagged)


def _reason(source: Source, code: int) -> tuple[str, str]:
    if code == UNKNOWN_LEAD:
        return "lead_id", "reference to an unknown lead"
    if code == UNKNOWN_ACCOUNT:
        return "account_id", "reference to an unknown account"
    return source.reasons[code - 1]


def _array(rows: pa.Table, column: Column, layout: Layout) -> NDArray[Any]:
    if column.name not in rows.column_names:
        return unknown_column(column, rows.num_rows)
    values = rows[column.name]
    if column.kind == "text":
        return objects(values.combine_chunks() if values.num_chunks != 1 else values.chunk(0))
    found = values.to_numpy()
    if column.to == "case":
        found = np.unique(found, return_inverse=True)[1]
    if column.to == "message":
        return np.array(found, dtype=np.uint64)  # a hash, until `number_messages`
    # Zero-copy views of Arrow memory are read-only; compiled kernels want one kind of array only.
    return np.array(found, dtype=DTYPES[column.kind])


def unknown_column(column: Column, n: int) -> NDArray[Any]:
    """A column of which nothing is known."""
    empty: dict[str, Any] = {"instant": UNKNOWN_INSTANT, "number": np.nan, "count": -1, "reference": -1, "text": None}
    fill = 1 if column.kind == "present" else empty.get(column.kind, 0)
    return np.full(n, fill, dtype=dtype_of(column))


def _without_duplicates(
    layout: Layout, columns: Columns, identity: NDArray[np.uint64] | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    n = len(next(iter(columns.values()))) if columns else 0
    keep, conflict = np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    if not layout.identity or n < 2:
        return keep, conflict
    key = [columns.get(part, identity) for part in layout.identity]
    mixed = np.zeros(n, dtype=np.uint64)
    for part in key:
        mixed = (mixed ^ part.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)  # type: ignore[union-attr]
        mixed ^= mixed >> np.uint64(29)
    rows = repeated_rows(mixed)
    if len(rows) == 0:
        return keep, conflict
    kept, _, conflicting = first_of_each(
        [part[rows] for part in key if part is not None], {k: c[rows] for k, c in columns.items()}
    )
    keep[rows], conflict[rows] = kept, conflicting
    return keep, conflict


def localized(
    columns: dict[str, dict[str, NDArray[Any]]], names: tuple[str, ...], mine: NDArray[np.bool_], ids: pa.Array
) -> pa.Array:
    """Make references rows of this part; an id of another part that is referred to is appended after its own."""
    wanted = mine.copy()
    spots = [(table, name) for table, found in columns.items() for name in names if name in found]
    for table, name in spots:
        column = columns[table][name]
        wanted[column[column >= 0]] = True
    rows = np.concatenate((np.flatnonzero(mine), np.flatnonzero(wanted & ~mine)))
    place = np.full(len(mine) + 1, -1, dtype=np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    for table, name in spots:
        columns[table][name] = place[columns[table][name]]  # -1 reads the last place, which stays -1
    mine_first: pa.Array = ids.take(pa.array(rows))
    return mine_first


def number_messages(columns: dict[str, dict[str, NDArray[Any]]]) -> None:
    """Hashes of messages become their numbers, the same in every table; -1 where a row names no message.

    A hash of 63 bits serves as it is: messages are only ever compared within one lead, and sorting or looking up
    millions of them would cost more than all that is made of them.
    """
    for found in columns.values():
        if "message" in found and found["message"].dtype == np.uint64:
            number = (found["message"] >> np.uint64(1)).astype(np.int64)
            number[found["message"] == 0] = -1
            found["message"] = number


def objects(values: pa.Array) -> NDArray[np.object_]:
    """Text as an object array; equal texts share one object."""
    encoded = values.dictionary_encode()
    distinct = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    found: NDArray[np.object_] = distinct[encoded.indices.fill_null(len(distinct) - 1).to_numpy(zero_copy_only=False)]
    return found


def root_of(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """The topmost parent of each account; where parents go in a circle, the smallest row of the circle."""
    above = np.where(parent >= 0, parent, np.arange(len(parent), dtype=np.int64))
    jump = above
    smallest = np.arange(len(parent), dtype=np.int64)
    # Each round doubles the steps: after the last one everybody is at a top or went round the whole circle.
    for _ in range(len(parent).bit_length()):
        if np.array_equal(above[jump], jump):
            return jump
        smallest = np.minimum(smallest, smallest[jump])
        jump = jump[jump]
    # INVARIANT: an account and its parent have one root, also where a chain hangs on a circle.
    return smallest[jump]


def buckets_of(ids: pa.Array) -> NDArray[np.int32]:
    """The bucket each id falls into, the same on every machine and in every run."""
    return np.array([zlib.crc32(text.encode()) % BUCKETS for text in ids.to_pylist()], dtype=np.int32)


def parts_of(buckets: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """The part of `count` that each bucket belongs to."""
    return buckets * np.int32(count) // np.int32(BUCKETS)


def spread(reader: pa.RecordBatchReader, paths: Sequence[Path]) -> None:
    """Write the rows of each part (their `_part`) to its own file, an Arrow stream."""
    writers = [pa.ipc.new_stream(str(path), reader.schema) for path in paths]
    try:
        for batch in reader:
            part = batch.column("_part").to_numpy()
            order = np.argsort(part.astype(np.uint16), kind="stable")
            ends = np.cumsum(np.bincount(part, minlength=len(paths)))
            sorted_ = batch.take(pa.array(order)) if len(paths) > 1 else batch
            for writer, start, end in zip(writers, [0, *ends[:-1]], ends, strict=True):
                if end > start:
                    writer.write_batch(sorted_.slice(int(start), int(end - start)))
    finally:
        for writer in writers:
            writer.close()
