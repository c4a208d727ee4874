"""A lead's qualification in words: its status, why, its lane to sales, and what is done next with it.

Nothing here permits anything, and nothing is decided here: `qualified.py` did, and the rules said who may be contacted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.qualification import LANES, NO_LANE, NURTURE, Threshold
from features.tables import YES
from serving.decide import Decisions
from serving.handover.qualified import ASKED, LEAD, NO_THRESHOLD, REACHES
from serving.instants import instant_of
from serving.kernels import QUEUE_KEYS

# In the order of their places in columns; `mql` is a lead that marketing holds to be worth somebody's time.
STATUSES = ("not_assessed", "contact", "lead", "mql", "handed_over", "meeting")
NOT_ASSESSED, CONTACT, IS_LEAD, MQL, HANDED_OVER, MEETING = range(len(STATUSES))
_WITH_SOMEBODY = (NOT_ASSESSED, HANDED_OVER, MEETING)
# Queues of a person's own matter: sales waits until it is closed.
MATTERS = frozenset({"adverse_event", "off_label", "complaint", "review"})
SALES = frozenset({"hot", "warm", "patient", "partner"})
# A lead below its threshold comes to these only by the standing experiment, which tries what comes of it.
TRIED = frozenset({"hot", "warm"})
HOUR = 3_600_000_000


def statuses(decisions: Decisions) -> NDArray[np.int8]:
    """The status of every lead as a place in STATUSES.

    INVARIANT: no permission, off-label question or adverse event is looked at, so none of them changes it.
    """
    did = decisions.qualified.did
    found = np.where(did & REACHES != 0, MQL, np.where(did & LEAD != 0, IS_LEAD, CONTACT)).astype(np.int8)
    for name, status in (("handover_open", HANDED_OVER), ("meeting_booked", MEETING)):
        column = decisions.facts.columns.get(name)
        if column is not None:
            found[np.broadcast_to(column.reshape(-1) == YES, found.shape)] = status
    found[decisions.rulings.no_score] = NOT_ASSESSED
    return found


def status_of(decisions: Decisions, row: int) -> int:
    """The status of one lead as a place in STATUSES, the same as `statuses` says."""
    if decisions.rulings.no_score[row]:
        return NOT_ASSESSED
    if _is(decisions, "meeting_booked", row):
        return MEETING
    if _is(decisions, "handover_open", row):
        return HANDED_OVER
    did = int(decisions.qualified.did[row])
    return MQL if did & REACHES else IS_LEAD if did & LEAD else CONTACT


def lane_of(decisions: Decisions, row: int) -> int:
    """The lane of one lead as a place in LANES, the same as `lanes` says."""
    return NO_LANE if status_of(decisions, row) in _WITH_SOMEBODY else int(decisions.qualified.lane[row])


def lanes(decisions: Decisions) -> NDArray[np.int8]:
    """The lane of every lead as a place in LANES: none where a person has it already or it may not be assessed."""
    taken = np.isin(statuses(decisions), _WITH_SOMEBODY)
    return np.where(taken, NO_LANE, decisions.qualified.lane).astype(np.int8)


def deadlines(decisions: Decisions, lane: NDArray[np.int8]) -> NDArray[np.int64]:
    """By when each lead of a sales lane is to be taken up, in microseconds; 0 where there is no deadline."""
    hours = decisions.decider.settings.qualification.within_hours
    by_lane = np.array([hours.get(name, 0) * HOUR for name in LANES], dtype=np.int64)
    return np.where(by_lane[lane] > 0, decisions.known.as_of_us + by_lane[lane], 0)


def qualification(decisions: Decisions, row: int, route: dict[str, Any]) -> dict[str, Any]:
    """What a lead's answer says of its qualification; `route` is what the same answer says of its queue."""
    status, lane = status_of(decisions, row), lane_of(decisions, row)
    if status == NOT_ASSESSED:
        return {"status": STATUSES[status], "lane": "none", "because": [["no_score", "known", "yes"]],
                "next": _next("none", "it may not be assessed", route)}  # fmt: skip
    return {
        "status": STATUSES[status],
        "lane": LANES[lane],
        "because": because(decisions, row),
        "next": _what_next(decisions, row, status, lane, route),
    }


def because(decisions: Decisions, row: int) -> list[list[Any]]:
    """What the threshold looked at: which one spoke, the band, the grades, and whether the lead asked for a step."""
    found = decisions.qualified
    threshold, band = threshold_of(decisions, row), int(decisions.scores.band[row])
    fit, engagement = decisions.points.grades(row)
    name = decisions.decider.readiness.band_name(band)
    return [
        ["threshold", "known", threshold.id] if threshold else ["threshold", "unknown", "qualification.yaml"],
        ["band", "known" if band else "unknown", name],
        ["fit", "known", fit],
        ["engagement", "known", engagement],
        ["advancement", "known", "yes" if found.did[row] & ASKED else "no"],
    ]


def threshold_of(decisions: Decisions, row: int) -> Threshold | None:
    """The threshold that speaks for a lead, None where none does."""
    place = int(decisions.qualified.threshold[row])
    return None if place == NO_THRESHOLD else decisions.decider.settings.qualification.thresholds[place]


def lacks(decisions: Decisions, row: int) -> tuple[str, ...]:
    """What a lead lacks to reach its threshold, in words; nothing where it does."""
    threshold = threshold_of(decisions, row)
    if threshold is None or decisions.qualified.did[row] & REACHES:
        return ()
    needs, asked = decisions.decider.qualifier.needs[int(decisions.qualified.threshold[row])], threshold.asked
    found, did = [], bool(decisions.qualified.did[row] & ASKED)
    if decisions.scores.band[row] < needs.band and not (asked and did):
        step = "a request for a demo, meeting or sample" if asked else ""
        found.append(" or ".join(word for word in (f"band {threshold.band}" if threshold.band else "", step) if word))
    if decisions.points.fit_grade[row] > needs.fit:
        found.append(f"fit {threshold.fit}")
    if decisions.points.engagement_grade[row] > needs.engagement:
        found.append(f"engagement {threshold.engagement}")
    return tuple(found)


def _is(decisions: Decisions, fact: str, row: int) -> bool:
    column = decisions.facts.columns.get(fact)
    return column is not None and bool(column.item(row if len(column) > 1 else 0) == YES)


def _what_next(decisions: Decisions, row: int, status: int, lane: int, route: dict[str, Any]) -> dict[str, Any]:
    key = QUEUE_KEYS[int(decisions.chosen.queue[row])]
    if key in MATTERS:
        return _next("wait", f"{route['queue']} comes first; sales waits until it is closed", route)
    if status == MEETING:
        return _next("follow_up", f"a meeting is asked for or booked: {route['queue']} follows up", route)
    if status == HANDED_OVER:
        return _next("with_sales", "sales has it; nothing is sent beside what sales says", route)
    if lane == NURTURE and key not in TRIED:
        missing = lacks(decisions, row)
        says = f"below the threshold: {', '.join(missing)} needed" if missing else "no threshold speaks for it"
        return _next("nurture", says, route)
    if key == "holdout":
        return _next("wait", "nobody works on it, so that what is done for the others can be measured", route)
    if key not in SALES:
        return _next("ask_permission", "qualified, and nothing permits anybody to contact it in person", route)
    if route["team"] is None and route["says"]:
        return _next("assign", route["says"], route)
    hours = decisions.decider.settings.qualification.within_hours.get(LANES[lane])
    due = None if hours is None else instant_of(decisions.known.as_of_us + hours * HOUR)
    says = f"hand over to {route['team'] or route['queue']}" + (f" by {due}" if due else "")
    return _next("hand_over", says, route, due)


def _next(do: str, says: str, route: dict[str, Any], due: str | None = None) -> dict[str, Any]:
    return {"do": do, "queue": route["queue"], "team": route["team"], "due_at": due, "says": says}
