"""Columns of a flat file that nearly give the outcome, with the evidence, and columns that only name a row.

A suspect is pointed at, never removed: a person decides whether the column was known before the outcome.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from features.intake.flat import Texts, level_codes, numbers_of
from features.intake.quality.findings import Suspect

SUSPECT_AUC = 0.7
DISGUISED_AUC = 0.97
MIN_ROWS = 30
ALMOST_ALWAYS, ALMOST_NEVER = 0.97, 0.005
MISSING_GAP = 0.15
TIME_GAP = 0.25
MAX_LEVELS = 200
ID_SHARE = 0.98
_FOLDS = 5
_NAMED_TOGETHER = 2
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?")


def suspects(
    texts: Mapping[str, Texts],
    label: NDArray[np.int64],
    late: NDArray[np.bool_],
    claim: Callable[[str], str],
    codes: Mapping[str, NDArray[np.int64]],
    levels: Mapping[str, list[str]],
) -> tuple[Suspect, ...]:
    """Columns that may know the outcome, the strongest suspicion first.

    Args:
        texts: the columns to judge, None where missing.
        label: 1 and 0 for the outcome, -1 where a row has none.
        late: rows of the newer half.
        claim: what a mapping says about a column.
        codes: level codes of each column, -1 where missing.
        levels: the levels these codes mean.
    """
    judged = label >= 0
    gaps: dict[bytes, list[str]] = {}
    for name in texts:
        if (codes[name] < 0).sum() >= MIN_ROWS:
            gaps.setdefault((codes[name] < 0).tobytes(), []).append(name)
    found: list[Suspect] = []
    for name, column in texts.items():
        one = _suspect(name, column[judged], codes[name][judged], levels[name], label[judged], late[judged])
        if one is None:
            continue
        together = [other for other in gaps.get((codes[name] < 0).tobytes(), []) if other != name]
        if together:
            named, more = ", ".join(together[:_NAMED_TOGETHER]), len(together) - _NAMED_TOGETHER
            more_too = f" and {more} more" if more > 0 else ""
            said = f"missing in exactly the same rows as {named}{more_too}: filled in together"
            one = replace(one, evidence=(*one.evidence, said))
        found.append(replace(one, declared=claim(name)))
    return tuple(sorted(found, key=lambda s: (-s.strength, s.column)))


def id_like(
    texts: Mapping[str, Texts], codes: Mapping[str, NDArray[np.int64]], levels: Mapping[str, list[str]]
) -> tuple[str, ...]:
    """Columns that give (nearly) every row a value of its own and so name rows instead of describing them.

    Text counts from 98 % different values on; whole numbers where each occurs once; other numbers are measurements and
    a date is when something happened.
    """
    found = []
    for name, column in texts.items():
        given = int((codes[name] >= 0).sum())
        if given < MIN_ROWS or len(levels[name]) < ID_SHARE * given:
            continue
        numbers, wrong = numbers_of(column)
        if wrong.any():
            given_texts = (text for text in column.tolist() if text is not None)
            if all(_DATE.fullmatch(text) for text in islice(given_texts, MIN_ROWS)):
                continue
        else:
            known = numbers[~np.isnan(numbers)]
            if len(levels[name]) < given or not np.array_equal(known, np.floor(known)):
                continue
        found.append(name)
    return tuple(found)


def auc_of(score: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    """Share of (positive, negative) pairs that the score puts in order, ties counted half; 0.5 where undefined."""
    positives = int(label.sum())
    negatives = len(label) - positives
    if positives == 0 or negatives == 0:
        return 0.5
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((ranks[label == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _suspect(
    column: str,
    texts: Texts,
    codes: NDArray[np.int64],
    levels: list[str],
    label: NDArray[np.int64],
    late: NDArray[np.bool_],
) -> Suspect | None:
    if len(levels) == 0 or len(label) < MIN_ROWS:
        return None
    numbers, wrong = numbers_of(texts)
    numeric = not wrong.any() and len(levels) > 2
    auc = _numeric_auc(numbers, label) if numeric else 0.5
    if len(levels) <= MAX_LEVELS:
        auc = max(auc, _level_auc(codes, label))
    evidence: list[str] = []
    if auc >= DISGUISED_AUC:
        evidence.append(f"the outcome in other words: alone it orders {auc:.1%} of all pairs rightly (AUC {auc:.3f})")
    elif auc >= SUSPECT_AUC:
        evidence.append(f"alone it orders {auc:.1%} of converted and other leads rightly (AUC {auc:.3f})")
    if len(levels) <= MAX_LEVELS:
        evidence += _certain_levels(codes, levels, label)
    missing = codes < 0
    older = float(missing[~late].mean()) if (~late).any() else 0.0
    newer = float(missing[late].mean()) if late.any() else 0.0
    if newer - older >= TIME_GAP:
        faded = f"missing in {older:.1%} of the older half and {newer:.1%} of the newer"
        evidence.append(f"{faded}: filled in afterwards, or kept no more")
    evidence += _telling_gap(codes, label)
    told = auc_of(missing.astype(np.float64), label)
    strength = 2 * max(auc, told, 1 - told) - 1
    return Suspect(column, max(strength, newer - older), auc, tuple(evidence), "") if evidence else None


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


def leveled(texts: Mapping[str, Texts]) -> tuple[dict[str, NDArray[np.int64]], dict[str, list[str]]]:
    """Level codes and levels of every column."""
    both = {name: level_codes(column) for name, column in texts.items()}
    return {name: codes for name, (codes, _) in both.items()}, {name: levels for name, (_, levels) in both.items()}
