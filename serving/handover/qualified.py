"""Who is worth somebody's time: thresholds and lanes over columns, and the same for one lead as one function.

A rule never sees a lane, and a lane permits nothing: it says whose turn it would be if somebody may contact the lead.
Off-label questions and adverse events are not looked at, so that they change no lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.qualification import FAST, NURTURE, PARTNER, STANDARD, Bar, QualificationSettings
from configs.settings import Settings
from features.evaluate import Domain
from features.facts import Facts
from features.surely import Surely
from models.scorecard import Points

NO_THRESHOLD = -1
# Bits of what a lead did or is; REACHES: its threshold.
LEAD, ASKED, IS_PARTNER, REACHES = 1, 2, 4, 8
_BITS = {"lead": LEAD, "advancement": ASKED, "partner": IS_PARTNER}
_BANDS = ("unknown", "cold", "warming", "warm", "hot")


@dataclass(frozen=True, slots=True)
class Qualified:
    """For each lead its lane (a place in LANES), its threshold (-1: none speaks for it) and bits of what it did."""

    lane: NDArray[np.int8]
    threshold: NDArray[np.int8]
    did: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a bar asks for, as codes: a band at least; a fit and an engagement grade at most, the best being 0."""

    band: int
    fit: int
    engagement: int
    asked: bool

    @classmethod
    def of(cls, bar: Bar, fit: Sequence[str], engagement: Sequence[int]) -> _Needs:
        band = len(_BANDS) if bar.band is None and bar.asked else 0 if bar.band is None else _BANDS.index(bar.band)
        return cls(
            band=band,
            fit=len(fit) if bar.fit is None else fit.index(bar.fit),
            engagement=len(engagement) if bar.engagement is None else engagement.index(bar.engagement),
            asked=bar.asked,
        )

    def met(self, band: Any, fit: Any, engagement: Any, asked: Any) -> Any:
        """Whether each lead reaches it; numbers or arrays alike."""
        ready = (band >= self.band) | asked if self.asked else band >= self.band
        return ready & (fit <= self.fit) & (engagement <= self.engagement)


@dataclass(frozen=True)
class Qualifier:
    """The framework, compiled: which threshold speaks for a lead, whether it reaches it, and in which lane it goes."""

    settings: QualificationSettings
    surely: Surely
    named: tuple[int, ...]
    segments: tuple[frozenset[int], ...]
    needs: tuple[_Needs, ...]
    fast: tuple[_Needs, ...]

    @classmethod
    def of(cls, settings: Settings, segment_ids: Sequence[str], domain: Domain | None = None) -> Qualifier:
        """Resolve the settings against the segments of a map, in its order; those it lacks match nobody."""
        found, domain = settings.qualification, domain or Domain.of(settings)
        fit, engagement = list(settings.scorecard.fit_grades), list(settings.scorecard.engagement_grades)
        texts, named = found.conditions, [key for key in _BITS if key in found.conditions]
        whens = [texts.get(f"thresholds.{one.id}.when", "") for one in found.thresholds]
        return cls(
            settings=found,
            surely=Surely.of([*whens, *(texts[key] for key in named)], domain),
            named=tuple(_BITS[key] for key in named),
            segments=tuple(
                frozenset(place for place, name in enumerate(segment_ids) if name in one.segments)
                for one in found.thresholds
            ),
            needs=tuple(_Needs.of(one, fit, engagement) for one in found.thresholds),
            fast=tuple(_Needs.of(one, fit, engagement) for one in found.fast),
        )

    def qualified(
        self, facts: Facts, primary: NDArray[np.int32], band: NDArray[np.uint8], points: Points, on: date
    ) -> Qualified:
        """The lane of every lead on a day; a fact that is not known speaks for no threshold and is no advancement."""
        alone = self.surely.of_one(facts, on)
        if alone is not None:
            own, thresholds = primary.item(), range(len(self.needs))
            place = next((at for at in thresholds if alone[at] and self._speaks(at, own)), NO_THRESHOLD)
            did = sum(bit for bit, holds in zip(self.named, alone[len(self.needs) :], strict=True) if holds)
            lane, did = self._lane(place, did, band.item(), points.fit_grade.item(), points.engagement_grade.item())
            lanes, places = np.array([[lane], [place]], dtype=np.int8)
            return Qualified(lanes, places, np.array([did], dtype=np.uint8))
        return self._lanes(*self._columns(self.surely.holds(facts, on), primary), band, points)

    def _speaks(self, place: int, segment: int) -> bool:
        return not self.settings.thresholds[place].segments or segment in self.segments[place]

    def _columns(
        self, holds: NDArray[np.bool_], primary: NDArray[np.int32]
    ) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
        n = len(holds)
        places, bits = np.full(n, NO_THRESHOLD, dtype=np.int8), np.zeros(n, dtype=np.uint8)
        for place in reversed(range(len(self.needs))):
            speaks = holds[:, place]
            if self.settings.thresholds[place].segments:
                speaks = speaks & np.isin(primary, list(self.segments[place]))
            places[speaks] = place
        for at, bit in enumerate(self.named, start=len(self.needs)):
            bits[holds[:, at]] |= bit
        return places, bits

    def _lane(self, place: int, did: int, band: int, fit: int, engagement: int) -> tuple[int, int]:
        """Lane and bits of one lead; the same as `_lanes`, where arrays of one would cost more than all the rest."""
        asked, lane = did & ASKED != 0, NURTURE
        if place != NO_THRESHOLD and self.needs[place].met(band, fit, engagement, asked):
            did |= REACHES
            lane = FAST if any(needs.met(band, fit, engagement, asked) for needs in self.fast) else STANDARD
        return PARTNER if did & IS_PARTNER else lane, did

    def _lanes(
        self, places: NDArray[np.int8], bits: NDArray[np.uint8], band: NDArray[np.uint8], points: Points
    ) -> Qualified:
        lane = np.full(len(places), NURTURE, dtype=np.int8)
        fit, engagement, asked = points.fit_grade, points.engagement_grade, bits & ASKED != 0
        reaches = np.zeros(len(places), dtype=np.bool_)
        for place, needs in enumerate(self.needs):
            reaches |= (places == place) & needs.met(band, fit, engagement, asked)
        lane[reaches] = STANDARD
        for needs in self.fast:
            lane[reaches & needs.met(band, fit, engagement, asked)] = FAST
        lane[bits & IS_PARTNER != 0] = PARTNER
        bits[reaches] |= REACHES
        return Qualified(lane, places, bits)
