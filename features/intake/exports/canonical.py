"""The mapping of tables that already are Leadwell's own: a warehouse or database that was modelled after them."""

from __future__ import annotations

from configs.exports import Cell, ExportMapping, ExportTable, RecordFrom
from features.intake.exports.cells import fields_of
from features.layout import LAYOUTS
from features.records import TABLES

CANONICAL = "canonical"
# What the rows of a table are told apart by, where its layout does not say.
_KEYS = {"campaigns": ("campaign_id",)}
_STATUSES = ("granted", "implied", "withdrawn", "none")


def canonical_mapping() -> ExportMapping:
    """Every canonical table and field under its own name, so that it never lags behind the tables.

    Custom attributes do not come this way, for they have no column of their own, nor do hashes of e-mails and names:
    those are made from what they stand for, with the key of this installation.
    """
    return ExportMapping(
        name=CANONICAL,
        says="tables that already are Leadwell's own, by name and by column; instants carry their zone",
        tables={table: _table(table) for table in TABLES if table != "memberships"},
    )


def _table(table: str) -> ExportTable:
    layout = LAYOUTS.get(table)
    names = {column.name: column.field for column in layout.columns} if layout is not None else {}
    told_apart = tuple(names[part] for part in layout.identity) if layout is not None else ()
    version = tuple(field for field in told_apart if field == "recorded_at")
    cells = {name: Cell(column=(name,)) for name in fields_of(table) if not name.endswith("_hash")}
    if table == "consents":
        cells["status"] = Cell(column=("status",), values={status: status for status in _STATUSES})
    return ExportTable(
        files=(table,),
        key=_KEYS.get(table, tuple(field for field in told_apart if field not in version)),
        version=version,
        records=(RecordFrom(table=table, fields=cells),),
    )
