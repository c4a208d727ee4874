"""Planted groups are found, noise is not, and what is not proposed says why."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from models.candidates.clustering import Clustering, Method, cluster
from models.candidates.field_ties import MixedColumns, indicators, votes_of

QUICK = {"sizes": (2, 3, 4), "resamples": 3, "stability_sample": 500}


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
    columns, _ = planted(400)
    first, second = found_in(columns), found_in(columns)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.candidates == second.candidates


def test_noise_yields_no_proposal() -> None:
    random = np.random.default_rng(1)
    codes = np.column_stack([random.choice([1, 2, 3], 900, p=[0.6, 0.3, 0.1]), random.integers(0, 4, 900)])
    found = found_in(MixedColumns(("a", "b"), random.normal(size=(900, 2)), ("s", "t"), codes))
    assert all(candidate.rejected is not None for candidate in found.candidates)


def test_a_tiny_and_an_over_broad_group_are_not_proposed() -> None:
    columns, _ = planted(1500, shares=(0.6, 0.387, 0.013), noise=0.0)
    found = found_in(columns, sizes=(3,), stability_sample=1500, methods=("kmeans",)).candidates
    assert [(c.rejected or "").split(":")[0] for c in found] == ["over-broad", "", "tiny"]


def test_every_trial_and_every_cluster_is_reported() -> None:
    found = found_in(planted(600)[0])
    assert {trial.k for trial in found.trials if trial.method == "consensus"} == {2, 3, 4}
    assert {trial.method for trial in found.trials} == {"kmeans", "classes", "consensus"}
    assert sum(candidate.size for candidate in found.candidates) == 600
    assert found.chosen.k == len(found.candidates) == len(found.chosen.jaccard) == len(found.chosen.shares)


@pytest.mark.parametrize("method", ["kmeans", "classes", "consensus"])
def test_each_method_alone_recovers_planted_groups(method: Method) -> None:
    columns, group = planted(900)
    found = found_in(columns, methods=(method,), sizes=(3,))
    assert found.chosen.method == method
    assert adjusted_rand_score(group, found.labels) > 0.85


def beside_noise(columns: MixedColumns) -> MixedColumns:
    """The same with two categories and two numbers that say nothing."""
    random = np.random.default_rng(3)
    return MixedColumns(
        (*columns.number_names, "coin", "dice"),
        np.column_stack([columns.numbers, random.normal(size=columns.n), random.poisson(2, columns.n)]),
        (*columns.category_names, "color", "zodiac"),
        np.column_stack([columns.categories, random.integers(0, 4, columns.n), random.integers(0, 9, columns.n)]),
    )


def test_noise_fields_have_no_vote_and_move_no_cluster() -> None:
    columns, _ = planted(900)
    noisy = beside_noise(columns)
    votes = votes_of(noisy)
    assert {name for name, own in votes.items() if own == 0.0} >= {"coin", "dice", "color", "zodiac"}
    assert all(votes[name] > 0.0 for name in ("specialty", "setting", "clicks", "pages"))
    plain, beside = found_in(columns), found_in(noisy)
    assert not {"coin", "dice", "color", "zodiac"} & set(beside.votes)
    # Who votes is the same, so the space and with the same seed every cluster is the same.
    np.testing.assert_allclose(beside.space, plain.space)
    np.testing.assert_array_equal(beside.labels, plain.labels)


def test_what_leads_do_alone_can_make_segments() -> None:
    random = np.random.default_rng(5)
    group = random.integers(0, 3, 900)
    counts = random.poisson(np.array([[9, 1, 1], [1, 9, 1], [1, 1, 9]])[group]).astype(float)
    idle = random.integers(1, 4, (900, 2))
    found = found_in(MixedColumns(("a", "b", "c"), counts, ("x", "y"), idle))
    assert found.chosen.k == 3
    assert adjusted_rand_score(group, found.labels) > 0.85


def test_that_a_value_is_merely_missing_has_no_vote() -> None:
    columns, _ = planted(1200)
    codes = columns.categories.copy()
    codes[np.random.default_rng(8).random(1200) < 0.3] = 0  # a third of the records is poor, whoever they are about
    votes = votes_of(MixedColumns(columns.number_names, columns.numbers, columns.category_names, codes))
    assert votes["?specialty"] == 0.0
    assert votes["specialty"] > 0.0


def test_that_a_field_applies_to_some_only_is_as_telling_as_a_value() -> None:
    random = np.random.default_rng(9)
    group = random.integers(0, 2, 800)
    applies = np.where(group == 0, random.integers(1, 4, 800), 0)  # only one kind of lead has it, with any value
    kind = np.where(random.random(800) < 0.05, 1 - group, group) + 1
    votes = votes_of(MixedColumns((), np.zeros((800, 0)), ("kind", "stage"), np.column_stack([kind, applies])))
    assert votes["?stage"] > 0.0
    assert votes["stage"] == 0.0


def test_twenty_counts_that_rise_together_do_not_outvote_what_a_lead_is() -> None:
    columns, _ = planted(900)
    volume = np.random.default_rng(2).gamma(1.0, 5.0, 900)
    counts = np.random.default_rng(3).poisson(volume[:, None] * np.ones((1, 20))).astype(float)
    names = tuple(f"count_{i}" for i in range(20))
    votes = votes_of(MixedColumns(names, counts, columns.category_names, columns.categories))
    total = sum(votes.values())
    assert sum(votes[name] for name in names) / total == pytest.approx(0.1)


def test_progress_never_goes_back() -> None:
    shares: list[float] = []
    cluster(
        planted(300)[0], sizes=(2, 3), resamples=2, stability_sample=300, progress=lambda _, share: shares.append(share)
    )
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] < 1.0


@given(st.integers(0, 1000))
@profile(deadline=None, max_examples=15)
def test_rescaling_a_count_and_renaming_codes_leave_distances_as_they_were(seed: int) -> None:
    columns, _ = planted(60, seed)
    renamed = np.array([0, 30, 10, 20])[columns.categories]
    other = MixedColumns(columns.number_names, np.exp(columns.numbers / 5), columns.category_names, renamed)
    found = [indicators(given) for given in (columns, other)]
    if found[0] is None or found[1] is None:
        assert found == [None, None]
        return
    distances = [np.linalg.norm(one.centered[:, None] - one.centered[None], axis=2) for one in found if one]
    np.testing.assert_allclose(distances[0], distances[1], atol=1e-5)


def test_a_world_without_any_difference_is_one_rejected_cluster() -> None:
    same = MixedColumns(("a",), np.ones((50, 1)), ("s",), np.ones((50, 1), dtype=int))
    found = found_in(same)
    assert all(candidate.rejected for candidate in found.candidates)
