"""Erasing what the audit log knows about a person, so that the chain stays valid.

Only details are erased: the record that held their hash stays, and no longer tells whom it was about. The order to
erase is a record of its own, written first; so a detail that is gone without one is found as an edit.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from policy.audit.chain import erased_line, log_files
from policy.audit.log import AuditLog

_DETAIL = b'{"detail":{'
MOST_IN_A_RECORD = 1_000


@dataclass(frozen=True, slots=True)
class Erased:
    """How many details were erased, and how many stay until the process that writes their file has ended."""

    details: int
    waiting: int


def erase(folder: Path, subjects: Collection[str], at: str) -> Erased:
    """Erase every detail about some pseudonyms, and order it first; a second run finds nothing left.

    Files that a living process writes are left alone and counted: run again after that process ended.

    Args:
        folder: the audit folder; it must verify, which the caller has checked.
        subjects: pseudonyms of one person's ids.
        at: the instant of the order, as text.

    INVARIANT: a crash at any moment leaves a log that verifies.
    """
    waiting, found = 0, {}
    for file in log_files(folder):
        mine = _about(file, subjects)
        if mine and _is_written(file):
            waiting += len(mine)
        elif mine:
            found[file] = mine
    if found:
        every = sorted(digest for mine in found.values() for digest in mine)
        log = AuditLog.claim(folder, "erasure")
        for start in range(0, len(every), MOST_IN_A_RECORD):
            log.append({"kind": "erasure", "at": at, "details": every[start : start + MOST_IN_A_RECORD]})
        log.close()
        for file, mine in found.items():
            _rewrite(file, mine)
    return Erased(sum(len(mine) for mine in found.values()), waiting)


def _about(file: Path, subjects: Collection[str]) -> set[str]:
    """Hashes of the details in a file about the pseudonyms."""
    return {
        hashlib.sha256(line).hexdigest()
        for line in file.read_bytes().split(b"\n")[:-1]
        if line.startswith(_DETAIL)
        and b'"~hash"' not in line[-80:]
        and json.loads(line)["detail"].get("subject") in subjects
    }


def _is_written(file: Path) -> bool:
    """Whether a living process holds the file's slot."""
    lock = file.parent / f".{file.name.rsplit('-', 1)[0]}.lock"
    if not lock.exists():
        return False
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _rewrite(file: Path, erased: set[str]) -> None:
    """Put the erased lines in place of the details, whole or not at all."""
    lines = file.read_bytes().split(b"\n")
    for place, line in enumerate(lines):
        digest = hashlib.sha256(line).hexdigest()
        if digest in erased:
            lines[place] = erased_line(digest)
    fresh = file.parent / f".{file.name}.{secrets.token_hex(8)}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(b"\n".join(lines))
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
