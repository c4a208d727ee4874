"""Signed checkpoints, proofs of one decision, and erasure that leaves the chain valid."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import AuditBroken, InputInvalid
from policy.audit.chain import entries, verify
from policy.audit.checkpoints import CHECKPOINTS, KEYS, SIGNING_VARIABLE, read_checkpoints, refuse_other_past
from policy.audit.erasing import erase
from policy.audit.log import AuditLog
from policy.audit.merkle import GrowingTree, inclusion_path, merkle_root, root_of_path
from policy.audit.proof import check, prove, verify_run


def written(folder: Path, people: tuple[str, ...] = ("p0", "p1", "p2", "p1")) -> Path:
    log = AuditLog(folder, "w1")
    for number, person in enumerate(people):
        log.append({"kind": "decision", "audit_id": f"a{number}", "detail": {"subject": person, "band": "hot"}})
    log.close()
    return log.path


# --- checkpoints ---------------------------------------------------------------------------------------------------


def test_a_checkpoint_that_was_edited_removed_or_added_is_found(tmp_path: Path) -> None:
    written(tmp_path)
    path = tmp_path / CHECKPOINTS
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.replace(b'"seq":4', b'"seq":3'))
    with pytest.raises(AuditBroken, match="line 2: its signature"):
        verify(tmp_path)
    path.write_bytes(second)
    with pytest.raises(AuditBroken, match="line 1: a checkpoint before it"):
        verify(tmp_path)
    path.write_bytes(first + second + second)
    with pytest.raises(AuditBroken, match="line 3: a checkpoint before it"):
        verify(tmp_path)
    path.write_bytes(first + second)
    assert verify(tmp_path).checkpoints == 2


def test_only_a_trusted_key_counts(tmp_path: Path) -> None:
    written(tmp_path / "log")
    written(tmp_path / "other")
    keys = tmp_path / "other" / KEYS
    with pytest.raises(AuditBroken, match="a key that is not trusted"):
        verify(tmp_path / "log", keys)
    assert verify(tmp_path / "log", tmp_path / "log" / KEYS).checkpoints == 2


def test_a_log_rewritten_whole_with_a_new_key_is_told_by_the_copy_kept_elsewhere(tmp_path: Path) -> None:
    written(tmp_path / "log")
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes((tmp_path / "log" / CHECKPOINTS).read_bytes())
    refuse_other_past(tmp_path / "log", copy)
    forged = tmp_path / "forged"
    written(forged, ("p0",))
    assert verify(forged).checkpoints == 2  # by itself it looks whole
    with pytest.raises(AuditBroken, match="the past was rewritten"):
        refuse_other_past(forged, copy)
    copy.write_bytes(b"")
    with pytest.raises(AuditBroken, match="expected a copy"):
        refuse_other_past(tmp_path / "log", copy)


def test_half_a_checkpoint_left_by_a_crash_is_cut_and_the_next_one_goes_on(tmp_path: Path) -> None:
    written(tmp_path)
    with (tmp_path / CHECKPOINTS).open("ab") as file:
        file.write(b'{"file":"w1-0000')
    assert len(read_checkpoints(tmp_path)) == 2
    written(tmp_path)
    assert verify(tmp_path).checkpoints == 4


def test_a_signing_key_may_come_from_a_file_and_a_wrong_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "made")
    secret = tmp_path / "made" / "signing.key"
    assert secret.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv(SIGNING_VARIABLE, str(secret))
    written(tmp_path / "log")
    assert not (tmp_path / "log" / "signing.key").exists()
    assert verify(tmp_path / "log", tmp_path / "made" / KEYS).checkpoints == 2
    (tmp_path / "wrong.pem").write_text("no key")
    monkeypatch.setenv(SIGNING_VARIABLE, str(tmp_path / "wrong.pem"))
    with pytest.raises(AuditBroken, match=r"wrong\.pem: expected a PEM file"):
        AuditLog(tmp_path / "log2", "w1")


def test_a_key_may_be_changed_and_both_halves_of_the_log_verify(tmp_path: Path) -> None:
    written(tmp_path)
    os.rename(tmp_path / "signing.key", tmp_path / "retired.key")
    written(tmp_path)
    assert len(list((tmp_path / KEYS).iterdir())) == 2
    assert verify(tmp_path).checkpoints == 4


def test_a_file_without_any_checkpoint_was_added(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "x_0-000001.jsonl").write_bytes(path.read_bytes())
    with pytest.raises(AuditBroken, match="no checkpoint names this file"):
        verify(tmp_path)


# --- trees and proofs ------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.data())
@settings(max_examples=40, deadline=None)
def test_every_leaf_has_a_path_to_the_root_and_no_other_leaf_takes_it(size: int, data: st.DataObject) -> None:
    leaves = [hashlib.sha256(bytes([number])).digest() for number in range(size)]
    tree = GrowingTree()
    for leaf in leaves:
        tree.add(leaf)
    assert tree.root() == merkle_root(b"".join(leaves))
    place = data.draw(st.integers(0, size - 1))
    path = inclusion_path(leaves, place)
    assert root_of_path(leaves[place], place, size, path) == tree.root()
    assert root_of_path(hashlib.sha256(b"other").digest(), place, size, path) != tree.root()
    with pytest.raises(ValueError, match="shorter path"):
        root_of_path(leaves[place], place, size, [*path, "00" * 32])


def test_a_proof_holds_without_the_log_and_fails_after_any_edit(tmp_path: Path) -> None:
    written(tmp_path)
    proof = prove(tmp_path, "a1")
    assert check(proof)["audit_id"] == "a1"
    assert check(json.loads(json.dumps(proof)), tmp_path / KEYS)["audit_id"] == "a1"
    for part, words in (
        ({"record": {**proof["record"], "audit_id": "a9"}}, "was changed"),
        ({"previous": "0" * 64}, "was changed"),
        ({"path": proof["path"][:-1]}, "expected a proof"),
        ({"path": ["00" * 32, *proof["path"][1:]]}, "not under the signed root"),
        ({"checkpoint": {**proof["checkpoint"], "root": "0" * 64}}, "signature"),
        ({"record": None}, "expected a proof"),
    ):
        with pytest.raises(AuditBroken, match=words):
            check({**proof, **part})
    written(tmp_path / "other")
    with pytest.raises(AuditBroken, match="not trusted"):
        check(proof, tmp_path / "other" / KEYS)
    with pytest.raises(InputInvalid, match="this audit id"):
        prove(tmp_path, "nobody")


def test_a_record_after_the_last_checkpoint_cannot_be_proved_yet(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, "w1")
    log.append({"kind": "decision", "audit_id": "a0"})
    log.commit()
    with pytest.raises(InputInvalid, match="a checkpoint after the record"):
        prove(tmp_path, "a0")
    log.close()
    assert check(prove(tmp_path, "a0"))["audit_id"] == "a0"


# --- erasure ---------------------------------------------------------------------------------------------------------


def test_an_erased_person_is_gone_and_the_chain_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path)
    done = erase(tmp_path, {"p1"}, "2026-07-01T00:00:00Z")
    assert (done.details, done.waiting) == (2, 0)
    assert b'"p1"' not in b"".join(file.read_bytes() for file in tmp_path.glob("*.jsonl"))
    assert [entry.detail and entry.detail["subject"] for entry in entries(path)] == [None, "p0", None, "p2", None]
    assert verify(tmp_path).erased == 2
    assert erase(tmp_path, {"p1"}, "2026-07-02T00:00:00Z").details == 0  # a second run finds nothing left
    assert check(prove(tmp_path, "a1"))["audit_id"] == "a1"  # that there was a decision can still be proved


def test_a_detail_that_is_gone_without_an_order_is_an_edit(tmp_path: Path) -> None:
    path = written(tmp_path)
    lines = path.read_bytes().split(b"\n")
    detail = next(place for place, line in enumerate(lines) if line.startswith(b'{"detail":{'))
    digest = hashlib.sha256(lines[detail]).hexdigest()
    lines[detail] = json.dumps({"erased": digest}, separators=(",", ":")).encode()
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(AuditBroken, match="no signed record orders its erasure"):
        verify(tmp_path)
    del lines[detail]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(AuditBroken, match="its detail was changed or removed"):
        verify(tmp_path)


@pytest.mark.parametrize("change", [b'"band":"cold"', b'"band":"hot" '])
def test_a_detail_that_was_edited_is_found(tmp_path: Path, change: bytes) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"band":"hot"', change, 1))
    with pytest.raises(AuditBroken, match="record 1: its detail was changed"):
        verify(tmp_path)


def test_an_order_to_erase_that_a_crash_left_undone_verifies_and_is_done_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)

    def crash(file: Path, erased: set[str]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("policy.audit.erasing._rewrite", crash)
        erase(tmp_path, {"p1"}, "2026-07-01T00:00:00Z")
    assert verify(tmp_path).erased == 0
    assert erase(tmp_path, {"p1"}, "2026-07-01T00:00:00Z").details == 2
    assert verify(tmp_path).erased == 2


def test_a_file_that_a_service_writes_waits_until_it_ended(tmp_path: Path) -> None:
    log = AuditLog.claim(tmp_path, "online")
    log.append({"kind": "decision", "audit_id": "a0", "detail": {"subject": "p1"}})
    log.commit()
    assert (erase(tmp_path, {"p1"}, "t").details, erase(tmp_path, {"p1"}, "t").waiting) == (0, 1)
    log.close()
    assert erase(tmp_path, {"p1"}, "t").details == 1
    assert verify(tmp_path).erased == 1


def test_the_same_detail_twice_has_two_hashes_because_it_is_salted(tmp_path: Path) -> None:
    path = written(tmp_path, ("p1", "p1"))
    first, second = [entry.record["detail"] for entry in list(entries(path))[1:]]
    assert first != second


# --- batch runs ------------------------------------------------------------------------------------------------------


def test_the_files_of_a_run_are_those_that_were_recorded(tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "log"
    run.mkdir()
    (run / "rows.csv").write_bytes(b"lead_id\nL1\n")
    (run / "manifest.json").write_text('{"merkle_root": "ab"}')
    with pytest.raises(AuditBroken, match="expected an audit log"):
        verify_run(folder, run)
    log = AuditLog(folder, "rescore_0")
    log.append({"kind": "rescore", "merkle_root": "cd", "files": {}})
    log.close()
    with pytest.raises(InputInvalid, match="a record of this run"):
        verify_run(folder, run)
    log = AuditLog(folder, "rescore_0")
    files = {"rows.csv": hashlib.sha256(b"lead_id\nL1\n").hexdigest()}
    log.append({"kind": "rescore", "merkle_root": "ab", "files": files})
    log.close()
    assert verify_run(folder, run)["files"] == files
    (run / "rows.csv").write_bytes(b"lead_id\nL2\n")
    with pytest.raises(AuditBroken, match=r"rows\.csv: it is not what was recorded"):
        verify_run(folder, run)
    (run / "manifest.json").unlink()
    with pytest.raises(InputInvalid, match="expected the result"):
        verify_run(folder, run)
