"""The only clock of the command line: what now is, whose now it is, and what `--as-of` means beside it.

Data that declares its own instant carries its own clock: a made world (`sample.json`), a flat mapping (`as_of`). All
other data live by the real clock. An `--as-of` before that clock is a replay, which grants nothing; a later one is
refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.screen import line
from configs.errors import InputInvalid

if TYPE_CHECKING:
    from configs.mapping import SourceMapping

YEARS = range(1970, 2200)


def moment(text: str) -> datetime:
    """An instant from `2026-06-30` (its first moment, UTC) or `2026-06-30T08:00:00Z`; raises typer.BadParameter."""
    try:
        if len(text) == len("2026-06-30"):
            found = datetime.combine(date.fromisoformat(text), time(), UTC)
        else:
            found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise typer.BadParameter("expected a zone, as in 2026-06-30T08:00:00Z")
        found = found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter("expected a date like 2026-06-30 or an instant like 2026-06-30T08:00:00Z") from None
    if found.year not in YEARS:
        raise typer.BadParameter(f"expected an instant of the years {YEARS[0]} to {YEARS[-1]}")
    return found


@dataclass(frozen=True, slots=True)
class Clock:
    """Now, and whose now it is; the real one where `whose` is empty."""

    now: datetime
    whose: str = ""

    def settle(self, as_of: str | datetime | None, tell: Callable[[str], None] = line) -> datetime:
        """The instant to decide for, not after this clock; `tell` hears of a clock that is not real and of a replay.

        INVARIANT: nothing is decided for an instant after the clock of its data.
        """
        instant = moment(as_of) if isinstance(as_of, str) else (as_of or self.now).astimezone(UTC)
        if instant > self.now:
            of = f"the clock of {self.whose}" if self.whose else "now"
            raise InputInvalid("--as-of", f"expected an instant not after {of}, {_said(self.now)}")
        if self.whose:
            tell(f"[yellow]clock of {self.whose}: {_said(self.now)}[/yellow]")
        if instant < self.now:
            tell(f"[yellow]replay of {_said(instant)}: what is before the clock grants no permit[/yellow]")
        return instant


def clock_of(data: Path | None = None, mapping: SourceMapping | None = None) -> Clock:
    """The clock that data carry, else the real one; raises InputInvalid where a world's note cannot be read."""
    if mapping is not None:
        return Clock(mapping.as_of.astimezone(UTC), f"the mapping {mapping.name}")
    note = data / "sample.json" if data else None
    if note is None or not note.is_file():
        return Clock(datetime.now(UTC))
    try:
        return Clock(moment(json.loads(note.read_text(encoding="utf-8"))["as_of"]), "this made world")
    except (ValueError, KeyError, TypeError, typer.BadParameter):
        raise InputInvalid(str(note), "expected a JSON object whose as_of is an instant with a zone") from None


def chosen(as_of: str | None, data: Path | None = None) -> datetime:
    """The given `--as-of`; else the clock of the data. For what grants nothing, such as training and checks."""
    return moment(as_of) if as_of is not None else clock_of(data).now


def _said(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC".replace(" 00:00:00 UTC", " 00:00 UTC")
