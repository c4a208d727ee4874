"""What one row of each table is: the single declaration that intake, the API and the sample share.

A `Struct` here is strict: unknown fields are refused, an instant must carry a zone, numbers are finite.
`Coded(...)` fields hold text that the named vocabulary maps to a code; a value outside the vocabulary is unknown.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct


def _coded(vocabulary: str) -> Any:
    return Meta(max_length=200, extra={"vocabulary": vocabulary})


Id = Annotated[str, Meta(min_length=1, max_length=64)]
Text = Annotated[str, Meta(max_length=200)]
Instant = Annotated[datetime, Meta(tz=True)]
Amount = Annotated[float, Meta(ge=-1e15, le=1e15)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]

Audience = Annotated[str, _coded("audience")]
Role = Annotated[str, _coded("role")]
Specialty = Annotated[str, _coded("specialty")]
Subspecialty = Annotated[str, _coded("subspecialty")]
Department = Annotated[str, _coded("department")]
TreatmentRole = Annotated[str, _coded("treatment_role")]
Influence = Annotated[str, _coded("influence")]
CancerType = Annotated[str, _coded("cancer_type")]
DiseaseStage = Annotated[str, _coded("disease_stage")]
ConditionFocus = Annotated[str, _coded("condition_focus")]
ReferralSource = Annotated[str, _coded("referral_source")]
LeadSource = Annotated[str, _coded("lead_source")]
Lifecycle = Annotated[str, _coded("lifecycle")]
Country = Annotated[str, _coded("country")]
Language = Annotated[str, _coded("language")]
Product = Annotated[str, _coded("product")]
Channel = Annotated[str, _coded("channel")]
OrganizationType = Annotated[str, _coded("organization_type")]
CareSetting = Annotated[str, _coded("care_setting")]
Size = Annotated[str, _coded("size")]
Level = Annotated[str, _coded("level")]
IntegrationNeed = Annotated[str, _coded("integration_need")]
ProcurementPath = Annotated[str, _coded("procurement_path")]
ComplianceExpectation = Annotated[str, _coded("compliance_expectation")]
AccountKind = Annotated[str, _coded("account_kind")]
EventKind = Annotated[str, _coded("event_kind")]
Topic = Annotated[str, _coded("topic")]
Depth = Annotated[str, _coded("depth")]
EventChannel = Annotated[str, _coded("event_channel")]
EventSource = Annotated[str, _coded("event_source")]
Intent = Annotated[str, _coded("intent")]
ConsentStatus = Annotated[str, _coded("consent_status")]
ConsentKind = Annotated[str, _coded("consent_kind")]
Purpose = Annotated[str, _coded("purpose")]
SuppressionReason = Annotated[str, _coded("suppression_reason")]
SuppressionScope = Annotated[str, _coded("suppression_scope")]
CaseKind = Annotated[str, _coded("case_kind")]
OutcomeKind = Annotated[str, _coded("outcome_kind")]
MembershipStatus = Annotated[str, _coded("membership_status")]
Committee = Annotated[str, _coded("committee")]
TherapeuticArea = Annotated[str, _coded("therapeutic_area")]
PathwayStage = Annotated[str, _coded("pathway_stage")]
ClinicalQuestion = Annotated[str, _coded("clinical_question")]
EvidenceNeed = Annotated[str, _coded("evidence_need")]
TechnicalOrientation = Annotated[str, _coded("technical_orientation")]
PatientPopulation = Annotated[str, _coded("patient_population")]
UseCase = Annotated[str, _coded("use_case")]
DecisionMoment = Annotated[str, _coded("decision_moment")]
DecisionPath = Annotated[str, _coded("decision_path")]
AdoptionSpeed = Annotated[str, _coded("adoption_speed")]
ImplementationStage = Annotated[str, _coded("implementation_stage")]
Agent = Annotated[str, _coded("agent")]
LinkKind = Annotated[str, _coded("link_kind")]
LinkEvidence = Annotated[str, _coded("link_evidence")]
LicenceStatus = Annotated[str, _coded("licence_status")]
TimeZone = Annotated[str, _coded("time_zone")]


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every row: strict fields only."""


class Lead(Record, frozen=True, kw_only=True):
    """A person we may want to contact, as known at `recorded_at`. No name, e-mail or phone is needed or taken.

    The `_hash` fields hold keyed hashes that tell duplicates apart; nothing else reads them. `time_zone` is a name of
    the IANA database. `role_address`: the address is a desk's (info@), not a person's. `obtained_at`: since when we
    hold the data; `notice_at`: when the person was told so; `screened_at`: when the number was last checked against
    do-not-call lists.
    """

    lead_id: Id
    recorded_at: Instant | None = None
    account_id: Id | None = None
    audience: Audience | None = None
    title: Text | None = None
    specialty: Specialty | None = None
    subspecialty: Subspecialty | None = None
    role: Role | None = None
    treatment_role: TreatmentRole | None = None
    influence: Influence | None = None
    purchase_authority: bool | None = None
    committee: Committee | None = None
    department: Department | None = None
    cancer_type: CancerType | None = None
    disease_stage: DiseaseStage | None = None
    adult: bool | None = None
    verified_hcp: bool | None = None
    mail_domain: Text | None = None
    preferred_channel: Channel | None = None
    country: Country | None = None
    region: Text | None = None
    language: Language | None = None
    territory: Text | None = None
    source: LeadSource | None = None
    referral_source: ReferralSource | None = None
    product_interest: Product | None = None
    condition_focus: ConditionFocus | None = None
    therapeutic_area: TherapeuticArea | None = None
    clinical_question: ClinicalQuestion | None = None
    evidence_need: EvidenceNeed | None = None
    technical_orientation: TechnicalOrientation | None = None
    lifecycle: Lifecycle | None = None
    created_at: Instant | None = None
    verified_at: Instant | None = None
    licence_status: LicenceStatus | None = None
    time_zone: TimeZone | None = None
    role_address: bool | None = None
    obtained_at: Instant | None = None
    notice_at: Instant | None = None
    screened_at: Instant | None = None
    registry_id: Id | None = None
    email_hash: Id | None = None
    phone_hash: Id | None = None
    name_hash: Id | None = None
    attributes: dict[str, str | float | bool | None] | None = None


class Account(Record, frozen=True, kw_only=True):
    """A site, or the system that owns sites.

    `patient_population` and `pathway_stage` are aggregates, never a person's.
    """

    account_id: Id
    recorded_at: Instant | None = None
    parent_account_id: Id | None = None
    kind: AccountKind | None = None
    organization_type: OrganizationType | None = None
    care_setting: CareSetting | None = None
    size: Size | None = None
    specialty: Specialty | None = None
    procedure_volume: Level | None = None
    throughput: Level | None = None
    integration_need: IntegrationNeed | None = None
    procurement_path: ProcurementPath | None = None
    compliance_expectation: ComplianceExpectation | None = None
    vendor_ecosystem: Text | None = None
    pathway_stage: PathwayStage | None = None
    patient_population: PatientPopulation | None = None
    use_case: UseCase | None = None
    decision_moment: DecisionMoment | None = None
    decision_path: DecisionPath | None = None
    adoption_speed: AdoptionSpeed | None = None
    implementation_stage: ImplementationStage | None = None
    partner_eligible: bool | None = None
    target_market: Country | None = None
    training_readiness: Level | None = None
    country: Country | None = None
    region: Text | None = None
    verified_at: Instant | None = None


class Event(Record, frozen=True, kw_only=True):
    """Something a lead did: when it happened and when we learned of it."""

    event_id: Id
    lead_id: Id
    occurred_at: Instant
    recorded_at: Instant
    account_id: Id | None = None
    kind: EventKind | None = None
    topic: Topic | None = None
    depth: Depth | None = None
    channel: EventChannel | None = None
    agent: Agent | None = None
    asset_id: Id | None = None
    campaign_id: Id | None = None
    product: Product | None = None
    message_id: Id | None = None
    source: EventSource | None = None


class Touch(Record, frozen=True, kw_only=True):
    """Something we did: what frequency caps count."""

    touch_id: Id
    lead_id: Id
    sent_at: Instant
    recorded_at: Instant | None = None
    channel: Channel | None = None
    intent: Intent | None = None
    asset_id: Id | None = None
    campaign_id: Id | None = None
    message_id: Id | None = None


class Consent(Record, frozen=True, kw_only=True):
    """Permission given or withdrawn for a channel and purpose. `kind` says what an implied consent rests on."""

    lead_id: Id
    captured_at: Instant
    recorded_at: Instant | None = None
    channel: Channel | None = None
    purpose: Purpose | None = None
    product: Product | None = None
    status: ConsentStatus | None = None
    kind: ConsentKind | None = None
    proof: Text | None = None
    jurisdiction: Text | None = None
    expires_at: Instant | None = None


class Suppression(Record, frozen=True, kw_only=True):
    """A hard stop for a lead or an account on one channel, or on all when `channel` is absent.

    An opt-out with a `topic` or `product` stops only content of both; one that cannot be read stops everything.
    """

    since_at: Instant
    recorded_at: Instant | None = None
    lead_id: Id | None = None
    account_id: Id | None = None
    channel: Channel | None = None
    scope: SuppressionScope | None = None
    reason: SuppressionReason | None = None
    until_at: Instant | None = None
    topic: Topic | None = None
    product: Product | None = None


class Case(Record, frozen=True, kw_only=True):
    """An open matter with a lead: meeting, off-label question, adverse event, complaint."""

    case_id: Id
    lead_id: Id
    opened_at: Instant
    recorded_at: Instant | None = None
    kind: CaseKind | None = None
    product: Product | None = None
    closed_at: Instant | None = None


class Link(Record, frozen=True, kw_only=True):
    """Two lead ids are one person, or are not: an edge with its evidence. The latest word on a pair counts."""

    lead_id: Id
    other_lead_id: Id
    linked_at: Instant
    kind: LinkKind
    recorded_at: Instant | None = None
    evidence: LinkEvidence | None = None
    confidence: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    by: Text | None = None


class PriorMembership(Record, frozen=True, kw_only=True):
    """A membership that was true before; what entry, exit and dwell are folded over.

    `entry` counts the entries into this segment from 1. `status` and `primary` are what the last fold said; the next
    one reads neither.
    """

    lead_id: Id
    segment_id: Id
    version: int
    entered_at: Instant
    left_at: Instant | None = None
    status: MembershipStatus | None = None
    entry: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    primary: bool | None = None


class Colleague(Record, frozen=True, kw_only=True):
    """Summary of another lead at the same account: what the account roll-up needs of it, and no more."""

    lead_id: Id
    role: Role | None = None
    influence: Influence | None = None
    event_count_90d: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    demo_request_count_90d: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    days_since_last_event: Annotated[int, Meta(ge=0, le=36_500)] | None = None


class Outcome(Record, frozen=True, kw_only=True):
    """What came of it: the source of labels."""

    lead_id: Id
    kind: OutcomeKind
    occurred_at: Instant
    recorded_at: Instant | None = None
    value: Amount | None = None
    reason: Text | None = None
    feedback: Text | None = None


class Assignment(Record, frozen=True, kw_only=True):
    """Which arm of the standing experiment a lead was in, what was done, and how likely both were.

    `share` is the chance of the arm, `propensity` that of the action over all arms, `handover_propensity` that of being
    handed to sales, each given all that was known of the lead. `unit` drew the arm, often for all leads of an account;
    `segment` is the primary segment of then. No channel: nothing was done; what is planned is what would have been done
    outside of any arm, and is known of the held-out too.
    """

    lead_id: Id
    assigned_at: Instant
    arm: Text
    recorded_at: Instant | None = None
    period: Text | None = None
    unit: Text | None = None
    share: Share | None = None
    propensity: Share | None = None
    handed_over: bool | None = None
    handover_propensity: Share | None = None
    segment: Text | None = None
    channel: Channel | None = None
    asset_id: Id | None = None
    planned_channel: Channel | None = None
    planned_asset: Text | None = None


class Campaign(Record, frozen=True, kw_only=True):
    """A campaign: which segments it selects, which assets it gives them, its goal and its spend."""

    campaign_id: Id
    name: Text | None = None
    channel: Channel | None = None
    product: Product | None = None
    segment_ids: list[Id] | None = None
    offers: list[Id] | None = None
    goal: Text | None = None
    spend: Amount | None = None
    started_on: Text | None = None
    ended_on: Text | None = None


TABLES: dict[str, type[Record]] = {
    "leads": Lead,
    "accounts": Account,
    "events": Event,
    "touches": Touch,
    "consents": Consent,
    "suppressions": Suppression,
    "cases": Case,
    "links": Link,
    "memberships": PriorMembership,
    "outcomes": Outcome,
    "assignments": Assignment,
    "campaigns": Campaign,
}
