"""What the leads of the sample world did: events in bursts of interest, late arrivals, exact duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from configs.content import Asset
from training.sample.accounts import DAY, draw
from training.sample.columns import MISSING, chosen, identifiers, instants
from training.sample.people import PRODUCTS, People
from training.sample.signals import (
    AGENTS,
    BEHAVIORS,
    DEPTHS,
    DOWNLOAD_OF_TOPIC,
    EVENT_CHANNELS,
    KINDS,
    PAGE_OF_TOPIC,
    SIGNAL_COUNT,
    TOPICS,
    behavior_weights,
    focus_weights,
    signal_of_behavior,
)
from training.sample.touches import SECOND, MailEvents, Touches, campaign_ids, message_ids

WINDOW_DAYS = 60
WINDOWS = 7
HISTORY_DAYS = WINDOW_DAYS * WINDOWS
LATE_SHARE, DUPLICATE_SHARE = 0.04, 0.005
UNRECORDED = 1.002  # a few late events are not known yet at as_of; this many more make up for them
TYPICAL_EVENTS = 50.0
FOCUS_SHARE = 0.45
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Events:
    """The events of one block in order of lead; `signals` counts them per lead, window and signal."""

    lead: Codes
    kind: NDArray[np.integer[Any]]
    topic: NDArray[np.integer[Any]]
    depth: NDArray[np.integer[Any]]
    channel: NDArray[np.integer[Any]]
    agent: NDArray[np.integer[Any]]
    touch: Codes
    occurred_at: NDArray[np.int64]
    recorded_at: NDArray[np.int64]
    signals: NDArray[np.float64]


def _of_behavior(field: str, values: Sequence[str]) -> NDArray[np.int8]:
    named = [getattr(behavior, field) for behavior in BEHAVIORS]
    return np.array([MISSING if value is None else values.index(value) for value in named], dtype=np.int8)


def make_events(
    rng: Generator,
    people: People,
    touches: Touches,
    mail: MailEvents,
    assets: Sequence[Asset],
    as_of: int,
    average: float,
) -> Events:
    """Events of a block, `average` a lead with mail events and duplicates; none is recorded after `as_of`."""
    count = people.count
    window_start = as_of - (WINDOWS - np.arange(WINDOWS)) * WINDOW_DAYS * DAY
    since = np.maximum(people.created_at[:, None], window_start[None, :])
    share = np.clip((window_start + WINDOW_DAYS * DAY - since) / (WINDOW_DAYS * DAY), 0, 1)
    lively = np.exp(0.75 * rng.normal(size=(count, 1)) + 0.4 * people.interest[:, None])
    rates = np.minimum(lively, 12.0) * np.exp(0.8 * rng.normal(size=(count, WINDOWS))) * share
    # INVARIANT: the block holds `average` events a lead in expectation, whatever the number of mail events
    wanted = max(count * average * UNRECORDED / (1 + DUPLICATE_SHARE) - len(mail.touch), 0.2 * count * average)
    happened = rng.poisson(rates * (wanted / max(float(rates.sum()), 1e-9)))

    cell = np.repeat(np.arange(count * WINDOWS, dtype=np.int32), happened.ravel())
    lead = cell // WINDOWS
    own_start, own_end = since.ravel()[cell], (window_start + WINDOW_DAYS * DAY)[cell % WINDOWS]
    occurred = own_start + (rng.random(len(cell), dtype=np.float32) * (own_end - own_start - 120 * SECOND)).astype(
        np.int64
    )
    behavior = _behaviors(rng, people.segment, cell, lead)
    signals = np.bincount(
        cell * SIGNAL_COUNT + signal_of_behavior()[behavior], minlength=count * WINDOWS * SIGNAL_COUNT
    )

    clicked = touches.asset[mail.touch] if len(mail.touch) else np.empty(0, dtype=np.int64)
    topic_of_asset = np.array([TOPICS.index(a.topic) if a.topic in TOPICS else MISSING for a in assets] + [MISSING])
    mailed = len(mail.touch)
    sent = np.full(mailed, MISSING)
    columns = {
        "lead": np.concatenate([lead, touches.lead[mail.touch]]),
        "kind": np.concatenate([_of_behavior("kind", KINDS)[behavior], KINDS.index("email_open") + mail.is_click]),
        "topic": np.concatenate([_of_behavior("topic", TOPICS)[behavior], topic_of_asset[clicked]]),
        "depth": np.concatenate([_of_behavior("depth", DEPTHS)[behavior], sent]),
        "channel": np.concatenate([_of_behavior("channel", EVENT_CHANNELS)[behavior], sent + 1]),
        "touch": np.concatenate([np.full(len(cell), MISSING), mail.touch]),
    }
    occurred = np.concatenate([occurred, mail.occurred_at])
    columns["agent"] = _agents(columns["kind"], occurred, np.concatenate([np.zeros(len(cell), bool), mail.by_gateway]))
    recorded = occurred + rng.integers(SECOND, 60 * SECOND, len(occurred))
    late = np.flatnonzero(rng.random(len(occurred), dtype=np.float32) < LATE_SHARE)
    recorded[late] += DAY + (rng.exponential(3.0, len(late)) * DAY).astype(np.int64)
    repeats = rng.poisson(DUPLICATE_SHARE * len(occurred))
    order = np.concatenate([np.arange(len(occurred)), rng.integers(0, max(len(occurred), 1), repeats)])
    # sorted, so that copies stay side by side; then by lead, where a stable sort of short integers is a radix sort
    order = np.sort(order[recorded[order] <= as_of])
    order = order[np.argsort(columns["lead"][order].astype(np.uint16), kind="stable")]
    return Events(
        **{name: column[order] for name, column in columns.items()},
        occurred_at=occurred[order],
        recorded_at=recorded[order],
        signals=signals.reshape(count, WINDOWS, SIGNAL_COUNT).astype(np.float64),
    )


def _agents(kind: NDArray[Any], occurred: NDArray[np.int64], gateway: NDArray[np.bool_]) -> NDArray[np.int8]:
    """What fetched it, as far as it says: most gateways pass for a browser, and many agents stay unknown.

    Drawn from the instant, so that the rest of the world is the same with and without agents.
    """
    draw = (occurred // 11) % 100
    opened, clicked = kind == KINDS.index("email_open"), kind == KINDS.index("email_click")
    web = np.isin(kind, [KINDS.index(name) for name in ("page_view", "download", "form_submit")])
    cases = (
        (gateway & (draw < 30), "security_gateway"),
        (gateway & (draw < 60), "browser"),
        (~gateway & opened & (draw < 35), "mail_client"),
        (~gateway & opened & (draw < 60), "image_proxy"),
        (~gateway & (clicked | web) & (draw < 70), "browser"),
    )
    return np.select([case for case, _ in cases], [AGENTS.index(name) for _, name in cases], MISSING).astype(np.int8)


def _behaviors(rng: Generator, segment: Codes, cell: NDArray[np.int32], lead: NDArray[np.int32]) -> Codes:
    """What each event is: often about the topic that holds the lead's attention in that window."""
    behavior = draw(rng, behavior_weights().tolist(), segment[lead])
    focus = draw(rng, focus_weights().tolist(), np.repeat(segment, WINDOWS))
    focused = np.flatnonzero(rng.random(len(cell), dtype=np.float32) < FOCUS_SHARE)
    form = np.where(rng.random(len(focused), dtype=np.float32) < 0.7, PAGE_OF_TOPIC, DOWNLOAD_OF_TOPIC)
    behavior[focused] = focus[cell[focused]] + form
    return behavior


def event_columns(
    events: Events,
    people: People,
    touches: Touches,
    lead_ids: pa.Array,
    account_ids: pa.Array,
    asset_ids: Sequence[str],
    first: int,
    first_touch: int,
) -> dict[str, pa.Array]:
    """Rows for events.parquet; an exact duplicate carries the same event id as its first copy."""
    count = len(events.lead)
    answered = events.touch
    of_touch = np.maximum(answered, 0)
    none = np.full(count, MISSING)
    asset = np.where(answered < 0, MISSING, touches.asset[of_touch]) if len(touches.lead) else none
    campaign = np.where(answered < 0, MISSING, touches.campaign[of_touch]) if len(touches.lead) else none
    messages = message_ids(len(touches.lead), first_touch)
    return {
        "event_id": identifiers("E", 10, first + _numbers(events)),
        "lead_id": chosen(lead_ids, events.lead),
        "occurred_at": instants(events.occurred_at),
        "recorded_at": instants(events.recorded_at),
        "account_id": chosen(account_ids, people.account[events.lead]),
        "kind": chosen(KINDS, events.kind),
        "topic": chosen(TOPICS, events.topic),
        "depth": chosen(DEPTHS, events.depth),
        "channel": chosen(EVENT_CHANNELS, events.channel),
        "agent": chosen(AGENTS, events.agent),
        "asset_id": chosen(asset_ids, asset),
        "campaign_id": chosen(campaign_ids(), campaign),
        "product": chosen(PRODUCTS, np.where(answered < 0, people.true["product_interest"][events.lead], MISSING)),
        "message_id": chosen(messages, answered),
        "source": chosen(("automation", "web_analytics"), np.where(answered < 0, 1, 0)),
    }


def _numbers(events: Events) -> Codes:
    """A rising number an event, the same for exact copies, which lie side by side."""
    if not len(events.lead):
        return np.empty(0, dtype=np.int64)
    same = np.ones(len(events.lead), dtype=bool)
    for column in (events.lead, events.occurred_at, events.recorded_at, events.kind):
        same[1:] &= column[1:] == column[:-1]
    same[0] = False
    numbers: Codes = np.arange(len(same)) - np.cumsum(same)
    return numbers
