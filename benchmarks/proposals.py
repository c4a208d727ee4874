"""How well proposals recover what the sample world planted, over worlds that nothing was tuned on.

    python -m benchmarks.proposals [--refits] [LEADS] [SEED ...]

With `--refits` each world is also clustered beside noise and refitted on resampled leads, which takes thrice as long.

For each seed a world is made, its leads are clustered as `leadwell segments propose` does it, and the clusters and
their conditions are held against the planted truth. Beside it stands what can be reached at all: the shipped
definitions' own members, and a supervised tree that was shown the truth on the same columns (three parts, crossed).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from configs.settings import Settings, load_settings
from features.intake.sources import find_files, read_tables
from models.candidates.clustering import Clustering, cluster
from models.candidates.distill import Distilled, distill, evaluate
from models.candidates.field_ties import MixedColumns
from models.candidates.lineage import SAME, match
from training.proposals.material import Material, material_of
from training.sample.world import make_sample

Bools = NDArray[np.bool_]
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
SEEDS = tuple(range(101, 111))
LEADS = 4_000
PLANTED_ABOVE = 0.02
RESIDUAL = "unsegmented"
REFITS = 2
NOISE = ("noise_of_two", "noise_of_five")
NOISE_NUMBERS = ("noise_normal", "noise_count")
FAITHFUL = 0.85
NOT_REFITTED = {"kept_approved": (0, 0), "kept_proposed": (0, 0)}


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was measured in one world; Jaccard values are means over planted segments above 2 % of leads."""

    seed: int
    method: str
    k: int
    proposed: int
    rand: float
    rand_planted: float
    jaccard: Mapping[str, float]
    jaccard_conditions: float
    shipped: float
    supervised: float
    f1: tuple[float, ...]
    rand_with_noise: float
    conditions_on_noise: int
    kept_approved: tuple[int, int]
    kept_proposed: tuple[int, int]
    seconds: float

    @property
    def mean_jaccard(self) -> float:
        """Mean best-match Jaccard of the clusters with planted segments."""
        return float(np.mean(list(self.jaccard.values())))


def measure_world(seed: int, leads: int, settings: Settings, refits: bool) -> Recovered:
    """Make the world of a seed, cluster its leads, and hold the result against the truth."""
    material, truth = world_of(seed, leads, settings)
    began = time.perf_counter()
    found = cluster(material.clustered, seed=seed)
    conditions = conditions_of(found, material, seed)
    seconds = time.perf_counter() - began
    planted = {name: truth == name for name in np.unique(truth) if name != RESIDUAL}
    planted = {name: mask for name, mask in planted.items() if mask.mean() > PLANTED_ABOVE}
    clusters = {one.candidate_id: found.labels == c for c, one in enumerate(found.candidates)}
    own = {name: values[material.kept] for name, values in material.conditioned.items()}
    inside = {i: evaluate(one.enter, own, material.domain, material.on) for i, one in conditions.items()}
    approved = {one.segment_id: one.member[material.kept] for one in material.standing if one.approved}
    approved = {name: mask for name, mask in approved.items() if name != RESIDUAL and mask.any()}
    faithful = {i: inside[i] for i, one in conditions.items() if one.fidelity.f1 >= FAITHFUL}
    noisy = cluster(with_noise(material.clustered, seed), seed=seed) if refits else None
    noise_names = {f"{unknown}{name}" for name in (*NOISE, *NOISE_NUMBERS) for unknown in ("", "?")}
    in_planted = truth != RESIDUAL
    return Recovered(
        seed=seed,
        method=found.chosen.method,
        k=found.chosen.k,
        proposed=len(faithful),
        rand=float(adjusted_rand_score(truth, found.labels)),
        rand_planted=float(adjusted_rand_score(truth[in_planted], found.labels[in_planted])),
        jaccard={name: best(mask, clusters) for name, mask in planted.items()},
        jaccard_conditions=float(np.mean([best(mask, inside) for mask in planted.values()])),
        shipped=float(np.mean([best(mask, {name: approved.get(name, ~mask)}) for name, mask in planted.items()])),
        supervised=supervised(material, truth, planted),
        f1=tuple(one.fidelity.f1 for one in conditions.values()),
        rand_with_noise=float(adjusted_rand_score(truth, noisy.labels)) if noisy else float("nan"),
        conditions_on_noise=noise_conditions(noisy, material, seed) + len(noise_names & set(noisy.votes))
        if noisy
        else 0,
        **(identity(material, found, approved, faithful, seed) if refits else NOT_REFITTED),
        seconds=seconds,
    )


def world_of(seed: int, leads: int, settings: Settings) -> tuple[Material, NDArray[np.object_]]:
    """What proposing needs of a made world, and the planted segment of each lead that may be clustered."""
    with TemporaryDirectory() as folder:
        made = Path(folder)
        make_sample(leads, seed, made)
        tables = read_tables(find_files(made), settings, assets=settings.assets).tables
        truth = pd.read_parquet(made / "truth.parquet").set_index("lead_id")["segment_id"]
    material = material_of(tables, settings, AS_OF)
    return material, truth.reindex([str(i) for i in material.lead_ids[material.kept]]).to_numpy(dtype=object)


def conditions_of(found: Clustering, material: Material, seed: int) -> dict[str, Distilled]:
    """The condition of every cluster that is stable and neither tiny nor over-broad, by candidate."""
    own = {name: values[material.kept] for name, values in material.conditioned.items()}
    written = {}
    for c, candidate in enumerate(found.candidates):
        if candidate.rejected is None:
            distilled = distill(found.labels == c, own, material.domain, material.on, seed=seed)
            if distilled is not None:
                written[candidate.candidate_id] = distilled
    return written


def best(mask: Bools, groups: Mapping[str, Bools]) -> float:
    """The best Jaccard overlap of a group with any of several."""
    overlaps = [int(np.sum(mask & own)) / max(int(np.sum(mask | own)), 1) for own in groups.values()]
    return max(overlaps, default=0.0)


def supervised(material: Material, truth: NDArray[np.object_], planted: Mapping[str, Bools]) -> float:
    """Mean Jaccard of a tree that was shown the truth, on leads it was not shown: what the columns can tell at all."""
    numbers = np.nan_to_num(material.clustered.numbers, nan=-1.0)
    codes = material.clustered.categories
    hot = [(codes[:, [j]] == np.unique(codes[:, j])).astype(np.float32) for j in range(codes.shape[1])]
    tree = DecisionTreeClassifier(min_samples_leaf=5, random_state=0)
    told = cross_val_predict(tree, np.column_stack([numbers, *hot]), truth, cv=3)
    return float(np.mean([best(mask, {name: told == name}) for name, mask in planted.items()]))


def with_noise(columns: MixedColumns, seed: int) -> MixedColumns:
    """The same columns with two categories and two numbers that say nothing."""
    random = np.random.default_rng(seed)
    codes = np.column_stack([random.integers(0, 3, columns.n), random.integers(0, 6, columns.n)])
    return replace(
        columns,
        number_names=(*columns.number_names, *NOISE_NUMBERS),
        numbers=np.column_stack([columns.numbers, random.normal(size=columns.n), random.poisson(3, columns.n)]),
        category_names=(*columns.category_names, *NOISE),
        categories=np.column_stack([columns.categories, codes]).astype(np.int16),
    )


def noise_conditions(found: Clustering, material: Material, seed: int) -> int:
    """Conditions of clusters found beside noise that look at facts which are noise by construction.

    The noise categories take the places of two facts that no lead of the sample has, so that conditions may use them.
    """
    own: dict[str, NDArray[Any]] = {name: values[material.kept] for name, values in material.conditioned.items()}
    empty = [n for n in own if material.domain.facts[n].type == "enum" and not np.any(own[n])]
    places = [n for n in empty if len(material.domain.facts[n].values) >= 2][: len(NOISE)]
    random = np.random.default_rng(seed)
    for name in places:
        own[name] = random.integers(0, len(material.domain.facts[name].values) + 1, len(found.labels)).astype(np.uint8)
    used = 0
    for c, candidate in enumerate(found.candidates):
        if candidate.rejected is None:
            distilled = distill(found.labels == c, own, material.domain, material.on, seed=seed)
            used += distilled is not None and any(name in places for name in distilled.facts)
    return used


def identity(
    material: Material, found: Clustering, approved: Mapping[str, Bools], proposed: Mapping[str, Bools], seed: int
) -> dict[str, tuple[int, int]]:
    """How many segments two refits on resampled leads keep, of those they could keep.

    A refit draws as many leads with replacement, clusters them from nothing, writes its conditions, and its conditions
    are evaluated on all leads. An approved segment counts where the first fit found it at all (its best cluster or
    condition overlaps it with Jaccard 0.5 or more); a proposed one always. It is kept where lineage says `same`.
    """
    own = {name: values[material.kept] for name, values in material.conditioned.items()}
    first = {**proposed, **{f"cluster_{c}": found.labels == c for c in range(found.chosen.k)}}
    findable = {name: mask for name, mask in approved.items() if best(mask, first) >= SAME}
    kept_approved = kept_proposed = 0
    for refit in range(REFITS):
        random = np.random.default_rng(seed * 10 + refit)
        rows = random.integers(0, len(found.labels), len(found.labels))
        columns = replace(
            material.clustered,
            numbers=material.clustered.numbers[rows],
            categories=material.clustered.categories[rows],
        )
        again = cluster(columns, seed=seed * 10 + refit, resamples=2, methods=("consensus",))
        drawn = {name: values[rows] for name, values in own.items()}
        groups: dict[str, Bools] = {}
        for c in range(again.chosen.k):
            distilled = distill(again.labels == c, drawn, material.domain, material.on, seed=seed)
            if distilled is not None:
                groups[str(c)] = evaluate(distilled.enter, own, material.domain, material.on)
        kept_approved += len(match(findable, groups).of("same"))
        kept_proposed += len(match(proposed, groups).of("same"))
    return {
        "kept_approved": (kept_approved, REFITS * len(findable)),
        "kept_proposed": (kept_proposed, REFITS * len(proposed)),
    }


def line(one: Recovered) -> str:
    """One world as a row of the table."""
    f1 = [value for value in one.f1 if value >= FAITHFUL]
    left = len(one.f1) - len(f1)
    return (
        f"{one.seed:5d} {one.method:>9s} {one.k:3d} {one.proposed:5d}  {one.rand:5.2f} {one.rand_planted:6.2f}"
        f"  {one.mean_jaccard:7.3f} {min(one.jaccard.values()):6.2f} {one.jaccard_conditions:7.3f}"
        f"  {one.shipped:7.3f} {one.supervised:7.3f}  {np.mean(one.f1 or (0.0,)):5.2f} {min(one.f1, default=0.0):5.2f}"
        f" {left:4d}  {one.rand_with_noise:6.2f} {one.conditions_on_noise:3d}"
        f"  {one.kept_approved[0]:3d}/{one.kept_approved[1]:<3d} {one.kept_proposed[0]:3d}/{one.kept_proposed[1]:<3d}"
        f" {one.seconds:5.0f}"
    )


HEADER = (
    " seed    method   k  prop   ARI planted  Jaccard    min conditions  shipped  superv    F1   min <.85"
    "   noise use approved proposed  sec"
)


def main(leads: int, seeds: tuple[int, ...], refits: bool) -> None:
    """Print a row for each seed as soon as it is measured, then the means."""
    settings = load_settings()
    print(f"proposals on worlds of {leads} leads\n{HEADER}", flush=True)
    all_of: list[Recovered] = []
    for seed in seeds:
        all_of.append(measure_world(seed, leads, settings, refits))
        print(line(all_of[-1]), flush=True)
    summary(all_of)


def summary(all_of: list[Recovered]) -> None:
    """Means over the worlds, and of each planted segment."""
    approved, proposed = (
        np.array([getattr(one, name) for one in all_of]) for name in ("kept_approved", "kept_proposed")
    )
    f1 = [value for one in all_of for value in one.f1]
    print(
        f"mean: ARI {np.mean([o.rand for o in all_of]):.2f},"
        f" among planted {np.mean([o.rand_planted for o in all_of]):.2f};"
        f" Jaccard {np.mean([o.mean_jaccard for o in all_of]):.3f}"
        f" (shipped definitions {np.mean([o.shipped for o in all_of]):.3f},"
        f" supervised tree {np.mean([o.supervised for o in all_of]):.3f});"
        f" conditions {np.mean([o.jaccard_conditions for o in all_of]):.3f}"
    )
    print(
        f"F1 mean {np.mean(f1):.3f}, {np.mean(np.array(f1) >= FAITHFUL):.0%} of conditions at {FAITHFUL} or more;"
        f" identity kept under refit: approved {approved[:, 0].sum() / max(approved[:, 1].sum(), 1):.0%},"
        f" proposed {proposed[:, 0].sum() / max(proposed[:, 1].sum(), 1):.0%}"
    )
    for name in sorted({name for one in all_of for name in one.jaccard}):
        values = [one.jaccard[name] for one in all_of if name in one.jaccard]
        print(f"  {name:28s} Jaccard {np.mean(values):.2f} (worst {min(values):.2f}) in {len(values)} worlds")


if __name__ == "__main__":
    given = [int(value) for value in sys.argv[1:] if value != "--refits"]
    main(given[0] if given else LEADS, tuple(given[1:]) or SEEDS, "--refits" in sys.argv)
