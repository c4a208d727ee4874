"""Whether a SQLite store has any row about somebody, told from memory: about most leads it has none.

Rows are only ever added, so each name is read once. `PRAGMA data_version` tells whether anybody committed since; only
then are the newer rows read. Nothing here is an answer: whoever may have a row is looked up in the store itself.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

_NAMES = (
    ("suppressions", "SELECT id, subject FROM suppressions WHERE id > ?"),
    ("touches", "SELECT id, subject FROM touches WHERE id > ?"),
    ("suppression_hashes", "SELECT rowid, hash FROM suppression_hashes WHERE rowid > ?"),
)
# 60 bytes a name; a store of more is asked each time.
_MOST_NAMES = 1_000_000


class Familiar:
    """The names that one file has rows about. Asked by one thread at a time."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._asking = threading.Lock()
        self._forget()

    def none_of(self, names: Iterable[str]) -> bool:
        """Whether the file surely has no row about any of these subjects and hashes; False where that is not known.

        INVARIANT: what was committed before the call, by whichever process, is counted.
        """
        with self._asking:
            try:
                self._catch_up()
            except (sqlite3.Error, OSError):
                self._forget()
                return False
            return len(self._known) <= _MOST_NAMES and self._known.isdisjoint(map(_short, names))

    def close(self) -> None:
        """Let go of the file."""
        with self._asking:
            self._forget()

    def _forget(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()
        self._connection: sqlite3.Connection | None = None
        self._version, self._inode = -1, -1
        self._known: set[int] = set()
        self._last = {table: 0 for table, _ in _NAMES}

    def _catch_up(self) -> None:
        inode = os.stat(self.file).st_ino
        if inode != self._inode:
            # Another file under the same name is another store.
            self._forget()
            self._inode = inode
        connection = self._connection
        if connection is None:
            # Never made here: an empty file would look like a store without stops. Never waited for.
            connection = self._connection = sqlite3.connect(
                f"{self.file.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA query_only = ON")
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        for table, statement in _NAMES:
            if len(self._known) > _MOST_NAMES:
                break
            for number, name in connection.execute(statement, (self._last[table],)):
                self._known.add(_short(name))
                self._last[table] = max(self._last[table], number)
        # Noted last: what was committed meanwhile has another version, and is read again.
        self._version = version


def _short(name: str) -> int:
    """64 bits of a pseudonym or hash; two that share them are only looked up once more than needed."""
    return int(name[:16], 16)
