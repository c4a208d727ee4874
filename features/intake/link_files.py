"""Links on disk: appended, never rewritten, and what people decided of the review list read back."""

from __future__ import annotations

import csv
import fcntl
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import InputInvalid
from configs.settings import Settings
from features.intake.linkage import LINKS
from features.intake.scan import readable

NAME = "links.parquet"
# The kinds of link that decide: a list of what is only possible is no decision.
DECISIONS = ("same", "different")


def target_of(files: Mapping[str, Path], folder: Path, out: Path | None) -> Path:
    """The Parquet file that links are appended to; raises InputInvalid where they are kept in another form."""
    target = out or files.get("links", folder / NAME)
    if target.suffix.lower() != ".parquet" or target.is_dir():
        raise InputInvalid(str(target), f"expected one Parquet file of links to append to; --out {NAME} makes one")
    return target


def append_links(target: Path, links: pa.Table) -> None:
    """Add links to a file in one step, its own rows and columns kept as they are; a new file where there is none.

    INVARIANT: what two runs add at once is all there: the second waits.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a killed run frees it
        if target.exists():
            with readable(str(target), OSError):
                links = pa.concat_tables([pq.read_table(target), links], promote_options="permissive")
        partial = target.with_name(f".{target.name}.partial")
        pq.write_table(links, partial)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(target)


def decided_links(path: Path, settings: Settings, as_of: datetime) -> pa.Table:
    """Links of a review list whose `kind` somebody filled in, with `person` as the evidence; rows without one stay out.

    Raises InputInvalid naming file, row and field where a decision cannot be read: nothing is taken in then.
    """
    kinds = settings.vocabularies["link_kind"]
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            listed = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise InputInvalid(str(path), "expected a review list (CSV, UTF-8)") from None
    for number, row in enumerate(listed, start=1):
        # An apostrophe keeps a spreadsheet from running an id as a formula (`serving/files.py`).
        given = {name: (row.get(name) or "").strip().removeprefix("'") for name in ("lead_id", "other_lead_id")}
        given |= {name: (row.get(name) or "").strip() for name in ("kind", "by")}
        if not given["kind"]:
            continue
        kind = kinds.value(kinds.code(given["kind"]))
        if kind not in DECISIONS:
            raise InputInvalid(str(path), f"expected one of {', '.join(DECISIONS)}", row=number, field="kind")
        for name in ("lead_id", "other_lead_id", "by"):
            if not 0 < len(given[name]) <= 64:
                raise InputInvalid(str(path), "expected 1 to 64 characters", row=number, field=name)
        if given["lead_id"] == given["other_lead_id"]:
            raise InputInvalid(str(path), "expected two different leads", row=number, field="other_lead_id")
        rows.append((given["lead_id"], given["other_lead_id"], as_of, as_of, kind, "person", 1.0, given["by"]))
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in LINKS]
    return pa.table([pa.array(column, kind.type) for column, kind in zip(columns, LINKS, strict=True)], schema=LINKS)
