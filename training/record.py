"""What a training run leaves behind for people: its MLflow record, and its part of the report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from configs.settings import Settings
from training.registry.publish import register
from training.registry.tracking import RunRecord, TrackedRun, track
from training.report import DriverLine, Figure, Judged, ReportContent, report_pictures
from training.train import POOLED, POOLED_SEGMENT, Trained, finite

DRIVER_ROWS = 5_000
DRIVERS_SHOWN = 14


def log_training(trained: Trained, settings: Settings, artifacts: Path, name: str) -> TrackedRun:
    """One parent run with a child for each segment, and the bundle registered as the challenger."""
    content = training_report(trained, settings, title=name)
    comparison = trained.comparison
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
            params=_flat(settings.training.model_dump(mode="json")),
            metrics={**finite(asdict(ours)), **others},
            tags={
                "bundle_id": trained.bundle.bundle_id,
                "training_data": trained.dataset.dataset_id,
                "as_of": trained.bundle.manifest.created_as_of.isoformat(),
            },
            segments=_segments(trained),
            plots=report_pictures(content),
            tables={"comparison": comparison.to_json(), "rows": dict(trained.dataset.counts)},
        ),
    )
    register(artifacts, trained.folder, run_id=run.run_id)
    return run


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
                ("train", "rows that train", "earlier snapshots"),
                ("judge", "rows that judge", "later, and no account on both sides"),
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
        versions={
            "bundle": trained.bundle.bundle_id,
            "feature set": dataset.spec.version,
            "segment map": trained.bundle.manifest.segment_map,
            "policy": trained.bundle.manifest.policy,
            "training data": dataset.dataset_id,
        },
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
