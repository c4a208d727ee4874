"""Conditions and whole books as z3 terms over one point: a lead, a channel and an asset.

A fact is a constant: an enumeration or yes/no is BitVec(8) with 0 for unknown, a number is Int with -1 for unknown. One
code that no value has (255) stays in the domain, because a stray code must count as unknown too. The rules of a book
are read from their compiled normal form, with the same *must* and *may* as the generated Python; what is to be proved
is read from the syntax tree (policy/proofs/kleene.py), so that a slip of the compiler cannot hide in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any

import z3

from configs.conditions import And, Compare, Condition, In, IsUnknown, Not, Or
from features.evaluate import All, AnyOf, CodeIs, Domain, Known, Normal, NumberIs
from policy.book import Book, Rule
from policy.proofs.kleene import COMPARISONS, constant

STRAY = 255
# These stand beside the channels: may the lead be scored, may a datum be used, may sales see it.
SCORING, FEATURES, VIEW = "scoring", "features", "view"
_EFFECTS = {SCORING: "no_score", FEATURES: "drop_feature", VIEW: "mask"}
Term = Any  # z3 ships no types


class Point:
    """One constant for each fact of the dictionary, made when first asked for; `mark` tells two copies apart."""

    def __init__(self, domain: Domain, mark: str = "") -> None:
        self.domain, self.mark = domain, mark
        self._made: dict[str, Term] = {}

    def __getitem__(self, fact: str) -> Term:
        """The constant of a fact."""
        if fact not in self._made:
            name = fact + self.mark
            self._made[fact] = z3.Int(name) if self.domain.is_number(fact) else z3.BitVec(name, 8)
        return self._made[fact]

    @property
    def facts(self) -> tuple[str, ...]:
        """Facts asked for so far."""
        return tuple(self._made)

    def within(self) -> Term:
        """Every fact asked for so far has a value, is unknown, or (an enumeration) has a code that no value has."""
        return z3.And([self._within(fact) for fact in self._made] or [z3.BoolVal(True)])

    def _within(self, fact: str) -> Term:
        declared, term = self.domain.facts[fact], self[fact]
        if declared.type == "int":
            return z3.Or(term == -1, z3.And(term >= declared.min, term <= declared.max))
        return z3.Or(z3.ULE(term, len(declared.values)), term == STRAY)

    def unknown(self, fact: str) -> Term:
        """The fact is unknown, as the engine understands it: a stray code is no value."""
        declared, term = self.domain.facts[fact], self[fact]
        if declared.type == "int":
            return term < 0
        return z3.Or(term == 0, z3.UGT(term, len(declared.values)))

    def is_value(self, fact: str, value: str) -> Term:
        """The fact surely has this value."""
        return self[fact] == self.domain.code(fact, value)

    def codes_of(self, model: Any) -> dict[str, int]:
        """The codes of a model; a fact that the model leaves open is unknown."""
        found = {}
        for fact, term in self._made.items():
            code = model.eval(term)
            found[fact] = code.as_long() if z3.is_int_value(code) or z3.is_bv_value(code) else self.domain.unknown(fact)
        return found


def term(normal: Normal, point: Point, *, must: bool) -> Term:
    """One reading of a normal form: the same leaves, masks and comparisons as the generated Python has."""
    match normal:
        case All(parts):
            return z3.And([term(part, point, must=must) for part in parts])
        case AnyOf(parts):
            return z3.Or([term(part, point, must=must) for part in parts])
        case CodeIs(fact, codes, others):
            return _among(point[fact], codes) if must else z3.Not(_among(point[fact], others))
        case NumberIs(fact, sign, number):
            holds = COMPARISONS[sign](point[fact], number)
            return z3.And(point[fact] >= 0, holds) if must else z3.Or(point[fact] < 0, holds)
        case Known(fact, known, is_number, values):
            is_known = point[fact] >= 0 if is_number else _among(point[fact], values)
            return is_known if known else z3.Not(is_known)


def meaning(condition: Condition, point: Point, on: date) -> tuple[Term, Term]:
    """(must, may) of a condition by Kleene's tables over its syntax tree, without the compiler."""
    match condition:
        case Not(part):
            must, may = meaning(part, point, on)
            return z3.Not(may), z3.Not(must)
        case And(parts) | Or(parts):
            join = z3.And if isinstance(condition, And) else z3.Or
            pairs = [meaning(part, point, on) for part in parts]
            return join([must for must, _ in pairs]), join([may for _, may in pairs])
        case IsUnknown(fact):
            return point.unknown(fact), point.unknown(fact)
        case In(fact, values):
            holds = z3.Or([point.is_value(fact, value) for value in values])
        case Compare(fact, sign, value):
            wanted = constant(value, point.domain, on)
            code = wanted if isinstance(wanted, int) else point.domain.code(fact, wanted)
            holds = COMPARISONS[sign](point[fact], code)
    unknown = point.unknown(fact)
    return z3.And(z3.Not(unknown), holds), z3.Or(unknown, holds)


class BookTerms:
    """A compiled book over one point: when each rule fires, each permit counts, and when a channel is allowed.

    Each card is a name (a Bool) that `definitions` explain once, so a question to the solver stays small. A solver that
    was not given the definitions knows nothing of the book. `name` tells two books over one point apart.
    """

    def __init__(self, book: Book, point: Point, name: str = "") -> None:
        self.book, self.point, self._name = book, point, name
        self._fires: dict[int, Term] = {}
        self.definitions: list[Term] = []

    def fires(self, rule: Rule) -> Term:
        """The rule blocks (it may hold), or the permit counts (it must hold)."""
        key = id(rule)
        if key not in self._fires:
            self._fires[key] = z3.Bool(f"{rule.id}{self._name}{self.point.mark}")
            reads = term(rule.normal, self.point, must=rule.card.effect == "permit")
            self.definitions.append(self._fires[key] == reads)
        return self._fires[key]

    def rules_on(self, channel: str) -> tuple[Rule, ...]:
        """Rules that speak on a channel, or about scoring, features or what sales sees."""
        return stops_of(self.book, channel) if channel in _EFFECTS else _speaking(self.book, self.book.rules, channel)

    def permits_on(self, channel: str) -> tuple[Rule, ...]:
        """Permits that speak on a channel."""
        return _speaking(self.book, self.book.permits, channel)

    def allowed(self, channel: str, without: Sequence[str] = ()) -> Term:
        """Some permit counts and no rule blocks, as if the cards of `without` were not there."""
        if channel in _EFFECTS:
            return z3.Not(z3.Or([self.fires(rule) for rule in self.rules_on(channel) if rule.id not in without]))
        permits = [self.fires(rule) for rule in self.permits_on(channel) if rule.id not in without]
        blocks = [self.fires(rule) for rule in self.rules_on(channel) if rule.id not in without]
        return z3.And(z3.Or(permits), z3.Not(z3.Or(blocks))) if permits else z3.BoolVal(False)

    @cached_property
    def by_channel(self) -> Mapping[str, Term]:
        """Whether each channel is allowed, the lead may be scored, a datum used and seen."""
        found = {channel: self.allowed(channel) for channel in self.book.channels}
        for place in _EFFECTS:
            found[place] = z3.Not(z3.Or([self.fires(rule) for rule in stops_of(self.book, place)]))
        for fact, _, _ in self.book.inputs:
            self.point[fact]  # so that its domain is stated even where no rule left looks at it
        return found


def places_of(gate: str, channels: Sequence[str]) -> tuple[str, ...]:
    """What a gate decides: data at the feature gate; channels at the others, and who is scored at the action gate."""
    if gate == "feature":
        return FEATURES, VIEW
    return (*channels, SCORING) if gate == "action" else tuple(channels)


def stops_of(book: Book, place: str) -> tuple[Rule, ...]:
    """The cards that stop scoring, the use of a datum, or that sales sees it."""
    return tuple(rule for rule in (*book.score_rules, *book.feature_rules) if rule.card.effect == _EFFECTS[place])


def _speaking(book: Book, rules: Sequence[Rule], channel: str) -> tuple[Rule, ...]:
    index = book.channels.index(channel)
    return tuple(rule for rule in rules if index in rule.channels)


def _among(code: Term, mask: int) -> Term:
    chosen = [value for value in range(mask.bit_length()) if mask >> value & 1]
    return z3.Or([code == value for value in chosen]) if chosen else z3.BoolVal(False)
