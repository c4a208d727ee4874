"""Story 1, a list of medical leads: a CSV of a marketing team, from duplicates to who may be written to."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.stories.telling import Room, Said, Told, approve, as_table, completed, shell

NOW = datetime(2026, 6, 30, 15, tzinfo=UTC)
AUTHOR, APPROVER = "J. Keller, segment lead", "Dr. M. Ortiz, medical affairs"
OLD = NOW - timedelta(days=40)
SAME: dict[str, Any] = {
    "recorded_at": OLD, "created_at": OLD, "verified_at": OLD, "obtained_at": OLD, "notice_at": OLD, "screened_at": OLD,
    "adult": True, "role_address": False, "source": "content_download",
}  # fmt: skip
CLINICIAN = {**SAME, "audience": "hcp", "verified_hcp": True, "licence_status": "active"}
COLORADO = {"country": "US", "region": "CO", "time_zone": "America/Denver", "language": "en", "territory": "south"}
ONCOLOGIST = {
    **CLINICIAN, **COLORADO, "account_id": "SITE-1", "registry_id": "NPI-1", "treatment_role": "initiates",
    "product_interest": "oncology_rx", "influence": "direct_prescriber",
}  # fmt: skip
LEADS = [
    {"lead_id": "L1", "title": "Heme/Onc MD", "cancer_type": "breast", "disease_stage": "advanced", **ONCOLOGIST},
    {"lead_id": "L2", "title": "Hematology-Oncology physician", **ONCOLOGIST, "created_at": OLD + timedelta(days=1)},
    {"lead_id": "L3", "title": "Practice Manager", "account_id": "CLINIC-1", **SAME, **COLORADO, "audience": "buyer",
     "product_interest": "software"},
    {"lead_id": "L4", "title": "Director of Nursing", "account_id": "SITE-1", **CLINICIAN, **COLORADO, "language": "es",
     "influence": "adoption_influencer", "purchase_authority": False, "product_interest": "equipment",
     "preferred_channel": "phone"},
    {"lead_id": "L5", "title": "Oncologist", "account_id": "PRAXIS-1", **CLINICIAN, "country": "DE",
     "time_zone": "Europe/Berlin", "language": "de", "product_interest": "oncology_rx"},
    {"lead_id": "L6", "title": "P&T Committee Member", "account_id": "SITE-1", **CLINICIAN, **COLORADO,
     "influence": "formulary_committee", "committee": "formulary", "purchase_authority": False,
     "product_interest": "oncology_rx"},
]  # fmt: skip
_ACCOUNTS = [
    {"account_id": "SYSTEM-1", "kind": "system", "organization_type": "health_system", "country": "US"},
    {"account_id": "SITE-1", "parent_account_id": "SYSTEM-1", "kind": "site", "organization_type": "hospital",
     "care_setting": "academic", "specialty": "oncology", "country": "US"},
    {"account_id": "CLINIC-1", "kind": "site", "organization_type": "clinic", "care_setting": "outpatient",
     "country": "US"},
    {"account_id": "PRAXIS-1", "kind": "site", "organization_type": "clinic", "care_setting": "community",
     "specialty": "oncology", "country": "DE"},
]  # fmt: skip
ACCOUNTS = [{**account, "recorded_at": OLD, "verified_at": OLD} for account in _ACCOUNTS]


def _event(name: str, lead: str, kind: str, days: int, **rest: Any) -> dict[str, Any]:
    at = NOW - timedelta(days=days)
    return {"event_id": name, "lead_id": lead, "occurred_at": at, "recorded_at": at, "kind": kind, **rest}


GUIDE = {"topic": "clinical_evidence", "depth": "overview", "asset_id": "G-1", "channel": "web"}
EVENTS = [
    # The physician and the manager did the same two things with the same guide.
    _event("E1", "L1", "page_view", 10, **GUIDE),
    _event("E2", "L1", "download", 10, **GUIDE),
    _event("E3", "L3", "page_view", 10, **GUIDE),
    _event("E4", "L3", "download", 10, **GUIDE),
    # The second record of the physician holds the webinar: neither record alone is in both segments.
    _event("E5", "L2", "webinar_attend", 20, topic="patient_selection", channel="webinar"),
    _event("E6", "L4", "form_submit", 8, topic="training", channel="email"),
    _event("E7", "L4", "meeting_request", 3, topic="training", channel="web"),
    _event("E8", "L5", "webinar_attend", 20, topic="patient_selection", channel="webinar"),
    _event("E9", "L6", "download", 12, topic="clinical_evidence", channel="web"),
]
CONSENTS = [
    {"lead_id": lead, "channel": channel, "status": "granted", "kind": "express_written", "purpose": "promotion",
     "captured_at": OLD, "proof": f"form-{lead}"}
    for lead in ("L1", "L2", "L3", "L4", "L6") for channel in ("email", "phone", "rep_visit", "mail")
]  # fmt: skip
LEFT = NOW - timedelta(days=5)
STOPS = [
    {"lead_id": "L4", "channel": "email", "scope": "lead", "reason": "opt_out", "since_at": LEFT, "recorded_at": LEFT}
]
TOUCHES = [
    {"touch_id": "T0", "lead_id": "L1", "sent_at": NOW - timedelta(days=60), "channel": "mail", "intent": "service"}
]
CASES = [
    {"case_id": "C0", "lead_id": "L1", "kind": "complaint", "opened_at": NOW - timedelta(days=300),
     "closed_at": NOW - timedelta(days=290)}
]  # fmt: skip
LATER = NOW + timedelta(hours=2)
DEMO = {
    "event_id": "E10", "lead_id": "L3", "occurred_at": LATER, "recorded_at": LATER,
    "kind": "demo_request", "topic": "workflow", "channel": "web",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """What the test looks at."""

    link: Said
    rows: dict[str, dict[str, Any]]
    merged: list[dict[str, str]]
    crm: dict[str, dict[str, str]]
    applied: Said
    again: Said
    moves: list[dict[str, Any]]
    moves_again: list[dict[str, Any]]
    segment_moves: list[dict[str, Any]]
    shown: Said


def _configs(room: Room) -> Path:
    """The shipped configuration with two templates completed, and approved by two people."""
    configs = room.copy_of_configs()
    # Six leads: the least and the largest size of a segment are set to fit.
    size = {"min_leads": 1, "max_share": 0.9}
    offers = {
        "awareness": ["device_workflow_guide"], "education": ["device_workflow_guide"],
        "evaluation": ["device_roi_narrative", "meeting_booking"],
        "proposal": ["device_roi_narrative", "meeting_booking"],
    }  # fmt: skip
    completed(configs, "buyers.yaml", "operations_role", size=size, offers=offers)
    completed(configs, "engagement.yaml", "webinar_attendee", size=size)
    for segment in ("operations_role", "webinar_attendee"):
        approve(room, configs, segment, AUTHOR, APPROVER)
    return configs


def _moves(room: Room, folder: str) -> list[dict[str, Any]]:
    """All moves of a stream of the state, in order."""
    files = sorted((room.folder / "state" / folder).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


@cache
def told() -> Told:
    """Play the story once: what its page shows, and what its test looks at."""
    room = Room(NOW)
    for table, rows in (
        ("leads", LEADS), ("accounts", ACCOUNTS), ("events", EVENTS), ("consents", CONSENTS), ("suppressions", STOPS),
        ("touches", TOUCHES), ("cases", CASES),
    ):  # fmt: skip
        room.write(table, rows)
    configs, state, scores, bundle = _configs(room), room.folder / "state", room.folder / "scores", room.folder / "cold"
    own = ("--configs", configs)
    link = room.run("data", "link", "--data", room.data, *own)
    apply = ("segments", "apply", "--data", room.data, "--out", state, *own)
    room.run(*apply)
    room.run("scorecard", "bundle", "--bundle", bundle, *own)
    rescore = ("rescore", "--bundle", bundle, "--data", room.data, "--out", scores, "--audit", room.audit)
    room.run(*rescore, "--workers", 1, *own)
    found = pq.read_table(scores / "decisions").to_pylist()
    with (scores / "merged.csv").open(encoding="utf-8") as file:
        merged = list(csv.DictReader(file))
    with (scores / "crm.csv").open(encoding="utf-8") as file:
        crm = {row["lead_id"]: row for row in csv.DictReader(file)}

    before = {folder: len(_moves(room, folder)) for folder in ("moves", "stage_moves")}
    room.clock_at(NOW + timedelta(days=1))
    room.write("events", [*EVENTS, DEMO])
    applied = room.run(*apply)
    moves = _moves(room, "stage_moves")[before["stage_moves"] :]
    segment_moves = _moves(room, "moves")[before["moves"] :]
    again = room.run(*apply)
    later = _moves(room, "stage_moves")[before["stage_moves"] + len(moves) :]
    shown = room.run("segments", "show", "operations_role", *own)
    seen = Seen(
        link, {row["lead_id"]: row for row in found}, merged, crm, applied, again, moves, later, segment_moves, shown
    )
    return Told(_blocks(seen), seen)


def points(row: dict[str, Any], log: str) -> dict[str, int]:
    """The points of a log by the rule that gave them."""
    return {one["id"]: one["points"] for one in row[log]}


def _blocks(seen: Seen) -> dict[str, str]:
    """What the page shows."""
    rows, names = seen.rows, ("L1", "L3", "L4", "L5", "L6")
    leads = [
        (one, ", ".join(row["lead_id"] for row in seen.merged if row["merged_into"] == one),
         rows[one]["account_id"], rows[one]["parent_account_id"],
         ", ".join(f"`{name}`" for name in rows[one]["segments"]))
        for one in names
    ]  # fmt: skip
    email = [
        (one, "yes" if rows[one]["email_permitted"] else "no", ", ".join(rows[one]["email_reasons"]),
         rows[one]["qualification"], rows[one]["queue"], rows[one]["action"].replace("_", " "),
         rows[one]["action_channel"], f"`{rows[one]['asset_id']}`" if rows[one]["asset_id"] else "")
        for one in names
    ]  # fmt: skip
    guide = [(rule, *(points(rows[one], "engagement_log").get(rule, 0) for one in ("L1", "L3")))
             for rule in ("evidence", "downloaded")]  # fmt: skip
    move = seen.moves[0]
    why = "; ".join(one["value"] for one in move["why"])
    cells = [(move["id"], move["product"], move["old"], move["new"], why, f"`{move['journeys']}`")]
    command = "leadwell segments apply --data data --out state --configs configs"
    return {
        "link": shell("leadwell data link --data data", seen.link.out),
        "leads": as_table(("lead", "merged into it", "site", "system", "segments"), leads),
        "guide": as_table(("points for", "physician", "practice manager"), guide),
        "email": as_table(("lead", "e-mail", "why not", "status", "queue", "next", "by", "content"), email),
        "committee": as_table(("rule", "points"), points(rows["L6"], "fit_log").items()),
        "apply": shell(command, seen.applied.out),
        "move": as_table(("lead", "product", "old", "new", "why", "version of the journeys"), cells),
        "again": shell(command, "\n".join(line for line in seen.again.out.splitlines() if line.startswith("Nothing"))),
        "show": shell("leadwell segments show operations_role --configs configs", seen.shown.out),
    }
