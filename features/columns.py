"""Columns in memory: their plain form, and events packed one word each and sorted by lead.

A word holds an event's age in whole UTC days, its codes and how surely a person made it, so that one pass over the rows
is the only one that touches them in their original order; what follows reads each lead's words one after the other.
From the lowest bit: age (14 bits, 2 free), kind (8), topic (8), depth (5), person in sixteenths (5), channel (6),
product (8); the top byte is free.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]
_One = TypeVar("_One")
_Other = TypeVar("_Other")

UNKNOWN_INSTANT: int = int(np.iinfo(np.int64).min)
MICROSECONDS_A_DAY = 86_400_000_000
MAX_AGE_DAYS = (1 << 14) - 1
# That a person made an event is kept in sixteenths: 16 is certain.
CERTAIN = 16
# What fits a word: 5 bits for a depth, 6 for a channel.
MAX_DEPTHS, MAX_CHANNELS = 31, 63
_THREAD_WORTH_ROWS = 200_000
_NEVER = UNKNOWN_INSTANT
# One object stands for each plain type, and comparing objects is cheaper than comparing types.
_PLAIN = {kind: np.dtype(kind) for kind in (np.uint8, np.int32, np.int64, np.float64)}
_BLOCK_BITS = 8
_BLOCK = 1 << _BLOCK_BITS
_WITHOUT_PLACE = np.uint64((1 << 56) - 1)


def available_threads() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def in_ranges(
    work: Callable[[int, int, int], object], size: int, threads: int, worth: int = _THREAD_WORTH_ROWS
) -> None:
    """Run `work(part, start, stop)` over equal ranges of `size`, in threads where that is worth it.

    The kernels release the interpreter lock, so plain threads do; numba's own threading layers abort the process when
    two threads of a server enter them at once.
    """
    parts = 1 if size < worth else threads
    if parts == 1:
        work(0, 0, size)
        return
    cuts = [size * part // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        for done in [pool.submit(work, part, cuts[part], cuts[part + 1]) for part in range(parts)]:
            done.result()


def side_by_side(size: int, one: Callable[[], _One], other: Callable[[], _Other]) -> tuple[_One, _Other]:
    """The results of two works that do not look at each other, at once where there are rows enough to be worth it."""
    if size < _THREAD_WORTH_ROWS:
        return one(), other()
    with ThreadPoolExecutor(1) as pool:
        aside = pool.submit(other)
        return one(), aside.result()


def unknown_like(dtype: np.dtype[Any]) -> Any:
    """The value that means unknown in a column of this type."""
    if dtype == np.int64:
        return UNKNOWN_INSTANT
    return {"f": np.nan, "O": None, "i": -1}.get(dtype.kind, 0)


def exact(columns: Columns, name: str, dtype: Any, size: int) -> NDArray[Any]:
    """The column as a contiguous writable array of this type (no copy where it is one), all unknown where absent."""
    column = columns.get(name)
    if column is None:
        return np.full(size, unknown_like(np.dtype(dtype)), dtype=dtype)
    if (column.dtype is _PLAIN.get(dtype) or column.dtype == dtype) and column.flags.carray:
        return column
    return np.array(column, dtype=dtype, order="C")


def within(columns: Columns, name: str, size: int, values: int) -> NDArray[np.uint8]:
    """The codes of a column, a code outside its vocabulary of so many values being unknown."""
    column = exact(columns, name, np.uint8, size)
    if _any_over(column, values):
        return np.where(column > values, 0, column).astype(np.uint8)
    return column


@njit(cache=True, nogil=True)
def _any_over(codes: Any, highest: int) -> bool:
    for i in range(len(codes)):  # noqa: SIM110 - numba compiles loops
        if codes[i] > highest:
            return True
    return False


@njit(cache=True, nogil=True)
def all_by(happened: Any, recorded: Any, cut: int) -> bool:
    """Whether every row happened and was recorded by the cut."""
    for i in range(len(happened)):  # noqa: SIM110 - numba compiles loops
        if happened[i] > cut or recorded[i] > cut:
            return False
    return True


@njit(cache=True, nogil=True)
def rows_between(instants: Any, after: int, until: int, found: Any) -> int:
    """Write the rows whose instant is after one and not after another, in order; how many there are."""
    size = 0
    for i in range(len(instants)):
        if after < instants[i] <= until:
            found[size] = i
            size += 1
    return size


@njit(cache=True, nogil=True)
def each_once_in_order(rows: Any) -> bool:
    """Whether rows are 0, 1, 2, ..."""
    for i in range(len(rows)):  # noqa: SIM110 - numba compiles loops
        if rows[i] != i:
            return False
    return True


@njit(cache=True, nogil=True)
def last_version_of_each(rows: Any, recorded: Any, created: Any, cut: int, chosen: Any) -> bool:
    """Write for each id the row of its version recorded last by the cut; whether two of them were recorded at once."""
    ties = False
    for i in range(len(rows)):
        row = rows[i]
        if recorded[i] > cut or created[i] > cut or row < 0 or row >= len(chosen):
            continue
        last = chosen[row]
        if last < 0 or recorded[i] > recorded[last]:
            chosen[row] = i
        elif recorded[i] == recorded[last]:
            ties = True
    return ties


@njit(cache=True, nogil=True)
def _count(lead: Any, happened: Any, recorded: Any, cut: int, start: int, stop: int, counts: Any) -> None:
    for i in range(start, stop):
        row = lead[i]
        if happened[i] <= cut and recorded[i] <= cut and happened[i] != _NEVER and 0 <= row < len(counts):
            counts[row] += 1


@njit(cache=True, nogil=True)
def _offsets(counts: Any, starts: Any) -> None:
    """Turn counts[part, lead] into the first free place of each part, and fill the starts of each lead."""
    total = 0
    for row in range(counts.shape[1]):
        starts[row] = total
        for part in range(counts.shape[0]):
            size = counts[part, row]
            counts[part, row] = total
            total += size
    starts[counts.shape[1]] = total


@njit(cache=True, nogil=True)
def _word(happened: int, today: int, kind: Any, topic: Any, depth: Any, channel: Any, product: Any, level: Any) -> Any:
    word = np.uint64(min(today - happened // MICROSECONDS_A_DAY, MAX_AGE_DAYS))
    word |= (np.uint64(kind) << np.uint64(16)) | (np.uint64(topic) << np.uint64(24))
    if depth <= MAX_DEPTHS:  # a code that does not fit is unknown
        word |= np.uint64(depth) << np.uint64(32)
    word |= np.uint64(level) << np.uint64(37)
    if channel <= MAX_CHANNELS:
        word |= np.uint64(channel) << np.uint64(42)
    return word | (np.uint64(product) << np.uint64(48))


@njit(cache=True, nogil=True)
def _pack(
    lead: Any,
    happened: Any,
    recorded: Any,
    kind: Any,
    topic: Any,
    depth: Any,
    channel: Any,
    product: Any,
    human: Any,
    cut: int,
    start: int,
    stop: int,
    places: Any,
    words: Any,
    newest: Any,
) -> None:
    today = cut // MICROSECONDS_A_DAY
    for i in range(start, stop):
        row = lead[i]
        if happened[i] <= cut and recorded[i] <= cut and happened[i] != _NEVER and 0 <= row < len(places):
            level = human[i] if len(human) else np.uint8(CERTAIN)
            words[places[row]] = _word(happened[i], today, kind[i], topic[i], depth[i], channel[i], product[i], level)
            places[row] += 1
            newest[row] = max(newest[row], happened[i])


@njit(cache=True, nogil=True)
def _count_blocks(
    lead: Any, happened: Any, recorded: Any, cut: int, start: int, stop: int, n: int, counts: Any
) -> None:
    for i in range(start, stop):
        row = lead[i]
        if happened[i] <= cut and recorded[i] <= cut and happened[i] != _NEVER and 0 <= row < n:
            counts[row >> _BLOCK_BITS] += 1


@njit(cache=True, nogil=True)
def _stage(
    lead: Any,
    happened: Any,
    recorded: Any,
    kind: Any,
    topic: Any,
    depth: Any,
    channel: Any,
    product: Any,
    human: Any,
    cut: int,
    start: int,
    stop: int,
    places: Any,
    staged: Any,
    newest: Any,
) -> None:
    """Like `_pack`, but into blocks of leads; the free top byte of a word holds the lead's place in its block."""
    today = cut // MICROSECONDS_A_DAY
    for i in range(start, stop):
        row = lead[i]
        if happened[i] <= cut and recorded[i] <= cut and happened[i] != _NEVER and 0 <= row < len(newest):
            level = human[i] if len(human) else np.uint8(CERTAIN)
            word = _word(happened[i], today, kind[i], topic[i], depth[i], channel[i], product[i], level)
            word |= np.uint64(row & (_BLOCK - 1)) << np.uint64(56)
            block = row >> _BLOCK_BITS
            staged[places[block]] = word
            places[block] += 1
            newest[row] = max(newest[row], happened[i])


@njit(cache=True, nogil=True)
def _settle(staged: Any, blocks: Any, first: int, last: int, starts: Any, words: Any) -> None:
    """Sort the words of each block by lead; a block fits the processor's cache, which is what staging is for."""
    n = len(starts) - 1
    places = np.empty(_BLOCK, dtype=np.int64)
    for block in range(first, last):
        places[:] = 0
        for at in range(blocks[block], blocks[block + 1]):
            places[staged[at] >> np.uint64(56)] += 1
        total = blocks[block]
        for j in range(min(_BLOCK, n - (block << _BLOCK_BITS))):
            starts[(block << _BLOCK_BITS) + j] = total
            size = places[j]
            places[j] = total
            total += size
        for at in range(blocks[block], blocks[block + 1]):
            j = staged[at] >> np.uint64(56)
            words[places[j]] = staged[at] & _WITHOUT_PLACE
            places[j] += 1


def packed(
    events: Columns, n: int, cut: int, threads: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Words of events known by the cut, sorted by lead: where each lead starts, the words, its newest instant."""
    starts = np.zeros(n + 1, dtype=np.int64)
    if not events:
        return starts, np.empty(0, dtype=np.uint64), np.full(n, UNKNOWN_INSTANT, dtype=np.int64)
    size = len(events["lead"])
    lead, happened = exact(events, "lead", np.int32, size), exact(events, "occurred_at", np.int64, size)
    recorded = exact(events, "recorded_at", np.int64, size)
    kind, topic = exact(events, "kind", np.uint8, size), exact(events, "topic", np.uint8, size)
    depth, channel = exact(events, "depth", np.uint8, size), exact(events, "channel", np.uint8, size)
    product = exact(events, "product", np.uint8, size)
    # Without weights every event is certain, and none need be written down.
    human = exact(events, "human", np.uint8, size) if "human" in events else np.empty(0, dtype=np.uint8)
    columns = (lead, happened, recorded, kind, topic, depth, channel, product, human)
    if size < _THREAD_WORTH_ROWS:
        places, newest = np.zeros((1, n), dtype=np.int64), np.full(n, UNKNOWN_INSTANT, dtype=np.int64)
        _count(lead, happened, recorded, cut, 0, size, places[0])
        _offsets(places, starts)
        words = np.empty(starts[n], dtype=np.uint64)
        _pack(*columns, cut, 0, size, places[0], words, newest)
        return starts, words, newest
    blocks = (n + _BLOCK - 1) >> _BLOCK_BITS
    places, block_starts = np.zeros((threads, blocks), dtype=np.int64), np.zeros(blocks + 1, dtype=np.int64)
    in_ranges(lambda p, a, b: _count_blocks(lead, happened, recorded, cut, a, b, n, places[p]), size, threads)
    _offsets(places, block_starts)
    total = block_starts[blocks]
    staged, words = np.empty(total, dtype=np.uint64), np.empty(total, dtype=np.uint64)
    seen = np.full((threads, n), UNKNOWN_INSTANT, dtype=np.int64)
    in_ranges(lambda p, a, b: _stage(*columns, cut, a, b, places[p], staged, seen[p]), size, threads)
    in_ranges(lambda _, a, b: _settle(staged, block_starts, a, b, starts, words), blocks, threads, worth=2)
    starts[n] = total
    return starts, words, seen.max(axis=0)


def first_of_each(key: Sequence[NDArray[Any]], columns: Columns) -> tuple[NDArray[np.bool_], ...]:
    """Which rows to keep, which repeat a kept row exactly, and which share its key with other content.

    INVARIANT: the choice depends on content only, never on row order: of rows with one key the earliest recorded wins,
    then the smallest by content.
    """
    n = len(key[0])
    content = [_sortable(columns[name]) for name in sorted(columns)]
    recorded = columns.get("recorded_at")
    tail = [*content, *([recorded] if recorded is not None else []), *reversed(key)]
    order = np.lexsort(tail)
    same_key = np.ones(n - 1, dtype=np.bool_)
    for part in key:
        same_key &= part[order[1:]] == part[order[:-1]]
    starts = np.concatenate(([True], ~same_key))
    winner = order[np.maximum.accumulate(np.where(starts, np.arange(n), 0))]
    equal = np.ones(n, dtype=np.bool_)
    for part in content:
        equal &= part[order] == part[winner]
    keep, duplicate, conflict = (np.zeros(n, dtype=np.bool_) for _ in range(3))
    keep[order[starts]] = True
    duplicate[order[~starts & equal]] = True
    conflict[order[~starts & ~equal]] = True
    return keep, duplicate, conflict


def _sortable(column: NDArray[Any]) -> NDArray[Any]:
    if column.dtype == object:
        return np.unique(["" if value is None else f"={value}" for value in column], return_inverse=True)[1]
    return np.nan_to_num(column, nan=-np.inf) if column.dtype.kind == "f" else column


class SortedEvents(Mapping[str, NDArray[Any]]):
    """Event columns known by a cut, sorted by lead; a column is gathered when it is asked for."""

    __slots__ = ("_columns", "_cut", "_n", "_order")

    def __init__(self, columns: Columns, n: int, cut: int) -> None:
        self._columns, self._n, self._cut = columns, n, cut
        self._order: NDArray[np.int64] | None = None

    @property
    def unsorted(self) -> Columns:
        """The columns as they were given, with the future still in."""
        return self._columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        column = self._columns[name]
        if self._order is None:
            lead, happened = self._columns["lead"], self._columns["occurred_at"]
            recorded = self._columns.get("recorded_at", happened)
            known = (happened <= self._cut) & (recorded <= self._cut) & (happened != UNKNOWN_INSTANT)
            kept = np.flatnonzero(known & (lead >= 0) & (lead < self._n))
            self._order = kept[np.argsort(lead[kept], kind="stable")]
        return column[self._order]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)
