"""Readiness on a made world whose segments differ: properties, not magic numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.errors import BundleRefused, ConfigInvalid
from configs.training_settings import TrainingSettings
from models.bands import REASONS
from models.boosting import _folds_of, _parts_of
from models.calibration import log_loss, probability
from models.intervals import Earlier, Repeats
from models.readiness import PARTS_BESIDE, fit_beside, fit_readiness
from models.scores import Readiness

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Columns, label, segment, fold, order and the true log-odds of every row.
World = tuple[Floats, Floats, Ints, Ints, Ints, Floats]

SEGMENTS = ("general", "opposite", "tiny", "empty")
SPEC: Any = SimpleNamespace(
    names=("visits", "depth", "noise", "kind"),
    groups=("engagement", "engagement", "fit", "fit"),
    categorical=(3,),
    monotone=(0, 1, 0, 0),
)
SHAPE = {"leaves": 8, "depth": 3, "learning_rate": 0.1, "min_leaf": 20, "l2": 1.0}
SETTINGS = TrainingSettings(
    snapshots=1,
    snapshot_every_days=60,
    folds=3,
    holdout_share=0.25,
    pooled={"rounds": 40, **SHAPE},
    segment={"rounds": 30, **SHAPE, "leaves": 4},
    segment_min_rows=300,
    shrinkage_rows=500,
    bands={"cold": 0.0, "warming": 0.05, "warm": 0.15, "hot": 0.35},
    max_interval_width=0.5,
    min_known_share=0.3,
    threads=1,
)


def make_world(rows: int, seed: int) -> World:
    """Visits raise the chance in `general` and lower it in `opposite`: the same signal, two meanings."""
    rng = np.random.default_rng(seed)
    X = np.column_stack(
        [rng.poisson(2, rows), rng.normal(size=rows), rng.normal(size=rows), rng.integers(0, 6, rows)]
    ).astype(float)
    segment = rng.choice(3, size=rows, p=[0.6, 0.37, 0.03])
    z = -1.0 + np.where(segment == 1, -0.6, 0.6) * (X[:, 0] - 2) + 0.5 * X[:, 1] + 0.3 * (X[:, 3] % 2)
    y = (rng.random(rows) < probability(z)).astype(float)
    X[rng.random(X.shape) < 0.05] = np.nan
    return X, y, segment, rng.integers(0, 3, rows), np.arange(rows), z


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(6000, 1)


@pytest.fixture(scope="module")
def readiness(world: World) -> Readiness:
    X, y, segment, fold, order, _ = world
    return fit_readiness(X, y, segment, fold, order, SPEC, SETTINGS, segment_ids=SEGMENTS)


@pytest.fixture(scope="module")
def blind(world: World) -> Readiness:
    """The same readiness that is never told the segment."""
    X, y, _, fold, order, _ = world
    return fit_readiness(X, y, np.zeros(len(y), dtype=np.int64), fold, order, SPEC, SETTINGS, segment_ids=SEGMENTS[:1])


def test_base_plus_contributions_is_the_log_odds(readiness: Readiness, world: World) -> None:
    scores = readiness.predict(world[0], world[2])
    assert np.abs(scores.base + scores.contributions.sum(axis=1) - scores.log_odds).max() < 1e-9
    assert scores.probability == pytest.approx(probability(scores.log_odds))
    assert scores.contributions.shape[1] == len(readiness.names) == len(readiness.groups)
    assert readiness.names[-1] == readiness.groups[-1] == "segment"


def test_segments_that_differ_are_told_apart_on_later_data(readiness: Readiness, blind: Readiness) -> None:
    X, y, segment, _, _, z = make_world(4000, 2)
    ours = log_loss(y, readiness.predict(X, segment).log_odds)
    pooled = log_loss(y, blind.predict(X, np.zeros(len(y))).log_odds)
    gain = pooled - ours
    # More than twice its standard error over all, and nowhere worse by more than noise.
    assert gain.mean() > 2 * gain.std() / np.sqrt(len(gain))
    for index in range(3):
        own = gain[segment == index]
        assert own.mean() > -2 * own.std() / np.sqrt(len(own))
    assert ours.mean() < log_loss(y, z).mean() + 0.02


def test_probabilities_are_calibrated_and_intervals_cover_most_true_ones(readiness: Readiness) -> None:
    X, y, segment, _, _, z = make_world(8000, 3)
    scores = readiness.predict(X, segment)
    parts = np.array_split(np.argsort(scores.probability, kind="stable"), 10)
    error = sum(abs(y[part].mean() - scores.probability[part].mean()) * len(part) for part in parts) / len(y)
    assert error < 0.03
    complete = ~np.isnan(X).any(axis=1)
    covered = (scores.lower <= probability(z)) & (probability(z) <= scores.upper)
    assert covered[complete].mean() > 0.6
    assert ((scores.lower <= scores.probability) & (scores.probability <= scores.upper)).all()


def test_every_segment_records_why_it_has_its_own_booster_or_not(readiness: Readiness) -> None:
    reasons = {record.segment_id: record.reason for record in readiness.records}
    assert reasons["tiny"] == "TOO_FEW_ROWS"
    assert reasons["empty"] == "TOO_FEW_ROWS"
    for record in readiness.records:
        assert record.kept == (record.reason == "LOWERS_LATER_LOSS") == (record.segment_id in readiness.weights)
        if record.kept:
            assert record.gain_low is not None and record.gain_low > 0
            on_top = record.weight <= record.rows / (record.rows + SETTINGS.shrinkage_rows)
            assert on_top or record.weight in {part / (1 - part) for part in PARTS_BESIDE}


def test_a_booster_is_kept_where_the_pooled_model_cannot_see_the_difference(world: World) -> None:
    # With stumps the pooled model cannot say that a sign turns with the segment; the segment's own booster can.
    X, y, segment, fold, order, _ = world
    stumps = SETTINGS.model_copy(update={"pooled": SETTINGS.pooled.model_copy(update={"leaves": 2, "depth": 1})})
    fitted = fit_readiness(X, y, segment, fold, order, SPEC, stumps, segment_ids=SEGMENTS)
    assert "opposite" in fitted.weights
    scores = fitted.predict(X[:50], segment[:50])
    assert {scores.model_id(row) for row in range(50)} <= {"pooled", *fitted.weights}


def test_segments_drawn_by_chance_earn_no_booster_but_rarely_and_lose_next_to_nothing() -> None:
    # Twelve segments of about 500 rows that mean nothing, three times: 36 draws. At 5 % each more than 5 are a chance
    # of 1 %.
    kept, cost = 0, []
    for seed in range(3):
        X, y, _, fold, order, _ = make_world(6000, 50 + seed)
        segment = np.random.default_rng(seed).integers(0, 12, len(y))
        ids = [f"chance_{i}" for i in range(12)]
        both = fit_beside(X, y, segment, fold, order, SPEC, SETTINGS, segment_ids=ids)
        kept += len(both.readiness.weights)
        X, y, *_ = make_world(6000, 90 + seed)
        ours, shared = (log_loss(y, one.predict(X, segment).log_odds) for one in (both.readiness, both.shared))
        cost.append(float((ours - shared).mean()))
    assert kept <= 5
    assert np.mean(cost) < 0.002


def test_a_small_segment_unlike_the_rest_earns_a_booster_beside_the_pooled_one_and_drivers_stay_exact() -> None:
    rng = np.random.default_rng(4)
    X, y, _, fold, order, _ = make_world(6000, 4)
    segment = (rng.random(len(y)) < 0.15).astype(np.int64)
    turned = probability(-1.0 - 1.2 * (np.nan_to_num(X[:, 0], nan=2.0) - 2) + 0.5 * np.nan_to_num(X[:, 1]))
    y = np.where(segment == 1, (rng.random(len(y)) < turned).astype(float), y)
    # The pooled model cannot see the segment (stumps), and a booster on top hardly learns.
    slow = SETTINGS.model_copy(
        update={
            "pooled": SETTINGS.pooled.model_copy(update={"leaves": 2, "depth": 1}),
            "segment": SETTINGS.segment.model_copy(update={"learning_rate": 0.001}),
        }
    )
    both = fit_beside(X, y, segment, fold, order, SPEC, slow, segment_ids=("rest", "other"))
    assert both.readiness.weights["other"] in {part / (1 - part) for part in PARTS_BESIDE}
    own = segment == 1
    scores = both.readiness.predict(X, segment)
    assert np.abs(scores.base + scores.contributions.sum(axis=1) - scores.log_odds).max() < 1e-9
    # The sum of both is brought back to the size of one, so that it is calibrated.
    assert scores.probability[own].mean() == pytest.approx(y[own].mean(), abs=0.02)
    shared = both.shared.predict(X[own], segment[own]).log_odds
    assert log_loss(y[own], scores.log_odds[own]).mean() < log_loss(y[own], shared).mean() - 0.02


def test_a_tiny_segment_is_answered_by_the_pooled_model_with_nearly_its_calibration(readiness: Readiness) -> None:
    pooled, tiny, empty = readiness.lines[-1], readiness.lines[2], readiness.lines[3]
    assert "tiny" not in readiness.weights
    assert (empty.a, empty.b) == (pooled.a, pooled.b)
    assert abs(tiny.b - pooled.b) < 0.25
    assert tiny.rows < 100


def test_a_segment_without_a_model_of_its_own_is_answered_as_if_no_other_segment_had_one(world: World) -> None:
    X, y, segment, fold, order, _ = world
    # The segment is hidden from the pooled model, so that a booster is earned and moves the others' log-odds.
    shallow = SETTINGS.model_copy(update={"pooled": SETTINGS.pooled.model_copy(update={"leaves": 2, "depth": 1})})
    none = shallow.model_copy(update={"segment_min_rows": len(y) + 1})
    some = fit_readiness(X, y, segment, fold, order, SPEC, shallow, segment_ids=SEGMENTS)
    alone = fit_readiness(X, y, segment, fold, order, SPEC, none, segment_ids=SEGMENTS)
    assert any(record.kept for record in some.records)
    tiny = np.full(200, SEGMENTS.index("tiny"))
    assert not some.records[SEGMENTS.index("tiny")].kept
    np.testing.assert_array_equal(some.predict(X[:200], tiny).probability, alone.predict(X[:200], tiny).probability)


def test_the_same_data_give_the_same_model_twice(readiness: Readiness, world: World) -> None:
    X, y, segment, fold, order, _ = world
    again = fit_readiness(X, y, segment, fold, order, SPEC, SETTINGS, segment_ids=SEGMENTS)
    assert again.to_files() == readiness.to_files()


def test_a_lead_scores_the_same_alone_and_among_many_in_any_order(readiness: Readiness, world: World) -> None:
    X, segment = world[0], world[2]
    many = readiness.predict(X, segment)
    turned = readiness.predict(X[::-1], segment[::-1])
    assert (turned.log_odds[::-1] == many.log_odds).all()
    for row in range(0, 60, 7):
        one = readiness.predict(X[row : row + 1], segment[row : row + 1])
        assert one.log_odds[0] == many.log_odds[row]
        assert one.probability[0] == many.probability[row]
        assert (one.contributions[0] == many.contributions[row]).all()
        assert (one.band[0], one.reason[0]) == (many.band[row], many.reason[row])


def test_a_monotone_feature_never_lowers_readiness(readiness: Readiness) -> None:
    X = np.tile([2.0, 0.0, 0.0, 1.0], (30, 1))
    X[:, 1] = np.linspace(-3, 3, 30)
    for segment in range(3):
        steps = np.diff(readiness.predict(X, np.full(30, segment)).log_odds)
        assert (steps >= -1e-12).all()


def test_no_band_is_said_without_segment_or_with_too_little_known_or_too_wide(
    readiness: Readiness, world: World
) -> None:
    X, segment = world[0][:5].copy(), world[2][:5].copy()
    X[:3] = np.nan_to_num(X[:3])
    segment[0] = -1
    X[1] = np.nan
    scores = readiness.predict(X, segment)
    assert [REASONS[code] for code in scores.reason[:2]] == ["SEGMENT_UNKNOWN", "TOO_FEW_KNOWN_FEATURES"]
    assert scores.band[:2].tolist() == [0, 0]
    assert scores.band[2] > 0
    narrow = SETTINGS.model_copy(update={"max_interval_width": 0.0})
    fitted = fit_readiness(*world[:5], SPEC, narrow, segment_ids=SEGMENTS)
    refused = fitted.predict(np.nan_to_num(X[2:3]), segment[2:3])
    assert REASONS[refused.reason[0]] == "INTERVAL_TOO_WIDE"
    assert 0 < refused.probability[0] < 1


def test_a_known_band_never_falls_as_probability_rises(readiness: Readiness, world: World) -> None:
    scores = readiness.predict(world[0], world[2])
    known = scores.band > 0
    order = np.argsort(scores.probability[known], kind="stable")
    assert (np.diff(scores.band[known][order].astype(int)) >= 0).all()


def test_a_monotone_categorical_is_refused_before_lightgbm_would_abort(world: World) -> None:
    wrong: Any = SimpleNamespace(**{**vars(SPEC), "monotone": (0, 0, 0, 1)})
    X, y, segment, fold, order, _ = world
    with pytest.raises(ConfigInvalid, match="kind: a categorical feature cannot be monotone"):
        fit_readiness(X, y, segment, fold, order, wrong, SETTINGS, segment_ids=SEGMENTS)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"monotone": (0, 2, 0, 0)}, "depth: expected the monotone sign -1, 0 or 1"),
     ({"monotone": (0, 1, 0)}, "monotone signs: expected one for each of the 4 columns, found 3"),
     ({"names": ("visits", "depth", "noise")}, "names: expected one for each of the 4 columns, found 3"),
     ({"categorical": (3, 9)}, "there is no column 9"),
     ({"monotone": (0, 0.5, 0, -1)}, "kind: a categorical feature cannot be monotone")],
)  # fmt: skip
def test_wrong_signs_are_refused_before_lightgbm_sees_them(
    world: World, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr("lightgbm.Dataset", None)
    X, y, segment, fold, order, _ = world
    wrong: Any = SimpleNamespace(**{**vars(SPEC), **change})
    with pytest.raises(ConfigInvalid, match=says):
        fit_readiness(X, y, segment, fold, order, wrong, SETTINGS, segment_ids=SEGMENTS)


def test_the_shared_model_beside_ours_is_what_is_fitted_when_no_segment_may_have_its_own(world: World) -> None:
    X, y, segment, fold, order, _ = world
    shallow = SETTINGS.model_copy(update={"pooled": SETTINGS.pooled.model_copy(update={"leaves": 2, "depth": 1})})
    none = shallow.model_copy(update={"segment_min_rows": len(y) + 1})
    both = fit_beside(X, y, segment, fold, order, SPEC, shallow, segment_ids=SEGMENTS)
    alone = fit_readiness(X, y, segment, fold, order, SPEC, none, segment_ids=SEGMENTS)
    assert both.readiness.weights and not both.shared.weights
    np.testing.assert_array_equal(both.shared.predict(X, segment).probability, alone.predict(X, segment).probability)


def test_many_rows_are_left_out_in_fewer_folds_and_no_account_in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = np.arange(10) % 5
    assert _folds_of(fold, _parts_of(len(fold))).tolist() == fold.tolist()
    monkeypatch.setattr("models.boosting.MANY_ROWS", 10)
    merged = _folds_of(fold, _parts_of(len(fold)))
    assert len(np.unique(merged)) == 3
    assert all(len(np.unique(merged[fold == k])) == 1 for k in range(5))


def test_labels_of_one_kind_are_refused(world: World) -> None:
    X, y, segment, fold, order, _ = world
    with pytest.raises(ValueError, match="both present"):
        fit_readiness(X, np.zeros(len(y)), segment, fold, order, SPEC, SETTINGS, segment_ids=SEGMENTS)


def test_unordered_rows_and_a_single_instant_can_be_trained_on() -> None:
    X, y, segment, fold, _, _ = make_world(800, 5)
    fitted = fit_readiness(X, y, segment, fold, np.zeros(800), SPEC, SETTINGS, segment_ids=SEGMENTS)
    assert np.isfinite(fitted.predict(X, segment).log_odds).all()


def test_readiness_reads_back_from_its_files_exactly(readiness: Readiness, world: World) -> None:
    again = Readiness.from_files(readiness.to_files())
    ours, theirs = readiness.predict(world[0], world[2]), again.predict(world[0], world[2])
    assert (ours.log_odds == theirs.log_odds).all()
    assert (ours.lower == theirs.lower).all()
    assert again.records == readiness.records


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("pooled.txt", "objective=binary", "objective=regression"), ("pooled.txt", "visits", "clicks"),
     ("calibration.json", '"weights"', '"heights"'), ("bands.json", "0.05", "0.5")],
)  # fmt: skip
def test_parts_that_do_not_fit_together_are_refused(readiness: Readiness, file: str, old: str, new: str) -> None:
    files = readiness.to_files()
    assert old in files[file]
    files[file] = files[file].replace(old, new)
    with pytest.raises(BundleRefused):
        Readiness.from_files(files)


def test_a_fit_with_the_cross_fit_of_another_on_the_same_rows_answers_the_same(world: World) -> None:
    X, y, segment, fold, order, _ = world
    both = fit_beside(X, y, segment, fold, order, SPEC, SETTINGS, segment_ids=SEGMENTS)
    assert both.readiness.weights
    again = fit_readiness(X, y, segment, fold, order, SPEC, SETTINGS, segment_ids=SEGMENTS, pooled=both.pooled)
    first, second = both.readiness.predict(X, segment), again.predict(X, segment)
    np.testing.assert_allclose(first.log_odds, second.log_odds, rtol=0, atol=1e-9)
    np.testing.assert_allclose(first.lower, second.lower, rtol=0, atol=1e-9)
    assert again.records == both.readiness.records


def test_with_many_rows_of_a_segment_nothing_is_tried_beside(
    world: World, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, segment, fold, order, _ = world
    # What this world's segments have of their own is beside the pooled booster.
    beside = {part / (1 - part) for part in PARTS_BESIDE}
    assert readiness.weights and set(readiness.weights.values()) <= beside
    monkeypatch.setattr("models.readiness.BESIDE_ROWS", 0)
    found = fit_readiness(X, y, segment, fold, order, SPEC, SETTINGS, segment_ids=SEGMENTS)
    assert not set(found.weights.values()) & beside


def test_a_cross_fit_of_some_rows_serves_a_fit_on_more_of_them_as_well_as_its_own(world: World) -> None:
    X, y, segment, fold, order, _ = world
    some = order < 4500
    rows = (X[some], y[some], segment[some], fold[some], order[some])
    pooled = fit_beside(*rows, SPEC, SETTINGS, segment_ids=SEGMENTS).pooled
    carried = fit_readiness(X, y, segment, fold, order, SPEC, SETTINGS, segment_ids=SEGMENTS, pooled=pooled)
    alone = fit_readiness(*rows, SPEC, SETTINGS, segment_ids=SEGMENTS)
    chosen = fit_readiness(X, y, segment, fold, order, SPEC, SETTINGS, segment_ids=SEGMENTS)
    assert carried.notes["rows"] == len(y)
    assert carried.notes["pooled_rounds"] == alone.notes["pooled_rounds"]
    later, happened, of, *_ = make_world(6000, 21)
    loss = {
        name: log_loss(happened, one.predict(later, of).log_odds)
        for name, one in {"carried": carried, "chosen": chosen, "alone": alone}.items()
    }
    gap = loss["carried"] - loss["chosen"]
    assert gap.mean() < 2 * gap.std() / np.sqrt(len(gap))
    assert loss["carried"].mean() < loss["alone"].mean() + 0.002


def test_earlier_rows_tell_what_is_hidden_and_change_nothing_else(world: World) -> None:
    X, y, segment, fold, order, _ = world
    # Three rows of each lead: the first of them is learned from by nobody.
    lead, snapshot = order // 3, order % 3
    old = snapshot == 0
    earlier = Earlier(X[old], y[old], segment[old], fold[old], snapshot[old].astype(float), lead[old])
    rows = (X[~old], y[~old], segment[~old], fold[~old], snapshot[~old])
    without, given = (
        fit_readiness(*rows, SPEC, SETTINGS, segment_ids=SEGMENTS, repeats=Repeats(lead[~old], 1.0, more))
        for more in (None, earlier)
    )
    assert given.to_files()["pooled.txt"] == without.to_files()["pooled.txt"]
    assert given.lines == without.lines
    assert given.records == without.records
    np.testing.assert_array_equal(given.predict(X, segment).log_odds, without.predict(X, segment).log_odds)
    assert given.hidden.pairs > 2 * without.hidden.pairs > 0
    assert given.hidden.lasting_error < without.hidden.lasting_error
