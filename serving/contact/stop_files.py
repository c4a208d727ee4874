"""Stops in a file of the CRM: CSV or JSONL with the columns of `POST /v1/suppressions`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from configs.errors import InputInvalid
from serving.contact.api import SuppressionRow


def read_stops(file: Path) -> tuple[list[SuppressionRow], list[tuple[int, str]]]:
    """The rows that can be read, and for every other its place from 1 and what was expected.

    Raises InputInvalid where the file is no text of either kind.
    """
    found: list[SuppressionRow] = []
    wrong: list[tuple[int, str]] = []
    try:
        for place, row in enumerate(_rows(file), start=1):
            try:
                one = msgspec.convert({k: v for k, v in row.items() if v not in (None, "")}, SuppressionRow)
                if (one.lead_id is None) == (one.account_id is None):
                    wrong.append((place, "expected lead_id or account_id, and not both"))
                elif one.until_at is not None and one.until_at <= one.since_at:
                    wrong.append((place, "expected until_at after since_at"))
                else:
                    found.append(one)
            except (msgspec.ValidationError, AttributeError) as error:
                wrong.append(
                    (place, str(error).replace("`", "") if isinstance(error, msgspec.MsgspecError) else "a row")
                )
    except (UnicodeDecodeError, ValueError, csv.Error):
        raise InputInvalid(str(file), "expected CSV or JSONL in UTF-8") from None
    return found, wrong


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    if file.suffix == ".csv":
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text)
            # Without its header the first stop would be taken for one.
            missing = [name for name in ("suppression_id", "since_at") if name not in (rows.fieldnames or ())]
            if missing:
                raise InputInvalid(str(file), f"expected a first line with the columns; {', '.join(missing)} missing")
            yield from rows
    elif file.suffix == ".jsonl":
        with file.open(encoding="utf-8") as text:
            yield from (json.loads(line) for line in text if line.strip())
    else:
        raise InputInvalid(str(file), "expected a file that ends in .csv or .jsonl")
