"""What only the files say: given values and their spellings, stand-ins, and how well each source tracks behaviour.

The encoded tables carry no source and no spelling, so this reads the files once more through DuckDB. All sums are made
there: one pass a table for the shares, one grouping a coded column, one grouping of the events by source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from configs.settings import Settings
from configs.vocabulary import YES_NO
from features.intake.quality.columns import word_sentinels
from features.intake.quality.findings import ColumnQuality, QualityReport, Sentinel, SourceTracking
from features.intake.scan import Source, connect, files_of, literal, open_source, quoted, readable
from features.layout import LAYOUTS, Layout
from features.tables import MICROSECONDS_A_DAY, microseconds

MOST_SOURCES = 12
MOST_SPELLINGS = 8
WEEKS = 52
_DAY = MICROSECONDS_A_DAY
# A source that is silent for longer than this many of its own longest pauses has stopped.
PAUSES = 2


def add_files(
    report: QualityReport, files: Mapping[str, Path], settings: Settings, as_of: datetime | None
) -> QualityReport:
    """The same report with what the files of the tables say."""
    paths = {table: files[table] for table in LAYOUTS if table in files}
    con = connect(
        [file for table, path in paths.items() for file in files_of(table, path)],
        memory_limit_mb=None,
        threads=2,
        spill=None,
    )
    columns = list(report.columns)
    stand_ins: list[Sentinel] = list(report.sentinels)
    tracking: tuple[SourceTracking, ...] = ()
    others = 0
    try:
        for table, path in paths.items():
            source = open_source(con, _with_dropped(LAYOUTS[table]), path)
            with readable(source.files[0]):
                columns, odd = _inventory(con, source, columns, settings)
                stand_ins += odd
                if table == "events" and as_of is not None:
                    tracking, others = track(con, source, settings, as_of)
    finally:
        con.close()
    return replace(
        report,
        columns=tuple(columns),
        sentinels=tuple(sorted(stand_ins, key=lambda s: -s.rows)),
        tracking=tracking,
        other_sources=others,
    )


def _with_dropped(layout: Layout) -> Layout:
    """The layout with the columns that the encoding drops, as text; nested attributes stay out."""
    columns = [
        replace(column, kind="text") if column.kind == "dropped" and column.field != "attributes" else column
        for column in layout.columns
    ]
    return replace(layout, columns=tuple(columns))


def _inventory(
    con: duckdb.DuckDBPyConnection, source: Source, columns: list[ColumnQuality], settings: Settings
) -> tuple[list[ColumnQuality], list[Sentinel]]:
    """The inventory with given and mapped shares, and lines for columns that no encoded table has."""
    table, quality = source.layout.table, settings.quality
    fields = [c for c in source.layout.columns if c.field in source.fields and c.kind != "dropped"]
    parts = [f"count(CASE WHEN trim(CAST({quoted(c.field)} AS VARCHAR)) <> '' THEN 1 END)" for c in fields]
    total, *given = con.sql(f"SELECT count(*), {', '.join(parts)} FROM {source.relation}").fetchall()[0]
    place = {(c.table, c.column): index for index, c in enumerate(columns)}
    found, stand_ins = list(columns), []
    for column, rows in zip(fields, given, strict=True):
        share = rows / total if total else 0.0
        index = place.get((table, column.name))
        if index is None:
            distinct = _distinct(con, source, column.field)
            found.append(
                ColumnQuality(
                    table, column.field, total, share, distinct, distinct <= 1 and rows == total > 0, given_share=share
                )
            )
            continue
        line = replace(found[index], given_share=share)
        if column.to == "message":
            # The encoding keeps its hash, which is a number where the file has nothing.
            line = replace(line, known_share=share)
        if column.kind in ("code", "yesno"):
            vocabulary = YES_NO if column.kind == "yesno" else settings.vocabularies[column.vocabulary]
            spelled = _spellings(con, source, column.field)
            unread = {text: n for text, n in spelled.items() if vocabulary.code(text) == 0}
            shown: tuple[tuple[str, int], ...] = ()
            if f"{table}.{column.field}" not in quality.unshown:
                often = [(text, n) for text, n in unread.items() if n >= quality.min_shown_rows]
                shown = tuple(sorted(often, key=lambda entry: (-entry[1], entry[0]))[:MOST_SPELLINGS])
                # A word that the vocabulary knows is a value like any other.
                odd = word_sentinels(table, column.field, spelled, total, quality.sentinel_words)
                stand_ins += [s for s in odd if s.value in unread]
            missed = sum(unread.values())
            mapped = 1.0 - missed / rows if rows else None
            line = replace(line, unmapped=missed, mapped_share=mapped, top_unmapped=shown)
        found[index] = line
    return found, stand_ins


def _spellings(con: duckdb.DuckDBPyConnection, source: Source, field: str) -> dict[str, int]:
    name = f"CAST({quoted(field)} AS VARCHAR)"
    rows = con.sql(f"SELECT {name}, count(*) FROM {source.relation} WHERE trim({name}) <> '' GROUP BY 1").fetchall()
    return {str(text): int(n) for text, n in rows}


def _distinct(con: duckdb.DuckDBPyConnection, source: Source, field: str) -> int:
    return int(con.sql(f"SELECT count(DISTINCT {quoted(field)}) FROM {source.relation}").fetchall()[0][0])


def track(
    con: duckdb.DuckDBPyConnection, source: Source, settings: Settings, as_of: datetime
) -> tuple[tuple[SourceTracking, ...], int]:
    """Tracking strength of the sources with the most events up to `as_of`, and how many sources are not shown."""
    cut, late = microseconds(as_of), settings.quality.tracking.late_after_days * _DAY
    named = "coalesce(nullif(trim(source), ''), '(not named)')" if "source" in source.fields else "'(not named)'"
    con.execute(
        f"CREATE TEMP TABLE tracked AS SELECT {named} AS source, lead_id, occurred_at, recorded_at, "
        f"occurred_at // {_DAY} AS day, {_id_of(source)} AS id, {_is_known(source, 'topic', settings)} AS topic, "
        f"{_is_known(source, 'depth', settings)} AS depth, {_is_given(source, 'asset_id')} AS asset "
        f"FROM {source.relation} WHERE _bad = 0 AND occurred_at <= {cut}"
    )
    delay = "greatest(recorded_at - occurred_at, 0)"
    rows = con.sql(
        "SELECT source, count(*), count(DISTINCT lead_id), count(DISTINCT hash(lead_id, day)), min(day), max(day), "
        "avg(topic::INT), avg(asset::INT), avg(depth::INT), "
        f"avg(({delay} > {late})::INT), quantile_cont({delay}, 0.95), count(DISTINCT id) "
        "FROM tracked GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    by_day: dict[str, dict[int, int]] = {}
    for name, day, n in con.sql("SELECT source, day, count(*) FROM tracked GROUP BY 1, 2").fetchall():
        by_day.setdefault(name, {})[int(day)] = int(n)
    con.execute("DROP TABLE tracked")
    # The day that the last moment before `as_of` belongs to: at midnight a new day has not begun to be silent.
    today = (cut - 1) // _DAY
    found = [_tracking(row, by_day[row[0]], today, settings) for row in rows[:MOST_SOURCES]]
    return tuple(found), max(len(rows) - MOST_SOURCES, 0)


def _tracking(row: tuple[Any, ...], days: dict[int, int], today: int, settings: Settings) -> SourceTracking:
    name, events, leads, lead_days, first, last, topic, asset, depth, late, delay, ids = row
    active = np.array(sorted(days), dtype=np.int64)
    pauses = np.diff(active) - 1
    longest = int(pauses.max()) if len(pauses) else 0
    since = int(today - last)
    # A source that always paused for long has not stopped because it pauses once more.
    stopped = since > max(settings.quality.tracking.stopped_after_days, PAUSES * longest)
    weeks = np.zeros(WEEKS, dtype=np.int64)
    for day, n in days.items():
        week = WEEKS - 1 - (today - day) // 7
        if 0 <= week < WEEKS:
            weeks[week] += n
    whole = int(today - first) + 1
    repeated = 1.0 - ids / events
    on_days = len(active) / max(whole, 1)
    # INVARIANT: between 0 and 1; silence, rows that say nothing, late and repeated rows can only lower it.
    strength = on_days * float(np.mean([topic, max(asset, depth), 1.0 - late, 1.0 - repeated]))
    return SourceTracking(
        source=str(name),
        events=int(events),
        leads=int(leads),
        per_lead_day=events / max(lead_days, 1),
        first_day=_day(first),
        last_day=_day(last),
        silent_days=whole - len(active),
        longest_gap_days=max(longest, since - 1),
        days_since_last=since,
        stopped=stopped,
        topic_share=float(topic),
        asset_share=float(asset),
        depth_share=float(depth),
        late_share=float(late),
        delay_days=float(delay) / _DAY,
        repeated_id_share=repeated,
        strength=strength,
        weekly=tuple(int(n) for n in weeks),
    )


def _id_of(source: Source) -> str:
    return "hash(lead_id, event_id)" if "event_id" in source.fields else "hash(lead_id, occurred_at, _at)"


def _is_given(source: Source, field: str) -> str:
    return f"(trim(coalesce({quoted(field)}, '')) <> '')" if field in source.fields else "false"


def _is_known(source: Source, field: str, settings: Settings) -> str:
    """SQL of whether a coded field has a spelling that its vocabulary knows."""
    column = next(c for c in source.layout.columns if c.field == field)
    if field not in source.fields:
        return "false"
    codes = settings.vocabularies[column.vocabulary].codes
    listed = ", ".join(literal(text) for text in codes)
    folded = f"regexp_replace(trim(lower({quoted(field)})), '[^a-z0-9]+', '_', 'g')"
    return f"coalesce({quoted(field)} IN ({listed}) OR {folded} IN ({listed}), false)"


def _day(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
