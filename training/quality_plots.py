"""Pictures of the quality report: completeness, age, tracking week by week, unmapped values, suspects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluation.plots import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, draw_png, percent_axes

LONGEST_NAME = 46


def completeness_plot(values: Sequence[tuple[str, float, float]]) -> bytes:
    """One bar a column: the share that is known and, behind it, what is given and means nothing to us."""

    def draw(axes: Any) -> None:
        names = [_short(name) for name, _, _ in values][::-1]
        known = np.array([share for _, share, _ in values])[::-1]
        unread = np.array([max(lost, 0.0) for _, _, lost in values])[::-1]
        place = np.arange(len(names))
        axes.barh(place, np.ones(len(names)), color="#eef1f4", height=0.66, zorder=2)
        axes.barh(place, known, color=[BLUE if k >= 0.5 else SKY for k in known], height=0.66, zorder=3)
        if (unread > 0.005).any():
            axes.barh(place, unread, left=known, color=ORANGE, height=0.66, zorder=3, label="given, in no vocabulary")
            axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        for row, share in zip(place, known, strict=True):
            axes.text(1.01, row, f"{share:.0%}", va="center", fontsize=8.5, color=INK if share >= 0.5 else FAINT)
        axes.set_yticks(place, names, fontsize=8.5)
        axes.set(xlim=(0, 1.09), ylim=(-0.6, len(names) - 0.4))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        percent_axes(axes, "x")

    return draw_png(draw, (5.2, 0.7 + 0.235 * len(values)), grid="x")


def age_plot(months: Mapping[str, Sequence[int]]) -> bytes:
    """Records by months since they were verified; the last two bars are older than that, and never."""

    def draw(axes: Any) -> None:
        tables = list(months)
        count = max(len(values) for values in months.values()) - 2
        last = max((i for values in months.values() for i, n in enumerate(values[:count]) if n), default=0) + 1
        shown = [*range(last), count, count + 1]
        labels = [str(m) if m % 3 == 0 else "" for m in range(last)] + ["older", "never"]
        # A gap before the two bars that are no month.
        place = np.array([*range(last), last + 0.8, last + 2.0])
        width = 0.8 / len(tables)
        for index, name in enumerate(tables):
            values = np.array([months[name][i] for i in shown], dtype=float)
            share = values / max(values.sum(), 1)
            offset = (index - (len(tables) - 1) / 2) * width
            axes.bar(place + offset, share, width=width * 0.94, color=(BLUE, GREEN)[index % 2], label=name, zorder=3)
        axes.set_xticks(place, labels)
        axes.set(xlabel="months since verified", ylabel="share of records")
        percent_axes(axes, "y")
        axes.legend(frameon=False, loc="upper center")

    return draw_png(draw, (8.6, 2.9), grid="y")


def tracking_plot(sources: Sequence[tuple[str, Sequence[int], bool]]) -> bytes:
    """Events a week of each source against its own busiest week, so that a small source's silence shows too."""

    def draw(axes: Any) -> None:
        for index, (name, weekly, stopped) in enumerate(sources):
            values = np.array(weekly, dtype=float)
            top = max(values.max(), 1.0)
            base = len(sources) - 1 - index
            color = VERMILION if stopped else (BLUE, GREEN, ORANGE, PURPLE, SKY, FAINT)[index % 6]
            weeks = np.arange(len(values)) - len(values) + 1
            axes.fill_between(
                weeks, base, base + 0.82 * values / top, color=color, alpha=0.85, lw=0, zorder=3, step="mid"
            )
            note = f"{_short(name)}{', stopped' if stopped else ''}\n{top:,.0f} a week at most"
            axes.text(
                weeks[0] - 0.8, base + 0.36, note, ha="right", va="center", fontsize=9, color=INK, linespacing=1.4
            )
            axes.axhline(base, color="#cfd6dc", lw=0.8, zorder=2)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set(xlabel="weeks before the check", xlim=(-len(sources[0][1]) + 0.4, 0.6), ylim=(-0.05, len(sources)))

    return draw_png(draw, (8.6, 0.8 + 0.62 * len(sources)), grid="x")


def unmapped_plot(values: Sequence[tuple[str, int]]) -> bytes:
    """The most frequent given values that no vocabulary knows."""

    def draw(axes: Any) -> None:
        names, rows = [_short(name) for name, _ in values][::-1], [n for _, n in values][::-1]
        drawn = axes.barh(range(len(names)), rows, color=ORANGE, height=0.62, zorder=3)
        axes.bar_label(drawn, [f"{n:,}" for n in rows], padding=4, color=INK, fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="rows", xlim=(0, max(rows) * 1.14))

    return draw_png(draw, (8.6, 0.8 + 0.3 * len(values)), grid="x")


def suspect_plot(values: Sequence[tuple[str, float, str]]) -> bytes:
    """Strength of each suspicion; a column that is learned from all the same is drawn in another color."""

    def draw(axes: Any) -> None:
        names, strengths = [_short(name) for name, _, _ in values][::-1], [s for _, s, _ in values][::-1]
        learned = [declared in ("before_outcome", "undeclared") for _, _, declared in values][::-1]
        axes.barh(
            range(len(names)), strengths, color=[VERMILION if x else FAINT for x in learned], height=0.62, zorder=3
        )
        for color, label in ((VERMILION, "would be learned from"), (FAINT, "set aside by the mapping")):
            axes.barh(0, 0, color=color, label=label)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="strength of the suspicion", xlim=(0, 1))
        axes.legend(frameon=False, loc="lower right")

    return draw_png(draw, (8.6, 0.9 + 0.3 * len(values)), grid="x")


def _short(name: str) -> str:
    """A name without what a picture's markup would read as mathematics, cut where it is long."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in name).split()).replace("$", "\\$")
    return plain if len(plain) <= LONGEST_NAME else plain[: LONGEST_NAME - 1] + "…"
