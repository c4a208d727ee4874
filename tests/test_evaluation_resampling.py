"""Ranks and sums under draws of accounts: equal to sklearn's, ties shared, weights counted as copies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from training.evaluation.metrics import METRICS, compare, difference, measure, resampled
from training.evaluation.resampling import Estimate, Ranking, bounded, draws_of, group_of, resampled_sums

SHARES = (0.1, 0.25, 0.5)
WEIGHTED = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.integers(0, 3)), min_size=2, max_size=40
).filter(lambda rows: {y for y, _, w in rows if w} == {True, False})


def _made(rows: int = 800, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.02, 0.6, rows)
    return (rng.uniform(size=rows) < truth).astype(float), np.round(truth, 2), rng.integers(0, rows // 3, rows)


@given(WEIGHTED)
@settings(deadline=None, max_examples=60)
def test_a_row_drawn_three_times_counts_as_three_rows(rows):
    y, p = np.array([y for y, _, _ in rows], dtype=float), np.array([p for _, p, _ in rows])
    times = np.array([w for _, _, w in rows])
    found = Ranking.of(y, p).under(np.arange(len(y)), times[None, :].astype(float), SHARES)[0]
    many_y, many_p = np.repeat(y, times), np.repeat(p, times)
    plain = Ranking.of(many_y, many_p).under(np.arange(len(many_y)), np.ones((1, len(many_y))), SHARES)[0]
    assert found == pytest.approx(plain)
    assert found[0] == pytest.approx(roc_auc_score(many_y, many_p))
    assert found[1] == pytest.approx(average_precision_score(many_y, many_p))


def test_auc_and_average_precision_are_sklearns_with_and_without_weights():
    y, p, account = _made()
    weights = np.random.default_rng(1).integers(0, 4, account.max() + 1).astype(float)
    found = Ranking.of(y, p).under(account, np.stack([np.ones_like(weights), weights]))
    for line, of_row in zip(found, (np.ones(len(y)), weights[account]), strict=True):
        assert line[0] == pytest.approx(roc_auc_score(y, p, sample_weight=of_row))
        assert line[1] == pytest.approx(average_precision_score(y, p, sample_weight=of_row))
    assert measure(y, p).average_precision == pytest.approx(average_precision_score(y, p))


def test_a_tie_through_the_cut_gives_its_positives_in_proportion():
    # Ten rows; the best stands alone and is lost, the next four are alike and two of them are won.
    # The top half is the best and all four: 2 of 2. The top 30 % holds half of the tie: 1 of 2.
    y = np.array([0, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    p = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    found = Ranking.of(y, p).under(np.arange(10), np.ones((1, 10)), (0.1, 0.3, 0.5))[0]
    assert found[2:].tolist() == [0.0, 0.5, 1.0]


def test_one_class_alone_has_no_rank():
    found = Ranking.of(np.ones(3), np.array([0.1, 0.2, 0.3])).under(np.arange(3), np.ones((1, 3)))
    assert np.isnan(found[0, 0])
    assert np.isnan(Ranking.of(np.zeros(3), np.zeros(3)).under(np.arange(3), np.ones((1, 3)))).all()


def test_the_draws_do_not_depend_on_the_size_of_a_block(monkeypatch):
    whole = np.concatenate(list(draws_of(7, 30)))
    monkeypatch.setattr("training.evaluation.resampling._BLOCK_CELLS", 14)
    parts = list(draws_of(7, 30))
    assert len(parts) == 15
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert set(whole.sum(axis=1)) == {7.0}


def test_row_order_never_changes_an_interval_of_accounts():
    y, p, account = _made()
    order = np.random.default_rng(5).permutation(len(y))
    first = resampled(y, {"a": p}, cluster=account, replicates=50)
    second = resampled(y[order], {"a": p[order]}, cluster=account[order], replicates=50)
    for metric in METRICS:
        assert first.draws[metric, "a"] == pytest.approx(second.draws[metric, "a"])


def test_a_difference_of_every_metric_is_the_difference_of_its_values():
    y, p, account = _made()
    other = np.clip(p + np.random.default_rng(2).normal(0, 0.2, len(y)), 0.01, 0.99)
    one, two = measure(y, p), measure(y, other)
    for metric in METRICS:
        found = difference(y, ("a", p), ("b", other), metric=metric, cluster=account, replicates=200)
        assert found.value == pytest.approx(getattr(one, metric) - getattr(two, metric))
        assert found.low < found.value < found.high
        assert found.verdict == "better"


def test_every_model_is_compared_on_the_same_resamples():
    y, p, account = _made()
    predictions = {"ours": p, "b": p**1.2, "c": p**1.2}
    found = compare(y, predictions, ours="ours", cluster=account, replicates=100)
    for metric in METRICS:
        one, two = found.against("b", metric), found.against("c", metric)
        assert (one.value, one.low, one.high) == (two.value, two.low, two.high)
    alone = difference(y, ("ours", p), ("b", p**1.2), cluster=account, replicates=100)
    assert (alone.low, alone.high) == pytest.approx((found.against("b").low, found.against("b").high))


def test_fewer_than_five_accounts_give_no_interval():
    y, p, _ = _made(200)
    found = resampled(y, {"a": p}, cluster=np.arange(200) % 4, replicates=20).estimate("auc", "a")
    assert found.value == pytest.approx(roc_auc_score(y, p))
    assert (found.low, found.high, found.leaves_out_zero) == (None, None, False)


def test_sums_under_resamples_add_what_each_account_holds():
    values, group = np.array([[1.0], [2.0], [4.0]]), np.array([0, 0, 1])
    found = resampled_sums(values, group, 2, 40)
    weights = np.concatenate(list(draws_of(2, 40)))
    assert found[:, 0].tolist() == (weights @ np.array([3.0, 4.0])).tolist()


def test_few_rows_are_resampled_often_and_many_rows_less_but_never_under_the_least():
    assert [bounded(n) for n in (100, 40_000, 120_000, 10_000_000)] == [1000, 1000, 333, 200]
    assert bounded(100, most=50) == 50


def test_a_number_that_is_not_defined_has_no_value():
    assert Estimate.of(float("nan"), np.ones(3)) == Estimate(None)
    assert Estimate.of(1.0, np.full(3, np.nan)) == Estimate(1.0)
    assert group_of(3, np.array(["b", "a", "b"]))[0].tolist() == [1, 0, 1]
