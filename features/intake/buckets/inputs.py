"""What is known of a table's files without reading their rows: the bytes they hold and the columns they give.

A file is told by the SHA-256 of all its bytes, never by its age or size, and no row by when it was recorded: a row that
arrives late, in an old file or in a new one, cannot slip past.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from features.intake.scan import SUFFIXES, files_of, read_header, readable
from features.layout import LAYOUTS


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of a table. `mark` tells its content, wherever it lies; `columns` how its columns make rows be read."""

    path: Path
    size: int
    mark: str
    columns: str


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inputs_of(table: str, path: Path, threads: int = 2) -> tuple[InputFile, ...]:
    """The files behind a path, in the order in which `files_of` numbers them.

    Raises:
        InputInvalid: there is none, they are of several kinds, or one cannot be read.
    """
    files = files_of(table, path)
    with readable(str(path), OSError), ThreadPoolExecutor(threads) as pool:
        hashes = list(pool.map(sha256_of, files))
    return tuple(_input(table, file, digest) for file, digest in zip(files, hashes, strict=True))


def _input(table: str, file: Path, digest: str) -> InputFile:
    """A file with what its columns and its path say; `day=2026-06-30` in a path is a column to DuckDB."""
    wanted = {column.field for column in LAYOUTS[table].columns}
    keys = [part for part in file.resolve().parent.parts if "=" in part]
    columns = [f"path {key.partition('=')[0]}" for key in keys]
    if (kind := SUFFIXES[file.suffix.lower()]) == "parquet":
        with readable(str(file), OSError):
            schema = pq.read_schema(file)
        columns += sorted(f"{field.name} {field.type}" for field in schema if field.name in wanted)
    elif kind == "csv":
        key = next(column.field for column in LAYOUTS[table].columns if column.required)
        columns += sorted(wanted & set(read_header(file, key)[0]))
    values = [key for key in keys if key.partition("=")[0] in wanted]
    return InputFile(file, file.stat().st_size, " ".join([digest, *values]), ", ".join(columns))


def one_of_each(files: Iterable[InputFile]) -> dict[str, InputFile]:
    """The smallest file of every kind of columns: together they have the types that all files have together."""
    found: dict[str, InputFile] = {}
    for file in files:
        if file.columns not in found or file.size < found[file.columns].size:
            found[file.columns] = file
    return found
