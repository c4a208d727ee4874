"""When a lead is worth somebody's time: what a lead is, what an advancement is, thresholds, and the lanes to sales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from configs.checks import lead_condition_problems
from configs.errors import Problem
from configs.section import Section

FILE = "qualification.yaml"
BandName = Literal["cold", "warming", "warm", "hot"]
LaneName = Literal["none", "nurture", "standard", "fast", "partner"]
# The places of lanes in columns; a sales queue takes from STANDARD on.
LANES: tuple[LaneName, ...] = ("none", "nurture", "standard", "fast", "partner")
NO_LANE, NURTURE, STANDARD, FAST, PARTNER = range(len(LANES))


class Bar(Section):
    """What a lead must reach: a band, a grade of fit and one of engagement at least; an absent one asks for nothing.

    `asked`: an advancement of the lead stands in for the band; where no band is given it must have made one.
    """

    band: BandName | None = None
    fit: str | None = None
    engagement: int | None = None
    asked: bool = False

    @model_validator(mode="after")
    def _asks_for_something(self) -> Bar:
        if self.band is None and self.fit is None and self.engagement is None and not self.asked:
            raise ValueError("expected band, fit, engagement or asked")
        return self


class Threshold(Bar):
    """From where leads of some kind are qualified: the first whose `when` surely holds speaks; none means all.

    `segments` restricts it to leads whose primary segment is one of these.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")
    says: str = Field(min_length=3)
    when: str | None = None
    segments: tuple[str, ...] = ()


class QualificationSettings(Section):
    """The framework that ties what is known of a lead to what is done next.

    Without a file a warm lead is qualified and a hot one takes the fast lane. `within_hours` is by lane; an absent lane
    has no deadline. A rescoring writes `most_records` of a queue whose teams have no capacity.
    """

    lead: str | None = None
    advancement: str | None = None
    partner: str | None = None
    # The place of a threshold is kept in eight bits.
    thresholds: tuple[Threshold, ...] = Field(
        default=(Threshold(id="everybody", says="warm or hot", band="warm"),), max_length=127
    )
    fast: tuple[Bar, ...] = (Bar(band="hot"),)
    within_hours: Mapping[LaneName, Annotated[int, Field(ge=1, le=8760)]] = Field(default_factory=dict)
    history_days: int = Field(default=180, ge=1)
    history_rows: int = Field(default=25, ge=1, le=500)
    most_records: int = Field(default=2000, ge=0)

    @property
    def conditions(self) -> dict[str, str]:
        """Every condition by its key."""
        named = {"lead": self.lead, "advancement": self.advancement, "partner": self.partner}
        named |= {f"thresholds.{threshold.id}.when": threshold.when for threshold in self.thresholds}
        return {key: text for key, text in named.items() if text is not None}


def qualification_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the framework: conditions, segments and grades that do not exist, one never reached."""
    settings: QualificationSettings = found["qualification"]
    for key, text in settings.conditions.items():
        yield from lead_condition_problems(FILE, key, text, found["facts"], found["parameters"])
    segments = {definition.id for definition in found["segments"]}
    seen: set[str] = set()
    for place, threshold in enumerate(settings.thresholds):
        at = f"thresholds.{threshold.id}"
        if threshold.id in seen:
            yield Problem(FILE, at, "expected each id once")
        seen.add(threshold.id)
        for segment in threshold.segments:
            if segment not in segments:
                yield Problem(FILE, f"{at}.segments", f"no segment is named {segment!r}")
        last = place == len(settings.thresholds) - 1
        if not last and threshold.when is None and not threshold.segments:
            yield Problem(FILE, at, "expected `when` or `segments`: nobody reaches the thresholds after this one")
    scorecard = found["scorecard"]
    bars: list[tuple[str, Bar]] = [(f"thresholds.{one.id}", one) for one in settings.thresholds]
    bars += [(f"fast.{place}", bar) for place, bar in enumerate(settings.fast)]
    for at, bar in bars:
        if bar.fit is not None and bar.fit not in scorecard.fit_grades:
            yield Problem(FILE, f"{at}.fit", f"expected one of {', '.join(scorecard.fit_grades)}")
        if bar.engagement is not None and bar.engagement not in scorecard.engagement_grades:
            grades = ", ".join(str(grade) for grade in scorecard.engagement_grades)
            yield Problem(FILE, f"{at}.engagement", f"expected one of {grades}")
