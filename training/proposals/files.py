"""What a proposal leaves behind: one draft a segment, a report as JSON, one offline page with pictures, and members."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from configs.definitions import SegmentDefinition
from models.candidates.clustering import STABLE
from models.candidates.lineage import Descent
from training.proposals.folder import Previous, clear_drafts, digest_of, told_of_edits, write_members
from training.proposals.material import Material
from training.proposals.pictures import pictures_of
from training.proposals.proposal import ProposalReport
from training.proposals.telling import LARGE, MEDIUM, SMALL, percent

Bools = NDArray[np.bool_]

# Not for a person to write, or nothing to write yet.
NOT_WRITTEN = ("residual", "key_contacts", "status", "approval", "replaced_by")
DRAFT_HEADER = """\
# A draft that clustering proposed. It is not active, and this file cannot make it so: somebody else approves it.
# Before that, a person gives it an id of its own, writes every text that starts with FILL IN (what stands behind
# "suggested" is only an idea), gives offers by stage and a channel plan, decides purpose, product and priority, reads
# enter and exit aloud, moves this file to configs/segments/, runs `leadwell segments lint`, and hands it in with
# `leadwell segments submit`.
"""
FLAT_HEADER = """\
# NOT FOR THE SEGMENT MAP YET: its conditions look at columns of an export, which are no facts that a segment may use.
# Declare them as facts and let the regular import fill them first.
"""


def write_proposal(
    out: Path,
    report: ProposalReport,
    drafts: Mapping[str, SegmentDefinition],
    groups: Mapping[str, Bools],
    material: Material,
    previous: Previous,
) -> ProposalReport:
    """Write drafts, pictures, members and reports, and return the report with its files.

    Drafts of an earlier run are removed, so that the folder tells one story; those that a person has edited are not.
    """
    edited = clear_drafts(out, previous)
    for old in [*out.glob("profile_*.png"), *out.glob("reach_*.png"), *out.glob("lineage_*.png")]:
        old.unlink()
    kept = {name: previous.drafts[name] for name in edited if name in previous.drafts}
    header = DRAFT_HEADER + ("" if material.in_map else FLAT_HEADER)
    texts = {name: (header + yaml_of(d)).encode() for name, d in drafts.items() if name not in edited}
    report = replace(report, notes=(*report.notes, *told_of_edits(edited, tuple(drafts))))
    digests = kept | {name: digest_of(text) for name, text in texts.items()}
    summary = summary_of(report, material, previous) | {"drafts": digests}
    # First what tells the next run which drafts are the program's own: a run that dies now has written no stranger's.
    (out / "report.json").write_text(json.dumps(summary, indent=1, default=str) + "\n", encoding="utf-8")
    for name, text in texts.items():
        (out / f"{name}.yaml").write_bytes(text)
    pictures = pictures_of(report)
    for name, png in pictures.items():
        (out / f"{name}.png").write_bytes(png)
    members = write_members(out, material.lead_ids, groups)
    (out / "report.html").write_text(page_of(summary, pictures), encoding="utf-8")
    made = (*(out / f"{name}.yaml" for name in texts), *(out / f"{name}.png" for name in pictures), members)
    return replace(report, files=(*made, out / "report.json", out / "report.html"))


def summary_of(report: ProposalReport, material: Material, previous: Previous) -> dict[str, Any]:
    """The report as plain values."""
    found = report.clustering
    proposals = []
    for proposal in report.proposals:
        plain = asdict(proposal) | {"name": proposal.name}
        if proposal.conversion is not None:
            plain["conversion"] |= {
                "lift_low": proposal.conversion.lift_low,
                "lift_high": proposal.conversion.lift_high,
            }
        proposals.append(plain)
    return {
        "as_of": report.as_of.isoformat(),
        "day": report.as_of.date().isoformat(),
        "horizon_days": report.horizon_days,
        "leads": report.leads,
        "left_out": dict(report.left_out),
        "fields_left_out": [asdict(one) for one in report.fields_left_out],
        "clustered_on": {
            "numbers": list(material.clustered.number_names),
            "categories": list(material.clustered.category_names),
        },
        "votes": dict(sorted(found.votes.items(), key=lambda one: (-one[1], one[0]))),
        "clustered_sample": found.sampled,
        "chosen": asdict(found.chosen),
        "trials": [asdict(trial) for trial in found.trials],
        "proposals": proposals,
        "standing": {one.segment_id: one.status for one in material.standing},
        "lineage": {
            name: [asdict(row) | {"says": descent_in_words(row, name)} for row in lineage.rows]
            for name, lineage in report.lineage.items()
        },
        "previous_as_of": previous.as_of,
        "in_map": material.in_map,
        "notes": list(report.notes),
    }


def descent_in_words(row: Descent, against: str) -> str:
    """One line of a lineage as a person would say it."""
    old = f"the segment {row.before}" if against == "approved" else f"{row.before} of the run before"
    match row.kind:
        case "same":
            again = f"{percent(row.kept)} of its people are in it again (overlap {percent(row.jaccard)})"
            name = f"A group of this run is {old}" if row.after == row.before else f"{row.after} is {old}"
            return f"{name}: {again}."
        case "split":
            return f"{row.after} is a part of {old}: {percent(row.drawn)} of its people come from there."
        case "merged":
            return f"{old[0].upper()}{old[1:]} went into {row.after}: {percent(row.kept)} of its people are there now."
        case "new":
            return f"{row.after} is new."
        case _:
            tail = "no group of this run" if against == "approved" else "no group now"
            return f"{old[0].upper()}{old[1:]}: {tail} holds most of its people."


def page_of(summary: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The report as one page without anything to load."""
    environment = Environment(loader=PackageLoader("training"), autoescape=True, undefined=StrictUndefined)
    inline = {name: "data:image/png;base64," + base64.b64encode(png).decode() for name, png in pictures.items()}
    return environment.get_template("proposal.html").render(
        report=summary, pictures=inline, stable=STABLE, effects={"small": SMALL, "medium": MEDIUM, "large": LARGE}
    )


def yaml_of(definition: SegmentDefinition) -> str:
    """One key a line with JSON values, which is YAML too; conditions are folded so that they can be read."""
    lines = []
    for key, value in definition.model_dump(mode="json").items():
        if key in NOT_WRITTEN:
            continue
        if key in ("enter", "exit"):
            lines.append(f"{key}: >-\n  {value}")
        elif value not in (None, "", {}, []) or key in ("offers", "channel_plan", "product"):
            lines.append(f"{key}: {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
