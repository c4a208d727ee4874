"""One table's files as a DuckDB relation of typed columns, with the reason why a row cannot be used.

Parquet is read in place; text (CSV, JSON lines) is staged once. DuckDB is locked down: no extension is fetched, and no
file outside the given ones can be reached.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import InputInvalid
from features.encode import EARLIEST, LATEST, PLAUSIBLE, STRICTER
from features.layout import Column, Layout

SUFFIXES: dict[str, Literal["parquet", "csv", "json"]] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
}
FILE_BITS = 40
_DELIMITERS = ",;\t|"
_MAX_COLUMNS = 2000
_NO_TYPE = ('"NULL"', "NULL")
# What surrounds an id by accident: space, tab, line ends, no-break space.
_BLANKS = "' ' || chr(9) || chr(10) || chr(13) || chr(160)"
_ZONED = r"\d\d:\d\d.*(Z|z|[+-]\d\d(:?\d\d)?)$"
_TEXT_TYPES = re.compile(r"VARCHAR|UUID|ENUM.*|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?")
_ACCEPTED = {
    "instant": (re.compile(r"TIMESTAMP WITH TIME ZONE|VARCHAR"), "expected an instant with a zone (timestamp in UTC)"),
    "yesno": (re.compile(r"BOOLEAN|VARCHAR|ENUM.*"), "expected yes or no (boolean or text)"),
    "number": (re.compile(r"VARCHAR|DOUBLE|FLOAT|DECIMAL.*|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?"), "expected a number"),
    "count": (re.compile(r"VARCHAR|U?(TINY|SMALL|BIG)?INT(EGER)?"), "expected a whole number"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A table's rows as a relation DuckDB knows: typed columns, `_at` (file and row) and `_bad` (reason, 0 none).

    A table whose rows stop somebody has `_odd` too: what could not be read of a row that is used all the same, absent
    instead of wrong.
    """

    layout: Layout
    relation: str
    files: tuple[str, ...]
    fields: frozenset[str]
    reasons: tuple[tuple[str, str], ...]
    extras: tuple[str, ...]
    unreadable: tuple[tuple[int, int, str], ...] = field(default=())


def connect(
    files: Iterable[Path], *, memory_limit_mb: int | None, threads: int, spill: Path | None
) -> duckdb.DuckDBPyConnection:
    """A DuckDB session that can read these files and nothing else."""
    con = duckdb.connect(
        config={
            "threads": threads,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    con.execute("SET timezone = 'UTC'")
    con.execute("SET enable_progress_bar = false")
    if memory_limit_mb is not None:
        con.execute(f"SET memory_limit = '{int(memory_limit_mb)}MB'")
    allowed = sorted({str(file.resolve()) for file in files})
    con.execute(f"SET allowed_paths = [{', '.join(map(literal, allowed))}]")
    if spill is not None:
        con.execute(f"SET allowed_directories = [{literal(str(spill.resolve()))}]")
        con.execute(f"SET temp_directory = {literal(str(spill.resolve()))}")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def literal(text: str) -> str:
    """A text literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name of SQL."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def readable(file: str, *others: type[Exception]) -> Iterator[None]:
    """Turn what DuckDB, Arrow or these others say about a damaged file into one clear error."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, *others) as error:
        raise InputInvalid(file, _first_line(error)) from None


def files_of(table: str, path: Path) -> tuple[Path, ...]:
    """The files behind one path, folder or glob, in a stable order; raises InputInvalid when there is none."""
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    elif any(mark in path.name for mark in "*?["):
        found = sorted(p for p in path.parent.glob(path.name) if p.is_file())
    else:
        found = [path] if path.is_file() else []
    if not found:
        raise InputInvalid(str(path), f"expected a file, folder or pattern with the {table} table")
    kinds = {SUFFIXES.get(p.suffix.lower()) for p in found}
    if None in kinds or len(kinds) > 1:
        raise InputInvalid(str(path), "expected files of one kind: .parquet, .csv or .jsonl")
    for file in found:
        if file.stat().st_size == 0:
            raise InputInvalid(str(file), "expected rows, the file has no byte")
    return tuple(found)


def most_rows(table: str, path: Path) -> int:
    """No fewer than the rows of the files: exact for Parquet, the line breaks of a text file."""
    total = 0
    for file in files_of(table, path):
        if SUFFIXES[file.suffix.lower()] == "parquet":
            with readable(str(file), OSError):
                total += pq.read_metadata(file).num_rows
            continue
        with file.open("rb") as text:
            while block := text.read(1 << 24):
                total += block.count(b"\n")
    return total


def open_source(con: duckdb.DuckDBPyConnection, layout: Layout, path: Path) -> Source:
    """Make the table's files a view of typed columns; raises InputInvalid naming file and column."""
    files = files_of(layout.table, path)
    kind = SUFFIXES[files[0].suffix.lower()]
    shown = tuple(str(file) for file in files)
    unreadable: tuple[tuple[int, int, str], ...] = ()
    with readable(shown[0]):
        if kind == "parquet":
            raw = _parquet(con, layout, files)
        elif kind == "csv":
            raw, unreadable = _staged_csv(con, layout, files)
        else:
            raw, unreadable = _staged_json(con, layout, files)
        types = {str(name): str(kind) for name, kind, *_ in con.sql(f"DESCRIBE {raw}").fetchall()}
    wanted = {column.field for column in layout.columns}
    _check(layout, types, shown[0])
    reasons: list[tuple[str, str]] = []
    select = ["_at"]
    bad: list[str] = []
    odd: list[str] = []
    read: dict[str, str] = {}
    for column in layout.columns:
        if column.field in types and column.kind != "dropped":
            expression, tests = _typed(column, types[column.field])
            # INVARIANT: a row that stops somebody is not dropped for anything but the lack of a readable key.
            spared = layout.table in STRICTER and (column.kind != "reference" or layout.table == "suppressions")
            if spared and tests:
                expression = (
                    f"CASE WHEN {' OR '.join(f'({test})' for test, _ in tests)} THEN NULL ELSE {expression} END"
                )
            read[column.field] = expression
            select.append(f"{expression} AS {quoted(column.field)}")
            for condition, reason in tests:
                reasons.append((column.field, reason))
                (odd if spared else bad).append(f"WHEN {condition} THEN {len(reasons)}")
    if layout.table == "suppressions":
        named = [read[field] for field in ("lead_id", "account_id") if field in read]
        reasons.append(("lead_id", "expected a lead or an account"))
        bad.append(f"WHEN {' AND '.join(f'({n}) IS NULL' for n in named) or 'true'} THEN {len(reasons)}")
    select.append(_first_of(bad) + " AS _bad")
    if layout.table in STRICTER:
        select.append(_first_of(odd) + " AS _odd")
    name = f"typed_{layout.table}"
    con.execute(f"CREATE TEMP VIEW {name} AS SELECT {', '.join(select)} FROM {raw}")
    extras = tuple(sorted(name for name in types if name not in wanted and name != "_at"))
    return Source(layout, name, shown, frozenset(wanted & set(types)), tuple(reasons), extras, unreadable)


def _first_of(cases: list[str]) -> str:
    case = f"CASE {' '.join(cases)} ELSE 0 END" if cases else "0"
    return f"CAST({case} AS UTINYINT)"


def _check(layout: Layout, types: dict[str, str], file: str) -> None:
    for column in layout.columns:
        if column.field not in types:
            if column.required:
                raise InputInvalid(file, f"expected this column in the {layout.table} table", field=column.field)
            continue
        if column.kind == "dropped":
            continue
        accepted, expected = _ACCEPTED.get(column.kind, (_TEXT_TYPES, "expected text"))
        found = types[column.field]
        # A column without any value has no type of its own in some writers.
        if not accepted.fullmatch(found) and found not in _NO_TYPE:
            raise InputInvalid(file, f"{expected}, found {found.lower()}", field=column.field)


def _typed(column: Column, found: str) -> tuple[str, list[tuple[str, str]]]:
    """SQL of the typed value, and the conditions under which the row cannot be used, each with its reason."""
    name = quoted(column.field)
    if found in _NO_TYPE:
        name, found = f"CAST({name} AS VARCHAR)", "VARCHAR"
    missing = [(f"{name} IS NULL", f"missing {column.field}")] if column.required else []
    if column.kind == "instant":
        return _typed_instant(column, name, found, missing)
    if column.kind in ("number", "count"):
        value = f"TRY_CAST({name} AS {'DOUBLE' if column.kind == 'number' else 'INTEGER'})"
        return value, [
            *missing,
            (f"{name} IS NOT NULL AND ({value} IS NULL OR NOT isfinite({value}::DOUBLE))", "expected a number"),
        ]
    value = name if found == "VARCHAR" else f"CAST({name} AS VARCHAR)"
    if column.kind == "identity":  # tells duplicates apart within one file only, and there are very many
        return value, [*missing, (f"{value} = '' OR length({value}) > 64", "expected an id of 1 to 64 characters")]
    if column.kind == "reference":
        name = value
        value = f"nullif(trim({name}, {_BLANKS}), '')"
        # Few ids begin with a blank or are long: only theirs are looked at a second time, for events are very many.
        blank = f"({name} < '!' OR {name} >= chr(160)) AND {value} IS NULL"
        missing = [(f"{name} IS NULL OR ({blank})", reason) for _, reason in missing]
        long = f"length({name}) > 64 AND length({value}) > 64"
        return value, [*missing, (long, "expected an id of 1 to 64 characters")]
    return value, [*missing, (f"length({value}) > 200", "expected text of at most 200 characters")]


def _typed_instant(
    column: Column, name: str, found: str, missing: list[tuple[str, str]]
) -> tuple[str, list[tuple[str, str]]]:
    tests = missing
    value = name
    if found == "VARCHAR":
        value = f"TRY_CAST(CASE WHEN regexp_matches({name}, '{_ZONED}') THEN {name} END AS TIMESTAMPTZ)"
        tests = [
            *missing,
            (f"{name} IS NOT NULL AND NOT regexp_matches({name}, '{_ZONED}')", "instant without zone"),
            (f"{name} IS NOT NULL AND {value} IS NULL", "expected an instant such as 2026-06-30T09:00:00Z"),
        ]
    value = f"epoch_us({value})"
    if column.required or column.field == "recorded_at":
        tests = [*tests, (f"{value} < {EARLIEST} OR {value} >= {LATEST}", PLAUSIBLE)]
    return value, tests


def _parquet(con: duckdb.DuckDBPyConnection, layout: Layout, files: Sequence[Path]) -> str:
    listed = ", ".join(literal(str(file.resolve())) for file in files)
    read = f"read_parquet([{listed}], union_by_name = true, filename = true, file_row_number = true)"
    order = {str(file.resolve()): index for index, file in enumerate(files)}
    name = f"raw_{layout.table}"
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
    for delimiter in _DELIMITERS:
        row = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
        names = [name.strip() for name in row]
        if key in names:
            break
    else:
        raise InputInvalid(str(file), "expected this column in the first line", field=key)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputInvalid(str(file), "expected each column once", field=repeated[0])
    if len(names) > _MAX_COLUMNS:
        raise InputInvalid(str(file), f"expected at most {_MAX_COLUMNS} columns")
    return names, delimiter


def stage_csv(
    con: duckdb.DuckDBPyConnection, name: str, file: Path, key: str, place: int = 0
) -> tuple[tuple[int, int, str], ...]:
    """Stage a CSV file as text columns and `_at`; returns the rows that do not fit the header, with the reason."""
    names, delimiter = read_header(file, key)
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
    if not lines:
        return ()
    # DuckDB numbers only the rows it accepted; give them back their place in the file.
    good = con.sql(f"SELECT count(*) FROM {name}").fetchall()[0][0]
    bad = np.array([line for line, _ in lines], dtype=np.int64)
    places = np.setdiff1d(np.arange(2, good + len(bad) + 2, dtype=np.int64), bad)[:good]
    mapped = pa.table({"old": np.arange(2, good + 2) + (place << FILE_BITS), "new": places + (place << FILE_BITS)})
    con.register(f"places_{name}", mapped)
    con.execute(f"UPDATE {name} SET _at = new FROM places_{name} WHERE _at = old")
    con.unregister(f"places_{name}")
    return tuple((place, int(line), f"the row does not fit the header: {reason}") for line, reason in lines)


def _staged_csv(
    con: duckdb.DuckDBPyConnection, layout: Layout, files: Sequence[Path]
) -> tuple[str, tuple[tuple[int, int, str], ...]]:
    key = next(column.field for column in layout.columns if column.required)
    parts: list[str] = []
    unreadable: list[tuple[int, int, str]] = []
    for place, file in enumerate(files):
        part = f"staged_{layout.table}_{place}"
        unreadable += stage_csv(con, part, file, key, place)
        parts.append(f"SELECT * FROM {part}")
    name = f"raw_{layout.table}"
    con.execute(f"CREATE TEMP VIEW {name} AS {' UNION ALL BY NAME '.join(parts)}")
    return name, tuple(unreadable)


def _staged_json(
    con: duckdb.DuckDBPyConnection, layout: Layout, files: Sequence[Path]
) -> tuple[str, tuple[tuple[int, int, str], ...]]:
    name = f"raw_{layout.table}"
    parts = []
    for place, file in enumerate(files):
        lines = f"lines_{layout.table}_{place}"
        con.execute(
            f"CREATE TEMP TABLE {lines} AS SELECT json, row_number() OVER () + {place << FILE_BITS} AS _at "
            f"FROM read_ndjson_objects({literal(str(file.resolve()))}, ignore_errors = true)"
        )
        parts.append(f"SELECT * FROM {lines}")
    con.execute(f"CREATE TEMP VIEW lines_{layout.table} AS {' UNION ALL '.join(parts)}")
    readable = "json IS NOT NULL AND json_type(json) = 'OBJECT'"
    keys = con.sql(
        f"SELECT DISTINCT unnest(json_keys(json)) FROM lines_{layout.table} WHERE {readable} ORDER BY 1"
    ).fetchall()
    if len(keys) > _MAX_COLUMNS:
        raise InputInvalid(str(files[0]), f"expected at most {_MAX_COLUMNS} columns")
    fields = ", ".join(f"json_extract_string(json, {literal(_pointer(key))}) AS {quoted(key)}" for (key,) in keys)
    con.execute(
        f"CREATE TEMP VIEW {name} AS SELECT {fields + ', ' if fields else ''}_at FROM lines_{layout.table} "
        f"WHERE {readable}"
    )
    broken = con.sql(f"SELECT _at FROM lines_{layout.table} WHERE NOT ({readable}) OR json IS NULL").fetchall()
    mask = (1 << FILE_BITS) - 1
    return name, tuple((at >> FILE_BITS, at & mask, "the line is not a JSON object") for (at,) in broken)


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _first_line(error: Exception) -> str:
    """What DuckDB says, without the part of its message that may quote the data."""
    kind = type(error).__name__.removesuffix("Exception")
    reader = "DuckDB" if isinstance(error, duckdb.Error) else "Arrow"
    return f"{reader} could not read the file ({kind}); expected .parquet, .csv (UTF-8) or .jsonl"
