"""What people do and what it means: the behaviors, how common each is in a segment, and its true weight there.

The same signal means different things in different segments: that is the point of the sample world.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.sample.personas import SEGMENTS

TOPICS = (
    "mechanism_of_action", "clinical_evidence", "safety", "dosing", "patient_selection", "referral_pathway", "workflow",
    "technical_documentation", "integration", "training", "installation", "pricing", "quality_documentation",
    "condition_education", "scheduling",
)  # fmt: skip
DEMO, MEETING = len(TOPICS), len(TOPICS) + 1
SIGNAL_COUNT = len(TOPICS) + 2
KINDS = (
    "page_view", "download", "form_submit", "webinar_attend", "event_attend", "demo_request", "meeting_request",
    "sample_request", "ticket", "field_visit", "ad_click", "search", "off_label_question", "email_open", "email_click",
)  # fmt: skip
DEPTHS = ("overview", "detailed", "comparison", "checklist", "pricing")
AGENTS = ("browser", "mail_client", "image_proxy", "security_gateway")
EVENT_CHANNELS = ("email", "web", "search", "paid", "social", "webinar", "event", "field", "phone")


@dataclass(frozen=True, slots=True)
class Behavior:
    """One thing a lead may do, and how common it is where the segment does not say otherwise."""

    kind: str
    topic: str
    depth: str | None
    channel: str
    weight: float


_PAGE_DEPTHS = {"pricing": "pricing", "technical_documentation": "detailed", "clinical_evidence": "detailed",
                "patient_selection": "checklist", "quality_documentation": "checklist"}  # fmt: skip
BEHAVIORS = (
    *(Behavior("page_view", topic, _PAGE_DEPTHS.get(topic, "overview"), "web", 3.0) for topic in TOPICS),
    *(
        Behavior("download", topic, "checklist" if topic == "scheduling" else "detailed", "web", 1.0)
        for topic in TOPICS
    ),
    Behavior("page_view", "workflow", "comparison", "web", 1.0),
    Behavior("page_view", "pricing", "comparison", "web", 1.0),
    Behavior("form_submit", "scheduling", "checklist", "web", 0.7),
    Behavior("form_submit", "pricing", "pricing", "web", 0.4),
    Behavior("webinar_attend", "clinical_evidence", "detailed", "webinar", 0.9),
    Behavior("webinar_attend", "mechanism_of_action", "detailed", "webinar", 0.5),
    Behavior("webinar_attend", "workflow", "overview", "webinar", 0.6),
    Behavior("webinar_attend", "integration", "detailed", "webinar", 0.4),
    Behavior("event_attend", "clinical_evidence", "overview", "event", 0.5),
    Behavior("event_attend", "training", "overview", "event", 0.4),
    Behavior("demo_request", "workflow", "detailed", "web", 0.5),
    Behavior("demo_request", "integration", "detailed", "phone", 0.2),
    Behavior("meeting_request", "scheduling", None, "web", 0.4),
    Behavior("meeting_request", "scheduling", None, "field", 0.2),
    Behavior("sample_request", "dosing", None, "web", 0.3),
    Behavior("ticket", "installation", None, "phone", 0.4),
    Behavior("field_visit", "clinical_evidence", "overview", "field", 0.6),
    Behavior("field_visit", "dosing", "overview", "field", 0.4),
    Behavior("ad_click", "condition_education", "overview", "paid", 1.0),
    Behavior("ad_click", "pricing", "overview", "social", 0.5),
    Behavior("search", "condition_education", "overview", "search", 1.5),
    Behavior("search", "workflow", "overview", "search", 0.8),
    Behavior("off_label_question", "dosing", None, "web", 0.06),
)
PAGE_OF_TOPIC, DOWNLOAD_OF_TOPIC = 0, len(TOPICS)

_COMMON = {"condition_education": 0.5}
_AFFINITY: dict[str, dict[str, float]] = {
    "software_ehr_health_system": {"technical_documentation": 2.5, "integration": 2.5, "workflow": 1.5, "dosing": 0.1},
    # disposable and implant buyers read technical documents just as much; it means nothing there
    "implant_ortho_vac": {"technical_documentation": 2.5, "clinical_evidence": 2, "training": 2, "dosing": 0.1},
    "dx_independent_lab_qc": {"quality_documentation": 3, "technical_documentation": 2, "pricing": 1.5, "dosing": 0.1},
    "onc_advanced_specialist": {"clinical_evidence": 3, "mechanism_of_action": 2, "safety": 1.5, "integration": 0.2},
    "onc_community_center": {"referral_pathway": 2, "safety": 2, "clinical_evidence": 1.5, "integration": 0.2},
    "cardio_hospital_team": {"workflow": 2, "clinical_evidence": 2, "dosing": 1.5, "integration": 0.4},
    "cardio_outpatient": {"patient_selection": 2, "safety": 1.5, "referral_pathway": 1.5, "integration": 0.3},
    "pharmacist_med_mgmt": {"dosing": 3, "safety": 2.5, "workflow": 1.5, "integration": 0.4},
    "unsegmented": {"condition_education": 2, "pricing": 1.5, "scheduling": 1.5},
}
_MEANING: dict[str, dict[str, float]] = {
    "software_ehr_health_system": {"technical_documentation": 1.0, "integration": 0.8, "workflow": 0.2, "safety": -0.3},
    "implant_ortho_vac": {"clinical_evidence": 0.6, "training": 0.8, "technical_documentation": -0.35, "pricing": 0.2},
    "dx_independent_lab_qc": {"quality_documentation": 0.9, "pricing": 0.7, "technical_documentation": 0.1,
                              "clinical_evidence": -0.3},
    "onc_advanced_specialist": {"clinical_evidence": 0.9, "mechanism_of_action": 0.6, "pricing": -0.4, "safety": 0.0},
    "onc_community_center": {"referral_pathway": 0.9, "safety": 0.8, "mechanism_of_action": -0.35,
                             "clinical_evidence": 0.1},
    "cardio_hospital_team": {"workflow": 0.8, "dosing": 0.4, "clinical_evidence": 0.5, "referral_pathway": -0.3},
    "cardio_outpatient": {"patient_selection": 0.8, "referral_pathway": 0.5, "safety": 0.3, "workflow": -0.2},
    "pharmacist_med_mgmt": {"dosing": 0.9, "safety": 0.6, "clinical_evidence": -0.2, "mechanism_of_action": -0.2},
    "unsegmented": {"pricing": 0.5, "scheduling": 0.7, "condition_education": 0.1, "technical_documentation": 0.0},
}  # fmt: skip
DEMO_WEIGHT, MEETING_WEIGHT = 0.7, 0.9
_BASE = (-3.9, -3.7, -3.65, -3.6, -3.95, -3.75, -3.85, -3.9, -3.5)
BASE_LOG_ODDS = np.array(_BASE)


def signal_of_behavior() -> NDArray[np.int64]:
    """Which signal each behavior counts toward: its topic, or a request of its own."""
    own = {"demo_request": DEMO, "meeting_request": MEETING}
    return np.array([own.get(b.kind, TOPICS.index(b.topic)) for b in BEHAVIORS])


def behavior_weights() -> NDArray[np.float64]:
    """How common each behavior is in each segment, as (segment, behavior)."""
    return np.array([[b.weight * _affinity(segment, b.topic) for b in BEHAVIORS] for segment in SEGMENTS])


def focus_weights() -> NDArray[np.float64]:
    """How likely each topic is to hold a lead's attention for a while, as (segment, topic)."""
    return np.array([[_affinity(segment, topic) for topic in TOPICS] for segment in SEGMENTS])


def meaning() -> NDArray[np.float64]:
    """True log-odds weight of each signal in each segment, as (segment, signal)."""
    table = np.zeros((len(SEGMENTS), SIGNAL_COUNT))
    for row, segment in enumerate(SEGMENTS):
        for topic, weight in _MEANING[segment].items():
            table[row, TOPICS.index(topic)] = weight
    table[:, DEMO], table[:, MEETING] = DEMO_WEIGHT, MEETING_WEIGHT
    return table


def _affinity(segment: str, topic: str) -> float:
    return _AFFINITY[segment].get(topic, _COMMON.get(topic, 1.0))
