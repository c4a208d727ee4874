"""What may be learned from and scored: the feature gate before training and scoring, and the lead gate.

The feature gate refuses names that no purpose allows: protected traits and their proxies, and sales-written outcomes of
a person's health. It works on words of the name, so a new column cannot slip through under another prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, slots=True)
class DroppedFeature:
    """A feature that may not be used, and why."""

    name: str
    reason: str


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
            dropped.append(DroppedFeature(name, reason))
    return FeatureGate(tuple(allowed), tuple(dropped))


def may_score(rulings: Rulings) -> NDArray[np.bool_]:
    """The lead gate: who may be scored at all."""
    return ~rulings.no_score
