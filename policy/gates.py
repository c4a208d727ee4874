"""What may be learned from and scored: the feature gate before training and scoring, and the lead gate.

The feature gate refuses columns that no purpose allows: by the words of their name, so that a new column cannot slip
through under another prefix, and by declaration, so that a harmless name cannot either. What some leads allow and
others do not is no matter for this gate: it is taken away lead by lead, before any feature
(`features/use/permitted.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.data_use import DataUse
from features.catalog import Feature
from features.use.permitted import kinds_of, purposes_of
from policy.rulings import Rulings

# FEA-02: protected traits and known proxies. FEA-01: a person's own diagnosis, medication or symptoms.
NEVER_FEATURES: dict[str, tuple[str, ...]] = {
    "PROTECTED_TRAIT_FEATURE": (
        "race", "ethnicity", "ethnic", "religion", "sexual_orientation", "gender_identity", "trade_union",
        "union_member", "genetic", "biometric", "political", "disability", "marital_status", "surname", "first_name",
    ),
    "SENSITIVE_HEALTH_FEATURE": (
        "diagnosis", "medication", "symptom", "symptoms", "prescription_history", "medical_record", "mrn", "icd10",
        "condition_page_view", "clinic_geolocation",
    ),
    # Off-label questions and adverse events are never a sign of buying intent (CON-04, CON-05).
    "MEDICAL_CASE_FEATURE": ("off_label", "off_label_question", "adverse_event"),
}  # fmt: skip

# The rule that each reason belongs to.
RULE_OF = {
    "PROTECTED_TRAIT_FEATURE": "FEA-02",
    "SENSITIVE_HEALTH_FEATURE": "FEA-01",
    "MEDICAL_CASE_FEATURE": "CON-04",
}


@dataclass(frozen=True, slots=True)
class DroppedFeature:
    """A feature that may not be used, why, and under which rule."""

    name: str
    reason: str
    rule: str


@dataclass(frozen=True, slots=True)
class FeatureGate:
    """Which features passed and which were dropped."""

    allowed: tuple[str, ...]
    dropped: tuple[DroppedFeature, ...]

    def keep(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Which of the names passed, in their order."""
        allowed = set(self.allowed)
        return np.array([name in allowed for name in names], dtype=bool)


def forbidden_reason(name: str) -> str | None:
    """Why a feature of this name is never allowed, or None."""
    words = "_" + re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_") + "_"
    for reason, traits in NEVER_FEATURES.items():
        if any(f"_{trait}_" in words for trait in traits):
            return reason
    return None


def gate_features(names: Iterable[str]) -> FeatureGate:
    """Split feature names into those allowed and those dropped with a reason."""
    allowed: list[str] = []
    dropped: list[DroppedFeature] = []
    for name in names:
        reason = forbidden_reason(name)
        if reason is None:
            allowed.append(name)
        else:
            dropped.append(DroppedFeature(name, reason, RULE_OF[reason]))
    return FeatureGate(tuple(allowed), tuple(dropped))


def gate_columns(
    features: Iterable[Feature], use: DataUse, purposes: Mapping[str, Sequence[str]] | None = None
) -> FeatureGate:
    """Split the columns of a model into those allowed and those dropped with a reason, by name and by declaration.

    Args:
        features: what the model declares.
        use: the record of data use.
        purposes: by custom column what its mapping says it may be used for; an empty list says nothing.

    INVARIANT: a column of which nobody said what it may be used for is dropped.
    """
    allowed: list[str] = []
    dropped: list[DroppedFeature] = []
    for feature in features:
        found = _refusal(feature, use, tuple((purposes or {}).get(feature.field, ())))
        if found is None:
            allowed.append(feature.name)
        else:
            dropped.append(found)
    return FeatureGate(tuple(allowed), tuple(dropped))


def _refusal(feature: Feature, use: DataUse, purposes: tuple[str, ...]) -> DroppedFeature | None:
    reason = forbidden_reason(feature.name) or forbidden_reason(feature.field)
    # A column that says it is health data is used lead by lead, where that is consented to.
    if reason is not None and not (reason == "SENSITIVE_HEALTH_FEATURE" and feature.declared == "health"):
        return DroppedFeature(feature.name, reason, RULE_OF[reason])
    for kind in kinds_of(use, feature):
        for rule_id in kind.rules:
            rule = use.rule(rule_id)
            if rule.needs.opt_out == "never":
                return DroppedFeature(feature.name, rule.reason, rule.id)
    if use.model_purpose not in purposes_of(feature, use) or (purposes and use.model_purpose not in purposes):
        return DroppedFeature(feature.name, use.rule(use.purpose_rule).reason, use.purpose_rule)
    return None


def may_score(rulings: Rulings) -> NDArray[np.bool_]:
    """The lead gate: who may be scored at all."""
    return ~rulings.no_score
