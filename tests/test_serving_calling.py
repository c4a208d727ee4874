"""A permit to call ends with the calling hours of the person's place, as the cards say them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from configs.settings import load_settings
from features.evaluate import Domain
from features.facts import Facts
from features.tables import microseconds
from serving.calling import NEVER, CallingHours, calling_hours

SETTINGS = load_settings()
ON = date(2026, 11, 23)
HOURS = CallingHours.of(SETTINGS, ON)
CHANNELS = SETTINGS.vocabularies["channel"].values
AS_OF = datetime(2026, 11, 23, 15, 0, 30, tzinfo=UTC)
DOMAIN = Domain.of(SETTINGS)


def facts(*rows: tuple[str | None, str | None, int, int]) -> Facts:
    def column(name: str, place: int) -> np.ndarray:
        words = [row[place] for row in rows]
        codes = [0 if word is None else DOMAIN.code(name, str(word)) for word in words]
        return np.array(codes, dtype=np.uint8)[:, None, None]

    columns = {"jurisdiction": column("jurisdiction", 0), "us_state": column("us_state", 1)}
    for place, name in ((2, "local_minute_from"), (3, "local_minute_to")):
        columns[name] = np.array([row[place] for row in rows], dtype=np.int32)[:, None, None]
    return Facts(len(rows), (), columns)


def left(*row: object) -> float | None:
    """Hours from the minute of the question until a permit to phone ends, None where hours do not end it."""
    ends = HOURS.ends(facts(row), microseconds(AS_OF), len(CHANNELS))[0]  # type: ignore[arg-type]
    assert ends[CHANNELS.index("email")] == NEVER
    assert ends[CHANNELS.index("phone")] == ends[CHANNELS.index("sms")]
    end = int(ends[CHANNELS.index("phone")])
    return None if end == NEVER else (end - microseconds(AS_OF - timedelta(seconds=30))) / 3.6e9


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("US", "NY", 540, 540), 12.0),  # 9:00 to 21:00
        (("US", "FL", 540, 540), 11.0),  # Florida ends at 20:00
        (("US", None, 540, 720), 8.0),  # the latest possible clock says 12:00, the strictest state ends at 20:00
        (("FR", None, 660, 660), 2.0),  # 11:00 to the pause at 13:00
        (("FR", None, 900, 900), 5.0),
        (("DE", None, 1259, 1259), 1 / 60),
        (("US", "NY", 1260, 1260), None),  # not open: the permit waits
        (("US", "NY", -1, -1), None),
        (("US", "NY", 0, 1439), None),
    ],
)
def test_a_permit_to_call_ends_when_the_hours_do(row: tuple[object, ...], expected: float | None) -> None:
    assert left(*row) == (None if expected is None else pytest.approx(expected))


def test_many_leads_end_as_each_alone() -> None:
    rows = [("US", "NY", 540, 540), ("US", "FL", 540, 540), ("FR", None, 660, 660), ("US", "NY", -1, -1)]
    now = microseconds(AS_OF)
    one = {"jurisdiction": DOMAIN.code("jurisdiction", "US"), "us_state": DOMAIN.code("us_state", "FL")}
    plain = replace(facts(rows[1]), one={**one, "local_minute_from": 540, "local_minute_to": 540})
    assert np.array_equal(HOURS.ends(plain, now, len(CHANNELS)), HOURS.ends(facts(rows[1]), now, len(CHANNELS)))
    together = HOURS.ends(facts(*rows), now, len(CHANNELS))
    alone = [HOURS.ends(facts(row), now, len(CHANNELS))[0] for row in rows]
    assert np.array_equal(together, np.stack(alone))


def test_at_its_end_the_card_stops_and_a_minute_before_it_does_not() -> None:
    for law, state, minute in (("US", "FL", 540), ("CA", None, 610), ("FR", None, 870), ("UK", None, 500)):
        hours = left(law, state, minute, minute)
        assert hours is not None
        end = minute + round(hours * 60)
        codes = {"jurisdiction": DOMAIN.code("jurisdiction", law)}
        codes["us_state"] = 0 if state is None else DOMAIN.code("us_state", state)
        (_, card) = HOURS.cards[0]
        last = {**codes, "local_minute_from": end - 1, "local_minute_to": end - 1}
        assert card(last) == -1 and card({**codes, "local_minute_from": end, "local_minute_to": end}) != -1


def test_the_hours_of_a_day_are_made_once() -> None:
    assert calling_hours(SETTINGS, ON) is calling_hours(SETTINGS, ON)
    assert len(HOURS.cards) == 1
