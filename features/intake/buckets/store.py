"""Yesterday's encoded rows, kept lead by lead, so that tonight only new files are read.

INVARIANT: the rows a store gives are those that reading every file gives, whatever nights they were read in. So all
that depends on more than one file (who is known, whose account is which, what is a duplicate or a conflict) is decided
anew every night, by the code of a full run. Nothing is reused that is not proved unchanged: a file by the hash of its
bytes, a vocabulary by the codes it gives to every spelling that was met, a segment by its own hash.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import numpy as np

from configs.errors import InputInvalid
from configs.settings import Settings
from features.intake.buckets.inputs import InputFile, inputs_of, one_of_each, sha256_of
from features.intake.buckets.manifest import (
    FileEntry,
    Manifest,
    SegmentEntry,
    TableEntry,
    made_by,
    only_user,
    read_manifest,
    sync,
    write_manifest,
)
from features.intake.buckets.reading import NewRows
from features.intake.buckets.segments import Segment, ids_of, merge
from features.intake.buckets.tonight import Opened, Stored, Tonight
from features.intake.scan import FILE_BITS, Source
from features.intake.sources import codes_of
from features.layout import LAYOUTS

# Tables that are kept: those with many rows a lead that never change.
STORED = ("events", "touches")
MOST_SEGMENTS = 8
# INVARIANT: nothing is removed but what a store itself wrote, wherever somebody lets it live.
_SEGMENT = re.compile(rf"({'|'.join(STORED)})-\d{{7,}}-[0-9a-f]{{8}}\.(arrow|ids)")
_UNFINISHED = re.compile(r"\.new-[a-z0-9_]{8}")
_NEW = TableEntry(files=[], segments=[], reasons=[], spellings={}, fields=[], extras=[], next_number=0)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table's entry, and its files as they are numbered tonight."""

    entry: TableEntry
    files: tuple[InputFile, ...]
    numbers: tuple[int, ...]


class Buckets:
    """An open store. A context manager: it holds the store's lock, so that a second run is refused.

    `said` has a line for each table: what was reused, or why nothing was.
    """

    def __init__(
        self, folder: Path, settings: Settings, *, memory_limit_mb: int | None = 1024, threads: int = 2
    ) -> None:
        self.folder, self.settings = folder, settings
        self.memory_limit_mb, self.threads = memory_limit_mb, threads
        self.said: list[str] = []
        self._tables: dict[str, _Table] = {}
        self._held = ExitStack()
        self._held.enter_context(only_user(folder))
        self._manifest, self._why = read_manifest(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        self._held.close()

    def bring_up_to(self, paths: Mapping[str, Path], tonight: Tonight) -> None:
        """Read what is new in the files of these tables and make it durable; where nothing is new, nothing is written.

        Raises:
            InputInvalid: a file cannot be read; the store stays as it was.
        """
        before = self._manifest
        self._sweep(before)
        self._tables = {table: self._updated(table, path, tonight) for table, path in paths.items()}
        fresh = Manifest(made_by=made_by(), tables={name: table.entry for name, table in self._tables.items()})
        if fresh != before:
            old = _names(before)
            for name in sorted(_names(fresh) - old):
                sync(self.folder / name)
            # INVARIANT: the manifest is last, so a killed run leaves the old store or the new one.
            write_manifest(self.folder, fresh)
            self._manifest = fresh
            self._sweep(fresh)

    def _sweep(self, manifest: Manifest | None) -> None:
        """Remove what the manifest does not name: of a run that was killed, or merged since."""
        named = _names(manifest)
        for path in self.folder.iterdir():
            if _SEGMENT.fullmatch(path.name) and path.name not in named:
                path.unlink()
            elif path.is_dir() and _UNFINISHED.fullmatch(path.name):
                shutil.rmtree(path)

    def _updated(self, table: str, path: Path, tonight: Tonight) -> _Table:
        files = inputs_of(table, path, self.threads)
        old = self._manifest.tables.get(table) if self._manifest else None
        why = self._why if old is None else self._unsafe(table, old, files)
        if old is not None and not why:
            known: dict[str, list[FileEntry]] = {}
            for entry in reversed(old.files):
                known.setdefault(entry.mark, []).append(entry)
            kept = {file: known[file.mark].pop() for file in files if known.get(file.mark)}
            new = [file for file in files if file not in kept]
            gone = len(old.files) - len(kept)
            try:
                entry_now, numbers = self._read(table, old, kept, new, tonight) if new or gone else (old, {})
            except InputInvalid as error:  # what a file lacks another may have: only all together can tell
                why = error.expected
            else:
                changed = f", {gone:,} gone or changed" if gone else ""
                self.said.append(f"{table}: {len(new):,} of {len(files):,} files read{changed}, the rest reused")
                numbers = {**{file: entry.number for file, entry in kept.items()}, **numbers}
                entry_now = self._compacted(table, entry_now, tonight) if entry_now is not old else old
                return _Table(entry_now, files, tuple(numbers[file] for file in files))
        self.said.append(f"{table}: all {len(files):,} files read" + (f", because {why}" if why else ""))
        entry_now, numbers = self._read(table, _NEW, {}, files, tonight)
        return _Table(entry_now, files, tuple(numbers[file] for file in files))

    def _unsafe(self, table: str, old: TableEntry, files: Sequence[InputFile]) -> str:
        """Why the rows of a table cannot be reused, "" where they can."""
        if {file.columns for file in files} != {entry.columns for entry in old.files}:
            return "the files have other columns"
        for column in LAYOUTS[table].columns:
            spellings = old.spellings.get(column.field, {})
            if spellings and codes_of(self.settings.vocabularies, column, list(spellings)) != [*spellings.values()]:
                return f"the vocabulary of {column.field} changed"
        for segment in old.segments:
            for name, digest in segment.sha256.items():
                path = self.folder / name
                if not path.is_file() or sha256_of(path) != digest:
                    return f"{name} of the buckets is damaged"
        return ""

    def _read(
        self,
        table: str,
        old: TableEntry,
        kept: Mapping[InputFile, FileEntry],
        new: Sequence[InputFile],
        tonight: Tonight,
    ) -> tuple[TableEntry, dict[InputFile, int]]:
        """The entry without files that are gone, the rows of new ones in a segment of their own, and their numbers."""
        files = list(kept.values())
        alive = {entry.number for entry in files}
        segments = [segment for segment in old.segments if alive & set(segment.files)]
        if not new:
            return msgspec.structs.replace(old, files=files, segments=segments), {}
        # A kept file of every other kind of columns comes along, so that types are those of all files together.
        along = [file for kind, file in one_of_each(kept).items() if kind not in {fresh.columns for fresh in new}]
        numbers = old.next_number + np.arange(len(new), dtype=np.int64)
        name = f"{table}-{old.next_number:07d}-{secrets.token_hex(4)}.arrow"
        with NewRows(
            table,
            [file.path for file in (*new, *along)],
            self.settings,
            memory_limit_mb=self.memory_limit_mb,
            threads=self.threads,
            spill=self.folder,
        ) as rows:
            source = rows.sources[table]
            found = [list(reason) for reason in source.reasons]
            reasons = [*old.reasons, *(reason for reason in found if reason not in old.reasons)]
            own = np.array([0, *(1 + reasons.index(reason) for reason in found)], dtype=np.uint8)
            of_files = np.concatenate((numbers, np.full(len(along), -1, dtype=np.int64)))
            count = rows.write(self.folder / name, of_files, own, tonight.home_of)
            facts, met = rows.facts(len(new)), rows.spellings()
        if count:
            segments.append(self._entry(name, count, numbers.tolist()))
        for file, fact, number in zip(new, facts, numbers.tolist(), strict=True):
            files.append(
                FileEntry(
                    number=number,
                    mark=file.mark,
                    size=file.size,
                    columns=file.columns,
                    rows=fact.rows,
                    unmapped=fact.unmapped,
                    unreadable=fact.unreadable,
                )
            )
        fresh = TableEntry(
            files=files,
            segments=segments,
            reasons=reasons,
            spellings={field: old.spellings.get(field, {}) | met.get(field, {}) for field in {*old.spellings, *met}},
            fields=sorted(source.fields.union(old.fields)),
            extras=sorted({*old.extras, *source.extras}),
            next_number=old.next_number + len(new),
        )
        return fresh, dict(zip(new, numbers.tolist(), strict=True))

    def _entry(self, name: str, rows: int, files: list[int]) -> SegmentEntry:
        paths = (self.folder / name, ids_of(self.folder / name))
        return SegmentEntry(name=name, rows=rows, files=files, sha256={path.name: sha256_of(path) for path in paths})

    def _compacted(self, table: str, entry: TableEntry, tonight: Tonight) -> TableEntry:
        """Small segments made one where there are many, and those that are mostly gone without what is gone."""
        rows_of = {file.number: file.rows for file in entry.files}
        live = {s.name: sum(rows_of.get(number, 0) for number in s.files) for s in entry.segments}
        wasted = [s for s in entry.segments if 2 * live[s.name] < s.rows]
        others = sorted((s for s in entry.segments if s not in wasted), key=lambda s: s.rows)
        chosen = wasted + (others[: MOST_SEGMENTS // 2 + 1] if len(others) > MOST_SEGMENTS else [])
        if not chosen:
            return entry
        rest = [s for s in entry.segments if s not in chosen]
        name = f"{table}-{entry.next_number:07d}-{secrets.token_hex(4)}.arrow"
        alive = np.array(sorted(rows_of), dtype=np.int64)
        merge(
            self.folder / name,
            [Segment.open(self.folder / s.name) for s in chosen],
            tonight.home_of,
            lambda rows: np.isin(rows["_at"].to_numpy() >> FILE_BITS, alive),
        )
        numbers = sorted({number for s in chosen for number in s.files} & set(rows_of))
        merged = self._entry(name, sum(live[s.name] for s in chosen), numbers)
        return msgspec.structs.replace(entry, segments=[*rest, merged])

    @property
    def row_count(self) -> int:
        """Rows of all tables."""
        return sum(file.rows for table in self._tables.values() for file in table.entry.files)

    def stored(self, table: str, tonight: Tonight, count: int) -> Stored:
        """A table in `count` parts, as `bring_up_to` left it."""
        own = self._tables[table]
        places = np.full(own.entry.next_number, -1, dtype=np.int64)
        places[list(own.numbers)] = np.arange(len(own.files))
        unmapped: dict[str, int] = {}
        unreadable = []
        for file in own.entry.files:
            unreadable += [(int(places[file.number]), *rest) for rest in file.unreadable]
            for field, rows in file.unmapped.items():
                unmapped[f"{table}.{field}"] = unmapped.get(f"{table}.{field}", 0) + rows
        source = Source(
            layout=LAYOUTS[table],
            relation="",
            files=tuple(str(file.path) for file in own.files),
            fields=frozenset(own.entry.fields),
            reasons=tuple((field, reason) for field, reason in own.entry.reasons),
            extras=tuple(own.entry.extras),
            unreadable=tuple(sorted(unreadable)),
        )
        opened = tuple(
            Opened.of(Segment.open(self.folder / segment.name), tonight, count) for segment in own.entry.segments
        )
        return Stored(source, unmapped, opened, places)


def _names(manifest: Manifest | None) -> set[str]:
    """The files of segments that a manifest names."""
    if manifest is None:
        return set()
    return {name for table in manifest.tables.values() for segment in table.segments for name in segment.sha256}
