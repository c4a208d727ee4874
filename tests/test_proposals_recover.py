"""On a made world whose truth is known, proposals find what was planted; `python -m benchmarks.proposals` does ten."""

import numpy as np
import pytest

from benchmarks.proposals import best, conditions_of, with_noise, world_of
from configs.settings import load_settings
from models.candidates.clustering import cluster
from models.candidates.field_ties import MixedColumns, votes_of


@pytest.mark.slow
def test_planted_segments_are_found_and_said_and_noise_has_no_vote() -> None:
    material, truth = world_of(3, 2500, load_settings())
    found = cluster(material.clustered, methods=("consensus",), resamples=3)
    clusters = {str(c): found.labels == c for c in range(found.chosen.k)}
    planted = [truth == name for name in np.unique(truth) if name != "unsegmented" and np.mean(truth == name) > 0.02]
    assert np.mean([best(mask, clusters) for mask in planted]) > 0.65
    conditions = conditions_of(found, material, 7)
    assert len(conditions) >= 5
    assert np.mean([one.fidelity.f1 for one in conditions.values()]) > 0.85
    noisy = with_noise(material.clustered, 3)
    votes = votes_of(noisy)
    plain = votes_of(material.clustered)
    assert all(own == 0.0 for name, own in votes.items() if "noise" in name)
    assert {name: own for name, own in votes.items() if "noise" not in name} == pytest.approx(plain)


def test_the_best_overlap_is_that_of_the_closest_group() -> None:
    mask = np.array([1, 1, 1, 0], dtype=bool)
    groups = {"a": np.array([1, 0, 0, 0], dtype=bool), "b": np.array([1, 1, 0, 1], dtype=bool)}
    assert best(mask, groups) == 0.5  # two of four leads that are in either
    assert best(mask, {}) == 0.0


def test_noise_columns_leave_the_others_as_they_were() -> None:
    columns = MixedColumns(("a",), np.ones((4, 1)), ("s",), np.ones((4, 1), dtype=np.int16))
    noisy = with_noise(columns, 1)
    np.testing.assert_array_equal(noisy.numbers[:, :1], columns.numbers)
    np.testing.assert_array_equal(noisy.categories[:, :1], columns.categories)
    assert noisy.categories.shape == (4, 3)
