"""Data sheets: every field with where it comes from, what the data say of it, approvals, limits, and who answers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import get_args

from typer.testing import CliRunner

from cli.app import app
from configs.conditions import facts_used, parse
from configs.settings import Settings, load_settings
from features.catalog import Source
from features.evaluate import Domain
from features.intake.sources import find_files, read_tables
from models.bundle import read_bundle
from models.segments.record import record_of
from training.evaluation.card import CardApproval
from training.sheets.answers import kinds_of, who_answers
from training.sheets.bundle import _FROM, bundle_sheet
from training.sheets.page import render_sheet
from training.sheets.segment import measure_fields, segment_sheet
from training.sheets.sheet import PARTS, Sheet

DAY, INSTANT = date(2026, 6, 30), datetime(2026, 6, 30, tzinfo=UTC)
SEGMENT = "onc_community_center"
LEADS = """lead_id,account_id,created_at,recorded_at,audience,specialty,verified_at
L1,A1,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,hcp,oncology,2026-06-01T00:00:00Z
L2,A1,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,hcp,,2026-06-01T00:00:00Z
L3,A2,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,,oncology,2026-06-01T00:00:00Z
L4,A2,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,hcp,cardiology,2026-06-01T00:00:00Z
"""
ACCOUNTS = """account_id,kind,created_at,recorded_at,care_setting,verified_at
A1,site,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,community,2026-06-01T00:00:00Z
A2,site,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,,2026-06-01T00:00:00Z
"""


@cache
def shipped() -> Settings:
    return load_settings()


def sheet_of(segment_id: str, data: Path | None = None) -> Sheet:
    settings = shipped()
    definition = next(d for d in settings.segments if d.id == segment_id)
    record = record_of(settings, definition, DAY)
    measured = None
    if data is not None:
        tables = read_tables(find_files(data), settings, assets=settings.assets, as_of=INSTANT).tables
        measured = measure_fields(tables, settings, segment_id, record.fields, INSTANT)
    return segment_sheet(settings, definition, record, measured)


def test_every_shipped_segment_has_a_sheet_with_every_field_its_conditions_look_at() -> None:
    domain = Domain.of(shipped())
    for definition in shipped().segments:
        sheet = sheet_of(definition.id)
        assert tuple(part.id for part in sheet.parts) == PARTS
        table = sheet.part("fields").table
        assert table is not None
        listed = {row[0].partition(":")[0].replace(" ", "_") for row in table.rows}
        used = {
            fact
            for text in definition.conditions().values()
            for fact in facts_used(parse(text, domain.facts, domain.parameters))
        }
        assert listed == used
        # Every field says where it comes from and how it is cleaned.
        assert all(row[1] and row[3] for row in table.rows)
        assert dict(sheet.part("owners").rows)["the definition, its size and results"] == definition.owner


def test_every_asset_that_is_offered_is_listed_with_the_approval_that_covers_it() -> None:
    approvals = sheet_of(SEGMENT).part("approvals")
    definition = next(d for d in shipped().segments if d.id == SEGMENT)
    assert approvals.table is not None
    offered = {(stage, asset) for stage, assets in definition.offers.items() for asset in assets}
    assert {(row[0], row[1]) for row in approvals.table.rows} == offered
    assert all(row[2] and row[4] for row in approvals.table.rows)
    assert any("approved" in key for key, _ in approvals.rows)


def test_data_tell_of_how_many_each_field_is_known_by_hand(tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text(LEADS, encoding="utf-8")
    (tmp_path / "accounts.csv").write_text(ACCOUNTS, encoding="utf-8")
    sheet = sheet_of(SEGMENT, tmp_path)
    table = sheet.part("fields").table
    assert table is not None
    known = {row[0].partition(":")[0]: row[-2:] for row in table.rows}
    # L3 has no audience, L2 no specialty, A2 (L3 and L4) no care setting; L1 alone is in the segment.
    assert known == {
        "audience": ("75% (3 of 4)", "100% (1 of 1)"),
        "specialty": ("75% (3 of 4)", "100% (1 of 1)"),
        "care setting": ("50% (2 of 4)", "100% (1 of 1)"),
    }
    assert "1 of 4 leads (25.0%)" in dict(sheet.part("composition").rows)["holds on 2026-06-30"]
    limits = [text for _, text in sheet.part("limits").rows]
    assert any("care setting is unknown for 50% of leads" in text for text in limits)
    assert any("1 leads are below its floor" in text for text in limits)
    assert not any("audience is unknown" in text for text in limits)


def test_the_kind_of_data_of_a_field_is_the_one_that_the_record_of_data_use_names() -> None:
    assert [kind.id for kind in kinds_of(shipped(), "accounts.care_setting")] == ["organization"]
    assert "mail_tracking" in [kind.id for kind in kinds_of(shipped(), "events")]
    assert kinds_of(shipped(), "nowhere.nothing") == ()


def test_who_answers_comes_from_the_queues_the_rules_and_the_alerts() -> None:
    found = dict(who_answers(shipped(), "her"))
    assert found["a question beyond the label"] == "medical information"
    assert found["a side effect or a complaint about a product"] == "pharmacovigilance"
    assert found["alerts: segment moved"] == "her"


def test_every_source_of_an_input_is_explained() -> None:
    assert set(_FROM) == set(get_args(Source))


def test_the_sheet_of_a_bundle_lists_every_input_once_with_its_approvals(small_world: Path) -> None:
    bundle = read_bundle(small_world / "bundle")
    yes = CardApproval("Ada Example", "2026-06-01", "2026-09-01", "read the card")
    other = replace(yes, by="Bea Example", objection="given to another version of this card")
    sheet = bundle_sheet(shipped(), bundle, DAY, approvals=(yes, other))
    table, signed = sheet.part("fields").table, sheet.part("approvals").table
    assert table is not None and signed is not None
    assert sorted(row[0] for row in table.rows) == sorted(bundle.spec.names)
    assert [row[0] for row in signed.rows] == ["Ada Example", "Bea Example"]
    assert (sheet.stands, sheet.next_review, sheet.content) == ("approved", "2026-09-01", bundle.bundle_id)
    assert bundle_sheet(shipped(), bundle, DAY, approvals=(other,)).stands == "not approved"
    # A question to medical information is never an input, so it is no source of one.
    assert "medical inquiry" not in dict(sheet.part("sources").rows)


def test_a_page_escapes_what_it_shows_and_json_holds_the_same(tmp_path: Path) -> None:
    sheet = replace(sheet_of(SEGMENT), title="<b>bold</b>")
    page = render_sheet(sheet)
    assert "<b>bold</b>" not in page and "&lt;b&gt;bold" in page
    plain = json.loads(sheet.to_json())
    assert [part["id"] for part in plain["parts"]] == list(PARTS) and plain["as_of"] == "2026-06-30"


def test_the_commands_write_sheets_and_say_what_is_wrong_in_one_line(small_world: Path, tmp_path: Path) -> None:
    runner, page = CliRunner(), tmp_path / "sheet.html"
    shown = runner.invoke(app, ["segments", "sheet", SEGMENT, "--as-of", "2026-06-30"], env={"COLUMNS": "160"})
    assert shown.exit_code == 0, shown.output
    assert "Known limits" in shown.output and "Who answers what" in shown.output
    written = runner.invoke(
        app, ["registry", "sheet", str(small_world / "bundle"), "--artifacts", str(tmp_path), "--out", str(page)]
    )
    assert written.exit_code == 0, written.output
    assert "holds no approval of this bundle" in page.read_text(encoding="utf-8")
    wrong = runner.invoke(app, ["segments", "sheet", "onc_comunity_center"])
    assert "did you mean onc_community_center" in str(wrong.exception)
    assert "ends in .html or .json" in str(
        runner.invoke(app, ["segments", "sheet", SEGMENT, "--out", "x.pdf"]).exception
    )
    assert "expected a bundle folder" in str(runner.invoke(app, ["registry", "sheet", str(tmp_path / "no")]).exception)
