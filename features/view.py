"""What may be used of what is known: the one road from tables to `Known`, for training, batch and one lead.

Every caller that decides, learns or counts comes this way, so that none of them forgets a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.identity import Governed
from configs.settings import Settings
from features.columns import available_threads, exact, in_ranges
from features.engagement import NEVER_COMMERCIAL
from features.governance import governed
from features.human import HumanRules, weighed
from features.journey.about import AssetProducts, about_products
from features.links import LinkRules, follow_links
from features.tables import Known, Tables, known_at, microseconds
from features.use.permitted import UseRules, permitted

_PAIR = np.dtype([("lead", np.int32), ("message", np.int64)])


@dataclass(frozen=True)
class Medical:
    """What is medical information's: kinds of event by code, the intent of its messages, ids of its assets."""

    kinds: NDArray[np.bool_]
    intent: int
    assets: frozenset[str]

    @classmethod
    def of(cls, settings: Settings) -> Medical:
        """Resolve the settings."""
        kinds, known = np.zeros(256, dtype=np.bool_), settings.vocabularies["event_kind"]
        kinds[[known.code(kind) for kind in NEVER_COMMERCIAL if kind in known.values]] = True
        assets = frozenset(asset.asset_id for asset in settings.assets if asset.intent == "medical_information")
        return cls(kinds, settings.vocabularies["intent"].code("medical_information"), assets)


@dataclass(frozen=True)
class ViewRules:
    """What the steps of a view need, resolved from the settings once.

    `medical` says what is medical information's alone; `human` tells people from machines; `links` which ids are one
    person; `use` is what may be used of whom; `products` are those of assets.
    """

    medical: Medical
    human: HumanRules | None
    links: LinkRules
    governs: Mapping[str, Governed]
    use: UseRules
    products: AssetProducts

    @classmethod
    def of(cls, settings: Settings) -> ViewRules:
        """Resolve the settings."""
        return cls(
            medical=Medical.of(settings),
            human=HumanRules.of(settings.features.human, settings.vocabularies),
            links=LinkRules.of(settings),
            governs={str(field): one for field, one in settings.identity.governs.items()},
            use=UseRules.of(settings),
            products=AssetProducts.of_settings(settings),
        )


def view_at(tables: Tables, as_of: datetime, rules: ViewRules, *, threads: int | None = None) -> Known:
    """What was known at `as_of` and may be used."""
    tables = usable(tables, as_of, rules, threads=threads)
    tables = weighed(tables, as_of, rules.human, threads=threads)
    tables = about_products(tables, rules.products, threads=threads)
    return governed(known_at(tables, as_of, threads=threads), rules.governs)


def usable(tables: Tables, as_of: datetime, rules: ViewRules, *, threads: int | None = None) -> Tables:
    """The tables of the people behind the leads, without events and columns that may not be used at `as_of`."""
    tables = follow_links(tables, as_of, rules.links)
    tables = commercial(tables, as_of, rules.medical, threads=threads)
    return permitted(tables, as_of, rules.use, threads=threads)


def commercial(tables: Tables, as_of: datetime, medical: Medical, *, threads: int | None = None) -> Tables:
    """The same tables with events that are medical information's belonging to nobody.

    These are questions about an off-label use, and what a lead did with the reply: events of its message, as of what
    was known to be sent, and of an asset that only medical information sends.

    INVARIANT: they change no feature, no fact made of events, no weight of another event and no instant that an answer
    shows; that a case is open is told by the cases.
    """
    if not tables.events:
        return tables
    size = len(tables.events["lead"])
    lead = exact(tables.events, "lead", np.int32, size)
    kind, asset = exact(tables.events, "kind", np.uint8, size), exact(tables.events, "asset", np.int32, size)
    assets = np.array([asset_id in medical.assets for asset_id in tables.asset_ids] + [False], dtype=np.bool_)
    pairs = _replies(tables, microseconds(as_of), medical)
    if not len(pairs) and not _any_of(kind, asset, medical.kinds, assets):
        return tables
    message = exact(tables.events, "message", np.int64, size) if len(pairs) else np.empty(0, dtype=np.int64)
    by_message = np.sort(pairs, order=["message", "lead"])
    found = np.empty(size, dtype=np.int32)
    hidden = (medical.kinds, assets, _sieve(by_message["message"]))
    sent = (np.ascontiguousarray(by_message["message"]), np.ascontiguousarray(by_message["lead"]))
    in_ranges(
        lambda _, a, b: _hide(lead, kind, asset, message, *hidden, *sent, a, b, found),
        size,
        threads or available_threads(),
    )
    return replace(tables, events={**tables.events, "lead": found})


def _sieve(messages: NDArray[np.int64]) -> NDArray[np.bool_]:
    """By the last bits of a message whether it may be one of these: most are not, and need not be looked up."""
    sieve = np.zeros(1 << max(10, int(16 * len(messages)).bit_length()), dtype=np.bool_)
    sieve[messages & (len(sieve) - 1)] = True
    return sieve


@njit(cache=True, nogil=True)
def _hide(
    lead: Any, kind: Any, asset: Any, message: Any, kinds: Any, assets: Any, sieve: Any, sent: Any, sent_to: Any,
    start: int, stop: int, found: Any,
) -> None:  # fmt: skip
    """Whose each event is, nobody's where its kind, its asset or a reply to the lead hides it. No asset is -1."""
    last_bits = len(sieve) - 1
    for i in range(start, stop):
        hidden = kinds[kind[i]] or assets[asset[i]]
        if not hidden and len(sent) and message[i] >= 0 and sieve[message[i] & last_bits]:
            at = np.searchsorted(sent, message[i])
            while at < len(sent) and sent[at] == message[i]:
                hidden |= sent_to[at] == lead[i]
                at += 1
        found[i] = -1 if hidden else lead[i]


def _replies(tables: Tables, cut: int, medical: Medical) -> NDArray[Any]:
    """Lead and message of every reply of medical information that was known by the cut to be sent."""
    touches = tables.touches
    if not touches or "message" not in touches or "message" not in tables.events:
        return np.empty(0, dtype=_PAIR)
    size = len(touches["lead"])
    message = exact(touches, "message", np.int64, size)
    reply = (exact(touches, "intent", np.uint8, size) == medical.intent) & (message >= 0)
    if not reply.any():
        return np.empty(0, dtype=_PAIR)
    sent, recorded = exact(touches, "sent_at", np.int64, size), exact(touches, "recorded_at", np.int64, size)
    rows = np.flatnonzero(reply & (sent <= cut) & (recorded <= cut))
    found = np.empty(len(rows), dtype=_PAIR)
    found["lead"], found["message"] = touches["lead"][rows], message[rows]
    return np.unique(found)


@njit(cache=True, nogil=True)
def _any_of(kind: Any, asset: Any, kinds: Any, assets: Any) -> bool:
    for i in range(len(kind)):  # noqa: SIM110 - numba compiles loops
        if kinds[kind[i]] or assets[asset[i]]:
            return True
    return False
