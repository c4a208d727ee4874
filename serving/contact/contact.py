"""The store behind the service: opened when it is there, asked in threads, and never answered for when it is not."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from configs.errors import InputInvalid, NotReady, StoreUnavailable
from configs.settings import Settings
from features.tables import microseconds
from policy.audit.archive import Archive
from serving.api import RequestRefused, ScoreRequest, encode_plain, read_as
from serving.contact.api import CheckRequest, SuppressionsRequest, TouchesRequest, sent_of, stop_records, stops_of
from serving.contact.known_stops import with_store, without_rows
from serving.contact.permits import Permitting
from serving.contact.send_gate import Asked, SendGate
from serving.render import instant
from serving.store.familiar import Familiar
from serving.store.stops import IdTaken
from serving.store.store import Store
from serving.store.subjects import Subjects

log = logging.getLogger("leadwell.serving")
Record = dict[str, Any]
Commit = Callable[[list[Record]], Awaitable[None]]
Answer = tuple[int, bytes]
_Found = TypeVar("_Found")
PATHS = ("/v1/suppressions", "/v1/permits/check", "/v1/touches")
# As many as the store has connections.
_THREADS = 4


class Contact:
    """What one worker knows of a store: its address and key, and the store itself once it could be opened.

    Every method raises RequestRefused with 503 where the store does not answer: nothing is allowed meanwhile.
    """

    def __init__(self, url: str, key: bytes, settings: Settings, archive: Archive | None = None) -> None:
        self.url, self.key, self.settings, self.archive = url, key, settings, archive
        self._subjects = Subjects.of(key)
        self.permitting = Permitting(settings, self._subjects.permit_key)
        self._gate: SendGate | None = None
        self._familiar: Familiar | None = None
        self._opening = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")

    def gate(self) -> SendGate:
        """The send gate over the open store; opened here the first time that the database answers."""
        with self._opening:
            if self._gate is None:
                store = Store.open(self.url, self.key)
                self._gate = SendGate(self.settings, store, self.archive)
                if store.database.file is not None:
                    self._familiar = Familiar(store.database.file)
                    self._familiar.none_of(())
            return self._gate

    def answers(self) -> bool:
        """Whether the store answers now."""
        try:
            return self.gate().store.answers()
        except (StoreUnavailable, NotReady) as error:
            log.error("store", extra={"fields": {"reason": str(error)}})
            return False

    async def answering(self) -> bool:
        """The same without holding up others."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.answers)

    async def known(self, request: ScoreRequest, as_of: datetime, now: datetime) -> ScoreRequest:
        """A request to score with what the store knows of its leads."""
        familiar, few = self._familiar, len(request.leads) <= self.settings.serving.inline_leads
        if familiar is not None and few:
            # A thread costs more than all else here, and most leads have no row.
            at_once = without_rows(familiar, self._subjects, request.leads, as_of)
            if at_once is not None:
                return replace(request, leads=at_once[0], holders=at_once[1])

        def read() -> ScoreRequest:
            leads, holders = with_store(self.gate().store, request.leads, as_of, replay=as_of < now)
            return replace(request, leads=leads, holders=holders)

        return await self._run(read)

    async def answer(self, path: str, body: bytes, now: datetime, commit: Commit, *, may_lift: bool = False) -> Answer:
        """Status and body for one of `PATHS`; what was done is in the audit before this returns."""
        # A request is read before anything waits for the store.
        if path == "/v1/suppressions":
            done = self._suppress(body, now, may_lift)
        else:
            done = (self._check if path == "/v1/permits/check" else self._report)(body, now)
        status, answer, records = await self._run(done)
        await commit(records)
        return status, encode_plain(answer)

    def _suppress(self, body: bytes, now: datetime, may_lift: bool) -> Callable[[], tuple[int, Record, list[Record]]]:
        request, words = read_as(body, SuppressionsRequest), self.settings.vocabularies
        # INVARIANT: whoever may tell of stops may not end them; nothing of such a request is kept.
        if request.lifts and not may_lift:
            place = {"path": "$.lifts", "expected": "a key of LEADWELL_LIFT_KEY"}
            raise RequestRefused(403, "this key may not lift a stop: nothing was kept", [place])
        stops, lifts = stops_of(request, self._subjects, words, now, self.settings.serving.max_rows)

        def write() -> tuple[int, Record, list[Record]]:
            there, lifted = self.gate().store.suppress(stops, lifts, microseconds(now))
            audit_id = os.urandom(16).hex()
            answer = {
                "recorded_at": instant(now),
                "audit_id": audit_id,
                "suppressions": [
                    {
                        "suppression_id": stop.suppression_id,
                        "duplicate": known,
                        "channel": stop.channel or "all",
                        "reason": stop.reason,
                        "topic": stop.topic or "all",
                        "product": stop.product or "all",
                    }
                    for stop, known in zip(stops, there, strict=True)
                ],
                "lifts": [
                    {"lift_id": lift.lift_id, "suppression_id": lift.suppression_id, "duplicate": known}
                    for lift, known in zip(lifts, lifted, strict=True)
                ],
            }
            said = {"audit_id": audit_id, "at": answer["recorded_at"]}
            records = stop_records(stops, there, lifts, lifted, said)
            return (200 if all([*there, *lifted]) else 201), answer, records

        return write

    def _check(self, body: bytes, now: datetime) -> Callable[[], tuple[int, Record, list[Record]]]:
        request = read_as(body, CheckRequest)
        asked = Asked(request.permit, request.lead_id, request.channel, request.asset_id, request.request_id)

        def check() -> tuple[int, Record, list[Record]]:
            answer, record = self.gate().check(asked, now)
            return 200, answer, [record]

        return check

    def _report(self, body: bytes, now: datetime) -> Callable[[], tuple[int, Record, list[Record]]]:
        request = read_as(body, TouchesRequest)
        sent = sent_of(request, self._subjects, self.settings.vocabularies, now, self.settings.serving.max_rows)

        def write() -> tuple[int, Record, list[Record]]:
            there = self.gate().store.report(sent, microseconds(now))
            audit_id = os.urandom(16).hex()
            told = [{"touch_id": one.touch_id, "duplicate": known} for one, known in zip(sent, there, strict=True)]
            records = [
                {
                    "kind": "touch",
                    "audit_id": audit_id,
                    "at": instant(now),
                    "channel": one.channel,
                    "intent": one.intent,
                    "duplicate": known,
                    "detail": {"subject": one.subject, "touch_id": one.touch_id, "permit_id": one.permit_id},
                }
                for one, known in zip(sent, there, strict=True)
            ]
            answer = {"recorded_at": instant(now), "audit_id": audit_id, "touches": told}
            return (200 if all(there) else 201), answer, records

        return write

    async def _run(self, work: Callable[[], _Found]) -> _Found:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (StoreUnavailable, NotReady) as error:
            raise RequestRefused(503, f"STORE_UNAVAILABLE: {error}") from None
        except InputInvalid as wrong:
            place = f"$.{wrong.file}" + (f"[{wrong.row}]" if wrong.row is not None else "")
            place += f".{wrong.field}" if wrong.field else ""
            status = 409 if isinstance(wrong, IdTaken) else 422
            raise RequestRefused(status, "nothing was kept", [{"path": place, "expected": wrong.expected}]) from None

    def close(self) -> None:
        """Finish what is being asked and let go of the database."""
        self._threads.shutdown(wait=True)
        if self._familiar is not None:
            self._familiar.close()
        if self._gate is not None:
            self._gate.store.close()
