"""Columns of an export that name its rows, count its groups' outcomes, or lie in the order of the outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalog import Feature
from features.intake.flat import level_codes
from features.intake.quality.leaks import ID_SHARE, MIN_ROWS, id_like
from training.dataset.dataset import Dataset
from training.leakage.columns import TELLS_A_QUARTER, TELLS_HALF
from training.leakage.findings import FAILS, WARNS, Leak
from training.leakage.telling import SURE

LOOKED = ("ID_LIKE", "RATE_OF_OUTCOME", "ORDER_TELLS_OUTCOME")
# Numbers given out one after another leave few gaps; amounts that are all different leave many.
DENSE = 10
ORDERED = 0.9
MIN_GROUPS = 20
# A rate written with two digits is at most this far from the one it was rounded from.
ROUNDED = 0.0051
EQUAL_GROUPS = 0.9


def row_leaks(dataset: Dataset, attributes: Mapping[str, NDArray[Any]]) -> list[Leak]:
    """What a flat export's columns and order give away; `attributes` are its columns as read, by name."""
    return [*_ids(dataset, attributes), *_rates(dataset), *_order(dataset)]


def _ids(dataset: Dataset, attributes: Mapping[str, NDArray[Any]]) -> Iterator[Leak]:
    do = "take it out: a model that knows rows by name has learned nothing about the next one"
    for feature, values in _numbers(dataset):
        known = ~np.isnan(values)
        given = values[known]
        if len(given) < MIN_ROWS or len(np.unique(given)) < ID_SHARE * len(given):
            continue
        if not np.array_equal(given, np.floor(given)):
            continue
        dense = len(given) / (given.max() - given.min() + 1.0)
        along = abs(_rank_correlation(given, dataset.order[known]))
        numbers = {"different": len(np.unique(given)) / len(given), "dense": dense, "along_order": along}
        if dense * DENSE >= 1.0 or along >= ORDERED:
            evidence = f"{len(np.unique(given)):,} different whole numbers in {len(given):,} rows, " + (
                "with hardly a gap between them" if dense * DENSE >= 1.0 else "rising with the order of the rows"
            )
            yield Leak("ID_LIKE", FAILS, "export", feature.field, evidence, do, numbers)
    used = {f.field for f in dataset.spec.features if f.source == "attribute" and f.categorical}
    texts = {name: column[dataset.lead] for name, column in attributes.items() if name in used}
    texts = {name: column for name, column in texts.items() if column.dtype == object}
    both = {name: level_codes(column) for name, column in texts.items()}
    codes, levels = {n: c for n, (c, _) in both.items()}, {n: list(v) for n, (_, v) in both.items()}
    for name in id_like(texts, codes, levels):
        given_rows = int((codes[name] >= 0).sum())
        evidence = f"{len(levels[name]):,} different texts in {given_rows:,} rows"
        yield Leak("ID_LIKE", FAILS, "export", name, evidence, do, {"different": len(levels[name]) / given_rows})


def _rates(dataset: Dataset) -> Iterator[Leak]:
    groups = {"its account": dataset.root}
    for feature, values in _columns(dataset):
        if feature.categorical:
            groups[feature.field] = np.nan_to_num(values, nan=0.0).astype(np.int64)
    for feature, values in _numbers(dataset):
        known = ~np.isnan(values)
        for says, group in groups.items():
            numbers = _equal_to_rate(values[known], dataset.y[known], group[known])
            if numbers is None:
                continue
            evidence = (
                f"in {numbers['equal']:.0%} of {numbers['groups']:,.0f} groups of {says} it is the share or number of "
                "these very rows that reach the outcome, each row's own among them"
            )
            do = "count outcomes of other leads before the snapshot only, or take it out"
            yield Leak("RATE_OF_OUTCOME", FAILS, "export", feature.field, evidence, do, numbers)
            break


def _equal_to_rate(
    values: NDArray[np.float64], y: NDArray[np.float64], group: NDArray[np.int64]
) -> dict[str, float] | None:
    place = np.unique(group, return_inverse=True)[1].ravel()
    rows = np.bincount(place)
    several = rows >= 2
    if several.sum() < MIN_GROUPS:
        return None
    total, won = np.bincount(place, weights=values), np.bincount(place, weights=y)
    mean, square = total / rows, np.bincount(place, weights=values**2) / rows
    flat = (square - mean**2) <= 1e-9 * np.maximum(square, 1.0)
    if flat[several].mean() < EQUAL_GROUPS:
        return None
    mean, rate, count = mean[several], (won / rows)[several], won[several]
    mixed = (rate > 0) & (rate < 1)
    if mixed.sum() < MIN_GROUPS // 2:
        return None
    equal = max(
        float((np.abs(mean - rate)[mixed] <= ROUNDED).mean()),
        float((np.abs(mean / 100 - rate)[mixed] <= ROUNDED).mean()),
        float((np.abs(mean - count)[mixed] <= ROUNDED).mean()),
    )
    return {"equal": equal, "groups": float(several.sum())} if equal >= EQUAL_GROUPS else None


def _order(dataset: Dataset) -> Iterator[Leak]:
    order = np.argsort(dataset.order, kind="stable")
    if len(np.unique(dataset.order)) < len(order) / 2 or len(order) < 2 * MIN_ROWS:
        return
    y, root = dataset.y[order], dataset.root[order]
    apart = root[1:] != root[:-1]
    p, n = float(y.mean()), int(apart.sum())
    if n == 0 or not 0.0 < p < 1.0:
        return
    # Of neighbors in an order that tells nothing, 2p(1-p) differ (Wald and Wolfowitz, 1940).
    differ, expected = float((y[1:] != y[:-1])[apart].sum()), 2.0 * p * (1.0 - p) * n
    told = 1.0 - differ / expected
    low = told - SURE / np.sqrt(expected)
    if low < TELLS_A_QUARTER:
        return
    evidence = (
        f"of {n:,} neighboring rows {differ:,.0f} differ in their outcome where {expected:,.0f} would by chance: the "
        f"order tells {told:.0%} of it"
    )
    do = "order the export by a time that was known before the outcome, such as when the lead was created"
    level = FAILS if low >= TELLS_HALF else WARNS
    yield Leak("ORDER_TELLS_OUTCOME", level, "export", "", evidence, do, {"told": told, "differ": differ})


def _columns(dataset: Dataset) -> Iterator[tuple[Feature, NDArray[np.float64]]]:
    for index, feature in enumerate(dataset.spec.features):
        if feature.source == "attribute":
            yield feature, dataset.X[:, index]


def _numbers(dataset: Dataset) -> Iterator[tuple[Feature, NDArray[np.float64]]]:
    return ((feature, values) for feature, values in _columns(dataset) if not feature.categorical)


def _rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    ranks = [np.argsort(np.argsort(column, kind="stable")) for column in (one, other)]
    if len(one) < 3 or len(np.unique(other)) < 2:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
