"""Who belongs to which approved segment: `fold(prior memberships, facts)`, for one lead and for millions.

A segment is entered when its entry condition is surely TRUE. A member stays until its exit condition is surely TRUE
and the minimum dwell has passed; after that the re-entry policy says when it may come back. Without prior memberships
entry decides. A lead may be in several; the one of lowest priority number is primary, and the residual segment holds
the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from configs.conditions import And, Condition, IsUnknown, Or, facts_used, parameters_used, parse
from configs.definitions import SegmentDefinition
from configs.dictionary import AFTER_READINESS
from configs.errors import ConfigInvalid, Problem
from configs.settings import Settings
from features.evaluate import Domain, as_columns, define, normal_form, source
from features.facts import Facts
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT, Columns, microseconds

FEW = 8

Bools = NDArray[np.bool_]
Instants = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prior:
    """What was true before, lead by segment: when a lead last entered, and when it last left."""

    entered_at: Instants
    left_at: Instants

    def member(self, now: int) -> Bools:
        """Who was a member when the fold starts; what happens after `now` is not known yet."""
        entered = (self.entered_at != UNKNOWN_INSTANT) & (self.entered_at <= now)
        member: Bools = entered & ((self.left_at == UNKNOWN_INSTANT) | (self.left_at > now))
        return member

    def former(self, now: int) -> Bools:
        """Who was a member once and has left."""
        former: Bools = (self.left_at != UNKNOWN_INSTANT) & (self.left_at <= now)
        return former


@dataclass(frozen=True, slots=True)
class Memberships:
    """Lead by segment: membership and since when, the primary segment of each lead, and who came and went."""

    segment_ids: tuple[str, ...]
    versions: tuple[int, ...]
    member: Bools
    primary: NDArray[np.int32]
    entered_at: Instants
    entered: Bools
    left: Bools

    def segments_of(self, lead: int) -> list[int]:
        """Segments a lead is in, the primary first, then by priority."""
        primary = int(self.primary[lead])
        return [primary, *(int(s) for s in np.flatnonzero(self.member[lead]) if s != primary)]


@dataclass(frozen=True, slots=True)
class Activation:
    """A definition ready to be evaluated: its parsed conditions and the facts they look at.

    `enter` holds the steps of the fallback too: `direct` OR (what is missing IS UNKNOWN AND what then decides) OR ...
    """

    definition: SegmentDefinition
    direct: Condition | None
    enter: Condition | None
    exit: Condition | None
    facts: tuple[str, ...]

    @property
    def overlay(self) -> bool:
        """Whether it looks at the band: then it is evaluated after readiness and is never primary."""
        return not set(AFTER_READINESS).isdisjoint(self.facts)


class SegmentMap:
    """Segment definitions in order of priority, compiled; `hash` covers all of them with their priorities."""

    def __init__(self, definitions: Sequence[SegmentDefinition], domain: Domain) -> None:
        self.domain = domain
        self.definitions = tuple(sorted(definitions, key=lambda definition: (definition.priority, definition.id)))
        self.segment_ids = tuple(definition.id for definition in self.definitions)
        self.activations = tuple(_activation(definition, domain) for definition in self.definitions)
        residual = [s for s, definition in enumerate(self.definitions) if definition.residual]
        if len(residual) != 1:
            raise ConfigInvalid([Problem("segments", "residual", f"expected exactly one, found {len(residual)}")])
        self.residual = residual[0]
        self.hash = hashlib.sha256(self.to_json().encode()).hexdigest()
        self._facts = tuple(sorted({fact for activation in self.activations for fact in activation.facts}))
        self._unknown = {fact: domain.unknown(fact) for fact in self._facts}
        self._versions = tuple(definition.version for definition in self.definitions)
        self._dwell = np.array([d.min_dwell_days for d in self.definitions], dtype=np.int64) * MICROSECONDS_A_DAY
        self._compiled: dict[date, _Compiled] = {}
        self._dated = any(parameters_used(c) for a in self.activations for c in (a.enter, a.exit) if c is not None)

    @classmethod
    def load(cls, settings: Settings, domain: Domain | None = None) -> Self:
        """The map of the definitions that are approved: drafts and retired ones are no part of it."""
        approved = [d for d in settings.segments if d.status == "approved" or d.residual]
        return cls(approved, domain or Domain.of(settings))

    @classmethod
    def from_json(cls, text: str, domain: Domain) -> Self:
        """The map that `to_json` wrote; the domain is that of the settings it was trained with."""
        definitions = [SegmentDefinition.model_validate(entry) for entry in json.loads(text)["segments"]]
        return cls(definitions, domain)

    def to_json(self) -> str:
        """Every definition in order of priority; the same text for the same map."""
        entries = [definition.model_dump(mode="json") for definition in self.definitions]
        return json.dumps({"segments": entries}, sort_keys=True, ensure_ascii=False)

    def without(self, segment_ids: Collection[str]) -> Self:
        """The same map with some segments inactive: they hold nobody, and the residual one takes who they held."""
        if not segment_ids:
            return self
        kept = [d.model_copy(update={"approval": None}) if d.id in segment_ids else d for d in self.definitions]
        return type(self)(kept, self.domain)

    def active(self, on: date) -> Bools:
        """Definitions whose approval covers a day. The residual one always does: every lead needs a segment."""
        return np.array([d.residual or d.is_active(on) for d in self.definitions], dtype=np.bool_)

    def prior_of(self, memberships: Columns, segment_ids: Sequence[str], n: int) -> Prior | None:
        """Prior memberships from their table; None where it was not supplied. The latest row of a pair wins."""
        if not memberships:
            return None
        shape = (n, len(self.segment_ids))
        entered, left = np.full(shape, UNKNOWN_INSTANT), np.full(shape, UNKNOWN_INSTANT)
        place = {segment_id: s for s, segment_id in enumerate(self.segment_ids)}
        own = np.array([place.get(segment_id, -1) for segment_id in segment_ids] + [-1], dtype=np.int32)
        rows, since = memberships["lead"], memberships["entered_at"]
        until = memberships.get("left_at", np.full(len(rows), UNKNOWN_INSTANT))
        columns = own[memberships["segment"]]
        order = np.lexsort((until, since, columns, rows))
        order = order[(rows[order] >= 0) & (columns[order] >= 0) & (since[order] != UNKNOWN_INSTANT)]
        entered[rows[order], columns[order]] = since[order]
        left[rows[order], columns[order]] = until[order]
        return Prior(entered, left)

    def members(
        self, facts: Facts, prior: Prior | None = None, *, as_of: datetime, approved_on: date | None = None
    ) -> Memberships:
        """Memberships as of an instant, under the definitions approved on a day (that of `as_of` when not given).

        INVARIANT: every lead has exactly one primary segment, and a lead's answer depends on no other lead.
        """
        on = approved_on or as_of.astimezone(UTC).date()
        now = microseconds(as_of)
        compiled = self._for(on)
        if facts.n == 1 and prior is None:
            return self._entering(compiled, self._lead_codes(facts)[0], now)
        if facts.n <= FEW:
            enter, leave = compiled.by_rows(self._lead_codes(facts), prior is not None)
        else:
            enter, leave = compiled.by_columns(self._lead_columns(facts), facts.n, prior is not None)
        was, since = np.zeros_like(enter), np.full(enter.shape, UNKNOWN_INSTANT)
        if prior is not None:
            was, since = prior.member(now), prior.entered_at
            stays = was & ~(leave & (now - np.where(was, since, now) >= self._dwell))
            member = compiled.active & (stays | (~was & enter & self._may_return(prior, now)))
        else:
            member = enter
        counted = member[:, compiled.primaries]
        found = counted.any(axis=1)
        primary = np.where(found, compiled.primaries[counted.argmax(axis=1)], self.residual).astype(np.int32)
        member[:, self.residual] = ~found
        entered_at = np.where(member, np.where(was, since, now), UNKNOWN_INSTANT)
        return Memberships(
            self.segment_ids, self._versions, member, primary, entered_at, entered=member & ~was, left=was & ~member
        )

    def _entering(self, compiled: _Compiled, codes: tuple[int, ...], now: int) -> Memberships:
        """One lead without prior memberships, in plain numbers: entry decides alone."""
        enters = list(compiled.enters(*codes))
        primary = next((s for s in compiled.primary_order if enters[s]), self.residual)
        enters[self.residual] = primary == self.residual
        member = np.array([enters], dtype=np.bool_)
        return Memberships(
            self.segment_ids,
            self._versions,
            member,
            np.array([primary], dtype=np.int32),
            np.where(member, now, UNKNOWN_INSTANT),
            entered=member.copy(),
            left=np.zeros_like(member),
        )

    def because(self, facts: Facts, lead: int, segment: int) -> list[list[str | int]]:
        """The facts a segment's entry condition looks at, as this lead has them: [fact, known or unknown, value]."""
        enter = self.activations[segment].enter
        found: list[list[str | int]] = []
        for name in facts_used(enter) if enter is not None else ():
            column = facts.columns.get(name)
            code = self._unknown[name] if column is None else int(column.reshape(-1)[lead])
            value = self.domain.value(name, code)
            found.append([name, "unknown"] if value is None else [name, "known", value])
        return found

    def _may_return(self, prior: Prior, now: int) -> Bools:
        """Who the re-entry policy lets in: those who never left, and those it lets come back."""
        former = prior.former(now)
        away = now - np.where(former, prior.left_at, now)
        lets = np.ones(former.shape, dtype=np.bool_)
        for s, definition in enumerate(self.definitions):
            if definition.reentry == "never":
                lets[:, s] = ~former[:, s]
            elif definition.reentry == "after_dwell":
                lets[:, s] = ~former[:, s] | (away[:, s] >= self._dwell[s])
        return lets

    def _lead_codes(self, facts: Facts) -> list[tuple[int, ...]]:
        one = facts.one
        if one is not None and one.keys() >= self._unknown.keys():
            return [tuple([one[name] for name in self._facts])]
        columns = [(name, facts.columns.get(name)) for name in self._facts]
        lists = [[self._unknown[name]] * facts.n if c is None else c.ravel().tolist() for name, c in columns]
        return list(zip(*lists, strict=True)) if lists else [()] * facts.n

    def scalar_form(self, name: str, conditions: Sequence[Condition | None], on: date) -> _ScalarForm:
        """One function over the codes of all facts of the map: for each condition whether it is surely true."""
        names = {fact: f"f{index}" for index, fact in enumerate(self._facts)}
        surely = [
            "False" if c is None else source(normal_form(c, self.domain, on), names, must=True) for c in conditions
        ]
        text = (
            f"def {name}({', '.join(names.values())}):\n    return ("
            + "".join(f"bool({one}), " for one in surely)
            + ")"
        )
        form: _ScalarForm = define(name, text)
        return form

    def _lead_columns(self, facts: Facts) -> dict[str, NDArray[Any]]:
        return {name: facts.columns[name].reshape(-1) for name in self._facts if name in facts.columns}

    def _for(self, on: date) -> _Compiled:
        found = self._compiled.get(on)
        if found is None:
            source = next(iter(self._compiled.values())) if self._compiled and not self._dated else None
            found = _Compiled.of(self, on, source)
            if len(self._compiled) > 64:
                self._compiled.clear()
            self._compiled[on] = found
        return found


_ScalarForm = Callable[..., tuple[bool, ...]]
_ColumnForm = Callable[[Mapping[str, NDArray[Any]]], tuple[Bools, Bools]]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """Entry and exit of every segment for one day, in both forms; an inactive segment has neither.

    The scalar forms take the codes of all facts of the map and answer for every segment.
    """

    active: Bools
    primaries: NDArray[np.intp]
    primary_order: tuple[int, ...]
    enters: _ScalarForm
    leaves: _ScalarForm
    columns: tuple[tuple[int, _ColumnForm, _ColumnForm | None], ...]
    segments: int

    @classmethod
    def of(cls, map_: SegmentMap, on: date, same: _Compiled | None) -> _Compiled:
        active = map_.active(on)
        columns: list[tuple[int, _ColumnForm, _ColumnForm | None]] = []
        if same is not None and np.array_equal(same.active, active):
            return same
        for s, activation in enumerate(map_.activations):
            if not active[s] or activation.enter is None:
                continue
            enter, leave, domain = activation.enter, activation.exit, map_.domain
            columns.append((s, as_columns(enter, domain, on), as_columns(leave, domain, on) if leave else None))
        counted = [a if active[s] and a.enter is not None else None for s, a in enumerate(map_.activations)]
        primaries = [s for s, a in enumerate(counted) if a is not None and not a.overlay] or [map_.residual]
        return cls(
            active,
            np.array(primaries),
            tuple(primaries),
            map_.scalar_form("enters", [a.enter if a else None for a in counted], on),
            map_.scalar_form("leaves", [a.exit if a else None for a in counted], on),
            tuple(columns),
            len(active),
        )

    def by_rows(self, leads: list[tuple[int, ...]], with_exit: bool) -> tuple[Bools, Bools]:
        """(surely enters, surely leaves) lead by lead."""
        shape = (len(leads), self.segments)
        enter = np.array([self.enters(*codes) for codes in leads], dtype=np.bool_).reshape(shape)
        if not with_exit:
            return enter, np.zeros_like(enter)
        return enter, np.array([self.leaves(*codes) for codes in leads], dtype=np.bool_).reshape(shape)

    def by_columns(self, columns: Mapping[str, NDArray[Any]], n: int, with_exit: bool) -> tuple[Bools, Bools]:
        """(surely enters, surely leaves) for all leads at once."""
        enter = np.zeros((n, self.segments), dtype=np.bool_)
        leave = np.zeros_like(enter)
        for s, enters, leaves in self.columns:
            enter[:, s] = enters(columns)[0].reshape(-1)
            if with_exit and leaves is not None:
                leave[:, s] = leaves(columns)[0].reshape(-1)
        return enter, leave


def _activation(definition: SegmentDefinition, domain: Domain) -> Activation:
    parsed = {key: parse(text, domain.facts, domain.parameters) for key, text in definition.conditions().items()}
    direct = parsed.get("enter")
    ways = [] if direct is None else [direct]
    for place, step in enumerate(definition.fallback):
        use = parsed.get(f"fallback.{place}.use")
        if use is not None:
            ways.append(And((*(IsUnknown(fact) for fact in step.missing), use)))
    enter = Or(tuple(ways)) if len(ways) > 1 else direct
    leave = parsed.get("exit")
    used = (fact for condition in (enter, leave) if condition is not None for fact in facts_used(condition))
    return Activation(definition, direct, enter, leave, tuple(dict.fromkeys(used)))
