"""One offline HTML page about a run: what was read, how good the readiness is, what the rules permit, and why.

The page loads nothing: pictures are inline, fonts are the reader's own, and a content security policy forbids the rest.
Every part is optional, so `leadwell train` and `leadwell demo` fill the same page with what they have.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from training.evaluation import plots
from training.evaluation.metrics import Comparison, Floats

UNDEFINED, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One headline number with its name and, if useful, what it means."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class TableCount:
    """What became of one table's rows at intake."""

    table: str
    read: int
    used: int
    rejected: int
    duplicate: int


@dataclass(frozen=True, slots=True)
class SegmentLine:
    """One segment as a person sees it."""

    segment_id: str
    says: str
    leads: int
    share: float
    readiness: float | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows every model was judged on."""

    y: NDArray[Any]
    predictions: Mapping[str, Floats]
    segment: NDArray[np.object_] | None = None
    says: str = ""


@dataclass(frozen=True, slots=True)
class DriverLine:
    """One feature's mean absolute contribution to the log-odds over many leads."""

    feature: str
    says: str
    group: str
    weight: float


@dataclass(frozen=True, slots=True)
class ReasonLine:
    """How often one reason forbade a channel."""

    reason: str
    says: str
    count: int


@dataclass(frozen=True, slots=True)
class ReportContent:
    """What a report shows; a part left empty is left out."""

    title: str
    as_of: str
    says: str = ""
    figures: tuple[Figure, ...] = ()
    steps: tuple[tuple[str, str, float], ...] = ()
    counts: tuple[TableCount, ...] = ()
    dataset: tuple[Figure, ...] = ()
    segments: tuple[SegmentLine, ...] = ()
    comparison: Comparison | None = None
    segment_rivals: tuple[str, ...] = ()
    judged: Judged | None = None
    permitted: Mapping[str, float] | None = None
    reasons: tuple[ReasonLine, ...] = ()
    drivers: tuple[DriverLine, ...] = ()
    example: Mapping[str, Any] | None = None
    versions: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()


def render_report(content: ReportContent) -> str:
    """The whole page as text; every value from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "percent": _percent, "decimal": _decimal, "signed": _signed}
    return environment.get_template("report.html").render(
        content=content,
        pictures={name: _inline(png) for name, png in report_pictures(content).items()},
        names=_models(content.comparison),
    )


def write_report(content: ReportContent, file: Path) -> Path:
    """Write the page as a whole or not at all; returns its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_text(render_report(content), encoding="utf-8")
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    return file


def report_pictures(content: ReportContent) -> dict[str, bytes]:
    """The pictures that the content has data for, as PNG."""
    pictures: dict[str, bytes] = {}
    judged, comparison = content.judged, content.comparison
    if judged is not None and len(judged.y):
        shown = _shown(judged.predictions, comparison)
        pictures["reliability"] = plots.reliability_plot(judged.y, dict(list(shown.items())[:2]))
        pictures["gain"] = plots.gain_plot(judged.y, shown)
        if judged.segment is not None:
            pictures["distribution"] = plots.distribution_plot(next(iter(shown.values())), judged.segment)
    if comparison is not None and comparison.segments and content.segment_rivals:
        pictures["segments"] = plots.segment_plot(comparison, content.segment_rivals)
    if content.permitted:
        pictures["permitted"] = plots.bars_plot(
            list(content.permitted.items()), label="share of leads that may be contacted on the channel", percent=True
        )
    if content.reasons:
        pictures["reasons"] = plots.bars_plot(
            [(line.reason, line.count) for line in content.reasons],
            label="lead and channel pairs this reason blocks",
            colors=[plots.VERMILION] * len(content.reasons),
        )
    if content.drivers:
        groups = {line.group: plots.GROUPS.get(line.group, plots.FAINT) for line in content.drivers}
        pictures["drivers"] = plots.bars_plot(
            [(line.feature, line.weight) for line in content.drivers],
            label="mean absolute contribution to the log-odds",
            colors=[groups[line.group] for line in content.drivers],
            legend=groups,
        )
    return pictures


def _shown(predictions: Mapping[str, Floats], comparison: Comparison | None) -> dict[str, Floats]:
    """Ours first, then the best other model, then the two furthest from it: five lines would hide each other."""
    if comparison is None:
        return dict(list(predictions.items())[:4])
    others = sorted((n for n in predictions if n != comparison.ours), key=lambda n: comparison.models[n].log_loss)
    chosen = [comparison.ours, *others[:1], *others[1:][-2:]]
    return {name: predictions[name] for name in chosen}


def _models(comparison: Comparison | None) -> list[str]:
    """Ours first, then the others from the lowest log-loss up."""
    if comparison is None:
        return []
    others = sorted((n for n in comparison.models if n != comparison.ours), key=lambda n: comparison.models[n].log_loss)
    return [comparison.ours, *others]


def _inline(png: bytes) -> Markup:
    return Markup("data:image/png;base64," + base64.b64encode(png).decode("ascii"))  # noqa: S704 - our own bytes


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float | None, places: int = 1) -> str:
    return UNDEFINED if value is None or value != value else f"{value:.{places}%}"


def _decimal(value: float | None, places: int = 4) -> str:
    return UNDEFINED if value is None or value != value else f"{value:.{places}f}"


def _signed(value: float | None, places: int = 4) -> str:
    return UNDEFINED if value is None or value != value else f"{value:+.{places}f}".replace("-", MINUS)
