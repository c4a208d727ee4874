"""Where data of people may come from, and which states' registrations we hold: what `policy/` says about both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from pydantic import Field

from configs.data_use import DataUse
from configs.errors import Problem
from configs.section import Section
from configs.vocabulary import Vocabulary

REGISTER = "policy/source_register.yaml"
REGISTRATIONS = "policy/registrations.yaml"


class RegisteredSource(Section):
    """One source of people's data: what it may be used for, until when, and from whom it is.

    `licence_until` is the last day of the licence. `third_party`: not from the person. `phi`: from health records of a
    care provider or insurer.
    """

    permitted_for: tuple[str, ...]
    licence_until: date | None = None
    third_party: bool = False
    phi: bool = False
    says: str = Field(min_length=3)


class SourceRegister(Section):
    """Sources by their word in `lead_source`; one that is not listed permits nothing and tells nothing."""

    contact_purpose: str = "promotion"
    sources: Mapping[str, RegisteredSource] = Field(default_factory=dict)


class Registration(Section):
    """A state's registration that we hold, through its last day."""

    until: date
    reference: str = Field(min_length=3)


class Registrations(Section):
    """States that ask a caller to register, and the registrations held."""

    needed: tuple[str, ...] = ()
    held: Mapping[str, Registration] = Field(default_factory=dict)


def register_problems(
    register: SourceRegister, registrations: Registrations, use: DataUse, vocabularies: Mapping[str, Vocabulary]
) -> Iterator[Problem]:
    """What the two files name that does not exist, and sources that the record of data use does not let be used so."""
    values = {name: vocabularies[name].values for name in ("purpose", "lead_source", "us_state")}
    if register.contact_purpose not in values["purpose"]:
        yield Problem(REGISTER, "contact_purpose", f"expected a purpose, found {register.contact_purpose!r}")
    for source, entry in register.sources.items():
        if source not in values["lead_source"]:
            yield Problem(REGISTER, f"sources.{source}", "expected a value of the vocabulary lead_source")
        for purpose in entry.permitted_for:
            key = f"sources.{source}.permitted_for"
            if purpose not in values["purpose"]:
                yield Problem(REGISTER, key, f"expected a purpose, found {purpose!r}")
            elif not any(k.lead_fields and purpose in k.purposes and source in k.lead_sources for k in use.kinds):
                yield Problem(
                    REGISTER, key, f"data_use.yaml lets no field of a lead from {source} be used for {purpose}"
                )
    for key, states in (("needed", registrations.needed), ("held", tuple(registrations.held))):
        for state in states:
            if state not in values["us_state"]:
                yield Problem(REGISTRATIONS, key, f"expected a state such as TX, found {state!r}")
