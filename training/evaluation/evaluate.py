"""Judges what `leadwell train` trained: every number of the model card, computed once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.bands import REASONS
from training.dataset.dataset import MONTH
from training.evaluation.brier import decompose, reliability_bins
from training.evaluation.evaluation import (
    FORMAT,
    DataUsed,
    DifferenceLine,
    Driver,
    Evaluation,
    Purpose,
    Rows,
    SegmentLine,
    SegmentUse,
    finite_or_none,
)
from training.evaluation.fairness import DIMENSIONS, fairness
from training.evaluation.gaps import calibration_gap
from training.evaluation.metrics import METRICS, Metrics, gain, resampled
from training.evaluation.parts import band_lines, histogram, recalibration, top_lines
from training.evaluation.resampling import REPLICATES, SEED, Estimate
from training.evaluation.slices import estimate_of, slices
from training.evaluation.stability import Stability, stability
from training.evaluation.verdict import Findings, verdict_of
from training.registry.gates import overrides
from training.thresholds.proposal import words_of

if TYPE_CHECKING:
    from configs.mapping import SourceMapping
    from configs.settings import Settings
    from training.dataset.dataset import Dataset
    from training.train import Trained

Floats = NDArray[np.float64]

POOLED, POINTS = "pooled", "points_scorecard"
SEGMENT = "segment"
# Scoring for bands and drivers and for earlier periods is bounded: more rows would not change a picture.
SCORED_ROWS = 20_000
DRIVERS_SHOWN = 14
PARTS = 5


def evaluate(
    trained: Trained,
    settings: Settings,
    *,
    title: str,
    mapping: SourceMapping | None = None,
    replicates: int = REPLICATES,
) -> Evaluation:
    """Everything that the model card says, from what training kept; the same input gives the same values.

    `mapping` is that of a flat export, whose own outcome was learned. `replicates` bounds the resamples behind each
    interval; many rows have fewer.

    INVARIANT: no number of ours is of a row that the judged model was fitted on.
    """
    dataset, comparison = trained.dataset, trained.comparison
    y, root = trained.y, dataset.root[dataset.judge]
    ours, predictions = comparison.ours, trained.predictions
    mine = predictions[ours]
    compared_with = POOLED if POOLED in predictions else comparison.best_other
    here = {name: values[dataset.judge] for name, values in dataset.slices.items() if name != MONTH}
    cut = slices(
        y,
        predictions,
        {**here, SEGMENT: trained.segment},
        root,
        ours=ours,
        compared_with=compared_with,
        replicates=replicates,
    )
    levels = resampled(y, {ours: mine}, cluster=root, replicates=replicates)
    intercept, slope = recalibration(y, mine, root)
    gap, _ = calibration_gap(y, mine, root)
    scored = _scored(trained)
    lines = tuple(DifferenceLine(d.metric, d.theirs, estimate_of(d), d.verdict) for d in comparison.differences)
    segments = _segments(trained)
    treated = fairness(y, mine, {name: here[name] for name in DIMENSIONS if name in here}, root, replicates=replicates)
    stable = _stability(trained, replicates)
    found_despite = overrides(trained.bundle.manifest.training)
    positives = int(y.sum())
    verdict = verdict_of(
        Findings(
            outcomes=min(positives, len(y) - positives),
            auc=levels.estimate("auc", ours),
            gap=gap,
            slope=slope,
            baseline=POINTS,
            differences=lines,
            segments=segments,
            slices=cut,
            fairness=treated,
            stability=stable,
            overrides=found_despite,
            timed=dataset.timed,
        )
    )
    return Evaluation(
        format=FORMAT,
        bundle_id=trained.bundle.bundle_id,
        title=title,
        as_of=trained.bundle.manifest.created_as_of.isoformat(),
        versions=_versions(trained),
        purpose=_purpose(settings, mapping),
        segments_used=_segments_used(trained),
        data=DataUsed(
            train=_rows(dataset, dataset.train), judge=_rows(dataset, dataset.judge), counts=dict(dataset.counts)
        ),
        ours=ours,
        baseline=POINTS,
        models={name: _numbers(found) for name, found in comparison.models.items()},
        brier={name: parts for name, p in predictions.items() if (parts := decompose(y, p)) is not None},
        levels={metric: levels.estimate(metric, ours) for metric in METRICS},
        differences=lines,
        gap=gap,
        intercept=intercept,
        slope=slope,
        reliability={
            name: reliability_bins(y, predictions[name], root) for name in dict.fromkeys((ours, comparison.best_other))
        },
        gain={name: _rounded(gain(y, p)[1]) for name, p in predictions.items()},
        top=top_lines(y, predictions, root, ours=ours, replicates=replicates),
        histogram=histogram(y, mine),
        bands=band_lines(y[scored.rows], mine[scored.rows], scored.band, root[scored.rows]),
        abstained=scored.abstained,
        segments=segments,
        slices=cut,
        fairness=treated,
        stability=stable,
        time_only=None if trained.time_only is None else _numbers(trained.time_only),
        drivers=scored.drivers,
        overrides=found_despite,
        leaks=_leaks(trained),
        leak_detectors=len(_leakage(trained).get("looked", ())),
        notes=_notes(trained, scored),
        verdict=verdict,
    )


@dataclass(frozen=True, slots=True)
class _Scored:
    """Bands, reasons and drivers of the rows that judge, or of an even sample of them; `rows` are places among them."""

    rows: NDArray[np.intp]
    band: NDArray[np.uint8]
    abstained: Mapping[str, int]
    drivers: tuple[Driver, ...]


def _scored(trained: Trained) -> _Scored:
    dataset, judged = trained.dataset, trained.judged
    judge = np.flatnonzero(dataset.judge)
    rows = np.arange(0, len(judge), max(1, -(-len(judge) // SCORED_ROWS)))
    at = judge[rows]
    scores = judged.predict(dataset.X[at], dataset.segment[at])
    reasons = np.bincount(scores.reason, minlength=len(REASONS))
    abstained = {judged.reason_name(code): int(n) for code, n in enumerate(reasons) if code and n}
    weight = np.abs(scores.contributions).mean(axis=0)
    says = {feature.name: feature.says for feature in dataset.spec.features}
    top = np.argsort(-weight, kind="stable")[:DRIVERS_SHOWN]
    drivers = tuple(
        Driver(judged.names[j], says.get(judged.names[j], "the primary segment"), judged.groups[j], float(weight[j]))
        for j in top
    )
    return _Scored(rows, scores.band, abstained, drivers)


def _stability(trained: Trained, replicates: int) -> Stability | None:
    """Periods of the time that judges; where that is one snapshot, the held-out accounts at the earlier ones too."""
    dataset = trained.dataset
    if not dataset.timed:
        return None
    judge = np.flatnonzero(dataset.judge)
    mine = trained.predictions[trained.comparison.ours]
    if len(np.unique(dataset.order[judge])) > 1:
        _, rank = np.unique(dataset.order[judge], return_inverse=True)
        part = PARTS * rank.ravel() // (rank.max() + 1)
        names = [f"part {index + 1} of {PARTS}" for index in range(PARTS)]
        says = f"The time that judges in {PARTS} steps of its order, the earliest first."
        return stability(trained.y, mine, part, names, dataset.root[judge], says=says, replicates=replicates)
    earlier = _earlier(dataset)
    rows = np.concatenate([judge, earlier])
    p = np.concatenate([mine, trained.judged.predict(dataset.X[earlier], dataset.segment[earlier]).probability])
    month = dataset.slices[MONTH][rows].astype(str)
    order = {name: float(dataset.order[rows][month == name].max()) for name in np.unique(month).tolist()}
    names = sorted(order, key=lambda name: (order[name], name))
    place = {name: index for index, name in enumerate(names)}
    period = np.array([place[name] for name in month.tolist()], dtype=np.int64)
    says = (
        "The last snapshot is the one that judges. The earlier ones show the same model on the same held-out accounts: "
        "none of them trained, though other accounts of those months did, so they test new accounts and not the future."
    )
    return stability(dataset.y[rows], p, period, names, dataset.root[rows], says=says, replicates=replicates)


def _earlier(dataset: Dataset) -> NDArray[np.intp]:
    """Rows of the accounts that judge at earlier snapshots, of a sample of accounts where there are very many."""
    held_out = np.unique(dataset.root[dataset.judge])
    found = np.flatnonzero(~dataset.train & ~dataset.judge & ~dataset.time_only & np.isin(dataset.root, held_out))
    if len(found) > SCORED_ROWS:
        kept = np.random.default_rng(SEED).permutation(held_out)[: len(held_out) * SCORED_ROWS // len(found)]
        found = found[np.isin(dataset.root[found], kept)]
    return found


def _segments(trained: Trained) -> tuple[SegmentLine, ...]:
    """Ours in each segment beside the pooled models and the points, the largest segment first."""
    comparison = trained.comparison
    records = {record.segment_id: record for record in trained.judged.records}
    found = []
    for row in sorted(comparison.segments, key=lambda row: (-row.metrics[comparison.ours].rows, row.segment_id)):
        metrics, record = row.metrics[comparison.ours], records.get(row.segment_id)
        found.append(
            SegmentLine(
                segment_id=row.segment_id,
                rows=metrics.rows,
                positives=metrics.positives,
                tells=row.tells,
                auc=finite_or_none(metrics.auc),
                log_loss=finite_or_none(metrics.log_loss),
                own_model=record is not None and record.kept,
                weight=record.weight if record is not None else 0.0,
                why=record.reason if record is not None else "no segment: the pooled model answers",
                differences={d.theirs: estimate_of(d) if row.tells else Estimate(None) for d in row.differences},
            )
        )
    return tuple(found)


def _segments_used(trained: Trained) -> tuple[SegmentUse, ...]:
    listed = json.loads(trained.bundle.segment_map).get("segments", ())
    return tuple(
        SegmentUse(
            segment_id=str(entry["id"]),
            title=str(entry.get("title", "")),
            audience=tuple(str(a) for a in entry.get("audience", ())),
            purpose=str(entry.get("purpose", "")),
        )
        for entry in listed
    )


def _purpose(settings: Settings, mapping: SourceMapping | None) -> Purpose:
    if mapping is not None:
        return Purpose(mapping.name, "reaches the outcome that the export names", (mapping.outcome or "",), None)
    served = settings.targets.served
    return Purpose(served.id, served.says, tuple(served.kinds), served.horizon_days)


def _leakage(trained: Trained) -> Mapping[str, Any]:
    found = trained.bundle.manifest.training.get("leakage")
    return found if isinstance(found, Mapping) else {}


def _leaks(trained: Trained) -> tuple[str, ...]:
    """What the leakage detectors saw, in words; evidence counts rows and names no lead."""
    said = []
    for one in _leakage(trained).get("found", ()):
        place = ".".join(str(part) for part in (one.get("table"), one.get("column")) if part)
        said.append(f"{one.get('level')}: {place} {one.get('id')}: {one.get('evidence')}")
    return tuple(said)


def _rows(dataset: Dataset, part: NDArray[np.bool_]) -> Rows:
    months = dataset.slices.get(MONTH)
    periods = tuple(sorted(set(months[part].astype(str).tolist()))) if months is not None else ()
    return Rows(int(part.sum()), int(dataset.y[part].sum()), len(np.unique(dataset.root[part])), periods)


def _versions(trained: Trained) -> dict[str, str]:
    manifest = trained.bundle.manifest
    found = {
        "bundle": trained.bundle.bundle_id,
        "training data": trained.dataset.dataset_id,
        "feature set": trained.dataset.spec.version,
        "segment map": manifest.segment_map,
        "policy": manifest.policy,
    }
    for package in ("leadwell", "lightgbm", "numpy"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _notes(trained: Trained, scored: _Scored) -> tuple[str, ...]:
    said = ["Judged is the same line fitted without the rows that judge; the bundle that serves then saw every row."]
    if not trained.dataset.timed:
        said.append(
            "The data say nothing of time: the rows that judged were drawn by chance and are no later than those that "
            "trained. Whether it holds later was not shown."
        )
    judged = int(trained.dataset.judge.sum())
    interval = trained.bundle.manifest.training.get("interval")
    if isinstance(interval, Mapping) and interval.get("says"):
        said.append(f"The interval of one lead: {interval['says']}")
    moved = trained.bundle.manifest.training.get("drift")
    if isinstance(moved, Mapping) and moved.get("words"):
        said.append(str(moved["words"]))
    if len(scored.rows) < judged:
        said.append(f"Bands, reasons and drivers are of an even sample of {len(scored.rows):,} of {judged:,} rows.")
    history = trained.dataset.history
    if trained.tuning is not None:
        said.append(f"Booster shapes were looked for: {trained.tuning.says}.")
    # What is answered beside readiness is signed with it.
    said += [one.words() for one in trained.further]
    return (*said, *words_of(trained.thresholds), *(() if history is None else history.words()))


def _numbers(found: Metrics) -> dict[str, float | None]:
    return {name: finite_or_none(value) for name, value in asdict(found).items()}


def _rounded(curve: Floats) -> tuple[float, ...]:
    return tuple(np.round(curve, 6).tolist())
