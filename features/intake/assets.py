"""An inventory of assets from a table: one row an asset, lists as lists or separated by semicolons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.content import Asset
from configs.errors import InputInvalid
from features.intake.scan import rows_of

_LISTS = ("audiences", "markets", "channels", "stages", "segment_ids")
_APPROVAL = "approval_"


def read_assets(path: Path) -> tuple[Asset, ...]:
    """Every asset of a Parquet, CSV or JSON lines file; its approval stands in `approval_by`, `_on`, and so on.

    An inventory is used whole or not at all: InputInvalid names the first row and field that cannot be used.
    """
    found: dict[str, Asset] = {}
    for number, row in enumerate(rows_of("assets", path), start=1):
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
