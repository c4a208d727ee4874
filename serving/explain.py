"""Why a channel is permitted or not: every ruling over a request's leads, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from configs.settings import Settings
from features.evaluate import Domain
from features.facts import FactBuilder, Facts, facts_of
from features.intake.titles import Titles
from features.inventory import Inventory
from features.tables import YES
from features.view import view_at
from models.segments.map import SegmentMap
from policy.book import Book
from policy.reasons import NO_LEGAL_BASIS
from policy.rulings import Rulings, rule
from serving.api import LeadRequest, parse
from serving.online import tables_of


def explain(body: bytes, settings: Settings, as_of: datetime | None, now: datetime) -> dict[str, Any]:
    """Rulings for a body as of `POST /v1/score`: by lead and channel, what passes and what stops each asset.

    The book is that of `as_of`, else of the request's own `as_of`, else of now. No score is involved. Each block is
    `violated` (what is known is against it) or `unknown` (not known whether it applies), and `about` the lead or the
    content only. `at_send` is what the gate just before sending would add, at this instant, to what passes.
    """
    request = parse(body, max_leads=settings.serving.max_leads)
    instant = (as_of or request.as_of or now).astimezone(UTC)
    assets = request.assets if request.assets is not None else settings.assets
    inventory = Inventory.of_settings(settings, assets)
    segment_map = SegmentMap.load(settings, Domain.of(settings))
    book, send = Book.load(settings, instant.date()), Book.load(settings, instant.date(), "send")
    builder, titles = FactBuilder.of(settings), Titles(settings.vocabularies)
    replies = tuple(asset.asset_id for asset in assets if asset.intent == "medical_information")
    found = []
    for item in request.leads:
        asset_ids = tuple(asset.asset_id for asset in assets)
        tables = tables_of([item], settings.vocabularies, asset_ids, titles)
        known = view_at(tables, instant, builder.view)
        facts: Facts = facts_of(known, builder, inventory)
        members = segment_map.members(facts, as_of=instant)
        told = segment_map.told(facts, members, inventory, builder, known.as_of_day)
        ruled, sending = rule(book, told), rule(send, told)
        # Of a person with several records the one that speaks for all is explained.
        row = 0 if known.merged is None else int(known.merged.survivor[0])
        asked = int(facts.columns["off_label_open"].reshape(-1)[row]) == YES
        withheld = [] if known.withheld is None else known.withheld.of(row)
        found.append(_lead(item, ruled, sending, row, () if asked else replies) | {"withheld": withheld})
    rejected = [{"index": r.index, "path": r.path, "expected": r.expected} for r in request.rejected]
    return {"as_of": instant.isoformat(), "policy": book.hash, "leads": found, "rejected": rejected}


def _lead(item: LeadRequest, ruled: Rulings, sending: Rulings, row: int, unasked: Sequence[str]) -> dict[str, Any]:
    """Rulings of one lead; a reply is offered to nobody who asked nothing, whatever the rules say of it."""
    channels = []
    for c, channel in enumerate(ruled.book.channels):
        may = {a: bool(ruled.permitted[row, a, c]) for a in range(len(ruled.assets))}
        passes = {a: ruled.assets[a] for a, permitted in may.items() if permitted and ruled.assets[a] not in unasked}
        channels.append(
            {
                "channel": channel,
                "permitted": bool(passes),
                "passes": list(passes.values()),
                "permits": sorted({one for a in passes for one in ruled.permit_ids(row, a, c)}),
                "blocks": [
                    block for a, permitted in may.items() if not permitted for block in _blocks(ruled, row, a, c)
                ],
                "at_send": [block for a in passes for block in _blocks(sending, row, a, c)],
            }
        )
    return {"lead_id": item.lead.lead_id, "score": _certain(ruled, ruled.explain_score(row)), "channels": channels}


def _blocks(ruled: Rulings, row: int, asset: int, channel: int) -> list[dict[str, Any]]:
    found = _certain(ruled, ruled.explain(row, asset, channel))
    for entry in found:
        if entry["rule"] == NO_LEGAL_BASIS["rule"]:
            # What is not known may yet be a permit; then it is a task and no refusal.
            may = ruled.open_permits(row, asset, channel)
            entry["because"] = [
                fact for n, (_, facts) in enumerate(may) for fact in facts if fact not in _before(may, n)
            ]
            entry["certainty"] = "unknown" if may else "violated"
            entry["may_permit"] = [permit for permit, _ in may]
    return [{"asset": ruled.assets[asset], **entry} for entry in found]


def _before(permits: list[tuple[str, list[list[Any]]]], count: int) -> list[list[Any]]:
    return [fact for _, facts in permits[:count] for fact in facts]


def _certain(ruled: Rulings, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each reason with whether it is violated or only may be: then an unknown fact is behind it."""
    book = ruled.book
    content = {one.id for bit, one in enumerate(book.rules) if book.content >> bit & 1}
    return [
        entry
        | {"certainty": "unknown" if any(known == "unknown" for _, known, _ in entry["because"]) else "violated"}
        | {"about": "content" if entry["rule"] in content else "lead"}
        for entry in entries
    ]
