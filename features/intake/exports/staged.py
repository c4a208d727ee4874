"""What every reader of another shape gives: a table's rows as a DuckDB relation of text, and what it could not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Unread(NamedTuple):
    """A row that never became one: index of its file, its row there (from 1), the column or "", and why."""

    place: int
    row: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows as a relation of VARCHAR columns and `_at` (file index << FILE_BITS | row); nothing is dropped in silence.

    INVARIANT: rows read = rows of the relation + unreadable + duplicates.
    """

    relation: str
    files: tuple[str, ...]
    unreadable: tuple[Unread, ...] = ()
    duplicates: int = 0
