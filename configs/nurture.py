"""Nurture: who is on which track, what each step asks and offers, how fast content deepens, and when a reply is due.

Nothing here can permit anything: it only narrows and orders what the rules let pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from configs.checks import lead_condition_problems
from configs.content import CallToAction, LayerName, PurposeName
from configs.definitions import SegmentDefinition
from configs.errors import Problem
from configs.section import Section

FILE = "nurture.yaml"
# Tracks of an asset are bits of one word; kinds of event that open a track or a window are columns of a small table.
MAX_TRACKS, MAX_KINDS = 62, 32
# An asset's kind counts for more than anything that is not a matter of the segment or product; so many places matter.
MAX_PLACES = 8
SideName = Literal["clinical", "operations"]


class Side(Section):
    """One side of the guard between clinical and operational content.

    `topics` are for this side only. `roles` are on it; who has a role that no side names is on it by `audiences`.
    """

    topics: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()


class FollowUp(Section):
    """When something a lead did is answered: not before so many days, and by so many."""

    after_days: int = Field(default=0, ge=0, le=365)
    within_days: int = Field(ge=0, le=365)

    @model_validator(mode="after")
    def _in_order(self) -> FollowUp:
        if self.within_days < self.after_days:
            raise ValueError("within_days: expected no less than after_days")
        return self


class Entry(Section):
    """What opens a track: one of these kinds of event, no longer ago than this many days."""

    events: tuple[str, ...] = Field(min_length=1)
    within_days: int = Field(ge=0, le=365)


class Step(Section):
    """One step of a ladder: its layers, the kinds of content it would rather send first, and what it asks for."""

    layers: tuple[LayerName, ...] = Field(min_length=1)
    kinds: tuple[str, ...] = Field(default=(), max_length=MAX_PLACES)
    call_to_action: CallToAction = "learn"
    says: str = Field(min_length=3)


class Track(Section):
    """A way through nurture. The first declared track whose `when` surely holds, and whose entry happened, is a lead's.

    An empty `when` is everybody. `ladder` names the steps, one a stage.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")
    title: str = Field(min_length=3)
    when: str = ""
    enter: Entry | None = None
    ladder: str
    says: str = Field(min_length=3)
    owner: str = Field(min_length=3)


class LadderOfSegment(Section):
    """Which ladder a segment is to have content for; empty keys are every segment."""

    audiences: tuple[str, ...] = ()
    purposes: tuple[PurposeName, ...] = ()
    ladder: str

    def holds(self, segment: SegmentDefinition) -> bool:
        """Whether a segment is meant: all of its audiences are named, and its purpose is."""
        own = not self.audiences or set(segment.audience) <= set(self.audiences)
        return own and (not self.purposes or segment.purpose in self.purposes)


class NurtureSettings(Section):
    """Tracks with their ladders, the depth of content in levels, sides, and windows of follow-up.

    Without tracks and depths the stage is that of the band alone and nothing is paced.
    """

    # Depths of one level are as deep; a lead goes at most one level beyond what it has seen or been sent.
    depths: tuple[tuple[str, ...], ...] = ()
    # What a kind of event shows a lead to have seen, where the event names no depth; any other shows the first level.
    depth_by_event: Mapping[str, str] = Field(default_factory=dict)
    seen_days: int = Field(default=365, ge=1, le=3650)
    # An event counts where a person likelier made it than not: the part of certainty from which it does.
    least_human: float = Field(default=0.5, ge=0, le=1)
    # Kinds of event by which a lead took the content they name, which is then not offered again for so many days.
    taken_by: tuple[str, ...] = ()
    taken_days: int = Field(default=90, ge=1, le=3650)
    sides: Mapping[SideName, Side] = Field(default_factory=dict)
    follow_up: Mapping[str, FollowUp] = Field(default_factory=dict)
    # How long a follow-up that was missed is still told, and the bands that wait for no window.
    overdue_days: int = Field(default=14, ge=0, le=365)
    fast_bands: tuple[str, ...] = ()
    ladders: Mapping[str, Mapping[str, Step]] = Field(default_factory=dict)
    tracks: tuple[Track, ...] = Field(default=(), max_length=MAX_TRACKS)
    # The first that holds says what a segment should be able to say, for the search for gaps.
    ladder_of_segment: tuple[LadderOfSegment, ...] = ()

    @property
    def paced(self) -> bool:
        """Whether anything is declared; else all is as without a nurture file."""
        return bool(self.depths or self.tracks)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of event that open a window or a track, each once."""
        named = (kind for track in self.tracks if track.enter for kind in track.enter.events)
        return tuple(dict.fromkeys((*self.follow_up, *named)))

    def ladder_of(self, segment: SegmentDefinition) -> Mapping[str, Step]:
        """The steps that a segment is to have content for, none where no ladder is meant for it."""
        return next((self.ladders[one.ladder] for one in self.ladder_of_segment if one.holds(segment)), {})

    def step(self, track: Track, stage: str) -> Step | None:
        """What a track does at a stage."""
        return self.ladders[track.ladder].get(stage)


def nurture_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with nurture: words nobody declared, tracks without a ladder, conditions that cannot be asked."""
    nurture: NurtureSettings | None = found["nurture"]
    actions, vocabularies = found["actions"], found["vocabularies"]
    if nurture is None or actions is None:
        return
    words = {name: vocabularies[name].values if name in vocabularies else () for name in _WORDS}
    words["stage"] = actions.stages
    for key, vocabulary, given in _used(nurture):
        for value in given:
            if value not in words[vocabulary]:
                expected = f"expected one of {', '.join(words[vocabulary])}, found {value!r}"
                yield Problem(FILE, key, expected)
    depths = [depth for level in nurture.depths for depth in level]
    if len(set(depths)) < len(depths):
        yield Problem(FILE, "depths", "expected each depth once")
    for kind, depth in nurture.depth_by_event.items():
        if depths and depth not in depths:
            yield Problem(FILE, f"depth_by_event.{kind}", f"expected a depth of one of the levels, found {depth!r}")
    if len(nurture.kinds) > MAX_KINDS:
        yield Problem(FILE, "tracks", f"expected at most {MAX_KINDS} kinds of event, found {len(nurture.kinds)}")
    named = [(f"tracks.{track.id}.ladder", track.ladder) for track in nurture.tracks]
    named += [(f"ladder_of_segment[{n}].ladder", one.ladder) for n, one in enumerate(nurture.ladder_of_segment)]
    for key, ladder in named:
        if ladder not in nurture.ladders:
            yield Problem(FILE, key, f"expected one of {', '.join(nurture.ladders)}, found {ladder!r}")
    seen: set[str] = set()
    for track in nurture.tracks:
        if track.id in seen:
            yield Problem(FILE, f"tracks.{track.id}", "id already used")
        seen.add(track.id)
        if not track.when and track.enter is None and track is not nurture.tracks[-1]:
            expected = "expected `when` or `enter`: nobody reaches the tracks after this one"
            yield Problem(FILE, f"tracks.{track.id}", expected)
        yield from lead_condition_problems(
            FILE, f"tracks.{track.id}.when", track.when or "", found["facts"], found["parameters"]
        )
    for asset in found["assets"]:
        for name in asset.tracks:
            if name not in seen:
                at = f"assets.{asset.asset_id}.tracks"
                yield Problem("assets.yaml", at, f"expected a track of {FILE}, found {name!r}")


_WORDS = ("depth", "event_kind", "topic", "role", "audience", "band", "asset_kind")


def _used(nurture: NurtureSettings) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Every word that has to be declared elsewhere: where it stands, the vocabulary, the words."""
    for place, level in enumerate(nurture.depths):
        yield f"depths[{place}]", "depth", level
    yield "depth_by_event", "event_kind", tuple(nurture.depth_by_event)
    yield "depth_by_event", "depth", tuple(nurture.depth_by_event.values())
    yield "taken_by", "event_kind", nurture.taken_by
    yield "follow_up", "event_kind", tuple(nurture.follow_up)
    yield "fast_bands", "band", nurture.fast_bands
    for place, one in enumerate(nurture.ladder_of_segment):
        yield f"ladder_of_segment[{place}].audiences", "audience", one.audiences
    for which, side in nurture.sides.items():
        yield f"sides.{which}.topics", "topic", side.topics
        yield f"sides.{which}.roles", "role", side.roles
        yield f"sides.{which}.audiences", "audience", side.audiences
    for name, ladder in nurture.ladders.items():
        yield f"ladders.{name}", "stage", tuple(ladder)
        for stage, step in ladder.items():
            yield f"ladders.{name}.{stage}.kinds", "asset_kind", step.kinds
    for track in nurture.tracks:
        if track.enter:
            yield f"tracks.{track.id}.enter.events", "event_kind", track.enter.events
