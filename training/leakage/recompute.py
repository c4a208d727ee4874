"""Features computed again without what nobody knew at the snapshot, and roll-ups without what the lead did itself.

Both must come out the same: the first proves on this very data that no feature sees the future, the second that no
colleague's count contains one's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.facts import FactBuilder
from features.pipeline import features_of
from features.tables import SKEW_US, Tables, microseconds
from features.view import view_at
from training.dataset.dataset import Dataset, lawful_now, snapshot_days
from training.leakage.findings import FAILS, Leak

LOOKED = ("FEATURE_KNEW_LATER", "ROLL_UP_OF_OWN")
_OWN_TIME = {
    "events": "occurred_at",
    "touches": "sent_at",
    "consents": "captured_at",
    "suppressions": "recorded_at",
    "cases": "opened_at",
    "memberships": "entered_at",
    "links": "linked_at",
    "outcomes": "occurred_at",
}
_ROLL_UPS = ("roll_up", "roll_up_share")


def recomputed_leaks(dataset: Dataset, tables: Tables, settings: Settings, as_of: datetime) -> list[Leak]:
    """Columns of the latest snapshot's rows that are other ones when computed as of then, from what was there then."""
    builder = FactBuilder.of(settings).weighing_as(dataset.spec, settings.vocabularies)
    days = snapshot_days(settings, as_of)
    number = int(dataset.order.max(initial=-1.0))
    if not 0 <= number < len(days):
        return []
    rows = np.flatnonzero(dataset.order == number)
    lawful = until(lawful_now(tables, as_of, builder.view), days[number])
    known = view_at(lawful, days[number], builder.view)
    then = features_of(known, dataset.spec).matrix[dataset.lead[rows]]
    found = list(_differing(dataset, rows, then))
    if not known.leads or not tables.events:
        return found
    chosen = _one_of_each(known.leads["account"][dataset.lead[rows]].astype(np.int64))
    without = _without_own(lawful, dataset.lead[rows[chosen]])
    alone = features_of(view_at(without, days[number], builder.view), dataset.spec).matrix[dataset.lead[rows[chosen]]]
    return found + list(_of_own(dataset, then[chosen], alone))


def until(tables: Tables, snapshot: datetime) -> Tables:
    """The tables as they stood at a snapshot: rows recorded or happening later are not hidden but gone."""
    cut = microseconds(snapshot)
    found: dict[str, Any] = {}
    for name in (*_OWN_TIME, "leads", "accounts"):
        columns = getattr(tables, name)
        if not columns:
            continue
        # Stops may be ahead by what clocks differ; known_at keeps them, so they must still be there.
        late = cut + (SKEW_US if name in ("consents", "suppressions") else 0)
        there = columns["recorded_at"] <= late
        if name in _OWN_TIME:
            there &= columns[_OWN_TIME[name]] <= late
        found[name] = columns if there.all() else {key: column[there] for key, column in columns.items()}
    return replace(tables, **found)


def _one_of_each(account: NDArray[np.int64]) -> NDArray[np.int64]:
    """One row of each account as it was then: two of one account at once would change each other's roll-up."""
    ids, first = np.unique(account, return_index=True)
    return np.sort(first[ids >= 0])


def _without_own(tables: Tables, leads: NDArray[np.int64]) -> Tables:
    chosen = np.zeros(len(tables.lead_ids) + 1, dtype=np.bool_)
    chosen[leads] = True
    own = chosen[np.where(tables.events["lead"] < 0, len(tables.lead_ids), tables.events["lead"])]
    return replace(tables, events={name: column[~own] for name, column in tables.events.items()})


def _differing(dataset: Dataset, rows: NDArray[np.int64], then: NDArray[np.float64]) -> Iterator[Leak]:
    different = _unequal(dataset.X[rows], then)
    for column in np.flatnonzero(different.any(axis=0)).tolist():
        count = int(different[:, column].sum())
        evidence = (
            f"{count:,} of {len(rows):,} rows have another value when it is computed from what was on record at their "
            "snapshot"
        )
        do = "the feature reads something without asking when it was recorded: read it through `view_at`, or drop it"
        numbers = {"rows": float(count), "share": count / len(rows)}
        yield Leak("FEATURE_KNEW_LATER", FAILS, "features", dataset.spec.names[column], evidence, do, numbers)


def _unequal(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where two computations of a value differ by more than rounding; missing in both is the same."""
    different = one != other
    # Nearly all values are equal to the last bit: only the others are looked at closely.
    at = np.nonzero(different)
    different[at] = ~np.isclose(one[at], other[at], rtol=1e-9, atol=1e-9, equal_nan=True)
    return np.asarray(different)


def _of_own(dataset: Dataset, then: NDArray[np.float64], alone: NDArray[np.float64]) -> Iterator[Leak]:
    for column, feature in enumerate(dataset.spec.features):
        if feature.source not in _ROLL_UPS:
            continue
        different = _unequal(then[:, column], alone[:, column])
        count = int(different.sum())
        if count:
            evidence = f"{count:,} of {len(then):,} leads have another value when only their own events are taken away"
            do = "a roll-up counts colleagues: take the lead's own part out of it"
            yield Leak("ROLL_UP_OF_OWN", FAILS, "features", feature.name, evidence, do, {"rows": float(count)})
