"""Small lints over the rule book: what a reviewer would otherwise have to notice by eye."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from configs.cards import RuleCard
from configs.conditions import facts_used, parameters_used
from configs.settings import Settings
from policy.book import condition_of, in_force

RECHECK_DAYS = 366


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
    for card in settings.rules:
        condition = condition_of(card, settings)
        facts.update(facts_used(condition))
        parameters.update(parameters_used(condition))
        found += _card_findings(card, facts_used(condition), on)
    found += [
        Finding("dead_parameter", name, "no card names it") for name in settings.parameters if name not in parameters
    ]
    # Facts about the lead alone may serve segments and points; those of channels and assets only rules can use.
    found += [
        Finding("unused_fact", name, "no card looks at it")
        for name, fact in settings.facts.items()
        if fact.per != "lead" and name not in facts
    ]
    return found


def _card_findings(card: RuleCard, facts: tuple[str, ...], on: date) -> list[Finding]:
    found: list[Finding] = []
    if len({example["verdict"] for example in card.examples}) < 2:
        found.append(Finding("one_sided_examples", card.id, "expected an example for each side"))
    stops = [example for example in card.examples if example["verdict"] not in ("pass", "permit")]
    if not any(example.get(fact, "unknown") == "unknown" for example in stops for fact in facts):
        found.append(Finding("no_unknown_example", card.id, "expected an example with an unknown fact"))
    if in_force(card, on) and card.review.next < on:
        found.append(Finding("overdue_review", card.id, f"review by {card.review.owner} was due {card.review.next}"))
    if any((on - legal.checked).days > RECHECK_DAYS for legal in card.legal):
        found.append(Finding("citation_not_rechecked", card.id, "its legal basis was not read for over 12 months"))
    return found
