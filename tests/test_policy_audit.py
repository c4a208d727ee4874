"""The audit chain: what was written verifies, and whatever is changed afterwards is found."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from configs.errors import AuditBroken
from policy.audit.canonical import canonical
from policy.audit.chain import chained, erased_line, read_records, verify
from policy.audit.checkpoints import GENESIS, Checkpoint, read_checkpoints
from policy.audit.log import AuditLog
from policy.audit.pseudonyms import pseudonym, pseudonym_key


def written(folder: Path, records: int = 5) -> Path:
    log = AuditLog(folder, "w1")
    for number in range(records):
        log.append({"subject": f"s{number}", "score": "0.31", "codes": [1, 0, 2]})
    log.close()
    return log.path


def test_a_group_of_records_becomes_durable_at_one_commit(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, "w1")
    assert [log.append({"n": n}) for n in range(3)] == [1, 2, 3]
    assert len(log.path.read_bytes().splitlines()) == 1  # only the header so far
    assert log.commit() == 3
    assert [record["n"] for record in read_records(log.path)] == [0, 1, 2]
    log.close()


def test_what_was_written_verifies_over_restarts_and_workers(tmp_path: Path) -> None:
    first, second = written(tmp_path), written(tmp_path, 2)
    other = AuditLog(tmp_path, "w2")
    other.close()
    found = verify(tmp_path)
    assert (found.files, found.records, found.checkpoints) == (3, 6 + 3 + 1, 6)
    header = json.loads(second.read_bytes().splitlines()[0])
    assert header["previous"] == json.loads(first.read_bytes().splitlines()[-1])["~hash"]
    assert json.loads(first.read_bytes().splitlines()[0])["previous"] == GENESIS


def _edit(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))

    return edit


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (_edit(lambda lines: [*lines[:3], lines[3].replace(b"0.31", b"0.99"), *lines[4:]]), "record 3: its content"),
        (_edit(lambda lines: [*lines[:2], *lines[3:]]), "record 2: expected number 2"),
        (_edit(lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]]), "record 2: expected number 2"),
        (_edit(lambda lines: [*lines[:2], lines[1], *lines[2:]]), "record 2: expected number 2"),
        (_edit(lambda lines: lines[:-2]), "record 4: a checkpoint knows record 5; the tail was cut"),
        (_edit(lambda lines: [*lines[:-1], lines[-1][:-9]]), "record 5: it is cut off"),
        (
            _edit(lambda lines: [*lines[:4], lines[4].replace(b'":', b'": ', 1), lines[5]]),
            "record 4: it is not spelled",
        ),
        (_edit(lambda lines: [*lines[:4], b"rubbish\n", lines[5]]), "record 4: expected a canonical"),
        (_edit(lambda lines: lines[1:]), "record 0: its header"),
        (_edit(lambda lines: []), "record 0: the header is missing"),
        (lambda path: path.unlink(), "expected an audit log"),
    ],
)
def test_tampering_is_found_and_the_first_bad_record_named(
    tmp_path: Path, tamper: Callable[[Path], None], words: str
) -> None:
    tamper(written(tmp_path))
    with pytest.raises(AuditBroken, match=words):
        verify(tmp_path)


def test_a_whole_chain_rewritten_with_right_hashes_differs_from_its_checkpoint(tmp_path: Path) -> None:
    path = written(tmp_path / "real")
    log = AuditLog(tmp_path / "forged", "w1")
    for number in range(5):
        log.append({"subject": f"s{number}", "score": "0.99"})
    log.close()
    path.write_bytes(log.path.read_bytes())
    with pytest.raises(AuditBroken, match="record 5: it differs from its checkpoint"):
        verify(tmp_path / "real")


def _forge(path: Path, content: dict[str, object]) -> None:
    """Append a record with a right hash, as whoever can write the folder and has no signing key could."""
    last = json.loads(path.read_bytes().splitlines()[-1])
    body = canonical({**content, "seq": last["seq"] + 1})
    with path.open("ab") as file:
        file.write(body[:-1] + b',"~hash":"' + chained(last["~hash"], body).encode() + b'"}\n')


def test_records_that_no_checkpoint_signs_yet_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert verify(tmp_path).unsigned == 0
    _forge(path, {"kind": "decision"})
    assert verify(tmp_path).unsigned == 1


def test_an_order_to_erase_that_nobody_signed_erases_nothing(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, "w1")
    log.append({"kind": "decision", "detail": {"subject": "s1"}})
    log.close()
    lines = log.path.read_bytes().splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith(b'{"detail":{'))
    digest = hashlib.sha256(lines[place]).hexdigest()
    lines[place] = erased_line(digest)
    log.path.write_bytes(b"\n".join(lines) + b"\n")
    _forge(log.path, {"kind": "erasure", "at": "2026-11-22", "details": [digest]})
    with pytest.raises(AuditBroken, match="no signed record orders its erasure"):
        verify(tmp_path)


def test_a_log_that_is_written_while_it_is_verified_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint and a file that came between reading the one and reading the other are no cut and no stranger."""
    log = AuditLog(tmp_path, "w1")

    def meanwhile(folder: Path, keys: Path | None = None) -> list[Checkpoint]:
        monkeypatch.undo()
        found = read_checkpoints(folder, keys)
        log.append({"kind": "decision"})
        log.checkpoint()
        other = AuditLog(tmp_path, "w2")
        other.append({"kind": "decision"})
        other.close()
        return found

    monkeypatch.setattr("policy.audit.chain.read_checkpoints", meanwhile)
    assert verify(tmp_path).files == 2
    log.close()


def test_a_removed_older_file_is_missed(tmp_path: Path) -> None:
    first = written(tmp_path)
    written(tmp_path)
    first.unlink()
    with pytest.raises(AuditBroken, match="w1-000002"):
        verify(tmp_path)


def test_a_file_that_does_not_continue_the_one_before_is_found(tmp_path: Path) -> None:
    written(tmp_path / "a")
    second = written(tmp_path / "a")
    stranger = written(tmp_path / "b")
    second.write_bytes(stranger.read_bytes())
    with pytest.raises(AuditBroken, match=r"w1-000002\.jsonl, record 0: its header does not continue"):
        verify(tmp_path / "a")


def test_half_a_record_left_by_a_crash_is_noted_by_the_next_file_and_verifies(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, "w1")
    log.append({"n": 1})
    log.commit()
    with log.path.open("ab") as file:
        file.write(b'{"n":2,"se')  # the process died while writing what nobody was answered on
    with pytest.raises(AuditBroken, match="record 2: it is cut off"):
        verify(tmp_path)
    AuditLog(tmp_path, "w1").close()
    assert verify(tmp_path).records == 2 + 1


def test_a_write_returns_only_when_it_is_on_disk(tmp_path: Path) -> None:
    opened = AuditLog(tmp_path, "w1")._file
    assert fcntl.fcntl(opened, fcntl.F_GETFL) & os.O_DSYNC


def test_after_a_failed_write_the_file_takes_no_more_and_a_new_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(tmp_path, "w1")
    log.append({"n": 1})

    def fails(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fails)
        with pytest.raises(AuditBroken, match="No space left"):
            log.commit()
    refusals: list[Callable[[], int]] = [lambda: log.append({"n": 2}), log.commit]
    for refused in refusals:
        with pytest.raises(AuditBroken, match="failed earlier"):
            refused()
    log.close()
    again = AuditLog(tmp_path, "w1")
    again.append({"n": 2})
    again.close()
    verify(tmp_path)


def test_records_are_canonical_and_hold_no_floats() -> None:
    assert canonical({"b": 1, "a": {"d": "x", "c": [True, None]}}) == b'{"a":{"c":[true,null],"d":"x"},"b":1}'
    for value in (0.1, {"deep": [float("nan")]}):
        with pytest.raises(TypeError, match="no floats"):
            canonical({"a": value})
    for other in (object(), b"x", {1}, datetime(2026, 6, 30, tzinfo=UTC), {1: "a whole number as key"}):
        with pytest.raises(TypeError):
            canonical({"a": other})


_PLAIN = st.none() | st.booleans() | st.integers() | st.text()


@settings(max_examples=100, deadline=None)
@example({"b": 2**64, "a": {"\uffff": -(2**70), "\U0001f600": "\x7f\x1f/\u2028"}})
@given(st.dictionaries(st.text(), st.recursive(_PLAIN, lambda v: st.lists(v) | st.dictionaries(st.text(), v))))
def test_the_spelling_is_that_of_the_standard_library(record: dict[str, object]) -> None:
    expected = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical(record) == expected.encode()


@pytest.mark.parametrize("key", [b"", b"k" * 32, b"k" * 64, b"k" * 65])
def test_a_pseudonym_is_the_hmac_of_the_lead(key: bytes) -> None:
    assert pseudonym(key, "L\u00e9") == hmac.new(key, b"lead\x00" + "L\u00e9".encode(), "sha256").hexdigest()


def test_a_pseudonym_needs_the_key_which_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEADWELL_AUDIT_KEY", raising=False)
    key = pseudonym_key(tmp_path)
    assert pseudonym_key(tmp_path) == key
    assert (tmp_path / "pseudonym.key").stat().st_mode & 0o077 == 0
    assert pseudonym(key, "lead-1") == pseudonym(key, "lead-1") != pseudonym(key, "lead-2")
    monkeypatch.setenv("LEADWELL_AUDIT_KEY", "another")
    assert pseudonym(pseudonym_key(tmp_path), "lead-1") != pseudonym(key, "lead-1")
    assert [path.name for path in tmp_path.iterdir()] == ["pseudonym.key"]


def test_two_processes_of_a_kind_write_two_logs_and_a_restarted_one_goes_on_with_its_own(tmp_path: Path) -> None:
    first, second = AuditLog.claim(tmp_path, "online"), AuditLog.claim(tmp_path, "online")
    assert {log.path.name for log in (first, second)} == {"online_0-000001.jsonl", "online_1-000001.jsonl"}
    first.append({"number": 1})
    first.close()
    again = AuditLog.claim(tmp_path, "online")
    assert again.path.name == "online_0-000002.jsonl"
    again.close()
    second.close()
    assert verify(tmp_path).records == 4  # three headers and one record


def test_a_log_torn_by_a_crash_is_told_by_the_next_start_and_verifies(tmp_path: Path) -> None:
    log = AuditLog.claim(tmp_path, "online")
    log.append({"number": 1})
    log.close()
    with log.path.open("ab") as file:
        file.write(b'{"half a rec')
    AuditLog.claim(tmp_path, "online").close()
    assert verify(tmp_path).files == 2
