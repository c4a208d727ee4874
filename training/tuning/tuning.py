"""Looks for better booster shapes within a time budget, on splits inside the rows that train.

Nested: one part of the accounts is set aside. On the others, earlier rows learn and later rows of other accounts say
which shape is best (Optuna's TPE, Bergstra et al. 2011). The part set aside, later still, then says whether the best is
better than the defaults by more than noise; if not, the defaults stay. The rows that judge training are never seen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.settings import Settings
from configs.training_settings import TrainingSettings
from models.boosting import Rows, Watch
from models.calibration import log_loss
from models.readiness import fit_beside
from models.scores import Spec
from training.dataset.dataset import Dataset
from training.dataset.some_accounts import rows_of_some
from training.tuning.search import Clock, Progress, Search, TimeUp, Trial

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# More rows than this say little more about a shape, and every trial costs more.
MOST_ROWS = 150_000
# The tuned line may take longer to fit than the default one, by this much.
RESERVE = 1.5
RESAMPLES = 1000
MIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class TuningRows:
    """Rows that train, and nothing else; one entry a row, `X` has the shape (rows, columns of the spec)."""

    X: Floats
    y: Floats
    segment: Ints
    fold: Ints
    order: Floats
    root: Ints
    spec: Spec
    segment_ids: tuple[str, ...]
    weights: Floats | None = None

    def part(self, rows: Ints) -> TuningRows:
        """Some of the rows."""
        return TuningRows(
            self.X[rows],
            self.y[rows],
            self.segment[rows],
            self.fold[rows],
            self.order[rows],
            self.root[rows],
            self.spec,
            self.segment_ids,
            None if self.weights is None else self.weights[rows],
        )


@dataclass(frozen=True, slots=True)
class Tuned:
    """The settings to train with, and how they were found. `gain` is default minus tuned, with its 95 % interval."""

    settings: TrainingSettings
    adopted: bool
    says: str
    trials: tuple[Trial, ...]
    found: Mapping[str, Any]
    default_loss: float | None
    tuned_loss: float | None
    gain: tuple[float, float, float] | None
    budget_seconds: float
    seconds: float
    rows: int

    def record(self) -> dict[str, Any]:
        """What the manifest and MLflow keep, as plain values."""
        done = [trial for trial in self.trials if trial.loss is not None]
        return {
            "adopted": self.adopted,
            "says": self.says,
            "trials": len(done),
            "trials_stopped": len(self.trials) - len(done),
            "found": dict(self.found),
            "default_log_loss": self.default_loss,
            "tuned_log_loss": self.tuned_loss,
            "gain": None if self.gain is None else list(self.gain),
            "budget_seconds": self.budget_seconds,
            "rows": self.rows,
        }

    def table(self) -> dict[str, Any]:
        """The record with every trial, in the order they were tried."""
        return {**self.record(), "seconds": self.seconds, "every_trial": [asdict(trial) for trial in self.trials]}

    def to_yaml(self) -> str:
        """The part of `training.yaml` that a person can adopt, with what it was worth."""
        lines = [f"# {line}" for line in (self.says, "Adopt by replacing the same keys of training.yaml.")]
        for key in ("pooled", "segment"):
            if key in self.found:
                inside = ", ".join(f"{name}: {value}" for name, value in self.found[key].items())
                lines.append(f"{key}: {{{inside}}}")
        if "shrinkage_rows" in self.found:
            lines.append(f"shrinkage_rows: {self.found['shrinkage_rows']}")
        return "\n".join(lines) + "\n"


def seconds_of(budget: str) -> float:
    """Seconds of `90s`, `10m`, `1h` or a bare number of minutes; raises InputInvalid for anything else."""
    text = budget.strip().lower()
    scale = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:])
    try:
        found = float(text[:-1]) * scale if scale is not None else float(text) * 60.0
    except ValueError:
        found = float("nan")
    if not MIN_SECONDS <= found < float("inf"):
        raise InputInvalid("tune", "expected a time of one second or more, as 90s, 10m or 1h")
    return found


def tune(
    rows: TuningRows,
    settings: TrainingSettings,
    seconds: float,
    *,
    most_trials: int | None = None,
    clock: Clock = time.monotonic,
    progress: Progress | None = None,
) -> Tuned:
    """Settings whose boosters were better on later data of other accounts, or those given where none was.

    INVARIANT: all work, the fits that confirm included, ends within `seconds` but for one round of one booster and the
    binning of the rows. With the same seed and number of trials the same settings are found.
    """
    tell = progress or (lambda what, share: None)
    started = clock()
    end = started + seconds

    def told(what: str) -> None:
        tell(what, min((clock() - started) / seconds, 0.94))

    search = Search(settings, clock, most_trials, told)
    learn, judge = _nested(rows, settings)

    def kept(says: str, found: TrainingSettings | None = None) -> Tuned:
        shown = {} if found is None else _plain(found)
        spent = clock() - started
        return Tuned(settings, False, says, tuple(search.trials), shown, None, None, None, seconds, spent, len(learn))

    tell("fitting the defaults to compare with", 0.0)
    before = _losses(rows, settings, learn, judge, search.until(end))
    if before is None:
        return kept("the budget was too short to fit even the defaults once: they stay")
    reserve = RESERVE * (clock() - started)
    part = rows.part(rows_of_some(rows.root, learn, MOST_ROWS, settings.seed))
    search.look(
        Rows.of(
            part.X, part.y, part.segment, part.fold, part.order, part.spec, settings, part.segment_ids, part.weights
        ),
        end - reserve,
    )
    # The first shape of each part is the one in use.
    tried = sum(trial.loss is not None and trial.number > 0 for trial in search.trials)
    if not tried:
        return kept("the budget was too short to try any shape beside the defaults: they stay")
    if search.best == settings:
        return kept(f"none of the {tried} shapes that were tried was better than the defaults: they stay")
    tell("confirming what was found on accounts set aside", 0.95)
    after = _losses(rows, search.best, learn, judge, search.until(end))
    if after is None:
        return kept("what was found could not be confirmed within the budget: the defaults stay", search.best)
    gain = _gain(before - after, rows.root[judge], settings.seed)
    adopted = gain[1] > 0.0
    verdict = "better than the defaults beyond noise: used" if adopted else "not beyond noise: the defaults stay"
    says = (
        f"later log-loss {before.mean():.5f} with the defaults, {after.mean():.5f} tuned, on {len(judge)} rows of "
        f"accounts set aside; gain {gain[0]:+.5f} ({gain[1]:+.5f}, {gain[2]:+.5f}), {verdict}"
    )
    return Tuned(
        settings=search.best if adopted else settings,
        adopted=adopted,
        says=says,
        trials=tuple(search.trials),
        found=_plain(search.best),
        default_loss=float(before.mean()),
        tuned_loss=float(after.mean()),
        gain=gain,
        budget_seconds=seconds,
        seconds=clock() - started,
        rows=len(learn),
    )


def tune_dataset(
    dataset: Dataset, settings: Settings, seconds: float | None, tell: Progress
) -> tuple[Tuned | None, Settings]:
    """Tune on the rows of a dataset that train, and the settings to train with; without a budget those given.

    INVARIANT: the rows that judge are never seen.
    """
    if seconds is None:
        return None, settings
    weights = dataset.weights
    train = dataset.train if weights is None else dataset.train & (weights > 0)
    rows = TuningRows(
        dataset.X[train], dataset.y[train], dataset.segment[train], dataset.fold[train], dataset.order[train],
        dataset.root[train], dataset.spec, dataset.segment_ids, None if weights is None else weights[train],
    )  # fmt: skip
    tuned = tune(rows, settings.training, seconds, progress=tell)
    return tuned, settings.model_copy(update={"training": tuned.settings})


def _losses(rows: TuningRows, settings: TrainingSettings, learn: Ints, judge: Ints, watch: Watch) -> Floats | None:
    """Loss of each judging row under the full line fitted on `learn`; None when time ran out."""
    part = rows.part(learn)
    try:
        fitted = fit_beside(
            part.X, part.y, part.segment, part.fold, part.order, part.spec, settings,
            segment_ids=part.segment_ids, weights=part.weights, watch=watch,
        )  # fmt: skip
    except TimeUp:
        return None
    return log_loss(rows.y[judge], fitted.readiness.predict(rows.X[judge], rows.segment[judge]).log_odds)


def _nested(rows: TuningRows, settings: TrainingSettings) -> tuple[Ints, Ints]:
    """Rows to search on and to learn from, and rows that confirm.

    INVARIANT: no account is in both, and what is learned from is earlier than what confirms wherever the rows have
    more than one instant.
    """
    aside = rows.fold == settings.folds - 1
    later = rows.order >= np.quantile(rows.order, 1.0 - settings.holdout_share, method="higher")
    if later.all():
        later = np.ones(len(rows.y), dtype=np.bool_)
        earlier = later
    else:
        earlier = ~later
    learn, judge = np.flatnonzero(earlier & ~aside), np.flatnonzero(later & aside)
    for part in (learn, judge):
        positives = rows.y[part].sum()
        if min(positives, len(part) - positives) < 1:
            raise InputInvalid("tune", "expected outcomes of both kinds among earlier and later accounts to tune on")
    return learn, judge


def _plain(settings: TrainingSettings) -> dict[str, Any]:
    found = settings.model_dump(mode="json")
    return {key: found[key] for key in ("pooled", "segment", "shrinkage_rows")}


def _gain(gain: Floats, root: Ints, seed: int) -> tuple[float, float, float]:
    """Mean gain and its 95 % interval over paired resamples of accounts."""
    names, of_row = np.unique(root, return_inverse=True)
    sums = np.bincount(of_row, gain, len(names))
    count = np.bincount(of_row, minlength=len(names)).astype(np.float64)
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        chosen = rng.integers(0, len(names), len(names))
        means[i] = sums[chosen].sum() / count[chosen].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return float(gain.mean()), float(low), float(high)
