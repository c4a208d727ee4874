"""Uplift: differences between arms with honest intervals, on tables that a person can check by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputInvalid
from configs.settings import load_settings, load_source
from features.intake.sources import read_tables
from training.experiments.effects import detectable, effects_of, mean_difference, rate_difference
from training.experiments.page import render_uplift
from training.experiments.standing import standing_trial
from training.experiments.targeting import area, judged, uplift_curve
from training.experiments.trial import Trial, read_trial
from training.experiments.uplift import uplift_of

HILLSTROM = Path(__file__).parents[2] / "shared" / "data" / "hillstrom" / "hillstrom.csv"


def made(seed: int, n: int, effect: float = 0.0, *, clusters: int = 0, differ: bool = False) -> Trial:
    """A test of one arm in which a rate of 0.2 rises by `effect`, by twice as much in group b where they differ."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, clusters, n) if clusters else None
    arm = rng.integers(0, 2, clusters)[cluster] if cluster is not None else rng.integers(0, 2, n)
    group = rng.choice(["a", "b"], n).astype(object)
    x = rng.normal(size=n)
    shared = rng.normal(0, 0.1, clusters)[cluster] if cluster is not None else 0.0
    lift = effect * (np.where(group == "b", 2.0, 0.0) if differ else 1.0)
    chance = np.clip(0.2 + 0.05 * x + shared + lift * arm, 0, 1)
    return Trial(
        name="made",
        arms=("none", "mail"),
        arm=arm.astype(np.int64),
        outcomes={"reached": (rng.random(n) < chance).astype(float)},
        yesno=frozenset({"reached"}),
        segments={"group": group},
        X=np.column_stack([x, (group == "b").astype(float)]),
        columns=("x", "b"),
        categorical=(),
        covariates=(0,),
        cluster=None if cluster is None else cluster.astype(np.int64),
        counts={"read": n, "used": n},
    )


def test_a_difference_of_rates_has_newcombes_interval() -> None:
    # Newcombe (1998), table II, example (a): 56/70 against 48/80, method 10: 0.2000 with 0.0524 to 0.3339.
    found, _ = rate_difference(56, 70, 48, 80)
    assert (found.value, round(found.low, 4), round(found.high, 4)) == (pytest.approx(0.2), 0.0524, 0.3339)


def test_a_difference_of_means_is_welchs_and_of_clusters_is_that_of_their_sums() -> None:
    # Means 2 and 1; variances 1 and 1 over 3 rows each: the error is sqrt(1/3 + 1/3).
    found, error = mean_difference(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0]))
    assert found.value == 1.0 and error == pytest.approx(np.sqrt(2 / 3))
    assert found.high - found.value == pytest.approx(2.7764 * np.sqrt(2 / 3), rel=1e-4)  # t with 4 degrees of freedom
    # Each value twice in a cluster tells no more than once.
    twice, same = mean_difference(
        np.repeat([1.0, 2.0, 3.0], 2),
        np.repeat([0.0, 1.0, 2.0], 2),
        np.repeat(np.arange(3), 2),
        np.repeat(np.arange(3), 2),
    )
    assert same == pytest.approx(error) and twice.low == pytest.approx(found.low)


def test_the_smallest_effect_that_would_be_found_is_that_of_the_textbook() -> None:
    assert detectable(0.01) == pytest.approx(0.0280, abs=5e-5)  # (1.960 + 0.842) standard errors


def test_an_aa_test_is_flagged_no_more_often_than_it_may_be() -> None:
    flagged = clustered = 0
    for seed in range(120):
        trial = made(seed, 600)
        flagged += rate_difference(
            int(trial.outcomes["reached"][trial.arm == 1].sum()), int((trial.arm == 1).sum()),
            int(trial.outcomes["reached"][trial.arm == 0].sum()), int((trial.arm == 0).sum()),
        )[0].leaves_out_zero  # fmt: skip
        together = made(1000 + seed, 600, clusters=80)
        one, other = together.arm == 1, together.arm == 0
        y, cluster = together.outcomes["reached"], together.cluster
        assert cluster is not None
        clustered += mean_difference(y[one], y[other], cluster[one], cluster[other])[0].leaves_out_zero
    # 5 % of 120 is 6, and 13 or more happen once in 150 times.
    assert flagged <= 13 and clustered <= 13


def test_an_effect_is_recovered_and_groups_that_differ_are_told_apart() -> None:
    effects, spreads = effects_of(made(7, 20_000, 0.05, differ=True))
    whole, first, second = effects
    assert whole.difference.low < 0.05 < whole.difference.high and whole.verdict == "raises"
    assert whole.adjusted is not None
    assert whole.adjusted.high - whole.adjusted.low < whole.difference.high - whole.difference.low
    assert (first.group, second.group) == ("a", "b")
    assert first.difference.low < 0.0 < first.difference.high and second.difference.low < 0.1 < second.difference.high
    assert second.q < 0.01 and spreads[0].p < 0.01 and spreads[0].between > 0.02
    assert first.pooled is not None and second.pooled is not None
    assert first.difference.value <= first.pooled.value <= second.pooled.value <= second.difference.value


def test_groups_that_do_not_differ_are_pulled_to_one_effect() -> None:
    effects, spreads = effects_of(made(2, 20_000, 0.05))
    pooled = [effect.pooled for effect in effects[1:]]
    assert all(one is not None for one in pooled)
    if spreads[0].between == 0.0:
        assert pooled[0] is not None and pooled[1] is not None and pooled[0].value == pytest.approx(pooled[1].value)
    assert abs(sum(one.value for one in pooled if one) / 2 - 0.05) < 0.02


def test_few_rows_say_so() -> None:
    effects, _ = effects_of(made(1, 30))
    assert {effect.verdict for effect in effects} <= {"too few", "not told apart"}
    assert any(effect.too_few for effect in effects)


def test_an_uplift_curve_ends_at_the_effect_on_all_and_its_area_is_the_qini() -> None:
    # 800 rows in order, every other one treated; the first 400 gain 1 each, the others nothing.
    treated = np.array([True, False] * 400)
    y = (treated & (np.arange(800) < 400)).astype(float)
    curve = uplift_curve(y, treated, np.ones(800))
    assert curve[-1] == pytest.approx(0.5)  # half of the treated gained
    assert curve[9] == pytest.approx(0.5)  # all that can be gained is gained with the first half
    assert curve[4] == pytest.approx(0.25)  # a quarter of the rows gain 1 each
    # The curve is a triangle over the first half and flat after it: 3/8 less the half of a random order, 1/4.
    assert area(curve) == pytest.approx(1 / 8, abs=1e-9)
    assert area(uplift_curve(y[::-1], treated[::-1], np.ones(800))) < 0


def test_the_true_order_is_better_than_an_order_by_who_acts_anyway() -> None:
    rng = np.random.default_rng(4)
    n = 8_000
    gains, acts = rng.random(n) < 0.3, rng.random(n)
    treated = rng.random(n) < 0.5
    y = (rng.random(n) < 0.3 * acts + 0.3 * gains * treated).astype(float)
    found = {
        one.ranking: one
        for one in judged(
            {"readiness": 1 - acts, "x-learner": 1 - gains + rng.random(n) / 10},
            y, treated, np.arange(n), replicates=60,
        )
    }  # fmt: skip
    assert found["x-learner"].verdict == "better than readiness"
    assert found["x-learner"].at_top[1] < 0.3 < found["x-learner"].at_top[2]
    assert found["readiness"].beyond == (0.0, 0.0, 0.0)


def test_the_page_shows_every_arm_and_loads_nothing() -> None:
    trial = made(3, 1_500, 0.1)
    found = uplift_of(trial, replicates=5)
    page = render_uplift(found, trial.yesno)
    assert "mail" in page and "By group" in page and "x-learner" in page
    assert "http" not in page.replace("http-equiv", "")
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["arms"].keys() == {"none", "mail"}


def test_the_standing_experiment_is_read_from_assignments_and_outcomes(tmp_path: Path) -> None:
    def write(name: str, rows: str) -> Path:
        file = tmp_path / f"{name}.csv"
        file.write_text(rows)
        return file

    # Accounts 0 to 9 routed, 10 to 19 held out; of three leads each, one in half of the routed accounts reached a demo.
    leads, assigned, outcomes = ["lead_id"], [], ["lead_id,kind,occurred_at"]
    for account in range(20):
        for own in range(3):
            lead = f"L{account}_{own}"
            leads.append(lead)
            arm = "routed" if account < 10 else "holdout"
            assigned.append(f"{lead},2026-01-10T00:00:00Z,{arm},2026-Q1,account {account},0.5,implant,phone")
            # A second night of the same quarter counts no second time.
            assigned.append(f"{lead},2026-01-11T00:00:00Z,{arm},2026-Q1,account {account},0.5,implant,phone")
        if account % 2 == 0 and account < 10:
            outcomes.append(f"L{account}_0,demo,2026-02-01T00:00:00Z")
    assigned.append("L0_0,2026-06-20T00:00:00Z,routed,2026-Q2,account 0,0.5,implant,phone")  # too young
    assigned.append("L1_0,2026-04-01T00:00:00Z,outside,2026-Q2,account 1,1.0,implant,phone")
    outcomes.append("L1_1,demo,2026-05-01T00:00:00Z")  # after the horizon of 60 days
    outcomes.append("L2_1,lost,2026-02-01T00:00:00Z")  # not what is wanted
    header = "lead_id,assigned_at,arm,period,unit,share,segment,planned_channel"
    files = {
        "leads": write("leads", "\n".join(leads)),
        "assignments": write("assignments", "\n".join([header, *assigned])),
        "outcomes": write("outcomes", "\n".join(outcomes)),
    }
    settings = load_settings()
    as_of = datetime(2026, 6, 30, tzinfo=UTC)
    tables = read_tables(files, settings, as_of=as_of).tables
    trial = standing_trial(tables, settings, as_of)
    assert trial.arms == ("holdout", "routed") and len(trial) == 60
    assert trial.counts["outside of the experiment"] == 1 and trial.counts["horizon not over yet"] == 1
    effects, _ = effects_of(trial)
    whole = effects[0]
    assert (whole.treated_mean, whole.control_mean) == (pytest.approx(5 / 30), 0.0)
    assert whole.too_few  # ten accounts an arm
    assert {e.group for e in effects if e.dimension == "segment and action"} == {"implant: phone"}
    # Five of ten sums are 1 - 3/6 and five -3/6: 10/9 * 10 * 0.25 / 30^2 is the variance of the mean.
    error = np.sqrt(10 / 9 * 2.5 / 900)
    assert whole.detectable == pytest.approx(2.8016 * error, rel=1e-3)
    with pytest.raises(InputInvalid, match="assignments"):
        standing_trial(read_tables({"leads": files["leads"]}, settings, as_of=as_of).tables, settings, as_of)


@pytest.mark.skipif(not HILLSTROM.is_file(), reason="needs ../shared/data/hillstrom")
def test_hillstrom_is_read_whole_and_each_arm_raises_every_outcome() -> None:
    trial = read_trial(load_source(Path("hillstrom")), HILLSTROM)
    assert trial.counts == {"read": 64_000, "used": 64_000, "rejected": 0}
    assert np.bincount(trial.arm).tolist() == [21_306, 21_307, 21_387]
    one, _ = rate_difference(
        int(trial.outcomes["visit"][trial.arm == 1].sum()),
        21_307,
        int(trial.outcomes["visit"][trial.arm == 0].sum()),
        21_306,
    )
    assert (round(one.value, 4), round(one.low, 4), round(one.high, 4)) == (0.0766, 0.07, 0.0832)
