"""From a bundle to the champion: register, promote, roll back.

`artifacts/champion.json` is what serving reads; it is replaced as a whole or not at all, and keeps every promotion and
rollback. The MLflow aliases `challenger` and `champion` follow it where the bundle was registered.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stderr
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from types import ModuleType
from typing import Any

from configs.errors import BundleRefused, NotReady
from models.bundle import read_bundle, try_in_child
from training.registry.tracking import has_store, store

MODEL = "lead_scoring"
CHAMPION_FILE = "champion.json"
SCRIPT = Path(__file__).with_name("bundle_model.py")
_REQUIREMENTS = ("lightgbm", "numpy", "pandas", "numba", "msgspec", "pydantic")


@dataclass(frozen=True, slots=True)
class Champion:
    """The bundle that serves: which, since when, by whom, how, and which one served before it.

    `despite` is the reason that a person gave for promoting it below the hygiene minimum, empty where it passed.
    """

    bundle_id: str
    path: str
    promoted_at: str
    by: str
    how: str
    previous: str | None
    despite: str = ""

    def folder(self, artifacts: Path) -> Path:
        """Where the bundle lies."""
        return (artifacts / self.path).resolve()


def verified(bundle: Path) -> str:
    """The bundle's id after its hashes hold and a spawned child has loaded it; raises BundleRefused."""
    bundle_id = str(read_bundle(bundle).bundle_id)
    try_in_child(bundle)
    return bundle_id


def register(artifacts: Path, bundle: Path, *, run_id: str | None = None, by: str = "") -> str:
    """Register a bundle as a new version of the model with the alias `challenger`; returns the version."""
    bundle_id = str(read_bundle(bundle).bundle_id)
    # MLflow announces a new version on stderr past every log level.
    with store(artifacts) as mlflow, _run(mlflow, run_id), redirect_stderr(io.StringIO()):
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
        client.set_model_version_tag(MODEL, version, "bundle_id", bundle_id)
        client.set_model_version_tag(MODEL, version, "use", "offline evaluation only; implies no permission")
        client.set_model_version_tag(MODEL, version, "registered_by", by or "unnamed")
        client.set_registered_model_alias(MODEL, "challenger", version)
        return version


def below_minimum(bundle: Path) -> tuple[str, ...]:
    """Why the bundle's data were below the hygiene minimum, one line each; a bundle that was never judged says so."""
    manifest = bundle / "manifest.json"
    if not manifest.is_file():
        return ()
    hygiene = json.loads(manifest.read_text(encoding="utf-8")).get("training", {}).get("hygiene")
    if not isinstance(hygiene, dict):
        return ("its data were never judged; train it again",)
    if hygiene.get("passed") is True:
        return ()
    return tuple(str(line) for line in hygiene.get("failed", ())) or ("the bundle does not say why",)


def promote(
    artifacts: Path,
    bundle: Path,
    *,
    by: str,
    as_of: datetime,
    despite: str = "",
    verify: Callable[[Path], str] = verified,
) -> Champion:
    """Make a bundle the champion; raises BundleRefused, with the old champion still in place, when it is not sound.

    INVARIANT: a bundle whose data were below the hygiene minimum does not serve, unless a named person gives a reason,
    `despite`, which the history keeps.
    """
    if not bundle.is_dir():
        raise BundleRefused(f"{bundle}: expected a bundle folder; `leadwell train --bundle DIR` writes one")
    bundle_id = verify(bundle)
    below = below_minimum(bundle)
    if below and not (despite.strip() and by.strip()):
        raise BundleRefused("\n".join(f"{bundle}: below the hygiene minimum: {why}" for why in below))
    current = read_champion(artifacts)
    path = os.path.relpath(bundle.resolve(), artifacts.resolve())
    # Promoting the champion again is no step that a rollback should undo.
    before = current.previous if current and current.bundle_id == bundle_id else current.bundle_id if current else None
    chosen = Champion(bundle_id, path, _moment(as_of), by, "promote", before, despite.strip() if below else "")
    _switch(artifacts, chosen)
    return chosen


def rollback(artifacts: Path, *, by: str, as_of: datetime, verify: Callable[[Path], str] = verified) -> Champion:
    """Return to the champion before this one; raises NotReady when there was none, BundleRefused when it is gone."""
    current = read_champion(artifacts)
    if current is None:
        raise NotReady("no champion to roll back from; run `leadwell promote --bundle DIR` first")
    if current.previous is None:
        raise NotReady("the champion is the first one; there is nothing to roll back to")
    before = next(entry for entry in reversed(history(artifacts)) if entry.bundle_id == current.previous)
    folder = before.folder(artifacts)
    if not folder.is_dir() or verify(folder) != before.bundle_id:
        raise BundleRefused(f"{folder}: no longer the bundle {before.bundle_id[:12]} that served before")
    chosen = Champion(before.bundle_id, before.path, _moment(as_of), by, "rollback", before.previous, before.despite)
    _switch(artifacts, chosen)
    return chosen


def read_champion(artifacts: Path) -> Champion | None:
    """The champion now, None before the first promotion."""
    entries = history(artifacts)
    return entries[-1] if entries else None


def history(artifacts: Path) -> tuple[Champion, ...]:
    """Every promotion and rollback, oldest first; the last one is the champion."""
    file = artifacts / CHAMPION_FILE
    if not file.is_file():
        return ()
    try:
        return tuple(Champion(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))["history"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleRefused(f"{file}: not a champion file written by `leadwell promote`") from error


def _switch(artifacts: Path, chosen: Champion) -> None:
    entries = [*history(artifacts), chosen]
    _move_alias(artifacts, chosen)
    # Serving follows the file alone, so it is written last: a failure before this line changes nothing that serves.
    _write_whole(artifacts / CHAMPION_FILE, {**asdict(chosen), "history": [asdict(entry) for entry in entries]})


def _move_alias(artifacts: Path, chosen: Champion) -> None:
    """Point the alias `champion` at the bundle's version; a bundle made elsewhere has none, and that is no error."""
    if not has_store(artifacts):
        return
    with store(artifacts) as mlflow:
        client = mlflow.MlflowClient()
        found = [
            version
            for version in client.search_model_versions(f"name = '{MODEL}'")
            if version.tags.get("bundle_id") == chosen.bundle_id
        ]
        if not found:
            return
        newest = max(found, key=lambda version: int(version.version)).version
        client.set_registered_model_alias(MODEL, "champion", newest)
        client.set_model_version_tag(MODEL, newest, "promoted_by", chosen.by)
        client.set_model_version_tag(MODEL, newest, "promoted_at", chosen.promoted_at)


def _write_whole(file: Path, content: dict[str, Any]) -> None:
    # INVARIANT: champion.json is at every moment a complete file, the old one or the new one.
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8") as target:
            json.dump(content, target, indent=2)
            target.flush()
            os.fsync(target.fileno())
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def _run(mlflow: ModuleType, run_id: str | None) -> AbstractContextManager[Any]:
    run: AbstractContextManager[Any] = nullcontext() if run_id is None else mlflow.start_run(run_id=run_id)
    return run


def _moment(as_of: datetime) -> str:
    return as_of.astimezone(UTC).isoformat().replace("+00:00", "Z")
