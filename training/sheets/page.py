"""A data sheet as one offline page; every text is escaped and nothing is loaded."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from training.sheets.sheet import Sheet


def render_sheet(sheet: Sheet) -> str:
    """The whole page as text."""
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["upper_first"] = lambda text: text[:1].upper() + text[1:]
    return environment.get_template("sheet.html").render(s=sheet)
