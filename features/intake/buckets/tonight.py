"""What the rows of a bucket store mean tonight: who is known, which part a lead is in, which place a file has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.intake.buckets.segments import REFERENCES, Segment, moved
from features.intake.scan import FILE_BITS, Source
from features.intake.settle import UNKNOWN_LEAD, buckets_of, parts_of, unknown_column
from features.intake.sources import Reading
from features.layout import Layout

_MASK = (1 << FILE_BITS) - 1


@dataclass(frozen=True, slots=True)
class Tonight:
    """Ids by their row tonight, and the bucket of every lead's root account."""

    lead_ids: pa.Array
    account_ids: pa.Array
    asset_ids: pa.Array
    buckets: NDArray[np.int32]

    @classmethod
    def of(cls, reading: Reading) -> Tonight:
        """What an open set of files says, after its leads were partitioned."""
        assets = pa.array(reading.asset_ids, pa.string())
        return cls(reading.lead_ids, reading.account_ids, assets, reading.lead_bucket)

    def home_of(self, leads: pa.Array) -> NDArray[np.int32]:
        """The bucket of each lead's root account, of its own id where nobody knows it."""
        rows = _rows_in(leads, self.lead_ids)
        homes = np.append(self.buckets, np.int32(0))[rows]
        unknown = np.flatnonzero(rows < 0)
        homes[unknown] = buckets_of(leads.take(pa.array(unknown)))
        return homes


def _rows_in(ids: pa.Array, listed: pa.Array) -> NDArray[np.int32]:
    """The row of each id in a list, -1 where it is not there."""
    found: NDArray[np.int32] = pc.index_in(ids, listed).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return found


@dataclass(frozen=True, slots=True)
class Opened:
    """A segment with what its own references mean tonight: rows of leads and others, and the part of every lead."""

    segment: Segment
    lead: NDArray[np.int32]
    others: Mapping[str, NDArray[np.int32]]
    parts: NDArray[np.int32]
    homes: NDArray[np.int32]

    @classmethod
    def of(cls, segment: Segment, tonight: Tonight, count: int) -> Opened:
        """Look up a segment's ids, for a run in `count` parts."""
        lead = np.append(_rows_in(segment.ids["lead"], tonight.lead_ids), np.int32(-1))
        listed = {"account": tonight.account_ids, "asset": tonight.asset_ids}
        others = {name: _rows_in(segment.ids[name], listed[name]) for name in REFERENCES if name in segment.ids}
        # What is no lead's, or one's whom nobody knows, cannot be used and is in part 0.
        parts = np.append(parts_of(tonight.buckets, count), np.int32(0))[lead]
        return cls(segment, lead, others, parts, segment.homes_in(count))

    def rows(self, part: int, places: NDArray[np.int64]) -> pa.Table:
        """Encoded rows of a part; a file without a place tonight is gone, and so are its rows."""
        rows, own = self.segment.pick(self.parts, self.homes, part)
        columns: dict[str, Any] = {name: rows[name] for name in rows.column_names}
        lead = self.lead[own]
        at, bad = rows["_at"].to_numpy(), rows["_bad"].to_numpy()
        place = places[at >> FILE_BITS]
        columns["_at"] = (place << FILE_BITS) | (at & _MASK)
        columns["_bad"] = np.where((bad == 0) & (lead < 0), np.uint8(UNKNOWN_LEAD), bad)
        columns["lead"] = lead
        for name in self.others:
            columns[name] = moved(rows[name].to_numpy(), self.others[name])
        table = pa.table(columns)
        return table if (place >= 0).all() else table.filter(pa.array(place >= 0))


@dataclass(frozen=True, slots=True)
class Stored:
    """A table of the store: its source as a full run would have opened it, and its rows.

    `unmapped` counts values of a column that no vocabulary knows; `places` has the place of each file number, or -1.
    """

    source: Source
    unmapped: Mapping[str, int]
    opened: tuple[Opened, ...]
    places: NDArray[np.int64]

    def rows(self, part: int) -> pa.Table:
        """Encoded rows of a part: those that `Reading.rows` gives, in another order."""
        found = [opened.rows(part, self.places) for opened in self.opened]
        return pa.concat_tables(found) if found else pa.table(no_rows(self.source.layout))


def no_rows(layout: Layout) -> dict[str, NDArray[Any]]:
    """Encoded columns of length zero."""
    columns: dict[str, NDArray[Any]] = {"_at": np.empty(0, dtype=np.int64), "_bad": np.empty(0, dtype=np.uint8)}
    columns |= {column.name: np.empty(0, dtype=np.uint64) for column in layout.of_kind("identity")}
    return columns | {column.name: unknown_column(column, 0) for column in layout.encoded}
