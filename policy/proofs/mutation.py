"""Judging mutants of the book: examples first, because they are quick, then the proofs that a change can break.

A mutant that changes no decision on any lead, channel and gate (z3 proves it) is set apart: nothing could notice it,
because another card stops the same. It is neither killed nor survived.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeVar

import z3

from configs.errors import LeadwellError
from configs.settings import Settings
from policy.book import Book, Rule
from policy.examples import run_examples
from policy.proofs.difference import GATES
from policy.proofs.mutants import BookMutant
from policy.proofs.prover import Parsed, parsed
from policy.proofs.reachable import REACHABLE
from policy.proofs.relations import QUEUES
from policy.proofs.restated import PROMISES
from policy.proofs.terms import BookTerms, Point, Term, meaning, places_of, stops_of, term

T = TypeVar("T")
Fate = Literal["example", "load", "proof", "equivalent", "survived"]
# Changes nothing that a reader of the answer could decide otherwise by, but what a denial is called.
NO_DECISION = "no decision changes on any lead, channel and gate"
UNNOTICED = "no example, proof or comparison notices"


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a mutant, and by which example or proof."""

    kind: str
    where: str
    what: str
    fate: Fate
    by: str


@dataclass(frozen=True)
class _Gate:
    """The unchanged book at one gate, its terms, and a solver that knows the domains."""

    book: Book
    point: Point
    terms: BookTerms
    solver: z3.Solver


class Judge:
    """Judges mutants against the book they were made of; what the unchanged book says is worked out once."""

    def __init__(self, settings: Settings, on: date) -> None:
        self.settings, self.on = settings, on
        self._promises = [parsed(promise, settings) for promise in PROMISES]
        self._reachable = [parsed(one, settings) for one in REACHABLE]
        self._gates = {gate: self._gate(Book.load(settings, on, gate)) for gate in GATES}

    def _gate(self, book: Book) -> _Gate:
        point = Point(book.domain)
        terms = BookTerms(book, point)
        _ = terms.by_channel
        for fact in self.settings.facts:
            point[fact]  # a mutant may look at any fact
        solver = z3.Solver()
        solver.add(point.within(), *terms.definitions)
        return _Gate(book, point, terms, solver)

    def judge(self, mutant: BookMutant) -> Judged:
        """Examples, then whether anything changed at all, then every proof that a change can break."""

        def judged(fate: Fate, by: str) -> Judged:
            return Judged(mutant.kind, mutant.where, mutant.what, fate, by)

        try:
            own = tuple(card for card in mutant.settings.rules if card.id in mutant.cards)
            failed = next(
                (r for r in run_examples(mutant.settings.model_copy(update={"rules": own})) if not r.holds), None
            )
            if failed is not None:
                return judged("example", f"{failed.card} example {failed.number}")
            books = {gate: Book.load(mutant.settings, self.on, gate) for gate in GATES}
        except LeadwellError as error:
            return judged("load", str(error)[:120])
        changed = False
        for gate, book in books.items():
            base = self._gates[gate]
            terms = _Changed(book, base)
            for channel in places_of(gate, book.channels):
                apart = self._apart(base, terms, channel)
                if apart is None:
                    continue
                changed = True
                broken = self._broken(base, terms, gate, channel, apart)
                if broken is not None:
                    return judged("proof", broken)
        return judged("survived", UNNOTICED) if changed else judged("equivalent", NO_DECISION)

    def _apart(self, base: _Gate, terms: _Changed, channel: str) -> tuple[bool, bool] | None:
        """(widens, narrows) of one channel, None where it stays the same."""
        if not terms.touches(channel):
            return None
        was, now = base.terms.by_channel[channel], terms.allowed(channel)
        wider = _possible(base.solver, now, z3.Not(was))
        narrower = _possible(base.solver, was, z3.Not(now))
        return (wider, narrower) if wider or narrower else None

    def _broken(self, base: _Gate, terms: _Changed, gate: str, channel: str, apart: tuple[bool, bool]) -> str | None:
        """The first promise, reachable lead or re-route that the changed book breaks on a channel."""
        widens, narrows = apart
        allowed = terms.allowed(channel)
        if widens:
            own = [one for one in self._promises if gate in getattr(one.of, "gates", ())]
            for one, must in self._meant(own, base, channel):
                if _possible(base.solver, allowed, z3.Not(must)):
                    return f"{one.of.family} {one.of.words}, {channel}"
        if narrows:
            for one, must in self._meant(self._reachable, base, channel):
                if not _possible(base.solver, allowed, must):
                    return f"{one.of.family} {one.of.words}, {channel}"
        for words, (facts, queue) in QUEUES.items() if channel in terms.book.channels else ():
            lead = z3.And([base.point.is_value(fact, value) for fact, value in facts.items()])
            routed = [
                terms.fires(r) for r in terms.on(terms.book.rules, channel)
                if r.card.effect == "reroute" and r.card.route_to == queue
            ]  # fmt: skip
            if _possible(base.solver, lead, z3.Not(z3.Or(routed))):
                return f"C-10 {words}, {channel}"
        return None

    def _meant(self, ones: Sequence[Parsed], base: _Gate, channel: str) -> Iterator[tuple[Parsed, Term]]:
        for one in ones:
            if one.condition is not None and channel in one.of.channels:
                yield one, meaning(one.condition, base.point, self.on)[0]


class _Changed:
    """The mutated book at one gate; rules that did not change share the terms of the unchanged book."""

    def __init__(self, book: Book, base: _Gate) -> None:
        self.book, self._base = book, base
        self._known = {rule.id: rule for rule in _every(base.book)}
        self._allowed: dict[str, Term] = {}
        # A parameter changes what is compiled, not what is written.
        self._same = {
            rule.id for rule in _every(book)
            if (old := self._known.get(rule.id)) is not None and old.normal == rule.normal
            and (old.card.effect == "permit") == (rule.card.effect == "permit")
        }  # fmt: skip

    def fires(self, rule: Rule) -> Term:
        if rule.id in self._same:
            return self._base.terms.fires(self._known[rule.id])
        return term(rule.normal, self._base.point, must=rule.card.effect == "permit")

    def on(self, rules: Sequence[Rule], channel: str) -> list[Rule]:
        at = self.book.channels.index(channel)
        return [rule for rule in rules if at in rule.channels]

    def touches(self, channel: str) -> bool:
        """Whether any card that speaks on the channel differs, is gone or is new there."""
        mine, theirs = (
            {
                r.id
                for r in (
                    self.on((*side.rules, *side.permits), channel)
                    if channel in side.channels
                    else stops_of(side, channel)
                )
            }
            for side in (self.book, self._base.book)
        )
        return mine != theirs or not mine <= self._same

    def allowed(self, channel: str) -> Term:
        if channel not in self._allowed:
            is_channel = channel in self.book.channels
            rules = self.on(self.book.rules, channel) if is_channel else stops_of(self.book, channel)
            permits = [self.fires(rule) for rule in self.on(self.book.permits, channel)] if is_channel else [True]
            self._allowed[channel] = z3.And(z3.Or(permits), z3.Not(z3.Or([self.fires(rule) for rule in rules])))
        return self._allowed[channel]


def _every(book: Book) -> tuple[Rule, ...]:
    return (*book.rules, *book.permits, *book.score_rules, *book.feature_rules)


def _possible(solver: z3.Solver, *claims: Term) -> bool:
    solver.push()
    solver.add(*claims)
    found = solver.check() == z3.sat
    solver.pop()
    return bool(found)


def sampled(mutants: Sequence[T], sample: int | None, seed: int) -> list[T]:
    """All mutants, or so many of them drawn by a seed, in their order."""
    if sample is None or sample >= len(mutants):
        return list(mutants)
    drawn = random.Random(seed).sample(range(len(mutants)), sample)  # noqa: S311 - a sample, not a secret
    return [mutants[place] for place in sorted(drawn)]


def judge_all(
    judge: Judge, mutants: Sequence[BookMutant], tell: Callable[[int, int], None] | None = None
) -> list[Judged]:
    """Judge each mutant; `tell(done, all)` hears of every one."""
    found = []
    for done, mutant in enumerate(mutants, start=1):
        found.append(judge.judge(mutant))
        if tell is not None:
            tell(done, len(mutants))
    return found
