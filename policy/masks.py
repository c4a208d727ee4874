"""Masks: a bit for every rule of a group, in as many words of 64 bits as it takes, along the last axis of an array.

A group has more bits than rules, so that the top bit of its last word is never a rule: it says EVALUATION_ERROR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORD = 64
Masks = NDArray[np.uint64]


def words_of(rules: int) -> int:
    """How many words a group of so many rules has; at least one."""
    return rules // WORD + 1


def error_bit(rules: int) -> int:
    """The bit that says EVALUATION_ERROR in the masks of a group of so many rules."""
    return words_of(rules) * WORD - 1


def error_masks(shape: tuple[int, ...], rules: int) -> Masks:
    """Masks (*shape, words) that say EVALUATION_ERROR everywhere."""
    found = np.zeros((*shape, words_of(rules)), dtype=np.uint64)
    found[..., -1] = np.uint64(1) << np.uint64(WORD - 1)
    return found


def cut(group: Sequence[Any]) -> list[Sequence[Any]]:
    """A group in parts of one word each, in order; the last may be empty."""
    return [group[word * WORD : (word + 1) * WORD] for word in range(words_of(len(group)))]


def as_number(mask: Masks) -> int:
    """One mask (words) as a whole number with the same bits."""
    return int.from_bytes(mask.astype("<u8").tobytes(), "little")


def as_numbers(masks: Masks) -> list[int]:
    """Masks (places, words) as whole numbers with the same bits."""
    if masks.shape[-1] == 1:
        found: list[int] = masks[:, 0].tolist()
        return found
    return [as_number(mask) for mask in masks]


def of_numbers(numbers: Sequence[int], words: int) -> Masks:
    """Whole numbers as masks (numbers, words), read-only; raises OverflowError where a number has more bits."""
    packed = b"".join([number.to_bytes(words * (WORD // 8), "little") for number in numbers])
    return np.frombuffer(packed, dtype="<u8").reshape(-1, words)


def fires(masks: Masks) -> NDArray[np.bool_]:
    """By place whether any bit is set; masks are (..., words)."""
    found = masks[..., 0] != 0
    for word in range(1, masks.shape[-1]):
        found |= masks[..., word] != 0
    return np.asarray(found)


def has(masks: Masks, bit: int) -> NDArray[np.bool_]:
    """By place whether a bit is set; masks are (..., words)."""
    return (masks[..., bit // WORD] >> np.uint64(bit % WORD) & np.uint64(1)).astype(np.bool_)


def mark(masks: Masks, bit: int, where: NDArray[np.bool_]) -> None:
    """Set a bit where `where` says; masks are (..., words), and `where` broadcasts to the rest."""
    masks[..., bit // WORD] |= where.astype(np.uint64) << np.uint64(bit % WORD)
