"""Buying groups: whom a decision needs, how far an account has come, and how ready it is to decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, model_validator

from configs.cards import FactDeclaration
from configs.conditions import facts_used, parse
from configs.errors import ConditionInvalid, Problem
from configs.section import Section

FILE = "buying_groups.yaml"
PERCENT = 100
# What may be asked of a person to tell their part in a decision: their work, never their health, never their doings.
PERSON_FACTS = (
    "audience",
    "role",
    "specialty",
    "subspecialty",
    "treatment_role",
    "influence",
    "purchase_authority",
    "committee",
)
# What an account's people add up to, besides the counts of what they did, which have the names of the people's own.
ROLL_UP_FACTS = {
    "people_count": "people of its buying group that we know",
    "engaged_count": "of these, people with an event in 90 days",
    "silent_count": "of these, people without an event for as long as features.yaml calls silent",
    "signer_count": "of these, people who may sign a purchase",
    "engaged_signer_count": "people who may sign a purchase, with an event in 90 days",
    "open_meeting_count": "people with a meeting requested or booked",
    "days_since_last_event": "days since any of its people last did something",
}


class Part(Section):
    """A part somebody plays in a decision; `when` says of a person whether they play it."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    title: str = Field(min_length=3)
    when: str


class BuyingGroup(Section):
    """Whom one decision needs: parts with their weights, for some products or, without any, for all others."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    moment: str
    products: tuple[str, ...] = ()
    needs: Mapping[str, int] = Field(min_length=1)
    says: str = Field(min_length=3)

    @model_validator(mode="after")
    def _weights_count(self) -> BuyingGroup:
        if any(weight < 1 for weight in self.needs.values()):
            raise ValueError("needs: expected weights of at least 1")
        return self


class AccountStage(Section):
    """How far an account has come: the last declared stage whose `when` surely holds; `points` of 100 are its worth."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    title: str = Field(min_length=3)
    when: str
    points: int = Field(ge=0, le=PERCENT)


class Journey(Section):
    """Which decision comes next for accounts at a stage: for some products or, without any, for all others."""

    products: tuple[str, ...] = ()
    next_moment: Mapping[str, str]


class ReadinessMeasure(Section):
    """How decision readiness adds up: points for each part, together 100, and the levels by their least points.

    `quiet` is the percentage of a need's weight that counts while only quiet people fill it.
    """

    coverage: int = Field(ge=0)
    stage: int = Field(ge=0)
    signers: int = Field(ge=0)
    awake: int = Field(ge=0)
    quiet: int = Field(ge=0, le=PERCENT)
    levels: Mapping[str, int]

    @model_validator(mode="after")
    def _adds_up(self) -> ReadinessMeasure:
        if self.coverage + self.stage + self.signers + self.awake != PERCENT:
            raise ValueError(f"coverage, stage, signers, awake: expected {PERCENT} together")
        if 0 not in self.levels.values() or len(set(self.levels.values())) < len(self.levels):
            raise ValueError("levels: expected different least points, one of them 0")
        return self


class BuyingGroupSettings(Section):
    """Everything declared about buying groups; `leave_out` says who never belongs to one."""

    leave_out: str
    signs: str
    parts: tuple[Part, ...] = Field(min_length=1)
    groups: tuple[BuyingGroup, ...] = Field(min_length=1)
    stages: tuple[AccountStage, ...] = Field(min_length=1)
    journeys: tuple[Journey, ...] = Field(min_length=1)
    readiness: ReadinessMeasure

    def group_of(self, moment: str, product: str | None) -> BuyingGroup:
        """The group of a decision about a product, else the one for all other products."""
        mine = [group for group in self.groups if group.moment == moment]
        return next((g for g in mine if product in g.products), next(g for g in mine if not g.products))

    def next_moment(self, stage: str, product: str | None) -> str:
        """The decision that comes next at a stage."""
        named = next((j for j in self.journeys if product in j.products), None)
        return (named or next(j for j in self.journeys if not j.products)).next_moment[stage]


def account_facts(facts: Mapping[str, FactDeclaration]) -> dict[str, FactDeclaration]:
    """The dictionary that stages are written in: fields of the account, counts of its people, and their roll-up."""
    found = {name: fact for name, fact in facts.items() if fact.source.startswith("accounts.")}
    found |= {
        name: fact.model_copy(update={"says": f"{fact.says}, of all its people"})
        for name, fact in facts.items()
        if fact.source == "events" and fact.type == "int" and "_count_" in name
    }
    most = {name: 36_500 if name.startswith("days_") else 1_000_000 for name in ROLL_UP_FACTS}
    return found | {
        name: FactDeclaration(type="int", says=says, source="its people", max=most[name])
        for name, says in ROLL_UP_FACTS.items()
    }


def buying_group_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the declared groups: conditions, names nobody declared, decisions without a group."""
    settings: BuyingGroupSettings | None = found["buying_groups"]
    if settings is None:
        return
    yield from _condition_problems(settings, found)
    vocabularies = found["vocabularies"]
    moments, products = vocabularies["decision_moment"].values, vocabularies["product"].values
    parts, stages = [part.id for part in settings.parts], [stage.id for stage in settings.stages]
    for key, ids in (("parts", parts), ("stages", stages), ("groups", [group.id for group in settings.groups])):
        for twice in sorted({one for one in ids if ids.count(one) > 1}):
            yield Problem(FILE, f"{key}.{twice}", "expected each id once")
    for group in settings.groups:
        for key, given, allowed in (
            ("moment", (group.moment,), moments),
            ("products", group.products, products),
            ("needs", tuple(group.needs), tuple(parts)),
        ):
            yield from _undeclared(f"groups.{group.id}.{key}", given, allowed)
    for moment in moments:
        yield from _once_each(
            f"groups ({moment})", [group.products for group in settings.groups if group.moment == moment]
        )
    for place, journey in enumerate(settings.journeys):
        yield from _undeclared(f"journeys.{place}.products", journey.products, products)
        yield from _undeclared(f"journeys.{place}.next_moment", tuple(journey.next_moment.values()), moments)
        for stage in sorted({*stages} ^ {*journey.next_moment}):
            expected = "a decision for every stage" if stage in stages else "only declared stages"
            yield Problem(FILE, f"journeys.{place}.next_moment.{stage}", f"expected {expected}")
    yield from _once_each("journeys", [journey.products for journey in settings.journeys])


def _condition_problems(settings: BuyingGroupSettings, found: Mapping[str, Any]) -> Iterator[Problem]:
    people = {name: fact for name, fact in found["facts"].items() if name in PERSON_FACTS}
    accounts = account_facts(found["facts"])
    written = [("leave_out", settings.leave_out, people), ("signs", settings.signs, people)]
    written += [(f"parts.{part.id}.when", part.when, people) for part in settings.parts]
    written += [(f"stages.{stage.id}.when", stage.when, accounts) for stage in settings.stages]
    for key, text, facts in written:
        try:
            facts_used(parse(text, facts, found["parameters"]))
        except ConditionInvalid as error:
            whose = "facts of the account" if facts is accounts else "facts of a person's work"
            yield Problem(FILE, key, f"{error}; these conditions look at {whose}")


def _undeclared(key: str, given: tuple[str, ...], allowed: tuple[str, ...]) -> Iterator[Problem]:
    for value in given:
        if value not in allowed:
            yield Problem(FILE, key, f"expected one of {', '.join(allowed)}, found {value!r}")


def _once_each(key: str, products: list[tuple[str, ...]]) -> Iterator[Problem]:
    """Each product at most once, and exactly one entry for all products that no other names."""
    others = sum(not named for named in products)
    if others != 1:
        yield Problem(FILE, key, f"expected exactly one entry without products, for all others; found {others}")
    every = [product for named in products for product in named]
    for twice in sorted({product for product in every if every.count(product) > 1}):
        yield Problem(FILE, key, f"product {twice} is named twice")
