"""Who was erased does not come back with a batch under another id: the hash of the address or number tells."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.settings import load_settings
from features.encode import encode_records
from features.facts import FactBuilder, facts_of
from features.intake.hashes import hashes_of
from features.intake.sources import read_tables
from features.inventory import Inventory
from features.records import Lead
from features.tables import YES, known_at, microseconds
from serving.contact.store_tables import Beside, with_stops
from serving.store.stops import Stop
from serving.store.store import Store

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROWS: list[dict[str, str | None]] = [
    {"lead_id": "new", "email_hash": "e1", "phone_hash": None},
    {"lead_id": "new", "email_hash": "e2", "phone_hash": None},
    {"lead_id": "called", "email_hash": None, "phone_hash": " p1 "},
    {"lead_id": "other", "email_hash": "e3", "phone_hash": "e1"},
]


def written(folder: Path, kind: str) -> Path:
    file = folder / f"leads.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), file)
    elif kind == "csv":
        with file.open("w", newline="") as text:
            rows = csv.DictWriter(text, fieldnames=list(ROWS[0]))
            rows.writeheader()
            rows.writerows(ROWS)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store.open(str(tmp_path / "store.db"), b"a key for tests only, of no other use")
    subjects = found.subjects
    erased = ((subjects.erased("email", "e1"), "email"), (subjects.erased("phone", "p1"), "phone"))
    stop = Stop("s", "c", subjects.lead("old"), "lead", None, "erasure", None, microseconds(NOW), None, erased=erased)
    found.suppress([stop], [], microseconds(NOW))
    return found


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_hashes_are_read_of_every_version_and_without_blanks(kind: str, tmp_path: Path) -> None:
    found = sorted(hashes_of(written(tmp_path, kind)))
    assert found == [
        ("called", "phone", "p1"), ("new", "email", "e1"), ("new", "email", "e2"), ("other", "email", "e3"),
        ("other", "phone", "e1"),
    ]  # fmt: skip


def test_a_file_without_hashes_has_none(tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text("lead_id\nL1\n")
    assert list(hashes_of(tmp_path / "leads.csv")) == []


def test_an_erased_address_or_number_is_stopped_in_a_batch_under_any_id(store: Store, tmp_path: Path) -> None:
    settings = load_settings()
    leads = written(tmp_path, "parquet")
    intake = read_tables({"leads": leads}, settings)
    part = next(iter(with_stops([intake], store, settings, NOW, replay=False, leads=leads)))
    facts = facts_of(known_at(part.tables, NOW), FactBuilder.of(settings), Inventory.of_settings(settings))
    codes = facts.columns["erased_or_restricted"].reshape(-1).tolist()
    found = dict(zip(part.tables.lead_ids.tolist(), codes, strict=True))
    # A phone hash that looks like an erased e-mail's is of another kind, and stops nobody.
    assert {lead_id for lead_id, code in found.items() if code == YES} == {"new", "called"}


def test_a_replay_of_before_the_erasure_does_not_know_it(store: Store, tmp_path: Path) -> None:
    leads, before = written(tmp_path, "parquet"), datetime(2026, 11, 22, tzinfo=UTC)
    settings = load_settings()
    tables = encode_records([Lead(lead_id="new")], vocabularies=settings.vocabularies)
    beside = Beside.of(store, before, replay=True, leads=leads)
    assert beside.added(tables, settings.vocabularies) is tables
    later = Beside.of(store, NOW, replay=True, leads=leads).added(tables, settings.vocabularies)
    assert len(later.suppressions["lead"]) == 1
