"""A flat export becomes tables through its mapping; what is known only afterwards is pointed at and refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from configs.errors import ConfigInvalid, InputInvalid
from configs.mapping import AttributeColumn, SourceMapping
from configs.settings import load_settings, load_source
from features.intake.flat import read_flat
from features.intake.quality.check import auc_of, check, check_flat
from features.intake.sources import Intake
from features.tables import NO, YES, microseconds

SETTINGS = load_settings()
SALES_WRITTEN = {
    "Tags",
    "Lead Quality",
    "Lead Profile",
    "Last Notable Activity",
    "Asymmetrique Activity Index",
    "Asymmetrique Profile Index",
    "Asymmetrique Activity Score",
    "Asymmetrique Profile Score",
}
MAPPING = SourceMapping.model_validate(
    {
        "name": "clinic",
        "says": "ten leads made by hand",
        "lead_id": "Id",
        "order_by": "No",
        "as_of": "2026-06-30T00:00:00Z",
        "outcome": "Won",
        "outcome_true": ["1"],
        "outcome_false": ["0"],
        "attributes": [
            {"column": "Source", "type": "category", "known_at": "before_outcome"},
            {"column": "Visits", "type": "number", "known_at": "before_outcome"},
            {"column": "Free", "type": "yesno", "known_at": "before_outcome"},
        ],
        "after_outcome": {"Tag": "written by sales"},
        "fields": {"country": "Land"},
        "field_values": {"country": {"OTHER": ["Oman"]}},
        "constants": {"audience": "buyer", "country": "US", "verified_at": "2026-06-30T00:00:00Z"},
        "records": [
            {
                "table": "consents",
                "values": {"channel": "email", "purpose": "promotion", "status": "granted", "proof": "form"},
            },
            {
                "table": "suppressions",
                "column": "No Mail",
                "unless": ["No"],
                "values": {"channel": "email", "reason": "opt_out"},
            },
            {
                "table": "suppressions",
                "column": "Last",
                "equals": ["Unsubscribed"],
                "values": {"channel": "email", "reason": "opt_out"},
            },
        ],
        "complete": ["suppressions", "touches"],
    }
)
HEADER = "Id,No,Won,Source,Visits,Free,Tag,Land,No Mail,Last\n"
ROWS = [
    "a,1,1,Google,3,Yes,hot,,No,Opened",
    "b,2,0,google,0,No,,Germany,Yes,Opened",
    "c,3,0,Select,,No,,Oman,No,Unsubscribed",
    "d,4,1,,2.5,,,Atlantis,,",
    "d,4,1,,2.5,,,Atlantis,,",
    "e,5,0,Bing,many,No,,,No,",
    "f,6,maybe,Bing,1,No,,,No,",
    "g,7,0,Bing,1,perhaps,,,No,",
    ",8,0,Bing,1,No,,,No,",
    "a,9,0,Bing,1,No,,,No,",
]


def _read(folder: Path, text: str = HEADER + "\n".join(ROWS) + "\n", *, training: bool = True) -> Intake:
    path = folder / "leads.csv"
    path.write_text(text, encoding="utf-8")
    return read_flat(MAPPING, path, SETTINGS, training=training)


@pytest.fixture(scope="module")
def xeducation() -> Path:
    """The X Education export, where the shared material is at hand."""
    shared = Path(os.environ.get("LEADWELL_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
    path = shared / "data" / "xeducation" / "leads.csv"
    if not path.is_file():
        pytest.skip("needs the X Education export: set LEADWELL_SHARED to the folder that holds data/xeducation")
    return path


def test_every_row_is_used_rejected_with_its_column_or_a_duplicate(tmp_path: Path) -> None:
    intake = _read(tmp_path)
    counts = intake.counts["leads"]
    assert (counts.read, counts.used, counts.rejected, counts.duplicate) == (10, 4, 5, 1)
    assert [(r["row"], r["column"], r["reason"]) for r in intake.rejects.to_pylist()] == [
        (7, "Visits", "expected a number"),
        (8, "Won", "expected one of 0, 1"),
        (9, "Free", "expected yes or no"),
        (10, "Id", "missing lead id"),
        (11, "", "another row with the same lead id has other content"),
    ]
    assert intake.tables.lead_ids.tolist() == ["a", "b", "c", "d"]
    assert intake.outcome is not None and intake.outcome.tolist() == [YES, NO, NO, YES]
    assert intake.order is not None and intake.order.tolist() == [1, 2, 3, 4]


def test_spellings_of_a_level_are_one_and_not_chosen_differs_from_empty(tmp_path: Path) -> None:
    attributes = _read(tmp_path).tables.attributes
    assert attributes["Source"].tolist() == ["google", "google", "select", None]
    assert np.array_equal(attributes["Visits"], [3, 0, np.nan, 2.5], equal_nan=True)
    assert np.array_equal(attributes["Free"], [1, 0, 0, np.nan], equal_nan=True)
    assert set(attributes) == {"Source", "Visits", "Free"}


def test_a_flag_an_activity_and_a_missing_flag_each_suppress_and_an_ordinary_lead_is_free(tmp_path: Path) -> None:
    tables = _read(tmp_path).tables
    suppressed = sorted(tables.lead_ids[tables.suppressions["lead"]].tolist())
    assert suppressed == ["b", "c", "d"]  # said Yes, unsubscribed, did not say
    assert tables.lead_ids[tables.consents["lead"]].tolist() == ["a", "b", "c", "d"]
    assert tables.consents["proven"].tolist() == [YES] * 4
    assert tables.suppressions_complete_as_of == microseconds(MAPPING.as_of)
    assert len(tables.touches["lead"]) == 0 and tables.cases == {} and tables.events == {}


def test_of_rows_about_one_lead_the_one_that_allows_least_decides_even_a_rejected_one(tmp_path: Path) -> None:
    optin = {"column": "Last", "equals": ["Opened"]}
    granted = {
        "table": "consents",
        **optin,
        "values": {"channel": "email", "purpose": "promotion", "status": "granted"},
    }
    mapping = SourceMapping.model_validate(
        MAPPING.model_dump() | {"records": [granted, *MAPPING.model_dump()["records"][1:]]}
    )
    rows = [
        "a,1,1,Google,3,Yes,,,No,Opened",
        "a,1,1,Google,3,Yes,,,Yes,Opened",
        "b,2,0,Google,3,Yes,,,No,Opened",
        "b,2,0,Google,many,Yes,,,,Opened",  # rejected for its number, and never said No
        "c,3,0,Google,3,Yes,,,No,Opened",
        "c,3,0,Google,3,Yes,,,No,Clicked",
        "d,4,0,Google,3,Yes,,,No,Opened",
    ]
    path = tmp_path / "leads.csv"
    for order in (rows, rows[::-1]):
        path.write_text(HEADER + "\n".join(order) + "\n", encoding="utf-8")
        tables = read_flat(mapping, path, SETTINGS, training=False).tables
        assert sorted(tables.lead_ids[tables.suppressions["lead"]].tolist()) == ["a", "b"]
        assert sorted(tables.lead_ids[tables.consents["lead"]].tolist()) == ["a", "b", "d"]


def test_a_lead_of_an_export_is_as_old_as_the_export(tmp_path: Path) -> None:
    assert set(_read(tmp_path).tables.leads["recorded_at"].tolist()) == {microseconds(MAPPING.as_of)}


def test_a_constant_holds_where_the_lead_says_nothing_and_never_over_an_unfamiliar_value(tmp_path: Path) -> None:
    tables = _read(tmp_path).tables
    values = [SETTINGS.vocabularies["country"].value(code) for code in tables.leads["country"].tolist()]
    assert values == ["US", "DE", "OTHER", None]
    assert SETTINGS.vocabularies["audience"].value(tables.leads["audience"][0]) == "buyer"


def test_training_names_the_columns_that_nobody_declared(tmp_path: Path) -> None:
    text = HEADER.strip() + ",Shoe\n" + ROWS[0] + ",43\n"
    with pytest.raises(InputInvalid, match="clinic does not declare Shoe: expected"):
        _read(tmp_path, text)
    assert _read(tmp_path, text, training=False).extras == {"leads": ("Shoe",)}


def test_a_declared_column_that_is_gone_is_refused_and_the_outcome_is_not_needed_to_rescore(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="column No Mail: expected this column"):
        _read(tmp_path, "Id,No,Won,Source,Visits,Free,Land,Last\na,1,1,x,1,No,,\n", training=False)
    intake = _read(tmp_path, "Id,Source,Visits,Free,Land,No Mail,Last\na,x,1,No,,No,\n", training=False)
    assert intake.outcome is not None and intake.outcome.tolist() == [0]
    with pytest.raises(InputInvalid, match="column No: expected this column"):
        _read(tmp_path, "Id,Source,Visits,Free,Land,No Mail,Last\na,x,1,No,,No,\n")


@pytest.mark.parametrize("row", [b"a,1,1,Google\r,3,Yes,hot,,No,Opened", b"a,1,1,G\xff,3,Yes,hot,,No,Opened"])
def test_a_damaged_file_is_one_clear_error_or_a_rejected_row(tmp_path: Path, row: bytes) -> None:
    path = tmp_path / "leads.csv"
    path.write_bytes(HEADER.encode() + row + b"\nb,2,0,google,0,No,,Germany,Yes,Opened\n")
    try:
        intake = read_flat(MAPPING, path, SETTINGS, training=True)
    except InputInvalid as error:
        assert str(path) in str(error)
    else:
        assert intake.counts["leads"].rejected >= 1


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    one, other = _read(tmp_path), _read(tmp_path, HEADER + "\n".join(reversed(ROWS)) + "\n")
    assert one.tables.lead_ids.tolist() == other.tables.lead_ids.tolist()
    assert one.tables.attributes["Source"].tolist() == other.tables.attributes["Source"].tolist()
    assert one.counts == other.counts


def test_a_column_written_after_the_outcome_is_learned_from_only_by_insisting() -> None:
    with pytest.raises(ValidationError, match="Tags is written after the outcome"):
        AttributeColumn(column="Tags", type="category", known_at="after_outcome")
    assert AttributeColumn(column="Tags", type="category", known_at="after_outcome", insist=True).insist
    raw = MAPPING.model_dump()
    raw["attributes"] = [*raw["attributes"], {"column": "Tag", "type": "category", "known_at": "before_outcome"}]
    with pytest.raises(ValidationError, match="Tag is an attribute and in after_outcome"):
        SourceMapping.model_validate(raw)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"constants": {"audience": "martian"}}, "audience: expected a value of audience"),
        ({"constants": {"shoe": "43"}}, "shoe: expected a field of leads"),
        ({"records": [{"table": "consents", "values": {"chanel": "email"}}]}, "expected a field of consents"),
    ],
)
def test_a_mapping_that_claims_what_does_not_exist_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "leads.csv"
    path.write_text(HEADER + ROWS[0] + "\n", encoding="utf-8")
    mapping = SourceMapping.model_validate(MAPPING.model_dump() | change)
    with pytest.raises(ConfigInvalid, match=said):
        read_flat(mapping, path, SETTINGS, training=False)


def test_the_area_counts_pairs_and_halves_ties() -> None:
    # Pairs: (3 > 1), (3 > 2), (2 > 1), (2 = 2): 3.5 of 4.
    assert auc_of(np.array([3.0, 2.0, 1.0, 2.0]), np.array([1, 1, 0, 0])) == 3.5 / 4


def test_a_column_that_gives_the_answer_is_a_suspect_with_its_evidence(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    rows = [f"l{i},{i},{i % 2},Bing,{i % 7},No,{'won' if i % 2 else ''},,No," for i in range(200)]
    path.write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    intake = read_flat(MAPPING, path, SETTINGS, training=True)
    report = check_flat(MAPPING, path, intake)
    assert [suspect.column for suspect in report.suspects] == ["Tag"]
    assert "level won converts 100.0% of 100 rows" in report.suspects[0].evidence
    assert "missing in 100 rows, which convert 0.0% against 100.0% where it is given" in report.suspects[0].evidence
    assert {c.column for c in report.columns if c.constant} == {"Source", "Free", "No Mail"}


def test_the_shipped_mapping_declares_every_column_and_reads_every_row(xeducation: Path) -> None:
    mapping = load_source(Path("xeducation"))
    intake = read_flat(mapping, xeducation, SETTINGS, training=True)
    assert intake.counts["leads"].used == intake.counts["leads"].read > 6000
    assert not SALES_WRITTEN & set(intake.tables.attributes)
    assert set(mapping.after_outcome) == SALES_WRITTEN
    assert intake.outcome is not None and set(intake.outcome.tolist()) == {NO, YES}
    levels = set(intake.tables.attributes["Specialization"].tolist())
    assert "select" in levels and None in levels


def test_both_opt_outs_of_the_export_suppress_and_most_leads_are_free(xeducation: Path) -> None:
    mapping = load_source(Path("xeducation"))
    intake = read_flat(mapping, xeducation, SETTINGS, training=False)
    email = SETTINGS.vocabularies["channel"].code("email")
    opt_out = SETTINGS.vocabularies["suppression_reason"].code("opt_out")
    rows = (intake.tables.suppressions["channel"] == email) & (intake.tables.suppressions["reason"] == opt_out)
    stopped = set(intake.tables.suppressions["lead"][rows].tolist())
    flag = intake.tables.attributes["Do Not Email"] == 1
    unsubscribed = intake.tables.attributes["Last Activity"] == "unsubscribed"
    assert stopped >= set(np.flatnonzero(flag | unsubscribed).tolist())
    assert (unsubscribed & ~flag).any()
    assert len(stopped) < 0.15 * len(intake.tables.lead_ids)


def test_the_eight_columns_that_sales_write_are_suspects(xeducation: Path) -> None:
    mapping = load_source(Path("xeducation"))
    intake = read_flat(mapping, xeducation, SETTINGS, training=True)
    report = check_flat(mapping, xeducation, intake)
    assert {suspect.column for suspect in report.suspects[:9]} >= SALES_WRITTEN
    assert report.suspects[0].column == "Tags"
    assert len([c for c in report.columns if c.constant]) == 5
    assert report.undeclared == ()
    assert check(intake, SETTINGS).columns
