"""One table's files as a DuckDB relation of typed columns, with the reason why a row cannot be used.

Parquet is read in place; text (CSV, JSON lines) is staged once. DuckDB is locked down: no extension is fetched, and no
file outside the given ones can be reached.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import InputInvalid
from features.encode import EARLIEST, LATEST, PLAUSIBLE, STRICTER
from features.intake.staging import FILE_BITS as FILE_BITS
from features.intake.staging import line_breaks, stage_json, stage_parquet
from features.intake.staging import literal as literal
from features.intake.staging import quoted as quoted
from features.intake.staging import read_header as read_header
from features.intake.staging import stage_csv as stage_csv
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
_NO_TYPE = ('"NULL"', "NULL")
# What surrounds an id by accident: space, tab, line ends, no-break space.
BLANKS = "' ' || chr(9) || chr(10) || chr(13) || chr(160)"
ZONED = r"\d\d:\d\d.*(Z|z|[+-]\d\d(:?\d\d)?)$"
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
    files: Iterable[Path], *, memory_limit_mb: int | None, threads: int, spill: Path | None, ordered: bool = True
) -> duckdb.DuckDBPyConnection:
    """A DuckDB session that can read these files and nothing else; rows of one not `ordered` come as they like."""
    con = duckdb.connect(
        config={
            "threads": threads,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    con.execute("SET timezone = 'UTC'")
    con.execute("SET enable_progress_bar = false")
    if not ordered:
        con.execute("SET preserve_insertion_order = false")
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


@contextmanager
def readable(file: str, *others: type[Exception]) -> Iterator[None]:
    """Turn what DuckDB, Arrow or these others say about a damaged file into one clear error."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, *others) as error:
        raise InputInvalid(file, _first_line(error)) from None


def files_behind(path: Path, suffixes: Collection[str]) -> list[Path]:
    """The files of a folder that end so, those of a glob, or the one file; in a stable order, none where none is."""
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in suffixes)
    if any(mark in path.name for mark in "*?["):
        return sorted(p for p in path.parent.glob(path.name) if p.is_file())
    return [path] if path.is_file() else []


def files_of(table: str, path: Path) -> tuple[Path, ...]:
    """The files behind one path, folder or glob, in a stable order; raises InputInvalid when there is none."""
    found = files_behind(path, SUFFIXES)
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
        total += line_breaks(file)
    return total


def rows_of(table: str, path: Path) -> list[dict[str, Any]]:
    """Every row of a small table as its columns, without a declared layout; those of a CSV file are text.

    Raises:
        InputInvalid: the files are missing, of several kinds, or cannot be read.
    """
    files = files_of(table, path)
    kind = SUFFIXES[files[0].suffix.lower()]
    # As text a CSV's yes/no and dates reach the one place that says what a row is.
    options = ", all_varchar = true" if kind == "csv" else ""
    listed = ", ".join(literal(str(file.resolve())) for file in files)
    con = connect(files, memory_limit_mb=None, threads=1, spill=None)
    try:
        with readable(str(path)):
            found: pa.Table = con.sql(f"SELECT * FROM read_{kind}([{listed}]{options})").to_arrow_table()
            return list(found.to_pylist())
    finally:
        con.close()


def open_source(con: duckdb.DuckDBPyConnection, layout: Layout, path: Path) -> Source:
    """Make the table's files a view of typed columns; raises InputInvalid naming file and column."""
    files = files_of(layout.table, path)
    kind = SUFFIXES[files[0].suffix.lower()]
    shown = tuple(str(file) for file in files)
    unreadable: tuple[tuple[int, int, str], ...] = ()
    with readable(shown[0]):
        if kind == "parquet":
            raw = stage_parquet(con, f"raw_{layout.table}", files)
        elif kind == "csv":
            raw, unreadable = _staged_csv(con, layout, files)
        else:
            raw = f"raw_{layout.table}"
            unreadable = stage_json(con, raw, files)
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
    if layout.table == "links":
        reasons.append(("other_lead_id", "expected two different leads"))
        bad.append(f"WHEN ({read['lead_id']}) = ({read['other_lead_id']}) THEN {len(reasons)}")
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
        trimmed = f"nullif(trim({name}, {BLANKS}), '')"
        # Few ids begin or end with a blank or are long: only theirs are looked at again, for events are very many.
        # Not `IN (...)` of the blanks: DuckDB makes a join of it for each column and runs it even unread.
        begins, ends = (f"({end} < '!' OR {end} >= chr(160))" for end in (name, f"right({name}, 1)"))
        value = f"CASE WHEN {begins} OR {ends} THEN {trimmed} ELSE {name} END"
        blank = f"{begins} AND {trimmed} IS NULL"
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
        value = f"TRY_CAST(CASE WHEN regexp_matches({name}, '{ZONED}') THEN {name} END AS TIMESTAMPTZ)"
        tests = [
            *missing,
            (f"{name} IS NOT NULL AND NOT regexp_matches({name}, '{ZONED}')", "instant without zone"),
            (f"{name} IS NOT NULL AND {value} IS NULL", "expected an instant such as 2026-06-30T09:00:00Z"),
        ]
    value = f"epoch_us({value})"
    if column.required or column.field == "recorded_at":
        tests = [*tests, (f"{value} < {EARLIEST} OR {value} >= {LATEST}", PLAUSIBLE)]
    return value, tests


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


def _first_line(error: Exception) -> str:
    """What DuckDB says, without the part of its message that may quote the data."""
    kind = type(error).__name__.removesuffix("Exception")
    reader = "DuckDB" if isinstance(error, duckdb.Error) else "Arrow"
    return f"{reader} could not read the file ({kind}); expected .parquet, .csv (UTF-8) or .jsonl"
