"""The send gate: whether a permit may be used now, decided on what the store and the clock say now.

Everything about one person is asked and written in one transaction, so that a stop that was acknowledged before is
seen, and two checks at once never both take the last touch that a cap allows.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from configs.settings import Settings
from features.tables import SKEW_US, microseconds
from policy.audit.archive import Archive
from policy.audit.evidence import Evidence, pack_point, unpack_point
from policy.book import Book
from policy.rulings import Rulings, rule
from serving.contact.permits import BookOfDay, Permit, asset_mark, permit_id, unseal
from serving.contact.volatile import Volatile
from serving.render import instant, instant_of
from serving.store.store import Asking, Store
from serving.store.touches import Use

_HOUR_US = 3_600_000_000
_SAYS = {
    "PERMIT_UNREADABLE": "This is no permit that this service gave, or it was changed.",
    "PERMIT_OF_ANOTHER_LEAD": "The permit is of another lead.",
    "PERMIT_OF_ANOTHER_CHANNEL": "The permit is for another channel.",
    "PERMIT_OF_ANOTHER_ASSET": "The permit is for another asset.",
    "PERMIT_OF_ANOTHER_BOOK": "The rules changed since the permit was given, or another day's rules hold.",
    "PERMIT_EXPIRED": "The permit has run out.",
    "PERMIT_FROM_THE_FUTURE": "The permit was given later than it is now by this service's clock.",
    "PERMIT_USED": "The permit was used already.",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a CRM asks just before it sends."""

    permit: str
    lead_id: str
    channel: str
    asset_id: str
    request_id: str | None = None


class SendGate:
    """Answers whether permits may be used, one at a time or several at once."""

    def __init__(self, settings: Settings, store: Store, archive: Archive | None = None) -> None:
        self.settings, self.store, self.archive = settings, store, archive
        self.volatile = Volatile(settings)
        self.assets = {asset.asset_id: asset for asset in settings.assets}
        self.books = BookOfDay(settings)

    def check(self, asked: Asked, now: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
        """The answer and its audit record; a yes has counted its touch. Raises StoreUnavailable, and then counts none.

        INVARIANT: no yes without a transaction that read every stop acknowledged before it began.
        """
        book, now_us = self.books.at(now), microseconds(now)
        if self.archive is not None:
            self.archive.keep(book, self.settings)
        permit = unseal(asked.permit, self.store.subjects.permit_key)
        name, audit_id = permit_id(asked.permit), os.urandom(16).hex()
        said: dict[str, Any] = {
            "permitted": False,
            "permit_id": name,
            "channel": asked.channel,
            "asset_id": asked.asset_id,
            "at": instant(now),
            "policy": book.hash,
            "audit_id": audit_id,
        }
        against = self._against(permit, asked, book, now_us)
        if permit is None or against:
            return self._refused(said, asked, against)
        people, _ = permit.subjects
        with self.store.asking(people) as asking:
            used = asking.used(name)
            again = used is not None and not used.sent and asked.request_id is not None
            if used is not None and not (again and used.request_id == asked.request_id and now_us < used.lapses_at):
                return self._refused(said, asked, ["PERMIT_USED"])
            facts = self._facts(asking, permit, book, now, name)
            ruled = rule(book, facts)
            channel = book.channels.index(permit.channel)
            said |= _ruling(ruled, channel)
            if said["permitted"]:
                lapses = now_us + self.settings.serving.reservation_hours * _HOUR_US
                if used is None:
                    asking.reserve(self._use(permit, asked, name, facts, now_us, lapses))
                until = lapses if used is None else used.lapses_at
                said |= {"valid_until": instant_of(permit.expires_at), "reserved_until": instant_of(until)}
        return said, self._record(said, people[0], _packed(book, facts, channel))

    def _against(self, permit: Permit | None, asked: Asked, book: Book, now_us: int) -> list[str]:
        """What is wrong with the permit itself."""
        if permit is None:
            return ["PERMIT_UNREADABLE"]
        wrong = (
            ("PERMIT_OF_ANOTHER_LEAD", permit.people[0].hex() != self.store.subjects.lead(asked.lead_id)),
            ("PERMIT_OF_ANOTHER_CHANNEL", permit.channel != asked.channel),
            ("PERMIT_OF_ANOTHER_ASSET", permit.asset_id != asked.asset_id),
            ("PERMIT_OF_ANOTHER_BOOK", permit.book != self.books.mark(book)),
            ("PERMIT_EXPIRED", permit.expires_at <= now_us),
            # A clock that went back would make an old permit young again.
            ("PERMIT_FROM_THE_FUTURE", permit.as_of > now_us + SKEW_US),
        )
        return [reason for reason, holds in wrong if holds]

    def _facts(self, asking: Asking, permit: Permit, book: Book, now: datetime, name: str) -> Evidence:
        people, accounts = permit.subjects
        hashes = [digest.hex() for digest in permit.hashes]
        standing = asking.standing([*people, *accounts], hashes, microseconds(now))
        same = asset_mark(self.assets.get(permit.asset_id)) == permit.asset
        carried = unpack_point(book, permit.facts, permit.asset_id).columns
        return self.volatile.join(book, carried, permit, standing, now, same_asset=same, but=name)

    def _use(self, permit: Permit, asked: Asked, name: str, facts: Evidence, now_us: int, lapses: int) -> Use:
        intent = int(facts.columns["asset_intent"].reshape(-1)[0]) if "asset_intent" in facts.columns else 0
        words = self.settings.vocabularies["intent"].values
        return Use(
            permit_id=name,
            request_id=asked.request_id,
            subject=permit.people[0].hex(),
            channel=permit.channel,
            asset_id=permit.asset_id,
            intent=words[intent - 1] if 0 < intent <= len(words) else None,
            book=permit.book.hex(),
            used_at=now_us,
            expires_at=permit.expires_at,
            lapses_at=lapses,
        )

    def _refused(
        self, said: dict[str, Any], asked: Asked, reasons: Sequence[str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        blocks = [
            {"rule": "PERMIT", "reason": reason, "effect": "forbid", "says": _SAYS[reason], "basis": "", "because": []}
            for reason in reasons
        ]
        told = {**said, "effect": "forbid", "blocks": blocks}
        return told, self._record(told, self.store.subjects.lead(asked.lead_id), None)

    def _record(self, said: dict[str, Any], subject: str, facts: str | None) -> dict[str, Any]:
        """What the audit keeps: rules and reasons; who it is about, the permit's id and the facts are its detail.

        The store knows by the id whom a permit was used for, so that it must go with the detail.
        """
        known = said["channel"] in self.settings.vocabularies["channel"].values
        asset_id = said["asset_id"]
        return {
            "kind": "permit_check",
            "audit_id": said["audit_id"],
            "at": said["at"],
            # What the caller made up may hold anything.
            "channel": said["channel"] if known else None,
            "asset": asset_id if asset_id in self.assets or asset_id == "none" else None,
            "permitted": said["permitted"],
            "permits": said.get("permits", []),
            "blocks": [[block["rule"], block["reason"]] for block in said.get("blocks", ())],
            "versions": {"policy": said["policy"]},
            "detail": {
                "subject": subject,
                "permit_id": said["permit_id"],
                **({} if facts is None else {"facts": facts}),
            },
        }


def _ruling(ruled: Rulings, channel: int) -> dict[str, Any]:
    if bool(ruled.permitted[0, 0, channel]):
        return {"permitted": True, "permits": ruled.permit_ids(0, 0, channel)}
    return {
        "permitted": False,
        "effect": ruled.headline(0, 0, channel),
        "blocks": ruled.explain(0, 0, channel),
    }


def _packed(book: Book, facts: Evidence, channel: int) -> str:
    return base64.b64encode(pack_point(book, facts, 0, 0, channel)).decode()
