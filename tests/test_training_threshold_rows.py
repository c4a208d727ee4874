"""A bundle trained with declared thresholds answers by them; proposals are told by leads it never saw."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import ConfigInvalid, InputInvalid
from configs.settings import DEFAULTS, Settings, load_settings
from configs.thresholds import ThresholdRule, ThresholdSettings
from features.intake.sources import find_files, read_tables
from features.tables import Tables
from models.bundle import read_bundle
from training.dataset.dataset import Dataset
from training.sample.world import make_sample
from training.thresholds.proposal import rule_of, with_rule, yaml_text
from training.thresholds.rows import answers, hold_out
from training.thresholds.thresholds import ALL, choose_thresholds, held_of
from training.train import Trained, train

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    tables: Tables
    settings: Settings
    trained: Trained


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("thresholds")
    make_sample(1000, 5, folder / "data")
    shipped = load_settings()
    few = {
        "pooled": shipped.training.pooled.model_copy(update={"rounds": 15, "learning_rate": 0.15}),
        "segment_min_rows": 10_000,
        "folds": 2,
        "snapshots": 2,
    }
    rules = ThresholdSettings.model_validate(
        {"min_rows": 20, "min_above": 2, "all": {"capacity": 40}, "segments": {"unsegmented": {"value": 10, "cost": 2}}}
    )
    settings = shipped.model_copy(update={"training": shipped.training.model_copy(update=few), "thresholds": rules})
    tables = read_tables(find_files(folder / "data"), settings, assets=settings.assets, as_of=AS_OF).tables
    return World(tables, settings, train(tables, settings, AS_OF, folder / "bundle"))


@pytest.mark.slow
def test_the_bundle_that_serves_answers_by_the_cuts_that_were_declared(world: World) -> None:
    chosen = world.trained.thresholds
    assert chosen is not None and chosen.declared
    read = read_bundle(world.trained.folder).readiness
    assert {name: dict(cut) for name, cut in read.bands.items()} == {
        name: dict(cut) for name, cut in chosen.cuts.items()
    }
    dataset = world.trained.dataset
    scores = read.predict(dataset.X, dataset.segment)
    own = dataset.segment == dataset.segment_ids.index("unsegmented")
    for rows, cut in ((own, 0.2), (~own, chosen.cuts["default"]["hot"])):
        known = rows & (scores.band > 0)
        assert known.any() and np.array_equal(scores.band[known] == 4, scores.probability[known] >= cut)
    told = read_bundle(world.trained.folder).manifest.training["thresholds"]
    assert told == json.loads(json.dumps(chosen.record())) and told["declared"]


@pytest.mark.slow
def test_held_out_leads_stand_for_all_leads_of_a_month(world: World) -> None:
    trained = world.trained
    scores = trained.judged.predict(
        trained.dataset.X[trained.dataset.judge], trained.dataset.segment[trained.dataset.judge]
    )
    held = held_of(trained.dataset, scores, world.settings)
    history = trained.dataset.history
    assert history is not None and len(held.y) == trained.dataset.judge.sum()
    assert held.volume.sum() == pytest.approx(history.leads * 365.25 / 12 / 60)
    hot = trained.thresholds.group(ALL).band("hot") if trained.thresholds is not None else None
    assert hot is not None and 0 < (hot.brings.volume.value or 0) <= 40


@pytest.mark.slow
def test_a_bundle_is_asked_by_its_held_out_line_of_leads_it_never_saw(world: World) -> None:
    found = hold_out(world.tables, world.settings, AS_OF, bundle=world.trained.folder)
    assert found.hot_now is not None and found.hot_now["unsegmented"] == 0.2
    # On the same day exactly the leads that judged are new, and the same cuts come out.
    assert len(found.held.y) == world.trained.dataset.judge.sum()
    again = choose_thresholds(found.held, world.settings)
    assert world.trained.thresholds is not None and again.cuts == world.trained.thresholds.cuts


@pytest.mark.slow
def test_what_sales_said_is_read_from_the_horizon_after_the_snapshot_alone(world: World) -> None:
    dataset = world.trained.dataset
    kinds = world.settings.vocabularies["outcome_kind"]
    first, second, third = np.flatnonzero(dataset.judge)[:3].tolist()
    leads = dataset.lead[[first, first, second, third]]
    day = 86_400_000_000
    snapshot = int(AS_OF.timestamp() * 1_000_000) - 60 * day
    at = np.array([snapshot + day, snapshot + 2 * day, snapshot + day, snapshot - day], dtype=np.int64)
    outcomes = {
        "lead": leads.astype(np.int32),
        "kind": np.array([kinds.code(kind) for kind in ("rejected", "sal", "rejected", "rejected")], dtype=np.uint16),
        "occurred_at": at,
        "recorded_at": at,
    }
    found = answers(replace(world.tables, outcomes=outcomes), world.settings, dataset, AS_OF)
    assert found[:3].tolist() == [1, 0, -1] and np.all(found[3:] == -1)


def _adopted(tmp_path: Path, text: str) -> Settings:
    folder = tmp_path / "configs"
    shutil.copytree(DEFAULTS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "thresholds.yaml").write_text(text, encoding="utf-8")
    return load_settings(folder)


def test_the_proposed_file_reads_back_as_what_was_proposed(tmp_path: Path) -> None:
    settings = with_rule(load_settings(), "unsegmented", rule_of(12.5, 4000, 250), 1500)
    settings = with_rule(settings, "", ThresholdRule.model_validate({"capacity": {"hot": 30, "warm": 60}}))
    held: Any = _nobody(settings)
    text = yaml_text(settings.thresholds, choose_thresholds(held, settings), "Proposed.")
    assert _adopted(tmp_path, text).thresholds == settings.thresholds


def _nobody(settings: Settings) -> Any:
    from training.thresholds.thresholds import Held

    none = np.zeros(0)
    codes = np.zeros(0, dtype=np.int64)
    return Held(
        none, none, np.zeros(0, dtype=np.bool_), codes, codes, none, none, np.zeros(0, dtype=np.int8),
        tuple(one.id for one in settings.segments), True, "nobody",
    )  # fmt: skip


def test_the_shipped_file_declares_nothing() -> None:
    assert not load_settings().thresholds.declared


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("segments: {nobody_knows: {capacity: 3}}", "segments.nobody_knows", "no segment is named"),
        ("segments: {unsegmented: {}}", "segments.unsegmented", "leave the segment out"),
        ("all: {value: 100}", "all", "value and cost together"),
        ("all: {value: 100, cost: 100}", "all", "cost below the value"),
        ("all: {capacity: 0}", "all.capacity.hot", "greater than 0"),
        ("all: {capacity: {hot: 3, warming: 4}}", "all.capacity", "expected warm"),
        ("all: {capacity: {warm: 3}}", "all.capacity.hot", "required"),
        ("al: {capacity: 3}", "al", "not permitted"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_what_is_expected(
    tmp_path: Path, text: str, key: str, said: str
) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        _adopted(tmp_path, text + "\n")
    (problem,) = refused.value.problems
    assert (problem.file, problem.key) == ("thresholds.yaml", key) and said in problem.expected


def test_a_wrong_question_is_refused_by_name() -> None:
    for asked, said in (((None, 5, None), "together"), ((None, 5, 9), "below"), ((-1, None, None), "greater than 0")):
        with pytest.raises(InputInvalid, match=said):
            rule_of(*asked)
    with pytest.raises(InputInvalid, match="no segment is named 'nobody'"):
        with_rule(load_settings(), "nobody", rule_of(3, None, None))


def test_a_row_of_a_segment_stands_for_as_many_leads_as_its_segment_has() -> None:
    """Two held-out accounts of four: nurses 1 of 3 leads is held out, buyers 2 of 3; the third segment has no row."""
    settings = with_rule(load_settings(), "", rule_of(None, None, None), 700)
    segment = np.array([0, 0, 0, 1, 1, 1, 2])
    judge = np.array([True, False, False, True, True, False, False])
    rows = len(segment)
    fields = dict.fromkeys(Dataset.__dataclass_fields__)
    dataset = Dataset(
        **{
            **fields, "segment_ids": ("nurses", "buyers", "others"), "y": np.zeros(rows), "segment": segment,
            "root": np.arange(rows), "judge": judge, "time_only": ~judge,
        }  # type: ignore[arg-type]
    )  # fmt: skip
    scores: Any = type("Scores", (), {"probability": np.full(3, 0.2), "band": np.ones(3)})
    held = held_of(dataset, scores, settings)
    # 700 leads, half nurses and half buyers: 350 by one row, and 175 by each of two.
    assert held.volume.tolist() == [350.0, 175.0, 175.0] and held.timed
