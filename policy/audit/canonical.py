"""The one spelling of a record: what is hashed and signed has to read the same for ever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

_CANONICAL = msgspec.json.Encoder(order="deterministic")
# The same spelling, for whole numbers of more than 64 bits.
_LONG = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(record: Mapping[str, Any]) -> bytes:
    """The one spelling of a record: sorted keys, no spaces, UTF-8; raises TypeError on a float or unknown type."""
    _refuse_others(record)
    try:
        return _CANONICAL.encode(record)
    except OverflowError:
        return _LONG.encode(record).encode()


def _refuse_others(value: Any) -> None:
    kind = type(value)
    if kind in _PLAIN:
        return
    if isinstance(value, float):
        raise TypeError("a record holds no floats: write a decimal as text")
    if not isinstance(value, dict | list | tuple):
        raise TypeError(f"a record holds no {kind.__name__}")
    for part in value.values() if isinstance(value, dict) else value:
        if type(part) not in _PLAIN:
            _refuse_others(part)


_PLAIN = frozenset((str, int, bool, type(None)))
