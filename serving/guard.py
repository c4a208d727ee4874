"""A pure ASGI guard around everything the service answers: key, size, content type, and no exception ever leaves.

BentoML makes a request whose middleware raised wait for its whole timeout, has no key, no body limit and accepts
pickles and forms; so each of these ends here, before anything parses a byte, as a problem that echoes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import time
from dataclasses import dataclass
from typing import Any, TextIO

from configs.errors import NotReady
from serving.asgi import App, Message, Receive, Scope, Send, answer

log = logging.getLogger("leadwell.serving")
LINES_WAIT_SECONDS, MOST_LINES = 0.2, 500
BODY_SECONDS = 2.0
# Where a request's scope says whether its key may lift a stop.
MAY_LIFT = "leadwell.may_lift"
OPEN_PATHS = frozenset({"/", "/livez", "/readyz", "/healthz"})
KNOWN_PATHS = OPEN_PATHS | {
    "/metrics",
    "/v1/score",
    "/v1/suppressions",
    "/v1/permits/check",
    "/v1/touches",
    "/v1/openapi.json",
}
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The API keys in force, as digests; several at once so that a key can be rotated. Empty: open to everybody.

    Only a key of `lifting` may lift a stop: who may ask and tell is not yet who may decide that a stop is over.
    """

    digests: tuple[bytes, ...]
    lifting: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, text: str | None, *, allow_none: bool, lifting: str | None = None) -> Keys:
        """Keys from comma-separated texts; raises NotReady where there is none and that was not asked for."""
        keys, lift_keys = _digests(text), _digests(lifting)
        if not keys and not allow_none:
            raise NotReady(
                "no API key: set LEADWELL_API_KEY, or use `leadwell serve --no-key` (LEADWELL_ALLOW_NO_KEY=1) locally"
            )
        return cls(keys, lift_keys)

    def admit(self, headers: dict[bytes, bytes]) -> bool:
        """Whether the request's header carries a key in force; every key is compared, in constant time."""
        return not self.digests or _among((*self.digests, *self.lifting), headers)

    def may_lift(self, headers: dict[bytes, bytes]) -> bool:
        """Whether the request's key may lift a stop; without any key everybody may, on this machine."""
        return not self.digests or _among(self.lifting, headers)


def _digests(text: str | None) -> tuple[bytes, ...]:
    keys = (part.strip() for part in (text or "").split(","))
    return tuple(hashlib.sha256(key.encode()).digest() for key in keys if key)


def _among(digests: tuple[bytes, ...], headers: dict[bytes, bytes]) -> bool:
    given = headers.get(b"x-api-key") or b""
    authorization = headers.get(b"authorization") or b""
    if not given and authorization[:7].lower() == b"bearer ":
        given = authorization[7:].strip()
    digest = hashlib.sha256(given).digest()
    admitted = False
    for known in digests:
        admitted |= hmac.compare_digest(digest, known)
    return admitted and bool(given)


class JsonLines(logging.Formatter):
    """One JSON object a line: declared fields only, so that nothing of a request can slip in."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        line: dict[str, Any] = {"at": round(record.created, 3), "level": record.levelname, "event": record.getMessage()}
        line.update(getattr(record, "fields", {}))
        return json.dumps(line, separators=(",", ":"))


class TogetherHandler(logging.StreamHandler[TextIO]):
    """Writes ordinary lines together a little later, because a write for each answer costs as much as its parsing.

    A warning or worse is written at once, with everything before it.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        try:
            self._lines.append(self.format(record))
            if record.levelno >= logging.WARNING or len(self._lines) >= MOST_LINES:
                self.flush()
            elif len(self._lines) == 1:
                asyncio.get_running_loop().call_later(LINES_WAIT_SECONDS, self.flush)
        except RuntimeError:
            # Outside of the event loop nothing would come back for it.
            self.flush()

    def flush(self) -> None:
        """Write every line taken."""
        with self.lock or contextlib.nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            super().flush()


class Guard:
    """Wraps an ASGI app; what it lets through carries a key, a bounded body that came in time, and JSON."""

    def __init__(self, app: App, *, keys: Keys, max_body: int, body_seconds: float = BODY_SECONDS) -> None:
        self.app, self.keys, self.max_body, self.body_seconds = app, keys, max_body, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            await send(message)

        # INVARIANT: no exception leaves the guard before a response started, and no answer or log holds its text.
        try:
            await self._guarded(scope, receive, watched)
        except Exception as error:  # noqa: BLE001 - the one place that turns anything into an answer
            log.error("failed", extra={"fields": {"error": type(error).__name__, "route": _route(scope)}})
            if not status:
                await answer(watched, 500, "Internal Server Error", "the request could not be answered")
        fields = {
            "method": scope["method"] if scope["method"] in _METHODS else "other",
            "route": _route(scope),
            "status": status,
            "ms": round((time.perf_counter() - started) * 1e3, 2),
        }
        log.info("answered", extra={"fields": fields})

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["path"] not in OPEN_PATHS and not self.keys.admit(headers):
            await answer(send, 401, "Unauthorized", "expected a valid key in X-API-Key or Authorization: Bearer")
            return
        if scope["path"] == "/v1/suppressions":
            scope[MAY_LIFT] = self.keys.may_lift(headers)
        if scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
            await self.app(scope, receive, send)
            return
        kind = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
        if kind != b"application/json" or headers.get(b"content-encoding", b"identity").lower() != b"identity":
            await answer(send, 415, "Unsupported Media Type", "expected application/json, not compressed")
            return
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self.max_body:
            await self._too_large(send)
            return
        try:
            # A body sent byte by byte must not hold a place among the requests that may run at once.
            async with asyncio.timeout(self.body_seconds):
                body = await self._body(receive)
        except TimeoutError:
            await answer(send, 408, "Request Timeout", f"expected the whole body within {self.body_seconds:g} seconds")
            return
        if body is None:
            await self._too_large(send)
        elif body is not _GONE:
            await self.app(scope, _replayed(body, receive), send)

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None where it is too large, `_GONE` where nobody waits for an answer any more."""
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return _GONE
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self.max_body:
                return None
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    async def _too_large(self, send: Send) -> None:
        await answer(send, 413, "Content Too Large", f"expected at most {self.max_body} bytes")


_GONE = bytes(bytearray(b"gone"))
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _route(scope: Scope) -> str:
    return scope["path"] if scope["path"] in KNOWN_PATHS else "other"


def _replayed(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
