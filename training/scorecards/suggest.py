"""Points that the data would suggest, beside those that people wrote; a person accepts them or does not.

The scorecard is a logistic regression whose coefficients are whole points. What data say is pulled toward the points
at hand: the fit penalises the distance from them, so that a rule which fired for nobody keeps its points. A change is
suggested only where an interval over resampled accounts leaves today's points out, and all suggestions together are
judged on later rows of other accounts, which no fit has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from configs.points import PointRule, ScorecardSettings
from models.calibration import fit_line, log_loss
from models.scorecard import Scorecard
from training.dataset.dataset import Dataset
from training.evaluation.baselines import fit_points
from training.evaluation.metrics import Difference, Metrics, difference, measure

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 60
# How many typical rows the points at hand are worth, to choose from on the later part of the training rows.
PRIOR_ROWS = (30.0, 100.0, 300.0, 1000.0, 3000.0)
INNER_LATER = 0.25
MIN_FIRED = 20
LOW, HIGH = 0.025, 0.975
LARGEST = 100


@dataclass(frozen=True, slots=True)
class RuleRows:
    """Which rules fired on rows to learn from, `given` (n, rules), and what share decay leaves of each row's points."""

    given: NDArray[np.bool_]
    kept: Floats
    y: Floats
    order: Floats
    root: Ints
    segment: Ints

    def rows(self, chosen: NDArray[np.bool_]) -> RuleRows:
        """Some of the rows."""
        return RuleRows(
            self.given[chosen],
            self.kept[chosen],
            self.y[chosen],
            self.order[chosen],
            self.root[chosen],
            self.segment[chosen],
        )


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What data say of one rule: points at hand, points suggested, and their interval over resampled accounts.

    `verdict` is keep, raise or lower; `fired` is the number of training rows on which the rule fired.
    """

    rule: PointRule
    suggested: int
    low: float
    high: float
    fired: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Suggested:
    """Every rule's suggestion, the scorecard they make, and both scorecards on later rows of other accounts."""

    rules: tuple[Suggestion, ...]
    settings: ScorecardSettings
    prior_rows: float
    now: Metrics
    then: Metrics
    gap: Difference


def suggest(card: Scorecard, train: RuleRows, judge: RuleRows, *, seed: int = 7) -> Suggested:
    """Suggest points from the rows that train; how they do is judged on the others.

    Worth by segment and caps stay as they are: they are policy, not estimates.
    """
    rng = np.random.default_rng(seed)
    roots, place = np.unique(train.root, return_inverse=True)
    draws = []
    # Products of thirty columns are too small to share between threads: waiting would cost more than it saves.
    with threadpool_limits(limits=1):
        prior_rows = _chosen_prior(card, train)
        found = _fitted(card, train, prior_rows)
        for _ in range(RESAMPLES):
            drawn = np.bincount(rng.integers(0, len(roots), len(roots)), minlength=len(roots))
            draws.append(_fitted(card, train, prior_rows, drawn[place].astype(np.float64)))
    low, high = np.quantile(np.array(draws), [LOW, HIGH], axis=0)
    rules = (*card.settings.fit, *card.settings.engagement)
    fired = train.given.sum(axis=0)
    listed = tuple(_said(rule, found[i], float(low[i]), float(high[i]), int(fired[i])) for i, rule in enumerate(rules))
    settings = _with_points(card.settings, listed)
    then = _totals(card, judge, np.array([one.suggested for one in listed]))
    before = _totals(card, train, np.array([one.suggested for one in listed]))
    now = np.array([rule.points for rule in rules])
    predictions = {
        "now": fit_points(_totals(card, train, now), train.y)(_totals(card, judge, now)),
        "then": fit_points(before, train.y)(then),
    }
    return Suggested(
        rules=listed,
        settings=settings,
        prior_rows=prior_rows,
        now=measure(judge.y, predictions["now"]),
        then=measure(judge.y, predictions["then"]),
        gap=difference(
            judge.y, ("suggested", predictions["then"]), ("at hand", predictions["now"]), cluster=judge.root, seed=seed
        ),
    )


def rows_of(dataset: Dataset, chosen: NDArray[np.bool_]) -> RuleRows:
    """What the scorecard said of some rows of a dataset."""
    kept = dataset.kept_percent / 100.0
    rows = RuleRows(dataset.given, kept, dataset.y, dataset.order, dataset.root, dataset.segment)
    return rows.rows(chosen)


def _said(rule: PointRule, value: float, low: float, high: float, fired: int) -> Suggestion:
    points = int(np.clip(round(value), -LARGEST, LARGEST))
    # A signal that people hold to be good never becomes a bad one by an estimate: nothing is the least it is worth.
    points = max(points, 0) if rule.points > 0 else min(points, 0)
    told = fired >= MIN_FIRED and not low <= rule.points <= high and points != rule.points
    verdict = "keep" if not told else "raise" if points > rule.points else "lower"
    return Suggestion(rule, points if told else rule.points, low, high, fired, verdict)


def _with_points(settings: ScorecardSettings, listed: Sequence[Suggestion]) -> ScorecardSettings:
    by_id = {one.rule.id: one.suggested for one in listed}
    parts = {
        part: tuple(rule.model_copy(update={"points": by_id[rule.id]}) for rule in getattr(settings, part))
        for part in ("fit", "engagement")
    }
    return settings.model_copy(update=parts)


def _totals(card: Scorecard, rows: RuleRows, points: Ints) -> Ints:
    """Fit and engagement points together, with caps and decay, as the scorecard counts them; points by segment hold."""
    worth = np.tile(points, (len(card.worth), 1))
    at_hand = np.array([rule.points for rule in (*card.settings.fit, *card.settings.engagement)])
    worth = np.where(card.worth != at_hand, card.worth, worth)
    by_group = np.minimum((rows.given * worth[rows.segment]) @ card.in_group, card.caps)
    fit = np.maximum(by_group[:, : card.fit_groups].sum(axis=1), 0)
    engagement = np.maximum(by_group[:, card.fit_groups :].sum(axis=1), 0) * rows.kept
    found: Ints = (fit + np.floor(engagement)).astype(np.int64)
    return found


def _design(card: Scorecard, rows: RuleRows) -> Floats:
    """What each rule brings a row: 1 where it fired for fit, for engagement the share that decay leaves."""
    split = len(card.settings.fit)
    shares = rows.given.astype(np.float64)
    shares[:, split:] *= rows.kept[:, None]
    return shares


def _fitted(card: Scorecard, rows: RuleRows, prior_rows: float, weights: Floats | None = None) -> Floats:
    """The points of every rule that fit the rows best under the pull toward today's."""
    design = _design(card, rows)
    at_hand = np.array([rule.points for rule in (*card.settings.fit, *card.settings.engagement)], dtype=np.float64)
    w = np.ones(len(rows.y)) if weights is None else weights
    total = design @ at_hand
    middle, spread = float(total.mean()), float(total.std()) or 1.0
    line = fit_line((total - middle) / spread, rows.y, w, prior_rows=1.0)
    start = line.a * (total - middle) / spread + line.b
    # What one typical row tells of a coefficient.
    p = expit(start)
    strength = prior_rows * float(np.average(p * (1.0 - p), weights=w)) / 4.0
    wide = np.column_stack([np.ones(len(design)), design])
    pull = np.r_[0.0, np.full(design.shape[1], strength)]

    def loss(theta: Floats) -> tuple[float, Floats]:
        z = start + wide @ theta
        value = float((w * log_loss(rows.y, z)).sum() + 0.5 * (pull * theta**2).sum())
        return value, wide.T @ (w * (expit(z) - rows.y)) + pull * theta

    def curvature(theta: Floats) -> Floats:
        p = expit(start + wide @ theta)
        found: Floats = wide.T @ (wide * (w * p * (1.0 - p))[:, None]) + np.diag(pull + 1e-9)
        return found

    found = minimize(loss, np.zeros(wide.shape[1]), jac=True, hess=curvature, method="trust-exact")
    fitted: Floats = at_hand + found.x[1:] * spread / line.a
    return fitted


def _chosen_prior(card: Scorecard, train: RuleRows) -> float:
    """How strongly to pull toward today's points: what does best on the later part of the rows that train."""
    later = train.order >= np.quantile(train.order, 1.0 - INNER_LATER, method="higher")
    # An account on both sides would be recognised.
    judging = np.unique(train.root[later])[::2]
    held = later & np.isin(train.root, judging)
    learn = train.rows(~later & ~np.isin(train.root, judging))
    if min(learn.y.sum(), (1 - learn.y).sum(), train.y[held].sum()) < MIN_FIRED:
        return PRIOR_ROWS[-1]
    judged = train.rows(held)
    losses = []
    for prior_rows in PRIOR_ROWS:
        points = np.rint(_fitted(card, learn, prior_rows)).astype(np.int64)
        predict = fit_points(_totals(card, learn, points), learn.y)
        losses.append(measure(judged.y, predict(_totals(card, judged, points))).log_loss)
    return PRIOR_ROWS[int(np.argmin(losses))]
