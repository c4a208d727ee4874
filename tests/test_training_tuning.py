"""Tuning: within its budget, on rows of its own, and adopted only where it is better beyond noise."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from configs.errors import InputInvalid
from configs.settings import DEFAULTS, load_settings
from configs.training_settings import Boosting, TrainingSettings
from models.calibration import probability
from training.tuning.tuning import TuningRows, _nested, seconds_of, tune

SPEC = SimpleNamespace(
    names=("visits", "depth", "noise"),
    groups=("engagement", "engagement", "fit"),
    categorical=(),
    monotone=(0, 1, 0),
)
SHAPE = {"leaves": 6, "depth": 3, "learning_rate": 0.1, "min_leaf": 20, "l2": 1.0}
SETTINGS = TrainingSettings(
    snapshots=3,
    snapshot_every_days=60,
    folds=4,
    holdout_share=0.25,
    pooled={"rounds": 20, **SHAPE},
    segment={"rounds": 10, **SHAPE, "leaves": 4},
    segment_min_rows=300,
    shrinkage_rows=500,
    bands={"cold": 0.0, "warming": 0.05, "warm": 0.15, "hot": 0.35},
    max_interval_width=0.5,
    min_known_share=0.3,
    threads=1,
)


@cache
def made_rows(rows=2400, seed=1):
    """Three snapshots of accounts of two leads; visits count for more in the second segment."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.poisson(2, rows), rng.normal(size=rows), rng.normal(size=rows)]).astype(float)
    root = np.repeat(np.arange(rows // 2), 2)
    segment = (root % 2).astype(np.int64)
    z = -1.0 + np.where(segment == 1, 0.8, 0.2) * (X[:, 0] - 2) + 0.5 * X[:, 1]
    y = (rng.random(rows) < probability(z)).astype(float)
    return TuningRows(X, y, segment, root % 4, (root % 3).astype(float), root, SPEC, ("one", "two"))


def without_learning():
    """Defaults that hardly learn: any shape that does is better beyond noise."""
    slow = Boosting(**{**SETTINGS.pooled.model_dump(), "learning_rate": 0.001, "min_leaf": 400})
    return SETTINGS.model_copy(update={"pooled": slow, "segment_min_rows": 10_000})


def test_accounts_that_confirm_are_in_no_other_part_and_later():
    rows = made_rows()
    learn, judge = _nested(rows, SETTINGS)
    assert not set(rows.root[learn]) & set(rows.root[judge])
    assert rows.order[learn].max() < rows.order[judge].min()
    assert (rows.order[judge] == 2).all()


def test_the_same_seed_and_number_of_trials_find_the_same_settings():
    first, second = (tune(made_rows(), SETTINGS, 600.0, most_trials=4) for _ in range(2))
    assert first.found == second.found
    assert [trial.loss for trial in first.trials] == [trial.loss for trial in second.trials]
    assert first.gain == second.gain
    assert [trial.part for trial in first.trials] == ["pooled"] * 4 + ["segment"] * 4


def test_a_shape_that_is_better_beyond_noise_is_used_and_says_what_it_was_worth():
    bad = without_learning()
    tuned = tune(made_rows(), bad, 600.0, most_trials=5)
    assert tuned.adopted
    assert tuned.settings.pooled != bad.pooled
    assert tuned.gain[1] > 0
    assert tuned.tuned_loss < tuned.default_loss
    assert "used" in tuned.says
    assert tuned.record()["trials"] == len(tuned.trials)


def test_settings_that_are_not_better_beyond_noise_leave_the_defaults():
    # The outcome is chance: whatever a trial finds is noise.
    rows = made_rows()
    chance = replace(rows, y=np.random.default_rng(3).permutation(rows.y))
    tuned = tune(chance, SETTINGS, 600.0, most_trials=3)
    assert not tuned.adopted
    assert tuned.settings == SETTINGS
    assert "the defaults stay" in tuned.says or "they stay" in tuned.says


def test_no_trial_costs_an_answer_more_than_the_defaults():
    tuned = tune(made_rows(), SETTINGS, 600.0, most_trials=6)
    for part in ("pooled", "segment"):
        found, default = tuned.found[part], getattr(SETTINGS, part)
        assert found["rounds"] == default.rounds
        assert found["leaves"] <= default.leaves
        assert found["depth"] <= default.depth


def test_a_budget_ends_inside_a_trial():
    # Every look at this clock costs a tenth of a second, so that the budget ends in the middle of a booster.
    now = iter(np.arange(0.0, 10_000.0, 0.1))
    seen = []

    def clock():
        seen.append(next(now))
        return seen[-1]

    tuned = tune(made_rows(), SETTINGS, 120.0, clock=clock)
    assert seen[-1] <= 120.0 + 1.0
    assert any(trial.loss is None for trial in tuned.trials)


def test_a_budget_too_short_for_one_fit_keeps_the_defaults_and_says_so():
    now = iter(np.arange(0.0, 1_000.0, 1.0))
    tuned = tune(made_rows(), SETTINGS, 3.0, clock=lambda: next(now))
    assert not tuned.adopted
    assert tuned.trials == ()
    assert "too short" in tuned.says


def test_a_budget_in_which_nothing_else_was_tried_does_not_say_that_nothing_was_better():
    tuned = tune(made_rows(), SETTINGS, 600.0, most_trials=1)
    assert not tuned.adopted and tuned.settings == SETTINGS
    assert tuned.says == "the budget was too short to try any shape beside the defaults: they stay"


def test_a_real_budget_of_seconds_is_kept():
    started = time.monotonic()
    tuned = tune(made_rows(), SETTINGS, 2.0)
    assert time.monotonic() - started < 2.0 + 1.5
    assert tuned.seconds < 2.0 + 1.5


def test_what_was_found_can_be_adopted_as_a_part_of_the_configuration(tmp_path):
    tuned = tune(made_rows(), without_learning(), 600.0, most_trials=3)
    fragment = [line for line in tuned.to_yaml().splitlines() if not line.startswith("#")]
    keys = {line.split(":")[0] for line in fragment}
    assert keys == {"pooled", "segment", "shrinkage_rows"}
    folder = tmp_path / "configs"
    shutil.copytree(DEFAULTS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shipped = (folder / "training.yaml").read_text(encoding="utf-8").splitlines()
    kept = [line for line in shipped if line.split(":")[0] not in keys]
    (folder / "training.yaml").write_text("\n".join([*kept, *fragment]), encoding="utf-8")
    read = load_settings(folder).training
    assert (read.pooled, read.segment) == (tuned.settings.pooled, tuned.settings.segment)
    assert read.shrinkage_rows == tuned.settings.shrinkage_rows


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("10m", 600.0), ("1h", 3600.0), ("2", 120.0)])
def test_a_budget_is_read_with_its_unit(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0s", "-3m", "nan", "infm"])
def test_a_budget_that_is_no_time_is_refused(text):
    with pytest.raises(InputInvalid, match="as 90s, 10m or 1h"):
        seconds_of(text)


def test_rows_without_both_outcomes_on_both_sides_are_refused():
    rows = made_rows()
    none = replace(rows, y=rows.y * (rows.fold != 3))
    with pytest.raises(InputInvalid, match="both kinds"):
        tune(none, SETTINGS, 60.0)
