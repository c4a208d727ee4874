"""Memberships of accounts in the state of `leadwell segments apply`, and their moves in the stream of the leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.conditions import facts_used
from configs.settings import Settings
from features.columns import exact
from features.facts import Facts
from features.intake.settle import root_of
from features.links import LinkRules, follow_links
from features.tables import UNKNOWN_INSTANT, Columns, Tables, latest
from models.segments.accounts import AccountHeld, held_by_accounts, of_accounts, shown_for_systems
from models.segments.map import SegmentMap, told
from models.segments.moves import INSTANT, KINDS, STATUSES, Because, Changes, Held, changes_between, moves_table
from serving.memberships.placing import Evaluated
from serving.memberships.state import State, held_of
from serving.memberships.whys import REASON

ACCOUNT_MEMBERSHIPS = "account_memberships.parquet"
NOBODY_LEFT = "none of its people is in it any more"
SCHEMA = pa.schema(
    [
        ("account_id", pa.string()),
        ("segment_id", pa.string()),
        ("version", pa.int32()),
        ("entered_at", INSTANT),
        ("left_at", INSTANT),
        ("status", pa.string()),
        ("entry", pa.int32()),
        ("people", pa.int32()),
    ]
)


def accounts_of(
    tables: Tables, memberships: pa.Table, now: Evaluated, state: State | None, settings: Settings
) -> tuple[pa.Table, pa.Table]:
    """Memberships of accounts after a fold of the leads, with the columns of SCHEMA, and the moves that led to them.

    Args:
        tables: everybody, also whom this run had no need to place again.
        memberships: of all leads after the fold.
        now: whom the fold placed, with what is known of them.
        state: what was true before.
        settings: the configuration.
    """
    map_, cut = now.segment_map, now.known.as_of_us
    # A person with several records is at the account that one of them names, as in the facts.
    only = replace(tables, events={}, touches={}, consents={}, suppressions={}, cases={}, memberships={}, outcomes={})
    people = follow_links(only, now.known.as_of, LinkRules.of(settings))
    leads, present = latest(people.leads, "lead", len(tables.lead_ids), cut)
    accounts, _ = latest(tables.accounts, "account", len(tables.account_ids), cut)
    account = np.where(present, exact(leads, "account", np.int32, len(present)), -1).astype(np.int32)
    earlier = None if state is None else accounts_in(state)
    ids = _with(pa.array(tables.account_ids, pa.string()), earlier, "account_id")
    names = _with(pa.array([d.id for d in map_.definitions], pa.string()), earlier, "segment_id")
    before = None if earlier is None else account_rows(earlier, "account_id", ids, names)
    lead_ids = pa.array(tables.lead_ids, pa.string())
    # What is of no account segment, and of nobody who is there, is of no account.
    own = memberships.filter(
        pc.and_(
            pc.is_valid(pc.index_in(memberships["lead_id"], lead_ids)),
            pc.is_valid(pc.index_in(memberships["segment_id"], names)),
        )
    )
    governs = {str(field): one for field, one in settings.identity.governs.items()}
    found = held_by_accounts(
        account_rows(own, "lead_id", lead_ids, names),
        account,
        _padded(of_accounts(map_.definitions), len(names)),
        now=cut,
        before=before,
        above=_tops(accounts, len(tables.account_ids), len(ids)),
        systems=_padded(shown_for_systems(map_.activations, governs), len(names)),
    )
    before = found.held.rows(np.empty(0, dtype=np.int64)) if before is None else before
    changes = changes_between(before, found.held, len(names))
    first = found.first[np.maximum(changes.after, 0)] if len(found.held) else np.full(len(changes), -1)
    # Where in this run's facts the first of its people is, who may be none of those it placed.
    spot = pc.index_in(lead_ids.take(pa.array(first, mask=first < 0)), pa.array(now.known.lead_ids, pa.string()))
    row = np.asarray(pc.fill_null(spot, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
    segment_ids = names.to_pylist()
    entered = (changes.kind == KINDS.index("entered")) & (row >= 0)
    masks = np.zeros(len(changes), dtype=np.uint64)
    segment = changes.of("segment", before, found.held)[entered]
    masks[entered] = now.firing.masks[row[entered]] & now.firing.of_segments(segment_ids)[segment]
    moves = moves_table(
        changes,
        before,
        found.held,
        unit="account",
        ids=ids,
        segment_ids=segment_ids,
        at=cut,
        why=_why(changes, before, found, row, now.facts, map_),
        triggers=masks,
        trigger_ids=now.firing.ids,
        segment_map=now.map_hash,
    )
    return _table(found, ids, names), moves


def _why(
    changes: Changes, before: Held, found: AccountHeld, first: NDArray[np.int64], facts: Facts, map_: SegmentMap
) -> Because:
    """An account entered because of what is known of the first of its people who did; it left with the last."""
    why, after = Because(len(changes)), found.held
    for code, word in enumerate(KINDS):
        rows = np.flatnonzero(changes.kind == code)
        if word == "left":
            why.says(rows, [(REASON, "known", NOBODY_LEFT)])
        elif word == "status":
            why.says(rows, [(REASON, "known", "that of the furthest of its people")])
        elif word == "version":
            versions = after.version[changes.after[rows]]
            for version in np.unique(versions).tolist():
                why.says(rows[versions == version], [("definition", "known", f"version {version}")])
        elif word == "entered":
            segment = after.segment[changes.after[rows]]
            for place in np.unique(segment).tolist():
                own = rows[segment == place]
                _entered(why, own, first[own], place, facts, map_)
    return why


def _entered(
    why: Because, rows: NDArray[Any], leads: NDArray[np.int64], place: int, facts: Facts, map_: SegmentMap
) -> None:
    enter = map_.activations[place].enter
    names = [name for name in (facts_used(enter) if enter is not None else ()) if name in facts.columns]

    def words(codes: Mapping[str, int]) -> list[list[str | int]]:
        return [told(name, map_.domain.value(name, code)) for name, code in codes.items()]

    here = leads >= 0
    why.says(rows[~here], [(REASON, "known", "one of its people is in it")])
    why.looks_at(rows[here], leads[here], {name: facts.columns[name].reshape(-1) for name in names}, words)


def _with(names: pa.Array, earlier: pa.Table | None, column: str) -> pa.Array:
    """A list of names, and after it those that only the state has."""
    if earlier is None:
        return names
    old = pc.unique(earlier[column].combine_chunks())
    return pa.concat_arrays([names, old.filter(pc.is_null(pc.index_in(old, names)))])


def _tops(accounts: Columns, size: int, all_: int) -> NDArray[np.int32]:
    """The topmost account above each, itself where there is none, or nobody knows the account any more."""
    found = np.arange(all_, dtype=np.int32)
    found[:size] = root_of(exact(accounts, "parent", np.int32, size).astype(np.int64))
    return found


def _padded(flags: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    found = np.zeros(size, dtype=np.bool_)
    found[: len(flags)] = flags
    return found


def accounts_in(state: State) -> pa.Table | None:
    """What the state has of accounts, None where it is of before accounts were told; its hash was checked."""
    listed = ACCOUNT_MEMBERSHIPS in state.manifest["files"]
    return pq.read_table(state.folder / ACCOUNT_MEMBERSHIPS, schema=SCHEMA) if listed else None


def account_rows(table: pa.Table, key: str, ids: pa.Array, segment_ids: pa.Array) -> Held:
    """Rows of a table of memberships over lists of ids that hold all of its own; `key` is its column of units."""
    unit = pc.index_in(table[key], ids).to_numpy().astype(np.int64)
    return held_of(table, unit, pc.index_in(table["segment_id"], segment_ids).to_numpy().astype(np.int32))


def _table(found: AccountHeld, ids: pa.Array, segment_ids: pa.Array) -> pa.Table:
    held = found.held
    table = pa.table(
        {
            "account_id": ids.take(pa.array(held.unit)),
            "segment_id": segment_ids.take(pa.array(held.segment)),
            "version": pa.array(held.version, pa.int32()),
            "entered_at": pa.array(held.entered_at, INSTANT),
            "left_at": pa.array(held.left_at, INSTANT, mask=held.left_at == UNKNOWN_INSTANT),
            "status": pa.array(STATUSES).take(pa.array(held.status)),
            "entry": pa.array(held.entry, pa.int32()),
            "people": pa.array(found.people, pa.int32()),
        },
        schema=SCHEMA,
    )
    return table.sort_by([("account_id", "ascending"), ("segment_id", "ascending")])
