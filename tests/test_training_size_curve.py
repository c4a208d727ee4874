"""The size curve: how leads are drawn, what it says of noise, and the four models on a small made material."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from configs.training_settings import TrainingSettings
from models.calibration import probability
from training.benchmark.size_curve import (
    MODELS,
    OURS,
    POOLED,
    SEPARATE,
    WITH_SEGMENT,
    Material,
    Run,
    _of_leads,
    measure_sizes,
    points_of,
)
from training.benchmark.size_plot import size_plot

SHAPE = {"leaves": 6, "depth": 3, "learning_rate": 0.1, "min_leaf": 20, "l2": 1.0}
SETTINGS = TrainingSettings(
    snapshots=2,
    snapshot_every_days=60,
    folds=3,
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
SPEC = SimpleNamespace(
    names=("visits", "depth"), groups=("engagement", "engagement"), categorical=(), monotone=(0, 1)
)  # fmt: skip


@cache
def material():
    """Two thousand leads, two an account, seen twice; visits mean the opposite in the second segment."""
    rng = np.random.default_rng(1)
    lead = np.repeat(np.arange(2000), 2)
    root = lead // 2
    segment = (root % 2).astype(np.int64)
    X = np.column_stack([rng.poisson(2, len(lead)), rng.normal(size=len(lead))]).astype(np.float32)
    z = -0.5 + np.where(segment == 1, -0.6, 0.6) * (X[:, 0] - 2) + 0.5 * X[:, 1]
    y = (rng.random(len(lead)) < probability(z)).astype(float)
    order = np.tile([0.0, 1.0], 2000)
    aside = root % 4 > 1
    return Material(
        X=X, y=y, lead=lead, order=order, fold=root % 3, root=root, segment=segment, train=~aside,
        judge=aside & (order == 1), rest=root < 600, spec=SPEC, segment_ids=("one", "two"),
    )  # fmt: skip


def run_of(size, ours, others, root=(0, 0, 1, 1), segment_id="one"):
    losses = {OURS: np.array(ours), **{model: np.array(others) for model in MODELS[1:]}}
    return Run(segment_id, size, size, size, 1, np.array(root), losses, 0.0)


def test_whole_accounts_are_drawn_and_a_smaller_size_is_inside_a_larger_one():
    # Account 0 has three leads, the others one; every lead has two rows.
    root, lead = np.repeat([0, 0, 0, 1, 2, 3], 2), np.repeat(np.arange(6), 2)
    for seed in range(5):
        before: set[int] = set()
        for size in range(1, 7):
            chosen = _of_leads(root, lead, size, seed)
            leads = set(lead[chosen].tolist())
            assert before <= leads
            assert len(leads) >= size
            assert all(set(lead[root == r].tolist()) <= leads for r in set(root[chosen].tolist()))
            before = leads
        assert len(chosen) == len(root)


def test_no_account_that_judges_trains_and_every_model_is_judged_on_the_same_rows():
    runs = measure_sizes(material(), SETTINGS, ["two"], sizes=(20, 200), draws=1)
    assert [run.size for run in runs] == [20, 200]
    judged = material().judge & (material().segment == 1)
    for run in runs:
        assert run.leads in (run.size, run.size + 1)
        assert set(run.losses) == set(MODELS)
        assert all(len(loss) == judged.sum() for loss in run.losses.values())
        np.testing.assert_array_equal(run.root, material().root[judged])


def test_ours_is_no_worse_than_pooled_where_a_signal_turns_around_and_the_segment_is_large():
    point = points_of(measure_sizes(material(), SETTINGS, ["two"], sizes=(400,), draws=1))[0]
    gap = next(gap for gap in point.gaps if gap.model == POOLED)
    assert gap.verdict == "better"
    assert gap.value == pytest.approx(point.loss[OURS] - point.loss[POOLED])


def test_a_segment_too_small_to_fit_alone_is_answered_by_its_rate():
    run = measure_sizes(material(), SETTINGS, ["two"], sizes=(4,), draws=1)[0]
    y = material().y[material().judge & (material().segment == 1)]
    # Of one constant probability there are two losses, that of a success and that of a failure.
    for outcome in (0, 1):
        assert len(np.unique(run.losses[SEPARATE][y == outcome].round(12))) == 1


def test_sizes_a_segment_has_not_leads_enough_for_are_left_out():
    assert measure_sizes(material(), SETTINGS, ["two"], sizes=(1_000_000,), draws=1) == []


def test_a_difference_that_every_account_agrees_on_is_beyond_noise():
    point = points_of([run_of(50, [0.1, 0.1, 0.1, 0.1], [0.2, 0.2, 0.2, 0.2])])[0]
    assert point.best == OURS
    assert {gap.verdict for gap in point.gaps} == {"better"}
    assert point.gaps[0].value == pytest.approx(-0.1)
    turned = points_of([run_of(50, [0.2, 0.2, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1])])[0]
    assert not turned.holds


def test_a_difference_that_accounts_disagree_on_is_within_noise_and_holds():
    # One account loses 0.1, the other gains 0.08: resamples lie on both sides of zero.
    point = points_of([run_of(50, [0.2, 0.2, 0.1, 0.1], [0.1, 0.1, 0.18, 0.18])])[0]
    assert point.best != OURS
    assert {gap.verdict for gap in point.gaps} == {"within noise"}
    assert point.holds


def test_segments_weigh_alike_however_many_rows_judge_them():
    large = run_of(50, [0.1] * 8, [0.2] * 8, root=range(8))
    small = replace(run_of(50, [0.3] * 2, [0.2] * 2, root=range(2)), segment_id="two")
    point = points_of([large, small])[0]
    # (0.1 + 0.3) / 2 and not the mean over ten rows.
    assert point.loss[OURS] == pytest.approx(0.2)
    assert point.judged_rows == 10


def test_the_curve_can_be_drawn():
    points = points_of([run_of(50, [0.1] * 4, [0.2] * 4), run_of(500, [0.1, 0.2, 0.1, 0.2], [0.1, 0.1, 0.2, 0.2])])
    assert size_plot(points).startswith(b"\x89PNG")
    svg = size_plot(points, "svg").decode()
    assert all(word in svg for word in ("<svg", "</svg>"))


def test_the_pooled_model_with_the_segment_is_told_apart_from_the_one_without():
    run = measure_sizes(material(), SETTINGS, ["two"], sizes=(300,), draws=1)[0]
    assert run.losses[WITH_SEGMENT].mean() < run.losses[POOLED].mean()
