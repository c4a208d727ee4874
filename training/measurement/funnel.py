"""The funnel from a lead's creation: which share reaches each stage within a horizon, as far as the records can tell.

A lead whose horizon is not over yet is followed as long as it is known and then leaves the count: it is right-censored,
not without success (Kaplan and Meier 1958; Greenwood's variance on the log-log scale). A lost lead stays in the count
until today, so that it is one that did not get there and still may: with a known end of follow-up this is the
cumulative incidence beside the competing event (Fine and Gray 1999), and no lost lead is taken for one that would go on
as the others do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputInvalid
from configs.settings import Settings
from configs.targets import Target
from features.facts import facts_of
from features.inventory import Inventory
from features.links import follow_links
from features.pipeline import fit_spec
from features.tables import MICROSECONDS_A_DAY, UNKNOWN_INSTANT, Tables, microseconds
from features.view import view_at
from models.segments.map import SegmentMap
from training.dataset.censoring import Starts, day_of_instant, silent_since
from training.dataset.rows import Rows

Instants = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

EVERYBODY = "everybody"
# A lead belongs to the segment it was in at the first of these days after its creation: what it is in today would
# already know what became of it.
LANDMARK_DAYS = 30
MIN_LEADS = 20
Z_95, TAIL = 1.959963984540054, 0.025
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Incidence:
    """How many of some leads get somewhere within a horizon; `reached` + `without` + `too_young` = `leads`.

    `without` were watched for the whole horizon; `too_young` were not, and have not got there yet. `share` with its
    95 % interval is None where nobody was watched that long or there are fewer than MIN_LEADS; `median_days` is that of
    those who get there within the horizon.
    """

    leads: int
    reached: int
    without: int
    too_young: int
    share: float | None
    low: float | None
    high: float | None
    median_days: float | None


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage: how many reach it from their creation, and from the stage before.

    `implied` leads reached it by the record of a later stage alone. Leads count from `since` on, when this stage and
    every later one that ever was recorded were; None where none was. `recorded` says whether the stage itself ever was.
    """

    stage: str
    says: str
    from_creation: Incidence
    from_before: Incidence
    implied: int
    since: date | None
    recorded: bool


@dataclass(frozen=True, slots=True)
class FunnelGroup:
    """The stages of everybody or of one segment."""

    name: str
    stages: tuple[StageRow, ...]


@dataclass(frozen=True, slots=True)
class Funnel:
    """The funnel as of an instant; `counts` say what became of every lead id and add up to `read`.

    `silent_since` is the day after which no stage was recorded, where chance does not explain it: shares are then low.
    """

    as_of: datetime
    horizon_days: int
    outcomes_from: date | None
    read: int
    counts: dict[str, int]
    groups: tuple[FunnelGroup, ...]
    silent_since: date | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """Leads with their creation and their first instant of each stage, NEVER where there is none, up to a cut.

    `first` counts later stages too, `first_own` does not; `since` and `begins` say since when each stage can be told
    and was recorded itself.
    """

    stages: Sequence[Target]
    created: Instants
    first: Sequence[Instants]
    first_own: Sequence[Instants]
    since: Sequence[int | None]
    begins: Sequence[int | None]
    cut: int
    horizon_days: int

    def group(self, name: str, mine: Bools) -> FunnelGroup:
        """The stages of some of the leads, each from their creation and from the stage before."""
        found, before = [], self.created
        for stage, reached, alone, start, itself in zip(
            self.stages, self.first, self.first_own, self.since, self.begins, strict=True
        ):
            watched = mine & (self.created >= (self.cut + 1 if start is None else start))
            there = watched & (before != NEVER)
            found.append(
                StageRow(
                    stage.id,
                    stage.says,
                    incidence(self.created[watched], reached[watched], self.cut, self.horizon_days),
                    incidence(before[there], reached[there], self.cut, self.horizon_days),
                    int((watched & (reached != NEVER) & (alone == NEVER)).sum()),
                    day_of_instant(start),
                    itself is not None,
                )
            )
            before = reached
        return FunnelGroup(name, tuple(found))


def incidence(start: Instants, reached: Instants, as_of: int, horizon_days: int) -> Incidence:
    """Share that reaches something within (and exactly at) the horizon after its start, in microseconds; NEVER if not.

    INVARIANT: a lead whose horizon is not over is never counted as one that did not get there.
    """
    horizon = horizon_days * MICROSECONDS_A_DAY
    age = as_of - start
    took = np.where(reached == NEVER, NEVER, np.maximum(reached - start, 0)) if len(start) else start
    within = took <= horizon
    young = ~within & (age < horizon)
    counts = (len(start), int(within.sum()), int((~within & ~young).sum()), int(young.sum()))
    if len(start) < MIN_LEADS or int((age >= horizon).sum()) == 0:
        return Incidence(*counts, None, None, None, None)
    if not within.any():
        # Nobody got there: the exact upper end of a share of none, of those watched for the whole horizon.
        return Incidence(*counts, 0.0, 0.0, 1.0 - TAIL ** (1.0 / counts[2]), None)
    followed = np.minimum(np.where(within, took, age), horizon)
    at, survival, variance = product_limit(followed, within)
    share = 1.0 - float(survival[-1])
    # Half of those who get there within the horizon have done so by then.
    median = float(at[np.argmax(1.0 - survival >= share / 2 - 1e-12)]) / MICROSECONDS_A_DAY
    if share >= 1.0:
        return Incidence(*counts, 1.0, TAIL ** (1.0 / counts[0]), 1.0, median)
    factor = np.exp(Z_95 * np.sqrt(variance[-1]) / abs(np.log(survival[-1])))
    low, high = 1.0 - float(survival[-1] ** (1.0 / factor)), 1.0 - float(survival[-1] ** factor)
    return Incidence(*counts, share, low, high, median)


def product_limit(followed: Instants, event: Bools) -> tuple[Instants, Floats, Floats]:
    """Distinct times of events in rising order, the share without event after each, and Greenwood's sum up to it.

    Of those followed to the very time of an event, the ones without it were still watched then.
    """
    at, events = np.unique(followed[event], return_counts=True)
    at_risk = len(followed) - np.searchsorted(np.sort(followed), at, side="left")
    survival = np.asarray(np.cumprod(1.0 - events / at_risk), dtype=np.float64)
    with np.errstate(divide="ignore"):
        return at, survival, np.cumsum(events / (at_risk * (at_risk - events)))


def funnel(
    tables: Tables,
    settings: Settings,
    as_of: datetime,
    *,
    horizon_days: int,
    by_segment: bool = True,
    progress: Progress | None = None,
) -> Funnel:
    """The funnel of every lead created since outcomes are recorded; raises InputInvalid where there is none.

    A lead that was there before is left out: what it had reached by then, nobody wrote down.
    """
    tell = progress or (lambda what, share: None)
    stages = settings.targets.stages
    if not stages:
        raise InputInvalid("targets.yaml", "expected the stages of the funnel under funnel:")
    rows = Rows(settings, fit_spec(settings), SegmentMap.load(settings), as_of.date())
    now = view_at(tables, as_of, rows.builder.view)
    people = follow_links(tables, as_of, rows.builder.view.links)
    cut, n = microseconds(as_of), len(now.lead_ids)
    code = settings.vocabularies["outcome_kind"].code
    codes = [[code(kind) for kind in stage.kinds] for stage in stages]
    own = [[code(kind) for kind in settings.targets.own_kinds(stage.id)] for stage in stages]
    starts = Starts.of(tables, settings, as_of)
    begins = [starts.of_outcomes(tables, kinds, as_of) for kinds in own]
    since = stage_starts(begins)
    begun = min((start for start in since if start is not None), default=None)
    created = now.leads.get("created_at", np.full(n, UNKNOWN_INSTANT, dtype=np.int64))
    first = [_first(people, kinds, cut, n) for kinds in codes]
    first_own = [_first(people, kinds, cut, n) for kinds in own]
    known = now.present & rows.may_learn_from(now)
    undated = known & (created == UNKNOWN_INSTANT)
    older = known & ~undated & (created < (begun if begun is not None else cut + 1))
    earlier = known & ~undated & ~older & (first[0] < created)
    used = known & ~undated & ~older & ~earlier
    counts = {
        "followed from their creation": int(used.sum()),
        "created before outcomes were recorded": int(older.sum()),
        "an outcome before their creation": int(earlier.sum()),
        "creation not known": int(undated.sum()),
        "not known, merged away, or may not be learned from": int((~known).sum()),
    }
    if not used.any():
        day = day_of_instant(begun)
        said = f"outcomes are recorded from {day} on" if day is not None else "no outcome of any stage was recorded"
        raise InputInvalid("outcomes", f"expected leads created since outcomes are recorded, found none: {said}")

    followed = Followed(stages, created, first, first_own, since, begins, cut, horizon_days)
    groups = [followed.group(EVERYBODY, used)]
    if by_segment:
        segment = landmark_segments(tables, rows, created, used, as_of, tell)
        ids = rows.segment_map.segment_ids
        groups += [
            followed.group(ids[s], used & (segment == s)) for s in np.unique(segment[used & (segment >= 0)]).tolist()
        ]
    silent = silent_since(tables.outcomes, codes[0], as_of)
    return Funnel(as_of, horizon_days, day_of_instant(begun), n, counts, tuple(groups), silent)


def stage_starts(own: Sequence[int | None]) -> list[int | None]:
    """Since when each stage can be told: since it and every later stage, that ever was recorded, were."""
    found: list[int | None] = []
    latest: int | None = None
    for start in reversed(own):
        latest = start if latest is None else latest if start is None else max(latest, start)
        found.append(latest)
    return found[::-1]


def landmark_segments(
    tables: Tables, rows: Rows, created: Instants, used: Bools, as_of: datetime, tell: Progress
) -> Instants:
    """Primary segment of each used lead as known at the first landmark after its creation, -1 for none."""
    inventory = Inventory.of((), rows.settings.vocabularies)
    found = np.full(len(created), -1, dtype=np.int64)
    first = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(created[used].min()))
    count = max((as_of - first).days // LANDMARK_DAYS, 0)
    days = [as_of - timedelta(days=LANDMARK_DAYS * k) for k in range(count, -1, -1)]
    earlier = UNKNOWN_INSTANT
    for number, day in enumerate(days):
        tell(f"segments as known on {day:%Y-%m-%d}", number / len(days))
        at = microseconds(day)
        mine = used & (created > earlier) & (created <= at)
        earlier = at
        if mine.any():
            known = view_at(tables, day, rows.builder.view)
            facts = facts_of(known, rows.builder, inventory)
            primary = rows.segment_map.members(facts, as_of=day, approved_on=rows.approved_on).primary
            found[mine] = np.where(known.present, primary, -1)[mine]
    return found


def _first(tables: Tables, kinds: Sequence[int], cut: int, n: int) -> Instants:
    """When each lead first reached an outcome of these kinds, as known at the cut; NEVER where it did not."""
    found = np.full(n, NEVER, dtype=np.int64)
    outcomes = tables.outcomes
    if outcomes:
        at = outcomes["occurred_at"]
        kept = (at <= cut) & (outcomes["recorded_at"] <= cut) & np.isin(outcomes["kind"], kinds)
        kept &= outcomes["lead"] >= 0
        np.minimum.at(found, outcomes["lead"][kept], at[kept])
    return found
