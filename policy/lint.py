"""Small lints over the rule book: what a reviewer would otherwise have to notice by eye."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from configs.cards import RuleCard
from configs.checks import example_code
from configs.conditions import facts_used, parameters_used, parse
from configs.dictionary import AFTER_READINESS, OF_A_DATUM
from configs.settings import Settings
from features.evaluate import FALSE, TRUE, Domain, as_closure
from policy.book import condition_of, in_force, parameters_of

RECHECK_DAYS = 366
# What an example shows of its card: that it surely fires, that it surely does not, or that nobody knows.
_SHOWS = {TRUE: "yes", FALSE: "no"}
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a reviewer should look at."""

    kind: str
    where: str
    says: str


def lint_book(settings: Settings, on: date) -> list[Finding]:
    """Findings over all cards, parameters and compliance facts, as of a day."""
    found: list[Finding] = []
    facts: set[str] = set()
    parameters: set[str] = set()
    domain = Domain.of(settings)
    for card in settings.rules:
        condition = condition_of(card, settings)
        facts.update(facts_used(condition))
        parameters.update(parameters_used(condition), parameters_of(card))
        found += _review_findings(card, on)
        found += _range_findings(card, settings)
        found += _example_findings(card, settings, domain)
    for name, parameter in settings.parameters.items():
        if name not in parameters:
            found.append(Finding("dead_parameter", name, "no card names it"))
        if len(parameter.reference.strip()) < 3:
            found.append(Finding("parameter_without_reference", name, "expected where its values come from"))
    for name, fact in settings.facts.items():
        if name in facts and fact.max_age_days is None and fact.steady is None:
            says = "a card looks at it: expected max_age_days, or in `steady` why it does not age"
            found.append(Finding("fact_without_max_age", name, says))
    return found + list(_unused(settings, facts))


def _unused(settings: Settings, by_rules: set[str]) -> Iterator[Finding]:
    """Facts that nothing looks at. Those of channels, assets and data only rules can use; those of leads anybody."""
    texts = [text for segment in settings.segments for text in segment.conditions().values()]
    texts += [status.when for status in settings.statuses]
    texts += [one.when for part in ("fit", "engagement") for one in getattr(settings.scorecard, part)]
    anywhere = {*by_rules, *AFTER_READINESS, *(fact for text in texts for fact in _facts_of(text, settings))}
    anywhere |= {fact for segment in settings.segments for step in segment.fallback for fact in step.missing}
    for name, fact in settings.facts.items():
        # Lead facts may serve a customer's segments; those about the law serve rules only.
        only_rules = fact.per != "lead" or name in OF_A_DATUM or fact.max_age_days == 1
        if only_rules and name not in by_rules and name not in anywhere:
            yield Finding("unused_fact", name, "no card looks at it")


def _facts_of(text: str, settings: Settings) -> tuple[str, ...]:
    return facts_used(parse(text, settings.facts, settings.parameters))


def _review_findings(card: RuleCard, on: date) -> Iterator[Finding]:
    if in_force(card, on) and card.review.next < on:
        yield Finding("overdue_review", card.id, f"review by {card.review.owner} was due {card.review.next}")
    if any((on - legal.checked).days > RECHECK_DAYS for legal in card.legal):
        yield Finding("citation_not_rechecked", card.id, "its legal basis was not read for over 12 months")


def _range_findings(card: RuleCard, settings: Settings) -> Iterator[Finding]:
    """Days on which nobody can say what holds: no value of a parameter yet, or an end without a successor."""
    names = {*parameters_used(condition_of(card, settings)), *parameters_of(card)}
    for name in sorted(names):
        first = min(settings.parameters[name].values)
        if first > card.effective.start:
            says = f"{name} has no value before {first}, the card begins on {card.effective.start}"
            yield Finding("effective_gap", card.id, says)
    until = card.effective.until
    if until is None:
        return
    others = [other for other in settings.rules if other.id != card.id and _same_family(card, other)]
    if not any(other.effective.start <= until and _lasts(other, until) for other in others):
        says = f"it ends on {until}, and no card of {_stem(card)} with its channels holds from then on"
        yield Finding("effective_gap", card.id, says)


def _same_family(card: RuleCard, other: RuleCard) -> bool:
    """Whether another card may take over, as EU-02-FR does from EU-02-FR-LIST."""
    stems = (_stem(card), card.id)
    family = other.id in stems or any(other.id.startswith(f"{stem}-") for stem in stems)
    return family and set(card.channels) <= set(other.channels) and other.switched_off is None


def _stem(card: RuleCard) -> str:
    """The id without its last part, `EU-02-FR` of `EU-02-FR-LIST`; a family's first card is its own stem."""
    parts = card.id.split("-")
    return "-".join(parts[:-1]) if len(parts) > 2 else card.id


def _lasts(card: RuleCard, day: date) -> bool:
    return card.effective.until is None or card.effective.until > day


def _example_findings(card: RuleCard, settings: Settings, domain: Domain) -> Iterator[Finding]:
    shown = [(known, _shows(card, example, known, settings, domain)) for example, known in _examples(card, settings)]
    sides = {what for _, what in shown}
    if not {"yes", "no"} <= sides:
        missing = "fires" if "yes" not in sides else "does not fire"
        yield Finding("one_sided_examples", card.id, f"expected an example in which it surely {missing}")
    if _UNKNOWN not in sides:
        yield Finding("no_unknown_example", card.id, "expected an example that turns on a fact nobody knows")
    for one, other in _contradictions(card, settings):
        says = f"example {one} says otherwise than example {other}, which knows no less"
        yield Finding("contradictory_examples", card.id, says)


def _examples(card: RuleCard, settings: Settings) -> Iterator[tuple[Mapping[str, Any], dict[str, int]]]:
    for example in card.examples:
        codes = {
            name: example_code(settings.facts[name], value)
            for name, value in example.items()
            if name not in ("verdict", "on") and value != _UNKNOWN
        }
        yield example, {name: code for name, code in codes.items() if code is not None}


def _shows(
    card: RuleCard, example: Mapping[str, Any], known: Mapping[str, int], settings: Settings, domain: Domain
) -> str:
    on = example.get("on", max(legal.checked for legal in card.legal))
    return _SHOWS.get(as_closure(condition_of(card, settings), domain, on)(known), _UNKNOWN)


def _contradictions(card: RuleCard, settings: Settings) -> Iterator[tuple[int, int]]:
    """Pairs of examples of one day of which no card can do both.

    What is surely let through on some facts is let through on more of them, and the same the other way round: so an
    example of letting through stands for all that know at least as much (monotone, docs: semantics 2).
    """
    lets = ("pass", "permit")
    told = [(example.get("on"), known, example["verdict"] in lets) for example, known in _examples(card, settings)]
    for i, (day, known, passes) in enumerate(told):
        for j, (other_day, more, also) in enumerate(told):
            # An example of stopping speaks for itself only: knowing more may well clear it.
            if i != j and day == other_day and passes and not also and known.items() <= more.items():
                yield i + 1, j + 1
