"""`leadwell report`: what marketing did in a window and what came of it, by segment and by campaign, as a funnel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import report_all, report_attribution, report_test
from cli.report_options import (
    MEMORY_MB,
    ROWS,
    AsJson,
    AsOf,
    Configs,
    Csv,
    Data,
    Days,
    From,
    Memory,
    Out,
    Rows,
    State,
    To,
    check_out,
    measured,
    tell,
    told_counts,
)
from cli.screen import next_step

if TYPE_CHECKING:
    from training.measurement.sheet import Sheet

report_app = typer.Typer(
    help="What marketing did and what came of it: tables, JSON, CSV, one page.", no_args_is_help=True
)

Horizon = Annotated[int, typer.Option("--horizon", min=1, max=1825, help="days after a lead's creation")]


@report_app.command()
def segments(
    data: Data,
    state: State = None,
    start: From = None,
    end: To = None,
    days: Days = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
    csv: Csv = None,
    out: Out = None,
    rows: Rows = ROWS,
    memory_mb: Memory = MEMORY_MB,
    configs: Configs = None,
) -> None:
    """Tell each segment's KPIs in a window: rates with counts and intervals, cost, return, times, content, offers.

    A lead counts once, in the segment it was in first during the window (90 days if not given).

    Example: leadwell report segments --data artifacts/demo/world --state artifacts/demo/memberships

    Example: leadwell report segments --data DATA --state STATE --from 2026-04-01 --to 2026-07-01 --out report.html
    """
    from training.measurement.segment_sheets import segment_sheets

    check_out(out)
    with measured(data, state, start, end, days, as_of, configs, memory_mb=memory_mb, quiet=as_json) as found:
        tell(segment_sheets(found), found, title="Segments", as_json=as_json, csv=csv, out=out, rows=rows)
        if not as_json:
            told_counts(found)
            next_step(f"leadwell report campaigns --data {data}")


@report_app.command()
def campaigns(
    data: Data,
    state: State = None,
    start: From = None,
    end: To = None,
    days: Days = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
    csv: Csv = None,
    out: Out = None,
    rows: Rows = ROWS,
    memory_mb: Memory = MEMORY_MB,
    configs: Configs = None,
) -> None:
    """Tell what each campaign spent in a window, whom it reached and what came of it; it adds up with the segments.

    Example: leadwell report campaigns --data artifacts/demo/world --state artifacts/demo/memberships --days 180
    """
    from training.measurement.campaigns import campaign_sheets

    check_out(out)
    with measured(data, state, start, end, days, as_of, configs, memory_mb=memory_mb, quiet=as_json) as found:
        tell(campaign_sheets(found), found, title="Campaigns", as_json=as_json, csv=csv, out=out, rows=rows)
        if not as_json:
            told_counts(found)
            next_step(f"leadwell report funnel --data {data}")


@report_app.command()
def funnel(
    data: Data,
    state: State = None,
    start: From = None,
    end: To = None,
    days: Days = None,
    as_of: AsOf = None,
    horizon: Horizon = 90,
    as_json: AsJson = False,
    csv: Csv = None,
    out: Out = None,
    rows: Rows = ROWS,
    memory_mb: Memory = MEMORY_MB,
    configs: Configs = None,
) -> None:
    """Tell which share of the leads created in a window (a year if not given) reaches each stage, and how soon.

    Example: leadwell report funnel --data artifacts/demo/world --horizon 60
    """
    from training.measurement.funnel_sheets import DEFAULT_DAYS, funnel_sheets

    check_out(out)
    with measured(
        data, state, start, end, days, as_of, configs, memory_mb=memory_mb, default_days=DEFAULT_DAYS, quiet=as_json
    ) as found:
        sheets: list[Sheet] = funnel_sheets(found, horizon)
        tell(sheets, found, title="Funnel", as_json=as_json, csv=csv, out=out, rows=rows)
        if not as_json:
            told_counts(found)
            next_step(f"leadwell report segments --data {data}")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    report_attribution.register(report_app)
    report_test.register(report_app)
    report_all.register(report_app)
    app.add_typer(report_app, name="report", rich_help_panel="Marketing and sales")
