"""What may be sent and what may be done: assets with their approval, and the actions per segment and stage."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from configs.section import Section

ChannelName = Literal["email", "sms", "phone", "rep_visit", "mail"]
IntentName = Literal["promotional", "medical_education", "medical_information", "service"]


class Approval(Section):
    """A named person's dated yes."""

    by: str
    on: date
    expires_on: date
    reference: str


class Asset(Section):
    """A piece of content. `approval` None means a draft. Empty `segment_ids`: any segment of its audiences."""

    asset_id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    title: str
    kind: str
    intent: IntentName
    layer: Literal["education", "conversion"]
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
    approval: Approval | None = None
    withdrawn: bool = False


class ActionSettings(Section):
    """How the next best action is chosen: stages by band and depth, verbs, channel order, queues by case or band."""

    stages: tuple[str, ...] = Field(min_length=1)
    stage_by_band: dict[str, str]
    stage_by_depth: dict[str, str]
    verbs: dict[str, str]
    channel_order: dict[str, tuple[ChannelName, ...]]
    queues: dict[str, str]
    territory_queues: tuple[str, ...] = ()
    without_asset_channels: tuple[ChannelName, ...] = ()
    follow_up_channels: tuple[ChannelName, ...] = ()
    valid_hours: int = Field(default=24, ge=1)

    @model_validator(mode="after")
    def _stages_exist(self) -> ActionSettings:
        for key in ("stage_by_band", "stage_by_depth"):
            for name, stage in getattr(self, key).items():
                if stage not in self.stages:
                    raise ValueError(f"{key}.{name}: expected one of {', '.join(self.stages)}")
        return self
