"""`known_at` drops the future, and only it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import load_settings
from features.encode import encode_records
from features.records import Account, Case, Consent, Event, Lead, Suppression, Touch
from features.tables import UNKNOWN_INSTANT, Tables, known_at, microseconds

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
VOCABULARIES = load_settings().vocabularies
ROLE = VOCABULARIES["role"]


def ago(days):
    return AS_OF - timedelta(days=days)


def lead(days, role, lead_id="L1"):
    return Lead(lead_id=lead_id, recorded_at=ago(days), role=role)


def world(leads, **tables) -> Tables:
    return encode_records(leads, **tables, vocabularies=VOCABULARIES)


def test_the_latest_version_recorded_by_then_counts():
    tables = world([lead(5, "nurse"), lead(20, "physician"), lead(-1, "procurement")])
    for as_of, role in ((AS_OF, "nurse"), (ago(5), "nurse"), (ago(5.01), "physician"), (ago(-2), "procurement")):
        known = known_at(tables, as_of)
        assert ROLE.value(int(known.leads["role"][0])) == role
        assert known.present.tolist() == [True]


def test_a_lead_recorded_later_is_not_present_and_unknown():
    known = known_at(world([lead(5, "nurse"), lead(-1, "nurse", "L2")]), AS_OF)
    assert known.present.tolist() == [True, False]
    assert known.leads["role"].tolist() == [ROLE.code("nurse"), 0]
    assert known.leads["created_at"][1] == UNKNOWN_INSTANT
    assert known.leads["account"][1] == -1


def test_versions_recorded_at_one_instant_are_told_apart_whatever_their_order():
    rows = [lead(5, "nurse"), lead(5, "physician"), lead(5, "procurement"), lead(9, "nurse", "L2")]
    chosen = {
        int(known_at(world([rows[i] for i in order]), AS_OF).leads["role"][0])
        for order in ((0, 1, 2, 3), (2, 1, 0, 3), (1, 0, 2, 3), (1, 2, 0, 3))
    }
    assert len(chosen) == 1


def test_tables_not_supplied_stay_not_supplied_and_empty_ones_stay_empty():
    known = known_at(world([lead(5, "nurse")], touches=[]), AS_OF)
    assert known.events == {}
    assert known.consents == {}
    assert len(known.touches["lead"]) == 0


def test_nothing_that_happened_or_was_recorded_later_is_known():
    later = ago(-1)
    tables = world(
        [lead(5, "nurse")],
        events=[
            Event(event_id="1", lead_id="L1", occurred_at=ago(1), recorded_at=ago(1)),
            Event(event_id="2", lead_id="L1", occurred_at=ago(1), recorded_at=later),
            Event(event_id="3", lead_id="L1", occurred_at=later, recorded_at=ago(1)),
        ],
        touches=[Touch(touch_id="1", lead_id="L1", sent_at=later), Touch(touch_id="2", lead_id="L1", sent_at=ago(1))],
        consents=[Consent(lead_id="L1", captured_at=ago(1), recorded_at=later)],
        suppressions=[Suppression(lead_id="L1", since_at=later)],
        cases=[Case(case_id="1", lead_id="L1", opened_at=ago(3), closed_at=later)],
    )
    known = known_at(tables, AS_OF)
    assert known.event_starts.tolist() == [0, 1]
    assert known.newest_event_at.tolist() == [microseconds(ago(1))]
    assert [len(table["lead"]) for table in (known.touches, known.consents, known.suppressions)] == [1, 0, 0]
    assert known.cases["closed_at"].tolist() == [UNKNOWN_INSTANT]
    assert known_at(tables, later).cases["closed_at"].tolist() == [microseconds(later)]


def test_the_latest_version_of_a_case_counts():
    opened = Case(case_id="1", lead_id="L1", opened_at=ago(9), recorded_at=ago(9))
    closed = Case(case_id="1", lead_id="L1", opened_at=ago(9), recorded_at=ago(2), closed_at=ago(2))
    for rows in ([opened, closed], [closed, opened]):
        tables = world([lead(5, "nurse")], cases=rows)
        assert known_at(tables, AS_OF).cases["closed_at"].tolist() == [microseconds(ago(2))]
        assert known_at(tables, ago(3)).cases["closed_at"].tolist() == [UNKNOWN_INSTANT]


def test_accounts_have_their_latest_version_too():
    accounts = [
        Account(account_id="A1", recorded_at=ago(3), size="large"),
        Account(account_id="A1", recorded_at=ago(7), size="small"),
    ]
    tables = world([Lead(lead_id="L1", account_id="A1")], accounts=accounts)
    size = VOCABULARIES["size"]
    seen = [size.value(int(known_at(tables, as_of).accounts["size"][0])) for as_of in (AS_OF, ago(3.5), ago(8))]
    assert seen == ["large", "small", None]


@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(-3, 3), st.sampled_from(["nurse", "physician", None])),
        min_size=1,
        max_size=9,
    ),
    seed=st.integers(0, 999),
)
def test_the_order_of_rows_and_rows_recorded_later_change_nothing(rows, seed):
    leads = [lead(days, role, f"L{i}") for i, days, role in rows]
    tables = world(leads)
    order = np.random.default_rng(seed).permutation(len(leads))
    shuffled = replace(tables, leads={name: column[order] for name, column in tables.leads.items()})
    now = tables.leads["recorded_at"] <= microseconds(AS_OF)
    without = replace(tables, leads={name: column[now] for name, column in tables.leads.items()})
    first = known_at(tables, AS_OF)
    for other in (known_at(shuffled, AS_OF), known_at(without, AS_OF)):
        np.testing.assert_array_equal(first.present, other.present)
        for name in first.leads:
            np.testing.assert_array_equal(first.leads[name], other.leads[name])
