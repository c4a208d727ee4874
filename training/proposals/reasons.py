"""Why a cluster is not proposed, for a data scientist in a line, for a marketer in a sentence; and what instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from configs.definitions import SegmentDefinition
from configs.settings import Settings
from models.candidates.clustering import MAX_SHARE, MIN_SHARE, STABLE, CandidateSegment, Clustering
from models.candidates.distill import Distilled
from models.candidates.lineage import SAME, Descent
from models.segments.lint.findings import CODES
from models.segments.lint.judge import MAX_OVERLAP, lint
from models.segments.map import SegmentMap
from training.proposals.material import Material, Standing
from training.proposals.proposal import Proposal, Trait
from training.proposals.telling import dimensions_of, percent, too_low

Bools = NDArray[np.bool_]

MIN_FIDELITY = 0.85
MIN_MEMBERS = 30
IN_WORDS = {
    "SINGLE_DIMENSION": "It stands on one thing alone ({only}). Its members may still need quite different things.",
    "MIXED_PRODUCTS": "It mixes people who ask about different products ({named}). One message cannot fit them.",
    "TOO_MANY_TRAITS": "Its rule needs too many conditions to be read and checked by a person ({reason}).",
    "KNOWS_THE_LABEL": "Its rule looks at the outcome itself, so it would only find those who have converted already.",
}


def why_of_cluster(candidate: CandidateSegment) -> str:
    """A clustering's own reason in a marketer's words; an unfamiliar one as it stands."""
    size, reason = f"{candidate.size:,} leads ({percent(candidate.share, 1)})", candidate.rejected or ""
    kind = reason.partition(":")[0]
    if kind == "no structure":
        return "These leads fall into no groups: with their fields dealt out at random they look nearly the same."
    if kind == "tiny":
        return f"Too small: {size}. At least {percent(MIN_SHARE)} of the leads are needed to test or report anything."
    if kind in ("unstable", "doubtful"):
        degree = "hardly" if kind == "unstable" else "not reliably"
        return (
            f"Not the same group twice: when the leads are drawn again, it is {degree} found again "
            f"({too_low(candidate.jaccard, STABLE)} of it returns, {percent(STABLE)} is asked). "
            "Next month it could hold other people."
        )
    if kind == "over-broad":
        return (
            f"Too broad: it holds {size}, at most {percent(MAX_SHARE)} is asked, so it says little about any of them."
        )
    return reason[:1].upper() + reason[1:] + ("" if reason.endswith(".") else ".")


def condition_refusal(
    distilled: Distilled | None, members: int, kept: int, traits: Sequence[Trait]
) -> tuple[str, str] | None:
    """(reason, why) where a cluster's condition cannot be used, whatever other segments there are."""
    if distilled is None:
        return (
            "no short condition tells its members from the rest",
            "Nobody could say in a sentence who belongs to it, so nobody could check it or explain it to a lead.",
        )
    f1 = distilled.fidelity.f1
    if f1 < MIN_FIDELITY:
        return (
            f"a short condition reproduces it badly (F1 {f1:.3f}, {MIN_FIDELITY} expected)",
            "The best readable rule misses too many of its members or lets in too many others "
            f"(agreement {too_low(f1, MIN_FIDELITY)}, {percent(MIN_FIDELITY)} is asked).",
        )
    if members < MIN_MEMBERS:
        return (
            f"tiny: {members} leads meet its condition, at least {MIN_MEMBERS} expected",
            f"Too small: only {members} leads meet its rule, at least {MIN_MEMBERS} are needed to report anything.",
        )
    if members > MAX_SHARE * kept:
        share = members / max(kept, 1)
        return (
            f"over-broad: its condition holds {percent(share, 1)} of leads, at most {percent(MAX_SHARE)} expected",
            f"Too broad: its rule holds {percent(share)} of all leads, so it says little about any of them.",
        )
    unknown = [trait for trait in traits if trait.kind == "unknown"]
    if traits and traits[0].kind == "unknown" and len(unknown) * 2 > len(traits):
        return (
            f"told apart by missing data: {traits[0].says}",
            f"What its members share is mostly that something is not known of them ({traits[0].name.replace('_', ' ')})"
            ": complete that field first.",
        )
    differs = dimensions_of(traits)
    if len(differs) == 1 and len(distilled.facts) == 1:
        return (
            f"SINGLE_DIMENSION: members differ from the rest in {differs[0].replace('_', ' ')} only",
            f"It stands on one thing alone ({differs[0].replace('_', ' ')}). Its members may still need quite "
            "different things.",
        )
    return None


def lint_refusal(definition: SegmentDefinition, material: Material, settings: Settings) -> tuple[str, str, str] | None:
    """(code, reason, why) of the first error that the lint finds in a draft itself; None where there is no map."""
    if not material.in_map:
        return None
    residual = [d for d in settings.segments if d.residual]
    alone = SegmentMap([definition, *residual], material.domain)
    findings = lint(alone, on=definition.review_on, label_kinds=settings.targets.served.kinds)
    # What only a person can supply is what a draft still waits for.
    wrong = [
        f for f in findings if f.segment_id == definition.id and f.level == "error" and not CODES[f.code].by_a_person
    ]
    if not wrong:
        return None
    first = wrong[0]
    only = first.reason.partition("(")[2].partition(")")[0]
    named = first.reason.partition(": ")[2].replace("_", " ")
    words = IN_WORDS.get(first.code, "{reason}.").format(reason=first.reason, only=only, named=named)
    return first.code, f"{first.code}: {first.reason}", words[:1].upper() + words[1:]


def covered(overlaps: Mapping[str, float], standing: Sequence[Standing]) -> tuple[str, str] | None:
    """(reason, why) where a segment that there is already holds the same people; an approved one counts from 50 %."""
    known = {one.segment_id: one for one in standing}
    ordered = sorted(overlaps.items(), key=lambda pair: (-pair[1], pair[0]))
    for segment_id, share in ordered:
        one = known[segment_id]
        if one.approved and share >= MAX_OVERLAP:
            return (
                f"already covered by {segment_id} (Jaccard {share:.2f})",
                f"You have it already: it is the segment {segment_id}, seen again in the data.",
            )
        if one.approved and share >= SAME:
            return (
                f"the same as {segment_id} (Jaccard {share:.2f})",
                f"It is the segment {segment_id} with slightly different borders ({percent(share)} of the people of "
                "either are in both), so it keeps that name. Hold the two rules side by side when it is reviewed.",
            )
        if not one.approved and share >= MAX_OVERLAP:
            return (
                f"already covered by {segment_id} (Jaccard {share:.2f}), which is {one.status}",
                f"The {one.status} {segment_id} describes the same people: finish that one instead of a second.",
            )
    return None


def relation_in_words(row: Descent) -> str:
    """What a draft has to do with an approved segment that it is not the same as."""
    if row.kind == "merged":
        return (
            f"It holds {percent(row.kept)} of your approved segment {row.before}, and others: think of widening that "
            "one before you make a second."
        )
    return (
        f"It is a part of your approved segment {row.before} ({percent(row.drawn)} of its people are in there): it is "
        "worth a segment of its own only if it needs something else."
    )


def remap_of(
    rows: Bools, proposals: Sequence[Proposal], masks: Sequence[Bools], material: Material, found: Clustering, own: int
) -> str:
    """What to do with a group that is too small: the segment that holds most of it, else the cluster nearest to it.

    Args:
        rows: the leads of the cluster, one value per lead.
        proposals: every cluster with its outcome.
        masks: for each of them who is in it: who meets its condition, else the cluster.
        material: the segments there are.
        found: the clustering, with the space that distances are measured in.
        own: which cluster it is.
    """
    size = max(int(rows.sum()), 1)
    there = [(one.member, one.segment_id, one.status) for one in material.standing if not one.residual]
    there += [
        (mask, proposal.name, "proposed here")
        for c, (proposal, mask) in enumerate(zip(proposals, masks, strict=True))
        if c != own and proposal.rejected is None
    ]
    holds = [(int((mask & rows).sum()) / size, int(mask.sum()), name, status) for mask, name, status in there]
    # Of several that hold most of it the smallest: the more specific one is the nearer relative.
    enough = [one for one in holds if one[0] >= 0.5]
    if enough:
        share, _, name, status = min(enough, key=lambda one: (one[1], one[2]))
        return f"Merge it into {name} ({status}): {percent(share)} of these leads meet its rule already."
    labels = found.labels
    if not np.any(labels == own):
        return ""
    center = found.space[labels == own].mean(axis=0)
    others = [c for c in range(len(proposals)) if c != own and np.any(labels == c)]
    if not others:
        return ""
    away = {c: float(((found.space[labels == c].mean(axis=0) - center) ** 2).sum()) for c in others}
    near = proposals[min(away, key=lambda c: (proposals[c].rejected is not None, away[c], c))]
    where = "the draft" if near.rejected is None else "the cluster"
    share, _, name, _ = max(holds, default=(0.0, 0, "", ""), key=lambda one: (one[0], one[2]))
    partly = f"; {percent(share)} of these leads are in {name} already" if share >= 0.2 else ""
    return f"Remap its content to {where} {near.name}, the nearest in what its leads are and read{partly}."
