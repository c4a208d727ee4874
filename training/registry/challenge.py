"""The challenger beside the champion on later rows that neither has seen, with the noise of the difference.

Two ways to rows that flatter nobody. Where the data reach one horizon past both bundles, the bundles are judged as they
serve, on every row of the latest snapshot. Else their held-out lines are: the same models fitted without the judging
rows, on accounts that neither line was fitted on. What a bundle itself was fitted on never judges it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import BundleRefused, InputInvalid, NotReady
from configs.mapping import SourceMapping
from configs.settings import Settings
from features.evaluate import Domain
from features.intake.sources import Intake
from features.tables import Tables
from models.bundle import Bundle, read_bundle
from models.segments.map import SegmentMap
from training.dataset.dataset import Dataset, build_dataset, build_flat_dataset
from training.evaluation.metrics import MIN_OUTCOMES, Comparison, compare
from training.registry.gates import HELD_OUT
from training.registry.history import Entry, moment, person, read_history, writing
from training.registry.lines import HeldOutLine, plain, read_line

CHALLENGER, CHAMPION = "challenger", "champion"
Build = Callable[[Bundle], Dataset]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Two bundles on the same later rows; `how` says what of them was judged: `held-out lines` or `as served`."""

    challenger: str
    champion: str
    how: str
    data_as_of: datetime
    data: str
    comparison: Comparison
    accounts: int

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `within noise`, or `too few` outcomes for an interval to mean anything."""
        found = self.comparison.models[CHALLENGER]
        few = min(found.positives, found.rows - found.positives) < MIN_OUTCOMES
        gap = self.comparison.against(CHAMPION)
        return "too few" if few or np.isnan(gap.low) else gap.verdict

    def record(self) -> dict[str, Any]:
        """What the history keeps: the difference with its interval, and where the challenger loses."""
        mine, theirs = self.comparison.models[CHALLENGER], self.comparison.models[CHAMPION]
        worse = {
            row.segment_id: plain(row.against(CHAMPION))
            for row in self.comparison.segments
            if row.tells and row.against(CHAMPION).verdict == "worse"
        }
        return {
            "champion": self.champion,
            "verdict": self.verdict,
            "how": self.how,
            "data_as_of": moment(self.data_as_of),
            "data": self.data,
            "rows": mine.rows,
            "positives": mine.positives,
            "accounts": self.accounts,
            "difference": plain(self.comparison.against(CHAMPION)),
            "log_loss": {CHALLENGER: _number(mine.log_loss), CHAMPION: _number(theirs.log_loss)},
            "auc": {CHALLENGER: _number(mine.auc), CHAMPION: _number(theirs.auc)},
            "worse_in": worse,
        }


def challenge(artifacts: Path, folder: Path, tables: Tables, settings: Settings, as_of: datetime) -> Judgement | None:
    """Judge a bundle beside the champion on the latest complete snapshot; None where it has no champion to beat.

    A champion that learned nothing claims no probability: `promote` asks for the points scorecard to be beaten instead.

    Raises:
        NotReady: the champion's folder or a held-out line is gone, or the data are older than a bundle.
        BundleRefused: a bundle is not sound, or the two answer different questions.
    """

    def build(bundle: Bundle) -> Dataset:
        segment_map = SegmentMap.from_json(bundle.segment_map, Domain.of(settings))
        return build_dataset(tables, settings, segment_map, as_of, spec=bundle.spec)

    return _judged(artifacts, folder, build, tables, settings, as_of)


def challenge_flat(
    artifacts: Path, folder: Path, intake: Intake, settings: Settings, mapping: SourceMapping
) -> Judgement | None:
    """The same on the last part of a flat export."""

    def build(bundle: Bundle) -> Dataset:
        segment_map = SegmentMap.from_json(bundle.segment_map, Domain.of(settings))
        return build_flat_dataset(intake, settings, segment_map, mapping, spec=bundle.spec)

    return _judged(artifacts, folder, build, intake.tables, settings, mapping.as_of)


def keep_judgement(artifacts: Path, judgement: Judgement, *, by: str, as_of: datetime) -> Entry:
    """Write a judgement into the history, whichever way it came out."""
    with writing(artifacts, as_of) as ledger:
        says = judgement.record()
        return ledger.append("judged", by=person(by), bundle_id=judgement.challenger, as_of=as_of, says=says)


def _judged(
    artifacts: Path, folder: Path, build: Build, tables: Tables, settings: Settings, as_of: datetime
) -> Judgement | None:
    serving = read_history(artifacts).champion
    challenger = read_bundle(folder)
    if serving is None or serving.bundle_id == challenger.bundle_id or serving.says.get("cold_start"):
        return None
    if challenger.cold_start:
        mend = "`leadwell rollback` returns to the bundle before; else both persons say why with --despite-gate"
        raise BundleRefused(f"{folder}: it learned nothing and claims no probability, so nothing can be judged; {mend}")
    place = (artifacts / serving.says["path"]).resolve()
    if not place.is_dir():
        raise NotReady(f"{place}: the champion's bundle is gone, so nothing can be judged beside it")
    champion = read_bundle(place, expected=serving.bundle_id)
    for bundle in (challenger, champion):
        bundle.refuse_other_vocabularies(settings.vocabularies)
    _refuse_other_questions(challenger, champion)
    newest = max(challenger.manifest.created_as_of, champion.manifest.created_as_of)
    if as_of < newest:
        expected = f"expected data known at {moment(newest)} or later, found {moment(as_of)}"
        raise NotReady(f"{expected}: older data cannot judge a bundle")
    mine = build(challenger)
    same = challenger.spec == champion.spec and challenger.segment_map == champion.segment_map
    theirs = mine if same else build(champion)
    if _rows_of(challenger) == "snapshots" and as_of - _waited(challenger, settings) >= newest:
        return _compared(challenger, champion, mine, theirs, None, tables, as_of)
    lines = read_line(folder, challenger), read_line(place, champion)
    return _compared(challenger, champion, mine, theirs, lines, tables, as_of)


def _compared(
    challenger: Bundle,
    champion: Bundle,
    mine: Dataset,
    theirs: Dataset,
    lines: tuple[HeldOutLine, HeldOutLine] | None,
    tables: Tables,
    as_of: datetime,
) -> Judgement:
    rows = np.flatnonzero(mine.judge | mine.time_only)
    if lines is not None:
        # INVARIANT: no account that either line was fitted on judges them.
        seen = np.unique(mine.lead[_seen(lines, mine, tables)])
        roots = np.unique(mine.root[np.isin(mine.lead, seen)])
        rows = rows[~np.isin(mine.root[rows], roots)]
    other = np.flatnonzero(theirs.judge | theirs.time_only)
    _, first, second = np.intersect1d(mine.lead[rows], theirs.lead[other], return_indices=True)
    rows, other = rows[first], other[second]
    if not len(rows):
        raise InputInvalid("later data", "expected rows that neither bundle was fitted on, found none")
    models = [line.readiness for line in lines] if lines is not None else [challenger.readiness, champion.readiness]
    predictions = {
        CHALLENGER: models[0].predict(mine.X[rows], mine.segment[rows]).probability,
        CHAMPION: models[1].predict(theirs.X[other], theirs.segment[other]).probability,
    }
    segment = np.array([*mine.segment_ids, "none"], dtype=object)[mine.segment[rows]]
    comparison = compare(mine.y[rows], predictions, ours=CHALLENGER, segment=segment, cluster=mine.root[rows])
    return Judgement(
        challenger=challenger.bundle_id,
        champion=champion.bundle_id,
        how="held-out lines" if lines is not None else "as served",
        data_as_of=as_of,
        data=mine.dataset_id,
        comparison=comparison,
        accounts=len(np.unique(mine.root[rows])),
    )


def _seen(lines: tuple[HeldOutLine, HeldOutLine], dataset: Dataset, tables: Tables) -> NDArray[np.bool_]:
    """Rows of leads that either line was fitted on."""
    leads, place = np.unique(dataset.lead, return_inverse=True)
    ids = tables.lead_ids[leads].tolist()
    seen: NDArray[np.bool_] = lines[0].has_seen(ids) | lines[1].has_seen(ids)
    return seen[place.ravel()]


def _refuse_other_questions(challenger: Bundle, champion: Bundle) -> None:
    mine, theirs = challenger.manifest.training, champion.manifest.training
    for name in ("target_kinds", "horizon_days"):
        if mine.get(name) != theirs.get(name):
            what = name.replace("_", " ")
            found = f"its {what} {mine.get(name)} are not the champion's {theirs.get(name)}"
            raise BundleRefused(f"{challenger.folder}: {found}: two answers to different questions cannot be compared")
    if _rows_of(challenger) != _rows_of(champion):
        raise BundleRefused(f"{challenger.folder}: trained on another kind of data than the champion")


def _rows_of(bundle: Bundle) -> str:
    record = bundle.manifest.training.get(HELD_OUT)
    return str(record.get("rows")) if isinstance(record, dict) else "unknown"


def _waited(bundle: Bundle, settings: Settings) -> timedelta:
    """How long before the data's instant the latest complete snapshot lies."""
    return timedelta(days=int(bundle.manifest.training["horizon_days"]) + settings.targets.history.settle_days)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
