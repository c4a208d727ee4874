"""The cards of the feature gate, asked about one kind of data of some leads.

What is used is taken away lead by lead by `features/use/permitted.py`, before any feature. These cards say the same in
the language that counsel reads and that is proved; a test holds the two to one answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.data_use import NO_SOURCE, DataKind, DataUse
from configs.settings import Settings
from features.evaluate import Domain, reading
from features.tables import NO, YES
from policy.book import Book, Rule


def told_by(kind: DataKind, use: DataUse) -> str:
    """What a kind of data tells of a person, a value of the fact `data_kind`: the most sensitive of what it may be."""
    if kind.declared is not None:
        return kind.declared
    if use.model_purpose not in kind.purposes:
        return "medical_case"
    if "FEA-01" in kind.rules:
        return "health"
    return "behaviour" if kind.event_like else "business"


@dataclass(frozen=True, slots=True)
class FeatureCards:
    """The cards in force at the feature gate on a day, and what the record of data use says of kinds and sources."""

    cards: tuple[Rule, ...]
    domain: Domain
    use: DataUse
    listed: Mapping[str, NDArray[np.uint8]]
    spared: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def of(cls, settings: Settings, on: date) -> FeatureCards:
        """Compile the cards of a day."""
        book = Book.load(settings, on, "feature")
        return cls(book.feature_rules, book.domain, settings.data_use, _listed(settings), _spared(settings))

    def fired(self, kind: DataKind, facts: Mapping[str, NDArray[Any]], effect: str) -> dict[str, NDArray[np.bool_]]:
        """By card of that effect whether it takes the kind away, for each lead of `facts` (fact columns, (n, 1, 1))."""
        told = np.full((1, 1, 1), self.domain.code("data_kind", told_by(kind, self.use)), dtype=np.uint8)
        # An event's own source is looked at event by event; here it is that of the lead, for what comes from there.
        of_source = np.full((1, 1, 1), YES, dtype=np.uint8)
        if kind.lead_sources:
            listed = self.listed[kind.id][facts["lead_source"]]
            of_source = np.where(self.spared[kind.id][facts["audience"]], YES, listed).astype(np.uint8)
        columns = {**facts, "data_kind": told, "data_source_listed": of_source}
        n = facts["lead_source"].shape[0]
        return {
            rule.id: np.broadcast_to(reading(rule.normal, columns, {}, must=False).reshape(-1), (n,))
            for rule in self.cards
            if rule.card.effect == effect
        }


def _listed(settings: Settings) -> dict[str, NDArray[np.uint8]]:
    """By kind of data and code of a lead's source whether the record lists it, as codes of a yes/no fact."""
    source = settings.vocabularies["lead_source"]
    found = {}
    for kind in settings.data_use.kinds:
        listed = np.full(256, NO, dtype=np.uint8)
        for name in kind.lead_sources:
            listed[0 if name == NO_SOURCE else source.code(name)] = YES
        found[kind.id] = listed
    return found


def _spared(settings: Settings) -> dict[str, NDArray[np.bool_]]:
    """By kind of data and code of an audience whether it is no matter of theirs, so that no source is asked for."""
    use, audience = settings.data_use, settings.vocabularies["audience"]
    found = {}
    for kind in use.kinds:
        rules = [use.rule(rule) for rule in kind.rules]
        codes = [audience.code(name) for rule in rules if not rule.of_source for name in rule.spares]
        found[kind.id] = np.isin(np.arange(256), codes)
    return found
