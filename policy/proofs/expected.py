"""What the engine should say, from the syntax trees by Kleene's tables alone: masks, ids, words and facts to show.

Rule by rule and point by point, as slow and as plain as can be; nothing is shared with the compiler but the book's
order of rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import And, Condition, Not, Or, leaves
from policy.book import Book, Rule
from policy.proofs.kleene import FALSE, TRUE, UNKNOWN, truth, value_of
from policy.proofs.populations import Population

Codes = Mapping[str, int]
Masks = dict[str, NDArray[Any]]
_STRONGEST_FIRST = ("forbid", "reroute", "review", "suppress_until", "limit_content")


def expected(book: Book, drawn: Population) -> Masks:
    """Masks of rules, permits and score rules as whole numbers, and who is permitted, by name."""
    shape = (drawn.n, len(drawn.assets), len(book.channels))
    blocks, permits = np.zeros(shape, dtype=object), np.zeros(shape, dtype=object)
    score = np.zeros(drawn.n, dtype=object)
    for place in np.ndindex(*shape):
        codes = codes_at(drawn, place)
        blocks[place] = _mask(book, book.rules, codes, place[2], must=False)
        permits[place] = _mask(book, book.permits, codes, place[2], must=True)
        if place[1:] == (0, 0):
            score[place[0]] = _mask(book, book.score_rules, codes, None, must=False)
    permitted = np.array([bool(p) and not b for b, p in zip(blocks.flat, permits.flat, strict=True)]).reshape(shape)
    no_score = np.array([bool(mask) for mask in score])
    return {"blocks": blocks, "permits": permits, "score blocks": score, "permitted": permitted, "no score": no_score}


def expected_words(book: Book, drawn: Population, place: tuple[int, int, int]) -> dict[str, Any]:
    """Everything that is said about one lead, asset and channel."""
    codes = codes_at(drawn, place)
    firing = [rule for rule in book.rules if place[2] in rule.channels and _said(book, rule, codes) != FALSE]
    firing.sort(key=lambda rule: (_STRONGEST_FIRST.index(rule.card.effect), rule.id))
    counting = [rule for rule in book.permits if place[2] in rule.channels and _said(book, rule, codes) == TRUE]
    maybe = [rule for rule in book.permits if place[2] in rule.channels and _said(book, rule, codes) == UNKNOWN]
    stopping = [rule for rule in book.score_rules if _said(book, rule, codes) != FALSE]
    named = [rule.id for rule in firing] + ([] if counting else ["NO_LEGAL_BASIS"])
    strongest = firing[0].card.effect if firing and counting else "forbid"
    return {
        "headline": strongest if named else "permit",
        "rules": named,
        "permits": [rule.id for rule in counting],
        "reasons": [_entry(book, rule, codes) for rule in firing],
        "no score": [_entry(book, rule, codes) for rule in stopping],
        "open permits": [(rule.id, _shown(book, rule, codes, only_unknown=True)) for rule in maybe],
    }


def _entry(book: Book, rule: Rule, codes: Codes) -> dict[str, Any]:
    surely = _said(book, rule, codes) == TRUE
    card = rule.card
    guilty = list(dict.fromkeys(_witnesses(book, rule.condition, codes, surely=surely)))
    found: dict[str, Any] = {
        "rule": card.id,
        "reason": card.reason if surely or card.reason_unknown is None else card.reason_unknown,
        "effect": card.effect,
        "says": card.says,
        "because": [_fact(book, fact, codes) for fact in guilty],
    }
    if card.within:
        found["within_hours"] = book.domain.parameter(card.within, book.on)
    if card.route_to:
        found["route_to"] = card.route_to
    return found


def _witnesses(book: Book, condition: Condition, codes: Codes, *, surely: bool, negated: bool = False) -> list[str]:
    """Facts that made a condition hold, or maybe hold: all of a conjunction, of alternatives those that do."""
    if isinstance(condition, Not):
        return _witnesses(book, condition.part, codes, surely=surely, negated=not negated)
    if isinstance(condition, And | Or):
        parts = list(condition.parts)
        if isinstance(condition, And) == negated:
            wanted = (TRUE,) if surely else (TRUE, UNKNOWN)
            parts = [p for p in parts if truth(p, codes, book.domain, book.on) * (-1 if negated else 1) in wanted]
        return [fact for p in parts for fact in _witnesses(book, p, codes, surely=surely, negated=negated)]
    return [condition.fact]


def _shown(book: Book, rule: Rule, codes: Codes, *, only_unknown: bool) -> list[list[Any]]:
    facts = dict.fromkeys(leaf.fact for leaf in leaves(rule.condition))
    shown = [_fact(book, fact, codes) for fact in facts]
    return [one for one in shown if one[1] == "unknown"] if only_unknown else shown


def _fact(book: Book, fact: str, codes: Codes) -> list[Any]:
    value = value_of(fact, codes, book.domain)
    return [fact, "unknown", book.domain.facts[fact].source] if value is None else [fact, "known", value]


def _said(book: Book, rule: Rule, codes: Codes) -> int:
    return truth(rule.condition, codes, book.domain, book.on)


def _mask(book: Book, rules: Sequence[Rule], codes: Codes, channel: int | None, *, must: bool) -> int:
    mask = 0
    for bit, rule in enumerate(rules):
        if channel is None or channel in rule.channels:
            said = _said(book, rule, codes)
            mask |= (said == TRUE if must else said != FALSE) << bit
    return mask


def codes_at(drawn: Population, place: tuple[int, ...]) -> dict[str, int]:
    """The codes of one lead, asset and channel; an axis of one cell is the same for all."""
    return {
        fact: int(column[tuple(at if size > 1 else 0 for at, size in zip(place, column.shape, strict=True))])
        for fact, column in drawn.columns.items()
    }
