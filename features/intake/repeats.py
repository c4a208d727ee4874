"""Which of many keys occur more than once, without sorting them all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Bits a key in the filter: one key in sixteen is looked at a second time although nothing repeats it.
_BITS = 16


def repeated_rows(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows, rising, whose key another row has too.

    A Bloom filter with one hash (Bloom 1970) leaves few candidates, and only those are sorted. The keys' upper bits
    must be well mixed, or it merely takes longer.
    """
    width = max(10, int(_BITS * len(keys)).bit_length())
    candidates = _candidates(keys, np.uint64(64 - width), np.zeros((2, 1 << (width - 6)), dtype=np.uint64))
    found = keys[candidates]
    ordered = np.sort(found)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if len(repeated) == 0:
        return np.empty(0, dtype=np.int64)
    place = np.minimum(np.searchsorted(repeated, found), len(repeated) - 1)
    rows: NDArray[np.int64] = candidates[repeated[place] == found]
    return rows


@njit(cache=True, nogil=True)
def _candidates(keys: Any, shift: Any, bits: Any) -> Any:
    """Rows whose bit another row has too; `bits` has two rows: seen once, seen again."""
    low = np.uint64(63)
    one, six = np.uint64(1), np.uint64(6)
    for key in keys:
        place = key >> shift
        word, bit = place >> six, one << (place & low)
        if bits[0, word] & bit:
            bits[1, word] |= bit
        else:
            bits[0, word] |= bit
    count = 0
    for key in keys:
        place = key >> shift
        if bits[1, place >> six] & (one << (place & low)):
            count += 1
    rows = np.empty(count, dtype=np.int64)
    count = 0
    for i in range(len(keys)):
        place = keys[i] >> shift
        if bits[1, place >> six] & (one << (place & low)):
            rows[count] = i
            count += 1
    return rows
