"""Who refers to a segment: content, triggers, points and whatever else names one. A segment so named is not deleted.

Every key of the configuration that is called `segment`, `segment_id`, `segments`, `segment_ids`, `replaced_by` or
`reviews` and holds text names segments, and so do the keys of a mapping called `by_segment`. Nothing is registered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from configs.errors import Problem
from configs.section import Section

RETIRE = "retire a segment instead of deleting it, so that what refers to it is told"
_NAMES = ("segment", "segment_id", "segments", "segment_ids", "replaced_by", "reviews")
_KEYED = ("by_segment", "segment_weights")
# Parts of the settings that may name segments, with their files. The ledger of approvals checks its own.
_FILES: Mapping[str, str] = {
    "assets": "assets.yaml",
    "triggers": "triggers.yaml",
    "scorecard": "scorecard.yaml",
    "actions": "actions.yaml",
    "statuses": "statuses.yaml",
    "buying_groups": "buying_groups.yaml",
    "governance": "governance.yaml",
    "quality": "quality.yaml",
    "training": "training.yaml",
    "serving": "serving.yaml",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """Something that names a segment: in which file, under which key."""

    segment_id: str
    file: str
    key: str


def references(found: Mapping[str, Any]) -> list[Reference]:
    """Every reference to a segment outside the definitions and the ledger, in the order of files and keys."""
    listed = []
    for part, file in _FILES.items():
        for key, segment_id in _named(found.get(part), part):
            listed.append(Reference(segment_id, file, key))
    return listed


def reference_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """A problem for each reference to a segment that no definition has; nothing while no definition could be read."""
    known = {definition.id for definition in found["segments"]}
    for reference in references(found) if known else ():
        # The catalogue of triggers checks its own names.
        if reference.segment_id not in known and not reference.key.startswith("triggers."):
            expected = f"no segment {reference.segment_id!r} is defined; {RETIRE}"
            yield Problem(reference.file, reference.key, expected)


def references_to(segment_ids: Collection[str], found: Mapping[str, Any]) -> dict[str, list[Reference]]:
    """References to some segments, by segment."""
    kept: dict[str, list[Reference]] = {}
    for reference in references(found):
        if reference.segment_id in segment_ids:
            kept.setdefault(reference.segment_id, []).append(reference)
    return kept


def _named(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """(dotted key, segment id) of everything below a value that names a segment."""
    if isinstance(value, Section):
        for name in type(value).model_fields:
            yield from _under(name, getattr(value, name), f"{key}.{name}")
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _under(str(name), inner, f"{key}.{name}")
    elif isinstance(value, tuple | list):
        for place, inner in enumerate(value):
            own = getattr(inner, "id", None) or getattr(inner, "asset_id", None) or place
            yield from _named(inner, f"{key}.{own}")


def _under(name: str, value: Any, key: str) -> Iterator[tuple[str, str]]:
    if name in _NAMES and isinstance(value, str):
        yield key, value
    elif name in _NAMES and isinstance(value, tuple | list) and all(isinstance(one, str) for one in value):
        for one in value:
            yield key, one
    elif name in _KEYED and isinstance(value, Mapping):
        for one in value:
            yield f"{key}.{one}", str(one)
    else:
        yield from _named(value, key)
