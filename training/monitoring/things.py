"""What of a result is counted: which column says what, and under which name a person reads it.

A column that neither result has is not watched; one that only one has is named as not compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "rows", "rejected", "input", "score", "band", "segment", "status", "permit", "rule", "action", "calibration"
]
Shape = Literal["shares", "levels", "number", "age"]
RULES = "{channel}_rules"
PERMITTED = "{channel}_permitted"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is counted: as the share of each of its words, as one distribution of levels, or as a number.

    `prefix` comes before each word in the name of a share. `offers` marks what a replay leaves out.
    """

    name: str
    kind: Kind
    shape: Shape
    title: str
    prefix: str = ""
    offers: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("band", "band", "shares", "band"),
    Column("band_reason", "band", "shares", "why a band is unknown", "because "),
    Column("segments", "segment", "shares", "segment"),
    Column("segment_statuses", "status", "shares", "status of a membership"),
    Column("probability", "score", "number", "readiness"),
    Column("fit_points", "input", "number", "fit points"),
    Column("engagement_points", "input", "number", "engagement points"),
    Column("fit_grade", "input", "levels", "fit grade"),
    Column("engagement_grade", "input", "levels", "engagement grade"),
    Column("engagement_suspect_share", "input", "number", "share of engagement that looks machine-made"),
    Column("newest_event_at", "input", "age", "days since the newest event"),
    Column("buying_stage", "input", "levels", "buying stage"),
    Column("stage_evidence", "input", "levels", "evidence of the stage"),
    Column("lifecycle", "input", "levels", "lifecycle"),
    Column("action", "action", "shares", "next best action", offers=True),
    Column("asset_id", "action", "shares", "asset offered", "asset ", offers=True),
    Column("team", "action", "shares", "team that takes it", "team ", offers=True),
    Column("nurture_track", "action", "shares", "nurture track", "track ", offers=True),
    Column("nurture_layer", "action", "shares", "nurture layer", "layer ", offers=True),
    Column("qualification", "action", "shares", "qualification", "qualified as "),
    Column("lane", "action", "shares", "lane of the hand-over", "lane "),
)
TITLES = {column.name: column.title for column in COLUMNS}
# What a result without a word in a column is counted as, where that says something.
ABSENT = {"band": "unknown"}
