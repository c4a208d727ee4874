"""The journey from recent outcomes to a recalibrated bundle: a new id, the same boosters, and where it came from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.mapping import SourceMapping
from configs.settings import Settings
from features.evaluate import Domain
from features.intake.sources import Intake
from features.tables import YES, Tables
from features.view import view_at
from models.bundle import Bundle, read_bundle, write_bundle
from models.segments.map import SegmentMap
from training.dataset.dataset import build_dataset, build_flat_dataset
from training.dataset.rows import Rows
from training.drift.recalibration import MIN_ROWS, Recalibrated, recalibrated
from training.registry.gates import HELD_OUT
from training.registry.history import person

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recent:
    """Recent rows with their outcomes; `seen` says that the bundle was trained on some of them."""

    X: Floats
    y: Floats
    segment: NDArray[np.int64]
    order: Floats
    seen: bool


def recent_of_tables(bundle: Bundle, tables: Tables, settings: Settings, as_of: datetime) -> Recent:
    """The latest snapshot whose horizon is over by `as_of`, all its leads; raises InputInvalid on too few outcomes."""
    segment_map = SegmentMap.from_json(bundle.segment_map, Domain.of(settings))
    dataset = build_dataset(tables, settings, segment_map, as_of, spec=bundle.spec)
    rows = dataset.judge | dataset.time_only
    # A snapshot's leads have one instant: an order by account keeps the blocks mixed and the run repeatable.
    order = dataset.root[rows].astype(np.float64)
    seen = bundle.manifest.created_as_of >= as_of
    return Recent(dataset.X[rows], dataset.y[rows], dataset.segment[rows], _mixed(order), seen)


def recent_of_export(bundle: Bundle, intake: Intake, settings: Settings, mapping: SourceMapping) -> Recent:
    """Every row of a flat export that may be learned from, in its declared order."""
    if intake.order is None or intake.outcome is None:
        raise InputInvalid(mapping.name, "expected an export read for training, with its order and its outcome")
    segment_map = SegmentMap.from_json(bundle.segment_map, Domain.of(settings))
    rows = Rows(settings, bundle.spec, segment_map, mapping.as_of.date())
    known = view_at(intake.tables, mapping.as_of, rows.builder.view)
    usable = known.present & rows.may_learn_from(known) & np.isfinite(intake.order) & (intake.outcome > 0)
    kept = np.flatnonzero(usable)
    if len(kept) < MIN_ROWS:
        raise InputInvalid(
            "recent outcomes", f"expected at least {MIN_ROWS} leads that may be learned from, found {len(kept)}"
        )
    found = rows.of(known, kept)
    y = (intake.outcome[kept] == YES).astype(np.float64)
    return Recent(found["X"], y, found["segment"], intake.order[kept], _trained_on(bundle, intake, settings, mapping))


def _trained_on(bundle: Bundle, intake: Intake, settings: Settings, mapping: SourceMapping) -> bool:
    """Whether the bundle was trained on this very export."""
    segment_map = SegmentMap.from_json(bundle.segment_map, Domain.of(settings))
    try:
        whole = build_flat_dataset(intake, settings, segment_map, mapping, spec=bundle.spec)
    except InputInvalid:
        # Too little to train on, so nothing was trained on it.
        return False
    return bundle.manifest.training_data == whole.dataset_id


def write_recalibrated(
    bundle: Bundle, recent: Recent, folder: Path, *, as_of: datetime, by: str = ""
) -> tuple[Bundle, Recalibrated]:
    """Write the bundle at the level of the recent rows; the old one stays as it is.

    INVARIANT: boosters, features, segments and further targets are those of the old bundle; its manifest says from
    which bundle it was recalibrated and how far.

    Raises:
        InputInvalid: there are too few recent rows, or the bundle has no model.
    """
    if bundle.cold_start:
        raise InputInvalid(str(bundle.folder), "this bundle answers by points alone: there is nothing to recalibrate")
    if len(recent.y) < MIN_ROWS:
        raise InputInvalid("recent outcomes", f"expected at least {MIN_ROWS} leads, found {len(recent.y)}")
    found = recalibrated(bundle.readiness, recent.X, recent.y, recent.segment, recent.order)
    manifest = bundle.manifest
    # What was measured and held out is of the old lines: only later data can judge this one, of the same kind of rows.
    of_old = (HELD_OUT, "recalibrated_by", "recalibrated_from", "recalibration")
    kept: dict[str, Any] = {key: value for key, value in manifest.training.items() if key not in of_old}
    kind = {HELD_OUT: {"rows": manifest.training[HELD_OUT]["rows"]}} if HELD_OUT in manifest.training else {}
    written = write_bundle(
        folder,
        found.readiness,
        bundle.spec,
        segment_map=bundle.segment_map,
        scorecard=bundle.scorecard,
        vocabularies=_vocabularies(bundle),
        as_of=max(as_of, manifest.created_as_of),
        golden=_golden(bundle),
        policy=manifest.policy,
        training_data=manifest.training_data,
        training={
            **kept,
            **kind,
            # INVARIANT: who trained stays on record beside who recalibrated; neither approves their own work.
            "recalibrated_by": person(by) if by else "",
            "recalibrated_from": bundle.bundle_id,
            "recalibration": found.record(),
        },
        metrics=manifest.metrics,
        further=bundle.further,
    )
    return written, found


def _golden(bundle: Bundle) -> tuple[Floats, NDArray[np.int64]]:
    """Rows of the old bundle's golden predictions; the new one predicts them anew."""
    # The bundle is read again whole, so that nothing unhashed is parsed.
    read_bundle(bundle.folder, expected=bundle.bundle_id)
    golden = json.loads((bundle.folder / "golden.json").read_text(encoding="utf-8"))
    rows = np.array(golden["rows"], dtype=np.float64).reshape(-1, len(bundle.readiness.names) - 1)
    return rows, np.array(golden["segment"], dtype=np.int64)


def _vocabularies(bundle: Bundle) -> Any:
    """The vocabularies of the old bundle in the shape that writing one asks for."""

    @dataclass(frozen=True)
    class Values:
        values: tuple[str, ...]

    return {name: Values(values) for name, values in bundle.vocabularies.items()}


def _mixed(order: Floats) -> Floats:
    """A fixed shuffle that keeps equal values together."""
    values, place = np.unique(order, return_inverse=True)
    shuffled: Floats = np.random.default_rng(7).permutation(len(values))[place.ravel()].astype(np.float64)
    return shuffled
