"""The strongest rivals: a LightGBM whose settings were searched for, and scikit-learn's histogram boosting.

The search is as honest as ours: it sees the rows that train and no other, learns from the earlier of them, judges on
the later ones of accounts that it did not learn from, and stops at its budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from models.calibration import FLOOR
from models.scores import SEGMENT_FEATURE, Spec

Floats = NDArray[np.float64]
Predict = Callable[[Floats, NDArray[Any]], Floats]

MOST_ROUNDS = 600
PATIENCE = 40
MOST_TRIALS = 60
MIN_OF_EACH_CLASS = 20
# Codes above this are one level for scikit-learn, which takes no more categories of a column.
MOST_CODES = 254


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search found: the settings, how many trials, the loss of the best on inner later rows."""

    settings: Mapping[str, float]
    trials: int
    loss: float
    rounds: int


def fit_hist_gradient_boosting(X: Floats, y: NDArray[Any], spec: Spec, segment: NDArray[Any]) -> Predict:
    """scikit-learn's HistGradientBoostingClassifier with its default settings, categories given as such."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    wide = _wide(X, segment)
    coded = np.zeros(wide.shape[1], dtype=np.bool_)
    coded[[*spec.categorical, wide.shape[1] - 1]] = True
    # scikit-learn stops at a column without two values.
    told = np.array([len(np.unique(column[~np.isnan(column)])) > 1 for column in wide.T])
    model = HistGradientBoostingClassifier(categorical_features=coded[told], random_state=7)
    # Threads that wait for each other on little data cost many times what they save.
    with threadpool_limits(limits=1, user_api="openmp"):
        model.fit(_few_codes(wide, coded)[:, told], np.asarray(y, dtype=np.int64))

    def predict(rows: Floats, segments: NDArray[Any]) -> Floats:
        return _uncertain(model.predict_proba(_few_codes(_wide(rows, segments), coded)[:, told])[:, 1])

    return predict


def fit_tuned_lightgbm(
    X: Floats,
    y: NDArray[Any],
    spec: Spec,
    segment: NDArray[Any],
    order: NDArray[Any],
    fold: NDArray[Any],
    *,
    seconds: float,
    trials: int = MOST_TRIALS,
    share: float = 0.2,
    seed: int = 7,
) -> tuple[Predict, Searched]:
    """One LightGBM over all leads, the segment as a feature, with settings found by Optuna (TPE) within a budget.

    Args:
        X: features of the rows that train, float64[rows, features].
        y: their outcomes, 0 or 1.
        spec: names and categorical columns.
        segment: primary segment of each row, -1 for none.
        order: rises with time; the last `share` of the rows settles what is better.
        fold: keeps an account together.
        seconds: the budget of the search; at least one trial runs.
        trials: no more than this many.
        share: of the rows, the later ones that judge within the search.
        seed: of the search and of LightGBM.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    label = np.asarray(y, dtype=np.float64)
    wide = _wide(X, segment)
    data = lgb.Dataset(
        wide,
        label,
        feature_name=[*spec.names, SEGMENT_FEATURE],
        categorical_feature=[*spec.categorical, wide.shape[1] - 1],
        params={"feature_pre_filter": False, "max_bin": 255, "min_data_in_bin": 3, "verbose": -1},
        free_raw_data=False,
    ).construct()
    parts = inner_parts(np.asarray(order, dtype=np.float64), np.asarray(fold), label, share)
    subsets = [
        (data.subset(learn.tolist()).construct(), data.subset(judge.tolist()).construct()) for learn, judge in parts
    ]
    # INVARIANT: the budget is of wall time, and a trial that began before its end is the last.
    ends = time.monotonic() + seconds

    def judged(trial: Any) -> float:
        settings = _suggested(trial, seed)
        found = _loss_by_round(settings, subsets)
        trial.set_user_attr("rounds", int(np.argmin(found)) + 1)
        return float(found.min())

    study = optuna.create_study(direction="minimize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(_DEFAULTS)
    study.optimize(
        judged,
        n_trials=trials,
        callbacks=[lambda s, t: s.stop() if time.monotonic() >= ends else None],
        gc_after_trial=False,
    )
    best = study.best_trial
    rounds = int(best.user_attrs["rounds"])
    booster = lgb.train(_parameters(best.params, seed), data, rounds)
    searched = Searched(dict(best.params), len(study.trials), float(study.best_value), rounds)
    return lambda rows, segments: _uncertain(booster.predict(_wide(rows, segments), num_threads=1)), searched


def inner_parts(
    order: Floats, fold: NDArray[Any], y: Floats, share: float
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of rows to learn from and later rows to judge on, no account in both; by accounts alone where too few."""
    later = order >= np.quantile(order, 1.0 - share, method="higher")
    halves = [fold % 2 == 0, fold % 2 == 1]
    pairs = [(np.flatnonzero(~later & ~half), np.flatnonzero(later & half)) for half in halves]
    if all(_both(y[part]) for pair in pairs for part in pair):
        return pairs
    pairs = [(np.flatnonzero(~half), np.flatnonzero(half)) for half in halves]
    return [pair for pair in pairs if all(_both(y[part]) for part in pair)] or pairs[:1]


# LightGBM's own settings are the first trial, so that searching never starts worse than not searching.
_DEFAULTS = {
    "learning_rate": 0.1, "num_leaves": 31, "min_data_in_leaf": 20, "lambda_l2": 1e-3, "feature_fraction": 1.0,
    "bagging_fraction": 1.0, "cat_smooth": 10.0, "min_gain_to_split": 0.0,
}  # fmt: skip


def _suggested(trial: Any, seed: int) -> dict[str, Any]:
    return _parameters(
        {
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 4, 64, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 5, 200, log=True),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 50.0, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.3, 1.0),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
            "cat_smooth": trial.suggest_float("cat_smooth", 1.0, 100.0, log=True),
            "min_gain_to_split": trial.suggest_float("min_gain_to_split", 0.0, 1.0),
        },
        seed,
    )


def _parameters(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    return {
        **settings,
        "bagging_freq": 1,
        "objective": "binary",
        "metric": "binary_logloss",
        "num_threads": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "verbose": -1,
    }


def _loss_by_round(settings: Mapping[str, Any], subsets: Sequence[tuple[Any, ...]]) -> Floats:
    """Loss on the later rows after each round, over all pairs of parts, until none of them still falls."""
    curves: list[tuple[float, list[float]]] = []
    for learn, judge in subsets:
        curve: dict[str, dict[str, list[float]]] = {}
        lgb.train(
            dict(settings),
            learn,
            MOST_ROUNDS,
            valid_sets=[judge],
            valid_names=["later"],
            callbacks=[lgb.early_stopping(PATIENCE, verbose=False), lgb.record_evaluation(curve)],
        )
        curves.append((float(judge.num_data()), curve["later"]["binary_logloss"]))
    shortest = min(len(curve) for _, curve in curves)
    rows = sum(size for size, _ in curves)
    total: Floats = np.sum([size * np.array(curve[:shortest]) for size, curve in curves], axis=0) / rows
    return total


def _both(y: Floats) -> bool:
    return bool(min(y.sum(), (1 - y).sum()) >= MIN_OF_EACH_CLASS)


def _wide(X: Floats, segment: NDArray[Any]) -> Floats:
    column = np.asarray(segment, dtype=np.float64)
    return np.column_stack([X, np.where(column < 0, np.nan, column)])


def _few_codes(wide: Floats, coded: NDArray[np.bool_]) -> Floats:
    found = wide.copy()
    found[:, coded] = np.where(found[:, coded] > MOST_CODES, np.nan, found[:, coded])
    return found


def _uncertain(p: Any) -> Floats:
    return np.asarray(np.clip(p, FLOOR, 1.0 - FLOOR))
