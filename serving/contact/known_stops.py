"""What the store knows of the leads of a request, put beside what the request says: the stricter of both holds.

A row of the store only ever adds: what a request leaves unknown stays unknown, and no stop is taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from features.records import Suppression, Touch
from features.tables import microseconds
from serving.api import Holder, LeadRequest, linked_account_ids, linked_ids
from serving.contact.volatile import moment
from serving.store.familiar import Familiar
from serving.store.stops import StopRow, Stops
from serving.store.store import Standing, Store
from serving.store.subjects import Subjects

ERASURE = "erasure"
_HASHES = (("lead", "lead_id"), ("email", "email_hash"), ("phone", "phone_hash"))


def with_store(
    store: Store, items: Sequence[LeadRequest], as_of: datetime, *, replay: bool
) -> tuple[tuple[LeadRequest, ...], tuple[Holder, ...]]:
    """The leads of a request with the stops and touches of the store, and whom permits would be for.

    In a replay only what the store had recorded by then. Raises StoreUnavailable.
    """
    asked = [_Asked(item, store.subjects) for item in items]
    cut = microseconds(as_of)
    return _all_joined(asked, store.standing(*_names(asked), cut), cut, replay=replay)


def without_rows(
    familiar: Familiar, subjects: Subjects, items: Sequence[LeadRequest], as_of: datetime
) -> tuple[tuple[LeadRequest, ...], tuple[Holder, ...]] | None:
    """The same, at once, where the store surely has no row about any of them; None where it must be asked."""
    asked = [_Asked(item, subjects) for item in items]
    people, hashes = _names(asked)
    if not familiar.none_of([*people, *hashes]):
        return None
    return _all_joined(asked, Standing(Stops(), {}), microseconds(as_of), replay=False)


def _names(asked: Sequence[_Asked]) -> tuple[list[str], list[str]]:
    """Subjects and hashes to look up."""
    subjects = [subject for one in asked for subject in (*one.people, *one.accounts)]
    return subjects, [digest for one in asked for digest in one.hashes]


def _all_joined(
    asked: Sequence[_Asked], standing: Standing, cut: int, *, replay: bool
) -> tuple[tuple[LeadRequest, ...], tuple[Holder, ...]]:
    done = [one.joined(standing, cut, replay=replay) for one in asked]
    return tuple(item for item, _ in done), tuple(holder for _, holder in done)


class _Asked:
    """One lead of a request, and the names under which the store knows the person and where they work."""

    def __init__(self, item: LeadRequest, subjects: Subjects) -> None:
        self.item = item
        own, parent = item.lead.lead_id, item.account.parent_account_id if item.account is not None else None
        leads, accounts = [own], [item.lead.account_id, parent]
        records = [item.lead, *(item.linked_leads or ())]
        if item.links:
            leads += sorted(linked_ids(item) - {own})
            accounts += linked_account_ids(item)
        self.people = {subjects.lead(lead_id): lead_id for lead_id in leads}
        self.accounts = {subjects.account(one): one for one in dict.fromkeys(accounts) if one is not None}
        told = ((of, getattr(record, name)) for record in records for of, name in _HASHES)
        self.hashes = {subjects.erased(of, value): None for of, value in told if value is not None}

    def joined(self, standing: Standing, cut: int, *, replay: bool) -> tuple[LeadRequest, Holder]:
        """The lead with what the store knows, and whom a permit would be for."""
        item = self.item
        found: dict[str, Any] = {}
        stops = self._stops(standing, cut, replay=replay)
        if stops:
            found["suppressions"] = [*(item.suppressions or ()), *stops]
            if item.suppressions is None:
                # Rows of the store do not make the CRM's feed complete.
                found["suppressions_complete_as_of"] = None
        rows = [
            row
            for subject in self.people
            for row in standing.touches.get(subject, ())
            if not replay or row.recorded_at <= cut
        ]
        if rows and item.touches is not None:
            # What the CRM reported to the store and tells again is one touch.
            told = {touch.touch_id for touch in item.touches}
            found["touches"] = [
                *item.touches,
                *(
                    Touch(
                        touch_id=row.touch_id or f"permit:{row.permit_id}",
                        lead_id=self.people[row.subject],
                        sent_at=moment(min(row.recorded_at if row.sent_at is None else row.sent_at, cut)),
                        channel=row.channel,
                        intent=row.intent,
                        asset_id=row.asset_id,
                    )
                    for row in rows
                    if row.touch_id not in told
                ),
            ]
        newest = max((row.id for row in rows), default=0)
        holder = Holder(tuple(self.people), tuple(self.accounts), newest, tuple(self.hashes))
        return (msgspec.structs.replace(item, **found) if found else item), holder

    def _stops(self, standing: Standing, cut: int, *, replay: bool) -> list[Suppression]:
        found = [
            suppression(row, cut, lead_id=lead_id)
            for subject, lead_id in self.people.items()
            for row in recorded(standing.stops.of.get(subject, ()), cut, replay=replay)
        ]
        found += [
            suppression(row, cut, account_id=account_id)
            for subject, account_id in self.accounts.items()
            for row in recorded(standing.stops.of.get(subject, ()), cut, replay=replay)
        ]
        for digest in self.hashes:
            erased_at, recorded_at = standing.stops.erased.get(digest, (0, None))
            if recorded_at is not None and (not replay or recorded_at <= cut):
                since = moment(min(erased_at, cut))
                found.append(Suppression(lead_id=self.item.lead.lead_id, since_at=since, reason=ERASURE))
        return found


def recorded(rows: Iterable[StopRow], cut: int, *, replay: bool) -> list[StopRow]:
    """The stops to count: all of them now, in a replay those that the store had by then.

    The clock of the host that took a stop may be ahead of this one's, so now asks for no instant.
    """
    return [row for row in rows if not replay or row.recorded_at <= cut]


def suppression(row: StopRow, cut: int, *, lead_id: str | None = None, account_id: str | None = None) -> Suppression:
    """A stop of the store as a row of a request, known at the cut."""
    ends = row.ends(cut)
    return Suppression(
        lead_id=lead_id,
        account_id=account_id,
        channel=row.channel,
        scope=row.scope,
        reason=row.reason,
        since_at=moment(row.since_at),
        until_at=None if ends is None else moment(ends),
        topic=row.topic,
        product=row.product,
    )
