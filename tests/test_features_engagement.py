"""Engagement measures, by hand and by law."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import load_settings
from features.encode import encode_records
from features.pipeline import build_features, fit_spec
from features.records import Event, Lead
from features.tables import UNKNOWN_INSTANT, Tables, known_at

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SETTINGS = load_settings()
SPEC = fit_spec(SETTINGS)
ASSETS = tuple(asset.asset_id for asset in SETTINGS.assets)


def event(number, days=0, lead="L1", late=timedelta(0), at=None, **fields):
    occurred = at or AS_OF - timedelta(days=days)
    fields = {"kind": "page_view"} | fields
    return Event(event_id=f"E{number}", lead_id=lead, occurred_at=occurred, recorded_at=occurred + late, **fields)


def world(events, leads=("L1",)) -> Tables:
    return encode_records([Lead(lead_id=i) for i in leads], events=events, vocabularies=SETTINGS.vocabularies)


def values(tables, as_of=AS_OF, lead=0):
    features = build_features(tables, as_of, SPEC)
    return dict(zip(features.names, features.matrix[lead].tolist(), strict=True))


def test_age_ninety_counts_and_ninety_one_does_not():
    seen = values(world([event(1, 89), event(2, 90), event(3, 91)]))
    assert seen["engagement_page_view_count_90d"] == 2
    assert seen["engagement_page_view_count_30d"] == 0
    assert seen["engagement_event_count"] == 3
    assert seen["engagement_days_since_last_page_view"] == 89


def test_age_is_whole_utc_days_around_midnight():
    as_of = datetime(2026, 6, 30, 0, 1, tzinfo=UTC)
    just_before = event(1, at=datetime(2026, 6, 29, 23, 59, tzinfo=UTC))
    just_after = event(2, at=datetime(2026, 6, 30, 0, 0, tzinfo=UTC), kind="download")
    seen = values(world([just_before, just_after]), as_of)
    assert seen["engagement_days_since_last_page_view"] == 1
    assert seen["engagement_days_since_last_download"] == 0
    # 23 hours later it is still the same day, so nothing changes but what is a day old.
    assert values(world([just_before, just_after]), as_of + timedelta(hours=23)) == pytest.approx(seen, nan_ok=True)


def test_windows_recency_topics_depths_channels_and_days_by_hand():
    events = [
        event(1, 0, kind="demo_request", topic="pricing", depth="pricing", channel="web"),
        event(2, 7, kind="demo_request", topic="pricing", channel="email"),
        event(3, 8, kind="demo_request", topic="workflow", depth="detailed", channel="email"),
        event(4, 8, kind="download", topic="workflow", channel="web"),
        event(5, 31, kind="download"),
        event(6, 120, kind="download", topic="workflow", channel="phone"),
    ]
    seen = values(world(events))
    by_hand = {
        "demo_request_count_7d": 2,
        "demo_request_count_30d": 3,
        "demo_request_count_90d": 3,
        "download_count_7d": 0,
        "download_count_30d": 1,
        "download_count_90d": 2,
        "days_since_last_demo_request": 0,
        "days_since_last_download": 8,
        "topic_pricing_count_90d": 2,
        "topic_workflow_count_90d": 2,  # the one of 120 days ago is too old
        "depth_pricing_count_90d": 1,
        "depth_detailed_count_90d": 1,
        "event_count_7d": 2,
        "event_count_30d": 4,
        "event_count_90d": 5,
        "event_count": 6,
        "days_since_last_event": 0,
        "distinct_channel_count_90d": 2,  # web and email; phone is too old
        "active_day_count_90d": 4,  # days 0, 7, 8, 31
    }
    assert {name: seen[f"engagement_{name}"] for name in by_hand} == by_hand


def test_decayed_sums_halve_every_half_life():
    seen = values(world([event(1, 0), event(2, 7), event(3, 14)]))
    assert seen["engagement_decay_fast"] == 1 + 1 / 2 + 1 / 4
    assert seen["engagement_decay_slow"] == pytest.approx(1 + 2 ** (-7 / 30) + 2 ** (-14 / 30), abs=1e-8)


def test_never_is_unknown_recency_and_a_count_of_zero():
    seen = values(world([]))
    assert seen["engagement_demo_request_count_90d"] == 0
    assert np.isnan(seen["engagement_days_since_last_demo_request"])
    assert seen["engagement_decay_fast"] == 0


def test_events_not_supplied_are_unknown_everywhere():
    seen = values(encode_records([Lead(lead_id="L1")], vocabularies=SETTINGS.vocabularies))
    assert all(np.isnan(value) for name, value in seen.items() if name.startswith("engagement_"))


def test_off_label_questions_change_no_feature():
    events = [event(1, 3), event(2, 5, kind="download", topic="dosing", channel="email")]
    asked = [*events, event(3, 1, kind="off_label_question", topic="safety", depth="detailed", channel="phone")]
    np.testing.assert_equal(values(world(asked)), values(world(events)))


def test_an_event_recorded_late_counts_only_once_it_is_recorded():
    tables = world([event(1, 5, late=timedelta(days=3))])
    assert values(tables, AS_OF - timedelta(days=3))["engagement_event_count"] == 0
    assert values(tables, AS_OF - timedelta(days=2))["engagement_event_count"] == 1


KINDS = st.sampled_from([*SETTINGS.features.kinds, "off_label_question", "search", "no such kind"])
EVENTS = st.lists(
    st.builds(
        dict,
        days=st.integers(0, 200),
        lead=st.sampled_from(["L1", "L2", "L3"]),
        kind=KINDS,
        topic=st.sampled_from([None, *SETTINGS.features.topics]),
        depth=st.sampled_from([None, *SETTINGS.features.depths]),
        channel=st.sampled_from([None, "email", "web", "phone"]),
    ),
    max_size=25,
)
LEADS = ("L1", "L2", "L3")


@settings(deadline=None, max_examples=40)
@given(rows=EVENTS, seed=st.integers(0, 2**16))
def test_the_order_of_events_never_matters(rows, seed):
    events = [event(i, **row) for i, row in enumerate(rows)]
    shuffled = [events[i] for i in np.random.default_rng(seed).permutation(len(events))]
    np.testing.assert_array_equal(
        build_features(world(events, LEADS), AS_OF, SPEC).matrix,
        build_features(world(shuffled, LEADS), AS_OF, SPEC).matrix,
    )


@settings(deadline=None, max_examples=40)
@given(rows=EVENTS)
def test_one_lead_equals_its_row_in_the_batch_bit_for_bit(rows):
    events = [event(i, **row) for i, row in enumerate(rows)]
    batch = build_features(world(events, LEADS), AS_OF, SPEC).matrix
    for row, lead in enumerate(LEADS):
        alone = build_features(world([e for e in events if e.lead_id == lead], (lead,)), AS_OF, SPEC).matrix
        assert alone[0].tobytes() == batch[row].tobytes()


@settings(deadline=None, max_examples=40)
@given(rows=EVENTS, cut=st.integers(0, 120))
def test_rows_recorded_after_as_of_change_nothing(rows, cut):
    as_of = AS_OF - timedelta(days=cut)
    events = [event(i, late=timedelta(days=i % 4), **row) for i, row in enumerate(rows)]
    known = [e for e in events if e.recorded_at <= as_of]
    np.testing.assert_array_equal(
        build_features(world(events, LEADS), as_of, SPEC).matrix,
        build_features(world(known, LEADS), as_of, SPEC).matrix,
    )


def test_threads_and_one_pass_give_the_same_words():
    rng = np.random.default_rng(1)
    small = world([event(1)])
    n = 300_000
    events = {name: rng.integers(0, 9, n).astype(np.uint8) for name in ("kind", "topic", "depth", "channel", "product")}
    events["lead"] = rng.integers(0, 1000, n).astype(np.int32)
    events["occurred_at"] = small.events["occurred_at"][0] - rng.integers(0, 200, n) * 86_400_000_000
    events["recorded_at"] = events["occurred_at"].copy()
    ids = np.array([f"L{i}" for i in range(1000)], dtype=object)
    tables = replace(small, lead_ids=ids, leads={}, events=events)
    one, two = (known_at(tables, AS_OF, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.event_words, two.event_words)
    np.testing.assert_array_equal(one.event_starts, two.event_starts)
    np.testing.assert_array_equal(one.newest_event_at, two.newest_event_at)
    # The columns, gathered on demand, are the same rows in the same order.
    np.testing.assert_array_equal((one.event_words >> np.uint64(16)) & np.uint64(255), one.events["kind"])
    np.testing.assert_array_equal(np.diff(one.event_starts), np.bincount(one.events["lead"], minlength=1000))
    assert one.newest_event_at.min() > UNKNOWN_INSTANT
