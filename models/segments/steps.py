"""What must hold before a segment takes its next step: from draft to proposed, approved, reviewed and retired.

Each function looks at the settings as they are and either makes the step or raises InputInvalid with the reason, or
ConfigInvalid with every error of the lint. The order of steps and who may take them is decided in
`configs/approvals.py`; here is what only the whole map can tell: what the lint says, what refers to a segment, who
takes over.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from pydantic import ValidationError

from configs.approvals import ApprovalStep, Standing, standings, version_taken
from configs.definitions import SegmentDefinition
from configs.errors import ConfigInvalid, InputInvalid, Problem
from configs.references import references_to
from configs.settings import Settings
from features.evaluate import Domain
from models.segments.lint.judge import FILL_IN, Finding, lint
from models.segments.map import SegmentMap

# A definition that is about to be approved is not approved yet.
_OF_APPROVAL = ("NOT_APPROVED", "APPROVAL_EXPIRED", "EDITED_AFTER_APPROVAL")


def submission(settings: Settings, segment_id: str, by: str, on: date, note: str | None = None) -> ApprovalStep:
    """The step that asks for approval; refused where the lint finds an error or the version's number is used up."""
    definition = definition_of(settings, segment_id)
    if version_taken(definition, settings.approvals):
        used = f"version {definition.version} of {segment_id} was approved with other content"
        raise InputInvalid(_file(settings, segment_id), f"{used}: write version: {_next(settings, definition)}")
    if FILL_IN in definition.author:
        raise InputInvalid(_file(settings, segment_id), "expected who wrote the definition", field="author")
    _refuse_errors(settings, definition, on)
    return _allowed(settings, definition, step="proposed", by=by, on=on, note=note)


def approval(
    settings: Settings,
    segment_id: str,
    by: str,
    on: date,
    until: date,
    reference: str,
    *,
    seen: str | None = None,
    note: str | None = None,
) -> ApprovalStep:
    """The step that lets a segment be used; `seen` is the beginning of the hash of what the approver has read."""
    definition = definition_of(settings, segment_id)
    standing = standing_of(settings, definition)
    if seen is not None and (len(seen) < 8 or not definition.content_hash.startswith(seen.lower())):
        expected = f"the definition is {definition.content_hash[:12]} now: read it again, then approve that"
        raise InputInvalid(_file(settings, segment_id), expected)
    if standing.waiting is None and standing.approved is None and standing.retired is None:
        asked = [s for s in settings.approvals if s.segment == segment_id and s.step == "proposed"]
        told = "is a draft that nobody proposed"
        if asked:
            told = f"was edited since it was proposed on {asked[-1].on.isoformat()}, so it is a draft again"
        raise InputInvalid(_file(settings, segment_id), f"{segment_id} {told}: leadwell segments submit {segment_id}")
    if until < on:
        raise InputInvalid("--until", f"expected a day not before {on.isoformat()}")
    _refuse_errors(settings, definition, on)
    return _allowed(
        settings, definition, step="approved", by=by, on=on, expires_on=until, reference=reference, note=note
    )


def review_outcome(
    settings: Settings,
    segment_id: str,
    by: str,
    on: date,
    outcome: str,
    next_on: date | None,
    note: str | None = None,
    evidence: tuple[str, ...] = (),
) -> ApprovalStep:
    """The step that records what a review said of the hypothesis, on what evidence, and when to look again."""
    definition = definition_of(settings, segment_id)
    if outcome not in ("kept", "changed", "dropped"):
        raise InputInvalid("--outcome", "expected kept, changed or dropped")
    if outcome != "dropped" and next_on is None:
        raise InputInvalid("--next", "expected the day of the next review")
    return _allowed(
        settings,
        definition,
        step="reviewed",
        by=by,
        on=on,
        outcome=outcome,
        next_review_on=next_on,
        note=note,
        evidence=evidence,
    )


def retirement(
    settings: Settings, segment_id: str, by: str, on: date, replaced_by: str | None = None, note: str | None = None
) -> ApprovalStep:
    """The step that ends a segment; refused while something refers to it and nobody takes over."""
    definition = definition_of(settings, segment_id)
    if definition.residual:
        raise InputInvalid(segment_id, "expected a segment with an entry condition: every lead needs a segment")
    if replaced_by is not None:
        heir = definition_of(settings, replaced_by)
        if replaced_by == segment_id:
            raise InputInvalid("--replaced-by", "expected another segment")
        if not heir.is_active(on):
            raise InputInvalid("--replaced-by", f"expected an approved segment, {replaced_by} is not active")
        activation = next(
            a for a in SegmentMap(settings.segments, Domain.of(settings)).activations if a.definition == heir
        )
        if activation.overlay:
            told = f"{replaced_by} looks at readiness, so it is never primary"
            raise InputInvalid("--replaced-by", f"expected a segment that can be primary, {told}")
        if heir.unit != definition.unit:
            raise InputInvalid("--replaced-by", f"expected a segment of the unit {definition.unit}")
    places = named_in(settings, segment_id)
    if places and replaced_by is None:
        mend = "change these first, or name who takes over with --replaced-by"
        raise InputInvalid(segment_id, f"is named by {', '.join(places)}; {mend}")
    return _allowed(settings, definition, step="retired", by=by, on=on, replaced_by=replaced_by, note=note)


def named_in(settings: Settings, segment_id: str) -> list[str]:
    """Where content, triggers and points name a segment: `assets.yaml assets.software_overview.segment_ids`."""
    found = references_to([segment_id], dict(settings)).get(segment_id, [])
    return list(dict.fromkeys(f"{one.file} {one.key}" for one in found))


def mentioned_in(settings: Settings, segment_id: str) -> list[str]:
    """Definitions in use whose fallback tells people of a segment; only words, so nothing breaks."""
    word = re.compile(rf"(?<![a-z0-9_]){re.escape(segment_id)}(?![a-z0-9_])")
    return [
        f"{d.id}.fallback"
        for d in settings.segments
        if d.id != segment_id and d.status != "retired" and any(word.search(step.says) for step in d.fallback)
    ]


def definition_of(settings: Settings, segment_id: str) -> SegmentDefinition:
    """The definition of that id; raises InputInvalid naming the ids that are near."""
    for definition in settings.segments:
        if definition.id == segment_id:
            return definition
    ids = sorted(definition.id for definition in settings.segments)
    near = [name for name in ids if segment_id[:4] and name.startswith(segment_id[:4])] or ids
    shown = ", ".join(near[:12]) + (", ..." if len(near) > 12 else "")
    raise InputInvalid("segments", f"no segment {segment_id!r}; expected one of {shown}")


def standing_of(settings: Settings, definition: SegmentDefinition) -> Standing:
    """Where the definition as it is written now stands."""
    return standings(settings.approvals).get(definition.content_hash, Standing())


def findings_of(settings: Settings, definition: SegmentDefinition, on: date) -> list[Finding]:
    """What the lint says of one definition among those that are approved."""
    others = [d for d in settings.segments if (d.status == "approved" or d.residual) and d.id != definition.id]
    found = lint(
        SegmentMap([*others, definition], Domain.of(settings)),
        on=on,
        settings=settings,
        strict=True,
    )
    return [f for f in found if f.segment_id in (definition.id, "segments") and f.code not in _OF_APPROVAL]


def _refuse_errors(settings: Settings, definition: SegmentDefinition, on: date) -> None:
    """Raise ConfigInvalid with every error of the lint, one a line."""
    errors = [f for f in findings_of(settings, definition, on) if f.level == "error"]
    if errors:
        listed = [Problem(f.file, f"{f.segment_id}.{f.key}", f"{f.code}: {f.reason}; {f.mend}") for f in errors]
        raise ConfigInvalid(listed)


def _allowed(settings: Settings, definition: SegmentDefinition, **said: Any) -> ApprovalStep:
    """The step, when nothing speaks against it; the list's own rules are asked here so that the refusal reads well."""
    texts = {key: " ".join(said[key].split()) or None for key in ("by", "reference", "note") if said.get(key)}
    try:
        step = ApprovalStep(
            segment=definition.id, version=definition.version, definition=definition.content_hash, **{**said, **texts}
        )
    except ValidationError as error:
        told = "; ".join(str(e["msg"]).removeprefix("Value error, ") for e in error.errors(include_input=False))
        raise InputInvalid(definition.id, told) from None
    objection = standing_of(settings, definition).objection(step, settings.governance.approval, definition.author)
    if objection is not None:
        raise InputInvalid(_file(settings, definition.id), f"{definition.id}: {objection}")
    if settings.approvals and step.on < settings.approvals[-1].on:
        last = settings.approvals[-1].on.isoformat()
        raise InputInvalid("--on", f"expected a day not before {last}, that of the last step in the list")
    return step


def _next(settings: Settings, definition: SegmentDefinition) -> int:
    return max(s.version for s in settings.approvals if s.segment == definition.id) + 1


def _file(settings: Settings, segment_id: str) -> str:
    return settings.files.get(("segments", segment_id), "segments")
