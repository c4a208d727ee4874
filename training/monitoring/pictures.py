"""Pictures of a comparison as inline SVG: changes with their limits, a distribution on two nights, predicted and real.

Colors stay apart for color-blind readers and on paper; each picture's title says what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from markupsafe import Markup, escape

from models.shares import wilson
from training.monitoring.watch import CalibrationBin, Watch
from training.reviews.sparks import BLUE, FAINT, GRID, INK

ORANGE, PALE = "#D55E00", "#9aa5b1"
ROW, LABEL, NUMBERS = 22, 235, 190
WIDTH = 980


def changes(title: str, watches: Sequence[Watch]) -> Markup:
    """Each change in points with its limits, one row each; what is beyond noise in color. Empty for none."""
    if not watches:
        return Markup("")
    reach = max(max(abs(w.low or 0), abs(w.high or 0), abs(w.change)) for w in watches) or 0.01
    left, across = LABEL, WIDTH - LABEL - NUMBERS
    height = ROW * len(watches) + 34

    def x(value: float) -> float:
        return left + across * (value / reach + 1) / 2

    parts = [_open(title, WIDTH, height)]
    for value in (-reach, -reach / 2, 0.0, reach / 2, reach):
        color = INK if value == 0 else GRID
        parts.append(_line(x(value), 6, x(value), height - 24, color))
        parts.append(_text(x(value), height - 8, f"{100 * value:+.1f}" if value else "0 points", FAINT, "middle", 11))
    for at, w in enumerate(watches):
        y = 17 + ROW * at
        color = (ORANGE if w.change < 0 else BLUE) if w.beyond else PALE
        parts.append(_text(left - 10, y + 4, w.name.replace("_", " ")[:38], INK, "end", 12.5))
        low, high = max(w.low or 0.0, -reach), min(w.high or 0.0, reach)
        parts.append(_line(x(low), y, x(high), y, color, 2))
        parts.append(f'<circle cx="{x(w.change):.1f}" cy="{y}" r="4.2" fill="{color}"/>')
        if w.earlier is not None and w.later is not None:
            told = f"{w.earlier:.1%} to {w.later:.1%}, {100 * w.change:+.2f}"
            parts.append(_text(WIDTH - 2, y + 4, told, INK if w.beyond else FAINT, "end", 12.5))
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - numbers, and text that is escaped


def distribution(watch: Watch) -> Markup:
    """The share of leads in each bin or level on both nights, side by side."""
    rows = [row for row in watch.levels if row[1] or row[2]]
    if not rows:
        return Markup("")
    top = max(max(before, after) for _, before, after in rows) or 1.0
    width, label, bar = 470, 150, 8
    height = len(rows) * 24 + 8
    across = width - label - 92
    parts = [_open(f"{watch.says}", width, height)]
    for at, (name, before, after) in enumerate(rows):
        y = 6 + 24 * at
        parts.append(_text(label - 8, y + 12, name.replace("_", " ")[:24], INK, "end", 11.5))
        for place, (value, color) in enumerate(((before, PALE), (after, BLUE))):
            parts.append(
                f'<rect x="{label}" y="{y + place * bar}" width="{across * value / top:.1f}" height="{bar - 1}"'
                f' fill="{color}"/>'
            )
        parts.append(_text(width - 2, y + 12, f"{before:.1%} to {after:.1%}", FAINT, "end", 11))
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704


def reliability(title: str, bins: Sequence[CalibrationBin]) -> Markup:
    """Predicted against what happened, a tenth of the leads each, with Wilson's 95 % limits; square-root axes."""
    if not bins:
        return Markup("")
    size, pad = 380, 46
    limits = [wilson(one.happened, one.leads) for one in bins]
    top = min(1.0, 1.08 * max(max(one.predicted for one in bins), max(high for _, high in limits)))

    def place(value: float) -> float:
        return (size - pad - 12) * sqrt(max(value, 0.0) / top)

    parts = [_open(title, size, size)]
    for part in (0.0, 0.1, 0.25, 0.5, 1.0):
        value, at = top * part, place(top * part)
        parts.append(_line(pad, size - pad - at, size - 12, size - pad - at, GRID))
        parts.append(_text(pad - 6, size - pad - at + 4, f"{value:.0%}", FAINT, "end", 11))
        parts.append(_text(pad + at, size - pad + 16, f"{value:.0%}", FAINT, "middle", 11))
    end = place(top)
    parts.append(_line(pad, size - pad, pad + end, size - pad - end, INK, 1, "4 4"))
    for one, (low, high) in zip(bins, limits, strict=True):
        x, y = pad + place(one.predicted), size - pad - place(one.happened / one.leads)
        bottom, over = size - pad - place(low), size - pad - place(high)
        parts.append(_line(x, bottom, x, over, BLUE, 2))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{BLUE}"/>')
    parts.append(_text(size - 12, size - 8, "predicted", FAINT, "end", 12))
    parts.append(_text(pad, 10, "came", FAINT, "start", 12))
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704


def _open(title: str, width: int, height: int) -> str:
    head = f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
    return f"{head}<title>{escape(title)}</title>"


def _line(x1: float, y1: float, x2: float, y2: float, color: str, width: int = 1, dashes: str = "none") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-width="{width}" stroke-dasharray="{dashes}"/>'


def _text(x: float, y: float, text: str, color: str, anchor: str, size: float) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" font-size="{size}" text-anchor="{anchor}" '
        f'font-family="system-ui, DejaVu Sans, sans-serif">{escape(text)}</text>'
    )
