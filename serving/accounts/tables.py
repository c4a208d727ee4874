"""Accounts as Arrow tables: one row an account or system, one row a part its decision needs, one row a filled cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.buying_group import MEASURED
from serving.accounts.view import AccountsView, Level
from serving.render import instant

ENGAGED, QUIET, MISSING = "engaged", "quiet", "missing"
STATES = (ENGAGED, QUIET, MISSING)


def account_table(view: AccountsView) -> pa.Table:
    """One row for every account with people and for every system, accounts first, by id."""
    return pa.concat_tables([_units(view, level) for level in (view.accounts, view.systems)])


def gap_table(view: AccountsView) -> pa.Table:
    """One row for every part that a unit's next decision needs: filled by somebody engaged, by quiet people, missing.

    The counts by channel say how many of the people who play it may be contacted there under the rules in force.
    """
    return pa.concat_tables([_gaps(view, level) for level in (view.accounts, view.systems)])


def cell_table(view: AccountsView) -> pa.Table:
    """One row for every filled cell of role by influence by purchase authority, of every unit."""
    return pa.concat_tables([_cells(view, level) for level in (view.accounts, view.systems)])


def _units(view: AccountsView, level: Level) -> pa.Table:
    rows = _shown(view, level)
    roster, ready = level.roster, level.readiness
    state = _states(view, level, rows)
    needed = view.rules.weights[np.maximum(level.group[rows], 0)] * (level.group[rows, None] >= 0)
    parts = np.array(view.rules.part_ids)
    reachable = roster.count(np.asarray(view.on_channel.any(axis=1)))
    columns: dict[str, Any] = {
        "account_id": _ids(view, rows),
        "level": pa.repeat(level.name, len(rows)),
        "as_of": pa.repeat(instant(view.as_of), len(rows)),
        "product": _words(view.rules.products, level.product[rows]),
        "stage": stage_words(view, level, rows),
        "decision_moment": _words(view.rules.moments, level.moment[rows]),
        "moment_from": pa.array(np.where(level.from_field[rows], "account", "stage"), mask=level.moment[rows] == 0),
        "decision_readiness": pa.array(ready.points[rows], mask=ready.points[rows] < 0),
        "readiness_level": _words(ready.levels, ready.level[rows] + 1),
        **{
            f"points_{name}": pa.array(ready.parts[rows, at], mask=ready.points[rows] < 0)
            for at, name in enumerate(MEASURED)
        },
        "people": pa.array(roster.count()[rows]),
        "engaged": _told(level, roster.count(roster.engaged)[rows]),
        "silent": _told(level, roster.count(roster.silent)[rows]),
        "signers": pa.array(roster.count(roster.signs)[rows]),
        "engaged_signers": _told(level, roster.count(roster.signs & roster.engaged)[rows]),
        "contactable": pa.array(reachable[rows]),
        "needs": pa.array((needed > 0).sum(axis=1)),
        "filled": pa.array(((needed > 0) & (state == STATES.index(ENGAGED))).sum(axis=1)),
        "missing": _lists(parts, (needed > 0) & (state == STATES.index(MISSING))),
        "quiet": _lists(parts, (needed > 0) & (state == STATES.index(QUIET))),
        "account_segments": _lists(np.array(view.account_segments), view.in_segment[rows]),
    }
    return pa.table(columns)


def _gaps(view: AccountsView, level: Level) -> pa.Table:
    rows = _shown(view, level)
    rows = rows[level.group[rows] >= 0]
    needed = view.rules.weights[level.group[rows]]
    at, part = np.nonzero(needed)
    unit = rows[at]
    groups = np.array([group.id for group in view.rules.settings.groups])
    titles = np.array([one.title for one in view.rules.settings.parts])
    state = _states(view, level, rows)[at, part]
    columns: dict[str, Any] = {
        "account_id": _ids(view, unit),
        "level": pa.repeat(level.name, len(unit)),
        "as_of": pa.repeat(instant(view.as_of), len(unit)),
        "product": _words(view.rules.products, level.product[unit]),
        "decision_moment": _words(view.rules.moments, level.moment[unit]),
        "group": pa.array(groups[level.group[unit]]),
        "part": pa.array(np.array(view.rules.part_ids)[part]),
        "title": pa.array(titles[part]),
        "weight": pa.array(needed[at, part]),
        "state": pa.array(np.array(STATES)[state]),
        "known": pa.array(level.coverage.known[unit, part]),
        "engaged": _told(level, level.coverage.engaged[unit, part]),
        "contactable": pa.array(level.coverage.reachable[unit, part]),
    }
    for c, channel in enumerate(view.book.channels):
        may = view.on_channel[:, c]
        counts = [level.roster.count(view.plays[:, p] & may) for p in range(view.plays.shape[1])]
        columns[f"contactable_{channel}"] = pa.array(np.stack(counts, axis=1)[unit, part])
    return pa.table(columns)


def _cells(view: AccountsView, level: Level) -> pa.Table:
    cells = view.cells(level)
    kept = np.flatnonzero(level.shown[cells.unit])
    names = view.known.account_ids[cells.unit[kept]]
    kept = kept[np.argsort(names.astype(str), kind="stable")]
    facts = view.rules.domain.facts
    columns: dict[str, Any] = {
        "account_id": _ids(view, cells.unit[kept]),
        "level": pa.repeat(level.name, len(kept)),
        "as_of": pa.repeat(instant(view.as_of), len(kept)),
        "role": _words(facts["role"].values, cells.role[kept]),
        "influence": _words(facts["influence"].values, cells.influence[kept]),
        "purchase_authority": _words(facts["purchase_authority"].values, cells.authority[kept]),
        "known": pa.array(cells.known[kept]),
        "engaged": _told(level, cells.engaged[kept]),
        "contactable": pa.array(cells.reachable[kept]),
    }
    for c, channel in enumerate(view.book.channels):
        columns[f"contactable_{channel}"] = pa.array(cells.by_channel[kept, c])
    return pa.table(columns)


def stage_words(view: AccountsView, level: Level, rows: NDArray[Any]) -> pa.Array:
    """The stage of some units by its id, null where unknown."""
    return _words(tuple(stage.id for stage in view.rules.settings.stages), level.stage[rows].astype(np.int64) + 1)


def _states(view: AccountsView, level: Level, rows: NDArray[Any]) -> NDArray[np.int8]:
    """For each unit and part its place in STATES; without events everybody known counts as quiet."""
    coverage = level.coverage
    quiet = np.where(coverage.known[rows] > 0, STATES.index(QUIET), STATES.index(MISSING))
    return np.where(coverage.engaged[rows] > 0, STATES.index(ENGAGED), quiet).astype(np.int8)


def _shown(view: AccountsView, level: Level) -> NDArray[np.int64]:
    """Rows of the units of a level, in the order of their ids."""
    rows = np.flatnonzero(level.shown)
    return rows[np.argsort(view.known.account_ids[rows].astype(str), kind="stable")]


def _ids(view: AccountsView, rows: NDArray[Any]) -> pa.Array:
    return pa.array(view.known.account_ids[rows], pa.string())


def _told(level: Level, counts: NDArray[Any]) -> pa.Array:
    return pa.array(counts, mask=np.full(len(counts), not level.roster.told))


def _words(values: tuple[str, ...], codes: NDArray[Any]) -> pa.Array:
    """Values of codes, where 0 is unknown."""
    return pa.array(values, pa.string()).take(pa.array(codes.astype(np.int64) - 1, mask=codes <= 0))


def _lists(names: NDArray[Any], chosen: NDArray[np.bool_]) -> pa.Array:
    offsets = np.concatenate(([0], np.cumsum(chosen.sum(axis=1)))).astype(np.int32)
    picked = pa.array(names.astype(str) if len(names) else [], pa.string()).take(pa.array(np.nonzero(chosen)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), picked)
