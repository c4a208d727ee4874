"""The feature gate: what is never learned from is dropped with a reason, whatever the column is called."""

from __future__ import annotations

import pytest

from policy.gates import forbidden_reason, gate_features


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("lead_ethnicity", "PROTECTED_TRAIT_FEATURE"),
        ("attribute_Race", "PROTECTED_TRAIT_FEATURE"),
        ("Sexual Orientation", "PROTECTED_TRAIT_FEATURE"),
        ("maritalStatus", "PROTECTED_TRAIT_FEATURE"),
        ("patient_diagnosis_code", "SENSITIVE_HEALTH_FEATURE"),
        ("engagement_off_label_question_count_30d", "MEDICAL_CASE_FEATURE"),
        ("engagement_trace_count_30d", None),
        ("fit_specialty_oncology", None),
        ("engagement_topic_clinical_evidence_count_90d", None),
        ("fit_organization_type", None),
    ],
)
def test_a_forbidden_word_is_found_as_a_word_and_not_inside_another(name: str, reason: str | None) -> None:
    assert forbidden_reason(name) == reason


def test_the_gate_drops_with_a_reason_and_keeps_the_order_of_the_rest() -> None:
    gate = gate_features(["fit_size", "attribute_religion", "engagement_download_count_7d"])
    assert gate.allowed == ("fit_size", "engagement_download_count_7d")
    assert [(feature.name, feature.reason) for feature in gate.dropped] == [
        ("attribute_religion", "PROTECTED_TRAIT_FEATURE")
    ]
    assert gate.keep(["attribute_religion", "fit_size"]).tolist() == [False, True]
