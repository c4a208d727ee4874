"""The draft of a definition that a person finishes, and words to start from: suggestions, never facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from configs.definitions import FallbackStep, SegmentDefinition, SizeGuardrail
from models.candidates.distill import Distilled, measure
from models.segments.lint.conditions import AUDIENCE
from models.segments.lint.judge import FILL_IN
from training.proposals.material import Material, Standing
from training.proposals.proposal import Proposal, Suggestion, Trait

Bools = NDArray[np.bool_]
Purpose = Literal["medical_education", "promotional"]

EDUCATED = "hcp"
NAMED_TRAITS = 3
SAYS_NOTHING = ("other", "none", "no")
OWNERS: Mapping[Purpose, str] = {"medical_education": "medical affairs", "promotional": "product marketing"}
# What a name is best made of: who they are, where they work, what they ask about; last what is missing.
_NAMING = (
    "role",
    "specialty",
    "treatment_role",
    "care_setting",
    "organization",
    "product_interest",
    "integration_need",
)
INTEREST = ("interest", "depth")


def suggestion_of(
    traits: Sequence[Trait], inside: Bools, material: Material, overlaps: Mapping[str, float]
) -> Suggestion:
    """A name, a hypothesis and an owner to start from, out of what tells the members from the rest."""
    audiences = audiences_of(material, inside)
    # Education is for those who treat; with everybody else one talks about a product.
    purpose: Purpose = "medical_education" if not audiences or audiences[0] == EDUCATED else "promotional"
    interests = [trait for trait in traits if trait.dimension == "interest" and trait.effect > 0]
    about = [_topic(trait) for trait in interests[:2]]
    title = ", ".join(_named(traits)[:NAMED_TRAITS]) or "group without a telling value"
    title = title[0].upper() + title[1:] + (f", asking about {' and '.join(about)}" if about else "")
    return Suggestion(
        title=title,
        hypothesis=_hypothesis(traits, interests),
        owner=_owner(material.standing, overlaps, purpose),
        purpose=purpose,
        themes=tuple(about),
    )


def guarded(
    distilled: Distilled, member: Bools, learn: Bools, inside: Bools, material: Material
) -> tuple[Distilled, Bools]:
    """The condition for the audiences that were clustered only, who meets it, and its fidelity measured again.

    INVARIANT: a draft names its audiences in its entry, so that it lets in nobody whom clustering left out on purpose.

    Args:
        distilled: the condition as found; that of a flat export, which knows no audience, stays as it is.
        member: the cluster, one value for each lead that was clustered.
        learn: of these the rows it was learned from.
        inside: who meets it, one value per lead.
        material: what was known.
    """
    audiences = audiences_of(material, inside)
    if AUDIENCE not in material.domain.facts or not audiences:
        return distilled, inside
    shown = ", ".join(f"'{value}'" for value in sorted(audiences))
    who = f"{AUDIENCE} = {shown}" if len(audiences) == 1 else f"{AUDIENCE} IN ({shown})"
    core, stay = distilled.enter, distilled.exit.removeprefix("NOT (").removesuffix(")")
    enter, stay = (f"{who} AND {text if ' OR ' not in text else f'({text})'}" for text in (core, stay))
    codes = [material.audiences.index(value) + 1 for value in audiences]
    inside = inside & np.isin(material.audience, codes)
    held_out = ~learn if np.any(member & ~learn) else learn
    fidelity = measure(inside[material.kept][held_out], member[held_out])
    return Distilled(enter, f"NOT ({stay})", fidelity, (AUDIENCE, *distilled.facts)), inside


def draft_of(proposal: Proposal, material: Material, inside: Bools, place: int) -> SegmentDefinition:
    """A definition that loads but is not approved; what a person must write is marked, with a suggestion beside it."""
    if proposal.distilled is None or proposal.segment_id is None:
        raise ValueError("a draft needs a condition")
    needed = ", ".join(fact for fact in proposal.distilled.facts if fact != AUDIENCE)
    fidelity, hint = proposal.distilled.fidelity, proposal.suggestion or Suggestion("", "", "", "medical_education")
    return SegmentDefinition(
        id=proposal.segment_id,
        version=1,
        title=_fill("a name that people will use", hint.title),
        unit="lead",
        purpose=hint.purpose,
        audience=audiences_of(material, inside) or ("hcp",),
        priority=min(500 + place, 9_999),
        enter=proposal.distilled.enter,
        exit=proposal.distilled.exit,
        min_dwell_days=30,
        reentry="after_dwell",
        fallback=(FallbackStep(says=f"{FILL_IN}: where a lead goes when one of {needed} is missing"),),
        hypothesis=_fill("which information will matter to them, and why", hint.hypothesis),
        message_goal=f"{FILL_IN}: what a message should change for them",
        themes=(_fill("message themes", ", ".join(hint.themes)),),
        offers={},
        channel_plan=(),
        next_best_action=f"{FILL_IN}: what should be done next",
        author=f"{FILL_IN}: who wrote this definition; somebody else approves it",
        owner=_fill("who answers for this segment", hint.owner),
        size=SizeGuardrail(min_leads=max(30, proposal.members // 3), max_share=0.4),
        primary_kpi=f"{FILL_IN}: how success is measured",
        conversion_event=f"{FILL_IN}: the declared next step",
        data_sources=(
            *_sources(proposal.distilled, material),
            f"clustering as of {material.on.isoformat()}, F1 {fidelity.f1:.2f} on held-out leads",
        ),
        review_on=(material.as_of + timedelta(days=90)).date(),
    )


def audiences_of(material: Material, inside: Bools) -> tuple[str, ...]:
    """Audiences that make up a twentieth of some leads or more, the largest first."""
    codes = material.audience[inside]
    counts = Counter(codes.tolist())
    values = material.audiences
    found = [(rows, values[code - 1]) for code, rows in counts.items() if 0 < code <= len(values)]
    return tuple(value for rows, value in sorted(found, key=lambda one: (-one[0], one[1])) if rows >= 0.05 * len(codes))


def _sources(distilled: Distilled, material: Material) -> tuple[str, ...]:
    """The fields that a condition rests on, as the fact dictionary names them."""
    given = (material.domain.facts[fact].source.split(" ")[0] for fact in distilled.facts)
    return tuple(dict.fromkeys(source for source in given if source))


def _fill(asks: str, hint: str) -> str:
    return f"{FILL_IN}: {asks}" + (f" (suggested, not decided: {hint})" if hint else "")


def _hypothesis(traits: Sequence[Trait], interests: Sequence[Trait]) -> str:
    """A question to test, out of what they do more than others; without any, out of what they are."""
    if interests:
        first = interests[0]
        often = f"{first.lift:.1f} times as often as other leads" if first.lift < 50 else "and other leads hardly do"
        return f"they turn to {_topic(first)} {often}, so material on it may serve them better; test it"
    said = _named(traits)[:2]
    if not said:
        return ""
    return (
        f"what they share ({' and '.join(said)}) may mean a need of their own; ask some of them before writing to all"
    )


def _named(traits: Sequence[Trait]) -> list[str]:
    """What they are in a few words each: values first, in the order of a name; else what they have more or less of."""
    values = [t for t in traits if t.kind == "value" and t.effect > 0 and t.value not in SAYS_NOTHING]
    values.sort(key=lambda trait: (_place(trait), -trait.effect))
    found = [_words(trait.value) for trait in values if trait.value != "yes" and trait.dimension != "audience"]
    numbers = [trait for trait in traits if trait.kind == "number" and trait.dimension not in INTEREST]
    for trait in numbers:
        label = trait.says.partition(": ")[0].partition(",")[0]
        found.append(f"{'high' if trait.effect > 0 else 'low'} {label[0].lower()}{label[1:]}")
    return list(dict.fromkeys(found))


def _owner(standing: Sequence[Standing], overlaps: Mapping[str, float], purpose: Purpose) -> str:
    """Whoever owns the approved segment that is nearest, else the department of that purpose."""
    near = [(overlaps.get(one.segment_id, 0.0), one) for one in standing if one.approved and not one.residual]
    if near:
        share, one = max(near, key=lambda pair: (pair[0], pair[1].segment_id))
        if share >= 0.05 and FILL_IN not in one.owner:
            return f"{one.owner}, who owns the nearest segment {one.segment_id}"
    return OWNERS[purpose]


def _place(trait: Trait) -> int:
    return _NAMING.index(trait.dimension) if trait.dimension in _NAMING else len(_NAMING)


def _topic(trait: Trait) -> str:
    found = trait.name.removeprefix("engagement_topic_").removeprefix("engagement_depth_").removesuffix("_count_90d")
    return _words(found)


def _words(name: str) -> str:
    return name.replace("_", " ")
