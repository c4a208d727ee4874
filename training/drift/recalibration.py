"""Recalibration on recent outcomes: the boosters and slopes stay, the intercepts follow the level of today.

After a change of the base rate the ranking of leads usually still holds and the level does not. There are two ways to
follow it. A line that is moved every night, with the outcomes known by then, follows block after block by a filter
(`training/drift/level.py`): `followed`. A bundle that will serve for a while takes the mean level of the recent period:
`recalibrated`. Both move everybody first and then each segment by what that leaves, and both are pulled toward the line
as trained, so that a few odd rows, or a segment with few, move little.

INVARIANT: a row's own outcome never recalibrates the answer about that row.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import Line
from models.scores import Readiness
from training.drift.level import Level
from training.evaluation.metrics import Difference, calibration_error, difference

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A block is as many rows as this many outcomes of the rarer kind are expected in, and no fewer than so many rows.
BLOCK_OUTCOMES, BLOCK_ROWS = 3.0, 20
MIN_ROWS = 40
# As strongly as so many typical rows the old level is believed, of everybody and of a segment beside everybody.
EVERYBODY_ROWS, SEGMENT_ROWS = 50.0, 300.0
MAX_STEPS = 60
# Rows without the outcome alone have no level of their own; this many keep it a number.
MIN_PULL = 1.0
RESAMPLES = 200


@dataclass(slots=True)
class Levels:
    """The level of everybody and, beside it, of each segment."""

    everybody: Level = field(default_factory=Level)
    own: dict[int, Level] = field(default_factory=dict)

    def observe(self, z: Floats, y: NDArray[Any], segment: Ints) -> None:
        """Learn from a block: log-odds as trained, outcomes, segments (-1 for none)."""
        common = self.everybody.shift
        for index in np.unique(segment[segment >= 0]).tolist():
            here = segment == index
            self.own.setdefault(index, Level()).observe(z[here] + common, y[here])
        self.everybody.observe(z, y)

    def shift(self, index: int) -> float:
        """What is added to the log-odds of a segment."""
        return self.everybody.shift + (self.own[index].shift if self._apart(index) else 0.0)

    def variance(self, index: int) -> float:
        """How uncertain that is."""
        return self.everybody.variance + (self.own[index].variance if self._apart(index) else 0.0)

    def _apart(self, index: int) -> bool:
        # One segment alone is everybody: its shift would count twice.
        return index in self.own and len(self.own) > 1


@dataclass(frozen=True, slots=True)
class Followed:
    """A line that followed the outcomes of the blocks before each block, beside the line as trained.

    `log_loss` and `calibration` are recalibrated minus as trained, with a paired 95 % interval: below zero is better.
    """

    blocks: int
    rows: int
    before: Floats
    after: Floats
    log_loss: Difference
    calibration_errors: tuple[float, float]
    calibration: tuple[float, float, float]

    @property
    def helps(self) -> bool:
        """Whether the log-loss fell beyond noise."""
        return self.log_loss.verdict == "better"

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the answers themselves."""
        return {
            "blocks": self.blocks,
            "rows": self.rows,
            "log_loss": asdict(self.log_loss) | {"verdict": self.log_loss.verdict},
            "calibration_error_as_trained": self.calibration_errors[0],
            "calibration_error_recalibrated": self.calibration_errors[1],
            "calibration_error_difference": list(self.calibration),
            "helps": self.helps,
        }


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """A readiness with moved lines, and how far they moved: in log-odds, for everybody and for each segment.

    `seen` is the shift that the rows show, `spread` its standard error, `shift` what is believed of it and applied.
    """

    readiness: Readiness
    rows: int
    blocks: int
    seen: float
    shift: float
    spread: float
    segments: dict[str, float]
    observed: float
    predicted_before: float
    predicted_after: float

    def record(self) -> dict[str, Any]:
        """What the manifest keeps."""
        return {
            "rows": self.rows,
            "blocks": self.blocks,
            "shift_seen": self.seen,
            "shift": self.shift,
            "shift_standard_error": self.spread,
            "segments": self.segments,
            "observed_rate": self.observed,
            "predicted_before": self.predicted_before,
            "predicted_after": self.predicted_after,
        }


def recalibrated(
    readiness: Readiness, X: Floats, y: NDArray[Any], segment: NDArray[Any], order: NDArray[Any]
) -> Recalibrated:
    """The same boosters with every line moved to the level of these recent rows.

    Args:
        readiness: what serves now.
        X: features of the recent rows, float64[rows, features].
        y: their outcomes, 0 or 1.
        segment: primary segment of each row as index of `segment_ids`, -1 for none.
        order: rises with time.

    Raises:
        ValueError: there are fewer than `MIN_ROWS` rows.
    """
    outcome, primary = np.asarray(y, dtype=np.float64), np.asarray(segment, dtype=np.int64)
    if len(outcome) < MIN_ROWS:
        raise ValueError(f"expected at least {MIN_ROWS} recent leads with a known outcome, found {len(outcome)}")
    scores = readiness.predict(X, primary)
    z = scores.log_odds
    blocks = blocks_in_time(np.asarray(order), _block_rows(scores.probability))
    seen, variance = mean_shift(z, outcome, blocks, EVERYBODY_ROWS)
    shift = believed(seen, variance)
    apart: dict[int, tuple[float, float]] = {}
    present = np.unique(primary[primary >= 0]).tolist()
    # One segment alone is everybody: its shift would count twice.
    for index in present if len(present) > 1 else ():
        inside = primary == index
        within = [rows[inside[rows]] for rows in blocks if inside[rows].any()]
        own, own_variance = mean_shift(z + shift, outcome, within, SEGMENT_ROWS)
        apart[index] = believed(own, own_variance), own_variance
    lines = tuple(
        _shifted(line, shift + apart.get(index, (0.0, 0.0))[0], variance + apart.get(index, (0.0, 0.0))[1])
        for index, line in enumerate(readiness.lines)
    )
    moved = with_lines(readiness, lines)
    return Recalibrated(
        readiness=moved,
        rows=len(outcome),
        blocks=len(blocks),
        seen=seen,
        shift=shift,
        spread=float(np.sqrt(variance)),
        segments={readiness.segment_ids[index]: shift + own for index, (own, _) in apart.items()},
        observed=float(outcome.mean()),
        predicted_before=float(scores.probability.mean()),
        predicted_after=float(moved.predict(X, primary).probability.mean()),
    )


def believed(shift: float, variance: float) -> float:
    """What of a shift goes on: nothing where it is within its own standard error, nearly all where it is far beyond.

    The positive-part rule of James and Stein (1961) for one mean. A level that is not told from noise is left alone:
    frozen into a bundle it would serve for weeks.
    """
    return 0.0 if shift**2 <= variance else shift * (1.0 - variance / shift**2)


def mean_shift(z: Floats, y: Floats, blocks: list[NDArray[np.intp]], prior_rows: float) -> tuple[float, float]:
    """The mean shift of the log-odds over blocks of rows and its variance, pulled to zero by `prior_rows` typical rows.

    Blocks that differ from each other by more than chance say less: their rows count as fewer by the dispersion that
    Pearson's chi-square of the blocks finds (McCullagh & Nelder 1989, 4.5), at least one.
    """
    rows = np.concatenate(blocks)
    information, shift, dispersion = 0.0, 0.0, 1.0
    # First the level of these rows alone, around which blocks differ; then pulled, with what that difference says.
    for pull in (MIN_PULL, prior_rows):
        for _ in range(MAX_STEPS):
            p = _probability(z[rows] + shift)
            information = float((p * (1.0 - p)).sum()) / dispersion
            prior = pull * information * dispersion / len(rows)
            step = (float((p - y[rows]).sum()) / dispersion + prior * shift) / (information + prior)
            shift -= max(min(step, 1.0), -1.0)
            if abs(step) < 1e-10:
                break
        if len(blocks) > 1:
            parts = [_probability(z[part] + shift) for part in blocks]
            chi = [(y[part].sum() - p.sum()) ** 2 / (p * (1 - p)).sum() for part, p in zip(blocks, parts, strict=True)]
            dispersion = max(1.0, float(np.sum(chi)) / (len(blocks) - 1))
    return shift, 1.0 / (information + prior_rows * information * dispersion / len(rows))


def followed(
    log_odds: Floats,
    y: NDArray[Any],
    order: NDArray[Any],
    *,
    segment: NDArray[Any] | None = None,
    cluster: NDArray[Any] | None = None,
    rate: float | None = None,
) -> Followed:
    """Answer block after block of rows in time, each with the level that the outcomes of earlier blocks show.

    Args:
        log_odds: calibrated log-odds of any model, float64[rows].
        y: outcomes, 0 or 1; those of a block are known when the next is answered.
        order: rises with time; rows of one instant are in one block.
        segment: primary segment of each row; none when absent.
        cluster: account of each row, for the paired interval.
        rate: expected share of the outcome, which says how long a block is; the mean prediction when absent.
    """
    outcome = np.asarray(y, dtype=np.float64)
    primary = np.full(len(outcome), -1) if segment is None else np.asarray(segment, dtype=np.int64)
    before = _probability(log_odds)
    after = before.copy()
    levels = Levels()
    blocks = blocks_in_time(np.asarray(order), _block_rows(before if rate is None else np.array([rate])))
    for rows in blocks:
        shift = np.array([levels.shift(index) for index in primary[rows].tolist()])
        after[rows] = _probability(log_odds[rows] + shift)
        levels.observe(log_odds[rows], outcome[rows], primary[rows])
    return _compared(outcome, before, after, len(blocks), cluster)


def blocks_in_time(order: NDArray[Any], rows: int) -> list[NDArray[np.intp]]:
    """Indices of the rows of each block of about so many rows, in time; equal instants are in one block."""
    sequence = np.argsort(order, kind="stable")
    ordered = order[sequence]
    count = max(1, len(order) // rows)
    wanted = np.linspace(0, len(order), count + 1).astype(np.int64)[1:-1]
    starts = np.unique(np.searchsorted(ordered, ordered[wanted], side="left")) if len(wanted) else wanted
    return np.split(sequence, starts[starts > 0])


def with_lines(readiness: Readiness, lines: tuple[Line, ...]) -> Readiness:
    """The same readiness with other lines."""
    files = dict(readiness.to_files())
    calibration = json.loads(files["calibration.json"])
    for old, new in zip(calibration["lines"], lines, strict=True):
        old.update(a=new.a, b=new.b, covariance=list(new.covariance))
    files["calibration.json"] = json.dumps(calibration, indent=1, sort_keys=True)
    return Readiness.from_files(files)


def _shifted(line: Line, shift: float, variance: float) -> Line:
    va, vab, vb = line.covariance
    return replace(line, b=line.b + shift, covariance=(va, vab, vb + variance))


def _block_rows(probabilities: Floats) -> int:
    rate = float(np.clip(probabilities.mean(), 1e-4, 1.0 - 1e-4))
    return max(BLOCK_ROWS, int(BLOCK_OUTCOMES / min(rate, 1.0 - rate)))


def _compared(y: Floats, before: Floats, after: Floats, blocks: int, cluster: NDArray[Any] | None) -> Followed:
    gap = difference(y, ("recalibrated", after), ("as trained", before), cluster=cluster)
    errors = calibration_error(y, before), calibration_error(y, after)
    group = np.arange(len(y)) if cluster is None else np.unique(cluster, return_inverse=True)[1].ravel()
    members = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[members], np.arange(int(group.max()) + 2))
    rng = np.random.default_rng(7)
    draws = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = rng.integers(0, len(ends) - 1, len(ends) - 1)
        sizes = ends[drawn + 1] - ends[drawn]
        # The members of each drawn account, one after another.
        steps = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows = members[np.repeat(ends[drawn], sizes) + steps]
        draws[i] = calibration_error(y[rows], after[rows]) - calibration_error(y[rows], before[rows])
    low, high = np.quantile(draws, [0.025, 0.975])
    return Followed(blocks, len(y), before, after, gap, errors, (errors[1] - errors[0], float(low), float(high)))


def _probability(log_odds: Any) -> Floats:
    found: Floats = 1.0 / (1.0 + np.exp(-np.clip(log_odds, -13.8, 13.8)))
    return found
