"""A fitted readiness: predicts a calibrated probability, its interval, its band and its exact drivers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from configs.errors import BundleRefused
from models.bands import BANDS, REASONS, cut_points
from models.calibration import FLOOR, Z_80, Line
from models.drivers import Ensemble, compile, contributions, join
from models.intervals import NOTHING_HIDDEN, SHIFT, Hidden
from models.ranges import Ranges
from models.trees import parse_model

Floats = NDArray[np.float64]
SEGMENT_FEATURE = "segment"


class Spec(Protocol):
    """What readiness needs of a fitted feature specification."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Group of each column."""

    @property
    def categorical(self) -> tuple[int, ...]:
        """Indices of the categorical columns."""

    @property
    def monotone(self) -> tuple[int, ...]:
        """Sign of each column."""


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """Why a segment has its own booster or has not, in numbers taken on later data."""

    segment_id: str
    rows: int
    later_rows: int
    kept: bool
    reason: str
    weight: float = 0.0
    rounds: int = 0
    loss_pooled: float | None = None
    loss_segment: float | None = None
    gain_low: float | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """Readiness of many leads. `base` plus the sum of a row's contributions is its `log_odds`."""

    probability: Floats
    lower: Floats
    upper: Floats
    log_odds: Floats
    base: Floats
    a: Floats
    b: Floats
    contributions: Floats
    band: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    segment: NDArray[np.int64]
    model: NDArray[np.int64]
    model_ids: tuple[str, ...]

    def model_id(self, row: int) -> str:
        """Which readiness model answered: a segment's id, or `pooled`."""
        return self.model_ids[int(self.model[row])]


@dataclass(frozen=True)
class Readiness:
    """One pooled ensemble, the segments' own where they earned one, and a calibration line for each segment.

    Rows of features are those of the spec; the primary segment is one more column, last, named `segment`.
    Calibrations and cut points have one entry for each segment and, last, one for a lead without any.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    segment_ids: tuple[str, ...]
    texts: Mapping[str, str]
    weights: Mapping[str, float]
    ensembles: tuple[Ensemble, ...]
    model_ids: tuple[str, ...]
    model_of: NDArray[np.int64]
    lines: tuple[Line, ...]
    line_table: Floats
    cuts: Floats
    bands: Mapping[str, Mapping[str, float]]
    min_known_share: float
    max_interval_width: float
    records: tuple[SegmentRecord, ...]
    notes: Mapping[str, float]
    hidden: Hidden
    ranges: Ranges
    max_outside_share: float

    @classmethod
    def of(
        cls,
        *,
        names: Sequence[str],
        groups: Sequence[str],
        segment_ids: Sequence[str],
        texts: Mapping[str, str],
        weights: Mapping[str, float],
        lines: Sequence[Line],
        bands: Mapping[str, Mapping[str, float]],
        min_known_share: float,
        max_interval_width: float,
        records: Sequence[SegmentRecord],
        notes: Mapping[str, float],
        hidden: Hidden = NOTHING_HIDDEN,
        ranges: Ranges | None = None,
        max_outside_share: float = 1.0,
    ) -> Readiness:
        """Compile model texts (`pooled` and segment ids) into one that predicts; `bands` has `default` and segments.

        `hidden` is what is not seen of a lead, `ranges` what training saw of each feature (nothing is outside without).
        """
        if (
            len(lines) != len(segment_ids) + 1
            or not set(weights) <= set(segment_ids)
            or set(texts)
            != {
                "pooled",
                *weights,
            }
        ):
            raise BundleRefused("readiness: models, weights and calibrations do not fit the segments")
        for key, text in texts.items():
            model = parse_model(text)
            if model.feature_names != tuple(names) or model.objective.split(" ")[0] != "binary":
                raise BundleRefused(f"readiness: model {key} was trained on other features or for another objective")
        ranges = ranges or Ranges.everything(len(names) - 1)
        if ranges.table.shape != (len(names) - 1, 2):
            raise BundleRefused("readiness: the ranges of training are of other features")
        pooled = compile(texts["pooled"])
        own = [s for s in segment_ids if s in weights]
        ensembles = (pooled, *(join(pooled, compile(texts[s]), weights[s]) for s in own))
        place = {s: index + 1 for index, s in enumerate(own)}
        table = [[li.a, li.b, *li.covariance, li.model_variance] for li in lines]
        cuts = [cut_points(bands.get(s, bands["default"])) for s in (*segment_ids, "default")]
        return cls(
            names=tuple(names),
            groups=tuple(groups),
            segment_ids=tuple(segment_ids),
            texts=dict(texts),
            weights=dict(weights),
            ensembles=ensembles,
            model_ids=("pooled", *own),
            model_of=np.array([*(place.get(s, 0) for s in segment_ids), 0], dtype=np.int64),
            lines=tuple(lines),
            line_table=np.array(table, dtype=np.float64),
            cuts=np.array(cuts, dtype=np.float64),
            bands={key: dict(value) for key, value in bands.items()},
            min_known_share=min_known_share,
            max_interval_width=max_interval_width,
            records=tuple(records),
            notes=dict(notes),
            hidden=hidden,
            ranges=ranges,
            max_outside_share=max_outside_share,
        )

    def predict(self, X: Floats, segment: NDArray[Any]) -> Scores:
        """Score rows of features; `segment` is each row's primary segment as index of `segment_ids`, -1 for none."""
        n, width = len(X), len(self.names)
        if X.ndim != 2 or X.shape[1] != width - 1:
            raise ValueError(f"expected rows of {width - 1} features, got an array of shape {X.shape}")
        segment = np.asarray(segment, dtype=np.int64)
        rows = np.empty((n, width))
        rows[:, :-1] = X
        rows[:, -1] = segment
        phi = np.empty((n, width + 1))
        out = np.empty((7, n))
        codes = np.empty((2, n), dtype=np.uint8)
        if n == 1 and segment[0] >= 0:
            model = self.model_of[segment]
            phi = contributions(self.ensembles[model[0]], rows)
        else:
            if n and not -1 <= segment.min() <= segment.max() < len(self.segment_ids):
                raise ValueError("a segment index points outside the segment map")
            rows[segment < 0, -1] = np.nan
            model = self.model_of[segment]
            for index in np.unique(model):
                chosen = np.flatnonzero(model == index)
                whole = len(chosen) == n
                found = contributions(self.ensembles[index], rows if whole else rows[chosen])
                if whole:
                    phi = found
                else:
                    phi[chosen] = found
        limits = (self.min_known_share, self.max_interval_width, self.max_outside_share)
        hidden = (self.hidden.floor, self.hidden.base, self.hidden.slope, self.hidden.top, self.hidden.echo)
        _finish(rows, phi, segment, self.line_table, self.ranges.table, self.cuts, limits, hidden, out, codes)
        return Scores(
            probability=out[0],
            lower=out[1],
            upper=out[2],
            log_odds=out[3],
            base=out[4],
            a=out[5],
            b=out[6],
            contributions=phi[:, :-1],
            band=codes[0],
            reason=codes[1],
            segment=segment,
            model=model,
            model_ids=self.model_ids,
        )

    def band_name(self, code: int) -> str:
        """The word for a band code."""
        return BANDS[code]

    def reason_name(self, code: int) -> str:
        """The reason code for not saying a band, empty where one is said."""
        return REASONS[code]

    def to_files(self) -> dict[str, str]:
        """File name -> text: the boosters, the calibration and the bands."""
        calibration = {
            "names": self.names,
            "groups": self.groups,
            "segment_ids": self.segment_ids,
            "weights": self.weights,
            "lines": [asdict(line) for line in self.lines],
            "min_known_share": self.min_known_share,
            "max_interval_width": self.max_interval_width,
            "records": [asdict(record) for record in self.records],
            "notes": self.notes,
            "hidden": asdict(self.hidden),
            "ranges": self.ranges.to_json(),
            "max_outside_share": self.max_outside_share,
        }
        models = {"pooled.txt" if key == "pooled" else f"segment_{key}.txt": text for key, text in self.texts.items()}
        return {
            **models,
            "calibration.json": json.dumps(calibration, indent=1, sort_keys=True),
            "bands.json": json.dumps(self.bands, indent=1),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> Readiness:
        """Read back what `to_files` wrote; raises BundleRefused where the parts do not fit together."""
        try:
            found = json.loads(files["calibration.json"])
            bands = json.loads(files["bands.json"])
            texts = {"pooled": files["pooled.txt"]}
            texts |= {segment: files[f"segment_{segment}.txt"] for segment in found["weights"]}
            lines = [Line(**{**line, "covariance": tuple(line["covariance"])}) for line in found["lines"]]
            return cls.of(
                names=found["names"],
                groups=found["groups"],
                segment_ids=found["segment_ids"],
                texts=texts,
                weights=found["weights"],
                lines=lines,
                bands=bands,
                min_known_share=found["min_known_share"],
                max_interval_width=found["max_interval_width"],
                records=[SegmentRecord(**record) for record in found["records"]],
                notes=found["notes"],
                hidden=Hidden(**found["hidden"]),
                ranges=Ranges.from_json(found["ranges"]),
                max_outside_share=found["max_outside_share"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BundleRefused(f"readiness: a part is missing or malformed ({type(error).__name__})") from error


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _probability(z):  # type: ignore[no-untyped-def]
    return min(max(1.0 / (1.0 + np.exp(-min(max(z, -40.0), 40.0))), FLOOR), 1.0 - FLOOR)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _finish(rows, phi, segment, lines, ranges, cuts, limits, hidden, out, codes):  # type: ignore[no-untyped-def]
    """Calibrate contributions in place, then probability, interval, band and reason of every row."""
    n, width = rows.shape
    for row in range(n):
        at = segment[row] if segment[row] >= 0 else lines.shape[0] - 1
        a, b = lines[at, 0], lines[at, 1]
        raw = phi[row, width]
        base = a * raw + b
        # INVARIANT: base plus contributions is the log-odds, and the sum runs in the order of the columns.
        log_odds = base
        known = 0
        total = 0.0
        outside = 0.0
        for f in range(width):
            raw += phi[row, f]
            phi[row, f] *= a
            log_odds += phi[row, f]
            total += abs(phi[row, f])
            if f < width - 1 and rows[row, f] == rows[row, f]:
                known += 1
                if rows[row, f] < ranges[f, 0] or rows[row, f] > ranges[f, 1]:
                    outside += abs(phi[row, f])
        p = _probability(log_odds)
        # The same steps as `models.intervals.interval`, which says why.
        line = max(lines[at, 2] * raw * raw + 2.0 * lines[at, 3] * raw + lines[at, 4], 0.0)
        model = a * a * lines[at, 5]
        unseen = max(hidden[0], hidden[1] + hidden[2] * min(p, hidden[3])) + hidden[4] * p * (1.0 - p)
        own = max(unseen, model)
        middle = log_odds * np.sqrt(1.0 + SHIFT * own)
        spread = Z_80 * np.sqrt(line + own)
        # INVARIANT: the probability lies within its interval.
        out[0, row] = p
        out[1, row] = min(_probability(middle - spread), p)
        out[2, row] = max(_probability(middle + spread), p)
        out[3, row], out[4, row], out[5, row], out[6, row] = log_odds, base, a, b
        band = 1
        for cut in cuts[at]:
            if p >= cut:
                band += 1
        evidence = Z_80 * np.sqrt(line + model)
        reason = 0
        if segment[row] < 0:
            reason = 1
        elif known < limits[0] * (width - 1):
            reason = 2
        elif outside > limits[2] * total:
            reason = 4
        elif _probability(log_odds + evidence) - _probability(log_odds - evidence) > limits[1]:
            reason = 3
        codes[0, row] = 0 if reason else band
        codes[1, row] = reason
