"""The folder an import writes, replaced in one step, and the key of its hashes.

INVARIANT: a run that is killed leaves the earlier folder; nothing but an earlier import is ever replaced.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from configs.errors import InputInvalid
from features.intake.scan import readable

STATE = "import.json"
LINKS = "links.parquet"
KEY_NAME = "leadwell-hash.key"
_KEY_BYTES, _BLOCK = 32, 64


@dataclass(frozen=True, slots=True)
class Hashing:
    """The pads of HMAC-SHA256 (RFC 2104) for one key, and the file it is in; `made` says it was made just now."""

    inner: bytes
    outer: bytes
    fingerprint: str | None
    file: Path | None
    made: bool

    @classmethod
    def of(cls, out: Path, file: Path | None, *, needed: bool) -> Hashing:
        """Read the key, or make one beside `out` that only its owner may read; raises InputInvalid for a bad key."""
        if not needed:
            return cls(b"", b"", None, None, False)
        path, made = file or out.resolve().parent / KEY_NAME, False
        if not path.exists():
            if file is not None:
                raise InputInvalid(str(file), "expected a file with the key of the hashes")
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(secrets.token_hex(_KEY_BYTES) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            made = True
        try:
            text = path.read_text(encoding="ascii").strip()
            key = bytes.fromhex(text)
        except (OSError, ValueError):
            raise InputInvalid(str(path), "expected a readable file with the key as hexadecimal digits") from None
        if len(key) < _KEY_BYTES:
            raise InputInvalid(str(path), f"expected a key of at least {_KEY_BYTES} bytes, as {2 * _KEY_BYTES} digits")
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        inner, outer = bytes(b ^ 0x36 for b in block), bytes(b ^ 0x5C for b in block)
        # Tells two keys apart without telling anything about either.
        fingerprint = hashlib.sha256(b"leadwell key " + hashlib.sha256(key).digest()).hexdigest()[:16]
        return cls(inner, outer, fingerprint, path, made)


class Store:
    """A folder being written beside the one it will replace."""

    def __init__(self, out: Path, sources: tuple[Path, ...]) -> None:
        if out.name in ("", ".."):
            raise InputInvalid(str(out), "expected the name of a folder")
        self.out = out
        self.partial = out.with_name(f".{out.name}.partial")
        self.before = out.with_name(f".{out.name}.before")
        self.spill = out.with_name(f".{out.name}.spill")
        self.lock = out.with_name(f".{out.name}.lock")
        self.handle = -1
        if any(source.exists() and source.resolve().is_relative_to(out.resolve()) for source in sources):
            raise InputInvalid(str(out), "expected another folder than the export's own, and none above it")
        if out.exists() and not out.is_dir():
            raise InputInvalid(str(out), "expected a folder, or the name of a new one")
        if out.is_dir() and any(out.iterdir()) and not (out / STATE).is_file():
            raise InputInvalid(str(out), f"expected an empty folder or an earlier import (with {STATE})")

    def __enter__(self) -> Store:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.handle = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self.handle)
            raise InputInvalid(str(self.out), "expected no other import into this folder at the same time") from None
        if not self.out.exists() and self.before.is_dir():  # killed between the two renames
            self.before.rename(self.out)
        for left in (self.partial, self.before, self.spill):
            shutil.rmtree(left, ignore_errors=True)
        self.partial.mkdir()
        # What DuckDB spills are the export's own rows, with names and addresses in the clear.
        self.spill.mkdir(mode=0o700)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.partial, ignore_errors=True)
        shutil.rmtree(self.spill, ignore_errors=True)
        self.lock.unlink(missing_ok=True)
        os.close(self.handle)  # a killed run frees the lock as well

    def write(self, table: str, rows: pa.RecordBatchReader, metadata: Mapping[str, str]) -> int:
        """Write one table's batches as Parquet; returns how many rows."""
        schema = rows.schema.with_metadata(dict(metadata) or None)
        written = 0
        with pq.ParquetWriter(self.partial / f"{table}.parquet", schema, compression="zstd") as writer:
            for batch in rows:
                writer.write_batch(batch.replace_schema_metadata(dict(metadata) or None))
                written += batch.num_rows
        return written

    def finish(self, rejects: pa.Table, counts: Mapping[str, Mapping[str, int]], state: Mapping[str, Any]) -> None:
        """Write what became of the rows and what this is, then put the folder in the place of the earlier one."""
        pa_csv.write_csv(rejects, self.partial / "rejects.csv")
        with (self.partial / "counts.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            columns = ("read", "used", "silent", "rejected", "duplicate")
            writer.writerow(("table", *columns))
            writer.writerows((name, *(found[column] for column in columns)) for name, found in counts.items())
        content = json.dumps({**state, "counts": counts}, indent=1, sort_keys=True, ensure_ascii=False)
        (self.partial / STATE).write_text(content + "\n", encoding="utf-8")
        self._carry_over()
        for file in sorted(self.partial.rglob("*")):
            _durable(file)
        _durable(self.partial)
        if self.out.exists():
            self.out.rename(self.before)
        self.partial.rename(self.out)
        _durable(self.out.parent)
        shutil.rmtree(self.before, ignore_errors=True)

    def _carry_over(self) -> None:
        """Bring along what no import wrote: links added since, a review list, tables of another maker.

        INVARIANT: what a person decided of two leads outlives every later import.
        """
        if not (self.out / STATE).is_file():
            return
        try:
            tables = json.loads((self.out / STATE).read_text(encoding="utf-8"))["tables"]
            written = int(tables.get("links", 0))
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            raise InputInvalid(str(self.out / STATE), "expected the state of an earlier import") from None
        own = {STATE, LINKS, "rejects.csv", "counts.csv", *(f"{table}.parquet" for table in tables)}
        for path in sorted(self.out.iterdir()):
            if path.name in own or path.name.startswith("."):
                continue
            if (self.partial / path.name).exists():
                raise InputInvalid(str(path), "expected no file of this name: the import writes one, and this is none")
            if path.is_dir():
                shutil.copytree(path, self.partial / path.name)
            else:
                shutil.copy2(path, self.partial / path.name)
        if (self.out / LINKS).is_file():
            self._carry_links(written)

    def _carry_links(self, written: int) -> None:
        with readable(str(self.out / LINKS), OSError):
            # Links are only ever appended, so those that the earlier import wrote come first.
            added = pq.read_table(self.out / LINKS).slice(written)
            if added.num_rows:
                fresh = self.partial / LINKS
                links = [pq.read_table(fresh), added] if fresh.exists() else [added]
                pq.write_table(pa.concat_tables(links, promote_options="permissive"), fresh, compression="zstd")


def _durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
