"""What was learned: what worked for which segment, why, on what evidence, and who says so. A list that only grows."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Literal

from pydantic import Field

from configs.errors import Problem
from configs.references import RETIRE
from configs.section import Section

FILE = "knowledge.yaml"
Verdict = Literal["worked", "did_not_work", "unclear"]
_WORD = re.compile(r"[a-z0-9]+")
# BM25's usual constants (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009).
_K, _B = 1.2, 0.75


class Evidence(Section):
    """What a lesson rests on: a report, a test, a review; and its number with count and window."""

    source: str = Field(min_length=3)
    says: str = Field(min_length=3)


class Lesson(Section):
    """One thing that was learned. `replaces` names a lesson that this one corrects; both stay.

    Without a segment it is about all of them. No lesson names a person we may contact.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")
    on: date
    by: str = Field(min_length=2)
    verdict: Verdict
    says: str = Field(min_length=5)
    why: str = Field(min_length=5)
    evidence: tuple[Evidence, ...] = Field(min_length=1)
    segment: str | None = None
    product: str | None = None
    stage: str | None = None
    asset: str | None = None
    words: tuple[str, ...] = ()
    replaces: str | None = None

    @property
    def text(self) -> str:
        """Everything that a search looks at."""
        named = (self.segment, self.product, self.stage, self.asset, self.verdict)
        told = (part for one in self.evidence for part in (one.source, one.says))
        return " ".join(part for part in (self.id, self.says, self.why, *self.words, *named, *told) if part)


def in_force(lessons: Sequence[Lesson]) -> tuple[Lesson, ...]:
    """The lessons that no later one corrects, newest first."""
    replaced = {one.replaces for one in lessons}
    return tuple(
        sorted((one for one in lessons if one.id not in replaced), key=lambda one: (-one.on.toordinal(), one.id))
    )


def search(lessons: Sequence[Lesson], query: str) -> tuple[tuple[Lesson, float], ...]:
    """Lessons that have a word of the query, the best first (BM25); rare words count more, a part of a word as half.

    INVARIANT: a lesson without any word of the query is never found, and the order of the list decides nothing.
    """
    texts = [Counter(_WORD.findall(one.text.lower())) for one in lessons]
    asked = set(_WORD.findall(query.lower()))
    mean = sum(map(Counter.total, texts)) / len(texts) if texts else 1.0
    scores = [0.0] * len(lessons)
    for word in asked:
        counts = [sum(n if own == word else n / 2 for own, n in text.items() if word in own) for text in texts]
        having = sum(count > 0 for count in counts)
        rare = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        for place, count in enumerate(counts):
            length = 1 - _B + _B * texts[place].total() / mean
            scores[place] += rare * count * (_K + 1) / (count + _K * length)
    found = [(one, score) for one, score in zip(lessons, scores, strict=True) if score > 0]
    return tuple(sorted(found, key=lambda pair: (-pair[1], -pair[0].on.toordinal(), pair[0].id)))


def knowledge_problems(found: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the list: an id used twice, segments, products, stages or assets nobody has, a lost lesson."""
    known = {
        "segment": {definition.id for definition in found["segments"]},
        "product": set(found["vocabularies"]["product"].values),
        "stage": set(found["actions"].stages) if found["actions"] is not None else set(),
        "asset": {asset.asset_id for asset in found["assets"]},
    }
    seen: set[str] = set()
    for one in found["knowledge"]:
        if one.id in seen:
            yield Problem(FILE, f"knowledge.{one.id}", "id already used")
        for key, allowed in known.items():
            value = getattr(one, key)
            if value is not None and value not in allowed:
                mend = f"; {RETIRE}" if key == "segment" else ""
                yield Problem(FILE, f"knowledge.{one.id}.{key}", f"expected a declared one, found {value!r}{mend}")
        if one.replaces is not None and one.replaces not in seen:
            expected = f"expected an earlier lesson, found {one.replaces!r}"
            yield Problem(FILE, f"knowledge.{one.id}.replaces", expected)
        seen.add(one.id)
