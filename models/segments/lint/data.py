"""Mistakes that only leads can show: size, overlap, fields too few have, and who still names a segment that is gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from configs.conditions import And, facts_used
from configs.content import Approval
from configs.definitions import SegmentDefinition
from configs.settings import Settings
from features.evaluate import Domain, as_columns, as_english
from features.facts import FactBuilder, Facts, facts_of
from features.intake.campaigns import Campaign
from features.intake.quality.findings import QualityReport
from features.inventory import Inventory
from features.tables import UNKNOWN_INSTANT, Tables, microseconds
from features.view import view_at
from models.hygiene import Gate, judge
from models.segments.lint.findings import CODES, Finding, Level, finding
from models.segments.map import SegmentMap
from models.shares import wilson

MAX_OVERLAP = 0.8
# Fewer members than this lie inside another segment by chance.
MIN_INSIDE = 10
TINY_SHARE = 0.25
MIN_SPRAWL = 8
SHOWN = 5
_CODE_OF = {"known": "UNRELIABLE_FIELD", "mapped": "UNRELIABLE_FIELD", "stale": "STALE_FIELD", "share": "OVER_BROAD"}

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Forecast:
    """How many leads a segment holds, or would hold where those looked at are a sample; with a 95 % interval then."""

    leads: int
    low: int
    high: int
    share: float

    @property
    def words(self) -> str:
        """As a person reads it."""
        if self.low == self.high:
            return f"{self.leads:,} leads"
        return f"about {self.leads:,} leads (95 % interval {self.low:,} to {self.high:,})"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a set of leads says of a map, drafts counted as if they were approved.

    `member` is lead by segment in the order of the map. `stands_for` is how many leads these are a sample of, None
    where they are all. `held` and `past` count open and ended prior memberships by segment id. `tightest` is, for a
    segment below its floor, the part of entry without which it would hold the most leads, and how many of these.
    """

    on: date
    member: Bools
    stands_for: int | None = None
    gates: tuple[Gate, ...] = ()
    campaigns: tuple[Campaign, ...] = ()
    held: Mapping[str, int] | None = None
    past: Mapping[str, int] | None = None
    tightest: Mapping[str, tuple[str, int]] | None = None

    def forecast(self, column: int) -> Forecast:
        """Size of one segment of the map: counted, or Wilson's interval for a share of what the sample stands for."""
        n, found = len(self.member), int(self.member[:, column].sum())
        share = found / n if n else 0.0
        if self.stands_for is None or not n:
            return Forecast(found, found, found, share)
        low, high = wilson(found, n)
        whole = self.stands_for
        return Forecast(round(share * whole), floor(low * whole), ceil(high * whole), share)


def measure(
    tables: Tables,
    settings: Settings,
    segment_map: SegmentMap,
    as_of: datetime,
    *,
    report: QualityReport | None = None,
    campaigns: Sequence[Campaign] = (),
    stands_for: int | None = None,
) -> Measured:
    """Who would be in which segment of a map if every definition of it were approved, as known at an instant.

    Entry alone decides, without prior memberships: the size a definition asks for, not the one history left.

    Raises:
        ConfigInvalid: quality.yaml names a field that no table has.
    """
    on = as_of.date()
    trial = as_if_approved(segment_map, on)
    builder = FactBuilder.of(settings)
    known = view_at(tables, as_of, builder.view)
    facts = facts_of(known, builder, Inventory.of_settings(settings))
    counted = known.present if known.merged is None else known.present & ~known.merged.away
    held, past = _memberships(tables, as_of)
    member = trial.members(facts, as_of=as_of).member[counted]
    # Drafts take nobody away from the rest, and neither does an overlay: it is never primary.
    placing = [
        s for s, a in enumerate(segment_map.activations) if a.definition.status != "draft" and a.enter and not a.overlay
    ]
    member[:, segment_map.residual] = ~member[:, placing].any(axis=1)
    return Measured(
        on,
        member,
        stands_for,
        judge(tables, settings, trial, as_of, report).failed,
        tuple(campaigns),
        held,
        past,
        _tightest(segment_map, facts, member.sum(axis=0).tolist(), counted, on),
    )


def as_if_approved(segment_map: SegmentMap, on: date) -> SegmentMap:
    """The same map with every definition active on a day, to see what drafts would do."""
    tried = Approval(by="nobody: a trial", on=on, expires_on=on, reference="trial")
    definitions = [
        d if d.residual or d.is_active(on) else d.model_copy(update={"approval": tried})
        for d in segment_map.definitions
    ]
    return SegmentMap(definitions, segment_map.domain)


def map_of(definitions: Sequence[SegmentDefinition], domain: Domain) -> SegmentMap:
    """A map of every definition that is not retired, whatever its status."""
    return SegmentMap([d for d in definitions if d.status != "retired"], domain)


def data_findings(
    segment_map: SegmentMap, measured: Measured, definitions: Sequence[SegmentDefinition]
) -> Iterator[Finding]:
    """What the leads say: sizes, overlap, fields, and names of segments that are gone."""
    yield from _sizes(segment_map, measured)
    yield from _overlaps(segment_map, measured.member)
    own = {definition.id: definition for definition in segment_map.definitions}
    for gate in measured.gates:
        if gate.kind == "segment" and gate.name in own:
            reason = gate.says.removeprefix(f"{gate.name}: ")
            yield finding(own[gate.name], "enter", _CODE_OF[gate.measure], reason)
    if definitions:
        yield from _gone(measured, {definition.id: definition for definition in definitions})


def jaccard(left: Bools, right: Bools) -> float:
    """Shared members over all members of two sets; 0 for two empty ones."""
    union = int(np.sum(left | right))
    return int(np.sum(left & right)) / union if union else 0.0


def nearest(segment_map: SegmentMap, member: Bools, column: int) -> tuple[int, float] | None:
    """The segment that holds most of the members of another, with the share it holds; None where none holds any."""
    own = member[:, column]
    if not own.any():
        return None
    shares = [
        (float(np.mean(member[own, s])), -s)
        for s, d in enumerate(segment_map.definitions)
        if s != column and not d.residual
    ]
    best = max(shares, default=(0.0, 0))
    return (-best[1], best[0]) if best[0] > 0 else None


def _tightest(
    segment_map: SegmentMap, facts: Facts, sizes: Sequence[int], counted: Bools, on: date
) -> dict[str, tuple[str, int]]:
    """For each segment below its floor the part of entry that keeps most leads out, in words, and who it keeps out."""
    found = {}
    for activation, size in zip(segment_map.activations, sizes, strict=True):
        definition, direct = activation.definition, activation.direct
        if size >= definition.size.min_leads or activation.overlay or not isinstance(direct, And):
            continue
        columns = {name: facts.columns[name].reshape(-1) for name in facts_used(direct) if name in facts.columns}
        held = []
        for place, part in enumerate(direct.parts):
            others = And(direct.parts[:place] + direct.parts[place + 1 :])
            entering = as_columns(others, segment_map.domain, on)(columns)[0].reshape(-1)
            held.append((int(np.broadcast_to(entering, (facts.n,))[counted].sum()), -place, part))
        most, _, part = max(held, key=lambda one: one[:2])
        if most > size:
            found[definition.id] = (as_english(part, segment_map.domain, on), most)
    return found


def _sizes(segment_map: SegmentMap, measured: Measured) -> Iterator[Finding]:
    if not len(measured.member):
        return
    small = []
    counted = [d for d in segment_map.definitions if not d.residual and d.status in ("approved", "proposed")]
    for column, definition in enumerate(segment_map.definitions):
        if segment_map.activations[column].overlay:
            continue  # who is ready is not known here
        size, floor_ = measured.forecast(column), definition.size.min_leads
        if size.leads < floor_:
            sure = "" if size.high < floor_ else "; a larger sample would tell"
            reason = f"holds {size.words}, at least {floor_} are needed to learn or report anything{sure}"
            reason += _merge_or_remap(segment_map, measured, column)
            yield finding(definition, "size.min_leads", "TOO_SMALL", reason)
            small += [definition] if definition in counted else []
        if size.share > definition.size.max_share:
            reason = f"holds {size.share:.0%} of leads, at most {definition.size.max_share:.0%} stay specific"
            yield finding(definition, "size.max_share", "TOO_LARGE", reason)
    if len(counted) >= MIN_SPRAWL and len(small) > TINY_SHARE * len(counted):
        reason = f"{len(small)} of {len(counted)} segments are below their floor: {', '.join(d.id for d in small)}"
        yield Finding("segments", "", "segments", "warning", "SPRAWL", reason, CODES["SPRAWL"].mend, "approved")


def _merge_or_remap(segment_map: SegmentMap, measured: Measured, column: int) -> str:
    """Where the members of a segment that is too small would be at home, and what keeps others out."""
    said, found = "", nearest(segment_map, measured.member, column)
    if found is not None:
        place, share = found
        said = f"; {segment_map.segment_ids[place]} holds {share:.0%} of them: merge it there, or remap its content"
    elif measured.member[:, column].any():
        rest = segment_map.segment_ids[segment_map.residual]
        said = f"; no other segment holds any of them, so without it they are in {rest}"
    part, leads = (measured.tightest or {}).get(segment_map.segment_ids[column], ("", 0))
    return said + (f"; without `{part}` it would hold {leads:,} of the data" if part else "")


def _overlaps(segment_map: SegmentMap, member: Bools) -> Iterator[Finding]:
    places = [s for s, definition in enumerate(segment_map.definitions) if not definition.residual]
    overlay = [activation.overlay for activation in segment_map.activations]
    for a, b in ((a, b) for a in places for b in places if a < b):
        # Of a draft and one in use, the finding is the draft's.
        first, second = sorted((a, b), key=lambda s: (segment_map.definitions[s].status != "draft", s))
        left, right = segment_map.definitions[first], segment_map.segment_ids[second]
        shared = jaccard(member[:, a], member[:, b])
        if shared >= MAX_OVERLAP:
            reason = f"shares {shared:.0%} of its members with {right} (Jaccard)"
            yield finding(left, "enter", "OVERLAP", reason)
            continue
        for inner, outer in ((a, b), (b, a)):
            within, around = segment_map.definitions[inner], segment_map.definitions[outer]
            # An overlay is a part of somebody by its nature, and a draft around something in use changes nothing yet.
            if overlay[inner] or (around.status == "draft" and within.status != "draft"):
                continue
            count = int(member[:, inner].sum())
            if count >= MIN_INSIDE and not (member[:, inner] & ~member[:, outer]).any():
                later = "and is never primary" if inner > outer else "and is primary before it"
                reason = f"all its {count:,} members are in {around.id} as well, {later}"
                yield finding(within, "enter", "INSIDE", reason)
                break


def _gone(measured: Measured, known: Mapping[str, SegmentDefinition]) -> Iterator[Finding]:
    """Campaigns and memberships that name a segment nobody has, or one that reaches nobody."""
    naming: dict[tuple[str, bool], list[str]] = {}
    for campaign in measured.campaigns:
        for segment_id in campaign.segment_ids:
            naming.setdefault((segment_id, campaign.runs_on(measured.on)), []).append(campaign.campaign_id)
    for (segment_id, runs), campaigns in sorted(naming.items()):
        listed = ", ".join(sorted(campaigns)[:SHOWN]) + (" and more" if len(campaigns) > SHOWN else "")
        said = f"{len(campaigns)} campaign{'s' if len(campaigns) > 1 else ''} ({listed})"
        definition = known.get(segment_id)
        if definition is None:
            reason = f"{said} select{'' if len(campaigns) > 1 else 's'} {segment_id}, which no definition has"
            yield _of_data("campaigns", segment_id, "UNKNOWN_SEGMENT", reason, error=runs)
        elif runs and definition.status == "retired":
            instead = f"; its successor is {definition.replaced_by}" if definition.replaced_by else ""
            reason = f"{said} still running: {segment_id} is retired{instead}"
            yield _of_data("campaigns", segment_id, "RETIRED_REFERENCE", reason, error=True)
        elif runs and not definition.residual and not definition.is_active(measured.on):
            reason = f"{said} running: {segment_id} is {definition.status}, so it reaches nobody"
            yield _of_data("campaigns", segment_id, "CAMPAIGN_ON_DRAFT", reason, error=False)
    held, past = measured.held or {}, measured.past or {}
    for segment_id in sorted({*held, *past}):
        definition = known.get(segment_id)
        if definition is None:
            reason = f"{held.get(segment_id, 0):,} open and {past.get(segment_id, 0):,} ended memberships name it"
            yield _of_data("memberships", segment_id, "UNKNOWN_SEGMENT", reason, error=segment_id in held)
        elif definition.status == "retired" and held.get(segment_id) and definition.replaced_by is None:
            reason = f"still has {held[segment_id]:,} members and names no successor"
            yield _of_data("memberships", segment_id, "RETIRED_WITH_MEMBERS", reason, error=True)


def _of_data(table: str, segment_id: str, code: str, reason: str, *, error: bool) -> Finding:
    level: Level = "error" if error else "warning"
    return Finding(f"data: {table}", segment_id, "segment_ids", level, code, reason, CODES[code].mend, "data")


def _memberships(tables: Tables, as_of: datetime) -> tuple[dict[str, int], dict[str, int]]:
    """Open and ended prior memberships as known at an instant, by segment id; the latest row of a pair counts."""
    rows = tables.memberships
    if not rows or not len(rows["lead"]):
        return {}, {}
    now = microseconds(as_of)
    until = rows.get("left_at", np.full(len(rows["lead"]), UNKNOWN_INSTANT))
    order = np.lexsort((until, rows["entered_at"], rows["segment"], rows["lead"]))
    order = order[(rows["entered_at"][order] <= now) & (rows["segment"][order] >= 0)]
    lead, segment = rows["lead"][order], rows["segment"][order]
    last = np.append((lead[1:] != lead[:-1]) | (segment[1:] != segment[:-1]), True) if len(order) else np.zeros(0, bool)
    open_ = (until[order] == UNKNOWN_INSTANT) | (until[order] > now)
    counts = [np.bincount(segment[last & chosen], minlength=len(tables.segment_ids)) for chosen in (open_, ~open_)]
    held, past = ({str(tables.segment_ids[s]): int(n) for s, n in enumerate(count) if n} for count in counts)
    return held, past
