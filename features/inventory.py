"""The assets that may be sent, compiled to tables of codes, so that matching a lead with all of them is look-ups.

The last row is always the pseudo asset `none`: a message without an asset. It needs no approval, and everything else
about it is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.content import Asset
from configs.vocabulary import Vocabulary
from features.blocks import unpacked
from features.tables import NO, YES

NONE = "none"
ASSET_FACTS = ("asset_status", "asset_intent", "asset_layer", "asset_prescription")
CHANNEL_MATCH = "asset_channel_match"
MATCHES = (
    "asset_audience_match",
    "asset_market_match",
    "asset_indication_match",
    "asset_segment_match",
    "asset_repeated",
    "off_label_same_product",
)
SEGMENT_MATCH, REPEATED, OFF_LABEL = 3, 4, 5
# Specialties that work on an indication when the condition itself is not on record. Primary care sees them all.
_WORKS_ON = {
    "cancer": ("oncology", "primary_care"),
    "heart_failure": ("cardiology", "primary_care"),
    "diabetes": ("endocrinology", "primary_care"),
    "obesity": ("endocrinology", "primary_care"),
    "joint_pain": ("orthopedics", "primary_care"),
    "rare_disease": ("rare_disease", "primary_care"),
}
_EPOCH = date(1970, 1, 1)
_FAR = 4_000_000
# Days, inventories' asset lists and segment lists remembered at once; each is worked out again when it is gone.
MAX_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Inventory:
    """Assets as codes: (kind of look-up, asset, code) tables of yes/no, approval windows, and who may get what."""

    ids: tuple[str, ...]
    place: Mapping[str, int]
    facts: NDArray[np.uint8]
    approved_from: NDArray[np.int64]
    approved_until: NDArray[np.int64]
    withdrawn: NDArray[np.bool_]
    status_codes: tuple[int, int, int, int, int]
    channels: NDArray[np.uint8]
    look_up: NDArray[np.uint8]
    products: NDArray[np.uint8]
    segment_ids: tuple[tuple[str, ...], ...]
    remembered: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, assets: Sequence[Asset], vocabularies: Mapping[str, Vocabulary]) -> Inventory:
        """Compile assets, adding the pseudo asset at the end."""
        size = len(assets)
        facts = np.zeros((3, size + 1), dtype=np.uint8)
        channels = np.zeros((size + 1, len(vocabularies["channel"].values)), dtype=np.uint8)
        # Look-ups by audience, jurisdiction, condition, specialty, the account's specialty, cancer type.
        look_up = np.zeros((6, size + 1, 256), dtype=np.uint8)
        products = np.zeros(size + 1, dtype=np.uint8)
        start, until = np.full(size + 1, _FAR, dtype=np.int64), np.full(size + 1, _FAR, dtype=np.int64)
        for row, asset in enumerate(assets):
            facts[0, row] = vocabularies["intent"].code(asset.intent)
            facts[1, row] = vocabularies["layer"].code(asset.layer)
            facts[2, row] = YES if asset.prescription else NO
            for channel in range(channels.shape[1]):
                channels[row, channel] = YES if vocabularies["channel"].values[channel] in asset.channels else NO
            _allow(look_up[0, row], vocabularies["audience"], asset.audiences)
            _allow(look_up[1, row], vocabularies["jurisdiction"], asset.markets)
            _indicate(look_up[2:, row], vocabularies, asset.indication)
            products[row] = vocabularies["product"].code(asset.product)
            if asset.approval is not None:
                start[row] = (asset.approval.on - _EPOCH).days
                until[row] = (asset.approval.expires_on - _EPOCH).days
        ids = (*(asset.asset_id for asset in assets), NONE)
        status = vocabularies["asset_status"]
        return cls(
            ids=ids,
            place={asset_id: row for row, asset_id in enumerate(ids[:-1])},
            facts=facts,
            approved_from=start,
            approved_until=until,
            withdrawn=np.array([*(asset.withdrawn for asset in assets), False], dtype=np.bool_),
            status_codes=(
                status.code("approved"),
                status.code("expired"),
                status.code("draft"),
                status.code("withdrawn"),
                status.code("not_needed"),
            ),
            channels=channels,
            look_up=look_up,
            products=products,
            segment_ids=(*(asset.segment_ids for asset in assets), ()),
        )

    def facts_on(self, day: int) -> NDArray[np.uint8]:
        """Codes of `ASSET_FACTS` per asset on a day: approved from its approval until the day it expires."""
        approved, expired, draft, withdrawn, not_needed = self.status_codes
        found = np.empty((len(ASSET_FACTS), len(self.ids)), dtype=np.uint8)
        found[1:] = self.facts
        status = found[0]
        status[:] = approved
        status[self.approved_until <= day] = expired
        status[self.approved_from > day] = draft
        status[self.withdrawn] = withdrawn
        status[-1] = not_needed
        return found

    def fixed_on(self, day: int) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]:
        """Facts of a day that are the same for every lead, as arrays and as plain numbers.

        INVARIANT: the arrays are shared, so they cannot be written.
        """
        found = self.remembered.get(day)
        if found is None:
            arrays = dict(zip(ASSET_FACTS, self.facts_on(day)[:, None, :, None], strict=True))
            numbers = {name: unpacked(array, "asset") for name, array in arrays.items()}
            arrays[CHANNEL_MATCH] = self.channels[None]
            numbers[CHANNEL_MATCH] = unpacked(arrays[CHANNEL_MATCH], "asset_channel")
            for array in arrays.values():
                array.flags.writeable = False
            found = self._remember(day, (arrays, numbers))
        arrays_found: Mapping[str, NDArray[Any]] = found[0]
        return arrays_found, found[1]

    def places_of(self, asset_ids: NDArray[np.object_]) -> NDArray[np.int64]:
        """Row in this inventory of each asset id, -1 where it is not offered."""
        found = self.remembered.get("places")
        if found is None or found[0] is not asset_ids:
            place = self.place
            places = np.array([place.get(asset_id, -1) for asset_id in asset_ids], dtype=np.int64)
            found = self._remember("places", (asset_ids, places))
        places_found: NDArray[np.int64] = found[1]
        return places_found

    def segment_match(self, member: NDArray[np.bool_], segment_ids: Sequence[str]) -> NDArray[np.uint8]:
        """Yes where the lead is in a segment the asset is approved for, or the asset is approved for any."""
        ids = tuple(segment_ids)
        approved = self.remembered.get(ids)
        if approved is None:
            approved = self._remember(ids, self._approved(ids))
        if len(member) == 1:
            found = np.maximum.reduce(approved[np.append(member[0], True)], axis=0, keepdims=True)
        else:
            by_segment = member.astype(np.float32) @ (approved[:-1] == YES).astype(np.float32)
            found = np.where(by_segment > 0, YES, approved[-1]).astype(np.uint8)
        found[:, -1] = 0
        return np.asarray(found)

    def _approved(self, segment_ids: tuple[str, ...]) -> NDArray[np.uint8]:
        """Yes/no by segment and asset; the last row is what a lead of no segment gets."""
        approved = np.full((len(segment_ids) + 1, len(self.ids)), NO, dtype=np.uint8)
        for column, wanted in enumerate(self.segment_ids):
            for row, segment_id in enumerate(segment_ids):
                approved[row, column] = YES if segment_id in wanted else NO
            approved[-1, column] = NO if wanted else YES
        return approved

    def _remember(self, key: Any, value: Any) -> Any:
        if len(self.remembered) >= MAX_REMEMBERED:
            self.remembered.clear()
        self.remembered[key] = value
        return value


def _allow(row: NDArray[np.uint8], vocabulary: Vocabulary, allowed: Sequence[str]) -> None:
    row[1 : len(vocabulary.values) + 1] = NO
    for value in allowed:
        row[vocabulary.code(value)] = YES
    row[0] = 0  # an unknown audience or market never matches


def _indicate(rows: NDArray[np.uint8], vocabularies: Mapping[str, Vocabulary], indication: str | None) -> None:
    """Look-ups by condition, specialty, account's specialty and cancer type; without an indication all fit."""
    condition, specialty = vocabularies["condition_focus"], vocabularies["specialty"]
    if indication is None:
        rows[:] = YES
        return
    if condition.code(indication) == 0:
        return
    _allow(rows[0], condition, (indication,))
    for row in (rows[1], rows[2]):
        _allow(row, specialty, _WORKS_ON.get(indication, ()))
    if indication == "cancer":
        _allow(rows[3], vocabularies["cancer_type"], vocabularies["cancer_type"].values)


@njit(cache=True, nogil=True)
def match(
    audience: NDArray[np.uint8],
    jurisdiction: NDArray[np.uint8],
    works_on: NDArray[np.uint8],
    look_up: NDArray[np.uint8],
    products: NDArray[np.uint8],
    off_label_open: NDArray[np.uint8],
    off_label: NDArray[np.uint64],
    found: NDArray[np.uint8],
) -> None:
    """Fill `MATCHES` per lead and asset, but for the segment and what was sent. `works_on`: four rows of codes."""
    assets = len(products) - 1
    for i in range(len(audience)):
        for a in range(assets):
            found[0, i, a] = look_up[0, a, audience[i]]
            found[1, i, a] = look_up[1, a, jurisdiction[i]]
            fits = 0
            for k in range(4):
                seen = look_up[2 + k, a, works_on[k, i]]
                if seen == YES:
                    fits = YES
                elif seen == NO and fits == 0:
                    fits = NO
            found[2, i, a] = fits
            same = off_label_open[i]
            if same == YES:
                product = products[a]
                if product > 0 and (off_label[i, product >> 6] >> np.uint64(product & 63)) & np.uint64(1):
                    same = YES
                elif product == 0 or off_label[i, 0] & np.uint64(1):
                    same = 0
                else:
                    same = NO
            found[5, i, a] = same
