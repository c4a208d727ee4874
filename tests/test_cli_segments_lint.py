"""`leadwell segments lint` and `diff` as a person and as CI see them: short, with exit codes, and as JSON."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from cli.reference_lint import GROUPS, group_of, lint_codes
from configs.errors import InputInvalid
from configs.settings import load_settings
from models.segments.lint.findings import CODES

RUNNER = CliRunner()
LOADED = cache(load_settings)
ON = ("--as-of", "2026-06-30")
GOOD = "onc_community_center"


def run(*arguments: str) -> Result:
    return RUNNER.invoke(app, ["segments", *arguments], env={"COLUMNS": "160"})


@pytest.fixture(autouse=True)
def each_configuration_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are frozen, so commands may share them."""
    monkeypatch.setattr("configs.settings.load_settings", LOADED)


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one approved definition, edited: nurses only."""
    definition = next(d for d in LOADED().segments if d.id == GOOD)
    content = json.loads(definition.content)
    content |= {"version": 2, "enter": f"{definition.enter} AND role = 'nurse'"}
    file = tmp_path_factory.mktemp("edited") / "nurses.yaml"
    file.write_text(json.dumps(content))
    return file


def test_what_is_shipped_has_no_error_and_drafts_say_what_they_need() -> None:
    done = run("lint", *ON)
    assert done.exit_code == 0
    assert "What is wrong" not in done.stdout
    assert "Drafts: what each still needs (fails nothing)" in done.stdout
    assert "no error, 0 warnings" in done.stdout


def test_drafts_are_judged_strictly_when_asked() -> None:
    done = run("lint", "primary_care_selection", "--drafts", *ON)
    assert done.exit_code == 1
    assert "SINGLE_DIMENSION" in done.stdout
    assert "mend: add setting, role, need or behavior" in done.stdout


def test_json_is_for_a_program_and_a_sample_has_an_interval(small_world: Path) -> None:
    done = run("lint", "--data", str(small_world / "data"), "--json", "--stands-for", "30000")
    content: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code == (1 if content["errors"] else 0)
    assert content["segments"][GOOD] == "approved"
    assert {"file", "segment_id", "key", "level", "code", "reason", "mend", "status", "blocks"} == set(
        content["findings"][0]
    )
    assert sum(one["blocks"] for one in content["findings"]) == content["errors"]
    size = content["sizes"][GOOD]
    assert size["low"] < size["leads"] < size["high"]


def test_a_sample_is_no_larger_than_what_it_stands_for(small_world: Path) -> None:
    refused = run("lint", "--data", str(small_world / "data"), "--stands-for", "3")
    assert "expected at least the 300 leads of the data" in str(refused.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lint", "nobody"), "no segment 'nobody'; leadwell segments show lists them"),
        (("lint", "--stands-for", "100"), "expected --data with the sample"),
        (("diff", "shipped", "nowhere"), "nowhere: expected shipped, a configuration folder"),
        (("diff", "shipped", "shipped", "--drafts", "nobody"), "no segment 'nobody' in NEW; expected a draft such as"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert isinstance(done.exception, InputInvalid)
    assert said in str(done.exception)


def test_an_empty_folder_is_no_version(tmp_path: Path) -> None:
    done = run("diff", "shipped", str(tmp_path))
    assert "expected a folder with a folder `segments`, or with YAML files" in str(done.exception)


def test_nothing_differs_from_itself() -> None:
    done = run("diff", "shipped", "shipped", *ON)
    assert done.exit_code == 0
    assert "no difference" in done.stdout


def test_an_edit_is_shown_in_words_and_in_leads_and_as_json(small_world: Path, edited: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "difference.json"
    done = run("diff", "shipped", str(edited), "--data", str(small_world / "data"), "--drafts", GOOD, "--out", str(out))
    assert done.exit_code == 0, done.exception
    assert "laid over its segments" in done.stdout.replace("\n", " ")
    assert "enter narrowed" in done.stdout
    content = json.loads(out.read_text())
    change = next(one for one in content["changes"] if one["segment_id"] == GOOD)
    assert change["version"] == [1, 2]
    assert change["leads"][0] + change["entered"] - change["left"] == change["leads"][1]
    assert change["left"] > 0
    assert len(change["leaving"]) <= 5
    assert any("triggers.yaml" in one for one in change["refers"])
    assert content["contactable"] is not None


def test_without_drafts_an_edit_takes_the_segment_out_of_use(edited: Path) -> None:
    done = run("diff", "shipped", str(edited), "--json", *ON)
    (change,) = json.loads(done.stdout)["changes"]
    assert (change["status"], change["kind"]) == (["approved", "draft"], "changed")
    assert (change["enter"]["wider"], change["enter"]["complete"]) == (None, True)


def test_the_reference_documents_every_code_once() -> None:
    text = "\n".join(lint_codes())
    assert all(text.count(f"| `{code}` |") == 1 for code in CODES)
    assert {group_of(code) for code in CODES} == set(GROUPS)
    for code in CODES.values():
        assert code.what
        assert code.why
        assert code.mend
