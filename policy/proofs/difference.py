"""What a change of the rule book does: for each channel, gate and day whether it widens, narrows, both or nothing.

Both books are read over the same leads. A value that one dictionary lacks is unknown to that book, a channel that it
lacks is never allowed there. Cards and parameters change on dates, so the two are compared on every day from the given
one on which either begins to say something new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

import z3

from configs.cards import FactDeclaration, Gate, RuleCard
from configs.errors import InputInvalid
from configs.rule_approvals import PARTS, policy_digest
from configs.settings import Settings
from features.evaluate import Domain
from policy.book import Book, Rule
from policy.proofs.counterexample import Code, Codes, Counterexample, ProofDisagrees
from policy.proofs.terms import Point, Term, meaning

GATES: tuple[Gate, ...] = ("feature", "action", "send")
Direction = Literal["same", "widens", "narrows", "both"]
# Keys of a card that decide nothing, and those that decide only what becomes of a denial.
WORDS = {"title", "says", "legal", "review", "examples"}
HANDLING = {"effect", "reason", "reason_unknown", "route_to"}
_STOPPING = {"forbid", "reroute", "review", "suppress_until", "limit_content"}


@dataclass(frozen=True, slots=True)
class Change:
    """What one channel at one gate on one day becomes; `place` may also be scoring, or one card about features."""

    day: date
    gate: str
    place: str
    direction: Direction
    wider: Counterexample | None = None
    narrower: Counterexample | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that was found: `facts` names the parts that make facts and differ, of which nothing can be proved."""

    old: str
    new: str
    changes: tuple[Change, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    edited: tuple[str, ...]
    handling: tuple[str, ...]
    wording: tuple[str, ...]
    facts: tuple[str, ...]

    @property
    def direction(self) -> Direction:
        """The whole change in one word; changed facts count as both, because no proof covers them."""
        found = {change.direction for change in self.changes} - {"same"}
        if self.facts:
            found.add("both")
        if not found:
            return "same"
        return next(iter(found)) if len(found) == 1 else "both"

    @property
    def approvals(self) -> int:
        """How many people must approve: two where anything may widen, one where it narrows or handles otherwise."""
        if self.direction in ("widens", "both"):
            return 2
        return 1 if self.direction == "narrows" or self.handling else 0


class _Shared(Point):
    """A point both books look at: codes of the joint dictionary, unknown wherever a book's own does not know them."""

    def __init__(self, joint: Domain, own: Settings) -> None:
        super().__init__(joint)
        self._own = own.facts

    def unknown(self, fact: str) -> Term:
        declared = self._own[fact]
        if declared.type == "int":
            return z3.Not(z3.And(self[fact] >= declared.min, self[fact] <= declared.max))
        return z3.Not(z3.Or([self[fact] == self.domain.code(fact, value) for value in declared.values]))


@dataclass(frozen=True)
class _Side:
    """One of the two books on one day at one gate."""

    settings: Settings
    book: Book
    point: _Shared
    code: Code

    @classmethod
    def of(cls, settings: Settings, on: date, gate: Gate, joint: Mapping[str, FactDeclaration]) -> _Side:
        domain = Domain(joint, settings.parameters)
        book = Book.load(settings, on, gate)
        return cls(settings, book, _Shared(domain, settings), Code(book))

    def fires(self, rule: Rule) -> Term:
        must, may = meaning(rule.condition, self.point, self.book.on)
        return must if rule.card.effect == "permit" else may

    def allowed(self, channel: str) -> Term:
        if channel not in self.book.channels:
            return z3.BoolVal(False)
        at = self.book.channels.index(channel)
        permits = [self.fires(rule) for rule in self.book.permits if at in rule.channels]
        blocks = [self.fires(rule) for rule in self.book.rules if at in rule.channels]
        return z3.And(z3.Or(permits), z3.Not(z3.Or(blocks))) if permits else z3.BoolVal(False)

    def places(self) -> dict[str, Term]:
        """What else may be done or not: scoring, and what each card lets features and people see."""
        scoring = [z3.Not(self.fires(rule)) for rule in self.book.score_rules]
        found: dict[str, Term] = {"scoring": z3.And(scoring) if scoring else z3.BoolVal(True)}
        for rule in self.book.feature_rules:
            found[f"features, {rule.id}"] = z3.Not(self.fires(rule))
        return found

    def codes(self, codes: Codes) -> dict[str, int]:
        """Codes of the joint dictionary as this book's own."""
        found = {}
        for fact, code in codes.items():
            declared = self.settings.facts.get(fact)
            if declared is None:
                continue
            value = self.point.domain.value(fact, code)
            if declared.type == "int":
                found[fact] = code if declared.min <= code <= declared.max else -1
            else:
                found[fact] = declared.values.index(str(value)) + 1 if value in declared.values else 0
        return found


def compare(old: Settings, new: Settings, on: date) -> Difference:
    """Compare two configurations from a day on.

    Raises:
        ProofDisagrees: z3's example lead is none for the code that serves.
    """
    joint = _joint(old.facts, new.facts)
    changes: list[Change] = []
    for day in _days(old, new, on):
        for gate in GATES:
            changes += _at(_Side.of(old, day, gate, joint), _Side.of(new, day, gate, joint), gate)
    before, after = ({card.id: card for card in settings.rules} for settings in (old, new))
    both = [(before[name], after[name]) for name in before if name in after]
    return Difference(
        old=policy_digest(old),
        new=policy_digest(new),
        changes=tuple(changes),
        added=tuple(sorted(set(after) - set(before))),
        removed=tuple(sorted(set(before) - set(after))),
        edited=tuple(b.id for a, b in both if _differ(a, b, None)),
        handling=tuple(b.id for a, b in both if _differ(a, b, HANDLING)),
        wording=tuple(b.id for a, b in both if _differ(a, b, WORDS)),
        facts=tuple(
            part
            for part in PARTS
            if part not in ("rules", "parameters") and hasattr(new, part)
            and (not hasattr(old, part) or old.digest(part) != new.digest(part))
        ),
    )  # fmt: skip


def _at(old: _Side, new: _Side, gate: str) -> Iterator[Change]:
    channels = dict.fromkeys((*old.book.channels, *new.book.channels))
    asked = () if gate == "feature" else channels
    pairs = {channel: (old.allowed(channel), new.allowed(channel)) for channel in asked}
    before, after = old.places(), new.places()
    yes = z3.BoolVal(True)
    pairs |= {place: (before.get(place, yes), after.get(place, yes)) for place in dict.fromkeys((*before, *after))}
    solver = z3.Solver()
    for point in (old.point, new.point):
        solver.add(point.within())

    for place, (was, now) in pairs.items():
        found: dict[str, Counterexample | None] = {}
        for word, claim in (("wider", z3.And(now, z3.Not(was))), ("narrower", z3.And(was, z3.Not(now)))):
            solver.push()
            solver.add(claim)
            if solver.check() == z3.sat:
                model = solver.model()
                codes = {**old.point.codes_of(model), **new.point.codes_of(model)}
                found[word] = _example(old, new, codes, place, gate, channels, word == "wider")
            solver.pop()
        words: dict[tuple[bool, bool], Direction] = {
            (False, False): "same", (True, False): "widens", (False, True): "narrows", (True, True): "both",
        }  # fmt: skip
        direction = words["wider" in found, "narrower" in found]
        yield Change(new.book.on, gate, place, direction, found.get("wider"), found.get("narrower"))


def _example(
    old: _Side, new: _Side, codes: Codes, place: str, gate: str, channels: Mapping[str, None], wider: bool
) -> Counterexample:
    """An example lead, re-run through both books' generated code, with as few facts as still show the difference."""
    values = {fact: old.point.domain.value(fact, code) for fact, code in codes.items()}
    if place not in channels:
        return Counterexample(place, gate, {k: v for k, v in values.items() if v is not None}, allowed=wider)

    def shows(at: Codes) -> bool:
        said = [place in side.book.channels and side.code.allows(side.codes(at), place) for side in (old, new)]
        return said == [not wider, wider]

    if not shows(codes):
        raise ProofDisagrees(f"{place}: z3 and the code differ on an example lead: {dict(codes)}")
    kept = dict(codes)
    for fact in codes:
        unknown = old.point.domain.unknown(fact)
        if kept[fact] != unknown and shows({**kept, fact: unknown}):
            kept[fact] = unknown
    found = {fact: old.point.domain.value(fact, code) for fact, code in kept.items()}
    return Counterexample(place, gate, {k: v for k, v in found.items() if v is not None}, allowed=wider)


def _joint(old: Mapping[str, FactDeclaration], new: Mapping[str, FactDeclaration]) -> dict[str, FactDeclaration]:
    """One dictionary with every value of both; raises InputInvalid where a fact of one name is of two types."""
    found = dict(old)
    for name, declared in new.items():
        other = found.get(name)
        if other is None:
            found[name] = declared
            continue
        if (other.type == "int") != (declared.type == "int"):
            raise InputInvalid("policy/facts.yaml", f"{name} was {other.type} and is {declared.type}: name it anew")
        found[name] = other.model_copy(
            update={
                "values": tuple(dict.fromkeys((*other.values, *declared.values))),
                "min": min(other.min, declared.min),
                "max": max(other.max, declared.max),
            }
        )
    return found


def _days(old: Settings, new: Settings, on: date) -> list[date]:
    """The day, and every later one on which a card or a parameter of either book begins or ends."""
    days = {on}
    for settings in (old, new):
        for card in settings.rules:
            days |= {day for day in (card.effective.start, card.effective.until) if day is not None}
        for parameter in settings.parameters.values():
            days |= set(parameter.values)
    return sorted(day for day in days if day >= on)


def _differ(before: RuleCard, after: RuleCard, keys: set[str] | None) -> bool:
    """Whether a card differs only in the given keys, or (None) in what decides: condition, channels, gates, days."""
    one, other = before.model_dump(), after.model_dump()
    changed = {key for key in one if one[key] != other[key]}
    if "effect" in changed and {before.effect, after.effect} - _STOPPING:
        changed.add("applies_when")  # from a stop to a permit or a feature card: another kind of card
    if keys is None:
        return bool(changed - WORDS - HANDLING)
    if keys is HANDLING:
        return bool(changed & HANDLING) and not changed - WORDS - HANDLING
    return bool(changed) and not changed - WORDS


def summary(changes: Sequence[Change]) -> list[Change]:
    """One line a place: gates and days that say the same are told once, by the first of them."""
    found: dict[tuple[str, str], Change] = {}
    for change in changes:
        if change.direction != "same":
            found.setdefault((change.place, change.direction), replace(change))
    return list(found.values())
