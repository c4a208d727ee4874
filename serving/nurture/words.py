"""Nurture in words: a lead's track, step, layer and windows, each with why. Nothing is decided here."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from configs.nurture import Step
from features.tables import NO, YES
from policy.reasons import because as because_of
from serving.decisions import Decisions
from serving.kernels import QUEUE_KEYS
from serving.nurture.kernels import ROWS
from serving.nurture.nurture import NurturePlan

# Whose queue a lead is in ends its track: what exit is told, and the fact behind it.
EXITS = {
    "handover": ["handover_open", "known", "yes"],
    "meeting": ["meeting_booked", "known", "yes"],
    "adverse_event": ["adverse_event_open", "known", "yes"],
    "off_label": ["off_label_open", "known", "yes"],
    "no_score": ["no_score", "known", "yes"],
}
# Facts that end a track whoever's queue the lead is in: somebody talks to it already; the first that holds is told.
TAKEN = {"meeting": "meeting_booked", "handover": "handover_open"}
# What a step may ask for that ends in a booking or purchase (SVC-01); where no service is, it asks to learn instead.
BOOKING, LEARN = ("contact", "trial", "buy"), "learn"
NOT_HERE = "our service is not offered where the lead is: no step towards a booking"
_SERVICE = "service_offered"
_EPOCH = date(1970, 1, 1)
# The stage that events show, and how well they support it.
_SHOWN = ("buying_stage", "stage_evidence")
_FIELDS = ("track", "step", "layer", "call_to_action", "says", "because", "follow_up_by", "not_before", "exit")


def nurture(decisions: Decisions, row: int) -> dict[str, Any]:
    """The track and step of a lead, its layer and call to action, windows, and the exit that ended it, with why."""
    plan, nurtured = decisions.decider.nurture, decisions.nurtured
    key = QUEUE_KEYS[int(decisions.chosen.queue[row])]
    if key not in EXITS:
        key = next((exit_ for exit_, fact in TAKEN.items() if _is(decisions, fact, row)), key)
    found: dict[str, Any] = dict.fromkeys(_FIELDS)
    if key in EXITS:
        return found | {"exit": key, "because": [EXITS[key]]}
    values = dict(zip(ROWS, nurtured.found[:, row].tolist(), strict=True))
    stage = plan.stages[values["stage"]]
    step = plan.step(values["track"], values["stage"])
    asset = int(decisions.chosen.asset[row])
    assets = decisions.decider.assets
    barred = _barred(decisions, row, step)
    asks, says = (LEARN, NOT_HERE) if barred else (step.call_to_action, step.says) if step else (None, None)
    layer = assets[asset].layer if 0 <= asset < len(assets) else step.layers[0] if step else None
    return found | {
        "track": plan.settings.tracks[values["track"]].id if values["track"] >= 0 else None,
        "step": stage,
        "layer": layer,
        "call_to_action": asks,
        "says": says,
        "because": _because(decisions, row, plan, values) + barred,
        "follow_up_by": day(values["follow_up_by"]),
        "not_before": day(values["not_before"]),
        "exit": None,
    }


def pace(decisions: Decisions, row: int) -> list[list[Any]]:
    """Why content is no deeper, and on which track it is, as the next best action tells it."""
    plan, found = decisions.decider.nurture, decisions.nurtured.found[:, row]
    values = dict(zip(ROWS, found.tolist(), strict=True))
    said: list[list[Any]] = []
    if values["track"] >= 0:
        said.append(["track", "known", plan.settings.tracks[values["track"]].id])
    if values["by_events"]:
        said += _told(decisions, row, _SHOWN)
    if plan.settings.depths:
        said.append(["depth", "known", deepest(plan, values)])
    return said + _barred(decisions, row, plan.step(values["track"], values["stage"]))


def waiting(decisions: Decisions, row: int) -> list[list[Any]]:
    """Until when nothing is sent, and what is to be followed up then."""
    plan, found = decisions.decider.nurture, decisions.nurtured.found[:, row]
    values = dict(zip(ROWS, found.tolist(), strict=True))
    return [["not_before", "known", day(values["not_before"])], _trigger(plan, values)]


def day(number: int) -> str | None:
    """A day since 1970 as text, None where there is none."""
    return None if number < 0 else (_EPOCH + timedelta(days=number)).isoformat()


def deepest(plan: NurturePlan, values: dict[str, int]) -> str:
    """The deepest depth that the lead may be offered: by what it saw, its band and its stage."""
    return plan.settings.depths[plan.deepest(values["limit"], values["ceiling"], values["stage"])][0]


def _because(decisions: Decisions, row: int, plan: NurturePlan, values: dict[str, int]) -> list[list[Any]]:
    said: list[list[Any]] = []
    if values["track"] >= 0:
        said += _told(decisions, row, plan.rules.facts_behind(values["track"]))
        if values["entry"] >= 0:
            said.append([plan.kinds[values["entry"]], "known", day(values["entry_day"])])
    if values["by_events"]:
        said += _told(decisions, row, _SHOWN)
    else:
        band = "unknown" if decisions.rulings.no_score[row] else decisions.decider.readiness.band_name(
            int(decisions.scores.band[row])
        )  # fmt: skip
        said.append(["band", "unknown" if band == "unknown" else "known", band])
    if plan.settings.depths:
        said.append(["depth", "known", deepest(plan, values)])
    if values["trigger"] >= 0:
        said.append(_trigger(plan, values))
    return said


def _barred(decisions: Decisions, row: int, step: Step | None) -> list[list[Any]]:
    """Why a lead is not asked for the step towards a booking that its own step asks for; empty where it may be."""
    if step is None or step.call_to_action not in BOOKING or not _is(decisions, _SERVICE, row, NO):
        return []
    return _told(decisions, row, (_SERVICE,))


def _is(decisions: Decisions, fact: str, row: int, code: int = YES) -> bool:
    one = decisions.facts.one
    return bool((one[fact] if one is not None else decisions.facts.columns[fact].item(row, 0, 0)) == code)


def _told(decisions: Decisions, row: int, names: tuple[str, ...]) -> list[list[Any]]:
    """Facts of a lead, each with its value or where to supply it."""
    domain, facts = decisions.decider.segment_map.domain, decisions.facts
    plain = facts.one  # of one lead they are plain numbers already
    codes = [plain[name] if plain is not None else facts.columns[name].item(row, 0, 0) for name in names]
    return [because_of(domain, name, code) for name, code in zip(names, codes, strict=True)]


def _trigger(plan: NurturePlan, values: dict[str, int]) -> list[Any]:
    return [f"follow_up_{plan.kinds[values['trigger']]}", "known", day(values["trigger_day"])]
