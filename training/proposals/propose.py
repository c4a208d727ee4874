"""Propose segments from data: cluster, say each cluster in a readable condition, and write drafts for a person to edit.

Nothing here changes the segment map. Behavior is taken as of a date; whether a proposed condition goes with conversion
is measured one horizon earlier, on what was known then and what came after, so that the answer is never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from configs.conditions import parse
from configs.content import Approval
from configs.definitions import SegmentDefinition
from configs.errors import InputInvalid
from configs.mapping import SourceMapping
from configs.settings import Settings
from features.evaluate import as_english
from features.intake.quality.findings import QualityReport
from features.intake.sources import Intake
from features.tables import Tables
from models.candidates.clustering import SIZES, CandidateSegment, Clustering, cluster
from models.candidates.distill import LEARN_SHARE, Distilled, distill, evaluate, slug
from models.candidates.lineage import Lineage, match
from models.hygiene import judge
from models.segments.lint.conditions import dimension_of
from models.segments.map import SegmentMap
from models.shares import Share, newcombe, wilson, z_for
from training.proposals.draft import draft_of, guarded, suggestion_of
from training.proposals.files import write_proposal
from training.proposals.flat import flat_material
from training.proposals.folder import Previous, open_folder
from training.proposals.material import Material, material_of, overlaps_of
from training.proposals.proposal import Conversion, Proposal, ProposalReport
from training.proposals.reasons import (
    condition_refusal,
    covered,
    lint_refusal,
    relation_in_words,
    remap_of,
    why_of_cluster,
)
from training.proposals.telling import traits_of

__all__ = ["Conversion", "Proposal", "ProposalReport", "propose", "propose_flat"]

Progress = Callable[[str, float], None]
Bools = NDArray[np.bool_]

MIN_LEADS = 100
NAME_WORDS = 4
SHOWN_OVERLAP = 0.05
# Conditions of a cluster that are tried before it is given up: the second avoids what the first was refused for.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Found:
    """A cluster with its outcome, who meets its condition (else who is in the cluster), and its draft."""

    proposal: Proposal
    mask: Bools
    definition: SegmentDefinition | None = None


def propose(
    tables: Tables,
    settings: Settings,
    as_of: datetime,
    out: Path,
    *,
    quality: QualityReport | None = None,
    progress: Progress | None = None,
    sizes: Sequence[int] = SIZES,
    seed: int = 7,
) -> ProposalReport:
    """Cluster leads as known at `as_of` and write drafts and a report to a folder.

    Args:
        tables: every table; outcomes are only used after the earlier snapshot.
        settings: the configuration, with the segment map that proposals are compared with.
        as_of: what may be known.
        out: the folder to write to; a run before in it is compared with, and drafts edited since are left alone.
        quality: a check of the same data; with it fields whose values no vocabulary knows are left out too.
        progress: told what is being done and the share of the whole that is done.
        sizes: numbers of clusters to try.
        seed: of everything that is drawn.

    Raises:
        InputInvalid: fewer than 100 leads may be clustered, or the folder cannot be written to.
    """
    tell = progress or _silent
    tell("read what was known", 0.0)
    previous = open_folder(out)
    material = material_of(tables, settings, as_of, quality)
    return _journey(material, settings, out, previous, tell, sizes, seed, quality)


def propose_flat(
    intake: Intake,
    settings: Settings,
    mapping: SourceMapping,
    out: Path,
    *,
    progress: Progress | None = None,
    sizes: Sequence[int] = SIZES,
    seed: int = 7,
) -> ProposalReport:
    """The same from a flat export: its attributes are the facts, and no draft of it fits the segment map as it is."""
    tell = progress or _silent
    tell("read what was known", 0.0)
    previous = open_folder(out)
    return _journey(flat_material(intake, settings, mapping), settings, out, previous, tell, sizes, seed, None)


def _journey(
    material: Material,
    settings: Settings,
    out: Path,
    previous: Previous,
    tell: Progress,
    sizes: Sequence[int],
    seed: int,
    quality: QualityReport | None,
) -> ProposalReport:
    kept = material.kept
    if kept.sum() < MIN_LEADS:
        wanted = (
            f"expected at least {MIN_LEADS} leads known by {material.as_of.date().isoformat()} that may be clustered"
        )
        raise InputInvalid("leads", f"{wanted}, found {int(kept.sum())}")
    found = cluster(
        material.clustered, sizes=sizes, seed=seed, progress=lambda step, share: tell(step, 0.15 + 0.6 * share)
    )
    clusters: list[_Found] = []
    for c, candidate in enumerate(found.candidates):
        tell(f"write {candidate.candidate_id} as a condition", 0.75 + 0.15 * c / len(found.candidates))
        clusters.append(_described(c, candidate, found, material, settings, seed))
    tell("compare with the segment map and the run before", 0.9)
    lineage = _lineage(clusters, material, previous)
    clusters = _recognised(clusters, lineage.get("approved"))
    clusters = _named(clusters, lineage.get("previous"), material)
    clusters = _hygienic(clusters, material, settings, quality)
    clusters = _remapped(clusters, material, found)
    lineage = _lineage(clusters, material, previous)
    tell("write drafts and report", 0.95)
    report = ProposalReport(
        material.as_of,
        material.horizon_days,
        int(kept.sum()),
        material.left_out,
        found,
        tuple(one.proposal for one in clusters),
        (),
        material.fields_left_out,
        lineage,
        (*material.notes, *([previous.note] if previous.note else [])),
    )
    drafts = {d.id: d for one in clusters if one.proposal.rejected is None and (d := one.definition) is not None}
    groups = {one.proposal.name: one.mask for one in clusters}
    report = write_proposal(out, report, drafts, groups, material, previous)
    tell("done", 1.0)
    return report


def _described(
    c: int, candidate: CandidateSegment, found: Clustering, material: Material, settings: Settings, seed: int
) -> _Found:
    """A cluster with what tells it, its condition and what that is worth, and why it is refused, if it is."""
    kept = material.kept
    own = found.labels == c
    rows = np.zeros(len(kept), dtype=np.bool_)
    rows[kept] = own
    traits = traits_of(own, material.described)
    bare = Proposal(candidate, None, None, "", candidate.size, None, {}, candidate.rejected, traits=traits)
    if candidate.rejected is not None:
        overlaps = _shown(overlaps_of(rows, material.standing, kept))
        return _Found(replace(bare, why=why_of_cluster(candidate), overlaps=overlaps), rows)
    learn = np.random.default_rng(seed).random(len(own)) < LEARN_SHARE
    barred: set[str] = set()
    first: _Found | None = None
    for _ in range(ATTEMPTS):
        columns = {name: values for name, values in material.conditioned.items() if name not in barred}
        known = {name: values[kept] for name, values in columns.items()}
        distilled = distill(own, known, material.domain, material.on, learn=learn, seed=seed)
        one = _judged(c, bare, distilled, material, settings, rows, learn, len(found.candidates))
        first = first or one
        code = (one.proposal.rejected or "").partition(":")[0]
        if one.proposal.rejected is None:
            if barred:
                avoided = ", ".join(sorted({dimension_of(name) for name in barred}))
                note = f"The rule does without {avoided}, because of the rule that came first: {first.proposal.why}"
                one = replace(one, proposal=replace(one.proposal, notes=(note,)))
            return one
        if distilled is None or code not in ("SINGLE_DIMENSION", "MIXED_PRODUCTS", "KNOWS_THE_LABEL"):
            break
        if code == "MIXED_PRODUCTS":
            barred |= {"product_interest"}
        else:
            same = {dimension_of(name) for name in distilled.facts}
            barred |= {name for name in material.conditioned if dimension_of(name) in same}
    return first or _Found(bare, rows)


def _judged(
    c: int,
    bare: Proposal,
    distilled: Distilled | None,
    material: Material,
    settings: Settings,
    rows: Bools,
    learn: Bools,
    groups: int,
) -> _Found:
    kept, domain, on = material.kept, material.domain, material.on
    if distilled is None:
        refused = condition_refusal(None, 0, 0, ())
        reason, why = refused or (None, "")
        overlaps = _shown(overlaps_of(rows, material.standing, kept))
        return _Found(replace(bare, rejected=reason, why=why, overlaps=overlaps), rows)
    inside = evaluate(distilled.enter, material.conditioned, domain, on) & kept
    words = slug(distilled.enter)
    words = "_".join(distilled.facts[:2]) if words == "cluster" else words
    name = "_".join(["draft", str(c + 1), *words.split("_")[:NAME_WORDS]])[:48].rstrip("_")
    distilled, inside = guarded(distilled, rows[kept], learn, inside, material)
    earlier = evaluate(distilled.enter, material.before, domain, on) & material.kept_before
    overlaps = overlaps_of(inside, material.standing, kept)
    proposal = replace(
        bare,
        segment_id=name,
        distilled=distilled,
        says=_english(distilled.enter, material),
        members=int(inside.sum()),
        conversion=_conversion(earlier, material.converted, material.kept_before, groups),
        overlaps=_shown(overlaps),
        reach=material.reach.of(inside) if material.reach else None,
        suggestion=suggestion_of(bare.traits, inside, material, overlaps),
    )
    definition = draft_of(proposal, material, inside, c + 1)
    refused = condition_refusal(distilled, proposal.members, int(kept.sum()), bare.traits)
    refused = refused or covered(overlaps, material.standing)
    if refused is None and (wrong := lint_refusal(definition, material, settings)) is not None:
        refused = wrong[1:]
    reason, why = refused or (None, "")
    return _Found(replace(proposal, rejected=reason, why=why), inside, definition)


def _lineage(clusters: Sequence[_Found], material: Material, previous: Previous) -> dict[str, Lineage]:
    """What became of the approved segments, and of the groups of the run before."""
    kept = material.kept
    after = {one.proposal.name: one.mask[kept] for one in clusters}
    approved = {s.segment_id: s.member[kept] for s in material.standing if s.approved and not s.residual}
    found = {"approved": match(approved, after)} if approved else {}
    if previous.groups:
        found["previous"] = match(previous.masks(material.lead_ids[kept]), after)
    return found


def _recognised(clusters: Sequence[_Found], lineage: Lineage | None) -> list[_Found]:
    """Clusters that are an approved segment under that segment's id.

    INVARIANT: what is the same as an approved segment is never proposed as a new one.
    """
    same = {row.after: row.before for row in lineage.of("same")} if lineage else {}
    parts = [*lineage.of("split"), *lineage.of("merged")] if lineage else []
    found = []
    for one in clusters:
        segment_id = same.get(one.proposal.name)
        if segment_id is not None:
            proposal = replace(one.proposal, identity=segment_id)
            if proposal.rejected is None:
                why = f"You have it already: it is the segment {segment_id}, seen again in the data."
                proposal = replace(proposal, rejected=f"the same as {segment_id}", why=why)
            elif segment_id not in proposal.why:
                proposal = replace(proposal, why=f"{proposal.why} Most of it is the segment {segment_id}.")
            one = replace(one, proposal=proposal)
        elif one.proposal.rejected is None:
            kin = [relation_in_words(row) for row in parts if row.after == one.proposal.name]
            one = replace(one, proposal=replace(one.proposal, notes=(*kin, *one.proposal.notes)))
        found.append(one)
    return found


def _named(clusters: Sequence[_Found], lineage: Lineage | None, material: Material) -> list[_Found]:
    """Drafts with the id that the same group had in the run before: a number of a cluster is chance, an id is not."""
    if lineage is None:
        return list(clusters)
    same = {row.after: row.before for row in lineage.of("same")}
    taken = {one.proposal.segment_id for one in clusters if one.proposal.rejected is None}
    found = []
    for place, one in enumerate(clusters, start=1):
        before = same.get(one.proposal.name)
        if one.proposal.rejected is None and before and before.startswith("draft_") and before not in taken:
            proposal = replace(one.proposal, segment_id=before)
            one = _Found(proposal, one.mask, draft_of(proposal, material, one.mask, place))
        found.append(one)
    return found


def _hygienic(
    clusters: Sequence[_Found], material: Material, settings: Settings, quality: QualityReport | None
) -> list[_Found]:
    """Refuse drafts that would be inactive at once, because a field of their condition is below its minimum."""
    drafts = [one.definition for one in clusters if one.proposal.rejected is None and one.definition is not None]
    if not drafts or material.tables is None:
        return list(clusters)
    # Gates judge what is active, so the drafts are judged as if somebody had approved them; nobody sees this map.
    signed = Approval(by="nobody", on=material.on, expires_on=material.on, reference="hygiene")
    active = [d.model_copy(update={"approval": signed, "status": "approved"}) for d in drafts]
    residual = [d for d in settings.segments if d.residual]
    gates = judge(
        material.tables, settings, SegmentMap([*active, *residual], material.domain), material.as_of, quality
    ).failed
    says = {gate.name: gate.says.removeprefix(f"{gate.name}: ") for gate in reversed(gates) if gate.kind == "segment"}
    found = []
    for one in clusters:
        failed = says.get(one.proposal.segment_id or "") if one.proposal.rejected is None else None
        if failed is not None:
            why = f"It would stand on a field that cannot be relied on: {failed}. Complete the field first."
            one = replace(one, proposal=replace(one.proposal, rejected=f"below hygiene: {failed}", why=why))
        found.append(one)
    return found


def _remapped(clusters: Sequence[_Found], material: Material, found: Clustering) -> list[_Found]:
    """Say of groups that are too small what to merge them into, or what to map their content to."""
    proposals, masks = [one.proposal for one in clusters], [one.mask for one in clusters]
    done = []
    for c, one in enumerate(clusters):
        if (one.proposal.rejected or "").startswith("tiny"):
            remap = remap_of(one.mask, proposals, masks, material, found, c)
            one = replace(one, proposal=replace(one.proposal, remap=remap))
        done.append(one)
    return done


def _conversion(inside: Bools, converted: Bools, kept: Bools, groups: int) -> Conversion | None:
    """What came of who met a condition then, all of them among `kept`; compared with the rest of `kept`."""
    if not kept.any():
        return None
    own, everybody = (Share(int((rows & converted).sum()), int(rows.sum())) for rows in (inside, kept))
    others = Share(everybody.hits - own.hits, everybody.of - own.of)
    low, high = newcombe(own, others, z_for(groups))
    surely: Literal["more", "less"] | None = "more" if low > 0 else "less" if high < 0 else None
    base = everybody.rate
    lift = own.rate / base if base else 0.0
    return Conversion(own.of, own.hits, own.rate, *wilson(own.hits, own.of), base, lift, surely)


def _english(text: str, material: Material) -> str:
    """A condition in words; counts and columns of an export are called what their declarations say."""
    domain = material.domain
    said = as_english(parse(text, domain.facts, domain.parameters), domain, material.on)
    spoken = [name for name in domain.facts if not material.in_map or "_count_" in name]
    for name in sorted(spoken, key=len, reverse=True):
        said = re.sub(rf"\b{re.escape(name.replace('_', ' '))}\b(?= is)", domain.facts[name].says, said)
    return re.sub(r"is at most 0\b", "is 0", said)


def _shown(overlaps: Mapping[str, float]) -> dict[str, float]:
    ordered = sorted(overlaps.items(), key=lambda pair: (-pair[1], pair[0]))
    return {name: share for name, share in ordered if share >= SHOWN_OVERLAP}


def _silent(step: str, share: float) -> None:
    """Tell nobody."""
