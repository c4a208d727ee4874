"""Who lives in the sample world: kinds of sites with their attributes, the people at them, and their titles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

SEGMENTS = (
    "software_ehr_health_system",
    "implant_ortho_vac",
    "dx_independent_lab_qc",
    "onc_advanced_specialist",
    "onc_community_center",
    "cardio_hospital_team",
    "cardio_outpatient",
    "pharmacist_med_mgmt",
    "unsegmented",
)


@dataclass(frozen=True, slots=True)
class SiteKind:
    """A kind of site: its share of all leads, and its attributes as value -> probability."""

    name: str
    share: float
    organization_type: dict[str, float]
    care_setting: dict[str, float]
    specialty: str | None
    integration_need: dict[str, float]
    procurement_path: dict[str, float]
    compliance_expectation: dict[str, float]
    product: str
    throughput_high: float = 0.2
    parent: float = 0.3
    gateway: float = 0.05


_STANDARD = {"standard": 0.7, "evidence_review": 0.2, "internal_governance": 0.1}
_DIRECT = {"direct": 0.6, "preferred_supplier": 0.3, "formal_onboarding": 0.1}
_LIGHT = {"none": 0.3, "light": 0.6, "imaging": 0.1}

SITE_KINDS = (
    SiteKind("ehr_system_site", 0.105, {"health_system": 0.8, "hospital": 0.2}, {"inpatient": 0.6, "outpatient": 0.3,
             "academic": 0.1}, None, {"ehr": 0.94, "imaging": 0.06}, {"formal_onboarding": 0.7, "tender": 0.3},
             {"internal_governance": 0.7, "evidence_review": 0.3}, "software", 0.3, 1.0, 0.45),
    SiteKind("ortho_hospital", 0.105, {"hospital": 1.0}, {"inpatient": 1.0}, "orthopedics", {"light": 0.9, "none": 0.1},
             {"value_analysis": 0.94, "tender": 0.06}, {"evidence_review": 0.8, "standard": 0.2}, "implant", 0.3, 0.4,
             0.5),
    SiteKind("independent_lab", 0.105, {"independent_lab": 1.0}, {"laboratory": 1.0}, "laboratory_medicine",
             {"lab_system": 0.6, "light": 0.4}, {"direct": 0.4, "preferred_supplier": 0.4, "formal_onboarding": 0.2},
             {"strict_qc_docs": 0.93, "standard": 0.07}, "diagnostic", 0.93, 0.25, 0.1),
    SiteKind("cancer_center", 0.105, {"specialty_center": 0.4, "hospital": 0.6}, {"academic": 0.7, "inpatient": 0.3},
             "oncology", _LIGHT, {"formal_onboarding": 0.6, "preferred_supplier": 0.4}, _STANDARD, "oncology_rx", 0.3,
             0.5, 0.4),
    SiteKind("community_oncology", 0.145, {"clinic": 0.6, "specialty_center": 0.4}, {"community": 1.0}, "oncology",
             _LIGHT, _DIRECT, _STANDARD, "oncology_rx", 0.2, 0.35, 0.1),
    SiteKind("cardiology_hospital", 0.115, {"hospital": 1.0}, {"inpatient": 1.0}, "cardiology", _LIGHT,
             {"formal_onboarding": 0.6, "tender": 0.4}, _STANDARD, "cardiology_rx", 0.3, 0.5, 0.5),
    SiteKind("cardiology_clinic", 0.135, {"clinic": 0.7, "specialty_center": 0.3}, {"outpatient": 1.0}, "cardiology",
             _LIGHT, _DIRECT, _STANDARD, "cardiology_rx", 0.2, 0.25, 0.04),
    SiteKind("pharmacy", 0.055, {"pharmacy": 0.6, "hospital": 0.4}, {"outpatient": 0.6, "inpatient": 0.4}, "pharmacy",
             _LIGHT, _DIRECT, _STANDARD, "cardiology_rx", 0.3, 0.5, 0.2),
    SiteKind("general_care", 0.09, {"clinic": 0.5, "hospital": 0.25, "ambulatory_surgery_center": 0.25},
             {"outpatient": 0.6, "community": 0.25, "home_health": 0.15}, None, _LIGHT, _DIRECT, _STANDARD,
             "disposable", 0.2, 0.4, 0.15),
    SiteKind("distributor", 0.025, {"distributor": 1.0}, {"other": 1.0}, None, {"none": 1.0}, {"direct": 1.0},
             {"standard": 1.0}, "equipment", 0.2, 0.1, 0.02),
)  # fmt: skip
CONSUMER_SHARE = 0.09

HCP, BUYER, OTHER = "hcp", "buyer", "other"


@dataclass(frozen=True, slots=True)
class Persona:
    """A kind of person at a kind of site, and how common it is there."""

    site: str
    weight: float
    role: str
    specialty: str | None
    audience: str
    department: str | None
    treatment_role: str | None
    influence: str


PERSONAS = (
    Persona("ehr_system_site", 3, "informatics_leader", None, BUYER, "information_technology", None, "decision_maker"),
    Persona("ehr_system_site", 3, "it_lead", None, BUYER, "information_technology", None, "user"),
    Persona("ehr_system_site", 2, "clinical_engineer", None, BUYER, None, None, "adoption_influencer"),
    Persona("ehr_system_site", 1, "compliance_officer", None, BUYER, "administration", None, "adoption_influencer"),
    Persona("ehr_system_site", 2, "clinical_leader", "primary_care", HCP, None, "initiates", "adoption_influencer"),
    Persona("ehr_system_site", 1, "nursing_leader", "nursing", HCP, None, "monitors", "adoption_influencer"),
    Persona("ortho_hospital", 4, "physician", "orthopedics", HCP, "surgery", "initiates", "adoption_influencer"),
    Persona("ortho_hospital", 2, "nursing_leader", "nursing", HCP, "surgery", "monitors", "user"),
    Persona("ortho_hospital", 2, "value_analysis_lead", None, BUYER, "procurement", None, "value_analysis"),
    Persona("ortho_hospital", 2, "procurement", None, BUYER, "procurement", None, "decision_maker"),
    Persona("ortho_hospital", 1, "department_head", "orthopedics", HCP, "surgery", "initiates", "decision_maker"),
    Persona(
        "independent_lab", 3, "lab_director", "laboratory_medicine", BUYER, "lab_operations", None, "decision_maker"
    ),
    Persona("independent_lab", 3, "quality_lead", None, BUYER, "lab_operations", None, "adoption_influencer"),
    Persona("independent_lab", 3, "medical_technologist", "laboratory_medicine", HCP, "lab_operations", "none", "user"),
    Persona("independent_lab", 1, "procurement", None, BUYER, "procurement", None, "decision_maker"),
    Persona("independent_lab", 1, "physician", "pathology", HCP, "pathology", "none", "adoption_influencer"),
    Persona("cancer_center", 8, "physician", "oncology", HCP, "oncology", "initiates", "adoption_influencer"),
    Persona("cancer_center", 1, "department_head", "oncology", HCP, "oncology", "initiates", "protocol"),
    Persona("cancer_center", 1, "research_coordinator", None, OTHER, "oncology", None, "protocol"),
    Persona("cancer_center", 1, "pharmacist", "pharmacy", HCP, "pharmacy", "dispenses", "formulary_committee"),
    Persona("cancer_center", 1, "nurse", "nursing", HCP, "oncology", "manages_side_effects", "user"),
    Persona("community_oncology", 4, "physician", "oncology", HCP, None, "initiates", "decision_maker"),
    Persona("community_oncology", 3, "nurse_practitioner", "oncology", HCP, None, "manages_side_effects", "user"),
    Persona("community_oncology", 2, "physician_assistant", "oncology", HCP, None, "monitors", "user"),
    Persona("community_oncology", 1.5, "practice_manager", None, BUYER, "administration", None, "decision_maker"),
    Persona("community_oncology", 1, "care_coordinator", "nursing", HCP, None, "monitors", "user"),
    Persona("cardiology_hospital", 6, "physician", "cardiology", HCP, "cardiology", "initiates", "adoption_influencer"),
    Persona("cardiology_hospital", 2, "nurse_practitioner", "cardiology", HCP, "cardiology", "initiates", "user"),
    Persona("cardiology_hospital", 1, "formulary_member", "pharmacy", HCP, "pharmacy", "none", "formulary_committee"),
    Persona("cardiology_hospital", 1, "nurse", "nursing", HCP, "cardiology", "monitors", "user"),
    Persona("cardiology_hospital", 1, "pharmacist", "pharmacy", HCP, "pharmacy", "monitors", "formulary_committee"),
    Persona("cardiology_clinic", 6, "physician", "cardiology", HCP, None, "initiates", "decision_maker"),
    Persona("cardiology_clinic", 2, "physician_assistant", "cardiology", HCP, None, "monitors", "user"),
    Persona("cardiology_clinic", 1.5, "practice_manager", None, BUYER, "administration", None, "decision_maker"),
    Persona("cardiology_clinic", 1, "nurse", "nursing", HCP, None, "monitors", "user"),
    Persona("pharmacy", 7, "pharmacist", "pharmacy", HCP, "pharmacy", "dispenses", "adoption_influencer"),
    Persona("pharmacy", 2, "pharmacist", "pharmacy", HCP, "pharmacy", "monitors", "formulary_committee"),
    Persona("pharmacy", 1, "operations_lead", None, BUYER, "administration", None, "decision_maker"),
    Persona("general_care", 3, "physician", "primary_care", HCP, None, "initiates", "decision_maker"),
    Persona("general_care", 1, "physician", "radiology", HCP, "radiology", "none", "adoption_influencer"),
    Persona("general_care", 1, "physician", "dermatology", HCP, None, "initiates", "decision_maker"),
    Persona("general_care", 2, "nurse", "nursing", HCP, None, "monitors", "user"),
    Persona("general_care", 2, "practice_manager", None, BUYER, "administration", None, "decision_maker"),
    Persona("general_care", 2, "procurement", None, BUYER, "procurement", None, "decision_maker"),
    Persona("distributor", 1, "distributor_rep", None, OTHER, None, None, "adoption_influencer"),
    Persona("consumer", 4, "patient", None, "patient", None, None, "user"),
    Persona("consumer", 1, "other", None, "caregiver", None, None, "user"),
)

_ROLE_TITLES: dict[str, tuple[str, ...]] = {
    "physician": ("Physician", "Attending Physician, {s}", "MD", "{n}", "Consultant {n}", "Dr., {s}", "Doctor"),
    "nurse_practitioner": ("Nurse Practitioner", "NP", "NP - {s}", "Nurse Practitioner, {s}"),
    "physician_assistant": ("Physician Assistant", "PA", "PA-C {s}", "Physician Assistant ({s})"),
    "pharmacist": ("Pharmacist", "PharmD", "RPh", "Clinical Pharmacist", "Staff Pharmacist"),
    "nurse": ("Registered Nurse", "RN", "R.N.", "Staff Nurse"),
    "nursing_leader": ("Nurse Manager", "OR Nurse Manager", "Director of Nursing", "Chief Nursing Officer", "CNO"),
    "department_head": ("Chief of Service, {s}", "Chair, {s}", "Department Head", "Head of {s}"),
    "clinical_leader": ("Medical Director", "Clinical Champion", "Med. Director"),
    "practice_manager": ("Practice Manager", "Practice Administrator", "Office Manager", "Clinic Mgr"),
    "operations_lead": ("Operations Manager", "Director of Operations", "Ops Lead"),
    "care_coordinator": ("Patient Navigator", "Care Coordinator"),
    "research_coordinator": ("Clinical Research Coordinator", "CRC", "Research Lead"),
    "formulary_member": ("P&T Committee Member", "Formulary Committee Member"),
    "value_analysis_lead": ("Value Analysis Manager", "Value Analysis", "VA Coordinator"),
    "procurement": ("Purchasing Manager", "Supply Chain Manager", "Buyer", "Procurement Specialist"),
    "lab_director": ("Laboratory Director", "Lab Director", "Director, Clinical Laboratory"),
    "quality_lead": ("QA Lead", "Quality Assurance Lead", "Quality Lead"),
    "medical_technologist": ("Medical Technologist", "Med Tech", "Lab Technologist", "MT (ASCP)"),
    "informatics_leader": ("CMIO", "Chief Medical Information Officer", "Informatics Lead"),
    "clinical_engineer": ("Biomedical Engineer", "Clinical Engineering", "BMET"),
    "it_lead": ("IT Director", "CIO", "IT Manager", "Head of I.T."),
    "compliance_officer": ("Compliance Officer", "Regulatory", "Compliance"),
    "distributor_rep": ("Channel Partner", "Distributor", "Territory Rep"),
    "patient": ("", "Patient"),
    "other": ("", "n/a", "Family"),
}
_NOUNS = {
    "oncology": ("Oncology", "Oncologist"), "cardiology": ("Cardiology", "Cardiologist"),
    "orthopedics": ("Orthopaedic Surgery", "Orthopedist"), "radiology": ("Radiology", "Radiologist"),
    "pathology": ("Pathology", "Pathologist"), "primary_care": ("Family Medicine", "General Practitioner"),
    "dermatology": ("Dermatology", "Dermatologist"), "nursing": ("Nursing", "Nurse"),
    "pharmacy": ("Pharmacy", "Pharmacist"), "laboratory_medicine": ("Clinical Laboratory", "Laboratorian"),
}  # fmt: skip


def _full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@cache
def titles() -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """Every spelling of every persona's title, and for each persona its first spelling and how many it has."""
    pool: list[str] = []
    starts, counts = [], []
    for persona in PERSONAS:
        long, noun = _NOUNS.get(persona.specialty or "", ("Medicine", "Physician"))
        plain = [text.format(s=long, n=noun) for text in _ROLE_TITLES[persona.role]]
        spellings = plain * 6  # most people write their title the ordinary way
        spellings += [text.upper() for text in plain] + [text.lower() for text in plain] * 2
        spellings += [f"  {text} " for text in plain] + [_full_width(text) for text in plain]
        starts.append(len(pool))
        counts.append(len(spellings))
        pool += spellings
    return tuple(pool), tuple(starts), tuple(counts)


def weights(of: Sequence[float]) -> list[float]:
    """Shares that sum to one."""
    total = sum(of)
    return [value / total for value in of]
