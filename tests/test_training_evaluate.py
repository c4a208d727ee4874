"""Metrics derived by hand, and laws of the paired bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.metrics import auc, calibration_error, compare, difference, gain, measure, reliability


def test_auc_counts_pairs_and_half_of_ties():
    # positives 0.8 and 0.5, negatives 0.5 and 0.2: pairs won 1, 1, 0.5, 1 of 4
    assert auc(np.array([1, 1, 0, 0]), np.array([0.8, 0.5, 0.5, 0.2])) == pytest.approx(3.5 / 4)


def test_auc_without_both_classes_is_not_a_number():
    assert np.isnan(auc(np.array([1, 1]), np.array([0.2, 0.3])))


def test_calibration_error_on_ten_rows_is_the_mean_gap():
    # ten rows in ten bins: gaps |0.05 - 0|, |0.15 - 0| ... by hand
    p = np.arange(10) / 10 + 0.05
    y = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    gaps = [0.05, 0.15, 0.25, 0.35, 0.45, 0.45, 0.35, 0.25, 0.15, 0.05]
    assert calibration_error(y, p) == pytest.approx(sum(gaps) / 10)


def test_twenty_rows_fill_ten_bins_of_two():
    p = np.repeat(np.arange(10) / 10 + 0.05, 2)
    y = np.tile([0, 1], 10)
    predicted, observed, rows = reliability(y, p)
    assert rows.tolist() == [2.0] * 10
    assert observed.tolist() == [0.5] * 10
    assert predicted == pytest.approx(np.arange(10) / 10 + 0.05)


def test_a_constant_at_the_base_rate_is_perfectly_calibrated():
    y = np.array([1, 0, 0, 0] * 5)
    assert calibration_error(y, np.full(20, 0.25)) == pytest.approx(0.0)


def test_lift_and_capture_at_ten_percent():
    # twenty rows, four positives; the two highest hold one positive: lift 0.5 / 0.2, capture 1 / 4
    p = np.linspace(1, 0, 20, endpoint=False)
    y = np.zeros(20)
    y[[0, 5, 6, 7]] = 1
    found = measure(y, p)
    assert found.lift_at_10 == pytest.approx(2.5)
    assert found.capture_at_10 == pytest.approx(0.25)


def test_log_loss_and_brier_by_hand():
    found = measure(np.array([1, 0]), np.array([0.8, 0.4]))
    assert found.log_loss == pytest.approx((-np.log(0.8) - np.log(0.6)) / 2)
    assert found.brier == pytest.approx((0.04 + 0.16) / 2)


def test_gain_starts_at_nothing_and_ends_at_everything():
    contacted, reached = gain(np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.2, 0.8]))
    assert (contacted[0], reached[0]) == (0.0, 0.0)
    assert reached[50] == pytest.approx(1.0)
    assert reached[-1] == pytest.approx(1.0)


def test_measuring_no_rows_gives_no_numbers_and_no_error():
    found = measure(np.empty(0), np.empty(0))
    assert found.rows == 0
    assert np.isnan(found.auc)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.9])), min_size=2, max_size=40), st.randoms())
@settings(deadline=None, max_examples=50)
def test_row_order_never_changes_a_metric(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    first, second = (
        measure(np.array([y for y, _ in part], dtype=float), np.array([p for _, p in part]))
        for part in (rows, shuffled)
    )
    for name in ("auc", "log_loss", "brier", "calibration_error", "lift_at_10", "capture_at_10"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), nan_ok=True)


def _made(rows=3000, seed=3):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.02, 0.9, rows)
    return (rng.uniform(size=rows) < truth).astype(float), truth


def test_a_model_against_itself_differs_by_exactly_nothing():
    y, truth = _made()
    found = difference(y, ("a", truth), ("b", truth))
    assert (found.value, found.low, found.high, found.verdict) == (0.0, 0.0, 0.0, "within noise")


@pytest.mark.parametrize("metric", ["log_loss", "auc"])
def test_the_truth_beats_a_blurred_truth_beyond_noise_and_the_reverse_is_worse(metric):
    y, truth = _made()
    blurred = np.clip(truth + np.random.default_rng(1).normal(0, 0.3, len(y)), 0.02, 0.98)
    assert difference(y, ("truth", truth), ("blurred", blurred), metric=metric).verdict == "better"
    assert difference(y, ("blurred", blurred), ("truth", truth), metric=metric).verdict == "worse"


def test_the_same_seed_gives_the_same_interval():
    y, truth = _made(500)
    first, second = (difference(y, ("a", truth), ("b", truth**1.2), seed=5) for _ in range(2))
    assert first == second


def test_rows_repeated_inside_a_cluster_do_not_narrow_the_interval():
    y, truth = _made(400)
    plain = difference(y, ("a", truth), ("b", truth**1.3), cluster=np.arange(400))
    repeated = difference(
        np.repeat(y, 9),
        ("a", np.repeat(truth, 9)),
        ("b", np.repeat(truth**1.3, 9)),
        cluster=np.repeat(np.arange(400), 9),
    )
    assert repeated.high - repeated.low == pytest.approx(plain.high - plain.low)


def test_the_interval_of_log_loss_matches_the_normal_approximation():
    y, truth = _made(4000)
    found = difference(y, ("a", truth), ("b", truth**1.2), replicates=2000)
    gap = -np.log(np.where(y > 0, truth, 1 - truth)) + np.log(np.where(y > 0, truth**1.2, 1 - truth**1.2))
    half = 1.96 * gap.std() / np.sqrt(len(gap))
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_compare_gives_every_segment_its_own_row_and_rows_add_up():
    y, truth = _made(600)
    segment = np.array(["north", "south"], dtype=object)[np.arange(600) % 2]
    found = compare(y, {"ours": truth, "flat": np.full(600, y.mean())}, ours="ours", segment=segment, replicates=200)
    assert [row.segment_id for row in found.segments] == ["north", "south"]
    assert sum(row.metrics["ours"].rows for row in found.segments) == found.models["ours"].rows == 600
    assert found.best_other == "flat"
    assert found.against("flat").verdict == "better"
    assert found.worse_segments() == ()
    assert found.to_json()["segments"][0]["differences"][0]["theirs"] == "flat"
