"""The call plan of a day: whom a team calls or visits first, with what, until when, and what to ask.

The order is that of clinical relevance (the grade and points of fit), then engagement, then permission (a visit and a
call before one of them), then readiness. Who may neither be called nor visited now is no call: it is counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from configs.errors import InputInvalid
from serving.handover.batch import HANDOVERS

CALLED = ("rep_visit", "phone")
_LAST = "~"
_COLUMNS = [
    "lead_id", "queue", "team", "lane", "next", "fit_grade", "fit_points", "engagement_grade", "engagement_points",
    "band", "probability", "primary_segment", "handover_due_at", "action_channel", "asset_id",
]  # fmt: skip
SCHEMA = pa.schema(
    [
        ("place", pa.int32()),
        ("lead_id", pa.string()),
        ("account_id", pa.string()),
        ("team", pa.string()),
        ("territory", pa.string()),
        ("lane", pa.string()),
        ("due_at", pa.string()),
        ("fit", pa.string()),
        ("engagement", pa.int8()),
        ("band", pa.string()),
        ("by", pa.string()),
        ("valid_until", pa.string()),
        ("also_by", pa.string()),
        ("with", pa.string()),
        ("segment", pa.string()),
        ("role", pa.string()),
        ("specialty", pa.string()),
        ("stage", pa.string()),
        ("visit", pa.int32()),
        ("last_on", pa.string()),
        ("last", pa.string()),
        ("asks_about", pa.string()),
        ("find_out", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class CallPlan:
    """The calls in order, and how many leads to hand over are not in it: not permitted, or of no team's room today."""

    calls: pa.Table
    not_permitted: int
    waiting: int
    teams: tuple[str, ...]


def call_plan(result: Path, team: str | None = None, queue: str | None = None) -> CallPlan:
    """The calls of a rescoring's leads that go to sales; of one team or queue where that is named.

    Raises:
        InputInvalid: no result of `leadwell rescore` is there, or it has no such team or queue.
    """
    if not (result / "manifest.json").is_file() or not (result / "decisions").is_dir():
        raise InputInvalid(str(result), "expected a folder that `leadwell rescore --out` wrote")
    decisions = ds.dataset(result / "decisions", format="parquet")
    if "next" not in decisions.schema.names:
        raise InputInvalid(str(result), "expected a result with qualifications; rescore again with this Leadwell")
    ways = [f"{channel}_{name}" for channel in CALLED for name in ("permitted", "valid_until")]
    rows = decisions.to_table(columns=_COLUMNS + ways, filter=pc.field("next") == "hand_over").to_pylist()
    routes, told = _routes(result), _records(result / HANDOVERS)
    taken, waiting = [], 0
    for row in rows:
        base, _, territory = row["queue"].partition("/")
        route = routes.get(row["lead_id"])
        if route is not None and not route["team"]:
            waiting += 1  # every team that covers it is full today
            continue
        found = {**row, "team": route["team"] if route else row["team"], "base": base, "territory": territory or None}
        taken.append(found)
    teams = tuple(sorted({row["team"] for row in taken if row["team"]}))
    if team is not None and team not in teams:
        raise InputInvalid("--team", f"expected one of {', '.join(teams) or 'none: no team takes anybody today'}")
    queues = sorted({row["base"] for row in taken})
    if queue is not None and queue not in queues:
        raise InputInvalid("--queue", f"expected one of {', '.join(queues) or 'none: nobody is handed over today'}")
    mine = [row for row in taken if team in (None, row["team"]) and queue in (None, row["base"])]
    calls = sorted((row for row in mine if _ways(row)), key=_order)
    listed = [_call(place, row, told.get(row["lead_id"], {})) for place, row in enumerate(calls, start=1)]
    return CallPlan(pa.Table.from_pylist(listed, schema=SCHEMA), len(mine) - len(calls), waiting, teams)


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        row["fit_grade"] or _LAST,
        row["engagement_grade"] if row["engagement_grade"] is not None else 127,
        -len(_ways(row)),
        -(row["fit_points"] or 0),
        -(row["engagement_points"] or 0),
        -(row["probability"] if row["probability"] is not None else -1.0),
        row["lead_id"],
    )


def _ways(row: Mapping[str, Any]) -> list[str]:
    return [channel for channel in CALLED if row[f"{channel}_permitted"]]


def _call(place: int, row: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    first, *others = _ways(row)
    who, history = record.get("who", {}), record.get("history", [])
    # What fits is in the record; of whom none was written the suggested action says it, where it is by this channel.
    fits = [one["assets"] for one in record.get("may_do", {}).get("permitted", ()) if one["channel"] == first]
    asset = next(iter(fits[0]), None) if fits else row["asset_id"] if row["action_channel"] == first else None
    last = history[0] if history else {}
    return {
        "place": place,
        "lead_id": row["lead_id"],
        "account_id": who.get("account_id"),
        "team": row["team"],
        "territory": row["territory"],
        "lane": row["lane"],
        "due_at": row["handover_due_at"],
        "fit": row["fit_grade"],
        "engagement": row["engagement_grade"],
        "band": row["band"],
        "by": first,
        "valid_until": row[f"{first}_valid_until"],
        "also_by": ", ".join(others) or None,
        "with": asset,
        "segment": row["primary_segment"],
        "role": who.get("role"),
        "specialty": who.get("specialty"),
        "stage": who.get("buying_stage"),
        "visit": 1 + sum(one.get("channel") in CALLED or one.get("kind") == "field_visit" for one in history),
        "last_on": last.get("on"),
        "last": " ".join(str(last[key]) for key in ("kind", "channel", "topic", "asset_id") if key in last) or None,
        "asks_about": ", ".join(one["topic"] for one in record.get("asked_about", ())) or None,
        "find_out": ", ".join(one["fact"] for one in record.get("open_questions", ()) if "fact" in one) or None,
    }


def _routes(result: Path) -> dict[str, dict[str, Any]]:
    """Who takes whom today, of queues with a capacity."""
    from pyarrow import csv

    kept = {"column_types": {"lead_id": pa.string(), "team": pa.string()}, "strings_can_be_null": True}
    table = csv.read_csv(result / "routes.csv", convert_options=csv.ConvertOptions(**kept))
    return {row["lead_id"]: row for row in table.select(["lead_id", "team"]).to_pylist()}


def _records(file: Path) -> dict[str, dict[str, Any]]:
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8") as lines:
        found = (json.loads(line) for line in lines)
        return {record["lead_id"]: record for record in found}
