"""Measures become columns of a feature matrix: copied, as shares of each other, or only for some roles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from features.columns import CERTAIN
from features.engagement import UNIT


@njit(cache=True, nogil=True)
def fill_features(counts: Any, rows: Any, columns: Any, parts: Any, first: int, stop: int, matrix: Any) -> None:
    """Copy whole numbers, each in so many parts of one, into their feature columns, -1 becoming NaN."""
    for lead in range(first, stop):
        for j in range(len(rows)):
            value = counts[rows[j], lead]
            matrix[lead, columns[j]] = np.nan if value < 0 else value / parts[j]


@njit(cache=True, nogil=True)
def fill_shares(counts: Any, rows: Any, of: Any, columns: Any, first: int, stop: int, matrix: Any) -> None:
    """Write each row's share of another row into its feature column, NaN where that one is 0 or unknown."""
    for lead in range(first, stop):
        for j in range(len(rows)):
            total = counts[of[j], lead]
            matrix[lead, columns[j]] = counts[rows[j], lead] / total if total > 0 else np.nan


@njit(cache=True, nogil=True)
def fill_decays(decays: Any, rows: Any, columns: Any, first: int, stop: int, matrix: Any) -> None:
    """Copy decayed sums into their feature columns, in events."""
    for lead in range(first, stop):
        for j in range(len(rows)):
            matrix[lead, columns[j]] = decays[rows[j], lead] / UNIT


@njit(cache=True, nogil=True)
def fill_suspect(decays: Any, supplied: bool, column: int, matrix: Any) -> None:
    """Write which part of the last decayed sum rests on suspect events, NaN where there is nothing."""
    for lead in range(len(matrix)):
        some = supplied and decays[-2, lead] > 0
        matrix[lead, column] = decays[-1, lead] / decays[-2, lead] if some else np.nan


@njit(cache=True, nogil=True)
def fill_role_signals(counts: Any, role: Any, columns: Any, added: Any, roles: Any, matrix: Any) -> None:
    """Add up sixteenths of some rows where the role is one they mean something for; 0 for others, NaN if unknown."""
    for lead in range(len(matrix)):
        for j in range(len(columns)):
            total, unknown = 0, role[lead] == 0
            if roles[j, role[lead]]:
                for row in range(len(counts)):
                    if added[j, row]:
                        unknown |= counts[row, lead] < 0
                        total += counts[row, lead]
            elif len(counts) and counts[0, lead] < 0:
                unknown = True
            matrix[lead, columns[j]] = np.nan if unknown else total / CERTAIN


@njit(cache=True, nogil=True)
def fill_whole(counts: Any, rows: Any, weighted: Any, found: Any) -> None:
    """Copy rows in whole events, as `features.engagement.whole` rounds them."""
    for j in range(len(rows)):
        for i in range(counts.shape[1]):
            value = counts[rows[j], i]
            found[j, i] = (value + CERTAIN // 2) // CERTAIN if weighted[rows[j]] and value >= 0 else value
