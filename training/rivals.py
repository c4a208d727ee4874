"""What readiness is judged beside: every model a team would otherwise choose, on the same later rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from models.intervals import Repeats
from models.readiness import Fitted, Readiness, fit_beside
from training.dataset.dataset import Dataset
from training.dataset.earlier import earlier_among
from training.dataset.some_accounts import rows_of_some
from training.evaluation.baselines import fit_baselines, fit_points

Progress = Callable[[str, float], None]
Floats = NDArray[np.float64]

# From here on a rival's answer hardly moves with more rows, and training would wait for its rivals.
MOST_ROWS = 100_000
SCORECARD, POOLED, POOLED_SEGMENT = "points_scorecard", "pooled", "pooled_with_segment"


def fit_with_shared(dataset: Dataset, settings: Settings, rows: NDArray[np.bool_]) -> Fitted:
    """Readiness from some of the rows, and the same without models of the segments' own."""
    return fit_beside(**learned_from(dataset, settings, rows))


def learned_from(dataset: Dataset, settings: Settings, rows: NDArray[np.bool_]) -> dict[str, Any]:
    """What readiness is fitted on, by argument; rows of whom nothing is known (a weight of zero) are left out."""
    if dataset.weights is not None:
        rows = rows & (dataset.weights > 0)
    return {
        "X": dataset.X[rows],
        "y": dataset.y[rows],
        "segment": dataset.segment[rows],
        "fold": dataset.fold[rows],
        "order": dataset.order[rows],
        "spec": dataset.spec,
        "settings": settings.training,
        "segment_ids": dataset.segment_ids,
        "weights": None if dataset.weights is None else dataset.weights[rows],
        "repeats": repeats_of(dataset, settings, rows),
    }


def repeats_of(dataset: Dataset, settings: Settings, rows: NDArray[np.bool_]) -> Repeats:
    """Which of the rows are one lead's, and how many snapshots lie between two windows that are a horizon apart.

    INVARIANT: no two windows of one lead overlap, or one outcome in both would pass for what is unseen of the lead.
    Where horizons differ, it is those of most rows that are a whole horizon apart.
    """
    served, every = settings.targets.served.horizon_days, settings.training.snapshot_every_days
    days = np.array([served]) if dataset.days is None or not rows.any() else dataset.days[rows]
    most, longest = float(np.median(days)), int(days.max())
    apart = float(max(np.ceil(2 * most / every), np.ceil(longest / every)))
    return Repeats(dataset.lead[rows], apart, earlier_among(dataset, rows))


def rival_rows(dataset: Dataset, settings: Settings) -> NDArray[np.int64]:
    """The rows that rivals learn from."""
    return rows_of_some(dataset.root, np.flatnonzero(_known(dataset)), MOST_ROWS, settings.training.seed)


def _known(dataset: Dataset) -> NDArray[np.bool_]:
    """Training rows whose outcome somebody knows."""
    return dataset.train if dataset.weights is None else dataset.train & (dataset.weights > 0)


def rival_words(dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """What a reader of the comparison is told when the rivals learned from fewer rows than readiness; else nothing."""
    some, known = len(rival_rows(dataset, settings)), int(_known(dataset).sum())
    if some == known:
        return ()
    return (
        f"The rivals learned from {some:,} of the {known:,} rows that train, drawn by account; readiness and pooled "
        "with segment from all of them.",
    )


def rivals(dataset: Dataset, settings: Settings, shared: Readiness, tell: Progress) -> dict[str, Floats]:
    """Predictions on the rows that judge.

    Beyond MOST_ROWS rows the rivals learn from that many, drawn by account, but for `pooled_with_segment`.
    `pooled` is our own line told nothing of segments, `pooled_with_segment` the same with the segment as one more
    feature and no model of a segment's own: what the per-segment models have to be worth beyond. The latter is
    `shared`, which ours was fitted on top of.
    """
    judge = dataset.judge
    rows = rival_rows(dataset, settings)
    X, y, segment = dataset.X[rows], dataset.y[rows], dataset.segment[rows]
    found = {SCORECARD: fit_points(dataset.points[rows], y)(dataset.points[judge])}
    for name, predict in fit_baselines(X, y, dataset.spec, segment).items():
        found[name] = predict(dataset.X[judge], dataset.segment[judge])
    if len(np.unique(segment)) > 1:
        tell("fitting the pooled model alone", 0.5)
        nobody = np.zeros(len(y), dtype=np.int64)
        # No segment has this many rows, so none gets a model of its own.
        alone = settings.training.model_copy(update={"segment_min_rows": len(y) + 1})
        pooled = fit_beside(
            X, y, nobody, dataset.fold[rows], dataset.order[rows], dataset.spec, alone, segment_ids=("everybody",)
        ).shared
        found[POOLED] = pooled.predict(dataset.X[judge], np.zeros(int(judge.sum()), dtype=np.int64)).probability
        found[POOLED_SEGMENT] = shared.predict(dataset.X[judge], dataset.segment[judge]).probability
    return found
