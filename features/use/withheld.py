"""What was not used of each lead, and under which rule: counts of events, and columns that read as unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A column of a lead that is used.
USED = 255


@dataclass(frozen=True, slots=True)
class Entries:
    """What was withheld, entry by entry: how many of each lead, and of each its place in `names`, count and rule."""

    sizes: NDArray[np.int64]
    names: tuple[str, ...]
    what: NDArray[np.int64]
    count: NDArray[np.int32]
    rule: NDArray[np.int64]


@dataclass(frozen=True)
class Withheld:
    """Per lead, how many events of each item were withheld, and the rule by which a column is, `USED` where it is not.

    `rules` are pairs of rule id and reason code; `items` are pairs of a kind of data and a row of `rules`, one a column
    of `events` (lead by item). `columns` has a row of `rules` for each lead, by name of the column. Events are counted
    when somebody asks, which a batch of millions seldom does.
    """

    rules: tuple[tuple[str, str], ...]
    items: tuple[tuple[str, int], ...] = ()
    count: Callable[[], NDArray[np.int32]] | None = None
    columns: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)

    @cached_property
    def events(self) -> NDArray[np.int32]:
        """How many events of each lead were withheld, lead by item; empty where none were."""
        return np.zeros((0, 0), dtype=np.int32) if self.count is None else self.count()

    def of(self, row: int) -> list[dict[str, Any]]:
        """What was withheld of one lead, as plain values: what, how many, the rule, the reason code."""
        found: list[dict[str, Any]] = []
        if len(self.events):
            for item in np.flatnonzero(self.events[row]).tolist():
                what, rule = self.items[item]
                found.append(self._told(what, int(self.events[row, item]), rule))
        for name, ruled in self.columns.items():
            if ruled[row] != USED:
                found.append(self._told(name, 1, int(ruled[row])))
        return found

    def entries(self, n: int) -> Entries:
        """The same over `n` leads as columns, lead by lead and in the order of `of`."""
        items = len(self.items)
        events = self.events if len(self.events) else np.zeros((n, items), dtype=np.int32)
        gone = [ruled != USED for ruled in self.columns.values()]
        counts = np.column_stack((events, *(column.astype(np.int32) for column in gone)))
        lead, place = np.nonzero(counts)
        rule = np.array([*(rule for _, rule in self.items), *([0] * len(gone))], dtype=np.int64)[place]
        for column, ruled in enumerate(self.columns.values(), start=items):
            rule[place == column] = ruled[lead[place == column]]
        listed = (*(what for what, _ in self.items), *self.columns)
        names = tuple(dict.fromkeys(listed))
        name = np.array([names.index(what) for what in listed], dtype=np.int64)[place]
        return Entries(np.bincount(lead, minlength=n), names, name, counts[lead, place], rule)

    def totals(self) -> list[dict[str, Any]]:
        """The same over all leads, with how many leads it concerns, in the order of the items and columns."""
        found: list[dict[str, Any]] = []
        for item in np.flatnonzero(self.events.sum(axis=0)).tolist() if len(self.events) else ():
            what, rule = self.items[item]
            count, leads = int(self.events[:, item].sum()), int(np.count_nonzero(self.events[:, item]))
            found.append({**self._told(what, count, rule), "leads": leads})
        for name, ruled in self.columns.items():
            for rule in np.unique(ruled[ruled != USED]).tolist():
                count = int(np.count_nonzero(ruled == rule))
                found.append({**self._told(name, count, int(rule)), "leads": count})
        return found

    def _told(self, what: str, count: int, rule: int) -> dict[str, Any]:
        rule_id, reason = self.rules[rule]
        return {"what": what, "count": count, "rule": rule_id, "reason": reason}
