"""The gate inside training and in the terminal: what fails leaves nothing behind, what somebody insists on is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import LeakageFound
from configs.mapping import SourceMapping
from configs.settings import Settings, load_settings, load_source
from features.intake.flat import read_flat
from features.intake.sources import Intake
from models.bundle import read_bundle
from training.leakage.gate import Despite
from training.train import train_flat

MAPPING = """
name: mine
says: made by hand
lead_id: Id
order_by: Number
as_of: 2026-06-30T00:00:00Z
outcome: Won
outcome_true: ["1"]
outcome_false: ["0"]
attributes:
  - {column: visits, type: number, known_at: before_outcome}
  - {column: status, type: category, known_at: before_outcome}
constants: {audience: buyer, country: US}
complete: [suppressions, touches, cases]
"""


def export(folder: Path, *, leak: bool) -> tuple[Path, Path]:
    """A mapping and an export of 400 rows; every third wins, and with a leak the status says which."""
    rows = ["Id,Number,visits,status,Won"]
    for i in range(400):
        won = i % 3 == 0
        status = ("signed" if won else "open") if leak else ("blue", "red")[i % 2]
        rows.append(f"L{i},{i},{(i * 7) % 11 + 3 * won},{status},{int(won)}")
    (folder / "leads.csv").write_text("\n".join(rows) + "\n")
    (folder / "mine.yaml").write_text(MAPPING)
    return folder / "mine.yaml", folder / "leads.csv"


def quick() -> Settings:
    shipped = load_settings()
    few = shipped.training.pooled.model_copy(update={"rounds": 5})
    training = shipped.training.model_copy(update={"pooled": few, "threads": 1, "holdout_share": 0.3, "folds": 3})
    return shipped.model_copy(update={"training": training})


def read(folder: Path, settings: Settings, *, leak: bool) -> tuple[SourceMapping, Intake]:
    source, leads = export(folder, leak=leak)
    mapping = load_source(source)
    return mapping, read_flat(mapping, leads, settings, training=True)


def test_training_on_a_leak_is_refused_by_name_and_leaves_no_bundle(tmp_path: Path) -> None:
    settings = quick()
    mapping, intake = read(tmp_path, settings, leak=True)
    with pytest.raises(LeakageFound, match="export, column status: TARGET_IN_DISGUISE: alone it tells"):
        train_flat(intake, settings, mapping, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_what_somebody_insists_on_is_trained_and_kept_with_the_bundle(tmp_path: Path) -> None:
    settings = quick()
    mapping, intake = read(tmp_path, settings, leak=True)
    despite = Despite("the status is set by the form, not by sales", "Ada Example")
    trained = train_flat(intake, settings, mapping, tmp_path / "bundle", despite=despite)
    assert {leak.id for leak in trained.leakage.failures} >= {"TARGET_IN_DISGUISE"}
    kept = read_bundle(tmp_path / "bundle").manifest.training["leakage"]
    assert kept["despite"] == {"reason": despite.reason, "by": despite.by}
    assert {(found["id"], found["column"]) for found in kept["found"]} >= {("TARGET_IN_DISGUISE", "status")}
    assert "JOINTLY_TOO_GOOD" in kept["looked"]


@pytest.mark.parametrize("leak", [True, False])
def test_the_command_says_what_would_stop_training_and_exits_accordingly(tmp_path: Path, leak: bool) -> None:
    source, leads = export(tmp_path, leak=leak)
    given = ["leaks", "--source", str(source), "--leads", str(leads), "--quick"]
    shown = CliRunner().invoke(app, given, env={"COLUMNS": "160"})
    assert shown.exit_code == int(leak)
    assert ("TARGET_IN_DISGUISE" in shown.output) == leak
    assert ("Next: leadwell train" in shown.output) == (not leak)
    as_json = json.loads(CliRunner().invoke(app, [*given, "--json"]).output)
    assert [found["column"] for found in as_json["found"]] == ["status"] * leak
    assert "TARGET_IN_DISGUISE" in as_json["looked"]
