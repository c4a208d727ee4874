"""Role and specialty from a free-text job title, where the export gives none.

In this order, and the first that knows answers: a steward's correction of the whole title; a spelling of the vocabulary
that is the whole title; a labelled title with these words; the rules below; what was learned from labelled titles.
The rules: the longest spelling of a vocabulary that occurs in the title's words wins, then the longest in the words
that they stand for (`title_words.py`). Every answer has a confidence; below the vocabulary's threshold it is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.spelling import normalize
from configs.vocabulary import NOT_READ, UNKNOWN, Reading, Vocabularies, Vocabulary
from features.intake.title_model import FEWEST_LABELLED, NOT_ANSWERED, TitleModel
from features.intake.title_words import TitleWords

_LONGEST_SPELLING = 6
_MAX_REMEMBERED = 50_000
# How sure a rule is: the spelling is part of the title; part of what its words stand for; and in the title, but the
# title may be about such people rather than of one.
_PART, _MEANT, _ABOUT = 0.95, 0.9, 0.6
# Words, as `title_words.py` reads them, with which the rest of the title is not the person's own profession: not yet,
# no longer, somebody else's, or none.
_NOT_THEIRS_WORDS = (
    "student resident intern fellow former seeking non non_medical not never candidate applicant prospective premed"
    " wannabe wife husband mother father daughter son widow spouse friend veterinary veterinarian vet dvm philosophy"
    " law laws jurisprudence"
)
_NOT_THEIRS = frozenset(_NOT_THEIRS_WORDS.split())
_SELLING = frozenset({"sales", "marketing", "account", "accounts"})
# Work in a house of medicine that is not medicine: what it is done for is not the person's specialty.
_BESIDE_WORDS = (
    "assistant secretary receptionist human_resources lawyer legal_counsel finance press photographer engineer"
    " information_technology representative customer_service distributor purchasing event coder scribe transcriptionist"
    " interpreter driver janitor housekeeper medical_assistant nursing_assistant influencer"
)
_BESIDE = frozenset(_BESIDE_WORDS.split())
_CLINICAL = ("physician", "nurse_practitioner", "physician_assistant", "pharmacist", "nurse", "dentist", "therapist")
# With one of these, a title that names clinicians may well be that of somebody who deals with them.
_ABOUT_OTHERS_WORDS = (
    "services service relations relationship relationships network outreach billing alignment enterprise partnerships"
    " contracts engagement experience strategy vice_president chief_operating_officer chief_financial_officer"
    " chief_commercial_officer representative coordinator administrator manager director supervisor advisor"
    " analyst training placement credentialing enrollment"
)
_ABOUT_OTHERS = frozenset(_ABOUT_OTHERS_WORDS.split())


class Titles:
    """Reads titles by the synonyms of the role and specialty vocabularies, and by labelled titles where given."""

    def __init__(self, vocabularies: Vocabularies) -> None:
        title_words = vocabularies.get("title_word") or Vocabulary.of("title_word", {})
        self.words = TitleWords(title_words)
        self._readers = [_Reader(vocabularies[name], self.words) for name in ("role", "specialty")]
        role = vocabularies["role"]
        self._sales = role.codes.get("sales", UNKNOWN)
        self._remembered: dict[str, tuple[int, int]] = {}

    def warm(self) -> None:
        """Make the tables of look-alikes and slips, and learn from labelled titles, before somebody waits for it."""
        self._read("\u0430b wxyzwxyz")

    def read(self, title: str) -> tuple[int, int]:
        """Codes of role and specialty, 0 where the title does not say or not surely enough.

        INVARIANT: `X Resident` is never X's role, and `Sales ...` is sales whatever else the title names.
        """
        found = self._remembered.get(title)
        if found is None:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()  # titles come from outside: what is remembered must stay bounded
            found = self._remembered[title] = self._read(title)
        return found

    def _read(self, title: str) -> tuple[int, int]:
        role, specialty = (
            guess.code if reader.is_sure(guess) else UNKNOWN
            for reader, guess in zip(self._readers, self.guess(title), strict=True)
        )
        return role, specialty

    def guess(self, title: str) -> tuple[Reading, Reading]:
        """The best guess at role and specialty with its confidence and source, whatever the threshold."""
        form = normalize(title)
        words = self.words.words(title)
        meant = self.words.meaning(words)
        role, specialty = self._readers
        found = role.settled(form), specialty.settled(form)
        about = {*words, *meant}
        if about & _SELLING:
            sales = Reading(self._sales, _PART, "rule: works in sales or marketing")
            return found[0] or sales, found[1] or NOT_READ
        if about & _NOT_THEIRS:
            return found[0] or role.learned(words), found[1] or NOT_READ
        beside = bool(_BESIDE & set(meant))
        return (
            role.best(found[0], lambda: role.by_rule(words, meant, beside=beside), lambda: role.learned(words)),
            specialty.best(
                found[1],
                lambda: NOT_READ if beside else specialty.by_rule(words, meant),
                lambda: specialty.learned(words),
            ),
        )

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


class _Reader:
    """What titles say of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, words: TitleWords) -> None:
        self.vocabulary, self._title_words = vocabulary, words
        self._spelled = _spelled(vocabulary)
        self._clinical = {vocabulary.codes.get(value, UNKNOWN) for value in _CLINICAL} - {UNKNOWN}
        self._exact: dict[str, int] = {}
        doubtful: set[str] = set()
        for title, code in vocabulary.labelled:
            form = normalize(title)
            if self._exact.setdefault(form, code) != code:
                doubtful.add(form)  # labelled both ways: the learner weighs it
        for form in doubtful:
            del self._exact[form]
        self._model: TitleModel | None = None
        self._codes: list[int] = []

    def is_sure(self, guess: Reading) -> bool:
        """Whether a guess is sure enough to be used."""
        learned = guess.provenance == _LEARNED
        return guess.confidence >= max(
            self.vocabulary.threshold, self._model.threshold if learned and self._model else 0.0
        )

    def best(self, found: Reading | None, *others: Callable[[], Reading | None]) -> Reading:
        """The first reading that is sure enough, else the surest of all."""
        best = found or NOT_READ
        for other in others:
            if self.is_sure(best):
                return best
            guess = other()
            if guess is not None and guess.confidence > best.confidence:
                best = guess
        return best

    def settled(self, form: str) -> Reading | None:
        """What a person, the vocabulary or a labelled title says about the whole title; None where nobody does."""
        corrected = self.vocabulary.corrected.get(form)
        if corrected is not None:
            return corrected
        found = self.vocabulary.guess(form)
        if found.confidence and self._named(found.code):
            return found
        code = self._exact.get(form)
        return None if code is None else Reading(code, 1.0, "labelled title")

    def by_rule(self, words: list[str], meant: list[str], *, beside: bool = False) -> Reading | None:
        """The longest spelling within the title; None where there is none."""
        plain = "_".join(meant).split("_") if meant else []
        for searched, confidence, how in ((words, _PART, "part of the title"), (plain, _MEANT, "what the words mean")):
            spelling = _longest(searched, self._spelled)
            code = self._spelled.get(spelling, UNKNOWN)
            if not code or not self._named(code):
                continue
            if code in self._clinical:
                inside = set(spelling)
                if beside:
                    return None
                if (_ABOUT_OTHERS & {*words, *meant}) - inside:
                    return Reading(code, _ABOUT, "rule: may be about such people")
            elif beside and {"assistant", "secretary", "receptionist"} & {*words, *meant} - set(spelling):
                return None
            source = self.vocabulary.sources.get("_".join(spelling))
            sure = confidence * (source.confidence if source else 1.0)
            return Reading(code, round(sure, 6), f"rule: {how}")
        return None

    def learned(self, words: list[str]) -> Reading:
        """What labelled titles teach; `NOT_READ` where there are too few of them."""
        if len(self.vocabulary.labelled) < FEWEST_LABELLED or not words:
            return NOT_READ
        if self._model is None:
            self._model = self._learn()
        answer = self._model.read(words)
        if answer.label == NOT_ANSWERED:
            return NOT_READ
        return Reading(self._codes[answer.label], answer.confidence, _LEARNED)

    def _learn(self) -> TitleModel:
        own = [(spelling, code) for spelling, code in self.vocabulary.codes.items() if spelling == normalize(spelling)]
        titles = [*self.vocabulary.labelled, *((text.replace("_", " "), code) for text, code in own)]
        self._codes = sorted({code for _, code in titles})
        place = {code: index for index, code in enumerate(self._codes)}
        return TitleModel.fit(
            [title for title, _ in titles],
            [place[code] for _, code in titles],
            self._title_words,
            precision=self.vocabulary.precision,
        )

    def _named(self, code: int) -> bool:
        """Whether a code says something: `other` in a title does not."""
        return bool(code) and self.vocabulary.value(code) != "other"


_LEARNED = "learned from labelled titles"


def _spelled(vocabulary: Vocabulary) -> dict[tuple[str, ...], int]:
    spelled: dict[tuple[str, ...], int] = {}
    for spelling, code in vocabulary.codes.items():
        form = normalize(spelling)
        words = tuple(form.split("_"))
        if form and form not in vocabulary.corrected and len(words) <= _LONGEST_SPELLING:
            spelled[words] = code
    return spelled


def _longest(words: list[str], spelled: Mapping[tuple[str, ...], int]) -> tuple[str, ...]:
    """The longest spelling among the words, the leftmost of equals; empty where there is none."""
    for size in range(min(_LONGEST_SPELLING, len(words)), 0, -1):
        for start in range(len(words) - size + 1):
            found = tuple(words[start : start + size])
            if found in spelled:
                return found
    return ()
