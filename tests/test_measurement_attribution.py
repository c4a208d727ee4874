"""Attribution: hand-made paths, the laws of every model, and the SQL against the plain statement of it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from hashlib import blake2b

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.attribution import AttributionPlan, PositionWeights, TouchPoint
from training.measurement.attribution import MODELS, UNIT, Attribution, attribute, credits_of
from training.measurement.paths import follow_paths

DAY = 86_400_000_000
PLAN = AttributionPlan(
    conversions=("appointment", "meeting"),
    lookback_days=90,
    touch_points=(
        TouchPoint(name="ads", sent=("ads",), events=("ad_click",), once_a_day=True),
        TouchPoint(name="webinar", events=("webinar_attend",)),
        TouchPoint(name="email", sent=("email",), events=("email_click",)),
    ),
    machines=("bot",),
)
START, END = 1_000 * DAY, 1_100 * DAY
LEADS = "person BIGINT, lead_id VARCHAR, segment VARCHAR"
OUTCOMES = 'id BIGINT, person BIGINT, "at" BIGINT, kind VARCHAR, value_cents BIGINT'
TOUCHES = 'person BIGINT, "at" BIGINT, id UBIGINT, channel VARCHAR, campaign VARCHAR, asset VARCHAR, message UBIGINT'
EVENTS = (
    'person BIGINT, "at" BIGINT, id UBIGINT, kind VARCHAR, channel VARCHAR, campaign VARCHAR, asset VARCHAR, '
    "message UBIGINT, agent VARCHAR"
)


@cache
def connection() -> duckdb.DuckDBPyConnection:
    """One for all tests: opening one takes longer than crediting."""
    return duckdb.connect(config={"threads": 1})


def measured(
    outcomes: Iterable[tuple[object, ...]],
    touches: Iterable[tuple[object, ...]] = (),
    events: Iterable[tuple[object, ...]] = (),
    segments: dict[int, str | None] | None = None,
) -> duckdb.DuckDBPyConnection:
    """The relations a reading gives: outcomes (id, person, at, kind, cents), touches and events as declared above."""
    con = connection()
    people = sorted({int(str(row[1])) for row in outcomes})
    leads = [(person, f"L{person}", (segments or {}).get(person)) for person in people]
    tables = (
        ("leads", LEADS, leads),
        ("outcomes", OUTCOMES, outcomes),
        ("touches", TOUCHES, touches),
        ("events", EVENTS, events),
    )
    for name, columns, rows in tables:
        con.execute(f"CREATE OR REPLACE TABLE measured_{name} ({columns})")
        listed = list(rows)
        if listed:
            places = ", ".join([f"({', '.join('?' * len(listed[0]))})"] * len(listed))
            con.execute(f"INSERT INTO measured_{name} VALUES {places}", [value for row in listed for value in row])
    return con


def attributed(con: duckdb.DuckDBPyConnection, plan: AttributionPlan = PLAN, allows: object = None) -> Attribution:
    return attribute(con, plan, follow_paths(con, plan, START, END, allows))  # type: ignore[arg-type]


def number(name: str | None) -> int | None:
    return None if name is None else int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


def sent(person: int, day: float, channel: str = "email", **more: str) -> tuple[object, ...]:
    at = int(day * DAY)
    return (
        person,
        at,
        number(more.get("id", f"T{person}-{at}-{channel}")),
        channel,
        more.get("campaign"),
        None,
        number(more.get("message")),
    )


def did(person: int, day: float, kind: str, **more: str) -> tuple[object, ...]:
    at = int(day * DAY)
    row = (
        person,
        at,
        number(more.get("id", f"E{person}-{at}-{kind}")),
        kind,
        more.get("channel"),
        more.get("campaign"),
        None,
    )
    return (*row, number(more.get("message")), more.get("agent"))


def by_name(found: Attribution, dimension: str = "name") -> dict[str | None, tuple[Fraction, ...]]:
    return {one.name: tuple(one.credits[model] for model in MODELS) for one in found.by[dimension]}


def test_the_path_ad_webinar_email_booking_credits_as_the_story_says() -> None:
    con = measured(
        [(1, 7, 1_010 * DAY, "appointment", 300_000)],
        [sent(7, 1_008, message="M1", campaign="C-mail")],
        [did(7, 1_000, "ad_click", campaign="C-ad"), did(7, 1_004, "webinar_attend", campaign="C-webinar")],
    )
    found = attributed(con)
    assert by_name(found) == {
        "ads": (1, 0, Fraction(2, 5)),
        "webinar": (0, 0, Fraction(1, 5)),
        "email": (0, 1, Fraction(2, 5)),
    }
    assert by_name(found, "campaign")["C-ad"] == (1, 0, Fraction(2, 5))
    assert found.paths == ((("ads", "webinar", "email"), 1),)
    # 3,000.00 split 0.4 / 0.2 / 0.4.
    assert [one.values["position_based"] for one in found.by["name"]] == [120_000, 120_000, 60_000]
    assert (found.conversions, found.with_path, found.without, found.value_cents) == (1, 1, 0, 300_000)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        # One touch point has everything; two halve 0.4 and 0.4; four give 0.4, 0.1, 0.1, 0.4.
        ([5], [(1, 1, 1)]),
        ([5, 6], [(1, 0, Fraction(1, 2)), (0, 1, Fraction(1, 2))]),
        (
            [5, 6, 7, 8],
            [(1, 0, Fraction(2, 5)), (0, 0, Fraction(1, 10)), (0, 0, Fraction(1, 10)), (0, 1, Fraction(2, 5))],
        ),
        # Two at the very first instant share the first touch; with nothing in between the ends are halves.
        ([5, 5, 6], [(Fraction(1, 2), 0, Fraction(1, 4)), (Fraction(1, 2), 0, Fraction(1, 4)), (0, 1, Fraction(1, 2))]),
        # All at one instant: nobody was first.
        ([5, 5, 5], [(Fraction(1, 3),) * 3] * 3),
    ],
)
def test_one_two_many_and_tied_touch_points_share_as_derived_by_hand(days: list[int], expected: object) -> None:
    path = [(day * DAY, place) for place, day in enumerate(days)]
    assert [tuple(Fraction(part, UNIT) for part in credit) for credit in credits_of(path, PLAN)] == expected


def test_a_touch_point_counts_on_the_last_day_of_the_lookback_and_up_to_the_very_instant() -> None:
    at = 1_095.75
    con = measured(
        [(1, 1, int(at * DAY), "meeting", None)],
        [sent(1, 1_005.0), sent(1, 1_004.99), sent(1, at), sent(1, at + 1e-6)],
    )
    found = attributed(con)
    # Day 1,095 less 90 days is day 1,005; what was sent a moment after the meeting did not bring it.
    assert [one.points for one in found.by["name"]] == [2]
    assert found.unvalued == 1


def test_a_message_counts_once_with_its_clicks_and_a_machine_never() -> None:
    con = measured(
        [(1, 1, 1_020 * DAY, "meeting", None)],
        [sent(1, 1_010, message="M1"), sent(1, 1_011, "ads", id="T1"), sent(1, 1_011.5, "ads", id="T2")],
        [
            did(1, 1_010.2, "email_click", message="M1"),
            did(1, 1_012, "email_click", message="M2", agent="bot"),
            did(1, 1_011.2, "ad_click"),
        ],
    )
    assert {one.name: one.points for one in attributed(con).by["name"]} == {"email": 1, "ads": 1}


def test_a_conversion_without_a_touch_point_is_shown_as_unattributed() -> None:
    con = measured(
        [(1, 1, 1_020 * DAY, "meeting", 100), (2, 2, 1_020 * DAY, "meeting", 50), (3, 2, 1_020 * DAY, "mql", 9_999)],
        [sent(1, 1_010), sent(2, 900)],
    )
    found = attributed(con)
    assert (found.conversions, found.with_path, found.without) == (2, 1, 1)
    assert (found.value_cents, found.value_without_cents) == (150, 50)


def test_a_channel_that_the_plan_does_not_allow_is_not_followed_and_counted() -> None:
    con = measured([(1, 1, 1_020 * DAY, "meeting", None)], [sent(1, 1_010), sent(1, 1_011, "ads")])
    found = attributed(con, allows=lambda metric, channel: channel != "ads")
    assert (found.not_allowed, list(by_name(found))) == (1, ["email"])


def test_the_path_of_a_conversion_does_not_depend_on_the_window_that_reports_it() -> None:
    rows = [(1, 1, 1_050 * DAY, "meeting", None), (2, 1, 1_001 * DAY, "meeting", None)]
    touches = [sent(1, 950, message="M1"), sent(1, 1_040, "ads")]
    events = [did(1, 1_000.5, "email_click", message="M1")]
    con = measured(rows, touches, events)
    follow_paths(con, PLAN, START, END)
    wide = con.execute("SELECT number, turn >> 64 FROM path_points WHERE conversion = 1 ORDER BY turn").fetchall()
    follow_paths(con, PLAN, 1_049 * DAY, END)
    assert (
        con.execute("SELECT number, turn >> 64 FROM path_points WHERE conversion = 1 ORDER BY turn").fetchall() == wide
    )
    # The message of day 950 is too old for the first conversion; its click of day 1,000 is not.
    assert wide == [(2, int(1_000.5 * DAY)), (0, 1_040 * DAY)]


def test_what_many_touch_points_cannot_share_evenly_is_handed_out_one_by_one() -> None:
    # 25 messages: 23 are in between, and no multiple of lcm(1..20) is divisible by 23.
    con = measured(
        [(1, 1, 1_040 * DAY, "meeting", 700)], [sent(1, 1_000 + day, message=f"M{day}") for day in range(25)]
    )
    found = attributed(con)
    given = [row[0] for row in con.execute("SELECT position_based FROM credited ORDER BY rank").fetchall()]
    each, left = divmod(UNIT // 5, 23)
    assert left > 0
    assert given == [2 * UNIT // 5, *[each + (turn < left) for turn in range(23)], 2 * UNIT // 5]
    assert [one.credits["position_based"] for one in found.by["name"]] == [1]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]], PositionWeights]:
    """Few people and days, so that ties, empty paths and several conversions of one person happen often."""
    days = st.integers(min_value=990, max_value=1_030)
    outcomes = draw(
        st.lists(st.tuples(st.integers(1, 4), days, st.sampled_from(["meeting", "appointment"])), max_size=8)
    )
    touches = draw(
        st.lists(
            st.tuples(st.integers(1, 5), days, st.sampled_from(["email", "ads"]), st.sampled_from("ABC")), max_size=40
        )
    )
    first = draw(st.integers(0, 100))
    last = draw(st.integers(0, 100 - first))
    return (
        [(place, person, day * DAY, kind, 101 * place) for place, (person, day, kind) in enumerate(outcomes)],
        [sent(person, day, channel, id=f"T{i}", campaign=c) for i, (person, day, channel, c) in enumerate(touches)],
        PositionWeights(first=first / 100, last=last / 100),
    )


@given(worlds())
@settings(deadline=None, max_examples=25)
def test_credits_of_any_set_sum_to_the_conversions_and_equal_the_plain_statement(world: object) -> None:
    outcomes, touches, weights = world  # type: ignore[misc]
    plan = PLAN.model_copy(update={"position_based": weights, "lookback_days": 10})
    con = measured(outcomes, touches)
    found = attributed(con, plan)
    assert found.conversions == sum(START <= row[2] < END for row in outcomes)
    for dimension in found.by.values():
        for model in MODELS:
            assert sum(one.credits[model] for one in dimension) + found.without == found.conversions
            assert sum(one.values[model] for one in dimension) + found.value_without_cents == found.value_cents
    paths: dict[int, list[tuple[int, int]]] = {}
    for conversion, turn in con.execute(
        "SELECT conversion, turn FROM path_points ORDER BY conversion, turn"
    ).fetchall():
        paths.setdefault(conversion, []).append((turn >> 64, turn))
    columns = ", ".join(MODELS)
    scaled = con.execute(f"SELECT conversion, {columns} FROM credited ORDER BY conversion, rank").fetchall()
    assert scaled == [(conversion, *c) for conversion, path in paths.items() for c in credits_of(path, plan)]
