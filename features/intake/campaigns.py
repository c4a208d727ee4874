"""Campaigns: which segments they select, what they give them, with which goal and for how much money."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from configs.errors import InputInvalid
from features.intake.scan import rows_of

MOST_SPEND = Decimal(10) ** 15


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign, the segments it selects and the assets it gives them, and when it ran; an absent day is open.

    `spend_cents` is its whole spend, None where the file does not say.
    """

    campaign_id: str
    segment_ids: tuple[str, ...]
    started_on: date | None = None
    ended_on: date | None = None
    name: str | None = None
    channel: str | None = None
    product: str | None = None
    goal: str | None = None
    spend_cents: int | None = None
    offers: tuple[str, ...] = ()

    def runs_on(self, day: date) -> bool:
        """Whether it runs on a day or begins later: what it selects must exist."""
        return self.ended_on is None or self.ended_on >= day


def read_campaigns(path: Path) -> tuple[Campaign, ...]:
    """Every campaign of a Parquet, CSV or JSON lines file; lists as such, as JSON, or separated by semicolons.

    Raises:
        InputInvalid: a row without an id, a day that is none, or a spend below nothing; names the row and field.
    """
    return tuple(_campaign(row, str(path), number) for number, row in enumerate(rows_of("campaigns", path), start=1))


def _campaign(row: dict[str, Any], file: str, number: int) -> Campaign:
    campaign_id = str(row.get("campaign_id") or "").strip()
    if not campaign_id:
        raise InputInvalid(file, "expected an id", row=number, field="campaign_id")
    return Campaign(
        campaign_id,
        _listed(row.get("segment_ids")),
        _day(row.get("started_on"), file, number, "started_on"),
        _day(row.get("ended_on"), file, number, "ended_on"),
        name=_text(row.get("name")),
        channel=_text(row.get("channel")),
        product=_text(row.get("product")),
        goal=_text(row.get("goal")),
        spend_cents=_cents(row.get("spend"), file, number),
        offers=_listed(row.get("offers")),
    )


def _listed(given: Any) -> tuple[str, ...]:
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:
            given = json.loads(given)
        except json.JSONDecodeError:
            given = given.strip().strip("[]").replace(",", ";").replace("'", "").replace('"', "")
    parts = given.split(";") if isinstance(given, str) else given or ()
    return tuple(dict.fromkeys(str(part).strip() for part in parts if part is not None and str(part).strip()))


def _text(given: Any) -> str | None:
    text = "" if given is None else str(given).strip()
    return text or None


def _cents(given: Any, file: str, number: int) -> int | None:
    """Money to the cent, a half rounded to even; what a float holds is read by its shortest decimal text."""
    if given is None or given == "" or given != given:
        return None
    try:
        amount = Decimal(str(given))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0 or amount > MOST_SPEND:
        raise InputInvalid(file, "expected an amount of zero or more, such as 1250.00", row=number, field="spend")
    return int((amount * 100).to_integral_value())


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
