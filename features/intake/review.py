"""What nobody could read surely: values and titles below their vocabulary's threshold, listed for a steward.

A list for people on this machine: it holds job titles and cell values as they were typed, so nothing of it is logged.
Texts that differ only in what `configs/spelling.py` folds are one entry, shown in its most frequent spelling.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from configs.errors import InputInvalid
from configs.settings import Settings
from configs.vocabulary import NOT_READ, Reading, normalize
from features.intake.scan import Source, connect, files_of, open_source, quoted, readable
from features.intake.titles import Titles
from features.layout import LAYOUTS

TITLE = "leads.title"
_NOTHING = '""'


@dataclass(frozen=True, slots=True)
class Doubt:
    """A text that is unknown today: where it stands, how many rows have it, the best guess and why it is not used."""

    vocabulary: str
    place: str
    text: str
    rows: int
    guess: str | None
    confidence: float
    source: str


def doubts(files: Mapping[str, Path], settings: Settings, vocabulary: str | None = None) -> list[Doubt]:
    """Every text of the files that a vocabulary knows not surely enough, the most frequent first.

    Args:
        files: table -> file or folder.
        settings: vocabularies with corrections and labelled titles on top.
        vocabulary: only this one; all when None.

    Raises:
        InputInvalid: no such vocabulary, or a file that cannot be read.
    """
    if vocabulary is not None and vocabulary not in settings.vocabularies:
        raise InputInvalid("data review", "expected the name of a vocabulary", field=vocabulary)
    paths = {table: files[table] for table in LAYOUTS if table in files}
    found: list[Doubt] = []
    listed = [file for table, path in paths.items() for file in files_of(table, path)]
    with closing(connect(listed, memory_limit_mb=None, threads=2, spill=None)) as con:
        for table, path in paths.items():
            source = open_source(con, LAYOUTS[table], path)
            with readable(source.files[0]):
                for column in source.layout.of_kind("code"):
                    if column.field in source.fields and vocabulary in (None, column.vocabulary):
                        found += _values(con, source, column.field, column.vocabulary, settings)
                if table == "leads" and "title" in source.fields and vocabulary in (None, "role", "specialty"):
                    found += _titles(con, source, settings, vocabulary)
    return sorted(found, key=lambda one: (-one.rows, one.vocabulary, one.place, one.text))


def _values(
    con: duckdb.DuckDBPyConnection, source: Source, field: str, name: str, settings: Settings
) -> Iterable[Doubt]:
    vocabulary = settings.vocabularies[name]
    spelled = con.sql(
        f"SELECT CAST({quoted(field)} AS VARCHAR) AS spelling, count(*) FROM {source.relation} "
        f"WHERE trim(CAST({quoted(field)} AS VARCHAR)) <> '' GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    rows: dict[str, int] = {}
    shown: dict[str, str] = {}
    for text, count in spelled:
        form = normalize(text) or text
        if vocabulary.code(text) or form in vocabulary.corrected:
            continue
        rows[form] = rows.get(form, 0) + count
        shown.setdefault(form, text)
    for form, count in rows.items():
        guess = vocabulary.guess(form)
        yield _doubt(name, f"{source.layout.table}.{field}", shown[form], count, guess, settings)


def _titles(
    con: duckdb.DuckDBPyConnection, source: Source, settings: Settings, vocabulary: str | None
) -> Iterable[Doubt]:
    """Titles that leave the role unknown, and those whose specialty is doubtful: many titles rightly name none."""
    titles = Titles(settings.vocabularies)
    for place, name in enumerate(("role", "specialty")):
        if vocabulary not in (None, name):
            continue
        given = f"CAST({quoted(name)} AS VARCHAR)" if name in source.fields else "NULL"
        counted = con.sql(
            f"SELECT title, {given} AS given, count(*) FROM {source.relation} WHERE trim(title) <> '' "
            "GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
        ).fetchall()
        known = settings.vocabularies[name]
        rows: dict[str, int] = {}
        shown: dict[str, str] = {}
        for title, spelling, count in counted:
            form = normalize(title) or title
            if known.code(spelling) or form in known.corrected or titles.read(title)[place]:
                continue
            rows[form] = rows.get(form, 0) + count
            shown.setdefault(form, title)
        for form, count in rows.items():
            guess = titles.guess(shown[form])[place]
            if name == "role" or guess.code:
                yield _doubt(name, TITLE, shown[form], count, guess, settings)


def _doubt(name: str, place: str, text: str, rows: int, guess: Reading, settings: Settings) -> Doubt:
    guess = guess if guess.code else NOT_READ
    best = settings.vocabularies[name].value(guess.code)
    return Doubt(name, place, text, rows, best, guess.confidence, guess.provenance)


def template(found: Iterable[Doubt], on: date) -> str:
    """A correction file to fill in: the best guesses as values, and nobody's name yet, without which it is refused."""
    lines = [
        "# Fill in value (one of the vocabulary, or unknown), by and reason; drop what you do not know. Then try them",
        "# (leadwell data review --corrections FILE) and keep them in corrections.yaml of your configuration folder.",
        "corrections:",
    ]
    entries = [
        "  - {"
        + f'vocabulary: {one.vocabulary}, text: {_quoted(one.text)}, value: {one.guess or _NOTHING}, by: "", '
        + f'on: {on.isoformat()}, reason: ""}}'
        for one in found
    ]
    return "\n".join([*lines[:-1], *(["corrections: []"] if not entries else [lines[-1]]), *entries]) + "\n"


def _quoted(text: str) -> str:
    """A text as a YAML double-quoted scalar, which JSON's escapes are; half a surrogate pair has none."""
    return json.dumps(text.encode("utf-8", "replace").decode("utf-8"))
