"""The follow-ups of a rescored result, from a table made by hand, and the two commands."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import InputInvalid
from serving.nurture.due import nurture_due

# lead, by, track, step, exit, action
ROWS = [
    ("L1", "2026-06-28", "device_ladder", "education", None, "none"),
    ("L2", "2026-06-29", "device_ladder", "evaluation", None, "send_guide"),
    ("L3", "2026-07-02", "post_event", "education", None, "send_agenda"),
    ("L4", "2026-06-30", "device_ladder", "education", None, "none"),
    ("L5", None, "device_ladder", "education", None, "send_overview"),
    ("L6", None, None, None, "meeting", "owner_follow_up"),
]


@pytest.fixture
def result(tmp_path: Path) -> Path:
    names = ("lead_id", "nurture_follow_up_by", "nurture_track", "nurture_step", "nurture_exit", "action")
    columns = {name: pa.array([row[n] for row in ROWS], pa.string()) for n, name in enumerate(names)}
    for name in ("nurture_layer", "action_channel", "asset_id", "primary_segment", "queue", "nurture_not_before"):
        columns[name] = pa.nulls(len(ROWS), pa.string())
    columns["as_of"] = pa.array(["2026-06-30T00:00:00Z"] * len(ROWS))
    (tmp_path / "decisions").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "decisions" / "part-00000.parquet")
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    return tmp_path


def test_what_is_in_its_window_comes_first_and_every_lead_is_on_one_step(result: Path) -> None:
    found = nurture_due(result)
    # The earliest first; then what was missed, the latest first.
    assert found.follow_ups["lead_id"].to_pylist() == ["L4", "L3", "L2", "L1"]
    assert (found.as_of, found.overdue, found.idle) == ("2026-06-30", 2, 2)
    assert sum(found.steps["leads"].to_pylist()) == len(ROWS)
    steps = {(row["nurture_track"], row["nurture_step"]): row["leads"] for row in found.steps.to_pylist()}
    assert steps["device_ladder", "education"] == 3 and steps[None, None] == 1


def test_one_track_is_asked_for_by_name_and_what_is_no_result_is_refused(result: Path, tmp_path: Path) -> None:
    assert nurture_due(result, "post_event").follow_ups["lead_id"].to_pylist() == ["L3"]
    with pytest.raises(InputInvalid, match="nobody is on a track 'post_events'"):
        nurture_due(result, "post_events")
    with pytest.raises(InputInvalid, match="leadwell rescore --out"):
        nurture_due(tmp_path / "elsewhere")


def test_the_command_lists_what_is_due_and_writes_all_of_it(result: Path, tmp_path: Path) -> None:
    run = CliRunner()
    done = run.invoke(app, ["nurture", "due", "--result", str(result)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    for words in ("4 to follow up, 2 of them overdue", "ended: meeting", "device_ladder"):
        assert words in done.output
    out = tmp_path / "due.csv"
    assert run.invoke(app, ["nurture", "due", "--result", str(result), "--out", str(out)]).exit_code == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == 5
    told = json.loads(run.invoke(app, ["nurture", "due", "--result", str(result), "--json"]).output)
    assert [one["lead_id"] for one in told["follow_ups"]] == ["L4", "L3", "L2", "L1"]


def test_the_command_shows_the_steps_of_a_track_with_what_is_approved() -> None:
    run, wide = CliRunner(), {"COLUMNS": "200"}
    shown = run.invoke(
        app, ["nurture", "show", "device_ladder", "--product", "implant", "--as-of", "2026-06-30"], env=wide
    )
    assert shown.exit_code == 0, shown.output
    rows = {line.split()[0]: line for line in shown.output.splitlines() if line.split()}
    assert "implant_overview, implant_evidence_at_a_glance" in rows["awareness"]
    assert "device_committee_briefing" in rows["advocacy"] and "implant_brochure_2024" not in shown.output
    assert "post_event_pharmacist" in run.invoke(app, ["nurture", "show"], env=wide).output
    # A product nobody wrote anything for, and a name nobody declared.
    with pytest.raises(InputInvalid, match="did you mean device_ladder"):
        run.invoke(app, ["nurture", "show", "device_lader"], catch_exceptions=False)
    with pytest.raises(InputInvalid, match="expected one of implant"):
        run.invoke(app, ["nurture", "show", "device_ladder", "--product", "rocket"], catch_exceptions=False)
