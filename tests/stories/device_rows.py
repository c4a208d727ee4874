"""Rows of story 4: accounts, people, what they do, and the request bodies that a CRM makes of them.

Everything is written by hand. Day 0 is Friday, 1 May 2026; each day of the story is asked about at 12:00 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Row = dict[str, Any]
DAY_0 = datetime(2026, 5, 1, 12, tzinfo=UTC)
SURGEON, NURSE, ANALYST, SIGNER = "H-surgeon", "H-nurse", "H-analyst", "H-procurement"
LAB, INFORMATICS, COMPLIANCE, PARTNER = "L-director", "S1-informatics", "S2-compliance", "D-partner"
BUYER_OF_DISPOSABLES, OF_STALE = "C-buyer", "O-director"
IMPLANTS, DIAGNOSTICS, SOFTWARE, PARTNERS = (
    "implant_ortho_vac", "dx_independent_lab_qc", "software_ehr_health_system", "distributor_partner",
)  # fmt: skip


def at(day: int, hour: int = 12) -> datetime:
    """The instant at an hour of a day of the story."""
    return DAY_0.replace(hour=hour) + timedelta(days=day)


def account(account_id: str, organization_type: str, verified: int = -30, **known: Any) -> Row:
    """An account in Texas, verified on a day of the story."""
    return {
        "account_id": account_id, "recorded_at": at(verified), "verified_at": at(verified), "kind": "site",
        "organization_type": organization_type, "country": "US", "region": "TX",
    } | known  # fmt: skip


def accounts() -> list[Row]:
    """One account of each kind; the two sites leave it to their system which records it wants connected."""
    return [
        account("H", "hospital", specialty="orthopedics", procurement_path="value_analysis", care_setting="inpatient"),
        account("L", "independent_lab", throughput="high", compliance_expectation="strict_qc_docs",
                care_setting="laboratory"),
        account("S", "health_system", kind="system", integration_need="ehr"),
        account("S1", "hospital", parent_account_id="S"),
        account("S2", "clinic", parent_account_id="S"),
        account("D", "distributor", partner_eligible=True, target_market="US", training_readiness="medium"),
        account("C", "ambulatory_surgery_center"),
        # Nobody has verified this hospital for two years and a month.
        account("O", "hospital", verified=-760, specialty="orthopedics", procurement_path="value_analysis"),
    ]  # fmt: skip


def lead(lead_id: str, role: str, product: str, audience: str = "buyer", **known: Any) -> Row:
    """A person of Texas whom the shipped rules permit to reach by e-mail and in person."""
    old = at(-30)
    return {
        "lead_id": lead_id, "account_id": lead_id.partition("-")[0], "audience": audience, "role": role,
        "product_interest": product, "purchase_authority": False, "country": "US", "region": "TX", "language": "en",
        "territory": "texas", "adult": True, "source": "congress", "time_zone": "America/Chicago",
        "role_address": False, "preferred_channel": "email", "licence_status": "active", "created_at": old,
        "verified_at": old, "recorded_at": old, "obtained_at": old, "notice_at": old, "screened_at": at(0),
    } | known  # fmt: skip


def leads(*, with_signer: bool = False) -> list[Row]:
    """Everybody; procurement of the hospital is found later."""
    found = [
        lead(SURGEON, "physician", "implant", "hcp", specialty="orthopedics", influence="adoption_influencer",
             verified_hcp=True),
        lead(NURSE, "nursing_leader", "implant", "hcp", influence="user", verified_hcp=True),
        lead(ANALYST, "value_analysis_lead", "implant", influence="value_analysis", committee="value_analysis"),
        lead(LAB, "lab_director", "diagnostic"),
        lead(INFORMATICS, "informatics_leader", "software"),
        lead(COMPLIANCE, "compliance_officer", "software"),
        lead(PARTNER, "distributor_rep", "disposable", source="distributor"),
        lead(BUYER_OF_DISPOSABLES, "procurement", "disposable"),
        lead(OF_STALE, "procurement", "implant"),
    ]  # fmt: skip
    if with_signer:
        found.append(lead(SIGNER, "procurement", "implant", purchase_authority=True, influence="decision_maker"))
    return found


def event(event_id: str, lead_id: str, day: int, kind: str, product: str, **about: Any) -> Row:
    """Something a lead did at 9:00 of a day, recorded a minute later."""
    when = at(day, 9)
    return {
        "event_id": event_id, "lead_id": lead_id, "occurred_at": when, "recorded_at": when + timedelta(minutes=1),
        "kind": kind, "product": product, "channel": "web", "source": "crm", "agent": "browser",
    } | about  # fmt: skip


def touch(lead_id: str, day: int, asset: str) -> Row:
    """A promotional e-mail that we sent at 14:00 of a day."""
    when = at(day, 14)
    return {
        "touch_id": f"{lead_id}-{asset}-{day}", "lead_id": lead_id, "sent_at": when, "recorded_at": when,
        "channel": "email", "intent": "promotional", "asset_id": asset,
    }  # fmt: skip


def consents() -> list[Row]:
    """Everybody agreed in writing to e-mail and visits."""
    return [
        {"lead_id": one["lead_id"], "channel": channel, "status": "granted", "kind": "express_written",
         "purpose": "promotion", "proof": "form-1", "captured_at": at(-30), "recorded_at": at(-30)}
        for one in leads(with_signer=True)
        for channel in ("email", "rep_visit")
    ]  # fmt: skip


def signals() -> list[Row]:
    """What was known on day 0 of what people did."""
    documents = {"topic": "technical_documentation", "depth": "detailed"}
    return [
        event("h1", SURGEON, -3, "page_view", "implant", topic="clinical_evidence", depth="detailed"),
        event("h2", NURSE, -2, "download", "implant", topic="training", depth="overview"),
        event("h3", ANALYST, -1, "page_view", "implant", topic="workflow", depth="comparison"),
        event("t1", INFORMATICS, -1, "page_view", "software", **documents),
        event("t2", BUYER_OF_DISPOSABLES, -1, "page_view", "disposable", **documents),
    ]


# What the analyst of the hospital does while the ladder is climbed, by day; h3 above is not part of that replay.
CLIMBS: Mapping[int, Sequence[tuple[str, Row]]] = {
    4: [("page_view", {"topic": "workflow", "depth": "overview"})],
    14: [
        ("download", {"topic": "clinical_evidence", "depth": "detailed", "asset_id": "implant_evidence_summary"}),
        ("page_view", {"topic": "workflow", "depth": "detailed"}),
        ("page_view", {"topic": "safety", "depth": "detailed"}),
        ("page_view", {"topic": "training", "depth": "overview"}),
    ],
    25: [
        ("page_view", {"topic": "training", "depth": "detailed"}),
        ("page_view", {"topic": "technical_documentation", "depth": "detailed"}),
    ],
    36: [
        ("page_view", {"topic": "pricing", "depth": "pricing"}),
        ("page_view", {"topic": "pricing", "depth": "comparison"}),
    ],
    40: [("demo_request", {})],
    60: [("referral", {})],
}
# On which days we ask what to do next, and send what we are told.
ASKS = (4, 6, 8, 15, 17, 26, 28, 37, 41, 44, 61)
# Sales takes the lead on day 43 and is done with it on day 58.
TAKEN, DONE, RECORDED = 43, 58, 42


def case(day: int) -> list[Row]:
    """The hand-over as the CRM tells it on a day."""
    if day < TAKEN:
        return []
    found = {"case_id": "h1", "lead_id": ANALYST, "kind": "handover", "product": "implant", "opened_at": at(TAKEN),
             "recorded_at": at(TAKEN)}  # fmt: skip
    return [found | ({"closed_at": at(DONE)} if day >= DONE else {})]


def climbed(day: int) -> list[Row]:
    """What the analyst did up to a day of the replay."""
    return [
        event(f"c{when}-{place}", ANALYST, when, kind, "implant", **about)
        for when, done in CLIMBS.items()
        for place, (kind, about) in enumerate(done)
        if when <= day
    ]


def request(lead_id: str, day: int, events: Sequence[Row] = (), touches: Sequence[Row] = ()) -> Row:
    """The body of `POST /v1/score` about one lead, as the CRM knows it on a day."""
    known = {one["account_id"]: one for one in accounts()}
    own = next(one for one in leads(with_signer=True) if one["lead_id"] == lead_id)
    site = known[own["account_id"]]
    rows = {"events": events, "touches": touches, "cases": case(day) if lead_id == ANALYST else (),
            "consents": consents(), "suppressions": (), "colleagues": (), "memberships": ()}  # fmt: skip
    found: Row = {name: [_plain(row) for row in of if row["lead_id"] == lead_id] for name, of in rows.items()}
    found |= {"lead": _plain(own), "account": _plain(site), "suppressions_complete_as_of": at(day).isoformat()}
    if "parent_account_id" in site:
        found["parent_account"] = _plain(known[site["parent_account_id"]])
    return found


def _plain(row: Row) -> Row:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
