"""Bands and readiness that `leadwell rescore` wrote, for segments that are judged after readiness."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from configs.errors import InputInvalid
from features.facts import Facts
from features.readiness import with_readiness
from models.bands import BANDS


@dataclass(frozen=True, slots=True)
class Told:
    """For each lead the code of its band, 0 where unknown, and its probability, NaN where it was not scored."""

    band: NDArray[np.uint8]
    probability: NDArray[np.float64]

    def facts(self, facts: Facts, start: int, stop: int) -> Facts:
        """Facts of the leads from `start` to `stop`, with readiness told."""
        return with_readiness(facts, self.band[start:stop], self.probability[start:stop])


def told_by(scores: Path, as_of: datetime, lead_ids: NDArray[np.object_]) -> Told:
    """What a result of `rescore` says of leads; raises InputInvalid where it is none, or one of another instant."""
    manifest = scores / "manifest.json"
    try:
        said = json.loads(manifest.read_bytes())
        at = datetime.fromisoformat(said["as_of"])
        merkle = said["merkle_root"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputInvalid(str(scores), "expected the result of `leadwell rescore --out`") from None
    if at != as_of or not merkle:
        raise InputInvalid(
            str(manifest),
            f"expected scores as of {as_of.isoformat()}, found {at.isoformat()}: rescore for this instant",
        )
    table = ds.dataset(scores / "decisions", format="parquet").to_table(columns=["lead_id", "band", "probability"])
    spot = pc.index_in(pa.array(lead_ids, pa.string()), table["lead_id"].combine_chunks())
    codes = pc.index_in(table["band"].combine_chunks().cast(pa.string()), pa.array(BANDS))
    band = pc.fill_null(codes.take(spot), 0).to_numpy(zero_copy_only=False).astype(np.uint8)
    probability = table["probability"].combine_chunks().take(spot)
    return Told(band, pc.fill_null(probability, np.nan).to_numpy(zero_copy_only=False).astype(np.float64))
