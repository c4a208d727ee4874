"""Facts as bytes: what is packed comes back, and the rules say the same of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputInvalid
from configs.settings import load_settings
from policy.audit.evidence import pack, pack_point, unpack, unpack_point
from policy.book import Book
from policy.rulings import rule

ASSETS = ("one", "two", "three", "none")


@cache
def book() -> Book:
    return Book.load(load_settings(), date(2026, 6, 30))


@dataclass
class Given:
    n: int
    assets: tuple[str, ...]
    columns: dict[str, Any]
    one: dict[str, Any] | None = None


def random_facts(seed: int, n: int) -> Given:
    """Codes of every fact the book looks at, some facts absent and some the same for everybody."""
    random = np.random.default_rng(seed)
    channels = len(book().channels)
    shapes = {
        "lead": (n, 1, 1), "channel": (n, 1, channels), "asset": (1, len(ASSETS), 1),
        "lead_asset": (n, len(ASSETS), 1), "asset_channel": (1, len(ASSETS), channels),
    }  # fmt: skip
    columns: dict[str, Any] = {}
    for name, per, _ in book().inputs:
        kind = random.integers(4)
        if kind == 0:
            continue
        shape = shapes[per] if kind > 1 else tuple(1 if axis else size for axis, size in enumerate(shapes[per]))
        declared = book().domain.facts[name]
        if declared.type == "int":
            columns[name] = random.integers(-1, 900, shape).astype(np.int32)
        else:
            columns[name] = random.integers(0, len(declared.values) + 1, shape).astype(np.uint8)
    return Given(n, ASSETS, columns)


def plain_too(facts: Given) -> Given:
    """The same facts of one lead as plain numbers too, as the fact builder gives them."""
    one: dict[str, Any] = {}
    for name, per, _ in book().inputs:
        if name not in facts.columns:
            continue
        values = facts.columns[name][0]
        if per == "asset_channel":
            one[name] = np.broadcast_to(values, (len(ASSETS), len(book().channels))).tolist()
        elif per == "lead":
            one[name] = int(values[0, 0])
        else:
            width = len(book().channels) if per == "channel" else len(ASSETS)
            one[name] = np.broadcast_to(values.ravel(), width).tolist()
    return Given(1, facts.assets, facts.columns, one)


@given(st.integers(0, 10_000), st.integers(1, 3), st.data())
@settings(max_examples=40, deadline=None)
def test_the_rules_say_the_same_of_facts_that_were_packed(seed: int, n: int, data: st.DataObject) -> None:
    facts = random_facts(seed, n)
    lead = data.draw(st.integers(0, n - 1))
    ruled = rule(book(), facts)
    again = rule(book(), unpack(book(), pack(book(), facts, lead), ASSETS))
    assert again.errors == 0
    assert np.array_equal(again.blocks[0], ruled.blocks[lead])
    assert np.array_equal(again.permits[0], ruled.permits[lead])
    assert np.array_equal(again.score_blocks[0], ruled.score_blocks[lead])


@given(st.integers(0, 10_000), st.data())
@settings(max_examples=40, deadline=None)
def test_one_point_says_what_it_said_among_the_others(seed: int, data: st.DataObject) -> None:
    facts = random_facts(seed, 2)
    lead, asset = data.draw(st.integers(0, 1)), data.draw(st.integers(0, len(ASSETS) - 1))
    channel = data.draw(st.integers(0, len(book().channels) - 1))
    ruled = rule(book(), facts)
    packed = pack_point(book(), facts, lead, asset, channel)
    again = rule(book(), unpack_point(book(), packed))
    assert np.array_equal(again.blocks[0, 0, channel], ruled.blocks[lead, asset, channel])
    assert np.array_equal(again.permits[0, 0, channel], ruled.permits[lead, asset, channel])


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_plain_numbers_of_one_lead_pack_to_the_same_bytes(seed: int) -> None:
    facts = random_facts(seed, 1)
    plain = plain_too(facts)
    assert pack(book(), plain, 0) == pack(book(), facts, 0)
    for asset in range(len(ASSETS)):
        for channel in range(len(book().channels)):
            assert pack_point(book(), plain, 0, asset, channel) == pack_point(book(), facts, 0, asset, channel)


def test_bytes_that_are_not_of_this_book_are_refused() -> None:
    packed = pack(book(), random_facts(1, 1), 0)
    with pytest.raises(InputInvalid, match="too few"):
        unpack(book(), packed[:-1], ASSETS)
    with pytest.raises(InputInvalid, match="too many"):
        unpack(book(), packed + b"\0", ASSETS)
    with pytest.raises(InputInvalid, match="too few"):
        unpack(book(), packed, (*ASSETS, "four"))
    with pytest.raises(IndexError):
        pack(book(), random_facts(1, 1), 1)
