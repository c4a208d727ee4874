"""The folder of a proposal: who was in which group last time, and drafts that a person has edited since.

It holds lead ids and ids of groups, and nothing else about anybody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.errors import InputInvalid

Bools = NDArray[np.bool_]

MEMBERS, REPORT = "members.parquet", "report.json"
_NOBODY = pa.table({"lead_id": pa.array([], pa.string()), "draft": pa.array([], pa.string())})


@dataclass(frozen=True, slots=True)
class Previous:
    """The run before in the same folder: who was in which group, its day, and what its drafts were when written.

    `note` says why there is nothing to compare with although there was a run; empty where all is well.
    """

    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    drafts: Mapping[str, str] = field(default_factory=dict)
    as_of: str = ""
    note: str = ""

    def masks(self, lead_ids: NDArray[np.object_]) -> dict[str, Bools]:
        """Who of some leads was in each group; people who are gone since are left out."""
        ids = lead_ids.tolist()
        return {
            name: np.fromiter((lead in members for lead in ids), dtype=np.bool_, count=len(ids))
            for name, members in self.groups.items()
        }


def open_folder(out: Path) -> Previous:
    """Make sure that a folder can be written to, and read what the run before left there; raises InputInvalid."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise InputInvalid(str(out), f"expected a folder that can be written to ({error.strerror})") from None
    members, report = out / MEMBERS, out / REPORT
    try:
        # A run that died may have left drafts and no members.
        table = pq.read_table(members, columns=["lead_id", "draft"]) if members.is_file() else _NOBODY
        content = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
        drafts = {str(name): str(digest) for name, digest in dict(content.get("drafts", {})).items()}
        as_of = str(content.get("as_of", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return Previous(note=f"{MEMBERS} or {REPORT} of the run before cannot be read, so nothing is compared with it.")
    groups: dict[str, set[str]] = {}
    for lead_id, draft in zip(table["lead_id"].to_pylist(), table["draft"].to_pylist(), strict=True):
        groups.setdefault(str(draft), set()).add(str(lead_id))
    return Previous({name: frozenset(ids) for name, ids in groups.items()}, drafts, as_of)


def write_members(out: Path, lead_ids: NDArray[np.object_], groups: Mapping[str, Bools]) -> Path:
    """Keep who is in which group for the next run; sorted, so that the same groups give the same file."""
    ids, names = [], []
    for name, mask in groups.items():
        own = sorted(str(lead) for lead in lead_ids[mask].tolist())
        ids += own
        names += [name] * len(own)
    path = out / MEMBERS
    pq.write_table(pa.table({"lead_id": pa.array(ids, pa.string()), "draft": pa.array(names, pa.string())}), path)
    return path


def clear_drafts(out: Path, previous: Previous) -> tuple[str, ...]:
    """Remove drafts that nobody touched since the program wrote them; returns the ids of those that were edited.

    INVARIANT: a draft that a person has edited, or that this program did not write, is never removed or overwritten.
    """
    kept = []
    for path in sorted(out.glob("draft_*.yaml")):
        if previous.drafts.get(path.stem) == digest_of(path.read_bytes()):
            path.unlink()
        else:
            kept.append(path.stem)
    return tuple(kept)


def digest_of(content: bytes) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def told_of_edits(edited: Sequence[str], proposed: Sequence[str]) -> list[str]:
    """What is said of drafts that a person has edited."""
    return [
        f"{name}.yaml was edited by a person and is left as it is"
        + ("; what was found anew is in this report." if name in proposed else "; this run does not propose it again.")
        for name in edited
    ]
