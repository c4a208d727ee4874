"""Campaigns and content of the sample world."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from numpy.random import Generator

from configs.content import Asset, AssetApproval, Footer
from configs.section import Section
from configs.settings import Settings
from training.sample.columns import chosen
from training.sample.people import CHANNELS, PRODUCTS
from training.sample.personas import SEGMENTS
from training.sample.touches import CAMPAIGNS, campaign_ids

GOALS = ("awareness", "demo requests", "meetings", "education")
LISTED = ("audiences", "markets", "channels", "stages", "segment_ids", "tracks", "supporting_documents")
FLAGS = ("prescription", "withdrawn", "source_notice", "value_transfer", "reveals_condition", "refill_reminder")
# What has parts of its own: as columns, and as JSON text.
PREFIXED: dict[str, tuple[type[Section], pa.DataType]] = {
    "approval": (AssetApproval, pa.string()),
    "footer": (Footer, pa.bool_()),
}
AS_JSON = ("claims", "checklist")


def campaign_columns(rng: Generator, as_of: date, settings: Settings) -> dict[str, pa.Array]:
    """Rows for campaigns.parquet, named by the convention; each is about the product of the segment it selects."""
    number = np.arange(CAMPAIGNS)
    about = {definition.id: definition.product for definition in settings.segments}
    segments = [SEGMENTS[n % len(SEGMENTS)] for n in number]
    products = [about.get(name) or PRODUCTS[n % len(PRODUCTS)] for n, name in enumerate(segments)]
    started = [as_of - timedelta(days=int(days)) for days in rng.integers(60, 400, CAMPAIGNS)]
    lasting = rng.integers(30, 200, CAMPAIGNS)
    names = [
        settings.campaign_names.spell(
            {
                "month": f"{started[n]:%Y%m}",
                "product": products[n],
                "channel": CHANNELS[n % len(CHANNELS)],
                "goal": GOALS[n % len(GOALS)],
                "theme": f"wave-{n + 1}",
            }
        )
        for n in number
    ]
    return {
        "campaign_id": campaign_ids(),
        "name": pa.array(names),
        "channel": chosen(CHANNELS, number % len(CHANNELS)),
        "product": pa.array(products),
        "segment_ids": pa.array([[name] for name in segments], pa.list_(pa.string())),
        "goal": chosen(GOALS, number % len(GOALS)),
        "spend": pa.array(np.round(np.exp(rng.normal(9, 0.7, CAMPAIGNS)), 2)),
        "started_on": pa.array([day.isoformat() for day in started]),
        "ended_on": pa.array(
            [(day + timedelta(days=int(n))).isoformat() for day, n in zip(started, lasting, strict=True)]
        ),
    }


def asset_columns(assets: Sequence[Asset]) -> dict[str, pa.Array]:
    """Rows for assets.parquet: the inventory as configured; approval and footer as own columns, claims as JSON."""
    rows = [asset.model_dump(mode="json") for asset in assets]
    columns: dict[str, pa.Array] = {}
    for name in Asset.model_fields:
        if name in PREFIXED:
            model, kind = PREFIXED[name]
            for part in model.model_fields:
                columns[f"{name}_{part}"] = pa.array([(row[name] or {}).get(part) for row in rows], kind)
            continue
        if name in AS_JSON:
            texts = [None if row[name] is None else json.dumps(row[name]) for row in rows]
            columns[name] = pa.array(texts, pa.string())
            continue
        kind = pa.list_(pa.string()) if name in LISTED else pa.bool_() if name in FLAGS else pa.string()
        columns[name] = pa.array([row[name] for row in rows], kind)
    return columns
