"""When it is which hour where, and which channels rest when: time zones by state and country, and pauses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from configs.content import ChannelName
from configs.errors import Problem
from configs.section import Section
from configs.vocabulary import Vocabulary

TIME_ZONES = "policy/time_zones.yaml"
PAUSES = "policy/pauses.yaml"


class TimeZones(Section):
    """The zones that a country, or a state of the United States, has people in; the names are those of IANA."""

    countries: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    us_states: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


class Pause(Section):
    """Days on which channels rest for some people; what is not named means all. `until` is the first day after."""

    start: date = Field(alias="from")
    until: date
    channels: tuple[ChannelName, ...] = ()
    jurisdictions: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    why: str = Field(min_length=3)

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Pause:
        if self.until <= self.start:
            raise ValueError("until: expected a day after `from`; it is the first day without the pause")
        return self


def place_problems(
    zones: TimeZones,
    pauses: tuple[Pause, ...],
    segments: tuple[str, ...],
    vocabularies: Mapping[str, Vocabulary],
) -> Iterator[Problem]:
    """What the two files name that does not exist, and zones that this machine's time zone database lacks."""
    named = {zone for places in (zones.countries, zones.us_states) for found in places.values() for zone in found}
    for zone in vocabularies["time_zone"].values:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield Problem("vocabularies", f"time_zone.{zone}", "the time zone database has no such zone")
    for zone in sorted(named - set(vocabularies["time_zone"].values)):
        yield Problem(TIME_ZONES, zone, "expected a value of the vocabulary time_zone")
    for key, places, vocabulary in (
        ("countries", zones.countries, "country"),
        ("us_states", zones.us_states, "us_state"),
    ):
        for place, found in places.items():
            if place not in vocabularies[vocabulary].values:
                yield Problem(TIME_ZONES, f"{key}.{place}", f"expected a value of the vocabulary {vocabulary}")
            if not found:
                yield Problem(TIME_ZONES, f"{key}.{place}", "expected at least one zone")
    for index, pause in enumerate(pauses):
        for key, given, allowed in (
            ("jurisdictions", pause.jurisdictions, vocabularies["jurisdiction"].values),
            ("segments", pause.segments, segments),
        ):
            for value in given:
                if value not in allowed:
                    yield Problem(PAUSES, f"pauses.{index}.{key}", f"expected a declared value, found {value!r}")
