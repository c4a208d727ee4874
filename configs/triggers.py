"""The trigger catalogue: what makes a re-evaluation or a review of segments due, and for whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Literal

from pydantic import Field

from configs.checks import lead_condition_problems
from configs.dictionary import AFTER_READINESS
from configs.errors import Problem
from configs.references import RETIRE
from configs.section import Section

FILE = "triggers.yaml"
MAX_TRIGGERS = 63
# What may be watched besides facts of the lead: which account it belongs to, and which system that belongs to.
ACCOUNT, SYSTEM = "account_id", "parent_account_id"
_ASKS = {"event": "events", "field_changed": "watches", "outside": "occurs"}


class Occurrence(Section):
    """One day on which something happened outside the data: a launch, a new guideline, a changed feature."""

    on: date
    says: str = Field(min_length=3)


class Trigger(Section):
    """What makes a re-evaluation due: a new lead, an event, a changed field, or something outside the data.

    It fires for a lead between one run and the next: when the lead is new, when one of `events` became known, when the
    value of a watched fact or account changed from one known value to another (with `newly_known` also from unknown),
    or when a day of `occurs` passed; and only where `when` surely holds. `segments` are those it concerns, all where
    none is named; `reviews` are those whose definition people look at again.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")
    title: str = Field(min_length=3)
    kind: Literal["lead_new", "event", "field_changed", "outside"]
    when: str = ""
    events: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    newly_known: bool = False
    occurs: tuple[Occurrence, ...] = ()
    product: str | None = None
    segments: tuple[str, ...] = ()
    reviews: tuple[str, ...] = ()
    says: str = Field(min_length=3)
    owner: str = Field(min_length=3)


def reviews_due(triggers: Sequence[Trigger], after: date, until: date) -> dict[str, tuple[str, ...]]:
    """For each segment that outside triggers put up for review, what happened after one day and until another."""
    found: dict[str, list[str]] = {}
    for trigger in triggers:
        for occurrence in trigger.occurs:
            if after < occurrence.on <= until:
                for segment in trigger.reviews:
                    found.setdefault(segment, []).append(f"{trigger.id} on {occurrence.on}: {occurrence.says}")
    return {segment: tuple(said) for segment, said in sorted(found.items())}


def trigger_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the catalogue: unknown segments, facts, kinds of event, and keys that do not fit the kind."""
    triggers: Sequence[Trigger] = found["triggers"]
    vocabularies, facts = found["vocabularies"], found["facts"]
    segments = {segment.id for segment in found["segments"]}
    kinds = vocabularies["event_kind"].values if "event_kind" in vocabularies else ()
    products = vocabularies["product"].values if "product" in vocabularies else ()
    if len(triggers) > MAX_TRIGGERS:
        yield Problem(FILE, "triggers", f"expected at most {MAX_TRIGGERS}, found {len(triggers)}")
    seen: set[str] = set()
    for trigger in triggers:
        if trigger.id in seen:
            yield Problem(FILE, f"triggers.{trigger.id}", "id already used")
        seen.add(trigger.id)
        for key in _ASKS.values():
            given, asked = bool(getattr(trigger, key)), _ASKS.get(trigger.kind) == key
            # An outside trigger without a day yet waits for somebody to enter one.
            if given and not asked:
                yield Problem(
                    FILE, f"triggers.{trigger.id}.{key}", f"expected none, because the kind is {trigger.kind}"
                )
            elif asked and not given and key != "occurs":
                yield Problem(
                    FILE, f"triggers.{trigger.id}.{key}", f"expected some, because the kind is {trigger.kind}"
                )
        watched = {name for name, fact in facts.items() if fact.per == "lead"} - set(AFTER_READINESS)
        for key, given_names, allowed in (
            ("events", trigger.events, set(kinds)),
            ("watches", trigger.watches, watched | {ACCOUNT, SYSTEM}),
            ("product", (trigger.product,) if trigger.product else (), set(products)),
            ("segments", trigger.segments, segments),
            ("reviews", trigger.reviews, segments),
        ):
            for name in given_names:
                if name not in allowed:
                    mend = f"; {RETIRE}" if key in ("segments", "reviews") else ""
                    expected = f"expected a declared one, found {name!r}{mend}"
                    yield Problem(FILE, f"triggers.{trigger.id}.{key}", expected)
        key = f"triggers.{trigger.id}.when"
        yield from lead_condition_problems(FILE, key, trigger.when or "", facts, found["parameters"])
