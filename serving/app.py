"""The HTTP side of scoring, without BentoML: one small ASGI app for `POST /v1/score`, an index and the OpenAPI.

An answer leaves only after its audit record is durable; many requests waiting together share one write to disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from configs.errors import AuditBroken
from configs.settings import Settings
from serving.api import Rejection, RequestRefused, ScoreRequest, encode_answer, parse, problem
from serving.asgi import App, Receive, Scope, Send, answer, respond, whole_body
from serving.contact.contact import PATHS, Contact
from serving.guard import MAY_LIFT
from serving.openapi import TITLES, openapi_json

log = logging.getLogger("leadwell.serving")
CHECKPOINT_SECONDS = 60.0
METHODS: dict[str, tuple[str, ...]] = {
    "/": ("GET", "HEAD"),
    "/v1/score": ("POST",),
    **dict.fromkeys(PATHS, ("POST",)),
    "/v1/openapi.json": ("GET", "HEAD"),
}
INDEX = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Leadwell</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}</style>
<h1>Leadwell</h1><p>Scores leads and says what may be done next, on which channel, and why.</p>
<ul><li><code>POST /v1/score</code>: one to 500 leads</li>
<li><code>POST /v1/suppressions</code>: opt-outs and other stops</li>
<li><code>POST /v1/permits/check</code>: may this permit be used now, asked just before sending</li>
<li><code>POST /v1/touches</code>: what was sent</li>
<li><a href="/v1/openapi.json"><code>GET /v1/openapi.json</code></a> (with a key)</li>
<li><a href="/livez"><code>/livez</code></a>, <a href="/readyz"><code>/readyz</code></a>, <code>/metrics</code> (with a
key)</li></ul></html>"""


class AuditSink(Protocol):
    """An open audit log: `append` buffers, `commit` makes everything appended durable."""

    def append(self, record: Mapping[str, Any]) -> int:
        """Buffer one record."""

    def commit(self) -> int:
        """Make what was appended durable."""

    def close(self) -> None:
        """Commit, checkpoint and close."""

    def checkpoint(self, **facts: str | int) -> None:
        """Note the head of the chain."""


class Answerer(Protocol):
    """What turns a parsed request into decisions and their audit records."""

    def answer(
        self, request: ScoreRequest, now: datetime
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Rejection]]:
        """Decisions in the order of the request, one audit record for each, and leads that could not be encoded."""


class Journal:
    """Group commit: whoever asks while a write is under way shares the next one.

    A log whose write failed is never used again: what waited for it fails, and the next group opens a new one.

    INVARIANT: every file has a checkpoint before its first record, so that none can vanish unseen.
    """

    def __init__(
        self,
        open_log: Callable[[], AuditSink],
        *,
        checkpoint_every: int,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open, self._every, self._elapsed = open_log, checkpoint_every, elapsed
        self._since, self._noted_at = 0, 0.0
        self._log: AuditSink | None = self._opened()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._waiting: list[_Waiting] = []
        self._busy = False

    def durably(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append and commit; raises AuditBroken."""
        log, self._log = self._log or self._opened(), None
        for record in records:
            log.append(record)
        log.commit()
        self._since += len(records)
        if self._since >= self._every or self._elapsed() - self._noted_at >= CHECKPOINT_SECONDS:
            self._note(log)
        self._log = log

    def _opened(self) -> AuditSink:
        log = self._open()
        self._note(log)
        return log

    def _note(self, log: AuditSink) -> None:
        log.checkpoint()
        self._since, self._noted_at = 0, self._elapsed()

    def close(self) -> None:
        """Finish what is being written, note the head of the chain, and close; nothing is taken after this."""
        self._thread.shutdown(wait=True)
        log, self._log = self._log, None
        if log is not None:
            log.close()

    async def commit(self, records: list[dict[str, Any]]) -> None:
        """Return when these records are durable; raises what the write raised."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((records, done))
        if not self._busy:
            # The write starts after every request that is ready now, so that they share it.
            self._busy = True
            loop.call_soon(self._start, loop)
        await done

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        group, self._waiting = self._waiting, []
        self._thread.submit(self._write, loop, group)

    def _write(self, loop: asyncio.AbstractEventLoop, group: list[_Waiting]) -> None:
        failed: Exception | None = None
        try:
            self.durably([record for records, _ in group for record in records])
        except Exception as error:  # noqa: BLE001 - every waiting request must learn that its audit failed
            failed = error
        loop.call_soon_threadsafe(self._written, loop, group, failed)

    def _written(self, loop: asyncio.AbstractEventLoop, group: list[_Waiting], failed: Exception | None) -> None:
        for _, done in group:
            if done.done():
                continue
            if failed is None:
                done.set_result(None)
            else:
                done.set_exception(failed)
        self._busy = bool(self._waiting)
        if self._busy:
            self._start(loop)


_Waiting = tuple[list[dict[str, Any]], asyncio.Future[None]]


@dataclass
class Scoring:
    """What one worker answers with; `answerer` is None until a bundle was read, and `missing` says what to run."""

    settings: Settings
    clock: Callable[[], datetime]
    answerer: Answerer | None = None
    journal: Journal | None = None
    contact: Contact | None = None
    missing: str = "no bundle yet: run `leadwell train`, `leadwell registry approve`, then `leadwell promote`"
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="bulk"))

    @property
    def ready(self) -> bool:
        """Whether leads can be scored."""
        return self.answerer is not None and self.journal is not None

    async def reachable(self) -> bool:
        """Whether leads can be scored and the store answers, where there is one."""
        return self.ready and (self.contact is None or await self.contact.answering())

    async def answer(self, path: str, body: bytes, *, may_lift: bool = False) -> tuple[int, bytes]:
        """Status and body for a request with a body, whose key may lift stops or not; raises RequestRefused."""
        if path == "/v1/score":
            return 200, await self.score(body)
        if self.contact is None or self.journal is None:
            raise RequestRefused(503, "STORE_UNAVAILABLE: the service has no store; set LEADWELL_STORE")
        return await self.contact.answer(path, body, self.clock(), self._recorded, may_lift=may_lift)

    async def _recorded(self, records: list[dict[str, Any]]) -> None:
        """INVARIANT: no answer without its audit record on disk."""
        try:
            if self.journal is not None:
                await self.journal.commit(records)
        except (OSError, AuditBroken):
            raise RequestRefused(503, "AUDIT_UNAVAILABLE: the decision could not be recorded") from None

    async def score(self, body: bytes) -> bytes:
        """Answer the bytes of a request; raises RequestRefused."""
        if self.answerer is None or self.journal is None:
            raise RequestRefused(503, self.missing)
        limits, now = self.settings.serving, self.clock()
        request = parse(body, max_leads=limits.max_leads)
        count = len(request.leads)
        if count + len(request.rejected) == 1 and len(body) > limits.max_single_bytes:
            raise RequestRefused(413, f"expected at most {limits.max_single_bytes} bytes for one lead")
        if request.as_of is not None and request.as_of > now:
            place = {"path": "$.as_of", "expected": "an instant not later than the server's clock"}
            raise RequestRefused(422, "as_of is later than the server's clock", [place])
        if self.contact is not None:
            request = await self.contact.known(request, request.as_of or now, now)
        if count > limits.inline_leads:
            loop = asyncio.get_running_loop()
            decisions, records, late = await loop.run_in_executor(self._threads, self.answerer.answer, request, now)
        else:
            decisions, records, late = self.answerer.answer(request, now)
        if not decisions:
            errors = [{"path": r.path, "expected": r.expected, "reason": r.reason} for r in late]
            raise RequestRefused(422, "no lead of the request can be read", errors)
        await self._recorded(records)
        return encode_answer(decisions, (*request.rejected, *late))


def build_app(scoring: Callable[[], Scoring]) -> App:
    """The ASGI app; `scoring` is asked at each request, so that it may be filled after the app was built."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        allowed = METHODS.get(scope["path"])
        if allowed is None:
            await answer(send, 404, "Not Found", "no such path")
        elif scope["method"] not in allowed:
            await answer(send, 405, "Method Not Allowed", f"expected {' or '.join(allowed)}")
        elif scope["path"] == "/":
            await respond(send, 200, b"text/html; charset=utf-8", INDEX)
        elif scope["path"] == "/v1/openapi.json":
            await respond(send, 200, b"application/json", openapi_json())
        else:
            try:
                may_lift = bool(scope.get(MAY_LIFT))
                status, body = await scoring().answer(scope["path"], await whole_body(receive), may_lift=may_lift)
            except RequestRefused as refused:
                content = problem(refused.status, TITLES[refused.status], refused.detail, refused.errors)
                await respond(send, refused.status, b"application/problem+json", content)
                return
            await respond(send, status, b"application/json", body)

    return app


class Front:
    """Answers the paths of an own app and leaves every other to the app that it wraps."""

    def __init__(self, app: App, *, own: App) -> None:
        self.app, self.own = app, own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        own = scope["type"] == "http" and scope["path"] in METHODS
        await (self.own if own else self.app)(scope, receive, send)
