"""The people, content, teams and answers of story 3, all written by hand.

Day 0 is Monday, 1 June 2026. Leads act at 15:00 UTC, mails leave at 9:00, and the commands run each morning at 8:00; on
day 5 they run once more in the evening.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.stories.telling import completed

Row = dict[str, Any]
MONDAY = datetime(2026, 6, 1, 8, tzinfo=UTC)
EVENING = 20
OVERLAY = "onc_subspecialty_x_readiness_early_treatment"
SEGMENT = "onc_advanced_specialist"
# C1 treats breast cancer; of C2 nobody recorded a subspecialty. Both work in Austin, each at a practice of their own.
BREAST, UNSAID = "C1", "C2"
# Others who do nothing at all: a segment that held most of all leads would say nothing, so it would hold nobody.
CARDIOLOGISTS, PHARMACISTS = (tuple(f"{letter}{k:02}" for k in range(12)) for letter in "HP")
CHANNELS = ("email", "phone", "rep_visit", "mail")


def at(day: int, hour: int = 8) -> datetime:
    """The instant at an hour of a day of the story."""
    return MONDAY.replace(hour=hour) + timedelta(days=day)


def said(day: int, hour: int = 8) -> str:
    """The same as text."""
    return at(day, hour).isoformat()


def lead(lead_id: str, account: str, **known: Any) -> Row:
    """An oncologist whom the shipped rules permit to reach."""
    old = said(-12)
    return {
        "lead_id": lead_id, "account_id": account, "audience": "hcp", "role": "physician", "specialty": "oncology",
        "subspecialty": None, "disease_stage": "advanced", "influence": "decision_maker", "treatment_role": "initiates",
        "country": "US", "region": "TX", "territory": "austin", "language": "en", "verified_hcp": True, "adult": True,
        "source": "webinar",
        "product_interest": "oncology_rx", "licence_status": "active", "time_zone": "America/Chicago",
        "role_address": False, "created_at": old, "verified_at": old, "recorded_at": old, "obtained_at": old,
        "notice_at": old, "screened_at": old,
    } | known  # fmt: skip


def account(account_id: str) -> Row:
    """A practice where treatment starts."""
    return {
        "account_id": account_id, "recorded_at": said(-12), "verified_at": said(-12), "organization_type": "clinic",
        "care_setting": "specialty_clinic", "specialty": "oncology", "pathway_stage": "treatment_initiation",
        "country": "US",
    }  # fmt: skip


HEART = {"specialty": "cardiology", "care_setting": "outpatient", "pathway_stage": None}


def event(event_id: str, lead_id: str, day: int, kind: str, **about: str) -> Row:
    """Something a lead did at 15:00 of a day, recorded five minutes later."""
    when = at(day, 15)
    return {
        "event_id": event_id, "lead_id": lead_id, "occurred_at": when.isoformat(),
        "recorded_at": (when + timedelta(minutes=5)).isoformat(), "kind": kind, "product": "oncology_rx",
        "source": "crm", "agent": "browser",
    } | about  # fmt: skip


def touch(touch_id: str, lead_id: str, day: int, asset: str, intent: str, channel: str = "email") -> Row:
    """Something we sent at 9:00 of a day."""
    return {
        "touch_id": touch_id, "lead_id": lead_id, "sent_at": said(day, 9), "recorded_at": said(day, 9),
        "channel": channel, "intent": intent, "asset_id": asset,
    }  # fmt: skip


def tables() -> Mapping[str, list[Row]]:
    """All tables of the story; each run knows what was recorded by then."""
    evidence = {"topic": "clinical_evidence", "depth": "detailed"}
    events = []
    for one, last in ((BREAST, evidence | {"depth": "comparison"}), (UNSAID, evidence)):
        events += [
            event(f"{one}-webinar", one, 1, "webinar_attend", asset_id="oncology_education_webinar", **evidence),
            event(f"{one}-weeks", one, 2, "download", asset_id="onc_first_weeks", topic="safety", depth="detailed"),
            event(f"{one}-evidence", one, 3, "download", **last),
        ]
    events.append(event(f"{BREAST}-asks", BREAST, 5, "meeting_request"))
    shows = {"asset_id": "onc_evidence_by_line", "topic": "clinical_evidence", "depth": "comparison"}
    events.append(event(f"{BREAST}-visit", BREAST, 7, "field_visit", source="field", channel="field", **shows))
    consent = {"status": "granted", "kind": "express_written", "purpose": "promotion", "proof": "form-1"}
    heart = {"specialty": "cardiology", "product_interest": "cardiology_rx", "territory": "dallas"}
    drugs = {"role": "pharmacist", "specialty": None, "treatment_role": "dispenses", "territory": "dallas"}
    return {
        "leads": [
            lead(BREAST, "A1", subspecialty="breast_oncology", cancer_type="breast"),
            lead(UNSAID, "A2", cancer_type="lung"),
            *(lead(one, "A3", disease_stage=None, **heart) for one in CARDIOLOGISTS),
            *(lead(one, "A3", disease_stage=None, **drugs) for one in PHARMACISTS),
        ],
        "accounts": [account("A1"), account("A2"), account("A3") | HEART],
        "events": events,
        "consents": [
            {"lead_id": one, "channel": channel, "captured_at": said(-12), "recorded_at": said(-12), **consent}
            for one in (BREAST, UNSAID)
            for channel in CHANNELS
        ],
        "touches": [
            # The guide that both had earlier, what nurture proposed, and what a product campaign sends beside it.
            *(touch(f"{one}-0", one, -10, "oncology_community_guide", "medical_education") for one in (BREAST, UNSAID)),
            *(touch(f"{one}-1", one, 0, "oncology_education_webinar", "medical_education") for one in (BREAST, UNSAID)),
            *(touch(f"{one}-2", one, 2, "onc_first_weeks", "medical_education") for one in (BREAST, UNSAID)),
            *(touch(f"{one}-3", one, 1, "congress_invitation", "promotional") for one in (BREAST, UNSAID)),
            *(touch(f"{one}-4", one, 3, "congress_agenda", "promotional") for one in (BREAST, UNSAID)),
            touch(f"{BREAST}-5", BREAST, 4, "congress_reminder", "promotional"),
        ],
        "cases": [
            {
                "case_id": "m1", "lead_id": BREAST, "opened_at": said(5, 16), "recorded_at": said(5, 16),
                "kind": "meeting", "product": "oncology_rx", "closed_at": said(7, 16),
            }
        ],
        "suppressions": [{"lead_id": PHARMACISTS[0], "since_at": said(-12), "channel": "email", "reason": "opt_out"}],
    }  # fmt: skip


def content(asset_id: str, title: str, kind: str, stages: list[str], depth: str, topic: str) -> Row:
    """A piece of medical education for oncologists, approved on 20 May 2026; it makes no claim."""
    yes = ("fits_label", "fair_balance", "references_checked", "audience_checked", "landing_page_matches",
           "accessible_wording")  # fmt: skip
    return {
        "asset_id": asset_id, "title": title, "kind": kind, "intent": "medical_education", "layer": "education",
        "product": "oncology_rx", "indication": "cancer", "audiences": ["hcp"], "markets": ["US"],
        "channels": ["email", "mail", "rep_visit"], "stages": stages, "depth": depth, "topic": topic,
        "call_to_action": "learn", "claims": [], "checklist": dict.fromkeys(yes, True),
        "supporting_documents": [f"{asset_id.upper()}-DOSSIER"],
        "footer": {"unsubscribe_link": True, "postal_address": True, "honest_header": True}, "source_notice": True,
        "value_transfer": False, "reveals_condition": False, "refill_reminder": False,
        "approval": {
            "by": "medical review board", "on": "2026-05-20", "expires_on": "2027-05-31",
            "reference": f"MED-2026-{asset_id[:12]}",
        },
    }  # fmt: skip


# Beside the shipped inventory, whose oncology content for clinicians is all an overview.
ASSETS = (
    content("onc_first_weeks", "The first weeks of treatment", "guide", ["education"], "detailed", "safety"),
    content("onc_side_effects", "Side effects by line of treatment", "checklist", ["education"], "checklist", "safety"),
    content("onc_evidence_by_line", "Evidence by line of treatment, compared", "evidence_summary",
            ["evaluation", "proposal"], "comparison", "clinical_evidence"),
    content("onc_protocol_compared", "Protocols compared, for the tumor board", "checklist", ["evaluation", "proposal"],
            "comparison", "dosing"),
)  # fmt: skip
_DAY, _UNQUOTED = r'"(\d{4}-\d\d-\d\d)"', r"\1"
TEAMS = {
    "field_sales": [
        {"id": "representative_austin", "territories": ["austin"], "languages": ["en"], "capacity_a_day": 8},
        {"id": "representative_dallas", "territories": ["dallas"], "languages": ["en"], "capacity_a_day": 8},
    ],
    "account_owner": [
        {"id": "representative_austin", "territories": ["austin"]},
        {"id": "representative_dallas", "territories": ["dallas"]},
    ],
}


def make_ours(configs: Path) -> None:
    """What a company writes over a copy of the shipped configuration: content, teams, what the overlay lacked."""
    assets = configs / "assets.yaml"
    # JSON is YAML; only dates stand without quotes.
    own = "".join(f"  - {re.sub(_DAY, _UNQUOTED, json.dumps(asset))}\n" for asset in ASSETS)
    assets.write_text(assets.read_text(encoding="utf-8").rstrip() + "\n" + own, encoding="utf-8")
    actions = configs / "actions.yaml"
    shipped = actions.read_text(encoding="utf-8")
    teams = "".join(f"  {queue}: {json.dumps(members)}\n" for queue, members in TEAMS.items())
    found = re.sub(r"^  field_sales:\n    - .*\n", teams, shipped, flags=re.MULTILINE)
    assert found != shipped
    actions.write_text(found, encoding="utf-8")
    # Content by depth, stages of the pathway and an owner are there now, and two oncologists are enough for a story.
    completed(configs, "oncology_pathway.yaml", OVERLAY, size={"min_leads": 1, "max_share": 0.15})


# --- what sales said afterwards: fifty answers of one segment, fifty of another ---------------------------------------

ANSWERED = at(110)
ELSEWHERE = "cardio_outpatient"


def answers() -> Mapping[str, list[Row]]:
    """Sales turned 30 of 50 oncologists down as framed wrongly, and 20 of 50 cardiologists as too early.

    Of what the thirty read, 27 in 30 pieces were about dosing.
    """
    ours, theirs = [f"R{k:02}" for k in range(50)], [f"H{k:02}" for k in range(50)]
    heart = {"specialty": "cardiology", "product_interest": "cardiology_rx", "disease_stage": None}
    leads = [lead(one, "", account_id=None, cancer_type="lung") for one in ours]
    leads += [lead(one, "H", **heart) for one in theirs]
    about = [("dosing" if k % 10 else "safety") for k in range(30)]
    events = [event(f"read-{one}", one, 85, "download", topic=topic) for one, topic in zip(ours, about, strict=False)]
    outcomes = []
    for members, turned, reason in ((ours, 30, "wrong framing"), (theirs, 20, "too early")):
        for k, one in enumerate(members):
            verdict = {"kind": "rejected", "reason": reason} if k < turned else {"kind": "sal", "reason": None}
            outcomes.append({"lead_id": one, "occurred_at": said(100), "recorded_at": said(100), **verdict})
    outpatient = account("H") | HEART
    stops = [{"lead_id": "R49", "since_at": said(-12), "channel": "email", "reason": "opt_out"}]
    return {"leads": leads, "accounts": [outpatient], "events": events, "outcomes": outcomes, "suppressions": stops}
