"""Mistakes in what is done with a segment: its plan, its words, its approval and its review."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from configs.approvals import ApprovalStep, same_person, version_taken
from configs.cards import FactDeclaration
from configs.content import Asset
from configs.definitions import SegmentDefinition
from models.segments.lint.findings import FILL_IN, Finding, finding

MAX_REVIEW_DAYS = 400
MAX_WORDS = 6
MAX_ID = 48
MAX_TITLE = 90
EDUCATIONAL = ("medical_education", "medical_information", "service")
PUBLIC = ("patient", "caregiver", "other")
# Outcomes of a sale: education that aims at one is promotion.
SALES = ("demo", "proposal", "quote", "opportunity", "converted")
_TEXTS = ("title", "hypothesis", "message_goal", "next_best_action", "owner", "primary_kpi", "conversion_event")
_WRITTEN = (*_TEXTS, "fallback", "themes", "key_contacts", "proof_points", "calls_to_action", "author")
# Words that say when or how it was made rather than who is in it.
_PASSING = re.compile(r"^(v?\d+|20\d\d.*|q[1-4]|test|tmp|temp|copy|final|draft|candidate|misc|todo)$")
_FIELD = re.compile(r"\b(leads|accounts)\.([a-z_]+)")
_TABLES = ("events", "touches", "consents", "suppressions", "cases", "outcomes")


def plan_findings(
    definition: SegmentDefinition,
    *,
    assets: Mapping[str, Asset] | None,
    outcome_kinds: Sequence[str] | None,
    without_asset: Sequence[str],
    on: date,
) -> Iterator[Finding]:
    """What is wrong with what is done; offers and outcomes are judged where their inventory is given."""
    missing = [key for key in ("channel_plan", "offers", "next_best_action") if not getattr(definition, key)]
    if missing or not any(definition.offers.values()):
        reason = f"has no activation plan: {', '.join(missing) or 'offers'} is empty"
        yield finding(definition, (missing or ["offers"])[0], "NO_ACTIVATION_PLAN", reason)
    if assets is not None:
        yield from _offers(definition, assets, on)
        if not missing:
            yield from _channels(definition, assets, without_asset)
    event = definition.conversion_event
    if event and FILL_IN not in event:
        if outcome_kinds is not None and event not in outcome_kinds:
            reason = f"{event!r} is not a declared outcome: {', '.join(outcome_kinds)}"
            yield finding(definition, "conversion_event", "UNDECLARED_CONVERSION", reason)
        if definition.purpose == "medical_education" and event in SALES:
            reason = f"is medical education and counts a {event} as its success"
            yield finding(definition, "conversion_event", "PURPOSE_MISMATCH", reason, level="warning")


def text_findings(definition: SegmentDefinition) -> Iterator[Finding]:
    """What the definition leaves unsaid: goal, audience, sources, hypothesis, matrix row, what it still needs."""
    required = ("audience", "data_sources", "message_goal", "themes", "owner", "primary_kpi", "conversion_event")
    empty = [key for key in required if not getattr(definition, key)]
    for key in empty:
        yield finding(definition, key, "INCOMPLETE", f"no {key.replace('_', ' ')}")
    if not definition.hypothesis.strip():
        yield finding(definition, "hypothesis", "NO_HYPOTHESIS", "no hypothesis")
    if definition.matrix is None and not definition.residual:
        yield finding(definition, "matrix", "NO_MATRIX_ROW", "no row for the segmentation matrix")
    for key in _WRITTEN:
        if FILL_IN in str(getattr(definition, key)):
            yield finding(definition, key, "UNFILLED", "still holds the draft's text")
    if definition.matrix is not None and FILL_IN in str(definition.matrix):
        yield finding(definition, "matrix", "UNFILLED", "still holds the draft's text")
    for place, need in enumerate(definition.needs):
        yield finding(definition, f"needs.{place}", "STILL_NEEDS", need)


def source_findings(
    definition: SegmentDefinition, facts: Sequence[str], declared: Mapping[str, FactDeclaration]
) -> Iterator[Finding]:
    """Fields that the conditions look at and `data_sources` does not list; one that it lists may stand in for another.

    A table stands for its fields; of the tables of events, touches and so on any field stands for all.
    """
    listed = {*definition.data_sources, *(source.partition(".")[0] for source in definition.data_sources)}
    missing: dict[str, list[str]] = {}
    for fact in facts:
        source = declared[fact].source if fact in declared and fact != "audience" else ""
        fields = [f"{table}.{name}" for table, name in _FIELD.findall(source)]
        tables = [table for table in _TABLES if table in source.split()]
        whole = [field.partition(".")[0] for field in fields]
        if (fields or tables) and not {*fields, *tables, *whole}.intersection(
            definition.data_sources if fields else listed
        ):
            missing.setdefault((fields or tables)[0], []).append(fact)
    for place, names in missing.items():
        reason = f"{', '.join(names)} rest{'' if len(names) > 1 else 's'} on {place}, which data_sources does not list"
        yield finding(definition, "data_sources", "UNDECLARED_SOURCE", reason)


def approval_findings(definition: SegmentDefinition, steps: Sequence[ApprovalStep], on: date) -> Iterator[Finding]:
    """Whether a named person answers for these very words on this day; a draft that was never proposed need not."""
    approval = definition.approval
    if definition.status == "draft" and was_proposed(definition, steps):
        last = [step for step in steps if step.segment == definition.id][-1]
        reason = f"version {last.version} was {last.step} on {last.on.isoformat()} by {last.by}, then it was edited"
        reason += "; it needs a new version number" if version_taken(definition, steps) else ""
        yield finding(definition, "version", "EDITED_AFTER_APPROVAL", reason)
    elif approval is None and definition.status != "draft":
        waits = definition.status == "proposed"
        reason = "is proposed and waits for somebody to approve it" if waits else "is not approved, so it is not active"
        yield finding(definition, "approval", "NOT_APPROVED", reason, level="warning" if waits else "error")
    if approval is not None:
        if approval.expires_on < on:
            reason = f"the approval ran out on {approval.expires_on.isoformat()}, so it is not active"
            yield finding(definition, "approval.expires_on", "APPROVAL_EXPIRED", reason)
        if same_person(approval.by, definition.author):
            yield finding(definition, "approval.by", "OWN_APPROVAL", "its author approved it")
    yield from _review(definition, on)


def _review(definition: SegmentDefinition, on: date) -> Iterator[Finding]:
    approval, due_on = definition.approval, definition.due_on
    if due_on < on:
        yield finding(definition, "review_on", "REVIEW_DUE", f"was due for review on {due_on.isoformat()}")
    elif (due_on - on).days > MAX_REVIEW_DAYS:
        reason = f"the next review is {(due_on - on).days} days away, at most {MAX_REVIEW_DAYS} are asked"
        yield finding(definition, "review_on", "REVIEW_TOO_FAR", reason)
    elif approval is not None and on <= approval.expires_on < due_on:
        reason = f"the next review comes after the approval runs out on {approval.expires_on.isoformat()}"
        yield finding(definition, "review_on", "REVIEW_TOO_FAR", reason)


def was_proposed(definition: SegmentDefinition, steps: Sequence[ApprovalStep]) -> bool:
    """Whether some earlier text of this segment is proposed or approved, and not retired since."""
    own = [step for step in steps if step.segment == definition.id]
    return bool(own) and own[-1].step != "retired" and own[-1].definition != definition.content_hash


def naming_findings(definition: SegmentDefinition, titles: Mapping[str, str]) -> Iterator[Finding]:
    """Names that will have to change; `titles` are those of the segments seen before, by title."""
    words = definition.id.split("_")
    passing = [word for word in words if _PASSING.match(word)]
    wrong = []
    if len(words) > MAX_WORDS or len(definition.id) > MAX_ID:
        wrong.append(f"the id has {len(words)} words and {len(definition.id)} characters")
    if passing:
        wrong.append(f"{passing[0]!r} says when or how it was made, not who is in it")
    if "__" in definition.id or definition.id.endswith("_"):
        wrong.append("the id has an empty word")
    for reason in wrong:
        yield finding(definition, "id", "NAMING", reason)
    title = definition.title.strip()
    if not title or len(title) > MAX_TITLE or title.endswith("."):
        reason = "the title is empty, ends in a period or is longer than " + f"{MAX_TITLE} characters"
        yield finding(definition, "title", "NAMING", reason)
    elif title.casefold() in titles:
        yield finding(definition, "title", "NAMING", f"{titles[title.casefold()]} has the same title")


def _offers(definition: SegmentDefinition, assets: Mapping[str, Asset], on: date) -> Iterator[Finding]:
    products: set[str] = set()
    for stage, offered in definition.offers.items():
        for asset_id in offered:
            asset, key = assets.get(asset_id), f"offers.{stage}"
            if asset is None:
                yield finding(definition, key, "UNKNOWN_OFFER", f"{asset_id} is not in assets.yaml")
                continue
            products |= {asset.product} if asset.product else set()
            yield from _offer(definition, asset, key, on)
    products |= {definition.product} if definition.product and products else set()
    if len(products) > 1:
        reason = f"offers content of more than one product: {', '.join(sorted(products))}"
        yield finding(definition, "offers", "MIXED_PRODUCTS", reason)


def _offer(definition: SegmentDefinition, asset: Asset, key: str, on: date) -> Iterator[Finding]:
    name = asset.asset_id
    if definition.purpose == "medical_education" and asset.intent not in EDUCATIONAL:
        reason = f"is medical education and offers {name}, which is {asset.intent.replace('_', ' ')}"
        yield finding(definition, key, "PURPOSE_MISMATCH", reason, level="error")
    elif definition.purpose == "promotional" and asset.intent == "medical_information":
        reason = f"is promotional and offers {name}: medical information answers a question, nobody sends it"
        yield finding(definition, key, "PURPOSE_MISMATCH", reason, level="error")
    public = sorted(set(definition.audience) & set(PUBLIC) & set(asset.audiences))
    if not set(asset.audiences) & set(definition.audience):
        reason = f"{name} is approved for {', '.join(asset.audiences)} only"
        yield finding(definition, key, "AUDIENCE_MISMATCH", reason)
    elif asset.prescription and asset.intent == "promotional" and public:
        reason = f"promotes a prescription product to {', '.join(public)} with {name}"
        yield finding(definition, key, "AUDIENCE_MISMATCH", reason)
    if asset.segment_ids and definition.id not in asset.segment_ids:
        reason = f"{name} is approved for {', '.join(asset.segment_ids)} only"
        yield finding(definition, key, "OFFER_ELSEWHERE", reason)
    if asset.withdrawn or asset.approval is None or asset.approval.expires_on < on:
        state = "withdrawn" if asset.withdrawn else "a draft" if asset.approval is None else "expired"
        yield finding(definition, key, "OFFER_NOT_APPROVED", f"{name} is {state}")


def _channels(
    definition: SegmentDefinition, assets: Mapping[str, Asset], without_asset: Sequence[str]
) -> Iterator[Finding]:
    offered = [assets[name] for names in definition.offers.values() for name in names if name in assets]
    if not offered:
        return
    carried = {channel for asset in offered for channel in asset.channels} | set(without_asset)
    bare = [channel for channel in definition.channel_plan if channel not in carried]
    if len(bare) == len(definition.channel_plan):
        reason = f"has no activation plan: no offer can be sent by {', '.join(bare)}"
        yield finding(definition, "channel_plan", "NO_ACTIVATION_PLAN", reason)
        return
    for channel in bare:
        yield finding(definition, "channel_plan", "CHANNEL_WITHOUT_OFFER", f"no offer can be sent by {channel}")
