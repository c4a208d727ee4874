"""A feed of stops that lost its rows is not believed: every opt-out becomes unknown, whatever its clock says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import InputInvalid
from configs.quality import FeedLimits
from configs.settings import load_settings
from features.facts import FactBuilder, facts_of
from features.intake.feed import LOST, lost_rows, promised_by
from features.intake.partitions import plan_partitions
from features.intake.sources import Intake, find_files, read_tables
from features.inventory import Inventory
from features.tables import UNKNOWN_INSTANT, YES, known_at
from serving.feed_memory import stops_seen, stops_to_remember

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
SETTINGS = load_settings()
BUILDER = FactBuilder.of(SETTINGS)
INVENTORY = Inventory.of((), SETTINGS.vocabularies)


def feed(folder: Path, rows: int, **metadata: str) -> dict[str, Path]:
    """Two leads, and so many stops of a third that is not in the data."""
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"lead_id": ["L1", "L2"], "recorded_at": [AS_OF, AS_OF]}), folder / "leads.parquet")
    stops = pa.table(
        {
            "lead_id": pa.array([f"X{row}" for row in range(rows)], pa.string()),
            "since_at": pa.array([AS_OF] * rows, pa.timestamp("us", tz="UTC")),
            "reason": pa.array(["opt_out"] * rows, pa.string()),
        }
    )
    said = {"complete_as_of": AS_OF.isoformat(), **metadata}
    pq.write_table(stops.replace_schema_metadata(said), folder / "suppressions.parquet")
    return find_files(folder)


def read(files: dict[str, Path], before: int | None = None) -> Intake:
    return read_tables(files, SETTINGS, suppressions_before=before)


def opted_out(intake: Intake) -> tuple[int, int]:
    facts = facts_of(known_at(intake.tables, AS_OF), BUILDER, INVENTORY)
    return int(facts.columns["opt_out"][0, 0, 0]), int(facts.columns["feed_fresh"][0, 0, 0])


@pytest.mark.parametrize(
    ("rows", "before", "lost"),
    [(10, None, 0), (10, 10, 0), (8, 10, 0), (7, 10, 3), (0, 10, 10), (0, 0, 0), (0, None, 0)],
)
def test_a_feed_may_lose_a_fifth_of_what_was_seen_and_no_more(
    tmp_path: Path, rows: int, before: int, lost: int
) -> None:
    intake = read(feed(tmp_path, rows), before)
    believed = not lost
    assert (intake.tables.suppressions_complete_as_of != UNKNOWN_INSTANT) == believed
    assert opted_out(intake) == ((1, YES) if believed else (0, 0))
    assert intake.flagged.get(LOST, 0) == lost


def test_what_the_feed_promises_counts_rather_than_what_was_seen(tmp_path: Path) -> None:
    assert read(feed(tmp_path, 0, expected_rows="0"), before=10).tables.suppressions_complete_as_of != UNKNOWN_INSTANT
    assert read(feed(tmp_path, 10, expected_rows="40")).flagged[LOST] == 30


def test_the_note_beside_the_feed_may_promise_its_rows(tmp_path: Path) -> None:
    files = feed(tmp_path, 5)
    note = {"suppressions_complete_as_of": AS_OF.isoformat(), "suppressions_expected_rows": 50}
    (tmp_path / "sample.json").write_text(json.dumps(note))
    assert promised_by(files["suppressions"]) == 50
    assert read(files).flagged[LOST] == 45


@pytest.mark.parametrize("wrong", ["many", "-1", "1.5"])
def test_a_promise_that_cannot_be_read_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(InputInvalid, match="whole number of rows"):
        read(feed(tmp_path, 5, expected_rows=wrong))


def test_every_part_of_a_shrunken_feed_is_not_believed_and_the_run_says_so(tmp_path: Path) -> None:
    with plan_partitions(feed(tmp_path, 1), SETTINGS, count=2, suppressions_before=10) as plan:
        assert plan.notes == (f"9 {LOST}",)
        parts = list(plan.parts())
    assert {part.tables.suppressions_complete_as_of for part in parts} == {UNKNOWN_INSTANT}
    assert [part.flagged.get(LOST, 0) for part in parts] == [9, 0]  # counted once


def test_a_smallest_number_of_rows_holds_whatever_was_seen(tmp_path: Path) -> None:
    files, limits = feed(tmp_path, 3), FeedLimits(min_rows=5)
    assert lost_rows(3, files, None, limits) == 2
    assert lost_rows(5, files, None, limits) == 0
    assert lost_rows(99, files, 10_000, FeedLimits(max_shrink=0.0)) == 9_901


def test_a_result_remembers_the_stops_it_saw_and_keeps_the_larger_number_while_they_are_gone(tmp_path: Path) -> None:
    limits = FeedLimits()
    assert stops_seen(tmp_path) is None
    for text, seen in (
        ('{"suppressions_seen": 12}', 12),
        ("{bad", None),
        ("[]", None),
        ('{"suppressions_seen": "x"}', None),
    ):
        (tmp_path / "manifest.json").write_text(text)
        assert stops_seen(tmp_path) == seen
    assert stops_to_remember(None, {"suppressions": {"read": 7}}, limits) == 7
    assert stops_to_remember(10, {"suppressions": {"read": 9}}, limits) == 9
    assert stops_to_remember(10, {"suppressions": {"read": 2}}, limits) == 10
    assert stops_to_remember(10, {}, limits) == 10
    assert stops_to_remember(None, {}, limits) is None
