"""One Arrow table as one file, whole or not at all; the suffix says which kind."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs.errors import InputInvalid
from serving.files import write_csv

KINDS = (".parquet", ".csv", ".json")


def write_table(table: pa.Table, file: Path) -> Path:
    """Write a table as Parquet, CSV (formula-safe, lists joined by `; `) or JSON; an older file is replaced whole.

    Raises InputInvalid for any other suffix.
    """
    if file.suffix not in KINDS:
        raise InputInvalid(str(file), f"expected a file that ends in {', '.join(KINDS)}")
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    if file.suffix == ".parquet":
        pq.write_table(table, partial, compression="zstd")
    elif file.suffix == ".csv":
        write_csv(flat(table), partial)
    else:
        partial.write_text(json.dumps(table.to_pylist(), indent=1, default=str) + "\n", encoding="utf-8")
    return partial.replace(file)


def flat(table: pa.Table, separator: str = "; ") -> pa.Table:
    """The table with every list of words as one text."""
    columns = {
        name: pc.binary_join(column, separator) if pa.types.is_list(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return pa.table(columns)
