"""What readiness is judged beside: how many rows the rivals learn from, and whose they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from training.dataset.some_accounts import rows_of_some
from training.rivals import repeats_of, rival_rows, rival_words

ROOT = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 3])


def test_a_bounded_draw_holds_whole_accounts_and_no_more_rows_than_asked() -> None:
    rows = np.arange(10)
    for most in range(1, 11):
        for seed in range(4):
            drawn = rows_of_some(ROOT, rows, most, seed)
            assert len(drawn) <= most
            assert all(set(np.flatnonzero(r == ROOT)) <= set(drawn.tolist()) for r in set(ROOT[drawn].tolist()))
    np.testing.assert_array_equal(rows_of_some(ROOT, rows, 5, 1), rows_of_some(ROOT, rows, 5, 1))


def test_an_account_larger_than_the_bound_is_not_drawn_and_costs_no_other_its_place() -> None:
    giant = np.array([7] * 20 + [1, 1, 2, 3])
    for seed in range(5):
        assert set(giant[rows_of_some(giant, np.arange(24), 4, seed)].tolist()) == {1, 2, 3}


def test_fewer_rows_than_the_bound_are_all_kept() -> None:
    np.testing.assert_array_equal(rows_of_some(ROOT, np.array([9, 0, 4]), 3, 1), [9, 0, 4])


def test_rivals_learn_from_rows_that_train_and_from_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset: Any = SimpleNamespace(root=ROOT, train=ROOT != 3, weights=None)
    settings: Any = SimpleNamespace(training=SimpleNamespace(seed=7))
    np.testing.assert_array_equal(rival_rows(dataset, settings), np.arange(8))
    monkeypatch.setattr("training.rivals.MOST_ROWS", 5)
    drawn = rival_rows(dataset, settings)
    assert 0 < len(drawn) <= 5
    assert not set(ROOT[drawn].tolist()) & {3}


def test_the_report_says_how_many_rows_the_rivals_learned_from_only_where_it_is_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset: Any = SimpleNamespace(root=ROOT, train=ROOT != 3, weights=None)
    settings: Any = SimpleNamespace(training=SimpleNamespace(seed=7))
    assert rival_words(dataset, settings) == ()
    monkeypatch.setattr("training.rivals.MOST_ROWS", 5)
    (words,) = rival_words(dataset, settings)
    assert words.startswith(f"The rivals learned from {len(rival_rows(dataset, settings))} of the 8 rows that train")


def test_windows_of_one_lead_never_overlap_however_long_the_horizon() -> None:
    settings: Any = SimpleNamespace(
        targets=SimpleNamespace(served=SimpleNamespace(horizon_days=60)),
        training=SimpleNamespace(snapshot_every_days=60),
    )

    def apart(days: Any) -> float:
        dataset: Any = SimpleNamespace(lead=np.arange(4), days=days, earlier=None)
        return repeats_of(dataset, settings, np.ones(4, dtype=bool)).apart

    # Snapshots stand 60 days apart: windows of 60 days need one between them, those of 150 days four.
    assert apart(None) == apart(np.full(4, 60)) == 2
    assert apart(np.full(4, 150)) == 5
    # One of four asks for 170 days: the windows of most do not touch, and its own do not overlap.
    assert apart(np.array([60, 60, 60, 170])) == 3


def test_rivals_do_not_learn_from_rows_of_whom_nothing_is_known() -> None:
    dataset: Any = SimpleNamespace(root=ROOT, train=ROOT != 3, weights=np.where(ROOT == 1, 0.0, 2.0))
    settings: Any = SimpleNamespace(training=SimpleNamespace(seed=7))
    np.testing.assert_array_equal(rival_rows(dataset, settings), [0, 1, 2, 5, 6, 7])
