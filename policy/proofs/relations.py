"""Invariants that are no plain `allowed => P`: two leads beside each other, what fires, what can happen at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import z3

from configs.dictionary import AFTER_READINESS
from policy.proofs.counterexample import Codes, Counterexample, ProofDisagrees, in_words, ruled
from policy.proofs.terms import BookTerms, Point, Term, meaning, term

if TYPE_CHECKING:
    from policy.book import Rule
    from policy.proofs.prover import Prover, Verdict

QUEUES = {
    "off-label question open => one re-route, to medical information": (
        {"off_label_open": "yes", "off_label_same_product": "yes", "asset_intent": "promotional",
         "adverse_event_open": "no"}, "medical_information",
    ),
    "adverse event open => one re-route, to pharmacovigilance": (
        {"adverse_event_open": "yes", "asset_intent": "promotional", "off_label_open": "no"}, "pharmacovigilance",
    ),
}  # fmt: skip


def verdicts(prover: Prover) -> Iterator[Verdict]:
    """C-02, C-03, the re-route of C-10, C-14, the compiler's part of C-16, C-18 and C-19."""
    if prover.gate != "feature":
        yield from _of_two_leads(prover)
        yield from _rerouted(prover)
    yield from _reasons(prover)
    yield from _compiled(prover)
    yield from _can_fire(prover)
    started = time.process_time()
    seen = [fact for fact, _, _ in prover.book.inputs if fact in AFTER_READINESS]
    yield prover.verdict("C-19", "no rule looks at a score", "", started, ", ".join(seen), holds=not seen)


def _of_two_leads(prover: Prover) -> Iterator[Verdict]:
    from policy.proofs.prover import RESTRICTIVE

    book, first = prover.book, prover.point
    second = Point(book.domain, "'")
    terms = BookTerms(book, second)
    allowed = terms.by_channel
    used = [fact for fact, _, _ in book.inputs]
    completed = z3.And([z3.Or(first.unknown(fact), first[fact] == second[fact]) for fact in used])
    restricted = z3.And(
        [
            z3.Or(first[fact] == second[fact], second.is_value(fact, RESTRICTIVE[fact]))
            if fact in RESTRICTIVE
            else first[fact] == second[fact]
            for fact in used
        ]
    )
    solver = z3.Solver()
    solver.add(first.within(), second.within(), *prover.terms.definitions, *terms.definitions)

    def leads(*claims: Term) -> tuple[Codes, Codes] | None:
        solver.push()
        solver.add(*claims)
        try:
            if solver.check() != z3.sat:
                return None
            return first.codes_of(solver.model()), second.codes_of(solver.model())
        finally:
            solver.pop()

    for family, words, relation, once_allowed in (
        ("C-02", "allowed on partial facts => allowed on every completion", completed, True),
        ("C-03", "a restrictive fact never widens", restricted, False),
    ):
        for channel in book.channels:
            started = time.process_time()
            before, after = prover.allowed[channel], allowed[channel]
            claim = (before, z3.Not(after)) if once_allowed else (after, z3.Not(before))
            pair = leads(relation, *claim)
            broken = None if pair is None else _pair(prover, channel, *pair, once_allowed)
            yield prover.verdict(family, words, channel, started, "", broken)


def _pair(prover: Prover, channel: str, before: Codes, after: Codes, once_allowed: bool) -> Counterexample:
    said = [prover.code.allows(codes, channel) for codes in (before, after)]
    if said != [once_allowed, not once_allowed]:
        raise ProofDisagrees(f"{channel}: z3 and the code differ on two leads: {dict(before)}, {dict(after)}")
    return Counterexample(
        channel, prover.gate, in_words(prover.book, before), in_words(prover.book, after), allowed=once_allowed
    )


def _rerouted(prover: Prover) -> Iterator[Verdict]:
    """An open case is handed to its one queue, on every channel, whatever else is known."""
    for words, (facts, queue) in QUEUES.items():
        lead = z3.And([prover.point.is_value(fact, value) for fact, value in facts.items()])
        for channel in prover.book.channels:
            started = time.process_time()
            routes = [rule for rule in prover.terms.rules_on(channel) if rule.card.effect == "reroute"]
            here = z3.Or([prover.terms.fires(rule) for rule in routes if rule.card.route_to == queue])
            elsewhere = z3.Or([prover.terms.fires(rule) for rule in routes if rule.card.route_to != queue])
            codes = prover.model(lead, z3.Or(z3.Not(here), elsewhere))
            broken = None
            if codes is not None:
                broken = Counterexample(channel, prover.gate, in_words(prover.book, codes), allowed=False)
            yield prover.verdict("C-10", words, channel, started, "", broken)


def _reasons(prover: Prover) -> Iterator[Verdict]:
    """Whatever is denied has a bit that says so, and every bit belongs to a card with words, basis and a reason."""
    started = time.process_time()
    mute = [
        rule.id
        for rule in (*prover.book.rules, *prover.book.permits, *prover.book.score_rules)
        if not (rule.card.says.strip() and rule.card.reason and all(legal.cite.strip() for legal in rule.card.legal))
    ]
    words = "every card says its words, basis and reason"
    yield prover.verdict("C-14", words, "", started, ", ".join(mute), holds=not mute)
    for channel in (place for place in prover.places if place in prover.book.channels):
        started = time.process_time()
        codes = prover.model(z3.Not(prover.allowed[channel]))
        at = prover.book.channels.index(channel)
        holds = codes is None or bool(ruled(prover.book, codes).rule_ids(0, 0, at))
        no_mask = z3.And(
            [z3.Not(prover.terms.fires(rule)) for rule in prover.terms.rules_on(channel)]
            + [z3.Or([prover.terms.fires(rule) for rule in prover.terms.permits_on(channel)] or [z3.BoolVal(False)])]
        )
        silent = prover.model(z3.Not(prover.allowed[channel]), no_mask)
        yield prover.verdict("C-14", "a denial names a rule", channel, started, holds=holds and silent is None)


def _compiled(prover: Prover) -> Iterator[Verdict]:
    """Each card's compiled form fires exactly where its words, by Kleene's tables, are not surely false."""
    book = prover.book
    for rule in (*book.rules, *book.permits, *book.score_rules, *book.feature_rules):
        if rule.id in prover.compiled:
            continue  # proved at another gate
        prover.compiled.add(rule.id)
        started = time.process_time()
        must, may = meaning(rule.condition, prover.point, book.on)
        apart = z3.Or(
            z3.Xor(term(rule.normal, prover.point, must=True), must),
            z3.Xor(term(rule.normal, prover.point, must=False), may),
        )
        codes = prover.model(prover.point.within(), apart)
        broken = None if codes is None else Counterexample("", prover.gate, in_words(book, codes), allowed=False)
        why = f"{rule.id}: the compiled form and the card's words differ" if broken else ""
        yield prover.verdict("C-16", f"{rule.id} compiled as written", "", started, why, broken)


def _can_fire(prover: Prover) -> Iterator[Verdict]:
    """Every rule can fire on each of its channels; where it never decides alone it is redundant, which is reported."""
    for channel in prover.places:
        for rule in () if channel not in prover.book.channels else prover.terms.permits_on(channel):
            started = time.process_time()
            dead = prover.model(prover.terms.fires(rule)) is None
            why = f"{rule.id} never counts" if dead else ""
            yield prover.verdict("C-18", "every permit can count", channel, started, why, holds=not dead)
        for rule in prover.terms.rules_on(channel):
            yield _alone(prover, rule, channel)


def _alone(prover: Prover, rule: Rule, channel: str) -> Verdict:
    started = time.process_time()
    fires = prover.terms.fires(rule)
    others = prover.terms.allowed(channel, (rule.id,))
    alone = prover.model(fires, others)
    words = "every rule can fire"
    if alone is not None:
        return prover.verdict("C-18", words, channel, started)
    if prover.model(fires) is None:
        return prover.verdict("C-18", words, channel, started, f"{rule.id} never fires", holds=False)
    return prover.verdict("C-18", words, channel, started, f"{rule.id} is redundant", holds=True)
