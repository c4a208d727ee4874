"""When time alone turns a condition, by hand-made timelines: days from today, None where it never will."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest

from configs.conditions import facts_used, parse
from configs.settings import Settings, load_settings
from features.asked import AskedFacts
from features.encode import encode_records
from features.evaluate import Domain, normal_form
from features.fingerprint import People
from features.records import Case, Consent, Event, Lead, Suppression, Touch
from models.segments.due import DueRules, held_back, next_due
from models.segments.leaving import NEVER, enough_left, records_end

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)


@cache
def shipped() -> Settings:
    return load_settings()


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def due(condition: str, *, lead: dict[str, Any] | None = None, **tables: Any) -> int | None:
    """Days until one lead, verified today, must be looked at again for a condition."""
    domain = Domain.of(shipped())
    parsed = parse(condition, domain.facts, domain.parameters)
    asked = AskedFacts.of(shipped(), facts_used(parsed))
    rules = DueRules.of(shipped(), [normal_form(parsed, domain, AS_OF.date())], asked)
    given = {"lead_id": "L", "country": "US", "source": "web_form", "recorded_at": ago(0), "created_at": ago(900)} | (
        lead or {}
    )
    encoded = encode_records([Lead(**given)], **tables, vocabularies=shipped().vocabularies)
    known = asked.view(encoded, AS_OF)
    people = People.of(encoded, colleagues=rules.colleagues)
    day = int(next_due(encoded, known, asked.facts(known), rules, people)[0])
    return None if day == NEVER else day - known.as_of_day


def events(*days: float, kind: str = "demo_request", **fields: Any) -> list[Event]:
    return [
        Event(
            event_id=f"{kind}{d}",
            lead_id="L",
            occurred_at=ago(d),
            recorded_at=ago(d),
            kind=kind,
            source="crm",
            **fields,
        )
        for d in days
    ]


# What vouches for the lead's country runs out after 400 days, and with it the law that says what may be used.
LAW = 401


def test_a_lead_whose_facts_are_fields_waits_for_its_record_to_grow_too_old() -> None:
    assert due("audience = 'hcp'") == LAW
    assert due("role = 'nurse'", lead={"recorded_at": ago(500)}) == 731 - 500
    assert due("audience = 'hcp'", lead={"recorded_at": ago(500)}) is None


@pytest.mark.parametrize(
    ("days", "asked", "expected"),
    [
        ((10, 20, 30), "demo_request_count_90d >= 3", 90 - 30 + 1),
        ((10, 20, 30), "demo_request_count_90d >= 2", 90 - 20 + 1),
        ((10, 20, 30), "demo_request_count_90d > 0", 90 - 10 + 1),
        ((10, 20, 30), "demo_request_count_90d >= 4", LAW),
        ((10, 20, 30), "demo_request_count_30d = 3", 1),
        ((90, 1), "demo_request_count_90d >= 2", 1),
        ((91, 1), "demo_request_count_90d >= 2", LAW),
    ],
)
def test_a_count_waits_for_as_many_events_to_leave_as_it_takes(
    days: tuple[int, ...], asked: str, expected: int
) -> None:
    assert due(asked, events=events(*days)) == expected


def test_events_of_another_kind_do_not_matter() -> None:
    given = [*events(80, kind="webinar_attend"), *events(10)]
    assert due("demo_request_count_90d >= 1", events=given) == 81


def test_a_number_of_days_waits_for_the_value_it_is_compared_with() -> None:
    assert due("days_since_last_event <= 14", events=events(5)) == 10
    assert due("days_since_last_event > 14", events=events(15)) == LAW
    assert due("days_since_verified > 30", lead={"verified_at": ago(10)}) == 21


def test_the_last_event_may_stop_counting_before_its_days_pass_anything() -> None:
    assert shipped().features.valid_days["email_open"] == 90
    consent = [Consent(lead_id="L", captured_at=ago(200), channel="email", purpose="promotion", status="granted")]
    opened = events(85, kind="email_open", agent="browser")
    assert due("days_since_last_event > 500", events=opened, consents=consent) == 90 - 85 + 1


def test_what_was_written_ahead_comes_into_force_on_its_day() -> None:
    stop = Suppression(lead_id="L", reason="reduced_communication", since_at=ago(-3), recorded_at=ago(1))
    assert due("reduced_communication = 'yes'", suppressions=[stop]) == 3
    case = Case(case_id="c", lead_id="L", opened_at=ago(4), closed_at=ago(-7), kind="meeting", recorded_at=ago(4))
    assert due("meeting_booked = 'yes'", cases=[case]) == 7
    later = Consent(lead_id="L", captured_at=ago(9), expires_at=ago(-2), channel="email", status="granted")
    assert due("audience = 'hcp'", consents=[later]) == 2
    assert due("demo_request_count_90d >= 1", events=events(-1.75)) == 2


def test_an_instant_of_today_makes_due_today() -> None:
    stop = Suppression(lead_id="L", reason="reduced_communication", since_at=ago(-0.25), recorded_at=ago(1))
    assert due("reduced_communication = 'yes'", suppressions=[stop]) == 0


def test_touches_leave_their_window() -> None:
    sent = [Touch(touch_id=str(d), lead_id="L", sent_at=ago(d), intent="promotional", channel="email") for d in (3, 20)]
    assert due("touches_30d >= 1", touches=sent) == 11
    assert due("touches_30d >= 9", touches=sent) == LAW


def test_what_cannot_be_foretold_is_asked_every_day() -> None:
    assert due("readiness > 50") == 1


def test_an_account_waits_for_the_day_on_which_as_many_events_have_left_as_it_takes() -> None:
    leaving = np.array([[0, 1, 0, 2]] * 4, dtype=np.int32)
    assert enough_left(leaving, np.array([1, 2, 3, 4])).tolist() == [1, 3, 3, NEVER]


def test_a_record_that_grows_too_old_tomorrow_is_due_tomorrow_and_one_that_is_too_old_never() -> None:
    day, found = 86_400_000_000, np.full(3, NEVER, dtype=np.int32)
    recorded = np.array([90, 91, 89]) * day + 5
    records_end(np.array([0, 1, 2], dtype=np.int32), recorded, recorded - day, np.array([10]), 100, found)
    assert found.tolist() == [101, 102, NEVER]


def test_a_dwell_is_over_on_its_day_and_who_may_come_back_is_asked_daily() -> None:
    day, yes, no = 86_400_000_000, np.ones((1, 1), dtype=np.bool_), np.zeros((1, 1), dtype=np.bool_)

    def held(member: Any, enter: Any, leave: Any, never: bool = False) -> int:
        found, since = np.full(1, NEVER, dtype=np.int32), np.full((1, 1), 100 * day)
        held_back(member, since, enter, leave, np.array([7 * day]), np.array([never]), 103 * day, found)
        return int(found[0])

    assert held(yes, yes, yes) == 107
    assert held(yes, yes, no) == NEVER
    assert held(no, yes, no) == 103
    assert held(no, yes, no, never=True) == NEVER
