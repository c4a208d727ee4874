"""An account is in a segment while one of its people is: since the first, until the last, with its own entry number."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.identity import Governed
from configs.settings import load_settings
from features.tables import UNKNOWN_INSTANT
from models.segments.accounts import (
    NOBODY,
    AccountHeld,
    held_by_accounts,
    of_accounts,
    shown_for_systems,
)
from models.segments.map import SegmentMap
from models.segments.moves import STATUSES, Held, changes_between

JAN, FEB, MAR, APR, MAY = 1, 2, 3, 4, 5
OF_ACCOUNT = np.array([True, False, True])
ACTIVE, PAUSED, FOLLOW_UP = (STATUSES.index(word) for word in ("active", "paused", "follow_up"))


def leads(*rows: tuple[int, int, int], status: tuple[int, ...] | None = None, version: int = 1) -> Held:
    """Open memberships: (lead, segment, entered at)."""
    unit, segment, entered = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.empty(0),) * 3
    n = len(rows)
    return Held(
        unit=unit.astype(np.int64), segment=segment.astype(np.int32), version=np.full(n, version, dtype=np.int32),
        entered_at=entered.astype(np.int64), left_at=np.full(n, UNKNOWN_INSTANT),
        status=np.array(status or [ACTIVE] * n, dtype=np.int8), entry=np.ones(n, dtype=np.int32),
        primary=np.ones(n, dtype=np.bool_),
    )  # fmt: skip


def folded(held: Held, account: list[int], now: int, before: Held | None = None) -> AccountHeld:
    return held_by_accounts(held, np.array(account, dtype=np.int32), OF_ACCOUNT, now=now, before=before)


def rows_of(held: Held) -> list[tuple[int, ...]]:
    """(account, segment, entered, left or 0, entry)."""
    left = np.where(held.left_at == UNKNOWN_INSTANT, 0, held.left_at)
    return list(
        zip(*(a.tolist() for a in (held.unit, held.segment, held.entered_at, left, held.entry)), strict=True)
    )  # fmt: skip


def test_an_account_is_a_member_since_the_first_of_its_people_and_knows_who_that_was() -> None:
    # Leads 0 and 1 are at account 7, lead 2 at account 3; segment 1 is of leads only.
    found = folded(leads((0, 0, MAR), (1, 0, JAN), (1, 1, JAN), (2, 2, FEB)), [7, 7, 3], MAY)
    assert rows_of(found.held) == [(3, 2, FEB, 0, 1), (7, 0, JAN, 0, 1)]
    assert found.first.tolist() == [2, 1]
    assert found.people.tolist() == [1, 2]
    assert not found.held.primary.any()


def test_it_keeps_its_entry_when_the_first_leaves_and_leaves_with_the_last() -> None:
    first = folded(leads((0, 0, JAN), (1, 0, MAR)), [7, 7], MAR)
    without_first = folded(leads((1, 0, MAR)), [7, 7], APR, first.held)
    assert rows_of(without_first.held) == [(7, 0, JAN, 0, 1)]
    assert len(changes_between(first.held, without_first.held, 3)) == 0
    nobody = folded(leads(), [7, 7], MAY, without_first.held)
    assert rows_of(nobody.held) == [(7, 0, JAN, MAY, 1)]
    assert nobody.first.tolist() == [NOBODY]
    back = folded(leads((0, 0, MAY + 1)), [7, 7], MAY + 1, nobody.held)
    assert rows_of(back.held) == [(7, 0, MAY + 1, 0, 2)]


def test_who_brings_an_older_membership_along_makes_the_new_account_enter_now() -> None:
    before = folded(leads((0, 0, JAN), (1, 0, JAN)), [7, 7], FEB)
    moved = folded(leads((0, 0, JAN), (1, 0, JAN)), [7, 9], APR, before.held)
    assert rows_of(moved.held) == [(7, 0, JAN, 0, 1), (9, 0, APR, 0, 1)]


def test_folding_again_at_the_same_instant_changes_nothing() -> None:
    before = folded(leads((0, 0, JAN), (2, 2, FEB)), [7, 7, 3], FEB)
    once = folded(leads((1, 2, MAR)), [7, 7, 3], MAR, before.held)
    twice = folded(leads((1, 2, MAR)), [7, 7, 3], MAR, once.held)
    assert rows_of(once.held) == rows_of(twice.held)
    assert once.people.tolist() == twice.people.tolist()


def test_an_account_is_paused_only_while_all_of_its_people_are() -> None:
    rows = ((0, 0, JAN), (1, 0, JAN))
    assert folded(leads(*rows, status=(PAUSED, FOLLOW_UP)), [7, 7], FEB).held.status.tolist() == [FOLLOW_UP]
    assert folded(leads(*rows, status=(PAUSED, ACTIVE)), [7, 7], FEB).held.status.tolist() == [ACTIVE]
    assert folded(leads(*rows, status=(PAUSED, PAUSED)), [7, 7], FEB).held.status.tolist() == [PAUSED]


def test_a_system_shows_the_segments_that_look_at_it_and_no_others() -> None:
    # Accounts 1 and 2 are below 0. Segment 0 looks at the system, segment 2 does not.
    above, systems = np.array([0, 0, 0], dtype=np.int32), np.array([True, False, False])
    found = held_by_accounts(
        leads((0, 0, MAR), (1, 0, JAN), (1, 2, JAN)), np.array([1, 2], dtype=np.int32), OF_ACCOUNT, now=MAY,
        above=above, systems=systems,
    )  # fmt: skip
    assert rows_of(found.held) == [(0, 0, JAN, 0, 1), (1, 0, MAR, 0, 1), (2, 0, JAN, 0, 1), (2, 2, JAN, 0, 1)]
    assert found.people.tolist() == [2, 1, 1, 1]


def test_which_segments_a_system_shows_follows_from_their_conditions_and_from_governance() -> None:
    shipped = load_settings()
    segment_map = SegmentMap.load(shipped)
    ids = np.array(segment_map.segment_ids)
    shown = shown_for_systems(segment_map.activations, {})
    assert "software_ehr_health_system" in ids[shown]
    assert "implant_ortho_vac" not in ids[shown]
    by_system = {"procurement_path": Governed(level="system")}
    assert "implant_ortho_vac" in ids[shown_for_systems(segment_map.activations, by_system)]
    assert not of_accounts(segment_map.definitions)[segment_map.residual]


PEOPLE = st.lists(
    st.tuples(st.integers(0, 11), st.sampled_from([0, 2]), st.integers(JAN, MAY)),
    unique_by=lambda row: row[:2], max_size=20,
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(PEOPLE, PEOPLE, st.lists(st.integers(-1, 4), min_size=12, max_size=12), st.randoms(use_true_random=False))
def test_neither_row_order_nor_partition_changes_an_account(
    earlier: list[tuple[int, int, int]], now: list[tuple[int, int, int]], account: list[int], random: object
) -> None:
    before = folded(leads(*earlier), account, MAY).held
    whole = folded(leads(*now), account, MAY + 1, before)
    shuffled = list(now)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rows_of(folded(leads(*shuffled), account, MAY + 1, before).held) == rows_of(whole.held)
    parts = []
    for own in range(5):
        mine = [row for row in now if account[row[0]] == own]
        was = before.rows(np.flatnonzero(before.unit == own))
        parts += rows_of(folded(leads(*mine), account, MAY + 1, was).held)
    assert sorted(parts) == rows_of(whole.held)
    assert {f.name for f in fields(whole.held)} == {f.name for f in fields(Held)}
