"""What data may be used for, where it may come from, and on which basis: what people edit in `data_use.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from pydantic import Field, model_validator

from configs.cards import LegalBasis, Review
from configs.errors import Problem
from configs.section import Section
from configs.vocabulary import Vocabulary

FILE = "data_use.yaml"
# Words besides the vocabularies' values that a list of sources may hold: none given, and one that nobody has listed.
NO_SOURCE, UNLISTED_SOURCE = "unknown", "unlisted"
# What an export's custom column may be declared to be.
DECLARED = ("custom", "health", "prescriber", "protected")
# Ids, references and times tell rows apart and place them in time; they say nothing that a purpose could limit.
STRUCTURAL = frozenset(
    {"lead", "account", "parent", "recorded_at", "created_at", "verified_at", "obtained_at", "notice_at", "screened_at"}
)

Need = Literal["nothing", "not_withdrawn", "consent", "explicit_consent", "never"]
Regime = Literal["opt_out", "opt_in"]
NEEDS: tuple[Need, ...] = ("nothing", "not_withdrawn", "consent", "explicit_consent", "never")


class Needs(Section):
    """What a rule asks for where people opt out, and where they opt in. An unknown place counts as the stricter."""

    opt_out: Need = "nothing"
    opt_in: Need = "nothing"

    @model_validator(mode="after")
    def _ordered(self) -> Needs:
        if NEEDS.index(self.opt_out) > NEEDS.index(self.opt_in):
            raise ValueError("expected opt_in to be at least as strict as opt_out: an unknown place counts as opt_in")
        return self


class UseRule(Section):
    """One condition for using data of a person: consents that must stand, stops that must not.

    `purposes` are looked at on `channel`, or on all of them together where it is absent. A withdrawal of any of them
    that stands ends the use; `consent` asks for one that is granted or implied, `explicit_consent` for one that is
    granted, with evidence where `proof` says so. `spares` are audiences that the rule does not concern; who is unknown
    is never spared. `of_source` narrows a rule to people whose source the register says is `phi`, or does not know.
    `recorded`: where no consents were supplied at all, nobody knows of a withdrawal, and that ends the use. `stops` are
    reasons of a suppression that end the use.
    """

    id: str = Field(pattern=r"^[A-Z0-9][A-Z0-9-]{1,30}$")
    title: str
    says: str
    legal: tuple[LegalBasis, ...] = Field(min_length=1)
    review: Review
    reason: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    channel: str | None = None
    purposes: tuple[str, ...] = ()
    needs: Needs = Needs()
    proof: bool = False
    spares: tuple[str, ...] = ()
    of_source: Literal["phi"] | None = None
    recorded: bool = False
    stops: tuple[str, ...] = ()


class DataKind(Section):
    """One kind of data: what it is, what it may be used for, where it may come from, and the rules that must hold.

    Events are of this kind by their kind, or by their topic or product for the audiences that its rules concern. A
    field of the lead may be of this kind with some of its values only; no values means all of them. `declared` are the
    custom columns that a source mapping declares so. `table_sources` is where accounts and the `tables` that we write
    ourselves come from; their rows name no source, so that it is stated and not checked.
    """

    id: str = Field(pattern=r"^[a-z][a-z_]*$")
    says: str
    basis: str = Field(description="the legal idea in a sentence")
    purposes: tuple[str, ...] = Field(min_length=1)
    rules: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    event_sources: tuple[str, ...] = ()
    lead_fields: dict[str, tuple[str, ...]] = Field(default={})
    lead_sources: tuple[str, ...] = ()
    account_fields: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    table_sources: tuple[str, ...] = ()
    declared: Literal["custom", "health", "prescriber", "protected"] | None = None

    @property
    def event_like(self) -> bool:
        """Whether events can be of this kind."""
        return bool(self.events or self.topics or self.products)


class DataUse(Section):
    """The record of data use: where people opt out, the rules, and the kinds of data.

    The rules of sources and of purposes are named apart: they hold for every kind.
    """

    opt_out: tuple[str, ...]
    source_rule: str
    purpose_rule: str
    model_purpose: str = Field(description="what a model of readiness uses data for")
    rules: tuple[UseRule, ...] = Field(max_length=16)
    kinds: tuple[DataKind, ...] = Field(max_length=31)

    def rule(self, rule_id: str) -> UseRule:
        """The rule of this id; KeyError where there is none."""
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise KeyError(rule_id)

    def kind_of_event(self, kind: str) -> DataKind | None:
        """The one kind of data that events of this kind are, None where nobody said."""
        return next((found for found in self.kinds if kind in found.events), None)

    def kinds_of_field(self, table: str, field: str) -> tuple[DataKind, ...]:
        """The kinds of data that a field of `leads` or `accounts` is, for some of its values at least."""
        if table == "touches":
            return tuple(kind for kind in self.kinds if table in kind.tables)
        if table == "leads":
            return tuple(kind for kind in self.kinds if field in kind.lead_fields)
        return tuple(kind for kind in self.kinds if field in kind.account_fields)

    def kind_declared(self, declared: str) -> DataKind:
        """The kind of data of a custom column that is declared so."""
        return next(found for found in self.kinds if found.declared == declared)


def data_use_problems(use: DataUse, vocabularies: Mapping[str, Vocabulary]) -> Iterator[Problem]:
    """What the record of data use names that does not exist, and what it names twice."""

    def unknown(key: str, given: tuple[str, ...], allowed: tuple[str, ...]) -> Iterator[Problem]:
        for value in given:
            if value not in allowed:
                yield Problem(FILE, key, f"expected a declared value, found {value!r}")

    values = {name: vocabulary.values for name, vocabulary in vocabularies.items()}
    rule_ids = tuple(rule.id for rule in use.rules)
    yield from unknown("opt_out", use.opt_out, values["jurisdiction"])
    yield from unknown("source_rule", (use.source_rule,), rule_ids)
    yield from unknown("purpose_rule", (use.purpose_rule,), rule_ids)
    yield from unknown("model_purpose", (use.model_purpose,), values["purpose"])
    for rule in use.rules:
        yield from unknown(f"rules.{rule.id}.channel", (rule.channel,) if rule.channel else (), values["channel"])
        yield from unknown(f"rules.{rule.id}.purposes", rule.purposes, values["purpose"])
        yield from unknown(f"rules.{rule.id}.spares", rule.spares, values["audience"])
        yield from unknown(f"rules.{rule.id}.stops", rule.stops, values["suppression_reason"])
        asks = {rule.needs.opt_out, rule.needs.opt_in} & {"not_withdrawn", "consent", "explicit_consent"}
        if bool(asks) != bool(rule.purposes):
            yield Problem(FILE, f"rules.{rule.id}.purposes", "expected purposes exactly where a consent is looked at")
    words = (NO_SOURCE, UNLISTED_SOURCE)
    for kind in use.kinds:
        at = f"kinds.{kind.id}"
        yield from unknown(f"{at}.rules", kind.rules, rule_ids)
        yield from unknown(f"{at}.purposes", kind.purposes, values["purpose"])
        yield from unknown(f"{at}.events", kind.events, values["event_kind"])
        yield from unknown(f"{at}.topics", kind.topics, values["topic"])
        yield from unknown(f"{at}.products", kind.products, values["product"])
        yield from unknown(f"{at}.event_sources", kind.event_sources, (*values["event_source"], *words))
        yield from unknown(f"{at}.lead_sources", kind.lead_sources, (*values["lead_source"], NO_SOURCE))
        yield from unknown(f"{at}.table_sources", kind.table_sources, values["event_source"])
        if (kind.account_fields or kind.tables) and not kind.table_sources:
            yield Problem(FILE, f"{at}.table_sources", "expected the sources that these tables come from")
        if kind.event_like and not kind.event_sources:
            yield Problem(FILE, f"{at}.event_sources", "expected the sources that these events may come from")
        if (kind.lead_fields or kind.declared) and not kind.lead_sources:
            yield Problem(FILE, f"{at}.lead_sources", "expected the sources that these fields may come from")
    homes = [event for kind in use.kinds for event in kind.events]
    ids = ([rule.id for rule in use.rules], [kind.id for kind in use.kinds], homes)
    for what, named in zip(("rules", "kinds", "kinds"), ids, strict=True):
        for repeated in sorted({one for one in named if named.count(one) > 1}):
            yield Problem(FILE, what, f"{repeated} is given twice")
    for declared in DECLARED:
        if sum(kind.declared == declared for kind in use.kinds) != 1:
            yield Problem(FILE, "kinds", f"expected exactly one kind of data for columns declared {declared}")


def without_a_home(
    use: DataUse, event_kinds: tuple[str, ...], fields: Mapping[str, Iterable[str]]
) -> Iterator[tuple[str, str]]:
    """(table, name) of every kind of event and every field of leads and accounts that no kind of data covers.

    What has no home may not be used: its events are withheld, and a model that declares it is refused.
    """
    yield from (("events", kind) for kind in event_kinds if not any(kind in found.events for found in use.kinds))
    for table, found in fields.items():
        yield from (
            (table, field) for field in found if field not in STRUCTURAL and not use.kinds_of_field(table, field)
        )
