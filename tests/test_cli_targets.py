"""`leadwell targets` and `leadwell funnel` as a person meets them, and `train --targets` refusing what it cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import InputInvalid

RUN = CliRunner(env={"COLUMNS": "120"})


def test_every_declared_target_is_listed_with_what_counts() -> None:
    shown = RUN.invoke(app, ["targets"], catch_exceptions=False).stdout
    for word in ("next_step serves", "conversion", "opportunity", "each segment's conversion event"):
        assert word in " ".join(shown.split())
    assert "lead → mql → sal → sql → meeting → opportunity" in shown


def test_the_funnel_says_every_count_and_they_add_up(small_world: Path) -> None:
    arguments = ["funnel", "--data", str(small_world / "data"), "--as-of", "2026-06-30", "--days", "60"]
    shown = RUN.invoke(app, arguments, catch_exceptions=False).stdout
    for word in ("too young", "at risk", "interval", "From stage to stage", "300 leads read in all"):
        assert word in shown
    found = json.loads(RUN.invoke(app, [*arguments, "--json", "--no-segments"], catch_exceptions=False).stdout)
    assert sum(found["counts"].values()) == found["read"] == 300
    for stage in found["groups"][0]["stages"]:
        way = stage["from_creation"]
        assert way["reached"] + way["without"] + way["too_young"] == way["leads"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["funnel", "--data", ".", "--stage", "applause"], "no stage of the funnel is named applause"),
        (["train", "--data", ".", "--targets", "applause"], "no target is named applause; declared are next_step"),
        (
            ["train", "--source", "xeducation", "--leads", "x.csv", "--targets", "sql"],
            "a flat export has one outcome, which its mapping names",
        ),
    ],
)
def test_a_wrong_name_is_one_clear_line(arguments: list[str], said: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputInvalid, match=said):
        RUN.invoke(app, arguments, catch_exceptions=False)
