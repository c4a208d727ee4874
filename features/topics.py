"""Opt-outs of a topic or of a product: what of the content they stop.

Such an opt-out stops content of its topic and product on its channel, and nothing that is surely about something else.
An asset whose topic or product nobody knows may be about it, and so may a message without an asset: unknown, and that
blocks. A topic or product that cannot be read is an opt-out of everything, and so is a limit on any other reason than
an opt-out: an erasure or a bounce has no topic.

Two facts tell it: `topic_opt_out` by channel (any such opt-out holds here) and `asset_topic_opt_out` by asset (it is
about one of them, of whatever channel). Both together stop. A person who closed pricing on e-mail and dosing on text
messages therefore gets neither on both: too little, never too much.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.columns import Columns, exact
from features.tables import NO, SKEW_US, UNKNOWN_INSTANT, YES, Known


def limited(rows: Columns, opt_out: int, topics: int, products: int) -> NDArray[np.bool_]:
    """Which rows of suppressions stop only a topic or product.

    Args:
        rows: encoded suppressions.
        opt_out: code of the one reason that a topic can limit.
        topics: how many topics the vocabulary has; a higher code is one that cannot be read.
        products: the same of products.
    """
    size = len(rows["lead"])
    topic, product = exact(rows, "topic", np.uint8, size), exact(rows, "product", np.uint8, size)
    found = (topic > 0) | (product > 0)
    if found.any():
        # INVARIANT: a limit that cannot be read limits nothing.
        found &= (topic <= topics) & (product <= products) & (exact(rows, "reason", np.uint8, size) == opt_out)
    return found


def topic_stops(
    known: Known, some: NDArray[np.bool_], topics: NDArray[np.uint8], products: NDArray[np.uint8], absent: int
) -> NDArray[np.uint8]:
    """Yes/no by lead and asset, whether it is about a topic or product that the person opted out of.

    Args:
        known: what is known.
        some: which suppressions are limited, as `limited` says.
        topics: code of each asset's topic, 0 where nobody knows it.
        products: code of each asset's product, 0 where nobody knows it.
        absent: what no such opt-out on record says: no, or unknown where the list is not complete.
    """
    n = len(known.lead_ids)
    found = np.full((n, len(topics)), absent, dtype=np.uint8)
    place = np.flatnonzero(some)
    if not len(place):
        return found
    rows, size = known.suppressions, len(some)
    since, until = exact(rows, "since_at", np.int64, size)[place], exact(rows, "until_at", np.int64, size)[place]
    holds = (since <= known.as_of_us + SKEW_US) & ((until == UNKNOWN_INSTANT) | (until > known.as_of_us))
    place = place[holds]
    account = exact(rows, "account", np.int32, size)[place]
    of_account = np.full(len(known.account_ids), -1, dtype=np.int64)
    named = np.unique(account[(account >= 0) & (account < len(of_account))])
    of_account[named] = np.arange(len(named))
    _about(
        exact(rows, "lead", np.int32, size)[place],
        account,
        exact(rows, "topic", np.uint8, size)[place],
        exact(rows, "product", np.uint8, size)[place],
        topics,
        products,
        of_account,
        np.full((len(named), len(topics)), NO, dtype=np.uint8),
        exact(known.leads, "account", np.int32, n),
        exact(known.accounts, "parent", np.int32, len(of_account)),
        found,
    )
    return found


@njit(cache=True, nogil=True)
def _match(wanted: Any, has: Any) -> Any:
    if wanted == 0 or wanted == has:
        return YES
    return 0 if has == 0 else NO


@njit(cache=True, nogil=True)
def _stricter(was: Any, now: Any) -> Any:
    """Yes before unknown before no."""
    if was == YES or now == YES:
        return YES
    return min(was, now)


@njit(cache=True, nogil=True)
def _about(
    lead: Any, account: Any, topic: Any, product: Any, topics: Any, products: Any, of_account: Any, sites: Any,
    works_at: Any, parent: Any, found: Any,
) -> None:  # fmt: skip
    n, assets = found.shape
    for i in range(len(lead)):
        own = 0 <= lead[i] < n
        if not own and not 0 <= account[i] < len(of_account):
            continue
        for a in range(assets):
            of_topic, of_product = _match(topic[i], topics[a]), _match(product[i], products[a])
            about = NO if of_topic == NO or of_product == NO else min(of_topic, of_product)
            if own:
                found[lead[i], a] = _stricter(found[lead[i], a], about)
            else:
                sites[of_account[account[i]], a] = _stricter(sites[of_account[account[i]], a], about)
    if not len(sites):
        return
    for row in range(n):
        at = works_at[row]
        for _ in range(2):
            if at < 0 or at >= len(of_account):
                break
            if of_account[at] >= 0:
                for a in range(assets):
                    found[row, a] = _stricter(found[row, a], sites[of_account[at], a])
            at = parent[at]
