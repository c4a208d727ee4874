"""Cut points from probabilities: numbers by hand, and laws."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bands import CUT_BANDS, bands_of, cut_points
from models.thresholds import cut_for_capacity, cut_for_cost, rising

DEFAULT = {"cold": 0.0, "warming": 0.05, "warm": 0.15, "hot": 0.35}
TEN = np.array([0.9, 0.8, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.01])
SHARES = st.floats(1e-6, 1 - 1e-6)
LEADS = st.lists(SHARES | st.sampled_from([0.1, 0.25, 0.5]), min_size=1, max_size=40)


def test_a_capacity_of_three_cuts_midway_between_the_third_and_the_fourth_lead() -> None:
    cut, inside = cut_for_capacity(TEN[::-1], 3)
    assert cut == pytest.approx((0.7 + 0.5) / 2) and inside == 3
    assert (cut >= 0.0) and int((cut <= TEN).sum()) == 3


def test_rows_that_stand_for_several_leads_fill_a_capacity_sooner() -> None:
    # 2 + 2 + 2 = 6 leads fit into 7, the fourth row would make 8.
    assert cut_for_capacity(TEN, 7, np.full(10, 2.0)) == (pytest.approx(0.6), 3)


def test_leads_of_equal_probability_are_in_together_or_out_together() -> None:
    p = np.array([0.9, 0.4, 0.4, 0.4, 0.1])
    assert cut_for_capacity(p, 3) == (pytest.approx(0.65), 1)
    assert cut_for_capacity(p, 4) == (pytest.approx(0.25), 4)


def test_a_capacity_for_all_or_for_nobody_is_still_a_cut_between_nought_and_one() -> None:
    assert cut_for_capacity(TEN, 10) == (pytest.approx(0.005), 10)
    assert cut_for_capacity(TEN, 0.5) == (pytest.approx(0.95), 0)
    assert cut_for_capacity(np.empty(0), 3) == (pytest.approx(0.5), 0)


def test_neighbouring_floats_are_told_apart_and_the_lead_at_the_cut_is_in() -> None:
    low, high = 0.5, float(np.nextafter(0.5, 1.0))
    cut, inside = cut_for_capacity(np.array([high, low]), 1)
    assert inside == 1 and low < cut <= high


@pytest.mark.parametrize("capacity", [0.0, -1.0, float("nan")])
def test_a_capacity_that_is_none_is_refused(capacity: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        cut_for_capacity(TEN, capacity)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.2])
def test_a_probability_that_is_certain_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="strictly between"):
        cut_for_capacity(np.array([0.3, p]), 1)


def test_contacting_pays_from_cost_over_value_on() -> None:
    assert cut_for_cost(value=2000, cost=250) == 0.125
    for value, cost in ((100, 100), (100, 200), (100, 0)):
        with pytest.raises(ValueError, match="cost"):
            cut_for_cost(value, cost)


def test_a_default_that_is_not_below_what_was_chosen_is_lowered_in_proportion() -> None:
    assert rising({}, DEFAULT) == DEFAULT
    assert rising({"hot": 0.6}, DEFAULT) == {**DEFAULT, "hot": 0.6}
    lowered = rising({"hot": 0.07}, DEFAULT)
    # A fifth of 0.35: so are the others.
    assert list(lowered) == list(CUT_BANDS)
    assert [lowered[band] for band in CUT_BANDS] == pytest.approx([0.0, 0.01, 0.03, 0.07])


def test_a_cut_below_hot_alone_or_outside_of_probabilities_is_refused() -> None:
    for chosen in ({"warm": 0.2}, {"hot": 1.0}, {"hot": 0.5, "warm": 0.0}):
        with pytest.raises(ValueError, match="between 0 and 1"):
            rising(chosen, DEFAULT)


@settings(deadline=None, max_examples=80)
@given(LEADS, st.floats(0.01, 60), st.floats(0.01, 60), st.integers(0, 2**31))
def test_more_capacity_never_raises_the_cut_and_is_never_overrun(
    leads: list[float], less: float, more: float, seed: int
) -> None:
    p = np.array(leads)
    weight = np.random.default_rng(seed).uniform(0.1, 3.0, len(p))
    less, more = sorted((less, more))
    (high, few), (low, many) = (cut_for_capacity(p, capacity, weight) for capacity in (less, more))
    assert low <= high and few <= many
    for cut, inside, capacity in ((high, few, less), (low, many, more)):
        assert int((p >= cut).sum()) == inside
        assert weight[p >= cut].sum() <= capacity * (1 + 1e-9)


@settings(deadline=None, max_examples=80)
@given(SHARES, SHARES | st.none(), SHARES | st.none(), LEADS)
def test_bands_rise_strictly_whatever_was_chosen(
    hot: float, warm: float | None, warming: float | None, leads: list[float]
) -> None:
    chosen = {band: cut for band, cut in (("hot", hot), ("warm", warm), ("warming", warming)) if cut is not None}
    found = rising(chosen, DEFAULT)
    assert found["hot"] == hot
    assert all(low < high for low, high in pairwise(found.values()))
    p = np.sort(np.array(leads))
    assert np.all(np.diff(bands_of(p, cut_points(found)).astype(int)) >= 0)
