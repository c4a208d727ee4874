"""The results page: which model is best where, by how much, and how sure that is; also as JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from training.benchmark.run import MODELS, OURS, SetResult, metrics_rows, results_record
from training.reviews.pages import write_page

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 700, 26, 190, 130, 10, 40
OURS_COLOR, BETTER, WORSE, NOISE, GRID, INK, FAINT = (
    "#0072B2", "#00694d", "#a84300", "#5b6875", "#e1e6ea", "#1f2a34", "#5b6875",
)  # fmt: skip
# A baseline that is far off would press all others into a line: beyond this its mark stands at the edge.
WIDEST = 0.08
MINUS = "\N{MINUS SIGN}"


def write_results(
    results: list[SetResult], skipped: Mapping[str, str], folder: Path, *, world: int, budget: float, seconds: float
) -> tuple[Path, Path, Path]:
    """Write index.html, results.json and results.md to a folder; returns their paths in this order."""
    record = _finite(results_record(results, skipped, world, budget))
    text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False)
    return (
        write_page(
            render_results(results, skipped, world=world, budget=budget, seconds=seconds), folder / "index.html"
        ),
        write_page(text + "\n", folder / "results.json"),
        write_page(markdown(results, skipped), folder / "results.md"),
    )


def render_results(
    results: list[SetResult], skipped: Mapping[str, str], *, world: int, budget: float, seconds: float
) -> str:
    """The page as text; it loads nothing."""
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"pc": _percent, "signed": signed, "words": words}
    lost = [result.name for result in results if result.verdict == "worse than the best"]
    return environment.get_template("benchmark.html").render(
        results=[_shown(result) for result in results],
        skipped=dict(skipped),
        models=MODELS,
        ours=OURS,
        lost=lost,
        best=sum(result.verdict == "best" for result in results),
        drifting=[result.name for result in results if result.drift.base_rate_moved],
        world=world,
        budget=budget,
        seconds=seconds,
    )


def markdown(results: list[SetResult], skipped: Mapping[str, str]) -> str:
    """One table a set, and one of all sets, for a pull request."""
    lines = [
        "# Models on every labelled set",
        "",
        "Log-loss on later rows; bold is the lowest, ± within noise of it.",
        "",
    ]
    lines += ["| set | " + " | ".join(map(words, MODELS)) + " | verdict |", "|---" * (len(MODELS) + 2) + "|"]
    for result in results:
        cells = [_cell(result, name) for name in MODELS]
        lines.append(f"| {result.name} | " + " | ".join(cells) + f" | {result.verdict} |")
    for name, why in skipped.items():
        lines.append(f"| {name} |" + " |" * len(MODELS) + f" not there: skipped ({why}) |")
    for result in results:
        rates = f"{_percent(result.base_rate['train'])} and {_percent(result.base_rate['judge'])}"
        lines += [
            "", f"## {result.name}", "",
            f"{result.says} Split {result.split}. {result.rows['train']:,} rows train and {result.rows['judge']:,} "
            f"judge; the outcome in {rates} of them.", "",
            "| model | AUC | log-loss | Brier | calibration error | lift at 10 % | CPU s | ours minus theirs |",
            "|---|---:|---:|---:|---:|---:|---:|---|",
        ]  # fmt: skip
        for row in metrics_rows(result):
            gap = row["gap"]
            told = "ours" if gap is None else f"{signed(gap.value)} ({signed(gap.low)} to {signed(gap.high)})"
            lines.append(
                f"| {words(row['name'])} | {row['auc']:.3f} | {row['log_loss']:.4f} | {row['brier']:.4f} | "
                f"{row['calibration_error']:.3f} | {row['lift_at_10']:.2f} | {row['seconds']:.1f} | {told} |"
            )
        lines += ["", *(f"- drift: {shift.says}" for shift in result.drift.warnings[:4])]
        if result.followed is not None:
            lines.append(f"- {recalibration_says(result)}")
    return "\n".join(lines) + "\n"


def recalibration_says(result: SetResult) -> str:
    """What following the outcomes of earlier blocks does to ours, in one sentence."""
    line = result.followed
    if line is None:
        return "the judging rows have no order of their own, so no line can follow them"
    gap, error = line.log_loss, line.calibration
    does = {"better": "helps", "worse": "costs", "within noise": "changes nothing beyond noise"}[gap.verdict]
    return (
        f"recalibration {does}: log-loss {signed(gap.value)} ({signed(gap.low)} to {signed(gap.high)}), calibration "
        f"error {line.calibration_errors[0]:.3f} as trained and {line.calibration_errors[1]:.3f} recalibrated "
        f"(difference {signed(error[0])}, {signed(error[1])} to {signed(error[2])}); each of {line.blocks} blocks "
        "knows only the outcomes of the blocks before it"
    )


def forest(result: SetResult) -> Markup:
    """Ours minus every other by log-loss with its 95 % interval; left of the line ours is better."""
    rows = [row for row in metrics_rows(result) if row["gap"] is not None]
    widest = min(max([0.002, *(abs(v) for r in rows for v in (r["gap"].low, r["gap"].high))]), WIDEST)
    across, height = WIDTH - LEFT - RIGHT, TOP + ROW * len(rows) + BOTTOM

    def x(value: float) -> float:
        return float(LEFT + across * (min(max(value / widest, -1.0), 1.0) + 1) / 2)

    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">']
    parts.append(f"<title>{escape(result.name)}: ours minus the others by log-loss, with 95 % intervals</title>")
    for share in (-1.0, -0.5, 0.0, 0.5, 1.0):
        at, color = x(share * widest), INK if share == 0 else GRID
        parts.append(f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{height - BOTTOM}" stroke="{color}"/>')
        parts.append(_text(at, height - BOTTOM + 14, signed(share * widest, 3) if share else "0", FAINT, "middle"))
    parts.append(_text(x(0) - 8, height - 6, "\N{LEFTWARDS ARROW} ours is better", BETTER, "end"))
    parts.append(_text(x(0) + 8, height - 6, "theirs is better \N{RIGHTWARDS ARROW}", WORSE, "start"))
    for place, row in enumerate(rows):
        gap, y = row["gap"], TOP + ROW * (place + 0.5)
        color = {"better": BETTER, "worse": WORSE}.get(gap.verdict, NOISE)
        parts.append(_text(LEFT - 10, y + 4, words(row["name"]), INK, "end"))
        ends = f'x1="{x(gap.low):.1f}" y1="{y:.1f}" x2="{x(gap.high):.1f}" y2="{y:.1f}"'
        parts.append(f'<line {ends} stroke="{color}" stroke-width="3"/>')
        if abs(gap.value) > widest:
            tip, step = x(gap.value), 7 if gap.value < 0 else -7
            parts.append(f'<path d="M{tip:.1f} {y:.1f} l{step} -5 v10 z" fill="{color}"/>')
        else:
            parts.append(f'<circle cx="{x(gap.value):.1f}" cy="{y:.1f}" r="4.5" fill="{color}"/>')
        parts.append(_text(WIDTH - RIGHT + 12, y + 4, f"{signed(gap.value)} {gap.verdict}", color, "start"))
    # Every text above is a number, one of our own words, or escaped.
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704


def signed(value: float, digits: int = 4) -> str:
    """A number with its sign; a true minus."""
    return f"{value:+.{digits}f}".replace("-", MINUS)


def words(name: str) -> str:
    """A model's name as people read it."""
    return name.replace("_", " ").replace("lightgbm", "LightGBM")


def _shown(result: SetResult) -> dict[str, Any]:
    gaps = result.recalibrated_gaps
    return {
        "result": result,
        "rows": metrics_rows(result),
        "cells": [(_cell(result, name), _tint(result, name)) for name in MODELS],
        "forest": forest(result),
        "recalibration": recalibration_says(result),
        "recalibrated_gaps": gaps,
    }


def _cell(result: SetResult, name: str) -> str:
    models = result.comparison.models
    lowest = min(models.values(), key=lambda metrics: metrics.log_loss).log_loss
    shown = f"{models[name].log_loss:.4f}"
    if models[name].log_loss == lowest:
        return f"**{shown}**"
    return f"{shown} ±" if name == OURS and result.verdict == "within noise of the best" else shown


def _tint(result: SetResult, name: str) -> str:
    if name == OURS:
        return {"best": "go", "within noise of the best": "even"}.get(result.verdict, "bad")
    return {"better": "", "worse": "ahead"}.get(result.comparison.against(name).verdict, "even")


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _text(x: float, y: float, said: str, color: str, anchor: str) -> str:
    font = "font-size='12' font-family='system-ui, DejaVu Sans, sans-serif'"
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}" {font}>{escape(said)}</text>'


def _finite(value: Any) -> Any:
    """What JSON can hold: a number that is not defined is null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inside) for inside in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
