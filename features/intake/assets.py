"""An inventory of assets from a table: one row an asset, lists as lists or separated by semicolons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.content import Asset
from configs.errors import InputInvalid
from features.intake.scan import SUFFIXES, connect, files_of, literal, readable

_READERS = {"parquet": "read_parquet", "csv": "read_csv", "json": "read_json"}
_LISTS = ("audiences", "markets", "channels", "stages", "segment_ids")
_APPROVAL = "approval_"


def read_assets(path: Path) -> tuple[Asset, ...]:
    """Every asset of a Parquet, CSV or JSON lines file; its approval stands in `approval_by`, `_on`, and so on.

    An inventory is used whole or not at all: InputInvalid names the first row and field that cannot be used.
    """
    files = files_of("assets", path)
    kind = SUFFIXES[files[0].suffix.lower()]
    # As text a CSV's yes/no and dates reach the one place that says what an asset is.
    options = ", all_varchar = true" if kind == "csv" else ""
    listed = ", ".join(literal(str(file.resolve())) for file in files)
    con = connect(files, memory_limit_mb=None, threads=1, spill=None)
    try:
        with readable(str(path)):
            rows = con.sql(f"SELECT * FROM {_READERS[kind]}([{listed}]{options})").to_arrow_table().to_pylist()
    finally:
        con.close()
    found: dict[str, Asset] = {}
    for number, row in enumerate(rows, start=1):
        asset = _asset(row, str(path), number)
        if asset.asset_id in found:
            raise InputInvalid(str(path), "expected each id once", row=number, field="asset_id")
        found[asset.asset_id] = asset
    return tuple(found.values())


def _asset(row: dict[str, Any], file: str, number: int) -> Asset:
    given = {name: value for name, value in row.items() if value not in (None, "")}
    approval = {n.removeprefix(_APPROVAL): given.pop(n) for n in list(given) if n.startswith(_APPROVAL)}
    for name in _LISTS:
        if isinstance(given.get(name), str):
            given[name] = [part.strip() for part in given[name].split(";") if part.strip()]
    try:
        return Asset.model_validate(given | ({"approval": approval} if approval else {}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputInvalid(file, first["msg"], row=number, field=field) from None
