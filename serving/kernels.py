"""Compiled loops over lead, asset and channel: what a channel shows, and the best permitted pair."""

from __future__ import annotations

import numba
import numpy as np

ONE = np.uint64(1)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def by_channel(blocks, permits, passes, offered, asset, shown_blocks, shown_permits, permitted):  # type: ignore[no-untyped-def]
    """Per lead and channel the first asset that passes, else the offered one that the fewest rules stop."""
    n, assets, channels = passes.shape
    for i in range(n):
        for c in range(channels):
            best, fewest = 0, 10_000
            for a in range(assets):
                if passes[i, a, c]:
                    best, fewest = a, -1
                    break
                stopped = 0 if offered[i, a] else 1_000
                if permits[i, a, c] == 0:
                    stopped += 1
                mask = blocks[i, a, c]
                while mask:
                    mask &= mask - ONE
                    stopped += 1
                if stopped < fewest:
                    best, fewest = a, stopped
            asset[i, c] = best
            shown_blocks[i, c] = blocks[i, best, c]
            shown_permits[i, c] = permits[i, best, c]
            permitted[i, c] = fewest == -1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def best_pairs(  # type: ignore[no-untyped-def]
    permitted, suits, worth, ranks, asset_product, segment_product, overview, replies, bare, primary, stage,
    asked, product, preferred, weights, asset, channel,
):  # fmt: skip
    """Per lead the permitted pair of highest preference; ties fall to the first asset, then the first channel."""
    n, assets, channels = permitted.shape
    for i in range(n):
        best = -1_000_000
        asset[i] = channel[i] = -1
        s, g = primary[i], stage[i]
        for a in range(assets):
            wanted = asset_product[a]
            exact = wanted != 0 and (wanted == product[i] or wanted == segment_product[s])
            if asked[i]:
                if not replies[a]:
                    continue
            elif not suits[s, g, a] or not (
                wanted == 0 or exact or (product[i] == 0 and segment_product[s] == 0 and overview[a])
            ):
                continue
            value = worth[s, g, a] + (weights[0] if exact else 0)
            for c in range(channels):
                if not permitted[i, a, c] or (a == assets - 1 and not bare[c]):
                    continue
                score = value + ranks[s, c] + (weights[1] if preferred[i] == c + 1 else 0)
                if score > best:
                    best = score
                    asset[i], channel[i] = a, c
