"""What each result row says of points: where they come from, entry by entry, as the answer's log does."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serving.decide import Decisions


def points_logs(decisions: Decisions) -> dict[str, pa.Array]:
    """`fit_log` and `engagement_log`: for each lead the rules, caps and decay that gave or took points.

    INVARIANT: the entries of a row sum to its points, and a lead that may not be scored has none.
    """
    names, fit, engagement = decisions.points.entries()
    ids = pa.array(names, pa.string())
    return {"fit_log": _log(ids, fit, decisions), "engagement_log": _log(ids, engagement, decisions)}


def _log(ids: pa.Array, points: NDArray[np.int64], decisions: Decisions) -> pa.Array:
    given = (points != 0) & ~decisions.rulings.no_score[:, None]
    struct = pa.StructArray.from_arrays(
        [
            pa.DictionaryArray.from_arrays(np.nonzero(given)[1].astype(np.int16), ids),
            pa.array(points[given].astype(np.int16)),
        ],
        ["id", "points"],
    )
    offsets = np.concatenate(([0], np.cumsum(given.sum(axis=1))))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), struct)
