"""The total fact builder: everything rules, segments and points may ask about a lead, as codes.

It never raises on data. What is absent, cannot be read, lies outside its vocabulary or is older than its maximum age is
unknown. Engagement facts are the same measures that features are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.cards import FactDeclaration
from configs.settings import Settings
from configs.vocabulary import Vocabulary
from features import consent, standing
from features.account import ROLL_UP
from features.ageing import Ages, forget_old, forget_old_accounts
from features.blocks import FactColumns, Place, places_in, plain, unpacked
from features.columns import exact
from features.engagement import EngagementPlan
from features.fill import fill_whole
from features.fit import account_codes, code_block
from features.inventory import ASSET_FACTS, MATCHES, REPEATED, SEGMENT_MATCH, Inventory, match
from features.law import jurisdiction, jurisdictions_of
from features.pipeline import FeatureSpec, Signals, signals_of
from features.standing import NEVER_DAYS
from features.tables import MICROSECONDS_A_DAY, NO, UNKNOWN_INSTANT, YES, Known
from features.view import ViewRules

# Facts that are a field of the lead, and of its account.
_LEAD_FIELDS = {
    "audience": "audience",
    "role": "role",
    "specialty": "specialty",
    "subspecialty": "subspecialty",
    "treatment_role": "treatment_role",
    "influence": "influence",
    "purchase_authority": "purchase_authority",
    "committee": "committee",
    "cancer_type": "cancer_type",
    "disease_stage": "disease_stage",
    "lifecycle": "lifecycle",
    "product_interest": "product_interest",
    "condition_focus": "condition_focus",
    "therapeutic_area": "therapeutic_area",
    "clinical_question": "clinical_question",
    "evidence_need": "evidence_need",
    "technical_orientation": "technical_orientation",
    "referral_source": "referral_source",
    "lead_source": "source",
    "preferred_channel": "preferred_channel",
    "verified_hcp": "verified_hcp",
    "adult": "adult",
    "jurisdiction": "country",
}
_ACCOUNT_FIELDS = {
    "organization_type": "organization_type",
    "care_setting": "care_setting",
    "account_kind": "kind",
    "account_specialty": "specialty",
    "size": "size",
    "procedure_volume": "procedure_volume",
    "throughput": "throughput",
    "integration_need": "integration_need",
    "procurement_path": "procurement_path",
    "compliance_expectation": "compliance_expectation",
    "pathway_stage": "pathway_stage",
    "patient_population": "patient_population",
    "use_case": "use_case",
    "decision_moment": "decision_moment",
    "decision_path": "decision_path",
    "adoption_speed": "adoption_speed",
    "implementation_stage": "implementation_stage",
    "partner_eligible": "partner_eligible",
    "target_market": "target_market",
    "training_readiness": "training_readiness",
    "parent_organization_type": "organization_type",
}
_DAYS = ("days_since_last_event", "days_since_verified", "days_since_meeting", "touches_7d", "touches_30d",
         "days_since_last_field_touch")  # fmt: skip
_LEAD_ROW = {name: row for row, name in enumerate(_LEAD_FIELDS)}
_ACCOUNT_ROW = {name: row for row, name in enumerate(_ACCOUNT_FIELDS)}
# What decides whether an asset fits a lead: rows of the lead and of the account.
_INDICATION = tuple(_LEAD_ROW[name] for name in ("condition_focus", "specialty", "cancer_type"))
# How many of the blocks have one code per lead; the others have one per channel or asset.
PER_LEAD = 6
_STANDING = (*standing.CASES, *standing.LEAD_STOPS, *standing.TOLD)


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of `n` leads over `assets` and channels as code arrays that broadcast to (n, assets, channels).

    A fact per lead has shape (n, 1, 1), per channel (n, 1, C), per asset (1, A, 1), per lead and asset (n, A, 1), per
    asset and channel (1, A, C). The last asset is the pseudo asset `none`.

    Facts of one lead may carry the same codes as plain numbers too, in `one`: per lead a number, else a list.
    Whoever replaces columns leaves `one` out: rules, points and segments read it first.
    """

    n: int
    assets: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]
    one: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class FactBuilder:
    """What building facts needs of the settings, resolved to codes once."""

    view: ViewRules
    plan: EngagementPlan
    decision_maker: int
    consent: consent.ConsentCodes
    standing: standing.StandingCodes
    counts: tuple[str, ...]
    number_names: tuple[str, ...]
    count_rows: NDArray[np.int64]
    lead_sizes: NDArray[np.uint8]
    account_sizes: NDArray[np.uint8]
    jurisdiction_of: NDArray[np.uint8]
    jurisdiction_max_age_days: int
    lead_ages: Ages
    account_ages: Ages
    feed_max_age_days: int
    unbuilt: Mapping[str, NDArray[Any]]
    unbuilt_numbers: Mapping[str, Any]
    places: Mapping[str, Place]
    names: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> FactBuilder:
        """Resolve the settings."""
        vocabularies, facts = settings.vocabularies, settings.facts
        plan = EngagementPlan.of(settings.features, vocabularies)
        counts = tuple(name for name in plan.names if "_count_" in name)
        jurisdiction_of, age = jurisdictions_of(settings)
        feed = facts["opt_out"].max_age_days if "opt_out" in facts else None
        built = {*counts, *_built_names()}
        channels = len(vocabularies["channel"].values)
        number_names = (*counts, *_DAYS, *ROLL_UP)
        blocks = _blocks(number_names)
        unbuilt = {name: _unknown(fact, channels) for name, fact in facts.items() if name not in built}
        return cls(
            view=ViewRules.of(settings),
            plan=plan,
            decision_maker=vocabularies["influence"].code("decision_maker"),
            consent=consent.ConsentCodes.of(vocabularies),
            standing=standing.StandingCodes.of(vocabularies),
            counts=counts,
            number_names=number_names,
            count_rows=np.array([plan.row[name] for name in counts], dtype=np.int64),
            lead_sizes=np.array(
                [
                    len(vocabularies["country"].values) if name == "jurisdiction" else _size(facts, name)
                    for name in _LEAD_FIELDS
                ],
                dtype=np.uint8,
            ),
            account_sizes=np.array([_size(facts, name) for name in _ACCOUNT_FIELDS], dtype=np.uint8),
            jurisdiction_of=jurisdiction_of,
            jurisdiction_max_age_days=age,
            lead_ages=Ages.of(facts, tuple(_LEAD_FIELDS)),
            account_ages=Ages.of(facts, tuple(_ACCOUNT_FIELDS)),
            feed_max_age_days=1 if feed is None else feed,
            unbuilt=unbuilt,
            unbuilt_numbers={
                name: unpacked(column, facts[name].per)
                for name, column in unbuilt.items()
                if facts[name].per in ("lead", "channel")
            },
            places=places_in(blocks),
            names=tuple(name for names in blocks for name in names),
        )

    def weighing_as(self, spec: FeatureSpec, vocabularies: Mapping[str, Vocabulary]) -> FactBuilder:
        """The builder with a spec's own evidence of who made an event: a model is served what it learned from."""
        return replace(self, view=replace(self.view, human=spec.human_rules(vocabularies)))


def _blocks(numbers: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Names of the rows of every block of facts, in the order in which `facts_of` builds them."""
    return (
        tuple(_LEAD_FIELDS),
        tuple(_ACCOUNT_FIELDS),
        numbers,
        standing.CASES,
        standing.LEAD_STOPS,
        standing.TOLD,
        standing.CHANNEL_STOPS,
        consent.CODES,
        ("consent_days",),
        ("channel_touches_7d",),
        MATCHES,
    )


def facts_of(known: Known, builder: FactBuilder, inventory: Inventory, signals: Signals | None = None) -> Facts:
    """Every declared fact of every lead. `asset_segment_match` stays unknown until `with_memberships`."""
    n, assets = len(known.lead_ids), len(inventory.ids)
    if signals is None or (signals.measures.plan is not builder.plan and signals.measures.plan.key != builder.plan.key):
        signals = signals_of(known, builder.plan, builder.decision_maker)
    lead = _lead_codes(known, builder)
    account = _account_codes(known, builder)
    found_cases, days_since_meeting = standing.cases(known, builder.standing)
    channel_stops, lead_stops = standing.stops(known, builder.standing, builder.feed_max_age_days)
    consents, consent_days = consent.resolve(known, builder.consent, lead_stops[1])
    matches = np.zeros((len(MATCHES), n, assets), dtype=np.uint8)
    places = inventory.places_of(known.asset_ids)
    touches, channel_touches = standing.touches(known, builder.standing, places, matches[REPEATED])
    condition, specialty, cancer = _INDICATION
    open_case = found_cases[3]
    _either(open_case, lead_stops[3])
    match(
        lead[_LEAD_ROW["audience"]],
        lead[_LEAD_ROW["jurisdiction"]],
        np.stack((lead[condition], lead[specialty], account[_ACCOUNT_ROW["account_specialty"]], lead[cancer])),
        inventory.look_up,
        inventory.products,
        found_cases[1],
        standing.off_label_products(known, builder.standing),
        matches,
    )
    numbers = _numbers(known, builder, signals, days_since_meeting, touches)
    blocks = (
        lead[:, :, None, None],
        account[:, :, None, None],
        numbers[:, :, None, None],
        found_cases[:, :, None, None],
        lead_stops[:, :, None, None],
        standing.told(known, builder.standing, channel_stops)[:, :, None, None],
        channel_stops[:, :, None, :],
        consents[:, :, None, :],
        consent_days[None, :, None, :],
        channel_touches[None, :, None, :],
        matches[:, :, :, None],
    )
    fixed, fixed_numbers = inventory.fixed_on(known.as_of_day)
    columns = FactColumns(builder.places, blocks, {**builder.unbuilt, **fixed})
    if n != 1:
        return Facts(n, inventory.ids, columns)
    numbers_of_one = plain(builder.names, blocks[:PER_LEAD], blocks[PER_LEAD:], fixed_numbers)
    return Facts(n, inventory.ids, columns, {**builder.unbuilt_numbers, **numbers_of_one})


def with_memberships(
    facts: Facts, inventory: Inventory, member: NDArray[np.bool_], segment_ids: Sequence[str]
) -> Facts:
    """The same facts, with `asset_segment_match` told from memberships (lead by segment)."""
    name = MATCHES[SEGMENT_MATCH]
    found = inventory.segment_match(member, segment_ids)
    column = found[:, :, None]
    columns = facts.columns
    told = columns.having(name, column) if isinstance(columns, FactColumns) else {**columns, name: column}
    one = None if facts.one is None else {**facts.one, name: found[0].tolist()}
    return Facts(facts.n, facts.assets, told, one)


def _built_names() -> tuple[str, ...]:
    return (
        *_LEAD_FIELDS,
        *_ACCOUNT_FIELDS,
        *_DAYS,
        *ROLL_UP,
        *_STANDING,
        *standing.CHANNEL_STOPS,
        *consent.CODES,
        "consent_days",
        "channel_touches_7d",
        *ASSET_FACTS,
        "asset_channel_match",
        *MATCHES,
    )


def _size(facts: Mapping[str, FactDeclaration], name: str) -> int:
    return len(facts[name].values) if name in facts else 250


def _unknown(fact: FactDeclaration, channels: int) -> NDArray[Any]:
    """An all-unknown array that broadcasts wherever the fact may be used."""
    shape = (1, 1, channels) if fact.per in ("channel", "asset_channel") else (1, 1, 1)
    return np.full(shape, -1, dtype=np.int32) if fact.type == "int" else np.zeros(shape, dtype=np.uint8)


def _lead_codes(known: Known, builder: FactBuilder) -> NDArray[np.uint8]:
    """Codes of `_LEAD_FIELDS`; the last one, the country, becomes whose law applies."""
    n = len(known.lead_ids)
    block = code_block(known.leads, tuple(_LEAD_FIELDS.values()), n)
    _within(block, builder.lead_sizes)
    forget_old(block, builder.lead_ages, known)
    _apply_law(
        block[-1],
        exact(known.leads, "recorded_at", np.int64, n),
        exact(known.leads, "verified_at", np.int64, n),
        builder.jurisdiction_of,
        known.as_of_us,
        builder.jurisdiction_max_age_days,
    )
    return block


def _account_codes(known: Known, builder: FactBuilder) -> NDArray[np.uint8]:
    """Codes of `_ACCOUNT_FIELDS`; the last one is the parent's."""
    block = account_codes(known, tuple(_ACCOUNT_FIELDS.values()))
    size = len(known.account_ids)
    if known.accounts and size:
        _of_parent(
            exact(known.leads, "account", np.int32, len(known.lead_ids)),
            exact(known.accounts, "parent", np.int32, size),
            exact(known.accounts, "organization_type", np.uint8, size),
            block[-1],
        )
    _within(block, builder.account_sizes)
    forget_old_accounts(block, builder.account_ages, known, _ACCOUNT_ROW["parent_organization_type"])
    return block


def _numbers(
    known: Known, builder: FactBuilder, signals: Signals, days_since_meeting: NDArray[np.int32],
    touches: NDArray[np.int32],
) -> NDArray[np.int32]:  # fmt: skip
    """Counts, then `_DAYS`, then the roll-up."""
    n, counts = len(known.lead_ids), len(builder.counts)
    found = np.empty((counts + len(_DAYS) + len(ROLL_UP), n), dtype=np.int32)
    fill_whole(signals.measures.counts, builder.count_rows, signals.measures.plan.weighted, found)
    _fill_days(known, signals, days_since_meeting, touches, found[counts : counts + len(_DAYS)])
    found[counts + len(_DAYS) :] = signals.roll_up
    return found


def _fill_days(
    known: Known, signals: Signals, days_since_meeting: NDArray[np.int32], touches: NDArray[np.int32],
    found: NDArray[np.int32],
) -> None:  # fmt: skip
    """Write the rows of `_DAYS`."""
    last, verified, meeting, of_touches, field_touch = found[0], found[1], found[2], found[3:5], found[5]
    last[:] = signals.measures.of("days_since_last_event")
    if signals.measures.supplied:
        last[last < 0] = NEVER_DAYS
    _days_since(exact(known.leads, "verified_at", np.int64, len(last)), known.as_of_day, verified)
    meeting[:], of_touches[:] = days_since_meeting, touches
    field_touch[:] = signals.days_since_field_touch
    if known.touches and known.events:
        field_touch[field_touch < 0] = NEVER_DAYS


@njit(cache=True, nogil=True)
def _within(block: NDArray[np.uint8], sizes: NDArray[np.uint8]) -> None:
    """A code outside its vocabulary is unknown."""
    for row in range(len(sizes)):
        for i in range(block.shape[1]):
            if block[row, i] > sizes[row]:
                block[row, i] = 0


@njit(cache=True, nogil=True)
def _apply_law(
    country: NDArray[np.uint8],
    recorded: NDArray[np.int64],
    verified: NDArray[np.int64],
    jurisdiction_of: NDArray[np.uint8],
    cut: int,
    max_age: int,
) -> None:
    """Country to jurisdiction, in place."""
    for i in range(len(country)):
        country[i] = jurisdiction(country[i], recorded[i], verified[i], jurisdiction_of, cut, max_age)


@njit(cache=True, nogil=True)
def _of_parent(
    account: NDArray[np.int32], parent: NDArray[np.int32], kinds: NDArray[np.uint8], found: NDArray[np.uint8]
) -> None:
    for i in range(len(account)):
        a = account[i]
        above = parent[a] if 0 <= a < len(parent) else np.int32(-1)
        found[i] = kinds[above] if 0 <= above < len(kinds) else 0


@njit(cache=True, nogil=True)
def _days_since(instants: NDArray[np.int64], today: int, found: NDArray[np.int32]) -> None:
    for i in range(len(instants)):
        days = today - instants[i] // MICROSECONDS_A_DAY
        found[i] = -1 if instants[i] == UNKNOWN_INSTANT or days < 0 else min(days, NEVER_DAYS)


@njit(cache=True, nogil=True)
def _either(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
    """Kleene's or, into the first."""
    for i in range(len(first)):
        if first[i] == YES or second[i] == YES:
            first[i] = YES
        elif first[i] != NO or second[i] != NO:
            first[i] = 0
