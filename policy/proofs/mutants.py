"""Small mistakes that somebody could make in the book, made on purpose: would an example or a proof notice?

Every mutant differs from the book in one place: an operator, a conjunct or disjunct, a value, a constant, a parameter,
a channel, a gate, an effect, `applies_when` and `unless_surely` swapped, a whole card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from configs.cards import RuleCard
from configs.conditions import (
    And,
    Compare,
    Condition,
    In,
    IsUnknown,
    Not,
    Operator,
    Or,
    ParameterName,
    parse,
)
from configs.settings import Settings

_FLIPPED: Mapping[Operator, tuple[Operator, ...]] = {
    "=": ("<>",),
    "<>": ("=",),
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
}
_OTHER_EFFECT = {
    "forbid": "limit_content", "reroute": "forbid", "review": "suppress_until", "suppress_until": "forbid",
    "limit_content": "review", "permit": "forbid", "no_score": "forbid", "drop_feature": "mask", "mask": "drop_feature",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BookMutant:
    """A configuration with one mistake in it, and the cards it is in."""

    kind: str
    where: str
    what: str
    settings: Settings
    cards: tuple[str, ...]


def book_mutants(settings: Settings) -> Iterator[BookMutant]:
    """Every mutant of the cards and parameters, in a fixed order."""
    for place, card in enumerate(settings.rules):
        yield _mutant(settings, "drop a card", card, "the card is gone", place, None)
        for kind, what, changed in _card_mutants(card, settings):
            yield _mutant(settings, kind, card, what, place, changed)
    for name in sorted(settings.parameters):
        named = "{" + name + "}"
        users = [c for c in settings.rules if named in c.applies_when or named in (c.unless_surely or "")]
        parameter = settings.parameters[name]
        for day, value in parameter.values.items():
            for other in (not value,) if isinstance(value, bool) else (value - 1, value + 1):
                values = {**parameter.values, day: other}
                parameters = {**settings.parameters, name: parameter.model_copy(update={"values": values})}
                yield BookMutant(
                    "change a parameter", name, f"{value} to {other} from {day}",
                    settings.model_copy(update={"parameters": parameters}), tuple(c.id for c in users),
                )  # fmt: skip


def _mutant(
    settings: Settings, kind: str, card: RuleCard, what: str, place: int, changed: RuleCard | None
) -> BookMutant:
    rules = (*settings.rules[:place], *([] if changed is None else [changed]), *settings.rules[place + 1 :])
    return BookMutant(kind, card.id, what, settings.model_copy(update={"rules": rules}), (card.id,))


def _card_mutants(card: RuleCard, settings: Settings) -> Iterator[tuple[str, str, RuleCard]]:
    def changed(**update: Any) -> RuleCard:
        return card.model_copy(update=update)

    for key in ("applies_when", "unless_surely"):
        text = getattr(card, key)
        if text is None:
            continue
        for kind, what, other in conditions_near(parse(text, settings.facts, settings.parameters), settings):
            yield kind, f"{key}: {what}", changed(**{key: written(other)})
    if card.unless_surely is not None:
        swapped = changed(applies_when=card.unless_surely, unless_surely=card.applies_when)
        yield "swap unless and applies", "unless_surely and applies_when swapped", swapped
        yield "drop a conjunct", "unless_surely is gone", changed(unless_surely=None)
    effect = _OTHER_EFFECT[card.effect]
    yield "change an effect", f"{card.effect} to {effect}", changed(effect=effect)
    for channel in settings.vocabularies["channel"].values:
        if channel not in card.channels:
            yield "change channels", f"{channel} added", changed(channels=(*card.channels, channel))
        elif len(card.channels) > 1:
            yield "change channels", f"{channel} left out", changed(channels=_without(card.channels, channel))
    for gate in card.gates:
        if len(card.gates) > 1:
            yield "change gates", f"{gate} left out", changed(gates=_without(card.gates, gate))


def _without(values: Sequence[str], one: str) -> tuple[str, ...]:
    return tuple(value for value in values if value != one)


def conditions_near(condition: Condition, settings: Settings) -> Iterator[tuple[str, str, Condition]]:
    """(kind, what, condition) for every single change inside a condition."""
    match condition:
        case And(parts) | Or(parts):
            same, opposite = (And, Or) if isinstance(condition, And) else (Or, And)
            dropped = "drop a conjunct" if isinstance(condition, And) else "drop a disjunct"
            for place, part in enumerate(parts):
                rest = (*parts[:place], *parts[place + 1 :])
                yield dropped, f"without {written(part)}", rest[0] if len(rest) == 1 else same(rest)
                for kind, what, other in conditions_near(part, settings):
                    yield kind, what, same((*parts[:place], other, *parts[place + 1 :]))
            yield "swap and and or", f"{written(condition)[:60]} by the other word", opposite(parts)
        case Not(part):
            yield "drop a not", f"{written(part)} without NOT", part
            for kind, what, other in conditions_near(part, settings):
                yield kind, what, Not(other)
        case In(fact, values):
            for value in values:
                if len(values) > 1:
                    yield "change a value", f"{fact} without {value}", In(fact, _without(values, value))
            others = [value for value in settings.facts[fact].values if value not in values]
            if others:
                yield "change a value", f"{fact} with {others[0]}", In(fact, (*values, others[0]))
        case Compare(fact, sign, value):
            for flipped in _FLIPPED[sign]:
                yield "flip an operator", f"{fact} {sign} to {flipped}", replace(condition, operator=flipped)
            declared = settings.facts[fact]
            if isinstance(value, str):
                others = [other for other in declared.values if other != value]
                if others:
                    yield "change a value", f"{fact} {value} to {others[0]}", replace(condition, value=others[0])
            elif isinstance(value, int):
                for other in (value - 1, value + 1):
                    if declared.min <= other <= declared.max:
                        yield "change a value", f"{fact} {value} to {other}", replace(condition, value=other)
        case IsUnknown(fact):
            yield "flip an operator", f"{fact} IS UNKNOWN turned", Not(condition)


def written(condition: Condition) -> str:
    """The condition as text that parses to it again."""
    match condition:
        case Not(part):
            return f"NOT ({written(part)})"
        case And(parts) | Or(parts):
            return (" AND " if isinstance(condition, And) else " OR ").join(f"({written(part)})" for part in parts)
        case IsUnknown(fact):
            return f"{fact} IS UNKNOWN"
        case In(fact, values):
            return f"{fact} IN (" + ", ".join(f"'{value}'" for value in values) + ")"
        case Compare(fact, sign, value):
            if isinstance(value, ParameterName):
                return f"{fact} {sign} {{{value.name}}}"
            return f"{fact} {sign} {value}" if isinstance(value, int) else f"{fact} {sign} '{value}'"


def counts_by_kind(kinds: Sequence[str]) -> Mapping[str, int]:
    """How many mutants there are of each kind, in order of first use."""
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
