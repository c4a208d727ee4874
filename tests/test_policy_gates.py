"""The feature gate: what is never learned from is dropped with a reason, whatever the column is called."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from configs.errors import BundleRefused
from configs.settings import load_settings
from features.catalog import Feature, declared_features
from policy.gates import forbidden_reason, gate_columns, gate_features
from serving.decide import Decider


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
    assert [(feature.name, feature.reason, feature.rule) for feature in gate.dropped] == [
        ("attribute_religion", "PROTECTED_TRAIT_FEATURE", "FEA-02")
    ]
    assert gate.keep(["attribute_religion", "fit_size"]).tolist() == [False, True]


# By declaration

USE = load_settings().data_use


def column(name: str, declared: str = "", source: str = "attribute", field: str = "") -> Feature:
    return Feature(name, "fit", "made up", 0, False, source, field or name, declared)  # type: ignore[arg-type]


def refused(feature: Feature, purposes: dict[str, tuple[str, ...]] | None = None) -> tuple[str, str] | None:
    dropped = gate_columns([feature], USE, purposes).dropped
    return (dropped[0].rule, dropped[0].reason) if dropped else None


def test_every_shipped_feature_passes() -> None:
    settings = load_settings()
    features = declared_features(settings.features, settings.vocabularies)
    gate = gate_columns(features, settings.data_use)
    assert gate.dropped == () and gate.allowed == tuple(feature.name for feature in features)


def test_a_harmless_name_does_not_carry_a_protected_column_through() -> None:
    assert refused(column("fit_group_7", "protected")) == ("FEA-02", "PROTECTED_TRAIT_FEATURE")
    assert refused(column("fit_group_7", "prescriber")) is None
    assert refused(column("fit_group_7")) is None


def test_the_column_behind_a_feature_is_looked_at_too() -> None:
    assert refused(column("fit_x", field="Ethnicity")) == ("FEA-02", "PROTECTED_TRAIT_FEATURE")


def test_a_diagnosis_is_refused_unless_its_column_says_that_it_is_health_data() -> None:
    assert refused(column("fit_diagnosis")) == ("FEA-01", "SENSITIVE_HEALTH_FEATURE")
    assert refused(column("fit_diagnosis", "health")) is None
    # A declaration of health does not excuse a protected trait.
    assert refused(column("fit_diagnosis_by_race", "health")) == ("FEA-02", "PROTECTED_TRAIT_FEATURE")


def test_a_column_for_other_purposes_is_refused() -> None:
    assert refused(column("fit_x"), {"fit_x": ("service",)}) == ("USE-05", "PURPOSE_NOT_DECLARED")
    assert refused(column("fit_x"), {"fit_x": ("service", "profiling")}) is None
    assert refused(column("fit_x"), {"fit_x": ()}) is None


def test_a_field_that_the_record_of_data_use_does_not_know_is_refused() -> None:
    assert refused(column("fit_shoe_size", source="lead", field="shoe_size")) == ("USE-05", "PURPOSE_NOT_DECLARED")


def test_a_bundle_whose_model_was_made_of_a_forbidden_column_is_not_served(small_world: Path) -> None:
    """The bundle is whole and its hashes hold; only what it declares is not allowed here."""
    settings = load_settings()
    Decider.load(small_world / "bundle", settings, on=date(2026, 6, 30))
    kinds = tuple(
        kind.model_copy(update={"lead_fields": {f: v for f, v in kind.lead_fields.items() if f != "specialty"}})
        for kind in USE.kinds
    )
    stricter = settings.model_copy(update={"data_use": USE.model_copy(update={"kinds": kinds})})
    with pytest.raises(BundleRefused, match=r"fit_specialty may never be used \(USE-05 PURPOSE_NOT_DECLARED\)"):
        Decider.load(small_world / "bundle", stricter, on=date(2026, 6, 30))
