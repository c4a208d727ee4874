"""An inventory of assets from a table: one row an asset, lists as lists or separated by semicolons.

What has parts of its own, the claims and the checklist, may be JSON text; approval and footer are columns of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.content import Asset
from configs.errors import InputInvalid
from features.intake.scan import rows_of

_LISTS = ("audiences", "markets", "channels", "stages", "segment_ids", "tracks", "supporting_documents")
_PARTS = ("claims", "checklist")
_PREFIXED = ("approval", "footer")


def read_assets(path: Path) -> tuple[Asset, ...]:
    """Every asset of a Parquet, CSV or JSON lines file.

    Its approval stands in `approval_by`, `approval_on` and so on, its footer in `footer_unsubscribe_link` and so on.
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
    for part in _PREFIXED:
        own = {n.removeprefix(f"{part}_"): given.pop(n) for n in list(given) if n.startswith(f"{part}_")}
        if own:
            given[part] = own
    for name in _LISTS:
        if isinstance(given.get(name), str):
            given[name] = [part.strip() for part in given[name].split(";") if part.strip()]
    for name in _PARTS:
        if isinstance(given.get(name), str):
            try:
                given[name] = json.loads(given[name])
            except (ValueError, RecursionError):
                raise InputInvalid(file, "expected JSON", row=number, field=name) from None
    try:
        return Asset.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputInvalid(file, first["msg"], row=number, field=field) from None
