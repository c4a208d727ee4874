"""Erasure in the state of `leadwell segments apply`: nothing of a person stays, in no table and in no night's moves."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs.errors import InputInvalid
from serving.files import only_writer, sha256_of, whole_or_nothing, write_json
from serving.memberships.state import MANIFEST, MARKS, MEMBERSHIPS, STAGES, WATCHED, link, read_state

# Files of the state with one row or more for each lead, beside the moves.
OF_LEADS = (MEMBERSHIPS, WATCHED, MARKS, STAGES)


def forget(folder: Path, lead_ids: Collection[str]) -> Mapping[str, int]:
    """Take every row of some leads out of a state, in one step; how many rows went, by file, in the order of its files.

    Rows of accounts name no person and stay. A run's number of moves becomes that of the rows its file still has; what
    its manifest says of sizes is a record of the run and stays. Who is still in the data is placed again by the next
    run, like somebody new: end the data first.

    Raises:
        InputInvalid: there is no state, it is damaged or being written, or a file of moves is not the one listed.

    INVARIANT: no id is left in any file, and the rows of everybody else are what they were.
    """
    names = pa.array(sorted(set(lead_ids)), pa.string())
    with only_writer(folder):
        state = read_state(folder)
        if state is None:
            raise InputInvalid(str(folder), "expected memberships of `leadwell segments apply`")
        gone: dict[str, int] = {}
        manifest: dict[str, Any] = {**state.manifest, "files": dict(state.manifest["files"]), "runs": state.runs}
        with whole_or_nothing(folder) as fresh:
            for name in manifest["files"]:
                if name not in OF_LEADS:
                    shutil.copy2(folder / name, fresh / name)
                    continue
                table = pq.read_table(folder / name)
                gone[name] = _without(table, pc.is_in(table["lead_id"], names), folder / name, fresh / name)
                size = (fresh / name).stat().st_size
                manifest["files"][name] = {"sha256": sha256_of(fresh / name), "bytes": size}
            for place, run in enumerate(state.runs):
                manifest["runs"][place] = _forgotten(run, names, folder, fresh, gone)
                if "stages" in run:
                    manifest["runs"][place]["stages"] = _forgotten(run["stages"], names, folder, fresh, gone)
            write_json(fresh / MANIFEST, manifest)
    return gone


def _forgotten(
    told: Mapping[str, Any], names: pa.Array, folder: Path, fresh: Path, gone: dict[str, int]
) -> dict[str, Any]:
    """What the manifest says of a file of moves, once those of some leads are out of it."""
    file = told["file"]
    (fresh / file).parent.mkdir(exist_ok=True)
    if not (folder / file).is_file() or sha256_of(folder / file) != told["sha256"]:
        raise InputInvalid(str(folder / file), "expected the file that the manifest names; its hash differs")
    table = pq.read_table(folder / file)
    theirs = pc.and_(pc.equal(table["unit"], "lead"), pc.is_in(table["id"], names))
    gone[file] = _without(table, theirs, folder / file, fresh / file)
    rows = pq.read_metadata(fresh / file).num_rows
    return {**told, "moves": rows, "sha256": sha256_of(fresh / file)}


def _without(table: pa.Table, theirs: pa.ChunkedArray, old: Path, new: Path) -> int:
    """Write a table without some rows, the same file where there are none; how many these were."""
    count = int(pc.sum(theirs).as_py() or 0)
    if count:
        pq.write_table(table.filter(pc.invert(theirs)), new, compression="zstd")
    else:
        link(old, new)
    return count
