"""`leadwell benchmark coverage`, on a small made world: what it counts, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import InputInvalid
from training.benchmark.coverage import Covered

runner = CliRunner()


def test_coverage_counts_what_lies_inside_below_and_above() -> None:
    low, high = np.array([0.1, 0.1, 0.1, 0.1]), np.array([0.3, 0.3, 0.3, 0.3])
    found = Covered.of("all", low, high, np.array([0.05, 0.2, 0.3, 0.9]))
    assert (found.leads, found.share, found.below, found.above) == (4, 0.5, 0.25, 0.25)
    assert found.width == pytest.approx(0.2)
    assert found.low < 0.5 < found.high


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--seeds", "one"], "whole numbers"), (["--seeds", ""], "nothing to measure")],
)  # fmt: skip
def test_a_mistake_is_said_before_anything_is_made(arguments: list[str], says: str, tmp_path: Path) -> None:
    found = runner.invoke(app, ["benchmark", "coverage", *arguments, "--out", str(tmp_path / "out")])
    assert isinstance(found.exception, InputInvalid)
    assert says in str(found.exception)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_world_is_refused(tmp_path: Path) -> None:
    found = runner.invoke(app, ["benchmark", "coverage", "--seeds", "", "--world", str(tmp_path)])
    assert isinstance(found.exception, InputInvalid)
    assert "leadwell sample" in str(found.exception)


@pytest.mark.slow
def test_intervals_of_a_small_world_hold_most_true_probabilities_and_wrong_widths_do_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = runner.invoke(app, ["benchmark", "coverage", "--leads", "4000", "--seeds", "31", "--out", str(out)])
    assert found.exit_code == 0, found.output
    world = json.loads((out / "coverage.json").read_text())["worlds"][0]
    # What is hidden is told by few pairs in so small a world, so the width is known to about a third.
    assert 0.65 < world["overall"]["share"] < 0.95
    assert world["narrow"]["share"] < world["overall"]["share"] - 0.2
    assert world["wide"]["share"] > world["overall"]["share"] + 0.03
    assert sum(group["leads"] for group in world["groups"]["segment"]) == world["overall"]["leads"]
    assert world["reasons"].get("OUT_OF_RANGE", 0) < 0.01 * world["overall"]["leads"]
    assert "nominal 80 %" in (out / "coverage.md").read_text()
