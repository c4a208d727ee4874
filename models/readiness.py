"""Fits readiness: pooled first, then boosters for segments that earn one on later data, then calibration.

A segment's booster is tried in two ways: on top of the pooled log-odds, which is best with many rows, and beside them,
having learned from the segment's rows alone; the mean of two models that err differently is best with few.

Everything is chosen on out-of-sample predictions: a row is predicted by a booster that saw neither its account (fold)
nor anything later than the inner cut in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.training_settings import Boosting, TrainingSettings
from models.alike import estimate_alike
from models.bands import REASONS
from models.boosting import MIN_OF_EACH_CLASS, CrossFit, Rows, Watch, ask, cross_fit, train
from models.calibration import Line, fit_line, log_loss
from models.intervals import NOTHING_HIDDEN, Hidden, Repeats, estimate_hidden
from models.ranges import Ranges
from models.scores import Readiness, Scores, SegmentRecord, Spec

__all__ = ["REASONS", "Fitted", "Readiness", "Scores", "SegmentRecord", "fit_beside", "fit_readiness"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_LATER_ROWS = 100
# A booster is kept when the rows that it did not see say with 90 % (one-sided) that it helps, and later ones agree. The
# later ones alone are too few to tell in a segment of a thousand rows, and a wrong keep costs little: it is shrunk.
KEEP_Z = 1.2815515655446004
# Parts of the answer that a booster fitted beside the pooled ones may have.
PARTS_BESIDE = (0.25, 0.5)
# From here on averaging wins nothing: in nine segments of 35,000 to 274,000 rows on top was the best way each time.
BESIDE_ROWS = 30_000
POOLED_PRIOR_ROWS = 50.0


@dataclass(frozen=True, slots=True)
class _Own:
    """A segment's own booster in one of the ways it can be used: pooled log-odds + `weight` times its own.

    `scale` is the slope that the sum needs to be of the size of pooled log-odds again: 1 on top, 1 - part beside.
    """

    fitted: CrossFit
    shape: Boosting
    on_top: bool
    weight: float
    scale: float


@dataclass(frozen=True, slots=True)
class _Choices:
    """What a cross-fit settled: rounds, which segments have models of their own, in which way."""

    pooled: CrossFit
    records: tuple[SegmentRecord, ...]
    own: Mapping[int, _Own]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was fitted, the same without models of the segments' own, and the cross-fit that both rest on.

    The second is what the segments' models have to be worth beyond.
    """

    readiness: Readiness
    shared: Readiness
    pooled: CrossFit


def fit_readiness(
    X: Floats,
    y: NDArray[Any],
    segment: NDArray[Any],
    fold: NDArray[Any],
    order: NDArray[Any],
    spec: Spec,
    settings: TrainingSettings,
    *,
    segment_ids: Sequence[str],
    weights: Floats | None = None,
    repeats: Repeats | None = None,
    pooled: CrossFit | None = None,
) -> Readiness:
    """Fit on training rows; `order` rises with time, `fold` keeps an account together, `segment` is -1 for none.

    `repeats` says which rows are one lead's: without it the interval is that of leads that look alike. With the
    `pooled` cross-fit of some of the rows its rounds are kept and its boosters asked, instead of fitted again.
    INVARIANT: they predict every row out of sample, because an account keeps its fold.
    """
    earlier = None if repeats is None else repeats.earlier
    data = Rows.of(X, y, segment, fold, order, spec, settings, segment_ids, weights, earlier=earlier)
    chosen = _choose(data, segment_ids, None if pooled is None else ask(pooled, data, np.arange(len(data.y))))
    return _fit(data, chosen, spec, segment_ids, np.asarray(order, dtype=np.float64), repeats)[0]()


def fit_beside(
    X: Floats,
    y: NDArray[Any],
    segment: NDArray[Any],
    fold: NDArray[Any],
    order: NDArray[Any],
    spec: Spec,
    settings: TrainingSettings,
    *,
    segment_ids: Sequence[str],
    weights: Floats | None = None,
    watch: Watch | None = None,
    repeats: Repeats | None = None,
) -> Fitted:
    """The same with the pooled model that has the segment as a feature beside it, from one and the same cross-fit.

    `watch` is called after every round of every booster; what it raises ends the fit.
    """
    earlier = None if repeats is None else repeats.earlier
    data = Rows.of(X, y, segment, fold, order, spec, settings, segment_ids, weights, watch, earlier)
    chosen = _choose(data, segment_ids)
    ours, shared = _fit(data, chosen, spec, segment_ids, np.asarray(order, dtype=np.float64), repeats)
    return Fitted(ours(), shared(), chosen.pooled)


def _choose(data: Rows, segment_ids: Sequence[str], pooled: CrossFit | None = None) -> _Choices:
    """Cross-fit the pooled booster where it is not, then every segment's own in each way."""
    pooled = pooled or cross_fit(data, np.arange(len(data.y)), data.settings.pooled, None)
    line = fit_line(pooled.z[data.judged], data.y[data.judged], data.weights[data.judged], prior_rows=POOLED_PRIOR_ROWS)
    records: list[SegmentRecord] = []
    own: dict[int, _Own] = {}
    for index, segment_id in enumerate(segment_ids):
        asked = np.flatnonzero(data.segment == index)
        record, found = _try_segment(data, asked[asked < data.learned], asked, pooled.z, line, segment_id)
        records.append(record)
        if found is not None:
            own[index] = found
    return _Choices(pooled, tuple(records), own)


def _fit(
    data: Rows,
    chosen: _Choices,
    spec: Spec,
    segment_ids: Sequence[str],
    order: Floats,
    repeats: Repeats | None,
) -> tuple[Callable[[], Readiness], Callable[[], Readiness]]:
    """How ours and the shared model are made once everything is chosen."""
    settings, pooled, records = data.settings, chosen.pooled, list(chosen.records)
    line = fit_line(pooled.z[data.judged], data.y[data.judged], data.weights[data.judged], prior_rows=POOLED_PRIOR_ROWS)
    booster = train(data, np.arange(data.learned), settings.pooled, pooled.rounds, None)
    texts = {"pooled": booster.model_to_string()}
    own_weights: dict[str, float] = {}
    scales = np.ones(len(segment_ids))
    z = pooled.z.copy()
    variance = pooled.variance.copy()
    for index, found in chosen.own.items():
        asked = np.flatnonzero(data.segment == index)
        rows = asked[asked < data.learned]
        booster = train(data, rows, found.shape, found.fitted.rounds, pooled.z[rows] if found.on_top else None)
        texts[segment_ids[index]] = booster.model_to_string()
        own_weights[segment_ids[index]] = found.weight
        scales[index] = found.scale
        z[asked] += found.weight * found.fitted.z
        variance[asked] += found.weight**2 * found.fitted.variance
    notes = {
        "rows": float(data.learned),
        "judged_rows": float(data.judged.sum()),
        "pooled_rounds": float(pooled.rounds),
        "pooled_later_log_loss": _mean(log_loss(data.y, line.a * pooled.z + line.b)[data.judged], data),
    }

    def answering(
        texts: dict[str, str],
        weights: dict[str, float],
        lines: list[Line],
        records: list[SegmentRecord],
        hidden: Hidden,
    ) -> Readiness:
        return Readiness.of(
            names=data.names,
            groups=(*spec.groups, "segment"),
            segment_ids=segment_ids,
            texts=texts,
            weights=weights,
            lines=lines,
            bands={"default": settings.bands},
            min_known_share=settings.min_known_share,
            max_interval_width=settings.max_interval_width,
            records=records,
            notes=notes,
            hidden=hidden,
            ranges=ranges,
            max_outside_share=settings.max_outside_share,
        )

    ranges = Ranges.of(data.X[: data.learned, :-1], spec.categorical)

    def ours() -> Readiness:
        lines = _calibrate(data, pooled, z, variance, scales)
        hidden = _hidden(data, z, variance, pooled.looked, lines, order, repeats, spec)
        return answering(texts, own_weights, lines, records, hidden)

    def shared() -> Readiness:
        # It is compared by its probabilities; what is hidden of leads widens intervals only.
        lines = _calibrate(data, pooled, pooled.z, pooled.variance, np.ones(len(segment_ids)))
        return answering({"pooled": texts["pooled"]}, {}, lines, [], NOTHING_HIDDEN)

    return ours, shared


def _hidden(
    data: Rows,
    z: Floats,
    variance: Floats,
    looked: NDArray[np.bool_],
    lines: list[Line],
    order: Floats,
    repeats: Repeats | None,
    spec: Spec,
) -> Hidden:
    """What is unseen of leads, from the out-of-sample log-odds that the lines were fitted on."""
    a, b = (np.array([getattr(line, part) for line in lines])[data.segment] for part in ("a", "b"))
    z = a * z + b
    hidden, latest = NOTHING_HIDDEN, np.arange(data.learned)
    if repeats is not None:
        more = repeats.earlier
        hidden = estimate_hidden(
            z,
            data.y,
            order if more is None else np.concatenate([order, more.order]),
            repeats if more is None else replace(repeats, lead=np.concatenate([repeats.lead, more.lead])),
            data.weights,
            model_variance=a**2 * variance,
            looked=looked,
            times=data.settings.model_error_times,
            growth=data.settings.model_error_growth,
        )
        by = np.lexsort((order, repeats.lead))
        latest = by[np.flatnonzero(np.diff(repeats.lead[by], append=-1))]
    alike = estimate_alike(data.X[latest, :-1], spec.categorical, z[latest], data.y[latest])
    return replace(hidden, alike=alike)


def _try_segment(
    data: Rows, rows: Ints, asked: Ints, pooled: Floats, line: Line, segment_id: str
) -> tuple[SegmentRecord, _Own | None]:
    """Fit a segment's booster in each way; the best must help on rows it did not see, and on the later of them.

    `asked` are the segment's rows with the earlier ones after them.
    """
    settings = data.settings
    later = data.judged[rows]
    label = data.y[rows]
    smallest = min(label.sum(), (1 - label).sum()) if len(rows) else 0
    dropped = SegmentRecord(segment_id, len(rows), int(later.sum()), kept=False, reason="TOO_FEW_ROWS")
    if len(rows) < settings.segment_min_rows or smallest < MIN_OF_EACH_CLASS:
        return dropped, None
    if later.sum() < MIN_LATER_ROWS or len(np.unique(data.fold[rows])) < 2:
        return replace(dropped, reason="TOO_FEW_LATER_ROWS"), None
    w = data.weights[rows]
    before = _calibrated_loss(data, rows, pooled[rows], line)
    ways = _ways(data, rows, asked, pooled[asked])
    losses = [
        _calibrated_loss(
            data, rows, pooled[rows] + own.weight * own.fitted.z[: len(rows)], replace(line, a=own.scale * line.a)
        )
        for own in ways
    ]
    least, best = min(zip(losses, ways, strict=True), key=lambda pair: float((w * pair[0]).sum()))
    gain = before - least
    low = _lower_end(gain, w)
    kept = low > 0.0 and float((w * gain)[later].sum()) > 0.0
    record = replace(
        dropped,
        kept=kept,
        reason="LOWERS_LATER_LOSS" if kept else "NO_GAIN_BEYOND_NOISE",
        weight=best.weight if kept else 0.0,
        rounds=best.fitted.rounds,
        loss_pooled=float(np.average(before[later], weights=w[later])),
        loss_segment=float(np.average(least[later], weights=w[later])),
        gain_low=low,
    )
    return record, best if kept else None


def _ways(data: Rows, rows: Ints, asked: Ints, pooled: Floats) -> list[_Own]:
    """A segment's booster on top of the pooled log-odds, shrunk or half of it, and beside them where rows are few."""
    settings = data.settings
    on_top = cross_fit(data, asked, settings.segment, pooled)
    on_top = replace(on_top, z=on_top.z - pooled)
    shrunk = len(rows) / (len(rows) + settings.shrinkage_rows)
    ways = [_Own(on_top, settings.segment, True, weight, 1.0) for weight in (shrunk / 2, shrunk)]
    if len(rows) < BESIDE_ROWS:
        beside = cross_fit(data, asked, settings.beside, None)
        ways += [_Own(beside, settings.beside, False, part / (1.0 - part), 1.0 - part) for part in PARTS_BESIDE]
    return ways


def _calibrated_loss(data: Rows, rows: Ints, z: Floats, line: Line) -> Floats:
    """Loss of each row under a line fitted on the other folds, so that a shift of the level wins nothing by itself."""
    loss = np.empty(len(rows))
    for k in np.unique(data.fold[rows]):
        held = data.fold[rows] == k
        fitted = fit_line(
            z[~held],
            data.y[rows[~held]],
            data.weights[rows[~held]],
            toward=line,
            prior_rows=data.settings.shrinkage_rows,
        )
        loss[held] = log_loss(data.y[rows[held]], fitted.a * z[held] + fitted.b)
    return loss


def _lower_end(gain: Floats, weights: Floats) -> float:
    """Lower end of the weighted mean gain of rows, one-sided."""
    mean = float(np.average(gain, weights=weights))
    error = float(np.sqrt((weights**2 * (gain - mean) ** 2).sum())) / float(weights.sum())
    return mean - KEEP_Z * error


def _calibrate(data: Rows, pooled: CrossFit, z: Floats, variance: Floats, scales: Floats) -> list[Line]:
    """A line for every segment shrunk toward the pooled one, and last the pooled one.

    INVARIANT: a segment without a model of its own is answered as if no other segment had one. So the pooled line is
    that of the pooled log-odds alone, and not of what other segments' boosters made of theirs.
    """
    judged = data.judged
    middle = fit_line(
        pooled.z[judged],
        data.y[judged],
        data.weights[judged],
        prior_rows=POOLED_PRIOR_ROWS,
        model_variance=float(pooled.variance[judged].mean()),
    )
    lines = []
    for index, scale in enumerate(scales):
        rows = judged & (data.segment == index)
        spread = float(variance[rows].mean()) if rows.any() else float(variance[judged].mean())
        lines.append(
            fit_line(
                z[rows],
                data.y[rows],
                data.weights[rows],
                toward=replace(middle, a=float(scale) * middle.a),
                prior_rows=data.settings.shrinkage_rows,
                model_variance=spread,
            )
        )
    return [*lines, middle]


def _mean(values: Floats, data: Rows) -> float:
    return float(np.average(values, weights=data.weights[data.judged]))
