"""Stages and lifecycles in the state of `leadwell segments apply`, by a hand-made timeline of three leads."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import InputInvalid
from configs.settings import Settings, load_settings
from features.intake.sources import find_files
from serving.memberships.apply import Applied, apply
from serving.memberships.forget import forget
from serving.memberships.stages import stage_moves, stages_in
from serving.memberships.state import read_state

DAY = datetime(2026, 6, 1, tzinfo=UTC)
Row = dict[str, Any]


@cache
def shipped() -> Settings:
    return load_settings()


def at(day: float) -> datetime:
    return DAY + timedelta(days=day)


def said(day: float) -> str:
    return at(day).isoformat()


def lead(lead_id: str, since: float = -3, **known: str) -> Row:
    return {"lead_id": lead_id, "recorded_at": said(since), "created_at": said(-3), "country": "US", "audience": "hcp",
            "source": "web_form", "product_interest": "implant", **known}  # fmt: skip


def event(event_id: str, lead_id: str, day: float, kind: str, about: str = "/", product: str = "implant") -> Row:
    topic, depth = about.split("/")
    return {"event_id": event_id, "lead_id": lead_id, "occurred_at": said(day), "recorded_at": said(day), "kind": kind,
            "topic": topic, "depth": depth, "product": product, "source": "crm"}  # fmt: skip


LEADS = [lead("L1"), lead("L2"), lead("L2", 10, product_interest="software"), lead("L3")]
EVENTS = [
    event("e1", "L1", -2, "webinar_attend", "clinical_evidence/detailed"),
    event("e2", "L1", 10, "demo_request"),
    event("e3", "L2", -2, "webinar_attend", "clinical_evidence/detailed"),
    event("e4", "L2", -2, "webinar_attend", "workflow/detailed", "software"),
    event("e5", "L3", -1, "demo_request"),
]
OBJECTS = [{"lead_id": "L3", "since_at": said(11), "reason": "restriction"}]


def write(folder: Path, **tables: list[Row]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    empty = {"suppressions": ["lead_id", "since_at", "reason"], "cases": ["case_id", "lead_id", "opened_at", "kind"],
             "consents": ["lead_id", "captured_at", "status", "channel", "purpose"]}  # fmt: skip
    for table, rows in ({name: [] for name in empty} | tables).items():
        names = list(dict.fromkeys([*empty.get(table, []), *(name for row in rows for name in row)]))
        with (folder / f"{table}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    return folder


def run(data: Path, out: Path, day: float) -> Applied:
    return apply(find_files(data), shipped(), out, at(day), suppressions_complete_as_of=at(day))


def told(out: Path, day: float, kind: str = "stage") -> dict[str, tuple[Any, ...]]:
    """What moved on a day, by lead: product before and now, old, new, the days that the old one lasted, and why."""
    rows = [row for row in stage_moves(out).to_pylist() if row["at"] == at(day) and row["kind"] == kind]
    return {
        row["id"]: (
            row["old_product"], row["product"], row["old"], row["new"],
            None if row["since"] is None else (row["at"] - row["since"]).days,
            [because["value"] for because in row["why"]],
        )
        for row in rows
    }  # fmt: skip


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data` and their `state` on days 0, 12 and 71; L3 objects on day 11."""
    folder = tmp_path_factory.mktemp("stages")
    data = write(folder / "data", leads=LEADS, events=EVENTS, suppressions=OBJECTS)
    for day in (0, 12, 71):
        run(data, folder / "state", day)
    return folder


def test_every_move_tells_old_new_since_when_and_why(begun: Path) -> None:
    out = begun / "state"
    reads = ["evidence: reads evidence, safety or workflow in detail", "session: attends a session"]
    assert told(out, 0) == {
        "L1": (None, "implant", None, "education", None, reads),
        "L2": (None, "implant", None, "education", None, reads),
        "L3": (None, "implant", None, "evaluation", None, ["tries: asks for a demonstration or a sample"]),
    }
    software = ["workflow: reads about workflow or integration", "session: attends a session"]
    assert told(out, 12) == {
        "L1": ("implant", "implant", "education", "evaluation", 12, ["tries: asks for a demonstration or a sample"]),
        # Another product is another journey, though the stage has the same name.
        "L2": ("implant", "software", "education", "education", 12, ["software", *software]),
        "L3": ("implant", None, "evaluation", None, 12, ["may not be profiled"]),
    }
    # The demonstration was asked for on day 10 and counts for 60 days; nothing of L1 was recorded since.
    fell = ["no signal of evaluation holds any more", *reads]
    assert told(out, 71) == {"L1": ("implant", "implant", "evaluation", "education", 59, fell)}


def test_a_lifecycle_moves_too_with_what_derived_it(begun: Path) -> None:
    out = begun / "state"
    new, active = "on record for 30 days at most", "did something within 90 days"
    assert told(out, 0, "lifecycle")["L1"] == (None, None, None, "new_prospect", None, [new])
    assert told(out, 12, "lifecycle") == {"L3": (None, None, "new_prospect", None, 12, ["may not be profiled"])}
    assert told(out, 71, "lifecycle")["L1"] == (None, None, "new_prospect", "active", 71, [active])


def test_the_state_is_where_all_moves_lead_and_of_who_objects_nothing_is_kept(begun: Path) -> None:
    state = read_state(begun / "state")
    table = stages_in(state)
    assert table is not None
    assert table.to_pylist() == [
        {"lead_id": "L1", "product": "implant", "stage": "education", "since": at(71), "lifecycle": "active",
         "lifecycle_since": at(71)},
        {"lead_id": "L2", "product": "software", "stage": "education", "since": at(12), "lifecycle": "active",
         "lifecycle_since": at(71)},
    ]  # fmt: skip
    last: dict[tuple[str, str], Row] = {}
    for row in stage_moves(begun / "state").to_pylist():
        assert row["old"] == last.get((row["id"], row["kind"]), {"new": None})["new"]
        last[row["id"], row["kind"]] = row
    here = {(row["lead_id"], kind): row[kind] for row in table.to_pylist() for kind in ("stage", "lifecycle")}
    assert {key: row["new"] for key, row in last.items() if row["new"]} == here


def test_a_second_run_moves_nobody_and_changes_no_file(begun: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(begun / "state", tmp_path / "state"))
    before = sorted(path.name for path in (out / "stage_moves").iterdir())
    done = run(begun / "data", out, 71)
    assert not done.changed
    assert done.stage_moves == {}
    assert sorted(path.name for path in (out / "stage_moves").iterdir()) == before


def test_a_lead_that_is_gone_has_no_stage_and_a_run_from_nothing_finds_the_same(begun: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(begun / "state", tmp_path / "state"))
    less = write(tmp_path / "less", leads=[LEADS[0]], events=EVENTS[:2], suppressions=OBJECTS)
    done = run(less, out, 72)
    assert told(out, 72) == {"L2": ("software", None, "education", None, 60, ["lead gone"])}
    assert done.stage_moves == {("stage", "education", ""): 1, ("lifecycle", "active", ""): 1}
    run(less, tmp_path / "anew", 72)
    # Those who are followed since yesterday are where a run that knows of no yesterday sees them.
    shown = [stages_in(read_state(folder)) for folder in (out, tmp_path / "anew")]
    assert [row["stage"] for table in shown if table is not None for row in table.to_pylist()] == ["education"] * 2


def test_nothing_of_an_erased_person_stays_and_a_changed_file_is_refused(begun: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(begun / "state", tmp_path / "state"))
    assert "L2" in stage_moves(out)["id"].to_pylist()
    gone = forget(out, ["L2"])
    assert gone["stages.parquet"] == 1
    assert sum(count for name, count in gone.items() if name.startswith("stage_moves/")) == 4
    assert "L2" not in stage_moves(out)["id"].to_pylist()
    for path in out.rglob("*.parquet"):
        assert "L2" not in {str(value) for row in pq.read_table(path).to_pylist() for value in row.values()}
    first = min((out / "stage_moves").iterdir())
    first.write_bytes(first.read_bytes() + b" ")
    with pytest.raises(InputInvalid, match="its hash differs"):
        stage_moves(out)


def test_the_command_shows_moves_of_one_lead_and_writes_all_of_them(begun: Path, tmp_path: Path) -> None:
    command = ["stages", "moves", str(begun / "state")]
    shown = CliRunner().invoke(app, [*command, "--lead", "L1", "--json"])
    assert shown.exit_code == 0
    found = [(row["kind"], row["old"], row["new"]) for row in json.loads(shown.output)]
    assert found == [("stage", None, "education"), ("lifecycle", None, "new_prospect"),
                     ("stage", "education", "evaluation"),
                     ("stage", "evaluation", "education"), ("lifecycle", "new_prospect", "active")]  # fmt: skip
    written = tmp_path / "moves.csv"
    assert CliRunner().invoke(app, [*command, "--csv", str(written)]).exit_code == 0
    with written.open() as file:
        assert len(list(csv.DictReader(file))) == stage_moves(begun / "state").num_rows
    wrong = CliRunner().invoke(app, ["stages", "moves", str(tmp_path)])
    assert isinstance(wrong.exception, InputInvalid)


def test_a_move_after_the_rules_changed_says_so(begun: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(begun / "state", tmp_path / "state"))
    shipped_journeys = shipped().journeys
    without = tuple(
        journey.model_copy(update={"signals": tuple(s for s in journey.signals if s.stage != "education")})
        for journey in shipped_journeys.journeys
    )
    changed = shipped().model_copy(update={"journeys": shipped_journeys.model_copy(update={"journeys": without})})
    apply(find_files(begun / "data"), changed, out, at(71.5), suppressions_complete_as_of=at(71.5))
    says = "journeys.yaml says something else than at the last run"
    assert told(out, 71.5)["L1"] == (
        "implant", None, "education", None, 0, [says, "no signal of its journey holds any more"],
    )  # fmt: skip


REQUEST = {
    "as_of": said(12),
    "leads": [
        {
            "lead": {**LEADS[0], "lead_id": "L1"},
            "events": [
                {name: value for name, value in row.items() if value} for row in EVENTS if row["lead_id"] == "L1"
            ],
        }
    ],
}


def test_the_command_explains_a_lead_signal_by_signal(tmp_path: Path) -> None:
    body = tmp_path / "lead.json"
    body.write_text(json.dumps(REQUEST))
    shown = CliRunner().invoke(app, ["stages", "explain", str(body), "--json"])
    assert shown.exit_code == 0
    (found,) = json.loads(shown.output)
    assert (found["stage"], found["evidence"], found["next_moment"]) == ("evaluation", "fair", "training_planning")
    holding = {signal["id"]: signal["counted"] for signal in found["signals"] if signal["holds"]}
    assert holding == {"evidence": 1, "session": 1, "tries": 1}
    spoken = CliRunner().invoke(app, ["stages", "explain", str(body)])
    assert "evaluation" in spoken.output
    assert "fair: 1 event shows it, 100 % of what it did lately is tracked" in " ".join(spoken.output.split())


@pytest.mark.parametrize("reason", ["erasure", "restriction"])
def test_the_command_explains_nothing_of_who_may_surely_not_be_profiled(tmp_path: Path, reason: str) -> None:
    (one,) = REQUEST["leads"]
    stopped = {"lead_id": "L1", "reason": reason, "since_at": said(0), "recorded_at": said(0)}
    body = tmp_path / "lead.json"
    body.write_text(json.dumps({**REQUEST, "leads": [{**one, "suppressions": [stopped]}]}))  # type: ignore[dict-item]
    shown = CliRunner().invoke(app, ["stages", "explain", str(body), "--json"])
    assert shown.exit_code == 0 and json.loads(shown.output) == [{"lead_id": "L1", "withheld": "may not be profiled"}]
    spoken = CliRunner().invoke(app, ["stages", "explain", str(body)])
    assert "L1" in spoken.output and "may not be profiled" in spoken.output and "evaluation" not in spoken.output


def test_the_command_shows_a_journey_and_names_the_nearest_where_there_is_none() -> None:
    shown = CliRunner().invoke(app, ["stages", "show", "software"])
    assert shown.exit_code == 0
    assert "reads technical documents" in " ".join(shown.output.split())
    wrong = CliRunner().invoke(app, ["stages", "show", "implnt"])
    assert isinstance(wrong.exception, InputInvalid)
    assert "did you mean implant" in str(wrong.exception)
