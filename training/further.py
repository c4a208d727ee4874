"""Further targets of a training run: the same features, other labels; each is judged and calibrated by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.settings import Settings
from models.bundle import Manifest
from models.further import FurtherDeclaration, FurtherTarget
from models.readiness import Readiness
from training.dataset.dataset import MIN_POSITIVES, Dataset
from training.dataset.targets import TargetRules
from training.evaluation.metrics import Difference, Metrics, difference, measure

BASE_RATE = "base_rate"
Fit = Callable[[Dataset, NDArray[np.bool_]], Readiness]
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class TrainedTarget:
    """A further target with what it was judged by, or the `reason` why the bundle has none of it.

    `gain` is its log-loss minus that of saying everybody's base rate, on the same later rows with its noise.
    INVARIANT: a target that later rows show to be worse than its base rate is not served.
    """

    rules: TargetRules
    dataset: Dataset
    target: FurtherTarget | None
    metrics: Metrics | None
    gain: Difference | None
    reason: str = ""

    @property
    def id(self) -> str:
        """The target's id."""
        return self.rules.target.id

    @property
    def weak(self) -> bool:
        """Whether it was trained and is not better than the base rate beyond noise."""
        return self.gain is not None and self.gain.verdict != "better"

    def words(self) -> str:
        """What the target is worth, in a sentence."""
        asked = f"Target {self.id} ({self.rules.target.says})"
        if self.reason or self.metrics is None or self.gain is None:
            return f"{asked} is not in the bundle: {self.reason}."
        said = f"{asked}: judged on {self.metrics.rows:,} later rows, {self.metrics.positives:,} with the outcome, AUC "
        told = f"{self.metrics.auc:.3f}, log-loss {self.gain.value:+.4f} ({self.gain.low:+.4f}, {self.gain.high:+.4f}) "
        weak = "; do not choose leads by it" if self.weak else ""
        return f"{said}{told}against saying everybody's base rate{weak}."

    def record(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        days = self.rules.days
        found: dict[str, Any] = {
            "says": self.rules.target.says,
            "horizon_days": [int(days.min()), int(days.max())],
            "counts": dict(self.dataset.counts),
        }
        if self.reason:
            found["left_out"] = self.reason
        if self.metrics is None or self.gain is None:
            return found
        metrics = {name: value for name, value in asdict(self.metrics).items() if np.isfinite(value)}
        told = {"value": self.gain.value, "low": self.gain.low, "high": self.gain.high}
        gain = {name: value for name, value in told.items() if np.isfinite(value)}
        if self.target is not None:
            # A target that a lead reaches once has no repeats: its interval says less than that of one that has.
            found["interval"] = self.target.readiness.hidden.says
        return {**found, "metrics": metrics, "log_loss_minus_base_rate": gain, "weak": self.weak}


def refuse_other_target(manifest: Manifest, settings: Settings) -> None:
    """Raise InputInvalid where a bundle predicts something else than the target that is declared to serve."""
    served, trained = settings.targets.served, manifest.training
    if "target_kinds" not in trained:
        return
    asked = (sorted(trained["target_kinds"]), trained.get("horizon_days"))
    if asked != (sorted(served.kinds), served.horizon_days):
        raise InputInvalid(
            "bundle",
            f"it was trained for {', '.join(asked[0])} within {asked[1]} days, and targets.yaml serves "
            f"{', '.join(served.kinds)} within {served.horizon_days} days: train again, or judge with its own targets",
        )


def train_targets(dataset: Dataset, settings: Settings, fit: Fit, tell: Progress) -> tuple[TrainedTarget, ...]:
    """Train every further target that the dataset has labels of; features were built once, for all of them."""
    found = []
    for place, target_id in enumerate(dataset.further):
        tell(f"target {target_id}", place / len(dataset.further))
        found.append(_trained(rows_for(dataset, target_id), dataset.further[target_id].rules, settings, fit))
    return tuple(found)


def rows_for(dataset: Dataset, target_id: str) -> Dataset:
    """The rows that have a label of a further target, with its label, its split and its counts."""
    own = dataset.further[target_id]
    kept = own.usable
    relabelled = replace(dataset, y=own.y, train=own.train, judge=own.judge, time_only=own.time_only, days=own.days)
    columns = {field.name: getattr(relabelled, field.name) for field in fields(Dataset)}
    by_row: dict[str, Any] = {
        name: column[kept]
        for name, column in columns.items()
        if isinstance(column, np.ndarray) and column.shape[:1] == kept.shape
    }
    return replace(
        relabelled,
        **by_row,
        counts=own.counts,
        slices={name: values[kept] for name, values in dataset.slices.items()},
        further={},
    )


def _trained(rows: Dataset, rules: TargetRules, settings: Settings, fit: Fit) -> TrainedTarget:
    reason = _too_little(rows, rules, settings)
    if reason:
        return TrainedTarget(rules, rows, None, None, None, reason)
    judge = rows.judge
    probability = fit(rows, rows.train).predict(rows.X[judge], rows.segment[judge]).probability
    base = np.full(len(probability), float(rows.y[rows.train].mean()))
    gain = difference(rows.y[judge], (rules.target.id, probability), (BASE_RATE, base), cluster=rows.root[judge])
    metrics = measure(rows.y[judge], probability)
    if gain.verdict == "worse":
        return TrainedTarget(rules, rows, None, metrics, gain, "it says less than everybody's base rate, beyond noise")
    served = fit(rows, np.ones(len(rows.y), dtype=np.bool_))
    declaration = FurtherDeclaration(
        id=rules.target.id,
        says=rules.target.says,
        first=rules.target.first,
        weak=gain.verdict != "better",
        segments=rules.segment_ids,
        products=rules.products,
        days=tuple(tuple(row) for row in rules.days.tolist()),
    )
    target = FurtherTarget.of(declaration, served)
    return TrainedTarget(rules, rows, target, metrics, gain)


def _too_little(rows: Dataset, rules: TargetRules, settings: Settings) -> str:
    """Why a target cannot be trained, empty where it can."""
    unrecorded = rows.counts["outcomes not recorded yet at the snapshot"]
    if not len(rows.y) and unrecorded:
        kinds = [settings.vocabularies["outcome_kind"].values[code - 1] for code in rules.kinds]
        return f"none of its outcomes was recorded by a snapshot that is old enough: {', '.join(kinds)}"
    for part, chosen in (("train", rows.train), ("judge", rows.judge)):
        positives = int(rows.y[chosen].sum())
        negatives = int(chosen.sum()) - positives
        if min(positives, negatives) < MIN_POSITIVES:
            return (
                f"expected at least {MIN_POSITIVES} leads with and {MIN_POSITIVES} without the outcome to {part}, "
                f"found {positives} and {negatives}"
            )
    return ""
