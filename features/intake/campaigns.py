"""Which campaigns select which segments: the one thing of a campaign that a segment definition has to know."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from configs.errors import InputInvalid
from features.intake.scan import rows_of


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign, the segments it selects, and when it ran; a day that is absent leaves that end open."""

    campaign_id: str
    segment_ids: tuple[str, ...]
    started_on: date | None = None
    ended_on: date | None = None

    def runs_on(self, day: date) -> bool:
        """Whether it runs on a day or begins later: what it selects must exist."""
        return self.ended_on is None or self.ended_on >= day


def read_campaigns(path: Path) -> tuple[Campaign, ...]:
    """Every campaign of a Parquet, CSV or JSON lines file; segments as a list, JSON, or separated by semicolons.

    Raises:
        InputInvalid: a row without an id, or a day that is none; names the row and field.
    """
    return tuple(_campaign(row, str(path), number) for number, row in enumerate(rows_of("campaigns", path), start=1))


def _campaign(row: dict[str, Any], file: str, number: int) -> Campaign:
    campaign_id = str(row.get("campaign_id") or "").strip()
    if not campaign_id:
        raise InputInvalid(file, "expected an id", row=number, field="campaign_id")
    return Campaign(
        campaign_id,
        _segments(row.get("segment_ids")),
        _day(row.get("started_on"), file, number, "started_on"),
        _day(row.get("ended_on"), file, number, "ended_on"),
    )


def _segments(given: Any) -> tuple[str, ...]:
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:
            given = json.loads(given)
        except json.JSONDecodeError:
            given = given.strip().strip("[]").replace(",", ";").replace("'", "").replace('"', "")
    parts = given.split(";") if isinstance(given, str) else given or ()
    return tuple(dict.fromkeys(str(part).strip() for part in parts if part is not None and str(part).strip()))


def _day(given: Any, file: str, number: int, field: str) -> date | None:
    if given is None or given == "":
        return None
    if isinstance(given, datetime):
        return given.date()
    if isinstance(given, date):
        return given
    try:
        return date.fromisoformat(str(given)[:10])
    except ValueError:
        raise InputInvalid(file, "expected a date like 2026-06-30", row=number, field=field) from None
