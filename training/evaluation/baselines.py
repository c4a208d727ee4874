"""What readiness is compared with: points, logistic regression, naive Bayes and plain LightGBM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.calibration import FLOOR, fit_line, probability
from models.scores import SEGMENT_FEATURE, Spec

Floats = NDArray[np.float64]
Codes = NDArray[Any]
Predict = Callable[[Floats, Codes], Floats]
Fit = Callable[[Floats, Codes, Spec, Codes], Predict]

# Odoo's predictive lead scoring adds this to every count.
LAPLACE = 0.1
NAIVE_BINS = 10
# A column whose values are skewed more than this is logged: counts are, ratings and times usually are not.
LONG_TAILED = 2.0
# A level rarer than this shares one column with the other rare ones.
RARE_ROWS = 20
SMALL_CELLS = 1_000_000
GLOBAL_ROUNDS = 100


def fit_baselines(X: Floats, y: Codes, spec: Spec, segment: Codes) -> dict[str, Predict]:
    """Every baseline that learns from the feature matrix, by name."""
    return {name: fit(X, y, spec, segment) for name, fit in BASELINES.items()}


def fit_points(points: NDArray[Any], y: Codes) -> Callable[[NDArray[Any]], Floats]:
    """The hand-written scorecard as a probability: one calibrated line on the standardized sum of its points."""
    label = np.asarray(y, dtype=np.float64)
    values = np.asarray(points, dtype=np.float64)
    middle, spread = float(values.mean()), float(values.std()) or 1.0
    line = fit_line((values - middle) / spread, label, prior_rows=1.0)
    return lambda later: probability(line.a * (np.asarray(later, dtype=np.float64) - middle) / spread + line.b)


def fit_logistic(X: Floats, y: Codes, spec: Spec, segment: Codes) -> Predict:
    """Logistic regression on scaled numbers, missing flags and one column per category level and segment."""
    encoding = _Encoding.of(X, spec, segment)
    model = LogisticRegression(C=1.0, max_iter=300, tol=1e-4)
    model.fit(encoding.matrix(X, segment), np.asarray(y, dtype=np.int64))

    def predict(rows: Floats, segments: Codes) -> Floats:
        return _uncertain(model.predict_proba(encoding.matrix(rows, segments))[:, 1])

    return predict


def fit_naive_bayes(X: Floats, y: Codes, spec: Spec, segment: Codes) -> Predict:
    """Naive Bayes as Odoo's predictive lead scoring does it: frequencies of each value among won and lost leads.

    Numbers are cut into ten equal-mass bins, a value never seen is left out, and so is a missing one.
    """
    label = np.asarray(y, dtype=np.float64)
    won, lost = label.sum(), len(label) - label.sum()
    categorical = set(spec.categorical)
    columns = []
    for j in range(X.shape[1]):
        edges = None if j in categorical else _edges(X[:, j])
        columns.append((edges, _frequencies(_levels(X[:, j], edges), label)))
    columns.append((None, _frequencies(_levels(_segment_column(segment), None), label)))
    prior = float(np.log(won + LAPLACE) - np.log(lost + LAPLACE))

    def predict(rows: Floats, segments: Codes) -> Floats:
        log_odds = np.full(len(rows), prior)
        for j, (edges, table) in enumerate(columns):
            column = rows[:, j] if j < rows.shape[1] else _segment_column(segments)
            levels = _levels(column, edges)
            known = (levels >= 0) & (levels < len(table))
            log_odds[known] += table[levels[known]]
        return probability(log_odds)

    return predict


def fit_global_lightgbm(X: Floats, y: Codes, spec: Spec, segment: Codes) -> Predict:
    """One LightGBM over all leads with its default settings; the segment is not shown to it."""
    booster = _default_booster(X, y, spec.names, spec.categorical)
    return lambda rows, segments: _predict(booster, rows)


def fit_lightgbm_with_segment(X: Floats, y: Codes, spec: Spec, segment: Codes) -> Predict:
    """The same LightGBM with the primary segment as one more category."""
    wide = np.column_stack([X, _segment_column(segment)])
    booster = _default_booster(wide, y, (*spec.names, SEGMENT_FEATURE), (*spec.categorical, X.shape[1]))
    return lambda rows, segments: _predict(booster, np.column_stack([rows, _segment_column(segments)]))


BASELINES: dict[str, Fit] = {
    "logistic_regression": fit_logistic,
    "naive_bayes": fit_naive_bayes,
    "global_lightgbm": fit_global_lightgbm,
    "lightgbm_with_segment": fit_lightgbm_with_segment,
}


def _default_booster(X: Floats, y: Codes, names: tuple[str, ...], categorical: tuple[int, ...]) -> Any:
    threads = 2 if X.size >= SMALL_CELLS else 1
    parameters = {
        "objective": "binary",
        "num_threads": threads,
        "seed": 7,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    data = lgb.Dataset(X, np.asarray(y), feature_name=list(names), categorical_feature=list(categorical))
    return lgb.train(parameters, data, GLOBAL_ROUNDS)


def _predict(booster: Any, rows: Floats) -> Floats:
    threads = 2 if rows.size >= SMALL_CELLS else 1
    return _uncertain(booster.predict(rows, num_threads=threads))


def _uncertain(p: Any) -> Floats:
    """Probabilities never exactly 0 or 1, so that one surprise does not make a baseline's log-loss infinite."""
    return np.asarray(np.clip(p, FLOOR, 1.0 - FLOOR))


def _segment_column(segment: Codes) -> Floats:
    column = np.asarray(segment, dtype=np.float64)
    return np.where(column < 0, np.nan, column)


def _edges(column: Floats) -> Floats:
    known = column[~np.isnan(column)]
    return np.unique(np.quantile(known, np.linspace(0, 1, NAIVE_BINS + 1)[1:-1])) if len(known) else np.empty(0)


def _levels(column: Floats, edges: Floats | None) -> NDArray[np.int64]:
    """Level of each value, -1 where missing."""
    known = ~np.isnan(column)
    levels = np.full(len(column), -1, dtype=np.int64)
    values = column[known]
    levels[known] = values.astype(np.int64) if edges is None else np.searchsorted(edges, values, side="left")
    return levels


def _frequencies(levels: NDArray[np.int64], label: Floats) -> Floats:
    """Log of won frequency over lost frequency for each level."""
    known = levels >= 0
    size = int(levels.max()) + 1 if known.any() else 0
    won = np.bincount(levels[known], weights=label[known], minlength=size)
    lost = np.bincount(levels[known], weights=1.0 - label[known], minlength=size)
    table = np.log((won + LAPLACE) / (won.sum() + LAPLACE)) - np.log((lost + LAPLACE) / (lost.sum() + LAPLACE))
    table[(won + lost) == 0] = 0.0
    return np.asarray(table)


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How columns become numbers for the logistic regression, fitted on the training rows."""

    numeric: NDArray[np.int64]
    tailed: NDArray[np.bool_]
    middle: Floats
    spread: Floats
    flagged: NDArray[np.bool_]
    levels: tuple[tuple[int, Floats], ...]

    @classmethod
    def of(cls, X: Floats, spec: Spec, segment: Codes) -> _Encoding:
        wide = np.column_stack([X, _segment_column(segment)])
        coded = (*spec.categorical, X.shape[1])
        numeric = np.array([j for j in range(X.shape[1]) if j not in set(coded)], dtype=np.int64)
        levels = []
        for j in coded:
            values, counts = np.unique(wide[:, j][~np.isnan(wide[:, j])], return_counts=True)
            levels.append((j, values[counts >= RARE_ROWS]))
        tailed = _skewness(X[:, numeric]) > LONG_TAILED
        shaped = _shaped(X[:, numeric], tailed)
        middle, spread = _middle_and_spread(shaped)
        flagged: NDArray[np.bool_] = np.asarray(np.isnan(shaped).any(axis=0))
        return cls(numeric, tailed, middle, spread, flagged, tuple(levels))

    def matrix(self, X: Floats, segment: Codes) -> Floats:
        wide = np.column_stack([X, _segment_column(segment)])
        missing = np.isnan(X[:, self.numeric])
        scaled = np.where(missing, 0.0, (_shaped(X[:, self.numeric], self.tailed) - self.middle) / self.spread)
        parts = [scaled, missing[:, self.flagged].astype(np.float64)]
        for j, values in self.levels:
            hit = (wide[:, j][:, None] == values).astype(np.float64)
            # What is neither missing nor a frequent level is "other".
            other = (~np.isnan(wide[:, j]) & (hit.sum(axis=1) == 0)).astype(np.float64)
            parts.extend((hit, np.isnan(wide[:, j]).astype(np.float64)[:, None], other[:, None]))
        return np.hstack(parts)


def _shaped(values: Floats, tailed: NDArray[np.bool_]) -> Floats:
    """Long-tailed columns by a signed logarithm: one lead with a thousand clicks must not rule the scale."""
    shaped = values.copy()
    shaped[:, tailed] = np.sign(values[:, tailed]) * np.log1p(np.abs(values[:, tailed]))
    return shaped


def _skewness(values: Floats) -> Floats:
    """Third standardized moment of the known values of each column."""
    middle, spread = _middle_and_spread(values)
    known = ~np.isnan(values)
    cubes = np.where(known, ((values - middle) / spread) ** 3, 0.0)
    found: Floats = cubes.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return found


def _middle_and_spread(values: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the known values of each column; a constant column has spread one."""
    known = ~np.isnan(values)
    seen = np.maximum(known.sum(axis=0), 1)
    middle = np.where(known, values, 0.0).sum(axis=0) / seen
    spread = np.sqrt(np.where(known, (values - middle) ** 2, 0.0).sum(axis=0) / seen)
    return middle, np.where(spread > 0, spread, 1.0)
