"""Why leads advanced and why they stalled, lead by lead and by segment and stage.

A lead has stalled when it is longer in a stage than `learning.yaml` says. What stands in its way is asked in one order,
and the first that holds is its reason: what keeps us from saying anything, then what we did not do, then what the lead
did not do. Nothing here changes a decision; every lead counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from configs.settings import Settings
from features.tables import MICROSECONDS_A_DAY, Columns, Known, Tables, microseconds
from models.shares import Share
from training.learning.progress import Group, Progress, Step
from training.learning.reasons import SAYS, Reason
from training.learning.standing import BLOCKED, UNKNOWN, UNSAID, Words, reach_of

REASONS: tuple[str, ...] = get_args(Reason)
_SIXTEENTHS = 16.0


def progress_of(
    stages: pa.Table, moves: pa.Table, decisions: pa.Table, tables: Tables | Known, settings: Settings, as_of: datetime
) -> Progress:
    """Who advanced and who stalled, with reasons.

    Args:
        stages: `lead_id`, `product`, `stage`, `since`: where every lead is.
        moves: `id`, `kind`, `old`, `new`, `at`, `since`, `why`: every move of stage.
        decisions: the decision table of a rescoring.
        tables: touches and events, encoded; as known at `as_of`, where events are to be weighed by who made them and
            the records of one person to be one.
        settings: stages, limits and words.
        as_of: what was recorded later counts for nothing.

    INVARIANT: every lead with a stage counts in exactly one group, and every stalled lead has exactly one reason.
    """
    rules, order = settings.learning, settings.actions.stages
    own = stages.filter(pc.is_valid(stages["stage"]))
    n, now = own.num_rows, microseconds(as_of)
    place = pc.index_in(own["lead_id"], decisions["lead_id"].combine_chunks())
    known = place.is_valid().to_numpy(zero_copy_only=False)
    decided = decisions.take(pc.fill_null(place, 0)) if decisions.num_rows else decisions.schema.empty_table()
    since = own["since"].cast(pa.int64()).to_numpy().astype(np.int64)
    days = (now - since) / MICROSECONDS_A_DAY
    pairs = list(zip(own["stage"].to_pylist(), own["product"].to_pylist(), strict=True))
    limits = {pair: rules.days(*pair) for pair in dict.fromkeys(pairs)}
    limit = np.array([limits[pair] or np.inf for pair in pairs], dtype=np.float64)
    stalled = days > limit
    rows = np.flatnonzero(stalled)
    seen = _Seen.of(tables, settings)
    did = _Did.of(seen, own["lead_id"], since, now)
    reason, against = _reasons(rows, known, decided, did, settings, now)
    segment = np.array(
        ["" if not k else s or "" for k, s in zip(known, _column(decided, "primary_segment", n), strict=True)]
    )
    groups = _groups(segment, own["stage"].to_pylist(), days, stalled, rows, reason, against, order)
    table = pa.table(
        {
            "lead_id": own["lead_id"].take(pa.array(rows)),
            "segment": pa.array(segment[rows].tolist(), pa.string()),
            "product": own["product"].take(pa.array(rows)),
            "stage": own["stage"].take(pa.array(rows)),
            "since": own["since"].take(pa.array(rows)),
            "days": pa.array(np.floor(days[rows]).astype(np.int64)),
            "limit_days": pa.array(limit[rows].astype(np.int64)),
            "reason": pa.array([REASONS[code] for code in reason.tolist()], pa.string()),
            "says": pa.array([SAYS[REASONS[code]] for code in reason.tolist()], pa.string()),
            "rules": pa.array([list(one) for one in against], pa.list_(pa.string())),
            "touches": pa.array(did.touches[rows]),
            "events": pa.array(np.round(did.events[rows], 2)),
        }
    )
    steps = _steps(moves, decisions, seen, settings, now)
    return Progress(
        as_of, n, int(np.isinf(limit).sum()), int((~known).sum()), len(rows), groups, steps, table, rules.window_days
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """The touches and events that are looked at.

    INVARIANT: a reply of medical information is nobody's marketing, so it is no touch here and moves nobody.
    """

    lead_ids: NDArray[np.object_]
    asset_ids: NDArray[np.object_]
    touches: Columns
    events: Columns

    @classmethod
    def of(cls, tables: Tables | Known, settings: Settings) -> _Seen:
        touches = tables.touches
        if touches and "intent" in touches:
            medical = settings.vocabularies["intent"].code("medical_information")
            replies = {one.asset_id for one in settings.assets if one.intent == "medical_information"}
            named = np.append([str(name) in replies for name in tables.asset_ids.tolist()], False).astype(np.bool_)
            kept = (touches["intent"] != medical) & ~named[touches["asset"]]
            touches = {name: column[kept] for name, column in touches.items()}
        return cls(tables.lead_ids, tables.asset_ids, touches, tables.events)


@dataclass(frozen=True, slots=True)
class _Did:
    """What happened since each lead's stage began: touches, the last of them, and events a person made."""

    touches: NDArray[np.int64]
    last_touch: NDArray[np.int64]
    events: NDArray[np.float64]

    @classmethod
    def of(cls, tables: _Seen, ids: pa.ChunkedArray, since: NDArray[np.int64], now: int) -> _Did:
        n = len(since)
        here = pc.index_in(pa.array(tables.lead_ids, pa.string()), ids.combine_chunks())
        spot = pc.fill_null(here, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        touch, sent = _after(tables.touches, "sent_at", spot, since, now)
        last = np.zeros(n, dtype=np.int64)
        np.maximum.at(last, touch, sent)
        event, _, weight = _weighed(tables.events, spot, since, now)
        return cls(
            np.bincount(touch, minlength=n), last, np.bincount(event, weights=weight, minlength=n).astype(np.float64)
        )


def _after(
    columns: Columns, own: str, spot: NDArray[np.int64], since: NDArray[np.int64], now: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of leads that are looked at, known by now and since their stage began: place of the lead, and instant."""
    if not columns:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    place = np.where(columns["lead"] >= 0, spot[columns["lead"]], -1)
    kept = (place >= 0) & (columns[own] <= now) & (columns["recorded_at"] <= now)
    kept &= columns[own] >= np.append(since, 0)[place]
    return place[kept], columns[own][kept]


def _weighed(
    columns: Columns, spot: NDArray[np.int64], since: NDArray[np.int64], now: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    place, at = _after(columns, "occurred_at", spot, since, now)
    if "human" not in columns:
        return place, at, np.ones(len(place))
    whole = np.where(columns["lead"] >= 0, spot[columns["lead"]], -1)
    kept = (whole >= 0) & (columns["occurred_at"] <= now) & (columns["recorded_at"] <= now)
    kept &= columns["occurred_at"] >= np.append(since, 0)[whole]
    return place, at, columns["human"][kept] / _SIXTEENTHS


def _reasons(
    rows: NDArray[np.int64], known: NDArray[np.bool_], decided: pa.Table, did: _Did, settings: Settings, now: int
) -> tuple[NDArray[np.int64], list[tuple[str, ...]]]:
    """Of each stalled lead the place of its reason in REASONS, and the rules against it."""
    words = Words.of(settings)
    some = decided.take(pa.array(rows)) if decided.num_rows else decided
    if some.num_rows != len(rows):
        return np.full(len(rows), REASONS.index("NOT_DECIDED")), [()] * len(rows)
    reach, against = reach_of(some, words)
    queue, action = (np.array(_column(some, name, len(rows)), dtype=object) for name in ("queue", "action"))
    team = np.array(_column(some, "team", len(rows), "?"), dtype=object)
    with_sales = np.isin(queue.astype(str), sorted(words.sales))
    silent = (now - did.last_touch[rows]) > settings.learning.answer_days * MICROSECONDS_A_DAY
    touched, answered = did.touches[rows] > 0, did.events[rows] >= 1
    asked: Sequence[tuple[Reason, NDArray[np.bool_]]] = (
        ("NOT_DECIDED", ~known[rows]),
        ("NOT_SCORED", queue == words.no_score),
        ("HELD_OUT", queue == words.holdout),
        ("NO_CAPACITY", with_sales & np.array([name is None for name in team], dtype=np.bool_)),
        ("WITH_SALES", with_sales),
        ("BLOCKED", reach == BLOCKED),
        ("NO_PERMISSION_KNOWN", reach == UNKNOWN),
        ("NOTHING_APPROVED", reach == UNSAID),
        ("NOTHING_APPROVED", action == "none"),
        ("NOT_TOUCHED", ~touched),
        ("NOT_DEEPER", answered),
        ("WAITS_FOR_ANSWER", ~silent),
        ("NO_ANSWER", np.ones(len(rows), dtype=np.bool_)),
    )
    found = np.full(len(rows), -1)
    for name, holds in asked:
        found[(found < 0) & holds] = REASONS.index(name)
    blocked = np.isin(found, [REASONS.index(one) for one in ("BLOCKED", "NO_PERMISSION_KNOWN", "NOTHING_APPROVED")])
    return found, [rules if here else () for rules, here in zip(against, blocked.tolist(), strict=True)]


def _groups(
    segment: NDArray[Any],
    stage: Sequence[str],
    days: NDArray[np.float64],
    stalled: NDArray[np.bool_],
    rows: NDArray[np.int64],
    reason: NDArray[np.int64],
    against: Sequence[tuple[str, ...]],
    order: Sequence[str],
) -> tuple[Group, ...]:
    held: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(segment.tolist(), stage, strict=True)):
        held.setdefault(key, []).append(row)
    of_row = {int(row): place for place, row in enumerate(rows.tolist())}
    found = []
    for (name, at), members in held.items():
        places = [of_row[row] for row in members if stalled[row]]
        reasons = Counter(REASONS[int(reason[place])] for place in places)
        rules = Counter(rule for place in places for rule in against[place])
        found.append(
            Group(
                segment=name,
                stage=at,
                stalled=Share(len(places), len(members)),
                days=float(np.median(days[members])),
                reasons=tuple(sorted(reasons.items(), key=lambda one: (-one[1], one[0]))),  # type: ignore[arg-type]
                rules=tuple(sorted(rules.items(), key=lambda one: (-one[1], one[0]))[:5]),
            )
        )
    return tuple(sorted(found, key=lambda one: (one.segment, order.index(one.stage))))


def _steps(moves: pa.Table, decisions: pa.Table, tables: _Seen, settings: Settings, now: int) -> tuple[Step, ...]:
    """Moves of stage in the window, by segment, old and new, with what came before."""
    rules, order = settings.learning, settings.actions.stages
    kept = pc.and_(pc.equal(moves["kind"], "stage"), pc.and_(pc.is_valid(moves["old"]), pc.is_valid(moves["new"])))
    at = moves["at"].cast(pa.int64())
    kept = pc.and_(kept, pc.and_(pc.greater(at, now - rules.window_days * MICROSECONDS_A_DAY), pc.less_equal(at, now)))
    some = moves.filter(kept)
    if not some.num_rows:
        return ()
    segments = dict(
        zip(decisions["lead_id"].to_pylist(), _column(decisions, "primary_segment", decisions.num_rows), strict=True)
    )
    before = _sent_before(some, tables, rules.answer_days)
    cells: dict[tuple[str, str, str], list[int]] = {}
    plain = some.select(["id", "old", "new"]).to_pylist()
    for row, one in enumerate(plain):
        cells.setdefault((segments.get(one["id"]) or "", one["old"], one["new"]), []).append(row)
    began = some["since"].cast(pa.int64()).to_numpy(zero_copy_only=False)
    ended = some["at"].cast(pa.int64()).to_numpy()
    why = some["why"].to_pylist() if "why" in some.column_names else [None] * some.num_rows
    found = []
    for (segment, old, new), rows in cells.items():
        assets = Counter(asset for row in rows for asset in before[row])
        signals = Counter(_signal(part) for row in rows for part in why[row] or () if part["known"] == "known")
        spans = [(ended[row] - began[row]) / MICROSECONDS_A_DAY for row in rows if began[row] == began[row]]
        found.append(
            Step(
                segment,
                old,
                new,
                len(rows),
                order.index(new) > order.index(old),
                float(np.median(spans)) if spans else None,
                Share(sum(bool(before[row]) for row in rows), len(rows)),
                tuple(assets.most_common(3)),
                tuple(signals.most_common(3)),
            )
        )
    return tuple(sorted(found, key=lambda one: (one.segment, not one.forward, -one.leads, one.old, one.new)))


def _signal(part: Mapping[str, Any]) -> str:
    """What a move rests on, in words: the signal itself, else the fact and its value."""
    value = str(part["value"] or "")
    return (
        value.partition(": ")[2] or value
        if part["fact"] in ("signal", "reason")
        else f"{part['fact']} {value}".replace("_", " ")
    )


def _sent_before(some: pa.Table, tables: _Seen, days: int) -> list[tuple[str, ...]]:
    """What was sent to each move's lead in the days before the move, `none` for a touch without an asset."""
    columns = tables.touches
    found: list[tuple[str, ...]] = [()] * some.num_rows
    if not columns:
        return found
    found_at = pc.index_in(some["id"].combine_chunks(), pa.array(tables.lead_ids, pa.string()))
    places = pc.fill_null(found_at, -1).to_numpy(zero_copy_only=False)
    order = np.argsort(columns["lead"], kind="stable")
    # Of the same kind of number, or every look-up would make a copy of the whole column.
    rows_of = columns["lead"][order].astype(np.int64)
    begins, ends = (np.searchsorted(rows_of, places.astype(np.int64), side) for side in ("left", "right"))
    span, instants = days * MICROSECONDS_A_DAY, some["at"].cast(pa.int64()).to_pylist()
    for row, at in enumerate(instants):
        if places[row] < 0:
            continue
        own = order[begins[row] : ends[row]]
        sent = columns["sent_at"][own]
        inside = own[(sent <= at) & (sent > at - span) & (columns["recorded_at"][own] <= at)]
        names = (columns["asset"][inside] if "asset" in columns else np.full(len(inside), -1)).tolist()
        found[row] = tuple("none" if asset < 0 else str(tables.asset_ids[asset]) for asset in names)
    return found


def _column(table: pa.Table, name: str, n: int, absent: str | None = None) -> list[Any]:
    """A column as plain values; `absent` in every row where the table has none or no rows."""
    if name not in table.column_names or table.num_rows != n:
        return [absent] * n
    values: list[Any] = table[name].to_pylist()
    return values
