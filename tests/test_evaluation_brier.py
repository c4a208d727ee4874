"""The Brier score taken apart by hand and by law, and reliability bins with their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.shares import wilson
from training.evaluation.brier import bins_of, decompose, design_effect, reliability_bins

ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.15, 0.4, 0.4001, 0.9, 1.0])), min_size=1, max_size=60
)


def test_two_bins_by_hand_give_murphys_three_parts_and_the_two_within_bins():
    # Two bins: forecasts 0.1, 0.3 with outcomes 0, 1, and 0.6, 0.8 with 1, 1.
    # Means 0.2 and 0.7, observed 0.5 and 1, base rate 0.75.
    found = decompose(np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.6, 0.8]), bins=2)
    assert found is not None
    assert found.reliability == pytest.approx((0.3**2 + 0.3**2) / 2)
    assert found.resolution == pytest.approx((0.25**2 + 0.25**2) / 2)
    assert found.uncertainty == pytest.approx(0.75 * 0.25)
    assert found.within_variance == pytest.approx(0.1**2)
    # Only the first bin varies in both: (-0.1)(-0.5) and (0.1)(0.5) of four rows, twice.
    assert found.within_covariance == pytest.approx(2 * (0.05 + 0.05) / 4)
    assert found.brier == pytest.approx((0.01 + 0.49 + 0.16 + 0.04) / 4)


@given(ROWS, st.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_the_parts_sum_to_the_brier_score_exactly(rows, bins):
    y, p = np.array([y for y, _ in rows], dtype=float), np.array([p for _, p in rows])
    found = decompose(y, p, bins)
    assert found is not None
    parts = found.reliability - found.resolution + found.uncertainty + found.within_variance - found.within_covariance
    assert parts == pytest.approx(np.square(p - y).mean(), abs=1e-12)


@given(ROWS, st.randoms())
@settings(deadline=None, max_examples=40)
def test_row_order_never_changes_a_bin(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    first, second = (
        reliability_bins(np.array([y for y, _ in part], dtype=float), np.array([p for _, p in part]))
        for part in (rows, shuffled)
    )
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert (one.rows, one.positives) == (other.rows, other.positives)
        assert one.predicted == pytest.approx(other.predicted)


def test_equal_predictions_share_a_bin_and_distinct_ones_fill_ten_alike():
    assert len(set(bins_of(np.full(50, 0.3)).tolist())) == 1
    assert np.bincount(bins_of(np.arange(200) / 200)).tolist() == [20] * 10


def test_saying_the_base_rate_has_no_skill_and_a_certain_truth_has_all():
    y = np.array([1.0, 0, 0, 0] * 25)
    flat, sure = decompose(y, np.full(100, 0.25)), decompose(y, y)
    assert flat is not None
    assert sure is not None
    assert flat.skill == pytest.approx(0.0)
    assert sure.skill == pytest.approx(1.0)


def test_no_rows_have_no_parts():
    assert decompose(np.empty(0), np.empty(0)) is None
    assert reliability_bins(np.empty(0), np.empty(0)) == ()


def test_accounts_whose_leads_are_alike_count_once_in_an_interval():
    # Ten accounts of five leads each with one outcome: worth ten leads, and not fifty.
    y, account = np.repeat([1.0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 5), np.repeat(np.arange(10), 5)
    assert design_effect(y, account) == pytest.approx(5.0)
    found = reliability_bins(y, np.full(50, 0.2), account)[0]
    assert (found.low, found.high) == pytest.approx(wilson(2, 10))
    alone = reliability_bins(y, np.full(50, 0.2))[0]
    assert (alone.low, alone.high) == pytest.approx(wilson(10, 50))
