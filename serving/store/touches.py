"""What was sent, what is about to be sent, and which permits were used: what caps count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from configs.errors import InputInvalid
from serving.store.schema import PERMITS, TOUCHES
from serving.store.stops import IdTaken, parts


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was sent, as the CRM reports it; `permit_id` is the permit that it was sent on."""

    touch_id: str
    content: str
    subject: str
    sent_at: int
    channel: str | None
    intent: str | None
    asset_id: str | None
    permit_id: str | None


@dataclass(frozen=True, slots=True)
class TouchRow:
    """A touch, or a reservation of one (`sent_at` is None), as it is read."""

    id: int
    subject: str
    touch_id: str | None
    permit_id: str | None
    channel: str | None
    intent: str | None
    asset_id: str | None
    recorded_at: int
    lapses_at: int | None
    sent_at: int | None


@dataclass(frozen=True, slots=True)
class Use:
    """A permit that is used, and what it is for."""

    permit_id: str
    request_id: str | None
    subject: str
    channel: str
    asset_id: str
    intent: str | None
    book: str
    used_at: int
    expires_at: int
    lapses_at: int


@dataclass(frozen=True, slots=True)
class Used:
    """How a permit was used: by which request, until when its reservation counts, and whether it was sent."""

    request_id: str | None
    lapses_at: int
    sent: bool


def read(
    connection: Connection, subjects: Iterable[str], now_us: int, *, since_us: int = 0
) -> dict[str, list[TouchRow]]:
    """Touches since an instant, and reservations that have not lapsed, by subject and in the order of their rows."""
    found: dict[str, list[TouchRow]] = defaultdict(list)
    for part in parts(subjects):
        for row in connection.execute(_TOUCHES_OF, {"subjects": part, "now": now_us, "since": since_us}):
            found[row[1]].append(_row(row))
    return found


def read_all(connection: Connection, now_us: int, *, since_us: int) -> dict[str, list[TouchRow]]:
    """The same of everybody."""
    found: dict[str, list[TouchRow]] = defaultdict(list)
    for row in connection.execute(_TOUCHES, {"now": now_us, "since": since_us}):
        found[row[1]].append(_row(row))
    return found


_TOUCHES = (
    select(
        TOUCHES.c.id,
        TOUCHES.c.subject,
        TOUCHES.c.touch_id,
        TOUCHES.c.permit_id,
        TOUCHES.c.channel,
        TOUCHES.c.intent,
        TOUCHES.c.asset_id,
        TOUCHES.c.recorded_at,
        TOUCHES.c.lapses_at,
        TOUCHES.c.sent_at,
    )
    .where(or_(TOUCHES.c.sent_at >= bindparam("since"), TOUCHES.c.lapses_at > bindparam("now")))
    .order_by(TOUCHES.c.id)
)
_TOUCHES_OF = _TOUCHES.where(TOUCHES.c.subject.in_(bindparam("subjects", expanding=True)))


def _row(row: Sequence[Any]) -> TouchRow:
    return TouchRow(*row)


def used(connection: Connection, permit_id: str) -> Used | None:
    """How a permit was used, None where it was not."""
    joined = PERMITS.join(TOUCHES, TOUCHES.c.permit_id == PERMITS.c.permit_id)
    statement = select(PERMITS.c.request_id, TOUCHES.c.lapses_at, TOUCHES.c.sent_at).select_from(joined)
    row = connection.execute(statement.where(PERMITS.c.permit_id == permit_id)).first()
    return None if row is None else Used(row[0], row[1], row[2] is not None)


def reserve(connection: Connection, use: Use) -> None:
    """Note that a permit is used, and count its touch from now on."""
    names = [column.name for column in PERMITS.columns]
    connection.execute(insert(PERMITS), {name: getattr(use, name) for name in names})
    connection.execute(
        insert(TOUCHES),
        {
            "subject": use.subject,
            "permit_id": use.permit_id,
            "channel": use.channel,
            "intent": use.intent,
            "asset_id": use.asset_id,
            "recorded_at": use.used_at,
            "lapses_at": use.lapses_at,
        },
    )


def report(connection: Connection, sent: Sequence[Sent], now_us: int) -> list[bool]:
    """Write what was sent; for each whether it was there already. Raises IdTaken or InputInvalid."""
    known = {(row[0], row[1]): row[2] for row in connection.execute(_KNOWN, {"ids": [one.touch_id for one in sent]})}
    there = []
    for place, one in enumerate(sent):
        content = known.get((one.subject, one.touch_id))
        if content is not None and content != one.content:
            raise IdTaken(
                "touches", "expected a new id: this one was used for something else", row=place, field="touch_id"
            )
        there.append(content is not None)
        if content is None:
            known[one.subject, one.touch_id] = one.content
            _write(connection, one, place, now_us)
    return there


_KNOWN = select(TOUCHES.c.subject, TOUCHES.c.touch_id, TOUCHES.c.content).where(
    TOUCHES.c.touch_id.in_(bindparam("ids", expanding=True))
)


def _write(connection: Connection, one: Sent, place: int, now_us: int) -> None:
    told = {"touch_id": one.touch_id, "content": one.content, "sent_at": one.sent_at}
    if one.permit_id is None:
        rest = {"channel": one.channel, "intent": one.intent, "asset_id": one.asset_id, "recorded_at": now_us}
        connection.execute(insert(TOUCHES), {"subject": one.subject, **told, **rest})
        return
    row = connection.execute(
        select(TOUCHES.c.id, TOUCHES.c.touch_id, TOUCHES.c.subject).where(TOUCHES.c.permit_id == one.permit_id)
    ).first()
    if row is None or row[2] != one.subject:
        raise InputInvalid(
            "touches", "expected a permit of this lead that a check allowed", row=place, field="permit_id"
        )
    if row[1] is not None:
        raise IdTaken("touches", "this permit's message was reported already", row=place, field="permit_id")
    connection.execute(update(TOUCHES).where(TOUCHES.c.id == row[0]).values(**told))


def forget(connection: Connection, subjects: Sequence[str]) -> dict[str, int]:
    """Delete every touch and used permit of these subjects: rows by table."""
    gone = {"touches": 0, "permits": 0}
    for part in parts(subjects):
        for name, rows in (("touches", TOUCHES), ("permits", PERMITS)):  # a touch names its permit
            gone[name] += connection.execute(delete(rows).where(rows.c.subject.in_(part))).rowcount
    return gone


def newest(connection: Connection, subjects: Iterable[str]) -> int:
    """Number of the newest row of these subjects, 0 where there is none."""
    wanted = TOUCHES.c.subject.in_(list(subjects))
    return int(connection.execute(select(func.coalesce(func.max(TOUCHES.c.id), 0)).where(wanted)).scalar_one())
