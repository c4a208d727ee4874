"""What could still change a lead's readiness: things the lead may do, things we may do, and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from configs.errors import Problem
from configs.section import Section

FILE = "changes.yaml"
_VOCABULARIES = {"kind": "event_kind", "channel": "event_channel", "topic": "topic", "depth": "depth"}


class NewEvent(Section):
    """An event that would come in now."""

    kind: str
    channel: str | None = None
    topic: str | None = None
    depth: str | None = None


class Change(Section):
    """One change: who makes it, in words, and what would be recorded.

    Exactly one of `event`, `lead` (instants of the lead's record that become now) and `wait_days` is given. `invited`
    says that people usually do it when they are invited, so that a permitted channel matters.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    by: Literal["lead", "us", "nobody"]
    says: str = Field(min_length=3)
    invited: bool = False
    event: NewEvent | None = None
    lead: tuple[Literal["verified_at"], ...] = ()
    wait_days: int | None = Field(default=None, ge=1, le=730)

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if sum((self.event is not None, bool(self.lead), self.wait_days is not None)) != 1:
            raise ValueError("expected exactly one of event, lead and wait_days")
        return self


def change_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the list: an id used twice, and words of an event that no vocabulary has."""
    seen: set[str] = set()
    for change in found["changes"]:
        if change.id in seen:
            yield Problem(FILE, f"changes.{change.id}", "id already used")
        seen.add(change.id)
        for field, vocabulary in _VOCABULARIES.items():
            word = getattr(change.event, field, None)
            if word is not None and word not in found["vocabularies"][vocabulary].values:
                yield Problem(FILE, f"changes.{change.id}.event.{field}", f"expected a word of {vocabulary}: {word!r}")
