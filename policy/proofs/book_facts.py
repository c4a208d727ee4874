"""What loading a book should give, said a second time: which cards and facts, what no book may hold, what codes mean.

Everything here is worked out from the settings alone, before anything is changed, and compared with what `Book.load`
and `Domain` say afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import policy.scalar
from configs.cards import Gate, Parameter, RuleCard
from configs.conditions import leaves, parse
from configs.errors import ConfigInvalid, LeadwellError
from configs.settings import Settings
from features.evaluate import Domain
from policy.book import Book, in_force, verdict_of
from policy.proofs.small_books import CHANNELS, dated, small_settings

_BLOCKING = ("forbid", "reroute", "review", "suppress_until", "limit_content")
_GATES: tuple[Gate, ...] = ("feature", "action", "send")
_CONTENT = {"asset", "lead_asset", "asset_channel"}


@dataclass(frozen=True)
class Loaded:
    """By gate: ids of rules, permits, score and feature rules in order, the facts looked at, and more."""

    by_gate: Mapping[Gate, Mapping[str, Any]]

    @classmethod
    def of(cls, settings: Settings, on: date) -> Loaded:
        """What a book should be, from its cards."""
        return cls({gate: _of_gate(settings, on, gate) for gate in _GATES})

    def differs(self, settings: Settings, on: date) -> str | None:
        """How the book that is loaded now differs, or None."""
        hashes = set()
        for gate, wanted in self.by_gate.items():
            book = Book.load(settings, on, gate)
            found = {
                "rules": [rule.id for rule in book.rules],
                "permits": [rule.id for rule in book.permits],
                "score": [rule.id for rule in book.score_rules],
                "features": [rule.id for rule in book.feature_rules],
                "channels": {rule.id: rule.channels for rule in (*book.rules, *book.permits)},
                "inputs": set(book.inputs),
                "content": book.content,
                "asset facts": set(book.asset_facts),
                "review": book.review,
            }
            different = next((name for name, value in wanted.items() if found[name] != value), None)
            if different is not None or len(book.inputs) != len(set(book.inputs)):
                return f"the book of the {gate} gate has other {different}"
            hashes.add(book.hash)
        return None if len(hashes) == 1 else "the gates have other hashes"


def _of_gate(settings: Settings, on: date, gate: Gate) -> dict[str, Any]:
    cards = sorted((c for c in settings.rules if _holds(c, on) and gate in c.gates), key=lambda card: card.id)
    blocking = [card for card in cards if card.effect in _BLOCKING]
    looked = {card.id: _facts_of(card, settings) for card in cards}
    used = {fact for facts in looked.values() for fact in facts}
    per = {fact: settings.facts[fact].per for fact in used}
    order = settings.vocabularies["channel"].values
    signed = all(card.review.status == "signed" for card in cards)
    return {
        "rules": [card.id for card in blocking],
        "permits": [card.id for card in cards if card.effect == "permit"],
        "score": [card.id for card in cards if card.effect == "no_score"],
        "features": [card.id for card in cards if card.effect in ("drop_feature", "mask")],
        "channels": {card.id: tuple(place for place, name in enumerate(order) if name in card.channels)
                     for card in cards if card.effect == "permit" or card.effect in _BLOCKING},
        "inputs": {(fact, per[fact], "ui" if settings.facts[fact].type == "int" else "u") for fact in used},
        "content": sum(2**bit for bit, card in enumerate(blocking)
                       if all(per[fact] in _CONTENT for fact in looked[card.id])),
        "asset facts": {fact for fact in used if per[fact] in ("asset", "asset_channel")},
        "review": "signed" if signed else "pending-counsel",
    }  # fmt: skip


def _holds(card: RuleCard, on: date) -> bool:
    until = card.effective.until
    return not card.switched_off and not on < card.effective.start and not (until is not None and on >= until)


def _facts_of(card: RuleCard, settings: Settings) -> set[str]:
    texts = [card.applies_when] + ([card.unless_surely] if card.unless_surely else [])
    return {leaf.fact for text in texts for leaf in leaves(parse(text, settings.facts, settings.parameters))}


def domain_wrongly(settings: Settings, on: date) -> str | None:
    """How codes, values and dated parameters are read otherwise than the dictionary says, or None."""
    domain = Domain.of(settings)
    for fact, declared in settings.facts.items():
        is_number = declared.type == "int"
        if domain.is_number(fact) != is_number or domain.unknown(fact) != (-1 if is_number else 0):
            return f"{fact} has another kind"
        if is_number:
            if [domain.value(fact, code) for code in (-2, -1, 0, 1, 2)] != [None, None, 0, 1, 2]:
                return f"numbers of {fact} are read otherwise"
            continue
        values = dict(enumerate(declared.values, start=1))
        if any(domain.value(fact, code) != values.get(code) for code in range(-1, 256)):
            return f"codes of {fact} are read otherwise"
        if any(domain.code(fact, value) != code for code, value in values.items()):
            return f"values of {fact} are coded otherwise"
    made = Domain(settings.facts, dated(on))
    for name, parameter in made.parameters.items():
        for day in (on + timedelta(days=shift) for shift in (-401, -400, -1, 0, 1, 2)):
            if _value(made, name, day) != _in_force(parameter, day):
                return f"a parameter on {day} has another value"
    return None


def _value(domain: Domain, name: str, day: date) -> Any:
    try:
        return domain.parameter(name, day)
    except LeadwellError:
        return "none"


def _in_force(parameter: Parameter, day: date) -> Any:
    found: Any = "none"
    for start in sorted(parameter.values):
        if not day < start:
            found = parameter.values[start]
    return found


def too_much(settings: Settings, on: date) -> str | None:
    """What no book may hold and is taken nevertheless, or what it may and is refused; None where all is well."""
    seven = CHANNELS[:7]
    stop = ("forbid", "ly = 'yes'", seven)
    tried = (
        ("129 rules", [stop] * 129, seven, True), ("129 permits", [("permit", "ly = 'yes'", seven)] * 129, seven, True),
        ("a no_score card about a channel", [("no_score", "cy = 'yes'", seven)], seven, False),
        ("nine channels", [stop], CHANNELS, True),
        ("a card that mixes lead and content in 16 ways", [("forbid", _mixed(4), seven)], seven, True),
        ("a card that mixes lead and content in 32 ways", [("forbid", _mixed(5), seven)], seven, False),
        ("a permit that mixes them so", [("permit", _mixed(5), seven)], seven, False),
    )  # fmt: skip
    before = policy.scalar.MAX_CHOICES
    policy.scalar.MAX_CHOICES = 16  # a card of as many as are allowed takes seconds
    try:
        for what, cards, channels, fits in tried:
            if _taken(small_settings(settings, cards, channels, on), on) != fits:
                return f"{what}: {'refused' if fits else 'taken'}"
    finally:
        policy.scalar.MAX_CHOICES = before
    return _days_wrongly(settings, on)


def _taken(settings: Settings, on: date) -> bool:
    try:
        Book.load(settings, on, "send")
    except ConfigInvalid:
        return False
    return True


def _mixed(pairs: int) -> str:
    """A condition that is the choice of two in each of so many pairs of a fact of the lead and one of the asset."""
    return " OR ".join(f"(l20 = 'v{n}' AND a20 = 'v{n}')" for n in range(1, pairs + 1))


def _days_wrongly(settings: Settings, on: date) -> str | None:
    """A card of one day on the day before, of and after; one that is switched off; and its verdict."""
    card = small_settings(settings, [("permit", "ly = 'yes'", CHANNELS)], CHANNELS, on).rules[0]
    made = small_settings(settings, [("forbid", "ly = 'yes'", CHANNELS)], CHANNELS, on)
    days = [in_force(card, on + timedelta(days=shift)) for shift in (-1, 0, 1)]
    off = card.model_copy(update={"switched_off": "not ours"})
    forever = card.model_copy(update={"effective": card.effective.model_copy(update={"until": None})})
    if days != [False, True, False] or in_force(off, on) or not in_force(forever, on + timedelta(days=9)):
        return "a card is in force on other days"
    says = [verdict_of(one, made, on)({"fact_ly": code}) for one in (card, made.rules[0]) for code in (0, 1, 2)]
    wanted = ["no_permit", "no_permit", "permit", "forbid", "pass", "forbid"]
    return None if says == wanted else "the verdict of one card is another"
