"""Every invariant over a compiled book: proved by z3 for each channel, or broken by a lead that was re-run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import z3

from configs.conditions import Condition, facts_used, parse
from configs.errors import ConditionInvalid
from configs.settings import Settings
from policy.book import Book
from policy.proofs.counterexample import (
    Code,
    Codes,
    Counterexample,
    ProofDisagrees,
    fewest,
    in_words,
)
from policy.proofs.kleene import TRUE, truth
from policy.proofs.promises import Promise, Reachable
from policy.proofs.reachable import REACHABLE
from policy.proofs.restated import PROMISES
from policy.proofs.terms import BookTerms, Point, Term, meaning, places_of

# Facts that only ever speak against contact, with the value that does.
RESTRICTIVE = {
    "opt_out": "yes", "email_opt_out": "yes", "erased_or_restricted": "yes", "consent": "withdrawn",
    "consent_withdrawn": "yes", "hard_bounce": "yes", "do_not_call": "yes", "no_contact": "yes",
    "reduced_communication": "yes", "open_case": "yes", "off_label_open": "yes", "adverse_event_open": "yes",
    "meeting_booked": "yes", "asset_repeated": "yes", "profiling_objection": "yes", "identity_conflict": "yes",
    "sharing_opt_out": "yes", "opt_out_pending": "yes", "role_address": "yes", "tcpa_revoked": "yes",
    "tcpa_revoked_any": "yes", "channel_paused": "yes", "prescriber_restricted": "yes", "phi_source": "yes",
    "third_party_source": "yes", "asset_value_transfer": "yes", "asset_reveals_condition": "yes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one invariant on one channel at one gate; `why` says what a failure or an exception is."""

    invariant: str
    words: str
    gate: str
    channel: str
    holds: bool
    seconds: float
    why: str = ""
    counterexample: Counterexample | None = None
    witnesses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """A promise or a reachable lead with its condition, None where the dictionary lacks a fact or value it names."""

    of: Promise | Reachable
    condition: Condition | None
    why: str = ""


class Prover:
    """One book at one gate, with its terms and a solver that knows the domain of every fact."""

    def __init__(
        self, settings: Settings, book: Book, gate: str, compiled: set[str] | None = None, *, reach: bool = True
    ) -> None:
        self.book, self.gate, self.code = book, gate, Code(book)
        # Cards whose compiled form was proved already; it is the same at every gate.
        self.compiled: set[str] = set() if compiled is None else compiled
        self.promises = [parsed(promise, settings) for promise in PROMISES]
        self.reachable = [parsed(one, settings) for one in REACHABLE] if reach else []
        self.point = Point(book.domain)
        self.terms = BookTerms(book, self.point)
        self.places = places_of(gate, book.channels)
        self.allowed = {place: self.terms.by_channel[place] for place in self.places}
        for one in (*self.promises, *self.reachable):
            for fact in facts_used(one.condition) if one.condition is not None else ():
                self.point[fact]
        self.solver = z3.Solver()
        self.solver.add(self.point.within(), *self.terms.definitions)

    def verdicts(self) -> Iterator[Verdict]:
        """Every invariant, channel by channel."""
        from policy.proofs import relations

        for one in self.promises:
            if self.gate in getattr(one.of, "gates", ()):
                yield from self._promise(one)
        yield from relations.verdicts(self)
        for one in self.reachable:
            yield from self._reachable(one)

    def model(self, *claims: Term) -> Codes | None:
        """Codes of a point where all claims hold, None where there is none."""
        self.solver.push()
        self.solver.add(*claims)
        try:
            if self.solver.check() != z3.sat:
                return None
            return self.point.codes_of(self.solver.model())
        finally:
            self.solver.pop()

    def verdict(self, family: str, words: str, channel: str, started: float, why: str = "",
                broken: Counterexample | None = None, *, holds: bool | None = None) -> Verdict:  # fmt: skip
        """A verdict with the time since `started`, in seconds of this process."""
        took = time.process_time() - started
        passed = broken is None if holds is None else holds
        return Verdict(family, words, self.gate, channel, passed, took, why, broken)

    def _promise(self, one: Parsed) -> Iterator[Verdict]:
        promise, condition = one.of, one.condition
        if condition is None:
            yield self.verdict(promise.family, promise.words, "", time.process_time(), one.why, holds=False)
            return
        must, _ = meaning(condition, self.point, self.book.on)
        for channel in (c for c in promise.channels if c in self.allowed):
            started = time.process_time()
            codes = self.model(self.allowed[channel], z3.Not(must))
            broken = None if codes is None else self._broken(codes, condition, channel)
            carried_by = self.witnesses(channel, must) if broken is None else ()
            why = getattr(promise, "exceptions", "")
            found = self.verdict(promise.family, promise.words, channel, started, why, broken)
            yield replace(found, witnesses=carried_by)

    def witnesses(self, channel: str, must: Term) -> tuple[str, ...]:
        """The few cards that carry a proved promise by themselves; `permits` stands for all permits of the channel."""
        claims = {rule.id: z3.Not(self.terms.fires(rule)) for rule in self.terms.rules_on(channel)}
        if channel in self.book.channels:
            claims["permits"] = z3.Or([self.terms.fires(rule) for rule in self.terms.permits_on(channel)])
        marks = {name: z3.Bool(f"carries {name}") for name in claims}
        self.solver.push()
        self.solver.add(z3.Not(must), *(z3.Implies(marks[name], claim) for name, claim in claims.items()))
        try:
            # A rule that says it in so many words is a better witness than what all permits happen to have in common.
            without = [mark for name, mark in marks.items() if name != "permits"]
            if self.solver.check(*without) != z3.unsat and self.solver.check(*marks.values()) != z3.unsat:
                return ()
            core = {str(mark) for mark in self.solver.unsat_core()}
            needed = [name for name in claims if f"carries {name}" in core]
            for name in tuple(needed):
                fewer = [marks[other] for other in needed if other != name]
                if self.solver.check(*fewer) == z3.unsat:
                    needed.remove(name)
            return tuple(needed)
        finally:
            self.solver.pop()

    def _broken(self, codes: Codes, condition: Condition, channel: str) -> Counterexample:
        """The counterexample as the real code has it; raises ProofDisagrees where that says something else."""
        domain, on = self.book.domain, self.book.on

        def breaks(at: Codes) -> bool:
            return self.code.allows(at, channel) and truth(condition, at, domain, on) != TRUE

        if not breaks(codes):
            raise ProofDisagrees(f"{channel}: z3 found a lead that the code does not allow: {dict(codes)}")
        return Counterexample(channel, self.gate, in_words(self.book, fewest(codes, self.book, breaks)))

    def _reachable(self, one: Parsed) -> Iterator[Verdict]:
        wanted, condition = one.of, one.condition
        if condition is None:
            yield self.verdict(wanted.family, wanted.words, "", time.process_time(), one.why, holds=False)
            return
        must, _ = meaning(condition, self.point, self.book.on)
        for channel in (c for c in wanted.channels if c in self.allowed):
            started = time.process_time()
            codes = self.model(self.allowed[channel], must)
            if codes is not None and not self.code.allows(codes, channel):
                raise ProofDisagrees(f"{channel}: z3 allows a lead that the code does not: {dict(codes)}")
            why = "" if codes is not None else "no lead like this is allowed: the book forbids too much"
            yield self.verdict(wanted.family, wanted.words, channel, started, why, holds=codes is not None)


def parsed(one: Promise | Reachable, settings: Settings) -> Parsed:
    """A promise over the dictionary of a configuration."""
    try:
        return Parsed(one, parse(one.says, settings.facts, settings.parameters))
    except ConditionInvalid as error:
        return Parsed(one, None, f"this configuration cannot say it: {error}")


def prove(
    settings: Settings, books: Sequence[tuple[str, Book]], tell: Callable[[Verdict], None] | None = None
) -> list[Verdict]:
    """Every invariant over the books of the gates, in the order of their ids.

    Raises:
        ProofDisagrees: a counterexample or example of z3 is none for the code that serves.
    """
    found: list[Verdict] = []
    compiled: set[str] = set()
    for gate, book in books:
        # What a gate with at least these rules and at most these permits allows is allowed here too.
        reach = not any(other is not book and _holds_more(other, book) for _, other in books)
        for verdict in Prover(settings, book, gate, compiled, reach=reach).verdicts():
            found.append(verdict)
            if tell is not None:
                tell(verdict)
    return sorted(found, key=lambda verdict: (verdict.invariant[0] != "C", verdict.invariant))


def _holds_more(other: Book, book: Book) -> bool:
    """Whether whatever another gate's book allows is allowed by this one, by the cards each holds."""
    rules = {rule.id for rule in book.rules}
    permits = {permit.id for permit in book.permits}
    given = {permit.id for permit in other.permits}
    return bool(given) and given <= permits and {rule.id for rule in other.rules} > rules
