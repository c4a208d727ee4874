"""A bounded number of rows, drawn by whole accounts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rows_of_some(root: NDArray[Any], rows: NDArray[Any], most: int, seed: int) -> NDArray[np.int64]:
    """The rows of so many accounts, drawn by chance, that there are at most `most`; all of them when they are fewer.

    `root` has one entry for every row there is, `rows` are places in it. An account of more than `most` rows is never
    drawn, and takes no other's place.
    """
    if len(rows) <= most:
        return np.asarray(rows, dtype=np.int64)
    names, of_row = np.unique(root[rows], return_inverse=True)
    size = np.bincount(of_row)
    drawn = np.argsort(np.random.default_rng(seed).permutation(len(names)))
    drawn = drawn[size[drawn] <= most]
    kept = np.zeros(len(names), dtype=np.bool_)
    kept[drawn[: np.searchsorted(np.cumsum(size[drawn]), most, side="right")]] = True
    return np.asarray(rows[kept[of_row]], dtype=np.int64)
