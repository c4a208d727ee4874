"""What reports ask of DuckDB in a fast way equals the plain statement of it, in a world with all that goes amiss."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.settings import load_settings
from training.measurement.campaigns import campaign_results
from training.measurement.engagement import acts, engaged
from training.measurement.kpis import kpis_of
from training.measurement.offers import content_sheet
from training.measurement.reading import Measured, open_measured
from training.measurement.sheet import Rated
from training.measurement.spend import channel_filter
from training.measurement.windows import Window

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
WINDOW = Window(date(2026, 4, 1), date(2026, 6, 20))
LEADS, EVENTS, TOUCHES, OUTCOMES = 300, 4_000, 1_500, 500
KINDS = ("page_view", "email_open", "email_click", "download", "search", "no such kind", None)
CHANNELS = ("web", "email", "email", "webinar", "search", "paid", None)
SEGMENTS = ("comparison_late_intent", "symptom_next_steps", "vendor_compare", "one that the map does not have")


def messy(folder: Path) -> dict[str, Path]:
    """Versions, repeats, rows that share an id, links, stops, late, future, unreadable and unknown rows, odd blanks."""
    draw = Random(7)
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=h) for h in range(0, 24 * 190, 5)]

    def lead() -> str | None:
        one = draw.choice([None, "nobody", " L7 "]) if draw.random() < 0.02 else f"L{draw.randrange(LEADS)}"
        return one if one is None or draw.random() > 0.02 else f"{one} "

    def recorded(at: datetime) -> datetime:
        return at + timedelta(days=draw.choice([0, 0, 0, 0, 1, 90]))

    def row(**own: Any) -> dict[str, Any]:
        return {"lead_id": lead(), **own}

    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in ("leads", "events", "touches", "outcomes")}
    for n in [*range(LEADS), *(draw.randrange(LEADS) for _ in range(60))]:
        at = draw.choice(days)
        account, product = draw.choice([None, f"A{n % 40}", f"A{n % 7}"]), draw.choice(["software", "implant", "?"])
        known = recorded(at)
        tables["leads"].append(
            {"lead_id": f"L{n}", "created_at": draw.choice([at, None]), "recorded_at": known, "account_id": account,
             "product_interest": product}
        )  # fmt: skip
    for n in range(EVENTS):
        at = draw.choice(days)
        tables["events"].append(
            row(event_id=f"E{n if draw.random() > 0.02 else draw.randrange(EVENTS)}", occurred_at=at,
                recorded_at=recorded(at), kind=draw.choice(KINDS), channel=draw.choice(CHANNELS),
                agent=draw.choice(["person", "bot", None, None]), campaign_id=draw.choice([None, "C1", " C2", "C3"]),
                asset_id=draw.choice([None, "a1", "a2", "a3"]), message_id=draw.choice([None, f"M{n % TOUCHES}"]))
        )  # fmt: skip
    for n in range(TOUCHES):
        at = draw.choice(days)
        tables["touches"].append(
            row(touch_id=f"T{n if draw.random() > 0.02 else draw.randrange(TOUCHES)}", sent_at=at,
                channel=draw.choice(["email", "phone", "rep_visit", None]), intent="promotional",
                campaign_id=draw.choice([None, "C1", "C2"]), asset_id=draw.choice([None, "a1", "a2"]),
                message_id=f"M{n}")
        )  # fmt: skip
        if n % 9 == 0:  # a click of a machine, seconds after the message
            tables["events"].append(
                {**tables["touches"][-1], "event_id": f"X{n}", "occurred_at": at + timedelta(seconds=9),
                 "recorded_at": at + timedelta(seconds=9), "kind": "email_click", "channel": "email"}
            )  # fmt: skip
    for _ in range(OUTCOMES):
        at = draw.choice(days)
        kinds = ("mql", "sql", "meeting", "demo", "appointment", "no_show", "converted", "lost", "inquiry", "consult")
        tables["outcomes"].append(
            row(
                kind=draw.choice(kinds),
                occurred_at=at,
                recorded_at=recorded(at),
                value=draw.choice([None, 10.005, 7.0]),
            )
        )
    for name in ("events", "touches", "outcomes"):
        tables[name] += draw.choices(tables[name], k=40)
    tables["events"] += [{**one, "kind": "download"} for one in draw.choices(tables["events"], k=40)]
    tables["touches"] += [{**one, "campaign_id": "C1"} for one in draw.choices(tables["touches"], k=40)]
    tables["memberships"] = [
        {"lead_id": f"L{draw.randrange(LEADS)}", "segment_id": draw.choice(SEGMENTS), "version": 1,
         "entered_at": draw.choice(days), "left_at": draw.choice([None, None, draw.choice(days)]),
         "primary": draw.choice(["true", "false", None])}
        for _ in range(2 * LEADS)
    ]  # fmt: skip
    tables["links"] = [
        {"lead_id": f"L{n}", "other_lead_id": other, "linked_at": days[0], "recorded_at": days[0], "kind": "same",
         "evidence": "email"}
        for n, other in ((3, "L9"), (9, "L200"), (40, "only in links"), (41, "L42"))
    ]  # fmt: skip
    tables["suppressions"] = [
        {"lead_id": "L5", "account_id": None, "reason": "erasure", "since_at": days[0], "recorded_at": days[0]},
        {"lead_id": None, "account_id": "A3", "reason": "restriction", "since_at": days[0], "recorded_at": days[0]},
    ]
    tables["campaigns"] = [
        {"campaign_id": f"C{n}", "name": f"Campaign {n}", "spend": 100.0 * n, "started_on": "2026-03-01",
         "ended_on": "2026-06-30", "channel": "email", "segment_ids": [SEGMENTS[n]], "offers": [f"a{n}"]}
        for n in (1, 2)
    ]  # fmt: skip
    for name, rows in tables.items():
        fields = list(dict.fromkeys(field for one in rows for field in one))
        columns = {field: [one.get(field) for one in rows] for field in fields}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    (folder / "sample.json").write_text(json.dumps({"as_of": AS_OF.isoformat()}), encoding="utf-8")
    return {name: folder / f"{name}.parquet" for name in tables}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    folder = tmp_path_factory.mktemp("messy")
    with open_measured(messy(folder), load_settings(), WINDOW, AS_OF, lookback_days=90) as measured:
        yield measured


def told(found: Measured, query: str) -> list[tuple[Any, ...]]:
    return sorted(found.con.sql(query).fetchall(), key=repr)


def test_the_world_has_all_that_goes_amiss(found: Measured) -> None:
    assert all(found.counts["events"][what] for what in ("rejected", "not known yet", "unknown lead", "not measured"))
    assert all(found.counts["events"][what] for what in ("repeated", "another row with its id"))
    assert found.counts["leads"]["earlier version"]
    assert found.counts["leads"]["linked with another"]
    assert found.con.sql("SELECT count(*) FROM made_by_machine").fetchall()[0][0] if acts(found) else False


@pytest.mark.parametrize("table", ["events", "touches"])
def test_of_each_key_one_row_is_left_and_the_others_are_counted(found: Measured, table: str) -> None:
    name = f"measured_{table}"
    assert not told(found, f"SELECT person, id FROM {name} GROUP BY ALL HAVING count(*) > 1")
    counts = found.counts[table]
    assert counts["used"] == found.con.sql(f"SELECT count(*) FROM {name}").fetchall()[0][0]
    time = "occurred_at" if table == "events" else "sent_at"
    known = "greatest(recorded_at, occurred_at)" if table == "events" else "sent_at"
    day = f"TIMESTAMPTZ '{WINDOW.start} 00:00:00+00' - INTERVAL 90 DAYS"
    plain = (
        f"SELECT person, hash(s.{table[:-1] if table == 'events' else 'touch'}_id) AS id, count(*) AS n, "
        f"count(DISTINCT s::VARCHAR) AS ways FROM (SELECT * EXCLUDE (_at, _bad) FROM typed_{table} WHERE _bad = 0) s "
        f"JOIN ids_of_rows i ON i.lead_id = s.lead_id WHERE i.is_measured AND {time} >= epoch_us({day}) "
        f"AND {time} < {WINDOW.end_us} AND {known} <= epoch_us(TIMESTAMPTZ '{AS_OF}') GROUP BY 1, 2"
    )
    rows, keys = found.con.sql(f"SELECT sum(n), count(*) FROM ({plain})").fetchall()[0]
    assert counts["used"] == keys
    assert counts["repeated"] + counts["another row with its id"] == rows - keys


def test_leads_are_as_their_last_version_and_linked_ones_as_their_first(found: Measured) -> None:
    known = "coalesce(s.recorded_at, s.created_at, 0)"
    facts = "{'account': s.account_id, 'product': w.word::VARCHAR, 'created': s.created_at}"
    plain = f"""
        WITH now AS (SELECT s.lead_id, arg_max({facts}, ({known}, {facts})) AS f FROM typed_leads s
          LEFT JOIN word_leads_product_interest w ON w.spelling = s.product_interest
          WHERE s._bad = 0 AND {known} <= epoch_us(TIMESTAMPTZ '{AS_OF}') GROUP BY 1),
        numbered AS (SELECT *, row_number() OVER (ORDER BY lead_id) - 1 AS row FROM now)
        SELECT i.person, arg_min(l.lead_id, l.row) AS lead_id, arg_min(l.f.account, l.row), arg_min(l.f.product, l.row),
          min(l.f.created) AS created FROM numbered l JOIN measured_ids i ON i.lead_id = l.lead_id GROUP BY 1
    """
    ours = (
        "SELECT m.person, m.lead_id, a.account, m.product, m.created FROM measured_leads m "
        "LEFT JOIN account_places a ON a.place = m.account"
    )
    assert told(found, ours) == told(found, f"FROM ({plain}) SEMI JOIN measured_leads USING (person)")


def test_the_first_primary_segment_is_that_of_the_plain_order(found: Measured) -> None:
    ranks = " ".join(f"WHEN '{d.id}' THEN {d.priority}" for d in found.settings.segments)
    plain = f"""
        SELECT i.person, arg_min(s.segment_id, (greatest(s.entered_at, {WINDOW.start_us}),
            CASE WHEN s."primary" = 'true' THEN 0 ELSE 1 END, CASE s.segment_id {ranks} ELSE 10000 END, s.segment_id)),
          count(DISTINCT s.segment_id) FILTER (s.entered_at < {WINDOW.end_us}), min(s.entered_at) >= {WINDOW.end_us}
        FROM typed_memberships s JOIN measured_ids i ON i.lead_id = s.lead_id
        WHERE s.entered_at <= epoch_us(TIMESTAMPTZ '{AS_OF}')
          AND coalesce(s.left_at, {2**62}) > {WINDOW.start_us} GROUP BY 1
    """
    assert told(found, "FROM segment_of_measured_leads") == told(found, plain)


def test_who_engaged_is_told_by_person_and_by_content(found: Measured) -> None:
    engaged(found)
    plain = f'SELECT e.person, max(e."at" // 86400000000) > min(e."at" // 86400000000) FROM {acts(found)} GROUP BY 1'
    assert told(found, "FROM engaged") == told(found, plain)
    days = f'"at" >= {WINDOW.start_us} AND "at" < {WINDOW.end_us}'
    apart = f"""
        WITH sent AS (SELECT person, asset, min("at") AS first_at FROM measured_touches
            WHERE asset IS NOT NULL AND {days} AND {channel_filter(found, "content", "channel")} GROUP BY 1, 2),
        acted AS (SELECT e.person, e.asset, max(e."at") AS last_at FROM {acts(found)} AND e.asset IS NOT NULL
            AND {channel_filter(found, "content", "event_channel", "e.channel")} GROUP BY 1, 2)
        SELECT l.segment, CAST(asset AS VARCHAR), count(s.first_at), count(*) FILTER (a.last_at >= s.first_at),
          count(*) FILTER (s.first_at IS NULL) FROM sent s FULL JOIN acted a USING (person, asset)
          JOIN measured_leads l USING (person) GROUP BY 1, 2 ORDER BY 3 DESC, 1 NULLS LAST, 2
    """
    rows = [
        (segment or "no segment known", asset, given, Rated(hits, given) if given >= 3 else None, alone)
        for segment, asset, given, hits, alone in found.con.sql(apart).fetchall()
    ]
    assert list(content_sheet(found).rows) == rows


def test_accounts_are_counted_as_distinct_ones(found: Measured) -> None:
    kpis = kpis_of(found)
    plain = """
        SELECT s.segment, count(DISTINCT s.account), count(DISTINCT s.account) FILTER (e.returned IS NOT NULL),
          count(DISTINCT s.account) FILTER (s.converted_at IS NOT NULL)
        FROM lead_stages s LEFT JOIN engaged e USING (person) GROUP BY {}
    """
    ours = [
        (r.segment, r.counted.accounts, r.counted.accounts_engaged, r.counted.accounts_converted) for r in kpis.segments
    ]
    assert sorted(ours, key=repr) == told(found, plain.format("1"))
    total = (kpis.total.accounts, kpis.total.accounts_engaged, kpis.total.accounts_converted)
    assert [(None, *total)] == told(found, plain.replace("s.segment,", "NULL,").format("ALL"))


def test_the_campaign_that_reached_a_lead_first_is_the_earliest_then_the_first_by_name(found: Measured) -> None:
    results = campaign_results(found)
    leads: dict[str, int] = {}
    for cell in results.cells:
        leads[cell.campaign] = leads.get(cell.campaign, 0) + cell.leads
    first = (
        "SELECT coalesce(c::VARCHAR, ''), count(*) FROM measured_leads l LEFT JOIN (SELECT person, "
        "arg_min(campaign, (first_at, campaign)) AS c FROM campaign_reach GROUP BY 1) USING (person) GROUP BY 1"
    )
    assert sorted(leads.items()) == told(found, first)
    beside = (
        "SELECT r.campaign::VARCHAR, count(*), count(*) FILTER (NOT coalesce(list_contains(c.segment_ids, l.segment), "
        "false)) FROM campaign_reach r JOIN measured_leads l USING (person) "
        "JOIN measured_campaigns c ON c.campaign = r.campaign::VARCHAR GROUP BY 1"
    )
    listed = [(c.campaign_id, results.reached[c.campaign_id], results.beside[c.campaign_id]) for c in found.campaigns]
    assert sorted(listed) == told(found, beside)
