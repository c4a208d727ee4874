"""Nurture of every lead as columns: what an answer says of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.tables import NO, YES
from serving.actions.actions import NO_ACTION
from serving.decisions import Decisions
from serving.kernels import QUEUE_KEYS
from serving.nurture.words import BOOKING, EXITS, LEARN, TAKEN, day

# Queues that end a track.
_OWN = [QUEUE_KEYS.index(key) for key in EXITS]


def nurture_columns(decisions: Decisions) -> dict[str, Any]:
    """Track, step, layer, call to action, the days of a follow-up, and the exit; null where a track ended."""
    plan, nurtured, chosen = decisions.decider.nurture, decisions.nurtured, decisions.chosen
    track, stage = nurtured.track, nurtured.stage
    ended = chosen.queue.copy()
    for exit_, fact in reversed(TAKEN.items()):  # the first that holds is told
        taken = np.broadcast_to(decisions.facts.columns[fact].reshape(-1) == YES, ended.shape)
        ended[taken & ~np.isin(chosen.queue, _OWN)] = QUEUE_KEYS.index(exit_)
    out = np.isin(ended, _OWN)
    tracks = pa.array([*(one.id for one in plan.settings.tracks), None], pa.string())
    size, stages = len(plan.settings.tracks), len(plan.stages)
    steps = [plan.step(t, g) for t in range(size) for g in range(stages)] + [None] * stages
    at = np.where(track < 0, size, track) * stages + stage
    layers = [asset.layer for asset in decisions.decider.assets]
    first = [step.layers[0] if step else None for step in steps]
    own = (chosen.asset != NO_ACTION) & (chosen.asset < len(layers))
    layer = np.where(own, chosen.asset, len(layers) + at)
    asks = np.array([step.call_to_action if step else None for step in steps], dtype=object)
    towards = np.isin(at, [place for place, call in enumerate(asks) if call in BOOKING])
    elsewhere = np.broadcast_to(decisions.facts.columns["service_offered"].reshape(-1) == NO, towards.shape)
    return {
        "nurture_track": tracks.take(pa.array(np.where(track < 0, size, track), mask=out)),
        "nurture_step": pa.array(plan.stages).take(pa.array(stage, mask=out)),
        "nurture_layer": pa.array([*layers, *first], pa.string()).take(pa.array(layer, mask=out)),
        "nurture_call_to_action": pa.array([*asks, LEARN], pa.string()).take(
            pa.array(np.where(towards & elsewhere, len(asks), at), mask=out)
        ),
        "nurture_follow_up_by": _days(nurtured.row("follow_up_by"), out),
        "nurture_not_before": _days(nurtured.row("not_before"), out),
        "nurture_exit": pa.array(QUEUE_KEYS).take(pa.array(ended, mask=~out)),
    }


def _days(days: NDArray[np.int32], hidden: NDArray[np.bool_]) -> pa.Array:
    """Days as an answer writes them; leads share few, so each is written once."""
    seen, place = np.unique(days, return_inverse=True)
    words = pa.array([day(one) for one in seen.tolist()], pa.string())
    return words.take(pa.array(place.reshape(-1), mask=hidden))
