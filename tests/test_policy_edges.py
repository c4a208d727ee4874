"""Caps, windows, dates and overlays at their edges, over the whole book: what a day, a minute or a touch decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.cards import Gate
from configs.settings import Settings, load_settings
from features.evaluate import reading
from policy.book import Book
from policy.rulings import rule

TODAY = date(2026, 11, 22)
CHANNELS = ("email", "sms", "phone", "rep_visit", "mail", "event", "ads")
CONSENTED = {"consent": "granted", "consent_kind": "express_written", "consent_proven": "yes", "consent_expired": "no"}
DE, FR, UK, CA = ({"jurisdiction": place, **CONSENTED} for place in ("DE", "FR", "UK", "CA"))
SOFT = {"consent": "implied", "consent_kind": "own_customer", "consent_proven": "yes", "consent_expired": "no"}


@dataclasses.dataclass(frozen=True)
class Given:
    n: int
    assets: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def book(gate: Gate = "send", on: date = TODAY) -> Book:
    return Book.load(shipped(), on, gate)


def _clear() -> dict[str, Any]:
    """A verified clinician in New York at noon with nothing against any contact, and approved content."""
    return {
        "jurisdiction": "US", "us_state": "NY", "audience": "hcp", "verified_hcp": "yes", "licence_status": "active",
        "consent": "none", "asset_status": "approved", "asset_intent": "promotional", "asset_layer": "education",
        "asset_call_to_action": "learn", "days_since_meeting": 3, "local_minute_from": 720, "local_minute_to": 720,
        **dict.fromkeys(("feed_fresh", "source_permitted", "notice_given", "state_registered", "segment_approved",
                         "adult", "asset_filed", "asset_footer", "asset_claims_signed", "asset_authorised"), "yes"),
        **{f"asset_{what}_match": "yes" for what in ("audience", "market", "segment", "indication", "channel")},
    }  # fmt: skip


def stopped_by(channel: str, gate: Gate = "send", on: date = TODAY, **changed: str | int) -> list[str]:
    """Ids of everything against this contact; none where it is permitted."""
    chosen = book(gate, on)
    facts = {name: "no" for name, per, _ in chosen.inputs if shipped().facts[name].type == "yesno"} | _clear() | changed
    columns = {}
    for name, _, _ in chosen.inputs:
        number = chosen.domain.is_number(name)
        value = facts.get(name, 0 if number else "unknown")
        code = value if isinstance(value, int) else chosen.domain.unknown(name)
        if isinstance(value, str) and value != "unknown":
            code = chosen.domain.code(name, value)
        columns[name] = np.full((1, 1, 1), code, dtype=np.int32 if number else np.uint8)
    rulings = rule(chosen, Given(1, ("asset",), columns))
    assert rulings.errors == 0
    found = rulings.rule_ids(0, 0, CHANNELS.index(channel))
    assert bool(rulings.permitted[0, 0, CHANNELS.index(channel)]) == (not found)
    return found


def test_a_clear_lead_is_reached_where_no_consent_is_needed() -> None:
    assert {channel for channel in CHANNELS if not stopped_by(channel)} == {"email", "phone", "rep_visit", "mail"}
    assert {channel for channel in CHANNELS if not stopped_by(channel, **CONSENTED)} == {*CHANNELS}


@pytest.mark.parametrize(
    ("fact", "last", "first", "card"),
    [
        ("touches_7d", 2, 3, "FRQ-01"),
        ("touches_30d", 7, 8, "FRQ-01"),
        ("channel_touches_7d", 2, 3, "FRQ-01"),
        ("days_since_verified", 400, 401, "HYG-01-STALE"),
    ],
)
def test_a_cap_lets_its_last_one_through_and_no_more(fact: str, last: int, first: int, card: str) -> None:
    assert stopped_by("email", **{fact: last}) == []
    assert stopped_by("email", **{fact: first}) == [card]
    assert stopped_by("email", **{fact: "unknown"}) == [card]


def test_who_asked_for_less_gets_two_a_month() -> None:
    assert stopped_by("email", reduced_communication="yes", touches_30d=1) == []
    assert stopped_by("email", reduced_communication="yes", touches_30d=2) == ["FRQ-02"]


def test_marketing_waits_three_days_after_a_meeting() -> None:
    assert stopped_by("email", days_since_meeting=2) == ["SUP-01"]
    assert stopped_by("email", days_since_meeting=3) == []


@pytest.mark.parametrize(
    ("minute", "open_in"),
    [
        (479, ()),
        (480, ("US", "UK", "DE")),
        (599, ("US", "UK", "DE")),
        (600, ("US", "UK", "DE", "CA", "FR")),
        (779, ("US", "UK", "DE", "CA", "FR")),
        (780, ("US", "UK", "DE", "CA")),
        (839, ("US", "UK", "DE", "CA")),
        (840, ("US", "UK", "DE", "CA", "FR")),
        (1079, ("US", "UK", "DE", "CA", "FR")),
        (1080, ("US", "UK", "DE", "FR")),
        (1199, ("US", "UK", "DE", "FR")),
        (1200, ("US", "UK", "DE")),
        (1259, ("US", "UK", "DE")),
        (1260, ()),
    ],
)
def test_calls_go_in_the_hours_of_the_place(minute: int, open_in: tuple[str, ...]) -> None:
    for place in ("US", "UK", "DE", "CA", "FR"):
        now = {"local_minute_from": minute, "local_minute_to": minute, "jurisdiction": place}
        expected = [] if place in open_in else ["US-05"]
        assert stopped_by("phone", **{**CONSENTED, **now}) == expected, place
        # The hour is asked just before sending only, and of calls and texts only.
        assert stopped_by("phone", "action", **{**CONSENTED, **now}) == []
        assert stopped_by("email", **{**CONSENTED, **now}) == []


@pytest.mark.parametrize(("state", "end"), [("FL", 1200), ("MD", 1200), ("OK", 1200), ("WA", 1200), ("NY", 1260)])
def test_some_states_end_the_day_at_eight(state: str, end: int) -> None:
    for minute, expected in ((end - 1, []), (end, ["US-05"])):
        assert stopped_by("phone", us_state=state, local_minute_from=minute, local_minute_to=minute) == expected
    # Where it may be Florida, it is taken to be.
    assert stopped_by("phone", us_state="unknown", local_minute_from=1140, local_minute_to=1200) == ["US-05"]


def test_a_place_with_several_time_zones_is_called_when_it_is_day_in_all_of_them() -> None:
    assert stopped_by("phone", local_minute_from=480, local_minute_to=660) == []
    assert stopped_by("phone", local_minute_from=479, local_minute_to=659) == ["US-05"]
    assert stopped_by("phone", local_minute_from=1080, local_minute_to=1260) == ["US-05"]
    assert stopped_by("phone", local_minute_from=0, local_minute_to=1439) == ["US-05"]


def test_a_number_is_screened_within_28_days_in_the_united_kingdom_and_31_in_the_united_states() -> None:
    unproven = {**UK, "consent_proven": "no"}
    for days, expected in ((28, []), (29, ["UK-02"])):
        found = stopped_by("phone", **{**unproven, "days_since_screened": days})
        assert [card for card in found if card == "UK-02"] == expected
    for days, expected in ((31, []), (32, ["US-04"])):
        assert stopped_by("phone", days_since_screened=days) == expected
        assert stopped_by("phone", **{**CONSENTED, "days_since_screened": days}) == []  # a written agreement


def test_a_written_agreement_that_ran_out_opens_no_listed_number() -> None:
    for place in ("US", "CA"):
        agreed = {**CONSENTED, "jurisdiction": place, "do_not_call": "yes"}
        assert stopped_by("phone", **agreed) == []
        for over in ("yes", "unknown"):
            assert "US-04" in stopped_by("phone", **{**agreed, "consent_expired": over})


@pytest.mark.parametrize("place", ["CA", "AU", "US", "DE"])
def test_a_text_carries_who_sent_it_and_a_way_out_as_an_e_mail_does(place: str) -> None:
    for channel in ("email", "sms"):
        assert stopped_by(channel, **{**CONSENTED, "jurisdiction": place}) == []
        for footer in ("no", "unknown"):
            assert stopped_by(channel, **{**CONSENTED, "jurisdiction": place, "asset_footer": footer}) == ["US-01"]


def test_implied_consent_in_canada_is_proven_by_who_relies_on_it() -> None:
    implied = {**CA, "consent": "implied", "consent_kind": "purchase", "consent_days": 1}
    assert stopped_by("email", **implied) == []
    for proven in ("no", "unknown"):
        assert stopped_by("email", **{**implied, "consent_proven": proven}) == ["NO_LEGAL_BASIS"]


def test_a_consent_of_the_eu_lives_730_days_or_as_long_as_the_person_does_something() -> None:
    quiet = {"days_since_last_event": 731}
    assert stopped_by("email", **{**DE, **quiet, "consent_days": 730}) == []
    assert stopped_by("email", **{**DE, **quiet, "consent_days": 731}) == ["EU-03-STALE"]
    assert stopped_by("email", **{**DE, "days_since_last_event": 730, "consent_days": 731}) == []
    assert stopped_by("email", consent_days=5_000) == []


@pytest.mark.parametrize(("kind", "last"), [("purchase", 730), ("inquiry", 182)])
def test_implied_consent_in_canada_ends_on_its_day(kind: str, last: int) -> None:
    implied = {**CA, "consent": "implied", "consent_kind": kind}
    assert stopped_by("email", **{**implied, "consent_days": last}) == []
    assert stopped_by("email", **{**implied, "consent_days": last + 1}) == ["CA-01", "NO_LEGAL_BASIS"]


def test_the_notice_of_a_third_party_goes_within_thirty_days_or_first() -> None:
    bought = {**DE, "third_party_source": "yes", "notice_given": "no", "asset_notice": "yes"}
    assert stopped_by("email", **{**bought, "days_since_obtained": 30}) == []
    assert stopped_by("email", **{**bought, "days_since_obtained": 31}) == ["GEN-07"]
    assert stopped_by("email", **{**bought, "days_since_obtained": 5_000, "notice_given": "yes"}) == []


def test_france_asks_consent_to_calls_from_its_day() -> None:
    listed = {"jurisdiction": "FR", "do_not_call": "yes"}
    assert stopped_by("phone", on=date(2026, 8, 10), **listed)[0] == "EU-02-FR-LIST"
    assert stopped_by("phone", on=date(2026, 8, 11), **listed)[0] == "EU-02-FR"
    assert "EU-02-FR-LIST" not in stopped_by("phone", on=date(2026, 8, 10), jurisdiction="FR")


@pytest.mark.parametrize("gate", ["action", "send"])
def test_the_overlays_differ_and_the_rest_of_the_eu_is_the_strictest(gate: Gate) -> None:
    customer = {"audience": "buyer", **SOFT}
    for place in ("DE", "FR", "UK", "CH"):
        assert stopped_by("email", gate, **{**customer, "jurisdiction": place}) == []
    assert stopped_by("email", gate, **{**customer, "jurisdiction": "EU_OTHER"}) == ["EU-01", "NO_LEGAL_BASIS"]
    professional = {**SOFT, "consent_kind": "legitimate_interest"}
    assert stopped_by("email", gate, **{**professional, "jurisdiction": "FR"}) == []
    assert "EU-01-DE" in stopped_by("email", gate, **{**professional, "jurisdiction": "DE"})
    assert "EU-01" in stopped_by("email", gate, **{**professional, "jurisdiction": "EU_OTHER"})
    for missing in ("notice_given", "asset_footer", "consent_proven"):
        assert "NO_LEGAL_BASIS" in stopped_by("email", gate, **{**professional, "jurisdiction": "FR", missing: "no"})
    # A patient's consent to Germany is express; elsewhere a recorded grant is enough.
    patient = {**DE, "audience": "patient", "consent_kind": "unknown"}
    assert "EU-01-DE" in stopped_by("email", gate, **patient)
    assert "EU-01-FR" not in stopped_by("email", gate, **{**patient, "jurisdiction": "FR"})


def test_promotion_to_a_british_professional_needs_permission_though_a_customer() -> None:
    customer = {**SOFT, "jurisdiction": "UK"}
    assert stopped_by("email", **customer, audience="buyer") == []
    assert stopped_by("email", **customer, asset_intent="medical_education") == []
    assert stopped_by("email", **customer) == ["UK-01"]


def test_one_revocation_ends_calls_and_texts_already_and_by_law_from_2027() -> None:
    on_texts = {"tcpa_revoked": "no", "tcpa_revoked_any": "yes"}
    assert stopped_by("phone", **on_texts) == ["US-03"]
    parameters = dict(shipped().parameters)
    company = parameters["tcpa.revoke_all_company"]
    parameters["tcpa.revoke_all_company"] = company.model_copy(update={"values": {date(2024, 4, 4): False}})
    lawful = shipped().model_copy(update={"parameters": parameters})
    for on, expected in ((date(2027, 1, 30), False), (date(2027, 1, 31), True)):
        chosen = Book.load(lawful, on, "send")
        scope = next(one for one in chosen.rules if one.id == "US-03")
        codes = {f: chosen.domain.code(f, v) for f, v in {**on_texts, "jurisdiction": "US"}.items()}
        point = {name: np.array(codes[name]) for name in scope.facts}
        assert bool(reading(scope.normal, point, {}, must=False)) is expected


@pytest.mark.parametrize("state", ["WA", "NV", "CT", "MD", "VA"])
def test_a_consumer_in_a_state_with_a_health_data_law_consents_to_that_too(state: str) -> None:
    patient = {**CONSENTED, "audience": "patient", "us_state": state}
    card = "US-08" if state == "WA" else "US-09"
    for channel in ("email", "mail", "rep_visit"):
        assert stopped_by(channel, **patient, health_consent="yes") == []
        assert stopped_by(channel, **patient, health_consent="no") == [card]
        assert stopped_by(channel, **{**patient, "us_state": "NY"}, health_consent="no") == []
    assert {"US-08", "US-09"} <= set(stopped_by("email", **{**patient, "us_state": "unknown"}, health_consent="no"))


def test_health_records_reach_nobody_without_an_authorization() -> None:
    patient = {**CONSENTED, "audience": "patient", "us_state": "TX", "phi_source": "yes"}
    for channel in CHANNELS:
        assert stopped_by(channel, **patient) == ["US-06", "US-07"]
        assert stopped_by(channel, **patient, phi_authorized="yes") == []
    assert stopped_by("email", **{**patient, "us_state": "NY"}) == ["US-06"]


def test_a_pause_and_an_advertising_platform() -> None:
    assert stopped_by("email", channel_paused="yes") == ["FRQ-04"]
    assert stopped_by("ads", **CONSENTED, sharing_opt_out="yes") == ["US-10"]
    revealing = {**CONSENTED, "audience": "patient", "asset_reveals_condition": "yes"}
    assert stopped_by("ads", **revealing) == ["US-11"]
    assert stopped_by("email", **revealing) == []
