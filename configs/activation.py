"""What a CRM is given: which tags, under which field names, how fresh, and in the shape of which CRM's import."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from configs.errors import Problem
from configs.section import Section

FILE = "activation.yaml"
# Tags of a lead and of an account, each with what it says; their files carry them in this order.
LEAD_TAGS = {
    "lead_id": "id of the lead, the key",
    "account_id": "id of its account",
    "as_of": "the instant that all tags are as of, UTC",
    "valid_until": "until when they may be acted on, UTC; after it the tags are stale",
    "primary_segment": "the one segment that decides; unsegmented where no other holds the lead",
    "segments": "every segment that holds the lead, the primary one first",
    "account_segments": "segments of its account; nobody's own",
    "status": "of the primary membership: active, paused or follow_up",
    "lead_statuses": "what the lead is in for a while, such as a booked meeting",
    "segment_since": "day on which it entered the primary segment",
    "facility_type": "kind of organization",
    "care_setting": "where care is given",
    "specialty": "specialty of the lead, else of the account",
    "integration_need": "systems that must be connected",
    "buyer_stage": "how far its account has come",
    "journey_stage": "how far the lead has come",
    "journey_stage_from": "what tells the journey stage: events, band, or weakly tracked events",
    "readiness_band": "band of the readiness, where a rescoring of the same instant was given",
    "referral_source": "who referred the lead",
    "condition_focus": "condition a professional asked about; a patient's only with `health: consented` and consent",
    "last_verified_on": "day on which the lead's record was last verified",
    "account_verified_on": "day on which the account's record was last verified",
    "segment_versions": "segment@version of every segment",
    "segment_map": "hash of the segment map, short",
}
ACCOUNT_TAGS = {
    "account_id": "id of the account, the key",
    "parent_account_id": "id of the account above it",
    "level": "account; or system, whose people are those of all its accounts",
    "as_of": "the instant that all tags are as of, UTC",
    "valid_until": "until when they may be acted on, UTC; after it the tags are stale",
    "segments": "every account segment it is in",
    "status": "active while that of any of its people is, else follow_up, else paused",
    "segment_since": "day on which it entered the first of its segments",
    "facility_type": "kind of organization",
    "care_setting": "where care is given",
    "specialty": "specialty of the account",
    "integration_need": "systems that must be connected",
    "buyer_stage": "how far it has come",
    "decision_moment": "the decision that comes next",
    "decision_readiness": "points of 100; no probability",
    "decision_readiness_level": "the level of these points",
    "missing_parts": "parts that the next decision needs and nobody is known for",
    "people": "people of its buying group that are known",
    "last_verified_on": "day on which its record was last verified",
    "segment_versions": "segment@version of every segment",
    "segment_map": "hash of the segment map, short",
}
TAGS: Mapping[str, Mapping[str, str]] = {"lead": LEAD_TAGS, "account": ACCOUNT_TAGS}
KEYS = {"lead": "lead_id", "account": "account_id"}


class CrmFile(Section):
    """One import file: of which records, under which name, with which field for which tag.

    `id_prefixes` takes the records whose ids begin so; the files of a unit share its records, the first that fits
    takes one. Only tags that are named are written.
    """

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,40}$")
    unit: Literal["lead", "account"]
    id_prefixes: tuple[str, ...] = ()
    fields: Mapping[str, str] = Field(min_length=1)


class Crm(Section):
    """How one CRM reads an import: `empty` overwrites words with nothing, `empty_number` numbers and days.

    No vocabulary has the word `empty`: what is not known would be told as something that is.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")
    empty: str
    empty_number: str
    separator: str = ";"
    instants: Literal["instant", "day"] = "instant"
    field_names: str = r"^[A-Za-z][A-Za-z0-9_.]*$"
    files: tuple[CrmFile, ...] = Field(min_length=1)


class AudienceDestination(Section):
    """An advertising platform that is given ids: of leads of some segments or all, for whom `channel` is permitted."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")
    channel: Literal["ads"] = "ads"
    segments: tuple[str, ...] = ()


class ActivationSettings(Section):
    """How tags are made: how old memberships may be, how long tags are good, whose statuses and health a CRM sees.

    `health`: `professionals` tells of a condition those only whose work it is; `consented` also patients and others
    whose explicit, proven consent to the use of health data stands and who limited no sharing. Without
    `max_account_age_days` accounts are told however long ago somebody recorded or verified them.
    """

    valid_days: int = Field(ge=1, le=31)
    max_state_age_days: int = Field(ge=0, le=31)
    removed_days: int = Field(ge=1, le=366)
    max_account_age_days: int | None = Field(default=None, ge=1)
    shown_statuses: tuple[str, ...]
    health: Literal["professionals", "consented"] = "professionals"
    crms: tuple[Crm, ...]
    audiences: tuple[AudienceDestination, ...] = ()


def activation_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the activation: tags, statuses and field names that nobody declared, keys that are missing."""
    settings: ActivationSettings | None = found["activation"]
    if settings is None:
        return
    statuses = [status.id for status in found["statuses"]]
    for status in settings.shown_statuses:
        if status not in statuses:
            yield Problem(FILE, "shown_statuses", f"expected one of {', '.join(statuses)}, found {status!r}")
    segments = {segment.id for segment in found.get("segments", ())}
    taken = {crm.id for crm in settings.crms}
    for destination in settings.audiences:
        if destination.id in taken:
            yield Problem(FILE, f"audiences.{destination.id}.id", "expected each id once, those of crms too")
        taken.add(destination.id)
        for segment in destination.segments:
            if segment not in segments:
                at = f"audiences.{destination.id}.segments"
                yield Problem(FILE, at, f"expected a segment that is defined, found {segment!r}")
    words = {value for vocabulary in found["vocabularies"].values() for value in vocabulary.values}
    for crm in settings.crms:
        if crm.empty in words:
            expected = f"expected a word that no vocabulary has, found {crm.empty!r}"
            yield Problem(FILE, f"crms.{crm.id}.empty", expected)
        for file in crm.files:
            at = f"crms.{crm.id}.files.{file.name}"
            tags = TAGS[file.unit]
            for tag in file.fields:
                if tag not in tags:
                    yield Problem(FILE, f"{at}.fields.{tag}", f"expected one of {', '.join(tags)}")
            if KEYS[file.unit] not in file.fields:
                yield Problem(FILE, f"{at}.fields", f"expected {KEYS[file.unit]}, the key")
            names = list(file.fields.values())
            for name in sorted({name for name in names if names.count(name) > 1}):
                yield Problem(FILE, f"{at}.fields", f"{name} is given to two tags")
            for name in names:
                if not re.fullmatch(crm.field_names, name):
                    yield Problem(FILE, f"{at}.fields", f"expected names that match {crm.field_names}, found {name!r}")
        if len({file.name for file in crm.files}) < len(crm.files):
            yield Problem(FILE, f"crms.{crm.id}.files", "expected each name once")
