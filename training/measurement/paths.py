"""The touch points before each conversion: what is followed, how far back, and what counts once.

A path holds the touch points of the conversion's person from `lookback_days` whole UTC days before the conversion's day
up to the conversion's very instant. What counts once is settled inside the path, so that the same conversion has the
same path whatever window is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from configs.attribution import AttributionPlan
from features.tables import MICROSECONDS_A_DAY

if TYPE_CHECKING:
    import duckdb


class Allows(Protocol):
    """The measurement plan's answer: may a metric be computed on a channel; None is a channel that is not known."""

    def __call__(self, metric: Literal["attribution"], channel: str | None, /) -> bool:
        """Whether it may."""


_CONVERSIONS = """
CREATE OR REPLACE TEMP TABLE path_conversions AS
SELECT o.id AS conversion, o.person, o."at" AS instant, o.value_cents, l.segment
FROM measured_outcomes o LEFT JOIN (SELECT person, segment FROM measured_leads) l USING (person)
WHERE o."at" >= {start} AND o."at" < {end} AND o.kind IN (SELECT kind FROM path_kinds WHERE what = 'conversion')
"""
# What counts once has one key: a message with all that answers it; where declared, a name's touch points of one day;
# else the row itself. `turn` orders rows by time and, where that is equal, by their own number.
_CANDIDATES = """
CREATE OR REPLACE TEMP TABLE path_candidates AS
WITH both_tables AS (
    SELECT t.person, t."at" AS instant, k.number, t.campaign::VARCHAR AS campaign, t.asset::VARCHAR AS asset,
        t.channel::VARCHAR AS channel, k.once_a_day, t.message, t.id >> 1 AS own
    FROM measured_touches t JOIN path_kinds k ON k.what = 'sent' AND k.kind = t.channel
    WHERE t."at" >= {earliest} AND t."at" < {end}
    UNION ALL
    SELECT e.person, e."at", k.number, e.campaign::VARCHAR, e.asset::VARCHAR,
        coalesce(e.channel::VARCHAR, k.channel), k.once_a_day, e.message, (e.id >> 1) + (1::UBIGINT << 63)
    FROM measured_events e JOIN path_kinds k ON k.what = 'event' AND k.kind = e.kind
    WHERE e."at" >= {earliest} AND e."at" < {end}
        AND (e.agent IS NULL OR e.agent NOT IN (SELECT kind FROM path_kinds WHERE what = 'machine'))
)
SELECT c.conversion, p.number, p.campaign, p.asset, p.channel,
    p.instant::UHUGEINT << 64 | p.own AS turn,
    CASE WHEN p.once_a_day THEN 0 WHEN p.message IS NOT NULL THEN 1 ELSE 2 END::UTINYINT AS sort,
    CASE WHEN p.once_a_day THEN (p.number::UBIGINT << 32) + p.instant // {day}
        WHEN p.message IS NOT NULL THEN p.message ELSE p.own END::UBIGINT AS point
FROM both_tables p JOIN path_conversions c ON c.person = p.person AND p.instant <= c.instant
    AND p.instant // {day} >= c.instant // {day} - {lookback}
"""
_POINTS = """
CREATE OR REPLACE TEMP TABLE path_points AS
SELECT conversion, sort, point, min(turn) AS turn, arg_min(number, turn) AS number,
    arg_min_null(campaign, turn) AS campaign, arg_min_null(asset, turn) AS asset
FROM path_candidates
WHERE coalesce(channel, '') IN (SELECT channel FROM path_channels)
GROUP BY conversion, sort, point
"""


def follow_paths(
    con: duckdb.DuckDBPyConnection, plan: AttributionPlan, start_us: int, end_us: int, allows: Allows | None = None
) -> int:
    """Make `path_conversions` and `path_points` from the `measured_` relations; returns touch points not allowed.

    Args:
        con: a connection that has `measured_leads`, `measured_outcomes`, `measured_touches` and `measured_events`.
        plan: what counts as a conversion and as a touch point.
        start_us: first microsecond of the conversions' window, UTC.
        end_us: the first one after it.
        allows: the measurement plan; without it every channel is followed.
    """
    rows: list[tuple[str, str, int, bool, str | None]]
    rows = [("conversion", kind, 0, False, None) for kind in plan.conversions]
    rows += [("machine", agent, 0, False, None) for agent in plan.machines]
    for number, point in enumerate(plan.touch_points):
        rows += [("sent", channel, number, point.once_a_day, None) for channel in point.sent]
        rows += [("event", kind, number, point.once_a_day, point.channel) for kind in point.events]
    con.execute(
        "CREATE OR REPLACE TEMP TABLE path_kinds "
        "(what VARCHAR, kind VARCHAR, number UTINYINT, once_a_day BOOLEAN, channel VARCHAR)"
    )
    if rows:
        con.executemany("INSERT INTO path_kinds VALUES (?, ?, ?, ?, ?)", rows)
    numbers = {
        "start": start_us,
        "end": end_us,
        "day": MICROSECONDS_A_DAY,
        "lookback": plan.lookback_days,
        "earliest": (start_us // MICROSECONDS_A_DAY - plan.lookback_days) * MICROSECONDS_A_DAY,
    }
    con.execute(_CONVERSIONS.format(**numbers))
    con.execute(_CANDIDATES.format(**numbers))
    channels = con.execute("SELECT DISTINCT channel FROM path_candidates").fetchall()
    con.execute("CREATE OR REPLACE TEMP TABLE path_channels (channel VARCHAR)")
    followed = [(channel or "",) for (channel,) in channels if allows is None or allows("attribution", channel)]
    if followed:
        con.executemany("INSERT INTO path_channels VALUES (?)", followed)
    left_out = con.execute(
        "SELECT count(DISTINCT (conversion, sort, point)) FROM path_candidates "
        "WHERE coalesce(channel, '') NOT IN (SELECT channel FROM path_channels)"
    ).fetchone()
    con.execute(_POINTS)
    con.execute("DROP TABLE path_candidates")
    return int(left_out[0]) if left_out else 0
