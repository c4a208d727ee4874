"""The record that goes to sales, the records of a rescoring, and the call plan: what is in them, and what never is."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.app import app
from configs.content import Team
from configs.errors import InputInvalid
from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.intake.sources import find_files
from features.records import Account, Case, Event, Lead, Suppression, Touch
from serving.actions.capacity import filled
from serving.columns import decision_table
from serving.decide import Decider
from serving.handover.batch import INDEX, Floors, _kept
from serving.handover.call_plan import call_plan
from serving.handover.record import Handovers
from serving.rescore import rescore

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
DAY = AS_OF - timedelta(days=1)


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def decider(bundle: Path) -> Decider:
    return Decider.load(bundle, shipped(), on=AS_OF.date())


def record(folder: Path, **tables: Any) -> dict[str, Any]:
    """The hand-over of an oncologist of a small clinic."""
    lead = Lead(
        lead_id="L1", audience="hcp", country="US", recorded_at=DAY, created_at=DAY, verified_at=DAY, role="physician",
        specialty="oncology", account_id="A1", territory="north", product_interest="oncology_rx",
    )  # fmt: skip
    rows: dict[str, Any] = {
        "accounts": [Account(account_id="A1", organization_type="clinic", recorded_at=DAY, verified_at=DAY)],
        "events": [], "touches": [], "consents": [], "suppressions": [], "cases": [],
    } | tables  # fmt: skip
    own = decider(folder / "bundle")
    encoded = encode_records(
        [lead], **rows, vocabularies=shipped().vocabularies, asset_ids=own.asset_ids, suppressions_complete_as_of=AS_OF
    )
    decisions = own.decide(encoded, AS_OF, threads=1)
    return Handovers(decisions, decision_table(decisions)).of(0)


def event(number: int, days: float, kind: str = "download", **own: Any) -> Event:
    at = AS_OF - timedelta(days=days)
    return Event(event_id=f"e{number}", lead_id="L1", occurred_at=at, recorded_at=at, kind=kind, **own)


def touch(number: int, days: float, **own: Any) -> Touch:
    at = AS_OF - timedelta(days=days)
    return Touch(touch_id=f"t{number}", lead_id="L1", sent_at=at, recorded_at=at, **own)


def case(kind: str, days: float, **own: Any) -> Case:
    at = AS_OF - timedelta(days=days)
    return Case(case_id=f"c{kind}", lead_id="L1", opened_at=at, recorded_at=at, kind=kind, **own)


EVENTS = [
    event(1, 9, "webinar_attend", topic="mechanism_of_action", source="webinar_platform"),
    event(2, 5, topic="safety", depth="detailed", source="form"),
    event(3, 5, topic="safety", depth="detailed", source="form"),
    event(4, 2, "meeting_request", topic="scheduling", source="form"),
    event(5, 400, "webinar_attend", source="webinar_platform"),
    event(6, 1, "page_view", agent="bot", source="web_analytics"),
]
TOUCHES = [
    touch(1, 3, channel="email", intent="medical_education", asset_id="oncology_rx_evidence"),
    touch(2, 7, channel="rep_visit", intent="promotional"),
    touch(3, 4, channel="email", intent="medical_information", asset_id="medical_information_reply"),
]
CASES = [case("meeting", 8, closed_at=AS_OF - timedelta(days=7))]


def test_a_record_tells_the_history_newest_first_what_was_asked_and_what_was_shown(small_world: Path) -> None:
    found = record(small_world, events=EVENTS, touches=TOUCHES, cases=CASES)
    assert [(row["on"], row["what"], row.get("kind") or row["channel"]) for row in found["history"]] == [
        ("2026-06-28", "did", "meeting_request"),
        ("2026-06-27", "we sent", "email"),
        ("2026-06-25", "did", "download"),
        ("2026-06-23", "we sent", "rep_visit"),
        ("2026-06-22", "opened", "meeting"),
        ("2026-06-21", "did", "webinar_attend"),
    ]
    # Two equal downloads of a day are one row; a year ago is too long, and what a robot fetched nobody did.
    assert found["history"][2]["times"] == 2 and found["history"][4]["closed_on"] == "2026-06-23"
    assert found["history_left_out"] == {"older_or_further": 0, "likely_machine": 1}
    assert found["asked_about"] == [{"topic": "safety", "times": 2}, {"topic": "scheduling", "times": 1}]
    questions = found["open_questions"]
    assert questions[0] == {"from": "lead", "topic": "safety", "says": "asked 2 times about safety"}
    unknown = [one["fact"] for one in questions if one["from"] == "us"]
    assert {"subspecialty", "purchase_authority"} <= set(unknown) and not {"role", "specialty"} & set(unknown)
    assert found["may_do"]["shown_lately"] == ["oncology_rx_evidence"]
    assert found["who"]["account_id"] == "A1" and found["who"]["territory"] == "north"
    assert "nothing about prescribing" in found["limits"]


def test_the_order_of_rows_changes_no_record(small_world: Path) -> None:
    own = {"events": EVENTS, "touches": TOUCHES, "cases": CASES}
    turned = {name: list(reversed(rows)) for name, rows in own.items()}
    assert record(small_world, **own) == record(small_world, **turned)


def test_what_medical_information_answered_is_never_told_to_sales(small_world: Path) -> None:
    asked = [event(9, 3, "off_label_question", topic="dosing", source="medical_information")]
    closed = [case("off_label", 3, product="oncology_rx", closed_at=DAY)]
    found = record(small_world, events=EVENTS + asked, touches=TOUCHES, cases=CASES + closed)
    plain = record(small_world, events=EVENTS, touches=[one for one in TOUCHES if one.touch_id != "t3"], cases=CASES)
    for key in ("history", "asked_about", "open_questions", "why_now", "qualification", "who"):
        assert found[key] == plain[key]
    assert "medical_information_reply" not in json.dumps(found["history"])


@pytest.mark.parametrize("kind", ["off_label", "adverse_event", "complaint"])
def test_while_a_matter_of_the_person_is_open_nothing_is_handed_over(small_world: Path, kind: str) -> None:
    found = record(small_world, events=EVENTS, cases=[case(kind, 1, product="oncology_rx")])
    assert set(found) == {"lead_id", "as_of", "qualification", "route"}
    assert found["qualification"]["next"]["do"] == "wait"


def test_of_who_asked_to_be_forgotten_nothing_is_handed_over(small_world: Path) -> None:
    stop = Suppression(lead_id="L1", reason="erasure", since_at=DAY, recorded_at=DAY)
    found = record(small_world, events=EVENTS, suppressions=[stop])
    assert set(found) == {"lead_id", "as_of", "qualification", "route"}
    assert found["qualification"]["because"] == [["no_score", "known", "yes"]]


@pytest.fixture(scope="module")
def results(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The small world rescored in one partition, and in three."""
    out = tmp_path_factory.mktemp("handover")
    found = []
    for partitions in (1, 3):
        files = {name: path for name, path in find_files(small_world / "data").items() if name in FILES}
        rescore(
            files, small_world / "bundle", shipped(), out / str(partitions), datetime(2026, 6, 30, tzinfo=UTC),
            partitions=partitions, workers=1,
        )  # fmt: skip
        found.append(out / str(partitions))
    return found


FILES = ("leads", "accounts", "events", "consents", "touches", "suppressions", "cases")


def test_a_rescoring_writes_a_record_of_everybody_it_hands_over_however_it_is_partitioned(results: list[Path]) -> None:
    one, three = ((folder / "handovers.jsonl").read_text() for folder in results)
    assert one == three
    lines = [json.loads(line) for line in one.splitlines()]
    rows = pq.read_table(results[0] / "decisions").to_pylist()
    handed = {row["lead_id"] for row in rows if row["next"] == "hand_over"}
    assert handed and {line["lead_id"] for line in lines} == handed
    assert all(line["qualification"]["next"]["do"] == "hand_over" and line["history"] for line in lines)
    manifest = json.loads((results[0] / "manifest.json").read_text())
    assert sum(queue["handed_over"] for queue in manifest["handovers"].values()) == len(lines)
    assert "handovers.jsonl" in manifest["files"] and not (results[0] / "handed").exists()


READY = st.lists(st.tuples(st.sampled_from(["", "a", "b", "a,b"]), st.integers(1, 4), st.sampled_from([0.1, 0.2, 0.3])))


@settings(max_examples=60, deadline=None)
@given(st.lists(READY, min_size=1, max_size=3))
@example([[("a", 1, 0.1)], [("a", 1, 0.1)]])
@example([[("a", 2, 0.1), ("a,b", 2, 0.1)], [("b", 1, 0.3), ("a", 2, 0.2)], [("a,b", 2, 0.1)]])
def test_whoever_a_team_takes_has_a_record_whatever_the_partitions_were(parts: list[list[Any]]) -> None:
    teams = (Team(id="a", capacity_a_day=1), Team(id="b", capacity_a_day=2))
    actions = shipped().actions.model_copy(update={"teams": {"field_sales": teams}})
    own = shipped().model_copy(update={"actions": actions})
    floors, written, waiting = Floors(own), set(), []
    for number, part in enumerate(parts):
        index = pa.table(
            {
                "queue": ["field_sales"] * len(part),
                "teams": [one[0] for one in part],
                # Ids of later partitions come first, so that they win ties.
                "lead_id": [f"{9 - number}-{place}" for place in range(len(part))],
                "band": pa.array([one[1] for one in part], pa.int8()),
                "probability": [float(one[2]) for one in part],
                "start": [0] * len(part),
                "size": [0] * len(part),
            },
            schema=INDEX,
        ).sort_by([("band", "descending"), ("probability", "descending"), ("lead_id", "ascending")])
        written |= {lead_id for lead_id in _kept(index, own, floors.found) if lead_id}
        floors.add(index)
        listed = [[team for team in one.split(",") if team] for one in index["teams"].to_pylist()]
        waits = index.select(["queue", "lead_id", "band", "probability"])
        waits = waits.append_column("territory", pa.nulls(len(part), pa.string()))
        waiting.append(waits.append_column("teams", pa.array(listed, pa.list_(pa.string()))))
    routes = filled(waiting, {"field_sales": teams}).to_pylist()
    assert {row["lead_id"] for row in routes if row["team"]} <= written


def test_calls_are_ordered_by_relevance_then_engagement_and_only_of_who_may_be_called(results: list[Path]) -> None:
    plan = call_plan(results[0])
    calls = plan.calls.to_pylist()
    rows = {row["lead_id"]: row for row in pq.read_table(results[0] / "decisions").to_pylist()}
    handed = [row for row in rows.values() if row["next"] == "hand_over"]
    assert len(calls) + plan.not_permitted + plan.waiting == len(handed)
    assert [call["place"] for call in calls] == list(range(1, len(calls) + 1))
    grades = [(call["fit"], call["engagement"]) for call in calls]
    assert grades == sorted(grades)
    for call in calls:
        row = rows[call["lead_id"]]
        assert row[f"{call['by']}_permitted"] and call["valid_until"] == row[f"{call['by']}_valid_until"]
        assert call["due_at"] == row["handover_due_at"]
    with pytest.raises(InputInvalid, match="--team: expected one of"):
        call_plan(results[0], team="nobody")
    with pytest.raises(InputInvalid, match="expected a folder that `leadwell rescore --out` wrote"):
        call_plan(results[0] / "decisions")


def test_the_commands_write_a_plan_and_a_record(small_world: Path, results: list[Path], tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["calls", "--result", str(results[0]), "--out", str(tmp_path / "calls.csv")])
    assert run.exit_code == 0, run.output
    with (tmp_path / "calls.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert [row["lead_id"] for row in listed] == call_plan(results[0]).calls["lead_id"].to_pylist()
    data, bundle = str(small_world / "data"), str(small_world / "bundle")
    first = json.loads((results[0] / "handovers.jsonl").read_text().splitlines()[0])
    asked = CliRunner().invoke(app, ["request", first["lead_id"], "--data", data, "--bundle", bundle])
    (tmp_path / "lead.json").write_text(asked.stdout)
    called = ["handover", str(tmp_path / "lead.json"), "--bundle", bundle, "--data", data]
    told = CliRunner().invoke(app, [*called, "--audit", str(tmp_path / "audit"), "--json"])
    assert told.exit_code == 0, told.output
    (found,) = json.loads(told.stdout)["handovers"]
    for key in ("history", "who", "why_now", "asked_about"):
        assert found[key] == first[key]
    assert list((tmp_path / "audit").iterdir())
    shown = CliRunner().invoke(app, [*called, "--audit", str(tmp_path / "audit")])
    assert shown.exit_code == 0 and "Why now" in shown.output and "May be done" in shown.output
