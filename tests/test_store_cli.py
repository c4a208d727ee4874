"""`leadwell store`: what a person at the keyboard may do, and what is said about what went wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app
from configs.errors import InputInvalid, NotReady
from policy.audit.chain import verify
from policy.audit.pseudonyms import pseudonym_key
from serving.contact.stop_files import read_stops
from serving.store.engine import _LOCKS, _lock_of
from serving.store.store import Store
from serving.store.subjects import Subjects
from tests.store_people import item

ROWS = """suppression_id,lead_id,account_id,channel,reason,since_at,until_at
a1,L1,,email,opt_out,2026-11-01T10:00:00+01:00,
a2,,A9,,no_contact,2026-11-01T10:00:00Z,2027-01-01T00:00:00Z
a3,L2,,email,opt_out,2026-11-01 10:00,
a4,,,email,opt_out,2026-11-01T10:00:00Z,
a5,L3,,email,opt_out,2026-11-01T10:00:00Z,2026-11-01T09:00:00Z
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEADWELL_STORE", raising=False)
    return tmp_path


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["store", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_a_file_of_stops_is_kept_once_and_every_row_is_accounted_for(place: Path) -> None:
    (place / "o.csv").write_text(ROWS)
    kept = [run("import", "o.csv") for _ in range(2)]
    assert [code for code, _ in kept] == [1, 1]
    for _, output in kept:
        assert [int(output.split(word)[1].split()[0]) for word in ("read", "rejected")] == [5, 3]
    assert [int(output.split("duplicate")[1].split()[0]) for _, output in kept] == [0, 2]
    rows, wrong = read_stops(place / "o.csv")
    assert [row.suppression_id for row in rows] == ["a1", "a2"]
    assert [at for at, _ in wrong] == [3, 4, 5]
    assert not any("L2" in said for _, said in wrong)


def test_a_file_without_its_first_line_is_refused_and_its_first_stop_is_not_taken_for_one(place: Path) -> None:
    (place / "o.csv").write_text("a1,2026-01-01T00:00:00Z,L1\n")
    with pytest.raises(InputInvalid, match="suppression_id, since_at missing"):
        run("import", "o.csv")


def test_a_person_is_stopped_by_hand_and_the_audit_says_so_without_the_id(place: Path) -> None:
    assert run("upgrade")[0] == 0
    assert run("suppress", "--lead-id", "marker-1", "--reason", "erasure", "--email-hash", "marker-2")[0] == 0
    audit = place / "artifacts" / "audit"
    store = Store.open(str(place / "artifacts" / "store.db"), pseudonym_key(audit))
    subjects = store.subjects
    found = store.standing([subjects.lead("marker-1")], [subjects.erased("email", "marker-2")], 0)
    store.close()
    assert [row.reason for row in found.stops.of[subjects.lead("marker-1")]] == ["erasure"]
    assert len(found.stops.erased) == 1
    code, told = run("status")
    assert code == 0 and told.split("suppressions")[1].split()[0] == "1" and told.split("erased")[1].split()[0] == "2"
    assert verify(audit).records > 0
    assert not any(b"marker-" in path.read_bytes() for path in audit.glob("*.jsonl"))


def test_a_word_that_nobody_knows_is_asked_again_and_a_missing_store_names_the_command(place: Path) -> None:
    with pytest.raises(InputInvalid, match="expected one of email"):
        run("suppress", "--lead-id", "L1", "--channel", "fax")
    with pytest.raises(InputInvalid, match="not both"):
        run("suppress")
    with pytest.raises(NotReady, match="leadwell store upgrade"):
        run("status")
    assert not (place / "artifacts" / "store.db").exists()


@pytest.mark.parametrize(("name", "content"), [("a.csv", b"\xff\xfe\x00"), ("a.jsonl", b"{"), ("a.xlsx", b"PK")])
def test_what_is_no_text_of_a_known_kind_is_refused(place: Path, name: str, content: bytes) -> None:
    (place / name).write_bytes(content)
    with pytest.raises(InputInvalid, match="expected"):
        read_stops(place / name)


def test_any_number_of_people_takes_a_bounded_number_of_locks() -> None:
    """A PostgreSQL server holds some thousands of locks; twenty thousand people in one request took too many."""
    subjects = Subjects.of(b"k")
    assert len({_lock_of(subjects.lead(f"L{k}")) for k in range(20_000)}) <= _LOCKS == 1024


def test_a_score_without_a_server_counts_the_stops_of_the_store_and_carries_its_permits(
    place: Path, small_world: Path
) -> None:
    (place / "lead.json").write_text(json.dumps({"leads": [item("L1", datetime.now(UTC))]}))  # noqa: TID251 - commands answer by the real clock
    assert run("upgrade")[0] == 0
    where = ("--bundle", str(small_world / "bundle"))

    def channel(*words: str) -> dict[str, Any]:
        result = CliRunner().invoke(app, ["score", "lead.json", *where, *words], catch_exceptions=False)
        return dict(json.loads(result.stdout)["decisions"][0]["channels"]["email"])

    known = ("--store", "artifacts/store.db")
    assert "permit" in channel(*known) and "permit" not in channel()
    assert run("suppress", "--lead-id", "L1", "--channel", "email")[0] == 0
    assert channel()["permitted"]
    stopped = channel(*known)
    assert not stopped["permitted"] and "OPT_OUT" in {block["reason"] for block in stopped["blocks"]}


def test_a_topic_is_asked_for_in_known_words_and_for_an_opt_out_only(place: Path) -> None:
    assert run("upgrade")[0] == 0
    assert run("suppress", "--lead-id", "L1", "--topic", "budget")[0] == 0
    with pytest.raises(InputInvalid, match="expected one of mechanism_of_action"):
        run("suppress", "--lead-id", "L1", "--topic", "astrology")
    with pytest.raises(InputInvalid, match="only with --reason opt_out"):
        run("suppress", "--lead-id", "L1", "--product", "implant", "--reason", "erasure")
