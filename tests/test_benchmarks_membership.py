"""What the benchmark of memberships measures is right: a partial night leaves the state of a full one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np

from benchmarks.membership import _conditions, _night, all_approved
from benchmarks.membership_world import AS_OF, make_world
from configs.settings import Settings, load_settings
from features.tables import microseconds

LEADS = 600


@cache
def approved() -> Settings:
    settings: Settings = all_approved(load_settings())
    return settings


@cache
def nights() -> list[tuple[Any, dict[str, Any], Any, dict[str, Any], Any]]:
    """Three nights: the partial state and what it told, the full ones, and what was evaluated in the full one."""
    world, rng = make_world(LEADS, 12 * LEADS, approved()), np.random.default_rng(3)
    some, _, _ = _night(world, approved(), AS_OF, None)
    whole, found = some, []
    for number in (1, 2, 3):
        as_of = AS_OF + timedelta(days=number)
        role = world.leads["role"]
        leads = {**world.leads, "role": np.where(rng.random(len(role)) < 0.02, role % 20 + 1, role).astype(np.uint8)}
        world = replace(world, leads=leads, suppressions_complete_as_of=microseconds(as_of))
        some, told, _ = _night(world, approved(), as_of, some)
        whole, told_whole, now = _night(world, approved(), as_of, replace(whole, marks=None))
        found.append((some, told, whole, told_whole, now))
    return found


def test_a_partial_night_leaves_the_memberships_of_a_full_one() -> None:
    by_id = [("lead_id", "ascending"), ("segment_id", "ascending")]
    for some, _, whole, _, _ in nights():
        assert some.memberships.sort_by(by_id).equals(whole.memberships.sort_by(by_id))
        assert some.watched.sort_by("lead_id").equals(whole.watched.sort_by("lead_id"))
        assert some.marks.prints.tolist() == whole.marks.prints.tolist()
        assert some.marks.note.tolist() == whole.marks.note.tolist()


def test_it_makes_as_many_moves_and_places_fewer_leads() -> None:
    told = [(some, whole) for _, some, _, whole, _ in nights()]
    assert [some["moves"] for some, _ in told] == [whole["moves"] for _, whole in told]
    assert sum(some["moves"] for some, _ in told) > 0
    assert all(whole["placed"] == LEADS for _, whole in told)
    assert min(some["placed"] for some, _ in told) < LEADS


def test_duckdb_counts_the_same_members_of_every_shipped_condition() -> None:
    found = _conditions(nights()[-1][-1], approved())
    assert found["count"] >= 2 * (len(approved().segments) - 2)
