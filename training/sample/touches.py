"""What we did in the sample world: touches, and the mail events that answer them, by people and by mail gateways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product as product_of

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from configs.content import Asset
from training.sample.accounts import DAY, draw
from training.sample.columns import MISSING, chosen, identifiers, instants
from training.sample.people import AUDIENCES, CHANNELS, PRODUCTS, People

SECOND = 1_000_000
INTENTS = ("promotional", "medical_education", "medical_information", "service")
CHANNEL_SHARES = (0.62, 0.04, 0.1, 0.16, 0.08)
TOUCHES_A_DAY = 0.021
CAMPAIGNS = 12
WITHOUT_ASSET, STRAY = 0.15, 0.03  # a call without material; material about another product
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Touches:
    """The touches of one block in order of lead."""

    lead: Codes
    channel: Codes
    intent: Codes
    asset: Codes
    campaign: Codes
    sent_at: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MailEvents:
    """Opens and clicks; `touch` is the row of the touch that was answered, `by_gateway` that no person did it."""

    touch: Codes
    is_click: NDArray[np.bool_]
    by_gateway: NDArray[np.bool_]
    occurred_at: NDArray[np.int64]


def make_touches(rng: Generator, people: People, assets: Sequence[Asset], as_of: int, history: int) -> Touches:
    """A few touches a lead and season; a few leads are touched far more often."""
    start = np.maximum(people.created_at, as_of - history)
    eager = np.where(rng.random(people.count) < 0.04, 5.0, 1.0)
    sent = rng.poisson(TOUCHES_A_DAY * eager * (as_of - start) / DAY)
    lead = np.repeat(np.arange(people.count), sent)
    sent_at = start[lead] + (rng.random(len(lead)) * (as_of - 60 * SECOND - start[lead])).astype(np.int64)
    channel = draw(rng, [CHANNEL_SHARES], np.zeros(len(lead), dtype=np.int64))
    intent = draw(rng, [(0.6, 0.28, 0.04, 0.08)], np.zeros(len(lead), dtype=np.int64))
    audience, product = people.true["audience"][lead], people.true["product_interest"][lead]
    asset = draw(rng, _fitting(assets), (channel * len(AUDIENCES) + audience) * len(PRODUCTS) + product)
    with_asset = asset < len(assets)
    asset = np.where(with_asset, asset, MISSING)
    of_asset = np.array([INTENTS.index(a.intent) for a in assets] + [MISSING])
    intent = np.where(with_asset, of_asset[asset], intent)
    return Touches(lead, channel, intent, asset, rng.integers(0, CAMPAIGNS, len(lead)), sent_at)


def _fitting(assets: Sequence[Asset]) -> list[list[float]]:
    """For each channel, audience and product of interest: how often each asset goes out, and last none at all."""
    table = []
    for channel, audience, product in product_of(CHANNELS, AUDIENCES, PRODUCTS):
        row = [_fit(asset, channel, audience, product) for asset in assets]
        table.append([*row, WITHOUT_ASSET * sum(row) or 1.0])
    return table


def _fit(asset: Asset, channel: str, audience: str, product: str) -> float:
    if asset.approval is None or asset.withdrawn or channel not in asset.channels or audience not in asset.audiences:
        return 0.0
    return 1.0 if asset.product in (None, product) else STRAY


def make_mail_events(rng: Generator, people: People, touches: Touches) -> MailEvents:
    """People open within days if they care; a gateway opens and clicks everything within seconds."""
    mailed = np.flatnonzero(touches.channel == CHANNELS.index("email"))
    lead = touches.lead[mailed]
    opens = rng.random(len(mailed)) < 1 / (1 + np.exp(0.9 - 0.6 * people.interest[lead]))
    clicks = opens & (rng.random(len(mailed)) < 0.3)
    opened_after = rng.exponential(10 * 3600 * SECOND, len(mailed)).astype(np.int64) + 30 * SECOND
    clicked_after = opened_after + rng.integers(3 * SECOND, 120 * SECOND, len(mailed))
    scanned = people.gateway[lead] & (rng.random(len(mailed)) < 0.95)
    scanned_after = rng.integers(SECOND, 12 * SECOND, len(mailed))
    parts = (
        (opens, False, opened_after),
        (clicks, True, clicked_after),
        (scanned, False, scanned_after),
        (scanned, True, scanned_after + rng.integers(SECOND // 10, 5 * SECOND, len(mailed))),
    )
    return MailEvents(
        touch=np.concatenate([mailed[happened] for happened, _, _ in parts]),
        is_click=np.concatenate([np.full(int(happened.sum()), click) for happened, click, _ in parts]),
        by_gateway=np.concatenate([np.full(int(happened.sum()), happened is scanned) for happened, _, _ in parts]),
        occurred_at=np.concatenate(
            [touches.sent_at[mailed[happened]] + after[happened] for happened, _, after in parts]
        ),
    )


def campaign_ids() -> pa.Array:
    """The identifiers of the sample's campaigns."""
    return identifiers("C", 3, np.arange(1, CAMPAIGNS + 1))


def touch_columns(touches: Touches, lead_ids: pa.Array, asset_ids: Sequence[str], first: int) -> dict[str, pa.Array]:
    """Rows for touches.parquet."""
    count = len(touches.lead)
    mailed = np.where(touches.channel == CHANNELS.index("email"), np.arange(count), MISSING)
    return {
        "touch_id": identifiers("T", 9, first + np.arange(count)),
        "lead_id": chosen(lead_ids, touches.lead),
        "sent_at": instants(touches.sent_at),
        "recorded_at": instants(touches.sent_at + 30 * SECOND),
        "channel": chosen(CHANNELS, touches.channel),
        "intent": chosen(INTENTS, touches.intent),
        "asset_id": chosen(asset_ids, touches.asset),
        "campaign_id": chosen(campaign_ids(), touches.campaign),
        "message_id": chosen(message_ids(count, first), mailed),
    }


def message_ids(count: int, first: int) -> pa.Array:
    """The message that each touch of a block sent."""
    return identifiers("M", 9, first + np.arange(count))
