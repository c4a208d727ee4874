"""Pictures of the model card, drawn from the evaluation's own numbers: no row is needed to draw them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.evaluation.evaluation import Evaluation
from training.evaluation.plots import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, VERMILION, draw_png, percent_axes
from training.evaluation.resampling import Estimate

HALF, WHOLE = 5.4, 8.6
_LINES = ("-", "--", "-.", ":")
_COLORS = (BLUE, ORANGE, GREEN, PURPLE)


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One line of a forest plot: a name, a number with its interval, and whether it stands out; a title has neither."""

    name: str
    found: Estimate | None = None
    stands_out: bool = False


def card_pictures(evaluation: Evaluation) -> dict[str, bytes]:
    """Every picture that the evaluation has numbers for, as PNG by name."""
    found = {
        "reliability": _reliability(evaluation),
        "gain": _gain(evaluation),
        "distribution": _distribution(evaluation),
    }
    segments = [
        ForestRow(line.segment_id, line.differences.get(evaluation.slices.compared_with, Estimate(None)))
        for line in evaluation.segments
        if line.tells
    ]
    against = evaluation.slices.compared_with.replace("_", " ")
    if segments:
        found["segments"] = forest_plot(
            segments, label=f"log-loss of ours minus {against} (left of the line: ours is better)"
        )
    calibrated = _slice_rows(evaluation)
    if calibrated:
        found["slices"] = forest_plot(
            calibrated, label="predicted minus observed (right of the line: probabilities are too high)", percent=True
        )
    stable = evaluation.stability
    if stable is not None and sum(row.tells for row in stable.periods) > 1:
        found["auc_by_period"] = _auc_by_period(evaluation)
        found["rate_by_period"] = _rate_by_period(evaluation)
    if evaluation.drivers:
        found["drivers"] = _drivers(evaluation)
    return found


def forest_plot(rows: Sequence[ForestRow], *, label: str, percent: bool = False) -> bytes:
    """Numbers with 95 % intervals around zero, one line each from the top; what stands out is a red diamond."""

    def draw(axes: Any) -> None:
        for place, row in enumerate(rows):
            if row.found is None or row.found.value is None:
                continue
            low, high = row.found.low, row.found.high
            color, mark = (VERMILION, "D") if row.stands_out else (BLUE, "o")
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=color, lw=1.8, solid_capstyle="round")
            axes.plot([row.found.value], [place], mark, color=color, ms=5.5)
        axes.axvline(0, color=INK, lw=1)
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        for text, row in zip(axes.get_yticklabels(), rows, strict=True):
            text.set_fontweight("bold" if row.found is None else "normal")
        axes.set(xlabel=label, ylim=(len(rows) - 0.4, -0.6))
        if percent:
            percent_axes(axes, "x")

    return draw_png(draw, (WHOLE, 0.8 + 0.26 * len(rows)), grid="x")


def _slice_rows(evaluation: Evaluation) -> list[ForestRow]:
    rows: list[ForestRow] = []
    for dimension in evaluation.slices.dimensions:
        inside = [row for row in evaluation.slices.of(dimension) if row.tells]
        if inside:
            rows.append(ForestRow(dimension))
            rows += [ForestRow(f"{row.name}  ({row.rows:,})", row.gap, row.stands_out) for row in inside]
    return rows


def _reliability(evaluation: Evaluation) -> bytes:
    """Ours with intervals and counts, another model without; both axes by square root, since most rates are low."""

    def draw(axes: Any) -> None:
        top = 0.0
        for index, (name, bins) in enumerate(evaluation.reliability.items()):
            predicted = np.array([found.predicted for found in bins])
            observed = np.array([found.observed for found in bins])
            top = max(top, predicted.max(initial=0.0), observed.max(initial=0.0))
            shown = name.replace("_", " ")
            if name != evaluation.ours:
                axes.plot(predicted, observed, "s--", color=_COLORS[index], ms=3.5, lw=1, alpha=0.75, label=shown)
                continue
            low, high = np.array([found.low for found in bins]), np.array([found.high for found in bins])
            top = max(top, high.max(initial=0.0))
            spread = np.maximum([observed - low, high - observed], 0.0)
            axes.errorbar(
                predicted, observed, yerr=spread, fmt="o-", color=BLUE, ms=5, lw=1.6, capsize=2.5, label=shown, zorder=4
            )
            for found in bins:
                axes.annotate(
                    f"{found.positives}", (found.predicted, found.high), textcoords="offset points", xytext=(0, 3),
                    ha="center", fontsize=7, color=FAINT,
                )  # fmt: skip
        limit = min(1.0, top * 1.12 + 1e-6)
        axes.plot([0, limit], [0, limit], color=FAINT, lw=1, ls=":", label="perfectly calibrated")
        _square_root(axes, limit, "x", "y")
        axes.set(xlabel="predicted", ylabel="observed")
        axes.legend(frameon=False, loc="upper left", fontsize=9)

    return draw_png(draw, (HALF, 4.2))


def _gain(evaluation: Evaluation) -> bytes:
    """Share of all positives against share of leads, best first: ours, the best other, the points."""
    others = [*evaluation.others[:1], evaluation.baseline]
    names = [name for name in dict.fromkeys((evaluation.ours, *others)) if name in evaluation.gain]

    def draw(axes: Any) -> None:
        for index, name in enumerate(names):
            reached = evaluation.gain[name]
            axes.plot(
                np.linspace(0, 1, len(reached)), reached, color=_COLORS[index], lw=2 if index == 0 else 1.5,
                ls=_LINES[index], label=name.replace("_", " "),
            )  # fmt: skip
        axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=":", label="in random order")
        axes.set(xlabel="leads contacted, most ready first", ylabel="outcomes reached", xlim=(0, 1), ylim=(0, 1))
        percent_axes(axes, "x", "y")
        axes.legend(frameon=False, loc="lower right", fontsize=9)

    return draw_png(draw, (HALF, 4.2))


def _distribution(evaluation: Evaluation) -> bytes:
    """Probabilities of leads that reached the outcome and of the others, each as shares of their own kind."""
    found = evaluation.histogram

    def draw(axes: Any) -> None:
        kinds = ((found.others, "without the outcome", FAINT, "--"), (found.reached, "with the outcome", BLUE, "-"))
        for counts, name, color, style in kinds:
            total = max(sum(counts), 1)
            shares = np.array(counts) / total
            label = f"{name} ({sum(counts):,})"
            axes.stairs(shares, found.edges, color=color, lw=1.8, ls=style, label=label)
            axes.stairs(shares, found.edges, color=color, alpha=0.15, fill=True)
        axes.set(xlabel="readiness", ylabel="share of its kind")
        axes.set_xlim(0, found.edges[-1])
        axes.set_ylim(0, None)
        percent_axes(axes, "x", "y")
        axes.legend(frameon=False, loc="upper right", fontsize=9)

    return draw_png(draw, (HALF, 3.4))


def _auc_by_period(evaluation: Evaluation) -> bytes:
    rows = [row for row in _periods(evaluation) if row.auc.value is not None]

    def draw(axes: Any) -> None:
        for place, row in enumerate(rows):
            if row.auc.low is not None:
                axes.plot([place, place], [row.auc.low, row.auc.high], color=BLUE, lw=1.8)
        axes.plot(range(len(rows)), [row.auc.value for row in rows], "o-", color=BLUE, ms=5.5, lw=1)
        axes.axhline(0.5, color=FAINT, lw=1, ls=":")
        axes.set_xticks(range(len(rows)), [row.name for row in rows])
        axes.set(ylabel="AUC", xlim=(-0.4, len(rows) - 0.6))

    return draw_png(draw, (HALF, 3.0))


def _rate_by_period(evaluation: Evaluation) -> bytes:
    rows = _periods(evaluation)

    def draw(axes: Any) -> None:
        places = np.arange(len(rows))
        for place, row in enumerate(rows):
            if row.gap.low is not None and row.gap.high is not None:
                # The gap's interval, laid around what was observed.
                ends = [row.predicted - row.gap.high, row.predicted - row.gap.low]
                axes.plot([place, place], ends, color=BLUE, lw=1.8)
        axes.plot(places, [row.observed for row in rows], "o-", color=BLUE, ms=5.5, lw=1, label="observed")
        axes.plot(places, [row.predicted for row in rows], "s--", color=ORANGE, ms=5, lw=1, label="predicted")
        axes.set_xticks(places, [row.name for row in rows])
        axes.set(ylabel="rate", xlim=(-0.4, len(rows) - 0.6))
        axes.set_ylim(0, None)
        percent_axes(axes, "y")
        axes.legend(frameon=False, loc="lower right", fontsize=9)

    return draw_png(draw, (HALF, 3.0))


def _drivers(evaluation: Evaluation) -> bytes:
    from training.evaluation.plots import GROUPS, bars_plot

    groups = {driver.group: GROUPS.get(driver.group, FAINT) for driver in evaluation.drivers}
    return bars_plot(
        [(driver.feature, driver.weight) for driver in evaluation.drivers],
        label="mean absolute contribution to the log-odds",
        colors=[groups[driver.group] for driver in evaluation.drivers],
        legend=groups,
    )


def _periods(evaluation: Evaluation) -> list[Any]:
    return [row for row in evaluation.stability.periods if row.tells] if evaluation.stability is not None else []


def _square_root(axes: Any, limit: float, *which: str) -> None:
    """A square-root axis from 0 to the limit with few ticks, in percent."""
    ticks = [t for t in (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0) if t <= limit]
    for name in which:
        getattr(axes, f"set_{name}scale")("function", functions=(lambda v: np.sqrt(np.maximum(v, 0.0)), np.square))
        getattr(axes, f"set_{name}ticks")(ticks)
        getattr(axes, f"set_{name}lim")(0.0, limit)
    percent_axes(axes, *which)
