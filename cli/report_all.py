"""`leadwell report all`: every report of one window, as one offline page, a folder of CSV files, or one JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.report_options import (
    MEMORY_MB,
    AsJson,
    AsOf,
    Configs,
    Csv,
    Data,
    Days,
    From,
    Memory,
    State,
    To,
    check_out,
    measured,
    tell,
    told_counts,
    write,
)
from cli.screen import aside, line, next_step
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from training.measurement.reading import Measured
    from training.measurement.sheet import Sheet

_PAGE = Path("artifacts/report.html")
TITLE = "What marketing did, and what came of it"


def all_reports(
    data: Data,
    state: State = None,
    start: From = None,
    end: To = None,
    days: Days = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
    csv: Csv = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="the page")] = _PAGE,
    memory_mb: Memory = MEMORY_MB,
    configs: Configs = None,
) -> None:
    """Write segments, campaigns, funnel and attribution of one window as one page with pictures that loads nothing.

    Example: leadwell report all --data artifacts/demo/world --state artifacts/demo/memberships --out quarter.html
    """
    from configs.settings import load_settings

    check_out(out)
    lookback = load_settings(configs).attribution.lookback_days
    with measured(
        data, state, start, end, days, as_of, configs, memory_mb=memory_mb, lookback_days=lookback, quiet=as_json
    ) as found:
        # Leads of the last days are too young to tell a share of: without a window of its own the funnel has a year.
        sheets = every_sheet(found, funnel_of_a_year=days is None and start is None)
        # The screen would be long: there the page and its window are enough.
        if as_json:
            tell(sheets, found, title=TITLE, as_json=True)
        write(sheets, found, title=TITLE, csv=csv, out=out)
        if not as_json:
            line(f"[green]✓[/green] {len(sheets)} tables, {found.says}")
            told_counts(found)
            next_step(f"open {out}")


def every_sheet(found: Measured, funnel_of_a_year: bool = False) -> list[Sheet]:
    """The tables of every report; one that has nothing to count is left out and said on standard error.

    The funnel may have its own default window, a year, instead of that of the others.
    """
    from training.measurement.attribution_sheets import attribution_sheets
    from training.measurement.campaigns import campaign_sheets
    from training.measurement.funnel_sheets import funnel_sheets
    from training.measurement.segment_sheets import segment_sheets

    sheets: list[Sheet] = []
    for report in (segment_sheets, campaign_sheets, funnel_sheets, attribution_sheets):
        try:
            sheets += _funnel(found) if funnel_of_a_year and report is funnel_sheets else report(found)
        except InputInvalid as nothing:
            aside(f"[yellow]left out: {nothing}[/yellow]")
    return sheets


def _funnel(found: Measured) -> list[Sheet]:
    from training.measurement.funnel_sheets import DEFAULT_DAYS, funnel_sheets
    from training.measurement.windows import Window

    return funnel_sheets(found.from_day(Window.chosen(found.as_of, None, found.window.end, DEFAULT_DAYS).start))


def register(app: typer.Typer) -> None:
    """Add the command to the `report` group."""
    app.command(name="all")(all_reports)
