"""Facts of record: source, notice, doubts, state, hour, purposes, pauses; on each side, unknown, old and merged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.dictionary import AFTER_READINESS
from configs.places import Pause, TimeZones, place_problems
from configs.register import RegisteredSource, Registration, Registrations, SourceRegister, register_problems
from configs.settings import Settings, load_settings
from features.asked import AskedFacts
from features.encode import encode_records
from features.facts import APPROVED, FactBuilder, Facts, facts_of, with_memberships
from features.fields import LEAD_FIELDS
from features.inventory import Inventory
from features.layout import LAYOUTS
from features.pauses import open_on, pauses_of
from features.records import Account, Consent, Lead, Link, Suppression
from features.register import DATED, REGISTERED
from features.tables import Known, Tables, known_at
from features.view import view_at

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
TODAY = (AS_OF.date() - date(1970, 1, 1)).days
SETTINGS = load_settings()
VOCABULARIES = SETTINGS.vocabularies
BUILDER = FactBuilder.of(SETTINGS)
INVENTORY = Inventory.of((), VOCABULARIES)
CHANNELS = VOCABULARIES["channel"].values
EMAIL, SMS = CHANNELS.index("email"), CHANNELS.index("sms")


def ago(days: float = 0.0) -> datetime:
    return AS_OF - timedelta(days=days)


def lead(lead_id: str = "L1", **fields: Any) -> Lead:
    given: dict[str, Any] = {"recorded_at": ago(10), "created_at": ago(100), "country": "US"}
    return Lead(lead_id=lead_id, **(given | fields))


def tables_of(*leads: Lead, fresh_hours: float | None = 0.0, **tables: Any) -> Tables:
    return encode_records(
        leads or [lead()],
        **tables,
        vocabularies=VOCABULARIES,
        suppressions_complete_as_of=None if fresh_hours is None else AS_OF - timedelta(hours=fresh_hours),
    )


def seen(tables: Tables, as_of: datetime = AS_OF, builder: FactBuilder = BUILDER) -> Known:
    return view_at(tables, as_of, builder.view)


def facts(*leads: Lead, as_of: datetime = AS_OF, builder: FactBuilder = BUILDER, **tables: Any) -> Facts:
    return facts_of(seen(tables_of(*leads, **tables), as_of, builder), builder, INVENTORY)


def value(found: Facts, name: str, row: int = 0, channel: int = 0) -> Any:
    column = found.columns[name]
    code = int(column[min(row, len(column) - 1), 0, min(channel, column.shape[2] - 1)])
    declared = SETTINGS.facts[name]
    if declared.type == "int":
        return None if code < 0 else code
    return declared.values[code - 1] if code else None


def said(name: str, *leads: Lead, **rest: Any) -> Any:
    return value(facts(*leads, **rest), name)


# --- licence and address: fields of the lead -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [("active", "active"), ("Debarred", "excluded"), ("retired", "retired"), ("lapsed", "inactive"), ("?", None)],
)
def test_a_licence_is_read_by_its_words_and_is_unknown_otherwise(given, expected):
    assert said("licence_status", lead(licence_status=given)) == expected


def test_a_licence_that_nobody_looked_at_for_longer_than_its_limit_is_unknown():
    limit = SETTINGS.facts["licence_status"].max_age_days
    assert limit is not None
    old = {"created_at": ago(limit + 9), "licence_status": "active"}
    assert said("licence_status", lead(recorded_at=ago(limit), **old)) == "active"
    assert said("licence_status", lead(recorded_at=ago(limit + 1), **old)) is None
    assert said("licence_status", lead(recorded_at=ago(limit + 1), verified_at=ago(1), **old)) == "active"


@pytest.mark.parametrize(("given", "expected"), [(True, "yes"), (False, "no"), (None, None)])
def test_a_role_address_is_what_the_record_says(given, expected):
    assert said("role_address", lead(role_address=given)) == expected


# --- the register of sources ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "permitted", "third", "phi"),
    [
        ("webinar", "yes", "no", "no"),
        ("list_rental", "yes", "yes", "no"),
        ("other", "no", "yes", "no"),
        ("referral", "yes", "yes", "yes"),
        ("never heard of", None, None, None),
        (None, None, None, None),
    ],
)
def test_the_register_says_what_a_source_permits_and_nothing_of_a_source_that_is_not_in_it(
    source, permitted, third, phi
):
    found = facts(lead(source=source, audience="hcp"))
    assert value(found, "source_permitted") == permitted
    assert value(found, "third_party_source") == third
    assert value(found, "phi_source") == phi


def test_a_source_is_permitted_through_the_last_day_of_its_licence():
    last = SETTINGS.source_register.sources["list_rental"].licence_until
    assert last is not None
    noon = datetime(last.year, last.month, last.day, 12, tzinfo=UTC)
    rented = lead(source="list_rental", audience="hcp")
    assert said("source_permitted", rented, as_of=noon) == "yes"
    assert said("source_permitted", rented, as_of=noon + timedelta(days=1)) == "no"
    assert said("third_party_source", rented, as_of=noon + timedelta(days=1)) == "yes"


# --- notice, age, screening ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "expected"), [(3, "yes"), (0, "yes"), (-1, "no"), (None, None)])
def test_notice_was_given_once_its_instant_is_past(days, expected):
    assert said("notice_given", lead(notice_at=None if days is None else ago(days))) == expected


def test_data_are_as_old_as_when_we_got_them_else_as_their_record():
    assert said("days_since_obtained", lead(obtained_at=ago(40))) == 40
    assert said("days_since_obtained", lead()) == 100
    assert said("days_since_obtained", lead(created_at=None)) is None
    assert said("days_since_obtained", lead(obtained_at=ago(-2))) is None  # from the future
    assert said("days_since_obtained", lead(obtained_at=ago(1), created_at=ago(100))) == 1


def test_a_screening_counts_whole_days_and_one_from_the_future_is_none():
    assert said("days_since_screened", lead(screened_at=ago(31))) == 31
    assert said("days_since_screened", lead(screened_at=ago(-1))) is None
    assert said("days_since_screened", lead()) is None


# --- state and hour ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "country", "expected"),
    [
        ("TX", "US", "TX"), ("US-TX", "US", "TX"), ("Texas", "USA", "TX"), ("texas", "US", "TX"), ("north", "US", None),
        (None, "US", None), ("DE", "DE", None), ("TX", None, None), ("DE", "US", "DE"),
    ],
)  # fmt: skip
def test_a_state_is_read_from_the_region_where_the_country_is_the_united_states(region, country, expected):
    assert said("us_state", lead(region=region, country=country)) == expected


def test_a_state_is_unknown_once_the_country_is_too_old():
    limit = BUILDER.jurisdiction_max_age_days
    for days, expected in ((limit, "TX"), (limit + 1, None)):
        old = lead(region="TX", recorded_at=ago(days), created_at=ago(limit + 5))
        found = facts(old)
        assert value(found, "us_state") == expected
        assert (value(found, "state_registered") is None) == (expected is None)
        assert (value(found, "local_minute_from") is None) == (expected is None)


def test_states_that_need_a_registration_are_not_registered_until_one_is_held_and_only_so_long():
    assert said("state_registered", lead(region="TX")) == "no"
    assert said("state_registered", lead(region="NY")) == "yes"
    assert said("state_registered", lead(region="north")) is None
    assert said("state_registered", lead(country="DE", region="Bayern")) is None
    held = Registrations(needed=("TX",), held={"TX": Registration(until=AS_OF.date(), reference="Texas SOS 1")})
    builder = FactBuilder.of(Settings.model_construct(**(dict(SETTINGS) | {"registrations": held})))
    assert said("state_registered", lead(region="TX"), builder=builder) == "yes"
    assert said("state_registered", lead(region="TX"), builder=builder, as_of=ago(-1)) == "no"


def minutes(**fields: Any) -> tuple[Any, Any]:
    as_of = fields.pop("as_of", AS_OF)
    found = facts(lead(**fields), as_of=as_of)
    return value(found, "local_minute_from"), value(found, "local_minute_to")


def test_the_hour_is_that_of_the_zone_else_of_the_states_zones_else_of_the_countrys():
    assert minutes(time_zone="America/New_York") == (8 * 60, 8 * 60)  # 12:00 UTC in summer
    assert minutes(region="NY") == (8 * 60, 8 * 60)
    assert minutes(region="TX") == (6 * 60, 7 * 60)
    assert minutes() == (2 * 60, 8 * 60)  # from Hawaii to the east, and Puerto Rico
    assert minutes(country="DE") == (14 * 60, 14 * 60)
    assert minutes(country="IN") == (17 * 60 + 30, 17 * 60 + 30)
    assert minutes(country="OTHER") == (None, None)
    assert minutes(country=None) == (None, None)
    assert minutes(country=None, time_zone="Europe/Paris") == (14 * 60, 14 * 60)
    assert minutes(region="NY", time_zone="Mars/Olympus") == (8 * 60, 8 * 60)  # an unreadable zone is not given


def test_a_zone_that_does_not_fit_the_place_widens_the_hours():
    assert minutes(region="NY", time_zone="America/Los_Angeles") == (5 * 60, 8 * 60)
    assert minutes(country="DE", time_zone="America/New_York") == (8 * 60, 14 * 60)


def test_where_the_zones_straddle_midnight_it_may_be_any_minute():
    assert minutes(as_of=AS_OF.replace(hour=5, minute=30)) == (0, 1439)  # Hawaii is on the day before
    assert minutes(as_of=AS_OF.replace(hour=5, minute=30), region="NY") == (90, 90)


def test_clocks_change_when_they_change():
    before = datetime(2026, 3, 8, 6, 59, tzinfo=UTC)
    made = {"recorded_at": ago(300), "created_at": ago(300), "region": "NY"}
    assert minutes(as_of=before, **made) == (119, 119)
    assert minutes(as_of=before + timedelta(minutes=1), **made) == (180, 180)


@settings(deadline=None, max_examples=40)
@given(
    moment=st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    zone=st.sampled_from(VOCABULARIES["time_zone"].values),
)
def test_the_hour_of_a_zone_is_what_the_database_says(moment, zone):
    as_of = moment
    there = as_of.astimezone(ZoneInfo(zone))
    expected = there.hour * 60 + there.minute
    made = {"recorded_at": as_of - timedelta(days=1), "created_at": as_of - timedelta(days=1)}
    assert minutes(as_of=as_of, country=None, time_zone=zone, **made) == (expected, expected)


# --- feeds and stops -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "expected"), [(0, "yes"), (24, "yes"), (24.01, "no"), (-1, None), (-0.05, "yes"), (None, None)]
)
def test_the_feed_of_stops_is_fresh_for_a_day_and_not_from_the_future(hours, expected):
    assert said("feed_fresh", fresh_hours=hours, suppressions=[]) == expected


def test_without_the_table_nobody_knows_whether_the_feed_is_fresh():
    assert said("feed_fresh", fresh_hours=0) is None


def stop(reason: str, channel: str | None = None, **fields: Any) -> Suppression:
    owner = {} if "account_id" in fields else {"lead_id": "L1"}
    return Suppression(since_at=ago(5), reason=reason, channel=channel, **owner, **fields)


def test_a_revocation_is_an_opt_out_of_its_channel_and_is_told_of_any():
    found = facts(suppressions=[stop("STOP", "sms")])
    for name in ("tcpa_revoked", "opt_out"):
        assert (value(found, name, 0, SMS), value(found, name, 0, EMAIL)) == ("yes", "no")
    assert value(found, "tcpa_revoked_any") == "yes"
    assert said("tcpa_revoked_any", suppressions=[stop("opt_out")]) == "no"
    assert said("tcpa_revoked_any") is None
    assert said("tcpa_revoked_any", suppressions=[], fresh_hours=30) is None
    assert said("tcpa_revoked_any", suppressions=[stop("revoke", "fax")], fresh_hours=30) == "yes"


def test_who_is_on_a_no_contact_list_has_opted_out_of_its_channels():
    """CRM exports say `deleted` and `do not contact` so, of patients too, whom the card of professionals spares."""
    found = facts(suppressions=[stop("no_contact")])
    for name in ("no_contact", "opt_out"):
        assert [value(found, name, 0, channel) for channel in range(len(CHANNELS))] == ["yes"] * len(CHANNELS)
    visits = CHANNELS.index("rep_visit")
    no_see = facts(suppressions=[stop("no_contact", "rep_visit")])
    assert (value(no_see, "opt_out", 0, visits), value(no_see, "opt_out", 0, EMAIL)) == ("yes", "no")


def test_an_erasure_has_no_end_and_a_restriction_may():
    assert said("erased_or_restricted", suppressions=[stop("erasure", until_at=ago(1))]) == "yes"
    assert said("erased_or_restricted", suppressions=[stop("restriction", until_at=ago(1))]) == "no"


@pytest.mark.parametrize("spelled", ["sharing_opt_out", "GPC", "limit use", "do not sell"])
def test_a_signal_against_sharing_stops_sharing_and_no_channel(spelled):
    found = facts(suppressions=[stop(spelled)])
    assert value(found, "sharing_opt_out") == "yes"
    assert [value(found, "opt_out", 0, channel) for channel in range(len(CHANNELS))] == ["no"] * len(CHANNELS)
    assert said("sharing_opt_out", suppressions=[]) == "no" and said("sharing_opt_out") is None


def test_an_opt_out_that_is_not_carried_out_yet_is_one_already():
    found = facts(suppressions=[stop("opt_out_pending", "email")])
    assert value(found, "opt_out_pending") == "yes"
    assert (value(found, "opt_out", 0, EMAIL), value(found, "opt_out", 0, SMS)) == ("yes", "no")
    carried_out = facts(suppressions=[stop("opt_out_pending", "email", until_at=ago(1))])
    assert value(carried_out, "opt_out_pending") == "no"


def test_a_revocation_of_an_account_holds_for_its_leads():
    of_account = {"account_id": "A1"}
    found = facts(
        lead(**of_account),
        accounts=[Account(account_id="A1")],
        suppressions=[stop("revocation", "phone", **of_account)],
    )
    assert value(found, "tcpa_revoked", 0, CHANNELS.index("phone")) == "yes"
    assert value(found, "tcpa_revoked_any") == "yes"


# --- purposes ------------------------------------------------------------------------------------------------------


def consent(status: str, days: float = 1.0, **fields: Any) -> Consent:
    given: dict[str, Any] = {"lead_id": "L1", "channel": "email", "purpose": "health_data", "proof": "form 7"}
    return Consent(captured_at=ago(days), status=status, **(given | fields))


@pytest.mark.parametrize("name", ["health_consent", "phi_authorized"])
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("granted", 9, {})], "yes"),
        ([("granted", 9, {"proof": None})], "no"),
        ([("implied", 9, {})], "no"),
        ([("granted", 9, {"expires_at": AS_OF})], "no"),
        ([("granted", 9, {"expires_at": ago(-1)})], "yes"),
        ([("granted", 9, {}), ("withdrawn", 3, {"channel": "sms"})], "no"),
        ([("withdrawn", 9, {}), ("granted", 3, {})], "yes"),
        ([("granted", 9, {}), ("garbage", 3, {})], None),
        ([("granted", 9, {"product": "oncology_rx"})], "no"),
        ([("granted", -1, {})], "no"),
        ([("granted", 9, {"purpose": "promotion"})], "no"),
        ([], "no"),
    ],
)  # fmt: skip
def test_a_purpose_of_its_own_needs_a_proven_grant_that_stands(name, rows, expected):
    purpose = {"health_consent": "health_data", "phi_authorized": "phi_marketing"}[name]
    given = [consent(status, days, **({"purpose": purpose} | fields)) for status, days, fields in rows]
    assert said(name, consents=given) == expected
    assert said(name, consents=given[::-1]) == expected
    assert said(name) is None


def test_prescribing_data_are_restricted_by_a_withdrawal_that_stands_and_by_nothing_else():
    restricted = consent("withdrawn", 9, purpose="prescriber_data")
    assert said("prescriber_restricted", consents=[restricted]) == "yes"
    assert said("prescriber_restricted", consents=[restricted, consent("granted", 3, purpose="pdrp")]) == "no"
    assert said("prescriber_restricted", consents=[consent("withdrawn", 9)]) == "no"
    assert said("prescriber_restricted", consents=[consent("?", 9, purpose="pdrp")]) is None
    assert said("prescriber_restricted", consents=[]) == "no"
    assert said("prescriber_restricted") is None


# --- doubts, and the stricter of merged records --------------------------------------------------------------------


def link(kind: str = "same", days: float = 1.0, **fields: Any) -> Link:
    given: dict[str, Any] = {"lead_id": "L1", "other_lead_id": "L2", "linked_at": ago(days), "kind": kind}
    return Link(**(given | fields))


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        (None, "no"),
        ([link("same")], "no"),
        ([link("possible")], "yes"),
        ([link("garbage")], "yes"),
        ([link("same", confidence=0.7, evidence="probabilistic")], "yes"),
        ([link("same", evidence="probabilistic")], "yes"),  # how likely nobody told
        ([link("same", confidence=0.7, evidence="person")], "no"),
        ([link("same", confidence=0.99, evidence="probabilistic")], "no"),
        ([link("possible", 5), link("different", 2)], "no"),
        ([link("different", 5), link("possible", 2)], "yes"),
        ([link("possible", 2), link("different", 2)], "yes"),  # at one instant doubt wins
        ([link("possible", -1)], "no"),  # nobody knows it yet
    ],
)  # fmt: skip
def test_an_identity_is_in_doubt_while_a_link_is_undecided(links, expected):
    for rows in (links, links and links[::-1]):
        found = facts(lead(), lead("L2"), lead("L3"), links=rows)
        assert value(found, "identity_conflict", 0) == expected
        assert value(found, "identity_conflict", 2) == "no"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"country": "US"}, {"country": "DE"}, "yes"),
        ({"country": "ES"}, {"country": "IT"}, "no"),  # one law
        ({"country": "US"}, {"country": None}, "no"),
        ({"audience": "hcp"}, {"audience": "patient"}, "yes"),
        ({"licence_status": "active"}, {"licence_status": "retired"}, "yes"),
        ({"specialty": "oncology"}, {"specialty": "cardiology"}, "no"),
    ],
)
def test_records_of_one_person_conflict_where_law_audience_or_licence_differ(one, other, expected):
    found = facts(lead(**one), lead("L2", created_at=ago(50), **other), links=[link()])
    assert value(found, "identity_conflict") == expected
    if "licence_status" in one:
        assert value(found, "licence_status") is None


def merged(one: dict[str, Any], other: dict[str, Any], name: str) -> Any:
    """What is said of a person of two records, whichever of them survives."""
    base = {"audience": "hcp"}
    answers = []
    for first, second in ((one, other), (other, one)):
        two = (lead(**(base | first)), lead("L2", **(base | {"created_at": ago(50)} | second)))
        known = seen(tables_of(*two, links=[link()]))
        assert known.merged is not None
        row = int(known.merged.survivor[0])
        answers.append(value(facts_of(known, BUILDER, INVENTORY), name, row))
    assert answers[0] == answers[1]
    return answers[0]


@pytest.mark.parametrize(
    ("name", "one", "other", "expected"),
    [
        ("source_permitted", {"source": "webinar"}, {"source": "other"}, "no"),
        ("source_permitted", {"source": "webinar"}, {"source": "congress"}, "yes"),
        ("source_permitted", {"source": "webinar"}, {}, None),
        ("third_party_source", {"source": "webinar"}, {"source": "list_rental"}, "yes"),
        ("phi_source", {"source": "webinar"}, {"source": "referral"}, "yes"),
        ("notice_given", {"notice_at": ago(9)}, {"notice_at": ago(1)}, "yes"),
        ("notice_given", {"notice_at": ago(9)}, {"notice_at": ago(-1)}, "no"),
        ("notice_given", {"notice_at": ago(9)}, {}, None),
        ("days_since_screened", {"screened_at": ago(9)}, {"screened_at": ago(30)}, 30),
        ("days_since_screened", {"screened_at": ago(9)}, {}, None),
        ("role_address", {"role_address": True}, {"role_address": False}, "yes"),
        ("role_address", {"role_address": False}, {}, "no"),
        ("us_state", {"region": "TX"}, {"region": "NY"}, None),
        ("us_state", {"region": "TX"}, {}, "TX"),
        ("local_minute_from", {"region": "TX"}, {"region": "NY"}, 2 * 60),  # the country's zones
    ],
)
def test_of_merged_records_the_stricter_one_counts_whoever_survives(name, one, other, expected):
    assert merged(one, other, name) == expected


def test_data_of_a_person_are_as_old_as_the_oldest_of_their_records():
    one, other = {"created_at": ago(100), "obtained_at": ago(10)}, {"created_at": ago(50), "obtained_at": ago(40)}
    assert merged(one, other, "days_since_obtained") == 40
    assert (
        merged({"created_at": ago(100)}, {"created_at": ago(50), "obtained_at": ago(1)}, "days_since_obtained") == 100
    )


def test_the_strictest_purpose_of_the_records_of_one_person_counts():
    rows = [consent("granted", 3), consent("withdrawn", 9, lead_id="L2")]
    assert value(facts(lead(), lead("L2"), links=[link()], consents=rows), "health_consent") == "no"
    assert value(facts(lead(), lead("L2"), consents=rows), "health_consent") == "yes"


# --- pauses and approved segments ----------------------------------------------------------------------------------


def pause(**fields: Any) -> Pause:
    return Pause(**({"from": AS_OF.date(), "until": ago(-2).date(), "why": "recall"} | fields))


def with_pauses(*pauses: Pause) -> FactBuilder:
    return replace(BUILDER, pauses=pauses_of(Settings.model_construct(**(dict(SETTINGS) | {"pauses": pauses}))))


def test_a_pause_rests_its_channels_from_its_first_day_until_the_day_before_the_last():
    builder = with_pauses(pause(channels=("sms",)))
    for days, expected in ((1, "no"), (0, "yes"), (-1, "yes"), (-2, "no")):
        found = facts(builder=builder, as_of=ago(days))
        assert value(found, "channel_paused", 0, SMS) == expected
        assert value(found, "channel_paused", 0, EMAIL) == "no"
    assert said("channel_paused") == "no"


def test_a_pause_of_a_jurisdiction_may_concern_who_is_nowhere_known():
    builder = with_pauses(pause(jurisdictions=("US",)))
    found = facts(lead(), lead("L2", country="DE"), lead("L3", country=None), builder=builder)
    assert [value(found, "channel_paused", row) for row in range(3)] == ["yes", "no", None]


def test_a_pause_of_a_segment_is_unknown_until_memberships_are_told():
    builder = with_pauses(pause(segments=("cardio_outpatient",), channels=("email",)))
    member, ids = np.array([[True, False], [False, True]]), ("cardio_outpatient", "unsegmented")
    for leads in ((lead(), lead("L2")), (lead(),)):
        found = facts(*leads, builder=builder)
        assert value(found, "channel_paused", 0, EMAIL) is None and value(found, "channel_paused", 0, SMS) == "no"
        told = with_memberships(found, INVENTORY, member[: found.n], ids, pauses=open_on(builder.pauses, TODAY))
        assert [value(told, "channel_paused", row, EMAIL) for row in range(found.n)] == ["yes", "no"][: found.n]
        if told.one is not None:
            assert told.one["channel_paused"] == told.columns["channel_paused"][0, 0].tolist()


def test_a_segment_is_approved_where_its_approval_holds_and_unknown_before_memberships():
    found = facts(lead(), lead("L2"), lead("L3"))
    assert value(found, APPROVED) is None
    member, primary = np.eye(3, 2, dtype=bool), np.array([0, 1, -1], dtype=np.int32)
    told = with_memberships(found, INVENTORY, member, ("a", "b"), primary=primary, approved=np.array([True, False]))
    assert [value(told, APPROVED, row) for row in range(3)] == ["yes", "no", None]


# --- the files themselves -----------------------------------------------------------------------------------------


def test_what_the_registers_name_must_exist_and_agree_with_the_record_of_data_use():
    sources = {"nowhere": RegisteredSource(permitted_for=("promotion",), says="nobody knows")}
    sources |= {"ehr_export": RegisteredSource(permitted_for=("promotion", "fun"), says="patient records")}
    register, held = SourceRegister(sources=sources), Registrations(needed=("TX", "XX"))
    found = list(register_problems(register, held, SETTINGS.data_use, VOCABULARIES))
    assert [problem.key for problem in found] == [
        "sources.nowhere", "sources.nowhere.permitted_for", "sources.ehr_export.permitted_for",
        "sources.ehr_export.permitted_for", "needed",
    ]  # fmt: skip
    assert not list(
        register_problems(SETTINGS.source_register, SETTINGS.registrations, SETTINGS.data_use, VOCABULARIES)
    )


def test_what_zones_and_pauses_name_must_exist():
    zones = TimeZones(countries={"US": ("Middle/Earth",), "XX": ()})
    found = list(place_problems(zones, (pause(segments=("nobody",)),), ("unsegmented",), VOCABULARIES))
    assert [problem.key for problem in found] == [
        "Middle/Earth", "countries.XX", "countries.XX", "pauses.0.segments"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="a day after"):
        pause(until=AS_OF.date())


# --- totality ------------------------------------------------------------------------------------------------------

NEW = {*REGISTERED, *DATED, "licence_status", "role_address", "tcpa_revoked", "tcpa_revoked_any", "sharing_opt_out",
       "opt_out_pending", "channel_paused"}  # fmt: skip


def test_every_new_fact_is_declared():
    assert set(SETTINGS.facts) >= NEW | {APPROVED}
    assert set(LEAD_FIELDS) <= set(SETTINGS.facts) and not NEW & set(AFTER_READINESS)


WORDS = st.one_of(
    st.none(), st.sampled_from(["US", "TX", "yes", "active", "webinar", "GPC", "Europe/Rome", "\x00", "é" * 40])
)
FIRST, LAST = datetime(1990, 1, 2), datetime(2199, 12, 30)  # noqa: DTZ001 - hypothesis adds the zone
INSTANTS = st.one_of(st.none(), st.datetimes(FIRST, LAST, timezones=st.just(UTC)))


@st.composite
def leads(draw: Any, lead_id: str) -> Lead:
    texts = ("country", "region", "licence_status", "time_zone", "source", "audience")
    times = ("recorded_at", "created_at", "verified_at", "obtained_at", "notice_at", "screened_at")
    fields = {name: draw(WORDS) for name in texts} | {name: draw(INSTANTS) for name in times}
    return Lead(lead_id=lead_id, role_address=draw(st.one_of(st.none(), st.booleans())), **fields)


@settings(deadline=None, max_examples=60)
@given(one=leads("L1"), other=leads("L2"), linked=st.booleans(), as_of=INSTANTS, kind=st.sampled_from(["same", "?"]))
def test_building_never_raises_and_one_is_the_same_as_many(one, other, linked, as_of, kind):
    tables = tables_of(one, other, links=[link(kind)] if linked else None)
    found = facts_of(seen(tables, as_of or AS_OF), BUILDER, INVENTORY)
    for name in NEW:
        declared, column = SETTINGS.facts[name], found.columns[name]
        top = declared.max if declared.type == "int" else len(declared.values)
        assert column.max() <= top and column.min() >= (-1 if declared.type == "int" else 0), name
    if not linked:
        alone = facts_of(seen(tables_of(one), as_of or AS_OF), BUILDER, INVENTORY)
        for name in NEW:
            assert np.array_equal(alone.columns[name][0], found.columns[name][0]), name
            flat = alone.columns[name][0, 0]
            assert np.array_equal(np.ravel(alone.one[name]), np.ravel(flat)), name


@settings(deadline=None, max_examples=60)
@given(one=leads("L1"), erased=st.sampled_from(LAYOUTS["leads"].columns))
def test_erasing_a_column_only_makes_facts_unknown(one, erased):
    if erased.kind in ("identity", "dropped") or erased.name in ("lead", "recorded_at", "created_at", "obtained_at"):
        return  # what stands in for an instant, and who the lead is
    tables = tables_of(one)
    less = replace(tables, leads={name: column for name, column in tables.leads.items() if name != erased.name})
    before, after = (facts_of(known_at(t, AS_OF), BUILDER, INVENTORY) for t in (tables, less))
    for name in NEW - {"local_minute_from", "local_minute_to"}:
        unknown = -1 if SETTINGS.facts[name].type == "int" else 0
        same = after.columns[name] == before.columns[name]
        assert (same | (after.columns[name] == unknown)).all(), name
    # An hour is never narrowed by knowing less, unless a zone that did not fit the place is gone.
    low, high = (f"local_minute_{end}" for end in ("from", "to"))
    if value(after, low) is not None and erased.name != "time_zone":
        assert value(before, low) is not None
        fits = value(after, low) <= value(before, low) and value(after, high) >= value(before, high)
        assert fits or one.time_zone is not None


def test_what_a_segment_asks_of_the_new_facts_is_what_the_whole_builder_says():
    names = [name for name in sorted(NEW) if SETTINGS.facts[name].per == "lead"]
    asked = AskedFacts.of(SETTINGS, names)
    tables = tables_of(
        lead(region="TX", source="webinar", screened_at=ago(3), licence_status="active", role_address=False),
        lead("L2", country="DE", notice_at=ago(1)),
        consents=[consent("granted")],
        suppressions=[stop("STOP", "sms")],
        links=[link("possible")],
    )
    known = asked.view(tables, AS_OF)
    found, whole = asked.facts(known), facts_of(seen(tables), BUILDER, INVENTORY)
    for name in names:
        assert np.array_equal(found.columns[name], whole.columns[name]), name
