"""The table of assignments: written by a rescore, read back by training, and what learning from it changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from configs.errors import InputInvalid
from configs.settings import load_settings
from features.intake.sources import find_files, read_tables
from models.segments.map import SegmentMap
from serving.rescore import rescore
from training.dataset.dataset import build_dataset, snapshot_days
from training.experiments.selection import corrected

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


def test_a_rescore_writes_assignments_that_are_read_back_and_a_replay_writes_none(
    small_world: Path, tmp_path: Path
) -> None:
    settings = load_settings()
    files = find_files(small_world / "data")
    asked = {name: path for name, path in files.items() if name not in ("outcomes", "campaigns", "assets")}
    rescore(asked, small_world / "bundle", settings, tmp_path / "scores", AS_OF, workers=1, partitions=2)
    written = pq.read_table(tmp_path / "scores" / "assignments")
    decided = pq.read_table(tmp_path / "scores" / "decisions")
    assert sorted(written["lead_id"].to_pylist()) == sorted(decided["lead_id"].to_pylist())
    intake = read_tables(
        {**files, "assignments": tmp_path / "scores" / "assignments"}, settings, assets=settings.assets, as_of=AS_OF
    )
    assert intake.counts["assignments"].used == written.num_rows == len(decided) and not intake.rejects.num_rows
    read = intake.tables.assignments
    arms = dict(zip(intake.tables.lead_ids[read["lead"]].tolist(), read["arm"].tolist(), strict=True))
    assert arms == dict(zip(decided["lead_id"].to_pylist(), decided["arm"].to_pylist(), strict=True))
    before = datetime(2026, 6, 1, tzinfo=UTC)
    rescore(asked, small_world / "bundle", settings, tmp_path / "old", before, now=AS_OF, workers=1)
    assert not (tmp_path / "old" / "assignments").exists()


def test_only_leads_that_sales_worked_on_are_learned_from_where_only_they_have_outcomes(tmp_path: Path) -> None:
    from training.sample.world import make_sample

    make_sample(1_500, 9, tmp_path / "data")
    settings = load_settings()
    tables = read_tables(find_files(tmp_path / "data"), settings, assets=settings.assets, as_of=AS_OF).tables
    dataset = build_dataset(tables, settings, SegmentMap.load(settings), AS_OF)
    assert corrected(dataset, tables, settings, AS_OF)[0] is dataset  # as shipped, outcomes are of everybody
    only = settings.model_copy(
        update={"exploration": settings.exploration.model_copy(update={"labels": "handed_over"})}
    )
    with pytest.raises(InputInvalid, match="labels: handed_over"):
        corrected(dataset, tables, only, AS_OF)
    days = snapshot_days(settings, AS_OF)
    n = len(tables.lead_ids)
    even = np.arange(n) % 2 == 0
    at = np.array([int(day.timestamp() * 1e6) for day in days]).repeat(n)
    assigned = replace(
        tables,
        assignments={
            "lead": np.tile(np.arange(n, dtype=np.int32), len(days)),
            "assigned_at": at,
            "recorded_at": at,
            "handed_over": np.tile(np.where(even, 2, 1).astype(np.uint8), len(days)),
            "handover_propensity": np.tile(np.where(np.arange(n) % 4 == 0, 0.9, 0.1), len(days)),
        },
    )
    found, selection = corrected(dataset, assigned, only, AS_OF)
    assert selection is not None and found.weights is not None
    worked = dataset.lead % 2 == 0
    assert ((found.weights > 0) == worked).all()
    assert not (found.train & ~worked).any() and not (found.judge & ~worked).any()
    # One in ten stands for nine times as many as nine in ten do, and the shipped power takes the root of that.
    assert found.weights[dataset.lead % 4 == 2].mean() / found.weights[dataset.lead % 4 == 0].mean() == pytest.approx(3)
    assert found.counts["nobody worked on the lead, so nothing is known of it"] == int((~worked).sum())
