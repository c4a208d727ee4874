"""Text and Parquet files as DuckDB relations with a place for each row: which file, and which line or row of it.

A CSV row is placed on the line on which it begins, also where records are wrapped over several lines.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from configs.errors import InputInvalid

FILE_BITS = 40
MAX_COLUMNS = 2000
DELIMITERS = ",;\t|"
_BOM = b"\xef\xbb\xbf"
_LINES_AT_ONCE = 10_000


def literal(text: str) -> str:
    """A text literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name of SQL."""
    return '"' + name.replace('"', '""') + '"'


def stage_parquet(con: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path]) -> str:
    """Make Parquet files a view with `_at`; folders named `column=value` give their column. Returns the name."""
    listed = ", ".join(literal(str(file.resolve())) for file in files)
    read = f"read_parquet([{listed}], union_by_name = true, filename = true, file_row_number = true)"
    order = {str(file.resolve()): index for index, file in enumerate(files)}
    place = f"(list_position([{', '.join(map(literal, order))}], filename) - 1)" if len(files) > 1 else "0"
    con.execute(
        f"CREATE TEMP VIEW {name} AS SELECT * EXCLUDE (filename, file_row_number), "
        f"CAST({place} AS BIGINT) * {1 << FILE_BITS} + file_row_number + 1 AS _at FROM {read}"
    )
    return name


def read_header(file: Path, key: str) -> tuple[list[str], str]:
    """Column names of a CSV file and its delimiter; raises InputInvalid when the key column is not among them."""
    with file.open("rb") as stream:
        start = stream.read(1 << 20)
    try:
        text = start.decode("utf-8-sig", errors="strict" if len(start) < 1 << 20 else "ignore")
    except UnicodeDecodeError:
        raise InputInvalid(str(file), "expected UTF-8 text") from None
    names: list[str] = []
    for delimiter in DELIMITERS:
        names = first_record(text, delimiter, file)
        if key in names:
            break
    else:
        raise InputInvalid(str(file), "expected this column in the first line", field=key)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputInvalid(str(file), "expected each column once", field=repeated[0])
    if len(names) > MAX_COLUMNS:
        raise InputInvalid(str(file), f"expected at most {MAX_COLUMNS} columns")
    return names, delimiter


def first_record(text: str, delimiter: str, file: Path) -> list[str]:
    """The trimmed fields of the first record of a text; raises InputInvalid where it has no end."""
    try:
        row = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error:
        raise InputInvalid(str(file), "expected a line with the names of the columns") from None
    return [name.strip() for name in row]


def stage_csv(
    con: duckdb.DuckDBPyConnection,
    name: str,
    file: Path,
    key: str,
    place: int = 0,
    *,
    header: tuple[list[str], str] | None = None,
) -> tuple[tuple[int, int, str], ...]:
    """Stage a CSV file as text columns and `_at`; returns the rows that do not fit the header, with the reason.

    Args:
        con: the session.
        name: the table to make.
        file: UTF-8, with or without a byte order mark.
        key: a column that must be there.
        place: the index of the file among the table's files.
        header: column names and delimiter where they are known already; `key` is not looked for then.
    """
    names, delimiter = header or read_header(file, key)
    columns = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in names)
    con.execute(
        f"CREATE TEMP TABLE {name} AS SELECT *, row_number() OVER () + {(place << FILE_BITS) + 1} AS _at FROM "
        f"read_csv([{literal(str(file.resolve()))}], auto_detect = false, columns = {{{columns}}}, header = true, "
        f"delim = {literal(delimiter)}, quote = '\"', escape = '\"', store_rejects = true, "
        f"rejects_table = 'rejects_{name}', rejects_scan = 'scan_{name}')"
    )
    lines = con.sql(
        f"SELECT line, min(lower(error_type::VARCHAR)) FROM rejects_{name} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    good = int(con.sql(f"SELECT count(*) FROM {name}").fetchall()[0][0])
    if not lines and line_breaks(file) in (good, good + 1):
        return ()
    # DuckDB numbers the rows it accepted; give them back the line of the file on which each begins.
    bad = np.array([line for line, _ in lines], dtype=np.int64)
    starts, blank = record_lines(file, delimiter)
    records = np.flatnonzero(~blank)[1:]
    accepted = np.setdiff1d(records, bad - 1)
    if len(accepted) == good and (len(bad) == 0 or bad.max() <= len(starts)):
        places, shown = starts[accepted], starts[bad - 1] if len(bad) else bad
    else:  # a file that two readers cut differently: say which record it is
        places, shown = np.setdiff1d(np.arange(2, good + len(bad) + 2, dtype=np.int64), bad)[:good], bad
    mapped = pa.table({"old": np.arange(2, good + 2) + (place << FILE_BITS), "new": places + (place << FILE_BITS)})
    con.register(f"places_{name}", mapped)
    con.execute(f"UPDATE {name} SET _at = new FROM places_{name} WHERE _at = old")
    con.unregister(f"places_{name}")
    return tuple(
        (place, int(line), f"the row does not fit the header: {reason}")
        for line, (_, reason) in zip(shown, lines, strict=True)
    )


def line_breaks(file: Path) -> int:
    """How many line feeds a file has."""
    total = 0
    with file.open("rb") as text:
        while block := text.read(1 << 24):
            total += block.count(b"\n")
    return total


def record_lines(file: Path, delimiter: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The line on which each record of a CSV file begins, and whether nothing stands on it; the header is the first."""
    starts, blank = array("q"), array("b")
    line = 1
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        with suppress(csv.Error):  # a field too long to be one: what follows stays unplaced
            for row in reader:
                starts.append(line)
                blank.append(not row)
                line = reader.line_num + 1
    return np.array(starts, dtype=np.int64), np.array(blank, dtype=np.bool_)


def stage_json(con: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path]) -> tuple[tuple[int, int, str], ...]:
    """Stage JSON lines as text columns and `_at`; returns the lines that are no JSON object, with the reason."""
    parts = []
    for place, file in enumerate(files):
        lines = f"lines_{name}_{place}"
        _stage_lines(con, lines, file, place << FILE_BITS)
        parts.append(f"SELECT * FROM {lines}")
    con.execute(f"CREATE TEMP VIEW lines_{name} AS {' UNION ALL '.join(parts)}")
    readable = "json IS NOT NULL AND json_type(json) = 'OBJECT'"
    keys = con.sql(f"SELECT DISTINCT unnest(json_keys(json)) FROM lines_{name} WHERE {readable} ORDER BY 1").fetchall()
    # A key without a name is no column, and `_at` is ours.
    keys = [(key,) for (key,) in keys if key and key.lower() != "_at"]
    if len(keys) > MAX_COLUMNS:
        raise InputInvalid(str(files[0]), f"expected at most {MAX_COLUMNS} columns")
    fields = ", ".join(f"json_extract_string(json, {literal(_pointer(key))}) AS {quoted(key)}" for (key,) in keys)
    con.execute(
        f"CREATE TEMP VIEW {name} AS SELECT {fields + ', ' if fields else ''}_at FROM lines_{name} WHERE {readable}"
    )
    broken = con.sql(f"SELECT _at FROM lines_{name} WHERE NOT ({readable}) OR json IS NULL").fetchall()
    mask = (1 << FILE_BITS) - 1
    return tuple((at >> FILE_BITS, at & mask, "the line is not a JSON object") for (at,) in broken)


def _stage_lines(con: duckdb.DuckDBPyConnection, lines: str, file: Path, before: int) -> None:
    """Make a table of a file's JSON values, NULL where a line is none, each with its line; blank lines are left out."""
    with file.open("rb") as stream:
        marked = stream.read(len(_BOM)) == _BOM
    if marked:  # DuckDB takes a byte order mark for text
        con.execute(f"CREATE TEMP TABLE {lines} (json JSON, _at BIGINT)")
        with file.open("rb") as stream:
            stream.seek(len(_BOM))
            numbered = ((number, line) for number, line in enumerate(stream, 1) if line.strip())
            while part := list(islice(numbered, _LINES_AT_ONCE)):
                texts = pa.array([_utf8(line) for _, line in part], pa.string())
                places = pa.array([number + before for number, _ in part], pa.int64())
                con.register(f"part_{lines}", pa.table({"text": texts, "place": places}))
                con.execute(f"INSERT INTO {lines} SELECT TRY_CAST(text AS JSON), place FROM part_{lines}")
                con.unregister(f"part_{lines}")
        return
    con.execute(
        f"CREATE TEMP TABLE {lines} AS SELECT json, row_number() OVER () + {before} AS _at "
        f"FROM read_ndjson_objects({literal(str(file.resolve()))}, ignore_errors = true)"
    )
    staged = int(con.sql(f"SELECT count(*) FROM {lines}").fetchall()[0][0])
    if staged == line_breaks(file) + _unended(file):
        return
    with file.open("rb") as stream:
        numbers = [number for number, line in enumerate(stream, 1) if line.strip()]
    if len(numbers) != staged:  # what DuckDB takes for a line is another thing: say which value it is
        return
    old = np.arange(1, staged + 1, dtype=np.int64) + before
    con.register(f"places_{lines}", pa.table({"old": old, "new": np.array(numbers, dtype=np.int64) + before}))
    con.execute(f"UPDATE {lines} SET _at = new FROM places_{lines} WHERE _at = old")
    con.unregister(f"places_{lines}")


def _unended(file: Path) -> bool:
    """Whether the last line of a file lacks its line feed."""
    with file.open("rb") as stream:
        if not stream.seek(0, 2):
            return False
        stream.seek(-1, 2)
        return stream.read(1) != b"\n"


def _utf8(line: bytes) -> str | None:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")
