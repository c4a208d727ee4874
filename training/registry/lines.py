"""The held-out line of a bundle: the same model fitted without the rows that judge, kept to be judged again.

A bundle serves what was fitted on every row, and no row of its own data can judge that. Two bundles are compared by
their held-out lines: on held-out accounts of a later snapshot neither line has seen the account nor the time. A line
lies beside the bundle's folder, `<folder>/../held_out/<bundle id>/`, as text; the bundle's manifest, and so its id,
holds the line's hash.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import BundleRefused, NotReady
from features.tables import Tables
from models.bundle import Bundle
from models.scores import Readiness
from models.trained_on import (
    TrainedOn,
    erasure_key,
    key_path,
    keyed_check,
    keyed_hash,
    read_trained_on,
    write_trained_on,
)
from training.dataset.dataset import Dataset
from training.evaluation.metrics import Comparison, Difference, difference
from training.registry.gates import BASE_RATE, HELD_OUT

Floats = NDArray[np.float64]
MAX_FILES, MAX_FILE_BYTES = 300, 64_000_000


@dataclass(frozen=True, slots=True)
class HeldOutLine:
    """A bundle with the line that was fitted without its judging rows, and whose rows that line was fitted on."""

    bundle: Bundle
    readiness: Readiness
    trained_on: TrainedOn
    key: bytes

    def has_seen(self, lead_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Which of some leads the line was fitted on."""
        return np.array([self.trained_on.holds(keyed_hash(self.key, one)) for one in lead_ids], dtype=np.bool_)


def held_out_record(line: Readiness, dataset: Dataset, comparison: Comparison, probability: Floats) -> dict[str, Any]:
    """What a bundle's manifest keeps of its held-out line: its hash, and its log-loss beside others with an interval.

    Args:
        line: fitted on the rows that train.
        dataset: the rows.
        comparison: of the line with other models on the rows that judge.
        probability: what the line gives for the rows that judge; the base rate of those that train is beside it.
    """
    judge = dataset.judge
    rate = np.full(int(judge.sum()), float(dataset.y[dataset.train].mean()))
    mine = (comparison.ours, probability)
    base = difference(dataset.y[judge], mine, (BASE_RATE, rate), cluster=dataset.root[judge])
    others = [found for found in comparison.differences if found.metric == "log_loss"]
    return {
        "line": line_hash(line.to_files()),
        # A flat export has one row a lead and no later snapshot of the same one.
        "rows": "snapshots" if dataset.time_only.any() else "export",
        "judged": int(judge.sum()),
        "positives": int(dataset.y[judge].sum()),
        "against": {found.theirs: plain(found) for found in (*others, base)},
    }


def plain(found: Difference) -> dict[str, float | None]:
    """A difference as JSON holds it; ends that are not defined are null."""
    ends = {"value": found.value, "low": found.low, "high": found.high}
    return {name: float(value) if np.isfinite(value) else None for name, value in ends.items()}


def line_hash(files: Mapping[str, str]) -> str:
    """SHA-256 over names and texts of a line's files, in hexadecimal."""
    digest = hashlib.sha256()
    for name, text in sorted(files.items()):
        digest.update(f"{name}\x00{hashlib.sha256(text.encode()).hexdigest()}\n".encode())
    return digest.hexdigest()


def keep_line(folder: Path, bundle_id: str, line: Readiness, dataset: Dataset, tables: Tables) -> Path:
    """Write the held-out line of a bundle beside its folder, as a whole; returns the line's folder."""
    home = _home(folder)
    home.mkdir(parents=True, exist_ok=True)
    key = erasure_key(key_path(folder.absolute().parent), make=True)
    learned = np.unique(dataset.lead[dataset.train])
    write_trained_on(home, bundle_id, tables.lead_ids[learned].tolist(), key)
    partial = Path(tempfile.mkdtemp(prefix=".", suffix=".partial", dir=home))
    try:
        partial.chmod(0o755)
        for name, text in line.to_files().items():
            (partial / name).write_text(text, encoding="utf-8")
        target = home / bundle_id
        # The same bundle id means the same line: what is there was cut short or is equal.
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def read_line(folder: Path, bundle: Bundle) -> HeldOutLine:
    """The held-out line of a bundle in a folder.

    Raises:
        NotReady: there is none, so that the bundle can be judged on data after it only.
        BundleRefused: it is not the one that the bundle's manifest names, or the erasure key is another one.
    """
    record = bundle.manifest.training.get(HELD_OUT)
    place, bundle_id = _home(folder) / bundle.bundle_id, bundle.bundle_id
    found = read_trained_on(_home(folder), bundle_id)
    if not isinstance(record, Mapping) or not place.is_dir() or found is None:
        raise NotReady(f"{place}: no held-out line of this bundle; train it again, or judge on data one horizon later")
    names = sorted(os.listdir(place))
    if len(names) > MAX_FILES or any((place / name).stat().st_size > MAX_FILE_BYTES for name in names):
        raise BundleRefused(f"{place}: expected the files of a held-out line")
    files = {name: (place / name).read_bytes().decode("utf-8", "replace") for name in names}
    if line_hash(files) != record.get("line"):
        raise BundleRefused(f"{place}: not the held-out line that the bundle's manifest names")
    key = erasure_key(key_path(folder.absolute().parent), make=False)
    if found.check != keyed_check(key):
        raise BundleRefused(f"{place}: whom it was fitted on was written with another erasure key")
    return HeldOutLine(bundle, Readiness.from_files(files), found, key)


def _home(folder: Path) -> Path:
    return folder.absolute().parent / HELD_OUT
