"""What policy authors write: facts, dated parameters, rule cards and permits."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field, field_validator

from configs.section import Section

Effect = Literal[
    "permit", "forbid", "reroute", "review", "suppress_until", "limit_content", "drop_feature", "no_score", "mask"
]
# Where a card speaks: when a datum is to be used, when actions are chosen, and once more just before something is sent.
# The lead gate is the cards of effect no_score.
Gate = Literal["feature", "action", "send"]
Scope = Literal["lead", "channel", "asset", "lead_asset", "asset_channel"]


class FactDeclaration(Section):
    """One fact rules and segments may use: its type, its values, what it varies with, and where it comes from."""

    type: Literal["enum", "yesno", "int"]
    says: str = Field(min_length=3)
    source: str
    per: Scope = "lead"
    vocabulary: str | None = None
    values: tuple[str, ...] = ()
    min: int = 0
    max: int = 36_500
    max_age_days: int | None = None
    steady: str | None = Field(default=None, min_length=3, description="why it does not age, where nothing ages it")


class Parameter(Section):
    """A number or yes/no that changes on dates, with its legal reference."""

    values: dict[date, int | bool]
    reference: str
    note: str | None = None


class LegalBasis(Section):
    """A citation, how sure we are of it, and when it was last read."""

    cite: str
    confidence: Literal["source", "high", "medium", "low", "company"]
    checked: date


class Review(Section):
    """Who must look at this card next, and when; only `leadwell rules sign` makes its status `signed`."""

    owner: str
    next: date
    # Left out of every hash: a signature says who read a card, and changes no decision.
    status: Literal["pending-counsel", "signed"] = Field(default="pending-counsel", exclude=True)


class Effective(Section):
    """The days a card is in force; `until` is the first day it is not."""

    start: date = Field(alias="from")
    until: date | None = None


class RuleCard(Section):
    """One hand-written rule or permit; its examples are executable.

    `within` is the parameter with the hours that the queue of `route_to` has. `relies_on` are parameters that a card
    stands on though no condition compares with them. A card that ships `switched_off` says why; it is never in force.
    """

    id: str = Field(pattern=r"^[A-Z0-9][A-Z0-9-]{1,30}$")
    title: str
    says: str
    legal: tuple[LegalBasis, ...] = Field(min_length=1)
    review: Review
    effective: Effective
    channels: tuple[Literal["email", "sms", "phone", "rep_visit", "mail", "event", "ads"], ...] = Field(min_length=1)
    gates: tuple[Gate, ...] = Field(default=("action", "send"), min_length=1)
    effect: Effect
    applies_when: str
    unless_surely: str | None = None
    reason: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    reason_unknown: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")
    route_to: str | None = None
    within: str | None = None
    relies_on: tuple[str, ...] = ()
    switched_off: str | None = Field(default=None, min_length=3)
    examples: tuple[dict[str, Any], ...] = Field(min_length=1)

    @field_validator("examples")
    @classmethod
    def _dated(cls, examples: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        """An example's day as a date, from YAML as from the JSON of a kept book; ValueError where it is none."""
        return tuple(
            {**example, "on": date.fromisoformat(example["on"])} if isinstance(example.get("on"), str) else example
            for example in examples
        )
