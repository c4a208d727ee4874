"""Latent classes: groups within which fields are independent of each other, fitted by expectation maximisation.

The model is latent class analysis (Lazarsfeld and Henry 1968; Goodman 1974): each class has its own share, and its own
frequency of every value of every field. A field's log-likelihood is multiplied by its votes, and a lead that lacks a
field is judged by the others. One fit depends on its start and its sample; `consensus` fits many, on resamples and with
different numbers of classes, and groups leads by how often they come out together (evidence accumulation: Fred and Jain
2005; consensus clustering: Monti et al. 2003), so that no single start, sample or number decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import KMeans

from models.candidates.field_ties import Indicators

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Labels = NDArray[np.int32]
Rows = NDArray[np.intp]

STEPS = 30
SETTLED = 1e-4
PRIOR = 2.0


@dataclass(frozen=True, slots=True)
class LatentClasses:
    """Log share of each class, and weighted log frequency of each indicator in it (classes x columns)."""

    share: Floats
    frequency: Singles
    likelihood: float

    def predict(self, hot: Singles) -> Labels:
        """The likeliest class of every row of indicators."""
        return np.asarray(np.argmax(hot @ self.frequency.T + self.share.astype(np.float32), axis=1), dtype=np.int32)


def fit_classes(fields: Indicators, rows: Rows, k: int, seed: int, *, starts: int = 1) -> LatentClasses:
    """The likeliest of several fits of k classes to some rows, each started from a rough k-means."""
    hot, centered = fields.hot[rows], fields.centered[rows]
    best: LatentClasses | None = None
    for start in range(starts):
        rough = KMeans(k, n_init=1, max_iter=4, random_state=(seed * 31 + start) % 2**31).fit(centered)
        found = _maximised(fields, hot, rough.labels_, k)
        if best is None or found.likelihood > best.likelihood:
            best = found
    if best is None:
        raise ValueError("expected at least one start")
    return best


def classes_of(fields: Indicators, rows: Rows, labels: NDArray[Any], k: int) -> LatentClasses:
    """The classes that given labels of some rows stand for, so that every other row can be given one."""
    return _estimated(fields, fields.hot[rows], (labels[:, None] == np.arange(k)).astype(np.float32))


def consensus(
    fields: Indicators, rows: Rows, judged: Rows, sizes: Sequence[int], runs: int, random: np.random.Generator
) -> Floats:
    """A tree over the judged rows by how often fits to resamples of `rows` put them together, as linkage of scipy.

    Every fit has its own resample and its own number of classes, drawn from `sizes`. `cut` turns the tree to groups.
    """
    together = np.zeros((len(judged), len(judged)), dtype=np.float32)
    for _ in range(runs):
        k, seed = int(random.choice(sizes)), int(random.integers(2**31))
        model = fit_classes(fields, rows[random.integers(0, len(rows), len(rows))], k, seed)
        member = (model.predict(fields.hot[judged])[:, None] == np.arange(k)).astype(np.float32)
        together += member @ member.T
    apart = 1.0 - together / max(runs, 1)
    np.fill_diagonal(apart, 0.0)
    return np.asarray(linkage(squareform(apart, checks=False), "average"))


def cut(tree: Floats, k: int) -> Labels:
    """The k groups of a tree, or fewer where leads cannot be told apart, numbered from 0."""
    return np.asarray(fcluster(tree, k, "maxclust"), dtype=np.int32) - 1


def _maximised(fields: Indicators, hot: Singles, labels: NDArray[Any], k: int) -> LatentClasses:
    """Expectation and maximisation in turn from rough labels until the likelihood settles."""
    member = (labels[:, None] == np.arange(k)).astype(np.float32) * 0.9 + np.float32(0.1 / k)
    model, last = _estimated(fields, hot, member), -np.inf
    for _ in range(STEPS):
        log = hot @ model.frequency.T + model.share.astype(np.float32)
        top = log.max(axis=1, keepdims=True)
        member = np.exp(log - top)
        total = member.sum(axis=1)
        likelihood = float((top[:, 0] + np.log(total)).mean())
        member /= total[:, None]
        model = _estimated(fields, hot, member, likelihood)
        if likelihood - last < SETTLED:
            break
        last = likelihood
    return model


def _estimated(fields: Indicators, hot: Singles, member: Singles, likelihood: float = -np.inf) -> LatentClasses:
    """Shares and frequencies of weighted members, drawn a little towards those of everybody."""
    starts, block = fields.starts, fields.block
    counts = (member.T @ hot).astype(np.float64)
    everybody = counts.sum(axis=0)
    base = (everybody + 1e-6) / (np.add.reduceat(everybody + 1e-6, starts)[block])
    known = np.add.reduceat(counts, starts, axis=1)[:, block]
    frequency = np.log((counts + PRIOR * base) / (known + PRIOR)) * fields.votes[block]
    share = np.log(np.maximum(member.mean(axis=0), 1e-9))
    return LatentClasses(share.astype(np.float64), frequency.astype(np.float32), likelihood)
