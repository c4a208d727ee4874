"""Who is worth somebody's time: thresholds and lanes over columns, and the same for one lead as one function.

A rule never sees a lane, and a lane permits nothing: it says whose turn it would be if somebody may contact the lead.
Off-label questions and adverse events are not looked at, so that they change no lane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.conditions import Condition, facts_used, parameters_used, parse
from configs.qualification import FAST, NURTURE, PARTNER, STANDARD, Bar, QualificationSettings
from configs.settings import Settings
from features.evaluate import Domain, Normal, define, normal_form, reading, source
from features.facts import Facts
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
    domain: Domain
    conditions: tuple[Condition | None, ...]
    named: tuple[tuple[int, Condition], ...]
    segments: tuple[frozenset[int], ...]
    needs: tuple[_Needs, ...]
    fast: tuple[_Needs, ...]
    dated: bool
    compiled: dict[date | None, _Compiled] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, settings: Settings, segment_ids: Sequence[str], domain: Domain | None = None) -> Qualifier:
        """Resolve the settings against the segments of a map, in its order; those it lacks match nobody."""
        found, domain = settings.qualification, domain or Domain.of(settings)
        fit, engagement = list(settings.scorecard.fit_grades), list(settings.scorecard.engagement_grades)
        read = {key: parse(text, domain.facts, domain.parameters) for key, text in found.conditions.items()}
        return cls(
            settings=found,
            domain=domain,
            conditions=tuple(read.get(f"thresholds.{one.id}.when") for one in found.thresholds),
            named=tuple((bit, read[key]) for key, bit in _BITS.items() if key in read),
            segments=tuple(
                frozenset(place for place, name in enumerate(segment_ids) if name in one.segments)
                for one in found.thresholds
            ),
            needs=tuple(_Needs.of(one, fit, engagement) for one in found.thresholds),
            fast=tuple(_Needs.of(one, fit, engagement) for one in found.fast),
            dated=any(parameters_used(condition) for condition in read.values()),
        )

    def qualified(
        self, facts: Facts, primary: NDArray[np.int32], band: NDArray[np.uint8], points: Points, on: date
    ) -> Qualified:
        """The lane of every lead on a day; a fact that is not known speaks for no threshold and is no advancement."""
        compiled = self._for(on)
        one = facts.one
        if one is not None and one.keys() >= compiled.names:
            place, did = compiled.scalar(primary.item(), *[one[name] for name in compiled.facts])
            lane, did = self._lane(place, did, band.item(), points.fit_grade.item(), points.engagement_grade.item())
            lanes, places = np.array([[lane], [place]], dtype=np.int8)
            return Qualified(lanes, places, np.array([did], dtype=np.uint8))
        return self._lanes(*self._columns(facts, primary, compiled), band, points)

    def _columns(
        self, facts: Facts, primary: NDArray[np.int32], compiled: _Compiled
    ) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
        n = facts.n
        columns = {name: facts.columns[name].reshape(-1) for name in compiled.facts if name in facts.columns}
        seen: dict[Any, Any] = {}

        def sure(normal: Normal) -> NDArray[np.bool_]:
            return np.broadcast_to(reading(normal, columns, seen, must=True).reshape(-1), (n,))

        places, bits = np.full(n, NO_THRESHOLD, dtype=np.int8), np.zeros(n, dtype=np.uint8)
        for place in reversed(range(len(self.needs))):
            normal = compiled.normal[place]
            holds = np.ones(n, dtype=np.bool_) if normal is None else sure(normal)
            if self.settings.thresholds[place].segments:
                holds = holds & np.isin(primary, list(self.segments[place]))
            places[holds] = place
        for (bit, _), normal in zip(self.named, compiled.named, strict=True):
            bits[sure(normal)] |= bit
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

    def _for(self, on: date) -> _Compiled:
        key = on if self.dated else None
        found = self.compiled.get(key)
        if found is None:
            if len(self.compiled) > 64:
                self.compiled.clear()
            found = self.compiled[key] = _Compiled.of(self, on)
        return found


@dataclass(frozen=True, slots=True)
class _Compiled:
    facts: tuple[str, ...]
    names: frozenset[str]
    normal: tuple[Normal | None, ...]
    named: tuple[Normal, ...]
    scalar: Callable[..., tuple[int, int]]

    @classmethod
    def of(cls, qualifier: Qualifier, on: date) -> _Compiled:
        domain = qualifier.domain
        every = [*(one for one in qualifier.conditions if one is not None), *(one for _, one in qualifier.named)]
        facts = tuple(dict.fromkeys(fact for condition in every for fact in facts_used(condition)))
        names = {fact: f"f{place}" for place, fact in enumerate(facts)}
        normal = tuple(None if one is None else normal_form(one, domain, on) for one in qualifier.conditions)
        named = tuple(normal_form(one, domain, on) for _, one in qualifier.named)
        ways = []
        for place, one in enumerate(normal):
            holds = "True" if one is None else source(one, names, must=True)
            if qualifier.settings.thresholds[place].segments:
                inside = ", ".join(str(segment) for segment in sorted(qualifier.segments[place]))
                holds = f"primary in ({inside}{',' if inside else ''}) and ({holds})"
            ways.append(f"{place} if {holds} else ")
        bits = [
            f"({bit} if {source(one, names, must=True)} else 0)"
            for (bit, _), one in zip(qualifier.named, named, strict=True)
        ]
        arguments = ", ".join(("primary", *names.values()))
        text = f"def placed({arguments}):\n    return ({''.join(ways)}{NO_THRESHOLD}, {' | '.join(bits) or '0'})"
        scalar: Callable[..., tuple[int, int]] = define("placed", text)
        return cls(facts, frozenset(facts), normal, named, scalar)
