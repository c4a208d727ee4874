"""Which rows train and which judge: by time and by root account at once, for the served target and for others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.intake.settle import root_of
from features.links import LinkRules, components, same_pairs
from features.tables import Tables, known_at, microseconds
from training.dataset.targets import TargetRules

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TargetRows:
    """A further target on the rows of a dataset: labels, days of each row's horizon, and its own split.

    `counts` says why rows have no label; `usable` rows have one.
    """

    rules: TargetRules
    y: Floats
    days: NDArray[np.int64]
    usable: Bools
    train: Bools
    judge: Bools
    time_only: Bools
    counts: Mapping[str, int]


def root_accounts(
    tables: Tables, as_of: datetime, rules: LinkRules | None = None
) -> tuple[NDArray[np.int64], list[str]]:
    """For each lead the number of its root account, and each number's id; a lead without account is its own root.

    INVARIANT: leads that are one person as of `as_of` by these rules share a root, and so do all leads of the accounts
    that they bring together: no person is on both sides of a split.
    """
    known = known_at(tables, as_of)
    parent = known.accounts.get("parent", np.full(len(known.account_ids), -1)).astype(np.int64)
    top = root_of(parent)
    account = known.leads["account"].astype(np.int64)
    has = account >= 0
    root = np.arange(len(known.lead_ids), dtype=np.int64) + len(known.account_ids)
    root[has] = top[account[has]]
    if rules is not None and tables.links:
        low, high, _ = same_pairs(tables.links, microseconds(as_of), rules)
        root = components(root[low], root[high], len(root) + len(known.account_ids))[root]
    ids = [f"account {a}" for a in known.account_ids.tolist()] + [f"lead {i}" for i in known.lead_ids.tolist()]
    return root, ids


def folds(root_ids: list[str], count: int, holdout_share: float) -> tuple[NDArray[np.int64], Bools]:
    """Fold and hold-out of each root by the hash of its id: the same in every run and on every machine."""
    digests = (hashlib.blake2b(root_id.encode(), digest_size=8).digest() for root_id in root_ids)
    # INVARIANT: a root's fold never depends on its neighbors. Without the dtype, hashes on both sides of 2**63 meet as
    # floats and lose the low bits that pick the fold.
    drawn = np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)
    fold = (drawn % np.uint64(count)).astype(np.int64)
    held_out = (drawn >> np.uint64(32)) % np.uint64(10_000) < np.uint64(round(holdout_share * 10_000))
    return fold, held_out


def split_rows(
    order: Floats, days: Sequence[datetime], horizon: NDArray[np.int64], usable_rows: Bools, out: Bools, last: int
) -> tuple[dict[str, Bools], dict[str, int]]:
    """Rows that train and that judge, `last` being the snapshot that judges, and the counts of those that do neither.

    Rows after the snapshot that judges do neither: where horizons differ, only the shorter ones have any.
    """
    # A row whose label reaches into the time that judges would tell the model what comes.
    reach = np.array([(days[last] - day).days for day in days])[order.astype(np.int64)]
    clear = horizon <= reach
    latest, earlier = usable_rows & (order == last), usable_rows & (order < last)
    split = {"train": earlier & ~out & clear, "judge": latest & out, "time_only": latest & ~out}
    left = {
        "held-out accounts before the latest snapshot": int((earlier & out).sum()),
        "label overlaps the time that judges": int((earlier & ~out & ~clear).sum()),
    }
    return split, left


def target_rows(
    rules: TargetRules, rows: Mapping[str, NDArray[Any]], place: int, days: Sequence[datetime], out: Bools
) -> TargetRows:
    """A further target's labels and split: its latest snapshot that is old enough for every row judges."""
    y, horizon, young, unrecorded, already = (
        rows[f"target {place} {name}"] for name in ("y", "days", "young", "unrecorded", "already")
    )
    order = rows["order"]
    usable_rows = ~(young | unrecorded | already)
    complete = [k for k in range(len(days)) if (order == k).any() and not young[order == k].any()]
    last = max(complete, default=0)
    split, left = split_rows(order, days, horizon, usable_rows, out, last)
    counts = {
        "rows": int(usable_rows.sum()),
        "too young for the horizon": int(young.sum()),
        "outcomes not recorded yet at the snapshot": int(unrecorded.sum()),
        "reached it already": int(already.sum()),
        **left,
        "later than what judges": int((usable_rows & (order > last)).sum()),
        **{part: int(chosen.sum()) for part, chosen in split.items()},
    }
    return TargetRows(rules, y, horizon, usable_rows, **split, counts=counts)
