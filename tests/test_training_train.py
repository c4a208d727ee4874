"""The train journey on a small made world: what is written, what it was judged on, and the same bytes twice."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputInvalid
from configs.settings import Settings, load_settings
from features.intake.sources import find_files, read_tables
from features.tables import Tables
from models.bundle import read_bundle
from models.readiness import fit_readiness
from training.evaluation.evaluate import evaluate
from training.evaluation.evaluation import load_evaluation, save_evaluation
from training.evaluation.metrics import measure
from training.rivals import POOLED, POOLED_SEGMENT, SCORECARD
from training.sample.world import make_sample
from training.train import OURS, Trained, golden_rows, train

pytestmark = pytest.mark.slow

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """What the tests of this file share."""

    tables: Tables
    settings: Settings
    trained: Trained
    steps: tuple[tuple[str, float], ...]


def _quick() -> Settings:
    shipped = load_settings()
    few = {
        "pooled": shipped.training.pooled.model_copy(update={"rounds": 25, "learning_rate": 0.15}),
        "segment": shipped.training.segment.model_copy(update={"rounds": 10}),
        "folds": 3,
        "segment_min_rows": 150,
    }
    return shipped.model_copy(update={"training": shipped.training.model_copy(update=few)})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("train")
    make_sample(2000, 5, folder / "data")
    settings = _quick()
    tables = read_tables(find_files(folder / "data"), settings, assets=settings.assets, as_of=AS_OF).tables
    steps: list[tuple[str, float]] = []
    trained = train(
        tables, settings, AS_OF, folder / "bundle", progress=lambda what, share: steps.append((what, share))
    )
    return World(tables, settings, trained, tuple(steps))


def test_the_bundle_reads_back_and_predicts_what_was_fitted_on_every_row(world: World) -> None:
    trained, dataset = world.trained, world.trained.dataset
    bundle = read_bundle(trained.folder)
    assert bundle.bundle_id == trained.bundle.bundle_id
    assert bundle.spec.version == dataset.spec.version
    fitted = fit_readiness(
        dataset.X, dataset.y, dataset.segment, dataset.fold, dataset.order, dataset.spec, world.settings.training,
        segment_ids=dataset.segment_ids,
    )  # fmt: skip
    found = bundle.readiness.predict(dataset.X, dataset.segment).probability
    assert found == pytest.approx(fitted.predict(dataset.X, dataset.segment).probability, abs=1e-12)


def test_every_model_a_team_would_choose_is_judged_on_the_same_rows(world: World) -> None:
    comparison = world.trained.comparison
    assert set(comparison.models) == {
        OURS, SCORECARD, POOLED, POOLED_SEGMENT,
        "logistic_regression", "naive_bayes", "global_lightgbm", "lightgbm_with_segment",
    }  # fmt: skip
    assert len({found.rows for found in comparison.models.values()}) == 1
    assert comparison.models[OURS].rows == int(world.trained.dataset.judge.sum())
    assert {row.segment_id for row in comparison.segments} == set(world.trained.segment.tolist())


def test_the_metrics_of_the_manifest_are_from_rows_the_judged_model_never_saw(world: World) -> None:
    trained, dataset = world.trained, world.trained.dataset
    assert not set(dataset.root[dataset.train]) & set(dataset.root[dataset.judge])
    assert dataset.order[dataset.train].max() < dataset.order[dataset.judge].min()
    seen = dataset.train
    fitted = fit_readiness(
        dataset.X[seen], dataset.y[seen], dataset.segment[seen], dataset.fold[seen], dataset.order[seen],
        dataset.spec, world.settings.training, segment_ids=dataset.segment_ids,
    )  # fmt: skip
    judge = dataset.judge
    honest = measure(dataset.y[judge], fitted.predict(dataset.X[judge], dataset.segment[judge]).probability)
    flattering = measure(
        dataset.y[judge], trained.bundle.readiness.predict(dataset.X[judge], dataset.segment[judge]).probability
    )
    written = trained.bundle.manifest.metrics
    assert written["log_loss"] == pytest.approx(honest.log_loss, abs=1e-12)
    assert written["auc"] == pytest.approx(honest.auc, abs=1e-12)
    assert written["log_loss"] != pytest.approx(flattering.log_loss, abs=1e-6)


def test_the_manifest_says_what_it_was_trained_for_and_on(world: World) -> None:
    manifest = world.trained.bundle.manifest
    assert manifest.training_data == world.trained.dataset.dataset_id
    assert manifest.training["horizon_days"] == world.settings.targets.served.horizon_days
    assert manifest.training["target_kinds"] == list(world.settings.targets.served.kinds)
    assert manifest.training["counts"] == dict(world.trained.dataset.counts)


def test_progress_rises_from_the_start_to_the_end(world: World) -> None:
    shares = [share for _, share in world.steps]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_a_second_run_with_rows_turned_around_writes_the_same_bundle(world: World, tmp_path: Path) -> None:
    events = {name: column[::-1].copy() for name, column in world.tables.events.items()}
    again = train(replace(world.tables, events=events), world.settings, AS_OF, tmp_path / "bundle")
    assert again.bundle.bundle_id == world.trained.bundle.bundle_id
    assert json.dumps(again.comparison.to_json()) == json.dumps(world.trained.comparison.to_json())
    for file in world.trained.folder.iterdir():
        assert (tmp_path / "bundle" / file.name).read_bytes() == file.read_bytes()


def test_too_little_data_writes_no_bundle(world: World, tmp_path: Path) -> None:
    outcomes = {name: column[:30] for name, column in world.tables.outcomes.items()}
    with pytest.raises(InputInvalid, match="training data: expected at least 20 leads"):
        train(replace(world.tables, outcomes=outcomes), world.settings, AS_OF, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_readiness_learned_something_that_the_truth_confirms(world: World) -> None:
    trained = world.trained
    assert measure(trained.y, trained.predictions[OURS]).auc > 0.6
    rate = float(trained.dataset.y[trained.dataset.train].mean())
    guess = measure(trained.y, np.full(len(trained.y), rate))
    assert trained.comparison.models[OURS].log_loss < guess.log_loss


def test_no_leads_own_row_leaves_with_the_bundle(world: World) -> None:
    dataset = world.trained.dataset
    golden, _ = golden_rows(dataset, seed=7)
    own = {row.tobytes() for row in np.nan_to_num(dataset.X, nan=-1.0)}
    assert not any(row.tobytes() in own for row in np.nan_to_num(golden, nan=-1.0))


def test_the_model_card_of_a_real_run_adds_up_and_reads_back(world: World, tmp_path: Path) -> None:
    trained = world.trained
    found = evaluate(trained, world.settings, title="made world", replicates=100)
    save_evaluation(found, tmp_path / "bundle")
    assert load_evaluation(tmp_path / "bundle", trained.bundle.bundle_id)[0] == found
    judged = int(trained.dataset.judge.sum())
    assert found.data.judge.rows == judged == sum(line.rows for line in found.bands)
    for dimension in ("role", "setting", "jurisdiction", "source", "segment"):
        assert sum(row.rows for row in found.slices.of(dimension)) == judged
    assert found.stability is not None
    # Held-out accounts at four snapshots; the last one is what judges.
    assert found.stability.periods[-1].rows == judged
    assert len(found.stability.periods) == len(set(trained.dataset.slices["month"].tolist()))
    assert found.models[OURS]["log_loss"] == pytest.approx(trained.comparison.models[OURS].log_loss)
