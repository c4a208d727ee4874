"""Where our services are: for what a lead asks and where it is, whether somebody there can be served.

One look into a table that is made once a day. What is not known is not guessed: a place or condition that leaves it
open gives unknown, and so does a place that nobody vouched for lately. What needs no service in place is offered
everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from configs.services import ServiceSettings
from configs.settings import Settings
from features.tables import NO, YES

_KEPT = 8
_EPOCH = date(1970, 1, 1)
Table = NDArray[np.uint8]


@dataclass(frozen=True)
class Services:
    """The register of services, resolved to codes.

    `asked` has for each code of an audience the product that it asks for without naming one, 0 for none.
    """

    settings: ServiceSettings
    products: tuple[str, ...]
    conditions: tuple[str, ...]
    countries: tuple[str, ...]
    states: tuple[str, ...]
    asked: NDArray[np.uint8]
    _tables: dict[int, Table] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, settings: Settings) -> Services:
        """Resolve the settings."""
        words, asked = settings.vocabularies, np.zeros(256, dtype=np.uint8)
        for audience, product in settings.services.asked_by.items():
            asked[words["audience"].code(audience)] = words["product"].code(product)
        asked[0] = 0
        return cls(
            settings=settings.services,
            products=words["product"].values,
            conditions=words["condition_focus"].values,
            countries=words["country"].values,
            states=words["us_state"].values,
            asked=asked,
        )

    def on(self, day: int) -> Table:
        """Yes, no or unknown by code of (product, condition, country, state) on a day since 1970; code 0 is unknown."""
        found = self._tables.get(day)
        if found is None:
            if len(self._tables) >= _KEPT:
                self._tables.clear()
            found = self._tables[day] = self._table(_EPOCH + timedelta(days=day))
        return found

    def _table(self, day: date) -> Table:
        axes = (self.products, self.conditions, self.countries, self.states)
        sure = np.zeros(tuple(1 + len(words) for words in axes), dtype=np.bool_)
        may = np.zeros_like(sure)
        for service in self.settings.services:
            if not service.open_on(day):
                continue
            product = _among(service.products, self.products, unknown=False)[:, None, None, None]
            for table, unknown in ((sure, False), (may, True)):
                condition = _among(service.conditions, self.conditions, unknown)[None, :, None, None]
                table |= product & condition & self._places(service.countries, service.states, unknown)[None, None]
        found = np.where(sure, YES, np.where(may, 0, NO)).astype(np.uint8)
        # INVARIANT: a product that needs no service in place, or none asked for, is limited by nothing.
        needed = np.array([False, *(product in self.settings.products for product in self.products)])
        found[~needed] = YES
        return found

    def _places(self, countries: tuple[str, ...], states: tuple[str, ...], unknown: bool) -> NDArray[np.bool_]:
        """Country by state: whether a place is one of these; `unknown`: whether it may be."""
        found = np.repeat(_among(countries, self.countries, unknown)[:, None], 1 + len(self.states), axis=1)
        if states and "US" in self.countries:
            here = 1 + self.countries.index("US")
            found[here] &= _among(states, self.states, unknown)
        return found


def _among(chosen: tuple[str, ...], words: tuple[str, ...], unknown: bool) -> NDArray[np.bool_]:
    """By code whether a word is one of some, which is every word and the unknown one where none is named."""
    if not chosen:
        return np.ones(1 + len(words), dtype=np.bool_)
    return np.array([unknown, *(word in chosen for word in words)])
