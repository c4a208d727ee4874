"""Which touch points a conversion is credited to: first touch, last touch and position-based, in whole numbers.

A conversion is UNIT credits. UNIT is a multiple of 100 and of every number up to 20, so that weights in hundredths and
shares among up to 20 touch points are exact; what a larger number leaves over goes one by one in a stated order
(largest remainder). Touch points of the very same instant share: no order is invented for them.

    first touch      all to the earliest
    last touch       all to the latest
    position-based   declared weights to the earliest and the latest, the rest in equal parts to those in between; with
                     nothing in between both weights are scaled to make one; a path of one instant shares equally

INVARIANT: in every model the credits of any set of paths, and what is unattributed, sum to the conversions exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING

from configs.attribution import AttributionPlan

if TYPE_CHECKING:
    import duckdb

UNIT = 5 * lcm(*range(1, 21))
MODELS = ("first_touch", "last_touch", "position_based")
DIMENSIONS = ("name", "campaign", "asset")
MOST_PATHS = 12

_SHARES = """
CREATE OR REPLACE TEMP TABLE credited AS
WITH ordered AS (
    SELECT *, (turn >> 64)::BIGINT AS instant, row_number() OVER w - 1 AS rank, lag(number) OVER w AS before
    FROM path_points WINDOW w AS (PARTITION BY conversion ORDER BY turn)
), bounds AS (
    SELECT conversion, (min(turn) >> 64)::BIGINT AS first_at, (max(turn) >> 64)::BIGINT AS last_at, count(*) AS points
    FROM path_points GROUP BY conversion
), ends AS (
    SELECT conversion, any_value(first_at) AS first_at, any_value(last_at) AS last_at, any_value(points) AS points,
        count(*) FILTER (instant = first_at) AS firsts, count(*) FILTER (instant = last_at) AS lasts
    FROM ordered JOIN bounds USING (conversion) GROUP BY conversion
), placed AS (
    SELECT o.*, CASE WHEN first_at = last_at THEN 0 WHEN instant = first_at THEN 1 WHEN instant = last_at THEN 3 ELSE 2
        END AS place, firsts, lasts, points - firsts - lasts AS middles, points
    FROM ordered o JOIN ends USING (conversion)
), given AS (
    SELECT *,
        CASE place WHEN 0 THEN points WHEN 1 THEN firsts WHEN 2 THEN middles ELSE lasts END AS many,
        CASE place WHEN 2 THEN rank - firsts WHEN 3 THEN rank - firsts - middles ELSE rank END AS nth,
        CASE WHEN place <= 1 THEN {unit} ELSE 0 END AS for_first,
        CASE WHEN place = 0 OR place = 3 THEN {unit} ELSE 0 END AS for_last,
        CASE place
            WHEN 0 THEN {unit}
            WHEN 1 THEN CASE WHEN middles > 0 THEN {first} ELSE {first_alone} END
            WHEN 3 THEN CASE WHEN middles > 0 THEN {last} ELSE {last_alone} END
            ELSE {middle} END AS for_position
    FROM placed
)
SELECT conversion, number, campaign, asset, c.segment, c.value_cents, rank, before,
    for_first // many + CASE WHEN nth < for_first % many THEN 1 ELSE 0 END AS first_touch,
    for_last // many + CASE WHEN nth < for_last % many THEN 1 ELSE 0 END AS last_touch,
    for_position // many + CASE WHEN nth < for_position % many THEN 1 ELSE 0 END AS position_based
FROM given JOIN (SELECT conversion, segment, value_cents FROM path_conversions) c USING (conversion)
"""


@dataclass(frozen=True, slots=True)
class Weights:
    """What the position-based model gives, in credits: with touch points in between, and without."""

    first: int
    middle: int
    last: int
    first_alone: int
    last_alone: int

    @classmethod
    def of(cls, plan: AttributionPlan) -> Weights:
        """The declared weights; where both ends weigh nothing, a path without a middle is halved."""
        first, last = plan.position_based.hundredths
        alone = first * UNIT // (first + last) if first + last else UNIT // 2
        each = UNIT // 100
        return cls(first * each, UNIT - (first + last) * each, last * each, alone, UNIT - alone)


@dataclass(frozen=True, slots=True)
class Credit:
    """What one touch point kind, campaign, asset or segment is credited with; None is one that is not known.

    `points` are touch points and `conversions` those with at least one of them; credits and values by model, exact,
    values in cents.
    """

    name: str | None
    points: int
    conversions: int
    credits: Mapping[str, Fraction]
    values: Mapping[str, Fraction]


@dataclass(frozen=True, slots=True)
class Attribution:
    """Conversions of a window and what each model credits; `with_path` + `without` = `conversions`.

    `unvalued` conversions carry no value. `by` has the credits of each of DIMENSIONS, `paths` the most frequent orders
    of touch points with their conversions and `other_paths` the conversions of all others; values are cents.
    `not_allowed` are touch points that the measurement plan does not follow on their channel, which are in no path.
    """

    conversions: int
    with_path: int
    without: int
    unvalued: int
    value_cents: int
    value_without_cents: int
    by: Mapping[str, tuple[Credit, ...]]
    by_segment: Mapping[str | None, tuple[Credit, ...]]
    segment_conversions: Mapping[str | None, tuple[int, int]]
    paths: tuple[tuple[tuple[str, ...], int], ...]
    other_paths: int
    not_allowed: int


def credits_of(path: Sequence[tuple[int, int]], plan: AttributionPlan) -> list[tuple[int, int, int]]:
    """Credits of each touch point of a path, given as (instant, number of its own) in any order, under the MODELS.

    The plain statement of what the SQL does at scale; a differential test holds both equal.
    """
    weights = Weights.of(plan)
    if not path:
        return []
    first, last = min(path)[0], max(path)[0]
    place = [0 if first == last else 1 if at == first else 3 if at == last else 2 for at, _ in path]
    between = 2 in place
    totals = {
        0: (UNIT, UNIT, UNIT),
        1: (UNIT, 0, weights.first if between else weights.first_alone),
        2: (0, 0, weights.middle),
        3: (0, UNIT, weights.last if between else weights.last_alone),
    }
    found = [(0, 0, 0)] * len(path)
    for group in set(place):
        members = sorted((i for i in range(len(path)) if place[i] == group), key=lambda i: path[i])
        for turn, i in enumerate(members):
            one, two, three = (total // len(members) + (turn < total % len(members)) for total in totals[group])
            found[i] = (one, two, three)
    return found


def attribute(con: duckdb.DuckDBPyConnection, plan: AttributionPlan, not_allowed: int = 0) -> Attribution:
    """Credit the touch points of `path_points` with the conversions of `path_conversions` (see `paths.py`)."""
    weights, names = Weights.of(plan), [point.name for point in plan.touch_points]
    con.execute(
        _SHARES.format(
            unit=UNIT,
            first=weights.first,
            middle=weights.middle,
            last=weights.last,
            first_alone=weights.first_alone,
            last_alone=weights.last_alone,
        )
    )
    found = _one(
        con,
        "SELECT count(*), count(*) FILTER (value_cents IS NULL), coalesce(sum(value_cents), 0) FROM path_conversions",
    )
    reached = _one(
        con,
        "SELECT count(*), coalesce(sum(value_cents), 0) FROM path_conversions "
        "WHERE conversion IN (SELECT conversion FROM credited)",
    )
    inside: dict[str | None, list[Credit]] = {}
    for segment, credit in _credits(con, ("segment", "number"), names):
        inside.setdefault(segment, []).append(credit)
    paths, others = _paths(con, names)
    segments = con.execute(
        "SELECT segment, count(*), count(*) FILTER (conversion IN (SELECT conversion FROM credited)) "
        "FROM path_conversions GROUP BY segment"
    ).fetchall()
    return Attribution(
        conversions=int(found[0]),
        with_path=int(reached[0]),
        without=int(found[0]) - int(reached[0]),
        unvalued=int(found[1]),
        value_cents=int(found[2]),
        value_without_cents=int(found[2]) - int(reached[1]),
        by={
            dimension: tuple(credit for _, credit in _credits(con, (column,), names))
            for dimension, column in zip(DIMENSIONS, ("number", "campaign", "asset"), strict=True)
        },
        by_segment={segment: tuple(credits) for segment, credits in inside.items()},
        segment_conversions={segment: (int(all_), int(with_)) for segment, all_, with_ in segments},
        paths=paths,
        other_paths=others,
        not_allowed=not_allowed,
    )


def _credits(
    con: duckdb.DuckDBPyConnection, keys: tuple[str, ...], names: Sequence[str]
) -> list[tuple[str | None, Credit]]:
    """Sums by these columns with the first of them, largest position-based credit first; a number is named."""
    sums = ", ".join(f"sum({m}::HUGEINT), coalesce(sum({m}::HUGEINT * value_cents), 0)" for m in MODELS)
    rows = con.execute(
        f"SELECT {', '.join(keys)}, count(*), count(DISTINCT conversion), {sums} FROM credited GROUP BY ALL "
        f"ORDER BY sum(position_based) DESC, {', '.join(f'{key} NULLS LAST' for key in keys)}"
    ).fetchall()
    found = []
    for row in rows:
        named = names[row[len(keys) - 1]] if keys[-1] == "number" else row[len(keys) - 1]
        points, conversions, *numbers = (int(number) for number in row[len(keys) :])
        credit = Credit(
            named,
            points,
            conversions,
            {model: Fraction(numbers[2 * i], UNIT) for i, model in enumerate(MODELS)},
            {model: Fraction(numbers[2 * i + 1], UNIT) for i, model in enumerate(MODELS)},
        )
        found.append((row[0], credit))
    return found


def _paths(con: duckdb.DuckDBPyConnection, names: Sequence[str]) -> tuple[tuple[tuple[tuple[str, ...], int], ...], int]:
    """The most frequent paths, one step for touch points of one name in a row, and the conversions of all others."""
    rows = con.execute(
        """
        WITH walked AS (
            SELECT list(number ORDER BY rank) AS path
            FROM credited WHERE number IS DISTINCT FROM before GROUP BY conversion
        )
        SELECT path, count(*) AS many FROM walked GROUP BY path ORDER BY many DESC, path
        """
    ).fetchall()
    shown = tuple((tuple(names[number] for number in path), int(many)) for path, many in rows[:MOST_PATHS])
    return shown, sum(int(many) for _, many in rows[MOST_PATHS:])


def _one(con: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = con.execute(query).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without groups has one row
    return tuple(row)
