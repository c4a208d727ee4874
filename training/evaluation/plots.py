"""Pictures of a report and of a tracked run: PNG bytes, drawn without a display and without global state.

Colors are Okabe and Ito's, which stay apart for color-blind readers; no meaning rests on color alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.evaluation.metrics import Comparison, Floats, gain, reliability

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
)
INK, FAINT, GRID = "#26323d", "#77838f", "#e3e7eb"
GROUPS = {"engagement": BLUE, "fit": ORANGE, "account": GREEN, "segment": PURPLE}
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_DPI = 150


def reliability_plot(y: NDArray[Any], predictions: Mapping[str, Floats]) -> bytes:
    """Predicted against observed in ten equal-mass bins, one line a model."""

    def draw(axes: Any) -> None:
        top = 0.0
        for index, (name, probability) in enumerate(predictions.items()):
            predicted, observed, _ = reliability(y, probability)
            top = max(top, float(predicted.max()), float(observed.max()))
            axes.plot(predicted, observed, "os^D"[index % 4] + "-", color=_color(index), ms=5, lw=1.6, label=name)
        limit = min(1.0, top * 1.1)
        axes.plot([0, limit], [0, limit], color=FAINT, lw=1, ls=":", label="perfectly calibrated")
        axes.set(xlabel="predicted readiness", ylabel="observed rate", xlim=(0, limit), ylim=(0, limit))
        percent_axes(axes, "x", "y")
        axes.legend(frameon=False, loc="upper left")

    return draw_png(draw, (5.4, 4.0))


def gain_plot(y: NDArray[Any], predictions: Mapping[str, Floats]) -> bytes:
    """Share of all positives reached against share of leads contacted, best first."""

    def draw(axes: Any) -> None:
        for index, (name, probability) in enumerate(predictions.items()):
            contacted, reached = gain(y, probability)
            axes.plot(
                contacted, reached, color=_color(index), lw=2 if index == 0 else 1.5, ls=_LINES[index], label=name
            )
        axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=":", label="in random order")
        axes.set(xlabel="leads contacted, most ready first", ylabel="positives reached", xlim=(0, 1), ylim=(0, 1))
        percent_axes(axes, "x", "y")
        axes.legend(frameon=False, loc="lower right")

    return draw_png(draw, (5.4, 4.0))


def distribution_plot(probability: Floats, segment: NDArray[np.object_]) -> bytes:
    """Spread of readiness in each segment: middle half as a bar, 5 % to 95 % as a line, the median as a mark."""
    names = sorted(set(segment.tolist()), key=lambda name: float(np.median(probability[segment == name])))

    def draw(axes: Any) -> None:
        for row, name in enumerate(names):
            low, first, middle, third, high = np.quantile(probability[segment == name], [0.05, 0.25, 0.5, 0.75, 0.95])
            axes.plot([low, high], [row, row], color=SKY, lw=2, solid_capstyle="round", zorder=2)
            axes.barh(row, third - first, left=first, height=0.5, color=BLUE, zorder=3)
            axes.plot([middle], [row], "|", color="white", ms=12, mew=2.2, zorder=4)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="readiness", xlim=(0, None))
        percent_axes(axes, "x")

    return draw_png(draw, (8.6, 0.8 + 0.36 * len(names)), grid="x")


def segment_plot(comparison: Comparison, others: Sequence[str]) -> bytes:
    """Log-loss of ours minus another model in each segment, with 95 % intervals; left of zero ours is better."""
    rows = comparison.segments

    def draw(axes: Any) -> None:
        for index, other in enumerate(others):
            place = np.arange(len(rows)) + (index - (len(others) - 1) / 2) * 0.3
            found = [row.against(other) for row in rows]
            value = np.array([d.value for d in found])
            spread = np.abs(np.array([[d.value - d.low for d in found], [d.high - d.value for d in found]]))
            axes.errorbar(
                value, place, xerr=spread, fmt="os^D"[index], color=_color(index), ms=5, lw=1.5, capsize=3, label=other
            )
        axes.axvline(0, color=INK, lw=1)
        axes.set_yticks(range(len(rows)), [row.segment_id for row in rows])
        axes.set(xlabel="log-loss of Leadwell minus the other (left of the line: Leadwell is better)")
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, title="compared with")
        axes.margins(y=0.06)

    return draw_png(draw, (8.6, 1.5 + 0.42 * len(rows)), grid="x")


def bars_plot(
    values: Sequence[tuple[str, float]],
    *,
    label: str,
    percent: bool = False,
    colors: Sequence[str] | None = None,
    legend: Mapping[str, str] | None = None,
) -> bytes:
    """Horizontal bars in the given order, each with its number."""

    def draw(axes: Any) -> None:
        names, lengths = [name for name, _ in values][::-1], [value for _, value in values][::-1]
        shades = list(colors)[::-1] if colors else BLUE
        drawn = axes.barh(range(len(names)), lengths, color=shades, height=0.62, zorder=3)
        axes.bar_label(drawn, [_number(v, percent) for v in lengths], padding=4, color=INK, fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel=label, xlim=(0, max([*lengths, 1e-9]) * 1.14))
        if percent:
            percent_axes(axes, "x")
        for name, color in (legend or {}).items():
            axes.barh(0, 0, color=color, label=name)
        if legend:
            axes.legend(frameon=False, loc="lower right")

    return draw_png(draw, (8.6, 0.8 + 0.34 * len(values)), grid="x")


def draw_png(draw: Callable[[Any], None], size: tuple[float, float], grid: Literal["both", "x", "y"] = "both") -> bytes:
    """A picture in the house style of a width and height in inches, as PNG."""
    # Import here: drawing is the last step of a run, and the command line should not wait for it.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = {"font.size": 10, "font.family": ["DejaVu Sans"], "axes.edgecolor": GRID, "axes.linewidth": 1.0}
    ink = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    with rc_context({**style, **ink}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        axes.grid(visible=True, axis=grid, color=GRID, lw=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0)
        draw(axes)
        out = io.BytesIO()
        # No creation time and no version: the same numbers give the same bytes.
        figure.savefig(out, format="png", dpi=_DPI, metadata={"Software": None})
    return out.getvalue()


def percent_axes(axes: Any, *which: str) -> None:
    """Write the ticks of these axes as percentages."""
    from matplotlib.ticker import PercentFormatter

    for name in which:
        getattr(axes, f"{name}axis").set_major_formatter(PercentFormatter(1.0, decimals=None))


def _color(index: int) -> str:
    return (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)[index % 6]


def _number(value: float, percent: bool) -> str:
    return f"{value:.1%}" if percent else f"{value:,.0f}" if value >= 10 else f"{value:.3f}"
