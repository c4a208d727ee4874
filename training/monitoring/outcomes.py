"""Were the predictions of earlier nights true? Judged by what happened within the horizon, as known on the last night.

A lead is judged when its horizon is over by then. The gap is what happened minus what was predicted, over leads; leads
of one account count once in its spread, and limits hold for everybody, bands and segments together (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from configs.settings import Settings
from features.ids import places_of
from features.intake.sources import find_files, read_tables
from features.tables import Tables, known_at
from models.segments.map import SegmentMap
from models.shares import z_for
from training.dataset.targets import TargetRules, product_of, reached
from training.monitoring.results import Result
from training.monitoring.watch import CalibrationBin, Watch

Floats = NDArray[np.float64]
BINS = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """The predictions of one night beside what happened: one entry a lead whose horizon is over.

    `group` numbers accounts; `told` says in words what was left out.
    """

    as_of: datetime
    predicted: Floats
    happened: NDArray[np.bool_]
    group: NDArray[np.uint64]
    band: NDArray[np.object_]
    segment: NDArray[np.object_]
    told: str


class Outcomes:
    """What happened to the leads of some data, as known at an instant."""

    def __init__(self, data: Path, settings: Settings, known_by: datetime) -> None:
        files = {name: file for name, file in find_files(data).items() if name in ("leads", "outcomes")}
        self.recorded = "outcomes" in files
        self.tables: Tables = read_tables(files, settings, as_of=known_by).tables
        self.known_by = known_by
        segment_map = SegmentMap.load(settings)
        self.rules = TargetRules.of(settings.targets.served, settings, segment_map)

    @property
    def first_day(self) -> timedelta:
        """How long after a night the first of its predictions can be judged."""
        return timedelta(days=int(self.rules.days.min()))

    def judge(self, result: Result) -> Judged | None:
        """The predictions of a night whose horizon is over; None where there are none."""
        if not self.recorded or "probability" not in result.columns:
            return None
        parts = [(table, units) for table, units in result.tables(["probability", "band", "primary_segment"])]
        ids = np.concatenate([table["lead_id"].to_numpy(zero_copy_only=False) for table, _ in parts])
        group = np.concatenate([units for _, units in parts])
        probability = np.concatenate([pc.fill_null(table["probability"], np.nan).to_numpy() for table, _ in parts])
        band, segment = (
            np.concatenate([table[name].to_numpy(zero_copy_only=False).astype(object) for table, _ in parts])
            for name in ("band", "primary_segment")
        )
        lead = np.asarray(places_of(ids, self.tables.lead_ids))
        known = known_at(self.tables, result.as_of)
        scored, found = ~np.isnan(probability), lead >= 0
        rows = np.flatnonzero(scored & found)
        places = {name: at for at, name in enumerate(self.rules.segment_ids)}
        codes = np.array([places.get(name, -1) for name in segment[rows].tolist()], dtype=np.int64)
        of = self.rules.of_rows(codes, product_of(known, lead[rows]))
        days = np.array([rule.days for rule in self.rules.rules], dtype=np.int64)[of]
        over = np.array([result.as_of + timedelta(days=int(one)) <= self.known_by for one in np.unique(days)])
        ripe = over[np.searchsorted(np.unique(days), days)]
        if not ripe.any():
            return None
        happened = np.zeros(len(rows), dtype=np.bool_)
        for index in np.unique(of[ripe]).tolist():
            mine = of == index
            got_there = reached(self.tables, self.rules.rules[index], result.as_of, self.known_by)
            happened[mine] = got_there[lead[rows[mine]]]
        kept = rows[ripe]
        gone, young = int((scored & ~found).sum()), int((~ripe).sum())
        told = f"{len(kept):,} judged"
        told += f", {young:,} not yet" if young else ""
        told += f", {gone:,} not in the data any more" if gone else ""
        told += f", {int((~scored).sum()):,} without a prediction" if not scored.all() else ""
        return Judged(result.as_of, probability[kept], happened[ripe], group[kept], band[kept], segment[kept], told)


def calibration_watches(judged: Judged, min_outcomes: int) -> list[Watch]:
    """The gap of everybody, each band and each segment that has enough outcomes, happened or expected."""
    whole = np.ones(len(judged.predicted), dtype=np.bool_)
    cells = [("everybody", whole)]
    cells += [(f"band {name}", judged.band == name) for name in sorted(set(judged.band.tolist()) - {None})]
    cells += [(f"segment {name}", judged.segment == name) for name in sorted(set(judged.segment.tolist()) - {None})]
    enough = [
        (name, rows)
        for name, rows in cells
        if max(judged.predicted[rows].sum(), judged.happened[rows].sum()) >= min_outcomes
    ]
    z = z_for(len(enough))
    return [_gap(name, judged, rows, z) for name, rows in enough]


def bins_of(judged: Judged) -> tuple[CalibrationBin, ...]:
    """Tenths of the judged leads from the lowest prediction up; equal predictions are never parted."""
    _, place, counts = np.unique(judged.predicted, return_inverse=True, return_counts=True)
    tenth = np.minimum((np.cumsum(counts) - counts) * BINS // max(len(judged.predicted), 1), BINS - 1)[place]
    found = []
    for at in np.unique(tenth).tolist():
        rows = tenth == at
        mean = float(judged.predicted[rows].mean())
        found.append(CalibrationBin(int(rows.sum()), mean, int(judged.happened[rows].sum())))
    return tuple(found)


def _gap(name: str, judged: Judged, rows: NDArray[np.bool_], z: float) -> Watch:
    predicted, happened = judged.predicted[rows], judged.happened[rows]
    n = len(predicted)
    expected, observed = float(predicted.mean()), float(happened.mean())
    change = observed - expected
    # Each account's sum of what was not foretold, around the mean: leads of one account are not independent.
    groups, of_row = np.unique(judged.group[rows], return_inverse=True)
    sums = np.bincount(of_row.ravel(), weights=happened - predicted - change)
    many = len(groups)
    spread = float(np.sqrt((sums**2).sum() * many / max(many - 1, 1)) / n)
    low, high = change - z * spread, change + z * spread
    beyond = many > 1 and (low > 0 or high < 0)
    verb = "fits" if not beyond else "is too low" if change > 0 else "is too high"
    says = (
        f"the prediction of {judged.as_of:%Y-%m-%d} for {name} {verb}: {expected:.1%} predicted, {observed:.1%} came"
        f" ({100 * change:+.2f} points, {100 * low:+.2f} to {100 * high:+.2f}; {int(happened.sum()):,} of {n:,} leads)"
    )
    counts = (round(float(predicted.sum())), int(happened.sum()))
    return Watch("calibration", name, "gap", expected, observed, change, low, high, counts, (n, n), beyond, says)


def matured(outcomes: Outcomes, results: Sequence[Result]) -> list[Judged]:
    """What can be judged of each night but the last, oldest first."""
    return [found for result in results[:-1] if (found := outcomes.judge(result)) is not None]
