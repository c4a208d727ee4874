"""What a training run leaves behind for people: its MLflow record, and its part of the report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import LeadwellError
from configs.settings import Settings
from training.evaluation.evaluation import card_file, evaluation_file, load_evaluation
from training.registry.publish import register
from training.registry.tracking import RunRecord, TrackedRun, track
from training.report import DriverLine, Figure, Judged, ReportContent, report_pictures
from training.rivals import POOLED, POOLED_SEGMENT, rival_words
from training.train import Trained, finite

DRIVER_ROWS = 5_000
DRIVERS_SHOWN = 14


def log_training(
    trained: Trained, settings: Settings, artifacts: Path, name: str, *, uri: str | None = None
) -> TrackedRun:
    """One parent run with a child for each segment, and the bundle registered as challenger; raises TrackingFailed."""
    content = training_report(trained, settings, title=name)
    comparison, tuned = trained.comparison, trained.tuning
    ours = comparison.models[comparison.ours]
    others = {
        f"{other}.{metric}": value
        for other, found in comparison.models.items()
        if other != comparison.ours
        for metric, value in finite(asdict(found)).items()
    }
    run = track(
        artifacts,
        RunRecord(
            name=name,
            params={
                **_flat((tuned.settings if tuned else settings.training).model_dump(mode="json")),
                **_flat(
                    settings.targets.served.model_dump(mode="json", include={"id", "kinds", "horizon_days"}), "target."
                ),
            },
            metrics={
                **finite(asdict(ours)),
                **others,
                **{
                    f"further.{one.id}.{name}": value
                    for one in trained.further
                    if one.metrics is not None
                    for name, value in finite(asdict(one.metrics)).items()
                },
            },
            tags={
                "bundle_id": trained.bundle.bundle_id,
                "training_data": trained.dataset.dataset_id,
                "as_of": trained.bundle.manifest.created_as_of.isoformat(),
            },
            segments=_segments(trained),
            plots=report_pictures(content),
            tables={
                "comparison": comparison.to_json(),
                "rows": dict(trained.dataset.counts),
                **({"tuning": tuned.table()} if tuned else {}),
            },
            files={"card": _card(trained)},
        ),
        uri=uri,
    )
    register(artifacts, trained.folder, run_id=run.run_id, uri=uri)
    return run


def _card(trained: Trained) -> tuple[Path, ...]:
    """The evaluation and the page beside the bundle, where they are of this bundle."""
    try:
        load_evaluation(trained.folder, trained.bundle.bundle_id)
    except LeadwellError:
        return ()
    return tuple(file for file in (evaluation_file(trained.folder), card_file(trained.folder)) if file.is_file())


def training_report(trained: Trained, settings: Settings, *, title: str, says: str = "") -> ReportContent:
    """The report's parts that training can fill."""
    dataset, comparison = trained.dataset, trained.comparison
    rivals = tuple(name for name in (POOLED, POOLED_SEGMENT) if name in comparison.models)
    counts = dataset.counts
    return ReportContent(
        title=title,
        as_of=trained.bundle.manifest.created_as_of.date().isoformat(),
        says=says,
        dataset=tuple(
            Figure(label, f"{counts[key]:,}", note)
            for key, label, note in (
                ("train", "rows that train", "earlier snapshots" if dataset.timed else "all but those that judge"),
                (
                    "judge",
                    "rows that judge",
                    f"{'later' if dataset.timed else 'drawn by chance'}, and no account on both sides",
                ),
                ("time_only", "later rows of accounts that train", "judged apart"),
                ("held-out accounts before the latest snapshot", "left out", "held-out accounts, too early to judge"),
                (
                    "basis lost since the snapshot",
                    "basis lost since",
                    "withdrawn or run out after the snapshot: processed no more",
                ),
                (
                    "may not be learned from",
                    "not learned from",
                    "erased, restricted, objecting, or not known not to be",
                ),
                (
                    "outcomes not recorded yet at the snapshot",
                    "outcomes not recorded",
                    "snapshots from before outcomes were recorded: nobody knows who had none",
                ),
                (
                    "events recorded for too short a time",
                    "too few days of events",
                    "rows of leads older than the recorded behaviour",
                ),
            )
            if counts.get(key)
        ),
        comparison=comparison,
        segment_rivals=rivals if len(comparison.segments) > 1 else (),
        judged=Judged(
            trained.y,
            trained.predictions,
            trained.segment if len(comparison.segments) > 1 else None,
            "The same line fitted without these rows; the bundle that serves then saw every row.",
        ),
        drivers=_drivers(trained),
        notes=_notes(trained, settings),
        versions={
            "bundle": trained.bundle.bundle_id,
            "feature set": dataset.spec.version,
            "segment map": trained.bundle.manifest.segment_map,
            "policy": trained.bundle.manifest.policy,
            "training data": dataset.dataset_id,
        },
    )


def _notes(trained: Trained, settings: Settings) -> tuple[str, ...]:
    """What the records could not tell, what the rivals learned from, and what each further target is worth."""
    history = trained.dataset.history
    return (
        *(() if history is None else history.words()),
        *rival_words(trained.dataset, settings),
        *(one.words() for one in trained.further),
    )


def _drivers(trained: Trained) -> tuple[DriverLine, ...]:
    judge = np.flatnonzero(trained.dataset.judge)
    rows = judge[:: max(1, len(judge) // DRIVER_ROWS)]
    scores = trained.judged.predict(trained.dataset.X[rows], trained.dataset.segment[rows])
    weight = np.abs(scores.contributions).mean(axis=0)
    says = {feature.name: feature.says for feature in trained.dataset.spec.features}
    names, groups = trained.judged.names, trained.judged.groups
    top = np.argsort(-weight, kind="stable")[:DRIVERS_SHOWN]
    return tuple(
        DriverLine(names[j], says.get(names[j], "the primary segment"), groups[j], float(weight[j])) for j in top
    )


def _segments(trained: Trained) -> dict[str, dict[str, float]]:
    records = {record.segment_id: record for record in trained.judged.records}
    found: dict[str, dict[str, float]] = {}
    for row in trained.comparison.segments:
        metrics = finite(asdict(row.metrics[trained.comparison.ours]))
        for difference in row.differences:
            metrics[f"log_loss_minus_{difference.theirs}"] = difference.value
        if row.segment_id in records:
            metrics["own_model"] = float(records[row.segment_id].kept)
            metrics["own_model_weight"] = records[row.segment_id].weight
        found[row.segment_id] = finite(metrics)
    return found


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
