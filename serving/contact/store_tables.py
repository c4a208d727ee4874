"""What the store knows of the leads of a batch, put beside its tables: the same rows as `known_stops.py` online."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from configs.settings import Settings
from configs.vocabulary import Vocabularies
from features.columns import unknown_like
from features.encode import encode_records
from features.intake.hashes import hashes_of
from features.intake.sources import Intake
from features.records import Account, Lead, Suppression, Touch
from features.tables import UNKNOWN_INSTANT, Columns, Tables, microseconds
from serving.contact.known_stops import ERASURE, recorded, suppression
from serving.contact.volatile import moment
from serving.store.store import Standing, Store
from serving.store.subjects import Subjects


def with_stops(
    parts: Iterable[Intake],
    store: Store | None,
    settings: Settings,
    as_of: datetime,
    *,
    replay: bool,
    leads: Path | None = None,
) -> Iterator[Intake]:
    """What was read, with the stops and touches of a store, where there is one; raises StoreUnavailable.

    `leads` is the file that holds the hashes of addresses and numbers, by which an erased person is known under any id.
    """
    beside = None if store is None else Beside.of(store, as_of, replay=replay, leads=leads)
    for part in parts:
        yield part if beside is None else replace(part, tables=beside.added(part.tables, settings.vocabularies))


@dataclass(frozen=True, slots=True)
class Beside:
    """Everything in a store as of an instant, read once for a whole batch."""

    standing: Standing
    subjects: Subjects
    as_of: datetime
    replay: bool
    by_hash: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, as_of: datetime, *, replay: bool, leads: Path | None = None) -> Beside:
        """Read the store, and in the leads file who has an erased address or number; raises StoreUnavailable."""
        standing, subjects = store.everybody(microseconds(as_of)), store.subjects
        found: dict[str, tuple[tuple[int, int], ...]] = {}
        if leads is not None and standing.stops.erased:
            for lead_id, of, value in hashes_of(leads):
                erased = standing.stops.erased.get(subjects.erased(of, value))
                if erased is not None:
                    found[lead_id] = (*found.get(lead_id, ()), erased)
        return cls(standing, subjects, as_of, replay, found)

    def added(self, tables: Tables, vocabularies: Vocabularies) -> Tables:
        """The tables with the stops and touches of the store.

        INVARIANT: a row only adds; a table that was not supplied stays unknown but for the stops that are on record.
        """
        cut, known = microseconds(self.as_of), self.standing
        leads, accounts = tables.lead_ids.tolist(), tables.account_ids.tolist()
        stops: list[Suppression] = []
        touches: list[Touch] = []
        for lead_id in leads:
            subject = self.subjects.lead(lead_id)
            rows = recorded(known.stops.of.get(subject, ()), cut, replay=self.replay)
            stops += [suppression(row, cut, lead_id=lead_id) for row in rows]
            digest = self.subjects.erased("lead", lead_id)
            own = known.stops.erased.get(digest)
            for since, at in (*(() if own is None else (own,)), *self.by_hash.get(lead_id, ())):
                if not self.replay or at <= cut:
                    stops.append(Suppression(lead_id=lead_id, since_at=moment(min(since, cut)), reason=ERASURE))
            touches += [
                Touch(
                    touch_id=str(row.id),
                    lead_id=lead_id,
                    sent_at=moment(min(row.recorded_at if row.sent_at is None else row.sent_at, cut)),
                    channel=row.channel,
                    intent=row.intent,
                    asset_id=row.asset_id,
                )
                for row in known.touches.get(subject, ())
                if not self.replay or row.recorded_at <= cut
            ]
        for account_id in accounts:
            rows = recorded(known.stops.of.get(self.subjects.account(account_id), ()), cut, replay=self.replay)
            stops += [suppression(row, cut, account_id=account_id) for row in rows]
        if not stops and not touches:
            return tables
        encoded = encode_records(
            [Lead(lead_id=lead_id) for lead_id in leads],
            [Account(account_id=account_id) for account_id in accounts],
            None,
            touches,
            None,
            stops,
            vocabularies=vocabularies,
            asset_ids=tables.asset_ids.tolist(),
        )
        found: dict[str, Any] = {}
        if stops:
            found["suppressions"] = _joined(tables.suppressions, encoded.suppressions)
            if not tables.suppressions:
                found["suppressions_complete_as_of"] = UNKNOWN_INSTANT
        if touches and tables.touches:
            found["touches"] = _joined(tables.touches, _not_told(tables.touches, encoded.touches))
        return replace(tables, **found)


def _joined(first: Columns, second: Columns) -> Columns:
    """Rows of two tables one after the other; a column that only one of them has is unknown in the other."""
    if not first:
        return second
    sizes = [len(next(iter(rows.values()))) for rows in (first, second)]
    found = {}
    for name in dict.fromkeys((*first, *second)):
        kind = (first[name] if name in first else second[name]).dtype
        parts = [
            rows[name] if name in rows else np.full(size, unknown_like(kind), dtype=kind)
            for rows, size in zip((first, second), sizes, strict=True)
        ]
        found[name] = np.concatenate(parts).astype(kind, copy=False)
    return found


def _not_told(told: Columns, ours: Columns) -> Columns:
    """Touches of the store that the table does not have: files keep no ids, so lead, instant and channel tell."""
    keys = ("lead", "sent_at", "channel")
    known = Counter(zip(*(told[name].tolist() for name in keys), strict=True))
    kept: list[bool] = []
    for key in zip(*(ours[name].tolist() for name in keys), strict=True):
        kept.append(known[key] <= 0)
        known[key] -= 1
    mask: Sequence[bool] = kept
    return {name: column[np.array(mask, dtype=np.bool_)] for name, column in ours.items()}
