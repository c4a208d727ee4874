"""`segments apply` on days of data: moves between them, nothing twice, whole or not at all, triggers and overlays."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import serving.memberships.apply as module
from cli.app import app
from configs.errors import InputInvalid
from configs.settings import Settings, load_settings
from configs.triggers import Occurrence
from features.evaluate import Domain
from features.intake.sources import find_files, read_tables
from models.segments.map import SegmentMap
from serving.decide import Decider
from serving.files import sha256_of
from serving.memberships.apply import Applied, apply
from serving.memberships.forget import forget
from serving.memberships.readiness_file import told_by
from serving.memberships.state import read_state
from serving.render import render
from serving.rescore import rescore

DAY = datetime(2026, 6, 1, tzinfo=UTC)
ONCOLOGIST = {"audience": "hcp", "specialty": "oncology", "account_id": "community"}
Row = dict[str, Any]


@cache
def shipped() -> Settings:
    return load_settings()


def at(day: float) -> datetime:
    return DAY + timedelta(days=day)


def said(day: float) -> str:
    return at(day).isoformat()


def lead(lead_id: str, since: float = -30, **known: str) -> Row:
    return {"lead_id": lead_id, "recorded_at": said(since), "country": "US", **ONCOLOGIST, **known}


# Enough leads of no segment that no segment holds too large a part of all.
OTHERS = [{**lead(f"other{n}", specialty="neurology"), "account_id": "community"} for n in range(12)]
ACCOUNTS = [{"account_id": "community", "recorded_at": said(-60), "care_setting": "community"},
            {"account_id": "academic", "recorded_at": said(-60), "care_setting": "academic"}]  # fmt: skip
ONE = "onc_community_center"


def write(folder: Path, **tables: list[Row]) -> Path:
    """A folder of CSV files; leads, accounts, and empty tables of stops, where none are given."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"accounts": ACCOUNTS, "suppressions": [], "cases": [], "consents": [], "events": []} | tables
    columns = {
        "suppressions": ["lead_id", "since_at", "reason", "scope", "channel"],
        "cases": ["case_id", "lead_id", "opened_at", "recorded_at", "kind", "closed_at"],
        "consents": ["lead_id", "captured_at", "status", "channel", "purpose", "kind"],
        "events": ["event_id", "lead_id", "occurred_at", "recorded_at", "kind"],
        "leads": ["lead_id", "recorded_at", "account_id"],
    }
    for table, rows in tables.items():
        names = list(dict.fromkeys([*columns.get(table, []), *(name for row in rows for name in row)]))
        with (folder / f"{table}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    return folder


def run(data: Path, out: Path, day: float, settings: Settings | None = None, **rest: Any) -> Applied:
    return apply(find_files(data), settings or shipped(), out, at(day), suppressions_complete_as_of=at(day), **rest)


def moves(done: Applied) -> list[Row]:
    """The moves of the last run."""
    files = sorted((done.state / "moves").iterdir())
    found: list[Row] = pq.read_table(files[-1]).to_pylist()
    return found


def told(done: Applied, lead_id: str) -> list[tuple[str, str, str | None, str | None]]:
    return [(m["segment_id"], m["kind"], m["old"], m["new"]) for m in moves(done) if m["id"] == lead_id]


def why(done: Applied, lead_id: str, kind: str, segment: str = ONE) -> list[list[str | None]]:
    (one,) = (m for m in moves(done) if (m["id"], m["kind"], m["segment_id"]) == (lead_id, kind, segment))
    return [[part["fact"], part["known"], part["value"]] for part in one["why"]]


def contents(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): sha256_of(path) for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, one oncologist among others, and their `state` on day 0."""
    folder = tmp_path_factory.mktemp("begun")
    run(write(folder / "data", leads=[lead("L1"), *OTHERS]), folder / "state", 0)
    return folder


def copied(begun: Path, folder: Path) -> tuple[Path, Path]:
    """The same data, and a state of one's own."""
    shutil.copytree(begun / "state", folder / "state")
    return begun / "data", folder / "state"


# --- days, by hand ---------------------------------------------------------------------------------------------------


def test_a_timeline_of_a_lead_that_comes_meets_us_moves_away_and_returns(tmp_path: Path) -> None:
    own = next(segment for segment in shipped().segments if segment.id == ONE)
    dwell = own.min_dwell_days
    leads = [lead("L1"), lead("L1", dwell + 6, account_id="academic"), lead("L1", dwell + 9), *OTHERS]
    meeting = {"case_id": "c", "lead_id": "L1", "opened_at": said(1), "recorded_at": said(1), "kind": "meeting"}
    closed = {**meeting, "recorded_at": said(3), "closed_at": said(3)}
    data, out = write(tmp_path / "data", leads=leads, cases=[meeting, closed]), tmp_path / "state"
    assert told(run(data, out, 0), "L1") == [(ONE, "entered", None, "active")]
    assert told(run(data, out, 2), "L1") == [(ONE, "status", "active", "paused")]
    third = run(data, out, 4)
    assert told(third, "L1") == [(ONE, "status", "paused", "follow_up")]
    assert ["days_since_meeting", "known", "1"] in why(third, "L1", "status")
    away = run(data, out, dwell + 7)
    # The row ends with the status it had when last seen.
    assert (ONE, "left", "follow_up", None) in told(away, "L1")
    assert ("unsegmented", "primary", ONE, "unsegmented") in told(away, "L1")
    assert ["care_setting", "known", "academic"] in why(away, "L1", "left")
    back = run(data, out, dwell + 10 + dwell)
    (entered,) = (m for m in moves(back) if (m["id"], m["kind"], m["segment_id"]) == ("L1", "entered", ONE))
    assert entered["entry"] == 2
    assert entered["segment_map"] == SegmentMap.load(shipped()).hash
    state = read_state(out)
    assert state is not None
    assert [run["moves"] for run in state.runs][1:3] == [1, 1]


def test_a_first_run_goes_on_from_memberships_that_the_data_have(tmp_path: Path) -> None:
    earlier = {"lead_id": "L1", "segment_id": ONE, "version": 1, "entered_at": said(-20), "left_at": "", "entry": 3}
    retired = {**earlier, "segment_id": "an_old_one", "entry": 1}
    data = write(tmp_path / "data", leads=[lead("L1"), *OTHERS], memberships=[earlier, retired])
    done = run(data, tmp_path / "state", 0)
    assert [kind for _, kind, _, _ in told(done, "L1")][-1:] == ["left"]
    assert why(done, "L1", "left", "an_old_one") == [["reason", "known", "retired"]]
    state = read_state(tmp_path / "state")
    assert state is not None
    (row,) = (row for row in state.memberships.to_pylist() if row["lead_id"] == "L1")
    assert (row["entered_at"], row["entry"], row["primary"]) == (at(-20), 3, True)


def test_the_same_instant_and_data_again_change_nothing_not_even_a_byte(begun: Path, tmp_path: Path) -> None:
    data, out = copied(begun, tmp_path)
    before = contents(out)
    again = run(data, out, 0)
    assert not again.changed
    assert sum(again.moves.values()) == 0
    assert contents(out) == before


def test_corrected_data_of_the_same_instant_give_their_moves(tmp_path: Path) -> None:
    out = tmp_path / "state"
    run(write(tmp_path / "a", leads=[lead("L1", specialty="neurology"), *OTHERS]), out, 0)
    done = run(write(tmp_path / "b", leads=[lead("L1"), *OTHERS]), out, 0)
    assert done.changed
    assert (ONE, "entered", None, "active") in told(done, "L1")


def test_an_instant_before_that_of_the_state_is_refused(tmp_path: Path) -> None:
    data, out = write(tmp_path / "data", leads=[lead("L1"), *OTHERS]), tmp_path / "state"
    run(data, out, 1)
    with pytest.raises(InputInvalid, match="not before that of the state"):
        run(data, out, 0)


def test_a_lead_that_vanished_leaves_and_nothing_of_it_stays(tmp_path: Path) -> None:
    out = tmp_path / "state"
    run(write(tmp_path / "a", leads=[lead("L1"), lead("L2"), *OTHERS]), out, 0)
    done = run(write(tmp_path / "b", leads=[lead("L2"), *OTHERS]), out, 1)
    assert told(done, "L1") == [(ONE, "left", "active", None)]
    assert why(done, "L1", "left") == [["reason", "known", "lead gone"]]
    state = read_state(out)
    assert state is not None
    assert "L1" not in state.memberships["lead_id"].to_pylist()
    assert done.after[ONE] == 1


def test_a_merged_lead_leaves_and_its_person_keeps_the_membership(tmp_path: Path) -> None:
    out = tmp_path / "state"
    rows = [lead("A", created_at=said(-40)), lead("B", created_at=said(-35)), *OTHERS]
    run(write(tmp_path / "a", leads=rows), out, 0)
    link = {"lead_id": "A", "other_lead_id": "B", "linked_at": said(0.5), "kind": "same"}
    done = run(write(tmp_path / "b", leads=rows, links=[link]), out, 1)
    assert told(done, "B") == [(ONE, "left", "active", None)]
    assert why(done, "B", "left") == [["reason", "known", "merged into another lead"]]
    assert told(done, "A") == []


def test_an_account_has_the_segments_of_a_person_whose_other_record_names_it(tmp_path: Path) -> None:
    hospital = {"account_id": "hospital", "recorded_at": said(-60), "organization_type": "health_system",
                "integration_need": "ehr"}  # fmt: skip
    asks = {"specialty": "neurology", "product_interest": "software"}
    first, second = (lead(name, created_at=said(day), **asks) for name, day in (("A", -40), ("B", -35)))
    rows = [{**first, "account_id": ""}, {**second, "account_id": "hospital"}, *OTHERS]
    link = {"lead_id": "A", "other_lead_id": "B", "linked_at": said(-10), "kind": "same"}
    out = tmp_path / "state"
    run(write(tmp_path / "a", leads=rows, accounts=[*ACCOUNTS, hospital], links=[link]), out, 0)
    held = pq.read_table(out / "account_memberships.parquet").to_pylist()
    assert [(one["account_id"], one["segment_id"], one["people"]) for one in held] == [
        ("hospital", "software_ehr_health_system", 1)
    ]


@pytest.mark.parametrize(("country", "reason"), [("DE", "profiling_objection"), ("US", "erasure")])
def test_who_may_not_be_profiled_leaves_every_segment_and_nothing_is_kept(
    tmp_path: Path, country: str, reason: str
) -> None:
    out, rows = tmp_path / "state", [lead("L1", country=country), *OTHERS]
    run(write(tmp_path / "a", leads=rows), out, 0)
    stop = {"lead_id": "L1", "since_at": said(0.5), "reason": reason, "scope": "all"}
    done = run(write(tmp_path / "b", leads=rows, suppressions=[stop]), out, 1)
    assert why(done, "L1", "left") == [["reason", "known", "may not be profiled"]]
    state = read_state(out)
    assert state is not None
    assert "L1" not in state.memberships["lead_id"].to_pylist()
    # Nor what they do and treat, which triggers would compare; and a visit of theirs fires nothing.
    assert "L1" not in state.watched["lead_id"].to_pylist()
    visit = {
        "event_id": "e",
        "lead_id": "L1",
        "occurred_at": said(1.5),
        "recorded_at": said(1.5),
        "kind": "field_visit",
    }
    later = run(write(tmp_path / "c", leads=rows, suppressions=[stop], events=[visit]), out, 2)
    assert (later.placed, later.forbidden, dict(later.fired)) == (1, 1, {})


def test_without_fresh_stops_everybody_stays_as_they_were(begun: Path, tmp_path: Path) -> None:
    data, out = copied(begun, tmp_path)
    before = read_state(out)
    done = apply(find_files(data), shipped(), out, at(3), suppressions_complete_as_of=at(0))
    assert done.unsure == 13
    assert sum(done.moves.values()) == 0
    after = read_state(out)
    assert before is not None
    assert after is not None
    assert after.memberships.equals(before.memberships)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "retired", "approval": None}, "retired"),
        ({"status": "draft", "approval": None}, "not approved"),
        ({}, "approval expired"),
    ],
)
def test_a_segment_that_is_not_active_any_more_says_why_its_members_left(
    begun: Path, tmp_path: Path, change: Row, reason: str
) -> None:
    data, out = copied(begun, tmp_path)
    own = next(segment for segment in shipped().segments if segment.id == ONE)
    assert own.approval is not None
    if not change:
        change = {"approval": own.approval.model_copy(update={"expires_on": at(0).date()})}
    others = [segment for segment in shipped().segments if segment.id != ONE]
    settings = shipped().model_copy(update={"segments": (*others, own.model_copy(update=change))})
    done = run(data, out, 1, settings)
    assert why(done, "L1", "left") == [["reason", "known", reason]]
    assert ("unsegmented", "entered", None, "active") in told(done, "L1")
    # When it is in use again nothing bars who was in it: leaving was not their doing.
    never = own.model_copy(update={"reentry": "never"})
    run(data, out, 2, shipped().model_copy(update={"segments": (*others, never)}))
    state = read_state(out)
    assert state is not None
    rows = [row for row in state.memberships.to_pylist() if (row["lead_id"], row["segment_id"]) == ("L1", ONE)]
    assert [(row["left_at"], row["entry"]) for row in rows] == [(None, 1)]


def test_an_approval_that_ran_out_ends_memberships_also_of_whom_nobody_knows_whether_they_may_be_profiled(
    begun: Path, tmp_path: Path
) -> None:
    data, out = copied(begun, tmp_path)
    own = next(segment for segment in shipped().segments if segment.id == ONE)
    assert own.approval is not None
    over = own.model_copy(update={"approval": own.approval.model_copy(update={"expires_on": at(0).date()})})
    others = [segment for segment in shipped().segments if segment.id != ONE]
    settings = shipped().model_copy(update={"segments": (*others, over)})
    done = apply(find_files(data), settings, out, at(3), suppressions_complete_as_of=at(0))
    # They enter nothing meanwhile, not even the residual segment.
    assert (done.unsure, told(done, "L1")) == (13, [(ONE, "left", "active", None)])


def test_a_new_version_of_a_definition_is_a_move_of_every_member(begun: Path, tmp_path: Path) -> None:
    data, out = copied(begun, tmp_path)
    segments = tuple(
        segment.model_copy(update={"version": segment.version + 1}) if segment.id == ONE else segment
        for segment in shipped().segments
    )
    done = run(data, out, 1, shipped().model_copy(update={"segments": segments}))
    (old, new) = next((move["old"], move["new"]) for move in moves(done) if move["kind"] == "version")
    assert int(new) == int(old) + 1
    assert done.moves == {(ONE, "version"): 1}


def test_empty_data_answer(tmp_path: Path) -> None:
    out = tmp_path / "state"
    done = run(write(tmp_path / "data", leads=[]), out, 0)
    assert (done.leads, done.changed, sum(done.moves.values())) == (0, True, 0)
    assert not run(tmp_path / "data", out, 0).changed
    assert run(write(tmp_path / "more", leads=[lead("L1"), *OTHERS]), out, 1).after[ONE] == 1


@pytest.mark.slow
def test_the_order_of_rows_changes_no_byte_of_memberships_and_moves(tmp_path: Path) -> None:
    rows = [*(lead(f"L{n}", specialty=("oncology", "cardiology", "neurology")[n % 3]) for n in range(9)), *OTHERS]
    found = []
    for name, ordered in (("a", rows), ("b", rows[::-1])):
        run(write(tmp_path / name, leads=ordered[3:]), tmp_path / f"state_{name}", 0)
        run(write(tmp_path / name, leads=ordered), tmp_path / f"state_{name}", 1)
        found.append(pq.read_table(tmp_path / f"state_{name}" / "memberships.parquet"))
    gone = set(found[0]["lead_id"].to_pylist()) ^ set(found[1]["lead_id"].to_pylist())
    assert not gone
    run(write(tmp_path / "c", leads=rows), tmp_path / "c_state", 0)
    run(write(tmp_path / "d", leads=rows[::-1]), tmp_path / "d_state", 0)
    assert {n: h for n, h in contents(tmp_path / "c_state").items() if n != "manifest.json"} == {
        n: h for n, h in contents(tmp_path / "d_state").items() if n != "manifest.json"
    }


# --- the state on disk -----------------------------------------------------------------------------------------------


def test_a_run_that_dies_leaves_the_old_state(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, out = copied(begun, tmp_path)
    before, real = contents(out), module.write_state

    def dies(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_state", dies)
    with pytest.raises(KeyboardInterrupt):
        run(data, out, 1)
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".state.partial")] == []
    monkeypatch.setattr(module, "write_state", real)
    assert run(data, out, 1).changed


@pytest.mark.parametrize("broken", ["memberships.parquet", "watched.parquet", "manifest.json"])
def test_a_damaged_state_is_refused_by_name(begun: Path, tmp_path: Path, broken: str) -> None:
    data, out = copied(begun, tmp_path)
    (out / broken).write_bytes(b"{}")
    with pytest.raises(InputInvalid, match=broken):
        run(data, out, 1)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    data, out = write(tmp_path / "data", leads=[lead("L1"), *OTHERS]), tmp_path / "scores"
    out.mkdir()
    (out / "manifest.json").write_text(json.dumps({"as_of": said(0), "merkle_root": "x"}))
    with pytest.raises(InputInvalid, match="manifest"):
        run(data, out, 0)


def test_every_run_adds_a_file_of_moves_and_keeps_the_others(tmp_path: Path) -> None:
    data, out = write(tmp_path / "data", leads=[lead("L1"), *OTHERS]), tmp_path / "state"
    seen: dict[str, str] = {}
    for day in range(3):
        run(data, out, day)
        now = {name: digest for name, digest in contents(out).items() if name.startswith("moves/")}
        assert seen.items() <= now.items()
        assert len(now) == day + 1
        seen = now
    manifest = json.loads((out / "manifest.json").read_text())
    assert [one["sha256"] for one in manifest["runs"]] == [seen[one["file"]] for one in manifest["runs"]]


# --- triggers --------------------------------------------------------------------------------------------------------


def test_triggers_name_what_made_a_move_due(tmp_path: Path) -> None:
    out = tmp_path / "state"
    nurse = lead("N", role="nurse", account_id="academic")
    run(write(tmp_path / "a", leads=[nurse, lead("R", role="nurse"), lead("M"), *OTHERS]), out, 0)
    webinar = {"event_id": "e", "lead_id": "N", "occurred_at": said(0.5), "recorded_at": said(0.5),
               "kind": "webinar_attend"}  # fmt: skip
    after = [nurse, lead("R", 0.5, role="pharmacist", specialty="neurology"), lead("M", 0.5, account_id="academic"),
             lead("new"), *OTHERS]  # fmt: skip
    done = run(write(tmp_path / "b", leads=after, events=[webinar]), out, 1)
    fired = {name: count for name, count in done.fired.items() if name != "trigger_profile_completed"}
    assert fired == {
        "trigger_new_oncology": 1,
        "trigger_webinar_clinical_title": 1,
        "trigger_new_lead": 1,
        "trigger_role_change": 1,
        "trigger_specialty_change": 1,
        "trigger_affiliation_change": 1,
        "trigger_restructure": 1,
    }
    entered = next(move for move in moves(done) if move["id"] == "new" and move["kind"] == "entered")
    assert sorted(entered["triggers"]) == ["trigger_new_lead", "trigger_new_oncology"]
    # Told again nothing fires: the webinar, the role and the lead are known.
    assert dict(run(tmp_path / "b", out, 2).fired) == {}


def test_an_organization_with_a_new_parent_makes_its_people_due(tmp_path: Path) -> None:
    out, rows = tmp_path / "state", [lead("L1"), *OTHERS]
    systems = [{"account_id": name, "recorded_at": said(-60)} for name in ("system", "other_system")]
    site = {
        "account_id": "community",
        "recorded_at": said(-60),
        "care_setting": "community",
        "parent_account_id": "system",
    }
    run(write(tmp_path / "a", leads=rows, accounts=[site, *systems]), out, 0)
    sold = {**site, "recorded_at": said(0.5), "parent_account_id": "other_system"}
    done = run(write(tmp_path / "b", leads=rows, accounts=[site, sold, *systems]), out, 1)
    assert done.fired == {"trigger_restructure": 13}


def test_a_launch_fires_once_for_whom_it_concerns(tmp_path: Path) -> None:
    launch = Occurrence(on=at(1).date(), says="a launch")
    triggers = tuple(
        trigger.model_copy(update={"occurs": (launch,)}) if trigger.id == "trigger_launch_implant" else trigger
        for trigger in shipped().triggers
    )
    settings = shipped().model_copy(update={"triggers": triggers})
    data = write(tmp_path / "data", leads=[lead("L1", product_interest="implant"), lead("L2"), *OTHERS])
    fired = [dict(run(data, tmp_path / "state", day, settings).fired) for day in (0, 1, 2)]
    assert fired == [{}, {"trigger_launch_implant": 1}, {}]


# --- overlays, and what rescore and the service make of the state ----------------------------------------------------


def with_overlay(settings: Settings) -> Settings:
    """The settings with one more approved definition, for whom readiness is not low."""
    own = next(segment for segment in settings.segments if segment.id == ONE)
    warm = {"id": "zz_warm", "priority": 9999, "enter": "band IN ('warming', 'warm', 'hot')", "exit": "readiness < 5",
            "fallback": (), "min_dwell_days": 0}  # fmt: skip
    return settings.model_copy(update={"segments": (*settings.segments, own.model_copy(update=warm))})


def decider_with_overlay(small_world: Path) -> Decider:
    """The small bundle's decider over a map with an overlay besides."""
    settings = with_overlay(shipped())
    found = Decider.load(small_world / "bundle", settings, on=datetime(2026, 6, 30, tzinfo=UTC).date())
    return replace(found, segment_map=SegmentMap.load(settings, Domain.of(settings)))


AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


def test_overlays_come_after_readiness_the_same_for_one_lead_as_for_all(small_world: Path) -> None:
    decider, plain = decider_with_overlay(small_world), Decider.load(small_world / "bundle", shipped(), on=AS_OF.date())
    tables = read_tables(find_files(small_world / "data"), shipped(), assets=shipped().assets, as_of=AS_OF).tables
    every, without = decider.decide(tables, AS_OF), plain.decide(tables, AS_OF)
    place = every.members.segment_ids.index("zz_warm")
    warm = every.members.member[:, place]
    assert 0 < warm.sum() < len(warm)
    np.testing.assert_array_equal(warm, (every.scores.band >= 2) & ~every.rulings.no_score)
    # No rule, no probability and no primary segment knows of it.
    for name in ("blocks", "permits", "permitted"):
        np.testing.assert_array_equal(getattr(every.rulings, name), getattr(without.rulings, name))
    np.testing.assert_array_equal(every.scores.probability, without.scores.probability)
    np.testing.assert_array_equal(every.members.primary, without.members.primary)
    for row in (int(np.flatnonzero(warm)[0]), int(np.flatnonzero(~warm)[0])):
        one = render(every, row)["segments"]
        shown = [segment for segment in one if segment["id"] == "zz_warm"]
        assert bool(shown) is bool(warm[row])
        if shown:
            assert shown[0]["overlay"]
            assert not shown[0]["primary"]
            assert ["band", "known", decider.readiness.band_name(int(every.scores.band[row]))] in shown[0]["because"]
            alone = decider.decide(rows_of_one(tables, row), AS_OF)
            assert [s["id"] for s in render(alone, 0)["segments"]] == [s["id"] for s in one]


def rows_of_one(tables: Any, row: int) -> Any:
    """The tables without the versions of any other lead."""
    from features.fingerprint import only

    chosen = np.zeros(len(tables.lead_ids), dtype=np.bool_)
    chosen[row] = True
    return only(tables, chosen)


@pytest.mark.slow
def test_overlays_wait_for_scores_of_the_same_instant_and_then_follow_them(small_world: Path, tmp_path: Path) -> None:
    settings, files, out = with_overlay(shipped()), find_files(small_world / "data"), tmp_path / "state"
    waiting = apply(files, settings, out, AS_OF)
    assert waiting.waiting == ("zz_warm",)
    assert waiting.after["zz_warm"] == 0
    rescore(files, small_world / "bundle", shipped(), tmp_path / "scores", AS_OF, workers=1)
    done = apply(files, settings, out, AS_OF, scores=tmp_path / "scores")
    table = pq.read_table(tmp_path / "scores" / "decisions", columns=["lead_id", "band"]).to_pylist()
    warm = {row["lead_id"] for row in table if row["band"] in ("warming", "warm", "hot")}
    state = read_state(out)
    assert state is not None
    rows = state.memberships.to_pylist()
    assert {row["lead_id"] for row in rows if row["segment_id"] == "zz_warm"} == warm
    assert not any(row["primary"] for row in rows if row["segment_id"] == "zz_warm")
    assert done.waiting == ()
    # Without scores the next night they stay as they are; what a status says of them does not wait.
    later = apply(files, settings, out, AS_OF + timedelta(hours=2))
    assert later.after["zz_warm"] == len(warm)
    with pytest.raises(InputInvalid, match="rescore for this instant"):
        apply(files, settings, out, AS_OF + timedelta(hours=3), scores=tmp_path / "scores")


@pytest.mark.slow
def test_rescore_goes_on_from_the_memberships_of_the_state(small_world: Path, tmp_path: Path) -> None:
    files, out = find_files(small_world / "data"), tmp_path / "state"
    apply(files, shipped(), out, AS_OF - timedelta(days=3), suppressions_complete_as_of=AS_OF - timedelta(days=3))
    done = apply(files, shipped(), out, AS_OF)
    given = {**files, "memberships": out / "memberships.parquet"}
    tables = read_tables(given, shipped(), assets=shipped().assets, as_of=AS_OF).tables
    decided = Decider.load(small_world / "bundle", shipped(), on=AS_OF.date()).decide(tables, AS_OF)
    state = read_state(out)
    assert state is not None
    rows = {(row["lead_id"], row["segment_id"]): row for row in state.memberships.to_pylist() if row["left_at"] is None}
    shown = {}
    for row in np.flatnonzero(~decided.rulings.no_score).tolist():
        answer = render(decided, row)
        for segment in answer["segments"]:
            shown[answer["lead_id"], segment["id"]] = segment
    assert set(shown) == set(rows)
    assert sum(done.after.values()) == len(rows)
    for key, segment in shown.items():
        row = rows[key]
        since = row["entered_at"].astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        expected = (since, row["entry"], row["status"], row["primary"])
        assert (segment["entered_at"], segment["entry"], segment["status"], segment["primary"]) == expected
    assert {segment["status"] for segment in shown.values()} >= {"active", "paused"}
    assert pa.types.is_timestamp(state.memberships.schema.field("entered_at").type)


def scores(folder: Path, *lead_ids: str) -> Path:
    """A result of `rescore` as of day 0, as far as it is read here."""
    part = folder / "decisions" / "part-00000.parquet"
    part.parent.mkdir(parents=True)
    n = len(lead_ids)
    pq.write_table(pa.table({"lead_id": list(lead_ids), "band": ["hot"] * n, "probability": [0.5] * n}), part)
    files = {"decisions/part-00000.parquet": {"sha256": sha256_of(part)}}
    manifest = {"as_of": said(0), "merkle_root": "m", "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_scores_are_those_of_these_leads_and_whole_or_they_are_refused(tmp_path: Path) -> None:
    ids = np.array(["L1", "L2"], dtype=object)
    told = told_by(scores(tmp_path / "scores", "L2", "L3"), at(0), ids)
    assert (told.band[0], np.isnan(told.probability[0]), told.probability[1]) == (0, True, 0.5)
    with pytest.raises(InputInvalid, match="expected scores of these leads"):
        told_by(scores(tmp_path / "others", "K1"), at(0), ids)
    part = tmp_path / "scores" / "decisions" / "part-00000.parquet"
    part.write_bytes(part.read_bytes() + b" ")
    with pytest.raises(InputInvalid, match=r"part-00000\.parquet: expected the file that the manifest names"):
        told_by(tmp_path / "scores", at(0), ids)
    part.unlink()
    with pytest.raises(InputInvalid, match=r"part-00000\.parquet: expected the file that the manifest names"):
        told_by(tmp_path / "scores", at(0), ids)
    (tmp_path / "scores" / "manifest.json").write_text("[]")
    with pytest.raises(InputInvalid, match="expected the result of `leadwell rescore --out`"):
        told_by(tmp_path / "scores", at(0), ids)


# --- only what changed -----------------------------------------------------------------------------------------------


def forget_marks(out: Path) -> None:
    """Make the next run place everybody: its marks are of other rules."""
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "epoch": "of other rules"}))


@pytest.mark.slow
def test_placing_whom_something_changed_for_gives_the_state_and_the_moves_of_placing_everybody(tmp_path: Path) -> None:
    random, placed, asked = np.random.default_rng(3), 0, 0
    rows = {f"L{n}": lead(f"L{n}") for n in range(30)}
    tables: dict[str, list[Row]] = {"leads": [], "cases": [], "events": [], "suppressions": []}
    some, everybody = tmp_path / "some", tmp_path / "everybody"
    for day in (0, 1, 2, 3, 9, 40):
        for lead_id in random.permutation(list(rows))[:5].tolist():
            change = random.choice(["specialty", "account", "meeting", "webinar", "stop", "gone"])
            since = said(day - 0.3)
            if change == "specialty":
                rows[lead_id] = {
                    **rows[lead_id],
                    "recorded_at": since,
                    "specialty": str(random.choice(["neurology", "oncology"])),
                }
            elif change == "account":
                rows[lead_id] = {
                    **rows[lead_id],
                    "recorded_at": since,
                    "account_id": str(random.choice(["academic", "community"])),
                }
            elif change == "meeting":
                closed = {"recorded_at": said(day - 0.1), "closed_at": said(day - 0.1)} if random.random() < 0.5 else {}
                tables["cases"].append({"case_id": f"{day}{lead_id}", "lead_id": lead_id, "opened_at": since,
                                        "recorded_at": since, "kind": "meeting", **closed})  # fmt: skip
            elif change == "webinar":
                tables["events"].append({"event_id": f"{day}{lead_id}", "lead_id": lead_id, "occurred_at": since,
                                         "recorded_at": since, "kind": "webinar_attend"})  # fmt: skip
            elif change == "stop":
                reason = str(random.choice(["reduced_communication", "erasure"]))
                tables["suppressions"].append({"lead_id": lead_id, "since_at": since, "reason": reason, "scope": "all"})
            elif day > 1:
                del rows[lead_id]
        known = {name: [row for row in found if row["lead_id"] in rows] for name, found in tables.items()}
        data = write(tmp_path / f"day{day}", **{**known, "leads": [*rows.values(), *OTHERS]})
        if day:
            forget_marks(everybody)
        one, two = run(data, some, day), run(data, everybody, day)
        placed, asked = placed + one.placed * bool(day), asked + one.leads * bool(day)
        assert two.placed == two.leads
        assert replace(one, state=two.state, placed=0, everybody="") == replace(two, placed=0, everybody="")
        for name in ("memberships.parquet", "watched.parquet"):
            assert pq.read_table(some / name).equals(pq.read_table(everybody / name)), (day, name)
        assert moves(one) == moves(two)
    assert 0 < placed < asked * 0.7


# --- erasure ---------------------------------------------------------------------------------------------------------


def test_an_erasure_leaves_nothing_of_a_person_in_any_night_and_everybody_else_as_they_were(tmp_path: Path) -> None:
    data, out = write(tmp_path / "data", leads=[lead("L1"), lead("L2"), *OTHERS]), tmp_path / "state"
    run(data, out, 0)
    without = write(tmp_path / "without", leads=[lead("L2"), *OTHERS])
    run(without, out, 1)
    before = {path.relative_to(out): pq.read_table(path) for path in out.rglob("*.parquet")}
    gone = forget(out, ["L1", "L1", "nobody"])
    assert {name: count for name, count in gone.items() if count} == {
        "moves/000001-20260601T000000Z.parquet": 1,
        "moves/000002-20260602T000000Z.parquet": 1,
    }
    for name, table in before.items():
        key = next(column for column in ("lead_id", "id", "account_id") if column in table.column_names)
        assert pq.read_table(out / name).equals(table.filter(pc.not_equal(table[key], "L1"))), name
    manifest = json.loads((out / "manifest.json").read_text())
    assert [entry["moves"] for entry in manifest["runs"]] == [
        pq.read_table(out / r["file"]).num_rows for r in manifest["runs"]
    ]
    # The state goes on: its hashes hold, and nothing is told twice.
    assert moves(run(without, out, 2)) == []


def test_an_erasure_reaches_every_table_of_a_person_who_is_still_there(begun: Path, tmp_path: Path) -> None:
    _, out = copied(begun, tmp_path)
    gone = forget(out, ["L1"])
    assert [name.split("-")[0] for name, count in gone.items() if count == 1] == [
        "marks.parquet", "memberships.parquet", "watched.parquet", "moves/000001",
    ]  # fmt: skip
    state = read_state(out)
    assert state is not None
    assert state.marks is not None
    assert "L1" not in state.marks.ids.to_pylist()


def test_an_erasure_from_moves_that_somebody_changed_is_refused_and_leaves_the_state(
    begun: Path, tmp_path: Path
) -> None:
    _, out = copied(begun, tmp_path)
    (one,) = (out / "moves").iterdir()
    one.write_bytes(one.read_bytes() + b" ")
    before = contents(out)
    with pytest.raises(InputInvalid, match="its hash differs"):
        forget(out, ["L1"])
    assert contents(out) == before


def test_the_command_of_an_erasure_never_repeats_the_id(begun: Path, tmp_path: Path) -> None:
    _, out = copied(begun, tmp_path)
    done = CliRunner().invoke(app, ["erasure", "memberships", "--lead-id", "L1", "--state", str(out)])
    assert done.exit_code == 0
    assert "4 rows of this person were in 4 of 6 files" in done.output
    assert "L1" not in done.output
