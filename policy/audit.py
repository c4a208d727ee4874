"""The audit log: append-only canonical JSON lines in a hash chain, made durable before an answer is sent.

One file per worker. Its first line is a header that names the hash of the previous file's last record; every record's
hash covers the previous one. `append` only buffers; `commit` writes the group, synced. A checkpoints file beside the
logs joins the chains and makes a cut tail visible; keep a copy of it where the service cannot write.
Values are text, whole numbers, yes/no, or lists and mappings of them: a float must be given as decimal text.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from configs.errors import AuditBroken

GENESIS = "0" * 64
CHECKPOINTS = "checkpoints.jsonl"
KEY_VARIABLE = "LEADWELL_AUDIT_KEY"
KEY_FILE = "pseudonym.key"
MOST_WORKERS = 1000
_CANONICAL = msgspec.json.Encoder(order="deterministic")
# The same spelling, for whole numbers of more than 64 bits.
_LONG = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(record: Mapping[str, Any]) -> bytes:
    """The one spelling of a record: sorted keys, no spaces, UTF-8; raises TypeError on a float or unknown type."""
    _refuse_others(record)
    try:
        return _CANONICAL.encode(record)
    except OverflowError:
        return _LONG.encode(record).encode()


def pseudonym_key(folder: Path) -> bytes:
    """The pseudonym key: from the environment, else from a key file that is made once for its owner only."""
    given = os.environ.get(KEY_VARIABLE)
    if given:
        return given.encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / KEY_FILE
    fresh = folder / f".{KEY_FILE}.{secrets.token_hex(8)}"
    if not path.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)  # the first of several workers wins, and the others read its key
        fresh.unlink()
    return path.read_bytes().strip()


def pseudonym(key: bytes, lead_id: str) -> str:
    """Who a record is about, for those who hold the key only."""
    inner, outer = (state.copy() for state in _keyed(key))
    inner.update(b"lead\x00" + lead_id.encode())
    outer.update(inner.digest())
    return outer.hexdigest()


@lru_cache(maxsize=4)
def _keyed(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """The two states that HMAC-SHA256 (RFC 2104) starts from: made once a key, which a digest from scratch is not."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in block)), hashlib.sha256(bytes(byte ^ 0x5C for byte in block))


class AuditLog:
    """One worker's chained file. Not for several threads at once; a failed commit closes the file for good."""

    def __init__(self, folder: Path, worker: str) -> None:
        if not worker.isidentifier():
            raise ValueError("a worker's name is letters, digits and underscores")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        previous, torn = _last_of(folder, worker)
        number = 1 + max((_number(path) for path in folder.glob(f"{worker}-*.jsonl")), default=0)
        self.path = folder / f"{worker}-{number:06d}.jsonl"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_DSYNC, 0o600)
        self._seq, self._hash = -1, previous
        self._pending: list[bytes] = []
        self._broken = False
        self._lock: int | None = None
        self.append({"kind": "header", "worker": worker, "previous": previous, "torn": torn})
        self.commit()
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
        """Chain a record and buffer it; it counts only after `commit`. Returns its number in this file."""
        if self._broken:
            raise AuditBroken(
                f"{self.path.name}: a write failed earlier; no record is taken until a new file is started"
            )
        seq = self._seq + 1
        body = canonical({**record, "seq": seq})
        digest = hashlib.sha256(self._hash.encode() + body).hexdigest()
        self._pending.append(body[:-1] + b',"~hash":"' + digest.encode() + b'"}\n')
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
        """Note the head of this chain in the checkpoints file, with whatever versions the caller adds."""
        self.commit()
        line = canonical({"file": self.path.name, "seq": self._seq, "hash": self._hash, **facts}) + b"\n"
        descriptor = os.open(self.folder / CHECKPOINTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Commit, checkpoint and close; a log whose write failed is only closed."""
        try:
            if not self._broken:
                self.checkpoint()
        finally:
            os.close(self._file)
            if self._lock is not None:
                os.close(self._lock)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification read."""

    files: int
    records: int
    checkpoints: int


def verify(path: Path) -> Verified:
    """Check a folder of logs, or one file; raises AuditBroken naming the first bad record."""
    folder = path if path.is_dir() else path.parent
    files = sorted(folder.glob("*-*.jsonl")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise AuditBroken(f"{path}: expected an audit log")
    records = 0
    ends: dict[str, str] = {}
    for position, file in enumerate(files):
        worker = file.name.rsplit("-", 1)[0]
        following = files[position + 1] if position + 1 < len(files) else None
        goes_on = following is not None and following.name.startswith(f"{worker}-")
        torn = following is not None and goes_on and _header(following).get("torn") is True
        expected = ends.get(worker, GENESIS) if path.is_dir() else None
        if path.is_dir() and _number(file) != 1 + sum(1 for f in files if f < file and f.name.startswith(f"{worker}-")):
            raise AuditBroken(f"{file.name}: the file before it is missing")
        hashes = _verify_file(file, expected, torn=torn)
        ends[worker] = hashes[-1] if hashes else ends.get(worker, GENESIS)
        records += len(hashes)
    return Verified(
        len(files), records, _verify_checkpoints(folder, {file.name for file in files}, every_file=path.is_dir())
    )


def read_records(file: Path) -> list[dict[str, Any]]:
    """The records of one file without its header, unverified."""
    return [json.loads(line) for line in file.read_bytes().splitlines()[1:]]


def _verify_file(file: Path, previous: str | None, *, torn: bool) -> list[str]:
    lines = file.read_bytes().split(b"\n")
    if (lines[-1] != b"") != torn:
        raise AuditBroken(f"{file.name}, record {len(lines) - 1}: it is cut off")
    hashes: list[str] = []
    head = previous
    for number, line in enumerate(lines[:-1]):
        place = f"{file.name}, record {number}"
        try:
            record = json.loads(line)
            digest = record.pop("~hash")
            body = canonical(record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AuditBroken(f"{place}: expected a canonical JSON record") from error
        if number == 0:
            if record.get("kind") != "header" or (previous is not None and record.get("previous") != previous):
                raise AuditBroken(f"{place}: its header does not continue the file before it")
            head = str(record.get("previous"))
        if record.get("seq") != number:
            raise AuditBroken(f"{place}: expected number {number}; a record was removed, added or moved")
        if body[:-1] + b',"~hash":"' + str(digest).encode() + b'"}' != line:
            raise AuditBroken(f"{place}: it is not spelled canonically")
        if hashlib.sha256(str(head).encode() + body).hexdigest() != digest:
            raise AuditBroken(f"{place}: its content or the chain before it was changed")
        head = digest
        hashes.append(digest)
    if not hashes and not torn:
        raise AuditBroken(f"{file.name}, record 0: the header is missing")
    return hashes


def _verify_checkpoints(folder: Path, names: set[str], *, every_file: bool) -> int:
    path = folder / CHECKPOINTS
    lines = path.read_bytes().splitlines() if path.is_file() else []
    heads: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        try:
            note = json.loads(line)
            name, seq, digest = note["file"], note["seq"], note["hash"]
        except (ValueError, KeyError, TypeError) as error:
            raise AuditBroken(f"{CHECKPOINTS}, line {number + 1}: expected a checkpoint") from error
        if name not in names:
            if every_file:
                raise AuditBroken(f"{name}: a checkpoint names this file and it is missing")
            continue
        if name not in heads:
            whole = (folder / name).read_bytes().split(b"\n")[:-1]
            heads[name] = [json.loads(record)["~hash"] for record in whole]
        if seq >= len(heads[name]):
            raise AuditBroken(f"{name}, record {len(heads[name])}: a checkpoint knows record {seq}; the tail was cut")
        if heads[name][seq] != digest:
            raise AuditBroken(f"{name}, record {seq}: it differs from its checkpoint")
    return len(lines)


def _last_of(folder: Path, worker: str) -> tuple[str, bool]:
    """Hash of the last whole record of the worker's newest file, and whether a crash left half a record after it.

    Half a record was never committed, so nothing was answered on it: the next file says so in its header and goes on.
    """
    torn = False
    for age, file in enumerate(sorted(folder.glob(f"{worker}-*.jsonl"), reverse=True)):
        *whole, tail = file.read_bytes().split(b"\n")
        torn = torn or (age == 0 and tail != b"")
        if whole:
            return str(json.loads(whole[-1])["~hash"]), torn
    return GENESIS, torn


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as lines, contextlib.suppress(ValueError):
        header = json.loads(lines.readline())
        return header if isinstance(header, dict) else {}
    return {}


def _number(path: Path) -> int:
    return int(path.stem.rsplit("-", 1)[1])


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_others(value: Any) -> None:
    kind = type(value)
    if kind in _PLAIN:
        return
    if isinstance(value, float):
        raise TypeError("a record holds no floats: write a decimal as text")
    if not isinstance(value, dict | list | tuple):
        raise TypeError(f"a record holds no {kind.__name__}")
    for part in value.values() if isinstance(value, dict) else value:
        if type(part) not in _PLAIN:
            _refuse_others(part)


_PLAIN = frozenset((str, int, bool, type(None)))
