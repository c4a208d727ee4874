"""The size curve as a picture: every model's log-loss by segment size, and what each loses to ours with its noise."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from training.benchmark.size_curve import MODELS, OURS, POOLED, SEPARATE, WITH_SEGMENT, Point
from training.evaluation.plots import BLUE, FAINT, GREEN, GRID, INK, ORANGE, VERMILION

_LOOKS = {
    OURS: (BLUE, "o", "-"),
    POOLED: (ORANGE, "s", "--"),
    WITH_SEGMENT: (GREEN, "^", "-."),
    SEPARATE: (VERMILION, "D", ":"),
}
# Up to here a difference is drawn to scale; beyond, by its logarithm.
_LINEAR = 0.005


def size_plot(points: Sequence[Point], kind: str = "png") -> bytes:
    """A picture (`png` or `svg`) of the curve; the lower part is zero where a model is as good as ours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 7.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    sizes = [point.size for point in points]
    for model in MODELS:
        color, marker, style = _LOOKS[model]
        losses = [point.loss[model] for point in points]
        above.plot(sizes, losses, color=color, marker=marker, ls=style, ms=5, lw=1.8, label=model.replace("_", " "))
    for place, model in enumerate(MODELS[1:]):
        color, marker, style = _LOOKS[model]
        gaps = [next(gap for gap in point.gaps if gap.model == model) for point in points]
        values = [-gap.value for gap in gaps]
        bars = [[gap.high - gap.value for gap in gaps], [gap.value - gap.low for gap in gaps]]
        at = [size * (1 + 0.06 * (place - 1)) for size in sizes]
        below.errorbar(at, values, yerr=bars, color=color, marker=marker, ls=style, ms=4, lw=1.2, capsize=2)
    below.axhline(0.0, color=BLUE, lw=1.8)
    below.annotate("leadwell", (sizes[0], 0.0), xytext=(0, -12), textcoords="offset points", color=BLUE, fontsize=9)
    above.set(ylabel="log-loss on later leads", title="One segment cut to n leads, the rest as it is")
    below.set(ylabel="worse than leadwell by", xlabel="leads of the segment that train", xscale="log")
    below.set_yscale("symlog", linthresh=_LINEAR)
    worst = min((-gap.high for point in points for gap in point.gaps), default=0.0)
    below.set_ylim(bottom=min(1.5 * worst, -_LINEAR / 5))
    below.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    below.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=30)
    below.minorticks_off()
    above.legend(frameon=False)
    for axes in (above, below):
        _plain(axes)
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return out.getvalue()


def _plain(axes: Any) -> None:
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, labelsize=9)
    axes.title.set_color(INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
