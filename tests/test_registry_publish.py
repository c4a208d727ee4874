"""MLflow follows, in the SQLite file and on MLflow's own server, and nothing is lost where it does not answer."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from configs.errors import BundleRefused, InputInvalid, TrackingFailed
from configs.settings import load_settings
from models.bundle import read_bundle
from training.registry.approvals import approve
from training.registry.champion import Champion, promote, rollback
from training.registry.history import CHAMPION_FILE
from training.registry.publish import MODEL, follow, log_bundle, register
from training.registry.tracking import (
    URI_VARIABLE,
    RunRecord,
    has_store,
    refuse_silent_server,
    shown,
    store,
    track,
    tracking_uri,
)

AT = datetime(2026, 6, 30, tzinfo=UTC)
RULES = load_settings().registry
SECONDS = 120


def promoted(artifacts: Path, folder: Path, uri: str | None = None) -> Champion:
    """A promotion by two persons; the small world's bundle was compared with nothing, which both let pass."""
    why = "a test"
    approve(artifacts, folder, by="Grace Reviewer", as_of=AT, rules=RULES, despite_gate=why)
    return promote(
        artifacts, folder, by="Ada Trainer", as_of=AT, rules=RULES, despite_gate=why, uri=uri, verify=read_bundle
    )


def aliases(artifacts: Path, uri: str | None = None) -> dict[str, str]:
    with store(artifacts, uri=uri) as mlflow:
        found = mlflow.MlflowClient().get_registered_model(MODEL).aliases
    return {str(alias): str(version) for alias, version in found.items()}


def other(folder: Path, target: Path) -> Path:
    """The same bundle under another id: its manifest says something else of its training."""
    made = shutil.copytree(folder, target)
    manifest = made / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"passed": true', '"passed": true, "note": 1'))
    assert read_bundle(made).bundle_id != read_bundle(folder).bundle_id
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own server with SQLite on a free local port."""
    folder = tmp_path_factory.mktemp("mlflow server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination", str(folder / "files"),
        "--allowed-hosts", f"127.0.0.1:{port}",
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    try:
        for _ in range(SECONDS * 4):
            try:
                with urllib.request.urlopen(f"{uri}/health", timeout=2):
                    break
            except OSError:
                assert running.poll() is None, (folder / "log").read_text()[-2000:]
                time.sleep(0.25)
        yield uri
    finally:
        # It waits for clients that keep their connection; nothing of it is needed any more.
        os.killpg(running.pid, 9)
        running.wait(30)


@pytest.mark.slow
def test_on_mlflows_own_server_runs_versions_and_aliases_follow_and_a_rollback_moves_them_back(
    server: str, small_world: Path, tmp_path: Path
) -> None:
    artifacts, first = tmp_path / "artifacts", small_world / "bundle"
    second = other(first, tmp_path / "second")
    refuse_silent_server(artifacts, server)
    run, version = log_bundle(artifacts, first, uri=server)
    assert aliases(artifacts, server) == {"challenger": version}
    assert promoted(artifacts, first, server).trouble == ""
    assert aliases(artifacts, server) == {"champion": version}
    tracked = track(
        artifacts, RunRecord("train", {}, {"auc": 0.5}, {}, {"one": {"auc": 0.5}}, {"p": b"png"}), uri=server
    )
    newer = register(artifacts, second, run_id=tracked.run_id, uri=server)
    assert aliases(artifacts, server) == {"champion": version, "challenger": newer}
    promoted(artifacts, second, server)
    assert aliases(artifacts, server) == {"champion": newer}
    rollback(artifacts, by="Night Shift", as_of=AT, uri=server, verify=read_bundle)
    assert aliases(artifacts, server) == {"champion": version}
    with store(artifacts, uri=server) as mlflow:
        client = mlflow.MlflowClient()
        logged = client.get_run(run.run_id)
        place = mlflow.artifacts.download_artifacts(f"models:/{MODEL}@champion", dst_path=str(tmp_path / "down"))
    assert logged.data.tags["bundle_id"] == read_bundle(first).bundle_id
    # What the server gives back is the bundle, byte for byte.
    (manifest,) = Path(place).rglob("manifest.json")
    assert read_bundle(manifest.parent).bundle_id == read_bundle(first).bundle_id
    # Nothing was written beside the server.
    assert not (artifacts / "mlflow.db").exists() and not (artifacts / "mlflow").exists()


@pytest.mark.slow
def test_a_server_that_is_gone_is_named_before_training_and_never_keeps_a_champion_from_serving(
    small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts, gone = tmp_path / "artifacts", "http://ada:secret@127.0.0.1:9"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingFailed, match=r"server http://127\.0\.0\.1:9 does not answer; start it") as refused:
        refuse_silent_server(artifacts, gone)
    assert "secret" not in str(refused.value)
    with pytest.raises(TrackingFailed, match=r"MLflow at http://127\.0\.0\.1:9 could not") as failed:
        track(artifacts, RunRecord("train", {}, {}, {}), uri=gone)
    assert "secret" not in str(failed.value)
    champion = promoted(artifacts, small_world / "bundle", gone)
    assert "leadwell registry aliases" in champion.trouble and (artifacts / CHAMPION_FILE).is_file()


def test_where_runs_go_is_the_option_the_environment_or_the_file_of_the_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URI_VARIABLE, raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv(URI_VARIABLE, "http://mlflow.example:5000")
    assert tracking_uri(tmp_path) == "http://mlflow.example:5000"
    assert tracking_uri(tmp_path, "https://other.example") == "https://other.example"
    assert has_store(tmp_path)
    for odd in ("mlruns", "file:///mlruns", "http://", "ftp://somewhere", "http:/one"):
        with pytest.raises(InputInvalid, match="expected http://HOST:PORT"):
            tracking_uri(tmp_path, odd)
    assert shown("postgresql://ada:secret@db/x") == "postgresql://db/x"
    # A database is not asked before training: it is opened when it is written.
    refuse_silent_server(tmp_path, "sqlite:///nowhere/x.db")


def test_a_bundle_made_elsewhere_has_no_version_and_that_is_no_trouble(tmp_path: Path) -> None:
    assert follow(tmp_path, "b" * 64, "Ada", "2026-06-30T00:00:00Z") == ""


@pytest.mark.slow
@pytest.mark.parametrize("file", ["pooled.txt", "calibration.json", "manifest.json"])
def test_a_tampered_bundle_is_refused_and_the_old_champion_stays(small_world: Path, tmp_path: Path, file: str) -> None:
    artifacts = tmp_path / "artifacts"
    sound, wrong = (shutil.copytree(small_world / "bundle", tmp_path / name) for name in ("sound", "wrong"))
    promoted(artifacts, sound)
    before = (artifacts / CHAMPION_FILE).read_bytes()
    content = (wrong / file).read_bytes()
    (wrong / file).write_bytes(content.replace(b"0", b"1", 1) if file != "manifest.json" else content[:-2])
    with pytest.raises(BundleRefused):
        promote(artifacts, wrong, by="Ada Trainer", as_of=AT, rules=RULES)
    assert (artifacts / CHAMPION_FILE).read_bytes() == before


@pytest.mark.slow
def test_the_model_of_a_version_predicts_what_the_bundle_does_and_says_that_it_permits_nothing(
    small_world: Path, tmp_path: Path
) -> None:
    artifacts, folder = tmp_path / "artifacts", small_world / "bundle"
    bundle = read_bundle(folder)
    first = register(artifacts, folder, by="Ada Trainer")
    champion = promoted(artifacts, folder)
    second = register(artifacts, folder)
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 4, (40, len(bundle.spec.names))).astype(float)
    matrix[rng.random(matrix.shape) < 0.3] = np.nan
    ids = bundle.readiness.segment_ids
    segment = np.arange(40) % (len(ids) + 1) - 1
    frame = pd.DataFrame(matrix, columns=list(bundle.spec.names))
    frame["segment_id"] = [None if s < 0 else ids[s] for s in segment]
    with store(artifacts) as mlflow:
        client = mlflow.MlflowClient()
        versions: dict[str, Any] = {
            alias: client.get_model_version_by_alias(MODEL, alias) for alias in ("champion", "challenger")
        }
        loaded = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
        # Columns in another order are the same columns.
        found = loaded.predict(frame[list(reversed(frame.columns))])
        bare = loaded.predict(frame.drop(columns="segment_id"))
    assert {alias: str(version.version) for alias, version in versions.items()} == {
        "champion": first, "challenger": second,
    }  # fmt: skip
    tags = versions["champion"].tags
    assert (tags["bundle_id"], tags["promoted_by"]) == (bundle.bundle_id, "Ada Trainer")
    assert tags["promoted_at"] == champion.served_from
    assert "no permission" in versions["challenger"].tags["use"]
    scores = bundle.readiness.predict(matrix, segment)
    assert np.array_equal(found["probability"], scores.probability)
    assert np.array_equal(found["lower"], scores.lower, equal_nan=True)
    assert np.array_equal(bare["probability"], bundle.readiness.predict(matrix, np.full(40, -1)).probability)
