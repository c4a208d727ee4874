"""Parts of an evaluation that need more than one line: the most ready leads, bands, spread, recalibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bands import BANDS
from models.shares import wilson
from training.evaluation.brier import design_effect
from training.evaluation.evaluation import BandLine, Histogram, TopLine
from training.evaluation.resampling import (
    LEVEL,
    MIN_GROUPS,
    REPLICATES,
    SEED,
    Estimate,
    Ranking,
    bounded,
    draws_of,
    group_of,
)

Floats = NDArray[np.float64]

SHARES = (0.01, 0.05, 0.10, 0.20, 0.30, 0.50)
HISTOGRAM_BINS = 30
MIN_RECALIBRATION = 20


def top_lines(
    y: NDArray[Any],
    predictions: Mapping[str, Floats],
    cluster: NDArray[Any],
    *,
    ours: str,
    shares: Sequence[float] = SHARES,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> tuple[TopLine, ...]:
    """Precision, lift and capture among the most ready share of all leads, with 95 % bootstrap intervals by account."""
    outcome = np.asarray(y, dtype=np.float64)
    group, groups = group_of(len(outcome), cluster)
    sums = np.stack([np.bincount(group, minlength=groups), np.bincount(group, weights=outcome, minlength=groups)], 1)
    first = np.ones((1, groups))
    ranking = Ranking.of(outcome, predictions[ours])
    captures, sizes = [], []
    for weights in (first, *draws_of(groups, bounded(len(outcome), replicates), seed)):
        captures.append(ranking.under(group, weights, shares)[:, 2:])
        sizes.append(weights @ sums)
    capture, size = np.concatenate(captures), np.concatenate(sizes)
    wanted = np.maximum(np.ceil(np.multiply.outer(size[:, 0], np.asarray(shares)) - 1e-9), 1.0)
    precision = capture * size[:, 1:] / wanted
    lift = precision * (size[:, :1] / np.maximum(size[:, 1:], 1.0))
    others = {
        name: Ranking.of(outcome, p).under(group, first, shares)[0, 2:] * size[0, 0] / wanted[0]
        for name, p in predictions.items()
        if name != ours
    }
    keep = slice(1, None) if groups >= MIN_GROUPS else slice(0, 0)
    return tuple(
        TopLine(
            share=share,
            rows=int(wanted[0, j]),
            precision=Estimate.of(float(precision[0, j]), precision[keep, j]),
            lift=Estimate.of(float(lift[0, j]), lift[keep, j]),
            capture=Estimate.of(float(capture[0, j]), capture[keep, j]),
            others={name: float(values[j]) for name, values in others.items()},
        )
        for j, share in enumerate(shares)
    )


def band_lines(
    y: NDArray[Any], probability: Floats, band: NDArray[np.uint8], cluster: NDArray[Any]
) -> tuple[BandLine, ...]:
    """What came of the leads of each band, coldest first, with Wilson's interval over as many rows as are independent.

    A lead whose band is unknown is there too, last: how those fared whom the model would not judge.
    """
    outcome = np.asarray(y, dtype=np.float64)
    group, _ = group_of(len(outcome), cluster)
    found = []
    for code in [*range(1, len(BANDS)), 0]:
        here = np.flatnonzero(band == code)
        if not len(here):
            continue
        rows, positives = len(here), int(outcome[here].sum())
        worth = rows / design_effect(outcome[here], group[here])
        low, high = wilson(positives / rows * worth, worth)
        predicted = float(probability[here].mean())
        found.append(BandLine(BANDS[code], rows, positives, predicted, positives / rows, low, high))
    return tuple(found)


def histogram(y: NDArray[Any], probability: Floats, bins: int = HISTOGRAM_BINS) -> Histogram:
    """Probabilities of leads with and without the outcome, over equal steps up to the highest one."""
    edges = np.linspace(0.0, float(probability.max()) if len(probability) else 1.0, bins + 1)
    reached = np.asarray(y) > 0
    counts = [np.histogram(probability[part], bins=edges)[0].tolist() for part in (reached, ~reached)]
    return Histogram(tuple(edges.tolist()), tuple(counts[0]), tuple(counts[1]))


def recalibration(y: NDArray[Any], probability: Floats, cluster: NDArray[Any]) -> tuple[Estimate, Estimate]:
    """Intercept and slope of the outcome on the predicted log-odds, 0 and 1 where calibrated (Cox 1958).

    Intervals allow for accounts (Liang and Zeger 1986). A slope under 1 is a model that is too bold. Without values
    where predictions do not vary, too few outcomes are there, or predictions part them without a mistake: then any
    larger slope fits as well.
    """
    outcome = np.asarray(y, dtype=np.float64)
    group, groups = group_of(len(outcome), cluster)
    rarer = min(outcome.sum(), len(outcome) - outcome.sum())
    if rarer < MIN_RECALIBRATION or groups < MIN_GROUPS or np.ptp(probability) < 1e-9:
        return Estimate(None), Estimate(None)
    if probability[outcome > 0].min() > probability[outcome <= 0].max():
        return Estimate(None), Estimate(None)
    # Import here: statsmodels takes a second that nobody should wait for who does not evaluate.
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    z = np.log(probability) - np.log1p(-probability)
    model = GLM(outcome, np.stack([np.ones(len(z)), z], axis=1), family=Binomial())
    fitted = model.fit(cov_type="cluster", cov_kwds={"groups": group})
    between = fitted.conf_int(1 - LEVEL)
    one, two = (Estimate(float(v), float(b[0]), float(b[1])) for v, b in zip(fitted.params, between, strict=True))
    return one, two
