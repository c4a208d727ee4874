"""Cut points of bands for a stated capacity or cost: what a team can take, or what pays, said as a probability.

A cut is made from probabilities alone and never from outcomes, so that the outcomes of the same leads judge it fairly.
Where a contact costs c and a next step is worth v, contacting pays from p = c / v on (Elkan 2001); a capacity is filled
with the most ready leads from the top, which reaches the most next steps of all choices of that many leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.bands import CUT_BANDS, cut_points
from models.scores import Readiness

Floats = NDArray[np.float64]

DEFAULT = "default"
# A sum of weights may miss the capacity that it equals by rounding.
SLACK = 1.0 + 1e-9


def cut_for_capacity(probability: Floats, capacity: float, weight: Floats | None = None) -> tuple[float, int]:
    """The lowest cut that no more than `capacity` leads reach, and how many rows reach it.

    `weight` says for how many leads each row stands; 1 each without. Rows of equal probability are in together or out
    together. The cut lies midway between the last row in and the first one out.

    INVARIANT: what reaches the cut never weighs more than the capacity, and more capacity never raises the cut.

    Raises ValueError for a capacity that is not above 0 or a probability not strictly between 0 and 1.
    """
    p = np.asarray(probability, dtype=np.float64)
    if not capacity > 0.0:
        raise ValueError("expected a capacity above 0")
    if len(p) and not (p.min() > 0.0 and p.max() < 1.0):
        raise ValueError("expected probabilities strictly between 0 and 1")
    order = np.argsort(-p, kind="stable")
    ranked = p[order]
    taken = np.cumsum(np.ones(len(p)) if weight is None else np.asarray(weight, dtype=np.float64)[order])
    ends = np.append(ranked[1:] < ranked[:-1], True)[: len(p)]
    fitting = np.flatnonzero(ends & (taken <= capacity * SLACK))
    inside = int(fitting[-1]) + 1 if len(fitting) else 0
    last_in = float(ranked[inside - 1]) if inside else 1.0
    first_out = float(ranked[inside]) if inside < len(p) else 0.0
    middle = (last_in + first_out) / 2.0
    # Between neighbouring floats there is no middle; a lead at the cut is in.
    return (middle if first_out < middle < 1.0 else last_in), inside


def cut_for_cost(value: float, cost: float) -> float:
    """The probability from which probability times value is the cost; raises ValueError unless 0 < cost < value."""
    if not 0.0 < cost < value:
        raise ValueError("expected a cost above 0 and below the value")
    return cost / value


def rising(chosen: Mapping[str, float], default: Mapping[str, float]) -> dict[str, float]:
    """Cut points of every band from those that were chosen; the others keep their default below what was chosen above.

    A default that would not be below is lowered in proportion, so that the bands keep their order. Raises ValueError
    where a band below hot is chosen and hot is not, or a cut is outside of (0, 1).

    INVARIANT: cut points rise strictly from cold to hot whatever was chosen.
    """
    if not chosen:
        return dict(default)
    hottest = CUT_BANDS[-1]
    if hottest not in chosen or not all(0.0 < cut < 1.0 for cut in chosen.values()):
        raise ValueError(f"expected cuts between 0 and 1, that of {hottest} among them")
    found = {hottest: chosen[hottest]}
    for band, above in zip(CUT_BANDS[-2:0:-1], CUT_BANDS[:1:-1], strict=True):
        wanted = chosen.get(band, min(default[band], found[above] * default[band] / default[above]))
        found[band] = float(min(wanted, np.nextafter(found[above], 0.0)))
    return {CUT_BANDS[0]: 0.0} | {band: found[band] for band in CUT_BANDS[1:]}


def recut(readiness: Readiness, bands: Mapping[str, Mapping[str, float]]) -> Readiness:
    """The same readiness with other cut points: `default`, and segments that have their own; raises ValueError.

    Probabilities, intervals and reasons stay as they are.
    """
    cuts = [cut_points(bands.get(one, bands[DEFAULT])) for one in (*readiness.segment_ids, DEFAULT)]
    return replace(readiness, cuts=np.array(cuts), bands={name: dict(cut) for name, cut in bands.items()})
