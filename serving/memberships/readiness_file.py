"""Bands and readiness that `leadwell rescore` wrote, for segments that are judged after readiness."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.errors import InputInvalid
from features.facts import Facts
from features.readiness import with_readiness
from models.bands import BANDS
from serving.files import sha256_of

SCHEMA = pa.schema([("lead_id", pa.string()), ("band", pa.string()), ("probability", pa.float64())])


@dataclass(frozen=True, slots=True)
class Told:
    """For each lead the code of its band, 0 where unknown, and its probability, NaN where it was not scored."""

    band: NDArray[np.uint8]
    probability: NDArray[np.float64]

    def facts(self, facts: Facts, start: int, stop: int) -> Facts:
        """Facts of the leads from `start` to `stop`, with readiness told."""
        return with_readiness(facts, self.band[start:stop], self.probability[start:stop])


def told_by(scores: Path, as_of: datetime, lead_ids: NDArray[np.object_]) -> Told:
    """What a result of `rescore` says of leads.

    Raises InputInvalid where it is none, is damaged, or is one of another instant or of other leads.
    """
    manifest = scores / "manifest.json"
    try:
        said = json.loads(manifest.read_bytes())
        at = datetime.fromisoformat(said["as_of"])
        merkle, hashes = said["merkle_root"], {name: file["sha256"] for name, file in said["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputInvalid(str(scores), "expected the result of `leadwell rescore --out`") from None
    if at != as_of or not merkle:
        raise InputInvalid(
            str(manifest),
            f"expected scores as of {as_of.isoformat()}, found {at.isoformat()}: rescore for this instant",
        )
    parts = sorted(name for name in hashes if name.startswith("decisions/"))
    for name in parts:
        if not (scores / name).is_file() or sha256_of(scores / name) != hashes[name]:
            raise InputInvalid(str(scores / name), "expected the file that the manifest names; its hash differs")
    table = pa.concat_tables([SCHEMA.empty_table(), *(_part(scores / name) for name in parts)])
    spot = pc.index_in(pa.array(lead_ids, pa.string()), table["lead_id"].combine_chunks())
    if table.num_rows and len(lead_ids) and spot.null_count == len(lead_ids):
        raise InputInvalid(str(scores), "expected scores of these leads; it has none of them")
    codes = pc.index_in(table["band"].combine_chunks(), pa.array(BANDS))
    band = pc.fill_null(codes.take(spot), 0).to_numpy(zero_copy_only=False).astype(np.uint8)
    probability = table["probability"].combine_chunks().take(spot)
    return Told(band, pc.fill_null(probability, np.nan).to_numpy(zero_copy_only=False).astype(np.float64))


def _part(file: Path) -> pa.Table:
    return pq.read_table(file, columns=SCHEMA.names).cast(SCHEMA)
