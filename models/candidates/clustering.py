"""Propose candidate segments: cluster mixed fit and engagement features, and keep what resamples agree on.

Fields have votes by their ties to other fields (`models.candidates.field_ties`). Three methods are compared: k-means,
latent classes, and the consensus of many latent class fits (`models.candidates.latent_classes`). A method and a number
of clusters are chosen by bootstrap stability alone (Hennig 2007: a cluster is as good as resamples find it again), and
against the same data with its columns shuffled: what shuffled data yields as well is not structure. Same input, same
seed: same candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from models.candidates.field_ties import Indicators, MixedColumns, indicators
from models.candidates.latent_classes import classes_of, consensus, cut, fit_classes

__all__ = ["MixedColumns"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]
Rows = NDArray[np.intp]
Method = Literal["kmeans", "classes", "consensus"]
Progress = Callable[[str, float], None]

STABLE, UNSTABLE = 0.75, 0.6
MIN_SHARE, MAX_SHARE = 0.02, 0.4
MIN_STRUCTURE = 0.05
SIZES = tuple(range(2, 15))
METHODS: tuple[Method, ...] = ("consensus", "classes", "kmeans")
SIZES_COMPARED = 4
RUNS = 16
DOUBT = UNSTABLE


@dataclass(frozen=True, slots=True)
class Trial:
    """One method at one number of clusters: how much resamples agree, and how much better than shuffled data it is.

    `agreement` is the median adjusted Rand index between the clusters and those of a resample; `jaccard` says for each
    cluster how well resamples find it again on average, `shares` how many of the leads it has.
    """

    method: Method
    k: int
    agreement: float
    jaccard: tuple[float, ...]
    structure: float
    shares: tuple[float, ...] = ()

    @property
    def stable(self) -> int:
        """Number of clusters that resamples find again."""
        return sum(value >= STABLE for value in self.jaccard)

    @property
    def surplus(self) -> float:
        """How much better than unstable its clusters are found again, those too small to be proposed left out."""
        shares = self.shares or (1.0,) * len(self.jaccard)
        return sum(j - DOUBT for j, share in zip(self.jaccard, shares, strict=True) if share >= MIN_SHARE)


@dataclass(frozen=True, slots=True)
class CandidateSegment:
    """One cluster: its rows, how stable it is, and why it is not proposed (`rejected` None: it is)."""

    candidate_id: str
    size: int
    share: float
    jaccard: float
    rejected: str | None


@dataclass(frozen=True, slots=True)
class Clustering:
    """The chosen trial, every trial it was chosen from, a cluster per row, and the candidates largest first.

    `space` has a row per lead: its weighted indicators, in which near leads are alike. `votes` says by field how much
    it counted; a field that is not in it is tied to no other and counted for nothing.
    """

    chosen: Trial
    trials: tuple[Trial, ...]
    labels: Labels
    candidates: tuple[CandidateSegment, ...]
    space: Floats
    sampled: int
    votes: Mapping[str, float] = field(default_factory=dict)


def cluster(
    columns: MixedColumns,
    *,
    sizes: Sequence[int] = SIZES,
    methods: Sequence[Method] = METHODS,
    resamples: int = 6,
    sample: int = 20_000,
    stability_sample: int = 2_000,
    seed: int = 7,
    progress: Progress | None = None,
) -> Clustering:
    """Choose a method and a number of clusters by stability, and say of each cluster whether it may be proposed.

    Args:
        columns: what is clustered.
        sizes: numbers of clusters to try.
        methods: what to try them with.
        resamples: bootstrap refits that each of them is judged by.
        sample: leads that the chosen method is fitted to; every lead is given a cluster.
        stability_sample: leads that trials and their resamples are fitted to.
        seed: of everything that is drawn.
        progress: told what is being done and the share of it that is done.
    """
    with threadpool_limits(1):  # hundreds of small fits: threads cost more than they save
        return _cluster(columns, sizes, methods, resamples, sample, stability_sample, seed, progress or _silent)


def _cluster(
    columns: MixedColumns,
    sizes: Sequence[int],
    methods: Sequence[Method],
    resamples: int,
    sample: int,
    stability_sample: int,
    seed: int,
    tell: Progress,
) -> Clustering:
    random = np.random.default_rng(seed)
    tell("which fields go together", 0.0)
    fields = indicators(columns)
    if fields is None:
        return _nothing(columns)
    rows = _pick(columns.n, sample, random)
    inner = rows[_pick(len(rows), stability_sample, random)]
    usable = [k for k in sizes if k * 10 <= len(inner)] or [1]
    space = fields.centered[inner]
    shuffles = [_shuffled(space, fields.block, random) for _ in range(2)]
    chance = {k: min(_spread(s, _kmeans(s, k, seed, 2).predict(s)) for s in shuffles) for k in usable}
    draws = [inner[random.integers(0, len(inner), len(inner))] for _ in range(resamples)]
    fits: dict[Method, Callable[[Rows, int, int], Labels]] = {
        "kmeans": lambda given, k, at: _kmeans(fields.centered[given], k, at, 3).predict(space).astype(np.int32),
        "classes": lambda given, k, at: fit_classes(fields, given, k, at, starts=3).predict(fields.hot[inner]),
    }
    trials: list[Trial] = []
    found: dict[tuple[Method, int], tuple[Labels, list[Labels]]] = {}
    for done, method in enumerate(methods):
        if method == "consensus":
            trees = []
            for step, given in enumerate([inner, *draws]):
                tell(
                    f"consensus of fits, {step} of {len(draws)} resamples",
                    (done + step / (1 + resamples)) / len(methods),
                )
                trees.append(consensus(fields, given, inner, _inner_sizes(usable), RUNS * (1 + (step == 0)), random))
        # Another method is only tried at the sizes the first one liked best: it costs as much and seldom wins.
        liked = sorted(trials, key=_preference, reverse=True)[:SIZES_COMPARED] if done else []
        tried = sorted({trial.k for trial in liked} & set(usable)) or usable
        for step, k in enumerate(tried):
            if method == "consensus":
                labels, again = cut(trees[0], k), [cut(tree, k) for tree in trees[1:]]
            else:
                tell(f"stability of {k} clusters ({method})", (done + step / len(tried)) / len(methods))
                labels = fits[method](inner, k, seed)
                again = [fits[method](given, k, seed + 1 + b) for b, given in enumerate(draws)]
            found[method, k] = labels, again
            trials.append(_trial(method, k, labels, again, 1.0 - _spread(space, labels) / max(chance[k], 1e-12)))
    chosen = max(trials, key=_preference)
    labels, again = found[chosen.method, chosen.k]
    final = _by_size(_everybody(chosen, fields, rows, inner, labels, seed))
    told = _trial(chosen.method, int(final.max()) + 1, final[inner], again, chosen.structure)
    shares = np.bincount(final) / max(len(final), 1)
    told = replace(told, agreement=chosen.agreement, shares=tuple(float(share) for share in shares))
    votes = dict(zip(fields.names, fields.votes.tolist(), strict=True))
    return Clustering(
        told, tuple(trials), final, _candidates(final, told), fields.centered.astype(np.float64), len(rows), votes
    )


def _everybody(chosen: Trial, fields: Indicators, rows: Rows, inner: Rows, labels: Labels, seed: int) -> Labels:
    """A cluster for every lead, by what the chosen method found."""
    if chosen.method == "kmeans":
        given = fields.centered[rows]
        return np.asarray(_kmeans(given, chosen.k, seed, 8).predict(fields.centered), dtype=np.int32)
    if chosen.method == "classes":
        return fit_classes(fields, rows, chosen.k, seed, starts=8).predict(fields.hot)
    return classes_of(fields, inner, labels, int(labels.max()) + 1).predict(fields.hot)


def _preference(trial: Trial) -> tuple[bool, bool, float, float]:
    """Structure first, then agreement, then clusters that are found again more surely than doubtful ones."""
    return trial.structure >= MIN_STRUCTURE, trial.agreement >= STABLE, trial.surplus, trial.agreement


def _inner_sizes(usable: Sequence[int]) -> range:
    """Numbers of classes that the fits of a consensus have: from coarse to somewhat finer than its finest cut."""
    return range(max(2, max(usable) // 3), max(max(usable) * 4 // 3, 2) + 1)


def _nothing(columns: MixedColumns) -> Clustering:
    """One rejected cluster of everybody: no field is tied to any other."""
    labels = np.zeros(columns.n, dtype=np.int32)
    chosen = Trial("kmeans", 1, 1.0, (1.0,), 0.0, (1.0,))
    return Clustering(chosen, (chosen,), labels, _candidates(labels, chosen), np.zeros((columns.n, 1)), columns.n)


def _candidates(labels: Labels, chosen: Trial) -> tuple[CandidateSegment, ...]:
    found = []
    for c in range(chosen.k):
        size = int(np.sum(labels == c))
        share = size / max(len(labels), 1)
        stable = chosen.jaccard[c]
        reason = None
        if chosen.structure < MIN_STRUCTURE:
            reason = (
                f"no structure: shuffled columns cluster nearly as well ({chosen.structure:.1%} better, 5% expected)"
            )
        elif share < MIN_SHARE:
            reason = f"tiny: {share:.1%} of leads, at least {MIN_SHARE:.0%} expected"
        elif stable < UNSTABLE:
            reason = f"unstable: resamples find it again with Jaccard {stable:.2f}, {STABLE} expected"
        elif stable < STABLE:
            reason = f"doubtful: resamples find it again with Jaccard {stable:.2f}, {STABLE} expected"
        elif share > MAX_SHARE:
            reason = f"over-broad: {share:.1%} of leads, at most {MAX_SHARE:.0%} expected"
        found.append(CandidateSegment(f"candidate_{c + 1}", size, share, stable, reason))
    return tuple(found)


def _trial(method: Method, k: int, labels: Labels, again: Sequence[Labels], structure: float) -> Trial:
    """Labels of the judged leads against those of refits: median agreement, and each cluster's mean best Jaccard."""
    k = max(k, int(labels.max()) + 1) if method == "consensus" else k
    own = (labels[:, None] == np.arange(k)).astype(np.float32)
    jaccard = np.zeros((max(len(again), 1), k))
    for b, other in enumerate(again):
        theirs = (other[:, None] == np.arange(int(other.max()) + 1)).astype(np.float32)
        both = own.T @ theirs
        union = own.sum(axis=0)[:, None] + theirs.sum(axis=0)[None, :] - both
        jaccard[b] = (both / np.maximum(union, 1)).max(axis=1)
    agreement = [adjusted_rand_score(labels, other) for other in again] or [0.0]
    mean = tuple(float(value) for value in jaccard.mean(axis=0))
    shares = tuple(float(value) for value in own.mean(axis=0))
    return Trial(method, k, float(np.median(agreement)), mean, float(structure), shares)


def _kmeans(space: NDArray[Any], k: int, seed: int, starts: int) -> Any:
    return KMeans(k, n_init=starts, max_iter=50, random_state=seed).fit(space)


def _spread(space: NDArray[Any], labels: NDArray[Any]) -> float:
    """Sum of squared distances to the mean of the own cluster."""
    total = 0.0
    for c in np.unique(labels):
        members = space[labels == c]
        total += float(((members - members.mean(axis=0)) ** 2).sum())
    return total


def _shuffled(space: NDArray[Any], block: Rows, random: np.random.Generator) -> NDArray[Any]:
    """The same columns with every field permuted on its own: its values stay, what goes together is lost."""
    shuffled = np.empty_like(space)
    for one in np.unique(block):
        own = np.flatnonzero(block == one)
        shuffled[:, own] = space[random.permutation(len(space))][:, own]
    return shuffled


def _by_size(labels: Labels) -> Labels:
    """Relabel so that 0 is the largest cluster and none is empty: which number a fit gives is chance, sizes are not."""
    present, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(present), dtype=np.int32)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(present), dtype=np.int32)
    return rank[inverse]


def _pick(n: int, limit: int, random: np.random.Generator) -> Rows:
    picked = np.arange(n) if n <= limit else np.sort(random.choice(n, limit, replace=False))
    return picked.astype(np.intp)


def _silent(step: str, share: float) -> None:
    """Tell nobody."""
