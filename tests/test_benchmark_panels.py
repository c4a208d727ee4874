"""Panels laid out as flat rows: nothing in a row looks past its cut-off, and the numbers can be checked by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputInvalid
from training.benchmark.panels import customers_by_quarter, month_columns, physicians_by_month, quarter_columns


def _physicians(folder: Path, scripts: list[list[int]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["id,scripts,detailing,lagged_scripts,month"]
    for place, months in enumerate(scripts):
        lines += [f"{place + 1},{count},1,0,{month + 1}" for month, count in enumerate(months)]
    (folder / "detailing_months_1_12.csv").write_text("\n".join(lines) + "\n")
    kinds = [f"{k + 1},{int(k == 0)},{int(k == 1)},0.5" for k in range(len(scripts))]
    (folder / "physicians.csv").write_text("\n".join(["id,generalphys,specialist,mean_samples", *kinds]) + "\n")
    return folder


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_month_is_labelled_by_the_next_month_against_the_own_mean_until_now(tmp_path: Path) -> None:
    rows = _read(
        physicians_by_month(_physicians(tmp_path / "raw", [[1, 2, 3, 4], [9, 6, 3, 5]]), tmp_path / "rows.csv")
    )
    assert [row["row_id"] for row in rows] == ["1-3", "2-3"]
    assert [row["scripts_mean"] for row in rows] == ["2", "6"]
    assert [row["above_own_mean_next_month"] for row in rows] == ["1", "0"]
    assert [row["practice"] for row in rows] == ["general", "specialist"]


def test_no_column_of_a_month_changes_when_the_months_after_it_do(tmp_path: Path) -> None:
    first = _read(physicians_by_month(_physicians(tmp_path / "a", [[1, 2, 3, 4, 5]]), tmp_path / "a.csv"))
    second = _read(physicians_by_month(_physicians(tmp_path / "b", [[1, 2, 3, 40, 50]]), tmp_path / "b.csv"))
    label = "above_own_mean_next_month"
    assert {k: v for k, v in first[0].items() if k != label} == {k: v for k, v in second[0].items() if k != label}


def test_the_share_of_months_above_the_mean_counts_each_month_against_the_months_before_it() -> None:
    known = month_columns(np.array([[2.0, 4.0, 1.0]]), np.array([[0.0, 1.0, 2.0]]))
    assert known["share_above_mean"][0] == 0.5  # 4 > 2, and 1 is not > 3
    assert known["scripts_minus_mean"][0] == pytest.approx(1.0 - 7.0 / 3.0)
    assert known["visits_mean"][0] == 1.0


def test_a_customer_is_told_by_the_purchases_until_the_cut_off() -> None:
    ids, found = quarter_columns(
        np.array([7, 7, 7, 8]), np.array([0, 0, 10, 95]), np.ones(4), np.array([5.0, 5.0, 20.0, 3.0]), 100
    )
    assert ids.tolist() == [7, 8]
    assert found["purchases"].tolist() == [2.0, 1.0]  # two rows of one day are one visit
    assert found["dollars"].tolist() == [30.0, 3.0]
    assert found["days_since_last"].tolist() == [90.0, 5.0]
    assert found["gap_days"][0] == 10.0
    assert np.isnan(found["gap_days"][1])


def test_a_cut_off_knows_nothing_of_the_quarter_after_it_but_its_label(tmp_path: Path) -> None:
    lines = [
        " customer_id  date number_of_cds  dollar_value",
        " 1 19970110 1 11.77",
        " 1 19970805 2 9.0",
        " 2 19970201 1 4.0",
    ]
    (tmp_path / "CDNOW_master.txt").write_text("\n".join([*lines, lines[1]]) + "\n")
    rows = {row["row_id"]: row for row in _read(customers_by_quarter(tmp_path, tmp_path / "rows.csv"))}
    assert len(rows) == 8
    assert rows["1-1997-06-30"]["purchases"] == "1"
    assert rows["1-1997-06-30"]["bought_in_next_3_months"] == "1"
    assert rows["1-1997-09-30"]["purchases"] == "2"
    assert rows["2-1997-06-30"]["bought_in_next_3_months"] == "0"
    assert rows["1-1997-06-30"]["dollars"] == "11.77"  # an exact repeat is one purchase


def test_a_line_that_is_no_purchase_is_named_by_its_row(tmp_path: Path) -> None:
    (tmp_path / "CDNOW_master.txt").write_text("header\n 1 19970110 1\n")
    with pytest.raises(InputInvalid, match="2"):
        customers_by_quarter(tmp_path, tmp_path / "rows.csv")


def test_a_panel_without_a_column_names_it(tmp_path: Path) -> None:
    folder = _physicians(tmp_path, [[1, 2, 3, 4]])
    (folder / "physicians.csv").write_text("id,generalphys\n1,1\n")
    with pytest.raises(InputInvalid, match="specialist"):
        physicians_by_month(folder, tmp_path / "rows.csv")
