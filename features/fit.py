"""Fit: what a lead and its account are, as codes, and how long we have known it.

A code becomes the same number as a float and 0 becomes NaN: unknown stays unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.columns import Columns, exact
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT, YES, Known


def code_block(columns: Columns, fields: Sequence[str], size: int) -> NDArray[np.uint8]:
    """Codes of the fields, one row per field; unknown where a column was not supplied."""
    if not fields:
        return np.zeros((0, size), dtype=np.uint8)
    try:
        rows = [columns[name] for name in fields]
    except KeyError:
        rows = [exact(columns, name, np.uint8, size) for name in fields]
    return np.concatenate(rows, dtype=np.uint8, casting="unsafe").reshape(len(fields), size)


def account_codes(known: Known, fields: Sequence[str]) -> NDArray[np.uint8]:
    """Codes of the fields of each lead's account, one row per field and one column per lead."""
    n = len(known.lead_ids)
    found = np.zeros((len(fields), n), dtype=np.uint8)
    if known.accounts and len(known.account_ids):
        block = code_block(known.accounts, fields, len(known.account_ids))
        gather(block, exact(known.leads, "account", np.int32, n), found)
    return found


def days_since(instants: NDArray[np.int64], as_of_day: int) -> NDArray[np.int32]:
    """Whole UTC days from each instant's day, -1 where unknown or later."""
    days = as_of_day - instants // MICROSECONDS_A_DAY
    found: NDArray[np.int32] = np.where((instants == UNKNOWN_INSTANT) | (days < 0), -1, days).astype(np.int32)
    return found


def fill_fit(known: Known, matrix: NDArray[np.float64], lead: Any, account: Any, days: Any, verified: int) -> None:
    """Write fit features in place.

    Args:
        known: what is known.
        matrix: one row per lead.
        lead: fields of leads and their columns in the matrix.
        account: fields of accounts and their columns.
        days: instants of leads and the columns of the days since them.
        verified: column of `verified_hcp`, -1 where it is not a feature.
    """
    n = len(known.lead_ids)
    if lead[0]:
        fill_codes(code_block(known.leads, lead[0], n), lead[1], matrix)
    if account[0]:
        fill_codes(account_codes(known, account[0]), account[1], matrix)
    for name, column in zip(*days, strict=True):
        _fill_days(exact(known.leads, name, np.int64, n), known.as_of_day, column, matrix)
    if verified >= 0:
        _fill_yes(exact(known.leads, "verified_hcp", np.uint8, n), verified, matrix)


@njit(cache=True, nogil=True)
def gather(block: Any, rows: Any, found: Any) -> None:
    """Take each row's column of codes; an absent row leaves unknown."""
    for i in range(len(rows)):
        row = rows[i]
        if 0 <= row < block.shape[1]:
            for j in range(block.shape[0]):
                found[j, i] = block[j, row]


@njit(cache=True, nogil=True)
def fill_codes(block: Any, columns: Any, matrix: Any) -> None:
    """Write codes as numbers, unknown as NaN."""
    for i in range(block.shape[1]):
        for j in range(len(columns)):
            code = block[j, i]
            matrix[i, columns[j]] = np.nan if code == 0 else np.float64(code)


@njit(cache=True, nogil=True)
def _fill_days(instants: Any, today: int, column: int, matrix: Any) -> None:
    for i in range(len(instants)):
        days = today - instants[i] // MICROSECONDS_A_DAY
        matrix[i, column] = np.nan if instants[i] == UNKNOWN_INSTANT or days < 0 else np.float64(days)


@njit(cache=True, nogil=True)
def _fill_yes(codes: Any, column: int, matrix: Any) -> None:
    for i in range(len(codes)):
        matrix[i, column] = np.nan if codes[i] == 0 else np.float64(codes[i] == YES)
