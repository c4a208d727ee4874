"""Leaks planted in matrices, each caught under its id and column; nothing is found where none was planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray

from configs.errors import InputInvalid, LeakageFound
from configs.settings import Settings, load_settings
from features.catalog import Feature
from features.pipeline import FeatureSpec, fit_spec
from models.readiness import fit_readiness
from models.scores import Readiness
from training.dataset.dataset import Dataset
from training.leakage.columns import column_leaks
from training.leakage.findings import DETECTORS, FAILS, WARNS, Leak, LeakReport
from training.leakage.fitted import fitted_leaks
from training.leakage.gate import Despite, Gate
from training.leakage.named_rows import row_leaks
from training.leakage.splits import copies, row_keys, split_leaks
from training.leakage.telling import Judging, bins_of, sample_of

ROWS = 2_000
Columns = dict[str, NDArray[Any]]


@cache
def shipped() -> tuple[Settings, FeatureSpec]:
    settings = load_settings()
    return settings, fit_spec(settings)


def chance(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))


def dataset_of(columns: Columns, y: NDArray[Any], **changes: Any) -> Dataset:
    """A flat export as rows: texts become categories, the last quarter judges, every row is its own account."""
    n = len(y)
    features: list[Feature] = []
    categories: dict[str, tuple[str, ...]] = {}
    matrix: list[NDArray[np.float64]] = []
    for name, column in columns.items():
        feature_name = f"fit_{name.lower().replace(' ', '_')}"
        text = column.dtype == object
        features.append(Feature(feature_name, "fit", name, 0, text, "attribute", name))
        if text:
            words = tuple(sorted({word for word in column.tolist() if word is not None})[:250])
            categories[feature_name] = words
            codes = {word: place + 1.0 for place, word in enumerate(words)}
            matrix.append(np.array([codes.get(word, np.nan) for word in column.tolist()]))
        else:
            matrix.append(column.astype(np.float64))
    spec = replace(shipped()[1], features=tuple(features), categories=categories)
    rows = np.arange(n)
    late = rows >= int(n * 0.75)
    given = Dataset(
        spec=spec,
        segment_ids=("everybody",),
        X=np.column_stack(matrix),
        y=y.astype(np.float64),
        lead=rows,
        order=rows.astype(np.float64),
        fold=np.random.default_rng(0).integers(0, 5, n),
        root=rows,
        segment=np.zeros(n, dtype=np.int64),
        points=np.zeros(n, dtype=np.int64),
        given=np.zeros((n, 0), dtype=np.bool_),
        kept_percent=np.full(n, 100),
        train=~late,
        judge=late,
        time_only=np.zeros(n, dtype=np.bool_),
        counts={},
        dataset_id="",
        slices={},
    )
    return replace(given, **changes)


def world(seed: int = 0, n: int = ROWS, alike: float = 0.0) -> tuple[Columns, NDArray[Any], NDArray[np.float64]]:
    """An export without a leak: its columns, its outcome and the chance that the outcome was drawn from.

    Among its columns are one with strong effect, one that most lack late, one that begins late, a rare category that
    always wins and a form that people who win fill in more often. Rows of one account, three of them, share an effect
    of the spread `alike`.
    """
    rng = np.random.default_rng(seed)
    score, visits, age = rng.normal(size=n), rng.poisson(3, n).astype(float), rng.integers(20, 70, n).astype(float)
    source = np.array(["web", "fair", "mail", "partner"], dtype=object)[rng.integers(0, 4, n)]
    city = np.array([f"city {k:02d}" for k in range(30)], dtype=object)[rng.integers(0, 30, n)]
    amount = rng.integers(1_000_000, 900_000_000, n).astype(float)
    log_odds = -1.0 + 1.5 * score + 0.2 * (visits - 3) + 0.5 * (source == "partner")
    log_odds += alike * rng.normal(size=n)[np.arange(n) // 3]
    rare = rng.random(n) < 0.01
    log_odds = np.where(rare, 8.0, log_odds)
    p = chance(log_odds)
    y = (rng.random(n) < p).astype(float)
    answered = rng.random(n) < 0.4 + 0.25 * y
    return (
        {
            "score": score,
            "visits": visits,
            "age": np.where(answered, age, np.nan),
            "source": np.where(rare, "welingak", source),
            "city": city,
            "amount": amount,
            "new field": np.where(np.arange(n) > 0.6 * n, rng.normal(size=n), np.nan),
        },
        y,
        p,
    )


def look(dataset: Dataset, columns: Mapping[str, NDArray[Any]]) -> list[Leak]:
    """Everything that is looked at before a model is fitted."""
    return [*column_leaks(dataset), *row_leaks(dataset, columns), *split_leaks(dataset, None)]


def words(choice: NDArray[Any], *named: str | None) -> NDArray[np.object_]:
    return np.asarray(np.array(named, dtype=object)[choice.astype(int)])


# Each plant takes the columns and the outcome of a clean world and gives them back with a leak, and what else changes.
Planted = tuple[Columns, NDArray[Any], dict[str, Any]]


def disguised(columns: Columns, y: NDArray[Any]) -> Planted:
    wrong = np.random.default_rng(1).random(len(y)) < 0.04
    return {**columns, "status": words(np.where(wrong, 1 - y, y), "open", "signed")}, y, {}


def amount_won(columns: Columns, y: NDArray[Any]) -> Planted:
    rng = np.random.default_rng(1)
    return {**columns, "volume": np.where(y > 0, rng.gamma(3, 100, len(y)), rng.gamma(3, 1, len(y)))}, y, {}


def filled_by_sales(columns: Columns, y: NDArray[Any]) -> Planted:
    filled = np.random.default_rng(2).random(len(y)) < np.where(y > 0, 0.85, 0.03)
    return {**columns, "contact person": words(np.where(filled, 1 + y[::-1], 0), None, "x", "y")}, y, {}


def filled_later(columns: Columns, y: NDArray[Any]) -> Planted:
    n, rng = len(y), np.random.default_rng(3)
    filled = rng.random(n) < np.linspace(1.0, 0.0, n)
    return {**columns, "rating": np.where(filled, rng.normal(size=n) + 1.2 * y, np.nan)}, y, {}


def sales_word(columns: Columns, y: NDArray[Any]) -> Planted:
    rng = np.random.default_rng(4)
    return {**columns, "Lead Status": words(rng.random(len(y)) < 0.3 + 0.3 * y, "cool", "keen")}, y, {}


def later_state(columns: Columns, y: NDArray[Any]) -> Planted:
    rng = np.random.default_rng(5)
    before = rng.integers(0, 4, len(y))
    after = np.where(rng.random(len(y)) < 0.1 + 0.45 * y, rng.integers(0, 4, len(y)), before)
    named = ("mail opened", "page seen", "call", "form sent")
    return {**columns, "activity": words(before, *named), "activity noted": words(after, *named)}, y, {}


def account_rate(columns: Columns, y: NDArray[Any]) -> Planted:
    account = np.arange(len(y)) // 4
    rate = np.round(np.bincount(account, weights=y) / np.bincount(account), 2)[account]
    late = account >= int(account.max() * 0.75)
    return {**columns, "account rate": rate}, y, {"root": account, "train": ~late, "judge": late}


def customer_number(columns: Columns, y: NDArray[Any]) -> Planted:
    return {**columns, "number": np.random.default_rng(6).permutation(len(y)) + 10_000.0}, y, {}


def customer_name(columns: Columns, y: NDArray[Any]) -> Planted:
    return {**columns, "key": np.array([f"k{i:05d}" for i in range(len(y))], dtype=object)}, y, {}


def sorted_by_outcome(columns: Columns, y: NDArray[Any]) -> Planted:
    # Sorted but for a tenth of the rows, so that both sides have both outcomes.
    place = np.argsort(y + (np.random.default_rng(7).random(len(y)) < 0.1) * 0.5 + 0.01 * columns["score"])
    order = np.empty(len(y))
    order[place] = np.arange(len(y))
    return columns, y, {"order": order}


def split_within_accounts(columns: Columns, y: NDArray[Any]) -> Planted:
    return columns, y, {"root": np.arange(len(y)) % (len(y) // 2)}


PLANTS: list[tuple[str, str, str, Callable[[Columns, NDArray[Any]], Planted]]] = [
    ("TARGET_IN_DISGUISE", "status", FAILS, disguised),
    ("TARGET_IN_DISGUISE", "volume", FAILS, amount_won),
    ("GAP_TELLS_OUTCOME", "contact person", FAILS, filled_by_sales),
    ("FILLED_AFTERWARDS", "rating", FAILS, filled_later),
    ("NAMED_LIKE_AFTERWARDS", "Lead Status", WARNS, sales_word),
    ("LATER_COPY", "activity", WARNS, later_state),
    ("RATE_OF_OUTCOME", "account rate", FAILS, account_rate),
    ("ID_LIKE", "number", FAILS, customer_number),
    ("ID_LIKE", "key", FAILS, customer_name),
    ("ORDER_TELLS_OUTCOME", "", FAILS, sorted_by_outcome),
    ("ACCOUNT_ON_BOTH_SIDES", "account", FAILS, split_within_accounts),
]


@pytest.mark.parametrize(("id_", "column", "level", "plant"), PLANTS, ids=[p[3].__name__ for p in PLANTS])
def test_a_planted_leak_is_caught_with_its_id_and_column_and_nothing_is_where_none_is_planted(
    id_: str, column: str, level: str, plant: Callable[[Columns, NDArray[Any]], Planted]
) -> None:
    columns, y, _ = world()
    assert look(dataset_of(columns, y), columns) == []
    columns, y, changes = plant(columns, y)
    found = look(dataset_of(columns, y, **changes), columns)
    caught = [leak for leak in found if (leak.id, leak.column) == (id_, column)]
    assert [leak.level for leak in caught] == [level]
    # Nothing but what was planted is accused.
    assert {leak.column for leak in found} == {column}
    assert caught[0].evidence and caught[0].do and caught[0].numbers


def test_false_alarms_in_fifty_clean_worlds_are_at_most_one() -> None:
    alarms = []
    for seed in range(50):
        columns, y, p = world(seed, 1_200, alike=seed % 2)
        root = np.arange(1_200) // 3 if seed % 2 else np.arange(1_200)
        dataset = dataset_of(columns, y, root=root, fold=root % 5)
        alarms += [*look(dataset, columns), *copies(dataset, p[dataset.judge])]
    assert len(alarms) <= 1, [str(leak) for leak in alarms]


def test_a_strong_honest_feature_a_rare_certain_category_and_a_column_that_starts_late_do_not_fail() -> None:
    rng = np.random.default_rng(8)
    n = 3_000
    strong = rng.normal(size=n)
    y = (rng.random(n) < chance(-0.5 + 2.2 * strong)).astype(float)
    rare = rng.random(n) < 0.02
    y[rare] = 1.0
    columns: Columns = {
        "strong": strong,
        "kind": words(rare, "usual", "invited"),
        "begun late": np.where(np.arange(n) > n / 2, rng.normal(size=n) + y, np.nan),
        "noise": rng.normal(size=n),
    }
    found = look(dataset_of(columns, y), columns)
    # It tells a third of the outcome alone, which is pointed at and stops nothing.
    assert [(leak.level, leak.id, leak.column) for leak in found] in ([], [(WARNS, "TARGET_IN_DISGUISE", "strong")])


def test_a_column_that_was_given_up_warns_and_one_that_is_filled_in_bit_by_bit_fails() -> None:
    columns, y, _ = world()
    n, rng = len(y), np.random.default_rng(9)
    value = rng.normal(size=n) + 1.2 * y
    stopped = {**columns, "old field": np.where(np.arange(n) < 0.4 * n, value, np.nan)}
    found = look(dataset_of(stopped, y), stopped)
    assert [(leak.level, leak.id) for leak in found] == [(WARNS, "FILLED_AFTERWARDS")]
    assert "at one point" in found[0].evidence


def twice(n: int, kinds: int = 60, level: float = -0.3) -> tuple[Dataset, NDArray[np.float64]]:
    """Rows of so many kinds squared; `n` of the rows that judge are copies of rows that trained, outcome included."""
    rng = np.random.default_rng(3)
    columns: Columns = {name: rng.integers(0, kinds, ROWS).astype(float) for name in ("a", "b")}
    p = chance(level + (columns["a"] - columns["b"]) / kinds)
    y = (rng.random(ROWS) < p).astype(float)
    judge, train = np.arange(1500, 1500 + n), rng.choice(1500, n, replace=False)
    for column in columns.values():
        column[judge] = column[train]
    p[judge], y[judge] = p[train], y[train]
    return dataset_of(columns, y), p


def test_leads_exported_twice_fail_and_leads_that_are_merely_alike_do_not() -> None:
    alike, p = twice(0, kinds=12)
    share = np.isin(row_keys(alike.X, alike.segment)[alike.judge], row_keys(alike.X, alike.segment)[alike.train])
    # 144 kinds of row: all but a few of the rows that judge have copies, and none of them tells anything.
    assert share.mean() > 0.9
    assert [leak.level for leak in copies(alike, p[alike.judge])] == [WARNS]
    doubled, p = twice(150)
    found = copies(doubled, p[doubled.judge])
    assert [(leak.id, leak.level) for leak in found] == [("COPIES_ON_BOTH_SIDES", FAILS)]
    assert "log-loss is" in found[0].evidence


def test_a_base_rate_that_moved_is_no_sign_of_copies() -> None:
    # 3,600 kinds of row, one row in eleven wins: a third of the rows that judge have a copy, mostly lost.
    alike, p = twice(0, level=-2.3)
    # The model says six times the odds everywhere: wrong in how many, right in who.
    moved = chance(np.log(p / (1 - p)) + np.log(6.0))
    assert [leak.level for leak in copies(alike, moved[alike.judge])] == [WARNS]


def fitted(dataset: Dataset) -> Readiness:
    training = shipped()[0].training
    few = training.pooled.model_copy(update={"rounds": 60, "learning_rate": 0.15, "min_leaf": 20})
    rows = dataset.train
    return fit_readiness(
        dataset.X[rows], dataset.y[rows], dataset.segment[rows], dataset.fold[rows], dataset.order[rows], dataset.spec,
        training.model_copy(update={"pooled": few, "segment_min_rows": 10**6, "threads": 1}),
        segment_ids=dataset.segment_ids,
    )  # fmt: skip


def test_two_harmless_columns_that_give_the_outcome_away_together_are_caught_by_the_fitted_model() -> None:
    columns, y, _ = world(n=4_000)
    half = (np.random.default_rng(10).random(len(y)) < 0.35).astype(int)
    planted = {**columns, "flag one": half * 1.0, "flag two": (half ^ y.astype(int)) * 1.0}
    dataset = dataset_of(planted, y)
    assert look(dataset, planted) == []  # neither of the two alone tells enough
    found = fitted_leaks(dataset, fitted(dataset))
    assert [(leak.id, leak.level) for leak in found] == [("JOINTLY_TOO_GOOD", FAILS)]
    assert found[0].column in ("flag one", "flag two")
    clean = dataset_of(columns, y)
    assert fitted_leaks(clean, fitted(clean)) == []


def test_a_column_that_names_accounts_is_seen_by_what_it_tells_of_those_it_has_met() -> None:
    rng = np.random.default_rng(11)
    root = np.repeat(np.arange(120), 40)
    likes = rng.random(120) < 0.5
    y = (rng.random(len(root)) < np.where(likes[root], 0.9, 0.1)).astype(float)
    columns: Columns = {"site": words(root, *(f"s{k:03d}" for k in range(120))), "noise": rng.normal(size=len(root))}
    sides = {"root": root, "fold": root % 5, "train": root < 90, "judge": root >= 90}
    found = look(dataset_of(columns, y, **sides), columns)
    assert [(leak.id, leak.column, leak.level) for leak in found] == [("NAMES_ACCOUNTS", "site", WARNS)]
    # The same site says something of its leads as such: then it is as good for accounts nobody has met.
    honest = {**columns, "site": words(likes[root] * 1, "small", "large")}
    assert "NAMES_ACCOUNTS" not in {leak.id for leak in look(dataset_of(honest, y, **sides), honest)}


@examples(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.95), st.integers(2, 40))
def test_a_column_of_pure_chance_tells_nothing_and_the_outcome_itself_tells_nearly_all(
    seed: int, rate: float, kinds: int
) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random(800) < rate).astype(float)
    y[:40] = np.arange(40) % 2
    judging = Judging.of(y, rng.integers(0, 5, 800), np.arange(800))
    assert judging.told(rng.integers(0, kinds, 800)).low < 0.02
    assert judging.told(y.astype(np.int64)).share > 0.85


def test_the_share_told_is_what_a_hand_works_out() -> None:
    # Two folds of 100 rows, the same in both: bin 0 has 20 of 50, bin 1 has 40 of 50; the other fold's rates with five
    # rows of the base (60.5 of 101) added judge each.
    y = np.tile(np.r_[np.ones(20), np.zeros(30), np.ones(40), np.zeros(10)], 2)
    bins = np.tile(np.repeat([0, 1], 50), 2)
    judging = Judging.of(y, np.repeat([0, 1], 100), np.arange(200))
    base = 60.5 / 101
    low, high = (20 + 5 * base) / 55, (40 + 5 * base) / 55
    loss = -(60 * np.log(base) + 40 * np.log(1 - base))
    left = -(20 * np.log(low) + 30 * np.log(1 - low) + 40 * np.log(high) + 10 * np.log(1 - high))
    assert judging.told(bins).share == pytest.approx(1 - left / loss, abs=1e-12)


def test_missing_is_a_bin_of_its_own_and_so_is_a_value_that_many_rows_have() -> None:
    column = np.array([np.nan, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0])
    bins = bins_of(column, False)
    assert bins[0] == 0
    assert len(set(bins[1:5].tolist())) == 1
    assert not set(bins[1:5].tolist()) & set(bins[5:].tolist())
    assert bins_of(np.array([7.0, 3.0, 7.0, np.nan]), True).tolist() == [2, 1, 2, 0]


def test_a_sample_keeps_accounts_whole() -> None:
    root = np.repeat(np.arange(400), 5)
    kept = sample_of(root, 500)
    assert kept.sum() == 500
    assert set(np.bincount(root[kept], minlength=400).tolist()) == {0, 5}
    assert sample_of(root, 5_000).all()


def test_rows_of_one_content_share_a_key_whatever_their_place_and_others_do_not() -> None:
    rng = np.random.default_rng(12)
    X = rng.normal(size=(3_000, 6))
    X[rng.random(X.shape) < 0.2] = np.nan
    X[1500:] = X[:1500]
    segment = np.zeros(3_000, dtype=np.int64)
    keys = row_keys(X, segment)
    assert np.array_equal(keys[1500:], keys[:1500])
    assert len(np.unique(keys)) == 1500
    assert not set(row_keys(X, segment + 1).tolist()) & set(keys.tolist())
    assert row_keys(np.array([[0.0]]), segment[:1]) == row_keys(np.array([[-0.0]]), segment[:1])


def leak(level: Any = FAILS) -> Leak:
    return Leak("ID_LIKE", level, "export", "number", "3,000 different whole numbers", "take it out")


def test_the_gate_refuses_what_fails_unless_somebody_says_why_and_gives_a_name() -> None:
    report = LeakReport.of([leak(WARNS), leak()], ("ID_LIKE",))
    with pytest.raises(LeakageFound, match="export, column number: ID_LIKE: 3,000 different") as refused:
        Gate(report)
    assert len(refused.value.findings) == 1
    assert "--despite-leakage" in str(refused.value)
    record = Gate(report, Despite("the number is a birth year", "Ada Example")).record()
    assert record["despite"] == {"reason": "the number is a birth year", "by": "Ada Example"}
    assert [found["level"] for found in record["found"]] == ["fails", "warns"]
    assert "despite" not in Gate(LeakReport.of([leak(WARNS)], ()), Despite("never needed here", "Ada")).record()
    for reason, by, expected in (
        ("short", "Ada", "expected a reason"),
        ("a reason that says why", " ", "expected who"),
        ("a reason that says why", "?", "expected the name of a person"),
    ):
        with pytest.raises(InputInvalid, match=expected):
            Despite.given(reason, by)
    assert Despite.given("", "Ada") is None


def test_every_id_has_words_and_every_detector_that_looks_is_known() -> None:
    from training.leakage import clocks, columns, fitted, named_rows, recompute, splits

    looked = [name for room in (clocks, columns, fitted, named_rows, recompute, splits) for name in room.LOOKED]
    assert sorted(looked) == sorted(DETECTORS)
