"""Who may be tagged with which segments: memberships of the state that are approved, fresh and lawful today.

Whatever is not given to a CRM is withheld with a reason and counted; what is unclear is withheld.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from configs.conditions import Compare, Condition, In, leaves
from configs.data_use import DataUse
from configs.settings import Settings
from features.tables import NO, UNKNOWN_INSTANT, YES
from models.segments.map import SegmentMap
from models.segments.moves import STATUSES, Held
from policy.profiling import may_not_be_profiled
from serving.accounts.view import AccountsView
from serving.files import FORMULA

Bools = NDArray[np.bool_]
# Why a lead or an account is given no tags, the first that holds. They say no more than a CRM needs.
MERGED, NOT_KNOWN, NO_PROFILING, NOT_CLEAR, NOT_PLACED, UNSAFE_ID, NO_PEOPLE, STALE = REASONS = (
    "MERGED_INTO_ANOTHER",
    "NOT_KNOWN_YET",
    "MAY_NOT_BE_PROFILED",
    "PROFILING_NOT_CLEAR",
    "NOT_PLACED_IN_A_SEGMENT",
    "ID_READS_AS_A_FORMULA",
    "NO_PEOPLE_IN_BUYING_GROUP",
    "NOT_VERIFIED_IN_TIME",
)
# Why a segment's members are not tagged with it.
UNDEFINED, NOT_APPROVED, EXPIRED, BELOW_HYGIENE, OTHER_VERSION, HEALTH = (
    "NOT_DEFINED",
    "NOT_APPROVED",
    "APPROVAL_DOES_NOT_COVER_THE_DAY",
    "BELOW_HYGIENE_MINIMUM",
    "PLACED_BY_ANOTHER_VERSION",
    "TELLS_OF_HEALTH",
)


@dataclass(frozen=True, slots=True)
class Tagged:
    """The memberships that may be told, as rows over the leads of the data and the segments of the map.

    `reason` says of each lead why it is withheld, "" where it is not; `primary` is a place in the map, and
    `by_consent` says of which leads it tells of health because they agreed. `segments` counts by segment and reason the
    memberships that are not told.
    """

    segment_map: SegmentMap
    held: Held
    reason: NDArray[np.object_]
    primary: NDArray[np.int64]
    since: NDArray[np.int64]
    status: NDArray[np.int8]
    by_consent: Bools
    segments: Mapping[tuple[str, str], int]


def tagged(view: AccountsView, memberships: pa.Table, settings: Settings, below: Sequence[str]) -> Tagged:
    """Which leads may be tagged with which segments on the day of the view.

    Args:
        view: everybody as known.
        memberships: of the state, with its columns.
        settings: the configuration with the approvals in force.
        below: segments below their hygiene minimum on this data.

    INVARIANT: no membership of a segment whose approval does not cover the day is told, and none of a segment that
    tells of health of anybody of whom health may not be told.
    """
    segment_map = SegmentMap.load(settings)
    names = pc.unique(memberships["segment_id"]).to_pylist()
    still = memberships.filter(pc.is_null(memberships["left_at"]))
    lead = pc.index_in(still["lead_id"], pa.array(view.known.lead_ids, pa.string()))
    still = still.filter(pc.is_valid(lead))
    rows = pc.drop_null(lead).to_numpy().astype(np.int64)
    reason = _reasons(view, rows)
    place = {name: s for s, name in enumerate(segment_map.segment_ids)}
    barred = {name: _barred(name, segment_map, settings, view, below) for name in names}
    own = pc.index_in(still["segment_id"], pa.array(names, pa.string())).to_numpy().astype(np.int64)
    segment = np.array([place.get(name, -1) for name in names] + [-1])[own]
    version = still["version"].to_numpy()
    defined = np.array([definition.version for definition in segment_map.definitions])
    other = (segment >= 0) & (version != defined[segment])
    telling = _tells_of_health(segment_map, settings.data_use)
    health = telling[segment] & ~health_told(view)[rows]
    why = np.array([*(barred[name] for name in names), ""], dtype=object)[own]
    why = np.where(why != "", why, np.where(other, OTHER_VERSION, np.where(health, HEALTH, "")))
    why[(segment == segment_map.residual) & (why != UNDEFINED)] = ""
    speaks = reason[rows] == ""
    counts: dict[tuple[str, str], int] = {}
    for at in np.flatnonzero((why != "") & speaks).tolist():
        key = (names[own[at]], str(why[at]))
        counts[key] = counts.get(key, 0) + 1
    kept = np.flatnonzero((why == "") & speaks)
    entered = still["entered_at"].cast(pa.int64()).to_numpy().astype(np.int64)
    status = pc.index_in(still["status"], pa.array(STATUSES)).to_numpy().astype(np.int8)
    primary = still["primary"].to_numpy(zero_copy_only=False).astype(np.bool_)
    held = Held(
        unit=rows[kept], segment=segment[kept].astype(np.int32), version=version[kept].astype(np.int32),
        entered_at=entered[kept], left_at=np.full(len(kept), UNKNOWN_INSTANT), status=status[kept],
        entry=still["entry"].to_numpy()[kept].astype(np.int32), primary=primary[kept],
    )  # fmt: skip
    n = len(view.known.lead_ids)
    first, since = _primaries(held, segment_map, n)
    # A paused lead stays paused whichever of its segments may be told.
    standing = np.zeros(n, dtype=np.int8)
    standing[rows[primary]] = status[primary]
    by_consent = telling[first] & ~spared(view)
    return Tagged(segment_map, held, reason, first, since, standing, by_consent, counts)


def _reasons(view: AccountsView, placed: NDArray[np.int64]) -> NDArray[np.object_]:
    known = view.known
    n = len(known.lead_ids)
    is_placed = np.zeros(n, dtype=np.bool_)
    is_placed[placed] = True
    surely, perhaps = may_not_be_profiled(view.book, view.facts)
    # Who objects is not tagged anywhere, also where the law would let a model score them.
    for name in ("erased_or_restricted", "profiling_objection"):
        surely |= view.lead_codes(name) == YES
    found = np.full(n, "", dtype=object)
    for word, holds in (
        (UNSAFE_ID, unsafe(known.lead_ids)),
        (NOT_PLACED, ~is_placed),
        (NOT_CLEAR, perhaps),
        (NO_PROFILING, surely),
        (NOT_KNOWN, ~known.present),
        (MERGED, np.zeros(n, dtype=np.bool_) if known.merged is None else known.merged.away),
    ):
        found[holds] = word
    return found


def unsafe(ids: NDArray[np.object_]) -> Bools:
    """Ids that a spreadsheet would run: to escape them would make them other ids."""
    risky = pc.match_substring_regex(pa.array(ids, pa.string()), FORMULA)
    return np.asarray(risky.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _barred(name: str, map_: SegmentMap, settings: Settings, view: AccountsView, below: Sequence[str]) -> str:
    """Why nobody may be tagged with a segment today, "" where somebody may."""
    definition = next((one for one in settings.segments if one.id == name), None)
    if definition is None:
        return UNDEFINED
    if definition.residual:
        return ""
    if name not in map_.segment_ids:
        return NOT_APPROVED
    if not definition.is_active(view.book.on):
        return EXPIRED
    return BELOW_HYGIENE if name in below else ""


def _primaries(held: Held, map_: SegmentMap, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The primary segment of each lead and since when: its own if that may be told, else the first that may."""
    counts = ~map_.overlays[held.segment]
    rows = np.flatnonzero(counts)
    order = rows[np.lexsort((held.segment[rows], ~held.primary[rows], held.unit[rows]))]
    unit = held.unit[order]
    first = order[np.append(True, unit[1:] != unit[:-1])] if len(order) else order
    primary, since = np.full(n, map_.residual, dtype=np.int64), np.full(n, UNKNOWN_INSTANT)
    primary[held.unit[first]], since[held.unit[first]] = held.segment[first], held.entered_at[first]
    return primary, since


def spared(view: AccountsView) -> Bools:
    """Leads whom the rules on health data spare: what known professionals and buyers ask about is their work."""
    rules = [set(rule.spares) for rule in view.settings.data_use.rules if rule.spares]
    audiences = set.intersection(*rules) if rules else set()
    codes = [view.settings.vocabularies["audience"].code(audience) for audience in sorted(audiences)]
    return np.asarray(np.isin(view.lead_codes("audience"), codes), dtype=np.bool_)


def health_told(view: AccountsView) -> Bools:
    """Leads of whom a CRM may be told a condition: who is spared, and where that is declared, who agreed."""
    if view.settings.activation.health == "professionals":
        return spared(view)
    agreed = (view.lead_codes("health_consent") == YES) & (view.lead_codes("sharing_opt_out") == NO)
    return np.asarray(spared(view) | agreed, dtype=np.bool_)


def _tells_of_health(map_: SegmentMap, use: DataUse) -> Bools:
    """For each segment, and for no segment at the end, whether being in it tells of health."""
    sensitive = {rule.id for rule in use.rules if rule.spares}
    fields: dict[str, tuple[str, ...]] = {}
    for kind in use.kinds:
        if sensitive.intersection(kind.rules):
            fields |= kind.lead_fields
    found = [a.enter is not None and _looks_at(a.enter, fields) for a in map_.activations]
    return np.array([*found, False], dtype=np.bool_)


def _looks_at(condition: Condition, fields: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether a condition asks for a sensitive field, or for one of the values that make a field sensitive."""
    for leaf in leaves(condition):
        values = fields.get(leaf.fact)
        if values is None:
            continue
        asked = leaf.values if isinstance(leaf, In) else (leaf.value,) if isinstance(leaf, Compare) else ()
        if not values or set(values).intersection(str(value) for value in asked):
            return True
    return False
