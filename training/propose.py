"""Propose segments from data: cluster, say each cluster in a readable condition, and write drafts for a person to edit.

Nothing here changes the segment map. Behavior is taken as of a date; whether a proposed condition goes with conversion
is measured one horizon earlier, on what was known then and what came after, so that the answer is never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import parse
from configs.definitions import FallbackStep, SegmentDefinition, SizeGuardrail
from configs.errors import InputInvalid
from configs.settings import Settings
from features.evaluate import Domain, as_english
from features.facts import FactBuilder, Facts, facts_of
from features.inventory import Inventory
from features.pipeline import Features, features_of, fit_spec
from features.tables import YES, Tables, microseconds
from features.view import view_at
from models.clustering import SIZES, CandidateSegment, Clustering, MixedColumns, cluster
from models.distill import Distilled, distill, evaluate, slug
from models.segment_lint import FILL_IN, MAX_OVERLAP, jaccard, lint
from models.segment_map import SegmentMap
from training.proposal_files import write_proposal

Progress = Callable[[str, float], None]
Bools = NDArray[np.bool_]

# Where someone lives, came from or stands with us is no need of theirs; a condition focus is health data.
NOT_CLUSTERED = ("country", "source", "referral_source", "lifecycle", "condition_focus", "audience")
NOT_IN_CONDITIONS = (
    "jurisdiction",
    "lead_source",
    "referral_source",
    "lifecycle",
    "condition_focus",
    "preferred_channel",
    "account_kind",
)
PRIVATE_AUDIENCES = ("patient", "caregiver")
DRAFT_FINDINGS = ("NOT_APPROVED", "UNFILLED", "NO_ACTIVATION_PLAN", "REVIEW_DUE")
MIN_FIDELITY = 0.6
MIN_KNOWN = 0.3
MIN_LEADS = 100
WINDOW = "_90d"
INTEREST = ("engagement_topic_", "engagement_depth_")
VOLUME = ("engagement_event_count_90d", "engagement_days_since_last_event", "engagement_distinct_channel_count_90d")


@dataclass(frozen=True, slots=True)
class Conversion:
    """Leads that met a condition one horizon ago, and how many of them converted since, with a 95 % interval."""

    leads: int
    converted: int
    rate: float
    low: float
    high: float
    base_rate: float
    lift: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """One cluster: what was found, and why it is or is not proposed."""

    candidate: CandidateSegment
    segment_id: str | None
    distilled: Distilled | None
    says: str
    members: int
    conversion: Conversion | None
    overlaps: Mapping[str, float]
    rejected: str | None


@dataclass(frozen=True, slots=True)
class ProposalReport:
    """Everything the proposal found, every cluster with its outcome, and the files it wrote."""

    as_of: datetime
    horizon_days: int
    leads: int
    left_out: Mapping[str, int]
    clustering: Clustering
    proposals: tuple[Proposal, ...]
    files: tuple[Path, ...]

    @property
    def proposed(self) -> tuple[Proposal, ...]:
        """The clusters that became a draft."""
        return tuple(proposal for proposal in self.proposals if proposal.rejected is None)


def propose(
    tables: Tables,
    settings: Settings,
    as_of: datetime,
    out: Path,
    *,
    progress: Progress | None = None,
    sizes: Sequence[int] = SIZES,
    seed: int = 7,
) -> ProposalReport:
    """Cluster leads as known at `as_of` and write drafts and a report to a folder.

    Args:
        tables: every table; outcomes are only used after the earlier snapshot.
        settings: the configuration, with the segment map that proposals are compared with.
        as_of: what may be known.
        out: the folder to write to.
        progress: told what is being done and the share of the whole that is done.
        sizes: numbers of clusters to try.
        seed: of everything that is drawn.
    """
    tell = progress or _silent
    tell("read what was known", 0.0)
    horizon = timedelta(days=settings.training.horizon_days)
    domain, builder = Domain.of(settings), FactBuilder.of(settings)
    inventory = Inventory.of((), settings.vocabularies)
    known = view_at(tables, as_of, builder.view)
    facts = facts_of(known, builder, inventory)
    features = features_of(known, fit_spec(settings, tables))
    kept, left_out = _eligible(known.present, facts, domain)
    if kept.sum() < MIN_LEADS:
        found_leads = f"expected at least {MIN_LEADS} leads known by {as_of.date().isoformat()} that may be clustered"
        raise InputInvalid("leads", f"{found_leads}, found {int(kept.sum())}")
    before = view_at(tables, as_of - horizon, builder.view)
    facts_before = facts_of(before, builder, inventory)
    kept_before = _eligible(before.present, facts_before, domain)[0]
    converted = _converted(tables, settings, as_of - horizon, as_of)

    found = cluster(
        _clustered(features, kept), sizes=sizes, seed=seed, progress=lambda step, share: tell(step, 0.15 + 0.6 * share)
    )
    tell("compare with the segment map", 0.75)
    segment_map = SegmentMap.load(settings, domain)
    member = segment_map.members(facts, as_of=as_of).member
    columns = _conditioned(facts, domain, settings)
    on = as_of.astimezone(UTC).date()
    proposals: list[Proposal] = []
    for c, candidate in enumerate(found.candidates):
        tell(f"write {candidate.candidate_id} as a condition", 0.75 + 0.2 * c / len(found.candidates))
        if candidate.rejected is not None:
            proposals.append(Proposal(candidate, None, None, "", candidate.size, None, {}, candidate.rejected))
            continue
        own = {name: values[kept] for name, values in columns.items()}
        distilled = distill(found.labels == c, own, domain, on, seed=seed)
        if distilled is None:
            reason = "no short condition tells its members from the rest"
            proposals.append(Proposal(candidate, None, None, "", candidate.size, None, {}, reason))
            continue
        inside = evaluate(distilled.enter, columns, domain, on) & kept
        earlier = evaluate(distilled.enter, _conditioned(facts_before, domain, settings), domain, on) & kept_before
        overlaps = {i: jaccard(inside, member[:, s] & kept) for s, i in enumerate(segment_map.segment_ids)}
        says = as_english(parse(distilled.enter, domain.facts, domain.parameters), domain, on)
        proposal = Proposal(
            candidate,
            f"draft_{c + 1}_{slug(distilled.enter)}",
            distilled,
            says,
            int(inside.sum()),
            _conversion(earlier, converted, kept_before),
            {i: share for i, share in overlaps.items() if share >= 0.05},
            None,
        )
        definition = draft_of(proposal, facts, inside, domain, as_of)
        refusal = _refused(proposal, overlaps, definition, segment_map, settings)
        proposals.append(replace(proposal, rejected=refusal))
    tell("write drafts and report", 0.95)
    drafts = {
        proposal.segment_id or "": draft_of(
            proposal, facts, evaluate(proposal.distilled.enter, columns, domain, on) & kept, domain, as_of
        )
        for proposal in proposals
        if proposal.rejected is None and proposal.distilled is not None
    }
    files = write_proposal(
        out, summary_of(as_of, horizon.days, int(kept.sum()), left_out, found, proposals), found, drafts
    )
    tell("done", 1.0)
    return ProposalReport(as_of, horizon.days, int(kept.sum()), left_out, found, tuple(proposals), files)


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share that stays inside 0 and 1 and is wide where little is known; (0, 1) for no rows."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, middle - half), min(1.0, middle + half)


def draft_of(proposal: Proposal, facts: Facts, inside: Bools, domain: Domain, as_of: datetime) -> SegmentDefinition:
    """A definition that loads but is not approved, and that marks what a person must write."""
    if proposal.distilled is None or proposal.segment_id is None:
        raise ValueError("a draft needs a condition")
    fidelity = proposal.distilled.fidelity
    return SegmentDefinition(
        id=proposal.segment_id,
        version=1,
        title=f"{FILL_IN}: a name that people will use",
        unit="lead",
        purpose="medical_education",
        audience=_audiences(facts, inside, domain),
        priority=500 + int(proposal.candidate.candidate_id.rsplit("_", 1)[1]),
        enter=proposal.distilled.enter,
        exit=proposal.distilled.exit,
        min_dwell_days=30,
        reentry="after_dwell",
        fallback=(
            FallbackStep(
                says=f"{FILL_IN}: where a lead goes when one of {', '.join(proposal.distilled.facts)} is missing"
            ),
        ),
        hypothesis=f"{FILL_IN}: which information will matter to them, and why",
        themes=(f"{FILL_IN}: message themes",),
        offers={},
        channel_plan=(),
        next_best_action=f"{FILL_IN}: what should be done next",
        author=f"{FILL_IN}: who wrote this definition; somebody else approves it",
        owner=f"{FILL_IN}: who answers for this segment",
        size=SizeGuardrail(min_leads=max(30, proposal.members // 3), max_share=0.4),
        primary_kpi=f"{FILL_IN}: how success is measured",
        conversion_event=f"{FILL_IN}: the declared next step",
        data_sources=(f"clustering as of {as_of.date().isoformat()}, F1 {fidelity.f1:.2f} on held-out leads",),
        approval=None,
        review_on=(as_of + timedelta(days=90)).date(),
    )


def summary_of(
    as_of: datetime,
    horizon_days: int,
    leads: int,
    left_out: Mapping[str, int],
    found: Clustering,
    proposals: list[Proposal],
) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "as_of": as_of.isoformat(),
        "horizon_days": horizon_days,
        "leads": leads,
        "left_out": dict(left_out),
        "clustered_sample": found.sampled,
        "chosen": asdict(found.chosen),
        "trials": [asdict(trial) for trial in found.trials],
        "proposals": [asdict(proposal) for proposal in proposals],
    }


def _silent(step: str, share: float) -> None:
    """Tell nobody."""


def _eligible(present: Bools, facts: Facts, domain: Domain) -> tuple[Bools, dict[str, int]]:
    """Leads that may be clustered, and how many are left out and why.

    INVARIANT: patients, caregivers, and people who objected to profiling or asked for erasure are never clustered.
    """
    kept = present.copy()
    left_out = {"not known yet": int(np.sum(~present))}
    private = [domain.code("audience", value) for value in PRIVATE_AUDIENCES]
    for reason, rows in (
        ("patients and caregivers", np.isin(_column(facts, "audience"), private)),
        ("objected to profiling", _column(facts, "profiling_objection") == YES),
        ("erasure or restriction", _column(facts, "erased_or_restricted") == YES),
    ):
        left_out[reason] = int(np.sum(kept & rows))
        kept &= ~rows
    return kept, left_out


def _column(facts: Facts, name: str) -> NDArray[Any]:
    return np.broadcast_to(facts.columns[name].reshape(-1), (facts.n,))


def _converted(tables: Tables, settings: Settings, after: datetime, until: datetime) -> Bools:
    """Leads with a target outcome after one instant and up to another."""
    reached = np.zeros(len(tables.lead_ids), dtype=np.bool_)
    if tables.outcomes:
        codes = [settings.vocabularies["outcome_kind"].code(kind) for kind in settings.training.target_kinds]
        lead, at = tables.outcomes["lead"], tables.outcomes["occurred_at"]
        inside = (at > microseconds(after)) & (at <= microseconds(until)) & np.isin(tables.outcomes["kind"], codes)
        reached[lead[inside & (lead >= 0)]] = True
    return reached


def _clustered(features: Features, kept: Bools) -> MixedColumns:
    """The features that describe a need: what the lead and account are, what they read about, and how much they do.

    A field that is unknown for most leads is left out: no segment should stand on it. Topics and depths are taken as
    shares of the lead's own 90 days: interest, not volume, is what tells needs apart.
    """
    spec, matrix = features.spec, features.matrix[kept]
    categories = [
        i
        for i in spec.categorical
        if spec.features[i].field not in NOT_CLUSTERED and np.mean(matrix[:, i] > 0) >= MIN_KNOWN
    ]
    codes = np.nan_to_num(matrix[:, categories], nan=0.0).astype(np.int16)
    interest = [i for i, name in enumerate(spec.names) if name.startswith(INTEREST) and name.endswith(WINDOW)]
    volume = [i for i, name in enumerate(spec.names) if name in VOLUME]
    numbers = matrix[:, [*volume, *interest]]
    for prefix in INTEREST:
        own = [len(volume) + j for j, i in enumerate(interest) if spec.names[i].startswith(prefix)]
        total = numbers[:, own].sum(axis=1, keepdims=True)
        numbers[:, own] /= np.where(total > 0, total, np.nan)
    names = spec.names
    return MixedColumns(
        tuple(names[i] for i in (*volume, *interest)), numbers, tuple(names[i] for i in categories), codes
    )


def _conditioned(facts: Facts, domain: Domain, settings: Settings) -> dict[str, NDArray[Any]]:
    """The facts a draft's condition may use: what the lead and account are, and 90-day counts; no label, no stop."""
    found: dict[str, NDArray[Any]] = {}
    for name, declared in domain.facts.items():
        counted = declared.type == "int" and name.endswith(f"_count{WINDOW}") and "colleague" not in name
        described = declared.type == "enum" and name not in NOT_IN_CONDITIONS
        about_label = any(name.startswith(f"{kind}_") for kind in settings.training.target_kinds)
        if declared.per == "lead" and (counted or described) and not about_label and name in facts.columns:
            found[name] = _column(facts, name)
    return found


def _conversion(inside: Bools, converted: Bools, kept: Bools) -> Conversion:
    n, hits = int(inside.sum()), int((inside & converted).sum())
    low, high = wilson(hits, n)
    base = float(converted[kept].mean()) if kept.any() else 0.0
    rate = hits / max(n, 1)
    return Conversion(n, hits, rate, low, high, base, rate / base if base else 0.0)


def _audiences(facts: Facts, inside: Bools, domain: Domain) -> tuple[str, ...]:
    """Audiences that make up a twentieth of the members or more."""
    codes = _column(facts, "audience")[inside]
    values = domain.facts["audience"].values
    found = tuple(v for code, v in enumerate(values, start=1) if codes.size and np.mean(codes == code) >= 0.05)
    return found or ("hcp",)


def _refused(
    proposal: Proposal,
    overlaps: Mapping[str, float],
    definition: SegmentDefinition,
    segment_map: SegmentMap,
    settings: Settings,
) -> str | None:
    """Why a cluster with a condition is still not proposed."""
    fidelity = proposal.distilled.fidelity if proposal.distilled else None
    if fidelity is None or fidelity.f1 < MIN_FIDELITY:
        return (
            f"a short condition reproduces it badly (F1 {fidelity.f1 if fidelity else 0:.2f}, {MIN_FIDELITY} expected)"
        )
    covered = {i: share for i, share in overlaps.items() if share >= MAX_OVERLAP}
    covered.pop(segment_map.segment_ids[segment_map.residual], None)
    if covered:
        segment_id = max(covered, key=covered.__getitem__)
        return f"already covered by {segment_id} (Jaccard {covered[segment_id]:.2f})"
    alone = SegmentMap([definition, segment_map.definitions[segment_map.residual]], segment_map.domain)
    findings = lint(alone, on=definition.review_on, label_kinds=settings.training.target_kinds)
    wrong = [
        f for f in findings if f.segment_id == definition.id and f.code not in DRAFT_FINDINGS and f.level == "error"
    ]
    return f"{wrong[0].code}: {wrong[0].reason}" if wrong else None
