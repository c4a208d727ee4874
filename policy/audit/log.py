"""The audit log: append-only canonical JSON lines in a hash chain, made durable before an answer is sent.

One file per worker. Its first line is a header that names the hash of the previous file's last record; every record's
hash covers the previous one. `append` only buffers; `commit` writes the group, synced. Signed checkpoints beside the
logs join the chains and make a cut tail visible; keep a copy of them where the service cannot write.

What is about a person stands on a line of its own before its record, which holds only its salted hash. So it can be
erased later (`policy/audit/erasing.py`) and the chain stays valid.
Values are text, whole numbers, yes/no, or lists and mappings of them: a float must be given as decimal text.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.errors import AuditBroken
from policy.audit.canonical import canonical
from policy.audit.chain import HASH, chained, last_record, number_of
from policy.audit.checkpoints import Signer
from policy.audit.merkle import GrowingTree

MOST_WORKERS = 1000
DETAIL = "detail"


class AuditLog:
    """One worker's chained file. Not for several threads at once; a failed commit closes the file for good."""

    def __init__(self, folder: Path, worker: str) -> None:
        if not worker.isidentifier():
            raise ValueError("a worker's name is letters, digits and underscores")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._signer = Signer.of(folder)
        previous, torn = last_record(folder, worker)
        number = 1 + max((number_of(path) for path in folder.glob(f"{worker}-*.jsonl")), default=0)
        self.path = folder / f"{worker}-{number:06d}.jsonl"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_DSYNC, 0o600)
        self._seq, self._hash = -1, previous
        self._tree = GrowingTree()
        self._pending: list[bytes] = []
        self._broken = False
        self._lock: int | None = None
        self.append({"kind": "header", "worker": worker, "previous": previous, "torn": torn})
        # INVARIANT: every file has a checkpoint before its first record, so that none can vanish or appear unseen.
        self.checkpoint()
        _sync_folder(folder)

    @classmethod
    def claim(cls, folder: Path, kind: str) -> AuditLog:
        """The first log of a kind that no living process writes: a restarted worker goes on where the dead one ended.

        So its next file names the last record of the one before, and says so where that was cut off by a crash.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for slot in range(MOST_WORKERS):
            lock = os.open(folder / f".{kind}_{slot}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                # The system lets go of it when the process ends, however it ends.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            log = cls(folder, f"{kind}_{slot}")
            log._lock = lock
            return log
        raise AuditBroken(f"{folder}: expected fewer than {MOST_WORKERS} processes that write {kind} logs")

    @property
    def seq(self) -> int:
        """Number of the newest record."""
        return self._seq

    @property
    def head(self) -> str:
        """Hash of the newest record."""
        return self._hash

    def append(self, record: Mapping[str, Any]) -> int:
        """Chain a record and buffer it; it counts only after `commit`. Returns its number in this file.

        A mapping under `detail` is what may be erased one day: the record keeps only its hash, with a salt.
        """
        if self._broken:
            raise AuditBroken(
                f"{self.path.name}: a write failed earlier; no record is taken until a new file is started"
            )
        seq = self._seq + 1
        detail = record.get(DETAIL)
        line = b""
        if isinstance(detail, Mapping):
            told = canonical({DETAIL: {**detail, "salt": secrets.token_hex(16)}})
            record = {**record, DETAIL: hashlib.sha256(told).hexdigest()}
            line = told + b"\n"
        body = canonical({**record, "seq": seq})
        digest = chained(self._hash, body)
        self._pending.append(line + body[:-1] + HASH + digest.encode() + b'"}\n')
        self._tree.add(bytes.fromhex(digest))
        self._seq, self._hash = seq, digest
        return seq

    def commit(self) -> int:
        """Write everything appended; returns the newest durable number. Raises AuditBroken if that fails.

        INVARIANT: what was written is on disk, because the file is open with O_DSYNC: one call writes and syncs.
        """
        group, self._pending = b"".join(self._pending), []
        if self._broken:
            raise AuditBroken(f"{self.path.name}: a write failed earlier")
        try:
            written = 0
            while written < len(group):
                written += os.write(self._file, group[written:])
        except OSError as error:
            # After a failed sync nobody knows what is on disk: never retry the same file.
            self._broken = True
            raise AuditBroken(f"{self.path.name}: {error.strerror}; start a new log file") from error
        return self._seq

    def checkpoint(self, **facts: str | int) -> None:
        """Note the head of this chain in the signed checkpoints, with whatever versions the caller adds."""
        self.commit()
        head = {"file": self.path.name, "seq": self._seq, "hash": self._hash, "root": self._tree.root()}
        self._signer.note(self.folder, {**head, **facts})

    def close(self) -> None:
        """Commit, checkpoint and close; a log whose write failed is only closed."""
        try:
            if not self._broken:
                self.checkpoint()
        finally:
            os.close(self._file)
            if self._lock is not None:
                os.close(self._lock)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
