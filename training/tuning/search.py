"""The trials of a tuning: which shapes are tried, what each is worth on later rows, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.training_settings import Boosting, TrainingSettings
from models.boosting import CrossFit, Rows, Watch, cross_fit
from models.calibration import log_loss

Floats = NDArray[np.float64]
Clock = Callable[[], float]
Progress = Callable[[str, float], None]

POOLED_SHARE = 0.6
START_TRIALS = 10
# A person reads and adopts these; more digits than this say nothing.
DIGITS = 4


class TimeUp(Exception):
    """The budget is spent; raised from inside a fit."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One shape that was tried: which part it is for, its later log-loss (None when time ran out), and its cost."""

    number: int
    part: str
    loss: float | None
    seconds: float
    values: Mapping[str, float]


class Search:
    """Looks for settings of lower later log-loss until an instant of its clock; `best` are those found so far."""

    def __init__(
        self, settings: TrainingSettings, clock: Clock, most_trials: int | None, tell: Callable[[str], None]
    ) -> None:
        self.best, self.trials = settings, list[Trial]()
        self.clock, self.most_trials, self.tell = clock, most_trials, tell

    def look(self, data: Rows, until: float) -> None:
        """Try shapes of the pooled boosters first, then of the segments' on top of the best pooled ones."""
        watched = replace(data, watch=self.until(until))
        everything = np.arange(len(data.y))
        segments = [np.flatnonzero(data.segment == index) for index in np.unique(data.segment[data.segment >= 0])]
        tried = [rows for rows in segments if len(rows) >= data.settings.segment_min_rows]
        tried = [rows for rows in tried if len(rows) < len(data.y) and len(np.unique(data.fold[rows])) > 1]
        half = self.clock() + POOLED_SHARE * (until - self.clock()) if tried else until
        pooling = replace(data, watch=self.until(half))
        self._study("pooled", half, lambda tried: _later(data, cross_fit(pooling, everything, tried.pooled, None).z))
        if not tried:
            return
        try:
            pooled = cross_fit(watched, everything, self.best.pooled, None)
        except TimeUp:
            return
        self._study("segment", until, lambda settings: _with_own(watched, pooled, tried, settings))

    def until(self, end: float) -> Watch:
        """What a fit calls after every round; raises TimeUp from `end` on."""

        def watch() -> None:
            if self.clock() >= end:
                raise TimeUp

        return watch

    def _study(self, part: str, until: float, loss_of: Callable[[TrainingSettings], float]) -> None:
        """Try settings of one part, the present ones first, and keep the best."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        seed = self.best.seed
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=START_TRIALS))
        start, space = self.best, _space(part, self.best)
        best = first = float("nan")
        number = 0
        while self.clock() < until and (self.most_trials is None or number < self.most_trials):
            # INVARIANT: the first trial is what would be used without tuning, so that the best is never worse than it.
            asked = study.ask(space) if number else None
            values = asked.params if asked is not None else _values(part, start)
            settings = _settings(part, values, start) if number else start
            begun = self.clock()
            try:
                loss = loss_of(settings)
            except TimeUp:
                self.trials.append(Trial(number, part, None, self.clock() - begun, values))
                return
            if asked is not None:
                study.tell(asked, loss)
            elif all(space[name].low <= value <= space[name].high for name, value in values.items()):
                study.add_trial(optuna.trial.create_trial(params=values, distributions=space, value=loss))
            self.trials.append(Trial(number, part, loss, self.clock() - begun, values))
            if not number:
                best = first = loss
            elif loss < best:
                best, self.best = loss, settings
            number += 1
            self.tell(f"{part} shape {number}: log-loss {best:.5f}, defaults {first:.5f}")


def _with_own(data: Rows, pooled: CrossFit, segments: list[Any], settings: TrainingSettings) -> float:
    z = pooled.z.copy()
    for rows in segments:
        found = cross_fit(data, rows, settings.segment, pooled.z[rows])
        z[rows] += len(rows) / (len(rows) + settings.shrinkage_rows) * (found.z - pooled.z[rows])
    return _later(data, z)


def _later(data: Rows, z: Floats) -> float:
    return float(np.average(log_loss(data.y, z)[data.judged], weights=data.weights[data.judged]))


def _space(part: str, settings: TrainingSettings) -> dict[str, Any]:
    """What may be tried.

    INVARIANT: no more rounds, leaves or depth than the defaults: what an answer may cost is not tuned away.
    """
    from optuna.distributions import FloatDistribution, IntDistribution

    shape = settings.pooled if part == "pooled" else settings.segment
    space: dict[str, Any] = {
        "leaves": IntDistribution(2, shape.leaves),
        "depth": IntDistribution(1, shape.depth),
        "learning_rate": FloatDistribution(0.01, 0.3, log=True),
        "min_leaf": IntDistribution(5, 500, log=True),
        "l2": FloatDistribution(0.1, 200.0, log=True),
        "feature_fraction": FloatDistribution(0.1, 1.0),
    }
    return space if part == "pooled" else {**space, "shrinkage_rows": FloatDistribution(50.0, 10_000.0, log=True)}


def _values(part: str, settings: TrainingSettings) -> dict[str, Any]:
    shape = settings.pooled if part == "pooled" else settings.segment
    found = {name: value for name, value in shape.model_dump().items() if name != "rounds"}
    return found if part == "pooled" else {**found, "shrinkage_rows": settings.shrinkage_rows}


def _settings(part: str, values: Mapping[str, Any], start: TrainingSettings) -> TrainingSettings:
    """The settings with a part replaced, numbers rounded to what a person can read."""
    rounded = {name: float(f"{value:.{DIGITS}g}") for name, value in values.items()}
    shrinkage = rounded.pop("shrinkage_rows", start.shrinkage_rows)
    shape = start.pooled if part == "pooled" else start.segment
    return start.model_copy(
        update={part: Boosting(**{**shape.model_dump(), **rounded}), "shrinkage_rows": round(shrinkage)}
    )
