"""Following the level of the outcome: what stays is followed, what was odd is not, and no row answers for itself."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import fit_line
from training.drift.level import Level
from training.drift.recalibration import believed, blocks_in_time, followed, mean_shift


def _rows(rates: list[float], size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-odds of a model that says 10 % to everybody, outcomes at these rates a block, and their order."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([(rng.random(size) < rate).astype(float) for rate in rates])
    return np.full(len(y), np.log(0.1 / 0.9)), y, np.arange(len(y), dtype=float)


def test_a_level_that_rises_and_stays_is_followed_and_the_gain_is_beyond_noise() -> None:
    z, y, order = _rows([0.1] * 8 + [0.4] * 8, 150)
    found = followed(z, y, order)
    assert found.helps
    assert found.log_loss.high < 0
    assert found.calibration_errors[1] < found.calibration_errors[0]
    assert found.after[-100:].mean() == pytest.approx(0.4, abs=0.12)


def test_where_nothing_moves_following_costs_next_to_nothing() -> None:
    z, y, order = _rows([0.1] * 16, 150)
    assert followed(z, y, order).log_loss.value < 0.004


def test_the_outcome_of_a_row_and_of_later_rows_changes_no_answer() -> None:
    z, y, order = _rows([0.1] * 6 + [0.5] * 6, 100)
    other = y.copy()
    blocks = blocks_in_time(order, 30)
    last = blocks[20]
    other[last[0] :] = 1.0 - other[last[0] :]
    same = followed(z, y, order, rate=0.1).after[: last[-1] + 1]
    assert np.array_equal(same, followed(z, other, order, rate=0.1).after[: last[-1] + 1])


def test_one_odd_block_moves_the_level_less_than_the_same_block_again_and_again() -> None:
    z, odd = np.full(60, -2.0), np.r_[np.ones(30), np.zeros(30)]
    calm = [np.r_[np.ones(7), np.zeros(53)]] * 8
    once, often = Level(), Level()
    for y in [*calm, odd]:
        once.observe(z, y)
    for y in [*calm, *[odd] * 5]:
        often.observe(z, y)
    assert 0.0 < once.shift < often.shift < 2.2
    assert once.weights.sum() == pytest.approx(1.0)
    assert once.variance > 0


def test_the_mean_shift_brings_the_mean_prediction_to_the_outcome_but_for_the_pull() -> None:
    z, y = np.full(4000, 0.0), np.r_[np.ones(3000), np.zeros(1000)]
    y = y[np.random.default_rng(0).permutation(4000)]
    shift, variance = mean_shift(z, y, np.array_split(np.arange(4000), 20), 1e-9)
    assert shift == pytest.approx(np.log(3.0), abs=1e-6)
    assert variance == pytest.approx(1.0 / (4000 * 0.75 * 0.25), rel=0.7)
    pulled, _ = mean_shift(z, y, np.array_split(np.arange(4000), 20), 4000.0)
    assert 0.3 < pulled < 0.8


def test_blocks_that_differ_by_more_than_chance_say_less() -> None:
    z = np.zeros(2000)
    even = np.tile([1.0, 0.0, 1.0, 1.0], 500)
    burst = np.sort(even)
    blocks = np.array_split(np.arange(2000), 20)
    calm, wild = mean_shift(z, even, blocks, 50.0), mean_shift(z, burst, blocks, 50.0)
    assert wild[1] > 10 * calm[1]
    assert wild[0] < calm[0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=80), st.integers(1, 30))
def test_blocks_hold_every_row_once_in_time_and_never_part_an_instant(order: list[int], rows: int) -> None:
    given_order = np.array(order, dtype=float)
    blocks = blocks_in_time(given_order, rows)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(len(order)))
    for earlier, later in pairwise(blocks):
        assert given_order[earlier].max() < given_order[later].min()


def test_a_slope_at_its_bound_takes_the_level_that_belongs_to_it() -> None:
    # Rows of higher log-odds have the outcome less often: the slope wants to be negative and is held at its bound.
    rng = np.random.default_rng(3)
    z = rng.normal(-3.0, 0.3, 4000)
    y = (rng.random(4000) < 1.0 / (1.0 + np.exp(3.0 + 3.0 * (z + 3.0)))).astype(float)
    line = fit_line(z, y, prior_rows=5.0)
    said = 1.0 / (1.0 + np.exp(-(line.a * z + line.b)))
    assert line.a == pytest.approx(0.05)
    assert said.mean() == pytest.approx(y.mean(), rel=0.05)


def test_a_shift_within_its_own_uncertainty_is_no_shift_and_a_sure_one_is_kept() -> None:
    assert believed(0.2, 0.25) == 0.0
    assert believed(0.0, 0.1) == 0.0
    # 1 - 0.01 / 0.25 of it by hand.
    assert believed(-0.5, 0.01) == pytest.approx(-0.48)


@settings(max_examples=40, deadline=None)
@given(st.floats(-5, 5), st.floats(1e-6, 4))
def test_what_is_believed_of_a_shift_never_exceeds_it_nor_turns_around(shift: float, variance: float) -> None:
    found = believed(shift, variance)
    assert abs(found) <= abs(shift)
    assert found * shift >= 0
