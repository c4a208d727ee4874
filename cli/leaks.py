"""`leadwell leaks`: what in data to learn from could not have been known, looked for without training."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clock import chosen
from cli.quality_screen import escaped
from cli.screen import Report, line, next_step, step, table, write_out
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from configs.settings import Settings
    from training.leakage.findings import Leak, LeakReport

LEAKS = 1
Insist = Annotated[
    str, typer.Option("--despite-leakage", help="why it may be trained although it knows the outcome; needs --by")
]


def leaks(
    data: Annotated[Path | None, typer.Option("--data", help="folder with one file for each table")] = None,
    source: Annotated[Path | None, typer.Option("--source", help="mapping of a flat export")] = None,
    export: Annotated[Path | None, typer.Option("--leads", help="the flat export, with its outcome")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="look only at what was known then")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="without the detectors that need a fitted model")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    configs: Annotated[Path | None, typer.Option("--configs", help="folder that replaces the shipped one")] = None,
) -> None:
    """Look for what could not have been known: the very detectors that stop `leadwell train`.

    Exits 0, 1 when something would stop training, 2 when the data cannot be read.

    Example: leadwell leaks --data artifacts/world

    Example: leadwell leaks --source xeducation --leads old.csv --quick
    """
    from configs.settings import load_settings

    settings = load_settings(configs)
    if source is not None and export is not None and data is None:
        with _told(as_json) as report:
            found = _export(source, export, settings, quick, report)
        then = f"leadwell train --source {source} --leads {export}"
    elif data is not None and source is None and export is None:
        with _told(as_json) as report:
            found = _tables(data, settings, as_of, quick, report)
        then = f"leadwell train --data {data}"
    else:
        raise InputInvalid("leaks", "expected either --data FOLDER, or --source MAPPING with --leads FILE")
    if as_json:
        write_out(json.dumps(found.record(), indent=2))
    else:
        show_leaks(found, quick=quick)
        if not found.failures:
            next_step(then)
    if found.failures:
        raise typer.Exit(LEAKS)


def show_leaks(found: LeakReport, *, quick: bool = False) -> None:
    """Every finding with its evidence and what to do, failures first; one line where there is none."""
    if found.leaks:
        table("Leakage", ("", "where", "what was seen, and what to do"), [_row(leak) for leak in found.leaks])
    failed, warned = len(found.failures), len(found.warnings)
    color = "red" if failed else "yellow" if warned else "green"
    says = "nothing found" if not found.leaks else f"{failed} that stop training, {warned} to look at"
    line(f"[{color}]{says}[/{color}] [dim]by {len(found.looked)} detectors{' that need no model' * quick}[/dim]")


def _told(as_json: bool) -> AbstractContextManager[Report]:
    """A step with progress; nothing at all where standard output is for a program."""
    return nullcontext(lambda what, share: None) if as_json else step("Looking for leakage")


def _row(leak: Leak) -> tuple[str, str, str]:
    color = "red" if leak.level == "fails" else "yellow"
    where = escaped(f"{leak.table}\n{leak.column}" if leak.column else leak.table)
    says = f"[bold]{leak.id}[/bold]\n{escaped(leak.evidence)}\n[dim]{escaped(leak.do)}[/dim]"
    return f"[{color}]{leak.level}[/{color}]", where, says


def _tables(data: Path, settings: Settings, as_of: str | None, quick: bool, report: Report) -> LeakReport:
    from features.intake.sources import find_files, read_tables
    from models.segments.map import SegmentMap
    from training.dataset.dataset import build_dataset
    from training.leakage.gate import look_at_fitted, look_at_tables
    from training.train import fit

    instant = chosen(as_of, data)
    report("reading tables", 0.0)
    tables = read_tables(find_files(data), settings, assets=settings.assets, as_of=instant).tables
    report("building features and labels", 0.2)
    dataset = build_dataset(tables, settings, SegmentMap.load(settings), instant)
    report("looking at rows and times", 0.4)
    found = look_at_tables(dataset, tables, settings, instant)
    if quick:
        return found
    report("fitting a model to look at", 0.5)
    return found.and_then(look_at_fitted(dataset, fit(dataset, settings, dataset.train)))


def _export(source: Path, export: Path, settings: Settings, quick: bool, report: Report) -> LeakReport:
    from configs.settings import load_source
    from features.intake.flat import read_flat
    from models.segments.map import SegmentMap
    from training.dataset.dataset import build_flat_dataset
    from training.leakage.gate import look_at_export, look_at_fitted
    from training.train import fit

    mapping = load_source(source)
    report("reading the export", 0.0)
    intake = read_flat(mapping, export, settings, training=True)
    dataset = build_flat_dataset(intake, settings, SegmentMap.load(settings), mapping)
    report("looking at columns", 0.4)
    found = look_at_export(dataset, intake)
    if quick:
        return found
    report("fitting a model to look at", 0.5)
    return found.and_then(look_at_fitted(dataset, fit(dataset, settings, dataset.train)))


def register(app: typer.Typer) -> None:
    """Add the command of this room."""
    app.command(rich_help_panel="Data scientists")(leaks)
