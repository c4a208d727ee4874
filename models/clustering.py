"""Propose candidate segments: cluster mixed fit and engagement features, and keep what resamples agree on.

Numbers are ranked and centered, categories are weighted one-hot, a missing value is a column of its own. KMeans and a
diagonal Gaussian mixture are compared at every size by bootstrap stability, and against the same data with its columns
shuffled: what shuffled data yields as well is not structure. Same input, same seed: same candidates.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]
Method = Literal["kmeans", "mixture"]
Progress = Callable[[str, float], None]

STABLE, UNSTABLE = 0.75, 0.6
MIN_SHARE, MAX_SHARE = 0.02, 0.4
MIN_STRUCTURE = 0.05
SIZES_COMPARED = 4
SIZES = tuple(range(2, 15))


@dataclass(frozen=True, slots=True)
class MixedColumns:
    """What is clustered: numbers with NaN for unknown, and category codes with 0 for unknown, one row per lead."""

    number_names: tuple[str, ...]
    numbers: Floats
    category_names: tuple[str, ...]
    categories: NDArray[np.integer[Any]]

    @property
    def n(self) -> int:
        """Number of leads."""
        return len(self.numbers)


@dataclass(frozen=True, slots=True)
class Trial:
    """One method at one number of clusters: how much resamples agree, and how much better than shuffled data it is."""

    method: Method
    k: int
    agreement: float
    jaccard: tuple[float, ...]
    structure: float

    @property
    def stable(self) -> int:
        """Number of clusters that resamples find again."""
        return sum(value >= STABLE for value in self.jaccard)


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
    """The chosen trial, every trial it was chosen from, a cluster per row, and the candidates largest first."""

    chosen: Trial
    trials: tuple[Trial, ...]
    labels: Labels
    candidates: tuple[CandidateSegment, ...]
    space: Floats
    sampled: int


def encode(columns: MixedColumns, numbers_share: float = 0.2) -> tuple[Floats, Labels]:
    """The space distances are measured in, and for each of its columns the input column it came from.

    Numbers together get a fixed share of the whole spread: twenty counts that rise together must not outvote what a
    lead is. Where there are no categories, or no numbers, the share makes no difference.

    INVARIANT: monotone rescaling of a number and renaming of category codes leave distances as they were.
    """
    parts: list[Floats] = []
    origin: list[int] = []
    categories, numbers = max(len(columns.category_names), 1), max(len(columns.number_names), 1)
    number_weight = float(np.sqrt(numbers_share / (1.0 - numbers_share) * categories / numbers))
    for i in range(len(columns.number_names)):
        values = columns.numbers[:, i]
        known = np.isfinite(values)
        if np.any(known) and np.ptp(values[known]) > 0:
            parts.append(_ranked(values, known)[:, None] * number_weight)
            origin.append(i)
        if 0.01 < float(np.mean(~known)) < 0.99:
            parts.append((~known - np.mean(~known))[:, None] * number_weight * 0.5)
            origin.append(i)
    for j in range(len(columns.category_names)):
        codes = columns.categories[:, j]
        present = [code for code in np.unique(codes) if np.mean(codes == code) >= 0.005]
        if len(present) < 2:
            continue
        block = (codes[:, None] == np.asarray(present)[None, :]).astype(np.float64)
        block -= block.mean(axis=0)
        parts.append(block / np.sqrt(max(block.var(axis=0).sum(), 1e-9)))
        origin += [len(columns.number_names) + j] * len(present)
    if not parts:
        return np.zeros((columns.n, 1)), np.zeros(1, dtype=np.int32)
    return np.concatenate(parts, axis=1), np.asarray(origin, dtype=np.int32)


def cluster(
    columns: MixedColumns,
    *,
    sizes: Sequence[int] = SIZES,
    methods: Sequence[Method] = ("kmeans", "mixture"),
    resamples: int = 6,
    sample: int = 20_000,
    stability_sample: int = 2_000,
    seed: int = 7,
    progress: Progress | None = None,
) -> Clustering:
    """Choose a method and a number of clusters by stability, and say of each cluster whether it may be proposed."""
    random = np.random.default_rng(seed)
    space, origin = encode(columns)
    rows = _pick(columns.n, sample, random)
    inner = rows[_pick(len(rows), stability_sample, random)]
    usable = [k for k in sizes if k * 10 <= len(inner)] or [1]
    shuffles = [_shuffled(space[inner], origin, random) for _ in range(2)]
    chance = {k: min(_spread(s, _fitted("kmeans", s, k, seed, starts=3).predict(s)) for s in shuffles) for k in usable}
    trials: list[Trial] = []
    for done, method in enumerate(methods):
        # Another method is only tried at the sizes the first one liked best: it costs as much and seldom wins.
        ranked = [trial.k for trial in sorted(trials, key=_preference, reverse=True)]
        tried = usable if not trials else sorted(ranked[:SIZES_COMPARED])
        for step, k in enumerate(tried):
            if progress:
                progress(f"stability of {k} clusters ({method})", (done + step / len(tried)) / len(methods))
            trials.append(_trial(method, space[inner], chance[k], k, resamples, seed))
    chosen = max(trials, key=_preference)
    model = _fitted(chosen.method, space[rows], chosen.k, seed, starts=8)
    labels = _by_size(model.predict(space).astype(np.int32), chosen.k)
    jaccard = _stability(chosen.method, space[inner], labels[inner], chosen.k, resamples * 3, seed)[1]
    return Clustering(chosen, tuple(trials), labels, _candidates(labels, jaccard, chosen), space, len(rows))


def _preference(trial: Trial) -> tuple[bool, bool, float, float]:
    """Structure first, then agreement, then as many clusters as resamples find again, then fewer that they do not."""
    wasted = trial.k - trial.stable
    return trial.structure >= MIN_STRUCTURE, trial.agreement >= STABLE, trial.stable - wasted / 2, trial.agreement


def _candidates(labels: Labels, jaccard: Floats, chosen: Trial) -> tuple[CandidateSegment, ...]:
    found = []
    for c in range(chosen.k):
        size = int(np.sum(labels == c))
        share = size / max(len(labels), 1)
        stable = float(jaccard[c])
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


def _trial(method: Method, space: Floats, chance: float, k: int, resamples: int, seed: int) -> Trial:
    labels = _fitted(method, space, k, seed, starts=5).predict(space).astype(np.int32)
    agreement, jaccard = _stability(method, space, labels, k, resamples, seed)
    structure = 1.0 - _spread(space, labels) / max(chance, 1e-12)
    return Trial(method, k, agreement, tuple(float(value) for value in jaccard), float(structure))


def _stability(
    method: Method, space: Floats, reference: Labels, k: int, resamples: int, seed: int
) -> tuple[float, Floats]:
    """Median adjusted Rand index over bootstrap refits, and for each cluster its mean best-match Jaccard."""
    random = np.random.default_rng(seed)
    agreement, jaccard = np.zeros(resamples), np.zeros((resamples, k))
    for b in range(resamples):
        picked = random.integers(0, len(space), len(space))
        again = _fitted(method, space[picked], k, seed + b + 1, starts=3).predict(space)
        table = np.zeros((k, k))
        np.add.at(table, (reference, again), 1)
        union = table.sum(axis=1)[:, None] + table.sum(axis=0)[None, :] - table
        jaccard[b] = (table / np.maximum(union, 1)).max(axis=1)
        agreement[b] = adjusted_rand_score(reference, again)
    return float(np.median(agreement)), jaccard.mean(axis=0)


def _fitted(method: Method, space: Floats, k: int, seed: int, *, starts: int) -> Any:
    with warnings.catch_warnings(), threadpool_limits(1):  # small fits: threads cost more than they save
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that has not settled shows as instability
        if method == "kmeans":
            return KMeans(k, n_init=starts, max_iter=50, random_state=seed).fit(space)
        mixture = GaussianMixture(
            k, covariance_type="diag", n_init=1, max_iter=30, tol=1e-2, reg_covar=1e-2, random_state=seed
        )
        return mixture.fit(space)


def _spread(space: Floats, labels: NDArray[Any]) -> float:
    """Sum of squared distances to the mean of the own cluster."""
    total = 0.0
    for c in np.unique(labels):
        members = space[labels == c]
        total += float(((members - members.mean(axis=0)) ** 2).sum())
    return total


def _shuffled(space: Floats, origin: Labels, random: np.random.Generator) -> Floats:
    """The same columns with every input column permuted on its own: its values stay, what goes together is lost."""
    shuffled = np.empty_like(space)
    for source in np.unique(origin):
        block = np.flatnonzero(origin == source)
        shuffled[:, block] = space[random.permutation(len(space))][:, block]
    return shuffled


def _ranked(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Average ranks scaled to unit variance around zero; unknown is the middle, its own column says so."""
    unique, inverse, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2.0) / counts.sum()
    ranked = np.zeros(len(values))
    ranked[known] = middle[inverse] - 0.5
    spread = ranked[known].std()
    return ranked / spread if spread > 0 and len(unique) > 1 else ranked


def _by_size(labels: Labels, k: int) -> Labels:
    """Relabel so that 0 is the largest cluster: which number a fit gives is chance, sizes are not."""
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    rank = np.empty(k, dtype=np.int32)
    rank[order] = np.arange(k, dtype=np.int32)
    return rank[labels]


def _pick(n: int, limit: int, random: np.random.Generator) -> NDArray[np.intp]:
    return np.arange(n) if n <= limit else np.sort(random.choice(n, limit, replace=False))
