"""The rule book over columns: a word of 64 bits holds as many rules at once, for each lead, asset and channel.

Codes are packed into bytes, and each byte is looked up in tables that say for all rules which of their clauses hold
(`policy/clauses.py`). What looks at the lead alone is asked once per lead, what looks at the channel once per channel,
how lead and asset fit once for the two; only joining these touches every lead, asset and channel, and is left until
masks or what is allowed is asked for. Words share the packed bytes and nothing else.

INVARIANT: the same bits as the generated scalar form and `features.evaluate.reading`, for any codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.evaluate import Domain, reading
from policy.clauses import MAX_NUMBER, Asked, Field, Group, Looked, compile_groups
from policy.masks import Masks, cut, words_of

Keys = Mapping[str, NDArray[np.uint8]]
_ALL = np.uint64(2**64 - 1)
# Leads at a time, so that their words stay in the nearest cache; fewer where masks of each lead lie together.
_BLOCK, _NEAR = 256, 64
_NONE = np.zeros((0, 0, 0), dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Words:
    """Rules of one word over some leads, as factors: a word is the `&` of what its lead, asset and channel say.

    `own` is by channel and lead, `content` by asset and channel, `fit` by asset and lead (or empty). `open_own`,
    `open_content` and `open_fit` hold, by level, clauses that look at more than two of these; each level is their `|`.
    """

    own: Masks
    content: Masks
    fit: Masks
    open_own: Masks
    open_content: Masks
    open_fit: Masks
    wide: Masks | None

    @property
    def shape(self) -> tuple[int, ...]:
        """(leads, assets, channels)."""
        return self.own.shape[1], *self.content.shape

    def spread(self, found: Masks, first: int) -> None:
        """Set a bit for every rule that fires, in an array (leads, assets, channels) of the leads from `first` on."""
        _spread(*self._factors(), first, found)
        if self.wide is not None:
            found |= self.wide[first : first + len(found)]

    def fires(self, found: NDArray[np.bool_]) -> None:
        """Set in an array (leads, assets, channels) whether any rule fires; what is set stays."""
        _fires(*self._factors(), found)
        if self.wide is not None:
            found |= self.wide != 0

    def _factors(self) -> tuple[Masks, ...]:
        """What a word is joined of, in the order in which the kernels take it."""
        return self.own, self.content, self.fit, self.open_own, self.open_content, self.open_fit


def masks_of(words: Sequence[Words], found: Masks | None = None, first: int = 0) -> Masks:
    """(leads, assets, channels, words): a bit for every rule that fires, in `found` of the leads from `first` on."""
    if found is None:
        found = np.empty((*words[0].shape, len(words)), dtype=np.uint64)
    for place, one in enumerate(words):
        one.spread(found[..., place], first)
    return found


def permitted(blocks: Sequence[Words], permits: Sequence[Words]) -> NDArray[np.bool_]:
    """(leads, assets, channels): whether some permit counts and no rule blocks."""
    counts, stops = (np.zeros(blocks[0].shape, dtype=np.bool_) for _ in range(2))
    for found, group in ((counts, permits), (stops, blocks)):
        for one in group:
            one.fires(found)
    return counts & ~stops


@dataclass(frozen=True, slots=True)
class Program:
    """Rules, permits and rules about scoring as tables by word, and where in which byte each fact's code goes."""

    rules: tuple[Group, ...]
    permits: tuple[Group, ...]
    stops: tuple[Group, ...]
    fields: Mapping[str, Field]
    rows: Mapping[str, int]
    channels: int

    @classmethod
    def of(cls, rules: Asked, permits: Asked, stops: Asked, domain: Domain, channels: int) -> Program:
        """Compile (normal form, channels) of rules, of permits, and of `stops` to scoring, which look at leads only."""
        asked = ((rules, False), (permits, True), (stops, False))
        parts = [(part, must) for group, must in asked for part in cut(group)]
        groups, fields, rows = compile_groups(parts, domain, channels)
        first, last = words_of(len(rules)), len(groups) - words_of(len(stops))
        return cls(groups[:first], groups[first:last], groups[last:], fields, rows, channels)

    def run(
        self, columns: Mapping[str, NDArray[Any]], n: int, assets: int
    ) -> tuple[tuple[Words, ...], tuple[Words, ...], Masks]:
        """The words of rules and of permits, and masks (leads, words) of the rules about scoring."""
        keys = self._keys(columns, n, assets)
        rules, permits = (
            tuple(self._words(group, keys, columns, n, assets) for group in groups)
            for groups in (self.rules, self.permits)
        )
        return rules, permits, np.stack([_by_lead(group, keys, columns, n) for group in self.stops], axis=-1)

    def _keys(self, columns: Mapping[str, NDArray[Any]], n: int, assets: int) -> Keys:
        """Bytes of packed places by scope: (bytes, what varies besides the lead, leads or 1)."""
        width = self.channels
        full = {
            "lead": (n, 1, 1),
            "channel": (n, 1, width),
            "asset": (1, assets, 1),
            "lead_asset": (n, assets, 1),
            "asset_channel": (1, assets, width),
        }
        keys = {per: np.zeros((rows, int(np.prod(full[per]))), dtype=np.uint8) for per, rows in self.rows.items()}
        for fact, field in self.fields.items():
            column = columns.get(fact)
            if column is None:
                continue  # place 0: unknown
            row = keys[field.per][field.row]
            shape = full[field.per]
            if field.edges:
                _pack_numbers(_flat(column, shape, np.int32), np.array(field.edges, dtype=np.int32), field.shift, row)
            else:
                _pack_codes(_flat(column, shape, np.uint8), np.uint8(field.top), np.uint8(field.shift), row)
        turned = {}
        for per, packed in keys.items():
            leads, *others = full[per]
            turned[per] = np.empty((len(packed), int(np.prod(others)), leads), dtype=np.uint8)
            _turned(packed, turned[per])
        return turned

    def _words(self, group: Group, keys: Keys, columns: Mapping[str, NDArray[Any]], n: int, assets: int) -> Words:
        width, layers = self.channels, group.layers
        own = np.empty((width, n), dtype=np.uint64)
        channel = layers.get("channel")
        levels = 0 if channel is None else len(channel.base)
        fixed = np.zeros((levels, width), dtype=np.uint64)
        if channel is not None:
            fixed |= channel.base[:, None]
        looked = {} if channel is None else channel.looked
        every = _every(group, keys, n)
        _joined(every, group.cover, fixed, *_asked(looked, keys, "lead"), *_asked(looked, keys, "channel"), own)
        content = _content(group, keys, "asset", assets, width)
        content = np.bitwise_and.reduce(content, axis=0) if len(content) else np.full((assets, width), _ALL)
        fit = _NONE.reshape(0, 0)
        if "fit" in layers:
            looked = layers["fit"].looked
            fixed = _content(group, keys, "fit", assets, 1)[:, :, 0].copy()
            fit = np.empty((assets, n), dtype=np.uint64)
            sure = np.full(assets, _ALL)
            given = np.full(n, _ALL)
            _joined(given, sure, fixed, *_asked(looked, keys, "lead"), *_asked(looked, keys, "lead_asset"), fit)
        open_own, open_content, open_fit = _NONE, _NONE, _NONE
        if "all" in layers:
            looked = layers["all"].looked
            open_content = _content(group, keys, "all", assets, width)
            open_own = np.empty((len(open_content), width, n), dtype=np.uint64)
            _unjoined(*_asked(looked, keys, "lead"), *_asked(looked, keys, "channel"), open_own)
            if "lead_asset" in looked:
                open_fit = np.empty((len(open_content), assets, n), dtype=np.uint64)
                _unjoined(*_asked({}, keys, "lead"), *_asked(looked, keys, "lead_asset"), open_fit)
        wide = _read(group, columns, (n, assets, width)) if group.wide else None
        return Words(own, content, fit, open_own, open_content, open_fit, wide)


def _flat(column: NDArray[Any], shape: tuple[int, ...], kind: type[Any]) -> NDArray[Any]:
    """A column in full, of one type; what that type cannot hold is unknown as a code, and as a number the greatest."""
    if column.dtype != kind:
        if kind is np.uint8:
            column = np.where(column > 255, 0, column).astype(np.uint8)
        else:
            # Numbers of a byte or two cannot be compared with what is beyond them.
            column = column.astype(np.int64) if column.dtype.itemsize < 4 else column
            column = np.maximum(np.minimum(column, MAX_NUMBER + 1), -1 if column.dtype.kind == "i" else 0).astype(kind)
    return np.ascontiguousarray(column if column.shape == shape else np.broadcast_to(column, shape)).reshape(-1)


def _asked(looked: Mapping[str, Looked], keys: Keys, scope: str) -> tuple[Any, ...]:
    found = looked.get(scope)
    if found is None:
        nothing = np.zeros(0, dtype=np.int64)
        return np.zeros((0, 0, 0), dtype=np.uint8), nothing, nothing, np.zeros((0, 0), dtype=np.uint64)
    return keys[scope], found.rows, found.levels, found.tables


def _by_lead(group: Group, keys: Keys, columns: Mapping[str, NDArray[Any]], n: int) -> Masks:
    """By lead: the rules that fire, of a group that looks at leads only."""
    # Whoever may not be scored may not, whatever channels the card names.
    found = _every(group, keys, n)
    found &= np.bitwise_or.reduce(group.cover)
    if group.wide:
        found |= _read(group, columns, (n, 1, 1)).reshape(n)
    return found


def _every(group: Group, keys: Keys, n: int) -> Masks:
    """By lead: the rules whose clauses about the lead alone all hold."""
    found = np.full(n, _ALL)
    layer = group.layers.get("lead")
    if layer is not None:
        _alone(layer.base, *_asked(layer.looked, keys, "lead"), found)
    return found


def _content(group: Group, keys: Keys, layer: str, assets: int, width: int) -> Masks:
    """(levels, assets, channels): what the clauses of a layer say of content, and rules that have none in a level."""
    found = group.layers.get(layer)
    if found is None:
        return _NONE
    words = np.empty((len(found.base), assets, width), dtype=np.uint64)
    words[:] = found.base[:, None, None]
    for scope in ("asset", "asset_channel"):
        if scope in found.looked:
            looked = found.looked[scope]
            for row, level, table in zip(looked.rows, looked.levels, looked.tables, strict=True):
                words[level] |= table[keys[scope][row, :, 0]].reshape(assets, -1)
    return words


def _read(group: Group, columns: Mapping[str, NDArray[Any]], shape: tuple[int, int, int]) -> Masks:
    """Words of the rules that have no tables."""
    found, seen = np.zeros(shape, dtype=np.uint64), {}  # type: ignore[var-annotated]
    for bit, normal, channels in group.wide:
        fires = reading(normal, columns, seen, must=group.must)
        covered = np.isin(np.arange(shape[2]), channels) if shape[2] > 1 else np.array([bool(channels)])
        found |= (np.broadcast_to(fires, shape) & covered).astype(np.uint64) << np.uint64(bit)
    return found


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _pack_codes(codes: Any, top: Any, shift: Any, row: Any) -> None:
    for i in range(len(codes)):
        code = codes[i]
        row[i] |= np.uint8((code if code <= top else np.uint8(0)) << shift)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _pack_numbers(numbers: Any, edges: Any, shift: Any, row: Any) -> None:
    for edge in edges:
        for i in range(len(numbers)):
            row[i] += np.uint8(numbers[i] >= edge) << shift


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _turned(packed: Any, found: Any) -> None:
    """Bytes by lead and channel (or asset) to channel (or asset) and lead."""
    for row in range(found.shape[0]):
        for c in range(found.shape[1]):
            key, given = found[row, c], packed[row, c :: found.shape[1]]
            for i in range(len(key)):
                key[i] = given[i]


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator, unused-ignore]
def _look_up(words: Any, keys: Any, c: Any, first: Any, size: Any, rows: Any, levels: Any, tables: Any) -> None:
    """Of `size` leads from `first` on: joins to the word of each level what its tables say."""
    for p in range(len(rows)):
        key, table, word = keys[rows[p], c, first : first + size], tables[p], words[levels[p]]
        for i in range(size):
            word[i] |= table[key[i]]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _alone(base: Any, keys: Any, rows: Any, levels: Any, tables: Any, found: Any) -> None:
    """By lead: the rules of which every level holds."""
    words = np.empty((len(base), _BLOCK), dtype=np.uint64)
    for first in range(0, len(found), _BLOCK):
        size = min(_BLOCK, len(found) - first)
        for k in range(len(base)):
            words[k, :] = base[k]
        _look_up(words, keys, 0, first, size, rows, levels, tables)
        answer = found[first : first + size]
        for k in range(len(base)):
            word = words[k]
            for i in range(size):
                answer[i] &= word[i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _joined(
    every: Any, cover: Any, fixed: Any, keys: Any, rows: Any, levels: Any, tables: Any,
    inner_keys: Any, inner_rows: Any, inner_levels: Any, inner_tables: Any, found: Any,
) -> None:  # fmt: skip
    """By channel (or asset) and lead: the rules of which every level holds, by the lead, `fixed`, or the two."""
    width, n = found.shape
    outer = np.empty((len(fixed), _BLOCK), dtype=np.uint64)
    inner = np.empty((len(fixed), _BLOCK), dtype=np.uint64)
    for first in range(0, n, _BLOCK):
        size = min(_BLOCK, n - first)
        outer[:, :] = np.uint64(0)
        _look_up(outer, keys, 0, first, size, rows, levels, tables)
        given = every[first : first + size]
        for c in range(width):
            for k in range(len(fixed)):
                inner[k, :] = fixed[k, c]
            _look_up(inner, inner_keys, c, first, size, inner_rows, inner_levels, inner_tables)
            answer, covered = found[c, first : first + size], cover[c]
            for i in range(size):
                answer[i] = given[i] & covered
            for k in range(len(fixed)):
                by_lead, by_both = outer[k], inner[k]
                for i in range(size):
                    answer[i] &= by_lead[i] | by_both[i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _unjoined(
    keys: Any, rows: Any, levels: Any, tables: Any,
    inner_keys: Any, inner_rows: Any, inner_levels: Any, inner_tables: Any, found: Any,
) -> None:  # fmt: skip
    """By level, channel (or asset) and lead: what the lead says, or the two."""
    count, width, n = found.shape
    outer = np.empty((count, _BLOCK), dtype=np.uint64)
    for first in range(0, n, _BLOCK):
        size = min(_BLOCK, n - first)
        outer[:, :] = np.uint64(0)
        _look_up(outer, keys, 0, first, size, rows, levels, tables)
        for c in range(width):
            words = found[:, c, first : first + size]
            for k in range(count):
                word, by_lead = words[k], outer[k]
                for i in range(size):
                    word[i] = by_lead[i]
            _look_up(words, inner_keys, c, first, size, inner_rows, inner_levels, inner_tables)


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator, unused-ignore]
def _word(
    own: Any, content: Any, fit: Any, open_own: Any, open_content: Any, open_fit: Any,
    a: Any, c: Any, first: Any, size: Any, answer: Any,
) -> None:  # fmt: skip
    """The masks of an asset on a channel, of `size` leads from `first` on."""
    mine, said = own[c, first : first + size], content[a, c]
    for i in range(size):
        answer[i] = mine[i] & said
    if len(fit) > 0:
        fits = fit[a, first : first + size]
        for i in range(size):
            answer[i] &= fits[i]
    for k in range(len(open_own)):
        level, about = open_own[k, c, first : first + size], open_content[k, a, c]
        if len(open_fit) > 0:
            fits = open_fit[k, a, first : first + size]
            for i in range(size):
                answer[i] &= level[i] | fits[i] | about
        else:
            for i in range(size):
                answer[i] &= level[i] | about


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _spread(
    own: Any, content: Any, fit: Any, open_own: Any, open_content: Any, open_fit: Any, start: Any, found: Any
) -> None:  # fmt: skip
    n, assets, channels = found.shape
    words = np.empty(_NEAR, dtype=np.uint64)
    for first in range(0, n, _NEAR):
        size = min(_NEAR, n - first)
        for a in range(assets):
            for c in range(channels):
                _word(own, content, fit, open_own, open_content, open_fit, a, c, start + first, size, words)
                answer = found[first : first + size, a, c]
                for i in range(size):
                    answer[i] = words[i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _fires(
    own: Any, content: Any, fit: Any, open_own: Any, open_content: Any, open_fit: Any, found: Any
) -> None:  # fmt: skip
    n, assets, channels = found.shape
    words = np.empty(_NEAR, dtype=np.uint64)
    for first in range(0, n, _NEAR):
        size = min(_NEAR, n - first)
        for a in range(assets):
            for c in range(channels):
                _word(own, content, fit, open_own, open_content, open_fit, a, c, first, size, words)
                answer = found[first : first + size, a, c]
                for i in range(size):
                    answer[i] |= words[i] != np.uint64(0)
