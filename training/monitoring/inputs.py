"""The inputs of the model on two nights, computed again from the newest data with the bundle's own features.

What was recorded after a night does not count for it. Leads are whole accounts, as many partitions of the data as hold
about the declared number of leads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import BundleRefused
from configs.settings import Settings
from features.facts import FactBuilder
from features.ids import hashes_of
from features.intake.scan import most_rows
from features.intake.sources import find_files, read_tables
from features.pipeline import FeatureSpec, features_of, signals_of
from features.tables import Tables
from features.view import view_at
from models.bundle import read_bundle
from training.dataset.dataset import root_accounts
from training.monitoring.judge import Numbers, names_of_bins
from training.monitoring.results import Result
from training.monitoring.tally import inner_edges

Floats = NDArray[np.float64]
MISSING = "not known"


def spec_of(bundle: Path, later: Result) -> FeatureSpec:
    """The features of the bundle that decided a result; raises BundleRefused where it was decided with another."""
    loaded = read_bundle(bundle)
    named = later.manifest.get("bundle")
    if named != loaded.bundle_id:
        raise BundleRefused(
            f"{bundle}: it is bundle {loaded.bundle_id[:12]}, and the later result was decided with {str(named)[:12]}"
        )
    return loaded.spec


def inputs_of(
    data: Path, spec: FeatureSpec, settings: Settings, earlier: Result, later: Result, told: Callable[[str], None]
) -> list[Numbers]:
    """Every feature on both nights, counted by group of accounts and bin."""
    files = find_files(data)
    parts = max(1, most_rows("leads", files["leads"]) // settings.monitoring.most_inputs)
    tables = read_tables(
        files, settings, assets=settings.assets, partition=(0, parts) if parts > 1 else None, as_of=later.as_of,
        progress=told,
    ).tables  # fmt: skip
    sides = [_night(tables, spec, settings, result) for result in (earlier, later)]
    return _binned(spec, sides, settings.monitoring.blocks)


def _night(tables: Tables, spec: FeatureSpec, settings: Settings, result: Result) -> tuple[Floats, NDArray[np.int64]]:
    """Features of who was known on a night, and the group of each lead's account."""
    builder = FactBuilder.of(settings).weighing_as(spec, settings.vocabularies)
    known = view_at(tables, result.as_of, builder.view)
    signals = signals_of(known, builder.plan, builder.decision_maker)
    here = known.present if known.merged is None else known.present & ~known.merged.away
    root, names = root_accounts(tables, result.as_of, builder.view.links)
    group = hashes_of(np.asarray(names, dtype=object))[root] % np.uint64(settings.monitoring.blocks)
    return features_of(known, spec, signals).matrix[here], group[here].astype(np.int64)


def _binned(spec: FeatureSpec, sides: Sequence[tuple[Floats, NDArray[np.int64]]], groups: int) -> list[Numbers]:
    of = tuple(np.bincount(group, minlength=groups).astype(np.float64) for _, group in sides)
    found = []
    coded = set(spec.categorical)
    for at, name in enumerate(spec.names[: sides[0][0].shape[1]]):
        columns = [matrix[:, at] for matrix, _ in sides]
        if at in coded:
            words = spec.categories[name]
            names = [MISSING, *words]
            places = [np.where(np.isnan(c) | (c > len(words)), 0, c).astype(np.int64) for c in columns]
        else:
            edges = inner_edges(columns[0])
            names = names_of_bins(edges)
            places = [
                np.where(np.isnan(c), 0, np.searchsorted(edges, c, side="right") + 1).astype(np.int64) for c in columns
            ]
        bins = [
            np.bincount(group * len(names) + place, minlength=groups * len(names)).reshape(groups, -1).astype(float)
            for (_, group), place in zip(sides, places, strict=True)
        ]
        found.append(Numbers(("input", name), (of[0], of[1]), (bins[0], bins[1]), names, at not in coded))
    return found
