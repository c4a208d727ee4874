"""The next best action and the route of every lead as columns: what an answer says of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.tables import UNKNOWN_INSTANT, YES
from serving.actions.actions import NO_ACTION
from serving.actions.next_action import ADVERSE, FITS_LESS, FOLLOWED_UP, route_says
from serving.actions.teams import Wanted, wanted
from serving.decide import Decisions
from serving.instants import instant_of
from serving.kernels import QUEUE_KEYS


def action_columns(decisions: Decisions) -> dict[str, Any]:
    """What is done, on which channel, with what and until when; the queue, the team and by when it is due."""
    chosen, decider, plan = decisions.chosen, decisions.decider, decisions.decider.plan
    none = chosen.asset == NO_ACTION
    channels, assets = len(decisions.book.channels), (*decider.assets, None)
    verbs = [plan.verb(asset, channel) for asset in assets for channel in decisions.book.channels]
    flat = chosen.asset.astype(np.int64) * channels + chosen.channel
    meeting = none & np.isin(chosen.queue, [QUEUE_KEYS.index(key) for key in FOLLOWED_UP])
    code = np.where(meeting, len(verbs) + 1, np.where(none, len(verbs), flat))
    asset_ids = pa.array([asset.asset_id if asset else None for asset in assets], pa.string())
    ends = decisions.permits_end[np.arange(len(none)), np.where(none, 0, chosen.channel)]
    return {
        "action": pa.array([*verbs, "none", "owner_follow_up"]).take(pa.array(code)),
        "action_channel": pa.array(decisions.book.channels).take(pa.array(chosen.channel, mask=none)),
        "asset_id": asset_ids.take(pa.array(chosen.asset, mask=none)),
        "expires_at": instants(ends, none),
        **_route(decisions),
        "newest_event_at": pa.array(
            decisions.known.newest_event_at,
            pa.timestamp("us", "UTC"),
            mask=decisions.known.newest_event_at == UNKNOWN_INSTANT,
        ),
    }


def passed_over_column(decisions: Decisions, reasons: list[pa.Array]) -> pa.Array:
    """Per lead the channels that its segment or itself would rather have had than the chosen one, each with why not.

    `reasons` has for each channel the reasons against it, strongest first, as the decision table tells them.
    """
    chosen, plan, channels = decisions.chosen, decisions.decider.plan, decisions.book.channels
    n = len(decisions)
    preferred = np.broadcast_to(decisions.facts.columns["preferred_channel"].reshape(-1), (n,))
    acting = np.flatnonzero(chosen.asset != NO_ACTION)
    first = [_first(column, acting) for column in reasons]
    words: list[list[str]] = [[] for _ in range(n)]
    keys = zip(
        acting.tolist(),
        decisions.members.primary[acting].tolist(),
        preferred[acting].tolist(),
        chosen.channel[acting].tolist(),
        strict=True,
    )
    for place, (row, segment, liked, own) in enumerate(keys):
        for channel in plan.preference(segment, liked):
            if channel == own:
                break
            words[row].append(f"{channels[channel]}: {first[channel][place] or FITS_LESS}")
    return pa.array(words, pa.list_(pa.string()))


def _first(reasons: pa.Array, rows: NDArray[np.intp]) -> list[str | None]:
    """The first word of the lists of some rows, None where a list is empty."""
    chosen = reasons.take(pa.array(rows))
    sizes = pc.fill_null(pc.list_value_length(chosen), 0).to_numpy()
    starts = np.concatenate(([0], np.cumsum(sizes)))[:-1]
    words: list[str | None] = chosen.flatten().take(pa.array(starts, mask=sizes == 0)).to_pylist()
    return words


def _route(decisions: Decisions) -> dict[str, Any]:
    chosen, decider, plan = decisions.chosen, decisions.decider, decisions.decider.plan
    n = len(decisions)
    asks = np.broadcast_to(decisions.facts.columns["off_label_open"].reshape(-1), (n,)) == YES
    both = (asks & (chosen.queue == ADVERSE)).tolist()
    seen: dict[tuple[Wanted, int, bool], tuple[str, str | None, str | None]] = {}
    rows = []
    for place, due, asked in zip(wanted(decisions, np.arange(n)), decisions.due_at.tolist(), both, strict=True):
        found = seen.get((place, due, asked))
        if found is None:
            taker = decider.teams.taker(*place)
            says = route_says(place.key, plan.queue(place.key, None), taker, instant_of(due), asked)
            team = taker.teams[0].id if taker.teams else None
            found = seen[place, due, asked] = (plan.queue(place.key, place.territory), team, says)
        rows.append(found)
    queues, teams, says_of = zip(*rows, strict=True) if rows else ((), (), ())
    return {
        "queue": pa.array(queues, pa.string()),
        "team": pa.array(teams, pa.string()),
        "route_due_at": instants(decisions.due_at, decisions.due_at == UNKNOWN_INSTANT),
        "route_says": pa.array(says_of, pa.string()),
    }


def instants(micros: NDArray[np.int64], hidden: NDArray[np.bool_]) -> pa.Array:
    """Instants as an answer writes them; leads share few, so each is written once."""
    seen, place = np.unique(micros, return_inverse=True)
    words = pa.array([instant_of(one) for one in seen.tolist()], pa.string())
    return words.take(pa.array(place.reshape(-1), mask=hidden))
