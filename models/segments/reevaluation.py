"""Whom a night must place again: those whose rows changed, those whose day has come, and everybody when the rules did.

A run leaves a mark for each lead: a number for the rows that its facts rest on (`features/fingerprint.py`) and the
first day on which a condition may turn by time alone (`models/segments/due.py`). The next run compares. Whoever has the
same number and no day that has come has the same answer to every condition, so its memberships stay as they are.

What holds for everybody is the epoch: definitions that are active and their conditions with the parameters of the day,
everything configured that facts rest on, which tables were supplied, and whether the feed of stops is fresh. With
another epoch everybody is placed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from configs.conditions import facts_used
from configs.dictionary import AFTER_READINESS
from configs.settings import Settings
from features.asked import AskedFacts
from features.evaluate import Normal, facts_of_normal, normal_form
from features.facts import Facts
from features.fingerprint import People, Prints, fingerprints, only
from features.ids import places_of
from features.tables import MICROSECONDS_A_DAY, SKEW_US, UNKNOWN_INSTANT, Known, Tables, microseconds
from models.segments.due import Days, DueRules, held_back, next_due
from models.segments.leaving import NEVER
from models.segments.map import SegmentMap
from models.segments.membership import Memberships, Terms
from models.segments.statuses import StatusRules

Bools = NDArray[np.bool_]
# Raised when facts are built another way from the same rows and settings: marks of before then mean nothing.
FORMAT = 3
SCHEMA = pa.schema([("lead_id", pa.string()), ("print", pa.uint64()), ("due", pa.int32()), ("note", pa.uint8())])
# Everything configured that facts and statuses rest on; definitions are told by the map's hash.
_PARTS = ("vocabularies", "features", "facts", "parameters", "statuses", "triggers", "jurisdictions", "assets",
          "identity", "data_use", "rules", "services", "journeys")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marks:
    """What a run leaves for the next: by lead id the number of its rows and the day it is due, under an epoch.

    `note` is what the run says of a lead besides, which stays as it is until the lead is placed again.
    """

    epoch: str
    ids: pa.Array
    prints: Prints
    due: Days
    note: NDArray[np.uint8]

    def table(self) -> pa.Table:
        """As a file has it, with the columns of SCHEMA, ordered by lead id; the epoch is kept beside it."""
        numbers = (pa.array(self.prints, pa.uint64()), pa.array(self.due, pa.int32()), pa.array(self.note, pa.uint8()))
        return pa.table([self.ids, *numbers], schema=SCHEMA).sort_by("lead_id")

    @classmethod
    def of(cls, table: pa.Table, epoch: str) -> Marks:
        """From what `table` gave."""
        ids = table["lead_id"].combine_chunks()
        return cls(epoch, ids, *(table[name].to_numpy() for name in ("print", "due", "note")))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Who is placed tonight: `again` by lead, `beside` with those whose rows their facts are made of; why in numbers.

    `full` says why everybody is placed, and is empty where not everybody is.
    """

    again: Bools
    beside: Bools
    people: People
    prints: Prints
    changed: int
    due: int
    full: str = ""

    @property
    def count(self) -> int:
        """How many leads are placed."""
        return int(self.again.sum())


@dataclass(frozen=True, slots=True)
class Reevaluation:
    """What segments, statuses and whoever else asks look at, on one day."""

    asked: AskedFacts
    rules: DueRules
    as_of: datetime
    configured: str

    @classmethod
    def of(
        cls,
        settings: Settings,
        segment_map: SegmentMap,
        as_of: datetime,
        *,
        normals: Sequence[Normal] = (),
        facts: Collection[str] = (),
        compared: Collection[str] = (),
        events: bool = False,
    ) -> Reevaluation:
        """Collect what is looked at.

        Args:
            settings: the configuration.
            segment_map: the definitions, of which those active on the day of `as_of` count.
            as_of: the instant of evaluation.
            normals: other conditions that memberships depend on, such as the rules that forbid profiling.
            facts: other facts that are shown of those who are placed; a change of one makes nobody due.
            compared: facts whose values are compared from run to run, so that every change of one makes a lead due.
            events: whether events are looked at besides the facts that are made of them.
        """
        on, domain = as_of.astimezone(UTC).date(), segment_map.domain
        active = segment_map.active(on)
        asked = [a for a, is_active in zip(segment_map.activations, active, strict=True) if is_active]
        # Overlays are judged when readiness is told, and then of everybody: until then they stay as they are.
        after = {fact for activation in asked if activation.overlay for fact in activation.facts} - {*AFTER_READINESS}
        conditions = [c for a in asked if not a.overlay for c in (a.enter, a.exit) if c is not None]
        conditions += StatusRules.of(settings, domain).conditions
        every = [*(normal_form(condition, domain, on) for condition in conditions), *normals]
        names = {fact for condition in conditions for fact in facts_used(condition)}
        names |= after | set(facts) | set(compared)
        names |= {fact for normal in normals for fact in facts_of_normal(normal)}
        looked_at = AskedFacts.of(settings, names, events=events)
        said = [FORMAT, settings.digest(*_PARTS), segment_map.hash, active.tolist(), sorted(names), repr(every)]
        return cls(
            asked=looked_at,
            rules=DueRules.of(settings, every, looked_at, compared),
            as_of=as_of,
            configured=hashlib.sha256(json.dumps(said).encode()).hexdigest(),
        )

    def epoch(self, tables: Tables) -> str:
        """What holds for everybody; the same text while it does."""
        supplied = [bool(getattr(tables, name)) for name in ("accounts", "events", "touches", "consents", "cases")]
        cut, complete = microseconds(self.as_of), tables.suppressions_complete_as_of
        limit = self.asked.builder.feed_max_age_days * MICROSECONDS_A_DAY
        fresh = complete != UNKNOWN_INSTANT and -SKEW_US <= cut - complete <= limit
        said = [self.configured, *supplied, bool(tables.suppressions), bool(fresh) if self.asked.stops else None]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def chosen(self, tables: Tables, before: Marks | None, why: str = "", *, threads: int | None = None) -> Chosen:
        """Who must be placed again, from what the last run left; everybody without it, or where the caller says why."""
        people = People.of(tables, colleagues=self.rules.colleagues)
        prints = fingerprints(self.asked.tables(tables), people, threads=threads)
        n = len(prints)
        if before is None:
            why = why or "nothing is known of an earlier run"
        elif before.epoch != self.epoch(tables):
            why = why or "definitions, settings or what is supplied changed"
        if before is None or why:
            everybody = np.ones(n, dtype=np.bool_)
            return Chosen(everybody, everybody, people, prints, changed=n, due=0, full=why)
        rows = places_of(tables.lead_ids, before.ids)
        known = rows >= 0
        changed = ~known
        changed[known] = before.prints[rows[known]] != prints[known]
        today = microseconds(self.as_of) // MICROSECONDS_A_DAY
        due = np.zeros(n, dtype=np.bool_)
        due[known] = before.due[rows[known]] <= today
        again = changed | due
        return Chosen(again, people.beside(again), people, prints, int(changed.sum()), int((due & ~changed).sum()))

    def part(self, tables: Tables, chosen: Chosen) -> Tables:
        """The tables of the leads that are placed and of those beside them; all of them where that is everybody."""
        return tables if chosen.beside.all() else only(tables, chosen.beside)

    def facts(self, part: Tables, *, threads: int | None = None) -> tuple[Known, Facts]:
        """What is known of a part, and the facts that are looked at."""
        known = self.asked.view(part, self.as_of, threads=threads)
        return known, self.asked.facts(known, threads=threads)

    def due(self, part: Tables, known: Known, facts: Facts, *, threads: int | None = None) -> Days:
        """For each lead of a part the first day on which a condition may turn by time alone."""
        people = People.of(part, colleagues=self.rules.colleagues)
        return next_due(part, known, facts, self.rules, people, threads=threads)

    def due_of_terms(self, members: Memberships, enter: Bools, leave: Bools, terms: Terms) -> Days:
        """The first day on which a dwell or a time away that holds a membership back is over, for each lead.

        Args:
            members: memberships now.
            enter: (lead, segment), whether the entry condition is surely true.
            leave: the same for the exit condition.
            terms: of the segments.
        """
        found = np.full(len(enter), NEVER, dtype=np.int32)
        held_back(
            members.member, members.entered_at, enter, leave, terms.dwell, terms.never, microseconds(self.as_of), found
        )
        return found

    def marks(
        self, tables: Tables, chosen: Chosen, due: Days, before: Marks | None, note: NDArray[np.uint8] | None = None
    ) -> Marks:
        """What this run leaves.

        Args:
            tables: all of them.
            chosen: who was placed.
            due: of those who were placed, in order.
            before: what the last run left, for all others.
            note: what to say of those who were placed.
        """
        ids = pa.array(tables.lead_ids, pa.string())
        days, notes = np.empty(len(ids), dtype=np.int32), np.zeros(len(ids), dtype=np.uint8)
        if before is not None and not chosen.again.all():
            rows = places_of(ids, before.ids)
            days, notes = before.due[rows], before.note[rows]
        days[chosen.again] = due
        notes[chosen.again] = 0 if note is None else note
        return Marks(self.epoch(tables), ids, chosen.prints, days, notes)
