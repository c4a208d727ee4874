"""A connection pool to SQLite or PostgreSQL: what was committed is on disk, and one transaction a person at a time."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from configs.errors import InputInvalid, StoreUnavailable

WAIT_SECONDS = 3
_WRITES = "leadwell_writes"


def store_url(text_: str) -> str:
    """The URL of a store: `postgresql://...`, `sqlite:///...`, or the path of a file; raises InputInvalid."""
    if "://" not in text_:
        text_ = f"sqlite:///{text_}"
    try:
        url = make_url(text_)
    except ArgumentError:
        raise InputInvalid("store", "expected a file, sqlite:///FILE or postgresql://USER@HOST/NAME") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    # In memory every connection would be a database of its own, and nothing would be kept.
    kept = url.drivername == "postgresql+psycopg" or (url.drivername == "sqlite" and url.database not in (None, ""))
    if not kept or url.database == ":memory:":
        raise InputInvalid("store", "expected a file, sqlite:///FILE or postgresql://USER@HOST/NAME")
    return url.render_as_string(hide_password=False)


@dataclass(frozen=True, slots=True)
class Database:
    """One database: its pool, and the file it is where it is one."""

    engine: Engine
    file: Path | None

    @classmethod
    def open(cls, url: str) -> Database:
        """Make the pool; nothing is connected before the first transaction."""
        made = make_url(store_url(url))
        if made.drivername != "sqlite":
            options = (
                f"-c lock_timeout={WAIT_SECONDS * 1000} -c statement_timeout={WAIT_SECONDS * 2000} -c timezone=UTC"
            )
            engine = create_engine(
                made,
                pool_size=4,
                max_overflow=0,
                pool_timeout=WAIT_SECONDS,
                pool_pre_ping=True,
                # Each statement must see what was committed while its transaction waited for the person's lock. At a
                # stricter level the snapshot would be as old as the first statement, which is the one that waits.
                isolation_level="READ COMMITTED",
                connect_args={"connect_timeout": WAIT_SECONDS, "options": options},
            )
            return cls(engine, None)
        file = Path(str(made.database)).absolute()
        engine = create_engine(
            made.set(database=str(file)),
            pool_size=4,
            max_overflow=0,
            pool_timeout=WAIT_SECONDS,
            connect_args={"timeout": WAIT_SECONDS, "isolation_level": None},
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return cls(engine, file)

    def is_new(self) -> bool:
        """Whether it is a file that does not exist yet, or has no table yet because another process is making it."""
        if self.file is None:
            return False
        if not self.file.exists():
            return True
        with self.reading() as connection:
            return not inspect(connection).get_table_names()

    def make_file(self) -> None:
        """Make the file for its owner only, if it is not there."""
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads; raises StoreUnavailable."""
        with _told(), self.engine.connect() as connection, connection.begin():
            self._refuse_gone()
            yield connection

    @contextmanager
    def writing(self, people: Iterable[str] = ()) -> Iterator[Connection]:
        """A transaction that no other about these people runs beside; durable when it ends; raises StoreUnavailable.

        SQLite lets one transaction write at a time. PostgreSQL waits for a lock on each person, in one order for all.
        """
        with _told(), self.engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
            self._refuse_gone()
            if self.file is None:
                for person in sorted({_lock_of(person) for person in people}):
                    connection.execute(_LOCK, {"person": person})
            yield connection

    def _refuse_gone(self) -> None:
        """A file that was deleted still takes rows on open connections, and forgets them at the next start."""
        if self.file is not None and not self.file.exists():
            self.engine.dispose()
            raise StoreUnavailable("the file of the store is gone")


_LOCK = text(f"SELECT pg_advisory_xact_lock({0x6C77}, :person)")
# People share so many locks, for a server holds only some thousands: two that share one wait for each other, no more.
_LOCKS = 1024


def _lock_of(person: str) -> int:
    return int(person[:16], 16) % _LOCKS


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the database as one of ours, without the statement and its values."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = type(getattr(error, "orig", None) or error).__name__
        raise StoreUnavailable(f"the store did not answer or did not take it ({cause})") from None
    except OSError as error:
        raise StoreUnavailable(f"the store cannot be reached ({type(error).__name__})") from None


def _prepare(connection: Any, record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {WAIT_SECONDS * 1000}")
    for attempt in range(50):
        try:
            # SQLite does not wait for others when it changes the journal of a new file.
            cursor.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if attempt == 49:
                raise
            time.sleep(0.02)
    # INVARIANT: a commit that returned is on disk.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A writer takes its place before it reads: what it reads cannot change until it is done.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
