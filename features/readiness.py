"""The facts that exist once readiness does: the band and readiness in percent, told for overlay segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.dictionary import AFTER_READINESS
from features.blocks import FactColumns
from features.facts import Facts

# A probability counts as answers and result files give it, so that a file of scores tells the same percent.
MILLIONTHS = 1_000_000


def percent_of(band: NDArray[np.uint8], probability: NDArray[np.float64]) -> NDArray[np.int32]:
    """Readiness in whole percent, rounded down, of the probability to six digits; -1 where the band is unknown."""
    known = np.where(np.isnan(probability), 0.0, probability)
    millionths = np.rint(np.clip(known, 0.0, 1.0) * MILLIONTHS).astype(np.int64)
    found = np.where((band > 0) & ~np.isnan(probability), millionths // (MILLIONTHS // 100), -1)
    return found.astype(np.int32)


def with_readiness(
    facts: Facts, band: NDArray[np.uint8], probability: NDArray[np.float64], *, hidden: NDArray[np.bool_] | None = None
) -> Facts:
    """The same facts with `band` and `readiness` told.

    A lead whose band is unknown, for whatever reason, or that is `hidden` because it may not be scored, has neither.
    """
    codes = band.astype(np.uint8) if hidden is None else np.where(hidden, 0, band).astype(np.uint8)
    of_band, of_readiness = AFTER_READINESS
    told: dict[str, NDArray[Any]] = {of_band: codes, of_readiness: percent_of(codes, probability)}
    columns: Mapping[str, NDArray[Any]] = facts.columns
    for name, column in told.items():
        shaped = column[:, None, None]
        columns = columns.having(name, shaped) if isinstance(columns, FactColumns) else {**columns, name: shaped}
    one = None if facts.one is None else {**facts.one, **{name: int(column[0]) for name, column in told.items()}}
    return replace(facts, columns=columns, one=one)
