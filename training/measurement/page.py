"""All tables of a report as one offline HTML page with pictures; it loads nothing, and every text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from training.measurement.pictures import picture_of
from training.measurement.sheet import Around, Column, Rated, Sheet, Value, said

# Which tables belong to one heading, by the beginning of their id; what no line names stands alone.
_GROUPS = (
    ("Segments", ("segments", "kpis", "engagement", "progress", "content", "offers")),
    ("Campaigns", ("campaigns", "campaign_segments", "reconciliation")),
    ("Funnel", ("funnel", "funnel_segments")),
    ("Attribution", ("attribution", "attribution_campaigns", "attribution_assets", "attribution_segments", "paths")),
    ("Controlled test", ("test_plan", "test_arms", "test_differences", "test_delivery", "test_checks")),
)
_TILES = {
    "segments": (("leads", "leads"), ("mql", "new MQL"), ("sql", "new SQL"), ("booked", "booked"), ("spend", "spent")),
    "attribution": (("conversions", "conversions credited"),),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as the page shows it: the text, the small lines below it, and whether it is a number."""

    text: str
    below: tuple[str, ...]
    number: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A table of the page with its picture as the source of an image tag, empty where it has none.

    `untold` are the labels of columns that no row has a value of; the page leaves them out and says so.
    """

    sheet: Sheet
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] | None
    picture: Markup
    picture_says: str
    left_out: int
    untold: tuple[str, ...]


def render_report(sheets: Sequence[Sheet], *, title: str, says: str = "", as_of: datetime) -> str:
    """The whole page as text; `says` names the window that all tables share."""
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    named = {sheet_id: heading for heading, ids in _GROUPS for sheet_id in ids}
    groups: dict[str, list[Part]] = {}
    for sheet in sheets:
        groups.setdefault(named.get(sheet.id, sheet.title), []).append(_part(sheet))
    windows = list(dict.fromkeys(sheet.window for sheet in sheets))
    return environment.get_template("measurement.html").render(
        title=title,
        says=says or (windows[0] if len(windows) == 1 else ""),
        as_of=f"{as_of:%Y-%m-%d %H:%M} UTC",
        groups=groups,
        tiles=_tiles(sheets),
    )


def _part(sheet: Sheet) -> Part:
    drawn = picture_of(sheet)
    inline = "" if drawn is None else "data:image/png;base64," + base64.b64encode(drawn.png).decode()
    told = [n for n in range(len(sheet.columns)) if not sheet.rows or any(row[n] is not None for row in sheet.rows)]
    columns = tuple(sheet.columns[n] for n in told)
    return Part(
        sheet,
        columns,
        tuple(_cells([row[n] for n in told], columns) for row in sheet.rows),
        None if sheet.total is None else _cells([sheet.total[n] for n in told], columns),
        Markup(inline),  # noqa: S704 - our own bytes
        "" if drawn is None else drawn.says,
        0 if drawn is None else drawn.left_out,
        tuple(column.label for n, column in enumerate(sheet.columns) if n not in told),
    )


def _cells(row: Sequence[Value], columns: Sequence[Column]) -> tuple[Cell, ...]:
    return tuple(_cell(value, column) for value, column in zip(row, columns, strict=True))


def _cell(value: Value, column: Column) -> Cell:
    number = column.unit != "text"
    if isinstance(value, Rated) and value.value is not None:
        low, high = value.interval
        below = (f"{value.hits:,} of {value.of:,}", f"{said(low, 'rate').removesuffix(' %')} to {said(high, 'rate')}")
        return Cell(said(value.value, "rate"), below, number)
    if isinstance(value, Around):
        text, _, interval = said(value, column.unit).partition(" (")
        interval, _, unit = interval.partition(")")
        return Cell(text + unit, (interval,), number)
    return Cell(said(value, column.unit), (), number)


def _tiles(sheets: Sequence[Sheet]) -> list[tuple[str, str]]:
    """Headline numbers out of the totals, each with what it counts."""
    tiles = []
    for sheet in sheets:
        if sheet.total is None:
            continue
        cells = {column.id: (value, column) for value, column in zip(sheet.total, sheet.columns, strict=True)}
        for name, label in _TILES.get(sheet.id, ()):
            value, column = cells.get(name, (None, None))
            if value is not None and column is not None:
                tiles.append((said(value, column.unit), label))
    return tiles
