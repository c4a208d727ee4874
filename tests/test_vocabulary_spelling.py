"""However a text is typed, it is one text: the laws of `normalize`."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.spelling import MOST_CHARACTERS, normalize, split_joined

# Latin letters and those of other alphabets that look the same.
ALIKE = str.maketrans(
    "aceopxyiACEHKMOPTXN",
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0410"
    "\u0421\u0415\u041d\u041a\u041c\u041e\u0420\u0422\u0425\u039d",
)
TITLES = st.sampled_from(
    [
        "Cardiologist", "Director of Nursing", "NURSE PRACTITIONER", "Médico Cardiólogo", "Head of Pharmacy",
        "Chief Medical Officer", "Ärztin für Innere Medizin", "OR Nurse Manager", "Infirmière", "Value Analysis Lead",
    ]
)  # fmt: skip
UNSEEN = st.text(
    "\u200b\u200c\u200d\u2060\ufeff\u00ad\u202a\u202b\u202c\u202d\u202e\u2066\u2069\u200e\u200f\x00\x08", max_size=4
)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
def test_normal_form_is_reached_at_once(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec=None), max_size=60))
def test_nothing_typed_can_break_it(text: str) -> None:
    found = normalize(text + "\ud800" + text)
    assert len(found) <= MOST_CHARACTERS
    assert "__" not in found and found.strip("_") == found


@settings(max_examples=80, deadline=None)
@given(TITLES, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]), st.data())
def test_the_same_title_in_any_form_is_one_title(title: str, form: str, data: st.DataObject) -> None:
    seen = unicodedata.normalize(form, title)
    at = data.draw(st.integers(0, len(seen)))
    seen = data.draw(UNSEEN) + seen[:at] + data.draw(UNSEEN) + seen[at:] + data.draw(UNSEEN)
    assert normalize(seen) == normalize(title)
    assert normalize(seen.swapcase().casefold()) == normalize(title)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["Cardiologist", "Nurse", "Head Nurse", "Medical Director", "NURSE"]), st.data())
def test_look_alikes_in_a_latin_word_are_latin(title: str, data: st.DataObject) -> None:
    swapped = "".join(c.translate(ALIKE) if data.draw(st.booleans()) else c for c in title)
    assert normalize(swapped) == normalize(title)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("\u0421ardiologist", "cardiologist"),  # a Cyrillic Es
        ("\u039durse", "nurse"),  # a Greek Nu
        ("\u0421\u0415\u041e", "ceo"),  # all Cyrillic, and every letter passes for a Latin one
        (
            "\u041a\u0430\u0440\u0434\u0438\u043e\u043b\u043e\u0433",
            "\u043a\u0430\u0440\u0434\u0438\u043e\u043b\u043e\u0433",
        ),
        (
            "\u03ba\u03b1\u03c1\u03b4\u03b9\u03bf\u03bb\u03cc\u03b3\u03bf\u03c2",
            "\u03ba\u03b1\u03c1\u03b4\u03b9\u03bf\u03bb\u03bf\u03b3\u03bf\u03c3",
        ),
        ("\u043a\u043e\u0442", "\u043a\u043e\u0442"),  # a Cyrillic word, although `kot` could be read into it
        ("C\u0130NIC", "cinic"),
        ("c\u0131nic", "cinic"),
        ("\uff32\uff2e", "rn"),
        ("\U0001d40c\U0001d403", "md"),
        ("me\u0301dico", "medico"),
        ("R&D\tLead", "r_d_lead"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("\U0001fa7a Nurse \U0001f469\u200d\u2695\ufe0f", "nurse"),
        ("", ""),
    ],
)
def test_what_is_folded_and_what_is_not(typed: str, read: str) -> None:
    assert normalize(typed) == read


@pytest.mark.parametrize(
    "text",
    ["a" * 100_000, "a\u0301" * 50_000, "\u0301" * 100_000, "\u0430b" * 50_000, "\u093c\u094d" * 50_000,
     "\ufdfa" * 100_000, "\u200b" * 100_000, "\u05b0\u05b1" * 50_000, "aB" * 50_000, "\\b" * 50_000],
)  # fmt: skip
def test_a_hundred_thousand_characters_take_a_moment(text: str) -> None:
    normalize("\u0430b")  # the table of look-alikes is read once
    started = time.process_time()
    assert len(normalize(split_joined(text))) <= MOST_CHARACTERS
    normalize(text)
    assert time.process_time() - started < 0.25


def test_words_written_together_come_apart_unless_the_case_alternates() -> None:
    assert normalize(split_joined("PhysicianOwner")) == "physician_owner"
    assert normalize(split_joined("RNManager")) == "rn_manager"
    assert normalize(split_joined("nUrSe")) == "nurse"
    assert normalize(split_joined("PharmD")) == "pharm_d"
