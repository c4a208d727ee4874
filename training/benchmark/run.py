"""One set judged: ours beside every model that a team would otherwise choose, on the same rows, with noise and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from models.readiness import Readiness
from training.benchmark.sets import Material, fingerprint
from training.dataset.dataset import Dataset
from training.drift.drift import Drift, drift_of
from training.drift.recalibration import Followed, followed
from training.evaluation.baselines import fit_global_lightgbm, fit_logistic, fit_naive_bayes, fit_points
from training.evaluation.boosted import Searched, fit_hist_gradient_boosting, fit_tuned_lightgbm
from training.evaluation.metrics import Comparison, compare, difference
from training.train import fit
from training.tuning.tuning import tune_dataset

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]
Verdict = Literal["best", "within noise of the best", "worse than the best"]

OURS = "leadwell"
POINTS, BAYES, LOGISTIC = "points_scorecard", "naive_bayes", "logistic_regression"
GLOBAL, TUNED, HISTOGRAM = "global_lightgbm", "tuned_lightgbm", "hist_gradient_boosting"
MODELS = (OURS, TUNED, GLOBAL, HISTOGRAM, LOGISTIC, BAYES, POINTS)
# So many predictions out of sample are needed before a line is followed block by block.
MIN_FOLLOWED, MIN_INSTANTS = 300, 10


@dataclass(frozen=True, slots=True)
class SetResult:
    """How every model did on one set. `seconds` is CPU time of fitting and predicting, all threads together."""

    name: str
    says: str
    split: str
    rows: Mapping[str, int]
    base_rate: Mapping[str, float]
    features: int
    refused: tuple[tuple[str, str], ...]
    rejected: int
    comparison: Comparison
    seconds: Mapping[str, float]
    tuning: Mapping[str, str]
    drift: Drift
    followed: Followed | None
    rival_followed: Followed | None
    outcome: Floats
    root: NDArray[Any]
    fingerprint: str

    @property
    def best_other(self) -> str:
        """The other model of lowest log-loss."""
        return self.comparison.best_other

    @property
    def verdict(self) -> Verdict:
        """Ours against the best of the others by log-loss, by the paired 95 % interval."""
        models = self.comparison.models
        if models[OURS].log_loss <= models[self.best_other].log_loss:
            return "best"
        gap = self.comparison.against(self.best_other)
        return "worse than the best" if gap.verdict == "worse" else "within noise of the best"

    @property
    def recalibrated_gaps(self) -> dict[str, Any] | None:
        """Log-loss of ours recalibrated, less that of the best of the others as it is, and recalibrated alike."""
        if self.followed is None or self.rival_followed is None:
            return None
        ours, rival = (f"{OURS} recalibrated", self.followed.after), self.rival_followed
        found = {}
        for name, theirs in (("as_trained", rival.before), ("recalibrated", rival.after)):
            gap = difference(self.outcome, ours, (f"{self.best_other} {name}", theirs), cluster=self.root)
            found[name] = asdict(gap) | {"verdict": gap.verdict}
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values, everything the page shows."""
        line = self.followed
        return {
            "set": self.name,
            "says": self.says,
            "split": self.split,
            "rows": dict(self.rows),
            "base_rate": dict(self.base_rate),
            "features": self.features,
            "refused_columns": dict(self.refused),
            "rejected_rows": self.rejected,
            "verdict": self.verdict,
            "best_other": self.best_other,
            **self.comparison.to_json(),
            "cpu_seconds": dict(self.seconds),
            "tuning": dict(self.tuning),
            "drift": self.drift.to_json(),
            "recalibration": None if line is None else line.to_json(),
            "recalibration_of_best_other": None if self.rival_followed is None else self.rival_followed.to_json(),
            "recalibrated_against_best_other": self.recalibrated_gaps,
            "fingerprint": self.fingerprint,
        }


def judge_set(
    material: Material, settings: Settings, *, budget_seconds: float, seed: int = 7, progress: Progress | None = None
) -> SetResult:
    """Fit every model on the rows that train and measure all of them on the rows that judge.

    The same budget of wall time goes into searching for our settings and for those of the tuned global LightGBM.
    """
    tell = progress or (lambda what, share: None)
    dataset = material.dataset
    train, judge = dataset.train, dataset.judge
    X, y, segment = dataset.X[train], dataset.y[train], dataset.segment[train]
    later, primary = dataset.X[judge], dataset.segment[judge]
    seconds: dict[str, float] = {}
    predictions: dict[str, Floats] = {}

    def timed(name: str, share: float, make: Callable[[], Floats]) -> None:
        tell(f"{material.name}: {name.replace('_', ' ')}", share)
        started = time.process_time()
        predictions[name] = make()
        seconds[name] = time.process_time() - started

    found: dict[str, Any] = {}

    def ours() -> Floats:
        tuned, chosen = tune_dataset(dataset, settings, budget_seconds or None, lambda what, share: None)
        found["ours"] = fit(dataset, chosen, train)
        found["tuning"] = "not tuned" if tuned is None else tuned.says
        readiness: Readiness = found["ours"]
        return readiness.predict(later, primary).probability

    def tuned() -> Floats:
        predict, searched = fit_tuned_lightgbm(
            X, y, dataset.spec, segment, dataset.order[train], dataset.fold[train],
            seconds=max(budget_seconds, 1.0), share=settings.training.holdout_share, seed=seed,
        )  # fmt: skip
        found["searched"] = searched
        return predict(later, primary)

    timed(OURS, 0.0, ours)
    timed(TUNED, 0.35, tuned)
    plain = ((GLOBAL, fit_global_lightgbm), (HISTOGRAM, fit_hist_gradient_boosting), (LOGISTIC, fit_logistic))
    for place, (name, fit_other) in enumerate((*plain, (BAYES, fit_naive_bayes))):
        timed(name, 0.7 + place * 0.04, lambda made=fit_other: made(X, y, dataset.spec, segment)(later, primary))  # type: ignore[misc]
    timed(POINTS, 0.86, lambda: fit_points(dataset.points[train], y)(dataset.points[judge]))
    tell(f"{material.name}: comparing", 0.9)
    in_order = {name: predictions[name] for name in MODELS}
    comparison = compare(dataset.y[judge], in_order, ours=OURS, cluster=dataset.root[judge])
    searched: Searched = found["searched"]
    readiness: Readiness = found["ours"]
    return SetResult(
        name=material.name,
        says=material.says,
        split=material.split,
        rows={"train": int(train.sum()), "judge": int(judge.sum()), "all": len(train)},
        base_rate={"train": float(y.mean()), "judge": float(dataset.y[judge].mean())},
        features=dataset.X.shape[1],
        refused=material.refused,
        rejected=material.rejected,
        comparison=comparison,
        seconds=seconds,
        tuning={
            OURS: str(found["tuning"]),
            TUNED: f"{searched.trials} trials, inner later log-loss {searched.loss:.4f}, {searched.rounds} rounds",
        },
        drift=drift_of(dataset, readiness),
        followed=_follow(dataset, predictions[OURS]),
        rival_followed=_follow(dataset, predictions[comparison.best_other]),
        outcome=dataset.y[judge],
        root=dataset.root[judge],
        fingerprint=fingerprint(material),
    )


def _follow(dataset: Dataset, predicted: Floats) -> Followed | None:
    """A model's answers followed through the judging rows, where these have an order of their own."""
    judge = dataset.judge
    if int(judge.sum()) < MIN_FOLLOWED or len(np.unique(dataset.order[judge])) < MIN_INSTANTS:
        return None
    return followed(
        np.log(predicted) - np.log1p(-predicted),
        dataset.y[judge],
        dataset.order[judge],
        cluster=dataset.root[judge],
        rate=float(dataset.y[dataset.train].mean()),
    )


def results_record(results: list[SetResult], skipped: Mapping[str, str], world: int, budget: float) -> dict[str, Any]:
    """What results.json holds."""
    return {
        "models": list(MODELS),
        "ours": OURS,
        "budget_seconds": budget,
        "world_leads": world,
        "sets": [result.to_json() for result in results],
        "not_there": dict(skipped),
        "worse_than_the_best": [result.name for result in results if result.verdict == "worse than the best"],
    }


def metrics_rows(result: SetResult) -> list[dict[str, Any]]:
    """One row a model, best log-loss first, with its metrics and ours minus theirs."""
    rows = []
    for name, metrics in sorted(result.comparison.models.items(), key=lambda entry: entry[1].log_loss):
        gap = None if name == OURS else result.comparison.against(name)
        area = None if name == OURS else result.comparison.against(name, "auc")
        rows.append({"name": name, **asdict(metrics), "gap": gap, "auc_gap": area, "seconds": result.seconds[name]})
    return rows
