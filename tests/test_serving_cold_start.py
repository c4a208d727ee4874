"""Before there is a model the points say the band, online as in batch, and nobody claims a probability."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from configs.points import ScorecardSettings
from configs.settings import load_settings
from features.intake.sources import find_files, read_tables
from serving.columns import crm_table, decision_table
from serving.decide import Decider, Decisions
from serving.recorded import audit_record
from serving.render import render
from training.scorecards.cold_start import write_cold_bundle

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


@cache
def decided(data: Path, folder: Path) -> Decisions:
    settings = load_settings()
    write_cold_bundle(settings, AS_OF, folder)
    tables = read_tables(find_files(data), settings, assets=settings.assets, as_of=AS_OF).tables
    return Decider.load(folder, settings, on=AS_OF.date()).decide(tables, AS_OF)


@pytest.fixture
def decisions(small_world: Path) -> Decisions:
    return decided(small_world / "data", small_world / "cold")


def test_the_band_is_that_of_the_grid_and_no_number_is_claimed(decisions: Decisions) -> None:
    grid = load_settings().scorecard
    bands = set()
    for row in range(len(decisions)):
        answer = render(decisions, row)
        readiness = answer["readiness"]
        if readiness["reason"] == "NO_SCORE":
            continue
        assert (readiness["probability"], readiness["interval"], readiness["drivers"]) == (None, None, [])
        assert readiness["model"] == "scorecard"
        if readiness["reason"] == "COLD_START":
            assert readiness["band"] == grid.band(answer["fit"]["grade"], answer["engagement"]["grade"])
        else:
            assert readiness["band"] == "unknown"
        bands.add(readiness["band"])
    assert len(bands) > 2


def test_batch_says_what_the_answer_says_and_leaves_numbers_empty(decisions: Decisions) -> None:
    table = decision_table(decisions)
    for row, found in enumerate(table.to_pylist()):
        answer = render(decisions, row)
        assert found["band_reason"] == answer["readiness"]["reason"]
        assert found["model"] == answer["readiness"]["model"]
        assert [found["fit_grade"], found["engagement_grade"]] == [
            answer["fit"]["grade"],
            answer["engagement"]["grade"],
        ]
        assert found["band"] == answer["readiness"]["band"]
        assert found["probability"] is found["lower"] is found["log_odds"] is None
        assert found["drivers"] == []
    crm = crm_table(table)
    for name in ("band_reason", "fit_grade", "engagement_grade"):
        assert crm[name].to_pylist() == table[name].to_pylist()
    assert "COLD_START" in crm["band_reason"].to_pylist()


def test_the_audit_keeps_no_number_either(decisions: Decisions) -> None:
    rendered = {**render(decisions, 0), "audit_id": "0" * 32}
    assert audit_record(decisions, 0, rendered, "subject", AS_OF)["detail"]["probability"] is None


def test_permissions_are_the_same_with_and_without_a_model(small_world: Path, decisions: Decisions) -> None:
    settings = load_settings()
    tables = read_tables(find_files(small_world / "data"), settings, assets=settings.assets, as_of=AS_OF).tables
    learned = Decider.load(small_world / "bundle", settings, on=AS_OF.date()).decide(tables, AS_OF)
    assert (learned.rulings.permitted == decisions.rulings.permitted).all()


def test_a_grid_in_which_a_better_grade_has_a_lower_band_is_refused() -> None:
    card = load_settings().scorecard.model_dump()
    with pytest.raises(ValueError, match="a better grade never has a lower band"):
        ScorecardSettings.model_validate({**card, "bands": {"hot": ["B1"], "warm": ["A1"]}})
    with pytest.raises(ValueError, match="expected each cell of the grid once"):
        ScorecardSettings.model_validate({**card, "bands": {"hot": ["A1", "Z9"]}})


def test_who_only_serves_loads_no_library_that_trains() -> None:
    asks = "import sys, serving.start, serving.rescore; print(*{'lightgbm', 'sklearn', 'pandas'} & {*sys.modules})"
    root = Path(__file__).parent.parent
    told = subprocess.run([sys.executable, "-c", asks], cwd=root, capture_output=True, text=True, check=True)
    assert told.stdout.split() == []
