"""The words of a job title in one language: abbreviations, translations and misspellings become the words they mean.

What they mean is the vocabulary `title_word`: `MD`, `médico` and `Arzt` are `physician`. A word of five letters or more
that is not in it is read as the listed word one slip away, or two slips from nine letters on (a slip is a letter too
many, too few, wrong, or two swapped: optimal string alignment). Candidates are found by deleting letters from both
sides (W. Garbe's symmetric deletion), so the time does not depend on how many words are listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from configs.spelling import normalize, split_joined
from configs.vocabulary import Vocabulary

MOST_WORDS = 40
_LONGEST_SPELLING = 6
_LONGEST_CORRECTED = 24
_MOST_CORRECTED = 50_000
_STOP_WORDS = "of the and de la le y et und in for at del des du to e el los las en di da a an with bei der fur"
_STOP = frozenset(_STOP_WORDS.split())
# Common words of titles that lie within two slips of a listed one and mean something else.
_KNOWN_WORDS = (
    "facility system division critical technical operator freelance clinician bariatric bariatrics degenerative"
    " therapeutic therapeutics photographic cooperation acquisitions pharma accounts industry licensing privileging"
    " community universal university universities station restaurant minister ministry registrar register native"
    " mobile nutrition technology technological restorative doctorate advocacy general generalist section"
)
_KNOWN = frozenset(_KNOWN_WORDS.split())


class TitleWords:
    """Reads a title into its words and into the words those stand for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._meaning: Mapping[tuple[str, ...], str] = {
            tuple(form.split("_")): vocabulary.values[code - 1]
            for spelling, code in vocabulary.codes.items()
            if (form := normalize(spelling)) and code
        }
        self._listed = {word for spelling in self._meaning for word in spelling} | _KNOWN | _STOP
        self._corrected: dict[str, str] = {}

    def words(self, title: str) -> list[str]:
        """The words of a title in their normal form, those written together taken apart, at most `MOST_WORDS`."""
        form = normalize(split_joined(title))
        return form.split("_")[:MOST_WORDS] if form else []

    def meaning(self, words: list[str]) -> list[str]:
        """What the words stand for: the longest listed spelling first, other words as they are, fillers left out."""
        spelled = [self._without_slips(word) for word in words]
        found: list[str] = []
        at = 0
        while at < len(spelled):
            for size in range(min(_LONGEST_SPELLING, len(spelled) - at), 0, -1):
                meant = self._meaning.get(tuple(spelled[at : at + size]))
                if meant is not None:
                    found.append(meant)
                    at += size
                    break
            else:
                if spelled[at] not in _STOP:
                    found.append(spelled[at])
                at += 1
        return found

    def _without_slips(self, word: str) -> str:
        if word in self._listed or not 5 <= len(word) <= _LONGEST_CORRECTED or not word.isalpha():
            return word
        found = self._corrected.get(word)
        if found is None:
            if len(self._corrected) >= _MOST_CORRECTED:
                self._corrected.clear()  # words come from outside: what is remembered must stay bounded
            found = self._corrected[word] = self._nearest(word)
        return found

    def _nearest(self, word: str) -> str:
        most = 2 if len(word) >= 9 else 1
        near = {listed for shorter in _shortened(word, most) for listed in self._shortened.get(shorter, ())}
        ranked = sorted((slips(word, listed), listed[0] != word[0], listed) for listed in near)
        for count, _, listed in ranked:
            if count <= 1 or (count <= most and listed[0] == word[0] and len(listed) >= 7):
                return listed
        return word

    @cached_property
    def _shortened(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for word in sorted({word for spelling in self._meaning for word in spelling if len(word) >= 5}):
            for shorter in _shortened(word, 2 if len(word) >= 7 else 1):
                found.setdefault(shorter, []).append(word)
        return found


def _shortened(word: str, letters: int) -> set[str]:
    found = last = {word}
    for _ in range(letters):
        last = {one[:at] + one[at + 1 :] for one in last for at in range(len(one))}
        found = found | last
    return found


def slips(left: str, right: str) -> int:
    """Letters too many, too few, wrong, or swapped with their neighbor between two words.

    >>> slips("cadiologist", "cardiologist"), slips("nuerologist", "neurologist")
    (1, 1)
    """
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        new = [i]
        for j, b in enumerate(right, start=1):
            cost = min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            new.append(cost)
        before, row = row, new
    return row[-1]
