"""Configuration: what ships loads; what is wrong is refused with file and key, all problems at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import ConfigInvalid
from configs.settings import DEFAULTS, load_settings
from configs.vocabulary import Vocabulary, normalize


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A writable copy of the shipped configuration."""
    target = tmp_path / "configs"
    shutil.copytree(DEFAULTS, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return target


def _edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def test_what_ships_loads() -> None:
    settings = load_settings()
    assert {segment.id for segment in settings.segments if segment.residual} == {"unsegmented"}
    assert len(settings.rules) >= 12


def test_the_digest_depends_on_content_only() -> None:
    assert load_settings().digest("rules", "facts") == load_settings().digest("rules", "facts")
    assert load_settings().digest("rules") != load_settings().digest("facts")


def test_an_unknown_key_names_file_and_key(folder: Path) -> None:
    _edit(folder / "serving.yaml", lambda text: text + "max_leeds: 3\n")
    with pytest.raises(ConfigInvalid) as refused:
        load_settings(folder)
    assert [(p.file, p.key) for p in refused.value.problems] == [("serving.yaml", "max_leeds")]


def test_all_problems_are_reported_at_once(folder: Path) -> None:
    _edit(folder / "serving.yaml", lambda text: text + "max_leeds: 3\n")
    _edit(folder / "training.yaml", lambda text: text.replace("folds: 5", "folds: soon"))
    (folder / "scorecard.yaml").unlink()
    with pytest.raises(ConfigInvalid) as refused:
        load_settings(folder)
    assert {p.file for p in refused.value.problems} == {"serving.yaml", "training.yaml", "scorecard.yaml"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("folds: 5\nfolds: 6\n", "given twice"),
        ("a: &x [1]\nb: *x\n", "aliases are not allowed"),
        ("a:\n\t- 1\n", "cannot start any token"),
    ],
)
def test_treacherous_yaml_is_refused_with_its_line(folder: Path, text: str, said: str) -> None:
    (folder / "training.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigInvalid) as refused:
        load_settings(folder)
    (problem,) = refused.value.problems
    assert problem.file == "training.yaml" and problem.key.startswith("line") and said in problem.expected


def test_an_oversized_file_is_refused(folder: Path) -> None:
    (folder / "training.yaml").write_text("# " + "x" * 1_000_001, encoding="utf-8")
    with pytest.raises(ConfigInvalid, match="at most 1000000 bytes"):
        load_settings(folder)


def test_a_missing_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="expected a folder"):
        load_settings(tmp_path / "nowhere")


def test_an_error_never_repeats_the_value_it_refuses(folder: Path) -> None:
    _edit(folder / "training.yaml", lambda text: text.replace("folds: 5", "folds: marker-value"))
    with pytest.raises(ConfigInvalid) as refused:
        load_settings(folder)
    assert "marker-value" not in str(refused.value)


def test_one_spelling_means_one_value() -> None:
    with pytest.raises(ValueError, match="means two values"):
        Vocabulary.of("role", {"nurse": ["rn"], "doctor": ["RN"]})


@pytest.mark.parametrize("spelling", ["Nurse Practitioner", "nurse-practitioner", " NURSE\u00a0PRACTITIONER ", "np"])
def test_spellings_of_one_value_share_its_code(spelling: str) -> None:
    vocabulary = Vocabulary.of("role", {"nurse": [], "nurse_practitioner": ["NP"]})
    assert vocabulary.code(spelling) == 2
    assert vocabulary.value(2) == "nurse_practitioner"


def test_a_value_outside_the_vocabulary_is_unknown() -> None:
    vocabulary = Vocabulary.of("role", {"nurse": []})
    assert (vocabulary.code("astronaut"), vocabulary.code(None), vocabulary.value(0)) == (0, 0, None)
    assert normalize("\uff2eurse") == "nurse"


@pytest.mark.parametrize("name", ["w0", "a3", "bit_x", "lead", "row", "class"])
def test_a_fact_may_not_be_named_like_a_variable_of_the_generated_rules(folder: Path, name: str) -> None:
    _edit(folder / "policy/facts.yaml", lambda text: text + f"  {name}: {{type: yesno, says: something, source: x}}\n")
    with pytest.raises(ConfigInvalid) as refused:
        load_settings(folder)
    assert ("policy/facts.yaml", name) in [(p.file, p.key) for p in refused.value.problems]
