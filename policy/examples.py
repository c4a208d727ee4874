"""The examples on the cards, run: each is its own card's verdict, with every fact it does not name unknown."""

from __future__ import annotations

from dataclasses import dataclass

from configs.checks import example_code
from configs.settings import Settings
from policy.book import verdict_of


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """What one example expects of its card, and what the card says."""

    card: str
    number: int
    expected: str
    found: str

    @property
    def holds(self) -> bool:
        """Whether the card still says what the example expects."""
        return self.expected == self.found


def run_examples(settings: Settings) -> list[ExampleResult]:
    """Every example of every card, each on the day it names, or the day its legal basis was last read."""
    results = []
    for card in settings.rules:
        for number, example in enumerate(card.examples, start=1):
            on = example.get("on", max(legal.checked for legal in card.legal))
            given = {k: v for k, v in example.items() if k not in ("verdict", "on") and v != "unknown"}
            codes = {name: example_code(settings.facts[name], value) for name, value in given.items()}
            # A value no fact can have was reported when the card was loaded.
            known = {name: code for name, code in codes.items() if code is not None}
            found = verdict_of(card, settings, on)(known)
            results.append(ExampleResult(card.id, number, str(example["verdict"]), found))
    return results
