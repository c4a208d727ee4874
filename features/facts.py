"""The total fact builder: everything rules, segments and points may ask about a lead, as codes.

It never raises on data. What is absent, cannot be read, lies outside its vocabulary or is older than its maximum age is
unknown. Engagement facts are the same measures that features are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
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
from features.fields import ACCOUNT_FIELDS, LEAD_FIELDS, apply_law, days_since, either, of_parent, within
from features.fill import fill_whole
from features.fit import account_codes, code_block
from features.inventory import ASSET_FACTS, MATCHES, REPEATED, SEGMENT_MATCH, TOPIC_OPT_OUT, Inventory, match
from features.journey.plan import JOURNEY_FACTS, JourneyPlan
from features.journey.stages import journey_codes
from features.law import jurisdictions_of
from features.pauses import Pausing, open_on, paused, pauses_of
from features.pipeline import FeatureSpec, Signals, signals_of
from features.register import DATED, REGISTERED, Register, registered
from features.standing import NEVER_DAYS
from features.tables import NO, YES, Known
from features.topics import topic_stops
from features.view import ViewRules

_DAYS = ("days_since_last_event", "days_since_verified", "days_since_meeting", "touches_7d", "touches_30d",
         "days_since_last_field_touch")  # fmt: skip
LEAD_ROW = {name: row for row, name in enumerate(LEAD_FIELDS)}
ACCOUNT_ROW = {name: row for row, name in enumerate(ACCOUNT_FIELDS)}
# What decides whether an asset fits a lead: rows of the lead and of the account.
_INDICATION = tuple(LEAD_ROW[name] for name in ("condition_focus", "specialty", "cancer_type"))
# How many of the blocks have one code per lead; the others have one per channel or asset.
PER_LEAD = 9
PAUSED, APPROVED = "channel_paused", "segment_approved"
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
    journeys: JourneyPlan
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
    register: Register
    pauses: tuple[Pausing, ...]
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
        feed_days = 1 if feed is None else feed
        built = {*counts, *_built_names()}
        channels = len(vocabularies["channel"].values)
        number_names = (*counts, *_DAYS, *ROLL_UP)
        blocks = _blocks(number_names)
        unbuilt = {name: _unknown(fact, channels) for name, fact in facts.items() if name not in built}
        return cls(
            view=ViewRules.of(settings),
            plan=plan,
            journeys=JourneyPlan.of(settings),
            decision_maker=vocabularies["influence"].code("decision_maker"),
            consent=consent.ConsentCodes.of(vocabularies),
            standing=standing.StandingCodes.of(vocabularies),
            counts=counts,
            number_names=number_names,
            count_rows=np.array([plan.row[name] for name in counts], dtype=np.int64),
            lead_sizes=np.array(
                [
                    len(vocabularies["country"].values) if name == "jurisdiction" else _size(facts, name)
                    for name in LEAD_FIELDS
                ],
                dtype=np.uint8,
            ),
            account_sizes=np.array([_size(facts, name) for name in ACCOUNT_FIELDS], dtype=np.uint8),
            jurisdiction_of=jurisdiction_of,
            jurisdiction_max_age_days=age,
            lead_ages=Ages.of(facts, tuple(LEAD_FIELDS)),
            account_ages=Ages.of(facts, tuple(ACCOUNT_FIELDS)),
            feed_max_age_days=feed_days,
            register=Register.of(settings, jurisdiction_of, age, feed_days),
            pauses=pauses_of(settings),
            unbuilt=unbuilt,
            unbuilt_numbers={
                name: unpacked(column, facts[name].per)
                for name, column in unbuilt.items()
                if facts[name].per in ("lead", "channel")
            },
            places=places_in(blocks),
            names=tuple(name for names in blocks for name in names),
        )

    def resting(self, day: int) -> tuple[Pausing, ...]:
        """The pauses that are open on a day since 1970."""
        return open_on(self.pauses, day)

    def weighing_as(self, spec: FeatureSpec, vocabularies: Mapping[str, Vocabulary]) -> FactBuilder:
        """The builder with a spec's own evidence of who made an event: a model is served what it learned from."""
        return replace(self, view=replace(self.view, human=spec.human_rules(vocabularies)))


def _blocks(numbers: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Names of the rows of every block of facts, in the order in which `facts_of` builds them."""
    return (
        tuple(LEAD_FIELDS),
        tuple(ACCOUNT_FIELDS),
        numbers,
        JOURNEY_FACTS,
        standing.CASES,
        standing.LEAD_STOPS,
        standing.TOLD,
        REGISTERED,
        DATED,
        standing.CHANNEL_STOPS,
        consent.CODES,
        ("consent_days",),
        ("channel_touches_7d",),
        (PAUSED,),
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
    of_topics = standing.only_topics(known, builder.standing)
    channel_stops, lead_stops = standing.stops(known, builder.standing, builder.feed_max_age_days, of_topics)
    consents, consent_days = consent.resolve(known, builder.consent, lead_stops[1])
    matches = np.zeros((len(MATCHES), n, assets), dtype=np.uint8)
    places = inventory.places_of(known.asset_ids)
    touches, channel_touches = standing.touches(known, builder.standing, places, matches[REPEATED])
    condition, specialty, cancer = _INDICATION
    open_case = found_cases[3]
    either(open_case, lead_stops[3])
    match(
        lead[LEAD_ROW["audience"]],
        lead[LEAD_ROW["jurisdiction"]],
        np.stack((lead[condition], lead[specialty], account[ACCOUNT_ROW["account_specialty"]], lead[cancer])),
        inventory.look_up,
        inventory.products,
        found_cases[1],
        standing.off_label_products(known, builder.standing),
        inventory.authorised_on(known.as_of_day),
        matches,
    )
    absent = NO if standing.freshness(known, builder.feed_max_age_days) == YES else 0
    matches[TOPIC_OPT_OUT] = topic_stops(known, of_topics, inventory.topics, inventory.products, absent)
    numbers = _numbers(known, builder, signals, days_since_meeting, touches)
    stages = journey_codes(known, builder.journeys, lead, account, days_since_meeting)
    codes, dated = registered(known, builder.register)
    law = lead[LEAD_ROW["jurisdiction"]]
    resting = paused(builder.resting(known.as_of_day), law, builder.standing.channels)
    blocks = (
        lead[:, :, None, None],
        account[:, :, None, None],
        numbers[:, :, None, None],
        stages[:, :, None, None],
        found_cases[:, :, None, None],
        lead_stops[:, :, None, None],
        standing.told(known, builder.standing, channel_stops)[:, :, None, None],
        codes[:, :, None, None],
        dated[:, :, None, None],
        channel_stops[:, :, None, :],
        consents[:, :, None, :],
        consent_days[None, :, None, :],
        channel_touches[None, :, None, :],
        resting[None, :, None, :],
        matches[:, :, :, None],
    )
    fixed, fixed_numbers = inventory.fixed_on(known.as_of_day)
    columns = FactColumns(builder.places, blocks, {**builder.unbuilt, **fixed})
    if n != 1:
        return Facts(n, inventory.ids, columns)
    numbers_of_one = plain(builder.names, blocks[:PER_LEAD], blocks[PER_LEAD:], fixed_numbers)
    return Facts(n, inventory.ids, columns, {**builder.unbuilt_numbers, **numbers_of_one})


def with_memberships(
    facts: Facts,
    inventory: Inventory,
    member: NDArray[np.bool_],
    segment_ids: Sequence[str],
    *,
    primary: NDArray[np.int32] | None = None,
    approved: NDArray[np.bool_] | None = None,
    pauses: tuple[Pausing, ...] = (),
) -> Facts:
    """The same facts, with what memberships (lead by segment) tell: asset matches, approval, pauses.

    Args:
        facts: the facts without memberships.
        inventory: the assets.
        member: who is a member of which segment.
        segment_ids: the segments.
        primary: the place of each lead's primary segment; without it `segment_approved` stays unknown.
        approved: by segment, whether two people approved it and its purpose, and the approval holds today.
        pauses: the pauses that are open today; those of segments leave `channel_paused` unknown until told here.
    """
    name = MATCHES[SEGMENT_MATCH]
    told: dict[str, NDArray[Any]] = {name: inventory.segment_match(member, segment_ids)[:, :, None]}
    pers = {name: "lead_asset"}
    if primary is not None and approved is not None:
        known = primary >= 0
        said = np.where(approved[np.where(known, primary, 0)], YES, NO) if len(approved) else np.zeros(facts.n)
        told[APPROVED] = np.where(known, said, 0).astype(np.uint8)[:, None, None]
        pers[APPROVED] = "lead"
    if any(pause.segments for pause in pauses):
        law, before = facts.columns["jurisdiction"][:, 0, 0], facts.columns[PAUSED]
        told[PAUSED] = paused(pauses, law, before.shape[-1], member, tuple(segment_ids))[:, None, :]
        pers[PAUSED] = "channel"
    columns, one = facts.columns, facts.one
    for fact, column in told.items():
        columns = columns.having(fact, column) if isinstance(columns, FactColumns) else {**columns, fact: column}
        one = None if one is None else {**one, fact: unpacked(column, pers[fact])}
    return Facts(facts.n, facts.assets, columns, one)


def _built_names() -> tuple[str, ...]:
    return (
        *LEAD_FIELDS,
        *ACCOUNT_FIELDS,
        *_DAYS,
        *ROLL_UP,
        *JOURNEY_FACTS,
        *_STANDING,
        *standing.CHANNEL_STOPS,
        *consent.CODES,
        "consent_days",
        "channel_touches_7d",
        *REGISTERED,
        *DATED,
        PAUSED,
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
    """Codes of `LEAD_FIELDS`; the last one, the country, becomes whose law applies."""
    n = len(known.lead_ids)
    block = code_block(known.leads, tuple(LEAD_FIELDS.values()), n)
    within(block, builder.lead_sizes)
    forget_old(block, builder.lead_ages, known)
    apply_law(
        block[-1],
        exact(known.leads, "recorded_at", np.int64, n),
        exact(known.leads, "verified_at", np.int64, n),
        builder.jurisdiction_of,
        known.as_of_us,
        builder.jurisdiction_max_age_days,
    )
    return block


def _account_codes(known: Known, builder: FactBuilder) -> NDArray[np.uint8]:
    """Codes of `ACCOUNT_FIELDS`; the last one is the parent's."""
    block = account_codes(known, tuple(ACCOUNT_FIELDS.values()))
    size = len(known.account_ids)
    if known.accounts and size:
        of_parent(
            exact(known.leads, "account", np.int32, len(known.lead_ids)),
            exact(known.accounts, "parent", np.int32, size),
            exact(known.accounts, "organization_type", np.uint8, size),
            block[-1],
        )
    within(block, builder.account_sizes)
    forget_old_accounts(block, builder.account_ages, known, ACCOUNT_ROW["parent_organization_type"])
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
    days_since(exact(known.leads, "verified_at", np.int64, len(last)), known.as_of_day, verified)
    meeting[:], of_touches[:] = days_since_meeting, touches
    field_touch[:] = signals.days_since_field_touch
    if known.touches and known.events:
        field_touch[field_touch < 0] = NEVER_DAYS
