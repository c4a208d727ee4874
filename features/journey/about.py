"""What product an event is about: the one it names, else that of its asset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.settings import Settings
from features.columns import available_threads, exact, in_ranges
from features.tables import Tables


@dataclass(frozen=True)
class AssetProducts:
    """The code of the product of each declared asset that has one."""

    of: Mapping[str, int]
    _last: list[tuple[NDArray[np.object_], NDArray[np.uint8]]] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of_settings(cls, settings: Settings) -> AssetProducts:
        """Resolve the settings."""
        words = settings.vocabularies["product"]
        return cls({asset.asset_id: words.code(asset.product) for asset in settings.assets if asset.product})

    def of_each(self, asset_ids: NDArray[np.object_]) -> NDArray[np.uint8]:
        """The code of each asset's product, 0 where it has none, and one more for events without an asset.

        Those of the last list are remembered: requests share one, and looking them up costs more than their events.
        """
        for ids, known in self._last[:1]:  # read once: another thread may put another list there
            if ids is asset_ids:
                return known
        found = np.array([self.of.get(str(name), 0) for name in asset_ids] + [0], dtype=np.uint8)
        self._last[:] = [(asset_ids, found)]
        return found


def about_products(tables: Tables, products: AssetProducts, *, threads: int | None = None) -> Tables:
    """The same tables with the product of its asset where an event names none; the same object where that is nowhere.

    INVARIANT: an event that names a product keeps it, whatever its asset is about.
    """
    events = tables.events
    if not events or "asset" not in events or not len(tables.asset_ids) or not len(events["lead"]):
        return tables
    of, size = products.of_each(tables.asset_ids), len(events["lead"])
    asset, product = exact(events, "asset", np.int32, size), exact(events, "product", np.uint8, size)
    if not _any_told(asset, product, of):
        return tables
    found = np.empty(size, dtype=np.uint8)
    in_ranges(lambda _, a, b: _told(asset, product, of, a, b, found), size, threads or available_threads())
    return replace(tables, events={**events, "product": found})


@njit(cache=True, nogil=True)
def _any_told(asset: Any, product: Any, of: Any) -> bool:
    last = len(of) - 1
    for i in range(len(asset)):  # noqa: SIM110 - numba compiles loops
        if product[i] == 0 and 0 <= asset[i] < last and of[asset[i]] > 0:
            return True
    return False


@njit(cache=True, nogil=True)
def _told(asset: Any, product: Any, of: Any, start: int, stop: int, found: NDArray[np.uint8]) -> None:
    last = len(of) - 1
    for i in range(start, stop):
        found[i] = product[i] if product[i] > 0 or not 0 <= asset[i] < last else of[asset[i]]
