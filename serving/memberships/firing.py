"""Which triggers of the catalogue fired for which lead between one run and the next."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from configs.conditions import facts_used, parse
from configs.settings import Settings
from configs.triggers import ACCOUNT, SYSTEM, Trigger
from features.columns import SortedEvents, available_threads, exact, rows_between
from features.evaluate import Domain, as_columns
from features.facts import Facts
from features.ids import places_of, texts
from features.tables import UNKNOWN_INSTANT, Known, microseconds

Masks = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Firing:
    """The catalogue, and for each lead a mask of what fired; bit i is `triggers[i]`."""

    triggers: tuple[Trigger, ...]
    masks: Masks

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the triggers."""
        return tuple(trigger.id for trigger in self.triggers)

    def counts(self) -> dict[str, int]:
        """For how many leads each trigger fired."""
        bits = ((self.masks >> np.uint64(place)) & np.uint64(1) for place in range(len(self.triggers)))
        return {trigger.id: int(bit.sum()) for trigger, bit in zip(self.triggers, bits, strict=True)}

    def of_segments(self, segment_ids: Sequence[str]) -> Masks:
        """For each segment a mask of the triggers that concern it."""
        found = np.zeros(len(segment_ids), dtype=np.uint64)
        for bit, trigger in enumerate(self.triggers):
            for place, segment_id in enumerate(segment_ids):
                if not trigger.segments or segment_id in trigger.segments:
                    found[place] |= np.uint64(1 << bit)
        return found


def watched_names(triggers: Sequence[Trigger]) -> tuple[str, ...]:
    """Everything that some trigger watches, each once."""
    return tuple(dict.fromkeys(name for trigger in triggers for name in trigger.watches))


def watched_facts(triggers: Sequence[Trigger]) -> tuple[str, ...]:
    """Facts of the lead that some trigger watches, each once."""
    return tuple(name for name in watched_names(triggers) if name not in (ACCOUNT, SYSTEM))


def asked_facts(settings: Settings) -> tuple[str, ...]:
    """Facts that triggers ask about where they fired."""
    domain = Domain.of(settings)
    asked = (parse(one.when, domain.facts, domain.parameters) for one in settings.triggers if one.when)
    return tuple(dict.fromkeys(fact for condition in asked for fact in facts_used(condition)))


def watched_table(known: Known, facts: Facts, domain: Domain, triggers: Sequence[Trigger]) -> pa.Table:
    """What triggers watch, in words, one row for each lead that is there; absent where it is unknown."""
    present = np.flatnonzero(known.present)
    columns = {"lead_id": pa.array(known.lead_ids, pa.string()).take(pa.array(present))}
    for name in watched_names(triggers):
        columns[name] = _words(known, facts, domain, name).take(pa.array(present))
    return pa.table(columns)


def fired(settings: Settings, known: Known, facts: Facts, last: tuple[pa.Table, datetime] | None) -> Firing:
    """What fired since the last run, given by its watched table and its instant; nothing at a first run.

    INVARIANT: nothing fires twice, and neither the order of rows nor that of leads matters.
    """
    triggers, n = settings.triggers, len(known.lead_ids)
    masks = np.zeros(n, dtype=np.uint64)
    if last is None:
        return Firing(triggers, masks)
    before, since = last
    domain, on = Domain.of(settings), known.as_of.astimezone(UTC).date()
    spot = places_of(known.lead_ids, before["lead_id"])
    late = _late_events(known, microseconds(since)) if any(trigger.events for trigger in triggers) else None
    names = watched_names(triggers)
    with ThreadPoolExecutor(available_threads()) as pool:
        compared = pool.map(lambda name: _changed(_words(known, facts, domain, name), before, name, spot), names)
        changed = dict(zip(names, compared, strict=True))
    for bit, trigger in enumerate(triggers):
        match trigger.kind:
            case "lead_new":
                hit = spot < 0
            case "event":
                hit = _has_event(late, settings, trigger.events, n)
            case "field_changed":
                hit = np.zeros(n, dtype=np.bool_)
                for differs, newly_known in (changed[name] for name in trigger.watches):
                    hit |= differs | newly_known if trigger.newly_known else differs
            case "outside":
                days = [o.on for o in trigger.occurs if since.astimezone(UTC).date() < o.on <= on]
                hit = np.full(n, bool(days))
        if trigger.when and hit.any():
            condition = parse(trigger.when, domain.facts, domain.parameters)
            used = [name for name in facts_used(condition) if name in facts.columns]
            columns = {name: facts.columns[name].reshape(-1) for name in used}
            hit = hit & np.broadcast_to(as_columns(condition, domain, on)(columns)[0].reshape(-1), (n,))
        masks |= (hit & known.present).astype(np.uint64) << np.uint64(bit)
    return Firing(triggers, masks)


def _late_events(known: Known, since: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]] | None:
    """Lead and kind of every event that became known after an instant."""
    # As they were given: to bring all of them in order, lead by lead, would cost more than to look for the late ones.
    events = known.events.unsorted if isinstance(known.events, SortedEvents) else known.events
    if not events or not len(events["lead"]):
        return None
    size = len(events["lead"])
    lead, kind = exact(events, "lead", np.int32, size), exact(events, "kind", np.uint8, size)
    recorded, happened = (exact(events, name, np.int64, size) for name in ("recorded_at", "occurred_at"))
    rows = np.empty(size, dtype=np.int64)
    rows = rows[: rows_between(recorded, since, known.as_of_us, rows)]
    rows = rows[(happened[rows] <= known.as_of_us) & (happened[rows] != UNKNOWN_INSTANT) & (lead[rows] >= 0)]
    return lead[rows], kind[rows]


def _has_event(
    late: tuple[NDArray[np.int32], NDArray[np.uint8]] | None, settings: Settings, kinds: Sequence[str], n: int
) -> NDArray[np.bool_]:
    """Leads of whom there is such an event of one of these kinds."""
    found = np.zeros(n, dtype=np.bool_)
    if late is not None:
        codes, wanted = settings.vocabularies["event_kind"], np.zeros(256, dtype=np.bool_)
        wanted[[codes.code(kind) for kind in kinds]] = True
        found[late[0][wanted[late[1]]]] = True
    return found


def _changed(
    words: pa.Array, before: pa.Table, name: str, spot: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Leads that were there, whose value is known and another one; and those whose value was unknown."""
    if name not in before.column_names:
        # A watch that a release added was written by no earlier run; a lead's first value is no news then.
        return np.zeros(len(words), dtype=np.bool_), np.zeros(len(words), dtype=np.bool_)
    old = texts(before[name])
    if len(old) != len(spot) or not np.array_equal(spot, np.arange(len(spot))):
        old = old.take(pa.array(np.where(spot < 0, 0, spot), mask=spot < 0))
    differs = pc.fill_null(pc.not_equal(words.cast(pa.string()), old.cast(pa.string())), False)
    first = pc.and_(pc.is_valid(words), pc.is_null(old)).to_numpy(zero_copy_only=False)
    return differs.to_numpy(zero_copy_only=False), first & (spot >= 0)


def _words(known: Known, facts: Facts, domain: Domain, name: str) -> pa.Array:
    """A watched value of every lead as text."""
    n = len(known.lead_ids)
    if name in (ACCOUNT, SYSTEM):
        account = exact(known.leads, "account", np.int32, n)
        if name == SYSTEM:
            parent = np.append(exact(known.accounts, "parent", np.int32, len(known.account_ids)), np.int32(-1))
            account = parent[account]
        return pa.array(known.account_ids, pa.string()).take(pa.array(np.maximum(account, 0), mask=account < 0))
    column = facts.columns.get(name)
    if column is None:
        return pa.nulls(n, pa.string())
    codes = np.broadcast_to(column.reshape(-1), (n,))
    if domain.is_number(name):
        return pa.array(codes, mask=codes < 0).cast(pa.string())
    values = pa.array([None, *domain.facts[name].values], pa.string())
    return values.take(pa.array(codes.astype(np.int64)))
