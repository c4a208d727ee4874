"""How long ago records were verified, field by field, against how often each volatile field must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.columns import exact
from features.intake.quality.columns import known_rows
from features.intake.quality.findings import Staleness
from features.layout import LAYOUTS
from features.tables import MICROSECONDS_A_DAY, SKEW_US, UNKNOWN_INSTANT, Columns, Tables, known_at

MONTH_DAYS = 30
MONTHS = 24
_NOTHING: dict[str, NDArray[np.int64]] = {}


def staleness(tables: Tables, settings: Settings, as_of: datetime) -> tuple[Staleness, ...]:
    """One line for each volatile field that the tables have, of the leads and accounts for which it is known."""
    latest = people_and_places(tables, as_of)
    today = int(np.floor(as_of.timestamp() / 86_400))
    found: list[Staleness] = []
    for place, days in settings.quality.verify_every_days.items():
        table, _, field = place.partition(".")
        column = (
            next((c.name for c in LAYOUTS[table].columns if c.field == field), field) if table in LAYOUTS else field
        )
        values = latest.get(table, {}).get(column)
        if values is None or not known_rows(values).any():
            continue
        known = known_rows(values)
        verified = exact(latest[table], "verified_at", np.int64, len(values))[known]
        ages = record_ages(latest[table], len(values), as_of)[known]
        ever = verified[verified != UNKNOWN_INSTANT]
        spread = np.quantile(today - ever // MICROSECONDS_A_DAY, [0.1, 0.5, 0.9]) if len(ever) else np.zeros(0)
        found.append(
            Staleness(
                table,
                field,
                days,
                int(known.sum()),
                len(ever) / len(verified),
                float(np.mean(ages <= days)),
                tuple(int(day) for day in spread),
            )
        )
    return tuple(found)


def age_months(tables: Tables, as_of: datetime) -> Mapping[str, tuple[int, ...]]:
    """Records of leads and accounts by age of `verified_at` in months of 30 days: 24 months, older, never verified."""
    found: dict[str, tuple[int, ...]] = {}
    for table, columns in people_and_places(tables, as_of).items():
        if not columns:
            continue
        size = len(next(iter(columns.values())))
        verified = exact(columns, "verified_at", np.int64, size)
        never = verified == UNKNOWN_INSTANT
        today = int(np.floor(as_of.timestamp() / 86_400))
        days = np.maximum(today - verified[~never] // MICROSECONDS_A_DAY, 0)
        counted = np.bincount(np.minimum(days // MONTH_DAYS, MONTHS), minlength=MONTHS + 1)
        found[table] = (*(int(n) for n in counted), int(never.sum()))
    return found


def record_ages(columns: Columns, size: int, as_of: datetime) -> NDArray[np.int64]:
    """Whole UTC days since each record was last verified or recorded; a very long time where nobody knows."""
    cut = int(as_of.timestamp() * 1_000_000)
    newest = np.maximum(exact(columns, "verified_at", np.int64, size), exact(columns, "recorded_at", np.int64, size))
    readable = (newest > 0) & (newest <= cut + SKEW_US)
    days = cut // MICROSECONDS_A_DAY - newest // MICROSECONDS_A_DAY
    ages: NDArray[np.int64] = np.where(readable, days, np.iinfo(np.int64).max)
    return ages


def people_and_places(tables: Tables, as_of: datetime) -> dict[str, Columns]:
    """The latest version of every lead and account by an instant, without the behaviour that is large."""
    small = replace(
        tables,
        events=_NOTHING,
        touches=_NOTHING,
        consents=_NOTHING,
        suppressions=_NOTHING,
        cases=_NOTHING,
        memberships=_NOTHING,
        outcomes=_NOTHING,
    )
    known = known_at(small, as_of)
    leads = {name: column[known.present] for name, column in known.leads.items()}
    return {"leads": leads, "accounts": known.accounts}
