"""The results page from a small slice of real sets, and a recalibrated bundle from one of them."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import InputInvalid
from configs.settings import load_settings
from training.benchmark.page import markdown, render_results
from training.benchmark.run import MODELS, OURS, SetResult, judge_set
from training.benchmark.sets import SETS, Material, material_of, missing_files
from training.evaluation.boosted import fit_tuned_lightgbm, inner_parts

ROWS = 2000


def _data() -> Path:
    shared = Path(os.environ.get("LEADWELL_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
    if not (shared / "data").is_dir():
        pytest.skip("needs the labelled sets: set LEADWELL_SHARED to the folder that holds data/")
    return shared / "data"


@cache
def _material(name: str, folder: Path) -> Material:
    one = next(one for one in SETS if one.name == name)
    if missing_files(one, _data()):
        pytest.skip(f"needs the files of {name}")
    return material_of(one, _data(), folder, load_settings(), most_rows=ROWS)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return _material("bank_marketing", tmp_path_factory.mktemp("bank"))


@pytest.fixture(scope="module")
def result(bank: Material) -> SetResult:
    return judge_set(bank, load_settings(), budget_seconds=0.0)


def test_every_model_is_measured_on_the_same_later_rows(result: SetResult) -> None:
    assert set(result.comparison.models) == set(MODELS)
    assert {found.rows for found in result.comparison.models.values()} == {result.rows["judge"]}
    assert result.rows["train"] + result.rows["judge"] == result.rows["all"]
    assert set(result.seconds) == set(MODELS)


def test_a_column_written_after_the_outcome_is_refused_and_said_so(bank: Material, result: SetResult) -> None:
    assert "duration" in dict(result.refused)
    assert not any("duration" in name for name in bank.dataset.spec.names)


def test_the_base_rate_of_the_calls_moves_and_the_page_warns(result: SetResult) -> None:
    assert result.drift.base_rate_moved
    page = render_results([result], {"cdnow": "not there"}, world=0, budget=0.0, seconds=1.0)
    assert "warning" in page
    assert "not there: skipped" in page
    assert "http://" not in page
    assert "<script" not in page
    assert "recalibration" in markdown([result], {})


@pytest.mark.slow
def test_the_same_rows_give_the_same_numbers(bank: Material, result: SetResult) -> None:
    again = judge_set(bank, load_settings(), budget_seconds=0.0)
    assert again.comparison.models[OURS] == result.comparison.models[OURS]
    assert again.fingerprint == result.fingerprint


def test_no_person_of_a_panel_is_on_both_sides(tmp_path: Path) -> None:
    dataset = _material("hcp_detailing", tmp_path).dataset
    assert not set(dataset.root[dataset.train].tolist()) & set(dataset.root[dataset.judge].tolist())
    assert dataset.order[dataset.train].max() < dataset.order[dataset.judge].min()


def test_a_set_without_a_declared_column_is_an_error_that_names_it(tmp_path: Path) -> None:
    one = next(one for one in SETS if one.name == "bank_marketing")
    if missing_files(one, _data()):
        pytest.skip("needs the files of bank_marketing")
    lines = (_data() / one.needs[0]).read_text().splitlines()[:60]
    (tmp_path / "bank_marketing").mkdir()
    short = [",".join(line.split(",")[1:]) for line in lines]
    (tmp_path / one.needs[0]).write_text("\n".join(short) + "\n")
    with pytest.raises(InputInvalid, match="age"):
        material_of(one, tmp_path, tmp_path, load_settings())


def test_an_unknown_set_and_an_empty_folder_are_one_clear_line(tmp_path: Path) -> None:
    run = CliRunner()
    for arguments in (["--sets", "nowhere"], ["--data", str(tmp_path), "--sets", "cdnow", "--world", "0"]):
        found = run.invoke(app, ["benchmark", "models", *arguments])
        assert isinstance(found.exception, InputInvalid)


def test_the_inner_parts_of_a_search_are_later_and_of_other_accounts() -> None:
    rng = np.random.default_rng(0)
    order, fold, y = np.arange(2000.0), rng.integers(0, 5, 2000), rng.integers(0, 2, 2000).astype(float)
    for learn, judge in inner_parts(order, fold, y, 0.2):
        assert order[learn].max() < order[judge].min()
        assert not set((fold[learn] % 2).tolist()) & set((fold[judge] % 2).tolist())


def test_a_search_finds_the_same_settings_again_and_stops_at_its_trials(bank: Material) -> None:
    d = bank.dataset
    train = d.train
    given = (d.X[train], d.y[train], d.spec, d.segment[train], d.order[train], d.fold[train])
    predict, first = fit_tuned_lightgbm(*given, seconds=60.0, trials=3)
    again, second = fit_tuned_lightgbm(*given, seconds=60.0, trials=3)
    assert first == second
    assert first.trials == 3
    assert np.array_equal(predict(d.X[d.judge], d.segment[d.judge]), again(d.X[d.judge], d.segment[d.judge]))


def test_a_recalibrated_bundle_has_the_same_boosters_and_says_where_it_came_from(
    bank: Material, tmp_path: Path
) -> None:
    from datetime import UTC, datetime

    from models.bundle import read_bundle, write_bundle
    from models.segments.map import SegmentMap
    from training.drift.recalibrate import Recent, write_recalibrated
    from training.train import fit, golden_rows

    settings, d = load_settings(), bank.dataset
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    old = write_bundle(
        tmp_path / "old", fit(d, settings, d.train), d.spec, segment_map=SegmentMap.load(settings).to_json(),
        scorecard="{}", vocabularies=settings.vocabularies, as_of=instant, golden=golden_rows(d, 7),
    )  # fmt: skip
    recent = Recent(d.X[d.judge], np.ones(int(d.judge.sum())), d.segment[d.judge], d.order[d.judge], seen=False)
    new, found = write_recalibrated(old, recent, tmp_path / "new", as_of=instant, by="Ada")
    assert new.bundle_id != old.bundle_id
    assert new.readiness.texts == old.readiness.texts
    assert new.manifest.training["recalibrated_from"] == old.bundle_id
    assert found.predicted_after > found.predicted_before
    assert all(line.b > before.b for line, before in zip(new.readiness.lines, old.readiness.lines, strict=True))
    assert [line.a for line in new.readiness.lines] == [line.a for line in old.readiness.lines]
    assert read_bundle(tmp_path / "old").bundle_id == old.bundle_id
    json.dumps(found.record(), allow_nan=False)
    with pytest.raises(InputInvalid, match="40"):
        few = Recent(d.X[:10], d.y[:10], d.segment[:10], d.order[:10], seen=False)
        write_recalibrated(old, few, tmp_path / "few", as_of=instant)
