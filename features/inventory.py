"""The assets that may be sent, compiled to tables of codes, so that matching a lead with all of them is look-ups.

The last row is always the pseudo asset `none`: a message without an asset. It needs no approval, and everything else
about it is unknown. What an asset does not say, and what only the registers know where there are none, is unknown too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.claims import ClaimRules
from configs.content import Asset
from configs.label_changes import LabelChange, awaiting
from configs.products import Product
from configs.settings import Settings
from configs.vocabulary import Vocabulary
from features.blocks import unpacked
from features.tables import NO, YES

NONE = "none"
# Facts of an asset that depend on the day, and those that do not.
DATED_FACTS = ("asset_status", "asset_filed", "asset_claims_signed")
FIXED_FACTS = (
    "asset_intent",
    "asset_layer",
    "asset_prescription",
    "asset_call_to_action",
    "asset_footer",
    "asset_notice",
    "asset_value_transfer",
    "asset_reveals_condition",
    "asset_refill_reminder",
)
ASSET_FACTS = (*DATED_FACTS, *FIXED_FACTS)
CHANNEL_MATCH = "asset_channel_match"
MATCHES = (
    "asset_audience_match",
    "asset_market_match",
    "asset_indication_match",
    "asset_segment_match",
    "asset_repeated",
    "off_label_same_product",
    "asset_authorised",
    "asset_topic_opt_out",
)
SEGMENT_MATCH, REPEATED, OFF_LABEL, AUTHORISED, TOPIC_OPT_OUT = 3, 4, 5, 6, 7
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
    """Assets as codes: (kind of look-up, asset, code) tables of yes/no, approval windows, and who may get what.

    `rules` say who signs claims and `register` where products are authorised; without them neither is known. `changes`
    are those of labels and guidelines, because of which content waits for somebody to look at it.
    """

    assets: tuple[Asset, ...]
    rules: ClaimRules | None
    register: Mapping[str, Product] | None
    jurisdictions: tuple[str, ...]
    ids: tuple[str, ...]
    place: Mapping[str, int]
    facts: NDArray[np.uint8]
    approved_from: NDArray[np.int64]
    approved_until: NDArray[np.int64]
    withdrawn: NDArray[np.bool_]
    status_codes: tuple[int, int, int, int, int, int]
    channels: NDArray[np.uint8]
    look_up: NDArray[np.uint8]
    products: NDArray[np.uint8]
    topics: NDArray[np.uint8]
    segment_ids: tuple[tuple[str, ...], ...]
    changes: tuple[LabelChange, ...] = ()
    remembered: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_settings(cls, settings: Settings, assets: Sequence[Asset] | None = None) -> Inventory:
        """The inventory of loaded settings, or other assets judged by the same rules of claims and register."""
        given = settings.assets if assets is None else assets
        return cls.of(
            given,
            settings.vocabularies,
            rules=settings.claims,
            register=settings.products,
            changes=settings.label_changes,
        )

    @classmethod
    def of(
        cls,
        assets: Sequence[Asset],
        vocabularies: Mapping[str, Vocabulary],
        *,
        rules: ClaimRules | None = None,
        register: Mapping[str, Product] | None = None,
        changes: Sequence[LabelChange] = (),
    ) -> Inventory:
        """Compile assets, adding the pseudo asset at the end."""
        size = len(assets)
        facts = np.zeros((len(FIXED_FACTS), size + 1), dtype=np.uint8)
        channels = np.zeros((size + 1, len(vocabularies["channel"].values)), dtype=np.uint8)
        # Look-ups by audience, jurisdiction, condition, specialty, the account's specialty, cancer type.
        look_up = np.zeros((6, size + 1, 256), dtype=np.uint8)
        products, topics = np.zeros((2, size + 1), dtype=np.uint8)
        start, until = np.full(size + 1, _FAR, dtype=np.int64), np.full(size + 1, _FAR, dtype=np.int64)
        for row, asset in enumerate(assets):
            facts[:, row] = _fixed(asset, vocabularies, register)
            for channel in range(channels.shape[1]):
                channels[row, channel] = YES if vocabularies["channel"].values[channel] in asset.channels else NO
            _allow(look_up[0, row], vocabularies["audience"], asset.audiences)
            _allow(look_up[1, row], vocabularies["jurisdiction"], asset.markets)
            _indicate(look_up[2:, row], vocabularies, asset.indication)
            products[row] = vocabularies["product"].code(asset.product)
            topics[row] = vocabularies["topic"].code(asset.topic)
            if asset.approval is not None:
                start[row] = (asset.approval.start - _EPOCH).days
                until[row] = (asset.approval.expires_on - _EPOCH).days
        ids = (*(asset.asset_id for asset in assets), NONE)
        status = vocabularies["asset_status"]
        return cls(
            assets=tuple(assets),
            rules=rules,
            register=register,
            jurisdictions=vocabularies["jurisdiction"].values,
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
                status.code("recheck"),
            ),
            channels=channels,
            look_up=look_up,
            products=products,
            topics=topics,
            segment_ids=(*(asset.segment_ids for asset in assets), ()),
            changes=tuple(changes),
        )

    def facts_on(self, day: int) -> NDArray[np.uint8]:
        """Codes of `ASSET_FACTS` per asset on a day: approved from its approval until the day it expires.

        INVARIANT: what waits for somebody to look at it, because a label or guideline changed, is not approved.
        """
        approved, expired, draft, withdrawn, not_needed, recheck = self.status_codes
        found = np.empty((len(ASSET_FACTS), len(self.ids)), dtype=np.uint8)
        found[len(DATED_FACTS) :] = self.facts
        status = found[0]
        status[:] = approved
        status[self.approved_until <= day] = expired
        status[self.approved_from > day] = draft
        status[self.withdrawn] = withdrawn
        status[-1] = not_needed
        on = _EPOCH + timedelta(days=day)
        found[1:3, -1] = 0
        for row, asset in enumerate(self.assets):
            if status[row] == approved and awaiting(self.changes, asset, on):
                status[row] = recheck
            found[1, row] = YES if asset.filed_on is not None and asset.filed_on <= on else NO
            found[2, row] = 0 if self.rules is None else _yesno(self.rules.signed(asset.claims, asset.checklist, on))
        return found

    def authorised_on(self, day: int) -> NDArray[np.uint8]:
        """Yes/no by asset and code of the lead's jurisdiction: whether its product and indications are authorised.

        INVARIANT: the array is shared, so it cannot be written.
        """
        found = self.remembered.get(("authorised", day))
        if found is None:
            found = np.zeros((len(self.ids), 256), dtype=np.uint8)
            on = _EPOCH + timedelta(days=day)
            for row, asset in enumerate(self.assets):
                for code, allowed in enumerate(self._authorised(asset, on), start=1):
                    found[row, code] = _yesno(allowed)
            found.flags.writeable = False
            self._remember(("authorised", day), found)
        table: NDArray[np.uint8] = found
        return table

    def _authorised(self, asset: Asset, on: date) -> list[bool | None]:
        """Per jurisdiction. What names no product promotes none; a product the register does not have is unknown."""
        size = len(self.jurisdictions)
        if asset.product is None:
            return [True] * size
        product = None if self.register is None else self.register.get(asset.product)
        if product is None:
            return [None] * size
        if not product.regulated:
            return [True] * size
        markets = product.markets_of(asset.indications, on)
        return [market in markets for market in self.jurisdictions]

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


def _yesno(value: bool | None) -> int:
    return 0 if value is None else YES if value else NO


def _fixed(asset: Asset, vocabularies: Mapping[str, Vocabulary], register: Mapping[str, Product] | None) -> list[int]:
    """Codes of `FIXED_FACTS` of an asset."""
    return [
        vocabularies["intent"].code(asset.intent),
        vocabularies["layer"].code(asset.layer),
        _yesno(_prescription(asset, register)),
        vocabularies["call_to_action"].code(asset.call_to_action),
        _yesno(None if asset.footer is None else asset.footer.complete),
        _yesno(asset.source_notice),
        _yesno(asset.value_transfer),
        _yesno(asset.reveals_condition),
        _yesno(asset.refill_reminder),
    ]


def _prescription(asset: Asset, register: Mapping[str, Product] | None) -> bool | None:
    """Whether it concerns a prescription-only medicine, by its own word or by the register's, whichever says so."""
    if asset.prescription or asset.product is None or register is None:
        return asset.prescription
    product = register.get(asset.product)
    return None if product is None else product.prescription


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
    authorised: NDArray[np.uint8],
    found: NDArray[np.uint8],
) -> None:
    """Fill `MATCHES` per lead and asset, but for segment, what was sent and topics. `works_on`: four rows of codes."""
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
            found[6, i, a] = authorised[a, jurisdiction[i]]
