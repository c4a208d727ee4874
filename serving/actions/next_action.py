"""The next best action and the route of a lead, in words: what, on which channel, until when, why, and who takes it.

Nothing is decided here. `says` is a sentence about content, channels and queues; it holds no fact of the person.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from configs.content import Asset
from features.tables import YES
from policy.masks import as_numbers
from policy.reasons import because as because_of
from serving.actions.actions import NO_ACTION
from serving.actions.teams import Taker, wanted_of
from serving.decide import Decisions
from serving.instants import instant_of
from serving.kernels import QUEUE_KEYS
from serving.nurture.words import pace, waiting

CHANNEL_WORDS = {
    "email": "e-mail", "sms": "text", "phone": "call", "rep_visit": "visit", "mail": "mail", "event": "event",
    "ads": "advertising audience",
}  # fmt: skip
# A channel that the segment or the lead would rather have: something is permitted there, only nothing as fitting.
FITS_LESS = "CONTENT_FITS_LESS"
_QUEUE_FACTS: dict[str, list[Any]] = {
    "no_score": ["no_score", "known", "yes"],
    "adverse_event": ["adverse_event_open", "known", "yes"],
    "off_label": ["off_label_open", "known", "yes"],
    "meeting": ["meeting_booked", "known", "yes"],
    "handover": ["handover_open", "known", "yes"],
    "partner": ["organization_type", "known", "distributor"],
    "complaint": ["complaint_open", "known", "yes"],
    "review": ["legal_hold", "known", "yes"],
    "patient": ["audience", "known", "patient or caregiver"],
    # Nothing forbids it: nothing is done for this lead, so that what is done for the others can be measured.
    "holdout": ["arm", "known", "holdout: measured against"],
}
# A matter that a person takes over whatever is permitted, and what is withheld to be measured against.
_ENDS_AUTOMATION = frozenset({"meeting", "handover", "holdout"})
FOLLOWED_UP = ("meeting", "handover")
_UNTOLD = frozenset({"no_score", "adverse_event"})
_MATTERS = {
    "adverse_event": "A possible adverse event or product complaint goes to {queue}",
    "off_label": "An off-label question goes to {queue}; promotion of the product waits until it is closed",
    "no_score": "Erasure, restriction or an objection goes to {queue}",
    "complaint": "A complaint goes to {queue}",
    "meeting": "A meeting is asked for or booked: {queue} follows up",
    "handover": "The lead is with sales: {queue} follows up",
    "partner": "A channel partner goes to {queue}",
    "review": "A legal hold goes to {queue}",
}
MANY = 64
ADVERSE = QUEUE_KEYS.index("adverse_event")


def action(decisions: Decisions, row: int, band: str, channels: dict[str, Any]) -> dict[str, Any]:
    """What is done next and why; where nothing is, what is missing and what it would take.

    Args:
        decisions: what was decided.
        row: the lead's row there.
        band: the name of its band.
        channels: its channels as the answer tells them.
    """
    chosen, decider = decisions.chosen, decisions.decider
    asset_row, channel_row = int(chosen.asset[row]), int(chosen.channel[row])
    if asset_row == NO_ACTION:
        return _nothing(decisions, row, band, channels)
    asset: Asset | None = decider.assets[asset_row] if asset_row < len(decider.assets) else None
    channel = decisions.book.channels[channel_row]
    because = _chosen_for(decisions, row, band)
    stage = because[2][2]
    offer = asset.title if asset else decider.call_to_action(int(decisions.members.primary[row]), stage)
    passed_over = _passed_over(decisions, row, channel_row, channels)
    says = f"{offer or 'A conversation'}, by {CHANNEL_WORDS.get(channel, channel)}, for {because[0][2]} at {stage}"
    if passed_over:
        says += "; not by " + ", ".join(
            f"{CHANNEL_WORDS.get(one['channel'], one['channel'])} ({_spoken(one['reason'])})" for one in passed_over
        )
    return {
        "action": decider.plan.verb(asset, channel),
        "channel": channel,
        "asset_id": asset.asset_id if asset else None,
        "offer": offer,
        "expires_at": instant_of(decisions.permits_end.item(row, channel_row)),
        "because": because + pace(decisions, row),
        "passed_over": passed_over,
        "missing": None,
        "says": says,
    }


def _nothing(decisions: Decisions, row: int, band: str, channels: dict[str, Any]) -> dict[str, Any]:
    key = QUEUE_KEYS[int(decisions.chosen.queue[row])]
    missing = None
    if key in _ENDS_AUTOMATION:
        because = [_QUEUE_FACTS[key]]
        says = "Nothing is sent: " + ("a person follows up" if key in FOLLOWED_UP else "measured against")
    elif not any(answer["permitted"] for answer in channels.values()):
        because = _blocking(channels)
        missing = None if decisions.replay else _missing(decisions, row, channels)
        says = "Nothing is permitted"
        if missing:
            names = ", ".join(
                _spoken(fact) if state == "unknown" else f"{_spoken(fact)}, to be renewed"
                for fact, state, *_ in missing["facts"]
            )
            says += f"; by {CHANNEL_WORDS.get(missing['channel'], missing['channel'])} it might be, once known: {names}"
    elif key in _UNTOLD:
        # INVARIANT: of who may not be profiled, or may have been harmed, nothing is told that it did.
        because, says = [_QUEUE_FACTS[key]], "Nothing is sent: the person's own matter comes first"
    elif key != "off_label" and decisions.nurtured.row("waits")[row]:  # a reply waits for nothing
        because = waiting(decisions, row)
        says = f"Nothing is sent before {because[0][2]}: the follow-up of what the lead did begins then"
    else:
        segment, _, stage = _chosen_for(decisions, row, band)
        because = [["suitable_content", "known", "none"], segment, stage]
        says = f"Nothing that suits {segment[2]} at {stage[2]} may be sent: an approved asset is missing"
        if others := ", ".join(_other_purposes(decisions, row)):
            because += [["asset_intent", "known", others], ["segment_purpose", "known", _purpose(decisions, row)]]
            says += f"; what the rules let through is {_spoken(others)}, and the segment is not"
    return {
        "action": "owner_follow_up" if key in FOLLOWED_UP else "none",
        "channel": None,
        "asset_id": None,
        "offer": None,
        "expires_at": None,
        "because": because,
        "passed_over": [],
        "missing": missing,
        "says": says,
    }


def _purpose(decisions: Decisions, row: int) -> str:
    return decisions.decider.segment_map.definitions[int(decisions.members.primary[row])].purpose


def _other_purposes(decisions: Decisions, row: int) -> list[str]:
    """Intents of content that the rules let through and the primary segment, by its purpose, never carries."""
    carried = decisions.decider.settings.actions.intents_by_purpose
    by_purpose = {str(purpose): set(intents) for purpose, intents in carried.items()}
    fitting = by_purpose.get(_purpose(decisions, row))
    passes: list[list[bool]] = decisions.rulings.passes[row].tolist()
    # The last row of what passes is a contact without any asset.
    found = {str(one.intent) for one, let in zip(decisions.decider.assets, passes[:-1], strict=True) if any(let)}
    return sorted(found) if fitting is not None and found and not found & fitting else []


def _chosen_for(decisions: Decisions, row: int, band: str) -> list[list[Any]]:
    """What content has to suit: the primary segment, the band, the stage."""
    return [
        ["segment", "known", decisions.members.segment_ids[int(decisions.members.primary[row])]],
        ["band", "unknown" if band == "unknown" else "known", band],
        ["stage", "known", decisions.decider.settings.actions.stages[int(decisions.chosen.stage[row])]],
    ]


def _passed_over(decisions: Decisions, row: int, chosen: int, channels: dict[str, Any]) -> list[dict[str, str]]:
    """Channels that the segment's plan or the lead would rather have than the chosen one, and the reason against each.

    An opt-out of one channel never ends the qualification: the next permitted channel is offered, and this says so.
    """
    preferred = decisions.facts.columns["preferred_channel"]
    found = []
    order = decisions.decider.plan.preference(int(decisions.members.primary[row]), int(preferred[row, 0, 0]))
    for channel in order:
        if channel == chosen:
            break
        name = decisions.book.channels[channel]
        answer = channels[name]
        reason = FITS_LESS if answer["permitted"] else answer["blocks"][0]["reason"]
        found.append({"channel": name, "reason": reason})
    return found


def _blocking(channels: dict[str, Any]) -> list[list[Any]]:
    """The unknown facts that stop some channel, each with where to supply it; known reasons where none is missing."""
    unknown: dict[str, list[Any]] = {}
    known: dict[str, list[Any]] = {}
    for answer in channels.values():
        for block in answer.get("blocks", ()):
            for because in block["because"]:
                (unknown if because[1] == "unknown" else known).setdefault(because[0], because)
    return list((unknown or known).values())


def _missing(decisions: Decisions, row: int, channels: dict[str, Any]) -> dict[str, Any] | None:
    """The channel that the fewest facts could open, and those facts; None where known ones stop every channel."""
    rulings, missing, book = decisions.rulings, decisions.decider.missing, decisions.book
    closed = decisions.decider.plan.closed[int(decisions.members.primary[row])].tolist()
    masks, permits = as_numbers(rulings.blocks[row]), as_numbers(rulings.permits[row])
    best, fewest, best_code = -1, None, None
    for channel, name in enumerate(book.channels):
        if closed[channel] or masks[channel] >> book.error_bit:
            continue
        code = partial(_code, decisions, row, int(rulings.asset[row, channel]), channel)
        reasons, limit = channels[name]["blocks"], MANY if fewest is None else len(fewest)
        found = missing.of(book, channel, masks[channel], reasons, permits[channel] != 0, limit, code)
        if found is not None and len(found) < limit:
            best, fewest, best_code = channel, found, code
    if fewest is None or best_code is None:
        return None
    told = [because_of(missing.domain, fact, best_code(fact)) for fact in fewest]
    return {"channel": book.channels[best], "facts": told}


def _code(decisions: Decisions, row: int, asset: int, channel: int, fact: str) -> int:
    plain = decisions.facts.one
    if plain is not None and fact in plain:
        # Facts of one lead are plain numbers already: cutting out arrays costs more than everything else here.
        value: Any = plain[fact]
        if value.__class__ is int:
            return int(value)
        per = decisions.book.domain.facts[fact].per
        found: Any = value[channel if per == "channel" else asset]
        return int(found[channel] if per == "asset_channel" else found)
    column = decisions.facts.columns.get(fact)
    if column is None:
        return decisions.book.domain.unknown(fact)
    leads, assets, wide = column.shape
    code: int = column.item((row if leads > 1 else 0, asset if assets > 1 else 0, channel if wide > 1 else 0))
    return code


def route(decisions: Decisions, row: int, band: str) -> dict[str, Any]:
    """Whose queue a lead is in, which team takes it, by when where that is due, and why."""
    key = int(decisions.chosen.queue[row])
    decider, place = decisions.decider, wanted_of(decisions, row)
    due = instant_of(decisions.due_at.item(row))
    queue, taker = decider.plan.queue(key, place.territory), decider.teams.taker(*place)
    because = [_QUEUE_FACTS.get(QUEUE_KEYS[key], ["band", "unknown" if band == "unknown" else "known", band])]
    asked = key == ADVERSE and bool(decisions.facts.columns["off_label_open"][row, 0, 0] == YES)
    if asked:
        because.append(_QUEUE_FACTS["off_label"])
    because += taker.because
    return {
        "queue": queue,
        "team": taker.teams[0].id if taker.teams else None,
        "due_at": due,
        "because": because,
        "says": route_says(key, decider.plan.queue(key, None), taker, due, asked),
    }


def route_says(key: int, queue: str, taker: Taker, due: str | None, asked: bool) -> str | None:
    """A sentence on the route: the matter and when it is due, then who takes it or why nobody does."""
    parts = []
    matter = _MATTERS.get(QUEUE_KEYS[key])
    if matter is not None:
        parts.append(matter.format(queue=queue) + (f", due {due}" if due else ""))
    if asked:
        parts.append("an off-label question is open too and waits for it")
    if taker.reason is not None:
        parts += taker.says(queue)
    elif taker.teams and taker.teams[0].capacity_a_day is not None:
        team = taker.teams[0]
        parts.append(f"{team.id} takes {team.capacity_a_day} a day; how many it has today only a rescoring counts")
    return "; ".join(parts) or None


def _spoken(name: str) -> str:
    return name.lower().replace("_", " ")
