"""Planted groups are found, noise is not, and what is not proposed says why."""

import numpy as np
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from models.clustering import Clustering, MixedColumns, cluster, encode

QUICK = {"sizes": (2, 3, 4), "resamples": 4, "stability_sample": 600}


def planted(
    n: int = 1200, seed: int = 0, shares: tuple[float, ...] = (0.36, 0.34, 0.3), noise: float = 0.05
) -> tuple[MixedColumns, np.ndarray]:
    """Groups that differ in two categories and two counts, each field wrong for a share of leads."""
    random = np.random.default_rng(seed)
    group = random.choice(len(shares), n, p=shares)
    wrong = random.random((n, 2)) < noise
    first = np.where(wrong[:, 0], random.integers(0, 4, n), group + 1)
    second = np.where(wrong[:, 1], random.integers(0, 4, n), (group + 1) % 3 + 1)
    counts = random.poisson(np.array([[1, 9], [9, 1], [4, 4]])[group % 3]).astype(float)
    counts[random.random(n) < noise, 0] = np.nan
    return MixedColumns(("clicks", "pages"), counts, ("specialty", "setting"), np.column_stack([first, second])), group


def found_in(columns: MixedColumns, **more: object) -> Clustering:
    return cluster(columns, **{**QUICK, **more})  # type: ignore[arg-type]


def test_planted_groups_are_recovered_whatever_their_numbers() -> None:
    columns, group = planted()
    found = found_in(columns)
    assert found.chosen.k == 3
    assert adjusted_rand_score(group, found.labels) > 0.9
    assert [candidate.rejected for candidate in found.candidates] == [None, None, None]
    assert [candidate.size for candidate in found.candidates] == sorted(np.bincount(found.labels))[::-1]


def test_the_same_seed_gives_the_same_candidates() -> None:
    columns, _ = planted(600)
    first, second = found_in(columns), found_in(columns)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.candidates == second.candidates


def test_noise_yields_no_proposal() -> None:
    random = np.random.default_rng(1)
    codes = np.column_stack([random.choice([1, 2, 3], 900, p=[0.6, 0.3, 0.1]), random.integers(0, 4, 900)])
    found = found_in(MixedColumns(("a", "b"), random.normal(size=(900, 2)), ("s", "t"), codes))
    assert all(candidate.rejected is not None for candidate in found.candidates)


def test_a_tiny_and_an_over_broad_group_are_not_proposed() -> None:
    columns, _ = planted(2400, shares=(0.6, 0.388, 0.012), noise=0.0)
    found = found_in(columns, sizes=(3,), stability_sample=2400).candidates
    assert [(c.rejected or "").split(":")[0] for c in found] == ["over-broad", "", "tiny"]


def test_every_trial_and_every_cluster_is_reported() -> None:
    found = found_in(planted(600)[0])
    assert {trial.k for trial in found.trials if trial.method == "kmeans"} == {2, 3, 4}
    assert {trial.method for trial in found.trials} == {"kmeans", "mixture"}
    assert sum(candidate.size for candidate in found.candidates) == 600


def test_progress_never_goes_back() -> None:
    shares: list[float] = []
    cluster(planted(300)[0], sizes=(2, 3), resamples=2, progress=lambda _, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] < 1.0


@given(st.integers(0, 1000))
@profile(deadline=None, max_examples=15)
def test_rescaling_a_count_and_renaming_codes_leave_distances_as_they_were(seed: int) -> None:
    columns, _ = planted(60, seed)
    renamed = np.array([0, 30, 10, 20])[columns.categories]
    other = MixedColumns(columns.number_names, np.exp(columns.numbers / 5), columns.category_names, renamed)
    one, two = (encode(given)[0] for given in (columns, other))
    distances = [np.linalg.norm(space[:, None] - space[None], axis=2) for space in (one, two)]
    np.testing.assert_allclose(distances[0], distances[1], atol=1e-9)


def test_a_world_without_any_difference_is_one_rejected_cluster() -> None:
    same = MixedColumns(("a",), np.ones((50, 1)), ("s",), np.ones((50, 1), dtype=int))
    found = found_in(same)
    assert all(candidate.rejected for candidate in found.candidates)
