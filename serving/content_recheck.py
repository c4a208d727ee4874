"""What a changed label or guideline touches: assets, claims, segments, campaigns, and who was sent them lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np

from configs.content import Asset
from configs.label_changes import LabelChange
from configs.settings import Settings
from features.intake.campaigns import Campaign
from features.tables import Tables, microseconds
from serving.actions.content_check import segments_of, statuses

State = Literal["waits", "looked at", "approved since", "not offered"]


@dataclass(frozen=True, slots=True)
class Sent:
    """How often an asset was sent, and to how many leads: in the window before the change, and from that day on."""

    times_before: int
    leads_before: int
    times_since: int
    leads_since: int


@dataclass(frozen=True, slots=True)
class Touched:
    """An asset that a change touches: why, how it stands, and everything that uses it.

    `claims` are those that cite a changed reference or are about a changed indication, all of them where the change
    names neither; `active` are those of `segments` that hold anybody; `campaigns` are those that offer it, running or
    to come. `sent` is None without touches.
    """

    asset_id: str
    why: tuple[str, ...]
    state: State
    says: str
    claims: tuple[str, ...]
    segments: Mapping[str, tuple[str, ...]]
    active: Mapping[str, tuple[str, ...]]
    campaigns: tuple[str, ...]
    sent: Sent | None = None


@dataclass(frozen=True, slots=True)
class RecheckReport:
    """What one change touches, as of a day; `gaps` are segment and stage pairs left with nothing approved to say."""

    change: LabelChange
    on: date
    window_days: int
    touched: tuple[Touched, ...]
    assets: int
    gaps: tuple[tuple[str, str], ...]

    @property
    def waiting(self) -> int:
        """How many touched assets wait for somebody to look at them."""
        return sum(one.state == "waits" for one in self.touched)


def recheck(
    settings: Settings,
    change: LabelChange,
    on: date,
    *,
    campaigns: Sequence[Campaign] = (),
    tables: Tables | None = None,
    as_of: datetime | None = None,
    window_days: int = 30,
) -> RecheckReport:
    """What a change touches, registered or only thought of, as of a day.

    Args:
        settings: assets, segments and registers.
        change: the change; where it is not registered, nothing waits because of it yet.
        on: the day to judge by.
        campaigns: those that may offer a touched asset.
        tables: where the touches are, if it is to be counted who was sent what.
        as_of: what is known by then is counted; needed with `tables`.
        window_days: how long before the change a touch counts as lately.
    """
    status = {asset.asset_id: word for asset, word in statuses(settings, on)}
    hit = [(asset, why) for asset in settings.assets if (why := change.touches(asset))]
    active = {definition.id for definition in settings.segments if definition.is_active(on)}
    found = []
    for asset, why in hit:
        state, says = _state(change, asset, on, status[asset.asset_id], change in settings.label_changes)
        usable = segments_of(settings, asset)
        found.append(
            Touched(
                asset_id=asset.asset_id,
                why=why,
                state=state,
                says=says,
                claims=_claims(change, asset),
                segments=usable,
                active={segment: stages for segment, stages in usable.items() if segment in active},
                campaigns=tuple(c.campaign_id for c in campaigns if asset.asset_id in c.offers and c.runs_on(on)),
                sent=None if tables is None or as_of is None else _sent(tables, asset, change, as_of, window_days),
            )
        )
    waiting = {one.asset_id for one in found if one.state == "waits"}
    return RecheckReport(
        change, on, window_days, tuple(found), len(settings.assets), _gaps(settings, active, status, waiting)
    )


def _state(change: LabelChange, asset: Asset, on: date, status: str, registered: bool) -> tuple[State, str]:
    looked = change.rechecked(asset.asset_id, on)
    if looked is not None:
        return "looked at", f"by {looked.by} on {looked.on.isoformat()}, {looked.reference}"
    approval = asset.approval
    if approval is not None and approval.on > change.changed_on:
        return "approved since", f"on {approval.on.isoformat()}, {approval.reference}"
    if registered and change.awaits(asset, on) and status == "recheck":
        return "waits", f"not offered since {change.changed_on.isoformat()}"
    if status in ("approved", "recheck"):
        return "waits", f"would not be offered from {change.changed_on.isoformat()} on"
    return "not offered", f"it is {status} anyway"


def _claims(change: LabelChange, asset: Asset) -> tuple[str, ...]:
    named = set(change.indications)
    cited = set(change.references)
    return tuple(
        claim.text_id
        for claim in asset.claims or ()
        if (not cited or cited & set(claim.references))
        and (not named or claim.indication is None or claim.indication in named)
    )


def _sent(tables: Tables, asset: Asset, change: LabelChange, as_of: datetime, window_days: int) -> Sent:
    rows = tables.touches
    places = np.flatnonzero(tables.asset_ids == asset.asset_id)
    if not rows or not len(places):
        return Sent(0, 0, 0, 0)
    day = datetime.combine(change.changed_on, datetime.min.time(), tzinfo=UTC)
    start, first, end = (microseconds(at) for at in (day - timedelta(days=window_days), day, as_of))
    of_it = (rows["asset"] == places[0]) & (rows["recorded_at"] <= end) & (rows["sent_at"] <= end)
    counts = []
    for low, high in ((start, first), (first, end + 1)):
        inside = of_it & (rows["sent_at"] >= low) & (rows["sent_at"] < high)
        counts += [int(inside.sum()), len(np.unique(rows["lead"][inside]))]
    return Sent(*counts)


def _gaps(
    settings: Settings, active: set[str], status: Mapping[str, str], waiting: set[str]
) -> tuple[tuple[str, str], ...]:
    """Stages of active segments at which something could be said before, and nothing can without what waits."""
    spoken: dict[tuple[str, str], bool] = {}
    for asset in settings.assets:
        if status[asset.asset_id] not in ("approved", "recheck"):
            continue
        for segment, stages in segments_of(settings, asset).items():
            for stage in stages if segment in active else ():
                left = status[asset.asset_id] == "approved" and asset.asset_id not in waiting
                spoken[segment, stage] = spoken.get((segment, stage), False) or left
    return tuple(sorted(pair for pair, left in spoken.items() if not left)) if waiting else ()
