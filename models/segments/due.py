"""When a lead must be looked at again though nothing new is learned of it: the first day on which a condition may turn.

Time alone turns conditions in few ways: a row that was written ahead comes into force (a stop, a grant that runs out, a
version recorded later than now), a record grows too old, an event leaves its window, a number of days grows past a
number that a condition compares it with. For each the first whole UTC day is worked out; the earliest counts. Counts
fall by at most one for each event that leaves, so a count of 5 that is asked to be 3 waits for the third event.

INVARIANT: before its day no condition that was asked about turns for a lead whose rows stay as they are. A day too
early costs time; a day too late would be wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from configs.settings import Settings
from features.account import ROLL_UP
from features.asked import FIELD_TOUCH, TOUCHES, AskedFacts
from features.columns import Columns, available_threads, exact, in_ranges
from features.engagement import FOREVER
from features.evaluate import All, AnyOf, Normal, NumberIs, facts_of_normal
from features.facts import Facts
from features.fields import ACCOUNT_FIELDS, LEAD_FIELDS
from features.fingerprint import People
from features.journey.ahead import days_of_turning
from features.journey.plan import EVIDENCE, JOURNEY_FACTS, LIFECYCLE
from features.register import REGISTERED
from features.standing import NEVER_DAYS, TOUCH_WINDOWS_DAYS
from features.tables import MICROSECONDS_A_DAY, SKEW_US, Known, Tables
from models.segments.leaving import (
    ANY,
    CHANNEL,
    DEPTH,
    KIND,
    NEVER,
    TOPIC,
    count_falls,
    count_leaving,
    enough_left,
    last_ends,
    records_end,
)

Days = NDArray[np.int32]
_GROWS = ("days_since_verified", "days_since_meeting", "days_since_last_event", FIELD_TOUCH)
_COLLEAGUES = "colleague_event_count_90d"
_COLLEAGUE_DAYS = 90
_STAYS = frozenset({"colleague_count", "decision_maker_colleague_count"})  # only rows change them
_UNFORETOLD = frozenset({"band", "readiness", *REGISTERED})  # some turn by a date that no row says
# Instants of each table, by any of which a row may come into force or go out of it.
_INSTANTS: Mapping[str, tuple[str, ...]] = {
    "leads": ("recorded_at", "created_at", "verified_at"),
    "accounts": ("recorded_at", "verified_at"),
    "events": ("occurred_at", "recorded_at"),
    "touches": ("sent_at", "recorded_at"),
    "consents": ("captured_at", "recorded_at", "expires_at"),
    "suppressions": ("since_at", "recorded_at", "until_at"),
    "cases": ("opened_at", "recorded_at", "closed_at"),
    "links": ("linked_at", "recorded_at"),
}


@dataclass(frozen=True, slots=True)
class DueRules:
    """What conditions look at, as far as time changes it.

    `turns` has for each number the values at which some condition turns: it says something else of that value than of
    the one below. `counts` are facts that count events, with what is counted and the window. `daily` is set where a
    condition looks at what cannot be foretold, `evidence` where one looks at how well a stage is supported.
    """

    asked: AskedFacts
    turns: Mapping[str, NDArray[np.int64]]
    counts: tuple[tuple[str, int, int, int], ...]
    law_days: int
    lead_days: tuple[int, ...]
    account_days: tuple[int, ...]
    daily: bool
    evidence: bool

    @property
    def journey(self) -> bool:
        """Whether stage, evidence, next decision or lifecycle is looked at."""
        return not self.asked.names.isdisjoint((*JOURNEY_FACTS, LIFECYCLE))

    @classmethod
    def of(
        cls, settings: Settings, normals: Sequence[Normal], asked: AskedFacts, compared: Collection[str] = ()
    ) -> DueRules:
        """Resolve conditions that were compiled for a day; whoever asks on another day compares what is compiled.

        Args:
            settings: the configuration.
            normals: the conditions.
            asked: every fact that is looked at.
            compared: facts whose values are compared from run to run, so that any change of them counts.
        """
        turns: dict[str, set[int]] = {}
        for leaf in (leaf for normal in normals for leaf in _leaves(normal)):
            if isinstance(leaf, NumberIs):
                turns.setdefault(leaf.fact, set()).update(_turns(leaf.operator, leaf.number))
        counted = _counted(settings)
        numbers = {name for name in asked.names if name in settings.facts and settings.facts[name].type == "int"}
        foretold = {*counted, *_GROWS, *TOUCHES, *_STAYS, _COLLEAGUES}
        # The age of a fact that is no field, such as a stop, is that of a feed: it holds for everybody.
        fields = [name for name in asked.names & {*LEAD_FIELDS, *ACCOUNT_FIELDS} if name in settings.facts]
        ages = {name: settings.facts[name].max_age_days for name in fields}
        days = {name: age for name, age in ages.items() if age is not None}
        of_account = days.keys() & ACCOUNT_FIELDS.keys()
        visits_end = FIELD_TOUCH in asked.names and "field_visit" in settings.features.valid_days
        return cls(
            asked=asked,
            turns={name: np.array(sorted(values), dtype=np.int64) for name, values in turns.items()},
            counts=tuple((name, *counted[name]) for name in sorted(numbers & counted.keys())),
            law_days=asked.builder.jurisdiction_max_age_days,
            lead_days=tuple(sorted(set(days.values()))),
            account_days=tuple(sorted({days[name] for name in of_account})),
            evidence=EVIDENCE in {*compared, *(fact for normal in normals for fact in facts_of_normal(normal))},
            daily=visits_end or bool((numbers - foretold) | (asked.names & _UNFORETOLD) | (numbers & set(compared))),
        )

    @property
    def colleagues(self) -> bool:
        """Whether a lead's facts are made of its colleagues' rows."""
        return not self.asked.names.isdisjoint(ROLL_UP)


def next_due(
    tables: Tables, known: Known, facts: Facts, rules: DueRules, people: People, *, threads: int | None = None
) -> Days:
    """For each lead the first UTC day, since 1970, on which a condition may turn by time alone; NEVER where none will.

    Args:
        tables: everything about these leads, with the future and what may not be used.
        known: what of it is known and may be used.
        facts: the asked facts of what is known.
        rules: what is asked.
        people: who is looked at together.
        threads: as many as there are processors when absent.
    """
    n, cut, today = len(known.lead_ids), known.as_of_us, known.as_of_day
    if rules.daily:
        return np.full(n, today + 1, dtype=np.int32)
    tables = rules.asked.tables(tables)
    due = _ahead(tables, people, n, cut)
    _aged(due, tables.leads, "lead", (rules.law_days,), today)
    due = people.earliest(due)
    if rules.colleagues:
        # What may be used of a colleague decides what is counted.
        _from_accounts(due, people, _of_accounts(due, people))
    _aged(due, tables.leads, "lead", rules.lead_days, today)
    sites = np.full(people.accounts, NEVER, dtype=np.int32)
    _aged(sites, tables.accounts, "account", rules.account_days, today)
    _from_accounts(due, people, _with_parents(sites, tables.accounts))
    columns = {name: facts.columns[name].reshape(-1) for name in rules.turns if name in facts.columns}
    for name in _GROWS:
        if name in columns:
            _grown(due, columns[name], rules.turns[name], today)
    if rules.journey:
        journeys = rules.asked.builder.journeys
        days_of_turning(known, journeys, facts.columns, due, evidence=rules.evidence, threads=threads)
    for name, span in zip(TOUCHES, TOUCH_WINDOWS_DAYS, strict=True):
        if name in columns and known.touches:
            _touched(due, known, columns[name] >= rules.turns[name].min(initial=NEVER), span)
    if known.events:
        _counts_fall(due, known, columns, rules, threads or available_threads())
        if "days_since_last_event" in columns:
            last_ends(
                known.event_starts, known.event_words, rules.asked.builder.plan.valid_days,
                columns["days_since_last_event"], today, due,
            )  # fmt: skip
        if _COLLEAGUES in columns:
            _colleagues_fall(due, known, columns[_COLLEAGUES], rules, people.accounts)
    return people.earliest(due)


def _leaves(normal: Normal) -> list[Normal]:
    if isinstance(normal, All | AnyOf):
        return [leaf for part in normal.parts for leaf in _leaves(part)]
    return [normal]


def _turns(operator: str, number: int) -> tuple[int, ...]:
    """Values of which a comparison says something else than of the value below."""
    if operator in ("=", "<>"):
        return (number, number + 1)
    return (number,) if operator in ("<", ">=") else (number + 1,)


def _counted(settings: Settings) -> dict[str, tuple[int, int, int]]:
    """Facts that count events: of what, of which code, in how many days."""
    s, span, words = settings.features, settings.features.topic_window_days, settings.vocabularies
    found = {f"{k}_count_{d}d": (KIND, words["event_kind"].code(k), d) for k in s.kinds for d in s.windows_days}
    found |= {f"event_count_{days}d": (ANY, 0, days) for days in s.windows_days}
    found |= {f"topic_{one}_count_{span}d": (TOPIC, words["topic"].code(one), span) for one in s.topics}
    found |= {f"depth_{one}_count_{span}d": (DEPTH, words["depth"].code(one), span) for one in s.depths}
    found |= {f"channel_{one}_count_{span}d": (CHANNEL, words["event_channel"].code(one), span) for one in s.channels}
    # Each of these falls by one at most when an event leaves: an event is of one channel, day, theme and asset.
    sums = ("distinct_channel", "active_day", "suspect_event", "repeated_theme", "most_asked_theme", "topic_event",
            "channel_event", "distinct_asset")  # fmt: skip
    return found | {f"{name}_count_{span}d": (ANY, 0, span) for name in sums}


def _ahead(tables: Tables, people: People, n: int, cut: int) -> Days:
    """By rows that were written ahead of the instant, of the lead, its accounts and those above them."""
    due, sites = np.full(n, NEVER, dtype=np.int32), np.full(people.accounts, NEVER, dtype=np.int32)
    for table, instants in _INSTANTS.items():
        columns: Columns = getattr(tables, table)
        for name in instants:
            if not columns or name not in columns:
                continue
            rows = np.flatnonzero(columns[name] > cut)
            # A stop is in force a little before it begins, for clocks differ.
            day = ((columns[name][rows] - SKEW_US) // MICROSECONDS_A_DAY).astype(np.int32)
            for key, into in (("lead", due), ("other", due), ("account", sites)):
                if key in columns and (key != "account" or table in ("accounts", "suppressions")):
                    _lower(into, columns[key][rows], day)
    _from_accounts(due, people, _with_parents(sites, tables.accounts))
    return due


def _lower(due: Days, rows: NDArray[Any], day: Days) -> None:
    some = rows >= 0
    np.minimum.at(due, rows[some], day[some])


def _with_parents(sites: Days, accounts: Columns) -> Days:
    """The earlier of an account's day and its parents'."""
    if not accounts or not len(sites):
        return sites
    size = len(accounts["account"])
    child, parent = exact(accounts, "account", np.int32, size), exact(accounts, "parent", np.int32, size)
    found, some = sites.copy(), (parent >= 0) & (child >= 0)
    np.minimum.at(found, child[some], sites[parent[some]])
    return found


def _of_accounts(due: Days, people: People) -> Days:
    sites = np.full(people.accounts, NEVER, dtype=np.int32)
    np.minimum.at(sites, people.account, due[people.lead])
    return sites


def _from_accounts(due: Days, people: People, sites: Days) -> None:
    if len(sites):
        np.minimum.at(due, people.lead, sites[people.account])


def _aged(due: Days, columns: Columns, key: str, ages: Sequence[int], today: int) -> None:
    """The day after the last one on which a record may still be used, by each of some ages."""
    if not columns or not ages:
        return
    size = len(columns[key])
    rows = exact(columns, key, np.int32, size)
    recorded, verified = exact(columns, "recorded_at", np.int64, size), exact(columns, "verified_at", np.int64, size)
    records_end(rows, recorded, verified, np.array(ages, dtype=np.int64), today, due)


def _grown(due: Days, values: NDArray[Any], turns: NDArray[np.int64], today: int) -> None:
    """When a number of days passes the next value at which a condition turns."""
    after = np.append(turns, FOREVER)[np.searchsorted(turns, values, side="right")]
    day = np.where((values >= 0) & (values < NEVER_DAYS) & (after < FOREVER), today + after - values, NEVER)
    np.minimum(due, day, out=due, casting="unsafe")


def _touched(due: Days, known: Known, asked: NDArray[np.bool_], span: int) -> None:
    """When the first touch of the window leaves it, for leads of whom that may matter."""
    size = len(known.touches["lead"])
    lead = exact(known.touches, "lead", np.int32, size)
    age = known.as_of_day - exact(known.touches, "sent_at", np.int64, size) // MICROSECONDS_A_DAY
    rows = np.flatnonzero((lead >= 0) & (age <= span))
    rows = rows[asked[lead[rows]]]
    np.minimum.at(due, lead[rows], (known.as_of_day + span - age[rows] + 1).astype(np.int32))


def _counts_fall(due: Days, known: Known, columns: Mapping[str, NDArray[Any]], rules: DueRules, threads: int) -> None:
    """When as many events have left a count's window as it takes to turn a condition."""
    counted = [(name, what) for name, *what in rules.counts if name in columns]
    given = (known.event_starts, known.event_words, rules.asked.builder.plan.valid_days)

    def fall(_: int, first: int, stop: int) -> None:
        for name, what in counted:
            values = np.asarray(columns[name], dtype=np.int32)
            count_falls(*given, *what, values, rules.turns[name], known.as_of_day, first, stop, due)

    in_ranges(fall, len(due), threads)


def _colleagues_fall(due: Days, known: Known, values: NDArray[Any], rules: DueRules, accounts: int) -> None:
    """The same for what colleagues did: as soon as the first lead of an account may be touched, all of them are."""
    turns = rules.turns[_COLLEAGUES]
    below = np.append(turns, NEVER)[np.searchsorted(turns, values, side="right") - 1]
    needed = np.where((values >= 0) & (below <= values), values - below + 1, NEVER).astype(np.int64)
    account = exact(known.leads, "account", np.int32, len(due))
    few = np.full(accounts + 1, NEVER, dtype=np.int64)
    np.minimum.at(few, account, needed)
    few[accounts] = NEVER
    asked = np.flatnonzero(few != NEVER)
    place = np.full(accounts + 1, -1, dtype=np.int32)
    place[asked] = np.arange(len(asked), dtype=np.int32)
    leaving = np.zeros((len(asked), _COLLEAGUE_DAYS + 2), dtype=np.int32)
    given = (known.event_starts, known.event_words, rules.asked.builder.plan.valid_days)
    count_leaving(*given, place[account], _COLLEAGUE_DAYS, leaving)
    sites = np.full(accounts + 1, NEVER, dtype=np.int64)
    sites[asked] = np.minimum(known.as_of_day + enough_left(leaving, few[asked]), NEVER)
    np.minimum(due, sites[account], out=due, casting="unsafe")


@njit(cache=True, nogil=True)
def held_back(member: Any, since: Any, enter: Any, leave: Any, dwell: Any, never: Any, now: int, due: Any) -> None:
    """Lower each lead's day to that on which a dwell that keeps it in is over; who may come back is asked daily."""
    for i in range(len(member)):
        for s in range(member.shape[1]):
            until = now
            if member[i, s]:
                if not leave[i, s]:
                    continue
                until = since[i, s] + dwell[s]
            elif not enter[i, s] or never[s]:
                continue
            due[i] = min(np.int64(due[i]), max(until, now + 1) // MICROSECONDS_A_DAY)
