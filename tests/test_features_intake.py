"""Files become tables: every row is used, rejected with a reason, or a duplicate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputInvalid
from configs.settings import load_settings
from features.intake.partitions import plan_partitions
from features.intake.quality.check import check
from features.intake.settle import root_of
from features.intake.sources import Intake, find_files, read_tables
from features.tables import UNKNOWN_INSTANT, Tables, microseconds

SETTINGS = load_settings()
T0 = datetime(2026, 5, 1, tzinfo=UTC)
UTC_TIME = pa.timestamp("us", "UTC")


def _csv(folder: Path, table: str, text: str, *, mark: bool = False) -> Path:
    path = folder / f"{table}.csv"
    path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + text.encode())
    return path


def _reasons(intake: Intake) -> list[tuple[int, str, str]]:
    return [(row["row"], row["column"], row["reason"]) for row in intake.rejects.to_pylist()]


def _law_holds(intake: Intake) -> bool:
    return all(c.used + c.rejected + c.duplicate == c.read for c in intake.counts.values()) and (
        sum(c.rejected for c in intake.counts.values()) == intake.rejects.num_rows
    )


def test_every_bad_row_is_rejected_with_its_row_and_column(tmp_path: Path) -> None:
    _csv(tmp_path, "leads", "lead_id;created_at\nL1;2026-01-01T00:00:00Z\nL2;2026-01-01 00:00:00+01\n", mark=True)
    _csv(
        tmp_path,
        "events",
        "event_id,lead_id,occurred_at,recorded_at,kind\n"
        "E1,L1,2026-05-01T10:00:00Z,2026-05-01T10:00:00Z,download\n"  # 2: used
        "E1,L1,2026-05-01T10:00:00Z,2026-05-01T10:00:00Z,download\n"  # 3: duplicate
        "E1,L1,2026-05-01T10:00:00Z,2026-05-02T10:00:00Z,download\n"  # 4: same id, other content
        "E2,L9,2026-05-01T10:00:00Z,2026-05-01T10:00:00Z,download\n"  # 5: unknown lead
        "E3,L1,2026-05-01T10:00:00,2026-05-01T10:00:00Z,download\n"  # 6: no zone
        "E4,L1,yesterday,2026-05-01T10:00:00Z,download\n"  # 7: no zone either
        "E5,L1,2026-13-01T10:00:00Z,2026-05-01T10:00:00Z,download\n"  # 8: month 13
        "E6,L1,1970-01-01T00:00:00Z,2026-05-01T10:00:00Z,download\n"  # 9: epoch 0
        "E7,L1,9999-12-31T00:00:00Z,2026-05-01T10:00:00Z,download\n"  # 10: year 9999
        ",L1,2026-05-01T10:00:00Z,2026-05-01T10:00:00Z,download\n"  # 11: no key
        "E8,L1,2026-05-01T10:00:00Z\n"  # 12: too short
        "E9,L2,2026-05-01T11:00:00Z,2026-05-01T10:00:00Z,teleport\n",  # 13: used, flagged, kind unknown
    )
    intake = read_tables(find_files(tmp_path), SETTINGS)
    assert _reasons(intake) == [
        (4, "event_id", "another row with the same key has other content"),
        (5, "lead_id", "reference to an unknown lead"),
        (6, "occurred_at", "instant without zone"),
        (7, "occurred_at", "instant without zone"),
        (8, "occurred_at", "expected an instant such as 2026-06-30T09:00:00Z"),
        (9, "occurred_at", "expected an instant between 1990 and 2200"),
        (10, "occurred_at", "expected an instant between 1990 and 2200"),
        (11, "event_id", "missing event_id"),
        (12, "", "the row does not fit the header: missing columns"),
    ]
    counts = intake.counts["events"]
    assert (counts.read, counts.used, counts.rejected, counts.duplicate) == (12, 2, 9, 1)
    assert _law_holds(intake)
    assert intake.unmapped == {"events.kind": 1}
    assert intake.flagged == {"events: occurred more than 5 minutes after they were recorded": 1}
    assert intake.tables.leads["created_at"].tolist() == [
        microseconds(datetime(2026, 1, 1, tzinfo=UTC)),
        microseconds(datetime(2025, 12, 31, 23, tzinfo=UTC)),
    ]


def test_a_missing_key_column_names_file_column_and_what_was_expected(tmp_path: Path) -> None:
    _csv(tmp_path, "leads", "lead_id\nL1\n")
    _csv(tmp_path, "touches", "touch_id,lead_id\nT1,L1\n")
    with pytest.raises(InputInvalid, match=r"touches\.csv, column sent_at: expected this column in the touches table"):
        read_tables(find_files(tmp_path), SETTINGS)


def test_a_parquet_instant_without_zone_refuses_the_file(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"lead_id": ["L1"], "created_at": pa.array([T0], pa.timestamp("us"))}), tmp_path / "leads.parquet"
    )
    with pytest.raises(InputInvalid, match=r"leads\.parquet, column created_at: expected an instant with a zone"):
        read_tables(find_files(tmp_path), SETTINGS)


def test_a_column_without_any_value_is_unknown_whatever_its_kind(tmp_path: Path) -> None:
    nothing = pa.nulls(2)
    table = {"lead_id": ["L1", "L2"], "created_at": nothing, "adult": nothing, "title": nothing, "account_id": nothing}
    pq.write_table(pa.table(table), tmp_path / "leads.parquet")
    intake = read_tables(find_files(tmp_path), SETTINGS)
    assert intake.counts["leads"].used == 2
    assert intake.tables.leads["adult"].tolist() == [0, 0]
    assert intake.tables.leads["account"].tolist() == [-1, -1]
    assert intake.tables.leads["title"].tolist() == [None, None]


def test_an_empty_table_is_none_and_an_absent_one_unknown_and_extra_columns_are_named(tmp_path: Path) -> None:
    _csv(tmp_path, "leads", "lead_id\tshoe_size\nL1\t43\n")
    _csv(tmp_path, "cases", "case_id,lead_id,opened_at\n")
    intake = read_tables(find_files(tmp_path), SETTINGS)
    assert intake.extras == {"leads": ("shoe_size",)}
    assert intake.tables.events == {}
    assert len(intake.tables.cases["lead"]) == 0 and intake.tables.cases
    report = check(intake, SETTINGS)
    assert {c.column: c.known_share for c in report.columns if c.table == "leads"}["country"] == 0.0


@pytest.mark.parametrize("content", [b"", b"PAR1 not a parquet file", b"\xff\xfe\x00"])
def test_a_file_that_is_not_what_it_says_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    for name in ("leads.parquet", "leads.csv", "leads.jsonl"):
        path = tmp_path / name
        path.write_bytes(content)
        if name.endswith("jsonl") and content:
            with pytest.raises(InputInvalid, match="column lead_id: expected this column"):
                read_tables({"leads": path}, SETTINGS)
            continue
        with pytest.raises(InputInvalid, match=name):
            read_tables({"leads": path}, SETTINGS)


def test_a_parquet_file_damaged_in_its_middle_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "leads.parquet"
    pq.write_table(pa.table({"lead_id": [f"L{i}" for i in range(5000)]}), path)
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(content)
    with pytest.raises(InputInvalid, match=r"leads\.parquet: DuckDB could not read the file"):
        read_tables({"leads": path}, SETTINGS)


def test_a_folder_of_parts_and_a_pattern_read_as_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "leads"
    folder.mkdir()
    for part in range(3):
        pq.write_table(pa.table({"lead_id": [f"L{part}"], "country": ["US"]}), folder / f"p{part}.parquet")
    pq.write_table(pa.table({"lead_id": ["L3", None]}), folder / "p3.parquet")
    intake = read_tables(find_files(tmp_path), SETTINGS)
    assert intake.tables.lead_ids.tolist() == ["L0", "L1", "L2", "L3"]
    assert _reasons(intake) == [(2, "lead_id", "missing lead_id")]
    assert intake.rejects["file"].to_pylist()[0].endswith("p3.parquet")
    assert read_tables({"leads": folder / "p[01].parquet"}, SETTINGS).tables.lead_ids.tolist() == ["L0", "L1"]


def test_a_suppression_needs_a_lead_or_an_account_that_exists(tmp_path: Path) -> None:
    _csv(tmp_path, "leads", "lead_id,account_id\nL1,A1\n")
    _csv(
        tmp_path,
        "suppressions",
        "lead_id,account_id,since_at\nL1,,2026-05-01T00:00:00Z\n,A1,2026-05-01T00:00:00Z\n"
        ",,2026-05-01T00:00:00Z\n,A7,2026-05-01T00:00:00Z\n",
    )
    intake = read_tables(find_files(tmp_path), SETTINGS, suppressions_complete_as_of=T0)
    assert intake.tables.suppressions["lead"].tolist() == [0, -1]
    assert intake.tables.suppressions["account"].tolist() == [-1, 0]
    assert [reason for _, _, reason in _reasons(intake)] == [
        "expected a lead or an account",
        "reference to an unknown account",
    ]
    assert intake.tables.suppressions_complete_as_of == UNKNOWN_INSTANT  # the third row may mean anybody


def test_a_file_outside_the_given_ones_cannot_be_reached(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("lead_id\nL9\n")
    _csv(tmp_path, "leads", "lead_id,title\nL1,\"'); SELECT * FROM read_csv('secret.csv'); --\"\n")
    intake = read_tables({"leads": tmp_path / "leads.csv"}, SETTINGS)
    assert intake.tables.lead_ids.tolist() == ["L1"]
    assert intake.tables.leads["title"].tolist() == ["'); SELECT * FROM read_csv('secret.csv'); --"]


def test_the_root_of_a_site_is_its_topmost_parent_and_a_circle_stays_together() -> None:
    parent = np.array([-1, 0, 1, 4, 3, -1])  # 2 -> 1 -> 0; 3 <-> 4; 5 alone
    assert root_of(parent).tolist() == [0, 0, 0, 3, 3, 5]


# --- partitions --------------------------------------------------------------------------------------------------


def _write_world(folder: Path, systems: list[int], seed: int) -> dict[str, Path]:
    """Leads at sites of systems, some of them alone, with messy events."""
    rng = np.random.default_rng(seed)
    sites = [(f"A{i}", f"S{system}") for i, system in enumerate(systems)]
    n = 4 * len(sites)
    leads = pa.table(
        {
            "lead_id": pa.array([f"L{i}" for i in range(n)]),
            "account_id": pa.array([sites[i % len(sites)][0] if i % 5 else None for i in range(n)], pa.string()),
            "recorded_at": pa.array([T0] * n, UTC_TIME),
        }
    )
    accounts = pa.table({"account_id": [a for a, _ in sites], "parent_account_id": [s for _, s in sites]})
    m = 60
    times = [T0 + timedelta(minutes=int(x)) for x in rng.integers(0, 1000, m)]
    events = pa.table(
        {
            "event_id": [f"E{i}" for i in rng.integers(0, 40, m)],
            "lead_id": [f"L{i}" for i in rng.integers(0, n + 2, m)],
            "account_id": [f"A{i}" for i in rng.integers(0, len(sites), m)],
            "occurred_at": pa.array(times, UTC_TIME),
            "recorded_at": pa.array(times, UTC_TIME),
            "kind": ["download", "page_view"] * (m // 2),
        }
    )
    for name, table in (("leads", leads), ("accounts", accounts), ("events", events)):
        pq.write_table(table, folder / f"{name}.parquet")
    return find_files(folder)


def _events(tables: Tables) -> list[tuple[str, str | None, int, int]]:
    columns = tables.events
    names = [None if row < 0 else tables.account_ids[row] for row in columns["account"].tolist()]
    leads = tables.lead_ids[columns["lead"]].tolist()
    return list(zip(leads, names, columns["occurred_at"].tolist(), columns["kind"].tolist(), strict=True))


@settings(max_examples=8, deadline=None)
@given(systems=st.lists(st.integers(0, 4), min_size=2, max_size=8), count=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_parts_together_are_the_whole_and_no_system_is_split(
    systems: list[int], count: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = _write_world(tmp_path_factory.mktemp("w"), systems, seed)
    whole = read_tables(files, SETTINGS)
    with plan_partitions(files, SETTINGS, count=count) as plan:
        parts = list(plan.parts())
    assert _law_holds(whole) and all(_law_holds(part) for part in parts)
    assert sorted(x for part in parts for x in part.tables.lead_ids) == whole.tables.lead_ids.tolist()
    assert sorted(map(str, (e for part in parts for e in _events(part.tables)))) == sorted(
        map(str, _events(whole.tables))
    )
    assert sorted(map(str, (r for part in parts for r in part.rejects.to_pylist()))) == sorted(
        map(str, whole.rejects.to_pylist())
    )
    for table, counts in whole.counts.items():
        assert sum(part.counts[table].used for part in parts) == counts.used
        assert sum(part.counts[table].read for part in parts) == counts.read
    homes: dict[str, set[int]] = {}
    for index, part in enumerate(parts):
        for lead, account in zip(part.tables.leads["lead"], part.tables.leads["account"], strict=True):
            if account >= 0:
                site = str(part.tables.account_ids[account])
                homes.setdefault(f"S{systems[int(site[1:])]}", set()).add(index)
            assert 0 <= lead < len(part.tables.lead_ids)
    assert all(len(home) == 1 for home in homes.values())
    again = read_tables(files, SETTINGS, partition=(count - 1, count))
    assert sorted(map(str, _events(again.tables))) == sorted(map(str, _events(parts[-1].tables)))


def test_a_plan_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "spill").mkdir()
    files = _write_world(tmp_path / "data", [0, 0, 1], 1)
    with plan_partitions(files, SETTINGS, count=2, folder=tmp_path / "spill") as plan:
        assert any((tmp_path / "spill").iterdir())
        assert plan.lead_counts.sum() == 12
    assert not any((tmp_path / "spill").iterdir())
