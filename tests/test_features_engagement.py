"""Engagement measures, by hand and by law."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import load_settings
from configs.vocabulary import Vocabulary
from features.encode import encode_records
from features.engagement import EngagementPlan
from features.pipeline import build_features, fit_spec
from features.records import Event, Lead, Touch
from features.tables import UNKNOWN_INSTANT, Tables, known_at
from features.view import ViewRules

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SETTINGS = load_settings()
SPEC = fit_spec(SETTINGS)
RULES = ViewRules.of(SETTINGS)
ASSETS = tuple(asset.asset_id for asset in SETTINGS.assets)


def event(number, days=0, lead="L1", late=timedelta(0), at=None, **fields):
    occurred = at or AS_OF - timedelta(days=days)
    fields = {"kind": "page_view"} | fields
    return Event(event_id=f"E{number}", lead_id=lead, occurred_at=occurred, recorded_at=occurred + late, **fields)


def person(lead="L1", **fields):
    """A professional, of whose reading nothing is withheld, where opens and clicks may be read until an objection."""
    return Lead(lead_id=lead, audience="hcp", country="US", recorded_at=AS_OF - timedelta(days=300), **fields)


def world(events, leads=("L1",), touches=None) -> Tables:
    people = [person(lead) for lead in leads]
    return encode_records(
        people, events=events, touches=touches, vocabularies=SETTINGS.vocabularies, asset_ids=("guide", "video")
    )


def values(tables, as_of=AS_OF, lead=0):
    features = build_features(tables, as_of, SPEC, RULES)
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
        agent=st.sampled_from([None, "browser", "security_gateway"]),
        message_id=st.sampled_from([None, "M1", "M2"]),
        asset_id=st.sampled_from([None, "guide", "video", "not in the inventory"]),
    ),
    max_size=25,
)
LEADS = ("L1", "L2", "L3")


TOUCHES = [
    Touch(touch_id=f"T{i}", lead_id=lead, sent_at=AS_OF - timedelta(days=days, seconds=2), message_id=message,
          channel="rep_visit" if i % 4 == 3 else "email")
    for i, (lead, days, message) in enumerate(product(("L1", "L2", "L3"), (0, 5, 60), ("M1", "M2")))
]  # fmt: skip


def matrix(events, as_of=AS_OF, leads=LEADS, touches=TOUCHES):
    own = [touch for touch in touches if touch.lead_id in leads]
    return build_features(world(events, leads, own), as_of, SPEC, RULES).matrix


@settings(deadline=None, max_examples=40)
@given(rows=EVENTS, seed=st.integers(0, 2**16))
def test_the_order_of_events_and_touches_never_matters(rows, seed):
    events = [event(i, **row) for i, row in enumerate(rows)]
    draw = np.random.default_rng(seed)
    shuffled = [events[i] for i in draw.permutation(len(events))]
    touches = [TOUCHES[i] for i in draw.permutation(len(TOUCHES))]
    np.testing.assert_array_equal(matrix(shuffled, touches=touches), matrix(events))


@settings(deadline=None, max_examples=40)
@given(rows=EVENTS, seed=st.integers(0, 2**16))
def test_an_event_that_comes_twice_counts_once(rows, seed):
    """Systems that count on arrival count retries (mautic 4582, 5213); here the event id tells them apart."""
    events = [event(i, **row) for i, row in enumerate(rows)]
    draw = np.random.default_rng(seed)
    twice = [events[i] for i in draw.permutation(np.repeat(np.arange(len(events)), draw.integers(1, 4, len(events))))]
    np.testing.assert_array_equal(matrix(twice), matrix(events))


@settings(deadline=None, max_examples=40)
@given(rows=EVENTS)
def test_one_lead_equals_its_row_in_the_batch_bit_for_bit(rows):
    events = [event(i, **row) for i, row in enumerate(rows)]
    batch = matrix(events)
    for row, lead in enumerate(LEADS):
        alone = matrix([e for e in events if e.lead_id == lead], leads=(lead,))
        assert alone[0].tobytes() == batch[row].tobytes()


@settings(deadline=None, max_examples=40)
@given(rows=EVENTS, cut=st.integers(0, 120))
def test_rows_recorded_after_as_of_change_nothing(rows, cut):
    as_of = AS_OF - timedelta(days=cut)
    events = [event(i, late=timedelta(days=i % 4), **row) for i, row in enumerate(rows)]
    known = [e for e in events if e.recorded_at <= as_of]
    sent = [touch for touch in TOUCHES if touch.sent_at <= as_of]
    np.testing.assert_array_equal(matrix(events, as_of), matrix(known, as_of, touches=sent))


@settings(deadline=None, max_examples=40)
@given(rows=EVENTS, wait=st.integers(0, 40))
def test_once_a_late_event_is_recorded_it_is_as_if_it_had_come_at_once(rows, wait):
    late = [event(i, late=timedelta(days=wait * (i % 2)), **row) for i, row in enumerate(rows)]
    at_once = [event(i, **row) for i, row in enumerate(rows)]
    np.testing.assert_array_equal(matrix(late, AS_OF + timedelta(days=41)), matrix(at_once, AS_OF + timedelta(days=41)))


@settings(deadline=None, max_examples=30)
@given(rows=EVENTS, zone=st.sampled_from(["Asia/Tokyo", "America/New_York", "Pacific/Kiritimati", "Asia/Kathmandu"]))
def test_the_zone_in_which_instants_are_written_changes_nothing(rows, zone):
    """Also across changes to and from summer time, of which AS_OF's last 200 days hold one."""
    events = [event(i, **row) for i, row in enumerate(rows)]
    moved = [
        msgspec.structs.replace(
            e,
            occurred_at=e.occurred_at.astimezone(ZoneInfo(zone)),
            recorded_at=e.recorded_at.astimezone(ZoneInfo(zone)),
        )
        for e in events
    ]
    np.testing.assert_array_equal(matrix(moved, AS_OF.astimezone(ZoneInfo(zone))), matrix(events))


@pytest.mark.parametrize("hour", [0, 1, 12, 23])
@pytest.mark.parametrize(("days", "inside"), [(89, 1), (90, 1), (91, 0)])
def test_ninety_days_hold_day_ninety_at_whatever_hour(hour, days, inside):
    """A window that slides by hours loses and finds events within a day (mautic 7967, 10621)."""
    as_of = datetime(2026, 6, 30, hour, 30, tzinfo=UTC)
    for at in (as_of.replace(hour=0, minute=0), as_of.replace(hour=23, minute=59, second=59)):
        occurred = at - timedelta(days=days)
        seen = values(world([event(1, at=occurred)]), as_of)
        assert seen["engagement_page_view_count_90d"] == inside


def test_the_night_that_summer_time_begins_is_one_day_long():
    zone = ZoneInfo("America/New_York")
    before = event(1, at=datetime(2026, 3, 7, 23, 30, tzinfo=zone))
    after = event(2, at=datetime(2026, 3, 8, 3, 30, tzinfo=zone), kind="download")
    seen = values(world([before, after]), datetime(2026, 3, 9, tzinfo=UTC))
    assert seen["engagement_days_since_last_page_view"] == 1  # 2026-03-08 04:30 UTC
    assert seen["engagement_days_since_last_download"] == 1  # 2026-03-08 07:30 UTC, not a day later


def test_an_event_counts_no_longer_than_its_kind_does():
    valid = SETTINGS.features.valid_days["email_open"]
    seen = values(world([event(1, valid, kind="email_open"), event(2, valid, kind="page_view")]))
    gone = values(world([event(1, valid + 1, kind="email_open"), event(2, valid, kind="page_view")]))
    assert seen["engagement_event_count"] > gone["engagement_event_count"] == 1
    assert np.isnan(gone["engagement_days_since_last_email_open"])
    assert gone["engagement_decay_slow"] == pytest.approx(2 ** (-valid / 30), abs=1e-8)


def test_a_kind_may_have_a_half_life_of_its_own():
    own = SETTINGS.features.decays[1].half_life_days_of["demo_request"]
    seen = values(world([event(1, own, kind="demo_request")]))
    assert seen["engagement_decay_slow"] == 1 / 2
    assert seen["engagement_decay_fast"] == pytest.approx(2 ** (-own / 7), abs=1e-8)


def test_resources_themes_shares_and_role_signals_by_hand():
    events = [
        event(1, 3, kind="download", topic="integration", channel="web", asset_id="guide"),
        event(2, 4, kind="download", topic="integration", channel="web", asset_id="guide"),
        event(3, 5, kind="ticket", topic="installation", channel="phone", asset_id="video"),
        event(4, 6, kind="ticket", topic="installation", channel="phone"),
        event(5, 7, kind="page_view", topic="pricing", channel="web"),
        event(6, 8, kind="page_view", topic="pricing", asset_id="not in the inventory"),
        event(7, 95, kind="ticket", topic="pricing", channel="phone", asset_id="video"),
        event(8, 2, kind="download", topic="safety", channel="web", agent="bot", asset_id="video"),
    ]
    seen = values(world(events))
    by_hand = {
        "distinct_asset_count_90d": 2,  # guide and video; what a robot fetched shows nobody's interest
        "repeated_theme_count_90d": 2,  # integration and installation were asked about twice; pricing was only read
        "most_asked_theme_count_90d": 2,
        "topic_pricing_share_90d": 2 / 6,
        "topic_safety_share_90d": 0,
        "channel_web_share_90d": 3 / 5,
        "channel_phone_share_90d": 2 / 5,
        "suspect_event_count_90d": 1,
        "event_count_90d": 6,
    }
    assert {name: seen[f"engagement_{name}"] for name in by_hand} == by_hand
    assert np.isnan(seen["engagement_technical_by_technical_role_count_90d"]), "the role is not known"
    for role, count in (("it_lead", 4), ("physician", 0)):
        tables = encode_records(
            [person(role=role)], events=events, vocabularies=SETTINGS.vocabularies, asset_ids=("guide", "video")
        )
        assert values(tables)["engagement_technical_by_technical_role_count_90d"] == count


def test_more_resources_than_bits_held_at_once_are_counted_in_turns(monkeypatch):
    events = [event(i, i, lead=f"L{1 + i % 3}", asset_id=("guide", "video")[i % 2]) for i in range(12)]
    expected = matrix(events)
    monkeypatch.setattr("features.engagement._BITS_AT_ONCE", 64)
    np.testing.assert_array_equal(matrix(events), expected)


def test_a_vocabulary_that_does_not_fit_an_event_s_word_is_refused():
    many = Vocabulary.of("depth", {f"d{i}": () for i in range(32)})
    with pytest.raises(ValueError, match="at most 31 fit"):
        EngagementPlan.of(SETTINGS.features, {**SETTINGS.vocabularies, "depth": many})


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
