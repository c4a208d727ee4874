"""The journey from tables to a bundle, one straight line; the same for events and for a flat export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.mapping import SourceMapping
from configs.settings import Settings
from configs.training_settings import TrainingSettings
from features.evaluate import Domain
from features.intake.quality.findings import QualityReport
from features.intake.sources import Intake
from features.tables import Tables
from models.bundle import Bundle, write_bundle
from models.hygiene import Hygiene, judge
from models.readiness import Readiness, fit_readiness
from models.scorecard import Scorecard
from models.segments.map import SegmentMap
from policy.book import Book
from training.dataset import Dataset, build_dataset, build_flat_dataset
from training.evaluation.baselines import fit_baselines, fit_points
from training.evaluation.metrics import Comparison, Metrics, compare, measure
from training.touched import remember

Progress = Callable[[str, float], None]
Floats = NDArray[np.float64]

OURS = "leadwell"
SCORECARD, POOLED, POOLED_SEGMENT = "points_scorecard", "pooled", "pooled_with_segment"
GOLDEN_ROWS = 64


@dataclass(frozen=True, slots=True)
class Trained:
    """A bundle, how good its kind of model was on rows it had not seen, and everything that was judged."""

    bundle: Bundle
    folder: Path
    dataset: Dataset
    comparison: Comparison
    predictions: Mapping[str, Floats]
    time_only: Metrics | None
    judged: Readiness
    hygiene: Hygiene

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
    progress: Progress | None = None,
) -> Trained:
    """Learn readiness from everything known at `as_of` and write the bundle; raises InputInvalid on too little data.

    INVARIANT: a segment below its hygiene minimum is inactive in the bundle, which says so; with `quality` (a check of
    the same data) mapped shares and event tracking are judged too. Whose data went in is kept beside the bundle
    (`models/trained_on.py`).
    """
    tell = progress or _silent
    tell("judging hygiene", 0.0)
    segment_map = SegmentMap.load(settings)
    hygiene = judge(tables, settings, segment_map, as_of, quality)
    segment_map = segment_map.without(hygiene.inactive)
    tell("building features and labels", 0.0)
    dataset = build_dataset(tables, settings, segment_map, as_of)
    trained = learn(dataset, settings, segment_map, hygiene, as_of, folder, tell)
    remember(tables, dataset.lead, settings, folder, trained.bundle.bundle_id, dataset.spec.mail_domains)
    return trained


def train_flat(
    intake: Intake, settings: Settings, mapping: SourceMapping, folder: Path, *, progress: Progress | None = None
) -> Trained:
    """The same from a flat export read for training; its mapping says what was known before the outcome."""
    tell = progress or _silent
    instant = mapping.as_of.astimezone(UTC)
    segment_map = SegmentMap.load(settings)
    hygiene = judge(intake.tables, settings, segment_map, instant)
    segment_map = segment_map.without(hygiene.inactive)
    tell("building features and labels", 0.0)
    dataset = build_flat_dataset(intake, settings, segment_map, mapping)
    trained = learn(dataset, settings, segment_map, hygiene, instant, folder, tell)
    remember(intake.tables, dataset.lead, settings, folder, trained.bundle.bundle_id, dataset.spec.mail_domains)
    return trained


def learn(
    dataset: Dataset,
    settings: Settings,
    segment_map: SegmentMap,
    hygiene: Hygiene,
    as_of: datetime,
    folder: Path,
    tell: Progress,
) -> Trained:
    """Fit on the rows that train, judge on the later ones beside the baselines, fit again on all, write the bundle."""
    judge = dataset.judge
    tell("fitting pooled and per-segment readiness", 0.1)
    judged = fit(dataset, settings, dataset.train)
    tell("fitting baselines", 0.35)
    scores = judged.predict(dataset.X[judge], dataset.segment[judge])
    predictions = {OURS: scores.probability, **rivals(dataset, settings, tell)}
    tell("comparing on later data", 0.7)
    names = np.array([*dataset.segment_ids, "none"], dtype=object)[dataset.segment[judge]]
    comparison = compare(dataset.y[judge], predictions, ours=OURS, segment=names, cluster=dataset.root[judge])
    later = dataset.time_only
    time_only = None
    if later.any():
        time_only = measure(dataset.y[later], judged.predict(dataset.X[later], dataset.segment[later]).probability)
    tell("fitting what will serve on every row", 0.75)
    served = fit(dataset, settings, np.ones(len(dataset.y), dtype=np.bool_))
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
            "target_kinds": list(settings.training.target_kinds),
            "horizon_days": settings.training.horizon_days,
            "counts": dict(dataset.counts),
            "hygiene": hygiene.record(),
            "says": "metrics are those of the same line fitted without the rows that judge; the bundle saw every row",
        },
        metrics=finite(asdict(comparison.models[OURS])),
    )
    tell("done", 1.0)
    return Trained(bundle, folder, dataset, comparison, predictions, time_only, judged, hygiene)


@dataclass(frozen=True, slots=True)
class Judged:
    """A bundle beside baselines on rows of other data; `seen` says that it may have been trained on some of them."""

    comparison: Comparison
    seen: bool


def evaluate_bundle(
    bundle: Bundle, tables: Tables, settings: Settings, as_of: datetime, *, progress: Progress | None = None
) -> Judged:
    """Judge a bundle on the latest complete snapshot as of an instant, all of it and not held-out accounts alone."""
    segment_map = SegmentMap.from_json(bundle.segment_map, Domain.of(settings))
    dataset = build_dataset(tables, settings, segment_map, as_of, spec=bundle.spec)
    dataset = replace(dataset, judge=dataset.judge | dataset.time_only)
    snapshot = as_of - timedelta(days=settings.training.horizon_days)
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


def fit(dataset: Dataset, settings: Settings, rows: NDArray[np.bool_]) -> Readiness:
    """Readiness from some of the rows."""
    return fit_readiness(
        dataset.X[rows],
        dataset.y[rows],
        dataset.segment[rows],
        dataset.fold[rows],
        dataset.order[rows],
        dataset.spec,
        settings.training,
        segment_ids=dataset.segment_ids,
    )


def rivals(dataset: Dataset, settings: Settings, tell: Progress) -> dict[str, Floats]:
    """Predictions on the rows that judge, of every model a team would otherwise choose.

    `pooled` is our own line told nothing of segments, `pooled_with_segment` the same with the segment as one more
    feature and no model of a segment's own: what the per-segment models have to be worth beyond.
    """
    train, judge = dataset.train, dataset.judge
    X, y, segment = dataset.X[train], dataset.y[train], dataset.segment[train]
    found = {SCORECARD: fit_points(dataset.points[train], y)(dataset.points[judge])}
    for name, predict in fit_baselines(X, y, dataset.spec, segment).items():
        found[name] = predict(dataset.X[judge], dataset.segment[judge])
    if len(np.unique(segment)) > 1:
        # No segment has this many rows, so none gets a model of its own.
        alone = settings.training.model_copy(update={"segment_min_rows": len(y) + 1})
        tell("fitting the pooled model alone", 0.45)
        found[POOLED] = _pooled(dataset, alone, np.zeros_like(dataset.segment), ("everybody",))
        tell("fitting the pooled model with the segment as a feature", 0.55)
        found[POOLED_SEGMENT] = _pooled(dataset, alone, dataset.segment, dataset.segment_ids)
    return found


def _pooled(dataset: Dataset, training: TrainingSettings, segment: NDArray[np.int64], ids: tuple[str, ...]) -> Floats:
    train, judge = dataset.train, dataset.judge
    readiness = fit_readiness(
        dataset.X[train],
        dataset.y[train],
        segment[train],
        dataset.fold[train],
        dataset.order[train],
        dataset.spec,
        training,
        segment_ids=ids,
    )
    return readiness.predict(dataset.X[judge], segment[judge]).probability


def finite(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics that are numbers; one that is not defined on these rows is left out."""
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _silent(what: str, share: float) -> None:
    return None
