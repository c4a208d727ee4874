"""The challenger beside the champion: on rows that neither has seen, whatever the way to find them."""

from __future__ import annotations

import functools
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from configs.errors import BundleRefused, NotReady
from configs.settings import Settings, load_settings
from features.tables import Tables
from models.bundle import read_bundle
from training.evaluation.metrics import compare
from training.registry.approvals import approve
from training.registry.challenge import CHALLENGER, CHAMPION, Judgement, challenge, keep_judgement
from training.registry.champion import promote
from training.registry.gates import first_gate
from training.registry.history import read_history
from training.registry.lines import line_hash, read_line

AT = datetime(2026, 6, 30, tzinfo=UTC)


def judgement(y: np.ndarray[Any, Any], mine: object, theirs: object) -> Judgement:
    predictions = {CHALLENGER: np.broadcast_to(mine, len(y)), CHAMPION: np.broadcast_to(theirs, len(y))}
    found = compare(y, predictions, ours=CHALLENGER, cluster=np.arange(len(y)), replicates=200)  # type: ignore[arg-type]
    return Judgement("a" * 64, "b" * 64, "held-out lines", AT, "d", found, len(y))


def test_a_verdict_needs_outcomes_enough_and_an_interval_that_leaves_zero_out() -> None:
    y = np.array([1.0] * 30 + [0.0] * 70)
    # -(0.3 ln 0.3 + 0.7 ln 0.7) = 0.6109 and -ln 0.5 = 0.6931: every row of the rare kind costs more, the others less.
    record = judgement(y, 0.3, 0.5).record()
    assert record["log_loss"][CHALLENGER] == pytest.approx(0.6109, abs=1e-4)
    assert record["difference"]["value"] == pytest.approx(0.6109 - 0.6931, abs=1e-4)
    assert judgement(y, np.where(y > 0, 0.6, 0.2), 0.3).verdict == "better"
    assert judgement(y, 0.3, np.where(y > 0, 0.6, 0.2)).verdict == "worse"
    assert judgement(y, 0.3, 0.3).verdict == "within noise"
    few = np.array([1.0] * 19 + [0.0] * 70)
    assert judgement(few, np.where(few > 0, 0.9, 0.1), 0.3).verdict == "too few"


def points_alone(dataset: Any, *_: Any) -> dict[str, Any]:
    """The one rival that the first gate names; the others take a minute and nothing here asks for them."""
    from training.evaluation.baselines import fit_points

    fitted = fit_points(dataset.points[dataset.train], dataset.y[dataset.train])
    return {"points_scorecard": fitted(dataset.points[dataset.judge])}


@functools.cache
def world() -> tuple[Path, Tables, Settings, Settings]:
    """A small made world with two bundles: `champion`, which hardly learned anything, and `challenger`."""
    from features.intake.sources import find_files, read_tables
    from training.sample.world import make_sample
    from training.train import train

    folder = Path(tempfile.mkdtemp(prefix="leadwell-challenge-"))
    make_sample(2_000, 11, folder / "data")
    shipped = load_settings()
    tables = read_tables(find_files(folder / "data"), shipped, assets=shipped.assets, as_of=AT).tables
    made = []
    for name, rounds in (("champion", 1), ("challenger", 30)):
        pooled = shipped.training.pooled.model_copy(update={"rounds": rounds})
        update = {"pooled": pooled, "segment_min_rows": 10**6, "threads": 1}
        settings = shipped.model_copy(update={"training": shipped.training.model_copy(update=update)})
        with mock.patch("training.train.rivals", points_alone):
            train(tables, settings, AT, folder / name, by="Ada Trainer")
        made.append(settings)
    return folder, tables, made[0], made[1]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A copy of the world's artifacts in which the champion serves."""
    folder = world()[0]
    for name in ("champion", "challenger", "held_out", "trained_on"):
        shutil.copytree(folder / name, tmp_path / name)
    shutil.copy(folder / "erasure.key", tmp_path / "erasure.key")
    rules = load_settings().registry
    approve(tmp_path, tmp_path / "champion", by="Grace Reviewer", as_of=AT, rules=rules, despite_gate="first")
    asked = {"by": "Ada Trainer", "as_of": AT, "rules": rules, "despite_gate": "first"}
    promote(tmp_path, tmp_path / "champion", verify=read_bundle, **asked)  # type: ignore[arg-type]
    return tmp_path


@pytest.mark.slow
def test_bundles_of_the_same_data_are_judged_by_lines_that_never_saw_the_accounts(site: Path) -> None:
    _, tables, _, settings = world()
    found = challenge(site, site / "challenger", tables, settings, AT)
    assert found is not None and found.how == "held-out lines"
    bundle = read_bundle(site / "challenger")
    counts = bundle.manifest.training["counts"]
    # Whoever judged in training judges here: held-out accounts of the latest snapshot, and accounts nobody trained on.
    assert found.comparison.models[CHALLENGER].rows >= counts["judge"]
    assert found.comparison.models[CHALLENGER].rows < counts["judge"] + counts["time_only"]
    # Of the very rows that judged in training the challenger's line is as good as training said.
    line = read_line(site / "challenger", bundle)
    assert line_hash(line.readiness.to_files()) == bundle.manifest.training["held_out"]["line"]
    kept = keep_judgement(site, found, by="Ada Trainer", as_of=AT)
    assert kept.says["champion"] == read_bundle(site / "champion").bundle_id
    assert read_history(site).entries[-1] == kept


@pytest.mark.slow
def test_no_row_that_a_line_was_fitted_on_judges_it(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.registry.challenge as module

    _, tables, _, settings = world()
    judged: list[Any] = []

    def seeing(y: Any, predictions: Any, **named: Any) -> Any:
        judged.append(named["cluster"])
        return compare(y, predictions, **named)

    monkeypatch.setattr(module, "compare", seeing)
    challenge(site, site / "challenger", tables, settings, AT)
    bundle = read_bundle(site / "challenger")
    from features.evaluate import Domain
    from models.segments.map import SegmentMap
    from training.dataset.dataset import build_dataset

    segment_map = SegmentMap.from_json(bundle.segment_map, Domain.of(settings))
    dataset = build_dataset(tables, settings, segment_map, AT, spec=bundle.spec)
    assert not set(judged[0].tolist()) & set(dataset.root[dataset.train].tolist())


@pytest.mark.slow
def test_what_cannot_be_judged_says_why_and_what_would_help(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, tables, _, settings = world()
    assert challenge(site, site / "champion", tables, settings, AT) is None
    with pytest.raises(NotReady, match="expected data known at 2026-06-30T00:00:00Z or later"):
        challenge(site, site / "challenger", tables, settings, AT - timedelta(days=1))
    line = site / "held_out" / read_bundle(site / "challenger").bundle_id
    text = (line / "calibration.json").read_text()
    (line / "calibration.json").write_text(text.replace("1", "2", 1))
    with pytest.raises(BundleRefused, match="not the held-out line that the bundle's manifest names"):
        challenge(site, site / "challenger", tables, settings, AT)
    (line / "calibration.json").write_text(text)
    monkeypatch.setenv("LEADWELL_ERASURE_KEY_FILE", str(site / "other.key"))
    (site / "other.key").write_text("ab" * 32)
    with pytest.raises(BundleRefused, match="another erasure key"):
        challenge(site, site / "challenger", tables, settings, AT)
    monkeypatch.delenv("LEADWELL_ERASURE_KEY_FILE")
    shutil.rmtree(line)
    with pytest.raises(NotReady, match="train it again, or judge on data one horizon later"):
        challenge(site, site / "challenger", tables, settings, AT)
    (site / "champion").rename(site / "gone")
    with pytest.raises(NotReady, match="the champion's bundle is gone"):
        challenge(site, site / "challenger", tables, settings, AT)


@pytest.mark.slow
def test_data_one_horizon_later_judge_the_bundles_as_they_serve(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.registry.challenge as module

    _, tables, _, settings = world()
    real = module.read_bundle

    def older(folder: Path, **named: Any) -> Any:
        bundle = real(folder, **named)
        manifest = bundle.manifest.model_copy(update={"created_as_of": AT - timedelta(days=400)})
        return replace(bundle, manifest=manifest)

    monkeypatch.setattr(module, "read_bundle", older)
    # Nobody needs a held-out line for that.
    shutil.rmtree(site / "held_out")
    found = challenge(site, site / "challenger", tables, settings, AT)
    counts = real(site / "challenger").manifest.training["counts"]
    assert found is not None and found.how == "as served"
    assert found.comparison.models[CHALLENGER].rows == counts["judge"] + counts["time_only"]


@pytest.mark.slow
def test_answers_to_different_questions_are_not_compared(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.registry.challenge as module

    _, tables, _, settings = world()
    real = module.read_bundle

    def other(folder: Path, **named: Any) -> Any:
        bundle = real(folder, **named)
        if folder.name != "challenger":
            return bundle
        training = {**bundle.manifest.training, "horizon_days": 90}
        return replace(bundle, manifest=bundle.manifest.model_copy(update={"training": training}))

    monkeypatch.setattr(module, "read_bundle", other)
    with pytest.raises(BundleRefused, match="different questions"):
        challenge(site, site / "challenger", tables, settings, AT)


@pytest.mark.slow
def test_training_keeps_what_the_first_gate_asks_and_who_trained() -> None:
    folder, _, _, settings = world()
    for name in ("champion", "challenger"):
        bundle = read_bundle(folder / name)
        assert bundle.manifest.training["by"] == "Ada Trainer"
        against = bundle.manifest.training["held_out"]["against"]
        assert {"points_scorecard", "base_rate"} <= set(against)
        gate = first_gate(bundle, settings.registry.first_beats)
        ends = [against[name]["high"] < 0 for name in settings.registry.first_beats]
        assert gate.passed == all(ends)
    stub: Any = SimpleNamespace(manifest=SimpleNamespace(training={}))
    assert not first_gate(stub, settings.registry.first_beats).passed
