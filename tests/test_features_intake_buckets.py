"""The bucket store: what it gives is what reading every file gives, and nothing doubtful is ever reused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from configs.errors import InputInvalid
from configs.settings import Settings, load_settings
from features.intake.buckets.manifest import NAME
from features.intake.partitions import plan_partitions
from features.intake.repeats import repeated_rows
from features.intake.sources import Intake, find_files

SETTINGS = load_settings()
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)
LEADS = ("L1", "L2", "L3")
PARTS = 3
Row = dict[str, Any]


def event(event_id: str | None, lead_id: str | None, day: int = 1, **rest: Any) -> Row:
    at = f"2026-06-{day:02d}T10:00:00Z"
    row = {"event_id": event_id, "lead_id": lead_id, "occurred_at": at, "recorded_at": at, "kind": "page_view"}
    return row | {"account_id": None, "product": None} | rest


def write_rows(path: Path, rows: Sequence[Row], names: Sequence[str] | None = None) -> None:
    """Write rows as text columns in the format of the name."""
    names = list(names or event("", ""))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({k: v for k, v in row.items() if k in names}) + "\n" for row in rows))
        return
    table = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)


def world(data: Path, leads: Sequence[str] = LEADS, accounts: Sequence[str] = ("A1",)) -> None:
    data.mkdir(parents=True, exist_ok=True)
    account = dict(zip(leads, (*accounts, *[None] * len(leads)), strict=False))
    write_rows(
        data / "leads.parquet", [{"lead_id": n, "account_id": account[n]} for n in leads], ("lead_id", "account_id")
    )
    write_rows(data / "accounts.parquet", [{"account_id": name} for name in accounts], ("account_id",))


def read(
    data: Path, buckets: Path | None, settings_: Settings = SETTINGS, parts: int = PARTS
) -> tuple[list[Intake], tuple[str, ...]]:
    with plan_partitions(find_files(data), settings_, count=parts, as_of=AS_OF, buckets=buckets, threads=1) as plan:
        return list(plan.parts()), plan.notes


def same(one: list[Intake], other: list[Intake]) -> None:
    """Part for part the same rows, whatever their order; and in all parts together the same counts and rejects."""
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a.unmapped, a.extras) == (b.unmapped, b.extras)
        assert a.tables.lead_ids.tolist() == b.tables.lead_ids.tolist()
        assert a.tables.account_ids.tolist() == b.tables.account_ids.tolist()
        assert rows_of(a) == rows_of(b)
    assert counts_of(one) == counts_of(other)
    assert rejects_of(one) == rejects_of(other)


def counts_of(parts: list[Intake]) -> dict[str, list[int]]:
    """Rows of all parts by table (read, used, rejected, duplicate) and how many are flagged."""
    found: dict[str, list[int]] = {}
    for part in parts:
        for table, c in part.counts.items():
            sums = found.setdefault(table, [0] * 4)
            found[table] = [a + b for a, b in zip(sums, (c.read, c.used, c.rejected, c.duplicate), strict=True)]
        for text, count in part.flagged.items():
            found[text] = [found.get(text, [0])[0] + count]
    return found


def rejects_of(parts: list[Intake]) -> list[tuple[Any, ...]]:
    return sorted(tuple(row.values()) for part in parts for row in part.rejects.to_pylist())


def rows_of(intake: Intake) -> list[tuple[Any, ...]]:
    """Event rows in an order of their own; which message has which number means nothing, only whether it has one."""
    columns = {**intake.tables.events}
    if "message" in columns:
        columns["message"] = columns["message"] >= 0
    return sorted(zip(*(columns[name].tolist() for name in sorted(columns)), strict=True)) if columns else []


def check(data: Path, buckets: Path, settings_: Settings = SETTINGS) -> tuple[str, ...]:
    """Notes of a run with buckets, after it was found equal to one without."""
    kept, notes = read(data, buckets, settings_)
    same(kept, read(data, None, settings_)[0])
    return notes


EVENTS = st.builds(
    event,
    st.sampled_from(("E1", "E2", "E3", "E4", None)),
    st.sampled_from((*LEADS, "L9", None)),
    st.sampled_from((1, 2)),
    account_id=st.sampled_from(("A1", "A2", None)),
    kind=st.sampled_from(("page_view", "Page  View", "form_submit", "gibberish", None)),
)


@given(
    nights=st.lists(st.lists(EVENTS, max_size=8), min_size=2, max_size=3),
    known=st.lists(st.integers(1, 4), min_size=3, max_size=3),
    moved=st.booleans(),
)
@settings(max_examples=5, deadline=None)
def test_rows_mean_the_same_whatever_nights_they_came_in(
    nights: list[list[Row]], known: list[int], moved: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("law")
    ids = ("L1", "L2", "L3", "L9")
    for number, rows in enumerate(nights):
        leads = ids[: known[number]]  # leads come and go, and with them what can be used
        world(place / "data", leads[::-1] if moved and number % 2 else leads, ("A1", "A2")[: 1 + number % 2])
        write_rows(place / "data" / "events" / f"{9 - number}.parquet", rows)  # the newest file is the first by name
        kept, _ = read(place / "data", place / "buckets")
    same(kept, read(place / "data", None)[0])
    same(kept, read(place / "data", place / "at once")[0])


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_only_new_files_are_read_whatever_their_format(tmp_path: Path, suffix: str) -> None:
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    world(data)
    rows = [event("E1", "L1"), event("E2", "L9"), event(None, "L2"), event("E3", "L3", occurred_at="yesterday")]
    write_rows(data / "events" / f"1.{suffix}", rows)
    assert check(data, buckets) == ("events: all 1 files read",)
    write_rows(data / "events" / f"2.{suffix}", [event("E1", "L1"), event("E4", "L1", kind="nonsense")])
    if suffix == "jsonl":
        with (data / "events" / "2.jsonl").open("a") as file:
            file.write("{not json\n")
    if suffix == "csv":
        with (data / "events" / "2.csv").open("a") as file:
            file.write('"E5","L1"\n')
    assert check(data, buckets) == ("events: 1 of 2 files read, the rest reused",)
    assert check(data, buckets) == ("events: 0 of 2 files read, the rest reused",)
    assert sum(intake.counts["events"].duplicate for intake in read(data, buckets)[0]) == 1


def test_a_file_that_changed_is_read_again_and_the_rows_of_one_that_is_gone_are_gone(tmp_path: Path) -> None:
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    world(data)
    for number in range(4):
        write_rows(data / "events" / f"{number}.parquet", [event(f"E{number}", "L1"), event(f"F{number}", "L2")])
    check(data, buckets)
    (data / "events" / "2.parquet").unlink()
    write_rows(data / "events" / "1.parquet", [event("E1", "L1", day=2)])
    notes = check(data, buckets)
    assert notes == ("events: 1 of 3 files read, 2 gone or changed, the rest reused",)
    assert sum(intake.counts["events"].used for intake in read(data, buckets)[0]) == 5


def test_a_file_under_another_name_is_not_read_again(tmp_path: Path) -> None:
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    world(data)
    write_rows(data / "events" / "1.parquet", [event("E1", "L1"), event("E2", None)])
    write_rows(data / "events" / "2.parquet", [event("E3", "L2"), event(None, "L2")])
    check(data, buckets)
    (data / "events" / "1.parquet").rename(data / "events" / "9.parquet")
    assert check(data, buckets) == ("events: 0 of 2 files read, the rest reused",)


def test_a_new_column_has_everything_read_once_and_then_no_more(tmp_path: Path) -> None:
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    world(data)
    write_rows(data / "events" / "1.parquet", [event("E1", "L1")])
    check(data, buckets)
    names = [*event("", ""), "channel"]
    write_rows(data / "events" / "2.parquet", [event("E2", "L1", channel="email")], names)
    assert check(data, buckets) == ("events: all 2 files read, because the files have other columns",)
    write_rows(data / "events" / "3.parquet", [event("E3", "L1")])
    assert check(data, buckets) == ("events: 1 of 3 files read, the rest reused",)
    write_rows(data / "events" / "4.parquet", [event("E4", "L2", channel="web")], names)
    assert check(data, buckets) == ("events: 1 of 4 files read, the rest reused",)


def test_a_lead_that_moves_takes_its_rows_along_into_any_part(tmp_path: Path) -> None:
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    leads, accounts = [f"L{number}" for number in range(20)], [f"A{number}" for number in range(20)]
    world(data, leads, accounts)
    write_rows(data / "events" / "1.parquet", [event(f"E{k}", leads[k % 20], day=1 + k % 9) for k in range(60)])
    read(data, buckets)
    world(data, leads, accounts[::-1])
    for parts in (1, 7):
        kept, notes = read(data, buckets, parts=parts)
        same(kept, read(data, None, parts=parts)[0])
        assert notes == ("events: 0 of 1 files read, the rest reused",)
        assert sum(len(intake.tables.events["lead"]) for intake in kept) == 60


def test_a_word_that_means_something_else_has_everything_read_again(tmp_path: Path) -> None:
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    world(data)
    write_rows(data / "events" / "1.parquet", [event("E1", "L1", kind="nonsense"), event("E2", "L1")])
    check(data, buckets)
    kinds = SETTINGS.vocabularies["event_kind"]
    taught = replace(kinds, codes={**kinds.codes, "nonsense": kinds.code("form_submit")})
    other = SETTINGS.model_copy(update={"vocabularies": {**SETTINGS.vocabularies, "event_kind": taught}})
    assert check(data, buckets, other) == ("events: all 1 files read, because the vocabulary of kind changed",)
    assert check(data, buckets, other) == ("events: 0 of 1 files read, the rest reused",)


def test_damage_is_noticed_before_anything_is_used(tmp_path: Path) -> None:
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    world(data)
    write_rows(data / "events" / "1.parquet", [event("E1", "L1")])
    check(data, buckets)
    for pattern, why in (("*.arrow", "is damaged"), ("*.ids", "is damaged"), (NAME, "manifest is damaged")):
        (file,) = buckets.glob(pattern)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        (note,) = check(data, buckets)
        assert note.startswith("events: all 1 files read, because ") and why in note
    (file,) = buckets.glob("*.arrow")
    file.unlink()
    assert "is damaged" in check(data, buckets)[0]


def test_another_version_of_the_layout_is_not_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    world(data)
    write_rows(data / "events" / "1.parquet", [event("E1", "L1")])
    check(data, buckets)
    monkeypatch.setattr("features.intake.buckets.manifest.LAYOUT_VERSION", -1)
    assert check(data, buckets) == ("events: all 1 files read, because another version wrote the buckets",)


def test_many_nights_are_merged_into_few_segments_and_nothing_else_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 2
    monkeypatch.setattr("features.intake.buckets.store.MOST_SEGMENTS", most)
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    world(data)
    for night in range(6):
        rows = [
            event(f"E{night % 3}", LEADS[night % 3], day=1 + night % 2),
            event(f"N{night}", "L9"),
            event(None, "L1"),
        ]
        write_rows(data / "events" / f"{night:02d}.parquet", rows)
        if night % 2:
            world(data, LEADS[:2] if night % 4 == 1 else (*LEADS, "L9"), ("A1", "A2"))
        read(data, buckets)
    assert check(data, buckets)[0].startswith("events: 0 of")
    (buckets / "events-0000099-0123abcd.arrow").write_bytes(b"of a run that was killed")
    (buckets / ".new-leftover").mkdir()
    assert check(data, buckets)[0].startswith("events: 0 of")
    content = json.loads((buckets / NAME).read_text())["tables"]["events"]
    assert len(content["segments"]) <= most
    named = {name for segment in content["segments"] for name in segment["sha256"]}
    assert {path.name for path in buckets.iterdir()} == named | {NAME, ".lock"}


def test_files_of_somebody_else_beside_the_buckets_stay(tmp_path: Path) -> None:
    world(tmp_path / "data")
    write_rows(tmp_path / "data" / "events.parquet", [event("E1", "L1")])
    kept = tmp_path / "kept"
    mine = [kept / "results.arrow", kept / "events-2026.ids", kept / "new-exports" / "crm.csv"]
    killed = [kept / "events-0000007-0123abcd.arrow", kept / ".new-0a_b1c2d" / "0.arrows"]
    for path in (*mine, *killed):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")
    for _ in range(2):
        check(tmp_path / "data", kept)
        assert all(path.is_file() for path in mine) and not any(path.exists() for path in killed)


def test_a_run_that_cannot_read_a_new_file_leaves_the_buckets_as_they_were(tmp_path: Path) -> None:
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    world(data)
    write_rows(data / "events" / "1.parquet", [event("E1", "L1")])
    check(data, buckets)
    before = (buckets / NAME).read_bytes()
    (data / "events" / "2.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputInvalid, match=r"2\.parquet"):
        read(data, buckets)
    assert (buckets / NAME).read_bytes() == before
    (data / "events" / "2.parquet").unlink()
    assert check(data, buckets) == ("events: 0 of 1 files read, the rest reused",)


def test_a_key_in_the_path_is_a_column_and_its_value_counts(tmp_path: Path) -> None:
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    world(data)
    names = [name for name in event("", "") if name != "kind"]
    write_rows(data / "events" / "kind=page_view" / "1.parquet", [event("E1", "L1")], names)
    check(data, buckets)
    write_rows(data / "events" / "kind=form_fill" / "1.parquet", [event("E2", "L1")], names)
    assert check(data, buckets) == ("events: 1 of 2 files read, the rest reused",)
    (data / "events" / "kind=page_view").rename(data / "events" / "kind=download")
    assert check(data, buckets) == ("events: 1 of 2 files read, 1 gone or changed, the rest reused",)


def test_events_that_nobody_gave_are_unknown_and_those_of_an_empty_file_are_none(tmp_path: Path) -> None:
    data, buckets = tmp_path / "data", tmp_path / "buckets"
    world(data)
    assert check(data, buckets) == ()
    write_rows(data / "events" / "1.parquet", [])
    assert check(data, buckets) == ("events: all 1 files read",)
    assert all(set(i.tables.events) and len(i.tables.events["lead"]) == 0 for i in read(data, buckets)[0])
    assert np.all([len(i.tables.events["lead"]) == 0 for i in read(data, buckets)[0]])


@given(st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**64 - 1)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_repeated_rows_are_those_whose_key_another_has(keys: list[int]) -> None:
    expected = [row for row, key in enumerate(keys) if keys.count(key) > 1]
    assert repeated_rows(np.array(keys, dtype=np.uint64)).tolist() == expected
