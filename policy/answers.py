"""One lead at once: on every channel, for each asset, whether it is allowed and the ids of all rules and permits.

The same generated functions and the same bits as `policy/rulings.py`, without arrays: for whoever asks about one person
and needs ids only, as the gate before something is sent does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from policy.book import Book, Rule
from policy.masks import WORD
from policy.reasons import EVALUATION_ERROR, NO_LEGAL_BASIS

_MOST = 20_000


class Answer(NamedTuple):
    """What is said of one lead, asset and channel: allowed, the rules that fire and the permits that count, by id."""

    allowed: bool
    rules: tuple[str, ...]
    permits: tuple[str, ...]


_ERROR = Answer(False, (str(EVALUATION_ERROR["rule"]),), ())
_NO_BASIS = str(NO_LEGAL_BASIS["rule"])


def answers(book: Book, numbers: Mapping[str, Any], assets: int) -> list[tuple[Answer, ...]]:
    """By asset, by channel: the answer for one lead, from its facts as plain numbers; never raises.

    Args:
        book: the book of the day and the gate.
        numbers: as `features.facts.Facts.one`: a code per lead, lists by channel or by asset. Every fact that the book
            looks at must be there, and no list may be changed in place afterwards.
        assets: how many assets; the last is the message without an asset.
    """
    known = book.answers
    try:
        found = []
        for mask in book.scalar.of_one(numbers, assets):
            answer = known.get(mask)
            if answer is None:
                answer = _kept(book, mask, _of_channels(book, mask))
            found.append(answer)
    except Exception:  # noqa: BLE001 - INVARIANT: whatever goes wrong while evaluating forbids
        return [(_ERROR,) * len(book.channels)] * assets
    return found


def _of_channels(book: Book, mask: int) -> tuple[Answer, ...]:
    known, found = book.answers, []
    first, second = (WORD * words for words in book.scalar.words)
    permits_of = mask >> first * len(book.channels)
    for c in range(len(book.channels)):
        own = mask >> first * c & (1 << first) - 1, permits_of >> second * c & (1 << second) - 1
        answer = known.get(own)
        if answer is None:
            rules, permits = _ids(book.rules, own[0]), _ids(book.permits, own[1])
            answer = _kept(
                book, own, Answer(not rules and bool(permits), rules if permits else (*rules, _NO_BASIS), permits)
            )
        found.append(answer)
    return tuple(found)


def _kept(book: Book, masks: int | tuple[int, int], answer: Any) -> Any:
    if len(book.answers) >= _MOST:
        book.answers.clear()
    book.answers[masks] = answer
    return answer


def _ids(rules: tuple[Rule, ...], mask: int) -> tuple[str, ...]:
    found = []
    while mask:
        bit = mask & -mask
        found.append(rules[bit.bit_length() - 1].id)
        mask ^= bit
    return tuple(found)
