"""How many leads of given data a change of the book reaches: each book rules on facts built its own way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.facts import Facts
from policy.book import Book
from policy.rulings import rule

CHUNK_LEADS = 8_192


@dataclass(frozen=True, slots=True)
class Reached:
    """Leads of one channel: allowed for some asset under each book, gained and lost; of the leads both know."""

    channel: str
    leads: int
    before: int
    after: int
    gained: int
    lost: int


def count_change(old: tuple[Book, Facts, Sequence[str]], new: tuple[Book, Facts, Sequence[str]]) -> Iterator[Reached]:
    """For each channel the leads that gain or lose it; each side is a book, its facts and the ids of its leads."""
    (old_book, old_facts, old_ids), (new_book, new_facts, new_ids) = old, new
    place = {lead: index for index, lead in enumerate(new_ids)}
    pairs = np.array([(i, place[lead]) for i, lead in enumerate(old_ids) if lead in place], dtype=np.intp).reshape(
        -1, 2
    )
    before, after = _may(old_book, old_facts)[pairs[:, 0]], _may(new_book, new_facts)[pairs[:, 1]]
    for channel in dict.fromkeys((*old_book.channels, *new_book.channels)):
        was, now = _column(before, old_book, channel), _column(after, new_book, channel)
        yield Reached(
            channel, len(pairs), int(was.sum()), int(now.sum()), int((now & ~was).sum()), int((was & ~now).sum())
        )


def _column(may: NDArray[np.bool_], book: Book, channel: str) -> NDArray[np.bool_]:
    return may[:, book.channels.index(channel)] if channel in book.channels else np.zeros(len(may), dtype=np.bool_)


def _may(book: Book, facts: Facts) -> NDArray[np.bool_]:
    """Leads by channels: whether anything at all may be sent, a message without content too."""
    found = np.zeros((facts.n, len(book.channels)), dtype=np.bool_)
    for start in range(0, facts.n, CHUNK_LEADS):
        stop = min(start + CHUNK_LEADS, facts.n)
        columns = {
            name: column[start:stop] if column.shape[0] == facts.n > 1 else column
            for name, column in facts.columns.items()
        }
        found[start:stop] = rule(book, Facts(stop - start, facts.assets, columns)).permitted.any(axis=1)
    return found
