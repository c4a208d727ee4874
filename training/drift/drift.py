"""Drift between earlier and later rows: what happened, what the model says, and what it is told; each with its noise.

A base rate is compared by Newcombe's interval of a difference of proportions (1998, method 10). Distributions are
compared by the population stability index (PSI, Siddiqi 2006) over ten bins of equal mass of the earlier rows, or over
the levels of a category; missing is a bin of its own. Without drift, PSI is (1/n + 1/m) times a chi-square of bins
minus one degrees of freedom (Yurdakul 2018): what lies below its 95 % point, corrected for how many columns are looked
at, is noise. A shift is a warning when it is beyond noise and large enough to matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from models.readiness import Readiness
from training.dataset.dataset import Dataset

Floats = NDArray[np.float64]

BINS = 10
# By convention: below 0.1 little has changed, above 0.25 much.
MATERIAL, LARGE = 0.1, 0.25
# A base rate that moved by less than a tenth of itself is not worth a warning, however surely it moved.
MATERIAL_RATE = 0.1
CONFIDENCE = 0.05
RESAMPLES = 400
MOST_FEATURES = 12
# So many columns are named in a sentence.
NAMED = 3
MOST_ROWS = 20_000
Kind = Literal["base rate", "prediction", "score", "feature"]


@dataclass(frozen=True, slots=True)
class Shift:
    """One thing that may have moved. `value` is later minus earlier for rates and PSI otherwise, with a 95 % interval.

    `noise` is what the value would reach without drift in 95 % of cases (0 for rates: their interval says it).
    """

    kind: Kind
    name: str
    earlier: float
    later: float
    value: float
    low: float
    high: float
    noise: float
    warns: bool
    says: str


@dataclass(frozen=True, slots=True)
class Drift:
    """What moved between two sets of rows, what matters most first."""

    earlier_rows: int
    later_rows: int
    shifts: tuple[Shift, ...]

    @property
    def warnings(self) -> tuple[Shift, ...]:
        """What moved beyond noise and by enough to matter."""
        return tuple(shift for shift in self.shifts if shift.warns)

    @property
    def base_rate_moved(self) -> bool:
        """Whether the outcome itself became more or less frequent, or the predictions miss its level."""
        return any(shift.kind in ("base rate", "prediction") for shift in self.warnings)

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not a number (the median of a category) is null."""
        return {
            "earlier_rows": self.earlier_rows,
            "later_rows": self.later_rows,
            "warns": bool(self.warnings),
            "shifts": [
                {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in found.items()}
                for found in map(asdict, self.shifts)
            ],
            "words": self.words(),
        }

    def words(self) -> str:
        """One sentence: whether the outcome, the level of the predictions or the rows themselves moved."""
        columns = [shift.name for shift in self.warnings if shift.kind == "feature"]
        levels = [shift.says for shift in self.warnings if shift.kind in ("base rate", "prediction")]
        named = ", ".join(columns[:NAMED]) + (f" and {len(columns) - NAMED} more" if len(columns) > NAMED else "")
        said = [*levels, *([f"columns moved by enough to matter: {named}"] if columns else [])]
        if not said:
            return "Between the rows that trained and the later ones nothing moved beyond noise by enough to matter."
        # The level of what serves is that of its training rows; only newer outcomes can say whether it went on.
        advice = " Recalibrate it as soon as newer outcomes are known (leadwell recalibrate)." if levels else ""
        text = "; ".join(said)
        return f"{text[0].upper()}{text[1:]}.{advice}"


def drift(
    earlier: Floats,
    later: Floats,
    names: Sequence[str],
    categorical: Sequence[int],
    *,
    outcomes: tuple[NDArray[Any], NDArray[Any]] | None = None,
    scores: tuple[Floats, Floats] | None = None,
    groups: tuple[NDArray[Any], NDArray[Any]] | None = None,
    what: tuple[str, str] = ("the rows that trained", "the later rows"),
) -> Drift:
    """Everything that moved between two sets of rows.

    Args:
        earlier: features, float64[rows, features], NaN where missing.
        later: the same of the later rows.
        names: of the features.
        categorical: indices of those that are codes.
        outcomes: of the earlier and the later rows, where both are known.
        scores: probabilities for both; of rows that trained they are a little too certain, which a small PSI may be.
        groups: account of each row; rows of one account count once in what is noise.
        what: how the two sets are called.
    """
    size = tuple(_effective(rows, g) for rows, g in zip((earlier, later), groups or (None, None), strict=True))
    shifts: list[Shift] = []
    if outcomes is not None:
        shifts.append(base_rate_shift(outcomes[0], outcomes[1], size, what))
        if scores is not None:
            shifts.append(prediction_shift(outcomes[1], scores[1], size[1], what[1]))
    if scores is not None:
        shifts.append(_psi_shift("score", "predicted probability", scores[0], scores[1], False, size, 1))
    coded = set(categorical)
    found = [
        _psi_shift("feature", name, earlier[:, j], later[:, j], j in coded, size, len(names))
        for j, name in enumerate(names)
    ]
    found.sort(key=lambda shift: (not shift.warns, -shift.value))
    return Drift(len(earlier), len(later), (*shifts, *found[: max(MOST_FEATURES, sum(s.warns for s in found))]))


def drift_of(dataset: Dataset, readiness: Readiness) -> Drift:
    """What moved between the rows that trained a readiness and the later ones that judged it.

    Columns are compared on at most `MOST_ROWS` rows of each side, the outcome too.
    """
    sides = []
    for chosen in (dataset.train, dataset.judge):
        rows = np.flatnonzero(chosen)
        sides.append(rows[:: max(1, len(rows) // MOST_ROWS)])
    X = [dataset.X[rows] for rows in sides]
    scores = [readiness.predict(part, dataset.segment[rows]).probability for part, rows in zip(X, sides, strict=True)]
    found = drift(
        X[0],
        X[1],
        dataset.spec.names,
        dataset.spec.categorical,
        outcomes=(dataset.y[sides[0]], dataset.y[sides[1]]),
        scores=(scores[0], scores[1]),
        groups=(dataset.root[sides[0]], dataset.root[sides[1]]),
    )
    return replace(found, earlier_rows=int(dataset.train.sum()), later_rows=int(dataset.judge.sum()))


def base_rate_shift(
    earlier: NDArray[Any], later: NDArray[Any], size: tuple[float, ...], what: tuple[str, str]
) -> Shift:
    """How much more or less often the outcome came about later, with Newcombe's 95 % interval."""
    first, second = float(np.mean(earlier)), float(np.mean(later))
    (l1, u1), (l2, u2) = _wilson(first, size[0]), _wilson(second, size[1])
    gap = second - first
    low = gap - np.sqrt((second - l2) ** 2 + (u1 - first) ** 2)
    high = gap + np.sqrt((u2 - second) ** 2 + (first - l1) ** 2)
    moved = low > 0 or high < 0
    warns = bool(moved and abs(gap) > MATERIAL_RATE * max(first, 1e-9))
    verb = "did not move beyond noise" if not moved else "rose" if gap > 0 else "fell"
    says = (
        f"the outcome {verb}: {first:.1%} of {what[0]}, {second:.1%} of {what[1]}"
        f" ({gap:+.1%} of rows, 95 % interval {low:+.1%} to {high:+.1%})"
    )
    return Shift("base rate", "outcome", first, second, gap, float(low), float(high), 0.0, warns, says)


def prediction_shift(outcome: NDArray[Any], scores: Floats, size: float, what: str) -> Shift:
    """How far the mean prediction for the later rows is from what happened there, with a 95 % interval."""
    predicted, happened = float(np.mean(scores)), float(np.mean(outcome))
    spread = float(np.std(np.asarray(outcome, dtype=np.float64) - scores)) * norm.ppf(0.975) / np.sqrt(max(size, 1.0))
    gap = happened - predicted
    low, high = gap - spread, gap + spread
    moved = low > 0 or high < 0
    warns = bool(moved and abs(gap) > MATERIAL_RATE * max(predicted, 1e-9))
    verb = "fit" if not moved else "are too low for" if gap > 0 else "are too high for"
    says = (
        f"the predictions {verb} {what}: {predicted:.1%} predicted, {happened:.1%} happened"
        f" ({gap:+.1%}, 95 % interval {low:+.1%} to {high:+.1%})"
    )
    return Shift("prediction", "mean prediction", predicted, happened, gap, low, high, 0.0, warns, says)


def stability_index(earlier: NDArray[np.float64], later: NDArray[np.float64]) -> float:
    """PSI of two vectors of counts over the same bins; half a row is added to each bin, so that none is empty."""
    p = (earlier + 0.5) / (earlier.sum() + 0.5 * len(earlier))
    q = (later + 0.5) / (later.sum() + 0.5 * len(later))
    return float(((q - p) * np.log(q / p)).sum())


def binned(earlier: Floats, later: Floats, categorical: bool) -> tuple[Floats, Floats]:
    """Counts of both over the same bins: missing first, then levels, or equal-mass bins of the earlier rows."""
    known = earlier[~np.isnan(earlier)]
    if categorical:
        levels = np.unique(np.concatenate([known, later[~np.isnan(later)]]))
        places = [np.searchsorted(levels, values) + 1 for values in (earlier, later)]
        bins = len(levels) + 1
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.empty(0)
        places = [np.searchsorted(edges, values, side="right") + 1 for values in (earlier, later)]
        bins = len(edges) + 2
    counts = []
    for values, place in zip((earlier, later), places, strict=True):
        at = np.where(np.isnan(values), 0, np.minimum(place, bins - 1))
        counts.append(np.bincount(at, minlength=bins).astype(np.float64))
    used = (counts[0] + counts[1]) > 0
    return counts[0][used], counts[1][used]


def _psi_shift(
    kind: Kind, name: str, earlier: Floats, later: Floats, categorical: bool, size: tuple[float, ...], looked_at: int
) -> Shift:
    first, second = binned(earlier, later, categorical)
    value = stability_index(first, second)
    # Half a row in each bin biases PSI upward where bins are nearly empty, as chance does: the noise level covers both.
    noise = (1 / size[0] + 1 / size[1]) * float(chi2.ppf(1 - CONFIDENCE / looked_at, max(len(first) - 1, 1)))
    rng = np.random.default_rng(7)
    draws = [
        stability_index(
            rng.multinomial(max(int(size[0]), 1), first / first.sum()).astype(np.float64),
            rng.multinomial(max(int(size[1]), 1), second / second.sum()).astype(np.float64),
        )
        for _ in range(RESAMPLES if value > noise else 50)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    warns = value > noise and value >= MATERIAL
    before, after = (_middle(values, categorical) for values in (earlier, later))
    size_word = "much" if value >= LARGE else "somewhat"
    moved = f"moved {size_word}" if warns else "moved a little" if value > noise else "did not move beyond noise"
    told = "" if categorical else f", median {before:.4g} earlier and {after:.4g} later"
    says = f"{name} {moved}: PSI {value:.2f} ({low:.2f} to {high:.2f}; without drift below {noise:.3f}){told}"
    return Shift(kind, name, before, after, value, float(low), float(high), noise, bool(warns), says)


def _middle(values: Floats, categorical: bool) -> float:
    known = values[~np.isnan(values)]
    return float("nan") if categorical or not len(known) else float(np.median(known))


def _effective(rows: Floats, group: NDArray[Any] | None) -> float:
    return float(max(len(rows) if group is None else len(np.unique(group)), 1))


def _wilson(rate: float, n: float) -> tuple[float, float]:
    z = float(norm.ppf(0.975))
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return middle - half, middle + half
