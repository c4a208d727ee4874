"""What moved between earlier and later rows: nothing in most worlds without drift, and what was planted in others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.drift.drift import base_rate_shift, binned, drift, stability_index

WHAT = ("earlier", "later")


def test_newcombes_interval_is_that_of_his_example() -> None:
    # Newcombe (1998), table II, method 10: 56/70 against 48/80 gives 0.0524 to 0.3339.
    first, second = np.repeat([1, 0], [48, 32]), np.repeat([1, 0], [56, 14])
    found = base_rate_shift(first, second, (80.0, 70.0), WHAT)
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.0524, abs=1e-4)
    assert found.high == pytest.approx(0.3339, abs=1e-4)
    assert found.warns
    assert "rose" in found.says


def test_a_rate_that_moved_surely_but_hardly_is_no_warning() -> None:
    first, second = np.repeat([1, 0], [50_000, 50_000]), np.repeat([1, 0], [51_000, 49_000])
    found = base_rate_shift(first, second, (100_000.0, 100_000.0), WHAT)
    assert found.low > 0
    assert not found.warns


def test_the_stability_index_is_the_sum_that_one_can_do_by_hand() -> None:
    # With 0.5 added: p = (10.5, 30.5)/41, q = (30.5, 10.5)/41.
    expected = 2 * (20 / 41) * np.log(30.5 / 10.5)
    assert stability_index(np.array([10.0, 30.0]), np.array([30.0, 10.0])) == pytest.approx(expected)


def test_missing_values_are_a_bin_of_their_own() -> None:
    first, second = binned(np.array([1.0, np.nan]), np.array([np.nan, np.nan]), True)
    assert first.tolist() == [1.0, 1.0]
    assert second.tolist() == [2.0, 0.0]


def test_without_drift_hardly_anything_warns_and_with_it_the_right_column_does() -> None:
    warned = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        first, second = rng.normal(size=(400, 10)), rng.normal(size=(300, 10))
        warned += len(drift(first, second, [f"x{k}" for k in range(10)], ()).warnings)
    assert warned <= 2
    second[:, 3] += 1.0
    found = drift(first, second, [f"x{k}" for k in range(10)], ())
    assert [shift.name for shift in found.warnings] == ["x3"]
    assert found.warnings[0].low > found.warnings[0].noise


def test_predictions_at_the_wrong_level_are_a_warning_in_words_with_numbers() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2000, 1)), rng.normal(size=(2000, 1))
    y = (rng.random(2000) < 0.2).astype(float)
    found = drift(
        X, Y, ["x"], (), outcomes=(y, (rng.random(2000) < 0.4).astype(float)), scores=(np.full(2000, 0.2),) * 2
    )
    kinds = [shift.kind for shift in found.warnings]
    assert kinds == ["base rate", "prediction"]
    assert found.base_rate_moved
    assert "too low" in found.warnings[1].says
    assert "95 % interval" in found.warnings[1].says


def test_rows_of_one_account_count_once_in_what_is_noise() -> None:
    rng = np.random.default_rng(1)
    few, again = rng.normal(size=8), rng.normal(size=8)
    accounts = np.repeat(np.arange(8), 50)
    X, Y = np.repeat(few, 50)[:, None], np.repeat(again, 50)[:, None]
    assert drift(X, Y, ["x"], ()).warnings
    assert not drift(X, Y, ["x"], (), groups=(accounts, accounts)).warnings


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=3, max_size=60), st.booleans())
def test_a_column_beside_itself_never_warns(values: list[int | None], categorical: bool) -> None:
    column = np.array([np.nan if value is None else float(value) for value in values])[:, None]
    found = drift(column, column.copy(), ["x"], (0,) if categorical else ())
    assert found.shifts[0].value == pytest.approx(0.0, abs=1e-12)
    assert not found.warnings


def test_the_sentence_for_the_card_names_levels_and_columns_and_says_when_nothing_moved() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2000, 5)), rng.normal(size=(2000, 5))
    names = [f"x{k}" for k in range(5)]
    assert "nothing moved" in drift(X, Y, names, ()).words()
    y, later = (rng.random(2000) < 0.2).astype(float), (rng.random(2000) < 0.4).astype(float)
    said = drift(X, Y + 1.0, names, (), outcomes=(y, later)).words()
    assert said.startswith("The outcome rose: ")
    assert "and 2 more" in said
    assert "leadwell recalibrate" in said


def test_what_the_manifest_keeps_of_drift_is_json_without_nan() -> None:
    codes = np.array([[0.0], [1.0], [1.0]])
    found = json.loads(json.dumps(drift(codes, codes, ["x"], (0,)).to_json(), allow_nan=False))
    assert found["shifts"][0]["earlier"] is None
    assert found["words"]
