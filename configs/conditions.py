"""The one small language of segments, rules, points and actions: its syntax tree and its parser.

`fact = 'value'`, `fact <> 'value'`, `fact IN ('a', 'b')`, `count >= 3`, `days <= {group.name}`, `fact IS UNKNOWN`,
`AND`, `OR`, `NOT` and parentheses. Yes/no facts are compared with 'yes' and 'no'. Nothing else exists: no functions, no
arithmetic, no patterns, no casts. Every name and value is checked against the fact dictionary here, at load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from lark import Lark, Token, Transformer, UnexpectedInput
from lark.exceptions import VisitError

from configs.cards import FactDeclaration, Parameter
from configs.errors import ConditionInvalid

Operator = Literal["=", "<>", "<", "<=", ">", ">="]
MAX_CONDITION_LENGTH = 4_000
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class ParameterName:
    """A dated parameter, `group.name`; its value is the one in force on the day a condition is compiled for."""

    name: str


@dataclass(frozen=True, slots=True)
class Compare:
    """A fact against one value: text for enumerations and yes/no, a whole number or a parameter for counts."""

    fact: str
    operator: Operator
    value: str | int | ParameterName


@dataclass(frozen=True, slots=True)
class In:
    """A fact against a set of values."""

    fact: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IsUnknown:
    """Whether a fact is unknown; the only test that is never unknown itself."""

    fact: str


@dataclass(frozen=True, slots=True)
class Not:
    """Kleene negation."""

    part: Condition


@dataclass(frozen=True, slots=True)
class And:
    """Kleene conjunction of two or more parts."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Kleene disjunction of two or more parts."""

    parts: tuple[Condition, ...]


Condition = Compare | In | IsUnknown | Not | And | Or

_GRAMMAR = r"""
?start: either
?either: both ("or"i both)*
?both: negation ("and"i negation)*
?negation: "not"i negation -> negated | leaf
?leaf: "(" either ")" | comparison | membership | unknown
comparison: NAME OPERATOR (TEXT | NUMBER | PARAMETER)
membership: NAME "in"i "(" TEXT ("," TEXT)* ")"
unknown: NAME "is"i "unknown"i
OPERATOR: "<=" | ">=" | "<>" | "=" | "<" | ">"
NAME: /(?!(?:and|or|not|in|is|unknown)\b)[a-z][a-z0-9_]*/i
TEXT: /'[^'\n]*'/
NUMBER: /-?[0-9]+/
PARAMETER: /\{[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\}/
%ignore /[ \t\r\n]+/
"""
_SAYS = {
    "NAME": "a fact",
    "TEXT": "a 'value'",
    "NUMBER": "a whole number",
    "PARAMETER": "a {group.name} parameter",
    "OPERATOR": "one of = <> < <= > >=",
    "$END": "the end",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": ",",
}


def parse(text: str, facts: Mapping[str, FactDeclaration], parameters: Mapping[str, Parameter]) -> Condition:
    """Parse and check a condition; raises ConditionInvalid saying what was expected and where."""
    if len(text) > MAX_CONDITION_LENGTH:
        raise ConditionInvalid(f"expected at most {MAX_CONDITION_LENGTH} characters, found {len(text)}")
    _check_depth(text)
    try:
        return _Checked(facts, parameters).transform(_tree(text))  # type: ignore[no-any-return]
    except VisitError as error:
        if isinstance(error.orig_exc, ConditionInvalid):
            raise error.orig_exc from None
        raise
    except UnexpectedInput as error:
        raise ConditionInvalid(_syntax_message(text, error)) from None


def facts_used(condition: Condition) -> tuple[str, ...]:
    """Facts a condition looks at, each once, in order of first use."""
    return tuple(dict.fromkeys(leaf.fact for leaf in leaves(condition)))


def parameters_used(condition: Condition) -> tuple[str, ...]:
    """Parameters a condition looks at, each once, in order of first use."""
    used = (leaf.value.name for leaf in leaves(condition) if _is_parametrised(leaf))  # type: ignore[union-attr]
    return tuple(dict.fromkeys(used))


def leaves(condition: Condition) -> Iterator[Compare | In | IsUnknown]:
    """The comparisons of a condition, left to right."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case _:
            yield condition


def looks_at_unknown(condition: Condition) -> bool:
    """Whether a condition asks if a fact is unknown, which rules that must stay monotone may not."""
    return any(isinstance(leaf, IsUnknown) for leaf in leaves(condition))


def _is_parametrised(leaf: Compare | In | IsUnknown) -> bool:
    return isinstance(leaf, Compare) and isinstance(leaf.value, ParameterName)


class _Checked(Transformer[Token, Any]):
    """Builds the syntax tree and refuses whatever the fact dictionary does not know."""

    def __init__(self, facts: Mapping[str, FactDeclaration], parameters: Mapping[str, Parameter]) -> None:
        super().__init__()
        self._facts, self._parameters = facts, parameters

    def either(self, parts: list[Condition]) -> Condition:
        return Or(tuple(parts))

    def both(self, parts: list[Condition]) -> Condition:
        return And(tuple(parts))

    def negated(self, parts: list[Condition]) -> Condition:
        return Not(parts[0])

    def unknown(self, parts: list[Token]) -> Condition:
        self._fact(parts[0])
        return IsUnknown(str(parts[0]))

    def membership(self, parts: list[Token]) -> Condition:
        name, fact = str(parts[0]), self._fact(parts[0])
        if fact.type == "int":
            raise ConditionInvalid(f"{name} is a number: compare it with < <= > >= = <>, not IN")
        return In(name, tuple(dict.fromkeys(self._value(name, fact, part) for part in parts[1:])))

    def comparison(self, parts: list[Token]) -> Condition:
        name, operator, value = str(parts[0]), str(parts[1]), parts[2]
        fact = self._fact(parts[0])
        if value.type == "PARAMETER":
            return Compare(name, operator, self._parameter(name, fact, operator, str(value)[1:-1]))  # type: ignore[arg-type]
        if fact.type == "int":
            if value.type != "NUMBER":
                raise ConditionInvalid(f"{name} is a number: expected a whole number, found {value}")
            number = int(value)
            if not fact.min <= number <= fact.max:
                raise ConditionInvalid(f"{name}: {number} is outside {fact.min} to {fact.max}")
            return Compare(name, operator, number)  # type: ignore[arg-type]
        if operator not in ("=", "<>"):
            raise ConditionInvalid(f"{name} has no order: use = or <>, not {operator}")
        if value.type != "TEXT":
            raise ConditionInvalid(f"{name}: expected a quoted value, found {value}")
        return Compare(name, operator, self._value(name, fact, value))  # type: ignore[arg-type]

    def _fact(self, token: Token) -> FactDeclaration:
        fact = self._facts.get(str(token))
        if fact is None:
            raise ConditionInvalid(f"unknown fact {token!s} at character {(token.start_pos or 0) + 1}")
        return fact

    def _value(self, name: str, fact: FactDeclaration, token: Token) -> str:
        value = str(token)[1:-1]
        if value not in fact.values:
            expected = ", ".join(fact.values[:12]) + (", ..." if len(fact.values) > 12 else "")
            raise ConditionInvalid(f"{name} is never {value!r}: expected one of {expected}")
        return value

    def _parameter(self, name: str, fact: FactDeclaration, operator: str, parameter: str) -> ParameterName:
        declared = self._parameters.get(parameter)
        if declared is None:
            raise ConditionInvalid(f"unknown parameter {{{parameter}}}")
        is_switch = all(isinstance(value, bool) for value in declared.values.values())
        if fact.type == "enum" or (fact.type == "yesno") != is_switch:
            raise ConditionInvalid(f"{name} ({fact.type}) cannot be compared with {{{parameter}}}")
        if fact.type == "yesno" and operator not in ("=", "<>"):
            raise ConditionInvalid(f"{name} has no order: use = or <>, not {operator}")
        return ParameterName(parameter)


_PARSER = Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False)


@lru_cache(maxsize=4_096)
def _tree(text: str) -> Any:
    """The tree of a text: the same definitions are checked at load, compiled into a map, and shown."""
    return _PARSER.parse(text)


def _check_depth(text: str) -> None:
    """Refuse nesting deep enough to exhaust the stack of whatever compiles the condition."""
    depth = deepest = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH or text.lower().count("not") > 10 * MAX_DEPTH:
        raise ConditionInvalid(f"expected at most {MAX_DEPTH} parentheses inside each other")


def _syntax_message(text: str, error: UnexpectedInput) -> str:
    wanted = (
        getattr(error, "accepts", None) or getattr(error, "expected", None) or getattr(error, "allowed", None) or ()
    )
    expected = ", ".join(sorted({_SAYS.get(name, name) for name in wanted}))
    at_end = getattr(getattr(error, "token", None), "type", "") == "$END"
    position = len(text) if at_end or error.pos_in_stream is None else error.pos_in_stream
    found = repr(text[position : position + 12]) if position < len(text) else "the end"
    return f"at character {position + 1}: expected {expected or 'a condition'}, found {found}"
