"""One pass over the files, encoded rows written once by part, so that each part is read without the others.

The plan needs disk for the encoded rows (about 50 bytes an event) and memory for one part and for DuckDB's limit.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from configs.content import Asset
from configs.settings import Settings
from features.intake.buckets.store import STORED, Buckets
from features.intake.buckets.tonight import Stored, Tonight
from features.intake.feed import LOST
from features.intake.scan import readable
from features.intake.settle import spread
from features.intake.sources import Intake, Reading
from features.layout import LAYOUTS

ROWS_AT_ONCE = 1 << 20
ROWS_A_PART = 3_000_000


class Plan:
    """Files split into parts by root account; `part(i)` reads one part, as `read_tables(partition=(i, count))` does.

    A context manager: leaving it removes its temporary files.
    """

    def __init__(
        self,
        reading: Reading,
        count: int,
        folder: Path,
        complete: int,
        stored: Mapping[str, Stored] | None = None,
        buckets: Buckets | None = None,
    ) -> None:
        self._reading, self._folder, self._complete = reading, folder, complete
        self._stored, self._buckets = stored or {}, buckets
        found = {**reading.sources, **{table: kept.source for table, kept in self._stored.items()}}
        reading.sources = {table: found[table] for table in LAYOUTS if table in found}
        for kept in self._stored.values():
            reading.unmapped.update(kept.unmapped)
        self.notes = tuple(buckets.said) if buckets is not None else ()
        if reading.lost:
            self.notes += (f"{reading.lost:,} {LOST}",)
        self.count = count
        self.lead_counts: NDArray[np.int64] = np.bincount(reading.lead_part, minlength=count)

    def __enter__(self) -> Plan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files and remove what was written."""
        self._reading.con.close()
        if self._buckets is not None:
            self._buckets.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, progress: Callable[[str], None] | None = None) -> None:
        """Encode every table once and write its rows by part."""
        for table in self._reading.sources:
            if table in self._stored:
                continue
            if progress is not None:
                progress(table)
            self._split(table)

    def part(self, index: int) -> Intake:
        """Tables of one part."""
        raw: dict[str, pa.Table] = {}
        for table in self._reading.sources:
            if table in self._stored:
                raw[table] = self._stored[table].rows(index)
                continue
            with pa.memory_map(str(self._path(table, index))) as file:
                raw[table] = pa.ipc.open_stream(file).read_all()
        return self._reading.assemble(raw, index, self._complete)

    def parts(self) -> Iterator[Intake]:
        """Every part in turn."""
        for index in range(self.count):
            yield self.part(index)

    def _path(self, table: str, index: int) -> Path:
        return self._folder / f"{table}.{index}.arrows"

    def _split(self, table: str) -> None:
        with readable(self._reading.sources[table].files[0]):
            self._write(table)

    def _write(self, table: str) -> None:
        reader = self._reading.con.sql(self._reading.query(table)).to_arrow_reader(ROWS_AT_ONCE)
        spread(reader, [self._path(table, index) for index in range(self.count)])


def plan_partitions(
    files: Mapping[str, Path],
    settings: Settings,
    *,
    assets: Sequence[Asset] = (),
    count: int | None = None,
    folder: Path | None = None,
    as_of: datetime | None = None,
    suppressions_complete_as_of: datetime | None = None,
    suppressions_before: int | None = None,
    memory_limit_mb: int | None = 1024,
    threads: int = 2,
    progress: Callable[[str], None] | None = None,
    buckets: Path | None = None,
) -> Plan:
    """Read every file once and split it into parts by root account.

    Args:
        files: table -> file, folder or pattern, as from `find_files`.
        settings: the vocabularies are what matters here.
        assets: the inventory that events and touches refer to.
        count: how many parts; from the number of rows when absent.
        folder: where temporary files may be; the system's own place when absent.
        as_of: whose account a lead and whose child an account was then decides its root; the latest when absent.
        suppressions_complete_as_of: until when the feed is complete; read from the file's own metadata when absent.
        suppressions_before: how many stops an earlier run saw; far fewer now are not believed.
        memory_limit_mb: for DuckDB.
        threads: for DuckDB.
        progress: told the name of each table before it is read.
        buckets: the store of rows that earlier runs read; with it only new files of its tables are read.
    """
    place = Path(tempfile.mkdtemp(prefix="leadwell-plan-", dir=folder))
    store: Buckets | None = None
    try:
        options: dict[str, Any] = {"memory_limit_mb": memory_limit_mb, "threads": threads}
        if buckets is not None:
            store = Buckets(buckets, settings, **options)
        kept = {table: files[table] for table in STORED if store is not None and table in files}
        others = {table: path for table, path in files.items() if table not in kept}
        reading = Reading(others, settings, assets=assets, spill=place, **options)
        complete = reading.believed(files, settings, suppressions_complete_as_of, suppressions_before)
        if store is None:
            size = count or 1 + reading.row_count() // ROWS_A_PART
            reading.partition(size, as_of)
            plan = Plan(reading, size, place, complete)
        else:
            if progress is not None:
                progress("buckets")
            reading.partition(count or 1, as_of)
            tonight = Tonight.of(reading)
            store.bring_up_to(kept, tonight)
            if count is None:
                count = 1 + (reading.row_count() + store.row_count) // ROWS_A_PART
                reading.partition(count, as_of)
            stored = {table: store.stored(table, tonight, count) for table in kept}
            plan = Plan(reading, count, place, complete, stored, store)
        plan.write(progress)
    except BaseException:
        if store is not None:
            store.close()
        shutil.rmtree(place, ignore_errors=True)
        raise
    return plan
