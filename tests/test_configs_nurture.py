"""The nurture file: what is refused names the key and what was expected; the shipped one is whole."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from pydantic import ValidationError

from configs.nurture import FollowUp, NurtureSettings, Track, nurture_problems
from configs.settings import Settings, load_settings


@cache
def shipped() -> Settings:
    return load_settings()


def problems(**changed: Any) -> dict[str, str]:
    """What is wrong with the shipped settings once these parts of nurture, or `assets`, are others."""
    one = shipped()
    found = {name: getattr(one, name) for name in ("vocabularies", "actions", "facts", "parameters", "assets")}
    found["assets"] = changed.pop("assets", found["assets"])
    found["nurture"] = NurtureSettings.model_validate(one.nurture.model_dump() | changed)
    return {problem.key: problem.expected for problem in nurture_problems(found)}


def test_the_shipped_file_is_whole_and_every_step_of_every_ladder_says_what_it_does() -> None:
    own, stages = shipped().nurture, shipped().actions.stages
    assert problems() == {}
    assert all(tuple(ladder) == stages for ladder in own.ladders.values())
    depths = [depth for level in own.depths for depth in level]
    assert sorted(depths) == sorted(shipped().vocabularies["depth"].values)
    # Levels deepen as the stages do at which they begin.
    first = [min(stages.index(shipped().actions.stage_by_depth[d]) for d in level) for level in own.depths]
    assert first == sorted(first)
    # Who fits no other track fits the last one of its audience.
    assert own.tracks[-1].enter is None


def one(**own: Any) -> dict[str, Any]:
    return {"id": "t", "title": "one", "ladder": "device", "says": "why", "owner": "somebody"} | own


@pytest.mark.parametrize(
    ("changed", "key", "word"),
    [
        ({"depths": [["overview"], ["deep"]]}, "depths[1]", "'deep'"),
        ({"depths": [["overview"], ["overview"]]}, "depths", "each depth once"),
        ({"depth_by_event": {"sneeze": "overview"}}, "depth_by_event", "'sneeze'"),
        ({"taken_by": ["sneeze"]}, "taken_by", "'sneeze'"),
        ({"fast_bands": ["boiling"]}, "fast_bands", "'boiling'"),
        ({"follow_up": {"sneeze": {"within_days": 1}}}, "follow_up", "'sneeze'"),
        ({"sides": {"clinical": {"topics": ["weather"]}}}, "sides.clinical.topics", "'weather'"),
        ({"tracks": [one(ladder="rope")], "ladder_of_segment": []}, "tracks.t.ladder", "'rope'"),
        ({"tracks": [one(), one()]}, "tracks.t", "already used"),
        ({"tracks": [one(when="band = 'hot'")]}, "tracks.t.when", "before readiness"),
        ({"tracks": [one(when="opt_out = 'no'")]}, "tracks.t.when", "varies with more"),
        ({"tracks": [one(when="roll = 'nurse'")]}, "tracks.t.when", "roll"),
        ({"tracks": [one(enter={"events": ["sneeze"], "within_days": 3})]}, "tracks.t.enter.events", "'sneeze'"),
        ({"ladder_of_segment": [{"ladder": "rope"}]}, "ladder_of_segment[0].ladder", "'rope'"),
    ],
)
def test_a_word_that_nobody_declared_is_named_where_it_stands(changed: dict[str, Any], key: str, word: str) -> None:
    free = tuple(asset.model_copy(update={"tracks": ()}) for asset in shipped().assets)
    assert word in problems(assets=free, **changed)[key]


def test_an_asset_of_a_track_that_is_not_declared_is_named() -> None:
    asset = shipped().assets[0].model_copy(update={"tracks": ("nobody",)})
    assert "'nobody'" in problems(assets=(asset,))[f"assets.{asset.asset_id}.tracks"]


def test_a_window_ends_no_earlier_than_it_begins() -> None:
    assert FollowUp(after_days=2, within_days=2).within_days == 2
    with pytest.raises(ValidationError, match="no less than after_days"):
        FollowUp(after_days=2, within_days=1)


def test_an_empty_configuration_declares_nothing() -> None:
    assert not NurtureSettings().paced and NurtureSettings().kinds == ()
    assert NurtureSettings(tracks=(Track(**one()),), ladders={"device": {}}).paced
