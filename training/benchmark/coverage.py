"""How often the 80 % interval of a lead holds its true probability, on made worlds where that is known.

The model sees what it would in life: snapshots before the world's end, without the accounts that judge. It is then
asked about those accounts at the world's end, where `truth.parquet` knows each lead's probability of the next window.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.settings import Settings
from features.intake.sources import find_files, read_tables
from features.tables import Tables, microseconds
from models.bands import BANDS, REASONS
from models.intervals import Hidden
from models.scores import Scores
from models.segments.map import SegmentMap
from models.shares import wilson
from training.dataset.dataset import Dataset, build_dataset
from training.dataset.earlier import with_earlier
from training.train import Progress, fit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NOMINAL = 0.8
TOO_FEW = 100
EVENT_CUTS = (0, 1, 10, 50, 200)
NARROW, WIDE = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Covered:
    """Of how many leads the interval holds the truth, with a 95 % interval of that share (Wilson)."""

    group: str
    leads: int
    share: float
    low: float
    high: float
    below: float
    above: float
    width: float

    @classmethod
    def of(cls, group: str, lower: Floats, upper: Floats, truth: Floats) -> Covered:
        """Counted over some leads; at least one."""
        below, above = truth < lower, truth > upper
        inside = int((~below & ~above).sum())
        low, high = wilson(inside, len(truth))
        return cls(
            group,
            len(truth),
            inside / len(truth),
            low,
            high,
            float(below.mean()),
            float(above.mean()),
            float((upper - lower).mean()),
        )


@dataclass(frozen=True, slots=True)
class WorldCoverage:
    """Coverage on one world: overall, of deliberately wrong widths, and by group; what was hidden; who got no band."""

    seed: int
    leads: int
    trained_rows: int
    overall: Covered
    narrow: Covered
    wide: Covered
    groups: Mapping[str, tuple[Covered, ...]]
    hidden: Hidden
    reasons: Mapping[str, int]
    own_width_over_half: float


def measure_world(folder: Path, settings: Settings, progress: Progress) -> WorldCoverage:
    """Train on a world without its judging accounts and compare intervals with its truth at its end.

    Raises InputInvalid where the folder is no sample world.
    """
    try:
        summary = json.loads((folder / "sample.json").read_text(encoding="utf-8"))
        truth = pq.read_table(folder / "truth.parquet").to_pandas().set_index("lead_id")
    except (OSError, ValueError) as error:
        raise InputInvalid(str(folder), "expected a world that `leadwell sample` made") from error
    as_of = datetime.fromisoformat(summary["as_of"])
    progress("reading the world", 0.1)
    tables = read_tables(find_files(folder), settings, assets=settings.assets, as_of=as_of).tables
    known = truth.reindex(tables.lead_ids)
    progress("building features", 0.2)
    dataset = _with_the_end(tables, known["outcome_60d"].to_numpy(dtype=bool), settings, as_of)
    judge = dataset.judge
    before = (dataset.order < dataset.order.max()) & ~np.isin(dataset.root, np.unique(dataset.root[judge]))
    progress("training", 0.4)
    readiness = fit(dataset, settings, before)
    scores = readiness.predict(dataset.X[judge], dataset.segment[judge])
    p = known["p_true"].to_numpy(dtype=np.float64)[dataset.lead[judge]]
    held = tables.events["lead"][tables.events["occurred_at"] <= microseconds(as_of)]
    events = np.bincount(held[held >= 0], minlength=len(tables.lead_ids))[dataset.lead[judge]]
    names = np.array([*dataset.segment_ids, "none"], dtype=object)[dataset.segment[judge]]
    progress("comparing with the truth", 0.95)
    return WorldCoverage(
        seed=int(summary["seed"]),
        leads=len(tables.lead_ids),
        trained_rows=int(before.sum()),
        overall=Covered.of("all", scores.lower, scores.upper, p),
        narrow=Covered.of(f"{NARROW:g} times as wide", *_resized(scores, NARROW), p),
        wide=Covered.of(f"{WIDE:g} times as wide", *_resized(scores, WIDE), p),
        groups=_groups(scores, p, names, events),
        hidden=readiness.hidden,
        reasons={REASONS[code] or "band said": int((scores.reason == code).sum()) for code in np.unique(scores.reason)},
        own_width_over_half=float((scores.upper - scores.lower > 0.5).mean()),
    )


def _with_the_end(tables: Tables, happens: Bools, settings: Settings, as_of: datetime) -> Dataset:
    """Rows of the snapshots before the end and of the end itself, whose labels are what the truth says will happen."""
    horizon = timedelta(days=settings.targets.served.horizon_days)
    kind = settings.vocabularies["outcome_kind"].code(settings.targets.served.kinds[0])
    lead = np.flatnonzero(happens)
    when = microseconds(as_of + horizon / 2)
    given: dict[str, Any] = {"lead": lead, "kind": kind, "occurred_at": when, "recorded_at": when}
    outcomes = {}
    for name, column in tables.outcomes.items():
        more = np.zeros(len(lead), dtype=column.dtype) if column.dtype != object else np.full(len(lead), None, object)
        if name in given:
            more[:] = given[name]
        outcomes[name] = np.concatenate([column, more])
    later = replace(
        tables,
        outcomes=outcomes,
        # A world ends one window earlier than it is judged; who may be scored is asked as at its end.
        suppressions_complete_as_of=tables.suppressions_complete_as_of + horizon // timedelta(microseconds=1),
    )
    training = settings.training.model_copy(update={"snapshots": settings.training.snapshots + 1})
    more_snapshots = settings.model_copy(update={"training": training})
    segment_map = SegmentMap.load(settings)
    dataset = build_dataset(later, more_snapshots, segment_map, as_of + horizon)
    return with_earlier(dataset, later, more_snapshots, segment_map, as_of + horizon)


def _resized(scores: Scores, factor: float) -> tuple[Floats, Floats]:
    """The same intervals some times as wide on the log-odds, around their middle: a test that can fail."""
    low, high = (np.log(end / (1 - end)) for end in (scores.lower, scores.upper))
    middle, half = (low + high) / 2, (high - low) / 2 * factor
    return 1 / (1 + np.exp(half - middle)), 1 / (1 + np.exp(-half - middle))


def _groups(scores: Scores, p: Floats, segment: NDArray[np.object_], events: NDArray[Any]) -> dict[str, Any]:
    """Coverage by band, segment, number of events and fifth of the probability; small groups in one."""
    fifth = np.searchsorted(np.quantile(scores.probability, (0.2, 0.4, 0.6, 0.8)), scores.probability)
    cut = np.searchsorted(EVENT_CUTS, events, side="right") - 1
    labels = [
        "none" if low == 0 else f"{low} to {high - 1}" if high else f"{low} and more"
        for low, high in zip(EVENT_CUTS, (*EVENT_CUTS[1:], 0), strict=True)
    ]
    names = {
        "band": np.array(BANDS, dtype=object)[scores.band],
        "segment": segment,
        "events": np.array(labels, dtype=object)[cut],
        "fifth of the probability": np.array([f"fifth {k + 1}" for k in range(5)], dtype=object)[fifth],
    }
    found: dict[str, tuple[Covered, ...]] = {}
    for name, of_row in names.items():
        size = {one: int((of_row == one).sum()) for one in np.unique(of_row)}
        shown = np.array([one if size[one] >= TOO_FEW else "smaller groups" for one in of_row], dtype=object)
        order = [one for one in (*BANDS, *labels, *sorted(set(shown))) if one in set(shown)]
        chosen = {one: shown == one for one in dict.fromkeys(order)}
        found[name] = tuple(
            Covered.of(one, scores.lower[rows], scores.upper[rows], p[rows]) for one, rows in chosen.items()
        )
    return found
