"""What is told from noise: the declared rate without drift, drift that is found, limits that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.drift.drift import stability_index
from training.monitoring.noise import Panel, critical, differences, index_limits, indices

FLIPS = 199


def nights(rng: np.random.Generator, groups: int, things: int, shift: float = 0.0) -> Panel:
    """Two nights of 12 leads a group: of each 10 % change sides between the nights, and `shift` more gain the thing."""
    before = rng.random((groups, 12, things)) < rng.random((groups, 1, things))
    flipped = rng.random(before.shape) < 0.1
    after = np.where(flipped, rng.random(before.shape) < before.mean(axis=1, keepdims=True), before)
    after |= rng.random(before.shape) < shift
    of = np.full(groups, 12.0)
    return Panel((of, of), (before.sum(axis=1).astype(float), after.sum(axis=1).astype(float)))


def test_without_drift_a_comparison_calls_anything_beyond_noise_at_the_declared_rate() -> None:
    rng = np.random.default_rng(11)
    found = 0
    for _ in range(1500):
        before = nights(rng, 40, 8)
        # Old and new exchanged by a coin in each group: no drift, whatever the groups did.
        coin = rng.random(40) < 0.5
        swapped = tuple(np.where(coin[:, None], before.hits[at], before.hits[1 - at]) for at in (0, 1))
        panel = Panel(before.of, (swapped[0], swapped[1]))
        found += bool(differences([panel], flips=FLIPS, level=0.05)[0].beyond.any())
    # 5 % of 1,500 are 75; a binomial of that is from 48 to 102 in 99.9 of 100 cases: 75 -/+ 3.3 * sqrt(75 * .95).
    assert 48 <= found <= 102


def test_a_shift_of_three_points_in_one_thing_of_twenty_is_found_and_inside_its_limits() -> None:
    rng = np.random.default_rng(3)
    still, moved = nights(rng, 200, 19), nights(rng, 200, 1, shift=0.06)
    quiet, loud = differences([still, moved], flips=FLIPS, level=0.05)
    assert not quiet.beyond.any() and loud.beyond.all()
    assert loud.low[0] > 0 and loud.low[0] < loud.value[0] < loud.high[0]


def test_the_difference_is_that_of_the_shares_by_hand() -> None:
    # 100 leads in 4 groups: 10 of 100 had it, later 16 of 120: 10 % and 13.33 %, 3.33 points more.
    panel = Panel(
        (np.full(4, 25.0), np.full(4, 30.0)),
        (np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([[2.0], [4.0], [5.0], [5.0]])),
    )
    found = differences([panel], flips=FLIPS, level=0.05)[0]
    assert found.value[0] == pytest.approx(16 / 120 - 10 / 100)


def test_a_night_of_which_every_lead_is_there_twice_is_told_the_same() -> None:
    once = nights(np.random.default_rng(5), 50, 3, shift=0.02)
    twice = Panel((once.of[0], 2 * once.of[1]), (once.hits[0], 2 * once.hits[1]))
    one, two = (differences([panel], flips=FLIPS, level=0.05)[0] for panel in (once, twice))
    for name in ("value", "low", "high"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), abs=1e-6)


def test_what_three_groups_did_is_never_beyond_noise_and_what_all_did_is() -> None:
    of = np.full(100, 10.0)
    few, all_ = np.zeros((100, 1)), np.ones((100, 1))
    few[:3] = 9.0
    nothing = np.zeros((100, 1))
    one, two = differences([Panel((of, of), (nothing, few)), Panel((of, of), (nothing, all_))], flips=FLIPS, level=0.05)
    # A standardized sum of three signs is at most sqrt(3) = 1.73; among two things chance exceeds 1.96 in 5 of 100.
    assert not one.beyond[0] and two.beyond[0]


def test_equal_nights_have_no_difference_and_limits_of_zero() -> None:
    panel = Panel((np.full(5, 4.0),) * 2, (np.full((5, 2), 2.0),) * 2)
    found = differences([panel], flips=FLIPS, level=0.05)[0]
    assert found.value.tolist() == found.low.tolist() == found.high.tolist() == [0.0, 0.0]
    assert not found.beyond.any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(12, 80), st.floats(0, 0.4))
def test_limits_leave_out_zero_exactly_where_a_thing_is_beyond_noise(seed: int, groups: int, shift: float) -> None:
    panel = nights(np.random.default_rng(seed), groups, 4, shift)
    found = differences([panel], flips=FLIPS, level=0.05)[0]
    outside = (found.low > 1e-12) | (found.high < -1e-12)
    assert (found.low <= found.value).all() and (found.value <= found.high).all()
    assert outside.tolist() == found.beyond.tolist()


def test_the_level_of_noise_is_the_value_that_so_many_exchanges_exceed() -> None:
    # Of 199 exchanges and the night itself 5 % are 10: nine exchanges may be larger, so the tenth largest is the last.
    assert critical(np.arange(1.0, 200.0), 0.05) == 190.0


def test_the_index_is_that_of_the_training_drift_and_lies_above_chance_where_a_level_doubled() -> None:
    earlier, later = np.tile([8.0, 2.0], (50, 1)), np.tile([6.0, 4.0], (50, 1))
    value = indices((earlier.sum(axis=0), later.sum(axis=0)))
    assert value == pytest.approx(stability_index(earlier.sum(axis=0), later.sum(axis=0)))
    # 400 and 100, then 300 and 200: (0.6 - 0.8) ln(0.6 / 0.8) + (0.4 - 0.2) ln(0.4 / 0.2) = 0.0575 + 0.1386.
    assert value == pytest.approx(0.1962, abs=2e-3)
    [(low, high, noise)] = index_limits([(earlier, later)], flips=FLIPS, level=0.05)
    assert noise < low <= value <= high
