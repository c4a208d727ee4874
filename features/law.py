"""Whose law applies to a lead: the jurisdiction of its country, as long as somebody vouched for it lately."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.settings import Settings
from features.columns import MICROSECONDS_A_DAY

# By how much clocks may differ; `features/tables.py` says what for.
SKEW_US = 5 * 60 * 1_000_000
NEVER_DAYS = 36_500


def jurisdictions_of(settings: Settings) -> tuple[NDArray[np.uint8], int]:
    """Jurisdiction by code of the country (0: unknown), and for how many days a record vouches for its country."""
    country, law = settings.vocabularies["country"], settings.vocabularies["jurisdiction"]
    found = np.zeros(256, dtype=np.uint8)
    for name, jurisdiction in settings.jurisdictions.items():
        found[country.code(name)] = law.code(jurisdiction)
    found[0] = 0
    age = settings.facts["jurisdiction"].max_age_days if "jurisdiction" in settings.facts else None
    return found, NEVER_DAYS if age is None else age


@njit(cache=True, nogil=True)
def vouched(recorded: int, verified: int, cut: int, max_age: int) -> bool:
    """Whether somebody recorded or verified a record lately; not of one of no age or from the future."""
    newest = max(recorded, verified)
    return 0 < newest <= cut + SKEW_US and cut // MICROSECONDS_A_DAY - newest // MICROSECONDS_A_DAY <= max_age


@njit(cache=True, nogil=True)
def jurisdiction(
    country: int, recorded: int, verified: int, of_country: NDArray[np.uint8], cut: int, max_age: int
) -> int:
    """Code of the jurisdiction; unknown where the record is older than the fact may be, of no age, or from the future.

    A record of no known time says that it was recorded at 0.
    """
    return int(of_country[country]) if vouched(recorded, verified, cut, max_age) else 0
