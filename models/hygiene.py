"""Hygiene gates: below the declared minima a segment or a model is not activated, and the answer says which and why.

A field is judged on the leads that may be members: with their other facts as they are, some value of it lets them in.
It is missing where it decides, so that some other value keeps the lead out, and is unknown; where another field stands
in for it, by the fallback that the condition declares, it is not missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from configs.conditions import Condition, facts_used
from configs.quality import QualitySettings
from configs.settings import Settings
from features.columns import exact
from features.evaluate import Domain, as_columns
from features.facts import FactBuilder, Facts, facts_of
from features.intake.quality.check import refuse_unknown_fields
from features.intake.quality.columns import known_rows
from features.intake.quality.findings import QualityReport
from features.intake.quality.staleness import record_ages
from features.inventory import Inventory
from features.layout import LAYOUTS
from features.tables import MICROSECONDS_A_DAY, Columns, Known, Tables
from features.view import view_at
from models.segments.map import SegmentMap
from models.segments.tellable import tellable

# FactDeclaration.source of a fact that is a field: `leads.role or title`.
_FIELD = re.compile(r"^(leads|accounts)\.([a-z_]+)")
MODEL = "readiness"
AT_MOST = ("share", "stale", "stopped")
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Gate:
    """One minimum: of which segment or model and field, what was found and what is asked."""

    kind: Literal["segment", "model"]
    name: str
    field: str
    measure: str
    found: float
    limit: float
    passed: bool
    says: str

    @property
    def room(self) -> float:
        """How far above its minimum or below its maximum, as a part of the limit; negative where it failed."""
        away = self.limit - self.found if self.measure in AT_MOST else self.found - self.limit
        return away / max(self.limit, 1e-9)


@dataclass(frozen=True, slots=True)
class Hygiene:
    """Every gate that could be judged; a segment or a model of which one failed is not activated."""

    gates: tuple[Gate, ...]

    @property
    def failed(self) -> tuple[Gate, ...]:
        """Gates below their minimum."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def inactive(self) -> tuple[str, ...]:
        """Segments that are not activated on this data."""
        return tuple(dict.fromkeys(gate.name for gate in self.failed if gate.kind == "segment"))

    @property
    def model_passed(self) -> bool:
        """Whether a model learned from this data may be activated."""
        return all(gate.kind != "model" for gate in self.failed)

    def record(self) -> dict[str, Any]:
        """What a bundle keeps of it."""
        said = [gate.says for gate in self.failed if gate.kind == "model"]
        segments = {name: [g.says for g in self.failed if g.name == name] for name in self.inactive}
        return {"passed": self.model_passed, "failed": said, "inactive_segments": segments, "judged": len(self.gates)}


def judge(
    tables: Tables, settings: Settings, segment_map: SegmentMap, as_of: datetime, report: QualityReport | None = None
) -> Hygiene:
    """Every gate of segments and of readiness, on what is known at an instant.

    Args:
        tables: the data that would be activated.
        settings: what `quality.yaml` asks.
        segment_map: the definitions; the residual one and inactive ones are not judged.
        as_of: an instant with a zone.
        report: from `features.intake.quality.check.check`; without it mapped shares and tracking are not judged.

    Raises:
        ConfigInvalid: quality.yaml names a field that no table has.
    """
    refuse_unknown_fields(settings.quality)
    builder = FactBuilder.of(settings)
    known = view_at(tables, as_of, builder.view)
    facts = facts_of(known, builder, Inventory.of_settings(settings))
    gates = [*_model(known, tables, settings, report), *_segments(known, facts, settings, segment_map, report)]
    return Hygiene(tuple(gates))


def concerned(
    fact: str, condition: Condition, columns: Mapping[str, NDArray[Any]], n: int, domain: Domain, on: date
) -> tuple[Bools, Bools]:
    """Leads that some value of a fact may let in, and those of them that some other value may keep out: it decides."""
    evaluate = as_columns(condition, domain, on)
    may, must = np.zeros(n, dtype=np.bool_), np.ones(n, dtype=np.bool_)
    dtype = columns[fact].dtype
    for code in {domain.unknown(fact), *tellable(fact, (condition,), domain)}:
        surely, maybe = evaluate({**columns, fact: np.array([code], dtype=dtype)})
        may |= maybe.reshape(-1)
        must &= surely.reshape(-1)
    return may, may & ~must


def _segments(
    known: Known, facts: Facts, settings: Settings, segment_map: SegmentMap, report: QualityReport | None
) -> Iterator[Gate]:
    on, asked = known.as_of.date(), settings.quality.segments
    active = segment_map.active(on)
    total = max(int(known.present.sum()), 1)
    for place, activation in enumerate(segment_map.activations):
        enter, name = activation.enter, activation.definition.id
        if enter is None or not active[place]:
            continue
        columns = {f: np.asarray(facts.columns[f]).reshape(-1) for f in facts_used(enter) if f in facts.columns}
        member = np.broadcast_to(as_columns(enter, segment_map.domain, on)(columns)[0].reshape(-1), (facts.n,))
        share = float((member & known.present).sum()) / total
        yield _gate("segment", name, "", "share", share, asked.max_share, f"holds {_percent(share)} of all leads")
        for fact, column in columns.items():
            field = _FIELD.match(settings.facts[fact].source) if fact in settings.facts else None
            if field is None or len(column) != facts.n:
                continue
            may, decides = concerned(fact, enter, columns, facts.n, segment_map.domain, on)
            may &= known.present
            if int(may.sum()) < asked.min_leads:
                continue
            has = column != segment_map.domain.unknown(fact)
            judged = _Judged(name, field.group(1), field.group(2), may, has, has | ~decides)
            yield from _field(judged, known, settings.quality, report)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A field of a segment's condition: who may be a member, who has it, and who has it or does not need it."""

    name: str
    table: str
    field: str
    may: Bools
    has: Bools
    served: Bools


def _field(judged: _Judged, known: Known, quality: QualitySettings, report: QualityReport | None) -> Iterator[Gate]:
    name, table, field, may = judged.name, judged.table, judged.field, judged.may
    place = f"{table}.{field}"
    min_known, min_mapped, max_stale = quality.segments.limits(place)
    share = float(judged.served[may].mean())
    says = f"{place} known, or stood in for, in {_percent(share)} of the {int(may.sum()):,} leads that may be members"
    yield _gate("segment", name, place, "known", share, min_known, says)
    mapped = _mapped(report, table, field)
    if mapped is not None:
        says = f"{_percent(mapped)} of the values of {place} are in its vocabulary"
        yield _gate("segment", name, place, "mapped", mapped, min_mapped, says)
    days = quality.verify_every_days.get(place)
    if days is not None and (may & judged.has).any():
        stale = float((_ages(known, table)[may & judged.has] > days).mean())
        says = f"{place} not verified within {days} days for {_percent(stale)} of the leads that have it"
        yield _gate("segment", name, place, "stale", stale, max_stale, says)


def _model(known: Known, tables: Tables, settings: Settings, report: QualityReport | None) -> Iterator[Gate]:
    asked, leads = settings.quality.model, int(known.present.sum())
    yield Gate(
        "model",
        MODEL,
        "leads",
        "rows",
        leads,
        asked.min_leads,
        leads >= asked.min_leads,
        f"{MODEL}: {leads:,} leads, at least {asked.min_leads:,} are asked",
    )
    if tables.attributes and not tables.events:
        yield _attributes(tables, settings.quality)
        return
    for place, limit in asked.key_fields.items():
        table, _, field = place.partition(".")
        share = _known_share(known, table, field)
        yield _gate("model", MODEL, place, "known", share, limit, f"{place} known for {_percent(share)}")
    # Without an event table nobody is active: data that are missing must not pass what data that are thin fail.
    window = settings.quality.tracking.window_days
    since = (known.as_of_day - window) * MICROSECONDS_A_DAY
    active = float((known.newest_event_at[known.present] >= since).mean()) if leads else 0.0
    says = f"{_percent(active)} of the leads have an event in {window} days"
    yield _gate("model", MODEL, "events", "active", active, asked.min_active, says)
    if report is not None:
        yield from _tracked(report, settings.quality)


def _tracked(report: QualityReport, quality: QualitySettings) -> Iterator[Gate]:
    asked = quality.model
    for match in report.match:
        if match.table == "events":
            says = f"{_percent(match.share)} of the events name a known lead"
            yield _gate("model", MODEL, "events.lead_id", "match", match.share, asked.min_match, says)
    total = sum(source.events for source in report.tracking)
    if total:
        gone = [source for source in report.tracking if source.stopped]
        share = sum(source.events for source in gone) / total
        named = f" ({', '.join(source.source for source in gone)})" if gone else ""
        says = f"{_percent(share)} of the events come from sources that stopped{named}"
        yield _gate("model", MODEL, "events.source", "stopped", share, asked.max_stopped, says)


def _attributes(tables: Tables, quality: QualitySettings) -> Gate:
    asked = quality.model
    filled = [float(known_rows(column).mean()) >= asked.attribute_known for column in tables.attributes.values()]
    share = sum(filled) / len(filled)
    known = _percent(asked.attribute_known)
    says = f"{_percent(share)} of the {len(filled)} attributes are known for {known} of the leads"
    return _gate("model", MODEL, "attributes", "known", share, asked.min_attributes, says)


def _gate(
    kind: Literal["segment", "model"], name: str, field: str, measure: str, found: float, limit: float, says: str
) -> Gate:
    """A gate on a share: what lies on its limit passes."""
    at_most = measure in AT_MOST
    passed = found <= limit if at_most else found >= limit
    asked = f"at {'most' if at_most else 'least'} {_percent(limit)} is asked"
    return Gate(kind, name, field, measure, found, limit, passed, f"{name}: {says}, {asked}")


def _known_share(known: Known, table: str, field: str) -> float:
    rows: Columns = known.leads if table == "leads" else known.accounts
    column = rows.get(_column(table, field))
    if column is None or not len(column):
        return 0.0
    here = known_rows(column)[known.present] if table == "leads" else known_rows(column)
    return float(here.mean()) if len(here) else 0.0


def _ages(known: Known, table: str) -> NDArray[np.int64]:
    """Days since the record that a lead's field rests on was verified or recorded, lead by lead."""
    n, accounts = len(known.lead_ids), len(known.account_ids)
    if table == "leads":
        return record_ages(known.leads, n, known.as_of)
    ages = np.append(record_ages(known.accounts, accounts, known.as_of), np.iinfo(np.int64).max)
    found: NDArray[np.int64] = ages[exact(known.leads, "account", np.int32, n)]
    return found


def _mapped(report: QualityReport | None, table: str, field: str) -> float | None:
    line = report.of(table, _column(table, field)) if report is not None else None
    return line.mapped_share if line is not None else None


def _column(table: str, field: str) -> str:
    return next((c.name for c in LAYOUTS[table].columns if c.field == field), field) if table in LAYOUTS else field


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
