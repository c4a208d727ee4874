"""Learning from whom sales worked on: weights from written-down chances, and what they cannot mend."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputInvalid
from configs.exploration import ExplorationSettings
from configs.settings import load_settings
from features.tables import microseconds
from features.warm import one_row_of_each
from training.experiments.selection import of_assignments, selection_weights
from training.experiments.selection_trial import averaged, lessons, read_world
from training.sample.routing import Routing, route
from training.sample.world import make_sample

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
PLAIN = ExplorationSettings(clip_quantile=1.0)


def test_each_lead_counts_by_one_over_its_chance() -> None:
    # Seen with chances 0.5, 0.25, 0.25: weights 2, 4, 4, over their mean 10/3 are 0.6, 1.2, 1.2.
    found = selection_weights(np.array([True, True, True, False]), np.array([0.5, 0.25, 0.25, 0.25]), PLAIN)
    np.testing.assert_allclose(found.weights, [0.6, 1.2, 1.2, 0.0])
    # (0.6 + 1.2 + 1.2)^2 / (0.36 + 1.44 + 1.44) = 9 / 3.24
    assert found.effective == pytest.approx(9 / 3.24)
    assert (found.rows, found.seen, found.clipped, found.beyond) == (4, 3, 0, 0)


def test_weights_are_clipped_at_a_quantile_of_themselves_and_it_is_said() -> None:
    chances = np.array([0.5] * 9 + [0.01])
    found = selection_weights(np.ones(10, dtype=bool), chances, ExplorationSettings(clip_quantile=0.8))
    np.testing.assert_allclose(found.weights, 1.0)  # the quantile of 80 % is 2, which all others have
    assert found.clipped == 1 and "1 weights were cut" in found.says[1]


def test_who_had_no_chance_is_counted_and_stood_for_by_nobody() -> None:
    seen, chances = np.array([True, True, False, False]), np.array([0.5, np.nan, 0.0, 0.001])
    found = selection_weights(seen, chances, PLAIN)
    assert found.beyond == 3 and found.weights.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert "3 rows (75.0%) had no chance of being seen" in found.says[2]


def test_a_flattened_weight_is_its_root() -> None:
    found = selection_weights(
        np.ones(2, dtype=bool), np.array([1.0, 0.25]), PLAIN.model_copy(update={"weight_power": 0.5})
    )
    np.testing.assert_allclose(found.weights, [2 / 3, 4 / 3])  # roots 1 and 2, over their mean 1.5


def test_chances_that_are_none_are_refused() -> None:
    with pytest.raises(InputInvalid, match="between 0 and 1"):
        selection_weights(np.array([True]), np.array([1.2]), PLAIN)
    with pytest.raises(InputInvalid, match="above 0 where handed_over is yes"):
        selection_weights(np.array([True]), np.array([0.0]), PLAIN)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.51, 1.0))
def test_weights_have_mean_one_and_never_grow_by_clipping(seed: int, quantile: float) -> None:
    rng = np.random.default_rng(seed)
    chances = rng.uniform(0.01, 1.0, 60)
    seen = rng.random(60) < chances
    found = selection_weights(seen, chances, ExplorationSettings(clip_quantile=quantile))
    used = found.weights > 0
    if used.any():
        assert found.weights[used].mean() == pytest.approx(1.0)
        assert 1.0 - 1e-9 <= found.effective <= used.sum() + 1e-9
        assert (used == (seen & (chances >= 0.005))).all()


def test_weighted_rates_of_the_seen_are_those_of_all() -> None:
    # Chances of outcome and of being worked on both rise with x: the plain rate of the seen is far too high.
    rng = np.random.default_rng(5)
    x = rng.normal(size=40_000)
    truth = 1 / (1 + np.exp(2 - x))
    y = rng.random(40_000) < truth
    routed = route(rng, x, rng.normal(size=40_000), Routing(hunch=0.5))
    found = selection_weights(routed.worked, routed.propensity, PLAIN)
    seen = routed.worked
    plain, weighted = y[seen].mean(), np.average(y[seen], weights=found.weights[seen])
    noise = np.sqrt(0.15 * 0.85 / found.effective)
    assert abs(weighted - truth.mean()) < 4 * noise
    assert plain - truth.mean() > 10 * noise


@pytest.mark.slow
def test_who_was_not_worked_on_is_no_failure(tmp_path: Path) -> None:
    make_sample(1_500, 9, tmp_path / "world")
    loaded = load_settings()
    few = loaded.training.pooled.model_copy(update={"rounds": 40})
    quick = loaded.model_copy(update={"training": loaded.training.model_copy(update={"pooled": few, "threads": 1})})
    world = read_world(tmp_path / "world", quick, AS_OF)
    found = {one.way: one for one in lessons(world, quick, "score", Routing())}
    assert found["oracle"].excess < found["as failures"].excess
    assert found["uncorrected"].excess < found["as failures"].excess
    assert found["as failures"].bias < -0.03
    assert found["corrected"].effective < found["half corrected"].effective < found["uncorrected"].effective
    assert averaged(list(found.values()))[0].excess == found["oracle"].excess


def test_a_made_policy_works_on_the_share_it_declares() -> None:
    rng = np.random.default_rng(1)
    routed = route(rng, rng.normal(size=20_000), np.zeros(20_000), Routing(0.25, 0.05, 0.1))
    assert sorted(set(routed.propensity.tolist())) == [0.05, 0.9]
    assert routed.worked.mean() == pytest.approx(0.25 * 0.9 + 0.75 * 0.05, abs=0.01)


def test_the_assignment_in_force_is_the_latest_known_by_the_snapshot() -> None:
    day = timedelta(days=1)
    when = [AS_OF - 40 * day, AS_OF - 10 * day, AS_OF + day, AS_OF - 5 * day, AS_OF - 300 * day]
    recorded = [AS_OF - 40 * day, AS_OF - 10 * day, AS_OF + day, AS_OF + day, AS_OF - 300 * day]
    tables = replace(
        one_row_of_each(),
        lead_ids=np.array(["a", "b", "c"], dtype=object),
        assignments={
            "lead": np.array([0, 0, 0, 0, 1], dtype=np.int32),
            "assigned_at": np.array([microseconds(one) for one in when]),
            "recorded_at": np.array([microseconds(one) for one in recorded]),
            "handed_over": np.array([2, 1, 2, 2, 2], dtype=np.uint8),
            "handover_propensity": np.array([0.9, 0.02, 0.5, 0.6, 0.7]),
        },
    )
    seen, chance = of_assignments(tables, np.array([0, 1, 2, 0]), AS_OF, timedelta(days=60))
    # Ten days ago counts for the first lead: later ones lie ahead, or were not on record yet. The second's is too old.
    assert seen.tolist() == [False, False, False, False]
    np.testing.assert_array_equal(chance, [0.02, np.nan, np.nan, 0.02])
    seen, chance = of_assignments(tables, np.array([0]), AS_OF - 20 * day, timedelta(days=60))
    assert seen.tolist() == [True] and chance.tolist() == [0.9]
