"""Results on disk: whole or not at all, one writer at a time, and safe to open in a spreadsheet."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv

from configs.errors import InputInvalid

# A cell that starts so (after blanks) is run as a formula by a spreadsheet; full-width forms count too (OWASP).
FORMULA = "^(?:[\\s\\x00]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]|')"
_EXCHANGE, _AT_FDCWD = 2, -100


def formula_safe(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Text cells with a leading apostrophe where a spreadsheet would run them; taking one apostrophe away undoes it."""
    risky = pc.match_substring_regex(column, FORMULA)
    return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)


def write_csv(table: pa.Table, path: Path, *, header: bool = True) -> None:
    """Write a CSV whose text cells are formula-safe; numbers stay numbers."""
    columns = [formula_safe(column) if pa.types.is_string(column.type) else column for column in table.columns]
    safe = pa.table(dict(zip(table.column_names, columns, strict=True)))
    pa_csv.write_csv(safe, path, pa_csv.WriteOptions(include_header=header))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON durably and in one step: a reader sees the old file or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the lock of a result folder; raises InputInvalid when another run holds it. A killed run frees it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = out.with_name(f".{out.name}.lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputInvalid(str(out), "expected no other run writing to this folder now") from None
        yield


@contextmanager
def whole_or_nothing(out: Path) -> Iterator[Path]:
    """A fresh folder beside `out` that takes its place, in one step, only if the block ends without an error.

    INVARIANT: whenever the process dies, `out` is the complete old result or the complete new one.
    """
    _restore(out)
    if out.exists() and not out.is_dir():
        raise InputInvalid(str(out), "expected a folder for the result")
    if out.exists() and any(out.iterdir()) and not (out / "manifest.json").exists():
        raise InputInvalid(str(out), "expected an empty folder or an earlier result; it holds other files")
    for left in out.parent.glob(f".{out.name}.partial-*"):
        shutil.rmtree(left)  # of a run that was killed; the lock says that nobody writes there now
    partial = out.with_name(f".{out.name}.partial-{secrets.token_hex(4)}")
    partial.mkdir(parents=True)
    try:
        yield partial
        _sync_tree(partial)
        _exchange(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _sync(out.parent)


def _exchange(fresh: Path, out: Path) -> None:
    if not out.exists():
        fresh.rename(out)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    swap = getattr(libc, "renameat2", None)
    if swap and swap(_AT_FDCWD, os.fsencode(fresh), _AT_FDCWD, os.fsencode(out), _EXCHANGE) == 0:
        return
    # No atomic exchange on this file system: the old result steps aside, complete, before the new one takes its name.
    aside = _aside(out)
    out.rename(aside)
    fresh.rename(out)
    shutil.rmtree(aside)


def _restore(out: Path) -> None:
    """Give `out` back what stepped aside, if a run was killed before the new result took its name."""
    aside = _aside(out)
    if not aside.is_dir():
        return
    if (out / "manifest.json").exists():
        shutil.rmtree(aside)
        return
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()
    if not out.exists():
        aside.rename(out)


def _aside(out: Path) -> Path:
    return out.with_name(f".{out.name}.previous")


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
