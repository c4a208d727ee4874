"""Why a rule fired: the facts to show, and the two reasons that no card gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from features.evaluate import All, AnyOf, Domain, Normal, facts_of_normal, reading

EVALUATION_ERROR: dict[str, Any] = {
    "rule": "EVALUATION_ERROR",
    "reason": "EVALUATION_ERROR",
    "effect": "forbid",
    "says": "The rules could not be evaluated, so nothing is allowed.",
    "basis": "Leadwell policy, semantics 7",
    "because": [],
}
NO_LEGAL_BASIS: dict[str, Any] = {
    "rule": "NO_LEGAL_BASIS",
    "reason": "NO_LEGAL_BASIS",
    "effect": "forbid",
    "says": "No permit surely holds for this lead on this channel.",
    "basis": "Leadwell policy, semantics 4",
    "because": [],
}


def witnesses(normal: Normal, point: Mapping[str, NDArray[Any]], surely: bool) -> list[str]:
    """Facts of the comparisons that made a rule fire; of alternatives only those that held or may hold."""
    if isinstance(normal, All):
        return [fact for part in normal.parts for fact in witnesses(part, point, surely)]
    if isinstance(normal, AnyOf):
        held = [part for part in normal.parts if reading(part, point, {}, must=surely)]
        return [fact for part in held for fact in witnesses(part, point, surely)]
    return facts_of_normal(normal)


def because(domain: Domain, fact: str, code: int) -> list[Any]:
    """[fact, known, value], or [fact, unknown, where to supply it]."""
    value = domain.value(fact, code)
    return [fact, "unknown", domain.facts[fact].source] if value is None else [fact, "known", value]
