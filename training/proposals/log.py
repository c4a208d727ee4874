"""What MLflow keeps of a proposal: how it was clustered, each group with its numbers, pictures, drafts and the report.

No lead id goes there: `members.parquet` stays in the folder of the proposal.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.candidates.lineage import ORDER
from training.proposals.folder import MEMBERS
from training.proposals.proposal import Proposal, ProposalReport
from training.registry.tracking import PROPOSALS, RunRecord, TrackedRun, track

FOLDERS: Mapping[str, str] = {".png": "pictures", ".yaml": "drafts"}


def log_proposal(report: ProposalReport, artifacts: Path, name: str, *, seed: int = 7) -> TrackedRun:
    """One parent run in the experiment of proposals, with a child for each group, proposed or not."""
    files: dict[str, list[Path]] = {}
    for file in report.files:
        if file.name != MEMBERS:
            files.setdefault(FOLDERS.get(file.suffix, ""), []).append(file)
    chosen, lineage = report.clustering.chosen, report.lineage
    metrics: dict[str, float] = {
        "leads": report.leads,
        "groups": len(report.proposals),
        "proposed": len(report.proposed),
        "agreement": chosen.agreement,
        "structure": chosen.structure,
        "stable_groups": chosen.stable,
        **{f"left_out.{reason.replace(' ', '_')}": count for reason, count in report.left_out.items()},
        **{f"{against}.{kind}": len(one.of(kind)) for against, one in lineage.items() for kind in ORDER},
        **{f"{against}.kept_identity": one.kept_identity() for against, one in lineage.items()},
    }
    return track(
        artifacts,
        RunRecord(
            name=name,
            params={
                "method": chosen.method,
                "groups": chosen.k,
                "sizes_tried": ", ".join(str(k) for k in sorted({trial.k for trial in report.clustering.trials})),
                "methods_tried": ", ".join(sorted({trial.method for trial in report.clustering.trials})),
                "seed": seed,
                "horizon_days": report.horizon_days,
                "fields_left_out": ", ".join(one.field for one in report.fields_left_out),
            },
            metrics=metrics,
            tags={"as_of": report.as_of.isoformat()},
            segments={proposal.name: metrics_of(proposal) for proposal in report.proposals},
            segment_tags={
                proposal.name: {"outcome": proposal.rejected or "proposed", "enter": _enter(proposal)}
                for proposal in report.proposals
            },
            files={folder: tuple(own) for folder, own in files.items()},
        ),
        PROPOSALS,
    )


def metrics_of(proposal: Proposal) -> dict[str, float]:
    """The numbers of one group; what could not be measured is left out."""
    found: dict[str, float] = {
        "size": proposal.candidate.size,
        "share": proposal.candidate.share,
        "stability": proposal.candidate.jaccard,
        "proposed": float(proposal.rejected is None),
    }
    if proposal.distilled is not None:
        fidelity = proposal.distilled.fidelity
        found |= {"members": proposal.members, "precision": fidelity.precision, "recall": fidelity.recall}
        found["f1"] = fidelity.f1
    conversion = proposal.conversion
    if conversion is not None and conversion.leads and conversion.base_rate:
        found |= {"conversion_rate": conversion.rate, "lift": conversion.lift}
        found |= {"lift_low": conversion.lift_low, "lift_high": conversion.lift_high}
    if proposal.reach is not None:
        for purpose, channels in proposal.reach.by_channel.items():
            word = purpose.replace(" ", "_")
            found |= {f"reach.{word}.{channel}": count for channel, count in channels.items()}
            found[f"reach.{word}.any"] = proposal.reach.anyhow[purpose]
    if proposal.overlaps:
        found["largest_overlap"] = max(proposal.overlaps.values())
    return found


def _enter(proposal: Proposal) -> str:
    return proposal.distilled.enter if proposal.distilled is not None else ""
