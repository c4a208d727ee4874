"""`leadwell data import` from the command line: what it shows, and that its mistakes are one clear line."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from cli.app import app

RUNNER = CliRunner()
CONTACTS = "Id,Email,CreatedDate,SystemModstamp,HasOptedOutOfEmail\n"
T = "2026-01-05T09:00:00.000+0000"


def test_an_import_shows_what_became_of_the_rows_and_what_to_do_next(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "Contact.csv").write_text(f"{CONTACTS}C1,ada@x.org,{T},{T},true\nC2,,{T},some day,\n", encoding="utf-8")
    words = ["data", "import", "--source", "salesforce", "--from", str(folder), "--out", str(tmp_path / "crm")]
    done = RUNNER.invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "salesforce.contact     2     1         1          0       0" in done.output
    assert "rejected 1 rows of Contact.csv: column SystemModstamp: expected an instant" in done.output
    assert "made a key for hashes" in done.output and f"leadwell data check --data {tmp_path / 'crm'}" in done.output
    assert "ada" not in done.output.replace(str(tmp_path), "")
    done = RUNNER.invoke(app, [*words, "--json"])
    assert json.loads(done.output)["tables"]["suppressions"] == 1


def test_mistakes_are_one_clear_line(tmp_path: Path) -> None:
    out = str(tmp_path / "crm")
    for words, expected in (
        (["--source", "nosuch", "--from", "x"], "nosuch: expected the file of a mapping, or one of"),
        (["--source", "salesforce", "--from", str(tmp_path / "x")], "expected a folder with the export's files"),
        (["--source", "salesforce", "--source", "pardot", "--from", "x"], "expected one --from for each --source"),
    ):
        done = RUNNER.invoke(app, ["data", "import", *words, "--out", out])
        assert done.exit_code != 0 and not (tmp_path / "crm").exists()
        assert expected in f"{done.output} {done.exception}"
