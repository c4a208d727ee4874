"""Everything that a judgement of a trained model says, as plain values: made once, kept beside the bundle, read again.

The file is `<bundle>-card.json` and not a part of the bundle: what serves needs none of it, and a bundle id does not
change when another number is added to a card. It names the bundle that it is of, and an approval keeps its SHA-256.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from configs.errors import BundleRefused, InputInvalid, NotReady
from training.evaluation.brier import BrierParts, ReliabilityBin
from training.evaluation.fairness import FairnessRow
from training.evaluation.resampling import Estimate
from training.evaluation.slices import Slices
from training.evaluation.stability import Stability

FORMAT = 1
SUFFIX = "-card.json"
PAGE_SUFFIX = "-card.html"
MAX_BYTES = 32_000_000

Numbers = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Purpose:
    """What is predicted: the words of the target, the outcomes that count, within how many days (None: not said)."""

    target: str
    says: str
    outcomes: tuple[str, ...]
    horizon_days: int | None


@dataclass(frozen=True, slots=True)
class SegmentUse:
    """A segment that the model was trained for: whom it holds and what it is used for."""

    segment_id: str
    title: str
    audience: tuple[str, ...]
    purpose: str


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows, positives and accounts are in one part of the data, and the periods they are from."""

    rows: int
    positives: int
    accounts: int
    periods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataUsed:
    """The rows that trained, the later rows that judged, and what became of all others by reason."""

    train: Rows
    judge: Rows
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DifferenceLine:
    """Ours minus another model in one metric, with its interval and what that says."""

    metric: str
    theirs: str
    difference: Estimate
    verdict: str


@dataclass(frozen=True, slots=True)
class TopLine:
    """The most ready share of all leads: how many, how many of them reach the outcome, and how many of all that do.

    `others` has the lift of other models at the same share.
    """

    share: float
    rows: int
    precision: Estimate
    lift: Estimate
    capture: Estimate
    others: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class BandLine:
    """One band as it would have been said: how many leads, the mean prediction and what came of them."""

    band: str
    rows: int
    positives: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many leads with and without the outcome got a probability between two edges; one edge more than counts."""

    edges: tuple[float, ...]
    reached: tuple[int, ...]
    others: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SegmentLine:
    """One segment on later data: ours, and ours minus other models in log-loss; `why` it has its own model or not."""

    segment_id: str
    rows: int
    positives: int
    tells: bool
    auc: float | None
    log_loss: float | None
    own_model: bool
    weight: float
    why: str
    differences: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Driver:
    """One feature's mean absolute contribution to the log-odds over the leads that judge."""

    feature: str
    says: str
    group: str
    weight: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the whole comes to: one word, one plain sentence, and every reason for it or against it."""

    word: str
    sentence: str
    against: tuple[str, ...]
    speaks_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model judged on rows that it was not fitted on; `models` are all on the same rows, `ours` among them."""

    format: int
    bundle_id: str
    title: str
    as_of: str
    versions: Mapping[str, str]
    purpose: Purpose
    segments_used: tuple[SegmentUse, ...]
    data: DataUsed
    ours: str
    baseline: str
    models: Mapping[str, Numbers]
    brier: Mapping[str, BrierParts]
    levels: Mapping[str, Estimate]
    differences: tuple[DifferenceLine, ...]
    gap: Estimate
    intercept: Estimate
    slope: Estimate
    reliability: Mapping[str, tuple[ReliabilityBin, ...]]
    gain: Mapping[str, tuple[float, ...]]
    top: tuple[TopLine, ...]
    histogram: Histogram
    bands: tuple[BandLine, ...]
    abstained: Mapping[str, int]
    segments: tuple[SegmentLine, ...]
    slices: Slices
    fairness: tuple[FairnessRow, ...]
    stability: Stability | None
    time_only: Numbers | None
    drivers: tuple[Driver, ...]
    overrides: tuple[str, ...]
    leaks: tuple[str, ...]
    leak_detectors: int
    notes: tuple[str, ...]
    verdict: Verdict

    def against(self, theirs: str, metric: str = "log_loss") -> DifferenceLine | None:
        """Ours minus another model; None where it was not compared."""
        return next((d for d in self.differences if d.theirs == theirs and d.metric == metric), None)

    @property
    def others(self) -> tuple[str, ...]:
        """The other models from the lowest log-loss up."""
        found = [name for name in self.models if name != self.ours]
        return tuple(sorted(found, key=lambda name: (self.models[name].get("log_loss") or math.inf, name)))


def evaluation_file(bundle: Path) -> Path:
    """Where the evaluation of a bundle's folder lies."""
    bundle = bundle if bundle.name else bundle.absolute()
    return bundle.with_name(f"{bundle.name}{SUFFIX}")


def card_file(bundle: Path) -> Path:
    """Where the page lies that a person reads."""
    bundle = bundle if bundle.name else bundle.absolute()
    return bundle.with_name(f"{bundle.name}{PAGE_SUFFIX}")


def save_evaluation(evaluation: Evaluation, bundle: Path) -> Path:
    """Write the evaluation beside its bundle as a whole or not at all; the same values give the same bytes."""
    file = evaluation_file(bundle)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(evaluation, order="deterministic"), indent=1) + b"\n")
        os.replace(draft, file)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return file


def load_evaluation(bundle: Path, bundle_id: str) -> tuple[Evaluation, str]:
    """The evaluation beside a bundle and the SHA-256 of its file.

    Raises NotReady where there is none, BundleRefused where it is of another bundle, InputInvalid where it is no card.
    """
    file = evaluation_file(bundle)
    if not file.is_file():
        raise NotReady(f"{file}: no evaluation beside the bundle; `leadwell train --bundle {bundle}` writes one")
    if file.stat().st_size > MAX_BYTES:
        raise InputInvalid(str(file), f"expected at most {MAX_BYTES:,} bytes")
    data = file.read_bytes()
    try:
        # What names another bundle or another format need not have today's fields.
        head = msgspec.json.decode(data, type=_Head)
        if head.bundle_id != bundle_id:
            raise BundleRefused(
                f"{file}: it is the card of bundle {head.bundle_id[:12]}, and this is {bundle_id[:12]}; train again"
            )
        if head.format != FORMAT:
            raise InputInvalid(str(file), f"expected format {FORMAT}, found {head.format}; train again")
        evaluation = msgspec.json.decode(data, type=Evaluation)
    except msgspec.MsgspecError as error:
        raise InputInvalid(str(file), f"expected what `leadwell train` wrote ({type(error).__name__})") from None
    return evaluation, hashlib.sha256(data).hexdigest()


def finite_or_none(value: float) -> float | None:
    """A number that JSON can hold; None for one that is not defined."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class _Head:
    format: int
    bundle_id: str
