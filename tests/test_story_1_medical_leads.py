"""Story 1: a list of medical leads, from a CSV to who may be written to, through the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.reference_stories import COMMAND, filled
from configs.settings import load_settings
from tests.stories.medical_leads import LEADS, Seen, points, told

PAGE = Path(__file__).parents[1] / "docs/stories/1_medical_leads.md"
# Copies of the configuration are read and approved: seconds.
pytestmark = pytest.mark.slow


@pytest.fixture
def seen() -> Seen:
    found: Seen = told().seen
    return found


def clinical(asset_id: str) -> bool:
    """Whether an asset is about medicine: medical by intent, or evidence, dosing and safety by topic."""
    asset = next(asset for asset in load_settings().assets if asset.asset_id == asset_id)
    return asset.intent != "promotional" or asset.topic in ("clinical_evidence", "dosing", "safety")


def test_two_spellings_of_one_person_are_one_oncology_lead(seen: Seen) -> None:
    assert [lead["title"] for lead in LEADS[:2]] == ["Heme/Onc MD", "Hematology-Oncology physician"]
    assert seen.merged == [{"lead_id": "L2", "merged_into": "L1", "evidence": "registry_id"}]
    # Six rows, one merged away: five decisions, and decisions plus merged is every row.
    assert sorted(seen.rows) == ["L1", "L3", "L4", "L5", "L6"]
    assert len(seen.rows) + len(seen.merged) == len(LEADS)


def test_the_one_lead_has_several_memberships_and_both_site_and_system(seen: Seen) -> None:
    # The cancer type stands in the first row, the webinar was attended under the second.
    assert seen.rows["L1"]["segments"] == ["onc_advanced_specialist", "webinar_attendee"]
    assert (seen.rows["L1"]["account_id"], seen.rows["L1"]["parent_account_id"]) == ("SITE-1", "SYSTEM-1")
    assert (seen.crm["L1"]["account_id"], seen.crm["L1"]["parent_account_id"]) == ("SITE-1", "SYSTEM-1")
    assert (seen.rows["L3"]["account_id"], seen.rows["L3"]["parent_account_id"]) == ("CLINIC-1", None)


def test_the_same_guide_contributes_differently_for_the_physician_and_the_manager(seen: Seen) -> None:
    physician, manager = (points(seen.rows[one], "engagement_log") for one in ("L1", "L3"))
    # scorecard.yaml: evidence 20 in onc_advanced_specialist (15 elsewhere, clinicians only), downloaded 5.
    assert (physician["evidence"], physician["downloaded"]) == (20, 5)
    assert manager == {"downloaded": 5}


def test_the_manager_gets_workflow_and_budget_and_nothing_clinical(seen: Seen) -> None:
    manager = seen.rows["L3"]
    assert manager["primary_segment"] == "operations_role"
    themes = next(line for line in seen.shown.out.splitlines() if line.startswith("themes"))
    assert "patient flow and staff time" in themes
    assert "budget and payback" in themes
    asset = next(asset for asset in load_settings().assets if asset.asset_id == manager["asset_id"])
    assert asset.topic == "workflow"
    assert not clinical(manager["asset_id"])
    assert clinical(seen.rows["L1"]["asset_id"])


def test_the_nurse_leader_who_opted_out_is_still_qualified_and_routed_to_a_permitted_channel(seen: Seen) -> None:
    nurse = seen.rows["L4"]
    assert not nurse["email_permitted"]
    assert (nurse["email_rules"], nurse["email_reasons"]) == (["GEN-01"], ["OPT_OUT"])
    # 20 heads + 10 shapes + 15 named need + 10 fresh = 55 is B; asked 30 + 10 + 10, capped at 45, + 8 + 7 = 60 is 1.
    assert (nurse["fit_points"], nurse["fit_grade"]) == (55, "B")
    assert (nurse["engagement_points"], nurse["engagement_grade"]) == (60, 1)
    assert (nurse["band"], nurse["qualification"], nurse["lane"]) == ("warm", "mql", "standard")
    # Her territory is in the name of the queue; the team that takes her speaks her language.
    assert nurse["queue"] == "inside_sales/south"
    team = next(team for team in load_settings().actions.teams["inside_sales"] if team.id == nurse["team"])
    assert "es" in team.languages
    assert LEADS[3]["language"] == "es"
    assert nurse["action_channel"] != "email"
    assert nurse[f"{nurse['action_channel']}_permitted"]


def test_the_german_lead_is_not_written_to_because_consent_is_unknown(seen: Seen) -> None:
    german = seen.rows["L5"]
    assert not german["email_permitted"]
    assert german["email_reasons"][0] == "EU_CONSENT_UNKNOWN"
    assert german["email_rules"][0] == "EU-01-DE"
    assert (german["action"], german["asset_id"]) == ("none", None)


def test_the_committee_member_carries_influence_and_not_purchase(seen: Seen) -> None:
    rules = points(seen.rows["L6"], "fit_log")
    assert rules["shapes_decision"] == 10
    assert not {"final_decision", "decides_or_heads"} & set(rules)
    assert LEADS[5]["purchase_authority"] is False
    # It is held to the threshold of committees: influence without the signature.
    assert seen.rows["L6"]["threshold"] == "committees"


def test_a_request_for_a_demo_is_one_move_with_old_new_why_and_version(seen: Seen) -> None:
    assert seen.segment_moves == []
    move: dict[str, Any]
    (move,) = seen.moves
    assert (move["unit"], move["id"], move["kind"]) == ("lead", "L3", "stage")
    assert (move["old"], move["new"]) == ("awareness", "evaluation")
    assert move["why"] == [{"fact": "signal", "known": "known", "value": "demo: asks for a demonstration"}]
    assert len(move["journeys"]) == 16
    assert "trigger_late_stage_request" in seen.applied.out


def test_the_same_command_again_moves_nobody(seen: Seen) -> None:
    assert seen.moves_again == []
    assert "Nothing changed" in seen.again.out


def test_show_prints_rules_themes_and_next_action(seen: Seen) -> None:
    text = " ".join(seen.shown.out.split())
    assert "enters when audience is buyer or hcp and role is practice manager or operations lead" in text
    assert "themes patient flow and staff time; budget and payback" in text
    assert "next best action Offer a walk-through of workflow and budget; nothing of clinical depth" in text


def test_the_page_shows_what_the_program_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page, told().blocks, PAGE.name), f"run `{COMMAND}`"
