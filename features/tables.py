"""Encoded tables, column by column, and the one place that drops the future.

Encoding: a code is uint8, 0 = unknown, 1..n = position in its vocabulary. Yes/no is the vocabulary (no, yes): 1 = no,
2 = yes. An instant is int64 microseconds since 1970 UTC, `UNKNOWN_INSTANT` where absent. A number is float64 with NaN.
A reference to a lead, account or asset is an int32 row of `lead_ids`, `account_ids` or `asset_ids`, -1 where absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]

UNKNOWN_INSTANT = np.iinfo(np.int64).min
NO, YES = 1, 2
MICROSECONDS_A_DAY = 86_400_000_000


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 UTC of an instant that carries a zone."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a zone")
    delta = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def day_of(micros: NDArray[np.int64]) -> NDArray[np.int32]:
    """Whole UTC days since 1970, rounding down."""
    return np.floor_divide(micros, MICROSECONDS_A_DAY).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything known about a set of leads, encoded, in any row order, with every version and the future still in.

    `leads` and `accounts` may hold several versions of a row, told apart by `recorded_at`; their `lead` and `account`
    columns point into `lead_ids` and `account_ids`. Every other table points at leads the same way.
    `attributes` are the custom columns a source mapping declares, one value per lead id: float64, or object with None.
    `colleagues` is None when all leads of every account are present, so that the roll-up is computed from them.
    """

    lead_ids: NDArray[np.object_]
    account_ids: NDArray[np.object_]
    asset_ids: NDArray[np.object_]
    leads: Columns
    accounts: Columns
    events: Columns
    touches: Columns
    consents: Columns
    suppressions: Columns
    cases: Columns
    memberships: Columns
    outcomes: Columns
    colleagues: Columns | None = None
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    suppressions_complete_as_of: int = UNKNOWN_INSTANT
    segment_ids: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, dtype=object))
