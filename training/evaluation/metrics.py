"""Metrics of predicted probabilities, and differences between models that come with their noise.

Two rules hold everywhere. Rows that a model cannot tell apart share their outcome, so that row order never changes a
number. A difference is paired: both models are resampled on the same rows, by account where accounts are given,
because leads of one account are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 10
TOP_SHARE = 0.1
# Resamples of fewer accounts than this are nearly all alike: their interval would be a point, and a verdict luck.
MIN_GROUPS = 5
MIN_OUTCOMES = 20
CLIP = 1e-15
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Metrics:
    """How good one model's probabilities are on one set of rows; NaN where a number is not defined."""

    rows: int
    positives: int
    auc: float
    log_loss: float
    brier: float
    calibration_error: float
    lift_at_10: float
    capture_at_10: float


@dataclass(frozen=True, slots=True)
class Difference:
    """`ours - theirs` of one metric on the same rows, with a 95 % paired bootstrap interval."""

    metric: Literal["log_loss", "auc"]
    ours: str
    theirs: str
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Literal["better", "worse", "within noise"]:
        """What the interval says about ours: better and worse only when it leaves zero out."""
        if np.isnan(self.low) or self.low <= 0.0 <= self.high or np.isnan(self.value):
            return "within noise"
        return "better" if (self.value < 0) == (self.metric == "log_loss") else "worse"


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One segment's metrics under each model, and ours against each other."""

    segment_id: str
    metrics: Mapping[str, Metrics]
    differences: tuple[Difference, ...]

    @property
    def tells(self) -> bool:
        """Whether there are outcomes enough to resample; an interval over a handful of them means nothing."""
        found = next(iter(self.metrics.values()))
        return min(found.positives, found.rows - found.positives) >= MIN_OUTCOMES

    def against(self, theirs: str) -> Difference:
        """The log-loss difference to one other model."""
        return next(difference for difference in self.differences if difference.theirs == theirs)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every model on the same rows, over all and by segment."""

    ours: str
    models: Mapping[str, Metrics]
    differences: tuple[Difference, ...]
    segments: tuple[SegmentRow, ...]

    def against(self, theirs: str, metric: str = "log_loss") -> Difference:
        """The difference of one metric to one other model, over all rows."""
        return next(d for d in self.differences if d.theirs == theirs and d.metric == metric)

    @property
    def best_other(self) -> str:
        """The other model of lowest log-loss."""
        return min((name for name in self.models if name != self.ours), key=lambda name: self.models[name].log_loss)

    def worse_segments(self) -> tuple[Difference, ...]:
        """Every segment difference in which ours loses beyond noise, among segments with outcomes enough to tell."""
        return tuple(d for row in self.segments if row.tells for d in row.differences if d.verdict == "worse")

    def to_json(self) -> dict[str, Any]:
        """Plain values, for metrics files and the bundle."""
        return {
            "ours": self.ours,
            "models": {name: asdict(found) for name, found in self.models.items()},
            "differences": [asdict(d) | {"verdict": d.verdict} for d in self.differences],
            "segments": [
                {
                    "segment_id": row.segment_id,
                    "metrics": {name: asdict(found) for name, found in row.metrics.items()},
                    "differences": [asdict(d) | {"verdict": d.verdict} for d in row.differences],
                }
                for row in self.segments
            ],
        }


def measure(y: NDArray[Any], probability: Floats) -> Metrics:
    """All metrics of one model on one set of rows."""
    outcome = np.asarray(y, dtype=np.float64)
    shared = _shared_by_ties(outcome, probability)
    positives = int(outcome.sum())
    top = shared[: max(1, int(np.ceil(TOP_SHARE * len(outcome))))] if len(outcome) else shared
    rate = positives / len(outcome) if len(outcome) else np.nan
    return Metrics(
        rows=len(outcome),
        positives=positives,
        auc=auc(outcome, probability),
        log_loss=float(losses(outcome, probability).mean()) if len(outcome) else np.nan,
        brier=float(np.square(probability - outcome).mean()) if len(outcome) else np.nan,
        calibration_error=calibration_error(outcome, probability),
        lift_at_10=float(top.mean() / rate) if positives else np.nan,
        capture_at_10=float(top.sum() / positives) if positives else np.nan,
    )


def losses(y: NDArray[Any], probability: Floats) -> Floats:
    """Log-loss of each row, clipped so that one certain mistake stays a number."""
    p = np.clip(probability, CLIP, 1.0 - CLIP)
    return np.where(np.asarray(y) > 0, -np.log(p), -np.log1p(-p))


def auc(y: NDArray[Any], probability: Floats) -> float:
    """Chance that a positive row ranks above a negative one, ties counting half; NaN without both."""
    return float(_weighted_auc(_Ranking.of(np.asarray(y, dtype=np.float64), probability), np.ones((1, len(y))))[0])


def calibration_error(y: NDArray[Any], probability: Floats, bins: int = BINS) -> float:
    """Mean gap between predicted and observed over equal-mass bins, weighted by their rows."""
    predicted, observed, rows = reliability(y, probability, bins)
    return float(np.average(np.abs(predicted - observed), weights=rows)) if len(rows) else np.nan


def reliability(y: NDArray[Any], probability: Floats, bins: int = BINS) -> tuple[Floats, Floats, Floats]:
    """Mean predicted, mean observed and rows of each equal-mass bin, from the lowest predictions up."""
    shared = _shared_by_ties(np.asarray(y, dtype=np.float64), probability)[::-1]
    ordered = np.sort(probability)
    parts = [part for part in np.array_split(np.arange(len(ordered)), bins) if len(part)]
    predicted = np.array([ordered[part].mean() for part in parts])
    observed = np.array([shared[part].mean() for part in parts])
    return predicted, observed, np.array([len(part) for part in parts], dtype=np.float64)


def gain(y: NDArray[Any], probability: Floats, points: int = 101) -> tuple[Floats, Floats]:
    """Share of leads contacted in order of readiness, and the share of all positives reached by then."""
    shared = _shared_by_ties(np.asarray(y, dtype=np.float64), probability)
    reached = np.concatenate([[0.0], np.cumsum(shared)]) / max(shared.sum(), 1.0)
    contacted = np.linspace(0.0, 1.0, points)
    return contacted, np.interp(contacted, np.linspace(0.0, 1.0, len(reached)), reached)


def difference(
    y: NDArray[Any],
    ours: tuple[str, Floats],
    theirs: tuple[str, Floats],
    *,
    metric: Literal["log_loss", "auc"] = "log_loss",
    cluster: NDArray[Any] | None = None,
    replicates: int = 1000,
    seed: int = 7,
) -> Difference:
    """The paired difference of one metric with its 95 % bootstrap interval; NaN ends where too few accounts vary."""
    outcome = np.asarray(y, dtype=np.float64)
    group = np.arange(len(outcome)) if cluster is None else np.unique(cluster, return_inverse=True)[1].ravel()
    groups = int(group.max()) + 1 if len(group) else 0
    if metric == "log_loss":
        gap = losses(outcome, ours[1]) - losses(outcome, theirs[1])
        value = float(gap.mean()) if len(gap) else np.nan
        sums = np.bincount(group, weights=gap, minlength=groups)
        sizes = np.bincount(group, minlength=groups).astype(np.float64)
        draws = [(w @ sums) / np.maximum(w @ sizes, 1.0) for w in _resamples(groups, replicates, seed, groups)]
    else:
        first, second = _Ranking.of(outcome, ours[1]), _Ranking.of(outcome, theirs[1])
        value = auc(outcome, ours[1]) - auc(outcome, theirs[1])
        draws = [
            _weighted_auc(first, w[:, group]) - _weighted_auc(second, w[:, group])
            for w in _resamples(groups, replicates, seed, len(group))
        ]
    found = np.concatenate(draws) if draws else np.empty(0)
    found = found[~np.isnan(found)]
    enough = groups >= MIN_GROUPS and len(found) > 0
    low, high = np.quantile(found, [0.025, 0.975]) if enough else (np.nan, np.nan)
    return Difference(metric, ours[0], theirs[0], value, float(low), float(high))


def compare(
    y: NDArray[Any],
    predictions: Mapping[str, Floats],
    *,
    ours: str,
    segment: NDArray[np.object_] | None = None,
    cluster: NDArray[Any] | None = None,
    replicates: int = 1000,
    seed: int = 7,
) -> Comparison:
    """Measure every model on the same rows, and ours against each other, over all rows and by segment."""
    others = [name for name in predictions if name != ours]
    mine = (ours, predictions[ours])
    overall = tuple(
        difference(y, mine, (o, predictions[o]), metric=metric, cluster=cluster, replicates=replicates, seed=seed)
        for metric in ("log_loss", "auc")
        for o in others
    )
    rows = []
    for segment_id in sorted(set(segment.tolist())) if segment is not None else []:
        here = np.flatnonzero(segment == segment_id)
        inside = {name: p[here] for name, p in predictions.items()}
        within = None if cluster is None else cluster[here]
        rows.append(
            SegmentRow(
                segment_id=str(segment_id),
                metrics={name: measure(y[here], p) for name, p in inside.items()},
                differences=tuple(
                    difference(
                        y[here], (ours, inside[ours]), (o, inside[o]), cluster=within, replicates=replicates, seed=seed
                    )
                    for o in others
                ),
            )
        )
    return Comparison(ours, {name: measure(y, p) for name, p in predictions.items()}, overall, tuple(rows))


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Rows in order of prediction, with the places where a group of equal predictions starts."""

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    positive: Floats

    @classmethod
    def of(cls, y: Floats, probability: Floats) -> _Ranking:
        order = np.argsort(probability, kind="stable")
        ordered = probability[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else np.empty(0, np.intp)
        return cls(order, starts, y[order])


def _weighted_auc(ranking: _Ranking, weights: Floats) -> Floats:
    """AUC under each row of weights; NaN where one class has no weight."""
    if not len(ranking.order):
        return np.full(len(weights), np.nan)
    ordered = weights[:, ranking.order]
    positive = np.add.reduceat(ordered * ranking.positive, ranking.starts, axis=1)
    negative = np.add.reduceat(ordered * (1.0 - ranking.positive), ranking.starts, axis=1)
    below = np.cumsum(negative, axis=1) - 0.5 * negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.where(pairs > 0, (positive * below).sum(axis=1) / np.where(pairs > 0, pairs, 1.0), np.nan)


def _resamples(groups: int, replicates: int, seed: int, width: int) -> Iterator[Floats]:
    """How often each group is drawn in each replicate, in blocks whose widened form stays small."""
    rng = np.random.default_rng(seed)
    block = max(1, _CHUNK_CELLS // max(width, groups, 1))
    for start in range(0, replicates if groups else 0, block):
        size = min(block, replicates - start)
        drawn = rng.integers(0, groups, size=(size, groups)) + np.arange(size)[:, None] * groups
        yield np.bincount(drawn.ravel(), minlength=size * groups).reshape(size, groups).astype(np.float64)


def _shared_by_ties(y: Floats, probability: Floats) -> Floats:
    """Outcomes from the highest prediction down, each the mean of the rows that share its prediction."""
    values, inverse = np.unique(-probability, return_inverse=True)
    inverse = inverse.ravel()
    mean = np.bincount(inverse, weights=y, minlength=len(values)) / np.maximum(
        np.bincount(inverse, minlength=len(values)), 1
    )
    # INVARIANT: the order of rows never changes a metric.
    return np.repeat(mean, np.bincount(inverse, minlength=len(values)))
