"""Stops and their lifting: written once under the id that the client gave, read as of an instant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from configs.errors import InputInvalid
from serving.store.schema import HASHES, LIFTS, SUPPRESSIONS

# Both databases take more values in one statement; this many keep statements short.
_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop as it is written. `erased` are hashes of an erased person, each with what it is of.

    An opt-out with a `topic` or `product` stops only content of both.
    """

    suppression_id: str
    content: str
    subject: str
    of: str
    channel: str | None
    reason: str
    scope: str | None
    since_at: int
    until_at: int | None
    topic: str | None = None
    product: str | None = None
    erased: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Lift:
    """A stop that holds no longer, with the reference of what proves it and who decided it."""

    lift_id: str
    content: str
    suppression_id: str
    lifted_at: int
    evidence: str
    by: str


@dataclass(frozen=True, slots=True)
class StopRow:
    """A stop as it is read."""

    subject: str
    channel: str | None
    reason: str
    scope: str | None
    since_at: int
    until_at: int | None
    recorded_at: int
    lifted_at: int | None = None
    lift_recorded_at: int | None = None
    topic: str | None = None
    product: str | None = None

    def ends(self, as_of_us: int) -> int | None:
        """When it ends, as known at an instant: a lift that was recorded later did not end it yet."""
        known = self.lift_recorded_at is not None and self.lift_recorded_at <= as_of_us
        ends = [end for end in (self.until_at, self.lifted_at if known else None) if end is not None]
        return min(ends) if ends else None


@dataclass(slots=True)
class Stops:
    """Stops by subject, and when each erased person was erased, by hash."""

    of: dict[str, list[StopRow]] = field(default_factory=lambda: defaultdict(list))
    erased: dict[str, tuple[int, int]] = field(default_factory=dict)


class IdTaken(InputInvalid):
    """An id was used before for something else; `row` is its place in the request."""


def write(
    connection: Connection, stops: Sequence[Stop], lifts: Sequence[Lift], now_us: int
) -> tuple[list[bool], list[bool]]:
    """Write all of them; for each whether it was there already. Raises IdTaken or InputInvalid, and writes nothing."""
    known = _contents(connection, SUPPRESSIONS, "suppression_id", [stop.suppression_id for stop in stops])
    fresh, there = _apart("suppressions", "suppression_id", stops, known)
    if fresh:
        columns = [column.name for column in SUPPRESSIONS.columns if column.name not in ("id", "recorded_at")]
        rows = [{**{name: getattr(stop, name) for name in columns}, "recorded_at": now_us} for stop in fresh]
        connection.execute(insert(SUPPRESSIONS), rows)
    _keep_out(connection, fresh, now_us)
    lifted = _contents(connection, LIFTS, "lift_id", [lift.lift_id for lift in lifts])
    new_lifts, there_lifts = _apart("lifts", "lift_id", lifts, lifted)
    if new_lifts:
        _lift(connection, lifts, new_lifts, now_us)
    return there, there_lifts


def read(connection: Connection, subjects: Iterable[str], hashes: Iterable[str] = ()) -> Stops:
    """Every stop of these subjects, ended and lifted ones too, and which of the hashes are of somebody erased."""
    found = Stops()
    for part in parts(subjects):
        for row in connection.execute(_STOPS_OF, {"subjects": part}):
            found.of[row[0]].append(StopRow(*row))
    for part in parts(hashes):
        for digest, erased_at, recorded_at in connection.execute(_ERASED, {"hashes": part}):
            found.erased[digest] = (erased_at, recorded_at)
    return found


def read_all(connection: Connection) -> Stops:
    """Every stop there is."""
    found = Stops()
    for row in connection.execute(_STOPS).yield_per(10_000):
        found.of[row[0]].append(StopRow(*row))
    for digest, erased_at, recorded_at in connection.execute(_HASHES).yield_per(10_000):
        found.erased[digest] = (erased_at, recorded_at)
    return found


_STOPS = (
    select(
        SUPPRESSIONS.c.subject,
        SUPPRESSIONS.c.channel,
        SUPPRESSIONS.c.reason,
        SUPPRESSIONS.c.scope,
        SUPPRESSIONS.c.since_at,
        SUPPRESSIONS.c.until_at,
        SUPPRESSIONS.c.recorded_at,
        LIFTS.c.lifted_at,
        LIFTS.c.recorded_at,
        SUPPRESSIONS.c.topic,
        SUPPRESSIONS.c.product,
    )
    .select_from(SUPPRESSIONS.outerjoin(LIFTS, LIFTS.c.suppression == SUPPRESSIONS.c.id))
    .order_by(SUPPRESSIONS.c.id)
)
_STOPS_OF = _STOPS.where(SUPPRESSIONS.c.subject.in_(bindparam("subjects", expanding=True)))
_HASHES = select(HASHES.c.hash, HASHES.c.erased_at, HASHES.c.recorded_at)
_ERASED = _HASHES.where(HASHES.c.hash.in_(bindparam("hashes", expanding=True)))


def parts(values: Iterable[str]) -> Iterator[list[str]]:
    """Each value once, so many at a time as a statement takes."""
    every = list(dict.fromkeys(values))
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]


def _contents(connection: Connection, table: Any, name: str, ids: Sequence[str]) -> dict[str, str]:
    column = table.c[name]
    found: dict[str, str] = {}
    for part in parts(ids):
        found.update(connection.execute(select(column, table.c.content).where(column.in_(part))).tuples().all())
    return found


def _apart(section: str, name: str, rows: Sequence[Any], known: Mapping[str, str]) -> tuple[list[Any], list[bool]]:
    """The rows that are new, and for each row whether it is not."""
    seen, fresh, there = dict(known), list[Any](), list[bool]()
    for place, row in enumerate(rows):
        own = getattr(row, name)
        there.append(own in seen)
        if seen.setdefault(own, row.content) != row.content:
            raise IdTaken(section, "expected a new id: this one was used for something else", row=place, field=name)
        if not there[-1]:
            fresh.append(row)
    return fresh, there


def _keep_out(connection: Connection, stops: Sequence[Stop], now_us: int) -> None:
    """INVARIANT: the hash of an erased person is written with the erasure, and nothing takes it away."""
    wanted = {digest: (of, stop.since_at) for stop in stops for digest, of in stop.erased}
    there = {digest for part in parts(wanted) for digest, _, _ in connection.execute(_ERASED, {"hashes": part})}
    rows = [
        {"hash": digest, "of": of, "erased_at": since, "recorded_at": now_us}
        for digest, (of, since) in wanted.items()
        if digest not in there
    ]
    if rows:
        connection.execute(insert(HASHES), rows)


def _lift(connection: Connection, lifts: Sequence[Lift], fresh: Sequence[Lift], now_us: int) -> None:
    named = [lift.suppression_id for lift in fresh]
    stop_columns = (SUPPRESSIONS.c.suppression_id, SUPPRESSIONS.c.id, SUPPRESSIONS.c.reason, SUPPRESSIONS.c.since_at)
    columns = (*stop_columns, LIFTS.c.id)
    joined = SUPPRESSIONS.outerjoin(LIFTS, LIFTS.c.suppression == SUPPRESSIONS.c.id)
    statement = select(*columns).select_from(joined).where(SUPPRESSIONS.c.suppression_id.in_(named))
    found = {row[0]: row for row in connection.execute(statement)}
    rows = []
    for lift in fresh:
        place, stop = lifts.index(lift), found.get(lift.suppression_id)
        if stop is None:
            raise InputInvalid("lifts", "expected the id of a stop in the store", row=place, field="suppression_id")
        if stop[2] == "erasure":
            raise InputInvalid("lifts", "an erasure is never lifted", row=place, field="suppression_id")
        if lift.lifted_at < stop[3]:
            # A lift never reaches back before its stop: then the stop would never have been.
            raise InputInvalid("lifts", "expected an instant not before the stop began", row=place, field="lifted_at")
        if stop[4] is not None or named.count(lift.suppression_id) > 1:
            raise IdTaken("lifts", "this stop is lifted already, by another id", row=place, field="suppression_id")
        rows.append(
            {
                "lift_id": lift.lift_id,
                "content": lift.content,
                "suppression": stop[1],
                "lifted_at": lift.lifted_at,
                "evidence": lift.evidence,
                "by": lift.by,
                "recorded_at": now_us,
            }
        )
    connection.execute(insert(LIFTS), rows)
