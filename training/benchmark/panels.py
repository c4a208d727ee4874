"""Panels laid out as flat exports: one row a person and a cut-off, with nothing in it that was not known by then.

Physicians by month (`hcp_detailing`) and customers by quarter (`cdnow`). The label of a row lies after its cut-off;
no column looks there. `tests/test_benchmark_panels.py` changes the future and sees no column move.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid

Floats = NDArray[np.float64]
Columns = Mapping[str, Sequence[Any]]

HCP_COLUMNS = ("id", "scripts", "detailing", "month")
# Before the third month a physician's own mean says little.
FIRST_MONTH = 3
# Cut-offs in days since 1997-01-01, the end of each quarter whose next three months the file still covers.
CUT_OFFS = ("1997-06-30", "1997-09-30", "1997-12-31", "1998-03-31")
# A quarter less two days: the label of one cut-off is known on the day of the next.
NEXT_DAYS = 90
CDNOW_FIELDS = 4


def physicians_by_month(folder: Path, target: Path) -> Path:
    """Write one row a physician and month of `hcp_detailing` and return its path.

    Raises:
        InputInvalid: a file lacks a column, or a cell is no number.
    """
    panel = _table(folder / "detailing_months_1_12.csv", HCP_COLUMNS)
    kinds = _table(folder / "physicians.csv", ("id", "generalphys", "specialist"))
    practice = {
        int(i): "general" if g else "specialist" if s else "other"
        for i, g, s in zip(kinds["id"], kinds["generalphys"], kinds["specialist"], strict=True)
    }
    ids = np.unique(panel["id"])
    months = int(panel["month"].max())
    place = np.searchsorted(ids, panel["id"])
    scripts = np.full((len(ids), months), np.nan)
    visits = np.full((len(ids), months), np.nan)
    at = panel["month"].astype(np.int64) - 1
    scripts[place, at], visits[place, at] = panel["scripts"], panel["detailing"]
    rows: list[list[Any]] = []
    for month in range(FIRST_MONTH, months):
        known = month_columns(scripts[:, :month], visits[:, :month])
        # INVARIANT: only the label looks at the month after.
        label = scripts[:, month] > known["scripts_mean"]
        for k, physician in enumerate(ids.astype(int).tolist()):
            if np.isnan(scripts[k, month]) or np.isnan(scripts[k, month - 1]):
                continue
            cells = [_cell(column[k]) for column in known.values()]
            own = practice.get(physician, "")
            rows.append([f"{physician}-{month}", physician, month, *cells, own, int(label[k])])
    names = ["row_id", "physician", "month", *month_columns(scripts[:, :FIRST_MONTH], visits[:, :FIRST_MONTH])]
    return _written(target, [*names, "practice", "above_own_mean_next_month"], rows)


def month_columns(scripts: Floats, visits: Floats) -> dict[str, Floats]:
    """What was known of each physician at the end of the last month of two panels of shape (physicians, months)."""
    mean, last3 = np.nanmean(scripts, axis=1), np.nanmean(scripts[:, -3:], axis=1)
    before = np.nancumsum(scripts, axis=1) / np.maximum(np.cumsum(~np.isnan(scripts), axis=1), 1)
    above = scripts[:, 1:] > before[:, :-1]
    return {
        "scripts": scripts[:, -1],
        "scripts_last_3": last3,
        "scripts_mean": mean,
        "scripts_spread": np.nanstd(scripts, axis=1),
        "scripts_minus_mean": scripts[:, -1] - mean,
        "scripts_trend": last3 - mean,
        "share_above_mean": above.mean(axis=1) if above.shape[1] else np.full(len(scripts), np.nan),
        "visits": visits[:, -1],
        "visits_last_3": np.nanmean(visits[:, -3:], axis=1),
        "visits_mean": np.nanmean(visits, axis=1),
    }


def customers_by_quarter(folder: Path, target: Path) -> Path:
    """Write one row a customer and cut-off day of `cdnow` and return its path.

    Equal rows of the file are one purchase, and a row of zero dollars stays: discs were sent.

    Raises:
        InputInvalid: a line has not its four fields, or one of them is no number.
    """
    customer, day, discs, dollars = _purchases(folder / "CDNOW_master.txt")
    rows: list[list[Any]] = []
    names: list[str] = []
    for cut_off in CUT_OFFS:
        cut = int(np.datetime64(cut_off).astype("datetime64[D]").astype(np.int64))
        past = day <= cut
        ids, columns = quarter_columns(customer[past], day[past], discs[past], dollars[past], cut)
        after = np.unique(customer[(day > cut) & (day <= cut + NEXT_DAYS)])
        bought = np.isin(ids, after)
        names = list(columns)
        for k, who in enumerate(ids.tolist()):
            rows.append([f"{who}-{cut_off}", who, cut_off, *(_cell(c[k]) for c in columns.values()), int(bought[k])])
    return _written(target, ["row_id", "customer", "cut_off", *names, "bought_in_next_3_months"], rows)


def quarter_columns(
    customer: NDArray[np.int64], day: NDArray[np.int64], discs: Floats, dollars: Floats, cut: int
) -> tuple[NDArray[np.int64], dict[str, Floats]]:
    """Each customer and what was known on the day `cut`, from the purchases until then."""
    visits, inverse = np.unique(np.column_stack([customer, day]), axis=0, return_inverse=True)
    spent = np.bincount(inverse.ravel(), weights=dollars, minlength=len(visits))
    taken = np.bincount(inverse.ravel(), weights=discs, minlength=len(visits))
    ids, start, count = np.unique(visits[:, 0], return_index=True, return_counts=True)
    last = start + count - 1
    first_day, last_day = visits[start, 1], visits[last, 1]
    gap = np.where(count > 1, (last_day - first_day) / np.maximum(count - 1, 1), np.nan)
    since = (cut - last_day).astype(np.float64)
    return ids, {
        "days_since_last": since,
        "days_since_first": (cut - first_day).astype(np.float64),
        "purchases": count.astype(np.float64),
        "purchases_90d": np.add.reduceat((visits[:, 1] > cut - 90).astype(np.float64), start),
        "purchases_30d": np.add.reduceat((visits[:, 1] > cut - 30).astype(np.float64), start),
        "gap_days": gap,
        "overdue": since / gap,
        "discs": np.add.reduceat(taken, start),
        "dollars": np.add.reduceat(spent, start),
        "dollars_last": spent[last],
    }


def _purchases(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
    if not path.is_file():
        raise InputInvalid(str(path), "expected the purchases: customer, day, discs, dollars")
    seen: set[tuple[str, ...]] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        fields = tuple(line.split())
        if len(fields) != CDNOW_FIELDS:
            if fields:
                raise InputInvalid(str(path), "expected customer, day, discs and dollars", row=number)
            continue
        seen.add(fields)
    rows = sorted(seen)
    try:
        customer = np.array([int(row[0]) for row in rows], dtype=np.int64)
        days = np.array([f"{row[1][:4]}-{row[1][4:6]}-{row[1][6:]}" for row in rows], dtype="datetime64[D]")
        discs, dollars = (np.array([float(row[k]) for row in rows]) for k in (2, 3))
    except ValueError:
        raise InputInvalid(str(path), "expected numbers, and days written as 19970131") from None
    return customer, days.astype(np.int64), discs, dollars


def _table(path: Path, columns: Sequence[str]) -> dict[str, Floats]:
    """Some columns of a CSV file as numbers."""
    if not path.is_file():
        raise InputInvalid(str(path), f"expected a CSV file with {', '.join(columns)}")
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise InputInvalid(str(path), "expected this column", field=missing[0])
    rows = list(reader)
    try:
        return {column: np.array([float(row[column]) for row in rows]) for column in columns}
    except (TypeError, ValueError):
        raise InputInvalid(str(path), f"expected numbers in {', '.join(columns)}") from None


def _cell(value: float) -> str:
    return "" if np.isnan(value) or np.isinf(value) else f"{value:.6g}"


def _written(target: Path, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)
    return target
