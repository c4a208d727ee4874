"""Role and specialty from a free-text job title, where the export gives none.

Thin on purpose: the longest spelling of a vocabulary that occurs in the title's words wins, and a title without one
stays unknown. A title of somebody in training or in sales is never read as a clinician's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.vocabulary import UNKNOWN, Vocabularies, Vocabulary, normalize

_IN_TRAINING = frozenset({"resident", "intern", "student", "trainee", "fellow", "former", "retired", "assistant"})
_SELLING = frozenset({"sales", "account", "marketing", "recruiter"})
_MAX_WORDS = 6
_MAX_REMEMBERED = 50_000
_ASSISTANT_ROLES = ("physician_assistant",)


class Titles:
    """Reads titles by the synonyms of the role and specialty vocabularies."""

    def __init__(self, vocabularies: Vocabularies) -> None:
        self._role, self._specialty = vocabularies["role"], vocabularies["specialty"]
        self._role_words, self._specialty_words = _words(self._role), _words(self._specialty)
        self._sales = self._role.codes.get("sales", UNKNOWN)
        self._remembered: dict[str, tuple[int, int]] = {}

    def read(self, title: str) -> tuple[int, int]:
        """Codes of role and specialty, 0 where the title does not say.

        INVARIANT: `X Resident` is never X's role, and `Sales ...` is sales whatever else the title names.
        """
        found = self._remembered.get(title)
        if found is None:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()  # titles come from outside: what is remembered must stay bounded
            found = self._remembered[title] = self._read(title)
        return found

    def _read(self, title: str) -> tuple[int, int]:
        words = normalize(title).split("_")[:40]
        if _SELLING & set(words):
            return self._sales, UNKNOWN
        role, taken = _longest(words, self._role_words)
        specialty, _ = _longest(words, self._specialty_words)
        others = set(words) - set(words[taken[0] : taken[1]])
        if _IN_TRAINING & others:
            role = UNKNOWN
        if role and self._role.value(role) == "other":
            role = UNKNOWN
        if specialty and self._specialty.value(specialty) == "other":
            specialty = UNKNOWN
        return role, specialty

    def complete(self, leads: Mapping[str, NDArray[Any]]) -> None:
        """Fill unknown role and specialty codes of encoded leads in place."""
        role, specialty, title = leads["role"], leads["specialty"], leads["title"]
        if len(title) == 1 and role[0] and specialty[0]:
            return  # one lead online: two reads are cheaper than an array operation
        for row in np.flatnonzero((role == UNKNOWN) | (specialty == UNKNOWN)).tolist():
            if title[row] is None:
                continue
            found_role, found_specialty = self.read(title[row])
            if role[row] == UNKNOWN:
                role[row] = found_role
            if specialty[row] == UNKNOWN:
                specialty[row] = found_specialty


def _words(vocabulary: Vocabulary) -> dict[tuple[str, ...], int]:
    spelled: dict[tuple[str, ...], int] = {}
    for spelling, code in vocabulary.codes.items():
        words = tuple(normalize(spelling).split("_"))
        if 0 < len(words) <= _MAX_WORDS and words != ("",):
            spelled[words] = code
    return spelled


def _longest(words: list[str], spelled: Mapping[tuple[str, ...], int]) -> tuple[int, tuple[int, int]]:
    """Code of the longest spelling among the words, the leftmost of equals, and where it stands."""
    for size in range(min(_MAX_WORDS, len(words)), 0, -1):
        for start in range(len(words) - size + 1):
            code = spelled.get(tuple(words[start : start + size]))
            if code is not None:
                return code, (start, start + size)
    return UNKNOWN, (0, 0)
