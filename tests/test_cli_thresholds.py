"""`leadwell thresholds`: a proposal that changes nothing, told to people and to programs; mistakes in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from configs.errors import LeadwellError
from configs.settings import DEFAULTS, load_settings


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped configuration with a small booster and few rows asked for."""
    folder = tmp_path_factory.mktemp("configs") / "configs"
    shutil.copytree(DEFAULTS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    training = folder / "training.yaml"
    text = training.read_text(encoding="utf-8").replace("rounds: 150", "rounds: 10").replace("folds: 5", "folds: 2")
    training.write_text(text, encoding="utf-8")
    rules = folder / "thresholds.yaml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("min_rows: 200", "min_rows: 20"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from training.sample.world import make_sample

    folder = tmp_path_factory.mktemp("thresholds") / "data"
    make_sample(1200, 5, folder)
    return folder


def _run(*words: object) -> Result:
    return CliRunner().invoke(app, ["thresholds", *map(str, words)], env={"COLUMNS": "160"})


@pytest.mark.slow
def test_a_capacity_is_proposed_explained_and_written_as_a_file_to_adopt(
    world: Path, quick: Path, tmp_path: Path
) -> None:
    file = tmp_path / "proposed" / "thresholds.yaml"
    before = {path: path.read_bytes() for path in quick.rglob("*.yaml")}
    found = _run("--data", world, "--configs", quick, "--capacity", 60, "--out", file)
    assert found.exit_code == 0, found.output
    for said in (
        "all: capacity of 60 hot a month",
        "by default: hot",
        "hot proposed",
        "top 10%",
        "nothing was changed",
    ):
        assert said in found.output, said
    assert {path: path.read_bytes() for path in quick.rglob("*.yaml")} == before
    shutil.copytree(quick, tmp_path / "adopted")
    shutil.copy(file, tmp_path / "adopted" / "thresholds.yaml")
    adopted = load_settings(tmp_path / "adopted").thresholds
    assert adopted.all.capacity is not None and adopted.all.capacity.hot == 60 and adopted.min_rows == 20


@pytest.mark.slow
def test_json_has_nothing_beside_it_and_volume_falls_as_the_cut_rises(world: Path, quick: Path) -> None:
    found = _run(
        "--data", world, "--configs", quick, "--segment", "unsegmented", "--value", 100, "--cost", 20, "--json"
    )
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["segment"] == "unsegmented" and told["thresholds"]["cuts"]["unsegmented"]["hot"] == 0.2
    cuts, volumes = zip(*((one["cut"], one["brings"]["volume"]["value"]) for one in told["range"]), strict=True)
    assert list(cuts) == sorted(cuts, reverse=True) and list(volumes) == sorted(volumes)
    assert "value: 100, cost: 20" in told["yaml"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected either --data FOLDER"),
        (("--source", "xeducation"), "expected either --data FOLDER"),
        (("--value", "5"), "value and cost together"),
        (("--capacity", "-3"), "greater than 0"),
        (("--segment", "vendor_compar", "--capacity", "3"), "did you mean vendor_compare"),
        (("--source", "xeducation", "--leads", "x.csv", "--as-of", "2026-01-01"), "with --data only"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_expected(words: tuple[str, ...], said: str) -> None:
    found = _run(*words)
    assert isinstance(found.exception, LeadwellError) and said in str(found.exception)
    assert len(str(found.exception).splitlines()) == 1
