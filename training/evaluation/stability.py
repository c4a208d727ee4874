"""Whether readiness holds from period to period: the same model on the same accounts, month after month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.gaps import calibration_gap
from training.evaluation.metrics import losses
from training.evaluation.resampling import (
    MIN_GROUPS,
    REPLICATES,
    SEED,
    Estimate,
    Ranking,
    bounded,
    draws_of,
    group_of,
)
from training.evaluation.slices import tells

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PeriodRow:
    """One period: how often the outcome came, how often it was foretold, and how well leads were told apart."""

    name: str
    rows: int
    positives: int
    tells: bool
    observed: float
    predicted: float
    gap: Estimate
    auc: Estimate
    log_loss: float


@dataclass(frozen=True, slots=True)
class Stability:
    """Periods from the earliest on, and the last period minus all earlier ones together."""

    periods: tuple[PeriodRow, ...]
    auc_change: Estimate
    gap_change: Estimate
    base_rate_change: Estimate
    says: str


def stability(
    y: NDArray[Any],
    probability: Floats,
    period: NDArray[Any],
    names: Sequence[str],
    cluster: NDArray[Any],
    *,
    says: str,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> Stability:
    """Each period and the last one against the earlier; `period` is each row's index into `names`, in order of time."""
    outcome = np.asarray(y, dtype=np.float64)
    rows = []
    for index, name in enumerate(names):
        here = np.flatnonzero(period == index)
        if len(here):
            rows.append(_period(name, outcome[here], probability[here], cluster[here], replicates, seed))
    last = period == (period.max() if len(period) else 0)
    changes = _changes(outcome, probability, last, cluster, replicates, seed)
    return Stability(tuple(rows), *changes, says)


def _period(name: str, y: Floats, p: Floats, cluster: NDArray[Any], replicates: int, seed: int) -> PeriodRow:
    told = tells(int(y.sum()), len(y))
    group, groups = group_of(len(y), cluster)
    ranked = Estimate(None)
    if told:
        ranking = Ranking.of(y, p)
        value = ranking.under(group, np.ones((1, groups)))[0, 0]
        found = [ranking.under(group, w)[:, 0] for w in draws_of(groups, bounded(len(y), replicates), seed)]
        ranked = Estimate.of(float(value), np.concatenate(found) if groups >= MIN_GROUPS else None)
    return PeriodRow(
        name=name,
        rows=len(y),
        positives=int(y.sum()),
        tells=told,
        observed=float(y.mean()),
        predicted=float(p.mean()),
        gap=calibration_gap(y, p, cluster)[0] if told else Estimate(None),
        auc=ranked,
        log_loss=float(losses(y, p).mean()),
    )


def _changes(
    y: Floats, p: Floats, last: NDArray[np.bool_], cluster: NDArray[Any], replicates: int, seed: int
) -> tuple[Estimate, Estimate, Estimate]:
    """Last minus earlier of AUC, calibration gap and observed rate, accounts drawn for both sides at once."""
    group, groups = group_of(len(y), cluster)
    sides = [np.flatnonzero(last), np.flatnonzero(~last)]
    if groups < MIN_GROUPS or not all(tells(int(y[side].sum()), len(side)) for side in sides):
        return Estimate(None), Estimate(None), Estimate(None)
    rankings = [Ranking.of(y[side], p[side]) for side in sides]
    sums = [
        [np.bincount(group[side], weights=v[side], minlength=groups) for v in (np.ones(len(y)), p - y, y)]
        for side in sides
    ]
    found = []
    for weights in (np.ones((1, groups)), *draws_of(groups, bounded(len(y), replicates), seed)):
        parts = []
        for side, ranking, (size, off, hits) in zip(sides, rankings, sums, strict=True):
            rows = np.maximum(weights @ size, 1.0)
            ranked = ranking.under(group[side], weights)[:, 0]
            parts.append(np.stack([ranked, (weights @ off) / rows, (weights @ hits) / rows]))
        found.append(parts[0] - parts[1])
    joined = np.concatenate(found, axis=1)
    auc, gap, rate = (Estimate.of(float(line[0]), line[1:]) for line in joined)
    return auc, gap, rate
