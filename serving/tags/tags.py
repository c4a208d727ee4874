"""Tags for a CRM: one row a lead, one row an account, with facets, freshness, and until when they are good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from configs.activation import ACCOUNT_TAGS, LEAD_TAGS
from configs.conditions import facts_used
from configs.settings import Settings
from features.columns import exact
from features.evaluate import as_columns
from features.journey.plan import EVIDENCE, STAGE
from features.journey.stages import WEAK
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT, microseconds
from models.segments.accounts import held_by_accounts, of_accounts, shown_for_systems
from models.segments.moves import STATUSES, Held
from models.segments.statuses import StatusRules
from serving.accounts.tables import account_table
from serving.accounts.view import SYSTEM, AccountsView
from serving.memberships.accounts import account_rows
from serving.memberships.readiness_file import Told
from serving.render import instant, instant_of
from serving.tags.tagged import NO_PEOPLE, STALE, UNSAFE_ID, Tagged, health_told, tagged, unsafe

Bools = NDArray[np.bool_]
FROM_EVENTS, FROM_BAND, FROM_WEAK_EVENTS = "events", "band", "weak_events"
_NEVER = np.iinfo(np.int64).max
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Tags:
    """The two tables of tags, who is withheld (unit, id, reason), and memberships that are not told, by segment.

    `by_consent` are ids of leads whose primary segment tells of their health, which they agreed to.

    INVARIANT: rows written and rows withheld are the leads and accounts that were read, each exactly once.
    """

    leads: pa.Table
    accounts: pa.Table
    withheld: pa.Table
    segments: Mapping[tuple[str, str], int]
    by_consent: pa.Array


def tags_of(
    view: AccountsView,
    memberships: pa.Table,
    settings: Settings,
    below: Sequence[str],
    told: Told | None,
    accounts_before: pa.Table | None = None,
) -> Tags:
    """Make the tags of everybody in the view.

    Args:
        view: leads and accounts as known at the instant of the tags.
        memberships: of the state.
        settings: the configuration.
        below: segments below their hygiene minimum on this data.
        told: bands of a rescoring of the same instant; without it no tag names a band.
        accounts_before: memberships of accounts in the state, which tell since when; without them since the first of
            their people's.
    """
    found = tagged(view, memberships, settings, below)
    accounts = _account_rows(view, found, accounts_before)
    leads = _lead_table(view, found, accounts, told)
    account_tags, without = _account_table(view, found, accounts)
    names = pa.array(view.known.lead_ids, pa.string())
    out = np.flatnonzero(found.reason != "")
    withheld = pa.table(
        {
            "unit": pa.array(["lead"] * len(out) + ["account"] * len(without), pa.string()),
            "id": pa.concat_arrays([names.take(pa.array(out)), pa.array([name for name, _ in without], pa.string())]),
            "reason": pa.array([*found.reason[out].tolist(), *(why for _, why in without)], pa.string()),
        }
    )
    withheld = withheld.sort_by([("unit", "ascending"), ("id", "ascending")])
    return Tags(leads, account_tags, withheld, found.segments, names.filter(pa.array(found.by_consent)))


def _account_rows(view: AccountsView, found: Tagged, before: pa.Table | None) -> Held:
    """Account memberships of whom may be told, for accounts and for the systems that show them."""
    map_, ids = found.segment_map, pa.array(view.known.account_ids, pa.string())
    governs = {str(field): one for field, one in view.settings.identity.governs.items()}
    names = pa.array(map_.segment_ids)
    if before is not None:
        known = pc.and_(
            pc.is_valid(pc.index_in(before["account_id"], ids)), pc.is_valid(pc.index_in(before["segment_id"], names))
        )
        before = before.filter(known)
    held = held_by_accounts(
        found.held,
        view.account,
        of_accounts(map_.definitions),
        now=microseconds(view.as_of),
        before=None if before is None else account_rows(before, "account_id", ids, names),
        above=view.top,
        systems=shown_for_systems(map_.activations, governs),
    ).held
    return held.rows(np.flatnonzero(held.open))


def _lead_table(view: AccountsView, found: Tagged, accounts: Held, told: Told | None) -> pa.Table:
    known, map_ = view.known, found.segment_map
    n = len(known.lead_ids)
    business = ~_private(view)
    own = np.where(business & (view.account >= 0), view.account, -1)
    # What a stale account says is told of nobody who works there, only how old it is.
    fresh = np.where((own >= 0) & ~np.append(_stale(view), False)[own], own, -1)
    segments = _lists(found.held, n, map_.segment_ids, ~found.held.primary, skip=map_.residual)
    of_account = _lists(accounts, len(known.account_ids), map_.segment_ids)
    stages, stage_from = _journey(view, told)
    stage_ids = tuple(stage.id for stage in view.rules.settings.stages)
    buyer = np.where(fresh >= 0, view.accounts.stage[np.maximum(fresh, 0)] if len(known.account_ids) else -1, -1)
    specialty = view.lead_codes("specialty")
    columns: dict[str, Any] = {
        "lead_id": pa.array(known.lead_ids, pa.string()),
        "account_id": _at(pa.array(known.account_ids, pa.string()), view.account),
        "as_of": pa.repeat(instant(view.as_of), n),
        "valid_until": _until(view, found.held, map_.definitions, n),
        "primary_segment": pa.array(map_.segment_ids).take(pa.array(found.primary)),
        "segments": segments,
        "account_segments": _or_empty(_at(of_account, fresh)),
        "status": pa.array(STATUSES).take(pa.array(found.status)),
        "lead_statuses": _statuses(view),
        "segment_since": _days(found.since),
        "facility_type": _facet(view, "organization_type", business),
        "care_setting": _facet(view, "care_setting", business),
        "specialty": _words(
            view.settings.facts["specialty"].values,
            # A professional's field of work; of a patient it would tell of what they look for.
            np.where(
                business,
                np.where((specialty == 0) & (fresh >= 0), view.lead_codes("account_specialty"), specialty),
                0,
            ),
        ),
        "integration_need": _facet(view, "integration_need", business),
        "buyer_stage": _words(stage_ids, buyer.astype(np.int64) + 1),
        "journey_stage": stages,
        "journey_stage_from": stage_from,
        "readiness_band": pa.nulls(n, pa.string())
        if told is None
        else _words(view.settings.vocabularies["band"].values, told.band),
        "referral_source": _facet(view, "referral_source"),
        # INVARIANT: a condition is told of those only whose work it is, or who agreed where that is declared.
        "condition_focus": _facet(view, "condition_focus", health_told(view)),
        "last_verified_on": _days(exact(known.leads, "verified_at", np.int64, n)),
        "account_verified_on": _days(_account_instants(view, own)),
        "segment_versions": _lists(found.held, n, _versions(map_), ~found.held.primary, skip=map_.residual),
        "segment_map": pa.repeat(map_.hash[:_SHORT], n),
    }
    table = pa.table({name: columns[name] for name in LEAD_TAGS})
    return table.filter(pa.array(found.reason == "")).sort_by("lead_id")


def _account_table(view: AccountsView, found: Tagged, held: Held) -> tuple[pa.Table, list[tuple[str, str]]]:
    """The tags of accounts, and which accounts are withheld for which reason."""
    known, map_ = view.known, found.segment_map
    size = len(known.account_ids)
    ids = pa.array(known.account_ids, pa.string())
    # A system is one record in a CRM: what is true of all its accounts stands there.
    described = account_table(view)
    system = described.filter(pc.equal(described["level"], SYSTEM))
    single = described.filter(pc.is_null(pc.index_in(described["account_id"], system["account_id"].combine_chunks())))
    rows = pa.concat_tables([system, single])
    row = pc.index_in(rows["account_id"], ids).to_numpy().astype(np.int64)
    since = np.full(size, _NEVER)
    np.minimum.at(since, held.unit, held.entered_at)
    status = np.zeros(size, dtype=np.int8)
    for word in ("paused", "follow_up", "active"):
        status[held.unit[held.status == STATUSES.index(word)]] = STATUSES.index(word)
    parent = exact(known.accounts, "parent", np.int32, size)
    member = np.zeros(size, dtype=np.bool_)
    member[held.unit] = True
    columns: dict[str, Any] = {
        "account_id": rows["account_id"],
        "parent_account_id": _at(ids, parent[row]),
        "level": rows["level"],
        "as_of": pa.repeat(instant(view.as_of), len(row)),
        "valid_until": _until(view, held, map_.definitions, size).take(pa.array(row)),
        "segments": _lists(held, size, map_.segment_ids).take(pa.array(row)),
        "status": pa.array(STATUSES).take(pa.array(status[row], mask=~member[row])),
        "segment_since": _days(np.where(since == _NEVER, UNKNOWN_INSTANT, since)[row]),
        "facility_type": _field(view, "organization_type", row),
        "care_setting": _field(view, "care_setting", row),
        "specialty": _field(view, "account_specialty", row),
        "integration_need": _field(view, "integration_need", row),
        "buyer_stage": rows["stage"],
        "decision_moment": rows["decision_moment"],
        "decision_readiness": rows["decision_readiness"],
        "decision_readiness_level": rows["readiness_level"],
        "missing_parts": rows["missing"],
        "people": rows["people"],
        "last_verified_on": _days(exact(known.accounts, "verified_at", np.int64, size)[row]),
        "segment_versions": _lists(held, size, _versions(map_)).take(pa.array(row)),
        "segment_map": pa.repeat(map_.hash[:_SHORT], len(row)),
    }
    table = pa.table({name: columns[name] for name in ACCOUNT_TAGS})
    risky, stale = unsafe(known.account_ids), _stale(view)
    shown = np.zeros(size, dtype=np.bool_)
    shown[row] = True
    without = [
        (str(known.account_ids[at]), NO_PEOPLE if not shown[at] else UNSAFE_ID if risky[at] else STALE)
        for at in np.flatnonzero(~shown | risky | stale).tolist()
    ]
    return table.filter(pa.array(~(risky | stale)[row])).sort_by("account_id"), without


def _stale(view: AccountsView) -> Bools:
    """Accounts that nobody recorded or verified in time, counted as `features/ageing.py` counts before it forgets."""
    known, size = view.known, len(view.known.account_ids)
    days = view.settings.activation.max_account_age_days
    if days is None or not size:
        return np.zeros(size, dtype=np.bool_)
    newest = np.maximum(*(exact(known.accounts, name, np.int64, size) for name in ("recorded_at", "verified_at")))
    return np.asarray(known.as_of_us // MICROSECONDS_A_DAY - newest // MICROSECONDS_A_DAY > days)


def _journey(view: AccountsView, told: Told | None) -> tuple[pa.Array, pa.Array]:
    """The journey stage of each lead, and what tells it: well tracked events, else its band, else other events."""
    values = view.settings.facts[STAGE].values
    place = view.lead_codes(STAGE).astype(np.int64) - 1
    shown, weak = place >= 0, view.lead_codes(EVIDENCE) <= WEAK
    source = np.where(weak, FROM_WEAK_EVENTS, FROM_EVENTS)
    if told is not None:
        actions, names = view.settings.actions, ("unknown", *view.settings.vocabularies["band"].values)
        of_band = np.array([values.index(actions.stage_by_band[name]) for name in names])
        by_band = (told.band > 0) & (~shown | weak)
        place[by_band], source[by_band] = of_band[told.band[by_band]], FROM_BAND
    return pa.array(values).take(pa.array(place, mask=place < 0)), pa.array(source, pa.string(), mask=place < 0)


def _statuses(view: AccountsView) -> pa.ListArray:
    """The declared statuses that surely hold and that a CRM may see."""
    rules = StatusRules.of(view.settings)
    shown = view.settings.activation.shown_statuses
    on, n = view.as_of.astimezone(UTC).date(), view.facts.n
    found = np.zeros((n, len(rules.statuses)), dtype=np.bool_)
    for place, (status, condition) in enumerate(zip(rules.statuses, rules.conditions, strict=True)):
        if status.id in shown:
            columns = {f: view.facts.columns[f].reshape(-1) for f in facts_used(condition) if f in view.facts.columns}
            found[:, place] = as_columns(condition, rules.surely.domain, on)(columns)[0].reshape(-1)
    names = pa.array([status.id for status in rules.statuses], pa.string())
    return _list_array(found.sum(axis=1), names.take(pa.array(np.nonzero(found)[1])))


def _private(view: AccountsView) -> Bools:
    """Patients and caregivers: what their account is, is nothing that marketing tags them with."""
    on = view.as_of.astimezone(UTC).date()
    return view.rules.surely(view.rules.settings.leave_out, view.facts, on)


def _until(view: AccountsView, held: Held, definitions: Sequence[Any], units: int) -> pa.Array:
    """Until when each unit's tags are good: some days on, and never past the approval of a segment they name."""
    latest = microseconds(view.as_of) + view.settings.activation.valid_days * MICROSECONDS_A_DAY
    ends = np.array(
        [_NEVER if d.approval is None else _midnight_after(d.approval.expires_on) for d in definitions], dtype=np.int64
    )
    found = np.full(units, latest, dtype=np.int64)
    np.minimum.at(found, held.unit, ends[held.segment])
    distinct, place = np.unique(found, return_inverse=True)
    words = [instant_of(micros) for micros in distinct.tolist()]
    return pa.array(words, pa.string()).take(pa.array(place.reshape(-1)))


def _midnight_after(day: date) -> int:
    return microseconds(datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1))


def _lists(held: Held, units: int, names: Sequence[str], later: Bools | None = None, *, skip: int = -1) -> pa.ListArray:
    """For each unit the names of its rows, by the order of segments; rows marked `later` come after the others."""
    rows = np.flatnonzero(held.segment != skip)
    last = np.zeros(len(rows), dtype=np.bool_) if later is None else later[rows]
    rows = rows[np.lexsort((held.segment[rows], last, held.unit[rows]))]
    words = pa.array(list(names), pa.string()).take(pa.array(held.segment[rows]))
    return _list_array(np.bincount(held.unit[rows], minlength=units), words)


def _list_array(sizes: NDArray[Any], values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)), values)


def _or_empty(lists: pa.ListArray) -> pa.ListArray:
    """Lists, empty where there is none."""
    return _list_array(pc.fill_null(pc.list_value_length(lists), 0).to_numpy(), lists.flatten())


def _versions(map_: Any) -> tuple[str, ...]:
    return tuple(f"{definition.id}@{definition.version}" for definition in map_.definitions)


def _facet(view: AccountsView, fact: str, told: Bools | None = None) -> pa.Array:
    """A fact of the leads in words, of those only of whom it may be told."""
    codes = view.lead_codes(fact)
    return _words(view.settings.facts[fact].values, codes if told is None else np.where(told, codes, 0))


def _field(view: AccountsView, fact: str, rows: NDArray[np.int64]) -> pa.Array:
    return _words(view.settings.facts[fact].values, view.account_codes(fact)[rows])


def _words(values: tuple[str, ...], codes: NDArray[Any]) -> pa.Array:
    return pa.array(values, pa.string()).take(pa.array(codes.astype(np.int64) - 1, mask=codes <= 0))


def _at(values: pa.Array, rows: NDArray[Any]) -> pa.Array:
    return values.take(pa.array(rows.astype(np.int64), mask=(rows < 0) | (rows >= len(values))))


def _days(micros: NDArray[np.int64]) -> pa.Array:
    """The UTC day of instants."""
    days = np.floor_divide(micros, MICROSECONDS_A_DAY).astype(np.int32)
    return pa.array(days, pa.int32(), mask=micros == UNKNOWN_INSTANT).cast(pa.date32())


def _account_instants(view: AccountsView, account: NDArray[Any]) -> NDArray[np.int64]:
    verified = exact(view.known.accounts, "verified_at", np.int64, len(view.known.account_ids))
    if not len(verified):
        return np.full(len(account), UNKNOWN_INSTANT)
    found: NDArray[np.int64] = np.where(account >= 0, verified[np.maximum(account, 0)], UNKNOWN_INSTANT)
    return found
