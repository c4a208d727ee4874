"""The arms as columns: beside every decision, and as the canonical table `assignments` that training reads back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.tables import microseconds
from models.assignment import ARMS
from serving.actions.actions import NO_ACTION
from serving.decide import Decisions
from serving.render import PROBABILITY_DIGITS


def assignment_columns(decisions: Decisions) -> dict[str, Any]:
    """What an answer's `assignment` says, one column each."""
    assigned, n = decisions.assigned, len(decisions)
    return {
        "arm": pa.DictionaryArray.from_arrays(assigned.arm, pa.array(ARMS)),
        "arm_period": pa.DictionaryArray.from_arrays(np.zeros(n, dtype=np.int8), pa.array([assigned.period])),
        "arm_share": pa.array(np.round(assigned.share, PROBABILITY_DIGITS)),
        "action_propensity": pa.array(np.round(assigned.propensity, PROBABILITY_DIGITS)),
        "handed_over": pa.array(assigned.handed_over),
        "handover_propensity": pa.array(np.round(assigned.handover, PROBABILITY_DIGITS)),
    }


def assignments_table(decisions: Decisions) -> pa.Table:
    """The table `assignments` of these decisions: a row for each lead that speaks for a person, unrounded.

    Who is outside is listed too: that nobody could be held out is known of it, and learning must know it.
    """
    assigned, chosen, n = decisions.assigned, decisions.chosen, len(decisions)
    planned, channels = assigned.planned, pa.array(decisions.book.channels)
    none, unplanned = chosen.asset == NO_ACTION, planned.asset == NO_ACTION
    asset_ids = pa.array([*decisions.decider.asset_ids, None], pa.string())
    instant = pa.repeat(pa.scalar(microseconds(decisions.as_of), pa.int64()), n).cast(pa.timestamp("us", "UTC"))
    table = pa.table(
        {
            "lead_id": pa.array(decisions.known.lead_ids, pa.string()),
            "assigned_at": instant,
            "recorded_at": instant,
            "arm": pa.array(ARMS).take(pa.array(assigned.arm)),
            "period": pa.repeat(pa.scalar(assigned.period), n),
            "unit": pa.array(assigned.unit, pa.string()),
            "share": pa.array(assigned.share),
            "propensity": pa.array(assigned.propensity),
            "handed_over": pa.array(assigned.handed_over),
            "handover_propensity": pa.array(assigned.handover),
            "segment": pa.array(decisions.members.segment_ids).take(
                pa.array(decisions.members.primary, mask=decisions.rulings.no_score)
            ),
            "channel": channels.take(pa.array(chosen.channel, mask=none)),
            "asset_id": asset_ids.take(pa.array(chosen.asset, mask=none)),
            "planned_channel": channels.take(pa.array(planned.channel, mask=unplanned)),
            "planned_asset": asset_ids.take(pa.array(planned.asset, mask=unplanned)),
        }
    )
    merged = decisions.known.merged
    speaks = np.ones(n, dtype=np.bool_) if merged is None else ~merged.away
    return table.filter(pa.array(speaks)) if not pc.all(pa.array(speaks)).as_py() else table
