"""Columns that tell the outcome, or whether one is there does, judged one by one on accounts they were not measured on.

What separates a leak from a strong honest column is how much it tells. Measured on X Education, bank calls, web
sessions and the made world, the strongest column known before the outcome tells 17 % of it alone, and all of them
together 46 % at most. So a column that alone tells half fails, and one that tells a quarter is pointed at: alone it
tells more than honest columns do, and half as much as a leak. A rare value with a certain outcome tells little.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.vocabulary import normalize
from features.catalog import Feature
from features.intake.quality.leaks import MIN_ROWS, TIME_GAP, auc_of
from training.dataset.dataset import Dataset
from training.leakage.findings import FAILS, WARNS, Leak
from training.leakage.telling import SURE, Judging, Told, bins_of, sample_of

LOOKED = (
    "TARGET_IN_DISGUISE", "GAP_TELLS_OUTCOME", "FILLED_AFTERWARDS", "NAMED_LIKE_AFTERWARDS", "LATER_COPY",
    "NAMES_ACCOUNTS",
)  # fmt: skip
TELLS_HALF, TELLS_A_QUARTER = 0.5, 0.25
# Whether something is filled in tells at most 6 % in honest columns (X Education: forms left half way).
GAP_FAILS, GAP_WARNS = 0.25, 0.12
MOST_ROWS = 30_000
# Names that tell something only together with a figure: the column must tell this much of the outcome.
TELLS_ANYTHING = 0.02
PARTS = 20
# Presence that falls by this share of its whole fall within a tenth of the rows stopped; it was not filled in slowly.
STOPPED = 0.6
SAME_WORDS, SAME_ROWS = 0.8, 0.5
MOST_OTHERS_ROWS = 6_000
# A column of few values cannot name accounts; one that does tells this much more where it has met them.
MANY_VALUES, MEETS_MORE = 20, 0.1
FOLDS = 5
_AFTERWARDS = re.compile(
    r"^tags?$|(^|_)(won|lost|closed?|converted|conversion|disposition|invoice|contract|deal|purchased?)($|_)"
    r"|lead_(quality|profile|score|grade|rating|status|stage)|(call|talk)_(duration|time|length)|^duration$"
    r"|(status|stage|outcome|result)_reason|reason_(lost|closed|rejected)|(sales|opportunity)_(stage|status|amount)"
)

# Sales move it on as the lead comes closer; a system without history dates today's stage back to the beginning.
_STAGE = ("leads", "lifecycle")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the rows under judgement: where it comes from, its bins, and what it and its presence tell."""

    index: int
    feature: Feature
    values: Floats
    told: Told
    filled: Told

    @property
    def table(self) -> str:
        """The table a person would look in."""
        tables = {"attribute": "export", "lead": "leads", "account": "accounts", "days": "leads", "verified": "leads"}
        return tables.get(self.feature.source, "features")

    @property
    def name(self) -> str:
        """The export's or table's own column, or the feature where there is none."""
        return self.feature.name if self.table == "features" else self.feature.field


@dataclass(frozen=True)
class Columns:
    """The columns of a data set beside the rows they are judged on."""

    rows: NDArray[np.bool_]
    judging: Judging
    order: Floats
    found: tuple[Column, ...]

    @classmethod
    def of(cls, dataset: Dataset) -> Columns:
        """Judge every column that has more than one value, on at most 30,000 rows of whole accounts."""
        rows = sample_of(dataset.root, MOST_ROWS)
        judging = Judging.of(dataset.y[rows], dataset.fold[rows], dataset.root[rows])
        X = dataset.X[rows]
        found = []
        for index, feature in enumerate(dataset.spec.features):
            bins = bins_of(X[:, index], feature.categorical)
            if bins.min(initial=0) == bins.max(initial=0):
                continue
            filled = judging.told((bins > 0).astype(np.int64))
            found.append(Column(index, feature, X[:, index], judging.told(bins), filled))
        return cls(rows, judging, dataset.order[rows], tuple(found))


def column_leaks(dataset: Dataset) -> list[Leak]:
    """Columns that tell the outcome too well, by value or by being there, in the rows of a data set."""
    columns = Columns.of(dataset)
    found = list(_gaps(columns))
    # One column, one reason: that being filled in tells the outcome says why its value does.
    known = {leak.column for leak in found if leak.level == FAILS}
    found += [leak for leak in _disguised(columns) if leak.column not in known]
    known = {leak.column for leak in found}
    found += [leak for leak in _named(columns) if leak.column not in known]
    return [*found, *_filled_afterwards(columns), *_later_copies(columns, dataset), *_names_accounts(columns)]


def _disguised(columns: Columns) -> Iterator[Leak]:
    for column in columns.found:
        told = column.told
        if told.low < TELLS_A_QUARTER:
            continue
        by_name = _sounds_late(column) or (column.table, column.name) == _STAGE
        fails = told.low >= TELLS_HALF or by_name
        others = _told_by_others(columns, column)
        numbers = {"told": told.share, "error": told.error, "told_by_others": others, "auc": _auc(column, columns)}
        evidence = (
            f"alone it tells {told.share:.0%} of the outcome of other accounts (at least {told.low:.0%}; AUC "
            f"{numbers['auc']:.3f}), every other column together {max(others, 0.0):.0%}"
            + (", and its name is one that sales write" if by_name else "")
        )
        do = (
            "declare it under after_outcome, or take it out of the features"
            if fails
            else "ask who writes it and when: before the outcome it is a strong feature, after it a leak"
        )
        yield Leak("TARGET_IN_DISGUISE", FAILS if fails else WARNS, column.table, column.name, evidence, do, numbers)


def _gaps(columns: Columns) -> Iterator[Leak]:
    for column in columns.found:
        if column.filled.low < GAP_WARNS:
            continue
        given = ~np.isnan(column.values)
        there, gone = float(columns.judging.y[given].mean()), float(columns.judging.y[~given].mean())
        numbers = {"told": column.filled.share, "error": column.filled.error, "rate_given": there, "rate_missing": gone}
        evidence = (
            f"{there:.1%} of the {int(given.sum()):,} rows that have it reach the outcome and {gone:.1%} of the "
            f"{int((~given).sum()):,} that lack it: being filled in alone tells {column.filled.share:.0%} "
            "of the outcome"
        )
        do = "somebody fills it in once the outcome is known or under way: declare it under after_outcome"
        level = FAILS if column.filled.low >= GAP_FAILS else WARNS
        yield Leak("GAP_TELLS_OUTCOME", level, column.table, column.name, evidence, do, numbers)


def _filled_afterwards(columns: Columns) -> Iterator[Leak]:
    if len(np.unique(columns.order)) < PARTS:
        return
    ranks = np.unique(columns.order, return_inverse=True)[1].ravel()
    part = ranks * PARTS // (int(ranks.max()) + 1)
    rows = np.bincount(part, minlength=PARTS)
    for column in columns.found:
        given = ~np.isnan(column.values)
        share = np.bincount(part[given], minlength=PARTS) / np.maximum(rows, 1)
        older, newer = float(share[: PARTS // 2].mean()), float(share[PARTS // 2 :].mean())
        if older - newer < TIME_GAP or given.sum() < MIN_ROWS:
            continue
        fall = float((share[:-2] - share[2:]).max() / max(share.max() - share.min(), 1e-9))
        slowly, tells = fall < STOPPED, max(column.told.low, column.filled.low) > TELLS_ANYTHING
        numbers = {"older": older, "newer": newer, "sharpest_fall": fall, "told": column.told.share}
        how = "bit by bit: it is filled in later" if slowly else "at one point: it is filled in later or kept no more"
        evidence = (
            f"known in {older:.0%} of the older half of the rows and {newer:.0%} of the newer, falling {how}; it "
            f"tells {max(column.told.share, 0.0):.0%} of the outcome"
        )
        do = "what a new lead will not have when it is scored cannot be learned from: after_outcome or ignored"
        level = FAILS if slowly and tells else WARNS
        yield Leak("FILLED_AFTERWARDS", level, column.table, column.name, evidence, do, numbers)


def _named(columns: Columns) -> Iterator[Leak]:
    for column in columns.found:
        if column.told.low >= TELLS_ANYTHING and _sounds_late(column):
            evidence = f"its name is one that sales write, and it tells {column.told.share:.0%} of the outcome"
            do = "declare it under after_outcome unless it is certain that it is written before"
            numbers = {"told": column.told.share}
            level = FAILS if column.told.share >= TELLS_A_QUARTER else WARNS
            yield Leak("NAMED_LIKE_AFTERWARDS", level, column.table, column.name, evidence, do, numbers)


def _names_accounts(columns: Columns) -> Iterator[Leak]:
    judging = columns.judging
    if int(judging.cluster.max(initial=-1)) + 1 == len(judging.y):
        return
    met = Judging.of(judging.y, np.arange(len(judging.y), dtype=np.int64) % FOLDS, judging.cluster)
    for column in columns.found:
        bins = bins_of(column.values, column.feature.categorical)
        if len(np.unique(bins)) < MANY_VALUES:
            continue
        told = met.told(bins)
        more = told.share - column.told.share
        if more - SURE * float(np.hypot(told.error, column.told.error)) < MEETS_MORE:
            continue
        evidence = (
            f"it tells {told.share:.0%} of the outcome of accounts that were met before and "
            f"{max(column.told.share, 0.0):.0%} of others'"
        )
        do = "it names accounts: what it learned is of no use for the next one; group its values or take it out"
        numbers = {"told_met": told.share, "told": column.told.share}
        yield Leak("NAMES_ACCOUNTS", WARNS, column.table, column.name, evidence, do, numbers)


def _sounds_late(column: Column) -> bool:
    """Whether an export's column has a name that is given to what sales write."""
    return column.feature.source == "attribute" and bool(_AFTERWARDS.search(normalize(column.feature.field)))


def _later_copies(columns: Columns, dataset: Dataset) -> Iterator[Leak]:
    words = {
        column.index: frozenset(dataset.spec.categories.get(column.feature.name, ()))
        for column in columns.found
        if column.feature.source == "attribute" and column.feature.categorical
    }
    coded = [column for column in columns.found if len(words.get(column.index, ())) > 2]
    for at, one in enumerate(coded):
        for other in coded[at + 1 :]:
            both = words[one.index] & words[other.index]
            if len(both) < SAME_WORDS * min(len(words[one.index]), len(words[other.index])):
                continue
            same = _texts(one, dataset) == _texts(other, dataset)
            told = columns.judging.told(same.astype(np.int64))
            if not SAME_ROWS <= same.mean() < 1.0 or told.low < TELLS_ANYTHING:
                continue
            alike, differ = float(columns.judging.y[same].mean()), float(columns.judging.y[~same].mean())
            evidence = (
                f"it has the words of {other.name} and the same one in {same.mean():.0%} of the rows, which reach the "
                f"outcome in {alike:.0%}; where they differ it is {differ:.0%}"
            )
            do = f"one of the two is written later: find out which, and declare it under after_outcome ({other.name})"
            numbers = {"same": float(same.mean()), "told": told.share, "rate_same": alike, "rate_differ": differ}
            yield Leak("LATER_COPY", WARNS, one.table, one.name, evidence, do, numbers)


def _texts(column: Column, dataset: Dataset) -> NDArray[np.object_]:
    words = np.array(["", *dataset.spec.categories[column.feature.name]], dtype=object)
    return np.asarray(words[np.nan_to_num(column.values, nan=0.0).astype(np.int64)])


def _auc(column: Column, columns: Columns) -> float:
    """AUC of the rate of the column's bins, in the rows themselves: for people who think in it."""
    bins = bins_of(column.values, column.feature.categorical)
    rows, hits = np.bincount(bins), np.bincount(bins, weights=columns.judging.y)
    return auc_of((hits / np.maximum(rows, 1))[bins], columns.judging.y.astype(np.int64))


def _told_by_others(columns: Columns, column: Column) -> float:
    """The share that a small booster of every other column tells of other accounts."""
    import lightgbm

    judging = columns.judging
    others = [one for one in columns.found if one.index != column.index]
    if not others:
        return 0.0
    rows = sample_of(judging.cluster, MOST_OTHERS_ROWS)
    X, y = np.column_stack([one.values for one in others])[rows], judging.y[rows]
    first = np.asarray(judging.part[rows] % 2 == 0)
    rate = np.empty(len(y))
    shape = {
        "objective": "binary",
        "num_leaves": 8,
        "num_threads": 1,
        "verbosity": -1,
        "seed": 7,
        "deterministic": True,
    }
    coded = [at for at, one in enumerate(others) if one.feature.categorical]
    for here in (first, ~first):
        if here.all() or not here.any() or len(np.unique(y[~here])) < 2:
            return 0.0
        data = lightgbm.Dataset(X[~here], y[~here], categorical_feature=coded, free_raw_data=False)
        rate[here] = np.asarray(lightgbm.train(shape, data, num_boost_round=60).predict(X[here], num_threads=1))
    held = judging.only(rows)
    return held.share_of(held.loss + np.log(np.clip(np.where(y > 0, rate, 1 - rate), 1e-6, 1.0))).share
