"""Tags in the shape of a CRM's import: declared field names, lists joined, and what overwrites a field with nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv

from configs.activation import KEYS, Crm, CrmFile
from serving.files import FORMULA

INSTANTS = ("as_of", "valid_until")


def write_crm_files(crm: Crm, tables: dict[str, pa.Table], removed: pa.Table, folder: Path) -> dict[str, int]:
    """Write the import files of one CRM, and beside each the file that clears the tags of who lost them.

    Args:
        crm: how it reads an import.
        tables: the tags by unit, `lead` and `account`.
        removed: who has no tags any more: unit, id, and whether to clear them.
        folder: where to; made if absent.

    Returns how many rows each file has, by its name.

    INVARIANT: every row of tags is in exactly one file of its unit, or in none where no file takes its id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, int] = {}
    for file in crm.files:
        key = KEYS[file.unit]
        others = [one for one in crm.files if one.unit == file.unit and one is not file]
        table = tables[file.unit]
        taken = table.filter(_takes(file, others, table[key]))
        ids = removed.filter(pc.and_(pc.equal(removed["unit"], file.unit), removed["clear"]))["id"]
        ids = ids.filter(_takes(file, others, ids))
        found[f"{file.name}.csv"] = _write(_shaped(crm, file, taken), folder / f"{file.name}.csv")
        found[f"{file.name}_clear.csv"] = _write(
            _cleared(crm, file, ids, table.schema), folder / f"{file.name}_clear.csv"
        )
    return found


def _takes(file: CrmFile, others: list[CrmFile], ids: pa.ChunkedArray) -> pa.Array:
    """Which ids a file takes: those of its prefixes; without any, those that no other file's prefixes take."""

    def begins(prefixes: tuple[str, ...]) -> Any:
        found = np.zeros(len(ids), dtype=np.bool_)
        for prefix in prefixes:
            found |= pc.starts_with(ids, prefix).to_numpy()
        return found

    mine = begins(file.id_prefixes)
    return pa.array(mine if file.id_prefixes else ~begins(tuple(p for one in others for p in one.id_prefixes)))


def _shaped(crm: Crm, file: CrmFile, table: pa.Table) -> pa.Table:
    columns = {}
    for tag, field in file.fields.items():
        column = table[tag].combine_chunks()
        if pa.types.is_list(column.type):
            text = pc.binary_join(column, crm.separator)
        elif tag in INSTANTS and crm.instants == "day":
            text = pc.utf8_slice_codeunits(column, 0, len("2026-06-30"))
        else:
            text = column.cast(pa.string())
            # The key was withheld where it is one; a reference to such an account is left out.
            text = pc.if_else(pc.match_substring_regex(pc.fill_null(text, ""), FORMULA), "", text)
        # What is not known is overwritten too: a tag that stayed from an earlier import would be stale.
        columns[field] = pc.if_else(pc.equal(pc.fill_null(text, ""), ""), _empty(crm, column.type, tag), text)
    return pa.table(columns)


def _empty(crm: Crm, kind: pa.DataType, tag: str) -> str:
    is_word = (pa.types.is_string(kind) or pa.types.is_list(kind)) and tag not in INSTANTS
    return crm.empty if is_word else crm.empty_number


def _cleared(crm: Crm, file: CrmFile, ids: pa.ChunkedArray, schema: pa.Schema) -> pa.Table:
    return pa.table(
        {
            field: ids
            if tag == KEYS[file.unit]
            else pa.repeat(pa.scalar(_empty(crm, schema.field(tag).type, tag), pa.string()), len(ids))
            for tag, field in file.fields.items()
        }
    )


def _write(table: pa.Table, path: Path) -> int:
    # No cell can begin a formula: keys that would were withheld, references left out, and lists are of declared words.
    pa_csv.write_csv(table, path, pa_csv.WriteOptions(quoting_style="needed"))
    return int(table.num_rows)
