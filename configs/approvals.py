"""Who proposed, approved and retired which segment: an append-only list, each step bound to what was written then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from configs.content import Approval
from configs.definitions import SegmentDefinition
from configs.errors import Problem
from configs.section import Section

FILE = "approvals.yaml"


class ApprovalStep(Section):
    """One step of one version: what was done to which content, by whom, on which day.

    `definition` is the `content_hash` of the definition as it was then. Approving gives the last day of the approval
    and a reference to the record of it; retiring may name the segment that takes over.
    """

    segment: str
    version: int = Field(ge=1)
    definition: str = Field(pattern=r"^[0-9a-f]{64}$")
    step: Literal["proposed", "approved", "retired"]
    by: str = Field(min_length=3)
    on: date
    expires_on: date | None = None
    reference: str | None = None
    replaced_by: str | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _approving_says_until_when(self) -> ApprovalStep:
        if self.step == "approved" and (self.expires_on is None or self.expires_on < self.on or not self.reference):
            raise ValueError("expires_on, reference: expected both for an approval, the first not before `on`")
        return self


def with_approvals(definitions: Sequence[SegmentDefinition], steps: Sequence[ApprovalStep]) -> list[SegmentDefinition]:
    """The definitions with the status, approval and successor that the last step about their very content gives them.

    INVARIANT: a definition edited after its approval is a draft again.
    """
    last = {step.definition: step for step in steps}
    found = []
    for definition in definitions:
        step = last.get(definition.content_hash)
        if step is None or step.segment != definition.id:
            found.append(definition)
            continue
        approval = None
        if step.step == "approved" and step.expires_on is not None and step.reference is not None:
            approval = Approval(by=step.by, on=step.on, expires_on=step.expires_on, reference=step.reference)
        update = {"status": step.step, "approval": approval, "replaced_by": step.replaced_by}
        found.append(definition.model_copy(update=update))
    return found


def approval_problems(definitions: Sequence[SegmentDefinition], steps: Sequence[ApprovalStep]) -> Iterator[Problem]:
    """What is wrong with the list: steps about nothing, approvals of one's own work, approvals nobody proposed."""
    written = {definition.content_hash: definition for definition in definitions}
    ids = {definition.id for definition in definitions}
    proposed: set[str] = set()
    for place, step in enumerate(steps):
        key = f"approvals.{place}"
        if step.segment not in ids:
            mend = "retire a segment instead of deleting it, so that its members can be told that they left"
            yield Problem(FILE, f"{key}.segment", f"no segment {step.segment!r} is defined; {mend}")
        if step.replaced_by is not None and step.replaced_by not in ids:
            yield Problem(FILE, f"{key}.replaced_by", f"no segment {step.replaced_by!r} is defined")
        if step.step == "approved" and step.definition not in proposed:
            yield Problem(FILE, f"{key}.step", f"{step.segment} was approved and nobody proposed it before")
        definition = written.get(step.definition)
        if step.step == "approved" and definition is not None and same_person(step.by, definition.author):
            yield Problem(FILE, f"{key}.by", f"{step.segment}: its author may not approve it")
        if step.step == "proposed":
            proposed.add(step.definition)
    for definition in definitions:
        if definition.status != "draft" or definition.approval is not None:
            yield Problem(f"segments: {definition.id}", "approval", f"expected in {FILE}, bound to the content")


def same_person(left: str, right: str) -> bool:
    """Whether two names are the same, whatever their case and spacing."""
    return " ".join(left.split()).casefold() == " ".join(right.split()).casefold()
