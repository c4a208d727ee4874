"""The interval of a lead's own probability: what is hidden is found from repeats, and by hand the kernel is right."""

from __future__ import annotations

from dataclasses import replace
from math import exp, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.alike import cells, estimate_alike, group_interval
from models.bands import REASONS
from models.calibration import Line, probability
from models.intervals import NOTHING_HIDDEN, Hidden, Repeats, estimate_hidden, interval, pairs_of
from models.ranges import Ranges
from models.readiness import fit_readiness
from models.scores import Readiness
from tests.test_models_readiness import SEGMENTS, SETTINGS, SPEC, make_world

LINE = Line(1.2, -0.4, (0.004, 0.001, 0.009), 0.05, 500)
HIDDEN = Hidden(floor=0.3, base=0.35, slope=2.0, top=0.5, echo=0.4, pairs=1000, lasting=0.3)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def _repeated(
    seed: int, leads: int, spread: float, after: float = 0.0, snapshots: int = 4
) -> tuple[Floats, Floats, Floats, Ints]:
    """Leads seen several times: what is seen of one lasts in part, what is not lasts; an outcome changes the next."""
    rng = np.random.default_rng(seed)
    unseen = spread * rng.normal(size=leads)
    stays = 0.6 * rng.normal(size=leads)
    z, y, last = np.empty((snapshots, leads)), np.empty((snapshots, leads)), np.zeros(leads)
    for k in range(snapshots):
        own = -1.5 + stays + 0.5 * rng.normal(size=leads)
        last = (rng.random(leads) < probability(own + unseen + after * last)).astype(float)
        # The mean over the unseen, so that what is predicted is calibrated.
        z[k], y[k] = own / sqrt(1 + 0.346 * spread**2), last
    lead = np.tile(np.arange(leads), snapshots)
    return z.ravel(), y.ravel(), np.repeat(np.arange(snapshots, dtype=float), leads), lead


@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_what_is_hidden_of_leads_is_found_from_their_repeats(spread: float) -> None:
    z, y, order, lead = _repeated(1, 20_000, spread)
    found = estimate_hidden(z, y, order, Repeats(lead, 2.0))
    assert found.pairs == 3 * 20_000
    assert found.lasting == pytest.approx(spread**2, abs=4 * found.lasting_error)
    assert found.lasting_error < 0.06


def test_an_outcome_that_lowers_the_next_one_does_not_hide_what_is_hidden() -> None:
    # What an outcome takes from the next window pulls leads together: of the variance of 0.49 some 0.35 is left.
    z, y, order, lead = _repeated(2, 20_000, 0.7, after=-1.5)
    near = estimate_hidden(z, y, order, Repeats(lead, 1.0))
    far = estimate_hidden(z, y, order, Repeats(lead, 2.0))
    assert far.lasting == pytest.approx(0.35, abs=3 * far.lasting_error)
    assert near.lasting < far.lasting - 0.2


def test_where_nothing_is_hidden_next_to_nothing_is_found() -> None:
    z, y, order, lead = _repeated(3, 20_000, 0.0)
    found = estimate_hidden(z, y, order, Repeats(lead, 2.0))
    assert abs(found.lasting) < 4 * found.lasting_error
    assert found.variance(np.array([0.2]))[0] < 0.15


def test_the_interval_holds_the_true_probability_of_80_in_100_leads() -> None:
    rng = np.random.default_rng(4)
    own, unseen = -1.5 + 0.8 * rng.normal(size=40_000), 0.7 * rng.normal(size=40_000)
    hidden = Hidden(floor=0.49, base=0.49, slope=0.0, pairs=1)
    # A calibrated model: its log-odds are those of the mean over what is unseen.
    certain = Line(1.0, 0.0, (0.0, 0.0, 0.0), 0.0, 1)
    low, high = interval(certain, hidden, own / sqrt(1 + 0.346 * 0.49))
    truth = probability(own + unseen)
    assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.8, abs=0.01)


def test_leads_that_never_repeat_tell_nothing_and_the_answer_says_so() -> None:
    z, y, order, _ = _repeated(5, 2000, 0.7)
    found = estimate_hidden(z, y, order, Repeats(np.arange(len(z)), 2.0))
    assert found is NOTHING_HIDDEN
    assert "leads that look alike" in found.says
    assert "lead's own" in HIDDEN.says


def test_a_target_that_is_reached_once_tells_nothing() -> None:
    z, y, order, lead = _repeated(6, 5000, 0.7)
    before = np.array([y[(lead == one) & (order < at)].sum() for one, at in zip(lead[:50], order[:50], strict=True)])
    assert before.sum() == 0
    reached = np.zeros(len(y), dtype=bool)
    for at in range(1, 4):
        earlier = np.unique(lead[(order < at) & (y == 1)])
        reached |= (order == at) & np.isin(lead, earlier)
    first = ~reached
    assert estimate_hidden(z[first], y[first], order[first], Repeats(lead[first], 2.0)) is NOTHING_HIDDEN


def test_pairs_are_of_one_lead_and_far_enough_apart() -> None:
    first, second = pairs_of(np.array([7, 8, 7, 7]), np.array([2.0, 0.0, 0.0, 1.0]), 2.0)
    assert (first.tolist(), second.tolist()) == ([2], [0])


def test_an_interval_by_hand() -> None:
    # raw 0.5: z = 0.2, p = 0.549834, p (1 - p) = 0.247517, hidden 0.35 + 2 * 0.5 + 0.4 * 0.247517 = 1.449007,
    # m = 0.2 sqrt(1 + 0.346 * 1.449007) = 0.245063, line 0.004/4 + 0.001 + 0.009 = 0.011, so the ends are
    # sigmoid(0.245063 -+ 1.281552 sqrt(1.460007)).
    low, high = interval(LINE, HIDDEN, np.array([0.5]))
    middle, half = 0.2 * sqrt(1 + 0.346 * 1.449007), 1.2815515655 * sqrt(1.460007)
    assert low[0] == pytest.approx(1 / (1 + exp(half - middle)), rel=1e-6)
    assert high[0] == pytest.approx(1 / (1 + exp(-half - middle)), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.floats(-12, 12), st.floats(0, 3), st.floats(0, 5))
def test_a_probability_always_lies_within_its_interval(raw: float, floor: float, slope: float) -> None:
    line = replace(LINE, model_variance=0.0)
    low, high = interval(line, Hidden(floor=floor, base=floor, slope=slope, pairs=1), np.array([raw]))
    p = probability(np.array([line.a * raw + line.b]))
    assert 0 < low[0] <= p[0] <= high[0] < 1


def test_the_error_that_refitting_shows_counts_as_often_as_the_setting_says() -> None:
    z, y, order, lead = _repeated(7, 5000, 0.7)
    p = probability(z)
    shown = 0.05 + 0.2 * p
    without = estimate_hidden(z, y, order, Repeats(lead, 2.0))
    once, thrice = (
        estimate_hidden(z, y, order, Repeats(lead, 2.0), model_variance=shown, times=times, growth=1.0)
        for times in (1.0, 3.0)
    )
    assert once.model_error == pytest.approx(float(shown.mean()))
    # The levels of the months are moved a little before the line is drawn.
    assert thrice.slope == pytest.approx(3 * 0.2, rel=0.05)
    at = np.array([0.1, 0.3])
    np.testing.assert_allclose((thrice.variance(at) - once.variance(at)), 2 * (0.05 + 0.2 * at), rtol=0.1)
    assert (without.variance(at) < once.variance(at)).all()


def test_the_error_rises_as_much_more_steeply_as_the_setting_says_and_keeps_its_mean() -> None:
    z, y, order, lead = _repeated(7, 5000, 0.7)
    p = probability(z)
    even, steep = (
        estimate_hidden(z, y, order, Repeats(lead, 2.0), model_variance=0.05 + 0.2 * p, times=2.0, growth=growth)
        for growth in (1.0, 3.0)
    )
    assert steep.slope == pytest.approx(3 * even.slope)
    # Both lines go through the mean: 2 (0.05 + 0.2 m) = even.base + even.slope m.
    middle = (even.base - steep.base) / (steep.slope - even.slope)
    assert middle == pytest.approx(float(p.mean()), abs=0.01)
    falling = estimate_hidden(z, y, order, Repeats(lead, 2.0), model_variance=0.3 - 0.2 * p)
    assert falling.slope == 0.0


def test_rows_that_refitting_was_not_looked_at_do_not_flatten_its_line() -> None:
    z, y, order, lead = _repeated(7, 5000, 0.7)
    shown = 0.05 + 0.2 * probability(z)
    looked = np.arange(len(z)) % 4 == 0
    # What a segment's own booster adds makes every row's value another one, also of a row that has a mean.
    mixed = np.where(looked, shown, shown[looked].mean() + 1e-6 * np.arange(len(z)) / len(z))
    own = estimate_hidden(z, y, order, Repeats(lead, 2.0), model_variance=mixed, looked=looked)
    every = estimate_hidden(z, y, order, Repeats(lead, 2.0), model_variance=shown)
    assert own.slope == pytest.approx(every.slope, rel=0.02)
    assert own.model_error == pytest.approx(every.model_error, rel=0.02)


def test_an_outcome_that_moves_the_next_one_widens_the_interval_as_the_square_of_its_effect() -> None:
    moved, still = (
        estimate_hidden(z, y, order, Repeats(lead, 2.0))
        for z, y, order, lead in (
            _repeated(2, 20_000, 0.7, after=-1.5),
            _repeated(2, 20_000, 0.7),
        )
    )
    # First order of an effect of -1.5 that no prediction knows; of none it is chance.
    assert 0.4 < moved.echo < 1.5**2
    assert still.echo < 0.1
    assert moved.variance(np.array([0.5]))[0] - moved.floor == pytest.approx(moved.echo / 4)


@pytest.fixture(scope="module")
def fitted() -> Readiness:
    X, y, segment, fold, order, _ = make_world(6000, 1)
    return fit_readiness(
        X, y, segment, fold, order % 3, SPEC, SETTINGS, segment_ids=SEGMENTS, repeats=Repeats(order // 3, 2.0)
    )


def test_segments_with_a_booster_of_their_own_do_not_flatten_the_line_of_the_models_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}

    def kept(*arguments: Any, **named: Any) -> Hidden:
        given.update(named)
        return estimate_hidden(*arguments, **named)

    monkeypatch.setattr("models.readiness.estimate_hidden", kept)
    monkeypatch.setattr("models.boosting.VARIANCE_ROWS", 500)
    X, y, segment, fold, order, _ = make_world(6000, 1)
    own = fit_readiness(
        X, y, segment, fold, order % 3, SPEC, SETTINGS, segment_ids=SEGMENTS, repeats=Repeats(order // 3, 2.0)
    )
    assert own.weights
    looked = given["looked"]
    assert 300 <= looked.sum() < 1100
    # Where nobody has a booster of their own, a row that was not looked at has the mean of those that were.
    nobody = segment == SEGMENTS.index("tiny")
    assert len(np.unique(given["model_variance"][nobody & ~looked])) == 1
    assert len(np.unique(given["model_variance"][nobody & looked])) == (nobody & looked).sum()


def _with_hidden(readiness: Readiness, hidden: Hidden) -> Readiness:
    return replace(readiness, hidden=hidden)


def test_the_kernel_gives_the_documented_interval_alone_and_among_many(fitted: Readiness) -> None:
    X, _, segment, *_ = make_world(300, 9)
    ours = _with_hidden(fitted, HIDDEN)
    many = ours.predict(X, segment)
    raw = (many.log_odds - many.b) / many.a
    for row in range(0, 300, 17):
        low, high = interval(ours.lines[segment[row]], HIDDEN, raw[row : row + 1])
        assert many.lower[row] == pytest.approx(low[0], rel=1e-9)
        assert many.upper[row] == pytest.approx(high[0], rel=1e-9)
        one = ours.predict(X[row : row + 1], segment[row : row + 1])
        assert (one.lower[0], one.upper[0]) == (many.lower[row], many.upper[row])


def test_a_wide_own_interval_gives_a_band_where_the_mean_of_such_leads_is_well_known(fitted: Readiness) -> None:
    X, _, segment, *_ = make_world(300, 9)
    known = np.nan_to_num(X)
    narrow, wide = fitted.predict(known, segment), _with_hidden(fitted, HIDDEN).predict(known, segment)
    assert (wide.upper - wide.lower > narrow.upper - narrow.lower).all()
    np.testing.assert_array_equal(narrow.band, wide.band)


@pytest.mark.parametrize("absurd", [1_000_000.0, -1.0])
def test_an_absurd_value_that_the_answer_rests_on_gets_no_band(fitted: Readiness, absurd: float) -> None:
    ordinary = np.array([[2.0, 0.1, 0.0, 1.0]])
    assert fitted.predict(ordinary, np.array([0])).reason[0] == 0
    row = ordinary.copy()
    row[0, 0] = absurd
    scores = fitted.predict(row, np.array([0]))
    assert REASONS[scores.reason[0]] == "OUT_OF_RANGE"
    assert scores.band[0] == 0
    assert 0 < scores.probability[0] < 1


def test_an_absurd_value_that_the_answer_does_not_rest_on_changes_nothing(fitted: Readiness) -> None:
    row = np.array([[5.0, 0.1, 1e6, 1.0]])
    assert fitted.predict(row, np.array([0])).reason[0] == 0


def test_ordinary_later_leads_are_never_out_of_range(fitted: Readiness) -> None:
    X, _, segment, *_ = make_world(5000, 12)
    scores = fitted.predict(X, segment)
    assert (scores.reason == REASONS.index("OUT_OF_RANGE")).mean() < 0.001


def test_ranges_have_a_margin_that_never_crosses_zero_and_ignore_a_few_rows_of_junk() -> None:
    column = np.concatenate([np.arange(101.0), [1e9]])
    found = Ranges.of(np.column_stack([column, -column, np.full(102, np.nan), column]), (3,)).table
    # Without 3 on each side the values are 3 to 98, half their range is 47.5.
    assert found[0].tolist() == [0.0, 98 + 47.5]
    assert found[1].tolist() == [-98 - 47.5, 0.0]
    assert found[2].tolist() == found[3].tolist() == [-np.inf, np.inf]


def test_a_column_of_zeros_with_a_few_ones_has_no_one_outside() -> None:
    column = np.zeros(1000)
    column[:2] = 1.0
    assert Ranges.of(column[:, None], ()).table.tolist() == [[0.0, 1.5]]


def test_what_is_hidden_and_the_ranges_read_back_exactly(fitted: Readiness) -> None:
    again = Readiness.from_files(_with_hidden(fitted, HIDDEN).to_files())
    assert again.hidden == HIDDEN
    np.testing.assert_array_equal(again.ranges.table, fitted.ranges.table)
    assert again.max_outside_share == SETTINGS.max_outside_share


def test_an_error_that_leads_of_one_value_share_is_found() -> None:
    rng = np.random.default_rng(8)
    kind = rng.integers(0, 40, 30_000)
    z = rng.normal(-1, 0.8, 30_000)
    wrong = (0.4 * rng.normal(size=40))[kind]
    y = (rng.random(30_000) < probability(z + wrong)).astype(float)
    assert estimate_alike(kind[:, None].astype(float), (0,), z, y) == pytest.approx(0.16, abs=0.08)
    right = (rng.random(30_000) < probability(z)).astype(float)
    assert estimate_alike(kind[:, None].astype(float), (0,), z, right) < 0.02


def test_a_column_of_one_value_has_no_cells() -> None:
    assert cells(np.zeros(10), False, np.linspace(0, 1, 10)) is None
    found = cells(np.array([0.0, 1, 2, np.nan]), True, np.full(4, 0.5))
    assert found is not None
    assert len(set(found.tolist())) == 4


def test_the_interval_of_a_group_narrows_with_its_size_and_holds_its_mean(fitted: Readiness) -> None:
    X, _, segment, *_ = make_world(4000, 13)
    scores = fitted.predict(X, segment)
    widths = []
    for size in (30, 300, 3000):
        mean, low, high = group_interval(scores, fitted, np.arange(4000) < size)
        assert low < mean < high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    with pytest.raises(ValueError, match="at least one lead"):
        group_interval(scores, fitted, np.zeros(4000, dtype=bool))
