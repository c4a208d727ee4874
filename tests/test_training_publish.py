"""From a bundle to the champion: champion.json is whole or unchanged, and a tampered bundle changes nothing."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.errors import BundleRefused, NotReady
from models.bundle import read_bundle
from training.registry.publish import CHAMPION_FILE, MODEL, history, promote, read_champion, register, rollback
from training.registry.tracking import store

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


def named(folder: Path) -> str:
    """A stand-in for verification where what is tested is what comes after it: a folder's name is its id."""
    return folder.name


def bundles(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).mkdir()
    return [folder / name for name in names]


def test_promotions_and_rollbacks_are_kept_in_order_and_the_last_one_serves(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    one, two, three = bundles(tmp_path, "one", "two", "three")
    for hours, bundle in enumerate((one, two, three)):
        promote(artifacts, bundle, by=f"person {hours}", as_of=AS_OF + timedelta(hours=hours), verify=named)
    back = rollback(artifacts, by="night shift", as_of=AS_OF + timedelta(hours=9), verify=named)
    assert (back.bundle_id, back.how, back.by, back.previous) == ("two", "rollback", "night shift", "one")
    assert [entry.bundle_id for entry in history(artifacts)] == ["one", "two", "three", "two"]
    assert read_champion(artifacts) == back
    assert back.folder(artifacts) == two
    # A second rollback goes one further back, and then there is none.
    assert rollback(artifacts, by="x", as_of=AS_OF, verify=named).bundle_id == "one"
    with pytest.raises(NotReady, match="nothing to roll back to"):
        rollback(artifacts, by="x", as_of=AS_OF, verify=named)


def test_the_champion_file_says_what_serving_needs_beside_the_history(tmp_path: Path) -> None:
    (one,) = bundles(tmp_path, "one")
    promote(tmp_path / "artifacts", one, by="a person", as_of=AS_OF, verify=named)
    written = json.loads((tmp_path / "artifacts" / CHAMPION_FILE).read_text())
    assert written["bundle_id"] == "one"
    assert written["path"] == os.path.join("..", "one")
    assert written["promoted_at"] == "2026-06-30T00:00:00Z"
    assert len(written["history"]) == 1


def test_promoting_the_champion_again_is_no_step_that_a_rollback_undoes(tmp_path: Path) -> None:
    one, two = bundles(tmp_path, "one", "two")
    for bundle in (one, two, two):
        promote(tmp_path / "artifacts", bundle, by="x", as_of=AS_OF, verify=named)
    assert rollback(tmp_path / "artifacts", by="x", as_of=AS_OF, verify=named).bundle_id == "one"


def test_before_the_first_promotion_there_is_no_champion_and_the_command_is_named(tmp_path: Path) -> None:
    assert read_champion(tmp_path) is None
    with pytest.raises(NotReady, match="leadwell promote --bundle DIR"):
        rollback(tmp_path, by="x", as_of=AS_OF)
    with pytest.raises(BundleRefused, match="leadwell train --bundle DIR"):
        promote(tmp_path, tmp_path / "nowhere", by="x", as_of=AS_OF)


def test_a_rollback_to_a_bundle_that_is_gone_or_changed_leaves_the_champion(tmp_path: Path) -> None:
    one, two = bundles(tmp_path, "one", "two")
    for bundle in (one, two):
        promote(tmp_path / "artifacts", bundle, by="x", as_of=AS_OF, verify=named)
    with pytest.raises(BundleRefused, match="no longer the bundle one"):
        rollback(tmp_path / "artifacts", by="x", as_of=AS_OF, verify=lambda folder: "another")
    one.rmdir()
    with pytest.raises(BundleRefused, match="no longer the bundle one"):
        rollback(tmp_path / "artifacts", by="x", as_of=AS_OF, verify=named)
    champion = read_champion(tmp_path / "artifacts")
    assert champion is not None
    assert champion.bundle_id == "two"


def test_a_write_that_fails_half_way_leaves_the_old_champion_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = bundles(tmp_path, "one", "two")
    artifacts = tmp_path / "artifacts"
    promote(artifacts, one, by="x", as_of=AS_OF, verify=named)
    before = (artifacts / CHAMPION_FILE).read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    for broken in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, broken, full)
            with pytest.raises(OSError, match="no space"):
                promote(artifacts, two, by="x", as_of=AS_OF, verify=named)
        assert (artifacts / CHAMPION_FILE).read_bytes() == before
        assert [path.name for path in artifacts.iterdir()] == [CHAMPION_FILE]


def test_a_champion_file_that_was_damaged_is_refused_and_not_guessed_at(tmp_path: Path) -> None:
    for text in ("", "[]", '{"history": [{"bundle_id": "x"}]}', '{"history": 3}'):
        (tmp_path / CHAMPION_FILE).write_text(text)
        with pytest.raises(BundleRefused, match="not a champion file"):
            read_champion(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["pooled.txt", "calibration.json", "manifest.json"])
def test_a_tampered_bundle_is_refused_and_the_old_champion_stays(small_world: Path, tmp_path: Path, file: str) -> None:
    artifacts = tmp_path / "artifacts"
    sound = shutil.copytree(small_world / "bundle", tmp_path / "sound")
    promote(artifacts, sound, by="x", as_of=AS_OF, verify=lambda folder: str(read_bundle(folder).bundle_id))
    before = (artifacts / CHAMPION_FILE).read_bytes()
    wrong = shutil.copytree(small_world / "bundle", tmp_path / "wrong")
    content = (wrong / file).read_bytes()
    (wrong / file).write_bytes(content.replace(b"0", b"1", 1) if file != "manifest.json" else content[:-2])
    with pytest.raises(BundleRefused):
        promote(artifacts, wrong, by="x", as_of=AS_OF)
    assert (artifacts / CHAMPION_FILE).read_bytes() == before


@pytest.mark.slow
def test_registering_names_a_challenger_promoting_a_champion_and_the_model_predicts_what_the_bundle_does(
    small_world: Path, tmp_path: Path
) -> None:
    artifacts, folder = tmp_path / "artifacts", small_world / "bundle"
    bundle = read_bundle(folder)
    first = register(artifacts, folder, by="a person")
    promote(artifacts, folder, by="a person", as_of=AS_OF)
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
        versions = {alias: client.get_model_version_by_alias(MODEL, alias) for alias in ("champion", "challenger")}
        loaded = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
        # Columns in another order are the same columns.
        found = loaded.predict(frame[list(reversed(frame.columns))])
        bare = loaded.predict(frame.drop(columns="segment_id"))
    assert {alias: str(version.version) for alias, version in versions.items()} == {
        "champion": first,
        "challenger": second,
    }
    assert versions["champion"].tags["bundle_id"] == bundle.bundle_id
    assert versions["champion"].tags["promoted_by"] == "a person"
    assert "no permission" in versions["challenger"].tags["use"]
    scores = bundle.readiness.predict(matrix, segment)
    assert np.array_equal(found["probability"], scores.probability)
    assert np.array_equal(found["lower"], scores.lower)
    assert np.array_equal(bare["probability"], bundle.readiness.predict(matrix, np.full(40, -1)).probability)
