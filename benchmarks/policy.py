"""The rule book: one lead with the ids of everything that fires, a million leads, and Cedar on the same twelve cards.

Every time is processor time of one process, the best of some rounds. Facts are drawn: of each lead nine in ten are as a
contact would wish them, the others any value or unknown, so that refusals of every kind occur.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from benchmarks.policy_world import favorable_codes, made_facts, plain_numbers, rows
from configs.conditions import And, Compare, Condition, In, IsUnknown, Not, Or, ParameterName
from configs.settings import Settings, load_settings
from features.evaluate import Domain
from features.facts import Facts
from policy.answers import answers
from policy.book import Book
from policy.rulings import rule

ON = date(2026, 6, 30)
LEADS, CHUNK, ROUNDS = 1_000_000, 16_384, 9
FIVE = ("email", "sms", "phone", "rep_visit", "mail")
CHANCE = 0.9
# Rules of several kinds, and two permits, all of which Cedar can express: facts with values, sets, whole numbers.
TWELVE = (
    "GEN-01", "GEN-03", "GEN-04", "CNS-01", "EU-01", "UK-01", "CA-01", "CH-01", "US-02", "FRQ-01", "P-CONSENT",
    "P-US-B2B",
)  # fmt: skip


def run(leads: int = LEADS) -> list[dict[str, Any]]:
    """Rows for the table of `make bench`."""
    settings = load_settings()
    found: list[dict[str, Any]] = []
    for channels, chosen in ((5, _with_channels(settings, FIVE)), (7, settings)):
        book = Book.load(chosen, ON)
        favorable = favorable_codes(book)
        found += _one_lead(book, favorable, channels)
        found += _many_leads(book, favorable, channels, leads, len(settings.assets) + 1)
    return [*found, _beside_cedar(settings)]


def _with_channels(settings: Settings, kept: Sequence[str]) -> Settings:
    """The shipped settings without the other channels, as the reference of the target had them."""
    channel = settings.vocabularies["channel"]
    vocabularies = {**settings.vocabularies, "channel": replace(channel, values=tuple(kept))}
    rules = tuple(card for card in settings.rules if set(card.channels) & set(kept))
    return settings.model_copy(update={"vocabularies": vocabularies, "rules": rules})


def _one_lead(book: Book, favorable: Mapping[str, int], channels: int) -> list[dict[str, Any]]:
    facts = made_facts(book, favorable, 2_000, 2, chance=CHANCE)
    varied = plain_numbers(book, facts)
    seconds = _best(lambda: [answers(book, numbers, 2) for numbers in varied]) / len(varied)
    book.answers.clear()
    first = _spent(lambda: [answers(book, numbers, 2) for numbers in varied]) / len(varied)
    lists = [Facts(1, facts.assets, rows(facts, i, i + 1).columns, numbers) for i, numbers in enumerate(varied)]
    with_words = _best(lambda: [rule(book, lead).blocks for lead in lists]) / len(varied)
    return [
        {
            "name": f"one lead, {channels} channels, without and with one asset: ids of all rules and permits",
            "unit": "µs",
            "ours": round(seconds * 1e6, 2),
            "peers": {"arrays of masks": round(with_words * 1e6, 2)},
            "ratio": None,
            "target": "12 µs",
            "met": seconds <= 12e-6,
            "says": f"{len(book.rules)} rules, {len(book.permits)} permits; 2,000 different leads, {ROUNDS} times; "
            f"the first time, before any combination of rules was met, {first * 1e6:.2f} µs",
        }
    ]


def _many_leads(
    book: Book, favorable: Mapping[str, int], channels: int, leads: int, inventory: int
) -> list[dict[str, Any]]:
    found = []
    for assets, part in ((2, leads // 4), (inventory, leads // 16)):
        facts = made_facts(book, favorable, part, assets, chance=CHANCE)
        chunks = [rows(facts, start, min(start + CHUNK, part)) for start in range(0, part, CHUNK)]

        def permitted(given: Sequence[Facts] = chunks) -> None:
            for chunk in given:
                _ = rule(book, chunk).permitted

        def masks(given: Sequence[Facts] = chunks) -> None:
            for chunk in given:
                ruled = rule(book, chunk)
                _ = ruled.blocks, ruled.permits

        permitted(), masks()
        allowed, every = _best(permitted) / part * 1e6, _best(masks) / part * 1e6
        few = assets == 2
        what = "without and with one asset" if few else f"with the whole inventory of {assets - 1} assets and without"
        found.append(
            {
                "name": f"a million leads, {channels} channels, {what}: masks of all rules and permits",
                "unit": "s",
                "ours": round(every, 3),
                "peers": {"only what is allowed": round(allowed, 3)},
                "ratio": None,
                "target": "0.3 s" if few and channels == 5 else None,
                "met": max(allowed, every) <= 0.3 if few and channels == 5 else None,
                "says": f"measured on {part:,} leads, {CHUNK:,} at a time, and scaled; one thread",
            }
        )
    return found


def _beside_cedar(settings: Settings) -> dict[str, Any]:
    import cedarpy

    cards = tuple(card for card in settings.rules if card.id in TWELVE)
    if len(cards) != len(TWELVE):
        raise RuntimeError(f"expected the cards {', '.join(TWELVE)}")
    book = Book.load(settings.model_copy(update={"rules": cards}), ON)
    named = [*book.rules, *book.permits]
    text = "\n".join(
        _cedar(one.condition, one.card.channels, permit=one in book.permits, domain=book.domain) for one in named
    )
    policies, entities = cedarpy.PolicySet.from_str(text), cedarpy.Entities.from_json_str("[]")
    # Cedar errs or permits where a fact is absent, so it is only asked where every fact is known.
    facts = made_facts(book, favorable_codes(book, unknown=False), 500, 1, chance=CHANCE, unknown=False)
    numbers = plain_numbers(book, facts)
    asked = [[_request(book, own, c) for c in range(len(book.channels))] for own in numbers]
    ids = {f"policy{place}": one.id for place, one in enumerate(named)}
    for own, requests in zip(numbers, asked, strict=True):
        theirs = cedarpy.is_authorized_batch(requests, policies, entities)
        for answer, result in zip(answers(book, own, 1)[0], theirs, strict=True):
            deciding = {ids[reason] for reason in result.diagnostics.reasons}
            ours = set(answer.permits if answer.allowed else answer.rules) - {"NO_LEGAL_BASIS"}
            if answer.allowed != result.allowed or deciding != ours or result.diagnostics.errors:
                raise RuntimeError(f"Cedar decides otherwise: {sorted(deciding)}, we {sorted(ours)}")
    ours_seconds = _best(lambda: [answers(book, own, 1) for own in numbers]) / len(numbers)
    cedar = _best(lambda: [cedarpy.is_authorized_batch(some, policies, entities) for some in asked]) / len(numbers)
    return {
        "name": f"one lead, {len(book.channels)} channels, the same twelve cards as Cedar policies",
        "unit": "µs",
        "ours": round(ours_seconds * 1e6, 2),
        "peers": {"cedarpy, batch of a lead's channels": round(cedar * 1e6, 2)},
        "ratio": round(cedar / ours_seconds, 1),
        "target": None,
        "met": None,
        "says": f"{len(numbers)} leads of which every fact is known: the same answers and the same ids of what decides "
        "from both; policies and requests were made before; cedarpy hands each context to its engine as JSON",
    }


def _request(book: Book, numbers: Mapping[str, Any], channel: int) -> dict[str, Any]:
    context: dict[str, Any] = {"channel": book.channels[channel]}
    for fact, code in numbers.items():
        per = book.domain.facts[fact].per
        own = code if per == "lead" else code[channel] if per == "channel" else code[0]
        context[fact] = book.domain.value(fact, own[channel] if per == "asset_channel" else own)
    return {"principal": 'Lead::"l"', "action": 'Action::"contact"', "resource": 'Asset::"a"', "context": context}


def _cedar(condition: Condition, channels: Sequence[str], *, permit: bool, domain: Domain) -> str:
    listed = ", ".join(f'"{channel}"' for channel in channels)
    when = f"[{listed}].contains(context.channel) && {_term(condition, domain)}"
    return f"{'permit' if permit else 'forbid'} (principal, action, resource) when {{ {when} }};"


def _term(condition: Condition, domain: Domain) -> str:
    match condition:
        case Not(part):
            return f"!({_term(part, domain)})"
        case And(parts) | Or(parts):
            sign = " && " if isinstance(condition, And) else " || "
            return "(" + sign.join(_term(part, domain) for part in parts) + ")"
        case In(fact, values):
            return "[" + ", ".join(f'"{value}"' for value in values) + f"].contains(context.{fact})"
        case Compare(fact, operator, value):
            constant = domain.parameter(value.name, ON) if isinstance(value, ParameterName) else value
            shown = f'"{constant}"' if isinstance(constant, str) else str(int(constant))
            return f"context.{fact} {({'=': '==', '<>': '!='}).get(operator, operator)} {shown}"
        case IsUnknown(_):
            raise ValueError("Cedar has no unknown")


def _spent(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _best(work: Callable[[], object]) -> float:
    """The least processor time of some rounds, in seconds."""
    return min(_spent(work) for _ in range(ROUNDS))
