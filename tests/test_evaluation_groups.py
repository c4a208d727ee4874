"""Groups of leads: gaps with their noise, many questions at once, fairness, periods; numbers by hand and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS

from training.evaluation.fairness import fairness, selected
from training.evaluation.gaps import beyond_chance, calibration_gap
from training.evaluation.parts import band_lines, histogram, recalibration, top_lines
from training.evaluation.slices import slices, tells
from training.evaluation.stability import stability

RNG = np.random.default_rng(11)
ROWS = 4000
ACCOUNT = RNG.integers(0, 1500, ROWS)
TRUTH = RNG.uniform(0.02, 0.5, ROWS)
Y = (RNG.uniform(size=ROWS) < TRUTH).astype(float)
COUNTRY = np.array(["DE", "US", "FR", "CH"], dtype=object)[RNG.choice(4, ROWS, p=[0.4, 0.3, 0.295, 0.005])]


def _cut(y=Y, p=TRUTH, country=COUNTRY, account=ACCOUNT):
    predictions = {"ours": p, "pooled": np.clip(p * 0.7, 0.01, 0.99)}
    return slices(
        y, predictions, {"jurisdiction": country}, account, ours="ours", compared_with="pooled", replicates=60
    )


def test_the_gap_is_that_of_a_regression_with_errors_of_accounts():
    gap, chance = calibration_gap(Y, TRUTH, ACCOUNT)
    fitted = OLS(TRUTH - Y, np.ones(ROWS)).fit(
        cov_type="cluster", cov_kwds={"groups": ACCOUNT, "use_correction": False}, use_t=True
    )
    # statsmodels without its correction leaves out G / (G - 1).
    groups = len(np.unique(ACCOUNT))
    half = (fitted.conf_int()[0][1] - fitted.params[0]) * np.sqrt(groups / (groups - 1))
    assert gap.value == pytest.approx(fitted.params[0])
    assert gap.high - gap.value == pytest.approx(half)
    assert 0.0 <= chance <= 1.0


def test_a_gap_of_few_accounts_has_no_interval_and_one_that_never_varies_is_sure():
    assert calibration_gap(np.array([1.0, 0, 1, 0]), np.full(4, 0.5), np.array([1, 1, 2, 2]))[1] is None
    found, chance = calibration_gap(np.zeros(50), np.full(50, 0.25))
    assert (found.low, found.high, chance) == (0.25, 0.25, 0.0)
    assert calibration_gap(np.empty(0), np.empty(0))[0].value is None


def test_chance_flags_few_of_a_thousand_true_questions_and_keeps_the_strong_ones():
    chances = np.random.default_rng(5).uniform(size=1000).tolist()
    assert sum(beyond_chance(chances)) <= 1
    found = beyond_chance([None, 1e-9, *chances])
    assert found[:2] == [False, True]
    assert beyond_chance([]) == []


def test_what_is_not_beyond_five_percent_alone_never_stands_out():
    # Benjamini and Hochberg at 10 % would take all five: 0.08 <= 5 / 5 of 10 %.
    assert beyond_chance([0.001, 0.001, 0.001, 0.001, 0.08]) == [True, True, True, True, False]


def test_right_probabilities_stand_out_nowhere_and_a_planted_gap_does():
    calm = _cut()
    assert calm.stand_out == 0
    shifted = np.where(COUNTRY == "FR", TRUTH + 0.12, TRUTH)
    found = {row.name: row for row in _cut(p=shifted).rows}
    assert [name for name, row in found.items() if row.stands_out] == ["FR"]
    assert found["FR"].gap.value == pytest.approx(0.12, abs=0.03)


def test_a_group_with_few_outcomes_says_nothing_but_how_many_there_were():
    found = next(row for row in _cut().rows if row.name == "CH")
    assert not found.tells
    assert found.rows == int((COUNTRY == "CH").sum())
    assert (found.gap.value, found.auc.value, found.against.value, found.chance) == (None, None, None, None)
    assert (tells(20, 40), tells(19, 400), tells(400, 419)) == (True, False, False)


def test_groups_add_up_and_say_how_many_chance_would_flag():
    found = _cut()
    assert sum(row.rows for row in found.rows) == ROWS
    assert [row.name for row in found.rows][:1] == ["DE"]
    assert found.asked == 3
    assert found.by_chance == pytest.approx(0.15)
    assert all(row.against.high < 0 for row in found.rows if row.tells)


def test_a_dimension_of_one_value_is_no_question():
    found = _cut(country=np.full(ROWS, "unknown", dtype=object))
    assert (found.rows, found.asked, found.undivided) == ((), 0, {"jurisdiction": "unknown"})


def test_row_order_never_changes_a_slice():
    order = np.random.default_rng(1).permutation(ROWS)
    one, two = _cut(), _cut(Y[order], TRUTH[order], COUNTRY[order], ACCOUNT[order])
    for first, second in zip(one.rows, two.rows, strict=True):
        assert (first.name, first.rows, first.positives) == (second.name, second.rows, second.positives)
        assert first.log_loss == pytest.approx(second.log_loss)
        if first.tells:
            assert (first.auc.low, first.gap.low) == pytest.approx((second.auc.low, second.gap.low))


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, max_size=50), st.sampled_from([0.1, 0.25, 1.0]))
@settings(deadline=None, max_examples=50)
def test_rows_of_equal_prediction_are_selected_alike_and_all_together_fill_the_share(values, share):
    p = np.array(values)
    found = selected(p, share)
    assert found.sum() == pytest.approx(np.ceil(share * len(p) - 1e-9))
    for value in set(values):
        assert len(set(found[p == value].tolist())) == 1


def test_fairness_by_hand():
    # 20 leads: A has ten at 0.9, B ten at 0.1; the top half is A. A reaches it 6 of 10, B 2 of 10.
    y = np.array([1] * 6 + [0] * 4 + [1] * 2 + [0] * 8, dtype=float)
    p = np.repeat([0.9, 0.1], 10)
    name = np.repeat(np.array(["A", "B"], dtype=object), 10)
    found = {r.name: r for r in fairness(y, p, {"source": name}, np.arange(20), share=0.5, replicates=20)}
    assert (found["A"].observed, found["A"].selected, found["A"].found) == (0.6, 1.0, 1.0)
    assert (found["B"].observed, found["B"].selected, found["B"].found) == (0.2, 0.0, 0.0)
    assert found["A"].says == "too few outcomes to tell"
    assert found["A"].selected_gap.value is None


def test_equal_treatment_is_not_accused_and_a_penalty_is_named():
    fair = fairness(Y, TRUTH, {"jurisdiction": COUNTRY}, ACCOUNT, replicates=200)
    assert {row.says for row in fair if row.tells} == {"nothing stands out"}
    harmed = np.where(COUNTRY == "US", TRUTH * 0.5, TRUTH)
    found = {row.name: row for row in fairness(Y, harmed, {"jurisdiction": COUNTRY}, ACCOUNT, replicates=200)}
    assert {"calibration", "selected", "found"} <= set(found["US"].flags)
    assert "too low beside the rest's" in found["US"].says
    assert "which its outcomes do not explain" in found["US"].says
    assert found["US"].selected_gap.high < 0


def test_a_group_that_converts_more_may_be_selected_more():
    more = np.where(COUNTRY == "DE", np.clip(TRUTH * 1.6, 0, 0.9), TRUTH)
    y = (np.random.default_rng(2).uniform(size=ROWS) < more).astype(float)
    found = {row.name: row for row in fairness(y, more, {"jurisdiction": COUNTRY}, ACCOUNT, replicates=200)}
    assert "selected more often, as it reaches the outcome more often" in found["DE"].says
    assert "look at it" not in found["DE"].says


def test_a_model_that_says_the_same_of_everybody_or_is_never_wrong_accuses_nobody():
    # Whoever is selected alike differs in the last bit of a sum: such dust once stood out, "look at it before use".
    for p in (np.full(ROWS, 0.1), np.where(Y > 0, 0.999, 0.001)):
        found = fairness(Y, p, {"jurisdiction": COUNTRY}, ACCOUNT, replicates=200)
        assert not {flag for row in found for flag in row.flags} & {"selected", "found"}


def test_one_group_alone_has_nobody_to_be_compared_with():
    found = fairness(Y, TRUTH, {"source": np.full(ROWS, "web", dtype=object)}, ACCOUNT, replicates=20)
    assert [row.says for row in found] == ["too few outcomes to tell"]


def test_a_rest_of_a_handful_accuses_nobody():
    # X Education: 1,284 of 1,294 leads are of one jurisdiction; ten others are no yardstick for them.
    country = np.where(np.arange(ROWS) < 10, "US", "OTHER").astype(object)
    found = fairness(Y, TRUTH, {"jurisdiction": country}, ACCOUNT, replicates=50)
    assert {row.says for row in found} == {"too few outcomes to tell"}


def test_a_model_that_decays_shows_it_in_the_last_period():
    period = np.arange(ROWS) * 4 // ROWS
    worse = np.where(period == 3, np.random.default_rng(4).permutation(TRUTH), TRUTH)
    names = ["a", "b", "c", "d"]
    steady = stability(Y, TRUTH, period, names, ACCOUNT, says="", replicates=100)
    decayed = stability(Y, worse, period, names, ACCOUNT, says="", replicates=100)
    assert [row.name for row in steady.periods] == names
    assert steady.auc_change.low < 0 < steady.auc_change.high
    assert decayed.auc_change.high < 0
    assert decayed.periods[3].auc.value == pytest.approx(0.5, abs=0.06)
    assert sum(row.rows for row in steady.periods) == ROWS


def test_one_period_or_too_few_outcomes_make_no_change():
    found = stability(Y, TRUTH, np.zeros(ROWS, dtype=int), ["only"], ACCOUNT, says="", replicates=20)
    assert found.auc_change.value is None
    assert found.periods[0].tells


def test_the_most_ready_by_hand():
    # Ten leads, four won; the best two hold two: precision 1, lift 2.5, half of all.
    y = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], dtype=float)
    p = np.linspace(0.9, 0.1, 10)
    found = top_lines(y, {"ours": p, "other": p[::-1]}, np.arange(10), ours="ours", shares=(0.2, 1.0), replicates=20)
    assert (found[0].rows, found[0].precision.value, found[0].lift.value, found[0].capture.value) == (2, 1.0, 2.5, 0.5)
    assert found[0].others == {"other": 0.0}
    assert (found[1].rows, found[1].precision.value, found[1].lift.value, found[1].capture.value) == (10, 0.4, 1.0, 1.0)


def test_bands_say_what_came_of_them_and_unknown_comes_last():
    y, p = np.array([0.0, 0, 1, 1, 0]), np.array([0.1, 0.1, 0.5, 0.5, 0.3])
    found = band_lines(y, p, np.array([1, 1, 4, 4, 0], dtype=np.uint8), np.arange(5))
    assert [(line.band, line.rows, line.observed) for line in found] == [
        ("cold", 2, 0.0), ("hot", 2, 1.0), ("unknown", 1, 0.0),
    ]  # fmt: skip


def test_a_histogram_holds_every_lead_once():
    found = histogram(Y, TRUTH)
    assert sum(found.reached) == int(Y.sum())
    assert sum(found.reached) + sum(found.others) == ROWS
    assert len(found.edges) == len(found.reached) + 1


def test_recalibration_finds_the_slope_that_was_planted():
    z = np.log(TRUTH / (1 - TRUTH))
    bold = 1 / (1 + np.exp(-2 * z))
    intercept, slope = recalibration(Y, bold, ACCOUNT)
    assert slope.low < 0.5 < slope.high
    assert slope.high < 0.8
    assert intercept.low < 0 < intercept.high
    assert recalibration(Y, np.full(ROWS, 0.2), ACCOUNT)[1].value is None
    assert recalibration(np.zeros(ROWS), TRUTH, ACCOUNT)[1].value is None
    # Without a mistake every larger slope fits as well: no number, and no warning on the screen.
    assert recalibration(Y, np.where(Y > 0, 0.9, 0.1), ACCOUNT)[1].value is None
