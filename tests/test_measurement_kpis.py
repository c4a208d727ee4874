"""Reports of segments and campaigns, on tables small enough to add up by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.app import app
from configs.errors import InputInvalid
from configs.measurement import MeasurementPlan
from configs.settings import Settings, load_settings
from features.intake.campaigns import Campaign
from training.measurement.campaigns import campaign_results, campaign_sheets
from training.measurement.funnel_sheets import follow
from training.measurement.kpis import kpis_of
from training.measurement.reading import Measured, open_measured
from training.measurement.segment_sheets import segment_sheets
from training.measurement.sheet import Rated
from training.measurement.spend import split_cents, window_cents
from training.measurement.windows import Window

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
QUARTER = Window(date(2026, 4, 1), date(2026, 7, 1))
A, B = "comparison_late_intent", "symptom_next_steps"
Row = Mapping[str, Any]


@cache
def shipped() -> Settings:
    return load_settings()


def at(day: str) -> str:
    return f"2026-{day}T09:00:00Z"


def written(folder: Path, **tables: Sequence[Row]) -> dict[str, Path]:
    """Tables as CSV files; a row lacks what it does not name."""
    files = {}
    for name, rows in tables.items():
        fields = list(dict.fromkeys(field for row in rows for field in row))
        files[name] = folder / f"{name}.csv"
        with files[name].open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fields)
            writer.writeheader()
            writer.writerows(rows)
    return files


def opened(files: Mapping[str, Path], window: Window = QUARTER, settings: Settings | None = None) -> Measured:
    return open_measured(files, settings or shipped(), window, AS_OF)


def clinic() -> dict[str, list[Row]]:
    """Story 2. Segment A: leads 1 to 20; 10 are MQL, 5 SQL, 4 booked and one of these did not come; 3,000 earned.

    Bookings come 2, 4, 6 and 8 days after the lead: the median is 5. Leads 21 to 24 are of segment B: two MQL.
    """
    leads: list[Row] = [
        {"lead_id": f"L{n:02}", "created_at": at("04-10"), "account_id": f"K{n:02}"} for n in range(1, 25)
    ]
    outcomes: list[Row] = [{"lead_id": f"L{n:02}", "kind": "mql", "occurred_at": at("04-11")} for n in range(1, 11)]
    outcomes += [{"lead_id": f"L{n:02}", "kind": "sql", "occurred_at": at("04-11")} for n in range(1, 6)]
    outcomes += [
        {"lead_id": f"L{n:02}", "kind": "appointment", "occurred_at": at(f"04-{10 + 2 * n}"), "value": value}
        for n, value in ((1, 1000), (2, 1200.5), (3, 799.5), (4, None))
    ]
    outcomes += [{"lead_id": "L04", "kind": "no_show", "occurred_at": at("04-20")}]
    outcomes += [{"lead_id": lead, "kind": "mql", "occurred_at": at("05-02")} for lead in ("L21", "L22")]
    touches: list[Row] = [
        {"touch_id": f"T{n:02}", "lead_id": f"L{n:02}", "sent_at": at("04-10"), "channel": "email", "campaign_id": "C1"}
        for n in range(1, 21)
    ]
    touches += [
        {"touch_id": f"U{n:02}", "lead_id": f"L{n:02}", "sent_at": at("05-01"), "channel": "email", "campaign_id": "C2"}
        for n in (20, 21, 22)
    ]
    memberships: list[Row] = [
        {
            "lead_id": f"L{n:02}",
            "segment_id": A if n <= 20 else B,
            "version": 1,
            "entered_at": at("04-10"),
            "primary": True,
        }
        for n in range(1, 25)
    ]
    campaigns: list[Row] = [
        {"campaign_id": "C1", "segment_ids": A, "spend": 966.66, "started_on": "2026-04-01", "ended_on": "2026-06-30"},
        {"campaign_id": "C2", "segment_ids": B, "spend": 100.01, "started_on": "2026-05-01", "ended_on": "2026-05-31"},
    ]
    return {
        "leads": leads, "outcomes": outcomes, "touches": touches, "memberships": memberships, "campaigns": campaigns,
    }  # fmt: skip


def test_the_clinics_numbers_come_out_as_the_story_tells_them(tmp_path: Path) -> None:
    with opened(written(tmp_path, **clinic())) as found:
        kpis = kpis_of(found)
    row = next(row for row in kpis.segments if row.segment == A)
    counted = row.counted
    assert (counted.leads, counted.mql, counted.sql, counted.booked, counted.missed) == (20, 10, 5, 4, 1)
    assert counted.rate("lead_to_mql") == Rated(10, 20)
    assert counted.rate("mql_to_sql") == Rated(5, 10)
    assert counted.rate("no_show") == Rated(1, 4)
    # C1 reached A alone: 966.66. C2 reached one lead of A and two of B: a third of 100.01 is 33.34, rounded up here.
    assert row.spend_cents == 96_666 + 3_334
    assert counted.value_cents == 300_000
    assert counted.days_to_decision == 5.0
    # Its primary KPI is consultations booked: the four appointments among twenty leads.
    assert row.primary == Rated(4, 20)


def test_the_command_prints_what_the_story_tells(tmp_path: Path) -> None:
    written(tmp_path, **clinic())
    asked = ["report", "segments", "--data", str(tmp_path), "--as-of", "2026-07-01", "--from", "2026-04-01", "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    results = {row["segment"]: row for row in said["reports"][0]["rows"]}[A]
    assert (results["lead_to_mql"]["rate"], results["mql_to_sql"]["rate"], results["no_show"]["rate"]) == (
        0.5,
        0.5,
        0.25,
    )
    assert (results["cost_per_sql"], results["return_on_spend"], results["net_return"]) == (20_000, 3.0, 2.0)
    assert results["days_to_decision"] == 5.0
    assert said["window"]["says"] == "2026-04-01 to 2026-06-30 (UTC, 91 days), as known on 2026-07-01"
    kpis = {row["segment"]: row for row in said["reports"][1]["rows"]}[A]
    assert kpis["primary_kpi"] == "consultations booked"
    assert kpis["primary_rate"]["rate"] == 0.2


def test_segments_and_campaigns_add_up_to_the_same(tmp_path: Path) -> None:
    with opened(written(tmp_path, **clinic())) as found:
        results, kpis = campaign_results(found), kpis_of(found)
        # L20 was reached by C1 first; L23 and L24 by nobody.
        assert results.of("C1") == (20, 10, 5, 4, 300_000)
        assert results.of("C2") == (2, 2, 0, 0, 0)
        assert results.of("") == (2, 0, 0, 0, 0)
        assert (results.spend.of_campaign("C1"), results.spend.of_campaign("C2")) == (96_666, 10_001)
        for row in kpis.segments:
            c = row.counted
            assert results.of_segment(row.segment) == (c.leads, c.mql, c.sql, c.booked, c.value_cents)
        assert sum(row.spend_cents for row in kpis.segments) == results.spend.total == 106_667


def test_what_nobody_says_a_campaign_spent_is_not_told_as_nothing(tmp_path: Path) -> None:
    world = clinic()
    world["campaigns"][1] = {**world["campaigns"][1], "spend": ""}
    world["touches"] += [
        {"touch_id": "V", "lead_id": "L23", "sent_at": at("05-01"), "channel": "email", "campaign_id": "C9"}
    ]
    world["outcomes"] += [{"lead_id": lead, "kind": "mql", "occurred_at": at("05-02")} for lead in ("L23", "L24")]
    with opened(written(tmp_path, **world)) as found:
        sheet = campaign_sheets(found)[0].to_json()
    cost = {row["campaign"]: (row["mql"], row["spend"], row["cost_per_mql"]) for row in sheet["rows"]}
    # C2 names no spend, C9 is not in the file, and L24 was reached by none: none of the three is a free lead.
    assert cost == {
        "C1": (10, 96_666, 9_667),
        "C2": (2, None, None),
        "C9": (1, None, None),
        "no campaign": (1, None, None),
    }
    assert sheet["total"]["spend"] == 96_666
    assert any("C2" in note for note in sheet["notes"])
    assert any("C9" in note for note in sheet["notes"])


def test_every_part_of_a_wide_table_names_its_rows(tmp_path: Path) -> None:
    written(tmp_path, **clinic())
    told = CliRunner().invoke(
        app, ["report", "campaigns", "--data", str(tmp_path), "--as-of", "2026-07-01"], env={"COLUMNS": "60"}
    )
    table = told.stdout.partition("Campaigns by segment")[2].partition("Reconciliation")[0]
    headings = [line for line in table.splitlines() if line.startswith("campaign ")]
    assert len(headings) > 1
    # A campaign has a row for each segment, so that its id alone names none of them.
    assert all(line.split()[:2] == ["campaign", "segment"] for line in headings)


def test_an_outcome_before_the_campaign_reached_its_lead_belongs_to_none(tmp_path: Path) -> None:
    tables = clinic()
    tables["outcomes"].append({"lead_id": "L20", "kind": "mql", "occurred_at": "2026-04-10T08:59:59Z"})
    with opened(written(tmp_path, **tables)) as found:
        assert campaign_results(found).of("")[1] == 1
        assert campaign_results(found).of("C1")[1] == 10


def test_a_stage_reached_before_the_window_is_not_new_and_not_asked_for_again(tmp_path: Path) -> None:
    tables = clinic()
    tables["leads"][19] = {"lead_id": "L20", "created_at": "2026-01-10T00:00:00Z"}
    tables["outcomes"].append({"lead_id": "L20", "kind": "mql", "occurred_at": "2026-03-31T23:59:59Z"})
    with opened(written(tmp_path, **tables)) as found:
        row = next(row for row in kpis_of(found).segments if row.segment == A)
    assert row.counted.rate("lead_to_mql") == Rated(10, 19)


def test_the_window_is_half_open_and_what_was_recorded_later_is_not_known(tmp_path: Path) -> None:
    missed = {
        "too early": ("2026-03-31T23:59:59Z", "2026-04-01T00:00:00Z"),
        "first moment": ("2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        "last moment": ("2026-06-30T23:59:59Z", "2026-07-01T00:00:00Z"),
        "too late": ("2026-07-01T00:00:00Z", "2026-07-01T00:00:00Z"),
        "not known": ("2026-05-01T00:00:00Z", "2026-07-01T00:00:01Z"),
    }
    files = written(
        tmp_path,
        leads=[{"lead_id": name, "created_at": "2026-01-01T00:00:00Z"} for name in missed],
        outcomes=[
            {"lead_id": name, "kind": "no_show", "occurred_at": occurred, "recorded_at": recorded}
            for name, (occurred, recorded) in missed.items()
        ],
    )
    with opened(files) as found:
        kpis_of(found)
        named = found.con.sql(
            "SELECT lead_id FROM lead_stages JOIN measured_leads USING (person) WHERE missed"
        ).fetchall()
    assert sorted(name for (name,) in named) == ["first moment", "last moment"]


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    tables = clinic()
    twice = tables["outcomes"][0]
    tables["outcomes"] += [twice, {"lead_id": "stranger", "kind": "mql", "occurred_at": at("05-01")}]
    tables["outcomes"].append({"lead_id": "L01", "kind": "sql", "occurred_at": "yesterday"})
    tables["outcomes"].append({"lead_id": "L02", "kind": "sql", "occurred_at": "2026-07-02T00:00:00Z"})
    tables["outcomes"].append({"lead_id": "L24", "kind": "mql", "occurred_at": at("05-01")})
    tables["suppressions"] = [{"lead_id": "L24", "reason": "erasure", "since_at": at("06-01")}]
    tables["leads"].append({"lead_id": "L99", "created_at": "2026-07-01T00:00:00Z"})
    with opened(written(tmp_path, **tables)) as found:
        for counts in found.counts.values():
            assert sum(count for what, count in counts.items() if what != "read") == counts["read"]
        outcomes, leads = found.counts["outcomes"], found.counts["leads"]
        assert kpis_of(found).total.leads == 23
    assert (outcomes["repeated"], outcomes["unknown lead"], outcomes["rejected"]) == (1, 1, 1)
    assert (outcomes["outside the days read"], outcomes["not measured"]) == (1, 1)
    assert (leads["not measured"], leads["created after the window"]) == (1, 1)


def test_linked_leads_are_one_person(tmp_path: Path) -> None:
    tables = clinic()
    tables["links"] = [
        {"lead_id": "L01", "other_lead_id": "L20", "linked_at": at("05-01"), "kind": "same"},
        {"lead_id": "L02", "other_lead_id": "L19", "linked_at": "2026-07-02T00:00:00Z", "kind": "same"},
    ]
    with opened(written(tmp_path, **tables)) as found:
        row = next(row for row in kpis_of(found).segments if row.segment == A)
    # L20 is L01, which is an MQL already; the link of L02 is not known yet.
    assert row.counted.rate("lead_to_mql") == Rated(10, 19)


def test_a_lead_counts_in_the_segment_it_was_in_first_during_the_window(tmp_path: Path) -> None:
    rows = [("2026-01-01", "2026-03-01", A), ("2026-03-01", "2026-05-01", B), ("2026-05-01", "", A)]
    memberships = [
        {
            "lead_id": "L1",
            "segment_id": s,
            "version": 1,
            "entered_at": f"{a}T00:00:00Z",
            "left_at": b and f"{b}T00:00:00Z",
        }
        for a, b, s in rows
    ]
    files = written(tmp_path, leads=[{"lead_id": "L1"}, {"lead_id": "L2"}], memberships=memberships)
    with opened(files) as found:
        assert {row.segment: row.counted.leads for row in kpis_of(found).segments} == {B: 1, None: 1}
        assert next(row for row in kpis_of(found).segments if row.segment == B).counted.placed == 1


def engaged_by(tmp_path: Path, events: Mapping[str, Row]) -> Measured:
    """One lead for each event, touched at nine on the first of May with message M and its own name."""
    listed = [
        {"event_id": "E", "lead_id": lead, "occurred_at": at("05-01"), "recorded_at": at("05-02"), **event}
        for lead, event in events.items()
    ]
    touches = [
        {"touch_id": "T", "lead_id": lead, "sent_at": at("05-01"), "channel": "email", "message_id": f"M {lead}"}
        for lead in events
    ]
    return opened(written(tmp_path, leads=[{"lead_id": lead} for lead in events], events=listed, touches=touches))


def test_engagement_is_what_the_plan_allows_and_a_person_did(tmp_path: Path) -> None:
    click = {"kind": "email_click", "channel": "email"}
    events: dict[str, Row] = {
        "download": {"kind": "download", "channel": "web"},
        "spelled otherwise": {"kind": "Resource Download", "channel": "Website"},
        "opened": {"kind": "email_open", "channel": "email"},
        "on a channel without it": {"kind": "download", "channel": "social"},
        "on no known channel": {"kind": "download"},
        "by a bot": {"kind": "download", "channel": "web", "agent": "bot"},
        "off label": {"kind": "off_label_question", "channel": "web"},
        "at once": {**click, "message_id": "M at once", "occurred_at": "2026-05-01T09:00:15Z"},
        "a second later": {**click, "message_id": "M a second later", "occurred_at": "2026-05-01T09:00:16Z"},
    }
    with engaged_by(tmp_path, events) as found:
        assert kpis_of(found).total.engaged == 3
        named = found.con.sql("SELECT lead_id FROM engaged JOIN measured_leads USING (person)").fetchall()
    assert sorted(name for (name,) in named) == ["a second later", "download", "spelled otherwise"]


def test_what_the_plan_does_not_allow_is_said_and_not_computed(tmp_path: Path) -> None:
    with engaged_by(tmp_path, {"L1": {"kind": "download", "channel": "social"}}) as found:
        notes = next(sheet for sheet in segment_sheets(found) if sheet.id == "engagement").notes
    assert "engagement on social is not computed (1 events): the platform reports totals only" in notes
    assert notes[0] == "Engagement is interest, not prescribing."


def test_content_counts_who_engaged_after_it_was_given(tmp_path: Path) -> None:
    tables: dict[str, Sequence[Row]] = {
        "leads": [{"lead_id": f"L{n}"} for n in range(5)],
        "touches": [
            {"touch_id": f"T{n}", "lead_id": f"L{n}", "sent_at": at("05-02"), "channel": "email", "asset_id": "guide"}
            for n in range(4)
        ],
        "events": [
            {"event_id": f"E{n}", "lead_id": f"L{n}", "occurred_at": at(day), "recorded_at": at(day),
             "kind": "download", "channel": "web", "asset_id": "guide"}
            for n, day in ((0, "05-03"), (1, "05-01"), (4, "05-03"))
        ],
    }  # fmt: skip
    with opened(written(tmp_path, **tables)) as found:
        (row,) = next(sheet for sheet in segment_sheets(found) if sheet.id == "content").rows
    # Of four who were given it one came after; L1 came before, and L4 found it alone.
    assert row == ("no segment known", "guide", 4, Rated(1, 4), 1)


def test_a_rate_of_fewer_than_the_plan_tells_is_not_told(tmp_path: Path) -> None:
    files = written(
        tmp_path,
        leads=[{"lead_id": f"L{n}"} for n in range(2)],
        outcomes=[{"lead_id": "L1", "kind": "mql", "occurred_at": at("05-01")}],
    )
    with opened(files) as found:
        sheet = segment_sheets(found)[0]
    cells = dict(zip((column.id for column in sheet.columns), sheet.rows[0], strict=True))
    assert (cells["leads"], cells["mql"], cells["lead_to_mql"]) == (2, 1, None)


@given(st.integers(0, 10**12), st.dictionaries(st.text(max_size=3), st.integers(0, 10**6), min_size=1, max_size=8))
@hypothesis_settings(deadline=None, max_examples=60)
def test_a_split_adds_up_and_no_part_is_a_cent_off(total: int, weights: dict[str, int]) -> None:
    if not sum(weights.values()):
        weights = {**weights, "": 1}
    parts, whole = split_cents(total, weights), sum(weights.values())
    assert sum(parts.values()) == total
    assert all(abs(parts[key] * whole - total * weight) < whole for key, weight in weights.items())


@given(st.integers(0, 10**9), st.integers(0, 400), st.lists(st.integers(1, 60), min_size=1, max_size=8))
@hypothesis_settings(deadline=None, max_examples=60)
def test_windows_that_follow_each_other_spend_the_whole(cents: int, length: int, lengths: list[int]) -> None:
    first = date(2026, 1, 1).toordinal()
    campaign = Campaign("C", (), date.fromordinal(first), date.fromordinal(first + length), spend_cents=cents)
    cuts = [first]
    for days in lengths:
        cuts.append(cuts[-1] + days)
    cuts = [first - 1, *cuts, max(first + length + 1, cuts[-1] + 1)]
    windows = [Window(date.fromordinal(a), date.fromordinal(b)) for a, b in pairwise(cuts)]
    assert sum(window_cents(campaign, window) for window in windows) == cents


@pytest.mark.parametrize(
    ("start", "end", "days", "field"),
    [
        (date(2026, 7, 1), None, None, "--from"),
        (None, date(2026, 7, 2), None, "--to"),
        (date(2026, 1, 1), None, 9, "--days"),
    ],
)
def test_a_window_that_is_empty_or_not_over_is_refused(
    start: date | None, end: date | None, days: int | None, field: str
) -> None:
    with pytest.raises(InputInvalid, match=field):
        Window.chosen(AS_OF, start, end, days)


def test_a_campaign_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    files = written(tmp_path, leads=[{"lead_id": "L1"}], campaigns=[{"campaign_id": "C1"}, {"campaign_id": "C1"}])
    with pytest.raises(InputInvalid, match=r"row 2.*campaign_id"):
        opened(files)


def test_a_channel_that_the_plan_does_not_name_counts_as_unknown() -> None:
    plan = MeasurementPlan(unknown_channel=("reach",))
    assert plan.allows("reach", "email")
    assert not plan.allows("engagement", "email")
    assert not plan.allows("engagement", None)


def test_every_approved_segment_has_a_primary_kpi_that_is_computed() -> None:
    plan = shipped().measurement
    assert {d.id for d in shipped().segments} == set(plan.primary)


def test_the_funnel_follows_leads_created_in_the_window_and_counts_no_young_one_as_failed(tmp_path: Path) -> None:
    # Forty leads of April, ten MQL after five days and five SQL after ten; five more of the last day are too young.
    leads = [{"lead_id": f"L{n:02}", "created_at": at("04-02")} for n in range(40)]
    leads += [{"lead_id": f"N{n}", "created_at": at("06-30")} for n in range(5)]
    leads += [{"lead_id": "old", "created_at": at("03-31")}]
    outcomes = [{"lead_id": f"L{n:02}", "kind": "mql", "occurred_at": at("04-07")} for n in range(10)]
    outcomes += [{"lead_id": f"L{n:02}", "kind": "sql", "occurred_at": at("04-12")} for n in range(5)]
    history = shipped().targets.history.model_copy(update={"outcomes_from": date(2026, 1, 1)})
    declared = shipped().model_copy(update={"targets": shipped().targets.model_copy(update={"history": history})})
    with opened(written(tmp_path, leads=leads, outcomes=outcomes), settings=declared) as found:
        groups, counts = follow(found, 30)
    mql, _, sql = groups[0].stages[:3]
    way = mql.from_creation
    assert (way.leads, way.reached, way.without, way.too_young) == (45, 10, 30, 5)
    # The young ones were watched for less than a day, before anything happened to the others.
    assert way.share == pytest.approx(10 / 40)
    assert way.median_days == 5.0
    assert (sql.from_creation.reached, sql.from_creation.median_days) == (5, 10.0)
    assert counts["were created before the window"] == 1
    assert sum(counts.values()) == 46


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["segments", "--from", "April"], "--from: expected a day such as 2026-04-01"),
        (["segments", "--to", "2026-07-02"], "expected a window that is over"),
        (["campaigns", "--state", "nowhere"], "expected the folder that `leadwell segments apply` keeps"),
        (["funnel", "--out", "page.pdf"], "expected a file that ends in .html"),
    ],
)
def test_a_users_mistake_is_one_clear_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    written(tmp_path, leads=[{"lead_id": "L1"}])
    done = CliRunner().invoke(app, ["report", *arguments, "--data", str(tmp_path), "--as-of", "2026-07-01"])
    assert isinstance(done.exception, InputInvalid)
    assert said in str(done.exception)


def test_every_table_goes_to_csv_files_with_the_counts_of_its_rates(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    written(data, **clinic())
    asked = ["report", "campaigns", "--data", str(data), "--as-of", "2026-07-01", "--csv", str(out)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    with (out / "campaigns.csv").open(encoding="utf-8") as file:
        rows = {row["campaign"]: row for row in csv.DictReader(file)}
    assert (rows["C2"]["spend"], rows["C2"]["beside_hits"], rows["C2"]["beside_of"]) == ("100.01", "1", "3")
    assert "segments and campaigns add up to the same" in done.output
