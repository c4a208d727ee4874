"""What an intake holds, and which columns of a flat export nearly give the answer, with the evidence.

A suspect is pointed at, never removed: a person decides whether the column was known before the outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.mapping import SourceMapping
from configs.settings import Settings
from features.intake.flat import FlatColumns, Texts, level_codes, numbers_of, read_columns
from features.intake.settle import Counts
from features.intake.sources import Intake
from features.tables import UNKNOWN_INSTANT

SUSPECT_AUC = 0.7
MIN_ROWS = 30
ALMOST_ALWAYS, ALMOST_NEVER = 0.97, 0.005
MISSING_GAP = 0.15
TIME_GAP = 0.25
MAX_LEVELS = 200
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class ColumnQuality:
    """One column: how complete it is, how many values it has, and how many of them a vocabulary knows."""

    table: str
    column: str
    rows: int
    known_share: float
    distinct: int
    constant: bool
    same_as: str | None = None
    unmapped: int = 0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A column that may be known only after the outcome, the strength of the suspicion, and why."""

    column: str
    strength: float
    auc: float
    evidence: tuple[str, ...]
    declared: str


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The inventory of an intake and the leakage suspects, the strongest first."""

    counts: Mapping[str, Counts]
    columns: tuple[ColumnQuality, ...]
    extras: Mapping[str, tuple[str, ...]]
    flagged: Mapping[str, int]
    suspects: tuple[Suspect, ...] = ()
    undeclared: tuple[str, ...] = ()


def check(intake: Intake, settings: Settings) -> QualityReport:
    """Inventory of encoded tables: completeness, distinct values, constants, duplicates, unmapped values."""
    columns: list[ColumnQuality] = []
    for table in intake.counts:
        found = getattr(intake.tables, table)
        known: dict[str, NDArray[Any]] = {name: column for name, column in found.items() if len(column)}
        columns += _inventory(table, known, intake.unmapped)
    columns += _inventory("attributes", dict(intake.tables.attributes), {})
    return QualityReport(intake.counts, tuple(columns), intake.extras, intake.flagged)


def check_flat(mapping: SourceMapping, path: Path, intake: Intake) -> QualityReport:
    """Inventory of a flat export's own columns, and its leakage suspects where the file has the outcome."""
    flat = read_columns(mapping, path)
    coded = {name: level_codes(flat.texts[name])[0] for name in flat.names}
    columns = _inventory("leads", coded, {})
    suspects: list[Suspect] = []
    labels = _labels(mapping, flat)
    if labels is not None:
        judged = labels >= 0
        late = _later_half(mapping, flat)[judged]
        gaps: dict[bytes, list[str]] = {}
        for name, codes in coded.items():
            if (codes < 0).sum() >= MIN_ROWS:
                gaps.setdefault((codes < 0).tobytes(), []).append(name)
        for name in flat.names:
            if name not in (mapping.lead_id, mapping.outcome, mapping.order_by):
                found = _suspect(name, flat.texts[name][judged], labels[judged], late, _claim(mapping, name))
                together = [other for other in gaps.get((coded[name] < 0).tobytes(), []) if other != name]
                if found and together:
                    said = f"missing in exactly the same rows as {', '.join(together)}: filled in together"
                    found = replace(found, evidence=(*found.evidence, said))
                suspects += [found] if found else []
    ranked = tuple(sorted(suspects, key=lambda s: (-s.strength, s.column)))
    unknown = tuple(name for name in flat.names if name not in mapping.declared())
    return QualityReport(intake.counts, tuple(columns), intake.extras, intake.flagged, ranked, unknown)


def auc_of(score: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    """Share of (positive, negative) pairs that the score puts in order, ties counted half; 0.5 where undefined."""
    positives = int(label.sum())
    negatives = len(label) - positives
    if positives == 0 or negatives == 0:
        return 0.5
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((ranks[label == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _inventory(table: str, columns: Mapping[str, NDArray[Any]], unmapped: Mapping[str, int]) -> list[ColumnQuality]:
    seen: dict[bytes, str] = {}
    found: list[ColumnQuality] = []
    for name, column in columns.items():
        known = _known(column)
        codes = np.unique(column.astype(str) if column.dtype == object else column, return_inverse=True)[1]
        distinct = len(np.unique(codes[known]))
        print_ = _fingerprint(codes) if distinct > 1 else b""
        same_as = seen.setdefault(print_, name) if print_ else name
        found.append(
            ColumnQuality(
                table,
                name,
                len(column),
                float(known.mean()) if len(known) else 0.0,
                distinct,
                distinct <= 1 and bool(known.all()),
                same_as if same_as != name else None,
                unmapped.get(f"{table}.{name}", 0),
            )
        )
    return found


def _known(column: NDArray[Any]) -> NDArray[np.bool_]:
    if column.dtype == object:
        return np.array([value is not None for value in column.tolist()], dtype=np.bool_)
    if column.dtype.kind == "f":
        return np.asarray(~np.isnan(column))
    if column.dtype == np.uint8:
        return np.asarray(column != 0)
    # References and level codes use -1, instants their own mark.
    given: NDArray[np.bool_] = (column != -1) & (column != UNKNOWN_INSTANT)
    return given


def _fingerprint(codes: NDArray[np.int64]) -> bytes:
    """The partition of rows that a column makes: equal for columns that say the same in other words."""
    first, place = np.unique(codes, return_index=True)[1], codes
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[place].tobytes()


def _labels(mapping: SourceMapping, flat: FlatColumns) -> NDArray[np.int64] | None:
    texts = flat.texts.get(mapping.outcome or "")
    if texts is None:
        return None
    known = dict.fromkeys(mapping.outcome_false, 0) | dict.fromkeys(mapping.outcome_true, 1)
    return np.array([known.get(text, -1) for text in texts.tolist()], dtype=np.int64)


def _claim(mapping: SourceMapping, column: str) -> str:
    if column in mapping.after_outcome:
        return "after_outcome"
    if column in mapping.ignored:
        return "ignored"
    if any(attribute.column == column for attribute in mapping.attributes):
        return "before_outcome"
    return "records" if column in mapping.declared() else "undeclared"


def _suspect(
    column: str, texts: Texts, label: NDArray[np.int64], late: NDArray[np.bool_], declared: str
) -> Suspect | None:
    codes, levels = level_codes(texts)
    if len(levels) == 0 or len(label) < MIN_ROWS:
        return None
    numbers, wrong = numbers_of(texts)
    numeric = not wrong.any() and len(levels) > 2
    auc = _numeric_auc(numbers, label) if numeric else 0.5
    if len(levels) <= MAX_LEVELS:
        auc = max(auc, _level_auc(codes, label))
    evidence: list[str] = []
    if auc >= SUSPECT_AUC:
        evidence.append(f"alone it orders {auc:.1%} of converted and other leads rightly (AUC {auc:.3f})")
    if len(levels) <= MAX_LEVELS:
        evidence += _certain_levels(codes, levels, label)
    missing = codes < 0
    older, newer = float(missing[~late].mean()), float(missing[late].mean())
    if newer - older >= TIME_GAP:
        evidence.append(f"missing in {older:.1%} of the older half and {newer:.1%} of the newer: filled in afterwards")
    evidence += _telling_gap(codes, label)
    told = auc_of(missing.astype(np.float64), label)
    strength = 2 * max(auc, told, 1 - told) - 1
    return Suspect(column, max(strength, newer - older), auc, tuple(evidence), declared) if evidence else None


def _later_half(mapping: SourceMapping, flat: FlatColumns) -> NDArray[np.bool_]:
    texts = flat.texts.get(mapping.order_by)
    order = numbers_of(texts)[0] if texts is not None else np.arange(len(flat.rows), dtype=np.float64)
    if np.isnan(order).any():
        order = np.arange(len(flat.rows), dtype=np.float64)
    return np.asarray(order > np.median(order)) if len(order) else np.zeros(0, dtype=np.bool_)


def _level_auc(codes: NDArray[np.int64], label: NDArray[np.int64]) -> float:
    """AUC of the level's own rate, measured on other rows than the ones it is judged on."""
    fold = np.arange(len(codes)) % _FOLDS
    rate = np.empty(len(codes), dtype=np.float64)
    size = int(codes.max()) + 2
    for part in range(_FOLDS):
        here = fold == part
        rows = np.bincount(codes[~here] + 1, minlength=size)
        hits = np.bincount(codes[~here] + 1, weights=label[~here], minlength=size)
        overall = label[~here].mean()
        rate[here] = ((hits + 5 * overall) / (rows + 5))[codes[here] + 1]
    return auc_of(rate, label)


def _numeric_auc(numbers: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    known = ~np.isnan(numbers)
    found = auc_of(numbers[known], label[known]) if known.sum() >= MIN_ROWS else 0.5
    return max(found, 1 - found)


def _certain_levels(codes: NDArray[np.int64], levels: list[str], label: NDArray[np.int64]) -> list[str]:
    rows = np.bincount(codes + 1, minlength=len(levels) + 1)[1:]
    hits = np.bincount(codes + 1, weights=label, minlength=len(levels) + 1)[1:]
    share = hits / np.maximum(rows, 1)
    large = rows >= MIN_ROWS
    always = np.flatnonzero(large & (share >= ALMOST_ALWAYS))
    never = np.flatnonzero(large & (share <= ALMOST_NEVER))
    found = [f"level {levels[i]} converts {share[i]:.1%} of {rows[i]} rows" for i in always.tolist()]
    return found + [f"level {levels[i]} converts {share[i]:.1%} of {rows[i]} rows" for i in never.tolist()]


def _telling_gap(codes: NDArray[np.int64], label: NDArray[np.int64]) -> list[str]:
    missing = codes < 0
    if missing.sum() < MIN_ROWS or (~missing).sum() < MIN_ROWS:
        return []
    there, gone = float(label[~missing].mean()), float(label[missing].mean())
    if abs(there - gone) < MISSING_GAP:
        return []
    return [f"missing in {missing.sum()} rows, which convert {gone:.1%} against {there:.1%} where it is given"]
