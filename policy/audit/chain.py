"""Reading the audit log back: whether every record is there, unchanged and in its place.

A file has records, each ending in its hash; before a record may stand a line with its detail, or with a note that the
detail was erased. A detail counts where its record names its hash; an erasure counts where a record orders it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import AuditBroken
from policy.audit.canonical import canonical
from policy.audit.checkpoints import CHECKPOINTS, GENESIS, Checkpoint, read_checkpoints
from policy.audit.merkle import GrowingTree

HASH = b',"~hash":"'
ERASED = "erased"
_DETAIL, _ERASED = b'{"detail":{', b'{"erased":"'


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification read: files, records, signed checkpoints, and details that were erased by order.

    `unsigned` records stand after the last checkpoint of their file: whoever can write the folder could have changed
    them. A closed file has none.
    """

    files: int
    records: int
    checkpoints: int
    erased: int
    unsigned: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with its place: the file, its number there, and its detail, None where it has none or it was erased."""

    file: str
    record: dict[str, Any]
    detail: dict[str, Any] | None


def chained(previous: str, body: bytes) -> str:
    """Hash of a record that follows another."""
    return hashlib.sha256(previous.encode() + body).hexdigest()


def log_files(folder: Path) -> list[Path]:
    """The files of a log, each worker's in their order; raises AuditBroken where there is none."""
    files = sorted(folder.glob("*-*.jsonl"))
    if not files:
        raise AuditBroken(f"{folder}: expected an audit log")
    return files


def verify(path: Path, keys: Path | None = None) -> Verified:
    """Check a folder of logs, or one file; raises AuditBroken naming the first bad record.

    `keys` is the public key, or a folder of them, that checkpoints have to be signed with; without it those beside the
    log are believed.
    """
    folder = path if path.is_dir() else path.parent
    # Before the files: those of a running service grow, and what a checkpoint knows must be found in them.
    checkpoints = read_checkpoints(folder, keys)
    files = log_files(folder) if path.is_dir() else [path]
    if not all(file.is_file() for file in files):
        raise AuditBroken(f"{path}: expected an audit log")
    found: dict[str, _File] = {}
    ends: dict[str, str] = {}
    for position, file in enumerate(files):
        worker = file.name.rsplit("-", 1)[0]
        following = files[position + 1] if position + 1 < len(files) else None
        goes_on = following is not None and following.name.startswith(f"{worker}-")
        torn = following is not None and goes_on and _header(following).get("torn") is True
        expected = ends.get(worker, GENESIS) if path.is_dir() else None
        before = sum(1 for other in files[:position] if other.name.startswith(f"{worker}-"))
        if path.is_dir() and number_of(file) != 1 + before:
            raise AuditBroken(f"{file.name}: the file before it is missing")
        found[file.name] = _verify_file(file, expected, torn=torn)
        ends[worker] = found[file.name].hashes[-1] if found[file.name].hashes else ends.get(worker, GENESIS)
    if path.is_dir() and any(len(one.hashes) > 1 for name, one in found.items() if name not in _named(checkpoints)):
        # A file that was begun meanwhile got its checkpoint meanwhile.
        begun = [one for one in read_checkpoints(folder, keys)[len(checkpoints) :] if one.file in found]
        checkpoints += [one for one in begun if one.seq < len(found[one.file].hashes)]
    signed = _verify_checkpoints(checkpoints, found, every_file=path.is_dir())
    erased = _verify_erasures(found, signed, every_file=path.is_dir())
    unsigned = sum(len(one.hashes) - 1 - signed.get(name, 0) for name, one in found.items() if one.hashes)
    records = sum(len(one.hashes) for one in found.values())
    return Verified(len(files), records, len(checkpoints), erased, unsigned)


def read_records(file: Path) -> list[dict[str, Any]]:
    """The records of one file without its header, unverified."""
    return [entry.record for entry in entries(file)][1:]


def entries(file: Path) -> Iterator[Entry]:
    """Every record of a file with its detail, unverified; half a record at the end is left out."""
    detail: dict[str, Any] | None = None
    for line in file.read_bytes().split(b"\n")[:-1]:
        content = json.loads(line)
        if _is_record(line):
            yield Entry(file.name, content, detail)
            detail = None
        elif line.startswith(_DETAIL):
            detail = content["detail"]


def last_record(folder: Path, worker: str) -> tuple[str, bool]:
    """Hash of the last whole record of the worker's newest file, and whether a crash left a part of one after it.

    A part was never committed, so nothing was answered on it: the next file says so in its header and goes on.
    """
    torn = False
    for age, file in enumerate(sorted(folder.glob(f"{worker}-*.jsonl"), reverse=True)):
        *whole, tail = file.read_bytes().split(b"\n")
        records = [line for line in whole if _is_record(line)]
        torn = torn or (age == 0 and (tail != b"" or (bool(whole) and not _is_record(whole[-1]))))
        if records:
            return str(json.loads(records[-1])["~hash"]), torn
    return GENESIS, torn


def number_of(path: Path) -> int:
    """Which file of its worker a file is, from 1."""
    return int(path.stem.rsplit("-", 1)[1])


@dataclass(frozen=True, slots=True)
class _File:
    """What was checked of a file: hashes of its records, erased details by hash, and which record orders which."""

    hashes: list[str]
    erased: dict[str, str]
    ordered: list[tuple[int, str]]


def _is_record(line: bytes) -> bool:
    return line.endswith(b'"}') and line[:-66].endswith(HASH)


def _verify_file(file: Path, previous: str | None, *, torn: bool) -> _File:
    *lines, tail = file.read_bytes().split(b"\n")
    dangling = bool(lines) and not _is_record(lines[-1]) and lines[-1].startswith((_DETAIL, _ERASED))
    if (tail != b"" or dangling) != torn:
        raise AuditBroken(f"{file.name}, record {sum(map(_is_record, lines))}: it is cut off")
    found = _File([], {}, [])
    head, told = previous, b""
    for line in lines[: len(lines) - dangling]:
        number = len(found.hashes)
        place = f"{file.name}, record {number}"
        if line.startswith((_DETAIL, _ERASED)) and not _is_record(line):
            if told:
                raise AuditBroken(f"{place}: it has two details")
            told = line
            continue
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
        if body[:-1] + HASH + str(digest).encode() + b'"}' != line:
            raise AuditBroken(f"{place}: it is not spelled canonically")
        if chained(str(head), body) != digest:
            raise AuditBroken(f"{place}: its content or the chain before it was changed")
        _verify_detail(place, record, told, found.erased)
        if record.get("kind") == "erasure":
            found.ordered.extend((number, digest) for digest in record.get("details", ()))
        head, told = digest, b""
        found.hashes.append(digest)
    if not found.hashes and not torn:
        raise AuditBroken(f"{file.name}, record 0: the header is missing")
    return found


def _verify_detail(place: str, record: dict[str, Any], told: bytes, erased: dict[str, str]) -> None:
    named = record.get("detail")
    if named is None:
        if told:
            raise AuditBroken(f"{place}: a detail was added to it")
        return
    if told.startswith(_ERASED):
        if told != erased_line(str(named)):
            raise AuditBroken(f"{place}: the erasure names another detail")
        erased[str(named)] = place
    elif hashlib.sha256(told).hexdigest() != named:
        raise AuditBroken(f"{place}: its detail was changed or removed")


def erased_line(digest: str) -> bytes:
    """What stands in the place of a detail that was erased."""
    return canonical({ERASED: digest})


def _verify_erasures(found: dict[str, _File], signed: dict[str, int], *, every_file: bool) -> int:
    """How many details were erased; an order may stand in another file, so that one file alone cannot tell.

    INVARIANT: only an order under a signed checkpoint counts, as `policy/audit/erasing.py` writes it before it erases.
    """
    ordered = {digest for name, one in found.items() for at, digest in one.ordered if at <= signed.get(name, -1)}
    erased = {digest: place for one in found.values() for digest, place in one.erased.items()}
    if every_file:
        for digest, place in erased.items():
            if digest not in ordered:
                raise AuditBroken(f"{place}: its detail is gone and no signed record orders its erasure")
    return len(erased)


def _named(checkpoints: list[Checkpoint]) -> set[str]:
    return {checkpoint.file for checkpoint in checkpoints}


def _verify_checkpoints(checkpoints: list[Checkpoint], found: dict[str, _File], *, every_file: bool) -> dict[str, int]:
    """The last record of each file that a checkpoint signs."""
    wanted: dict[str, dict[int, str]] = {}
    for checkpoint in checkpoints:
        name, seq = checkpoint.file, checkpoint.seq
        if name not in found:
            if every_file:
                raise AuditBroken(f"{name}: a checkpoint names this file and it is missing")
            continue
        hashes = found[name].hashes
        if seq >= len(hashes):
            raise AuditBroken(f"{name}, record {len(hashes)}: a checkpoint knows record {seq}; the tail was cut")
        if hashes[seq] != checkpoint.hash:
            raise AuditBroken(f"{name}, record {seq}: it differs from its checkpoint")
        wanted.setdefault(name, {})[seq] = checkpoint.root
    for name, roots in wanted.items():
        tree = GrowingTree()
        for seq, digest in enumerate(found[name].hashes):
            tree.add(bytes.fromhex(digest))
            if seq in roots and roots[seq] != tree.root():
                raise AuditBroken(f"{CHECKPOINTS}: the root of {name}, record {seq}, does not fit the records")
    if every_file:
        for name, one in found.items():
            # A header alone is what a crash leaves between the file and its first checkpoint.
            if name not in wanted and len(one.hashes) > 1:
                raise AuditBroken(f"{name}: no checkpoint names this file")
    return {name: max(roots) for name, roots in wanted.items()}


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as lines, contextlib.suppress(ValueError):
        header = json.loads(lines.readline())
        return header if isinstance(header, dict) else {}
    return {}
