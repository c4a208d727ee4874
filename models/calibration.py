"""Calibration on the log-odds: `a * z + b` for each segment, shrunk toward the pooled line.

A straight line on the log-odds keeps contributions additive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Probabilities are told apart from certainty by at least this much, whatever the log-odds.
FLOOR = 1e-6
Z_80 = 1.2815515655446004
MAX_STEPS = 60
MIN_SLOPE = 0.05


@dataclass(frozen=True, slots=True)
class Line:
    """One calibration: slope, intercept, their covariance, and the variance of the log-odds it is applied to."""

    a: float
    b: float
    covariance: tuple[float, float, float]
    model_variance: float
    rows: int


def probability(log_odds: Floats) -> Floats:
    """Logistic function, never exactly 0 or 1."""
    # INVARIANT: a probability is at least FLOOR away from certainty.
    return np.clip(1.0 / (1.0 + np.exp(-np.clip(log_odds, -40.0, 40.0))), FLOOR, 1.0 - FLOOR)


def log_loss(y: Floats, log_odds: Floats) -> Floats:
    """Loss of each row."""
    return np.logaddexp(0.0, log_odds) - y * log_odds


def fit_line(
    z: Floats,
    y: Floats,
    weights: Floats | None = None,
    *,
    toward: Line | None = None,
    prior_rows: float = 20.0,
    model_variance: float = 0.0,
) -> Line:
    """Penalised maximum likelihood of (a, b), pulled toward a line as strongly as `prior_rows` typical rows would.

    Without `toward` the pull is toward the identity. The slope stays positive, so that order never turns around.
    """
    weights = np.ones(len(z)) if weights is None else weights
    start = np.array([1.0, 0.0]) if toward is None else np.array([toward.a, toward.b])
    typical = _information(z, start, weights) / max(weights.sum(), 1e-12) if len(z) else np.eye(2) * 0.1
    # A floor keeps the pull proper where all rows have one log-odds.
    prior = prior_rows * (typical + 1e-3 * np.eye(2))
    theta = start.copy()
    for _ in range(MAX_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(theta[0] * z + theta[1], -40, 40)))
        gradient = np.array([(weights * (p - y) * z).sum(), (weights * (p - y)).sum()]) + prior @ (theta - start)
        step = np.linalg.solve(_information(z, theta, weights) + prior, gradient)
        scale = min(1.0, 1.0 / max(float(np.abs(step).max()), 1e-12))
        theta = theta - scale * step
        if float(np.abs(step).max()) < 1e-10:
            break
    if theta[0] < MIN_SLOPE:
        theta = _at_slope(MIN_SLOPE, z, y, weights, prior, start)
    covariance = np.linalg.inv(_information(z, theta, weights) + prior)
    return Line(
        a=float(theta[0]),
        b=float(theta[1]),
        covariance=(float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])),
        model_variance=model_variance,
        rows=len(z),
    )


def _at_slope(slope: float, z: Floats, y: Floats, weights: Floats, prior: Floats, start: Floats) -> Floats:
    """The best intercept at a given slope: the one that went with another slope would answer at another level."""
    theta = np.array(
        [slope, start[1] + (start[0] - slope) * (float(np.average(z, weights=weights)) if len(z) else 0.0)]
    )
    for _ in range(MAX_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(theta[0] * z + theta[1], -40, 40)))
        gradient = (weights * (p - y)).sum() + prior[1] @ (theta - start)
        step = gradient / ((weights * p * (1.0 - p)).sum() + prior[1, 1])
        theta[1] -= max(min(float(step), 1.0), -1.0)
        if abs(step) < 1e-10:
            break
    return theta


def _information(z: Floats, theta: Floats, weights: Floats) -> Floats:
    p = 1.0 / (1.0 + np.exp(-np.clip(theta[0] * z + theta[1], -40, 40)))
    h = weights * p * (1.0 - p)
    return np.array([[(h * z * z).sum(), (h * z).sum()], [(h * z).sum(), h.sum()]])
