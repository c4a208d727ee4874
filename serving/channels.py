"""What each channel shows of the rulings on every asset: one asset, permitted or not, and the rules that say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.masks import Masks, of_numbers, words_of
from policy.rulings import Rulings
from serving.kernels import by_channel as shown_by_channel


@dataclass(frozen=True, slots=True)
class ChannelRulings:
    """For each lead and channel: permitted or not, and the asset, blocks and permits that say so.

    `passes` says it for every asset too.

    A permitted channel shows an asset that passes; a forbidden one shows the asset that the fewest rules stop.
    """

    permitted: NDArray[np.bool_]
    passes: NDArray[np.bool_]
    asset: NDArray[np.int16]
    blocks: Masks
    permits: Masks
    no_score: NDArray[np.bool_]
    score_blocks: Masks


def by_channel(ruled: Rulings, replies: NDArray[np.bool_], asked: NDArray[np.uint8], replay: bool) -> ChannelRulings:
    """What each channel shows of the rulings; `replies` marks replies to a question, `asked` who asked one."""
    n, _, channels = ruled.shape
    passes = np.empty(ruled.shape, dtype=np.bool_)
    asset, permitted = np.empty((n, channels), dtype=np.int16), np.empty((n, channels), dtype=np.bool_)
    words = words_of(len(ruled.book.rules)), words_of(len(ruled.book.permits))
    blocks, permits = (np.empty((n, channels, count), dtype=np.uint64) for count in words)
    content = of_numbers([ruled.book.content], words[0])[0].astype(np.uint64)
    for rows, every_block, every_permit in ruled.parts():
        # INVARIANT: a replay permits nothing, whatever the rules of its day say.
        shown_by_channel(
            every_block, every_permit, content, replies, asked[rows], replay,
            passes[rows], asset[rows], blocks[rows], permits[rows], permitted[rows],
        )  # fmt: skip
    return ChannelRulings(
        permitted=permitted,
        passes=passes,
        asset=asset,
        blocks=blocks,
        permits=permits,
        no_score=ruled.no_score,
        score_blocks=ruled.score_blocks,
    )
