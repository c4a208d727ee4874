"""One table of a report, so that the terminal, JSON, CSV and the page say the same numbers with the same words."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from models.shares import wilson

Unit = Literal["text", "count", "rate", "points", "money", "days", "times", "credit", "number"]
DASH = "\N{EN DASH}"
_MINUS, _TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
_AFTER = {"points": " points"}
# A text cell that begins so is read as a formula by the programs that open a CSV file.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Rated:
    """How many of how many, with Wilson's 95 % interval; nobody to ask gives no rate."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """The rate in [0, 1], None of nobody."""
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval, in [0, 1]."""
        return wilson(self.hits, self.of)


@dataclass(frozen=True, slots=True)
class Around:
    """A number with its interval, in the unit of its column."""

    value: float
    low: float
    high: float


Value = str | int | float | Fraction | Rated | Around | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `money` is whole cents, `rate` and `points` (differences of rates) are parts of one."""

    id: str
    label: str
    unit: Unit = "text"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table with its window in words; a cell is None where it cannot be told, and `notes` say what is left out.

    `total` is one more row, drawn apart; `says` is one sentence that a reader who sees nothing else may keep.
    """

    id: str
    title: str
    says: str
    window: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    notes: tuple[str, ...] = ()
    total: tuple[Value, ...] | None = field(default=None)

    def texts(self) -> list[list[str]]:
        """Every row as a person reads it, the total last."""
        return [
            [said(cell, column.unit) for cell, column in zip(row, self.columns, strict=True)] for row in self._all()
        ]

    def to_json(self) -> dict[str, Any]:
        """The sheet as plain JSON values: money in cents, a rate with count and interval, a credit exact too."""
        return {
            "id": self.id,
            "title": self.title,
            "says": self.says,
            "window": self.window,
            "columns": [{"id": c.id, "label": c.label, "unit": c.unit} for c in self.columns],
            "rows": [self._row_json(row) for row in self.rows],
            "total": None if self.total is None else self._row_json(self.total),
            "notes": list(self.notes),
        }

    def to_csv(self) -> str:
        """The rows as CSV with one header line; a rate is four columns, an interval three. The total is left out."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([name for column in self.columns for name in _names(column)])
        for row in self.rows:
            writer.writerow([x for cell, c in zip(row, self.columns, strict=True) for x in _cells(cell, c)])
        return out.getvalue()

    def _all(self) -> Iterator[Sequence[Value]]:
        yield from self.rows
        if self.total is not None:
            yield self.total

    def _row_json(self, row: Sequence[Value]) -> dict[str, Any]:
        return {column.id: _plain(cell) for cell, column in zip(row, self.columns, strict=True)}


def said(cell: Value, unit: Unit) -> str:
    """A cell in words: percent for rates, two digits for money; a dash where it cannot be told."""
    if cell is None:
        return DASH
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Rated):
        if cell.value is None:
            return DASH
        low, high = cell.interval
        return f"{_percent(cell.value)} ({cell.hits:,} of {cell.of:,}; {_percent(low)} to {_percent(high)})"
    if isinstance(cell, Around):
        value, *ends = (_signed(number, unit) for number in (cell.value, cell.low, cell.high))
        return f"{value} ({ends[0]} to {ends[1]})" + _AFTER.get(unit, "")
    return _signed(cell, unit) + _AFTER.get(unit, "")


def _signed(cell: int | float | Fraction, unit: Unit) -> str:
    sign = _MINUS if cell < 0 else ""
    size: int | float | Fraction = -cell if cell < 0 else cell
    match unit:
        case "rate":
            return sign + _percent(float(size))
        case "points":
            return f"{sign}{100 * float(size):.2f}"
        case "money":
            cents = round(size)
            return f"{sign}{cents // 100:,}.{cents % 100:02d}"
        case "credit":
            return sign + credit_text(Fraction(size))
        case "days":
            return f"{sign}{float(size):,.1f}".removesuffix(".0")
        case "times":
            return f"{sign}{float(size):,.2f}{_TIMES}"
        case _:
            return f"{sign}{size:,}" if isinstance(size, int) else f"{sign}{float(size):,.2f}"


def credit_text(credit: Fraction) -> str:
    """A credit in at most four decimals, two from ten on, without zeros at the end."""
    text = f"{float(credit):,.{4 if abs(credit) < 10 else 2}f}"
    return text.rstrip("0").rstrip(".")


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %".replace(".0 %", " %")


def _plain(cell: Value) -> Any:
    if isinstance(cell, Rated):
        low, high = cell.interval
        return {"hits": cell.hits, "of": cell.of, "rate": cell.value, "low": low, "high": high}
    if isinstance(cell, Around):
        return {"value": cell.value, "low": cell.low, "high": cell.high}
    return {"value": float(cell), "exact": str(cell)} if isinstance(cell, Fraction) else cell


def _names(column: Column) -> list[str]:
    if column.unit == "rate":
        return [column.id, *(f"{column.id}_{part}" for part in ("hits", "of", "low", "high"))]
    if column.unit == "points":
        return [column.id, f"{column.id}_low", f"{column.id}_high"]
    return [column.id]


def _cells(cell: Value, column: Column) -> list[Any]:
    width = len(_names(column))
    if isinstance(cell, Rated):
        return [cell.value, cell.hits, cell.of, *cell.interval]
    if isinstance(cell, Around):
        found: list[Any] = [cell.value, cell.low, cell.high]
        return found[:1] if width == 1 else [cell.value, *[None] * (width - 3), cell.low, cell.high]
    if isinstance(cell, str):
        return [f"'{cell}" if cell.startswith(_FORMULA) else cell, *[None] * (width - 1)]
    if isinstance(cell, Fraction):
        return [float(cell), *[None] * (width - 1)]
    if column.unit == "money" and cell is not None:
        cents = round(cell)
        return [f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"]
    return [cell, *[None] * (width - 1)]
