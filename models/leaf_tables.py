"""Tables of Shapley values for groups of leaves, made once for an ensemble of trees, and the arrays a kernel walks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from models.trees import Node, Tree

Floats = NDArray[np.float64]

# Leaves share a table while at most so many bits pick its rows: fewer look-ups, in tables that stay cached.
GROUP_BITS = 7


class Packed(NamedTuple):
    """The arrays the kernel walks: nodes in preorder for each tree, then groups with their units, features and rows."""

    tree_nodes: NDArray[np.int64]
    tree_groups: NDArray[np.int64]
    node_feature: NDArray[np.int64]
    node_threshold: Floats
    node_kind: NDArray[np.uint8]
    node_nan_left: NDArray[np.uint8]
    node_default_left: NDArray[np.uint8]
    node_words: NDArray[np.int64]
    words: NDArray[np.uint32]
    group_shift: NDArray[np.int64]
    group_mask: NDArray[np.int64]
    group_units: NDArray[np.int64]
    unit_mask: NDArray[np.uint64]
    unit_want: NDArray[np.uint64]
    group_features: NDArray[np.int64]
    features: NDArray[np.int64]
    group_rows: NDArray[np.int64]
    table: Floats


@dataclass(slots=True)
class _Unit:
    """A distinct feature on a path: the splits on it, how each must go, and the share of rows that go so."""

    feature: int
    mask: int = 0
    want: int = 0
    share: float = 1.0


class _Packer:
    """Collects the arrays of `Packed` tree by tree."""

    def __init__(self) -> None:
        self.tree_nodes, self.tree_groups, self.node_words = [0], [0], [0]
        self.feature: list[int] = []
        self.threshold: list[float] = []
        self.kind: list[int] = []
        self.nan_left: list[bool] = []
        self.default_left: list[bool] = []
        self.words: list[int] = []
        self.shift: list[int] = []
        self.mask: list[int] = []
        self.group_units, self.group_features, self.group_rows, self.group_leaves = [0], [0], [0], [0]
        self.unit_mask: list[int] = []
        self.unit_want: list[int] = []
        self.features: list[int] = []
        self.leaf_value: list[float] = []
        self.leaf_parts = [0]
        self.part_slot: list[int] = []
        self.part_mask: list[int] = []
        self.part_want: list[int] = []
        self.part_share: list[float] = []
        self.base = 0.0

    def add(self, tree: Tree) -> None:
        """Append one tree: its nodes in preorder, then its groups."""
        self.base += tree.expected_value()
        order = tree.preorder()
        position = {node: place for place, node in enumerate(order)}
        for node in order:
            self._node(tree.nodes[node])
        self.tree_nodes.append(len(self.feature))
        if tree.nodes:
            self._group(tree, 0, [], position)
        self.tree_groups.append(len(self.shift))

    def _node(self, node: Node) -> None:
        self.feature.append(node.feature)
        self.threshold.append(node.threshold)
        self.kind.append(2 if node.categories is not None else int(node.missing == "zero"))
        self.nan_left.append(node.nan_goes_left())
        self.default_left.append(node.default_left)
        self.words.extend(node.categories or ())
        self.node_words.append(len(self.words))

    def _group(self, tree: Tree, node: int, path: list[_Unit], position: dict[int, int]) -> None:
        inner = tree.inner_count(node)
        if node >= 0 and len(path) + inner > GROUP_BITS:
            for left in (True, False):
                child = tree.nodes[node].left if left else tree.nodes[node].right
                self._group(tree, child, _extended(tree, node, left, path, position[node]), position)
            return
        self.shift.append(position[node] if node >= 0 else 0)
        self.mask.append((1 << inner) - 1)
        self.unit_mask.extend(unit.mask for unit in path)
        self.unit_want.extend(unit.want for unit in path)
        self.group_units.append(len(self.unit_mask))
        # In the table's index the path's units are the low bits, the decisions below the node the high ones.
        units = [_Unit(u.feature, 1 << place, 1 << place, u.share) for place, u in enumerate(path)]
        slots: dict[int, int] = {}
        self._leaves(tree, node, units, slots, {n: p - self.shift[-1] + len(path) for n, p in position.items()})
        self.features.extend(slots)
        self.group_features.append(len(self.features))
        self.group_rows.append(self.group_rows[-1] + (1 << (len(path) + inner)) * len(slots))
        self.group_leaves.append(len(self.leaf_value))

    def _leaves(
        self, tree: Tree, node: int, path: list[_Unit], slots: dict[int, int], position: dict[int, int]
    ) -> None:
        if node >= 0:
            split = tree.nodes[node]
            for left, child in ((True, split.left), (False, split.right)):
                extended = _extended(tree, node, left, path, position[node])
                self._leaves(tree, child, extended, slots, position)
            return
        self.leaf_value.append(tree.leaf_values[~node])
        for unit in path:
            self.part_slot.append(slots.setdefault(unit.feature, len(slots)))
            self.part_mask.append(unit.mask)
            self.part_want.append(unit.want)
            self.part_share.append(unit.share)
        self.leaf_parts.append(len(self.part_slot))


def _extended(tree: Tree, node: int, left: bool, path: list[_Unit], bit: int) -> list[_Unit]:
    """The path with one more split: a repeated feature keeps one unit whose share is the product."""
    split = tree.nodes[node]
    child = split.left if left else split.right
    parent_count = tree.count(node)
    share = tree.count(child) / parent_count if parent_count else 0.0
    found = [replace(unit) for unit in path]
    unit = next((u for u in found if u.feature == split.feature), None)
    if unit is None:
        unit = _Unit(split.feature)
        found.append(unit)
    unit.mask |= 1 << bit
    unit.want |= int(left) << bit
    unit.share *= share
    return found


def pack(trees: tuple[Tree, ...]) -> tuple[float, Packed]:
    """Mean raw log-odds of trees over their training rows, and the arrays that explain them."""
    packer = _Packer()
    for tree in trees:
        packer.add(tree)
    table = np.zeros(packer.group_rows[-1])
    whole = np.int64
    group_rows = np.array(packer.group_rows, dtype=whole)
    _fill(
        group_rows,
        np.diff(np.array(packer.group_features, dtype=whole)),
        np.array(packer.group_leaves, dtype=whole),
        np.array(packer.leaf_value, dtype=np.float64),
        np.array(packer.leaf_parts, dtype=whole),
        np.array(packer.part_slot, dtype=whole),
        np.array(packer.part_mask, dtype=whole),
        np.array(packer.part_want, dtype=whole),
        np.array(packer.part_share, dtype=np.float64),
        table,
    )
    packed = Packed(
        tree_nodes=np.array(packer.tree_nodes, dtype=whole),
        tree_groups=np.array(packer.tree_groups, dtype=whole),
        node_feature=np.array(packer.feature, dtype=whole),
        node_threshold=np.array(packer.threshold, dtype=np.float64),
        node_kind=np.array(packer.kind, dtype=np.uint8),
        node_nan_left=np.array(packer.nan_left, dtype=np.uint8),
        node_default_left=np.array(packer.default_left, dtype=np.uint8),
        node_words=np.array(packer.node_words, dtype=whole),
        words=np.array(packer.words, dtype=np.uint32),
        group_shift=np.array(packer.shift, dtype=whole),
        group_mask=np.array(packer.mask, dtype=whole),
        group_units=np.array(packer.group_units, dtype=whole),
        unit_mask=np.array(packer.unit_mask, dtype=np.uint64),
        unit_want=np.array(packer.unit_want, dtype=np.uint64),
        group_features=np.array(packer.group_features, dtype=whole),
        features=np.array(packer.features, dtype=whole),
        group_rows=group_rows,
        table=table,
    )
    return packer.base, packed


@numba.njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _fill(rows, widths, leaves, value, parts, slot, mask, want, share, table):  # type: ignore[no-untyped-def]
    """Sum the Shapley values of every leaf of a group for every pattern of the group's bits."""
    for group in range(widths.size):
        width = widths[group]
        patterns = (rows[group + 1] - rows[group]) // width if width else 0
        for leaf in range(leaves[group], leaves[group + 1]):
            first, size = parts[leaf], parts[leaf + 1] - parts[leaf]
            weight = np.empty(size)
            weight[0] = 1.0 / size
            for k in range(1, size):
                weight[k] = weight[k - 1] * k / (size - k)
            own = np.zeros((1 << size, size))
            poly = np.empty(size)
            for held in range(1 << size):
                for i in range(size):
                    poly[:] = 0.0
                    poly[0] = 1.0
                    for j in range(size):
                        if j != i:
                            one, zero = float((held >> j) & 1), share[first + j]
                            for k in range(size - 1, 0, -1):
                                poly[k] = poly[k] * zero + poly[k - 1] * one
                            poly[0] *= zero
                    total = 0.0
                    for k in range(size):
                        total += weight[k] * poly[k]
                    own[held, i] = value[leaf] * (float((held >> i) & 1) - share[first + i]) * total
            for pattern in range(patterns):
                held = 0
                for j in range(size):
                    if (pattern ^ want[first + j]) & mask[first + j] == 0:
                        held |= 1 << j
                at = rows[group] + pattern * width
                for j in range(size):
                    table[at + slot[first + j]] += own[held, j]
