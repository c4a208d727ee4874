"""Story 3: two oncologists of one city, nurtured day by day, handed over, met, and followed up.

Whom, what and when: `tests/stories/oncologists.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from configs.settings import load_settings
from tests.stories.oncologists import (
    ANSWERED,
    BREAST,
    EVENING,
    OVERLAY,
    SEGMENT,
    UNSAID,
    Row,
    answers,
    at,
    make_ours,
    said,
    tables,
)
from tests.stories.telling import Room, Said, Service, Told, approve, as_json, as_table

# Each morning on which something is different, and the evening of day 5.
RUNS = ((0, 8), (2, 8), (4, 8), (5, 8), (5, EVENING), (10, 8), (68, 8))


@dataclass
class Seen:
    """What the test looks at: the decisions and moves of each run by (day, hour), and what else was answered."""

    decisions: dict[tuple[int, int], dict[str, Row]] = field(default_factory=dict)
    moves: dict[tuple[int, int], list[Row]] = field(default_factory=dict)
    stages: dict[tuple[int, int], list[Row]] = field(default_factory=dict)
    again: str = ""
    record: Row = field(default_factory=dict)
    answer: Row = field(default_factory=dict)
    permit: Row = field(default_factory=dict)
    checks: list[Row] = field(default_factory=list)
    due: str = ""
    review: Row = field(default_factory=dict)
    reviewed: dict[str, Said] = field(default_factory=dict)
    refused: str = ""
    steps: list[Row] = field(default_factory=list)
    sheet: Row = field(default_factory=dict)


def _told_by(now: datetime, row: Row) -> Row:
    """A row without what nobody knows yet."""
    open_still = "closed_at" in row and datetime.fromisoformat(row["closed_at"]) > now
    return {k: v for k, v in row.items() if v is not None and not (open_still and k == "closed_at")}


def body(lead_id: str, now: datetime) -> Row:
    """What a CRM would send of a lead at an instant: rows of the same tables, recorded by then."""
    known = tables()

    def rows(table: str) -> list[Row]:
        found = [row for row in known[table] if row["lead_id"] == lead_id]
        late = [row for row in found if datetime.fromisoformat(row["recorded_at"]) > now]
        return [_told_by(now, row) for row in found if row not in late]

    person = rows("leads")[0]
    site = next(row for row in known["accounts"] if row["account_id"] == person["account_id"])
    sections = {name: rows(name) for name in ("events", "touches", "consents", "cases")}
    stops = {"suppressions": [], "suppressions_complete_as_of": now.isoformat()}
    return {"lead": person, "account": site, **sections, **stops, "memberships": [], "colleagues": []}


@cache
def told() -> Told:
    """Play the story."""
    room = Room(at(0))
    configs = room.copy_of_configs()
    make_ours(configs)
    for name, rows in tables().items():
        room.write(name, rows)
    approve(room, configs, OVERLAY, "education lead, oncology", "medical director oncology", on="2026-05-22")
    seen = Seen()
    blocks: dict[str, str] = {}
    bundle = room.folder / "bundle"
    room.run("scorecard", "bundle", "--bundle", bundle, "--configs", configs)
    _send_gate(room, bundle, configs, seen)
    for run in RUNS:
        _run(room, bundle, configs, run, seen, blocks)
    _looks_back(room, configs, seen, blocks)
    (check,) = seen.checks
    block = {name: check["blocks"][0][name] for name in ("rule", "reason", "says", "because")}
    blocks |= {
        "days": _days(seen), "moves": _moves(seen), "stages": _stages(seen), "proposals": _proposals(seen),
        "sheet": _sheet(seen), "gate": as_json({"permitted": check["permitted"], "blocks": [block]}),
    }  # fmt: skip
    return Told(blocks, seen)


def _run(room: Room, bundle: Path, configs: Path, run: tuple[int, int], seen: Seen, blocks: dict[str, str]) -> None:
    room.clock_at(at(*run))
    scores, state = room.folder / "scores", room.folder / "state"
    ours = ("--data", room.data, "--configs", configs)
    room.run("rescore", *ours, "--bundle", bundle, "--out", scores, "--audit", room.audit, "--workers", 1)
    before = {path.name for path in state.glob("*moves/*.parquet")}
    apply = ("segments", "apply", *ours, "--scores", scores, "--out", state)
    if run == (5, EVENING):
        blocks["apply"] = room.shown(*apply)
        seen.again = room.run(*apply).out
    else:
        room.run(*apply)
    pair = (BREAST, UNSAID)
    rows = pq.read_table(scores / "decisions").to_pylist()
    seen.decisions[run] = {row["lead_id"]: row for row in rows if row["lead_id"] in pair}
    for kept, folder in ((seen.moves, "moves"), (seen.stages, "stage_moves")):
        new = [path for path in sorted((state / folder).glob("*.parquet")) if path.name not in before]
        kept[run] = [row for path in new for row in pq.read_table(path).to_pylist() if row["id"] in pair]
    if run == (5, EVENING):
        asked = room.folder / "lead.json"
        asked.write_text(json.dumps({"leads": [body(BREAST, room.now)]}), encoding="utf-8")
        own = ("handover", asked, "--bundle", bundle, "--data", room.data, "--audit", room.audit, "--configs", configs)
        (seen.record,) = json.loads(room.run(*own, "--json").out)["handovers"]
        blocks["handover"] = room.shown(*own)
    if run == (10, 8):
        seen.due = room.run("nurture", "due", "--result", scores).out


def _send_gate(room: Room, bundle: Path, configs: Path, seen: Seen) -> None:
    """Over HTTP: on day 4 a mail is permitted, then a third promotional one leaves; on day 5 a meeting is booked."""
    room.clock_at(at(4))
    service = Service(bundle, room, load_settings(configs))
    (morning,) = service.score(body(BREAST, service.now))
    given = morning["channels"]["email"]["permit"]
    seen.permit = given
    question = {"permit": given["token"], "lead_id": BREAST, "channel": "email", "asset_id": given["asset_id"]}
    sent = {"touch_id": f"{BREAST}-5", "lead_id": BREAST, "sent_at": said(4, 9), "channel": "email",
            "intent": "promotional", "asset_id": "congress_reminder"}  # fmt: skip
    service.now = at(4, 9)
    assert service.post("/v1/touches", {"touches": [sent]}).status_code == 201
    service.now = at(4, 10)
    seen.checks.append(service.post("/v1/permits/check", question).json())
    service.now = at(5, EVENING)
    (seen.answer,) = service.score(body(BREAST, service.now))
    service.close()


def _looks_back(room: Room, configs: Path, seen: Seen, blocks: dict[str, str]) -> None:
    """What sales said, what the review makes of it, what a person decides, and the segment's data sheet."""
    after = Room(ANSWERED)
    for name, rows in answers().items():
        after.write(name, rows)
    own = ("--data", after.data, "--configs", configs)
    review = room.folder / "review.json"
    review.write_text(after.run("segments", "review", *own, "--json").out, encoding="utf-8")
    seen.review = json.loads(review.read_text(encoding="utf-8"))
    for segment, outcome, *rest in (
        (SEGMENT, "changed", "--evidence", review, "--next", "2026-12-01", "--note", "they came for dosing"),
        ("onc_community_center", "kept", "--next", "2027-03-01"),
        (OVERLAY, "dropped"),
    ):
        words = ("segments", "reviewed", segment, "--by", "head of medical education", "--outcome", outcome)
        words = (*words, "--on", f"{ANSWERED:%Y-%m-%d}", "--configs", configs, *rest)
        if segment == SEGMENT:
            blocks["reviewed"] = room.shown(*words, keep=_lasting)
        else:
            seen.reviewed[outcome] = room.run(*words)
    seen.refused = room.run(*words[:6], "perhaps", *words[7:], code=2).err
    sheet = ("segments", "sheet", SEGMENT, "--data", after.data, "--configs", configs)
    seen.sheet = json.loads(room.run(*sheet, "--json").out)
    seen.steps = [step.model_dump() for step in load_settings(configs).approvals if step.step == "reviewed"]


def _lasting(text: str) -> str:
    """Without the day of today, and without a hash of numbers that another machine rounds otherwise."""
    return re.sub(r"sha256 \w+", "sha256 ...", re.sub(r"^dated .*\n", "", text, flags=re.MULTILINE))


def _days(seen: Seen) -> str:
    """A row a morning and lead: what it had done, where it stood, and what was to be sent."""
    columns = ("day", "lead", "engagement", "band", "stage", "next action", "asset", "e-mail")
    rows = []
    for (day, hour), found in seen.decisions.items():
        for lead_id, one in found.items():
            mail = "permitted" if one["email_permitted"] else ", ".join(one["email_reasons"])
            when = f"{day}, evening" if hour == EVENING else day
            grade = f"{one['engagement_points']} ({one['fit_grade']}{one['engagement_grade']})"
            stage = one["buying_stage"] or "none shown"
            rows.append((when, lead_id, grade, one["band"], stage, one["action"], one["asset_id"], mail))
    return as_table(columns, rows)


def _moves(seen: Seen) -> str:
    columns = ("day", "lead", "segment", "old", "new", "why")
    rows = []
    for (day, hour), found in seen.moves.items():
        for one in found:
            told_by = {why["fact"]: why["value"] for why in one["why"]}
            why = told_by.get("fallback") or ", ".join(one["triggers"]) or _band_or_day(told_by)
            when = f"{day}, evening" if hour == EVENING else day
            rows.append((when, one["id"], one["segment_id"], one["old"], one["new"], why))
    return as_table(columns, rows)


def _stages(seen: Seen) -> str:
    rows = []
    for (day, hour), found in seen.stages.items():
        for one in found:
            when = f"{day}, evening" if hour == EVENING else day
            if one["kind"] == "stage":
                rows.append((when, one["id"], one["old"], one["new"], "; ".join(why["value"] for why in one["why"])))
    return as_table(("day", "lead", "old", "new", "why"), rows)


def proposals_of(seen: Seen) -> list[Row]:
    """What the review proposes to change in the segment."""
    found: list[Row] = next(one for one in seen.review["segments"] if one["definition"]["id"] == SEGMENT)["amendments"]
    return found


def _proposals(seen: Seen) -> str:
    columns = ("file", "key", "now", "to", "why", "evidence")
    rows = [
        (
            one["file"],
            one["key"],
            one["now"],
            one["to"] or "for a person to write",
            one["says"],
            "; ".join(one["evidence"]),
        )
        for one in proposals_of(seen)
    ]
    return as_table(columns, rows)


def part_of(seen: Seen, name: str) -> Row:
    """A part of the segment's data sheet."""
    found: Row = next(part for part in seen.sheet["parts"] if part["id"] == name)
    return found


def _sheet(seen: Seen) -> str:
    fields = part_of(seen, "fields")["table"]
    shown = [
        fields["columns"].index(name) for name in ("field", "comes from", "how it is cleaned", "known, of members")
    ]
    table = as_table([fields["columns"][k] for k in shown], ([row[k] for k in shown] for row in fields["rows"]))
    updates = as_table(("kept up to date", ""), part_of(seen, "updates")["rows"])
    return f"{table}\n\n{updates}"


def _band_or_day(known: Mapping[str, str | None]) -> str:
    found = [f"{fact} {known[fact]}" for fact in ("subspecialty", "band", "days_since_meeting") if known.get(fact)]
    return ", ".join(found)
