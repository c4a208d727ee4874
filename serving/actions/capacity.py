"""Teams with a capacity a day, filled by readiness: the readiest of a queue first, the same for the same leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from configs.content import Team
from serving.actions.teams import wanted
from serving.decide import Decisions
from serving.kernels import QUEUE_KEYS

FULL = "every team that covers it is full today"
_WAITING = pa.schema(
    [
        ("queue", pa.string()),
        ("lead_id", pa.string()),
        ("band", pa.int8()),
        ("probability", pa.float64()),
        ("territory", pa.string()),
        ("teams", pa.list_(pa.string())),
    ]
)
ROUTES = pa.schema(
    [
        ("queue", pa.string()),
        ("place", pa.int32()),
        ("lead_id", pa.string()),
        ("territory", pa.string()),
        ("team", pa.string()),
        ("says", pa.string()),
    ]
)


def waiting(decisions: Decisions, speaks: NDArray[np.bool_]) -> pa.Table:
    """Leads of the queues in which some team has a capacity: how ready they are, and which teams may take them."""
    decider, settings = decisions.decider, decisions.decider.settings.actions
    names = {
        key: settings.queues[name]
        for key, name in enumerate(QUEUE_KEYS)
        if any(team.capacity_a_day is not None for team in settings.teams.get(settings.queues.get(name, ""), ()))
    }
    rows = np.flatnonzero(np.isin(decisions.chosen.queue, list(names)) & speaks)
    places = list(wanted(decisions, rows))
    takers = [decider.teams.taker(*place) for place in places]
    hidden, ready = decisions.rulings.no_score[rows], decisions.scores.probability[rows]
    return pa.table(
        {
            "queue": pa.array([names[place.key] for place in places], pa.string()),
            "lead_id": pa.array(decisions.known.lead_ids[rows], pa.string()),
            "band": pa.array(np.where(hidden, 0, decisions.scores.band[rows]).astype(np.int8)),
            "probability": pa.array(np.where(hidden | np.isnan(ready), -1.0, ready)),
            "territory": pa.array([place.territory for place in places], pa.string()),
            "teams": pa.array([[team.id for team in taker.teams] for taker in takers], pa.list_(pa.string())),
        },
        schema=_WAITING,
    )


def filled(parts: Sequence[pa.Table], teams: Mapping[str, tuple[Team, ...]]) -> pa.Table:
    """Who takes whom today. By band, then readiness, then lead id, whatever the partitions were.

    A lead goes to the first team that covers it and has room; where none has, `team` is null and `says` why.
    """
    order = [("queue", "ascending"), ("band", "descending"), ("probability", "descending"), ("lead_id", "ascending")]
    rows = pa.concat_tables([_WAITING.empty_table(), *parts]).sort_by(order)
    room = {(queue, team.id): team.capacity_a_day for queue, given in teams.items() for team in given}
    queues, fits = rows["queue"].to_pylist(), rows["teams"].to_pylist()
    places: list[int] = []
    taken: list[str | None] = []
    says: list[str | None] = []
    before, place = "", 0
    for queue, may in zip(queues, fits, strict=True):
        place = place + 1 if queue == before else 1
        before = queue
        team = next((one for one in may if (left := room[queue, one]) is None or left > 0), None)
        if team is not None and room[queue, team] is not None:
            room[queue, team] = (room[queue, team] or 0) - 1
        places.append(place)
        taken.append(team)
        says.append(None if team is not None else FULL if may else "no team covers its territory and language")
    return pa.table(
        {
            "queue": rows["queue"],
            "place": pa.array(places, pa.int32()),
            "lead_id": rows["lead_id"],
            "territory": rows["territory"],
            "team": pa.array(taken, pa.string()),
            "says": pa.array(says, pa.string()),
        },
        schema=ROUTES,
    )


def counts(routes: pa.Table) -> dict[str, dict[str, int]]:
    """By queue how many leads each team takes; `nobody` those that have to wait or be assigned."""
    found: dict[str, dict[str, int]] = {}
    for row in routes.group_by(["queue", "team"]).aggregate([([], "count_all")]).to_pylist():
        found.setdefault(row["queue"], {})[row["team"] or "nobody"] = row["count_all"]
    return {queue: dict(sorted(of.items())) for queue, of in sorted(found.items())}
