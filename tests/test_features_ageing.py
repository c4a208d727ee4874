"""Facts older than they may be are unknown: to the day, by the right records, and the same for one lead as for many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import load_settings
from features.encode import encode_records
from features.facts import FactBuilder, Facts, facts_of
from features.inventory import Inventory
from features.records import Account, Lead
from features.tables import known_at

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SETTINGS = load_settings()
BUILDER = FactBuilder.of(SETTINGS)
INVENTORY = Inventory.of(SETTINGS.assets, SETTINGS.vocabularies)
LIMIT = 730


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def built(leads: list[Lead], accounts: list[Account] | None = None, builder: FactBuilder = BUILDER) -> Facts:
    tables = encode_records(leads, accounts=accounts, vocabularies=SETTINGS.vocabularies, asset_ids=())
    return facts_of(known_at(tables, AS_OF), builder, INVENTORY)


def told(facts: Facts, name: str, lead: int = 0) -> str | None:
    code = int(facts.columns[name].reshape(-1)[lead])
    return SETTINGS.facts[name].values[code - 1] if code else None


# As old as their country: features/law.py and features/register.py know their age.
PLACES = ("jurisdiction", "us_state")


def test_the_volatile_facts_declare_a_maximum_age_and_the_builder_knows_every_one_that_does() -> None:
    volatile = ("role", "treatment_role", "influence", "organization_type", "parent_organization_type", "care_setting")
    assert {SETTINGS.facts[name].max_age_days for name in volatile} == {LIMIT}
    assert {SETTINGS.facts[name].max_age_days for name in ("audience", "specialty", "size")} == {None}
    # INVARIANT: no declared maximum age is ignored: of a field by its record, of the law and the stops by their own.
    declared = {
        name
        for name, fact in SETTINGS.facts.items()
        if fact.max_age_days is not None and fact.source.startswith(("leads.", "accounts.")) and name not in PLACES
    }
    assert set(volatile) <= declared
    assert len(BUILDER.lead_ages.rows) + len(BUILDER.account_ages.rows) == len(declared)
    others = {name for name, fact in SETTINGS.facts.items() if fact.max_age_days is not None} - declared
    assert all(name in PLACES or "suppressions" in SETTINGS.facts[name].source for name in others)


@pytest.mark.parametrize(("days", "expected"), [(0, "nurse"), (LIMIT, "nurse"), (LIMIT + 1, None)])
def test_a_role_counts_on_its_last_day_and_not_the_day_after(days: int, expected: str | None) -> None:
    facts = built([Lead(lead_id="L1", role="nurse", specialty="oncology", recorded_at=ago(days))])
    assert told(facts, "role") == expected
    # What does not age stays: a specialty is not declared volatile.
    assert told(facts, "specialty") == "oncology"


def test_an_age_is_whole_utc_days_whatever_the_hour() -> None:
    # As of noon: the last minute of a day two years ago and its first are equally old.
    day = datetime(AS_OF.year, AS_OF.month, AS_OF.day, tzinfo=UTC) - timedelta(days=LIMIT)
    for instant, known in (
        (day, True),
        (day + timedelta(hours=23, minutes=59), True),
        (day - timedelta(minutes=1), False),
    ):
        assert (
            told(built([Lead(lead_id="L1", influence="decision_maker", recorded_at=instant)]), "influence") is not None
        ) is known


def test_verifying_an_old_record_makes_its_facts_known_again() -> None:
    old = {"lead_id": "L1", "influence": "decision_maker", "recorded_at": ago(2000)}
    assert told(built([Lead(**old)]), "influence") is None
    assert told(built([Lead(**old, verified_at=ago(LIMIT))]), "influence") == "decision_maker"
    assert told(built([Lead(**old, verified_at=ago(LIMIT + 1))]), "influence") is None


def test_a_record_of_no_age_or_from_the_future_vouches_for_nothing_volatile() -> None:
    assert told(built([Lead(lead_id="L1", influence="decision_maker")]), "influence") is None
    ahead = Lead(lead_id="L1", influence="decision_maker", recorded_at=ago(2), verified_at=ago(-1))
    assert told(built([ahead]), "influence") is None


@pytest.mark.parametrize(
    ("lead_days", "account_days", "known"),
    [(1, 1, True), (LIMIT, LIMIT, True), (LIMIT + 1, 1, False), (1, LIMIT + 1, False)],
)
def test_where_somebody_works_is_as_old_as_the_older_of_the_two_records(
    lead_days: int, account_days: int, known: bool
) -> None:
    lead = Lead(lead_id="L1", account_id="A1", recorded_at=ago(lead_days))
    account = Account(account_id="A1", care_setting="community", size="large", recorded_at=ago(account_days))
    facts = built([lead], [account])
    assert (told(facts, "care_setting") == "community") is known
    assert told(facts, "size") == "large"


def test_the_kind_of_the_parent_rests_on_the_parents_record_too() -> None:
    lead = Lead(lead_id="L1", account_id="A1", recorded_at=ago(1))
    site = Account(account_id="A1", parent_account_id="A2", organization_type="clinic", recorded_at=ago(1))
    for days, expected in ((LIMIT, "health_system"), (LIMIT + 1, None)):
        system = Account(account_id="A2", organization_type="health_system", recorded_at=ago(days))
        facts = built([lead], [site, system])
        assert told(facts, "parent_organization_type") == expected
        assert told(facts, "organization_type") == "clinic"


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(-3, 1500), st.integers(-3, 1500), st.integers(0, 1500)), min_size=1, max_size=6))
def test_one_lead_alone_gets_the_facts_it_gets_among_many(ages: list[tuple[int, int, int]]) -> None:
    leads, accounts = [], []
    for i, (recorded, verified, account) in enumerate(ages):
        leads.append(
            Lead(
                lead_id=f"L{i}", account_id=f"A{i}", influence="decision_maker", role="nurse",
                recorded_at=ago(recorded), verified_at=ago(verified),
            )
        )  # fmt: skip
        accounts.append(Account(account_id=f"A{i}", care_setting="inpatient", recorded_at=ago(account)))
    together = built(leads, accounts)
    for i in range(len(leads)):
        alone = built([leads[i]], [accounts[i]])
        for name in ("influence", "role", "care_setting", "organization_type"):
            assert told(alone, name) == told(together, name, i)
            assert alone.one is not None and alone.one[name] == int(together.columns[name].reshape(-1)[i])


def test_without_declared_ages_nothing_is_forgotten() -> None:
    ageless = {n: f.model_copy(update={"max_age_days": None}) for n, f in SETTINGS.facts.items()}
    builder = FactBuilder.of(SETTINGS.model_copy(update={"facts": ageless}))
    lead = Lead(lead_id="L1", influence="decision_maker", country="US", recorded_at=ago(5000))
    facts = built([lead], builder=builder)
    assert told(facts, "influence") == "decision_maker"
    assert np.array_equal(facts.columns["jurisdiction"].reshape(-1) != 0, [True])
