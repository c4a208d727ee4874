"""Two steps of `leadwell segments apply`: `evaluate`, what holds for whom, and `fold_all`, memberships from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from configs.settings import Settings
from features.columns import available_threads, side_by_side
from features.facts import Facts
from features.ids import places_of, texts
from features.intake.quality.check import check
from features.intake.sources import Intake
from features.journey.plan import MOVING, SHOWN
from features.tables import UNKNOWN_INSTANT, Columns, Known, Tables, latest, microseconds
from models.hygiene import judge
from models.segments.due import Days
from models.segments.map import SegmentMap
from models.segments.membership import Memberships, Prior, fold
from models.segments.moves import STATUSES, Held
from models.segments.reevaluation import Chosen, Marks, Reevaluation
from models.segments.statuses import NONE, PURPOSES, StatusRules, purposes_of
from policy.book import Book
from policy.profiling import may_not_be_profiled
from serving.lead_rows import rows_of
from serving.memberships.firing import Firing, asked_facts, fired, watched_facts
from serving.memberships.readiness_file import Told, told_by
from serving.memberships.state import State, held_of
from serving.memberships.whys import ANOTHER, LEAD_GONE, MERGED, OBJECTED, Endings, endings_of_segments

BLOCK_LEADS = 32_768
# What a mark notes of a lead: that it is there, and whether it may not be profiled, or perhaps not.
HERE, FORBIDDEN, UNSURE = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Before:
    """What the state says of those who are placed and of leads that are no more, over lists of leads and segments.

    `ids` are those of the leads that are looked at, then those that are gone; `segment_ids` those of the map, then
    others that the state knows. `stays` says which rows of the state are of leads that are not placed and are there.
    """

    held: Held
    ids: pa.Array
    segment_ids: tuple[str, ...]
    stays: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Who is placed, as known at an instant: facts, which leads may be placed, which of them wait, and what fired.

    That is everybody, or whom `chosen` names: then `tables` and `known` are of these and of those beside them, of whom
    none counts as present, and `before` is what the state says of these and of leads that are no more.

    `forbidden` leads may surely not be profiled: they are in no segment. `unsure` ones may not be profiled unless
    somebody learns more: they keep what they have, and enter nothing. `map_hash` is that of all approved definitions,
    with those that `below_hygiene` leaves out. `due` is the first day on which time alone may turn a condition.
    """

    known: Known
    facts: Facts
    segment_map: SegmentMap
    forbidden: NDArray[np.bool_]
    unsure: NDArray[np.bool_]
    below_hygiene: tuple[str, ...]
    firing: Firing
    due: Days
    told: Told | None
    map_hash: str
    run: Reevaluation
    chosen: Chosen
    whole: Tables
    tables: Tables
    before: Before | None

    @property
    def watched(self) -> Known:
        """What is known, with only those present whose values may be kept for the next run to compare.

        INVARIANT: of who may not be profiled nothing is watched, and nothing fires.
        """
        return _without(self.known, self.forbidden)


@dataclass(frozen=True, slots=True)
class Folded:
    """Memberships before and now as rows over the same lists of leads and segments.

    `due` has for each lead the first day on which a dwell or a time away that holds it back is over.
    """

    before: Held
    after: Held
    ids: pa.Array
    segment_ids: tuple[str, ...]
    endings: Endings
    due: Days


def _before(state: State, segment_map: SegmentMap, tables: Tables, chosen: Chosen) -> Before:
    """Match the ids of a state's memberships with those of all tables, once."""
    everybody, again, beside = texts(tables.lead_ids), chosen.again, chosen.beside
    lead = places_of(state.memberships["lead_id"], everybody)
    gone = lead < 0
    stays = ~gone & ~np.append(again, True)[lead]
    ids = everybody if beside.all() else everybody.filter(pa.array(beside))
    rows = state.memberships if not stays.any() else state.memberships.filter(pa.array(~stays))
    lead, gone = lead[~stays], gone[~stays]
    unit = np.append(np.cumsum(beside) - 1, -1)[lead]
    if gone.any():
        missing = texts(rows["lead_id"].filter(pa.array(gone))).dictionary_encode()
        unit[gone] = len(ids) + missing.indices.to_numpy()
        ids = pa.concat_arrays([ids, missing.dictionary])
    named = texts(rows["segment_id"]).dictionary_encode()
    segment_ids = tuple(dict.fromkeys((*segment_map.segment_ids, *named.dictionary.to_pylist())))
    place = {segment_id: s for s, segment_id in enumerate(segment_ids)}
    own = np.array([place[name] for name in named.dictionary.to_pylist()], dtype=np.int32)
    return Before(held_of(rows, unit, own[named.indices.to_numpy()]), ids, segment_ids, stays)


def with_state(tables: Tables, before: Before) -> Tables:
    """The tables with what was before as their memberships; rows of leads that are no more are left out."""
    held, here = before.held, np.searchsorted(before.held.unit, len(tables.lead_ids))  # who is gone comes last
    columns: Columns = {
        "lead": held.unit[:here].astype(np.int32),
        "segment": held.segment[:here],
        "version": held.version[:here],
        "entered_at": held.entered_at[:here],
        "left_at": held.left_at[:here],
        "status": (held.status[:here] + 1).astype(np.uint8),
        "entry": held.entry[:here],
        "primary": np.where(held.primary[:here], 2, 1).astype(np.uint8),
    }
    return replace(tables, memberships=columns, segment_ids=np.array(before.segment_ids, dtype=object))


def evaluate(
    tables: Tables,
    settings: Settings,
    as_of: datetime,
    state: State | None,
    *,
    intake: Intake | None = None,
    scores: Path | None = None,
) -> Evaluated:
    """Everything that memberships are folded from, of whom anything may have changed for since the state."""
    on, whole = as_of.astimezone(UTC).date(), SegmentMap.load(settings)
    below: tuple[str, ...] = ()
    if intake is not None and latest(tables.leads, "lead", len(tables.lead_ids), microseconds(as_of))[1].any():
        below = judge(tables, settings, whole, as_of, check(intake, settings, as_of=as_of)).inactive
    segment_map, book = whole.without(below), Book.load(settings, on)
    run = Reevaluation.of(
        settings, segment_map, as_of, normals=[rule.normal for rule in book.score_rules],
        facts=(*asked_facts(settings), *SHOWN), compared=(*watched_facts(settings.triggers), *MOVING),
        events=any(trigger.events for trigger in settings.triggers),
    )  # fmt: skip
    chosen = run.chosen(tables, None if state is None else state.marks, _everybody_is_due(settings, state, on, scores))
    part, before = run.part(tables, chosen), None
    if state is not None:
        before = _before(state, segment_map, tables, chosen)
        part = with_state(part, before)
    known, facts = run.facts(part)
    known = replace(known, present=known.present & chosen.again[chosen.beside])
    forbidden, unsure = may_not_be_profiled(book, facts)
    earlier = None if state is None else (state.watched, state.as_of)
    firing, due = side_by_side(
        facts.n,
        lambda: fired(settings, _without(known, forbidden), facts, earlier),
        lambda: run.due(part, known, facts),
    )
    told = told_by(scores, as_of, known.lead_ids) if scores is not None else None
    return Evaluated(
        known=known,
        facts=facts,
        segment_map=segment_map,
        forbidden=forbidden,
        unsure=unsure,
        below_hygiene=below,
        firing=firing,
        due=due,
        told=told,
        map_hash=whole.hash,
        run=run,
        chosen=chosen,
        whole=tables,
        tables=part,
        before=before,
    )


def _without(known: Known, forbidden: NDArray[np.bool_]) -> Known:
    return replace(known, present=known.present & ~forbidden)


def _everybody_is_due(settings: Settings, state: State | None, on: date, scores: Path | None) -> str:
    """Why everybody is placed whatever changed for whom; "" where nothing says so."""
    if scores is not None:
        return "readiness is told anew"
    since = on if state is None else state.as_of.astimezone(UTC).date()
    outside = any(since < occurrence.on <= on for trigger in settings.triggers for occurrence in trigger.occurs)
    return "something happened outside the data" if outside else ""


def of_all_others(now: Evaluated, state: State | None) -> State | None:
    """What the state says of leads that are not placed and are there: it stays; None where everybody is placed."""
    if state is None or now.before is None or now.chosen.again.all():
        return None
    spot = places_of(state.watched["lead_id"], now.whole.lead_ids)
    watched = state.watched.filter(pa.array((spot >= 0) & ~now.chosen.again[spot]))
    return replace(state, memberships=state.memberships.filter(pa.array(now.before.stays)), watched=watched)


def marks_of(now: Evaluated, folded: Folded, state: State | None) -> Marks:
    """What this run leaves for the next to tell from whom it must place again."""
    own = now.chosen.again[now.chosen.beside]
    due = np.minimum(now.due, folded.due)[own]
    note = (HERE | now.forbidden * FORBIDDEN | now.unsure * UNSURE).astype(np.uint8)
    note[~now.known.present] = 0
    return now.run.marks(now.whole, now.chosen, due, None if state is None else state.marks, note[own])


def fold_all(now: Evaluated, settings: Settings) -> Folded:
    """Memberships of everybody, a bounded number of leads at a time: lead by segment is the widest thing here."""
    known, map_ = now.known, now.segment_map
    n, cut = len(known.lead_ids), known.as_of_us
    if now.before is not None:
        before, ids, segment_ids = now.before.held, now.before.ids, now.before.segment_ids
    else:
        ids, others = texts(known.lead_ids), now.tables.segment_ids.tolist()
        segment_ids = tuple(dict.fromkeys((*map_.segment_ids, *others)))
        place = {segment_id: s for s, segment_id in enumerate(segment_ids)}
        before = Held.of(now.tables.memberships, np.array([place[name] for name in others] + [-1], dtype=np.int32), cut)
    gone = len(ids) - n
    rules, on = StatusRules.of(settings, map_.domain), known.as_of.astimezone(UTC).date()
    status_of = np.array([STATUSES.index(status.membership) for status in rules.statuses] + [0], dtype=np.int8)
    purposes = np.array(purposes_of(map_.definitions))
    speaks = known.present & ~now.forbidden & ~now.unsure
    order = np.argsort(known.memberships["lead"], kind="stable") if known.memberships else None
    deciding = np.full((n, len(PURPOSES)), NONE, dtype=np.int8)

    def placed(start: int) -> tuple[Held, Days]:
        stop = min(start + BLOCK_LEADS, n)
        facts, prior = rows_of(now.facts, start, stop), _prior(known, map_, order, start, stop)
        readings = map_.surely(facts, on)
        members = fold(prior, *readings, cut)
        due = now.run.due_of_terms(members, *readings)
        if now.told is not None:
            members = map_.overlaid(members, now.told.facts(facts, start, stop), prior, as_of=known.as_of)
        deciding[start:stop] = rules.deciding(facts, on)
        lead, segment = np.nonzero(members.member & speaks[start:stop, None])
        status = status_of[deciding[lead + start, purposes[segment]]]
        return _rows(members, lead, segment, start, status), due

    # The first block alone: it compiles what the others use at once.
    blocks = [placed(0)]
    with ThreadPoolExecutor(available_threads()) as pool:
        blocks += pool.map(placed, range(BLOCK_LEADS, n, BLOCK_LEADS))
    parts, due = [part for part, _ in blocks], [days for _, days in blocks]
    waiting = before.rows(np.flatnonzero(before.open & _waits(now, before, len(ids), len(segment_ids))))
    # An overlay waits, its status does not.
    status = status_of[deciding[waiting.unit, purposes[waiting.segment]]] if len(waiting) else waiting.status
    waiting = replace(waiting, status=np.where(now.unsure[waiting.unit], waiting.status, status).astype(np.int8))
    is_in = waiting.joined(*parts)
    keys, now_in = before.keys(len(segment_ids)), is_in.keys(len(segment_ids))  # both in order
    over = np.append(now_in, -1)[np.searchsorted(now_in, keys)] != keys
    # Of a lead that is gone, or may not be profiled, nothing is kept.
    over &= ~np.append(now.forbidden, np.ones(gone, dtype=np.bool_))[before.unit]
    segments = endings_of_segments(segment_ids, map_, settings, now.below_hygiene, on)
    # That we took a segment out of use is no departure of a lead: no policy of re-entry bars it, once it is back.
    ours = np.array([why not in ("", ANOTHER) for why in segments])[before.segment]
    ended = before.rows(np.flatnonzero(over & before.open & ~ours)).with_left(cut)
    earlier = before.rows(np.flatnonzero(over & ~before.open))
    endings = Endings(_endings_of_leads(now, gone), segments)
    return Folded(before, is_in.joined(ended, earlier), ids, segment_ids, endings, np.concatenate(due))


def _waits(now: Evaluated, before: Held, units: int, segments: int) -> NDArray[np.bool_]:
    """Rows that stay as they are: those of leads who may perhaps not be profiled, and of overlays without readiness."""
    known, map_ = now.known, now.segment_map
    n = len(known.lead_ids)
    here, unsure = np.zeros(units, dtype=np.bool_), np.zeros(units, dtype=np.bool_)
    here[:n], unsure[:n] = known.present & ~now.forbidden, now.unsure
    active, overlays = np.zeros(segments, dtype=np.bool_), np.zeros(segments, dtype=np.bool_)
    active[: len(map_.segment_ids)] = map_.active(known.as_of.astimezone(UTC).date())
    overlays[: len(map_.segment_ids)] = map_.overlays & (now.told is None)
    unit, segment = before.unit, before.segment
    found: NDArray[np.bool_] = here[unit] & active[segment] & (unsure[unit] | overlays[segment])
    return found


def _endings_of_leads(now: Evaluated, gone: int) -> NDArray[np.object_]:
    """What ends every membership of a lead, in words; "" where nothing does."""
    known = now.known
    found = np.full(len(known.lead_ids) + gone, LEAD_GONE, dtype=object)
    here = found[: len(known.lead_ids)]
    here[known.present] = ""
    here[now.forbidden & known.present] = OBJECTED
    if known.merged is not None:
        here[known.merged.away] = MERGED
    return found


def _prior(known: Known, map_: SegmentMap, order: NDArray[Any] | None, start: int, stop: int) -> Prior | None:
    if order is None:
        return None
    lead = known.memberships["lead"][order]
    low, high = np.searchsorted(lead, [start, stop])
    rows = order[low:high]
    own = {name: column[rows] for name, column in known.memberships.items()}
    own["lead"] = own["lead"] - start
    return map_.prior_of(own, known.segment_ids.tolist(), stop - start)


def _rows(
    members: Memberships, lead: NDArray[np.intp], segment: NDArray[np.intp], start: int, status: NDArray[np.int8]
) -> Held:
    """Some members of a block as rows; segments of the map keep their places."""
    return Held(
        unit=lead.astype(np.int64) + start,
        segment=segment.astype(np.int32),
        version=np.array(members.versions, dtype=np.int32)[segment],
        entered_at=members.entered_at[lead, segment],
        left_at=np.full(len(lead), UNKNOWN_INSTANT, dtype=np.int64),
        status=status,
        entry=members.entry[lead, segment],
        primary=members.primary[lead] == segment,
    )
