"""Until when the suppression feed is complete, as its own file or the note beside it says, and whether it shrank."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from configs.errors import InputInvalid
from configs.quality import FeedLimits, QualitySettings
from features.intake.scan import Source, readable
from features.tables import UNKNOWN_INSTANT, microseconds

LOST = "stops missing of those that an earlier run saw or the feed promises: it counts as incomplete"


def stated_by(path: Path) -> int:
    """What the metadata of the file say, else the `sample.json` beside it; unknown where neither says anything.

    Raises:
        InputInvalid: the file or the note is there and cannot be read.
    """
    text = _metadata(path, b"complete_as_of")
    beside = path.parent / "sample.json"
    if text is None and beside.is_file():
        path, text = beside, _noted(beside)
    if text is None:
        return UNKNOWN_INSTANT
    try:
        return microseconds(datetime.fromisoformat(text))
    except ValueError:
        raise InputInvalid(str(path), "expected complete_as_of to be an instant with a zone") from None


def complete_as_of(files: Mapping[str, Path], given: datetime | None) -> int:
    """Until when the suppression feed is complete: as given, or as the file or the `sample.json` beside it says."""
    if given is not None:
        return microseconds(given)
    path = files.get("suppressions")
    return stated_by(path) if path is not None and path.exists() else UNKNOWN_INSTANT


def promised_by(path: Path) -> int | None:
    """How many rows the feed should have, None where neither its file nor the note beside it says so.

    The file says it as `expected_rows` of its metadata, `sample.json` as `suppressions_expected_rows`.

    Raises:
        InputInvalid: what is said is no whole number.
    """
    found: Any = _metadata(path, b"expected_rows")
    beside = path.parent / "sample.json"
    if found is None and beside.is_file():
        path, found = beside, _note(beside).get("suppressions_expected_rows")
    if found is None:
        return None
    if isinstance(found, str) and found.isdecimal():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise InputInvalid(str(path), "expected a whole number of rows of the suppression feed")
    return found


def lost_rows(rows: int, files: Mapping[str, Path], before: int | None, limits: FeedLimits) -> int:
    """How many stops are missing where too many are: `before` is how many an earlier run saw; 0 where enough are there.

    What the feed itself promises counts rather than what was seen before, and `min_rows` in any case.
    """
    path = files.get("suppressions")
    promised = promised_by(path) if path is not None and path.is_file() else None
    expected = before if promised is None else promised
    missing = max((expected or 0) - rows, limits.min_rows - rows, 0)
    few = rows < limits.min_rows or (expected is not None and rows < expected * (1 - limits.max_shrink))
    return missing if few else 0


def missing_stops(
    con: DuckDBPyConnection,
    source: Source | None,
    files: Mapping[str, Path],
    before: int | None,
    limits: QualitySettings,
) -> int:
    """The same of an open source of stops; 0 without one, for then nothing is known of them anyhow."""
    if source is None:
        return 0
    with readable(source.files[0]):
        rows = con.sql(f"SELECT count(*) FROM {source.relation}").fetchall()[0][0]
    return lost_rows(int(rows), files, before, limits.suppression_feed)


def _metadata(path: Path, key: bytes) -> str | None:
    if path.suffix != ".parquet" or not path.is_file():
        return None
    with readable(str(path), OSError, UnicodeDecodeError):
        stated = (pq.read_schema(path).metadata or {}).get(key)
        return stated.decode() if stated else None


def _note(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise InputInvalid(str(file), "expected JSON (UTF-8)") from None
    return found if isinstance(found, dict) else {}


def _noted(file: Path) -> str:
    found = _note(file)
    text = found.get("suppressions_complete_as_of")
    if not isinstance(text, str):
        raise InputInvalid(str(file), "expected suppressions_complete_as_of, an instant with a zone")
    return text
