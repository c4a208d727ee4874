"""Workers of the service for tests that kill them: the ASGI app over a store, asked by lines on a socket.

`python -m tests.store_worker` reads lines of SOCKET, STORE, AUDIT and perhaps `broken`, forks a worker for each and
writes its process id: what all of them need is loaded once. To a worker a line is `PATH BODY`, its answer a line
`STATUS BODY`. It has no bundle, so it takes stops and checks permits only. A broken one asks the store once about a
person and remembers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving.app import Scoring, build_app
from serving.start import start_contact
from serving.store.store import Asking, Standing
from tests.store_people import NOW, permit, shipped


async def _ask(app: Any, path: str, body: bytes) -> bytes:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
    return b"%d %s\n" % (sent[0]["status"], sent[1]["body"])


async def _serve(socket: str, app: Any) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            path, body = line.rstrip(b"\n").split(b" ", 1)
            writer.write(await _ask(app, path.decode(), body))
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(talk, socket, limit=1 << 20)
    await server.serve_forever()


def _remember() -> None:
    asked, known = Asking.standing, dict[str, Standing]()

    def standing(self: Asking, subjects: Sequence[str], hashes: Sequence[str], now_us: int) -> Standing:
        return known.setdefault(subjects[0], asked(self, subjects, hashes, now_us))

    Asking.standing = standing  # type: ignore[method-assign]


def work(socket: str, store: str, audit: str, *how: str) -> None:
    """Answer until somebody kills it."""
    if "broken" in how:
        _remember()
    scoring = Scoring(shipped(), lambda: NOW)
    start_contact(scoring, Path(audit), store)
    asyncio.run(_serve(socket, build_app(lambda: scoring)))


def main() -> None:
    """Fork a worker for each line."""
    permit("warm-up")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            work(*line.rstrip("\n").split("\t"))
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
