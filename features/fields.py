"""Facts that are a field of the lead or of its account, and the kernels that settle them.

The jurisdiction comes last: it is the country's until the law is applied.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.law import jurisdiction
from features.standing import NEVER_DAYS
from features.tables import MICROSECONDS_A_DAY, NO, UNKNOWN_INSTANT, YES

# Facts that are a field of the lead, and of its account.
LEAD_FIELDS = {
    "audience": "audience",
    "role": "role",
    "specialty": "specialty",
    "subspecialty": "subspecialty",
    "treatment_role": "treatment_role",
    "influence": "influence",
    "purchase_authority": "purchase_authority",
    "committee": "committee",
    "cancer_type": "cancer_type",
    "disease_stage": "disease_stage",
    "lifecycle": "lifecycle",
    "product_interest": "product_interest",
    "condition_focus": "condition_focus",
    "therapeutic_area": "therapeutic_area",
    "clinical_question": "clinical_question",
    "evidence_need": "evidence_need",
    "technical_orientation": "technical_orientation",
    "referral_source": "referral_source",
    "lead_source": "source",
    "preferred_channel": "preferred_channel",
    "verified_hcp": "verified_hcp",
    "adult": "adult",
    "licence_status": "licence_status",
    "role_address": "role_address",
    "jurisdiction": "country",
}
ACCOUNT_FIELDS = {
    "organization_type": "organization_type",
    "care_setting": "care_setting",
    "account_kind": "kind",
    "account_specialty": "specialty",
    "size": "size",
    "procedure_volume": "procedure_volume",
    "throughput": "throughput",
    "integration_need": "integration_need",
    "procurement_path": "procurement_path",
    "compliance_expectation": "compliance_expectation",
    "pathway_stage": "pathway_stage",
    "patient_population": "patient_population",
    "use_case": "use_case",
    "decision_moment": "decision_moment",
    "decision_path": "decision_path",
    "adoption_speed": "adoption_speed",
    "implementation_stage": "implementation_stage",
    "partner_eligible": "partner_eligible",
    "target_market": "target_market",
    "training_readiness": "training_readiness",
    "parent_organization_type": "organization_type",
}


@njit(cache=True, nogil=True)
def within(block: NDArray[np.uint8], sizes: NDArray[np.uint8]) -> None:
    """A code outside its vocabulary is unknown."""
    for row in range(len(sizes)):
        for i in range(block.shape[1]):
            if block[row, i] > sizes[row]:
                block[row, i] = 0


@njit(cache=True, nogil=True)
def apply_law(
    country: NDArray[np.uint8],
    recorded: NDArray[np.int64],
    verified: NDArray[np.int64],
    jurisdiction_of: NDArray[np.uint8],
    cut: int,
    max_age: int,
) -> None:
    """Country to jurisdiction, in place."""
    for i in range(len(country)):
        country[i] = jurisdiction(country[i], recorded[i], verified[i], jurisdiction_of, cut, max_age)


@njit(cache=True, nogil=True)
def of_parent(
    account: NDArray[np.int32], parent: NDArray[np.int32], kinds: NDArray[np.uint8], found: NDArray[np.uint8]
) -> None:
    """The kind of the parent of each lead's account, unknown without one."""
    for i in range(len(account)):
        a = account[i]
        above = parent[a] if 0 <= a < len(parent) else np.int32(-1)
        found[i] = kinds[above] if 0 <= above < len(kinds) else 0


@njit(cache=True, nogil=True)
def days_since(instants: NDArray[np.int64], today: int, found: NDArray[np.int32]) -> None:
    """Whole UTC days since each instant, -1 where it is unknown or still to come."""
    for i in range(len(instants)):
        days = today - instants[i] // MICROSECONDS_A_DAY
        found[i] = -1 if instants[i] == UNKNOWN_INSTANT or days < 0 else min(days, NEVER_DAYS)


@njit(cache=True, nogil=True)
def either(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
    """Kleene's or, into the first."""
    for i in range(len(first)):
        if first[i] == YES or second[i] == YES:
            first[i] = YES
        elif first[i] != NO or second[i] != NO:
            first[i] = 0
