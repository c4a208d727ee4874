"""Rows for the size curve: as many sample worlds as it takes until the segments looked at have leads enough."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputInvalid
from configs.settings import Settings
from features.intake.sources import find_files, read_tables
from features.pipeline import FeatureSpec
from models.segments.map import SegmentMap
from training.benchmark.size_curve import Material
from training.dataset.dataset import Dataset, build_dataset
from training.sample.world import AS_OF, make_sample

Progress = Callable[[str, float], None]

WORLD_LEADS = 200_000
REST_LEADS = 10_000
MOST_WORLDS = 12


def make_material(
    settings: Settings,
    segments: Sequence[str],
    most_leads: int,
    folder: Path,
    *,
    seed: int = 7,
    world_leads: int = WORLD_LEADS,
    rest_leads: int = REST_LEADS,
    progress: Progress | None = None,
) -> Material:
    """Rows of worlds of consecutive seeds under the first one's specification, until each segment has `most_leads`.

    What trains beside a segment is about `rest_leads` leads of the first world in whole accounts; of the others only
    the segments looked at are kept. Worlds are made in `folder` and removed again. Raises InputInvalid for a segment
    that is not in the segment map.
    """
    tell = progress or (lambda what, share: None)
    segment_map = SegmentMap.load(settings)
    unknown = sorted(set(segments) - set(segment_map.segment_ids))
    if unknown:
        raise InputInvalid("sizes", f"no segment is named {', '.join(unknown)}: `leadwell segments show` lists them")
    index = [segment_map.segment_ids.index(name) for name in segments]
    found: Material | None = None
    spec: FeatureSpec | None = None
    for number in range(MOST_WORLDS):
        tell(f"world {number + 1}", number / MOST_WORLDS)
        dataset = _dataset(settings, segment_map, folder / f"world{number}", seed + number, world_leads, spec)
        spec = dataset.spec
        share = rest_leads / len(np.unique(dataset.lead)) if number == 0 else 0.0
        part = _kept(dataset, index, share, seed)
        found = part if found is None else _joined(found, part)
        if all(found.leads_in(segment) >= most_leads for segment in index):
            return found
    raise InputInvalid("sizes", f"{MOST_WORLDS} worlds of {world_leads:,} leads have fewer than {most_leads:,} of each")


def _dataset(
    settings: Settings, segment_map: SegmentMap, folder: Path, seed: int, leads: int, spec: FeatureSpec | None
) -> Dataset:
    as_of = datetime.combine(AS_OF, time(), UTC)
    try:
        make_sample(leads, seed, folder)
        intake = read_tables(find_files(folder), settings, assets=settings.assets, as_of=as_of)
        return build_dataset(intake.tables, settings, segment_map, as_of, spec=spec)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kept(dataset: Dataset, segments: Sequence[int], share: float, seed: int) -> Material:
    """The rows of the segments looked at, and those of a share of the accounts."""
    roots = np.unique(dataset.root)
    chosen = np.random.default_rng(seed).permutation(roots)[: math.ceil(share * len(roots))]
    rest = np.isin(dataset.root, chosen)
    rows = np.flatnonzero(rest | np.isin(dataset.segment, segments))
    return Material(
        X=dataset.X[rows].astype(np.float32),
        y=dataset.y[rows],
        lead=dataset.lead[rows],
        order=dataset.order[rows],
        fold=dataset.fold[rows],
        root=dataset.root[rows],
        segment=dataset.segment[rows],
        train=dataset.train[rows],
        judge=dataset.judge[rows],
        rest=rest[rows],
        spec=dataset.spec,
        segment_ids=dataset.segment_ids,
    )


def _joined(first: Material, second: Material) -> Material:
    """Rows of both; leads and accounts of the second are others than those of the first."""
    moved = replace(
        second, lead=second.lead + first.lead.max() + 1, root=second.root + first.root.max() + 1, spec=first.spec
    )
    names = ("X", "y", "lead", "order", "fold", "root", "segment", "train", "judge", "rest")
    columns: dict[str, Any] = {n: np.concatenate([getattr(first, n), getattr(moved, n)]) for n in names}
    return replace(first, **columns)
