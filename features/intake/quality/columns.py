"""Inventory of columns: completeness, distinct values, constants, columns that say the same, equal rows, stand-ins.

A stand-in (sentinel) is a value that probably means "not known" or "never": pointed at, never converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.intake.flat import Texts, numbers_of
from features.intake.quality.findings import ColumnQuality, Sentinel
from features.tables import UNKNOWN_INSTANT, Columns

# A number far away from all others stands for something if this share of the rows has it.
SENTINEL_SHARE = 0.01
MIN_SENTINEL_ROWS = 30
# Of a number with few values, such as a quarterly index, one always lies far from the others.
MIN_SENTINEL_VALUES = 8
_MIX = np.uint64(0x9E3779B97F4A7C15)


def inventory(table: str, columns: Mapping[str, NDArray[Any]], unmapped: Mapping[str, int]) -> list[ColumnQuality]:
    """One line a column; `unmapped` counts by `table.column` the given values that no vocabulary knows."""
    seen: dict[bytes, str] = {}
    found: list[ColumnQuality] = []
    for name, column in columns.items():
        known = known_rows(column)
        codes, values = _encoded(column)
        distinct = int((np.bincount(codes[known], minlength=values) > 0).sum()) if values else 0
        # Where every row has a value of its own, any two columns divide the rows alike: only equal values say the same.
        print_ = b"" if distinct < 2 else codes.tobytes() if values < len(column) else _content(column)
        same_as = seen.setdefault(print_, name) if print_ else name
        found.append(
            ColumnQuality(
                table,
                name,
                len(column),
                float(known.mean()) if len(known) else 0.0,
                distinct,
                distinct <= 1 and bool(known.all()),
                same_as if same_as != name else None,
                unmapped.get(f"{table}.{name}", 0),
            )
        )
    return found


def known_rows(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an encoded column has a value that means something."""
    if column.dtype == object:
        return np.array([value is not None for value in column.tolist()], dtype=np.bool_)
    if column.dtype.kind == "f":
        return np.asarray(~np.isnan(column))
    if column.dtype == np.uint8:
        return np.asarray(column != 0)
    # References and level codes use -1, instants their own mark.
    given: NDArray[np.bool_] = (column != -1) & (column != UNKNOWN_INSTANT)
    return given


def rows_equal_to_another(columns: Iterable[NDArray[Any]]) -> int:
    """How many rows say in every column what some other row says too; 0 where there is no column."""
    mixed: NDArray[np.uint64] | None = None
    for column in columns:
        if column.dtype.kind not in "iufb":
            column = np.unique(column.astype(str), return_inverse=True)[1]
        part = np.ascontiguousarray(column).view(f"u{column.dtype.itemsize}").astype(np.uint64)
        mixed = part if mixed is None else (mixed ^ part)
        mixed = mixed * _MIX
        mixed ^= mixed >> np.uint64(29)
    if mixed is None or len(mixed) < 2:
        return 0
    ordered = np.sort(mixed)
    same = ordered[1:] == ordered[:-1]
    return int(np.sum(np.append(same, False) | np.append(False, same)))


def without(columns: Columns, left_out: Sequence[str]) -> list[NDArray[Any]]:
    """The columns but some, and of those only the ones in which anything is known."""
    return [column for name, column in columns.items() if name not in left_out and known_rows(column).any()]


def sentinels(
    table: str, texts: Mapping[str, Texts], words: Sequence[str], unshown: Sequence[str] = ()
) -> tuple[Sentinel, ...]:
    """Values that probably stand for "not known" or "never", the most frequent first.

    A word counts by itself (`Select`, `n/a`); a number where it lies further from the nearest other value than all the
    others lie apart, if there are at least 8 others and 1 % and 30 of the rows have it (`pdays` 999 beside 0 to 27).
    """
    found: list[Sentinel] = []
    for name, column in texts.items():
        if f"{table}.{name}" in unshown:
            continue
        values, counts = _counted(column)
        found += word_sentinels(table, name, dict(zip(values, counts.tolist(), strict=True)), len(column), words)
        numbers, wrong = numbers_of(column)
        if len(values) > 2 and not wrong.any():
            found += _far_numbers(table, name, numbers)
    return tuple(sorted(found, key=lambda s: (-s.rows, s.table, s.column)))


def word_sentinels(
    table: str, column: str, rows_of: Mapping[str, int], total: int, words: Sequence[str]
) -> list[Sentinel]:
    """The words among a column's values that usually stand for "not known"; a column of nothing else has none."""
    listed = {word.casefold() for word in words}
    hits = {value: rows for value, rows in rows_of.items() if value.strip().casefold() in listed}
    if not hits or len(hits) == len(rows_of):
        return []
    why = "a word that forms and exports use for no answer; it stays a level of its own"
    return [Sentinel(table, column, value, rows, rows / max(total, 1), why) for value, rows in hits.items()]


def _far_numbers(table: str, column: str, numbers: NDArray[np.float64]) -> list[Sentinel]:
    values, counts = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
    if len(values) <= MIN_SENTINEL_VALUES:
        return []
    found: list[Sentinel] = []
    for place, nearest, rest in ((-1, -2, values[:-1]), (0, 1, values[1:])):
        rows, gap, spread = int(counts[place]), abs(values[place] - values[nearest]), rest[-1] - rest[0]
        if rows >= max(MIN_SENTINEL_ROWS, SENTINEL_SHARE * len(numbers)) and gap > spread:
            why = f"far from all other values, which lie between {rest[0]:g} and {rest[-1]:g}"
            found.append(Sentinel(table, column, f"{values[place]:g}", rows, rows / len(numbers), why))
    return found


def _counted(column: Texts) -> tuple[list[str], NDArray[np.int64]]:
    given = [text for text in column.tolist() if text is not None]
    tally: dict[str, int] = {}
    for text in given:
        tally[text] = tally.get(text, 0) + 1
    return list(tally), np.array(list(tally.values()), dtype=np.int64)


def _encoded(column: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """Codes in order of first appearance, the same for columns that divide the rows alike, and how many there are."""
    encoded = pa.array(column, from_pandas=False).dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False) if encoded.null_count == 0 else None
    if codes is None:
        # Arrow gives an absent text no code: it gets the one after the last.
        codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
        _, first, place = np.unique(codes, return_index=True, return_inverse=True)
        order = np.empty(len(first), dtype=np.int32)
        order[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
        codes = order[place]
    return codes.astype(np.int32), int(codes.max()) + 1 if len(codes) else 0


def _content(column: NDArray[Any]) -> bytes:
    return repr(column.tolist()).encode() if column.dtype == object else column.dtype.str.encode() + column.tobytes()
