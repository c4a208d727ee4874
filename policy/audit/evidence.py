"""The facts behind an answer as bytes: what the rules looked at, so that they can be asked again.

A code takes one byte and a number four, in the order of `Book.inputs`; nothing else is kept, so the bytes hold no
personal data but what the facts say. They are of one book: another one looks at other facts, and its hash tells.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid
from policy.book import Book
from policy.rulings import Facts

_NUMBER = np.dtype("<i4")
# A fact whose codes may be of a signed type is a number (`Book.inputs`): codes of words are never below 0.
_BYTE = tuple(bytes((code,)) for code in range(256))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Facts of one lead, read back: what `policy/rulings.py` takes."""

    n: int
    assets: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]


def pack(book: Book, facts: Facts, lead: int) -> bytes:
    """Every fact that the book looks at, of one lead over all assets and channels.

    Raises IndexError where `facts` has no such lead.
    """
    if not 0 <= lead < facts.n:
        raise IndexError(lead)
    width = _width(book, len(facts.assets))
    # Facts of one lead come as plain numbers too, which cost a tenth of arrays.
    one: Mapping[str, Any] = (getattr(facts, "one", None) or {}) if facts.n == 1 else {}
    parts = []
    for name, per, kinds in book.inputs:
        short = _plain(one.get(name), "i" in kinds, width[per])
        parts.append(short or _bytes(book, facts, name, _row(facts, name, lead), width[per]))
    return b"".join(parts)


def unpack(book: Book, data: bytes, assets: tuple[str, ...]) -> Evidence:
    """The facts of `pack`; raises InputInvalid where the bytes are not of this book and so many assets."""
    return _read(book, data, assets, _width(book, len(assets)))


def pack_point(book: Book, facts: Facts, lead: int, asset: int, channel: int) -> bytes:
    """Every fact that the book looks at, of one lead, asset and channel: one value each."""
    one: Mapping[str, Any] = (getattr(facts, "one", None) or {}) if facts.n == 1 else {}
    place = (lead, asset, channel)
    parts = []
    for name, per, kinds in book.inputs:
        code = _plain_at(one.get(name), per, asset, channel)
        if code is None:
            column = facts.columns.get(name)
            code = book.domain.unknown(name)
            if column is not None:
                code = column.item(tuple(p if s > 1 else 0 for p, s in zip(place, column.shape, strict=True)))
        parts.append(code.to_bytes(4, "little", signed=True) if "i" in kinds else _BYTE[code])
    return b"".join(parts)


def _plain_at(value: Any, per: str, asset: int, channel: int) -> int | None:
    """The code of a fact at an asset and channel from plain numbers, None where there are none."""
    if per == "lead" or value is None:
        return value  # type: ignore[no-any-return]
    if per == "asset_channel":
        value = value[asset] if len(value) > asset else None
    at = channel if per in ("channel", "asset_channel") else asset
    return value[at] if type(value) is list and at < len(value) else None


def unpack_point(book: Book, data: bytes, asset: str = "asked") -> Evidence:
    """The facts of `pack_point`, which hold on every channel alike; raises InputInvalid where they do not fit."""
    point = dict.fromkeys(("lead", "channel", "asset", "lead_asset", "asset_channel"), (1,))
    return _read(book, data, (asset,), point)


def _width(book: Book, assets: int) -> dict[str, tuple[int, ...]]:
    channels = len(book.channels)
    return {
        "lead": (1,),
        "channel": (channels,),
        "asset": (assets,),
        "lead_asset": (assets,),
        "asset_channel": (assets, channels),
    }


def _shape(per: str, size: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape in which rules take values of a scope."""
    if per == "channel":
        return (1, 1, size[0])
    if per in ("asset", "lead_asset"):
        return (1, size[0], 1)
    return (1, size[0], size[1]) if len(size) == 2 else (1, 1, 1)


def _plain(value: Any, number: bool, size: tuple[int, ...]) -> bytes | None:
    """The same bytes from plain numbers, None where there are none of that size."""
    if type(value) is int and size == (1,):
        return value.to_bytes(4, "little", signed=True) if number else _BYTE[value]
    if type(value) is list and size == (len(value),) and value and type(value[0]) is int:
        return struct.pack(f"<{len(value)}i", *value) if number else bytes(value)
    return None


def _row(facts: Facts, name: str, lead: int) -> NDArray[Any] | None:
    column = facts.columns.get(name)
    if column is None:
        return None
    found: NDArray[Any] = column[lead if column.shape[0] > 1 else 0]
    return found


def _bytes(book: Book, facts: Facts, name: str, values: NDArray[Any] | None, size: tuple[int, ...]) -> bytes:
    """Values of a fact spread to a size; what was never built is unknown."""
    kind = _NUMBER if book.domain.is_number(name) else np.dtype(np.uint8)
    if values is None:
        return np.full(size, book.domain.unknown(name), dtype=kind).tobytes()
    full = math.prod(size)
    flat = values.astype(kind, copy=False)
    if flat.size == full:
        return flat.tobytes()
    whole = {1: size, 2: (len(facts.assets), len(book.channels))}[len(size)]
    return np.ascontiguousarray(np.broadcast_to(flat.reshape(-1) if flat.size == 1 else flat, whole)).tobytes()


def _read(book: Book, data: bytes, assets: tuple[str, ...], width: Mapping[str, tuple[int, ...]]) -> Evidence:
    columns: dict[str, NDArray[Any]] = {}
    start = 0
    for name, per, _ in book.inputs:
        number = book.domain.is_number(name)
        size = width[per]
        count = math.prod(size)
        end = start + count * (4 if number else 1)
        if end > len(data):
            raise InputInvalid("evidence", "expected the facts of this book, and there are too few bytes")
        values = np.frombuffer(data[start:end], dtype=_NUMBER if number else np.uint8)
        columns[name] = (values.astype(np.int32) if number else values).reshape(_shape(per, size))
        start = end
    if start != len(data):
        raise InputInvalid("evidence", "expected the facts of this book, and there are too many bytes")
    return Evidence(1, assets, columns)
