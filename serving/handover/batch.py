"""The records of a rescoring: one line a lead that goes to a team today, in the order in which teams take them.

A partition writes no more records than could be taken: of leads whom the same teams may take as many as these take all
together, the readiest first, and none below what earlier partitions have enough of already, so that none that is taken
is missing; of a queue without a capacity as many as are declared. What is left out is counted, and `leadwell handover`
tells it of any lead.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import Settings
from serving.actions.teams import wanted
from serving.decide import Decisions
from serving.handover.record import Handovers
from serving.kernels import QUEUE_KEYS

HANDOVERS = "handovers.jsonl"
INDEX = pa.schema(
    [
        ("queue", pa.string()),
        ("teams", pa.string()),
        ("lead_id", pa.string()),
        ("band", pa.int8()),
        ("probability", pa.float64()),
        ("start", pa.int64()),
        ("size", pa.int64()),
    ]
)
Ready = tuple[int, float]
_READIEST = [("queue", "ascending"), ("band", "descending"), ("probability", "descending"), ("lead_id", "ascending")]


class Floors:
    """For each set of teams the readiness below which nobody can be taken any more, as partitions come in."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._best: dict[str, list[Ready]] = {}

    def add(self, index: pa.Table) -> None:
        """Count the leads of a partition's index."""
        columns = (index[name].to_pylist() for name in ("queue", "teams", "band", "probability"))
        for queue, teams, band, probability in zip(*columns, strict=True):
            group, ready = f"{queue}|{teams}", (band, probability)
            best, room = self._best.setdefault(group, []), _room(queue, teams, self.settings)
            if len(best) < room:
                heapq.heappush(best, ready)
            elif best:
                heapq.heappushpop(best, ready)

    @property
    def found(self) -> dict[str, Ready]:
        """The floor of each set of teams that has enough leads already."""
        found: dict[str, Ready] = {}
        for group, best in self._best.items():
            queue, teams = group.split("|", 1)
            if best and len(best) >= _room(queue, teams, self.settings):
                found[group] = best[0]
        return found


def write_records(decisions: Decisions, table: pa.Table, file: Path, floors: Mapping[str, Ready]) -> pa.Table:
    """Write the records of a partition; returns its index: every lead to hand over, `start` -1 where none is written.

    Args:
        decisions: the decisions of the partition.
        table: the same as a table (`decision_table`).
        file: where the lines go.
        floors: readiness below which no record is written.
    """
    settings = decisions.decider.settings
    place = {lead_id: row for row, lead_id in enumerate(decisions.known.lead_ids.tolist())}
    ids = table.filter(pc.equal(table["next"], "hand_over"))["lead_id"].to_pylist()
    rows = np.array([place[lead_id] for lead_id in ids], dtype=np.intp)
    names = [settings.actions.queues.get(key, "") for key in QUEUE_KEYS]
    ready = decisions.scores.probability[rows]
    takers = [decisions.decider.teams.taker(*one) for one in wanted(decisions, rows)]
    index = pa.table(
        {
            "queue": pa.array([names[key] for key in decisions.chosen.queue[rows].tolist()], pa.string()),
            "teams": pa.array([",".join(team.id for team in taker.teams) for taker in takers], pa.string()),
            "lead_id": pa.array(ids, pa.string()),
            "band": pa.array(decisions.scores.band[rows].astype(np.int8)),
            "probability": pa.array(np.where(np.isnan(ready), -1.0, ready)),
            "start": pa.array(np.full(len(rows), -1, dtype=np.int64)),
            "size": pa.array(np.zeros(len(rows), dtype=np.int64)),
        },
        schema=INDEX,
    ).sort_by(_READIEST)
    starts, sizes = index["start"].to_numpy().copy(), index["size"].to_numpy().copy()
    told = Handovers(decisions, table)
    with file.open("wb") as lines:
        for at, lead_id in enumerate(_kept(index, settings, floors)):
            if lead_id is None:
                continue
            line = json.dumps(told.of(place[lead_id]), separators=(",", ":")).encode() + b"\n"
            starts[at], sizes[at] = lines.tell(), len(line)
            lines.write(line)
    index = index.set_column(INDEX.get_field_index("start"), INDEX.field("start"), pa.array(starts))
    return index.set_column(INDEX.get_field_index("size"), INDEX.field("size"), pa.array(sizes))


def gather(parts: Sequence[tuple[Path, pa.Table]], routes: pa.Table, settings: Settings, out: Path) -> dict[str, Any]:
    """Put the records of all partitions into one file; returns for each queue how many there are, and are left out.

    Of a queue with a capacity the leads that a team takes today, with that team and their place in the queue.

    Args:
        parts: of each partition its file of records, which is taken away, and its index.
        routes: who takes whom (`serving/actions/capacity.py`).
        settings: the configuration.
        out: the file to write.
    """
    indexes = [
        index.append_column("part", pa.array(np.full(len(index), part, dtype=np.int32)))
        for part, (_, index) in enumerate(parts)
    ]
    empty = INDEX.append(pa.field("part", pa.int32())).empty_table()
    every = pa.concat_tables([empty, *indexes]).sort_by(_READIEST)
    taken = {row["lead_id"]: row for row in routes.filter(pc.is_valid(routes["team"])).to_pylist()}
    counted = set(routes["queue"].to_pylist())
    counts: dict[str, dict[str, int]] = {}
    with out.open("wb") as lines:
        for row, chosen in zip(every.to_pylist(), _kept(every, settings, {}), strict=True):
            count = counts.setdefault(row["queue"], {"handed_over": 0, "left_out": 0})
            route = taken.get(row["lead_id"])
            if chosen is None or row["start"] < 0 or (row["queue"] in counted and route is None):
                count["left_out"] += 1
                continue
            with parts[row["part"]][0].open("rb") as file:
                file.seek(row["start"])
                line = file.read(row["size"])
            lines.write(line if route is None else _taken(line, route))
            count["handed_over"] += 1
    for file_of, _ in parts:
        file_of.unlink(missing_ok=True)
    return dict(sorted(counts.items()))


def _kept(index: pa.Table, settings: Settings, floors: Mapping[str, Ready]) -> list[str | None]:
    """By row of an index in its order the lead whose record is wanted; None for the others."""
    found: list[str | None] = []
    seen: Counter[str] = Counter()
    columns = (index[name].to_pylist() for name in ("queue", "teams", "lead_id", "band", "probability"))
    for queue, teams, lead_id, band, probability in zip(*columns, strict=True):
        group = f"{queue}|{teams}"
        seen[group] += 1
        enough = seen[group] > _room(queue, teams, settings)
        found.append(None if enough or (band, probability) < floors.get(group, (0, -1.0)) else lead_id)
    return found


def _room(queue: str, teams: str, settings: Settings) -> int:
    """How many leads that these teams may take can be taken by them all together in a day.

    INVARIANT: of leads whom the same teams may take, none after so many readier ones is ever taken.
    """
    ids = set(teams.split(","))
    given = [team.capacity_a_day for team in settings.actions.teams.get(queue, ()) if team.id in ids]
    rooms = [room for room in given if room is not None]
    return sum(rooms) if rooms and len(rooms) == len(given) else settings.qualification.most_records


def _taken(line: bytes, route: Mapping[str, Any]) -> bytes:
    """A record with the team that takes the lead today, and its place in the queue."""
    record = json.loads(line)
    record["route"] |= {"team": route["team"], "place": route["place"]}
    record["qualification"]["next"]["team"] = route["team"]
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
