"""The account roll-up counts colleagues, never oneself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import process_time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import load_settings
from features.account import ROLL_UP
from features.encode import encode_records
from features.pipeline import features_of, fit_spec, signals_of
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
        # L3 did nothing for 200 days; a decision maker weighs 4 and whoever is of no declared role or influence 1
        "silent_colleague_count": [1, 1, 0, 0, -1],
        "weighted_colleague_event_count_90d": [1, 8, 9, 0, -1],
        "colleague_weight": [5, 8, 5, 0, -1],
        "active_colleague_weight_90d": [1, 4, 5, 0, -1],
        "days_since_last_colleague_event": [5, 3, 3, -1, -1],
    }
    assert {name: found[row].tolist() for row, name in enumerate(ROLL_UP)} == by_hand


def test_colleagues_not_supplied_are_unknown_and_none_is_zero():
    lead = Lead(lead_id="L1", account_id="A")
    absent = encode_records([lead], events=[], vocabularies=SETTINGS.vocabularies)
    assert (rolled(absent) == -1).all()
    none = encode_records([lead], events=[], colleagues=[], vocabularies=SETTINGS.vocabularies)
    assert rolled(none)[:, 0].tolist() == [*[0] * (len(ROLL_UP) - 1), -1]


@settings(deadline=None, max_examples=30)
@given(
    accounts=st.lists(st.sampled_from(["A", "B"]), min_size=1, max_size=6),
    deciders=st.lists(st.booleans(), min_size=6, max_size=6),
    roles=st.lists(st.sampled_from([None, "physician", "procurement", "patient"]), min_size=6, max_size=6),
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 150), st.sampled_from(["page_view", "demo_request"])), max_size=20
    ),
)
def test_summaries_of_colleagues_give_the_same_numbers_as_their_rows(accounts, deciders, roles, rows):
    leads = [
        Lead(lead_id=f"L{i}", account_id=account, role=roles[i], influence="decision_maker" if deciders[i] else None)
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
                role=other.role,
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


def test_colleagues_weigh_by_role_or_influence_and_the_quiet_ones_are_counted():
    """An account's score is an aggregate of its people, and their silence is part of it (mautic 7076)."""
    weights = SETTINGS.features.account
    quiet = weights.silent_days
    leads = [
        Lead(lead_id="L1", account_id="A"),
        Lead(lead_id="L2", account_id="A", role="procurement"),
        Lead(lead_id="L3", account_id="A", role="physician", influence="decision_maker"),
        Lead(lead_id="L4", account_id="A", role="patient"),
        Lead(lead_id="L5", account_id="A"),
    ]
    events = [event(1, "L2", quiet), event(2, "L2", 1), event(3, "L3", quiet + 1), event(4, "L4", quiet)]
    found = dict(zip(ROLL_UP, rolled(batch(leads, events))[:, 0].tolist(), strict=True))
    buyer, decider = weights.role_weights["procurement"], weights.influence_weights["decision_maker"]
    assert (buyer, decider) == (3, 4)
    assert found["silent_colleague_count"] == 2  # L3 since 61 days, L5 since ever
    assert found["weighted_colleague_event_count_90d"] == 2 * buyer + decider + 1
    assert found["colleague_weight"] == buyer + decider + 1 + 1
    tables = batch(leads, events)
    features = features_of(known_at(tables, AS_OF), SPEC)
    share = features.matrix[0, features.names.index("account_active_colleague_share_90d")]
    assert share == (buyer + decider + 1) / (buyer + decider + 2)


def test_sums_of_very_many_busy_colleagues_stay_at_the_largest_number_and_never_turn_negative():
    busy = [Colleague(lead_id=f"C{i}", influence="decision_maker", event_count_90d=1_000_000) for i in range(2_200)]
    alone = encode_records([Lead(lead_id="L", account_id="A")], colleagues=busy, vocabularies=SETTINGS.vocabularies)
    found = dict(zip(ROLL_UP, rolled(alone)[:, 0].tolist(), strict=True))
    most = 2**31 - 1
    assert found["colleague_count"] == 2_200
    assert (found["colleague_event_count_90d"], found["weighted_colleague_event_count_90d"]) == (most, most)


def test_a_lead_is_never_its_own_colleague():
    lead = [Lead(lead_id="L1", account_id="A", influence="decision_maker")]
    alone = rolled(batch(lead, [event(1, "L1", 1, "demo_request")]))[:, 0].tolist()
    assert alone == [*[0] * (len(ROLL_UP) - 1), -1]


def test_an_account_of_a_hundred_thousand_leads_costs_no_more_for_each():
    small = batch([Lead(lead_id="L0", account_id="A")], [event(1, "L0", 1)])

    def seconds(n):
        ids = np.array([f"L{i}" for i in range(n)], dtype=object)
        rows = {"lead": np.arange(n, dtype=np.int32), "account": np.zeros(n, dtype=np.int32)}
        rows |= {name: np.zeros(n, dtype=np.int64) for name in ("recorded_at", "created_at")}
        events = {name: np.repeat(column, n) for name, column in small.events.items()}
        known = known_at(replace(small, lead_ids=ids, leads=rows, events=events | {"lead": rows["lead"]}), AS_OF)
        took = []
        for _ in range(3):
            start = process_time()
            found = signals_of(known, SPEC.plan, SPEC.decision_maker, threads=1).roll_up
            took.append(process_time() - start)
        assert found[1].tolist() == [n - 1] * n
        return min(took) / n

    seconds(10)
    assert seconds(100_000) < 5 * seconds(10_000)
