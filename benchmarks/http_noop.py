"""What BentoML itself costs: an endpoint that validates the same body with pydantic and does nothing else."""

from __future__ import annotations

import bentoml
from pydantic import BaseModel, ConfigDict, Field


class Row(BaseModel):
    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)


class Events(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    event_id: str
    lead_id: str
    occurred_at: str
    recorded_at: str
    account_id: str | None = None
    kind: str | None = None
    topic: str | None = None
    depth: str | None = None
    channel: str | None = None
    asset_id: str | None = None
    campaign_id: str | None = None
    product: str | None = None
    message_id: str | None = None
    source: str | None = None
    agent: str | None = None


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    lead: Row
    account: Row | None = None
    parent_account: Row | None = None
    colleagues: list[Row] | None = None
    events: list[Events] | None = None
    touches: list[Row] | None = None
    consents: list[Row] | None = None
    suppressions: list[Row] | None = None
    suppressions_complete_as_of: str | None = None
    cases: list[Row] | None = None
    memberships: list[Row] | None = None
    links: list[Row] | None = None
    linked_leads: list[Row] | None = None
    linked_accounts: list[Row] | None = None


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    leads: list[Item] = Field(min_length=1, max_length=500)
    as_of: str | None = None


class Answer(BaseModel):
    decisions: list[str]


@bentoml.service(name="noop", workers=1, logging={"access": {"enabled": False}})
class Noop:
    @bentoml.api(route="/v1/score")
    async def score(self, body: Body, /) -> Answer:
        return Answer(decisions=[])
