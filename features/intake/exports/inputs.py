"""The tables of an export as DuckDB relations of trimmed text: files found by name, columns found whatever their case.

`LastName`, `last_name` and `Last Name` are one column; where two columns of a file look alike, the exact name counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import duckdb

from configs.errors import InputInvalid
from configs.exports import Condition, ExportMapping, ExportTable, Names
from features.intake.exports.cells import condition_sql, given
from features.intake.exports.databases import Database
from features.intake.exports.staged import Staged, Unread
from features.intake.scan import SUFFIXES, files_of, readable
from features.intake.staging import (
    DELIMITERS,
    MAX_COLUMNS,
    first_record,
    literal,
    quoted,
    stage_csv,
    stage_json,
    stage_parquet,
)

# What surrounds a value by accident: space, tab, line ends, no-break space, byte order mark.
_BLANKS = "' ' || chr(9) || chr(10) || chr(13) || chr(160) || chr(65279)"
# Codes of `_skip` from here on are places in the mapping's list of rules.
NO_KEY = 1
FIRST_SKIP = 2


@dataclass(frozen=True, slots=True)
class Input:
    """One table of an export: its rows with `_at`, `_skip` (0: take it) and `_dup` (0 first, 1 same, 2 in conflict).

    `columns` maps what the mapping calls a column to what the export does. `latest` has only the newest version of
    each row, for tables that join it.
    """

    name: str
    rows: str
    latest: str
    columns: Mapping[str, str]
    staged: Staged
    read: int

    def resolve(self, name: str) -> str | None:
        """The quoted name of a column, None where the export has none like it."""
        found = self.columns.get(name)
        return None if found is None else quoted(found)


def squeezed(name: str) -> str:
    """What two spellings of one name share."""
    return "".join(c for c in name.casefold() if c.isalnum())


def find_tables(mapping: ExportMapping, folder: Path) -> dict[str, tuple[Path, ...]]:
    """Which files of a folder are which table of the mapping; raises InputInvalid where that is unclear or none is."""
    if not folder.is_dir():
        raise InputInvalid(str(folder), "expected a folder with the export's files")
    here = [path for path in sorted(folder.iterdir()) if path.is_dir() or path.suffix.lower() in SUFFIXES]
    found: dict[str, tuple[Path, ...]] = {}
    owner: dict[Path, str] = {}
    for name, table in mapping.tables.items():
        paths: list[Path] = []
        for pattern in table.files:
            if any(mark in pattern for mark in "*?[/"):
                paths += [path for path in sorted(folder.glob(pattern)) if path.suffix.lower() in SUFFIXES]
                paths += [path for path in here if path.is_file() and fnmatch(path.stem.lower(), pattern.lower())]
            else:
                paths += [path for path in here if squeezed(_stem(path)) == squeezed(pattern)]
        files = tuple(dict.fromkeys(file for path in dict.fromkeys(paths) for file in files_of(name, path)))
        for file in files:
            if owner.setdefault(file, name) != name:
                raise InputInvalid(str(file), f"expected the file of one table, it fits {owner[file]} and {name}")
        if files:
            if len({SUFFIXES[file.suffix.lower()] for file in files}) > 1:
                raise InputInvalid(str(files[0]), f"expected all files of {name} of one kind: .parquet, .csv or .jsonl")
            found[name] = files
    _complete(mapping, frozenset(found), str(folder), {name: table.files for name, table in mapping.tables.items()})
    return found


def find_relations(mapping: ExportMapping, database: Database) -> dict[str, str]:
    """Which table of a database is which table of the mapping; raises InputInvalid where one that is needed is not."""
    found: dict[str, str] = {}
    for name, table in mapping.tables.items():
        wanted = (table.relation,) if table.relation else table.files
        plain = {squeezed(known.rpartition(".")[2]): known for known in sorted(database.tables, reverse=True)}
        there = [w for w in wanted if w in database.tables] + [
            plain[squeezed(w)] for w in wanted if table.relation is None and squeezed(w) in plain
        ]
        if there:
            found[name] = there[0]
    wanted_of = {n: (t.relation,) if t.relation else t.files for n, t in mapping.tables.items()}
    _complete(mapping, frozenset(found), database.shown, wanted_of)
    return found


def _complete(mapping: ExportMapping, found: frozenset[str], where: str, wanted: Mapping[str, Names]) -> None:
    for name, table in mapping.tables.items():
        if table.required and name not in found:
            raise InputInvalid(where, f"expected the {mapping.name} table {name}, named {' or '.join(wanted[name])}")
    if not found:
        listed = ", ".join(names[0] for names in list(wanted.values())[:12])
        raise InputInvalid(where, f"expected tables of a {mapping.name} export, such as {listed}; found none")


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def stage_files(
    con: duckdb.DuckDBPyConnection, name: str, files: tuple[Path, ...], wanted: tuple[str, ...], delimiter: str | None
) -> Staged:
    """Stage one table's CSV, JSON lines or Parquet files as a relation of columns and `_at`."""
    kind = SUFFIXES[files[0].suffix.lower()]
    shown = tuple(str(file) for file in files)
    unreadable: list[tuple[int, int, str]] = []
    with readable(shown[0]):
        if kind == "parquet":
            stage_parquet(con, name, files)
        elif kind == "json":
            unreadable += stage_json(con, name, files)
        else:
            parts = []
            for place, file in enumerate(files):
                header = _header(file, wanted, delimiter)
                unreadable += stage_csv(con, f"{name}_{place}", file, "", place, header=header)
                parts.append(f"SELECT * FROM {name}_{place}")
            con.execute(f"CREATE TEMP VIEW {name} AS {' UNION ALL BY NAME '.join(parts)}")
    return Staged(name, shown, tuple(Unread(place, row, "", reason) for place, row, reason in unreadable))


def _header(file: Path, wanted: tuple[str, ...], delimiter: str | None) -> tuple[list[str], str]:
    """Column names of a CSV file and its delimiter: the one that shows most columns of the mapping."""
    with file.open("rb") as stream:
        start = stream.read(1 << 20)
    try:
        text = start.decode("utf-8-sig", errors="strict" if len(start) < 1 << 20 else "ignore")
    except UnicodeDecodeError:
        raise InputInvalid(str(file), "expected UTF-8 text") from None
    known = {squeezed(name) for name in wanted}
    best: list[str] = []
    mark, most = ",", -1
    for candidate in (delimiter,) if delimiter else DELIMITERS:
        names = first_record(text, candidate, file)
        score = len(known & {squeezed(name) for name in names})
        if score > most:
            best, mark, most = names, candidate, score
    if most == 0:
        shown = ", ".join(wanted[:6])
        raise InputInvalid(str(file), f"expected columns of the mapping in the first line, such as {shown}")
    named = [name or f"unnamed column {place}" for place, name in enumerate(best, start=1)]
    folded = [name.casefold() for name in named]
    repeated = sorted({name for name in folded if folded.count(name) > 1} | ({"_at"} & set(folded)))
    if repeated:
        raise InputInvalid(
            str(file), "expected each column once whatever its case, and none named _at", field=repeated[0]
        )
    if len(named) > MAX_COLUMNS:
        raise InputInvalid(str(file), f"expected at most {MAX_COLUMNS} columns")
    return named, mark


def matched(names: tuple[str, ...], there: tuple[str, ...], file: str) -> dict[str, str]:
    """What each of the mapping's names is called in the export; raises InputInvalid where two could be meant."""
    alike: dict[str, list[str]] = {}
    for column in there:
        alike.setdefault(squeezed(column), []).append(column)
    found = {}
    for name in names:
        candidates = [name] if name in there else alike.get(squeezed(name), [])
        if len(candidates) > 1:
            raise InputInvalid(file, f"expected one column of this name, found {len(candidates)}", field=name)
        if candidates:
            found[name] = candidates[0]
    return found


def open_input(con: duckdb.DuckDBPyConnection, mapping: ExportMapping, name: str, staged: Staged, prefix: str) -> Input:
    """Trim the columns a mapping reads, mark the rows it leaves out and those that are there twice.

    Raises:
        InputInvalid: a key column is not there, or two columns look like one the mapping names.
    """
    table, file = mapping.tables[name], staged.files[0]
    with readable(file):
        there = tuple(str(column) for column, *_ in con.sql(f"DESCRIBE {staged.relation}").fetchall())
    columns = matched(mapping.columns_of(name), tuple(c for c in there if c != "_at"), file)
    for names in table.key[:1]:
        if not set(names) & set(columns):
            raise InputInvalid(file, f"expected this column in the {mapping.name} table {name}", field=names[0])
    known = sorted(set(columns.values()))
    missing = ", ".join(literal(word.lower()) for word in mapping.missing if word)
    cells = []
    for column in known:
        text = _trimmed(f"CAST({quoted(column)} AS VARCHAR)")
        if missing:
            text = f"CASE WHEN lower({text}) IN ({missing}) THEN NULL ELSE {text} END"
        cells.append(f"{text} AS {quoted(column)}")
    clean, rows, latest = f"clean_{prefix}", f"rows_{prefix}", f"latest_{prefix}"

    skip = _skip_sql(table, columns)
    with readable(file):
        con.execute(
            f"CREATE TEMP TABLE {clean} AS SELECT *, {skip} AS _skip FROM "
            f"(SELECT {', '.join(['_at', *cells])} FROM {staged.relation})"
        )
        _mark_twice(con, table, columns, clean, rows, latest, known)
        read = int(con.sql(f"SELECT count(*) FROM {clean}").fetchall()[0][0])
    return Input(name, rows, latest, columns, staged, read)


def _trimmed(text: str) -> str:
    """SQL of a text without what surrounds it, NULL where nothing is left; few values need the slow way."""
    ends = f"{text} <= '!' OR {text} >= chr(160) OR right({text}, 1) <= '!' OR right({text}, 1) >= chr(160)"
    return f"CASE WHEN {ends} THEN nullif(trim({text}, {_BLANKS}), '') ELSE {text} END"


def _skip_sql(table: ExportTable, columns: Mapping[str, str]) -> str:
    def named(column: str, of: str | None) -> str | None:
        return quoted(columns[column]) if column in columns else None

    def all_of(conditions: tuple[Condition, ...]) -> str:
        return " AND ".join(condition_sql(condition, named) for condition in conditions)

    cases = [f"WHEN {all_of(skip.when)} THEN {FIRST_SKIP + place}" for place, skip in enumerate(table.skip)]
    if table.key:
        cases.append(f"WHEN {given(table.key[0], None, named)} IS NULL THEN {NO_KEY}")
    case = f"CASE {' '.join(cases)} ELSE 0 END" if cases else "0"
    return f"CAST({case} AS UTINYINT)"


def _mark_twice(
    con: duckdb.DuckDBPyConnection,
    table: ExportTable,
    columns: Mapping[str, str],
    clean: str,
    rows: str,
    latest: str,
    known: list[str],
) -> None:
    def named(column: str, of: str | None) -> str | None:
        return quoted(columns[column]) if column in columns else None

    key = [given(names, None, named) for names in table.key if set(names) & set(columns)]
    version = [given(names, None, named) for names in table.version if set(names) & set(columns)]
    listed = ", ".join([*key, *version])
    repeated = 0
    if key:
        counted = f"SELECT count(*) - count(DISTINCT row({listed})) FROM {clean} WHERE _skip = 0"
        repeated = int(con.sql(counted).fetchall()[0][0])
    if repeated:
        content = f"hash({', '.join(map(quoted, known))})"
        window = f"(PARTITION BY _skip, {listed} ORDER BY _at)"
        con.execute(
            f"CREATE TEMP TABLE {rows} AS SELECT * EXCLUDE (_content, _first, _turn), CAST(CASE "
            f"WHEN _turn = 1 OR _skip > 0 THEN 0 WHEN _content = _first THEN 1 ELSE 2 END AS UTINYINT) AS _dup FROM "
            f"(SELECT *, first_value(_content) OVER {window} AS _first, row_number() OVER {window} AS _turn "
            f"FROM (SELECT *, {content} AS _content FROM {clean}))"
        )
    else:
        con.execute(f"CREATE TEMP VIEW {rows} AS SELECT *, 0::UTINYINT AS _dup FROM {clean}")
    newest = ""
    if key and version:
        order = ", ".join(f"{column} DESC" for column in version)
        newest = f" QUALIFY row_number() OVER (PARTITION BY {', '.join(key)} ORDER BY {order}, _at) = 1"
    con.execute(f"CREATE TEMP VIEW {latest} AS SELECT * FROM {rows} WHERE _skip = 0 AND _dup = 0{newest}")
