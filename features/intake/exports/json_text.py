"""JSON from outside, read with bounds: files of one kind, lines of at most so many bytes, objects of bounded depth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from configs.errors import InputInvalid
from features.intake.scan import files_behind

SUFFIXES = (".json", ".ndjson", ".jsonl")
MAX_DEPTH = 40
BOM = b"\xef\xbb\xbf"
NOT_JSON = "expected a JSON object"
TOO_DEEP = f"expected at most {MAX_DEPTH} levels of nesting"
NO_JSON = (msgspec.DecodeError, UnicodeDecodeError)


def json_files(path: Path, what: str) -> tuple[Path, ...]:
    """The JSON files behind a path, folder or glob in a stable order; raises InputInvalid when there is none."""
    found = files_behind(path, SUFFIXES)
    if not found:
        raise InputInvalid(str(path), f"expected {what} files: .json, .ndjson or .jsonl")
    return tuple(found)


def text_lines(stream: BinaryIO, most: int) -> Iterator[tuple[int, bytes | None]]:
    """Number and content of every line that is not blank, None for one with more bytes than `most`."""
    row = 0
    while line := stream.readline(most + 1):
        row += 1
        if len(line) > most and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(1 << 20)
            yield row, None
            continue
        if row == 1:
            line = line.removeprefix(BOM)
        if line.strip():
            yield row, line


def too_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than anything meant seriously."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def decoded(raw: bytes | msgspec.Raw) -> dict[str, Any] | str:
    """The JSON object, or why it is none."""
    try:
        body = msgspec.json.decode(raw)
    except NO_JSON:
        return NOT_JSON
    except RecursionError:
        return TOO_DEEP
    if not isinstance(body, dict):
        return NOT_JSON
    # Nothing is nested deeper than it has brackets: most objects need no second look.
    text = bytes(raw)
    brackets = text.count(b"{") + text.count(b"[")
    return TOO_DEEP if brackets > MAX_DEPTH and too_deep(body) else body
