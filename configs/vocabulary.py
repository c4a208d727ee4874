"""Controlled vocabularies: the values a field may take, their synonyms, and their codes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

UNKNOWN = 0


def normalize(text: str) -> str:
    """One spelling for one value: NFKC, casefold, words joined by single underscores."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "_".join("".join(c if c.isalnum() else " " for c in folded).split())


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Values of one field in order; the code of a value is its position from 1, and 0 is unknown."""

    name: str
    values: tuple[str, ...]
    codes: Mapping[str, int] = field(repr=False)

    @classmethod
    def of(cls, name: str, values: Mapping[str, Iterable[str]]) -> Vocabulary:
        """Build from value -> synonyms; ValueError if a spelling means two values, or there are over 250 values."""
        if len(values) > 250:
            raise ValueError(f"{name}: {len(values)} values, at most 250 fit a code")
        codes: dict[str, int] = {}
        for code, (value, synonyms) in enumerate(values.items(), start=1):
            for spelling in (value, *synonyms):
                for form in {spelling, normalize(spelling)}:
                    if codes.setdefault(form, code) != code:
                        raise ValueError(f"{name}: {spelling!r} means two values")
        return cls(name, tuple(values), codes)

    def code(self, text: str | None) -> int:
        """Code of a spelling, 0 where absent or not in the vocabulary."""
        if text is None:
            return UNKNOWN
        code = self.codes.get(text)
        return self.codes.get(normalize(text), UNKNOWN) if code is None else code

    def value(self, code: int) -> str | None:
        """Value of a code, None for unknown."""
        return self.values[code - 1] if code else None


Vocabularies = Mapping[str, Vocabulary]
YES_NO = Vocabulary.of("yesno", {"no": ["false"], "yes": ["true"]})
