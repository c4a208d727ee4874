"""How one export's columns become Leadwell's tables, without code."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from configs.section import Section


class AttributeColumn(Section):
    """A custom column used as a feature. `known_at: before_outcome` is a claim the user makes and answers for."""

    column: str
    type: Literal["number", "category", "yesno"]
    known_at: Literal["before_outcome", "after_outcome"]
    group: Literal["fit", "engagement", "account"] = "fit"
    says: str = ""


class EventFromColumn(Section):
    """A consent, suppression or case that a column's value stands for."""

    table: Literal["consents", "suppressions", "cases"]
    column: str | None = None
    equals: tuple[str, ...] = ()
    values: dict[str, Any]


class SourceMapping(Section):
    """A flat export: its key, its order in time, its outcome, its attributes, and the constants that hold for all."""

    name: str
    says: str
    format: Literal["csv"] = "csv"
    lead_id: str
    order_by: str
    as_of: datetime
    outcome: str | None = None
    outcome_true: tuple[str, ...] = ()
    missing: tuple[str, ...] = ("",)
    attributes: tuple[AttributeColumn, ...]
    ignored: dict[str, str] = {}
    constants: dict[str, Any] = {}
    records: tuple[EventFromColumn, ...] = ()
    asset: dict[str, Any] | None = None
    fields: dict[str, str] = Field(default={}, description="canonical lead field -> column")
