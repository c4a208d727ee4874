"""Merkle trees as in RFC 6962: one root over many hashes, and a short proof that one of them is among them.

Leaves and nodes are told apart; a node without a neighbor moves up as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


class GrowingTree:
    """A tree that leaves are added to; its root is known at any time and a leaf costs two hashes on average."""

    def __init__(self) -> None:
        self.size = 0
        # Roots of whole subtrees, largest first: one for each bit of the size.
        self._whole: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Add one leaf of 32 bytes."""
        node, size = _leaf(leaf), self.size
        while size & 1:
            node, size = _node(self._whole.pop(), node), size >> 1
        self._whole.append(node)
        self.size += 1

    def root(self) -> str:
        """The root over everything added, in hexadecimal; the hash of nothing where nothing was."""
        if not self._whole:
            return hashlib.sha256(b"").hexdigest()
        node = self._whole[-1]
        for left in reversed(self._whole[:-1]):
            node = _node(left, node)
        return node.hex()


def merkle_root(leaves: bytes) -> str:
    """Root over leaves of 32 bytes each, in hexadecimal."""
    level = [_leaf(leaves[at : at + 32]) for at in range(0, len(leaves), 32)]
    while len(level) > 1:
        level = _above(level)
    return (level[0] if level else hashlib.sha256(b"").digest()).hex()


def inclusion_path(leaves: Sequence[bytes], place: int) -> list[str]:
    """The neighbors that join leaf `place` to the root, lowest first; raises IndexError outside the leaves."""
    if not 0 <= place < len(leaves):
        raise IndexError(place)
    level, path = [_leaf(leaf) for leaf in leaves], []
    while len(level) > 1:
        neighbor = place ^ 1
        if neighbor < len(level):
            path.append(level[neighbor].hex())
        level, place = _above(level), place >> 1
    return path


def root_of_path(leaf: bytes, place: int, size: int, path: Sequence[str]) -> str:
    """The root that a proof leads to; raises ValueError where the path does not fit the place and size."""
    if not 0 <= place < size:
        raise ValueError(f"expected a place below {size}")
    node, left = _leaf(leaf), list(path)
    while size > 1:
        if place ^ 1 < size:
            if not left:
                raise ValueError("expected a longer path")
            neighbor = bytes.fromhex(left.pop(0))
            node = _node(neighbor, node) if place & 1 else _node(node, neighbor)
        place, size = place >> 1, (size + 1) >> 1
    if left:
        raise ValueError("expected a shorter path")
    return node.hex()


def _above(level: list[bytes]) -> list[bytes]:
    paired = [_node(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
    return paired + ([level[-1]] if len(level) % 2 else [])


def _leaf(value: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + value).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
