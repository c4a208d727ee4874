"""Turns what was known at a snapshot into rows to learn from, always the same way."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.evaluate import Domain
from features.facts import FactBuilder, Facts, facts_of
from features.inventory import Inventory
from features.pipeline import FeatureSpec, features_of, signals_of
from features.tables import Known
from models.scorecard import Scorecard
from models.segments.map import SegmentMap
from policy.book import Book
from policy.gates import may_score
from policy.rulings import rule

Bools = NDArray[np.bool_]

# Metrics are cut by these lead facts, and by month.
SLICES = {"role": "role", "setting": "care_setting", "jurisdiction": "jurisdiction", "source": "lead_source"}
UNKNOWN = "unknown"


class Rows:
    """Features, segment, points and slices of leads, by one specification and one segment map."""

    def __init__(self, settings: Settings, spec: FeatureSpec, segment_map: SegmentMap, approved_on: date) -> None:
        self.settings, self.spec, self.segment_map, self.approved_on = settings, spec, segment_map, approved_on
        self.builder = FactBuilder.of(settings).weighing_as(spec, settings.vocabularies)
        self.inventory = Inventory.of_settings(settings)
        self.domain = Domain.of(settings)
        self.scorecard = Scorecard.of(settings, self.domain, segment_map.segment_ids)

    def of(self, known: Known, kept: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        """Features, primary segment and points of some of the leads."""
        signals = signals_of(known, self.builder.plan, self.builder.decision_maker)
        facts = facts_of(known, self.builder, self.inventory, signals)
        # Segments are those approved today: what is learned is how today's segments behave.
        primary = self.segment_map.members(facts, as_of=known.as_of, approved_on=self.approved_on).primary
        points = self.scorecard.points(facts, primary)
        return {
            "X": features_of(known, self.spec, signals).matrix[kept],
            "lead": kept.astype(np.int64),
            "segment": primary[kept].astype(np.int64),
            "points": (points.fit + points.engagement)[kept].astype(np.int64),
            "given": points.given[kept],
            "kept_percent": points.kept_percent[kept],
            **{f"slice {name}": self._named(facts, fact)[kept] for name, fact in SLICES.items()},
            "slice month": np.full(len(kept), f"{known.as_of:%Y-%m}", dtype=object),
        }

    def _named(self, facts: Facts, fact: str) -> NDArray[np.object_]:
        """The value of an enumeration for every lead, in words; its code 0 is unknown."""
        words = np.array([UNKNOWN, *self.domain.facts[fact].values], dtype=object)
        return np.asarray(np.broadcast_to(words[facts.columns[fact].reshape(-1).astype(np.int64)], (facts.n,)))

    def may_learn_from(self, known: Known) -> Bools:
        """The lead gate: whose data may be processed for scoring at all, as known now."""
        book = Book.load(self.settings, known.as_of.date())
        facts = facts_of(known, self.builder, Inventory.of((), self.settings.vocabularies))
        found: Bools = may_score(rule(book, facts))
        # Of a record that was merged away the person is asked: who may not be learned from now, may not be earlier.
        return found if known.merged is None else found[known.merged.survivor]
