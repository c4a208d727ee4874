"""A flat export without a key, without time, or with time written its own way."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from configs.errors import InputInvalid
from configs.mapping import SourceMapping
from configs.settings import Settings, load_settings
from features.intake.flat import read_flat
from features.intake.flat_order import instants


@cache
def _settings() -> Settings:
    return load_settings()


def _mapping(**changes: Any) -> SourceMapping:
    given = {
        "name": "made", "says": "made", "lead_id": "(row)", "order_by": "(row)",
        "as_of": datetime(2026, 1, 1, tzinfo=UTC),
        "outcome": "won", "outcome_true": ("1",), "outcome_false": ("0",),
        "attributes": ({"column": "size", "type": "number", "known_at": "before_outcome"},),
    } | changes  # fmt: skip
    return SourceMapping(**given)


def _file(tmp_path: Path, rows: list[str], header: str = "size,won") -> Path:
    path = tmp_path / "made.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_rows_without_a_key_are_named_by_their_row_and_stand_in_its_order(tmp_path: Path) -> None:
    path = _file(tmp_path, [f"{k},{k % 2}" for k in range(12)])
    intake = read_flat(_mapping(), path, _settings(), training=True)
    assert intake.counts["leads"].used == 12
    assert intake.order is not None
    by_id = dict(zip(intake.tables.lead_ids.tolist(), intake.order.tolist(), strict=True))
    # The header is row 1, so the first lead is on row 2; ids sort as text and the order does not.
    assert by_id == {str(row): float(row) for row in range(2, 14)}


def test_equal_rows_without_a_key_are_two_leads_and_none_is_lost(tmp_path: Path) -> None:
    intake = read_flat(_mapping(), _file(tmp_path, ["5,1", "5,1"]), _settings(), training=True)
    assert (intake.counts["leads"].used, intake.counts["leads"].duplicate) == (2, 0)


def test_rows_of_one_time_are_shuffled_the_same_way_in_every_run(tmp_path: Path) -> None:
    path = _file(tmp_path, [f"{k},{k % 2}" for k in range(50)])
    first = read_flat(_mapping(order_by="(none)"), path, _settings(), training=True)
    again = read_flat(_mapping(order_by="(none)"), path, _settings(), training=True)
    assert first.order is not None
    assert again.order is not None
    assert first.order.tolist() == again.order.tolist()
    assert sorted(first.order.tolist()) != first.order.tolist()
    assert len(set(first.order.tolist())) == 50


def test_names_of_months_stand_in_the_declared_order_and_another_name_is_rejected(tmp_path: Path) -> None:
    mapping = _mapping(order_by="month", order_values=("Feb", "Mar", "May"))
    path = _file(tmp_path, ["1,0,May", "2,1,Feb", "3,0,Mai"], "size,won,month")
    intake = read_flat(mapping, path, _settings(), training=True)
    assert intake.order is not None
    assert intake.order.tolist() == [2.0, 0.0]
    assert intake.rejects.to_pylist()[0]["reason"] == "expected one of Feb, Mar, May to order by"


def test_dates_are_read_as_the_mapping_says_they_are_written(tmp_path: Path) -> None:
    mapping = _mapping(order_by="joined", order_format="%d-%m-%Y")
    path = _file(tmp_path, ["1,0,04-09-2012", "2,1,03-10-2012", "3,1,2012-10-03"], "size,won,joined")
    intake = read_flat(mapping, path, _settings(), training=True)
    assert intake.order is not None
    assert intake.order[0] < intake.order[1]
    assert "%d-%m-%Y" in intake.rejects.to_pylist()[0]["reason"]


def test_the_zone_of_the_machine_never_changes_the_order_of_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    # Half past two does not exist in Berlin on that night, and there it once tied with half past three.
    texts = np.array(["2026-03-29T02:30:00", "2026-03-29T03:30:00"], dtype=object)
    found = []
    for zone in ("UTC", "Europe/Berlin"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        found.append(instants(_mapping(order_by="joined"), texts).tolist())
    monkeypatch.undo()
    time.tzset()
    assert found[0] == found[1]
    assert found[1][0] < found[1][1]


def test_a_file_without_a_key_that_lacks_a_column_says_which(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="size"):
        read_flat(_mapping(), _file(tmp_path, ["1,0"], "other,won"), _settings(), training=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"lead_id": "(none)"},
        {"order_format": "%Y"},
        {"order_by": "month", "order_values": ("a",), "order_format": "%Y"},
    ],
)
def test_a_mapping_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _mapping(**changes)
