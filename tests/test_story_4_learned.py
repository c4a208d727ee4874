"""Story 4 with a trained model: what it learned of technical reading stands in the drivers of its answers.

The made records say it so: of who wants software, seven in ten who read a technical document ask for a demonstration
within 50 days; of who wants a disposable, reading makes no difference.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.stories.device_rows import Row, account, at, event, lead, touch
from tests.stories.telling import Room, Service

TECHNICAL = "engagement_technical_by_technical_role_count_90d"
READS = {"topic": "technical_documentation", "depth": "detailed"}
LOOKS = {"topic": "workflow", "depth": "overview"}


def person(place: int) -> tuple[Row, Row]:
    """Informatics of a health system that wants software, or a buyer of disposables at a surgery center."""
    known = dict.fromkeys(("created_at", "recorded_at", "verified_at", "obtained_at", "notice_at"), at(-420))
    if place % 2:
        site = account(f"C{place}", "ambulatory_surgery_center", verified=-420)
        return site, lead(f"C{place}-x", "procurement", "disposable") | known
    site = account(f"S{place}", "health_system", verified=-420, integration_need="ehr")
    return site, lead(f"S{place}-x", "informatics_leader", "software") | known


def records(room: Room) -> None:
    """1,800 people over 400 days."""
    draw = random.Random(7)
    people = [person(place) for place in range(1800)]
    events, outcomes = [], []
    for place, (_, one) in enumerate(people):
        name, product = one["lead_id"], one["product_interest"]
        events += [event(f"n{place}-{k}", name, -draw.randrange(1, 400), "page_view", product, **LOOKS)
                   for k in range(draw.randrange(2, 8))]  # fmt: skip
        days = []
        for k in range(2):
            day = -draw.randrange(1, 400)
            if draw.random() < 0.5:
                events.append(event(f"t{place}-{k}", name, day, "page_view", product, **READS))
                if product == "software" and draw.random() < 0.7:
                    days.append(day + draw.randrange(10, 50))
        if draw.random() < 0.25:
            days.append(-draw.randrange(1, 400))
        outcomes += [{"lead_id": name, "kind": "demo", "occurred_at": at(day), "recorded_at": at(day)}
                     for day in days if day < 0]  # fmt: skip
    room.write("accounts", [site for site, _ in people])
    room.write("leads", [one for _, one in people])
    room.write("events", events)
    room.write("outcomes", outcomes)
    # Nobody is learned from of whom it is not known whether they may be: an empty feed of stops is no feed.
    first, second = (one["lead_id"] for _, one in people[:2])
    stop = {"lead_id": second, "channel": "sms", "reason": "opt_out", "since_at": at(-30), "recorded_at": at(-30)}
    met = {"case_id": "m1", "lead_id": first, "kind": "meeting", "opened_at": at(-400), "recorded_at": at(-400)}
    agreed = {"channel": "email", "status": "granted", "kind": "express_written", "purpose": "promotion", "proof": "f"}
    room.write("suppressions", [stop])
    room.write("cases", [met | {"closed_at": at(-399)}])
    room.write("touches", [touch(first, -300, "x")])
    room.write("consents", [{"lead_id": one["lead_id"], **agreed, "captured_at": at(-420)} for _, one in people])
    note = {"as_of": at(0).isoformat(), "suppressions_complete_as_of": at(0).isoformat()}
    (room.data / "sample.json").write_text(json.dumps(note), encoding="utf-8")


def readiness(service: Service, place: int, *, reads: bool) -> dict[str, Any]:
    """What the API says of somebody who looked at a page 20 days ago and at another one yesterday."""
    site, one = person(place)
    name, product = one["lead_id"], one["product_interest"]
    last = event("b", name, -1, "page_view", product, **(READS if reads else LOOKS))
    seen = [event("a", name, -20, "page_view", product, **LOOKS), last]
    body = {"lead": one, "account": site, "events": seen, "suppressions_complete_as_of": at(0)}
    body |= dict.fromkeys(("touches", "cases", "consents", "suppressions", "colleagues", "memberships"), ())
    plain = json.loads(json.dumps(body, default=lambda instant: instant.isoformat()))
    found: dict[str, Any] = service.score(plain)[0]["readiness"]
    return found


@pytest.mark.slow
def test_a_technical_document_drives_readiness_for_software_and_hardly_for_a_disposable() -> None:
    room = Room(at(0))
    records(room)
    bundle = room.folder / "bundle"
    room.run("train", "--data", room.data, "--bundle", bundle, "--artifacts", room.folder / "artifacts")
    service = Service(bundle, room)
    before, after = (readiness(service, 0, reads=reads) for reads in (False, True))
    assert after["log_odds"] - before["log_odds"] > 1.5
    assert after["drivers"][0]["feature"] == TECHNICAL
    assert after["drivers"][0]["contribution"] > 0.5
    before, after = (readiness(service, 1, reads=reads) for reads in (False, True))
    service.close()
    assert abs(after["log_odds"] - before["log_odds"]) < 0.4
    assert before["band"] == after["band"] == "cold"
    assert all(abs(one["contribution"]) < 0.1 for one in after["drivers"] if one["feature"] == TECHNICAL)
