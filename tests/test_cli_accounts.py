"""`leadwell accounts` and `segments activate`: what a person sees, what files they get, and clear refusals."""

from __future__ import annotations

import csv
import json
import re
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from configs.errors import InputInvalid, LeadwellError
from configs.settings import Settings, load_settings
from serving.table_files import KINDS, write_table
from training.sample.world import make_sample

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made world of a few hundred leads."""
    folder = tmp_path_factory.mktemp("accounts") / "world"
    make_sample(300, 11, folder)
    return folder


@cache
def shipped() -> Settings:
    return load_settings()


@pytest.fixture(autouse=True)
def one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped settings are read once for all commands of this file."""
    settings = shipped()
    monkeypatch.setattr("configs.settings.load_settings", lambda *_: settings)


def run(*arguments: object) -> Result:
    return RUNNER.invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def said(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return re.sub(r"\s+", " ", result.output)


def mistake(*arguments: object) -> str:
    error = run(*arguments).exception
    assert isinstance(error, LeadwellError)
    return str(error)


def test_accounts_are_listed_with_parts_that_add_up(world: Path, tmp_path: Path) -> None:
    listed = said(run("accounts", "list", "--data", world, "--rows", 3, "--out", tmp_path / "a.parquet"))
    assert "Accounts by decision readiness" in listed
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    parts = ("points_coverage", "points_stage", "points_signers", "points_awake")
    known = [row for row in rows if row["decision_readiness"] is not None]
    assert known
    assert all(sum(row[part] for part in parts) == row["decision_readiness"] for row in known)
    # The page and the screen say the same of one of them, and the page loads nothing.
    row = max((row for row in rows if row["level"] == "account"), key=lambda row: (row["people"], row["account_id"]))
    shown = said(run("accounts", "show", row["account_id"], "--own", "--data", world, "--html", tmp_path / "a.html"))
    assert f"Account {row['account_id']}" in shown
    assert f"Decision readiness: {row['decision_readiness']} of 100" in shown
    assert "It is no probability" in shown
    assert f"Its people ({row['people']})" in shown
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Coverage: role by influence and purchase authority" in page
    assert f"{row['decision_readiness']} of 100" in page
    assert not re.search(r"(?:src|href)\s*=|https?://", page)


def test_one_table_is_written_as_each_kind_of_file_and_formula_safe(tmp_path: Path) -> None:
    table = pa.table({"account_id": ["A1", "=A2"], "missing": [["x", "y"], []], "points": pa.array([1, None])})
    for kind in KINDS:
        write_table(table, tmp_path / f"a{kind}")
    assert pq.read_table(tmp_path / "a.parquet") == table
    rows = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert rows == [
        {"account_id": "A1", "missing": ["x", "y"], "points": 1},
        {"account_id": "=A2", "missing": [], "points": None},
    ]
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        flat = list(csv.DictReader(file))
    assert [row["account_id"] for row in flat] == ["A1", "'=A2"]
    assert [row["missing"] for row in flat] == ["x; y", ""]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.json", "a.parquet"]


def test_gaps_count_every_needed_part_once_by_state(world: Path, tmp_path: Path) -> None:
    assert "One part short" in said(run("accounts", "gaps", "--data", world, "--out", tmp_path / "gaps.parquet"))
    gaps = pq.read_table(tmp_path / "gaps.parquet").to_pylist()
    for gap in gaps:
        expected = "engaged" if gap["engaged"] else "quiet" if gap["known"] else "missing"
        assert gap["state"] == expected
        assert gap["contactable"] <= gap["known"]
        assert all(gap[f"contactable_{c}"] <= gap["contactable"] for c in ("email", "sms", "phone", "mail"))


@pytest.mark.slow
def test_tags_of_a_made_world_are_written_after_apply(world: Path, tmp_path: Path) -> None:
    state, out = tmp_path / "state", tmp_path / "tags"
    assert "expected memberships" in mistake("segments", "activate", "--data", world, "--state", state, "--out", out)
    said(run("segments", "apply", "--data", world, "--out", state))
    assert "written" in said(run("segments", "activate", "--data", world, "--state", state, "--out", out))
    again = said(run("segments", "activate", "--data", world, "--state", state, "--out", out))
    assert "the same as before" in again
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    for unit in ("lead", "account"):
        assert manifest["written"][unit] + sum(manifest["withheld"][unit].values()) == manifest["read"][unit]
    tags = pq.read_table(out / "lead_tags.parquet").to_pylist()
    leads = {row["lead_id"]: row for row in pq.read_table(world / "leads.parquet").to_pylist()}
    for tag in tags:
        if leads[tag["lead_id"]]["audience"] not in ("hcp", "buyer"):
            assert tag["condition_focus"] is None
    # Account segments in the stream of moves and on the tags of accounts are one notion.
    held = pq.read_table(state / "account_memberships.parquet").to_pylist()
    of_accounts = {
        row["account_id"]: row["segments"] for row in pq.read_table(out / "account_tags.parquet").to_pylist()
    }
    assert held
    assert len(set(pq.read_table(state / "moves")["segment_map"].to_pylist())) == 1
    assert all(row["segment_id"] in of_accounts[row["account_id"]] for row in held if row["account_id"] in of_accounts)


def test_where_the_next_decision_is_unknown_so_is_who_is_missing_for_it(tmp_path: Path) -> None:
    leads = "lead_id,recorded_at,audience,account_id\nL1,2026-06-01T00:00:00Z,hcp,A1\nL2,yesterday,hcp,A1\n"
    (tmp_path / "leads.csv").write_text(leads)
    (tmp_path / "accounts.csv").write_text("account_id,recorded_at\nA1,2026-06-01T00:00:00Z\n")
    listed = said(run("accounts", "list", "--data", tmp_path, "--as-of", "2026-06-30"))
    assert "A1 unknown unknown unknown, unknown 1 unknown 0 unknown" in listed
    assert "1 rows were rejected" in listed


def test_a_state_where_it_would_be_read_as_a_table_is_refused(world: Path) -> None:
    told = mistake("segments", "apply", "--data", world, "--out", world / "memberships")
    assert "it would be read as the table memberships" in told


def test_mistakes_are_told_in_one_line(world: Path, tmp_path: Path) -> None:
    assert "expected a folder" in mistake("accounts", "list", "--data", tmp_path / "nowhere")
    assert "ends in .parquet" in mistake("accounts", "list", "--data", world, "--out", tmp_path / "a.xlsx")
    assert "expected one of new_to_category" in mistake("accounts", "list", "--data", world, "--stage", "hot")
    assert "expected one of implant" in mistake("accounts", "gaps", "--data", world, "--product", "shoes")
    assert "expected one of software_ehr" in mistake("accounts", "list", "--data", world, "--segment", "nothing")
    assert "no account has this id" in mistake("accounts", "show", "nobody", "--data", world)
    (tmp_path / "leads.csv").write_text("lead_id\nL1\n", encoding="utf-8")
    assert "expected a table of accounts" in mistake("accounts", "list", "--data", tmp_path)
    assert issubclass(InputInvalid, LeadwellError)
