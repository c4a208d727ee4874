"""C-22: as many records as answers, a whole chain, and every record says the same again by its own book."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import AuditBroken, InputInvalid
from configs.settings import load_settings
from policy.audit.archive import Archive
from policy.audit.chain import Entry, entries, verify
from policy.book import Book
from serving.api import parse
from serving.app import Scoring
from serving.recorded import answer_hash, said_again, same_bytes
from serving.start import start_scoring

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


def requests() -> list[dict[str, Any]]:
    """Leads of every kind of trouble: nothing known, everything known, an open question, an opt-out."""
    known = {
        "country": "US", "audience": "hcp", "verified_hcp": True, "adult": True, "recorded_at": "2026-06-01T00:00:00Z",
        "verified_at": "2026-06-01T00:00:00Z",
    }  # fmt: skip
    told: dict[str, Any] = {
        "events": [], "touches": [], "consents": [], "suppressions": [], "cases": [],
        "suppressions_complete_as_of": "2026-06-29T23:00:00Z",
    }  # fmt: skip
    question = {"case_id": "c", "lead_id": "L3", "opened_at": "2026-06-20T00:00:00Z", "kind": "off_label"}
    stop = {"lead_id": "L4", "since_at": "2026-05-01T00:00:00Z", "reason": "opt_out", "channel": "email"}
    return [
        {"lead": {"lead_id": "L1"}},
        {"lead": {"lead_id": "L2", **known}, **told},
        {"lead": {"lead_id": "L3", **known}, **told, "cases": [question]},
        {"lead": {"lead_id": "L4", **known}, **told, "suppressions": [stop]},
    ]


@pytest.fixture(scope="module")
def log(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Entry], list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("replayed")
    scoring = Scoring(load_settings(), lambda: AS_OF)
    start_scoring(scoring, small_world / "bundle", folder)
    assert scoring.answerer is not None and scoring.journal is not None
    answers = []
    for as_of in (None, "2026-06-15T00:00:00Z"):
        body: dict[str, Any] = {"leads": requests()} | ({"as_of": as_of} if as_of else {})
        request = parse(json.dumps(body).encode(), max_leads=500)
        decisions, records, late = scoring.answerer.answer(request, AS_OF)
        assert not late
        scoring.journal.durably(records)
        answers += decisions
    scoring.journal.close()
    found = [entry for file in sorted(folder.glob("*-*.jsonl")) for entry in entries(file)]
    return folder, [entry for entry in found if entry.record["kind"] == "decision"], answers


def test_there_is_a_record_of_each_answer_and_the_chain_is_whole(
    log: tuple[Path, list[Entry], list[dict[str, Any]]],
) -> None:
    folder, kept, answers = log
    assert [entry.record["audit_id"] for entry in kept] == [answer["audit_id"] for answer in answers]
    assert verify(folder).records == len(kept) + 1


def test_every_record_says_the_same_bytes_again_by_the_book_it_names(
    log: tuple[Path, list[Entry], list[dict[str, Any]]],
) -> None:
    folder, kept, answers = log
    archive = Archive(folder)
    assert len(kept) == 8
    for entry, answer in zip(kept, answers, strict=True):
        assert entry.detail is not None
        again = said_again(entry.record, entry.detail, archive)
        assert same_bytes(entry.record, again)
        assert [name for name, one in again.items() if "permits" in one] == entry.record["permitted"]
        assert entry.detail["answer"] == answer_hash(answer)


def test_a_record_holds_nothing_of_a_person_but_in_its_detail(
    log: tuple[Path, list[Entry], list[dict[str, Any]]],
) -> None:
    for entry in log[1]:
        assert entry.detail is not None
        assert entry.detail["subject"] not in json.dumps(entry.record)
        assert "facts" not in entry.record and "probability" not in entry.record
        assert not {"L1", "L2", "L3", "L4"} & set(json.dumps([entry.record, entry.detail]).split('"'))


def test_other_facts_are_not_the_same_bytes(log: tuple[Path, list[Entry], list[dict[str, Any]]]) -> None:
    folder, kept, _ = log
    first, second = kept[0], kept[1]
    assert second.detail is not None
    assert not same_bytes(first.record, said_again(first.record, second.detail, Archive(folder)))


def test_a_book_that_was_changed_or_never_kept_is_refused(
    log: tuple[Path, list[Entry], list[dict[str, Any]]], tmp_path: Path
) -> None:
    settings = load_settings()
    book = Book.load(settings, date(2026, 6, 30))
    archive = Archive(tmp_path)
    with pytest.raises(InputInvalid, match="expected the rule book"):
        archive.book(book.hash)
    archive.keep(book, settings)
    assert archive.book(book.hash).rules == book.rules
    path = archive.folder / f"{book.hash}.json"
    path.chmod(0o600)
    path.write_text(path.read_text().replace("\"jurisdiction = 'UK'\"", "\"jurisdiction = 'DE'\""))
    with pytest.raises(AuditBroken, match="another hash"):
        Archive(tmp_path).book(book.hash)


def test_a_record_that_was_edited_is_refused_before_it_is_replayed(
    log: tuple[Path, list[Entry], list[dict[str, Any]]], tmp_path: Path
) -> None:
    shutil.copytree(log[0], tmp_path / "log")
    entry = log[1][0]
    path = tmp_path / "log" / entry.file
    path.write_bytes(path.read_bytes().replace(entry.record["queue"].encode(), b"elsewhere", 1))
    ran = CliRunner().invoke(app, ["audit", "replay", entry.record["audit_id"], "--audit", str(tmp_path / "log")])
    assert ran.exit_code != 0
    assert isinstance(ran.exception, AuditBroken)
