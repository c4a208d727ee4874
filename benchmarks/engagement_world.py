"""The events that the engagement benchmark runs on, and what all sides must make of them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

MICROSECONDS_A_DAY = 86_400_000_000
AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
NOW = int(AS_OF.timestamp()) * 1_000_000
TODAY = NOW // MICROSECONDS_A_DAY
WINDOWS = (7, 30, 90)
KINDS = (
    "email_open",
    "email_click",
    "page_view",
    "download",
    "form_submit",
    "webinar_attend",
    "event_attend",
    "demo_request",
)
TOPICS = ("mechanism_of_action", "clinical_evidence", "safety", "dosing", "workflow", "integration", "pricing")
CHANNELS = ("email", "web", "search", "paid", "social", "webinar", "event", "field")
HALF_LIVES = {"fast": 7, "slow": 30}
COUNTS = [f"{kind}_count_{days}d" for kind in KINDS for days in WINDOWS]
RECENCY = [f"days_since_last_{kind}" for kind in KINDS]
NAMES = [
    *COUNTS,
    *RECENCY,
    *(f"topic_{topic}_count_90d" for topic in TOPICS),
    *(f"decay_{name}" for name in HALF_LIVES),
    "distinct_channel_count_90d",
    "active_day_count_90d",
]
Matrix = NDArray[np.float64]


ROWS_A_GROUP = 1_000_000
FIRST_LEAD = 1_000_000


def make_file(path: Path, events: int, leads: int, seed: int = 7) -> None:
    """Events in order of time, as an export writes them; 1 in 50 is recorded too late to be known.

    Written a row group at a time, so that fifty million need no more memory than one.
    """
    rng = np.random.default_rng(seed)
    span = 180 * MICROSECONDS_A_DAY
    # The first events of the file, in random order, are one of every lead, so that every lead has one that is known.
    everybody = rng.permutation(leads)
    cuts = [*range(0, events, ROWS_A_GROUP), events]
    words = {"kind": KINDS, "topic": TOPICS, "channel": CHANNELS}
    schema = pa.schema(
        [("lead_id", pa.int64()), *((name, pa.string()) for name in words)]
        + [(name, pa.timestamp("us", "UTC")) for name in ("occurred_at", "recorded_at")]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start, stop in pairwise(cuts):
            size = stop - start
            occurred = np.sort(NOW - span + (span * (start + size * rng.random(size)) / events).astype(np.int64))
            late = np.where(rng.random(size) < 0.02, 200 * MICROSECONDS_A_DAY, 0)
            own = everybody[start : min(stop, leads)]
            lead = np.concatenate([own, rng.integers(0, leads, size - len(own))]) + FIRST_LEAD
            late[: len(own)] = 0
            columns: dict[str, Any] = {"lead_id": pa.array(lead)}
            for name, values in words.items():
                codes = pa.array(rng.integers(0, len(values), size, np.int8))
                columns[name] = pa.DictionaryArray.from_arrays(codes, list(values)).cast(pa.string())
            columns["occurred_at"] = pa.array(occurred, schema.field("occurred_at").type)
            columns["recorded_at"] = pa.array(
                np.minimum(occurred + 1_000_000, NOW) + late, schema.field("recorded_at").type
            )
            writer.write_table(pa.table(columns, schema=schema))
