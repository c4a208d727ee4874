"""FHIR R4 JSON as resources: single files, Bundles and NDJSON, each with its place; what is no resource has a reason.

Bounded: a resource has at most 10 MB and 40 levels, and only one line or one Bundle is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from features.intake.exports.json_text import BOM, NO_JSON, NOT_JSON, TOO_DEEP, decoded, text_lines
from features.intake.exports.staged import Unread

MAX_RESOURCE_BYTES = 10_000_000
MAX_BUNDLE_BYTES = 200_000_000
_TOO_LARGE = f"expected at most {MAX_RESOURCE_BYTES // 1_000_000} MB for one resource"
_NO_TYPE = "expected a resourceType such as Practitioner"


_NOTHING = msgspec.Raw(b"null")


class Resource(NamedTuple):
    """One resource: index of its file, its line or place in the Bundle (from 1), its type, and its content.

    `aliases` are the addresses its Bundle gives to the resources in it, and the ids they stand for.
    """

    place: int
    row: int
    kind: str
    body: dict[str, Any]
    aliases: Mapping[str, str]


class _Peek(msgspec.Struct):
    resourceType: Any = None
    id: Any = None


class _Bundle(msgspec.Struct):
    entry: list[msgspec.Raw] | None = None


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = _NOTHING
    fullUrl: Any = None


def read_resources(files: Sequence[Path]) -> Iterator[Resource | Unread]:
    """Every resource of the files in order, and everything that is none with its reason."""
    for place, file in enumerate(files):
        try:
            with file.open("rb") as stream:
                lines = file.suffix.lower() != ".json"
                yield from _of_lines(place, stream) if lines else _of_file(place, stream)
        except OSError:
            yield Unread(place, 1, "", "the file cannot be read")


def _of_lines(place: int, stream: BinaryIO) -> Iterator[Resource | Unread]:
    empty = True
    for row, line in text_lines(stream, MAX_RESOURCE_BYTES):
        empty = False
        yield Unread(place, row, "", _TOO_LARGE) if line is None else _resource(place, row, line, {})
    if empty:
        yield Unread(place, 1, "", "expected resources, the file has none")


def _of_file(place: int, stream: BinaryIO) -> Iterator[Resource | Unread]:
    raw = stream.read(MAX_BUNDLE_BYTES + 1)
    if len(raw) > MAX_BUNDLE_BYTES:
        yield Unread(place, 1, "", f"expected at most {MAX_BUNDLE_BYTES // 1_000_000} MB, or lines (.ndjson)")
        return
    raw = raw.removeprefix(BOM)
    if not raw.strip():
        yield Unread(place, 1, "", "expected a resource, the file has none")
        return
    try:
        peek = msgspec.json.decode(raw, type=_Peek)
        if peek.resourceType != "Bundle":
            yield Unread(place, 1, "", _TOO_LARGE) if len(raw) > MAX_RESOURCE_BYTES else _resource(place, 1, raw, {})
            return
        entries = msgspec.json.decode(raw, type=_Bundle).entry or []
    except NO_JSON:
        yield Unread(place, 1, "", NOT_JSON)
        return
    except RecursionError:
        yield Unread(place, 1, "", TOO_DEEP)
        return
    if not entries:
        yield Unread(place, 1, "entry", "expected resources, the Bundle has none")
    aliases = _aliases(entries)
    for row, entry in enumerate(entries, start=1):
        yield _of_entry(place, row, entry, aliases)


def _of_entry(place: int, row: int, entry: msgspec.Raw, aliases: Mapping[str, str]) -> Resource | Unread:
    try:
        raw = msgspec.json.decode(entry, type=_Entry).resource
    except (*NO_JSON, RecursionError):
        return Unread(place, row, "entry", NOT_JSON)
    if bytes(raw) == b"null":
        return Unread(place, row, "entry.resource", "expected a resource; a deletion or an empty answer is not read")
    if len(bytes(raw)) > MAX_RESOURCE_BYTES:
        return Unread(place, row, "entry.resource", _TOO_LARGE)
    return _resource(place, row, raw, aliases)


def _aliases(entries: Sequence[msgspec.Raw]) -> dict[str, str]:
    """Ids of the resources of a Bundle by their addresses (urn:uuid:...), which their references use."""
    found: dict[str, str] = {}
    for raw in entries:
        try:
            entry = msgspec.json.decode(raw, type=_Entry)
            peek = msgspec.json.decode(entry.resource, type=_Peek)
        except (*NO_JSON, RecursionError):
            continue
        if isinstance(entry.fullUrl, str) and isinstance(peek.id, str):
            found.setdefault(entry.fullUrl, peek.id)
    return found


def _resource(place: int, row: int, raw: bytes | msgspec.Raw, aliases: Mapping[str, str]) -> Resource | Unread:
    body = decoded(raw)
    if isinstance(body, str):
        return Unread(place, row, "", body)
    kind = body.get("resourceType")
    if not isinstance(kind, str) or not kind.isalpha() or not kind[:1].isupper() or len(kind) > 64:
        return Unread(place, row, "resourceType", _NO_TYPE)
    if kind == "Bundle":
        return Unread(place, row, "resourceType", "expected a resource: a Bundle is a file of its own")
    return Resource(place, row, kind, body, aliases)
