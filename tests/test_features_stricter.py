"""Consent, stops and ages take the stricter side: what is unreadable or from the future never permits more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from configs.settings import load_settings
from features.encode import encode_records
from features.facts import FactBuilder, facts_of
from features.inventory import Inventory
from features.records import Case, Consent, Lead, Suppression
from features.tables import UNKNOWN_INSTANT, known_at

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SETTINGS = load_settings()
BUILDER = FactBuilder.of(SETTINGS)
INVENTORY = Inventory.of(SETTINGS.assets, SETTINGS.vocabularies)
CHANNELS = SETTINGS.vocabularies["channel"].values
SECOND = timedelta(seconds=1)
SKEW = timedelta(minutes=5)


def ago(days=0.0):
    return AS_OF - timedelta(days=days)


def encoded(lead=None, complete=AS_OF, **tables):
    return encode_records(
        [lead or Lead(lead_id="L1", country="US", recorded_at=ago(1))],
        **tables,
        vocabularies=SETTINGS.vocabularies,
        suppressions_complete_as_of=complete,
    )


def built(lead=None, complete=AS_OF, as_of=AS_OF, **tables):
    return facts_of(known_at(encoded(lead, complete, **tables), as_of), BUILDER, INVENTORY)


def value(facts, name, channel="email"):
    declared = SETTINGS.facts[name]
    column = facts.columns[name]
    code = int(column[0, 0, CHANNELS.index(channel) if declared.per == "channel" else 0])
    if declared.type == "int":
        return None if code < 0 else code
    return declared.values[code - 1] if code else None


def consent(status, days=1.0, **fields):
    fields = {"channel": "email", "purpose": "promotion", "lead_id": "L1", "captured_at": ago(days)} | fields
    return Consent(status=status, **fields)


# --- a withdrawal stands until a fresh grant ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "later",
    [
        consent("none", 5),
        consent("implied", 5),
        consent("granted", 5, expires_at=ago(1)),
        consent("granted", 5, channel="sms"),
        consent("granted", 5, purpose="service"),
        consent("granted", 20),  # at the very instant of the withdrawal
        consent("granted", 5, product="software"),
        consent("granted", 5, product="a thing no vocabulary knows"),
    ],
)
def test_a_withdrawal_is_not_undone_by_a_record_that_is_no_fresh_grant(later):
    rows = [consent("granted", 30), consent("withdrawn", 20), later]
    for order in permutations(rows):
        assert value(built(consents=list(order)), "consent_withdrawn") == "yes"


def test_a_later_grant_that_has_not_run_out_undoes_a_withdrawal():
    for rows in permutations(
        [consent("withdrawn", 20), consent("none", 10), consent("granted", 5, expires_at=ago(-1))]
    ):
        facts = built(consents=list(rows))
        assert (value(facts, "consent_withdrawn"), value(facts, "consent")) == ("no", "granted")


def test_a_withdrawal_may_hide_behind_an_unreadable_status_until_a_fresh_grant():
    assert value(built(consents=[consent("???", 9), consent("none", 5)]), "consent_withdrawn") is None
    assert value(built(consents=[consent("???", 9), consent("granted", 5)]), "consent_withdrawn") == "no"


def test_a_service_grant_that_ran_out_or_was_withdrawn_is_none():
    ran_out = [consent("granted", 9, purpose="service", expires_at=ago(1))]
    assert value(built(consents=ran_out), "service_consent") is None
    undone = [consent("withdrawn", 9, purpose="service"), consent("granted", 5, purpose="service", expires_at=ago(1))]
    assert value(built(consents=undone), "service_consent") == "withdrawn"


# --- what a consent is limited to --------------------------------------------------------------------------------


@pytest.mark.parametrize("product", ["software", "a thing no vocabulary knows"])
def test_a_grant_for_a_product_is_no_grant_and_a_withdrawal_for_one_is_a_withdrawal(product):
    facts = built(consents=[consent("granted", product=product)])
    assert value(facts, "consent") is None
    facts = built(consents=[consent("granted", product=product, purpose="service")])
    assert value(facts, "service_consent") is None
    facts = built(consents=[consent("granted", 9), consent("withdrawn", 5, product=product)])
    assert value(facts, "consent_withdrawn") == "yes"
    assert value(built(consents=[consent("granted", product=" ")]), "consent") == "granted"


def test_a_withdrawal_from_medical_education_closes_its_channel_and_a_grant_of_it_permits_nothing_else():
    withdrawn = consent("withdrawn", 9, purpose="medical_education")
    facts = built(consents=[consent("granted", 20), withdrawn, consent("granted", 5)])
    assert value(facts, "consent_withdrawn") == "yes"
    assert value(facts, "consent_withdrawn", "sms") == "no"
    again = consent("granted", 5, purpose="medical_education")
    assert value(built(consents=[withdrawn, again]), "consent_withdrawn") == "no"
    assert value(built(consents=[withdrawn, again]), "consent") is None


def test_a_withdrawal_from_profiling_is_an_objection_to_it_until_granted_again():
    withdrawn = consent("withdrawn", 9, purpose="profiling", channel="phone")
    facts = built(consents=[withdrawn], suppressions=[])
    assert value(facts, "profiling_objection") == "yes"
    assert value(facts, "consent_withdrawn", "phone") == "no"
    again = [withdrawn, consent("granted", 5, purpose="profiling", channel="phone")]
    assert value(built(consents=again, suppressions=[]), "profiling_objection") == "no"
    objection = Suppression(lead_id="L1", since_at=ago(5), reason="profiling_objection")
    assert value(built(consents=again, suppressions=[objection]), "profiling_objection") == "yes"
    assert value(built(consents=[]), "profiling_objection") is None


def test_a_consent_to_health_data_permits_nothing():
    facts = built(consents=[consent("granted", purpose="health_data")])
    assert value(facts, "consent") is None and value(facts, "service_consent") is None


# --- an implausible own time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("year", [1980, 9999])
def test_a_stop_or_a_withdrawal_of_an_implausible_time_is_in_force_since_always(year):
    when = datetime(year, 1, 1, tzinfo=UTC)
    tables = encoded(suppressions=[Suppression(lead_id="L1", since_at=when, channel="email")])
    assert tables.suppressions["since_at"].tolist() == [UNKNOWN_INSTANT]
    assert tables.suppressions["recorded_at"].tolist() == [0]
    for day in (0, 20_000 if year == 1980 else 900):
        facts = facts_of(known_at(tables, ago(day)), BUILDER, INVENTORY)
        assert value(facts, "opt_out") == "yes"
    facts = built(cases=[Case(case_id="1", lead_id="L1", opened_at=when, kind="adverse_event")])
    assert value(facts, "adverse_event_open") == "yes"
    facts = built(consents=[consent("granted", 9), consent("withdrawn", captured_at=when)])
    assert value(facts, "consent_withdrawn") == "yes"
    facts = built(consents=[consent("granted", 9), consent("none", captured_at=when)])
    assert value(facts, "consent") == "none"
    facts = built(consents=[consent("withdrawn", 20), consent("granted", captured_at=when)])
    assert (value(facts, "consent_withdrawn"), value(facts, "consent")) == ("yes", None)


def test_a_recording_time_that_cannot_be_does_not_hide_a_stop():
    never = datetime(9999, 1, 1, tzinfo=UTC)
    row = Suppression(lead_id="L1", since_at=ago(5), recorded_at=never, channel="email")
    assert value(built(suppressions=[row]), "opt_out") == "yes"


# --- the future --------------------------------------------------------------------------------------------------


def test_a_feed_complete_until_the_future_is_not_believed():
    assert value(built(suppressions=[], complete=AS_OF + SKEW), "opt_out") == "no"
    assert value(built(suppressions=[], complete=AS_OF + SKEW + SECOND), "opt_out") is None


def test_whose_law_applies_is_unknown_for_a_record_verified_in_the_future_or_of_no_age():
    def law(**dates):
        return value(built(Lead(lead_id="L1", country="US", **dates)), "jurisdiction")

    assert law(recorded_at=ago(1)) == law(created_at=ago(1)) == law(verified_at=ago(1)) == "US"
    assert law(verified_at=AS_OF + SKEW) == "US"
    assert law(recorded_at=ago(1), verified_at=AS_OF + SKEW + SECOND) is None
    assert law() is None


@pytest.mark.parametrize(("late", "expected"), [(SKEW, "yes"), (SKEW + SECOND, "no")])
def test_a_stop_or_a_withdrawal_within_the_skew_of_clocks_is_in_force(late, expected):
    then = AS_OF + late
    for fields in (
        {"since_at": then},
        {"since_at": AS_OF, "recorded_at": then},
        {"since_at": then, "recorded_at": AS_OF},
    ):
        facts = built(suppressions=[Suppression(lead_id="L1", channel="email", **fields)])
        assert value(facts, "opt_out") == expected
    for fields in ({"captured_at": then}, {"captured_at": AS_OF, "recorded_at": then}):
        facts = built(consents=[consent("granted", 9), consent("withdrawn", **fields)])
        assert value(facts, "consent_withdrawn") == expected


def test_a_grant_within_the_skew_of_clocks_is_not_known_yet():
    for fields in ({"captured_at": AS_OF + SECOND}, {"captured_at": AS_OF, "recorded_at": AS_OF + SECOND}):
        assert value(built(consents=[consent("granted", **fields)]), "consent") is None
        facts = built(consents=[consent("withdrawn", 9), consent("granted", **fields)])
        assert value(facts, "consent_withdrawn") == "yes"


def test_a_stop_that_begins_later_is_known_and_does_not_act_yet():
    row = Suppression(lead_id="L1", channel="email", recorded_at=ago(1), since_at=ago(-0.1))
    tables = encoded(suppressions=[row])
    known = known_at(tables, AS_OF)
    assert len(known.suppressions["lead"]) == 1
    assert value(facts_of(known, BUILDER, INVENTORY), "opt_out") == "no"
    assert value(facts_of(known_at(tables, ago(-0.1)), BUILDER, INVENTORY), "opt_out") == "yes"
