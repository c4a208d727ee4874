"""The cards of the feature gate say of every lead and every kind of data what lawful use does with them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray

from configs.settings import Settings, load_settings
from features.encode import encode_records
from features.facts import FactBuilder, Facts, facts_of
from features.inventory import Inventory
from features.records import Consent, Lead
from features.tables import Tables, microseconds
from features.use.bases import bases_of
from features.view import ViewRules, view_at
from policy.feature_cards import FeatureCards, told_by
from policy.gates import NEVER_FEATURES, RULE_OF

AS_OF = datetime(2026, 11, 22, 12, tzinfo=UTC)
AUDIENCES = ["hcp", "buyer", "patient", "caregiver", "other", None]
SOURCES = ["web_form", "referral", "ehr_export", "list_rental", "distributor", "field", None]
PLACES = [("US", "WA"), ("US", "NV"), ("US", "NY"), ("US", None), ("DE", None), (None, None)]
PURPOSES = ["health_data", "phi_marketing", "prescriber_data", "promotion"]
STATUSES = ["granted", "implied", "withdrawn", "none", None]


@cache
def shipped() -> Settings:
    return load_settings()


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def world(seed: int, *, consents: bool = True, n: int = 120) -> Tables:
    """Leads of whom anything may be unknown, and consents that contradict each other, run out or prove nothing."""
    draw = np.random.default_rng(seed)

    def one(values: list[Any]) -> Any:
        return values[int(draw.integers(len(values)))]

    leads, given_consents = [], []
    for i in range(n):
        country, region = one(PLACES)
        leads.append(
            Lead(lead_id=f"L{i}", audience=one(AUDIENCES), source=one(SOURCES), country=country, region=region,
                 recorded_at=ago(30), created_at=ago(60))
        )  # fmt: skip
        for _ in range(int(draw.integers(4))):
            at = ago(float(draw.integers(1, 50)))
            given_consents.append(
                Consent(lead_id=f"L{i}", purpose=one(PURPOSES), status=one(STATUSES), channel=one(["email", None]),
                        captured_at=at, recorded_at=at, proof=one(["form", None]),
                        expires_at=one([None, None, ago(0.5), ago(-30)]))
            )  # fmt: skip
    return encode_records(
        leads, [], [], [], given_consents if consents else None, [], [], [], None,
        vocabularies=shipped().vocabularies, suppressions_complete_as_of=AS_OF,
    )  # fmt: skip


@cache
def cards() -> FeatureCards:
    return FeatureCards.of(shipped(), AS_OF.date())


def by_cards(facts: Facts, kind_id: str, effect: str = "drop_feature") -> dict[str, NDArray[np.bool_]]:
    kind = next(kind for kind in shipped().data_use.kinds if kind.id == kind_id)
    return cards().fired(kind, facts.columns, effect)


def facts_in(tables: Tables) -> Facts:
    known = view_at(tables, AS_OF, ViewRules.of(shipped()))
    inventory = Inventory.of(shipped().assets, shipped().vocabularies)
    return facts_of(known, FactBuilder.of(shipped()), inventory)


def by_lawful_use(tables: Tables, kind_id: str) -> NDArray[np.bool_]:
    """Whether a kind is taken away: it may not be used at all, no rule holds, or its source is not listed."""
    use, rules = shipped().data_use, ViewRules.of(shipped()).use
    row = [kind.id for kind in use.kinds].index(kind_id)
    bases = bases_of(tables, microseconds(AS_OF), rules.basis)
    never = use.model_purpose not in use.kinds[row].purposes
    gone: NDArray[np.bool_] = ((bases.allowed >> row & 1) == 0) | ((bases.barred >> row & 1) != 0) | never
    return gone


# Opens and clicks ask for a consent to the message too, which no card is about (USE-03).
KINDS = [
    kind.id for kind in shipped().data_use.kinds if kind.id not in ("mail_tracking", "organization", "own_records")
]


@examples(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), consents=st.booleans())
def test_the_cards_drop_what_lawful_use_takes_away_lead_by_lead(seed: int, consents: bool) -> None:
    tables = world(seed, consents=consents)
    facts = facts_in(tables)
    for kind in KINDS:
        dropped = np.any(list(by_cards(facts, kind).values()), axis=0)
        np.testing.assert_array_equal(dropped, by_lawful_use(tables, kind), err_msg=kind)


def test_the_comparison_has_both_answers_for_every_card() -> None:
    facts = facts_in(world(3, n=400))
    for kind, ids in {
        "health_column": ["FEA-01", "US-06-F", "US-08-F", "US-09-F", "GEN-06-F"],
        "prescriber_column": ["FEA-03", "US-06-F", "GEN-06-F"],
        "web_behavior": ["US-06-F"],
    }.items():
        fired = by_cards(facts, kind)
        for card in ids:
            assert 0 < fired[card].sum() < 400, (kind, card)


def test_a_kind_of_data_tells_what_its_rules_are_about() -> None:
    use = shipped().data_use
    told = {kind.id: told_by(kind, use) for kind in use.kinds}
    assert told["care_need"] == told["health_behavior"] == told["practice_focus"] == told["health_column"] == "health"
    assert told["prescriber_column"] == "prescriber"
    assert told["protected_column"] == "protected"
    assert told["medical_inquiry"] == "medical_case"
    assert told["web_behavior"] == told["asked"] == "behaviour"
    assert told["business_contact"] == "business"


def test_protected_traits_and_medical_cases_are_dropped_for_everybody() -> None:
    facts = facts_in(world(1))
    assert by_cards(facts, "protected_column")["FEA-02"].all()
    assert by_cards(facts, "medical_inquiry")["CON-04-F"].all()
    # The names that the feature gate refuses belong to cards that ship.
    assert {RULE_OF[reason] for reason in NEVER_FEATURES} <= {card.id for card in shipped().rules} | {"CON-04"}


def test_health_records_without_authorization_become_no_feature() -> None:
    tables = world(5, n=300)
    facts, domain = facts_in(tables), cards().domain
    phi = facts.columns["phi_source"].reshape(-1)
    authorized = facts.columns["phi_authorized"].reshape(-1)
    concerned = (phi != domain.code("phi_source", "no")) & (authorized != domain.code("phi_authorized", "yes"))
    audience = facts.columns["audience"].reshape(-1)
    concerned &= ~np.isin(audience, [domain.code("audience", "hcp"), domain.code("audience", "buyer")])
    assert concerned.any()
    for kind in ("web_behavior", "care_need", "health_behavior", "custom_column", "health_column", "mail_tracking"):
        assert by_cards(facts, kind)["US-06-F"][concerned].all()
        assert by_lawful_use(tables, kind)[concerned].all()


def test_what_is_dropped_of_prescribing_data_is_hidden_from_representatives_too() -> None:
    facts = facts_in(world(7))
    masked = by_cards(facts, "prescriber_column", "mask")["FEA-03-M"]
    np.testing.assert_array_equal(masked, by_cards(facts, "prescriber_column")["FEA-03"])


def test_the_state_law_that_was_struck_down_takes_nothing() -> None:
    assert "FEA-04" not in by_cards(facts_in(world(2)), "prescriber_column")


def test_on_a_day_before_a_card_it_drops_nothing() -> None:
    early = FeatureCards.of(shipped(), date(2023, 6, 30))
    assert "US-09-F" not in {rule.id for rule in early.cards}
