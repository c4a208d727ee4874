"""Keep identity across refits: match what a new fit found with what was known before, by the leads they share.

Which number a fit gives a cluster is chance, so numbers are never compared. Groups before and after are matched one to
one so that the sum of their Jaccard overlaps is largest (Hungarian method: Kuhn 1955, as solved by
scipy.optimize.linear_sum_assignment); a pair that overlaps enough is the same group and keeps its id. What is left is
explained by shares: a group that came mostly out of one before is a split of it, and a group that went mostly into one
after was merged into it.
The events are those of cluster transition monitoring (MONIC: Spiliopoulou et al. 2006, survival, split, absorption).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Kind = Literal["same", "split", "merged", "new", "gone"]

SAME = 0.5
PART = 0.5
BLOCK = 100_000
ORDER: tuple[Kind, ...] = ("same", "split", "merged", "new", "gone")


@dataclass(frozen=True, slots=True)
class Descent:
    """What became of one group before (`before`), of one after (`after`), or of a pair of them.

    `kept` is the share of the group before that is in the group after, `drawn` the share of the group after that was in
    the group before, `shared` the leads in both, `jaccard` those leads against all leads of either. Where one side is
    missing (new, gone) they are 0.
    """

    kind: Kind
    before: str | None
    after: str | None
    shared: int
    kept: float
    drawn: float
    jaccard: float


@dataclass(frozen=True, slots=True)
class Lineage:
    """Every group before and after with what became of it: same, split, merged, new and gone, in this order."""

    rows: tuple[Descent, ...]

    @property
    def identity(self) -> dict[str, str]:
        """For each group after, in the order given, the id it bears: that of the group before where it is the same.

        INVARIANT: no two groups after bear one id, and none but the same group bears an id from before.
        """
        before = {row.before for row in self.rows if row.before is not None}
        same = {row.after: row.before for row in self.rows if row.kind == "same"}
        taken = set(before)
        found: dict[str, str] = {}
        for name in dict.fromkeys(row.after for row in self.rows if row.after is not None):
            own = same.get(name)
            if own is None:
                own, n = name, 2
                while own in taken:
                    own, n = f"{name}_{n}", n + 1
                taken.add(own)
            found[name] = own
        return found

    def of(self, kind: Kind) -> tuple[Descent, ...]:
        """The rows of one kind."""
        return tuple(row for row in self.rows if row.kind == kind)

    def kept_identity(self) -> float:
        """Share of the groups before that are the same afterwards; 1 where there were none."""
        before = {row.before for row in self.rows if row.before is not None}
        return len(self.of("same")) / len(before) if before else 1.0


def match(
    before: Mapping[str, Bools], after: Mapping[str, Bools], *, same: float = SAME, part: float = PART
) -> Lineage:
    """Say of every group before and after what became of it.

    Args:
        before: for each id known before (segments, or candidates of an earlier fit), which of the leads are in it.
        after: for each id found now, which of the same leads, in the same order, are in it. Groups of one side may
            overlap; ids of the two sides are independent: an equal name is no evidence.
        same: the Jaccard overlap from which a matched pair is the same group.
        part: the share of a group that must lie in another one for it to be a part of it.

    Returns:
        One row for each pair that is the same; for each group that was split from one before; for each group that was
        merged into one after; and for each group of which nothing of this can be said, new or gone. A group that keeps
        its id and lost a part to another one is in both rows. An empty group is new or gone.

    Raises:
        ValueError: masks are not over the same leads.

    INVARIANT: the answer depends on who is in the groups, not on their names or order (but for exact ties).
    INVARIANT: every id before and after is in at least one row, and in at most one row of kind same.
    """
    lengths = {len(mask) for mask in (*before.values(), *after.values())}
    if len(lengths) > 1:
        raise ValueError(f"lineage: expected masks over the same leads, found lengths {sorted(lengths)}")
    old, new = list(before), list(after)
    shared, of_old, of_new = _shared(before, after)
    union = of_old[:, None] + of_new[None, :] - shared
    overlap = shared / np.maximum(union, 1.0)
    kept = shared / np.maximum(of_old[:, None], 1.0)
    drawn = shared / np.maximum(of_new[None, :], 1.0)

    def row(kind: Kind, i: int, j: int) -> Descent:
        values = (float(table[i, j]) for table in (kept, drawn, overlap))
        return Descent(kind, old[i], new[j], int(shared[i, j]), *values)

    pairs = [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(-overlap), strict=True)]
    matched = [(i, j) for i, j in pairs if overlap[i, j] >= same and shared[i, j] > 0]
    rows = [row("same", i, j) for i, j in matched]
    old_done, new_done = {i for i, _ in matched}, {j for _, j in matched}
    for j in range(len(new)):
        origin = _holder(drawn[:, j], part) if j not in new_done else None
        if origin is not None:
            rows.append(row("split", origin, j))
            old_done.add(origin)
    for i in range(len(old)):
        whole = _holder(kept[i], part) if i not in old_done else None
        if whole is not None:
            rows.append(row("merged", i, whole))
    told_old = {one.before for one in rows}
    told_new = {one.after for one in rows}
    rows += [Descent("new", None, name, 0, 0.0, 0.0, 0.0) for name in new if name not in told_new]
    rows += [Descent("gone", name, None, 0, 0.0, 0.0, 0.0) for name in old if name not in told_old]
    positions = {name: index for index, name in enumerate(old)}, {name: index for index, name in enumerate(new)}
    return Lineage(
        tuple(
            sorted(
                rows,
                key=lambda one: (
                    ORDER.index(one.kind),
                    positions[0].get(one.before or "", -1),
                    positions[1].get(one.after or "", -1),
                ),
            )
        )
    )


def _shared(before: Mapping[str, Bools], after: Mapping[str, Bools]) -> tuple[Floats, Floats, Floats]:
    """Leads in both of every pair, and the sizes of both sides."""
    n = next((len(mask) for mask in (*before.values(), *after.values())), 0)
    shared = np.zeros((len(before), len(after)))
    for start in range(0, n, BLOCK):  # counted in blocks: a million leads in forty groups stay in little memory
        one, two = (
            np.array([mask[start : start + BLOCK] for mask in side.values()], dtype=np.float32)
            for side in (before, after)
        )
        if len(one) and len(two):
            shared += one @ two.T
    sizes = (np.array([np.count_nonzero(mask) for mask in side.values()], dtype=np.float64) for side in (before, after))
    of_old, of_new = sizes
    return shared, of_old, of_new


def _holder(shares: Floats, part: float) -> int | None:
    """The one that holds the largest share, where that is enough to call the other a part of it."""
    if not len(shares) or shares.max() < part or shares.max() <= 0.0:
        return None
    return int(np.argmax(shares))
