"""Engagement features from Parquet to a matrix: Leadwell beside pandas, DuckDB and Polars, in one run, on one file.

All four read the same file, keep what was known at `as_of`, and make the same 43 features per lead: counts by 8 kinds
in 3 windows, recency by kind, 7 topics, two decayed sums, distinct channels and distinct days. The results must agree.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit
from numpy.typing import NDArray

from configs.measures import Decay, FeatureSettings
from configs.vocabulary import Vocabulary
from features.catalog import declared_features
from features.engagement import EngagementPlan
from features.pipeline import FeatureSpec, features_of
from features.tables import MICROSECONDS_A_DAY, Tables, known_at, microseconds

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
TODAY = microseconds(AS_OF) // MICROSECONDS_A_DAY
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


def make_file(path: Path, events: int, leads: int, seed: int = 7) -> None:
    """Events in order of time, as an export writes them; 1 in 50 is recorded too late to be known."""
    rng = np.random.default_rng(seed)
    now = microseconds(AS_OF)
    occurred = np.sort(now - rng.integers(0, 180 * MICROSECONDS_A_DAY, events))
    late = np.where(rng.random(events) < 0.02, 200 * MICROSECONDS_A_DAY, 0)

    def text(values: tuple[str, ...]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(rng.integers(0, len(values), events, np.int8)), list(values))

    order = rng.permutation(events)
    lead = np.concatenate([np.arange(leads), rng.integers(0, leads, events - leads)])[order] + 1_000_000
    late[order < leads] = 0  # so that every lead has an event that is known
    table = pa.table(
        {
            "lead_id": lead,
            "kind": text(KINDS),
            "topic": text(TOPICS),
            "channel": text(CHANNELS),
            "occurred_at": pa.array(occurred, pa.timestamp("us", "UTC")),
            "recorded_at": pa.array(np.minimum(occurred + 1_000_000, now) + late, pa.timestamp("us", "UTC")),
        }
    )
    plain = pa.schema([(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in table.schema])
    pq.write_table(table.cast(plain), path, row_group_size=1_000_000)


def settings_of_the_benchmark() -> FeatureSettings:
    """The measures of the 43 features."""
    return FeatureSettings(
        windows_days=WINDOWS,
        kinds=KINDS,
        topics=TOPICS,
        topic_window_days=90,
        depths=(),
        decays=tuple(Decay(name=name, half_life_days=days) for name, days in HALF_LIVES.items()),
        lead_fields=(),
        account_fields=(),
    )


@njit(nogil=True)
def mark(ids: Any, first: int, place: Any) -> None:
    """Note which ids occur."""
    for i in range(len(ids)):
        place[ids[i] - first] = 1


@njit(nogil=True)
def look_up(ids: Any, first: int, place: Any, rows: Any) -> None:
    """Row of each id."""
    for i in range(len(ids)):
        rows[i] = place[ids[i] - first]


@dataclass(frozen=True)
class Leadwell:
    """Our side: the spec of exactly these features."""

    spec: FeatureSpec
    vocabularies: Mapping[str, Vocabulary]

    @classmethod
    def prepared(cls) -> Leadwell:
        """Resolve the spec and compile the kernels."""
        words = {"event_kind": KINDS, "topic": TOPICS, "depth": (), "event_channel": CHANNELS}
        vocabularies = {name: Vocabulary.of(name, {value: [] for value in values}) for name, values in words.items()}
        settings = settings_of_the_benchmark()
        by_field = {feature.field: feature for feature in declared_features(settings, vocabularies)}
        features = tuple(by_field[name] for name in NAMES)
        plan = EngagementPlan.of(settings, vocabularies)
        return cls(FeatureSpec(features, settings, plan.values, {}, 0), vocabularies)

    def read(self, path: Path) -> Tables:
        """Read and encode: text to codes through the file's own dictionaries, ids to rows through one look-up."""
        columns = ["lead_id", "kind", "topic", "channel", "occurred_at", "recorded_at"]
        table = pq.read_table(path, columns=columns, read_dictionary=["kind", "topic", "channel"])
        size = len(table)
        events: dict[str, NDArray[Any]] = {}
        for name, vocabulary in (("kind", "event_kind"), ("topic", "topic"), ("channel", "event_channel")):
            codes, at = np.empty(size, dtype=np.uint8), 0
            for chunk in table[name].chunks:
                of = [self.vocabularies[vocabulary].code(value) for value in chunk.dictionary.to_pylist()]
                np.take(np.array([*of, 0], np.uint8), chunk.indices.fill_null(len(of)), out=codes[at : at + len(chunk)])
                at += len(chunk)
            events[name] = codes
        for name in ("occurred_at", "recorded_at"):
            events[name] = np.concatenate([chunk.cast(pa.int64()).to_numpy() for chunk in table[name].chunks])
        lead = [chunk.to_numpy() for chunk in table["lead_id"].chunks]
        first, last = min(part.min() for part in lead), max(part.max() for part in lead)
        place, rows = np.zeros(last - first + 1, dtype=np.int32), np.empty(size, dtype=np.int32)
        for part in lead:
            mark(part, first, place)
        ids = np.flatnonzero(place) + first
        place[ids - first] = np.arange(len(ids))
        at = 0
        for part in lead:
            look_up(part, first, place, rows[at : at + len(part)])
            at += len(part)
        events["lead"] = rows
        return tables_of(ids, events)

    def matrix(self, tables: Tables) -> Matrix:
        """Features of every lead."""
        return features_of(known_at(tables, AS_OF), self.spec).matrix


def tables_of(ids: NDArray[Any], events: Mapping[str, NDArray[Any]]) -> Tables:
    """Tables with events only."""
    none = np.empty(0, dtype=object)
    return Tables(ids, none, none, {}, {}, events, {}, {}, {}, {}, {}, {})


def by_pandas(path: Path) -> Matrix:
    """Grouped sizes unstacked, text as categories."""
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
            WHERE epoch_us(recorded_at) <= {microseconds(AS_OF)} AND epoch_us(occurred_at) <= {microseconds(AS_OF)}
        ) GROUP BY lead_id ORDER BY lead_id"""
    duckdb.execute("SET enable_progress_bar = false")
    table = duckdb.sql(query).to_arrow_table()
    return np.column_stack([column.to_numpy().astype(np.float64) for column in table.columns])


def by_polars(source: Path | pl.DataFrame) -> Matrix:
    """One streaming group-by over lazily read columns."""
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


def run(events: int = 10_000_000, leads: int = 200_000, repeats: int = 3) -> list[dict[str, Any]]:
    """Both rows of the benchmark: millions of events from a file, and one lead in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.parquet"
        make_file(path, events, leads)
        ours = Leadwell.prepared()
        ours.matrix(one_lead()[0])  # compiled before the clock starts, as in a service
        sides: dict[str, Callable[[], Matrix]] = {
            "leadwell": lambda: ours.matrix(ours.read(path)),
            "polars": lambda: by_polars(path),
            "duckdb": lambda: by_duckdb(path),
            "pandas": lambda: by_pandas(path),
        }
        timed: dict[str, tuple[float, Matrix]] = {}
        for turn in range(repeats):  # in turns, so that a busy machine is busy for all; the slow ones go once
            for name, side in sides.items():
                if turn == 0 or name in ("leadwell", "polars"):
                    took, matrix = best_of(side, 1)
                    timed[name] = (min(took, timed[name][0] if name in timed else took), matrix)
    expected = timed["leadwell"][1]
    for name, (_, matrix) in timed.items():
        np.testing.assert_allclose(
            np.nan_to_num(matrix, nan=-1), np.nan_to_num(expected, nan=-1), atol=1e-5, err_msg=name
        )
    seconds = {name: took for name, (took, _) in timed.items()}
    batch = row(
        f"engagement features, Parquet to matrix, {events:,} events", "s", seconds, "half of the fastest peer", 0.5
    )
    return [batch, one_lead_row(ours)]


def one_lead() -> tuple[Tables, pl.DataFrame]:
    """One lead with 47 events, encoded and as a frame."""
    rng = np.random.default_rng(3)
    codes = {"kind": KINDS, "topic": TOPICS, "channel": CHANNELS}
    drawn = {name: rng.integers(0, len(values), 47) for name, values in codes.items()}
    occurred = microseconds(AS_OF) - rng.integers(0, 150 * MICROSECONDS_A_DAY, 47)
    events = {name: (values + 1).astype(np.uint8) for name, values in drawn.items()}
    events |= {"lead": np.zeros(47, np.int32), "occurred_at": occurred, "recorded_at": occurred.copy()}
    frame = pl.DataFrame(
        {
            "lead_id": np.zeros(47, np.int64),
            **{name: [codes[name][v] for v in values] for name, values in drawn.items()},
            "occurred_at": occurred,
            "recorded_at": occurred,
        }
    ).with_columns(pl.from_epoch(pl.col("occurred_at", "recorded_at"), "us").dt.replace_time_zone("UTC"))
    return tables_of(np.array(["lead"], dtype=object), events), frame


def one_lead_row(ours: Leadwell) -> dict[str, Any]:
    """Encoded arrays to features of one lead."""
    tables, frame = one_lead()
    known_peer = frame.to_arrow()
    duckdb.register("one_lead", known_peer)
    timed = {
        "leadwell": best_of(lambda: ours.matrix(tables), 2000),
        "polars": best_of(lambda: by_polars(frame), 20),
        "duckdb": best_of(lambda: by_duckdb("one_lead"), 20),
    }
    duckdb.unregister("one_lead")
    for name, (_, matrix) in timed.items():
        np.testing.assert_allclose(
            np.nan_to_num(matrix, nan=-1), np.nan_to_num(timed["leadwell"][1], nan=-1), atol=1e-5, err_msg=name
        )
    micros = {name: took * 1e6 for name, (took, _) in timed.items()}
    found = row("engagement features of one lead with 47 events, encoded arrays to features", "us", micros, "60 us", 0)
    return found | {"met": found["ours"] <= 60}


def row(name: str, unit: str, timed: Mapping[str, float], target: str, share: float) -> dict[str, Any]:
    """One line of the benchmark; `ratio` is how many times faster than the fastest peer."""
    peers = {peer: round(value, 4) for peer, value in timed.items() if peer != "leadwell"}
    ratio = min(peers.values()) / timed["leadwell"]
    return {
        "name": name,
        "unit": unit,
        "ours": round(timed["leadwell"], 4),
        "peers": peers,
        "ratio": round(ratio, 2),
        "target": target,
        "met": ratio * share >= 1,
    }


def best_of(work: Callable[[], Matrix], repeats: int) -> tuple[float, Matrix]:
    """Fewest seconds over some runs, and what the last one gave."""
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    assert result is not None
    return best, result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--leads", type=int, default=200_000)
    arguments = parser.parse_args()
    print(json.dumps(run(arguments.events, arguments.leads), indent=1))
