"""Story 5, a pharmaceutical brand under review: what an education segment may say, and what stays recorded of it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from configs.settings import load_settings
from tests.stories.telling import Room, Said, Service, Told, as_json, as_table, cold_bundle, shell

NOW = datetime(2026, 6, 30, 15, tzinfo=UTC)
OLD = NOW - timedelta(days=40)
LEAD: dict[str, Any] = {
    "lead_id": "L1", "account_id": "A1", "audience": "hcp", "title": "Oncologist", "cancer_type": "breast",
    "country": "US", "region": "CO", "time_zone": "America/Denver", "verified_hcp": True, "adult": True,
    "licence_status": "active", "role_address": False, "source": "webinar", "product_interest": "oncology_rx",
    "created_at": OLD, "verified_at": OLD, "recorded_at": OLD, "obtained_at": OLD, "notice_at": OLD, "screened_at": OLD,
}  # fmt: skip
ACCOUNT = {
    "account_id": "A1", "organization_type": "clinic", "care_setting": "community", "specialty": "oncology",
    "recorded_at": OLD, "verified_at": OLD,
}  # fmt: skip
CONSENTS = [
    {"lead_id": "L1", "channel": channel, "status": "granted", "kind": "express_written", "purpose": "promotion",
     "captured_at": OLD, "proof": "form-1"}
    for channel in ("email", "phone", "rep_visit", "mail")
]  # fmt: skip
READ = "page_view"
EDUCATIONAL, PROMOTIONAL = "oncology_community_guide", "oncology_rx_evidence"
EXPIRED, OTHER_INDICATION, OTHER_SEGMENT = "guide_of_2024", "heart_failure_guide", "specialists_guide"
ALL = (PROMOTIONAL, EDUCATIONAL, EXPIRED, OTHER_INDICATION, OTHER_SEGMENT)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the test looks at."""

    together: dict[str, Any]
    alone: dict[str, dict[str, Any]]
    question: dict[str, Any]
    fewer: dict[str, dict[str, Any]]
    service: dict[str, Any]
    webinar: dict[int, dict[str, Any]]
    before_visit: dict[str, Any]
    after_visit: dict[str, Any]
    replayed: dict[str, Any]
    replay_says: Said
    recorded: dict[str, Any]
    tags: dict[str, str]
    placed: Said
    activated: Said
    edited: Said
    edited_tags: str
    lint: Said
    matrix: str


def ago(days: float) -> datetime:
    """An instant so many days before the answer."""
    return NOW - timedelta(days=days)


def event(kind: str, topic: str, days: float) -> dict[str, Any]:
    """One event of the lead, known at once."""
    return {"event_id": f"E-{kind}-{days}", "lead_id": "L1", "kind": kind, "topic": topic, "occurred_at": ago(days),
            "recorded_at": ago(days)}  # fmt: skip


def item(**sections: Any) -> dict[str, Any]:
    """The request about the lead, with these sections instead of the plain ones."""
    plain: dict[str, Any] = {
        "lead": LEAD, "account": ACCOUNT, "consents": CONSENTS, "suppressions": [], "suppressions_complete_as_of": NOW,
        "colleagues": [], "events": [event(READ, "safety", 5)], "touches": [], "cases": [], "memberships": [],
    }  # fmt: skip
    found: dict[str, Any] = json.loads(json.dumps(plain | sections, default=lambda moment: moment.isoformat()))
    return found


def inventory() -> dict[str, dict[str, Any]]:
    """The five assets of the brand: two as shipped, three copies of the educational one with one thing wrong each."""
    shipped = {asset.asset_id: asset for asset in load_settings().assets}
    guide, promotional = (
        json.loads(shipped[name].model_dump_json(by_alias=True, exclude_none=True))
        for name in (EDUCATIONAL, PROMOTIONAL)
    )
    expired = {**guide["approval"], "on": "2024-01-10", "expires_on": "2026-01-31"}
    found = [
        promotional,
        guide,
        {**guide, "asset_id": EXPIRED, "approval": expired},
        {**guide, "asset_id": OTHER_INDICATION, "indication": "heart_failure"},
        {**guide, "asset_id": OTHER_SEGMENT, "segment_ids": ["onc_advanced_specialist"]},
    ]
    return {asset["asset_id"]: asset for asset in found}


def email(answer: dict[str, Any]) -> dict[str, Any]:
    """What the answer says of e-mail."""
    found: dict[str, Any] = answer["channels"]["email"]
    return found


def reasons(answer: dict[str, Any]) -> list[str]:
    """Why nothing may go by e-mail."""
    return [block["reason"] for block in email(answer).get("blocks", [])]


def told_tags(text: str) -> dict[str, str]:
    """The tags of the lead by their names."""
    return next(row for row in csv.DictReader(io.StringIO(text)) if row["lead_id"] == "L1")


@cache
def told() -> Told:
    """Play the story once: what its page shows, and what its test looks at."""
    room, given = Room(NOW), inventory()
    service = Service(cold_bundle(), room)
    body = room.folder / "lead.json"
    body.write_text(json.dumps({"leads": [item()], "assets": list(given.values())}), encoding="utf-8")
    response = service.post("/v1/score", body.read_bytes())
    together = response.json()["decisions"][0]
    alone = {name: service.score(item(), assets=[asset])[0] for name, asset in given.items()}

    case = {"case_id": "C1", "lead_id": "L1", "kind": "off_label", "product": "oncology_rx", "opened_at": ago(1)}
    # The question is on record as a case and as an event: neither may count.
    asking = [event(READ, "safety", 5), event("off_label_question", "dosing", 1)]
    question = service.score(item(cases=[case], events=asking), assets=list(given.values()))[0]

    less = {"lead_id": "L1", "scope": "lead", "reason": "reduced_communication", "since_at": ago(20)}
    sent = [
        {"touch_id": f"T{day}", "lead_id": "L1", "channel": "email", "intent": "promotional", "sent_at": ago(day)}
        for day in (10, 11)
    ]
    notice = {**given[EDUCATIONAL], "asset_id": "service_notice", "intent": "service"}
    asked = {"before": item(touches=sent), "after": item(touches=sent, suppressions=[less])}
    fewer = {when: service.score(one, assets=[given[PROMOTIONAL]])[0] for when, one in asked.items()}
    kept = service.score(asked["after"], assets=[notice])[0]

    webinar = {
        days: service.score(item(events=[event("webinar_attend", "mechanism_of_action", days)]))[0] for days in (89, 91)
    }
    visit = {"touch_id": "V1", "lead_id": "L1", "channel": "rep_visit", "intent": "medical_education",
             "asset_id": EDUCATIONAL, "sent_at": ago(1)}  # fmt: skip
    before, after = (service.score(item(touches=touches))[0] for touches in ([], [visit]))
    service.close()

    replay = ("audit", "replay", together["audit_id"], "--audit", room.audit)
    replayed = json.loads(room.run(*replay, "--json").out)
    says = room.run(*replay, "--request", body, "--bundle", cold_bundle())
    recorded = _recorded(room, together["audit_id"])

    _write_tables(room)
    state, tags = room.folder / "state", room.folder / "tags"
    placed = room.run("segments", "apply", "--data", room.data, "--out", state)
    activate = ("segments", "activate", "--data", room.data, "--state", state)
    activated = room.run(*activate, "--out", tags)
    own = room.copy_of_configs()
    definitions = own / "segments" / "clinicians.yaml"
    approved = definitions.read_text(encoding="utf-8")
    assert approved.count("themes: [referral pathways,") == 1
    definitions.write_text(approved.replace("themes: [referral pathways,", "themes: [first line,"), encoding="utf-8")
    edited = room.run(*activate, "--out", room.folder / "tags_of_edited", "--configs", own)
    lint = room.run("segments", "lint", "--configs", own, code=1)
    room.run("segments", "matrix", "--out", room.folder / "matrix.html")
    matrix = (room.folder / "matrix.html").read_text(encoding="utf-8")

    seen = Seen(
        together, alone, question, fewer, kept, webinar, before, after, replayed, says, recorded,
        told_tags((tags / "lead_tags.csv").read_text(encoding="utf-8")), placed, activated, edited,
        (room.folder / "tags_of_edited" / "lead_tags.csv").read_text(encoding="utf-8"), lint, matrix,
    )  # fmt: skip
    return Told(_blocks(seen), seen)


def _recorded(room: Room, audit_id: str) -> dict[str, Any]:
    """The record of an answer, as it stands in the log."""
    lines = (line for file in sorted(room.audit.glob("*-*.jsonl")) for line in file.read_bytes().splitlines())
    return next(found for line in lines if audit_id in str(found := json.loads(line)))


def _write_tables(room: Room) -> None:
    """The lead with its tables; three leads of whom nothing is known, so that it is not all there is."""
    room.write("leads", [LEAD, *({"lead_id": name} for name in ("L2", "L3", "L4"))])
    room.write("accounts", [ACCOUNT])
    room.write("events", [event(READ, "safety", 5)])
    room.write("consents", CONSENTS)
    room.write(
        "suppressions", [{"lead_id": "L1", "channel": "sms", "scope": "lead", "reason": "opt_out", "since_at": OLD}]
    )


def _blocks(seen: Seen) -> dict[str, str]:
    """What the page shows."""
    offered = [
        (
            f"`{name}`",
            "yes" if seen.alone[name]["next_best_action"]["asset_id"] == name else "no",
            "" if name == EDUCATIONAL else ", ".join(reasons(one)) or one["next_best_action"]["says"],
        )
        for name, one in seen.alone.items()
    ]
    held, action = seen.together["segments"][0], seen.together["next_best_action"]
    answer = {
        "segment": {name: held[name] for name in ("id", "version", "status")},
        "next_best_action": {name: action[name] for name in ("action", "channel", "asset_id", "expires_at", "says")},
    }
    refused = seen.edited.out[seen.edited.out.index("Memberships not told") : seen.edited.out.index("Files")]
    question = [
        ("band, points of fit, of engagement", *(_standing(one) for one in (seen.together, seen.question))),
        ("queue", seen.together["route"]["queue"], seen.question["route"]["queue"]),
        ("segment status", *(one["segments"][0]["status"] for one in (seen.together, seen.question))),
        ("e-mail may carry", *(", ".join(email(one)["asset_ids"]) for one in (seen.together, seen.question))),
        ("action", *(one["next_best_action"]["action"] for one in (seen.together, seen.question))),
    ]
    points = [
        (f"{days} days ago", sum(one["points"] for one in answer["engagement"]["log"] if one["id"] == "attended"),
         answer["engagement"]["points"], answer["journey"]["stage"] or "none shown")
        for days, answer in seen.webinar.items()
    ]  # fmt: skip
    visit = [
        (when, answer["next_best_action"]["channel"], f"`{answer['next_best_action']['asset_id']}`")
        for when, answer in (("before the visit", seen.before_visit), ("the day after", seen.after_visit))
    ]
    fewer = [
        (what, "yes" if email(one)["permitted"] else "no", ", ".join(reasons(one)))
        for what, one in (
            ("promotional, before the request", seen.fewer["before"]),
            ("promotional, after it", seen.fewer["after"]),
            ("service, after it", seen.service),
        )
    ]
    audit = seen.together["audit_id"]
    return {
        "five_assets": as_table(("asset", "offered", "why not"), offered),
        "answer": as_json(answer),
        "off_label": as_table(("", "without the question", "with it"), question),
        "fewer": as_table(("content by e-mail", "permitted", "why not"), fewer),
        "webinar": as_table(("webinar", "points of attending", "engagement points", "stage"), points),
        "visit": as_table(("", "channel", "content"), visit),
        "edited": shell("leadwell segments lint --configs configs", seen.lint.out.split("Drafts:")[0]),
        "refused": shell("leadwell segments activate --data data --state state --out tags --configs configs", refused),
        "tags": as_table(
            ("", "primary segment"),
            [("as approved", f"`{seen.tags['primary_segment']}`"), ("edited", told_edited(seen))],
        ),
        "replay": shell("leadwell audit replay AUDIT_ID --request lead.json --bundle bundle", seen.replay_says.out)
        .replace(audit, "AUDIT_ID"),
        "matrix": as_table(("segment", "specialty, setting", "roles", "content", "channels"), _matrix_rows()),
    }  # fmt: skip


def _standing(answer: dict[str, Any]) -> str:
    return f"{answer['readiness']['band']}, {answer['fit']['points']}, {answer['engagement']['points']}"


def told_edited(seen: Seen) -> str:
    """What the tags say once the definition was edited."""
    rows = [row for row in csv.DictReader(io.StringIO(seen.edited_tags)) if row["lead_id"] == "L1"]
    return f"`{rows[0]['primary_segment']}`" if rows else "withheld"


def _matrix_rows() -> list[tuple[str, ...]]:
    chosen = ("onc_advanced_specialist", "onc_community_center", "pharmacist_med_mgmt")
    return [
        (f"`{one.id}`", f"{one.matrix.clinical_dimension}; {one.matrix.care_setting}", ", ".join(one.matrix.roles),
         f"{one.matrix.content_need} ({', '.join(one.matrix.content_types)})", ", ".join(one.channel_plan))
        for one in load_settings().segments if one.id in chosen
    ]  # fmt: skip
