"""Boosters on one shared binned matrix, and their cross-fit: out-of-sample log-odds and the best number of rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigInvalid, Problem
from configs.training_settings import Boosting, TrainingSettings
from models.calibration import log_loss
from models.intervals import Earlier
from models.scores import SEGMENT_FEATURE, Spec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Watch = Callable[[], None]

MIN_OF_EACH_CLASS = 20
SMALL_CELLS = 1_000_000
VARIANCE_ROWS = 4000
# Many rows need no fifth of them left out at a time: fewer and larger parts save most of a fit's time. That a model of
# two thirds, or of half, predicts as one of four fifths is an assumption; only the time was measured.
MANY_ROWS, VERY_MANY_ROWS = 150_000, 300_000
FOLDS_OF_MANY, FOLDS_OF_VERY_MANY = 3, 2
STEP_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Rows:
    """Training rows with the segment as last column; `judged` rows are the later ones that settle every choice.

    The first `learned` rows are learned from or judge; the rest are earlier ones of the same leads, only predicted.
    `watch` is called after every round of every booster and may raise to stop the fit.
    """

    X: Floats
    y: Floats
    segment: Ints
    fold: Ints
    early: Bools
    judged: Bools
    weights: Floats
    names: tuple[str, ...]
    monotone: tuple[int, ...]
    binned: Any
    settings: TrainingSettings
    learned: int
    watch: Watch | None = None

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
        watch: Watch | None = None,
        earlier: Earlier | None = None,
    ) -> Rows:
        """Check and bin (n, columns of the spec) rows once; every booster then learns from a subset of this matrix."""
        refuse_wrong_signs(spec, X.shape[1])
        label = np.asarray(y, dtype=np.float64)
        primary = np.asarray(segment, dtype=np.int64)
        if not ((label == 0) | (label == 1)).all() or label.min() == label.max():
            raise ValueError("expected labels 0 and 1, both present")
        if primary.min() < -1 or primary.max() >= len(segment_ids):
            raise ValueError("a segment index points outside the segment map")
        wide = np.empty((len(label), X.shape[1] + 1))
        wide[:, :-1] = X
        wide[:, -1] = np.where(primary < 0, np.nan, primary.astype(np.float64))
        early, judged = _inner_split(np.asarray(order), label, settings.holdout_share)
        names = (*spec.names, SEGMENT_FEATURE)
        binned = lgb.Dataset(
            wide,
            label,
            feature_name=list(names),
            categorical_feature=[*spec.categorical, len(names) - 1],
            params={**_fixed(settings), "feature_pre_filter": False, "min_data_in_bin": 3},
        ).construct()
        rows = cls(
            X=wide,
            y=label,
            segment=primary,
            fold=np.asarray(fold, dtype=np.int64),
            early=early,
            judged=judged,
            weights=np.ones(len(label)) if weights is None else np.asarray(weights, dtype=np.float64),
            names=names,
            monotone=(*(int(sign) for sign in spec.monotone), 0),
            binned=binned,
            settings=settings,
            learned=len(label),
            watch=watch,
        )
        return rows if earlier is None else rows._asked_too(earlier)

    def _asked_too(self, earlier: Earlier) -> Rows:
        """The same rows with earlier ones after them, which are neither early nor judged and in no bin."""
        segment = np.where(earlier.segment < 0, np.nan, earlier.segment.astype(np.float64))
        nothing = np.zeros(len(earlier.y), dtype=np.bool_)
        return replace(
            self,
            X=np.concatenate([self.X, np.column_stack([earlier.X, segment])]),
            y=np.concatenate([self.y, earlier.y]),
            segment=np.concatenate([self.segment, earlier.segment]),
            fold=np.concatenate([self.fold, earlier.fold]),
            early=np.concatenate([self.early, nothing]),
            judged=np.concatenate([self.judged, nothing]),
            weights=np.concatenate([self.weights, np.ones(len(earlier.y))]),
        )


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Out-of-sample log-odds of rows, the best number of rounds, and how much refitting would move a row.

    `variance` is a row's own where refitting was `looked` at, and their mean elsewhere. `boosters` are kept by the part
    of the accounts that they did not see; accounts were left out in `parts` parts, or in their folds where that is 0.
    """

    z: Floats
    variance: Floats
    rounds: int
    looked: Bools
    boosters: Mapping[int, Any]
    parts: int


def refuse_wrong_signs(spec: Spec, columns: int) -> None:
    """Raise ConfigInvalid naming every wrong monotone sign, before LightGBM sees them.

    LightGBM takes a sign of 2 without a word, and a monotone categorical feature aborts the process.
    """
    count = len(spec.names)
    problems = [
        Problem("features", what, f"expected one for each of the {columns} columns, found {found}")
        for what, found in (("names", count), ("monotone signs", len(spec.monotone)))
        if found != columns
    ]
    problems += [
        Problem("features", "categorical", f"there is no column {i}") for i in spec.categorical if not 0 <= i < count
    ]
    for name, sign in zip(spec.names, spec.monotone, strict=False):
        if sign not in (-1, 0, 1):
            problems.append(Problem("features", name, "expected the monotone sign -1, 0 or 1"))
    for i in spec.categorical:
        if 0 <= i < min(count, len(spec.monotone)) and spec.monotone[i] != 0:
            problems.append(Problem("features", spec.names[i], "a categorical feature cannot be monotone"))
    if problems:
        raise ConfigInvalid(problems)


def train(data: Rows, rows: Ints, shape: Boosting, rounds: int, init: Floats | None) -> Any:
    """A booster on ascending rows; `init` is the log-odds it starts from."""
    subset = data.binned.subset(rows.tolist()).construct()
    subset.set_label(data.y[rows])
    subset.set_weight(data.weights[rows])
    if init is not None:
        subset.set_init_score(init)
    parameters = _parameters(data, shape, data.threads_for(len(rows)))
    watch = data.watch
    callbacks: list[Any] = [] if watch is None else [lambda _: watch()]
    return lgb.train(parameters, subset, rounds, callbacks=callbacks)


def cross_fit(data: Rows, rows: Ints, shape: Boosting, init: Floats | None) -> CrossFit:
    """Fit without each fold on early rows, predict that fold; rounds minimise the loss of the judged rows."""
    parts = _parts_of(int((rows < data.learned).sum()))
    fold = _folds_of(data.fold[rows], parts)
    start = np.zeros(len(rows)) if init is None else init
    boosters: dict[int, Any] = {}
    losses = np.zeros(shape.rounds + 1)
    for k in np.unique(fold):
        learn = np.flatnonzero((fold != k) & data.early[rows])
        label = data.y[rows[learn]]
        if min(label.sum(), (1 - label).sum()) < 1:
            continue
        boosters[int(k)] = train(data, rows[learn], shape, shape.rounds, None if init is None else init[learn])
        judge = np.flatnonzero((fold == k) & data.judged[rows])
        if len(judge):
            losses += _loss_by_round(boosters[int(k)], data, rows[judge], start[judge], shape.rounds)
    rounds = max(1, int(np.argmin(losses[1:])) + 1) if boosters else 1
    return _asked(boosters, parts, rounds, data, rows, start)


def ask(fitted: CrossFit, data: Rows, rows: Ints) -> CrossFit:
    """The boosters of a cross-fit asked about other rows, each by the one that did not see its account.

    Folds must be those of the fit: an account keeps its own. Log-odds start from 0.
    """
    return _asked(fitted.boosters, fitted.parts, fitted.rounds, data, rows, np.zeros(len(rows)))


def _asked(boosters: Mapping[int, Any], parts: int, rounds: int, data: Rows, rows: Ints, start: Floats) -> CrossFit:
    fold = _folds_of(data.fold[rows], parts)
    z = start.copy()
    for k, booster in boosters.items():
        held = np.flatnonzero(fold == k)
        if len(held):
            z[held] = start[held] + _raw(booster, data.X[rows[held]], rounds, data.threads_for(len(rows)))
    variance, looked = _jackknife(list(boosters.values()), data, rows, rounds)
    return CrossFit(z, variance, rounds, looked, boosters, parts)


def _parts_of(learned: int) -> int:
    """How many parts accounts are left out in, 0 for their folds: many rows in fewer and larger parts."""
    if learned < MANY_ROWS:
        return 0
    return FOLDS_OF_MANY if learned < VERY_MANY_ROWS else FOLDS_OF_VERY_MANY


def _folds_of(fold: Ints, parts: int) -> Ints:
    """Part of each row; every account is in one of them."""
    return fold % parts if parts else fold


def _inner_split(order: NDArray[Any], y: Floats, share: float) -> tuple[Bools, Bools]:
    """Rows to learn from and rows to judge by; without enough of either class on a side, folds alone separate them."""
    later = order >= np.quantile(order, 1.0 - share, method="higher")
    for side in (y[~later], y[later]):
        if min(side.sum(), (1 - side).sum()) < MIN_OF_EACH_CLASS:
            everything = np.ones(len(y), dtype=np.bool_)
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


def _parameters(data: Rows, shape: Boosting, threads: int) -> dict[str, Any]:
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


def _loss_by_round(booster: Any, data: Rows, rows: Ints, start: Floats, rounds: int) -> Floats:
    """Weighted loss after each round, in steps of a few rounds and straight lines between."""
    steps = sorted({0, *range(STEP_ROUNDS, rounds + 1, STEP_ROUNDS), min(booster.current_iteration(), rounds)})
    X, y, weights = data.X[rows], data.y[rows], data.weights[rows]
    found = []
    z = start.copy()
    for before, after in zip([0, *steps], steps, strict=False):
        if after > before:
            z = z + booster.predict(
                X,
                raw_score=True,
                start_iteration=before,
                num_iteration=after - before,
                num_threads=data.threads_for(len(rows)),
            )
        found.append(float((weights * log_loss(y, z)).sum()))
    return np.interp(np.arange(rounds + 1), steps, found)


def _raw(booster: Any, X: Floats, rounds: int, threads: int) -> Floats:
    found: Floats = booster.predict(X, raw_score=True, num_iteration=rounds, num_threads=threads)
    return found


def _jackknife(boosters: list[Any], data: Rows, rows: Ints, rounds: int) -> tuple[Floats, Bools]:
    """Variance of a row's log-odds by leaving out one fold at a time, and which rows were looked at.

    The others take the mean of those.
    """
    looked = np.zeros(len(rows), dtype=np.bool_)
    judged = np.flatnonzero(data.judged[rows])
    sampled = judged[:: max(1, len(judged) // VARIANCE_ROWS)]
    if len(boosters) < 2 or not len(sampled):
        return np.zeros(len(rows)), looked
    X = data.X[rows[sampled]]
    each = np.array([_raw(b, X, rounds, data.threads_for(len(rows))) for b in boosters])
    spread = (len(boosters) - 1) * each.var(axis=0)
    variance = np.full(len(rows), float(spread.mean()))
    variance[sampled] = spread
    looked[sampled] = True
    return variance, looked
