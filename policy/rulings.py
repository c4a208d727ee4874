"""What the rules say about every lead, channel and asset.

A rule blocks where (applies_when and not unless_surely) is not surely false; a permit counts where it is surely true.
Allowed is: some permit counts and no rule blocks; without a permit the reason is NO_LEGAL_BASIS. Every rule that fires
is reported, so their order means nothing. Whatever goes wrong while evaluating forbids, as EVALUATION_ERROR.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.evaluate import Normal, reading
from policy.book import Book, Rule
from policy.reasons import EVALUATION_ERROR, NO_LEGAL_BASIS, because, witnesses
from policy.scalar import by_asset, by_lead, rows_of

Masks = NDArray[np.uint64]
ERROR_BIT = 63
SMALL = 8
MAX_INVENTORIES = 16
EFFECT_ORDER = ("forbid", "reroute", "review", "suppress_until", "limit_content")
_ERROR = np.uint64(1 << ERROR_BIT)


class Facts(Protocol):
    """What rules look at: arrays of codes that broadcast to (leads, assets, channels); an absent one is unknown."""

    @property
    def n(self) -> int:
        """Number of leads."""

    @property
    def assets(self) -> tuple[str, ...]:
        """Ids of the assets; the last is the message without an asset."""

    @property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """Codes by fact."""


@dataclass(frozen=True, slots=True)
class Part:
    """Masks of some rules, over no more leads, assets and channels than those rules tell apart.

    Where `kind_of` is given, the second axis is kinds of assets and `kind_of[asset]` is the kind of an asset.
    """

    channels: tuple[int, ...]
    masks: Masks
    kind_of: NDArray[np.intp] | None = None


@dataclass(frozen=True)
class Rulings:
    """Rulings over leads x assets x channels, kept as parts and joined only when asked for.

    A mask's bit i is `book.rules[i]`, `book.permits[i]` or, in `score_blocks`, `book.score_rules[i]`.
    """

    book: Book
    n: int
    assets: tuple[str, ...]
    facts: Mapping[str, NDArray[Any]]
    block_parts: tuple[Part, ...]
    permit_parts: tuple[Part, ...]
    score_blocks: Masks
    errors: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(leads, assets, channels)."""
        return self.n, len(self.assets), len(self.book.channels)

    @cached_property
    def blocks(self) -> Masks:
        """Rules that fire, one bit each; bit 63 is EVALUATION_ERROR."""
        return self._joined(self.block_parts, np.uint64)

    @cached_property
    def permits(self) -> Masks:
        """Permits that count, one bit each."""
        return self._joined(self.permit_parts, np.uint64)

    @cached_property
    def permitted(self) -> NDArray[np.bool_]:
        """Whether lead, asset and channel go together."""
        return np.asarray(self._joined(self.permit_parts, np.bool_) & ~self._joined(self.block_parts, np.bool_))

    @property
    def no_score(self) -> NDArray[np.bool_]:
        """Whether the lead may not be scored at all."""
        return np.asarray(self.score_blocks != 0)

    def headline(self, lead: int, asset: int, channel: int) -> str:
        """The strongest effect, or `permit`."""
        if self.permitted[lead, asset, channel]:
            return "permit"
        fired = {rule.card.effect for rule in _named(self.book.rules, int(self.blocks[lead, asset, channel]))}
        # No permit, or an error: the default is to forbid.
        if not fired or self.permits[lead, asset, channel] == 0 or int(self.blocks[lead, asset, channel]) >> ERROR_BIT:
            return "forbid"
        return next(effect for effect in EFFECT_ORDER if effect in fired)

    def permit_ids(self, lead: int, asset: int, channel: int) -> list[str]:
        """Ids of the permits that count."""
        return [rule.id for rule in _named(self.book.permits, int(self.permits[lead, asset, channel]))]

    def rule_ids(self, lead: int, asset: int, channel: int) -> list[str]:
        """Ids of the rules that fire, strongest effect first; an error and a missing legal basis are named too."""
        return [entry["rule"] for entry in self.explain(lead, asset, channel, words=False)]

    def explain(self, lead: int, asset: int, channel: int, *, words: bool = True) -> list[dict[str, Any]]:
        """Every reason against, strongest effect first, each with the facts that made it fire."""
        mask = int(self.blocks[lead, asset, channel])
        rules = sorted(_named(self.book.rules, mask), key=lambda rule: (EFFECT_ORDER.index(rule.card.effect), rule.id))
        found = [EVALUATION_ERROR.copy()] if mask >> ERROR_BIT else []
        found += [self._entry(rule, lead, asset, channel) if words else {"rule": rule.id} for rule in rules]
        if self.permits[lead, asset, channel] == 0:
            found.append(NO_LEGAL_BASIS.copy())
        return found

    def explain_score(self, lead: int) -> list[dict[str, Any]]:
        """Every reason why the lead may not be scored."""
        mask = int(self.score_blocks[lead])
        found = [EVALUATION_ERROR.copy()] if mask >> ERROR_BIT else []
        return found + [self._entry(rule, lead, 0, 0) for rule in _named(self.book.score_rules, mask)]

    def _entry(self, rule: Rule, lead: int, asset: int, channel: int) -> dict[str, Any]:
        codes = {fact: self._code(fact, lead, asset, channel) for fact in rule.facts}
        point = {fact: np.array(code) for fact, code in codes.items()}
        surely = bool(reading(rule.normal, point, {}, must=True))
        guilty = dict.fromkeys(witnesses(rule.normal, point, surely))
        domain, card = self.book.domain, rule.card
        entry: dict[str, Any] = {
            "rule": card.id,
            "reason": card.reason if surely else card.reason_unknown or card.reason,
            "effect": card.effect,
            "says": card.says,
            "basis": "; ".join(legal.cite for legal in card.legal),
            "because": [because(domain, fact, codes[fact]) for fact in guilty],
        }
        return entry | ({"route_to": card.route_to} if card.route_to else {})

    def _code(self, fact: str, lead: int, asset: int, channel: int) -> int:
        column = self.facts.get(fact)
        if column is None:
            return self.book.domain.unknown(fact)
        place = (lead, asset, channel)
        return int(column[tuple(at if size > 1 else 0 for at, size in zip(place, column.shape, strict=True))])

    def _joined(self, parts: tuple[Part, ...], kind: type[np.uint64] | type[np.bool_]) -> NDArray[Any]:
        """All parts as masks, or as whether any bit is set; those of few assets are joined before they spread."""
        leads, _, channels = self.shape
        if len(parts) == 1 and parts[0].masks.shape == self.shape:
            return parts[0].masks if kind is np.uint64 else parts[0].masks != 0
        alike: NDArray[Any] = np.zeros((leads, 1, channels), dtype=kind)
        apart: NDArray[Any] = np.zeros(self.shape, dtype=kind)
        by_kind: NDArray[Any] | None = None
        for part in parts:
            masks = part.masks if kind is np.uint64 else part.masks != 0
            if part.kind_of is not None:
                if by_kind is None:
                    by_kind, kind_of = np.zeros((leads, masks.shape[1], channels), dtype=kind), part.kind_of
                _merge(by_kind, masks, part.channels)
            else:
                _merge(alike if masks.shape[1] == 1 else apart, masks, part.channels)
        apart |= alike
        if by_kind is not None:
            apart |= by_kind[:, kind_of]
        return apart


def _merge(joined: NDArray[Any], part: NDArray[Any], channels: tuple[int, ...]) -> None:
    if len(channels) == joined.shape[2]:
        joined |= part
    else:
        for channel in channels:
            joined[:, :, channel] |= part[:, :, channel if part.shape[2] > 1 else 0]


def rule(book: Book, facts: Facts) -> Rulings:
    """Rule on every lead, asset and channel; never raises on facts."""
    one = getattr(facts, "one", None)
    # The fact builder's own plain numbers need no check of shape and type.
    columns, errors = _usable(book, facts) if one is None else (facts.columns, 0)
    try:
        if one is not None and book.tiers.plain_answers and one.keys() >= book.tiers.facts:
            blocks, permits, score = _one(book, columns, one, len(facts.assets))
        else:
            evaluate = _few if facts.n <= SMALL else _many
            blocks, permits, score = evaluate(book, columns, facts.n, len(facts.assets))
    except Exception:  # noqa: BLE001 - INVARIANT: whatever goes wrong while evaluating forbids
        blocks, permits = [Part(tuple(range(len(book.channels))), np.full((1, 1, 1), _ERROR))], []
        score, errors = np.full(facts.n, _ERROR), errors + 1
    return Rulings(book, facts.n, facts.assets, columns, tuple(blocks), tuple(permits), score, errors)


_Seen = dict[tuple[Normal, bool], NDArray[np.bool_]]


def _usable(book: Book, facts: Facts) -> tuple[dict[str, NDArray[Any]], int]:
    """Columns that hold codes in the right shape; any other is dropped, which makes its fact unknown."""
    n, assets, channels = facts.n, len(facts.assets), len(book.channels)
    wanted = {
        "lead": (n, 1, 1),
        "channel": (n, 1, channels),
        "asset": (1, assets, 1),
        "lead_asset": (n, assets, 1),
        "asset_channel": (1, assets, channels),
    }
    given, columns, errors = facts.columns, {}, 0
    for name, scope, kinds in book.inputs:
        column = given.get(name)
        if column is None:
            continue
        shape = column.shape
        fits = shape == wanted[scope] or (
            len(shape) == 3 and all(size in (1, full) for size, full in zip(shape, wanted[scope], strict=True))
        )
        if fits and column.dtype.kind in kinds:
            columns[name] = column
        else:
            errors += 1
    return columns, errors


def _many(book: Book, columns: Mapping[str, NDArray[Any]], n: int, assets: int) -> tuple[list[Part], list[Part], Masks]:
    """Column form: each rule over arrays of no more dimensions than its facts need."""
    kinds, kind_of = _kinds(book, columns, assets)
    by_kind = dict(columns)
    for index, fact in enumerate(book.tiers.kind.asset):
        if fact in columns:
            by_kind[fact] = np.array([kind[index] for kind in kinds], dtype=columns[fact].dtype).reshape(1, -1, 1)
    seen: _Seen = {}
    seen_by_kind: _Seen = {}

    def packed(rules: tuple[Rule, ...], *, must: bool) -> list[Part]:
        found: dict[tuple[tuple[int, ...], tuple[int, ...], bool], list[tuple[int, NDArray[np.bool_]]]] = {}
        for bit, one in enumerate(rules):
            given = (by_kind, seen_by_kind) if one.tier == "kind" else (columns, seen)
            fires = reading(one.normal, *given, must=must)
            of_kind = one.tier == "kind" and fires.shape[1] > 1
            found.setdefault((one.channels, fires.shape, of_kind), []).append((bit, fires))
        return [
            Part(channels, _masks(fired), kind_of if of_kind else None)
            for (channels, _, of_kind), fired in found.items()
        ]

    score = np.zeros(n, dtype=np.uint64)
    for part in packed(book.score_rules, must=False):
        score |= part.masks.reshape(-1)
    return packed(book.rules, must=False), packed(book.permits, must=True), score


def _masks(fired: list[tuple[int, NDArray[np.bool_]]]) -> Masks:
    """Masks of rules of one shape: eight at a time in a byte, because wide integers are what costs."""
    masks: Masks | None = None
    for start in range(0, len(fired), 8):
        eight = fired[start : start + 8]
        byte = np.zeros(eight[0][1].shape, dtype=np.uint8)
        for place, (_, fires) in enumerate(eight):
            byte |= fires.view(np.uint8) << np.uint8(place)
        bits = [sum(1 << bit for place, (bit, _) in enumerate(eight) if value >> place & 1) for value in range(256)]
        wide = np.array(bits, dtype=np.uint64)[byte]
        masks = wide if masks is None else masks | wide
    return np.zeros((1, 1, 1), dtype=np.uint64) if masks is None else masks


def _few(book: Book, columns: Mapping[str, NDArray[Any]], n: int, assets: int) -> tuple[list[Part], list[Part], Masks]:
    """Scalar form: the generated functions, one lead after the other."""
    tiers, width = book.tiers, len(book.channels)
    leads = by_lead(book.domain, columns, tiers.lead, n, 1)
    channels = by_lead(book.domain, columns, tiers.channel, n, width)
    kinds, kind_of, rest, _ = _inventory(book, columns, assets)
    plain, kind, match, score = [], [], [], []
    slow = [] if rest is None else [rest]
    for lead in range(n):
        own = [values[lead] for values in leads], [values[lead] for values in channels]
        *masks, stops = tiers.plain.run(*own)
        plain.append([masks])
        score.append(stops)
        kind.append(tiers.kind.run(*own, kinds))
        if not tiers.match.empty:
            match.append(tiers.match.run(*own, rows_of(book.domain, columns, tiers.match, lead, assets, width)))
        if rest is None:
            slow.append(tiers.rest.run(*own, rows_of(book.domain, columns, tiers.rest, lead, assets, width)))
    every = tuple(range(width))
    blocks, permits = [], []
    for masks, of_kind in ((plain, None), (kind, kind_of), (match, None), (slow, None)):
        if masks:
            joined = np.array(masks, dtype=np.uint64)
            half = joined.shape[2] // 2
            blocks.append(Part(every, joined[:, :, :half], of_kind))
            permits.append(Part(every, joined[:, :, half:], of_kind))
    return blocks, permits, np.array(score, dtype=np.uint64)


def _one(
    book: Book, columns: Mapping[str, NDArray[Any]], one: Mapping[str, Any], assets: int
) -> tuple[list[Part], list[Part], Masks]:
    """Scalar form for one lead from plain numbers: what assets share is worked out once and spread by look-up."""
    tiers, width = book.tiers, len(book.channels)
    own = tiers.lead_of(one), tiers.channel_of(one)
    kinds, kind_of, _, rest = _inventory(book, columns, assets)
    *masks, stops = tiers.plain.run(*own)
    fits: dict[tuple[Any, ...], int] = {}
    first = 1 + len(kinds)
    fit_of = [fits.setdefault(row, first + len(fits)) for row in zip(*tiers.match_of(one), strict=True)]
    matches = tiers.match.run(*own, list(fits)) if fits else ()
    if tiers.match_alike:
        matches = [(block,) * width + (permit,) * width for block, permit in matches]
    rows = chain(masks, chain.from_iterable(tiers.kind.run(*own, kinds)), chain.from_iterable(matches))
    table = np.frombuffer(array("Q", rows), dtype=np.uint64).reshape(-1, 2 * width)
    joined = table.take(kind_of + 1, axis=0)
    if fit_of:
        joined |= table.take(fit_of, axis=0)
    joined |= rest
    joined |= table[0]
    every = tuple(range(width))
    blocks, permits = joined[None, :, :width].copy(), joined[None, :, width:].copy()
    return [Part(every, blocks)], [Part(every, permits)], np.array([stops], dtype=np.uint64)


def _inventory(
    book: Book, columns: Mapping[str, NDArray[Any]], assets: int
) -> tuple[list[tuple[int, ...]], NDArray[np.intp], list[Any] | None, Masks]:
    """Kinds of assets, and what rules that look at assets only say; the same inventory is asked about all day."""
    given = [(name, columns[name]) for name in book.asset_facts if name in columns]
    key = (assets, *((name, column.shape, column.dtype.char, column.tobytes()) for name, column in given))
    found = book.inventories.get(key)
    if found is None:
        rest, width = book.tiers.rest, len(book.channels)
        of_assets_only = not (rest.lead or rest.channel or rest.lead_asset)
        own = (_nothing(book.tiers.lead), _nothing(book.tiers.channel))
        ruled = rest.run(*own, rows_of(book.domain, columns, rest, 0, assets, width)) if of_assets_only else None
        wide = np.array(ruled or [[0]], dtype=np.uint64)
        found = *_kinds(book, columns, assets), ruled, wide
        if len(book.inventories) >= MAX_INVENTORIES:
            book.inventories.clear()
        book.inventories[key] = found
    kinds, kind_of, ruled, wide = found
    return kinds, kind_of, ruled, wide


def _nothing(facts: tuple[str, ...]) -> list[None]:
    return [None] * len(facts)


def _kinds(
    book: Book, columns: Mapping[str, NDArray[Any]], assets: int
) -> tuple[list[tuple[int, ...]], NDArray[np.intp]]:
    """Distinct combinations of the asset facts that kind rules look at, and which one each asset has."""
    facts = book.tiers.kind.asset
    codes = [by_asset(book.domain, columns, fact, 0, assets) for fact in facts]
    place: dict[tuple[int, ...], int] = {}
    rows = zip(*codes, strict=True) if codes else [()] * assets
    kind_of = np.array([place.setdefault(row, len(place)) for row in rows], dtype=np.intp)
    return list(place), kind_of


def _named(rules: tuple[Rule, ...], mask: int) -> list[Rule]:
    return [one for bit, one in enumerate(rules) if mask >> bit & 1]
