"""Several targets in one run: each fitted, judged and written by itself, or left out with the reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputInvalid
from configs.settings import Settings
from configs.targets import Target
from models.bundle import read_bundle
from models.readiness import Readiness
from tests.test_training_dataset import AS_OF, SEGMENTS, SMALL, ago, outcomes, world
from training.dataset.dataset import Dataset, build_dataset
from training.further import refuse_other_target, rows_for, train_targets
from training.train import Trained, fit, train


def declared(*further: dict[str, object]) -> Settings:
    """The small settings with further targets, and boosters that take no time."""
    made = [Target.model_validate({"says": "for a test", "horizon_days": 60, **given}) for given in further]
    quick = SMALL.training.model_copy(
        update={"pooled": SMALL.training.pooled.model_copy(update={"rounds": 5, "min_leaf": 5}), "threads": 1}
    )
    targets = SMALL.targets.model_copy(update={"targets": (SMALL.targets.served, *made), "funnel": ()})
    return SMALL.model_copy(update={"targets": targets, "training": quick})


SETTINGS = declared(
    {"id": "demos", "kinds": ["demo"]},
    {"id": "quotes", "kinds": ["quote"]},
    {"id": "slow", "kinds": ["meeting"], "horizon_days": 170},
)
FURTHER = SETTINGS.targets.targets[1:]


def tables():
    """The dataset tests' world, where every lead whose account has an even number has a demo in every horizon too."""
    base = world()
    demos = [
        (i, "demo", day, day) for k in range(4) for i in range(300) if i // 3 % 2 for day in [ago(60 * k + 20 + i / 60)]
    ]
    made = outcomes(demos)
    joined = {name: np.concatenate([column, made[name]]) for name, column in base.outcomes.items()}
    return dataclasses.replace(base, outcomes=joined)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return build_dataset(tables(), SETTINGS, SEGMENTS, AS_OF, further=FURTHER)


def fitted(rows: Dataset, part: np.ndarray) -> Readiness:
    return fit(rows, SETTINGS, part)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("further") / "bundle"
    return train(tables(), SETTINGS, AS_OF, folder, further=FURTHER)


def test_a_target_without_records_or_rows_is_left_out_and_says_why(dataset: Dataset) -> None:
    found = {one.id: one for one in train_targets(dataset, SETTINGS, fitted, lambda what, share: None)}
    assert found["quotes"].target is None
    assert found["quotes"].reason == ("none of its outcomes was recorded by a snapshot that is old enough: quote")
    # 170 days are over for the first snapshot alone, so nothing earlier trains.
    assert found["slow"].reason.startswith("expected at least 20 leads with and 20 without the outcome to train")
    assert "left_out" in found["slow"].record()


def test_each_target_is_judged_on_its_own_later_rows(dataset: Dataset) -> None:
    own = rows_for(dataset, "demos")
    assert np.array_equal(own.y, own.lead // 3 % 2 == 1)
    (found,) = (one for one in train_targets(dataset, SETTINGS, fitted, lambda what, share: None) if one.id == "demos")
    assert found.metrics is not None and found.gain is not None
    assert found.metrics.rows == int(own.judge.sum())
    assert found.metrics.positives == int(own.y[own.judge].sum())
    # Nothing known of a lead tells the number of its account.
    assert found.gain.verdict != "better" and found.weak


def test_the_bundle_has_what_was_trained_and_its_manifest_what_was_not(trained: Trained) -> None:
    bundle = read_bundle(trained.folder)
    told = bundle.manifest.training["further"]
    assert set(told) == {"demos", "quotes", "slow"}
    in_bundle = {one.id for one in bundle.further}
    assert in_bundle == {name for name, one in told.items() if "left_out" not in one}
    assert in_bundle <= {"demos"}
    assert told["quotes"]["left_out"] and told["demos"]["metrics"]["rows"] > 0
    assert all(told[one.id]["interval"] == one.readiness.hidden.says for one in bundle.further)
    assert bundle.manifest.training["target"] == "next_step"
    assert bundle.manifest.training["history"]["too_young"] == 0
    assert [one.id for one in trained.further] == ["demos", "quotes", "slow"]


def test_the_served_readiness_is_the_same_whatever_is_trained_beside_it(trained: Trained, tmp_path: Path) -> None:
    alone = train(tables(), SETTINGS, AS_OF, tmp_path / "alone")
    assert alone.bundle.further == ()
    for name in ("pooled.txt", "calibration.json", "bands.json", "golden.json"):
        assert (alone.folder / name).read_bytes() == (trained.folder / name).read_bytes()


def test_a_bundle_of_another_target_is_not_judged_by_this_one(trained: Trained) -> None:
    refuse_other_target(trained.bundle.manifest, SETTINGS)
    served = SETTINGS.targets.served.model_copy(update={"horizon_days": 30})
    targets = SETTINGS.targets.model_copy(update={"targets": (served, *FURTHER)})
    with pytest.raises(InputInvalid, match=r"within 60 days, and targets.yaml serves .* within 30 days"):
        refuse_other_target(trained.bundle.manifest, SETTINGS.model_copy(update={"targets": targets}))


def test_a_person_reads_what_each_target_is_worth(trained: Trained) -> None:
    said = {one.id: one.words() for one in trained.further}
    assert "Target quotes (for a test) is not in the bundle: none of its outcomes was recorded" in said["quotes"]
    assert "Target demos (for a test)" in said["demos"]
