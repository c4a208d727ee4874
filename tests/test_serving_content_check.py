"""The look at content: gaps, what runs out, what nobody can use, claims nobody signed; errors of what is approved."""

from __future__ import annotations

from datetime import date
from functools import cache

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.content import Asset
from configs.settings import Settings, load_settings
from serving.actions.content_check import check_content, segments_of

ON = date(2026, 6, 30)


@cache
def shipped() -> Settings:
    return load_settings()


def having(asset_id: str, **changed: object) -> Settings:
    assets = tuple(one.model_copy(update=changed) if one.asset_id == asset_id else one for one in shipped().assets)
    assert changed and any(one.asset_id == asset_id for one in assets)
    return shipped().model_copy(update={"assets": assets})


def found(settings: Settings, asset_id: str, on: date = ON) -> dict[str, tuple[str, bool]]:
    report = check_content(settings, on)
    return {one.kind: (one.says, one.error) for one in report.findings if one.asset_id == asset_id}


def test_the_shipped_content_has_no_error() -> None:
    report = check_content(shipped(), ON)
    assert (report.assets, report.offered, report.errors) == (37, 35, 0)
    assert found(shipped(), "oncology_community_guide") == {}


def test_an_approval_that_runs_out_within_the_days_is_named_and_one_a_day_later_is_not() -> None:
    # Approved until 2027-09-30.
    assert "expiring" in found(shipped(), "oncology_rx_evidence", date(2027, 8, 1))
    assert "expiring" not in found(shipped(), "oncology_rx_evidence", date(2027, 7, 31))
    assert found(shipped(), "oncology_rx_evidence", date(2027, 9, 30))["expired"][1] is False


def test_a_claim_nobody_signed_is_an_error_only_where_the_asset_is_approved() -> None:
    (claim,) = next(one for one in shipped().assets if one.asset_id == "diagnostic_overview").claims or ()
    bare = claim.model_copy(update={"sign_offs": (), "references": ()})
    says, error = found(having("diagnostic_overview", claims=(bare,)), "diagnostic_overview")["claims"]
    assert says == "claim DX-OV-1 (use): 0 of 1 references, no sign-off by medical" and error
    assert found(shipped(), "software_case_study_draft")["claims"][1] is False


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"claims": None}, "claims"),
        ({"checklist": None}, "checklist"),
        ({"checklist": {"fits_label": True}}, "checklist"),
        ({"footer": None}, "footer"),
        ({"value_transfer": None}, "unknown"),
        ({"product": "snake_oil"}, "register"),
    ],
)
def test_what_keeps_an_approved_asset_from_being_offered_is_an_error(changed: dict[str, object], kind: str) -> None:
    assert found(having("software_overview", **changed), "software_overview")[kind][1]


def test_a_market_without_authorisation_is_noted_and_only_such_markets_are_an_error() -> None:
    assert found(shipped(), "implant_case_study")["register"] == (
        "not authorised in OTHER, so not offered there",
        False,
    )
    assert found(having("implant_case_study", markets=("OTHER",)), "implant_case_study")["register"][1]


def test_prescription_content_that_was_not_filed_in_the_united_states_is_noted() -> None:
    says, _ = found(having("oncology_rx_evidence", filed_on=None), "oncology_rx_evidence")["register"]
    assert says == "not filed at first use in the United States (Form FDA 2253), so not offered there"


def test_an_asset_that_suits_no_segment_is_named() -> None:
    assert "unused" in found(having("diagnostic_overview", segment_ids=("none",)), "diagnostic_overview")
    assert "unused" not in found(shipped(), "diagnostic_overview")
    assert "unused" not in found(shipped(), "medical_information_reply")


def test_a_segment_stage_and_layer_without_anything_approved_to_say_is_a_gap() -> None:
    gaps = {(gap.segment_id, gap.layer): gap for gap in check_content(shipped(), ON).gaps}
    # Nobody approved anything for clinicians who speak for us; what is of an earlier stage may still be sent.
    gap = gaps["onc_community_center", "education"]
    assert (gap.stages, gap.nothing) == (("advocacy",), ())
    assert ("onc_community_center", "conversion") not in gaps and ("implant_ortho_vac", "education") not in gaps
    # The layer counts: without what converts, a device segment has nothing to propose.
    converting = tuple(one for one in shipped().assets if one.layer != "conversion")
    left = check_content(shipped().model_copy(update={"assets": converting}), ON).gaps
    found = {(gap.segment_id, gap.layer): gap.stages for gap in left}
    assert found["implant_ortho_vac", "conversion"] == ("evaluation", "proposal")
    # On a day before any approval there is nothing to say to anybody.
    early = {(gap.segment_id, gap.layer): gap for gap in check_content(shipped(), date(2024, 1, 1)).gaps}
    first = early["onc_community_center", "education"]
    assert first.stages == first.nothing == shipped().actions.stages


def test_what_goes_to_the_leads_of_one_track_fills_no_gap() -> None:
    kept = tuple(one for one in shipped().assets if one.kind == "onboarding" or one.intent != "service")
    assert any(one.tracks for one in kept)
    gaps = check_content(shipped().model_copy(update={"assets": kept}), ON).gaps
    found = {(gap.segment_id, gap.layer): gap.stages for gap in gaps}
    assert "awareness" in found["symptom_next_steps", "education"]


def test_a_segment_of_medical_education_may_use_no_promotion_at_any_stage() -> None:
    purposes = {one.id: one.purpose for one in shipped().segments}
    for asset in shipped().assets:
        if asset.intent == "promotional":
            assert {purposes[segment] for segment in segments_of(shipped(), asset)} <= {"promotional"}
    booking: Asset = next(one for one in shipped().assets if one.asset_id == "meeting_booking")
    assert set(segments_of(shipped(), booking)["operations_role"]) == {"evaluation", "proposal", "advocacy"}


def test_the_command_says_what_is_wrong_and_exits_by_it() -> None:
    run = CliRunner()
    done = run.invoke(app, ["content", "check", "--as-of", "2026-06-30"])
    assert done.exit_code == 0, done.output
    assert "Nothing approved to say" in done.output and "no errors" in done.output


def test_the_command_shows_one_asset_with_who_signed_what() -> None:
    run = CliRunner()
    done = run.invoke(app, ["content", "show", "oncology_rx_evidence", "--as-of", "2026-06-30"])
    assert done.exit_code == 0, done.output
    for word in ("ON-EV-1", "may be made", "MLR-2026-027", "prescription only"):
        assert word in done.output
    listed = run.invoke(app, ["content", "show", "--as-of", "2026-06-30"])
    assert "software_case_study_draft" in listed.output
