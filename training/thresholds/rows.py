"""The held-out leads that thresholds are proposed on: from a bundle's held-out line, or from a line fitted for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import NotReady
from configs.mapping import SourceMapping
from configs.settings import Settings
from features.evaluate import Domain
from features.intake.sources import Intake
from features.links import follow_links
from features.tables import Tables
from features.view import ViewRules
from models.bundle import read_bundle
from models.hygiene import judge
from models.segments.map import SegmentMap
from training.dataset.dataset import Dataset, build_dataset, build_flat_dataset, snapshot_days
from training.dataset.targets import Rule, reached
from training.experiments.selection import corrected
from training.further import refuse_other_target
from training.registry.lines import read_line
from training.thresholds.thresholds import Held, held_of
from training.train import fit

Progress = Callable[[str, float], None]
Answers = NDArray[np.int8]

FEW = 50


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Held-out leads, and the hot cut of the bundle that they were told by; None where no bundle was asked."""

    held: Held
    hot_now: dict[str, float] | None = None


def hold_out(
    tables: Tables, settings: Settings, as_of: datetime, *, bundle: Path | None = None, progress: Progress | None = None
) -> HeldOut:
    """Held-out leads of the latest complete snapshot, with what sales said of them in the horizon after it.

    With a bundle its held-out line answers, for leads of held-out accounts that it was not fitted on; else one is
    fitted as `train` does. Raises InputInvalid on too little data, NotReady where the bundle's line has seen nearly
    all of them.
    """
    tell = progress or (lambda what, share: None)
    if bundle is None:
        segment_map = SegmentMap.load(settings)
        segment_map = segment_map.without(judge(tables, settings, segment_map, as_of).inactive)
        tell("building features and labels", 0.0)
        dataset, _ = corrected(build_dataset(tables, settings, segment_map, as_of), tables, settings, as_of)
        tell("fitting without the leads that judge", 0.4)
        line = fit(dataset, settings, dataset.train)
        hot = None
    else:
        found = read_bundle(bundle)
        found.refuse_other_vocabularies(settings.vocabularies)
        refuse_other_target(found.manifest, settings)
        kept = read_line(bundle, found)
        segment_map = SegmentMap.from_json(found.segment_map, Domain.of(settings))
        tell("building features and labels", 0.0)
        dataset, _ = corrected(
            build_dataset(tables, settings, segment_map, as_of, spec=found.spec), tables, settings, as_of
        )
        tell("asking the held-out line", 0.8)
        latest = dataset.judge | dataset.time_only
        # A colleague of those that it was fitted on is not new either: held-out accounts only, as in a challenge.
        new = dataset.judge.copy()
        new[new] = ~kept.has_seen(tables.lead_ids[dataset.lead[dataset.judge]].tolist())
        if new.sum() < FEW:
            raise NotReady(f"{bundle}: expected {FEW} leads that it was not trained on, found {int(new.sum())}")
        dataset = replace(dataset, judge=new, time_only=latest & ~new)
        line = kept.readiness
        hot = {name: cuts["hot"] for name, cuts in found.readiness.bands.items()}
    scores = line.predict(dataset.X[dataset.judge], dataset.segment[dataset.judge])
    answer = answers(tables, settings, dataset, as_of)
    return HeldOut(held_of(dataset, scores, settings, answer=answer), hot)


def hold_out_flat(
    intake: Intake, settings: Settings, mapping: SourceMapping, *, progress: Progress | None = None
) -> HeldOut:
    """The last part of a flat export by a line fitted on what came before; nothing is known of what sales said."""
    tell = progress or (lambda what, share: None)
    segment_map = SegmentMap.load(settings)
    inactive = judge(intake.tables, settings, segment_map, mapping.as_of.astimezone(UTC)).inactive
    tell("building features and labels", 0.0)
    dataset = build_flat_dataset(intake, settings, segment_map.without(inactive), mapping)
    tell("fitting without the leads that judge", 0.4)
    line = fit(dataset, settings, dataset.train)
    scores = line.predict(dataset.X[dataset.judge], dataset.segment[dataset.judge])
    return HeldOut(held_of(dataset, scores, settings))


def answers(tables: Tables, settings: Settings, dataset: Dataset, as_of: datetime) -> Answers:
    """What sales said of each row that judges in the horizon after its snapshot: 1 taken, 0 turned down, -1 nothing.

    Who was taken in the end was taken, whatever was said before.
    """
    snapshot, days = snapshot_days(settings, as_of)[-1], settings.targets.served.horizon_days
    people = follow_links(tables, snapshot, ViewRules.of(settings).links)
    outcomes, said = settings.vocabularies["outcome_kind"], settings.feedback
    found = np.full(len(tables.lead_ids), -1, dtype=np.int8)
    for kinds, code in ((said.rejected, 0), (said.accepted, 1)):
        found[reached(people, Rule(tuple(outcomes.code(kind) for kind in kinds), days), snapshot, as_of)] = code
    rows: Answers = found[dataset.lead[dataset.judge]]
    return rows
