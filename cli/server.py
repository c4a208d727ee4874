"""A scoring server in a process of its own: started, waited for, asked once, stopped."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.errors import NotReady

START_SECONDS = 90.0


def command(host: str, port: int) -> list[str]:
    """What starts the service."""
    target = "serving.service:LeadScoring"
    return [sys.executable, "-m", "bentoml", "serve", target, "--host", host, "--port", str(port)]


@contextmanager
def serving(environment: Mapping[str, str], log: Path) -> Iterator[int]:
    """A server on a free port of this machine, ready; its output goes to `log`; raises NotReady if it does not come."""
    port = _free_port()
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="leadwell-") as home, log.open("wb") as output:
        # A home of its own: two servers that share one wipe each other's metrics.
        given = {**os.environ, "BENTOML_HOME": home, **environment}
        process = subprocess.Popen(
            command("127.0.0.1", port), env=given, stdout=output, stderr=output, start_new_session=True
        )
        try:
            _wait(process, port, log)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def ask(port: int, body: bytes, key: str) -> tuple[dict[str, Any], float]:
    """One `POST /v1/score`: the answer, and the milliseconds it took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json", "X-API-Key": key}
    try:
        started = time.perf_counter()
        connection.request("POST", "/v1/score", body, headers)
        response = connection.getresponse()
        text = response.read()
        took = (time.perf_counter() - started) * 1000
        if response.status != 200:
            raise NotReady(f"the service answered {response.status}; see its log")
        answer: dict[str, Any] = json.loads(text)
        return answer, took
    finally:
        connection.close()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise NotReady(f"the service stopped at its start; {log} says why")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise NotReady(f"the service was not ready within {START_SECONDS:.0f} seconds; {log} says why")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
