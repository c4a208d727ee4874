"""Controlled vocabularies: the values a field may take, their synonyms with source and confidence, and their codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from configs.spelling import normalize

__all__ = ["UNKNOWN", "YES_NO", "Reading", "Synonym", "Vocabularies", "Vocabulary", "normalize"]

UNKNOWN = 0
MOST_VALUES = 250
SHIPPED = "shipped"
CERTAIN = 1.0
# Below this a reading is not used but listed for review, unless review.yaml says otherwise.
THRESHOLD = 0.8
PRECISION = 0.95


class Reading(NamedTuple):
    """What a text was read as: the code, how sure that is in [0, 1], and where the knowledge comes from."""

    code: int
    confidence: float
    provenance: str


NOT_READ = Reading(UNKNOWN, 0.0, "")


@dataclass(frozen=True, slots=True)
class Synonym:
    """A spelling of a value, who says so, and how sure that is in [0, 1]."""

    spelling: str
    provenance: str = SHIPPED
    confidence: float = CERTAIN


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Values of one field in order; the code of a value is its position from 1, and 0 is unknown.

    INVARIANT: `codes` holds only spellings at or above the threshold; the doubtful ones are unknown until somebody
    says otherwise.
    """

    name: str
    values: tuple[str, ...]
    codes: Mapping[str, int] = field(repr=False)
    threshold: float = THRESHOLD
    # Spellings that are not simply shipped and certain.
    sources: Mapping[str, Reading] = field(default_factory=dict, repr=False)
    # Whole texts that a person settled, by normal form, and titles with the value a person gave them.
    corrected: Mapping[str, Reading] = field(default_factory=dict, repr=False)
    labelled: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    # How often what is learned from labelled titles must be right to be used.
    precision: float = PRECISION

    @classmethod
    def of(cls, name: str, values: Mapping[str, Iterable[str | Synonym]], threshold: float = THRESHOLD) -> Vocabulary:
        """Build from value -> synonyms; ValueError if a spelling means two values, or there are over 250 values."""
        if len(values) > MOST_VALUES:
            raise ValueError(f"{name}: {len(values)} values, at most {MOST_VALUES} fit a code")
        codes: dict[str, int] = {}
        sources: dict[str, Reading] = {}
        for code, (value, synonyms) in enumerate(values.items(), start=1):
            for synonym in (Synonym(value), *synonyms):
                one = synonym if isinstance(synonym, Synonym) else Synonym(synonym)
                for form in dict.fromkeys((one.spelling, normalize(one.spelling))):
                    if codes.setdefault(form, code) != code:
                        raise ValueError(f"{name}: {one.spelling!r} means two values")
                    if (one.provenance, one.confidence) != (SHIPPED, CERTAIN):
                        sources[form] = Reading(code, one.confidence, one.provenance)
        sure = {form: code for form, code in codes.items() if form not in sources or sources[form][1] >= threshold}
        return cls(name, tuple(values), sure, threshold, sources)

    def with_corrections(
        self, corrected: Mapping[str, Reading], labelled: Iterable[tuple[str, int]] = (), precision: float = PRECISION
    ) -> Vocabulary:
        """The same values with texts that a person settled (by normal form) on top, and titles to learn from."""
        codes = {**self.codes, **{form: reading.code for form, reading in corrected.items()}}
        # A literal spelling whose normal form was corrected must not be found before the correction is.
        codes |= {text: corrected[form].code for text in self.codes if (form := normalize(text)) in corrected}
        return replace(self, codes=codes, corrected=dict(corrected), labelled=tuple(labelled), precision=precision)

    def code(self, text: str | None) -> int:
        """Code of a spelling, 0 where absent, not in the vocabulary, or too doubtful to be used."""
        if text is None:
            return UNKNOWN
        code = self.codes.get(text)
        return self.codes.get(normalize(text), UNKNOWN) if code is None else code

    def read(self, text: str | None) -> Reading:
        """Code, confidence and provenance of a spelling; below the threshold the code is 0 and the rest still says why.

        INVARIANT: `read(text).code == code(text)`.
        """
        guess = self.guess(text)
        return guess if guess.code == self.code(text) else guess._replace(code=self.code(text))

    def guess(self, text: str | None) -> Reading:
        """The best guess whatever the threshold; `NOT_READ` where nothing is known."""
        if text is None:
            return NOT_READ
        form = normalize(text)
        found = self.corrected.get(form) or self.sources.get(text) or self.sources.get(form)
        if found is not None:
            return found
        code = self.code(text)
        return Reading(code, CERTAIN, SHIPPED) if code else NOT_READ

    def value(self, code: int) -> str | None:
        """Value of a code, None for unknown."""
        return self.values[code - 1] if code else None


Vocabularies = Mapping[str, Vocabulary]
YES_NO = Vocabulary.of("yesno", {"no": ["false"], "yes": ["true"]})
