"""Arrow columns of the sample world: identifiers, coded text and instants, built without a loop over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

MISSING = -1
NO_INSTANT = np.iinfo(np.int64).min
INSTANT = pa.timestamp("us", tz="UTC")
COMPRESSION_LEVEL = 1
_YEAR = 365 * 86_400_000_000


def identifiers(prefix: str, width: int, numbers: NDArray[np.int64]) -> pa.Array:
    """Text identifiers such as `L0000001`: a prefix and a zero-padded number of fixed width."""
    size = len(prefix) + width
    letters = np.empty((len(numbers), size), dtype=np.uint8)
    letters[:, : len(prefix)] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    rest = numbers.astype(np.int64, copy=True)
    for position in range(size - 1, len(prefix) - 1, -1):
        rest, digit = np.divmod(rest, 10)
        letters[:, position] = digit + ord("0")
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * size
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(letters))


def chosen(values: pa.Array | Sequence[str], rows: NDArray[np.integer[Any]]) -> pa.Array:
    """The value at each row, null where the row is `MISSING`."""
    dictionary = values if isinstance(values, pa.Array) else pa.array(list(values), pa.string())
    if not len(dictionary):
        return pa.nulls(len(rows), pa.string())
    absent = rows < 0
    indices = pa.array(np.where(absent, 0, rows).astype(np.int32), mask=absent if absent.any() else None)
    return pa.DictionaryArray.from_arrays(indices, dictionary)


def instants(micros: NDArray[np.int64]) -> pa.Array:
    """UTC instants, null where `NO_INSTANT`."""
    absent = micros == NO_INSTANT
    return pa.array(micros, pa.int64(), mask=absent if absent.any() else None).cast(INSTANT)


def yes_no(codes: NDArray[np.integer[Any]]) -> pa.Array:
    """Booleans from 1, 0 and `MISSING`."""
    return pa.array(codes == 1, mask=codes < 0)


def as_checked(columns: dict[str, pa.Array], newest: NDArray[np.bool_]) -> dict[str, pa.Array]:
    """Rows with each check of a record as a version of its own, recorded when the record was checked.

    A record says when it was last verified, which nobody knew before. So it is followed by a version for that check, of
    the `newest` content, and by one for the check a year earlier.
    """
    recorded = columns["recorded_at"].cast(pa.int64()).to_numpy()
    verified = columns["verified_at"].cast(pa.int64()).fill_null(NO_INSTANT).to_numpy()
    later = verified > recorded
    last = np.flatnonzero(later & newest)
    before = last[verified[last] - _YEAR > recorded[last]]
    known = np.where(later, NO_INSTANT, verified)
    rows = pa.array(np.concatenate((np.arange(len(recorded)), before, last)))
    checks = np.concatenate((verified[before] - _YEAR, verified[last]))
    found = {name: column.take(rows) for name, column in columns.items()}
    found["recorded_at"] = instants(np.concatenate((recorded, checks)))
    found["verified_at"] = instants(np.concatenate((known, checks)))
    if "verified_hcp" in columns:
        unknown = columns["verified_hcp"].take(rows).is_null().to_numpy(zero_copy_only=False)
        yes = np.concatenate((known, checks)) != NO_INSTANT
        found["verified_hcp"] = pa.array(yes, mask=unknown)
    return found


class ParquetFiles:
    """One Parquet file a table in a folder, one row group a block; plain text types whatever the block's encoding."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers.values():
            writer.close()

    def append(self, table: str, columns: Mapping[str, pa.Array], serial: Sequence[str] = ()) -> None:
        """Add a block's rows; `serial` names columns of rising identifiers, which delta encoding makes small."""
        rows = pa.table(dict(columns))
        if table not in self._writers:
            self._writers[table] = pq.ParquetWriter(
                self._folder / f"{table}.parquet",
                rows.schema,
                compression="zstd",
                compression_level=COMPRESSION_LEVEL,
                use_dictionary=[name for name in rows.column_names if name not in serial],
                column_encoding=dict.fromkeys(serial, "DELTA_BYTE_ARRAY"),
                store_schema=False,
                write_statistics=True,
            )
            self.counts[table] = 0
        if rows.num_rows:
            self._writers[table].write_table(rows)
        self.counts[table] += rows.num_rows
