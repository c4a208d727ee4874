"""The journey from tables to a bundle, one straight line; the same for events and for a flat export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.mapping import SourceMapping
from configs.settings import Settings
from configs.targets import Target
from features.evaluate import Domain
from features.intake.quality.findings import QualityReport
from features.intake.sources import Intake
from features.tables import Tables
from models.boosting import MANY_ROWS, CrossFit
from models.bundle import Bundle, write_bundle
from models.hygiene import Hygiene, judge
from models.readiness import Readiness, fit_readiness
from models.scorecard import Scorecard
from models.segments.map import SegmentMap
from policy.book import Book
from training.dataset.dataset import Dataset, build_dataset, build_flat_dataset
from training.dataset.earlier import with_earlier
from training.drift.drift import drift_of
from training.evaluation.baselines import fit_baselines
from training.evaluation.metrics import Comparison, Metrics, compare, measure
from training.experiments.selection import corrected
from training.further import TrainedTarget, refuse_other_target, train_targets
from training.leakage.findings import NOTHING_FOUND, LeakReport
from training.leakage.gate import Despite, Gate, look_at_export, look_at_tables
from training.registry.lines import held_out_record, keep_line
from training.rivals import fit_with_shared, learned_from, rival_rows, rivals
from training.thresholds.thresholds import Thresholds, choose_thresholds, held_of
from training.touched import remember
from training.tuning.tuning import Tuned, tune_dataset

Progress = Callable[[str, float], None]
Floats = NDArray[np.float64]

OURS = "leadwell"
GOLDEN_ROWS = 64


@dataclass(frozen=True, slots=True)
class Trained:
    """A bundle, how good its kind of model was on rows it had not seen, and everything that was judged.

    `further` are the targets that were asked for besides the one that serves, also those that could not be trained.
    """

    bundle: Bundle
    folder: Path
    dataset: Dataset
    comparison: Comparison
    predictions: Mapping[str, Floats]
    time_only: Metrics | None
    judged: Readiness
    hygiene: Hygiene
    further: tuple[TrainedTarget, ...] = ()
    leakage: LeakReport = NOTHING_FOUND
    tuning: Tuned | None = None
    thresholds: Thresholds | None = None

    @property
    def y(self) -> Floats:
        """Outcomes of the rows that judged."""
        return self.dataset.y[self.dataset.judge]

    @property
    def segment(self) -> NDArray[np.object_]:
        """Primary segment of the rows that judged."""
        ids = np.array([*self.dataset.segment_ids, "none"], dtype=object)
        return ids[self.dataset.segment[self.dataset.judge]]


def train(
    tables: Tables,
    settings: Settings,
    as_of: datetime,
    folder: Path,
    *,
    quality: QualityReport | None = None,
    further: Sequence[Target] = (),
    progress: Progress | None = None,
    by: str = "",
    tune_seconds: float | None = None,
    despite: Despite | None = None,
) -> Trained:
    """Learn readiness from everything known at `as_of` and write the bundle; raises InputInvalid on too little data.

    INVARIANT: a segment below its hygiene minimum is inactive in the bundle, which says so; with `quality` (a check of
    the same data) mapped shares and event tracking are judged too. `further` targets are trained in the same run, of
    the same features; one with too little data is left out of the bundle, which says why. Whose data went in is kept
    beside the bundle (`models/trained_on.py`). With `tune_seconds` better booster shapes are looked for so long.

    Raises LeakageFound where the rows know the outcome, unless somebody insists (`despite`), which the bundle keeps.
    """
    tell = progress or _silent
    tell("judging hygiene", 0.0)
    segment_map = SegmentMap.load(settings)
    hygiene = judge(tables, settings, segment_map, as_of, quality)
    segment_map = segment_map.without(hygiene.inactive)
    tell("building features and labels", 0.0)
    dataset = build_dataset(tables, settings, segment_map, as_of, further=further)
    dataset, _ = corrected(dataset, tables, settings, as_of)
    dataset = with_earlier(dataset, tables, settings, segment_map, as_of)
    tell("looking for leakage", 0.08)
    gate = Gate(look_at_tables(dataset, tables, settings, as_of), despite)
    trained = learn(
        dataset, settings, segment_map, hygiene, as_of, folder, tell, gate, by=by, tune_seconds=tune_seconds
    )
    remember(tables, dataset.lead, settings, folder, trained.bundle.bundle_id, dataset.spec.mail_domains)
    keep_line(folder, trained.bundle.bundle_id, trained.judged, dataset, tables)
    return trained


def train_flat(
    intake: Intake,
    settings: Settings,
    mapping: SourceMapping,
    folder: Path,
    *,
    progress: Progress | None = None,
    by: str = "",
    tune_seconds: float | None = None,
    despite: Despite | None = None,
) -> Trained:
    """The same from a flat export read for training; its mapping says what was known before the outcome."""
    tell = progress or _silent
    instant = mapping.as_of.astimezone(UTC)
    segment_map = SegmentMap.load(settings)
    hygiene = judge(intake.tables, settings, segment_map, instant)
    segment_map = segment_map.without(hygiene.inactive)
    tell("building features and labels", 0.0)
    dataset = build_flat_dataset(intake, settings, segment_map, mapping)
    tell("looking for leakage", 0.08)
    gate = Gate(look_at_export(dataset, intake), despite)
    trained = learn(
        dataset, settings, segment_map, hygiene, instant, folder, tell, gate, by=by, tune_seconds=tune_seconds
    )
    remember(intake.tables, dataset.lead, settings, folder, trained.bundle.bundle_id, dataset.spec.mail_domains)
    keep_line(folder, trained.bundle.bundle_id, trained.judged, dataset, intake.tables)
    return trained


def learn(
    dataset: Dataset,
    settings: Settings,
    segment_map: SegmentMap,
    hygiene: Hygiene,
    as_of: datetime,
    folder: Path,
    tell: Progress,
    gate: Gate,
    *,
    by: str = "",
    tune_seconds: float | None = None,
) -> Trained:
    """Fit on the rows that train, judge on the later ones beside the baselines, fit again on all, write the bundle."""
    judge = dataset.judge
    tuning, settings = tune_dataset(dataset, settings, tune_seconds, tell)
    tell("fitting pooled and per-segment readiness", 0.1)
    both = fit_with_shared(dataset, settings, dataset.train)
    judged = both.readiness
    gate = gate.after_fitting(dataset, judged)
    tell("fitting baselines", 0.35)
    scores = judged.predict(dataset.X[judge], dataset.segment[judge])
    predictions = {OURS: scores.probability, **rivals(dataset, settings, both.shared, tell)}
    tell("comparing on later data", 0.7)
    names = np.array([*dataset.segment_ids, "none"], dtype=object)[dataset.segment[judge]]
    comparison = compare(dataset.y[judge], predictions, ours=OURS, segment=names, cluster=dataset.root[judge])
    later = dataset.time_only
    time_only = None
    if later.any():
        time_only = measure(dataset.y[later], judged.predict(dataset.X[later], dataset.segment[later]).probability)
    thresholds = choose_thresholds(held_of(dataset, scores, settings), settings)
    judged = thresholds.on(judged)
    tell("fitting what will serve on every row", 0.75)
    everything = np.ones(len(dataset.y), dtype=np.bool_)
    # With many rows the pooled cross-fit that judged is asked about all of them; with few it is worth doing again.
    pooled = both.pooled if len(dataset.y) >= MANY_ROWS else None
    served = thresholds.on(fit(dataset, settings, everything, pooled))
    further = train_targets(
        dataset,
        settings,
        lambda rows, part: fit(rows, settings, part),
        lambda what, share: tell(what, 0.9 + share / 15),
    )
    tell("writing the bundle", 0.97)
    bundle = write_bundle(
        folder,
        served,
        dataset.spec,
        segment_map=segment_map.to_json(),
        scorecard=Scorecard.of(settings, Domain.of(settings)).to_json(),
        vocabularies=settings.vocabularies,
        as_of=as_of,
        golden=golden_rows(dataset, settings.training.seed),
        policy=Book.load(settings, as_of.date()).hash,
        training_data=dataset.dataset_id,
        training={
            "target_kinds": list(settings.targets.served.kinds),
            "target": settings.targets.served.id,
            "horizon_days": settings.targets.served.horizon_days,
            "history": None if dataset.history is None else dataset.history.record(),
            "further": {one.id: one.record() for one in further},
            "counts": dict(dataset.counts),
            "hygiene": hygiene.record(),
            "rival_rows": len(rival_rows(dataset, settings)),
            "leakage": gate.record(),
            "tuning": None if tuning is None else tuning.record(),
            "thresholds": thresholds.record(),
            # Who trained it never approves it; the line without the judging rows is what a champion is beaten with.
            "by": by,
            "held_out": held_out_record(judged, dataset, comparison, predictions[OURS]),
            "drift": drift_of(dataset, judged).to_json(),
            "interval": {"says": served.hidden.says, **asdict(served.hidden)},
            "says": "metrics are those of the same line fitted without the rows that judge; the bundle saw every row",
        },
        metrics=finite(asdict(comparison.models[OURS])),
        further=[one.target for one in further if one.target is not None],
    )
    tell("done", 1.0)
    return Trained(
        bundle, folder, dataset, comparison, predictions, time_only, judged, hygiene, further, gate.report, tuning,
        thresholds,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judged:
    """A bundle beside baselines on rows of other data; `seen` says that it may have been trained on some of them."""

    comparison: Comparison
    seen: bool


def evaluate_bundle(
    bundle: Bundle, tables: Tables, settings: Settings, as_of: datetime, *, progress: Progress | None = None
) -> Judged:
    """Judge a bundle on the latest complete snapshot as of an instant, all of it and not held-out accounts alone.

    Raises InputInvalid where the bundle was trained for another target than the one that is declared to serve.
    """
    refuse_other_target(bundle.manifest, settings)
    segment_map = SegmentMap.from_json(bundle.segment_map, Domain.of(settings))
    dataset = build_dataset(tables, settings, segment_map, as_of, spec=bundle.spec)
    dataset = replace(dataset, judge=dataset.judge | dataset.time_only)
    waited = settings.targets.served.horizon_days + settings.targets.history.settle_days
    snapshot = as_of - timedelta(days=waited)
    seen = bundle.manifest.created_as_of > snapshot
    return Judged(_beside_baselines(bundle, dataset, progress or _silent), seen)


def evaluate_bundle_flat(
    bundle: Bundle, intake: Intake, settings: Settings, mapping: SourceMapping, *, progress: Progress | None = None
) -> Judged:
    """Judge a bundle on the last part of a flat export, in the order its mapping declares."""
    segment_map = SegmentMap.from_json(bundle.segment_map, Domain.of(settings))
    dataset = build_flat_dataset(intake, settings, segment_map, mapping, spec=bundle.spec)
    seen = bundle.manifest.training_data == dataset.dataset_id
    return Judged(_beside_baselines(bundle, dataset, progress or _silent), seen)


def _beside_baselines(bundle: Bundle, dataset: Dataset, tell: Progress) -> Comparison:
    train, judge = dataset.train, dataset.judge
    tell("fitting baselines", 0.3)
    baselines = fit_baselines(dataset.X[train], dataset.y[train], dataset.spec, dataset.segment[train])
    predictions = {OURS: bundle.readiness.predict(dataset.X[judge], dataset.segment[judge]).probability}
    predictions |= {name: predict(dataset.X[judge], dataset.segment[judge]) for name, predict in baselines.items()}
    tell("comparing", 0.8)
    names = np.array([*dataset.segment_ids, "none"], dtype=object)[dataset.segment[judge]]
    return compare(dataset.y[judge], predictions, ours=OURS, segment=names, cluster=dataset.root[judge])


def golden_rows(dataset: Dataset, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Rows that a bundle must reproduce: every column is drawn on its own, so that no lead's row leaves with it."""
    drawn = np.random.default_rng(seed).integers(0, len(dataset.y), size=(GOLDEN_ROWS, dataset.X.shape[1] + 1))
    return dataset.X[drawn[:, :-1], np.arange(dataset.X.shape[1])], dataset.segment[drawn[:, -1]]


def fit(dataset: Dataset, settings: Settings, rows: NDArray[np.bool_], pooled: CrossFit | None = None) -> Readiness:
    """Readiness from some of the rows, those of whom nothing is known left out; `pooled` is of an earlier fit."""
    return fit_readiness(**learned_from(dataset, settings, rows), pooled=pooled)


def finite(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics that are numbers; one that is not defined on these rows is left out."""
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _silent(what: str, share: float) -> None:
    return None
