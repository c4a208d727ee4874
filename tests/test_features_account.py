"""The account roll-up counts colleagues, never oneself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import load_settings
from features.account import ROLL_UP
from features.encode import encode_records
from features.pipeline import fit_spec, signals_of
from features.records import Account, Colleague, Event, Lead
from features.tables import known_at

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SETTINGS = load_settings()
SPEC = fit_spec(SETTINGS)


def rolled(tables):
    return signals_of(known_at(tables, AS_OF), SPEC.plan, SPEC.decision_maker).roll_up


def event(number, lead, days, kind="page_view"):
    at = AS_OF - timedelta(days=days)
    return Event(event_id=str(number), lead_id=lead, occurred_at=at, recorded_at=at, kind=kind)


def batch(leads, events):
    """Encoded as a file would be: all leads of every account present."""
    accounts = [Account(account_id=a) for a in sorted({lead.account_id for lead in leads if lead.account_id})]
    tables = encode_records(leads, accounts, events, vocabularies=SETTINGS.vocabularies)
    return replace(tables, colleagues=None)


def test_colleagues_by_hand():
    leads = [
        Lead(lead_id="L1", account_id="A", influence="decision_maker"),
        Lead(lead_id="L2", account_id="A"),
        Lead(lead_id="L3", account_id="A", influence="decision_maker"),
        Lead(lead_id="L4", account_id="B"),
        Lead(lead_id="L5"),
    ]
    events = [
        event(1, "L1", 3, "demo_request"),
        event(2, "L1", 10),
        event(3, "L2", 5),
        event(4, "L3", 200),
        event(5, "L5", 1),
    ]
    found = rolled(batch(leads, events))
    by_hand = {  # L1, L2, L3, L4 (alone at B), L5 (no account)
        "colleague_count": [2, 2, 2, 0, -1],
        "colleague_event_count_90d": [1, 2, 3, 0, -1],
        "colleague_demo_request_count_90d": [0, 1, 1, 0, -1],
        "active_colleague_count_90d": [1, 1, 2, 0, -1],
        "decision_maker_colleague_count": [1, 2, 1, 0, -1],
        "days_since_last_colleague_event": [5, 3, 3, -1, -1],
    }
    assert {name: found[row].tolist() for row, name in enumerate(ROLL_UP)} == by_hand


def test_colleagues_not_supplied_are_unknown_and_none_is_zero():
    lead = Lead(lead_id="L1", account_id="A")
    absent = encode_records([lead], events=[], vocabularies=SETTINGS.vocabularies)
    assert (rolled(absent) == -1).all()
    none = encode_records([lead], events=[], colleagues=[], vocabularies=SETTINGS.vocabularies)
    assert rolled(none)[:, 0].tolist() == [0, 0, 0, 0, 0, -1]


@settings(deadline=None, max_examples=30)
@given(
    accounts=st.lists(st.sampled_from(["A", "B"]), min_size=1, max_size=6),
    deciders=st.lists(st.booleans(), min_size=6, max_size=6),
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 150), st.sampled_from(["page_view", "demo_request"])), max_size=20
    ),
)
def test_summaries_of_colleagues_give_the_same_numbers_as_their_rows(accounts, deciders, rows):
    leads = [
        Lead(lead_id=f"L{i}", account_id=account, influence="decision_maker" if deciders[i] else None)
        for i, account in enumerate(accounts)
    ]
    events = [event(n, f"L{i % len(leads)}", days, kind) for n, (i, days, kind) in enumerate(rows)]
    tables = batch(leads, events)
    together = rolled(tables)
    measures = signals_of(known_at(tables, AS_OF), SPEC.plan, SPEC.decision_maker).measures
    for i, lead in enumerate(leads):
        colleagues = [
            Colleague(
                lead_id=other.lead_id,
                influence=other.influence,
                event_count_90d=int(measures.of("event_count_90d")[j]),
                demo_request_count_90d=int(measures.of("demo_request_count_90d")[j]),
                days_since_last_event=None if (d := int(measures.of("days_since_last_event")[j])) < 0 else d,
            )
            for j, other in enumerate(leads)
            if j != i and other.account_id == lead.account_id
        ]
        own = [e for e in events if e.lead_id == lead.lead_id]
        alone = encode_records([lead], None, own, colleagues=colleagues, vocabularies=SETTINGS.vocabularies)
        np.testing.assert_array_equal(rolled(alone)[:, 0], together[:, i])
