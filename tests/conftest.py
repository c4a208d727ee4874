"""What tests share: the shipped settings, and one small made world with a bundle trained on it."""

from __future__ import annotations

import functools
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import configs.settings as settings_module

# Before bentoml or mlflow is imported anywhere: no telemetry, own home, a folder for in-process metrics.
_HOME = tempfile.mkdtemp(prefix="leadwell-tests-")
os.environ.update(
    BENTOML_DO_NOT_TRACK="True",
    MLFLOW_DISABLE_TELEMETRY="true",
    BENTOML_HOME=_HOME,
    PROMETHEUS_MULTIPROC_DIR=_HOME,
    MPLBACKEND="Agg",
)
# A worker of pytest-xdist fixes the width of the terminal; tests that care say theirs.
os.environ.pop("COLUMNS", None)

# Reading what is shipped takes a third of a second and hundreds of tests do it; it is frozen, so they share one.
_read_settings = settings_module.load_settings
_shipped = functools.cache(_read_settings)


@functools.lru_cache(maxsize=8)
def _of_folder(folder: Path, _marks: tuple[tuple[str, int, int], ...]) -> settings_module.Settings:
    return _read_settings(folder)


def _marks(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells that a file of a folder changed: its name, when it was written, its size."""
    files = [(str(path), path.stat()) for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in files)


def _shared_settings(folder: Path | None = None, **laid_on_top: Any) -> settings_module.Settings:
    if any(laid_on_top.values()):
        return _read_settings(folder, **laid_on_top)
    if folder is None:
        return _shipped()
    return _of_folder(folder, _marks(folder)) if Path(folder).is_dir() else _read_settings(folder)


settings_module.load_settings = _shared_settings


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, a made world of 300 leads as of 2026-06-30, and `bundle`, a small bundle that fits it."""
    from training.sample.world import make_sample

    folder = tmp_path_factory.mktemp("world")
    make_sample(300, 5, folder / "data")
    _make_bundle(folder / "data", folder / "bundle")
    return folder


def _make_bundle(data: Path, out: Path) -> None:
    import numpy as np

    from configs.settings import load_settings
    from features.evaluate import Domain
    from features.facts import FactBuilder, facts_of
    from features.intake.sources import find_files, read_tables
    from features.inventory import Inventory
    from features.pipeline import features_of, fit_spec, signals_of
    from features.view import view_at
    from models.bundle import write_bundle
    from models.readiness import fit_readiness
    from models.scorecard import Scorecard
    from models.segments.map import SegmentMap

    as_of = datetime(2026, 6, 30, tzinfo=UTC)
    settings = load_settings()
    domain, builder = Domain.of(settings), FactBuilder.of(settings)
    tables = read_tables(find_files(data), settings, assets=settings.assets, as_of=as_of).tables
    spec = fit_spec(settings)
    known = view_at(tables, as_of, builder.view)
    signals = signals_of(known, builder.plan, builder.decision_maker)
    matrix = features_of(known, spec, signals).matrix
    facts = facts_of(known, builder, Inventory.of(settings.assets, settings.vocabularies), signals)
    segment_map = SegmentMap.load(settings)
    primary = segment_map.members(facts, as_of=as_of).primary
    n = len(matrix)
    repeated = np.concatenate([np.arange(n)] * 4)
    engaged = np.nan_to_num(matrix[:, spec.names.index("engagement_event_count_90d")])[repeated]
    noise = np.random.default_rng(3).random(4 * n)
    label = (noise < np.clip(0.05 + engaged / 60, 0.05, 0.8)).astype(float)
    boosting = settings.training.pooled.model_copy(update={"rounds": 30, "min_leaf": 10})
    training = settings.training.model_copy(update={"pooled": boosting, "threads": 1})
    readiness = fit_readiness(
        matrix[repeated], label, primary[repeated], repeated % 5, np.arange(4 * n), spec, training,
        segment_ids=segment_map.segment_ids,
    )  # fmt: skip
    write_bundle(
        out,
        readiness,
        spec,
        segment_map=segment_map.to_json(),
        scorecard=Scorecard.of(settings, domain).to_json(),
        vocabularies=settings.vocabularies,
        as_of=as_of,
        golden=(matrix[:24], primary[:24]),
        training={"hygiene": {"passed": True}, "leakage": {"looked": [], "found": []}},
    )
