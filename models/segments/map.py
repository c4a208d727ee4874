"""Who belongs to which approved segment: `fold(prior memberships, facts)`, for one lead and for millions.

What entry and exit conditions surely say is folded over time in `models/segments/membership.py`. A lead may be in
several segments; the one of lowest priority number is primary, and the residual segment holds the rest. Segments that
look at the band are overlays: they are evaluated after readiness, by `overlaid`, and are never primary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from configs.conditions import And, Condition, IsUnknown, Or, facts_used, parameters_used, parse
from configs.definitions import SegmentDefinition
from configs.dictionary import AFTER_READINESS
from configs.errors import ConfigInvalid, Problem
from configs.settings import Settings
from features.evaluate import TRUE, Domain, as_closure, define, normal_form, source
from features.facts import FactBuilder, Facts, with_memberships
from features.inventory import Inventory
from features.tables import UNKNOWN_INSTANT, Columns, microseconds
from models.segments.columns import ConditionProgram
from models.segments.membership import FIRST, Memberships, Prior, Terms, fold

__all__ = ["FEW", "Activation", "Memberships", "Prior", "SegmentMap"]

FEW = 8
# What `because` says of a member that a step of the fallback holds.
FALLBACK = "fallback"

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Activation:
    """A definition ready to be evaluated: its parsed conditions and the facts they look at.

    `enter` holds the steps of the fallback too: `direct` OR (what is missing IS UNKNOWN AND what then decides) OR ...
    `steps` are these, each with its place in the definition's fallback.
    """

    definition: SegmentDefinition
    direct: Condition | None
    steps: tuple[tuple[int, Condition], ...]
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
        self.overlays: Bools = np.array([activation.overlay for activation in self.activations], dtype=np.bool_)
        self.has_overlays = bool(self.overlays.any())
        self._compiled: dict[tuple[date, bool], _Compiled] = {}
        self._steps: dict[tuple[int, date | None], tuple[Callable[[Mapping[str, int]], int], ...]] = {}
        self.dated = any(parameters_used(c) for a in self.activations for c in (a.enter, a.exit) if c is not None)

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
        # When to look again is no part of what a bundle was trained with: a review voids nothing.
        entries = [d.model_dump(mode="json", exclude={"next_review_on"}) for d in self.definitions]
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

    def approved(self, on: date) -> Bools:
        """Segments whose approval, by somebody else than who wrote and proposed them, covers a day."""
        return np.array([d.is_active(on) for d in self.definitions], dtype=np.bool_)

    def told(self, facts: Facts, members: Memberships, inventory: Inventory, builder: FactBuilder, day: int) -> Facts:
        """The same facts with what memberships tell on a day since 1970: content, approval of segments, pauses."""
        return with_memberships(
            facts,
            inventory,
            members.member,
            members.segment_ids,
            primary=members.primary,
            approved=self.approved(date(1970, 1, 1) + timedelta(days=day)),
            pauses=builder.resting(day),
        )

    def prior_of(self, memberships: Columns, segment_ids: Sequence[str], n: int) -> Prior | None:
        """Prior memberships from their table, whose rows refer to `segment_ids`; None where it was not supplied."""
        return Prior.of(memberships, self.segment_ids, segment_ids, n) if memberships else None

    def members(
        self, facts: Facts, prior: Prior | None = None, *, as_of: datetime, approved_on: date | None = None
    ) -> Memberships:
        """Memberships as of an instant, under the definitions approved on a day (that of `as_of` when not given).

        Nobody is a member of an overlay yet: `overlaid` says who is, when readiness is told.

        INVARIANT: every lead has exactly one primary segment, and a lead's answer depends on no other lead.
        """
        now, compiled = microseconds(as_of), self._for(approved_on or as_of.astimezone(UTC).date(), False)
        if facts.n == 1 and prior is None:
            return self._entering(compiled, self._lead_codes(facts)[0], now)
        return fold(prior, *self._read(compiled, facts, prior is not None), compiled.terms, now)

    def overlaid(
        self,
        members: Memberships,
        facts: Facts,
        prior: Prior | None = None,
        *,
        as_of: datetime,
        approved_on: date | None = None,
    ) -> Memberships:
        """The same memberships with those of overlays besides, from facts that were told the band and readiness.

        INVARIANT: primary segments stay what they are. Without overlays this is the same object.
        """
        if not self.has_overlays:
            return members
        compiled = self._for(approved_on or as_of.astimezone(UTC).date(), True)
        enter, leave = self._read(compiled, facts, prior is not None)
        return members.joined(fold(prior, enter, leave, compiled.terms, microseconds(as_of)))

    def surely(self, facts: Facts, on: date) -> tuple[Bools, Bools, Terms]:
        """(lead, segment): whether entry and exit conditions are surely true on a day, and the terms of the segments.

        Overlays and inactive segments say neither.
        """
        compiled = self._for(on, False)
        return *self._read(compiled, facts, True), compiled.terms

    def _read(self, compiled: _Compiled, facts: Facts, with_exit: bool) -> tuple[Bools, Bools]:
        if facts.n <= FEW:
            return compiled.by_rows(self._lead_codes(facts), with_exit)
        return compiled.by_columns(self._lead_columns(facts), facts.n, with_exit)

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
            entry=member.astype(np.int32) * FIRST,
            entered=member.copy(),
            left=np.zeros_like(member),
        )

    def because(self, facts: Facts, lead: int, segment: int, on: date | None = None) -> list[list[str | int]]:
        """The facts a segment's entry condition looks at, as this lead has them: [fact, known or unknown, value].

        Where a step of the fallback lets the lead in and the condition itself does not, [fallback, known, what the step
        says] comes last. `on` is the day of dated parameters; conditions without any hold for every day.
        """
        activation = self.activations[segment]
        codes: dict[str, int] = {}
        for name in facts_used(activation.enter) if activation.enter is not None else ():
            column = facts.columns.get(name)
            flat = None if column is None else column.reshape(-1)
            codes[name] = self._unknown[name] if flat is None else int(flat[lead if len(flat) > 1 else 0])
        found = [told(name, self.domain.value(name, code)) for name, code in codes.items()]
        step = self.fallback_of(segment, codes, on)
        return found if step is None else [*found, [FALLBACK, "known", step]]

    def fallback_of(self, segment: int, codes: Mapping[str, int], on: date | None = None) -> str | None:
        """What the step of the fallback says that lets these codes in where the condition itself does not, else None.

        None too where conditions have dated parameters and no day is given.
        """
        activation = self.activations[segment]
        if not activation.steps or activation.direct is None or (on is None and self.dated):
            return None
        key = (segment, on if self.dated else None)
        found = self._steps.get(key)
        if found is None:
            ways = (activation.direct, *(step for _, step in activation.steps))
            found = self._steps[key] = tuple(as_closure(way, self.domain, on or date.min) for way in ways)
        direct, *steps = found
        if direct(codes) == TRUE:
            return None
        says = (activation.definition.fallback[place].says for place, _ in activation.steps)
        return next((text for text, step in zip(says, steps, strict=True) if step(codes) == TRUE), None)

    def _lead_codes(self, facts: Facts) -> list[tuple[int, ...]]:
        one = facts.one
        if one is not None and one.keys() >= self._unknown.keys():
            return [tuple([one[name] for name in self._facts])]
        columns = [(name, facts.columns.get(name)) for name in self._facts]
        # A fact that nothing tells yet, such as the band, has one code for everybody.
        lists = [
            [self._unknown[name]] * facts.n if c is None else c.ravel().tolist() * (facts.n if c.size == 1 else 1)
            for name, c in columns
        ]
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

    def _for(self, on: date, after_readiness: bool) -> _Compiled:
        found = self._compiled.get((on, after_readiness))
        if found is None:
            kept = [c for (_, after), c in self._compiled.items() if after == after_readiness and not self.dated]
            found = _Compiled.of(self, on, after_readiness, kept[0] if kept else None)
            if len(self._compiled) > 64:
                self._compiled.clear()
            self._compiled[on, after_readiness] = found
        return found


def told(name: str, value: str | int | None) -> list[str | int]:
    """A fact as answers give it: [fact, known, value], or [fact, unknown]."""
    return [name, "unknown"] if value is None else [name, "known", value]


_ScalarForm = Callable[..., tuple[bool, ...]]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """Entry and exit of every segment for one day, in both forms; an inactive segment has neither.

    The scalar forms take the codes of all facts of the map and answer for every segment.
    """

    terms: Terms
    primary_order: tuple[int, ...]
    enters: _ScalarForm
    leaves: _ScalarForm
    entry: ConditionProgram
    entry_and_exit: ConditionProgram
    segments: int

    @classmethod
    def of(cls, map_: SegmentMap, on: date, after_readiness: bool, same: _Compiled | None) -> _Compiled:
        active = map_.active(on)
        if same is not None and np.array_equal(same.terms.active, active):
            return same
        judged = map_.overlays if after_readiness else ~map_.overlays
        terms = Terms.of(map_.definitions, active, judged, map_.overlays)
        held = active & judged
        counted = [a if held[s] and a.enter is not None else None for s, a in enumerate(map_.activations)]
        enter = [a.enter if a else None for a in counted]
        leave = [a.exit if a else None for a in counted]
        return cls(
            terms,
            tuple(terms.primaries.tolist()),
            map_.scalar_form("enters", enter, on),
            map_.scalar_form("leaves", leave, on),
            ConditionProgram.of(enter, map_.domain, on),
            ConditionProgram.of([*enter, *leave], map_.domain, on),
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
        if not with_exit:
            enter = self.entry(columns, n)
            return enter, np.zeros_like(enter)
        both = self.entry_and_exit(columns, n)
        return both[:, : self.segments], both[:, self.segments :]


def _activation(definition: SegmentDefinition, domain: Domain) -> Activation:
    parsed = {key: parse(text, domain.facts, domain.parameters) for key, text in definition.conditions().items()}
    direct = parsed.get("enter")
    steps: list[tuple[int, Condition]] = []
    for place, step in enumerate(definition.fallback):
        use = parsed.get(f"fallback.{place}.use")
        if use is not None:
            steps.append((place, And((*(IsUnknown(fact) for fact in step.missing), use))))
    enter = Or((direct, *(way for _, way in steps))) if direct is not None and steps else direct
    leave = parsed.get("exit")
    used = (fact for condition in (enter, leave) if condition is not None for fact in facts_used(condition))
    return Activation(definition, direct, tuple(steps), enter, leave, tuple(dict.fromkeys(used)))
