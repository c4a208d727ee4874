"""Story 4 of the book of stories: devices, committees and distributors; every sentence is a test.

All numbers follow from the rows of `tests/stories/device_rows.py` and the points of `configs/scorecard.yaml`.
"""

from __future__ import annotations

import re
from pathlib import Path

from cli.reference_stories import COMMAND, filled
from tests.stories.device_rows import (
    ANALYST,
    BUYER_OF_DISPOSABLES,
    COMPLIANCE,
    DIAGNOSTICS,
    IMPLANTS,
    INFORMATICS,
    LAB,
    NURSE,
    OF_STALE,
    PARTNER,
    PARTNERS,
    SOFTWARE,
    SURGEON,
)  # fmt: skip
from tests.stories.devices import Seen, told

PAGE = Path(__file__).parents[1] / "docs/stories/4_devices.md"
# Overview; detailed or checklist; comparison; pricing: the levels of configs/nurture.yaml.
CLIMB = {
    4: ("awareness", "cold", "implant_overview"),
    6: ("awareness", "cold", "implant_evidence_at_a_glance"),
    8: ("awareness", "cold", None),  # everything of the stage was sent; what is made for later ones waits
    15: ("education", "warming", "device_demo_invitation"),
    17: ("education", "warming", "device_workflow_guide"),
    26: ("evaluation", "warming", "implant_technical_packet"),
    28: ("evaluation", "warming", "device_training_outline"),
    37: ("proposal", "warm", "device_roi_narrative"),
    41: ("proposal", "hot", "device_contracting_support"),
    61: ("advocacy", "hot", "device_committee_briefing"),
}


def seen() -> Seen:
    found: Seen = told().seen
    return found


def test_the_page_shows_what_the_program_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page, told().blocks), f"run `{COMMAND}`"


def test_each_enters_only_the_segment_of_its_product() -> None:
    held = {lead_id: row["segments"] for lead_id, row in seen().decided.items()}
    assert held == {
        SURGEON: [IMPLANTS], NURSE: [IMPLANTS], ANALYST: [IMPLANTS], LAB: [DIAGNOSTICS], INFORMATICS: [SOFTWARE],
        COMPLIANCE: [SOFTWARE], PARTNER: [PARTNERS], BUYER_OF_DISPOSABLES: ["unsegmented"], OF_STALE: ["unsegmented"],
    }  # fmt: skip


def test_the_distributor_goes_to_the_partner_queue_and_nobody_else_does() -> None:
    queues = {lead_id: row["queue"] for lead_id, row in seen().decided.items()}
    assert {lead_id for lead_id, queue in queues.items() if queue == "channel_management"} == {PARTNER}
    # The API says the same as the batch, and why.
    assert seen().partner["route"]["queue"] == "channel_management"
    assert seen().partner["route"]["because"] == [["organization_type", "known", "distributor"]]
    assert seen().partner["qualification"]["lane"] == "partner"


def test_a_technical_document_raises_readiness_for_software_and_does_nothing_for_a_disposable() -> None:
    read = seen().read
    # Fit 70: heads a department 20, software in a health system 15, systems to connect and a named need 15 + 15 of
    # which 25 count, verified within a year 10: A. Reading adds 25 in this segment: grade 3 (10 to 29); A3 is warming.
    before, after = read[INFORMATICS, False], read[INFORMATICS, True]
    assert (before["fit"]["points"], before["fit"]["grade"]) == (70, "A")
    assert (before["engagement"]["points"], after["engagement"]["points"]) == (0, 25)
    assert [one["id"] for one in after["engagement"]["log"]] == ["technical_documents"]
    assert (before["readiness"]["band"], after["readiness"]["band"]) == ("cold", "warming")
    # Of a disposable the same page of the same day gives no point and moves nothing.
    before, after = read[BUYER_OF_DISPOSABLES, False], read[BUYER_OF_DISPOSABLES, True]
    assert before["engagement"]["points"] == after["engagement"]["points"] == 0
    assert after["engagement"]["log"] == []
    assert before["readiness"]["band"] == after["readiness"]["band"] == "cold"
    # Nor is it an evaluation: of software technical reading is, of a disposable it is a first look.
    assert read[INFORMATICS, True]["journey"]["stage"] == "evaluation"
    assert after["journey"]["stage"] == "awareness"


def test_the_buying_group_shows_the_surgeon_as_influence_and_procurement_missing_before_the_approval() -> None:
    hospital = seen().hospital
    assert re.search(rf"{SURGEON} +physician +adoption influencer +yes", hospital)
    assert "adoption influencer, may not sign" in hospital
    assert re.search(r"who may sign +0\n", hospital)
    assert "Next decision: procurement approval, which comes after the stage: comparing vendors" in hospital
    assert "Missing for procurement approval: procurement with purchase authority." in hospital
    # 8 of the weights 3 + 3 + 3 + 2 are filled: 45 * 8 / 11 = 32; comparing 25 * 50 % = 12; nobody signs; 15 awake.
    assert "Decision readiness: 59 of 100, forming" in hospital
    # With procurement there, all 45 and all 15: 45 + 12 + 15 + 15.
    assert "Decision readiness: 87 of 100, ready" in seen().hospital_later
    assert re.search(r"procurement with purchase authority +3 +engaged +1 +1 ", seen().hospital_later)
    assert "Missing for" not in seen().hospital_later


def test_replayed_signals_climb_the_ladder() -> None:
    climbed = {
        day: (answer["nurture"]["step"], answer["readiness"]["band"], answer["next_best_action"]["asset_id"])
        for day, answer in seen().climb
        if day != 44
    }
    assert climbed == CLIMB
    for day, answer in seen().climb:
        if day != 44:
            assert answer["nurture"]["track"] == "device_ladder"
            assert answer["journey"]["stage"] == CLIMB[day][0]
            assert answer["journey"]["evidence"] in ("fair", "strong")
    # Day 15: a download 5, four page views in 30 days 5. Day 37: prices 20 and a comparison 20, of which 25 count, and
    # the 10 as before. Day 41: a demonstration asked for, 30 + 10. Day 61: download and pages are too old for the 10.
    points = {day: answer["engagement"]["points"] for day, answer in seen().climb}
    assert points == {4: 0, 6: 0, 8: 0, 15: 10, 17: 10, 26: 10, 28: 10, 37: 35, 41: 75, 44: 75, 61: 65}


def test_strong_signals_hand_over_to_sales_with_context() -> None:
    answers = dict(seen().climb)
    assert answers[28]["qualification"]["next"]["do"] == "nurture"
    strong = answers[41]
    assert strong["qualification"]["status"] == "mql"
    assert (strong["qualification"]["lane"], strong["qualification"]["next"]["do"]) == ("fast", "hand_over")
    assert strong["route"]["queue"] == "field_sales/texas"
    record = seen().record
    assert record["why_now"]["band"] == "hot"
    assert record["who"]["role"] == "value_analysis_lead"
    # Everything it did (ten events) and all we sent (eight messages), the newest first.
    days = [row["on"] for row in record["history"]]
    assert days == sorted(days, reverse=True)
    assert [row["what"] for row in record["history"]].count("we sent") == 8
    assert sum(row.get("times", 1) for row in record["history"] if row["what"] == "did") == 10
    assert record["open_questions"]
    assert {one["channel"] for one in record["may_do"]["permitted"]} == {"email", "rep_visit", "mail"}


def test_the_hand_over_stops_the_nurture_until_sales_is_done() -> None:
    answers = dict(seen().climb)
    stopped = answers[44]
    assert stopped["nurture"]["exit"] == "handover"
    assert stopped["nurture"]["track"] is None
    assert (stopped["next_best_action"]["action"], stopped["next_best_action"]["asset_id"]) == ("owner_follow_up", None)
    assert stopped["qualification"]["status"] == "handed_over"
    assert [one["status"] for one in stopped["segments"]] == ["paused"]
    assert stopped["segments"][0]["status_reason"] == "handed_over"
    assert answers[61]["nurture"]["exit"] is None


def test_the_lint_refuses_a_segment_that_mixes_implant_and_software() -> None:
    assert "mixes products of different risk and workflow: implant, software MIXED_PRODUCTS" in seen().lint
    assert "1 draft: 1 error" in seen().lint
    assert "implant_and_software.enter: MIXED_PRODUCTS" in seen().refused


def test_tags_carry_facility_specialty_integration_need_stage_and_when_it_was_verified() -> None:
    names = ("facility_type", "specialty", "integration_need", "buyer_stage", "last_verified_on")
    accounts = {name: tuple(row[facet] for facet in names) for name, row in seen().account_tags.items()}
    assert accounts["H"] == ("hospital", "orthopedics", "", "comparing_vendors", "2026-04-01")
    assert accounts["L"] == ("independent_lab", "", "", "new_to_category", "2026-04-01")
    # What the system needs, both sites need.
    assert {accounts[name][2] for name in ("S", "S1", "S2")} == {"ehr"}
    assert accounts["D"][0] == "distributor"
    surgeon, informatics = seen().lead_tags[SURGEON], seen().lead_tags[INFORMATICS]
    assert (surgeon["facility_type"], surgeon["specialty"], surgeon["buyer_stage"], surgeon["last_verified_on"]) == (
        "hospital", "orthopedics", "comparing_vendors", "2026-04-01",
    )  # fmt: skip
    assert informatics["integration_need"] == "ehr"


def test_a_stale_account_is_refused_and_so_are_stale_memberships() -> None:
    # Verified 760 days before: its people are in no segment, and neither it nor what it says of them is told.
    assert seen().withheld == [{"unit": "account", "id": "O", "reason": "NOT_VERIFIED_IN_TIME"}]
    assert "O" not in seen().account_tags
    told_of = seen().lead_tags[OF_STALE]
    facets = ("facility_type", "specialty", "integration_need", "buyer_stage", "account_segments")
    assert [told_of[facet] for facet in facets] == [""] * 5
    assert told_of["account_verified_on"] == "2024-04-01"
    assert "stale: expected memberships of at most 2 days before" in seen().stale_state
