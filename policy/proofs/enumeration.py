"""A second prover without a solver: every case of the few facts that carry a promise, tried one after the other.

More rules only block more. So `allowed => P` holds once a few *witness* rules alone imply it: it is enough to try every
combination of the facts that those rules and P look at. Values that none of these conditions tells apart are tried
once; a number is tried at unknown, at its ends and around every constant it is compared with.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from configs.conditions import Compare, Condition, In, facts_used, leaves
from features.evaluate import Domain
from policy.book import Book, Rule
from policy.proofs.kleene import FALSE, TRUE, constant, truth
from policy.proofs.terms import stops_of

MOST_CASES = 100_000


@dataclass(frozen=True, slots=True)
class Enumerated:
    """How many cases were tried, and the first that breaks the promise; `tried` is 0 where there are too many."""

    cases: int
    tried: int
    broken: dict[str, int] | None

    @property
    def holds(self) -> bool:
        """Every case was tried and none breaks the promise."""
        return self.broken is None and self.tried == self.cases


def enumerate_cases(
    book: Book, channel: str, promise: Condition, witnesses: Sequence[str], *, most: int = MOST_CASES
) -> Enumerated:
    """Try `allowed => surely promise` with the witness rules only; `permits` among them stands for every permit.

    INVARIANT: neither z3 nor the compiler is asked: conditions are read from their syntax trees.
    """
    index = book.channels.index(channel) if channel in book.channels else -1
    rules = [rule for rule in book.rules if index in rule.channels] if index >= 0 else stops_of(book, channel)
    blocks = [rule for rule in rules if rule.id in witnesses]
    grounds: list[list[Rule]] = [[]]
    if "permits" in witnesses:
        grounds = [[rule] for rule in book.permits if index in rule.channels]
    cases = tried = 0
    for permits in grounds:
        found = _tried(promise, blocks, permits, book, most)
        cases, tried = cases + found.cases, tried + found.tried
        if found.broken is not None:
            return Enumerated(cases, tried, found.broken)
    return Enumerated(cases, tried, None)


def _tried(promise: Condition, blocks: Sequence[Rule], permits: Sequence[Rule], book: Book, most: int) -> Enumerated:
    """Every case in which all of the given permits count, none of the blocks fires, and the promise is not sure."""
    conditions = [promise, *(rule.condition for rule in (*blocks, *permits))]
    facts = tuple(dict.fromkeys(fact for condition in conditions for fact in facts_used(condition)))
    domain, on = book.domain, book.on
    choices = [tuple(_classes(fact, conditions, domain, on)) for fact in facts]
    cases = math.prod(len(codes) for codes in choices)
    if cases > most:
        return Enumerated(cases, 0, None)
    for chosen in itertools.product(*choices):
        codes = dict(zip(facts, chosen, strict=True))
        if (
            truth(promise, codes, domain, on) != TRUE
            and all(truth(rule.condition, codes, domain, on) == FALSE for rule in blocks)
            and all(truth(rule.condition, codes, domain, on) == TRUE for rule in permits)
        ):
            return Enumerated(cases, cases, codes)
    return Enumerated(cases, cases, None)


def _classes(fact: str, conditions: Sequence[Condition], domain: Domain, on: date) -> Iterator[int]:
    """One code for each class of values that the conditions tell apart, and unknown."""
    own = [leaf for condition in conditions for leaf in leaves(condition) if leaf.fact == fact]
    yield domain.unknown(fact)
    declared = domain.facts[fact]
    if declared.type == "int":
        around = {declared.min, declared.max}
        for leaf in own:
            if isinstance(leaf, Compare):
                number = int(constant(leaf.value, domain, on))
                around |= {number - 1, number, number + 1}
        yield from sorted(number for number in around if declared.min <= number <= declared.max)
        return
    named = [_values(leaf, domain, on) for leaf in own if isinstance(leaf, Compare | In)]
    seen = set()
    for value in declared.values:
        kind = tuple(value in values for values in named)
        if kind not in seen:
            seen.add(kind)
            yield domain.code(fact, value)


def _values(leaf: Compare | In, domain: Domain, on: date) -> tuple[str, ...]:
    return leaf.values if isinstance(leaf, In) else (str(constant(leaf.value, domain, on)),)
