"""A bundle: one folder with everything trained that a decision needs, as text and JSON, under one hash.

`bundle_id` is the SHA-256 of `manifest.json`, which lists the SHA-256 and size of every other file. Each file is read
once; all hashes are compared before anything is parsed, and what is parsed is the very bytes that were hashed.
Further targets lie in `targets/<id>/`, each with models, calibration and golden predictions of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from configs.errors import BundleRefused, LeadwellError
from configs.section import Section
from configs.vocabulary import Vocabulary
from features.pipeline import FeatureSpec
from models.further import DECLARATION, FurtherTarget, in_order
from models.scores import Readiness

Floats = NDArray[np.float64]

MANIFEST = "manifest.json"
FIXED = (
    "pooled.txt",
    "calibration.json",
    "bands.json",
    "features.json",
    "segments.json",
    "scorecard.json",
    "vocabularies.json",
    "golden.json",
)
SEGMENT_FILE = re.compile(r"segment_[a-z0-9][a-z0-9_-]{0,63}\.txt")
TARGETS = "targets"
TARGET_FOLDER = re.compile(r"targets/([a-z][a-z0-9_]{1,31})/")
# What of a bundle each further target has of its own.
TARGET_FIXED = ("pooled.txt", "calibration.json", "bands.json", "golden.json", DECLARATION)
FORMAT = 2
MAX_MANIFEST_BYTES = 1_000_000
MAX_FILE_BYTES = 64_000_000
MAX_FILES = 1000
GOLDEN_ROWS = 24
TOLERANCE = 1e-9
CHILD = "import sys; from models.bundle import answer_as_child; sys.exit(answer_as_child(sys.argv[1]))"


class ListedFile(Section):
    """Hash and size of one file of the bundle."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0, le=MAX_FILE_BYTES)


class Manifest(Section):
    """What a bundle is made of and was trained on."""

    format: int = Field(ge=FORMAT, le=FORMAT)
    created_as_of: datetime
    feature_set: str
    segment_map: str
    policy: str
    training_data: str
    training: dict[str, Any]
    metrics: dict[str, Any]
    files: dict[str, ListedFile] = Field(max_length=MAX_FILES)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose hashes held: its id, manifest and parsed parts."""

    folder: Path
    bundle_id: str
    manifest: Manifest
    readiness: Readiness
    spec: FeatureSpec
    segment_map: str
    scorecard: str
    vocabularies: Mapping[str, tuple[str, ...]]
    further: tuple[FurtherTarget, ...] = ()

    @property
    def cold_start(self) -> bool:
        """Whether nothing was learned: the points say the band, and there is no probability."""
        return self.manifest.training.get("cold_start") is True

    def refuse_other_vocabularies(self, current: Mapping[str, Vocabulary]) -> None:
        """Raise BundleRefused where a value's code means something else today than in training; appending is fine."""
        for name, values in self.vocabularies.items():
            now = current[name].values if name in current else ()
            if now[: len(values)] != values:
                raise BundleRefused(f"vocabulary {name}: values differ from those the bundle was trained with")


def write_bundle(
    folder: Path,
    readiness: Readiness,
    spec: FeatureSpec,
    *,
    segment_map: str,
    scorecard: str,
    vocabularies: Mapping[str, Vocabulary],
    as_of: datetime,
    golden: tuple[Floats, NDArray[Any]],
    policy: str = "",
    training_data: str = "",
    training: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    further: Sequence[FurtherTarget] = (),
) -> Bundle:
    """Write a bundle as a whole or not at all, then read it back; `golden` are rows and segments it must reproduce."""
    files = {
        **readiness.to_files(),
        "features.json": spec.to_json(),
        "segments.json": segment_map,
        "scorecard.json": scorecard,
        "vocabularies.json": json.dumps({name: v.values for name, v in sorted(vocabularies.items())}, indent=1),
        "golden.json": _golden_text(readiness, *golden),
    }
    for one in further:
        own = {**one.to_files(), "golden.json": _golden_text(one.readiness, *golden)}
        files |= {f"{TARGETS}/{one.id}/{name}": text for name, text in own.items()}
    encoded = {name: text.encode() for name, text in sorted(files.items())}
    manifest = Manifest(
        format=FORMAT,
        created_as_of=as_of,
        feature_set=spec.version,
        segment_map=_sha256(encoded["segments.json"]),
        policy=policy,
        training_data=training_data,
        training=dict(training or {}),
        metrics=dict(metrics or {}),
        files={name: ListedFile(sha256=_sha256(data), bytes=len(data)) for name, data in encoded.items()},
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False)
    folder = folder.absolute()
    if folder.exists() and (folder.is_symlink() or not folder.is_dir() or not _replaceable(folder)):
        raise BundleRefused(f"{folder.name}: expected a new folder or an old bundle to replace")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        partial.chmod(0o755)
        # The manifest comes last: a folder without one is no bundle.
        for name, data in (*encoded.items(), (MANIFEST, text.encode())):
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            _write_durably(partial / name, data)
        _swap(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read_bundle(folder)


def read_bundle(folder: Path, *, expected: str | None = None) -> Bundle:
    """Check a bundle's hashes, then parse it; raises BundleRefused naming the file that does not fit."""
    manifest_bytes = _read_file(folder, MANIFEST, MAX_MANIFEST_BYTES)
    bundle_id = _sha256(manifest_bytes)
    if expected is not None and bundle_id != expected:
        raise BundleRefused(f"{MANIFEST}: this is not the expected bundle")
    manifest = _parsed_manifest(manifest_bytes)
    _refuse_names(folder, manifest)
    contents: dict[str, bytes] = {}
    for name, listed in manifest.files.items():
        contents[name] = _read_file(folder, name, listed.bytes)
        if _sha256(contents[name]) != listed.sha256:
            raise BundleRefused(f"{name}: its hash is not the one the manifest lists")
    # INVARIANT: nothing but the manifest is parsed before every hash held.
    return _parsed(folder, bundle_id, manifest, contents)


def try_in_child(folder: Path, *, seconds: float = 180.0) -> None:
    """Load a bundle in a spawned Python, which must reproduce its golden predictions; raises BundleRefused."""
    root = str(Path(__file__).resolve().parent.parent)
    # Spawned, never forked: a fork after OpenMP was used hangs.
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and our own code
            [sys.executable, "-c", CHILD, str(folder.absolute())],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(":")},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BundleRefused(f"{folder.name}: the child that tried it did not finish in {seconds:.0f} s") from error
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"the child that tried it died ({done.returncode})"]
        raise BundleRefused(f"{folder.name}: {last[0]}")


def answer_as_child(folder: str) -> int:
    """Exit code of the child: 0 where the bundle reads and reproduces its golden predictions."""
    try:
        read_bundle(Path(folder))
    except LeadwellError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parsed(folder: Path, bundle_id: str, manifest: Manifest, contents: Mapping[str, bytes]) -> Bundle:
    try:
        texts = {name: data.decode() for name, data in contents.items()}
        spec = FeatureSpec.from_json(texts["features.json"])
        vocabularies = TypeAdapter(dict[str, tuple[str, ...]]).validate_json(texts["vocabularies.json"])
        segments = [str(entry["id"]) for entry in json.loads(texts["segments.json"]).get("segments", ())]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleRefused(f"{folder.name}: a part is missing or malformed ({type(error).__name__})") from error
    readiness = Readiness.from_files(texts)
    if spec.version != manifest.feature_set or readiness.names[:-1] != tuple(spec.names):
        raise BundleRefused("features.json: the features are not those the models were trained on")
    if segments and tuple(segments) != readiness.segment_ids:
        raise BundleRefused("segments.json: the segments are not those the calibration was fitted for")
    _refuse_other_answers(readiness, texts["golden.json"])
    further = in_order([_further(name, texts, readiness) for name in _targets(texts)])
    return Bundle(
        folder=folder,
        bundle_id=bundle_id,
        manifest=manifest,
        readiness=readiness,
        spec=spec,
        segment_map=texts["segments.json"],
        scorecard=texts["scorecard.json"],
        vocabularies=vocabularies,
        further=further,
    )


def _targets(names: Mapping[str, Any]) -> list[str]:
    """Ids of the further targets that files belong to."""
    found = (TARGET_FOLDER.match(name) for name in names)
    return sorted({match[1] for match in found if match})


def _further(target: str, texts: Mapping[str, str], served: Readiness) -> FurtherTarget:
    """A further target from its own files; raises BundleRefused where it is not of this bundle."""
    folder = f"{TARGETS}/{target}/"
    own = {name.removeprefix(folder): text for name, text in texts.items() if name.startswith(folder)}
    found = FurtherTarget.from_files(own)
    if found.id != target or (found.readiness.names, found.readiness.segment_ids) != (served.names, served.segment_ids):
        raise BundleRefused(f"{folder}: this target was fitted for another bundle")
    _refuse_other_answers(found.readiness, own["golden.json"], folder)
    return found


def _parsed_manifest(data: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        places = [".".join(str(part) for part in one["loc"]) for one in error.errors(include_input=False)]
        if "format" in places:
            raise BundleRefused(
                f"{MANIFEST}: this bundle is of another version of Leadwell (expected format {FORMAT}); train it again"
            ) from error
        place = places[0]
        raise BundleRefused(f"{MANIFEST}: malformed at {place or 'its start'}") from error


def _refuse_names(folder: Path, manifest: Manifest) -> None:
    """Only names we write, all of the fixed ones, and nothing else in the folder."""
    for name in manifest.files:
        place = TARGET_FOLDER.match(name)
        own, fixed = (name[place.end() :], TARGET_FIXED) if place else (name, FIXED)
        if own not in fixed and not SEGMENT_FILE.fullmatch(own):
            raise BundleRefused(f"{MANIFEST}: lists a file that no bundle has")
    wanted = {f"{TARGETS}/{target}/{name}" for target in _targets(manifest.files) for name in TARGET_FIXED}
    missing = sorted((set(FIXED) | wanted) - set(manifest.files))
    if missing:
        raise BundleRefused(f"{missing[0]}: the manifest does not list it")
    present = set(_present(folder))
    unlisted = sorted(present - set(manifest.files) - {MANIFEST})
    if unlisted:
        raise BundleRefused(f"{folder.name}: {len(unlisted)} files that the manifest does not list")


def _present(folder: Path, prefix: str = "") -> Iterator[str]:
    """Names of everything in the folder and in the folders of further targets; a link to a folder is one name."""
    for entry in os.scandir(folder):
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False) and (name == TARGETS or prefix == f"{TARGETS}/"):
            yield from _present(Path(entry.path), f"{name}/")
        else:
            yield name


def _read_file(folder: Path, name: str, limit: int) -> bytes:
    """Bytes of a regular file of the folder, at most `limit`; a link is not followed."""
    try:
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BundleRefused(f"{name}: cannot be read ({error.strerror})") from error
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            raise BundleRefused(f"{name}: expected a regular file of at most {limit} bytes")
        return file.read(limit + 1)


def _golden_text(readiness: Readiness, X: Floats, segment: NDArray[Any]) -> str:
    X, segment = np.asarray(X, dtype=np.float64)[:GOLDEN_ROWS], np.asarray(segment, dtype=np.int64)[:GOLDEN_ROWS]
    scores = readiness.predict(X, segment)
    rows = [[None if math.isnan(value) else value for value in row] for row in X.tolist()]
    golden = {
        "rows": rows,
        "segment": segment.tolist(),
        "probability": scores.probability.tolist(),
        "log_odds": scores.log_odds.tolist(),
    }
    return json.dumps(golden, allow_nan=False)


def _refuse_other_answers(readiness: Readiness, text: str, folder: str = "") -> None:
    try:
        golden = json.loads(text)
        X = np.array(golden["rows"], dtype=np.float64).reshape(-1, len(readiness.names) - 1)
        scores = readiness.predict(X, np.array(golden["segment"], dtype=np.int64))
        wanted = np.array([golden["probability"], golden["log_odds"]], dtype=np.float64)
        # One lead takes another kernel than many: both must answer alike, and both are compiled once this returns.
        single = readiness.predict(X[:1], np.array(golden["segment"][:1], dtype=np.int64))
        found = np.array([scores.probability, scores.log_odds])
        found[:, :1] = np.where(found[:, :1] == [single.probability, single.log_odds], found[:, :1], np.nan)
        difference = np.abs(found - wanted)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleRefused(f"{folder}golden.json: missing or malformed ({type(error).__name__})") from error
    if not (difference <= TOLERANCE).all():
        raise BundleRefused(f"{folder}golden.json: the bundle does not reproduce its own predictions here")


def _replaceable(folder: Path) -> bool:
    names = {entry.name for entry in os.scandir(folder)}
    return not names or MANIFEST in names


def _swap(partial: Path, folder: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent))
    folder.rename(old / "bundle")
    try:
        partial.rename(folder)
    except OSError:
        (old / "bundle").rename(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
