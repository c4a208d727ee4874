"""The data sheet of a segment version: its record, and what the data at hand say about every field of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from configs.definitions import SegmentDefinition
from configs.settings import Settings
from features.evaluate import Domain
from features.facts import FactBuilder, facts_of
from features.inventory import Inventory
from features.tables import Tables
from features.view import view_at
from models.segments.map import SegmentMap
from models.segments.record import FieldUsed, SegmentRecord
from models.shares import Share
from training.evaluation.card_words import not_for
from training.sheets.answers import kinds_of, use_rules, who_answers
from training.sheets.sheet import Part, Sheet, Table, numbered

MUCH_UNKNOWN = 0.3


@dataclass(frozen=True, slots=True)
class Measured:
    """What data say as of an instant: leads, members, and of how many leads each fact is known.

    `among` has the same for the segment's own members; a fact about an asset is in neither.
    """

    as_of: datetime
    held: Share
    known: Mapping[str, Share]
    among: Mapping[str, Share]


def measure_fields(
    tables: Tables, settings: Settings, segment_id: str, fields: tuple[FieldUsed, ...], as_of: datetime
) -> Measured:
    """Who a segment holds and of whom each of its fields is known, as known at an instant."""
    builder, domain = FactBuilder.of(settings), Domain.of(settings)
    segment_map = SegmentMap.load(settings, domain)
    known = view_at(tables, as_of, builder.view)
    facts = facts_of(known, builder, Inventory.of_settings(settings))
    here = known.present if known.merged is None else known.present & ~known.merged.away
    members = segment_map.members(facts, as_of=as_of).member
    ids = segment_map.segment_ids
    inside = members[:, ids.index(segment_id)] & here if segment_id in ids else np.zeros(len(here), dtype=np.bool_)
    shares: dict[str, Share] = {}
    among: dict[str, Share] = {}
    for name in (field.fact for field in fields):
        column = facts.columns.get(name)
        if column is None or column.size not in (1, facts.n):
            continue
        has = np.broadcast_to(column.reshape(-1) != domain.unknown(name), (facts.n,))
        shares[name] = Share(int((has & here).sum()), int(here.sum()))
        among[name] = Share(int((has & inside).sum()), int(inside.sum()))
    return Measured(as_of, Share(int(inside.sum()), int(here.sum())), shares, among)


def segment_sheet(
    settings: Settings, definition: SegmentDefinition, record: SegmentRecord, measured: Measured | None = None
) -> Sheet:
    """The sheet of a definition from its record; `measured` adds what the data say."""
    return Sheet(
        kind="segment",
        name=record.segment_id,
        title=record.title,
        content=record.content_hash,
        as_of=record.as_of,
        stands=f"version {record.version}, {record.status}" + ("" if record.active else ", holds nobody"),
        owner=record.owner,
        next_review=record.next_review_on.isoformat(),
        parts=(
            _purpose(definition, record),
            _composition(record, measured),
            _fields(settings, record, measured),
            _sources(settings, record),
            Part("cleaning", "How the data are cleaned", "Before any rule looks at them.", tuple(_cleaning(settings))),
            _updates(settings, record),
            _approvals(record),
            Part("limits", "Known limits", "", tuple(_limits(settings, definition, record, measured))),
            Part("owners", "Who answers what", "", (*_people(record), *who_answers(settings, record.owner))),
        ),
    )


def _purpose(d: SegmentDefinition, record: SegmentRecord) -> Part:
    rows = [
        ("purpose", f"{record.purpose.replace('_', ' ')}, for {', '.join(record.audience)}"),
        ("hypothesis", record.hypothesis),
        *((name, text) for name, text in record.plan if name in ("message goal", "primary KPI", "conversion event")),
        ("product", (record.product or "none").replace("_", " ")),
        *(("not for", text) for text in not_for()[:3]),
    ]
    return Part("purpose", "What it is for", d.next_best_action.strip(), tuple(rows))


def _composition(record: SegmentRecord, measured: Measured | None) -> Part:
    rows = [(when, words) for when, _, words in record.conditions]
    rows.append(("membership", "; ".join(record.membership)))
    if measured is not None:
        low, high = measured.held.interval
        held = f"{measured.held.hits:,} of {measured.held.of:,} leads ({measured.held.rate:.1%})"
        rows.append((f"holds on {measured.as_of:%Y-%m-%d}", f"{held}; a share of {low:.1%} to {high:.1%}"))
    return Part("composition", "Who is in it", f"The unit is the {record.unit}.", tuple(rows))


def _fields(settings: Settings, record: SegmentRecord, measured: Measured | None) -> Part:
    columns = ["field", "comes from", "kind of data", "how it is cleaned", "too old"]
    columns += ["known, of all leads", "known, of members"] if measured is not None else []
    rows = []
    for field in record.fields:
        age = f"unknown after {field.unknown_after_days} days" if field.unknown_after_days else "no limit"
        age += f"; verified every {field.stale_after_days} days" if field.stale_after_days else ""
        kinds = ", ".join(kind.id.replace("_", " ") for kind in kinds_of(settings, field.source)) or "our own records"
        row = [f"{field.fact.replace('_', ' ')}: {field.says}", field.source, kinds, field.cleaned, age]
        if measured is not None:
            row += [_share(measured.known.get(field.fact)), _share(measured.among.get(field.fact))]
        rows.append(tuple(row))
    lead_in = "Unknown is a value: a field that is unknown lets nobody in, except by a fallback that says so."
    return Part("fields", "Fields it stands on", lead_in, table=Table(tuple(columns), tuple(rows)))


def _sources(settings: Settings, record: SegmentRecord) -> Part:
    kinds = {kind.id: kind for field in record.fields for kind in kinds_of(settings, field.source)}.values()
    rows = [("declared", numbered(record.data_sources))]
    rows += [(kind.id.replace("_", " "), f"{kind.says}. {kind.basis}") for kind in kinds]
    rows += use_rules(settings, tuple(kinds))
    return Part("sources", "Where the data come from", "The basis is checked before a fact is built.", tuple(rows))


def _cleaning(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "rows", "every row is used, rejected with its column and reason, or a duplicate; none is dropped in silence"
    yield "words", "free text becomes a value of a controlled vocabulary; what none knows is unknown, and is counted"
    yield "people", "records of one person are merged by evidence; one of them speaks, and the stricter stop holds"
    yield "events", "what a machine did counts as little as it is likely; an event counts once, and until it is too old"
    yield "time", "what was recorded after the instant asked about does not count"
    days = settings.quality.verify_every_days
    if days:
        yield (
            "age",
            f"volatile fields are to be verified: {numbered([f'{k} every {v} days' for k, v in days.items()], 4)}",
        )


def _updates(settings: Settings, record: SegmentRecord) -> Part:
    rows = [
        ("renewed", record.updated),
        ("next review", record.next_review_on.isoformat()),
        ("due early", f"{settings.governance.review.within_days} days before, after a campaign, a launch or an edit"),
        ("watched", f"leadwell monitor: an alert where its size moves by {_size_limits(settings)}, beyond noise"),
    ]
    return Part("updates", "How it is kept up to date", "", tuple(rows))


def _approvals(record: SegmentRecord) -> Part:
    covered = f"{record.covered[0]} to {record.covered[1]}" if record.covered else "none"
    rows = [("covered", covered), *((f"{s.on} {s.step}", f"version {s.version}, by {s.by}") for s in record.steps)]
    table = Table(
        ("stage", "material", "approved by", "until", "reference", "state"),
        tuple(
            (o.stage, o.asset_id, o.approved_by or "", str(o.expires_on or ""), o.reference or "", o.state)
            for o in record.offers
        ),
    )
    return Part("approvals", "Approvals of the segment and of its material", "", tuple(rows), table)


def _limits(
    settings: Settings, d: SegmentDefinition, record: SegmentRecord, measured: Measured | None
) -> Iterator[tuple[str, str]]:
    for text in record.remarks:
        yield "note well", text
    for field in record.fields:
        own = measured.known.get(field.fact) if measured is not None else None
        if own is not None and own.of and 1 - own.rate >= MUCH_UNKNOWN:
            yield (
                "gaps",
                f"{field.fact.replace('_', ' ')} is unknown for {1 - own.rate:.0%} of leads: they cannot enter by it",
            )
    ageless = [
        f.fact.replace("_", " ") for f in record.fields if not f.unknown_after_days and not f.stale_after_days
        and f.source.startswith(("leads.", "accounts."))
    ]  # fmt: skip
    if ageless:
        yield "age", f"{numbered(ageless)} never count as too old by themselves"
    weaker = sum(bool(step.use) for step in d.fallback)
    if weaker:
        yield (
            "fallback",
            f"where a field is unknown, weaker evidence may let a lead in ({weaker} of {len(d.fallback)} rules)",
        )
    if measured is not None and measured.held.hits < d.size.min_leads:
        yield "size", f"{measured.held.hits:,} leads are below its floor of {d.size.min_leads:,}: results say little"
    if d.needs:
        yield "lacks", "; ".join(d.needs)
    yield "engagement", "engagement is interest in education, and no sign of what somebody prescribes or buys"
    answers = settings.feedback.min_answers
    yield "people", f"a rule cannot see that a fact is wrong; {answers} answers of sales are read as evidence about it"


def _people(record: SegmentRecord) -> list[tuple[str, str]]:
    material = sorted({o.approved_by for o in record.offers if o.approved_by})
    found = [("the definition, its size and results", record.owner), ("how it was written", record.author)]
    return found + ([("its material", ", ".join(material))] if material else [])


def _size_limits(settings: Settings) -> str:
    rule = next((r for r in settings.monitoring.alerts if r.watch == "segment" and r.is_about("")), None)
    if rule is None:
        return "any declared limit"
    parts = [f"{rule.points:g} points"] if rule.points is not None else []
    return " and ".join([*parts, *([f"{rule.relative:.0%} of itself"] if rule.relative is not None else [])])


def _share(share: Share | None) -> str:
    if share is None or not share.of:
        return "no leads" if share is not None else "not of leads"
    return f"{share.rate:.0%} ({share.hits:,} of {share.of:,})"
