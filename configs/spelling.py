"""One form for every way of typing the same text: what is compared is this form, what people see is what was typed.

What `normalize` does, in this order: characters nobody sees (zero-width, direction marks and overrides, variation
selectors, control characters that are not white space) go; accents go (`médico` is `medico`) and so do the strokes of
the letters in `_PLAIN` and the missing dot of the Turkish i; compatibility forms become the plain ones (NFKC);
look-alikes of Latin letters in a Latin word become Latin; casefold; everything that is neither a letter nor a digit
separates words, which are joined by single underscores. Marks that carry meaning, such as the vowel signs of Indic
scripts, stay.

Look-alikes come from Unicode's own table (UTS #39), as the library confusable-homoglyphs carries it. They are folded
word by word: a word that mixes Latin letters with look-alikes is Latin when every letter of it can be read as Latin. A
word without any Latin letter stays what it is (a Cyrillic or Greek title is not Latin), unless every such word of the
text consists of look-alikes alone and has two letters or more.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache

MOST_CHARACTERS = 1_000
"""What is read of a text: more than any title, value or level has, and a bound on the work."""

_ASCII = str.maketrans(
    {
        code: (chr(code).lower() if chr(code).isalnum() else " " if code > 31 or chr(code).isspace() else None)
        for code in range(127)
    }
    | {127: None}
)
# Blocks of combining marks that sit on letters of European scripts, and those that mark nothing one can read.
_MARKS = ((0x0300, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE00, 0xFE2F), (0xE0000, 0xE0FFF))
_UNSEEN = "\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u3164\ufeff\uffa0"
# Dotless i; l, o and d with a stroke; the lunate sigma, which NFKC would make an ordinary one.
_PLAIN = dict(zip("\u0131\u0142\u0141\u00f8\u00d8\u0111\u0110\u03f2\u03f9", "ilLoOdDcC", strict=True))
# Scripts with letters that pass for Latin ones: Latin itself, Greek, Cyrillic, Armenian, Georgian, Cherokee, Coptic,
# Lisu.
_SCRIPTS = (
    *((0x0180, 0x02AF), (0x0370, 0x03FF), (0x0400, 0x052F), (0x0531, 0x0587), (0x10A0, 0x10FF), (0x13A0, 0x13FD)),
    *((0x1C80, 0x1C8F), (0x1D00, 0x1D2B), (0x2C80, 0x2CFF), (0xA4D0, 0xA4FD), (0xA640, 0xA69F), (0xA720, 0xA7FF)),
    *((0xAB30, 0xAB65), (0xAB70, 0xABBF)),
)
_CAMEL = re.compile(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])|(?<=[A-Z][A-Z])(?=[A-Z][a-z][a-z])")
_ESCAPE = re.compile(r"\\[a-z]\??")
_ZIGZAG = re.compile(r"[a-z][A-Z][a-z][A-Z]|[A-Z][a-z][A-Z][a-z][A-Z]")


def normalize(text: str) -> str:
    """One spelling for one value: no accents, no look-alikes, no case, words joined by single underscores.

    INVARIANT: it never raises, takes time linear in the text, and `normalize(normalize(x)) == normalize(x)`.
    """
    if text.isascii():
        return "_".join(text[:MOST_CHARACTERS].translate(_ASCII).split())
    return _normalize(text)


def split_joined(text: str) -> str:
    """The words of a title whose spaces got lost, as in `PhysicianOwner`, without escapes that an export left in.

    Alternating case (`nUrSe`) is left alone.
    """
    cut = _ESCAPE.sub(" ", text[:MOST_CHARACTERS])
    return cut if _ZIGZAG.search(cut) else _CAMEL.sub(" ", cut)


def _normalize(text: str) -> str:
    text = text.translate(_dropped())[:MOST_CHARACTERS]
    text = unicodedata.normalize("NFKD", text).translate(_dropped())
    text = unicodedata.normalize("NFKC", text)
    if not text.isascii():
        text = _latin(text)
    folded = unicodedata.normalize("NFKD", text.casefold()).translate(_dropped())
    folded = unicodedata.normalize("NFKC", folded)
    words = "".join(c if _in_word(c) else " " for c in folded).split()
    return "_".join(words)[:MOST_CHARACTERS].rstrip("_")


def _in_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character) in ("Mn", "Mc")


def _latin(text: str) -> str:
    """The text with look-alikes of Latin letters replaced where the word they stand in is a Latin one."""
    folded, _ = _look_alikes()
    if folded.keys().isdisjoint(text):
        return text
    words = re.split(r"([\W_]+)", text)
    foreign = [word for word in words if _is_foreign(word)]
    alike = bool(foreign) and all(_is_look_alike(word) for word in foreign)
    return "".join(_word(word, alike) for word in words)


def _word(word: str, alike: bool) -> str:
    folded, plain = _look_alikes()
    if word.isascii():
        return word
    if _is_foreign(word):
        return "".join(plain[c] for c in word.casefold()) if alike else word
    read = "".join(folded.get(c, c) for c in word)
    return read if all(ord(c) < 0x250 for c in read if c.isalpha()) else word


def _is_foreign(word: str) -> bool:
    """Whether a word has letters, and none of them is Latin."""
    letters = [c for c in word if c.isalpha()]
    return bool(letters) and all(ord(c) >= 0x250 for c in letters)


def _is_look_alike(word: str) -> bool:
    _, plain = _look_alikes()
    lower = word.casefold()
    return len(lower) > 1 and all(c in plain for c in lower)


@cache
def _dropped() -> Mapping[int, str | None]:
    """Characters that nobody reads, and plain letters for those with a stroke or without their dot."""
    found: dict[int, str | None] = {code: None for first, last in _MARKS for code in range(first, last + 1)}
    found |= {code: None for code in range(0xFFFF) if unicodedata.category(chr(code)) == "Cf"}
    found |= {code: None for code in (*range(32), *range(127, 160)) if not chr(code).isspace()}
    found |= {ord(c): None for c in _UNSEEN}
    return found | {ord(c): plain for c, plain in _PLAIN.items()}


@cache
def _look_alikes() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Latin letters by look-alike: in any case of the letter, and of small letters by their own shape alone."""
    from confusable_homoglyphs.confusables import confusables_data

    shapes: dict[str, str] = {}
    for first, last in _SCRIPTS:
        for code in range(first, last + 1):
            character = chr(code)
            if not character.isalpha():
                continue
            alike = [entry["c"] for entry in confusables_data.get(character, ())]
            letters = [c for c in alike if len(c) == 1 and c.isascii() and c.isalpha()]
            if letters:
                # A capital that looks like a stroke is a capital I: the table writes every stroke as a small L.
                shapes[character] = "I" if character.isupper() and letters[0] == "l" else letters[0]
    both = dict(shapes)
    for character, letter in shapes.items():
        for other in (character.lower(), character.upper()):
            if len(other) == 1 and other not in shapes:
                both[other] = letter
    small = {c: letter.lower() for c, letter in shapes.items() if c.casefold() == c and ord(c) >= 0x250}
    return both, small
