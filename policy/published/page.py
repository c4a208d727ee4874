"""The rule book as a page that counsel can read, print and sign: offline, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from configs.cards import FactDeclaration, RuleCard
from configs.conditions import Condition, facts_used, parameters_used, parse
from configs.settings import Settings
from features.evaluate import Domain
from policy.book import BLOCKING, Book, condition_of, in_force
from policy.examples import run_examples
from policy.published.english import NOT_SO, Phrase, phrase, words

FAMILIES: tuple[tuple[str, str], ...] = (
    ("GEN", "Everywhere"),
    ("CNS", "Consent"),
    ("FEA", "What may be learned and scored from"),
    ("EU", "European Union"),
    ("DE", "Germany"),
    ("FR", "France"),
    ("UK", "United Kingdom"),
    ("CH", "Switzerland"),
    ("US", "United States"),
    ("CA", "Canada"),
    ("AU", "Australia, Brazil and other countries"),
    ("RX", "Prescription medicines and authorisation"),
    ("HCP", "Health care professionals"),
    ("CON", "Content"),
    ("FRQ", "Frequency"),
    ("SUP", "Meetings and open cases"),
    ("HYG", "Hygiene of lists and segments"),
)
EFFECTS = {
    "forbid": "forbids the contact",
    "reroute": "sends the matter to another team and stops the contact",
    "review": "holds the contact until a person has looked at it",
    "suppress_until": "holds the contact until a later day",
    "limit_content": "forbids this kind of content",
    "drop_feature": "takes data away from scoring",
    "no_score": "forbids scoring the person at all",
    "mask": "hides data from people in the field",
    "permit": "permits the contact",
}
GATES = {
    "feature": "before data is learned or scored from",
    "action": "when actions are chosen",
    "send": "just before sending",
}
CONFIDENCE = {
    "source": "the source was read",
    "high": "confident, citation not read again",
    "medium": "fairly sure, check the section",
    "low": "unsure: a question to counsel",
    "company": "company or industry practice, no statute",
}
NOT_SHIPPED = (
    "Classification under the EU AI Act",
    "Analysis under anti-kickback laws",
    "National transparency codes (disclosure of payments)",
    "China's Personal Information Protection Law (PIPL)",
    "Details of Quebec's Law 25",
    "Details of the revised Swiss data protection act (FADP)",
    "Gift laws state by state",
)


def book_page(book: Book, settings: Settings) -> str:
    """The page of a book; cards that do not hold on its day are named at the end.

    Every condition is told with the parameters of the day. Examples are run, and a failing one is shown as such.
    """
    failed = {(result.card, result.number): result.found for result in run_examples(settings) if not result.holds}
    cards = sorted(settings.rules, key=lambda card: card.id)
    shown = [_card(card, settings, book, failed) for card in cards if in_force(card, book.on)]
    used = {name for card in shown for name in card["facts"]}
    return _environment().get_template("book.html").render(
        on=book.on,
        hash=book.hash,
        pending=sum(card["pending"] for card in shown),
        count=len(shown),
        families=_families([card for card in shown if card["effect"] != "permit"]),
        permits=[card for card in shown if card["effect"] == "permit"],
        parameters=_parameters(settings, book, shown),
        facts=[_fact(name, fact) for name, fact in settings.facts.items() if name in used],
        others=[card for card in cards if not in_force(card, book.on)],
        confidence=CONFIDENCE,
        not_shipped=NOT_SHIPPED,
        channels=[words(channel) for channel in book.channels],
    )  # fmt: skip


def _families(cards: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    known = [prefix for prefix, _ in FAMILIES]
    found = [(title, [card for card in cards if card["prefix"] == prefix]) for prefix, title in FAMILIES]
    found.append(("Other", [card for card in cards if card["prefix"] not in known]))
    return [(title, group) for title, group in found if group]


def _card(card: RuleCard, settings: Settings, book: Book, failed: dict[tuple[str, int], str]) -> dict[str, Any]:
    condition = condition_of(card, settings)
    every = len(card.channels) == len(book.channels)
    applies = _told(card.applies_when, settings, book)
    # "Unless it is surely false that it is not so" is "unless it is sure".
    turned = card.effect != "permit" and applies.text.startswith(NOT_SO)
    return {
        "id": card.id,
        "prefix": card.id.partition("-")[0],
        "title": card.title,
        "says": card.says,
        "effect": card.effect,
        "effect_words": EFFECTS[card.effect],
        "blocks": card.effect in BLOCKING or card.effect == "no_score",
        "channels": "all channels" if every else ", ".join(words(channel) for channel in card.channels),
        "gates": " and ".join(GATES[g] for g in card.gates),
        "applies": _told(f"NOT ({card.applies_when})", settings, book) if turned else applies,
        "turned": turned,
        "unless": None if card.unless_surely is None else _told(card.unless_surely, settings, book),
        "written": (card.applies_when, card.unless_surely),
        "legal": card.legal,
        "reason": card.reason,
        "reason_unknown": card.reason_unknown,
        "route_to": None if card.route_to is None else words(card.route_to),
        "effective": card.effective,
        "review": card.review,
        "pending": card.review.status != "signed",
        "overdue": card.review.next < book.on,
        "examples": [_example(card, number, e, failed) for number, e in enumerate(card.examples, start=1)],
        "facts": facts_used(condition),
        "parameters": parameters_used(condition),
    }


def _told(text: str, settings: Settings, book: Book) -> Phrase:
    condition: Condition = parse(text, settings.facts, settings.parameters)
    return phrase(condition, Domain.of(settings), book.on)


def _example(
    card: RuleCard, number: int, example: dict[str, Any], failed: dict[tuple[str, int], str]
) -> dict[str, Any]:
    verdict = str(example["verdict"])
    given = [(words(name), _value(value)) for name, value in example.items() if name not in ("verdict", "on")]
    return {
        "given": given,
        "on": example.get("on"),
        "verdict": {"pass": "does not apply", "no_permit": "does not permit"}.get(
            verdict, EFFECTS.get(verdict, verdict)
        ),
        "stops": verdict not in ("pass", "permit"),
        "found": failed.get((card.id, number)),
    }


def _value(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else words(str(value))


def _parameters(settings: Settings, book: Book, cards: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for name in sorted({name for card in cards for name in card["parameters"]}):
        declared = settings.parameters[name]
        found.append(
            {
                "name": name,
                "value": _value(book.domain.parameter(name, book.on)),
                "history": [
                    (start, _value(value), _era(start, declared.values, book.on))
                    for start, value in sorted(declared.values.items())
                ],
                "reference": declared.reference,
                "note": declared.note,
                "cards": [card["id"] for card in cards if name in card["parameters"]],
            }
        )
    return found


def _era(start: date, values: object, on: date) -> str:
    started = [day for day in values if day <= on]  # type: ignore[attr-defined]
    return "later" if start > on else "today" if start == max(started) else "before"


def _fact(name: str, fact: FactDeclaration) -> dict[str, Any]:
    if fact.type == "int":
        values = "a whole number"
    elif fact.type == "yesno":
        values = "yes or no"
    else:
        named = [words(value) for value in fact.values]
        values = ", ".join(named[:14]) + (f" and {len(named) - 14} more" if len(named) > 14 else "")
    per = {"lead": "person", "channel": "person and channel", "asset": "content"}
    return {
        "name": name,
        "words": words(name),
        "says": fact.says,
        "values": values,
        "source": fact.source,
        "per": per.get(fact.per, "person and content" if fact.per == "lead_asset" else "content and channel"),
        "age": f"{fact.max_age_days} days" if fact.max_age_days else "none",
    }


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("policy.published", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
