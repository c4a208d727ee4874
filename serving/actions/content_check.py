"""A look at the content before a campaign does: gaps, what runs out, what nobody can use, and claims nobody signed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from configs.content import Asset
from configs.definitions import SegmentDefinition
from configs.label_changes import awaiting
from configs.settings import Settings
from features.inventory import Inventory
from serving.actions.actions import ActionPlan

EXPIRING_DAYS = 60
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Gap:
    """A segment for which nothing approved can be said in a layer at some stages.

    `nothing` are those of the stages at which nothing of any stage may be said either: else what is shallower may be.
    """

    segment_id: str
    purpose: str
    layer: str
    stages: tuple[str, ...]
    nothing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with an asset. An error concerns what would be offered today; a draft's is only noted."""

    asset_id: str
    kind: str
    says: str
    error: bool = False


@dataclass(frozen=True, slots=True)
class ContentReport:
    """What a check found on a day."""

    on: date
    assets: int
    offered: int
    gaps: tuple[Gap, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """How many findings concern what would be offered today."""
        return sum(finding.error for finding in self.findings)


def check_content(settings: Settings, on: date, *, expiring_days: int = EXPIRING_DAYS) -> ContentReport:
    """Look at every asset and at every segment and stage, as of a day."""
    offered = {asset.asset_id for asset, status in statuses(settings, on) if status == "approved"}
    segments = [one for one in settings.segments if one.status != "retired"]
    usable = _usable(settings, segments)
    approved = np.array([asset.asset_id in offered for asset in settings.assets], dtype=bool)
    gaps = list(_gaps(settings, segments, usable & approved))
    findings = [
        finding
        for place, asset in enumerate(settings.assets)
        for finding in _findings(
            asset, settings, on, asset.asset_id in offered, bool(usable[:, :, place].any()), expiring_days
        )
    ]
    return ContentReport(on, len(settings.assets), len(offered), tuple(gaps), tuple(findings))


def _gaps(settings: Settings, segments: list[SegmentDefinition], usable: NDArray[np.bool_]) -> Iterator[Gap]:
    """By segment and layer the stages at which its ladder asks for something and nothing of the stage is usable.

    What goes to the leads of one track alone fills no gap. Without ladders each stage asks for anything at all.
    """
    stages, assets = settings.actions.stages, settings.assets
    for place, segment in enumerate(segments):
        ladder = settings.nurture.ladder_of(segment)
        empty: dict[str, list[str]] = {}
        bare: dict[str, list[str]] = {}
        for g, stage in enumerate(stages):
            here = [a for a, fits in zip(assets, usable[place, g].tolist(), strict=True) if fits and not a.tracks]
            offered = segment.offers.get(stage, ())
            of_stage = {a.layer for a in here if stage in a.stages or a.asset_id in offered}
            step = ladder.get(stage)
            asked = step.layers if step else () if ladder else ("any",)
            for layer in asked:
                if layer not in of_stage and not (layer == "any" and here):
                    empty.setdefault(layer, []).append(stage)
                    if not here:
                        bare.setdefault(layer, []).append(stage)
        for layer, missing in empty.items():
            yield Gap(segment.id, segment.purpose, layer, tuple(missing), tuple(bare.get(layer, ())))


def statuses(settings: Settings, on: date) -> list[tuple[Asset, str]]:
    """Every asset with its status on a day, as the rules see it."""
    inventory, words = Inventory.of_settings(settings), settings.vocabularies["asset_status"]
    codes = inventory.facts_on((on - _EPOCH).days)[0].tolist()
    return [(asset, str(words.value(code))) for asset, code in zip(settings.assets, codes, strict=False)]


def segments_of(settings: Settings, asset: Asset) -> dict[str, tuple[str, ...]]:
    """Segments that may use an asset, each with its stages."""
    segments = [one for one in settings.segments if one.status != "retired"]
    place = [one.asset_id for one in settings.assets].index(asset.asset_id)
    usable = _usable(settings, segments)[:, :, place]
    stages = settings.actions.stages
    return {
        segment.id: tuple(stage for stage, fits in zip(stages, usable[row].tolist(), strict=True) if fits)
        for row, segment in enumerate(segments)
        if usable[row].any()
    }


def _usable(settings: Settings, segments: list[SegmentDefinition]) -> NDArray[np.bool_]:
    """By segment, stage and asset: intent, layer and depth suit, and audience, segment and product go together."""
    plan = ActionPlan.of(settings.actions, segments, settings.assets, settings.vocabularies)
    found = plan.suits[:, :, : len(settings.assets)].copy()
    for row, segment in enumerate(segments):
        for place, asset in enumerate(settings.assets):
            own = segment.product is None or asset.product in (None, segment.product)
            named = not asset.segment_ids or segment.id in asset.segment_ids
            if not (own and named and set(asset.audiences) & set(segment.audience)):
                found[row, :, place] = False
    return found


def _findings(
    asset: Asset, settings: Settings, on: date, offered: bool, used: bool, expiring_days: int
) -> Iterator[Finding]:
    def found(kind: str, says: str, error: bool = False) -> Finding:
        return Finding(asset.asset_id, kind, says, error and offered)

    approval = asset.approval
    if asset.withdrawn:
        yield found("withdrawn", "withdrawn; it is never offered")
    elif approval is None:
        yield found("draft", "no approval; it is never offered")
    elif approval.expires_on <= on:
        yield found("expired", f"its approval {approval.reference} ran out on {approval.expires_on}")
    elif approval.start > on:
        yield found("later", f"its approval {approval.reference} counts from {approval.start} on")
    elif approval.expires_on <= on + timedelta(days=expiring_days):
        yield found("expiring", f"its approval {approval.reference} runs out on {approval.expires_on}")
    for change in awaiting(settings.label_changes, asset, on) if not asset.withdrawn else ():
        yield found("recheck", f"waits for a new look since {change.changed_on}: {change.says} ({change.id})")
    if not used and asset.intent != "medical_information":
        yield found("unused", "no segment can use it: see purpose, audience, product, depth and layer")
    if asset.claims is None:
        yield found("claims", "claims not listed; write an empty list where it makes none", True)
    for claim in asset.claims or ():
        missing = settings.claims.missing(claim, on)
        if missing:
            yield found("claims", f"claim {claim.text_id} ({claim.kind}): {', '.join(missing)}", True)
    if asset.checklist is None and settings.claims.checklist:
        yield found("checklist", "the review answered no checklist", True)
    elif asset.checklist is not None:
        unanswered = list(settings.claims.unanswered(asset.checklist))
        if unanswered:
            yield found("checklist", f"not answered with yes: {', '.join(unanswered)}", True)
    for name in ("call_to_action", "value_transfer", "reveals_condition", "refill_reminder"):
        if getattr(asset, name) is None:
            yield found("unknown", f"{name} not supplied, so whatever needs it is not permitted", True)
    if "email" in asset.channels and (asset.footer is None or not asset.footer.complete):
        yield found("footer", "for e-mail without unsubscribe link, postal address and honest header", True)
    yield from (found("register", says, error) for says, error in _unauthorised(asset, settings, on))


def _unauthorised(asset: Asset, settings: Settings, on: date) -> Iterator[tuple[str, bool]]:
    """Markets that an asset names and in which its product or indications may not be promoted."""
    if asset.product is None or asset.intent != "promotional":
        return
    product = settings.products.get(asset.product)
    if product is None:
        yield f"product {asset.product} is not in policy/products.yaml, so it is authorised nowhere", True
        return
    if product.prescription and not asset.prescription:
        yield "the register says prescription only, the asset does not; the register counts", True
    if not product.regulated:
        return
    left = [market for market in asset.markets if market not in product.markets_of(asset.indications, on)]
    if left:
        yield f"not authorised in {', '.join(left)}, so not offered there", len(left) == len(asset.markets)
    if product.prescription and "US" in asset.markets and (asset.filed_on is None or asset.filed_on > on):
        yield "not filed at first use in the United States (Form FDA 2253), so not offered there", False
