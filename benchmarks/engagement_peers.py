"""The same 43 features by pandas, DuckDB and Polars, each in its strongest idiom.

Every engine is imported where it is used, so that a process that measures one of them holds no other.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.engagement_world import (
    AS_OF,
    CHANNELS,
    HALF_LIVES,
    KINDS,
    MICROSECONDS_A_DAY,
    NOW,
    TODAY,
    TOPICS,
    WINDOWS,
    Matrix,
)

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


def by_pandas(path: Path) -> Matrix:
    """Grouped sizes unstacked, text as categories."""
    import pandas as pd

    frame = pd.read_parquet(path)
    cut = pd.Timestamp(AS_OF)
    frame = frame[(frame["recorded_at"] <= cut) & (frame["occurred_at"] <= cut)]
    leads = np.unique(frame["lead_id"])
    frame = pd.DataFrame(
        {
            "lead_id": frame["lead_id"],
            "kind": pd.Categorical(frame["kind"], KINDS),
            "topic": pd.Categorical(frame["topic"], TOPICS),
            "channel": pd.Categorical(frame["channel"], CHANNELS),
            "age": TODAY - frame["occurred_at"].astype("int64") // MICROSECONDS_A_DAY,
        }
    )

    def sizes(part: pd.DataFrame, by: str) -> pd.DataFrame:
        return part.groupby(["lead_id", by], observed=False).size().unstack(fill_value=0).reindex(leads, fill_value=0)

    counts = {days: sizes(frame[frame["age"] <= days], "kind") for days in WINDOWS}
    recency = frame.groupby(["lead_id", "kind"], observed=False)["age"].min().unstack().reindex(leads)
    recent = frame[frame["age"] <= 90]
    parts = [counts[days][[kind]].to_numpy() for kind in KINDS for days in WINDOWS]
    parts += [recency[list(KINDS)].to_numpy(), sizes(recent, "topic")[list(TOPICS)].to_numpy()]
    for days in HALF_LIVES.values():
        weights = pd.Series(np.exp2(-frame["age"].to_numpy() / days), index=frame.index)
        parts.append(weights.groupby(frame["lead_id"]).sum().reindex(leads).to_numpy()[:, None])
    for column in ("channel", "age"):
        distinct = recent.drop_duplicates(["lead_id", column]).groupby("lead_id").size()
        parts.append(distinct.reindex(leads, fill_value=0).to_numpy()[:, None])
    return np.concatenate(parts, axis=1).astype(np.float64)


def by_duckdb(path: Path | str) -> Matrix:
    """One pass of filtered aggregates; distinct values as bits, which is faster there than count(DISTINCT)."""
    import duckdb

    parts = [f"count(*) FILTER (kind = '{kind}' AND age <= {days})" for kind in KINDS for days in WINDOWS]
    parts += [f"min(age) FILTER (kind = '{kind}')" for kind in KINDS]
    parts += [f"count(*) FILTER (topic = '{topic}' AND age <= 90)" for topic in TOPICS]
    parts += [f"sum(exp(age::DOUBLE * {-math.log(2) / days!r}))" for days in HALF_LIVES.values()]
    codes = " ".join(f"WHEN '{channel}' THEN {1 << code}" for code, channel in enumerate(CHANNELS))
    parts += [f"bit_count(bit_or(CASE channel {codes} END) FILTER (age <= 90))"]
    parts.append(
        "coalesce(bit_count(bit_or(CASE WHEN age < 46 THEN 1::BIGINT << age END)), 0)"
        " + coalesce(bit_count(bit_or(CASE WHEN age BETWEEN 46 AND 90 THEN 1::BIGINT << (age - 46) END)), 0)"
    )
    chosen = ", ".join(f"{part} AS f{i}" for i, part in enumerate(parts))
    source = f"read_parquet('{path}')" if isinstance(path, Path) else path
    query = f"""
        SELECT {chosen} FROM (
            SELECT *, ({TODAY} - epoch_us(occurred_at) // {MICROSECONDS_A_DAY})::INTEGER AS age FROM {source}
            WHERE epoch_us(recorded_at) <= {NOW} AND epoch_us(occurred_at) <= {NOW}
        ) GROUP BY lead_id ORDER BY lead_id"""
    duckdb.execute("SET enable_progress_bar = false")
    table = duckdb.sql(query).to_arrow_table()
    return np.column_stack([column.to_numpy().astype(np.float64) for column in table.columns])


def by_polars(source: Path | pl.DataFrame) -> Matrix:
    """One streaming group-by over lazily read columns."""
    import polars as pl

    frame = pl.scan_parquet(source) if isinstance(source, Path) else source.lazy()
    age = pl.col("age")
    recent = age <= 90
    parts = [((pl.col("kind") == kind) & (age <= days)).sum() for kind in KINDS for days in WINDOWS]
    parts += [age.filter(pl.col("kind") == kind).min() for kind in KINDS]
    parts += [((pl.col("topic") == topic) & recent).sum() for topic in TOPICS]
    parts += [pl.col(f"weight_{name}").sum() for name in HALF_LIVES]
    parts += [pl.col("channel").filter(recent).n_unique(), age.filter(recent).n_unique()]
    micros = pl.col("occurred_at").dt.epoch("us")
    # Short text compares faster as integers: the strong idiom there is an Enum.
    words = [pl.col(c).cast(pl.Enum(v)) for c, v in (("kind", KINDS), ("topic", TOPICS), ("channel", CHANNELS))]
    found = (
        frame.filter((pl.col("recorded_at") <= AS_OF) & (pl.col("occurred_at") <= AS_OF))
        .select("lead_id", *words, age=(TODAY - micros // MICROSECONDS_A_DAY).cast(pl.Int32))
        .with_columns(**{f"weight_{name}": (-age / days * np.log(2)).exp() for name, days in HALF_LIVES.items()})
        .group_by("lead_id")
        .agg(part.alias(f"f{i}") for i, part in enumerate(parts))
        .collect(engine="streaming")
    )
    return found.sort("lead_id").drop("lead_id").cast(pl.Float64).to_numpy()
