"""Learning from leads that sales worked on, for all leads: each counts by one over its chance of being worked on.

What came of a lead is often known only when somebody worked on it, and who is worked on is chosen by a score. The
chance of it was written down when it was chosen (`serving/arms/arms.py`), so that no model of it has to be fitted. The
weights are those of Horvitz and Thompson (1952), divided by their mean (Hájek 1971) and clipped at a declared quantile
(Ionides 2008), which trades a little bias for much less variance. Where a chance was zero no weight helps: that part
of the leads is counted and said, not silently stood for by others (positivity).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.exploration import ExplorationSettings
from configs.settings import Settings
from features.tables import YES, Tables, microseconds
from training.dataset.dataset import Dataset, snapshot_days

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Below this effective size the weights rest on a handful of leads, and learning with them is refused.
MIN_EFFECTIVE = 50.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Weights of rows by which those whose outcome was seen stand for all; 0 where it was not, mean 1 where it was.

    `effective` is Kish's effective number of rows, (sum w)^2 / sum w^2; `clipped` how many weights were cut, from
    `ceiling` on; `beyond` how many rows had no chance, or too small a one, so that nobody stands for them.
    """

    weights: Floats
    rows: int
    seen: int
    effective: float
    ceiling: float
    clipped: int
    beyond: int

    @property
    def says(self) -> tuple[str, ...]:
        """What a person should know before trusting what was learned with these weights."""
        found = [
            f"the outcome of {self.seen:,} of {self.rows:,} rows was seen; they weigh like {self.effective:,.0f}",
            f"{self.clipped:,} weights were cut at {self.ceiling:.1f} times the mean",
        ]
        if self.beyond:
            share = self.beyond / self.rows
            found.append(
                f"{self.beyond:,} rows ({share:.1%}) had no chance of being seen, or too small a one: what is learned "
                "says nothing about such leads"
            )
        return tuple(found)


def selection_weights(seen: Bools, propensity: Floats, settings: ExplorationSettings) -> Selection:
    """Weights from who was seen and how likely that was, NaN where it is not known.

    Raises InputInvalid where a propensity is no probability, or a row was seen that had no chance of it.
    """
    known = ~np.isnan(propensity)
    if np.any((propensity[known] < 0) | (propensity[known] > 1)):
        raise InputInvalid("assignments", "expected a handover_propensity between 0 and 1")
    if np.any(seen & known & (propensity <= 0)):
        raise InputInvalid("assignments", "expected a handover_propensity above 0 where handed_over is yes")
    able = known & (propensity >= settings.min_propensity)
    used = seen & able
    weights = np.zeros(len(seen))
    weights[used] = 1.0 / propensity[used]
    if not used.any():
        return Selection(weights, len(seen), 0, 0.0, np.nan, 0, int((~able).sum()))
    # Flattened weights (Shimodaira 2000): 1 corrects fully, 0 not at all; between them is less noise and some bias.
    weights[used] **= settings.weight_power
    ceiling = float(np.quantile(weights[used], settings.clip_quantile))
    clipped = int((weights > ceiling).sum())
    weights = np.minimum(weights, ceiling)
    mean = float(weights[used].mean())
    weights /= mean
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    return Selection(weights, len(seen), int(used.sum()), effective, ceiling / mean, clipped, int((~able).sum()))


def of_assignments(
    tables: Tables, lead: NDArray[np.int64], snapshot: datetime, oldest: timedelta
) -> tuple[Bools, Floats]:
    """For each lead whether it was handed over in its assignment in force at a snapshot, and how likely that was.

    In force is the latest that was made and recorded by then and is not older than `oldest`; NaN without one.
    """
    n = len(tables.lead_ids)
    newest = np.full(n, -1, dtype=np.int64)
    found, now = tables.assignments, microseconds(snapshot)
    if found:
        at = found["assigned_at"]
        rows = np.flatnonzero(
            (at <= now) & (found["recorded_at"] <= now) & (at > microseconds(snapshot - oldest)) & (found["lead"] >= 0)
        )
        # The last written wins: later rows of the same instant are told apart by when they were recorded.
        rows = rows[np.lexsort((found["handover_propensity"][rows], found["recorded_at"][rows], at[rows]))]
        newest[found["lead"][rows]] = rows
    own = newest[lead]
    has = own >= 0
    handed = np.zeros(len(lead), dtype=np.bool_)
    chance = np.full(len(lead), np.nan)
    if has.any():
        handed[has] = found["handed_over"][own[has]] == YES
        chance[has] = found["handover_propensity"][own[has]]
    return handed & has, chance


def corrected(
    dataset: Dataset, tables: Tables, settings: Settings, as_of: datetime
) -> tuple[Dataset, Selection | None]:
    """The dataset with the weights of its rows, where only leads that were handed over have outcomes; else as it is.

    INVARIANT: a lead that nobody worked on is not learned from as a failure.

    Raises InputInvalid where `labels: handed_over` is declared and the assignments cannot carry it.
    """
    if settings.exploration.labels == "everybody":
        return dataset, None
    if not tables.assignments:
        raise InputInvalid(
            "assignments",
            "expected this table, because exploration.yaml says labels: handed_over; `leadwell rescore` writes it, and "
            "labels: everybody says that outcomes are on record of everybody",
        )
    seen, chance = np.zeros(len(dataset.y), dtype=np.bool_), np.full(len(dataset.y), np.nan)
    oldest = timedelta(days=settings.targets.served.horizon_days)
    for number, snapshot in enumerate(snapshot_days(settings, as_of)):
        rows = np.flatnonzero(dataset.order == number)
        seen[rows], chance[rows] = of_assignments(tables, dataset.lead[rows], snapshot, oldest)
    found = selection_weights(seen, chance, settings.exploration)
    if found.effective < MIN_EFFECTIVE:
        raise InputInvalid(
            "assignments",
            f"expected at least {MIN_EFFECTIVE:.0f} rows' worth of leads that were handed over, found "
            f"{found.effective:.0f} of {found.seen} rows; a larger exploration_share gives more",
        )
    counts = {
        **dataset.counts,
        "nobody worked on the lead, so nothing is known of it": int((found.weights == 0).sum()),
        "no chance of being worked on": found.beyond,
        "rows that the weighted ones are worth": round(found.effective),
    }
    used = found.weights > 0
    split = {part: getattr(dataset, part) & used for part in ("train", "judge", "time_only")}
    further = {
        target_id: replace(
            rows,
            usable=rows.usable & used,
            train=rows.train & used,
            judge=rows.judge & used,
            time_only=rows.time_only & used,
        )
        for target_id, rows in dataset.further.items()
    }
    return replace(dataset, weights=found.weights, counts=counts, further=further, **split), found
