"""Conditions as English sentences for people who read rules and not code: counsel, compliance, reviewers.

Negation is pushed down to the comparisons, so that no sentence says "not (...)"; what is joined is told as a list whose
head says whether all or any of it is meant. Nothing is left to the reading of a comma.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from configs.conditions import And, Compare, Condition, In, IsUnknown, Not, Or, ParameterName
from features.evaluate import Domain

NOT_SO = "it is not so that "
_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_SPOKEN = {"=": "is", "<>": "is not", "<": "is below", "<=": "is at most", ">": "is above", ">=": "is at least"}


@dataclass(frozen=True, slots=True)
class Phrase:
    """A comparison in words, or phrases of which all or any must hold. `fact` is what a comparison looks at."""

    joint: Literal["", "all", "any"]
    text: str = ""
    fact: str = ""
    parts: tuple[Phrase, ...] = ()

    @property
    def head(self) -> str:
        """What stands above the list of parts."""
        return "all of this holds" if self.joint == "all" else "at least one of this holds"


def phrase(condition: Condition, domain: Domain, on: date, *, negate: bool = False) -> Phrase:
    """A condition in words, with the parameters of a day filled in and named."""
    match condition:
        case Not(part):
            return phrase(part, domain, on, negate=not negate)
        case And(parts) | Or(parts):
            joint: Literal["all", "any"] = "all" if isinstance(condition, And) != negate else "any"
            told: list[Phrase] = []
            for part in parts:
                inner = phrase(part, domain, on, negate=negate)
                told += inner.parts if inner.joint == joint else (inner,)
            return Phrase(joint, parts=tuple(told))
        case IsUnknown(fact):
            return Phrase("", f"{_name(fact)} is {'known' if negate else 'unknown'}", fact)
        case In(fact, values):
            return Phrase("", f"{_name(fact)} is {_listed(values, negate)}", fact)
        case Compare(fact, operator, value):
            shown = _OPPOSITE[operator] if negate else operator
            constant = domain.parameter(value.name, on) if isinstance(value, ParameterName) else value
            if isinstance(constant, bool):
                constant = "yes" if constant else "no"
            return Phrase("", _compared(fact, shown, constant, value, domain), fact)


def sentence(told: Phrase) -> str:
    """A phrase on one line: parts in brackets wherever a reader could otherwise join them in two ways."""
    if not told.joint:
        return told.text
    word = " and " if told.joint == "all" else " or "
    parts = [sentence(part) if not part.joint else f"({sentence(part)})" for part in told.parts]
    return word.join(parts)


def words(name: str) -> str:
    """A name from the configuration as words."""
    return name.replace("_", " ")


def _compared(fact: str, operator: str, constant: str | int, written: object, domain: Domain) -> str:
    declared = domain.facts[fact]
    source = f" (parameter {written.name})" if isinstance(written, ParameterName) else ""
    if declared.type == "yesno":
        # Yes/no facts have two values, so "not yes" is "no" once the fact is known; unknown is neither.
        holds = (constant == "yes") == (operator == "=")
        claim = declared.says.removeprefix("whether ")
        return (claim if holds else NOT_SO + claim) + source
    if declared.type == "int":
        return f"{_the(declared.says)} {_SPOKEN[operator]} {constant}{source}"
    return f"{_name(fact)} is {'' if operator == '=' else 'not '}{words(str(constant))}{source}"


def _name(fact: str) -> str:
    return f"the {words(fact)}"


def _the(says: str) -> str:
    return f"the number of {says}" if says.split()[0] in ("days", "touches", "promotional") else f"the {says}"


def _listed(values: tuple[str, ...], negate: bool) -> str:
    named = [words(value) for value in values]
    if len(named) == 1:
        return ("not " if negate else "") + named[0]
    joined = ", ".join(named[:-1])
    return f"neither {joined} nor {named[-1]}" if negate else f"{joined} or {named[-1]}"
