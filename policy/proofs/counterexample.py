"""A lead that breaks a promise: its facts in words, as few as still break it, re-run through the code that serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.checks import example_code
from configs.errors import InputInvalid, LeadwellError
from features.evaluate import FALSE, TRUE, as_closure, reading
from policy.book import Book, Rule
from policy.proofs.terms import SCORING, stops_of
from policy.rulings import Rulings, rule

Codes = Mapping[str, int]


class ProofDisagrees(LeadwellError):
    """z3, the generated Python and the closures do not say the same of one lead: an error of the compiler."""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """One lead, channel and asset, as values of facts; what is not named is unknown.

    `after` are the facts of the second of two leads, where an invariant compares two.
    """

    channel: str
    gate: str
    facts: Mapping[str, str | int]
    after: Mapping[str, str | int] | None = None
    allowed: bool = True

    def as_json(self) -> dict[str, Any]:
        """For a program: channel, gate, facts by name, and what the book says of them."""
        found: dict[str, Any] = {"channel": self.channel, "gate": self.gate, "facts": dict(self.facts)}
        if self.after is not None:
            found["after"] = dict(self.after)
        return found | {"allowed": self.allowed}


@dataclass(frozen=True)
class PointFacts:
    """Facts of one lead and one asset, the same on every channel; what the engine rules on."""

    columns: Mapping[str, NDArray[Any]]
    n: int = 1
    assets: tuple[str, ...] = field(default=("asset",))


def ruled(book: Book, codes: Codes) -> Rulings:
    """What the generated Python says of a point, on every channel at once."""
    return rule(book, PointFacts(columns_of_point(book, codes)))


def columns_of_point(book: Book, codes: Codes) -> dict[str, NDArray[Any]]:
    """The facts that a book looks at, of one point, as arrays of one cell."""
    return {
        fact: np.array(
            codes.get(fact, book.domain.unknown(fact)), dtype=np.int32 if book.domain.is_number(fact) else np.uint8
        ).reshape(1, 1, 1)
        for fact, _, _ in book.inputs
    }


class Code:
    """The code that serves, over one book: the generated Python, and each rule's closure beside it."""

    def __init__(self, book: Book) -> None:
        self.book = book

    @cached_property
    def _closures(self) -> dict[int, Callable[[Codes], int]]:
        every = (*self.book.rules, *self.book.permits, *self.book.score_rules, *self.book.feature_rules)
        return {id(one): as_closure(one.condition, self.book.domain, self.book.on) for one in every}

    def by_closures(self, codes: Codes, channel: str) -> bool:
        """Whether a channel is allowed, rule by rule through the closures."""
        known = {fact: code for fact, code in codes.items() if code != self.book.domain.unknown(fact)}

        def says(one: Rule) -> int:
            return self._closures[id(one)](known)

        if channel not in self.book.channels:
            return all(says(one) == FALSE for one in stops_of(self.book, channel))
        index = self.book.channels.index(channel)
        permits = any(says(one) == TRUE for one in self.book.permits if index in one.channels)
        return permits and all(says(one) == FALSE for one in self.book.rules if index in one.channels)

    def allows(self, codes: Codes, channel: str) -> bool:
        """Whether a channel is allowed, as the generated Python says it and the closures confirm.

        Raises:
            ProofDisagrees: the two do not say the same.
        """
        scalar = self._by_arrays(codes, channel)
        closures = self.by_closures(codes, channel)
        if scalar != closures:
            raise ProofDisagrees(f"{channel}: the generated code says {scalar}, the closures {closures}: {dict(codes)}")
        return closures

    def _by_arrays(self, codes: Codes, place: str) -> bool:
        """What the engine says; cards about data have no generated function, so their columns are asked."""
        if place in self.book.channels:
            return bool(ruled(self.book, codes).permitted[0, 0, self.book.channels.index(place)])
        if place == SCORING:
            return not ruled(self.book, codes).no_score[0]
        columns = columns_of_point(self.book, codes)
        return not any(reading(one.normal, columns, {}, must=False).any() for one in stops_of(self.book, place))


def fewest(codes: Codes, book: Book, breaks: Callable[[Codes], bool], keep: Sequence[str] = ()) -> dict[str, int]:
    """The same counterexample with whatever does not matter unknown; `breaks` re-runs the real code each time."""
    found = dict(codes)
    for fact in [fact for fact in found if fact not in keep]:
        unknown = book.domain.unknown(fact)
        if found[fact] != unknown and breaks({**found, fact: unknown}):
            found[fact] = unknown
    return found


def in_words(book: Book, codes: Codes) -> dict[str, str | int]:
    """Facts by name with their values; unknown ones are left out."""
    values = {fact: book.domain.value(fact, code) for fact, code in codes.items()}
    return {fact: value for fact, value in values.items() if value is not None}


def codes_from(book: Book, facts: Mapping[str, Any], where: str) -> dict[str, int]:
    """Codes of facts in words, the other way round; raises InputInvalid naming the fact, never its value."""
    codes = {}
    for fact, value in facts.items():
        declared = book.domain.facts.get(fact)
        if declared is None:
            raise InputInvalid(where, f"facts.{fact}: expected a fact of policy/facts.yaml")
        code = None if value == "unknown" else example_code(declared, value)
        if code is None and value != "unknown":
            raise InputInvalid(where, f"facts.{fact}: expected a value this fact can take, or unknown")
        codes[fact] = book.domain.unknown(fact) if code is None else code
    return codes
