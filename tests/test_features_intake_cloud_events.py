"""CloudEvents become events: told apart by source and id, with both clocks, and every one of them counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import ConfigInvalid, InputInvalid
from configs.settings import load_export
from features.intake.exports import cloud_events
from features.intake.exports.cloud_events import MAX_EVENT_BYTES, event_id
from features.intake.exports.importing import Export, Imported, import_exports
from features.intake.scan import connect

COLUMNS = ("id", "subject", "data.topic", "data.deep.er")
Event = dict[str, Any]


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    session = connect([], memory_limit_mb=None, threads=1, spill=None)
    yield session
    session.close()


def _event(identity: str = "e-1", **more: Any) -> Event:
    return {
        "specversion": "1.0",
        "id": identity,
        "source": "/crm/veeva/prod",
        "type": "com.example.engagement.email.clicked.v1",
        "subject": "L-001",
        "time": "2026-06-01T10:00:00Z",
        "recordedtime": "2026-06-01T10:04:00Z",
        "data": {"channel": "email", "topic": "dosing"},
    } | more


def _lines(path: Path, *events: Any) -> Path:
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return path


def test_lines_arrays_and_single_events_read_alike(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    _lines(tmp_path / "a.jsonl", _event("a1"), _event("a2", data=None))
    (tmp_path / "b.json").write_text(json.dumps([_event("b1"), _event("b2", data={"deep": {"er": 1.5}})]))
    (tmp_path / "c.json").write_text(json.dumps(_event("c1", subject=None, data={"topic": True}), indent=1))
    staged = cloud_events.stage(con, "e", tmp_path, COLUMNS)
    assert con.sql("SELECT * EXCLUDE (event_id) FROM e ORDER BY _at").fetchall() == [
        ("a1", "L-001", "dosing", None, 1),
        ("a2", "L-001", None, None, 2),
        ("b1", "L-001", "dosing", None, (1 << 40) + 1),
        ("b2", "L-001", None, "1.5", (1 << 40) + 2),
        ("c1", None, "true", None, (2 << 40) + 1),
    ]
    assert [Path(file).name for file in staged.files] == ["a.jsonl", "b.json", "c.json"]
    assert staged.unreadable == ()


@pytest.mark.parametrize(
    ("event", "column"),
    [
        (_event(specversion="0.3"), "specversion"),
        (_event(specversion=None), "specversion"),
        (_event(id=""), "id"),
        (_event(source=7), "source"),
        (_event(type=None), "type"),
        (_event(time=1767225600), "time"),
        (_event(recordedtime={}), "recordedtime"),
        (_event(data={"topic": ["dosing", "safety"]}), "data.topic"),
        ([_event()], ""),
        ("event", ""),
    ],
)
def test_what_is_no_event_names_its_attribute_and_spares_the_next(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, event: Any, column: str
) -> None:
    staged = cloud_events.stage(con, "e", _lines(tmp_path / "a.jsonl", event, _event()), COLUMNS)
    assert [(one.row, one.column) for one in staged.unreadable] == [(1, column)]
    assert con.sql("SELECT count(*) FROM e").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "expected a JSON object"),
        (b"[]", "the array has none"),
        (b"[{}, ", "expected an array of JSON objects"),
        (b"[" * 10**6, "expected"),
        (b'{"data": "' + b"x" * MAX_EVENT_BYTES + b'"}', "at most 1 MB"),
        (b'[{"data": "' + b"x" * MAX_EVENT_BYTES + b'"}]', "at most 1 MB"),
    ],
)
def test_a_file_that_is_no_batch_is_one_reject(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, raw: bytes, reason: str
) -> None:
    (tmp_path / "a.json").write_bytes(raw)
    staged = cloud_events.stage(con, "e", tmp_path, COLUMNS)
    assert len(staged.unreadable) == 1
    assert reason in staged.unreadable[0].reason


def test_an_id_joins_source_and_id_and_never_two_events() -> None:
    assert event_id("/crm", "e 1") == "/crm e 1"
    # Where the blank could stand in either part, or an address in the clear, the id is a hash.
    assert event_id("/crm e", "1").startswith("ce:")
    assert event_id("mailto:ada@clinic.example", "1").startswith("ce:")
    assert len(event_id("/crm" * 30, "e-1")) == len("ce:") + 61
    assert event_id("/crm" * 30, "e-1") != event_id("/crm" * 29, "/crme-1")


_PARTS = st.text(st.sampled_from("ab/ :@|\n"), min_size=1, max_size=40)


@settings(deadline=None, max_examples=200)
@given(_PARTS, _PARTS, _PARTS, _PARTS)
def test_two_events_never_share_an_id(source: str, identity: str, other: str, second: str) -> None:
    assert (event_id(source, identity) == event_id(other, second)) == ((source, identity) == (other, second))
    assert 1 <= len(event_id(source, identity)) <= 64


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.binary(max_size=30)
        | st.dictionaries(
            st.sampled_from(["specversion", "id", "source", "type", "time", "data", "subject"]),
            st.sampled_from(["1.0", "x", None, 1, {"topic": "dosing"}, {"topic": {}}, []]),
            max_size=7,
        ).map(lambda event: json.dumps(event).encode()),
        max_size=6,
    ),
    st.uuids(),
)
def test_whatever_stands_in_a_file_every_line_of_it_is_counted(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, lines: list[bytes], name: UUID
) -> None:
    lines = [line.replace(b"\n", b" ").removeprefix(b"\xef\xbb\xbf") for line in lines]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n".join(lines))
    staged = cloud_events.stage(con, f"e{name.hex}", path, COLUMNS)
    kept = con.sql(f"SELECT count(*) FROM {staged.relation}").fetchall()[0][0]
    assert kept + len(staged.unreadable) == (sum(bool(line.strip()) for line in lines) or 1)
    con.execute(f"DROP TABLE {staged.relation}")


def test_a_column_no_event_can_have_is_refused(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(InputInvalid, match=r"expected an attribute of CloudEvents or data\.NAME"):
        cloud_events.stage(con, "e", _lines(tmp_path / "a.jsonl", _event()), ['data."x'])


LEADS = """name: people
says: leads for the events
tables:
  leads:
    files: leads
    records:
      - table: leads
        fields: {lead_id: id}
"""


def _import(folder: Path, *events: Event, mapping: Path = Path("cloudevents")) -> Imported:
    (folder / "people").mkdir()
    (folder / "people" / "leads.csv").write_text("id,x\nL-001,\n", encoding="utf-8")
    (folder / "people.yaml").write_text(LEADS, encoding="utf-8")
    _lines(folder / "events.jsonl", *events)
    people = Export(load_export(folder / "people.yaml"), "people.yaml", str(folder / "people"))
    return import_exports(
        [people, Export(load_export(mapping), mapping.name, str(folder / "events.jsonl"))], folder / "out"
    )


def test_the_shipped_mapping_makes_events_with_both_clocks(tmp_path: Path) -> None:
    again = _event()
    found = _import(
        tmp_path,
        _event(),
        again,
        _event(data={"channel": "web"}),
        _event("e-2", recordedtime=None),
        _event("e-3", time="2026-06-01T10:00:00"),
        _event("e-4", subject=None),
        _event("e-5", type="com.example.medical.inquiry.v1"),
        _event("e-6", type="com.example.unheard.of"),
        _event(source="/other"),
    )
    counts = found.counts["cloudevents.event"]
    assert (counts.read, counts.used, counts.rejected, counts.duplicate) == (9, 4, 4, 1)
    rejects = pyarrow.csv.read_csv(tmp_path / "out" / "rejects.csv").to_pylist()
    assert [(row["line"], row["column"], row["reason"]) for row in sorted(rejects, key=lambda row: row["line"])] == [
        (3, "", "another row with the same key has other content"),
        (4, "recordedtime", "missing recordedtime"),
        (5, "time", "instant without zone"),
        (6, "subject", "missing subject"),
    ]
    events = {row["event_id"]: row for row in pq.read_table(tmp_path / "out" / "events.parquet").to_pylist()}
    assert set(events) == {"/other e-1", *(f"/crm/veeva/prod e-{n}" for n in (1, 5, 6))}
    first = events["/crm/veeva/prod e-1"]
    assert (first["lead_id"], first["kind"], first["channel"], first["topic"]) == (
        "L-001",
        "email_click",
        "email",
        "dosing",
    )
    assert (first["recorded_at"] - first["occurred_at"]).total_seconds() == 240
    assert events["/crm/veeva/prod e-5"]["kind"] == "off_label_question"
    assert events["/crm/veeva/prod e-6"]["kind"] is None
    assert found.unmapped == {"cloudevents.event -> events.kind": 1}


def test_a_mapping_may_claim_that_events_are_recorded_as_they_happen(tmp_path: Path) -> None:
    text = load_text().replace("recorded_at: recordedtime\n", "recorded_at: [recordedtime, time]\n")
    (tmp_path / "claims.yaml").write_text(text, encoding="utf-8")
    found = _import(tmp_path, _event(recordedtime=None), mapping=tmp_path / "claims.yaml")
    assert found.counts["cloudevents.event"].used == 1
    (event,) = pq.read_table(tmp_path / "out" / "events.parquet").to_pylist()
    assert event["recorded_at"] == event["occurred_at"]


def test_a_mapping_with_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(load_text().replace("  event:\n", "  events:\n"), encoding="utf-8")
    with pytest.raises(ConfigInvalid, match=r"tables\.events: expected one of event"):
        _import(tmp_path, _event(), mapping=tmp_path / "odd.yaml")


def load_text() -> str:
    """The shipped mapping as it stands in its file."""
    return (Path(__file__).parents[1] / "configs" / "sources" / "cloudevents.yaml").read_text(encoding="utf-8")
