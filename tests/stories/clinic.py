"""Story 2: a clinic's marketing and what it returned, on tables that can be added up by hand.

Segment A is `comparison_late_intent`, people who compare clinics: leads A01 to A20.
Segment B is `symptom_next_steps`, people who look for next steps.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from configs.settings import load_settings
from tests.stories.telling import Room, Service, Told, as_table

A, B = "comparison_late_intent", "symptom_next_steps"
NOW = datetime(2026, 7, 1, tzinfo=UTC)
WINDOW = ("--from", "2026-04-01", "--to", "2026-07-01")
ADS, MAIL = "202605_care_ads_awareness", "202605_care_email_appointments"
AFTER, GUIDE = "202605_care_email_appointments_webinar", "202606_care_email_education"
Row = dict[str, Any]


def at(day: str, hour: int = 9) -> datetime:
    """An hour of a day of 2026, such as 05-10."""
    return datetime.fromisoformat(f"2026-{day}T{hour:02}:00:00+00:00")


def person(lead_id: str, day: str, **own: Any) -> Row:
    """Somebody who looks for care in California, on record since a day."""
    since = at(day)
    return {
        "lead_id": lead_id, "audience": "patient", "adult": True, "country": "US", "region": "CA", "language": "en",
        "time_zone": "America/Los_Angeles", "role_address": False, "product_interest": "specialty_care",
        "condition_focus": "joint_pain", "source": "web_form", "referral_source": "none", "lifecycle": "new_prospect",
        "created_at": since, "obtained_at": since, "notice_at": since, "verified_at": since, "recorded_at": since,
        "screened_at": since,
    } | own  # fmt: skip


def referrer(lead_id: str, specialty: str) -> Row:
    """A physician who refers patients to the clinic."""
    own = {
        "audience": "hcp", "role": "physician", "specialty": specialty, "verified_hcp": True, "source": "field",
        "licence_status": "active", "condition_focus": None, "referral_source": None, "lifecycle": None,
    }  # fmt: skip
    return person(lead_id, "05-02", **own)


def agreed(lead_id: str, day: str, purpose: str, channel: str | None = None) -> Row:
    """A person's written yes, with its proof."""
    return {
        "lead_id": lead_id, "purpose": purpose, "channel": channel, "status": "granted", "kind": "express_written",
        "proof": f"form-{lead_id}", "captured_at": at(day), "recorded_at": at(day),
    }  # fmt: skip


def read(event_id: str, lead_id: str, when: datetime, **own: Any) -> Row:
    """A page that a person looked at on the clinic's site, or what else it did there."""
    return {
        "event_id": event_id, "lead_id": lead_id, "kind": "page_view", "channel": "web", "agent": "browser",
        "source": "web_analytics", "product": "specialty_care", "occurred_at": when, "recorded_at": when,
    } | own  # fmt: skip


SYMPTOMS = {"topic": "condition_education", "depth": "overview"}
COMPARES = {"depth": "comparison"}
COHORT = [f"A{n:02}" for n in range(1, 21)]
# Who reads about symptoms (S1), known to the clinic (S2), without consent (S3), and who compares in Kansas (S4).
LOOKING = {
    "S1": {"referral_source": "primary_care"},
    "S2": {"lifecycle": "established"},
    "S3": {},
    "S4": {"region": "KS"},
    "B01": {},
    "B02": {},
}


def tables() -> dict[str, list[Row]]:
    """Every table of the clinic."""
    leads = [person(lead_id, "05-10") for lead_id in COHORT]
    leads += [person(lead_id, "05-10", **own) for lead_id, own in LOOKING.items()]
    leads += [referrer("R1", "primary_care"), referrer("R2", "cardiology")]
    # Who only left an address in May; without them segment A would hold more than half of all leads: too broad.
    leads += [person(f"N{n:02}", "05-10", condition_focus=None) for n in range(1, 23)]
    consents, purposes = [], ("promotion", "medical_education", "service")
    for lead in leads:
        lead_id, day = lead["lead_id"], f"{lead['created_at']:%m-%d}"
        consents += [agreed(lead_id, day, purpose, "email") for purpose in purposes]
        if lead["condition_focus"] and lead_id != "S3":
            consents.append(agreed(lead_id, day, "health_data"))
    events = [read(f"c-{lead_id}", lead_id, at("05-10", 11), **COMPARES) for lead_id in COHORT]
    # The path of A01: advertisement, webinar, e-mail, and on the 12th the booking.
    events += [
        read("ad-A01", "A01", at("05-10", 10), kind="ad_click", channel="paid", source="ad_platform", campaign_id=ADS),
        read("webinar-A01", "A01", at("05-11", 9), kind="webinar_attend", channel="webinar",
             source="webinar_platform"),
    ]  # fmt: skip
    events += [read(f"s-{lead_id}", lead_id, at("05-11"), **SYMPTOMS) for lead_id in LOOKING]
    events += [read(f"c-{lead_id}", lead_id, at("05-13"), **COMPARES) for lead_id in ("S1", "S4")]
    touches = [
        sent(lead_id, MAIL if lead_id != "A01" else AFTER, at("05-11", 15), "specialty_care_booking")
        for lead_id in COHORT
    ]
    touches += [sent(lead_id, GUIDE, at("06-04", 15), "specialty_care_guide") for lead_id in ("A20", "B01", "B02")]
    return {
        "leads": leads, "consents": consents, "events": events, "touches": touches, "outcomes": outcomes(),
        "campaigns": campaigns(), "cases": [], "suppressions": [],
    }  # fmt: skip


def sent(lead_id: str, campaign: str, when: datetime, asset: str) -> Row:
    """An e-mail of a campaign."""
    return {
        "touch_id": f"{campaign}-{lead_id}", "lead_id": lead_id, "sent_at": when, "recorded_at": when,
        "channel": "email", "intent": "service", "asset_id": asset, "campaign_id": campaign,
    }  # fmt: skip


def outcomes() -> list[Row]:
    """Of the 20, ten are MQL and five SQL; four book 2, 4, 6 and 8 days after they came, and the fourth stays away."""
    rows: list[Row] = [{"lead_id": lead_id, "kind": "mql", "occurred_at": at("05-11", 16)} for lead_id in COHORT[:10]]
    rows += [{"lead_id": lead_id, "kind": "sql", "occurred_at": at("05-11", 17)} for lead_id in COHORT[:5]]
    for n, value in enumerate((1_000, 1_200, 500, 300)):
        when = at("05-10") + timedelta(days=2 * (n + 1))
        rows.append({"lead_id": COHORT[n], "kind": "appointment", "occurred_at": when, "value": value})
    rows.append({"lead_id": "A04", "kind": "no_show", "occurred_at": at("05-28")})
    return rows


def campaigns() -> list[Row]:
    """What was spent: 50 on advertising and 50 on mail that reached A01; 850 on mail to A02 to A20; 150 on three more.

    These three are A20, B01 and B02, so that a third of it, 50, is segment A's: 50 + 50 + 850 + 50 = 1,000.
    """
    common = {"product": "specialty_care"}
    return [
        {"campaign_id": ADS, "name": ADS, "channel": "ads", "goal": "awareness", "spend": 50, "segment_ids": [A],
         "offers": [], "started_on": "2026-05-01", "ended_on": "2026-05-30", **common},
        {"campaign_id": MAIL, "name": MAIL, "channel": "email", "goal": "appointments", "spend": 850,
         "segment_ids": [A], "offers": ["specialty_care_booking"], "started_on": "2026-05-01",
         "ended_on": "2026-06-30", **common},
        {"campaign_id": AFTER, "name": AFTER, "channel": "email", "goal": "appointments", "spend": 50,
         "segment_ids": [A], "offers": ["specialty_care_booking"], "started_on": "2026-05-11",
         "ended_on": "2026-05-30", **common},
        {"campaign_id": GUIDE, "name": GUIDE, "channel": "email", "goal": "education", "spend": 150,
         "segment_ids": [B], "offers": ["specialty_care_guide"], "started_on": "2026-06-01",
         "ended_on": "2026-06-30", **common},
    ]  # fmt: skip


def asked(found: dict[str, list[Row]], lead_id: str, now: datetime) -> Row:
    """What `POST /v1/score` is asked about a lead: its rows of the tables that were recorded by then."""

    def plain(row: Row) -> Row:
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in row.items()
            if value is not None
        }

    def rows(table: str, when: str) -> list[Row]:
        return [plain(row) for row in found[table] if row["lead_id"] == lead_id and row[when] <= now]

    (lead,) = rows("leads", "recorded_at")
    return {
        "lead": lead, "events": rows("events", "recorded_at"), "touches": rows("touches", "recorded_at"),
        "consents": rows("consents", "recorded_at"), "suppressions": [], "cases": [], "colleagues": [],
        "memberships": [], "suppressions_complete_as_of": now.isoformat(),
    }  # fmt: skip


@dataclass
class Clinic:
    """What the test looks at: reports by table, answers by lead and day, moves, and the rows of both CRM files."""

    refused: str = ""
    reports: dict[str, dict[str, Row]] = field(default_factory=dict)
    answers: dict[tuple[str, str], Row] = field(default_factory=dict)
    moves: list[Row] = field(default_factory=list)
    crm: dict[str, dict[str, Row]] = field(default_factory=dict)


def approved_configs(room: Room) -> tuple[Path, str]:
    """The shipped configuration with both templates completed and approved by two people, and what that looked like.

    A template says what it still needs; as long as it does, it cannot be proposed.
    """
    configs = room.copy_of_configs()
    by = ("--by", "Ines Marin, marketing", "--on", "2026-03-02", "--configs", configs)
    shown = [room.shown("segments", "submit", A, *by, code=2, keep=_dated)]
    _complete(configs / "segments" / "specialty_clinic.yaml")
    activation = configs / "activation.yaml"
    text = activation.read_text(encoding="utf-8")
    assert text.count("\nhealth: professionals\n") == 1
    activation.write_text(text.replace("\nhealth: professionals\n", "\nhealth: consented\n"), encoding="utf-8")
    shown += [room.shown("segments", "submit", one, *by, keep=_dated) for one in (A, B)]
    for one, reference in ((A, "SEG-2026-021"), (B, "SEG-2026-022")):
        given = ("--by", "Dr. Ola Berg, data protection", "--on", "2026-03-05", "--until", "2027-03-31")
        words = ("segments", "approve", one, *given, "--reference", reference, "--configs", configs)
        shown.append(room.shown(*words, keep=_dated))
    return configs, "\n\n".join((shown[0], shown[1], shown[3]))


def _dated(out: str) -> str:
    """What was printed, without the day of today and the next step."""
    return "".join(line for line in out.splitlines(keepends=True) if not line.startswith(("dated ", "Next:")))


def _complete(path: Path) -> None:
    """Take out of both templates what they still needed: the clinic supplied it."""
    kept, inside, needs = [], False, False
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith("- id: "):
            inside = line.split()[2] in (A, B)
        needs = inside and (line == "  needs:\n" or (needs and line.startswith("    - ")))
        if not needs:
            kept.append(line)
    path.write_text("".join(kept), encoding="utf-8")


def written(room: Room) -> dict[str, list[Row]]:
    """Write every table; those without rows have their header: nobody has an open case or asked to be left alone."""
    found = tables()
    for name, rows in found.items():
        if rows:
            room.write(name, rows)
    for name, header in (
        ("cases", "case_id,lead_id,opened_at,recorded_at,kind"),
        ("suppressions", "lead_id,since_at,recorded_at,reason,channel"),
    ):
        (room.data / f"{name}.csv").write_text(header + "\n", encoding="utf-8")
    return found


def reported(room: Room, state: Path, configs: Path, seen: Clinic) -> dict[str, str]:
    """What the reports of the quarter print, by name; their tables go to `seen`, by id and first column."""
    shown = {}
    for name, last in (
        ("segments", "\nEngagement: "),
        ("campaigns", "\nNext: "),
        ("attribution", "\nAttribution by asset"),
    ):
        words = ("report", name, "--data", room.data, "--state", state, *WINDOW, "--configs", configs)
        tables = ("--csv", room.folder / "tables")
        shown[name] = room.shown(*words, *tables, keep=lambda out, last=last: out[: out.index(last)])
    for path in sorted((room.folder / "tables").glob("*.csv")):
        seen.reports[path.stem] = {next(iter(row.values())): row for row in _rows(path)}
    return shown


def _rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def answer(room: Room, found: dict[str, list[Row]], configs: Path, seen: Clinic) -> None:
    """Ask the API about everybody of the story, on the 12th and on the 14th."""
    service = Service(room.folder / "bundle", room, load_settings(configs))
    for day, people in (("05-12", ("S1", "S2", "S3", "R1", "R2")), ("05-14", ("S1", "S4"))):
        service.now = at(day, 0)
        for one in service.score(*(asked(found, lead_id, service.now) for lead_id in people)):
            seen.answers[one["lead_id"], day] = one
    # The same people on the same day, where nothing but the booking may be offered.
    (booking,) = (asset for asset in load_settings(configs).assets if asset.asset_id == "specialty_care_booking")
    only = {"assets": [booking.model_dump(mode="json", exclude_none=True)]}
    for one in service.score(*(asked(found, lead_id, service.now) for lead_id in ("S1", "S4")), **only):
        seen.answers[one["lead_id"], "booking"] = one
    service.close()


PEOPLE = {
    ("S1", "05-12"): "new; read about symptoms",
    ("S1", "05-14"): "the same, then looked at a comparison page",
    ("S4", "05-14"): "the same, in Kansas, where the clinic is not",
    ("S2", "05-12"): "known to the clinic; read about symptoms",
    ("S3", "05-12"): "read about symptoms, did not agree to the use of health data",
    ("R1", "05-12"): "refers patients, primary care",
    ("R2", "05-12"): "refers patients, cardiology",
}


def people(seen: Clinic) -> str:
    """A table of who is in which segment and what is offered, as the API answered."""
    rows = []
    for (lead_id, day), who in PEOPLE.items():
        one = seen.answers[lead_id, day]
        nurture = one["nurture"]
        segment = next(f"`{s['id']}`" for s in one["segments"] if s["primary"])
        asset = f"{one['next_best_action']['offer']} (`{one['next_best_action']['asset_id']}`)"
        rows.append((day, lead_id, who, segment, nurture["track"], nurture["layer"], nurture["call_to_action"], asset))
    columns = ("day", "lead", "who", "segment", "track", "layer", "call to action", "offered")
    return as_table(columns, rows)


def crm_table(seen: Clinic) -> str:
    """The four fields of the import file for HubSpot, of the people of the story."""
    names = ("leadwell_segment", "leadwell_referral_source", "leadwell_condition_focus", "leadwell_journey_stage")
    found = seen.crm["hubspot/contacts"]
    rows = [(lead_id, *(found[lead_id][name] for name in names)) for lead_id in ("S1", "S2", "S3", "S4", "R1")]
    return as_table(("leadwell_id", *names), rows)


def reason_of_kansas(seen: Clinic) -> str:
    """What keeps the booking from S4, and what the answer says instead."""
    one = seen.answers["S4", "05-14"]
    action, (block,) = one["next_best_action"], seen.answers["S4", "booking"]["channels"]["email"]["blocks"]
    behind = "; ".join(f"{fact} = {value}" for fact, known, value in action["because"] if fact == "service_offered")
    rows = [
        ("next best action", action["says"], behind),
        ("nurture", f"call to action: {one['nurture']['call_to_action']}", one["nurture"]["says"]),
        ("route", one["route"]["queue"], one["route"]["says"]),
        ("the booking by e-mail", f"{block['effect']}: {block['rule']}, {block['reason']}", block["says"]),
    ]
    return as_table(("in the answer", "what", "why"), rows)


@cache
def told() -> Told:
    """The clinic's quarter, from the approval of its segments to what they returned."""
    room, seen = Room(NOW), Clinic()
    found, state, tags = written(room), room.folder / "state", room.folder / "tags"
    configs, approved = approved_configs(room)
    seen.refused = approved
    room.run("scorecard", "bundle", "--bundle", room.folder / "bundle", "--configs", configs)
    asked_for: tuple[object, ...] = ()
    for day in ("2026-05-12", "2026-05-14"):
        asked_for = ("--as-of", day, "--suppressions-complete-as-of", day, "--configs", configs)
        room.run("segments", "apply", "--data", room.data, "--out", state, *asked_for)
    for path in sorted((state / "moves").glob("*.parquet")):
        seen.moves += pq.read_table(path).to_pylist()
    room.run("segments", "activate", "--data", room.data, "--state", state, "--out", tags, *asked_for)
    for name, key in (("salesforce/Contact", "Leadwell_Id__c"), ("hubspot/contacts", "leadwell_id")):
        seen.crm[name] = {row[key]: row for row in _rows(tags / f"{name}.csv")}
    shown = reported(room, state, configs, seen)
    answer(room, found, configs, seen)
    blocks = {"approved": approved, **shown, "people": people(seen), "kansas": reason_of_kansas(seen)}
    return Told(blocks=blocks | {"crm": crm_table(seen)}, seen=seen)
