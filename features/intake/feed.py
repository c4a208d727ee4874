"""Until when the suppression feed is complete, as its own file or the note beside it says."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

from configs.errors import InputInvalid
from features.intake.scan import readable
from features.tables import UNKNOWN_INSTANT, microseconds


def stated_by(path: Path) -> int:
    """What the metadata of the file say, else the `sample.json` beside it; unknown where neither says anything.

    Raises:
        InputInvalid: the file or the note is there and cannot be read.
    """
    text: str | None = None
    if path.suffix == ".parquet":
        with readable(str(path), OSError, UnicodeDecodeError):
            stated = (pq.read_schema(path).metadata or {}).get(b"complete_as_of")
            text = stated.decode() if stated else None
    beside = path.parent / "sample.json"
    if text is None and beside.is_file():
        path, text = beside, _noted(beside)
    if text is None:
        return UNKNOWN_INSTANT
    try:
        return microseconds(datetime.fromisoformat(text))
    except ValueError:
        raise InputInvalid(str(path), "expected complete_as_of to be an instant with a zone") from None


def _noted(file: Path) -> str:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise InputInvalid(str(file), "expected JSON (UTF-8)") from None
    text = found.get("suppressions_complete_as_of") if isinstance(found, dict) else None
    if not isinstance(text, str):
        raise InputInvalid(str(file), "expected suppressions_complete_as_of, an instant with a zone")
    return text
