"""The page about a randomised test: effects, segments and targeting, with pictures; it loads nothing from anywhere."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from training.evaluation.plots import BLUE, FAINT, GREEN, ORANGE, PURPLE, VERMILION, draw_png
from training.experiments.effects import Effect
from training.experiments.targeting import GRID, READINESS, Targeting
from training.experiments.uplift import Uplift

_MINUS = "\N{MINUS SIGN}"
_COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)
_MARKS = "osD^v"
_LINES = {READINESS: "-", "two models": "--", "x-learner": "-.", "transformed outcome": (0, (5, 1))}


def render_uplift(found: Uplift, rates: frozenset[str]) -> str:
    """The whole page; `rates` names the outcomes that are shares, which are said in percent."""
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    outcomes = list(dict.fromkeys(effect.outcome for effect in found.effects))
    dimensions = [name for name in dict.fromkeys(e.dimension for e in found.effects) if name != "everybody"]
    environment.globals |= {"said": lambda value, outcome: said(value, outcome in rates, sign=False)}
    environment.filters |= {
        "change": lambda interval, outcome: around(interval, outcome in rates),
        "triple": lambda triple, outcome: _triple(triple, outcome in rates),
        "p": lambda p: "" if p != p else "< 0.001" if p < 0.001 else f"{p:.3f}",
    }
    sections = [
        {
            "dimension": dimension,
            "blocks": [
                {
                    "outcome": outcome,
                    "rows": found.of(dimension, outcome),
                    "spreads": [s for s in found.spreads if (s.dimension, s.outcome) == (dimension, outcome)],
                    "picture": picture(forest(found, dimension, outcome, outcome in rates)),
                }
                for outcome in outcomes
            ],
        }
        for dimension in dimensions
    ]
    return environment.get_template("uplift.html").render(
        u=found,
        outcomes=outcomes,
        sections=sections,
        targeting=[(one, picture(curves(one, one.outcome in rates))) for one in found.targeting],
        found_by_chance=round(found.cells * 0.05),
    )


def said(value: float, rate: bool, *, sign: bool = True) -> str:
    """A number in words: percent (points) of a rate, else two digits; a dash where it cannot be told."""
    if value != value:
        return "\N{EN DASH}"
    text = f"{abs(value):.2%}" if rate else f"{abs(value):.3f}"
    return (_MINUS if value < 0 else "+" if sign else "") + text


def around(interval: Any, rate: bool) -> str:
    """A difference with its interval, in words."""
    if interval is None:
        return ""
    return f"{said(interval.value, rate)} ({said(interval.low, rate)} to {said(interval.high, rate)})"


def _triple(triple: tuple[float, float, float], rate: bool) -> str:
    return f"{said(triple[0], rate)} ({said(triple[1], rate)} to {said(triple[2], rate)})"


def picture(png: bytes) -> str:
    """A picture as the source of an image tag."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def forest(found: Uplift, dimension: str, outcome: str, rate: bool) -> bytes:
    """Each group's effect under each arm: what was measured, its interval, and a hollow mark where it is pooled to."""
    rows = found.of(dimension, outcome)
    arms, groups = list(found.arms[1:]), list(dict.fromkeys(row.group for row in rows))
    scale = 100 if rate else 1

    def draw(axes: Any) -> None:
        axes.axvline(0, color=FAINT, lw=1)
        for row in rows:
            place, index = groups.index(row.group), arms.index(row.arm)
            y = -(place + (index - (len(arms) - 1) / 2) * 0.24)
            _bar(axes, row, y, index, scale)
        for index, arm in enumerate(arms):
            axes.plot([], [], _MARKS[index % 5] + "-", color=_COLORS[index % 5], label=arm)
        axes.plot([], [], "o", mfc="none", color=FAINT, label="pulled to all groups")
        axes.set_yticks([-place for place in range(len(groups))], groups)
        unit = "percentage points" if rate else "a row"
        axes.set(xlabel=f"effect on {outcome}, {unit}, against {found.arms[0]}", ylim=(-len(groups) + 0.4, 0.6))
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16 - 0.5 / (len(groups) + 1)), ncol=3)

    return draw_png(draw, (6.6, 1.7 + 0.46 * len(groups)))


def _bar(axes: Any, row: Effect, y: float, index: int, scale: float) -> None:
    interval, color = row.difference, _COLORS[index % 5]
    faint = 0.35 if row.too_few else 1.0
    axes.plot([scale * interval.low, scale * interval.high], [y, y], color=color, lw=1.6, alpha=faint)
    axes.plot(scale * interval.value, y, _MARKS[index % 5], color=color, ms=6, alpha=faint)
    if row.pooled is not None:
        axes.plot(scale * row.pooled.value, y, "o", mfc="none", mec=FAINT, ms=8, mew=1.2)


def curves(one: Targeting, rate: bool) -> bytes:
    """What choosing the first share of each ranking gains, against the straight line of a random order."""
    scale = 100 if rate else 1

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, scale * one.everybody], color=FAINT, lw=1.2, ls=":", label="a random order")
        for index, ranked in enumerate(one.rankings):
            axes.plot(
                [0, *GRID],
                [0, *(scale * value for value in ranked.curve)],
                color=_COLORS[index % 5],
                lw=2.2 if ranked.ranking == READINESS else 1.6,
                ls=_LINES[ranked.ranking],
                label=ranked.ranking,
            )
        gained = f"{one.outcome} gained per 100 rows of all" if rate else f"{one.outcome} gained per row of all"
        axes.set(xlabel="share chosen", ylabel=gained, xlim=(0, 1))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.legend(frameon=False, loc="lower right")

    return draw_png(draw, (5.4, 3.8))
