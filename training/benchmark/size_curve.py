"""How good readiness is in a segment of any size: one segment of the sample world cut to n leads, the rest as it is.

Four models learn from the same rows and are judged on the same later ones: pooled over all leads, pooled with the
segment as a feature, a separate model on the segment's rows alone, and ours. Whole accounts are drawn, and the leads
of a smaller size are among those of a larger one. What judges is the latest snapshot of accounts that never train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.training_settings import TrainingSettings
from models.boosting import MIN_OF_EACH_CLASS
from models.calibration import log_loss
from models.readiness import fit_beside
from models.scores import Readiness, Spec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SIZES = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
OURS, POOLED, WITH_SEGMENT, SEPARATE = "leadwell", "pooled", "pooled_with_segment", "separate"
MODELS = (OURS, POOLED, WITH_SEGMENT, SEPARATE)
REPLICATES = 1000

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Material:
    """Rows of one or several worlds under one specification; `rest` are those that always train beside a segment.

    Every array has one entry a row, `X` has the shape (rows, columns). No account is in both `train` and `judge`.
    """

    X: NDArray[Any]
    y: Floats
    lead: Ints
    order: Floats
    fold: Ints
    root: Ints
    segment: Ints
    train: Bools
    judge: Bools
    rest: Bools
    spec: Spec
    segment_ids: tuple[str, ...]

    def leads_in(self, segment: int) -> int:
        """How many leads of a segment can train."""
        return len(np.unique(self.lead[self.train & (self.segment == segment)]))


@dataclass(frozen=True, slots=True)
class Run:
    """Loss of each judging row under each model, from one draw of `leads` leads of one segment."""

    segment_id: str
    size: int
    leads: int
    rows: int
    positives: int
    root: Ints
    losses: Mapping[str, Floats]
    own_weight: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Ours minus another model's mean log-loss, below zero is better, with a 95 % paired bootstrap interval."""

    model: str
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `within noise` where the interval holds zero."""
        if self.low <= 0.0 <= self.high:
            return "within noise"
        return "better" if self.value < 0 else "worse"


@dataclass(frozen=True, slots=True)
class Point:
    """One size: the mean log-loss of every model over segments and draws, and ours against each."""

    size: int
    runs: int
    judged_rows: int
    loss: Mapping[str, float]
    gaps: tuple[Gap, ...]

    @property
    def best(self) -> str:
        """The model of lowest log-loss."""
        return min(self.loss, key=lambda model: self.loss[model])

    @property
    def holds(self) -> bool:
        """Whether ours is the best or within noise of the best."""
        return self.best == OURS or next(gap for gap in self.gaps if gap.model == self.best).verdict != "worse"


def measure_sizes(
    material: Material,
    settings: TrainingSettings,
    segments: Sequence[str],
    *,
    sizes: Sequence[int] = SIZES,
    draws: int = 2,
    seed: int = 7,
    progress: Progress | None = None,
) -> list[Run]:
    """A run for each segment, draw and size that the segment has leads enough for; from 5,000 leads on one draw."""
    tell = progress or _silent
    planned = [
        (segment_id, draw, size)
        for segment_id in segments
        for size in sizes
        if size <= material.leads_in(material.segment_ids.index(segment_id))
        for draw in range(draws if size < 5_000 else 1)
    ]
    runs = []
    for number, (segment_id, draw, size) in enumerate(planned):
        tell(f"{segment_id}, {size:,} leads", number / len(planned))
        runs.append(run_once(material, settings, segment_id, size, seed=seed + draw))
    return runs


def run_once(material: Material, settings: TrainingSettings, segment_id: str, size: int, *, seed: int) -> Run:
    """Fit the four models with `size` leads of a segment and take their losses on its judging rows."""
    index = material.segment_ids.index(segment_id)
    inside = np.flatnonzero(material.train & (material.segment == index))
    chosen = inside[_of_leads(material.root[inside], material.lead[inside], size, seed)]
    rest = np.flatnonzero(material.train & material.rest & (material.segment != index))
    rows = np.sort(np.concatenate([chosen, rest]))
    judge = np.flatnonzero(material.judge & (material.segment == index))
    X, y = material.X[judge].astype(np.float64), material.y[judge]
    nobody = np.zeros(len(judge), dtype=np.int64)
    fitted = _fit(material, settings, rows, material.segment[rows], material.segment_ids)
    pooled = _fit(material, settings, rows, np.zeros(len(rows), dtype=np.int64), ("everybody",), own=False)
    odds = {
        OURS: fitted.readiness.predict(X, material.segment[judge]).log_odds,
        POOLED: pooled.shared.predict(X, nobody).log_odds,
        WITH_SEGMENT: fitted.shared.predict(X, material.segment[judge]).log_odds,
        SEPARATE: _separate(material, settings, chosen, X),
    }
    record = next(found for found in fitted.readiness.records if found.segment_id == segment_id)
    return Run(
        segment_id=segment_id,
        size=size,
        leads=len(np.unique(material.lead[chosen])),
        rows=len(chosen),
        positives=int(material.y[chosen].sum()),
        root=material.root[judge],
        losses={name: log_loss(y, z) for name, z in odds.items()},
        own_weight=record.weight,
    )


def points_of(runs: Sequence[Run], *, seed: int = 7) -> list[Point]:
    """The curve: for each size every model's loss, and ours against each with its noise.

    A resample draws judging accounts within each segment and, where there are several, the draws of training leads;
    segments weigh alike.
    """
    found = []
    for size in sorted({run.size for run in runs}):
        at = [run for run in runs if run.size == size]
        groups = [[run for run in at if run.segment_id == name] for name in dict.fromkeys(run.segment_id for run in at)]
        loss = {m: _mean_loss(groups, m) for m in MODELS}
        resampled = _resampled(groups, np.random.default_rng(seed))
        gaps = []
        for column, model in enumerate(MODELS[1:]):
            low, high = np.quantile(resampled[:, column], [0.025, 0.975])
            gaps.append(Gap(model, loss[OURS] - loss[model], float(low), float(high)))
        judged = sum(len(group[0].root) for group in groups)
        found.append(Point(size, len(at), judged, loss, tuple(gaps)))
    return found


def _mean_loss(groups: Sequence[Sequence[Run]], model: str) -> float:
    """Over the draws of each segment, then over segments, which weigh alike."""
    return float(np.mean([np.mean([run.losses[model].mean() for run in group]) for group in groups]))


def _resampled(groups: Sequence[Sequence[Run]], rng: np.random.Generator) -> Floats:
    """Mean differences under resamples of draws and judging accounts; shape (resamples, other models)."""
    found = np.zeros((REPLICATES, len(MODELS) - 1))
    for group in groups:
        names, of_row = np.unique(group[0].root, return_inverse=True)
        count = np.bincount(of_row, minlength=len(names)).astype(np.float64)
        # (draws, accounts, models): what each account adds to each difference.
        sums = np.array(
            [[np.bincount(of_row, run.losses[OURS] - run.losses[m], len(names)) for m in MODELS[1:]] for run in group]
        ).transpose(0, 2, 1)
        for replicate in range(REPLICATES):
            draws = rng.integers(0, len(group), len(group))
            times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names)).astype(np.float64)
            found[replicate] += (times @ sums[draws].mean(axis=0)) / (times @ count)
    return found / len(groups)


def _of_leads(root: Ints, lead: Ints, size: int, seed: int) -> Ints:
    """Rows of whole accounts in a random order until there are `size` leads."""
    names, of_row = np.unique(root, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))[of_row]
    order = np.argsort(place, kind="stable")
    first = np.zeros(len(lead), dtype=np.int64)
    first[np.unique(lead[order], return_index=True)[1]] = 1
    enough = np.searchsorted(np.cumsum(first), size)
    last = place[order[min(int(enough), len(order) - 1)]]
    found: Ints = order[place[order] <= last].astype(np.int64)
    return found


def _fit(
    material: Material,
    settings: TrainingSettings,
    rows: Ints,
    segment: Ints,
    segment_ids: Sequence[str],
    *,
    own: bool = True,
) -> Any:
    chosen = settings if own else settings.model_copy(update={"segment_min_rows": len(rows) + 1})
    return fit_beside(
        material.X[rows].astype(np.float64),
        material.y[rows],
        segment,
        material.fold[rows],
        material.order[rows],
        material.spec,
        chosen,
        segment_ids=segment_ids,
    )


def _separate(material: Material, settings: TrainingSettings, rows: Ints, X: Floats) -> Floats:
    """Log-odds of a model that knows this segment alone; its rate where there is too little to fit anything."""
    y = material.y[rows]
    if min(y.sum(), (1 - y).sum()) < MIN_OF_EACH_CLASS:
        rate = (y.sum() + 0.5) / (len(y) + 1.0)
        return np.full(len(X), float(np.log(rate / (1.0 - rate))))
    alone = np.zeros(len(rows), dtype=np.int64)
    fitted: Readiness = _fit(material, settings, np.sort(rows), alone, ("alone",), own=False).shared
    found: Floats = fitted.predict(X, np.zeros(len(X), dtype=np.int64)).log_odds
    return found


def _silent(what: str, share: float) -> None:
    return None
