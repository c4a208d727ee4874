"""C-13: however many permits are checked at once, no more are allowed than the caps leave."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.contact.permits import permit_id
from serving.contact.send_gate import Asked, SendGate
from serving.contact.volatile import Volatile
from serving.store.engine import Database
from serving.store.store import Asking, Standing, Store
from serving.store.subjects import Subjects
from serving.store.touches import Sent
from serving.store.upgrade import upgrade
from tests.store_people import KEY, KINDS, NOW, database, permit, shipped

# configs/policy/parameters.yaml: three touches in seven days, on all channels together and on one; two in thirty days
# for whom asked to hear less.
CAP = 3
ASSETS = (
    "software_overview", "software_technical_packet", "implant_evidence_summary", "implant_case_study",
    "diagnostic_overview", "disposable_pricing_sheet",
)  # fmt: skip


def gate_on(kind: str, folder: Path) -> SendGate:
    url = database(kind, folder)
    if kind == "postgresql":
        made = Database.open(url)
        upgrade(made)
        made.engine.dispose()
    return SendGate(shipped(), Store.open(url, KEY))


@pytest.fixture(params=KINDS)
def gate(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SendGate]:
    found = gate_on(request.param, tmp_path)
    yield found
    found.store.close()


@cache
def asked(lead_id: str, channel: str, asset_id: str, touches: int = 0) -> Asked:
    """A question about a permit of a lead to whom so many messages were sent, each of other content, yesterday."""
    day = (NOW - timedelta(days=1)).isoformat()
    sent = [
        {"touch_id": f"t{k}", "lead_id": lead_id, "sent_at": day, "channel": "mail", "intent": "promotional"}
        for k in range(touches)
    ]
    text, _ = permit(lead_id, channel, asset_id=asset_id, touches=sent)
    return Asked(text, lead_id, channel, asset_id)


def yes(gate: SendGate, question: Asked, now: datetime = NOW) -> bool:
    return bool(gate.check(question, now)[0]["permitted"])


def reasons(gate: SendGate, question: Asked, now: datetime = NOW) -> list[str]:
    return [block["reason"] for block in gate.check(question, now)[0].get("blocks", ())]


def at_once(gate: SendGate, questions: list[Asked]) -> int:
    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(lambda question: yes(gate, question), questions))


def test_permits_given_together_are_allowed_up_to_the_cap_and_no_further(gate: SendGate) -> None:
    questions = [asked("L1", channel, asset) for asset in ASSETS for channel in ("email",)]
    assert at_once(gate, questions) == CAP
    assert "FREQUENCY_CAP" in reasons(gate, asked("L1", "rep_visit", ASSETS[-1]))


def test_one_permit_asked_by_many_is_allowed_once(gate: SendGate) -> None:
    assert at_once(gate, [asked("L1", "email", ASSETS[0])] * 8) == 1


def test_other_people_are_not_counted(gate: SendGate) -> None:
    assert at_once(gate, [asked(f"L{k}", "email", ASSETS[0]) for k in range(6)]) == 6


@pytest.mark.parametrize(("before", "left"), [(0, 3), (2, 1), (3, 0), (5, 0)])
def test_what_was_sent_before_and_what_is_reserved_now_are_counted_together(
    before: int, left: int, tmp_path: Path
) -> None:
    gate = gate_on("sqlite", tmp_path)
    assert sum(yes(gate, asked("L1", "email", asset, before)) for asset in ASSETS) == left
    gate.store.close()


def test_a_reservation_that_nobody_reports_counts_until_it_lapses_and_not_longer(tmp_path: Path) -> None:
    gate = gate_on("sqlite", tmp_path)
    assert sum(yes(gate, asked("L1", "email", asset)) for asset in ASSETS) == CAP
    hours = shipped().serving.reservation_hours
    later = NOW + timedelta(hours=hours)
    person = Subjects.of(KEY).lead("L1")
    counted = [
        len(gate.store.standing([person], [], _us(at)).touches[person]) for at in (later - timedelta(1e-5), later)
    ]
    assert counted == [CAP, 0]
    gate.store.close()


def test_a_reported_touch_takes_the_place_of_its_reservation_and_counts_once(tmp_path: Path) -> None:
    gate = gate_on("sqlite", tmp_path)
    first = asked("L1", "email", ASSETS[0])
    assert yes(gate, first)
    told = (Subjects.of(KEY).lead("L1"), _us(NOW), "email", "promotional", ASSETS[0], permit_id(first.permit))
    gate.store.report([Sent("t1", "c", *told)], _us(NOW))
    assert sum(yes(gate, asked("L1", "email", asset)) for asset in ASSETS[1:]) == CAP - 1
    gate.store.close()


def test_a_late_report_of_a_lapsed_reservation_is_counted_again(tmp_path: Path) -> None:
    """The permit was given after the reservation lapsed and before the message was reported: neither counts it."""
    gate = gate_on("sqlite", tmp_path)
    first = asked("L1", "email", ASSETS[0])
    early = NOW - timedelta(hours=30)
    text, _ = permit("L1", "email", now=early, asset_id=ASSETS[1])
    assert yes(gate, Asked(text, "L1", "email", ASSETS[1]), early)
    told = (Subjects.of(KEY).lead("L1"), _us(early), "email", "promotional", ASSETS[1], permit_id(text))
    gate.store.report([Sent("late", "c", *told)], _us(NOW))
    again, _ = permit("L1", "email", asset_id=ASSETS[1], seen=99)
    assert "CONTENT_REPEATED" in reasons(gate, Asked(again, "L1", "email", ASSETS[1]))
    assert yes(gate, first)
    gate.store.close()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["check", "report", "touch"]), st.integers(0, 5)), max_size=12))
def test_whatever_is_asked_and_reported_in_whatever_order_the_cap_holds(
    tmp_path: Path, steps: list[tuple[str, int]]
) -> None:
    """C-13 as a law: allowed and reported messages of the week never exceed the cap because of a yes."""
    gate, allowed, unasked = gate_on("sqlite", tmp_path), set[str](), 0
    person = Subjects.of(KEY).lead("L1")
    for step, (what, which) in enumerate(steps):
        question = asked("L1", "email", ASSETS[which])
        name = permit_id(question.permit)
        if what == "check":
            counted = len(allowed) + unasked
            said = yes(gate, question)
            assert not (said and counted >= CAP)
            allowed |= {name} if said else set()
        elif what == "report" and name in allowed:
            told = (person, _us(NOW), "email", "promotional", ASSETS[which], name)
            gate.store.report([Sent(f"t{which}", "c", *told)], _us(NOW))
        elif what == "touch":
            unasked += 1
            gate.store.report([Sent(f"u{step}", "c", person, _us(NOW), "mail", "promotional", None, None)], _us(NOW))
    gate.store.close()


class _ReadsBeforeItLocks(SendGate):
    """A broken gate, to show that the tests above can fail: it asks how things stand before its turn."""

    def check(self, asked: Asked, now: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
        subjects = self.store.subjects
        before = self.store.standing([subjects.lead(asked.lead_id)], [], _us(now))
        gate = SendGate(self.settings, self.store)
        gate.volatile, gate.store = self.volatile, _Stale(self.store, before)  # type: ignore[assignment]
        return gate.check(asked, now)


class _Stale:
    def __init__(self, store: Store, before: Standing) -> None:
        self.store, self.before, self.subjects = store, before, store.subjects

    @contextmanager
    def asking(self, people: list[str]) -> Iterator[Any]:
        with self.store.asking(people) as asking:
            yield _StaleAsking(asking, self.before)


class _StaleAsking:
    def __init__(self, asking: Asking, before: Standing) -> None:
        self.asking, self.before = asking, before
        self.used, self.reserve = asking.used, asking.reserve

    def standing(self, subjects: list[str], hashes: list[str], now_us: int) -> Standing:
        return self.before


@pytest.mark.parametrize("kind", KINDS)
def test_a_gate_that_reads_before_it_locks_is_caught(kind: str, tmp_path: Path) -> None:
    gate = gate_on(kind, tmp_path)
    broken = _ReadsBeforeItLocks(gate.settings, gate.store)
    questions = [asked("L1", "email", asset) for asset in ASSETS]
    assert any(at_once(broken, [replace(q, request_id=None) for q in questions]) > CAP for _ in range(1))
    gate.store.close()


def _us(moment: datetime) -> int:
    from features.tables import microseconds

    return microseconds(moment)


def test_every_fact_that_may_change_until_a_send_is_asked_again() -> None:
    """A fact of the send gate that rests on stops, touches, assets or the hour belongs to one of the groups."""
    from policy.book import Book
    from serving.contact.volatile import COUNTS, HOURS, STOPS

    book, declared = Book.load(shipped(), NOW.date(), gate="send"), shipped().facts
    asked_again = STOPS | COUNTS | HOURS
    for name, per, _ in book.inputs:
        source = declared[name].source
        if ("suppressions" in source and name != "feed_fresh") or source == "touches" or "time_zone" in source:
            assert name in asked_again or per in ("asset", "asset_channel"), name
    assert Volatile(shipped()).asset_ids
