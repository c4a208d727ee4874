"""Who is in a test, written down when drawn, and what became of everybody who was: intention to treat.

A lead counts from the instant it was assigned to the end of its follow-up, whatever it was sent, and only once that end
has come: who is followed for a shorter time would seem to succeed less.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.controlled_tests import ControlledTest
from configs.errors import InputInvalid
from features.intake.scan import literal
from features.tables import MICROSECONDS_A_DAY, microseconds
from training.measurement.controlled import arms_of
from training.measurement.engagement import acts
from training.measurement.reading import MEMBERSHIPS, Measured
from training.measurement.spend import channel_filter

FIELDS = ("test", "lead_id", "unit", "arm", "assigned_at")


@dataclass(frozen=True, slots=True)
class Assigned:
    """A lead of a test: the unit that drew, the arm, and since when it counts."""

    lead_id: str
    unit: str
    arm: str
    assigned_at: datetime


@dataclass(frozen=True, slots=True)
class Followed:
    """Leads that were followed to the end of their follow-up, in order of lead id, and what became of all assigned.

    `counts` add up to `assigned`; `redrawn` leads are in another arm than the hash of their unit draws. `units` are
    those assigned to each arm, `delivered` and `crossed` followed leads that got what their arm, or another, sends,
    None where no arm says what it sends.
    """

    lead_ids: tuple[str, ...]
    arm: NDArray[np.int8]
    hits: NDArray[np.bool_]
    cluster: NDArray[np.int64]
    units: tuple[int, ...]
    assigned: int
    redrawn: int
    counts: Mapping[str, int]
    delivered: tuple[int, ...] | None
    crossed: tuple[int, ...] | None


def draw_members(
    measured: Measured, test: ControlledTest, state: Path, at: datetime, earlier: Sequence[Assigned]
) -> list[Assigned]:
    """Everybody of the test: who was assigned before as it was, and who is in the segment now, drawn.

    A lead without an account draws for itself. Raises InputInvalid where the state is none.
    """
    path = state / MEMBERSHIPS if state.is_dir() else state
    try:
        table = pq.read_table(path, columns=["lead_id", "segment_id", "left_at", "status"])
    except (OSError, pa.ArrowException):
        raise InputInvalid(str(path), "expected the memberships that `leadwell segments apply` keeps") from None
    measured.con.register("test_memberships", table)
    rows = measured.con.execute(
        "SELECT l.lead_id, p.account FROM measured_leads l LEFT JOIN account_places p ON p.place = l.account "
        "WHERE l.person IN (SELECT i.person FROM test_memberships t JOIN measured_ids i USING (lead_id) "
        "WHERE t.segment_id = ? AND t.left_at IS NULL AND t.status = 'active') ORDER BY l.lead_id",
        [test.segment],
    ).fetchall()
    measured.con.unregister("test_memberships")
    known = {one.lead_id for one in earlier}
    new = [(str(lead), account) for lead, account in rows if lead not in known]
    units = [
        f"account {account}" if test.unit == "account" and account is not None else f"lead {lead}"
        for lead, account in new
    ]
    drawn = [
        Assigned(lead, unit, test.arms[place].name, at)
        for (lead, _), unit, place in zip(new, units, arms_of(units, test).tolist(), strict=True)
    ]
    return sorted([*earlier, *drawn], key=lambda one: one.lead_id)


def assignments_text(test: ControlledTest, assigned: Sequence[Assigned]) -> str:
    """The file of assignments: CSV, one line a lead."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(FIELDS)
    for one in assigned:
        writer.writerow([test.id, one.lead_id, one.unit, one.arm, one.assigned_at.isoformat()])
    return out.getvalue()


def read_assignments(path: Path, test: ControlledTest) -> list[Assigned]:
    """The lines of a test; those of other tests are passed over.

    Raises:
        InputInvalid: a column is missing, an arm is none of the test's, an instant has no zone, a lead is there twice.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in FIELDS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputInvalid(str(path), f"expected the columns {', '.join(FIELDS)}; {', '.join(missing)} missing")
            rows = [(number, row) for number, row in enumerate(reader, start=2) if row["test"] == test.id]
    except (OSError, UnicodeDecodeError):
        raise InputInvalid(str(path), "expected the file that `leadwell report test ID --assign` writes") from None
    names = {arm.name for arm in test.arms}
    found: dict[str, Assigned] = {}
    for number, row in rows:
        if row["arm"] not in names:
            raise InputInvalid(str(path), f"expected one of {', '.join(sorted(names))}", row=number, field="arm")
        try:
            at = datetime.fromisoformat(row["assigned_at"])
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            raise InputInvalid(str(path), "expected an instant with a zone", row=number, field="assigned_at")
        if row["lead_id"] in found:
            raise InputInvalid(str(path), "expected each lead once", row=number, field="lead_id")
        found[row["lead_id"]] = Assigned(row["lead_id"], row["unit"], row["arm"], at.astimezone(UTC))
    if not found:
        raise InputInvalid(str(path), f"expected assignments of the test {test.id}")
    return [found[lead] for lead in sorted(found)]


def follow(measured: Measured, test: ControlledTest, assigned: Sequence[Assigned]) -> Followed:
    """What became of everybody assigned, as far as the window of `measured` tells."""
    con, names = measured.con, [arm.name for arm in test.arms]
    clusters = {unit: place for place, unit in enumerate(sorted({one.unit for one in assigned}))}
    con.register(
        "given_assignments",
        pa.table(
            {
                "lead_id": [one.lead_id for one in assigned],
                "arm": pa.array([names.index(one.arm) for one in assigned], pa.int8()),
                "cluster": pa.array([clusters[one.unit] for one in assigned], pa.int64()),
                "start": pa.array([microseconds(one.assigned_at) for one in assigned], pa.int64()),
            }
        ),
    )
    days = test.metric.within_days * MICROSECONDS_A_DAY
    # One person under two lead ids counts once, unless both drew different arms.
    con.execute(
        "CREATE OR REPLACE TEMP TABLE test_people AS "
        "SELECT i.person, min(g.lead_id) AS lead_id, min(g.arm) AS arm, min(g.cluster) AS cluster, "
        "min(g.start) AS start, count(*) AS ids, min(g.arm) <> max(g.arm) AS mixed, m.person IS NOT NULL AS known, "
        f"min(g.start) + {days} AS ends, min(g.start) + {days} <= {measured.window.end_us} AS over "
        "FROM given_assignments g LEFT JOIN measured_ids i USING (lead_id) LEFT JOIN measured_leads m USING (person) "
        "GROUP BY i.person, m.person, CASE WHEN i.person IS NULL THEN g.lead_id END"
    )
    con.unregister("given_assignments")
    con.execute(f"CREATE OR REPLACE TEMP TABLE test_hits AS {_hits(measured, test)}")
    rows = con.execute(
        "SELECT lead_id, arm, cluster, person IN (SELECT person FROM test_hits), person FROM test_people "
        "WHERE known AND NOT mixed AND over ORDER BY lead_id"
    ).fetchall()
    counts = con.execute(
        "SELECT coalesce(sum(ids) FILTER (NOT known), 0), coalesce(sum(ids) FILTER (known AND mixed), 0), "
        "coalesce(sum(ids) FILTER (known AND NOT mixed AND NOT over), 0), "
        "coalesce(sum(ids - 1) FILTER (known AND NOT mixed AND over), 0) FROM test_people"
    ).fetchone()
    unknown, mixed, running, doubled = (int(n) for n in counts or (0, 0, 0, 0))
    drawn = arms_of([one.unit for one in assigned], test).tolist()
    units = [len({one.unit for one in assigned if one.arm == name}) for name in names]
    delivered, crossed = _delivered(con, test)
    return Followed(
        lead_ids=tuple(str(row[0]) for row in rows),
        arm=np.array([row[1] for row in rows], dtype=np.int8),
        hits=np.array([row[3] for row in rows], dtype=np.bool_),
        cluster=np.array([row[2] for row in rows], dtype=np.int64),
        units=tuple(units),
        assigned=len(assigned),
        redrawn=sum(names[place] != one.arm for place, one in zip(drawn, assigned, strict=True)),
        counts={
            "followed to the end": len(rows),
            "still followed": running,
            "not known any more, or may not be measured": unknown,
            "one person in two arms": mixed,
            "another id of a person followed": doubled,
        },
        delivered=delivered,
        crossed=crossed,
    )


def _hits(measured: Measured, test: ControlledTest) -> str:
    if test.metric.outcomes:
        success, more = "measured_outcomes", f"CAST(e.kind AS VARCHAR) IN ({_listed(test.metric.outcomes)})"
    else:
        acts(measured)  # says which acts a machine made
        machines = _listed(measured.settings.measurement.machine_agents)
        allowed = channel_filter(measured, "engagement", "event_channel", "e.channel")
        success = "measured_events"
        more = (
            f"CAST(e.kind AS VARCHAR) IN ({_listed(test.metric.events)}) AND {allowed} "
            f"AND NOT coalesce(CAST(e.agent AS VARCHAR) IN ({machines}), false) "
            "AND NOT EXISTS (FROM made_by_machine m WHERE m.person = e.person AND m.id = e.id)"
        )
    return (
        f'SELECT DISTINCT p.person FROM test_people p JOIN {success} e ON e.person = p.person AND e."at" >= p.start '
        f'AND e."at" < p.ends WHERE {more}'
    )


def _delivered(
    con: duckdb.DuckDBPyConnection, test: ControlledTest
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Followed leads that got what their own arm sends, and what another does; None where no arm says."""
    if not all(arm.campaign_id or arm.asset_id for arm in test.arms):
        return None, None
    cases = []
    for place, arm in enumerate(test.arms):
        parts = [
            f"CAST(t.{column} AS VARCHAR) = {literal(value)}"
            for column, value in (("campaign", arm.campaign_id), ("asset", arm.asset_id))
            if value
        ]
        cases.append(
            f"SELECT {place}::TINYINT AS sends, t.person FROM measured_touches t JOIN test_people p USING (person) "
            f'WHERE t."at" >= p.start AND t."at" < p.ends AND {" AND ".join(parts)}'
        )
    rows = con.execute(
        f"WITH sent AS ({' UNION '.join(cases)}) SELECT p.arm, count(DISTINCT p.person) FILTER (s.sends = p.arm), "
        "count(DISTINCT p.person) FILTER (s.sends <> p.arm) FROM test_people p LEFT JOIN sent s USING (person) "
        "WHERE p.known AND NOT p.mixed AND p.over GROUP BY p.arm"
    ).fetchall()
    own, other = {row[0]: int(row[1]) for row in rows}, {row[0]: int(row[2]) for row in rows}
    places = range(len(test.arms))
    return tuple(own.get(n, 0) for n in places), tuple(other.get(n, 0) for n in places)


def _listed(values: Sequence[str]) -> str:
    return ", ".join(literal(value) for value in values) or "NULL"
