"""The only clock of the command line: what `--as-of` means, and now when it is not given."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from pathlib import Path

import typer


def moment(text: str) -> datetime:
    """An instant from `2026-06-30` (its first moment, UTC) or `2026-06-30T08:00:00Z`; raises typer.BadParameter."""
    try:
        if len(text) == len("2026-06-30"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("expected a date like 2026-06-30 or an instant like 2026-06-30T08:00:00Z") from None
    if found.tzinfo is None:
        raise typer.BadParameter("expected a zone, as in 2026-06-30T08:00:00Z")
    return found.astimezone(UTC)


def chosen(as_of: str | None, data: Path | None = None) -> datetime:
    """The given `--as-of`; else the date a made world is anchored to; else now."""
    if as_of is not None:
        return moment(as_of)
    note = data / "sample.json" if data else None
    if note and note.is_file():
        return moment(json.loads(note.read_text(encoding="utf-8"))["as_of"])
    return datetime.now(UTC)
