"""Vocabularies with doubt: where a synonym comes from, how sure it is, and what a steward settled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from configs.errors import ConfigInvalid
from configs.settings import DEFAULTS, Settings, load_settings
from configs.vocabulary import NOT_READ, Reading, Synonym, Vocabulary

ROLE = Vocabulary.of(
    "role", {"nurse": ["rn", Synonym("sister", "ward list", 0.9)], "executive": [Synonym("owner", "a guess", 0.6)]}
)


def test_a_spelling_below_the_threshold_is_unknown_but_still_says_why() -> None:
    assert ROLE.read("RN") == Reading(1, 1.0, "shipped")
    assert ROLE.read("Sister") == Reading(1, 0.9, "ward list")
    assert ROLE.code("owner") == 0
    assert ROLE.read("owner") == Reading(0, 0.6, "a guess")
    assert ROLE.guess("OWNER") == Reading(2, 0.6, "a guess")
    assert ROLE.read("else") == ROLE.read(None) == NOT_READ


def test_the_threshold_itself_is_sure_enough() -> None:
    at = Vocabulary.of("x", {"a": [Synonym("b", "somebody", 0.8)]}, threshold=0.8)
    assert at.code("b") == 1


def test_a_correction_goes_before_every_spelling_in_any_form() -> None:
    settled = ROLE.with_corrections({"rn": Reading(0, 1.0, "correction"), "owner": Reading(2, 1.0, "correction")})
    assert settled.code("rn") == settled.code("R\u200bN") == 0
    assert settled.code("Owner") == 2
    assert settled.read("rn") == Reading(0, 1.0, "correction")


def changed(folder: Path, **files: str) -> Settings:
    if not folder.exists():
        shutil.copytree(DEFAULTS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for name, text in files.items():
        (folder / name.replace("__", "/").replace("_", ".", 1)).write_text(text, encoding="utf-8")
    return load_settings(folder)


ENTRY = "- {vocabulary: role, text: Ward Wizard, value: VALUE, by: a.b, on: 2026-05-04, reason: told}"


def test_corrections_are_part_of_what_a_digest_stands_for(tmp_path: Path) -> None:
    before = load_settings()
    after = changed(tmp_path / "c", corrections_yaml="corrections:\n" + ENTRY.replace("VALUE", "nurse"))
    assert after.vocabularies["role"].value(after.vocabularies["role"].code("ward  wizard")) == "nurse"
    assert after.digest("vocabularies") != before.digest("vocabularies")
    assert after.vocabularies["role"].values == before.vocabularies["role"].values
    again = load_settings(tmp_path / "c")
    assert again.digest("vocabularies") == after.digest("vocabularies")


@pytest.mark.parametrize(
    ("entries", "key"),
    [
        (ENTRY.replace("VALUE", "wizard"), "corrections.0.value"),
        (ENTRY.replace("role", "rolle"), "corrections.0.vocabulary"),
        (ENTRY.replace("Ward Wizard", "'?!'"), "corrections.0.text"),
        (ENTRY.replace("a.b", "''"), "corrections.0.by"),
        (ENTRY.replace("2026-05-04", "soon"), "corrections.0.on"),
        (ENTRY.replace("VALUE", "nurse") + "\n" + ENTRY.replace("VALUE", "unknown"), "corrections.1.value"),
    ],
)
def test_a_wrong_correction_is_refused_with_file_and_key(tmp_path: Path, entries: str, key: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        changed(tmp_path / "c", corrections_yaml="corrections:\n" + entries)
    assert any(p.file == "corrections.yaml" and p.key == key for p in refused.value.problems), refused.value


def test_the_threshold_is_set_for_each_vocabulary_and_a_wrong_name_is_refused(tmp_path: Path) -> None:
    assert load_settings().vocabularies["role"].code("owner") == 0
    loose = changed(tmp_path / "c", review_yaml="thresholds: {role: 0.5}\n")
    assert loose.vocabularies["role"].code("owner") > 0
    assert loose.vocabularies["specialty"].threshold == 0.8
    with pytest.raises(ConfigInvalid, match="no vocabulary has this name"):
        changed(tmp_path / "c", review_yaml="thresholds: {rolle: 0.5}\n")


def test_labels_outside_the_vocabulary_are_refused_with_their_row(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"titles.csv: row 3.role"):
        changed(tmp_path / "c", titles_csv="title,role\nRN,nurse\nX,wizard\n", review_yaml="labels: titles.csv\n")


def test_shipped_values_keep_their_codes() -> None:
    role = load_settings().vocabularies["role"]
    assert role.values[:5] == ("physician", "nurse_practitioner", "physician_assistant", "pharmacist", "nurse")
    assert role.values[23:26] == ("sales", "patient", "other")
    assert load_settings().vocabularies["specialty"].values[16] == "other"
    assert all(len(v.values) <= 250 for v in load_settings().vocabularies.values())
