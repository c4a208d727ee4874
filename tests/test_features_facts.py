"""The fact builder: total, conservative, and complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.dictionary import AFTER_READINESS
from configs.settings import load_settings
from features.encode import encode_records
from features.facts import APPROVED, FactBuilder, facts_of, with_memberships
from features.inventory import Inventory
from features.layout import LAYOUTS
from features.records import Account, Case, Consent, Event, Lead, Suppression, Touch
from features.tables import Tables, known_at
from features.warm import one_row_of_each

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SETTINGS = load_settings()
VOCABULARIES = SETTINGS.vocabularies
BUILDER = FactBuilder.of(SETTINGS)
INVENTORY = Inventory.of(SETTINGS.assets, VOCABULARIES)
ASSETS = INVENTORY.ids[:-1]
CHANNELS = VOCABULARIES["channel"].values


def ago(days=0.0):
    return AS_OF - timedelta(days=days)


def built(lead=None, as_of=AS_OF, fresh_hours=0.0, inventory=INVENTORY, **tables):
    encoded = encode_records(
        [lead or Lead(lead_id="L1")],
        **tables,
        vocabularies=VOCABULARIES,
        asset_ids=ASSETS,
        suppressions_complete_as_of=None if fresh_hours is None else AS_OF - timedelta(hours=fresh_hours),
    )
    return facts_of(known_at(encoded, as_of), BUILDER, inventory)


def value(facts, name, channel=None, asset=None):
    column = facts.columns[name]
    place = (0, 0 if asset is None else INVENTORY.place[asset], 0 if channel is None else CHANNELS.index(channel))
    code = int(column[tuple(min(i, size - 1) for i, size in zip(place, column.shape, strict=True))])
    declared = SETTINGS.facts[name]
    if declared.type == "int":
        return None if code < 0 else code
    return declared.values[code - 1] if code else None


def consent(status, days=1.0, **fields):
    fields = {"channel": "email", "purpose": "promotion"} | fields
    return Consent(lead_id="L1", captured_at=ago(days), status=status, **fields)


def test_every_declared_fact_is_built():
    # Told once readiness is known, once memberships are, and of a kind of data instead of a lead.
    of_data = [name for name in SETTINGS.facts if name.startswith("data_")]
    assert sorted(BUILDER.unbuilt) == sorted((*AFTER_READINESS, APPROVED, *of_data))
    facts = built()
    assert set(SETTINGS.facts) <= set(facts.columns)
    shape = (1, len(INVENTORY.ids), len(CHANNELS))
    for name, declared in SETTINGS.facts.items():
        column = facts.columns[name]
        assert np.broadcast_shapes(column.shape, shape) == shape
        assert column.dtype == (np.int32 if declared.type == "int" else np.uint8), name


def test_with_nothing_supplied_every_fact_about_the_lead_is_unknown():
    facts = built(fresh_hours=None)
    for name, declared in SETTINGS.facts.items():
        if declared.per not in ("asset", "asset_channel"):
            unknown = -1 if declared.type == "int" else 0
            # An asset without an indication fits everybody; nobody doubts without links, and no pause is declared.
            expected_known = name in ("asset_indication_match", "identity_conflict", "channel_paused")
            assert expected_known or (facts.columns[name] == unknown).all(), name


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_latest_consent_wins_whatever_the_order(order):
    rows = [consent("granted", 30), consent("withdrawn", 20), consent("granted", 10, proof="form 7")]
    facts = built(consents=[rows[i] for i in order])
    assert value(facts, "consent", "email") == "granted"
    assert value(facts, "consent_days", "email") == 10
    assert value(facts, "consent_proven", "email") == "yes"
    assert value(facts, "consent", "sms") is None


@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["granted", "implied", "none", "withdrawn", "garbage"]), st.integers(1, 3)),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 99),
)
def test_at_one_instant_the_most_restrictive_consent_wins(rows, seed):
    rows = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    facts = built(consents=[consent(status, days) for status, days in rows])
    newest = min(days for _, days in rows)
    at_that_instant = {status for status, days in rows if days == newest}
    expected = next(s for s in ("withdrawn", "garbage", "none", "implied", "granted") if s in at_that_instant)
    assert value(facts, "consent", "email") == (None if expected == "garbage" else expected)


def test_a_withdrawal_of_unreadable_channel_counts_for_every_channel_and_a_grant_for_none():
    facts = built(consents=[consent("granted", 5), consent("withdrawn", 2, channel="fax", purpose=None)])
    assert [value(facts, "consent", channel) for channel in CHANNELS] == ["withdrawn"] * len(CHANNELS)
    facts = built(consents=[consent("granted", 2, channel="fax")])
    assert [value(facts, "consent", channel) for channel in CHANNELS] == [None] * len(CHANNELS)


def test_consent_runs_out_at_its_instant_and_a_later_row_is_not_known_yet():
    rows = [consent("granted", 9, expires_at=AS_OF)]
    assert value(built(consents=rows), "consent_expired", "email") == "yes"
    assert value(built(consents=rows, as_of=ago(1 / 24)), "consent_expired", "email") == "no"
    later = [*rows, consent("withdrawn", -1)]
    assert value(built(consents=later), "consent", "email") == "granted"


def test_service_consent_is_no_consent_to_promotion():
    facts = built(consents=[consent("granted", purpose="service")])
    assert value(facts, "service_consent", "email") == "granted"
    assert value(facts, "consent", "email") is None


def test_no_opt_out_is_only_known_from_a_fresh_feed():
    assert value(built(suppressions=[], fresh_hours=24), "opt_out", "email") == "no"
    assert value(built(suppressions=[], fresh_hours=24.01), "opt_out", "email") is None
    assert value(built(suppressions=[], fresh_hours=None), "opt_out", "email") is None
    assert value(built(fresh_hours=1), "opt_out", "email") is None


def stop(**fields):
    return Suppression(since_at=ago(3), **({"lead_id": "L1", "reason": "opt_out"} | fields))


def test_a_stop_on_record_stops_even_when_the_feed_is_stale():
    facts = built(suppressions=[stop(channel="email")], fresh_hours=100)
    assert value(facts, "opt_out", "email") == "yes"
    assert value(facts, "opt_out", "sms") is None
    facts = built(suppressions=[stop()])
    assert [value(facts, "opt_out", channel) for channel in CHANNELS] == ["yes"] * len(CHANNELS)


def test_a_stop_ends_and_one_without_a_readable_reason_is_an_opt_out():
    assert value(built(suppressions=[stop(until_at=AS_OF)]), "opt_out", "email") == "no"
    assert value(built(suppressions=[stop(until_at=ago(-1))]), "opt_out", "email") == "yes"
    assert value(built(suppressions=[stop(reason="because")]), "opt_out", "email") == "yes"


def test_a_stop_of_the_parent_account_holds_for_the_leads_of_its_sites():
    lead = Lead(lead_id="L1", account_id="site")
    accounts = [Account(account_id="site", parent_account_id="system"), Account(account_id="system")]
    for account in ("site", "system"):
        row = stop(lead_id=None, account_id=account, reason="no_contact", channel="rep_visit")
        facts = built(lead, accounts=accounts, suppressions=[row])
        assert value(facts, "no_contact", "rep_visit") == "yes"
        assert value(facts, "no_contact", "email") == "no"


def test_stops_of_a_lead_by_reason():
    reasons = {
        "erasure": "erased_or_restricted",
        "restriction": "erased_or_restricted",
        "profiling_objection": "profiling_objection",
        "reduced_communication": "reduced_communication",
        "legal_hold": "open_case",
    }
    for reason, fact in reasons.items():
        facts = built(suppressions=[stop(reason=reason)], cases=[])
        assert value(facts, fact) == "yes"
        assert value(facts, "opt_out", "email") == "no"
        assert value(built(suppressions=[], cases=[]), fact) == "no"


def test_an_opt_out_from_email_and_a_territory_are_told_of_the_lead():
    facts = built(Lead(lead_id="L1", territory="north"), suppressions=[stop(channel="email")])
    assert (value(facts, "email_opt_out"), value(facts, "territory_assigned")) == ("yes", "yes")
    assert facts.one is not None
    assert (facts.one["email_opt_out"], facts.one["territory_assigned"]) == (2, 2)
    facts = built(suppressions=[stop(channel="sms")])
    assert (value(facts, "email_opt_out"), value(facts, "territory_assigned")) == ("no", None)


def test_only_promotional_touches_count_and_an_unreadable_intent_is_promotional():
    touches = [
        Touch(touch_id="1", lead_id="L1", sent_at=ago(7), channel="email", intent="promotional", asset_id=ASSETS[0]),
        Touch(touch_id="2", lead_id="L1", sent_at=ago(8), channel="email", intent="promotional"),
        Touch(touch_id="3", lead_id="L1", sent_at=ago(1), channel="sms", intent="???"),
        Touch(touch_id="4", lead_id="L1", sent_at=ago(1), channel="email", intent="service", asset_id=ASSETS[1]),
        Touch(touch_id="5", lead_id="L1", sent_at=ago(91), channel="email", intent="promotional", asset_id=ASSETS[2]),
    ]
    facts = built(touches=touches)
    assert (value(facts, "touches_7d"), value(facts, "touches_30d")) == (2, 3)
    assert [value(facts, "channel_touches_7d", c) for c in ("email", "sms", "phone")] == [1, 1, 0]
    assert [value(facts, "asset_repeated", asset=a) for a in ASSETS[:3]] == ["yes", "yes", "no"]
    assert value(built(touches=[]), "touches_7d") == 0
    assert value(built(), "touches_7d") is None


def case(kind, opened=5.0, closed=None, **fields):
    return Case(case_id=kind, lead_id="L1", kind=kind, opened_at=ago(opened), closed_at=closed, **fields)


def test_cases_are_open_until_they_close_and_closing_later_is_open():
    assert value(built(cases=[case("meeting")]), "meeting_booked") == "yes"
    assert value(built(cases=[case("meeting", closed=AS_OF)]), "meeting_booked") == "no"
    assert value(built(cases=[case("meeting", closed=AS_OF)], as_of=ago(1)), "meeting_booked") == "yes"
    assert value(built(cases=[case("meeting", closed=ago(3))]), "days_since_meeting") == 3
    assert value(built(cases=[]), "days_since_meeting") == 36_500
    assert value(built(), "days_since_meeting") is None
    assert value(built(cases=[case("riddle")]), "off_label_open") is None


def test_an_off_label_question_concerns_its_product_and_any_when_it_names_none():
    asset = next(a for a in SETTINGS.assets if a.product)
    other = next(a for a in SETTINGS.assets if a.product and a.product != asset.product)
    facts = built(cases=[case("off_label", product=asset.product)])
    assert value(facts, "off_label_same_product", asset=asset.asset_id) == "yes"
    assert value(facts, "off_label_same_product", asset=other.asset_id) == "no"
    facts = built(cases=[case("off_label")])
    assert value(facts, "off_label_same_product", asset=asset.asset_id) is None
    assert value(built(cases=[]), "off_label_same_product", asset=asset.asset_id) == "no"


def test_an_asset_is_approved_from_its_day_until_the_day_it_expires():
    asset = next(a for a in SETTINGS.assets if a.approval is not None and not a.withdrawn)
    inventory = Inventory.of([asset, asset.model_copy(update={"withdrawn": True, "asset_id": "gone"})], VOCABULARIES)
    status = VOCABULARIES["asset_status"]
    epoch = datetime(1970, 1, 1, tzinfo=UTC).date()
    first, last = ((day - epoch).days for day in (asset.approval.on, asset.approval.expires_on))
    seen = [status.value(int(inventory.facts_on(day)[0, 0])) for day in (first - 1, first, last - 1, last)]
    assert seen == ["draft", "approved", "approved", "expired"]
    assert status.value(int(inventory.facts_on(first)[0, 1])) == "withdrawn"
    assert status.value(int(inventory.facts_on(first)[0, 2])) == "not_needed"


def test_asset_matches_are_yes_no_or_unknown():
    asset = next(a for a in SETTINGS.assets if a.indication == "cancer")
    plain = Lead(lead_id="L1")
    fits = Lead(lead_id="L1", audience=asset.audiences[0], country="US", specialty="oncology", recorded_at=ago(1))
    misfits = Lead(lead_id="L1", audience="other", country="US", specialty="cardiology")
    for lead, expected in ((plain, None), (fits, "yes"), (misfits, "no")):
        facts = built(lead)
        assert value(facts, "asset_audience_match", asset=asset.asset_id) == expected
        assert value(facts, "asset_indication_match", asset=asset.asset_id) == expected
    market = "yes" if "US" in asset.markets else "no"
    assert value(built(fits), "asset_market_match", asset=asset.asset_id) == market


def test_segment_match_is_unknown_until_memberships_are_told():
    asset = SETTINGS.assets[0].model_copy(update={"segment_ids": ("a", "b")})
    inventory = Inventory.of([asset, SETTINGS.assets[1].model_copy(update={"segment_ids": ()})], VOCABULARIES)
    facts = built(inventory=inventory)
    assert not facts.columns["asset_segment_match"].any()
    member = np.array([[False, True, False]])
    told = with_memberships(facts, inventory, member, ("x", "b", "y")).columns["asset_segment_match"]
    assert told[0, :, 0].tolist() == [2, 2, 0]  # in b; approved for any; no asset
    told = with_memberships(facts, inventory, ~member, ("x", "b", "y")).columns["asset_segment_match"]
    assert told[0, :, 0].tolist() == [1, 2, 0]


def test_law_is_unknown_when_the_record_is_older_than_the_fact_may_be():
    limit = SETTINGS.facts["jurisdiction"].max_age_days
    for days, expected in ((limit, "US"), (limit + 1, None)):
        lead = Lead(lead_id="L1", country="US", recorded_at=ago(days + 0.4))
        assert value(built(lead), "jurisdiction") == expected
    assert value(built(Lead(lead_id="L1", country="Atlantis", recorded_at=ago(1))), "jurisdiction") is None


def test_engagement_facts_are_the_measures_and_never_is_longer_ago_than_anything():
    events = [
        Event(
            event_id=str(d), lead_id="L1", occurred_at=ago(d), recorded_at=ago(d), kind="demo_request", topic="pricing"
        )
        for d in (4, 40)
    ]
    facts = built(events=events)
    assert value(facts, "demo_request_count_30d") == 1
    assert value(facts, "topic_pricing_count_90d") == 2
    assert value(facts, "days_since_last_event") == 4
    assert value(built(events=[]), "days_since_last_event") == 36_500
    assert value(built(), "days_since_last_event") is None


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(0, 5))
def test_facts_are_total_on_garbage(seed, size):
    rng = np.random.default_rng(seed)
    world = one_row_of_each(ASSETS)

    def garbage(table, rows):
        made = {}
        for name, column in getattr(world, table).items():
            if column.dtype == np.uint8:
                made[name] = rng.integers(0, 256, rows).astype(np.uint8)
            elif column.dtype == np.int64:
                edges = np.array([-(2**63), 2**63 - 1, 0, -1, 1_780_000_000_000_000])
                made[name] = rng.choice(edges, rows)
            elif column.dtype == np.int32:
                made[name] = rng.choice(np.array([-1, 0, 1, 7, 2**31 - 1, -(2**31)]), rows).astype(np.int32)
            else:
                made[name] = np.full(rows, np.nan if column.dtype.kind == "f" else None, dtype=column.dtype)
        return made

    tables: Tables = replace(world, **{table: garbage(table, size) for table in LAYOUTS})
    facts = facts_of(known_at(tables, AS_OF), BUILDER, INVENTORY)
    for name, declared in SETTINGS.facts.items():
        column = facts.columns[name]
        if declared.type == "int":
            assert ((column >= -1) & (column <= declared.max)).all(), name
        else:
            assert (column <= len(declared.values)).all(), name


def test_facts_of_one_lead_are_its_row_in_the_batch():
    rng = np.random.default_rng(5)

    def one(values):
        return None if rng.random() < 0.2 else values[int(rng.integers(len(values)))]

    def some(lead, make):
        return [make(lead, n) for n in range(int(rng.integers(0, 4)))]

    words = {name: vocabulary.values for name, vocabulary in VOCABULARIES.items()}
    ids = [f"L{i}" for i in range(12)]
    accounts = [Account(account_id="S"), Account(account_id="A", parent_account_id="S", size="large")]
    leads = {
        i: Lead(
            lead_id=i,
            account_id=one(["A", "S"]),
            audience=one(words["audience"]),
            country=one(words["country"]),
            recorded_at=one([ago(1)]),
            specialty=one(words["specialty"]),
            condition_focus=one(words["condition_focus"]),
        )
        for i in ids
    }
    day = lambda: ago(int(rng.integers(-2, 60)))  # noqa: E731
    made = {
        "touches": lambda i, n: Touch(touch_id=f"{i}{n}", lead_id=i, sent_at=day(), channel=one(CHANNELS),
                                      intent=one(words["intent"]), asset_id=one(ASSETS)),
        "consents": lambda i, n: Consent(lead_id=i, captured_at=day(), channel=one(CHANNELS),
                                         status=one(words["consent_status"]), purpose=one(words["purpose"]),
                                         kind=one(words["consent_kind"]), expires_at=one([day()]),
                                         product=one([one(words["product"])])),
        "suppressions": lambda i, n: Suppression(lead_id=i, since_at=day(), channel=one(CHANNELS),
                                                 reason=one(words["suppression_reason"])),
        "cases": lambda i, n: Case(case_id=f"{i}{n}", lead_id=i, opened_at=day(), kind=one(words["case_kind"]),
                                   product=one(words["product"]), closed_at=one([day()])),
        "events": lambda i, n: Event(event_id=f"{i}{n}", lead_id=i, occurred_at=ago(n), recorded_at=ago(n),
                                     kind=one(words["event_kind"])),
    }  # fmt: skip
    rows = {table: {i: some(i, make) for i in ids} for table, make in made.items()}

    def facts(chosen):
        tables = {table: [row for i in chosen for row in of[i]] for table, of in rows.items()}
        encoded = encode_records(
            [leads[i] for i in chosen], accounts, **tables, vocabularies=VOCABULARIES, asset_ids=ASSETS,
            suppressions_complete_as_of=AS_OF,
        )  # fmt: skip
        return facts_of(known_at(encoded, AS_OF), BUILDER, INVENTORY)

    segment_ids = tuple({segment for own in INVENTORY.segment_ids for segment in own})
    member = rng.random((len(ids), len(segment_ids))) < 0.3
    batch = with_memberships(facts(ids), INVENTORY, member, segment_ids).columns
    for row, lead in enumerate(ids):
        alone = with_memberships(facts([lead]), INVENTORY, member[row : row + 1], segment_ids)
        assert set(alone.columns) == set(batch) == set(alone.one)
        for name, column in alone.columns.items():
            expected = batch[name][row : row + 1] if batch[name].shape[0] == len(ids) else batch[name]
            np.testing.assert_array_equal(column, expected, err_msg=name)
            np.testing.assert_array_equal(np.squeeze(column), np.squeeze(alone.one[name]), err_msg=name)


def test_one_lead_without_any_asset_has_lists_of_the_message_alone():
    facts = built(inventory=Inventory.of((), VOCABULARIES))
    for name, declared in SETTINGS.facts.items():
        of_assets = isinstance(facts.one[name], list) and len(facts.one[name]) == 1
        assert of_assets == (declared.per in ("asset", "lead_asset", "asset_channel")), name


def test_facts_shared_by_leads_cannot_be_written():
    status = built().columns["asset_status"]
    with pytest.raises(ValueError, match="read-only"):
        status[0] = 1


def test_no_leads_have_no_facts():
    none = encode_records([Lead(lead_id="L1")], vocabularies=VOCABULARIES)
    empty = replace(none, lead_ids=none.lead_ids[:0], leads={name: c[:0] for name, c in none.leads.items()})
    facts = facts_of(known_at(empty, AS_OF), BUILDER, INVENTORY)
    assert facts.n == 0
    assert facts.columns["audience"].shape == (0, 1, 1)
