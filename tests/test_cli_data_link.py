"""`leadwell data link` shows what it found, writes links and a review list, and never loses a person's work."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.data_link import link
from configs.errors import InputInvalid


@pytest.fixture()
def data(tmp_path: Path) -> Path:
    rows = [("a", "1", "x"), ("b", "1", "x"), ("c", "2", "y"), ("d", "2", "z")]
    leads = [{"lead_id": name, "registry_id": registry, "name_hash": who} for name, registry, who in rows]
    pq.write_table(pa.Table.from_pylist(leads), tmp_path / "leads.parquet")
    return tmp_path


def test_links_are_written_once_and_decisions_are_taken_in(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = "2026-06-30"
    link(data, None, None, None, day, dry_run=True, configs=None)
    assert "nothing written" in capsys.readouterr().out and not (data / "links.parquet").exists()
    link(data, None, None, None, day, dry_run=False, configs=None)
    shown = capsys.readouterr().out
    assert "registry_id" in shown and "1 links appended" in shown and "1 pairs for a person to decide" in shown
    review = data / "links_review.csv"
    review.write_text(review.read_text(encoding="utf-8").rstrip("\n,") + ",different,steward\n", encoding="utf-8")
    with pytest.raises(InputInvalid, match="holds decisions"):
        link(data, None, None, None, day, dry_run=False, configs=None)
    capsys.readouterr()
    link(data, None, None, review, day, dry_run=False, configs=None)
    assert "1 decisions of people" in capsys.readouterr().out
    assert pq.read_table(data / "links.parquet")["kind"].to_pylist() == ["same", "different"]
    link(data, None, data / "more.csv", None, day, dry_run=False, configs=None)
    assert "0 links appended" in capsys.readouterr().out and not (data / "more.csv").exists()


def test_the_command_is_there_with_examples() -> None:
    from cli.data import data as commands

    shown = CliRunner().invoke(commands, ["link", "--help"])
    assert shown.exit_code == 0 and "--decided" in shown.output
