"""The field's known mistakes in segment definitions, found before a segment is used.

Every finding names the file, the key, what is wrong and how to mend it. An error must be mended; a warning is for the
owner to judge. Checks that need counts or memberships run when these are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from configs.conditions import Compare, Condition, In, facts_used, leaves
from configs.content import Asset
from configs.definitions import NEVER, SegmentDefinition
from features.evaluate import TRUE, Domain, as_closure
from models.segment_map import SegmentMap

MAX_TRAITS = 6
MAX_SEGMENTS = 40
MAX_OVERLAP = 0.8
MAX_TRIED = 4_096
FILL_IN = "FILL IN"
EDUCATIONAL = ("medical_education", "medical_information", "service")
# Facts that say the same kind of thing. A segment of one of these alone hides how its members differ; a segment of some
# other single fact, such as a role, is for its owner to judge.
DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "specialty": ("specialty", "subspecialty", "account_specialty", "cancer_type"),
    "place": ("jurisdiction",),
    "organization": ("organization_type", "parent_organization_type", "account_kind"),
    "size": ("size", "procedure_volume", "throughput"),
    "person": ("adult", "verified_hcp", "days_since_verified"),
    "source": ("lead_source", "referral_source"),
}
NOT_A_DIMENSION = ("audience",)


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake: where it is, what is wrong, and how to mend it."""

    file: str
    segment_id: str
    key: str
    level: Literal["error", "warning"]
    code: str
    reason: str
    mend: str


def lint(
    segment_map: SegmentMap,
    *,
    on: date,
    assets: Sequence[Asset] | None = None,
    label_kinds: Sequence[str] = (),
    counts: Mapping[str, int] | None = None,
    member: NDArray[np.bool_] | None = None,
    files: Mapping[tuple[str, str], str] | None = None,
) -> list[Finding]:
    """Every finding about a segment map as of a day.

    Args:
        segment_map: the definitions, parsed.
        on: the day approvals and reviews are judged on.
        assets: the inventory that offers point into; without it offers are not judged.
        label_kinds: outcome kinds that readiness is trained on.
        counts: leads per segment id; without it sizes are not judged.
        member: lead by segment membership in the map's order; without it overlap is not judged.
        files: (folder, id) -> file, as `Settings.files` has it.
    """
    findings = list(_sprawl(segment_map))
    inventory = None if assets is None else {asset.asset_id: asset for asset in assets}
    for activation in segment_map.activations:
        definition = activation.definition
        findings += _plan(definition, on)
        findings += _purpose(definition, inventory)
        if activation.enter is not None:
            findings += _traits(definition, activation.enter)
            findings += _products(definition, activation.enter)
            findings += _own_label(definition, activation.facts, label_kinds)
            findings += _exit(definition, activation.enter, activation.exit, segment_map.domain, on)
        if counts is not None:
            findings += _sizes(definition, counts)
    if member is not None:
        findings += _overlaps(segment_map, member)
    named = files or {}
    return [replace(f, file=f.file or named.get(("segments", f.segment_id), "segments")) for f in findings]


def jaccard(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> float:
    """Shared members over all members of two sets; 0 for two empty ones."""
    union = int(np.sum(left | right))
    return int(np.sum(left & right)) / union if union else 0.0


def _finding(definition: SegmentDefinition, key: str, code: str, reason: str, mend: str, **more: Any) -> Finding:
    return Finding("", definition.id, key, more.get("level", "error"), code, reason, mend)


def _traits(definition: SegmentDefinition, enter: Condition) -> Iterator[Finding]:
    traits = [fact for fact in facts_used(enter) if fact not in NOT_A_DIMENSION]
    kinds = {next((d for d, facts in DIMENSIONS.items() if fact in facts), fact) for fact in traits}
    if len(kinds) < 2:
        only = ", ".join(sorted(kinds)) or "audience"
        reason = f"looks at one dimension only ({only}), which hides how its members differ"
        level = "error" if kinds <= DIMENSIONS.keys() else "warning"
        yield _finding(
            definition, "enter", "SINGLE_DIMENSION", reason, "add setting, role, need or behavior", level=level
        )
    if len(facts_used(enter)) > MAX_TRAITS:
        reason = f"looks at {len(facts_used(enter))} facts, at most {MAX_TRAITS} stay readable"
        yield _finding(definition, "enter", "TOO_MANY_TRAITS", reason, "drop the facts that change few memberships")


def _products(definition: SegmentDefinition, enter: Condition) -> Iterator[Finding]:
    named = {value for leaf in leaves(enter) if leaf.fact == "product_interest" for value in _positive_values(leaf)}
    named |= {definition.product} if definition.product and named else set()
    if len(named) > 1:
        reason = f"mixes products of different risk and workflow: {', '.join(sorted(named))}"
        yield _finding(definition, "enter", "MIXED_PRODUCTS", reason, "write one segment per product")


def _positive_values(leaf: Any) -> tuple[str, ...]:
    if isinstance(leaf, In):
        return leaf.values
    return (str(leaf.value),) if isinstance(leaf, Compare) and leaf.operator == "=" else ()


def _own_label(definition: SegmentDefinition, facts: Sequence[str], label_kinds: Sequence[str]) -> Iterator[Finding]:
    for fact in facts:
        event = next((kind for kind in label_kinds if fact == kind or fact.startswith(f"{kind}_")), None)
        if event or fact in ("meeting_booked", "days_since_meeting"):
            reason = f"{fact} is about the outcome that readiness predicts, so the segment would know the answer"
            yield _finding(definition, "enter", "KNOWS_THE_LABEL", reason, "use what happens before the outcome")


def _exit(
    definition: SegmentDefinition, enter: Condition, leave: Condition | None, domain: Domain, on: date
) -> Iterator[Finding]:
    if leave is None:
        reason = f"exit is {NEVER!r}: members stay whatever becomes known"
        yield _finding(definition, "exit", "NO_EXIT", reason, "say which facts end the membership")
        return
    example = _both(enter, leave, domain, on)
    if example:
        shown = ", ".join(f"{fact} = {value}" for fact, value in example.items())
        reason = f"a lead can enter and leave at once, with {shown}"
        yield _finding(definition, "exit", "FLAPPING", reason, "exclude from exit what enter asks for")


def _both(enter: Condition, leave: Condition, domain: Domain, on: date) -> dict[str, str | int] | None:
    """Values with which a lead surely enters and surely leaves, out of those the two conditions can tell apart."""
    facts = tuple(dict.fromkeys((*facts_used(enter), *facts_used(leave))))
    tried = [tellable(fact, (enter, leave), domain) for fact in facts]
    enters, leaves_ = as_closure(enter, domain, on), as_closure(leave, domain, on)
    total = int(np.prod([len(values) for values in tried], dtype=np.float64))
    random = np.random.default_rng(0)
    drawn = ([values[random.integers(len(values))] for values in tried] for _ in range(MAX_TRIED))
    for codes in product(*tried) if total <= MAX_TRIED else drawn:
        lead = dict(zip(facts, codes, strict=True))
        if enters(lead) == TRUE and leaves_(lead) == TRUE:
            values = ((fact, domain.value(fact, code)) for fact, code in lead.items())
            return {fact: "unknown" if value is None else value for fact, value in values}
    return None


def tellable(fact: str, conditions: Sequence[Condition], domain: Domain) -> list[int]:
    """Codes of a fact that these conditions can tell apart, with unknown and one that none of them names."""
    own = [leaf for condition in conditions for leaf in leaves(condition) if leaf.fact == fact]
    declared = domain.facts[fact]
    if declared.type == "int":
        cuts = [leaf.value for leaf in own if isinstance(leaf, Compare) and isinstance(leaf.value, int)]
        near = {cut + step for cut in cuts for step in (-1, 0, 1)}
        return sorted({-1, *(value for value in near if declared.min <= value <= declared.max)})
    named = {str(leaf.value) for leaf in own if isinstance(leaf, Compare)}
    named |= {value for leaf in own if isinstance(leaf, In) for value in leaf.values}
    codes = [domain.code(fact, value) for value in declared.values if value in named]
    other = [domain.code(fact, value) for value in declared.values if value not in named][:1]
    return [0, *codes, *other]


def _plan(definition: SegmentDefinition, on: date) -> Iterator[Finding]:
    if not definition.fallback:
        yield _finding(
            definition, "fallback", "NO_FALLBACK", "says nothing about missing data", "say where such leads go"
        )
    missing = [key for key in ("channel_plan", "offers", "next_best_action") if not getattr(definition, key)]
    if missing or not any(definition.offers.values()):
        reason = f"has no activation plan: {', '.join(missing) or 'offers'} is empty"
        yield _finding(
            definition, (missing or ["offers"])[0], "NO_ACTIVATION_PLAN", reason, "fill it, or drop the segment"
        )
    texts = (
        "title",
        "fallback",
        "hypothesis",
        "next_best_action",
        "owner",
        "primary_kpi",
        "conversion_event",
        "themes",
    )
    for key in texts:
        if FILL_IN in str(getattr(definition, key)):
            yield _finding(definition, key, "UNFILLED", "still holds the draft's text", "let its owner write it")
    if definition.approval is None:
        yield _finding(
            definition, "approval", "NOT_APPROVED", "is a draft and is not active", "have a named person approve it"
        )
    elif definition.approval.expires_on < on:
        reason = f"the approval ran out on {definition.approval.expires_on.isoformat()}, so it is not active"
        yield _finding(definition, "approval.expires_on", "APPROVAL_EXPIRED", reason, "review and approve it again")
    if definition.review_on < on:
        reason = f"was due for review on {definition.review_on.isoformat()}"
        yield _finding(
            definition, "review_on", "REVIEW_DUE", reason, "review it and set the next date", level="warning"
        )


def _purpose(definition: SegmentDefinition, inventory: Mapping[str, Asset] | None) -> Iterator[Finding]:
    if inventory is None:
        return
    for stage, offered in definition.offers.items():
        for asset_id in offered:
            asset, key = inventory.get(asset_id), f"offers.{stage}"
            if asset is None:
                yield _finding(definition, key, "UNKNOWN_OFFER", f"{asset_id} is not in assets.yaml", "name an asset")
            elif definition.purpose == "medical_education" and asset.intent not in EDUCATIONAL:
                reason = f"is medical education and offers {asset_id}, which is {asset.intent}"
                yield _finding(definition, key, "PURPOSE_MISMATCH", reason, "offer educational content, or split it")
            elif not set(asset.audiences) & set(definition.audience):
                reason = f"{asset_id} is approved for {', '.join(asset.audiences)} only"
                yield _finding(definition, key, "AUDIENCE_MISMATCH", reason, "offer what this audience may see")


def _sizes(definition: SegmentDefinition, counts: Mapping[str, int]) -> Iterator[Finding]:
    total, own = sum(counts.values()), counts.get(definition.id, 0)
    if own < definition.size.min_leads:
        reason = f"holds {own} leads, at least {definition.size.min_leads} are needed to learn or report anything"
        yield _finding(
            definition, "size.min_leads", "TOO_SMALL", reason, "merge it with a related one", level="warning"
        )
    if total and own > definition.size.max_share * total:
        reason = f"holds {own / total:.0%} of leads, at most {definition.size.max_share:.0%} stay specific"
        yield _finding(
            definition, "size.max_share", "TOO_LARGE", reason, "split it by need or setting", level="warning"
        )


def _overlaps(segment_map: SegmentMap, member: NDArray[np.bool_]) -> Iterator[Finding]:
    for a, left in enumerate(segment_map.definitions):
        for b in range(a + 1, len(segment_map.definitions)):
            shared = jaccard(member[:, a], member[:, b])
            if shared >= MAX_OVERLAP:
                reason = f"shares {shared:.0%} of its members with {segment_map.segment_ids[b]} (Jaccard)"
                yield _finding(left, "enter", "OVERLAP", reason, "merge the two, or tell them apart", level="warning")


def _sprawl(segment_map: SegmentMap) -> Iterator[Finding]:
    n = len(segment_map.definitions)
    if n > MAX_SEGMENTS:
        reason = f"{n} segments, at most {MAX_SEGMENTS} can be kept up"
        yield Finding("segments", "", "segments", "error", "SPRAWL", reason, "merge what shares a plan")
    seen: dict[int, str] = {}
    for definition in segment_map.definitions:
        if definition.priority in seen:
            reason = f"shares priority {definition.priority} with {seen[definition.priority]}; the id decides"
            yield _finding(definition, "priority", "SAME_PRIORITY", reason, "give each its own", level="warning")
        seen.setdefault(definition.priority, definition.id)
