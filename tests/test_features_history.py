"""What we did with a lead, and what came after it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np

from configs.settings import load_settings
from features.encode import encode_records
from features.facts import FactBuilder, facts_of
from features.inventory import Inventory
from features.pipeline import build_features, fit_spec
from features.records import Event, Lead, Touch
from features.standing import NEVER_DAYS
from features.view import ViewRules, view_at

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SETTINGS = load_settings()
SPEC = fit_spec(SETTINGS)
VIEW = ViewRules.of(SETTINGS)
LEAD = Lead(lead_id="L1", country="US", audience="hcp", recorded_at=AS_OF - timedelta(days=300))


def touch(number, days, channel="email", late=timedelta(0)):
    at = AS_OF - timedelta(days=days)
    return Touch(touch_id=f"T{number}", lead_id="L1", sent_at=at, recorded_at=at + late, channel=channel)


def event(number, days, kind="page_view"):
    at = AS_OF - timedelta(days=days)
    return Event(event_id=f"E{number}", lead_id="L1", occurred_at=at, recorded_at=at, kind=kind)


def values(touches, events, as_of=AS_OF):
    tables = encode_records([LEAD], events=events, touches=touches, vocabularies=SETTINGS.vocabularies)
    features = build_features(tables, as_of, SPEC, VIEW)
    return dict(zip(features.names, features.matrix[0].tolist(), strict=True))


def test_touches_are_counted_by_window_and_dated_by_channel():
    touches = [touch(1, 0), touch(2, 30, "phone"), touch(3, 31), touch(4, 90, "rep_visit"), touch(5, 91, None)]
    seen = values(touches, [event(1, 3), event(2, 90), event(3, 89)])
    by_hand = {
        "touch_count_30d": 2,
        "touch_count_90d": 4,
        "days_since_last_email_touch": 0,
        "days_since_last_phone_touch": 30,
        "days_since_last_rep_visit_touch": 90,
        "days_since_last_touch": 0,
        "days_since_last_field_touch": 90,
        "event_count_since_field_touch": 2,  # those on later days than the visit
    }
    assert {name: seen[f"engagement_{name}"] for name in by_hand} == by_hand
    assert math.isnan(seen["engagement_days_since_last_sms_touch"])


def test_a_reply_of_medical_information_is_no_touch():
    replies = [
        Touch(touch_id=f"R{channel}", lead_id="L1", sent_at=AS_OF, channel=channel, intent="medical_information")
        for channel in ("email", "rep_visit")
    ]
    others = [touch(1, 40, "rep_visit"), touch(2, 30)]
    np.testing.assert_equal(values([*others, *replies], [event(1, 3)]), values(others, [event(1, 3)]))


def test_a_visit_is_known_from_the_events_too():
    seen = values([touch(1, 40, "rep_visit")], [event(1, 10, "field_visit"), event(2, 9), event(3, 11)])
    assert seen["engagement_days_since_last_field_touch"] == 10
    assert seen["engagement_event_count_since_field_touch"] == 1


def test_without_a_visit_what_came_after_it_is_unknown():
    seen = values([touch(1, 3)], [event(1, 2)])
    assert math.isnan(seen["engagement_days_since_last_field_touch"])
    assert math.isnan(seen["engagement_event_count_since_field_touch"])


def test_touches_not_supplied_are_unknown_and_none_is_zero():
    assert math.isnan(values(None, [])["engagement_touch_count_30d"])
    assert values([], [])["engagement_touch_count_30d"] == 0


def test_a_touch_recorded_later_is_not_known_yet():
    late = [touch(1, 10, late=timedelta(days=4))]
    assert values(late, [], AS_OF - timedelta(days=7))["engagement_touch_count_30d"] == 0
    assert values(late, [], AS_OF - timedelta(days=6))["engagement_touch_count_30d"] == 1


def test_conditions_know_of_the_last_visit_and_that_there_never_was_one():
    builder = FactBuilder.of(SETTINGS)
    inventory = Inventory.of((), SETTINGS.vocabularies)
    told = {"events": [event(1, 10, "field_visit")], "touches": [touch(1, 40, "rep_visit")]}
    for given, days in ((told, 10), ({"events": [], "touches": []}, NEVER_DAYS), ({"events": []}, -1)):
        tables = encode_records([LEAD], vocabularies=SETTINGS.vocabularies, **given)
        facts = facts_of(view_at(tables, AS_OF, VIEW), builder, inventory)
        assert facts.columns["days_since_last_field_touch"].ravel().tolist() == [days]


def test_no_window_declared_means_no_history():
    declared = SETTINGS.features.model_copy(update={"touch_windows_days": ()})
    spec = fit_spec(SETTINGS.model_copy(update={"features": declared}))
    assert not [name for name in spec.names if "touch" in name]
    tables = encode_records([Lead(lead_id="L1")], events=[], touches=[], vocabularies=SETTINGS.vocabularies)
    assert np.isnan(build_features(tables, AS_OF, spec, VIEW).matrix).any()
