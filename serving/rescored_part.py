"""One partition of a rescoring: decided, and its rows written beside those of the others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.tables import Tables
from serving.actions.capacity import waiting
from serving.arms.columns import assignments_table
from serving.columns import crm_table, decision_table, merged_table, speaks, summary_table
from serving.decide import Decider, Decisions
from serving.files import write_csv
from serving.handover.batch import Ready, write_records

# Where the records of each partition lie until they are put together.
HANDED = "handed"


@dataclass(frozen=True, slots=True)
class PartResult:
    """What one partition leaves for the whole: its leaves, its counts; its rows are on disk."""

    index: int
    leads: int
    merged: pa.Table
    waiting: pa.Table
    handed: pa.Table
    leaves: bytes
    permitted: dict[str, int]
    summary: list[dict[str, Any]]


def write_part(
    decider: Decider,
    tables: Tables,
    as_of: datetime,
    replay: bool,
    folder: Path,
    index: int,
    *,
    threads: int | None = None,
    floors: Mapping[str, Ready] | None = None,
) -> PartResult:
    """Decide one partition and write its rows; raises BundleRefused where it holds nothing the bundle learned from."""
    decider.refuse_unfit(tables)
    decisions = decider.decide(tables, as_of, replay=replay, threads=threads)
    table, table_part = decision_table(decisions), f"part-{index:05d}.parquet"
    queued = waiting(decisions, speaks(decisions))
    handed = write_records(decisions, table, folder / HANDED / f"{index:05d}.jsonl", floors or {})
    pq.write_table(table, folder / "decisions" / table_part, compression="zstd")
    write_csv(crm_table(table), folder / "crm" / f"{index:05d}.csv", header=index == 0)
    if not replay:  # a replay decides nothing, so it assigns nobody
        pq.write_table(assignments_table(decisions), folder / "assignments" / table_part, compression="zstd")
    permitted = decisions.rulings.permitted[speaks(decisions)].sum(axis=0).tolist()
    return PartResult(
        index=index,
        leads=table.num_rows,
        merged=merged_table(decisions),
        waiting=queued,
        handed=handed,
        leaves=leaves_of(decisions),
        permitted=dict(zip(decisions.book.channels, permitted, strict=True)),
        summary=summary_table(decisions).to_pylist(),
    )


def leaves_of(decisions: Decisions) -> bytes:
    """One SHA-256 for each lead over what was decided about it; these are the leaves of the run's Merkle tree."""
    rulings, scores, chosen = decisions.rulings, decisions.scores, decisions.chosen
    n = len(decisions)
    if n == 0:
        return b""
    packed = np.concatenate(
        [
            np.ascontiguousarray(part).reshape(n, -1).view(np.uint8).reshape(n, -1)
            for part in (
                rulings.blocks,
                rulings.permits,
                rulings.permitted,
                rulings.score_blocks,
                np.nan_to_num(np.round(scores.probability * 1e6), nan=-1.0).astype(np.int64),
                scores.band,
                decisions.members.primary,
                chosen.asset,
                chosen.channel,
                chosen.queue,
                decisions.assigned.arm,
            )
        ],
        axis=1,
    )
    width, content = packed.shape[1], packed.tobytes()
    prefix = f"{decisions.book.hash}{decisions.decider.bundle_id}".encode()
    return b"".join(
        hashlib.sha256(prefix + lead_id.encode() + content[row * width : (row + 1) * width]).digest()
        for row, (lead_id, kept) in enumerate(zip(decisions.known.lead_ids.tolist(), speaks(decisions), strict=True))
        if kept
    )
