"""Story 5: a pharmaceutical brand under review, through the API and the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.reference_stories import COMMAND, filled
from tests.stories.pharma_brand import (
    EDUCATIONAL,
    EXPIRED,
    OTHER_INDICATION,
    OTHER_SEGMENT,
    PROMOTIONAL,
    Seen,
    email,
    reasons,
    told,
    told_edited,
)

PAGE = Path(__file__).parents[1] / "docs/stories/5_pharma_brand.md"
# A service, a replay and three runs over an edited copy of the configuration: seconds.
pytestmark = pytest.mark.slow


@pytest.fixture
def seen() -> Seen:
    found: Seen = told().seen
    return found


def test_of_five_assets_only_the_educational_one_is_offered(seen: Seen) -> None:
    assert seen.together["segments"][0]["id"] == "onc_community_center"
    assert seen.together["next_best_action"]["asset_id"] == EDUCATIONAL
    assert not {EXPIRED, OTHER_INDICATION, OTHER_SEGMENT} & set(email(seen.together)["asset_ids"])
    assert {name for name, one in seen.alone.items() if one["next_best_action"]["asset_id"]} == {EDUCATIONAL}


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        (EXPIRED, "ASSET_NOT_APPROVED"),
        (OTHER_INDICATION, "ASSET_MISMATCH_INDICATION"),
        (OTHER_SEGMENT, "ASSET_MISMATCH_SEGMENT"),
    ],
)
def test_an_asset_that_may_not_go_carries_its_reason(seen: Seen, asset: str, reason: str) -> None:
    assert reasons(seen.alone[asset]) == [reason]


def test_the_promotional_asset_is_not_offered_because_the_segment_is_education(seen: Seen) -> None:
    action = seen.alone[PROMOTIONAL]["next_best_action"]
    assert (action["action"], action["asset_id"]) == ("none", None)
    assert ["asset_intent", "known", "promotional"] in action["because"]
    assert ["segment_purpose", "known", "medical_education"] in action["because"]


def test_an_off_label_question_goes_to_medical_information_and_pauses_promotion(seen: Seen) -> None:
    assert seen.question["route"]["queue"] == "medical_information"
    assert PROMOTIONAL in email(seen.together)["asset_ids"]
    assert PROMOTIONAL not in email(seen.question)["asset_ids"]
    assert seen.question["segments"][0]["status"] == "paused"


def test_readiness_is_identical_with_and_without_the_question(seen: Seen) -> None:
    for part in ("readiness", "fit", "engagement"):
        assert seen.question[part] == seen.together[part]


def test_a_request_for_fewer_messages_pauses_promotion_and_not_service(seen: Seen) -> None:
    # Two touches in 30 days: below the ordinary caps (3 in 7 days, 8 in 30), at the cap of who asked for less (2).
    assert email(seen.fewer["before"])["permitted"]
    assert reasons(seen.fewer["after"]) == ["REDUCED_COMMUNICATION"]
    assert email(seen.service)["permitted"]


def test_a_webinar_counts_at_89_days_and_not_at_91(seen: Seen) -> None:
    # 15 points in this segment, of which 25 % are kept after more than 60 quiet days: 3.75, rounded down.
    assert [(one["id"], one["points"]) for one in seen.webinar[89]["engagement"]["log"]] == [
        ("attended", 15),
        ("decay", -12),
    ]
    assert seen.webinar[89]["engagement"]["points"] == 3
    assert seen.webinar[89]["journey"]["stage"] == "education"
    assert seen.webinar[91]["engagement"]["log"] == []
    assert seen.webinar[91]["engagement"]["points"] == 0
    assert seen.webinar[91]["journey"]["stage"] is None


def test_after_a_visit_digital_does_not_repeat_the_asset(seen: Seen) -> None:
    before, after = seen.before_visit["next_best_action"], seen.after_visit["next_best_action"]
    assert (before["channel"], before["asset_id"]) == ("email", EDUCATIONAL)
    assert after["asset_id"] not in (EDUCATIONAL, None)
    for channel in seen.after_visit["channels"].values():
        assert EDUCATIONAL not in channel.get("asset_ids", [])


def test_activation_refuses_a_definition_that_was_edited_after_its_approval(seen: Seen) -> None:
    assert (seen.tags["primary_segment"], seen.tags["segment_versions"]) == (
        "onc_community_center",
        "onc_community_center@1",
    )
    assert "Memberships not told" not in seen.activated.out
    assert "not approved" in seen.edited.out
    assert told_edited(seen) == "`unsegmented`"
    assert "onc_community_center" not in seen.edited_tags
    assert "EDITED_AFTER_APPROVAL" in seen.lint.out


def test_a_replay_returns_the_same_bytes_with_what_they_rested_on(seen: Seen) -> None:
    assert seen.replayed["same_bytes"]
    # What is answered is what was recorded: rules and assets, channel by channel.
    assert seen.replayed["channels"] == seen.recorded["channels"]
    assert seen.replayed["versions"] == seen.together["versions"]
    said = " ".join(seen.replay_says.out.split())
    assert "the same bytes as recorded" in said
    assert "the whole answer is the same" in said
    for part in ("version 1", "SEG-2025-005", "leads.specialty", "accounts.care_setting", "MED-2026-005", "P-CONSENT"):
        assert part in said
    assert "medical director" in said


def test_the_matrix_tells_pharmacists_from_specialists(seen: Seen) -> None:
    rows = dict(zip(("specialist", "community", "pharmacist"), _matrix_cells(), strict=True))
    assert "webinar" in rows["specialist"][3]
    assert "checklist" in rows["pharmacist"][3]
    assert rows["specialist"][4] != rows["pharmacist"][4]
    for name in ("onc_advanced_specialist", "pharmacist_med_mgmt"):
        assert name in seen.matrix


def _matrix_cells() -> list[list[str]]:
    lines = told().blocks["matrix"].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_shows_what_the_program_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page, told().blocks, PAGE.name), f"run `{COMMAND}`"
