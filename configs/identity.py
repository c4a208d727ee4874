"""Who is one person, and whether a site or its parent system speaks for a lead's account."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from configs.section import Section

Level = Literal["site", "system"]
AccountField = Literal[
    "organization_type",
    "care_setting",
    "size",
    "specialty",
    "procedure_volume",
    "throughput",
    "integration_need",
    "procurement_path",
    "compliance_expectation",
    "pathway_stage",
    "patient_population",
    "use_case",
    "decision_moment",
    "decision_path",
    "adoption_speed",
    "implementation_stage",
    "partner_eligible",
    "target_market",
    "training_readiness",
]
LeadField = Literal[
    "audience",
    "specialty",
    "subspecialty",
    "role",
    "treatment_role",
    "influence",
    "committee",
    "department",
    "cancer_type",
    "disease_stage",
    "preferred_channel",
    "country",
    "region",
    "time_zone",
    "licence_status",
    "language",
    "source",
    "referral_source",
    "product_interest",
    "condition_focus",
    "therapeutic_area",
    "clinical_question",
    "evidence_need",
    "technical_orientation",
    "lifecycle",
]
YesNoField = Literal["adult", "verified_hcp", "purchase_authority", "role_address"]
Trait = Literal[
    "registry_id",
    "email_hash",
    "phone_hash",
    "name_hash",
    "mail_domain",
    "account_id",
    "territory",
    "region",
    "role",
    "specialty",
    "country",
]
KeyName = Literal["registry_id", "email_hash", "phone_hash"]


class Governed(Section):
    """Which level's value of an account field counts, and whether the other level may stand in for an unknown one."""

    level: Level = "site"
    fallback: bool = False


class ConflictSettings(Section):
    """What becomes of a field on which merged records disagree; of every other field the survivor's value stays."""

    unknown: tuple[LeadField, ...] = (
        "audience", "country", "region", "time_zone", "licence_status", "specialty", "cancer_type", "condition_focus",
    )  # fmt: skip
    no: tuple[YesNoField, ...] = ("adult", "verified_hcp")
    yes: tuple[YesNoField, ...] = ("role_address",)


class KeySettings(Section):
    """An exact key: shared by more leads than `max_leads` it is a switchboard and no evidence.

    `unless_differ` are traits that must not be known to differ, `needs` those that must be known and equal.
    """

    max_leads: int = Field(default=3, ge=2, le=100)
    unless_differ: tuple[Trait, ...] = ()
    needs: tuple[Trait, ...] = ()


class ComparedSettings(Section):
    """One comparison: its traits from the most telling on, and how often two records of one person agree on each first.

    Traits of one comparison depend on each other (who shares a practice shares its mail domain), so only the first that
    agrees counts. `by_frequency`: agreeing on a rare value of the first trait says more than on a common one.
    """

    traits: tuple[Trait, ...] = Field(min_length=1, max_length=3)
    agree: tuple[float, ...]
    by_frequency: bool = False

    @model_validator(mode="after")
    def _a_share_each(self) -> ComparedSettings:
        if len(self.agree) != len(self.traits) or min(self.agree) <= 0.0 or sum(self.agree) >= 1.0:
            raise ValueError("agree needs a share above 0 for each trait, together below 1")
        return self


class LinkageSettings(Section):
    """How duplicates are found: exact keys, then a Fellegi-Sunter comparison with declared thresholds."""

    keys: dict[KeyName, KeySettings]
    compared: dict[str, ComparedSettings]
    block_on: tuple[tuple[Trait, ...], ...] = Field(min_length=1)
    never: tuple[Trait, ...] = ("registry_id",)
    merge_needs: tuple[Trait, ...] = ("name_hash",)
    expected_share: float = Field(default=0.02, gt=0.0, lt=1.0)
    merge_at: float = Field(default=0.98, gt=0.5, le=1.0)
    review_at: float = Field(default=0.5, gt=0.0, le=1.0)
    max_people: int = Field(default=8, ge=2)
    max_block: int = Field(default=50, ge=2)

    @model_validator(mode="after")
    def _ordered(self) -> LinkageSettings:
        if self.review_at > self.merge_at:
            raise ValueError("review_at must not be above merge_at")
        return self


class IdentitySettings(Section):
    """`governs` by account field (a field not named: the site governs), conflicts of merged records, and linkage."""

    governs: dict[AccountField, Governed] = Field(default_factory=dict)
    conflicts: ConflictSettings = ConflictSettings()
    linkage: LinkageSettings
