"""Touches, events, outcomes and campaigns as reports read them: known at an instant, of measured persons, each once.

Every row of a table gets one state, so that the counts of a table add up to what was read. Words are those of the
vocabularies, or NULL; ids of touches, events and messages are hashes.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from configs.settings import Settings
from features.intake.campaigns import Campaign
from features.intake.scan import BLANKS, Source, quoted
from training.measurement.people import build_words, column, known_since, spellings
from training.measurement.repeated import may_repeat

_STATES = ("used", "rejected", "not known yet", "unknown lead", "not measured")
_USED, _REJECTED, _FUTURE, _STRANGER, _WITHHELD = range(len(_STATES))
# What makes two rows of a table the same row, and what more must agree for the second to be a mere repetition.
_KEY = {"touches": "person, id", "events": "person, id", "outcomes": 'person, "at", kind, value_cents'}


def build_touches(
    con: duckdb.DuckDBPyConnection, source: Source | None, settings: Settings, start: int, end: int, cut: int
) -> dict[str, int]:
    """Make `measured_touches(person, at, id, channel, campaign, asset, message, intent)` of [start, end)."""
    if source is None:
        build_words(con, settings, "channel", "intent")
        con.execute(
            'CREATE TEMP TABLE measured_touches (person INTEGER, "at" BIGINT, id UBIGINT, channel enum_channel, '
            "campaign VARCHAR, asset VARCHAR, message UBIGINT, intent enum_intent)"
        )
        return {}
    select = (
        f"hash(s.touch_id) AS id, {_word('channel', source, 'channel')} AS channel, {_named('campaign_id', source)} AS "
        f"campaign, {_named('asset_id', source)} AS asset, {_hashed('message_id', source)} AS message, "
        f"{_word('intent', source, 'intent')} AS intent"
    )
    return _build(con, source, settings, "sent_at", select, start, end, cut)


def build_events(
    con: duckdb.DuckDBPyConnection, source: Source | None, settings: Settings, start: int, end: int, cut: int
) -> dict[str, int]:
    """Make `measured_events(person, at, id, kind, channel, campaign, asset, message, agent)` of [start, end)."""
    if source is None:
        build_words(con, settings, "event_kind", "event_channel", "agent")
        con.execute(
            'CREATE TEMP TABLE measured_events (person INTEGER, "at" BIGINT, id UBIGINT, kind enum_event_kind, '
            "channel enum_event_channel, campaign VARCHAR, asset VARCHAR, message UBIGINT, agent enum_agent)"
        )
        return {}
    select = (
        f"hash(s.event_id) AS id, {_word('kind', source, 'event_kind')} AS kind, "
        f"{_word('channel', source, 'event_channel')} AS channel, {_named('campaign_id', source)} AS campaign, "
        f"{_named('asset_id', source)} AS asset, "
        f"{_hashed('message_id', source)} AS message, {_word('agent', source, 'agent')} AS agent"
    )
    return _build(con, source, settings, "occurred_at", select, start, end, cut)


def build_outcomes(
    con: duckdb.DuckDBPyConnection, source: Source | None, settings: Settings, end: int, cut: int
) -> dict[str, int]:
    """Make `measured_outcomes(id, person, at, kind, value_cents)` of everything before `end`, in a stable order."""
    if source is None:
        build_words(con, settings, "outcome_kind")
        con.execute(
            'CREATE TEMP TABLE measured_outcomes (id BIGINT, person INTEGER, "at" BIGINT, kind enum_outcome_kind, '
            "value_cents BIGINT)"
        )
        return {}
    value = "CAST(round(s.value * 100) AS BIGINT)" if "value" in source.fields else "CAST(NULL AS BIGINT)"
    select = f"{_word('kind', source, 'outcome_kind')} AS kind, {value} AS value_cents"
    counts = _build(con, source, settings, "occurred_at", select, None, end, cut)
    con.execute("ALTER TABLE measured_outcomes RENAME TO outcomes_unnumbered")
    con.execute(
        "CREATE TEMP TABLE measured_outcomes AS SELECT "
        'row_number() OVER (ORDER BY person, "at", kind, value_cents) AS id, '
        'person, "at", kind, value_cents FROM outcomes_unnumbered'
    )
    con.execute("DROP TABLE outcomes_unnumbered")
    return counts


def build_campaigns(con: duckdb.DuckDBPyConnection, campaigns: Sequence[Campaign]) -> None:
    """Make `measured_campaigns`, one row a campaign as given."""
    rows = {
        "campaign": pa.array([c.campaign_id for c in campaigns], pa.string()),
        "name": pa.array([c.name for c in campaigns], pa.string()),
        "channel": pa.array([c.channel for c in campaigns], pa.string()),
        "product": pa.array([c.product for c in campaigns], pa.string()),
        "goal": pa.array([c.goal for c in campaigns], pa.string()),
        "spend_cents": pa.array([c.spend_cents for c in campaigns], pa.int64()),
        "started": pa.array([c.started_on for c in campaigns], pa.date32()),
        "ended": pa.array([c.ended_on for c in campaigns], pa.date32()),
        "segment_ids": pa.array([list(c.segment_ids) for c in campaigns], pa.list_(pa.string())),
        "offers": pa.array([list(c.offers) for c in campaigns], pa.list_(pa.string())),
    }
    con.register("given_campaigns", pa.table(rows))
    con.execute("CREATE TEMP TABLE measured_campaigns AS SELECT * FROM given_campaigns")
    con.unregister("given_campaigns")


def _build(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    settings: Settings,
    own_time: str,
    select: str,
    start: int | None,
    end: int,
    cut: int,
) -> dict[str, int]:
    table = source.layout.table
    types = spellings(con, source, settings)
    name, at = f"measured_{table}", f"s.{own_time}"
    begin = f"{at} >= {start} AND" if start is not None else ""
    joins = " ".join(f"LEFT JOIN word_{table}_{field} w_{field} ON w_{field}.spelling = s.{field}" for field in types)
    for field in ("campaign_id", "asset_id"):
        if field in source.fields:
            joins += f" LEFT JOIN name_{field} n_{field} ON n_{field}.spelling = s.{field}"
    con.execute(
        f"CREATE TEMP TABLE {name} AS SELECT i.person, {at} AS at, {select}, (CASE WHEN s._bad > 0 THEN {_REJECTED} "
        f"WHEN {known_since(source)} > {cut} OR {at} > {cut} THEN {_FUTURE} WHEN i.person IS NULL THEN {_STRANGER} "
        f"WHEN NOT i.is_measured THEN {_WITHHELD} ELSE {_USED} END)::UTINYINT AS state FROM {source.relation} s "
        f"LEFT JOIN ids_of_rows i ON i.lead_id = s.lead_id {joins} "
        f"WHERE s._bad > 0 OR ({begin} {at} < {end})"
    )
    found = dict(con.sql(f"SELECT state, count(*) FROM {name} GROUP BY 1").fetchall())
    total = int(con.sql(f"SELECT count(*) FROM {source.relation}").fetchall()[0][0])
    if set(found) - {_USED}:
        con.execute(f"DELETE FROM {name} WHERE state <> {_USED}")
    con.execute(f"ALTER TABLE {name} DROP COLUMN state")
    counts = {state: int(found.get(place, 0)) for place, state in enumerate(_STATES)}
    counts["outside the days read"] = total - sum(counts.values())
    counts["rejected"] += len(source.unreadable)
    repeated, conflicting = _each_once(con, name, _KEY[table])
    counts["used"] -= repeated + conflicting
    counts |= {"repeated": repeated, "another row with its id": conflicting}
    return {"read": total + len(source.unreadable), **counts}


def _each_once(con: duckdb.DuckDBPyConnection, name: str, key: str) -> tuple[int, int]:
    """Leave one of each repeated row; of rows that share an id and differ the smallest. Gives how many of both went."""
    if not may_repeat(con, name, key):
        return 0, 0
    match = " AND ".join(f"t.{part} IS NOT DISTINCT FROM m.{part}" for part in key.split(", "))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE twice AS SELECT {key}, count(*) AS n FROM {name} m "
        f"WHERE hash({key}) IN (SELECT hashed FROM may_repeat) GROUP BY ALL HAVING count(*) > 1"
    )
    repeats = int(con.sql("SELECT coalesce(sum(n) - count(*), 0) FROM twice").fetchall()[0][0])
    if not repeats:
        return 0, 0
    con.execute(f"CREATE OR REPLACE TEMP TABLE once AS SELECT DISTINCT * FROM {name} m SEMI JOIN twice t ON {match}")
    different = int(con.sql("SELECT count(*) FROM once").fetchall()[0][0])
    keys = int(con.sql("SELECT count(*) FROM twice").fetchall()[0][0])
    con.execute(f"DELETE FROM {name} m USING twice t WHERE {match}")
    order = ", ".join(quoted(name) for name, *_ in con.sql("DESCRIBE once").fetchall())
    con.execute(
        f"INSERT INTO {name} SELECT * FROM once QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"
    )
    con.execute("DROP TABLE once")
    return repeats - (different - keys), different - keys


def _word(field: str, source: Source, vocabulary: str) -> str:
    return f"w_{field}.word" if field in source.fields else f"CAST(NULL AS enum_{vocabulary})"


def _named(field: str, source: Source) -> str:
    return f"n_{field}.name" if field in source.fields else "CAST(NULL AS VARCHAR)"


def _hashed(field: str, source: Source) -> str:
    found = column(source, field)
    return "CAST(NULL AS UBIGINT)" if found == "NULL" else f"CASE WHEN {found} IS NULL THEN NULL ELSE hash({found}) END"


def build_names(con: duckdb.DuckDBPyConnection, sources: Sequence[Source], field: str) -> None:
    """Make the ids of a column of several tables one ENUM: a row holds a small number, and tables can be joined."""
    # As they stand in the files, distinct ones are found without a look at every row; they are trimmed as intake does.
    parts = [
        f"SELECT DISTINCT CAST({field} AS VARCHAR) AS given FROM raw_{source.layout.table}"
        for source in sources
        if field in source.fields
    ]
    if not parts:
        return
    con.execute(
        f"CREATE TYPE enum_{field} AS ENUM (SELECT DISTINCT name FROM (SELECT nullif(trim(given, {BLANKS}), '') "
        f"AS name FROM ({' UNION ALL '.join(parts)})) WHERE name IS NOT NULL ORDER BY 1)"
    )
    con.execute(
        f"CREATE TEMP TABLE name_{field} AS SELECT CAST(one AS VARCHAR) AS spelling, one AS name "
        f"FROM (SELECT unnest(enum_range(NULL::enum_{field})) AS one)"
    )
