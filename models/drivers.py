"""Exact drivers: base + contributions = raw log-odds, from tables made once for each group of leaves.

Path-dependent TreeSHAP (Lundberg 2018) gives a leaf's Shapley values from two numbers for each distinct feature on its
path: whether the row satisfies every split on it, and the share of the training rows that do. So all values a leaf can
contribute are known before any row is seen. Leaves that hang below one node share a table, whose row is picked by the
decisions below that node and by whether each feature above it is satisfied: a tree of 16 leaves costs about three
look-ups. `pred_contrib` is the oracle of the tests; LightGBM itself is not needed to predict.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from features.columns import available_threads, in_ranges
from models.leaf_tables import Packed, pack
from models.trees import Tree, parse_model

Floats = NDArray[np.float64]

BLOCK_ROWS = 64
PARALLEL_FROM_ROWS = 256
SINGLE_UP_TO_ROWS = 3
ZERO = 1e-35


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees ready to explain: `base` is the mean raw log-odds over the training rows."""

    feature_count: int
    base: float
    trees: int
    packed: Packed


def compile(model: Any) -> Ensemble:
    """Tables for a LightGBM booster or its text; raises BundleRefused where the text is not a sound model."""
    text = model if isinstance(model, str) else model.model_to_string()
    parsed = parse_model(text)
    return _ensemble(parsed.trees, parsed.feature_count)


def join(first: Ensemble, second: Ensemble, weight: float) -> Ensemble:
    """One ensemble that adds `weight` times the second to the first."""
    a, b = first.packed, second.packed
    if first.feature_count != second.feature_count:
        raise ValueError(f"ensembles of {first.feature_count} and {second.feature_count} features cannot be joined")
    packed = Packed(
        tree_nodes=_offsets(a.tree_nodes, b.tree_nodes),
        tree_groups=_offsets(a.tree_groups, b.tree_groups),
        node_feature=np.concatenate([a.node_feature, b.node_feature]),
        node_threshold=np.concatenate([a.node_threshold, b.node_threshold]),
        node_kind=np.concatenate([a.node_kind, b.node_kind]),
        node_nan_left=np.concatenate([a.node_nan_left, b.node_nan_left]),
        node_default_left=np.concatenate([a.node_default_left, b.node_default_left]),
        node_words=_offsets(a.node_words, b.node_words),
        words=np.concatenate([a.words, b.words]),
        group_shift=np.concatenate([a.group_shift, b.group_shift]),
        group_mask=np.concatenate([a.group_mask, b.group_mask]),
        group_units=_offsets(a.group_units, b.group_units),
        unit_mask=np.concatenate([a.unit_mask, b.unit_mask]),
        unit_want=np.concatenate([a.unit_want, b.unit_want]),
        group_features=_offsets(a.group_features, b.group_features),
        features=np.concatenate([a.features, b.features]),
        group_rows=_offsets(a.group_rows, b.group_rows),
        table=np.concatenate([a.table, weight * b.table]),
    )
    return replace(first, base=first.base + weight * second.base, trees=first.trees + second.trees, packed=packed)


def contributions(ensemble: Ensemble, X: Floats) -> Floats:
    """Contribution of every feature for every row, and the base as the last column, as `pred_contrib` lays them out."""
    X = _checked(ensemble, X)
    out = np.empty((X.shape[0], ensemble.feature_count + 1))
    out[:, -1] = ensemble.base
    # INVARIANT: a row's contributions do not depend on the rows beside it, nor on the number of threads.
    if X.shape[0] > SINGLE_UP_TO_ROWS:
        # Plain threads over a kernel that lets go of the interpreter: numba's own abort where two of them meet.
        in_ranges(
            lambda _, start, stop: _explain_blocks(X, start, stop, ensemble.packed, out),
            X.shape[0],
            available_threads(),
            worth=PARALLEL_FROM_ROWS,
        )
    else:
        _explain_single(X, ensemble.packed, out)
    return out


def raw_log_odds(ensemble: Ensemble, X: Floats) -> Floats:
    """Base plus the sum of contributions: what the boosters themselves would predict as raw score."""
    return np.asarray(contributions(ensemble, X).sum(axis=1))


def warm_up() -> None:
    """Load the compiled kernels, so that the first lead is as fast as the next."""
    ensemble = _ensemble((Tree(leaf_values=(0.0,), leaf_counts=(1,), nodes=()),), 1)
    for rows in (1, SINGLE_UP_TO_ROWS + 1, PARALLEL_FROM_ROWS):
        contributions(ensemble, np.zeros((rows, 1)))


def _ensemble(trees: tuple[Tree, ...], feature_count: int) -> Ensemble:
    base, packed = pack(trees)
    return Ensemble(feature_count, base, len(trees), packed)


def _checked(ensemble: Ensemble, X: Floats) -> Floats:
    if X.ndim != 2 or X.shape[1] != ensemble.feature_count:
        raise ValueError(f"expected rows of {ensemble.feature_count} features, got an array of shape {X.shape}")
    return np.ascontiguousarray(X, dtype=np.float64)


def _offsets(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([a, b[1:] + a[-1]])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _explain(X, low, high, p, out):  # type: ignore[no-untyped-def]
    """Contributions of the rows low..high into `out`; loops run over rows innermost so that they vectorise."""
    n, width = high - low, X.shape[1]
    columns = np.empty((width, n))
    phi = np.zeros((width, n))
    for row in range(n):
        for f in range(width):
            columns[f, row] = X[low + row, f]
    taken = np.empty(n, dtype=np.uint64)
    index = np.empty(n, dtype=np.int64)
    for tree in range(p.tree_nodes.size - 1):
        taken[:] = 0
        start = p.tree_nodes[tree]
        for node in range(start, p.tree_nodes[tree + 1]):
            column = columns[p.node_feature[node]]
            bit = np.uint64(1) << np.uint64(node - start)
            threshold = p.node_threshold[node]
            at_nan = bit if p.node_nan_left[node] else np.uint64(0)
            if p.node_kind[node] == 0:
                for row in range(n):
                    x = column[row]
                    left = bit if x <= threshold else np.uint64(0)
                    taken[row] |= at_nan if x != x else left
            elif p.node_kind[node] == 1:
                at_zero = bit if p.node_default_left[node] else np.uint64(0)
                for row in range(n):
                    x = column[row]
                    left = bit if x <= threshold else np.uint64(0)
                    taken[row] |= left if abs(x) > ZERO else at_zero
            else:
                first = p.node_words[node]
                limit = 32.0 * (p.node_words[node + 1] - first)
                for row in range(n):
                    x = column[row]
                    if x > -1.0 and x < limit:
                        category = np.int64(x)
                        if (p.words[first + (category >> 5)] >> np.uint32(category & 31)) & np.uint32(1):
                            taken[row] |= bit
        for group in range(p.tree_groups[tree], p.tree_groups[tree + 1]):
            units, end = p.group_units[group], p.group_units[group + 1]
            shift, mask = np.uint64(p.group_shift[group]), p.group_mask[group]
            for row in range(n):
                index[row] = (np.int64(taken[row] >> shift) & mask) << (end - units)
            for unit in range(units, end):
                unit_mask, want, place = p.unit_mask[unit], p.unit_want[unit], np.int64(1) << (unit - units)
                for row in range(n):
                    index[row] |= place if ((taken[row] ^ want) & unit_mask) == 0 else 0
            first, size = p.group_features[group], p.group_features[group + 1] - p.group_features[group]
            origin = p.group_rows[group]
            for slot in range(size):
                target = phi[p.features[first + slot]]
                for row in range(n):
                    target[row] += p.table[origin + index[row] * size + slot]
    for row in range(n):
        for f in range(width):
            out[low + row, f] = phi[f, row]


@numba.njit(cache=True, nogil=True)
def _explain_blocks(X, start, stop, p, out):  # type: ignore[no-untyped-def]
    """Rows start..stop a block at a time, so that what a block needs stays in the processor's cache."""
    for low in range(start, stop, BLOCK_ROWS):
        _explain(X, low, min(low + BLOCK_ROWS, stop), p, out)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _explain_single(X, p, out):  # type: ignore[no-untyped-def]
    """The same sums in the same order, one row at a time and without buffers: what a request needs."""
    for row in range(X.shape[0]):
        phi = out[row]
        phi[: X.shape[1]] = 0.0
        for tree in range(p.tree_nodes.size - 1):
            taken = np.uint64(0)
            start = p.tree_nodes[tree]
            for node in range(start, p.tree_nodes[tree + 1]):
                x = X[row, p.node_feature[node]]
                kind = p.node_kind[node]
                if kind == 2:
                    first = p.node_words[node]
                    left = np.uint64(0)
                    if x > -1.0 and x < 32.0 * (p.node_words[node + 1] - first):
                        category = np.int64(x)
                        left = np.uint64((p.words[first + (category >> 5)] >> np.uint32(category & 31)) & np.uint32(1))
                elif x != x:
                    left = np.uint64(p.node_nan_left[node])
                elif kind == 1 and abs(x) <= ZERO:
                    left = np.uint64(p.node_default_left[node])
                else:
                    left = np.uint64(x <= p.node_threshold[node])
                taken |= left << np.uint64(node - start)
            for group in range(p.tree_groups[tree], p.tree_groups[tree + 1]):
                units, end = p.group_units[group], p.group_units[group + 1]
                index = (np.int64(taken >> np.uint64(p.group_shift[group])) & p.group_mask[group]) << (end - units)
                for unit in range(units, end):
                    held = np.int64(((taken ^ p.unit_want[unit]) & p.unit_mask[unit]) == 0)
                    index |= held << (unit - units)
                first, size = p.group_features[group], p.group_features[group + 1] - p.group_features[group]
                at = p.group_rows[group] + index * size
                for slot in range(size):
                    phi[p.features[first + slot]] += p.table[at + slot]
