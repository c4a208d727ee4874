"""What a bucket store says about itself: which files it has read, which segments hold their rows, and a seal.

The manifest is replaced in one step and last: whatever kills a run, the store is the old one or the new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from configs.errors import InputInvalid
from features.layout import LAYOUTS

NAME = "buckets.json"
# Raised when encoded rows come to mean something else; a store of another number is written anew.
LAYOUT_VERSION = 1


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read: `number` is how rows name it, for as long as the store is not written anew."""

    number: int
    mark: str
    size: int
    columns: str
    rows: int
    unmapped: dict[str, int]
    unreadable: list[list[Any]]


class SegmentEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A segment's files by name with their SHA-256, its rows, and the numbers of the files they came from."""

    name: str
    rows: int
    files: list[int]
    sha256: dict[str, str]


class TableEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the store: files, segments, and what encoding met on the way."""

    files: list[FileEntry]
    segments: list[SegmentEntry]
    reasons: list[list[str]]
    spellings: dict[str, dict[str, int]]
    fields: list[str]
    extras: list[str]
    next_number: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The store. `made_by` is what must not differ for its rows to mean the same."""

    made_by: str
    tables: dict[str, TableEntry]


def made_by() -> str:
    """What decides how a row is encoded, besides the words of the vocabularies."""
    layouts = {table: [repr(column) for column in layout.columns] for table, layout in sorted(LAYOUTS.items())}
    digest = hashlib.sha256(json.dumps(layouts).encode()).hexdigest()[:16]
    return f"{LAYOUT_VERSION} layout {digest} duckdb {duckdb.__version__}"


def read_manifest(folder: Path) -> tuple[Manifest | None, str]:
    """The manifest of a store, else None and why it cannot be used ("" where there is none yet)."""
    path = folder / NAME
    if not path.is_file():
        return None, ""
    try:
        content = json.loads(path.read_bytes())
        seal = content.pop("seal")
        if seal != _seal(content):
            return None, "their manifest is damaged"
        found = msgspec.convert(content, Manifest)
    except (ValueError, KeyError, AttributeError, msgspec.ValidationError):
        return None, "their manifest is damaged"
    if found.made_by != made_by():
        return None, "another version wrote the buckets"
    return found, ""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest durably and in one step."""
    content = msgspec.to_builtins(manifest)
    partial = folder / f".{NAME}.partial"
    with partial.open("w", encoding="utf-8") as file:
        json.dump({**content, "seal": _seal(content)}, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / NAME)
    sync(folder)


def sync(path: Path) -> None:
    """Make a file or folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _seal(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@contextmanager
def only_user(folder: Path) -> Iterator[None]:
    """Hold the lock of a store; raises InputInvalid where another run has it. A killed run frees it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputInvalid(str(folder), "expected no other run using these buckets now") from None
        yield
