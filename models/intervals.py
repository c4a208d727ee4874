"""How far a lead's own probability may lie from the calibrated one: what is not seen of it, and its interval.

A calibrated 20 % says that of a hundred leads that look like this one, twenty reach the outcome. It does not say that
each of them has a chance of 20 %: what nobody recorded spreads them around it. How much can be learned without ever
seeing a true probability, from leads that are seen at several snapshots: outcomes of one lead in windows that do not
touch agree more often than their predictions explain. With residuals r = y - p and v = p (1 - p), the method of moments
for a random intercept u on the log-odds (Breslow and Clayton 1993 for the first-order form, E[r1 r2] = v1 v2 Var(u))
gives the part that lasts. The part that passes from window to window cannot be told from chance by outcomes alone,
save one: an outcome moves the log-odds of the next window by some g, and the variance of that is g^2 p (1 - p).

ASSUMPTION: the rest of what passes is the model's own error, `times` as large as the variance that refitting shows, and
rising with the probability `growth` times as steeply. A model whose number of rounds minimises the loss has about as
much squared bias as variance, which refitting does not show: that would be 2. What no feature shows makes it more, and
more of it where much is going on. The values of both settings were chosen on made worlds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.calibration import Z_80, Line, probability

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# E[sigmoid(m + s u)] is nearly sigmoid(m / sqrt(1 + SHIFT s^2)) for a standard normal u (Zeger, Liang and Albert 1988).
SHIFT = 0.346
MIN_PAIRS = 300
MIN_SUCCESSES = 10
MAPPED_PAIRS = 4000
# Chosen on made worlds (seeds 501 to 506), where the truth is known; see `training.yaml`.
MODEL_ERROR_TIMES = 3.2
MODEL_ERROR_GROWTH = 2.0
MOST_LASTING = 4.0
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
NODE_WEIGHTS = NODE_WEIGHTS / NODE_WEIGHTS.sum()


@dataclass(frozen=True, slots=True)
class Hidden:
    """Variance of a lead's own log-odds around the calibrated ones.

    It is `max(floor, base + slope * min(p, top)) + echo * p * (1 - p)`: what lasts and the model's error, and what the
    outcome before, unseen, does to this one. `pairs` of snapshots of one lead told it; `lasting` is the part that stays
    with the lead and `lasting_error` its standard error before the pull toward `seen_lasting`, which is as much of the
    predicted log-odds as lasts; `model_error` is the mean variance that refitting shows. Without pairs these are zero:
    what is not seen of a lead is then unknown, and the interval is of leads that look alike.
    `alike` is the variance, on the log-odds, of the mean error over a group of leads that look alike.
    """

    floor: float = 0.0
    base: float = 0.0
    slope: float = 0.0
    top: float = 1.0
    echo: float = 0.0
    alike: float = 0.0
    pairs: int = 0
    lasting: float = 0.0
    lasting_error: float = 0.0
    seen_lasting: float = 0.0
    model_error: float = 0.0

    @property
    def known(self) -> bool:
        """Whether leads were seen often enough to tell."""
        return self.pairs > 0

    @property
    def says(self) -> str:
        """What an interval is about, in one sentence."""
        if self.known:
            return (
                "80 % interval of the lead's own probability; what is unseen of leads is estimated from their repeats"
            )
        return (
            "80 % interval of the mean of leads that look alike: no lead repeats, so what is unseen of one is unknown"
        )

    def variance(self, p: Floats) -> Floats:
        """Variance on the log-odds at calibrated probabilities."""
        passing = self.echo * p * (1.0 - p)
        return np.maximum(self.floor, self.base + self.slope * np.minimum(p, self.top)) + passing


NOTHING_HIDDEN = Hidden()


@dataclass(frozen=True, slots=True)
class Earlier:
    """Rows (m, columns) from before those that are learned from, of the same leads: more repeats, and nothing else.

    INVARIANT: no booster, line, range or choice depends on them. They are predicted as the others are, by boosters that
    did not see their account.
    """

    X: Floats
    y: Floats
    segment: Ints
    fold: Ints
    order: Floats
    lead: Ints


@dataclass(frozen=True, slots=True)
class Repeats:
    """Which training rows are one lead's: `lead` has an id for each row.

    Snapshots whose `order` differs by at least `apart` have windows that neither overlap nor touch: an outcome changes
    what comes right after it. `earlier` are rows of the same leads that nothing is learned from.
    """

    lead: Ints
    apart: float
    earlier: Earlier | None = None


def interval(line: Line, hidden: Hidden, raw: Floats) -> tuple[Floats, Floats]:
    """80 % interval of the probability at raw log-odds, as the kernel of `models.scores` gives it.

    The steps, for an auditor: z = a raw + b; p = sigmoid(z); s = max(hidden(p), a^2 model_variance); the lead's own
    log-odds lie around m = z sqrt(1 + 0.346 s), because calibration is about the mean over leads; their variance is
    s + va raw^2 + 2 vab raw + vb; the ends are sigmoid(m -+ 1.2816 sqrt(variance)), stretched to hold p.
    """
    va, vab, vb = line.covariance
    z = line.a * raw + line.b
    p = probability(z)
    own = np.maximum(hidden.variance(p), line.a**2 * line.model_variance)
    middle = z * np.sqrt(1.0 + SHIFT * own)
    spread = Z_80 * np.sqrt(np.maximum(va * raw * raw + 2 * vab * raw + vb, 0.0) + own)
    return np.minimum(probability(middle - spread), p), np.maximum(probability(middle + spread), p)


def estimate_hidden(
    z: Floats,
    y: Floats,
    order: Floats,
    repeats: Repeats,
    weights: Floats | None = None,
    *,
    model_variance: Floats | None = None,
    looked: NDArray[np.bool_] | None = None,
    times: float = MODEL_ERROR_TIMES,
    growth: float = MODEL_ERROR_GROWTH,
) -> Hidden:
    """What is unseen of leads, from calibrated out-of-sample log-odds (n,) and outcomes (n,) of the same rows.

    `model_variance` (n,) is how much refitting moves each row's log-odds, or zero where not given; it is a row's own
    where `looked`, and a mean elsewhere. The lasting part is pulled toward as much as lasts of what is seen, as weakly
    as one estimate with an error of its own size would. Its error widens the variance, so that coverage is right on
    average over it.
    """
    first, second = pairs_of(repeats.lead, order, repeats.apart)
    # A target that a lead reaches once has no pair that began with a success: such pairs would tell of nothing.
    if len(first) < MIN_PAIRS or y[first].sum() < MIN_SUCCESSES:
        return NOTHING_HIDDEN
    weights = np.ones(len(z)) if weights is None else weights
    z = _level(z, y, order, weights)
    p = probability(z)
    r, v = y - p, p * (1.0 - p)
    w = np.sqrt(weights[first] * weights[second])
    both = w * v[first] * v[second]
    crude = float((w * r[first] * r[second]).sum() / both.sum())
    reaching, echo = _echo(r, v, order, repeats, weights, crude)
    crude -= reaching
    lasting = _invert(_mapping(z[first], z[second], w), crude)
    influence = w * r[first] * r[second] - max(crude, 0.0) * both
    by_lead = np.bincount(np.unique(repeats.lead[first], return_inverse=True)[1].ravel(), influence)
    error = float(np.sqrt((by_lead**2).sum()) / both.sum())
    seen_lasting = max(_covariance(z[first], z[second], w), 0.0)
    pull = error**2 / (error**2 + seen_lasting**2) if seen_lasting > 0.0 else 0.0
    kept = max((1.0 - pull) * lasting + pull * seen_lasting, 0.0)
    slope, base, refitting = _model_error(p, model_variance, looked, weights, growth)
    # A variance s with an error e costs in coverage what e^2 (k^2 + 1) / 4 s less of it would (second order).
    whole = kept + times * refitting + echo * float(np.average(v, weights=weights))
    unsure = (Z_80**2 + 1.0) / 4.0 * (1.0 - pull) * error**2 / max(whole, error)
    return Hidden(
        floor=float(kept + unsure),
        base=float(kept + unsure + times * base),
        slope=float(times * slope),
        top=float(np.quantile(p, 0.99)),
        echo=float(echo),
        pairs=len(first),
        lasting=lasting,
        lasting_error=error,
        seen_lasting=seen_lasting,
        model_error=refitting,
    )


def _model_error(
    p: Floats, variance: Floats | None, looked: NDArray[np.bool_] | None, weights: Floats, growth: float
) -> tuple[float, float, float]:
    """Slope and intercept over the probability of the variance that refitting shows, and its mean.

    The line goes through the mean, `growth` times as steep as it was found; never falling.
    """
    if variance is None:
        return 0.0, 0.0, 0.0
    # A row that refitting was not looked at on has a mean, which would flatten the line.
    own = np.ones(len(p), dtype=np.bool_) if looked is None else looked
    mean = float(np.average(variance, weights=weights))
    if own.sum() < MIN_PAIRS:
        return 0.0, mean, mean
    slope, base = _straight(p[own], variance[own], weights[own])
    middle = float(np.average(p[own], weights=weights[own]))
    steeper = growth * max(slope, 0.0)
    return steeper, base + slope * middle - steeper * middle, mean


def _echo(r: Floats, v: Floats, order: Floats, repeats: Repeats, weights: Floats, crude: float) -> tuple[float, float]:
    """What an outcome adds to the agreement of windows with one between, through what it does to that one; and g^2.

    An outcome that moves the log-odds of the next window by g makes adjacent windows agree by g more than far ones, and
    windows with one between them by g^2 v of the one between.
    """
    one, other = pairs_of(repeats.lead, order, repeats.apart / 2)
    near = order[other] - order[one] < repeats.apart
    between = order[other] - order[one] < 1.5 * repeats.apart
    w = np.sqrt(weights[one] * weights[other])
    both = w * v[one] * v[other]
    if not near.any() or not (between & ~near).any():
        return 0.0, 0.0
    adjacent = float((w * r[one] * r[other])[near].sum() / both[near].sum())
    share = float(both[between & ~near].sum() / both[~near].sum())
    # The window between is not chosen for a high probability, as the weights choose those at the ends.
    typical = float(np.average(v, weights=weights)) * share
    reaching = 0.0
    for _ in range(20):
        reaching = min((adjacent - crude + reaching) ** 2 * typical, max(crude, 0.0))
    # Chance alone makes a square: its mean is taken off.
    chance = float((w * both)[near].sum() / both[near].sum() ** 2 + (w * both)[~near].sum() / both[~near].sum() ** 2)
    return reaching, max((adjacent - crude + reaching) ** 2 - chance, 0.0)


def pairs_of(lead: Ints, order: Floats, apart: float) -> tuple[Ints, Ints]:
    """Rows (earlier, later) of one lead whose `order` differs by at least `apart`."""
    by = np.lexsort((order, lead))
    firsts, seconds = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for step in range(1, len(by)):
        one, other = by[:-step], by[step:]
        same = lead[one] == lead[other]
        if not same.any():
            break
        far = same & (order[other] - order[one] >= apart)
        firsts.append(one[far])
        seconds.append(other[far])
    return np.concatenate(firsts), np.concatenate(seconds)


def _level(z: Floats, y: Floats, order: Floats, weights: Floats) -> Floats:
    """Log-odds moved so that every snapshot has its own mean outcome: a month's level is no lead's own."""
    at = np.unique(order, return_inverse=True)[1].ravel()
    moved = z.copy()
    for _ in range(5):
        p = probability(moved)
        gap = np.bincount(at, weights * (y - p))
        moved += np.clip(gap / np.maximum(np.bincount(at, weights * p * (1 - p)), 1e-9), -1.0, 1.0)[at]
    return moved


def _mapping(z1: Floats, z2: Floats, w: Floats) -> Callable[[float], float]:
    """What the first-order estimate would be for a true variance: the logistic bends, which matters for a large one."""
    some = slice(None, None, max(1, len(z1) // MAPPED_PAIRS))
    z1, z2, w = z1[some, None], z2[some, None], w[some]
    p1, p2 = probability(z1), probability(z2)
    scale = float((w * (p1 * (1 - p1) * p2 * (1 - p2))[:, 0]).sum())

    def first_order(variance: float) -> float:
        grown, u = np.sqrt(1.0 + SHIFT * variance), np.sqrt(variance) * NODES
        q1, q2 = probability(z1 * grown + u), probability(z2 * grown + u)
        product = (q1 * q2) @ NODE_WEIGHTS - (q1 @ NODE_WEIGHTS) * (q2 @ NODE_WEIGHTS)
        return float((w * product).sum() / scale)

    return first_order


def _invert(first_order: Callable[[float], float], crude: float) -> float:
    """The variance whose first-order estimate is `crude`; below zero, which chance allows, it is `crude` itself."""
    if crude <= 0.0:
        return crude
    low, high = 0.0, MOST_LASTING
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if first_order(middle) < crude else (low, middle)
    return (low + high) / 2


def _covariance(one: Floats, other: Floats, w: Floats) -> float:
    return float(np.average((one - np.average(one, weights=w)) * (other - np.average(other, weights=w)), weights=w))


def _straight(x: Floats, y: Floats, w: Floats) -> tuple[float, float]:
    """Slope and intercept of the weighted least-squares line; flat where x does not vary."""
    middle, level = float(np.average(x, weights=w)), float(np.average(y, weights=w))
    spread = float(np.average((x - middle) ** 2, weights=w))
    slope = float(np.average((x - middle) * (y - level), weights=w)) / spread if spread > 1e-12 else 0.0
    return slope, level - slope * middle
