"""Engagement: one kernel that turns each lead's events into counts, recency and decayed sums.

The same kernel serves one lead and millions. It only adds, takes minima and sets bits, on integers: the order of
events never matters. An event counts as much as it is likely that a person made it, in sixteenths; what tells when,
where and about what (recency, days, channels, resources, themes) looks only at events likelier made by a person than
not. Decayed sums add whole numbers from a table with one weight per day of age.
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
from features.columns import (
    CERTAIN,
    MAX_CHANNELS,
    MAX_DEPTHS,
    MICROSECONDS_A_DAY,
    UNKNOWN_INSTANT,
    SortedEvents,
    available_threads,
    exact,
    in_ranges,
)
from features.tables import Known

# An event of age w days is inside the window of w days (90 counts, 91 does not), declared here once.
WINDOW_HOLDS_ITS_EDGE = True
# A question about an off-label use goes to medical information and is never a buying signal.
NEVER_COMMERCIAL = frozenset({"off_label_question"})
# One event of today that a person surely made weighs this much in a decayed sum; the sums are exact integers, as
# floats too for a quarter of a million events of a lead.
UNIT = CERTAIN << 31
# Below this many sixteenths an event was likelier made by a machine: it is suspect.
SUSPECT_BELOW = CERTAIN // 2
NO_SLOT = -1
FOREVER = 1 << 30
# Leads whose resources are told apart at once: a bit for each lead and resource is held meanwhile.
_BITS_AT_ONCE = 1 << 31


@dataclass(frozen=True)
class EngagementPlan:
    """Which measures the kernel takes, resolved to codes; `names` are the measures in row order.

    Raises ValueError where a vocabulary is too large for the words that hold an event.
    """

    settings: FeatureSettings
    values: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Derive the names of the measures."""
        for name, most in (("depth", MAX_DEPTHS), ("event_channel", MAX_CHANNELS)):
            if len(self.values[name]) > most:
                raise ValueError(f"{name}: {len(self.values[name])} values, at most {most} fit an event's word")
        s, w = self.settings, self.settings.topic_window_days
        names = [f"{kind}_count_{days}d" for kind in s.kinds for days in s.windows_days]
        names += [f"days_since_last_{kind}" for kind in s.kinds]
        names += [f"topic_{topic}_count_{w}d" for topic in s.topics]
        names += [f"depth_{depth}_count_{w}d" for depth in s.depths]
        names += [f"event_count_{days}d" for days in s.windows_days]
        names += ["event_count", "days_since_last_event", f"distinct_channel_count_{w}d", f"active_day_count_{w}d"]
        names += [f"suspect_event_count_{w}d", f"repeated_theme_count_{w}d", f"most_asked_theme_count_{w}d"]
        names += [f"topic_event_count_{w}d", f"channel_event_count_{w}d"]
        names += [f"channel_{channel}_count_{w}d" for channel in s.channels]
        names += [f"distinct_asset_count_{w}d"]
        object.__setattr__(self, "names", tuple(names))

    @classmethod
    def of(cls, settings: FeatureSettings, vocabularies: Mapping[str, Vocabulary]) -> EngagementPlan:
        """Resolve what is declared against the vocabularies."""
        needed = ["event_kind", "topic", "depth", "event_channel"]
        if settings.touch_windows_days:
            needed += ["channel", "intent"]
        if settings.role_signals or settings.account.role_weights or settings.account.influence_weights:
            needed += ["role", "influence"]
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
    def weighted(self) -> NDArray[np.bool_]:
        """Which measures are sums of weights, in sixteenths of an event; the others are plain whole numbers."""
        plain = ("distinct_", "active_day_", "suspect_", "repeated_", "most_asked_", "days_since_")
        return np.array([not name.startswith(plain) for name in self.names])

    @cached_property
    def _windows(self) -> NDArray[np.int64]:
        return np.array(self.settings.windows_days, dtype=np.int64)

    @cached_property
    def _slots(self) -> NDArray[np.int16]:
        """Slot of each code: rows kind, topic, depth, channel; NO_SLOT where it has none. Row 4: 1 for a question."""
        slots = np.full((5, 256), NO_SLOT, dtype=np.int16)
        s, values = self.settings, self.values
        declared = ((s.kinds, "event_kind"), (s.topics, "topic"), (s.depths, "depth"), (s.channels, "event_channel"))
        for row, (listed, name) in enumerate(declared):
            for slot, value in enumerate(listed):
                if value in values[name] and value not in NEVER_COMMERCIAL:
                    slots[row, values[name].index(value) + 1] = slot
        slots[4] = 0
        for code, kind in enumerate(values["event_kind"], start=1):
            slots[4, code] = kind in s.question_kinds
        return slots

    @cached_property
    def valid_days(self) -> NDArray[np.int64]:
        """Until which age an event of each kind counts; never for one that is medical information's alone."""
        found = np.full(256, FOREVER, dtype=np.int64)
        for code, kind in enumerate(self.values["event_kind"], start=1):
            found[code] = -1 if kind in NEVER_COMMERCIAL else self.settings.valid_days.get(kind, FOREVER)
        return found

    @cached_property
    def _weights(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Weight of a sixteenth of an event by half-life and age in days, and the row of each decay and kind.

        The weights are zero once they round to zero.
        """
        decays = self.settings.decays
        lives = sorted({days for decay in decays for days in (decay.half_life_days, *decay.half_life_days_of.values())})
        ages = np.arange(1 + 33 * max(lives, default=1))
        rows = [np.rint(UNIT / CERTAIN * np.exp2(-ages / days)) for days in lives]
        of = np.zeros((len(decays), 256), dtype=np.int64)
        for row, decay in enumerate(decays):
            of[row] = lives.index(decay.half_life_days)
            for code, kind in enumerate(self.values["event_kind"], start=1):
                if kind in decay.half_life_days_of:
                    of[row, code] = lives.index(decay.half_life_days_of[kind])
        return np.array(rows, dtype=np.int64).reshape(len(lives), len(ages)), of

    @cached_property
    def _shape(self) -> NDArray[np.int64]:
        """Sizes the kernel needs: kinds, topics, depths, channels, days of the topic window, rows."""
        s = self.settings
        sizes = [len(s.kinds), len(s.topics), len(s.depths), len(s.channels), s.topic_window_days, len(self.names)]
        return np.array(sizes, dtype=np.int64)

    @property
    def key(self) -> tuple[FeatureSettings, Mapping[str, tuple[str, ...]]]:
        """What makes two plans the same."""
        return self.settings, self.values


@dataclass(frozen=True, slots=True)
class Measures:
    """Whole numbers per measure and lead, -1 where never or unknown; sums of weights are in sixteenths of an event.

    `decays` are in parts of UNIT; its last row is what suspect events make of the last declared decay.
    """

    plan: EngagementPlan
    supplied: bool
    counts: NDArray[np.int32]
    decays: NDArray[np.int64]

    def of(self, name: str) -> NDArray[np.int32]:
        """One measure for all leads in whole events, as conditions and colleagues' summaries use it."""
        row = self.plan.row[name]
        found: NDArray[np.int32] = whole(self.counts[row]) if self.plan.weighted[row] else self.counts[row]
        return found

    def suspect_share(self) -> NDArray[np.float64]:
        """Which part of each lead's longest-lived decayed sum rests on suspect events; NaN where there is none.

        INVARIANT: a quotient of two exact integers, so that it is the same online and in batch.
        """
        found = np.full(self.decays.shape[1], np.nan)
        if self.supplied and len(self.decays) > 1:
            _suspect_share(self.decays, found)
        return found


def whole(sixteenths: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sums of weights as whole events, halves counting up; -1 stays -1."""
    found: NDArray[np.int32] = np.where(sixteenths < 0, -1, (sixteenths + CERTAIN // 2) // CERTAIN).astype(np.int32)
    return found


def measure(known: Known, plan: EngagementPlan, *, threads: int | None = None) -> Measures:
    """Take every measure of every lead; all unknown where no events were supplied."""
    n = len(known.lead_ids)
    shape, decayed = (len(plan.names), n), (len(plan.decay_names) + 1, n)
    if not known.events:
        return Measures(plan, False, np.full(shape, -1, dtype=np.int32), np.zeros(decayed, np.int64))
    counts, decays = np.empty(shape, dtype=np.int32), np.empty(decayed, dtype=np.int64)
    given = (plan._shape, plan._windows, plan._slots, plan.valid_days, *plan._weights)
    starts, words = known.event_starts, known.event_words
    if len(words) < 100_000:
        _measure(starts, words, *given, 0, n, counts, decays)
    else:
        in_ranges(
            lambda _, a, b: _measure(starts, words, *given, a, b, counts, decays),
            n,
            threads or available_threads(),
            worth=2,
        )
    _resources(known, plan, counts[-1])
    return Measures(plan, True, counts, decays)


def _resources(known: Known, plan: EngagementPlan, found: NDArray[np.int32]) -> None:
    """Different assets of each lead in the window, by bits: events of an asset are few and need no sorting."""
    assets, n = len(known.asset_ids), len(found)
    found[:] = 0
    events = known.events.unsorted if isinstance(known.events, SortedEvents) else known.events
    if not assets or "asset" not in events or not n:
        return
    size = len(events["lead"])
    human = exact(events, "human", np.uint8, size) if "human" in events else np.empty(0, dtype=np.uint8)
    width = (assets + 63) // 64
    step = max(1, _BITS_AT_ONCE // (64 * width))
    for first in range(0, n, step):
        _add_resources(
            exact(events, "lead", np.int32, size),
            exact(events, "asset", np.int32, size),
            exact(events, "kind", np.uint8, size),
            exact(events, "occurred_at", np.int64, size),
            exact(events, "recorded_at", np.int64, size),
            human,
            known.as_of_us,
            plan.settings.topic_window_days,
            plan.valid_days,
            first,
            assets,
            np.zeros((min(step, n - first), width), dtype=np.uint64),
            found,
        )


@njit(cache=True, nogil=True)
def _add_resources(
    lead: Any, asset: Any, kind: Any, happened: Any, recorded: Any, human: Any, cut: int, span: int, valid: Any,
    first: int, assets: int, bits: Any, found: Any,
) -> None:  # fmt: skip
    today, some = cut // MICROSECONDS_A_DAY, False
    for i in range(len(lead)):
        row = lead[i] - first
        if asset[i] < 0 or asset[i] >= assets or row < 0 or row >= len(bits) or recorded[i] > cut or happened[i] > cut:
            continue
        if happened[i] == UNKNOWN_INSTANT or (len(human) and human[i] < SUSPECT_BELOW):
            continue
        if today - happened[i] // MICROSECONDS_A_DAY <= min(span, valid[kind[i]]):
            bits[row, asset[i] >> 6] |= np.uint64(1) << np.uint64(asset[i] & 63)
            some = True
    if some:
        for row in range(len(bits)):
            for w in range(bits.shape[1]):
                found[first + row] += _ones(bits[row, w])


@njit(cache=True, nogil=True)
def _ones(bits: Any) -> int:
    count = 0
    while bits != np.uint64(0):
        bits &= bits - np.uint64(1)
        count += 1
    return count


@njit(cache=True, nogil=True)
def _measure(
    starts: Any, words: Any, sizes: Any, windows: Any, slots: Any, valid: Any, weights: Any, weight_row: Any,
    first: int, stop: int, counts: Any, decays: Any,
) -> None:  # fmt: skip
    kinds, topics, depths, span, size = sizes[0], sizes[1], sizes[2], sizes[4], sizes[5]
    n_windows, n_decays, horizon = len(windows), weight_row.shape[0], weights.shape[1]
    recency_row = kinds * n_windows
    topic_row = recency_row + kinds
    depth_row = topic_row + topics
    event_row = depth_row + depths
    total_row = event_row + n_windows
    suspect_row = total_row + 4
    channel_row = suspect_row + 5
    seen = np.empty(size, dtype=np.int32)
    asked = np.empty(topics, dtype=np.int32)
    sums = np.empty(n_decays + 1, dtype=np.int64)
    days = np.empty(span // 64 + 1, dtype=np.uint64)
    byte, one = np.uint64(255), np.uint64(1)
    for lead in range(first, stop):
        seen[:] = 0
        seen[recency_row:topic_row] = -1
        seen[total_row + 1] = -1
        asked[:] = 0
        sums[:] = 0
        days[:] = 0
        channels = np.uint64(0)
        for at in range(starts[lead], starts[lead + 1]):
            word = words[at]
            kind = (word >> np.uint64(16)) & byte
            age = np.int64(word & np.uint64(16383))
            if age > valid[kind]:
                continue
            level = np.int32((word >> np.uint64(37)) & np.uint64(31))
            likely = level >= SUSPECT_BELOW
            slot = np.int64(slots[0, kind])
            for w in range(n_windows):
                if age <= windows[w]:
                    seen[event_row + w] += level
                    if slot >= 0:
                        seen[slot * n_windows + w] += level
            seen[total_row] += level
            if likely:
                if slot >= 0 and (seen[recency_row + slot] < 0 or age < seen[recency_row + slot]):
                    seen[recency_row + slot] = age
                if seen[total_row + 1] < 0 or age < seen[total_row + 1]:
                    seen[total_row + 1] = age
            if age < horizon:
                for d in range(n_decays):
                    part = weights[weight_row[d, kind], age] * level
                    sums[d] += part
                    if not likely and d == n_decays - 1:
                        sums[n_decays] += part
            if age <= span:
                topic = slots[1, (word >> np.uint64(24)) & byte]
                if topic >= 0:
                    seen[topic_row + topic] += level
                    seen[suspect_row + 3] += level
                depth = slots[2, (word >> np.uint64(32)) & np.uint64(31)]
                if depth >= 0:
                    seen[depth_row + depth] += level
                channel = (word >> np.uint64(42)) & np.uint64(63)
                place = slots[3, channel]
                if place >= 0:
                    seen[channel_row + place] += level
                    seen[suspect_row + 4] += level
                if likely:
                    if channel > np.uint64(0):
                        channels |= one << channel
                    days[age >> 6] |= one << np.uint64(age & 63)
                    if topic >= 0 and slots[4, kind] == 1:
                        asked[topic] += 1
                else:
                    seen[suspect_row] += 1
        seen[total_row + 2] = _ones(channels)
        for d in range(len(days)):
            seen[total_row + 3] += _ones(days[d])
        for topic in range(topics):
            seen[suspect_row + 1] += asked[topic] >= 2
            seen[suspect_row + 2] = max(seen[suspect_row + 2], asked[topic])
        for row in range(size):
            counts[row, lead] = seen[row]
        for d in range(n_decays + 1):
            decays[d, lead] = sums[d]


@njit(cache=True, nogil=True)
def _suspect_share(decays: Any, found: Any) -> None:
    for lead in range(len(found)):
        if decays[-2, lead] > 0:
            found[lead] = decays[-1, lead] / decays[-2, lead]
