"""`leadwell report attribution`: which touch points conversions are credited to, under three models."""

from __future__ import annotations

import typer

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


def attribution(
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
    """Credit each conversion of a window to the touch points before it: first touch, last touch, position-based.

    The plan is attribution.yaml: what is a conversion and a touch point, how far back, which weights. In every model
    the credits and the conversions without a touch point sum to the conversions.

    Example: leadwell report attribution --data artifacts/demo/world --state artifacts/demo/memberships

    Example: leadwell report attribution --data DATA --from 2026-04-01 --to 2026-07-01 --csv tables --out page.html
    """
    from configs.settings import load_settings
    from training.measurement.attribution_sheets import attribution_sheets

    check_out(out)
    lookback = load_settings(configs).attribution.lookback_days
    with measured(
        data, state, start, end, days, as_of, configs, memory_mb=memory_mb, lookback_days=lookback, quiet=as_json
    ) as found:
        sheets = attribution_sheets(found)
        tell(sheets, found, title="Attribution", as_json=as_json, csv=csv, out=out, rows=rows)
        if not as_json:
            told_counts(found)
            next_step(f"leadwell report attribution --data {data} --out attribution.html")


def register(app: typer.Typer) -> None:
    """Add the command to the `report` group."""
    app.command()(attribution)
