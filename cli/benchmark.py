"""`leadwell benchmark`: what the models are worth on data that nobody here made, beside what others would choose."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.benchmark_coverage import coverage
from cli.benchmark_sizes import sizes
from cli.screen import line, step, table
from configs.errors import InputInvalid

benchmark = typer.Typer(no_args_is_help=True, help="Measure the models on every labelled set that is there.")

DATA = Path("../shared/data")
OUT = Path("artifacts/benchmark")


@benchmark.callback()
def group() -> None:
    """Measure the models on every labelled set that is there."""


@benchmark.command()
def models(
    data: Annotated[Path, typer.Option("--data", help="folder with one folder for each labelled set")] = DATA,
    sets: Annotated[str, typer.Option("--sets", help="only these, separated by commas")] = "",
    world: Annotated[int, typer.Option("--world", help="leads of the made world; 0 leaves it out", min=0)] = 20_000,
    budget: Annotated[
        float,
        typer.Option("--budget", help="minutes of search in all, shared by the sets and by both that search", min=0),
    ] = 4.0,
    out: Annotated[Path, typer.Option("--out", help="folder for index.html, results.json and results.md")] = OUT,
    configs: Annotated[
        Path | None, typer.Option("--configs", help="folder that replaces the shipped configuration")
    ] = None,
) -> None:
    """Judge Leadwell beside six other models on later rows of each set, with paired intervals, drift and time.

    A set whose files are not there is skipped and said so; a set that lacks a declared column is an error.

    Example: leadwell benchmark models --data ../shared/data

    Example: leadwell benchmark models --sets xeducation,bank_marketing --world 0 --budget 1
    """
    from configs.settings import load_settings
    from training.benchmark.page import recalibration_says, write_results
    from training.benchmark.run import OURS, SetResult, judge_set
    from training.benchmark.sets import SETS, WORLD, material_of, missing_files, world_material

    named = {one.name: one for one in SETS}
    chosen = [name.strip() for name in sets.split(",") if name.strip()] or [*named, WORLD]
    unknown = [name for name in chosen if name not in (*named, WORLD)]
    if unknown:
        raise InputInvalid("benchmark", f"{unknown[0]}: expected sets among {', '.join((*named, WORLD))}")
    settings = load_settings(configs)
    skipped: dict[str, str] = {}
    there: list[str] = []
    for name in chosen:
        absent = missing_files(named[name], data) if name in named else ()
        if absent:
            skipped[name] = f"{data / absent[0]} is not there"
        elif name == WORLD and world == 0:
            skipped[name] = "left out by --world 0"
        else:
            there.append(name)
    if not there:
        raise InputInvalid(str(data), "expected a folder with at least one of the labelled sets")
    results: list[SetResult] = []
    started = time.monotonic()
    each = budget * 60 / (2 * len(there))
    with tempfile.TemporaryDirectory(prefix="leadwell-benchmark-") as scratch:
        for name in there:
            with step(f"Judging on {name.replace('_', ' ')}") as report:
                report("reading", 0.0)
                if name in named:
                    material = material_of(named[name], data, Path(scratch), settings)
                else:
                    material = world_material(Path(scratch) / "world", settings, world)
                results.append(judge_set(material, settings, budget_seconds=each, progress=report))
    pages = write_results(results, skipped, out, world=world, budget=each, seconds=time.monotonic() - started)
    rows = []
    for result in results:
        found, gap = result.comparison.models, result.comparison.against(result.best_other)
        color = {"better": "green", "worse": "red"}.get(gap.verdict, "dim")
        ours = found[OURS]
        rows.append(
            (
                result.name,
                f"{ours.auc:.3f}",
                f"{ours.log_loss:.4f}",
                result.best_other.replace("_", " "),
                f"[{color}]{gap.value:+.4f} ({gap.low:+.4f}, {gap.high:+.4f})[/{color}]",
                f"[red]{result.verdict}[/red]" if gap.verdict == "worse" else f"[green]{result.verdict}[/green]",
            )
        )
    rows += [(name, "", "", f"[dim]not there: skipped ({why})[/dim]", "", "") for name, why in skipped.items()]
    columns = ("set", "AUC", "log-loss", "best of the others", "ours minus theirs", "ours is")
    table("Leadwell on later rows of each set", columns, rows, right=(1, 2))
    for result in results:
        if result.drift.base_rate_moved:
            told = [shift.says for shift in result.drift.warnings if shift.kind in ("base rate", "prediction")]
            line(f"[yellow]{result.name}: {told[0]}[/yellow]")
            line(f"[dim]{result.name}: {recalibration_says(result)}[/dim]")
    line(f"[dim]page:[/dim] {pages[0]}")
    line(f"[dim]numbers:[/dim] {pages[1]} [dim]and[/dim] {pages[2]}")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    benchmark.command()(sizes)
    benchmark.command()(coverage)
    app.add_typer(benchmark, name="benchmark", rich_help_panel="Data scientists")
