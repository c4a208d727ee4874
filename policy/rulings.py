"""What the rules say about every lead, channel and asset.

A rule blocks where (applies_when and not unless_surely) is not surely false; a permit counts where it is surely true.
Allowed is: some permit counts and no rule blocks; without a permit the reason is NO_LEGAL_BASIS. Every rule that fires
is reported, so their order means nothing. Whatever goes wrong while evaluating forbids, as EVALUATION_ERROR.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.evaluate import reading
from policy.book import Book, Rule
from policy.code_rows import by_asset, by_lead
from policy.masks import Masks, as_number, error_bit, error_masks, fires, of_numbers, words_of
from policy.reasons import EVALUATION_ERROR, NO_LEGAL_BASIS, because, witnesses
from policy.words import Words, masks_of, permitted

SMALL = 8
# Masks at a time: with two words of rules and one of permits they take less than half of a core's own cache.
_PART = 32_768
EFFECT_ORDER = ("forbid", "reroute", "review", "suppress_until", "limit_content")


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


@dataclass(frozen=True)
class Rulings:
    """Rulings over leads x assets x channels, those of many leads kept as words that are joined when asked for.

    A mask's bit i is `book.rules[i]`, `book.permits[i]` or, in `score_blocks`, `book.score_rules[i]`; its words are the
    last axis. The top bit of `blocks` and of `score_blocks` says EVALUATION_ERROR (`policy/masks.py`).
    """

    book: Book
    n: int
    assets: tuple[str, ...]
    facts: Mapping[str, NDArray[Any]]
    block_words: Masks | tuple[Words, ...]
    permit_words: Masks | tuple[Words, ...]
    score_blocks: Masks
    errors: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(leads, assets, channels)."""
        return self.n, len(self.assets), len(self.book.channels)

    @cached_property
    def blocks(self) -> Masks:
        """(leads, assets, channels, words): rules that fire, one bit each."""
        return _masks(self.block_words)

    @cached_property
    def permits(self) -> Masks:
        """(leads, assets, channels, words): permits that count, one bit each."""
        return _masks(self.permit_words)

    @cached_property
    def permitted(self) -> NDArray[np.bool_]:
        """Whether lead, asset and channel go together."""
        if isinstance(self.block_words, tuple) and isinstance(self.permit_words, tuple):
            return permitted(self.block_words, self.permit_words)
        return np.asarray(fires(self.permits) & ~fires(self.blocks))

    def parts(self) -> Iterator[tuple[slice, Masks, Masks]]:
        """Some leads at a time, which, and their blocks and permits; the arrays are used again for the next.

        For whoever looks at each mask once: as many as fit a cache, where all would be written to memory and read back.
        """
        if not isinstance(self.block_words, tuple) or not isinstance(self.permit_words, tuple):
            yield slice(0, self.n), self.blocks, self.permits
            return
        size = max(1, _PART // (self.shape[1] * self.shape[2]))
        blocks, permits = (
            np.empty((min(size, self.n), *self.shape[1:], len(words)), dtype=np.uint64)
            for words in (self.block_words, self.permit_words)
        )
        for first in range(0, self.n, size):
            count = min(size, self.n - first)
            yield (
                slice(first, first + count),
                masks_of(self.block_words, blocks[:count], first),
                masks_of(self.permit_words, permits[:count], first),
            )

    @property
    def no_score(self) -> NDArray[np.bool_]:
        """Whether the lead may not be scored at all."""
        return fires(self.score_blocks)

    def headline(self, lead: int, asset: int, channel: int) -> str:
        """The strongest effect, or `permit`."""
        if self.permitted[lead, asset, channel]:
            return "permit"
        mask = as_number(self.blocks[lead, asset, channel])
        fired = {rule.card.effect for rule in _named(self.book.rules, mask)}
        # No permit, or an error: the default is to forbid.
        if not fired or not self.permits[lead, asset, channel].any() or mask >> self.book.error_bit:
            return "forbid"
        return next(effect for effect in EFFECT_ORDER if effect in fired)

    def permit_ids(self, lead: int, asset: int, channel: int) -> list[str]:
        """Ids of the permits that count."""
        return [rule.id for rule in _named(self.book.permits, as_number(self.permits[lead, asset, channel]))]

    def rule_ids(self, lead: int, asset: int, channel: int) -> list[str]:
        """Ids of the rules that fire, strongest effect first; an error and a missing legal basis are named too."""
        return [entry["rule"] for entry in self.explain(lead, asset, channel, words=False)]

    def explain(self, lead: int, asset: int, channel: int, *, words: bool = True) -> list[dict[str, Any]]:
        """Every reason against, strongest effect first, each with the facts that made it fire."""
        mask = as_number(self.blocks[lead, asset, channel])
        rules = sorted(_named(self.book.rules, mask), key=lambda rule: (EFFECT_ORDER.index(rule.card.effect), rule.id))
        found = [EVALUATION_ERROR.copy()] if mask >> self.book.error_bit else []
        found += [self._entry(rule, lead, asset, channel) if words else {"rule": rule.id} for rule in rules]
        if not self.permits[lead, asset, channel].any():
            found.append(NO_LEGAL_BASIS.copy())
        return found

    def open_permits(self, lead: int, asset: int, channel: int) -> list[tuple[str, list[list[Any]]]]:
        """Permits that may count but do not surely: the id, and the facts that are to be known, as in `because`."""
        found = []
        for rule in self.book.permits:
            codes = {fact: self._code(fact, lead, asset, channel) for fact in rule.facts}
            point = {fact: np.array(code) for fact, code in codes.items()}
            may, must = (bool(reading(rule.normal, point, {}, must=must)) for must in (False, True))
            if channel in rule.channels and may and not must:
                entries = [because(self.book.domain, fact, codes[fact]) for fact in rule.facts]
                found.append((rule.id, [entry for entry in entries if entry[1] == "unknown"]))
        return found

    def explain_score(self, lead: int) -> list[dict[str, Any]]:
        """Every reason why the lead may not be scored."""
        mask = as_number(self.score_blocks[lead])
        found = [EVALUATION_ERROR.copy()] if mask >> error_bit(len(self.book.score_rules)) else []
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
        if card.within:
            entry["within_hours"] = domain.parameter(card.within, self.book.on)
        return entry | ({"route_to": card.route_to} if card.route_to else {})

    def _code(self, fact: str, lead: int, asset: int, channel: int) -> int:
        column = self.facts.get(fact)
        if column is None:
            return self.book.domain.unknown(fact)
        place = (lead, asset, channel)
        return int(column[tuple(at if size > 1 else 0 for at, size in zip(place, column.shape, strict=True))])


def _masks(words: Masks | tuple[Words, ...]) -> Masks:
    return masks_of(words) if isinstance(words, tuple) else words


def rule(book: Book, facts: Facts) -> Rulings:
    """Rule on every lead, asset and channel; never raises on facts."""
    one = getattr(facts, "one", None)
    # The fact builder's own plain numbers need no check of shape and type.
    columns, faults = _usable(book, facts) if one is None else (facts.columns, 0)
    blocks: Masks | tuple[Words, ...]
    permits: Masks | tuple[Words, ...]
    try:
        if one is not None and one.keys() >= book.scalar.facts:
            blocks, permits, score = _one(book, one, len(facts.assets))
        elif facts.n <= SMALL:
            blocks, permits, score = _few(book, columns, facts.n, len(facts.assets))
        else:
            blocks, permits, score = book.program.run(columns, facts.n, len(facts.assets))
    except Exception:  # noqa: BLE001 - INVARIANT: whatever goes wrong while evaluating forbids
        full = facts.n, len(facts.assets), len(book.channels)
        blocks = error_masks(full, len(book.rules))
        permits = np.zeros((*full, words_of(len(book.permits))), dtype=np.uint64)
        score, faults = error_masks((facts.n,), len(book.score_rules)), faults + 1
    return Rulings(book, facts.n, facts.assets, columns, blocks, permits, score, faults)


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


def _few(book: Book, columns: Mapping[str, NDArray[Any]], n: int, assets: int) -> tuple[Masks, Masks, Masks]:
    """Scalar form: the generated functions, one lead after the other."""
    scalar, domain, width = book.scalar, book.domain, len(book.channels)
    leads = by_lead(domain, columns, scalar.lead, n, width)
    channels = by_lead(domain, columns, scalar.channel, n, width)
    contents = [scalar.content(row) for row in by_asset(domain, columns, scalar.asset, 0, assets, width)]
    found: list[int] = []
    for lead in range(n):
        fits = by_asset(domain, columns, scalar.lead_asset, lead, assets, width)
        found += scalar.ask(leads[lead], channels[lead], contents, [scalar.fits[row] for row in fits])
    return *_wide(book, found, n, assets), _score(book, [scalar.stops(lead) for lead in leads])


def _one(book: Book, one: Mapping[str, Any], assets: int) -> tuple[Masks, Masks, Masks]:
    """Scalar form for one lead from plain numbers."""
    scalar = book.scalar
    found = scalar.of_one(one, assets)
    return *_wide(book, found, 1, assets), _score(book, [scalar.stops(scalar.lead_of(one))])


def _wide(book: Book, found: list[int], n: int, assets: int) -> tuple[Masks, Masks]:
    """Blocks and permits of all channels in one number, as masks by lead, asset and channel."""
    width, (first, second) = len(book.channels), book.scalar.words
    both = of_numbers(found, (first + second) * width).reshape(n, assets, -1)
    blocks, permits = both[:, :, : first * width], both[:, :, first * width :]
    return (
        blocks.reshape(n, assets, width, first).astype(np.uint64),
        permits.reshape(n, assets, width, second).astype(np.uint64),
    )


def _score(book: Book, found: list[int]) -> Masks:
    return of_numbers(found, words_of(len(book.score_rules))).astype(np.uint64)


def _named(rules: tuple[Rule, ...], mask: int) -> list[Rule]:
    return [one for bit, one in enumerate(rules) if mask >> bit & 1]
