"""Who proposed, approved, reviewed and retired which segment: an append-only list, each step bound to its content.

The rules are one fold: `Standing.objection` says why a step may not follow, `Standing.after` what is true after it.
Loading folds the whole list and reports every objection; a command asks before it appends.

Every step carries a seal: the SHA-256 of the seal before it and of its own content. Whoever changes, removes or moves a
past step breaks every seal from there on, and loading says at which one. This finds a slip and a quiet edit. A list
whose newest steps were cut off fits, and so does one that somebody sealed anew: against both stands the history of the
repository that the list is kept in.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from pydantic import Field, model_validator

from configs.content import Approval
from configs.definitions import SegmentDefinition
from configs.errors import Problem
from configs.governance import ApprovalRules
from configs.section import Section
from configs.spelling import normalize

FILE = "approvals.yaml"
FIRST_SEAL = "0" * 64
MOST_CHARACTERS = 2_000
# Keys of a definition that nobody writes there: the steps say them.
_RESOLVED = {"status", "approval", "covered_from", "next_review_on", "replaced_by"}
_WRITTEN_OUT = re.compile(r"([aou])e")
_TITLES = frozenset({"dr", "prof", "professor", "mr", "mrs", "ms", "md", "phd", "pharmd", "mba", "rn"})
_ONLY_FOR = {"expires_on": "approved", "replaced_by": "retired", "outcome": "reviewed", "next_review_on": "reviewed"}


def refuse_unreadable(by: str, **texts: str | None) -> None:
    """Raise ValueError unless `by` names somebody and every text given is one line that can be read."""
    if len(normalize(by).replace("_", "")) < 2:
        raise ValueError("by: expected the name of a person or of an office")
    for key, text in (("by", by), *texts.items()):
        if text is not None and not (text.isprintable() and text == text.strip() and len(text) > 0):
            raise ValueError(f"{key}: expected one line of visible characters, without spaces around it")
        if text is not None and len(text) > MOST_CHARACTERS:
            raise ValueError(f"{key}: expected at most {MOST_CHARACTERS} characters")


class ApprovalStep(Section):
    """One step of one version: what was done to which content, by whom, on which day.

    `definition` is the `content_hash` of the definition as it was then. Approving gives the last day of the approval
    and a reference to the record of it; retiring may name the segment that takes over; reviewing says whether the
    hypothesis was kept, changed or dropped, when to look again, and on what `evidence`, a line each. `entered_on` is
    the day a step was written down, where that is a later one than the day it is dated.
    """

    segment: str
    version: int = Field(ge=1)
    definition: str = Field(pattern=r"^[0-9a-f]{64}$")
    step: Literal["proposed", "approved", "reviewed", "retired"]
    by: str
    on: date
    expires_on: date | None = None
    reference: str | None = None
    replaced_by: str | None = None
    outcome: Literal["kept", "changed", "dropped"] | None = None
    next_review_on: date | None = None
    note: str | None = None
    entered_on: date | None = None
    evidence: tuple[str, ...] = ()
    seal: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @model_validator(mode="after")
    def _each_step_says_what_belongs_to_it(self) -> ApprovalStep:
        refuse_unreadable(by=self.by, reference=self.reference, note=self.note)
        for line in self.evidence:
            refuse_unreadable(self.by, evidence=line)
        if self.evidence and self.step != "reviewed":
            raise ValueError("evidence: expected only where step is reviewed")
        for key, step in _ONLY_FOR.items():
            if getattr(self, key) is not None and self.step != step:
                raise ValueError(f"{key}: expected only where step is {step}")
        if self.step == "approved" and (self.expires_on is None or self.expires_on < self.on or not self.reference):
            raise ValueError("expires_on, reference: expected both for an approval, the first not before `on`")
        if self.step == "reviewed" and self.outcome is None:
            raise ValueError("outcome: expected kept, changed or dropped for a review")
        if self.step == "reviewed" and self.outcome != "dropped" and self.next_review_on is None:
            raise ValueError("next_review_on: expected a date for a hypothesis that is not dropped")
        if self.next_review_on is not None and self.next_review_on <= self.on:
            raise ValueError("next_review_on: expected a day after `on`")
        if self.entered_on is not None and self.entered_on <= self.on:
            raise ValueError("entered_on: expected a day after `on`, and none for a step of the day itself")
        if self.replaced_by == self.segment:
            raise ValueError("replaced_by: expected another segment")
        return self


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one content stands after the steps about it: what waits, what was last decided, and since when."""

    waiting: ApprovalStep | None = None
    approved: ApprovalStep | None = None
    covered_from: date | None = None
    reviewed: ApprovalStep | None = None
    retired: ApprovalStep | None = None

    @property
    def status(self) -> Literal["draft", "proposed", "approved", "retired"]:
        """An approval stays one while its renewal waits; nothing follows a retirement."""
        if self.retired is not None:
            return "retired"
        if self.approved is not None:
            return "approved"
        return "draft" if self.waiting is None else "proposed"

    @property
    def approval(self) -> Approval | None:
        """The latest approval, unless the content was retired."""
        last = self.approved
        if last is None or self.retired is not None or last.expires_on is None or last.reference is None:
            return None
        return Approval(by=last.by, on=last.on, expires_on=last.expires_on, reference=last.reference)

    def objection(self, step: ApprovalStep, rules: ApprovalRules, author: str | None = None) -> str | None:
        """Why a step may not follow, or None; `author` is who wrote the content, where that is known."""
        if self.retired is not None:
            return f"this content was retired on {self.retired.on.isoformat()}, which is final: write a new version"
        if step.step == "proposed" and self.waiting is not None:
            return f"it waits for a decision since {self.waiting.on.isoformat()} already"
        if step.step == "approved":
            if self.waiting is None:
                return "it was approved and nobody proposed it before" if self.approved is None else _NOT_AGAIN
            # INVARIANT: whoever wrote or proposed a definition never approves it.
            if author is not None and same_person(step.by, author):
                return "its author may not approve it"
            if same_person(step.by, self.waiting.by):
                return "who proposed it may not approve it"
            longest = step.on + timedelta(days=rules.max_days)
            if step.expires_on is not None and step.expires_on > longest:
                return f"an approval lasts at most {rules.max_days} days, here until {longest.isoformat()}"
        if step.step == "reviewed" and self.approved is None:
            return "it was reviewed and never approved"
        if step.step == "retired" and self.approved is None and self.waiting is None:
            return "it was retired and neither proposed nor approved: a draft can be deleted"
        return None

    def after(self, step: ApprovalStep) -> Standing:
        """What is true after a step that nothing speaks against."""
        if step.step == "proposed":
            return replace(self, waiting=step)
        if step.step == "reviewed":
            return replace(self, reviewed=step)
        if step.step == "retired":
            return replace(self, waiting=None, retired=step)
        before, since = self.approved, self.covered_from
        # A renewal by the day after the last one leaves no gap: the days before it stay covered.
        ends = before.expires_on if before is not None else None
        unbroken = ends is not None and step.on <= ends + timedelta(days=1)
        return replace(self, waiting=None, approved=step, covered_from=since if unbroken else step.on)


_NOT_AGAIN = "it was approved again and nobody proposed that since: an approval is renewed by proposing it again"


def standings(steps: Sequence[ApprovalStep]) -> dict[str, Standing]:
    """Where each content stands, by its hash, every step taken as it is written."""
    found: dict[str, Standing] = {}
    contents: dict[str, list[str]] = {}
    for step in steps:
        _take(step, found, contents)
    return found


def _take(step: ApprovalStep, found: dict[str, Standing], contents: dict[str, list[str]]) -> None:
    """Fold one step in; `contents` are the texts that each segment has had."""
    found[step.definition] = found.get(step.definition, Standing()).after(step)
    known = contents.setdefault(step.segment, [])
    if step.definition not in known:
        known.append(step.definition)
    if step.step == "retired":
        # INVARIANT: a segment is retired as a whole: restoring an earlier text of it brings nothing back.
        for content in known:
            found[content] = replace(found[content], waiting=None, retired=found[content].retired or step)


def with_approvals(definitions: Sequence[SegmentDefinition], steps: Sequence[ApprovalStep]) -> list[SegmentDefinition]:
    """The definitions with the status, approval, next review and successor that the steps about their content give.

    INVARIANT: a definition edited after its approval is a draft again.
    """
    by_content = standings(steps)
    found = []
    for definition in definitions:
        standing = by_content.get(definition.content_hash)
        if standing is None:
            found.append(definition)
            continue
        approval = standing.approval
        renewed = approval is not None and standing.covered_from != approval.on
        update = {
            "status": standing.status,
            "approval": approval,
            "covered_from": standing.covered_from if renewed else None,
            "replaced_by": standing.retired.replaced_by if standing.retired else None,
            "next_review_on": standing.reviewed.next_review_on if standing.reviewed else None,
        }
        found.append(definition.model_copy(update=update))
    return found


def retired_ids(definitions: Sequence[SegmentDefinition], steps: Sequence[ApprovalStep]) -> frozenset[str]:
    """Which of some definitions, such as those a bundle was trained with, were retired since by the steps."""
    by_content = standings(steps)
    return frozenset(d.id for d in definitions if by_content.get(d.content_hash, Standing()).retired is not None)


def approval_problems(
    definitions: Sequence[SegmentDefinition],
    steps: Sequence[ApprovalStep],
    rules: ApprovalRules | None = None,
    *,
    sealed: bool = True,
) -> Iterator[Problem]:
    """Everything that is wrong with the list: broken seals, steps that may not follow, days that go back.

    `sealed` False leaves the seals out, for a list that is only being written.
    """
    asked = rules or ApprovalRules()
    written = {definition.content_hash: definition for definition in definitions}
    ids = {definition.id for definition in definitions}
    found: dict[str, Standing] = {}
    contents: dict[str, list[str]] = {}
    about: dict[str, tuple[str, int]] = {}
    approved: dict[tuple[str, int], str] = {}
    for place, step in enumerate(steps):
        key, standing = f"approvals.{place}", found.get(step.definition, Standing())
        yield from _unknown_ids(step, key, ids)
        if place and step.on < steps[place - 1].on:
            yield Problem(FILE, f"{key}.on", f"{step.segment}: expected a day not before that of the step above")
        definition = written.get(step.definition)
        named = (step.segment, step.version)
        if definition is not None and named != (definition.id, definition.version):
            is_of = f"{definition.id} version {definition.version}"
            yield Problem(FILE, f"{key}.definition", f"expected {is_of}, whose content this is")
        elif about.setdefault(step.definition, named) != named:
            yield Problem(FILE, f"{key}.definition", f"{step.segment}: the steps above say this content is another's")
        objection = standing.objection(step, asked, definition.author if definition else None)
        if objection is not None:
            field = "by" if "may not approve" in objection else "expires_on" if "at most" in objection else "step"
            yield Problem(FILE, f"{key}.{field}", f"{step.segment}: {objection}")
        if step.step == "approved" and approved.setdefault(named, step.definition) != step.definition:
            expected = f"{step.segment}: version {step.version} was approved with other content, expected a new number"
            yield Problem(FILE, f"{key}.version", expected)
        _take(step, found, contents)
    if sealed:
        yield from _broken_seals(steps)
    for definition in definitions:
        if not _RESOLVED.isdisjoint(definition.model_fields_set):
            yield Problem(f"segments: {definition.id}", "approval", f"expected in {FILE}, bound to the content")


def version_taken(definition: SegmentDefinition, steps: Sequence[ApprovalStep]) -> bool:
    """Whether the definition's version was approved with other content, so that it needs a new number."""
    named = (definition.id, definition.version)
    return any(
        step.step == "approved" and (step.segment, step.version) == named and step.definition != definition.content_hash
        for step in steps
    )


def seal_of(before: str, step: Section) -> str:
    """SHA-256 over the seal before a step and everything the step says, in hexadecimal."""
    # Without defaults, as content hashes are: a key that a later release adds leaves old seals as they were.
    content = step.model_dump(mode="json", exclude_defaults=True, exclude={"seal"})
    text = json.dumps([before, content], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed_steps(steps: Sequence[ApprovalStep]) -> list[ApprovalStep]:
    """The same steps with the seals that belong to them in this order."""
    found, seal = [], FIRST_SEAL
    for step in steps:
        seal = seal_of(seal, step)
        found.append(step.model_copy(update={"seal": seal}))
    return found


def same_person(left: str, right: str) -> bool:
    """Whether two names may be one person's, whatever their case, spacing, accents, width, look-alikes and order.

    Titles say nothing, an initial stands for a name, and who is named among others is named: of two people who write
    themselves `J. Doe` and `Jane Doe` nobody can tell that they are two.
    """
    one, other = _names(left), _names(right)
    return _all_in(one, other) or _all_in(other, one) or "".join(one) == "".join(other)


def _names(text: str) -> list[str]:
    words = normalize(text).split("_")
    # An umlaut is written out where a keyboard has none: Müller, Mueller and Muller may be one.
    return [_WRITTEN_OUT.sub(r"\1", word) for word in words if word not in _TITLES] or words


def _all_in(few: Sequence[str], many: Sequence[str]) -> bool:
    return all(any(a == b or (1 in (len(a), len(b)) and a[:1] == b[:1]) for b in many) for a in few)


def _unknown_ids(step: ApprovalStep, key: str, ids: Collection[str]) -> Iterator[Problem]:
    if step.segment not in ids:
        mend = "retire a segment instead of deleting it, so that its members can be told that they left"
        yield Problem(FILE, f"{key}.segment", f"no segment {step.segment!r} is defined; {mend}")
    if step.replaced_by is not None and step.replaced_by not in ids:
        yield Problem(FILE, f"{key}.replaced_by", f"no segment {step.replaced_by!r} is defined")


def _broken_seals(steps: Sequence[ApprovalStep]) -> Iterator[Problem]:
    """The first step whose seal does not fit; what follows it cannot be judged."""
    seal = FIRST_SEAL
    for place, step in enumerate(steps):
        seal = seal_of(seal, step)
        if step.seal != seal:
            told = "was changed, or one before it was removed or moved" if step.seal else "has no seal"
            mend = "restore the file from its history, and add steps with `leadwell segments` only"
            yield Problem(FILE, f"approvals.{place}.seal", f"the {step.step} step of {step.segment} {told}; {mend}")
            return


def steps_by_segment(steps: Sequence[ApprovalStep]) -> Mapping[str, list[ApprovalStep]]:
    """The steps of each segment in the order of the list."""
    found: dict[str, list[ApprovalStep]] = {}
    for step in steps:
        found.setdefault(step.segment, []).append(step)
    return found
