"""What MLflow's model registry holds of our bundles: a version each, and the aliases `challenger` and `champion`.

The aliases follow `champion.json`; nothing that serves asks for them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, redirect_stderr, redirect_stdout
from importlib.metadata import version as installed
from pathlib import Path
from types import ModuleType
from typing import Any

from configs.errors import InputInvalid, TrackingFailed
from models.bundle import Bundle, read_bundle
from training.registry.tracking import RunRecord, TrackedRun, has_store, shown, store, track, tracking_uri

MODEL = "lead_scoring"
SCRIPT = Path(__file__).with_name("bundle_model.py")
_REQUIREMENTS = ("lightgbm", "numpy", "pandas", "numba", "msgspec", "pydantic")
_PAGES = ("-report.html", "-card.html", "-card.json", "-evaluation.json")


def register(artifacts: Path, bundle: Path, *, run_id: str | None = None, by: str = "", uri: str | None = None) -> str:
    """Register a bundle as a new version of the model with the alias `challenger`; returns the version.

    Raises TrackingFailed where MLflow does not take it, and BundleRefused where the bundle is not sound.
    """
    found = read_bundle(bundle)
    # MLflow announces a new version on stderr past every log level.
    with store(artifacts, uri=uri) as mlflow, _run(mlflow, run_id), redirect_stderr(io.StringIO()), _mute():
        logged = mlflow.pyfunc.log_model(
            name="bundle",
            python_model=str(SCRIPT),
            artifacts={"bundle": str(bundle.resolve())},
            # Without the list MLflow loads the model in a child process to guess it.
            pip_requirements=[f"{package}=={installed(package)}" for package in _REQUIREMENTS],
            registered_model_name=MODEL,
        )
        client = mlflow.MlflowClient()
        version = str(logged.registered_model_version)
        client.set_model_version_tag(MODEL, version, "bundle_id", found.bundle_id)
        client.set_model_version_tag(MODEL, version, "use", "offline evaluation only; implies no permission")
        named = by or str(found.manifest.training.get("by") or "unnamed")
        client.set_model_version_tag(MODEL, version, "registered_by", named)
        client.set_registered_model_alias(MODEL, "challenger", version)
        return version


def log_bundle(artifacts: Path, folder: Path, *, uri: str | None = None) -> tuple[TrackedRun, str]:
    """Log a bundle that is there already: what its manifest says and the pages beside it; returns run and version.

    Raises BundleRefused where the bundle is not sound, TrackingFailed where MLflow does not take it.
    """
    bundle = read_bundle(folder)
    pages = [folder.with_name(folder.name + ending) for ending in _PAGES]
    record = RunRecord(
        name=f"bundle {bundle.bundle_id[:12]}",
        params={"features": bundle.manifest.feature_set, **_plain(bundle.manifest.training)},
        metrics=_numbers(bundle.manifest.metrics),
        tags=bundle_tags(bundle),
        tables={"training": bundle.manifest.training, "metrics": bundle.manifest.metrics},
        files={"pages": tuple(page for page in pages if page.is_file())},
    )
    run = track(artifacts, record, uri=uri)
    return run, register(artifacts, folder, run_id=run.run_id, uri=uri)


def bundle_tags(bundle: Bundle) -> dict[str, str]:
    """The tags by which a run is found again from its bundle."""
    return {
        "bundle_id": bundle.bundle_id,
        "training_data": bundle.manifest.training_data,
        "as_of": bundle.manifest.created_as_of.isoformat(),
    }


def follow(artifacts: Path, bundle_id: str, by: str, served_from: str, uri: str | None = None) -> str:
    """Point the alias `champion` at the bundle's newest version; returns why that was not possible, else nothing.

    A bundle made elsewhere has no version, and that is no trouble. What became the champion is no challenger any more.
    """
    try:
        if not has_store(artifacts, uri):
            return ""
        with store(artifacts, uri=uri) as mlflow:
            client = mlflow.MlflowClient()
            mine = client.search_model_versions(f"name = '{MODEL}'")
            found = [version for version in mine if version.tags.get("bundle_id") == bundle_id]
            if not found:
                return ""
            newest = str(max(found, key=lambda version: int(version.version)).version)
            client.set_registered_model_alias(MODEL, "champion", newest)
            client.set_model_version_tag(MODEL, newest, "promoted_by", by)
            client.set_model_version_tag(MODEL, newest, "promoted_at", served_from)
            aliases = client.get_registered_model(MODEL).aliases
            if str(aliases.get("challenger", "")) in {str(version.version) for version in found}:
                client.delete_registered_model_alias(MODEL, "challenger")
    except (TrackingFailed, InputInvalid) as error:
        return f"{error}; the champion serves all the same, and `leadwell registry aliases` lets MLflow follow"
    return ""


def follow_or_fail(artifacts: Path, bundle_id: str, by: str, served_from: str, uri: str | None = None) -> str:
    """The same for whoever asks for it alone: returns where the alias was moved; raises TrackingFailed."""
    trouble = follow(artifacts, bundle_id, by, served_from, uri)
    if trouble:
        raise TrackingFailed(trouble.partition("; the champion serves")[0])
    return shown(tracking_uri(artifacts, uri))


def _mute() -> AbstractContextManager[Any]:
    return redirect_stdout(io.StringIO())


def _run(mlflow: ModuleType, run_id: str | None) -> AbstractContextManager[Any]:
    run: AbstractContextManager[Any] = nullcontext() if run_id is None else mlflow.start_run(run_id=run_id)
    return run


def _plain(training: Mapping[str, Any]) -> dict[str, Any]:
    """What of a training is one value, not a table."""
    return {name: value for name, value in training.items() if not isinstance(value, Mapping)}


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
