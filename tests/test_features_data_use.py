"""Lawful use: what has no basis is gone before any feature, is told with its rule, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from configs.data_use import data_use_problems, without_a_home
from configs.errors import ConfigInvalid
from configs.mapping import AttributeColumn
from configs.settings import load_settings
from features.catalog import Feature, declared_features
from features.encode import encode_records
from features.facts import FactBuilder, facts_of
from features.inventory import Inventory
from features.layout import LAYOUTS
from features.pipeline import features_of, fit_spec
from features.records import Account, Consent, Event, Lead, Link, Suppression
from features.tables import Known, Tables
from features.use.permitted import UseRules, kinds_of, permitted, purposes_of, rules_of, sources_of
from features.view import ViewRules, view_at
from models.segments.map import SegmentMap

SHIPPED = load_settings()
RULES = UseRules.of(SHIPPED)
# Every event counts in full: how likely a person made it is told elsewhere.
WEIGHED = ViewRules.of(SHIPPED)
VIEW = replace(WEIGHED, human=None)
SPEC, BUILDER = fit_spec(SHIPPED), FactBuilder.of(SHIPPED)
AS_OF = datetime(2026, 6, 30, tzinfo=UTC)


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def lead(lead_id: str = "L", **fields: Any) -> Lead:
    told = {"audience": "hcp", "country": "US", "source": "web_form", "recorded_at": ago(300), "verified_at": ago(100)}
    return Lead(lead_id=lead_id, **{**told, **fields})


def event(kind: str, days: float, lead_id: str = "L", **fields: Any) -> Event:
    at = ago(days)
    return Event(
        event_id=f"{kind}{days}{lead_id}", lead_id=lead_id, kind=kind, occurred_at=at, recorded_at=at, **fields
    )


def consent(status: str, purpose: str | None, days: float, lead_id: str = "L", **fields: Any) -> Consent:
    return Consent(
        lead_id=lead_id,
        captured_at=ago(days),
        status=status,
        purpose=purpose,
        **{"channel": "email", **fields},
    )


def tables(
    leads: list[Lead],
    events: list[Event] | None = None,
    consents: list[Consent] | None = None,
    suppressions: list[Suppression] | None = None,
    accounts: list[Account] | None = None,
    links: list[Link] | None = None,
) -> Tables:
    return encode_records(
        leads, accounts or [], events or [], [], consents or [], suppressions or [], [], [], None,
        vocabularies=SHIPPED.vocabularies, suppressions_complete_as_of=AS_OF, links=links or [],
    )  # fmt: skip


def known(*given: Any, **named: Any) -> Known:
    return view_at(tables(*given, **named), AS_OF, VIEW)


def value(found: Known, name: str, row: int = 0) -> float:
    return float(features_of(found, SPEC).matrix[row, SPEC.names.index(name)])


def opens(found: Known, row: int = 0) -> float:
    return value(found, "engagement_email_open_count_30d", row)


OPENED = [event("email_open", 3), event("page_view", 4)]


def told(found: Known, row: int = 0) -> list[tuple[str, int, str, str]]:
    if found.withheld is None:
        return []
    return [(one["what"], one["count"], one["rule"], one["reason"]) for one in found.withheld.of(row)]


# Mail tracking


@pytest.mark.parametrize("country", ["US", "AU"])
def test_where_people_opt_out_opens_count_until_a_withdrawal_stands(country: str) -> None:
    assert opens(known([lead(country=country)], OPENED)) == 1
    withdrawn = known([lead(country=country)], OPENED, [consent("withdrawn", "promotion", 1)])
    assert opens(withdrawn) == 0
    assert told(withdrawn) == [("mail_tracking", 1, "USE-03", "TRACKING_WITHOUT_BASIS")]
    assert value(withdrawn, "engagement_page_view_count_30d") == 1


@pytest.mark.parametrize("country", ["DE", "FR", "ES", "UK", "CA", "CH", "BR", "IN", None])
def test_elsewhere_and_where_the_place_is_unknown_opens_need_a_consent(country: str | None) -> None:
    someone = [lead(country=country)]
    assert opens(known(someone, OPENED)) == 0
    for status in ("granted", "implied"):
        for purpose in ("promotion", "medical_education"):
            assert opens(known(someone, OPENED, [consent(status, purpose, 20)])) == 1
    for status, purpose in (("none", "promotion"), ("granted", "service"), ("granted", "profiling")):
        assert opens(known(someone, OPENED, [consent(status, purpose, 20)])) == 0
    assert opens(known(someone, OPENED, [consent("granted", "promotion", 20, channel="sms")])) == 0
    assert opens(known(someone, OPENED, [consent("granted", "promotion", 20, expires_at=ago(1))])) == 0
    assert opens(known(someone, OPENED, [consent("granted", "promotion", 20, product="implant")])) == 0


def test_a_country_that_nobody_vouched_for_lately_is_unknown_and_unknown_is_strict() -> None:
    stale = lead(country="US", recorded_at=ago(900), verified_at=ago(401))
    assert opens(known([stale], OPENED)) == 0
    assert opens(known([lead(country="US", recorded_at=ago(900), verified_at=ago(400))], OPENED)) == 1


def test_a_withdrawal_stands_until_a_later_fresh_grant_undoes_it() -> None:
    no = consent("withdrawn", "promotion", 10)
    assert opens(known([lead(country="DE")], OPENED, [no, consent("granted", "promotion", 20)])) == 0
    assert opens(known([lead(country="DE")], OPENED, [no, consent("granted", "promotion", 5)])) == 1
    assert opens(known([lead()], OPENED, [no, consent("granted", "promotion", 5, expires_at=ago(1))])) == 0
    # The other purpose's consent does not outweigh a withdrawal: which of our mails was opened is not on record.
    assert opens(known([lead(country="DE")], OPENED, [no, consent("granted", "medical_education", 5)])) == 0


def test_a_status_that_cannot_be_read_may_be_a_withdrawal() -> None:
    assert opens(known([lead()], OPENED, [consent("??", "promotion", 5)])) == 0


def test_an_opt_out_from_email_ends_tracking_and_one_from_calls_does_not() -> None:
    def stop(channel: str | None) -> list[Suppression]:
        return [Suppression(lead_id="L", since_at=ago(2), reason="opt_out", channel=channel)]

    assert opens(known([lead()], OPENED, [], stop("email"))) == 0
    assert opens(known([lead()], OPENED, [], stop(None))) == 0
    assert opens(known([lead()], OPENED, [], stop("phone"))) == 1


# Everything a person did


def test_an_objection_to_profiling_takes_every_event_away_wherever_it_is_recorded() -> None:
    events = [*OPENED, event("demo_request", 2)]
    site = [Account(account_id="S", parent_account_id="P"), Account(account_id="P")]
    of_lead = Suppression(lead_id="L", since_at=ago(2), reason="profiling_objection")
    for stops, consents in (
        ([of_lead], []),
        ([Suppression(account_id="P", since_at=ago(2), reason="profiling_objection")], []),
        ([], [consent("withdrawn", "profiling", 2)]),
    ):
        found = known([lead(account_id="S")], events, consents, stops, accounts=site)
        assert value(found, "engagement_event_count_30d") == 0
        assert found.newest_event_at[0] < 0
        assert [entry[2:] for entry in told(found)] == [("USE-01", "PROFILING_OBJECTION")] * 3
    over = Suppression(lead_id="L", since_at=ago(9), until_at=ago(2), reason="profiling_objection")
    assert value(known([lead()], events, [], [over]), "engagement_event_count_30d") == 3


def test_what_an_erased_person_did_counts_for_no_colleague_either() -> None:
    pair = [lead("L", account_id="S"), lead("M", account_id="S")]
    site = [Account(account_id="S")]
    stop = [Suppression(lead_id="M", since_at=ago(2), reason="erasure")]
    name = "account_colleague_event_count_90d"
    with_it = tables(pair, [event("download", 3, "M")], accounts=site)
    assert value(view_at(replace(with_it, colleagues=None), AS_OF, VIEW), name) == 1
    without = tables(pair, [event("download", 3, "M")], [], stop, accounts=site)
    found = view_at(replace(without, colleagues=None), AS_OF, VIEW)
    assert value(found, name) == 0
    assert told(found, 1) == [("web_behavior", 1, "USE-02", "ERASED_OR_RESTRICTED")]


# Sources


def test_an_event_counts_from_permitted_sources_only() -> None:
    for source, counted in (
        ("web_analytics", 1), ("Google Analytics", 1), (None, 1), ("list_rental", 0), ("iqvia", 0), ("acme crawler", 0),
    ):  # fmt: skip
        found = known([lead()], [event("page_view", 3, source=source)])
        assert value(found, "engagement_page_view_count_30d") == counted
        expected = [] if counted else [("web_behavior", 1, "USE-04", "SOURCE_NOT_PERMITTED")]
        assert told(found) == expected


# Health data


def patient(**fields: Any) -> Lead:
    return lead(**{"audience": "patient", "adult": True, "condition_focus": "diabetes", **fields})


HEALTH = consent("granted", "health_data", 20, proof="form-1")


def focus(found: Known) -> str | None:
    return SHIPPED.vocabularies["condition_focus"].value(int(found.leads["condition_focus"][0]))


@pytest.mark.parametrize("country", ["US", "DE", None])
def test_a_patients_condition_is_unknown_without_explicit_proven_consent(country: str | None) -> None:
    hidden = known([patient(country=country)])
    assert focus(hidden) is None and np.isnan(value(hidden, "fit_condition_focus"))
    assert told(hidden) == [("condition_focus", 1, "FEA-01", "SENSITIVE_HEALTH_FEATURE")]
    used = known([patient(country=country)], [], [HEALTH])
    assert focus(used) == "diabetes" and told(used) == []
    for short in (
        consent("granted", "health_data", 20),  # no evidence
        consent("implied", "health_data", 20, proof="form-1"),
        consent("granted", "promotion", 20, proof="form-1"),
        consent("granted", "health_data", 20, proof="form-1", expires_at=ago(1)),
    ):
        assert focus(known([patient(country=country)], [], [short])) is None
    assert focus(known([patient(country=country)], [], [HEALTH, consent("withdrawn", "health_data", 5)])) is None


def test_a_consent_to_the_use_of_health_data_needs_no_channel() -> None:
    assert focus(known([patient()], [], [consent("granted", "health_data", 20, proof="f", channel=None)])) == "diabetes"


@pytest.mark.parametrize(("audience", "shown"), [("hcp", True), ("buyer", True), ("caregiver", False), (None, False)])
def test_what_a_professional_treats_is_not_their_health_and_who_is_unknown_is_no_professional(
    audience: str | None, shown: bool
) -> None:
    assert (focus(known([patient(audience=audience)])) == "diabetes") is shown


def test_health_data_of_a_patient_from_a_rented_list_is_not_used_even_with_consent() -> None:
    rented = known([patient(source="list_rental")], [], [HEALTH])
    assert focus(rented) is None
    assert told(rented) == [("condition_focus", 1, "USE-04", "SOURCE_NOT_PERMITTED")]
    assert focus(known([patient(source="list_rental", audience="hcp")])) == "diabetes"


def test_reading_about_a_condition_is_health_data_of_a_patient_and_work_of_a_professional() -> None:
    read = [event("page_view", 3, topic="condition_education"), event("page_view", 4, topic="pricing")]
    hidden = known([patient()], read)
    assert value(hidden, "engagement_topic_condition_education_count_90d") == 0
    assert value(hidden, "engagement_page_view_count_30d") == 1
    assert ("health_behavior", 1, "FEA-01", "SENSITIVE_HEALTH_FEATURE") in told(hidden)
    for found in (known([patient()], read, [HEALTH]), known([lead()], read)):
        assert value(found, "engagement_topic_condition_education_count_90d") == 1


def test_only_the_values_that_tell_of_health_are_hidden() -> None:
    for product, shown in (("oncology_rx", False), ("specialty_care", True)):
        found = known([patient(product_interest=product)])
        assert bool(found.leads["product_interest"][0]) is shown


def test_a_consented_condition_segment_is_entered_with_consent_and_not_without() -> None:
    own = SHIPPED.segments[-1].model_copy(
        update={
            "id": "diabetes_patients",
            "enter": "audience = 'patient' AND condition_focus = 'diabetes'",
            "exit": "condition_focus <> 'diabetes'",
            "priority": 1,
            "residual": False,
            "audience": ("patient",),
        }
    )
    settings = SHIPPED.model_copy(update={"segments": (own, *SHIPPED.segments)})
    segments = SegmentMap.load(settings)
    place = segments.segment_ids.index("diabetes_patients")

    def entered(consents: list[Consent]) -> bool:
        found = known([patient()], [], consents)
        facts = facts_of(found, BUILDER, Inventory.of((), SHIPPED.vocabularies))
        return bool(segments.members(facts, as_of=AS_OF).member[0, place])

    assert entered([HEALTH])
    assert not entered([])
    assert not entered([HEALTH, consent("withdrawn", "health_data", 1)])


# Custom columns


def with_columns(declared: dict[str, str], consents: list[Consent], **fields: Any) -> Known:
    given = tables([lead(**fields)], [], consents)
    columns: dict[str, Any] = {"Visits": np.array([3.0]), "Notes": np.array(["x"], dtype=object)}
    return view_at(replace(given, attributes=columns, declared=declared), AS_OF, VIEW)


def test_a_declared_health_column_follows_the_rule_of_health_data() -> None:
    declared = {"Visits": "health", "Notes": "health"}
    hidden = with_columns(declared, [], audience="patient")
    assert np.isnan(hidden.attributes["Visits"][0]) and hidden.attributes["Notes"][0] is None
    assert told(hidden) == [(name, 1, "FEA-01", "SENSITIVE_HEALTH_FEATURE") for name in ("Notes", "Visits")]
    for used in (with_columns(declared, [HEALTH], audience="patient"), with_columns({}, [], audience="patient")):
        assert used.attributes["Visits"][0] == 3 and used.attributes["Notes"][0] == "x" and used.withheld is None


def test_restricted_prescriber_data_is_not_used_and_says_nothing_about_contact() -> None:
    assert with_columns({"Visits": "prescriber"}, []).attributes["Visits"][0] == 3
    restricted = with_columns({"Visits": "prescriber"}, [consent("withdrawn", "prescriber_data", 9, channel=None)])
    assert np.isnan(restricted.attributes["Visits"][0])
    assert told(restricted) == [("Visits", 1, "FEA-03", "PRESCRIBER_DATA_RESTRICTED")]
    facts = facts_of(restricted, BUILDER, Inventory.of((), SHIPPED.vocabularies))
    assert (facts.columns["consent_withdrawn"] == 1).all()


def test_a_protected_column_is_never_there() -> None:
    hidden = with_columns({"Visits": "protected"}, [HEALTH])
    assert told(hidden) == [("Visits", 1, "FEA-02", "PROTECTED_TRAIT_FEATURE")]


def test_a_mapping_says_what_a_column_is() -> None:
    made = AttributeColumn(column="c", type="number", known_at="before_outcome", health=True)
    assert made.declared == "health"
    assert AttributeColumn(column="c", type="number", known_at="before_outcome").declared == ""


# Laws


def test_nothing_to_take_away_gives_the_same_tables_back() -> None:
    given = tables([lead()], [event("page_view", 3), event("email_click", 4)], [HEALTH])
    assert permitted(given, AS_OF, RULES) is given


KINDS = ("email_open", "email_click", "page_view", "download", "form_submit", "ticket", "??")
made_events = st.lists(
    st.builds(
        lambda kind, days, who, late, topic, source: replace_recorded(
            event(kind, days, who, topic=topic, source=source), late
        ),
        st.sampled_from(KINDS),
        st.integers(0, 60),
        st.sampled_from(["A", "B", "C"]),
        st.integers(0, 3),
        st.sampled_from([None, "pricing", "condition_education", "dosing"]),
        st.sampled_from([None, "automation", "list_rental", "nobody"]),
    ),
    max_size=12,
    unique_by=lambda one: one.event_id,
)
made_consents = st.lists(
    st.builds(
        lambda status, purpose, days, who, channel, proof, expires: consent(
            status,
            purpose,
            days,
            who,
            channel=channel,
            proof=proof,
            expires_at=None if expires is None else ago(expires),
        ),
        st.sampled_from(["granted", "implied", "withdrawn", "none", "??"]),
        st.sampled_from(["promotion", "medical_education", "profiling", "health_data", None]),
        st.integers(-1, 40),
        st.sampled_from(["A", "B", "C"]),
        st.sampled_from(["email", "sms", None]),
        st.sampled_from([None, "form"]),
        st.sampled_from([None, -5, 5]),
    ),
    max_size=8,
)
made_leads = st.builds(
    lambda *rows: [
        lead(name, country=country, audience=audience, condition_focus="diabetes", source=source)
        for name, (country, audience, source) in zip("ABC", rows, strict=True)
    ],
    *[
        st.tuples(
            st.sampled_from(["US", "DE", "CA", None]),
            st.sampled_from(["hcp", "patient", None]),
            st.sampled_from([None, "web_form", "list_rental"]),
        )
    ]
    * 3,
)


def replace_recorded(one: Event, late: int) -> Event:
    import msgspec

    return msgspec.structs.replace(one, recorded_at=one.occurred_at + timedelta(days=late))


def everything(given: Tables) -> tuple[Any, ...]:
    found = view_at(given, AS_OF, WEIGHED)
    matrix = features_of(found, SPEC).matrix
    codes = {name: column.tolist() for name, column in found.leads.items() if column.dtype == np.uint8}
    said = [told(found, row) for row in range(len(found.lead_ids))]
    return matrix.tobytes(), codes, said, found.newest_event_at.tolist()


@examples(deadline=None, max_examples=60)
@given(made_leads, made_events, made_consents, st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters_and_neither_do_copies(
    leads: list[Lead], events: list[Event], consents: list[Consent], random: Any
) -> None:
    first = everything(tables(leads, events, consents))
    shuffled, doubled = list(events), consents + consents
    random.shuffle(shuffled)
    random.shuffle(doubled)
    assert everything(tables(leads, shuffled, doubled)) == first


@examples(deadline=None, max_examples=60)
@given(made_leads, made_events, made_consents)
def test_one_lead_at_a_time_is_told_what_all_together_are(
    leads: list[Lead], events: list[Event], consents: list[Consent]
) -> None:
    matrix, _, said, _ = everything(tables(leads, events, consents))
    rows = np.frombuffer(matrix).reshape(len(leads), -1)
    for row, one in enumerate(leads):
        did = [event for event in events if event.lead_id == one.lead_id]
        said_yes = [consent for consent in consents if consent.lead_id == one.lead_id]
        alone = everything(tables([one], did, said_yes))
        assert alone[0] == rows[row].tobytes()
        assert alone[2][0] == said[row]


@examples(deadline=None, max_examples=60)
@given(made_leads, made_events, made_consents)
def test_what_remains_is_what_a_world_without_the_withheld_events_gives(
    leads: list[Lead], events: list[Event], consents: list[Consent]
) -> None:
    given = tables(leads, events, consents)
    kept = permitted(given, AS_OF, RULES).events.get("lead", np.empty(0))
    remaining = [one for one, who in zip(events, kept.tolist(), strict=True) if who >= 0]
    matrix, codes, _, newest = everything(given)
    again = everything(tables(leads, remaining, consents))
    assert (again[0], again[1], again[3]) == (matrix, codes, newest)


@examples(deadline=None, max_examples=40)
@given(made_leads, made_events, made_consents, st.integers(0, 30))
def test_a_withdrawal_gives_the_features_of_a_world_in_which_the_mail_was_never_opened(
    leads: list[Lead], events: list[Event], consents: list[Consent], days: int
) -> None:
    no = [consent("withdrawn", "promotion", 0, name) for name in "ABC"]
    never = [one for one in events if one.kind not in ("email_open", "email_click", "??")]
    with_no = everything(tables(leads, events, [*consents, *no]))
    without = everything(tables(leads, never, [*consents, *no]))
    assert (with_no[0], with_no[1], with_no[3]) == (without[0], without[1], without[3])


@examples(deadline=None, max_examples=40)
@given(made_leads, made_events, made_consents)
def test_a_withdrawal_never_lets_more_through(leads: list[Lead], events: list[Event], consents: list[Consent]) -> None:
    def kept(given: list[Consent]) -> set[int]:
        found = permitted(tables(leads, events, given), AS_OF, RULES).events.get("lead", np.empty(0))
        return set(np.flatnonzero(found >= 0).tolist())

    for purpose in ("promotion", "profiling", "health_data"):
        assert kept([*consents, consent("withdrawn", purpose, 0, "A")]) <= kept(consents)


def test_rows_after_the_instant_of_processing_change_nothing() -> None:
    later = [consent("granted", "promotion", -2), consent("withdrawn", "promotion", -3)]
    someone, early = [lead(country="DE")], [consent("granted", "promotion", 5)]
    assert everything(tables(someone, OPENED, [*early, *later])) == everything(tables(someone, OPENED, early))
    hidden = known([lead(country="DE")], [event("email_open", -2), event("email_open", 2)])
    assert told(hidden) == [("mail_tracking", 1, "USE-03", "TRACKING_WITHOUT_BASIS")]


def test_the_latest_version_of_a_lead_decides_and_each_keeps_its_own_row() -> None:
    versions = [patient(recorded_at=ago(50)), patient(recorded_at=ago(10), audience="hcp"), lead("M", audience="buyer")]
    found = known(versions)
    assert focus(found) == "diabetes" and found.present.tolist() == [True, True]
    back = known([patient(recorded_at=ago(10)), patient(recorded_at=ago(50), audience="hcp"), lead("M")])
    assert focus(back) is None and back.present.tolist() == [True, True]
    assert view_at(tables(versions), ago(30), VIEW).leads["condition_focus"].tolist() == [0, 0]


def test_merged_records_are_used_as_far_as_the_strictest_of_them_allows() -> None:
    pair = [lead("L", country="DE"), lead("M", country="DE")]
    link = [Link(lead_id="L", other_lead_id="M", linked_at=ago(50), kind="same", evidence="person")]
    yes, no = consent("granted", "promotion", 5, "M"), consent("withdrawn", "promotion", 10, "L")
    apart = known(pair, OPENED, [yes, no])
    assert opens(apart) == 0
    merged = known(pair, OPENED, [yes], links=link)
    row = 0 if merged.merged is None else int(merged.merged.survivor[0])
    assert opens(merged, row) == 1
    # A grant on one record is later than the withdrawal on the other and still does not undo it.
    strict = known(pair, OPENED, [yes, no], links=link)
    assert opens(strict, row) == 0


@examples(deadline=None, max_examples=40)
@given(made_leads, made_events, made_consents)
def test_entries_in_columns_say_what_each_lead_is_told(
    leads: list[Lead], events: list[Event], consents: list[Consent]
) -> None:
    withheld = view_at(tables(leads, events, consents), AS_OF, VIEW).withheld
    if withheld is None:
        return
    found, at = withheld.entries(3), 0
    for row, size in enumerate(found.sizes.tolist()):
        entries = range(at, at + size)
        at += size
        assert [
            {
                "what": found.names[found.what[entry]],
                "count": found.count[entry],
                "rule": withheld.rules[found.rule[entry]][0],
                "reason": withheld.rules[found.rule[entry]][1],
            }
            for entry in entries
        ] == withheld.of(row)
    assert at == len(found.count)


# The record of data use


def test_every_kind_of_event_and_every_field_has_a_home() -> None:
    fields = {table: [column.name for column in LAYOUTS[table].encoded] for table in ("leads", "accounts")}
    assert list(without_a_home(SHIPPED.data_use, SHIPPED.vocabularies["event_kind"].values, fields)) == []


def test_every_declared_feature_and_attribute_has_purposes_and_sources() -> None:
    features = list(declared_features(SHIPPED.features, SHIPPED.vocabularies))
    features += [
        Feature("fit_x", "fit", "x", 0, False, "attribute", "x", declared) for declared in ("", "health", "prescriber")
    ]
    for feature in features:
        assert purposes_of(feature, SHIPPED.data_use), feature.name
        assert sources_of(feature, SHIPPED.data_use), feature.name
    named = {feature.name: feature for feature in features}
    opened = rules_of(named["engagement_email_open_count_30d"], SHIPPED.data_use)
    assert opened == ("USE-01", "USE-02", "USE-03", "US-06-F")
    assert rules_of(named["fit_condition_focus"], SHIPPED.data_use) == ("FEA-01", "US-06-F")
    assert purposes_of(named["engagement_email_open_count_30d"], SHIPPED.data_use) == (
        "promotion", "medical_education", "profiling",
    )  # fmt: skip
    assert "list_rental" not in sources_of(named["fit_condition_focus"], SHIPPED.data_use)


def test_an_event_of_a_kind_that_nobody_declared_is_used_for_nothing() -> None:
    use = SHIPPED.data_use
    kinds = tuple(
        kind.model_copy(update={"events": tuple(event for event in kind.events if event != "page_view")})
        for kind in use.kinds
    )
    rules = UseRules.of(SHIPPED.model_copy(update={"data_use": use.model_copy(update={"kinds": kinds})}))
    found = permitted(tables([lead()], [event("page_view", 3)]), AS_OF, rules)
    assert found.events["lead"].tolist() == [-1]
    assert found.withheld is not None and found.withheld.of(0) == [
        {"what": "undeclared_event", "count": 1, "rule": "USE-05", "reason": "PURPOSE_NOT_DECLARED"}
    ]


def test_the_record_names_what_does_not_exist() -> None:
    use = SHIPPED.data_use
    rule = use.rules[2].model_copy(update={"channel": "pigeon", "purposes": ("promotion", "fun")})
    kind = use.kinds[0].model_copy(update={"rules": ("USE-99",), "event_sources": ("moon",)})
    wrong = use.model_copy(update={"rules": (*use.rules[:2], rule, *use.rules[3:]), "kinds": (kind, *use.kinds[1:])})
    said = " ".join(str(problem) for problem in data_use_problems(wrong, SHIPPED.vocabularies))
    for word in ("pigeon", "fun", "USE-99", "moon"):
        assert word in said
    assert not issubclass(ConfigInvalid, KeyError)


def test_totals_say_how_many_leads_and_how_many_events() -> None:
    both = [lead("L", country="DE"), lead("M", country="DE")]
    found = known(both, [event("email_open", 3), event("email_open", 4), event("email_click", 3, "M")])
    assert found.withheld is not None
    assert found.withheld.totals() == [
        {"what": "mail_tracking", "count": 3, "rule": "USE-03", "reason": "TRACKING_WITHOUT_BASIS", "leads": 2}
    ]


def test_a_topic_that_shares_a_word_with_an_event_kind_is_not_made_of_that_kind():
    settings = load_settings()
    named = {feature.field: feature for feature in declared_features(settings.features, settings.vocabularies)}
    of_topic = {kind.id for kind in kinds_of(settings.data_use, named["topic_referral_pathway_count_90d"])}
    assert "care_need" in of_topic and "mail_tracking" in of_topic  # of every kind that may be learned from
    assert {kind.id for kind in kinds_of(settings.data_use, named["days_since_last_ticket"])} == {"service_contact"}
