"""Reasons against a channel, in words, made once for each combination of rules and of the facts they look at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple, TypeVar

from numpy.typing import NDArray

from configs.conditions import facts_used
from features.facts import Facts
from models.segments.map import SegmentMap
from policy.book import Book
from policy.rulings import EFFECT_ORDER, Rulings

KEPT_REASONS = 20_000
_Value = TypeVar("_Value")
REPLAY_BLOCK: dict[str, Any] = {
    "rule": "REPLAY",
    "reason": "REPLAY_GRANTS_NO_PERMIT",
    "effect": "forbid",
    "says": "This answers for an earlier instant, so it permits nothing now.",
    "basis": "Leadwell: consent gates at the time of processing",
    "because": [],
}


class Said(NamedTuple):
    """The blocks of a channel, strongest first, and their distinct effects; shared between answers, never changed."""

    blocks: list[dict[str, Any]]
    effects: list[str]


class Reasons:
    """Words that were already made; an entry depends on rules and on the codes of their facts, and on nothing else."""

    def __init__(self) -> None:
        self._said: dict[tuple[Any, ...], Said] = {}
        self._facts: dict[tuple[str, int], tuple[str, ...]] = {}
        self._entries: dict[tuple[Any, ...], list[list[str | int]]] = {}
        self._permits: dict[tuple[str, int], list[str]] = {}

    def against(self, ruled: Rulings, place: tuple[int, int, int], mask: int, permits: int, replay: bool) -> Said:
        """Every reason against a (lead, asset, channel) whose masks are given, as `Rulings.explain` words it."""
        book = ruled.book
        if mask >> book.error_bit:
            return _said(ruled, place, replay)
        facts = self._facts.get((book.hash, mask))
        if facts is None:
            used = {fact for bit, one in enumerate(book.rules) if mask >> bit & 1 for fact in one.facts}
            facts = _kept(self._facts, (book.hash, mask), tuple(sorted(used)))
        key = (book.hash, mask, permits == 0, replay, *_codes(ruled.facts, facts, place))
        found = self._said.get(key)
        return found if found is not None else _kept(self._said, key, _said(ruled, place, replay))

    def entry(self, segments: SegmentMap, facts: Facts, lead: int, segment: int, on: date) -> list[list[str | int]]:
        """The facts that a segment's entry condition looks at, as `SegmentMap.because` words them."""
        place = (segments.hash, segment)
        names = self._facts.get(place)
        if names is None:
            enter = segments.activations[segment].enter
            names = _kept(self._facts, place, tuple(facts_used(enter)) if enter is not None else ())
        key = (*place, on if segments.dated else None, *_codes(facts.columns, names, (lead, 0, 0)))
        found = self._entries.get(key)
        return found if found is not None else _kept(self._entries, key, segments.because(facts, lead, segment, on))

    def permits(self, book: Book, mask: int) -> list[str]:
        """Ids of the permits of a mask."""
        found = self._permits.get((book.hash, mask))
        if found is None:
            ids = [one.id for bit, one in enumerate(book.permits) if mask >> bit & 1]
            found = _kept(self._permits, (book.hash, mask), ids)
        return found


def _codes(columns: Mapping[str, NDArray[Any]], facts: tuple[str, ...], place: tuple[int, int, int]) -> list[int]:
    """Codes of facts for one lead, asset and channel; -1 where nobody built the fact."""
    lead, asset, channel = place
    codes: list[int] = []
    for fact in facts:
        column = columns.get(fact)
        if column is None:
            codes.append(-1)
        else:
            leads, assets, channels = column.shape
            at = (lead if leads > 1 else 0, asset if assets > 1 else 0, channel if channels > 1 else 0)
            codes.append(column.item(at))
    return codes


def _said(ruled: Rulings, place: tuple[int, int, int], replay: bool) -> Said:
    blocks = [REPLAY_BLOCK] * replay + ruled.explain(*place)
    effects = {block["effect"] for block in blocks}
    return Said(blocks, [effect for effect in EFFECT_ORDER if effect in effects])


def _kept(cache: dict[Any, _Value], key: tuple[Any, ...], value: _Value) -> _Value:
    if len(cache) >= KEPT_REASONS:
        cache.clear()
    cache[key] = value
    return value
