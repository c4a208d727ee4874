"""New files of one table become a segment: encoded as any run encodes them, but with ids of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from configs.settings import Settings
from features.intake.buckets.segments import ROWS_A_CHUNK, by_home, write
from features.intake.scan import FILE_BITS, Source, connect, open_source, quoted, readable
from features.intake.settle import BUCKETS, parts_of, spread, unknown_column
from features.intake.sources import Reading
from features.layout import LAYOUTS, Layout

Homes = Callable[[pa.Array], NDArray[np.int32]]
ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What reading a file told: its rows, values that no vocabulary knows by field, lines that never became a row."""

    rows: int
    unmapped: dict[str, int]
    unreadable: list[list[Any]]


class NewRows(Reading):
    """Files of one table, opened by themselves; ids are those that the rows mention, whoever is known."""

    def __init__(
        self, table: str, files: Sequence[Path], settings: Settings, *, memory_limit_mb: int | None, threads: int,
        spill: Path,
    ) -> None:  # fmt: skip
        self.table, self.vocabularies, self.unmapped = table, settings.vocabularies, {}
        self._folder = Path(tempfile.mkdtemp(prefix=".new-", dir=spill))
        links = self._folder / "files"
        links.mkdir()
        for place, file in enumerate(files):
            (links / f"{place:07d}{file.suffix}").symlink_to(file.resolve())
        self.con = connect(files, memory_limit_mb=memory_limit_mb, threads=threads, spill=self._folder)
        self.sources: dict[str, Source] = {table: open_source(self.con, LAYOUTS[table], links)}
        self.ids: dict[str, pa.Array] = {}
        source = self.sources[table]
        with readable(source.files[0]):
            for column in source.layout.of_kind("reference"):
                if column.to in ("lead", "account", "asset"):
                    self.ids[column.to] = self._ids(f"{column.to}_ids", column.to, [(table, column.field)])
            for column in source.layout.of_kind("code", "yesno"):
                if column.field in source.fields:
                    self._spellings(source, column)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.con.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def spellings(self) -> dict[str, dict[str, int]]:
        """Field -> spelling -> code of everything that was met."""
        source = self.sources[self.table]
        return {
            column.field: dict(self.con.sql(f"SELECT spelling, code FROM code_{self.table}_{column.field}").fetchall())
            for column in source.layout.of_kind("code", "yesno")
            if column.field in source.fields
        }

    def facts(self, count: int) -> list[FileFacts]:
        """Of the first `count` files."""
        source = self.sources[self.table]
        of_file = f"SELECT s._at >> {FILE_BITS}, count(*) FROM {source.relation} s"
        rows = dict(self.con.sql(f"{of_file} GROUP BY 1").fetchall())
        unmapped: dict[int, dict[str, int]] = {}
        for name in self.unmapped:
            field = name.partition(".")[2]
            found = self.con.sql(
                f"{of_file} JOIN code_{self.table}_{field} c ON c.spelling = CAST(s.{quoted(field)} AS VARCHAR) "
                "WHERE c.code = 0 GROUP BY 1"
            )
            for place, number in found.fetchall():
                unmapped.setdefault(place, {})[field] = number
        lines: dict[int, list[list[Any]]] = {}
        for place, *rest in source.unreadable:
            lines.setdefault(place, []).append(rest)
        return [FileFacts(rows.get(at, 0), unmapped.get(at, {}), lines.get(at, [])) for at in range(count)]

    def write(self, path: Path, numbers: NDArray[np.int64], reasons: NDArray[np.uint8], home_of: Homes) -> int:
        """Write the rows of the files whose number is not negative, and return how many there are.

        Args:
            path: of the segment.
            numbers: the number the store knows each file by, -1 for one that is in the store already.
            reasons: for each reason of this source, from 1 on, the place of it in the store's own list.
            home_of: the bucket each lead is at home in tonight.
        """
        by_id = self.ids["lead"]
        leads, homes = by_home(by_id, home_of)
        listed = ", ".join(str(place) for place in np.flatnonzero(numbers >= 0))
        new = f"(s._at >> {FILE_BITS}) IN ({listed})"
        source = self.sources[self.table]
        total = int(self.con.sql(f"SELECT count(*) FROM {source.relation} s WHERE {new}").fetchall()[0][0])
        if not total:
            return 0
        count = min(1 + total // ROWS_A_CHUNK, BUCKETS)
        chunk_of = parts_of(homes, count)
        numbered = pa.table({"id": leads, "lead": np.arange(len(leads), dtype=np.int32), "part": chunk_of})
        self.con.register("given_leads", numbered)
        self.con.execute("CREATE TEMP TABLE lead_ids_part AS SELECT * FROM given_leads")
        for other in self.ids:
            if other not in ("lead", "asset"):
                self.con.execute(f"CREATE TEMP TABLE {other}_ids_part AS SELECT *, 0 AS part FROM {other}_ids")
        paths = [self._folder / f"{index}.arrows" for index in range(count)]
        with readable(source.files[0]):
            where = f" WHERE {new}" if (numbers < 0).any() else ""
            reader = self.con.sql(self.query(self.table) + where).to_arrow_reader(ROWS_AT_ONCE)
            spread(reader, paths)
        self.ids["lead"] = leads
        write(path, self.ids, homes, _chunks(source.layout, paths, np.int32(len(leads)), numbers, reasons))
        return total


def _chunks(
    layout: Layout, paths: Sequence[Path], nobody: np.int32, numbers: NDArray[np.int64], reasons: NDArray[np.uint8]
) -> Iterator[tuple[pa.Table, NDArray[np.int32]]]:
    """Rows by chunk, numbered as the store numbers files; what cannot be used is nobody's and comes last."""
    unusable: list[pa.Table] = []
    for index, path in enumerate(paths):
        with pa.memory_map(str(path)) as file:
            rows = pa.ipc.open_stream(file).read_all()
        bad = rows["_bad"].to_numpy()
        at = rows["_at"].to_numpy()
        own = at & ((1 << FILE_BITS) - 1)
        columns: dict[str, Any] = {name: rows[name] for name in rows.column_names if name not in ("lead", "_part")}
        for column in layout.encoded:  # every segment has every column
            if column.name not in rows.column_names:
                hashed = column.to in ("message", "case")
                columns[column.name] = np.zeros(len(at), np.uint64) if hashed else unknown_column(column, len(at))
        columns["_at"] = pa.array(numbers[at >> FILE_BITS] << FILE_BITS | own)
        columns["_bad"] = pa.array(reasons[bad])
        lead = rows["lead"].to_numpy()
        rows = pa.table(columns)
        if bad.any():
            unusable.append(rows.filter(pa.array(bad > 0)))
            rows, lead = rows.filter(pa.array(bad == 0)), lead[bad == 0]
        if index == len(paths) - 1 and unusable:
            rows = pa.concat_tables([rows, *unusable])
            lead = np.concatenate((lead, np.full(len(rows) - len(lead), nobody)))
        yield rows, lead
