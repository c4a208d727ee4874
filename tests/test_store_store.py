"""The store itself, on SQLite and PostgreSQL: made from nothing, written once, never half, never with another key."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from configs.errors import InputInvalid, NotReady, StoreUnavailable
from serving.store import schema
from serving.store.engine import Database, store_url
from serving.store.stops import IdTaken, Lift, Stop
from serving.store.store import Store
from serving.store.subjects import Subjects
from serving.store.touches import Sent, Use
from serving.store.upgrade import newest, upgrade
from tests.store_people import KEY, KINDS, database

DAY = 86_400_000_000
T0 = 1_800_000_000_000_000
SUBJECTS = Subjects.of(KEY)


def opened(kind: str, folder: Path) -> Store:
    url = database(kind, folder)
    if kind == "postgresql":
        made = Database.open(url)
        upgrade(made)
        made.engine.dispose()
    return Store.open(url, KEY)


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    found = opened(request.param, tmp_path)
    yield found
    found.close()


def stop(name: str, lead: str = "L1", **rest: Any) -> Stop:
    told = {"channel": None, "reason": "opt_out", "scope": None, "since_at": T0, "until_at": None, **rest}
    content = SUBJECTS.content(lead, *told.values())
    return Stop(suppression_id=name, content=content, subject=SUBJECTS.lead(lead), of="lead", **told)


def lift(name: str, of: str, at: int = T0 + DAY) -> Lift:
    return Lift(name, SUBJECTS.content(of, at), of, at, "ticket-1", "dpo-2")


def sent(name: str, lead: str = "L1", permit_id: str | None = None, **rest: Any) -> Sent:
    told = {"sent_at": T0, "channel": "email", "intent": "promotional", "asset_id": "a", "permit_id": permit_id, **rest}
    return Sent(touch_id=name, content=SUBJECTS.content(lead, *told.values()), subject=SUBJECTS.lead(lead), **told)


def use(name: str, lead: str = "L1", at: int = T0) -> Use:
    return Use(
        permit_id=name * 32, request_id="r", subject=SUBJECTS.lead(lead), channel="email", asset_id="a",
        intent="promotional", book="b", used_at=at, expires_at=at + DAY, lapses_at=at + DAY,
    )  # fmt: skip


def stops_of(store: Store, lead: str = "L1", now: int = T0) -> list[Any]:
    return store.standing([SUBJECTS.lead(lead)], [], now).stops.of[SUBJECTS.lead(lead)]


@pytest.mark.parametrize("kind", KINDS)
def test_migrations_make_exactly_the_tables_that_the_code_reads(kind: str, tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    made = Database.open(database(kind, tmp_path))
    assert upgrade(made) == (None, newest())
    assert upgrade(made) == (newest(), newest())
    with made.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.METADATA) == []
    made.engine.dispose()


def test_a_new_file_is_made_by_itself_and_an_empty_server_database_is_not(tmp_path: Path) -> None:
    Store.open(str(tmp_path / "new" / "store.db"), KEY).close()
    assert (tmp_path / "new" / "store.db").stat().st_mode & 0o077 == 0
    with pytest.raises(NotReady, match="leadwell store upgrade"):
        Store.open(database("postgresql", tmp_path), KEY)


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_of_a_newer_program_is_refused_and_left_alone(kind: str, tmp_path: Path) -> None:
    made = opened(kind, tmp_path)
    with made.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NotReady, match="newer than this program"):
        made.ready()
    with pytest.raises(NotReady, match="newer than this program"):
        upgrade(made.database)
    made.close()


def test_another_key_is_refused_because_nobody_would_be_found(store: Store) -> None:
    other = Store(store.database, Subjects.of(b"another key"))
    with pytest.raises(NotReady, match="another pseudonym key"):
        other.ready()
    store.ready()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://h/n", "://", "oracle://x"])
def test_what_would_keep_nothing_is_refused(url: str) -> None:
    with pytest.raises(InputInvalid, match="postgresql://USER@HOST/NAME"):
        store_url(url)


def test_a_stop_is_written_once_however_often_it_comes(store: Store) -> None:
    assert store.suppress([stop("s1"), stop("s2", "L2")], [], T0) == ([False, False], [])
    assert store.suppress([stop("s1"), stop("s3")], [], T0 + 1) == ([True, False], [])
    assert store.suppress([stop("s4"), stop("s4")], [], T0) == ([False, True], [])
    assert [row.recorded_at for row in stops_of(store)] == [T0, T0 + 1, T0]


def test_one_wrong_row_keeps_every_row_of_its_request_out(store: Store) -> None:
    store.suppress([stop("s1")], [], T0)
    with pytest.raises(IdTaken) as taken:
        store.suppress([stop("s2"), stop("s1", "L9")], [], T0)
    assert (taken.value.row, taken.value.field) == (1, "suppression_id")
    with pytest.raises(InputInvalid, match="the id of a stop"):
        store.suppress([stop("s3")], [lift("x", "nobody")], T0)
    assert len(stops_of(store)) == 1
    assert stops_of(store, "L9") == []


def test_who_was_erased_is_forgotten_but_for_what_keeps_them_out(store: Store) -> None:
    erased = ((SUBJECTS.erased("lead", "L1"), "lead"),)
    erasure = stop("e1", reason="erasure")
    store.report([sent("t1"), sent("t2", "L2")], T0)
    with store.asking([SUBJECTS.lead("L1")]) as asking:
        asking.reserve(use("p"))
    with pytest.raises(InputInvalid, match="expected an erasure on record") as refused:
        store.forget(["L1"])
    assert "L1" not in str(refused.value)
    store.suppress([replace(erasure, erased=erased), stop("s1")], [], T0)
    # Two people, one of them not erased: neither loses anything.
    with pytest.raises(InputInvalid) as refused:
        store.forget(["L1", "L2"])
    assert refused.value.row == 2 and store.status(T0)["touches"] == 2
    assert store.forget(["L1"]) == {"touches": 2, "permits": 1}
    assert store.forget(["L1"]) == {"touches": 0, "permits": 0}
    assert {row.reason for row in stops_of(store)} == {"erasure", "opt_out"}
    assert store.status(T0)["touches"] == 1 and store.status(T0)["erased"] == 1


def test_lifting_ends_a_stop_from_when_it_was_recorded_and_never_deletes_it(store: Store) -> None:
    store.suppress([stop("s1")], [], T0)
    assert store.suppress([], [lift("l1", "s1", T0 + DAY)], T0 + 2 * DAY) == ([], [False])
    assert store.suppress([], [lift("l1", "s1", T0 + DAY)], T0 + 3 * DAY) == ([], [True])
    with pytest.raises(IdTaken, match="lifted already"):
        store.suppress([], [lift("l2", "s1")], T0)
    (row,) = stops_of(store)
    assert row.ends(T0 + 2 * DAY - 1) is None
    assert row.ends(T0 + 2 * DAY) == T0 + DAY


def test_an_erasure_leaves_a_hash_behind_and_is_never_lifted(store: Store) -> None:
    digest = SUBJECTS.erased("lead", "L1")
    store.suppress([stop("e", reason="erasure", erased=((digest, "lead"),))], [], T0)
    assert digest in store.standing([], [digest], T0).stops.erased
    with pytest.raises(InputInvalid, match="never lifted"):
        store.suppress([], [lift("l", "e")], T0)
    assert SUBJECTS.erased("email", "L1") != digest != SUBJECTS.lead("L1")


def test_nothing_in_the_database_names_anybody(tmp_path: Path) -> None:
    found = opened("sqlite", tmp_path)
    found.suppress([stop("s1", "jane.marker@example.com", reason="erasure")], [], T0)
    found.report([sent("t1", "jane.marker@example.com")], T0)
    found.close()
    assert not any(b"jane.marker" in path.read_bytes() for path in tmp_path.iterdir())


def test_a_reservation_counts_until_it_lapses_and_a_report_makes_it_a_touch(store: Store) -> None:
    person = SUBJECTS.lead("L1")
    with store.asking([person]) as asking:
        asking.reserve(use("a"))
    assert len(store.standing([person], [], T0).touches[person]) == 1
    assert store.standing([person], [], T0 + DAY).touches == {}
    assert store.report([sent("t1", permit_id="a" * 32, sent_at=T0 + 5)], T0 + 2 * DAY) == [False]
    assert store.report([sent("t1", permit_id="a" * 32, sent_at=T0 + 5)], T0 + 2 * DAY) == [True]
    (row,) = store.standing([person], [], T0 + DAY).touches[person]
    assert (row.touch_id, row.sent_at, row.permit_id) == ("t1", T0 + 5, "a" * 32)
    with pytest.raises(IdTaken, match="reported already"):
        store.report([sent("t2", permit_id="a" * 32)], T0)
    with pytest.raises(InputInvalid, match="a permit of this lead"):
        store.report([sent("t3"), sent("t4", "L2", permit_id="a" * 32)], T0)
    assert len(store.standing([person], [], T0).touches[person]) == 1


def test_a_permit_that_failed_in_its_transaction_was_not_used(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.asking([SUBJECTS.lead("L1")]) as asking:
        asking.reserve(use("a"))
        raise ZeroDivisionError
    with store.asking([SUBJECTS.lead("L1")]) as asking:
        assert asking.used("a" * 32) is None


def test_many_rows_at_once_and_nobody_at_all(store: Store) -> None:
    rows = [stop(f"s{index}", f"L{index}") for index in range(6000)]
    assert not any(store.suppress(rows, [], T0)[0])
    found = store.standing((row.subject for row in rows), [], T0)
    assert len(found.stops.of) == 6000
    assert store.everybody(T0).stops.of.keys() == found.stops.of.keys()
    assert store.suppress([], [], T0) == ([], [])
    assert store.standing([], [], T0).stops.of == {}


def test_people_are_asked_about_one_at_a_time(store: Store) -> None:
    """Two transactions about one person, started together: the second begins to read when the first is over."""
    person, order, started = [SUBJECTS.lead("L1")], list[str](), threading.Barrier(2)

    def ask(name: str) -> None:
        started.wait()
        with store.asking(person) as asking:
            order.append(f"{name} in")
            asking.standing(person, [], T0)
            threading.Event().wait(0.1)
            order.append(f"{name} out")

    threads = [threading.Thread(target=ask, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [word.split()[1] for word in order] == ["in", "out", "in", "out"]


def test_several_processes_make_one_new_store_together(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom serving.store.store import Store\n"
        f"s = Store.open(sys.argv[1], {KEY!r})\ns.standing([], [], 0)\ns.close()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "one.db")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    assert [(one.wait(timeout=60), one.stderr.close() if one.stderr else None)[0] for one in running] == [0, 0, 0]


def test_a_writer_killed_in_its_transaction_leaves_nothing_and_holds_nobody_up(tmp_path: Path) -> None:
    store = opened("sqlite", tmp_path)
    code = (
        "import sys, time\nfrom serving.store.store import Store\nfrom tests.test_store_store import stop, T0\n"
        f"s = Store.open(sys.argv[1], {KEY!r})\n"
        "with s.database.writing() as connection:\n"
        "    from serving.store.stops import write\n"
        "    write(connection, [stop('half')], [], T0)\n"
        "    print('written', flush=True)\n    time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(store.database.file)], env=environment, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"written\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert store.suppress([stop("whole")], [], T0) == ([False], [])
    assert [row.since_at for row in stops_of(store)] == [T0]
    store.close()


def test_a_file_that_was_deleted_takes_no_more_rows(tmp_path: Path) -> None:
    store = opened("sqlite", tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(StoreUnavailable, match="gone"):
        store.suppress([stop("s1")], [], T0)
    assert not store.answers()
    store.close()


def test_a_server_that_does_not_answer_is_named_without_its_address() -> None:
    store = Store(Database.open("postgresql://someone:secret@127.0.0.1:1/none"), SUBJECTS)
    with pytest.raises(StoreUnavailable) as unavailable:
        store.suppress([stop("s1")], [], T0)
    assert "secret" not in str(unavailable.value)
    assert "opt_out" not in str(unavailable.value)
    store.close()


def test_status_counts_what_is_there(store: Store) -> None:
    store.suppress([stop("s1"), stop("s2", "L2")], [], T0)
    store.suppress([], [lift("l1", "s1")], T0)
    with store.asking([SUBJECTS.lead("L1")]) as asking:
        asking.reserve(use("a"))
    store.report([sent("t1")], T0)
    found = store.status(T0)
    assert (found["suppressions"], found["lifted"], found["touches"], found["reserved"]) == (2, 1, 1, 1)
    assert store.status(T0 + DAY)["lapsed"] == 1
