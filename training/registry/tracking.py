"""What MLflow keeps of a run: one parent run, one child run per segment or proposal, plots, tables, files, identities.

The store is one SQLite file in the artifacts folder; nothing leaves the machine. This file, `publish.py` and the
models-from-code script `bundle_model.py` are the only ones that import mlflow, and they do so inside functions: the
import takes three seconds that nobody should wait for who does not track.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

EXPERIMENT = "lead_scoring"
PROPOSALS = "leadwell-proposals"
STORE = "mlflow.db"
_QUIET = ("mlflow", "alembic", "sqlalchemy")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything of one run that is worth keeping, as plain values; `files` by the folder of artifacts they go to."""

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    segments: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    plots: Mapping[str, bytes] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    segment_tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """Where a run was written."""

    run_id: str
    experiment_id: str
    segment_run_ids: Mapping[str, str]


@contextmanager
def store(artifacts: Path, experiment: str = EXPERIMENT) -> Iterator[ModuleType]:
    """MLflow set to the SQLite store of an artifacts folder, silent and offline; restores the log levels after."""
    # Telemetry and look-ups of packages are decided at import: the environment has to be set before it.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK"] = "true"
    os.environ["MLFLOW_UV_AUTO_DETECT"] = "false"
    os.environ["MLFLOW_LOG_UV_FILES"] = "false"
    os.environ["MLFLOW_MODEL_CATALOG_URI"] = ""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    artifacts.mkdir(parents=True, exist_ok=True)
    with _quiet(), warnings.catch_warnings():
        # Its warnings are about its own dependencies and type hints: nothing a user of Leadwell can act on.
        warnings.simplefilter("ignore")
        import mlflow

        _hush()
        uri = f"sqlite:///{(artifacts / STORE).resolve()}"
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            if mlflow.get_experiment_by_name(experiment) is None:
                # The location is stored absolute and fixed at creation; without it MLflow writes to the current folder.
                mlflow.create_experiment(experiment, artifact_location=(artifacts / "mlflow").resolve().as_uri())
            mlflow.set_experiment(experiment)
            yield mlflow
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])


def has_store(artifacts: Path) -> bool:
    """Whether something was tracked here, told without the cost of importing MLflow."""
    path = artifacts / STORE
    if not path.is_file():
        return False
    with sqlite3.connect(path) as connection:
        found = connection.execute("select 1 from sqlite_master where name = 'registered_models'").fetchone()
    connection.close()
    return found is not None


def track(artifacts: Path, record: RunRecord, experiment: str = EXPERIMENT) -> TrackedRun:
    """Write one run and its children to the store; the experiment is made once and reused."""
    with store(artifacts, experiment) as mlflow, mlflow.start_run(run_name=record.name) as parent:
        mlflow.set_tags(dict(record.tags))
        mlflow.log_params(_short(record.params))
        mlflow.log_metrics(_finite(record.metrics))
        for name, png in record.plots.items():
            _log_bytes(mlflow, parent.info.run_id, f"plots/{name}.png", png)
        for name, table in record.tables.items():
            mlflow.log_dict(table, f"tables/{name}.json")
        for folder, files in record.files.items():
            for file in files:
                mlflow.log_artifact(str(file), folder or None)
        children = {}
        for segment_id, metrics in record.segments.items():
            with mlflow.start_run(run_name=segment_id, nested=True) as child:
                mlflow.set_tags({**record.tags, "segment": segment_id, **record.segment_tags.get(segment_id, {})})
                mlflow.log_metrics(_finite(metrics))
            children[segment_id] = child.info.run_id
        return TrackedRun(parent.info.run_id, parent.info.experiment_id, children)


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _QUIET]
    levels = [logger.level for logger in loggers]
    _hush()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _hush() -> None:
    # Called again after the import, which sets the level of MLflow's own logger.
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


def _log_bytes(mlflow: ModuleType, run_id: str, path: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(path).name
        file.write_bytes(content)
        mlflow.log_artifact(str(file), str(Path(path).parent), run_id=run_id)


def _short(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as text within MLflow's limit."""
    return {name: str(value)[:500] for name, value in params.items()}


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics that are numbers: an AUC without both classes is left out, not written as zero."""
    return {name: float(value) for name, value in metrics.items() if value == value and abs(value) != float("inf")}
