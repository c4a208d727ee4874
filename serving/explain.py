"""Why a channel is permitted or not: every ruling over a request's leads, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from configs.settings import Settings
from features.evaluate import Domain
from features.facts import FactBuilder, Facts, facts_of, with_memberships
from features.intake.titles import Titles
from features.inventory import Inventory
from features.tables import YES
from features.view import view_at
from models.segments.map import SegmentMap
from policy.book import Book
from policy.rulings import Rulings, rule
from serving.api import LeadRequest, parse
from serving.online import tables_of


def explain(body: bytes, settings: Settings, as_of: datetime | None, now: datetime) -> dict[str, Any]:
    """Rulings for a body as of `POST /v1/score`: by lead and channel, what passes and what stops each asset.

    The book is that of `as_of`, else of the request's own `as_of`, else of now. No score is involved.
    """
    request = parse(body, max_leads=settings.serving.max_leads)
    instant = (as_of or request.as_of or now).astimezone(UTC)
    assets = request.assets if request.assets is not None else settings.assets
    inventory = Inventory.of(assets, settings.vocabularies)
    segment_map = SegmentMap.load(settings, Domain.of(settings))
    book = Book.load(settings, instant.date())
    builder, titles = FactBuilder.of(settings), Titles(settings.vocabularies)
    replies = tuple(asset.asset_id for asset in assets if asset.intent == "medical_information")
    found = []
    for item in request.leads:
        asset_ids = tuple(asset.asset_id for asset in assets)
        tables = tables_of([item], settings.vocabularies, asset_ids, titles)
        known = view_at(tables, instant, builder.view)
        facts: Facts = facts_of(known, builder, inventory)
        members = segment_map.members(facts, as_of=instant)
        ruled = rule(book, with_memberships(facts, inventory, members.member, members.segment_ids))
        # Of a person with several records the one that speaks for all is explained.
        row = 0 if known.merged is None else int(known.merged.survivor[0])
        asked = int(facts.columns["off_label_open"].reshape(-1)[row]) == YES
        withheld = [] if known.withheld is None else known.withheld.of(row)
        found.append(_lead(item, book, ruled, row, () if asked else replies) | {"withheld": withheld})
    rejected = [{"index": r.index, "path": r.path, "expected": r.expected} for r in request.rejected]
    return {"as_of": instant.isoformat(), "policy": book.hash, "leads": found, "rejected": rejected}


def _lead(item: LeadRequest, book: Book, ruled: Rulings, row: int, unasked: Sequence[str]) -> dict[str, Any]:
    """Rulings of one lead; a reply is offered to nobody who asked nothing, whatever the rules say of it."""
    channels = []
    for c, channel in enumerate(book.channels):
        passes = [asset for a, asset in enumerate(ruled.assets) if ruled.permitted[row, a, c] and asset not in unasked]
        blocks = [
            {"asset": asset, **entry}
            for a, asset in enumerate(ruled.assets)
            if not ruled.permitted[row, a, c]
            for entry in ruled.explain(row, a, c)
        ]
        channels.append({"channel": channel, "permitted": bool(passes), "passes": passes, "blocks": blocks})
    return {"lead_id": item.lead.lead_id, "score": ruled.explain_score(row), "channels": channels}
