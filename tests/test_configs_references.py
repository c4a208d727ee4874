"""A definition that something refers to cannot be deleted: loading says who refers to it, all at once."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from shutil import copytree

import pytest

from configs.errors import ConfigInvalid
from configs.references import Reference, references, references_to
from configs.section import Section
from configs.settings import DEFAULTS, Settings, load_settings

TEMPLATE = "moa_engaged"


@cache
def shipped() -> Settings:
    return load_settings()


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("configs") / "configs"
    return Path(copytree(DEFAULTS, target, ignore=lambda _, names: [n for n in names if n.endswith((".py", ".pyc"))]))


def delete(file: Path, segment_id: str) -> str:
    """Take one definition out of a file; gives the file's text before."""
    before = file.read_text()
    first, *entries = re.split(r"^(?=- id: )", before, flags=re.MULTILINE)
    kept = [entry for entry in entries if not entry.startswith(f"- id: {segment_id}\n")]
    assert len(kept) == len(entries) - 1
    file.write_text(first + "".join(kept))
    return before


def file_of(configs: Path, segment_id: str) -> Path:
    return next(f for f in sorted((configs / "segments").glob("*.yaml")) if f"id: {segment_id}\n" in f.read_text())


def problems(configs: Path) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(configs)
    return [(p.file, p.key, p.expected) for p in caught.value.problems]


def test_definitions_that_something_names_cannot_be_deleted_and_all_who_do_are_told_at_once(configs: Path) -> None:
    """The ledger and triggers name an approved one; content names a template that nobody ever proposed."""
    assets = configs / "assets.yaml"
    kept = assets.read_text()
    asset = "  - asset_id: software_overview\n"
    assets.write_text(kept.replace(asset, f"{asset}    segment_ids: [{TEMPLATE}]\n", 1))
    deleted = ("onc_community_center", TEMPLATE)
    files = [(file_of(configs, segment_id), segment_id) for segment_id in deleted]
    before = [(file, delete(file, segment_id)) for file, segment_id in files]
    found = problems(configs)
    for file, text in (*before, (assets, kept)):
        file.write_text(text)
    places = {(file, key.rpartition(".")[2]) for file, key, _ in found}
    assert places >= {("approvals.yaml", "segment"), ("triggers.yaml", "segments")}
    assert all("retire a segment instead of deleting it" in expected for _, _, expected in found)
    (named,) = [(key, expected) for file, key, expected in found if file == "assets.yaml"]
    assert named[0] == "assets.software_overview.segment_ids"
    assert named[1].startswith(f"no segment '{TEMPLATE}' is defined; retire a segment instead")


def test_a_draft_that_nothing_names_may_be_deleted(configs: Path) -> None:
    file = file_of(configs, TEMPLATE)
    before = delete(file, TEMPLATE)
    settings = load_settings(configs)
    file.write_text(before)
    assert TEMPLATE not in {definition.id for definition in settings.segments}


class Weights(Section):
    by_segment: dict[str, int]
    segment: str = ""
    rounds: int = 0


class Outer(Section):
    inner: tuple[Weights, ...]
    segments: tuple[str, ...] = ()
    segment_ids: tuple[int, ...] = ()


def test_whatever_names_a_segment_is_found_however_deep() -> None:
    found = references({"scorecard": Outer(inner=(Weights(by_segment={"a": 3}, segment="b"),), segments=("c",))})
    assert [(one.segment_id, one.key) for one in found] == [
        ("a", "scorecard.inner.0.by_segment.a"),
        ("b", "scorecard.inner.0.segment"),
        ("c", "scorecard.segments"),
    ]
    assert references_to(("b",), {"scorecard": Outer(inner=(Weights(by_segment={}, segment="b"),))}) == {
        "b": [Reference("b", "scorecard.yaml", "scorecard.inner.0.segment")]
    }


def test_numbers_and_sections_that_are_only_called_so_name_no_segment() -> None:
    assert references({"scorecard": Outer(inner=(), segment_ids=(1, 2))}) == []


def test_every_shipped_reference_names_a_segment_that_is_defined() -> None:
    settings = shipped()
    known = {definition.id for definition in settings.segments}
    assert {one.segment_id for one in references(dict(settings))} <= known


def test_a_file_is_laid_over_the_segments_and_a_folder_takes_their_place(tmp_path: Path) -> None:
    original = next(d for d in shipped().segments if d.id == TEMPLATE)
    file = tmp_path / "one [draft].yaml"
    file.write_text(json.dumps(json.loads(original.content) | {"title": "Another title"}))  # JSON is YAML too
    laid = load_settings(segments=file)
    assert {d.id: d.title for d in laid.segments} == {
        **{d.id: d.title for d in shipped().segments},
        TEMPLATE: "Another title",
    }
    assert laid.files["segments", TEMPLATE] == "one [draft].yaml"
    with pytest.raises(ConfigInvalid, match="retire a segment instead of deleting it"):
        load_settings(segments=tmp_path)
