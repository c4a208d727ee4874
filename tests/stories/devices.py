"""Story 4: a hospital with a value analysis team, a laboratory, a health system of two sites and a distributor."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pyarrow.dataset as ds

from configs.settings import load_settings
from tests.stories.device_rows import (
    ANALYST,
    ASKS,
    BUYER_OF_DISPOSABLES,
    DIAGNOSTICS,
    IMPLANTS,
    INFORMATICS,
    NURSE,
    PARTNER,
    PARTNERS,
    RECORDED,
    SIGNER,
    SURGEON,
    Row,
    accounts,
    at,
    climbed,
    consents,
    event,
    leads,
    request,
    signals,
    touch,
)  # fmt: skip
from tests.stories.telling import Room, Service, Told, as_json, as_table, fenced

# --- the configuration: two edits of a segment, approved by two people, and which level speaks for the records ------
OFFERS = """  offers:
    awareness: [implant_overview, implant_evidence_at_a_glance]
    education: [device_demo_invitation, device_workflow_guide]
    evaluation: [implant_technical_packet, device_training_outline]
    proposal: [device_roi_narrative, device_contracting_support]
    advocacy: [device_committee_briefing]
"""
MIXED = "implant_and_software"


def configure(room: Room) -> Path:
    """A copy of the shipped configuration in which channel partners and the new offers are approved."""
    configs = room.copy_of_configs()
    _edit(configs / "identity.yaml", "governs: {}", "governs:\n  integration_need: {level: system, fallback: true}")
    partners, segments = configs / "segments/partners.yaml", configs / "segments/accounts.yaml"
    partners.write_text(re.sub(r"  needs:\n(    .*\n)+", "", partners.read_text(encoding="utf-8")), encoding="utf-8")
    _edit(segments, f"- id: {IMPLANTS}\n  version: 1", f"- id: {IMPLANTS}\n  version: 2")
    before, after = segments.read_text(encoding="utf-8").split(f"- id: {IMPLANTS}\n")
    after = re.sub(r"  offers:\n(    .*\n)+", OFFERS, after, count=1)
    segments.write_text(f"{before}- id: {IMPLANTS}\n{after}", encoding="utf-8")
    people = {PARTNERS: ("partner marketing", "head of channels"), IMPLANTS: ("implant marketing", "head of implants")}
    for segment, (proposer, _) in people.items():
        room.run("segments", "submit", segment, "--by", proposer, "--on", "2026-04-27", "--configs", configs)
    for segment, (_, approver) in people.items():
        room.run("segments", "approve", segment, "--by", approver, "--on", "2026-04-28", "--until", "2027-04-27",
                 "--reference", "SEG-2026-041", "--configs", configs)  # fmt: skip
    return configs


def mix(configs: Path) -> None:
    """Add a draft that wants implants and software in one segment."""
    text = (configs / "segments/accounts.yaml").read_text(encoding="utf-8")
    own = text[text.index(f"- id: {IMPLANTS}") : text.index(f"- id: {DIAGNOSTICS}")]
    own = own.replace(f"- id: {IMPLANTS}", f"- id: {MIXED}").replace("priority: 20", "priority: 25")
    own = own.replace("product_interest = 'implant'", "product_interest IN ('implant', 'software')")
    own = own.replace("product_interest <> 'implant'", "NOT product_interest IN ('implant', 'software')")
    (configs / "segments/mixed.yaml").write_text(own, encoding="utf-8")


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# --- the run ------------------------------------------------------------------------------------------------------
@dataclass
class Seen:
    """What the program answered."""

    decided: dict[str, Row] = field(default_factory=dict)
    partner: Row = field(default_factory=dict)
    read: dict[tuple[str, bool], Row] = field(default_factory=dict)
    hospital: str = ""
    hospital_later: str = ""
    climb: list[tuple[int, Row]] = field(default_factory=list)
    record: Row = field(default_factory=dict)
    lint: str = ""
    refused: str = ""
    lead_tags: dict[str, Row] = field(default_factory=dict)
    account_tags: dict[str, Row] = field(default_factory=dict)
    withheld: list[Row] = field(default_factory=list)
    stale_state: str = ""


@cache
def told() -> Told:
    """The story, played once."""
    room, seen, blocks = Room(at(0)), Seen(), dict[str, str]()
    configs = configure(room)
    bundle = room.folder / "bundle"
    room.run("scorecard", "bundle", "--bundle", bundle, "--configs", configs)
    _clock(room, 0)
    _write(room)
    _place(room, bundle, configs, seen, blocks)
    _group(room, configs, seen, blocks)
    _tags(room, configs, seen, blocks)
    service = Service(bundle, room, load_settings(configs))
    _read(service, seen, blocks)
    _climb(service, room, seen, blocks)
    service.close()
    _hand_over(room, bundle, configs, seen, blocks)
    mix(configs)
    blocks["lint"] = room.shown("segments", "lint", MIXED, "--drafts", "--as-of", "2026-05-01", "--configs", configs,
                                code=1)  # fmt: skip
    seen.lint = blocks["lint"]
    seen.refused = room.run("segments", "submit", MIXED, "--by", "product marketing", "--on", "2026-05-01",
                            "--configs", configs, code=2).err  # fmt: skip
    return Told(blocks, seen)


def _clock(room: Room, day: int) -> None:
    room.clock_at(at(day))
    note = {"as_of": at(day).isoformat(), "suppressions_complete_as_of": at(day).isoformat()}
    (room.data / "sample.json").write_text(json.dumps(note), encoding="utf-8")


def _write(room: Room) -> None:
    room.write("leads", leads())
    room.write("accounts", accounts())
    room.write("events", signals())
    room.write("consents", [one for one in consents() if one["lead_id"] != SIGNER])
    room.write("touches", [touch(SURGEON, -300, "implant_overview")])
    room.write("cases", [{"case_id": "m1", "lead_id": NURSE, "kind": "meeting", "opened_at": at(-400),
                          "recorded_at": at(-400), "closed_at": at(-399)}])  # fmt: skip
    room.write("suppressions", [{"lead_id": BUYER_OF_DISPOSABLES, "channel": "sms", "reason": "opt_out",
                                 "since_at": at(-30), "recorded_at": at(-30)}])  # fmt: skip


def _place(room: Room, bundle: Path, configs: Path, seen: Seen, blocks: dict[str, str]) -> None:
    scores = room.folder / "scores"
    room.run("rescore", "--bundle", bundle, "--data", room.data, "--out", scores, "--audit", room.audit,
             "--workers", 1, "--configs", configs)  # fmt: skip
    rows = ds.dataset(str(scores / "decisions")).to_table().sort_by("lead_id").to_pylist()
    seen.decided = {row["lead_id"]: row for row in rows}
    columns = ("lead_id", "primary_segment", "queue", "lane", "band")
    blocks["placed"] = as_table([*columns, "segments"], [
        [*(row[name] for name in columns), ", ".join(row["segments"])] for row in rows
    ])  # fmt: skip


def _group(room: Room, configs: Path, seen: Seen, blocks: dict[str, str]) -> None:
    words = ("accounts", "show", "H", "--own", "--data", room.data, "--configs", configs)
    blocks["hospital"] = seen.hospital = room.shown(*words)
    # Sales finds who signs, and she looks at the prices.
    room.write("leads", leads(with_signer=True))
    prices = event("p1", SIGNER, -1, "page_view", "implant", topic="pricing", depth="pricing")
    room.write("events", [*signals(), prices])
    seen.hospital_later = room.run(*words).out
    blocks["hospital_later"] = fenced(_between(seen.hospital_later, "Decision readiness:", "Decision readiness adds"))
    _write(room)


def _between(text: str, first: str, last: str) -> str:
    return text[text.index(first) : text.index(last)]


def _tags(room: Room, configs: Path, seen: Seen, blocks: dict[str, str]) -> None:
    state, tags = room.folder / "state", room.folder / "tags"
    room.run("segments", "apply", "--data", room.data, "--out", state, "--configs", configs)
    words = ("segments", "activate", "--data", room.data, "--state", state, "--out", tags, "--configs", configs)
    room.run(*words)
    seen.lead_tags = {row["lead_id"]: row for row in _csv(tags / "lead_tags.csv")}
    seen.account_tags = {row["account_id"]: row for row in _csv(tags / "account_tags.csv")}
    seen.withheld = list(_csv(tags / "withheld.csv"))
    facets = ("facility_type", "specialty", "integration_need", "buyer_stage", "last_verified_on", "segments")
    blocks["tags"] = as_table(["account_id", *facets], [
        [name, *(row[facet] for facet in facets)] for name, row in seen.account_tags.items()
    ])  # fmt: skip
    blocks["withheld"] = fenced((tags / "withheld.csv").read_text(encoding="utf-8"))
    # Three days later nobody has placed the leads again.
    _clock(room, 3)
    seen.stale_state = room.run(*words, code=2).err
    blocks["stale_state"] = fenced(seen.stale_state)
    _clock(room, 0)


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _read(service: Service, seen: Seen, blocks: dict[str, str]) -> None:
    rows = []
    for lead_id in (INFORMATICS, BUYER_OF_DISPOSABLES):
        for viewed in (False, True):
            answer = service.score(request(lead_id, 0, signals() if viewed else ()))[0]
            seen.read[lead_id, viewed] = answer
            log = [f"{one['id']} {one['points']:+d}" for one in answer["engagement"]["log"]]
            rows.append((
                lead_id, next(one["id"] for one in answer["segments"] if one["primary"]), "yes" if viewed else "no",
                f"{answer['fit']['points']} {answer['fit']['grade']}",
                f"{answer['engagement']['points']} {answer['engagement']['grade']}", ", ".join(log) or "none",
                answer["readiness"]["band"],
            ))  # fmt: skip
    columns = ("lead", "primary segment", "viewed", "fit", "engagement", "what gives the points", "band")
    blocks["technical"] = as_table(columns, rows)
    seen.partner = service.score(request(PARTNER, 0))[0]
    blocks["partner"] = as_json({"route": seen.partner["route"]})


def _climb(service: Service, room: Room, seen: Seen, blocks: dict[str, str]) -> None:
    touches: list[Row] = []
    rows = []
    for day in ASKS:
        service.now = at(day)
        body = request(ANALYST, day, climbed(day), touches)
        answer = service.score(body)[0]
        seen.climb.append((day, answer))
        action, points = answer["next_best_action"], answer["engagement"]
        if action["asset_id"]:
            touches.append(touch(ANALYST, day, action["asset_id"]))
        rows.append((
            f"{at(day):%d %b}", answer["journey"]["stage"], f"{points['points']} {points['grade']}",
            answer["readiness"]["band"], answer["nurture"]["step"] or f"exit: {answer['nurture']['exit']}",
            action["action"], action["asset_id"], answer["route"]["queue"],
        ))  # fmt: skip
        if day == 41:
            sent = request(ANALYST, RECORDED, climbed(RECORDED), touches)
            (room.folder / "lead.json").write_text(json.dumps({"leads": [sent]}), encoding="utf-8")
        if day == 44:
            told = {name: answer[name] for name in ("next_best_action", "nurture")}
            told["qualification"] = {"status": answer["qualification"]["status"]}
            blocks["stopped"] = as_json(told)
    columns = ("day", "stage by events", "engagement", "band", "step", "next best action", "asset", "queue")
    blocks["ladder"] = as_table(columns, rows)


def _hand_over(room: Room, bundle: Path, configs: Path, seen: Seen, blocks: dict[str, str]) -> None:
    _clock(room, RECORDED)
    words = ("handover", room.folder / "lead.json", "--bundle", bundle, "--data", room.data, "--audit", room.audit,
             "--configs", configs)  # fmt: skip
    blocks["handover"] = room.shown(*words, keep=_without_the_clock)
    seen.record = json.loads(room.run(*words, "--json").out)["handovers"][0]


def _without_the_clock(text: str) -> str:
    return text.replace(f"clock of this made world: {at(RECORDED):%Y-%m-%d %H:%M:%S} UTC\n", "")
