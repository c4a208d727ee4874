"""When calling hours end for a lead: a permit to call holds no longer than the hours in which it may be used.

Which hours those are only the rule book says. Its cards of the send gate that look at nothing but the place and the
hour are asked for every minute of a day, once for each place, and the answer is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import facts_used
from configs.settings import Settings
from features.evaluate import FALSE, Domain, as_closure
from features.facts import Facts
from features.place import MINUTES_A_DAY
from policy.book import BLOCKING, condition_of, in_force

_HOURS = frozenset({"local_minute_from", "local_minute_to"})
_PLACE = ("jurisdiction", "us_state")
_MINUTE_US = 60_000_000
_KEPT = 8
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class CallingHours:
    """The cards of a day that look at place and hour alone: channels by place, and whether a card lets a minute be."""

    cards: tuple[tuple[tuple[int, ...], Callable[[Mapping[str, int]], int]], ...]
    closes: dict[tuple[int, ...], list[int]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, settings: Settings, on: date) -> CallingHours:
        """The hours of a day."""
        domain, channels = Domain.of(settings), settings.vocabularies["channel"].values
        found = []
        for card in settings.rules:
            if "send" not in card.gates or card.effect not in BLOCKING or not in_force(card, on):
                continue
            condition = condition_of(card, settings)
            facts = set(facts_used(condition))
            if facts & _HOURS and facts <= {*_PLACE, *_HOURS}:
                places = tuple(place for place, name in enumerate(channels) if name in card.channels)
                found.append((places, as_closure(condition, domain, on)))
        return cls(tuple(found))

    def ends(self, facts: Facts, as_of_us: int, channels: int) -> NDArray[np.int64]:
        """Microseconds since 1970 by lead and channel when its hours end, `NEVER` where they are unknown or not open.

        Outside of its hours a permit waits for them: the send gate asks again, and says no until then.
        """
        found = np.full((facts.n, channels), NEVER, dtype=np.int64)
        if not self.cards:
            return found
        if facts.n == 0:
            return found
        minute, names = as_of_us // _MINUTE_US, (*_PLACE, "local_minute_from", "local_minute_to")
        one = facts.one
        if one is not None and all(name in one for name in names):
            law, state, low, high = (int(one[name]) for name in names)
            for card, (covered, _) in enumerate(self.cards):
                left = self._closes(card, law, state, high - low)[low] if low >= 0 else 0
                if left:
                    for channel in covered:
                        found[0, channel] = min(found[0, channel], (minute + left) * _MINUTE_US)
            return found
        laws, states, first, last = (_codes(facts, name) for name in names)
        # Codes take a byte each, and a spread is less than a day.
        keys, which = np.unique((laws << 24) | (states << 16) | (last - first), return_inverse=True)
        for card, (covered, _) in enumerate(self.cards):
            tables = np.array([self._closes(card, k >> 24, k >> 16 & 255, k & 0xFFFF) for k in keys.tolist()])
            lefts = tables[which.reshape(-1), np.maximum(first, 0)]
            end = np.where((first >= 0) & (lefts > 0), (minute + lefts) * _MINUTE_US, NEVER)
            for channel in covered:
                found[:, channel] = np.minimum(found[:, channel], end)
        return found

    def _closes(self, card: int, law: int, state: int, spread: int) -> list[int]:
        """By minute of the day how many minutes are left until the card stops; 0 where it does now or never will."""
        key = (card, law, state, spread)
        found = self.closes.get(key)
        if found is None:
            stops = [self._stops(card, law, state, minute, spread) for minute in range(MINUTES_A_DAY)]
            found = [0] * MINUTES_A_DAY
            left = 0
            # Twice around the clock, so that a window over midnight knows its end.
            for minute in range(2 * MINUTES_A_DAY - 1, -1, -1):
                at = minute % MINUTES_A_DAY
                left = 0 if stops[at] else left + 1
                found[at] = left
            if not any(stops):
                found = [0] * MINUTES_A_DAY
            self.closes[key] = found
        return found

    def _stops(self, card: int, law: int, state: int, minute: int, spread: int) -> bool:
        last = minute + spread
        low, high = (minute, last) if last < MINUTES_A_DAY else (0, MINUTES_A_DAY - 1)
        codes = {"jurisdiction": law, "us_state": state, "local_minute_from": low, "local_minute_to": high}
        return self.cards[card][1](codes) != FALSE


def _codes(facts: Facts, name: str) -> NDArray[np.int64]:
    column = facts.columns.get(name)
    if column is None:
        return np.full(facts.n, -1 if name in _HOURS else 0, dtype=np.int64)
    return np.broadcast_to(column.reshape(-1), (facts.n,)).astype(np.int64)


_KNOWN: dict[tuple[int, date], tuple[Any, CallingHours]] = {}


def calling_hours(settings: Settings, on: date) -> CallingHours:
    """The hours of a day, remembered for the last few settings and days."""
    found = _KNOWN.get((id(settings), on))
    if found is None:
        if len(_KNOWN) >= _KEPT:
            _KNOWN.clear()
        # The settings are kept with it, so that their id stays their own.
        found = _KNOWN[id(settings), on] = (settings, CallingHours.of(settings, on))
    return found[1]
