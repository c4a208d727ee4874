"""What cannot be read surely is listed, settled by a correction, and gone from the list after that."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import InputInvalid
from configs.settings import load_settings
from features.intake.review import doubts
from features.intake.sources import find_files

LEADS = [
    ("Chief Happiness Officer", "", ""),
    ("\u0421hief  HAPPINESS officer", "", ""),
    ("Owner", "", ""),
    ("Cardiologist", "", ""),
    ("Chief Happiness Officer", "nurse", ""),
    ("", "ward wizard", "cardio: the [red]thing"),
    ("", "RN", "cardiology"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with (tmp_path / "leads.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["lead_id", "title", "role", "specialty"])
        rows.writerows((f"L{place}", *lead) for place, lead in enumerate(LEADS))
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", "review", *arguments])
    return result.exit_code, result.output


def test_what_is_unknown_is_listed_once_with_its_best_guess(folder: Path) -> None:
    found = doubts(find_files(folder), load_settings())
    listed = {(d.vocabulary, d.place, d.text): (d.rows, d.guess, d.confidence) for d in found}
    assert listed == {
        ("role", "leads.title", "Chief Happiness Officer"): (2, None, 0.0),
        ("role", "leads.title", "Owner"): (1, "executive", 0.6),
        ("role", "leads.role", "ward wizard"): (1, None, 0.0),
        ("specialty", "leads.specialty", "cardio: the [red]thing"): (1, None, 0.0),
    }
    assert found[0].text == "Chief Happiness Officer"
    assert {d.vocabulary for d in doubts(find_files(folder), load_settings(), "specialty")} == {"specialty"}
    with pytest.raises(InputInvalid, match="expected the name of a vocabulary"):
        doubts(find_files(folder), load_settings(), "rolle")


def test_corrections_take_entries_off_the_list(folder: Path) -> None:
    file = folder / "settle.yaml"
    code, _ = run("--data", str(folder), "--template", str(file))
    assert code == 0
    code, output = run("--data", str(folder), "--corrections", str(file))
    assert code != 0  # nobody has signed it yet
    text = file.read_text(encoding="utf-8").replace('value: ""', "value: unknown")
    file.write_text(text.replace('by: ""', "by: a.b").replace('reason: ""', "reason: asked"), encoding="utf-8")
    code, output = run("--data", str(folder), "--corrections", str(file))
    assert code == 0
    assert "Nothing to review" in output
    assert doubts(find_files(folder), load_settings(corrections=file)) == []
    code, output = run("--data", str(folder), "--template", str(file))
    assert code != 0 and file.read_text(encoding="utf-8").count("a.b") == 4  # never written over


def test_the_list_goes_to_other_programs_too(folder: Path) -> None:
    code, output = run("--data", str(folder), "--json", "--out", str(folder / "list.csv"))
    assert code == 0
    assert {one["text"] for one in json.loads(output)} >= {"Owner", "ward wizard"}
    with (folder / "list.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["text"] == "Chief Happiness Officer"


def test_labelled_titles_are_judged_by_models_that_have_not_seen_them(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    words = {"wizard": "magic", "sorcerer": "magic", "hobbit": "shire", "farmer": "shire"}
    places = [f"{ward} {day}" for ward in ("north", "south", "east", "west", "upper", "lower") for day in "abcde"]
    rows = [f"{word} of {place},{label}" for word, label in words.items() for place in places]
    file.write_text("title,role\n" + "\n".join(rows) + "\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["data", "titles", "--labels", str(file), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output[result.output.index("{") :])
    assert found["labels"] == 2 and found["titles"] == 120
    assert found["right"] > 0.95
    result = CliRunner().invoke(app, ["data", "titles", "--labels", str(file), "--label", "rolle"])
    assert result.exit_code != 0
    for wrong in (("--out", str(tmp_path / "answers.csv")), ("--precision", "7")):
        result = CliRunner().invoke(app, ["data", "titles", "--labels", str(file), *wrong])
        assert result.exit_code != 0 and not (tmp_path / "answers.csv").exists()
