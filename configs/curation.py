"""What people know about words: doubtful synonyms, corrections of a steward, titles that somebody labelled."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from configs.errors import Problem
from configs.section import Section
from configs.vocabulary import CERTAIN, THRESHOLD, UNKNOWN, Reading, Synonym, Vocabulary, normalize

Share = Annotated[float, Field(ge=0, le=1)]
# The learner's cost grows with the square of these: 5,000 titles take 200 MB while it learns.
MOST_LABELLED = 5_000
SAYS_UNKNOWN = "unknown"
TITLE_VOCABULARIES = ("role", "specialty", "department")


class SynonymEntry(Section):
    """A synonym in its long form: `{spelling: ..., from: ..., confidence: 0.7}`."""

    spelling: str
    provenance: str = Field(default="shipped", alias="from", max_length=200)
    confidence: Share = CERTAIN


class Correction(Section):
    """A text of a field, or a job title, that a person settled: what it means, who says so, when and why."""

    vocabulary: str
    text: str = Field(min_length=1, max_length=1_000)
    value: str
    by: str = Field(min_length=1)
    on: date
    reason: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_key(cls, given: Any) -> Any:
        """YAML 1.1 reads a bare `on` as true; here it is a day."""
        if isinstance(given, dict) and True in given:
            return {"on" if key is True else key: value for key, value in given.items()}
        return given


class ReviewSettings(Section):
    """How sure a reading must be to be used: for every vocabulary, for single ones, and titles to learn from.

    `labels` is a CSV beside this file with the columns title and role, specialty or department. The learned titles
    answer where that is right `precision` of the time, estimated on titles that were set aside.
    """

    threshold: Share = THRESHOLD
    thresholds: Mapping[str, Share] = {}
    precision: Share = 0.95
    labels: str | None = None


Shape = dict[str, dict[str, list[str | SynonymEntry]]]


def built(name: str, values: Mapping[str, Sequence[str | SynonymEntry]], review: ReviewSettings) -> Vocabulary:
    """A vocabulary from its YAML entries; ValueError if a spelling means two values or a value has too many."""
    entries = {
        value: [
            one if isinstance(one, str) else Synonym(one.spelling, one.provenance, one.confidence) for one in synonyms
        ]
        for value, synonyms in values.items()
    }
    return Vocabulary.of(name, entries, review.thresholds.get(name, review.threshold))


def curated(
    vocabularies: Mapping[str, Vocabulary],
    corrections: Sequence[tuple[str, Sequence[Correction]]],
    labels: Path | None,
    precision: float,
    problems: list[Problem],
) -> dict[str, Vocabulary]:
    """The vocabularies with corrections (by file; a later file wins) and labelled titles on top.

    What cannot be right is added to `problems` with file and key: an unknown vocabulary or value, a text that says
    nothing, or one text with two values in the same file.
    """
    settled: dict[str, dict[str, Reading]] = {}
    for file, entries in corrections:
        seen: dict[tuple[str, str], str] = {}
        for index, entry in enumerate(entries):
            key, form = f"corrections.{index}", normalize(entry.text)
            vocabulary = vocabularies.get(entry.vocabulary)
            if vocabulary is None:
                problems.append(Problem(file, f"{key}.vocabulary", f"no vocabulary is named {entry.vocabulary}"))
            elif not form:
                problems.append(Problem(file, f"{key}.text", "expected a text with letters or digits"))
            elif entry.value != SAYS_UNKNOWN and entry.value not in vocabulary.values:
                problems.append(Problem(file, f"{key}.value", f"expected a value of {entry.vocabulary}, or unknown"))
            elif seen.setdefault((entry.vocabulary, form), entry.value) != entry.value:
                problems.append(Problem(file, f"{key}.value", "another entry gives this text another value"))
            else:
                code = UNKNOWN if entry.value == SAYS_UNKNOWN else vocabulary.values.index(entry.value) + 1
                found = Reading(code, CERTAIN, f"correction by {entry.by} on {entry.on}")
                settled.setdefault(entry.vocabulary, {})[form] = found
    labelled = {} if labels is None else _labelled(labels, vocabularies, problems)
    return {
        name: one.with_corrections(settled.get(name, {}), labelled.get(name, ()), precision)
        for name, one in vocabularies.items()
    }


def _labelled(
    path: Path, vocabularies: Mapping[str, Vocabulary], problems: list[Problem]
) -> dict[str, list[tuple[str, int]]]:
    """Titles with the code a person gave them, for each vocabulary that the file has a column of."""
    rows = read_labels(path, problems)
    columns = [name for name in TITLE_VOCABULARIES if rows and name in rows[0]]
    if rows and ("title" not in rows[0] or not columns):
        problems.append(Problem(path.name, "", "expected the columns title and role, specialty or department"))
        return {}
    found: dict[str, list[tuple[str, int]]] = {name: [] for name in columns}
    for number, row in enumerate(rows, start=2):
        for name in columns:
            value = (row[name] or "").strip()
            if not value:
                continue
            if value == SAYS_UNKNOWN:
                found[name].append((row["title"], UNKNOWN))
            elif value in vocabularies[name].values:
                found[name].append((row["title"], vocabularies[name].values.index(value) + 1))
            else:
                problems.append(Problem(path.name, f"row {number}.{name}", f"expected a value of {name}, or unknown"))
    return found


def read_labels(path: Path, problems: list[Problem]) -> list[dict[str, Any]]:
    """The rows of a CSV of labelled titles; what cannot be read, or too many of them, becomes a problem."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines, restval="", strict=True))
    except (OSError, UnicodeDecodeError, csv.Error):
        problems.append(Problem(path.name, "", "expected a readable CSV of labelled titles in UTF-8"))
        return []
    if len(rows) > MOST_LABELLED:
        problems.append(Problem(path.name, "", f"{len(rows)} rows: expected at most {MOST_LABELLED} labelled titles"))
        return []
    return rows
