"""What nurture is to do by when: the follow-ups of a rescored result, and how many leads are on which step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from configs.errors import InputInvalid

_ON = ["nurture_track", "nurture_step", "nurture_layer", "nurture_exit"]
_DUE = ["nurture_follow_up_by", "lead_id", "nurture_track", "nurture_step", "action", "action_channel", "asset_id",
        "primary_segment", "queue", "nurture_not_before"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class NurtureDue:
    """`follow_ups`, each with its lead and next action; `steps` counts leads by track, step, layer and exit.

    What can still be done in its window comes first, the earliest first; then the `overdue` ones, the latest first.
    For `idle` of the follow-ups nothing may be sent or nothing suits: the lead's answer says what is missing.
    """

    as_of: str
    follow_ups: pa.Table
    steps: pa.Table
    overdue: int
    idle: int


def nurture_due(result: Path, track: str | None = None) -> NurtureDue:
    """The follow-ups that are due, of one track where that is named; every lead of the result is in `steps` once.

    Raises:
        InputInvalid: no result of `leadwell rescore` is there, it is of an older release, or nobody is on that track.
    """
    if not (result / "manifest.json").is_file() or not (result / "decisions").is_dir():
        raise InputInvalid(str(result), "expected a folder that `leadwell rescore --out` wrote")
    decisions = ds.dataset(result / "decisions", format="parquet")
    if "nurture_track" not in decisions.schema.names:
        raise InputInvalid(str(result), "expected a result with nurture; rescore again with this Leadwell")
    where = None if track is None else pc.field("nurture_track") == track
    table = decisions.to_table(columns=["as_of", *_DUE, "nurture_layer", "nurture_exit"], filter=where)
    if track is not None and not table.num_rows:
        raise InputInvalid(str(result), f"nobody is on a track {track!r}; `leadwell nurture show` lists them")
    steps = table.group_by(_ON).aggregate([("lead_id", "count")])
    steps = steps.sort_by([("lead_id_count", "descending"), *((name, "ascending") for name in _ON)])
    due = table.filter(pc.is_valid(table["nurture_follow_up_by"])).select(_DUE)
    as_of = table["as_of"][0].as_py()[:10] if table.num_rows else ""
    by, lead = ("nurture_follow_up_by", "ascending"), ("lead_id", "ascending")
    late = pc.less(due["nurture_follow_up_by"], as_of)
    open_, missed = (
        due.filter(pc.invert(late)).sort_by([by, lead]),
        due.filter(late).sort_by([(by[0], "descending"), lead]),
    )
    idle = pc.sum(pc.equal(due["action"], "none")).as_py() or 0
    both = pa.concat_tables([open_, missed])
    return NurtureDue(as_of, both, steps.rename_columns([*_ON, "leads"]), missed.num_rows, int(idle))
