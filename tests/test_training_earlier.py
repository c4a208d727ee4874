"""Snapshots from before those that are learned from: the rows that they would have had, and nobody who is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.segments.map import SegmentMap
from tests.test_training_leakage_tables import AS_OF, world
from training.dataset import earlier
from training.dataset.dataset import Dataset, build_dataset
from training.dataset.earlier import earlier_among, with_earlier
from training.rivals import repeats_of


def _given() -> Dataset:
    settings, tables, dataset = world()
    return with_earlier(dataset, tables, settings, SegmentMap.load(settings), AS_OF)


def test_earlier_rows_are_those_that_more_snapshots_would_have_had() -> None:
    settings, tables, dataset = world()
    given = _given().earlier
    assert given is not None
    # A made world records outcomes for seven windows: two snapshots more than the four of training know any.
    backs = -np.unique(given.rows.order)[::-1]
    assert backs.tolist() == list(range(1, len(backs) + 1))
    assert len(backs) >= 2
    more = settings.training.model_copy(update={"snapshots": settings.training.snapshots + len(backs)})
    longer = build_dataset(
        tables, settings.model_copy(update={"training": more}), SegmentMap.load(settings), AS_OF, spec=dataset.spec
    )
    for back in backs.tolist():
        then, own = longer.order == len(backs) - back, given.rows.order == -back
        np.testing.assert_array_equal(longer.lead[then], given.rows.lead[own])
        np.testing.assert_array_equal(longer.X[then], given.rows.X[own])
        np.testing.assert_array_equal(longer.y[then], given.rows.y[own])
        np.testing.assert_array_equal(longer.segment[then], given.rows.segment[own])
        np.testing.assert_array_equal(longer.fold[then], given.rows.fold[own])
        np.testing.assert_array_equal(longer.root[then], given.root[own])


def test_whoever_is_left_out_of_the_rows_is_left_out_of_the_earlier_ones() -> None:
    settings, _, dataset = world()
    given = _given()
    kept = earlier_among(given, dataset.train)
    assert kept is not None and given.earlier is not None
    judging = np.unique(dataset.lead[dataset.judge])
    assert len(kept.lead) and not np.isin(kept.lead, judging).any()
    assert np.isin(given.earlier.rows.lead, judging).any()
    assert repeats_of(given, settings, dataset.train).earlier is not None
    assert repeats_of(dataset, settings, dataset.train).earlier is None


def test_where_rows_are_enough_or_stand_for_others_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, tables, dataset = world()
    weighted = replace(dataset, weights=np.ones(len(dataset.y)))
    assert with_earlier(weighted, tables, settings, SegmentMap.load(settings), AS_OF) is weighted
    monkeypatch.setattr(earlier, "ENOUGH_ROWS", len(dataset.y))
    assert with_earlier(dataset, tables, settings, SegmentMap.load(settings), AS_OF) is dataset
