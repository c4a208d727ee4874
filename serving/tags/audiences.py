"""Audiences of advertising platforms: ids of leads for whom the channel is permitted, and how many were withheld why.

A list holds ids and nothing else: a segment's name can tell of a condition. Without a rescoring of the same instant
nobody knows who is permitted, so there is no list.

Who is held out by the standing experiment is on none: an advertisement would reach whom it must leave alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs.activation import AudienceDestination
from models.assignment import ARMS, HOLDOUT
from serving.tags.tags import Tags

NOT_SCORED, HELD_OUT = "NOT_SCORED", "HELD_OUT"
_LIST = pa.schema([("lead_id", pa.string()), ("valid_until", pa.string())])
_WITHHELD = pa.schema([("rule", pa.string()), ("leads", pa.int64())])


@dataclass(frozen=True, slots=True)
class Audience:
    """What one destination is given: `leads` by id with until when, `withheld` the others counted by first rule.

    INVARIANT: who is on the list is tagged, of a segment of the list, permitted on its channel, and not held out.
    """

    id: str
    leads: pa.Table
    withheld: pa.Table


def audiences_of(scores: Path | None, tags: Tags, wanted: Sequence[AudienceDestination]) -> list[Audience]:
    """The list of each destination, by a result of `leadwell rescore` that was found whole and of this instant."""
    if scores is None:
        return []
    return [_audience(one, tags, _decided(scores, one.channel)) for one in wanted]


def _decided(scores: Path, channel: str) -> pa.Table:
    """Per lead whether a channel is permitted, until when, the rules against it, and whether it is held out."""
    files = json.loads((scores / "manifest.json").read_bytes())["files"]
    names = [f"{channel}_{name}" for name in ("permitted", "valid_until", "rules")]
    parts = [
        pq.read_table(scores / file, columns=["lead_id", *names, "arm"]).rename_columns(
            ["lead_id", "permitted", "until", "rules", "arm"]
        )
        for file in sorted(files)
        if file.startswith("decisions/")
    ]
    return pa.concat_tables(parts)


def _audience(wanted: AudienceDestination, tags: Tags, decided: pa.Table) -> Audience:
    leads = tags.leads
    if wanted.segments:
        # INVARIANT: a list by segment tells no platform of health: who agreed, agreed that a CRM may know.
        leads = leads.filter(pc.invert(pc.is_in(leads["lead_id"], tags.by_consent)))
        leads = leads.filter(pc.is_in(leads["primary_segment"], pa.array(wanted.segments, pa.string())))
    names = leads["lead_id"].combine_chunks()
    found = decided.take(pc.index_in(names, decided["lead_id"].combine_chunks()))
    held = pc.equal(pc.fill_null(found["arm"].cast(pa.string()), ""), ARMS[HOLDOUT])
    permitted = pc.fill_null(found["permitted"], False)
    allowed = pc.and_(permitted, pc.invert(held))
    table = pa.table({"lead_id": names, "valid_until": found["until"]}).filter(allowed).cast(_LIST)
    left = found.filter(pc.invert(permitted))["rules"].to_pylist()
    kept_apart = pc.sum(pc.and_(permitted, held)).as_py() or 0
    counts: dict[str, int] = {HELD_OUT: kept_apart} if kept_apart else {}
    for rules in left:
        first = NOT_SCORED if rules is None else rules[0] if rules else "NO_LEGAL_BASIS"
        counts[first] = counts.get(first, 0) + 1
    rows = sorted(counts.items())
    withheld = pa.table({"rule": [rule for rule, _ in rows], "leads": [n for _, n in rows]}, schema=_WITHHELD)
    return Audience(wanted.id, table.sort_by("lead_id"), withheld)
