"""The field's known mistakes in segment definitions, found before a segment is used.

Every finding names the file, the key, what is wrong and how to mend it (`models/segments/lint/findings.py` has them
all). An error must be mended before a definition is in use; a warning is for its owner to judge. What a draft lacks is
what it still needs: it fails nothing. Checks that need leads run when these were measured
(`models/segments/lint/data.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from configs.approvals import ApprovalStep
from configs.definitions import SegmentDefinition
from configs.references import references
from configs.settings import Settings
from models.segments.lint.conditions import condition_findings
from models.segments.lint.data import MAX_OVERLAP, Measured, data_findings, jaccard
from models.segments.lint.findings import CODES, FILL_IN, Finding, finding
from models.segments.lint.plan import (
    approval_findings,
    naming_findings,
    plan_findings,
    source_findings,
    text_findings,
    was_proposed,
)
from models.segments.map import SegmentMap

__all__ = ["CODES", "FILL_IN", "MAX_OVERLAP", "MAX_SEGMENTS", "Finding", "finding", "jaccard", "lint"]

MAX_SEGMENTS = 40


def lint(
    segment_map: SegmentMap,
    *,
    on: date,
    settings: Settings | None = None,
    label_kinds: Sequence[str] = (),
    measured: Measured | None = None,
    strict: bool = False,
) -> list[Finding]:
    """Every finding about the definitions of a map as of a day, in the order of the map.

    Args:
        segment_map: the definitions to judge, drafts too if they are to be judged; retired ones are no part of it.
        on: the day approvals and reviews are judged on.
        settings: what the definitions stand among: content, outcomes, approvals, files, retired segments. Without
            them a definition is judged alone.
        label_kinds: outcome kinds that readiness is trained on; those of the settings when these are given.
        measured: who is in which segment; without it sizes, overlap and fields are not judged.
        strict: judge drafts as if they were proposed. Else what only a person can supply is a warning on a draft.
    """
    steps = settings.approvals if settings is not None else ()
    kinds = settings.targets.served.kinds if settings is not None else label_kinds
    found: list[Finding] = []
    titles: dict[str, str] = {}
    for activation in segment_map.activations:
        definition = activation.definition
        found += condition_findings(activation, segment_map.domain, on, kinds)
        found += _words(definition, titles, settings, on)
        if settings is not None:
            found += source_findings(definition, activation.facts, settings.facts)
        found += approval_findings(definition, steps, on)
        titles.setdefault(definition.title.strip().casefold(), definition.id)
    found += _together(segment_map)
    if settings is not None:
        found += _retired(segment_map, settings)
    if measured is not None:
        found += data_findings(segment_map, measured, settings.segments if settings is not None else ())
    return [_placed(one, segment_map, settings, steps, strict=strict) for one in found]


def _words(
    definition: SegmentDefinition, titles: Mapping[str, str], settings: Settings | None, on: date
) -> Iterator[Finding]:
    assets = None if settings is None else {asset.asset_id: asset for asset in settings.assets}
    outcomes = None if settings is None else settings.vocabularies["outcome_kind"].values
    without = () if settings is None else settings.actions.without_asset_channels
    yield from plan_findings(definition, assets=assets, outcome_kinds=outcomes, without_asset=without, on=on)
    yield from text_findings(definition)
    yield from naming_findings(definition, titles)


def _together(segment_map: SegmentMap) -> Iterator[Finding]:
    """Too many, and ties between them; drafts count for neither, but a draft's own tie is said of the draft."""
    counted = [d for d in segment_map.definitions if d.status in ("approved", "proposed")]
    if len(counted) > MAX_SEGMENTS:
        reason = f"{len(counted)} segments are approved or proposed, at most {MAX_SEGMENTS} can be kept up"
        yield Finding("segments", "", "segments", "error", "SPRAWL", reason, CODES["SPRAWL"].mend, "approved")
    seen: dict[int, str] = {}
    for definition in sorted(segment_map.definitions, key=lambda d: (d.status == "draft", d.priority, d.id)):
        if definition.priority in seen:
            reason = f"shares priority {definition.priority} with {seen[definition.priority]}; the id decides"
            yield finding(definition, "priority", "SAME_PRIORITY", reason)
        seen.setdefault(definition.priority, definition.id)


def _retired(segment_map: SegmentMap, settings: Settings) -> Iterator[Finding]:
    """What names a retired segment, and successors that cannot take over."""
    retired = {d.id: d for d in settings.segments if d.status == "retired"}
    overlays = {a.definition.id for a in segment_map.activations if a.overlay}
    status = {d.id: d.status for d in settings.segments}
    for definition in retired.values():
        successor = _heir(definition, retired)
        if successor is not None and status.get(successor) != "approved":
            reason = f"its successor {successor} is {status.get(successor, 'not defined')}"
            yield finding(definition, "replaced_by", "RETIRED_REFERENCE", reason)
        elif successor in overlays:
            reason = f"its successor {successor} looks at readiness"
            yield finding(definition, "replaced_by", "OVERLAY_NOT_PRIMARY", reason)
    for reference in references(dict(settings)):
        if reference.segment_id in retired:
            definition = retired[reference.segment_id]
            instead = f"; its successor is {definition.replaced_by}" if definition.replaced_by else ""
            reason = f"names {reference.segment_id}, which is retired{instead}"
            yield replace(finding(definition, reference.key, "RETIRED_REFERENCE", reason), file=reference.file)


def _heir(definition: SegmentDefinition, retired: Mapping[str, SegmentDefinition]) -> str | None:
    """Who has taken over by now: a successor may have been retired in its turn, with one of its own or with none.

    A retirement is final, so nobody could mend a complaint about an earlier link of the chain.
    """
    heir, seen = definition.replaced_by, {definition.id}
    while heir is not None and heir in retired and heir not in seen:
        seen.add(heir)
        heir = retired[heir].replaced_by
    return None if heir in retired else heir


def _placed(
    one: Finding, segment_map: SegmentMap, settings: Settings | None, steps: Sequence[ApprovalStep], *, strict: bool
) -> Finding:
    """A finding with its file, and with the status that decides whether it fails the lint."""
    files = settings.files if settings is not None else {}
    own = next((d for d in segment_map.definitions if d.id == one.segment_id), None)
    status = one.status or (own.status if own is not None else "retired")
    if own is not None and own.status == "draft":
        status = "edited" if was_proposed(own, steps) else "strict" if strict else "draft"
    waits = status == "draft" and CODES[one.code].by_a_person
    return replace(
        one,
        file=one.file or files.get(("segments", one.segment_id), "segments"),
        status=status,
        level="warning" if waits else one.level,
    )
