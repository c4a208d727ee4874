"""How each table's row is encoded, derived once from the row structs: column, kind of value, vocabulary.

Both ways in (records of a request, files of a rescore) follow this one declaration, so that they cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from features.records import TABLES, Account, Colleague, Record

Kind = Literal["code", "yesno", "instant", "number", "count", "text", "present", "reference", "identity", "dropped"]


@dataclass(frozen=True, slots=True)
class Column:
    """One encoded column: its name, the record field it comes from, and how a value becomes a number."""

    name: str
    field: str
    kind: Kind
    vocabulary: str = ""
    required: bool = False
    to: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one table, the field that is its own time, and the fields that tell duplicates apart."""

    table: str
    columns: tuple[Column, ...]
    own_time: str | None
    identity: tuple[str, ...]

    def of_kind(self, *kinds: Kind) -> tuple[Column, ...]:
        """Columns of these kinds, in order."""
        return tuple(column for column in self.columns if column.kind in kinds)

    @property
    def encoded(self) -> tuple[Column, ...]:
        """Columns that `Tables` carries."""
        return tuple(column for column in self.columns if column.kind not in ("identity", "dropped"))


_REFERENCES = {
    "lead_id": ("lead", "lead"),
    "account_id": ("account", "account"),
    "parent_account_id": ("parent", "account"),
    "asset_id": ("asset", "asset"),
    "segment_id": ("segment", "segment"),
    "case_id": ("case", "case"),
}
_DROPPED = {"campaign_id", "message_id", "source", "attributes"}
_OWN_TIME = {
    "leads": "created_at",
    "events": "occurred_at",
    "touches": "sent_at",
    "consents": "captured_at",
    "suppressions": "since_at",
    "cases": "opened_at",
    "memberships": "entered_at",
    "outcomes": "occurred_at",
}
# What two rows of one table share when they are the same row. An event id is unique within its lead, so that
# duplicates never cross a partition.
_IDENTITY = {
    "leads": ("lead", "recorded_at"),
    "accounts": ("account", "recorded_at"),
    "events": ("lead", "event_id"),
    "touches": ("lead", "touch_id"),
    "cases": ("lead", "case", "recorded_at"),
}
ENCODED_TABLES = (
    "leads",
    "accounts",
    "events",
    "touches",
    "consents",
    "suppressions",
    "cases",
    "memberships",
    "outcomes",
)


def _column(field: str, hint: Any, required: bool) -> Column:
    arguments = [part for part in get_args(hint) if part is not type(None)] if get_origin(hint) is not Annotated else []
    inner = arguments[0] if arguments and get_origin(hint) is not dict else hint
    base, *metas = get_args(inner) if get_origin(inner) is Annotated else (inner,)
    vocabulary = next((m.extra["vocabulary"] for m in metas if getattr(m, "extra", None)), "")
    if field in ("event_id", "touch_id"):
        return Column(field, field, "identity", required=required)
    if field in _REFERENCES:
        name, to = _REFERENCES[field]
        return Column(name, field, "reference", required=required, to=to)
    if vocabulary:
        return Column(field, field, "code", vocabulary, required)
    if field in _DROPPED:
        return Column(field, field, "dropped")
    if field == "proof":
        return Column("proven", field, "present")
    if field == "jurisdiction":
        return Column(field, field, "code", "jurisdiction")
    kinds: dict[Any, Kind] = {datetime: "instant", bool: "yesno", float: "number", int: "count", str: "text"}
    return Column(field, field, kinds[base], required=required)


def layout_of(table: str, record: type[Record]) -> Layout:
    """Layout of a table from its row struct."""
    required = set(record.__struct_fields__) - {
        name
        for name, default in zip(reversed(record.__struct_fields__), reversed(record.__struct_defaults__), strict=False)
        if not _is_required(default)
    }
    hints = get_type_hints(record, include_extras=True)
    columns = tuple(_column(name, hints[name], name in required) for name in record.__struct_fields__)
    return Layout(table, columns, _OWN_TIME.get(table), _IDENTITY.get(table, ()))


def _is_required(default: Any) -> bool:
    return type(default).__name__ == "NoDefaultType"


LAYOUTS: dict[str, Layout] = {table: layout_of(table, TABLES[table]) for table in ENCODED_TABLES}
COLLEAGUES: Layout = layout_of("colleagues", Colleague)
ACCOUNT_FIELDS: tuple[str, ...] = Account.__struct_fields__
