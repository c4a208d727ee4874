"""What a condition means, straight from its syntax tree: Kleene's three values, as SQL has them.

Nothing here is shared with the compiler (features/evaluate.py): no normal form, no pushed-down negation, no bit masks.
The compiler is held against this reading: as plain Python on points, and as z3 terms on all points at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from configs.conditions import And, Compare, Condition, In, IsUnknown, Not, Or, ParameterName
from features.evaluate import Domain

FALSE, UNKNOWN, TRUE = -1, 0, 1
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def truth(condition: Condition, codes: Mapping[str, int], domain: Domain, on: date) -> int:
    """TRUE (1), UNKNOWN (0) or FALSE (-1) of a condition over codes; a fact that is absent is unknown."""
    match condition:
        case Not(part):
            return -truth(part, codes, domain, on)
        case And(parts):
            return min(truth(part, codes, domain, on) for part in parts)
        case Or(parts):
            return max(truth(part, codes, domain, on) for part in parts)
        case IsUnknown(fact):
            return TRUE if value_of(fact, codes, domain) is None else FALSE
        case In(fact, values):
            found = value_of(fact, codes, domain)
            return UNKNOWN if found is None else TRUE if found in values else FALSE
        case Compare(fact, sign, value):
            found = value_of(fact, codes, domain)
            return (
                UNKNOWN if found is None else TRUE if COMPARISONS[sign](found, constant(value, domain, on)) else FALSE
            )


def value_of(fact: str, codes: Mapping[str, int], domain: Domain) -> str | int | None:
    """The value that a fact has, None where it is absent, unknown, or a code that no value has."""
    code = codes.get(fact)
    return None if code is None else domain.value(fact, int(code))


def constant(value: str | int | ParameterName, domain: Domain, on: date) -> str | int:
    """What a comparison compares with on a day; a switch is yes or no."""
    found = domain.parameter(value.name, on) if isinstance(value, ParameterName) else value
    return ("yes" if found else "no") if isinstance(found, bool) else found
