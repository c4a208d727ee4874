"""The funnel by hand-made timelines: exactly at the horizon, a microsecond after, too young, before the records."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf

from configs.errors import InputInvalid
from features.encode import encode_records
from features.records import Lead
from features.tables import MICROSECONDS_A_DAY, Tables, microseconds
from tests.test_training_dataset import AS_OF, SHIPPED, ago, outcomes
from training.measurement.funnel import MIN_LEADS, NEVER, funnel, incidence, product_limit, stage_starts

NOW = microseconds(AS_OF)
DAY = MICROSECONDS_A_DAY


def follow(rows: list[tuple[float, float | None]], horizon_days: int = 30):
    """Incidence of leads given as (days since creation, days until reached or None)."""
    start = np.array([NOW - round(age * DAY) for age, _ in rows], dtype=np.int64)
    reached = [
        NEVER if days is None else begin + round(days * DAY) for begin, (_, days) in zip(start, rows, strict=True)
    ]
    return incidence(start, np.array(reached, dtype=np.int64), NOW, horizon_days)


def test_exactly_at_the_horizon_counts_and_a_microsecond_later_does_not() -> None:
    start = np.full(MIN_LEADS, NOW - 40 * DAY)
    at = np.full(MIN_LEADS, NEVER)
    at[0], at[1] = start[0] + 30 * DAY, start[1] + 30 * DAY + 1
    found = incidence(start, at, NOW, 30)
    assert (found.reached, found.without, found.too_young) == (1, MIN_LEADS - 1, 0)
    assert found.share == pytest.approx(1 / MIN_LEADS)
    assert found.median_days == 30.0


def test_a_lead_is_too_young_up_to_the_microsecond_before_its_horizon_ends() -> None:
    start = np.full(MIN_LEADS, NOW - 30 * DAY)
    start[0] += 1
    found = incidence(start, np.full(MIN_LEADS, NEVER), NOW, 30)
    assert (found.without, found.too_young) == (MIN_LEADS - 1, 1)


def test_leads_too_young_are_watched_as_long_as_they_are_known_and_are_no_failures() -> None:
    # 10 old leads, 5 of them reach it on day 20. 10 leads are 10 days old: watched for 10 days, then not any more.
    rows = [(40.0, 20.0)] * 5 + [(40.0, None)] * 5 + [(10.0, None)] * 10
    found = follow(rows)
    assert found.share == pytest.approx(0.5)  # and not 5 of 20
    assert (found.leads, found.reached, found.without, found.too_young) == (20, 5, 5, 10)
    # 10 more that reached it on day 5, though only 10 days old: at risk on day 5 were 30, then 10 of the old.
    more = follow(rows + [(10.0, 5.0)] * 10)
    assert more.share == pytest.approx(1 - (20 / 30) * (5 / 10))


def test_nobody_there_has_the_exact_upper_end_of_none_and_few_or_young_leads_have_no_share() -> None:
    none = follow([(40.0, None)] * 50)
    assert (none.share, none.low) == (0.0, 0.0)
    # (1 - high) ** 50 = 0.025
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 50))
    assert follow([(40.0, 3.0)] * (MIN_LEADS - 1)).share is None
    assert follow([(20.0, 3.0)] * 40).share is None  # nobody was watched for 30 days
    everybody = follow([(40.0, 3.0)] * 50)
    assert (everybody.share, everybody.high) == (1.0, 1.0)
    assert everybody.low == pytest.approx(0.025 ** (1 / 50))


@examples(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.one_of(st.none(), st.integers(0, 60))), min_size=30, max_size=80))
def test_it_is_the_product_limit_of_scipy(rows: list[tuple[int, int | None]]) -> None:
    seen = [(float(age), float(days) if days is not None and days <= age else None) for age, days in rows]
    found = follow(seen)
    assert found.reached + found.without + found.too_young == found.leads == len(rows)
    within = [days for _, days in seen if days is not None and days <= 30]
    if found.share is None or not within:
        return
    right = [min(age, 30.0) for age, days in seen if days is None or days > 30]
    theirs = ecdf(CensoredData(uncensored=within, right=right)).sf.evaluate(30)
    assert found.share == pytest.approx(1 - float(theirs), abs=1e-12)
    assert found.low is not None and found.high is not None and found.median_days is not None
    assert 0.0 <= found.low <= found.share <= found.high <= 1.0
    assert 0.0 <= found.median_days <= 30.0


@examples(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 29), max_size=40))
def test_leads_created_within_the_horizon_change_no_share_at_their_age_or_before(ages: list[int]) -> None:
    old = [(50.0, 29.5)] * 6 + [(50.0, None)] * 30
    # Younger than any event that came: they were never at risk when one did.
    assert follow(old + [(float(age), None) for age in ages]).share == pytest.approx(follow(old).share)


def test_greenwoods_sum_by_hand() -> None:
    # 4 at risk at day 1, one event; at day 2 one leaves; 2 at risk at day 3, one event.
    at, survival, variance = product_limit(np.array([1, 2, 3, 4]), np.array([True, False, True, False]))
    assert at.tolist() == [1, 3]
    assert survival == pytest.approx([3 / 4, 3 / 8])
    assert variance == pytest.approx([1 / (4 * 3), 1 / (4 * 3) + 1 / (2 * 1)])


def test_a_stage_is_told_since_it_and_every_later_one_were_recorded() -> None:
    assert stage_starts([5, None, 3, 9]) == [9, 9, 9, 9]
    assert stage_starts([9, None, 3, None]) == [9, 3, 3, None]
    assert stage_starts([None, None]) == [None, None]


def crm(created: list[float], rows: list[tuple[int, str, float]]) -> Tables:
    """Leads created so many days ago, and outcomes as (lead, kind, days ago)."""
    people = [
        Lead(lead_id=f"L{i:03d}", country="US", audience="buyer", created_at=ago(days), recorded_at=ago(days))
        for i, days in enumerate(created)
    ]
    tables = encode_records(
        people, touches=[], consents=[], suppressions=[], cases=[], vocabularies=SHIPPED.vocabularies,
        suppressions_complete_as_of=AS_OF,
    )  # fmt: skip
    return dataclasses.replace(tables, outcomes=outcomes([(i, kind, ago(at), ago(at)) for i, kind, at in rows]))


def test_a_lead_is_followed_from_its_creation_through_stages_that_imply_each_other() -> None:
    # Forty leads, 100 to 61 days old, since outcomes are recorded: an mql on the first day of the history.
    created = [100.0 - i for i in range(40)]
    rows = [(0, "mql", 100.0)] + [(i, "mql", 100.0 - i - 5) for i in range(1, 20)]  # 5 days after creation
    rows += [(i, "sql", 100.0 - i - 15) for i in range(10)]  # 15 days after, sal never recorded
    rows += [(39, "demo", 59.0)]  # straight to the meeting, 2 days after creation
    found = funnel(crm(created, rows), SHIPPED, AS_OF, horizon_days=30, by_segment=False)
    stages = {row.stage: row for row in found.groups[0].stages}
    assert stages["mql"].from_creation.reached == 21
    assert stages["mql"].implied == 1
    assert (stages["sal"].recorded, stages["sql"].recorded) == (False, True)
    assert stages["sal"].from_creation == stages["sql"].from_creation
    assert stages["sal"].implied == stages["sal"].from_creation.reached
    assert stages["opportunity"].since is None and stages["opportunity"].from_creation.leads == 0
    assert sum(found.counts.values()) == found.read == 40


def test_a_lead_from_before_the_records_is_left_out_and_counted() -> None:
    created = [400.0] * 30 + [100.0 - i for i in range(40)]
    rows = [(30 + i, "mql", 100.0 - i) for i in range(40)]
    found = funnel(crm(created, rows), SHIPPED, AS_OF, horizon_days=30, by_segment=False)
    assert found.counts["created before outcomes were recorded"] == 30
    assert found.counts["followed from their creation"] == 40
    assert found.groups[0].stages[0].from_creation.share == 1.0
    # One a day until 61 days ago and none since: the records were taken then, and what came later is not in them.
    assert found.silent_since == ago(61).date()


def test_an_outcome_from_before_a_leads_creation_is_a_contradiction_and_is_counted() -> None:
    created = [100.0 - i for i in range(40)]
    rows = [(i, "mql", 100.0 - i) for i in range(39)] + [(39, "mql", 90.0)]  # created 61 days ago
    found = funnel(crm(created, rows), SHIPPED, AS_OF, horizon_days=30, by_segment=False)
    assert found.counts["an outcome before their creation"] == 1
    assert sum(found.counts.values()) == 40


def test_without_any_outcome_there_is_no_funnel() -> None:
    with pytest.raises(InputInvalid, match="no outcome of any stage was recorded"):
        funnel(crm([50.0] * 30, []), SHIPPED, AS_OF, horizon_days=30)


def test_segments_share_out_the_leads_by_what_was_known_soon_after_creation() -> None:
    created = [100.0 - i for i in range(40)]
    found = funnel(crm(created, [(i, "mql", 100.0 - i) for i in range(40)]), SHIPPED, AS_OF, horizon_days=30)
    everybody, *others = (group.stages[0].from_creation.leads for group in found.groups)
    assert everybody == sum(others) == 40
    assert found.as_of == datetime(2026, 6, 30, 12, tzinfo=UTC)
