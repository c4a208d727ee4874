"""Ids are found in lists of others whatever the order, and have the same number everywhere."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.ids import hashes_of, places_of, texts

words = st.lists(st.text(alphabet="aß0~\U0001f600", max_size=3), max_size=12)


@settings(deadline=None, max_examples=80)
@given(words, words, st.booleans(), st.booleans())
def test_a_place_is_that_of_the_first_equal_text_in_whatever_order_both_lists_are(
    wanted: list[str], among: list[str], wanted_in_order: bool, among_in_order: bool
) -> None:
    wanted, among = sorted(wanted) if wanted_in_order else wanted, sorted(among) if among_in_order else among
    expected = [among.index(word) if word in among else -1 for word in wanted]
    assert places_of(pa.array(wanted, pa.string()), pa.array(among, pa.string())).tolist() == expected


def test_places_are_found_in_parts_and_pieces_of_arrays() -> None:
    ids = pa.array([f"L{number}" for number in range(10)])
    assert places_of(ids[3:6], ids[2:5]).tolist() == [1, 2, -1]
    assert places_of(pa.chunked_array([ids[:2], ids[2:4]]), ids).tolist() == [0, 1, 2, 3]
    assert places_of(np.array(["L4", "none"], dtype=object), ids).tolist() == [4, -1]
    assert texts(np.array(["a"], dtype=object)).type == pa.string()


def test_an_absent_text_is_found_where_an_absent_one_stands() -> None:
    assert places_of(pa.array(["a", None]), pa.array([None, "a"])).tolist() == [1, 0]
    assert places_of(pa.array(["a", None]), pa.array(["a"])).tolist() == [0, -1]


def test_the_number_of_a_text_is_that_of_its_letters_alone() -> None:
    # FNV-1a with 64 bits, as its authors publish it for these texts.
    assert hashes_of(pa.array(["", "a", "foobar"])).tolist() == [
        0xCBF29CE484222325,
        0xAF63DC4C8601EC8C,
        0x85944171F73967E8,
    ]
    assert hashes_of(np.array(["a", None], dtype=object)).tolist() == [0xAF63DC4C8601EC8C, 0xCBF29CE484222325]
    assert hashes_of(pa.array(["x", "a"])[1:]).tolist() == [0xAF63DC4C8601EC8C]
