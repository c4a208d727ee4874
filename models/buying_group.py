"""Buying groups: who plays which part at an account, how far it has come, whom its next decision still lacks.

Everything here is counting by declared rules, with whole numbers that can be added up by hand. Nothing is learned, and
no person gets a score: a decision readiness is of an account or of a whole system.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from configs.buying_groups import PERCENT, PERSON_FACTS, BuyingGroupSettings, account_facts
from configs.conditions import facts_used, parse
from configs.settings import Settings
from features.account_facts import Roster, account_columns
from features.evaluate import Domain, as_columns
from features.facts import Facts
from features.tables import YES, Known

Bools = NDArray[np.bool_]
Numbers = NDArray[np.int32]
UNKNOWN = -1
# What the parts of decision readiness are called, in the order of `DecisionReadiness.parts`.
MEASURED = ("coverage", "stage", "signers", "awake")
_ENGAGED, _LAST = "event_count_90d", "days_since_last_event"
_LEFT_OUT = ("erased_or_restricted", "profiling_objection")


@dataclass(frozen=True)
class GroupRules:
    """The declared groups, resolved: weights of parts by group, which group decides, which decision comes next.

    `weights[g, p]` is what part p counts in group g. `group_at[m, x]` is the group of moment m about product x and
    `moment_at[s, x]` the next moment at stage s; moments and products are codes, where 0 is unknown, stages places.
    """

    settings: BuyingGroupSettings
    domain: Domain
    accounts: Domain
    weights: Numbers
    group_at: Numbers
    moment_at: Numbers
    silent_days: int
    products: tuple[str, ...]
    moments: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> GroupRules:
        """Resolve loaded settings."""
        declared = settings.buying_groups
        products = (None, *settings.vocabularies["product"].values)
        moments = settings.vocabularies["decision_moment"].values
        places = {group.id: g for g, group in enumerate(declared.groups)}
        group_at = np.full((len(moments) + 1, len(products)), UNKNOWN, dtype=np.int32)
        for m, moment in enumerate(moments, start=1):
            group_at[m] = [places[declared.group_of(moment, product).id] for product in products]
        code = {moment: m for m, moment in enumerate(moments, start=1)}
        moment_at = [[code[declared.next_moment(one.id, product)] for product in products] for one in declared.stages]
        return cls(
            settings=declared,
            domain=Domain({name: settings.facts[name] for name in PERSON_FACTS}, settings.parameters),
            accounts=Domain(account_facts(settings.facts), settings.parameters),
            weights=np.array(
                [[group.needs.get(part.id, 0) for part in declared.parts] for group in declared.groups], dtype=np.int32
            ),
            group_at=group_at,
            moment_at=np.array(moment_at, dtype=np.int32),
            silent_days=settings.features.account.silent_days,
            products=settings.vocabularies["product"].values,
            moments=moments,
        )

    @property
    def part_ids(self) -> tuple[str, ...]:
        """Ids of the parts, in the order of every array by part."""
        return tuple(part.id for part in self.settings.parts)

    @property
    def account_fact_names(self) -> tuple[str, ...]:
        """The account facts that the stages look at."""
        texts = [stage.when for stage in self.settings.stages]
        used = [facts_used(parse(text, self.accounts.facts, self.accounts.parameters)) for text in texts]
        return tuple(dict.fromkeys(name for names in used for name in names))

    def surely(self, text: str, facts: Facts, on: date) -> Bools:
        """For each lead whether a condition over a person's work surely holds."""
        condition = parse(text, self.domain.facts, self.domain.parameters)
        columns = {n: facts.columns[n].reshape(-1) for n in facts_used(condition) if n in facts.columns}
        must = as_columns(condition, self.domain, on)(columns)[0]
        return np.broadcast_to(must.reshape(-1), (facts.n,)).copy()


def roster_of(facts: Facts, rules: GroupRules, unit: NDArray[np.int32], units: int, present: Bools, on: date) -> Roster:
    """Whose people the leads are: those present and not left out, each at the unit that `unit` gives its row of.

    Who objected to profiling, or asked for erasure or restriction, is nobody's people here.
    """
    out = rules.surely(rules.settings.leave_out, facts, on) | ~present
    for name in _LEFT_OUT:
        if name in facts.columns:
            out |= np.broadcast_to(facts.columns[name].reshape(-1) == YES, (facts.n,))
    events, last = (np.broadcast_to(facts.columns[name].reshape(-1), (facts.n,)) for name in (_ENGAGED, _LAST))
    return Roster(
        unit=np.where(out | (unit < 0) | (unit >= units), -1, unit).astype(np.int32),
        units=units,
        engaged=np.asarray(events > 0),
        silent=np.asarray((last < 0) | (last > rules.silent_days)),
        signs=rules.surely(rules.settings.signs, facts, on),
        told=bool((events >= 0).any()),
    )


def parts_played(facts: Facts, rules: GroupRules, on: date) -> Bools:
    """Lead by part: whether the lead surely plays it."""
    return np.column_stack([rules.surely(part.when, facts, on) for part in rules.settings.parts])


@dataclass(frozen=True, slots=True)
class Coverage:
    """Unit by part: how many people are known, engaged, and contactable on some channel under the rules."""

    known: Numbers
    engaged: Numbers
    reachable: Numbers


def cover(roster: Roster, plays: Bools, reachable: Bools) -> Coverage:
    """Count by unit and part. Who plays several parts counts in each.

    INVARIANT: neither the order of leads nor what belongs to other units changes a unit's counts.
    """
    shape = (roster.units, plays.shape[1])
    found = Coverage(*(np.zeros(shape, dtype=np.int32) for _ in range(3)))
    for part in range(shape[1]):
        own = plays[:, part]
        found.known[:, part] = roster.count(own)
        found.engaged[:, part] = roster.count(own & roster.engaged)
        found.reachable[:, part] = roster.count(own & reachable)
    return found


def focus_of(roster: Roster, product: NDArray[np.uint8], products: int) -> NDArray[np.uint8]:
    """The product that most of a unit's people ask about, the first declared of equals; 0 where nobody does."""
    asks = (roster.unit >= 0) & (product > 0) & (product <= products)
    cell = roster.unit[asks].astype(np.int64) * (products + 1) + product[asks]
    counts = np.bincount(cell, minlength=roster.units * (products + 1)).reshape(roster.units, products + 1)
    return np.where(counts.any(axis=1), counts.argmax(axis=1), 0).astype(np.uint8)


def stages_of(known: Known, facts: Facts, roster: Roster, rules: GroupRules, on: date) -> NDArray[np.int8]:
    """The place of each unit's stage: the last declared one whose condition surely holds, UNKNOWN where none does."""
    domain = rules.accounts
    columns = account_columns(known, facts, roster, domain.facts, rules.account_fact_names)
    found = np.full(roster.units, UNKNOWN, dtype=np.int8)
    for place, stage in enumerate(rules.settings.stages):
        condition = parse(stage.when, domain.facts, domain.parameters)
        found[np.broadcast_to(as_columns(condition, domain, on)(columns)[0].reshape(-1), found.shape)] = place
    return found


def moments_of(
    stage: NDArray[np.int8], product: NDArray[np.uint8], declared: NDArray[np.uint8], rules: GroupRules
) -> tuple[Numbers, Numbers]:
    """(code of the next decision, place of its group) of each unit; the account's own field goes before its stage.

    Code 0 and UNKNOWN where neither the field nor the stage is known.
    """
    after = np.where(stage == UNKNOWN, 0, rules.moment_at[np.maximum(stage, 0), product])
    moment = np.where(declared > 0, declared, after).astype(np.int32)
    return moment, rules.group_at[moment, product]


@dataclass(frozen=True, slots=True)
class DecisionReadiness:
    """Points of 100 for each unit, UNKNOWN where it cannot be said, with the four parts that add up to them.

    `level` is the place in `levels`. It says how much of the group that the next decision needs is there and
    listening. It is no probability, it does not say that they will decide or for whom, and nothing is learned in it.
    """

    points: Numbers
    parts: Numbers
    level: NDArray[np.int8]
    levels: tuple[str, ...]


def decision_readiness(
    coverage: Coverage, roster: Roster, stage: NDArray[np.int8], group: Numbers, rules: GroupRules
) -> DecisionReadiness:
    """Add up the declared measure; each part is rounded down to whole points before they are added.

    INVARIANT: the four parts add up to the points, and one more engaged person never takes a point away.
    """
    measure = rules.settings.readiness
    people = roster.count()
    sure = (people > 0) & (stage != UNKNOWN) & (group != UNKNOWN) & roster.told
    weights = rules.weights[np.maximum(group, 0)].astype(np.int64)
    filled = np.where(coverage.engaged > 0, PERCENT, np.where(coverage.known > 0, measure.quiet, 0))
    worth = np.array([one.points for one in rules.settings.stages], dtype=np.int64)[np.maximum(stage, 0)]
    signers = roster.count(roster.signs)
    parts = np.column_stack(
        [
            measure.coverage * (weights * filled).sum(axis=1) // np.maximum(weights.sum(axis=1) * PERCENT, 1),
            measure.stage * worth // PERCENT,
            measure.signers * roster.count(roster.signs & roster.engaged).astype(np.int64) // np.maximum(signers, 1),
            measure.awake * (people - roster.count(roster.silent)).astype(np.int64) // np.maximum(people, 1),
        ]
    )
    parts = np.where(sure[:, None], parts, 0).astype(np.int32)
    points = np.where(sure, parts.sum(axis=1), UNKNOWN).astype(np.int32)
    ordered = sorted(measure.levels.items(), key=lambda level: level[1])
    least = np.array([points for _, points in ordered])
    level = np.where(sure, np.searchsorted(least, points, side="right") - 1, UNKNOWN).astype(np.int8)
    return DecisionReadiness(points, parts, level, tuple(name for name, _ in ordered))


@dataclass(frozen=True, slots=True)
class Cells:
    """The filled cells of the matrix role by influence by purchase authority, of every unit, in that order.

    `role`, `influence` and `authority` are codes, 0 unknown; `by_channel` counts who is contactable on each channel.
    """

    unit: Numbers
    role: NDArray[np.uint8]
    influence: NDArray[np.uint8]
    authority: NDArray[np.uint8]
    known: Numbers
    engaged: Numbers
    reachable: Numbers
    by_channel: Numbers


def cells_of(
    roster: Roster,
    role: NDArray[np.uint8],
    influence: NDArray[np.uint8],
    authority: NDArray[np.uint8],
    on_channel: Bools,
) -> Cells:
    """Count people by unit, role, influence and purchase authority; `on_channel` is lead by channel."""
    rows = np.flatnonzero(roster.unit >= 0)
    key = roster.unit[rows].astype(np.int64)
    for codes in (role, influence, authority):
        key = key * 256 + codes[rows]
    cells, place = np.unique(key, return_inverse=True)
    n = len(cells)

    def count(chosen: Bools) -> Numbers:
        return np.bincount(place[chosen[rows]], minlength=n).astype(np.int32)

    channels = [count(on_channel[:, c]) for c in range(on_channel.shape[1])]
    return Cells(
        unit=(cells >> 24).astype(np.int32),
        role=(cells >> 16 & 255).astype(np.uint8),
        influence=(cells >> 8 & 255).astype(np.uint8),
        authority=(cells & 255).astype(np.uint8),
        known=np.bincount(place, minlength=n).astype(np.int32),
        engaged=count(roster.engaged),
        reachable=count(np.asarray(on_channel.any(axis=1))),
        by_channel=np.column_stack(channels) if channels else np.zeros((n, 0), dtype=np.int32),
    )
