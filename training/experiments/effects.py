"""What an action did: the difference between an arm and the control, per segment, with its interval.

A rate's difference has Newcombe's interval (1998, method 10) where each row was drawn alone; a mean's difference, and
everything where rows were drawn together, has Welch's over the sums of each cluster, which with clusters of one row is
Welch's t. Where the interval holds zero, the smallest effect that the test would have found is said beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from training.experiments.trial import EVERYBODY, Floats, Ints, Trial

LEVEL = 0.95
POWER = 0.8
# With fewer clusters in an arm, or fewer successes or failures in both together, an interval means little.
MIN_CLUSTERS = 20
MIN_EVENTS = 5


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its 95 % interval and two-sided p-value; NaN where it cannot be told."""

    value: float
    low: float
    high: float
    p: float = np.nan

    @property
    def leaves_out_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return bool(self.low > 0.0 or self.high < 0.0)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one arm did to one outcome in one group, as treated minus control.

    `adjusted` is the same with what was known before taken into account; `pooled` the effect shrunk to that of all
    groups by how much they differ beyond noise. `detectable` is the smallest effect found four times out of five.
    `q` is the share of false findings (Benjamini and Hochberg 1995) if all as sure as this one were believed.
    """

    outcome: str
    arm: str
    dimension: str
    group: str
    treated: int
    control: int
    treated_mean: float
    control_mean: float
    difference: Interval
    detectable: float
    too_few: bool
    adjusted: Interval | None = None
    pooled: Interval | None = None
    q: float = np.nan

    @property
    def verdict(self) -> str:
        """What the interval says: raises, lowers, not told apart from nothing, or too few to tell."""
        if self.too_few:
            return "too few"
        if not self.difference.leaves_out_zero:
            return "not told apart"
        return "raises" if self.difference.value > 0 else "lowers"


@dataclass(frozen=True, slots=True)
class Spread:
    """Whether the groups of a dimension differ in effect at all: Cochran's Q, its p, and the spread between them."""

    outcome: str
    arm: str
    dimension: str
    q: float
    p: float
    between: float


def effects_of(trial: Trial) -> tuple[list[Effect], list[Spread]]:
    """Every arm's effect on every outcome, over all and by group, and whether the groups of a dimension differ."""
    found: list[Effect] = []
    spreads: list[Spread] = []
    everybody = np.full(len(trial), EVERYBODY, dtype=object)
    for outcome in trial.outcomes:
        for place, arm in enumerate(trial.arms[1:], start=1):
            inside = (trial.arm == place) | (trial.arm == 0)
            whole = _effect(trial, outcome, place, inside, EVERYBODY, everybody)
            found.append(replace(whole, adjusted=_adjusted(trial, outcome, place, inside)))
            for dimension, groups in trial.segments.items():
                own = [
                    _effect(trial, outcome, place, inside & (groups == name), dimension, groups)
                    for name in sorted(set(groups[inside].tolist()), key=str)
                ]
                shrunk, spread = partly_pooled(own, outcome, arm, dimension)
                found += shrunk
                if spread is not None:
                    spreads.append(spread)
    return _with_shares_of_false(found), spreads


def _effect(
    trial: Trial, outcome: str, place: int, rows: NDArray[np.bool_], dimension: str, groups: NDArray[np.object_]
) -> Effect:
    y, treated = trial.outcomes[outcome], trial.arm == place
    a, b = np.flatnonzero(rows & treated), np.flatnonzero(rows & ~treated)
    cluster = trial.cluster
    yesno = outcome in trial.yesno
    if yesno and cluster is None:
        difference, error = rate_difference(int(y[a].sum()), len(a), int(y[b].sum()), len(b))
    else:
        difference, error = mean_difference(
            y[a], y[b], None if cluster is None else cluster[a], None if cluster is None else cluster[b]
        )
    drawn = [len(rows) if cluster is None else len(np.unique(cluster[rows])) for rows in (a, b)]
    events = min(y[a].sum() + y[b].sum(), len(a) + len(b) - y[a].sum() - y[b].sum()) if yesno else np.inf
    return Effect(
        outcome=outcome,
        arm=trial.arms[place],
        dimension=dimension,
        group=str(groups[np.flatnonzero(rows)[0]]) if rows.any() else EVERYBODY,
        treated=len(a),
        control=len(b),
        treated_mean=float(y[a].mean()) if len(a) else np.nan,
        control_mean=float(y[b].mean()) if len(b) else np.nan,
        difference=difference,
        detectable=detectable(error),
        too_few=min(drawn) < MIN_CLUSTERS or bool(events < MIN_EVENTS),
    )


def rate_difference(hits: int, rows: int, control_hits: int, control_rows: int) -> tuple[Interval, float]:
    """The difference of two rates with Newcombe's interval and the score test's p, and its standard error."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    if rows == 0 or control_rows == 0:
        return Interval(np.nan, np.nan, np.nan), np.nan
    one, other = hits / rows, control_hits / control_rows
    low, high = confint_proportions_2indep(
        hits, rows, control_hits, control_rows, method="newcomb", compare="diff", alpha=1 - LEVEL
    )
    error = float(np.sqrt(one * (1 - one) / rows + other * (1 - other) / control_rows))
    # The score test of no difference: both rates are the pooled one, which is also the z whose square is Pearson's.
    pooled = (hits + control_hits) / (rows + control_rows)
    around = float(np.sqrt(pooled * (1 - pooled) * (1 / rows + 1 / control_rows)))
    p = float(2 * stats.norm.sf(abs(one - other) / around)) if around > 0 else 1.0
    return Interval(one - other, float(low), float(high), p), error


def mean_difference(
    treated: Floats, control: Floats, treated_cluster: Ints | None = None, control_cluster: Ints | None = None
) -> tuple[Interval, float]:
    """The difference of two means with Welch's interval over the sums of clusters, and its standard error."""
    if not len(treated) or not len(control):
        return Interval(np.nan, np.nan, np.nan), np.nan
    (one, first, n), (other, second, m) = _mean(treated, treated_cluster), _mean(control, control_cluster)
    value, variance = one - other, first + second
    if min(n, m) < 2 or variance <= 0:
        return Interval(value, np.nan, np.nan), np.nan
    error = float(np.sqrt(variance))
    freedom = variance**2 / (first**2 / (n - 1) + second**2 / (m - 1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Interval(value, value - half, value + half, float(2 * stats.t.sf(abs(value) / error, freedom))), error


def _mean(values: Floats, cluster: Ints | None) -> tuple[float, float, int]:
    """A mean, its variance over clusters, and how many there are."""
    mean = float(values.mean())
    left = values - mean
    sums = left if cluster is None else np.bincount(np.unique(cluster, return_inverse=True)[1].ravel(), left)
    count = len(sums)
    return mean, float(count / max(count - 1, 1) * (sums**2).sum() / len(values) ** 2), count


def detectable(error: float) -> float:
    """The smallest effect that a test of this standard error finds with a power of 80 %, at 5 % two-sided."""
    return float((stats.norm.ppf((1 + LEVEL) / 2) + stats.norm.ppf(POWER)) * error)


def _adjusted(trial: Trial, outcome: str, place: int, rows: NDArray[np.bool_]) -> Interval | None:
    """Lin's regression adjustment (2013): one line an arm over what was known before, read at the mean of both."""
    if not trial.covariates:
        return None
    Z = trial.X[:, list(trial.covariates)]
    Z = np.where(np.isnan(Z), np.nanmean(Z[rows], axis=0), Z)
    Z = np.column_stack([np.ones(len(Z)), Z - Z[rows].mean(axis=0)])
    y, level = trial.outcomes[outcome], []
    for treated in (True, False):
        own = np.flatnonzero(rows & ((trial.arm == place) == treated))
        if len(own) <= 2 * Z.shape[1]:
            return None
        line = np.linalg.lstsq(Z[own], y[own], rcond=None)[0]
        # The rest around the line is what is left of the noise; the level at the mean is the intercept.
        level.append((y[own] - Z[own] @ line + line[0], None if trial.cluster is None else trial.cluster[own]))
    (one, first), (other, second) = level
    return mean_difference(one, other, first, second)[0]


def partly_pooled(own: Sequence[Effect], outcome: str, arm: str, dimension: str) -> tuple[list[Effect], Spread | None]:
    """Each group's effect pulled to that of all, the more the less the groups differ (DerSimonian and Laird 1986).

    The standard error of a group is read back from its interval, so that rates and means are treated alike.
    """
    error = np.array([(e.difference.high - e.difference.low) / 2 / stats.norm.ppf((1 + LEVEL) / 2) for e in own])
    value = np.array([e.difference.value for e in own])
    told = np.isfinite(error) & (error > 0) & np.isfinite(value)
    if told.sum() < 2:
        return list(own), None
    weight = 1.0 / error[told] ** 2
    mean = float((weight * value[told]).sum() / weight.sum())
    q = float((weight * (value[told] - mean) ** 2).sum())
    freedom = int(told.sum()) - 1
    between = max(0.0, (q - freedom) / (weight.sum() - (weight**2).sum() / weight.sum()))
    around = 1.0 / (error[told] ** 2 + between)
    mean = float((around * value[told]).sum() / around.sum())
    shrunk = list(own)
    for at in np.flatnonzero(told).tolist():
        trust = between / (between + error[at] ** 2)
        value_now = trust * value[at] + (1 - trust) * mean
        # What is not known of the common effect stays in the group's; `between` is taken as known (empirical Bayes).
        variance = trust * error[at] ** 2 + (1 - trust) ** 2 / around.sum()
        half = float(stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(variance))
        shrunk[at] = replace(own[at], pooled=Interval(float(value_now), value_now - half, value_now + half))
    return shrunk, Spread(outcome, arm, dimension, q, float(stats.chi2.sf(q, freedom)), float(np.sqrt(between)))


def _with_shares_of_false(found: list[Effect]) -> list[Effect]:
    """The share of false findings of each group's effect, over all groups of all arms for one outcome."""
    done = list(found)
    for outcome in {effect.outcome for effect in found}:
        rows = [
            at
            for at, effect in enumerate(found)
            if effect.outcome == outcome and effect.dimension != EVERYBODY and np.isfinite(effect.difference.p)
        ]
        p = np.array([found[at].difference.p for at in rows])
        order = np.argsort(p, kind="stable")[::-1]
        shares = np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1)) if len(p) else p
        for at, share in zip(order.tolist(), np.minimum(shares, 1.0).tolist(), strict=True):
            done[rows[at]] = replace(found[rows[at]], q=share)
    return done
