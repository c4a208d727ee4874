"""The store as everything else sees it: opened once, of the right version and key, and one call a thing to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select

from configs.errors import InputInvalid, NotReady
from serving.store import stops, touches
from serving.store.engine import Database
from serving.store.schema import ABOUT, HASHES, LIFTS, PERMITS, SUPPRESSIONS, TOUCHES
from serving.store.stops import Lift, Stop, Stops
from serving.store.subjects import LEAD, Subjects
from serving.store.touches import Sent, TouchRow, Use, Used
from serving.store.upgrade import refuse_other_version, upgrade, version_of

# Content counts as repeated for so long (features/standing.py), and no window of touches is longer.
LOOK_BACK_US = 91 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Standing:
    """Where people stand with us: their stops, who of them was erased, and what was sent or is about to be."""

    stops: Stops
    touches: dict[str, list[TouchRow]]


@dataclass(frozen=True, slots=True)
class Asking:
    """One transaction about one person: nothing about the person changes until it is over."""

    connection: Connection

    def standing(self, subjects: Sequence[str], hashes: Sequence[str], now_us: int) -> Standing:
        """Where the person and their accounts stand, with every stop and erasure that was acknowledged before."""
        return Standing(
            stops.read(self.connection, subjects, hashes),
            touches.read(self.connection, subjects, now_us, since_us=now_us - LOOK_BACK_US),
        )

    def used(self, permit_id: str) -> Used | None:
        """How a permit was used, None where it was not."""
        return touches.used(self.connection, permit_id)

    def reserve(self, use: Use) -> None:
        """Use a permit: its touch counts from now on."""
        touches.reserve(self.connection, use)


@dataclass(frozen=True, slots=True)
class Store:
    """An open store. Every method raises StoreUnavailable where the database does not answer."""

    database: Database
    subjects: Subjects

    @classmethod
    def open(cls, url: str, key: bytes) -> Store:
        """Open a store; a SQLite file that is new is made first.

        Raises NotReady where it is of another version or was made with another key, and says what to do.
        """
        database = Database.open(url)
        store = cls(database, Subjects.of(key))
        try:
            if database.is_new():
                upgrade(database)
            store.ready()
        except BaseException:
            store.close()
            raise
        return store

    def ready(self) -> None:
        """Raise NotReady or StoreUnavailable where nothing can be asked of it.

        INVARIANT: a store is used with one key only; with another, nobody's stops would be found.
        """
        with self.database.reading() as connection:
            refuse_other_version(connection)
            found = connection.execute(select(ABOUT.c.value).where(ABOUT.c.name == "key")).scalar()
        if found is None:
            with self.database.writing() as connection:
                found = connection.execute(select(ABOUT.c.value).where(ABOUT.c.name == "key")).scalar()
                if found is None:
                    connection.execute(insert(ABOUT), {"name": "key", "value": self.subjects.fingerprint})
                    found = self.subjects.fingerprint
        if found != self.subjects.fingerprint:
            raise NotReady(
                "the store was made with another pseudonym key, so nobody's stops would be found: "
                "give the key of its audit folder, or LEADWELL_AUDIT_KEY"
            )

    def answers(self) -> bool:
        """Whether the database answers now."""
        try:
            with self.database.reading() as connection:
                connection.execute(select(ABOUT.c.value).limit(1))
        except Exception:  # noqa: BLE001 - whatever is wrong, it does not answer
            return False
        return True

    def suppress(self, rows: Sequence[Stop], lifts: Sequence[Lift], now_us: int) -> tuple[list[bool], list[bool]]:
        """Write stops and lifts, all of them durably or none; for each whether it was there already.

        Raises IdTaken or InputInvalid with the place of the row that is wrong.
        """
        with self.database.writing({row.subject for row in rows}) as connection:
            return stops.write(connection, rows, lifts, now_us)

    def report(self, rows: Sequence[Sent], now_us: int) -> list[bool]:
        """Write what was sent, all of it durably or nothing; for each whether it was there already."""
        with self.database.writing({row.subject for row in rows}) as connection:
            return touches.report(connection, rows, now_us)

    def forget(self, lead_ids: Sequence[str]) -> dict[str, int]:
        """Take out what was sent to erased people and the permits used for them: rows by table. Stops and hashes stay.

        INVARIANT: nothing is taken out of who has no erasure on record, for caps would count less of them.
        Raises InputInvalid with the place of who has none, and takes out nothing.
        """
        hashes = [self.subjects.erased(LEAD, lead_id) for lead_id in lead_ids]
        subjects = [self.subjects.lead(lead_id) for lead_id in lead_ids]
        with self.database.writing(subjects) as connection:
            erased = stops.read(connection, (), hashes).erased
            for place, digest in enumerate(hashes):
                if digest not in erased:
                    raise InputInvalid(
                        "store",
                        "expected an erasure on record (`leadwell store suppress --reason erasure`)",
                        row=place + 1,
                        field="lead_id",
                    )
            return touches.forget(connection, subjects)

    def standing(self, subjects: Iterable[str], hashes: Iterable[str], now_us: int) -> Standing:
        """Where people and accounts stand, all as of one moment."""
        wanted = list(subjects)
        with self.database.reading() as connection:
            found = stops.read(connection, wanted, hashes)
            return Standing(found, touches.read(connection, wanted, now_us, since_us=now_us - LOOK_BACK_US))

    def everybody(self, now_us: int) -> Standing:
        """Where everybody stands."""
        with self.database.reading() as connection:
            found = stops.read_all(connection)
            return Standing(found, touches.read_all(connection, now_us, since_us=now_us - LOOK_BACK_US))

    @contextmanager
    def asking(self, people: Iterable[str]) -> Iterator[Asking]:
        """One transaction about one person, whoever else asks; durable when it ends without an error."""
        with self.database.writing(people) as connection:
            yield Asking(connection)

    def status(self, now_us: int) -> dict[str, Any]:
        """Its version and how much is in it."""
        with self.database.reading() as connection:

            def count(table: Any, *where: Any) -> int:
                return int(connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one())

            return {
                "version": version_of(connection),
                "suppressions": count(SUPPRESSIONS),
                "lifted": count(LIFTS),
                "erased": count(HASHES),
                "permits used": count(PERMITS),
                "touches": count(TOUCHES, TOUCHES.c.sent_at.is_not(None)),
                "reserved": count(TOUCHES, TOUCHES.c.sent_at.is_(None), TOUCHES.c.lapses_at > now_us),
                "lapsed": count(TOUCHES, TOUCHES.c.sent_at.is_(None), TOUCHES.c.lapses_at <= now_us),
            }

    def close(self) -> None:
        """Let go of every connection."""
        self.database.engine.dispose()
