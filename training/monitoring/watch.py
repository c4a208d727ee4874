"""What a comparison of two results says: each thing that was watched, each alert, and the whole in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from training.monitoring.things import Kind

Measure = Literal["count", "share", "psi", "gap"]


@dataclass(frozen=True, slots=True)
class Watch:
    """One thing on two nights.

    A count or a share has `earlier` and `later`, and `change` is later minus earlier. Of a distribution `change` is its
    PSI, `earlier` and `later` are medians where there are some, and `noise` is what the PSI stays below without drift.
    Of a gap, `earlier` is predicted, `later` happened. `hits` and `of` are counts on both nights. `low` and `high` are
    limits of `change`; counts that were read off, not sampled, have none. `beyond` says whether it is beyond noise.
    """

    kind: Kind
    name: str
    measure: Measure
    earlier: float | None
    later: float | None
    change: float
    low: float | None
    high: float | None
    hits: tuple[int, int]
    of: tuple[int, int]
    beyond: bool
    says: str
    noise: float | None = None
    levels: tuple[tuple[str, float, float], ...] = ()

    @property
    def relative(self) -> float | None:
        """The change as a part of the earlier value; None where that is 0 or the change is none of a value."""
        if self.measure == "psi" or not self.earlier:
            return None
        return self.change / self.earlier


@dataclass(frozen=True, slots=True)
class Alert:
    """What an owner has to look at: the rule, the kind of thing, what to do, the limits, and what moved, most first.

    `names` and `says` are of the same things in the same order.
    """

    rule: str
    kind: Kind
    owner: str
    todo: str
    limit: str
    names: tuple[str, ...]
    says: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One result in short: where it lies, when it is of, its versions, what it read."""

    folder: str
    as_of: datetime
    leads: int
    replay: bool
    merkle_root: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Point:
    """A share on one night of several, with its 95 % limits."""

    as_of: datetime
    hits: int
    of: int


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """A tenth of the judged leads in order of their prediction: how many, the mean prediction, how many got there."""

    leads: int
    predicted: float
    happened: int


@dataclass(frozen=True, slots=True)
class Monitored:
    """Everything found: the runs from the oldest, what was watched, what alerts, what could not be compared, in words.

    `calibration` has every earlier night that can be judged by what happened: when, of how many, tenths of its leads.
    `trends` has the share of bands, segments and permits on every night given, by kind and name.
    """

    runs: tuple[Run, ...]
    watches: tuple[Watch, ...]
    alerts: tuple[Alert, ...]
    not_compared: tuple[str, ...]
    words: tuple[str, ...]
    causes: Mapping[str, tuple[str, ...]]
    trends: Mapping[tuple[Kind, str], tuple[Point, ...]]
    level: float
    groups: int
    calibration: tuple[tuple[datetime, str, tuple[CalibrationBin, ...]], ...] = ()

    @property
    def beyond(self) -> tuple[Watch, ...]:
        """What moved beyond noise."""
        return tuple(watch for watch in self.watches if watch.beyond)

    def to_json(self) -> dict[str, Any]:
        """Plain values; instants as ISO text."""
        return {
            "runs": [
                asdict(run) | {"as_of": run.as_of.isoformat(), "versions": dict(run.versions)} for run in self.runs
            ],
            "alerts": [asdict(alert) for alert in self.alerts],
            "words": list(self.words),
            "causes": {name: list(found) for name, found in self.causes.items()},
            "not_compared": list(self.not_compared),
            "level": self.level,
            "groups": self.groups,
            "watches": [asdict(watch) for watch in self.watches],
            "calibration": [
                {"as_of": as_of.isoformat(), "says": says, "bins": [asdict(one) for one in bins]}
                for as_of, says, bins in self.calibration
            ],
            "trends": [
                {
                    "kind": kind,
                    "name": name,
                    "points": [{"as_of": p.as_of.isoformat(), "leads": p.hits, "of": p.of} for p in points],
                }
                for (kind, name), points in self.trends.items()
            ],
        }
