"""Exact drivers against LightGBM's own `pred_contrib`, and by hand on a tree of three leaves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import BundleRefused
from models import drivers
from models.trees import parse_model

BASE = {"objective": "binary", "verbose": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}


def _matrix(rng, rows, numbers, categories, levels=9):
    X = np.empty((rows, numbers + categories))
    X[:, :numbers] = rng.normal(size=(rows, numbers))
    X[:, : numbers // 2] = rng.poisson(1.0, size=(rows, numbers // 2))
    X[:, numbers:] = rng.integers(0, levels, size=(rows, categories))
    X[rng.random(X.shape) < 0.15] = np.nan
    return X


def _booster(X, y, categories, rounds=15, **parameters):
    first = X.shape[1] - categories
    data = lgb.Dataset(X, y, categorical_feature=list(range(first, X.shape[1])))
    return lgb.train({**BASE, "num_leaves": 8, "min_data_in_leaf": 5, **parameters}, data, rounds)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    leaves=st.integers(2, 31),
    depth=st.sampled_from([2, 3, 5, 8, -1]),
    categories=st.integers(0, 3),
    zero_as_missing=st.booleans(),
    use_missing=st.booleans(),
)
def test_contributions_equal_pred_contrib(seed, leaves, depth, categories, zero_as_missing, use_missing):
    rng = np.random.default_rng(seed)
    X = _matrix(rng, 300, 5, categories)
    y = (np.nan_to_num(X[:, 0]) + np.nan_to_num(X[:, -1]) + rng.normal(size=300) > 1).astype(float)
    missing = {"zero_as_missing": zero_as_missing, "use_missing": use_missing}
    booster = _booster(X, y, categories, num_leaves=leaves, max_depth=depth, min_data_per_group=5, **missing)
    # Rows the booster never saw: unseen categories, negative ones, infinities, exact zeros, nothing known.
    odd = _matrix(rng, 120, 5, categories, levels=40)
    odd[::7, 1], odd[1::7, 2], odd[2::7, 3], odd[3::7, -1] = 0.0, np.inf, -np.inf, -2.0
    odd[4::7, -1], odd[5::7, :], odd[6::7, -1] = 1e12, np.nan, 1.5
    found = drivers.contributions(drivers.compile(booster), odd)
    assert np.abs(found - booster.predict(odd, pred_contrib=True)).max() < 1e-9
    assert np.abs(found.sum(axis=1) - booster.predict(odd, raw_score=True)).max() < 1e-9


def test_a_tree_without_splits_adds_only_to_the_base():
    X = np.zeros((50, 2))
    y = np.array([1.0] * 10 + [0.0] * 40)
    booster = _booster(X, y, 0, rounds=3)
    found = drivers.contributions(drivers.compile(booster), X[:2])
    # One in five is positive and there is nothing to split on: the base is log(0.25) and no feature contributes.
    assert found[:, :2] == pytest.approx(np.zeros((2, 2)))
    assert found[:, 2] == pytest.approx(np.log(0.25), abs=1e-6)


def test_one_split_shares_its_value_by_hand():
    text = _text("num_leaves=2", "split_feature=0", "threshold=0.5", "decision_type=2", "left_child=-1",
                 "right_child=-2", "leaf_value=-1 3", "leaf_count=30 10", "internal_count=40")  # fmt: skip
    found = drivers.contributions(drivers.compile(text), np.array([[0.0, 9.0], [1.0, 9.0]]))
    # Base: (30 * -1 + 10 * 3) / 40 = 0. A row left of 0.5 is worth -1, one right of it 3: all of it the split's doing.
    assert found.tolist() == [[-1.0, 0.0, 0.0], [3.0, 0.0, 0.0]]


def test_two_features_share_an_interaction_by_hand():
    text = _text("num_leaves=3", "split_feature=0 1", "threshold=0.5 0.5", "decision_type=2 2", "left_child=-1 -2",
                 "right_child=1 -3", "leaf_value=0 0 8", "leaf_count=20 10 10", "internal_count=40 20")  # fmt: skip
    found = drivers.contributions(drivers.compile(text), np.array([[1.0, 1.0]]))
    # Worth knowing nothing 2, only the first feature 4, only the second 4, both 8.
    # The first feature: half of (4 - 2) and half of (8 - 4) = 3; the second likewise; base 2.
    assert found.tolist() == [[3.0, 3.0, 2.0]]


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(3)
    X = _matrix(rng, 1500, 10, 3)
    y = (np.nan_to_num(X[:, 0]) + (np.nan_to_num(X[:, -1]) % 3) + rng.normal(size=1500) > 2).astype(float)
    return X, y, _booster(X, y, 3, rounds=40, num_leaves=16, max_depth=5)


def test_many_callers_at_once_each_get_their_own_rows(trained):
    X, _, booster = trained
    ensemble = drivers.compile(booster)
    wanted = drivers.contributions(ensemble, X)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda i: drivers.contributions(ensemble, X[i:]), range(12)))
    assert all((part == wanted[i:]).all() for i, part in enumerate(found))


def test_a_row_gets_the_same_contributions_alone_in_few_and_in_many(trained):
    X, _, booster = trained
    ensemble = drivers.compile(booster)
    many = drivers.contributions(ensemble, X)
    few = drivers.contributions(ensemble, X[:40])
    assert (few == many[:40]).all()
    for row in range(0, 40, 5):
        assert (drivers.contributions(ensemble, X[row : row + 1])[0] == many[row]).all()


def test_a_joined_ensemble_adds_the_second_by_its_weight(trained):
    X, y, booster = trained
    second = _booster(X, 1 - y, 3, rounds=10)
    joined = drivers.join(drivers.compile(booster), drivers.compile(second), 0.25)
    wanted = booster.predict(X, pred_contrib=True) + 0.25 * second.predict(X, pred_contrib=True)
    assert np.abs(drivers.contributions(joined, X) - wanted).max() < 1e-9
    assert joined.trees == 50


def test_column_and_row_order_of_memory_do_not_matter(trained):
    X, _, booster = trained
    ensemble = drivers.compile(booster)
    assert (drivers.contributions(ensemble, np.asfortranarray(X)) == drivers.contributions(ensemble, X)).all()


def test_no_rows_are_no_contributions(trained):
    X, _, booster = trained
    assert drivers.contributions(drivers.compile(booster), X[:0]).shape == (0, X.shape[1] + 1)


def test_rows_of_another_width_are_refused(trained):
    X, _, booster = trained
    with pytest.raises(ValueError, match="expected rows of 13 features"):
        drivers.contributions(drivers.compile(booster), X[:, :-1])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("cut in half", lambda t: t[: len(t) // 2]),
        ("CRLF line ends", lambda t: t.replace("\n", "\r\n")),
        ("a tree removed", lambda t: t.replace("Tree=3\n", "Gone=3\n")),
        ("a child outside the tree", lambda t: t.replace("left_child=1", "left_child=77", 1)),
        ("a child that makes a ring", lambda t: t.replace("left_child=1", "left_child=0", 1)),
        ("a feature that does not exist", lambda t: t.replace("split_feature=", "split_feature=99", 1)),
        ("a leaf that is no number", lambda t: t.replace("leaf_value=", "leaf_value=x", 1)),
        ("a leaf value too many", lambda t: t.replace("leaf_value=", "leaf_value=1 ", 1)),
        ("an infinite leaf", lambda t: t.replace("leaf_value=", "leaf_value=inf ", 1)),
        ("a linear tree", lambda t: t.replace("is_linear=0", "is_linear=1", 1)),
        ("empty", lambda t: ""),
        ("something else", lambda t: "hello"),
    ],
)
def test_a_damaged_model_text_is_refused_and_the_process_lives(trained, name, damage):
    text = trained[2].model_to_string()
    assert damage(text) != text
    with pytest.raises(BundleRefused, match="model text"):
        drivers.compile(damage(text))


def test_the_text_alone_gives_feature_names_and_objective(trained):
    model = parse_model(trained[2].model_to_string())
    assert model.feature_names[0] == "Column_0"
    assert model.objective.startswith("binary")
    assert len(model.trees) == 40


def _text(*tree):
    head = ["tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0", "max_feature_idx=1",
            "objective=binary sigmoid:1", "feature_names=a b", "tree_sizes=1", ""]  # fmt: skip
    return "\n".join([*head, "Tree=0", *tree, "num_cat=0", "is_linear=0", "shrinkage=1", "", "", "end of trees", ""])
