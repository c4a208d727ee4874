"""The record of one segment version: what exactly was approved, on which fields it stands, what covers its material.

Everything an internal review or an outside question asks for, as plain values: the definition in words, every field
with where it comes from, how it is cleaned and when it is too old, the history of decisions, and every asset the
segment offers with the approval that covers it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from configs.approval_file import KEPT
from configs.approvals import ApprovalStep
from configs.conditions import facts_used, parse
from configs.content import Asset
from configs.definitions import SegmentDefinition
from configs.errors import ConditionInvalid
from configs.settings import Settings
from features.evaluate import Domain, as_english

_FIELD = re.compile(r"^(leads|accounts)\.([a-z_]+)")
_UPDATED = "every time the facts are built: for each answer, each nightly run and each run of segments apply"


@dataclass(frozen=True, slots=True)
class FieldUsed:
    """One fact that the conditions look at: where it comes from, how it is cleaned, and what counts as too old.

    `unknown_after_days` turns the fact to unknown; `stale_after_days` and `max_stale` gate the whole segment.
    """

    fact: str
    used_in: tuple[str, ...]
    says: str
    source: str
    cleaned: str
    unknown_after_days: int | None
    stale_after_days: int | None
    min_known: float | None
    min_mapped: float | None
    max_stale: float | None


@dataclass(frozen=True, slots=True)
class OfferUsed:
    """One asset that a stage offers, and whether its own approval covers it on the day of the record."""

    stage: str
    asset_id: str
    title: str
    intent: str
    audiences: tuple[str, ...]
    markets: tuple[str, ...]
    approved_by: str | None
    approved_on: date | None
    expires_on: date | None
    reference: str | None
    state: str


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """One version of one segment as of a day; `remarks` is what a reader must not overlook."""

    segment_id: str
    version: int
    title: str
    content_hash: str
    as_of: date
    status: str
    active: bool
    covered: tuple[date, date] | None
    next_review_on: date
    purpose: str
    audience: tuple[str, ...]
    unit: str
    product: str | None
    author: str
    owner: str
    hypothesis: str
    conditions: tuple[tuple[str, str, str], ...]
    membership: tuple[str, ...]
    fields: tuple[FieldUsed, ...]
    updated: str
    data_sources: tuple[str, ...]
    plan: tuple[tuple[str, str], ...]
    offers: tuple[OfferUsed, ...]
    steps: tuple[ApprovalStep, ...]
    kept_as: str
    remarks: tuple[str, ...] = field(default=())

    def to_json(self) -> str:
        """The record as JSON, dates as text."""
        plain = asdict(self) | {"steps": [step.model_dump(mode="json", exclude_none=True) for step in self.steps]}
        return json.dumps(plain, default=_plain, indent=2, ensure_ascii=False)


def record_of(settings: Settings, definition: SegmentDefinition, on: date, *, kept_as: str = "") -> SegmentRecord:
    """The record of a definition as of a day: one of the settings, or an earlier version of one.

    `kept_as` names the file that holds the text that was decided on, where there is one.
    """
    domain = Domain.of(settings)
    digest = definition.content_hash
    steps = tuple(step for step in settings.approvals if step.segment == definition.id)
    own = [step for step in steps if step.definition == digest]
    offers = tuple(_offers(definition, settings.assets, on))
    approval = definition.approval
    covered = (definition.covered_from or approval.on, approval.expires_on) if approval is not None else None
    current = next((d for d in settings.segments if d.id == definition.id), definition)
    in_use = current.content_hash == digest
    record = SegmentRecord(
        segment_id=definition.id,
        version=definition.version,
        title=definition.title,
        content_hash=digest,
        as_of=on,
        status=definition.status if in_use else "superseded",
        active=in_use and definition.is_active(on),
        covered=covered,
        next_review_on=definition.due_on,
        purpose=definition.purpose,
        audience=definition.audience,
        unit=definition.unit,
        product=definition.product,
        author=definition.author,
        owner=definition.owner,
        hypothesis=" ".join(definition.hypothesis.split()),
        conditions=tuple(_conditions(definition, domain, on)),
        membership=tuple(_membership(definition)),
        fields=tuple(_fields(definition, settings, domain)),
        updated=_UPDATED,
        data_sources=definition.data_sources,
        plan=tuple((name, text) for name, text in _plan(definition) if text),
        offers=offers,
        steps=steps,
        kept_as=kept_as,
    )
    return replace(record, remarks=tuple(_remarks(record, own, current)))


def _conditions(d: SegmentDefinition, domain: Domain, on: date) -> Iterator[tuple[str, str, str]]:
    """(when, the condition as written, the same in words)."""
    if d.residual:
        yield "enters", "", "no other segment holds it"
        yield "leaves", "", "another segment holds it"
        return
    yield "enters", *_said(d.enter, domain, on)
    for step in d.fallback:
        missing = " and ".join(name.replace("_", " ") for name in step.missing)
        if step.use:
            written, words = _said(step.use, domain, on)
            yield f"enters while {missing} is unknown", written, f"{words}. {step.says}"
        else:
            yield "otherwise", "", step.says
    if d.exit.strip() == "never":
        yield "leaves", "never", "never"
    else:
        yield "leaves", *_said(d.exit, domain, on)


def _said(text: str, domain: Domain, on: date) -> tuple[str, str]:
    written = " ".join(text.split())
    try:
        return written, as_english(parse(text, domain.facts, domain.parameters), domain, on)
    except ConditionInvalid as error:  # an earlier version may look at facts that are gone
        return written, f"cannot be read with the facts of today: {error}"


def _membership(d: SegmentDefinition) -> Iterator[str]:
    yield f"priority {d.priority}: of several segments the lowest number is primary"
    if not d.residual:
        yield f"a member stays at least {d.min_dwell_days} days"
        again = {
            "allowed": "may come back at once",
            "after_dwell": "may come back after as many days",
            "never": "never",
        }
        yield f"who left {again[d.reentry]}" if d.reentry != "never" else "who left never comes back"
    yield f"flagged below {d.size.min_leads:,} leads and above {d.size.max_share:.0%} of all"


def _fields(d: SegmentDefinition, settings: Settings, domain: Domain) -> Iterator[FieldUsed]:
    used: dict[str, list[str]] = {}
    for key, text in d.conditions().items():
        try:
            facts = facts_used(parse(text, domain.facts, domain.parameters))
        except ConditionInvalid:
            continue  # said where the condition is shown
        for fact in facts:
            used.setdefault(fact, []).append("fallback" if key.startswith("fallback") else key)
    for fact, places in used.items():
        declared = domain.facts[fact]
        found = _FIELD.match(declared.source)
        place = f"{found[1]}.{found[2]}" if found else None
        limits = settings.quality.segments.limits(place) if place else (None, None, None)
        days = settings.quality.verify_every_days.get(place) if place else None
        cleaned = "counted from events, each by how likely a person made it"
        if declared.type == "enum":
            many = f"one of {len(declared.values)} values"
            cleaned = f"mapped to {many} of vocabularies/{declared.vocabulary}; what it does not know is unknown"
        elif declared.type == "yesno":
            cleaned = "yes, no or unknown"
        elif declared.source != "events":
            cleaned = f"a whole number from {declared.min} to {declared.max:,}"
        yield FieldUsed(
            fact, tuple(dict.fromkeys(places)), declared.says, declared.source, cleaned, declared.max_age_days, days,
            limits[0], limits[1], limits[2] if days is not None else None,
        )  # fmt: skip


def _plan(d: SegmentDefinition) -> Iterator[tuple[str, str]]:
    yield "message goal", d.message_goal
    yield "themes", "; ".join(d.themes)
    yield from ((f"proof, {name}", text) for name, text in d.proof_points.items())
    yield from ((f"call to action, {name}", text) for name, text in d.calls_to_action.items())
    yield "key contacts", ", ".join(d.key_contacts)
    yield "channels", ", ".join(d.channel_plan)
    yield "next best action", " ".join(d.next_best_action.split())
    yield "primary KPI", d.primary_kpi
    yield "secondary KPIs", "; ".join(d.secondary_kpis)
    yield "conversion event", d.conversion_event
    yield "still needs", "; ".join(d.needs)


def _offers(d: SegmentDefinition, assets: tuple[Asset, ...], on: date) -> Iterator[OfferUsed]:
    inventory = {asset.asset_id: asset for asset in assets}
    for stage, offered in d.offers.items():
        for asset_id in offered:
            asset = inventory.get(asset_id)
            if asset is None:
                yield OfferUsed(stage, asset_id, "", "", (), (), None, None, None, None, "not in the inventory")
                continue
            signed = asset.approval
            yield OfferUsed(
                stage, asset_id, asset.title, asset.intent, asset.audiences, asset.markets,
                signed.by if signed else None, signed.on if signed else None, signed.expires_on if signed else None,
                signed.reference if signed else None, _state(asset, d, on),
            )  # fmt: skip


def _state(asset: Asset, d: SegmentDefinition, on: date) -> str:
    if asset.withdrawn:
        return "withdrawn"
    if asset.approval is None or asset.approval.on > on:
        return "not approved"
    # The last day of an asset's approval does not count any more (features/inventory.py).
    if asset.approval.expires_on <= on:
        return "expired"
    if asset.segment_ids and d.id not in asset.segment_ids:
        return "approved for other segments"
    if not set(asset.audiences) & set(d.audience):
        return "approved for other audiences"
    return "covered"


def _remarks(record: SegmentRecord, own: list[ApprovalStep], current: SegmentDefinition) -> Iterator[str]:
    """What must not be overlooked; `current` is what is written under the segment's id now."""
    if record.status == "superseded":
        yield f"An earlier text: version {current.version} is written now and is {current.status}. It holds nobody."
    if record.status == "draft":
        told = "was never proposed" if not record.steps else "was edited since the last decision"
        yield f"This content {told}: it holds nobody."
    if record.status == "approved" and not record.active:
        yield "The approval does not cover the day of this record: the segment holds nobody."
    if record.status == "retired":
        yield "Retired: it holds nobody" + (f", {current.replaced_by} took over." if current.replaced_by else ".")
    if record.status in ("approved", "proposed") and record.next_review_on < record.as_of:
        yield f"The review was due on {record.next_review_on.isoformat()}."
    for offer in {o.asset_id: o for o in record.offers}.values():
        if offer.state != "covered":
            yield f"The offer {offer.asset_id} is {offer.state}: it is not sent."
        elif record.covered and offer.expires_on and offer.expires_on < record.covered[1]:
            yield f"The approval of {offer.asset_id} ends on {offer.expires_on.isoformat()}, before the segment's."
    for step in own:
        if step.entered_on is not None:
            dated, entered = step.on.isoformat(), step.entered_on.isoformat()
            yield f"The {step.step} step by {step.by} is dated {dated} and was entered on {entered}."
    if own and not record.kept_as:
        yield f"The text that was decided on is not in {KEPT}/: the repository's history has it."


def _plain(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"expected plain values, found {type(value).__name__}")
