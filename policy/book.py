"""The rule book of a date: cards in force, compiled with the parameters of that day, and one hash over all of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from configs.cards import Gate, RuleCard
from configs.conditions import And, Condition, Not, parameters_used, parse
from configs.errors import ConfigInvalid, Problem
from configs.settings import Settings
from features.evaluate import FALSE, TRUE, Domain, Normal, as_closure, facts_of_normal, normal_form
from policy.masks import error_bit
from policy.scalar import MAX_CHOICES, Scalar, compile_scalar, entangled
from policy.words import Program

ENGINE_VERSION = "1"
# Kinds of numpy type that may hold the codes of a fact that is a number, and of any other.
NUMBER_KINDS, CODE_KINDS = "ui", "u"
BLOCKING = ("forbid", "reroute", "review", "suppress_until", "limit_content")


@dataclass(frozen=True, slots=True)
class Rule:
    """A card in force. A block fires where `normal` may hold, a permit counts where `normal` must hold."""

    card: RuleCard
    condition: Condition
    normal: Normal
    facts: tuple[str, ...]
    channels: tuple[int, ...]

    @property
    def id(self) -> str:
        """Id of the card."""
        return self.card.id


@dataclass(frozen=True, slots=True)
class Book:
    """Everything `rule` needs. Bit i of a mask is `rules[i]`, `permits[i]` or `score_rules[i]`; each is sorted by id.

    `inputs` are the facts looked at: (fact, what it varies with, kinds of numpy type that may hold its codes).
    `content` is the mask of the rules that look at nothing but the content.
    `answers` remembers the ids of masks that were asked for.
    """

    on: date
    channels: tuple[str, ...]
    domain: Domain
    rules: tuple[Rule, ...]
    permits: tuple[Rule, ...]
    score_rules: tuple[Rule, ...]
    feature_rules: tuple[Rule, ...]
    hash: str
    inputs: tuple[tuple[str, str, str], ...]
    asset_facts: tuple[str, ...]
    content: int
    scalar: Scalar = field(repr=False, compare=False)
    program: Program = field(repr=False, compare=False)
    answers: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def error_bit(self) -> int:
        """The bit of a mask of `rules` that is no rule: EVALUATION_ERROR."""
        return error_bit(len(self.rules))

    @property
    def review(self) -> str:
        """`signed` where a named reviewer signed every card in force at this gate, else `pending-counsel`.

        No part of the hash: a signature says who read the cards and changes no decision.
        """
        every = (*self.rules, *self.permits, *self.score_rules, *self.feature_rules)
        return "signed" if all(rule.card.review.status == "signed" for rule in every) else "pending-counsel"

    @classmethod
    def load(cls, settings: Settings, on: date, gate: Gate = "action") -> Book:
        """Compile the cards that speak at a gate on a day; raises ConfigInvalid where they do not fit the engine.

        Both gates have the same hash, which covers all cards in force.
        """
        domain = Domain.of(settings)
        channels = settings.vocabularies["channel"].values
        cards = sorted((card for card in settings.rules if in_force(card, on)), key=lambda card: card.id)
        every = [_compiled(card, settings, domain, on, channels) for card in cards]
        compiled = [one for one in every if gate in one.card.gates]

        def chosen(*effects: str) -> tuple[Rule, ...]:
            return tuple(rule for rule in compiled if rule.card.effect in effects)

        rules, permits, score_rules = chosen(*BLOCKING), chosen("permit"), chosen("no_score")
        problems = [
            Problem("policy/rules", rule.id, f"a no_score card looks at facts of the lead only, not at {fact}")
            for rule in score_rules
            for fact in rule.facts
            if settings.facts[fact].per != "lead"
        ]
        expected = (
            f"expected a condition of at most {MAX_CHOICES} choices between lead and content; write several cards"
        )
        problems += [
            Problem("policy/rules", rule.id, expected) for rule in (*rules, *permits) if entangled(rule.normal, domain)
        ]
        if problems:
            raise ConfigInvalid(problems)
        used = tuple(dict.fromkeys(fact for rule in compiled for fact in rule.facts))
        return cls(
            on=on,
            channels=channels,
            domain=domain,
            rules=rules,
            permits=permits,
            score_rules=score_rules,
            feature_rules=chosen("drop_feature", "mask"),
            inputs=tuple(
                (fact, settings.facts[fact].per, NUMBER_KINDS if domain.is_number(fact) else CODE_KINDS)
                for fact in used
            ),
            asset_facts=tuple(fact for fact in used if settings.facts[fact].per in ("asset", "asset_channel")),
            content=sum(
                1 << bit
                for bit, rule in enumerate(rules)
                if all(settings.facts[fact].per in ("asset", "lead_asset", "asset_channel") for fact in rule.facts)
            ),
            hash=_hash(cards, every, domain, on, channels, settings.digest("data_use")),
            scalar=compile_scalar(
                [(rule.normal, rule.channels) for rule in rules],
                [(rule.normal, rule.channels) for rule in permits],
                [(rule.normal, rule.channels) for rule in score_rules],
                domain,
                len(channels),
            ),
            program=Program.of(
                [(rule.normal, rule.channels) for rule in rules],
                [(rule.normal, rule.channels) for rule in permits],
                [(rule.normal, rule.channels) for rule in score_rules],
                domain,
                len(channels),
            ),
        )


def in_force(card: RuleCard, on: date) -> bool:
    """Whether a card holds on a day."""
    ends = card.effective.until
    return card.switched_off is None and card.effective.start <= on and (ends is None or on < ends)


def parameters_of(card: RuleCard) -> tuple[str, ...]:
    """Parameters that a card names outside its conditions."""
    return (*((card.within,) if card.within else ()), *card.relies_on)


def condition_of(card: RuleCard, settings: Settings) -> Condition:
    """What makes a card fire: `applies_when`, and not `unless_surely`."""
    applies = parse(card.applies_when, settings.facts, settings.parameters)
    if card.unless_surely is None:
        return applies
    return And((applies, Not(parse(card.unless_surely, settings.facts, settings.parameters))))


def verdict_of(card: RuleCard, settings: Settings, on: date) -> Callable[[Mapping[str, int]], str]:
    """The card alone, over the codes of one lead, channel and asset; facts that are not given are unknown."""
    evaluate = as_closure(condition_of(card, settings), Domain.of(settings), on)

    def verdict(facts: Mapping[str, int]) -> str:
        answer = evaluate(facts)
        if card.effect == "permit":
            return "permit" if answer == TRUE else "no_permit"
        return "pass" if answer == FALSE else card.effect

    return verdict


def _compiled(card: RuleCard, settings: Settings, domain: Domain, on: date, channels: tuple[str, ...]) -> Rule:
    condition = condition_of(card, settings)
    normal = normal_form(condition, domain, on)
    covered = tuple(index for index, channel in enumerate(channels) if channel in card.channels)
    return Rule(card, condition, normal, tuple(dict.fromkeys(facts_of_normal(normal))), covered)


def _hash(
    cards: list[RuleCard], rules: list[Rule], domain: Domain, on: date, channels: tuple[str, ...], data_use: str
) -> str:
    """SHA-256 over engine, cards in force, the parameters of the day, the fact dictionary and what data may be used."""
    used = sorted({name for rule in rules for name in (*parameters_used(rule.condition), *parameters_of(rule.card))})
    content: dict[str, Any] = {
        "engine": ENGINE_VERSION,
        "channels": channels,
        "cards": [card.model_dump(mode="json", by_alias=True) for card in cards],
        "parameters": {name: domain.parameter(name, on) for name in used},
        "data_use": data_use,
        "facts": {name: fact.model_dump(mode="json") for name, fact in domain.facts.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
