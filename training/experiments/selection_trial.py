"""Does weighting help? Learning from the leads that sales worked on, judged on all, in made worlds with a known truth.

Five ways of learning, the same line but for who counts and how much: `oracle` sees every outcome; `corrected` sees the
worked-on ones, weighted; `half corrected` by the square root of those weights; `uncorrected` the same ones unweighted;
`as failures` takes everybody else for a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.settings import Settings
from features.intake.sources import find_files, read_tables
from features.tables import Tables
from features.view import view_at
from models.readiness import fit_readiness
from models.segments.map import SegmentMap
from training.dataset.dataset import Dataset, build_dataset
from training.dataset.rows import Rows
from training.experiments.selection import selection_weights
from training.sample.routing import Routing, route

Floats = NDArray[np.float64]

WAYS = ("oracle", "corrected", "half corrected", "uncorrected", "as failures")
_POWER = {"corrected": 1.0, "half corrected": 0.5}
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one way of learning got of the truth in one world, over all leads and over those nobody would work on.

    `excess` is the log-loss under the true chances above that of saying the truth (0 is perfect), `error` the root mean
    square of probability minus truth, `bias` the mean of it, `rank` Spearman's rank correlation with the truth.
    """

    world: str
    policy: str
    way: str
    rows: int
    effective: float
    excess: float
    excess_low: float
    error: float
    bias: float
    bias_low: float
    rank: float


@dataclass(frozen=True, slots=True)
class World:
    """A made world as rows to learn from and rows to be judged on, whose true chances are known."""

    name: str
    dataset: Dataset
    impression: Floats
    judged: Floats
    judged_segment: NDArray[np.int64]
    truth: Floats
    score: Floats


def read_world(folder: Path, settings: Settings, as_of: datetime) -> World:
    """Read a made world with its `truth.parquet`; rows to be judged on are all leads that may be scored at `as_of`."""
    tables: Tables = read_tables(find_files(folder), settings, assets=settings.assets, as_of=as_of).tables
    segment_map = SegmentMap.load(settings)
    dataset = build_dataset(tables, settings, segment_map, as_of)
    rows = Rows(settings, dataset.spec, segment_map, as_of.date())
    known = view_at(tables, as_of, rows.builder.view)
    kept = np.flatnonzero(known.present & rows.may_learn_from(known))
    now = rows.of(known, kept)
    read = pq.read_table(folder / "truth.parquet", columns=["lead_id", "p_true"]).to_pydict()
    chance = dict(zip(read["lead_id"], read["p_true"], strict=True))
    truth = np.array([chance[lead_id] for lead_id in tables.lead_ids.tolist()])
    # A person's impression: what the records do not hold shows in the chances that come later, with much noise.
    unseen = np.log(truth / (1 - truth)) + np.random.default_rng(3).normal(0, 1.5, len(truth))
    return World(
        name=folder.name,
        dataset=dataset,
        impression=unseen[dataset.lead],
        judged=now["X"],
        judged_segment=now["segment"],
        truth=truth[kept],
        score=now["points"].astype(np.float64),
    )


def lessons(world: World, settings: Settings, policy: str, routing: Routing, *, seed: int = 7) -> list[Lesson]:
    """Route the leads of every snapshot, learn in each way, and compare with the truth on all leads."""
    dataset, rng = world.dataset, np.random.default_rng(seed)
    worked, propensity = np.zeros(len(dataset.y), dtype=np.bool_), np.empty(len(dataset.y))
    for number in np.unique(dataset.order):
        rows = np.flatnonzero(dataset.order == number)
        routed = route(rng, dataset.points[rows].astype(np.float64), world.impression[rows], routing)
        worked[rows], propensity[rows] = routed.worked, routed.propensity
    low = world.score <= np.quantile(world.score, 1 - routing.worked_share)
    found = []
    for way in WAYS:
        used = worked if way in (*_POWER, "uncorrected") else np.ones(len(dataset.y), dtype=np.bool_)
        weights, effective = np.ones(len(dataset.y)), float(used.sum())
        if way in _POWER:
            flat = settings.exploration.model_copy(update={"weight_power": _POWER[way]})
            selection = selection_weights(worked, propensity, flat)
            weights, effective = selection.weights, selection.effective
            used = used & (weights > 0)
        y = np.where(worked, dataset.y, 0.0) if way == "as failures" else dataset.y
        guessed = _learned(world, settings, y, used, weights)
        found.append(_lesson(world, policy, way, guessed, low, int(used.sum()), effective))
    return found


def _learned(world: World, settings: Settings, y: Floats, rows: NDArray[np.bool_], weights: Floats) -> Floats:
    dataset = world.dataset
    readiness = fit_readiness(
        dataset.X[rows],
        y[rows],
        dataset.segment[rows],
        dataset.fold[rows],
        dataset.order[rows],
        dataset.spec,
        settings.training,
        segment_ids=dataset.segment_ids,
        weights=weights[rows],
    )
    return readiness.predict(world.judged, world.judged_segment).probability


def _lesson(
    world: World, policy: str, way: str, guessed: Floats, low: NDArray[np.bool_], rows: int, effective: float
) -> Lesson:
    from scipy.stats import spearmanr

    truth = world.truth
    excess, off = _loss(truth, guessed) - _loss(truth, truth), guessed - truth
    return Lesson(
        world=world.name,
        policy=policy,
        way=way,
        rows=rows,
        effective=effective,
        excess=float(excess.mean()),
        excess_low=float(excess[low].mean()),
        error=float(np.sqrt((off**2).mean())),
        bias=float(off.mean()),
        bias_low=float(off[low].mean()),
        rank=float(spearmanr(guessed, truth).statistic),
    )


def _loss(truth: Floats, guessed: Floats) -> Floats:
    p = np.clip(guessed, _TINY, 1 - _TINY)
    return np.asarray(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)))


def averaged(found: Sequence[Lesson]) -> list[Lesson]:
    """The mean over worlds of each policy and way, in the order of first appearance."""
    kinds = list(dict.fromkeys((one.policy, one.way) for one in found))
    means = []
    for policy, way in kinds:
        own = [one for one in found if (one.policy, one.way) == (policy, way)]
        numbers = {
            name: float(np.mean([getattr(one, name) for one in own]))
            for name in ("effective", "excess", "excess_low", "error", "bias", "bias_low", "rank")
        }
        means.append(
            Lesson(f"mean of {len(own)}", policy, way, round(float(np.mean([one.rows for one in own]))), **numbers)
        )
    return means
