"""Who is measured: one person for linked lead ids, as known at an instant, with its account, product and segment.

A person belongs to one segment for a window: the primary one it was in first during the window. What it is in today
would already know what became of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from configs.settings import Settings
from features.intake.scan import Source, open_source, quoted
from features.layout import LAYOUTS, Column, Layout
from features.links import LinkRules, components, same_pairs
from training.measurement.repeated import may_repeat
from training.measurement.windows import Window

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "leads": ("lead_id", "recorded_at", "account_id", "product_interest", "created_at"),
    "touches": ("touch_id", "lead_id", "sent_at", "recorded_at", "channel", "intent", "asset_id", "campaign_id",
                "message_id"),
    "events": ("event_id", "lead_id", "occurred_at", "recorded_at", "kind", "channel", "agent", "asset_id",
               "campaign_id", "message_id"),
    "outcomes": ("lead_id", "kind", "occurred_at", "recorded_at", "value"),
    "suppressions": ("lead_id", "account_id", "reason", "since_at", "recorded_at", "until_at"),
    "links": ("lead_id", "other_lead_id", "linked_at", "kind", "recorded_at", "evidence"),
    "memberships": ("lead_id", "segment_id", "entered_at", "left_at", "primary"),
}  # fmt: skip
# A segment that the map no longer has comes after all others where memberships do not say which one is primary.
_LAST_PRIORITY = 10_000


def opened(con: duckdb.DuckDBPyConnection, table: str, path: Path) -> Source:
    """A table's files as a view of typed columns, of those columns alone that reports need."""
    return open_source(con, _layout(table), path)


def column(source: Source, field: str, alias: str = "s") -> str:
    """SQL of a field of a source; NULL where the files do not have it."""
    return f"{alias}.{quoted(field)}" if field in source.fields else "NULL"


def known_since(source: Source, alias: str = "s") -> str:
    """SQL of when a row was learned of: as recorded, else its own time, else always."""
    own = source.layout.own_time
    names = [name for name in ("recorded_at", own) if name is not None and name in source.fields]
    return f"coalesce({', '.join([*(f'{alias}.{quoted(name)}' for name in names), '0'])})"


def spellings(con: duckdb.DuckDBPyConnection, source: Source, settings: Settings) -> dict[str, str]:
    """Make `word_TABLE_FIELD(spelling, word)` of every coded field; gives the field's type, an ENUM of its words."""
    coded = [c for c in source.layout.columns if c.vocabulary and c.field in source.fields]
    build_words(con, settings, *(c.vocabulary for c in source.layout.columns if c.vocabulary))
    if not coded:
        return {}
    lists = ", ".join(f"list(DISTINCT CAST({quoted(c.field)} AS VARCHAR))" for c in coded)
    found = con.sql(f"SELECT {lists} FROM {source.relation}").fetchall()[0]
    types = {}
    for one, given in zip(coded, found, strict=True):
        vocabulary = settings.vocabularies[one.vocabulary]
        texts = sorted(text for text in given or () if text is not None)
        words = [vocabulary.values[code - 1] if (code := vocabulary.code(text)) else None for text in texts]
        name = f"word_{source.layout.table}_{one.field}"
        types[one.field] = f"enum_{one.vocabulary}"
        con.register(
            "given_words", pa.table({"spelling": pa.array(texts, pa.string()), "word": pa.array(words, pa.string())})
        )
        con.execute(
            f"CREATE TEMP TABLE {name} AS SELECT spelling, CAST(word AS {types[one.field]}) AS word FROM given_words"
        )
        con.unregister("given_words")
    return types


def build_words(con: duckdb.DuckDBPyConnection, settings: Settings, *vocabularies: str) -> None:
    """Make `enum_VOCABULARY` of the words of vocabularies, where it is not there yet."""
    for name in vocabularies:
        listed = ", ".join(f"'{value}'" for value in settings.vocabularies[name].values)
        con.execute(f"CREATE TYPE IF NOT EXISTS enum_{name} AS ENUM ({listed})")


def words(settings: Settings, vocabulary: str, given: Sequence[str]) -> str:
    """Those of the given words that a vocabulary has, as literals of its ENUM; NULL where there are none."""
    known = settings.vocabularies[vocabulary].values
    return ", ".join(f"'{word}'::enum_{vocabulary}" for word in given if word in known) or "NULL"


def build_people(
    con: duckdb.DuckDBPyConnection,
    sources: Mapping[str, Source],
    settings: Settings,
    window: Window,
    cut: int,
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Make `measured_ids(lead_id, person)` and `measured_people`; gives what became of every row of leads, and notes.

    The counts (used, an earlier version of it, not known yet, ...) add up to `read`.
    """
    leads = sources["leads"]
    types = spellings(con, leads, settings)
    product = "w.word" if "product_interest" in types else "NULL"
    join = "LEFT JOIN word_leads_product_interest w ON w.spelling = s.product_interest" if types else ""
    known = known_since(leads)
    rows = con.sql(
        f"SELECT count(*), count(*) FILTER (_bad > 0), count(*) FILTER (_bad = 0 AND {known} > {cut}) "
        f"FROM {leads.relation} s"
    ).fetchall()[0]
    con.execute(
        f"CREATE TEMP TABLE lead_versions AS SELECT s.lead_id, {known} AS known, {{'account': "
        f"{column(leads, 'account_id')}, 'product': CAST({product} AS VARCHAR), 'created': "
        f"{column(leads, 'created_at')}}} AS facts FROM {leads.relation} s {join} WHERE s._bad = 0 AND {known} <= {cut}"
    )
    now = "SELECT lead_id, facts FROM lead_versions"
    if may_repeat(con, "lead_versions", "lead_id"):
        several = "hash(lead_id) IN (SELECT hashed FROM may_repeat)"
        now += (
            f" WHERE NOT {several} UNION ALL SELECT lead_id, arg_max(facts, (known, facts)) FROM lead_versions "
            f"WHERE {several} GROUP BY 1"
        )
    con.execute(
        "CREATE TEMP TABLE lead_now AS SELECT lead_id, row_number() OVER (ORDER BY lead_id) - 1 AS row, "
        f"facts.account AS account, facts.product AS product, facts.created AS created FROM ({now})"
    )
    con.execute("DROP TABLE lead_versions")
    count = int(con.sql("SELECT count(*) FROM lead_now").fetchall()[0][0])
    _linked(con, sources.get("links"), settings, cut)
    con.execute(
        "CREATE TEMP TABLE measured_ids AS "
        "SELECT l.lead_id, coalesce(m.person, l.row)::INTEGER AS person FROM lead_now l "
        "LEFT JOIN merged m ON m.lead_id = l.lead_id "
        "UNION ALL SELECT m.lead_id, m.person::INTEGER FROM merged m ANTI JOIN lead_now l ON l.lead_id = m.lead_id"
    )
    withheld = _unmeasured(con, sources.get("suppressions"), settings, cut)
    con.execute(
        "CREATE TEMP TABLE account_places AS SELECT account, row_number() OVER (ORDER BY account)::INTEGER AS place "
        "FROM (SELECT DISTINCT account FROM lead_now WHERE account IS NOT NULL)"
    )
    con.execute(
        "CREATE TEMP VIEW measured_people AS SELECT p.* FROM ("
        "SELECT l.row::INTEGER AS person, l.lead_id, a.place AS account, l.product, l.created FROM lead_now l "
        "LEFT JOIN account_places a ON a.account = l.account ANTI JOIN merged g ON g.lead_id = l.lead_id UNION ALL "
        "SELECT g.person::INTEGER, arg_min(l.lead_id, l.row), arg_min(a.place, l.row), arg_min(l.product, l.row), "
        "min(l.created) FROM merged g JOIN lead_now l ON l.lead_id = g.lead_id "
        "LEFT JOIN account_places a ON a.account = l.account GROUP BY 1) p "
        "ANTI JOIN unmeasured u ON u.person = p.person "
        f"WHERE p.created IS NULL OR p.created < {window.end_us}"
    )
    merged = con.sql(
        "SELECT count(*), count(DISTINCT m.person) FROM lead_now l JOIN merged m ON m.lead_id = l.lead_id"
    ).fetchall()[0]
    persons = count - int(merged[0]) + int(merged[1])
    con.execute(
        "CREATE TEMP TABLE ids_of_rows AS SELECT i.lead_id, i.person, m.person IS NOT NULL AS is_measured "
        "FROM measured_ids i LEFT JOIN measured_people m USING (person)"
    )
    used = int(con.sql("SELECT count(*) FROM measured_people").fetchall()[0][0])
    stopped = int(
        con.sql("SELECT count(DISTINCT i.person) FROM unmeasured u JOIN measured_ids i USING (person) "
                "JOIN lead_now l ON l.lead_id = i.lead_id").fetchall()[0][0]
    )  # fmt: skip
    unreadable = len(leads.unreadable)
    counts = {
        "read": int(rows[0]) + unreadable,
        "used": used,
        "rejected": int(rows[1]) + unreadable,
        "not known yet": int(rows[2]),
        "earlier version": int(rows[0]) - int(rows[1]) - int(rows[2]) - count,
        "linked with another": count - persons,
        "not measured": stopped,
        "created after the window": persons - used - stopped,
    }
    stops = f"{withheld:,} stops of erasure, restriction or objection: nothing of these persons is measured"
    return counts, (stops,) if withheld else ()


def place_leads(
    con: duckdb.DuckDBPyConnection,
    memberships: Source | None,
    settings: Settings,
    window: Window,
    cut: int,
    name: str,
) -> list[str]:
    """Make `name(person, lead_id, account, product, created, segment, segments)` of the people; gives notes.

    `segment` is the primary one of the window and `segments` how many a person was in.
    """
    _segments(con, memberships, settings, window, cut, f"segment_of_{name}")
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT p.*, s.segment, coalesce(s.segments, 0) AS segments "
        f"FROM measured_people p LEFT JOIN segment_of_{name} s ON s.person = p.person"
    )
    notes = []
    query = f"SELECT count(*) FROM segment_of_{name} s JOIN {name} USING (person) WHERE s.later"
    later = int(con.sql(query).fetchall()[0][0])
    if later:
        notes.append(
            f"{later:,} leads were in no segment during the window, or nobody kept it: they count in the first one "
            "after it, which may know already what became of them"
        )
    if memberships is None:
        notes.append(
            "no memberships were given, so no lead has a segment: run `leadwell segments apply` and give its folder "
            "as --state"
        )
    return notes


def _layout(table: str) -> Layout:
    whole = LAYOUTS[table]
    kept = [
        replace(c, kind="reference", to="campaign") if c.field == "campaign_id" else c
        for c in whole.columns
        if c.field in _NEEDED[table]
    ]
    return replace(whole, columns=tuple[Column, ...](kept))


def _linked(con: duckdb.DuckDBPyConnection, links: Source | None, settings: Settings, cut: int) -> None:
    """Make `merged(lead_id, person)` of the ids that links in force make one person with a known lead."""
    con.execute("CREATE TEMP TABLE merged (lead_id VARCHAR, person BIGINT)")
    if links is None:
        return
    spellings(con, links, settings)
    kind, evidence = settings.vocabularies["link_kind"], settings.vocabularies["link_evidence"]
    found = con.sql(
        f"SELECT s.lead_id AS a, s.other_lead_id AS b, s.linked_at AS at, {known_since(links)} AS recorded, "
        "CAST(k.word AS VARCHAR) AS kind FROM "
        f"{links.relation} s LEFT JOIN word_links_kind k ON k.spelling = s.kind WHERE s._bad = 0"
    ).to_arrow_table()
    if not found.num_rows:
        return
    both = pa.chunked_array([*found["a"].chunks, *found["b"].chunks], pa.string()).combine_chunks().dictionary_encode()
    ids = both.dictionary.to_pylist()
    codes = both.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    half = len(codes) // 2
    columns = {
        "lead": codes[:half],
        "other": codes[half:],
        "linked_at": found["at"].to_numpy().astype(np.int64),
        "recorded_at": found["recorded"].to_numpy().astype(np.int64),
        "kind": np.array([kind.code(word) for word in found["kind"].to_pylist()], dtype=np.uint8),
        "evidence": np.zeros(half, dtype=np.uint8) + np.uint8(evidence.code("")),
    }
    low, high, _ = same_pairs(columns, cut, LinkRules.of(settings))
    group = components(low, high, len(ids))
    con.register("linked_ids", pa.table({"lead_id": both.dictionary, "group": group}))
    con.execute(
        'INSERT INTO merged SELECT g.lead_id, min(l.row) OVER (PARTITION BY g."group") AS person FROM linked_ids g '
        "LEFT JOIN lead_now l ON l.lead_id = g.lead_id QUALIFY person IS NOT NULL AND count(*) OVER "
        '(PARTITION BY g."group") > 1'
    )
    con.unregister("linked_ids")


def _unmeasured(con: duckdb.DuckDBPyConnection, stops: Source | None, settings: Settings, cut: int) -> int:
    """Make `unmeasured(person)`: whom a stop of the plan's reasons concerns, itself or its account."""
    con.execute("CREATE TEMP TABLE unmeasured (person INTEGER)")
    reasons = settings.measurement.unmeasured
    if stops is None or not reasons or "reason" not in stops.fields:
        return 0
    spellings(con, stops, settings)
    listed = ", ".join(f"'{reason}'" for reason in reasons)
    until = column(stops, "until_at")
    con.execute(
        f"CREATE TEMP TABLE unmeasured_stops AS SELECT {column(stops, 'lead_id')} AS lead_id, "
        f"{column(stops, 'account_id')} AS account FROM {stops.relation} s "
        "JOIN word_suppressions_reason w ON w.spelling = s.reason "
        f"WHERE s._bad = 0 AND w.word IN ({listed}) AND coalesce(s.since_at, 0) <= {cut} "
        f"AND {known_since(stops)} <= {cut} AND coalesce({until}, {cut} + 1) > {cut}"
    )
    con.execute(
        "INSERT INTO unmeasured SELECT DISTINCT i.person FROM measured_ids i LEFT JOIN lead_now l USING (lead_id) "
        "WHERE i.lead_id IN (SELECT lead_id FROM unmeasured_stops WHERE lead_id IS NOT NULL) "
        "OR l.account IN (SELECT account FROM unmeasured_stops WHERE account IS NOT NULL)"
    )
    return int(con.sql("SELECT count(*) FROM unmeasured_stops").fetchall()[0][0])


def _segments(
    con: duckdb.DuckDBPyConnection,
    memberships: Source | None,
    settings: Settings,
    window: Window,
    cut: int,
    name: str,
) -> None:
    """Make `name(person, segment, segments, later)`: the primary segment held first, how many were held.

    Who was in none during the window is in the first one after it (`later`), so that a first run tells something.
    """
    if memberships is None:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} (person INTEGER, segment VARCHAR, segments BIGINT, later BOOLEAN)"
        )
        return
    ranks = {d.id: d.priority for d in settings.segments}
    con.register(
        "given_ranks",
        pa.table({"segment": pa.array(list(ranks), pa.string()), "rank": pa.array(list(ranks.values()), pa.int64())}),
    )
    primary = "NULL"
    if "primary" in memberships.fields:
        primary = "lower(s.\"primary\") IN ('true', 'yes', 'y', '1')"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE segment_places AS SELECT segment_id AS segment, row_number() OVER (ORDER BY "
        f"coalesce(r.rank, {_LAST_PRIORITY}), segment_id) AS place FROM (SELECT DISTINCT segment_id FROM "
        f"{memberships.relation} WHERE _bad = 0) LEFT JOIN given_ranks r ON r.segment = segment_id"
    )
    con.unregister("given_ranks")
    # One number orders a person's memberships: when one counts first, whether it is the primary one, its segment.
    turn = (
        f"(greatest(s.entered_at, {window.start_us})::HUGEINT << 33) + "
        f"((CASE WHEN {primary} THEN 0 ELSE 1 END)::HUGEINT << 32) + p.place"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS WITH held AS (SELECT i.person, p.place, min(s.entered_at) AS entered, "
        f"min({turn}) AS turn FROM {memberships.relation} s JOIN measured_ids i ON i.lead_id = s.lead_id "
        "JOIN segment_places p ON p.segment = s.segment_id "
        f"WHERE s._bad = 0 AND s.entered_at <= {cut} "
        f"AND coalesce({column(memberships, 'left_at')}, {cut} + 1) > {window.start_us} GROUP BY 1, 2), firsts AS ("
        f"SELECT person, min(turn) AS turn, count(*) FILTER (entered < {window.end_us}) AS segments, "
        f"min(entered) >= {window.end_us} AS later FROM held GROUP BY 1) "
        f"SELECT person, p.segment, segments, later FROM firsts JOIN segment_places p ON p.place = turn % {1 << 32}"
    )
