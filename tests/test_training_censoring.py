"""What the records cannot tell is counted and never taken for failure: late history, late records, short windows."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from configs.errors import InputInvalid
from features.tables import MICROSECONDS_A_DAY, Tables, microseconds
from tests.test_training_dataset import AS_OF, KIND, LATEST, SEGMENTS, SMALL, ago, build, outcomes, world
from training.dataset.censoring import (
    MIN_DELAYS,
    Starts,
    history_start,
    recording_delay,
    reverse_product_limit,
    silent_since,
    window_days,
)
from training.dataset.dataset import build_dataset
from training.dataset.targets import labels

NOW = microseconds(AS_OF)
DEMO = KIND.code("demo")


def days_ago(*days: float) -> np.ndarray:
    return np.array([NOW - round(day * MICROSECONDS_A_DAY) for day in days], dtype=np.int64)


def won(last_day: float) -> Tables:
    """The world of the dataset's tests with a meeting of every third lead on each of the last days until one."""
    days = [1.0 + 20 * k for k in range(20) if 1 + 20 * k <= last_day]
    rows = [(i, "meeting", ago(day), ago(day)) for day in days for i in range(0, 300, 3)]
    return dataclasses.replace(world(), outcomes=outcomes(rows))


def test_history_begins_at_the_first_record_and_a_stray_date_begins_nothing() -> None:
    steady = [k / 4 for k in range(4 * 100)]  # 4 a day for 100 days
    found = history_start(days_ago(*steady), NOW)
    assert found is not None
    # -log(0.01) / 4 a day = 1.15 days without any are chance
    assert (NOW - found) / MICROSECONDS_A_DAY == pytest.approx(99.75 + 1.15, abs=0.1)
    many = [k / 40 for k in range(40 * 100)]  # 280 a week: a week with one record holds less than a hundredth
    assert history_start(days_ago(*many, 900), NOW) == pytest.approx(history_start(days_ago(*many), NOW), abs=1e9)
    assert history_start(days_ago(), NOW) is None


def test_a_rare_outcome_is_not_missing_because_none_came_in_the_first_days() -> None:
    rare = history_start(days_ago(*[100 - 10 * k for k in range(10)]), NOW)
    often = history_start(days_ago(*[100 - k for k in range(100)]), NOW)
    assert rare is not None and often is not None
    # one in ten days: 46 days without any are chance; one a day: under 5 days
    assert (NOW - rare) / MICROSECONDS_A_DAY == pytest.approx(146, abs=6)
    assert (NOW - often) / MICROSECONDS_A_DAY == pytest.approx(104.6, abs=1)


def test_a_snapshot_from_before_outcomes_were_recorded_has_no_rows_and_its_leads_are_counted() -> None:
    whole, late = build(won(400)), build(won(121))
    assert set(whole.order.tolist()) == {0.0, 1.0, 2.0}
    # Snapshots 180, 120 and 60 days ago; meetings are recorded since 121 days ago.
    assert set(late.order.tolist()) == {1.0, 2.0}
    assert late.counts["outcomes not recorded yet at the snapshot"] == 300
    assert late.history is not None and whole.history is not None
    assert [line.outcomes_not_recorded for line in late.history.snapshots] == [300, 0, 0]
    assert not whole.history.warnings()
    assert "1 of 3 snapshots" in late.history.warnings()[0]
    # What is left has the labels that it had.
    kept = whole.order > 0
    assert np.array_equal(whole.y[kept], late.y)
    assert np.array_equal(whole.X[kept], late.X, equal_nan=True)


def test_a_snapshot_is_used_from_the_very_instant_that_outcomes_are_declared_to_be_recorded_from() -> None:
    def rows_with(day: date) -> set[float]:
        history = SMALL.targets.history.model_copy(update={"outcomes_from": day})
        settings = SMALL.model_copy(update={"targets": SMALL.targets.model_copy(update={"history": history})})
        return set(build_dataset(won(121), settings, SEGMENTS, AS_OF).order.tolist())

    # AS_OF is at noon: the snapshot of 180 days ago is at noon of the day whose midnight is declared.
    first = (AS_OF - timedelta(days=180)).date()
    assert rows_with(first) == {0.0, 1.0, 2.0}
    assert rows_with(first + timedelta(days=1)) == {1.0, 2.0}


def test_outcomes_that_were_never_recorded_in_time_stop_training_and_the_error_says_since_when() -> None:
    with pytest.raises(InputInvalid, match=r"expected outcomes recorded since before 2026-05-01.*outcomes_from"):
        build(won(30))
    with pytest.raises(InputInvalid, match="were never recorded"):
        build(dataclasses.replace(world(), outcomes={}))


def test_every_lead_of_every_snapshot_is_counted_once() -> None:
    for tables in (won(400), won(121), world(late=20)):
        dataset = build(tables)
        assert dataset.history is not None
        for line in dataset.history.snapshots:
            parts = (line.not_known_yet, line.not_learned_from, line.outcomes_not_recorded, line.events_too_short)
            assert line.rows + sum(parts) == line.leads == 300
        assert sum(line.rows for line in dataset.history.snapshots) == len(dataset.y)
        young = int((~np.isin(np.arange(300), dataset.lead)).sum())
        assert dataset.history.too_young == young
        assert dataset.history.leads == 300


def test_leads_too_young_for_a_label_are_told_apart() -> None:
    history = build(world(late=20)).history
    assert history is not None
    assert history.too_young == 20
    assert "Of 300 leads known today 280 were known at the latest snapshot; 20 are too young" in history.words()[0]


@examples(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 299), st.integers(0, 40)), max_size=30))
def test_outcomes_from_before_a_snapshot_change_no_label(rows: list[tuple[int, int]]) -> None:
    before = [(lead, "demo", LATEST - timedelta(days=day), LATEST) for lead, day in rows]
    own = [(3, "demo", LATEST + timedelta(days=1), AS_OF)]
    plain, more = (dataclasses.replace(BASE, outcomes=outcomes(found)) for found in (own, own + before))
    assert np.array_equal(labels(plain, SMALL, LATEST, AS_OF), labels(more, SMALL, LATEST, AS_OF))


@examples(max_examples=5, deadline=None)
@given(st.integers(0, 60))
def test_leads_that_came_after_the_latest_snapshot_change_no_row_of_the_others(late: int) -> None:
    whole, fewer = build(world()), build(world(late=late))
    others = whole.lead < 300 - late
    assert np.array_equal(whole.lead[others], fewer.lead)
    assert np.array_equal(whole.y[others], fewer.y)


BASE = world()


def events_from(days: float) -> Tables:
    """The world with an event of every lead on each day since some days ago, and none before."""
    at = np.repeat(days_ago(*np.arange(1.0, days + 1)), 300)
    lead = np.tile(np.arange(300, dtype=np.int32), int(days))
    rows = {name: np.resize(column, len(at)) for name, column in BASE.events.items()}
    made = {**rows, "lead": lead, "occurred_at": at, "recorded_at": at}
    return dataclasses.replace(won(400), events=made)


def test_a_row_with_too_few_days_of_events_is_left_out_and_one_with_some_is_told() -> None:
    # Leads are 300 days old; events begin 165 days ago; snapshots are 180, 120 and 60 days ago.
    history = build(events_from(165)).history
    assert history is not None
    lines = history.snapshots
    assert [line.events_too_short for line in lines] == [300, 0, 0]  # none, 45 days, 105 days of events
    assert [line.truncated for line in lines] == [0, 300, 0]  # 45 of 90 days
    assert window_days(SMALL) == 90
    said = " ".join(history.warnings())
    assert "300 rows of leads older than that" in said and "300 rows kept see less than their 90 days" in said


def test_too_little_to_learn_from_names_what_the_records_could_not_carry() -> None:
    # Events since 130 days: 10 days of them 120 days ago, so that only the latest snapshot is left, and nothing trains.
    with pytest.raises(InputInvalid, match=r"to train, found 0 and 0; events are recorded from .* 600 rows"):
        build(events_from(130))


def test_a_lead_younger_than_the_event_history_misses_nothing() -> None:
    young = events_from(130)
    created = np.full(300, NOW - 125 * MICROSECONDS_A_DAY)
    tables = dataclasses.replace(young, leads={**young.leads, "created_at": created, "recorded_at": created})
    history = build(tables).history
    assert history is not None
    assert sum(line.events_too_short + line.truncated for line in history.snapshots) == 0
    assert [line.rows for line in history.snapshots] == [0, 300, 300]


def test_a_declared_start_of_events_is_taken_as_it_is() -> None:
    history = SMALL.targets.history.model_copy(update={"events_from": date(2026, 1, 2)})
    settings = SMALL.model_copy(update={"targets": SMALL.targets.model_copy(update={"history": history})})
    starts = Starts.of(BASE, settings, AS_OF)
    assert starts.events == NOW - int((179.5) * MICROSECONDS_A_DAY)
    assert starts.declared == ("events",)


def test_the_share_recorded_by_a_delay_is_the_reverse_time_product_limit() -> None:
    # Delays 1, 1, 2, 3 days; the two first could be seen up to 1 day only.
    # At 3: seen with at most 3 and watched for 3: two, one of them took 3: a half is below 3.
    # At 2: delay at most 2 and watched for 2: one, it took 2: nothing of that half is below 2... of those two.
    values, cdf = reverse_product_limit(np.array([1.0, 1.0, 2.0, 3.0]), np.array([9.0, 1.0, 9.0, 9.0]))
    # at risk: at 3 the three watched for 9 days, 1 of 3; at 2 the two of them with at most 2, 1 of 2
    assert values.tolist() == [1.0, 2.0, 3.0]
    assert cdf == pytest.approx([(1 - 1 / 3) * (1 - 1 / 2), 1 - 1 / 3, 1.0])


def test_where_everything_was_watched_long_enough_it_is_the_plain_share() -> None:
    delays = np.array([0.0, 0.0, 1.0, 4.0, 4.0, 8.0])
    values, cdf = reverse_product_limit(delays, np.full(6, 100.0))
    assert cdf == pytest.approx([2 / 6, 3 / 6, 5 / 6, 1.0])
    assert values.tolist() == [0.0, 1.0, 4.0, 8.0]


def test_the_outcomes_still_to_come_are_estimated_without_the_bias_of_what_is_seen() -> None:
    # 40 outcomes a day; of each day's, half are recorded at once and half after 20 days. What is younger than 20 days
    # is seen by half, so of the last 60 days 20/60 * 1/2 = a sixth is missing.
    rng = np.random.default_rng(3)
    at = np.repeat(np.arange(0.5, 200), 40)
    delay = np.where(rng.random(len(at)) < 0.5, 0.0, 20.0)
    columns = {
        "lead": np.zeros(len(at), dtype=np.int32),
        "kind": np.full(len(at), DEMO, dtype=np.uint8),
        "occurred_at": days_ago(*at),
        "recorded_at": days_ago(*(at - delay)),
    }
    found = recording_delay(columns, (DEMO,), AS_OF - timedelta(days=60), AS_OF, AS_OF)
    assert found is not None
    assert found.unrecorded == pytest.approx(1 / 6, abs=0.02)
    assert found.later == pytest.approx((0.5, 0.5, 0.0), abs=0.02)


def test_too_few_outcomes_say_nothing_of_their_delay() -> None:
    few = outcomes([(0, "demo", ago(5), ago(4))] * (MIN_DELAYS - 1))
    assert recording_delay(few, (DEMO,), LATEST, AS_OF, AS_OF) is None
    assert recording_delay({}, (DEMO,), LATEST, AS_OF, AS_OF) is None


def test_data_taken_long_before_now_are_told_and_a_quiet_week_or_a_rare_outcome_is_not() -> None:
    def since(*ages: float) -> date | None:
        rows = [(k % 300, "demo", ago(age), ago(age)) for k, age in enumerate(ages)]
        return silent_since(outcomes(rows), (DEMO,), AS_OF)

    daily = [float(k) for k in range(90)]
    assert since(*daily) is None
    # One a day: at 7 days it may be a holiday, at 20 days chance is e^-20.
    assert since(*(7.0 + day for day in daily)) is None
    assert since(*(20.0 + day for day in daily)) == ago(20).date()
    # One in ten days: 20 days without any come in one of seven cases.
    assert since(*(20.0 + 10 * day for day in daily)) is None
    assert silent_since(outcomes([]), (DEMO,), AS_OF) is None


def test_an_export_of_three_weeks_ago_is_warned_of_when_its_labels_are_made_today() -> None:
    assert build(won(365)).history.silent_since is None
    days = [22.0 + 20 * k for k in range(17)]
    stale = dataclasses.replace(
        world(), outcomes=outcomes([(i, "meeting", ago(d), ago(d)) for d in days for i in range(0, 300, 3)])
    )
    told = build_dataset(stale, SMALL, SEGMENTS, AS_OF).history
    assert told is not None and told.silent_since == ago(22).date()
    assert told.warnings()[0].startswith(f"no outcome was recorded after {ago(22).date()}")


def test_labels_that_are_likely_incomplete_are_warned_of() -> None:
    history = build(won(400)).history
    assert history is not None and history.delay is not None and not history.late
    late = dataclasses.replace(history, delay=dataclasses.replace(history.delay, unrecorded=0.2))
    assert late.late
    assert any("about 20%" in words and "settle_days" in words for words in late.warnings())
