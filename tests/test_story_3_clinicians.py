"""Story 3: clinicians, nurtured and handed over. Every sentence of it is an assertion; the page shows the same run.

Points by hand, from configs/scorecard.yaml. Fit of both: decides 15 and treats 20 (role, cap 35), oncology practice 15,
named the product 15, verified lately 10: 75, grade A from 65. Engagement: webinar 10; a download 5; evidence read
twice, 20 in this segment; a comparison 10; evidence and comparison are one group, capped at 25; asking for a meeting
30, and asking at all within 90 days 10, in one group capped at 45. Grade 3 from 10, 2 from 30, 1 from 55; A3 warming,
A2 warm, A1 hot. After more than 60 silent days a quarter remains.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.reference_stories import COMMAND, filled
from tests.stories.clinicians import Seen, part_of, proposals_of, told
from tests.stories.oncologists import BREAST, EVENING, OVERLAY, SEGMENT, UNSAID

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[1] / "docs/stories/3_clinicians.md"
LATE = (5, EVENING)
DAYS = ((0, 8), (2, 8), (4, 8), (5, 8), LATE, (10, 8), (68, 8))


def seen() -> Seen:
    found = told().seen
    assert isinstance(found, Seen)
    return found


def column(lead_id: str, *names: str) -> list[Any]:
    """What the decisions of the seven runs say of a lead."""
    rows = [seen().decisions[day][lead_id] for day in DAYS]
    return [row[names[0]] if len(names) == 1 else tuple(row[name] for name in names) for row in rows]


def moves(day: tuple[int, int], lead_id: str) -> dict[str, tuple[str | None, str | None]]:
    return {row["segment_id"]: (row["old"], row["new"]) for row in seen().moves[day] if row["id"] == lead_id}


def test_bands_rise_by_what_each_did_and_sixty_silent_days_lower_them() -> None:
    # C1: webinar 10; + download 5 + min(20 + 10, 25); + min(30 + 10, 45); at the end (10 + 25 + 10) / 4, rounded down.
    grades = ("engagement_points", "fit_grade", "engagement_grade", "band")
    assert column(BREAST, *grades) == [
        (0, "A", 4, "cold"), (10, "A", 3, "warming"), (40, "A", 2, "warm"), (40, "A", 2, "warm"), (80, "A", 1, "hot"),
        (80, "A", 1, "hot"), (11, "A", 3, "warming"),
    ]  # fmt: skip
    # C2 compared nothing and asked for nothing: 10 + 5 + 20; at the end (10 + 20) / 4, rounded down.
    assert column(UNSAID, "band") == ["cold", "warming", "warm", "warm", "warm", "warm", "cold"]
    assert column(UNSAID, "engagement_points")[2::4] == [35, 7]
    assert set(column(BREAST, "fit_points")) == {75}


def test_without_a_subspecialty_the_fallback_places_the_lead_and_says_so() -> None:
    # Both are in the primary segment from the first morning; the overlay takes the band, so it waits until they warm.
    assert moves((0, 8), BREAST) == moves((0, 8), UNSAID) == {SEGMENT: (None, "active")}
    (entered,) = [row for row in seen().moves[2, 8] if row["segment_id"] == OVERLAY]
    assert (entered["id"], entered["old"], entered["new"]) == (BREAST, None, "active")
    assert {"fact": "subspecialty", "known": "known", "value": "breast_oncology"} in entered["why"]
    assert entered["triggers"] == ["trigger_webinar_clinical_title"]
    # C2 comes two days later, through what it read, for its subspecialty is unknown.
    (later,) = [row for row in seen().moves[4, 8] if row["segment_id"] == OVERLAY]
    assert later["id"] == UNSAID
    why = {one["fact"]: (one["known"], one["value"]) for one in later["why"]}
    assert why["subspecialty"] == ("unknown", None)
    assert why["topic_safety_count_90d"] == ("known", "1")
    assert why["fallback"] == ("known", "With the subspecialty missing, specialty and engagement decide.")
    # Cold again, it leaves; who is still warming stays.
    assert moves((68, 8), UNSAID) == {OVERLAY: ("active", None)}


def test_content_deepens_one_step_at_a_time_and_never_beyond_the_stage() -> None:
    level = {"oncology_education_webinar": 0, "onc_first_weeks": 1, "onc_side_effects": 1, "onc_evidence_by_line": 2,
             "onc_protocol_compared": 2}  # fmt: skip
    sent = column(BREAST, "nurture_step", "asset_id")
    assert sent[:3] == [
        ("awareness", "oncology_education_webinar"), ("education", "onc_first_weeks"),
        ("evaluation", "onc_evidence_by_line"),
    ]  # fmt: skip
    deepest = [level[asset] for _, asset in sent[:3]]
    assert deepest == [0, 1, 2]
    # C2 is as warm, yet its events show education: a checklist, no comparison.
    assert column(UNSAID, "band", "buying_stage", "asset_id")[2] == ("warm", "education", "onc_side_effects")
    assert [level.get(asset, 0) for asset in column(UNSAID, "asset_id")] == [0, 1, 1, 1, 1, 1, 0]
    # Stages are recorded with old, new and why.
    said = {(day, row["id"]): (row["old"], row["new"], [why["value"] for why in row["why"]])
            for day, rows in seen().stages.items() for row in rows if row["kind"] == "stage"}  # fmt: skip
    assert said[(4, 8), BREAST] == ("education", "evaluation", ["compares: compares therapies"])
    assert said[LATE, BREAST] == ("evaluation", "proposal", ["meets: asks for a representative or samples"])
    assert (*LATE, UNSAID) not in said and said[(68, 8), BREAST][:2] == ("proposal", "education")


def test_a_fourth_promotional_touch_within_seven_days_is_blocked() -> None:
    # C1 had promotional mails on days 1, 3 and 4, C2 on days 1 and 3.
    assert column(BREAST, "email_permitted", "email_reasons")[2:4] == [(True, []), (False, ["FREQUENCY_CAP"])]
    assert column(UNSAID, "email_permitted")[3]
    assert column(BREAST, "action")[3] == "none"
    # Over HTTP: permitted in the morning; the third mail leaves at nine and is told; at ten the send gate refuses.
    assert seen().permit["asset_id"] == "onc_evidence_by_line"
    (check,) = seen().checks
    assert not check["permitted"]
    (block,) = check["blocks"]
    assert (block["rule"], block["reason"]) == ("FRQ-01", "FREQUENCY_CAP")
    assert ["touches_7d", "known", 3] in block["because"]


def test_on_day_five_the_status_is_paused_and_mail_is_blocked() -> None:
    assert moves(LATE, BREAST) == {SEGMENT: ("active", "paused"), OVERLAY: ("active", "paused")}
    assert moves(LATE, UNSAID) == {}
    assert all(row["triggers"] == ["trigger_meeting"] for row in seen().moves[LATE])
    assert "Nothing changed" in seen().again
    row = seen().decisions[LATE][BREAST]
    assert row["segment_statuses"] == ["paused", "paused"]
    assert row["nurture_exit"] == "meeting" and row["nurture_track"] is None
    assert (row["email_permitted"], row["email_reasons"]) == (False, ["FREQUENCY_CAP", "MEETING_BOOKED"])
    # The API says of the same lead at the same instant what the batch says.
    answer = seen().answer
    assert {one["id"]: one["status"] for one in answer["segments"]} == {SEGMENT: "paused", OVERLAY: "paused"}
    blocks = [one["reason"] for one in answer["channels"]["email"]["blocks"]]
    assert blocks == ["FREQUENCY_CAP", "MEETING_BOOKED"]
    assert answer["next_best_action"]["action"] == row["action"] == "owner_follow_up"
    assert answer["nurture"]["exit"] == "meeting"


def test_the_lead_goes_to_the_representative_of_its_territory_with_its_history() -> None:
    row = seen().decisions[LATE][BREAST]
    assert (row["queue"], row["team"]) == ("account_owner", "representative_austin")
    assert seen().answer["route"]["team"] == "representative_austin"
    assert (row["qualification"], row["lane"]) == ("meeting", "none")
    record = seen().record
    assert record["route"]["team"] == "representative_austin"
    assert record["who"]["territory"] == "austin"
    assert (record["why_now"]["band"], record["why_now"]["points"][0]["points"]) == ("hot", 30)
    # All it did (4), all we sent (6) and the meeting, the newest first; nothing of C2.
    history = record["history"]
    assert [one["on"] for one in history] == sorted((one["on"] for one in history), reverse=True)
    assert [one["what"] for one in history].count("did") == 4
    assert [one["what"] for one in history].count("we sent") == 6
    assert len(history) == 11 and record["history_left_out"] == {"older_or_further": 0, "likely_machine": 0}
    assert [one["fact"] for one in record["open_questions"]] == ["purchase_authority", "procurement_path"]
    assert record["may_do"]["permitted"] == []


def test_afterwards_the_follow_up_track_goes_on_and_repeats_nothing_that_was_shown() -> None:
    # The meeting ended on day 7: marketing is quiet for three days, day 10 is the first on which it is not.
    assert moves((10, 8), BREAST) == {SEGMENT: ("paused", "follow_up"), OVERLAY: ("paused", "follow_up")}
    row = seen().decisions[10, 8][BREAST]
    assert (row["nurture_track"], row["nurture_exit"], row["email_permitted"]) == ("after_meeting", None, True)
    # The representative showed the evidence by line of treatment; the protocols come next, of the same depth.
    assert row["asset_id"] == "onc_protocol_compared"
    # What was asked before the meeting is answered by it; C2's download of day 3 is not answered yet.
    assert row["nurture_follow_up_by"] is None
    assert "1 to follow up, 1 of them overdue" in seen().due
    assert moves((68, 8), BREAST) == {SEGMENT: ("follow_up", "active"), OVERLAY: ("follow_up", "active")}


def test_thirty_rejections_as_framed_wrongly_propose_a_change_with_its_evidence() -> None:
    found = proposals_of(seen())
    assert {(one["reason"], one["points_at"]) for one in found} == {("wrong_framing", "content")}
    by_key = {one["key"]: one for one in found}
    themes = by_key[f"{SEGMENT}.themes"]
    assert themes["file"] == "segments/clinicians.yaml"
    # Of thirty pieces read by those turned down, 27 were about dosing and 3 about safety; no theme names either.
    assert themes["to"] == themes["now"][:-1] + ", dosing, safety]"
    assert themes["evidence"] == [
        "30 of 30 rejections say wrong framing, elsewhere 0 of 20",
        "those turned down read most about dosing (90%), safety (10%)",
    ]
    offer = by_key[f"{SEGMENT}.offers.evaluation"]
    assert offer["to"] == offer["now"][:-1] + ", onc_protocol_compared]"
    # The goal itself is for a person to write.
    assert by_key[f"{SEGMENT}.message_goal"]["to"] == ""


def test_a_person_records_the_hypothesis_as_kept_changed_or_dropped() -> None:
    steps = {one["segment"]: one for one in seen().steps if one["by"] == "head of medical education"}
    outcomes = {segment: one["outcome"] for segment, one in steps.items()}
    assert outcomes == {SEGMENT: "changed", "onc_community_center": "kept", OVERLAY: "dropped"}
    evidence = steps[SEGMENT]["evidence"]
    assert evidence[0].startswith("review as of 2026-09-19, sha256 ")
    assert any("30 of 30 rejections say wrong framing" in one for one in evidence)
    assert f"leadwell segments retire {OVERLAY}" in seen().reviewed["dropped"].out
    assert "expected kept, changed or dropped" in seen().refused


def test_the_data_sheet_lists_fields_cleaning_and_updates() -> None:
    sheet = seen().sheet
    assert (sheet["name"], sheet["stands"]) == (SEGMENT, "version 1, approved")
    fields = part_of(seen(), "fields")["table"]
    sources = [row[fields["columns"].index("comes from")] for row in fields["rows"]]
    names = ("audience", "specialty", "cancer_type", "disease_stage", "treatment_role")
    assert [source.split(" ")[0] for source in sources] == [f"leads.{name}" for name in names]
    cleaned = [row[fields["columns"].index("how it is cleaned")] for row in fields["rows"]]
    assert all("what it does not know is unknown" in text for text in cleaned)
    assert part_of(seen(), "cleaning")["rows"]
    updates = dict(part_of(seen(), "updates")["rows"])
    assert updates["renewed"].startswith("every time the facts are built")
    assert updates["next review"] == "2026-12-01"
    # The review that was just recorded moved the next one.
    assert sheet["next_review"] == "2026-12-01"


def test_the_page_shows_what_the_program_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page, told().blocks), f"run `{COMMAND}`"
