"""What may be sent and what may be done: assets with their approval, and the actions per segment and stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from configs.claims import Claim
from configs.errors import Problem
from configs.section import Section

ChannelName = Literal["email", "sms", "phone", "rep_visit", "mail", "event", "ads"]
IntentName = Literal["promotional", "medical_education", "medical_information", "service"]
LayerName = Literal["education", "conversion"]
PurposeName = Literal["medical_education", "promotional"]
CallToAction = Literal["none", "learn", "attend", "contact", "trial", "buy"]
MEDICAL = ("medical_education", "medical_information")
# Calls to action that ask for a step towards a purchase: for the conversion layer only.
CONVERTING = ("contact", "trial", "buy")


class Approval(Section):
    """A named person's dated yes."""

    by: str
    on: date
    expires_on: date
    reference: str


class AssetApproval(Approval):
    """The yes to a piece of content, in force from `effective_from`, else from the day it was given."""

    effective_from: date | None = None

    @property
    def start(self) -> date:
        """The first day on which it counts."""
        return self.on if self.effective_from is None else max(self.on, self.effective_from)


class Footer(Section):
    """What a commercial e-mail must carry."""

    unsubscribe_link: bool
    postal_address: bool
    honest_header: bool

    @property
    def complete(self) -> bool:
        """Whether it carries all of it."""
        return self.unsubscribe_link and self.postal_address and self.honest_header


class Asset(Section):
    """A piece of content. `approval` None means a draft. Empty `segment_ids`: any segment of its audiences.

    What is None was not supplied, so nobody knows it, and what needs it is not permitted. An empty list of `claims`
    says that it makes none. `filed_on` is the day it was filed with the regulator; None: it was not.
    """

    asset_id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    title: str
    kind: str
    intent: IntentName
    layer: LayerName
    product: str | None = None
    prescription: bool = False
    indication: str | None = None
    audiences: tuple[str, ...]
    markets: tuple[str, ...]
    channels: tuple[ChannelName, ...]
    stages: tuple[str, ...] = ()
    depth: str = "overview"
    topic: str | None = None
    segment_ids: tuple[str, ...] = ()
    # Tracks of nurture whose leads alone get it; none: any lead.
    tracks: tuple[str, ...] = ()
    call_to_action: CallToAction | None = None
    claims: tuple[Claim, ...] | None = None
    checklist: Mapping[str, bool] | None = None
    supporting_documents: tuple[str, ...] = ()
    filed_on: date | None = None
    footer: Footer | None = None
    source_notice: bool | None = None
    value_transfer: bool | None = None
    reveals_condition: bool | None = None
    refill_reminder: bool | None = None
    approval: AssetApproval | None = None
    withdrawn: bool = False

    @field_validator("layer")
    @classmethod
    def _medical_content_never_converts(cls, layer: str, info: ValidationInfo) -> str:
        # INVARIANT: no asset mixes the layers (CON-03).
        if layer == "conversion" and info.data.get("intent") in MEDICAL:
            raise ValueError(f"expected education, because the intent is {info.data['intent']}")
        return layer

    @field_validator("call_to_action")
    @classmethod
    def _education_asks_for_no_purchase(cls, call: str | None, info: ValidationInfo) -> str | None:
        if call in CONVERTING and (info.data.get("layer") == "education" or info.data.get("intent") in MEDICAL):
            raise ValueError("expected none, learn or attend, because the layer is education")
        return call

    @property
    def indications(self) -> frozenset[str]:
        """Every indication that it or one of its claims is about."""
        named = (self.indication, *(claim.indication for claim in self.claims or ()))
        return frozenset(name for name in named if name is not None)


class Team(Section):
    """Who takes leads of a queue. No territories, languages or markets: all of them. No capacity: as many as come.

    `markets` are those that a channel partner serves, whatever its own territory.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")
    territories: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()
    capacity_a_day: int | None = Field(default=None, ge=0)


class ActionSettings(Section):
    """How the next best action is chosen, and who takes what is for a person.

    Stages by band, depth and layer; intents by purpose of a segment; verbs; order of channels; queues by case or band;
    the teams of a queue, of which the first that fits takes a lead.
    """

    stages: tuple[str, ...] = Field(min_length=1)
    stage_by_band: dict[str, str]
    stage_by_depth: dict[str, str]
    stage_by_layer: Mapping[LayerName, str] = Field(default_factory=dict)
    intents_by_purpose: Mapping[PurposeName, tuple[IntentName, ...]]
    verbs: dict[str, str]
    channel_order: dict[str, tuple[ChannelName, ...]]
    # Chosen only where a segment's own plan names them, and never.
    planned_channels: tuple[ChannelName, ...] = ()
    audience_channels: tuple[ChannelName, ...] = ()
    queues: dict[str, str]
    territory_queues: tuple[str, ...] = ()
    teams: Mapping[str, tuple[Team, ...]] = Field(default_factory=dict)
    without_asset_channels: tuple[ChannelName, ...] = ()
    follow_up_channels: tuple[ChannelName, ...] = ()
    # What a renewal mends: values by fact. Named, like unknown facts, where nothing is permitted.
    renewable: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    valid_hours: int = Field(default=24, ge=1)

    @model_validator(mode="after")
    def _stages_exist(self) -> ActionSettings:
        for key in ("stage_by_band", "stage_by_depth", "stage_by_layer"):
            for name, stage in getattr(self, key).items():
                if stage not in self.stages:
                    raise ValueError(f"{key}.{name}: expected one of {', '.join(self.stages)}")
        return self

    @model_validator(mode="after")
    def _teams_are_of_queues(self) -> ActionSettings:
        for queue, teams in self.teams.items():
            if queue not in self.queues.values():
                raise ValueError(f"teams.{queue}: expected one of {', '.join(sorted(set(self.queues.values())))}")
            if len({team.id for team in teams}) < len(teams):
                raise ValueError(f"teams.{queue}: expected each id once")
        return self

    def first_stage(self, asset: Asset) -> int:
        """The earliest stage at which an asset is offered: a lead gets nothing deeper and no later layer than it suits.

        A depth that is not named is for the last stage only.
        """
        depth = self.stages.index(self.stage_by_depth.get(asset.depth, self.stages[-1]))
        return max(depth, self.first_stage_of_layer(asset.layer))

    def first_stage_of_layer(self, layer: LayerName) -> int:
        """The earliest stage at which content of a layer is offered."""
        return self.stages.index(self.stage_by_layer.get(layer, self.stages[0]))


def content_problems(found: Mapping[str, Any], files: Mapping[tuple[str, str], str]) -> Iterator[Problem]:
    """What is wrong with content: ids given twice, words nobody declared, and offers that mix intents or layers.

    A reply of medical information may stand among a segment's offers: it goes to who asked, at any stage.
    """
    actions: ActionSettings | None = found["actions"]
    if actions is None:
        return
    assets: dict[str, Asset] = {}
    for asset in found["assets"]:
        if asset.asset_id in assets:
            yield Problem("assets.yaml", f"assets.{asset.asset_id}.asset_id", "expected each id once")
        assets[asset.asset_id] = asset
        yield from _unknown_words(asset, found["vocabularies"], actions)
    languages = found["vocabularies"]["language"].values
    for queue, teams in actions.teams.items():
        for team in teams:
            for language in team.languages:
                if language not in languages:
                    at = f"teams.{queue}.{team.id}.languages"
                    yield Problem("actions.yaml", at, f"expected one of {', '.join(languages)}, found {language!r}")
            for market in team.markets:
                if market not in found["vocabularies"]["country"].values:
                    at = f"teams.{queue}.{team.id}.markets"
                    yield Problem("actions.yaml", at, f"expected a value of country, found {market!r}")
    for segment in found["segments"]:
        file = files.get(("segments", segment.id), "segments")
        allowed = actions.intents_by_purpose.get(segment.purpose, ())
        for stage, offered in segment.offers.items():
            for asset in (assets[name] for name in offered if name in assets):
                at = f"{segment.id}.offers.{stage}"
                if asset.intent == "medical_information":
                    continue
                if asset.intent not in allowed:
                    words = f"a segment of {segment.purpose} may use {', '.join(allowed)}"
                    yield Problem(file, at, f"{asset.asset_id} is {asset.intent}, and {words}")
                first = actions.first_stage_of_layer(asset.layer)
                if stage in actions.stages and actions.stages.index(stage) < first:
                    words = f"{asset.asset_id} is of the layer {asset.layer}, which begins at {actions.stages[first]}"
                    yield Problem(file, at, words)


def _unknown_words(asset: Asset, vocabularies: Mapping[str, Any], actions: ActionSettings) -> Iterator[Problem]:
    used: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
        ("product", (asset.product,) if asset.product else (), vocabularies["product"].values),
        ("audiences", asset.audiences, vocabularies["audience"].values),
        ("markets", asset.markets, vocabularies["jurisdiction"].values),
        ("stages", asset.stages, actions.stages),
        ("indication", tuple(sorted(asset.indications)), vocabularies["condition_focus"].values),
    ]
    for key, given, allowed in used:
        for value in given:
            if value not in allowed:
                at = f"assets.{asset.asset_id}.{key}"
                yield Problem("assets.yaml", at, f"expected one of {', '.join(allowed)}, found {value!r}")
