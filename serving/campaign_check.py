"""A look at campaigns before they run: their names, segments, offers, goal, spend and days.

What is over is only noted: nothing can be mended. An error is what would spend money on nobody, or say what may not be
said; a warning is what makes results hard to read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations
from pathlib import Path
from typing import Literal

from configs.errors import InputInvalid
from configs.settings import Settings
from features.intake.campaigns import Campaign
from serving.actions.content_check import segments_of, statuses

Level = Literal["error", "warning", "over"]


@dataclass(frozen=True, slots=True)
class Remark:
    """What is wrong with a campaign: the field, in words, and how bad it is."""

    campaign_id: str
    field: str
    says: str
    level: Level


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """What a check found on a day. `read` campaigns, of which `running` run then or later."""

    on: date
    read: int
    running: int
    remarks: tuple[Remark, ...]

    @property
    def errors(self) -> int:
        """How many remarks stop a campaign."""
        return sum(one.level == "error" for one in self.remarks)


def check_campaigns(plans: Sequence[Campaign], settings: Settings, on: date) -> CampaignReport:
    """Look at every campaign, as of a day; what is over has its errors noted only."""
    times = Counter(plan.campaign_id for plan in plans)
    found: list[Remark] = []
    running = [plan for plan in plans if plan.runs_on(on)]
    for plan in plans:
        over = plan not in running
        for field, says, level in _remarks(plan, settings, on, times[plan.campaign_id]):
            found.append(Remark(plan.campaign_id, field, says, "over" if over else level))
    found += _beside(running)
    return CampaignReport(on, len(plans), len(running), tuple(found))


def _remarks(plan: Campaign, settings: Settings, on: date, times: int) -> Iterator[tuple[str, str, Level]]:
    if times > 1:
        yield "campaign_id", f"expected each id once, found it {times} times", "error"
    yield from _of_name(plan, settings)
    yield from _of_days(plan, settings)
    yield from _of_segments(plan, settings, on)
    yield from _of_offers(plan, settings, on)
    goals = settings.campaign_names.goals
    if plan.goal is None:
        yield "goal", "expected a goal: without one nobody can say whether it worked", "error"
    elif goals and plan.goal not in goals:
        yield "goal", f"expected one of {', '.join(goals)}, found {plan.goal!r}", "error"
    if plan.spend_cents is None:
        yield "spend", "expected an amount: without one there is no cost per lead and no return", "error"


def _of_name(plan: Campaign, settings: Settings) -> Iterator[tuple[str, str, Level]]:
    if plan.name is None:
        yield "name", f"expected a name such as {settings.campaign_names.example}", "error"
        return
    said, wrong = settings.campaign_names.read(
        plan.name, {name: vocabulary.values for name, vocabulary in settings.vocabularies.items()}
    )
    for one in wrong:
        yield "name", one, "error"
    own = {"product": plan.product, "channel": plan.channel, "goal": plan.goal}
    for part, value in own.items():
        if part in said and value is not None and said[part] != value:
            yield "name", f"says {part} {said[part]}, the record says {value}", "error"
    start = plan.started_on
    if "month" in said and start is not None and said["month"] != f"{start:%Y%m}":
        yield "name", f"says {said['month']}, it starts on {start.isoformat()}", "error"


def _of_days(plan: Campaign, settings: Settings) -> Iterator[tuple[str, str, Level]]:
    start, end = plan.started_on, plan.ended_on
    if start is None:
        yield "started_on", "expected a day: results have no window without one", "error"
    if end is None:
        yield "ended_on", "no last day, so it is never over and never reviewed", "warning"
    if start is not None and end is not None:
        if end < start:
            yield "ended_on", f"expected a day not before {start.isoformat()}", "error"
        elif (end - start).days > settings.campaign_names.max_days:
            yield "ended_on", f"runs {(end - start).days} days, at most {settings.campaign_names.max_days}", "warning"


def _of_segments(plan: Campaign, settings: Settings, on: date) -> Iterator[tuple[str, str, Level]]:
    definitions = {definition.id: definition for definition in settings.segments}
    if not plan.segment_ids:
        yield "segment_ids", "expected a segment: a campaign selects segments, not lists of people", "error"
    for name in plan.segment_ids:
        definition = definitions.get(name)
        if definition is None:
            yield "segment_ids", f"no segment is named {name!r}", "error"
            continue
        first = max(on, plan.started_on or on)
        if not definition.is_active(first):
            state = definition.status if definition.status != "approved" else "not approved on that day"
            yield "segment_ids", f"{name} holds nobody on {first.isoformat()}: {state}", "error"
        else:
            ends = definition.approval.expires_on if definition.approval else None
            last = plan.ended_on
            if ends is not None and last is not None and ends < last:
                yield "segment_ids", f"{name} is approved until {ends.isoformat()}, before it ends", "warning"
        if plan.product is not None and definition.product not in (None, plan.product):
            yield "segment_ids", f"{name} is about {definition.product}, the campaign about {plan.product}", "error"


def _of_offers(plan: Campaign, settings: Settings, on: date) -> Iterator[tuple[str, str, Level]]:
    if not plan.offers:
        yield "offers", "names no offers, so offers cannot be compared", "warning"
        return
    assets = {asset.asset_id: asset for asset in settings.assets}
    first = max(on, plan.started_on or on)
    last = plan.ended_on
    status = {asset.asset_id: word for asset, word in statuses(settings, first)}
    for name in plan.offers:
        asset = assets.get(name)
        if asset is None:
            yield "offers", f"no asset is named {name!r}", "error"
            continue
        if status[name] != "approved":
            yield "offers", f"{name} is {_WAITS.get(status[name], status[name])} on {first.isoformat()}", "error"
        elif last is not None and asset.approval is not None and asset.approval.expires_on <= last:
            yield (
                "offers",
                f"{name} may be used until {asset.approval.expires_on.isoformat()}, before it ends",
                "warning",
            )
        if plan.product is not None and asset.product not in (None, plan.product):
            yield "offers", f"{name} is about {asset.product}, the campaign about {plan.product}", "error"
        if plan.channel is not None and plan.channel not in asset.channels:
            yield "offers", f"{name} is not for the channel {plan.channel}", "error"
        usable = segments_of(settings, asset)
        for segment in plan.segment_ids:
            if segment not in usable and asset.intent != "medical_information":
                yield "offers", f"{segment} cannot use {name}: see purpose, audience, product and layer", "error"


_WAITS: Mapping[str, str] = {"recheck": "waiting for a new look, because a label or guideline changed,"}


def _beside(running: Sequence[Campaign]) -> Iterator[Remark]:
    """Campaigns that select one segment on one channel on the same days: results of either are results of both."""
    for one, other in combinations(running, 2):
        shared = sorted(set(one.segment_ids) & set(other.segment_ids))
        if shared and one.channel == other.channel and one.channel is not None and _at_once(one, other):
            says = f"runs beside {other.campaign_id} on {one.channel} for {', '.join(shared)}: their results mix"
            yield Remark(one.campaign_id, "segment_ids", says, "warning")


def _at_once(one: Campaign, other: Campaign) -> bool:
    far = timedelta(days=36_500)

    def ends(plan: Campaign) -> tuple[date, date]:
        start = plan.started_on or date(1970, 1, 1)
        return start, plan.ended_on or start + far

    (first, until), (second, other_until) = ends(one), ends(other)
    return first <= other_until and second <= until


def campaigns_file(path: Path | None, data: Path | None) -> Path:
    """The file of campaigns: the one named, else that of a data folder; raises InputInvalid where there is none."""
    from features.intake.sources import find_files

    if path is not None:
        if not path.is_file():
            raise InputInvalid(str(path), "expected a file of campaigns (.parquet, .csv or .jsonl)")
        return path
    if data is None:
        raise InputInvalid("FILE", "expected a file of campaigns, or --data FOLDER with one")
    files = find_files(data)
    if "campaigns" not in files:
        raise InputInvalid(str(data), "expected a file named campaigns.parquet, .csv or .jsonl")
    return files["campaigns"]
