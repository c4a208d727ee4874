"""Leads that look alike: how wrong the model is about them on average, and the interval of what a group will do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.calibration import Z_80, probability
from models.scores import Readiness, Scores

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PARTS_OF_PROBABILITY = 5
ALIKE_ROWS, ALIKE_COLUMNS = 40_000, 40


def group_interval(scores: Scores, readiness: Readiness, rows: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Mean probability of a group of leads and the 80 % interval of the share of them that will have the outcome.

    With p, n the probabilities and number of the leads, k = 1.2816, e^2 = line variance + `alike` of each lead and z
    its log-odds: the ends are the mean of p less and plus sqrt(d^2 + k^2 sum(p (1 - p)) / n^2), where d is the distance
    of the mean of p to the mean of sigmoid(z -+ k e). The error of the model is shared by the group, the drawing of
    outcomes is each lead's own. Raises ValueError for nobody.
    """
    if not rows.any():
        raise ValueError("expected a group of at least one lead")
    z, p, n = scores.log_odds[rows], scores.probability[rows], int(rows.sum())
    lines = readiness.line_table[scores.segment[rows]]
    raw = (z - scores.b[rows]) / scores.a[rows]
    variance = lines[:, 2] * raw**2 + 2 * lines[:, 3] * raw + lines[:, 4] + readiness.hidden.alike
    error = Z_80 * np.sqrt(np.maximum(variance, 0.0))
    mean, chance = float(p.mean()), Z_80**2 * float((p * (1 - p)).sum()) / n**2
    down = mean - float(probability(z - error).mean())
    up = float(probability(z + error).mean()) - mean
    return mean, max(mean - np.sqrt(down**2 + chance), 0.0), min(mean + np.sqrt(up**2 + chance), 1.0)


def estimate_alike(X: Floats, categorical: Sequence[int], z: Floats, y: Floats) -> float:
    """Variance of the mean error, on the log-odds, over leads that look alike: of a like value and like probability.

    The method of moments over pairs of different leads in one cell, sum of r1 r2 over sum of v1 v2, for cells of every
    column by fifth of the probability; each row must be another lead. Out-of-sample log-odds (n,), rows X (n, columns).
    """
    some = np.linspace(0, len(z) - 1, min(len(z), ALIKE_ROWS)).astype(np.int64)
    p = probability(z[some])
    r, v = y[some] - p, p * (1.0 - p)
    agree = weight = 0.0
    columns = np.unique(np.linspace(0, X.shape[1] - 1, min(X.shape[1], ALIKE_COLUMNS)).astype(np.int64))
    for column in columns.tolist():
        cell = cells(X[some, column], column in categorical, p)
        if cell is not None:
            agree += float((np.bincount(cell, r) ** 2).sum() - (r * r).sum())
            weight += float((np.bincount(cell, v) ** 2).sum() - (v * v).sum())
    return max(agree / weight, 0.0) if weight > 0.0 else 0.0


def cells(values: Floats, categorical: bool, p: Floats) -> Ints | None:
    """Cell of each lead by its value (thirds of a number, absent for itself) and fifth of the probability.

    None where all leads have one value.
    """
    there = np.isfinite(values)
    level = np.where(there, values, -1.0)
    if not categorical and there.any():
        level = np.where(there, np.searchsorted(np.quantile(values[there], (1 / 3, 2 / 3)), values), -1.0)
    kind = np.unique(level, return_inverse=True)[1].ravel().astype(np.int64)
    if kind.max(initial=0) == 0:
        return None
    edges = np.quantile(p, np.arange(1, PARTS_OF_PROBABILITY) / PARTS_OF_PROBABILITY)
    found: Ints = kind * PARTS_OF_PROBABILITY + np.searchsorted(edges, p)
    return found
