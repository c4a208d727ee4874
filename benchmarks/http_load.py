"""A small keep-alive HTTP client that loads one address from its own process and prints what it saw as JSON.

Raw asyncio streams: the client must cost less than any server it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit


async def one_connection(
    host: str, port: int, wire: bytes, until: float, seen: list[float], codes: dict[str, int]
) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        while time.perf_counter() < until:
            started = time.perf_counter()
            writer.write(wire)
            head = await reader.readuntil(b"\r\n\r\n")
            status = head[9:12].decode()
            length = 0
            lowered = head.lower()
            place = lowered.find(b"content-length:")
            if place >= 0:
                length = int(lowered[place + 15 : lowered.index(b"\r\n", place)])
                await reader.readexactly(length)
            elif b"chunked" in lowered:
                while True:
                    size = int((await reader.readuntil(b"\r\n")).strip() or b"0", 16)
                    await reader.readexactly(size + 2)
                    if not size:
                        break
            seen.append(time.perf_counter() - started)
            codes[status] = codes.get(status, 0) + 1
    finally:
        writer.close()


async def load(url: str, body: bytes, headers: dict[str, str], connections: int, seconds: float) -> dict[str, object]:
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {host}:{port}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    wire = ("\r\n".join(lines) + "\r\n\r\n").encode() + body
    warm: list[float] = []
    await asyncio.gather(
        *(one_connection(host, port, wire, time.perf_counter() + 0.5, warm, {}) for _ in range(connections))
    )
    seen: list[float] = []
    codes: dict[str, int] = {}
    started = time.perf_counter()
    until = started + seconds
    await asyncio.gather(*(one_connection(host, port, wire, until, seen, codes) for _ in range(connections)))
    took = time.perf_counter() - started
    seen.sort()
    return {
        "requests_per_second": len(seen) / took,
        "p50_ms": seen[len(seen) // 2] * 1e3,
        "p99_ms": seen[min(len(seen) - 1, int(len(seen) * 0.99))] * 1e3,
        "codes": codes,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("body", type=Path)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    headers = dict(header.split(": ", 1) for header in given.header)
    found = asyncio.run(load(given.url, given.body.read_bytes(), headers, given.connections, given.seconds))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
