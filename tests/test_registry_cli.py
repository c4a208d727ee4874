"""`leadwell promote`, `rollback` and `registry ...` as a person meets them."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli.registry
import cli.registry_history
from cli.app import app
from configs.errors import LeadwellError, NotReady, TrackingFailed
from models.bundle import read_bundle
from training.registry.history import HISTORY_FILE, writing

AT = datetime(2026, 7, 1, 8, tzinfo=UTC)
# They share a trained bundle, which takes longer to make than all of them.
pytestmark = pytest.mark.slow


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The clock of the commands; a test moves it."""
    now = [AT]
    for module in (cli.registry, cli.registry_history):
        monkeypatch.setattr(module, "chosen", lambda *_: now[0])
    return now


@pytest.fixture
def site(small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of artifacts with one bundle, in which nothing is tried in a child."""
    monkeypatch.setattr("training.registry.champion.try_in_child", lambda folder: None)
    shutil.copytree(small_world / "bundle", tmp_path / "one")
    other = shutil.copytree(small_world / "bundle", tmp_path / "two")
    manifest = other / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"passed": true', '"passed": true, "note": 1'))
    return tmp_path


def run(site: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--artifacts", str(site)], env={"COLUMNS": "200"})
    if isinstance(done.exception, LeadwellError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def approved_and_promoted(site: Path, name: str) -> str:
    folder, why = str(site / name), "a world too small to tell"
    run(site, "registry", "approve", "--bundle", folder, "--by", "Grace Reviewer", "--despite-gate", why)
    return run(site, "promote", "--bundle", folder, "--by", "Ada Trainer", "--despite-gate", why)


def test_two_persons_let_a_bundle_serve_and_history_answers_for_a_day(site: Path, clock: list[datetime]) -> None:
    one, two = (read_bundle(site / name).bundle_id for name in ("one", "two"))
    said = approved_and_promoted(site, "one")
    assert "let pass  later data" in said and "passed  approval: approved by Grace Reviewer" in said
    clock[0] = AT + timedelta(days=3)
    approved_and_promoted(site, "two")
    clock[0] = AT + timedelta(days=5)
    assert one[:12] in run(site, "rollback", "--by", "Night Shift")
    ids = [line.split()[4] for line in run(site, "registry", "history").splitlines()[2:4]]
    assert ids == [one[:12], two[:12]]
    # The third of July belongs to one bundle, the fourth to both: it was switched at eight.
    on = ("2026-07-03", "2026-07-04")
    asked = {day: json.loads(run(site, "registry", "history", "--on", day, "--json")) for day in on}
    assert [span["bundle_id"] for span in asked["2026-07-03"]] == [one]
    assert [span["bundle_id"] for span in asked["2026-07-04"]] == [one, two]
    (now,) = json.loads(run(site, "registry", "history", "--on", "2026-08-01", "--json"))
    assert (now["bundle_id"], now["how"], now["asked_by"]) == (one, "rollback", "Night Shift")
    assert now["approved_by"] == ["Grace Reviewer"] and now["versions"]["features"]
    words = run(site, "registry", "history", "--on", "2026-07-02")
    assert one in words and "Ada Trainer" in words and "Grace Reviewer" in words
    assert "no champion" not in words and "nothing served" in run(site, "registry", "history", "--on", "2026-06-01")


def test_a_correction_changes_what_is_answered_and_not_what_was_known(site: Path, clock: list[datetime]) -> None:
    approved_and_promoted(site, "one")
    clock[0] = AT + timedelta(days=20)
    span = ("--from", "2026-07-05", "--until", "2026-07-07", "--by", "Ada Trainer", "--reason", "outage INC-12")
    assert "nothing served in that span" in run(site, "registry", "correct", *span)
    on = ("registry", "history", "--on", "2026-07-06T12:00:00Z", "--json")
    assert json.loads(run(site, *on))[0]["bundle_id"] is None
    assert json.loads(run(site, *on, "--known", "2026-07-10"))[0]["bundle_id"] == read_bundle(site / "one").bundle_id
    listed = run(site, "registry", "history", "--all")
    assert [word for word in ("approved", "served", "corrected") if word in listed] == [
        "approved",
        "served",
        "corrected",
    ]
    assert len(json.loads(run(site, "registry", "history", "--all", "--json", "--known", "2026-07-10"))) == 2


def test_verify_names_what_was_edited(site: Path, clock: list[datetime]) -> None:
    approved_and_promoted(site, "one")
    assert "2 entries hold; champion" in run(site, "registry", "verify")
    file = site / HISTORY_FILE
    file.write_text(file.read_text().replace("Ada Trainer", "Eve Trainer", 1))
    with pytest.raises(LeadwellError, match="was changed"):
        run(site, "registry", "verify")


def test_a_withdrawn_champion_is_told_and_the_way_back_is_named(site: Path, clock: list[datetime]) -> None:
    approved_and_promoted(site, "one")
    bundle_id = read_bundle(site / "one").bundle_id
    said = run(site, "registry", "withdraw", bundle_id[:8], "--by", "Grace Reviewer", "--reason", "wrong card")
    assert "serves on until it is replaced" in said and "leadwell rollback" in said
    with pytest.raises(NotReady, match="the first one"):
        run(site, "rollback", "--by", "Grace Reviewer")


def test_a_killed_run_is_told_by_history_and_verify(site: Path, clock: list[datetime]) -> None:
    approved_and_promoted(site, "one")
    with writing(site, AT) as ledger:
        says = {"path": "two", "how": "promote", "served_from": "2026-07-02T00:00:00Z"}
        ledger.append("served", by="Ada Trainer", bundle_id="t" * 64, as_of=AT, says=says, close=False)
    assert "killed before the switch" in run(site, "registry", "verify")
    assert "a run was killed in the middle" in run(site, "registry", "history")


def test_a_challenge_without_a_champion_has_nothing_to_beat(
    site: Path, clock: list[datetime], small_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run(site, "registry", "challenge", "--bundle", str(site / "one"), "--data", str(small_world / "data"))
    assert "nothing to beat" in said and "registry approve" in said


def test_a_training_that_mlflow_does_not_take_names_the_command_and_no_password(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(*_: Any, **__: Any) -> None:
        raise TrackingFailed("MLflow at http://mlflow.example could not be read or written")

    monkeypatch.setattr("training.record.log_training", silent)
    trained: Any = type("Trained", (), {"folder": site / "one"})()
    settings: Any = None
    assert not cli.registry.logged(trained, settings, site, "x", "http://ada:secret@mlflow.example")
    said = capsys.readouterr().out.replace("\n", "")
    assert "leadwell registry log --bundle" in said and "secret" not in said
