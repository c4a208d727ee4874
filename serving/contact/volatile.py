"""What may change between a score and a send, asked anew: stops, touches, the asset, the hour, pauses.

The facts of a permit are those of its moment. Facts of the same person are built again from what the store and the
clock say now, by the same fact builder, and the two are joined so that the stricter wins and unknown stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from features.encode import encode_records
from features.facts import FactBuilder, Facts, facts_of
from features.inventory import Inventory
from features.records import Account, Lead, Suppression, Touch
from features.standing import CHANNEL_STOPS, LEAD_STOPS
from features.tables import YES, microseconds
from features.view import view_at
from policy.audit.evidence import Evidence
from policy.book import Book
from serving.contact.permits import Permit
from serving.store.store import Standing

# An opt-out of a topic is known of the asset as it was: of one declared anew it says nothing any more.
TOPIC = "asset_topic_opt_out"
# Yes stops: a stop of the store or a repetition makes them yes whatever the permit says. What is declared for the day,
# such as pauses, cannot change under a permit: another declaration makes it void.
STOPS = frozenset({*CHANNEL_STOPS, *LEAD_STOPS, "open_case", "email_opt_out", "asset_repeated", TOPIC})
# What was sent or reserved since the permit is added to what the permit counts.
COUNTS = frozenset({"touches_7d", "touches_30d", "channel_touches_7d"})
# The hour is only ever what it is now.
HOURS = frozenset({"local_minute_from", "local_minute_to"})
# Told of the asset as it is declared today; so is everything else that only the asset decides.
_PERSON, _ACCOUNT, _PARENT = "person", "account", "parent"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Volatile:
    """Builds the facts of now for one permit and joins them with its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.builder = FactBuilder.of(settings)
        self.inventory = Inventory.of_settings(settings)
        self.asset_ids = tuple(asset.asset_id for asset in settings.assets)

    def join(
        self, book: Book, carried: Mapping[str, NDArray[Any]], permit: Permit, standing: Standing, now: datetime, *,
        same_asset: bool, but: str,
    ) -> Evidence:  # fmt: skip
        """The facts that the rules of the send gate look at, one value each.

        Args:
            book: the rules of the send gate.
            carried: the permit's facts.
            permit: what they belong to.
            standing: what the store says.
            now: the clock.
            same_asset: whether the asset is declared as it was; else how it fits the lead is unknown.
            but: id of the permit itself, whose own reservation is not counted.
        """
        today = self._today(permit, standing, now, but)
        known = permit.asset_id in today.assets
        asset = today.assets.index(permit.asset_id) if known else 0
        at = (0, asset, book.channels.index(permit.channel))
        columns = {}
        for name, per, _ in book.inputs:
            unknown = book.domain.unknown(name)
            was = int(carried[name].reshape(-1)[0]) if name in carried else unknown
            value = was
            if not known and per in ("asset", "lead_asset", "asset_channel"):
                value = unknown
            elif name in STOPS:
                before = unknown if name == TOPIC and not same_asset else was
                value = _stricter(before, _at(today, name, at, unknown))
            elif name in COUNTS:
                more = _at(today, name, at, unknown)
                value = unknown if unknown in (was, more) else was + more
            elif name in HOURS or per in ("asset", "asset_channel"):
                value = _at(today, name, at, unknown)
            elif per == "lead_asset" and not same_asset:
                value = unknown
            dtype = np.int32 if book.domain.is_number(name) else np.uint8
            columns[name] = np.array([[[value]]], dtype=dtype)
        return Evidence(1, (permit.asset_id,), columns)

    def _today(self, permit: Permit, standing: Standing, now: datetime, but: str) -> Facts:
        country, state, zone = (*permit.place, None, None, None)[:3]
        # A permit names a place only where it was fresh when the permit was given.
        given = moment(min(permit.as_of, microseconds(now)))
        lead = Lead(
            lead_id=_PERSON,
            account_id=_ACCOUNT,
            recorded_at=given,
            verified_at=given,
            country=country,
            region=state,
            time_zone=zone,
        )
        people, accounts = permit.subjects
        tables = encode_records(
            [lead],
            [Account(account_id=_ACCOUNT, parent_account_id=_PARENT), Account(account_id=_PARENT)],
            [],
            touches_since(standing, people, permit, now, but),
            [],
            suppressions_of(standing, people, accounts),
            [],
            [],
            [],
            vocabularies=self.settings.vocabularies,
            asset_ids=self.asset_ids,
            suppressions_complete_as_of=now,
        )
        return facts_of(view_at(tables, now, self.builder.view, threads=1), self.builder, self.inventory)


def suppressions_of(standing: Standing, people: Sequence[str], accounts: Sequence[str]) -> list[Suppression]:
    """Stops of a person and of their accounts. All are known now, whatever the clock of the host that took them."""
    rows = [(row, subject in people) for subject in (*people, *accounts) for row in standing.stops.of.get(subject, ())]
    # Only hashes of this person were asked for. Erased under another id, they are erased.
    erased = [
        Suppression(lead_id=_PERSON, since_at=moment(since), reason="erasure")
        for since, _ in standing.stops.erased.values()
    ]
    return erased + [
        Suppression(
            lead_id=_PERSON if own else None,
            account_id=None if own else _ACCOUNT,
            channel=row.channel,
            scope=row.scope,
            reason=row.reason,
            since_at=moment(row.since_at),
            until_at=_moment(row.ends(1 << 62)),
            topic=row.topic,
            product=row.product,
        )
        for row, own in rows
    ]


def touches_since(standing: Standing, people: Sequence[str], permit: Permit, now: datetime, but: str) -> list[Touch]:
    """Touches that the permit does not count: newer rows, and a reservation that had lapsed when it was made.

    INVARIANT: a touch that neither the permit nor this list counts does not exist.
    """
    found = []
    for subject in people:
        for row in standing.touches.get(subject, ()):
            lapsed = row.lapses_at is not None and row.lapses_at <= permit.as_of
            if row.permit_id == but or (row.id <= permit.seen and not lapsed):
                continue
            sent = min(moment(row.recorded_at if row.sent_at is None else row.sent_at), now)
            found.append(
                Touch(
                    touch_id=str(row.id),
                    lead_id=_PERSON,
                    sent_at=sent,
                    channel=row.channel,
                    intent=row.intent,
                    asset_id=row.asset_id,
                )
            )
    return found


def moment(micros: int) -> datetime:
    """The instant of whole microseconds since 1970 UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else moment(micros)


def _at(facts: Facts, name: str, place: tuple[int, int, int], unknown: int) -> int:
    column = facts.columns.get(name)
    if column is None:
        return unknown
    return int(column[tuple(at if size > 1 else 0 for at, size in zip(place, column.shape, strict=True))])


def _stricter(was: int, now: int) -> int:
    """Yes where either says so, else unknown where either does not know."""
    if YES in (was, now):
        return YES
    return min(was, now)
