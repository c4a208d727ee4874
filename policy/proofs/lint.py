"""What a reviewer cannot see by eye: cards that never fire or always do, channels open or shut to everybody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import z3

from configs.checks import example_code
from configs.settings import Settings
from policy.book import Book
from policy.lint import Finding
from policy.proofs.difference import GATES
from policy.proofs.prover import Prover
from policy.proofs.terms import term


def lint_by_proof(settings: Settings, on: date) -> list[Finding]:
    """Dead, redundant and always firing cards, channels never or always allowed, examples that contradict each other.

    A redundant card is told and not forbidden: another card stops the same today, and may change tomorrow.
    """
    found: dict[tuple[str, str, str], Finding] = {}
    for gate in GATES:
        prover = Prover(settings, Book.load(settings, on, gate), gate)
        for finding in (*_cards(prover), *_channels(prover)):
            found.setdefault((finding.kind, finding.where, finding.says), finding)
    return [*found.values(), *_contradictions(settings)]


def _cards(prover: Prover) -> Iterator[Finding]:
    book = prover.book
    redundant: dict[str, list[str]] = {}
    for place in prover.places:
        for rule in prover.terms.rules_on(place):
            fires = prover.terms.fires(rule)
            if prover.model(fires) is None:
                yield Finding("dead_rule", rule.id, "it can never fire, whatever is known of a lead")
            elif prover.model(fires, prover.terms.allowed(place, (rule.id,))) is None:
                redundant.setdefault(rule.id, []).append(place)
    for name, places in redundant.items():
        words = f"another card stops the same: {', '.join(places)}".replace("_", " ")
        yield Finding("redundant_rule", name, f"{words}; kept as defence in depth")
    for rule in book.permits:
        if prover.model(prover.terms.fires(rule)) is None:
            yield Finding("dead_rule", rule.id, "the permit can never count")
    for rule in (*book.rules, *book.score_rules, *book.feature_rules):
        if prover.model(z3.Not(term(rule.normal, prover.point, must=False))) is None:
            yield Finding("always_fires", rule.id, "it stops everybody on its channels, whatever is known")


def _channels(prover: Prover) -> Iterator[Finding]:
    for place in prover.places:
        if prover.model(prover.allowed[place]) is None:
            yield Finding("never_allowed", place, "no lead can ever be allowed here")
        elif prover.model(z3.Not(prover.allowed[place])) is None:
            yield Finding("always_allowed", place, "every lead is allowed here, even one of whom nothing is known")


def _contradictions(settings: Settings) -> Iterator[Finding]:
    """Two examples of a card with the same facts and another verdict; the same example written twice."""
    for card in settings.rules:
        seen: dict[tuple[tuple[str, int | None], ...], str] = {}
        for number, example in enumerate(card.examples, start=1):
            facts = {k: v for k, v in example.items() if k not in ("verdict", "on") and v != "unknown"}
            codes = tuple(sorted((name, example_code(settings.facts[name], value)) for name, value in facts.items()))
            key = (*codes, (str(example.get("on")), None))
            verdict = str(example["verdict"])
            before = seen.setdefault(key, verdict)
            if before != verdict:
                yield Finding("contradictory_examples", card.id, f"example {number} says {verdict}, one above {before}")


def is_wrong(finding: Finding) -> bool:
    """Whether a finding is a mistake and not only a matter for the reviewer."""
    return finding.kind in ("dead_rule", "always_fires", "always_allowed", "never_allowed", "contradictory_examples")
