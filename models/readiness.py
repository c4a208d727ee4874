"""Fits readiness: pooled first, then boosters for segments that earn one on later data, then calibration.

Everything is chosen on out-of-sample predictions: a row is predicted by a booster that saw neither its account (fold)
nor anything later than the inner cut in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigInvalid, Problem
from configs.training_settings import Boosting, TrainingSettings
from models.bands import REASONS
from models.calibration import Line, fit_line, log_loss
from models.scores import SEGMENT_FEATURE, Readiness, Scores, SegmentRecord, Spec

__all__ = ["REASONS", "Readiness", "Scores", "SegmentRecord", "fit_readiness"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_OF_EACH_CLASS = 20
MIN_LATER_ROWS = 100
SMALL_CELLS = 1_000_000
RESAMPLES = 500
# One-sided: a booster is kept when 95 % of the resamples show a gain. A wrong keep costs little: it is shrunk.
KEEP_QUANTILE = 0.05
VARIANCE_ROWS = 4000
POOLED_PRIOR_ROWS = 50.0


def fit_readiness(
    X: Floats,
    y: NDArray[Any],
    segment: NDArray[Any],
    fold: NDArray[Any],
    order: NDArray[Any],
    spec: Spec,
    settings: TrainingSettings,
    *,
    segment_ids: Sequence[str],
    weights: Floats | None = None,
) -> Readiness:
    """Fit on training rows; `order` rises with time, `fold` keeps an account together, `segment` is -1 for none."""
    data = _Rows.of(X, y, segment, fold, order, spec, settings, segment_ids, weights)
    pooled = _cross_fit(data, np.arange(len(data.y)), settings.pooled, None)
    line = fit_line(pooled.z[data.judged], data.y[data.judged], data.weights[data.judged], prior_rows=POOLED_PRIOR_ROWS)
    texts = {"pooled": _train(data, np.arange(len(data.y)), settings.pooled, pooled.rounds, None).model_to_string()}
    records: list[SegmentRecord] = []
    own_weights: dict[str, float] = {}
    z = pooled.z.copy()
    variance = pooled.variance.copy()
    for index, segment_id in enumerate(segment_ids):
        rows = np.flatnonzero(data.segment == index)
        record, found = _try_segment(data, rows, pooled.z, line, segment_id)
        records.append(record)
        if found is not None:
            booster = _train(data, rows, settings.segment, record.rounds, pooled.z[rows])
            texts[segment_id] = booster.model_to_string()
            own_weights[segment_id] = record.weight
            z[rows] += record.weight * found.z
            variance[rows] += record.weight**2 * found.variance
    lines = _calibrate(data, pooled, z, variance, len(segment_ids))
    return Readiness.of(
        names=data.names,
        groups=(*spec.groups, "segment"),
        segment_ids=segment_ids,
        texts=texts,
        weights=own_weights,
        lines=lines,
        bands={"default": settings.bands},
        min_known_share=settings.min_known_share,
        max_interval_width=settings.max_interval_width,
        records=records,
        notes={
            "rows": float(len(data.y)),
            "judged_rows": float(data.judged.sum()),
            "pooled_rounds": float(pooled.rounds),
            "pooled_later_log_loss": _mean(log_loss(data.y, line.a * pooled.z + line.b)[data.judged], data),
        },
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Training rows with the segment as last column; `judged` rows are the later ones that settle every choice."""

    X: Floats
    y: Floats
    segment: Ints
    fold: Ints
    early: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    weights: Floats
    names: tuple[str, ...]
    monotone: tuple[int, ...]
    binned: Any
    settings: TrainingSettings

    def threads_for(self, rows: int) -> int:
        """Threads for a fit or prediction; on little data threads wait for each other longer than they work."""
        return self.settings.threads if rows * len(self.names) >= SMALL_CELLS else 1

    @classmethod
    def of(
        cls,
        X: Floats,
        y: NDArray[Any],
        segment: NDArray[Any],
        fold: NDArray[Any],
        order: NDArray[Any],
        spec: Spec,
        settings: TrainingSettings,
        segment_ids: Sequence[str],
        weights: Floats | None,
    ) -> _Rows:
        _refuse_monotone_categories(spec)
        label = np.asarray(y, dtype=np.float64)
        primary = np.asarray(segment, dtype=np.int64)
        if not ((label == 0) | (label == 1)).all() or label.min() == label.max():
            raise ValueError("expected labels 0 and 1, both present")
        if primary.min() < -1 or primary.max() >= len(segment_ids):
            raise ValueError("a segment index points outside the segment map")
        column = np.where(primary < 0, np.nan, primary.astype(np.float64))
        wide = np.ascontiguousarray(np.column_stack([X, column]), dtype=np.float64)
        early, judged = _inner_split(np.asarray(order), label, settings.holdout_share)
        names = (*spec.names, SEGMENT_FEATURE)
        binned = lgb.Dataset(
            wide,
            label,
            feature_name=list(names),
            categorical_feature=[*spec.categorical, len(names) - 1],
            params={**_fixed(settings), "feature_pre_filter": False, "min_data_in_bin": 3},
        ).construct()
        return cls(
            X=wide,
            y=label,
            segment=primary,
            fold=np.asarray(fold, dtype=np.int64),
            early=early,
            judged=judged,
            weights=np.ones(len(label)) if weights is None else np.asarray(weights, dtype=np.float64),
            names=names,
            monotone=(*spec.monotone, 0),
            binned=binned,
            settings=settings,
        )


@dataclass(frozen=True, slots=True)
class _CrossFit:
    """Out-of-sample log-odds of rows, the best number of rounds, and how much refitting would move a row."""

    z: Floats
    variance: Floats
    rounds: int


def _refuse_monotone_categories(spec: Spec) -> None:
    # LightGBM does not raise on a monotone categorical feature: it aborts the process.
    wrong = [spec.names[i] for i in spec.categorical if spec.monotone[i] != 0]
    if wrong:
        raise ConfigInvalid([Problem("features", name, "a categorical feature cannot be monotone") for name in wrong])


def _inner_split(order: NDArray[Any], y: Floats, share: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows to learn from and rows to judge by; without enough of either class on a side, folds alone separate them."""
    later = order >= np.quantile(order, 1.0 - share, method="higher")
    for side in (y[~later], y[later]):
        if min(side.sum(), (1 - side).sum()) < MIN_OF_EACH_CLASS:
            everything = np.ones(len(y), dtype=bool)
            return everything, everything
    return ~later, later


def _fixed(settings: TrainingSettings) -> dict[str, Any]:
    return {
        "num_threads": settings.threads,
        "seed": settings.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }


def _parameters(data: _Rows, shape: Boosting, threads: int) -> dict[str, Any]:
    signs = {"monotone_constraints": list(data.monotone)} if any(data.monotone) else {}
    return {
        **_fixed(data.settings),
        **signs,
        "num_threads": threads,
        "objective": "binary",
        "metric": "None",
        "num_leaves": shape.leaves,
        "max_depth": shape.depth,
        "learning_rate": shape.learning_rate,
        "min_data_in_leaf": shape.min_leaf,
        "lambda_l2": shape.l2,
        "feature_fraction": shape.feature_fraction,
        "feature_pre_filter": False,
    }


def _train(data: _Rows, rows: Ints, shape: Boosting, rounds: int, init: Floats | None) -> Any:
    """A booster on ascending rows; `init` is the log-odds it starts from."""
    subset = data.binned.subset(rows.tolist()).construct()
    subset.set_label(data.y[rows])
    subset.set_weight(data.weights[rows])
    if init is not None:
        subset.set_init_score(init)
    return lgb.train(_parameters(data, shape, data.threads_for(len(rows))), subset, rounds)


def _cross_fit(data: _Rows, rows: Ints, shape: Boosting, init: Floats | None) -> _CrossFit:
    """Fit without each fold on early rows, predict that fold; rounds minimise the loss of the judged rows."""
    folds = np.unique(data.fold[rows])
    start = np.zeros(len(rows)) if init is None else init
    boosters: dict[int, Any] = {}
    losses = np.zeros(shape.rounds + 1)
    for k in folds:
        learn = np.flatnonzero((data.fold[rows] != k) & data.early[rows])
        label = data.y[rows[learn]]
        if min(label.sum(), (1 - label).sum()) < 1:
            continue
        boosters[int(k)] = _train(data, rows[learn], shape, shape.rounds, None if init is None else init[learn])
        judge = np.flatnonzero((data.fold[rows] == k) & data.judged[rows])
        if len(judge):
            losses += _loss_by_round(boosters[int(k)], data, rows[judge], start[judge], shape.rounds)
    rounds = max(1, int(np.argmin(losses[1:])) + 1) if boosters else 1
    z = start.copy()
    for k, booster in boosters.items():
        held = np.flatnonzero(data.fold[rows] == k)
        if len(held):
            z[held] = start[held] + _raw(booster, data.X[rows[held]], rounds, data.threads_for(len(rows)))
    return _CrossFit(z, _jackknife(list(boosters.values()), data, rows, rounds), rounds)


def _loss_by_round(booster: Any, data: _Rows, rows: Ints, start: Floats, rounds: int) -> Floats:
    """Weighted loss after each round, in steps of five rounds and straight lines between."""
    steps = sorted({0, *range(5, rounds + 1, 5), min(booster.current_iteration(), rounds)})
    found = []
    z = start.copy()
    for before, after in zip([0, *steps], steps, strict=False):
        if after > before:
            z = z + booster.predict(
                data.X[rows],
                raw_score=True,
                start_iteration=before,
                num_iteration=after - before,
                num_threads=data.threads_for(len(rows)),
            )
        found.append(float((data.weights[rows] * log_loss(data.y[rows], z)).sum()))
    return np.interp(np.arange(rounds + 1), steps, found)


def _raw(booster: Any, X: Floats, rounds: int, threads: int) -> Floats:
    found: Floats = booster.predict(X, raw_score=True, num_iteration=rounds, num_threads=threads)
    return found


def _jackknife(boosters: list[Any], data: _Rows, rows: Ints, rounds: int) -> Floats:
    """Variance of a row's log-odds by leaving out one fold at a time; unsampled rows take the mean of the sampled."""
    judged = np.flatnonzero(data.judged[rows])
    sampled = judged[:: max(1, len(judged) // VARIANCE_ROWS)]
    if len(boosters) < 2 or not len(sampled):
        return np.zeros(len(rows))
    each = np.array([_raw(b, data.X[rows[sampled]], rounds, data.threads_for(len(rows))) for b in boosters])
    spread = (len(boosters) - 1) * each.var(axis=0)
    variance = np.full(len(rows), float(spread.mean()))
    variance[sampled] = spread
    return variance


def _try_segment(
    data: _Rows, rows: Ints, pooled: Floats, line: Line, segment_id: str
) -> tuple[SegmentRecord, _CrossFit | None]:
    """Fit a segment's booster on top of the pooled log-odds and judge it on later rows, both sides calibrated alike."""
    settings = data.settings
    later = data.judged[rows]
    label = data.y[rows]
    smallest = min(label.sum(), (1 - label).sum()) if len(rows) else 0
    dropped = SegmentRecord(segment_id, len(rows), int(later.sum()), kept=False, reason="TOO_FEW_ROWS")
    if len(rows) < settings.segment_min_rows or smallest < MIN_OF_EACH_CLASS:
        return dropped, None
    if later.sum() < MIN_LATER_ROWS or len(np.unique(data.fold[rows])) < 2:
        return replace(dropped, reason="TOO_FEW_LATER_ROWS"), None
    found = _cross_fit(data, rows, settings.segment, pooled[rows])
    extra = found.z - pooled[rows]
    shrunk = len(rows) / (len(rows) + settings.shrinkage_rows)
    before = _calibrated_loss(data, rows[later], pooled[rows][later], line)
    losses = {
        weight: _calibrated_loss(data, rows[later], (pooled[rows] + weight * extra)[later], line)
        for weight in (shrunk / 2, shrunk)
    }
    w = data.weights[rows][later]
    weight = min(losses, key=lambda choice: float((w * losses[choice]).sum()))
    gain = before - losses[weight]
    low = _resampled_quantile(gain, w, settings.seed)
    kept = low > 0.0
    record = replace(
        dropped,
        kept=kept,
        reason="LOWERS_LATER_LOSS" if kept else "NO_GAIN_BEYOND_NOISE",
        weight=weight if kept else 0.0,
        rounds=found.rounds,
        loss_pooled=float(np.average(before, weights=w)),
        loss_segment=float(np.average(losses[weight], weights=w)),
        gain_low=low,
    )
    return record, _CrossFit(extra, found.variance, found.rounds) if kept else None


def _calibrated_loss(data: _Rows, rows: Ints, z: Floats, line: Line) -> Floats:
    """Loss of each row under a line fitted on the other folds, so that a shift of the level wins nothing by itself."""
    loss = np.empty(len(rows))
    for k in np.unique(data.fold[rows]):
        held = data.fold[rows] == k
        fitted = fit_line(
            z[~held],
            data.y[rows[~held]],
            data.weights[rows[~held]],
            toward=line,
            prior_rows=data.settings.shrinkage_rows,
        )
        loss[held] = log_loss(data.y[rows[held]], fitted.a * z[held] + fitted.b)
    return loss


def _resampled_quantile(gain: Floats, weights: Floats, seed: int) -> float:
    """Lower end of the mean gain over seeded paired resamples of rows."""
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        chosen = rng.integers(0, len(gain), len(gain))
        means[i] = np.average(gain[chosen], weights=weights[chosen])
    return float(np.quantile(means, KEEP_QUANTILE))


def _calibrate(data: _Rows, pooled: _CrossFit, z: Floats, variance: Floats, segments: int) -> list[Line]:
    """A line for every segment shrunk toward the pooled one, and last the pooled one.

    INVARIANT: a segment without a model of its own is answered as if no other segment had one. So the pooled line is
    that of the pooled log-odds alone, and not of what other segments' boosters made of theirs.
    """
    judged = data.judged
    middle = fit_line(
        pooled.z[judged],
        data.y[judged],
        data.weights[judged],
        prior_rows=POOLED_PRIOR_ROWS,
        model_variance=float(pooled.variance[judged].mean()),
    )
    lines = []
    for index in range(segments):
        rows = judged & (data.segment == index)
        spread = float(variance[rows].mean()) if rows.any() else float(variance[judged].mean())
        lines.append(
            fit_line(
                z[rows],
                data.y[rows],
                data.weights[rows],
                toward=middle,
                prior_rows=data.settings.shrinkage_rows,
                model_variance=spread,
            )
        )
    return [*lines, middle]


def _mean(values: Floats, data: _Rows) -> float:
    return float(np.average(values, weights=data.weights[data.judged]))
