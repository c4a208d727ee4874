"""LightGBM's text format, read without LightGBM: a damaged file is refused here instead of killing the process."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from configs.errors import BundleRefused

MAX_NODES = 63
MAX_PATH_FEATURES = 12
MISSING: tuple[Literal["none", "zero", "nan"], ...] = ("none", "zero", "nan")


@dataclass(frozen=True, slots=True)
class Node:
    """A split; a child below zero is the leaf `~child`. `categories` are bit words of the values that go left."""

    feature: int
    threshold: float
    left: int
    right: int
    count: int
    missing: Literal["none", "zero", "nan"]
    default_left: bool
    categories: tuple[int, ...] | None

    def nan_goes_left(self) -> bool:
        """Where a NaN goes: a categorical sends it right, `none` treats it as zero, the others by default."""
        if self.categories is not None:
            return False
        return self.threshold >= 0.0 if self.missing == "none" else self.default_left


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree with the training counts that weigh its paths."""

    leaf_values: tuple[float, ...]
    leaf_counts: tuple[int, ...]
    nodes: tuple[Node, ...]

    def count(self, node: int) -> int:
        """Training rows that reached a node or, below zero, a leaf."""
        return self.nodes[node].count if node >= 0 else self.leaf_counts[~node]

    def inner_count(self, node: int) -> int:
        """Splits at and below a node."""
        if node < 0:
            return 0
        return 1 + self.inner_count(self.nodes[node].left) + self.inner_count(self.nodes[node].right)

    def expected_value(self) -> float:
        """Mean leaf value over the training rows, summed as LightGBM sums it."""
        if not self.nodes:
            return self.leaf_values[0]
        total = self.nodes[0].count
        return sum(c / total * v for c, v in zip(self.leaf_counts, self.leaf_values, strict=True)) if total else 0.0

    def preorder(self) -> list[int]:
        """Splits from the root, each before those below it, so that a subtree is one run."""
        found: list[int] = []
        waiting = [0] if self.nodes else []
        while waiting:
            node = waiting.pop()
            found.append(node)
            waiting.extend(child for child in (self.nodes[node].right, self.nodes[node].left) if child >= 0)
        return found


@dataclass(frozen=True, slots=True)
class Model:
    """What a model text holds: feature names, objective and trees."""

    feature_count: int
    feature_names: tuple[str, ...]
    objective: str
    trees: tuple[Tree, ...]


def parse_model(text: str) -> Model:
    """Read a single-output model; raises BundleRefused for anything that is not sound."""
    if "\r" in text:
        raise BundleRefused("model text: expected LF line ends")
    if not text.startswith("tree\n") or "\nend of trees\n" not in text:
        raise BundleRefused("model text: expected a whole LightGBM model")
    body = text[: text.index("\nend of trees\n")]
    head, *blocks = body.split("\nTree=")
    try:
        return _model(_fields(head), [_fields(block.split("\n", 1)[1]) for block in blocks])
    except (KeyError, ValueError, IndexError) as error:
        raise BundleRefused(f"model text: a field is missing or malformed ({type(error).__name__})") from error


def _fields(block: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in block.split("\n") if "=" in line)
    return {pair[0]: pair[1] for pair in pairs}


def _model(head: dict[str, str], blocks: list[dict[str, str]]) -> Model:
    names = tuple(head["feature_names"].split(" "))
    count = int(head["max_feature_idx"]) + 1
    if int(head["num_tree_per_iteration"]) != 1 or len(names) != count:
        raise BundleRefused("model text: expected one output and a name for every feature")
    if len(head["tree_sizes"].split()) != len(blocks):
        raise BundleRefused("model text: a tree is missing")
    return Model(count, names, head.get("objective", ""), tuple(_tree(block, count) for block in blocks))


def _tree(fields: dict[str, str], feature_count: int) -> Tree:
    leaves = int(fields["num_leaves"])
    if fields.get("is_linear", "0") != "0":
        raise BundleRefused("model text: linear trees have no exact drivers")
    if not 1 <= leaves <= MAX_NODES + 1:
        raise BundleRefused(f"model text: expected 1 to {MAX_NODES + 1} leaves in a tree, got {leaves}")
    values = tuple(float(v) for v in fields["leaf_value"].split())
    counts = tuple(int(v) for v in fields.get("leaf_count", "").split()) or (1,) * len(values)
    if len(values) != leaves or len(counts) != leaves or not all(map(isfinite, values)) or min(counts) < 0:
        raise BundleRefused("model text: a tree's leaves do not fit its size")
    if leaves == 1:
        return Tree(values, counts, ())
    return _checked(Tree(values, counts, _nodes(fields, leaves - 1, feature_count)))


def _nodes(fields: dict[str, str], inner: int, feature_count: int) -> tuple[Node, ...]:
    feature, left, right, counts, kinds = (
        [int(v) for v in fields[name].split()]
        for name in ("split_feature", "left_child", "right_child", "internal_count", "decision_type")
    )
    threshold = [float(v) for v in fields["threshold"].split()]
    bounds = [int(v) for v in fields.get("cat_boundaries", "0").split()]
    words = [int(v) for v in fields.get("cat_threshold", "").split()]
    if {len(c) for c in (feature, left, right, counts, kinds, threshold)} != {inner}:
        raise BundleRefused("model text: a tree's splits do not fit its size")
    if not all(0 <= f < feature_count for f in feature) or any(t != t for t in threshold) or min(counts) < 0:
        raise BundleRefused("model text: a split points at no feature")
    nodes: list[Node] = []
    for i in range(inner):
        missing = MISSING[(kinds[i] >> 2) & 3]
        categories = None
        if kinds[i] & 1:
            place = int(threshold[i])
            start, end = bounds[place], bounds[place + 1]
            if place < 0 or not 0 <= start < end <= len(words) or not all(0 <= w < 2**32 for w in words[start:end]):
                raise BundleRefused("model text: a categorical split has no values")
            categories = tuple(words[start:end])
        nodes.append(
            Node(feature[i], threshold[i], left[i], right[i], counts[i], missing, bool(kinds[i] & 2), categories)
        )
    return tuple(nodes)


def _checked(tree: Tree) -> Tree:
    """The same tree, once every node and leaf is known to hang in it exactly once and no path is too wide."""
    seen: set[int] = set()
    waiting: list[tuple[int, frozenset[int]]] = [(0, frozenset())]
    while waiting:
        node, path = waiting.pop()
        if node in seen or not -len(tree.leaf_values) <= node < len(tree.nodes):
            raise BundleRefused("model text: a tree's children do not form a tree")
        seen.add(node)
        if node >= 0:
            path = path | {tree.nodes[node].feature}
            if len(path) > MAX_PATH_FEATURES:
                raise BundleRefused(f"model text: a path has more than {MAX_PATH_FEATURES} distinct features")
            waiting.extend(((tree.nodes[node].left, path), (tree.nodes[node].right, path)))
    if len(seen) != len(tree.nodes) + len(tree.leaf_values):
        raise BundleRefused("model text: a tree's children do not form a tree")
    return tree
