"""What we did with a lead across channels: days since our last touch, how often, and what came after a field visit.

A digital step should know of the last visit of a representative: a field visit is an event that was recorded of one,
or a touch on the field's own channel. Ages are whole UTC days, and only whole numbers are added.
A reply of medical information is no touch here: it would tell that the lead asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.columns import CERTAIN, MICROSECONDS_A_DAY, exact
from features.engagement import EngagementPlan
from features.tables import UNKNOWN_INSTANT, Known

FIELD_KIND, FIELD_CHANNEL = "field_visit", "rep_visit"
# INVARIANT: what answers a question about an off-label use changes no feature, as the question changes none.
NEVER_COMMERCIAL_INTENT = "medical_information"
# Row of the days since the last field touch, from the end.
FIELD_DAYS = -2


@dataclass(frozen=True)
class HistoryPlan:
    """Which numbers of our own touches are taken: `names` are the rows; none where no window is declared."""

    plan: EngagementPlan

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the rows in order."""
        windows, channels = self.plan.settings.touch_windows_days, self.plan.values.get("channel", ())
        if not windows:
            return ()
        return (
            *(f"touch_count_{days}d" for days in windows),
            *(f"days_since_last_{channel}_touch" for channel in channels),
            "days_since_last_touch",
            "days_since_last_field_touch",
            "event_count_since_field_touch",
        )

    @cached_property
    def says(self) -> tuple[str, ...]:
        """A sentence per row."""
        windows, channels = self.plan.settings.touch_windows_days, self.plan.values.get("channel", ())
        return (
            *(f"Our touches on any channel in the last {days} days" for days in windows),
            *(f"Days since our last touch by {channel.replace('_', ' ')}" for channel in channels),
            "Days since our last touch on any channel",
            "Days since the last visit of a representative",
            "Events since the day of the last visit of a representative",
        )

    @cached_property
    def parts(self) -> NDArray[np.float64]:
        """Of how many parts of one each row is a number: events are counted in sixteenths."""
        return np.array([CERTAIN if name.startswith("event_") else 1 for name in self.names], dtype=np.float64)

    @cached_property
    def _codes(self) -> tuple[int, int, int]:
        """Codes of a field visit, of the field's channel and of a medical reply; 0 where there is no such word."""
        named = (("event_kind", FIELD_KIND), ("channel", FIELD_CHANNEL), ("intent", NEVER_COMMERCIAL_INTENT))
        listed = ((self.plan.values.get(name, ()), word) for name, word in named)
        kind, channel, reply = (values.index(word) + 1 if word in values else 0 for values, word in listed)
        return kind, channel, reply

    @cached_property
    def _windows(self) -> NDArray[np.int64]:
        return np.array(self.plan.settings.touch_windows_days, dtype=np.int64)

    def take(self, known: Known) -> NDArray[np.int32]:
        """One row per name, one column per lead; -1 where it never happened or the table was not supplied."""
        n = len(known.lead_ids)
        found = np.full((len(self.names), n), -1, dtype=np.int32)
        if not self.names:
            return found
        kind, field, reply = self._codes
        rows = found[:-2]
        if known.touches:
            size = len(known.touches["lead"])
            rows[: len(self._windows)] = 0
            _touched(
                exact(known.touches, "lead", np.int32, size),
                exact(known.touches, "sent_at", np.int64, size),
                exact(known.touches, "channel", np.uint8, size),
                exact(known.touches, "intent", np.uint8, size),
                reply,
                known.as_of_day,
                self._windows,
                rows,
            )
            if field:
                found[-2] = rows[len(self._windows) + field - 1]
        if known.events:
            _visited(known.event_starts, known.event_words, kind, self.plan.valid_days, found[-2], found[-1])
        return found


@njit(cache=True, nogil=True)
def _touched(lead: Any, sent: Any, channel: Any, intent: Any, reply: int, today: int, windows: Any, found: Any) -> None:
    """Count touches by window, and keep the fewest days by channel and, in the last row, of all."""
    first, last = len(windows), len(found) - 1
    for i in range(len(lead)):
        row = lead[i]
        if row < 0 or row >= found.shape[1] or sent[i] == UNKNOWN_INSTANT or (reply > 0 and intent[i] == reply):
            continue
        age = np.int32(today - sent[i] // MICROSECONDS_A_DAY)
        for w in range(len(windows)):
            found[w, row] += age <= windows[w]
        if found[last, row] < 0 or age < found[last, row]:
            found[last, row] = age
        place = first + channel[i] - 1
        if channel[i] > 0 and place < last and (found[place, row] < 0 or age < found[place, row]):
            found[place, row] = age


@njit(cache=True, nogil=True)
def _visited(starts: Any, words: Any, kind: int, valid: Any, days: Any, after: Any) -> None:
    """Days since the last visit, told by events too, and the sixteenths of events on later days than it."""
    byte = np.uint64(255)
    for lead in range(len(starts) - 1):
        visit = days[lead]
        for at in range(starts[lead], starts[lead + 1]):
            age = np.int32(words[at] & np.uint64(16383))
            of = np.int64((words[at] >> np.uint64(16)) & byte)
            if of == kind and kind > 0 and age <= valid[of] and (visit < 0 or age < visit):
                visit = age
        days[lead] = visit
        if visit >= 0:
            after[lead] = 0
            for at in range(starts[lead], starts[lead + 1]):
                age = np.int32(words[at] & np.uint64(16383))
                if age < visit and age <= valid[np.int64((words[at] >> np.uint64(16)) & byte)]:
                    after[lead] += np.int32((words[at] >> np.uint64(37)) & np.uint64(31))
