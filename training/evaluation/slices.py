"""Metrics cut by who the leads are and where they come from: role, setting, jurisdiction, source, segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.gaps import ALPHA, beyond_chance, calibration_gap
from training.evaluation.metrics import MIN_OUTCOMES, Difference, Metrics, differences, measure, resampled
from training.evaluation.resampling import REPLICATES, SEED, Estimate

Floats = NDArray[np.float64]
Names = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One group of leads under our model; where `tells` is False there are too few outcomes to say anything.

    `gap` is mean predicted minus observed, `chance` how often chance makes such a gap, `stands_out` whether it does
    among all groups that were asked. `against` is our log-loss minus that of the model that it is compared with.
    """

    dimension: str
    name: str
    rows: int
    positives: int
    tells: bool
    observed: float
    predicted: float
    gap: Estimate
    chance: float | None
    stands_out: bool
    auc: Estimate
    average_precision: Estimate
    log_loss: float
    brier: float
    calibration_error: float
    lift_at_10: float
    against: Estimate


@dataclass(frozen=True, slots=True)
class Slices:
    """Every group of every dimension, the largest first, and what many questions at once do to their answers.

    `undivided` are dimensions in which all leads have one value, and the value: there is nothing to compare.
    """

    rows: tuple[SliceRow, ...]
    compared_with: str
    asked: int
    by_chance: float
    differ: int
    stand_out: int
    undivided: Mapping[str, str]

    def of(self, dimension: str) -> tuple[SliceRow, ...]:
        """The groups of one dimension."""
        return tuple(row for row in self.rows if row.dimension == dimension)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions in their order."""
        return tuple(dict.fromkeys(row.dimension for row in self.rows))


def tells(positives: int, rows: int) -> bool:
    """Whether there are outcomes enough of either kind; fewer say nothing that another month would not undo."""
    return min(positives, rows - positives) >= MIN_OUTCOMES


def slices(
    y: NDArray[Any],
    predictions: Mapping[str, Floats],
    dimensions: Mapping[str, Names],
    cluster: NDArray[Any],
    *,
    ours: str,
    compared_with: str,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> Slices:
    """Cut the rows by every dimension, each given as the name of each row's group."""
    outcome = np.asarray(y, dtype=np.float64)
    found: list[SliceRow] = []
    undivided: dict[str, str] = {}
    for dimension, names in dimensions.items():
        kinds, inverse, counts = np.unique(names.astype(str), return_inverse=True, return_counts=True)
        if len(kinds) == 1:
            undivided[dimension] = str(kinds[0])
            continue
        for index in np.lexsort((kinds, -counts)).tolist():
            here = np.flatnonzero(inverse.ravel() == index)
            inside = {name: predictions[name][here] for name in (ours, compared_with)}
            row = _row(outcome[here], inside, cluster[here], (ours, compared_with), replicates, seed)
            found.append(replace(row, dimension=dimension, name=str(kinds[index])))
    flags = beyond_chance([row.chance for row in found])
    asked = sum(row.chance is not None for row in found)
    return Slices(
        rows=tuple(replace(row, stands_out=flag) for row, flag in zip(found, flags, strict=True)),
        compared_with=compared_with,
        asked=asked,
        by_chance=ALPHA * asked,
        differ=sum(row.chance is not None and row.chance < ALPHA for row in found),
        stand_out=sum(flags),
        undivided=undivided,
    )


def _row(
    y: Floats,
    predictions: Mapping[str, Floats],
    cluster: NDArray[Any],
    models: Sequence[str],
    replicates: int,
    seed: int,
) -> SliceRow:
    ours, other = models
    measured = measure(y, predictions[ours])
    told = tells(measured.positives, measured.rows)
    gap, chance = calibration_gap(y, predictions[ours], cluster) if told else (Estimate(None), None)
    ranked = average = against = Estimate(None)
    if told:
        pair = {"ours": predictions[ours]}
        draws = resampled(
            y, pair, metrics=("auc", "average_precision"), cluster=cluster, replicates=replicates, seed=seed
        )
        ranked, average = draws.estimate("auc", "ours"), draws.estimate("average_precision", "ours")
        if other != ours:
            both = {"ours": predictions[ours], "theirs": predictions[other]}
            against = estimate_of(
                differences(
                    y, both, ours="ours", metrics=("log_loss",), cluster=cluster, replicates=replicates, seed=seed
                )[0]
            )
    return SliceRow(
        dimension="",
        name="",
        rows=measured.rows,
        positives=measured.positives,
        tells=told,
        observed=float(y.mean()),
        predicted=float(predictions[ours].mean()),
        gap=gap,
        chance=chance,
        stands_out=False,
        auc=ranked,
        average_precision=average,
        against=against,
        **_shown(measured),
    )


def estimate_of(found: Difference) -> Estimate:
    """A difference as a number with its interval."""
    if np.isnan(found.value):
        return Estimate(None)
    if np.isnan(found.low):
        return Estimate(found.value)
    return Estimate(found.value, found.low, found.high)


def _shown(measured: Metrics) -> dict[str, float]:
    """Metrics that even a small group has; lift is 0 where nobody reached the outcome."""
    return {
        "log_loss": measured.log_loss,
        "brier": measured.brier,
        "calibration_error": measured.calibration_error,
        "lift_at_10": 0.0 if np.isnan(measured.lift_at_10) else measured.lift_at_10,
    }
