"""The state of `leadwell segments apply` on disk: memberships now, every run's moves, and a manifest with their hashes.

A run writes a whole new folder beside the old one, with the moves of earlier runs linked into it, and exchanges the two
in one step: whatever kills it, the state is the old one or the new one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.errors import InputInvalid
from features.tables import UNKNOWN_INSTANT
from models.segments.moves import INSTANT, STATUSES, Held
from models.segments.reevaluation import SCHEMA as MARKS_SCHEMA
from models.segments.reevaluation import Marks
from serving.files import sha256_of, write_json

MANIFEST, MEMBERSHIPS, WATCHED, MOVES = "manifest.json", "memberships.parquet", "watched.parquet", "moves"
MARKS, STAGES, STAGE_MOVES = "marks.parquet", "stages.parquet", "stage_moves"
KIND = "leadwell memberships"
SCHEMA = pa.schema(
    [
        ("lead_id", pa.string()),
        ("segment_id", pa.string()),
        ("version", pa.int32()),
        ("entered_at", INSTANT),
        ("left_at", INSTANT),
        ("status", pa.string()),
        ("entry", pa.int32()),
        ("primary", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class State:
    """What the last run left: its instant, the memberships, the fields it watches, and the runs so far."""

    folder: Path
    as_of: datetime
    memberships: pa.Table
    watched: pa.Table
    manifest: Mapping[str, Any]
    marks: Marks | None = None

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Every run, the first one first."""
        return list(self.manifest["runs"])


def read_state(folder: Path) -> State | None:
    """The state of a folder, None where there is none yet; raises InputInvalid where it is damaged or something else.

    The moves of earlier runs are not read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise InputInvalid(str(folder), "expected a new folder or that of an earlier run; it holds other files")
        return None
    try:
        manifest = json.loads(path.read_bytes())
        if manifest.get("kind") != KIND:
            raise InputInvalid(str(path), "expected the memberships of an earlier `leadwell segments apply`")
        as_of = datetime.fromisoformat(manifest["as_of"])
        for name in manifest["files"]:
            if sha256_of(folder / name) != manifest["files"][name]["sha256"]:
                raise InputInvalid(str(folder / name), "expected the file that the manifest names; its hash differs")
        memberships = pq.read_table(folder / MEMBERSHIPS, schema=SCHEMA)
        marks = None
        if MARKS in manifest["files"]:
            marks = Marks.of(pq.read_table(folder / MARKS, schema=MARKS_SCHEMA), manifest["epoch"])
        return State(folder, as_of, memberships, pq.read_table(folder / WATCHED), manifest, marks)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise InputInvalid(str(path), f"expected a readable state ({type(error).__name__})") from None


def write_state(
    fresh: Path,
    before: State | None,
    memberships: pa.Table,
    watched: pa.Table,
    moves: pa.Table,
    said: Mapping[str, Any],
    marks: Marks,
    others: Mapping[str, pa.Table] | None = None,
    stage_moves: pa.Table | None = None,
) -> dict[str, Any]:
    """Write a state into a fresh folder and give its manifest.

    Args:
        fresh: the empty folder that will take the state's place.
        before: the state it follows, whose moves are kept.
        memberships: with the columns of SCHEMA.
        watched: the fields that triggers watch, lead by lead.
        moves: of this run.
        said: what the manifest says besides; `as_of` is an instant with a zone.
        marks: from which the next run tells whom it must place again.
        others: further tables by file name, listed with their hashes.
        stage_moves: moves of stage and lifecycle of this run.
    """
    (fresh / MOVES).mkdir()
    runs: list[dict[str, Any]] = []
    if before is not None:
        runs = before.runs
        for run in runs:
            for file in files_of(run):
                (fresh / file).parent.mkdir(exist_ok=True)
                link(before.folder / file, fresh / file)
    as_of = datetime.fromisoformat(said["as_of"])
    number = len(runs) + 1
    numbered = f"{number:06d}-{as_of.astimezone(UTC):%Y%m%dT%H%M%SZ}.parquet"
    name = f"{MOVES}/{numbered}"
    pq.write_table(memberships, fresh / MEMBERSHIPS, compression="zstd")
    pq.write_table(watched, fresh / WATCHED, compression="zstd")
    pq.write_table(marks.table(), fresh / MARKS, compression="zstd")
    pq.write_table(moves, fresh / name, compression="zstd")
    for other, table in (others or {}).items():
        pq.write_table(table, fresh / other, compression="zstd")
    run = {
        "number": number,
        "as_of": said["as_of"],
        "segment_map": said["segment_map"],
        "moves": moves.num_rows,
        "file": name,
        "sha256": sha256_of(fresh / name),
    }
    if stage_moves is not None:
        (fresh / STAGE_MOVES).mkdir(exist_ok=True)
        told = f"{STAGE_MOVES}/{numbered}"
        pq.write_table(stage_moves, fresh / told, compression="zstd")
        run["stages"] = {"moves": stage_moves.num_rows, "file": told, "sha256": sha256_of(fresh / told)}
    listed = {
        path: {"sha256": sha256_of(fresh / path), "bytes": (fresh / path).stat().st_size}
        for path in (MEMBERSHIPS, WATCHED, MARKS, *(others or {}))
    }
    manifest = {"kind": KIND, **said, "epoch": marks.epoch, "runs": [*runs, run], "files": listed}
    # INVARIANT: the manifest is the last file, so a folder without one is no state.
    write_json(fresh / MANIFEST, manifest)
    return manifest


def files_of(run: Mapping[str, Any]) -> list[str]:
    """The files of a run's moves, as the manifest lists them."""
    return [run["file"], *([run["stages"]["file"]] if "stages" in run else [])]


def held_table(held: Held, ids: pa.Array, segment_ids: pa.Array) -> pa.Table:
    """Memberships as the table that `apply`, `rescore` and a request take them from."""
    return pa.table(
        {
            "lead_id": ids.take(pa.array(held.unit)),
            "segment_id": segment_ids.take(pa.array(held.segment)),
            "version": pa.array(held.version, pa.int32()),
            "entered_at": pa.array(held.entered_at, INSTANT),
            "left_at": pa.array(held.left_at, INSTANT, mask=held.left_at == UNKNOWN_INSTANT),
            "status": pa.array(STATUSES).take(pa.array(held.status)),
            "entry": pa.array(held.entry, pa.int32()),
            "primary": pa.array(held.primary),
        },
        schema=SCHEMA,
    )


def held_of(table: pa.Table, unit: NDArray[np.int64], segment: NDArray[np.int32]) -> Held:
    """The rows of a state's table, whose units and segments the caller has looked up in lists of its own.

    A table without a column `primary`, as that of accounts, has no row that is.
    """
    no_primary = pa.repeat(pa.scalar(False), table.num_rows)
    primary = table["primary"] if "primary" in table.column_names else no_primary

    def micros(name: str) -> Any:
        return pc.fill_null(table[name].cast(pa.int64()), UNKNOWN_INSTANT).to_numpy().astype(np.int64)

    return Held(
        unit=unit,
        segment=segment,
        version=table["version"].to_numpy().astype(np.int32),
        entered_at=micros("entered_at"),
        left_at=micros("left_at"),
        status=pc.index_in(table["status"], pa.array(STATUSES)).to_numpy().astype(np.int8),
        entry=table["entry"].to_numpy().astype(np.int32),
        primary=primary.to_numpy(zero_copy_only=False).astype(np.bool_),
    ).once()


def link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no links."""
    with suppress(OSError):
        os.link(source, target)
        return
    shutil.copy2(source, target)
