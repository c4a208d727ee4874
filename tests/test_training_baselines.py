"""Baselines: naive Bayes by hand, and all of them better than guessing where there is something to learn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from models.calibration import log_loss
from training.evaluation.baselines import LAPLACE, fit_baselines, fit_naive_bayes, fit_points

SPEC = SimpleNamespace(names=("number", "kind"), groups=("fit", "fit"), categorical=(1,), monotone=(0, 0))


def test_naive_bayes_counts_as_odoo_does_by_hand():
    # Kind 1: 3 won of 4; kind 2: 1 won of 6. One number and one segment for all, so they say nothing.
    kind = np.array([1.0] * 4 + [2.0] * 6)
    y = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0])
    spec = SimpleNamespace(**{**vars(SPEC), "names": ("kind",), "categorical": (0,), "groups": ("fit",)})
    predict = fit_naive_bayes(kind[:, None], y, spec, np.zeros(10))
    won = (3 + LAPLACE) / (4 + LAPLACE)
    lost = (1 + LAPLACE) / (6 + LAPLACE)
    log_odds = np.log((4 + LAPLACE) / (6 + LAPLACE)) + np.log(won / lost)
    assert predict(np.array([[1.0]]), np.array([0]))[0] == pytest.approx(1 / (1 + np.exp(-log_odds)))
    # A level never seen, a missing one and an unknown segment leave the share of winners.
    prior = (4 + LAPLACE) / (10 + 2 * LAPLACE)
    assert predict(np.array([[9.0], [np.nan]]), np.array([-1, -1])) == pytest.approx([prior, prior])


def test_points_become_a_probability_that_rises_with_them():
    rng = np.random.default_rng(0)
    points = rng.integers(0, 100, 4000)
    y = (rng.random(4000) < points / 200).astype(float)
    found = fit_points(points, y)(np.array([0, 50, 100]))
    assert (np.diff(found) > 0).all()
    assert found[1] == pytest.approx(0.25, abs=0.05)


def test_every_baseline_beats_the_mean_and_takes_missing_and_unseen_values():
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.normal(size=3000), rng.integers(0, 5, 3000).astype(float)])
    segment = rng.integers(0, 3, 3000)
    y = (X[:, 0] + (X[:, 1] == 2) + (segment == 1) + rng.normal(size=3000) > 1).astype(float)
    X[rng.random(X.shape) < 0.1] = np.nan
    fitted = fit_baselines(X[:2000], y[:2000], SPEC, segment[:2000])
    assert set(fitted) == {"logistic_regression", "naive_bayes", "global_lightgbm", "lightgbm_with_segment"}
    mean = log_loss(y[2000:], np.full(1000, np.log(y[:2000].mean() / (1 - y[:2000].mean())))).mean()
    for predict in fitted.values():
        p = predict(X[2000:], segment[2000:])
        assert log_loss(y[2000:], np.log(p / (1 - p))).mean() < mean - 0.05
        odd = predict(np.array([[np.nan, np.nan], [1e9, 77.0]]), np.array([-1, 2]))
        assert ((odd > 0) & (odd < 1)).all()
