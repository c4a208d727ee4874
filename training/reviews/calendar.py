"""What has to be looked at when: reviews, approvals that end, campaigns and launches, as a list or a calendar file."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from configs.approvals import steps_by_segment
from configs.label_changes import awaiting
from configs.settings import Settings
from features.intake.campaigns import Campaign
from models.segments.review_due import last_looked_on

Kind = Literal[
    "segment_review",
    "segment_approval",
    "asset_approval",
    "sign_off",
    "rule_review",
    "campaign_end",
    "launch",
    "recheck",
]
WORDS: Mapping[Kind, str] = {
    "segment_review": "review of a segment",
    "segment_approval": "approval of a segment ends",
    "asset_approval": "approval of content ends",
    "sign_off": "sign-off of a claim ends",
    "rule_review": "review of rules",
    "campaign_end": "review after a campaign",
    "launch": "review after a launch",
    "recheck": "content waits for a new look",
}
# RFC 5545, 3.1: a line holds at most 75 octets, the break not counted.
_OCTETS = 75


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to look at: the day by which, of what kind, what it is about, who sees to it, and why."""

    on: date
    kind: Kind
    about: str
    owner: str
    says: str
    overdue: bool


def calendar_of(settings: Settings, on: date, days: int, campaigns: Sequence[Campaign] = ()) -> tuple[Entry, ...]:
    """Everything due from a day until so many days later, and everything overdue, in order of days.

    INVARIANT: what is overdue stays in it, however long ago it was due, until somebody looked.
    """
    until = on + timedelta(days=days)
    found = [
        Entry(when, kind, about, owner, says, when < on)
        for when, kind, about, owner, says in _all(settings, on, campaigns)
        if when <= until
    ]
    return tuple(sorted(found, key=lambda one: (one.on, one.kind, one.about)))


Row = tuple[date, Kind, str, str, str]


def _all(settings: Settings, on: date, campaigns: Sequence[Campaign]) -> Iterator[Row]:
    yield from _of_segments(settings, on, campaigns)
    yield from _of_content(settings, on)
    rules: dict[tuple[date, str], list[str]] = defaultdict(list)
    for card in settings.rules:
        rules[card.review.next, card.review.owner].append(card.id)
    for (when, owner), ids in rules.items():
        named = ", ".join(sorted(ids)[:4]) + (f" and {len(ids) - 4} more" if len(ids) > 4 else "")
        cards = "1 rule card" if len(ids) == 1 else f"{len(ids)} rule cards"
        yield when, "rule_review", cards, owner.replace("_", " "), named


def _of_segments(settings: Settings, on: date, campaigns: Sequence[Campaign]) -> Iterator[Row]:
    steps = steps_by_segment([step for step in settings.approvals if step.on <= on])
    for d in settings.segments:
        if d.status != "approved":
            continue
        yield d.due_on, "segment_review", d.id, d.owner, "is its hypothesis kept, changed or dropped?"
        if d.approval is not None:
            yield d.approval.expires_on, "segment_approval", d.id, d.owner, "after it the segment holds nobody"
        looked = last_looked_on(steps.get(d.id, []))
        for campaign in campaigns:
            end = campaign.ended_on
            if d.id in campaign.segment_ids and end is not None and (looked is None or looked < end):
                says = f"campaign {campaign.campaign_id} ends: what did it bring, and does the segment still hold?"
                yield end + timedelta(days=1), "campaign_end", d.id, d.owner, says
        for trigger in settings.triggers:
            for occurrence in trigger.occurs:
                if d.id in trigger.reviews and (looked is None or looked < occurrence.on):
                    yield occurrence.on, "launch", d.id, d.owner, f"{trigger.id}: {occurrence.says}"


def _of_content(settings: Settings, on: date) -> Iterator[Row]:
    owner = next((duty.owner for duty in settings.ownership.duties if duty.id == "content"), "owner of the content")
    for asset in settings.assets:
        approval = asset.approval
        if asset.withdrawn or approval is None:
            continue
        says = f"{approval.reference}: after it the asset is not offered"
        yield approval.expires_on, "asset_approval", asset.asset_id, owner, says
        if approval.expires_on <= on:
            continue  # nobody may use it, so its claims wait for the same approval
        ends: dict[tuple[date, str], list[str]] = defaultdict(list)
        for claim in asset.claims or ():
            for role in dict.fromkeys(one.role for one in claim.sign_offs):
                last = max(one.expires_on for one in claim.sign_offs if one.role == role)
                ends[last, role.replace("_", " ")].append(claim.text_id)
        for (when, office), claims in ends.items():
            if when < approval.expires_on:
                yield (
                    when,
                    "sign_off",
                    asset.asset_id,
                    office,
                    f"{', '.join(claims)}: sign again, or the asset is not offered",
                )
        for change in awaiting(settings.label_changes, asset, on):
            says = f"{change.id}: {change.says}; not offered until somebody looked"
            yield change.changed_on, "recheck", asset.asset_id, change.owner, says


def as_ics(entries: Sequence[Entry], stamp: datetime) -> str:
    """A calendar file (RFC 5545) with one all-day event for each entry; the same entries make the same file.

    Args:
        entries: what to put in.
        stamp: an instant with a zone, which every event says it was made at.

    INVARIANT: an entry keeps its id from one export to the next, so that a calendar moves it instead of
    doubling it.
    """
    made = stamp.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Leadwell//Review calendar//EN", "CALSCALE:GREGORIAN"]
    for one in entries:
        key = "\n".join((one.kind, one.about, one.says))
        uid = hashlib.sha256(key.encode()).hexdigest()[:32]
        title = f"{WORDS[one.kind]}: {one.about}" + (" (overdue)" if one.overdue else "")
        lines += [
            "BEGIN:VEVENT",
            f"UID:{uid}@leadwell",
            f"DTSTAMP:{made}",
            f"DTSTART;VALUE=DATE:{one.on:%Y%m%d}",
            f"DTEND;VALUE=DATE:{one.on + timedelta(days=1):%Y%m%d}",
            f"SUMMARY:{_escaped(title)}",
            f"DESCRIPTION:{_escaped(one.says.rstrip('.') + '. Owner: ' + one.owner)}",
            f"CATEGORIES:{one.kind.upper()}",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))


def _escaped(text: str) -> str:
    plain = " ".join(text.split())
    return plain.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")


def _folded(line: str) -> Iterator[str]:
    """A line in pieces of at most 75 octets, each after the first begun by a blank; no character is cut in two."""
    piece, size = "", 0
    for character in line:
        width = len(character.encode())
        if size + width > _OCTETS:
            yield piece
            piece, size = " ", 1
        piece, size = piece + character, size + width
    yield piece
