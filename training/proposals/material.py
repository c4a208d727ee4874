"""What segments are proposed from: who may be clustered, on which columns, in which facts, beside which segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.dictionary import AFTER_READINESS
from configs.settings import Settings
from features.columns import exact
from features.evaluate import Domain, as_columns
from features.facts import FactBuilder, Facts, facts_of
from features.intake.quality.columns import known_rows
from features.intake.quality.findings import QualityReport
from features.intake.quality.staleness import record_ages
from features.inventory import Inventory
from features.links import follow_links
from features.pipeline import Features, features_of, fit_spec
from features.tables import YES, Known, Tables
from features.view import view_at
from models.candidates.clustering import MixedColumns
from models.segments.lint.conditions import AUDIENCE, dimension_of
from models.segments.map import Memberships, SegmentMap
from training.dataset.targets import labels
from training.proposals.proposal import FieldLeftOut
from training.proposals.reach import Reachable, reachable
from training.proposals.telling import Described, Unit, percent

Bools = NDArray[np.bool_]
Columns = Mapping[str, NDArray[Any]]

# Where someone lives, came from or stands with us is no need of theirs; a condition focus is health data.
NOT_CLUSTERED = (
    *("country", "source", "referral_source", "lifecycle", "condition_focus", "audience"),
    # What our own rules derive from events, the label's own among them, groups people by those rules and not by need.
    *("buying_stage", "stage_evidence", "journey_moment", "service_offered", "handover_open"),
)
NOT_IN_CONDITIONS = (
    AUDIENCE,  # every draft names its audiences in any case
    "jurisdiction",
    "lead_source",
    "referral_source",
    "lifecycle",
    "condition_focus",
    "preferred_channel",
    "account_kind",
    *AFTER_READINESS,
)
PRIVATE_AUDIENCES = ("patient", "caregiver")
WINDOW = "_90d"
INTEREST = ("engagement_topic_", "engagement_depth_")
VOLUME = ("engagement_event_count_90d", "engagement_days_since_last_event", "engagement_distinct_channel_count_90d")


@dataclass(frozen=True, slots=True)
class Standing:
    """A segment that exists already: its id, its status, whether somebody approved it, and who meets its entry."""

    segment_id: str
    title: str
    status: str
    owner: str
    approved: bool
    residual: bool
    member: Bools


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that proposing needs of leads, the same for event tables and for a flat export.

    `kept` are the leads that may be clustered. `clustered` and `described` have one row for each of them; `conditioned`
    has one for every lead, `before` the same one horizon earlier with `kept_before`, and `converted` who reached the
    outcome since. `in_map` is False where conditions look at fields that no segment map knows.
    """

    as_of: datetime
    horizon_days: int
    lead_ids: NDArray[np.object_]
    kept: Bools
    left_out: Mapping[str, int]
    clustered: MixedColumns
    described: tuple[Described, ...]
    conditioned: Columns
    domain: Domain
    before: Columns
    kept_before: Bools
    converted: Bools
    standing: tuple[Standing, ...]
    audience: NDArray[Any]
    audiences: tuple[str, ...]
    fields_left_out: tuple[FieldLeftOut, ...] = ()
    reach: Reachable | None = None
    in_map: bool = True
    notes: tuple[str, ...] = ()
    tables: Tables | None = field(default=None, repr=False)

    @property
    def on(self) -> date:
        """The day conditions are compiled for."""
        return self.as_of.astimezone(UTC).date()


def material_of(tables: Tables, settings: Settings, as_of: datetime, quality: QualityReport | None = None) -> Material:
    """What may be used of tables as known at an instant; only outcomes after the earlier snapshot are used."""
    horizon = timedelta(days=settings.targets.served.horizon_days)
    domain, builder = Domain.of(settings), FactBuilder.of(settings)
    inventory = Inventory.of_settings(settings)
    known = view_at(tables, as_of, builder.view)
    facts = facts_of(known, builder, inventory)
    kept, left_out = eligible(known.present, facts, domain)
    features = features_of(known, fit_spec(settings, tables))
    unreliable = unreliable_fields(known, kept, settings, quality)
    before = view_at(tables, as_of - horizon, builder.view)
    # What came of a person with several records is what came of any of them, by what was linked then.
    people = follow_links(tables, as_of - horizon, builder.view.links)
    facts_before = facts_of(before, builder, Inventory.of((), settings.vocabularies))
    # Who may not be looked at now may not be looked at as of an earlier day either.
    kept_before = eligible(before.present, facts_before, domain)[0] & ~barred_people(known, kept)
    standing, told = standing_segments(settings, domain, facts, as_of)
    segment_map, members = told
    facts = segment_map.told(facts, members, inventory, builder, known.as_of_day)
    unusable = {one.field for one in unreliable if one.used_for != "clustering"}
    columns = conditioned(facts, domain, settings, unusable)
    clustered_ = clustered(features, kept, {one.field for one in unreliable}, columns, domain)
    audience = per_lead(facts, AUDIENCE)
    notes = [] if tables.events else ["There are no events, so groups rest on what leads and their accounts are."]
    if not tables.outcomes:
        notes.append("There are no outcomes, so nothing can be said about conversion.")
    return Material(
        as_of=as_of,
        horizon_days=horizon.days,
        lead_ids=known.lead_ids,
        kept=kept,
        left_out=left_out,
        clustered=clustered_,
        described=tuple(described(columns, audience, kept, domain, clustered_, features)),
        conditioned=columns,
        domain=domain,
        before={**conditioned(facts_before, domain, settings, unusable), AUDIENCE: per_lead(facts_before, AUDIENCE)},
        kept_before=kept_before,
        converted=labels(people, settings, as_of - horizon, as_of),
        standing=standing,
        audience=audience,
        audiences=domain.facts[AUDIENCE].values,
        fields_left_out=unreliable,
        reach=reachable(facts, settings.assets, settings, as_of),
        notes=tuple(notes),
        tables=tables,
    )


def eligible(present: Bools, facts: Facts, domain: Domain) -> tuple[Bools, dict[str, int]]:
    """Leads that may be clustered, and how many are left out and why.

    Who may be a patient, because nobody said who they are, is left out too; where the data tell the audience of nobody,
    as a flat export may, they stand for themselves.

    INVARIANT: patients, caregivers, and people who objected to profiling or asked for erasure are never clustered.
    """
    kept = present.copy()
    left_out = {"not known yet": int(np.sum(~present))}
    audience = per_lead(facts, AUDIENCE)
    unknown = domain.unknown(AUDIENCE)
    private = [domain.code(AUDIENCE, value) for value in PRIVATE_AUDIENCES]
    for reason, rows in (
        ("patients and caregivers", np.isin(audience, private)),
        ("audience not known", (audience == unknown) & bool(np.any(audience != unknown))),
        ("objected to profiling", per_lead(facts, "profiling_objection") == YES),
        ("erasure or restriction", per_lead(facts, "erased_or_restricted") == YES),
    ):
        left_out[reason] = int(np.sum(kept & rows))
        kept &= ~rows
    return kept, left_out


def barred_people(known: Known, kept: Bools) -> Bools:
    """Leads that are known and may not be clustered, with the records that were merged into one of them."""
    barred = known.present & ~kept
    if known.merged is not None:
        away = known.merged.away
        barred[away] = barred[known.merged.survivor[away]]
    return barred


def unreliable_fields(
    known: Known, kept: Bools, settings: Settings, quality: QualityReport | None
) -> tuple[FieldLeftOut, ...]:
    """Fields below the minima that quality.yaml asks of segments, judged over the leads that may be clustered.

    Too seldom known keeps a field out of clustering only: in a condition it is judged on the leads it decides about.
    Values outside the vocabulary, and records that nobody verified in time, keep it out of both. What is too stale
    among accounts is judged over the leads that they have.
    """
    found: list[FieldLeftOut] = []
    n, size = len(known.lead_ids), len(known.account_ids)
    account = exact(known.leads, "account", np.int32, n)
    ages = {
        "leads": record_ages(known.leads, n, known.as_of),
        "accounts": np.append(record_ages(known.accounts, size, known.as_of), 0)[account],
    }
    told = {field_of(fact.source): None for name, fact in settings.facts.items() if name not in NOT_IN_CONDITIONS}
    for place in told:
        table, _, name = place.partition(".")
        column = (known.leads if table == "leads" else known.accounts).get(name) if place else None
        if name in NOT_CLUSTERED or column is None or not len(column):
            continue
        has = known_rows(column)
        if table == "accounts":
            has = np.append(has, False)[account]
        has = has & kept
        if not has.any():
            continue
        min_known, min_mapped, max_stale = settings.quality.segments.limits(place)
        share = float(has.sum()) / max(int(kept.sum()), 1)
        line = quality.of(table, name) if quality is not None else None
        days = settings.quality.verify_every_days.get(place)
        stale = float((ages[table][has] > days).mean()) if days is not None and has.any() else 0.0
        if line is not None and line.mapped_share is not None and line.mapped_share < min_mapped:
            why = (
                f"only {percent(line.mapped_share)} of its values are in the vocabulary, {percent(min_mapped)} is asked"
            )
            found.append(FieldLeftOut(place, "either", why))
        elif stale > max_stale:
            why = f"{percent(stale)} of its values were not verified within {days} days"
            why = f"{why}, at most {percent(max_stale)} is asked"
            found.append(FieldLeftOut(place, "either", why))
        elif share < min_known:
            why = f"known for {percent(share)} of the leads, {percent(min_known)} is asked"
            found.append(FieldLeftOut(place, "clustering", why))
    return tuple(found)


def standing_segments(
    settings: Settings, domain: Domain, facts: Facts, as_of: datetime
) -> tuple[tuple[Standing, ...], tuple[SegmentMap, Memberships]]:
    """Every segment there is with who meets it, drafts and templates too; and the memberships of the approved ones."""
    segment_map, on = SegmentMap.load(settings, domain), as_of.astimezone(UTC).date()
    members = segment_map.members(facts, as_of=as_of)
    found = [
        Standing(d.id, d.title, d.status, d.owner, d.is_active(on), d.residual, members.member[:, s])
        for s, d in enumerate(segment_map.definitions)
    ]
    known = set(segment_map.segment_ids)
    drafts = [d for d in settings.segments if d.id not in known and d.status != "retired"]
    if drafts:
        residual = segment_map.definitions[segment_map.residual]
        for activation in SegmentMap([*drafts, residual], domain).activations:
            d = activation.definition
            if d.residual or activation.enter is None:
                continue
            columns = {name: per_lead(facts, name) for name in activation.facts if name in facts.columns}
            inside = np.broadcast_to(as_columns(activation.enter, domain, on)(columns)[0].reshape(-1), (facts.n,))
            found.append(Standing(d.id, d.title, d.status, d.owner, False, False, inside))
    return tuple(found), (segment_map, members)


def clustered(features: Features, kept: Bools, unreliable: set[str], columns: Columns, domain: Domain) -> MixedColumns:
    """The columns that describe a need: what the lead and account are, what they read about, and how much they do.

    What leads and accounts are is taken from the facts that conditions read: what a condition cannot say, because it is
    not verified in time, no cluster should stand on.
    A field that is unreliable or unknown for most leads is left out: no segment should stand on it. Topics and depths
    are taken as shares of the lead's own 90 days: interest, not volume, is what tells needs apart.
    """
    spec, matrix = features.spec, features.matrix[kept]
    told = [
        name
        for name in columns
        if domain.facts[name].type == "enum"
        and name not in NOT_CLUSTERED
        and field_of(domain.facts[name].source) not in unreliable
    ]
    codes = np.zeros((len(matrix), len(told)), dtype=np.int16)
    for j, name in enumerate(told):
        codes[:, j] = columns[name][kept]
    interest = [i for i, name in enumerate(spec.names) if name.startswith(INTEREST) and name.endswith(WINDOW)]
    interest = [i for i in interest if "_share" not in spec.names[i]]
    volume = [i for i, name in enumerate(spec.names) if name in VOLUME]
    numbers = matrix[:, [*volume, *interest]]
    for prefix in INTEREST:
        own = [len(volume) + j for j, i in enumerate(interest) if spec.names[i].startswith(prefix)]
        total = numbers[:, own].sum(axis=1, keepdims=True)
        numbers[:, own] /= np.where(total > 0, total, np.nan)
    names = spec.names
    return MixedColumns(tuple(names[i] for i in (*volume, *interest)), numbers, tuple(told), codes)


def conditioned(facts: Facts, domain: Domain, settings: Settings, unreliable: set[str]) -> dict[str, NDArray[Any]]:
    """The facts a draft's condition may use: what the lead and account are, and 90-day counts; no label, no stop."""
    found: dict[str, NDArray[Any]] = {}
    for name, declared in domain.facts.items():
        counted = declared.type == "int" and name.endswith(f"_count{WINDOW}") and "colleague" not in name
        is_told = declared.type == "enum" and name not in NOT_IN_CONDITIONS
        about_label = any(name.startswith(f"{kind}_") for kind in settings.targets.served.kinds)
        if field_of(declared.source) in unreliable:
            continue
        if declared.per == "lead" and (counted or is_told) and not about_label and name in facts.columns:
            found[name] = per_lead(facts, name)
    return found


def field_of(source: str) -> str:
    """The field that a fact is made of (`leads.role or title`: leads.role), empty where it is made of events."""
    return source.split(" ")[0] if source.startswith(("leads.", "accounts.")) else ""


def described(
    columns: Columns, audience: NDArray[Any], kept: Bools, domain: Domain, mixed: MixedColumns, features: Features
) -> Iterator[Described]:
    """What members can be told from others by: the facts of conditions that are categories, and what was clustered."""
    for name, column in {AUDIENCE: audience, **columns}.items():
        declared = domain.facts[name]
        if declared.type == "enum" and np.any(column[kept] != 0):
            yield Described(name, dimension_of(name), name.replace("_", " "), column[kept], declared.values)
    says = {feature.name: feature.says for feature in features.spec.features}
    for j, name in enumerate(mixed.number_names):
        shared = name.startswith(INTEREST)
        kind = "interest" if name.startswith(INTEREST[0]) else "depth" if shared else "activity"
        text = says[name].removesuffix(" in the last 90 days").removesuffix(" ever")
        unit: Unit = "share" if shared else "days" if "days_since" in name else "count"
        spoken = f"{text} as a part of what they do" if shared else says[name]
        yield Described(name, kind, spoken, mixed.numbers[:, j], (), unit)


def per_lead(facts: Facts, name: str) -> NDArray[Any]:
    """A fact's codes, one per lead."""
    return np.broadcast_to(facts.columns[name].reshape(-1), (facts.n,))


def overlaps_of(inside: Bools, standing: Sequence[Standing], kept: Bools) -> dict[str, float]:
    """Jaccard overlap of some leads with every segment there is, the residual one left out."""
    found: dict[str, float] = {}
    for one in standing:
        if not one.residual:
            own = one.member & kept
            union = int(np.sum(own | inside))
            found[one.segment_id] = int(np.sum(own & inside)) / union if union else 0.0
    return found
