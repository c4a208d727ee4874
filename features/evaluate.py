"""A condition over facts, compiled: a closure for one lead, numpy code for columns, SQL text, and English.

Negation is pushed down to the comparisons first. A comparison then has two readings: *must* (surely true) and *may*
(not surely false); an unknown fact makes every comparison on it may but not must. Joining readings with `and` and `or`
only is Kleene's logic, so learning a fact can never turn a sure answer around.

Codes: an enumeration or yes/no is 0 for unknown and the position of the value from 1; a number is -1 for unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from configs.cards import FactDeclaration, Parameter
from configs.conditions import And, Compare, Condition, In, IsUnknown, Not, Or, ParameterName
from configs.errors import ConditionInvalid

if TYPE_CHECKING:
    from configs.settings import Settings

FALSE, UNKNOWN, TRUE = -1, 0, 1
_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_PYTHON = {"=": "==", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_UFUNC: dict[str, Callable[..., NDArray[np.bool_]]] = {
    "=": np.equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


@dataclass(frozen=True, slots=True)
class Domain:
    """What facts exist, the code of each value, and the dated parameters."""

    facts: Mapping[str, FactDeclaration]
    parameters: Mapping[str, Parameter]

    @classmethod
    def of(cls, settings: Settings) -> Domain:
        """The domain that loaded settings declare."""
        return cls(settings.facts, settings.parameters)

    def code(self, fact: str, value: str) -> int:
        """Code of a value that the fact can take."""
        return self.facts[fact].values.index(value) + 1

    def value(self, fact: str, code: int) -> str | int | None:
        """Value of a code, None for unknown."""
        declared = self.facts[fact]
        if declared.type == "int":
            return None if code < 0 else code
        return declared.values[code - 1] if 0 < code <= len(declared.values) else None

    def unknown(self, fact: str) -> int:
        """Code that stands for unknown."""
        return -1 if self.facts[fact].type == "int" else 0

    def is_number(self, fact: str) -> bool:
        """Whether the fact is a count or a number of days."""
        return self.facts[fact].type == "int"

    def parameter(self, name: str, on: date) -> int | bool:
        """The one value of a parameter in force on a day; raises ConditionInvalid before its first date."""
        values = self.parameters[name].values
        started = [start for start in values if start <= on]
        if not started:
            raise ConditionInvalid(f"parameter {name} has no value on {on.isoformat()}")
        return values[max(started)]


@dataclass(frozen=True, slots=True)
class CodeIs:
    """Leaf: the code is in a set. `codes` and `others` are bit masks that together hold every value of the fact.

    A code outside both is not a value of this fact, so it counts as unknown.
    """

    fact: str
    codes: int
    others: int


@dataclass(frozen=True, slots=True)
class NumberIs:
    """Leaf: the number compares with a constant."""

    fact: str
    operator: str
    number: int


@dataclass(frozen=True, slots=True)
class Known:
    """Leaf: the fact is known, or is unknown; never unknown itself.

    `values` is a bit mask of every value of the fact: a code outside is not a value, so it counts as unknown.
    """

    fact: str
    known: bool
    is_number: bool
    values: int = 0


@dataclass(frozen=True, slots=True)
class All:
    """Every part."""

    parts: tuple[Normal, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Some part."""

    parts: tuple[Normal, ...]


Leaf = CodeIs | NumberIs | Known
Normal = All | AnyOf | CodeIs | NumberIs | Known


def normal_form(condition: Condition, domain: Domain, on: date, *, negate: bool = False) -> Normal:
    """The condition without NOT, with codes for values and numbers for the parameters of a day."""
    match condition:
        case Not(part):
            return normal_form(part, domain, on, negate=not negate)
        case And(parts) | Or(parts):
            normal = tuple(normal_form(part, domain, on, negate=negate) for part in parts)
            return All(normal) if isinstance(condition, And) != negate else AnyOf(normal)
        case IsUnknown(fact):
            is_number = domain.is_number(fact)
            return Known(fact, negate, is_number, 0 if is_number else _every_value(fact, domain))
        case In(fact, values):
            return _codes(fact, domain, [domain.code(fact, value) for value in values], negate)
        case Compare(fact, operator, value):
            shown = _OPPOSITE[operator] if negate else operator
            constant = domain.parameter(value.name, on) if isinstance(value, ParameterName) else value
            if domain.is_number(fact):
                return NumberIs(fact, shown, int(constant))
            text = ("yes" if constant else "no") if isinstance(constant, bool) else str(constant)
            return _codes(fact, domain, [domain.code(fact, text)], shown == "<>")


def as_closure(condition: Condition, domain: Domain, on: date) -> Callable[[Mapping[str, int]], int]:
    """A function of one lead's codes giving TRUE (1), UNKNOWN (0) or FALSE (-1); an absent fact is unknown."""
    normal = normal_form(condition, domain, on)
    facts = tuple(dict.fromkeys(facts_of_normal(normal)))
    names = {fact: f"f{index}" for index, fact in enumerate(facts)}
    lines = ["def evaluate(facts):"]
    lines += [f"    {names[fact]} = facts.get({fact!r}, {domain.unknown(fact)})" for fact in facts]
    lines.append(
        f"    return 1 if {source(normal, names, must=True)} else 0 if {source(normal, names, must=False)} else -1"
    )
    return define("evaluate", "\n".join(lines))  # type: ignore[no-any-return]


def as_columns(
    condition: Condition, domain: Domain, on: date
) -> Callable[[Mapping[str, NDArray[Any]]], tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """A function of fact arrays giving (must, may); it broadcasts, and an absent fact is unknown everywhere."""
    normal = normal_form(condition, domain, on)

    def evaluate(columns: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        return columns_of(normal, columns, {})

    return evaluate


def as_sql(condition: Condition, domain: Domain, on: date) -> str:
    """The condition as SQL over columns that hold values as text or whole numbers, and NULL for unknown."""
    match condition:
        case Not(part):
            return f"(NOT {as_sql(part, domain, on)})"
        case And(parts):
            return "(" + " AND ".join(as_sql(part, domain, on) for part in parts) + ")"
        case Or(parts):
            return "(" + " OR ".join(as_sql(part, domain, on) for part in parts) + ")"
        case IsUnknown(fact):
            return f'("{fact}" IS NULL)'
        case In(fact, values):
            return f'("{fact}" IN (' + ", ".join(_quoted(value) for value in values) + "))"
        case Compare(fact, operator, value):
            return f'("{fact}" {operator} {_quoted(_constant(value, domain, on))})'


def as_english(condition: Condition, domain: Domain, on: date) -> str:
    """The condition in words, with the parameters of a day filled in."""
    match condition:
        case Not(part):
            return f"not ({as_english(part, domain, on)})"
        case And(parts) | Or(parts):
            word = " and " if isinstance(condition, And) else " or "
            bare = (Compare, In, IsUnknown, Not)
            texts = (as_english(part, domain, on) for part in parts)
            return word.join(t if isinstance(p, bare) else f"({t})" for p, t in zip(parts, texts, strict=True))
        case IsUnknown(fact):
            return f"{_words(fact)} is unknown"
        case In(fact, values):
            return f"{_words(fact)} is {' or '.join(_words(value) for value in values)}"
        case Compare(fact, operator, value):
            constant = _constant(value, domain, on)
            if isinstance(constant, str):
                return f"{_words(fact)} is {'' if operator == '=' else 'not '}{_words(constant)}"
            spoken = {
                "=": "is",
                "<>": "is not",
                "<": "is below",
                "<=": "is at most",
                ">": "is above",
                ">=": "is at least",
            }
            return f"{_words(fact)} {spoken[operator]} {constant}"


def columns_of(
    normal: Normal,
    columns: Mapping[str, NDArray[Any]],
    seen: dict[Any, Any],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(must, may) of a normal form over arrays; see `reading`."""
    return reading(normal, columns, seen, must=True), reading(normal, columns, seen, must=False)


def reading(
    normal: Normal,
    columns: Mapping[str, NDArray[Any]],
    seen: dict[tuple[Normal, bool], NDArray[np.bool_]],
    *,
    must: bool,
) -> NDArray[np.bool_]:
    """One reading of a normal form over arrays; `seen` shares repeated parts between rules over the same columns."""
    found = seen.get((normal, must))
    if found is not None:
        return found
    match normal:
        case All(parts) | AnyOf(parts):
            join = np.logical_and if isinstance(normal, All) else np.logical_or
            first, *others = (reading(part, columns, seen, must=must) for part in _small_first(parts, columns))
            found = first
            for other in others:
                found = join(found, other)
        case CodeIs(fact, codes, others_mask):
            column = columns.get(fact)
            if column is None:
                found = _NEVER if must else _ALWAYS
            else:
                found = _among(column, codes) if must else ~_among(column, others_mask)
        case NumberIs(fact, operator, number):
            column = columns.get(fact)
            if column is None:
                found = _NEVER if must else _ALWAYS
            else:
                holds = _UFUNC[operator](column, number)
                found = holds & (column >= 0) if must else holds | (column < 0)
        case Known(fact, known, is_number, values):
            column = columns.get(fact)
            is_known = _NEVER if column is None else np.asarray(column >= 0) if is_number else _among(column, values)
            found = is_known if known else ~is_known
    seen[normal, must] = found
    return found


def source(normal: Normal, names: Mapping[str, str], *, must: bool, bits: frozenset[str] = frozenset()) -> str:
    """One reading of a normal form as a Python expression over the given variable names.

    For a fact of `bits` there is a variable `bit_` and its name, 1 shifted by its code, which is quicker to ask.
    """
    match normal:
        case All(parts):
            return "(" + " and ".join(source(part, names, must=must, bits=bits) for part in parts) + ")"
        case AnyOf(parts):
            return "(" + " or ".join(source(part, names, must=must, bits=bits) for part in parts) + ")"
        case CodeIs(fact, codes, others):
            mask, name = codes if must else others, names[fact]
            if mask == 0:
                return str(not must)
            if mask.bit_count() == 1:
                return f"{name} {'==' if must else '!='} {mask.bit_length() - 1}"
            if fact in bits:
                return f"bit_{name} & {mask}" if must else f"bit_{name} & {~mask}"
            return f"{mask} >> {name} & 1" if must else f"not {mask} >> {name} & 1"
        case NumberIs(fact, operator, number):
            name = names[fact]
            if must:
                return f"({name} >= 0 and {name} {_PYTHON[operator]} {number})"
            # Said as what it is not, so that a number that compares with nothing (NaN) may be anything.
            return f"not ({name} >= 0 and {name} {_PYTHON[_OPPOSITE[operator]]} {number})"
        case Known(fact, known, is_number, values):
            asked = f"{names[fact]} >= 0" if is_number else f"{values} >> {names[fact]} & 1 == 1"
            return f"({asked}) is {known}"


def define(name: str, text: str) -> Any:
    """Compile generated source; it is built from checked names, codes and whole numbers only, never from input."""
    scope: dict[str, Any] = {}
    exec(compile(text, f"<generated {name}>", "exec"), scope)  # noqa: S102 - the parser admits nothing but checked names
    return scope[name]


_NEVER = np.zeros((1, 1, 1), dtype=bool)
_ALWAYS = np.ones((1, 1, 1), dtype=bool)


def _codes(fact: str, domain: Domain, codes: list[int], negate: bool) -> CodeIs:
    chosen = sum(1 << code for code in set(codes))
    every = _every_value(fact, domain)
    return CodeIs(fact, every & ~chosen, chosen) if negate else CodeIs(fact, chosen, every & ~chosen)


def _every_value(fact: str, domain: Domain) -> int:
    return (1 << (len(domain.facts[fact].values) + 1)) - 2


def _among(column: NDArray[Any], codes: int) -> NDArray[np.bool_]:
    if codes.bit_count() == 1:
        return np.asarray(column == codes.bit_length() - 1)
    table = np.array([codes >> code & 1 for code in range(256)], dtype=bool)
    # A code beyond a byte is no value, so it is unknown, as 0 is.
    within = column if column.dtype == np.uint8 else np.where((column < 0) | (column > 255), 0, column)
    return np.asarray(table[within])


def _small_first(parts: tuple[Normal, ...], columns: Mapping[str, NDArray[Any]]) -> list[Normal]:
    """Parts of small arrays first, so that broadcasting to the full size happens as late as it can."""
    sizes = {
        part: max((columns[fact].size for fact in facts_of_normal(part) if fact in columns), default=1)
        for part in parts
    }
    return sorted(parts, key=sizes.__getitem__)


def facts_of_normal(normal: Normal) -> list[str]:
    """Facts of a normal form, left to right, repeated as they occur."""
    if isinstance(normal, All | AnyOf):
        return [fact for part in normal.parts for fact in facts_of_normal(part)]
    return [normal.fact]


def _constant(value: str | int | ParameterName, domain: Domain, on: date) -> str | int:
    constant = domain.parameter(value.name, on) if isinstance(value, ParameterName) else value
    return ("yes" if constant else "no") if isinstance(constant, bool) else constant


def _quoted(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _words(name: str) -> str:
    return name.replace("_", " ")
