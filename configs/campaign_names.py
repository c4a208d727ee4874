"""How campaigns are named, and what a campaign must say before it runs: `campaign_names.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import Field, model_validator

from configs.errors import Problem
from configs.section import Section

FILE = "campaign_names.yaml"
_SORTED = ("start", "free")


class NamePart(Section):
    """One part of a name: a word of a vocabulary, one of some words, the month it starts, or free words.

    `short` gives other spellings that stand for a word: `{oncology_rx: onc}`.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")
    says: str = Field(min_length=3)
    vocabulary: str | None = None
    words: tuple[str, ...] = ()
    kind: str | None = Field(default=None, pattern="^(start|free)$")
    short: Mapping[str, str] = Field(default_factory=dict)
    optional: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum((self.vocabulary is not None, bool(self.words), self.kind is not None)) != 1:
            raise ValueError("expected exactly one of vocabulary, words and kind")
        return self


class CampaignNames(Section):
    """Parts of a name in order, joined by `separator`; without any part every name is fine.

    `goals` are the goals a campaign may have; without any every goal is fine. `max_days` is the longest that one runs.
    """

    separator: str = Field(default="_", min_length=1, max_length=2)
    max_length: int = Field(default=80, ge=8)
    parts: tuple[NamePart, ...] = ()
    goals: tuple[str, ...] = ()
    max_days: int = Field(default=366, ge=1)

    @cached_property
    def example(self) -> str:
        """A name that follows the convention, made of the first word of each part."""
        shown = {"start": "202607", "free": "spring-webinar"}
        return self.separator.join(
            shown[part.kind] if part.kind else next(iter((*part.short.values(), *part.words)), part.id)
            for part in self.parts
        )

    def spell(self, said: Mapping[str, str]) -> str:
        """The name that says these words, part by part: its short words where it has some; `read` gives them back."""
        return self.separator.join(part.short.get(said[part.id], said[part.id]) for part in self.parts)

    def read(self, name: str, values: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, str], tuple[str, ...]]:
        """What a name says, part by part, and what is wrong with it, in words.

        Args:
            name: the campaign's name.
            values: the words of each vocabulary.
        """
        if not self.parts:
            return {}, ()
        wrong, said = [], {}
        if len(name) > self.max_length:
            wrong.append(f"expected at most {self.max_length} characters, found {len(name)}")
        found = name.split(self.separator, len(self.parts) - 1) if self._free_last else name.split(self.separator)
        least = sum(not part.optional for part in self.parts)
        if not least <= len(found) <= len(self.parts):
            ids = self.separator.join(part.id for part in self.parts)
            return {}, (*wrong, f"expected {ids} such as {self.example}, found {len(found)} of {len(self.parts)} parts")
        for part, word in zip(self.parts, found, strict=False):
            meant = _meant(part, word, values)
            if meant is None:
                wrong.append(f"{part.id}: expected {_expected(part, values)}, found {word!r}")
            else:
                said[part.id] = meant
        return said, tuple(wrong)

    @property
    def _free_last(self) -> bool:
        return self.parts[-1].kind == "free"


def _meant(part: NamePart, word: str, values: Mapping[str, tuple[str, ...]]) -> str | None:
    """The word that a part of a name stands for, None where it stands for none."""
    if part.kind == "start":
        return word if re.fullmatch(r"20\d\d(0[1-9]|1[0-2])", word) else None
    if part.kind == "free":
        return word if re.fullmatch(r"[a-z0-9][a-z0-9-]*", word) else None
    long = {short: name for name, short in part.short.items()}
    meant = long.get(word, word)
    return meant if meant in (part.words or values.get(part.vocabulary or "", ())) else None


def _expected(part: NamePart, values: Mapping[str, tuple[str, ...]]) -> str:
    if part.kind == "start":
        return "year and month like 202607"
    if part.kind == "free":
        return "small letters, digits and hyphens"
    allowed = part.words or values.get(part.vocabulary or "", ())
    return "one of " + ", ".join(part.short.get(word, word) for word in allowed)


def campaign_name_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the convention: a vocabulary nobody has, a short word of no word or of two, a part twice."""
    names: CampaignNames = found["campaign_names"]
    seen: set[str] = set()
    for place, part in enumerate(names.parts):
        at = f"parts.{part.id}"
        if part.id in seen:
            yield Problem(FILE, at, "id already used")
        seen.add(part.id)
        if part.vocabulary is not None and part.vocabulary not in found["vocabularies"]:
            yield Problem(FILE, f"{at}.vocabulary", f"no vocabulary is named {part.vocabulary!r}")
            continue
        allowed = part.words or (found["vocabularies"][part.vocabulary].values if part.vocabulary else ())
        for word, short in part.short.items():
            if word not in allowed:
                yield Problem(FILE, f"{at}.short", f"expected one of {', '.join(allowed)}, found {word!r}")
            if list(part.short.values()).count(short) > 1 or (short in allowed and short != word):
                yield Problem(FILE, f"{at}.short", f"{short!r} means two words")
        if part.kind is None and any(names.separator in part.short.get(word, word) for word in allowed):
            wrong = [part.short.get(word, word) for word in allowed if names.separator in part.short.get(word, word)]
            yield Problem(
                FILE, at, f"the separator {names.separator!r} is within {', '.join(wrong)}: give them a short word"
            )
        if part.optional and place < len(names.parts) - 1:
            yield Problem(FILE, at, "expected only the last part to be optional")
