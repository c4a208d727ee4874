"""Whom to choose when not everybody can be: by uplift, or by readiness; judged on rows that neither has seen.

Readiness asks who will act, uplift who will act *because of* the action. Both are LightGBM models of the same shape,
fitted in folds, so that each row is ranked by models that never saw it. Three ways of learning uplift are judged: two
models, the X-learner (Künzel et al. 2019) and the transformed outcome (Athey and Imbens 2015). A ranking is worth the
area between its uplift curve and that of a random order (Radcliffe 2007): the Qini coefficient, here in outcomes per
row. Intervals resample rows, or clusters where rows were drawn together, with the rankings held fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.experiments.trial import Floats, Ints, Trial

READINESS = "readiness"
UPLIFTS = ("two models", "x-learner", "transformed outcome")
FOLDS = 5
REPLICATES = 400
GRID = np.linspace(0.05, 1.0, 20)
TOP = 0.3
_SHAPE = {
    "num_leaves": 8,
    "max_depth": 3,
    "learning_rate": 0.05,
    "min_data_in_leaf": 200,
    "lambda_l2": 10.0,
    "feature_fraction": 0.8,
    "verbose": -1,
    "num_threads": 1,
    "deterministic": True,
    "seed": 7,
}
_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Ranked:
    """One ranking judged: the Qini coefficient, the effect among the first `TOP` share, and the curve on GRID.

    Each number is (value, low, high). `beyond` is the difference of its Qini to that of readiness, resampled together.
    """

    ranking: str
    qini: tuple[float, float, float]
    at_top: tuple[float, float, float]
    beyond: tuple[float, float, float]
    curve: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """Whether this ranking is better than readiness, worse, or not told apart."""
        if self.ranking == READINESS:
            return ""
        if self.beyond[1] > 0:
            return "better than readiness"
        return "worse than readiness" if self.beyond[2] < 0 else "not told apart from readiness"


@dataclass(frozen=True, slots=True)
class Targeting:
    """Every ranking for one arm and outcome, over the same rows."""

    arm: str
    outcome: str
    rows: int
    everybody: float
    rankings: tuple[Ranked, ...]

    def of(self, ranking: str) -> Ranked:
        """One ranking by its name."""
        return next(one for one in self.rankings if one.ranking == ranking)


def targeting_of(trial: Trial, outcome: str, place: int, *, replicates: int = REPLICATES, seed: int = 7) -> Targeting:
    """Judge every ranking of the rows of one arm and the control for one outcome; deterministic by seed."""
    rows = np.flatnonzero((trial.arm == place) | (trial.arm == 0))
    treated = trial.arm[rows] == place
    y = trial.outcomes[outcome][rows]
    cluster = np.arange(len(rows)) if trial.cluster is None else np.unique(trial.cluster[rows], return_inverse=True)[1]
    scores = cross_fitted(trial.X[rows], y, treated, cluster.ravel(), trial, outcome in trial.yesno, seed)
    return Targeting(
        arm=trial.arms[place],
        outcome=outcome,
        rows=len(rows),
        everybody=float(y[treated].mean() - y[~treated].mean()),
        rankings=judged(scores, y, treated, cluster.ravel(), replicates=replicates, seed=seed),
    )


def cross_fitted(
    X: Floats, y: Floats, treated: NDArray[np.bool_], cluster: Ints, trial: Trial, yesno: bool, seed: int
) -> dict[str, Floats]:
    """Rank of every row in [0, 1) under each way, by models of folds that it is not in; 0 is the first to choose."""
    rng = np.random.default_rng(seed)
    fold = (rng.permutation(int(cluster.max()) + 1) % FOLDS)[cluster]
    ranks = {name: np.empty(len(y)) for name in (READINESS, *UPLIFTS)}
    chance = rng.random(len(y))  # settles ties
    for number in range(FOLDS):
        out = np.flatnonzero(fold == number)
        fit = np.flatnonzero(fold != number)
        found = _scores(X[fit], y[fit], treated[fit], X[out], trial, yesno)
        for name, rank in ranks.items():
            # Models of different folds are not on one scale: rows are ranked among those of their own fold.
            order = np.lexsort((chance[out], -found[name]))
            rank[out[order]] = (np.arange(len(out)) + chance[out[order]]) / len(out)
    return ranks


def _scores(
    X: Floats, y: Floats, treated: NDArray[np.bool_], others: Floats, trial: Trial, yesno: bool
) -> dict[str, Floats]:
    share = float(treated.mean())
    kind = "binary" if yesno else "regression"
    one, other = _model(X[treated], y[treated], trial, kind), _model(X[~treated], y[~treated], trial, kind)
    # X-learner: what each treated row gained over the control model's guess, and each control row would have.
    gained = _model(X[treated], y[treated] - other(X[treated]), trial, "regression")
    missed = _model(X[~treated], one(X[~treated]) - y[~treated], trial, "regression")
    transformed = _model(X, y * np.where(treated, 1 / share, -1 / (1 - share)), trial, "regression")
    return {
        READINESS: _model(X, y, trial, kind)(others),
        "two models": one(others) - other(others),
        "x-learner": share * missed(others) + (1 - share) * gained(others),
        "transformed outcome": transformed(others),
    }


def _model(X: Floats, y: Floats, trial: Trial, kind: str) -> Any:
    import lightgbm as lgb

    if kind == "binary" and len(np.unique(y)) < 2:
        level = float(y.mean())
        return lambda rows: np.full(len(rows), level)
    data = lgb.Dataset(X, label=y, categorical_feature=list(trial.categorical), free_raw_data=True)
    booster = lgb.train({**_SHAPE, "objective": kind}, data, num_boost_round=_ROUNDS)
    return booster.predict


def judged(
    ranks: Mapping[str, Floats],
    y: Floats,
    treated: NDArray[np.bool_],
    cluster: Ints,
    *,
    replicates: int = REPLICATES,
    seed: int = 7,
) -> tuple[Ranked, ...]:
    """Each ranking's Qini and the effect among its first, with intervals; every resample serves all rankings."""
    rng = np.random.default_rng((seed, 1))
    count = int(cluster.max()) + 1
    drawn = [np.ones(count)] + [
        np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64) for _ in range(replicates)
    ]
    order = {name: np.argsort(rank, kind="stable") for name, rank in ranks.items()}
    curves: dict[str, list[Floats]] = {name: [] for name in ranks}
    for weight in drawn:
        own = weight[cluster]
        for name, first in order.items():
            curves[name].append(uplift_curve(y[first], treated[first], own[first]))
    qini = {name: np.array([area(curve) for curve in found]) for name, found in curves.items()}
    top = int(np.argmin(np.abs(GRID - TOP)))
    return tuple(
        Ranked(
            ranking=name,
            qini=_around(qini[name]),
            at_top=_around(np.array([curve[top] / GRID[top] for curve in curves[name]])),
            beyond=_around(qini[name] - qini[READINESS]),
            curve=tuple(float(value) for value in curves[name][0]),
        )
        for name in ranks
    )


def uplift_curve(y: Floats, treated: NDArray[np.bool_], weight: Floats) -> Floats:
    """Outcomes gained per row of all when the first share of an order is treated, at each share of GRID.

    The gain at a share is that share times the difference of means between treated and control rows inside it.
    """
    ends = np.minimum(np.searchsorted(np.cumsum(weight), GRID * weight.sum() - 1e-9), len(y) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        one = np.cumsum(weight * treated * y)[ends] / np.cumsum(weight * treated)[ends]
        other = np.cumsum(weight * ~treated * y)[ends] / np.cumsum(weight * ~treated)[ends]
    return np.asarray(GRID * np.nan_to_num(one - other))


def area(curve: Floats) -> float:
    """The area between an uplift curve and the straight line of a random order."""
    return float(np.trapezoid(np.concatenate(([0.0], curve)), np.concatenate(([0.0], GRID))) - curve[-1] / 2)


def _around(draws: Floats) -> tuple[float, float, float]:
    """The first draw, which is the data itself, with the middle 95 % of the others."""
    low, high = np.quantile(draws[1:], [0.025, 0.975]) if len(draws) > 1 else (np.nan, np.nan)
    return float(draws[0]), float(low), float(high)
