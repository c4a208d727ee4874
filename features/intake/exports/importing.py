"""A CRM's export becomes Leadwell's tables by a mapping: files or databases in, a folder of Parquet out.

INVARIANT: of every input table, used + rejected + duplicate = read, and each rejected row is listed with its reason.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from configs.exports import ExportMapping
from features.intake.exports.cells import IPAD, OPAD
from features.intake.exports.convert import REJECTS, InputCounts, Work, convert, is_folder, stage
from features.intake.exports.convert import Export as Export
from features.intake.exports.inputs import find_tables
from features.intake.exports.records import check_mapping
from features.intake.exports.store import Hashing, Store
from features.intake.exports.tables import write
from features.intake.scan import connect


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: rows of each canonical table, what became of each input row, and all that is odd."""

    tables: Mapping[str, int]
    counts: Mapping[str, InputCounts]
    rejects: pa.Table
    absent: tuple[str, ...]
    unmapped: Mapping[str, int]
    notes: Mapping[str, int]
    complete_as_of: datetime | None
    key_file: Path | None
    key_made: bool


def import_exports(
    exports: Sequence[Export],
    out: Path,
    *,
    as_of: datetime | None = None,
    key_file: Path | None = None,
    memory_limit_mb: int | None = None,
    threads: int = 2,
    progress: Callable[[str], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Imported:
    """Read exports and replace the folder `out` by their canonical tables, all or nothing.

    Args:
        exports: what to read; several become one folder.
        out: a folder that is empty, new, or an earlier import.
        as_of: when the exports were taken; the newest instant in them when absent.
        key_file: the key of the hashes; `leadwell-hash.key` beside `out` when absent, made where it is not there.
        memory_limit_mb: for DuckDB.
        threads: for DuckDB.
        progress: told the name of each table before it is read.
        environment: where databases find their URI; the process's own when absent.

    Raises:
        ConfigInvalid: a mapping names a table or field that does not exist.
        InputInvalid: a file, table or column is not as expected, or `out` holds something else.
    """
    for export in exports:
        check_mapping(export.mapping, export.mapping_file)
    work = Work()
    with Store(out, tuple(Path(export.where) for export in exports)) as store, ExitStack() as open_:
        found = [find_tables(export.mapping, Path(export.where)) if is_folder(export) else {} for export in exports]
        listed = [file for tables in found for files in tables.values() for file in files]
        hashing = Hashing.of(out, key_file, needed=any(_hashes(export.mapping) for export in exports))
        con = connect(listed, memory_limit_mb=memory_limit_mb, threads=threads, spill=store.spill)
        open_.callback(con.close)
        con.execute(f"SET VARIABLE {IPAD} = $1", [hashing.inner])
        con.execute(f"SET VARIABLE {OPAD} = $1", [hashing.outer])
        for place, (export, files) in enumerate(zip(exports, found, strict=True)):
            inputs = stage(con, export, files, place, as_of, environment or os.environ, open_, progress)
            convert(con, export, inputs, place, work)
        tables = write(con, store, work, as_of, exports)
        rejects = pa.concat_tables(work.rejects) if work.rejects else REJECTS.empty_table()
        complete = tables.complete_as_of
        store.finish(
            rejects,
            {name: _plain(counts) for name, counts in work.counts.items()},
            {
                "sources": [_stated(export) for export in exports],
                "files": sorted(set(work.files)),
                "tables": tables.rows,
                "absent": work.absent,
                "unmapped": work.unmapped,
                "notes": work.notes,
                "as_of": as_of.astimezone(UTC).isoformat() if as_of is not None else None,
                "suppressions_complete_as_of": complete.isoformat() if complete is not None else None,
                "key_fingerprint": hashing.fingerprint,
            },
        )
    return Imported(
        tables.rows, work.counts, rejects, tuple(work.absent), work.unmapped, work.notes, complete,
        hashing.file, hashing.made,
    )  # fmt: skip


def _hashes(mapping: ExportMapping) -> bool:
    return any(
        cell.hash is not None
        for table in mapping.tables.values()
        for record in table.records
        for cell in record.fields.values()
    )


def _plain(counts: InputCounts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in InputCounts.__slots__}


def _stated(export: Export) -> dict[str, str]:
    content = json.dumps(export.mapping.model_dump(mode="json"), sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return {"source": export.mapping.name, "from": export.where, "mapping_sha256": digest}
