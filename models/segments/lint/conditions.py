"""Mistakes in who a segment holds: its entry, its exit, and where leads go while data are missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from configs.conditions import And, Condition, IsUnknown, facts_used, parse
from configs.definitions import NEVER, SegmentDefinition
from configs.dictionary import AFTER_READINESS
from configs.errors import ConditionInvalid
from features.evaluate import All, AnyOf, CodeIs, Domain, Normal, normal_form
from models.segments.lint.findings import Finding, Level, finding
from models.segments.map import Activation
from models.segments.tellable import Tried

MAX_TRAITS = 6
# Facts that say the same kind of thing: every fact of the lead belongs to one kind, and counts are behavior.
DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "specialty": ("specialty", "subspecialty", "account_specialty", "cancer_type", "therapeutic_area"),
    "geography": ("jurisdiction", "us_state", "target_market", "territory_assigned", "service_offered"),
    "organization": ("organization_type", "parent_organization_type", "account_kind"),
    "size": ("size", "procedure_volume", "throughput"),
    "demographics": ("adult", "verified_hcp", "licence_status", "days_since_verified"),
    "source": (
        "lead_source", "referral_source", "source_permitted", "third_party_source", "phi_source", "days_since_obtained",
        "data_source_listed", "data_kind",
    ),
    "readiness": AFTER_READINESS,
    "setting": ("care_setting",),
    "role": ("role", "technical_orientation"),
    "part in treatment": ("treatment_role",),
    "influence": ("influence", "committee", "purchase_authority"),
    "need": ("product_interest", "condition_focus", "clinical_question", "evidence_need", "use_case"),
    "documents and systems": ("integration_need", "compliance_expectation"),
    "patients": ("disease_stage", "pathway_stage", "patient_population"),
    "buying": ("procurement_path", "decision_path", "decision_moment", "adoption_speed", "implementation_stage"),
    "partnership": ("partner_eligible", "training_readiness"),
    "lifecycle": ("lifecycle",),
    "stage": ("buying_stage", "stage_evidence", "journey_moment"),
    "behavior": (
        "days_since_last_event", "distinct_channel_count_90d", "colleague_event_count_90d", "preferred_channel",
    ),
    "permission": (
        "email_opt_out", "opt_out_pending", "sharing_opt_out", "tcpa_revoked_any", "health_consent", "phi_authorized",
        "prescriber_restricted", "notice_given", "days_since_screened", "state_registered", "feed_fresh",
        "segment_approved", "local_minute_from", "local_minute_to",
    ),
    "record": ("identity_conflict", "role_address"),
    "our contacts": ("touches_7d", "touches_30d", "days_since_last_field_touch"),
    "standing": (
        "erased_or_restricted", "profiling_objection", "reduced_communication", "off_label_open",
        "adverse_event_open", "meeting_booked", "handover_open", "open_case", "days_since_meeting",
    ),
}  # fmt: skip
# A segment of one of these alone hides how its members differ; of another alone, its owner is to judge.
HIDING = ("specialty", "geography", "organization", "size", "demographics", "source", "readiness")
STATUS_FACTS = DIMENSIONS["standing"]
AUDIENCE = "audience"


def dimension_of(fact: str) -> str:
    """The kind of thing a fact says; a fact that nobody sorted is a kind of its own."""
    named = next((name for name, facts in DIMENSIONS.items() if fact in facts), None)
    return named or ("behavior" if "_count_" in fact else fact)


def ways_in(activation: Activation, domain: Domain) -> list[tuple[str, Condition]]:
    """Every way into a segment with its key: entry alone, then each step of the fallback that lets leads in."""
    if activation.direct is None:
        return []
    ways: list[tuple[str, Condition]] = [("enter", activation.direct)]
    for place, step in enumerate(activation.definition.fallback):
        if step.use:
            use = parse(step.use, domain.facts, domain.parameters)
            ways.append((f"fallback.{place}.use", And((*(IsUnknown(fact) for fact in step.missing), use))))
    return ways


def condition_findings(
    activation: Activation, domain: Domain, on: date, label_kinds: Sequence[str] = ()
) -> Iterator[Finding]:
    """What is wrong with the conditions of one definition on a day; nothing for the residual one."""
    definition, ways = activation.definition, ways_in(activation, domain)
    if not ways:
        return
    try:
        for condition in (*(way for _, way in ways), *([activation.exit] if activation.exit else [])):
            normal_form(condition, domain, on)
    except ConditionInvalid as error:
        yield finding(definition, "enter", "NOT_IN_FORCE", str(error))
        return
    for key, way in ways:
        yield from _dimensions(definition, key, way, domain, on)
        yield from _traits(definition, key, way)
    yield from _products(definition, ways, domain, on)
    yield from _audience(definition, ways, domain, on)
    yield from _outcomes_and_statuses(definition, activation.facts, label_kinds)
    yield from _overlay(activation)
    yield from _exit(definition, ways, activation.exit, domain, on)
    yield from _fallback(definition, ways, domain, on)


def _dimensions(definition: SegmentDefinition, key: str, way: Condition, domain: Domain, on: date) -> Iterator[Finding]:
    traits = [fact for fact in facts_used(way) if fact != AUDIENCE]
    kinds = list(dict.fromkeys(dimension_of(fact) for fact in traits))
    if len(kinds) < 2:
        only = kinds[0] if kinds else AUDIENCE
        hides = only in (*HIDING, AUDIENCE)
        # A step of the fallback is coarser by its nature; only what hides most is worth a word there.
        if hides or key == "enter":
            reason = f"looks at one dimension only ({only}), which hides how its members differ"
            level: Level = "error" if hides and key == "enter" else "warning"
            yield finding(definition, key, "SINGLE_DIMENSION", reason, level=level)
        return
    enough = [
        kind
        for kind in kinds
        if (key == "enter" or kind in HIDING)
        and Tried.of((way,), domain, on, only=_of_kind(traits, kind)).surely(way).any()
    ]
    if enough:
        reason = f"{' or '.join(enough)} alone lets a lead in, whatever else is known"
        yield finding(definition, key, "SINGLE_DIMENSION", reason, level="warning")


def _of_kind(traits: Sequence[str], kind: str) -> list[str]:
    return [AUDIENCE, *(fact for fact in traits if dimension_of(fact) == kind)]


def _traits(definition: SegmentDefinition, key: str, way: Condition) -> Iterator[Finding]:
    unknown = () if key == "enter" else definition.fallback[int(key.split(".")[1])].missing
    count = len(set(facts_used(way)) - set(unknown))
    if count > MAX_TRAITS:
        reason = f"looks at {count} facts, at most {MAX_TRAITS} stay readable"
        yield finding(definition, key, "TOO_MANY_TRAITS", reason)


def _products(
    definition: SegmentDefinition, ways: Iterable[tuple[str, Condition]], domain: Domain, on: date
) -> Iterator[Finding]:
    fact = "product_interest"
    named: set[str] = set()
    for _, way in ways:
        for leaf in _code_leaves(normal_form(way, domain, on)):
            if leaf.fact == fact:
                named |= {value for value in domain.facts[fact].values if leaf.codes >> domain.code(fact, value) & 1}
    named |= {definition.product} if definition.product and named else set()
    if len(named) > 1:
        shown = sorted(named)[:6]
        more = f" and {len(named) - 6} more" if len(named) > 6 else ""
        reason = f"mixes products of different risk and workflow: {', '.join(shown)}{more}"
        yield finding(definition, "enter", "MIXED_PRODUCTS", reason)


def _code_leaves(normal: Normal) -> Iterator[CodeIs]:
    if isinstance(normal, All | AnyOf):
        for part in normal.parts:
            yield from _code_leaves(part)
    elif isinstance(normal, CodeIs):
        yield normal


def _audience(
    definition: SegmentDefinition, ways: Iterable[tuple[str, Condition]], domain: Domain, on: date
) -> Iterator[Finding]:
    values = domain.facts[AUDIENCE].values if AUDIENCE in domain.facts else ()
    said: set[str] = set()
    for key, way in ways:
        normal = normal_form(way, domain, on)
        others = (value for value in values if value not in (*definition.audience, *said))
        open_to = [value for value in others if _may(normal, domain.code(AUDIENCE, value))]
        said |= set(open_to)
        if open_to:
            reason = f"may let in {', '.join(open_to)}; audience names {', '.join(definition.audience) or 'nobody'}"
            yield finding(definition, key, "AUDIENCE_OPEN", reason)


def _may(normal: Normal, audience: int) -> bool:
    """Whether a lead of this audience may enter, if everything else is as the condition likes it."""
    match normal:
        case All(parts):
            return all(_may(part, audience) for part in parts)
        case AnyOf(parts):
            return any(_may(part, audience) for part in parts)
        case CodeIs(fact, codes, _) if fact == AUDIENCE:
            return bool(codes >> audience & 1)
        case _:
            return True


def _outcomes_and_statuses(
    definition: SegmentDefinition, facts: Iterable[str], label_kinds: Sequence[str]
) -> Iterator[Finding]:
    for fact in facts:
        key = "enter" if any(fact in text for at, text in definition.conditions().items() if at != "exit") else "exit"
        if fact in STATUS_FACTS:
            reason = f"{fact} says what a lead is in for a while, not who it is"
            yield finding(definition, key, "STATUS_NOT_SEGMENT", reason)
        elif any(fact == kind or fact.startswith(f"{kind}_") for kind in label_kinds):
            reason = f"{fact} is about the outcome that readiness predicts, so the segment would know the answer"
            yield finding(definition, key, "KNOWS_THE_LABEL", reason)


def _overlay(activation: Activation) -> Iterator[Finding]:
    enter, leave = (set(facts_used(c)) if c else set() for c in (activation.enter, activation.exit))
    ready = set(AFTER_READINESS)
    if activation.exit is not None and bool(enter & ready) != bool(leave & ready):
        here, there = ("enter", "exit") if enter & ready else ("exit", "enter")
        reason = f"{here} looks at {' and '.join(sorted((enter | leave) & ready))}, {there} does not"
        yield finding(activation.definition, there, "OVERLAY_STAYS", reason)


def _exit(
    definition: SegmentDefinition,
    ways: Sequence[tuple[str, Condition]],
    leave: Condition | None,
    domain: Domain,
    on: date,
) -> Iterator[Finding]:
    if leave is None:
        reason = f"exit is {NEVER!r}: members stay whatever becomes known"
        yield finding(definition, "exit", "NO_EXIT", reason)
    else:
        alone = Tried.of((leave,), domain, on)
        if alone.complete and not alone.surely(leave).any():
            yield finding(definition, "exit", "NEVER_LEAVES", "no values of its facts make exit true")
    for key, way in ways:
        tried = Tried.of((way, *([leave] if leave else [])), domain, on)
        enters = tried.surely(way)
        if tried.complete and key == "enter" and not enters.any():
            yield finding(definition, "enter", "NEVER_ENTERS", "no values of its facts make enter true")
        example = tried.example(enters & tried.surely(leave)) if leave is not None else None
        if example:
            code = "FLAPPING" if key == "enter" else "FALLBACK_FLAPS"
            reason = f"a lead can enter and leave at once: {example}"
            yield finding(definition, "exit" if key == "enter" else key, code, reason)


def _fallback(
    definition: SegmentDefinition, ways: Sequence[tuple[str, Condition]], domain: Domain, on: date
) -> Iterator[Finding]:
    steps, direct = definition.fallback, ways[0][1]
    if not steps:
        yield finding(definition, "fallback", "NO_FALLBACK", "says nothing about missing data")
        return
    silent = [place for place, step in enumerate(steps) if not step.use]
    if silent and silent[0] < len(steps) - 1:
        reason = f"step {silent[0]} only says what happens, and step {silent[0] + 1} follows it"
        yield finding(definition, f"fallback.{silent[0]}", "FALLBACK_ORDER", reason)
    needed = [fact for fact in facts_used(direct) if fact != AUDIENCE]
    covered = {fact for step in steps for fact in step.missing}
    open_facts = [fact for fact in needed if fact not in covered]
    if open_facts and not silent:
        reason = f"nothing says where leads go whose {' or '.join(open_facts)} is missing"
        yield finding(definition, "fallback", "FALLBACK_SILENT", reason)
    looked_at = set(facts_used(direct))
    for key, way in ways[1:]:
        step = steps[int(key.split(".")[1])]
        strange = [fact for fact in step.missing if fact not in looked_at]
        looked_at |= set(facts_used(way))
        if strange:
            reason = f"waits for {' and '.join(strange)}, which neither enter nor an earlier step looks at"
            yield finding(definition, key.replace("use", "missing"), "FALLBACK_UNRELATED", reason)
        tried = Tried.of((way, direct), domain, on)
        if tried.complete and not (tried.surely(way) & ~tried.surely(direct)).any():
            needs = [
                fact for fact in step.missing if fact in facts_used(parse(step.use, domain.facts, domain.parameters))
            ]
            because = f"use needs {' and '.join(needs)}, which is missing" if needs else "use adds nothing to enter"
            yield finding(definition, key, "FALLBACK_DEAD", f"lets in nobody: {because}")
