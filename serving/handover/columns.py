"""The qualification of every lead as columns: what `qualification.py` says of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.qualification import LANES, NURTURE
from serving.actions.columns import instants
from serving.decide import Decisions
from serving.handover.qualification import (
    HANDED_OVER,
    MATTERS,
    MEETING,
    NOT_ASSESSED,
    SALES,
    STATUSES,
    TRIED,
    deadlines,
    lanes,
    statuses,
)
from serving.handover.qualified import ASKED, NO_THRESHOLD
from serving.kernels import QUEUE_KEYS

DOES = (
    "none", "wait", "follow_up", "with_sales", "nurture", "ask_permission", "assign", "hand_over",
)  # fmt: skip
_NONE, _WAIT, _FOLLOW_UP, _WITH_SALES, _NURTURE, _ASK, _ASSIGN, _HAND_OVER = range(len(DOES))


def qualification_columns(decisions: Decisions, routed: Mapping[str, Any]) -> dict[str, Any]:
    """Status, lane, threshold, whether the lead asked for a step, what is done next, and by when it is taken up.

    `routed` are the columns of the route: `team` and `route_says`.
    """
    found, status, lane = decisions.qualified, statuses(decisions), lanes(decisions)
    hidden = status == NOT_ASSESSED
    queue = decisions.chosen.queue
    unassigned = pc.and_(pc.is_null(routed["team"]), pc.is_valid(routed["route_says"])).to_numpy(zero_copy_only=False)
    does = np.select(
        [
            hidden,
            np.isin(queue, [QUEUE_KEYS.index(key) for key in MATTERS]),
            status == MEETING,
            status == HANDED_OVER,
            (lane == NURTURE) & ~np.isin(queue, [QUEUE_KEYS.index(key) for key in TRIED]),
            queue == QUEUE_KEYS.index("holdout"),
            ~np.isin(queue, [QUEUE_KEYS.index(key) for key in SALES]),
            unassigned,
        ],
        [_NONE, _WAIT, _FOLLOW_UP, _WITH_SALES, _NURTURE, _WAIT, _ASK, _ASSIGN],
        _HAND_OVER,
    )
    due = deadlines(decisions, lane)
    thresholds = pa.array([one.id for one in decisions.decider.settings.qualification.thresholds], pa.string())
    nobody = hidden | (found.threshold == NO_THRESHOLD)
    return {
        "qualification": pa.array(STATUSES).take(pa.array(status)),
        "lane": pa.array(LANES).take(pa.array(lane)),
        "threshold": thresholds.take(pa.array(np.where(nobody, 0, found.threshold), mask=nobody)),
        "advancement": pa.array(found.did & ASKED != 0, mask=hidden),
        "next": pa.array(DOES).take(pa.array(does)),
        "handover_due_at": instants(due, (does != _HAND_OVER) | (due == 0)),
    }
