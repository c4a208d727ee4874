"""What MLflow keeps: one parent run, one child per segment, in one SQLite file, silently and without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.registry.tracking import EXPERIMENT, STORE, RunRecord, TrackedRun, has_store, store, track

ROOT = Path(__file__).resolve().parents[1]
RECORD = RunRecord(
    name="train",
    params={"horizon_days": 60, "target_kinds": ("meeting", "demo"), "long": "x" * 900},
    metrics={"auc": 0.75, "log_loss": 0.4, "lift_at_10": float("nan")},
    tags={"bundle_id": "b" * 64},
    segments={"cardio_outpatient": {"log_loss": 0.3}, "unsegmented": {"log_loss": 0.5, "auc": float("inf")}},
    plots={"reliability": b"\x89PNG not drawn here"},
    tables={"comparison": {"ours": "leadwell"}},
)
SCRIPT = """
import socket, sys
def refuse(*a, **k):
    sys.stderr.write("NETWORK")
    raise OSError("no network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from pathlib import Path
import cli.app, training.registry.champion, training.registry.publish, training.registry.tracking
import training.report, training.train
assert "mlflow" not in sys.modules, "importing mlflow takes seconds that most commands should not wait for"
from configs.settings import load_settings
from training.registry.approvals import approve
from training.registry.champion import promote
from training.registry.publish import register
from training.registry.tracking import RunRecord, track
from datetime import UTC, datetime
artifacts, bundle = Path(sys.argv[1]), Path(sys.argv[2])
run = track(artifacts, RunRecord("train", {}, {"auc": 0.5}, {}, {"one": {"auc": 0.5}}, {"p": b"png"}, {"t": {}}))
register(artifacts, bundle, run_id=run.run_id, by="a test")
asked = {"as_of": datetime(2026, 6, 30, tzinfo=UTC), "rules": load_settings().registry, "despite_gate": "a test"}
approve(artifacts, bundle, by="Grace Reviewer", **asked)
assert promote(artifacts, bundle, by="Ada Trainer", **asked).trouble == ""
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A space and a percent sign: the store's address is a URI, the folder's name is not.
    return tmp_path_factory.mktemp("tracked") / "my 100% artifacts"


@pytest.fixture(scope="module")
def runs(artifacts: Path) -> tuple[TrackedRun, TrackedRun]:
    return track(artifacts, RECORD), track(artifacts, RECORD)


def test_one_parent_and_one_child_for_each_segment(artifacts: Path, runs: tuple[TrackedRun, TrackedRun]) -> None:
    first, _ = runs
    assert set(first.segment_run_ids) == {"cardio_outpatient", "unsegmented"}
    with store(artifacts) as mlflow:
        client = mlflow.MlflowClient()
        parent = client.get_run(first.run_id)
        children = client.search_runs(
            [first.experiment_id], f"tags.mlflow.parentRunId = '{first.run_id}'", max_results=10
        )
        child = client.get_run(first.segment_run_ids["cardio_outpatient"])
    assert parent.info.status == "FINISHED"
    assert {run.info.run_id for run in children} == set(first.segment_run_ids.values())
    assert child.data.metrics == {"log_loss": 0.3}
    assert child.data.tags["segment"] == "cardio_outpatient"
    assert child.data.tags["bundle_id"] == "b" * 64


def test_a_metric_that_is_not_a_number_is_left_out_and_a_long_parameter_is_cut(
    artifacts: Path, runs: tuple[TrackedRun, TrackedRun]
) -> None:
    with store(artifacts) as mlflow:
        data = mlflow.MlflowClient().get_run(runs[0].run_id).data
    assert data.metrics == {"auc": 0.75, "log_loss": 0.4}
    assert data.params["horizon_days"] == "60"
    assert len(data.params["long"]) == 500


def test_plots_and_tables_lie_in_the_artifacts_folder_and_nowhere_else(
    artifacts: Path, runs: tuple[TrackedRun, TrackedRun]
) -> None:
    folder = artifacts / "mlflow" / runs[0].run_id / "artifacts"
    assert (folder / "plots" / "reliability.png").read_bytes() == RECORD.plots["reliability"]
    assert json.loads((folder / "tables" / "comparison.json").read_text()) == {"ours": "leadwell"}
    assert sorted(path.name for path in artifacts.iterdir()) == ["mlflow", STORE]


def test_a_second_run_reuses_the_experiment(artifacts: Path, runs: tuple[TrackedRun, TrackedRun]) -> None:
    first, second = runs
    assert first.experiment_id == second.experiment_id
    assert first.run_id != second.run_id
    with store(artifacts) as mlflow:
        named = [found.name for found in mlflow.MlflowClient().search_experiments()]
    assert named.count(EXPERIMENT) == 1


def test_the_store_gives_back_what_was_set_before(artifacts: Path, runs: tuple[TrackedRun, TrackedRun]) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    with store(artifacts) as inside:
        assert inside.get_tracking_uri().endswith(STORE)
    assert mlflow.get_tracking_uri() == before


def test_whether_something_was_tracked_is_told_without_mlflow(
    tmp_path: Path, artifacts: Path, runs: tuple[TrackedRun, TrackedRun]
) -> None:
    assert has_store(artifacts)
    assert not has_store(tmp_path)
    (tmp_path / STORE).touch()
    assert not has_store(tmp_path)


def test_tracking_registering_and_promoting_say_nothing_ask_no_network_and_import_mlflow_late(
    small_world: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    # The user's environment, not the tests': what keeps MLflow quiet must be our doing.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "artifacts"), str(small_world / "bundle")],
        cwd=folder, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(folder.iterdir()) == []
