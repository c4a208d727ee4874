"""Only the facts that are asked for, and the same as all of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest

from configs.settings import Settings, load_settings
from features.asked import AskedFacts
from features.encode import encode_records
from features.facts import FactBuilder, Facts, facts_of
from features.inventory import Inventory
from features.journey.plan import JOURNEY_FACTS, LIFECYCLE, MEETING
from features.records import Account, Case, Consent, Event, Lead, Link, Suppression, Touch
from features.tables import Tables
from features.view import view_at

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
AFTER_READINESS = {"band", "readiness", "segment_approved"}  # told once memberships are


@cache
def shipped() -> Settings:
    return load_settings()


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


@cache
def tables() -> Tables:
    """Leads of two accounts with a bit of everything; L4 is L1 under another id, L5 asked about an off-label use."""
    leads = [
        Lead(lead_id=f"L{i}", recorded_at=ago(30), created_at=ago(90), account_id="site" if i < 4 else "other",
             country="US", role="pharmacist", audience="hcp", verified_at=ago(i * 10), territory="north")
        for i in range(8)
    ]  # fmt: skip
    kinds = ("email_click", "demo_request", "form_submit", "field_visit", "webinar_attend")
    events = [
        Event(event_id=f"e{i}", lead_id=f"L{i % 8}", occurred_at=ago(i * 3), recorded_at=ago(i * 3), kind=kinds[i % 5],
              source="crm", topic="pricing", channel="web", depth="checklist", message_id=f"m{i % 4}")
        for i in range(60)
    ]  # fmt: skip
    day = {"recorded_at": ago(20), "captured_at": ago(20)}
    encoded = encode_records(
        leads,
        [Account(account_id="site", parent_account_id="system", care_setting="community", recorded_at=ago(9)),
         Account(account_id="system", organization_type="health_system", recorded_at=ago(9)),
         Account(account_id="other", care_setting="academic", recorded_at=ago(9))],
        events,
        [Touch(touch_id=f"t{i}", lead_id=f"L{i}", sent_at=ago(i), channel="email", intent="promotional",
               message_id=f"m{i}") for i in range(5)],
        [Consent(lead_id="L1", purpose="profiling", status="withdrawn", channel="email", **day),
         Consent(lead_id="L2", purpose="profiling", status="granted", channel="email", **day),
         Consent(lead_id="L6", purpose="promotion", status="withdrawn", channel="email", **day)],
        [Suppression(lead_id="L2", reason="reduced_communication", since_at=ago(5)),
         Suppression(account_id="other", reason="opt_out", channel="email", since_at=ago(5)),
         Suppression(lead_id="L0", reason="legal_hold", since_at=ago(5))],
        [Case(case_id="a", lead_id="L3", opened_at=ago(4), kind="meeting"),
         Case(case_id="b", lead_id="L5", opened_at=ago(4), kind="off_label"),
         Case(case_id="c", lead_id="L6", opened_at=ago(9), closed_at=ago(3), kind="meeting")],
        vocabularies=shipped().vocabularies,
        asset_ids=[asset.asset_id for asset in shipped().assets],
        suppressions_complete_as_of=AS_OF,
        links=[Link(lead_id="L1", other_lead_id="L4", linked_at=ago(2), kind="same")],
    )  # fmt: skip
    return replace(encoded, colleagues=None)  # everybody is here: colleagues are counted from their rows


@cache
def all_facts() -> Facts:
    builder = FactBuilder.of(shipped())
    known = view_at(tables(), AS_OF, builder.view)
    return facts_of(known, builder, Inventory.of(shipped().assets, shipped().vocabularies))


def per_lead() -> list[str]:
    facts = {name for name, fact in shipped().facts.items() if fact.per == "lead" and not name.startswith("data_")}
    return sorted(facts - AFTER_READINESS)


@pytest.mark.parametrize("name", per_lead())
def test_a_fact_asked_for_alone_is_what_it_is_among_all(name: str) -> None:
    asked = AskedFacts.of(shipped(), [name])
    found = asked.facts(asked.view(tables(), AS_OF))
    # A journey and a derived lifecycle bring the fields that they look at.
    journeys = asked.builder.journeys
    beside = {*journeys.fields, MEETING} if name in (*JOURNEY_FACTS, LIFECYCLE) else set()
    assert set(found.columns) == {name, *beside}
    assert found.columns[name].tolist() == all_facts().columns[name].tolist()
    assert found.columns[name].dtype == all_facts().columns[name].dtype


def test_all_facts_of_leads_asked_for_at_once_are_what_they_are_among_all() -> None:
    asked = AskedFacts.of(shipped(), per_lead())
    found = asked.facts(asked.view(tables(), AS_OF))
    assert sorted(found.columns) == per_lead()
    for name in per_lead():
        assert np.array_equal(found.columns[name], all_facts().columns[name]), name


def test_the_world_of_these_tests_tells_most_facts() -> None:
    unknown = {name: -1 if shipped().facts[name].type == "int" else 0 for name in per_lead()}
    told = [name for name in per_lead() if (all_facts().columns[name] != unknown[name]).any()]
    assert {"profiling_objection", "email_opt_out", "open_case", "colleague_event_count_90d"} <= set(told)


def test_tables_that_no_asked_fact_rests_on_are_left_out() -> None:
    asked = AskedFacts.of(shipped(), ["audience", "care_setting"])
    kept = asked.tables(tables())
    assert (kept.events, kept.touches, kept.cases) == ({}, {}, {})
    assert kept.consents and kept.suppressions, "they say what may be used of a lead's own fields"
    assert asked.builder.plan.names == AskedFacts.of(shipped(), []).builder.plan.names
    watching = AskedFacts.of(shipped(), ["audience"], events=True)
    assert watching.tables(tables()).events


def test_a_fact_of_a_channel_or_an_asset_is_refused() -> None:
    for name in ("consent", "asset_status", "asset_repeated"):
        with pytest.raises(ValueError, match=f"{name}: expected a fact per lead"):
            AskedFacts.of(shipped(), ["audience", name])


def test_with_no_tables_but_leads_what_is_asked_for_is_unknown() -> None:
    bare = replace(tables(), accounts={}, events={}, touches={}, consents={}, suppressions={}, cases={}, links={})
    asked = AskedFacts.of(shipped(), ["open_case", "profiling_objection", "touches_7d", "topic_pricing_count_90d"])
    found = asked.facts(asked.view(bare, AS_OF))
    assert {name: set(column.reshape(-1).tolist()) for name, column in found.columns.items()} == {
        "open_case": {0}, "profiling_objection": {0}, "touches_7d": {-1}, "topic_pricing_count_90d": {-1},
    }  # fmt: skip
