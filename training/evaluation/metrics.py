"""Metrics of predicted probabilities, and differences between models that come with their noise.

Two rules hold everywhere. Rows that a model cannot tell apart share their outcome, so that row order never changes a
number. A difference is paired: both models are resampled on the same rows, by account where accounts are given,
because leads of one account are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.evaluation.resampling import (
    MIN_GROUPS,
    REPLICATES,
    SEED,
    Estimate,
    Ranking,
    bounded,
    draws_of,
    group_of,
    group_sums,
)

Floats = NDArray[np.float64]
MetricName = Literal["log_loss", "auc", "brier", "average_precision", "lift_at_10"]

METRICS: tuple[MetricName, ...] = ("log_loss", "auc", "brier", "average_precision", "lift_at_10")
LOWER_IS_BETTER = ("log_loss", "brier")
BINS = 10
TOP_SHARE = 0.1
MIN_OUTCOMES = 20
CLIP = 1e-15


@dataclass(frozen=True, slots=True)
class Metrics:
    """How good one model's probabilities are on one set of rows; NaN where a number is not defined.

    `average_precision` is the area under the precision-recall curve without interpolation (PR-AUC); a model that says
    nothing reaches the base rate.
    """

    rows: int
    positives: int
    auc: float
    log_loss: float
    brier: float
    calibration_error: float
    lift_at_10: float
    capture_at_10: float
    average_precision: float = np.nan


@dataclass(frozen=True, slots=True)
class Difference:
    """`ours - theirs` of one metric on the same rows, with a 95 % paired bootstrap interval."""

    metric: MetricName
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
        return "better" if (self.value < 0) == (self.metric in LOWER_IS_BETTER) else "worse"


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
    top = shared[: _top_rows(len(outcome))]
    rate = positives / len(outcome) if len(outcome) else np.nan
    ranked, precision = _ranked(outcome, probability)
    return Metrics(
        rows=len(outcome),
        positives=positives,
        auc=ranked,
        log_loss=float(losses(outcome, probability).mean()) if len(outcome) else np.nan,
        brier=float(np.square(probability - outcome).mean()) if len(outcome) else np.nan,
        calibration_error=calibration_error(outcome, probability),
        lift_at_10=float(top.mean() / rate) if positives else np.nan,
        capture_at_10=float(top.sum() / positives) if positives else np.nan,
        average_precision=precision,
    )


def losses(y: NDArray[Any], probability: Floats) -> Floats:
    """Log-loss of each row, clipped so that one certain mistake stays a number."""
    p = np.clip(probability, CLIP, 1.0 - CLIP)
    return np.where(np.asarray(y) > 0, -np.log(p), -np.log1p(-p))


def auc(y: NDArray[Any], probability: Floats) -> float:
    """Chance that a positive row ranks above a negative one, ties counting half; NaN without both."""
    return _ranked(np.asarray(y, dtype=np.float64), probability)[0]


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
    metric: MetricName = "log_loss",
    cluster: NDArray[Any] | None = None,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> Difference:
    """The paired difference of one metric with its 95 % bootstrap interval; NaN ends where too few accounts vary."""
    # A model may be compared with itself under one name.
    pair = {"ours": ours[1], "theirs": theirs[1]}
    found = resampled(y, pair, metrics=(metric,), cluster=cluster, replicates=replicates, seed=seed)
    return _difference(found, metric, ("ours", ours[0]), ("theirs", theirs[0]))


def differences(
    y: NDArray[Any],
    predictions: Mapping[str, Floats],
    *,
    ours: str,
    metrics: Sequence[MetricName] = METRICS,
    cluster: NDArray[Any] | None = None,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> tuple[Difference, ...]:
    """Ours against each other model in each metric, all from the same resamples."""
    found = resampled(y, predictions, metrics=metrics, cluster=cluster, replicates=replicates, seed=seed)
    others = [name for name in predictions if name != ours]
    return tuple(_difference(found, metric, (ours, ours), (other, other)) for metric in metrics for other in others)


@dataclass(frozen=True, slots=True)
class Resampled:
    """A metric of a model on the rows as they are (`value`) and on each resample of them (`draws`)."""

    groups: int
    value: Mapping[tuple[str, str], float]
    draws: Mapping[tuple[str, str], Floats]

    def estimate(self, metric: MetricName, model: str) -> Estimate:
        """The metric with its 95 % bootstrap interval; without one where too few accounts vary."""
        enough = self.groups >= MIN_GROUPS
        return Estimate.of(self.value[metric, model], self.draws[metric, model] if enough else None)


def resampled(
    y: NDArray[Any],
    predictions: Mapping[str, Floats],
    *,
    metrics: Sequence[MetricName] = METRICS,
    cluster: NDArray[Any] | None = None,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> Resampled:
    """Every metric of every model under the same resamples of accounts; at most `replicates`, fewer on many rows."""
    outcome = np.asarray(y, dtype=np.float64)
    group, groups = group_of(len(outcome), cluster)
    by_mean = [m for m in metrics if m in LOWER_IS_BETTER]
    columns = [_of_rows(metric, outcome, p) for metric in by_mean for p in predictions.values()]
    sums = group_sums(np.stack([*columns, np.ones(len(outcome))], axis=1), group, groups)
    by_rank = [m for m in metrics if m not in LOWER_IS_BETTER]
    rankings = {name: Ranking.of(outcome, p) for name, p in predictions.items()} if by_rank else {}
    parts: dict[tuple[str, str], list[Floats]] = {(m, name): [] for m in metrics for name in predictions}
    blocks = draws_of(groups, bounded(len(outcome), replicates), seed)
    # The first block is the rows as they are: value and draws come from the same lines.
    for weights in chain([np.ones((1, groups))], blocks):
        totals = weights @ sums
        size = np.maximum(totals[:, -1], 1.0)
        for place, key in enumerate((m, name) for m in by_mean for name in predictions):
            parts[key].append(totals[:, place] / size if groups else np.full(len(weights), np.nan))
        for name, ranking in rankings.items():
            found = ranking.under(group, weights, (TOP_SHARE,))
            lift = found[:, 2] * size / np.maximum(np.ceil(TOP_SHARE * size - 1e-9), 1.0)
            for metric, column in (("auc", found[:, 0]), ("average_precision", found[:, 1]), ("lift_at_10", lift)):
                if metric in by_rank:
                    parts[metric, name].append(column)
    joined = {key: np.concatenate(found) for key, found in parts.items()}
    return Resampled(groups, {k: float(v[0]) for k, v in joined.items()}, {k: v[1:] for k, v in joined.items()})


def compare(
    y: NDArray[Any],
    predictions: Mapping[str, Floats],
    *,
    ours: str,
    segment: NDArray[np.object_] | None = None,
    cluster: NDArray[Any] | None = None,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> Comparison:
    """Measure every model on the same rows, and ours against each other, over all rows and by segment."""
    overall = differences(y, predictions, ours=ours, cluster=cluster, replicates=replicates, seed=seed)
    rows = []
    for segment_id in sorted(set(segment.tolist())) if segment is not None else []:
        here = np.flatnonzero(segment == segment_id)
        inside = {name: p[here] for name, p in predictions.items()}
        rows.append(
            SegmentRow(
                segment_id=str(segment_id),
                metrics={name: measure(y[here], p) for name, p in inside.items()},
                differences=differences(
                    y[here],
                    inside,
                    ours=ours,
                    metrics=("log_loss",),
                    cluster=None if cluster is None else cluster[here],
                    replicates=replicates,
                    seed=seed,
                ),
            )
        )
    return Comparison(ours, {name: measure(y, p) for name, p in predictions.items()}, overall, tuple(rows))


def _difference(found: Resampled, metric: MetricName, ours: tuple[str, str], theirs: tuple[str, str]) -> Difference:
    """Ours minus theirs; each is (name among the resampled, name to show)."""
    mine, other = (metric, ours[0]), (metric, theirs[0])
    draws = found.draws[mine] - found.draws[other]
    draws = draws[~np.isnan(draws)]
    enough = found.groups >= MIN_GROUPS and len(draws) > 0
    low, high = np.quantile(draws, [0.025, 0.975]) if enough else (np.nan, np.nan)
    return Difference(metric, ours[1], theirs[1], found.value[mine] - found.value[other], float(low), float(high))


def _of_rows(metric: MetricName, y: Floats, probability: Floats) -> Floats:
    return losses(y, probability) if metric == "log_loss" else np.square(probability - y)


def _ranked(y: Floats, probability: Floats) -> tuple[float, float]:
    """AUC and average precision of the rows as they are."""
    if not len(y):
        return np.nan, np.nan
    found = Ranking.of(y, probability).under(np.zeros(len(y), dtype=np.int64), np.ones((1, 1)))[0]
    return float(found[0]), float(found[1])


def _top_rows(rows: int, share: float = TOP_SHARE) -> int:
    """How many rows the top share is, rounded up; 0.1 of 30 is 3, whatever the last bit of the product says."""
    return max(1, int(np.ceil(share * rows - 1e-9))) if rows else 0


def _shared_by_ties(y: Floats, probability: Floats) -> Floats:
    """Outcomes from the highest prediction down, each the mean of the rows that share its prediction."""
    values, inverse = np.unique(-probability, return_inverse=True)
    inverse = inverse.ravel()
    mean = np.bincount(inverse, weights=y, minlength=len(values)) / np.maximum(
        np.bincount(inverse, minlength=len(values)), 1
    )
    # INVARIANT: the order of rows never changes a metric.
    return np.repeat(mean, np.bincount(inverse, minlength=len(values)))
