"""What tells a group of leads from all the others: effect sizes on one scale for values and for numbers, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.proposals.proposal import Trait

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# Of Cliff's delta (Romano and others 2006): from here a difference is small, medium, large.
SMALL, MEDIUM, LARGE = 0.147, 0.33, 0.474
SHOWN = 7
# An endless lift says nothing more than a large one.
MOST_TIMES = 99.0


Unit = Literal["share", "count", "days", "amount"]


@dataclass(frozen=True, slots=True)
class Described:
    """One thing known of leads: categories as codes from 1 with 0 for unknown, or numbers with NaN for unknown.

    `dimension` says what kind of thing it is, `says` names it for a reader, and `unit` is what its numbers are.
    """

    name: str
    dimension: str
    says: str
    column: NDArray[Any]
    values: tuple[str, ...] = ()
    unit: Unit = "count"


def traits_of(member: Bools, things: Sequence[Described], shown: int = SHOWN) -> tuple[Trait, ...]:
    """The things in which members differ most from the rest, the largest effect first, one line a thing.

    Args:
        member: who is in the group, one value per lead.
        things: what is known of these leads.
        shown: how many at most.
    """
    if not member.any() or member.all():
        return ()
    found = [trait for thing in things if (trait := _trait(member, thing)) is not None]
    found = [trait for trait in found if abs(trait.effect) >= SMALL]
    return tuple(sorted(found, key=lambda trait: (-abs(trait.effect), trait.name))[:shown])


def dimensions_of(traits: Sequence[Trait], least: float = MEDIUM) -> tuple[str, ...]:
    """Dimensions in which members differ at least so much, each once, the strongest first."""
    return tuple(dict.fromkeys(trait.dimension for trait in traits if abs(trait.effect) >= least))


def cliffs_delta(inside: Floats, outside: Floats) -> float:
    """Chance that a value of the first is larger than one of the second, minus the chance that it is smaller.

    0 where one of the two is empty. Cliff (1993), from ranks, so that ties count for neither.
    """
    if not len(inside) or not len(outside):
        return 0.0
    ordered = np.sort(outside)
    below = np.searchsorted(ordered, inside, side="left").sum()
    above = (len(ordered) - np.searchsorted(ordered, inside, side="right")).sum()
    return float((int(below) - int(above)) / (len(inside) * len(outside)))


def _trait(member: Bools, thing: Described) -> Trait | None:
    if thing.values:
        return _value(member, thing)
    return _number(member, thing)


def _value(member: Bools, thing: Described) -> Trait | None:
    """The value that members have more often than others by the largest difference of shares, known or not."""
    size = len(thing.values) + 1
    codes = np.clip(thing.column, 0, size - 1).astype(np.int64)
    inside = np.bincount(codes[member], minlength=size) / max(int(member.sum()), 1)
    outside = np.bincount(codes[~member], minlength=size) / max(int((~member).sum()), 1)
    code = int(np.argmax(inside - outside))
    effect = float(inside[code] - outside[code])
    if effect <= 0:
        return None
    lift = _times(float(inside[code]), float(outside[code]))
    shares = f"{percent(inside[code])} of them, {percent(outside[code])} of other leads"
    if code == 0:
        says = f"{thing.says} is not known: {shares}"
        return Trait(
            thing.name, thing.dimension, "unknown", "", float(inside[0]), float(outside[0]), lift, effect, says
        )
    value = thing.values[code - 1]
    says = f"{thing.says} is {_words(value)}: {shares}"
    return Trait(
        thing.name, thing.dimension, "value", value, float(inside[code]), float(outside[code]), lift, effect, says
    )


def _number(member: Bools, thing: Described) -> Trait | None:
    known = np.isfinite(thing.column)
    inside, outside = thing.column[member & known], thing.column[~member & known]
    if len(inside) < max(10, 0.1 * member.sum()) or not len(outside):
        return None
    effect = cliffs_delta(inside, outside)
    # Shares of a few events and counts of rare ones have a median of nothing: their mean is what can be told.
    typical = np.mean if thing.unit == "share" or float(np.median(inside)) == float(np.median(outside)) else np.median
    one, other = float(typical(inside)), float(typical(outside))
    word = "on average" if typical is np.mean else "typically"
    says = f"{thing.says}: {word} {_shown(one, thing.unit)}, {_shown(other, thing.unit)} for other leads"
    return Trait(thing.name, thing.dimension, "number", "", one, other, _times(one, other), effect, says)


def _times(inside: float, outside: float) -> float:
    if outside <= 0:
        return MOST_TIMES if inside > 0 else 1.0
    return min(inside / outside, MOST_TIMES)


def _shown(value: float, unit: str) -> str:
    if unit == "share":
        return percent(value)
    number = f"{value:,.0f}" if abs(value) >= 10 or value == round(value) else f"{value:.1f}"
    return f"{number} days" if unit == "days" else number


def percent(share: float, places: int = 0) -> str:
    """A share as text; one that is small but not nothing does not look like nothing."""
    return "under 1 %" if 0 < share < 0.01 and not places else f"{100 * share:.{places}f} %"


def too_low(share: float, asked: float) -> str:
    """A share that is below what is asked, with as many places as it takes to look so: 84.9 %, not 85 % of 85 %."""
    places = next((p for p in (0, 1) if round(100 * share, p) < round(100 * asked, p)), 2)
    return f"{100 * share:.{places}f} %"


def _words(name: str) -> str:
    return name.replace("_", " ")
