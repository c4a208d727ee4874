"""Story 2: a clinic's marketing and what it returned; every number adds up by hand from tests/stories/clinic.py.

Segment A is `comparison_late_intent`, leads A01 to A20; segment B is `symptom_next_steps`, S1, S2, S4, B01 and B02.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.reference_stories import COMMAND, filled
from tests.stories.clinic import ADS, AFTER, GUIDE, MAIL, A, B, Clinic, told

PAGE = Path(__file__).parents[1] / "docs/stories/2_clinic.md"
MODELS = ("first_touch", "last_touch", "position_based")


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    seen: Clinic = told().seen
    return seen


def test_the_page_shows_what_the_program_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page, told().blocks), f"run `{COMMAND} clinic`"


# --- what it returned -------------------------------------------------------------------------------------------------


def test_the_segments_report_tells_rates_costs_return_and_days(clinic: Clinic) -> None:
    row = clinic.reports["segments"][A]
    assert [row[name] for name in ("leads", "mql", "sql", "booked")] == ["20", "10", "5", "4"]
    # 10 of 20, 5 of 10, and 1 of the 4 that booked.
    told_rates = {
        name: (row[name], row[f"{name}_hits"], row[f"{name}_of"]) for name in ("lead_to_mql", "mql_to_sql", "no_show")
    }
    assert told_rates == {
        "lead_to_mql": ("0.5", "10", "20"), "mql_to_sql": ("0.5", "5", "10"), "no_show": ("0.25", "1", "4"),
    }  # fmt: skip
    # Spend 50 + 50 + 850 + a third of 150; 1,000 / 5; value 1,000 + 1,200 + 500 + 300; 3 times, net 2.
    assert (row["spend"], row["cost_per_sql"], row["value"]) == ("1000.00", "200.00", "3000.00")
    assert (row["return_on_spend"], row["net_return"]) == ("3.0", "2.0")
    # Bookings 2, 4, 6 and 8 days after the lead: the median is 5.
    assert (row["decided"], row["days_to_decision"]) == ("4", "5.0")


def test_the_segments_report_tells_the_primary_kpi_of_the_definition(clinic: Clinic) -> None:
    row = clinic.reports["kpis"][A]
    assert row["primary_kpi"] == "consultations booked"
    assert (row["primary_rate"], row["primary_rate_hits"], row["primary_rate_of"]) == ("0.2", "4", "20")


def test_segments_and_campaigns_add_up_to_the_same(clinic: Clinic) -> None:
    sums = {name: (row["segments"], row["campaigns"]) for name, row in clinic.reports["reconciliation"].items()}
    # Spend 1,000 of A and 100 of B; campaigns 50 + 850 + 50 + 150. The 50 leads: 20, 5, and 25 in no segment.
    assert sums == {
        "leads": ("50", "50"), "new MQL": ("10", "10"), "new SQL": ("5", "5"), "booked leads": ("4", "4"),
        "value in cents": ("300000", "300000"), "spend in cents": ("110000", "110000"),
    }  # fmt: skip
    campaigns = clinic.reports["campaigns"]
    assert {name: campaigns[name]["spend"] for name in (ADS, MAIL, AFTER, GUIDE)} == {
        ADS: "50.00", MAIL: "850.00", AFTER: "50.00", GUIDE: "150.00",
    }  # fmt: skip
    spend = {name: row["spend"] for name, row in clinic.reports["segments"].items()}
    assert spend == {A: "1000.00", B: "100.00", "unsegmented": "0.00"}


def test_the_path_credits_the_advertisement_the_mail_and_the_webinar_as_each_model_says(clinic: Clinic) -> None:
    assert clinic.reports["paths"]["ads → webinar → email"]["conversions"] == "1"
    # Only A01 was reached by these two campaigns, and its webinar belongs to none: the rows are its path alone.
    rows = clinic.reports["attribution_campaigns"]
    credits = {
        name: tuple(float(rows[name][model]) for model in MODELS) for name in (ADS, "no campaign recorded", AFTER)
    }
    assert credits == {ADS: (1, 0, 0.4), "no campaign recorded": (0, 0, 0.2), AFTER: (0, 1, 0.4)}
    # The other three booked after one e-mail: it has all of their credit in every model.
    points = clinic.reports["attribution"]
    assert {name: tuple(float(points[name][model]) for model in MODELS) for name in ("ads", "webinar", "email")} == {
        "ads": (1, 0, 0.4), "webinar": (0, 0, 0.2), "email": (3, 4, 3.4),
    }  # fmt: skip


@pytest.mark.parametrize("table", ["attribution", "attribution_campaigns", "attribution_assets"])
@pytest.mark.parametrize("model", MODELS)
def test_each_model_sums_to_the_conversions(clinic: Clinic, table: str, model: str) -> None:
    # In tenths, which every credit here is a whole number of.
    assert sum(round(10 * float(row[model])) for row in clinic.reports[table].values()) == 40


# --- what each person was offered -------------------------------------------------------------------------------------


def test_a_template_is_not_used_before_it_is_complete_and_approved(clinic: Clinic) -> None:
    assert "STILL_NEEDS: the data protection officer's yes" in clinic.refused


def test_a_patient_moves_from_education_to_booking_after_a_comparison_page(clinic: Clinic) -> None:
    before, after = clinic.answers["S1", "05-12"], clinic.answers["S1", "05-14"]
    assert _primary(before) == B
    assert (before["nurture"]["layer"], before["nurture"]["call_to_action"]) == ("education", "learn")
    assert _offered(before) == ("send_onboarding", "patient_welcome")
    assert _primary(after) == A
    assert (after["nurture"]["layer"], after["nurture"]["call_to_action"]) == ("conversion", "contact")
    assert _offered(after) == ("offer_booking", "specialty_care_booking")
    moves = [(m["segment_id"], m["kind"], m["version"], f"{m['at']:%m-%d}") for m in clinic.moves if m["id"] == "S1"]
    assert moves == [
        (B, "entered", 1, "05-12"), (B, "left", 1, "05-14"), (A, "entered", 1, "05-14"), (A, "primary", 1, "05-14"),
    ]  # fmt: skip
    (entered,) = (m for m in clinic.moves if (m["id"], m["segment_id"], m["kind"]) == ("S1", A, "entered"))
    assert {"fact": "depth_comparison_count_90d", "known": "known", "value": "1"} in entered["why"]


def test_where_the_service_is_not_offered_there_is_no_booking_with_the_reason(clinic: Clinic) -> None:
    kansas = clinic.answers["S4", "05-14"]
    assert _primary(kansas) == A
    assert _offered(kansas) == ("send_guide", "specialty_care_guide")
    reason = ["service_offered", "known", "no"]
    assert reason in kansas["next_best_action"]["because"]
    assert kansas["nurture"]["call_to_action"] == "learn"
    assert kansas["route"]["says"].startswith("our service is not offered where the lead is")
    # Asked about the booking alone, the answer is the rule: for the same person in California it may be sent.
    assert clinic.answers["S1", "booking"]["channels"]["email"]["permitted"]
    blocked = clinic.answers["S4", "booking"]["channels"]["email"]
    assert not blocked["permitted"]
    assert [(one["rule"], one["reason"]) for one in blocked["blocks"]] == [("SVC-01", "SERVICE_NOT_OFFERED")]


def test_without_consent_to_use_condition_data_it_vanishes_and_the_segment_is_not_entered(clinic: Clinic) -> None:
    found = clinic.answers["S3", "05-12"]
    assert _primary(found) == "unsegmented"
    withheld = {(one["what"], one["reason"], one["rule"], one["count"]) for one in found["withheld"]}
    assert withheld == {
        ("health_behavior", "SENSITIVE_HEALTH_FEATURE", "FEA-01", 1),
        ("condition_focus", "SENSITIVE_HEALTH_FEATURE", "FEA-01", 1),
    }
    # S1 did the same and agreed.
    assert clinic.answers["S1", "05-12"]["withheld"] == []
    assert {m["segment_id"] for m in clinic.moves if m["id"] == "S3"} == {"unsegmented"}


def test_referrers_of_primary_care_and_of_a_specialty_get_different_assets(clinic: Clinic) -> None:
    assert _offered(clinic.answers["R1", "05-12"]) == ("send_referral_pack", "referral_pack_primary_care")
    assert _offered(clinic.answers["R2", "05-12"]) == ("send_referral_pack", "referral_pack_specialty")


def test_new_and_known_patients_get_different_onboarding(clinic: Clinic) -> None:
    new, known = clinic.answers["S1", "05-12"], clinic.answers["S2", "05-12"]
    assert (new["nurture"]["track"], _offered(new)[1]) == ("patient_newcomer", "patient_welcome")
    assert (known["nurture"]["track"], _offered(known)[1]) == ("patient_known", "patient_next_visit")


@pytest.mark.parametrize(
    ("file", "prefix", "suffix", "empty"),
    [("salesforce/Contact", "Leadwell_", "__c", "#N/A"), ("hubspot/contacts", "leadwell_", "", "no_value")],
)
def test_the_crm_file_carries_segment_referral_source_condition_and_stage(
    clinic: Clinic, file: str, prefix: str, suffix: str, empty: str
) -> None:
    def tags(lead_id: str) -> list[str]:
        row = {name.lower(): value for name, value in clinic.crm[file][lead_id].items()}
        names = ("segment", "referral_source", "condition_focus", "journey_stage")
        return [row[f"{prefix.lower()}{name}{suffix}"] for name in names]

    assert tags("S1") == [A, "primary_care", "joint_pain", "evaluation"]
    assert tags("S2") == [B, "none", "joint_pain", "education"]
    # Who did not agree is told without a condition, and without a stage that would rest on it.
    assert tags("S3") == ["unsegmented", "none", empty, empty]


def _primary(answer: dict[str, Any]) -> str:
    return next(str(one["id"]) for one in answer["segments"] if one["primary"])


def _offered(answer: dict[str, Any]) -> tuple[str, str]:
    action = answer["next_best_action"]
    return action["action"], action["asset_id"]
