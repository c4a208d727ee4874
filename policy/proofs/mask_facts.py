"""What reading and writing masks should give, said a second time over plain sets of bits."""

from __future__ import annotations

import numpy as np

from policy.masks import as_number, as_numbers, cut, error_bit, error_masks, fires, has, mark, of_numbers, words_of

# (rules, words): with the bit of an error they fill the last word at 63, 127 and so on.
_GROUPS = ((0, 1), (1, 1), (62, 1), (63, 1), (64, 2), (65, 2), (127, 2), (128, 3), (200, 4))
_BITS = (0, 1, 31, 62, 63, 64, 65, 126, 127, 128, 190, 191)


def masks_wrongly() -> str | None:
    """How masks are cut, read or written otherwise than bit by bit, or None."""
    for rules, words in _GROUPS:
        parts = [list(part) for part in cut(range(rules))]
        if words_of(rules) != words or len(parts) != words or any(len(part) > 64 for part in parts):
            return f"{rules} rules take other words"
        if [one for part in parts for one in part] != list(range(rules)) or [len(p) for p in parts[:-1]] != [64] * (
            words - 1
        ):
            return f"{rules} rules are cut in another order"
        wrong = error_masks((2, 1), rules)
        if error_bit(rules) != 64 * words - 1 or as_numbers(wrong[:, 0]) != [2 ** (64 * words - 1)] * 2:
            return f"the bit of an error of {rules} rules is another"
    for words in (1, 2, 3):
        chosen = [bit for bit in _BITS if bit < 64 * words]
        numbers = [0, *(2**bit for bit in chosen), sum(2**bit for bit in chosen), 2 ** (64 * words) - 1]
        masks = of_numbers(numbers, words)
        if as_numbers(masks) != numbers or [as_number(one) for one in masks] != numbers:
            return f"numbers of {words} words are read otherwise"
        if as_numbers(masks[-1:]) != numbers[-1:]:
            return f"one mask of {words} words is read otherwise"
        if fires(masks).tolist() != [number != 0 for number in numbers]:
            return f"masks of {words} words fire otherwise"
        for bit in chosen:
            holds = [bool(number & 2**bit) for number in numbers]
            if has(masks, bit).tolist() != holds:
                return f"bit {bit} is asked otherwise"
            made = of_numbers([1] * len(numbers), words).astype(np.uint64)
            mark(made, bit, np.array(holds))
            if as_numbers(made) != [1 | 2**bit if held else 1 for held in holds]:
                return f"bit {bit} is set otherwise"
    try:
        of_numbers([2**64], 1)
    except OverflowError:
        return None
    return "a number with too many bits is cut off"
