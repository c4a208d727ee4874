"""What is said of leads in stages: who stalled and why, who moved and after what; and the same as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from models.shares import Share
from training.learning.reasons import SAYS, Reason


@dataclass(frozen=True, slots=True)
class Group:
    """Leads of a segment in a stage: how many, how many of them stalled, and why, the most frequent reason first.

    `days` is the median of their days in the stage, `rules` counts the rules that stand against the blocked.
    """

    segment: str
    stage: str
    stalled: Share
    days: float
    reasons: tuple[tuple[Reason, int], ...]
    rules: tuple[tuple[str, int], ...]

    @property
    def says(self) -> str:
        """The first reason in words."""
        return SAYS[self.reasons[0][0]] if self.reasons else "nobody stalled"


@dataclass(frozen=True, slots=True)
class Step:
    """Moves of a segment's leads from one stage to another in the window: how many, after how long and after what.

    `touched` is the share of them that we had touched in the days before, `assets` what was sent then, `signals` what
    the leads did, both the most frequent first.
    """

    segment: str
    old: str
    new: str
    leads: int
    forward: bool
    days: float | None
    touched: Share
    assets: tuple[tuple[str, int], ...]
    signals: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """Who advanced and who stalled as of an instant; `rows` has one row for each lead that stalled.

    `leads` have a stage, `undated` of them one that has no limit; `undecided` are in no decision table, so nobody knows
    what stands in their way.
    """

    as_of: datetime
    leads: int
    undated: int
    undecided: int
    stalled: int
    groups: tuple[Group, ...]
    steps: tuple[Step, ...]
    rows: pa.Table
    window_days: int


def as_plain(found: Progress) -> Mapping[str, Any]:
    """The numbers for JSON, without the rows."""
    return {
        "as_of": found.as_of.isoformat(),
        "leads": found.leads,
        "stalled": found.stalled,
        "without_limit": found.undated,
        "not_decided": found.undecided,
        "window_days": found.window_days,
        "groups": [
            {
                "segment": one.segment,
                "stage": one.stage,
                "leads": one.stalled.of,
                "stalled": one.stalled.hits,
                "interval": one.stalled.interval,
                "median_days": round(one.days, 1),
                "reasons": dict(one.reasons),
                "rules": dict(one.rules),
            }
            for one in found.groups
        ],
        "moves": [
            {
                "segment": one.segment,
                "old": one.old,
                "new": one.new,
                "forward": one.forward,
                "leads": one.leads,
                "median_days": one.days,
                "touched_before": one.touched.hits,
                "assets": dict(one.assets),
                "signals": dict(one.signals),
            }
            for one in found.steps
        ],
    }
