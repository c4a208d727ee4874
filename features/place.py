"""Where a person may be, and which hour it may be there: states, their registrations, and time zones.

Calling hours must hold wherever the person may be, so what is told is the earliest and the latest minute of the day
over all zones that are possible: the one that the record names, else those of the state, else those of the country. A
named zone that does not fit the place widens the range instead of narrowing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.places import TimeZones
from configs.settings import Settings
from features.columns import Columns
from features.layout import Spellings

# Rows of the bounds: by code of the zone, of the state, of the country.
_ZONE, _STATE, _COUNTRY = range(3)
MINUTES_A_DAY = 1_440
_MINUTE_US = 60_000_000
# Clocks change at a whole quarter of an hour, so that offsets hold for one.
_QUARTER_US = 15 * _MINUTE_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT = 16
NOWHERE = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Places:
    """States by spelling, and the zones of every code of a zone, a state and a country.

    `zones` is a yes/no table by (row, code, zone): rows are `_ZONE`, `_STATE` and `_COUNTRY`.
    """

    states: Mapping[Any, int]
    united_states: int
    names: tuple[str, ...]
    zones: NDArray[np.bool_]
    _bounds: dict[int, NDArray[np.int32]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, settings: Settings) -> Places:
        """Resolve the settings."""
        vocabularies, zones = settings.vocabularies, settings.time_zones
        names = vocabularies["time_zone"].values
        return cls(
            states=Spellings(vocabularies["us_state"]),
            united_states=vocabularies["country"].code("US"),
            names=names,
            zones=_table(zones, settings, names),
        )

    def bounds(self, as_of_us: int) -> NDArray[np.int32]:
        """Smallest and largest offset from UTC in minutes, by (row, code, 2), `NOWHERE` where no zone is known."""
        quarter = as_of_us // _QUARTER_US
        found = self._bounds.get(quarter)
        if found is None:
            found = self._offsets(quarter * _QUARTER_US)
            if len(self._bounds) >= _KEPT:
                self._bounds.clear()
            self._bounds[quarter] = found
        return found

    def _offsets(self, as_of_us: int) -> NDArray[np.int32]:
        moment = datetime.fromtimestamp(as_of_us // 1_000_000, UTC)
        each = np.zeros(len(self.names), dtype=np.int32)
        for place, name in enumerate(self.names):
            offset = moment.astimezone(ZoneInfo(name)).utcoffset()
            each[place] = 0 if offset is None else offset.total_seconds() // 60
        some = self.zones.any(axis=2)
        found = np.full((*self.zones.shape[:2], 2), NOWHERE, dtype=np.int32)
        found[..., 0] = np.where(some, np.where(self.zones, each, NOWHERE).min(axis=2), NOWHERE)
        found[..., 1] = np.where(some, np.where(self.zones, each, -NOWHERE).max(axis=2), NOWHERE)
        return found

    def states_of(self, leads: Columns, country: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Code of each lead's state, unknown where the country is not surely the United States."""
        found = np.zeros(len(country), dtype=np.uint8)
        region = leads.get("region")
        if region is None:
            return found
        there = np.flatnonzero(country == self.united_states)
        if len(there):
            states = self.states
            found[there] = [states[text] for text in region[there].tolist()]
        return found


def _table(zones: TimeZones, settings: Settings, names: tuple[str, ...]) -> NDArray[np.bool_]:
    found = np.zeros((3, 256, len(names)), dtype=np.bool_)
    found[_ZONE, np.arange(1, len(names) + 1), np.arange(len(names))] = True
    for row, places, vocabulary in ((_STATE, zones.us_states, "us_state"), (_COUNTRY, zones.countries, "country")):
        for place, listed in places.items():
            code = settings.vocabularies[vocabulary].code(place)
            if code:
                found[row, code, [names.index(zone) for zone in listed if zone in names]] = True
    return found


@njit(cache=True, nogil=True)
def local_minutes(zone: int, state: int, country: int, bounds: Any, minute: int) -> Any:
    """Earliest and latest minute of the local day, (-1, -1) where no place is known; the whole day over midnight.

    `minute` counts minutes since 1970 UTC, `bounds` are those of `Places`.
    """
    row, code = (_STATE, state) if bounds[_STATE, state, 0] != NOWHERE else (_COUNTRY, country)
    low, high = bounds[row, code, 0], bounds[row, code, 1]
    named, last = bounds[_ZONE, zone, 0], bounds[_ZONE, zone, 1]
    if named != NOWHERE and (low == NOWHERE or (low <= named and last <= high)):
        low, high = named, last
    elif named != NOWHERE:
        low, high = min(low, named), max(high, last)
    if low == NOWHERE:
        return -1, -1
    first, second = minute + low, minute + high
    if first // MINUTES_A_DAY != second // MINUTES_A_DAY:
        return 0, MINUTES_A_DAY - 1
    return first % MINUTES_A_DAY, second % MINUTES_A_DAY
