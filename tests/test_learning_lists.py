"""What was learned is kept and found, who answers what is named, and nothing due is missing from the calendar."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.append_file import append_entry
from configs.errors import ConfigInvalid, InputInvalid
from configs.knowledge import FILE, Lesson, in_force, knowledge_problems, search
from configs.label_changes import LabelChange
from configs.ownership import Ownership, ownership_problems
from configs.settings import DEFAULTS, Settings, load_settings
from features.intake.campaigns import Campaign
from training.reviews.calendar import Entry, as_ics, calendar_of

ON = date(2026, 11, 1)


@cache
def shipped() -> Settings:
    return load_settings()


def lesson(name: str, says: str, **own: Any) -> Lesson:
    given: dict[str, Any] = {
        "id": name, "on": date(2026, 6, 1), "by": "R. Lange", "verdict": "worked", "says": says, "why": "nobody knows",
        "evidence": [{"source": "report", "says": "3 of 4"}],
    }  # fmt: skip
    return Lesson.model_validate(given | own)


LESSONS = (
    lesson("a", "A webinar before the demo"),
    lesson("b", "Price lists for hospitals", segment="onc_community_center"),
    lesson("c", "A webinar on prices, a webinar on terms"),
)


def test_a_search_finds_only_lessons_with_a_word_and_the_best_first() -> None:
    # Two webinars count more than one; of the three lessons two have the word.
    assert [one.id for one, _ in search(LESSONS, "webinar")] == ["c", "a"]
    assert [one.id for one, _ in search(LESSONS, "Webinar DEMO")] == ["a", "c"]
    # A part of a word counts: price and prices.
    assert {one.id for one, _ in search(LESSONS, "price")} == {"b", "c"}
    assert search(LESSONS, "zebra") == () and search((), "webinar") == ()
    for order in permutations(LESSONS):
        assert [one.id for one, _ in search(order, "webinar")] == ["c", "a"]


def test_a_lesson_that_was_corrected_holds_no_more() -> None:
    later = lesson("d", "Price lists after evidence", replaces="b", on=date(2026, 7, 1))
    assert [one.id for one in in_force((*LESSONS, later))] == ["d", "a", "c"]


def test_a_list_that_names_what_nobody_has_is_refused() -> None:
    wrong = (lesson("a", "One thing", segment="nobody"), lesson("a", "Another thing", replaces="z", asset="none of it"))
    found = {
        "knowledge": wrong, "segments": shipped().segments, "vocabularies": shipped().vocabularies,
        "actions": shipped().actions, "assets": shipped().assets,
    }  # fmt: skip
    keys = [problem.key for problem in knowledge_problems(found)]
    assert keys == ["knowledge.a.segment", "knowledge.a", "knowledge.a.asset", "knowledge.a.replaces"]


def folder_of(tmp_path: Path) -> Path:
    folder = tmp_path / "c"
    shutil.copytree(DEFAULTS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return folder


def test_a_lesson_is_added_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    path = folder / FILE
    given = lesson("first", 'Quotes "and" [brackets], kept: as they are').model_dump(
        exclude_none=True, exclude={"words"}
    )
    settings, entry = append_entry(folder, FILE, "knowledge", Lesson, lambda now: given)
    assert settings.knowledge == (entry,) and entry.says == given["says"]
    before = path.read_bytes()
    with pytest.raises(InputInvalid, match="verdict"):
        append_entry(folder, FILE, "knowledge", Lesson, lambda now: given | {"verdict": "great"})
    # An entry after which the folder would not load is taken back.
    with pytest.raises(ConfigInvalid, match="already used"):
        append_entry(folder, FILE, "knowledge", Lesson, lambda now: given)
    assert path.read_bytes() == before
    assert [p.name for p in folder.iterdir() if "partial" in p.name] == []
    run = CliRunner().invoke(app, ["knowledge", "show", "first", "--configs", str(folder)])
    assert run.exit_code == 0 and "[brackets]" in run.stdout


# --- who answers what ---------------------------------------------------------------------------------------------


def test_every_queue_and_every_kind_of_question_has_one_owner() -> None:
    ownership = shipped().ownership
    assert ownership.unanswered(shipped().actions.queues.values()) == ()
    assert [duty.id for duty in ownership.about("Off label")] == ["medical_question"]
    assert ownership.about("pharmacovigilance")[0].within_hours == 24
    # The line between commercial, medical and safety work is drawn where it matters.
    assert all(duty.never for duty in ownership.duties if duty.id in ("medical_question", "adverse_event"))


def test_two_owners_of_a_queue_and_a_queue_nobody_has_are_refused() -> None:
    one = shipped().ownership.duties[0]
    wrong = Ownership(duties=(one, one.model_copy(update={"queues": (*one.queues, "soup"), "deputy": one.owner})))
    keys = [p.expected for p in ownership_problems({"ownership": wrong, "actions": shipped().actions})]
    assert keys == [
        "id already used", f"{one.id} answers for {one.queues[0]} already",
        "expected a queue of actions.yaml, found 'soup'", "expected somebody else than the owner",
    ]  # fmt: skip
    assert Ownership().unanswered(["a"]) == ("a",)


# --- the calendar -------------------------------------------------------------------------------------------------


def test_every_active_segment_and_asset_is_in_the_calendar_once_its_day_is_near() -> None:
    settings = shipped()
    entries = calendar_of(settings, ON, 3_650)
    reviews = {one.about: one.on for one in entries if one.kind == "segment_review"}
    assert reviews == {d.id: d.due_on for d in settings.segments if d.status == "approved"}
    ends = {one.about for one in entries if one.kind == "asset_approval"}
    assert ends == {a.asset_id for a in settings.assets if a.approval is not None and not a.withdrawn}
    cards = sum(int(one.about.split()[0]) for one in entries if one.kind == "rule_review")
    assert cards == len(settings.rules)
    assert [one.on for one in entries] == sorted(one.on for one in entries)


def test_what_is_overdue_stays_and_what_is_far_waits() -> None:
    entries = calendar_of(shipped(), ON, 0)
    assert entries and all(one.on <= ON and one.overdue == (one.on < ON) for one in entries)


def test_a_campaign_that_ends_and_a_change_that_waits_are_in_it() -> None:
    settings = shipped()
    change = LabelChange.model_validate({
        "id": "x", "what": "label", "product": "implant", "changed_on": date(2026, 10, 1), "says": "new",
        "source": "FDA", "owner": "regulatory affairs",
    })  # fmt: skip
    settings = settings.model_copy(update={"label_changes": (change,)})
    campaigns = [
        Campaign("C1", ("onc_community_center",), ended_on=date(2026, 11, 9)),
        Campaign("C2", ("onc_community_center",), ended_on=None),
        Campaign("C3", ("nobody",), ended_on=date(2026, 11, 9)),
    ]
    entries = calendar_of(settings, ON, 10, campaigns)
    (campaign,) = (one for one in entries if one.kind == "campaign_end")
    assert (campaign.on, campaign.about) == (date(2026, 11, 10), "onc_community_center") and "C1" in campaign.says
    waits = {one.about for one in entries if one.kind == "recheck"}
    assert "implant_evidence_summary" in waits and "software_overview" not in waits


def test_a_calendar_file_is_read_back_line_by_line_and_keeps_its_ids() -> None:
    entry = Entry(ON, "sign_off", "an_asset", "légal", "sign, again; " + "ä" * 80, overdue=True)
    stamp = datetime(2026, 11, 1, tzinfo=UTC)
    text = as_ics([entry], stamp)
    lines = text.split("\r\n")
    # RFC 5545: at most 75 octets a line, joined again where a line begins with a blank.
    assert max(len(line.encode()) for line in lines) <= 75 and lines[-1] == ""
    plain = text.replace("\r\n ", "")
    assert "DESCRIPTION:sign\\, again\\; " + "ä" * 80 + ". Owner: légal\r\n" in plain
    assert "DTSTART;VALUE=DATE:20261101\r\nDTEND;VALUE=DATE:20261102\r\n" in plain
    there = stamp.astimezone(timezone(timedelta(hours=9)))
    assert as_ics([entry], there) == text, "the same instant, told elsewhere"
    later = Entry(ON + timedelta(days=9), entry.kind, entry.about, entry.owner, entry.says, overdue=False)
    ids = [line for line in as_ics([later], stamp).split("\r\n") if line.startswith("UID:")]
    assert ids == [line for line in lines if line.startswith("UID:")]


def test_the_command_writes_a_calendar_and_a_table(tmp_path: Path) -> None:
    for suffix, begins in ((".ics", "BEGIN:VCALENDAR"), (".csv", '"on"')):
        out = tmp_path / f"c{suffix}"
        run = CliRunner().invoke(app, ["segments", "calendar", "--as-of", "2026-11-01", "--out", str(out)])
        assert run.exit_code == 0, run.output
        assert out.read_text(encoding="utf-8").startswith(begins)
    wrong = CliRunner().invoke(app, ["segments", "calendar", "--out", str(tmp_path / "c.txt")])
    assert isinstance(wrong.exception, InputInvalid)
