"""Engagement: one kernel that turns each lead's events into counts, recency and decayed sums.

The same kernel serves one lead and millions. It only adds, takes minima and sets bits, on integers: the order of
events never matters. Decayed sums add whole numbers from a table with one weight per day of age.
Measures are laid out one row per measure, which is what facts need; features copy them into a lead-by-lead matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.measures import FeatureSettings
from configs.vocabulary import Vocabulary
from features.columns import available_threads, in_ranges
from features.tables import Known

# An event of age w days is inside the window of w days (90 counts, 91 does not), declared here once.
WINDOW_HOLDS_ITS_EDGE = True
# A question about an off-label use goes to medical information and is never a buying signal.
NEVER_COMMERCIAL = frozenset({"off_label_question"})
# One event of today weighs this much in a decayed sum; the sums are exact integers below 2**53 for 4 million events.
UNIT = 1 << 31
NO_SLOT = -1


@dataclass(frozen=True)
class EngagementPlan:
    """Which measures the kernel takes, resolved to codes; `names` are the measures in row order."""

    settings: FeatureSettings
    values: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Derive the names of the measures."""
        s, w = self.settings, self.settings.topic_window_days
        names = [f"{kind}_count_{days}d" for kind in s.kinds for days in s.windows_days]
        names += [f"days_since_last_{kind}" for kind in s.kinds]
        names += [f"topic_{topic}_count_{w}d" for topic in s.topics]
        names += [f"depth_{depth}_count_{w}d" for depth in s.depths]
        names += [f"event_count_{days}d" for days in s.windows_days]
        names += ["event_count", "days_since_last_event", f"distinct_channel_count_{w}d", f"active_day_count_{w}d"]
        object.__setattr__(self, "names", tuple(names))

    @classmethod
    def of(cls, settings: FeatureSettings, vocabularies: Mapping[str, Vocabulary]) -> EngagementPlan:
        """Resolve declared kinds, topics and depths against the vocabularies."""
        needed = ("event_kind", "topic", "depth", "event_channel")
        return cls(settings, {name: vocabularies[name].values for name in needed})

    @cached_property
    def decay_names(self) -> tuple[str, ...]:
        """Names of the decayed sums in row order."""
        return tuple(f"decay_{decay.name}" for decay in self.settings.decays)

    @cached_property
    def row(self) -> Mapping[str, int]:
        """Row of each measure."""
        return {name: row for row, name in enumerate(self.names)}

    @cached_property
    def _windows(self) -> NDArray[np.int64]:
        return np.array(self.settings.windows_days, dtype=np.int64)

    @cached_property
    def _slots(self) -> NDArray[np.int16]:
        """Slot of each code: rows kind, topic, depth; a code without one has NO_SLOT. Row 3: 1 where a kind counts."""
        slots = np.full((4, 256), NO_SLOT, dtype=np.int16)
        s, values = self.settings, self.values
        for row, (declared, name) in enumerate(((s.kinds, "event_kind"), (s.topics, "topic"), (s.depths, "depth"))):
            for slot, value in enumerate(declared):
                if value in values[name] and value not in NEVER_COMMERCIAL:
                    slots[row, values[name].index(value) + 1] = slot
        slots[3] = 0
        for code, kind in enumerate(values["event_kind"], start=1):
            slots[3, code] = kind not in NEVER_COMMERCIAL
        return slots

    @cached_property
    def _weights(self) -> NDArray[np.int64]:
        """Weight of an event by age in days, one row per decay, as whole parts of UNIT; zero once it rounds to zero."""
        decays = self.settings.decays
        days = np.arange(1 + 33 * max((decay.half_life_days for decay in decays), default=1))
        rows = [np.rint(UNIT * np.exp2(-days / decay.half_life_days)) for decay in decays]
        return np.array(rows, dtype=np.int64).reshape(len(decays), len(days))

    @cached_property
    def _shape(self) -> NDArray[np.int64]:
        """Sizes the kernel needs: kinds, topics, depths, days of the topic window."""
        s = self.settings
        return np.array([len(s.kinds), len(s.topics), len(s.depths), s.topic_window_days], dtype=np.int64)

    @property
    def key(self) -> tuple[FeatureSettings, Mapping[str, tuple[str, ...]]]:
        """What makes two plans the same."""
        return self.settings, self.values


@dataclass(frozen=True, slots=True)
class Measures:
    """Whole numbers per measure and lead, -1 where never or unknown; decayed sums in parts of UNIT."""

    plan: EngagementPlan
    supplied: bool
    counts: NDArray[np.int32]
    decays: NDArray[np.int64]

    def of(self, name: str) -> NDArray[np.int32]:
        """One measure for all leads."""
        found: NDArray[np.int32] = self.counts[self.plan.row[name]]
        return found


def measure(known: Known, plan: EngagementPlan, *, threads: int | None = None) -> Measures:
    """Take every measure of every lead; all unknown where no events were supplied."""
    n = len(known.lead_ids)
    shape = (len(plan.names), n)
    if not known.events:
        return Measures(plan, False, np.full(shape, -1, dtype=np.int32), np.zeros((len(plan.decay_names), n), np.int64))
    counts = np.empty(shape, dtype=np.int32)
    decays = np.empty((len(plan.decay_names), n), dtype=np.int64)
    starts, words = known.event_starts, known.event_words
    sizes, windows, slots, weights = plan._shape, plan._windows, plan._slots, plan._weights
    if len(words) < 100_000:
        _measure(starts, words, sizes, windows, slots, weights, 0, n, counts, decays)
    else:
        in_ranges(
            lambda _, a, b: _measure(starts, words, sizes, windows, slots, weights, a, b, counts, decays),
            n,
            threads or available_threads(),
            worth=2,
        )
    return Measures(plan, True, counts, decays)


@njit(cache=True, nogil=True)
def _ones(bits: Any) -> int:
    count = 0
    while bits != np.uint64(0):
        bits &= bits - np.uint64(1)
        count += 1
    return count


@njit(cache=True, nogil=True)
def _measure(
    starts: Any, words: Any, sizes: Any, windows: Any, slots: Any, weights: Any,
    first: int, stop: int, counts: Any, decays: Any,
) -> None:  # fmt: skip
    kinds, topics, depths, span = sizes[0], sizes[1], sizes[2], sizes[3]
    n_windows, n_decays, horizon = len(windows), weights.shape[0], weights.shape[1]
    recency_row = kinds * n_windows
    topic_row = recency_row + kinds
    depth_row = topic_row + topics
    event_row = depth_row + depths
    total_row = event_row + n_windows
    size = total_row + 4
    seen = np.empty(size, dtype=np.int32)
    sums = np.empty(n_decays, dtype=np.int64)
    days = np.empty(span // 64 + 1, dtype=np.uint64)
    byte, one = np.uint64(255), np.uint64(1)
    for lead in range(first, stop):
        seen[:] = 0
        seen[recency_row:topic_row] = -1
        seen[total_row + 1] = -1
        sums[:] = 0
        days[:] = 0
        channels = np.uint64(0)
        for at in range(starts[lead], starts[lead + 1]):
            word = words[at]
            kind = (word >> np.uint64(16)) & byte
            if slots[3, kind] == 0:
                continue
            age = np.int64(word & np.uint64(65535))
            slot = np.int64(slots[0, kind])
            for w in range(n_windows):
                if age <= windows[w]:
                    seen[event_row + w] += 1
                    if slot >= 0:
                        seen[slot * n_windows + w] += 1
            if slot >= 0 and (seen[recency_row + slot] < 0 or age < seen[recency_row + slot]):
                seen[recency_row + slot] = age
            seen[total_row] += 1
            if seen[total_row + 1] < 0 or age < seen[total_row + 1]:
                seen[total_row + 1] = age
            if age < horizon:
                for d in range(n_decays):
                    sums[d] += weights[d, age]
            if age <= span:
                topic = slots[1, (word >> np.uint64(24)) & byte]
                if topic >= 0:
                    seen[topic_row + topic] += 1
                depth = slots[2, (word >> np.uint64(32)) & byte]
                if depth >= 0:
                    seen[depth_row + depth] += 1
                channel = (word >> np.uint64(40)) & byte
                if np.uint64(0) < channel < np.uint64(64):
                    channels |= one << channel
                days[age >> 6] |= one << np.uint64(age & 63)
        seen[total_row + 2] = _ones(channels)
        for d in range(len(days)):
            seen[total_row + 3] += _ones(days[d])
        for row in range(size):
            counts[row, lead] = seen[row]
        for d in range(n_decays):
            decays[d, lead] = sums[d]


@njit(cache=True, nogil=True)
def fill_features(counts: Any, rows: Any, columns: Any, first: int, stop: int, matrix: Any) -> None:
    """Copy measures into their feature columns, -1 becoming NaN."""
    for lead in range(first, stop):
        for j in range(len(rows)):
            value = counts[rows[j], lead]
            matrix[lead, columns[j]] = np.nan if value < 0 else value


@njit(cache=True, nogil=True)
def fill_decays(decays: Any, rows: Any, columns: Any, first: int, stop: int, matrix: Any) -> None:
    """Copy decayed sums into their feature columns, in events."""
    for lead in range(first, stop):
        for j in range(len(rows)):
            matrix[lead, columns[j]] = decays[rows[j], lead] / UNIT
