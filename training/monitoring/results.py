"""A folder that `leadwell rescore` wrote, opened to be compared: its manifest, its columns, its rows part by part."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.errors import InputInvalid
from features.ids import hashes_of

MANIFEST, DECISIONS, ASSIGNMENTS = "manifest.json", "decisions", "assignments"
# Without these a folder says nothing about leads.
NEEDED = ("lead_id", "band")


@dataclass(frozen=True, slots=True)
class Result:
    """One result: when it is of, what it rests on, which columns its rows have; rows are read part by part."""

    folder: Path
    as_of: datetime
    manifest: Mapping[str, Any] = field(repr=False)
    columns: Mapping[str, pa.DataType] = field(repr=False)
    parts: tuple[Path, ...] = field(repr=False)

    @property
    def leads(self) -> int:
        """How many leads it decided about."""
        return int(self.manifest.get("leads", 0))

    @property
    def replay(self) -> bool:
        """Whether it is about the past, and so grants no permit and offers nothing."""
        return bool(self.manifest.get("replay", False))

    @property
    def root(self) -> str:
        """The Merkle root over what was decided."""
        return str(self.manifest.get("merkle_root", ""))

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that its rows tell of, in their order."""
        return tuple(name.removesuffix("_permitted") for name in self.columns if name.endswith("_permitted"))

    def tables(self, wanted: Sequence[str]) -> Iterator[tuple[pa.Table, NDArray[np.uint64]]]:
        """The wanted columns that it has, part by part, and a number for each row's account.

        Leads of one account have the same number. Where a result lists no accounts, every lead stands for itself.
        """
        here = [name for name in dict.fromkeys(("lead_id", *wanted)) if name in self.columns]
        for part in self.parts:
            table = _read(part, here)
            yield table, hashes_of(self._units(part, table))

    @property
    def knows_accounts(self) -> bool:
        """Whether it lists whose account each lead is of."""
        return bool(self.parts) and all(_beside(part).is_file() for part in self.parts)

    def _units(self, part: Path, table: pa.Table) -> pa.ChunkedArray:
        beside = _beside(part)
        if beside.is_file():
            found = _read(beside, ["lead_id", "unit"])
            # Both files are written from the same rows in the same order; anything else is not what rescore wrote.
            if found["lead_id"].combine_chunks().equals(table["lead_id"].combine_chunks()):
                return found["unit"]
        return table["lead_id"]


def open_result(folder: Path) -> Result:
    """Open a result; raises InputInvalid where the folder is none, or not a whole one."""
    file = folder / MANIFEST
    if not file.is_file():
        raise InputInvalid(str(folder), "expected a folder that `leadwell rescore` wrote, with a manifest.json")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        as_of = datetime.fromisoformat(manifest["as_of"]).astimezone(UTC)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputInvalid(str(file), "expected the manifest of a result, with its as_of") from None
    parts = tuple(sorted((folder / DECISIONS).glob("part-*.parquet")))
    listed = [name for name in manifest.get("files", {}) if name.startswith(f"{DECISIONS}/")]
    if not parts or len(parts) != len(listed or parts):
        raise InputInvalid(str(folder), f"expected {len(listed) or 'some'} files of decisions, found {len(parts)}")
    for part in parts:
        told = manifest.get("files", {}).get(f"{DECISIONS}/{part.name}", {})
        if isinstance(told, dict) and told.get("bytes") not in (None, part.stat().st_size):
            raise InputInvalid(str(part), "expected the file that the manifest lists, which has another size")
    schema = _schema(parts[0])
    missing = [name for name in NEEDED if name not in schema]
    if missing:
        raise InputInvalid(str(parts[0]), f"expected the column {missing[0]}, as `leadwell rescore` writes it")
    return Result(folder, as_of, manifest, schema, parts)


def _schema(part: Path) -> dict[str, pa.DataType]:
    try:
        return {one.name: one.type for one in pq.read_schema(part)}
    except (pa.ArrowException, OSError) as error:
        raise InputInvalid(str(part), f"expected a Parquet file ({type(error).__name__})") from None


def _read(part: Path, columns: Sequence[str]) -> pa.Table:
    try:
        return pq.read_table(part, columns=list(columns))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputInvalid(str(part), f"expected a Parquet file of decisions ({type(error).__name__})") from None


def _beside(part: Path) -> Path:
    return part.parent.parent / ASSIGNMENTS / part.name
