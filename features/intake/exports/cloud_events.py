"""CloudEvents 1.0 in JSON (an array, or one a line) as a DuckDB relation of text.

`recordedtime` is the extension that says when the event was learned of; without it the second clock is unknown, and a
mapping that takes `time` in its place says so. An event is told apart by its source and id, as the specification has
it: `event_id` joins the two, and is a hash where they are too long or hold an address.

Source: github.com/cloudevents/spec, v1.0.2, JSON Event Format (structured mode and JSON Batch Format).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import msgspec
import pyarrow as pa

from configs.errors import InputInvalid
from features.intake.exports.json_text import BOM, NO_JSON, TOO_DEEP, decoded, json_files, text_lines
from features.intake.exports.staged import Staged, Unread
from features.intake.staging import FILE_BITS, quoted

# The specification asks receivers to take at least 64 KB.
MAX_EVENT_BYTES = 1_000_000
MAX_BATCH_BYTES = 200_000_000
BATCH_ROWS = 10_000
_LONGEST_ID = 64
_TOO_LARGE = f"expected at most {MAX_EVENT_BYTES // 1_000_000} MB for one event"
_REQUIRED = ("specversion", "id", "source", "type")
_TEXTS = (*_REQUIRED, "subject", "time", "recordedtime", "datacontenttype", "dataschema")


def stage(con: duckdb.DuckDBPyConnection, name: str, where: Path, columns: Sequence[str]) -> Staged:
    """Stage the columns a mapping reads: attributes by name, `event_id`, and parts of the data such as `data.topic`.

    INVARIANT: events read = rows of the relation + unreadable.

    Raises:
        InputInvalid: there is no file, or a name of a column is not one of CloudEvents'.
    """
    paths = json_files(where, "CloudEvents")
    names = list(dict.fromkeys(("event_id", *columns)))
    for column in names:
        if not column.replace("_", "").replace(".", "").isalnum() or column.startswith("_"):
            raise InputInvalid(str(where), "expected an attribute of CloudEvents or data.NAME", field=column)
    schema = pa.schema([*((column, pa.string()) for column in names), ("_at", pa.int64())])
    declared = ", ".join(f"{quoted(column)} VARCHAR" for column in names)
    con.execute(f"CREATE TEMP TABLE {name} ({declared}, _at BIGINT)")
    waiting: list[dict[str, Any]] = []
    unreadable: list[Unread] = []
    for place, file in enumerate(paths):
        for row, found in _events(file):
            read = _row(found, names) if isinstance(found, dict) else ("", found)
            if isinstance(read, tuple):
                unreadable.append(Unread(place, row, *read))
                continue
            waiting.append({**read, "_at": (place << FILE_BITS) + row})
            if len(waiting) == BATCH_ROWS:
                _insert(con, name, schema, waiting)
    _insert(con, name, schema, waiting)
    return Staged(name, tuple(str(path) for path in paths), tuple(unreadable))


def event_id(source: str, identity: str) -> str:
    """One id for an event's source and id, at most 64 characters, the same on every machine.

    >>> event_id("/crm/veeva", "e-1")
    '/crm/veeva e-1'
    """
    # A source is a URI and has no blank, so that the first blank is where it ends.
    joined = f"{source} {identity}"
    if len(joined) <= _LONGEST_ID and "@" not in joined and joined.isprintable() and " " not in source:
        return joined
    digest = hashlib.sha256(msgspec.json.encode([source, identity])).hexdigest()
    return f"ce:{digest}"[:_LONGEST_ID]


def _events(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Every event of a file with its line or place in the array, or why it is none."""
    try:
        with file.open("rb") as stream:
            yield from _of_array(stream) if file.suffix.lower() == ".json" else _of_lines(stream)
    except OSError:
        yield 1, "the file cannot be read"


def _of_lines(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | str]]:
    empty = True
    for row, line in text_lines(stream, MAX_EVENT_BYTES):
        empty = False
        yield row, _TOO_LARGE if line is None else decoded(line)
    if empty:
        yield 1, "expected events, the file has none"


def _of_array(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | str]]:
    raw = stream.read(MAX_BATCH_BYTES + 1).removeprefix(BOM)
    if len(raw) > MAX_BATCH_BYTES:
        yield 1, f"expected at most {MAX_BATCH_BYTES // 1_000_000} MB, or lines (.jsonl)"
        return
    if not raw.lstrip().startswith(b"["):
        yield 1, _TOO_LARGE if len(raw) > MAX_EVENT_BYTES else decoded(raw)
        return
    try:
        parts = msgspec.json.decode(raw, type=list[msgspec.Raw])
    except NO_JSON:
        yield 1, "expected an array of JSON objects"
        return
    except RecursionError:
        yield 1, TOO_DEEP
        return
    if not parts:
        yield 1, "expected events, the array has none"
    for row, part in enumerate(parts, start=1):
        yield row, _TOO_LARGE if len(bytes(part)) > MAX_EVENT_BYTES else decoded(part)


def _row(event: dict[str, Any], names: Sequence[str]) -> dict[str, str | None] | tuple[str, str]:
    """The wanted columns as text, or the attribute that is wrong and why."""
    for attribute in _TEXTS:
        value = event.get(attribute)
        if value is None and attribute not in _REQUIRED:
            continue
        if not isinstance(value, str) or not value.strip():
            return attribute, "expected text"
    if event["specversion"] != "1.0":
        return "specversion", "expected 1.0"
    found: dict[str, str | None] = {}
    for column in names:
        if column == "event_id":
            found[column] = event_id(event["source"], event["id"])
            continue
        value = event
        for part in column.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, dict | list):
            return column, "expected a single value"
        found[column] = _written(value)
    return found


def _written(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value).strip() or None


def _insert(con: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    con.register("events_batch", pa.Table.from_pylist(rows, schema=schema))
    con.execute(f"INSERT INTO {name} SELECT * FROM events_batch")
    con.unregister("events_batch")
    rows.clear()
