"""What is odd about the real data sets is found, and nothing of it is converted: a test for each documented quirk.

The rows are nobody's here: they are read by path from the shared material and these tests skip where it is absent.
"""

from __future__ import annotations

import csv
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from configs.settings import load_settings, load_source
from features.intake.flat import FlatColumns, level_codes, read_flat
from features.intake.quality.check import QualityReport, check_any, check_flat
from features.intake.quality.flat import draft_mapping

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SETTINGS = load_settings()


def given(*parts: str) -> Path:
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the shared data set {parts[0]} is not here")
    return path


@cache
def looked_at(path: Path, outcome: str | None = None) -> tuple[FlatColumns, QualityReport]:
    return check_any(path, SETTINGS, outcome=outcome)


@cache
def xeducation() -> tuple[Path, QualityReport]:
    path, mapping = given("xeducation", "leads.csv"), load_source(Path("xeducation"))
    return path, check_flat(mapping, path, read_flat(mapping, path, SETTINGS, training=False), SETTINGS)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_xeducation_select_is_a_level_of_its_own_reported_and_not_converted() -> None:
    path, report = xeducation()
    chosen = {s.column: s.rows for s in report.sentinels if s.value == "Select"}
    assert set(chosen) == {"Specialization", "How did you hear about X Education", "City", "Lead Profile"}
    rows = rows_of(path)
    assert chosen["Specialization"] == sum(row["Specialization"] == "Select" for row in rows)
    mapping = load_source(Path("xeducation"))
    intake = read_flat(mapping, path, SETTINGS, training=True)
    levels = Counter(intake.tables.attributes["Specialization"].tolist())
    assert levels["select"] == chosen["Specialization"] and levels[None] == sum(not r["Specialization"] for r in rows)

    # Why it matters: "not chosen" converts like an answer, empty does not (42 % and 10.5 % in all rows of the source).
    def rate(value: str) -> float:
        own = [row["Converted"] == "1" for row in rows if row["Specialization"] == value]
        return sum(own) / len(own)

    assert rate("Select") > 0.35 and rate("") < 0.15


def test_xeducation_google_beside_google_is_one_level() -> None:
    # The rows of the source that say `google` are among those kept aside: here one `Google` is spelled like them.
    path, _ = xeducation()
    texts = looked_at(path)[0].texts["Lead Source"].copy()
    before = level_codes(texts)
    place = texts.tolist().index("Google")
    texts[place] = "google"
    codes, levels = level_codes(texts)
    assert set(levels) == set(before[1]) and levels.count("google") == 1
    assert codes[place] == levels.index("google")
    assert Counter(codes.tolist())[int(codes[place])] == Counter(before[0].tolist())[before[1].index("google")]


def test_xeducation_has_five_constant_columns() -> None:
    path, report = xeducation()
    rows = rows_of(path)
    truly = {name for name in rows[0] if len({row[name] for row in rows}) == 1}
    assert {c.column for c in report.columns if c.constant} == truly and len(truly) == 5


def test_xeducation_rows_equal_another_once_ids_are_dropped() -> None:
    path, report = xeducation()
    contents = Counter(
        tuple(" ".join(v.casefold().split()) for k, v in row.items() if k not in ("Prospect ID", "Lead Number"))
        for row in rows_of(path)
    )
    # 1,281 is said of the whole source; these are its oldest 70 %.
    assert report.equal_without_ids["leads"] == sum(n for n in contents.values() if n > 1) == 1_103
    assert set(report.id_like) == {"Prospect ID", "Lead Number"}


def test_xeducation_columns_written_after_the_outcome_are_suspected_and_none_of_them_is_learned_from() -> None:
    _, report = xeducation()
    by_strength = [s.column for s in report.suspects]
    after = {
        "Tags", "Lead Quality", "Lead Profile", "Last Notable Activity", "Asymmetrique Activity Index",
        "Asymmetrique Activity Score", "Asymmetrique Profile Index", "Asymmetrique Profile Score",
    }  # fmt: skip
    declared = {s.column: s.declared for s in report.suspects}
    assert {name for name in after if declared.get(name) == "after_outcome"} == after
    # The eight stand among the nine strongest; the one between is `Last Activity`, which the mapping answers for.
    assert set(by_strength[:9]) == after | {"Last Activity"}
    assert report.suspects[0].column == "Tags" and report.suspects[0].auc > 0.9


def test_xeducation_unsubscribed_leads_are_stopped_although_their_flag_says_no() -> None:
    path, _ = xeducation()
    mapping = load_source(Path("xeducation"))
    rows = rows_of(path)
    missed = [
        row["Prospect ID"]
        for row in rows
        if row["Do Not Email"] == "No" and "Unsubscribed" in (row["Last Activity"], row["Last Notable Activity"])
    ]
    assert missed
    tables = read_flat(mapping, path, SETTINGS, training=False).tables
    stopped = {str(tables.lead_ids[i]) for i in tables.suppressions["lead"].tolist()}
    by_activity = {r["Prospect ID"] for r in rows if r["Do Not Email"] == "No" and r["Last Activity"] == "Unsubscribed"}
    assert by_activity <= stopped


def test_bank_pdays_999_and_unknown_are_levels_and_duration_is_leakage() -> None:
    path = given("bank_marketing", "calls_oldest70.csv")
    flat, report = looked_at(path, "y")
    found = {(s.column, s.value): s.share for s in report.sentinels}
    assert found["pdays", "999"] > 0.95
    assert {c for c, v in found if v == "unknown"} == {"job", "marital", "education", "default", "housing", "loan"}
    # Reported, and nothing else: the texts are what the file says.
    assert flat.texts["pdays"].tolist().count("999") == sum(row["pdays"] == "999" for row in rows_of(path))
    assert flat.texts["default"].tolist().count(None) == 0
    # An index that has five values in all is no stand-in, however far its values lie apart.
    assert not {c for c, _ in found} & {"emp.var.rate", "nr.employed", "euribor3m"}
    assert report.suspects[0].column == "duration" and report.suspects[0].auc > 0.85
    assert 'after_outcome:\n  "duration":' in draft_mapping(flat, report, name="bank", outcome="y")


def test_cdnow_exact_duplicates_are_counted_and_zero_dollars_stay_zero_dollars(tmp_path: Path) -> None:
    lines = [line.split() for line in given("cdnow", "CDNOW_master.txt").read_text().splitlines() if line.strip()]
    path = tmp_path / "cdnow.csv"
    path.write_text("".join(",".join(cells) + "\n" for cells in lines))
    flat, report = check_any(path, SETTINGS)
    counts = report.counts["leads"]
    assert (counts.read, counts.used, counts.rejected, counts.duplicate) == (69_659, 69_659 - 255, 0, 255)
    assert sum(float(text) == 0 for text in flat.texts["dollar_value"].tolist()) == 80
    assert not [s for s in report.sentinels if s.column == "dollar_value"]


def test_page_values_of_the_online_shoppers_are_nearly_the_outcome() -> None:
    _, report = looked_at(given("online_shoppers", "online_shoppers_intention.csv"), "Revenue")
    strongest = report.suspects[0]
    assert strongest.column == "PageValues" and strongest.auc > 0.8
    assert strongest.strength > 1.5 * report.suspects[1].strength


def test_customer_personality_is_read_although_tabs_separate_it() -> None:
    flat, report = looked_at(given("customer_personality", "marketing_campaign.csv"), "Response")
    assert (len(flat.rows), len(flat.names)) == (2_240, 29)
    assert {c.column for c in report.columns if c.constant} == {"Z_CostContact", "Z_Revenue"}
    assert report.id_like == ("ID",)
    assert {c.column: round(c.known_share * 2_240) for c in report.columns}["Income"] == 2_216


def test_hillstrom_conversion_never_happens_without_the_visit_it_is_judged_against() -> None:
    flat, report = looked_at(given("hillstrom", "hillstrom.csv"), "visit")
    assert (len(flat.rows), len(flat.names)) == (64_000, 12)
    (found,) = [s for s in report.suspects if s.column == "conversion"]
    assert any("level 1 converts 100.0% of 578 rows" in said for said in found.evidence)
    assert set(flat.texts["segment"].tolist()) == {"Mens E-Mail", "Womens E-Mail", "No E-Mail"}


def test_the_click_log_is_read_through_its_compression() -> None:
    flat, report = looked_at(given("ecom_clickstream", "ecom.csv.gz"))
    assert len(flat.rows) == 31_106
    # When something happened is no id, although nearly every row has its own instant.
    assert "timestamp" not in report.id_like


def test_detailing_months_and_physicians_are_read_and_every_month_is_there() -> None:
    flat, report = looked_at(given("hcp_detailing", "detailing_months_1_12.csv"))
    assert len(flat.rows) == 12_000 and report.counts["leads"].rejected == 0
    months = Counter(flat.texts["month"].tolist())
    assert {int(month) for month in months} == set(range(1, 13)) and set(months.values()) == {1_000}
