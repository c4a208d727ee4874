"""What only a fitted model shows: that all columns together tell too much, or that rows that judge have copies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.scores import Readiness
from training.dataset.dataset import Dataset
from training.leakage.findings import FAILS, WARNS, Leak
from training.leakage.splits import copies
from training.leakage.telling import Floats, Judging, Told, loss_of, named

LOOKED = ("JOINTLY_TOO_GOOD", "COPIES_ON_BOTH_SIDES")
# The best honest model on any of the real sets tells 46 % of the outcome; a perfect one would tell all of it.
JOINT_FAILS, JOINT_WARNS = 0.75, 0.6
DRIVER_ROWS = 2_000


def fitted_leaks(dataset: Dataset, judged: Readiness) -> list[Leak]:
    """What a model fitted on the rows that train shows on the later ones; `judged` has seen none of those."""
    probability = judged.predict(dataset.X[dataset.judge], dataset.segment[dataset.judge]).probability
    return list(_too_good(dataset, judged, probability)) + copies(dataset, probability)


def _too_good(dataset: Dataset, judged: Readiness, probability: Floats) -> Iterator[Leak]:
    told = _told(dataset, dataset.judge, probability)
    if told.low < JOINT_WARNS:
        return
    rows = np.flatnonzero(dataset.judge)
    rows = rows[:: max(1, len(rows) // DRIVER_ROWS)]
    weight = np.abs(judged.predict(dataset.X[rows], dataset.segment[rows]).contributions).mean(axis=0)
    names = {f.name: f.field if f.source == "attribute" else f.name for f in dataset.spec.features}
    top = [names.get(judged.names[at], judged.names[at]) for at in np.argsort(-weight, kind="stable")[:3]]
    evidence = (
        f"on later rows of other accounts the model tells {told.share:.0%} of the outcome (at least {told.low:.0%}); "
        f"most of it comes from {named(top)}"
    )
    do = "ask of each of these when it is written; two harmless columns can give the outcome away together"
    level = FAILS if told.low >= JOINT_FAILS else WARNS
    yield Leak("JOINTLY_TOO_GOOD", level, "features", top[0], evidence, do, {"told": told.share, "error": told.error})


def _told(dataset: Dataset, rows: np.ndarray, probability: Floats) -> Told:
    y = dataset.y[rows]
    one = np.zeros(len(y), dtype=np.int64)
    # The loss without any column is that of these rows' own rate: a moved base rate is no merit of the model.
    judging = Judging.of(y, one, dataset.root[rows])
    rate = np.full(len(y), (y.sum() + 0.5) / (len(y) + 1.0))
    held = Judging(y, judging.part, judging.parts, judging.cluster, rate, loss_of(rate, y))
    return held.share_of(held.loss - loss_of(np.clip(probability, 1e-9, 1 - 1e-9), y))
