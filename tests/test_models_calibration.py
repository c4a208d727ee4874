"""Calibration lines and bands: properties, and numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bands import BANDS, bands_of, cut_points
from models.calibration import FLOOR, fit_line, probability
from models.intervals import NOTHING_HIDDEN, interval

CUTS = {"cold": 0.0, "warming": 0.05, "warm": 0.15, "hot": 0.35}


def _drawn(rng, z, a, b):
    return (rng.random(len(z)) < probability(a * z + b)).astype(float)


def test_a_line_that_made_the_outcomes_is_found_again():
    rng = np.random.default_rng(0)
    z = rng.normal(size=40_000)
    line = fit_line(z, _drawn(rng, z, 0.7, -1.0))
    assert line.a == pytest.approx(0.7, abs=0.05)
    assert line.b == pytest.approx(-1.0, abs=0.05)


def test_the_mean_prediction_is_the_mean_outcome_without_a_pull():
    # 3 of 12 positive at one log-odds: the calibrated probability there is 0.25, to the pull of almost no rows.
    line = fit_line(np.full(12, -2.0), np.array([1.0] * 3 + [0.0] * 9), prior_rows=1e-9)
    assert probability(np.array([line.a * -2.0 + line.b]))[0] == pytest.approx(0.25, abs=1e-4)


def test_no_rows_keep_the_pooled_line():
    rng = np.random.default_rng(1)
    z = rng.normal(size=3000)
    pooled = fit_line(z, _drawn(rng, z, 0.8, 0.3))
    own = fit_line(np.empty(0), np.empty(0), toward=pooled, prior_rows=500)
    assert (own.a, own.b) == (pooled.a, pooled.b)


def test_few_rows_move_less_than_many():
    rng = np.random.default_rng(2)
    z = rng.normal(size=4000)
    y = _drawn(rng, z, 1.0, 1.5)
    pooled = fit_line(z, _drawn(rng, z, 1.0, 0.0))
    few = fit_line(z[:40], y[:40], toward=pooled, prior_rows=1000)
    many = fit_line(z, y, toward=pooled, prior_rows=1000)
    assert pooled.b - 0.05 < few.b < many.b < 1.6


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 500), st.floats(-3, 3), st.integers(1, 60))
def test_the_slope_is_never_negative_and_a_constant_outcome_stays_finite(seed, shift, rows):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=rows) + shift
    for y in (np.zeros(rows), np.ones(rows), (z < shift).astype(float)):
        line = fit_line(z, y)
        assert line.a > 0
        assert np.isfinite([line.a, line.b, *line.covariance]).all()


@given(st.floats(-1e6, 1e6))
def test_a_probability_is_never_certain(log_odds):
    p = probability(np.array([log_odds]))[0]
    assert FLOOR <= p <= 1 - FLOOR


def test_the_interval_holds_the_middle_and_narrows_with_rows():
    rng = np.random.default_rng(4)
    z = rng.normal(size=20_000)
    y = _drawn(rng, z, 1.0, -1.0)
    widths = []
    for rows in (200, 2000, 20_000):
        line = fit_line(z[:rows], y[:rows])
        lower, upper = interval(line, NOTHING_HIDDEN, np.array([0.0]))
        assert lower[0] < probability(np.array([line.b]))[0] < upper[0]
        widths.append(upper[0] - lower[0])
    assert widths == sorted(widths, reverse=True)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_a_higher_probability_never_has_a_lower_band(probabilities):
    p = np.sort(np.array(probabilities))
    codes = bands_of(p, cut_points(CUTS))
    assert (np.diff(codes.astype(int)) >= 0).all()
    assert codes.min() >= 1


def test_a_cut_point_belongs_to_the_band_above_it():
    codes = bands_of(np.array([0.0, 0.0499, 0.05, 0.15, 0.35, 1.0]), cut_points(CUTS))
    assert [BANDS[code] for code in codes] == ["cold", "cold", "warming", "warm", "hot", "hot"]


@pytest.mark.parametrize("bad", [{**CUTS, "warm": 0.04}, {**CUTS, "cold": 0.01}, {"cold": 0.0, "hot": 0.5}])
def test_cut_points_that_do_not_rise_from_zero_are_refused(bad):
    with pytest.raises(ValueError, match="cut points"):
        cut_points(bad)
