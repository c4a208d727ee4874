"""What needs the data beside the results: predictions judged by what happened, and the inputs computed again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree, ignore_patterns

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import BundleRefused, ConfigInvalid
from configs.monitoring import AlertRule
from configs.settings import DEFAULTS, load_settings
from training.monitoring.compare import monitor
from training.monitoring.outcomes import Outcomes, bins_of, calibration_watches
from training.monitoring.results import open_result

APRIL, JUNE_30 = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 6, 30, tzinfo=UTC)
LEADS = 400


def night(folder: Path, as_of: datetime, probability: float, *, leads: int = LEADS, bundle: str = "b" * 64) -> Path:
    """A result that predicts the same for everybody, one lead to an account; the last lead has no prediction."""
    (folder / "decisions").mkdir(parents=True)
    rows = pa.table(
        {
            "lead_id": [f"L{at:04d}" for at in range(leads)],
            "band": ["hot" if at % 2 else "cold" for at in range(leads - 1)] + ["unknown"],
            "probability": pa.array([probability] * (leads - 1) + [None], pa.float64()),
            "primary_segment": ["unsegmented"] * leads,
        }
    )
    pq.write_table(rows, folder / "decisions" / "part-00000.parquet")
    manifest = {"as_of": as_of.isoformat(), "leads": leads, "replay": False, "bundle": bundle}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def outcomes(folder: Path, reached: int, *, late: bool = False) -> Path:
    """Data in which the first so many leads had a meeting 10 days after the first of April, or hear of it too late."""
    folder.mkdir(parents=True)
    met = APRIL + timedelta(days=10)
    created = pa.array([APRIL - timedelta(days=90)] * LEADS, pa.timestamp("us", "UTC"))
    ids = [f"L{at:04d}" for at in range(LEADS)]
    pq.write_table(pa.table({"lead_id": ids, "created_at": created, "recorded_at": created}), folder / "leads.parquet")
    known = pa.array([JUNE_30 + timedelta(days=1) if late else met] * reached, pa.timestamp("us", "UTC"))
    happened = pa.array([met] * reached, pa.timestamp("us", "UTC"))
    pq.write_table(
        pa.table(
            {"lead_id": ids[:reached], "kind": ["meeting"] * reached, "occurred_at": happened, "recorded_at": known}
        ),
        folder / "outcomes.parquet",
    )
    return folder


def test_a_prediction_is_judged_by_what_happened_within_its_horizon_by_hand(tmp_path: Path) -> None:
    old = night(tmp_path / "old", APRIL, 0.5)
    data = outcomes(tmp_path / "data", 100)
    found = monitor([old, night(tmp_path / "new", JUNE_30, 0.5)], load_settings(), data=data)
    gap = next(watch for watch in found.watches if watch.kind == "calibration" and watch.name == "everybody")
    # 399 leads have a prediction of one half; 100 of them met: 50 % predicted, 25.06 % came.
    assert (gap.earlier, gap.later, gap.of) == (0.5, pytest.approx(100 / 399), (399, 399))
    # Residuals have a standard deviation of sqrt(.2506 * .7494) = .4334, so .4334 / sqrt(399) = .0217; three questions
    # at once (everybody, two bands; all one segment, which is asked too: four) take 2.498 of them.
    assert gap.high is not None and gap.high - gap.change == pytest.approx(2.498 * 0.0217, rel=0.01)
    assert gap.beyond
    assert [alert.owner for alert in found.alerts] == ["data science"]
    assert found.calibration[0][1] == "399 judged, 1 without a prediction"


def test_a_true_prediction_is_not_called_false(tmp_path: Path) -> None:
    old = night(tmp_path / "old", APRIL, 0.25)
    found = monitor(
        [old, night(tmp_path / "new", JUNE_30, 0.25)], load_settings(), data=outcomes(tmp_path / "data", 100)
    )
    everybody = next(watch for watch in found.watches if watch.name == "everybody")
    assert not everybody.beyond and "fits" in everybody.says


def test_what_was_recorded_after_the_later_night_did_not_happen_yet(tmp_path: Path) -> None:
    old = night(tmp_path / "old", APRIL, 0.5)
    data = outcomes(tmp_path / "data", 100, late=True)
    found = monitor([old, night(tmp_path / "new", JUNE_30, 0.5)], load_settings(), data=data)
    assert next(watch for watch in found.watches if watch.name == "everybody").later == 0.0


def test_a_horizon_that_is_not_over_judges_nobody_and_says_when_it_will(tmp_path: Path) -> None:
    folders = [night(tmp_path / "old", JUNE_30 - timedelta(days=7), 0.5), night(tmp_path / "new", JUNE_30, 0.5)]
    found = monitor(folders, load_settings(), data=outcomes(tmp_path / "data", 100))
    assert not any(watch.kind == "calibration" for watch in found.watches)
    assert any("can be judged yet; the first can on" in text for text in found.words)


def test_too_few_outcomes_judge_nothing(tmp_path: Path) -> None:
    data = outcomes(tmp_path / "data", 8)
    judged = Outcomes(data, load_settings(), JUNE_30).judge(open_result(night(tmp_path / "old", APRIL, 0.02)))
    assert judged is not None
    # 8 happened, 399 * 0.02 = 8 were expected: below 20 nothing is said.
    assert calibration_watches(judged, 20) == []
    assert [(one.leads, one.happened) for one in bins_of(judged)] == [(399, 8)]


@pytest.mark.slow
def test_inputs_are_computed_with_the_bundle_that_decided_and_with_no_other(tmp_path: Path, small_world: Path) -> None:
    from models.bundle import read_bundle

    bundle, data = small_world / "bundle", small_world / "data"
    served = read_bundle(bundle).bundle_id
    days = (JUNE_30 - timedelta(days=7), JUNE_30)
    nights = [night(tmp_path / str(at), day, 0.5, bundle=served) for at, day in enumerate(days)]
    found = monitor(nights, load_settings(), data=data, bundle=bundle)
    inputs = {watch.name: watch for watch in found.watches if watch.kind == "input"}
    spec = read_bundle(bundle).spec
    assert set(spec.names[: len(spec.features)]) <= set(inputs)
    # Every lead that was known is in exactly one bin of each input.
    assert all(abs(sum(before for _, before, _ in watch.levels) - 1) < 1e-9 for watch in inputs.values())
    with pytest.raises(BundleRefused, match="was decided with"):
        monitor([nights[0], night(tmp_path / "other", JUNE_30, 0.5)], load_settings(), data=data, bundle=bundle)


def test_the_command_ends_with_1_where_somebody_has_to_look_and_strictly_asked(tmp_path: Path) -> None:
    folders = [night(tmp_path / "old", APRIL, 0.5), night(tmp_path / "new", JUNE_30, 0.5)]
    words = ["monitor", *map(str, folders), "--data", str(outcomes(tmp_path / "data", 100))]
    run = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "page.html")], env={"COLUMNS": "140"})
    assert run.exit_code == 0, run.output
    assert "data science" in run.output and "leadwell recalibrate" in run.output
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<svg") >= 2
    strict = CliRunner().invoke(app, [*words, "--strict", "--json"])
    assert strict.exit_code == 1
    assert json.loads(strict.output)["alerts"][0]["rule"] == "predictions_off"
    calm = CliRunner().invoke(app, ["monitor", str(folders[0]), "--strict"])
    assert calm.exit_code == 0 and "Nothing to compare it with" in calm.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "page.pdf"], "ends in .html or .json"),
        (["--bundle", "b"], "--data"),
    ],
)
def test_a_mistake_of_the_command_line_is_one_clear_line(tmp_path: Path, words: list[str], says: str) -> None:
    run = CliRunner().invoke(app, ["monitor", str(night(tmp_path / "old", APRIL, 0.5)), *words])
    assert run.exit_code != 0
    assert says in str(run.exception)


def test_alerts_name_what_exists_and_have_a_limit_that_fits_what_they_watch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="limit of psi"):
        AlertRule(id="one", watch="input", owner="x", says="y", points=1)
    with pytest.raises(ValueError, match="no direction"):
        AlertRule(id="one", watch="input", owner="x", says="y", psi=0.1, direction="up")
    folder = tmp_path / "configs"
    copytree(DEFAULTS, folder, ignore=ignore_patterns("*.py", "__pycache__"))
    (folder / "monitoring.yaml").write_text(
        "alerts:\n"
        "- {id: twice, watch: segment, only: [nowhere], points: 1, owner: x, says: y}\n"
        "- {id: twice, watch: rule, only: [email NO-RULE], points: 1, owner: x, says: y}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigInvalid) as wrong:
        load_settings(folder)
    text = str(wrong.value)
    assert "no segment is named 'nowhere'" in text and "expected each id once" in text and "email NO-RULE" in text
