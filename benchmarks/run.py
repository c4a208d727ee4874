"""`make bench`: every comparison in one run, printed as ratios and written to artifacts/bench.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
OUT = ROOT / "artifacts" / "bench.json"


def main() -> None:
    """Run the parts that `--only` names, all of them without it."""
    parts = ("engagement", "drivers", "http", "rescore", "incremental", "membership", "titles", "policy", "reports")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=parts, help="run this part; may be given several times")
    chosen = parser.parse_args().only or list(parts)
    console = Console(width=None if sys.stdout.isatty() else 150)
    rows: list[dict[str, Any]] = []
    bundle, world = _trained(console) if {"http", "rescore"} & set(chosen) else (None, None)
    for part in chosen:
        console.print(f"[dim]{part} ...[/dim]")
        rows += _run(part, bundle, world)
    _show(console, rows)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {OUT.relative_to(ROOT)}; {platform.machine()}, {os.cpu_count()} cores")
    sys.stdout.flush()
    # DuckDB 2.0 lists every object it leaks when Python ends in the ordinary way; the table above would scroll off.
    os._exit(0)


def _run(part: str, bundle: Path | None, world: Path | None) -> list[dict[str, Any]]:
    if part == "engagement":
        from benchmarks.engagement import run as engagement

        return engagement()
    if part == "drivers":
        from benchmarks.drivers import run as drivers

        return drivers()
    if part == "incremental":
        from benchmarks.incremental import run as incremental

        return incremental()
    if part == "membership":
        from benchmarks.membership import run as membership

        return membership()
    if part == "titles":
        from benchmarks.titles import run as titles

        return titles()
    if part == "policy":
        from benchmarks.policy import run as policy

        return policy()
    if part == "reports":
        from benchmarks.reports import run as reports

        return reports()
    assert bundle is not None and world is not None
    if part == "http":
        from benchmarks.over_http import run as over_http

        return over_http(bundle, world)
    from benchmarks.rescoring import run as rescoring

    return rescoring(bundle)


def _trained(console: Console) -> tuple[Path, Path]:
    """A bundle trained on a made world of 20,000 leads, kept between runs for as long as its settings hold."""
    from datetime import UTC, datetime

    from configs.errors import LeadwellError
    from configs.settings import load_settings
    from features.intake.sources import find_files, read_tables
    from serving.decide import Decider
    from training.sample.world import make_sample
    from training.train import train

    folder = ROOT / "artifacts" / "bench"
    as_of = datetime(2026, 6, 30, tzinfo=UTC)
    settings = load_settings()
    try:
        Decider.load(folder / "bundle", settings, on=as_of.date())
    except (LeadwellError, OSError):
        console.print("[dim]training a bundle to measure with ...[/dim]")
        make_sample(20_000, 7, folder / "world")
        tables = read_tables(find_files(folder / "world"), settings, assets=settings.assets, as_of=as_of).tables
        train(tables, settings, as_of, folder / "bundle")
    return folder / "bundle", folder / "world"


def _show(console: Console, rows: list[dict[str, Any]]) -> None:
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("what", "unit", "ours", "others", "ratio", "target", ""):
        shown.add_column(column, justify="right" if column in ("ours", "ratio") else "left", overflow="fold")
    for row in rows:
        peers = ", ".join(f"{name} {value:,.6g}" for name, value in row["peers"].items())
        ratio = "" if row["ratio"] is None else f"{row['ratio']:,.3g}"
        target = "" if row["target"] is None else str(row["target"])
        met = {True: "[green]met[/green]", False: "[red]not met[/red]"}.get(row["met"], "")
        shown.add_row(row["name"], row["unit"], f"{row['ours']:,.4g}", peers, ratio, target, met)
    console.print(shown)
    for row in rows:
        if row.get("says"):
            console.print(f"[dim]{row['name']}: {row['says']}[/dim]")


if __name__ == "__main__":
    main()
