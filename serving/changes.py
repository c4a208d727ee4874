"""What would change an answer: the same lead decided again with one more thing recorded, declared in changes.yaml.

Nothing is nudged inside the model: a change is a record that would come in, and the whole line runs again, so segments,
points and readiness move together. It says what would be answered, not what would happen: an event that somebody is
talked into is worth less than one that comes of its own accord.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from configs.changes import Change
from features.intake.titles import Titles
from features.records import Event
from serving.api import LeadRequest
from serving.decide import Decider
from serving.kernels import QUEUE_KEYS
from serving.online import tables_of
from serving.render import render

CHANGE_EVENT = "what-would-change"
# Leads that nobody takes over in person and that the standing experiment does not hold out.
_INVITED = tuple(QUEUE_KEYS.index(key) for key in ("none", "hot", "warm"))


@dataclass(frozen=True, slots=True)
class Changed:
    """What one change would make of a lead: probability, its difference in log-odds, band, grades and segments.

    `through` are the channels that are permitted now and could invite to it; None where no invitation is needed, and
    empty for a lead that is held out or whose question, complaint, meeting or adverse event a person has in hand.
    """

    change: Change
    probability: float | None
    gain: float | None
    band: str
    grades: str
    entered: tuple[str, ...]
    left: tuple[str, ...]
    through: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class WhatWouldChange:
    """The answer as it is, and every declared change that moves it, the most helpful first."""

    answer: dict[str, Any]
    changes: tuple[Changed, ...]
    unmoved: tuple[str, ...]


def what_would_change(item: LeadRequest, decider: Decider, as_of: datetime) -> WhatWouldChange:
    """Decide about one lead as it is and after each declared change; raises InputInvalid on a lead that cannot be read.

    INVARIANT: a lead that may not be scored has no changes: what may not be said of it now is not said of it later.
    """
    titles = Titles(decider.settings.vocabularies)
    now, may_invite = _decided(item, decider, titles, as_of)
    if now["readiness"].get("reason") == "NO_SCORE":
        return WhatWouldChange(now, (), ())
    found, unmoved = [], []
    for change in decider.settings.changes:
        after, later = _after(item, change, as_of)
        then, _ = _decided(after, decider, titles, later)
        one = _compared(change, now, then, may_invite)
        if one.gain or (one.band, one.entered, one.left) != (now["readiness"]["band"], (), ()):
            found.append(one)
        else:
            unmoved.append(change.id)
    found.sort(key=lambda one: -(one.gain or 0.0))
    return WhatWouldChange(now, tuple(found), tuple(unmoved))


def _after(item: LeadRequest, change: Change, as_of: datetime) -> tuple[LeadRequest, datetime]:
    """The lead with the change recorded, and the instant to decide at."""
    if change.wait_days is not None:
        later = as_of + timedelta(days=change.wait_days)
        # The feed of suppressions would go on being complete; its silence is not what is asked about.
        return msgspec.structs.replace(item, suppressions_complete_as_of=_kept(item, as_of, later)), later
    if change.lead:
        lead = msgspec.structs.replace(item.lead, **dict.fromkeys(change.lead, as_of))
        return msgspec.structs.replace(item, lead=lead), as_of
    told = change.event.model_dump(exclude_none=True) if change.event else {}
    product = item.lead.product_interest
    event = Event(
        event_id=CHANGE_EVENT, lead_id=item.lead.lead_id, occurred_at=as_of, recorded_at=as_of, product=product, **told
    )
    return msgspec.structs.replace(item, events=[*(item.events or ()), event]), as_of


def _kept(item: LeadRequest, as_of: datetime, later: datetime) -> datetime | None:
    complete = item.suppressions_complete_as_of
    return None if complete is None else complete + (later - as_of)


def _decided(item: LeadRequest, decider: Decider, titles: Titles, as_of: datetime) -> tuple[dict[str, Any], bool]:
    """The answer, and whether anybody would be invited to anything: a permitted channel may be for a reply alone."""
    tables = tables_of([item], decider.settings.vocabularies, decider.asset_ids, titles, decider.attributes)
    decisions = decider.decide(tables, as_of, threads=1)
    merged = decisions.known.merged
    row = 0 if merged is None else int(merged.survivor[0])
    return render(decisions, row), decisions.chosen.queue.item(row) in _INVITED


def _compared(change: Change, now: dict[str, Any], then: dict[str, Any], may_invite: bool) -> Changed:
    before, after = (_ids(answer["segments"]) for answer in (now, then))
    gain = None
    if "log_odds" in now["readiness"] and "log_odds" in then["readiness"]:
        gain = then["readiness"]["log_odds"] - now["readiness"]["log_odds"]
    through = None
    if change.invited:
        through = tuple(channel for channel, found in now["channels"].items() if found["permitted"] and may_invite)
    return Changed(
        change=change,
        probability=then["readiness"]["probability"],
        gain=gain,
        band=then["readiness"]["band"],
        # Of a lead that may not be scored any more there are none.
        grades=f"{then['fit']['grade'] or ''}{then['engagement']['grade'] or ''}",
        entered=tuple(one for one in after if one not in before),
        left=tuple(one for one in before if one not in after),
        through=through,
    )


def _ids(segments: Sequence[dict[str, Any]]) -> list[str]:
    return [str(segment["id"]) for segment in segments]
