"""The guard: key, size, type, and an answer whatever happens inside."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

import pytest

from configs.errors import NotReady
from serving.asgi import Message, Receive, Scope, Send
from serving.guard import LINES_WAIT_SECONDS, Guard, JsonLines, Keys, TogetherHandler

KEY = (b"x-api-key", b"k1")
JSON = (b"content-type", b"application/json")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("jane.marker@example.com")


def ask(
    app: Any = echo,
    *,
    path: str = "/v1/score",
    method: str = "POST",
    headers: tuple[tuple[bytes, bytes], ...] = (KEY, JSON),
    chunks: tuple[bytes, ...] = (b"{}",),
    keys: str | None = "k1,k2",
    max_body: int = 10,
) -> tuple[int, bytes, dict[bytes, bytes]]:
    guard = Guard(app, keys=Keys.of(keys, allow_none=True), max_body=max_body)
    left = list(chunks)
    sent: list[Message] = []

    async def receive() -> Message:
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers), "query_string": b""}
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:]), dict(sent[0]["headers"])


@pytest.mark.parametrize(
    "headers",
    [(KEY,), ((b"x-api-key", b"k2"),), ((b"authorization", b"Bearer k1"),), ((b"authorization", b"bearer k2"),)],
)
def test_every_key_in_force_is_admitted_so_that_a_key_can_be_rotated(headers: Any) -> None:
    assert ask(headers=(*headers, JSON))[0] == 200


@pytest.mark.parametrize(
    "headers", [(), ((b"x-api-key", b""),), ((b"x-api-key", b"k1,k2"),), ((b"authorization", b"Basic k1"),)]
)
@pytest.mark.parametrize("path", ["/v1/score", "/metrics", "/docs.json", "/schema.json", "/v1/openapi.json", "/x"])
def test_without_a_key_in_force_nothing_but_health_and_the_index_is_shown(headers: Any, path: str) -> None:
    status, body, _ = ask(headers=(*headers, JSON), path=path)
    assert status == 401
    assert json.loads(body)["status"] == 401


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz"])
def test_health_and_the_index_need_no_key(path: str) -> None:
    assert ask(headers=(), path=path, method="GET")[0] == 200


def test_a_server_without_a_key_does_not_start_unless_told_to() -> None:
    with pytest.raises(NotReady, match="LEADWELL_API_KEY"):
        Keys.of(" , ", allow_none=False)
    assert Keys.of(None, allow_none=True).admit({})


@pytest.mark.parametrize(
    "kind",
    [
        b"text/plain",
        b"multipart/form-data",
        b"application/x-www-form-urlencoded",
        b"application/vnd.bentoml+pickle",
        b"",
    ],
)
def test_anything_but_json_is_refused_unparsed(kind: bytes) -> None:
    assert ask(broken, headers=(KEY, (b"content-type", kind)))[0] == 415


def test_a_compressed_body_is_refused() -> None:
    assert ask(broken, headers=(KEY, JSON, (b"content-encoding", b"gzip")))[0] == 415


@pytest.mark.parametrize(
    ("headers", "chunks"),
    [
        ((KEY, JSON, (b"content-length", b"11")), (b"x" * 11,)),
        ((KEY, JSON, (b"content-length", b"-1")), (b"x",)),
        ((KEY, JSON), (b"x" * 6, b"x" * 6, b"x" * 100)),
    ],
)
def test_a_body_over_the_limit_is_refused_also_when_it_comes_in_chunks(headers: Any, chunks: Any) -> None:
    assert ask(broken, headers=headers, chunks=chunks)[0] == 413


def test_chunks_reach_the_app_as_one_body() -> None:
    assert ask(chunks=(b"abc", b"def"))[:2] == (200, b"abcdef")


def test_an_exception_becomes_a_problem_and_its_text_is_in_no_answer_and_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="leadwell.serving"):
        status, body, headers = ask(broken)
    assert status == 500
    assert headers[b"content-type"] == b"application/problem+json"
    lines = "".join(JsonLines().format(record) for record in caplog.records)
    assert "ValueError" in lines
    assert "marker" not in lines + caplog.text + body.decode()


def test_a_log_line_names_only_known_routes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="leadwell.serving"):
        ask(path="/jane.marker@example.com", method="JANE")
    line = JsonLines().format(caplog.records[-1])
    assert json.loads(line)["route"] == "other"
    assert "marker" not in line
    assert "JANE" not in line


def test_every_answer_carries_the_security_headers() -> None:
    for path in ("/", "/v1/score"):
        headers = ask(path=path)[2]
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"content-security-policy"].startswith(b"default-src 'none'")


def test_ordinary_lines_are_written_together_and_a_warning_at_once() -> None:
    out = io.StringIO()
    handler = TogetherHandler(out)

    def line(level: int, text: str) -> None:
        handler.handle(logging.LogRecord("leadwell", level, "", 0, text, None, None))

    async def run() -> None:
        line(logging.INFO, "one")
        line(logging.INFO, "two")
        assert out.getvalue() == ""
        line(logging.ERROR, "three")
        assert out.getvalue() == "one\ntwo\nthree\n"
        line(logging.INFO, "four")
        await asyncio.sleep(LINES_WAIT_SECONDS + 0.1)
        assert out.getvalue().endswith("three\nfour\n")

    asyncio.run(run())
    line(logging.INFO, "without a loop")
    assert out.getvalue().endswith("four\nwithout a loop\n")
