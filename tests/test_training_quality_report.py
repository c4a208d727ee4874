"""The page about data quality: offline, escaped, the same bytes for the same data, and whole or not there."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.csv as pa_csv
import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.settings import load_settings
from features.intake.quality.check import check, check_any
from features.intake.sources import find_files, read_tables
from models.hygiene import judge
from models.segments.map import SegmentMap
from training.quality_report import quality_pictures, render_quality_report

SETTINGS = load_settings()
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
RUNNER = CliRunner()
ATTACK = "<script>alert(1)</script>"


def world(folder: Path) -> Path:
    """A small folder of tables in which every text that may be shown is an attack."""
    leads = "".join(f"L{i},{ATTACK},{ATTACK},US,2026-06-01T00:00:00Z,2026-06-02T00:00:00Z\n" for i in range(40))
    (folder / "leads.csv").write_text("lead_id,specialty,title,country,recorded_at,verified_at\n" + leads)
    events = "".join(
        f"E{i},L{i},2026-06-0{1 + i % 9}T08:00:00Z,2026-06-10T08:00:00Z,page_view,$x^2$ {ATTACK}\n" for i in range(40)
    )
    (folder / "events.csv").write_text("event_id,lead_id,occurred_at,recorded_at,kind,source\n" + events)
    (folder / "consents.csv").write_text(
        "lead_id,captured_at,channel,status\n" + "".join(f"L{i},2026-06-01T00:00:00Z,email,granted\n" for i in range(9))
    )
    return folder


def page_of(folder: Path) -> str:
    files = find_files(world(folder))
    intake = read_tables(files, SETTINGS, as_of=AS_OF)
    found = check(intake, SETTINGS, as_of=AS_OF, files=files)
    hygiene = judge(intake.tables, SETTINGS, SegmentMap.load(SETTINGS), AS_OF, found)
    return render_quality_report(found, hygiene, title=f"a world {ATTACK}")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(tmp_path_factory.mktemp("world"))


def test_the_page_escapes_what_files_say_and_loads_nothing(text: str) -> None:
    assert "<script" not in text.lower()
    assert "&lt;script&gt;alert(1)" in text  # the source of the events is shown, as text
    outside = re.findall(r"(?:src|href)=\"(?!data:image/png;base64,|#)([^\"]*)\"", text)
    assert outside == [] and "default-src 'none'" in text


def test_the_page_has_its_sections_and_its_pictures(text: str) -> None:
    for anchor in ("gates", "odd", "tracking", "age", "consents", "fields"):
        assert f'id="{anchor}"' in text
    for picture in (
        "Events week by week",
        "Records by months since verified",
        "Completeness of leads",
        "unmapped values",
    ):
        assert picture in text
    # 40 leads are fewer than a model needs.
    assert "40 leads, at least 500 are asked" in text and "not activated" in text


def test_the_same_data_give_the_same_bytes(text: str, tmp_path: Path) -> None:
    assert page_of(tmp_path) == text


def test_a_page_about_a_flat_file_has_suspects_and_no_gates(tmp_path: Path) -> None:
    lines = ["who,status,Won"] + [f"p{i},{'signed' if i % 3 else 'open'},{int(i % 3 > 0)}" for i in range(90)]
    (tmp_path / "f.csv").write_text("\n".join(lines) + "\n")
    found = check_any(tmp_path / "f.csv", SETTINGS, outcome="Won")[1]
    text = render_quality_report(found, None, title="f")
    assert 'id="leaks"' in text and 'id="gates"' not in text and 'id="tracking"' not in text
    assert set(quality_pictures(found)) == {"complete_leads", "suspects"}


def test_the_command_writes_page_json_and_rejects_and_its_exit_code_is_the_gates(tmp_path: Path) -> None:
    folder = world(tmp_path)
    (folder / "leads.csv").write_text((folder / "leads.csv").read_text() + '"=cmd|calc",,,US,2026-06-01,\n')
    base = ["data", "check", "--data", str(folder), "--as-of", "2026-06-30"]
    html, bad = tmp_path / "q.html", tmp_path / "bad.csv"
    done = RUNNER.invoke(app, [*base, "--html", str(html), "--rejects", str(bad), "--json"])
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert {"counts", "columns", "tracking", "gates", "staleness"} <= said.keys()
    assert html.read_text().startswith("<!doctype html>")
    assert pa_csv.read_csv(bad)["reason"].to_pylist() == ["instant without zone"]
    gated = RUNNER.invoke(app, [*base, "--gate"])
    assert gated.exit_code == 1
    assert "at least 500" in gated.stdout.replace("\n", " ")


def test_a_gate_needs_something_that_would_be_activated(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("a,b\n1,2\n3,4\n")
    done = RUNNER.invoke(app, ["data", "check", "--leads", str(tmp_path / "f.csv"), "--gate"])
    assert done.exit_code != 0 and "--gate needs" in str(done.exception)


def test_an_outcome_is_asked_for_where_nothing_declares_it_and_never_silently_ignored(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["data", "check", "--data", str(tmp_path), "--outcome", "Converted"])
    assert done.exit_code != 0 and "--outcome goes with" in str(done.exception)


def test_a_drafted_mapping_never_overwrites_a_file(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "m.yaml").write_text("mine")
    done = RUNNER.invoke(
        app, ["data", "check", "--leads", str(tmp_path / "f.csv"), "--draft-mapping", str(tmp_path / "m.yaml")]
    )
    assert done.exit_code != 0 and (tmp_path / "m.yaml").read_text() == "mine"


def test_a_bracket_in_a_file_is_no_style_of_the_terminal(tmp_path: Path) -> None:
    texts = ("[red]x[/red]", "[/]", "[link=http://x]y")
    rows = "".join(f"L{i},{texts[i % 3]}\n" for i in range(27))
    (tmp_path / "leads.csv").write_text("lead_id,specialty\n" + rows)
    done = RUNNER.invoke(app, ["data", "check", "--data", str(tmp_path), "--as-of", "2026-06-30"])
    assert done.exit_code == 0
    assert all(text[:3] in done.stdout for text in texts)
