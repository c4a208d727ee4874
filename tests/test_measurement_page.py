"""Tables of a report say the same on the screen, in JSON, CSV and on the page; the commands run on hand-made files."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import InputInvalid
from training.measurement.page import render_report
from training.measurement.sheet import Around, Column, Rated, Sheet, said

AT = datetime(2026, 7, 1, tzinfo=UTC)
COLUMNS = (
    Column("segment", "segment"),
    Column("leads", "leads", "count"),
    Column("lead_to_mql", "lead to MQL", "rate"),
    Column("spend", "spend", "money"),
    Column("difference", "difference", "points"),
    Column("first_touch", "first touch", "credit"),
    Column("value", "value", "money"),
)
ROWS = (
    ("<b>A</b>", 20, Rated(10, 20), 100_000, Around(0.05, -0.01, 0.11), Fraction(2, 5), None),
    ("=cmd()", 0, None, -150, None, Fraction(0), None),
)
SHEET = Sheet("segments", "Segments", "says", "the window", COLUMNS, ROWS, ("a note",))
runner = CliRunner()


def test_a_cell_says_its_number_its_count_and_its_interval() -> None:
    # Wilson's interval of 10 of 20 is 0.5 -+ 0.2007.
    assert SHEET.texts()[0][1:] == [
        "20", "50 % (10 of 20; 29.9 % to 70.1 %)", "1,000.00",
        "5.00 (\N{MINUS SIGN}1.00 to 11.00) points", "0.4", "\N{EN DASH}",
    ]  # fmt: skip
    assert said(-150, "money") == "\N{MINUS SIGN}1.50"
    assert said(Fraction(1, 15), "credit") == "0.0667"


def test_csv_has_a_column_for_every_part_of_a_cell_and_no_formula() -> None:
    header, first, second = list(csv.reader(io.StringIO(SHEET.to_csv())))
    row = dict(zip(header, first, strict=True))
    assert (row["lead_to_mql"], row["lead_to_mql_hits"], row["lead_to_mql_of"], row["spend"]) == (
        "0.5",
        "10",
        "20",
        "1000.00",
    )
    assert (row["difference_low"], row["difference_high"], row["value"]) == ("-0.01", "0.11", "")
    assert second[0] == "'=cmd()"


def test_json_keeps_money_in_cents_and_credits_exact() -> None:
    row = json.loads(json.dumps(SHEET.to_json()))["rows"][0]
    assert row["spend"] == 100_000
    assert row["first_touch"] == {"value": 0.4, "exact": "2/5"}
    assert row["lead_to_mql"]["of"] == 20


def test_the_page_loads_nothing_escapes_everything_and_says_what_it_leaves_out() -> None:
    page = render_report([SHEET], title="<i>Quarter</i>", says="the window", as_of=AT)
    assert "default-src 'none'" in page
    assert "<b>A</b>" not in page and "&lt;b&gt;A&lt;/b&gt;" in page and "<i>Quarter" not in page
    assert not any(word in page for word in ("http://", "https://", "<script", "url("))
    assert "data:image/png;base64," in page
    assert "10 of 20" in page and "29.9 to 70.1 %" in page
    assert "Nothing can be told in this window of: value." in page
    # The same numbers give the same bytes.
    assert page == render_report([SHEET], title="<i>Quarter</i>", says="the window", as_of=AT)


def test_a_table_without_rows_is_told_as_one() -> None:
    empty = Sheet("attribution", "Attribution", "", "", COLUMNS, ())
    assert "There is nothing to tell in this window." in render_report([empty], title="t", as_of=AT)


def written(folder: Path, **tables: list[str]) -> Path:
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def story(tmp_path: Path) -> Path:
    """One lead: ad, webinar, e-mail, booking of 3,000; another books without any touch point."""
    day = "2026-06-{}T09:00:00Z".format
    return written(
        tmp_path,
        leads=["lead_id,recorded_at,created_at", *(f"{lead},{day('01')},{day('01')}" for lead in ("L1", "L2"))],
        events=[
            "event_id,lead_id,kind,channel,campaign_id,occurred_at,recorded_at",
            f"E1,L1,ad_click,paid,C-ad,{day('02')},{day('02')}",
            f"E2,L1,webinar_attend,webinar,C-web,{day('05')},{day('05')}",
        ],
        touches=[
            "touch_id,lead_id,channel,campaign_id,sent_at,recorded_at",
            f"T1,L1,email,C-mail,{day('09')},{day('09')}",
        ],
        outcomes=[
            "lead_id,kind,occurred_at,recorded_at,value",
            f"L1,appointment,{day('12')},{day('12')},3000",
            f"L2,appointment,{day('13')},{day('13')},",
        ],
    )


def test_report_attribution_credits_the_story_on_real_files(story: Path) -> None:
    options = ["--data", str(story), "--as-of", "2026-07-01", "--days", "30"]
    result = runner.invoke(app, ["report", "attribution", *options, "--json"])
    assert result.exit_code == 0, result.output
    sheets = {sheet["id"]: sheet for sheet in json.loads(result.stdout)["reports"]}
    rows = {row["touch_point"]: row for row in sheets["attribution"]["rows"]}
    models = ("first_touch", "last_touch", "position_based")
    found = {name: tuple(row[model]["exact"] for model in models) for name, row in rows.items()}
    assert found == {
        "ads": ("1", "0", "2/5"),
        "webinar": ("0", "0", "1/5"),
        "email": ("0", "1", "2/5"),
        "no touch point in 90 days": ("1", "1", "1"),
    }
    assert [row["position_based_value"] for row in rows.values()] == [120_000, 120_000, 60_000, 0]
    assert sheets["attribution"]["total"]["position_based"]["exact"] == "2"
    assert sheets["paths"]["rows"][0]["path"] == "ads \N{RIGHTWARDS ARROW} webinar \N{RIGHTWARDS ARROW} email"
    assert "2026-06-01 to 2026-06-30" in sheets["attribution"]["window"]


def test_report_all_writes_one_page_of_every_report(story: Path) -> None:
    out = story / "page.html"
    options = [
        "--data",
        str(story),
        "--as-of",
        "2026-07-01",
        "--days",
        "30",
        "--out",
        str(out),
        "--csv",
        str(story / "tables"),
    ]
    result = runner.invoke(app, ["report", "all", *options])
    assert result.exit_code == 0, result.output
    page = out.read_text(encoding="utf-8")
    assert all(f">{heading}</h2>" in page for heading in ("Segments", "Campaigns", "Funnel", "Attribution"))
    assert (story / "tables" / "attribution.csv").is_file()


def test_report_test_draws_newcomers_only_and_reads_what_it_drew(tmp_path: Path) -> None:
    day = "2026-02-0{}T00:00:00Z".format
    leads = [f"L{i},A{i % 3},{day(1)},{day(1)}" for i in range(30)]
    data = written(
        tmp_path, leads=["lead_id,account_id,recorded_at,created_at", *leads], outcomes=["lead_id,kind,occurred_at"]
    )
    state, drawn = tmp_path / "memberships.parquet", tmp_path / "drawn.csv"

    def members(count: int) -> None:
        rows = [(f"L{i}", "dx_independent_lab_qc", None, "active") for i in range(count)]
        names = ("lead_id", "segment_id", "left_at", "status")
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        when = {"entered_at": pa.array([datetime(2026, 2, 1, tzinfo=UTC)] * count, pa.timestamp("us", "UTC"))}
        pq.write_table(pa.table({**columns, "left_at": pa.nulls(count, pa.timestamp("us", "UTC")), **when}), state)

    draw = ["test", "lab_subject_line", "--data", str(data), "--state", str(state), "--assign", str(drawn), "--as-of"]
    members(20)
    assert runner.invoke(app, ["report", *draw, "2026-02-02"]).exit_code == 0
    first = drawn.read_text(encoding="utf-8")
    members(30)
    assert runner.invoke(app, ["report", *draw, "2026-02-03"]).exit_code == 0
    second = drawn.read_text(encoding="utf-8").splitlines()
    assert set(first.splitlines()) < set(second) and len(second) == 31
    read = [
        "test",
        "lab_subject_line",
        "--data",
        str(data),
        "--assignments",
        str(drawn),
        "--as-of",
        "2026-03-01",
        "--json",
    ]
    result = runner.invoke(app, ["report", *read])
    assert result.exit_code == 0, result.output
    sheets = {sheet["id"]: sheet for sheet in json.loads(result.stdout)["reports"]}
    assert sum(row["leads"] for row in sheets["test_arms"]["rows"]) == 30
    assert sheets["test_differences"]["rows"][0]["verdict"] == "too few"
    late = runner.invoke(app, ["report", *draw, "2026-06-29"])
    assert isinstance(late.exception, InputInvalid) and "2026-06-28" in str(late.exception)
