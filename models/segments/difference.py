"""What a change of definitions does before anybody publishes it: who enters and leaves, and what changed in words.

Everybody is placed afresh under both versions, by entry alone: a minimum dwell may keep leavers for some days after the
change, and a re-entry policy may keep some out. Neither is a difference between the definitions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from configs.conditions import Condition, parse
from configs.content import Approval
from configs.definitions import SegmentDefinition
from configs.errors import ConditionInvalid
from configs.settings import Settings
from features.evaluate import Domain, as_english
from features.facts import Facts
from models.segments.map import SegmentMap
from models.segments.tellable import Tried

MAX_EXAMPLES = 5
Bools = NDArray[np.bool_]
_CONDITIONS = ("enter", "exit")
_RESOLVED = {"status", "approval", "covered_from", "next_review_on", "replaced_by"}


@dataclass(frozen=True, slots=True)
class Version:
    """One side of a comparison: every definition it has, and the map of those that count on a day."""

    name: str
    definitions: Mapping[str, SegmentDefinition]
    segment_map: SegmentMap
    tried: frozenset[str]

    @classmethod
    def of(cls, name: str, settings: Settings, on: date, tried: Collection[str] = ()) -> Self:
        """The approved definitions of some settings, with `tried` ones counted as if they were approved that day."""
        trial = Approval(by="nobody: a trial", on=on, expires_on=on, reference="trial")
        counting = []
        for definition in settings.segments:
            if definition.id in tried and not definition.is_active(on):
                counting.append(definition.model_copy(update={"approval": trial, "covered_from": None}))
            elif definition.status == "approved" or definition.residual:
                counting.append(definition)
        known = {definition.id: definition for definition in settings.segments}
        return cls(name, known, SegmentMap(counting, Domain.of(settings)), frozenset(tried))

    def counts(self, segment_id: str, on: date) -> bool:
        """Whether a segment is in use on a day, or tried."""
        return any(d.id == segment_id and (d.residual or d.is_active(on)) for d in self.segment_map.definitions)


@dataclass(frozen=True, slots=True)
class Placed:
    """Who is where under one version: members by segment id, and the id of each lead's primary segment."""

    members: Mapping[str, Bools]
    primary: tuple[str, ...]

    @classmethod
    def of(cls, version: Version, facts: Facts, as_of: datetime, chosen: Bools | None = None) -> Self:
        """Place the leads of some facts, or those of them that are chosen, as of an instant."""
        found = version.segment_map.members(facts, as_of=as_of)
        rows = slice(None) if chosen is None else chosen
        columns = {name: found.member[rows, s] for s, name in enumerate(found.segment_ids)}
        return cls(columns, tuple(found.segment_ids[s] for s in found.primary[rows].tolist()))


@dataclass(frozen=True, slots=True)
class Worded:
    """One key of a definition that changed: what it said and what it says."""

    key: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Scope:
    """How a condition changed, by trying every combination of values that tells the two apart.

    `wider` is an example that only the new one lets in, `narrower` one that only the old one did; None where there is
    none. `complete` is false where there were too many combinations to try them all.
    """

    wider: str | None
    narrower: str | None
    complete: bool

    @property
    def words(self) -> str:
        """What the change amounts to."""
        if self.wider and self.narrower:
            return "shifted"
        if self.wider or self.narrower:
            return "widened" if self.wider else "narrowed"
        return "same meaning" if self.complete else "no difference found"

    def mirrored(self) -> Scope:
        """The same the other way round."""
        return Scope(self.narrower, self.wider, self.complete)


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one segment: in words and in leads. Counts are leads; ids are at most five examples.

    `kind` is added, removed, changed (words), status (the same words, another status) or unchanged (leads only).
    """

    segment_id: str
    kind: str
    status: tuple[str, str]
    version: tuple[int | None, int | None]
    worded: tuple[Worded, ...] = ()
    enter: Scope | None = None
    exit: Scope | None = None
    leads: tuple[int, int] = (0, 0)
    entered: int = 0
    left: int = 0
    entering: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    contactable_entering: int | None = None
    contactable_leaving: int | None = None
    refers: tuple[str, ...] = ()

    @property
    def is_difference(self) -> bool:
        """Whether anything is different: words, status or members."""
        same_status = self.status[0] == self.status[1] and self.version[0] == self.version[1]
        return bool(self.worded or self.entered or self.left or not same_status)

    def mirrored(self) -> Change:
        """The same the other way round."""
        kinds = {"added": "removed", "removed": "added"}
        return replace(
            self,
            kind=kinds.get(self.kind, self.kind),
            status=self.status[::-1],
            version=self.version[::-1],
            worded=tuple(Worded(one.key, one.new, one.old) for one in self.worded),
            enter=self.enter.mirrored() if self.enter else None,
            exit=self.exit.mirrored() if self.exit else None,
            leads=self.leads[::-1],
            entered=self.left,
            left=self.entered,
            entering=self.leaving,
            leaving=self.entering,
            contactable_entering=self.contactable_leaving,
            contactable_leaving=self.contactable_entering,
        )


@dataclass(frozen=True, slots=True)
class Move:
    """Leads whose primary segment changes from one to another."""

    left: str
    entered: str
    leads: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that is different between two versions; `affected` leads change some membership."""

    names: tuple[str, str]
    leads: int
    affected: int
    contactable: int | None
    changes: tuple[Change, ...]
    moves: tuple[Move, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is different."""
        return not self.changes and not self.moves

    def mirrored(self) -> Difference:
        """The same the other way round."""
        moves = (Move(move.entered, move.left, move.leads) for move in self.moves)
        return replace(
            self,
            names=self.names[::-1],
            changes=tuple(change.mirrored() for change in self.changes),
            moves=tuple(sorted(moves, key=_by_size)),
        )


def difference(
    old: Version,
    new: Version,
    *,
    on: date,
    placed: tuple[Placed, Placed] | None = None,
    lead_ids: Sequence[str] = (),
    contactable: Bools | None = None,
    refers: Mapping[str, Sequence[str]] | None = None,
) -> Difference:
    """What is different between two versions on a day.

    Args:
        old: what is.
        new: what would be.
        on: the day whose approvals and parameters count.
        placed: the same leads under both; without it definitions are compared in words only.
        lead_ids: ids of these leads, row by row.
        contactable: which of these leads may be contacted on some channel; None where nobody asked.
        refers: what names a segment, in words, by segment id.

    INVARIANT: the difference of a version with itself is empty, and swapping the versions mirrors it.
    """
    n = len(lead_ids)
    nobody = np.zeros(n, dtype=np.bool_)
    touched = nobody.copy()
    changes = []
    for segment_id in sorted({*old.definitions, *new.definitions}):
        change = _in_words(old, new, segment_id, on)
        if placed is not None:
            before, after = (side.members.get(segment_id, nobody) for side in placed)
            touched |= before != after
            change = _with_leads(change, before, after, lead_ids, contactable)
        if change.is_difference:
            named = tuple(refers.get(segment_id, ())) if refers is not None else ()
            changes.append(replace(change, refers=named))
    moves: Counter[tuple[str, str]] = Counter()
    if placed is not None:
        moves.update(pair for pair in zip(placed[0].primary, placed[1].primary, strict=True) if pair[0] != pair[1])
    return Difference(
        (old.name, new.name),
        n,
        int(touched.sum()),
        None if contactable is None else int((touched & contactable).sum()),
        tuple(changes),
        tuple(sorted((Move(*pair, leads) for pair, leads in moves.items()), key=_by_size)),
    )


def scope(old: str, new: str, domains: tuple[Domain, Domain], on: date) -> Scope | None:
    """Whether a condition became wider or narrower; None where the two cannot be compared by their values.

    They cannot where one of them does not parse, or means something else, under the facts of the other.
    """
    parsed = []
    for text in (old, new):
        found = [_parsed(text, domain) for domain in domains]
        if found[0] is None or found[0] != found[1]:
            return None
        parsed.append(found[0])
    try:
        tried = Tried.of(sorted(parsed, key=repr), domains[1], on)
        before, after = tried.surely(parsed[0]), tried.surely(parsed[1])
    except ConditionInvalid:
        return None
    return Scope(tried.example(after & ~before), tried.example(before & ~after), tried.complete)


def _by_size(move: Move) -> tuple[int, str, str]:
    return -move.leads, move.left, move.entered


def _in_words(old: Version, new: Version, segment_id: str, on: date) -> Change:
    before, after = old.definitions.get(segment_id), new.definitions.get(segment_id)
    kind = "changed" if before and after else "added" if after else "removed"
    status = (_status(old, before, on), _status(new, after, on))
    version = (before.version if before else None, after.version if after else None)
    change = Change(segment_id, kind, status, version)
    if before is None or after is None:
        return change
    domains = (old.segment_map.domain, new.segment_map.domain)
    worded, scopes = [], {}
    sides = zip((before, after), domains, strict=True)
    alike = before.content == after.content and domains[0] == domains[1]
    texts = [_texts(definition, domain, on) for definition, domain in sides] if not alike else [{}, {}]
    for key in sorted({*texts[0], *texts[1]}):
        left, right = texts[0].get(key, ""), texts[1].get(key, "")
        if left != right:
            worded.append(Worded(key, left, right))
    for key in _CONDITIONS:
        said = [definition.conditions().get(key, "") for definition in (before, after)]
        if all(said) and said[0] != said[1]:
            scopes[key] = scope(said[0], said[1], domains, on)
    if not worded and version[0] == version[1]:
        kind = "unchanged" if status[0] == status[1] else "status"
    return replace(change, kind=kind, worded=tuple(worded), enter=scopes.get("enter"), exit=scopes.get("exit"))


def _status(version: Version, definition: SegmentDefinition | None, on: date) -> str:
    if definition is None:
        return "not defined"
    if definition.status == "approved" and not definition.residual and not definition.is_active(on):
        shown = "approval expired"
    else:
        shown = definition.status
    tried = definition.id in version.tried and not definition.is_active(on)
    return f"{shown}, tried" if tried else shown


def _texts(definition: SegmentDefinition, domain: Domain, on: date) -> dict[str, str]:
    """Everything a person wrote, as words by key; conditions in English."""
    written: dict[str, Any] = definition.model_dump(mode="json", exclude=_RESOLVED | {"id", "version"})
    found = {key: _plain(value) for key, value in written.items()}
    for key, text in definition.conditions().items():
        condition = _parsed(text, domain)
        try:
            said = as_english(condition, domain, on) if condition is not None else text
        except ConditionInvalid:
            said = text
        found[key] = said
    return found


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_plain(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value)
    return "" if value is None else str(value)


def _parsed(text: str, domain: Domain) -> Condition | None:
    try:
        return parse(text, domain.facts, domain.parameters)
    except ConditionInvalid:
        return None


def _with_leads(
    change: Change, before: Bools, after: Bools, lead_ids: Sequence[str], contactable: Bools | None
) -> Change:
    entered, left = after & ~before, before & ~after
    return replace(
        change,
        leads=(int(before.sum()), int(after.sum())),
        entered=int(entered.sum()),
        left=int(left.sum()),
        entering=_examples(entered, lead_ids),
        leaving=_examples(left, lead_ids),
        contactable_entering=None if contactable is None else int((entered & contactable).sum()),
        contactable_leaving=None if contactable is None else int((left & contactable).sum()),
    )


def _examples(chosen: Bools, lead_ids: Sequence[str]) -> tuple[str, ...]:
    """The first ids in alphabetical order, so that the order of rows decides nothing."""
    return tuple(sorted(str(lead_ids[row]) for row in np.flatnonzero(chosen).tolist())[:MAX_EXAMPLES])
