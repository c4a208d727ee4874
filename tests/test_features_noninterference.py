"""Questions about off-label uses go to medical information: they change nothing that sales or marketing sees."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replace_touch

from configs.conditions import facts_used, parse
from configs.settings import load_settings
from features.encode import encode_records
from features.pipeline import features_of, fit_spec
from features.records import Account, Case, Event, Lead, Touch
from features.view import ViewRules, view_at
from serving.decide import Decider
from serving.render import render

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SETTINGS = load_settings()
LEADS = ("L1", "L2", "L3")
VOCABULARIES, VIEW, SPEC = SETTINGS.vocabularies, ViewRules.of(SETTINGS), fit_spec(SETTINGS)


@pytest.fixture(scope="module")
def decider(small_world):
    return Decider.load(small_world / "bundle", SETTINGS, on=AS_OF.date())


def ago(days, seconds=0):
    return AS_OF - timedelta(days=days, seconds=seconds)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["email_open", "email_click", "page_view", "demo_request", "download"]),
        st.integers(0, 100),
        st.sampled_from([None, "pricing", "integration", "safety"]),
        st.sampled_from(LEADS),
    ),
    max_size=12,
)
ASKED = st.lists(
    st.tuples(st.integers(0, 100), st.sampled_from([None, "dosing", "safety"]), st.sampled_from(LEADS)),
    min_size=1,
    max_size=5,
)


def tables_of(events, asked, opened, leads=LEADS):
    people = [
        Lead(
            lead_id=lead,
            account_id="A" if lead != "L3" else "B",
            audience="hcp",
            country="US",
            role="physician",
            recorded_at=ago(200),
            created_at=ago(300),
        )
        for lead in leads
    ]
    done = [
        Event(event_id=f"E{i}", lead_id=lead, kind=kind, topic=topic, occurred_at=ago(days), recorded_at=ago(days),
              message_id="M", channel="web")
        for i, (kind, days, topic, lead) in enumerate(events)
        if lead in leads
    ]  # fmt: skip
    done += [
        Event(event_id=f"Q{i}", lead_id=lead, kind="off_label_question", topic=topic, occurred_at=ago(days),
              recorded_at=ago(days), message_id="M", channel="phone", depth="detailed", asset_id=None)
        for i, (days, topic, lead) in enumerate(asked)
        if lead in leads
    ]  # fmt: skip
    cases = [
        Case(case_id=f"C{i}", lead_id=lead, kind="off_label", opened_at=ago(days))
        for i, (days, _, lead) in enumerate(asked if opened else ())
        if lead in leads
    ]
    touches = [
        Touch(touch_id=lead, lead_id=lead, sent_at=ago(50, 2), message_id="M", channel="email") for lead in leads
    ]
    tables = encode_records(
        people,
        [Account(account_id="A"), Account(account_id="B")],
        done,
        touches,
        [],
        [],
        cases,
        vocabularies=SETTINGS.vocabularies,
        asset_ids=[asset.asset_id for asset in SETTINGS.assets],
        suppressions_complete_as_of=AS_OF,
    )
    return replace(tables, colleagues=None)


@settings(deadline=None, max_examples=25)
@given(events=EVENTS, asked=ASKED)
def test_off_label_questions_and_cases_change_no_commercial_number(decider, events, asked):
    without = decider.decide(tables_of(events, [], False), AS_OF)
    for opened in (False, True):
        found = decider.decide(tables_of(events, asked, opened), AS_OF)
        np.testing.assert_array_equal(found.features.matrix, without.features.matrix)
        np.testing.assert_array_equal(found.members.member, without.members.member)
        np.testing.assert_array_equal(found.members.primary, without.members.primary)
        np.testing.assert_array_equal(found.scores.log_odds, without.scores.log_odds)
        np.testing.assert_array_equal(found.scores.band, without.scores.band)
        np.testing.assert_array_equal(found.points.fit, without.points.fit)
        np.testing.assert_array_equal(found.points.engagement, without.points.engagement)
        np.testing.assert_array_equal(found.suspect_share, without.suspect_share)
        np.testing.assert_array_equal(found.known.newest_event_at, without.known.newest_event_at)


@settings(deadline=None, max_examples=10)
@given(events=EVENTS, asked=ASKED)
def test_online_the_whole_answer_is_the_same_with_and_without_the_questions(decider, events, asked):
    for lead in LEADS:
        answers = [
            render(decider.decide(tables_of(events, questions, False, (lead,)), AS_OF, threads=1), 0)
            for questions in (asked, [])
        ]
        assert answers[0] == answers[1]


def test_no_segment_and_no_points_look_at_medical_cases():
    conditions = [text for segment in SETTINGS.segments for text in segment.conditions().values()]
    conditions += [rule.when for rule in (*SETTINGS.scorecard.fit, *SETTINGS.scorecard.engagement)]
    used = {fact for text in conditions for fact in facts_used(parse(text, SETTINGS.facts, SETTINGS.parameters))}
    assert used
    assert not used & {"off_label_open", "adverse_event_open", "open_case"}
    assert not [name for name in SETTINGS.facts if "off_label_question" in name]


def test_what_a_lead_does_with_the_reply_of_medical_information_is_no_signal_either():
    person = Lead(lead_id="L1", country="US", audience="hcp", recorded_at=ago(200), created_at=ago(300))
    inventory = tuple(asset.asset_id for asset in SETTINGS.assets)
    reply = next(asset.asset_id for asset in SETTINGS.assets if asset.intent == "medical_information")
    visit = Event(event_id="V", lead_id="L1", kind="page_view", occurred_at=ago(2), recorded_at=ago(2))
    sent = Touch(
        touch_id="T", lead_id="L1", sent_at=ago(3), channel="email", intent="medical_information", message_id="M"
    )

    def matrix(*events, touch=sent, at=AS_OF):
        encoded = encode_records(
            [person], [], [visit, *events], [touch], vocabularies=VOCABULARIES, asset_ids=inventory
        )
        return features_of(view_at(encoded, at, VIEW), SPEC).matrix

    def click(event_id, **said):
        return Event(
            event_id=event_id, lead_id="L1", kind="email_click", occurred_at=ago(1), recorded_at=ago(1), **said
        )

    alone = matrix()
    assert np.array_equal(matrix(click("C", message_id="M")), alone, equal_nan=True)
    assert np.array_equal(matrix(click("D", asset_id=reply)), alone, equal_nan=True)
    assert not np.array_equal(matrix(click("E", message_id="N")), alone, equal_nan=True)
    # A reply that was recorded only later says nothing of the click yet.
    late = replace_touch(sent, recorded_at=AS_OF + timedelta(hours=1))
    assert not np.array_equal(matrix(click("C", message_id="M"), touch=late), matrix(touch=late), equal_nan=True)
