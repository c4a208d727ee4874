"""Snapshots from before those that are learned from: they tell how alike the outcomes of one lead are.

How far a lead's own probability lies from the calibrated one is estimated from pairs of outcomes of one lead
(`models/intervals.py`), and four snapshots have only three pairs of windows that do not touch. Two more have ten.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.tables import Tables
from features.view import ViewRules
from models.intervals import Earlier
from models.segments.map import SegmentMap
from training.dataset.dataset import Dataset, EarlierRows, folds, lawful_now, root_accounts, snapshot_days
from training.dataset.rows import Rows
from training.dataset.snapshots import Snapshots
from training.dataset.targets import TargetRules

MOST_EARLIER = 4
# From here on the pairs of the snapshots that are learned from are enough, and training would wait for more.
ENOUGH_ROWS = 300_000


def with_earlier(
    dataset: Dataset, tables: Tables, settings: Settings, segment_map: SegmentMap, as_of: datetime
) -> Dataset:
    """The same rows with up to MOST_EARLIER earlier snapshots beside them, as far back as outcomes were recorded.

    None where rows are many already, or where they stand for more than themselves. INVARIANT: an earlier row knows
    what its snapshot knew, as the others do.
    """
    if len(dataset.y) >= ENOUGH_ROWS or dataset.weights is not None:
        return dataset
    view = ViewRules.of(settings)
    rows = Rows(settings, dataset.spec, segment_map, as_of.date())
    served = [TargetRules.of(settings.targets.served, settings, segment_map)]
    built = Snapshots.of(tables, lawful_now(tables, as_of, view), settings, rows, as_of, served)
    first, every = snapshot_days(settings, as_of)[0], timedelta(days=settings.training.snapshot_every_days)
    parts = []
    for back in range(1, MOST_EARLIER + 1):
        columns = built.at(-back, first - back * every).columns
        if columns is None:
            break
        parts.append(columns)
    if not parts:
        return dataset
    joined = {name: np.concatenate([part[name] for part in parts]) for name in ("X", "y", "segment", "order", "lead")}
    root, root_ids = root_accounts(tables, as_of, rows.builder.view.links)
    fold, _ = folds(root_ids, settings.training.folds, settings.training.holdout_share)
    of_row = root[joined["lead"]]
    return replace(dataset, earlier=EarlierRows(Earlier(fold=fold[of_row], **joined), of_row))


def earlier_among(dataset: Dataset, rows: NDArray[np.bool_]) -> Earlier | None:
    """The earlier rows of accounts that have some of the rows, so that who is left out is left out of all."""
    if dataset.earlier is None:
        return None
    kept = np.isin(dataset.earlier.root, np.unique(dataset.root[rows]))
    whole = dataset.earlier.rows
    return Earlier(
        whole.X[kept], whole.y[kept], whole.segment[kept], whole.fold[kept], whole.order[kept], whole.lead[kept]
    )
