"""What MLflow keeps of a run: one parent run, one child run per segment or proposal, plots, tables, files, identities.

The store is one SQLite file in the artifacts folder, and nothing leaves the machine, unless a tracking server is named:
`--tracking-uri`, or LEADWELL_TRACKING_URI. This file, `publish.py` and the models-from-code script `bundle_model.py`
are the only ones that import mlflow, and they do so inside functions: the import takes three seconds that nobody
should wait for who does not track.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import sys
import tempfile
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from configs.errors import InputInvalid, TrackingFailed

EXPERIMENT = "lead_scoring"
PROPOSALS = "leadwell-proposals"
STORE = "mlflow.db"
URI_VARIABLE = "LEADWELL_TRACKING_URI"
_SERVER = re.compile(r"https?://[^/\s]+")
_DATABASE = re.compile(r"(sqlite|postgresql|mysql|mssql)(\+[a-z0-9]+)?://\S+")
_ANSWER_SECONDS = 5.0
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


def tracking_uri(artifacts: Path, uri: str | None = None) -> str:
    """Where runs are tracked: as given, as the environment says, else the SQLite file of the artifacts folder.

    Raises InputInvalid on an address that is neither a server's nor a database's: MLflow's file store is deprecated.
    """
    found = (uri or os.environ.get(URI_VARIABLE) or "").strip()
    if not found:
        return _own_store(artifacts)
    if not _SERVER.match(found) and not _DATABASE.match(found):
        raise InputInvalid(
            "tracking URI", "expected http://HOST:PORT, https://..., or a database such as sqlite:///FILE"
        )
    return found


def is_server(uri: str) -> bool:
    """Whether an address is that of a tracking server."""
    return _SERVER.match(uri) is not None


def shown(uri: str) -> str:
    """An address without a user's name and password."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", uri)


def refuse_silent_server(artifacts: Path, uri: str | None = None) -> None:
    """Ask a tracking server whether it is there, before hours of work; raises TrackingFailed where it is not.

    Nothing is asked where runs go to a database.
    """
    found = tracking_uri(artifacts, uri)
    if not is_server(found):
        return
    try:
        with urllib.request.urlopen(f"{found.rstrip('/')}/health", timeout=_ANSWER_SECONDS) as answer:  # noqa: S310 - http only
            if answer.status == 200:
                return
        why = f"answers {answer.status}"
    except urllib.error.HTTPError as error:
        why = f"answers {error.code}"
        if error.code in (401, 403):
            why = "refuses us: see its --allowed-hosts, and MLFLOW_TRACKING_TOKEN where it asks who we are"
    except (OSError, ValueError):
        why = "does not answer"
    mend = f"start it, or leave --tracking-uri and {URI_VARIABLE} out to track in {artifacts / STORE}"
    raise TrackingFailed(f"the tracking server {shown(found)} {why}; {mend}")


@contextmanager
def store(artifacts: Path, experiment: str = EXPERIMENT, uri: str | None = None) -> Iterator[ModuleType]:
    """MLflow set to its server or to the SQLite store of an artifacts folder, silent; restores the log levels after.

    Raises:
        TrackingFailed: the store or the server could not be read or written.
        InputInvalid: the address is none.
    """
    address = tracking_uri(artifacts, uri)
    _configure()
    artifacts.mkdir(parents=True, exist_ok=True)
    with _quiet(), warnings.catch_warnings(), _failing_as_tracking(address):
        # Its warnings are about its own dependencies and type hints: nothing a user of Leadwell can act on.
        warnings.simplefilter("ignore")
        import mlflow

        _hush()
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        mlflow.set_tracking_uri(address)
        mlflow.set_registry_uri(address)
        try:
            if mlflow.get_experiment_by_name(experiment) is None:
                # The location is stored absolute and fixed at creation; without it MLflow writes to the current folder.
                # A server decides itself where its artifacts lie.
                place = None if is_server(address) else (artifacts / "mlflow").resolve().as_uri()
                mlflow.create_experiment(experiment, artifact_location=place)
            mlflow.set_experiment(experiment)
            yield mlflow
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])


def has_store(artifacts: Path, uri: str | None = None) -> bool:
    """Whether something was tracked here, told without the cost of importing MLflow; of a server it is assumed."""
    if tracking_uri(artifacts, uri) != _own_store(artifacts):
        return True
    path = artifacts / STORE
    if not path.is_file():
        return False
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("select 1 from sqlite_master where name = 'registered_models'").fetchone()
    return found is not None


def track(artifacts: Path, record: RunRecord, experiment: str = EXPERIMENT, uri: str | None = None) -> TrackedRun:
    """Write one run and its children to the store; the experiment is made once and reused; raises TrackingFailed."""
    with store(artifacts, experiment, uri) as mlflow, mlflow.start_run(run_name=record.name) as parent:
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


def _own_store(artifacts: Path) -> str:
    return f"sqlite:///{(artifacts / STORE).resolve()}"


def _configure() -> None:
    # Telemetry and look-ups of packages are decided at import: the environment has to be set before it.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK"] = "true"
    os.environ["MLFLOW_UV_AUTO_DETECT"] = "false"
    os.environ["MLFLOW_LOG_UV_FILES"] = "false"
    os.environ["MLFLOW_MODEL_CATALOG_URI"] = ""
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # By default a server that is gone is asked again for some minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")


@contextmanager
def _failing_as_tracking(address: str) -> Iterator[None]:
    """Turn what MLflow, its database or the network raise into one error, without its text: that may quote anything."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, _of_mlflow()):
            raise
        kind = f"{type(error).__module__.partition('.')[0]} {type(error).__name__}"
        raise TrackingFailed(f"MLflow at {shown(address)} could not be read or written ({kind})") from error


def _of_mlflow() -> tuple[type[Exception], ...]:
    names = (("mlflow.exceptions", "MlflowException"), ("sqlalchemy.exc", "SQLAlchemyError"))
    loaded = [getattr(sys.modules[module], name) for module, name in names if module in sys.modules]
    return (OSError, *loaded)


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
