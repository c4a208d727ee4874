"""Pictures of report tables: rates with their intervals, credits side by side, money, and where leads stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from training.evaluation.plots import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, draw_png, percent_axes
from training.measurement.sheet import Around, Rated, Sheet, Value

MOST_ROWS = 20
LONGEST_NAME = 44
_SIZES = ("leads", "given", "reached", "conversions", "points")
_COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, FAINT)
_MARKS = "osD^vPX"
_Row = TypeVar("_Row")
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo")


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn table: PNG bytes, what it shows in words, and how many rows it leaves out."""

    png: bytes
    says: str
    left_out: int = 0


def picture_of(sheet: Sheet) -> Picture | None:
    """The picture of a table that has one; None where nothing of it can be told."""
    drawn = _DRAWN.get(sheet.id)
    return drawn(sheet) if drawn is not None and sheet.rows else None


def rates(sheet: Sheet, names: Sequence[str], columns: Sequence[str], *, zero: bool = False) -> Picture | None:
    """Rates, or differences with `zero`, as marks with their intervals, one line a row."""
    places = [place for column in columns if (place := _place(sheet, column)) is not None]
    found = [(_name(sheet, row, names), [_interval(row[place]) for place in places]) for row in sheet.rows]
    sized = zip(_sizes(sheet), found, strict=True)
    known = [(size, one) for size, one in sized if any(value is not None for value in one[1])]
    shown = _largest(known)
    if not shown:
        return None
    labels = [sheet.columns[place].label for place in places]

    def draw(axes: Any) -> None:
        if zero:
            axes.axvline(0, color=INK, lw=1)
        for row, (_, values) in enumerate(shown):
            for index, value in enumerate(values):
                if value is None:
                    continue
                y = -row - (index - (len(places) - 1) / 2) * 0.22
                axes.plot(value[1:], [y, y], color=_COLORS[index], lw=1.8, solid_capstyle="butt")
                axes.plot(value[0], y, _MARKS[index], color=_COLORS[index], ms=5.5)
        for index, label in enumerate(labels):
            axes.plot([], [], _MARKS[index] + "-", color=_COLORS[index], label=label)
        axes.set_yticks([-row for row in range(len(shown))], [name for name, _ in shown])
        axes.set(ylim=(-len(shown) + 0.4, 0.6))
        if not zero:
            axes.set_xlim(left=0)
        if len(labels) == 1:
            axes.set_xlabel(labels[0])
        percent_axes(axes, "x")
        _legend(axes, len(labels))

    return Picture(
        draw_png(draw, (8.6, 0.95 + (0.22 + 0.08 * len(places)) * len(shown)), grid="x"),
        f"{' and '.join(labels)} with 95 % intervals",
        len(known) - len(shown),
    )


def bars(
    sheet: Sheet, names: Sequence[str], columns: Sequence[str], *, unit: str, scale: float = 1.0, without: str = "-"
) -> Picture | None:
    """Numbers side by side, a group of bars for each row; rows whose name begins with `without` are left out."""
    places = [place for column in columns if (place := _place(sheet, column)) is not None]
    found = [(_name(sheet, row, names), [_number(row[place]) for place in places]) for row in sheet.rows]
    known = [
        (size, one)
        for size, one in zip(_sizes(sheet), found, strict=True)
        if any(one[1]) and not one[0].startswith(without)
    ]
    shown = _largest(known)
    used = [index for index in range(len(places)) if any(values[index] is not None for _, (_, values) in known)]
    if not shown:
        return None
    labels = [sheet.columns[places[index]].label for index in used]

    def draw(axes: Any) -> None:
        height = 0.78 / len(used)
        for order, index in enumerate(used):
            lengths = [(values[index] or 0.0) * scale for _, values in shown]
            at = [-row - (order - (len(used) - 1) / 2) * height for row in range(len(shown))]
            axes.barh(
                at, lengths, height=height * 0.9, color=_COLORS[order], hatch=_HATCHES[order], edgecolor="white",
                lw=0, label=labels[order], zorder=3,
            )  # fmt: skip
        axes.set_yticks([-row for row in range(len(shown))], [name for name, _ in shown])
        axes.set(
            xlabel=unit if len(used) > 1 or unit == labels[0].lower() else f"{labels[0]}, {unit}",
            ylim=(-len(shown) + 0.4, 0.6),
        )
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        _legend(axes, len(used))

    return Picture(
        draw_png(draw, (8.6, 1.3 + (0.2 + 0.13 * len(used)) * len(shown)), grid="x"),
        f"{', '.join(labels)}: {unit}",
        len(known) - len(shown),
    )


def stacked(sheet: Sheet, names: Sequence[str], columns: Sequence[str]) -> Picture | None:
    """What each row is made of, as parts of one."""
    given = [place for column in columns if (place := _place(sheet, column)) is not None]
    places = [place for place in given if any(_number(row[place]) for row in sheet.rows)]
    found = [(_name(sheet, row, names), [_number(row[place]) or 0.0 for place in places]) for row in sheet.rows]
    known = [(size, one) for size, one in zip(_sizes(sheet), found, strict=True) if sum(one[1]) > 0]
    shown = _largest(known)
    if not shown or not places:
        return None

    def draw(axes: Any) -> None:
        left = [0.0] * len(shown)
        for index, place in enumerate(places):
            widths = [values[index] / sum(values) for _, values in shown]
            axes.barh(
                [-row for row in range(len(shown))], widths, left=left, height=0.66, color=_COLORS[index % 7],
                hatch=_HATCHES[index % 7], edgecolor="white", lw=0.6, label=sheet.columns[place].label, zorder=3,
            )  # fmt: skip
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.set_yticks([-row for row in range(len(shown))], [name for name, _ in shown])
        axes.set(xlim=(0, 1), ylim=(-len(shown) + 0.4, 0.6))
        percent_axes(axes, "x")
        _legend(axes, len(places))

    return Picture(draw_png(draw, (8.6, 1.2 + 0.34 * len(shown)), grid="x"), sheet.title, len(known) - len(shown))


def _shares_by_group(sheet: Sheet) -> Picture | None:
    """Position-based credit of each touch point inside each segment, as parts of one."""
    segment, point, credit = (_place(sheet, name) for name in ("segment", "touch_point", "position_based"))
    if segment is None or point is None or credit is None:
        return None
    sums: dict[str, float] = {}
    for row in sheet.rows:
        sums[str(row[point])] = sums.get(str(row[point]), 0.0) + (_number(row[credit]) or 0.0)
    largest = sorted(sums, key=lambda name: -sums[name])[:6]
    named = [*largest, *(["all others"] if len(sums) > 6 else [])]
    table: dict[str, list[float]] = {}
    for row in sheet.rows:
        values = table.setdefault(str(row[segment]), [0.0] * len(named))
        place = largest.index(str(row[point])) if row[point] in largest else len(named) - 1
        values[place] += _number(row[credit]) or 0.0
    columns = (sheet.columns[segment], *(type(sheet.columns[credit])(name, name, "credit") for name in named))
    rows: tuple[tuple[Value, ...], ...] = tuple((name, *values) for name, values in table.items())
    made = Sheet("shares", "Position-based credit inside each segment", "", "", columns, rows)
    return stacked(made, ("segment",), named)


def _sizes(sheet: Sheet) -> list[float]:
    """How much each row stands for, so that a picture of some of them shows those that weigh most."""
    place = next((p for name in _SIZES if (p := _place(sheet, name)) is not None), None)
    return [0.0 if place is None else _number(row[place]) or 0.0 for row in sheet.rows]


def _largest(known: Sequence[tuple[float, _Row]]) -> list[_Row]:
    """The rows of the largest sizes, the earlier one where they are equal, in the order of the table."""
    order = sorted(range(len(known)), key=lambda n: (-known[n][0], n))[:MOST_ROWS]
    return [known[n][1] for n in sorted(order)]


def _legend(axes: Any, entries: int) -> None:
    if entries > 1:
        axes.legend(
            frameon=False,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=entries if entries <= 4 else (entries + 1) // 2,
            borderaxespad=0.2,
        )


def _place(sheet: Sheet, column: str) -> int | None:
    return next((n for n, one in enumerate(sheet.columns) if one.id == column), None)


def _name(sheet: Sheet, row: tuple[Value, ...], names: Sequence[str]) -> str:
    parts = [str(row[place]) for name in names if (place := _place(sheet, name)) is not None and row[place]]
    # A dollar sign would begin mathematics.
    text = "".join(c if c.isprintable() else " " for c in ", ".join(parts)).replace("$", r"\$")
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _interval(cell: Value) -> tuple[float, float, float] | None:
    if isinstance(cell, Rated):
        return None if cell.value is None else (cell.value, *cell.interval)
    if isinstance(cell, Around):
        return cell.value, cell.low, cell.high
    return None if cell is None or isinstance(cell, str) else (float(cell),) * 3


def _number(cell: Value) -> float | None:
    if isinstance(cell, Rated | Around):
        return cell.value
    if cell is None or isinstance(cell, str):
        return None
    return float(cell) if not isinstance(cell, Fraction) else cell.numerator / cell.denominator


_MODELS = ("first_touch", "last_touch", "position_based")
_STAGES = ("at_none", "at_mql", "at_sal", "at_sql", "at_meeting", "at_opportunity")
_DRAWN: dict[str, Callable[[Sheet], Picture | None]] = {
    "segments": lambda s: rates(s, ("segment",), ("lead_to_mql", "mql_to_sql", "no_show")),
    "kpis": lambda s: rates(s, ("segment",), ("primary_rate",)),
    "engagement": lambda s: rates(s, ("segment",), ("reached", "engaged", "returned")),
    "progress": lambda s: stacked(s, ("segment",), _STAGES),
    "content": lambda s: rates(s, ("segment", "asset"), ("engaged",)),
    "offers": lambda s: rates(s, ("segment", "offer"), ("difference",), zero=True),
    "campaigns": lambda s: bars(s, ("campaign", "name"), ("spend", "value"), unit="money", scale=0.01),
    "funnel": lambda s: rates(s, ("stage",), ("share", "from_before")),
    "funnel_segments": lambda s: rates(s, ("segment", "stage"), ("share",)),
    "attribution": lambda s: bars(s, ("touch_point",), _MODELS, unit="conversions credited"),
    "attribution_campaigns": lambda s: bars(s, ("campaign",), _MODELS, unit="conversions credited", without="no "),
    "attribution_segments": _shares_by_group,
    "paths": lambda s: bars(s, ("path",), ("conversions",), unit="conversions"),
    "test_arms": lambda s: rates(s, ("arm",), ("rate",)),
    "test_differences": lambda s: rates(s, ("arm",), ("difference",), zero=True),
}
