"""Ids as text: where each stands in a list of others, and a number for each.

Lists of ids are in order nearly everywhere (a reading sorts them, a state is written sorted), so that two of them are
matched by going through both once; pyarrow's hash table, which needs no order, takes ten times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from features.columns import available_threads, in_ranges

Places = NDArray[np.int64]


def texts(values: NDArray[np.object_] | pa.Array | pa.ChunkedArray) -> pa.Array:
    """The same texts as one Arrow array."""
    if isinstance(values, np.ndarray):
        return pa.array(values, pa.string())
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def places_of(
    wanted: NDArray[np.object_] | pa.Array | pa.ChunkedArray, among: NDArray[np.object_] | pa.Array | pa.ChunkedArray
) -> Places:
    """Where each text stands in a list, -1 where it does not; of several alike the first counts.

    INVARIANT: the same answer whether the lists are in order or not.
    """
    these, those = texts(wanted), texts(among)
    if not these.null_count and not those.null_count:
        found = np.empty(len(these), dtype=np.int64)
        if _through_both(*_bytes(these), *_bytes(those), found):
            return found
    spots = pc.fill_null(pc.index_in(these, those), -1).to_numpy(zero_copy_only=False)
    return np.asarray(spots, dtype=np.int64)


def hashes_of(values: NDArray[np.object_] | pa.Array) -> NDArray[np.uint64]:
    """A number for each text, the same in every process (FNV-1a); an absent text counts as an empty one."""
    given = pc.fill_null(texts(values), "")
    found = np.empty(len(given), dtype=np.uint64)
    starts, letters = _bytes(given)
    in_ranges(lambda _, a, b: _hash(starts, letters, a, b, found), len(found), available_threads())
    return found


def _bytes(given: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Where the bytes of each text start, one place more than there are texts, and the bytes."""
    if not len(given):
        return np.zeros(1, dtype=np.int32), np.empty(0, dtype=np.uint8)
    _, starts, letters = given.buffers()
    own = np.frombuffer(starts, dtype=np.int32)[given.offset : given.offset + len(given) + 1]
    return own, np.empty(0, dtype=np.uint8) if letters is None else np.frombuffer(letters, dtype=np.uint8)


@njit(cache=True, nogil=True)
def _compared(starts: Any, letters: Any, i: int, others: Any, theirs: Any, j: int) -> int:
    """-1, 0 or 1 as text i comes before, is, or comes after text j, byte by byte."""
    a, b = starts[i], others[j]
    size, other = starts[i + 1] - a, others[j + 1] - b
    for k in range(min(size, other)):
        if letters[a + k] != theirs[b + k]:
            return -1 if letters[a + k] < theirs[b + k] else 1
    return 0 if size == other else -1 if size < other else 1


@njit(cache=True, nogil=True)
def _through_both(starts: Any, letters: Any, others: Any, theirs: Any, found: Any) -> bool:
    """Match two lists in order; False as soon as one of them turns out not to be."""
    n, many = len(starts) - 1, len(others) - 1
    for j in range(1, many):
        if _compared(others, theirs, j - 1, others, theirs, j) > 0:
            return False
    j = 0
    for i in range(n):
        if i and _compared(starts, letters, i - 1, starts, letters, i) > 0:
            return False
        side = 1 if j < many else -1
        while j < many:
            side = _compared(starts, letters, i, others, theirs, j)
            if side <= 0:
                break
            j += 1
        found[i] = j if side == 0 and j < many else -1
    return True


@njit(cache=True, nogil=True)
def _hash(starts: Any, letters: Any, first: int, stop: int, found: Any) -> None:
    for i in range(first, stop):
        number = np.uint64(0xCBF29CE484222325)
        for at in range(starts[i], starts[i + 1]):
            number = (number ^ np.uint64(letters[at])) * np.uint64(0x100000001B3)
        found[i] = number
