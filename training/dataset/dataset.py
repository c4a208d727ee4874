"""From tables to rows to learn from: the spine of (lead, as_of), features, labels over the horizon, and the split.

A row is a lead at a snapshot. Snapshots lie one after another, the latest one horizon before `as_of`, so that every
label is complete. Features are built once, labels for as many targets as are asked for. The split is by time and by
root account at once: what judges is the latest snapshot of held-out accounts, what trains is the earlier snapshots of
the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.mapping import NO_TIME, SourceMapping
from configs.settings import Settings
from configs.targets import Target
from features.intake.sources import Intake
from features.mail_domains import with_mail_domains
from features.pipeline import FeatureSpec, fit_spec
from features.tables import YES, Tables
from features.use.withheld import Withheld
from features.view import ViewRules, usable, view_at
from models.intervals import Earlier
from models.segments.map import SegmentMap
from policy.gates import gate_columns
from training.dataset.censoring import (
    History,
    SnapshotLine,
    day_of_instant,
    recording_delay,
    silent_since,
    snapshot_counts,
    window_days,
)
from training.dataset.rows import Rows
from training.dataset.snapshots import Snapshot, Snapshots, lawful_now
from training.dataset.split import TargetRows, folds, root_accounts, split_rows, target_rows
from training.dataset.targets import TargetRules

__all__ = [
    "Dataset",
    "TargetRows",
    "build_dataset",
    "build_flat_dataset",
    "folds",
    "gated",
    "lawful_now",
    "root_accounts",
]

Progress = Callable[[str, float], None]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MIN_POSITIVES = 20
MONTH = "month"


@dataclass(frozen=True, slots=True)
class EarlierRows:
    """Rows that only tell how alike the outcomes of one lead are, and the root account of each."""

    rows: Earlier
    root: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows to learn from and to be judged on; every array has one entry a row.

    `train` and `judge` share no account and `judge` is later. `time_only` is the latest snapshot of the accounts that
    train: later in time, not new. `order` rises with time. `counts` says what became of every (lead, snapshot).
    `given` says which point rules fired, (rows, rules), and `kept_percent` what decay left of engagement points.
    `slices` names the group of each row by role, setting, jurisdiction, source and month: what metrics are cut by;
    without a month the rows are of one time, and what judges was drawn by chance.
    `weights` say for how many rows each stands where only some leads have outcomes (see `training/experiments`),
    0 for a row that nothing is known of; None: each row counts once.
    `further` has the labels of other targets, and `history` what the records could not tell; a flat export has neither.
    `earlier` are rows of the same leads from before the first snapshot (see `training/dataset/earlier.py`).
    `days` is each row's horizon where these are the rows of a further target; None: the served one's.
    """

    spec: FeatureSpec
    segment_ids: tuple[str, ...]
    X: Floats
    y: Floats
    lead: NDArray[np.int64]
    order: Floats
    fold: NDArray[np.int64]
    root: NDArray[np.int64]
    segment: NDArray[np.int64]
    points: NDArray[np.int64]
    given: NDArray[np.bool_]
    kept_percent: NDArray[np.int64]
    train: Bools
    judge: Bools
    time_only: Bools
    counts: Mapping[str, int]
    dataset_id: str
    slices: Mapping[str, NDArray[np.object_]]
    further: Mapping[str, TargetRows] = field(default_factory=dict)
    history: History | None = None
    weights: Floats | None = None
    days: NDArray[np.int64] | None = None
    earlier: EarlierRows | None = None

    @property
    def timed(self) -> bool:
        """Whether what judges is later than what trains."""
        return MONTH in self.slices


def build_dataset(
    tables: Tables,
    settings: Settings,
    segment_map: SegmentMap,
    as_of: datetime,
    *,
    spec: FeatureSpec | None = None,
    further: Sequence[Target] = (),
    progress: Progress | None = None,
) -> Dataset:
    """Rows of every complete snapshot; raises InputInvalid where there is too little to learn from.

    What a row may know, and which snapshots have any, is promised by `training/dataset/snapshots.py`.
    """
    tell = progress or (lambda what, share: None)
    training, view = settings.training, ViewRules.of(settings)
    targets = [TargetRules.of(target, settings, segment_map) for target in (settings.targets.served, *further)]
    days = snapshot_days(settings, as_of)
    lawful = lawful_now(tables, as_of, view)
    spec = spec or with_mail_domains(gated(fit_spec(settings), settings), lawful, days[0], view)
    rows = Rows(settings, spec, segment_map, as_of.date())
    built = Snapshots.of(tables, lawful, settings, rows, as_of, targets)
    found = []
    for number, snapshot in enumerate(days):
        tell(f"snapshot {snapshot:%Y-%m-%d}", number / len(days))
        found.append(built.at(number, snapshot))
    parts = [one.columns for one in found if one.columns is not None]
    told = _history(built, found, days[-1])
    if not parts:
        raise InputInvalid("training data", _nothing_recorded(settings, told.snapshots, built.recorded[0]))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    root, root_ids = root_accounts(tables, as_of, rows.builder.view.links)
    fold, held_out = folds(root_ids, training.folds, training.holdout_share)
    out = held_out[root[joined["lead"]]]
    every = np.ones(len(out), dtype=np.bool_)
    split, left = split_rows(joined["order"], days, joined["target 0 days"], every, out, len(days) - 1)
    lost = sum(one.lost for one in found)
    counts = {
        "rows": len(joined["y"]),
        "lead not known yet": sum(line.not_known_yet for line in told.snapshots),
        "may not be learned from": sum(line.not_learned_from for line in told.snapshots) - lost,
        "basis lost since the snapshot": lost,
        **left,
        **snapshot_counts(told.snapshots),
        **withheld_counts(usable(tables, days[-1], rows.builder.view).withheld),
    }
    others = {
        target.target.id: target_rows(target, joined, place, days, out) for place, target in enumerate(targets) if place
    }
    ids = segment_map.segment_ids
    made = _finished(spec, ids, joined, root, fold, split, counts, tables.lead_ids, why=told.warnings())
    return replace(made, further=others, history=told)


def _history(built: Snapshots, found: Sequence[Snapshot], latest: datetime) -> History:
    """What the records could carry, in counts, `latest` being the last snapshot."""
    settings, recorded = built.settings, built.recorded[0]
    served = settings.targets.served
    horizon = timedelta(days=served.horizon_days)
    return History(
        horizon_days=served.horizon_days,
        outcomes_from=day_of_instant(min((start for start in recorded if start is not None), default=None)),
        events_from=day_of_instant(built.starts.events),
        declared=built.starts.declared,
        leads=int((built.present & built.learnable).sum()),
        too_young=found[-1].too_young,
        window_days=window_days(settings),
        snapshots=tuple(one.line for one in found),
        delay=recording_delay(built.tables.outcomes, built.targets[0].kinds, latest, latest + horizon, built.as_of),
        max_unrecorded=settings.targets.history.max_unrecorded_share,
        silent_since=silent_since(built.tables.outcomes, built.targets[0].kinds, built.as_of),
    )


def _nothing_recorded(settings: Settings, lines: Sequence[SnapshotLine], starts: Sequence[int | None]) -> str:
    """Why no snapshot has any row."""
    if not any(line.outcomes_not_recorded for line in lines):
        return f"expected leads that may be learned from at the snapshots since {lines[0].day}, found none"
    kinds = ", ".join(settings.targets.served.kinds)
    begun = day_of_instant(min((start for start in starts if start is not None), default=None))
    found = f"are recorded from {begun} on" if begun is not None else "were never recorded"
    return (
        f"expected outcomes recorded since before {lines[-1].day}, the latest snapshot whose horizon is over; "
        f"{kinds} {found}: before that nobody knows who had none. If they were recorded all along, say since when: "
        "history.outcomes_from in targets.yaml"
    )


def snapshot_days(settings: Settings, as_of: datetime) -> list[datetime]:
    """The instants that rows are taken at, earliest first; a row's `order` is its number in this list."""
    training = settings.training
    waits = settings.targets.served.horizon_days + settings.targets.history.settle_days
    latest_day = as_of - timedelta(days=waits)
    return [latest_day - timedelta(days=k * training.snapshot_every_days) for k in range(training.snapshots)][::-1]


def build_flat_dataset(
    intake: Intake,
    settings: Settings,
    segment_map: SegmentMap,
    mapping: SourceMapping,
    *,
    spec: FeatureSpec | None = None,
) -> Dataset:
    """Rows of a flat export in its declared order; the last part in time judges, and there is one snapshot."""
    if intake.order is None or intake.outcome is None:
        raise InputInvalid(mapping.name, "expected an export read for training, with its order and its outcome")
    tables = intake.tables
    spec = spec or gated(fit_spec(settings, tables, mapping), settings, mapping)
    rows = Rows(settings, spec, segment_map, mapping.as_of.date())
    known = view_at(tables, mapping.as_of, rows.builder.view)
    learnable = rows.may_learn_from(known)
    judgeable = np.isfinite(intake.order) & (intake.outcome > 0)
    kept = np.flatnonzero(known.present & learnable & judgeable)
    found = rows.of(known, kept)
    found["y"] = (intake.outcome[kept] == YES).astype(np.float64)
    found["order"] = np.unique(intake.order[kept], return_inverse=True)[1].ravel().astype(np.float64)
    # A flat export has no months: its order, cut in fifths, stands for them. Rows of one time have no such parts.
    del found["slice month"]
    if mapping.order_by != NO_TIME:
        fifth = 5 * found["order"] // (found["order"].max(initial=0.0) + 1.0)
        found["slice month"] = np.array([f"fifth {part + 1:.0f}" for part in fifth.tolist()], dtype=object)
    root, root_ids = root_accounts(tables, mapping.as_of)
    fold, _ = folds(root_ids, settings.training.folds, settings.training.holdout_share)
    # Rows of one instant stay together: what trains is earlier than what judges, never equal.
    later = found["order"] >= _cut(found["order"], settings.training.holdout_share)
    # Leads of an account that judges must not train; without accounts every lead is its own.
    judging = np.zeros(len(root_ids), dtype=np.bool_)
    judging[root[kept[later]]] = True
    split = {"train": ~later & ~judging[root[kept]], "judge": later, "time_only": np.zeros(len(kept), dtype=np.bool_)}
    counts = {
        "rows": len(kept),
        "lead not known yet": int((~known.present).sum()),
        "may not be learned from": int((known.present & ~learnable).sum()),
        "order or outcome not known": int((known.present & learnable & ~judgeable).sum()),
        "account also judges": int((~later & judging[root[kept]]).sum()),
    } | withheld_counts(known.withheld)
    return _finished(spec, segment_map.segment_ids, found, root, fold, split, counts, tables.lead_ids)


def gated(spec: FeatureSpec, settings: Settings, mapping: SourceMapping | None = None) -> FeatureSpec:
    """The spec when the feature gate lets every column pass; raises InputInvalid naming those that it refuses."""
    purposes = {column.column: column.purposes for column in mapping.attributes} if mapping else {}
    refused = gate_columns(spec.features, settings.data_use, purposes).dropped
    if refused:
        named = ", ".join(f"{found.name} ({found.rule} {found.reason})" for found in refused)
        raise InputInvalid("features", f"expected no feature that may never be learned from: {named}")
    return spec


def withheld_counts(withheld: Withheld | None) -> dict[str, int]:
    """How many events and values of the latest snapshot were not used, by what they are and by which rule."""
    found = withheld.totals() if withheld is not None else []
    return {f"withheld: {one['what']} ({one['rule']} {one['reason']})": int(one["count"]) for one in found}


def _cut(order: Floats, share: float) -> float:
    """Where the last `share` of the rows begins in their order."""
    first = int(np.floor(len(order) * (1.0 - share)))
    return float(np.sort(order)[first]) if first < len(order) else np.inf


def _finished(
    spec: FeatureSpec,
    segment_ids: tuple[str, ...],
    rows: Mapping[str, NDArray[Any]],
    root: NDArray[np.int64],
    fold: NDArray[np.int64],
    split: Mapping[str, Bools],
    counts: Mapping[str, int],
    lead_ids: NDArray[np.object_],
    *,
    why: Sequence[str] = (),
) -> Dataset:
    of_row = root[rows["lead"]]
    for part in ("train", "judge"):
        positives = int(rows["y"][split[part]].sum())
        negatives = int(split[part].sum()) - positives
        if min(positives, negatives) < MIN_POSITIVES:
            raise InputInvalid(
                "training data",
                f"expected at least {MIN_POSITIVES} leads with and {MIN_POSITIVES} without the outcome to {part}, "
                + "; ".join((f"found {positives} and {negatives}", *why)),
            )
    digest = hashlib.sha256(spec.version.encode())
    for name in ("X", "y", "lead", "order", "segment"):
        digest.update(np.ascontiguousarray(rows[name]).tobytes())
    digest.update("\n".join(lead_ids.tolist()).encode())
    return Dataset(
        spec=spec,
        segment_ids=segment_ids,
        X=rows["X"],
        y=rows["y"],
        lead=rows["lead"],
        order=rows["order"],
        fold=fold[of_row],
        root=of_row,
        segment=rows["segment"],
        points=rows["points"],
        given=rows["given"],
        kept_percent=rows["kept_percent"],
        counts={**counts, **{part: int(chosen.sum()) for part, chosen in split.items()}},
        dataset_id=digest.hexdigest(),
        slices={name.removeprefix("slice "): rows[name] for name in rows if name.startswith("slice ")},
        train=split["train"],
        judge=split["judge"],
        time_only=split["time_only"],
    )
