"""Further targets in a bundle: whole, of this bundle, with answers and days of their own, or refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from configs.errors import BundleRefused
from configs.settings import load_settings
from models.bundle import FORMAT, Bundle, read_bundle, write_bundle
from models.further import FurtherDeclaration, FurtherTarget
from models.scores import Readiness
from tests.test_models_bundle import AS_OF, SEGMENTS, _parts

PRODUCTS = load_settings().vocabularies["product"].values
DAYS = tuple((60, *(90 + segment for _ in PRODUCTS)) for segment in range(len(SEGMENTS) + 1))


def further(readiness: Readiness, target: str = "sql", *, weak: bool = False) -> FurtherTarget:
    declaration = FurtherDeclaration(
        id=target, says="is asked for a test", first=True, weak=weak, segments=SEGMENTS, products=PRODUCTS, days=DAYS
    )
    return FurtherTarget.of(declaration, readiness)


@pytest.fixture(scope="module")
def parts():
    return _parts()


def write(folder: Path, parts, targets: tuple[str, ...]) -> Bundle:
    readiness, spec, X, segment, settings = parts
    return write_bundle(
        folder,
        readiness,
        spec,
        segment_map=json.dumps({"segments": [{"id": name} for name in SEGMENTS]}),
        scorecard="{}",
        vocabularies=settings.vocabularies,
        as_of=AS_OF,
        golden=(X, segment),
        further=[further(readiness, target) for target in targets],
    )


@pytest.fixture
def folder(tmp_path: Path, parts) -> Path:
    write(tmp_path / "bundle", parts, ("sql", "mql"))
    return tmp_path / "bundle"


def test_further_targets_read_back_in_the_order_of_their_ids_with_the_same_answers(folder: Path, parts) -> None:
    readiness, _, X, segment, _ = parts
    found = read_bundle(folder).further
    assert [one.id for one in found] == ["mql", "sql"]
    answers = found[1].answers(X, segment, None)
    assert (answers.scores.probability == readiness.predict(X, segment).probability).all()
    assert (folder / "targets" / "sql" / "pooled.txt").is_file()


def test_a_bundle_without_further_targets_has_none_of_their_files(tmp_path: Path, parts) -> None:
    assert write(tmp_path / "plain", parts, ()).further == ()
    assert not (tmp_path / "plain" / "targets").exists()


def test_days_are_those_of_the_segment_and_the_product(parts) -> None:
    readiness, _, X, _, _ = parts
    one = further(readiness)
    primary = np.array([0, 1, -1, 0])
    product = np.array([0, 2, 3, len(PRODUCTS) + 4], dtype=np.uint8)
    # No product, the second segment's, nobody's segment, a product newer than the bundle.
    assert one.answers(X[:4], primary, product).horizon_days.tolist() == [60, 91, 92, 60]
    assert one.answers(X[:4], primary, None).horizon_days.tolist() == [60, 60, 60, 60]


@pytest.mark.parametrize("name", ["pooled.txt", "calibration.json", "bands.json", "golden.json", "target.json"])
def test_a_damaged_or_missing_part_of_a_target_is_refused_by_name(folder: Path, name: str) -> None:
    path = folder / "targets" / "sql" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleRefused, match=f"targets/sql/{name}"):
        read_bundle(folder)
    path.unlink()
    with pytest.raises(BundleRefused, match=f"targets/sql/{name}"):
        read_bundle(folder)


def relist(folder: Path, change) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["targets/sql/features.json", "targets/../pooled.txt", "targets/sql/x/pooled.txt",
                                  "targets/SQL/pooled.txt", "targets/pooled.txt"])  # fmt: skip
def test_a_manifest_that_lists_what_no_target_has_is_refused(folder: Path, name: str) -> None:
    relist(folder, lambda manifest: manifest["files"].update({name: manifest["files"]["pooled.txt"]}))
    with pytest.raises(BundleRefused, match="lists a file that no bundle has"):
        read_bundle(folder)


def test_a_target_that_the_manifest_lists_in_part_is_refused(folder: Path) -> None:
    relist(folder, lambda manifest: manifest["files"].pop("targets/sql/target.json"))
    with pytest.raises(BundleRefused, match=r"targets/sql/target\.json: the manifest does not list it"):
        read_bundle(folder)


def test_an_unlisted_file_in_a_targets_folder_and_a_linked_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "targets" / "sql" / "model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(BundleRefused, match="does not list"):
        read_bundle(folder)
    (folder / "targets" / "sql" / "model.bin").unlink()
    read_bundle(folder)
    moved = tmp_path / "elsewhere"
    shutil.move(folder / "targets", moved)
    (folder / "targets").symlink_to(moved)
    with pytest.raises(BundleRefused, match="does not list"):
        read_bundle(folder)


def test_a_target_of_other_segments_is_refused(parts) -> None:
    readiness = parts[0]
    declaration = further(readiness).declaration
    for wrong in ({"segments": ("first", "third")}, {"days": DAYS[:-1]}, {"products": PRODUCTS[:-1]}):
        with pytest.raises(BundleRefused, match=r"target\.json"):
            FurtherTarget.of(declaration.model_copy(update=wrong), readiness)


def test_a_bundle_of_an_older_format_is_refused_and_says_what_to_do(folder: Path) -> None:
    relist(folder, lambda manifest: manifest.update(format=FORMAT - 1))
    with pytest.raises(BundleRefused, match=r"of another version of Leadwell.*train it again"):
        read_bundle(folder)
