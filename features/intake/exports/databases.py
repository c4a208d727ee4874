"""A SQLite file or a PostgreSQL database read through DuckDB: tables streamed as Arrow batches, all of one instant.

DuckDB's own sqlite and postgres extensions are downloads, which locked-down machines refuse; ADBC drivers are ordinary
packages. Every value is cast to text where it is stored, so that a mapping reads a database as it reads a CSV file:
instants of PostgreSQL come in UTC with their zone, a blob comes as hexadecimal digits, and NULL stays unknown.

A password is never part of a command line: `postgresql:` means the URI in the environment variable LEADWELL_DATABASE,
or in the file that LEADWELL_DATABASE_FILE names. What a driver says may quote the URI, so it is never repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import adbc_driver_manager
import adbc_driver_postgresql.dbapi  # type: ignore[import-untyped]
import adbc_driver_sqlite.dbapi
import duckdb
import numpy as np
import pyarrow as pa

from configs.errors import InputInvalid
from features.intake.exports.staged import Staged, Unread
from features.intake.scan import FILE_BITS, quoted

VARIABLE = "LEADWELL_DATABASE"
VARIABLE_FILE = "LEADWELL_DATABASE_FILE"
CONNECT_SECONDS = 10
LOCK_SECONDS = 30
_BATCH_ROWS = 8192
_GROUP_ROWS, _GROUP_BYTES = 122_880, 32_000_000
_MAX_COLUMNS = 2000
_MAX_URI_BYTES = 10_000
# What libpq says (its own messages are not translated in the driver), and what that means in our words.
_REFUSALS = (
    ("password authentication failed", "the server refused the user or the password"),
    ("no password supplied", "the server asks for a password and the URI has none"),
    ("no pg_hba.conf entry", "the server does not admit this user from this machine"),
    ("Connection refused", "expected a server at this address, the connection was refused"),
    ("timeout expired", f"expected an answer in time (connect_timeout, {CONNECT_SECONDS} seconds where not given)"),
    ("could not translate host name", "expected a host name that can be looked up"),
    ("SSL", "the server and this machine agree on no encryption: see sslmode in the URI"),
    ("certificate", "the server's certificate was not accepted: see sslmode and sslrootcert in the URI"),
    ("percent-encoded", "expected a URI; % @ : and / in a password are written as %25 %40 %3A and %2F"),
)


@dataclass(frozen=True, slots=True)
class DatabaseTable:
    """A table or view one may read: how it is named in SQL, its columns in order, and what its rows are ordered by."""

    sql: str
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Database:
    """An open database inside one read-only transaction; `shown` names it without any secret."""

    kind: Literal["sqlite", "postgresql"]
    shown: str
    tables: Mapping[str, DatabaseTable]
    _cursor: Callable[[], Any] = field(repr=False)

    def stage(
        self,
        con: duckdb.DuckDBPyConnection,
        name: str,
        table: str,
        *,
        columns: Sequence[str] | None = None,
        place: int = 0,
    ) -> Staged:
        """Stream a table into DuckDB as text and `_at`, only these columns where given; a missing one is left out.

        Raises:
            InputInvalid: no such table, names that differ by case only, or the database stopped answering.
        """
        shown = f"{self.shown} table {table}"
        found = self.tables.get(table)
        if found is None:
            known = ", ".join(sorted(self.tables)[:20]) or "none that this user may read"
            raise InputInvalid(self.shown, f"expected a table {table}; there are: {known}")
        names = [column for column in found.columns if columns is None or column in columns]
        folded = [column.lower() for column in names]
        repeated = sorted({column for column in folded if folded.count(column) > 1} | ({"_at"} & set(folded)))
        if repeated:
            raise InputInvalid(
                shown, "expected each column once whatever its case, and none named _at", field=repeated[0]
            )
        if not names or len(names) > _MAX_COLUMNS:
            raise InputInvalid(shown, f"expected columns of the mapping, at most {_MAX_COLUMNS}; found {len(names)}")
        declared = ", ".join(f"{quoted(column)} VARCHAR" for column in names)
        con.execute(f"CREATE TEMP TABLE {name} ({declared}, _at BIGINT)")
        unreadable: list[Unread] = []
        held: list[pa.Table] = []
        with _answering(shown), self._cursor() as cursor:
            cursor.execute(_select(self.kind, found, names))
            skip, row = (1 if self.kind == "sqlite" else 0), 0
            for batch in cursor.fetch_record_batch():
                rows = batch.slice(skip)
                skip = max(0, skip - batch.num_rows)
                held.append(_readable(rows, row, names, place, unreadable))
                row += rows.num_rows
                # DuckDB takes whole groups of rows far faster than small batches.
                if (
                    sum(part.num_rows for part in held) >= _GROUP_ROWS
                    or sum(part.nbytes for part in held) >= _GROUP_BYTES
                ):
                    _insert(con, name, held)
        _insert(con, name, held)
        return Staged(name, (shown,), tuple(unreadable))


def is_database(where: str) -> bool:
    """Whether a `--from` means a database rather than a file or folder."""
    return where.split(":", 1)[0].lower() in ("sqlite", "postgres", "postgresql") and ":" in where


@contextmanager
def opened(where: str, environment: Mapping[str, str]) -> Iterator[Database]:
    """Open `sqlite:PATH` or `postgresql:` for reading, all tables as of one instant.

    Raises:
        InputInvalid: there is no such database, it cannot be reached, or it refuses; without any secret.
    """
    kind, _, rest = where.partition(":")
    if kind.lower() == "sqlite":
        with _sqlite(Path(rest)) as database:
            yield database
        return
    if kind.lower() not in ("postgres", "postgresql"):
        raise InputInvalid("--from", "expected sqlite:PATH or postgresql:")
    if rest:
        raise InputInvalid(
            "--from",
            f"expected just postgresql: - a URI on the command line is seen by everybody on the machine; put it into "
            f"the environment variable {VARIABLE}, or into a file that {VARIABLE_FILE} names",
        )
    with _postgresql(database_uri(environment)) as database:
        yield database


def database_uri(environment: Mapping[str, str]) -> str:
    """The URI of the PostgreSQL database from the environment or the file it names; raises InputInvalid."""
    uri, given = environment.get(VARIABLE, "").strip(), VARIABLE
    named = environment.get(VARIABLE_FILE, "").strip()
    if not uri and named:
        given = VARIABLE_FILE
        try:
            with Path(named).open("rb") as stream:
                uri = stream.read(_MAX_URI_BYTES).decode("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise InputInvalid(VARIABLE_FILE, "expected a readable text file with the URI") from None
    if not uri:
        expected = f"expected the database's URI in {VARIABLE}, or in a file that {VARIABLE_FILE} names"
        raise InputInvalid("postgresql", expected)
    if not uri.startswith(("postgresql://", "postgres://")):
        raise InputInvalid(given, "expected postgresql://USER:PASSWORD@HOST/DATABASE")
    return uri


@contextmanager
def _sqlite(path: Path) -> Iterator[Database]:
    shown = f"sqlite:{path}"
    if not path.is_file():
        raise InputInvalid(shown, "expected a file with a SQLite database")
    with path.open("rb") as stream:
        if stream.read(16) != b"SQLite format 3\x00":
            raise InputInvalid(shown, "expected a SQLite database, the file is something else")
    with _answering(shown):
        connection = adbc_driver_sqlite.dbapi.connect(f"file:{quote(str(path.resolve()))}?mode=ro", autocommit=True)
    try:

        def cursor() -> Any:
            made = connection.cursor()
            made.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_BATCH_ROWS)})
            return made

        with _answering(shown), cursor() as first:
            # A view in a file from elsewhere may call functions; only harmless ones are allowed to it.
            for order in ("query_only = ON", "trusted_schema = OFF", f"busy_timeout = {LOCK_SECONDS * 1000}"):
                first.execute(f"PRAGMA {order}")
            first.execute("BEGIN")
            first.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' "
                "ESCAPE '\\' ORDER BY name"
            )
            names = [str(name) for (name,) in first.fetchall()]
        tables = {}
        for name in names:
            with _answering(f"{shown} table {name}"), cursor() as inner:
                inner.execute("SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid", (name,))
                tables[name] = DatabaseTable(quoted(name), tuple(str(column) for (column,) in inner.fetchall()))
        yield Database("sqlite", shown, tables, cursor)
    finally:
        connection.close()


@contextmanager
def _postgresql(uri: str) -> Iterator[Database]:
    shown = "postgresql"
    if "connect_timeout=" not in uri:
        uri += ("&" if "?" in uri else "?") + f"connect_timeout={CONNECT_SECONDS}"
    with _answering(shown):
        connection = adbc_driver_postgresql.dbapi.connect(uri, autocommit=True)
    try:
        with _answering(shown), connection.cursor() as first:
            # INVARIANT: nothing is written, and all tables are read as of one instant.
            first.execute("SET default_transaction_read_only = on")
            first.execute("SET client_encoding = 'UTF8'")
            first.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
            first.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            first.execute("SET LOCAL TimeZone = 'UTC'")
            first.execute("SET LOCAL DateStyle = 'ISO'")
            first.execute("SET LOCAL extra_float_digits = 1")
            first.execute(_CATALOG)
            tables: dict[str, DatabaseTable] = {}
            for schema, name, visible, columns, key in first.fetchall():
                found = DatabaseTable(f"{quoted(schema)}.{quoted(name)}", tuple(columns), tuple(key or ()))
                tables[f"{schema}.{name}"] = found
                if visible:
                    tables[name] = found
        yield Database("postgresql", shown, tables, connection.cursor)
    finally:
        connection.close()


# Tables, views and the like that this user may read, each with its columns and the columns of its primary key.
_CATALOG = """
SELECT n.nspname::text, c.relname::text, pg_catalog.pg_table_is_visible(c.oid),
  (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')),
  (SELECT array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum))
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = c.oid AND i.indisprimary)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
ORDER BY 1, 2
"""


def _select(kind: str, table: DatabaseTable, names: Sequence[str]) -> str:
    if kind == "postgresql":
        values = ", ".join(f"{quoted(name)}::text AS {quoted(name)}" for name in names)
        order = f" ORDER BY {', '.join(f'source.{quoted(name)}' for name in table.key)}" if table.key else ""
        return f"SELECT {values} FROM {table.sql} AS source{order}"
    # The driver takes a column's type from its first rows; where they are all NULL it settles on a number and fails at
    # the first text. One row of empty texts ahead of the others, skipped again, makes every column text.
    texts = ", ".join(f"'' AS {quoted(name)}" for name in names)
    values = ", ".join(
        f"CASE typeof({quoted(name)}) WHEN 'blob' THEN hex({quoted(name)}) ELSE CAST({quoted(name)} AS TEXT) END"
        for name in names
    )
    return f"SELECT {texts} UNION ALL SELECT {values} FROM {table.sql}"


def _readable(
    batch: pa.RecordBatch, before: int, names: Sequence[str], place: int, unreadable: list[Unread]
) -> pa.Table:
    """The batch with the columns' own names and `_at`, without rows whose text is no UTF-8: those are noted."""
    columns = [batch.column(index) for index in range(len(names))]
    wrong: dict[int, str] = {}
    for name, column in zip(names, columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            for index, value in enumerate(column.cast(pa.binary()).to_pylist()):
                if value is not None and not _is_utf8(value):
                    wrong.setdefault(index, name)
    rows = np.arange(before + 1, before + 1 + batch.num_rows, dtype=np.int64)
    at = pa.array(rows + (place << FILE_BITS))
    if wrong:
        unreadable += [
            Unread(place, int(rows[index]), name, "expected UTF-8 text") for index, name in sorted(wrong.items())
        ]
        keep = pa.array([index for index in range(batch.num_rows) if index not in wrong], pa.int64())
        columns, at = [column.take(keep) for column in columns], at.take(keep)
    return pa.table([*columns, at], names=[*names, "_at"])


def _insert(con: duckdb.DuckDBPyConnection, name: str, held: list[pa.Table]) -> None:
    if held:
        con.register(f"batch_{name}", pa.concat_tables(held))
        con.execute(f"INSERT INTO {name} SELECT * FROM batch_{name}")
        con.unregister(f"batch_{name}")
        held.clear()


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@contextmanager
def _answering(shown: str) -> Iterator[None]:
    """Turn what a driver says into one clear line that repeats nothing of it: it may quote the URI or a value."""
    try:
        yield
    except adbc_driver_manager.Error as error:
        raise InputInvalid(shown, _meaning(error)) from None


def _meaning(error: adbc_driver_manager.Error) -> str:
    said = str(error)
    for phrase, meaning in _REFUSALS:
        if phrase in said:
            return meaning
    if "database" in said and "does not exist" in said:
        return "expected a database of the name in the URI, the server has none"
    if getattr(error, "sqlstate", None) == "55P03" or "database is locked" in said:
        return f"the table stayed locked for {LOCK_SECONDS} seconds"
    if getattr(error, "sqlstate", None) == "42501":
        return "this user may not read it"
    state = getattr(error, "sqlstate", None)
    return "the database could not be read" + (f" (SQLSTATE {state})" if state else "")
