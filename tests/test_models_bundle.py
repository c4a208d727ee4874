"""A bundle is whole and untouched, or it is refused before anything in it is parsed."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime

import numpy as np
import pytest

from configs.errors import BundleRefused
from configs.settings import load_settings
from configs.training_settings import TrainingSettings
from features.catalog import Feature
from features.pipeline import FeatureSpec
from models import bundle as bundle_module
from models.bundle import read_bundle, try_in_child, write_bundle
from models.readiness import fit_readiness

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
SEGMENTS = ("first", "second")
SHAPE = {"rounds": 8, "leaves": 4, "depth": 2, "learning_rate": 0.2, "min_leaf": 10, "l2": 1.0}


def _parts():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=600), rng.integers(0, 4, 600).astype(float)])
    X[rng.random(X.shape) < 0.1] = np.nan
    segment = rng.integers(0, 2, 600)
    y = (np.nan_to_num(X[:, 0]) + rng.normal(size=600) > 0).astype(float)
    settings = load_settings()
    training = TrainingSettings.model_validate(
        {**settings.training.model_dump(), "pooled": SHAPE, "segment": SHAPE, "segment_min_rows": 10_000, "threads": 1}
    )
    features = (
        Feature("amount", "fit", "an amount", 0, False, "attribute", "amount"),
        Feature("kind", "fit", "a kind", 0, True, "attribute", "kind"),
    )
    spec = FeatureSpec(features, settings.features, {}, {"kind": ("a", "b", "c", "d")}, 1)
    readiness = fit_readiness(
        X, y, segment, rng.integers(0, 5, 600), np.arange(600), spec, training, segment_ids=SEGMENTS
    )
    return readiness, spec, X, segment, settings


@pytest.fixture(scope="module")
def parts():
    return _parts()


def _write(folder, parts, **changes):
    readiness, spec, X, segment, settings = parts
    kept = {
        "segment_map": json.dumps({"segments": [{"id": name} for name in SEGMENTS]}),
        "scorecard": "{}",
        "vocabularies": settings.vocabularies,
        "as_of": AS_OF,
        "golden": (X, segment),
        "policy": "p",
        "training_data": "d",
        "metrics": {"auc": 0.9},
    }
    return write_bundle(folder, readiness, spec, **{**kept, **changes})


@pytest.fixture
def folder(tmp_path, parts):
    _write(tmp_path / "bundle", parts)
    return tmp_path / "bundle"


@pytest.fixture
def nothing_is_parsed(monkeypatch):
    """Fail the test if anything but the manifest is parsed."""

    def parsed(*_):
        raise AssertionError("something was parsed")

    monkeypatch.setattr(bundle_module, "_parsed", parsed)


def _relist(folder, change):
    """A forger who also rewrites the manifest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_a_bundle_reads_back_with_the_same_answers(folder, parts):
    readiness, spec, X, segment, _ = parts
    found = read_bundle(folder)
    assert (found.readiness.predict(X, segment).log_odds == readiness.predict(X, segment).log_odds).all()
    assert found.spec.version == spec.version == found.manifest.feature_set
    assert found.manifest.metrics == {"auc": 0.9}
    assert found.bundle_id == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def test_the_same_parts_make_the_same_bundle_id(tmp_path, parts):
    assert _write(tmp_path / "one", parts).bundle_id == _write(tmp_path / "two", parts).bundle_id


@pytest.mark.parametrize("name", [*bundle_module.FIXED])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"\n", b"\r\n") + b"\r\n",
        lambda data: b"",
        lambda data: bytes([data[0] ^ 1]) + data[1:],
    ],
    ids=["truncated", "CRLF", "empty", "one bit"],
)
def test_a_damaged_file_is_refused_by_name_before_parsing(folder, name, damage, nothing_is_parsed):
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BundleRefused, match=name):
        read_bundle(folder)


def test_two_swapped_files_are_refused_before_parsing(folder, nothing_is_parsed):
    one, two = folder / "bands.json", folder / "scorecard.json"
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)
    with pytest.raises(BundleRefused):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["manifest.json", "pooled.txt", "golden.json"])
def test_a_missing_file_is_refused_before_parsing(folder, name, nothing_is_parsed):
    (folder / name).unlink()
    with pytest.raises(BundleRefused, match=name):
        read_bundle(folder)


def test_an_unlisted_file_is_refused_before_parsing(folder, nothing_is_parsed):
    (folder / "model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(BundleRefused, match="does not list"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "name",
    ["../pooled.txt", "/etc/passwd", "segment_../x.txt", "segment_a/b.txt", "pooled.txt\0", "model.bin",
     "segment_A.txt", "manifest.json", "segment_a.txt\n", ""],
)  # fmt: skip
def test_a_manifest_with_another_path_is_refused_before_parsing(folder, name, nothing_is_parsed):
    _relist(folder, lambda m: m["files"].update({name: m["files"]["pooled.txt"]}))
    with pytest.raises(BundleRefused, match=r"manifest\.json"):
        read_bundle(folder)


def test_a_link_is_not_followed(folder, tmp_path, nothing_is_parsed):
    moved = tmp_path / "elsewhere.txt"
    (folder / "pooled.txt").rename(moved)
    (folder / "pooled.txt").symlink_to(moved)
    with pytest.raises(BundleRefused, match=r"pooled\.txt"):
        read_bundle(folder)


def test_a_file_above_the_size_cap_is_refused_before_parsing(folder, nothing_is_parsed):
    _relist(folder, lambda m: m["files"]["pooled.txt"].update(bytes=bundle_module.MAX_FILE_BYTES + 1))
    with pytest.raises(BundleRefused, match=r"manifest\.json"):
        read_bundle(folder)


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"format": 2}'])
def test_a_manifest_that_is_none_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(BundleRefused, match=r"manifest\.json"):
        read_bundle(folder)


def test_another_bundle_than_the_expected_is_refused_before_parsing(folder, nothing_is_parsed):
    with pytest.raises(BundleRefused, match="not the expected"):
        read_bundle(folder, expected="0" * 64)


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(BundleRefused, match=r"manifest\.json"):
        read_bundle(tmp_path / "nowhere")


def _forge(folder, name, change):
    """Change a file and list its new hash: only golden predictions and the expected id can tell."""
    path = folder / name
    before = path.read_bytes()
    after = change(before)
    assert after != before
    path.write_bytes(after)
    listed = {"sha256": hashlib.sha256(after).hexdigest(), "bytes": len(after)}
    _relist(folder, lambda m: m["files"].update({name: listed}))


def test_a_forged_calibration_does_not_reproduce_the_golden_predictions(folder):
    _forge(folder, "calibration.json", lambda data: data.replace(b'"a": ', b'"a": 1'))
    with pytest.raises(BundleRefused, match=r"golden\.json"):
        read_bundle(folder)


def test_segments_of_another_map_are_refused(folder):
    _forge(folder, "segments.json", lambda data: data.replace(b"second", b"other"))
    with pytest.raises(BundleRefused, match=r"segments\.json"):
        read_bundle(folder)


def test_a_vocabulary_that_changed_a_code_is_refused_and_an_appended_value_is_not(folder, parts):
    found, vocabularies = read_bundle(folder), dict(parts[4].vocabularies)
    found.refuse_other_vocabularies(vocabularies)
    role = vocabularies["role"]
    turned = type(role)("role", tuple(reversed(role.values)), role.codes)
    appended = type(role)("role", (*role.values, "pilot"), role.codes)
    found.refuse_other_vocabularies({**vocabularies, "role": appended})
    with pytest.raises(BundleRefused, match="vocabulary role"):
        found.refuse_other_vocabularies({**vocabularies, "role": turned})


def test_writing_replaces_an_old_bundle_as_a_whole_and_leaves_nothing_else(folder, parts):
    old = read_bundle(folder).bundle_id
    new = _write(folder, parts, training_data="later")
    assert new.bundle_id != old
    assert read_bundle(folder).bundle_id == new.bundle_id
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_a_failed_write_leaves_the_old_bundle_whole(folder, parts, monkeypatch):
    old = read_bundle(folder).bundle_id

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(bundle_module, "_write_durably", full)
    with pytest.raises(OSError, match="no space"):
        _write(folder, parts, training_data="later")
    assert read_bundle(folder).bundle_id == old
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_a_folder_with_other_things_is_never_replaced(tmp_path, parts):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(BundleRefused, match="home"):
        _write(tmp_path / "home", parts)
    assert (tmp_path / "home" / "letter.txt").read_text() == "dear"


@pytest.mark.slow
def test_a_child_accepts_a_sound_bundle_and_refuses_a_damaged_one(folder, tmp_path):
    try_in_child(folder)
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "pooled.txt").write_bytes(b"tree\n")
    with pytest.raises(BundleRefused, match=r"pooled\.txt"):
        try_in_child(tmp_path / "copy")
