"""Compile every kernel before the first real lead: one row in each table is enough, since types decide, not sizes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.facts import FactBuilder, facts_of
from features.inventory import Inventory
from features.layout import COLLEAGUES, LAYOUTS, Layout
from features.pipeline import FeatureSpec, features_of
from features.tables import Tables, microseconds
from features.view import view_at

_AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
_DTYPES: dict[str, Any] = {
    "code": np.uint8,
    "yesno": np.uint8,
    "present": np.uint8,
    "reference": np.int32,
    "count": np.int32,
    "number": np.float64,
    "text": object,
}


def warm_up(spec: FeatureSpec, builder: FactBuilder, inventory: Inventory) -> None:
    """Run features and facts once over a made row of every table."""
    tables = one_row_of_each(inventory.ids[:-1])
    known = view_at(tables, _AS_OF, builder.view)
    features_of(known, spec)
    facts_of(known, builder, inventory)
    colleagues = replace(tables, colleagues=_one_row(COLLEAGUES))
    facts_of(view_at(colleagues, _AS_OF, builder.view), builder, inventory)
    # What only some leads need: which of two versions is the last, and an event that is medical information's.
    medical = np.flatnonzero(builder.view.medical.kinds)[:1].astype(np.uint8)
    versions = {name: np.repeat(column, 2) for name, column in tables.leads.items()}
    seldom = replace(tables, leads=versions, events={**tables.events, "kind": medical} if len(medical) else {})
    view_at(seldom, _AS_OF, builder.view)
    purposes = np.flatnonzero(builder.register.purposes.asked)[:1].astype(np.uint8)
    if len(purposes):
        asked = replace(tables, consents={**tables.consents, "purpose": purposes})
        facts_of(view_at(asked, _AS_OF, builder.view), builder, inventory)


def one_row_of_each(asset_ids: tuple[str, ...] = ("asset",)) -> Tables:
    """Tables of one lead with one row in every table, all of it known long before 2026."""
    one = {table: _one_row(layout) for table, layout in LAYOUTS.items()}
    return Tables(
        lead_ids=np.array(["lead"], dtype=object),
        account_ids=np.array(["account"], dtype=object),
        asset_ids=np.array(asset_ids, dtype=object),
        leads=one["leads"],
        accounts=one["accounts"],
        events=one["events"],
        touches=one["touches"],
        consents=one["consents"],
        suppressions=one["suppressions"],
        cases=one["cases"],
        links=one["links"],
        memberships=one["memberships"],
        outcomes=one["outcomes"],
        suppressions_complete_as_of=microseconds(_AS_OF),
        segment_ids=np.array(["segment"], dtype=object),
    )


def _one_row(layout: Layout) -> dict[str, NDArray[Any]]:
    return {column.name: np.zeros(1, dtype=_DTYPES.get(column.kind, np.int64)) for column in layout.encoded}
